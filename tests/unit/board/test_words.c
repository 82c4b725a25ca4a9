/* The language of ExpressLink modules, both directions. */
#include "iotctl/expresslink.h"

#include "iotctl/base.h"
#include "unit.h"

static void check_unescape(const char *in, size_t len, bool good, const char *out, size_t out_len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(1000);

	CU_ASSERT_EQUAL(iot_el_unescape(in, len, &buf), good);
	if (good) {
		CU_ASSERT_EQUAL(buf.len, out_len);
		CU_ASSERT_EQUAL(memcmp(iot_buf_str(&buf), out, out_len), 0);
	}
}

static void test_escapes(void)
{
	static const char all[] = "a\nb\rc\\d\\A\0z";
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(1000);

	iot_el_escape(all, sizeof(all) - 1, &buf);
	CU_ASSERT_EQUAL(buf.len, 15);
	CU_ASSERT_EQUAL(memcmp(buf.data, "a\\Ab\\Dc\\\\d\\\\A\0z", 15), 0);
	check_unescape(buf.data, buf.len, true, all, sizeof(all) - 1);
	/* One pass: an escaped backslash before A is a backslash and an A. */
	check_unescape("\\\\A", 3, true, "\\A", 2);
	check_unescape("\\\\\\A", 4, true, "\\\n", 2);
	check_unescape("\\a", 2, false, NULL, 0);
	check_unescape("\\x", 2, false, NULL, 0);
	check_unescape("abc\\", 4, false, NULL, 0);
	check_unescape("", 0, true, "", 0);
}

struct answer_case {
	const char *line;
	bool is_answer, ok;
	int number;
	const char *detail;
};

static void test_answers(void)
{
	static const struct answer_case cases[] = {
		{"OK", true, true, 0, ""},
		{"OK ", true, true, 0, ""},
		{"OK 1 CONNECTED", true, true, 0, "1 CONNECTED"},
		{"OK1", true, true, 1, ""},
		{"OK9 pem", true, true, 9, "pem"},
		{"OK12 pem", true, true, 12, "pem"},
		{"OK pem", true, true, 0, "pem"},
		{"OK  two spaces", true, true, 0, " two spaces"},
		{"ERR14 5.1 UNABLE TO CONNECT", true, false, 14, "5.1 UNABLE TO CONNECT"},
		{"ERR3", true, false, 3, ""},
		{"ERR", true, false, -1, ""},
		{"OKAY", false, false, 0, ""},
		{"ERROR", false, false, 0, ""},
		{"ok", false, false, 0, ""},
		{" OK", false, false, 0, ""},
		{"", false, false, 0, ""},
		{"O", false, false, 0, ""},
		{"OK1x", false, false, 0, ""},
		{"OK9999999999", false, false, 0, ""},
		{"+CME ERROR: 3", false, false, 0, ""},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_el_answer answer;
		bool is = iot_el_answer_parse(cases[i].line, strlen(cases[i].line), &answer);

		if (is != cases[i].is_answer)
			fprintf(stderr, "\nanswer '%s'\n", cases[i].line);
		CU_ASSERT_EQUAL(is, cases[i].is_answer);
		if (!is)
			continue;
		CU_ASSERT_EQUAL(answer.ok, cases[i].ok);
		CU_ASSERT_EQUAL(answer.number, cases[i].number);
		CU_ASSERT_EQUAL(answer.detail_len, strlen(cases[i].detail));
		CU_ASSERT_EQUAL(strncmp(answer.detail, cases[i].detail, answer.detail_len), 0);
	}
}

