/*
 * Certificate requests. Of a foreign one only the key (its possession proved
 * by the request's signature) and the common name are taken.
 */
#include "crypto/internal.h"
#include "iotctl/text.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static void req_free_p(X509_REQ **req)
{
	X509_REQ_free(*req);
	*req = NULL;
}

enum iot_status iot_csr_create(const struct iot_key *key, const char *common_name, struct iot_buf *out,
			       struct iot_error *err)
{
	IOT_CLEAN(req_free_p) X509_REQ *req = NULL;
	IOT_CLEAN(iot_bio_free_p) BIO *bio = NULL;
	enum iot_status status = iot_cert_check_name(common_name, err);

	if (status == IOT_OK)
		status = iot_key_check_device(key, err);
	if (status != IOT_OK)
		return status;
	if (!key->has_private)
		return iot_fail(err, IOT_USAGE, "a certificate request needs the private key");
	req = X509_REQ_new();
	bio = BIO_new(BIO_s_mem());
	if (req == NULL || bio == NULL || X509_REQ_set_version(req, X509_REQ_VERSION_1) != 1 ||
	    !iot_name_add(X509_REQ_get_subject_name(req), NID_commonName, common_name) ||
	    X509_REQ_set_pubkey(req, key->pkey) != 1 || X509_REQ_sign(req, key->pkey, EVP_sha256()) <= 0 ||
	    PEM_write_bio_X509_REQ(bio, req) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot make a certificate request");
	iot_ossl_bio_to_buf(bio, out);
	return iot_buf_check(out, "certificate request", err);
}

/* The request of a PEM text: exactly one block's worth of DER. */
static enum iot_status read_req(const char *pem, size_t len, X509_REQ **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = len > 0 && len <= IOT_CSR_MAX ? BIO_new_mem_buf(pem, (int)len) : NULL;
	char *name = NULL, *header = NULL;
	unsigned char *data = NULL;
	const unsigned char *at;
	enum iot_status status = IOT_OK;
	long data_len = 0;

	if (bio == NULL)
		return iot_fail(err, IOT_USAGE, "the certificate request is %s", len == 0 ? "empty" : "too large");
	if (PEM_read_bio(bio, &name, &header, &data, &data_len) != 1)
		return iot_ossl_fail(err, IOT_USAGE, "the certificate request is not PEM");
	at = data;
	if (strcmp(name, PEM_STRING_X509_REQ) != 0 && strcmp(name, PEM_STRING_X509_REQ_OLD) != 0)
		status = iot_fail(err, IOT_USAGE, "a CERTIFICATE REQUEST is needed, not a %s", name);
	else if ((*ret = d2i_X509_REQ(NULL, &at, data_len)) == NULL)
		status = iot_ossl_fail(err, IOT_USAGE, "the certificate request is malformed");
	else if (at != data + data_len)
		status = iot_fail(err, IOT_USAGE, "the certificate request has bytes behind it");
	OPENSSL_free(name);
	OPENSSL_free(header);
	OPENSSL_clear_free(data, (size_t)data_len); /* somebody may have sent the private key */
	return status;
}

static enum iot_status read_common_name(const X509_NAME *subject, char out[IOT_CERT_NAME_MAX + 1],
					struct iot_error *err)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	enum iot_status status;
	int len;

	out[0] = '\0';
	if (at < 0)
		return IOT_OK;
	if (X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0)
		return iot_fail(err, IOT_USAGE, "the certificate request has more than one common name");
	len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (len < 0)
		return iot_ossl_fail(err, IOT_USAGE, "the common name of the certificate request is malformed");
	if (!iot_utf8_valid((const char *)text, (size_t)len)) {
		status = iot_fail(err, IOT_USAGE, "the common name of the certificate request is not text");
	} else {
		status = iot_cert_check_name((const char *)text, err);
		if (status != IOT_OK)
			iot_error_while(err, "reading the certificate request");
	}
	if (status == IOT_OK)
		memcpy(out, text, (size_t)len + 1);
	OPENSSL_free(text);
	return status;
}

enum iot_status iot_csr_parse(const char *pem, size_t len, struct iot_csr *ret, struct iot_error *err)
{
	IOT_CLEAN(req_free_p) X509_REQ *req = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	char name[IOT_CERT_NAME_MAX + 1];
	enum iot_status status = read_req(pem, len, &req, err);
	EVP_PKEY *pkey;

	if (status != IOT_OK)
		return status;
	pkey = X509_REQ_get_pubkey(req);
	if (pkey == NULL)
		return iot_ossl_fail(err, IOT_USAGE, "the certificate request has no usable public key");
	status = iot_key_wrap(pkey, false, "certificate request", &key, err);
	if (status == IOT_OK)
		status = iot_key_check_device(key, err);
	if (status != IOT_OK)
		return status;
	if (X509_REQ_verify(req, key->pkey) != 1) {
		ERR_clear_error();
		return iot_fail(err, IOT_VERIFY, "the certificate request is not signed by its own key");
	}
	status = read_common_name(X509_REQ_get_subject_name(req), name, err);
	if (status != IOT_OK)
		return status;
	ret->key = iot_take(key);
	memcpy(ret->common_name, name, sizeof(name));
	return IOT_OK;
}

void iot_csr_release(struct iot_csr *csr)
{
	if (csr == NULL)
		return;
	iot_key_free_p(&csr->key);
	csr->common_name[0] = '\0';
}
