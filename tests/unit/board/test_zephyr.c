/* The Zephyr shell: its words, and what a board holds after it was told something and its power was cut in between. */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/key.h"
#include "iotctl/process.h"
#include "iotctl/text.h"
#include "unit.h"

#include <poll.h>
#include <unistd.h>

#define DIGEST "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" /* of nothing */

/* --- words --------------------------------------------------------------------------------------- */

static void test_rows(void)
{
	static const struct {
		const char *line;
		bool good, has_digest;
		int64_t tag;
		const char *type;
	} cases[] = {
		{"42,CA," DIGEST ",0", true, true, 42, "CA"},
		{"0,PSK_ID," DIGEST ",0", true, true, 0, "PSK_ID"},
		{"2147483647,PK_PSA," DIGEST ",0", true, true, 2147483647, "PK_PSA"},
		{"42,PK,ERROR,-134", true, false, 42, "PK"},
		{"42,PK,N/A,-2", true, false, 42, "PK"},
		{"2147483648,CA," DIGEST ",0", false, false, 0, ""},
		{"-1,CA," DIGEST ",0", false, false, 0, ""},
		{",CA," DIGEST ",0", false, false, 0, ""},
		{"42,," DIGEST ",0", false, false, 0, ""},
		{"42,ca," DIGEST ",0", false, false, 0, ""},
		{"42,CACACACACACA," DIGEST ",0", false, false, 0, ""},
		{"42,CA," DIGEST ",-5", false, false, 0, ""},
		{"42,CA,ERROR,0", false, false, 0, ""},
		{"42,CA," DIGEST, false, false, 0, ""},
		{"42,CA," DIGEST ",0 ", false, false, 0, ""},
		{"42,CA,47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF,0", false, false, 0, ""},
		{"42,CA", false, false, 0, ""},
		{"", false, false, 0, ""},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		struct zephyr_row row = {0};

		CU_ASSERT_EQUAL(zephyr_row_parse(cases[i].line, &row), cases[i].good);
		if (!cases[i].good)
			continue;
		CU_ASSERT_EQUAL(row.tag, cases[i].tag);
		CU_ASSERT_EQUAL(row.has_digest, cases[i].has_digest);
		CU_ASSERT_STRING_EQUAL(row.type, cases[i].type);
	}
}

static void test_counts(void)
{
	int64_t count = -1;

	CU_ASSERT_TRUE(zephyr_count_parse("3 credentials found.", &count) && count == 3);
	CU_ASSERT_TRUE(zephyr_count_parse("0 credentials found.", &count) && count == 0);
	CU_ASSERT_FALSE(zephyr_count_parse("credentials found.", &count));
	CU_ASSERT_FALSE(zephyr_count_parse("3 credentials found", &count));
	CU_ASSERT_FALSE(zephyr_count_parse("99999999999 credentials found.", &count));
}

static void test_values(void)
{
	static const struct {
		const char *set, *value;
		bool good;
	} cases[] = {
		{"app {value}", "a1b2-ats.iot.eu-central-1.amazonaws.com", true},
		{"app {value}", "thing:with_all-of.them@/+=,", true},
		{"app {value}", "", false},
		{"app {value}", "two words", false},
		{"app {value}", "a;b", false},
		{"app {value}", "a\"b", false},
		{"app {value}", "a\nb", false},
		{"app {value}", "\xc3\xa4", false},
		{"app {value}", "wild*", false},
		{"app \"{value}\"", "two words; and more!", true},
		{"app \"{value}\"", "a\"b", false},
		{"app \"{value}\"", "a\\b", false},
		{"app \"{value}\"", "what?", false},
		{"app \"{value}\"", "$x", false},
		{"app \"{value}", "two words", false},
		{"app '{value}'", "two words", false},
	};
	struct iot_error err = IOT_ERROR_INIT;
	char long_value[ZEPHYR_LINE_MAX];

	for (size_t i = 0; i < IOT_LENGTH(cases); i++)
		ASSERT_STATUS(zephyr_check_value(cases[i].set, "value", cases[i].value, &err),
			      cases[i].good ? IOT_OK : IOT_USAGE, &err);
	memset(long_value, 'x', sizeof(long_value));
	long_value[ZEPHYR_LINE_MAX - 4] = '\0';
	ASSERT_OK(zephyr_check_value("app {value}", "value", long_value, &err), &err);
	ASSERT_STATUS(zephyr_check_value("appp {value}", "value", long_value, &err), IOT_USAGE, &err);
}

