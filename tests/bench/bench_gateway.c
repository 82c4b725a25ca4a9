/*
 * Load for a gateway, and its yardstick.
 *
 *   bench_gateway fill FLEET COUNT FILE     children dev-00000... of gateway "gw", with both secrets; what they need in
 * FILE bench_gateway bare PORT FILE N          a server with nothing but OpenSSL: handshake, 40 bytes, a token, 40
 * bytes bench_gateway handshakes PORT FILE N    N connections up to "accepted", 64 at once; prints how many a second
 *   bench_gateway hold PORT FILE N          N connections that stay until stdin ends; says "held" when all are accepted
 *   bench_gateway latency PORT FILE N SOCKET SECONDS   N devices, 1,000 messages a second in all; prints the median and
 * the 99th percentile of the time until a subscriber of the broker has them, in ms
 */
#include "bench.h"

#include "iotctl/attest.h"
#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/frame.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/mqtt.h"
#include "iotctl/psklink.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KEY = 32, AT_ONCE = 64, RATE = 1000 };

struct secret {
	char identity[16];
	uint8_t key[KEY], iak[KEY];
};

/* --- children ------------------------------------------------------------------------------- */

static void call(struct iot_cloud *cloud, const char *operation, json_t *request, const void *data)
{
	const struct iot_body body = {.data = data, .len = KEY, .fd = -1};
	struct iot_error err = IOT_ERROR_INIT;

	bench_must(iot_cloud_call(cloud, operation, request, data != NULL ? &body : NULL, NULL, NULL, &err), &err);
	json_decref(request);
}

static int fill(const char *fleet, int count, const char *path)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = NULL;
	FILE *file = fopen(path, "w");

	bench_must(iot_local_open(fleet, &cloud, &err), &err);
	if (file == NULL)
		return 1;
	iot_store_set_durable(iot_local_store(cloud), false);
	for (int i = 0; i < count; i++) {
		struct secret secret;
		char attest[32];

		snprintf(secret.identity, sizeof(secret.identity), "dev-%05d", i);
		snprintf(attest, sizeof(attest), "%s.attest", secret.identity);
		iot_random(secret.key, KEY);
		iot_random(secret.iak, KEY);
		call(cloud, "CreateThing",
		     json_pack("{s:s, s:s, s:{s:{s:s}}}", "thingName", secret.identity, "thingTypeName", "sensor",
			       "attributePayload", "attributes", "gateway", "gw"),
		     NULL);
		call(cloud, "iotctl:ImportPsk",
		     json_pack("{s:s, s:s, s:s}", "thingName", secret.identity, "identity", secret.identity, "purpose",
			       "connect"),
		     secret.key);
		call(cloud, "iotctl:ImportPsk",
		     json_pack("{s:s, s:s, s:s}", "thingName", secret.identity, "identity", attest, "purpose",
			       "attest"),
		     secret.iak);
		fwrite(&secret, sizeof(secret), 1, file);
	}
	fclose(file);
	iot_cloud_free(cloud);
	return 0;
}

static struct secret *load(const char *path, int count)
{
	struct secret *secrets = iot_alloc_array((size_t)count, sizeof(*secrets));
	FILE *file = fopen(path, "r");

	if (file == NULL || fread(secrets, sizeof(*secrets), (size_t)count, file) != (size_t)count) {
		fprintf(stderr, "'%s' has not %d children\n", path, count);
		exit(1);
	}
	fclose(file);
	return secrets;
}

/* --- clients --------------------------------------------------------------------------------- */

enum stage { CONNECTING, TOKEN_SENT, ACCEPTED, OVER };

struct client {
	SSL *ssl;
	int fd;
	enum stage stage;
	const struct secret *secret;
	uint8_t in[512];
	size_t in_len;
	uint64_t sequence;
};

static SSL_CTX *context;
static int epoll, target;

static unsigned give_key(SSL *ssl, const char *hint, char *identity, unsigned max, unsigned char *key, unsigned key_max)
{
	const struct client *client = SSL_get_app_data(ssl);

	(void)hint, (void)key_max;
	snprintf(identity, max, "%s", client->secret->identity);
	memcpy(key, client->secret->key, KEY);
	return KEY;
}

