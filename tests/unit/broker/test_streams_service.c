/* File streams as devices use them: blocks by number and by bitmap, the limits, and who may have what. */
#include "services_fixture.h"

#include "iotctl/streamcbor.h"

#include <sys/stat.h>
#include <unistd.h>

#define STREAM "$aws/things/pump-1/streams/s1/"
#define FILE_SIZE 1000

static struct streams streams;
static char image[65];

static void make_stream(const char *thing)
{
	add_thing(thing);
	DO("CreateJob", "",
	   "{'jobId': 'job-%s', 'targets': ['" ARN "thing/%s'], 'document': '{\\\"afr_ota\\\":"
	   "{\\\"streamname\\\":\\\"s1\\\",\\\"protocols\\\":[\\\"MQTT\\\"],\\\"files\\\":[]}}'}",
	   thing, thing);
}

static void begin(void)
{
	services_set_up();
	streams_init(&streams, &port);
	add_image('x', FILE_SIZE, image);
	DO("CreateStream", "",
	   "{'streamId': 's1', 'description': 'new', 'roleArn': '" ROLE "', 'files': [{'fileId': 3,"
	   " 's3Location': {'bucket': 'demo', 'key': '%s'}}]}",
	   image);
	make_stream("pump-1");
}

static void end(void)
{
	streams_release(&streams);
	services_tear_down();
}

static void ask_as(const char *client, const char *topic, const void *payload, size_t len)
{
	const struct broker_request request = {
		.client = client, .thing = client, .topic = topic, .payload = payload, .len = len, .qos = 0};

	forget_sent();
	streams_answer(&streams, &request);
}

static void ask(const struct iot_stream_get *get)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_STREAM_REQUEST_MAX);

	iot_stream_get_encode(&text, get);
	ask_as("pump-1", STREAM "get/cbor", text.data, text.len);
	iot_buf_release(&text);
}

/* A usual request: file 3, blocks of 256. */
static struct iot_stream_get usual(uint64_t offset, uint64_t count)
{
	return (struct iot_stream_get){.has_file = true,
				       .file = 3,
				       .has_size = true,
				       .size = 256,
				       .has_offset = true,
				       .offset = offset,
				       .has_count = true,
				       .count = count};
}

/* The blocks that were sent, as "0:256 3:232 ", each checked. New memory. */
static char *blocks(void)
{
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_data data;

	iot_buf_adds(&text, "");
	for (size_t i = 0; i < sent_count; i++) {
		CU_ASSERT_STRING_EQUAL(sent[i].topic, STREAM "data/cbor");
		CU_ASSERT_EQUAL(sent[i].qos, '0');
		ASSERT_OK(iot_stream_data_parse(sent[i].payload, sent[i].len, &data, &err), &err);
		CU_ASSERT_EQUAL(data.file, 3);
		CU_ASSERT(data.payload_len > 0 && data.payload[0] == 'x' && data.payload[data.payload_len - 1] == 'x');
		iot_buf_addf(&text, "%u:%zu ", data.block, data.payload_len);
	}
	return iot_buf_detach(&text);
}

static void expect_blocks_at(int line, const struct iot_stream_get *get, const char *expected)
{
	char *got;

	ask(get);
	got = blocks();
	if (strcmp(got, expected) != 0)
		fprintf(stderr, "\nline %d: got blocks '%s'\n", line, got);
	CU_ASSERT_STRING_EQUAL(got, expected);
	free(got);
}
#define EXPECT_BLOCKS(get, expected) expect_blocks_at(__LINE__, get, expected)

