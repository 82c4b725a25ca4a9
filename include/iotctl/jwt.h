/*
 * JSON Web Tokens as Google's IoT Core and its heirs take them in place of a
 * password (RFC 7515, RFC 7519): three parts in base64url without padding, ES256
 * or RS256, claims iat, exp and aud. A token is a credential until it expires: it
 * goes into no argument list and no log.
 *
 * Limits of those clouds: at most 24 hours from iat to exp, clocks may differ by
 * ten minutes, aud is one text (the project).
 */
#ifndef IOTCTL_JWT_H
#define IOTCTL_JWT_H

#include "iotctl/json.h"
#include "iotctl/key.h"

#define IOT_JWT_MAX 4096           /* bytes of a token */
#define IOT_JWT_LIFETIME_MAX 86400 /* seconds from iat to exp */
#define IOT_JWT_SKEW 600           /* seconds by which clocks may differ */
#define IOT_JWT_KEYS_MAX 3         /* of a device */

/*
 * Append a token. ES256 for P-256 keys, RS256 for RSA (2048 bits and more),
 * IOT_USAGE for others and for a lifetime of 0 or above IOT_JWT_LIFETIME_MAX.
 * Times in seconds since 1970. `extra` (may be NULL): further claims, which may not be iat, exp or aud.
 */
IOT_CHECK enum iot_status iot_jwt_create(const struct iot_key *key, const char *audience, int64_t issued_at,
					 int64_t lifetime, const json_t *extra, struct iot_buf *out,
					 struct iot_error *err);

/* A token taken apart, nothing of it checked but its form. */
struct iot_jwt {
	json_t *header, *claims;
	char alg[16];      /* "" if absent or longer */
	size_t signed_len; /* bytes of header and claims in the text, which are what is signed */
	struct iot_buf signature;
};
/*
 * Strict: three parts, base64url without padding, JSON objects without a member twice, no critical header. IOT_USAGE
 * says what is wrong and what makes such tokens: padding, the alphabet of plain base64, white space, a missing part.
 */
IOT_CHECK enum iot_status iot_jwt_parse(const char *text, size_t len, struct iot_jwt *ret, struct iot_error *err);
void iot_jwt_release(struct iot_jwt *jwt); /* fits IOT_CLEAN */

/* In the order in which they are done. One of the first three failing ends it. */
enum iot_jwt_check {
	IOT_JWT_FORM,
	IOT_JWT_ALGORITHM, /* ES256 or RS256, and that of a key */
	IOT_JWT_SIGNATURE,
	IOT_JWT_ISSUED,   /* iat, not in the future */
	IOT_JWT_EXPIRY,   /* exp, not past */
	IOT_JWT_LIFETIME, /* exp - iat */
	IOT_JWT_AUDIENCE,
	IOT_JWT_CHECKS
};
enum iot_jwt_result { IOT_JWT_NOT_REACHED, IOT_JWT_NOT_ASKED, IOT_JWT_OK, IOT_JWT_FAILED };
/* "form", "algorithm", ... */
const char *iot_jwt_check_name(enum iot_jwt_check check);

/* A key that may have signed. */
struct iot_jwt_key {
	const struct iot_key *key;
	const char *name;   /* for messages; may be NULL */
	int64_t expires_at; /* seconds since 1970; 0: never. An expired key signs nothing */
};

/* What a verifier knows; everything is borrowed. */
struct iot_jwt_expect {
	const struct iot_jwt_key *keys; /* the device's. None: the signature is not checked, and nothing is accepted */
	size_t key_count;
	const struct iot_jwt_key *others; /* of other devices: only to say whose it is */
	size_t other_count;
	const char *audience; /* NULL: not compared */
	int64_t now;          /* seconds since 1970 */
	int64_t skew;         /* seconds; usually IOT_JWT_SKEW */
};

#define IOT_JWT_DETAIL_MAX 200
struct iot_jwt_verdict {
	bool accepted;
	struct {
		enum iot_jwt_result result;
		char detail[IOT_JWT_DETAIL_MAX];
	} checks[IOT_JWT_CHECKS];
	int64_t issued_at, expires_at; /* 0: absent. A connection must end at expires_at + skew */
	size_t key;                    /* which of the keys it was, if the signature is right */
};

/*
 * Check a token. IOT_OK: accepted. IOT_VERIFY: not, and err names the first
 * check that failed and why, fit for a device's log: expired how long ago, issued
 * how far in the future, another audience, DER in place of raw signature, another
 * device's key. The key's kind decides the algorithm; the header must agree.
 */
IOT_CHECK enum iot_status iot_jwt_verify(const char *text, size_t len, const struct iot_jwt_expect *expect,
					 struct iot_jwt_verdict *verdict, struct iot_error *err);
/* The checks as records {check, ok, detail}; ok is absent when there was nothing to compare with or it was not reached.
 */
json_t *iot_jwt_verdict_json(const struct iot_jwt_verdict *verdict);

#endif
