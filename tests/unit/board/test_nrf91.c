/* An nRF91: its words, and what only its conversation knows: contents that were cut, a store that is full, other tags.
 * What every dialect promises is in test_dialects.c. */
#include "board/dialect/nrf91_private.h"

#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/jwt.h"
#include "iotctl/sim.h"
#include "iotctl/text.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- words --------------------------------------------------------------------------------------- */

static enum nrf91_word word(const char *line, int *ret_code)
{
	return nrf91_word(line, strlen(line), ret_code);
}

static void test_final_lines(void)
{
	static const struct {
		const char *line;
		enum nrf91_word word;
		int code;
	} cases[] = {
		{"OK", NRF91_OK, -1},
		{"\x1b[1;32mOK\x1b[0m\r", NRF91_OK, -1},
		{"AT+CFUN=4\rOK", NRF91_OK, -1},
		{"OKAY", NRF91_LINE, -1},
		{"ERROR", NRF91_ERROR, -1},
		{"+CME ERROR: 519", NRF91_ERROR, 519},
		{"+CMS ERROR: 302", NRF91_ERROR, 302},
		{"+CME ERROR: 5x", NRF91_ERROR, -1},
		{"+CME ERROR:", NRF91_ERROR, -1},
		{"", NRF91_NOTHING, -1},
		{"AT%CMNG=1,16842753", NRF91_NOTHING, -1},
		{"+CEREG: 2,\"8169\",\"014ACE00\",7", NRF91_NOTHING, -1},
		{"%MDMEV: SEARCH STATUS 2", NRF91_NOTHING, -1},
		{"%CMNG: 1,0", NRF91_LINE, -1},
		{"+CFUN: 4", NRF91_LINE, -1},
		/* Lines of a certificate: whatever they begin with. */
		{"+CEREGabcdefghijklmnopqrstuvwxyz", NRF91_LINE, -1},
		{"AT+Cabcdefghijklmnopqrstuvwxyz==", NRF91_LINE, -1},
		{"ATabcd==", NRF91_LINE, -1},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		int code = 0;

		CU_ASSERT_EQUAL(word(cases[i].line, &code), cases[i].word);
		CU_ASSERT_EQUAL(code, cases[i].code);
	}
}

static void test_entries(void)
{
	static const char hash[] = "2C43952EE9E000FF2ACC4E2ED0897C0A72AD5FA72C3D934E81741CBD54F05BD1";
	static const char *const wrong[] = {"%CMNG: 1",     "%CMNG: 1,",           "%CMNG: -1,0",
					    "%CMNG: 1,256", "%CMNG: 4294967296,0", "%CMNG: 00000000001,0",
					    "%CMNG: 1,0,",  "%CMNG: 1,0,\"2C43\"", "%CMNG: 1 0",
					    "CMNG: 1,0"};
	IOT_CLEAN(iot_free_p) char *plain = iot_strf("%%CMNG: 16842753,0,\"%s\"", hash);
	IOT_CLEAN(iot_free_p) char *spaced = iot_strf(" %%CMNG: 12345678, 1, \"%s\",\"-----BEGIN", hash);
	IOT_CLEAN(iot_free_p) char *longer = iot_strf("%%CMNG: 1,0,\"%sA\"", hash);
	IOT_CLEAN(iot_free_p) char *odd = iot_strf("%%CMNG: 1,0,\"%.63sG\"", hash);
	struct nrf91_entry entry;

	CU_ASSERT_TRUE(nrf91_entry_parse(plain, strlen(plain), &entry));
	CU_ASSERT_TRUE(entry.tag == 16842753 && entry.type == 0 && strncmp(entry.hash, "2c43952ee9", 10) == 0);
	CU_ASSERT_TRUE(nrf91_entry_parse(spaced, strlen(spaced), &entry));
	CU_ASSERT_TRUE(entry.tag == 12345678 && entry.type == 1 && strlen(entry.hash) == 64);
	CU_ASSERT_TRUE(nrf91_entry_parse("%CMNG: 4294967292,11", 20, &entry) && *entry.hash == '\0');
	CU_ASSERT_FALSE(nrf91_entry_parse(longer, strlen(longer), &entry));
	CU_ASSERT_FALSE(nrf91_entry_parse(odd, strlen(odd), &entry));
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++)
		CU_ASSERT_FALSE(nrf91_entry_parse(wrong[i], strlen(wrong[i]), &entry));
}