static void expect_rejected_at(int line, const char *code)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_rejected rejected = {.code = ""};

	CU_ASSERT_EQUAL(sent_count, 1);
	if (sent_count != 1)
		return;
	CU_ASSERT_STRING_EQUAL(sent[0].topic, STREAM "rejected/cbor");
	ASSERT_OK(iot_stream_rejected_parse(sent[0].payload, sent[0].len, &rejected, &err), &err);
	if (strcmp(rejected.code, code) != 0)
		fprintf(stderr, "\nline %d: rejected with %s: %s\n", line, rejected.code, rejected.message);
	CU_ASSERT_STRING_EQUAL(rejected.code, code);
	CU_ASSERT_PTR_NULL(strstr(rejected.message, dir));
}
#define EXPECT_REJECTED(get, code)                                                                                     \
	do {                                                                                                           \
		ask(get);                                                                                              \
		expect_rejected_at(__LINE__, code);                                                                    \
	} while (0)

static void test_blocks(void)
{
	struct iot_stream_get get = usual(0, 1);

	EXPECT_BLOCKS(&get, "0:256 ");
	get = usual(1, 2);
	EXPECT_BLOCKS(&get, "1:256 2:256 ");
	/* The last one is shorter, and behind it is nothing. */
	get = usual(2, 100);
	EXPECT_BLOCKS(&get, "2:256 3:232 ");
	get.has_offset = false;
	get.offset = 0;
	EXPECT_BLOCKS(&get, "0:256 1:256 2:256 3:232 ");
	get = usual(0, 1);
	get.size = 4096;
	EXPECT_BLOCKS(&get, "0:1000 ");
	get.size = 1000;
	get.count = 5;
	EXPECT_BLOCKS(&get, "0:1000 ");
	CU_ASSERT_EQUAL(opened, 1);
}

static void test_bitmaps(void)
{
	static const uint8_t some[] = {0x0a}, far[] = {0x00, 0x00, 0xff}, none[] = {0x00},
			     odd[] = {0x4d, 0x51, 0x3d, 0x3d};
	struct iot_stream_get get = usual(0, 8);

	get.bitmap = some;
	get.bitmap_len = 1;
	EXPECT_BLOCKS(&get, "1:256 3:232 ");
	get.count = 1;
	EXPECT_BLOCKS(&get, "1:256 ");
	get.count = 0; /* not a limit when there is a bitmap */
	EXPECT_BLOCKS(&get, "1:256 3:232 ");
	get.has_count = false;
	EXPECT_BLOCKS(&get, "1:256 3:232 ");
	/* Relative to the offset. */
	get = usual(1, 8);
	get.bitmap = some;
	get.bitmap_len = 1;
	EXPECT_BLOCKS(&get, "2:256 ");
	/* The base64 text that one agent puts there: bit 0 of 'M' is set, so block o. */
	get = usual(2, 1);
	get.bitmap = odd;
	get.bitmap_len = sizeof(odd);
	EXPECT_BLOCKS(&get, "2:256 ");
	get = usual(0, 8);
	get.bitmap = none;
	get.bitmap_len = 1;
	EXPECT_REJECTED(&get, "InvalidRequest");
	get.bitmap = far;
	get.bitmap_len = sizeof(far);
	EXPECT_REJECTED(&get, "InvalidRequest");
}

