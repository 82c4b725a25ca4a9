/*
 * Asymmetric keys: make, load, save, name, sign, verify.
 *
 * A key holds a public part and perhaps a private one, in memory or in a
 * PKCS#11 token. Formats: PKCS#8 (RFC 5958), SEC1 (RFC 5915) and PKCS#1
 * (RFC 8017) in PEM; SubjectPublicKeyInfo (RFC 5280 4.1.2.7) for public keys;
 * pkcs11: URIs (RFC 7512). Nothing here blocks but on the disk, the token and a
 * secret source. Keys are not to be used by two threads at once.
 */
#ifndef IOTCTL_KEY_H
#define IOTCTL_KEY_H

#include "iotctl/buf.h"
#include "iotctl/digest.h"
#include "iotctl/error.h"

#include <stdint.h>

struct iot_key;

enum iot_key_type {
	IOT_KEY_OTHER = 0, /* loaded, of a kind we have no name for (RSA of an odd size, an exotic curve) */
	IOT_KEY_P256,
	IOT_KEY_P384,
	IOT_KEY_P521,
	IOT_KEY_RSA2048,
	IOT_KEY_RSA3072,
	IOT_KEY_RSA4096,
	IOT_KEY_ED25519
};

/*
 * Where a passphrase or PIN comes from: never an argument. `read` appends the
 * secret to a secret buffer (limit IOT_SECRET_MAX); `subject` says what it is
 * for, fit for a prompt. Any status it fails with is passed on.
 */
#define IOT_SECRET_MAX 1024
struct iot_secret_source {
	enum iot_status (*read)(void *context, const char *subject, struct iot_buf *secret, struct iot_error *err);
	void *context;
};

/*
 * A source that takes the first line of a private file (IOT_DENIED if others
 * can read it). `path` is borrowed for as long as the source is used.
 */
struct iot_secret_source iot_secret_from_file(const char *path);

/* Make a key pair of any type but IOT_KEY_OTHER. RSA may take seconds. */
IOT_CHECK enum iot_status iot_key_generate(enum iot_key_type type, struct iot_key **ret, struct iot_error *err);

/*
 * Load a private key from a PEM file or a pkcs11: URI.
 *
 * A file must be ours (or root's) and closed to others: IOT_DENIED otherwise.
 * An encrypted file needs `passphrase`: IOT_DENIED without one, or when it is
 * wrong. For a token the PIN comes from pin-source=file:PATH in the URI or from
 * `passphrase`; pin-value= is refused, since it would be on a command line.
 * module-path= in the URI names the PKCS#11 module; without it the engine's own
 * default holds; one module per process (IOT_CONFLICT), in which a token that
 * was opened once stays open. IOT_FAILURE naming the package when the engine is missing;
 * IOT_NOT_FOUND when the token has no such key.
 */
IOT_CHECK enum iot_status iot_key_load(const char *path_or_uri, const struct iot_secret_source *passphrase,
				       struct iot_key **ret, struct iot_error *err);

/* The same from PEM text. `subject` names it in messages. */
IOT_CHECK enum iot_status iot_key_from_private_pem(const char *text, size_t len, const char *subject,
						   const struct iot_secret_source *passphrase, struct iot_key **ret,
						   struct iot_error *err);

/*
 * Write a new private file (O_EXCL, 0600, fsynced) with the key as PKCS#8 PEM;
 * with `passphrase` encrypted (PBES2, AES-256-CBC, PBKDF2-HMAC-SHA-256).
 * IOT_CONFLICT if the file exists; IOT_USAGE when the private part is in a
 * token or absent.
 */
IOT_CHECK enum iot_status iot_key_save_new(const struct iot_key *key, const char *path,
					   const struct iot_secret_source *passphrase, struct iot_error *err);

/* Append the private key as unencrypted PKCS#8, PEM or DER, to a buffer, which becomes a secret one. */
IOT_CHECK enum iot_status iot_key_private_pem(const struct iot_key *key, struct iot_buf *secret, struct iot_error *err);
IOT_CHECK enum iot_status iot_key_private_der(const struct iot_key *key, struct iot_buf *secret, struct iot_error *err);