static void test_identity_words(void)
{
	static const struct {
		const char *text;
		bool good, has_keygen, has_hashes;
	} firmware[] = {
		{"mfw_nrf9160_1.2.7", true, false, false},
		{"mfw_nrf9160_1.3.0", true, true, false},
		{"mfw_nrf9160_1.3.2", true, true, true},
		{"mfw_nrf9160_2.0.0", true, true, true},
		{"mfw_nrf9160_1.3.1-FOTA-TEST", true, true, false},
		{"mfw_nrf91x1_2.0.1", true, true, true},
		{"mfw_nrf9151-ntn_1.0.0-1.alpha", true, true, true},
		{"mfw_nrf9160_1.3", false, false, false},
		{"mfw_nrf9160_1.3.x", false, false, false},
		{"mfw_nrf52840_1.0.0", false, false, false},
		{"mfw_nrf9160_1.3.0.1", false, false, false},
		{"1.3.0", false, false, false},
	};
	char imei[16] = "";

	CU_ASSERT_TRUE(nrf91_imei("352656100367872\r", 16, imei));
	CU_ASSERT_STRING_EQUAL(imei, "352656100367872");
	CU_ASSERT_FALSE(nrf91_imei("352656100367873", 15, imei)); /* a digit turned */
	CU_ASSERT_FALSE(nrf91_imei("35265610036787", 14, imei));  /* one lost */
	CU_ASSERT_FALSE(nrf91_imei("3526561003678722", 16, imei));
	CU_ASSERT_FALSE(nrf91_imei("35265610036787x", 15, imei));
	for (size_t i = 0; i < IOT_LENGTH(firmware); i++) {
		struct nrf91_firmware parsed = {0};

		CU_ASSERT_EQUAL(nrf91_firmware_parse(firmware[i].text, strlen(firmware[i].text), &parsed),
				firmware[i].good);
		if (!firmware[i].good)
			continue;
		CU_ASSERT_EQUAL(nrf91_firmware_at_least(&parsed, 1, 3, 0), firmware[i].has_keygen);
		CU_ASSERT_EQUAL(nrf91_firmware_at_least(&parsed, 1, 3, 2), firmware[i].has_hashes);
	}
}

/* An example that Nordic published for nRF Cloud: an older modem's, with parameters NULL, under tag 17. */
#define REQUEST                                                                                                        \
	"MIIBCjCBrwIBADAvMS0wKwYDVQQDDCQ1MDM2MzE1NC0zOTMxLTQ0ZjAtODAyMi0xMjFiNjQwMTYyN2QwWTATBgcqhkjOPQIBBggqhkjO"     \
	"PQMBBwNCAAQqD6pNfa29o_EXnw62bnQWr8-JqsNh_HZxS3k3bMD4KZ8-qxnvgeoiqQ5zAycEP_Wcmzqypvwyf3qWMrZ2VB5aoB4wHAYJ"     \
	"KoZIhvcNAQkOMQ8wDTALBgNVHQ8EBAMCA-gwDAYIKoZIzj0EAwIFAANIADBFAiEAv7OLZ_dXbszfhhjcLMUT72wTmw-z6GlgWxVhyWgR"     \
	"27ACIAvY_lPu3yfYZY5AL6uYTkUFp4GQkbSOUC_lsHyCxOuG"
#define STATEMENT                                                                                                      \
	"0oRDoQEmoQRBIVhL2dn3hQlQUDYxVDkxRPCAIhIbZAFifUERWCBwKj1W8FsvclMdZQgl4gBB4unZMYw0toU6uQZuXHLoDFAbhyLuHetY"     \
	"FWbiyxNZsnzSWEDUiTl7wwFt0hEsCiEQsxj-hCtpBk8Za8UXfdAycpx2faCOPJIrkfmiSS8-Y6_2tTAoAMN1BiWiTOimY1wZE3Ud"

