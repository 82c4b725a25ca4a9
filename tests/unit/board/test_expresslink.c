/* The ExpressLink dialect against a module that is played on a pty. */
#include "iotctl/board.h"

#include "fake_module.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "unit.h"

#define UID "4a1fb7f2-9d02-4b06-b2b5-2c1f2cb9a1e0"

enum { ANSWER_MS = 500 }; /* the module that is played answers at once, or not at all */

static struct fake_module module;
static struct iot_buf birth = IOT_BUF_INIT(32768), root = IOT_BUF_INIT(32768);

static void make_cert(const char *name, struct iot_buf *pem)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, name, 3650, &cert, &err), &err);
	iot_buf_clear(pem);
	iot_cert_pem(cert, pem);
}

static void set_up(void)
{
	if (birth.len == 0) {
		make_cert(UID, &birth);
		make_cert("root", &root);
	}
	fake_init(&module, UID, iot_buf_str(&birth));
}

static void tear_down(void)
{
	fake_stop(&module);
}

/* Start the module as it is set and open it. */
static enum iot_status open_board(struct iot_board **ret, struct iot_error *err)
{
	struct iot_board_options options = {.serial = {.path = module.path, .interrupt_fd = -1},
					    .answer_ms = ANSWER_MS};

	fake_start(&module);
	return iot_board_open(iot_board_find("expresslink"), &options, ret, err);
}

static void check_identify(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	ASSERT_OK(iot_board_identify(board, &identity, &err), &err);
	CU_ASSERT_STRING_EQUAL(identity.vendor, "Acme");
	CU_ASSERT_STRING_EQUAL(identity.model, "Rocket");
	CU_ASSERT_STRING_EQUAL(identity.version, "1.2.3");
	CU_ASSERT_STRING_EQUAL(identity.uid, UID);
	CU_ASSERT_STRING_EQUAL(identity.endpoint, "staging.vendor.example");
	CU_ASSERT_EQUAL(identity.claimed_known, !module.old);
	CU_ASSERT_FALSE(identity.claimed);
	CU_ASSERT_FALSE(identity.connected);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&identity.certificate), iot_buf_str(&birth));
}

static void test_identify(void)
{
	check_identify();
}

static void test_identify_old(void)
{
	module.old = true;
	check_identify();
}

static void test_identify_pem_only(void)
{
	module.no_one_line_pem = true;
	check_identify();
}

static void test_identify_uncounted_pem_only(void)
{
	module.no_one_line_pem = module.uncounted = true;
	check_identify();
}

static void test_identify_noise(void)
{
	module.echo = true;
	module.garble = 2;
	module.silent = 0;
	check_identify();
}

/* The answer to a command stops in the middle of the certificate: it is asked again. */
static void test_identify_stops(void)
{
	module.stop_in = "MII";
	check_identify();
}

/* One bit of one answer is turned on its way: what is made of it must be what the module said. */
static void test_identify_hurt(void)
{
	static const struct {
		const char *hurt;
		int at, bit;
	} cases[] = {{"Acme", 0, 2},         {"1.2.3", 4, 1},       {"v1.1", 3, 2},       {UID, 7, 1},
		     {"staging.", 3, 4},     {"OK 0 0 DIS", 3, 1},  {"OK 0 0 DIS", 5, 1}, {"-----BEGIN", 60, 1},
		     {"-----BEGIN", 200, 2}, {"-----BEGIN", 500, 1}};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		if (i > 0) {
			tear_down();
			set_up();
		}
		module.hurt = cases[i].hurt;
		module.hurt_at = cases[i].at;
		module.hurt_bit = cases[i].bit;
		module.hurts = 1;
		check_identify();
		CU_ASSERT_EQUAL(module.hurts, 0);
	}
}

/* No two answers are the same: then nobody knows who it is. */
static void test_identify_unsteady(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	module.unsteady = "ThingName";
	ASSERT_OK(open_board(&board, &err), &err);
	ASSERT_STATUS(iot_board_identify(board, &identity, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "no steady ThingName");
	ASSERT_CONTAINS(err.hint, "wires");
}

static void install(struct iot_board *board, enum iot_board_item_kind kind, const char *value,
		    enum iot_board_outcome outcome)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_install(board, &item, &err), &err);
	CU_ASSERT_EQUAL(item.outcome, outcome);
}

