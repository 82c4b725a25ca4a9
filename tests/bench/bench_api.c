/*
 * bench_api PORT CA.pem KEY SECRET THING CLIENTS SECONDS: keep-alive clients, a
 * thread each, that sign and send DescribeThing one after another. Prints
 * requests per second, and the milliseconds of the slowest in a hundred.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/sigv4.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 200000

static struct {
	const char *port, *key, *secret, *thing;
	SSL_CTX *tls;
	int64_t end; /* monotonic ms */
} setup;

struct client {
	pthread_t thread;
	size_t count;
	float *ms;
};

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench_api: %s\n", what);
	_exit(1);
}

static SSL *dial(void)
{
	const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	SSL *ssl = SSL_new(setup.tls);
	int fd, on = 1;

	if (getaddrinfo("localhost", setup.port, &hints, &list) != 0)
		die("cannot look up localhost");
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0)
		die("cannot connect");
	freeaddrinfo(list);
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (ssl == NULL || SSL_set1_host(ssl, "localhost") != 1 || SSL_set_fd(ssl, fd) != 1 || SSL_connect(ssl) != 1)
		die("no TLS");
	return ssl;
}

static void make_request(struct iot_buf *out)
{
	char path[200], host[40], date[IOT_SIGV4_DATE_SIZE], hash[IOT_SHA256_HEX_SIZE];
	int64_t now = iot_now_ms();
	struct iot_sigv4_header headers[] = {{"host", host}, {"x-amz-date", iot_sigv4_date(now, date)}};
	const struct iot_sigv4_key key = {setup.key, setup.secret, "local", "iot"};
	const struct iot_sigv4_request request = {.method = "GET",
						  .path = path,
						  .headers = headers,
						  .header_count = IOT_LENGTH(headers),
						  .payload_hash = iot_sha256_hex("", 0, hash)};

	snprintf(path, sizeof(path), "/things/%s", setup.thing);
	snprintf(host, sizeof(host), "localhost:%s", setup.port);
	iot_buf_clear(out);
	iot_buf_addf(out, "GET %s HTTP/1.1\r\nHost: %s\r\nX-Amz-Date: %s\r\nAuthorization: ", path, host, date);
	if (iot_sigv4_sign(&key, &request, now, out, NULL) != IOT_OK)
		die("cannot sign");
	iot_buf_adds(out, "\r\n\r\n");
}

/* A head with a Content-Length, and that much after it. */
static void read_answer(SSL *ssl)
{
	char answer[8192];
	size_t have = 0, whole = 0;

	while (whole == 0 || have < whole) {
		int n = SSL_read(ssl, answer + have, (int)(sizeof(answer) - 1 - have));
		const char *end, *length;

		if (n <= 0)
			die("the connection ended");
		have += (size_t)n;
		answer[have] = '\0';
		end = strstr(answer, "\r\n\r\n");
		length = strstr(answer, "Content-Length: ");
		if (end != NULL && length != NULL)
			whole = (size_t)(end + 4 - answer) + strtoul(length + 16, NULL, 10);
	}
	if (strncmp(answer, "HTTP/1.1 200", 12) != 0)
		die(answer);
}

static void *run(void *data)
{
	struct client *client = data;
	struct iot_buf request = IOT_BUF_INIT(4096);
	SSL *ssl = dial();

	while (iot_monotonic_ms() < setup.end && client->count < SAMPLES_MAX) {
		struct timespec before, after;

		clock_gettime(CLOCK_MONOTONIC, &before);
		make_request(&request);
		if (SSL_write(ssl, request.data, (int)request.len) != (int)request.len)
			die("cannot write");
		read_answer(ssl);
		clock_gettime(CLOCK_MONOTONIC, &after);
		client->ms[client->count++] = (float)((double)(after.tv_sec - before.tv_sec) * 1e3 +
						      (double)(after.tv_nsec - before.tv_nsec) / 1e6);
	}
	iot_buf_release(&request);
	close(SSL_get_fd(ssl));
	SSL_free(ssl);
	return NULL;
}

static int by_size(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	size_t clients = argc == 8 ? strtoul(argv[6], NULL, 10) : 0, count = 0;
	int64_t seconds = argc == 8 ? strtol(argv[7], NULL, 10) : 0, start = iot_monotonic_ms();
	struct client *client = iot_alloc_array(clients + 1, sizeof(*client));
	float *all;

	if (clients == 0 || seconds <= 0)
		die("PORT CA KEY SECRET THING CLIENTS SECONDS");
	setup.port = argv[1];
	setup.key = argv[3];
	setup.secret = argv[4];
	setup.thing = argv[5];
	setup.end = start + seconds * 1000;
	setup.tls = SSL_CTX_new(TLS_client_method());
	if (setup.tls == NULL || SSL_CTX_load_verify_locations(setup.tls, argv[2], NULL) != 1)
		die("cannot read the CA");
	SSL_CTX_set_verify(setup.tls, SSL_VERIFY_PEER, NULL);
	for (size_t i = 0; i < clients; i++) {
		client[i].ms = iot_alloc_array(SAMPLES_MAX, sizeof(float));
		if (pthread_create(&client[i].thread, NULL, run, &client[i]) != 0)
			die("cannot start a thread");
	}
	all = iot_alloc_array(clients * SAMPLES_MAX, sizeof(float));
	for (size_t i = 0; i < clients; i++) {
		(void)pthread_join(client[i].thread, NULL);
		memcpy(all + count, client[i].ms, client[i].count * sizeof(float));
		count += client[i].count;
		free(client[i].ms);
	}
	qsort(all, count, sizeof(*all), by_size);
	printf("%.0f %.2f\n", (double)count * 1000 / (double)(iot_monotonic_ms() - start),
	       count > 0 ? (double)all[count * 99 / 100] : 0);
	free(all);
	free(client);
	SSL_CTX_free(setup.tls);
	return 0;
}
