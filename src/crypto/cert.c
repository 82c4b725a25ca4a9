/*
 * Certificates as objects: parsed once, their fields taken out into plain text,
 * so that who asks for a field (the broker's policies) cannot fail. The DER is
 * kept as it came: the identity of a certificate is the hash of those bytes.
 */
#include "crypto/internal.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define FIELDS_MAX 64 /* per part: a real certificate has a dozen */
#define CERTIFICATES_MAX 64

static const struct {
	int nid;
	const char *name;
} field_names[] = {
	{NID_commonName, "CommonName"},
	{NID_countryName, "Country"},
	{NID_organizationName, "Organization"},
	{NID_organizationalUnitName, "OrganizationalUnit"},
	{NID_stateOrProvinceName, "State"},
	{NID_serialNumber, "SerialNumber"},
	{NID_dnQualifier, "DistinguishedNameQualifier"},
	{NID_title, "Title"},
	{NID_surname, "Surname"},
	{NID_givenName, "GivenName"},
	{NID_initials, "Initials"},
	{NID_pseudonym, "Pseudonym"},
	{NID_generationQualifier, "GenerationQualifier"},
};

/* A field's name; new memory. */
static char *name_of(const ASN1_OBJECT *object)
{
	int nid = OBJ_obj2nid(object);
	char oid[128];

	for (size_t i = 0; i < IOT_LENGTH(field_names); i++)
		if (field_names[i].nid == nid)
			return iot_strdup(field_names[i].name);
	OBJ_obj2txt(oid, sizeof(oid), object, 1);
	return iot_strdup(oid);
}

/* Any string type as UTF-8 without NUL; NULL if it is not one. New memory. */
static char *utf8_of(const ASN1_STRING *string)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, string);
	char *copy = NULL;

	if (len >= 0 && iot_utf8_valid((const char *)text, (size_t)len))
		copy = iot_strndup((const char *)text, (size_t)len);
	OPENSSL_free(text);
	return copy;
}

/* Add a field; both texts are taken over. False if one is missing or there are too many. */
static bool add_field(struct iot_cert_names *names, char *name, char *value)
{
	if (name == NULL || value == NULL || names->count >= FIELDS_MAX) {
		free(name);
		free(value);
		return false;
	}
	names->fields = iot_realloc(names->fields, (names->count + 1) * sizeof(*names->fields));
	names->fields[names->count].name = name;
	names->fields[names->count++].value = value;
	return true;
}

static bool read_name(const X509_NAME *from, struct iot_cert_names *names)
{
	for (int i = 0; i < X509_NAME_entry_count(from); i++) {
		const X509_NAME_ENTRY *entry = X509_NAME_get_entry(from, i);

		if (!add_field(names, name_of(X509_NAME_ENTRY_get_object(entry)),
			       utf8_of(X509_NAME_ENTRY_get_data(entry))))
			return false;
	}
	return true;
}

/* A name on one line; new memory, NULL if libcrypto cannot. */
static char *one_line(const X509_NAME *name)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = BIO_new(BIO_s_mem());
	struct iot_buf out = IOT_BUF_INIT(IOT_CERT_DER_MAX);

	/* UTF-8 stays as it is; control characters and separators are escaped. */
	if (bio == NULL || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0)
		return NULL;
	iot_ossl_bio_to_buf(bio, &out);
	return iot_buf_detach(&out);
}

static char *ip_text(const ASN1_OCTET_STRING *ip)
{
	char text[INET6_ADDRSTRLEN];
	int len = ASN1_STRING_length(ip);

	if ((len != 4 && len != 16) ||
	    inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(ip), text, sizeof(text)) == NULL)
		return NULL;
	return iot_strdup(text);
}

