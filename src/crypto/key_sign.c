/*
 * Signatures. A file is hashed first, piece by piece, and its digest signed;
 * the scheme table says which keys may sign and with which digest.
 */
#include "crypto/internal.h"

#include <openssl/err.h>

static const struct scheme {
	const char *name;
	int base_id; /* EVP_PKEY_EC, ... */
	int min_bits;
	const EVP_MD *(*md)(void); /* NULL: the data itself is signed */
} schemes[] = {
	[IOT_SIG_ECDSA_SHA256] = {"ECDSA with SHA-256", EVP_PKEY_EC, 256, EVP_sha256},
	[IOT_SIG_RSA_PKCS1_SHA256] = {"RSA with SHA-256", EVP_PKEY_RSA, 2048, EVP_sha256},
	[IOT_SIG_RSA_PKCS1_SHA1] = {"RSA with SHA-1", EVP_PKEY_RSA, 1024, EVP_sha1},
	[IOT_SIG_ED25519] = {"Ed25519", EVP_PKEY_ED25519, 0, NULL},
};

static void ctx_free_p(EVP_PKEY_CTX **ctx)
{
	EVP_PKEY_CTX_free(*ctx);
	*ctx = NULL;
}

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

enum iot_status iot_key_scheme(const struct iot_key *key, enum iot_sig_scheme *ret, struct iot_error *err)
{
	switch (EVP_PKEY_get_base_id(key->pkey)) {
	case EVP_PKEY_EC:
		*ret = IOT_SIG_ECDSA_SHA256;
		return IOT_OK;
	case EVP_PKEY_RSA:
		*ret = IOT_SIG_RSA_PKCS1_SHA256;
		return IOT_OK;
	case EVP_PKEY_ED25519:
		*ret = IOT_SIG_ED25519;
		return IOT_OK;
	default:
		return iot_fail(err, IOT_USAGE, "no signature scheme for a key of this kind");
	}
}

/* Does the key fit the scheme? */
static enum iot_status check_key(const struct iot_key *key, const struct scheme *scheme, struct iot_error *err)
{
	if (EVP_PKEY_get_base_id(key->pkey) != scheme->base_id)
		return iot_fail(err, IOT_USAGE, "a key of type '%s' cannot be used for %s",
				iot_key_type_name(key->type), scheme->name);
	if (iot_key_bits(key) < scheme->min_bits)
		return iot_fail(err, IOT_USAGE, "a key of %d bits is too short for %s", iot_key_bits(key),
				scheme->name);
	return IOT_OK;
}

static enum iot_status check_private(const struct iot_key *key, const struct scheme *scheme, struct iot_error *err)
{
	if (!key->has_private)
		return iot_fail(err, IOT_USAGE, "a public key cannot sign");
	return check_key(key, scheme, err);
}

static enum iot_status check_digest(const struct scheme *scheme, size_t len, struct iot_error *err)
{
	if (scheme->md == NULL)
		return iot_fail(err, IOT_USAGE, "%s signs data, not its digest", scheme->name);
	if (len != (size_t)EVP_MD_get_size(scheme->md()))
		return iot_fail(err, IOT_USAGE, "a digest of %zu bytes is not the one of %s", len, scheme->name);
	return IOT_OK;
}

static enum iot_status sign_failed(struct iot_error *err)
{
	return iot_ossl_fail(err, IOT_FAILURE, "cannot sign");
}

static enum iot_status bad_signature(const struct scheme *scheme, struct iot_error *err)
{
	ERR_clear_error(); /* how a malformed signature is malformed helps nobody */
	return iot_fail(err, IOT_VERIFY, "the signature (%s) does not match", scheme->name);
}

enum iot_status iot_key_sign_digest(const struct iot_key *key, enum iot_sig_scheme which, const void *digest,
				    size_t len, struct iot_buf *sig, struct iot_error *err)
{
	const struct scheme *scheme = &schemes[which];
	enum iot_status status = check_private(key, scheme, err);
	IOT_CLEAN(ctx_free_p) EVP_PKEY_CTX *ctx = NULL;
	size_t sig_len = (size_t)EVP_PKEY_get_size(key->pkey);
	char *to;

	if (status == IOT_OK)
		status = check_digest(scheme, len, err);
	if (status != IOT_OK)
		return status;
	to = iot_buf_reserve(sig, sig_len);
	if (to == NULL)
		return iot_fail(err, IOT_FAILURE, "the signature does not fit");
	ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
	if (ctx == NULL || EVP_PKEY_sign_init(ctx) != 1 || EVP_PKEY_CTX_set_signature_md(ctx, scheme->md()) != 1 ||
	    EVP_PKEY_sign(ctx, (unsigned char *)to, &sig_len, digest, len) != 1)
		return sign_failed(err);
	sig->len += sig_len;
	return IOT_OK;
}

