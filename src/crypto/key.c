/*
 * Keys as objects: made, named, compared, judged. Reading and writing them is
 * in key_pem.c, using them in key_sign.c, tokens in key_pkcs11.c.
 */
#include "crypto/internal.h"
#include "iotctl/text.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <string.h>

#define PUBLIC_DER_MAX 4096

/* Every type with a name. `group` is OpenSSL's name of the curve, NULL for RSA and Ed25519. */
static const struct key_kind {
	enum iot_key_type type;
	const char *name;
	const char *group;
	unsigned bits;
} kinds[] = {
	{IOT_KEY_P256, "p256", "prime256v1", 256},    {IOT_KEY_P384, "p384", "secp384r1", 384},
	{IOT_KEY_P521, "p521", "secp521r1", 521},     {IOT_KEY_RSA2048, "rsa2048", NULL, 2048},
	{IOT_KEY_RSA3072, "rsa3072", NULL, 3072},     {IOT_KEY_RSA4096, "rsa4096", NULL, 4096},
	{IOT_KEY_ED25519, "ed25519", "ED25519", 256},
};

static const struct key_kind *find_kind(enum iot_key_type type)
{
	for (size_t i = 0; i < IOT_LENGTH(kinds); i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

static enum iot_key_type type_of(EVP_PKEY *pkey)
{
	char group[64] = "";

	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519)
		return IOT_KEY_ED25519;
	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1)
		return IOT_KEY_OTHER;
	for (size_t i = 0; i < IOT_LENGTH(kinds); i++) {
		bool rsa = kinds[i].group == NULL && EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA &&
			   EVP_PKEY_get_bits(pkey) == (int)kinds[i].bits;
		if (rsa || (kinds[i].group != NULL && strcmp(kinds[i].group, group) == 0))
			return kinds[i].type;
	}
	return IOT_KEY_OTHER;
}

/* Curves spelt out by their parameters hide what they are, and have been used to forge certificates. */
static bool has_own_curve(EVP_PKEY *pkey)
{
	int explicit_params = 0;

	return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
	       EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_params) == 1 &&
	       explicit_params == 1;
}

enum iot_status iot_key_wrap(EVP_PKEY *pkey, bool has_private, const char *subject, struct iot_key **ret,
			     struct iot_error *err)
{
	int bits = EVP_PKEY_get_bits(pkey);
	enum iot_status status = IOT_OK;

	if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA && (bits < 1024 || bits > 8192))
		status = iot_fail(err, IOT_USAGE, "the RSA key of '%s' has %d bits: 1024 to 8192 are usable", subject,
				  bits);
	else if (has_own_curve(pkey))
		status = iot_fail(err, IOT_USAGE, "the key of '%s' has curve parameters of its own", subject);
	if (status != IOT_OK) {
		EVP_PKEY_free(pkey);
		return status;
	}
	*ret = iot_alloc(sizeof(**ret));
	(*ret)->pkey = pkey;
	(*ret)->has_private = has_private;
	(*ret)->type = type_of(pkey);
	return IOT_OK;
}

enum iot_status iot_key_generate(enum iot_key_type type, struct iot_key **ret, struct iot_error *err)
{
	const struct key_kind *kind = find_kind(type);
	EVP_PKEY *pkey = NULL;

	if (kind == NULL)
		return iot_fail(err, IOT_USAGE, "no such type of key to make");
	if (type == IOT_KEY_ED25519)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	else if (kind->group != NULL)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind->group);
	else
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)kind->bits);
	if (pkey == NULL)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot make a key of type '%s'", kind->name);
	return iot_key_wrap(pkey, true, kind->name, ret, err);
}

char *iot_key_id(const struct iot_key *key, char id[IOT_SHA256_HEX_SIZE])
{
	unsigned char *der = NULL;
	int len = i2d_PUBKEY(key->pkey, &der);

	if (len <= 0)
		iot_ossl_die("public key encoding"); /* every key in our hands was decoded or made */
	iot_sha256_hex(der, (size_t)len, id);
	OPENSSL_free(der);
	return id;
}

