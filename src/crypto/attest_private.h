/* What the files of attestation share: claims by number, policies taken apart. */
#ifndef IOTCTL_ATTEST_PRIVATE_H
#define IOTCTL_ATTEST_PRIVATE_H

#include "iotctl/attest.h"

#include <string.h>

/* A set of byte strings of up to 64 bytes. */
struct iot_attest_digest {
	uint8_t bytes[64];
	size_t len;
};
struct iot_attest_digests {
	struct iot_attest_digest *items;
	size_t count;
};

struct iot_attest_rule {
	char *type;        /* NULL: any */
	char *min_version; /* NULL: none */
	struct iot_attest_digests signers, measurements;
	bool optional;
};

enum iot_attest_client { IOT_CLIENT_NON_SECURE, IOT_CLIENT_SECURE, IOT_CLIENT_ANY, IOT_CLIENT_LISTED };

struct iot_attest_policy {
	unsigned profiles;                         /* bits by enum iot_attest_profile; 0: all */
	bool allow_debug;                          /* lifecycle non-psa-rot-debug */
	bool refuse_secured;                       /* "lifecycle" names only debug */
	struct iot_attest_digests implementations; /* count 0: any */
	enum iot_attest_client client;
	int32_t *clients;
	size_t client_count;
	struct iot_attest_rule *rules;
	size_t rule_count;
	bool allow_others;
};

bool iot_attest_in(const struct iot_attest_digests *set, const struct iot_span *value);

/* Compare "1.2.3", "1.2.3+4": -1, 0, 1. False if one is no version. */
bool iot_attest_version_compare(const char *a, size_t a_len, const char *b, size_t b_len, int *ret);

/* Do the components meet the rules? False with the reason in detail. */
bool iot_attest_components_ok(const struct iot_attest_policy *policy, const struct iot_attest_claims *claims,
			      char detail[IOT_ATTEST_PROBLEM_MAX]);

/* Read the claims of a payload whose form was checked. */
void iot_attest_read_claims(const struct iot_span *payload, struct iot_attest_claims *claims,
			    char problem[IOT_ATTEST_PROBLEM_MAX]);

static inline bool iot_span_equal(const struct iot_span *a, const struct iot_span *b)
{
	return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

#endif
