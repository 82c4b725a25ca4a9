/*
 * The MQTT client against a real mosquitto that the test starts, over a unix
 * socket and over TLS, and against things that are no MQTT broker.
 */
#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/mqtt.h"
#include "iotctl/process.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 10000 };

static char *dir, *unix_path, *closed_path;
static int tls_port;
static struct iot_process broker = IOT_PROCESS_INIT;
static bool no_broker;

static const char *in_dir(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* A TCP port of 127.0.0.1 nobody listens on; with `fd` one that is listened on but never served. */
static int free_port(int *fd)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(s, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(s, 8) != 0 ||
	    getsockname(s, (struct sockaddr *)&address, &len) != 0)
		abort();
	if (fd != NULL)
		*fd = s;
	else
		close(s);
	return ntohs(address.sin_port);
}

static void save(const char *path, const struct iot_cert *cert)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &pem);
	if (iot_fs_write(path, 0644, pem.data, pem.len, NULL) != IOT_OK)
		abort();
}

/* A certificate with its key as NAME.pem and NAME.key. */
static void issue(const struct iot_key *ca_key, const struct iot_cert *ca, enum iot_cert_profile profile,
		  const char *name, const char *dns)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	const char *const names[] = {dns, NULL};
	struct iot_cert_request request = {.profile = profile, .common_name = name, .days = 2};
	IOT_CLEAN(iot_free_p) char *key_path = iot_strf("%s/%s.key", dir, name);
	IOT_CLEAN(iot_free_p) char *cert_path = iot_strf("%s/%s.pem", dir, name);
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	if (dns != NULL)
		request.dns_names = names;
	if (iot_key_generate(IOT_KEY_P256, &key, &err) != IOT_OK)
		abort();
	request.key = key;
	if (iot_cert_issue(ca_key, ca, &request, &cert, &err) != IOT_OK ||
	    iot_key_save_new(key, key_path, NULL, &err) != IOT_OK) {
		fprintf(stderr, "%s\n", iot_error_line(&err, line, sizeof(line)));
		abort();
	}
	save(cert_path, cert);
}

static void make_certificates(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *other_key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *other_ca = NULL;

	if (iot_key_generate(IOT_KEY_P256, &key, NULL) != IOT_OK ||
	    iot_key_generate(IOT_KEY_P256, &other_key, NULL) != IOT_OK ||
	    iot_ca_create_root(key, "Test CA", 10, &ca, NULL) != IOT_OK ||
	    iot_ca_create_root(other_key, "Other CA", 10, &other_ca, NULL) != IOT_OK)
		abort();
	save(in_dir("ca.pem"), ca);
	save(in_dir("other-ca.pem"), other_ca);
	issue(key, ca, IOT_PROFILE_SERVER, "server", "localhost");
	issue(key, ca, IOT_PROFILE_DEVICE, "pump-1", NULL);
	issue(other_key, other_ca, IOT_PROFILE_DEVICE, "stranger", NULL);
}

static void wait_for_broker(void)
{
	const struct iot_mqtt_options options = {.unix_path = unix_path, .client_id = "probe"};
	int64_t deadline = iot_deadline(WAIT_MS);
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;

	if (iot_mqtt_new(&options, NULL, NULL, &mqtt, NULL) != IOT_OK)
		abort();
	while (iot_mqtt_connect(mqtt, 1000, NULL) != IOT_OK && iot_left(deadline) > 0)
		poll(NULL, 0, 20);
	CU_ASSERT_TRUE(iot_mqtt_is_connected(mqtt));
}

static void start_broker(void)
{
	const char *const argv[] = {"mosquitto", "-c", in_dir("mosquitto.conf"), NULL};
	const struct iot_process_options options = {
		.argv = argv, .log_path = in_dir("mosquitto.log"), .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_process_start(&options, &broker, &err), &err);
	wait_for_broker();
}

static void stop_broker(void)
{
	iot_process_stop(&broker, WAIT_MS);
	iot_process_release(&broker);
}

