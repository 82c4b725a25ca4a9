/*
 * The connections of the HTTPS API with clients that take their time. The limits
 * are a fraction of the usual ones; the client shares the loop with the server.
 */
#include "broker/api/server.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/operator.h"
#include "iotctl/profile.h"
#include "iotctl/sigv4.h"
#include "iotctl/text.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT_MS = 300, PATIENCE_MS = 20000, PIECE_MS = 50 };

static char *dir, *fleet;
static struct iot_cloud *cloud;
static struct api_server *server;
static struct iot_error err;
static char key_id[IOT_ACCESS_KEY_ID_LEN + 1], secret[IOT_ACCESS_KEY_SECRET_LEN + 1];
static int published;

static enum iot_status publish(void *data, const struct iot_mqtt_message *message, int *ret_mid, struct iot_error *why)
{
	(void)data, (void)message, (void)why;
	*ret_mid = ++published;
	return IOT_OK;
}

static void make_operator(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "bench.profile");
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = NULL;
	const struct iot_operator_spec spec = {.name = "bench", .role = "admin", .lifetime_ms = 3600000, .out = path};
	IOT_JSON record = NULL;

	ASSERT_OK(iot_operator_create(cloud, &spec, &record, &err), &err);
	snprintf(key_id, sizeof(key_id), "%s", iot_json_str(record, "accessKeyId", ""));
	ASSERT_OK(iot_operator_key_lookup(cloud, key_id, &who, &err), &err);
	if (who != NULL)
		snprintf(secret, sizeof(secret), "%s", iot_operator_secret(who));
}

static void set_up(void)
{
	struct iot_fleet_init_options options = {.name = "demo"};
	struct api_server_options api = {
		.listen = "127.0.0.1",
		.patience = {.head = LIMIT_MS, .body = LIMIT_MS, .publish = LIMIT_MS},
		.publish = publish,
	};
	IOT_JSON record = NULL;

	signal(SIGPIPE, SIG_IGN); /* the server hangs up while we write */
	dir = unit_mkdtemp();
	options.dir = fleet = iot_path(dir, "fleet");
	iot_error_clear(&err);
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	make_operator();
	api.cloud = cloud;
	api.ca_dir = iot_local_paths(cloud)->ca_dir;
	published = 0;
	ASSERT_OK(api_server_new(&api, &server, &err), &err);
}

static void tear_down(void)
{
	api_server_free(server);
	server = NULL;
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(fleet);
	free(dir);
}

/* --- a client ------------------------------------------------------------------------------------ */

static int dial(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)api_server_port(server)),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CU_ASSERT_EQUAL(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Serve's loop, for a moment. */
static void turn(void)
{
	struct pollfd fd;
	nfds_t count = api_server_poll(server, &fd);

	(void)!poll(&fd, count, 10);
	api_server_step(server);
}

static SSL *handshake(SSL_CTX *ctx, int fd)
{
	int64_t deadline = iot_deadline(PATIENCE_MS);
	SSL *ssl = SSL_new(ctx);

	SSL_set_fd(ssl, fd);
	while (SSL_connect(ssl) != 1 && iot_left(deadline) > 0)
		turn();
	CU_ASSERT_TRUE(SSL_is_init_finished(ssl));
	return ssl;
}

/* Send `text` a byte at a time (if there is any) until the other side hangs up. What it said goes into `said`. False:
 * it waits on. */
static bool hangs_up(int fd, SSL *ssl, const char *text, struct iot_buf *said)
{
	int64_t deadline = iot_deadline(PATIENCE_MS), next = 0;

	while (iot_left(deadline) > 0) {
		char bytes[512];
		int n;

		turn();
		if (text != NULL && *text != '\0' && iot_left(next) == 0) {
			n = ssl != NULL ? SSL_write(ssl, text, 1) : (int)send(fd, text, 1, MSG_NOSIGNAL);
			text += n == 1;
			next = iot_deadline(PIECE_MS);
		}
		n = ssl != NULL ? SSL_read(ssl, bytes, sizeof(bytes)) : (int)recv(fd, bytes, sizeof(bytes), 0);
		if (n > 0 && said != NULL)
			iot_buf_add(said, bytes, (size_t)n);
		if (n == 0 || (n < 0 && (ssl != NULL ? SSL_get_error(ssl, n) != SSL_ERROR_WANT_READ : errno != EAGAIN)))
			return true;
	}
	return false;
}

/* --- whoever is slow ----------------------------------------------------------------------------- */

static void test_silence(void)
{
	/* of a TLS record that never ends */
	static const char begun[] =
		"\x16\x03\x01\x3f\xff\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01"
		"\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01";
	int fd = dial();

	CU_ASSERT_TRUE(hangs_up(fd, NULL, NULL, NULL));
	close(fd);
	fd = dial();
	CU_ASSERT_TRUE(hangs_up(fd, NULL, begun, NULL));
	close(fd);
}

/* Each byte comes in time, and the whole does not. */
static void dribble(const char *at_once, const char *rest)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct iot_buf said = IOT_BUF_INIT(65536);
	int fd = dial();
	SSL *ssl = handshake(ctx, fd);

	CU_ASSERT_EQUAL(SSL_write(ssl, at_once, (int)strlen(at_once)), (int)strlen(at_once));
	CU_ASSERT_TRUE(hangs_up(fd, ssl, rest, &said));
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), "200 OK"));
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	iot_buf_release(&said);
	close(fd);
}

