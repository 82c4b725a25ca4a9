/*
 * PSA attestation tokens: read, check, make; the policy that says what a device
 * may run.
 *
 * Three profiles: PSA_IOT_PROFILE_1 (what Trusted Firmware-M makes by default),
 * RFC 9783 (tag:psacertified.org,2023:psa#tfm), and the one in between
 * (http://arm.com/psa/2.0.0). Tokens are COSE_Mac0 or COSE_Sign1 (cose.h). A token
 * has at most IOT_COSE_MAX bytes; nothing is allocated by its numbers.
 */
#ifndef IOTCTL_ATTEST_H
#define IOTCTL_ATTEST_H

#include "iotctl/cose.h"
#include "iotctl/json.h"

#define IOT_ATTEST_COMPONENTS_MAX 32
#define IOT_ATTEST_INSTANCE_SIZE 33 /* 0x01 and 32 bytes */

enum iot_attest_profile {
	IOT_ATTEST_UNKNOWN,
	IOT_ATTEST_PSA_1,   /* "PSA_IOT_PROFILE_1" */
	IOT_ATTEST_PSA_2,   /* "http://arm.com/psa/2.0.0" */
	IOT_ATTEST_RFC_9783 /* "tag:psacertified.org,2023:psa#tfm" */
};
/* The profile as tokens name it; "unknown" for IOT_ATTEST_UNKNOWN. */
const char *iot_attest_profile_name(enum iot_attest_profile profile);

struct iot_attest_component {
	struct iot_span type, measurement, version, signer, description;
};

/* What a token claims. Spans are borrowed from it, text as bytes. Absent: data NULL, has_x false. */
struct iot_attest_claims {
	enum iot_attest_profile profile;
	struct iot_span profile_name;
	bool has_client, has_lifecycle, no_components;
	int32_t client;
	uint16_t lifecycle; /* state in the high byte (RFC 9783 4.3.1) */
	struct iot_span implementation, boot_seed, certification, nonce, instance, verification;
	struct iot_attest_component components[IOT_ATTEST_COMPONENTS_MAX];
	size_t component_count;
};

/* "secured", "psa-rot-provisioning", ...; NULL when the high byte is none of those that exist. */
const char *iot_attest_lifecycle_name(uint16_t lifecycle);

/* 0x01 and SHA-256 twice over a secret attestation key: the instance id of its device (TF-M, symmetric attestation). */
void iot_attest_instance_of_secret(const void *key, size_t len, uint8_t out[IOT_ATTEST_INSTANCE_SIZE]);
/* 0x01 and SHA-256 over the uncompressed point of a public key (TF-M). IOT_USAGE for other than EC keys. */
IOT_CHECK enum iot_status iot_attest_instance_of_key(const struct iot_key *key, uint8_t out[IOT_ATTEST_INSTANCE_SIZE],
						     struct iot_error *err);
/* Is this the instance id of a key that anybody can read in a public repository? NULL, or whose key it is. */
const char *iot_attest_published(const void *instance, size_t len);

/*
 * Read a token without checking who made it. IOT_USAGE when it is no token at
 * all. What breaks its profile's rules is told in problem ("": nothing); such claims count as absent.
 */
#define IOT_ATTEST_PROBLEM_MAX 160
IOT_CHECK enum iot_status iot_attest_decode(const void *data, size_t len, struct iot_cose *ret_cose,
					    struct iot_attest_claims *ret_claims, char problem[IOT_ATTEST_PROBLEM_MAX],
					    struct iot_error *err);
/* A record of claims, with names and hex texts. New reference. */
json_t *iot_attest_claims_json(const struct iot_attest_claims *claims);

/*
 * Append the payload of a token: the claims that are there, under the numbers of
 * claims->profile; and a whole token with a secret or a private key (the other NULL).
 * Nothing is judged: tests and software devices must be able to make bad ones.
 */
void iot_attest_put_claims(struct iot_buf *out, const struct iot_attest_claims *claims);
IOT_CHECK enum iot_status iot_attest_encode(const struct iot_attest_claims *claims, enum iot_cose_alg alg,
					    const void *secret, size_t secret_len, const struct iot_key *key,
					    struct iot_buf *out, struct iot_error *err);

/* --- policy -------------------------------------------------------------------- */

/*
 * What is accepted, a JSON object (all members optional, unknown ones refused):
 *
 *   profiles            names; default: all three
 *   lifecycle           names; default ["secured"]; besides that only "non-psa-rot-debug" can be allowed
 *   implementationIds   hex texts of 32 bytes; default: any
 *   client              "non-secure" (default: negative ids), "secure" (positive), "any", or a list of ids
 *   components          list of rules; default: any. Each rule must be met by a component of the token:
 *                       type ("SPE"; default any), signers (hex texts), measurements (hex texts), minVersion ("1.2.3");
 *                       a component meets it with one of the measurements, or with minVersion or a later one, and
 *                       one of the signers where there are any. minVersion needs signers, optional: true allows absence
 *   otherComponents     "refuse" (default when there are rules) or "allow": components that no rule is for
 */
