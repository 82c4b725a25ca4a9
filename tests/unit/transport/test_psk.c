/*
 * TLS with pre-shared keys: a listener in a thread of its own against our client,
 * OpenSSL's, and one that speaks byte by byte. Which suites there are, whom it
 * lets in, that nothing is resumed, and that nobody can keep it busy or fill it.
 */
#include "iotctl/psklink.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 10000, MESSAGE_MAX = 1000, REASONS = 64 };

static const uint8_t key[32] = "0123456789abcdef0123456789abcde";
static const uint8_t wrong[32] = "0123456789abcdef0123456789abcdX";

/* --- the listener ---------------------------------------------------------------------- */

static pthread_t thread;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news;
static struct iot_psk_server *server;
static int port, stop[2];

/* What happened; all below the lock. */
static char reasons[REASONS][200], asked[300];
static size_t closed, opened, messages, last_len, asked_count;
static bool flood, flood_refused;

static void happened(void)
{
	pthread_cond_broadcast(&news);
}

static size_t on_key(struct iot_psk_link *link, const char *identity, uint8_t *out, void *data)
{
	size_t len = strcmp(identity, "short") == 0 ? 15 : strncmp(identity, "pump", 4) == 0 ? sizeof(key) : 0;

	(void)link, (void)data;
	pthread_mutex_lock(&lock);
	snprintf(asked, sizeof(asked), "%s", identity);
	asked_count++;
	pthread_mutex_unlock(&lock);
	memcpy(out, key, len);
	return len;
}

static void on_opened(struct iot_psk_link *link, void *data)
{
	static const char block[4096];
	bool fits = true;

	(void)data;
	pthread_mutex_lock(&lock);
	opened++;
	for (int i = 0; flood && fits && i < 100000; i++)
		fits = iot_psk_link_send(link, block, sizeof(block));
	flood_refused = !fits;
	happened();
	pthread_mutex_unlock(&lock);
}

static void on_message(struct iot_psk_link *link, const void *message, size_t len, void *data)
{
	const uint8_t head[4] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};

	(void)data;
	pthread_mutex_lock(&lock);
	messages++;
	last_len = len;
	happened();
	pthread_mutex_unlock(&lock);
	CU_ASSERT_TRUE(iot_psk_link_send(link, head, sizeof(head)) && iot_psk_link_send(link, message, len));
}

static void on_closed(struct iot_psk_link *link, const char *reason, void *data)
{
	(void)link, (void)data;
	pthread_mutex_lock(&lock);
	if (closed < REASONS)
		snprintf(reasons[closed], sizeof(reasons[0]), "%s", reason);
	closed++;
	happened();
	pthread_mutex_unlock(&lock);
}

static void *run(void *data)
{
	struct pollfd fds[] = {{iot_psk_server_fd(server), POLLIN, 0}, {stop[0], POLLIN, 0}};
	int timeout = 0;

	(void)data;
	while (fds[1].revents == 0 && poll(fds, 2, timeout) >= 0)
		timeout = iot_psk_server_work(server);
	return NULL;
}

static struct iot_psk_server_options options;

static void start(void)
{
	static const struct iot_psk_server_events events = {on_key, on_opened, on_message, on_closed};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_psk_server_new(&options, &events, NULL, &server, &err), &err);
	port = iot_psk_server_port(server);
	CU_ASSERT_EQUAL_FATAL(pipe(stop), 0);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run, NULL), 0);
}

static void end(void)
{
	CU_ASSERT_EQUAL(write(stop[1], "", 1), 1);
	pthread_join(thread, NULL);
	iot_psk_server_free(server);
	server = NULL;
	close(stop[0]);
	close(stop[1]);
}

static void set_up(void)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&news, &attributes);
	pthread_condattr_destroy(&attributes);
	closed = opened = messages = last_len = asked_count = 0;
	asked[0] = '\0';
	flood = flood_refused = false;
	options = (struct iot_psk_server_options){
		.message_max = MESSAGE_MAX, .handshake_ms = WAIT_MS, .idle_ms = WAIT_MS, .message_ms = WAIT_MS};
}

static void tear_down(void)
{
	if (server != NULL)
		end();
	pthread_cond_destroy(&news);
}

/* Until a number has come so far; false: it did not in time. */
static bool await(const size_t *number, size_t at_least)
{
	struct timespec until;
	bool good;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += WAIT_MS / 1000;
	pthread_mutex_lock(&lock);
	while (*number < at_least && pthread_cond_timedwait(&news, &lock, &until) == 0)
		;
	good = *number >= at_least;
	pthread_mutex_unlock(&lock);
	return good;
}

