/*
 * The agent against a cloud that the test plays by hand: what it asks, what it
 * does with answers that are wrong, late, double or missing, and how it reports.
 */
#include "iotctl/base.h"
#include "iotctl/streamcbor.h"
#include "iotctl/text.h"
#include "sim/agent.h"
#include "sim/jobdoc.h"
#include "unit.h"

#include <unistd.h>

#define PREFIX "$aws/things/pump-1/"
enum { SENT_MAX = 4000, IMAGE_SIZE = 40000, BLOCK = 256, WINDOW = 8, TIMEOUT = 1000, TEST_TIMEOUT = 60000 };

static char *dir, *sim_dir, *factory, *update;
static struct iot_key *key, *other_key;
static struct sim_slots slots;
static struct sim_booted booted;
static struct sim_agent *agent;
static struct iot_image_signature signature;
static int64_t now;

static struct {
	char *topic;
	char *payload;
	size_t len;
	int qos;
} sent[SENT_MAX];
static size_t sent_count, read_count; /* read_count: looked at by the test */
static char events[4096];

static bool port_publish(void *data, const char *topic, const void *payload, size_t len, int qos)
{
	(void)data;
	if (sent_count == SENT_MAX)
		abort();
	sent[sent_count].topic = iot_strdup(topic);
	sent[sent_count].payload = iot_strndup(payload, len);
	memcpy(sent[sent_count].payload = iot_realloc(sent[sent_count].payload, len + 1), payload, len);
	sent[sent_count].payload[len] = '\0';
	sent[sent_count].len = len;
	sent[sent_count++].qos = qos;
	return true;
}

static void port_state(void *data, json_t *state)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(state);

	port_publish(data, "pump/pump-1/state", text, strlen(text), 1);
	json_decref(state);
}

static bool port_subscribe(void *data, const char *filter, int qos)
{
	return port_publish(data, "SUBSCRIBE", filter, strlen(filter), qos);
}

static void port_event(void *data, const char *name, const char *detail)
{
	size_t len = strlen(events);

	(void)data, (void)detail;
	snprintf(events + len, sizeof(events) - len, "%s ", name);
}

static void write_image(const char *path, const char *version, enum iot_sim_behaviour behaviour)
{
	struct iot_sim_firmware firmware = {.size = IMAGE_SIZE, .behaviour = behaviour};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_sim_version_parse(version, &firmware, &err), &err);
	ASSERT_OK(iot_sim_firmware_write(path, &firmware, &err), &err);
	ASSERT_OK(iot_image_sign_file(path, key, NULL, false, &signature, &err), &err);
}

static void boot_with(struct sim_faults faults, enum sim_reset reset)
{
	struct iot_error err = IOT_ERROR_INIT;
	const struct sim_agent_options options = {
		.thing = "pump-1",
		.slots = &slots,
		.booted = &booted,
		.codesign_key = key,
		.block_size = BLOCK,
		.window = WINDOW,
		.request_timeout_ms = TIMEOUT,
		.test_timeout_ms = TEST_TIMEOUT,
		.faults = faults,
		.port = {port_publish, port_state, port_subscribe, port_event, NULL},
	};

	sim_agent_free(agent);
	ASSERT_OK(sim_slots_boot(&slots, reset, false, &booted, &err), &err);
	agent = sim_agent_new(&options, now);
}

static void boot(void)
{
	boot_with((struct sim_faults){0}, SIM_RESET_SOFT);
}

static void forget_sent(void)
{
	for (size_t i = 0; i < sent_count; i++) {
		free(sent[i].topic);
		free(sent[i].payload);
	}
	sent_count = read_count = 0;
}

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	dir = unit_mkdtemp();
	sim_dir = iot_path(dir, "sim");
	factory = iot_path(dir, "factory-image.bin");
	update = iot_path(dir, "update.bin");
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &other_key, &err), &err);
	write_image(factory, "1.0.0", IOT_SIM_OK);
	write_image(update, "1.1.0", IOT_SIM_OK);
	now = 1000000;
	events[0] = '\0';
	ASSERT_OK(sim_slots_open(sim_dir, factory, &slots, &err), &err);
	boot();
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	sim_agent_free(agent);
	agent = NULL;
	forget_sent();
	sim_slots_release(&slots);
	iot_key_free(key);
	iot_key_free(other_key);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(sim_dir);
	free(factory);
	free(update);
}

