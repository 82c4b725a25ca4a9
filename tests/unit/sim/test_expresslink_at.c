/* What a module makes of bytes: framing, noise, limits, escapes, and every error that needs no broker. */
#include "expresslink_fixture.h"

static void test_noise(void)
{
	static const char noisy[] = "\0\xff garbage\r\n\n\r\nxAT\nyyyAT+EVENT?\r\n";

	CU_ASSERT_STRING_EQUAL(raw(noisy, sizeof(noisy) - 1), "OK 2 0 STARTUP\r\n");
	CU_ASSERT_STRING_EQUAL(raw("AT\r\n", 4), "OK\r\n");
	CU_ASSERT_STRING_EQUAL(raw("at+event?\n", 10), "OK\r\n");
	CU_ASSERT_STRING_EQUAL(raw("AT\nAT\n", 6), "OK\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(raw("AT+EVE", 6), "");
	CU_ASSERT_STRING_EQUAL(raw("NT?\n", 4), "OK\r\n");
}

static void test_errors(void)
{
	static const struct {
		const char *line, *answer;
	} cases[] = {
		{"AT+", "ERR2 PARSE ERROR"},
		{"AT+ CONNECT", "ERR2 PARSE ERROR"},
		{"AT+CONF\tQoS=1", "ERR2 PARSE ERROR"},
		{"AT+CONNECT?x", "ERR3 COMMAND NOT FOUND"},
		{"AT+BREW", "ERR3 COMMAND NOT FOUND"},
		{"AT+BLE INIT CENTRAL", "ERR3 COMMAND NOT FOUND"},
		{"AT+BREW \\x", "ERR3 COMMAND NOT FOUND"},
		{"AT+RESET1", "ERR4 PARAMETER ERROR"},
		{"AT+SEND hello", "ERR4 PARAMETER ERROR"},
		{"AT+CONF", "ERR4 PARAMETER ERROR"},
		{"AT+CONF QoS", "ERR4 PARAMETER ERROR"},
		{"AT+CONF QoS=2", "ERR4 PARAMETER ERROR"},
		{"AT+CONF QoS=one", "ERR4 PARAMETER ERROR"},
		{"AT+CONF LWTConfig=[]", "ERR4 PARAMETER ERROR"},
		{"AT+CONF SSID=123456789012345678901234567890123", "ERR4 PARAMETER ERROR"},
		{"AT+CONF? SSID pem", "ERR4 PARAMETER ERROR"},
		{"AT+CONF? Certificate der", "ERR4 PARAMETER ERROR"},
		{"AT+SEND1 a\\b", "ERR5 INVALID ESCAPE"},
		{"AT+SEND1 a\\", "ERR5 INVALID ESCAPE"},
		{"AT+SEND1 hello", "ERR6 NO CONNECTION"},
		{"AT+SUBSCRIBE1", "ERR6 NO CONNECTION"},
		{"AT+UNSUBSCRIBE1", "ERR6 NO CONNECTION"},
		{"AT+GET17", "ERR7 OUT OF RANGE"},
		{"AT+GET1000", "ERR7 OUT OF RANGE"},
		{"AT+SHADOW5 INIT", "ERR7 OUT OF RANGE"},
		{"AT+GET3", "ERR8 PARAMETER UNDEFINED"},
		{"AT+CONF? ThisKeyIsTooLong1", "ERR9 INVALID KEY LENGTH"},
		{"AT+CONF Thing-Name=x", "ERR10 INVALID KEY NAME"},
		{"AT+CONF? ", "ERR9 INVALID KEY LENGTH"},
		{"AT+CONF VERSION=1", "ERR11 UNKNOWN KEY"},
		{"AT+CONF? Topic0", "ERR11 UNKNOWN KEY"},
		{"AT+CONF? Topic17", "ERR11 UNKNOWN KEY"},
		{"AT+CONF ThingName=x", "ERR12 KEY READONLY"},
		{"AT+CONF Certificate=pem", "ERR12 KEY READONLY"},
		{"AT+CONF? Passphrase", "ERR13 KEY WRITEONLY"},
		{"AT+CONNECT", "ERR14 4 UNABLE TO CONNECT no root certificate"},
		{"AT+TIME?", "ERR15 TIME NOT AVAILABLE"},
		{"AT+WHERE?", "ERR16 LOCATION NOT AVAILABLE"},
		{"AT+OTA READ 10", "ERR19 HOST IMAGE NOT AVAILABLE"},
		{"AT+OTA SEEK 0", "ERR19 HOST IMAGE NOT AVAILABLE"},
		{"AT+OTA APPLY", "ERR19 HOST IMAGE NOT AVAILABLE"},
		{"AT+OTA ACCEPT", "ERR21 INVALID OTA UPDATE"},
		{"AT+OTA ACCEPT now", "ERR4 PARAMETER ERROR"},
		{"AT+OTA DANCE", "ERR4 PARAMETER ERROR"},
		{"AT+CONF HOTAcertificate=nonsense", "ERR26 INVALID CERTIFICATE"},
		{"AT+SLEEP1 soon", "ERR4 PARAMETER ERROR"},
		{"AT+DIAG REBOOT", "ERR4 PARAMETER ERROR"},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++)
		ASSERT_ANSWER(cases[i].line, cases[i].answer);
}

static void test_overlong(void)
{
	struct iot_buf line = IOT_BUF_INIT(100000);

	iot_buf_adds(&line, "AT+CONF Topic1=");
	while (line.len < IOT_EL_COMMAND_MAX + 1)
		iot_buf_addc(&line, 'x');
	ASSERT_ANSWER(iot_buf_str(&line), "ERR1 OVERFLOW");
	ASSERT_ANSWER("AT", "OK");
	/* Noise has no limit and costs nothing. */
	iot_buf_clear(&line);
	while (line.len < 90000)
		iot_buf_addc(&line, 'x');
	ASSERT_ANSWER(iot_buf_str(&line), "");
	ASSERT_ANSWER("AT", "OK");
	iot_buf_release(&line);
}

static void test_escapes(void)
{
	ASSERT_ANSWER("AT+CONF Topic1=a\\\\Ab\\Dc\\Ad", "OK");
	CU_ASSERT_STRING_EQUAL(dict_topic(module->dict, 1), "a\\Ab\rc\nd"); /* one pass */
	ASSERT_ANSWER("AT+CONF? Topic1", "OK a\\\\Ab\\Dc\\Ad");
	CU_ASSERT_STRING_EQUAL(raw("AT+CONF Topic2=a\0b\n", 19), "ERR4 PARAMETER ERROR\r\n");
	CU_ASSERT_STRING_EQUAL(raw("AT+CONF Topic2=\xff\n", 17), "ERR4 PARAMETER ERROR\r\n");
}

static void restart_as(const char *spec)
{
	stop_module();
	options.spec = spec;
	start_module();
}

static void test_versions(void)
{
	restart_as("v0.5");
	CU_ASSERT_STRING_EQUAL(raw("AT\n", 3), "OK\n");
	CU_ASSERT_STRING_EQUAL(raw("AT+EVENT?\r\n", 11), "ERR2 PARSE ERROR\n"); /* knows no CR */
	ASSERT_ANSWER("AT+CONNECT?", "OK 0");
	ASSERT_ANSWER("AT+CONF? KeepAlive", "ERR11 UNKNOWN KEY");
	ASSERT_ANSWER("AT+SHADOW INIT", "ERR3 COMMAND NOT FOUND");
	ASSERT_ANSWER("AT+GET17", "ERR7 TOPIC OUT OF RANGE");
	CU_ASSERT_PTR_EQUAL(strstr(ask("AT+CONF? Certificate pem"), "OK pem\n"), answer.data);
	restart_as("v1.1.2");
	ASSERT_ANSWER("AT+EVENT! 1", "ERR3 COMMAND NOT FOUND");
	ASSERT_ANSWER("AT+OTA? DOC", "ERR4 PARAMETER ERROR");
	ASSERT_ANSWER("AT+CONF? TechSpec", "OK v1.1");
	ASSERT_ANSWER("AT+CONNECT?", "OK 0 0 DISCONNECTED STAGING");
	restart_as("v1.3");
	ASSERT_ANSWER("AT+CONF? KeepAlive", "OK");
	ASSERT_ANSWER("AT+CONF Endpoint=localhost", "OK");
	ASSERT_ANSWER("AT+CONNECT?", "OK 0 1 DISCONNECTED CUSTOMER");
}

static void test_events(void)
{
	ASSERT_ANSWER("AT+EVENT?", "OK 2 0 STARTUP");
	ASSERT_ANSWER("AT+EVENT?", "OK");
	for (int i = 0; i < EVENTS_MAX + 2; i++)
		module_raise(module, IOT_EL_MSG, (unsigned)i, NULL);
	ASSERT_ANSWER("AT+EVENT?", "OK 1 2 MSG"); /* the oldest two are gone */
	ASSERT_ANSWER("AT+RESET", "OK");
	ASSERT_ANSWER("AT+EVENT?", "OK 2 0 STARTUP");
	ASSERT_ANSWER("AT+EVENT?", "OK");
	/* A long poll is answered by the next event; the next command waits for that. */
	CU_ASSERT_EQUAL(module_feed(module, "AT+EVENT! 60\nAT\n", 16), 13);
	CU_ASSERT_EQUAL(module->out.len, 0);
	module_raise(module, IOT_EL_OTA, 0, NULL);
	CU_ASSERT_STRING_EQUAL(raw("", 0), "OK 5 0 OTA\r\n");
	ASSERT_ANSWER("AT+EVENT! 0", "");
	module_tick(module);
	CU_ASSERT_STRING_EQUAL(raw("", 0), "OK 0 0 TIMEOUT\r\n");
}

static void test_faults(void)
{
	static const char *const faults[] = {"err=CONF HOTAcertificate:26", "err=CONNECT:14", "reset=TIME?"};
	static const char *const bad[] = {
		"drop=2",        "drop",          "drop=",     "err=CONF",      "err=CONF:99",  "err=CONF#0:4",
		"reset=",        "reset=#1",      "reset=AT+", "noise=x",       "gremlins",     "slow=x",
		"silence=1",     "wrong-speed=1", "drop=1@",   "drop=1@AT+",    "drop=1@#2",    "drop=1@CONF#",
		"drop=1@CONF#x", "drop=1@CONF#0", "@CONF",     "literal-pem@X", "backoff=1s@X", ""};
	struct module_faults parsed;

	stop_module();
	options.faults = faults;
	options.fault_count = IOT_LENGTH(faults);
	start_module();
	ASSERT_ANSWER("AT+CONF HOTAcertificate=x", "ERR26 INVALID CERTIFICATE");
	ASSERT_ANSWER("AT+CONF? HOTAcertificate", "OK");
	ASSERT_ANSWER("AT+CONNECT", "ERR14 UNABLE TO CONNECT");
	ASSERT_ANSWER("AT+CONNECT?", "OK 0 0 DISCONNECTED STAGING");
	ASSERT_ANSWER("AT+CONF QoS=1", "OK");
	ASSERT_ANSWER("AT+TIME?", ""); /* reset in the middle, once */
	ASSERT_ANSWER("AT+CONF? QoS", "OK 0");
	ASSERT_ANSWER("AT+TIME?", "ERR15 TIME NOT AVAILABLE");
	faults_init(&parsed, 1);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		CU_ASSERT_EQUAL(faults_add(&parsed, bad[i], NULL), IOT_USAGE);
	faults_release(&parsed);
}

/* What the host said, as it comes through; one call of faults_hear for each line. */
static const char *through(struct module_faults *faults, const char *text)
{
	size_t taken;

	for (iot_buf_clear(&answer); *text != '\0'; text += taken) {
		taken = faults_hear(faults, text, strlen(text), &answer);
		if (taken == 0)
			break;
	}
	return iot_buf_str(&answer);
}

static void test_aimed(void)
{
	struct module_faults faults;

	faults_init(&faults, 1);
	CU_ASSERT_EQUAL(faults_add(&faults, "drop=1@conf rootca", NULL), IOT_OK);
	CU_ASSERT_EQUAL(faults_add(&faults, "double=1@AT+CONF? About#2", NULL), IOT_OK);
	CU_ASSERT_EQUAL(faults_add(&faults, "double=1@AT", NULL), IOT_OK);
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF? RootCA\n"), "AT+CONF? RootCA\n");
	CU_ASSERT_STRING_EQUAL(faults.struck, "");
	/* A paste belongs to its command, and so does what is answered. */
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF RootCA=pem\n-----BEGIN\nx\n"), "");
	faults_say(&faults, "OK\r\n", 4, &answer);
	CU_ASSERT_EQUAL(answer.len, 0);
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT\n"), "AATT\n\n");
	CU_ASSERT_STRING_EQUAL(faults.struck, "double at AT");
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF? About\r\n"), "AT+CONF? About\r\n");
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+D\nAT+D\n"), "AT+D\nAT+D\n");
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF? Ab\n"), "AT+CONF? Ab\n"); /* only a front of its front */
	CU_ASSERT_STRING_EQUAL(through(&faults, "xAT+CONF? Ab"), "");               /* nobody can tell yet */
	CU_ASSERT_STRING_EQUAL(through(&faults, "xAT+D\n"), "xAT+D\n");
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF? About\n"), "AATT++CCOONNFF??  AAbboouutt\n\n");
	CU_ASSERT_STRING_EQUAL(through(&faults, "AT+CONF? About\n"), "AT+CONF? About\n");
	faults_release(&faults);
}

static void test_silence(void)
{
	static const char *const faults[] = {"silence-in-pem", "silence@TIME?#2", "slow=1h@EVENT?"};

	stop_module();
	options.faults = faults;
	options.fault_count = IOT_LENGTH(faults);
	start_module();
	ASSERT_ANSWER("AT+CONF? RootCA", "OK");
	CU_ASSERT_PTR_NOT_NULL(strstr(ask("AT+CONF? Certificate"), "-----BEGIN"));
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&answer), "-----END"));
	CU_ASSERT_PTR_NULL(strstr(ask("AT+CONF? Certificate pem"), "-----END"));
	CU_ASSERT_STRING_EQUAL(through(&module->faults, "AT+TIME?\n"), "AT+TIME?\n");
	ASSERT_ANSWER("AT+TIME?", "ERR15 TIME NOT AVAILABLE");
	CU_ASSERT_STRING_EQUAL(through(&module->faults, "AT+TIME?\n"), "AT+TIME?\n");
	ASSERT_ANSWER("AT+TIME?", "ERR15 TIME NO");
	CU_ASSERT_STRING_EQUAL(through(&module->faults, "AT+EVENT?\n"), "AT+EVENT?\n");
	ASSERT_ANSWER("AT+EVENT?", "");
}