static void test_status_and_hints(void)
{
	struct iot_el_status s;
	int hint = 0, sub = 0;

	CU_ASSERT_TRUE(iot_el_status_parse("1 1 CONNECTED CUSTOMER", 22, &s));
	CU_ASSERT_TRUE(s.connected && s.known && s.customer);
	CU_ASSERT_TRUE(iot_el_status_parse("0 0 DISCONNECTED STAGING", 24, &s));
	CU_ASSERT_TRUE(!s.connected && s.known && !s.customer);
	CU_ASSERT_TRUE(iot_el_status_parse("1", 1, &s)); /* v0.5 */
	CU_ASSERT_TRUE(s.connected && !s.known);
	CU_ASSERT_TRUE(iot_el_status_parse("1 CONNECTED", 11, &s)); /* the answer to CONNECT */
	CU_ASSERT_TRUE(s.connected && !s.known);
	CU_ASSERT_FALSE(iot_el_status_parse("2 1", 3, &s));
	CU_ASSERT_FALSE(iot_el_status_parse("", 0, &s));
	CU_ASSERT_FALSE(iot_el_status_parse("1CONNECTED", 10, &s));
	CU_ASSERT_TRUE(iot_el_hint_parse("5.1 UNABLE", 10, &hint, &sub));
	CU_ASSERT_TRUE(hint == 5 && sub == 1);
	CU_ASSERT_TRUE(iot_el_hint_parse("3", 1, &hint, &sub));
	CU_ASSERT_TRUE(hint == 3 && sub == 0);
	CU_ASSERT_FALSE(iot_el_hint_parse("UNABLE", 6, &hint, &sub));
	CU_ASSERT_FALSE(iot_el_hint_parse("5. x", 4, &hint, &sub));
}

static void test_every_code_has_words(void)
{
	for (int code = 1; code <= 29; code++) {
		CU_ASSERT_EQUAL(iot_el_error(code)->code, code);
		CU_ASSERT_TRUE(strlen(iot_el_error(code)->text) > 10);
	}
	for (int hint = 1; hint <= 6; hint++) {
		CU_ASSERT_EQUAL(iot_el_hint(hint)->code, hint);
		CU_ASSERT_PTR_NOT_NULL(iot_el_hint(hint)->cure);
	}
	CU_ASSERT_EQUAL(iot_el_error(99)->code, -1);
	CU_ASSERT_PTR_NOT_NULL(iot_el_error(-1)->text);
	CU_ASSERT_PTR_NOT_NULL(iot_el_hint(0)->text);
}

static void test_events(void)
{
	struct iot_el_event event;
	bool any = true;

	CU_ASSERT_TRUE(iot_el_event_parse("", 0, &event, &any));
	CU_ASSERT_FALSE(any);
	CU_ASSERT_TRUE(iot_el_event_parse("21 3 SHADOW INIT FAILED more", 28, &event, &any));
	CU_ASSERT_TRUE(any && event.id == 21 && event.param == 3);
	CU_ASSERT_TRUE(iot_el_event_parse("1001 0", 6, &event, &any)); /* a vendor's, without a word */
	CU_ASSERT_EQUAL(event.id, 1001);
	CU_ASSERT_FALSE(iot_el_event_parse("STARTUP", 7, &event, &any));
	CU_ASSERT_FALSE(iot_el_event_parse("2", 1, &event, &any));
	CU_ASSERT_STRING_EQUAL(iot_el_event_name(IOT_EL_SHADOW_INIT_FAILED), "SHADOW INIT FAILED");
	CU_ASSERT_PTR_NULL(iot_el_event_name(10));
}

static void test_keys(void)
{
	int index = -1;

	CU_ASSERT_EQUAL(iot_el_key_fault("Endpoint", 8), 0);
	CU_ASSERT_EQUAL(iot_el_key_fault("endpoint", 8), 11); /* case counts */
	CU_ASSERT_EQUAL(iot_el_key_fault("", 0), 9);
	CU_ASSERT_EQUAL(iot_el_key_fault("ABCDEFGHIJKLMNOPQ", 17), 9);
	CU_ASSERT_EQUAL(iot_el_key_fault("End_point", 9), 10);
	CU_ASSERT_EQUAL(iot_el_key_fault("Topic0", 6), 11);
	CU_ASSERT_PTR_NOT_NULL(iot_el_key_find("Topic12", 7, &index));
	CU_ASSERT_EQUAL(index, 12);
	CU_ASSERT_STRING_EQUAL(iot_el_key_find("TopicRoot", 9, &index)->name, "TopicRoot");
	CU_ASSERT_STRING_EQUAL(iot_el_key_find("ShadowToken", 11, &index)->name, "ShadowToken");
	CU_ASSERT_PTR_NULL(iot_el_key_find("Topic", 5, &index));
	CU_ASSERT_TRUE(iot_el_key_find("Passphrase", 10, &index)->flags & IOT_EL_SECRET);
	CU_ASSERT_FALSE(iot_el_key_find("RootCA", 6, &index)->flags & IOT_EL_FACTORY);
}