/* The next thing said on a topic, from where the test has read; SIZE_MAX if there is none. */
static size_t next_on(const char *topic)
{
	while (read_count < sent_count) {
		size_t i = read_count++;

		if (strcmp(sent[i].topic, topic) == 0)
			return i;
	}
	return SIZE_MAX;
}

static size_t count_on(const char *topic)
{
	size_t count = 0;

	for (size_t i = read_count; i < sent_count; i++)
		count += strcmp(sent[i].topic, topic) == 0;
	return count;
}

static json_t *json_of(size_t i)
{
	json_t *value = NULL;

	if (i != SIZE_MAX)
		(void)!iot_json_parse(sent[i].payload, sent[i].len, "sent", &value, NULL);
	return value;
}

static void say(const char *topic, const char *payload)
{
	sim_agent_message(agent, topic, payload, strlen(payload), now);
}

/* Answer the request at index i, with its token and more members. */
static void answer(size_t i, const char *kind, json_t *reply)
{
	IOT_JSON request = json_of(i);
	IOT_JSON owned = reply;
	IOT_CLEAN(iot_free_p) char *topic = i != SIZE_MAX ? iot_strf("%s/%s", sent[i].topic, kind) : iot_strdup("none");
	IOT_CLEAN(iot_free_p) char *text = NULL;

	CU_ASSERT_PTR_NOT_NULL(request);
	iot_json_set_str(owned, "clientToken", iot_json_str(request, "clientToken", NULL));
	text = iot_json_text(owned);
	say(topic, text);
}

static json_t *document(const char *job_id)
{
	return json_pack("{s:s,s:{s:{s:[s],s:s,s:[{s:s,s:i,s:i,s:s,s:s}]}}}", "jobId", job_id, "jobDocument", "afr_ota",
			 "protocols", "MQTT", "streamname", "stream-1", "files", "filepath", "/fw", "filesize",
			 IMAGE_SIZE, "fileid", 3, "certfile", "codesign.pem", "sig-sha256-ecdsa", signature.signature);
}

static json_t *execution(const char *job_id)
{
	return json_pack("{s:i,s:o}", "timestamp", 1, "execution", document(job_id));
}

static json_t *testing(const char *job_id, const char *stage, const char *updated_by)
{
	json_t *reply = execution(job_id);

	json_object_set_new(json_object_get(reply, "execution"), "statusDetails",
			    json_pack("{s:s,s:s}", "self_test", stage, "updatedBy", updated_by));
	return reply;
}

static void refuse(size_t i, const char *code)
{
	answer(i, "rejected", json_pack("{s:s,s:s}", "code", code, "message", "no"));
}

static void assert_detail(size_t i, const char *status, const char *name, const char *part)
{
	IOT_JSON update_json = json_of(i);
	const char *value = iot_json_str(json_object_get(update_json, "statusDetails"), name, "");

	CU_ASSERT_STRING_EQUAL(iot_json_str(update_json, "status", ""), status);
	if (strstr(value, part) == NULL)
		fprintf(stderr, "\n%s is '%s', not '%s'\n", name, value, part);
	ASSERT_CONTAINS(value, part);
}

static void send_block(uint32_t file, uint32_t block, const uint8_t *data, size_t len)
{
	uint8_t message[IOT_STREAM_HEAD_MAX + 1024];
	size_t head = iot_stream_data_head(message, NULL, 0, file, block, (uint32_t)len);

	memcpy(message + head, data, len);
	sim_agent_message(agent, PREFIX "streams/stream-1/data/cbor", message, head + len, now);
}