static bool read_alternative(const GENERAL_NAME *from, struct iot_cert_names *names)
{
	switch (from->type) {
	case GEN_EMAIL:
		return add_field(names, iot_strdup("RFC822Name"), utf8_of(from->d.rfc822Name));
	case GEN_DNS:
		return add_field(names, iot_strdup("DNSName"), utf8_of(from->d.dNSName));
	case GEN_URI:
		return add_field(names, iot_strdup("UniformResourceIdentifier"),
				 utf8_of(from->d.uniformResourceIdentifier));
	case GEN_DIRNAME:
		return add_field(names, iot_strdup("DirectoryName"), one_line(from->d.directoryName));
	case GEN_IPADD:
		return add_field(names, iot_strdup("IPAddress"), ip_text(from->d.iPAddress));
	default:
		return true; /* kinds that no policy variable can name */
	}
}

static bool read_alternatives(X509 *x509, struct iot_cert_names *names)
{
	int critical = 0;
	GENERAL_NAMES *list = X509_get_ext_d2i(x509, NID_subject_alt_name, &critical, NULL);
	bool good = list != NULL || critical == -1; /* -1: the certificate has none */

	for (int i = 0; good && i < sk_GENERAL_NAME_num(list); i++)
		good = read_alternative(sk_GENERAL_NAME_value(list, i), names);
	GENERAL_NAMES_free(list);
	return good;
}

/* Serial number as hex digits, whole bytes; new memory. */
static char *serial_text(const ASN1_INTEGER *serial)
{
	const unsigned char *data = ASN1_STRING_get0_data(serial);
	int len = ASN1_STRING_length(serial);
	bool negative = (ASN1_STRING_type(serial) & V_ASN1_NEG) != 0;
	char *text;

	if (len < 0 || len > 64)
		return NULL;
	text = iot_alloc((size_t)len * 2 + 2);
	text[0] = '-';
	iot_hex(data, (size_t)len, text + (negative ? 1 : 0));
	return text;
}

static bool time_ms(const ASN1_TIME *from, int64_t *ret)
{
	ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
	int days = 0, seconds = 0;
	bool good = epoch != NULL && ASN1_TIME_diff(&days, &seconds, epoch, from) == 1;

	*ret = ((int64_t)days * 86400 + seconds) * 1000;
	ASN1_TIME_free(epoch);
	return good;
}

static bool read_fields(struct iot_cert *cert)
{
	X509 *x509 = cert->x509;

	cert->subject = one_line(X509_get_subject_name(x509));
	cert->issuer = one_line(X509_get_issuer_name(x509));
	cert->serial = serial_text(X509_get0_serialNumber(x509));
	return cert->subject != NULL && cert->issuer != NULL && cert->serial != NULL &&
	       time_ms(X509_get0_notBefore(x509), &cert->not_before) &&
	       time_ms(X509_get0_notAfter(x509), &cert->not_after) &&
	       read_name(X509_get_subject_name(x509), &cert->names[IOT_CERT_SUBJECT]) &&
	       read_name(X509_get_issuer_name(x509), &cert->names[IOT_CERT_ISSUER]) &&
	       read_alternatives(x509, &cert->names[IOT_CERT_ALTERNATIVE]) &&
	       (X509_get_extension_flags(x509) & EXFLAG_INVALID) == 0;
}

enum iot_status iot_cert_wrap(X509 *x509, const char *subject, struct iot_cert **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = iot_alloc(sizeof(*cert));
	struct iot_buf der = IOT_BUF_INIT(IOT_CERT_DER_MAX);
	enum iot_status status;
	EVP_PKEY *pkey;

	cert->x509 = x509;
	pkey = X509_get_pubkey(x509);
	if (pkey == NULL)
		return iot_ossl_fail(err, IOT_USAGE, "the certificate '%s' has no usable public key", subject);
	status = iot_key_wrap(pkey, false, subject, &cert->key, err);
	if (status != IOT_OK)
		return status;
	if (!read_fields(cert))
		return iot_ossl_fail(err, IOT_USAGE, "the certificate '%s' has malformed fields", subject);
	iot_cert_der(cert, &der);
	iot_sha256_hex(der.data, der.len, cert->id);
	iot_buf_release(&der);
	ERR_clear_error();
	*ret = iot_take(cert);
	return IOT_OK;
}