/* Public key of a file that holds a PUBLIC KEY or a CERTIFICATE in PEM (the first block counts). */
IOT_CHECK enum iot_status iot_key_load_public(const char *path, struct iot_key **ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_key_from_public_pem(const char *text, size_t len, const char *subject,
						  struct iot_key **ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_key_from_public_der(const void *der, size_t len, const char *subject,
						  struct iot_key **ret, struct iot_error *err);

/* Append SubjectPublicKeyInfo as PEM / as DER. */
IOT_CHECK enum iot_status iot_key_public_pem(const struct iot_key *key, struct iot_buf *out, struct iot_error *err);
IOT_CHECK enum iot_status iot_key_public_der(const struct iot_key *key, struct iot_buf *out, struct iot_error *err);

/* The key's name: SHA-256 of its SubjectPublicKeyInfo in DER, lower-case hex. Returns id. */
char *iot_key_id(const struct iot_key *key, char id[IOT_SHA256_HEX_SIZE]);

enum iot_key_type iot_key_type(const struct iot_key *key);
/* "p256", "rsa2048", ..., "other"; and back (IOT_USAGE with the list). */
const char *iot_key_type_name(enum iot_key_type type);
IOT_CHECK enum iot_status iot_key_type_parse(const char *name, enum iot_key_type *ret, struct iot_error *err);
/* Length in bits as OpenSSL counts it: 256 for P-256, the modulus for RSA. */
int iot_key_bits(const struct iot_key *key);
bool iot_key_is_rsa(const struct iot_key *key);
bool iot_key_has_private(const struct iot_key *key);
/* The same public key. */
bool iot_key_equal(const struct iot_key *a, const struct iot_key *b);

/* A new key with the public part only. Never NULL. */
struct iot_key *iot_key_public_copy(const struct iot_key *key);

/*
 * May a device certificate hold this key? RSA of 2048 to 4096 bits and P-256,
 * P-384, P-521: what AWS IoT accepts. IOT_USAGE with the reason otherwise.
 */
IOT_CHECK enum iot_status iot_key_check_device(const struct iot_key *key, struct iot_error *err);

void iot_key_free(struct iot_key *key);
void iot_key_free_p(struct iot_key **key); /* for IOT_CLEAN */

enum iot_sig_scheme {
	IOT_SIG_ECDSA_SHA256,     /* DER SEQUENCE(r, s) (RFC 3279 2.2.3) over SHA-256; any NIST curve */
	IOT_SIG_RSA_PKCS1_SHA256, /* RSASSA-PKCS1-v1_5 (RFC 8017 8.2), at least 2048 bits */
	IOT_SIG_RSA_PKCS1_SHA1,   /* legacy; at least 1024 bits */
	IOT_SIG_ED25519           /* RFC 8032, over the data itself */
};

/* The scheme this key signs with by default: ECDSA_SHA256, RSA_PKCS1_SHA256 or ED25519. IOT_USAGE for other keys. */
IOT_CHECK enum iot_status iot_key_scheme(const struct iot_key *key, enum iot_sig_scheme *ret, struct iot_error *err);

/*
 * Sign data; the signature is appended. IOT_USAGE when the key is of the wrong
 * kind or too weak for the scheme, or has no private part.
 */
IOT_CHECK enum iot_status iot_key_sign(const struct iot_key *key, enum iot_sig_scheme scheme, const void *data,
				       size_t len, struct iot_buf *sig, struct iot_error *err);
/* Sign a digest made before: 32 bytes for the SHA-256 schemes, 20 for SHA-1. Not for Ed25519 (IOT_USAGE). */
IOT_CHECK enum iot_status iot_key_sign_digest(const struct iot_key *key, enum iot_sig_scheme scheme, const void *digest,
					      size_t len, struct iot_buf *sig, struct iot_error *err);
/* Sign the bytes of a file, which is read in pieces. Not for Ed25519 (IOT_USAGE): it would have to be in memory. */
IOT_CHECK enum iot_status iot_key_sign_file(const struct iot_key *key, enum iot_sig_scheme scheme, const char *path,
					    struct iot_buf *sig, struct iot_error *err);

/* IOT_OK if the signature is this key's over this data, IOT_VERIFY if it is not (or is malformed). */
IOT_CHECK enum iot_status iot_key_verify(const struct iot_key *key, enum iot_sig_scheme scheme, const void *data,
					 size_t len, const void *sig, size_t sig_len, struct iot_error *err);
IOT_CHECK enum iot_status iot_key_verify_digest(const struct iot_key *key, enum iot_sig_scheme scheme,
						const void *digest, size_t len, const void *sig, size_t sig_len,
						struct iot_error *err);
IOT_CHECK enum iot_status iot_key_verify_file(const struct iot_key *key, enum iot_sig_scheme scheme, const char *path,
					      const void *sig, size_t sig_len, struct iot_error *err);

/*
 * ECDSA as JOSE and COSE carry it (RFC 7518 3.4, RFC 9053 2.1): r and s one after the other, each padded to the length of
 * the curve's order, over SHA-256 for P-256, SHA-384 for P-384, SHA-512 for P-521. IOT_USAGE for other keys.
 */
#define IOT_RAW_SIGNATURE_MAX 132
/* Length of such a signature by this key: 64, 96, 132; 0 for other keys. */
size_t iot_key_raw_size(const struct iot_key *key);
IOT_CHECK enum iot_status iot_key_sign_raw(const struct iot_key *key, const void *data, size_t len, struct iot_buf *sig,
					   struct iot_error *err);
/* IOT_VERIFY also when the signature has another length, or is DER. */
IOT_CHECK enum iot_status iot_key_verify_raw(const struct iot_key *key, const void *data, size_t len, const void *sig,
					     size_t sig_len, struct iot_error *err);

#endif