static const uint8_t *image_bytes(void)
{
	static uint8_t bytes[IMAGE_SIZE];
	FILE *file = fopen(update, "rb");

	CU_ASSERT_EQUAL(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
	fclose(file);
	return bytes;
}

static void send_good(uint32_t block)
{
	uint32_t len = (block + 1) * BLOCK <= IMAGE_SIZE ? BLOCK : IMAGE_SIZE - block * BLOCK;

	send_block(3, block, image_bytes() + block * BLOCK, len);
}

/* Blocks asked for in request i, into list; how many. */
static size_t asked(size_t i, uint32_t list[64])
{
	struct iot_stream_get get;
	size_t count = 0;

	CU_ASSERT_EQUAL(iot_stream_get_parse(sent[i].payload, sent[i].len, &get, NULL), IOT_OK);
	CU_ASSERT_PTR_NULL(iot_stream_get_check(&get));
	for (uint32_t b = 0; b < get.bitmap_len * 8; b++) {
		if ((get.bitmap[b / 8] >> (b % 8) & 1) != 0 && count < get.count && count < 64)
			list[count++] = (uint32_t)get.offset + b;
	}
	CU_ASSERT_EQUAL(count, get.count);
	return count;
}

/* Answer requests for blocks until there are none, or `limit` blocks were sent. */
static size_t serve_stream(size_t limit, bool backwards)
{
	size_t served = 0, i;
	uint32_t list[64];

	while (served < limit && (i = next_on(PREFIX "streams/stream-1/get/cbor")) != SIZE_MAX) {
		size_t count = asked(i, list);

		for (size_t k = 0; k < count && served < limit; k++, served++)
			send_good(list[backwards ? count - 1 - k : k]);
	}
	return served;
}

static void start_download(void)
{
	sim_agent_online(agent, now);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", execution("job-1"));
}

/* Up to a verified image and the answer to self_test ready. */
static void download(void)
{
	start_download();
	serve_stream(SIZE_MAX, false);
	read_count = 0;
	for (size_t i; (i = next_on(PREFIX "jobs/job-1/update")) != SIZE_MAX;) {
		IOT_JSON body = json_of(i);

		if (iot_json_str(json_object_get(body, "statusDetails"), "self_test", NULL) == NULL)
			continue;
		assert_detail(i, "IN_PROGRESS", "self_test", "ready");
		assert_detail(i, "IN_PROGRESS", "updatedBy", "0x01000000");
		CU_ASSERT_EQUAL(sent[i].qos, 1);
		answer(i, "accepted", json_object());
		return;
	}
	CU_FAIL("no self_test ready");
}

static void test_asks_and_idles(void)
{
	IOT_JSON state = NULL;
	size_t i;

	sim_agent_online(agent, now);
	i = next_on("pump/pump-1/state");
	state = json_of(i);
	CU_ASSERT_STRING_EQUAL(iot_json_str(state, "firmware", ""), "1.0.0");
	CU_ASSERT_STRING_EQUAL(iot_json_str(state, "boot", ""), "power");
	CU_ASSERT_STRING_EQUAL(iot_json_str(state, "slot", ""), "factory");
	i = next_on("SUBSCRIBE");
	CU_ASSERT_STRING_EQUAL(sent[i].payload, PREFIX "jobs/notify-next");
	i = next_on(PREFIX "jobs/start-next");
	CU_ASSERT_FALSE(sim_agent_idle(agent));
	answer(i, "accepted", json_object());
	CU_ASSERT_TRUE(sim_agent_idle(agent));
	say(PREFIX "jobs/notify-next", "{\"timestamp\":1}");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0);
	say(PREFIX "jobs/notify-next", "{\"timestamp\":1,\"execution\":{\"jobId\":\"job-1\"}}");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 1);
}