static void test_slow_head(void)
{
	dribble("GET /th", "ings?maxResults=1&nextToken=abcdefghijklmnopqrstuvwxyz0123456789 HTTP/1.1\r\n\r\n");
	dribble("GET /things HTTP/1.1\r\n", "Host: localhost\r\nX-Long: abcdefghijklmnopqrstuvwxyz0123456789\r\n\r\n");
}

/* A request that is signed; new memory. */
static char *sign(const char *method, const char *path, const char *body)
{
	const struct iot_sigv4_key key = {key_id, secret, "local", "iotdata"};
	char date[IOT_SIGV4_DATE_SIZE], hash[IOT_SHA256_HEX_SIZE];
	int64_t now = iot_now_ms() + 1000; /* what was signed before the server began counts for nothing */
	const struct iot_sigv4_header headers[] = {{"Host", "localhost"}, {"X-Amz-Date", iot_sigv4_date(now, date)}};
	IOT_CLEAN(iot_buf_release) struct iot_buf authorization = IOT_BUF_INIT(4096);
	const struct iot_sigv4_request request = {.method = method,
						  .path = path,
						  .query = "qos=1",
						  .headers = headers,
						  .header_count = 2,
						  .payload_hash = hash};

	iot_sha256_hex(body, strlen(body), hash);
	ASSERT_OK(iot_sigv4_sign(&key, &request, now, &authorization, &err), &err);
	return iot_strf("%s %s?qos=1 HTTP/1.1\r\nHost: localhost\r\nX-Amz-Date: %s\r\nAuthorization: %s\r\n"
			"Connection: close\r\nContent-Length: %zu\r\n\r\n",
			method, path, date, iot_buf_str(&authorization), strlen(body));
}

static void test_slow_body(void)
{
	static const char body[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz";
	IOT_CLEAN(iot_free_p) char *head = sign("POST", "/topics/a", body);

	dribble(head, body);
	CU_ASSERT_EQUAL(published, 0);
}

/* The broker never acknowledges: the client is told, and may try again. */
static void test_silent_broker(void)
{
	IOT_CLEAN(iot_free_p) char *head = sign("POST", "/topics/a", "");
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	struct iot_buf said = IOT_BUF_INIT(65536);
	int fd = dial();
	SSL *ssl = handshake(ctx, fd);

	CU_ASSERT_EQUAL(SSL_write(ssl, head, (int)strlen(head)), (int)strlen(head));
	CU_ASSERT_TRUE(hangs_up(fd, ssl, NULL, &said));
	CU_ASSERT_EQUAL(published, 1);
	ASSERT_CONTAINS(iot_buf_str(&said), "HTTP/1.1 503");
	ASSERT_CONTAINS(iot_buf_str(&said), "ServiceUnavailableException");
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	iot_buf_release(&said);
	close(fd);
}

/* Where one request ends and the next begins is said once, or the connection ends; what follows is no request. */
static void test_two_lengths(void)
{
#define NEXT "GET /things HTTP/1.1\r\nHost: a\r\n\r\n"
	static const char *const requests[] = {
		"POST /things/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: "
		"chunked\r\n\r\n0\r\n\r\n" NEXT,
		"POST /things/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nabcde" NEXT,
		"POST /things/x HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\n\r\na" NEXT,
	};

	for (size_t i = 0; i < IOT_LENGTH(requests); i++) {
		SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
		struct iot_buf said = IOT_BUF_INIT(65536);
		int fd = dial();
		SSL *ssl = handshake(ctx, fd);

		CU_ASSERT_TRUE(SSL_write(ssl, requests[i], (int)strlen(requests[i])) > 0);
		CU_ASSERT_TRUE(hangs_up(fd, ssl, NULL, &said));
		ASSERT_CONTAINS(iot_buf_str(&said), "HTTP/1.1 400");
		CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), "MissingAuthenticationToken"));
		SSL_free(ssl);
		SSL_CTX_free(ctx);
		iot_buf_release(&said);
		close(fd);
	}
}

UNIT_MAIN("broker/api_server", set_up, tear_down, {"silence", test_silence}, {"slow_head", test_slow_head},
	  {"slow_body", test_slow_body}, {"silent_broker", test_silent_broker}, {"two_lengths", test_two_lengths})
