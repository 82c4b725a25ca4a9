/*
 * CBOR messages of file streams: those that real devices send, every way to be
 * malformed, and libcbor as an independent reader of what we write.
 */
#include "helpers.h"

#include "iotctl/streamcbor.h"
#include "iotctl/text.h"

#include <cbor.h>

/* Bytes of a hex text, in memory of exactly that size so that a read beyond is seen. */
static uint8_t *bytes_of(const char *hex, size_t *ret_len)
{
	uint8_t *data;

	*ret_len = strlen(hex) / 2;
	data = iot_alloc(*ret_len);
	if (!iot_unhex(hex, data, *ret_len))
		abort();
	return data;
}

static enum iot_status parse_get(const char *hex, struct iot_stream_get *get, struct iot_error *err)
{
	size_t len;
	uint8_t *data = bytes_of(hex, &len);
	enum iot_status status = iot_stream_get_parse(data, len, get, err);

	get->token = NULL; /* it pointed into data */
	free(data);
	return status;
}

/* FreeRTOS OTA v3.4.0: {c:"rdy", f:0, l:4096, o:0, b:ff..03, n:8}. */
static void test_request_of_freertos(void)
{
	static const char hex[] = "a66163637264796166006"
				  "16c1910006"
				  "16f00"
				  "616243ffff03"
				  "616e08";
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_get get;
	size_t len;
	uint8_t *data = bytes_of(hex, &len);

	ASSERT_OK(iot_stream_get_parse(data, len, &get, &err), &err);
	CU_ASSERT_EQUAL(get.token_len, 3);
	CU_ASSERT_NSTRING_EQUAL(get.token, "rdy", 3);
	CU_ASSERT_TRUE(get.has_file && get.has_size && get.has_offset && get.has_count && !get.has_version);
	CU_ASSERT_EQUAL(get.size, 4096);
	CU_ASSERT_EQUAL(get.count, 8);
	CU_ASSERT_EQUAL(get.bitmap_len, 3);
	CU_ASSERT_EQUAL(get.bitmap[2], 3);
	CU_ASSERT_PTR_NULL(iot_stream_get_check(&get));
	free(data);
}