static void set_up(void)
{
	IOT_CLEAN(iot_free_p) char *conf = NULL;
	IOT_CLEAN(iot_free_p) char *program = iot_process_find("mosquitto");

	dir = unit_mkdtemp();
	unix_path = iot_path(dir, "broker.sock");
	closed_path = iot_path(dir, "closed.sock");
	no_broker = program == NULL;
	if (no_broker) {
		fprintf(stderr, "\nSKIPPED: mosquitto is not installed\n");
		return;
	}
	tls_port = free_port(NULL);
	make_certificates();
	conf = iot_strf("user root\nper_listener_settings true\n"
			"listener 0 %s\nallow_anonymous true\n"
			"listener 0 %s\nallow_anonymous false\n"
			"listener %d 127.0.0.1\nallow_anonymous true\nrequire_certificate true\n"
			"cafile %s/ca.pem\ncertfile %s/server.pem\nkeyfile %s/server.key\n",
			unix_path, closed_path, tls_port, dir, dir, dir);
	if (iot_fs_write(in_dir("mosquitto.conf"), 0600, conf, strlen(conf), NULL) != IOT_OK)
		abort();
	start_broker();
}

static void tear_down(void)
{
	if (!no_broker)
		stop_broker();
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(dir);
	free(unix_path);
	free(closed_path);
}

/* What the events told. */
struct heard {
	int connected, disconnected, messages, published, granted, refused;
	enum iot_status status;
	char reason[256];
	char topic[64];
	size_t len;
	char payload[64];
	int reason_code;
	bool echo; /* publish from within the event */
	char property[64], response[64], correlation[16];
};

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	(void)mqtt;
	((struct heard *)data)->connected++;
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct heard *heard = data;

	(void)mqtt;
	heard->disconnected++;
	heard->status = status;
	snprintf(heard->reason, sizeof(heard->reason), "%s", reason);
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct heard *heard = data;

	heard->messages++;
	heard->len = message->payload_len;
	snprintf(heard->topic, sizeof(heard->topic), "%s", message->topic);
	snprintf(heard->payload, sizeof(heard->payload), "%.*s",
		 (int)(message->payload_len < 60 ? message->payload_len : 60), (const char *)message->payload);
	if (message->property_count == 1)
		snprintf(heard->property, sizeof(heard->property), "%s=%s", message->properties[0].name,
			 message->properties[0].value);
	if (message->response_topic != NULL)
		snprintf(heard->response, sizeof(heard->response), "%s", message->response_topic);
	if (message->correlation != NULL)
		snprintf(heard->correlation, sizeof(heard->correlation), "%.*s", (int)message->correlation_len,
			 (const char *)message->correlation);
	if (heard->echo && strcmp(message->topic, "t/ask") == 0)
		CU_ASSERT_EQUAL(iot_mqtt_publish(mqtt, "t/answer", "yes", 3, 1, false, NULL, NULL), IOT_OK);
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	(void)mqtt, (void)mid;
	if (granted)
		((struct heard *)data)->granted++;
	else
		((struct heard *)data)->refused++;
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason_code, void *data)
{
	(void)mqtt, (void)mid;
	((struct heard *)data)->published++;
	((struct heard *)data)->reason_code = reason_code;
}

static const struct iot_mqtt_events events = {on_connected, on_disconnected, on_message, on_subscribed, on_published};

static struct iot_mqtt *new_client(const struct iot_mqtt_options *options, struct heard *heard)
{
	struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_mqtt_new(options, &events, heard, &mqtt, &err), &err);
	return mqtt;
}

static struct iot_mqtt *unix_client(const char *id, bool mqtt5, struct heard *heard)
{
	const struct iot_mqtt_options options = {.unix_path = unix_path, .client_id = id, .mqtt5 = mqtt5};
	struct iot_mqtt *mqtt = new_client(&options, heard);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_mqtt_connect(mqtt, WAIT_MS, &err), &err);
	return mqtt;
}

