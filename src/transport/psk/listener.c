/*
 * The listener: one epoll descriptor for the socket that listens and all
 * connections. Ended connections are reaped after a turn, so that no event of the same
 * turn meets freed memory. Deadlines are looked through ten times a second.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "transport/psk/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	LINKS = 10000,
	BACKLOG = 1024,
	EVENTS = 256,
	ACCEPTS = 64,
	SCAN_MS = 100,
	PAUSE_MS = 200, /* without descriptors nothing is gained by trying at once */
	DUMMY_KEY = 32
};

/* A client with an unknown name must not learn that it is one: its handshake fails as one with a wrong key does. */
static unsigned find_key(SSL *ssl, const char *identity, unsigned char *psk, unsigned max)
{
	struct iot_psk_link *link = SSL_get_app_data(ssl);
	struct iot_psk_server *server = link->server;
	uint8_t key[IOT_PSK_LINK_KEY_MAX];
	size_t len = identity != NULL ? strlen(identity) : 0;

	if (len == 0 || len > IOT_PSK_LINK_IDENTITY_MAX) {
		len = 0;
	} else {
		memcpy(link->identity, identity, len + 1);
		len = server->events.key(link, link->identity, key, server->data);
		if (len < IOT_PSK_LINK_KEY_MIN)
			len = 0;
	}
	link->unknown = len == 0;
	if (len == 0) {
		len = DUMMY_KEY;
		iot_random(key, len);
	}
	if (len <= max)
		memcpy(psk, key, len);
	iot_wipe(key, sizeof(key));
	return len <= max ? (unsigned)len : 0;
}

/* --- listening -------------------------------------------------------------------------- */

static enum iot_status bind_to(struct iot_psk_server *server, const struct addrinfo *to, struct iot_error *err)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} name;
	socklen_t len = sizeof(name);
	int on = 1;

	memset(&name, 0, sizeof(name));
	server->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a socket");
	setsockopt(server->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server->fd, to->ai_addr, to->ai_addrlen) != 0 || listen(server->fd, BACKLOG) != 0)
		return iot_fail_errno(err, errno == EADDRINUSE ? IOT_CONFLICT : IOT_USAGE, errno,
				      "cannot listen at '%s:%d'", server->options.address, server->options.port);
	if (getsockname(server->fd, &name.any, &len) == 0)
		server->port = ntohs(name.any.sa_family == AF_INET6 ? name.v6.sin6_port : name.v4.sin_port);
	return IOT_OK;
}

static enum iot_status open_socket(struct iot_psk_server *server, struct iot_error *err)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC,
				       .ai_socktype = SOCK_STREAM,
				       .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
	struct addrinfo *found = NULL;
	enum iot_status status;
	char port[8];
	int rc;

	snprintf(port, sizeof(port), "%d", server->options.port);
	rc = getaddrinfo(server->options.address, port, &hints, &found);
	if (rc != 0)
		return iot_fail(err, IOT_USAGE, "'%s' is no address to listen at", server->options.address);
	status = bind_to(server, found, err);
	freeaddrinfo(found);
	if (status != IOT_OK)
		return status;
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0 || epoll_ctl(server->epoll, EPOLL_CTL_ADD, server->fd, &event) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot watch the listener");
	return IOT_OK;
}

enum iot_status iot_psk_server_new(const struct iot_psk_server_options *options,
				   const struct iot_psk_server_events *events, void *data, struct iot_psk_server **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_psk_server_free_p) struct iot_psk_server *server = iot_alloc(sizeof(*server));
	enum iot_status status;

	server->options = *options;
	server->options.address = iot_strdup(options->address != NULL ? options->address : "127.0.0.1");
	server->options.suites = NULL;
	if (server->options.links == 0)
		server->options.links = LINKS;
	server->events = *events;
	server->data = data;
	server->fd = server->epoll = -1;
	status = psk_context_new(true, options->suites, &server->ctx, err);
	if (status == IOT_OK)
		status = open_socket(server, err);
	if (status != IOT_OK)
		return status;
	SSL_CTX_set_psk_server_callback(server->ctx, find_key);
	*ret = iot_take(server);
	return IOT_OK;
}