/* The other agent: l=256, b = the text "MQ==" put raw into the byte string; keys in another order, one unknown. */
static void test_request_of_others(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_get get;

	ASSERT_OK(parse_get("a761624"
			    "44d513d3d"
			    "616e01616f0761"
			    "6c190100616600"
			    "6163"
			    "63726479"
			    "61788201a1617a20",
			    &get, &err),
		  &err);
	CU_ASSERT_EQUAL(get.offset, 7);
	CU_ASSERT_EQUAL(get.bitmap_len, 4);
	CU_ASSERT_PTR_NULL(iot_stream_get_check(&get));
	ASSERT_OK(parse_get("a0", &get, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "InvalidRequest");
	ASSERT_OK(parse_get("a16166"
			    "1b0000000000000001",
			    &get, &err),
		  &err); /* not the shortest form, but clear */
	CU_ASSERT_EQUAL(get.file, 1);
	ASSERT_OK(parse_get("a16178"
			    "c1fb4000000000000000",
			    &get, &err),
		  &err); /* a tagged float is passed over */
}

static void test_malformed(void)
{
	static const struct {
		const char *hex, *why;
	} cases[] = {
		{"", "nothing"},
		{"00", "not a map"},
		{"80", "an array"},
		{"a1", "cut"},
		{"a16166", "cut before the value"},
		{"a1616618", "cut in a number"},
		{"a1616600ff", "bytes behind"},
		{"a1616600a0", "another map behind"},
		{"bf616600ff", "indefinite map"},
		{"a161625f4100ff", "indefinite bytes"},
		{"a161637f6161ff", "indefinite text"},
		{"a161789fff", "indefinite array in an unknown member"},
		{"a26166006166"
		 "01",
		 "key twice"},
		{"a2617800617800", "unknown key twice"},
		{"a10000", "a key that is a number"},
		{"a1416600", "a key that is bytes"},
		{"a1616620", "negative"},
		{"a161666161", "a number that is text"},
		{"a1616241", "cut in bytes"},
		{"a161625affffffff", "4 GB of bytes announced"},
		{"a161625bffffffffffffffff", "2^64-1 bytes announced"},
		{"a161789b7fffffffffffffff", "a long array announced"},
		{"a16178bb8000000000000000", "a map whose size doubles to nothing"},
		{"9a10000000", "the five bytes that cost a general decoder 2 GB"},
		{"ba10000000", "the same as a map"},
		{"bbffffffffffffffff", "a map of 2^64-1 members"},
		{"a161788181818181818181"
		 "00",
		 "nested too deeply"},
		{"a16178c1c1c1c1c1c1c1c100", "tags nested too deeply"},
		{"a16163"
		 "62c328",
		 "token is not UTF-8"},
		{"a162c32800", "key is not UTF-8"},
		{"a16178f800", "simple value in the wrong form"},
		{"a161781c", "reserved"},
		{"a16178ff", "break outside"},
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_get get;

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		enum iot_status status = parse_get(cases[i].hex, &get, &err);

		if (status != IOT_USAGE)
			fprintf(stderr, "\naccepted: %s\n", cases[i].why);
		CU_ASSERT_EQUAL(status, IOT_USAGE);
	}
}

static void test_limits(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_get get;
	struct iot_buf many = IOT_BUF_INIT(4 * IOT_STREAM_REQUEST_MAX);

	iot_buf_add(&many, "\xb8\x21", 2); /* 33 members */
	for (int i = 0; i < 33; i++) {
		iot_buf_addc(&many, 0x62);
		iot_buf_addf(&many, "%02d", i);
		iot_buf_addc(&many, 0);
	}
	ASSERT_STATUS(iot_stream_get_parse(many.data, many.len, &get, &err), IOT_USAGE, &err);
	many.data[1] = 0x20; /* 32, and the bytes of one behind */
	ASSERT_STATUS(iot_stream_get_parse(many.data, many.len, &get, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_stream_get_parse(many.data, many.len - 4, &get, &err), &err);
	while (many.len <= IOT_STREAM_REQUEST_MAX)
		iot_buf_addc(&many, 0);
	ASSERT_STATUS(iot_stream_get_parse(many.data, many.len, &get, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "too long");
	iot_buf_release(&many);
}

static void test_check(void)
{
	static const uint8_t bitmap[1] = {1};
	const struct iot_stream_get good = {
		.has_file = true, .has_size = true, .size = 256, .has_count = true, .count = 1};
	struct iot_stream_get get = good;

	CU_ASSERT_PTR_NULL(iot_stream_get_check(&get));
	get.has_file = false;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "InvalidRequest");
	get = good, get.file = 256;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "InvalidRequest");
	get = good, get.token_len = 65;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "InvalidRequest");
	get = good, get.has_count = false;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "InvalidRequest");
	get.bitmap = bitmap, get.bitmap_len = 1;
	CU_ASSERT_PTR_NULL(iot_stream_get_check(&get));
	get.bitmap_len = 12288;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "BlockBitmapLimitExceeded");
	get = good, get.size = 255;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "BlockSizeOutOfBounds");
	get.size = 131073;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "BlockSizeOutOfBounds");
	get = good, get.has_offset = true, get.offset = 98305;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "OffsetOutOfBounds");
	get = good, get.count = UINT64_MAX;
	CU_ASSERT_STRING_EQUAL(iot_stream_get_check(&get), "BlockCountLimitExceeded");
}

