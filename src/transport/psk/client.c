/* One device's side: connect, shake hands, send and receive, each within a time. */
#include "iotctl/psklink.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "transport/dial.h"
#include "transport/psk/psk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HEAD = 4, READ_SIZE = 4096 };

struct iot_psk_client {
	SSL_CTX *ctx;
	SSL *ssl;
	int fd;
	struct iot_buf in;
	size_t taken; /* of the message that was handed out last */
	char identity[IOT_PSK_LINK_IDENTITY_MAX + 128];
	uint8_t key[IOT_PSK_LINK_KEY_MAX];
	size_t key_len;
};

static unsigned give_key(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *key,
			 unsigned key_max)
{
	const struct iot_psk_client *client = SSL_get_app_data(ssl);

	(void)hint;
	if (strlen(client->identity) >= identity_max || client->key_len > key_max)
		return 0;
	strcpy(identity, client->identity); /* NOLINT(clang-analyzer-security.insecureAPI.strcpy): measured above */
	memcpy(key, client->key, client->key_len);
	return (unsigned)client->key_len;
}

void iot_psk_client_free(struct iot_psk_client *client)
{
	if (client == NULL)
		return;
	if (client->ssl != NULL)
		SSL_shutdown(client->ssl);
	SSL_free(client->ssl);
	SSL_CTX_free(client->ctx);
	iot_close_p(&client->fd);
	iot_buf_release(&client->in);
	iot_wipe(client, sizeof(*client));
	free(client);
}

void iot_psk_client_free_p(struct iot_psk_client **client)
{
	iot_psk_client_free(*client);
}

/* --- connecting ------------------------------------------------------------------------ */

/* Wait for what OpenSSL wants. False: the time is over. */
static bool wait_for(struct iot_psk_client *client, int result, int64_t deadline)
{
	bool write = SSL_get_error(client->ssl, result) == SSL_ERROR_WANT_WRITE;
	struct pollfd wait = {.fd = client->fd, .events = write ? POLLOUT : POLLIN};
	int rc;

	do
		rc = poll(&wait, 1, iot_left(deadline));
	while (rc < 0 && errno == EINTR && iot_left(deadline) > 0);
	return rc > 0;
}

static bool wants(struct iot_psk_client *client, int result)
{
	int what = SSL_get_error(client->ssl, result);

	return what == SSL_ERROR_WANT_READ || what == SSL_ERROR_WANT_WRITE;
}

static enum iot_status shake_hands(struct iot_psk_client *client, int64_t deadline, struct iot_error *err)
{
	for (;;) {
		const char *why;
		int rc = SSL_connect(client->ssl);

		if (rc == 1)
			return IOT_OK;
		if (wants(client, rc)) {
			if (!wait_for(client, rc, deadline))
				return iot_fail(err, IOT_TIMEOUT, "the handshake takes too long");
			continue;
		}
		why = psk_fault();
		return iot_fail(err, IOT_DENIED, "the gateway does not let '%s' in: %s", client->identity,
				why != NULL ? why : "it ended the connection");
	}
}

enum iot_status iot_psk_client_new(const struct iot_psk_client_options *options, struct iot_psk_client **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_psk_client_free_p) struct iot_psk_client *client = iot_alloc(sizeof(*client));
	int64_t deadline = iot_deadline(options->timeout_ms);
	enum iot_status status;

	client->fd = -1;
	client->in = (struct iot_buf)IOT_BUF_INIT(1 << 20);
	if (options->key_len == 0 || options->key_len > sizeof(client->key))
		return iot_fail(err, IOT_USAGE, "a key of %zu bytes cannot be used", options->key_len);
	memcpy(client->key, options->key, options->key_len);
	client->key_len = options->key_len;
	snprintf(client->identity, sizeof(client->identity), "%s", options->identity);
	status = psk_context_new(false, options->suites, &client->ctx, err);
	if (status == IOT_OK)
		status = transport_dial(options->host, options->port, deadline, &client->fd, err);
	if (status != IOT_OK)
		return status;
	SSL_CTX_set_psk_client_callback(client->ctx, give_key);
	client->ssl = SSL_new(client->ctx);
	if (client->ssl == NULL || SSL_set_fd(client->ssl, client->fd) != 1)
		return iot_fail(err, IOT_FAILURE, "OpenSSL has no memory left");
	SSL_set_app_data(client->ssl, client);
	status = shake_hands(client, deadline, err);
	if (status == IOT_OK)
		*ret = iot_take(client);
	return status;
}

const char *iot_psk_client_suite(const struct iot_psk_client *client)
{
	return SSL_get_cipher_name(client->ssl);
}

int iot_psk_client_fd(const struct iot_psk_client *client)
{
	return client->fd;
}

/* --- talking --------------------------------------------------------------------------- */

static enum iot_status ended(struct iot_error *err)
{
	const char *why = psk_fault();

	return iot_fail(err, IOT_AGAIN, "the gateway ended the connection%s%s", why != NULL ? ": " : "",
			why != NULL ? why : "");
}

enum iot_status iot_psk_client_send(struct iot_psk_client *client, const void *data, size_t len, int timeout_ms,
				    struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	const char *at = data;

	while (len > 0) {
		int rc = SSL_write(client->ssl, at, len > INT32_MAX ? INT32_MAX : (int)len);

		if (rc > 0) {
			at += rc;
			len -= (size_t)rc;
		} else if (!wants(client, rc)) {
			return ended(err);
		} else if (!wait_for(client, rc, deadline)) {
			return iot_fail(err, IOT_TIMEOUT, "the gateway does not take what is sent");
		}
	}
	return IOT_OK;
}

/* Is a whole message there? IOT_AGAIN: not yet. */
static enum iot_status take(struct iot_psk_client *client, size_t max, const void **ret, size_t *ret_len,
			    struct iot_error *err)
{
	const uint8_t *head = (const uint8_t *)client->in.data;
	size_t len;

	if (client->in.len < HEAD)
		return IOT_AGAIN;
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (len > max)
		return iot_fail(err, IOT_USAGE, "the gateway sends a message of %zu bytes", len);
	if (client->in.len < HEAD + len)
		return IOT_AGAIN;
	*ret = client->in.data + HEAD;
	*ret_len = len;
	client->taken = HEAD + len;
	return IOT_OK;
}

enum iot_status iot_psk_client_receive(struct iot_psk_client *client, size_t max, int timeout_ms, const void **ret,
				       size_t *ret_len, struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);

	iot_buf_consume(&client->in, client->taken);
	client->taken = 0;
	for (;;) {
		enum iot_status status = take(client, max, ret, ret_len, err);
		char *to;
		int rc;

		if (status != IOT_AGAIN)
			return status;
		to = iot_buf_reserve(&client->in, READ_SIZE);
		if (to == NULL)
			return iot_fail(err, IOT_USAGE, "the gateway sends more than a message");
		rc = SSL_read(client->ssl, to, READ_SIZE);
		if (rc > 0)
			client->in.len += (size_t)rc;
		else if (!wants(client, rc))
			return ended(err);
		else if (!wait_for(client, rc, deadline))
			return iot_fail(err, IOT_TIMEOUT, "the gateway says nothing");
	}
}
