/*
 * The connections of the HTTPS API: libmicrohttpd (its TLS is GnuTLS), run from
 * serve's own loop over its epoll descriptor, so that there is one thread and one
 * handle of the registry.
 *
 * libmicrohttpd ends a connection on which nothing moves. One that moves just
 * enough is ended here: a request has a time in which its head must be there, and
 * another in which it must be complete.
 */
#include "broker/api/server.h"

#include "broker/api/api.h"
#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	CONNECTIONS = 256,
	PER_ADDRESS = 224,             /* of them: one alone cannot shut the others out */
	CONNECTION_MEMORY = 32 * 1024, /* headers, and what is on its way */
	MEMORY_STEP = 8 * 1024,
	BYTES_PER_MS = 16, /* of an image: what a slow line may need besides */
	LOOK_MS = 1000,
	BACKLOG = 128,
	BLOCK = 32 * 1024,             /* of a file that is sent */
	UPLOAD_MAX = 32 * 1024 * 1024, /* of an image as it is sent, in whatever pieces */
};
/* An answer may be an image over a slow radio. */
static const struct api_patience usual = {
	.idle = 60000, .head = 60000, .body = 30000, .answer = 3600 * 1000, .publish = 5000};
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

enum phase { IN_HEAD, IN_BODY, IN_ANSWER };

struct link {
	struct api_server *server;
	struct MHD_Connection *connection;
	struct link *next, **at;
	struct api_exchange *x; /* of the request that is in work; NULL: none */
	uint64_t number;
	enum phase phase;
	int64_t since; /* monotonic ms */
	bool waits;    /* suspended */
	int64_t waits_until;
	int fd;
};

struct api_server {
	struct MHD_Daemon *daemon;
	struct api_core core;
	struct api_patience patience;
	struct link *links;
	uint64_t numbers;
	int64_t next_look;
	char *certificate, *key;
	size_t key_len;
	int epoll_fd, port;
};

/* --- libmicrohttpd asks -------------------------------------------------------------------------- */

static struct link *link_of(struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info != NULL ? info->socket_context : NULL;
}

static void set_phase(struct link *link, enum phase phase)
{
	link->phase = phase;
	link->since = iot_monotonic_ms();
}

static void on_connection(void *data, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct api_server *server = data;
	struct link *link = *context;
	const union MHD_ConnectionInfo *info;
	int on = 1;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (link == NULL)
			return;
		*link->at = link->next;
		if (link->next != NULL)
			link->next->at = link->at;
		free(link);
		*context = NULL;
		return;
	}
	link = iot_alloc(sizeof(*link));
	*link = (struct link){.server = server, .connection = connection, .number = ++server->numbers, .fd = -1};
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info != NULL)
		link->fd = info->connect_fd;
	if (link->fd >= 0)
		(void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	set_phase(link, IN_HEAD);
	link->next = server->links;
	link->at = &server->links;
	if (link->next != NULL)
		link->next->at = &link->next;
	server->links = link;
	*context = link;
}

/* The request line is there: the only time that the path is seen as it was sent. */
static void *on_target(void *data, const char *target, struct MHD_Connection *connection)
{
	struct api_server *server = data;
	struct link *link = link_of(connection);

	if (link == NULL)
		return NULL;
	set_phase(link, IN_BODY);
	link->x = api_exchange_new(&server->core, target, link->number);
	return link->x;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **context,
			 enum MHD_RequestTerminationCode why)
{
	struct link *link = link_of(connection);

	(void)data, (void)why;
	api_exchange_free(*context);
	*context = NULL;
	if (link != NULL) {
		link->x = NULL;
		link->waits = false;
		set_phase(link, IN_HEAD);
	}
}

static enum MHD_Result add_header(void *data, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct api_exchange *x = data;

	(void)kind;
	if (x->http.header_count < API_HEADERS_MAX)
		x->http.headers[x->http.header_count++] = (struct api_pair){name, value != NULL ? value : ""};
	return MHD_YES;
}

static void set_source(struct api_exchange *x, struct MHD_Connection *connection)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	const struct sockaddr *address = info != NULL ? info->client_addr : NULL;
	char host[NI_MAXHOST];

	if (address == NULL)
		return;
	if (getnameinfo(address,
			address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in), host,
			sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
		return;
	host[strcspn(host, "%")] = '\0';
	/* An IPv4 client of an IPv6 socket: policies name it as what it is. */
	snprintf(x->source, sizeof(x->source), "%.45s", iot_starts_with(host, "::ffff:") ? host + 7 : host);
}

/* --- answers ------------------------------------------------------------------------------------------ */

struct file {
	int fd;
	int64_t offset;
};

