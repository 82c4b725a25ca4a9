/*
 * Issuing: root, issuing CA, and the three kinds of end certificates. A
 * certificate is drafted (names, validity, key), given its extensions, signed,
 * and then read back like a foreign one.
 */
#include "crypto/internal.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <openssl/err.h>
#include <string.h>

#define SERIAL_SIZE 16
#define DAYS_MAX 36500
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)
#define BACKDATE_MS (INT64_C(5) * 60 * 1000) /* devices whose clock is a little behind */
#define CA_NAME_MAX 64                       /* ub-common-name, RFC 5280 appendix A.1 */
#define ALTERNATIVES_MAX 64

/* Who signs: a CA, or (for a root) the key itself with no certificate yet. */
struct signer {
	const struct iot_key *key;
	const struct iot_cert *cert;
};

bool iot_name_add(X509_NAME *name, int nid, const char *value)
{
	/*
	 * V_ASN1_UTF8STRING rather than MBSTRING_UTF8: the latter enforces the 64 characters of RFC 5280, and an AWS
	 * thing name, which becomes a common name, has up to 128.
	 */
	return X509_NAME_add_entry_by_NID(name, nid,
					  nid == NID_countryName ? V_ASN1_PRINTABLESTRING : V_ASN1_UTF8STRING,
					  (const unsigned char *)value, (int)strlen(value), -1, 0) == 1;
}

static enum iot_status draft_failed(struct iot_error *err)
{
	return iot_ossl_fail(err, IOT_FAILURE, "cannot make a certificate");
}

static enum iot_status check_ca_name(const char *name, struct iot_error *err)
{
	size_t len = strlen(name);
	bool good = len > 0 && len <= CA_NAME_MAX && iot_utf8_valid(name, len);

	for (size_t i = 0; i < len; i++)
		good = good && (unsigned char)name[i] >= ' ' && name[i] != 0x7f;
	if (!good)
		return iot_fail(err, IOT_USAGE, "the name of a CA must be 1 to %d bytes of printable UTF-8",
				CA_NAME_MAX);
	return IOT_OK;
}

static enum iot_status check_days(int days, struct iot_error *err)
{
	if (days < 1 || days > DAYS_MAX)
		return iot_fail(err, IOT_USAGE, "a certificate cannot be valid for %d days: 1 to %d are possible", days,
				DAYS_MAX);
	return IOT_OK;
}

/* May this CA sign now? */
static enum iot_status check_signer(const struct signer *signer, int64_t now, struct iot_error *err)
{
	const struct iot_cert *ca = signer->cert;
	char when[32];

	if (!signer->key->has_private)
		return iot_fail(err, IOT_USAGE, "a CA needs its private key to issue");
	if (ca == NULL)
		return IOT_OK;
	if (!iot_cert_is_ca(ca))
		return iot_fail(err, IOT_CONFLICT, "'%s' is not a CA certificate", ca->subject);
	if (!iot_key_equal(signer->key, ca->key))
		return iot_fail(err, IOT_CONFLICT, "the private key is not that of the CA '%s'", ca->subject);
	if (now >= ca->not_after)
		return iot_fail(err, IOT_CONFLICT, "the CA '%s' expired at %s", ca->subject,
				iot_time_rfc3339(ca->not_after, when));
	if (now < ca->not_before)
		return iot_fail(err, IOT_CONFLICT, "the CA '%s' is not valid before %s", ca->subject,
				iot_time_rfc3339(ca->not_before, when));
	return IOT_OK;
}

static bool set_serial(X509 *x509)
{
	unsigned char serial[SERIAL_SIZE];
	BIGNUM *number;
	bool good;

	iot_random(serial, sizeof(serial));
	serial[0] = (unsigned char)((serial[0] & 0x3f) | 0x40); /* positive, and always this long */
	number = BN_bin2bn(serial, sizeof(serial), NULL);
	good = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x509)) != NULL;
	BN_free(number);
	return good;
}

/* ASN1_TIME_set writes UTCTime until 2049 and GeneralizedTime from 2050 on, as RFC 5280 4.1.2.5 asks. */
static bool set_validity(X509 *x509, const struct iot_cert *ca, int64_t now, int64_t to)
{
	int64_t from = now - BACKDATE_MS;

	if (ca != NULL && from < ca->not_before)
		from = ca->not_before;
	if (ca != NULL && to > ca->not_after)
		to = ca->not_after;
	return ASN1_TIME_set(X509_getm_notBefore(x509), (time_t)(from / 1000)) != NULL &&
	       ASN1_TIME_set(X509_getm_notAfter(x509), (time_t)(to / 1000)) != NULL;
}