static struct iot_mqtt_options tls_options(const char *name, const char *ca)
{
	static char cert[256], key[256], ca_file[256];

	snprintf(cert, sizeof(cert), "%s/%s.pem", dir, name);
	snprintf(key, sizeof(key), "%s/%s.key", dir, name);
	snprintf(ca_file, sizeof(ca_file), "%s/%s", dir, ca);
	return (struct iot_mqtt_options){.host = "localhost",
					 .port = tls_port,
					 .client_id = name,
					 .ca_file = ca_file,
					 .cert_file = cert,
					 .key_file = key};
}

#define WAIT_UNTIL(mqtt, condition)                                                                                    \
	do {                                                                                                           \
		int64_t deadline_ = iot_deadline(WAIT_MS);                                                             \
		while (!(condition) && iot_left(deadline_) > 0)                                                        \
			iot_mqtt_wait(mqtt, iot_left(deadline_));                                                      \
		CU_ASSERT_TRUE(condition);                                                                             \
	} while (0)

static void test_publish_and_subscribe(void)
{
	struct heard heard = {.echo = true};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	char *large;

	if (no_broker)
		return;
	mqtt = unix_client("one", false, &heard);
	CU_ASSERT_EQUAL(heard.connected, 1);
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "t/#", 1, WAIT_MS, &err), &err);
	CU_ASSERT_EQUAL(heard.granted, 1);
	ASSERT_OK(iot_mqtt_publish(mqtt, "t/ask", "?", 1, 1, false, NULL, &err), &err);
	CU_ASSERT_EQUAL(heard.published, 0); /* events come from io and wait only */
	WAIT_UNTIL(mqtt, heard.messages == 2 && heard.published == 2);
	CU_ASSERT_STRING_EQUAL(heard.topic, "t/answer");
	CU_ASSERT_STRING_EQUAL(heard.payload, "yes");
	ASSERT_OK(iot_mqtt_publish(mqtt, "t/empty", NULL, 0, 0, false, NULL, &err), &err);
	WAIT_UNTIL(mqtt, heard.messages == 3 && heard.published == 3);
	CU_ASSERT_EQUAL(heard.len, 0);
	large = iot_alloc(300000);
	ASSERT_OK(iot_mqtt_publish(mqtt, "t/large", large, 300000, 1, false, NULL, &err), &err);
	free(large);
	WAIT_UNTIL(mqtt, heard.len == 300000);
	for (int i = 0; i < 500; i++)
		ASSERT_OK(iot_mqtt_publish(mqtt, "t/many", "x", 1, i % 2, false, NULL, &err), &err);
	WAIT_UNTIL(mqtt, heard.messages == 504 && heard.published == 504);
	CU_ASSERT_FALSE(iot_mqtt_wants_write(mqtt));
	ASSERT_STATUS(iot_mqtt_publish(mqtt, "t/+", "x", 1, 0, false, NULL, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_mqtt_subscribe(mqtt, "t/#/x", 0, NULL, &err), IOT_USAGE, &err);
	iot_mqtt_disconnect(mqtt, WAIT_MS);
	ASSERT_STATUS(iot_mqtt_publish(mqtt, "t/x", "x", 1, 0, false, NULL, &err), IOT_AGAIN, &err);
	ASSERT_STATUS(iot_mqtt_subscribe(mqtt, "t/x", 0, NULL, &err), IOT_AGAIN, &err);
	CU_ASSERT_EQUAL(iot_mqtt_fd(mqtt), -1);
}

static void test_mqtt5_properties(void)
{
	const struct iot_mqtt_property property = {"name", "value"};
	const struct iot_mqtt_message message = {.topic = "p/1",
						 .payload = "x",
						 .payload_len = 1,
						 .qos = 1,
						 .properties = &property,
						 .property_count = 1,
						 .response_topic = "p/reply",
						 .correlation = "abc",
						 .correlation_len = 3};
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (no_broker)
		return;
	mqtt = unix_client("five", true, &heard);
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "p/#", 0, WAIT_MS, &err), &err);
	ASSERT_OK(iot_mqtt_publish_message(mqtt, &message, NULL, &err), &err);
	WAIT_UNTIL(mqtt, heard.messages == 1);
	CU_ASSERT_STRING_EQUAL(heard.property, "name=value");
	CU_ASSERT_STRING_EQUAL(heard.response, "p/reply");
	CU_ASSERT_STRING_EQUAL(heard.correlation, "abc");
	ASSERT_OK(iot_mqtt_unsubscribe(mqtt, "p/#", &err), &err);
}

