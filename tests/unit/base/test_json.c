/* JSON from outside is refused unless it is exactly one sound value, and the message says where it is not. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

static enum iot_status parse(const char *text, json_t **ret, struct iot_error *err)
{
	return iot_json_parse(text, strlen(text), "policy.json", ret, err);
}

static void test_good_values(void)
{
	static const char *const good[] = {"{}", "[]",   " {\"a\": [1, 2.5, null, true]}\n", "\"text\"",
					   "5",  "null", "{\"a\":{\"b\":1},\"b\":2}",        "\"[[[[\\\"[[[[\\\\\""};
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(good); i++) {
		IOT_JSON value = NULL;

		ASSERT_OK(parse(good[i], &value, &err), &err);
		CU_ASSERT_PTR_NOT_NULL(value);
	}
}

static void test_bad_values(void)
{
	static const char *const bad[] = {"",
					  "  \n",
					  "{",
					  "{\"a\":1,}",
					  "{'a':1}",
					  "{\"a\":1} x",
					  "[1][2]",
					  "{\"a\":1,\"a\":2}",
					  "\"\\u0000\"",
					  "\"\xff\"",
					  "\"\xed\xa0\x80\"",
					  "[01]",
					  "nul",
					  "[1e999]",
					  "[99999999999999999999]",
					  "// c\n{}",
					  "\xef\xbb\xbf{}",
					  "]",
					  "\"unfinished",
					  "\"\\"};
	struct iot_error err = IOT_ERROR_INIT;
	json_t *value = NULL;

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_STATUS(parse(bad[i], &value, &err), IOT_USAGE, &err);
		CU_ASSERT_EQUAL(strncmp(err.what, "'policy.json' is not valid JSON: ", 33), 0);
		CU_ASSERT_PTR_NULL(value);
	}
	/* Bytes behind a NUL are data too. */
	ASSERT_STATUS(iot_json_parse("{}\0{}", 5, "x", &value, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_json_parse("\0", 1, "x", &value, &err), IOT_USAGE, &err);
}