static void test_repeats_with_the_same_token(void)
{
	IOT_JSON first = NULL;
	IOT_JSON second = NULL;

	sim_agent_online(agent, now);
	first = json_of(next_on(PREFIX "jobs/start-next"));
	CU_ASSERT_EQUAL(sim_agent_deadline(agent), now + TIMEOUT);
	now += TIMEOUT;
	sim_agent_tick(agent, now);
	second = json_of(next_on(PREFIX "jobs/start-next"));
	CU_ASSERT_STRING_EQUAL(iot_json_str(first, "clientToken", "a"), iot_json_str(second, "clientToken", "b"));
	CU_ASSERT_TRUE(sim_agent_deadline(agent) > now + TIMEOUT); /* and less and less often */
	/* Answers to somebody else, or to an earlier life. */
	say(PREFIX "jobs/start-next/accepted", "{\"clientToken\":\"1:deadbeef\",\"timestamp\":1}");
	say(PREFIX "jobs/start-next/accepted", "{\"timestamp\":1}");
	say(PREFIX "jobs/start-next/accepted", "not json");
	say(PREFIX "jobs/start-next/accepted", "[]");
	CU_ASSERT_FALSE(sim_agent_idle(agent));
	/* Without a connection nothing is sent; with a new one the request goes on. */
	sim_agent_offline(agent);
	now += 10 * TIMEOUT;
	sim_agent_tick(agent, now);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0);
	sim_agent_online(agent, now);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 1);
}

static void test_whole_update(void)
{
	size_t i;

	download();
	CU_ASSERT_EQUAL(sim_agent_wish(agent), SIM_RESTART);
	forget_sent();
	boot();
	CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_TEST);
	sim_agent_online(agent, now);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", testing("job-1", "ready", "0x01000000"));
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "IN_PROGRESS", "self_test", "active");
	assert_detail(i, "IN_PROGRESS", "updatedBy", "0x01010000");
	answer(i, "accepted", json_object());
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "SUCCEEDED", "reason", "accepted v1.1.0");
	assert_detail(i, "SUCCEEDED", "updatedBy", "v1.0.0");
	CU_ASSERT_EQUAL(sent[i].qos, 1);
	CU_ASSERT_FALSE(sim_agent_idle(agent));
	/* The report survives a power cut before its answer. */
	boot_with((struct sim_faults){0}, SIM_RESET_POWER);
	CU_ASSERT_EQUAL(booted.slot, SIM_A);
	sim_agent_online(agent, now);
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "SUCCEEDED", "reason", "accepted v1.1.0");
	answer(i, "accepted", json_object());
	answer(next_on(PREFIX "jobs/start-next"), "accepted", json_object());
	CU_ASSERT_TRUE(sim_agent_idle(agent));
	ASSERT_CONTAINS(events, "signature ready test accepted reported idle");
}

static void test_blocks_in_any_order(void)
{
	uint32_t list[64];
	size_t first, served;

	start_download();
	first = next_on(PREFIX "streams/stream-1/get/cbor");
	CU_ASSERT_EQUAL(asked(first, list), WINDOW);
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 0);
	/* Half of the window must have come before more is asked for. */
	send_good(list[7]);
	send_good(list[5]);
	send_good(list[5]);
	send_good(list[1]);
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 0);
	send_good(list[0]);
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 1);
	send_good(list[2]);
	send_good(list[3]);
	send_good(list[4]);
	send_good(list[6]);
	served = serve_stream(SIZE_MAX, true);
	CU_ASSERT_EQUAL(served + WINDOW, (IMAGE_SIZE + BLOCK - 1) / BLOCK); /* nothing was asked for twice */
	ASSERT_CONTAINS(events, "signature");
}

static void test_wrong_blocks(void)
{
	uint8_t junk[1024];
	uint32_t list[64];
	size_t i;

	memset(junk, 0xff, sizeof(junk));
	start_download();
	i = next_on(PREFIX "streams/stream-1/get/cbor");
	asked(i, list);
	send_block(4, list[0], junk, BLOCK); /* another file */
	send_block(3, 157, junk, BLOCK);     /* beyond the end */
	send_block(3, UINT32_MAX, junk, BLOCK);
	send_block(3, list[0], junk, BLOCK + 1); /* too long */
	send_block(3, list[0], junk, BLOCK - 1); /* too short */
	send_block(3, list[0], junk, 0);
	send_block(3, 156, junk, BLOCK); /* the last one is shorter */
	sim_agent_message(agent, PREFIX "streams/stream-1/data/cbor", junk, 100, now);
	sim_agent_message(agent, PREFIX "streams/other/data/cbor", junk, 100, now);
	read_count = i;
	serve_stream(SIZE_MAX, false);
	ASSERT_CONTAINS(events, "signature");
	read_count = 0;
	while ((i = next_on(PREFIX "jobs/job-1/update")) != SIZE_MAX) {
		IOT_JSON body = json_of(i);

		CU_ASSERT_STRING_EQUAL(iot_json_str(body, "status", ""), "IN_PROGRESS");
	}
}

