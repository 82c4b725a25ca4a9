/*
 * One connection: handshake, messages in, bytes out. Nothing it gets from the
 * peer makes it hold more than one message and one TLS record, and everything
 * that is begun has a time by which it is to be done.
 */
#include "transport/psk/link.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

void psk_link_end(struct iot_psk_link *link, const char *reason)
{
	if (link->state == LINK_DEAD)
		return;
	if (link->reason[0] == '\0')
		snprintf(link->reason, sizeof(link->reason), "%s", reason);
	if (link->state != LINK_HANDSHAKE)
		SSL_shutdown(link->ssl); /* says goodbye if there is room; nobody waits for the answer */
	ERR_clear_error();
	shutdown(link->fd, SHUT_RDWR);
	link->state = LINK_DEAD;
	link->next_dead = link->server->dead;
	link->server->dead = link;
}

static void make_ready(struct iot_psk_link *link)
{
	if (link->ready)
		return;
	link->ready = true;
	link->next_ready = link->server->ready;
	link->server->ready = link;
}

static void watch(struct iot_psk_link *link, unsigned events)
{
	struct epoll_event event = {.events = events, .data.ptr = link};

	if (link->watched == events)
		return;
	if (epoll_ctl(link->server->epoll, link->watched == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, link->fd, &event) != 0)
		psk_link_end(link, "it cannot be watched");
	link->watched = events;
}

struct iot_psk_link *psk_link_new(struct iot_psk_server *server, int fd, const char *address, int64_t now)
{
	struct iot_psk_link *link = iot_alloc(sizeof(*link));

	*link = (struct iot_psk_link){
		.server = server,
		.fd = fd,
		.since = now,
		.heard = now,
		.message_max = server->options.message_max,
		.idle_ms = server->options.idle_ms,
		.in = IOT_BUF_INIT(SIZE_MAX / 2), /* bounded by message_max */
		.out = IOT_BUF_INIT(IOT_PSK_LINK_OUTPUT_MAX),
		.ssl = SSL_new(server->ctx),
	};
	snprintf(link->address, sizeof(link->address), "%s", address);
	if (link->ssl == NULL || SSL_set_fd(link->ssl, fd) != 1) {
		ERR_clear_error();
		psk_link_free(link);
		return NULL;
	}
	SSL_set_app_data(link->ssl, link);
	SSL_set_accept_state(link->ssl);
	watch(link, EPOLLIN);
	return link;
}

void psk_link_free(struct iot_psk_link *link)
{
	SSL_free(link->ssl);
	close(link->fd);
	iot_buf_release(&link->in);
	iot_buf_release(&link->out);
	free(link);
}

/* --- out ------------------------------------------------------------------------------ */

/* Write until it would wait. False: the connection is over. */
static bool flush(struct iot_psk_link *link, int64_t now)
{
	size_t done = 0;
	int rc = 1;

	while (done < link->out.len && rc > 0) {
		rc = SSL_write(link->ssl, link->out.data + done, (int)(link->out.len - done));
		done += rc > 0 ? (size_t)rc : 0;
	}
	if (done > 0)
		link->out_since = now;
	if (done == link->out.len) { /* thousands of links: what is empty holds no memory */
		iot_buf_release(&link->out);
		link->out = (struct iot_buf)IOT_BUF_INIT(IOT_PSK_LINK_OUTPUT_MAX);
		link->out_since = 0;
		return true;
	}
	iot_buf_consume(&link->out, done);
	rc = SSL_get_error(link->ssl, rc);
	if (rc == SSL_ERROR_WANT_WRITE || rc == SSL_ERROR_WANT_READ)
		return true;
	ERR_clear_error();
	psk_link_end(link, "the peer has gone");
	return false;
}

bool iot_psk_link_send(struct iot_psk_link *link, const void *data, size_t len)
{
	int64_t now = iot_monotonic_ms();

	if (link->state != LINK_OPEN)
		return false;
	if (link->out.len + len > IOT_PSK_LINK_OUTPUT_MAX)
		return false;
	if (link->out.len == 0)
		link->out_since = now;
	iot_buf_add(&link->out, data, len);
	if (flush(link, now))
		watch(link, link->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	return true;
}

void iot_psk_link_close(struct iot_psk_link *link, const char *reason)
{
	if (link->state != LINK_OPEN && link->state != LINK_HANDSHAKE)
		return;
	snprintf(link->reason, sizeof(link->reason), "%s", reason);
	if (link->state == LINK_HANDSHAKE || link->out.len == 0) {
		psk_link_end(link, reason);
		return;
	}
	link->state = LINK_CLOSING;
	link->since = iot_monotonic_ms();
	watch(link, EPOLLOUT);
}

/* --- in ------------------------------------------------------------------------------- */

/* Deliver the whole messages among these bytes; returns how many bytes they were. */
static size_t deliver(struct iot_psk_link *link, const char *data, size_t len)
{
	size_t at = 0;

	while (link->state == LINK_OPEN && len - at >= LINK_HEAD) {
		const uint8_t *head = (const uint8_t *)data + at;
		size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];

		if (size == 0 || size > link->message_max) {
			char reason[LINK_REASON];

			snprintf(reason, sizeof(reason), "a message of %zu bytes: 1 to %zu are possible", size,
				 link->message_max);
			psk_link_end(link, reason);
			break;
		}
		if (len - at - LINK_HEAD < size)
			break;
		link->server->events.message(link, data + at + LINK_HEAD, size, link->server->data);
		at += LINK_HEAD + size;
	}
	return at;
}