static void begin_clients(const char *port)
{
	target = bench_number(port);
	epoll = epoll_create1(0);
	context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(context, "PSK-AES128-CCM");
	SSL_CTX_set_psk_client_callback(context, give_key);
	SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
}

static void open_client(struct client *client, const struct secret *secret)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)target), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
	int on = 1;

	*client = (struct client){.secret = secret, .fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (client->fd < 0 || (connect(client->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)) {
		perror("connect");
		exit(1);
	}
	client->ssl = SSL_new(context);
	SSL_set_fd(client->ssl, client->fd);
	SSL_set_app_data(client->ssl, client);
	SSL_set_connect_state(client->ssl);
	epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event);
}

static void close_client(struct client *client)
{
	SSL_shutdown(client->ssl);
	SSL_free(client->ssl);
	close(client->fd);
	client->stage = OVER;
}

static void send_frame(struct client *client, const struct iot_frame *frame)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_FRAME_MAX);

	iot_frame_write(frame, &out);
	if (SSL_write(client->ssl, out.data, (int)out.len) != (int)out.len) {
		fprintf(stderr, "cannot send\n");
		exit(1);
	}
	iot_buf_release(&out);
}

static void send_token(struct client *client, const struct iot_span *nonce)
{
	static const uint8_t zeros[32];
	uint8_t instance[IOT_ATTEST_INSTANCE_SIZE];
	const struct iot_span some = {zeros, sizeof(zeros)};
	struct iot_attest_claims claims = {.profile = IOT_ATTEST_PSA_1,
					   .profile_name = {"PSA_IOT_PROFILE_1", 17},
					   .has_client = true,
					   .client = -1,
					   .has_lifecycle = true,
					   .lifecycle = 0x3000,
					   .implementation = some,
					   .boot_seed = some,
					   .nonce = *nonce,
					   .instance = {instance, sizeof(instance)},
					   .components = {{.measurement = some, .signer = some}},
					   .component_count = 1};
	struct iot_buf token = IOT_BUF_INIT(IOT_COSE_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_frame frame = {.kind = IOT_FRAME_TOKEN, .boot = some};

	iot_attest_instance_of_secret(client->secret->iak, KEY, instance);
	bench_must(iot_attest_encode(&claims, IOT_COSE_HMAC256, client->secret->iak, KEY, NULL, &token, &err), &err);
	frame.token = (struct iot_span){token.data, token.len};
	send_frame(client, &frame);
	iot_buf_release(&token);
	client->stage = TOKEN_SENT;
}

/* The first message is the challenge, the second says that it is accepted; others do not matter here. */
static void take(struct client *client, const void *data, size_t len)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_frame frame;

	bench_must(iot_frame_read(data, len, &frame, &err), &err);
	if (frame.kind == IOT_FRAME_CHALLENGE) {
		send_token(client, &frame.nonce);
	} else if (frame.kind == IOT_FRAME_ACCEPTED) {
		client->stage = ACCEPTED;
		client->sequence = frame.sequence;
	} else if (frame.kind == IOT_FRAME_REFUSED) {
		fprintf(stderr, "refused: %.*s\n", (int)frame.reason.len, (const char *)frame.reason.data);
		exit(1);
	}
}

static void run_client(struct client *client)
{
	int rc = 0;

	while (client->stage != OVER && (rc = SSL_read(client->ssl, client->in + client->in_len,
						       (int)(sizeof(client->in) - client->in_len))) > 0) {
		client->in_len += (size_t)rc;
		while (client->in_len >= IOT_FRAME_HEAD) {
			size_t len = (size_t)client->in[2] << 8 | client->in[3];

			if (client->in_len < IOT_FRAME_HEAD + len)
				break;
			take(client, client->in + IOT_FRAME_HEAD, len);
			client->in_len -= IOT_FRAME_HEAD + len;
			memmove(client->in, client->in + IOT_FRAME_HEAD + len, client->in_len);
		}
	}
	if (client->stage == OVER)
		return;
	rc = SSL_get_error(client->ssl, rc);
	if (rc != SSL_ERROR_WANT_READ && rc != SSL_ERROR_WANT_WRITE) {
		fprintf(stderr, "a connection ended: %s\n", ERR_reason_error_string(ERR_peek_error()));
		exit(1);
	}
}