static void test_shown(void)
{
	char value[16];

	CU_ASSERT_TRUE(zephyr_shown("host: {value}", "host: a.b", value, sizeof(value)));
	CU_ASSERT_STRING_EQUAL(value, "a.b");
	CU_ASSERT_TRUE(zephyr_shown("host = \"{value}\";", "host = \"a.b\";", value, sizeof(value)));
	CU_ASSERT_STRING_EQUAL(value, "a.b");
	CU_ASSERT_TRUE(zephyr_shown("host: {value}", "host:", value, sizeof(value)));
	CU_ASSERT_STRING_EQUAL(value, "");
	CU_ASSERT_FALSE(zephyr_shown("host: {value}", "port: 8883", value, sizeof(value)));
	CU_ASSERT_FALSE(zephyr_shown("host: {value}", "host: 0123456789abcdef", value, sizeof(value)));
	CU_ASSERT_FALSE(zephyr_shown("host: \"{value}\"", "host: \"", value, sizeof(value)));
}

static void test_failures(void)
{
	CU_ASSERT_EQUAL(zephyr_failure("TLS credential with sectag 42 and type CA_CERT already exists."),
			ZEPHYR_EXISTS);
	CU_ASSERT_EQUAL(zephyr_failure("cred: command not found"), ZEPHYR_NO_COMMAND);
	CU_ASSERT_EQUAL(zephyr_failure("Failed to add TLS credential with sectag 1 and type PSK. Error: -12"),
			ZEPHYR_REFUSED);
	CU_ASSERT_EQUAL(zephyr_failure("Added TLS credential of type CA_CERT, sectag 42, and length 7 bytes."),
			ZEPHYR_NOTHING);
}

/* The board takes the line away that is being typed, and puts it back after its own. */
static void test_terminal(void)
{
	static const char said[] = "\x1b[1;32muart:~$ \x1b[mcred l\x1b[14D\x1b[J[00:01] <inf> x\r\nuart:~$ cred l";
	struct console_terminal terminal = {.line = IOT_BUF_INIT(256)};

	for (const char *c = said; *c != '\0'; c++) {
		if (!console_show(&terminal, *c))
			continue;
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&terminal.line), "[00:01] <inf> x");
		iot_buf_clear(&terminal.line);
	}
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&terminal.line), "uart:~$ cred l");
	for (const char *c = "\x1b[999999999999999999999D\x1b[D\x1b[;Dx"; *c != '\0'; c++)
		console_show(&terminal, *c);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&terminal.line), "x");
	iot_buf_release(&terminal.line);
}

/* --- a board --------------------------------------------------------------------------------------- */

static char *dir, *port;
static struct iot_process sim = IOT_PROCESS_INIT;
static struct iot_board_description *description;
static struct iot_board *board;

static void describe(const char *more)
{
	IOT_CLEAN(iot_free_p)
	char *text =
		iot_strf("{\"name\": \"z\", \"dialect\": \"zephyr\", \"key\": {\"origin\": \"psk\", \"onWire\": true},"
			 "\"install\": [\"root-ca\", \"psk-identity\", \"psk\"], \"secTag\": 42%s}",
			 more);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON json = NULL;

	ASSERT_OK(iot_json_parse(text, strlen(text), "description", &json, &err), &err);
	ASSERT_OK(iot_board_description_parse(json, &description, &err), &err);
}

