/*
 * Questions about TLS connections that take OpenSSL's own types: what is wrong
 * with a certificate, what was agreed on, and whether a server shows a certificate that a device would believe.
 */
#include "iotctl/tls.h"

#include "crypto/internal.h"
#include "iotctl/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <poll.h>
#include <string.h>

const char *iot_tls_verify_fault(const void *ssl)
{
	long result = SSL_get_verify_result((const SSL *)ssl);

	return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}

enum iot_tls_alpn iot_tls_alpn(const void *ssl, const char *wanted)
{
	const unsigned char *chosen = NULL;
	unsigned len = 0;

	if (!SSL_is_init_finished((const SSL *)ssl))
		return IOT_TLS_ALPN_OPEN;
	SSL_get0_alpn_selected((const SSL *)ssl, &chosen, &len);
	return len == strlen(wanted) && memcmp(chosen, wanted, len) == 0 ? IOT_TLS_ALPN_CHOSEN : IOT_TLS_ALPN_NONE;
}

/* A table of OpenSSL's that its SSL clients look into before each check; libmosquitto lets nobody at its own context. */
enum iot_status iot_tls_any_anchor(struct iot_error *err)
{
	static bool done;
	X509_VERIFY_PARAM *param = done ? NULL : X509_VERIFY_PARAM_new();

	if (done)
		return IOT_OK;
	done = param != NULL && X509_VERIFY_PARAM_set1_name(param, "ssl_server") == 1 &&
	       X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_SSL_SERVER) == 1 &&
	       X509_VERIFY_PARAM_set_trust(param, X509_TRUST_SSL_SERVER) == 1 &&
	       X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
	       X509_VERIFY_PARAM_add0_table(param) == 1;
	if (done)
		return IOT_OK;
	X509_VERIFY_PARAM_free(param);
	return iot_ossl_fail(err, IOT_FAILURE, "cannot set up the checks of certificates");
}

/* --- is it the server that a device expects? ------------------------------------------ */

static void ctx_free_p(SSL_CTX **ctx)
{
	SSL_CTX_free(*ctx);
}

static void ssl_free_p(SSL **ssl)
{
	SSL_free(*ssl);
}

/* Everything in the PEM is an anchor, also an intermediate one, as on devices. */
static enum iot_status trust_root(SSL_CTX *ctx, const char *root_ca, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *root = NULL;
	enum iot_status status = iot_cert_parse_pem(root_ca, strlen(root_ca), "root CA", &root, err);

	if (status != IOT_OK)
		return status;
	if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root->x509) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot check with the root CA");
	X509_STORE_set_flags(SSL_CTX_get_cert_store(ctx), X509_V_FLAG_PARTIAL_CHAIN);
	return IOT_OK;
}

static bool expect_host(SSL *ssl, const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	bool is_address = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;

	if (is_address)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
	return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

/* A certificate was seen and looked at; what the server then thinks of us does not matter. */
static bool was_checked(SSL *ssl)
{
	X509 *shown = SSL_get0_peer_certificate(ssl);

	return shown != NULL && SSL_get0_verified_chain(ssl) != NULL;
}

static enum iot_status judge(SSL *ssl, const char *host, struct iot_error *err)
{
	const char *fault = iot_tls_verify_fault(ssl);
	unsigned long code = ERR_peek_error();

	if (fault != NULL) {
		ERR_clear_error();
		return iot_fail(err, IOT_VERIFY, "the certificate of '%s' is not to be believed: %s", host, fault);
	}
	if (was_checked(ssl)) {
		ERR_clear_error();
		return IOT_OK;
	}
	if (code == 0)
		return iot_fail(err, IOT_AGAIN, "'%s' ended the connection before it showed a certificate", host);
	return iot_ossl_fail(err, IOT_VERIFY, "'%s' shows no certificate", host);
}

/* To the end of the handshake, whichever it is. */
static enum iot_status shake_hands(SSL *ssl, int fd, int64_t deadline, const char *host, struct iot_error *err)
{
	for (;;) {
		int rc = SSL_connect(ssl), what = SSL_get_error(ssl, rc);
		struct pollfd wait = {.fd = fd, .events = what == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN};

		if (rc == 1 || (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE))
			return judge(ssl, host, err);
		rc = poll(&wait, 1, iot_left(deadline));
		if (rc == 0 || (rc < 0 && errno != EINTR))
			return iot_fail(err, IOT_TIMEOUT, "'%s' does not finish the TLS handshake", host);
	}
}

enum iot_status iot_tls_check_server(int fd, const char *host, const char *root_ca, int timeout_ms,
				     struct iot_error *err)
{
	IOT_CLEAN(ctx_free_p) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	IOT_CLEAN(ssl_free_p) SSL *ssl = NULL;
	enum iot_status status;

	if (ctx == NULL)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot begin TLS");
	status = trust_root(ctx, root_ca, err);
	if (status != IOT_OK)
		return status;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1)
		ssl = SSL_new(ctx);
	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || !expect_host(ssl, host))
		return iot_ossl_fail(err, IOT_FAILURE, "cannot begin TLS with '%.120s'", host);
	ERR_clear_error();
	return shake_hands(ssl, fd, iot_deadline(timeout_ms), host, err);
}