static void test_limits(void)
{
	static uint8_t large[IOT_STREAM_BITMAP_MAX + 1];
	struct iot_stream_get get = usual(4, 1);

	EXPECT_REJECTED(&get, "OffsetOutOfBounds");
	get = usual(98305, 1);
	EXPECT_REJECTED(&get, "OffsetOutOfBounds");
	get = usual(UINT64_MAX, 1);
	EXPECT_REJECTED(&get, "OffsetOutOfBounds");
	get = usual(0, 98305);
	EXPECT_REJECTED(&get, "BlockCountLimitExceeded");
	get = usual(0, 0);
	EXPECT_REJECTED(&get, "InvalidRequest");
	get = usual(0, 1);
	get.size = 255;
	EXPECT_REJECTED(&get, "BlockSizeOutOfBounds");
	get.size = 131073;
	EXPECT_REJECTED(&get, "BlockSizeOutOfBounds");
	get.size = 131072; /* allowed, but no message holds it with its head */
	EXPECT_REJECTED(&get, "BlockSizeOutOfBounds");
	get = usual(0, 1);
	get.file = 256;
	EXPECT_REJECTED(&get, "InvalidRequest");
	get.file = 4;
	EXPECT_REJECTED(&get, "ResourceNotFound");
	get = usual(0, 1);
	get.bitmap = large;
	get.bitmap_len = sizeof(large);
	EXPECT_REJECTED(&get, "BlockBitmapLimitExceeded");
	get = usual(0, 1);
	get.has_version = true;
	get.version = 9;
	EXPECT_REJECTED(&get, "VersionMismatch");
	get = (struct iot_stream_get){0};
	EXPECT_REJECTED(&get, "InvalidRequest");
	ask_as("pump-1", STREAM "get/cbor", "\xa1", 1);
	expect_rejected_at(__LINE__, "InvalidCbor");
	ask_as("pump-1", STREAM "get/cbor", "", 0);
	expect_rejected_at(__LINE__, "InvalidCbor");
}

static void test_answer_is_bounded(void)
{
	struct iot_stream_get get = usual(0, 98304);
	char big[65];
	size_t bytes = 0;

	add_image('x', 500000, big);
	DO("UpdateStream", "",
	   "{'streamId': 's1', 'files': [{'fileId': 3, 's3Location': {'bucket': 'demo', 'key': '%s'}}]}", big);
	ask(&get);
	CU_ASSERT_EQUAL(sent_count, 512); /* 128 KB */
	for (size_t i = 0; i < sent_count; i++)
		bytes += sent[i].len;
	CU_ASSERT(bytes < 131072 + 512 * 32);
	get.size = 131000 - IOT_STREAM_HEAD_MAX;
	ask(&get);
	CU_ASSERT_EQUAL(sent_count, 1);
	CU_ASSERT(sent_count == 1 && sent[0].len <= 131072);
}

static void test_token(void)
{
	struct iot_stream_get get = usual(0, 1);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_data data;
	struct iot_stream_rejected rejected;
	char longest[80];

	get.token = "t-1";
	get.token_len = 3;
	ask(&get);
	CU_ASSERT_EQUAL(sent_count, 1);
	ASSERT_OK(iot_stream_data_parse(sent[0].payload, sent[0].len, &data, &err), &err);
	CU_ASSERT(data.token_len == 3 && memcmp(data.token, "t-1", 3) == 0);
	get.file = 9;
	ask(&get);
	ASSERT_OK(iot_stream_rejected_parse(sent[0].payload, sent[0].len, &rejected, &err), &err);
	CU_ASSERT(rejected.token_len == 3 && memcmp(rejected.token, "t-1", 3) == 0);
	memset(longest, 'c', sizeof(longest));
	get = usual(0, 1);
	get.token = longest;
	get.token_len = sizeof(longest);
	EXPECT_REJECTED(&get, "InvalidRequest");
}

static json_t *ask_json(const char *end_of_topic, const char *payload, const char *expected_topic)
{
	char *text = strdup(payload), *topic = iot_strf(STREAM "%s", end_of_topic);
	json_t *reply = NULL;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	ask_as("pump-1", topic, text, strlen(text));
	CU_ASSERT(sent_count > 0);
	if (sent_count > 0) {
		CU_ASSERT_STRING_EQUAL(sent[0].topic, expected_topic);
		reply = json_loadb(sent[0].payload, sent[0].len, 0, NULL);
		CU_ASSERT_PTR_NOT_NULL(reply);
	}
	free(text);
	free(topic);
	return reply;
}