enum iot_key_type iot_key_type(const struct iot_key *key)
{
	return key->type;
}

const char *iot_key_type_name(enum iot_key_type type)
{
	const struct key_kind *kind = find_kind(type);

	return kind != NULL ? kind->name : "other";
}

enum iot_status iot_key_type_parse(const char *name, enum iot_key_type *ret, struct iot_error *err)
{
	struct iot_buf list = IOT_BUF_INIT(256);
	enum iot_status status;

	for (size_t i = 0; i < IOT_LENGTH(kinds); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			*ret = kinds[i].type;
			iot_buf_release(&list);
			return IOT_OK;
		}
		iot_buf_addf(&list, "%s%s", i > 0 ? ", " : "", kinds[i].name);
	}
	status = iot_fail(err, IOT_USAGE, "'%s' is not a type of key", name);
	iot_error_hint(err, "one of %s", iot_buf_str(&list));
	iot_buf_release(&list);
	return status;
}

int iot_key_bits(const struct iot_key *key)
{
	return EVP_PKEY_get_bits(key->pkey);
}

bool iot_key_is_rsa(const struct iot_key *key)
{
	return EVP_PKEY_get_base_id(key->pkey) == EVP_PKEY_RSA;
}

bool iot_key_has_private(const struct iot_key *key)
{
	return key->has_private;
}

bool iot_key_equal(const struct iot_key *a, const struct iot_key *b)
{
	char id_a[IOT_SHA256_HEX_SIZE], id_b[IOT_SHA256_HEX_SIZE];

	/* Not EVP_PKEY_eq: it does not compare a token's key with one in memory on all versions. */
	return strcmp(iot_key_id(a, id_a), iot_key_id(b, id_b)) == 0;
}

struct iot_key *iot_key_public_copy(const struct iot_key *key)
{
	struct iot_buf der = IOT_BUF_INIT(PUBLIC_DER_MAX);
	struct iot_key *copy = NULL;

	if (iot_key_public_der(key, &der, NULL) != IOT_OK ||
	    iot_key_from_public_der(der.data, der.len, "public key", &copy, NULL) != IOT_OK)
		iot_ossl_die("public key encoding");
	iot_buf_release(&der);
	return copy;
}

enum iot_status iot_key_check_device(const struct iot_key *key, struct iot_error *err)
{
	enum iot_status status;

	switch (key->type) {
	case IOT_KEY_P256:
	case IOT_KEY_P384:
	case IOT_KEY_P521:
	case IOT_KEY_RSA2048:
	case IOT_KEY_RSA3072:
	case IOT_KEY_RSA4096:
		return IOT_OK;
	case IOT_KEY_ED25519:
		status = iot_fail(err, IOT_USAGE,
				  "an Ed25519 key cannot be in a device certificate: AWS IoT refuses it");
		break;
	case IOT_KEY_OTHER:
	default:
		if (iot_key_is_rsa(key) && iot_key_bits(key) >= 2048 && iot_key_bits(key) <= 4096)
			return IOT_OK;
		if (iot_key_is_rsa(key))
			status = iot_fail(err, IOT_USAGE, "an RSA key of %d bits cannot be in a device certificate",
					  iot_key_bits(key));
		else
			status = iot_fail(err, IOT_USAGE, "a key of this kind cannot be in a device certificate");
		break;
	}
	iot_error_hint(err, "use P-256, P-384, P-521, or RSA of 2048 to 4096 bits");
	return status;
}

void iot_key_free(struct iot_key *key)
{
	if (key == NULL)
		return;
	EVP_PKEY_free(key->pkey);
	iot_token_free(key->token); /* after the key: the engine carries the key's methods */
	free(key);
}

void iot_key_free_p(struct iot_key **key)
{
	iot_key_free(*key);
	*key = NULL;
}