static void test_lost_blocks_are_asked_for_again(void)
{
	uint32_t list[64];
	size_t i;

	start_download();
	asked(next_on(PREFIX "streams/stream-1/get/cbor"), list);
	send_good(0);
	now += TIMEOUT;
	sim_agent_tick(agent, now);
	i = next_on(PREFIX "streams/stream-1/get/cbor");
	CU_ASSERT_EQUAL(asked(i, list), WINDOW);
	CU_ASSERT_EQUAL(list[0], 1);
	/* A connection that broke: the same at once. */
	sim_agent_offline(agent);
	sim_agent_online(agent, now);
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 1);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0);
	/* Nothing for ever: it gives up, and says so. */
	for (int k = 0; k < 100 && strstr(events, "failed") == NULL; k++) {
		now = sim_agent_deadline(agent);
		sim_agent_tick(agent, now);
	}
	read_count = 0;
	while ((i = next_on(PREFIX "jobs/job-1/update")) != SIZE_MAX) {
		IOT_JSON body = json_of(i);

		if (strcmp(iot_json_str(body, "status", ""), "FAILED") == 0)
			break;
	}
	assert_detail(i, "FAILED", "reason", "0x0000000e");
}

static void test_resumes_after_power_cut(void)
{
	const size_t blocks = (IMAGE_SIZE + BLOCK - 1) / BLOCK;
	size_t served;

	start_download();
	serve_stream(100, false);
	forget_sent();
	boot(); /* frees the agent, which saves its map as an orderly end does */
	start_download();
	served = serve_stream(SIZE_MAX, false);
	CU_ASSERT_EQUAL(served, blocks - 100);
	ASSERT_CONTAINS(events, "signature");
	ASSERT_CONTAINS(events, "download");
}

static void test_other_image_does_not_resume(void)
{
	size_t served;

	start_download();
	serve_stream(100, false);
	forget_sent();
	write_image(update, "1.2.0", IOT_SIM_OK);
	boot();
	start_download();
	served = serve_stream(SIZE_MAX, false);
	CU_ASSERT_EQUAL(served, (IMAGE_SIZE + BLOCK - 1) / BLOCK);
}

static size_t find_failed(void)
{
	size_t i;

	read_count = 0;
	while ((i = next_on(PREFIX "jobs/job-1/update")) != SIZE_MAX) {
		IOT_JSON body = json_of(i);

		if (strcmp(iot_json_str(body, "status", ""), "FAILED") == 0)
			return i;
	}
	return SIZE_MAX;
}

static void test_wrong_signature(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	size_t i;

	ASSERT_OK(iot_image_sign_file(update, other_key, NULL, false, &signature, &err), &err);
	start_download();
	serve_stream(SIZE_MAX, false);
	i = find_failed();
	assert_detail(i, "FAILED", "reason", "0x000000e3: signature check failed");
	CU_ASSERT_EQUAL(sim_agent_wish(agent), SIM_STAY);
	/* Not taken for a complete download the next time. */
	answer(i, "accepted", json_object());
	answer(next_on(PREFIX "jobs/start-next"), "accepted", execution("job-1"));
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 1);
}

static void assert_document_fails(json_t *reply, const char *reason)
{
	size_t i;

	forget_sent();
	boot();
	sim_agent_online(agent, now);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", reply);
	i = next_on(PREFIX "jobs/job-1/update");
	CU_ASSERT_NOT_EQUAL(i, SIZE_MAX);
	assert_detail(i, "FAILED", "reason", reason);
	answer(i, "accepted", json_object());
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 1);
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "");
}

static json_t *changed(const char *key_name, json_t *value, bool in_file)
{
	json_t *reply = execution("job-1");
	json_t *ota = json_object_get(json_object_get(json_object_get(reply, "execution"), "jobDocument"), "afr_ota");
	json_t *object = in_file ? json_array_get(json_object_get(ota, "files"), 0) : ota;

	if (value != NULL)
		json_object_set_new(object, key_name, value);
	else
		json_object_del(object, key_name);
	return reply;
}