static ssize_t read_file(void *data, uint64_t at, char *to, size_t max)
{
	const struct file *file = data;
	ssize_t n = pread(file->fd, to, max, file->offset + (int64_t)at);

	if (n < 0 && errno == EINTR)
		return 0;
	return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void close_file(void *data)
{
	struct file *file = data;

	iot_close_p(&file->fd);
	free(file);
}

static struct MHD_Response *make_response(struct api_answer *answer)
{
	struct file *file;

	if (answer->fd >= 0) {
		file = iot_alloc(sizeof(*file));
		*file = (struct file){iot_take_fd(&answer->fd), answer->offset};
		return MHD_create_response_from_callback((uint64_t)answer->length, BLOCK, read_file, file, close_file);
	}
	return MHD_create_response_from_buffer(answer->body.len, (void *)(uintptr_t)iot_buf_str(&answer->body),
					       MHD_RESPMEM_MUST_COPY);
}

static enum MHD_Result send_answer(struct link *link, struct api_exchange *x)
{
	struct MHD_Response *response = make_response(&x->answer);
	enum MHD_Result rc;

	if (response == NULL)
		return MHD_NO;
	for (size_t i = 0; i < x->answer.header_count; i++)
		(void)MHD_add_response_header(response, x->answer.headers[i].name, x->answer.headers[i].value);
	rc = MHD_queue_response(link->connection, (unsigned)x->answer.status, response);
	MHD_destroy_response(response);
	set_phase(link, IN_ANSWER);
	return rc;
}

static enum MHD_Result wait_for_broker(struct link *link)
{
	link->waits = true;
	link->waits_until = iot_deadline(link->server->patience.publish);
	MHD_suspend_connection(link->connection);
	return MHD_YES;
}

/* The head is there, a piece of the body, or its end. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *url, const char *method,
				  const char *version, const char *upload, size_t *upload_len, void **context)
{
	struct link *link = link_of(connection);
	struct api_exchange *x = *context;

	(void)data, (void)url, (void)version;
	if (link == NULL || x == NULL)
		return MHD_NO;
	if (x->http.method == NULL) {
		x->http.method = method;
		(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, add_header, x);
		set_source(x, connection);
		return api_exchange_head(x) == API_ANSWER ? send_answer(link, x) : MHD_YES;
	}
	if (*upload_len > 0) {
		api_exchange_body(x, upload, *upload_len);
		*upload_len = 0;
		/* Nobody who means well sends that much more than was announced or allowed. */
		return x->received > (x->writer != NULL ? UPLOAD_MAX : 8 * (int64_t)API_JSON_MAX) ? MHD_NO : MHD_YES;
	}
	if (x->answer.status == 0 && api_exchange_end(x) == API_WAIT)
		return wait_for_broker(link);
	return send_answer(link, x);
}

/* --- time ------------------------------------------------------------------------------------------------ */

static int64_t allowed_ms(const struct link *link)
{
	const struct api_patience *patience = &link->server->patience;

	switch (link->phase) {
	case IN_HEAD:
		return patience->head;
	case IN_BODY:
		return patience->body +
		       (link->x != NULL && link->x->writer != NULL ? link->x->received / BYTES_PER_MS : 0);
	case IN_ANSWER:
		break;
	}
	return patience->answer;
}

static void answer_late(struct link *link, int reason)
{
	link->waits = false;
	api_exchange_published(link->x, reason);
	MHD_resume_connection(link->connection);
}

static void look(struct api_server *server, int64_t now)
{
	server->next_look = now + LOOK_MS;
	for (struct link *link = server->links; link != NULL; link = link->next) {
		if (link->waits && now >= link->waits_until)
			answer_late(link, -1);
		else if (!link->waits && now - link->since > allowed_ms(link) && link->fd >= 0)
			(void)shutdown(link->fd, SHUT_RDWR); /* libmicrohttpd sees the end and cleans up */
	}
}

void api_server_published(struct api_server *server, int mid, int reason)
{
	if (server == NULL)
		return;
	for (struct link *link = server->links; link != NULL; link = link->next)
		if (link->waits && link->x->mid == mid)
			answer_late(link, reason);
}

void api_server_down(struct api_server *server)
{
	if (server == NULL)
		return;
	for (struct link *link = server->links; link != NULL; link = link->next)
		if (link->waits)
			answer_late(link, -1);
}

nfds_t api_server_poll(const struct api_server *server, struct pollfd *fd)
{
	if (server == NULL)
		return 0;
	*fd = (struct pollfd){.fd = server->epoll_fd, .events = POLLIN};
	return 1;
}

int64_t api_server_due(const struct api_server *server)
{
	unsigned MHD_LONG_LONG wait = 0;
	int64_t due;

	if (server == NULL || server->links == NULL)
		return INT64_MAX;
	due = server->next_look;
	if (MHD_get_timeout(server->daemon, &wait) == MHD_YES && iot_monotonic_ms() + (int64_t)wait < due)
		due = iot_monotonic_ms() + (int64_t)wait;
	return due;
}

void api_server_step(struct api_server *server)
{
	int64_t now = iot_monotonic_ms();

	if (server == NULL)
		return;
	if (now >= server->next_look)
		look(server, now);
	(void)MHD_run(server->daemon);
}

/* --- making and ending -------------------------------------------------------------------------------------- */