static void power_on(const char *fault)
{
	IOT_CLEAN(iot_free_p) char *said = iot_path(dir, "said");
	const char *const argv[] = {IOTCTL,   "sim",    "board", "--kind",
				    "zephyr", "--link", port,    fault != NULL ? "--fault" : NULL,
				    fault,    NULL};
	const struct iot_process_options process = {.argv = argv, .die_with_parent = true};
	const struct iot_board_options options = {.serial = {.path = port, .interrupt_fd = -1, .transcript = said}};
	struct iot_error err = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(20000);

	unlink(port);
	ASSERT_OK(iot_process_start(&process, &sim, &err), &err);
	while (!iot_fs_exists(port) && iot_left(deadline) > 0)
		poll(NULL, 0, 10);
	ASSERT_OK(iot_board_open_described(description, &options, &board, &err), &err);
}

static void power_off(void)
{
	iot_board_close_p(&board);
	iot_process_stop(&sim, 5000);
	iot_process_release(&sim);
	sim = (struct iot_process)IOT_PROCESS_INIT;
}

static void begin(const char *more, const char *fault)
{
	dir = unit_mkdtemp_memory();
	port = iot_path(dir, "board");
	describe(more);
	power_on(fault);
}

static void end(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	power_off();
	iot_board_description_free_p(&description);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(port);
	free(dir);
}

static json_t *held(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "board.state/state.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	json_t *state = NULL, *credentials;

	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	ASSERT_OK(iot_json_parse(iot_buf_str(&text), text.len, path, &state, &err), &err);
	credentials = json_incref(json_object_get(state, "credentials"));
	json_decref(state);
	return credentials;
}

static size_t held_cas(void)
{
	IOT_JSON credentials = held();

	return (json_object_get(credentials, "42 CA") != NULL) + (json_object_get(credentials, "43 CA") != NULL);
}

static enum iot_board_outcome install(enum iot_board_item_kind kind, const char *value)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_install(board, &item, &err), &err);
	return item.outcome;
}

/* The bytes, without a NUL: a TLS library takes its whole length for the secret. */
static void test_secret(void)
{
	static const char hex[] = "00ff8142c3a40a0d1b5b7f22275c2520e29d8c6f6d65776861742072616e646f";
	struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536), said = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_free_p) char *path = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	uint8_t bytes[32];

	begin("", NULL);
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK_IDENTITY, "pump-1"), IOT_ITEM_WRITTEN);
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK, hex), IOT_ITEM_WRITTEN);
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK, hex), IOT_ITEM_SAME);
	ASSERT_OK(iot_board_identify(board, &identity, &err), &err);
	CU_ASSERT_STRING_EQUAL(identity.psk_identity, "pump-1");
	iot_board_identity_release(&identity);
	IOT_JSON credentials = held();
	CU_ASSERT_TRUE(iot_unhex(hex, bytes, sizeof(bytes)));
	iot_base64(bytes, sizeof(bytes), &text);
	CU_ASSERT_STRING_EQUAL(iot_json_str(credentials, "42 PSK", ""), iot_buf_str(&text));
	CU_ASSERT_STRING_EQUAL(iot_json_str(credentials, "42 PSK_ID", ""), "cHVtcC0x");
	path = iot_path(dir, "said");
	ASSERT_OK(iot_fs_read(path, &said, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&said), " DEFAULT ");
	CU_ASSERT_PTR_NULL(memmem(said.data, said.len, text.data, 20));
	CU_ASSERT_PTR_NULL(memmem(said.data, said.len, text.data + 20, 20));
	end();
}