static void test_message_says_where_but_quotes_nothing(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *value = NULL;

	ASSERT_STATUS(parse("{\n  \"a\": 1,\n  \"b\" hunter2\n}", &value, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "'policy.json' is not valid JSON: line 3, column ");
	ASSERT_CONTAINS(err.what, "':' expected");
	CU_ASSERT_PTR_NULL(strstr(err.what, "hunter"));
	ASSERT_STATUS(parse("{\"a\": 1,\n\"a\": 2}", &value, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "line 2, column 3: duplicate object key");
	ASSERT_STATUS(parse("[1,", &value, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "end of file");
}

static void nested(char *out, size_t levels)
{
	for (size_t i = 0; i < levels; i++) {
		memcpy(out + 5 * i, "{\"a\":", 5);
		out[5 * levels + 1 + i] = '}';
	}
	out[5 * levels] = '1';
	out[6 * levels + 1] = '\0';
}

static void test_depth(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *value = NULL;
	size_t huge = 1000000;
	char text[6 * 40 + 2], *deep;

	nested(text, IOT_JSON_MAX_DEPTH);
	ASSERT_OK(parse(text, &value, &err), &err);
	iot_json_decref_p(&value);
	value = NULL;
	nested(text, IOT_JSON_MAX_DEPTH + 1);
	ASSERT_STATUS(parse(text, &value, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what,
			       "'policy.json' is not valid JSON: line 1, column 161: more than 32 levels deep");
	deep = iot_alloc(huge + 1);
	memset(deep, '[', huge);
	ASSERT_STATUS(parse(deep, &value, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "column 33: more than 32 levels");
	/* An escaped quote does not end the string; brackets in it do not count. */
	deep[0] = deep[2] = deep[huge - 1] = '"';
	deep[1] = '\\';
	ASSERT_OK(parse(deep, &value, &err), &err);
	iot_json_decref_p(&value);
	free(deep);
}

static void test_members(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON object = NULL;

	ASSERT_OK(parse("{\"s\":\"text\",\"i\":-5,\"t\":true,\"n\":null,\"r\":1.5}", &object, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(object, "s", "none"), "text");
	CU_ASSERT_STRING_EQUAL(iot_json_str(object, "i", "none"), "none");
	CU_ASSERT_STRING_EQUAL(iot_json_str(object, "n", "none"), "none");
	CU_ASSERT_PTR_NULL(iot_json_str(object, "absent", NULL));
	CU_ASSERT_PTR_NULL(iot_json_str(NULL, "s", NULL));
	CU_ASSERT_EQUAL(iot_json_int(object, "i", 7), -5);
	CU_ASSERT_EQUAL(iot_json_int(object, "r", 7), 7);
	CU_ASSERT_EQUAL(iot_json_int(object, "s", 7), 7);
	CU_ASSERT_TRUE(iot_json_bool(object, "t", false));
	CU_ASSERT_TRUE(iot_json_bool(object, "n", true));
	CU_ASSERT_FALSE(iot_json_bool(object, "i", false));
}

static void test_set_and_text(void)
{
	IOT_JSON object = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(iot_free_p) char *nothing = iot_json_text(NULL);

	iot_json_set_str(object, "z", "last letter first");
	iot_json_set_str(object, "a", NULL);
	iot_json_set_int(object, "i", INT64_MIN);
	iot_json_set_bool(object, "b", true);
	/* Noise from a serial line must not make the member vanish. */
	iot_json_set_str(object, "noise",
			 "a\xff"
			 "b\xc3");
	text = iot_json_text(object);
	CU_ASSERT_STRING_EQUAL(text, "{\"z\":\"last letter first\",\"i\":-9223372036854775808,\"b\":true,"
				     "\"noise\":\"a\xef\xbf\xbd"
				     "b\xef\xbf\xbd\"}");
	CU_ASSERT_STRING_EQUAL(nothing, "null");
}

static void test_numbers_are_short(void)
{
	static const char *const values[] = {
		"[0.1,-0.1,0.30000000000000004,1e300,1.5e-7,100.0,-0.0,2.5e-300,1.7976931348623157e308]",
		"{\"0.10000000000000001\":\"a\\\"0.10000000000000001\\\\\",\"b\":0.1,\"c\":[0.2,12,\"1.50000000000000001\"]}",
		"0.1",
		"[]",
	};

	for (size_t i = 0; i < IOT_LENGTH(values); i++) {
		IOT_JSON value = json_loads(values[i], JSON_DECODE_ANY, NULL);
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(value);

		CU_ASSERT_STRING_EQUAL(text, values[i]);
	}
	{
		IOT_JSON value = json_loads("{\"a\": [0.1, 2]}", 0, NULL);
		IOT_CLEAN(iot_free_p) char *text = iot_json_dump(value, JSON_INDENT(1));

		CU_ASSERT_STRING_EQUAL(text, "{\n \"a\": [\n  0.1,\n  2\n ]\n}");
	}
}

static void payload_is(const void *payload, size_t len, bool json, const char *expected)
{
	IOT_JSON record = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;

	iot_json_set_payload(record, payload, len, json);
	text = iot_json_text(record);
	CU_ASSERT_STRING_EQUAL(text, expected);
}

static void test_payloads(void)
{
	payload_is("{\"a\":1}", 7, true, "{\"payload\":{\"a\":1},\"format\":\"json\"}");
	payload_is("{\"a\":1}", 7, false, "{\"payload\":\"{\\\"a\\\":1}\",\"format\":\"text\"}");
	payload_is("{\"a\":1,\"a\":2}", 13, true, "{\"payload\":\"{\\\"a\\\":1,\\\"a\\\":2}\",\"format\":\"text\"}");
	payload_is("\xff\xfe", 2, true, "{\"payload\":\"//4=\",\"format\":\"base64\"}");
	payload_is("a\0b", 3, true, "{\"payload\":\"YQBi\",\"format\":\"base64\"}");
	payload_is(NULL, 0, true, "{\"payload\":\"\",\"format\":\"text\"}");
}

UNIT_MAIN("base/json", NULL, NULL, {"good_values", test_good_values}, {"bad_values", test_bad_values},
	  {"message_says_where_but_quotes_nothing", test_message_says_where_but_quotes_nothing}, {"depth", test_depth},
	  {"members", test_members}, {"set_and_text", test_set_and_text},
	  {"numbers_are_short", test_numbers_are_short}, {"payloads", test_payloads})
