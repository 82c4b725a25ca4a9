/*
 * Whole software devices, each in a process of its own, against mosquitto and a
 * cloud that this test plays: jobs, stream, and what the device says at its end.
 */
#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/image.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/mqtt.h"
#include "iotctl/process.h"
#include "iotctl/sim.h"
#include "iotctl/streamcbor.h"
#include "iotctl/text.h"
#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WAIT_MS = 20000, IMAGE_SIZE = 300000, DEVICES = 6, DEVICE_MS = 60000 };

static char *dir, *fleet_dir, *factory, *update;
static int port;
static struct iot_process broker = IOT_PROCESS_INIT;
static struct iot_mqtt *cloud;
static struct iot_key *ca_key, *sign_key, *other_key;
static struct iot_cert *ca;
static bool no_broker;

/* What the cloud has and heard. */
static struct {
	bool job; /* offer one */
	char signature[IOT_IMAGE_SIGNATURE_MAX];
	uint8_t image[IMAGE_SIZE];
	struct {
		char status[16], reason[160], details[512];
		char state[256]; /* last one heard */
		char boots[256];
	} device[DEVICES];
	int blocks;     /* sent so far */
	int stop_after; /* blocks after which the stream falls silent; 0: never */
	int foreign;    /* messages for jobs or files that are not there */
} world;

static const char *in_dir(const char *name)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static void must(enum iot_status status, const struct iot_error *err)
{
	char line[1024];

	if (status == IOT_OK)
		return;
	fprintf(stderr, "%s\n", iot_error_line(err, line, sizeof(line)));
	abort();
}

static void write_text(const char *path, const char *text)
{
	struct iot_error err = IOT_ERROR_INIT;

	must(iot_fs_write(path, 0644, text, strlen(text), &err), &err);
}

static void save_cert(const char *path, const struct iot_cert *cert)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);

	iot_cert_pem(cert, &pem);
	write_text(path, iot_buf_str(&pem));
}

static void issue(enum iot_cert_profile profile, const char *name, const char *cert_path, const char *key_path)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	static const char *const names[] = {"localhost", NULL};
	struct iot_cert_request request = {.profile = profile, .common_name = name, .days = 2};
	struct iot_error err = IOT_ERROR_INIT;

	if (profile == IOT_PROFILE_SERVER)
		request.dns_names = names;
	must(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	request.key = key;
	must(iot_cert_issue(ca_key, ca, &request, &cert, &err), &err);
	must(iot_key_save_new(key, key_path, NULL, &err), &err);
	save_cert(cert_path, cert);
}

static char *device_dir(int i)
{
	return iot_strf("%s/pump-%d", fleet_dir, i);
}

static void make_device(int i)
{
	IOT_CLEAN(iot_free_p) char *folder = device_dir(i);
	IOT_CLEAN(iot_free_p) char *name = iot_strf("pump-%d", i);
	IOT_CLEAN(iot_free_p) char *cert = iot_path(folder, "certificate.pem");
	IOT_CLEAN(iot_free_p) char *key = iot_path(folder, "private.key");
	IOT_CLEAN(iot_free_p) char *ca_path = iot_path(folder, "ca.pem");
	IOT_CLEAN(iot_free_p) char *sign_path = iot_path(folder, "codesign.pem");
	IOT_CLEAN(iot_free_p) char *json_path = iot_path(folder, "device.json");
	IOT_CLEAN(iot_free_p)
	char *json = iot_strf("{\"thingName\":\"%s\",\"thingType\":\"pump\",\"endpoint\":\"localhost\",\"port\":%d}",
			      name, port);
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(10000);
	struct iot_error err = IOT_ERROR_INIT;

	must(iot_fs_mkdirs(folder, 0755, &err), &err);
	issue(IOT_PROFILE_DEVICE, name, cert, key);
	save_cert(ca_path, ca);
	must(iot_key_public_pem(sign_key, &pem, &err), &err);
	write_text(sign_path, iot_buf_str(&pem));
	write_text(json_path, json);
}

static void make_image(const char *path, const char *version, enum iot_sim_behaviour behaviour,
		       const struct iot_key *key)
{
	struct iot_sim_firmware firmware = {.size = IMAGE_SIZE, .behaviour = behaviour};
	struct iot_image_signature signature;
	struct iot_error err = IOT_ERROR_INIT;
	FILE *file;

	must(iot_sim_version_parse(version, &firmware, &err), &err);
	must(iot_sim_firmware_write(path, &firmware, &err), &err);
	must(iot_image_sign_file(path, key, NULL, false, &signature, &err), &err);
	strcpy(world.signature, signature.signature);
	file = fopen(path, "rb");
	if (file == NULL || fread(world.image, 1, IMAGE_SIZE, file) != IMAGE_SIZE)
		abort();
	fclose(file);
}

