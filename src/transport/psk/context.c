/* How TLS with pre-shared keys is set up. Every option here closes a hole that was measured: see psklink.h. */
#include "transport/psk/psk.h"

#include "iotctl/base.h"
#include "iotctl/psklink.h"

#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Writing to a connection that the peer has closed would otherwise end the process. */
static void ignore_pipe(void)
{
	struct sigaction now;

	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

/*
 * Security levels judge certificates, keys and MACs; here they could only take CCM8 away, whose tag has 64 bits. That a
 * key is long enough is not among what they judge, so we do.
 */
static enum iot_status set_suites(SSL_CTX *ctx, const char *suites, struct iot_error *err)
{
	char text[512];

	snprintf(text, sizeof(text), "%s:@SECLEVEL=0", suites);
	if (SSL_CTX_set_cipher_list(ctx, text) == 1)
		return IOT_OK;
	ERR_clear_error();
	return iot_fail(err, IOT_USAGE, "'%s' are no TLS 1.2 suites that OpenSSL knows", suites);
}

enum iot_status psk_context_new(bool server, const char *suites, SSL_CTX **ret, struct iot_error *err)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	enum iot_status status;

	ignore_pipe();
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION) != 1) {
		SSL_CTX_free(ctx);
		ERR_clear_error();
		return iot_fail(err, IOT_FAILURE, "OpenSSL cannot do TLS 1.2");
	}
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL); /* there are no certificates */
	status = set_suites(ctx, suites != NULL ? suites : IOT_PSK_LINK_SUITES, err);
	if (status == IOT_OK)
		*ret = ctx;
	else
		SSL_CTX_free(ctx);
	return status;
}

const char *psk_fault(void)
{
	unsigned long code = ERR_peek_error();
	const char *words;

	ERR_clear_error();
	if (code == 0)
		return NULL;
	if (ERR_GET_LIB(code) != ERR_LIB_SSL) /* a cipher that authenticates (CCM, GCM) says it in its own words */
		return "the keys differ";
	switch (ERR_GET_REASON(code)) {
	case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
	case SSL_R_SSLV3_ALERT_BAD_RECORD_MAC:
	case SSL_R_DIGEST_CHECK_FAILED:
	case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
		return "the keys differ";
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
		return "no suite that both can use";
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_VERSION_TOO_LOW:
		return "not TLS 1.2";
	case SSL_R_PSK_IDENTITY_NOT_FOUND:
		return "there is no key for it";
	case SSL_R_DATA_LENGTH_TOO_LONG:
		return "the identity is too long";
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return "that is not TLS";
	default:
		words = ERR_reason_error_string(code);
		return words != NULL ? words : "TLS failed";
	}
}
