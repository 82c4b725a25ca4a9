/*
 * serve as a whole, with the distribution's mosquitto and the plugin inside it: it
 * comes up, answers a device, survives its broker's end, and leaves nothing behind.
 */
#include "iotctl/base.h"
#include "iotctl/broker.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/local.h"
#include "iotctl/mqtt.h"
#include "iotctl/process.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_MS 15000

static char *dir, *fleet, *device;
static int port;

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(address);

	if (bind(fd, (const struct sockaddr *)&address, len) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		abort();
	close(fd);
	return ntohs(address.sin_port);
}

static struct iot_cloud *open_cloud(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = NULL;

	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	return cloud;
}

static enum iot_status serve(struct iot_error *err)
{
	const struct iot_serve_options options = {.fleet_dir = fleet, .detach = true, .plugin_path = IOT_TEST_PLUGIN};

	return iot_serve_run(&options, err);
}

static int64_t status_number(const char *key)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;
	int64_t value;

	ASSERT_OK(iot_serve_status(fleet, &record, &err), &err);
	value = iot_json_int(record, key, 0);
	json_decref(record);
	return value;
}

static bool is_running(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;
	bool running;

	ASSERT_OK(iot_serve_status(fleet, &record, &err), &err);
	running = iot_json_bool(record, "running", false);
	json_decref(record);
	return running;
}

/* The path has a blank in it on purpose. */
static void begin(void)
{
	struct iot_fleet_init_options options = {.name = "demo"};
	struct iot_device_spec spec = {.name = "pump-1", .type = "pump"};
	const char *policies[] = {"device", NULL};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud;
	json_t *record = NULL;

	dir = unit_mkdtemp();
	fleet = iot_strf("%s/my fleet", dir);
	device = iot_path(dir, "pump-1");
	port = free_port();
	options.dir = fleet;
	options.port = port;
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	json_decref(record);
	record = NULL;
	cloud = open_cloud();
	spec.policies = policies;
	spec.out = device;
	ASSERT_OK(iot_device_create(cloud, &spec, &record, &err), &err);
	json_decref(record);
	iot_cloud_free(cloud);
}

static void end(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	(void)!iot_serve_stop(fleet, 10000, &err);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(fleet);
	free(device);
}

/* --- a device --------------------------------------------------------------------------- */

struct heard {
	char topic[200];
	char *payload;
	int qos;
};

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct heard *heard = data;

	(void)mqtt;
	free(heard->payload);
	snprintf(heard->topic, sizeof(heard->topic), "%s", message->topic);
	heard->payload = iot_strndup(message->payload, message->payload_len);
	heard->qos = message->qos;
}

static struct iot_mqtt *connect_device(struct heard *heard)
{
	static const struct iot_mqtt_events events = {.message = on_message};
	char *ca = iot_path(device, "ca.pem"), *cert = iot_path(device, "certificate.pem");
	char *key = iot_path(device, "private.key");
	const struct iot_mqtt_options options = {.host = "localhost",
						 .port = port,
						 .client_id = "pump-1",
						 .ca_file = ca,
						 .cert_file = cert,
						 .key_file = key};
	int64_t deadline = iot_deadline(WAIT_MS);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_mqtt *mqtt = NULL;
	enum iot_status status;

	ASSERT_OK(iot_mqtt_new(&options, &events, heard, &mqtt, &err), &err);
	do {
		status = iot_mqtt_connect(mqtt, 5000, &err);
	} while (status == IOT_AGAIN && iot_left(deadline) > 0 && poll(NULL, 0, 50) == 0);
	ASSERT_STATUS(status, IOT_OK, &err);
	free(ca);
	free(cert);
	free(key);
	return mqtt;
}

/* Wait for a message on a topic that ends like that, with that in it. */
static bool hear(struct iot_mqtt *mqtt, struct heard *heard, const char *topic_end, const char *part)
{
	int64_t deadline = iot_deadline(WAIT_MS);

	do {
		size_t len = strlen(heard->topic), end_len = strlen(topic_end);

		if (heard->payload != NULL && len >= end_len && strcmp(heard->topic + len - end_len, topic_end) == 0 &&
		    strstr(heard->payload, part) != NULL)
			return true;
		iot_mqtt_wait(mqtt, 200);
	} while (iot_left(deadline) > 0 && iot_mqtt_is_connected(mqtt));
	fprintf(stderr, "\nlast heard: %s %s\n", heard->topic, heard->payload != NULL ? heard->payload : "nothing");
	return false;
}