static void poll_clients(int timeout_ms)
{
	struct epoll_event events[256];
	int count = epoll_wait(epoll, events, 256, timeout_ms);

	for (int i = 0; i < count; i++)
		run_client(events[i].data.ptr);
}

static int handshakes(struct secret *secrets, int count)
{
	struct client clients[AT_ONCE];
	int begun = 0, done = 0, at_once = count < AT_ONCE ? count : AT_ONCE;
	double start = bench_now_ms();

	while (begun < at_once) {
		open_client(&clients[begun], &secrets[begun]);
		begun++;
	}
	while (done < count) {
		poll_clients(1000);
		for (int i = 0; i < at_once; i++) {
			if (clients[i].stage != ACCEPTED)
				continue;
			close_client(&clients[i]);
			done++;
			if (begun < count)
				open_client(&clients[i], &secrets[begun++]);
		}
	}
	printf("%.0f\n", count * 1000.0 / (bench_now_ms() - start));
	return 0;
}

static struct client *connect_all(struct secret *secrets, int count)
{
	struct client *clients = iot_alloc_array((size_t)count, sizeof(*clients));
	int begun = 0, accepted = 0;

	while (accepted < count) {
		for (; begun < count && begun - accepted < AT_ONCE; begun++)
			open_client(&clients[begun], &secrets[begun]);
		poll_clients(100);
		accepted = 0;
		for (int i = 0; i < begun; i++)
			accepted += clients[i].stage == ACCEPTED;
	}
	return clients;
}

static int hold(struct secret *secrets, int count)
{
	struct client *clients = connect_all(secrets, count);
	char c;

	printf("held\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &c, 1) > 0)
		;
	for (int i = 0; i < count; i++)
		close_client(&clients[i]);
	free(clients);
	return 0;
}

/* --- latency --------------------------------------------------------------------------------- */

struct times {
	double *values;
	size_t count, size;
};

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct times *times = data;
	double sent;

	(void)mqtt;
	if (message->payload_len == sizeof(sent) && times->count < times->size) {
		memcpy(&sent, message->payload, sizeof(sent));
		times->values[times->count++] = bench_now_ms() - sent;
	}
}

static int latency(struct secret *secrets, int count, const char *socket_path, int seconds)
{
	const struct iot_mqtt_options options = {.unix_path = socket_path, .client_id = "bench", .mqtt5 = true};
	const struct iot_mqtt_events events = {.message = on_message};
	struct times times = {.size = (size_t)seconds * RATE};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_mqtt *mqtt = NULL;
	struct client *clients = connect_all(secrets, count);
	double start;
	size_t sent = 0;

	times.values = iot_alloc_array(times.size, sizeof(double));
	bench_must(iot_mqtt_new(&options, &events, &times, &mqtt, &err), &err);
	bench_must(iot_mqtt_connect(mqtt, 5000, &err), &err);
	bench_must(iot_mqtt_subscribe_wait(mqtt, "sensor/+/event", 0, 5000, &err), &err);
	start = bench_now_ms();
	while (times.count < times.size && bench_now_ms() - start < (seconds + 10) * 1000.0) {
		struct pollfd fds[] = {{.fd = epoll, .events = POLLIN},
				       {.fd = iot_mqtt_fd(mqtt), .events = iot_mqtt_poll_events(mqtt)}};

		for (; sent < times.size && (double)sent < (bench_now_ms() - start) * RATE / 1000; sent++) {
			struct client *client = &clients[sent % (size_t)count];
			double now = bench_now_ms();
			const struct iot_frame frame = {.kind = IOT_FRAME_DATA,
							.sequence = ++client->sequence,
							.role = IOT_FRAME_EVENT,
							.payload = {&now, sizeof(now)}};

			send_frame(client, &frame);
		}
		poll(fds, 2, 1);
		iot_mqtt_io(mqtt, fds[1].revents);
		poll_clients(0);
	}
	if (times.count < times.size) {
		fprintf(stderr, "%zu of %zu messages came\n", times.count, times.size);
		return 1;
	}
	qsort(times.values, times.count, sizeof(double), bench_compare);
	printf("%.2f %.2f\n", times.values[times.count / 2], times.values[times.count * 99 / 100]);
	iot_mqtt_disconnect(mqtt, 1000);
	iot_mqtt_free(mqtt);
	for (int i = 0; i < count; i++)
		close_client(&clients[i]);
	free(times.values);
	free(clients);
	return 0;
}