static void test_malformed_documents(void)
{
	json_t *two = json_pack("[{},{}]");

	assert_document_fails(changed("protocols", json_pack("[s]", "HTTP"), false), "0x0000000d");
	assert_document_fails(changed("protocols", NULL, false), "0x0000000c");
	assert_document_fails(changed("streamname", json_string("a/b"), false), "bad streamname");
	assert_document_fails(changed("streamname", json_string("#"), false), "bad streamname");
	assert_document_fails(changed("streamname", json_integer(1), false), "bad streamname");
	assert_document_fails(changed("files", two, false), "exactly one file");
	assert_document_fails(changed("files", json_array(), false), "exactly one file");
	assert_document_fails(changed("filesize", json_integer(0), true), "bad filesize");
	assert_document_fails(changed("filesize", json_integer(-1), true), "bad filesize");
	assert_document_fails(changed("filesize", json_string("7"), true), "bad filesize");
	assert_document_fails(changed("filesize", json_integer(SIM_SLOT_SIZE + 1), true), "0x00000017");
	assert_document_fails(changed("filesize", json_integer(INT64_MAX), true), "0x00000017");
	assert_document_fails(changed("fileid", json_integer(256), true), "bad fileid");
	assert_document_fails(changed("fileid", NULL, true), "bad fileid");
	assert_document_fails(changed("filepath", NULL, true), "filepath");
	assert_document_fails(changed("certfile", NULL, true), "certfile");
	assert_document_fails(changed("sig-sha256-ecdsa", NULL, true), "0x000000e3");
	assert_document_fails(changed("sig-sha256-ecdsa", json_integer(1), true), "0x000000e3");
	assert_document_fails(json_pack("{s:{s:s}}", "execution", "jobId", "job-1"), "no afr_ota");
	assert_document_fails(json_pack("{s:{s:s,s:s}}", "execution", "jobId", "job-1", "jobDocument", "x"),
			      "no afr_ota");
	/* In the self test of nothing. */
	assert_document_fails(testing("job-1", "active", "0x00090000"), "0x00000011");
}

static void test_foreign_replies(void)
{
	static const char *const strange[] = {"{\"execution\":{\"jobId\":\"a/../b\"}}", "{\"execution\":{\"jobId\":7}}",
					      "{\"execution\":\"x\"}", "{\"execution\":null}", "{\"execution\":{}}"};

	for (size_t i = 0; i < IOT_LENGTH(strange); i++) {
		json_t *reply = json_loads(strange[i], 0, NULL);

		forget_sent();
		boot();
		sim_agent_online(agent, now);
		answer(next_on(PREFIX "jobs/start-next"), "accepted", reply);
		CU_ASSERT_TRUE(sim_agent_idle(agent));
		for (size_t k = 0; k < sent_count; k++)
			CU_ASSERT_PTR_NULL(strstr(sent[k].topic, "/update"));
	}
}

static void test_sha1_is_refused(void)
{
	json_t *reply = changed("sig-sha256-ecdsa", NULL, true);
	json_t *ota = json_object_get(json_object_get(json_object_get(reply, "execution"), "jobDocument"), "afr_ota");

	json_object_set_new(json_array_get(json_object_get(ota, "files"), 0), "sig-sha1-rsa",
			    json_string(signature.signature));
	assert_document_fails(reply, "0x000000e3");
}

static void test_not_an_image_of_ours(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *bytes = iot_alloc(IMAGE_SIZE);

	memset(bytes, 'x', IMAGE_SIZE);
	ASSERT_OK(iot_fs_write(update, 0644, bytes, IMAGE_SIZE, &err), &err);
	free(bytes);
	ASSERT_OK(iot_image_sign_file(update, key, NULL, false, &signature, &err), &err);
	start_download();
	serve_stream(SIZE_MAX, false);
	assert_detail(find_failed(), "FAILED", "reason", "0x000000e8");
}