static void check_install(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int writes;

	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	install(board, IOT_ITEM_ROOT_CA, iot_buf_str(&root), IOT_ITEM_WRITTEN);
	install(board, IOT_ITEM_CODE_SIGNING, iot_buf_str(&root), IOT_ITEM_WRITTEN);
	install(board, IOT_ITEM_ENDPOINT, "iot.example", IOT_ITEM_WRITTEN);
	install(board, IOT_ITEM_CUSTOM_NAME, "back\\slash", IOT_ITEM_WRITTEN);
	install(board, IOT_ITEM_WIFI_PASSWORD, "se\\Acret", IOT_ITEM_TAKEN);
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Passphrase"), "se\\Acret");
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "CustomName"), "back\\slash");
	writes = module.writes;
	install(board, IOT_ITEM_ROOT_CA, iot_buf_str(&root), IOT_ITEM_SAME);
	install(board, IOT_ITEM_CODE_SIGNING, iot_buf_str(&root), IOT_ITEM_SAME);
	install(board, IOT_ITEM_ENDPOINT, "iot.example", IOT_ITEM_SAME);
	CU_ASSERT_EQUAL(module.writes, writes);
}

static void test_install(void)
{
	check_install();
}

static void test_install_old(void)
{
	module.old = true;
	check_install();
}

static void test_install_pasted(void)
{
	module.no_one_line_pem = true;
	check_install();
}

static void test_install_pasted_with_prompts(void)
{
	module.no_one_line_pem = module.prompts = true;
	check_install();
}

/* A body on one long line, as some tools write it, is the same certificate. */
static void test_same_whatever_the_lines(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	char *text = fake_find(&module, "RootCA")->value, *to = text;
	const char *in = iot_buf_str(&root);

	for (const char *c = in; *c != '\0'; c++) {
		bool keep = *c != '\n' || c - in < 30 || strncmp(c + 1, "-----END", 8) == 0;

		if (keep)
			*to++ = *c;
	}
	*to = '\0';
	ASSERT_OK(open_board(&board, &err), &err);
	if (board != NULL)
		install(board, IOT_ITEM_ROOT_CA, iot_buf_str(&root), IOT_ITEM_SAME);
}

static void check_refusal(const char *answer, enum iot_board_item_kind kind, const char *value,
			  enum iot_status expected, const char *words)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	module.refuse = kind == IOT_ITEM_CODE_SIGNING ? "HOTAcertificate"
			: kind == IOT_ITEM_ROOT_CA    ? "RootCA"
						      : "Endpoint";
	module.refuse_with = answer;
	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	ASSERT_STATUS(iot_board_install(board, &item, &err), expected, &err);
	ASSERT_CONTAINS(iot_error_line(&err, line, sizeof(line)), words);
	CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_NOT_TRIED);
}

static void test_refused_signer(void)
{
	check_refusal("ERR23 INVALID SIGNATURE", IOT_ITEM_CODE_SIGNING, iot_buf_str(&root), IOT_VERIFY, "--replace");
}

static void test_refused_certificate(void)
{
	check_refusal("ERR26 INVALID CERTIFICATE", IOT_ITEM_ROOT_CA, iot_buf_str(&root), IOT_BOARD, "(ERR26)");
}

static void test_refused_value(void)
{
	check_refusal("ERR4 PARAMETER ERROR", IOT_ITEM_ENDPOINT, "x", IOT_BOARD, "(ERR4)");
}

/* A line that loses bytes, and a setting that the module does not know: two things, told apart. */
static void check_unknown(enum iot_board_item_kind kind, const char *key, int unknown, enum iot_status expected,
			  const char *words)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_board_item item = {kind, "value", IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	module.refuse = key;
	module.refuse_with = "ERR11 UNKNOWN KEY";
	module.refusals = unknown;
	module.garble = 1;
	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	ASSERT_STATUS(iot_board_install(board, &item, &err), expected, &err);
	iot_error_line(&err, line, sizeof(line));
	if (words != NULL)
		ASSERT_CONTAINS(line, words);
	CU_ASSERT_PTR_NULL(strstr(line, "bytes get lost"));
}

static void test_unknown_setting(void)
{
	check_unknown(IOT_ITEM_WIFI_PASSWORD, "Passphrase", 0, IOT_BOARD, "; its firmware is too old for it");
}

static void test_unknown_to_read(void)
{
	check_unknown(IOT_ITEM_APN, "none", 0, IOT_BOARD, "; its firmware is too old for it");
}

static void test_hurt_key(void)
{
	check_unknown(IOT_ITEM_WIFI_PASSWORD, "Passphrase", 1, IOT_OK, NULL);
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Passphrase"), "value");
}