static void test_get_round_trip(void)
{
	static const uint8_t bitmap[3] = {0x13, 0x00, 0x80};
	const struct iot_stream_get sent = {.token = "rdy",
					    .token_len = 3,
					    .bitmap = bitmap,
					    .bitmap_len = 3,
					    .has_version = true,
					    .version = 7,
					    .has_file = true,
					    .file = 255,
					    .has_size = true,
					    .size = 4096,
					    .has_offset = true,
					    .offset = 98304,
					    .has_count = true,
					    .count = UINT64_MAX};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(256);
	struct iot_stream_get get;
	size_t whole;

	iot_stream_get_encode(&out, &sent);
	ASSERT_OK(iot_stream_get_parse(out.data, out.len, &get, &err), &err);
	CU_ASSERT_TRUE(get.version == 7 && get.file == 255 && get.size == 4096 && get.offset == 98304 &&
		       get.count == UINT64_MAX);
	CU_ASSERT_EQUAL(get.bitmap_len, 3);
	CU_ASSERT_EQUAL(memcmp(get.bitmap, bitmap, 3), 0);
	whole = out.len;
	for (size_t len = 0; len < whole; len++) { /* no shorter piece of it is a message */
		uint8_t *piece = iot_alloc(len);

		if (len > 0)
			memcpy(piece, out.data, len);
		CU_ASSERT_EQUAL(iot_stream_get_parse(piece, len, &get, NULL), IOT_USAGE);
		free(piece);
	}
	iot_buf_release(&out);
}

/* The member of a map that libcbor read. */
static const cbor_item_t *member(const cbor_item_t *map, const char *key)
{
	struct cbor_pair *pairs = cbor_map_handle(map);

	for (size_t i = 0; i < cbor_map_size(map); i++)
		if (cbor_string_length(pairs[i].key) == strlen(key) &&
		    memcmp(cbor_string_handle(pairs[i].key), key, strlen(key)) == 0)
			return pairs[i].value;
	return NULL;
}

static uint64_t number(const cbor_item_t *map, const char *key)
{
	const cbor_item_t *item = member(map, key);

	return item != NULL && cbor_isa_uint(item) ? cbor_get_int(item) : UINT64_MAX;
}

static void test_data(void)
{
	static const struct {
		uint32_t file, block, len;
		const char *token;
	} cases[] = {{0, 0, 4096, NULL},
		     {0, 23, 256, NULL},
		     {255, 24, 255, "t"},
		     {1, 255, 1, NULL},
		     {1, 256, 65535, NULL},
		     {1, 65536, 65536, "rdy"},
		     {3, 98303 + 98304, 131072, NULL},
		     {0, 5, 0, NULL}};
	uint8_t *message = iot_alloc(IOT_STREAM_HEAD_MAX + IOT_STREAM_BLOCK_MAX);

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		size_t token_len = cases[i].token != NULL ? strlen(cases[i].token) : 0;
		size_t head = iot_stream_data_head(message, cases[i].token, token_len, cases[i].file, cases[i].block,
						   cases[i].len);
		struct cbor_load_result result;
		struct iot_stream_data reply;
		cbor_item_t *map;

		CU_ASSERT_TRUE(head <= IOT_STREAM_HEAD_MAX);
		memset(message + head, (int)i + 1, cases[i].len);
		ASSERT_OK(iot_stream_data_parse(message, head + cases[i].len, &reply, &err), &err);
		CU_ASSERT_EQUAL(reply.file, cases[i].file);
		CU_ASSERT_EQUAL(reply.block, cases[i].block);
		CU_ASSERT_EQUAL(reply.payload_len, cases[i].len);
		CU_ASSERT_PTR_EQUAL(reply.payload, message + head);
		CU_ASSERT_EQUAL(reply.token_len, token_len);

		map = cbor_load(message, head + cases[i].len, &result);
		CU_ASSERT_PTR_NOT_NULL(map);
		CU_ASSERT_EQUAL(result.read, head + cases[i].len);
		CU_ASSERT_EQUAL(number(map, "f"), cases[i].file);
		CU_ASSERT_EQUAL(number(map, "i"), cases[i].block);
		CU_ASSERT_EQUAL(number(map, "l"), cases[i].len);
		CU_ASSERT_EQUAL(cbor_bytestring_length(member(map, "p")), cases[i].len);
		cbor_decref(&map);
	}
	/* The overhead that fits a FreeRTOS agent's packet buffer: 17 bytes for a 4 KiB block early in the file. */
	CU_ASSERT_EQUAL(iot_stream_data_head(message, NULL, 0, 0, 0, 4096), 17);
	free(message);
}