enum iot_status iot_key_verify_digest(const struct iot_key *key, enum iot_sig_scheme which, const void *digest,
				      size_t len, const void *sig, size_t sig_len, struct iot_error *err)
{
	const struct scheme *scheme = &schemes[which];
	enum iot_status status = check_key(key, scheme, err);
	IOT_CLEAN(ctx_free_p) EVP_PKEY_CTX *ctx = NULL;

	if (status == IOT_OK)
		status = check_digest(scheme, len, err);
	if (status != IOT_OK)
		return status;
	ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
	if (ctx == NULL || EVP_PKEY_verify_init(ctx) != 1 || EVP_PKEY_CTX_set_signature_md(ctx, scheme->md()) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot verify a signature");
	if (EVP_PKEY_verify(ctx, sig, sig_len, digest, len) != 1)
		return bad_signature(scheme, err);
	return IOT_OK;
}

enum iot_status iot_key_sign(const struct iot_key *key, enum iot_sig_scheme which, const void *data, size_t len,
			     struct iot_buf *sig, struct iot_error *err)
{
	const struct scheme *scheme = &schemes[which];
	enum iot_status status = check_private(key, scheme, err);
	IOT_CLEAN(md_ctx_free_p) EVP_MD_CTX *ctx = NULL;
	size_t sig_len = (size_t)EVP_PKEY_get_size(key->pkey);
	char *to;

	if (status != IOT_OK)
		return status;
	to = iot_buf_reserve(sig, sig_len);
	if (to == NULL)
		return iot_fail(err, IOT_FAILURE, "the signature does not fit");
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL, scheme->md != NULL ? scheme->md() : NULL, NULL, key->pkey) != 1 ||
	    EVP_DigestSign(ctx, (unsigned char *)to, &sig_len, data, len) != 1)
		return sign_failed(err);
	sig->len += sig_len;
	return IOT_OK;
}

enum iot_status iot_key_verify(const struct iot_key *key, enum iot_sig_scheme which, const void *data, size_t len,
			       const void *sig, size_t sig_len, struct iot_error *err)
{
	const struct scheme *scheme = &schemes[which];
	enum iot_status status = check_key(key, scheme, err);
	IOT_CLEAN(md_ctx_free_p) EVP_MD_CTX *ctx = NULL;

	if (status != IOT_OK)
		return status;
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL ||
	    EVP_DigestVerifyInit(ctx, NULL, scheme->md != NULL ? scheme->md() : NULL, NULL, key->pkey) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot verify a signature");
	if (EVP_DigestVerify(ctx, sig, sig_len, data, len) != 1)
		return bad_signature(scheme, err);
	return IOT_OK;
}

/* The file's digest for a scheme that signs one. */
static enum iot_status hash_for(enum iot_sig_scheme which, const char *path, struct iot_file_hash *hash,
				const void **ret, size_t *ret_len, struct iot_error *err)
{
	enum iot_status status;

	if (schemes[which].md == NULL)
		return iot_fail(err, IOT_USAGE, "%s cannot sign a file: it would have to be held in memory",
				schemes[which].name);
	hash->want_sha1 = which == IOT_SIG_RSA_PKCS1_SHA1;
	status = iot_hash_file(path, hash, err);
	*ret = hash->want_sha1 ? hash->sha1 : hash->sha256;
	*ret_len = hash->want_sha1 ? sizeof(hash->sha1) : sizeof(hash->sha256);
	return status;
}

enum iot_status iot_key_sign_file(const struct iot_key *key, enum iot_sig_scheme which, const char *path,
				  struct iot_buf *sig, struct iot_error *err)
{
	struct iot_file_hash hash;
	const void *digest = NULL;
	size_t len = 0;
	enum iot_status status = hash_for(which, path, &hash, &digest, &len, err);

	return status == IOT_OK ? iot_key_sign_digest(key, which, digest, len, sig, err) : status;
}

enum iot_status iot_key_verify_file(const struct iot_key *key, enum iot_sig_scheme which, const char *path,
				    const void *sig, size_t sig_len, struct iot_error *err)
{
	struct iot_file_hash hash;
	const void *digest = NULL;
	size_t len = 0;
	enum iot_status status = hash_for(which, path, &hash, &digest, &len, err);

	return status == IOT_OK ? iot_key_verify_digest(key, which, digest, len, sig, sig_len, err) : status;
}
