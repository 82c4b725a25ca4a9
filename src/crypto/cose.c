/*
 * COSE_Mac0 and COSE_Sign1: taking a message apart, checking its tag or
 * signature over the bytes as they came, making one. Which algorithm is taken
 * follows from the protected header alone.
 */
#include "iotctl/cose.h"

#include "crypto/internal.h"

#include <inttypes.h>
#include <openssl/hmac.h>
#include <string.h>

#define TAG_MAC0 17
#define TAG_SIGN1 18
#define LABEL_ALG 1
#define LABEL_CRIT 2
#define LABEL_KID 4
#define DEPTH 4 /* of header parameters */
/* What is signed: array head, context, protected header, empty external data, payload, with their heads. */
#define TO_SIGN_MAX (IOT_COSE_MAX + 64)

static const struct alg {
	enum iot_cose_alg alg;
	const char *name;
	const EVP_MD *(*md)(void); /* of a MAC */
	size_t size;               /* of its tag */
	enum iot_key_type key;     /* of a signature */
} algs[] = {
	{IOT_COSE_HMAC256, "HMAC256", EVP_sha256, 32, IOT_KEY_OTHER},
	{IOT_COSE_HMAC384, "HMAC384", EVP_sha384, 48, IOT_KEY_OTHER},
	{IOT_COSE_HMAC512, "HMAC512", EVP_sha512, 64, IOT_KEY_OTHER},
	{IOT_COSE_ES256, "ES256", NULL, 0, IOT_KEY_P256},
	{IOT_COSE_ES384, "ES384", NULL, 0, IOT_KEY_P384},
	{IOT_COSE_ES512, "ES512", NULL, 0, IOT_KEY_P521},
};

static const struct alg *find(int64_t number)
{
	for (size_t i = 0; i < IOT_LENGTH(algs); i++)
		if (algs[i].alg == number)
			return &algs[i];
	return NULL;
}

const char *iot_cose_alg_name(int64_t alg)
{
	const struct alg *known = find(alg);

	return known != NULL ? known->name : "";
}

enum iot_status iot_cose_alg_parse(const char *name, enum iot_cose_alg *ret, struct iot_error *err)
{
	for (size_t i = 0; i < IOT_LENGTH(algs); i++) {
		if (strcasecmp(algs[i].name, name) == 0) {
			*ret = algs[i].alg;
			return IOT_OK;
		}
	}
	iot_fail(err, IOT_USAGE, "no algorithm '%s'", name);
	iot_error_hint(err, "there are HMAC256, HMAC384, HMAC512, ES256, ES384 and ES512");
	return IOT_USAGE;
}

enum iot_cose_alg iot_cose_alg_of_key(const struct iot_key *key)
{
	for (size_t i = 0; i < IOT_LENGTH(algs); i++)
		if (algs[i].md == NULL && algs[i].key == iot_key_type(key))
			return algs[i].alg;
	return IOT_COSE_NONE;
}

/* --- taking apart --------------------------------------------------------------- */

static void set_span(struct iot_span *span, const struct iot_cbor_item *item)
{
	span->data = item->bytes;
	span->len = (size_t)item->number;
}

static void read_parameter(struct iot_cbor *reader, int64_t label, const struct iot_cbor_item *value, bool outside,
			   struct iot_cose *cose)
{
	if (label == LABEL_ALG && outside) {
		cose->alg_outside = true;
	} else if (label == LABEL_ALG) {
		if (!iot_cbor_int(value, &cose->alg))
			iot_cbor_fault(reader, "the algorithm is not a number");
		cose->has_alg = true;
	} else if (label == LABEL_CRIT) {
		cose->has_crit = true;
	} else if (label == LABEL_KID) {
		if (value->major != IOT_CBOR_BYTES || cose->kid.data != NULL)
			iot_cbor_fault(reader, "there is more than one key id, or it is not a byte string");
		else
			set_span(&cose->kid, value);
	}
}

