/* What a SIM7600's replies say, in the ways in which firmware writes them. */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "unit.h"

static enum iot_at_verdict judged(const char *line, int *ret_code)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	int more = 7;
	enum iot_at_verdict verdict = s7_judge(line, strlen(line), &answer, &more);

	CU_ASSERT_EQUAL(more, 0);
	*ret_code = answer.code;
	iot_at_answer_release(&answer);
	return verdict;
}

static void test_judge(void)
{
	static const struct {
		const char *line;
		enum iot_at_verdict verdict;
		int code;
	} cases[] = {
		{"OK", IOT_AT_OK, -1},
		{" OK\r", IOT_AT_OK, -1},
		{"OKAY", IOT_AT_PART, -1},
		{"ERROR", IOT_AT_ERROR, -1},
		{"+CME ERROR: 10", IOT_AT_ERROR, 10},
		{"+CMS ERROR: 500", IOT_AT_ERROR, 500},
		{"+CME ERROR: SIM busy", IOT_AT_ERROR, -1},
		{"+CME ERROR:", IOT_AT_ERROR, -1},
		{"", IOT_AT_STRANGER, -1},
		{"AT+CCERTLIST\r", IOT_AT_STRANGER, -1}, /* echo */
		{"RDY", IOT_AT_STRANGER, -1},
		{"PB DONE", IOT_AT_STRANGER, -1},
		{"+CPIN: READY", IOT_AT_STRANGER, -1},
		{"+CMQTTSTART: 0", IOT_AT_STRANGER, -1},
		{"*ATREADY: 1", IOT_AT_STRANGER, -1},
		{"+CCERTLIST: \"a.pem\"", IOT_AT_PART, -1},
		{"867584030012345", IOT_AT_PART, -1},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		int code;

		CU_ASSERT_EQUAL(judged(cases[i].line, &code), cases[i].verdict);
		CU_ASSERT_EQUAL(code, cases[i].code);
	}
}

static void check_files(const char *lines, size_t count, const char *first, const char *last)
{
	struct s7_files files;

	s7_files_parse(lines, &files);
	CU_ASSERT_EQUAL(files.count, count);
	if (files.count == 0 || files.count != count)
		return;
	CU_ASSERT_STRING_EQUAL(files.names[0], first);
	CU_ASSERT_STRING_EQUAL(files.names[count - 1], last);
}

static void test_files(void)
{
	struct iot_buf many = IOT_BUF_INIT(65536);

	check_files("", 0, NULL, NULL);
	check_files("+CCERTLIST: \"ca_1.pem\"\n+CCERTLIST: \"key_2.pem\"\n", 2, "ca_1.pem", "key_2.pem");
	check_files("+CCERTLIST: \"ca_1.pem\",\"key_2.pem\"\n", 2, "ca_1.pem", "key_2.pem");
	check_files("+CCERTLIST: ca_1.pem, key_2.pem\r\n", 2, "ca_1.pem", "key_2.pem");
	check_files("+CCERTLIST:\n+CCERTLIST: \"\"\n", 0, NULL, NULL);
	check_files("+CCERTLIST: {non-ascii}\"62DB.pem\"\n+CCERTLIST: \"d.pem\"\n", 1, "d.pem", "d.pem");
	check_files("+CCERTLIST: \"key_6fd9 b28.pem\"\n+CCERTLIST: \"d.pem\"\n", 2, "key_6fd9 b28.pem", "d.pem");
	check_files("ca_1.pem\n", 0, NULL, NULL);
	for (int i = 0; i < 2 * S7_FILES_MAX; i++)
		iot_buf_addf(&many, "+CCERTLIST: \"file%d.pem\"\n", i);
	check_files(iot_buf_str(&many), S7_FILES_MAX, "file0.pem", "file63.pem");
	iot_buf_clear(&many);
	iot_buf_adds(&many, "+CCERTLIST: \"");
	for (int i = 0; i <= S7_NAME_MAX; i++)
		iot_buf_addc(&many, 'x');
	iot_buf_adds(&many, "\"\n");
	check_files(iot_buf_str(&many), 0, NULL, NULL);
	iot_buf_release(&many);
}