static void expect_end(size_t number, const char *reason)
{
	CU_ASSERT_TRUE(await(&closed, number));
	if (strcmp(reasons[number - 1], reason) != 0)
		fprintf(stderr, "\nended for '%s', not '%s'\n", reasons[number - 1], reason);
	CU_ASSERT_STRING_EQUAL(reasons[number - 1], reason);
}

/* --- our client ---------------------------------------------------------------------------- */

static char why[512];

static enum iot_status come_in(const char *identity, const uint8_t *with, size_t len, const char *suites,
			       struct iot_psk_client **ret)
{
	const struct iot_psk_client_options client = {.host = "127.0.0.1",
						      .port = port,
						      .identity = identity,
						      .key = with,
						      .key_len = len,
						      .suites = suites,
						      .timeout_ms = WAIT_MS};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_psk_client_new(&client, ret, &err);

	snprintf(why, sizeof(why), "%s", err.what);
	return status;
}

/* A message of this length goes and comes back. */
static enum iot_status say(struct iot_psk_client *client, uint32_t len, size_t sent)
{
	uint8_t text[4 + MESSAGE_MAX + 8] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
					     (uint8_t)len};
	const void *answer = NULL;
	size_t answer_len = 0;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	memset(text + 4, 'x', sizeof(text) - 4);
	status = iot_psk_client_send(client, text, 4 + sent, WAIT_MS, &err);
	if (status == IOT_OK)
		status = iot_psk_client_receive(client, MESSAGE_MAX, WAIT_MS, &answer, &answer_len, &err);
	if (status == IOT_OK)
		CU_ASSERT_TRUE(answer_len == len && memcmp(answer, text + 4, len) == 0);
	return status;
}

static void test_suites(void)
{
	static const char *const refused[] = {"PSK-AES256-GCM-SHA384", "PSK-NULL-SHA256", "DHE-PSK-AES128-GCM-SHA256"};
	char list[] = IOT_PSK_LINK_SUITES, *rest = NULL;
	struct iot_psk_client *client = NULL;
	size_t count = 0;

	start();
	for (char *suite = strtok_r(list, ":", &rest); suite != NULL; suite = strtok_r(NULL, ":", &rest), count++) {
		CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), suite, &client), IOT_OK);
		CU_ASSERT_STRING_EQUAL(client != NULL ? iot_psk_client_suite(client) : "", suite);
		if (client != NULL)
			CU_ASSERT_EQUAL(say(client, 10, 10), IOT_OK);
		iot_psk_client_free_p(&client);
		client = NULL;
	}
	CU_ASSERT_EQUAL(count, 6);
	for (size_t i = 0; i < IOT_LENGTH(refused); i++) {
		CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), refused[i], &client), IOT_DENIED);
		ASSERT_CONTAINS(why, "no suite that both can use");
	}
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), "NO-SUCH-SUITE", &client), IOT_USAGE);
}

/* The gateway's own choice of suites. */
static void test_suite_option(void)
{
	struct iot_psk_client *client = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	static const struct iot_psk_server_events events = {on_key, on_opened, on_message, on_closed};

	options.suites = "PSK-AES128-CCM8";
	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), "PSK-AES128-CCM", &client), IOT_DENIED);
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	iot_psk_client_free(client);
	end();
	options.suites = "nonsense";
	ASSERT_STATUS(iot_psk_server_new(&options, &events, NULL, &server, &err), IOT_USAGE, &err);
}