static enum iot_status parse_der(const void *der, size_t len, const char *subject, struct iot_cert **ret,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	char id[IOT_SHA256_HEX_SIZE];
	enum iot_status status;
	const unsigned char *at = der;
	X509 *x509 = len > 0 && len <= IOT_CERT_DER_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;

	if (x509 == NULL)
		return iot_ossl_fail(err, IOT_USAGE, "'%s' is not a certificate", subject);
	if (at != (const unsigned char *)der + len) {
		X509_free(x509);
		return iot_fail(err, IOT_USAGE, "'%s' has bytes behind the certificate", subject);
	}
	status = iot_cert_wrap(x509, subject, &cert, err);
	if (status != IOT_OK || cert == NULL)
		return status;
	/* Other encodings of the same content would be other identities for one certificate. */
	if (strcmp(iot_sha256_hex(der, len, id), cert->id) != 0)
		return iot_fail(err, IOT_USAGE, "the certificate '%s' is not in DER", subject);
	*ret = iot_take(cert);
	return IOT_OK;
}

enum iot_status iot_cert_parse_der(const void *der, size_t len, struct iot_cert **ret, struct iot_error *err)
{
	return parse_der(der, len, "the DER given", ret, err);
}

enum iot_status iot_cert_take_x509(void *x509, struct iot_cert **ret, struct iot_error *err)
{
	return iot_cert_wrap(x509, "the peer's", ret, err);
}

/*
 * The next CERTIFICATE block of a bundle; other blocks are passed over.
 * IOT_NOT_FOUND, with no error set, at the end.
 */
static enum iot_status next_cert(BIO *bio, const char *subject, struct iot_cert **ret, struct iot_error *err)
{
	for (;;) {
		char *name = NULL, *header = NULL;
		unsigned char *data = NULL;
		long len = 0;
		enum iot_status status = IOT_NOT_FOUND;
		bool found;

		if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
			bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

			if (!at_end)
				return iot_ossl_fail(err, IOT_USAGE, "the PEM of '%s' is malformed", subject);
			ERR_clear_error();
			return IOT_NOT_FOUND;
		}
		found = strcmp(name, PEM_STRING_X509) == 0;
		if (found)
			status = parse_der(data, (size_t)len, subject, ret, err);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(data, (size_t)len); /* a key may stand beside its certificate */
		if (found)
			return status;
	}
}

static enum iot_status no_cert(const char *subject, struct iot_error *err)
{
	return iot_fail(err, IOT_USAGE, "'%s' holds no certificate in PEM", subject);
}

enum iot_status iot_cert_parse_pem(const char *text, size_t len, const char *subject, struct iot_cert **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = len <= IOT_CERT_PEM_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	enum iot_status status;

	if (bio == NULL)
		return iot_fail(err, IOT_USAGE, "'%s' is too large for a certificate", subject);
	status = next_cert(bio, subject, ret, err);
	return status == IOT_NOT_FOUND ? no_cert(subject, err) : status;
}

enum iot_status iot_cert_parse_pem_all(const char *text, size_t len, const char *subject, struct iot_cert ***ret,
				       size_t *ret_count, struct iot_error *err)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = len <= IOT_CERT_PEM_MAX ? BIO_new_mem_buf(text, (int)len) : NULL;
	struct iot_cert **list = iot_alloc_array(CERTIFICATES_MAX, sizeof(*list));
	enum iot_status status = IOT_OK;
	size_t count = 0;

	if (bio == NULL)
		status = iot_fail(err, IOT_USAGE, "'%s' is too large for certificates", subject);
	while (status == IOT_OK) {
		struct iot_cert *cert = NULL;

		status = next_cert(bio, subject, &cert, err);
		if (status == IOT_OK && count == CERTIFICATES_MAX) {
			iot_cert_free(cert);
			status = iot_fail(err, IOT_USAGE, "'%s' holds more than %d certificates", subject,
					  CERTIFICATES_MAX);
		} else if (status == IOT_OK) {
			list[count++] = cert;
		}
	}
	if (status == IOT_NOT_FOUND && count > 0) {
		*ret = list;
		*ret_count = count;
		return IOT_OK;
	}
	iot_cert_list_free(list, count);
	return status == IOT_NOT_FOUND ? no_cert(subject, err) : status;
}