static void test_kept_session(void)
{
	struct iot_mqtt_options options = {
		.unix_path = unix_path, .client_id = "keeper", .mqtt5 = true, .keep_session = true};
	struct heard heard = {0}, other = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *sender = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (no_broker)
		return;
	mqtt = new_client(&options, &heard);
	ASSERT_OK(iot_mqtt_connect(mqtt, WAIT_MS, &err), &err);
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "k", 1, WAIT_MS, &err), &err);
	iot_mqtt_disconnect(mqtt, WAIT_MS);
	sender = unix_client("sender", true, &other);
	ASSERT_OK(iot_mqtt_publish(sender, "k", "kept", 4, 1, false, NULL, &err), &err);
	WAIT_UNTIL(sender, other.published == 1);
	ASSERT_OK(iot_mqtt_connect(mqtt, WAIT_MS, &err), &err);
	WAIT_UNTIL(mqtt, heard.messages == 1);
	CU_ASSERT_STRING_EQUAL(heard.payload, "kept");
	options = tls_options("pump-1", "ca.pem");
	options.mqtt5 = options.keep_session = true;
	sender = (iot_mqtt_free(sender), NULL);
	ASSERT_STATUS(iot_mqtt_new(&options, NULL, NULL, &sender, &err), IOT_USAGE, &err);
}

static void assert_refused(bool mqtt5)
{
	const struct iot_mqtt_options options = {.unix_path = closed_path, .client_id = "nobody", .mqtt5 = mqtt5};
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = new_client(&options, &heard);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_mqtt_connect(mqtt, WAIT_MS, &err), IOT_DENIED, &err);
	ASSERT_CONTAINS(err.what, "does not allow this client");
	CU_ASSERT_EQUAL(heard.connected, 0);
	CU_ASSERT_EQUAL(heard.disconnected, 1);
	CU_ASSERT_EQUAL(heard.status, IOT_DENIED);
}

static void test_refusals(void)
{
	if (no_broker)
		return;
	assert_refused(false);
	assert_refused(true);
}

static void test_taken_over(void)
{
	struct heard first = {0}, second = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *one = NULL;
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *two = NULL;

	if (no_broker)
		return;
	one = unix_client("twin", true, &first);
	two = unix_client("twin", true, &second);
	WAIT_UNTIL(one, first.disconnected == 1);
	CU_ASSERT_NOT_EQUAL(first.status, IOT_OK); /* mosquitto says why to some versions of itself only */
	CU_ASSERT_TRUE(iot_mqtt_is_connected(two));
}

static void test_broker_dies_and_returns(void)
{
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (no_broker)
		return;
	mqtt = unix_client("lone", false, &heard);
	stop_broker();
	WAIT_UNTIL(mqtt, heard.disconnected == 1);
	CU_ASSERT_EQUAL(heard.status, IOT_AGAIN);
	ASSERT_STATUS(iot_mqtt_connect(mqtt, WAIT_MS, &err), IOT_AGAIN, &err);
	ASSERT_CONTAINS(err.what, unix_path);
	start_broker();
	ASSERT_OK(iot_mqtt_connect(mqtt, WAIT_MS, &err), &err);
	CU_ASSERT_EQUAL(heard.connected, 2);
}