/* A header whose form was checked already: a map. */
static void read_header(struct iot_cbor *reader, bool outside, struct iot_cose *cose)
{
	struct iot_cbor_item map, label, value;
	int64_t number;

	if (!iot_cbor_next(reader, &map))
		return;
	if (map.major != IOT_CBOR_MAP) {
		iot_cbor_fault(reader, "a header is not a map");
		return;
	}
	for (uint64_t i = 0; i < map.number; i++) {
		if (!iot_cbor_next(reader, &label) || !iot_cbor_skip(reader, &value, DEPTH))
			return;
		if (iot_cbor_int(&label, &number))
			read_parameter(reader, number, &value, outside, cose);
		else if (label.major == IOT_CBOR_BYTES)
			iot_cbor_fault(reader, "a label is neither a number nor text");
	}
}

/* The protected header is a byte string that holds a map, or nothing. */
static enum iot_status read_protected(const struct iot_cbor_item *bytes, struct iot_cose *cose, struct iot_error *err)
{
	struct iot_cbor inner;
	enum iot_status status;

	set_span(&cose->protected_, bytes);
	if (bytes->number == 0)
		return IOT_OK;
	status = iot_cbor_valid(bytes->bytes, (size_t)bytes->number, DEPTH, "the protected header", err);
	if (status != IOT_OK)
		return status;
	iot_cbor_open(&inner, bytes->bytes, (size_t)bytes->number);
	read_header(&inner, false, cose);
	return iot_cbor_check(&inner, "the protected header", err);
}

static enum iot_status read_array(struct iot_cbor *reader, struct iot_cose *cose, struct iot_error *err)
{
	struct iot_cbor_item item;
	enum iot_status status;

	if (iot_cbor_next(reader, &item) && (item.major != IOT_CBOR_ARRAY || item.number != 4))
		iot_cbor_fault(reader, "it is not an array of four");
	if (iot_cbor_next(reader, &item) && item.major != IOT_CBOR_BYTES)
		iot_cbor_fault(reader, "the protected header is not a byte string");
	if (reader->fault != NULL)
		return iot_cbor_check(reader, "the token", err);
	status = read_protected(&item, cose, err);
	if (status != IOT_OK)
		return status;
	read_header(reader, true, cose);
	if (iot_cbor_next(reader, &item) && item.major != IOT_CBOR_BYTES)
		iot_cbor_fault(reader, "the payload is not a byte string");
	set_span(&cose->payload, &item);
	if (iot_cbor_next(reader, &item) && item.major != IOT_CBOR_BYTES)
		iot_cbor_fault(reader, "tag or signature is not a byte string");
	set_span(&cose->proof, &item);
	return iot_cbor_check(reader, "the token", err);
}

enum iot_status iot_cose_parse(const void *data, size_t len, struct iot_cose *ret, struct iot_error *err)
{
	struct iot_cose cose = {0};
	struct iot_cbor reader;
	struct iot_cbor_item tag;
	enum iot_status status;

	if (len > IOT_COSE_MAX)
		return iot_fail(err, IOT_USAGE, "the token has %zu bytes: at most %d are read", len, IOT_COSE_MAX);
	status = iot_cbor_valid(data, len, IOT_CBOR_DEPTH_MAX, "the token", err);
	if (status != IOT_OK)
		return status;
	iot_cbor_open(&reader, data, len);
	if (iot_cbor_next(&reader, &tag) &&
	    (tag.major != IOT_CBOR_TAG || (tag.number != TAG_MAC0 && tag.number != TAG_SIGN1)))
		return iot_fail(err, IOT_USAGE, "the token is neither a COSE_Mac0 (tag 17) nor a COSE_Sign1 (tag 18)");
	cose.mac = tag.number == TAG_MAC0;
	status = read_array(&reader, &cose, err);
	if (status == IOT_OK && cose.has_alg && cose.alg_outside)
		return iot_fail(err, IOT_USAGE, "the token names its algorithm twice");
	if (status == IOT_OK)
		*ret = cose;
	return status;
}