enum iot_status iot_cert_load(const char *path, struct iot_cert **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_SECRET(IOT_CERT_PEM_MAX); /* a key may stand beside the certificate */
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_cert_parse_pem(iot_buf_str(&text), text.len, path, ret, err);
	iot_buf_release(&text);
	return status;
}

void iot_cert_free(struct iot_cert *cert)
{
	if (cert == NULL)
		return;
	for (size_t part = 0; part < IOT_LENGTH(cert->names); part++) {
		for (size_t i = 0; i < cert->names[part].count; i++) {
			iot_free_p(&cert->names[part].fields[i].name);
			iot_free_p(&cert->names[part].fields[i].value);
		}
		free(cert->names[part].fields);
	}
	X509_free(cert->x509);
	iot_key_free(cert->key);
	free(cert->subject);
	free(cert->issuer);
	free(cert->serial);
	free(cert);
}

void iot_cert_free_p(struct iot_cert **cert)
{
	iot_cert_free(*cert);
	*cert = NULL;
}

void iot_cert_list_free(struct iot_cert **list, size_t count)
{
	for (size_t i = 0; list != NULL && i < count; i++)
		iot_cert_free(list[i]);
	free(list);
}

void iot_cert_der(const struct iot_cert *cert, struct iot_buf *out)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert->x509, &der); /* the cached encoding: what was parsed or signed */

	if (len <= 0)
		iot_ossl_die("certificate encoding");
	iot_buf_add(out, der, (size_t)len);
	OPENSSL_free(der);
}

void iot_cert_pem(const struct iot_cert *cert, struct iot_buf *out)
{
	IOT_CLEAN(iot_bio_free_p) BIO *bio = BIO_new(BIO_s_mem());

	if (bio == NULL || PEM_write_bio_X509(bio, cert->x509) != 1)
		iot_ossl_die("certificate encoding");
	iot_ossl_bio_to_buf(bio, out);
}

const char *iot_cert_id(const struct iot_cert *cert)
{
	return cert->id;
}

char *iot_cert_id_der(const void *der, size_t len, char id[IOT_SHA256_HEX_SIZE])
{
	return iot_sha256_hex(der, len, id);
}

size_t iot_cert_field_count(const struct iot_cert *cert, enum iot_cert_part part)
{
	return cert->names[part].count;
}

struct iot_cert_field iot_cert_field(const struct iot_cert *cert, enum iot_cert_part part, size_t index)
{
	return cert->names[part].fields[index];
}

const char *iot_cert_field_find(const struct iot_cert *cert, enum iot_cert_part part, const char *name, size_t nth)
{
	const struct iot_cert_names *names = &cert->names[part];

	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->fields[i].name, name) == 0 && nth-- == 0)
			return names->fields[i].value;
	return NULL;
}

const char *iot_cert_subject(const struct iot_cert *cert)
{
	return cert->subject;
}

const char *iot_cert_issuer(const struct iot_cert *cert)
{
	return cert->issuer;
}

const char *iot_cert_serial(const struct iot_cert *cert)
{
	return cert->serial;
}

int64_t iot_cert_not_before(const struct iot_cert *cert)
{
	return cert->not_before;
}

int64_t iot_cert_not_after(const struct iot_cert *cert)
{
	return cert->not_after;
}

bool iot_cert_is_ca(const struct iot_cert *cert)
{
	/* 1: basicConstraints CA:TRUE and a keyUsage that allows it. Versions 1 and mere self-signature do not count.
	 */
	return X509_check_ca(cert->x509) == 1;
}

bool iot_cert_is_self_issued(const struct iot_cert *cert)
{
	return (X509_get_extension_flags(cert->x509) & EXFLAG_SI) != 0;
}

const struct iot_key *iot_cert_key(const struct iot_cert *cert)
{
	return cert->key;
}

void iot_cert_subject_hash(const struct iot_cert *cert, char out[9])
{
	snprintf(out, 9, "%08lx", X509_subject_name_hash(cert->x509) & 0xffffffffUL);
}