struct iot_attest_policy;
#define IOT_ATTEST_POLICY_MAX 65536
/* IOT_USAGE names the member and what is wrong with it. */
IOT_CHECK enum iot_status iot_attest_policy_parse(const char *text, size_t len, const char *subject,
						  struct iot_attest_policy **ret, struct iot_error *err);
void iot_attest_policy_free(struct iot_attest_policy *policy);
void iot_attest_policy_free_p(struct iot_attest_policy **policy); /* for IOT_CLEAN */

/*
 * Append to a policy document (an object, may be empty) the rule that an image
 * meets: its measurement and signer (iot_image_measure); with `versions` any later
 * version of the same signer meets it too. type NULL: of any type. A rule of that type that is there gets the
 * measurement and signer besides its own. IOT_NOT_FOUND, IOT_USAGE.
 */
IOT_CHECK enum iot_status iot_attest_policy_add_image(json_t *policy, const char *path, const char *type, bool versions,
						      struct iot_error *err);

/* --- verdict ------------------------------------------------------------------- */

/* In the order in which they are done. One of the first four failing ends it: nothing after it can be believed. */
enum iot_attest_check {
	IOT_ATTEST_FORM,      /* strict CBOR, COSE, bounded */
	IOT_ATTEST_ALGORITHM, /* from the protected header, and the one that is registered */
	IOT_ATTEST_KEY,       /* usable, and not a published test key */
	IOT_ATTEST_SIGNATURE, /* tag or signature */
	IOT_ATTEST_NONCE,     /* the one that was given */
	IOT_ATTEST_INSTANCE,  /* the instance id belongs to the key and to the device */
	IOT_ATTEST_CLAIMS,    /* profile known and allowed, its claims there and well-formed */
	IOT_ATTEST_LIFECYCLE,
	IOT_ATTEST_IMPLEMENTATION,
	IOT_ATTEST_COMPONENTS,
	IOT_ATTEST_CLIENT,
	IOT_ATTEST_BOOT_SEED, /* as before, if one is expected */
	IOT_ATTEST_CHECKS
};
enum iot_attest_result {
	IOT_ATTEST_NOT_REACHED, /* a check before it failed */
	IOT_ATTEST_NOT_ASKED,   /* there is nothing to compare with */
	IOT_ATTEST_OK,
	IOT_ATTEST_FAILED
};
/* "form", "algorithm", ... */
const char *iot_attest_check_name(enum iot_attest_check check);

/* What a verifier knows. Exactly one of secret and key; everything is borrowed. */
struct iot_attest_expect {
	const void *secret; /* shared attestation key, 16 to 64 bytes */
	size_t secret_len;
	const struct iot_key *key; /* public attestation key */
	enum iot_cose_alg alg;     /* NONE: HMAC256 for a secret, by its curve for a key */
	struct iot_span nonce;     /* data NULL: not compared */
	struct iot_span instance;  /* as registered; data NULL: only compared with that of the secret */
	struct iot_span boot_seed; /* of the connection before; data NULL: not compared. A new one is no failure, see
				      seed_changed */
	const struct iot_attest_policy *policy; /* NULL: the defaults above */
	bool allow_published;                   /* for tests: take published keys */
};

struct iot_attest_verdict {
	bool accepted; /* no check failed or was not reached */
	bool seed_changed;
	struct {
		enum iot_attest_result result;
		char detail[IOT_ATTEST_PROBLEM_MAX];
	} checks[IOT_ATTEST_CHECKS];
	struct iot_attest_claims claims; /* borrowed from the token; believe them only if accepted */
};

/*
 * Check a token. IOT_OK: accepted. IOT_VERIFY: not, and err names the first check that failed and why. IOT_USAGE:
 * `expect` makes no sense. *verdict is filled in the first two cases. Neither blocks nor remembers: that a nonce is
 * used once is the caller's to see to.
 */
IOT_CHECK enum iot_status iot_attest_verify(const void *data, size_t len, const struct iot_attest_expect *expect,
					    struct iot_attest_verdict *verdict, struct iot_error *err);
/* The checks as records {check, ok, detail}; ok is absent when there was nothing to compare with or it was not reached.
 */
json_t *iot_attest_verdict_json(const struct iot_attest_verdict *verdict);
/* Signs that a device was shipped with test data (dummy ids, seeds, references): texts. New reference, an array. */
json_t *iot_attest_warnings(const struct iot_attest_claims *claims);

#endif