static void test_too_long(void)
{
	check_refusal("ERR4 PARAMETER ERROR", IOT_ITEM_ENDPOINT, "x", IOT_BOARD, "use a shorter value");
}

static void check_connect(const char *answer, enum iot_status expected, const char *words)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	module.connect_answer = answer;
	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	ASSERT_STATUS(iot_board_connect(board, 1500, &err), expected, &err);
	if (words != NULL)
		ASSERT_CONTAINS(iot_error_line(&err, line, sizeof(line)), words);
}

static void test_connect(void)
{
	check_connect(NULL, IOT_OK, NULL);
}

static void test_connect_network(void)
{
	check_connect("ERR14 2 UNABLE TO CONNECT", IOT_VERIFY, "Wi-Fi name and password");
}

static void test_connect_unreachable(void)
{
	check_connect("ERR14 3 UNABLE TO CONNECT", IOT_VERIFY, "does not resolve");
}

static void test_connect_tls(void)
{
	check_connect("ERR14 4.7 UNABLE TO CONNECT", IOT_VERIFY, "(ERR14 4.7)");
}

static void test_connect_login(void)
{
	check_connect("ERR14 5 UNABLE TO CONNECT", IOT_VERIFY, "iot:Connect");
}

static void test_connect_busy(void)
{
	check_connect("ERR25 NOT ALLOWED", IOT_BOARD, "(ERR25)");
}

static void test_other_modem(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	module.other = true;
	ASSERT_STATUS(open_board(&board, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "is no ExpressLink module");
}

static void test_reset(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	fake_set(&module, "Endpoint", "elsewhere", true, true);
	ASSERT_OK(open_board(&board, &err), &err);
	if (board == NULL)
		return;
	ASSERT_OK(iot_board_reset(board, &err), &err);
	CU_ASSERT_STRING_EQUAL(fake_get(&module, "Endpoint"), "staging.vendor.example");
}

static void test_secret_stays_secret(void)
{
	char *dir = unit_mkdtemp();
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "said");
	IOT_CLEAN(iot_buf_release) struct iot_buf said = IOT_BUF_INIT(100000);
	struct iot_board_options options = {.serial = {.interrupt_fd = -1, .transcript = file}, .answer_ms = ANSWER_MS};
	struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board_item item = {IOT_ITEM_WIFI_PASSWORD, "hunter2", IOT_ITEM_NOT_TRIED};

	module.echo = true;
	module.refuse = "Passphrase";
	module.refuse_with = "ERR4 hunter2 IS NO GOOD";
	fake_start(&module);
	options.serial.path = module.path;
	ASSERT_OK(iot_board_open(iot_board_find("expresslink"), &options, &board, &err), &err);
	ASSERT_STATUS(iot_board_install(board, &item, &err), IOT_BOARD, &err);
	CU_ASSERT_PTR_NULL(strstr(err.what, "hunter2"));
	iot_board_close(board);
	ASSERT_OK(iot_fs_read(file, &said, &err), &err);
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), "hunter2"));
	ASSERT_CONTAINS(iot_buf_str(&said), "AT+CONF Passphrase=<secret>");
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

UNIT_MAIN("board/expresslink", set_up, tear_down, {"identify", test_identify}, {"identify-old", test_identify_old},
	  {"identify-pem-only", test_identify_pem_only}, {"identify-uncounted", test_identify_uncounted_pem_only},
	  {"identify-noise", test_identify_noise}, {"identify-stops", test_identify_stops},
	  {"identify-hurt", test_identify_hurt}, {"identify-unsteady", test_identify_unsteady},
	  {"install", test_install}, {"install-old", test_install_old}, {"install-pasted", test_install_pasted},
	  {"install-prompts", test_install_pasted_with_prompts}, {"same-lines", test_same_whatever_the_lines},
	  {"refused-signer", test_refused_signer}, {"refused-certificate", test_refused_certificate},
	  {"refused-value", test_refused_value}, {"unknown-setting", test_unknown_setting},
	  {"unknown-to-read", test_unknown_to_read}, {"hurt-key", test_hurt_key}, {"too-long", test_too_long},
	  {"connect", test_connect}, {"connect-network", test_connect_network},
	  {"connect-unreachable", test_connect_unreachable}, {"connect-tls", test_connect_tls},
	  {"connect-login", test_connect_login}, {"connect-busy", test_connect_busy}, {"other-modem", test_other_modem},
	  {"reset", test_reset}, {"secret", test_secret_stays_secret})