/* Boot the downloaded image for its test and hand it its job. */
static void begin_test(const char *updated_by)
{
	download();
	forget_sent();
	boot();
	CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_TEST);
	sim_agent_online(agent, now);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", testing("job-1", "ready", updated_by));
}

static void assert_reverted(void)
{
	CU_ASSERT_EQUAL(sim_agent_wish(agent), SIM_RESTART);
	boot();
	CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_REVERT);
	CU_ASSERT_EQUAL(booted.slot, SIM_FACTORY);
}

static void test_self_test_fails(void)
{
	size_t i;

	write_image(update, "1.1.0", IOT_SIM_FAIL_TEST);
	begin_test("0x01000000");
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "FAILED", "reason", "self test failed");
	CU_ASSERT_EQUAL(sim_agent_wish(agent), SIM_STAY); /* it says so before it goes */
	answer(i, "accepted", json_object());
	assert_reverted();
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "");
}

static void test_self_test_fails_unheard(void)
{
	write_image(update, "1.1.0", IOT_SIM_FAIL_TEST);
	begin_test("0x01000000");
	for (int k = 0; k < 50 && sim_agent_wish(agent) == SIM_STAY; k++) {
		now = sim_agent_deadline(agent);
		sim_agent_tick(agent, now);
	}
	assert_reverted();
	sim_agent_online(agent, now);
	assert_detail(next_on(PREFIX "jobs/job-1/update"), "FAILED", "reason", "self test failed");
}

static void test_older_and_same_versions(void)
{
	size_t i;

	write_image(update, "1.0.0", IOT_SIM_OK);
	begin_test("0x01000000");
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "FAILED", "reason", "0x00000010");
	answer(i, "accepted", json_object());
	assert_reverted();
	forget_sent();
	boot();
	write_image(update, "0.9.0", IOT_SIM_OK);
	begin_test("16777216"); /* as the OTA library reads it back */
	assert_detail(next_on(PREFIX "jobs/job-1/update"), "FAILED", "reason", "0x0000000f");
}

static void test_job_gone_during_test(void)
{
	download();
	forget_sent();
	boot();
	sim_agent_online(agent, now);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", json_object());
	assert_reverted();
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, ""); /* nobody waits for it */
}

static void test_activation_refused(void)
{
	begin_test("0x01000000");
	refuse(next_on(PREFIX "jobs/job-1/update"), "InvalidStateTransition");
	assert_reverted();
}

static void test_cloud_away_during_test(void)
{
	download();
	forget_sent();
	boot();
	now += TEST_TIMEOUT;
	CU_ASSERT_EQUAL(sim_agent_deadline(agent), now);
	sim_agent_tick(agent, now);
	assert_reverted();
	sim_agent_online(agent, now);
	assert_detail(next_on(PREFIX "jobs/job-1/update"), "FAILED", "reason", "took too long");
}

static void test_crash_is_reported(void)
{
	download();
	forget_sent();
	boot();
	boot_with((struct sim_faults){0}, SIM_RESET_CRASH);
	CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_REVERT);
	sim_agent_online(agent, now);
	assert_detail(next_on(PREFIX "jobs/job-1/update"), "FAILED", "reason", "reverted: image crashed");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0); /* the report first */
}

static void test_cancelled_while_downloading(void)
{
	start_download();
	serve_stream(20, false);
	say(PREFIX "jobs/notify-next", "{\"timestamp\":1,\"execution\":{\"jobId\":\"job-1\"}}");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0); /* still the same */
	say(PREFIX "jobs/notify-next", "{\"timestamp\":1}");
	answer(next_on(PREFIX "jobs/start-next"), "accepted", json_object());
	CU_ASSERT_TRUE(sim_agent_idle(agent));
	ASSERT_CONTAINS(events, "gone");
}

