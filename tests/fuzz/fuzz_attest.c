/* Attestation tokens from devices, with valid tags and without: no input may do harm, and what is read is the same when
 * written. */
#include "iotctl/attest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t key[32] = {1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16,
				17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32};

static void write_again(const struct iot_attest_claims *claims)
{
	struct iot_buf token = IOT_BUF_INIT(2 * IOT_COSE_MAX);
	char problem[IOT_ATTEST_PROBLEM_MAX];
	struct iot_attest_claims again;
	struct iot_cose cose;

	if (iot_attest_encode(claims, IOT_COSE_HMAC256, key, sizeof(key), NULL, &token, NULL) != IOT_OK ||
	    token.len > IOT_COSE_MAX) {
		iot_buf_release(&token);
		return;
	}
	if (iot_attest_decode(token.data, token.len, &cose, &again, problem, NULL) != IOT_OK || problem[0] != '\0' ||
	    again.profile != claims->profile || again.component_count != claims->component_count ||
	    again.client != claims->client || again.nonce.len != claims->nonce.len)
		abort();
	iot_buf_release(&token);
}

/* The bytes as a payload under a right tag: what comes after the tag is reached too. */
static void as_payload(const uint8_t *data, size_t size)
{
	const struct iot_attest_expect expect = {.secret = key, .secret_len = sizeof(key)};
	struct iot_buf token = IOT_BUF_INIT(IOT_COSE_MAX);
	struct iot_attest_verdict verdict;

	if (iot_cose_mac0(IOT_COSE_HMAC256, key, sizeof(key), data, size, &token, NULL) == IOT_OK) {
		(void)!iot_attest_verify(token.data, token.len, &expect, &verdict, NULL);
		json_decref(iot_attest_verdict_json(&verdict));
	}
	iot_buf_release(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char problem[IOT_ATTEST_PROBLEM_MAX];
	struct iot_attest_claims claims;
	struct iot_attest_policy *policy = NULL;
	struct iot_cose cose;

	if (iot_attest_decode(data, size, &cose, &claims, problem, NULL) == IOT_OK) {
		json_decref(iot_attest_claims_json(&claims));
		json_decref(iot_attest_warnings(&claims));
		if (problem[0] == '\0')
			write_again(&claims);
	}
	as_payload(data, size);
	if (iot_attest_policy_parse((const char *)data, size, "input", &policy, NULL) == IOT_OK)
		iot_attest_policy_free(policy);
	return 0;
}