/* `value` is OpenSSL's extension language (x509v3_config(5)): constants of this file only, never a user's text. */
static bool add_extension(X509 *x509, const struct iot_cert *ca, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;
	bool good;

	X509V3_set_ctx(&ctx, ca != NULL ? ca->x509 : x509, x509, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	good = extension != NULL && X509_add_ext(x509, extension, -1) == 1;
	X509_EXTENSION_free(extension);
	return good;
}

/* A certificate with all but its own extensions. */
static X509 *draft(const struct signer *signer, const struct iot_key *key, X509_NAME *name, int64_t now, int64_t to)
{
	IOT_CLEAN(iot_x509_free_p) X509 *x509 = X509_new();
	const struct iot_cert *ca = signer->cert;

	if (x509 == NULL || X509_set_version(x509, X509_VERSION_3) != 1 || !set_serial(x509) ||
	    !set_validity(x509, ca, now, to) || X509_set_subject_name(x509, name) != 1 ||
	    X509_set_issuer_name(x509, ca != NULL ? X509_get_subject_name(ca->x509) : name) != 1 ||
	    X509_set_pubkey(x509, key->pkey) != 1 || !add_extension(x509, ca, NID_subject_key_identifier, "hash") ||
	    !add_extension(x509, ca, NID_authority_key_identifier, "keyid,issuer"))
		return NULL;
	return iot_take(x509);
}

/* Sign, encode, and read back: what is handed out is what anybody else would parse. Takes x509 over. */
static enum iot_status finish(X509 *x509, const struct signer *signer, struct iot_cert **ret, struct iot_error *err)
{
	unsigned char *der = NULL;
	enum iot_status status;
	int len;

	if (X509_sign(x509, signer->key->pkey, EVP_sha256()) <= 0) {
		X509_free(x509);
		return iot_ossl_fail(err, IOT_FAILURE, "cannot sign the certificate");
	}
	len = i2d_X509(x509, &der);
	X509_free(x509);
	if (len <= 0)
		return draft_failed(err);
	status = iot_cert_parse_der(der, (size_t)len, ret, err);
	OPENSSL_free(der);
	return status;
}

/* A CA certificate: a root when signer has no certificate. */
static enum iot_status create_ca(const struct signer *signer, const struct iot_key *key, const char *common_name,
				 int days, struct iot_cert **ret, struct iot_error *err)
{
	const char *constraints = signer->cert == NULL ? "critical,CA:TRUE,pathlen:1" : "critical,CA:TRUE,pathlen:0";
	int64_t now = iot_now_ms();
	X509_NAME *name;
	X509 *x509;

	enum iot_status status = iot_clock_check(err);
	if (status == IOT_OK)
		status = check_ca_name(common_name, err);
	if (status == IOT_OK)
		status = check_days(days, err);
	if (status == IOT_OK)
		status = iot_key_check_device(key, err);
	if (status == IOT_OK)
		status = check_signer(signer, now, err);
	if (status != IOT_OK)
		return status;
	name = X509_NAME_new();
	x509 = name != NULL && iot_name_add(name, NID_commonName, common_name)
		       ? draft(signer, key, name, now, now + days * DAY_MS)
		       : NULL;
	X509_NAME_free(name);
	if (x509 == NULL || !add_extension(x509, signer->cert, NID_basic_constraints, constraints) ||
	    !add_extension(x509, signer->cert, NID_key_usage, "critical,keyCertSign,cRLSign")) {
		X509_free(x509);
		return draft_failed(err);
	}
	return finish(x509, signer, ret, err);
}

enum iot_status iot_ca_create_root(const struct iot_key *key, const char *common_name, int days, struct iot_cert **ret,
				   struct iot_error *err)
{
	struct signer signer = {key, NULL};

	return create_ca(&signer, key, common_name, days, ret, err);
}

enum iot_status iot_ca_create_intermediate(const struct iot_key *root_key, const struct iot_cert *root_cert,
					   const struct iot_key *key, const char *common_name, int days,
					   struct iot_cert **ret, struct iot_error *err)
{
	struct signer signer = {root_key, root_cert};

	if (X509_get_pathlen(root_cert->x509) == 0)
		return iot_fail(err, IOT_CONFLICT, "the CA '%s' may not have CAs below it", root_cert->subject);
	return create_ca(&signer, key, common_name, days, ret, err);
}

/* A host name: labels of letters, digits and hyphens (RFC 1123 2.1). */
static bool is_host_name(const char *name)
{
	size_t label = 0, len = strlen(name);

	if (len == 0 || len > 253)
		return false;
	for (size_t i = 0; i <= len; i++) {
		char c = name[i];
		bool hyphen = c == '-';

		if (c == '.' || c == '\0') {
			if (label == 0 || label > 63 || name[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!(hyphen && label > 0) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
		    !(c >= '0' && c <= '9'))
			return false;
		label++;
	}
	return true;
}

static size_t length_of(const char *const *list)
{
	size_t count = 0;

	while (list != NULL && list[count] != NULL)
		count++;
	return count;
}

static enum iot_status check_server(const struct iot_cert_request *request, struct iot_error *err)
{
	size_t names = length_of(request->dns_names), addresses = length_of(request->ip_addresses);

	if (names + addresses == 0)
		return iot_fail(err, IOT_USAGE, "a server certificate needs a host name or an address");
	if (names + addresses > ALTERNATIVES_MAX)
		return iot_fail(err, IOT_USAGE, "a server certificate has at most %d names", ALTERNATIVES_MAX);
	for (size_t i = 0; i < names; i++)
		if (!is_host_name(request->dns_names[i]))
			return iot_fail(err, IOT_USAGE, "'%s' is not a host name", request->dns_names[i]);
	if (is_host_name(request->common_name) && strlen(request->common_name) <= IOT_CERT_NAME_MAX)
		return IOT_OK;
	return iot_cert_check_name(request->common_name, err);
}

static enum iot_status check_request(const struct iot_cert_request *request, struct iot_error *err)
{
	enum iot_status status = iot_key_check_device(request->key, err);

	if (status != IOT_OK)
		return status;
	if (request->profile == IOT_PROFILE_SERVER)
		return check_server(request, err);
	if (request->dns_names != NULL || request->ip_addresses != NULL)
		return iot_fail(err, IOT_USAGE, "only a server certificate has host names and addresses");
	return iot_cert_check_name(request->common_name, err);
}

static bool push_dns(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *value = ASN1_IA5STRING_new();

	if (name == NULL || value == NULL || ASN1_STRING_set(value, text, (int)strlen(text)) != 1) {
		GENERAL_NAME_free(name);
		ASN1_IA5STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_DNS, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

/* False when the text is no address. */
static bool push_ip(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *value = a2i_IPADDRESS(text);

	if (name == NULL || value == NULL) {
		GENERAL_NAME_free(name);
		ASN1_OCTET_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(name, GEN_IPADD, value);
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static enum iot_status add_alternatives(X509 *x509, const struct iot_cert_request *request, struct iot_error *err)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	enum iot_status status = names != NULL ? IOT_OK : draft_failed(err);

	for (size_t i = 0; status == IOT_OK && i < length_of(request->dns_names); i++)
		if (!push_dns(names, request->dns_names[i]))
			status = draft_failed(err);
	for (size_t i = 0; status == IOT_OK && i < length_of(request->ip_addresses); i++) {
		if (push_ip(names, request->ip_addresses[i]))
			continue;
		ERR_clear_error();
		status = iot_fail(err, IOT_USAGE, "'%s' is not an IP address", request->ip_addresses[i]);
	}
	if (status == IOT_OK && X509_add1_ext_i2d(x509, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
		status = draft_failed(err);
	GENERAL_NAMES_free(names);
	return status;
}

/* The extensions of an end certificate. */
static enum iot_status add_profile(X509 *x509, const struct iot_cert *ca, const struct iot_cert_request *request,
				   struct iot_error *err)
{
	static const char *const purposes[] = {[IOT_PROFILE_DEVICE] = "clientAuth",
					       [IOT_PROFILE_OPERATOR] = "clientAuth",
					       [IOT_PROFILE_SERVER] = "serverAuth",
					       [IOT_PROFILE_CODESIGN] = "critical,codeSigning"};
	bool server = request->profile == IOT_PROFILE_SERVER;
	const char *usage = iot_key_is_rsa(request->key) ? "critical,digitalSignature,keyEncipherment"
							 : "critical,digitalSignature";

	if (!add_extension(x509, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !add_extension(x509, ca, NID_key_usage, usage) ||
	    !add_extension(x509, ca, NID_ext_key_usage, purposes[request->profile]))
		return draft_failed(err);
	return server ? add_alternatives(x509, request, err) : IOT_OK;
}

enum iot_status iot_cert_issue(const struct iot_key *ca_key, const struct iot_cert *ca_cert,
			       const struct iot_cert_request *request, struct iot_cert **ret, struct iot_error *err)
{
	enum iot_status status = check_days(request->days, err);

	return status == IOT_OK
		       ? iot_cert_issue_until(ca_key, ca_cert, request, iot_now_ms() + request->days * DAY_MS, ret, err)
		       : status;
}

enum iot_status iot_cert_issue_until(const struct iot_key *ca_key, const struct iot_cert *ca_cert,
				     const struct iot_cert_request *request, int64_t until, struct iot_cert **ret,
				     struct iot_error *err)
{
	struct signer signer = {ca_key, ca_cert};
	int64_t now = iot_now_ms();
	enum iot_status status = iot_clock_check(err);
	X509_NAME *name;
	X509 *x509 = NULL;

	if (status == IOT_OK && until <= now)
		status = iot_fail(err, IOT_USAGE, "a certificate cannot end before it begins");
	if (status == IOT_OK)
		status = check_request(request, err);
	if (status == IOT_OK)
		status = check_signer(&signer, now, err);
	if (status != IOT_OK)
		return status;
	name = X509_NAME_new();
	if (name != NULL &&
	    (request->profile != IOT_PROFILE_OPERATOR || iot_name_add(name, NID_organizationalUnitName, "operator")) &&
	    iot_name_add(name, NID_commonName, request->common_name))
		x509 = draft(&signer, request->key, name, now, until);
	X509_NAME_free(name);
	if (x509 == NULL)
		return draft_failed(err);
	status = add_profile(x509, ca_cert, request, err);
	if (status != IOT_OK) {
		X509_free(x509);
		return status;
	}
	return finish(x509, &signer, ret, err);
}