static enum iot_status keygen(const char *line, int64_t tag, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_CLEAN(iot_csr_release) struct iot_csr parsed = {0};
	enum iot_status status = nrf91_keygen_parse(line, strlen(line), tag, &csr, err);

	if (status != IOT_OK) {
		CU_ASSERT_EQUAL(csr.len, 0);
		return status;
	}
	ASSERT_OK(iot_csr_parse(iot_buf_str(&csr), csr.len, &parsed, err), err);
	CU_ASSERT_STRING_EQUAL(parsed.common_name, "50363154-3931-44f0-8022-121b6401627d");
	return status;
}

static void test_keygen(void)
{
	static const struct {
		const char *line, *says;
	} wrong[] = {
		{"%KEYGEN: \"" REQUEST "\"", "without the statement"},
		{"%KEYGEN: \"" REQUEST ".\"", "malformed"},
		{"%KEYGEN: \"" REQUEST "." REQUEST "\"", "malformed"},
		{"%KEYGEN: \"" REQUEST "=." STATEMENT "\"", "malformed"},
		{"%KEYGEN: \"" REQUEST "\".\"" STATEMENT "\"", "malformed"},
		{"%KEYGEN: \"." STATEMENT "\"", "malformed"},
		{"%KEYGEN: \"AAAA." STATEMENT "\"", "another request"},
		{"%KEYGEN:", "malformed"},
		{"", "malformed"},
	};
	char line[] = "%KEYGEN: \"" REQUEST "." STATEMENT "\"\r";
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(keygen(line, 17, &err), &err);
	ASSERT_STATUS(keygen(line, 18, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "another security tag");
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++) {
		ASSERT_STATUS(keygen(wrong[i].line, 17, &err), IOT_BOARD, &err);
		ASSERT_CONTAINS(err.what, wrong[i].says);
	}
	/* No letter of the request may turn, whatever it becomes. */
	for (size_t i = strlen("%KEYGEN: \""); i < strlen("%KEYGEN: \"" REQUEST); i++) {
		line[i] ^= 1;
		CU_ASSERT_EQUAL(keygen(line, 17, NULL), IOT_BOARD);
		line[i] ^= 1;
	}
}

static void test_tokens(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL, *other = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_INIT(IOT_JWT_MAX);
	IOT_CLEAN(iot_free_p) char *line = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &other, &err), &err);
	ASSERT_OK(iot_jwt_create(key, "00ff", 1, 60, NULL, &token, &err), &err);
	line = iot_strf("%%JWT: \"%s\"", iot_buf_str(&token));
	ASSERT_OK(nrf91_token_check(line, strlen(line), "00ff", key, &err), &err);
	/* One that was made for another nonce, perhaps long ago and by another board. */
	ASSERT_STATUS(nrf91_token_check(line, strlen(line), "00fe", key, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(nrf91_token_check(line, strlen(line), "00ff", other, &err), IOT_VERIFY, &err);
	ASSERT_STATUS(nrf91_token_check(line, strlen(line) - 2, "00ff", key, &err), IOT_BOARD, &err);
	ASSERT_STATUS(nrf91_token_check("%JWT: \"\"", 9, "00ff", key, &err), IOT_BOARD, &err);
	ASSERT_STATUS(nrf91_token_check("", 0, "00ff", key, &err), IOT_BOARD, &err);
}

static void test_errors(void)
{
	static const int codes[] = {513, 514, 515, 518, 519, 523, 527, 528};

	for (size_t i = 0; i < IOT_LENGTH(codes); i++) {
		CU_ASSERT_PTR_NULL(strstr(nrf91_error_text(codes[i]), "of its own"));
		CU_ASSERT_TRUE(*nrf91_error_cure(codes[i]) != '\0');
	}
	ASSERT_CONTAINS(nrf91_error_text(-1), "does not understand");
	ASSERT_CONTAINS(nrf91_error_text(9999), "of its own");
}

/* --- conversations ---------------------------------------------------------------------------------- */

enum { ANSWER_MS = 300 };

static char *dir, *port;
static pid_t modem_pid;
static struct iot_board_description *description; /* of the modem that was opened last */
static struct iot_buf old_root = IOT_BUF_INIT(32768), new_root = IOT_BUF_INIT(32768);

static void power_on(const char *fault, const char *firmware)
{
	const struct iot_sim_board_options options = {.kind = "nrf91",
						      .link = port,
						      .faults = &fault,
						      .fault_count = fault != NULL,
						      .firmware = firmware,
						      .seed = 1};
	int64_t deadline = iot_deadline(20000);

	unlink(port);
	modem_pid = fork();
	if (modem_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(iot_sim_board_run(&options, NULL, NULL, NULL));
	}
	while (!iot_fs_exists(port) && iot_left(deadline) > 0)
		poll(NULL, 0, 2);
}

static void power_off(void)
{
	kill(modem_pid, SIGKILL);
	waitpid(modem_pid, NULL, 0);
}

static void make_root(const char *name, struct iot_buf *pem)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, name, 3650, &ca, &err), &err);
	iot_cert_pem(ca, pem);
}

