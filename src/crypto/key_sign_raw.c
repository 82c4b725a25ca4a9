/* ECDSA signatures as JOSE and COSE carry them: r || s of fixed length, where libcrypto has DER. */
#include "crypto/internal.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>

#define DER_MAX 160 /* of SEQUENCE(r, s) on P-521: 139 */

static const struct curve {
	const EVP_MD *(*md)(void);
	size_t half;
	const char *name;
} curves[] = {
	[IOT_KEY_P256] = {EVP_sha256, 32, "ES256"},
	[IOT_KEY_P384] = {EVP_sha384, 48, "ES384"},
	[IOT_KEY_P521] = {EVP_sha512, 66, "ES512"},
};

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

static void sig_free_p(ECDSA_SIG **sig)
{
	ECDSA_SIG_free(*sig);
	*sig = NULL;
}

static const struct curve *curve_of(const struct iot_key *key)
{
	return key->type < IOT_LENGTH(curves) && curves[key->type].md != NULL ? &curves[key->type] : NULL;
}

static enum iot_status no_curve(const struct iot_key *key, struct iot_error *err)
{
	return iot_fail(err, IOT_USAGE, "a key of type '%s' makes no ECDSA signature of fixed length",
			iot_key_type_name(key->type));
}

size_t iot_key_raw_size(const struct iot_key *key)
{
	const struct curve *curve = curve_of(key);

	return curve != NULL ? 2 * curve->half : 0;
}

enum iot_status iot_key_sign_raw(const struct iot_key *key, const void *data, size_t len, struct iot_buf *sig,
				 struct iot_error *err)
{
	const struct curve *curve = curve_of(key);
	IOT_CLEAN(md_ctx_free_p) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	IOT_CLEAN(sig_free_p) ECDSA_SIG *pair = NULL;
	unsigned char der[DER_MAX], raw[IOT_RAW_SIGNATURE_MAX];
	const unsigned char *at = der;
	size_t der_len = sizeof(der);

	if (curve == NULL)
		return no_curve(key, err);
	if (!key->has_private)
		return iot_fail(err, IOT_USAGE, "a public key cannot sign");
	if (ctx == NULL || EVP_DigestSignInit(ctx, NULL, curve->md(), NULL, key->pkey) != 1 ||
	    EVP_DigestSign(ctx, der, &der_len, data, len) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot sign");
	pair = d2i_ECDSA_SIG(NULL, &at, (long)der_len);
	if (pair == NULL || BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw, (int)curve->half) < 0 ||
	    BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw + curve->half, (int)curve->half) < 0)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot sign");
	iot_buf_add(sig, raw, 2 * curve->half);
	return iot_buf_check(sig, "the signature", err);
}

/* r || s as DER; its length, or 0. */
static int der_of(const struct curve *curve, const unsigned char *raw, unsigned char **ret)
{
	IOT_CLEAN(sig_free_p) ECDSA_SIG *pair = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw, (int)curve->half, NULL);
	BIGNUM *s = BN_bin2bn(raw + curve->half, (int)curve->half, NULL);
	int len;

	if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return 0;
	}
	len = i2d_ECDSA_SIG(pair, ret);
	return len > 0 ? len : 0;
}

enum iot_status iot_key_verify_raw(const struct iot_key *key, const void *data, size_t len, const void *sig,
				   size_t sig_len, struct iot_error *err)
{
	const struct curve *curve = curve_of(key);
	IOT_CLEAN(md_ctx_free_p) EVP_MD_CTX *ctx = NULL;
	unsigned char *der = NULL;
	int der_len, good;

	if (curve == NULL)
		return no_curve(key, err);
	if (sig_len != 2 * curve->half)
		return iot_fail(err, IOT_VERIFY, "the signature has %zu bytes: %s has %zu", sig_len, curve->name,
				2 * curve->half);
	der_len = der_of(curve, sig, &der);
	if (der_len == 0)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot verify a signature");
	ctx = EVP_MD_CTX_new();
	good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, curve->md(), NULL, key->pkey) == 1 &&
	       EVP_DigestVerify(ctx, der, (size_t)der_len, data, len) == 1;
	OPENSSL_free(der);
	if (good)
		return IOT_OK;
	ERR_clear_error(); /* how a wrong signature is wrong helps nobody */
	return iot_fail(err, IOT_VERIFY, "the signature (%s) does not match", curve->name);
}