enum iot_status iot_cose_check_alg(const struct iot_cose *cose, struct iot_error *err)
{
	const struct alg *alg = find(cose->alg);

	if (cose->has_crit)
		return iot_fail(err, IOT_VERIFY, "the token has critical header parameters, and none is understood");
	if (!cose->has_alg)
		return iot_fail(err, IOT_VERIFY, "the protected header names no algorithm%s",
				cose->alg_outside ? ": the unprotected one does not count" : "");
	if (alg == NULL)
		return iot_fail(err, IOT_VERIFY, "algorithm %" PRId64 " is not accepted%s", cose->alg,
				cose->alg == 4 ? ": its tag is cut to 64 bits" : "");
	if (cose->mac != (alg->md != NULL))
		return iot_fail(err, IOT_VERIFY, "algorithm %s is none of a %s", alg->name,
				cose->mac ? "COSE_Mac0" : "COSE_Sign1");
	return IOT_OK;
}

/* --- checking and making ------------------------------------------------------------ */

/* MAC_structure and Sig_structure (RFC 9052 6.3, 4.4). */
static void put_structure(struct iot_buf *out, bool mac, const struct iot_span *protected, const void *payload,
			  size_t len)
{
	const char *context = mac ? "MAC0" : "Signature1";

	iot_cbor_put(out, IOT_CBOR_ARRAY, 4);
	iot_cbor_put_text(out, context, strlen(context));
	iot_cbor_put_bytes(out, protected->data, protected->len);
	iot_cbor_put_bytes(out, "", 0);
	iot_cbor_put_bytes(out, payload, len);
}

static enum iot_status mac_of(const struct alg *alg, const void *key, size_t key_len, const struct iot_span *protected,
			      const void *payload, size_t len, uint8_t *out, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(TO_SIGN_MAX);
	unsigned size = 0;
	enum iot_status status;

	if (key_len < IOT_COSE_MAC_KEY_MIN || key_len > IOT_COSE_MAC_KEY_MAX)
		return iot_fail(err, IOT_USAGE, "the key has %zu bytes: it must have %d to %d", key_len,
				IOT_COSE_MAC_KEY_MIN, IOT_COSE_MAC_KEY_MAX);
	put_structure(&text, true, protected, payload, len);
	status = iot_buf_check(&text, "the token", err);
	if (status == IOT_OK &&
	    HMAC(alg->md(), key, (int)key_len, (const unsigned char *)text.data, text.len, out, &size) == NULL)
		iot_ossl_die("HMAC");
	iot_buf_release(&text);
	return status;
}

enum iot_status iot_cose_verify_mac(const struct iot_cose *cose, const void *key, size_t key_len, struct iot_error *err)
{
	const struct alg *alg = find(cose->alg);
	uint8_t tag[EVP_MAX_MD_SIZE];
	enum iot_status status = iot_cose_check_alg(cose, err);

	if (status != IOT_OK)
		return status;
	if (!cose->mac || alg == NULL)
		return iot_fail(err, IOT_VERIFY, "the token is signed: a secret key cannot check it");
	if (cose->proof.len != alg->size)
		return iot_fail(err, IOT_VERIFY, "the tag has %zu bytes: %s has %zu", cose->proof.len, alg->name,
				alg->size);
	status = mac_of(alg, key, key_len, &cose->protected_, cose->payload.data, cose->payload.len, tag, err);
	if (status == IOT_OK && !iot_equal_secret(tag, cose->proof.data, alg->size))
		status = iot_fail(err, IOT_VERIFY, "the tag (%s) does not match: another key, or the token was changed",
				  alg->name);
	iot_wipe(tag, sizeof(tag));
	return status;
}

