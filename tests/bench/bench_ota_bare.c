/*
 * The yardstick of updates: as many blocks, of the same size, through the same
 * broker, by nothing but libmosquitto. One process is connected to the unix socket,
 * as serve is, and answers; another is connected over mutual TLS, as the device is,
 * and asks for blocks so that a window of them is always on its way: half a window
 * at once, as soon as half of it is free. The seconds from the first request to the
 * last block are printed.
 *
 * bench_ota_bare SOCKET DEVICE-DIR CLIENT-ID PORT SIZE BLOCK WINDOW
 */
#include "bench.h"

#include <mosquitto.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIMIT_MS 300000
#define ASK "bench/ask"
#define DATA "bench/data"

static struct {
	int block, window, blocks;
	int asked, got;
	char *bytes;
	int ready; /* the pipe by which the answering process says that it is subscribed */
	double began, ended;
} run;

static void must(int rc, const char *doing)
{
	if (rc == MOSQ_ERR_SUCCESS)
		return;
	fprintf(stderr, "%s: %s\n", doing, mosquitto_strerror(rc));
	exit(1);
}

static struct mosquitto *make(const char *id, void (*on_connect)(struct mosquitto *, void *, int),
			      void (*on_message)(struct mosquitto *, void *, const struct mosquitto_message *))
{
	struct mosquitto *mosq = mosquitto_new(id, true, NULL);

	if (mosq == NULL) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	mosquitto_connect_callback_set(mosq, on_connect);
	mosquitto_message_callback_set(mosq, on_message);
	return mosq;
}

/* Until `run.ended` is set, by whoever knows. */
static void loop(struct mosquitto *mosq)
{
	double limit = bench_now_ms() + LIMIT_MS;

	while (run.ended == 0) {
		must(mosquitto_loop(mosq, 100, 1), "loop");
		if (bench_now_ms() > limit) {
			fprintf(stderr, "not done within %d s\n", LIMIT_MS / 1000);
			exit(1);
		}
	}
}

/* --- who answers ------------------------------------------------------------------ */

static void answer_connected(struct mosquitto *mosq, void *data, int rc)
{
	(void)data;
	must(rc, "connecting to the socket");
	must(mosquitto_subscribe(mosq, NULL, ASK, 0), "subscribe");
}

static void answer_subscribed(struct mosquitto *mosq, void *data, int mid, int count, const int *granted)
{
	(void)mosq, (void)data, (void)mid, (void)count, (void)granted;
	if (write(run.ready, "", 1) != 1)
		exit(1);
}

static void answer_message(struct mosquitto *mosq, void *data, const struct mosquitto_message *message)
{
	int count;

	(void)data;
	if (message->payloadlen != (int)sizeof(count))
		return;
	memcpy(&count, message->payload, sizeof(count));
	for (int i = 0; i < count; i++)
		must(mosquitto_publish(mosq, NULL, DATA, run.block, run.bytes, 0, false), "publish");
}

static void answer(const char *path)
{
	struct mosquitto *mosq = make("bench-answer", answer_connected, answer_message);

	mosquitto_subscribe_callback_set(mosq, answer_subscribed);
	must(mosquitto_connect(mosq, path, 0, 60), path);
	loop(mosq);
}

/* --- who asks ---------------------------------------------------------------------- */

static void ask(struct mosquitto *mosq)
{
	int count = run.window - (run.asked - run.got);

	if (count < (run.window + 1) / 2)
		return;
	if (count > run.blocks - run.asked)
		count = run.blocks - run.asked;
	if (count == 0)
		return;
	must(mosquitto_publish(mosq, NULL, ASK, sizeof(count), &count, 0, false), "publish");
	run.asked += count;
}

static void ask_connected(struct mosquitto *mosq, void *data, int rc)
{
	(void)data;
	must(rc, "connecting over TLS");
	must(mosquitto_subscribe(mosq, NULL, DATA, 0), "subscribe");
}

static void ask_subscribed(struct mosquitto *mosq, void *data, int mid, int count, const int *granted)
{
	(void)data, (void)mid, (void)count, (void)granted;
	run.began = bench_now_ms();
	ask(mosq);
}

static void ask_message(struct mosquitto *mosq, void *data, const struct mosquitto_message *message)
{
	(void)data;
	if (message->payloadlen != run.block)
		return;
	memcpy(run.bytes, message->payload, (size_t)run.block);
	if (++run.got == run.blocks)
		run.ended = bench_now_ms();
	ask(mosq);
}

static void ask_all(const char *dir, const char *id, int port)
{
	struct mosquitto *mosq = make(id, ask_connected, ask_message);
	char ca[1024], cert[1024], key[1024];

	snprintf(ca, sizeof(ca), "%s/ca.pem", dir);
	snprintf(cert, sizeof(cert), "%s/certificate.pem", dir);
	snprintf(key, sizeof(key), "%s/private.key", dir);
	mosquitto_subscribe_callback_set(mosq, ask_subscribed);
	must(mosquitto_tls_set(mosq, ca, NULL, cert, key, NULL), dir);
	must(mosquitto_int_option(mosq, MOSQ_OPT_TCP_NODELAY, 1), "option");
	must(mosquitto_connect(mosq, "localhost", port, 60), "connecting over TLS");
	loop(mosq);
	mosquitto_disconnect(mosq);
	mosquitto_destroy(mosq);
}

int main(int argc, char **argv)
{
	int size, ends[2];
	pid_t child;
	char byte;

	if (argc != 8) {
		fprintf(stderr, "usage: bench_ota_bare SOCKET DEVICE-DIR CLIENT-ID PORT SIZE BLOCK WINDOW\n");
		return 2;
	}
	size = bench_number(argv[5]);
	run.block = bench_number(argv[6]);
	run.window = bench_number(argv[7]);
	run.blocks = (size + run.block - 1) / run.block;
	run.bytes = calloc(1, (size_t)run.block);
	if (run.bytes == NULL)
		return 1;
	child = pipe(ends) == 0 ? fork() : -1;
	if (child < 0)
		return 1;
	mosquitto_lib_init();
	run.ready = ends[1];
	if (child == 0) {
		answer(argv[1]);
		return 0;
	}
	close(ends[1]);
	if (read(ends[0], &byte, 1) != 1) /* it ended, and said why */
		return 1;
	ask_all(argv[2], argv[3], bench_number(argv[4]));
	kill(child, SIGTERM);
	waitpid(child, NULL, 0);
	printf("%.4f\n", (run.ended - run.began) / 1e3);
	free(run.bytes);
	return 0;
}