/* Who has no key, and who is nobody, learn the same. */
static void test_keys(void)
{
	char long_name[201] = {0};
	struct iot_psk_client *client = NULL;

	start();
	CU_ASSERT_EQUAL(come_in("pump-1", wrong, sizeof(wrong), NULL, &client), IOT_DENIED);
	expect_end(1, "the keys differ");
	ASSERT_CONTAINS(why, "the keys differ");
	CU_ASSERT_EQUAL(come_in("nobody", key, sizeof(key), NULL, &client), IOT_DENIED);
	expect_end(2, "no such identity");
	ASSERT_CONTAINS(why, "the keys differ");
	CU_ASSERT_EQUAL(come_in("pump-1", key, 31, NULL, &client), IOT_DENIED);
	expect_end(3, "the keys differ");
	/* too short a key lets nobody in, even who has it */
	CU_ASSERT_EQUAL(come_in("short", key, 15, NULL, &client), IOT_DENIED);
	CU_ASSERT_STRING_EQUAL(asked, "short");
	expect_end(4, "no such identity");
	/* a colon is a letter like others here; who knows identities has none with it */
	CU_ASSERT_EQUAL(come_in("a:b", key, sizeof(key), NULL, &client), IOT_DENIED);
	CU_ASSERT_STRING_EQUAL(asked, "a:b");
	/* one that cannot be anybody's is not asked for */
	asked_count = 0;
	memset(long_name, 'p', sizeof(long_name) - 1);
	CU_ASSERT_EQUAL(come_in(long_name, key, sizeof(key), NULL, &client), IOT_DENIED);
	expect_end(6, "no such identity");
	CU_ASSERT_EQUAL(asked_count, 0);
	CU_ASSERT_EQUAL(opened, 0);
	CU_ASSERT_EQUAL(come_in("pump-1", key, 0, NULL, &client), IOT_USAGE);
	CU_ASSERT_EQUAL(come_in("pump-1", key, 65, NULL, &client), IOT_USAGE);
	CU_ASSERT_EQUAL(messages, 0);
}

/* --- OpenSSL's client ------------------------------------------------------------------------ */

static const uint8_t *ssl_key = key;

static unsigned give_key(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *psk,
			 unsigned psk_max)
{
	(void)ssl, (void)hint;
	snprintf(identity, identity_max, "pump-1");
	memcpy(psk, ssl_key, sizeof(key) <= psk_max ? sizeof(key) : 0);
	return sizeof(key);
}

