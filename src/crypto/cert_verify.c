/*
 * Judging certificates: names, who issued whom, whole paths.
 */
#include "crypto/internal.h"
#include "iotctl/clock.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>

#define PATH_MAX_DEPTH 8

/* Security level 2 of OpenSSL: 112 bits, so RSA from 2048 and no SHA-1. */
#define MIN_LEVEL 2

enum iot_status iot_cert_check_name(const char *name, struct iot_error *err)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:_-";
	size_t good = strspn(name, allowed), len = strlen(name);
	enum iot_status status;

	if (len == 0)
		return iot_fail(err, IOT_USAGE, "the name is empty");
	if (good == len && len <= IOT_CERT_NAME_MAX)
		return IOT_OK;
	if (good < len)
		status = iot_fail(err, IOT_USAGE, "the name '%s' has a character that a device name cannot have", name);
	else
		status = iot_fail(err, IOT_USAGE, "the name '%.32s...' is longer than %d characters", name,
				  IOT_CERT_NAME_MAX);
	iot_error_hint(err, "use 1 to %d of A-Z a-z 0-9 : _ -", IOT_CERT_NAME_MAX);
	return status;
}

/* The only subject field of a kind, if it is a device name. `words`: the field in messages. */
static enum iot_status only_name(const struct iot_cert *cert, const char *field, const char *words, const char **ret,
				 struct iot_error *err)
{
	const char *name = iot_cert_field_find(cert, IOT_CERT_SUBJECT, field, 0);
	struct iot_error why = IOT_ERROR_INIT;

	if (name == NULL)
		return iot_fail(err, IOT_VERIFY, "the certificate has no %s", words);
	if (iot_cert_field_find(cert, IOT_CERT_SUBJECT, field, 1) != NULL)
		return iot_fail(err, IOT_VERIFY, "the certificate has more than one %s", words);
	if (iot_cert_check_name(name, &why) != IOT_OK)
		return iot_fail(err, IOT_VERIFY, "the certificate's %s is not a device name: %s", words, why.what);
	*ret = name;
	return IOT_OK;
}

enum iot_status iot_cert_common_name(const struct iot_cert *cert, const char **ret, struct iot_error *err)
{
	return only_name(cert, "CommonName", "common name", ret, err);
}

enum iot_status iot_cert_uid(const struct iot_cert *cert, const char **ret, struct iot_error *err)
{
	if (iot_cert_field_find(cert, IOT_CERT_SUBJECT, "SerialNumber", 0) != NULL)
		return only_name(cert, "SerialNumber", "subject serial number", ret, err);
	return iot_cert_common_name(cert, ret, err);
}

enum iot_status iot_cert_verify_signed_by(const struct iot_cert *cert, const struct iot_key *key, struct iot_error *err)
{
	if (X509_verify(cert->x509, key->pkey) == 1)
		return IOT_OK;
	ERR_clear_error();
	return iot_fail(err, IOT_VERIFY, "the signature of '%s' is not by the expected key", cert->subject);
}

enum iot_status iot_cert_verify_issued_by(const struct iot_cert *cert, const struct iot_cert *ca, struct iot_error *err)
{
	int fault;

	if (!iot_cert_is_ca(ca))
		return iot_fail(err, IOT_VERIFY, "'%s' is not a CA certificate", ca->subject);
	fault = X509_check_issued(ca->x509, cert->x509);
	if (fault != X509_V_OK) {
		ERR_clear_error();
		return iot_fail(err, IOT_VERIFY, "'%s' did not issue '%s': %s", ca->subject, cert->subject,
				X509_verify_cert_error_string(fault));
	}
	if (X509_verify(cert->x509, ca->key->pkey) != 1) {
		ERR_clear_error();
		return iot_fail(err, IOT_VERIFY, "the signature of '%s' is not by '%s'", cert->subject, ca->subject);
	}
	return IOT_OK;
}

/* A stack that borrows the certificates. */
static STACK_OF(X509) * stack_of(struct iot_cert *const *list, size_t count)
{
	STACK_OF(X509) *stack = sk_X509_new_null();

	for (size_t i = 0; stack != NULL && i < count; i++)
		if (sk_X509_push(stack, list[i]->x509) <= 0)
			iot_ossl_die("memory");
	return stack;
}

static void set_rules(X509_STORE_CTX *ctx, enum iot_cert_purpose purpose)
{
	X509_VERIFY_PARAM *rules = X509_STORE_CTX_get0_param(ctx);

	X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_CHECK_SS_SIGNATURE);
	X509_VERIFY_PARAM_set_time(rules, (time_t)(iot_now_ms() / 1000));
	X509_VERIFY_PARAM_set_depth(rules, PATH_MAX_DEPTH);
	X509_VERIFY_PARAM_set_auth_level(rules, MIN_LEVEL);
	if (purpose != IOT_CERT_ANY)
		X509_STORE_CTX_set_purpose(ctx, purpose == IOT_CERT_CLIENT ? X509_PURPOSE_SSL_CLIENT
									   : X509_PURPOSE_SSL_SERVER);
}

enum iot_status iot_cert_chain_verify(const struct iot_cert *leaf, struct iot_cert *const *intermediates,
				      size_t intermediate_count, struct iot_cert *const *trusted, size_t trusted_count,
				      enum iot_cert_purpose purpose, struct iot_error *err)
{
	STACK_OF(X509) *between = stack_of(intermediates, intermediate_count);
	STACK_OF(X509) *anchors = stack_of(trusted, trusted_count);
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	enum iot_status status = IOT_OK;

	if (between == NULL || anchors == NULL || store == NULL || ctx == NULL ||
	    X509_STORE_CTX_init(ctx, store, leaf->x509, between) != 1) {
		status = iot_ossl_fail(err, IOT_FAILURE, "cannot verify a certificate");
	} else {
		X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
		set_rules(ctx, purpose);
		if (X509_verify_cert(ctx) != 1) {
			int fault = X509_STORE_CTX_get_error(ctx);

			status = iot_fail(err, IOT_VERIFY, "the certificate '%s' is not valid: %s", leaf->subject,
					  X509_verify_cert_error_string(fault));
		}
	}
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
	sk_X509_free(anchors);
	sk_X509_free(between);
	ERR_clear_error();
	return status;
}
