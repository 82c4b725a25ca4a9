/* What a module keeps: across restarts, power cuts and factory resets; and whose certificates it takes. */
#include "expresslink_fixture.h"

#include "iotctl/cert.h"

/* A power cut: nothing is said, nothing is saved; then it starts again. */
static void power_cut(void)
{
	stop_module();
	start_module();
}

static void test_identity(void)
{
	char *thing = iot_strdup(module->thing);
	char *certificate = iot_strdup(dict_value(module->dict, "Certificate"));

	CU_ASSERT_EQUAL(strlen(thing), 36);
	power_cut();
	CU_ASSERT_STRING_EQUAL(module->thing, thing);
	CU_ASSERT_STRING_EQUAL(dict_value(module->dict, "Certificate"), certificate);
	ASSERT_ANSWER("AT+FACTORY_RESET", "OK");
	CU_ASSERT_STRING_EQUAL(module->thing, thing);
	CU_ASSERT_STRING_EQUAL(dict_value(module->dict, "Certificate"), certificate);
	free(thing);
	free(certificate);
}

static void test_half_born(void)
{
	char *path = iot_path(dir, "state.json"), *certificate = iot_path(dir, "certificate.pem");
	char *thing = iot_strdup(module->thing);

	/* Cut after the certificate, before the state: the same module. */
	stop_module();
	CU_ASSERT_EQUAL(iot_fs_remove(path, NULL), IOT_OK);
	start_module();
	CU_ASSERT_STRING_EQUAL(module->thing, thing);
	/* Cut after the key: it gets a certificate now. */
	stop_module();
	CU_ASSERT_EQUAL(iot_fs_remove(path, NULL), IOT_OK);
	CU_ASSERT_EQUAL(iot_fs_remove(certificate, NULL), IOT_OK);
	start_module();
	CU_ASSERT_EQUAL(strlen(module->thing), 36);
	free(thing);
	free(path);
	free(certificate);
}

static void test_one_at_a_time(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct module *second = NULL;

	CU_ASSERT_EQUAL(module_new(&options, NULL, NULL, &second, &err), IOT_CONFLICT);
	CU_ASSERT_PTR_NULL(second);
}

static const struct {
	const char *key, *value, *after_reset, *after_factory;
} keys[] = {
	{"CustomName", "pump-0001", "OK pump-0001", "OK"},
	{"Endpoint", "fleet.example:8883", "OK fleet.example:8883", "OK localhost:8886"},
	{"ShadowToken", "mine", "OK mine", "OK ExpressLink"},
	{"DefenderPeriod", "60", "OK 60", "OK 0"},
	{"SSID", "bench", "OK bench", "OK"},
	{"APN", "iot.example", "OK iot.example", "OK"},
	{"KeepAlive", "120", "OK 120", "OK 120"},
	{"LWTMessage", "gone", "OK gone", "OK gone"},
	{"QoS", "1", "OK 0", "OK 0"},
	{"Topic3", "a/b", "OK", "OK"},
	{"Shadow2", "config", "OK", "OK"},
	{"EnableShadow", "1", "OK 0", "OK 0"},
};

static void write_all(void)
{
	for (size_t i = 0; i < IOT_LENGTH(keys); i++) {
		char *line = iot_strf("AT+CONF %s=%s", keys[i].key, keys[i].value);

		ASSERT_ANSWER(line, "OK");
		free(line);
	}
	ASSERT_ANSWER("AT+CONF Passphrase=very secret", "OK");
}

static void check_all(bool factory)
{
	for (size_t i = 0; i < IOT_LENGTH(keys); i++) {
		char *line = iot_strf("AT+CONF? %s", keys[i].key);

		ASSERT_ANSWER(line, factory ? keys[i].after_factory : keys[i].after_reset);
		free(line);
	}
	CU_ASSERT_STRING_EQUAL(dict_value(module->dict, "Passphrase"), factory ? "" : "very secret");
}

static void test_persistence(void)
{
	write_all();
	ASSERT_ANSWER("AT+CONF? Topic3", "OK a/b");
	ASSERT_ANSWER("AT+RESET", "OK");
	check_all(false);
	power_cut();
	check_all(false);
	ASSERT_ANSWER("AT+FACTORY_RESET", "OK");
	check_all(true);
	power_cut();
	check_all(true);
}

static void test_clearing(void)
{
	ASSERT_ANSWER("AT+CONF SSID=x", "OK");
	ASSERT_ANSWER("AT+CONF SSID=", "OK");
	ASSERT_ANSWER("AT+CONF? SSID", "OK");
	power_cut();
	ASSERT_ANSWER("AT+CONF? SSID", "OK");
}

/* --- certificates ----------------------------------------------------------------- */

