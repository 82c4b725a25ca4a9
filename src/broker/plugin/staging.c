/*
 * The role "staging": where modules arrive that nobody of the fleet has seen. They
 * are known by the certificate they were born with, whether it is registered or
 * not. That the broker has verified its chain is not enough: a self-signed
 * certificate that is trusted for itself might have signed others. So a registered
 * CA must have issued it, unless it is registered itself.
 */
#include "plugin.h"

#include "iotctl/base.h"

#include <string.h>

/* AWS IoT takes no longer ones either (RegisterCertificate, certificatePem). */
#define BIRTH_MAX 65536

static enum iot_status check_name(const struct iot_cert *cert, const char *client_id, struct iot_error *err)
{
	const char *uid = NULL;

	if (iot_cert_uid(cert, &uid, err) != IOT_OK)
		return IOT_DENIED;
	if (strcmp(uid, client_id) != 0)
		return iot_fail(err, IOT_DENIED, "the client id is not the UID '%s' of the certificate", uid);
	return IOT_OK;
}

enum iot_status staging_admit(struct registry *registry, const struct iot_cert *cert, const char *client_id,
			      struct grant *ret, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(BIRTH_MAX);
	bool known = false;
	enum iot_status status = check_name(cert, client_id, err);

	if (status == IOT_OK)
		status = registry_status(registry, iot_cert_id(cert), &known, err);
	if (status == IOT_OK && !known)
		status = registry_issuer(registry, cert, err);
	if (status != IOT_OK)
		return status;
	iot_cert_pem(cert, &pem);
	if (pem.over) {
		iot_buf_release(&pem);
		return iot_fail(err, IOT_DENIED, "the certificate is longer than %d bytes", BIRTH_MAX);
	}
	*ret = (struct grant){.not_after = iot_cert_not_after(cert), .is_thing = true, .birth = iot_buf_detach(&pem)};
	return IOT_OK;
}

/* What follows the client's own name and a slash in a topic; NULL: it does not begin so. */
static const char *below_own(const struct client *client, const char *topic)
{
	size_t len = strlen(client->id);

	return strncmp(topic, client->id, len) == 0 && topic[len] == '/' ? topic + len + 1 : NULL;
}

bool staging_allows(const struct client *client, enum iot_policy_action action, const char *resource)
{
	const char *rest = below_own(client, resource);

	switch (action) {
	case IOT_POLICY_CONNECT:
		return strcmp(resource, client->id) == 0;
	case IOT_POLICY_SUBSCRIBE:
		return rest != NULL && strcmp(rest, "expresslink_config") == 0;
	case IOT_POLICY_PUBLISH:
	case IOT_POLICY_RECEIVE:
		return rest != NULL && *rest != '\0';
	default:
		return false;
	}
}