static void forget(struct heard *heard)
{
	free(heard->payload);
	*heard = (struct heard){0};
}

static void ask(struct iot_mqtt *mqtt, const char *rest, const char *payload, int qos)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *topic = iot_strf("$aws/things/pump-1/%s", rest);

	ASSERT_OK(iot_mqtt_publish(mqtt, topic, payload, strlen(payload), qos, false, NULL, &err), &err);
	free(topic);
}

static void add_job(const char *id)
{
	struct iot_cloud *cloud = open_cloud();
	struct iot_error err = IOT_ERROR_INIT;
	json_t *request = json_pack("{s:s, s:[s], s:s}", "jobId", id, "targets",
				    "arn:aws:iot:local:000000000000:thing/pump-1", "document", "{\"do\":1}");

	ASSERT_OK(iot_cloud_call(cloud, "CreateJob", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
	iot_cloud_free(cloud);
}

/* --- tests ----------------------------------------------------------------------------------- */

static void test_up_and_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *second = iot_strf("%s/other", dir), *socket_path;
	struct iot_fleet_init_options options = {.name = "other", .dir = second, .port = port};
	struct iot_serve_options other = {.fleet_dir = second, .plugin_path = IOT_TEST_PLUGIN};
	struct iot_fleet_paths paths = {0};
	json_t *record = NULL;
	pid_t pid, broker;

	ASSERT_OK(serve(&err), &err);
	ASSERT_OK(iot_serve_status(fleet, &record, &err), &err);
	CU_ASSERT_TRUE(iot_json_bool(record, "running", false));
	CU_ASSERT_EQUAL(iot_json_int(record, "port", 0), port);
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "listen", ""), "127.0.0.1");
	CU_ASSERT_PTR_NOT_NULL(iot_json_str(record, "since", NULL));
	pid = (pid_t)iot_json_int(record, "pid", 0);
	broker = (pid_t)iot_json_int(record, "mosquittoPid", 0);
	CU_ASSERT(pid > 0 && broker > 0);
	json_decref(record);
	record = NULL;
	ASSERT_STATUS(serve(&err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "serve is already running");
	/* Another fleet on the same port. */
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	json_decref(record);
	ASSERT_STATUS(iot_serve_run(&other, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "is in use (process");
	other.port = free_port();
	other.mosquitto = "/nonexistent/mosquitto";
	ASSERT_STATUS(iot_serve_run(&other, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.hint, "apt-get install mosquitto");
	other.mosquitto = NULL;
	other.plugin_path = "/nonexistent.so";
	ASSERT_STATUS(iot_serve_run(&other, &err), IOT_NOT_FOUND, &err);
	other.plugin_path = "/dev/null"; /* mosquitto's own words are passed on */
	ASSERT_STATUS(iot_serve_run(&other, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "mosquitto ended with code");
	ASSERT_OK(iot_serve_stop(fleet, 10000, &err), &err);
	CU_ASSERT(kill(broker, 0) != 0);
	CU_ASSERT_FALSE(is_running());
	ASSERT_STATUS(iot_serve_stop(fleet, 1000, &err), IOT_NOT_FOUND, &err);
	iot_fleet_paths_init(&paths, fleet);
	socket_path = paths.admin_socket;
	CU_ASSERT_FALSE(iot_fs_exists(socket_path));
	CU_ASSERT_FALSE(iot_fs_exists(paths.notify_socket));
	iot_fleet_paths_release(&paths);
	free(second);
}

static void test_device(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct heard heard = {0};
	struct iot_cloud *cloud;
	struct iot_mqtt *mqtt;
	json_t *record = NULL;
	int64_t deadline;

	ASSERT_OK(serve(&err), &err);
	mqtt = connect_device(&heard);
	/* Answers come without a subscription, with the request's quality of service. */
	ask(mqtt, "jobs/start-next", "{\"clientToken\":\"t1\"}", 1);
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/jobs/start-next/accepted", "\"clientToken\":\"t1\""));
	CU_ASSERT_EQUAL(heard.qos, 1);
	ask(mqtt, "jobs/nothing/get", "", 0);
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/jobs/nothing/get/rejected", "ResourceNotFound"));
	CU_ASSERT_EQUAL(heard.qos, 0);
	ask(mqtt, "streams/none/get/json", "{\"f\":0,\"l\":256,\"n\":1}", 0);
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/streams/none/rejected/json", "ResourceNotFound"));
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "$aws/things/pump-1/jobs/notify-next", 1, WAIT_MS, &err), &err);
	add_job("j1");
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/jobs/notify-next", "\"jobDocument\":{\"do\":1}"));
	CU_ASSERT_EQUAL(status_number("connected"), 1);
	forget(&heard);
	ASSERT_OK(iot_mqtt_publish(mqtt, "pump/pump-1/state", "{\"firmware\":\"1.2.3\"}", 20, 1, false, NULL, &err),
		  &err);
	ask(mqtt, "jobs/j1/update", "{\"status\":\"SUCCEEDED\"}", 1);
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/jobs/notify-next", "{\"timestamp\":"));
	CU_ASSERT_PTR_NULL(strstr(heard.payload, "execution"));
	cloud = open_cloud();
	ASSERT_OK(iot_device_show(cloud, "pump-1", &record, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "firmware", ""), "1.2.3");
	json_decref(record);
	iot_cloud_free(cloud);
	iot_mqtt_disconnect(mqtt, 1000);
	iot_mqtt_free(mqtt);
	forget(&heard);
	for (deadline = iot_deadline(WAIT_MS); status_number("connected") > 0 && iot_left(deadline) > 0;)
		poll(NULL, 0, 50);
	CU_ASSERT_EQUAL(status_number("connected"), 0);
}

