/* Messages between a small device and its gateway: bytes as documented, strictness, limits. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/frame.h"
#include "iotctl/text.h"

static enum iot_status read_hex(const char *hex, struct iot_frame *frame, struct iot_error *err)
{
	static uint8_t bytes[16384];
	size_t len = strlen(hex) / 2;

	CU_ASSERT_TRUE(iot_unhex(hex, bytes, len));
	return iot_frame_read(bytes, len, frame, err);
}

/* By hand from the table of the manual. */
static void test_bytes(void)
{
	const struct iot_frame data = {.kind = IOT_FRAME_DATA,
				       .sequence = 500,
				       .role = IOT_FRAME_EVENT,
				       .payload = {"{}", 2},
				       .subfolder = {"a/b", 3}};
	struct iot_buf out = IOT_BUF_INIT(1024);
	char hex[256];

	iot_frame_write(&data, &out);
	CU_ASSERT_STRING_EQUAL(iot_hex(out.data, out.len, hex), "00000012"
								"a5"
								"0005"
								"051901f4"
								"0601"
								"07427b7d"
								"0863612f62");
	iot_buf_release(&out);
}

static void test_reads_each_kind(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_frame frame;

	ASSERT_OK(read_hex("a30002034301020304480101010101010101", &frame, &err), &err);
	CU_ASSERT_EQUAL(frame.kind, IOT_FRAME_TOKEN);
	CU_ASSERT_EQUAL(frame.token.len, 3);
	CU_ASSERT_EQUAL(frame.boot.len, 8);
	CU_ASSERT_EQUAL(frame.longest, 0);
	ASSERT_OK(read_hex("a40005050106010740", &frame, &err), &err);
	CU_ASSERT_PTR_NOT_NULL(frame.payload.data); /* empty, and there */
	CU_ASSERT_EQUAL(frame.payload.len, 0);
	CU_ASSERT_PTR_NULL(frame.subfolder.data);
	/* the order of members is free, and so is the spelling of numbers */
	ASSERT_OK(read_hex("a4"
			   "0740"
			   "0601"
			   "051801"
			   "001805",
			   &frame, &err),
		  &err);
	CU_ASSERT_EQUAL(frame.sequence, 1);
	ASSERT_OK(read_hex("a1000c", &frame, &err), &err);
	CU_ASSERT_EQUAL(frame.kind, IOT_FRAME_PING);
}

static void test_refuses(void)
{
	static const struct {
		const char *hex, *why;
	} cases[] = {
		{"", "too early"},
		{"a0", "what kind"},
		{"80", "not a map"},
		{"a1000e", "limits"},
		{"a10000", "limits"},
		{"a100", "too early"},
		{"a1000c00", ""}, /* a byte behind it */
		{"a2000c000c", "twice"},
		{"a2000c180018"
		 "0c",
		 "twice"},                 /* the same key in another spelling */
		{"bf000cff", ""},          /* indefinite length */
		{"a161300c", "no member"}, /* a text as key */
		{"a10e00", "no member"},
		{"a2000c0501", "does not belong"},
		{"a10006", "missing"},
		{"a2000620"
		 "00",
		 ""},
		{"a2000605410a", "wrong type"},
		{"a200060520", "wrong type"}, /* negative */
		{"a20006051b8000000000000000", "limits"},
		{"a40005050006010740", "sequence 0"},
		{"a40005050106040740", "limits"},     /* role */
		{"a500050501060107400860", "limits"}, /* an empty subfolder */
		{"a50005050106010740086109", "control"},
		{"a300010101024100", "limits"},               /* a nonce of one byte */
		{"a30002034100044701020304050607", "limits"}, /* a boot of seven */
		{"a300050501075a7fffffff", "too early"},
		{"9a10000000", "too early"},
		{"a200040b61ff", "UTF-8"},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_frame frame = {.kind = IOT_FRAME_PONG};

		ASSERT_STATUS(read_hex(cases[i].hex, &frame, &err), IOT_USAGE, &err);
		if (strstr(err.what, cases[i].why) == NULL)
			fprintf(stderr, "\n%s: %s", cases[i].hex, err.what);
		ASSERT_CONTAINS(err.what, cases[i].why);
		CU_ASSERT_EQUAL(frame.kind, IOT_FRAME_PONG); /* untouched */
	}
}

static void test_limits(void)
{
	static uint8_t bytes[IOT_FRAME_MAX + 1];
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(4 * IOT_FRAME_MAX);
	struct iot_frame frame = {.kind = IOT_FRAME_CONFIG, .id = 1, .payload = {bytes, IOT_FRAME_PAYLOAD_MAX}}, read;

	iot_frame_write(&frame, &out);
	CU_ASSERT_TRUE(out.len <= IOT_FRAME_MAX + IOT_FRAME_HEAD);
	ASSERT_OK(iot_frame_read(out.data + IOT_FRAME_HEAD, out.len - IOT_FRAME_HEAD, &read, &err), &err);
	iot_buf_clear(&out);
	frame.payload.len++;
	iot_frame_write(&frame, &out);
	ASSERT_STATUS(iot_frame_read(out.data + IOT_FRAME_HEAD, out.len - IOT_FRAME_HEAD, &read, &err), IOT_USAGE,
		      &err);
	ASSERT_STATUS(iot_frame_read(bytes, sizeof(bytes), &read, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "too long");
	iot_buf_release(&out);
}

static void test_roles(void)
{
	CU_ASSERT_EQUAL(iot_frame_role_parse("state", 5), IOT_FRAME_STATE);
	CU_ASSERT_EQUAL(iot_frame_role_parse("states", 6), 0);
	CU_ASSERT_EQUAL(iot_frame_role_parse("stat", 4), 0);
	CU_ASSERT_STRING_EQUAL(iot_frame_role_name(IOT_FRAME_REPLY), "reply");
	CU_ASSERT_PTR_NULL(iot_frame_role_name(0));
	CU_ASSERT_PTR_NULL(iot_frame_role_name(IOT_FRAME_ROLES));
}

UNIT_MAIN("crypto/frame", NULL, NULL, {"bytes", test_bytes}, {"each-kind", test_reads_each_kind},
	  {"refuses", test_refuses}, {"limits", test_limits}, {"roles", test_roles})