static void test_tls(void)
{
	struct iot_mqtt_options options = tls_options("pump-1", "ca.pem");
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(WAIT_MS);
	int rounds = 0;

	if (no_broker)
		return;
	/* From an owner's loop, which must not spin while the handshake waits. */
	mqtt = new_client(&options, &heard);
	ASSERT_OK(iot_mqtt_start(mqtt, &err), &err);
	CU_ASSERT_EQUAL(heard.connected, 0);
	while (heard.connected == 0 && heard.disconnected == 0 && iot_left(deadline) > 0) {
		struct pollfd fd = {.fd = iot_mqtt_fd(mqtt), .events = iot_mqtt_poll_events(mqtt)};

		poll(&fd, 1, 1000);
		iot_mqtt_io(mqtt, fd.revents);
		rounds++;
	}
	CU_ASSERT_EQUAL(heard.connected, 1);
	if (heard.connected == 0) {
		fprintf(stderr, "\n%s\n", heard.reason);
		return;
	}
	CU_ASSERT_TRUE(rounds < 20);
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "s/#", 1, WAIT_MS, &err), &err);
	for (int i = 0; i < 100; i++)
		ASSERT_OK(iot_mqtt_publish(mqtt, "s/1", "0123456789", 10, 1, false, NULL, &err), &err);
	WAIT_UNTIL(mqtt, heard.messages == 100 && heard.published == 100);
	iot_mqtt_disconnect(mqtt, WAIT_MS);
	ASSERT_OK(iot_mqtt_connect(mqtt, WAIT_MS, &err), &err); /* and again */
}

/* status -1: refused by a TLS 1.3 broker, which may also just hang up before its alert is read. */
static void assert_tls_fails(const struct iot_mqtt_options *options, int status, const char *words)
{
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = new_client(options, &heard);
	struct iot_error err = IOT_ERROR_INIT;

	enum iot_status got = iot_mqtt_connect(mqtt, WAIT_MS, &err);

	CU_ASSERT_TRUE(status < 0 ? got == IOT_DENIED || got == IOT_AGAIN : (int)got == status);
	if (strstr(err.what, words) == NULL)
		fprintf(stderr, "\n'%s' does not say '%s'\n", err.what, words);
	ASSERT_CONTAINS(err.what, words);
	CU_ASSERT_FALSE(iot_mqtt_is_connected(mqtt));
	CU_ASSERT_EQUAL(heard.connected, 0);
}

static void test_tls_faults(void)
{
	struct iot_mqtt_options options;

	if (no_broker)
		return;
	options = tls_options("pump-1", "other-ca.pem");
	assert_tls_fails(&options, IOT_AGAIN, "certificate was not accepted: ");
	options = tls_options("pump-1", "ca.pem");
	options.host = "127.0.0.1"; /* the certificate names localhost only */
	assert_tls_fails(&options, IOT_AGAIN, "another host name");
	options = tls_options("stranger", "ca.pem");
	assert_tls_fails(&options, -1, "client's certificate");
	options = tls_options("pump-1", "ca.pem");
	options.cert_file = options.key_file = NULL;
	assert_tls_fails(&options, -1, "client");
	options = tls_options("pump-1", "ca.pem");
	options.key_file = in_dir("stranger.key");
	assert_tls_fails(&options, IOT_SETTINGS, "does not belong to the certificate");
	options = tls_options("pump-1", "ca.pem");
	options.key_file = in_dir("missing.key");
	assert_tls_fails(&options, IOT_SETTINGS, "missing.key");
	options = tls_options("pump-1", "missing.pem");
	assert_tls_fails(&options, IOT_SETTINGS, "missing.pem");
}

static void test_no_broker_there(void)
{
	struct iot_mqtt_options options;
	IOT_CLEAN(iot_close_p) int silent = -1;
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before;

	if (no_broker)
		return;
	options = tls_options("pump-1", "ca.pem");
	options.port = free_port(NULL);
	assert_tls_fails(&options, IOT_AGAIN, "refused");
	options.host = "127.0.0.1";
	assert_tls_fails(&options, IOT_AGAIN, "refused");
	options.host = "no..such..host";
	assert_tls_fails(&options, IOT_AGAIN, "cannot find the address of 'no..such..host'");
	/* Accepted by the kernel, answered by nobody. */
	options.host = "localhost";
	options.port = free_port(&silent);
	mqtt = new_client(&options, &heard);
	before = iot_monotonic_ms();
	ASSERT_STATUS(iot_mqtt_connect(mqtt, 300, &err), IOT_TIMEOUT, &err);
	CU_ASSERT_TRUE(iot_monotonic_ms() - before < 10000); /* by itself it would wait for longer */
}

