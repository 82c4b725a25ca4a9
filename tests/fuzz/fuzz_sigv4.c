/* What a foreign request says of its signature: no input may do harm, and what is read has the promised shape. */
#include "iotctl/base.h"
#include "iotctl/sigv4.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct iot_sigv4_claim *claim, const char *text)
{
	const struct iot_sigv4_header headers[] = {{"host", "h"}, {"x-amz-date", claim->time}};
	const struct iot_sigv4_request request = {"GET", text[0] == '/' ? text : "/", text, headers,
						  2,     "UNSIGNED-PAYLOAD"};
	struct iot_error err;

	for (const char *c = claim->access_key; *c != '\0'; c++) {
		if (!isalnum((unsigned char)*c) && *c != '_' && *c != '-')
			abort();
	}
	if (claim->access_key[0] == '\0' || claim->signed_headers[0] == '\0' ||
	    (claim->presigned ? claim->expires_s < 1 || claim->expires_s > IOT_SIGV4_MAX_EXPIRES
			      : claim->expires_s != 0))
		abort();
	/* Nobody can have signed with a secret that is made now. */
	if (iot_sigv4_verify(claim, "secret of the fuzzer", &request, &err) == IOT_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strndup((const char *)data, size);
	struct iot_sigv4_claim claim;
	struct iot_error err;

	if (iot_sigv4_parse_header(text, "20150830T123600Z", &claim, &err) == IOT_OK)
		check(&claim, text);
	if (iot_sigv4_parse_query(text, &claim, &err) == IOT_OK) {
		if (!iot_sigv4_query_is_signed(text))
			abort();
		check(&claim, text);
	}
	return 0;
}