static void set_up(void)
{
	dir = unit_mkdtemp_memory();
	port = iot_path(dir, "port");
	if (old_root.len == 0) {
		make_root("old root", &old_root);
		make_root("new root", &new_root);
	}
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	iot_board_description_free(description);
	description = NULL;
	free(dir);
	free(port);
}

/* With members of the description besides its own; NULL: none. */
static struct iot_board *open_modem(const char *members)
{
	IOT_JSON json = json_pack("{s:s, s:s, s:{s:s}}", "name", "mine", "dialect", "nrf91", "key", "origin", "board");
	IOT_JSON more = members != NULL ? json_loads(members, 0, NULL) : json_object();
	struct iot_board_options options = {.serial = {.path = port, .interrupt_fd = -1}, .answer_ms = ANSWER_MS};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board = NULL;

	json_object_update(json, more);
	iot_board_description_free(description);
	description = NULL;
	ASSERT_OK(iot_board_description_parse(json, &description, &err), &err);
	options.description = description;
	ASSERT_OK(iot_board_open(&iot_board_nrf91, &options, &board, &err), &err);
	if (board == NULL)
		exit(1);
	return board;
}

/* What its flash holds under (tag, type); "" nothing. New memory. */
static char *held(int64_t tag, int type)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.state/state.json", port);
	IOT_JSON state = json_load_file(path, 0, NULL);
	const json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(state, "credentials"), i, entry)
		if (json_integer_value(json_object_get(entry, "tag")) == tag &&
		    json_integer_value(json_object_get(entry, "type")) == type)
			return iot_strdup(json_string_value(json_object_get(entry, "content")));
	return iot_strdup("");
}

static void check_held(int64_t tag, int type, const char *text)
{
	IOT_CLEAN(iot_free_p) char *now = held(tag, type);

	CU_ASSERT_STRING_EQUAL(now, text);
}

static enum iot_status give(struct iot_board *board, enum iot_board_item_kind kind, const char *value,
			    enum iot_board_outcome outcome, struct iot_error *err)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	enum iot_status status = iot_board_install(board, &item, err);

	CU_ASSERT_EQUAL(item.outcome, outcome);
	return status;
}

/* A program before this one died in the middle of a content: the modem takes all that comes for more of it. */
static void test_cut_content(void)
{
	static const char cut[] = "AT%CMNG=0,16842753,0,\"-----BEGIN CERTIFICATE-----\r\nMIIB";
	const struct iot_serial_options options = {.path = port, .interrupt_fd = -1};
	const struct iot_serial_part part = {cut, sizeof(cut) - 1, false};
	struct iot_serial *serial = NULL;
	struct iot_board *board;
	struct iot_error err = IOT_ERROR_INIT;

	power_on(NULL, NULL);
	ASSERT_OK(iot_serial_open(&options, &serial, &err), &err);
	ASSERT_OK(iot_serial_write(serial, &part, 1, iot_deadline(2000), &err), &err);
	iot_serial_close(serial);
	board = open_modem(NULL);
	check_held(16842753, 0, "");
	ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, iot_buf_str(&old_root), IOT_ITEM_WRITTEN, &err), &err);
	check_held(16842753, 0, iot_buf_str(&old_root));
	iot_board_close(board);
	power_off();
}