/* A self-signed certificate in the form it crosses the wire in; new memory. */
static char *make_certificate(const char *name, const struct iot_key *key, bool one_line)
{
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_CODESIGN, .common_name = name, .key = key, .days = 30};
	struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf pem = IOT_BUF_INIT(10000), escaped = IOT_BUF_INIT(20000);

	ASSERT_OK(iot_cert_issue(key, NULL, &request, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	iot_cert_free(cert);
	for (size_t i = 0; i < pem.len; i++) {
		bool inner = pem.data[i] == '\n' && i > 30 && strncmp(pem.data + i + 1, "-----END", 8) != 0 &&
			     i + 1 < pem.len;

		if (pem.data[i] == '\n' && !(one_line && inner))
			iot_buf_adds(&escaped, "\\A");
		else if (pem.data[i] != '\n')
			iot_buf_addc(&escaped, pem.data[i]);
	}
	iot_buf_release(&pem);
	return iot_buf_detach(&escaped);
}

static const char *write_key(const char *name, const char *value)
{
	char *line = iot_strf("AT+CONF %s=%s", name, value);
	const char *said = ask(line);

	free(line);
	return said;
}

static struct iot_key *make_key(void)
{
	struct iot_key *key = NULL;

	CU_ASSERT_EQUAL(iot_key_generate(IOT_KEY_P256, &key, NULL), IOT_OK);
	return key;
}

static void test_host_certificate(void)
{
	struct iot_key *ours = make_key(), *stranger = make_key();
	char *first = make_certificate("first", ours, true), *second = make_certificate("second", ours, false);
	char *foreign = make_certificate("foreign", stranger, false), *read_back;

	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", first), "OK");
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", first), "OK"); /* the same again */
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", foreign), "ERR23 INVALID SIGNATURE");
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", ""), "ERR23 INVALID SIGNATURE");
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", second), "OK");
	power_cut();
	/* A module gives it back in lines of 64, whatever it got. */
	read_back = iot_strf("OK %s", second);
	ASSERT_ANSWER("AT+CONF? HOTAcertificate", read_back);
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", foreign), "ERR23 INVALID SIGNATURE");
	ASSERT_ANSWER("AT+FACTORY_RESET", "OK");
	ASSERT_ANSWER("AT+CONF? HOTAcertificate", "OK");
	CU_ASSERT_STRING_EQUAL(write_key("HOTAcertificate", foreign), "OK");
	/* The module's own comes from its vendor. */
	CU_ASSERT_STRING_EQUAL(write_key("OTAcertificate", foreign), "ERR23 INVALID SIGNATURE");
	ASSERT_ANSWER("AT+CONF? OTAcertificate", "ERR13 KEY WRITEONLY");
	free(read_back);
	free(first);
	free(second);
	free(foreign);
	iot_key_free(ours);
	iot_key_free(stranger);
}

static void test_root_survives(void)
{
	struct iot_key *key = make_key();
	char *root = make_certificate("root", key, false), *expected = iot_strf("OK %s", root);

	CU_ASSERT_STRING_EQUAL(write_key("RootCA", root), "OK");
	ASSERT_ANSWER("AT+FACTORY_RESET", "OK");
	ASSERT_ANSWER("AT+CONF? RootCA", expected);
	free(root);
	free(expected);
	iot_key_free(key);
}

static void test_pasted(void)
{
	struct iot_key *key = make_key();
	char *value = make_certificate("pasted", key, false);
	struct iot_buf pem = IOT_BUF_INIT(10000);

	CU_ASSERT(iot_el_unescape(value, strlen(value), &pem));
	ASSERT_ANSWER("AT+CONF HOTAcertificate=PEM", "");
	CU_ASSERT_STRING_EQUAL(raw(pem.data, pem.len), "OK\r\n");
	ask("AT+CONF? HOTAcertificate pem");
	CU_ASSERT_PTR_NOT_NULL(strstr(iot_buf_str(&answer), "-----END CERTIFICATE-----"));
	/* The count of lines is the count of line ends that follow. */
	CU_ASSERT_EQUAL(strtol(iot_buf_str(&answer) + 2, NULL, 10), (long)(pem.len + 63 - 27 - 25 - 2) / 65 + 2);
	/* What is no certificate is refused, and the next command is a command again. */
	ASSERT_ANSWER("AT+CONF HOTAcertificate=pem", "");
	CU_ASSERT_STRING_EQUAL(raw("nonsense\n-----END CERTIFICATE-----\nAT\n", 38),
			       "ERR26 INVALID CERTIFICATE\r\nOK\r\n");
	iot_buf_release(&pem);
	free(value);
	iot_key_free(key);
}

static void test_bad_options(void)
{
	struct iot_sim_expresslink_options bad = options;
	struct module *other = NULL;

	bad.spec = "v2.0";
	CU_ASSERT_EQUAL(module_new(&bad, NULL, NULL, &other, NULL), IOT_USAGE);
	bad = options;
	bad.vendor_ca = "ca.pem";
	CU_ASSERT_EQUAL(module_new(&bad, NULL, NULL, &other, NULL), IOT_USAGE);
}

UNIT_MAIN("sim/expresslink_dictionary", set_up, tear_down, {"identity", test_identity}, {"half_born", test_half_born},
	  {"one_at_a_time", test_one_at_a_time}, {"persistence", test_persistence}, {"clearing", test_clearing},
	  {"host_certificate", test_host_certificate}, {"root_survives", test_root_survives}, {"pasted", test_pasted},
	  {"bad_options", test_bad_options})