static void reap(struct iot_psk_server *server)
{
	while (server->dead != NULL) {
		struct iot_psk_link *link = server->dead;

		server->dead = link->next_dead;
		server->events.closed(link, link->reason, server->data);
		if (link->previous != NULL)
			link->previous->next = link->next;
		else
			server->links = link->next;
		if (link->next != NULL)
			link->next->previous = link->previous;
		for (struct iot_psk_link **at = &server->ready; link->ready && *at != NULL; at = &(*at)->next_ready) {
			if (*at == link) {
				*at = link->next_ready;
				break;
			}
		}
		server->counts.open--;
		psk_link_free(link);
	}
}

void iot_psk_server_free(struct iot_psk_server *server)
{
	if (server == NULL)
		return;
	for (struct iot_psk_link *link = server->links; link != NULL; link = link->next)
		psk_link_end(link, "the gateway ends");
	reap(server);
	SSL_CTX_free(server->ctx);
	iot_close_p(&server->fd);
	iot_close_p(&server->epoll);
	free((void *)(uintptr_t)server->options.address);
	iot_wipe(server->scratch, sizeof(server->scratch));
	free(server);
}

void iot_psk_server_free_p(struct iot_psk_server **server)
{
	iot_psk_server_free(*server);
}

/* --- a turn ------------------------------------------------------------------------------- */

static void listen_again(struct iot_psk_server *server, bool on)
{
	struct epoll_event event = {.events = on ? EPOLLIN : 0, .data.ptr = NULL};

	epoll_ctl(server->epoll, EPOLL_CTL_MOD, server->fd, &event);
}

static void add_link(struct iot_psk_server *server, int fd, const struct sockaddr_storage *peer, socklen_t len,
		     int64_t now)
{
	char host[48] = "?", port[8] = "?", address[64];
	struct iot_psk_link *link;
	int on = 1;

	getnameinfo((const struct sockaddr *)peer, len, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV);
	snprintf(address, sizeof(address), "%s:%s", host, port);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	link = psk_link_new(server, fd, address, now);
	if (link == NULL)
		return;
	link->next = server->links;
	if (server->links != NULL)
		server->links->previous = link;
	server->links = link;
	server->counts.open++;
	server->counts.accepted++;
}

static void accept_some(struct iot_psk_server *server, int64_t now)
{
	for (int i = 0; i < ACCEPTS; i++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int fd;

		if (server->counts.open >= server->options.links) {
			server->listen_again = now + PAUSE_MS;
			break;
		}
		fd = accept4(server->fd, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			add_link(server, fd, &peer, len, now);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
			server->listen_again = now + PAUSE_MS;
		break;
	}
	if (server->listen_again != 0)
		listen_again(server, false);
}

static void scan(struct iot_psk_server *server, int64_t now)
{
	if (server->listen_again != 0 && now >= server->listen_again) {
		server->listen_again = 0;
		listen_again(server, true);
	}
	if (now < server->next_scan)
		return;
	server->next_scan = now + SCAN_MS;
	for (struct iot_psk_link *link = server->links; link != NULL; link = link->next)
		psk_link_check(link, now);
}

static void run_ready(struct iot_psk_server *server, int64_t now)
{
	struct iot_psk_link *list = server->ready, *link;

	server->ready = NULL;
	while ((link = list) != NULL) {
		list = link->next_ready;
		link->ready = false;
		psk_link_run(link, now);
	}
}

int iot_psk_server_work(struct iot_psk_server *server)
{
	struct epoll_event events[EVENTS];
	int64_t now = iot_monotonic_ms();
	int count;

	run_ready(server, now);
	count = epoll_wait(server->epoll, events, EVENTS, 0);
	for (int i = 0; i < count; i++) {
		struct iot_psk_link *link = events[i].data.ptr;

		if (link == NULL)
			accept_some(server, now);
		else
			psk_link_run(link, now);
	}
	scan(server, now);
	reap(server);
	return server->ready != NULL || count == EVENTS ? 0 : SCAN_MS;
}

/* --- what the owner sees --------------------------------------------------------------------- */

int iot_psk_server_fd(const struct iot_psk_server *server)
{
	return server->epoll;
}

int iot_psk_server_port(const struct iot_psk_server *server)
{
	return server->port;
}

struct iot_psk_server_counts iot_psk_server_counts(const struct iot_psk_server *server)
{
	return server->counts;
}

void iot_psk_server_each(struct iot_psk_server *server, void (*each)(struct iot_psk_link *link, void *data), void *data)
{
	for (struct iot_psk_link *link = server->links; link != NULL; link = link->next) {
		if (link->state == LINK_OPEN)
			each(link, data);
	}
}