static void test_progress_update_refused(void)
{
	size_t i;

	start_download();
	send_good(0);
	i = next_on(PREFIX "jobs/job-1/update");
	assert_detail(i, "IN_PROGRESS", "receive", "1/157");
	CU_ASSERT_EQUAL(sent[i].qos, 0);
	say(PREFIX "jobs/job-1/update/rejected", "{\"code\":\"RequestThrottled\"}");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0);
	say(PREFIX "jobs/job-1/update/rejected", "{\"code\":\"InvalidStateTransition\"}");
	say(PREFIX "jobs/job-1/update/rejected", "{\"code\":\"InvalidStateTransition\"}");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 1);
	answer(next_on(PREFIX "jobs/start-next"), "accepted", execution("job-2"));
	ASSERT_CONTAINS(events, "gone job download");
}

static void test_report_refused_or_throttled(void)
{
	size_t i;

	start_download();
	serve_stream(SIZE_MAX, false);
	read_count = 0;
	sim_agent_free(agent);
	agent = NULL;
	const struct sim_report report = {.job_id = "job-1", .status = "FAILED", .reason = "r"};
	CU_ASSERT_EQUAL(sim_slots_set_report(&slots, &report, NULL), IOT_OK);
	forget_sent();
	boot();
	sim_agent_online(agent, now);
	i = next_on(PREFIX "jobs/job-1/update");
	refuse(i, "RequestThrottled");
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "job-1");
	now = sim_agent_deadline(agent);
	sim_agent_tick(agent, now);
	i = next_on(PREFIX "jobs/job-1/update");
	CU_ASSERT_NOT_EQUAL(i, SIZE_MAX);
	refuse(i, "TerminalStateReached");
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "");
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 1);
}

static void test_faults(void)
{
	size_t i;

	boot_with((struct sim_faults){.silent = true}, SIM_RESET_SOFT);
	sim_agent_online(agent, now);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/start-next"), 0);
	forget_sent();
	boot_with((struct sim_faults){.stuck = true}, SIM_RESET_SOFT);
	start_download();
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 0);
	CU_ASSERT_FALSE(sim_agent_idle(agent));
	forget_sent();
	boot_with((struct sim_faults){.twice = true, .foreign_job = true, .out_of_range = true}, SIM_RESET_SOFT);
	sim_agent_online(agent, now);
	i = next_on(PREFIX "jobs/start-next");
	answer(i, "accepted", execution("job-1"));
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 5);
	send_good(0);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/job-1/update"), 2);
	CU_ASSERT_EQUAL(count_on(PREFIX "jobs/not-my-job/update"), 2);
	forget_sent();
	boot_with((struct sim_faults){.slow_ms = 500}, SIM_RESET_SOFT);
	start_download();
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 0);
	now += 500;
	sim_agent_tick(agent, now);
	CU_ASSERT_EQUAL(count_on(PREFIX "streams/stream-1/get/cbor"), 1);
}

UNIT_MAIN("sim/agent", set_up, tear_down, {"asks-and-idles", test_asks_and_idles},
	  {"repeats-with-the-same-token", test_repeats_with_the_same_token}, {"whole-update", test_whole_update},
	  {"blocks-in-any-order", test_blocks_in_any_order}, {"wrong-blocks", test_wrong_blocks},
	  {"lost-blocks-are-asked-for-again", test_lost_blocks_are_asked_for_again},
	  {"resumes-after-power-cut", test_resumes_after_power_cut},
	  {"other-image-does-not-resume", test_other_image_does_not_resume}, {"wrong-signature", test_wrong_signature},
	  {"malformed-documents", test_malformed_documents}, {"foreign-replies", test_foreign_replies},
	  {"sha1-is-refused", test_sha1_is_refused}, {"not-an-image-of-ours", test_not_an_image_of_ours},
	  {"self-test-fails", test_self_test_fails}, {"self-test-fails-unheard", test_self_test_fails_unheard},
	  {"older-and-same-versions", test_older_and_same_versions},
	  {"job-gone-during-test", test_job_gone_during_test}, {"activation-refused", test_activation_refused},
	  {"cloud-away-during-test", test_cloud_away_during_test}, {"crash-is-reported", test_crash_is_reported},
	  {"cancelled-while-downloading", test_cancelled_while_downloading},
	  {"progress-update-refused", test_progress_update_refused},
	  {"report-refused-or-throttled", test_report_refused_or_throttled}, {"faults", test_faults})