static void test_data_that_is_wrong(void)
{
	static const char *const bad[] = {
		"a3616600616901616c01",         /* no p */
		"a361660061690161704100",       /* no l */
		"a4616600616901616c0261704100", /* l is not the length */
		"a46166006169"
		"1b0000000100000000616c0161704100", /* block beyond 32 bits */
		"a4616600616901616c01617061"
		"41", /* p is text */
	};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stream_data reply;

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		size_t len;
		uint8_t *data = bytes_of(bad[i], &len);

		ASSERT_STATUS(iot_stream_data_parse(data, len, &reply, &err), IOT_USAGE, &err);
		free(data);
	}
}

static void test_rejected(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(4096);
	struct iot_stream_rejected rejected;
	char text[400];
	size_t len;
	uint8_t *data;

	iot_stream_rejected_encode(&out, "ResourceNotFound", "no such stream", "rdy", 3);
	ASSERT_OK(iot_stream_rejected_parse(out.data, out.len, &rejected, &err), &err);
	CU_ASSERT_STRING_EQUAL(rejected.code, "ResourceNotFound");
	CU_ASSERT_STRING_EQUAL(rejected.message, "no such stream");
	CU_ASSERT_EQUAL(rejected.token_len, 3);
	iot_buf_clear(&out);
	memset(text, 'x', sizeof(text));
	for (size_t i = 1; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa4", 2); /* cut between characters, not within one */
	text[sizeof(text) - 1] = '\0';
	iot_stream_rejected_encode(&out, "InvalidCbor", text, NULL, 0);
	ASSERT_OK(iot_stream_rejected_parse(out.data, out.len, &rejected, &err), &err);
	CU_ASSERT_TRUE(iot_utf8_valid(rejected.message, strlen(rejected.message)));
	CU_ASSERT_TRUE(strlen(rejected.message) > 250);
	CU_ASSERT_PTR_NULL(rejected.token);
	data = bytes_of("a264636f6465614567"
			"6d657373616765614d",
			&len); /* long names */
	ASSERT_OK(iot_stream_rejected_parse(data, len, &rejected, &err), &err);
	CU_ASSERT_STRING_EQUAL(rejected.code, "E");
	CU_ASSERT_STRING_EQUAL(rejected.message, "M");
	free(data);
	iot_buf_release(&out);
}

static void test_describe(void)
{
	static const struct iot_stream_file files[] = {{0, 24000000}, {255, 1}};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(4096);
	struct cbor_load_result result;
	struct iot_stream_get get;
	const cbor_item_t *list;
	cbor_item_t *map;

	ASSERT_OK(iot_stream_describe_parse("", 0, &get, &err), &err);
	CU_ASSERT_PTR_NULL(get.token);
	ASSERT_OK(iot_stream_describe_parse("\xa1"
					    "acax",
					    5, &get, &err),
		  &err);
	CU_ASSERT_EQUAL(get.token_len, 1);
	ASSERT_STATUS(iot_stream_describe_parse("\xa1", 1, &get, &err), IOT_USAGE, &err);

	iot_stream_description_encode(&out, "rdy", 3, 2, "pump firmware", files, 2);
	map = cbor_load((const unsigned char *)out.data, out.len, &result);
	CU_ASSERT_PTR_NOT_NULL(map);
	CU_ASSERT_EQUAL(result.read, out.len);
	CU_ASSERT_EQUAL(number(map, "s"), 2);
	CU_ASSERT_EQUAL(cbor_string_length(member(map, "d")), 13);
	list = member(map, "r");
	CU_ASSERT_EQUAL(cbor_array_size(list), 2);
	CU_ASSERT_EQUAL(number(cbor_array_handle(list)[0], "z"), 24000000);
	CU_ASSERT_EQUAL(number(cbor_array_handle(list)[1], "f"), 255);
	cbor_decref(&map);
	iot_buf_release(&out);
}

UNIT_MAIN("crypto/streamcbor", NULL, NULL, {"freertos", test_request_of_freertos}, {"others", test_request_of_others},
	  {"malformed", test_malformed}, {"limits", test_limits}, {"check", test_check}, {"get", test_get_round_trip},
	  {"data", test_data}, {"wrong data", test_data_that_is_wrong}, {"rejected", test_rejected},
	  {"describe", test_describe})