/* What came stays where it is if it is whole messages; only a broken one is kept. */
static void take(struct iot_psk_link *link, const char *data, size_t len, int64_t now)
{
	size_t used;

	link->heard = now;
	if (link->in.len == 0) {
		used = deliver(link, data, len);
		iot_buf_add(&link->in, data + used, len - used);
	} else {
		iot_buf_add(&link->in, data, len);
		used = deliver(link, link->in.data, link->in.len);
		iot_buf_consume(&link->in, used);
	}
	if (link->in.len == 0) {
		iot_buf_release(&link->in);
		link->in = (struct iot_buf)IOT_BUF_INIT(SIZE_MAX / 2);
		link->message_since = 0;
	} else if (used > 0 || link->message_since == 0) {
		link->message_since = now;
	}
}

static void read_some(struct iot_psk_link *link, int64_t now)
{
	for (int i = 0; i < LINK_READS && link->state == LINK_OPEN; i++) {
		char *scratch = link->server->scratch;
		int rc = SSL_read(link->ssl, scratch, LINK_SCRATCH);

		if (rc > 0) {
			take(link, scratch, (size_t)rc, now);
			continue;
		}
		rc = SSL_get_error(link->ssl, rc);
		if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE)
			return;
		if (rc == SSL_ERROR_ZERO_RETURN) {
			psk_link_end(link, "the device said goodbye");
		} else {
			const char *why = psk_fault();

			psk_link_end(link, why != NULL ? why : "the connection broke");
		}
		return;
	}
	if (link->state == LINK_OPEN)
		make_ready(link); /* others have their turn first */
}

/* --- the handshake ------------------------------------------------------------------------ */

static bool is_as_meant(const struct iot_psk_link *link)
{
	int exchange = SSL_CIPHER_get_kx_nid(SSL_get_current_cipher(link->ssl));

	return link->identity[0] != '\0' && !link->unknown && !SSL_session_reused(link->ssl) &&
	       (exchange == NID_kx_psk || exchange == NID_kx_ecdhe_psk);
}

static void handshake_failed(struct iot_psk_link *link)
{
	const char *why = psk_fault();

	link->server->counts.failed++;
	psk_link_end(link, link->unknown ? "no such identity"
			   : why != NULL ? why
					 : "the peer went during the handshake");
}

static void shake_hands(struct iot_psk_link *link, int64_t now)
{
	int rc = SSL_do_handshake(link->ssl);

	if (rc == 1 && !is_as_meant(link)) {
		psk_link_end(link, "the session was not made with a key of ours");
		return;
	}
	if (rc == 1) {
		link->state = LINK_OPEN;
		link->was_open = true;
		link->since = link->heard = now;
		link->server->counts.handshakes++;
		watch(link, EPOLLIN);
		link->server->events.opened(link, link->server->data);
		return;
	}
	rc = SSL_get_error(link->ssl, rc);
	if (rc == SSL_ERROR_WANT_READ)
		watch(link, EPOLLIN);
	else if (rc == SSL_ERROR_WANT_WRITE)
		watch(link, EPOLLIN | EPOLLOUT);
	else
		handshake_failed(link);
}

void psk_link_run(struct iot_psk_link *link, int64_t now)
{
	if (link->state == LINK_HANDSHAKE)
		shake_hands(link, now);
	if (link->state == LINK_OPEN && link->out.len > 0 && flush(link, now))
		watch(link, link->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
	if (link->state == LINK_OPEN)
		read_some(link, now);
	if (link->state == LINK_CLOSING && flush(link, now) && link->out.len == 0)
		psk_link_end(link, link->reason);
}

void psk_link_check(struct iot_psk_link *link, int64_t now)
{
	const struct iot_psk_server_options *options = &link->server->options;

	if (link->state == LINK_HANDSHAKE && now - link->since >= options->handshake_ms) {
		link->server->counts.failed++;
		psk_link_end(link, "the handshake took too long");
	} else if (link->state == LINK_CLOSING && now - link->since >= LINK_CLOSE_MS) {
		psk_link_end(link, link->reason);
	} else if (link->state != LINK_OPEN) {
		return;
	} else if (link->message_since != 0 && now - link->message_since >= options->message_ms) {
		psk_link_end(link, "a message took too long");
	} else if (link->out_since != 0 && now - link->out_since >= options->message_ms) {
		psk_link_end(link, "the device does not read");
	} else if (now - link->heard >= link->idle_ms) {
		psk_link_end(link, "silent for too long");
	}
}

/* --- what the owner sees --------------------------------------------------------------------- */

void iot_psk_link_set_limits(struct iot_psk_link *link, size_t message_max, int idle_ms)
{
	link->message_max = message_max;
	link->idle_ms = idle_ms;
}

const char *iot_psk_link_identity(const struct iot_psk_link *link)
{
	return link->identity;
}

const char *iot_psk_link_suite(const struct iot_psk_link *link)
{
	return SSL_get_cipher_name(link->ssl);
}

const char *iot_psk_link_address(const struct iot_psk_link *link)
{
	return link->address;
}

void iot_psk_link_set_user(struct iot_psk_link *link, void *user)
{
	link->user = user;
}

void *iot_psk_link_user(const struct iot_psk_link *link)
{
	return link->user;
}