static void test_values(void)
{
	static struct s7_files files = {.names = {"ca_0123.pem", "thing_a%3Ab_c.pem", "endpoint_.pem",
						  "endpoint_x%0.pem", "endpoint_iot.example.pem", "endpoint_other.pem"},
					.count = 6};
	char value[32], small[5];

	s7_value(&files, S7_THING, value, sizeof(value));
	CU_ASSERT_STRING_EQUAL(value, "a:b_c");
	s7_value(&files, S7_ENDPOINT, value, sizeof(value));
	CU_ASSERT_STRING_EQUAL(value, "iot.example");
	s7_value(&files, S7_PORT, value, sizeof(value));
	CU_ASSERT_STRING_EQUAL(value, "");
	s7_value(&files, S7_THING, small, sizeof(small)); /* never a part of one */
	CU_ASSERT_STRING_EQUAL(small, "");
	CU_ASSERT_TRUE(s7_holds(&files, "ca_0123.pem"));
	CU_ASSERT_FALSE(s7_holds(&files, "ca_012.pem"));
}

static void test_results(void)
{
	int result = 99;

	CU_ASSERT_TRUE(s7_result("+CMQTTSTART: 0", 14, "+CMQTTSTART", &result));
	CU_ASSERT_EQUAL(result, 0);
	CU_ASSERT_TRUE(s7_result("+CMQTTCONNECT: 0,32\r", 20, "+CMQTTCONNECT", &result));
	CU_ASSERT_EQUAL(result, 32);
	CU_ASSERT_FALSE(s7_result("+CMQTTCONNECT: 0,", 17, "+CMQTTCONNECT", &result));
	CU_ASSERT_FALSE(s7_result("+CMQTTCONNECT: 0,-1", 19, "+CMQTTCONNECT", &result));
	CU_ASSERT_FALSE(s7_result("+CMQTTCONNLOST: 0,1", 19, "+CMQTTCONNECT", &result));
	CU_ASSERT_FALSE(s7_result("+CMQTTCONNECT", 13, "+CMQTTCONNECT", &result));
	CU_ASSERT_FALSE(s7_result("", 0, "+CMQTTCONNECT", &result));
}

static void check_imei(const char *lines, const char *wanted)
{
	char imei[16] = "";

	CU_ASSERT_EQUAL(s7_imei(lines, imei), *wanted != '\0');
	CU_ASSERT_STRING_EQUAL(imei, wanted);
}

static void test_imei(void)
{
	check_imei("867584030012345\n", "867584030012345");
	check_imei("+CGSN: 867584030012345\r\n", "867584030012345");
	check_imei("\"867584030012345\"\n", "867584030012345");
	check_imei("noise\n867584030012345\n", "867584030012345");
	check_imei("86758403001234\n", "");
	check_imei("8675840300123456\n", "");
	check_imei("86758403001234x\n", "");
	check_imei("", "");
	check_imei("\"\n", "");
}

static void test_fields(void)
{
	static const char line[] = "+CSSLCFG: 0,3,2,1,300,\"ca,1.pem\",\"\",key.pem,1";
	char out[16], small[4];

	CU_ASSERT_TRUE(s7_field(line, strlen(line), 5, out, sizeof(out)));
	CU_ASSERT_STRING_EQUAL(out, "ca,1.pem");
	CU_ASSERT_TRUE(s7_field(line, strlen(line), 6, out, sizeof(out)));
	CU_ASSERT_STRING_EQUAL(out, "");
	CU_ASSERT_TRUE(s7_field(line, strlen(line), 7, out, sizeof(out)));
	CU_ASSERT_STRING_EQUAL(out, "key.pem");
	CU_ASSERT_FALSE(s7_field(line, strlen(line), 9, out, sizeof(out)));
	CU_ASSERT_FALSE(s7_field(line, strlen(line), 7, small, sizeof(small)));
	CU_ASSERT_FALSE(s7_field("nothing", 7, 0, out, sizeof(out)));
}

/* Each code has its words, and all of them a name that a message can have. */
static void test_codes(void)
{
	for (int code = -1; code < 40; code++)
		CU_ASSERT_TRUE(*s7_mqtt_fault(code)->text != '\0');
	ASSERT_CONTAINS(s7_mqtt_fault(32)->text, "TLS");
	ASSERT_CONTAINS(s7_mqtt_fault(99)->text, "does not say why");
}

static void test_names(void)
{
	char one[S7_NAME_MAX + 1], two[S7_NAME_MAX + 1];

	s7_name_of(S7_CA, "one", one);
	s7_name_of(S7_CA, "two", two);
	CU_ASSERT_STRING_EQUAL(one, "ca_7692c3ad3540bb80.pem");
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
}

UNIT_MAIN("board/sim7600", NULL, NULL, {"judge", test_judge}, {"files", test_files}, {"values", test_values},
	  {"results", test_results}, {"imei", test_imei}, {"fields", test_fields}, {"codes", test_codes},
	  {"names", test_names})