/* --- the cloud -------------------------------------------------------------------- */

static void deliver(const char *client, const char *topic, const void *payload, size_t len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf message = IOT_BUF_INIT(200000);
	struct iot_error err = IOT_ERROR_INIT;

	iot_buf_add(&message, client, strlen(client) + 1);
	iot_buf_add(&message, topic, strlen(topic) + 1);
	iot_buf_add(&message, payload, len);
	ASSERT_OK(iot_mqtt_publish(cloud, "$CONTROL/test/v1", message.data, message.len, 0, false, NULL, &err), &err);
}

static void reply(const char *thing, const char *topic, const json_t *request, json_t *body)
{
	IOT_JSON owned = body;
	IOT_CLEAN(iot_free_p) char *accepted = iot_strf("%s/accepted", topic);
	IOT_CLEAN(iot_free_p) char *text = NULL;

	iot_json_set_int(owned, "timestamp", 1);
	iot_json_set_str(owned, "clientToken", iot_json_str(request, "clientToken", NULL));
	text = iot_json_text(owned);
	deliver(thing, accepted, text, strlen(text));
}

static json_t *offer(int i)
{
	json_t *details = json_loads(world.device[i].details[0] != '\0' ? world.device[i].details : "{}", 0, NULL);
	const char *status = world.device[i].status;

	if (!world.job || strcmp(status, "SUCCEEDED") == 0 || strcmp(status, "FAILED") == 0) {
		json_decref(details);
		return json_object();
	}
	return json_pack("{s:{s:s,s:o,s:{s:{s:[s],s:s,s:[{s:s,s:i,s:i,s:s,s:s}]}}}}", "execution", "jobId", "job-1",
			 "statusDetails", details, "jobDocument", "afr_ota", "protocols", "MQTT", "streamname",
			 "stream-1", "files", "filepath", "/fw", "filesize", IMAGE_SIZE, "fileid", 0, "certfile", "c",
			 "sig-sha256-ecdsa", world.signature);
}

static void serve_blocks(const char *thing, const struct iot_mqtt_message *message)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("$aws/things/%s/streams/stream-1/data/cbor", thing);
	static uint8_t block[IOT_STREAM_HEAD_MAX + IOT_STREAM_BLOCK_MAX];
	struct iot_stream_get get;
	uint64_t sent = 0;

	if (iot_stream_get_parse(message->payload, message->payload_len, &get, NULL) != IOT_OK ||
	    iot_stream_get_check(&get) != NULL || get.file != 0 || get.offset * get.size >= IMAGE_SIZE) {
		world.foreign++;
		return;
	}
	for (uint32_t b = 0; b < get.bitmap_len * 8 && sent < get.count; b++) {
		uint64_t at = (get.offset + b) * get.size,
			 len = IMAGE_SIZE - at < get.size ? IMAGE_SIZE - at : get.size;
		size_t head;

		if ((get.bitmap[b / 8] >> (b % 8) & 1) == 0 || at >= IMAGE_SIZE)
			continue;
		if (world.stop_after > 0 && world.blocks >= world.stop_after)
			return;
		head = iot_stream_data_head(block, get.token, get.token_len, 0, (uint32_t)get.offset + b,
					    (uint32_t)len);
		memcpy(block + head, world.image + at, len);
		deliver(thing, topic, block, head + len);
		world.blocks++;
		sent++;
	}
}

static void take_update(int i, const char *job, const json_t *request)
{
	const json_t *details = json_object_get(request, "statusDetails");
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(details);

	if (strcmp(job, "job-1") != 0) {
		world.foreign++;
		return;
	}
	snprintf(world.device[i].status, sizeof(world.device[i].status), "%s", iot_json_str(request, "status", ""));
	snprintf(world.device[i].reason, sizeof(world.device[i].reason), "%s", iot_json_str(details, "reason", ""));
	snprintf(world.device[i].details, sizeof(world.device[i].details), "%s", text);
}