/* A job that was made while there was no broker is told when there is one again. */
static void test_broker_killed(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct heard heard = {0};
	struct iot_mqtt *mqtt;
	pid_t first;
	int64_t deadline = iot_deadline(WAIT_MS);

	ASSERT_OK(serve(&err), &err);
	first = (pid_t)status_number("mosquittoPid");
	CU_ASSERT(first > 0 && kill(first, SIGKILL) == 0);
	add_job("j1");
	mqtt = connect_device(&heard);
	ASSERT_OK(iot_mqtt_subscribe_wait(mqtt, "$aws/things/pump-1/jobs/notify-next", 1, WAIT_MS, &err), &err);
	CU_ASSERT_TRUE(hear(mqtt, &heard, "/jobs/notify-next", "\"jobId\":\"j1\""));
	while (status_number("mosquittoPid") == 0 && iot_left(deadline) > 0)
		poll(NULL, 0, 50);
	CU_ASSERT_NOT_EQUAL(status_number("mosquittoPid"), first);
	CU_ASSERT_EQUAL(status_number("connected"), 1);
	iot_mqtt_free(mqtt);
	forget(&heard);
}

/* A handle on a process of the status record. */
static int hold(const char *key)
{
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)status_number(key), 0);

	CU_ASSERT(fd >= 0);
	return fd;
}

static void send_signal(int pidfd, int number)
{
	CU_ASSERT_EQUAL(syscall(SYS_pidfd_send_signal, pidfd, number, NULL, 0), 0);
}

/* Closes the handle. */
static bool is_gone(int pidfd)
{
	struct pollfd fd = {.fd = pidfd, .events = POLLIN};
	bool gone = poll(&fd, 1, WAIT_MS) > 0;

	close(pidfd);
	return gone;
}

/* Killed with what cannot be caught: the broker goes too, or, if it was stopped, when the next serve comes. */
static void test_serve_killed(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int self, broker;

	ASSERT_OK(serve(&err), &err);
	self = hold("pid");
	broker = hold("mosquittoPid");
	send_signal(self, SIGKILL);
	CU_ASSERT_TRUE(is_gone(self));
	CU_ASSERT_TRUE(is_gone(broker));
	ASSERT_OK(serve(&err), &err);
	self = hold("pid");
	broker = hold("mosquittoPid");
	send_signal(broker, SIGSTOP);
	send_signal(self, SIGKILL);
	CU_ASSERT_TRUE(is_gone(self));
	ASSERT_OK(serve(&err), &err);
	CU_ASSERT_TRUE(is_gone(broker));
	CU_ASSERT_TRUE(is_running());
}

UNIT_MAIN("broker/serve", begin, end, {"up_and_down", test_up_and_down}, {"device", test_device},
	  {"broker_killed", test_broker_killed}, {"serve_killed", test_serve_killed})