/* The same seed plays the same faults. */
static void test_dice(void)
{
	struct module_faults one, two;
	struct iot_buf a = IOT_BUF_INIT(10000), b = IOT_BUF_INIT(10000);
	static const char text[] = "AT+CONF? Certificate pem, and some more bytes that go over the wire";

	faults_init(&one, 7);
	faults_init(&two, 7);
	for (int i = 0; i < 3; i++) {
		static const char *const faults[] = {"drop=0.3", "double=0.3", "flip=0.1"};

		CU_ASSERT_EQUAL(faults_add(&one, faults[i], NULL), IOT_OK);
		CU_ASSERT_EQUAL(faults_add(&two, faults[i], NULL), IOT_OK);
	}
	faults_say(&one, text, sizeof(text), &a);
	faults_say(&two, text, sizeof(text), &b);
	CU_ASSERT(a.len != sizeof(text) || memcmp(a.data, text, a.len) != 0);
	CU_ASSERT(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
	iot_buf_release(&a);
	iot_buf_release(&b);
}

UNIT_MAIN("sim/expresslink_at", set_up, tear_down, {"noise", test_noise}, {"errors", test_errors},
	  {"overlong", test_overlong}, {"escapes", test_escapes}, {"versions", test_versions}, {"events", test_events},
	  {"faults", test_faults}, {"aimed", test_aimed}, {"silence", test_silence}, {"dice", test_dice})