static void take_state(int i, const struct iot_mqtt_message *message)
{
	IOT_JSON state = NULL;
	size_t len = strlen(world.device[i].boots);

	CU_ASSERT_EQUAL(iot_json_parse(message->payload, message->payload_len, "state", &state, NULL), IOT_OK);
	snprintf(world.device[i].state, sizeof(world.device[i].state), "%s", iot_json_str(state, "firmware", ""));
	snprintf(world.device[i].boots + len, sizeof(world.device[i].boots) - len, "%s ",
		 iot_json_str(state, "boot", ""));
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	char thing[64], job[64];
	IOT_JSON request = NULL;
	int i;

	(void)mqtt, (void)data;
	if (sscanf(message->topic, "pump/pump-%d/state", &i) == 1) {
		take_state(i, message);
		return;
	}
	if (sscanf(message->topic, "$aws/things/pump-%d/", &i) != 1 || i >= DEVICES)
		return;
	snprintf(thing, sizeof(thing), "pump-%d", i);
	if (iot_ends_with(message->topic, "/get/cbor")) {
		serve_blocks(thing, message);
		return;
	}
	if (iot_json_parse(message->payload, message->payload_len, "request", &request, NULL) != IOT_OK)
		return;
	if (iot_ends_with(message->topic, "/jobs/start-next")) {
		reply(thing, message->topic, request, offer(i));
	} else if (iot_ends_with(message->topic, "/update") &&
		   sscanf(message->topic, "$aws/things/%*[^/]/jobs/%63[^/]/update", job) == 1) {
		take_update(i, job, request);
		reply(thing, message->topic, request, json_object());
	}
}

/* --- set up --------------------------------------------------------------------------- */

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(s, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    getsockname(s, (struct sockaddr *)&address, &len) != 0)
		abort();
	close(s);
	return ntohs(address.sin_port);
}