static void test_commands(void)
{
	static const struct {
		const char *line;
		int code;
		const char *word;
		int suffix;
		const char *param;
	} cases[] = {
		{"AT", 0, "", -1, NULL},
		{"at+connect", 0, "CONNECT", -1, NULL},
		{"AT+CONF? About", 0, "CONF?", -1, "About"},
		{"AT+SEND12 hello  x", 0, "SEND", 12, "hello  x"},
		{"AT+CONNECT!", 0, "CONNECT!", -1, NULL},
		{"AT+GET ", 0, "GET", -1, ""},
		{"~~noiseAT+GET0", 0, "GET", 0, NULL},
		{"AT+", 2, NULL, 0, NULL},
		{"AT+SEND1\tx", 2, NULL, 0, NULL},
		{"AT+SEND1x y", 2, NULL, 0, NULL},
		{"AT+ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", 3, NULL, 0, NULL},
		{"hello", -1, NULL, 0, NULL},
		{"", -1, NULL, 0, NULL},
		{"ATE1", -1, NULL, 0, NULL},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct iot_el_command command;
		int code = iot_el_command_parse(cases[i].line, strlen(cases[i].line), &command);

		if (code != cases[i].code)
			fprintf(stderr, "\ncommand '%s' gave %d\n", cases[i].line, code);
		CU_ASSERT_EQUAL(code, cases[i].code);
		if (code != 0 || cases[i].word == NULL)
			continue;
		CU_ASSERT_STRING_EQUAL(command.word, cases[i].word);
		CU_ASSERT_EQUAL(command.suffix, cases[i].suffix);
		CU_ASSERT_EQUAL(command.has_param, cases[i].param != NULL);
		if (cases[i].param != NULL)
			CU_ASSERT_STRING_EQUAL(command.param, cases[i].param);
	}
}

static void check_read(const char *detail, bool good, const char *data)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);

	CU_ASSERT_EQUAL(iot_el_read_parse(detail, strlen(detail), &out), good);
	if (good)
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&out), data);
}

static void test_updates(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	enum iot_el_ota state = IOT_EL_OTA_IDLE;
	const char *text = NULL;
	uint32_t address = 0;
	size_t len = 0;

	CU_ASSERT_TRUE(iot_el_ota_parse("2 HOTA {\"v\":1}", 14, &state, &text, &len));
	CU_ASSERT_EQUAL(state, IOT_EL_OTA_HOST);
	CU_ASSERT_EQUAL(len, 12);
	CU_ASSERT_FALSE(iot_el_ota_parse("6 X", 3, &state, &text, &len));
	CU_ASSERT_FALSE(iot_el_ota_parse("IDLE", 4, &state, &text, &len));

	check_read("0", true, "");
	check_read("3 616263 0126", true, "abc");
	check_read("3 616263 0127", false, NULL); /* checksum */
	check_read("3 6162 0126", false, NULL);   /* shorter than it says */
	check_read("2 616263 0126", false, NULL); /* longer */
	check_read("3 61626g 0126", false, NULL);
	check_read("3 616263", false, NULL);
	check_read("1000000 61 0061", false, NULL); /* seven digits */
	check_read("", false, NULL);
	iot_el_read_format("\x01\xff", 2, &out);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&out), "2 01FF 0100");

	/* Asked in decimal, answered in hex. */
	CU_ASSERT_TRUE(iot_el_seek_parse("100", 3, &address));
	CU_ASSERT_EQUAL(address, 256);
	CU_ASSERT_FALSE(iot_el_seek_parse("", 0, &address));
	CU_ASSERT_FALSE(iot_el_seek_parse("123456789", 9, &address));
}

UNIT_MAIN("board/words", NULL, NULL, {"escapes", test_escapes}, {"answers", test_answers},
	  {"status-and-hints", test_status_and_hints}, {"every-code-has-words", test_every_code_has_words},
	  {"events", test_events}, {"keys", test_keys}, {"commands", test_commands}, {"updates", test_updates})