static void test_json(void)
{
	static const struct {
		const char *request, *code;
	} bad[] = {
		{"{", "'InvalidJson'"},
		{"[]", "'InvalidRequest'"},
		{"{'f': 3}", "'InvalidRequest'"},
		{"{'f': '3', 'l': 256, 'n': 1}", "'InvalidRequest'"},
		{"{'f': 3, 'l': -256, 'n': 1}", "'InvalidRequest'"},
		{"{'f': 3, 'l': 256, 'b': 'zz'}", "'InvalidRequest'"},
		{"{'f': 3, 'l': 256, 'b': '123'}", "'InvalidRequest'"},
		{"{'f': 3, 'l': 256, 'n': 1, 'c': 7}", "'InvalidRequest'"},
		{"{'f': 3, 'l': 131072, 'n': 1}", "'BlockSizeOutOfBounds'"},
		{"{'f': 3, 'l': 256, 'n': 1, 'o': 4}", "'OffsetOutOfBounds'"},
		{"{'f': 3, 'l': 256, 'n': 1, 's': 5}", "'VersionMismatch'"},
	};
	struct iot_buf data = IOT_BUF_INIT(1000);
	json_t *reply;

	reply = ask_json("get/json", "{'s': 1, 'f': 3, 'l': 256, 'o': 3, 'n': 1, 'c': 'a\\\\b'}", STREAM "data/json");
	EXPECT(reply, "i", "3");
	EXPECT(reply, "l", "232");
	EXPECT(reply, "f", "3");
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(reply, "c")), "a\\b");
	CU_ASSERT_TRUE(iot_unbase64(json_string_value(json_object_get(reply, "p")),
				    json_string_length(json_object_get(reply, "p")), &data));
	CU_ASSERT_EQUAL(data.len, 232);
	iot_buf_release(&data);
	json_decref(reply);
	json_decref(ask_json("get/json", "{'f': 3, 'l': 256, 'b': '0B', 'n': 2}", STREAM "data/json"));
	CU_ASSERT_EQUAL(sent_count, 2);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		reply = ask_json("get/json", bad[i].request, STREAM "rejected/json");
		EXPECT(reply, "o", bad[i].code);
		json_decref(reply);
	}
}

static void test_describe(void)
{
	json_t *reply = ask_json("describe/json", "{'c': 'x'}", STREAM "description/json");
	static const uint8_t cbor[] = {0xa3, 0x61, 's',  0x01, 0x61, 'd',  0x63, 'n', 'e',  'w',  0x61,
				       'r',  0x81, 0xa2, 0x61, 'f',  0x03, 0x61, 'z', 0x19, 0x03, 0xe8};

	EXPECT(reply, "c", "'x'");
	EXPECT(reply, "s", "1");
	EXPECT(reply, "d", "'new'");
	EXPECT(reply, "r", "[{'f':3,'z':1000}]");
	json_decref(reply);
	ask_as("pump-1", STREAM "describe/cbor", "", 0);
	CU_ASSERT_EQUAL(sent_count, 1);
	CU_ASSERT_STRING_EQUAL(sent[0].topic, STREAM "description/cbor");
	CU_ASSERT(sent[0].len == sizeof(cbor) && memcmp(sent[0].payload, cbor, sizeof(cbor)) == 0);
	reply = ask_json("describe/json", "nonsense", STREAM "rejected/json");
	EXPECT(reply, "o", "'InvalidJson'");
	json_decref(reply);
}

/* Only the things that a job with this stream is for. */
static void test_foreign_thing(void)
{
	static const char topic[] = "$aws/things/pump-2/streams/s1/";
	struct iot_stream_get get = usual(0, 1);
	struct iot_buf text = IOT_BUF_INIT(1000);
	char *full = iot_strf("%sget/cbor", topic);

	add_thing("pump-2");
	iot_stream_get_encode(&text, &get);
	ask(&get); /* in memory for pump-1 now */
	ask_as("pump-2", full, text.data, text.len);
	CU_ASSERT_EQUAL(sent_count, 1);
	CU_ASSERT_STRING_EQUAL(sent[0].topic, "$aws/things/pump-2/streams/s1/rejected/cbor");
	ask_as("pump-1", "$aws/things/pump-1/streams/other/get/cbor", text.data, text.len);
	CU_ASSERT_STRING_EQUAL(sent[0].topic, "$aws/things/pump-1/streams/other/rejected/cbor");
	iot_buf_release(&text);
	free(full);
}

