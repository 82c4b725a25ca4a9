/*
 * How this folder speaks with libcrypto: its error queue becomes an error
 * object, its memory BIOs become buffers, and its objects end with their scope.
 */
#include "crypto/internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdio.h>
#include <unistd.h>

enum iot_status iot_ossl_fail(struct iot_error *err, enum iot_status status, const char *fmt, ...)
{
	char what[sizeof(err->what)];
	const char *reason = ERR_reason_error_string(ERR_peek_error());
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	ERR_clear_error();
	if (reason == NULL)
		return iot_fail(err, status, "%s", what);
	return iot_fail(err, status, "%s: %s", what, reason);
}

void iot_ossl_die(const char *what)
{
	char reason[256];

	ERR_error_string_n(ERR_peek_error(), reason, sizeof(reason));
	dprintf(STDERR_FILENO, "iotctl: libcrypto does not work: %s: %s\n", what, reason);
	_exit(1); /* not abort(): a core file could hold keys */
}

void iot_ossl_bio_to_buf(BIO *bio, struct iot_buf *out)
{
	char *data = NULL;
	long len = BIO_get_mem_data(bio, &data);

	if (len > 0)
		iot_buf_add(out, data, (size_t)len);
}

void iot_evp_pkey_free_p(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
	*pkey = NULL;
}

void iot_bio_free_p(BIO **bio)
{
	BIO_free_all(*bio);
	*bio = NULL;
}

void iot_x509_free_p(X509 **x509)
{
	X509_free(*x509);
	*x509 = NULL;
}