/* An answer that was lost: what was written is there already, and is not replaced as such. */
static void test_lost_answers(void)
{
	static const char *const faults[] = {"mute@%CMNG#1", "mute@%CMNG#2",  "mute@%CMNG#3",
					     "mute@%CMNG#4", "mute@CFUN=4#1", "mute@CFUN?#1"};

	for (size_t i = 0; i < IOT_LENGTH(faults); i++) {
		const char *root = iot_buf_str(i % 2 ? &new_root : &old_root);
		struct iot_board *board;
		struct iot_error err = IOT_ERROR_INIT;

		power_on(faults[i], NULL);
		board = open_modem(NULL);
		ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, root, IOT_ITEM_WRITTEN, &err), &err);
		check_held(16842753, 0, root);
		iot_board_close(board);
		power_off();
	}
}

static void test_other_tags(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_CLEAN(iot_free_p) char *key = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	power_on(NULL, NULL);
	board = open_modem("{\"secTag\": 1, \"newline\": \"crlf\"}");
	ASSERT_OK(iot_board_make_key(board, "pump-1", false, &csr, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK, "00ff", IOT_ITEM_WRITTEN, &err), &err);
	iot_board_close(board);
	key = held(1, 2);
	board = open_modem("{\"secTag\": 2}");
	iot_buf_clear(&csr);
	ASSERT_OK(iot_board_make_key(board, "pump-2", true, &csr, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK, "00ff", IOT_ITEM_WRITTEN, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK, "00fe", IOT_ITEM_WRITTEN, &err), &err);
	iot_board_close(board);
	check_held(1, 2, key);
	check_held(1, 3, "00ff");
	check_held(2, 3, "00fe");
	power_off();
}

static void test_bad_values(void)
{
	static const struct {
		enum iot_board_item_kind kind;
		const char *value;
	} bad[] = {{IOT_ITEM_PSK, "00FF"},
		   {IOT_ITEM_PSK, "0"},
		   {IOT_ITEM_PSK, ""},
		   {IOT_ITEM_PSK_IDENTITY, ""},
		   {IOT_ITEM_PSK_IDENTITY, "a\"b"},
		   {IOT_ITEM_PSK_IDENTITY, "a\nb"},
		   {IOT_ITEM_CERTIFICATE, "no certificate"}};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	power_on(NULL, NULL);
	board = open_modem(NULL);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(give(board, bad[i].kind, bad[i].value, IOT_ITEM_NOT_TRIED, &err), IOT_USAGE, &err);
	iot_board_close(board);
	power_off();
}

/* Hashes that mean something else: what can be read is read, what cannot is taken at its word. */
static void test_old_firmware(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	power_on(NULL, "mfw_nrf9160_1.3.1");
	board = open_modem(NULL);
	ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, iot_buf_str(&old_root), IOT_ITEM_WRITTEN, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, iot_buf_str(&old_root), IOT_ITEM_SAME, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK_IDENTITY, "pump-1", IOT_ITEM_WRITTEN, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK_IDENTITY, "pump-1", IOT_ITEM_SAME, &err), &err);
	ASSERT_OK(give(board, IOT_ITEM_PSK, "00112233445566778899aabbccddeeff", IOT_ITEM_TAKEN, &err), &err);
	iot_board_close(board);
	power_off();
}

/* --- another root CA ------------------------------------------------------------------------------------ */

enum { TAG = NRF91_TAG_DEFAULT, SPARE = NRF91_TAG_SPARE };