static void test_cache(void)
{
	struct iot_stream_get get = usual(0, 1);

	ask(&get);
	ask(&get);
	CU_ASSERT_EQUAL(opened, 1);
	streams_changed(&streams);
	ask(&get);
	CU_ASSERT_EQUAL(opened, 2);
	CU_ASSERT_EQUAL(sent_count, 1);
	/* What is gone is gone after a change. */
	DO("DeleteJob", "", "{'jobId': 'job-pump-1', 'force': true}");
	streams_changed(&streams);
	EXPECT_REJECTED(&get, "ResourceNotFound");
	EXPECT_REJECTED(&get, "ResourceNotFound");
}

/* Many things load one image: one descriptor; and more things than there is room for. */
static void test_many_things(void)
{
	struct iot_stream_get get = usual(0, 1);
	struct iot_buf text = IOT_BUF_INIT(1000);
	int before, after;

	iot_stream_get_encode(&text, &get);
	ask(&get);
	before = dup(0);
	close(before);
	for (int i = 0; i < 200; i++) {
		char *thing = iot_strf("t%d", i), *topic = iot_strf("$aws/things/t%d/streams/s1/get/cbor", i);

		make_stream(thing);
		ask_as(thing, topic, text.data, text.len);
		CU_ASSERT_EQUAL(sent_count, 1);
		CU_ASSERT_PTR_NOT_NULL(strstr(sent[0].topic, "/data/cbor"));
		free(thing);
		free(topic);
	}
	after = dup(0);
	close(after);
	CU_ASSERT_EQUAL(before, after);
	iot_buf_release(&text);
}

/* The image was cut short under us: refused, not made up. */
static void test_image_shrinks(void)
{
	struct iot_stream_get get = usual(3, 1);
	char *path = iot_strf("%s/images/%s", dir, image);

	ask(&get);
	CU_ASSERT_EQUAL(chmod(path, 0600), 0);
	CU_ASSERT_EQUAL(truncate(path, 900), 0);
	EXPECT_REJECTED(&get, "InternalError");
	streams_changed(&streams);
	EXPECT_REJECTED(&get, "ETagMismatch");
	free(path);
}

static void test_topics(void)
{
	static const char *const others[] = {STREAM "get",
					     STREAM "get/xml",
					     STREAM "data/cbor",
					     STREAM "get/cbor/x",
					     STREAM "rejected/json",
					     "$aws/things//streams/s/get/cbor",
					     "$aws/things/pump-1/streams//get/cbor",
					     "$aws/things/pump-1/jobs/get",
					     "",
					     "$aws/things/x"};

	CU_ASSERT_TRUE(streams_is_request(STREAM "get/cbor"));
	CU_ASSERT_TRUE(streams_is_request(STREAM "describe/json"));
	for (size_t i = 0; i < IOT_LENGTH(others); i++) {
		CU_ASSERT_FALSE(streams_is_request(others[i]));
		ask_as("pump-1", others[i], "", 0);
		CU_ASSERT_EQUAL(sent_count, 0);
	}
}

UNIT_MAIN("broker/streams_service", begin, end, {"blocks", test_blocks}, {"bitmaps", test_bitmaps},
	  {"limits", test_limits}, {"answer_is_bounded", test_answer_is_bounded}, {"token", test_token},
	  {"json", test_json}, {"describe", test_describe}, {"foreign_thing", test_foreign_thing},
	  {"cache", test_cache}, {"many_things", test_many_things}, {"image_shrinks", test_image_shrinks},
	  {"topics", test_topics})