static void start_broker(void)
{
	const char *const argv[] = {"mosquitto", "-c", in_dir("mosquitto.conf"), NULL};
	const struct iot_process_options options = {
		.argv = argv, .log_path = in_dir("mosquitto.log"), .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(WAIT_MS);

	must(iot_process_start(&options, &broker, &err), &err);
	while (iot_mqtt_connect(cloud, 1000, &err) != IOT_OK && iot_left(deadline) > 0)
		poll(NULL, 0, 20);
	must(iot_mqtt_subscribe_wait(cloud, "$aws/things/#", 1, WAIT_MS, &err), &err);
	must(iot_mqtt_subscribe_wait(cloud, "pump/+/state", 1, WAIT_MS, &err), &err);
}

static void stop_broker(void)
{
	iot_process_stop(&broker, WAIT_MS);
	iot_process_release(&broker);
	for (int64_t deadline = iot_deadline(WAIT_MS); iot_mqtt_is_connected(cloud) && iot_left(deadline) > 0;)
		iot_mqtt_wait(cloud, 100);
}

static void set_up(void)
{
	IOT_CLEAN(iot_free_p) char *program = iot_process_find("mosquitto");
	IOT_CLEAN(iot_free_p) char *conf = NULL;
	static const struct iot_mqtt_events events = {.message = on_message};
	struct iot_mqtt_options options = {.client_id = "cloud"};
	struct iot_error err = IOT_ERROR_INIT;

	no_broker = program == NULL;
	if (no_broker) {
		fprintf(stderr, "\nSKIPPED: mosquitto is not installed\n");
		return;
	}
	memset(&world, 0, sizeof(world));
	dir = unit_mkdtemp_memory();
	fleet_dir = iot_path(dir, "fleet");
	factory = iot_path(dir, "pump-1.0.0.bin");
	update = iot_path(dir, "pump-1.1.0.bin");
	port = free_port();
	must(iot_key_generate(IOT_KEY_P256, &ca_key, &err), &err);
	must(iot_key_generate(IOT_KEY_P256, &sign_key, &err), &err);
	must(iot_key_generate(IOT_KEY_P256, &other_key, &err), &err);
	must(iot_ca_create_root(ca_key, "Test CA", 10, &ca, &err), &err);
	save_cert(in_dir("ca.pem"), ca);
	issue(IOT_PROFILE_SERVER, "server", in_dir("server.pem"), in_dir("server.key"));
	for (int i = 0; i < DEVICES; i++)
		make_device(i);
	make_image(factory, "1.0.0", IOT_SIM_OK, sign_key);
	make_image(update, "1.1.0", IOT_SIM_OK, sign_key);
	conf = iot_strf("user root\nplugin %s\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages "
			"100000\nlistener 0 %s/broker.sock\n"
			"listener %d 127.0.0.1\nrequire_certificate true\ncafile %s/ca.pem\ncertfile %s/server.pem\n"
			"keyfile %s/server.key\n",
			DELIVERY_PLUGIN, dir, port, dir, dir, dir);
	write_text(in_dir("mosquitto.conf"), conf);
	options.unix_path = in_dir("broker.sock");
	must(iot_mqtt_new(&options, &events, NULL, &cloud, &err), &err);
	start_broker();
}

static void tear_down(void)
{
	if (no_broker)
		return;
	iot_mqtt_free(cloud);
	iot_process_stop(&broker, WAIT_MS);
	iot_process_release(&broker);
	iot_key_free(ca_key);
	iot_key_free(sign_key);
	iot_key_free(other_key);
	iot_cert_free(ca);
	ca_key = sign_key = other_key = NULL;
	ca = NULL;
	cloud = NULL;
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(dir);
	free(fleet_dir);
	free(factory);
	free(update);
}

/* --- devices as processes ------------------------------------------------------------------ */

static struct iot_sim_device_options device_options(void)
{
	return (struct iot_sim_device_options){.image = factory,
					       .once = true,
					       .exit_after_ms = DEVICE_MS,
					       .watchdog_ms = 100,
					       .request_timeout_ms = 300};
}

static pid_t start_device(int i, struct iot_sim_device_options options)
{
	pid_t pid = fork();
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;
	char line[1024];

	if (pid != 0)
		return pid;
	options.dir = device_dir(i);
	iot_log_set_level(getenv("SIM_LOG") != NULL ? IOT_LOG_NOTICE : IOT_LOG_ERROR);
	status = iot_sim_device_run(&options, NULL, NULL, &err);
	if (status != IOT_OK && getenv("SIM_LOG") != NULL)
		fprintf(stderr, "%s\n", iot_error_line(&err, line, sizeof(line)));
	_exit(status);
}

static bool play(int ms)
{
	iot_mqtt_wait(cloud, ms);
	return iot_mqtt_is_connected(cloud);
}

/* Play the cloud until the device ends; its exit status. */
static int wait_device(pid_t pid)
{
	int64_t deadline = iot_deadline(WAIT_MS);
	int status = 0;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (iot_left(deadline) == 0) {
			CU_FAIL("the device does not end");
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			break;
		}
		play(20);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void assert_run(struct iot_sim_device_options options, enum iot_status status, const char *job,
		       const char *reason, const char *firmware, const char *boots)
{
	CU_ASSERT_EQUAL(wait_device(start_device(0, options)), (int)status);
	CU_ASSERT_STRING_EQUAL(world.device[0].status, job);
	if (strstr(world.device[0].reason, reason) == NULL)
		fprintf(stderr, "\n'%s' does not say '%s'\n", world.device[0].reason, reason);
	ASSERT_CONTAINS(world.device[0].reason, reason);
	CU_ASSERT_STRING_EQUAL(world.device[0].state, firmware);
	CU_ASSERT_STRING_EQUAL(world.device[0].boots, boots);
}

static void test_no_job(void)
{
	if (!no_broker)
		assert_run(device_options(), IOT_OK, "", "", "1.0.0", "power ");
}

static void test_good_update(void)
{
	struct iot_sim_device_options options = device_options();

	if (no_broker)
		return;
	world.job = true;
	assert_run(options, IOT_OK, "SUCCEEDED", "accepted v1.1.0", "1.1.0", "power test ");
	/* It stays, also over a restart, and a factory boot goes back. */
	world.device[0].boots[0] = '\0';
	assert_run(options, IOT_OK, "SUCCEEDED", "", "1.1.0", "power ");
	world.device[0].boots[0] = '\0';
	options.factory_boot = true;
	assert_run(options, IOT_OK, "SUCCEEDED", "", "1.0.0", "factory ");
}

static void test_bad_updates(void)
{
	if (no_broker)
		return;
	world.job = true;
	make_image(update, "1.1.0", IOT_SIM_CRASH, sign_key);
	assert_run(device_options(), IOT_FAILURE, "FAILED", "image crashed", "1.0.0", "power revert ");
	memset(&world.device[0], 0, sizeof(world.device[0]));
	make_image(update, "1.2.0", IOT_SIM_HANG, sign_key);
	assert_run(device_options(), IOT_FAILURE, "FAILED", "watchdog", "1.0.0", "power revert ");
	memset(&world.device[0], 0, sizeof(world.device[0]));
	make_image(update, "1.3.0", IOT_SIM_FAIL_TEST, sign_key);
	assert_run(device_options(), IOT_FAILURE, "FAILED", "self test failed", "1.0.0", "power test revert ");
	memset(&world.device[0], 0, sizeof(world.device[0]));
	make_image(update, "1.4.0", IOT_SIM_OK, other_key);
	assert_run(device_options(), IOT_VERIFY, "FAILED", "signature check failed", "1.0.0", "power ");
}

/* Wait until the cloud has sent so many blocks. */
static void wait_blocks(int count)
{
	for (int64_t deadline = iot_deadline(WAIT_MS); world.blocks < count && iot_left(deadline) > 0;)
		play(20);
	CU_ASSERT_TRUE(world.blocks >= count);
}

static void test_kill_and_resume(void)
{
	struct iot_sim_device_options options = device_options();
	const int blocks = (IMAGE_SIZE + 255) / 256;
	pid_t pid;

	if (no_broker)
		return;
	world.job = true;
	world.stop_after = 900;
	options.block_size = 256;
	options.window = 32;
	pid = start_device(0, options);
	wait_blocks(900);
	for (int64_t deadline = iot_deadline(400); iot_left(deadline) > 0;)
		play(20);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	world.stop_after = 0;
	assert_run(options, IOT_OK, "SUCCEEDED", "accepted", "1.1.0", "power power test ");
	/* The map is saved every 256 blocks: no more than those, and what was on its way, came twice. */
	CU_ASSERT_TRUE(world.blocks < blocks + 256 + 2 * 32);
	CU_ASSERT_TRUE(world.blocks > blocks);
}

static void test_broker_restarts(void)
{
	pid_t pid;

	if (no_broker)
		return;
	world.job = true;
	world.stop_after = 30;
	pid = start_device(0, device_options());
	wait_blocks(30);
	stop_broker();
	world.stop_after = 0;
	start_broker();
	CU_ASSERT_EQUAL(wait_device(pid), IOT_OK);
	CU_ASSERT_STRING_EQUAL(world.device[0].status, "SUCCEEDED");
}

static void test_kill_at_any_moment(void)
{
	struct iot_sim_device_options options = device_options();
	unsigned seed = 12345;
	int kills = 0, status;

	if (no_broker)
		return;
	world.job = true;
	options.block_size = 256; /* slow enough to be hit in the middle of things */
	options.window = 8;
	options.fault = "slow=1ms";
	for (int i = 0; i < 30 && strcmp(world.device[0].status, "SUCCEEDED") != 0; i++) {
		pid_t pid = start_device(0, options);
		int64_t until = iot_deadline((int64_t)(rand_r(&seed) % 100));

		while (iot_left(until) > 0)
			play(iot_left(until));
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		kills += WIFSIGNALED(status);
	}
	CU_ASSERT_TRUE(kills > 3);
	/* A cut during the test reverts it: then the job has failed, truthfully, and can be offered again. */
	status = wait_device(start_device(0, device_options()));
	CU_ASSERT_TRUE(strcmp(world.device[0].status, "SUCCEEDED") == 0
			       ? strcmp(world.device[0].state, "1.1.0") == 0
			       : strcmp(world.device[0].status, "FAILED") == 0 &&
					 strcmp(world.device[0].state, "1.0.0") == 0);
	CU_ASSERT_TRUE(status == IOT_OK || status == IOT_FAILURE);
	memset(&world.device[0], 0, sizeof(world.device[0]));
	make_image(update, "1.2.0", IOT_SIM_OK, sign_key);
	CU_ASSERT_EQUAL(wait_device(start_device(0, device_options())), IOT_OK);
	CU_ASSERT_STRING_EQUAL(world.device[0].state, "1.2.0");
}

static void test_faults_end_well(void)
{
	struct iot_sim_device_options options = device_options();

	if (no_broker)
		return;
	world.job = true;
	options.fault = "twice,out-of-range,foreign-job,slow=5ms";
	assert_run(options, IOT_OK, "SUCCEEDED", "accepted", "1.1.0", "power test ");
	CU_ASSERT_TRUE(world.foreign > 10);
	options.fault = "silent";
	options.exit_after_ms = 300;
	CU_ASSERT_EQUAL(wait_device(start_device(1, options)), IOT_TIMEOUT);
	CU_ASSERT_STRING_EQUAL(world.device[1].status, "");
	CU_ASSERT_STRING_EQUAL(world.device[1].state, "1.0.0");
}

static void test_signals_end_it(void)
{
	struct iot_sim_device_options options = device_options();
	pid_t pid;

	if (no_broker)
		return;
	options.once = false;
	pid = start_device(0, options);
	for (int64_t deadline = iot_deadline(WAIT_MS); world.device[0].state[0] == '\0' && iot_left(deadline) > 0;)
		play(20);
	kill(pid, SIGTERM);
	CU_ASSERT_EQUAL(wait_device(pid), IOT_OK);
}

static void test_fleet(void)
{
	const struct iot_sim_fleet_options options = {.dir = fleet_dir,
						      .image = factory,
						      .connect_window = 2,
						      .exit_after_ms = DEVICE_MS,
						      .once = true,
						      .device = {.request_timeout_ms = 500}};
	struct iot_error err = IOT_ERROR_INIT;
	pid_t pid;

	if (no_broker)
		return;
	world.job = true;
	pid = fork();
	if (pid == 0) {
		iot_log_set_level(IOT_LOG_ERROR);
		_exit(iot_sim_fleet_run(&options, NULL, NULL, &err));
	}
	CU_ASSERT_EQUAL(wait_device(pid), IOT_OK);
	for (int i = 0; i < DEVICES; i++) {
		CU_ASSERT_STRING_EQUAL(world.device[i].status, "SUCCEEDED");
		CU_ASSERT_STRING_EQUAL(world.device[i].state, "1.1.0");
	}
}

static void assert_refused(struct iot_sim_device_options options, enum iot_status status, const char *part)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_sim_device_run(&options, NULL, NULL, &err), status, &err);
	ASSERT_CONTAINS(err.what, part);
}