static int dial(void)
{
	const struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const struct timeval limit = {.tv_sec = WAIT_MS / 1000};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_TRUE(fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

/* One that would resume if it could. 1: it is in. */
static int handshake(SSL_CTX *ctx, SSL_SESSION *session, SSL_SESSION **ret, bool *ret_reused)
{
	SSL *ssl = SSL_new(ctx);
	int fd = dial(), rc;

	SSL_set_fd(ssl, fd);
	if (session != NULL)
		SSL_set_session(ssl, session);
	rc = SSL_connect(ssl);
	*ret_reused = rc == 1 && SSL_session_reused(ssl);
	if (rc == 1 && ret != NULL)
		*ret = SSL_get1_session(ssl);
	SSL_shutdown(ssl);
	SSL_free(ssl);
	close(fd);
	return rc;
}

static void test_nothing_is_resumed(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL_SESSION *session = NULL;
	bool reused = true;
	unsigned id_len = 1;

	start();
	SSL_CTX_set_cipher_list(ctx, "PSK-AES128-GCM-SHA256");
	SSL_CTX_set_psk_client_callback(ctx, give_key);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
	ssl_key = key;
	CU_ASSERT_EQUAL(handshake(ctx, NULL, &session, &reused), 1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(session);
	CU_ASSERT_EQUAL(SSL_SESSION_has_ticket(session), 0);
	SSL_SESSION_get_id(session, &id_len);
	CU_ASSERT_EQUAL(id_len, 0);
	CU_ASSERT_EQUAL(handshake(ctx, session, NULL, &reused), 1);
	CU_ASSERT_FALSE(reused);
	ssl_key = wrong;
	CU_ASSERT_NOT_EQUAL(handshake(ctx, session, NULL, &reused), 1);
	ssl_key = key;
	CU_ASSERT_TRUE(await(&closed, 3));
	CU_ASSERT_EQUAL(opened, 2);
	SSL_SESSION_free(session);
	SSL_CTX_free(ctx);
}

/* TLS 1.3, and TLS without a key at all, end in the handshake. */
static void test_other_tls(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	bool reused;

	start();
	SSL_CTX_set_psk_client_callback(ctx, give_key);
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	CU_ASSERT_NOT_EQUAL(handshake(ctx, NULL, NULL, &reused), 1);
	expect_end(1, "not TLS 1.2");
	SSL_CTX_free(ctx);
	ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
	CU_ASSERT_NOT_EQUAL(handshake(ctx, NULL, NULL, &reused), 1);
	expect_end(2, "no suite that both can use");
	SSL_CTX_free(ctx);
	CU_ASSERT_EQUAL(opened, 0);
}

/* --- byte by byte ------------------------------------------------------------------------------- */

static void push(int fd, const void *data, size_t len)
{
	CU_ASSERT_EQUAL(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* ClientHello: TLS 1.2, PSK-AES128-GCM-SHA256 alone. */
static void greet(int fd)
{
	uint8_t hello[50] = {22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 3}; /* no session */

	hello[45] = 2;    /* bytes of suites */
	hello[47] = 0xa8; /* RFC 5487 */
	hello[48] = 1;    /* one compression: none */
	push(fd, hello, sizeof(hello));
}

/* ClientKeyExchange with an identity, then what cannot be decrypted. */
static void name_oneself(int fd, const void *identity, size_t len)
{
	static const uint8_t finish[] = {20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40, 0, 0, 0, 0, 0, 0,
					 0,  0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, 0, 0,
					 0,  0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0, 0, 0};
	uint8_t record[400] = {22, 3, 3};

	record[3] = (uint8_t)((len + 6) >> 8);
	record[4] = (uint8_t)(len + 6);
	record[5] = 16;
	record[7] = (uint8_t)((len + 2) >> 8);
	record[8] = (uint8_t)(len + 2);
	record[9] = (uint8_t)(len >> 8);
	record[10] = (uint8_t)len;
	memcpy(record + 11, identity, len);
	push(fd, record, 11 + len);
	(void)!send(fd, finish, sizeof(finish), MSG_NOSIGNAL); /* perhaps it has enough already */
}

static bool is_ended(int fd)
{
	char rest[4096];
	ssize_t n;

	while ((n = recv(fd, rest, sizeof(rest), 0)) > 0)
		;
	return n == 0 || errno == ECONNRESET;
}

static void try_identity(const void *identity, size_t len)
{
	int fd = dial();

	asked[0] = '\0';
	greet(fd);
	name_oneself(fd, identity, len);
	CU_ASSERT_TRUE(is_ended(fd));
	close(fd);
}

/* Identities that no library of ours would send. */
static void test_odd_identities(void)
{
	char long_name[300];

	start();
	memset(long_name, 'p', sizeof(long_name));
	try_identity("pump-1", 6);
	expect_end(1, "the keys differ"); /* this is how far it comes with any name */
	CU_ASSERT_STRING_EQUAL(asked, "pump-1");
	try_identity("pump-1\0evil", 11); /* no more than that of the name in front, whose key it needs */
	CU_ASSERT_TRUE(await(&closed, 2));
	CU_ASSERT_TRUE(strcmp(asked, "pump-1") == 0 || strcmp(asked, "") == 0);
	asked_count = 0;
	try_identity("\0", 1);
	CU_ASSERT_TRUE(await(&closed, 3));
	try_identity("", 0);
	CU_ASSERT_TRUE(await(&closed, 4));
	try_identity(long_name, sizeof(long_name));
	CU_ASSERT_TRUE(await(&closed, 5));
	CU_ASSERT_EQUAL(asked_count, 0);
	CU_ASSERT_EQUAL(opened, 0);
}

static void test_garbage(void)
{
	static const char *const texts[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff garbage and more garbage",
					    "\x16\x03\x01\x00\x04\x01\xff\xff\xff", "SSH-2.0-x\r\n"};

	options.handshake_ms = 500; /* some of it looks like a beginning */
	start();
	for (size_t i = 0; i < IOT_LENGTH(texts); i++) {
		int fd = dial();

		push(fd, texts[i], i == 2 ? 9 : strlen(texts[i]));
		CU_ASSERT_TRUE(is_ended(fd));
		close(fd);
	}
	CU_ASSERT_TRUE(await(&closed, IOT_LENGTH(texts)));
	CU_ASSERT_EQUAL(asked_count, 0);
}

/* --- deadlines --------------------------------------------------------------------------------------- */

/* Those who stop in the handshake, wherever, keep nobody else out. */
static void test_half_open(void)
{
	struct iot_psk_client *client = NULL;
	int silent, greeted;

	options.handshake_ms = 300;
	start();
	silent = dial();
	greeted = dial();
	greet(greeted);
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	expect_end(1, "the handshake took too long");
	expect_end(2, "the handshake took too long");
	CU_ASSERT_TRUE(is_ended(silent));
	CU_ASSERT_TRUE(is_ended(greeted));
	CU_ASSERT_EQUAL(client != NULL ? say(client, 3, 3) : IOT_FAILURE,
			IOT_OK); /* the deadline was that of a handshake */
	iot_psk_client_free(client);
	close(silent);
	close(greeted);
}

static void test_half_a_message(void)
{
	struct iot_psk_client *client = NULL;

	options.message_ms = 300;
	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	CU_ASSERT_EQUAL(say(client, 100, 50), IOT_AGAIN);
	expect_end(1, "a message took too long");
	CU_ASSERT_EQUAL(messages, 0);
	iot_psk_client_free(client);
}

static void test_silence(void)
{
	struct iot_psk_client *client = NULL;
	const void *none;
	size_t len;

	options.idle_ms = 300;
	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	CU_ASSERT_EQUAL(iot_psk_client_receive(client, MESSAGE_MAX, WAIT_MS, &none, &len, NULL), IOT_AGAIN);
	expect_end(1, "silent for too long");
	iot_psk_client_free(client);
}

/* One that does not read: what waits for it is bounded, and it is given up. */
static void test_not_reading(void)
{
	struct iot_psk_client *client = NULL;

	options.message_ms = 500;
	flood = true;
	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	CU_ASSERT_TRUE(await(&opened, 1));
	CU_ASSERT_TRUE(flood_refused);
	expect_end(1, "the device does not read");
	iot_psk_client_free(client);
}

/* --- limits ------------------------------------------------------------------------------------------- */

static void test_lengths(void)
{
	static const uint32_t bad[] = {0, MESSAGE_MAX + 1, UINT32_MAX};
	struct iot_psk_client *client = NULL;

	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	CU_ASSERT_EQUAL(say(client, MESSAGE_MAX, MESSAGE_MAX), IOT_OK);
	CU_ASSERT_EQUAL(say(client, 1, 1), IOT_OK);
	CU_ASSERT_EQUAL(last_len, 1);
	iot_psk_client_free(client);
	expect_end(1, "the device said goodbye");
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		char reason[200];

		CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
		CU_ASSERT_EQUAL(say(client, bad[i], 4), IOT_AGAIN);
		snprintf(reason, sizeof(reason), "a message of %u bytes: 1 to %d are possible", bad[i], MESSAGE_MAX);
		expect_end(2 + i, reason);
		iot_psk_client_free(client);
	}
	CU_ASSERT_EQUAL(messages, 2);
}

/* Byte by byte, and several in one piece: messages are what is between lengths. */
static void test_pieces(void)
{
	static const uint8_t three[] = {0, 0, 0, 1, 'a', 0, 0, 0, 2, 'b', 'b', 0, 0, 0, 1, 'c'};
	struct iot_psk_client *client = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	const void *answer = NULL;
	size_t len = 0;

	start();
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	for (size_t i = 0; i < sizeof(three); i++)
		ASSERT_OK(iot_psk_client_send(client, three + i, 1, WAIT_MS, &err), &err);
	ASSERT_OK(iot_psk_client_send(client, three, sizeof(three), WAIT_MS, &err), &err);
	for (int i = 0; i < 6; i++) {
		ASSERT_OK(iot_psk_client_receive(client, MESSAGE_MAX, WAIT_MS, &answer, &len, &err), &err);
		CU_ASSERT_TRUE(len == (i % 3 == 1 ? 2U : 1U) && *(const char *)answer == "abc"[i % 3]);
	}
	CU_ASSERT_EQUAL(messages, 6);
	iot_psk_client_free(client);
}

/* More than there is room for wait outside, and come in when one goes. */
static void test_full(void)
{
	struct iot_psk_client *client = NULL, *other = NULL;
	int first;

	options.links = 2;
	options.handshake_ms = 1000;
	start();
	first = dial(); /* says nothing, and has its place until its time is over */
	CU_ASSERT_EQUAL(come_in("pump-1", key, sizeof(key), NULL, &client), IOT_OK);
	CU_ASSERT_EQUAL(come_in("pump-2", key, sizeof(key), NULL, &other), IOT_OK);
	expect_end(1, "the handshake took too long");
	CU_ASSERT_EQUAL(say(other, 5, 5), IOT_OK);
	iot_psk_client_free(client);
	iot_psk_client_free(other);
	close(first);
}

UNIT_MAIN("transport/psk", set_up, tear_down, {"suites", test_suites}, {"suite-option", test_suite_option},
	  {"keys", test_keys}, {"resumption", test_nothing_is_resumed}, {"other-tls", test_other_tls},
	  {"odd-identities", test_odd_identities}, {"garbage", test_garbage}, {"half-open", test_half_open},
	  {"half-a-message", test_half_a_message}, {"silence", test_silence}, {"not-reading", test_not_reading},
	  {"lengths", test_lengths}, {"pieces", test_pieces}, {"full", test_full})
