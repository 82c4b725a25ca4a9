/* The profile file as it is written: settings with what they mean (iotctl-profile(7)). It is read as settings. */
#include "fleet/operator_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

static void add_data(struct iot_buf *to, const char *name, const char *pem)
{
	iot_buf_addf(to, "%s = ", name);
	iot_base64(pem, strlen(pem), to);
	iot_buf_addc(to, '\n');
}

void operator_profile_text(const struct iot_profile *profile, struct iot_buf *secret)
{
	secret->secret = true;
	iot_buf_addf(secret,
		     "# Profile of operator '%s' of the fleet '%s', for iotctl. It holds secrets: keep it mode 0600.\n"
		     "# Use it with --profile FILE or IOTCTL_PROFILE, or once: iotctl settings import FILE\n"
		     "[profile %s]\n"
		     "cloud = aws\n"
		     "region = local\n"
		     "fleet = %s\n"
		     "operator = %s\n"
		     "endpoint-url = %s\n"
		     "broker = %s\n"
		     "access-key-id = %s\n"
		     "secret-access-key = %s\n",
		     profile->name, profile->fleet, profile->name, profile->fleet, profile->name, profile->endpoint_url,
		     profile->broker, profile->access_key_id, profile->secret);
	add_data(secret, "client-certificate-data", profile->certificate);
	add_data(secret, "client-key-data", profile->key);
	add_data(secret, "ca-data", profile->ca);
}