/* No digest, and not shown either. */
static void test_not_shown(void)
{
	begin("", "no-digest");
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK_IDENTITY, "pump-1"), IOT_ITEM_WRITTEN); /* compared byte by byte */
	power_off();
	power_on("no-digest");
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK_IDENTITY, "pump-1"), IOT_ITEM_SAME);
	CU_ASSERT_EQUAL(install(IOT_ITEM_PSK_IDENTITY, "pump-2"), IOT_ITEM_WRITTEN);
	end();
}

/* To a board one certificate is as good as another. */
static char *make_root(const char *name)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE, .common_name = name, .days = 1};

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	request.key = key;
	ASSERT_OK(iot_cert_issue(key, NULL, &request, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	return iot_buf_detach(&pem);
}

/* With two tags there is a root CA at every moment, and in the end one that is trusted: the new one, or the old again.
 */
static void test_trust(void)
{
	static const char *const cuts[] = {NULL, "reset@cred add 43 CA", "reset@cred del 42 CA"};
	IOT_CLEAN(iot_free_p) char *old = make_root("old");
	IOT_CLEAN(iot_free_p) char *new = make_root("new");
	const struct iot_board_trust trust = {.root_ca = new, .old_root_ca = old};

	for (size_t i = 0; i < IOT_LENGTH(cuts); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_board_item item = {IOT_ITEM_ROOT_CA, new, IOT_ITEM_NOT_TRIED};

		begin(", \"caTags\": [42, 43]", NULL);
		CU_ASSERT_EQUAL(install(IOT_ITEM_ROOT_CA, old), IOT_ITEM_WRITTEN);
		power_off();
		power_on(cuts[i]);
		/* A board that restarts in the middle of a conversation is asked again. */
		if (iot_board_stage(board, &trust, &err) != IOT_OK) {
			CU_ASSERT_TRUE(held_cas() >= 1);
			power_off();
			power_on(NULL);
			iot_error_clear(&err);
			ASSERT_OK(iot_board_stage(board, &trust, &err), &err);
		}
		CU_ASSERT_EQUAL(held_cas(), 1);
		ASSERT_OK(iot_board_look(board, &item, &err), &err);
		CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_SAME);
		ASSERT_OK(iot_board_settle(board, &trust, i % 2 == 0, &err), &err);
		item.value = i % 2 == 0 ? new : old;
		ASSERT_OK(iot_board_look(board, &item, &err), &err);
		CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_SAME);
		CU_ASSERT_EQUAL(held_cas(), 1);
		end();
	}
}

/* A stranger's root CA under the other tag would be trusted, too. */
static void test_other_root(void)
{
	IOT_CLEAN(iot_free_p) char *ours = make_root("ours");
	IOT_CLEAN(iot_free_p) char *theirs = make_root("theirs");

	begin(", \"caTags\": [43]", NULL);
	CU_ASSERT_EQUAL(install(IOT_ITEM_ROOT_CA, theirs), IOT_ITEM_WRITTEN);
	power_off();
	iot_board_description_free_p(&description);
	describe("");
	power_on(NULL);
	CU_ASSERT_EQUAL(install(IOT_ITEM_ROOT_CA, ours), IOT_ITEM_WRITTEN);
	CU_ASSERT_EQUAL(held_cas(), 2);
	power_off();
	iot_board_description_free_p(&description);
	describe(", \"caTags\": [42, 43]");
	power_on(NULL);
	CU_ASSERT_EQUAL(install(IOT_ITEM_ROOT_CA, ours), IOT_ITEM_WRITTEN);
	CU_ASSERT_EQUAL(held_cas(), 1);
	CU_ASSERT_EQUAL(install(IOT_ITEM_ROOT_CA, ours), IOT_ITEM_SAME);
	end();
}

UNIT_MAIN("board/zephyr", NULL, NULL, {"rows", test_rows}, {"counts", test_counts}, {"values", test_values},
	  {"shown", test_shown}, {"failures", test_failures}, {"terminal", test_terminal}, {"secret", test_secret},
	  {"not_shown", test_not_shown}, {"trust", test_trust}, {"other_root", test_other_root})