/* A peer that takes the connection and sends `text`, or resets it. */
static void serve_strangely(int listener, const char *text)
{
	const struct linger reset = {1, 0};
	pid_t pid = fork();
	char piece[512];
	int s;

	if (pid != 0) {
		close(listener);
		return;
	}
	s = accept(listener, NULL, NULL);
	if (text == NULL)
		setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (text != NULL && write(s, text, strlen(text)) > 0)
		s = read(s, piece, sizeof(piece)) < 0 ? s : s;
	close(s);
	_exit(0);
}

static void test_not_a_broker(void)
{
	struct iot_mqtt_options options;
	int listener = -1;

	if (no_broker)
		return;
	options = tls_options("pump-1", "ca.pem");
	options.port = free_port(&listener);
	serve_strangely(listener, "HTTP/1.1 400 Bad Request\r\n\r\n");
	assert_tls_fails(&options, IOT_AGAIN, "does not speak TLS");
	options.port = free_port(&listener);
	serve_strangely(listener, NULL);
	assert_tls_fails(&options, IOT_AGAIN, "cannot connect");
	options.port = free_port(&listener);
	serve_strangely(listener, "");
	assert_tls_fails(&options, IOT_AGAIN, "closed the connection");
}

static void test_queue_is_bounded(void)
{
	struct heard heard = {0};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;
	int sent = 0;

	if (no_broker)
		return;
	mqtt = unix_client("eager", false, &heard);
	while (status == IOT_OK && sent < 100000) {
		status = iot_mqtt_publish(mqtt, "q", "x", 1, 1, false, NULL, &err);
		sent += status == IOT_OK;
	}
	CU_ASSERT_EQUAL(status, IOT_AGAIN);
	WAIT_UNTIL(mqtt, heard.published == sent);
	ASSERT_OK(iot_mqtt_publish(mqtt, "q", "x", 1, 1, false, NULL, &err), &err);
}

static void test_bad_options(void)
{
	struct iot_mqtt_options options = {.host = "localhost", .port = 1, .ca_file = "x"};
	struct iot_mqtt *mqtt = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_mqtt_new(&options, NULL, NULL, &mqtt, &err), IOT_USAGE, &err); /* no client id */
	options.client_id = "x";
	options.port = 0;
	ASSERT_STATUS(iot_mqtt_new(&options, NULL, NULL, &mqtt, &err), IOT_USAGE, &err);
	options.port = 8883;
	options.ca_file = NULL; /* never without verification */
	ASSERT_STATUS(iot_mqtt_new(&options, NULL, NULL, &mqtt, &err), IOT_USAGE, &err);
	options.ca_file = "x";
	options.cert_file = "x";
	ASSERT_STATUS(iot_mqtt_new(&options, NULL, NULL, &mqtt, &err), IOT_USAGE, &err);
	iot_mqtt_free(NULL);
}

UNIT_MAIN("transport/mqtt", set_up, tear_down, {"publish-and-subscribe", test_publish_and_subscribe},
	  {"mqtt5-properties", test_mqtt5_properties}, {"kept-session", test_kept_session}, {"refusals", test_refusals},
	  {"taken-over", test_taken_over}, {"broker-dies-and-returns", test_broker_dies_and_returns}, {"tls", test_tls},
	  {"tls-faults", test_tls_faults}, {"no-broker-there", test_no_broker_there},
	  {"not-a-broker", test_not_a_broker}, {"queue-is-bounded", test_queue_is_bounded},
	  {"bad-options", test_bad_options})