static void test_bad_folders(void)
{
	struct iot_sim_device_options options = device_options();
	IOT_CLEAN(iot_free_p) char *folder = NULL;
	IOT_CLEAN(iot_free_p) char *key = NULL;
	IOT_CLEAN(iot_free_p) char *json = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (no_broker)
		return;
	folder = device_dir(0);
	key = iot_path(folder, "private.key");
	json = iot_path(folder, "device.json");
	options.dir = dir;
	assert_refused(options, IOT_NOT_FOUND, "not a device folder");
	options.dir = folder;
	options.fault = "nonsense";
	assert_refused(options, IOT_USAGE, "'nonsense'");
	options.fault = NULL;
	options.block_size = 100;
	assert_refused(options, IOT_USAGE, "100");
	options.block_size = 0;
	options.image = NULL;
	assert_refused(options, IOT_NOT_FOUND, "no firmware");
	options.image = json;
	assert_refused(options, IOT_USAGE, "device.json");
	options.image = factory;
	CU_ASSERT_EQUAL(chmod(key, 0644), 0);
	assert_refused(options, IOT_DENIED, "private.key");
	CU_ASSERT_EQUAL(chmod(key, 0600), 0);
	make_image(factory, "1.0.0", IOT_SIM_CRASH, sign_key);
	assert_refused(options, IOT_FAILURE, "crashes at every boot");
	write_text(json, "{\"thingName\":\"a/b\",\"endpoint\":\"localhost\",\"port\":1}");
	assert_refused(options, IOT_USAGE, "a/b");
	write_text(json, "{\"thingName\":\"a\",\"endpoint\":\"localhost\",\"port\":0}");
	assert_refused(options, IOT_USAGE, "port");
	ASSERT_OK(iot_fs_remove(key, &err), &err);
	write_text(json, "{\"thingName\":\"a\",\"endpoint\":\"localhost\",\"port\":1}");
	assert_refused(options, IOT_NOT_FOUND, "private.key");
}

UNIT_MAIN("sim/device", set_up, tear_down, {"no-job", test_no_job}, {"good-update", test_good_update},
	  {"bad-updates", test_bad_updates}, {"kill-and-resume", test_kill_and_resume},
	  {"broker-restarts", test_broker_restarts}, {"kill-at-any-moment", test_kill_at_any_moment},
	  {"faults-end-well", test_faults_end_well}, {"signals-end-it", test_signals_end_it}, {"fleet", test_fleet},
	  {"bad-folders", test_bad_folders})
