/*
 * The one question about a TLS connection that transport cannot answer without
 * OpenSSL's own types.
 */
#include "iotctl/tls.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

const char *iot_tls_verify_fault(const void *ssl)
{
	long result = SSL_get_verify_result((const SSL *)ssl);

	return result == X509_V_OK ? NULL : X509_verify_cert_error_string(result);
}
