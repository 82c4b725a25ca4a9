/*
 * COSE_Mac0 and COSE_Sign1 (RFC 9052), as attestation tokens use them: one
 * tagged array of four, an algorithm in the protected header, no external data.
 *
 * Algorithms (RFC 9053): HMAC 256/256, 384/384, 512/512; ES256 on P-256, ES384
 * on P-384, ES512 on P-521. HMAC 256/64 (a cut tag) is refused. CBOR is read
 * strictly (cbor.h), no more than IOT_COSE_MAX bytes of it.
 */
#ifndef IOTCTL_COSE_H
#define IOTCTL_COSE_H

#include "iotctl/cbor.h"
#include "iotctl/key.h"

#define IOT_COSE_MAX 4096
#define IOT_COSE_MAC_KEY_MIN 16
#define IOT_COSE_MAC_KEY_MAX 64

enum iot_cose_alg { /* IANA's numbers */
		    IOT_COSE_NONE = 0,
		    IOT_COSE_HMAC256 = 5,
		    IOT_COSE_HMAC384 = 6,
		    IOT_COSE_HMAC512 = 7,
		    IOT_COSE_ES256 = -7,
		    IOT_COSE_ES384 = -35,
		    IOT_COSE_ES512 = -36
};

/* "HMAC256", "ES256", ...; "" for others. And back: IOT_USAGE with the list. */
const char *iot_cose_alg_name(int64_t alg);
IOT_CHECK enum iot_status iot_cose_alg_parse(const char *name, enum iot_cose_alg *ret, struct iot_error *err);
/* The algorithm of a public or private key: by its curve. IOT_COSE_NONE for keys that do not fit. */
enum iot_cose_alg iot_cose_alg_of_key(const struct iot_key *key);

/* A message taken apart; everything is borrowed from it. */
struct iot_cose {
	bool mac;                   /* COSE_Mac0 (tag 17); else COSE_Sign1 (tag 18) */
	bool has_alg;               /* in the protected header; a number */
	int64_t alg;                /* as it says, known or not */
	bool has_crit;              /* header parameters that one must understand: none is understood */
	bool alg_outside;           /* the unprotected header has an algorithm: nobody may believe it */
	struct iot_span kid;        /* of either header */
	struct iot_span protected_; /* the protected header's bytes */
	struct iot_span payload;
	struct iot_span proof; /* tag or signature */
};

/*
 * Take a message apart. Nothing is judged but its form: tag, four elements,
 * headers that are maps without a label twice (in one or both), a payload that is there.
 * IOT_USAGE with the reason.
 */
IOT_CHECK enum iot_status iot_cose_parse(const void *data, size_t len, struct iot_cose *ret, struct iot_error *err);

/* The algorithm is one of the above, fits the kind of message, and no header parameter is critical. IOT_VERIFY. */
IOT_CHECK enum iot_status iot_cose_check_alg(const struct iot_cose *cose, struct iot_error *err);

/* Is the tag right? Compared in constant time, over the bytes as they came. IOT_VERIFY if not. */
IOT_CHECK enum iot_status iot_cose_verify_mac(const struct iot_cose *cose, const void *key, size_t key_len,
					      struct iot_error *err);
/* Is the signature this key's? IOT_VERIFY if not, or when the algorithm is not the key's. */
IOT_CHECK enum iot_status iot_cose_verify_sign(const struct iot_cose *cose, const struct iot_key *key,
					       struct iot_error *err);

/* Append a message with this payload. IOT_USAGE when it would be too long, or the algorithm does not fit the key. */
IOT_CHECK enum iot_status iot_cose_mac0(enum iot_cose_alg alg, const void *key, size_t key_len, const void *payload,
					size_t len, struct iot_buf *out, struct iot_error *err);
IOT_CHECK enum iot_status iot_cose_sign1(const struct iot_key *key, const void *payload, size_t len,
					 struct iot_buf *out, struct iot_error *err);

#endif