/* What is proved by a connection must be there alone; the old one waits elsewhere. */
static void test_stage_there_and_back(void)
{
	const struct iot_board_trust trust = {"a.example", iot_buf_str(&new_root), "a.example", NULL};
	const struct iot_board_trust elsewhere = {"b.example", iot_buf_str(&new_root), "a.example", NULL};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	power_on(NULL, NULL);
	board = open_modem(NULL);
	ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, iot_buf_str(&old_root), IOT_ITEM_WRITTEN, &err), &err);
	ASSERT_STATUS(iot_board_stage(board, &elsewhere, &err), IOT_USAGE, &err);
	check_held(TAG, 0, iot_buf_str(&old_root));
	for (int i = 0; i < 2; i++) {
		ASSERT_OK(iot_board_stage(board, &trust, &err), &err);
		check_held(TAG, 0, iot_buf_str(&new_root));
		check_held(SPARE, 0, iot_buf_str(&old_root));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_OK(iot_board_settle(board, &trust, false, &err), &err);
		check_held(TAG, 0, iot_buf_str(&old_root));
		check_held(SPARE, 0, "");
	}
	ASSERT_OK(iot_board_stage(board, &trust, &err), &err);
	ASSERT_OK(iot_board_settle(board, &trust, true, &err), &err);
	check_held(TAG, 0, iot_buf_str(&new_root));
	check_held(SPARE, 0, "");
	/* Nothing is left that it could go back to, and nobody knows what it was. */
	ASSERT_STATUS(iot_board_settle(board, &trust, false, &err), IOT_CONFLICT, &err);
	check_held(TAG, 0, iot_buf_str(&new_root));
	iot_board_close(board);
	power_off();
}

static void give_old_root(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	power_on(NULL, NULL);
	board = open_modem(NULL);
	ASSERT_OK(give(board, IOT_ITEM_ROOT_CA, iot_buf_str(&old_root), IOT_ITEM_WRITTEN, &err), &err);
	iot_board_close(board);
	power_off();
}

/* No room, for either copy: the old one stays, or comes back, and is nowhere else. */
static void test_stage_full(void)
{
	const struct iot_board_trust unknown = {NULL, iot_buf_str(&new_root), NULL, NULL};

	give_old_root();
	for (int nth = 1; nth < 20; nth++) {
		IOT_CLEAN(iot_free_p) char *fault = iot_strf("full@%%CMNG#%d", nth);
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_board *board;
		enum iot_status status;

		power_on(fault, NULL);
		board = open_modem(NULL);
		status = iot_board_stage(board, &unknown, &err);
		CU_ASSERT_TRUE(status == IOT_OK || (status == IOT_BOARD && strcmp(err.code, "CME515") == 0));
		if (status != IOT_OK) {
			check_held(TAG, 0, iot_buf_str(&old_root));
			check_held(SPARE, 0, "");
		}
		ASSERT_OK(iot_board_settle(board, &unknown, false, &err), &err);
		check_held(TAG, 0, iot_buf_str(&old_root));
		iot_board_close(board);
		power_off();
	}
}

/* Power is cut at each of its commands: the next run finishes it, either way, without being told what was there. */
static void test_stage_cut(void)
{
	const struct iot_board_trust unknown = {NULL, iot_buf_str(&new_root), NULL, NULL};

	give_old_root();
	for (int nth = 1; nth < 16; nth++) {
		IOT_CLEAN(iot_free_p) char *fault = iot_strf("reset@%%CMNG#%d", nth);
		struct iot_error err = IOT_ERROR_INIT;
		struct iot_board *board;

		power_on(fault, NULL);
		board = open_modem(NULL);
		ASSERT_OK(iot_board_stage(board, &unknown, &err), &err);
		check_held(TAG, 0, iot_buf_str(&new_root));
		iot_board_close(board);
		board = open_modem(NULL);
		ASSERT_OK(iot_board_settle(board, &unknown, false, &err), &err);
		check_held(TAG, 0, iot_buf_str(&old_root));
		check_held(SPARE, 0, "");
		iot_board_close(board);
		power_off();
	}
}

UNIT_MAIN("board/nrf91", set_up, tear_down, {"final_lines", test_final_lines}, {"entries", test_entries},
	  {"identity_words", test_identity_words}, {"keygen", test_keygen}, {"tokens", test_tokens},
	  {"errors", test_errors}, {"cut_content", test_cut_content}, {"lost_answers", test_lost_answers},
	  {"other_tags", test_other_tags}, {"bad_values", test_bad_values}, {"old_firmware", test_old_firmware},
	  {"stage_there_and_back", test_stage_there_and_back}, {"stage_full", test_stage_full},
	  {"stage_cut", test_stage_cut})