/* --- the yardstick --------------------------------------------------------------------------- */

static struct secret *known;
static int known_count;

static unsigned find_key(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
	long i = identity != NULL && strlen(identity) == 9 ? strtol(identity + 4, NULL, 10) : -1;

	(void)ssl, (void)max;
	if (i < 0 || i >= known_count)
		return 0;
	memcpy(key, known[i].key, KEY);
	return KEY;
}

struct peer {
	SSL *ssl;
	int fd, stage; /* 0: handshake, 1: challenged, 2: answered */
};

static void answer(struct peer *peer, const struct iot_frame *frame)
{
	struct iot_buf out = IOT_BUF_INIT(1024);

	iot_frame_write(frame, &out);
	(void)SSL_write(peer->ssl, out.data, (int)out.len);
	iot_buf_release(&out);
}

static void run_peer(struct peer *peer)
{
	static const uint8_t nonce[32];
	const struct iot_frame challenge = {.kind = IOT_FRAME_CHALLENGE, .version = 1, .nonce = {nonce, sizeof(nonce)}};
	const struct iot_frame accepted = {
		.kind = IOT_FRAME_ACCEPTED, .name = {"dev-00000", 9}, .idle = 120, .longest = IOT_FRAME_MAX};
	char buffer[4096];
	int rc = 1;

	if (peer->stage == 0 && (rc = SSL_do_handshake(peer->ssl)) == 1) {
		peer->stage = 1;
		answer(peer, &challenge);
	}
	while (rc > 0 && (rc = SSL_read(peer->ssl, buffer, sizeof(buffer))) > 0) {
		if (peer->stage == 1)
			answer(peer, &accepted);
		peer->stage = 2;
	}
	rc = SSL_get_error(peer->ssl, rc);
	if (rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE)
		return;
	ERR_clear_error();
	SSL_free(peer->ssl);
	close(peer->fd);
	free(peer);
}

static int bare(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)bench_number(port)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(listener, 1024) != 0)
		return 1;
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_cipher_list(ctx, "PSK-AES128-CCM");
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_psk_server_callback(ctx, find_key);
	epoll = epoll_create1(0);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		int count = epoll_wait(epoll, events, 256, -1), fd;

		for (int i = 0; i < count; i++) {
			struct peer *peer = events[i].data.ptr;

			if (peer != NULL) {
				run_peer(peer);
				continue;
			}
			while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
				peer = iot_alloc(sizeof(*peer));
				setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
				*peer = (struct peer){SSL_new(ctx), fd, 0};
				SSL_set_fd(peer->ssl, fd);
				SSL_set_accept_state(peer->ssl);
				event = (struct epoll_event){.events = EPOLLIN, .data.ptr = peer};
				epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
			}
		}
	}
}

int main(int argc, char **argv)
{
	const char *verb = argc > 1 ? argv[1] : "";
	int count = argc > 4 && strcmp(verb, "fill") != 0 ? bench_number(argv[4]) : 0;
	int status = 2;

	signal(SIGPIPE, SIG_IGN);
	if (strcmp(verb, "fill") == 0 && argc == 5)
		return fill(argv[2], bench_number(argv[3]), argv[4]);
	if (strcmp(verb, "bare") == 0 && argc == 5) {
		known = load(argv[3], count);
		known_count = count;
		return bare(argv[2]);
	}
	if (argc < 5)
		return 2;
	begin_clients(argv[2]);
	known = load(argv[3], count);
	if (strcmp(verb, "handshakes") == 0)
		status = handshakes(known, count);
	else if (strcmp(verb, "hold") == 0)
		status = hold(known, count);
	else if (strcmp(verb, "latency") == 0 && argc == 7)
		status = latency(known, count, argv[5], bench_number(argv[6]));
	free(known);
	SSL_CTX_free(context);
	return status;
}