static void log_line(void *data, const char *fmt, va_list args)
{
	char line[300];

	(void)data;
	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\n")] = '\0';
	iot_text_printable(line);
	iot_debug("libmicrohttpd: %s", line);
}

static size_t leave_as_is(void *data, struct MHD_Connection *connection, char *text)
{
	(void)data, (void)connection;
	return strlen(text);
}

static enum iot_status open_socket(const char *host, int port, int *ret, struct iot_error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	char service[16];
	int rc, fd = -1, on = 1, off = 0, fault = 0;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return iot_fail(err, IOT_SETTINGS, "cannot listen on '%s': %s", host, gai_strerror(rc));
	for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			continue;
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (at->ai_family == AF_INET6)
			(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
			break;
		fault = errno;
		iot_close_p(&fd);
	}
	freeaddrinfo(list);
	if (fd < 0)
		return iot_fail_errno(err, fault == EADDRINUSE ? IOT_CONFLICT : IOT_SETTINGS, fault,
				      "cannot listen on '%s' port %d", host, port);
	*ret = fd;
	return IOT_OK;
}

static enum iot_status start(struct api_server *server, int *fd, struct iot_error *err)
{
	const unsigned flags =
		MHD_USE_TLS | MHD_USE_EPOLL | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_TURBO;
	const union MHD_DaemonInfo *info;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address = {.v6 = {0}};
	socklen_t size = sizeof(address);

	server->daemon = MHD_start_daemon(
		flags, 0, NULL, NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, log_line, NULL,
		MHD_OPTION_LISTEN_SOCKET, *fd, MHD_OPTION_HTTPS_MEM_CERT, server->certificate, MHD_OPTION_HTTPS_MEM_KEY,
		server->key, MHD_OPTION_HTTPS_PRIORITIES, PRIORITIES, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned)CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)PER_ADDRESS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)server->patience.idle / 1000,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_CONNECTION_MEMORY_INCREMENT,
		(size_t)MEMORY_STEP, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, leave_as_is, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, on_target, server, MHD_OPTION_NOTIFY_COMPLETED, on_completed, server,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
	if (server->daemon == NULL) {
		iot_fail(err, IOT_FAILURE, "cannot start the HTTPS API");
		iot_error_hint(err, "its certificate is 'ca/server.pem' with 'ca/server.key'");
		return IOT_FAILURE;
	}
	if (getsockname(*fd, &address.any, &size) == 0)
		server->port = ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
	*fd = -1; /* it closes it */
	info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return iot_fail(err, IOT_FAILURE, "libmicrohttpd has no epoll descriptor");
	server->epoll_fd = info->epoll_fd;
	return IOT_OK;
}

static enum iot_status read_secret(const char *dir, const char *name, size_t max, char **ret, size_t *ret_len,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	struct iot_buf text = IOT_BUF_SECRET(max);
	enum iot_status status = iot_fs_read(path, &text, err);

	*ret_len = text.len;
	if (status == IOT_OK)
		*ret = iot_buf_detach(&text);
	iot_buf_release(&text);
	return status;
}

static int or_usual(int given, int common)
{
	return given > 0 ? given : common;
}

enum iot_status api_server_new(const struct api_server_options *options, struct api_server **ret, struct iot_error *err)
{
	struct api_server *server = iot_alloc(sizeof(*server));
	IOT_CLEAN(iot_close_p) int fd = -1;
	size_t len;
	enum iot_status status = api_core_init(&server->core, options->cloud, err);

	server->patience = (struct api_patience){.idle = or_usual(options->patience.idle, usual.idle),
						 .head = or_usual(options->patience.head, usual.head),
						 .body = or_usual(options->patience.body, usual.body),
						 .answer = or_usual(options->patience.answer, usual.answer),
						 .publish = or_usual(options->patience.publish, usual.publish)};
	server->core.publish = options->publish;
	server->core.data = options->data;
	if (status == IOT_OK)
		status = read_secret(options->ca_dir, "server.pem", IOT_CERT_PEM_MAX, &server->certificate, &len, err);
	if (status == IOT_OK)
		status = read_secret(options->ca_dir, "server.key", IOT_CERT_PEM_MAX, &server->key, &server->key_len,
				     err);
	if (status == IOT_OK)
		status = open_socket(options->listen, options->port, &fd, err);
	if (status == IOT_OK)
		status = start(server, &fd, err);
	if (status != IOT_OK) {
		iot_error_while(err, "starting the HTTPS API");
		api_server_free(server);
		return status;
	}
	*ret = server;
	return IOT_OK;
}

int api_server_port(const struct api_server *server)
{
	return server->port;
}

void api_server_free(struct api_server *server)
{
	if (server == NULL)
		return;
	if (server->daemon != NULL) {
		api_server_down(server);
		MHD_stop_daemon(server->daemon);
	}
	api_core_release(&server->core);
	free(server->certificate);
	if (server->key != NULL)
		iot_wipe(server->key, server->key_len);
	free(server->key);
	free(server);
}
