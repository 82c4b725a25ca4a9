/*
 * Which TLS connection it is that a library reads from. An index of OpenSSL's application data for each of two
 * classes: a new context is given a message callback, which its connections inherit, and a new connection a number.
 */
#include "iotctl/tls.h"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

static struct {
	bool on;
	int index; /* of connections */
	uint64_t last, current;
} watch;

static void on_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
	const uint64_t *number = SSL_get_ex_data(ssl, watch.index);

	(void)version, (void)type, (void)data, (void)len, (void)arg;
	if (!sent)
		watch.current = number != NULL ? *number : 0;
}

static void on_new_context(void *context, void *value, CRYPTO_EX_DATA *data, int index, long arg, void *ptr)
{
	(void)value, (void)data, (void)index, (void)arg, (void)ptr;
	SSL_CTX_set_msg_callback(context, on_message);
}

/* Without memory for it the connection has no number, and is none that iot_tls_current() tells of. */
static void on_new(void *ssl, void *value, CRYPTO_EX_DATA *data, int index, long arg, void *ptr)
{
	uint64_t *number = OPENSSL_malloc(sizeof(*number));

	(void)ssl, (void)value, (void)arg, (void)ptr;
	if (number == NULL)
		return;
	*number = ++watch.last;
	if (!CRYPTO_set_ex_data(data, index, number))
		OPENSSL_free(number);
}

static void on_free(void *ssl, void *value, CRYPTO_EX_DATA *data, int index, long arg, void *ptr)
{
	uint64_t *number = value;

	(void)ssl, (void)data, (void)index, (void)arg, (void)ptr;
	if (number != NULL && *number == watch.current)
		watch.current = 0;
	OPENSSL_free(number);
}

enum iot_status iot_tls_watch(struct iot_error *err)
{
	if (watch.on)
		return IOT_OK;
	watch.index = SSL_get_ex_new_index(0, NULL, on_new, NULL, on_free);
	if (watch.index < 0 || SSL_CTX_get_ex_new_index(0, NULL, on_new_context, NULL, NULL) < 0)
		return iot_fail(err, IOT_FAILURE, "OpenSSL has no room to tell TLS connections apart");
	watch.on = true;
	return IOT_OK;
}

uint64_t iot_tls_current(void)
{
	return watch.current;
}