enum iot_status iot_cose_verify_sign(const struct iot_cose *cose, const struct iot_key *key, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(TO_SIGN_MAX);
	enum iot_status status = iot_cose_check_alg(cose, err);

	if (status != IOT_OK)
		return status;
	if (cose->mac)
		return iot_fail(err, IOT_VERIFY, "the token has a tag, not a signature: a public key cannot check it");
	if (iot_cose_alg_of_key(key) != cose->alg)
		return iot_fail(err, IOT_VERIFY, "algorithm %s is not that of the key, which is of type '%s'",
				iot_cose_alg_name(cose->alg), iot_key_type_name(iot_key_type(key)));
	put_structure(&text, false, &cose->protected_, cose->payload.data, cose->payload.len);
	status = iot_buf_check(&text, "the token", err);
	if (status == IOT_OK)
		status = iot_key_verify_raw(key, text.data, text.len, cose->proof.data, cose->proof.len, err);
	iot_buf_release(&text);
	return status;
}

/* Tag, array, headers, payload; what comes last is the caller's. */
static struct iot_span put_start(struct iot_buf *out, enum iot_cose_alg alg, uint64_t tag, const void *payload,
				 size_t len, struct iot_buf *protected)
{
	iot_cbor_put(protected, IOT_CBOR_MAP, 1);
	iot_cbor_put_int(protected, LABEL_ALG);
	iot_cbor_put_int(protected, alg);
	iot_cbor_put(out, IOT_CBOR_TAG, tag);
	iot_cbor_put(out, IOT_CBOR_ARRAY, 4);
	iot_cbor_put_bytes(out, protected->data, protected->len);
	iot_cbor_put(out, IOT_CBOR_MAP, 0);
	iot_cbor_put_bytes(out, payload, len);
	return (struct iot_span){protected->data, protected->len};
}

enum iot_status iot_cose_mac0(enum iot_cose_alg number, const void *key, size_t key_len, const void *payload,
			      size_t len, struct iot_buf *out, struct iot_error *err)
{
	const struct alg *alg = find(number);
	struct iot_buf protected = IOT_BUF_INIT(16);
	struct iot_span header;
	uint8_t tag[EVP_MAX_MD_SIZE];
	enum iot_status status;

	if (alg == NULL || alg->md == NULL)
		return iot_fail(err, IOT_USAGE, "algorithm %d is none of a COSE_Mac0", (int)number);
	header = put_start(out, number, TAG_MAC0, payload, len, &protected);
	status = mac_of(alg, key, key_len, &header, payload, len, tag, err);
	if (status == IOT_OK)
		iot_cbor_put_bytes(out, tag, alg->size);
	iot_buf_release(&protected);
	return status == IOT_OK ? iot_buf_check(out, "the token", err) : status;
}

enum iot_status iot_cose_sign1(const struct iot_key *key, const void *payload, size_t len, struct iot_buf *out,
			       struct iot_error *err)
{
	enum iot_cose_alg alg = iot_cose_alg_of_key(key);
	struct iot_buf protected = IOT_BUF_INIT(16), text = IOT_BUF_INIT(TO_SIGN_MAX);
	struct iot_buf signature = IOT_BUF_INIT(IOT_RAW_SIGNATURE_MAX);
	struct iot_span header;
	enum iot_status status;

	if (alg == IOT_COSE_NONE)
		return iot_fail(err, IOT_USAGE, "a key of type '%s' cannot sign a token",
				iot_key_type_name(iot_key_type(key)));
	header = put_start(out, alg, TAG_SIGN1, payload, len, &protected);
	put_structure(&text, false, &header, payload, len);
	status = iot_buf_check(&text, "the token", err);
	if (status == IOT_OK)
		status = iot_key_sign_raw(key, text.data, text.len, &signature, err);
	if (status == IOT_OK)
		iot_cbor_put_bytes(out, signature.data, signature.len);
	iot_buf_release(&protected);
	iot_buf_release(&text);
	iot_buf_release(&signature);
	return status == IOT_OK ? iot_buf_check(out, "the token", err) : status;
}
