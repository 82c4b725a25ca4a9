/* Tokens from devices: no input may do harm, and none is accepted without a key. */
#include "iotctl/jwt.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 7515 A.3. */
static const char pem[] = "-----BEGIN PUBLIC KEY-----\n"
			  "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"
			  "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
			  "-----END PUBLIC KEY-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct iot_key *key;
	struct iot_jwt_key with = {.name = "rfc"};
	struct iot_jwt_expect expect = {.audience = "project", .now = 1300819380, .skew = IOT_JWT_SKEW};
	struct iot_jwt_verdict verdict;

	if (key == NULL && iot_key_from_public_pem(pem, sizeof(pem) - 1, "key", &key, NULL) != IOT_OK)
		abort();
	with.key = key;
	if (iot_jwt_verify((const char *)data, size, &expect, &verdict, NULL) == IOT_OK || verdict.accepted)
		abort();
	json_decref(iot_jwt_verdict_json(&verdict));
	expect.keys = &with;
	expect.key_count = 1;
	if (iot_jwt_verify((const char *)data, size, &expect, &verdict, NULL) == IOT_OK &&
	    verdict.checks[IOT_JWT_SIGNATURE].result != IOT_JWT_OK)
		abort();
	return 0;
}
