/*
 * What the files of this folder share: the insides of keys and certificates,
 * and how a fault in libcrypto becomes an error object.
 */
#ifndef IOTCTL_CRYPTO_INTERNAL_H
#define IOTCTL_CRYPTO_INTERNAL_H

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/key.h"

#include <openssl/evp.h>
#include <openssl/x509v3.h>

struct iot_token; /* a PKCS#11 engine in use (key_pkcs11.c) */

struct iot_key {
	EVP_PKEY *pkey;
	enum iot_key_type type;
	bool has_private;
	struct iot_token *token; /* where the private part is, or NULL */
};

struct iot_cert_names {
	struct iot_cert_field *fields; /* names and values are this struct's own memory */
	size_t count;
};

struct iot_cert {
	X509 *x509;
	struct iot_key *key;
	struct iot_cert_names names[3]; /* by enum iot_cert_part */
	char *subject;
	char *issuer;
	char *serial;
	int64_t not_before;
	int64_t not_after;
	char id[IOT_SHA256_HEX_SIZE];
};

/*
 * As iot_fail, with ": REASON" appended when libcrypto left an error; its error
 * queue is empty afterwards.
 */
enum iot_status iot_ossl_fail(struct iot_error *err, enum iot_status status, const char *fmt, ...) IOT_PRINTF(3, 4);
/* libcrypto does not work at all: one line on stderr, and the process ends. */
void iot_ossl_die(const char *what) __attribute__((noreturn));
/* The text a memory BIO holds, appended to out. */
void iot_ossl_bio_to_buf(BIO *bio, struct iot_buf *out);

/* What one reading of a file tells: digests, size, its first bytes. */
struct iot_file_hash {
	bool want_sha1; /* set by the caller; sha1 is filled only then */
	uint8_t sha256[IOT_SHA256_SIZE];
	uint8_t sha1[20];
	int64_t size;
	uint8_t head[64];
	size_t head_len;
};
IOT_CHECK enum iot_status iot_hash_file(const char *path, struct iot_file_hash *ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_hash_fd(int fd, const char *name, struct iot_file_hash *ret, struct iot_error *err);

/*
 * Make an iot_key of a pkey, which is taken over (freed on failure). Refuses
 * with IOT_USAGE what nobody should use: RSA below 1024 or above 8192 bits,
 * curves with parameters of their own. `subject` is for messages.
 */
IOT_CHECK enum iot_status iot_key_wrap(EVP_PKEY *pkey, bool has_private, const char *subject, struct iot_key **ret,
				       struct iot_error *err);

/* Read a secret of at most IOT_SECRET_MAX bytes from its source into a secret buffer. */
IOT_CHECK enum iot_status iot_secret_read(const struct iot_secret_source *source, const char *subject,
					  struct iot_buf *secret, struct iot_error *err);

/* A private key in a token (iot_key_load for pkcs11: URIs), and the end of its use. */
IOT_CHECK enum iot_status iot_pkcs11_load(const char *uri, const struct iot_secret_source *pin, struct iot_key **ret,
					  struct iot_error *err);
void iot_token_free(struct iot_token *token);

/* Make an iot_cert of an x509, which is taken over (freed on failure). */
IOT_CHECK enum iot_status iot_cert_wrap(X509 *x509, const char *subject, struct iot_cert **ret, struct iot_error *err);

/* Add a UTF-8 field to a name. False when libcrypto refuses. */
bool iot_name_add(X509_NAME *name, int nid, const char *value);

void iot_evp_pkey_free_p(EVP_PKEY **pkey);
void iot_bio_free_p(BIO **bio);
void iot_x509_free_p(X509 **x509);

#endif
