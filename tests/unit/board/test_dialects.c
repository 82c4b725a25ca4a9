/*
 * What every kind of board promises (board.h), asked of every row of iot_boards[]
 * that has a software board: the same cases for all. A new dialect is one row
 * here; one without a row, or without a reason why it has no board, fails.
 */
#include "iotctl/board_description.h"
#include "iotctl/clock.h"
#include "iotctl/sim.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/process.h"
#include "iotctl/text.h"
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	ANSWER_MS = 1000,
	SHORT_MS = 200,
	SILENCE_MS = 16000,
	CONNECT_MS = 15000,
	UNPLUGS_MAX = 500,
	UNPLUGS_STEP = 7,
	UNPLUGGED = 77
};

typedef void (*on_event)(const char *name, const char *detail, void *data);

static enum iot_status run_expresslink(const char *link, const char *const *faults, size_t count, on_event event,
				       void *data)
{
	const struct iot_sim_expresslink_options options = {
		.link = link, .faults = faults, .fault_count = count, .seed = 1};

	return iot_sim_expresslink_run(&options, event, data, NULL);
}

static enum iot_status run_kind(const char *kind, const char *link, const char *const *faults, size_t count,
				on_event event, void *data)
{
	const struct iot_sim_board_options options = {
		.kind = kind, .link = link, .faults = faults, .fault_count = count, .seed = 1};

	return iot_sim_board_run(&options, event, data, NULL);
}

static const char *const freertos_variants[] = {"log", NULL};
static const char *const sim7600_variants[] = {"download-word", "one-line-list", "early-result", "no-sni",
					       "urc",           "volatile",      "slow=20ms",    NULL};
static const char *const nrf91_variants[] = {"echo", "ansi", "urc", "noise", "slow=20ms", NULL};

static const char *const zephyr_variants[] = {"log", "no-digest", "slow=5ms", NULL};

static const struct row {
	const char *dialect;
	const char *board;           /* a description that comes with the program, or its path */
	const char *kind;            /* of `iotctl sim board`; NULL: run_expresslink, or none for this reason: */
	const char *without;         /* why there is no software board here */
	const char *asks;            /* how the command begins after which data is awaited; NULL: there is none */
	const char *refusal;         /* code of a connection that TLS refused; NULL: it is not told to connect */
	const char *const *variants; /* faults that are no faults: firmware that says the same otherwise; NULL: none */
} dialects[] = {
	{.dialect = "expresslink", .board = "expresslink", .refusal = "ERR14 4"},
	{.dialect = "freertos",
	 .board = "stm32u5",
	 .kind = "freertos",
	 .asks = "pki import",
	 .variants = freertos_variants},
	{.dialect = "nrf91", .board = "nrf91", .kind = "nrf91", .variants = nrf91_variants},
	{.dialect = "sim7600",
	 .board = "sim7600",
	 .kind = "sim7600",
	 .asks = "CCERTDOWN",
	 .refusal = "CMQTT32",
	 .variants = sim7600_variants},
	{.dialect = "zephyr", .board = ZEPHYR_APP, .kind = "zephyr", .variants = zephyr_variants},
	{.dialect = "swd", .without = "a chip behind OpenOCD, in test_swd.c"},
};

static const struct row *row;
static struct iot_board_description *description;
static char *dir, *port;
static pid_t board_pid;
static struct iot_buf own_cert = IOT_BUF_INIT(32768), own_key = IOT_BUF_SECRET(32768), root = IOT_BUF_INIT(32768),
		      other_root = IOT_BUF_INIT(32768);

/* --- a board in a process of its own ------------------------------------------------------------ */

/* When the board begins the command of this number, or asks for data for the nth time, power is cut. */
struct plug {
	int board_at, host_at, host_asked; /* whose, when */
	int heard, asked;
	pid_t host;
};
static struct plug *plug; /* shared with both */

static void pull(const char *name, const char *detail, void *data)
{
	(void)data;
	if (strcmp(name, "command") != 0)
		return;
	plug->heard++;
	if (plug->heard == plug->board_at)
		_exit(UNPLUGGED);
	if (row->asks != NULL && iot_starts_with(detail, row->asks) && ++plug->asked == plug->host_asked)
		plug->host_at = plug->heard;
	if (plug->heard == plug->host_at && plug->host > 0)
		kill(plug->host, SIGKILL);
}

static void power_on(const char *const *faults, size_t count, struct plug when)
{
	int64_t deadline = iot_deadline(20000);

	*plug = when;
	unlink(port);
	board_pid = fork();
	if (board_pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(row->kind != NULL ? run_kind(row->kind, port, faults, count, pull, NULL)
					: run_expresslink(port, faults, count, pull, NULL));
	}
	while (!iot_fs_exists(port) && iot_left(deadline) > 0)
		poll(NULL, 0, 2);
}

static void power_off(void)
{
	kill(board_pid, SIGKILL);
	waitpid(board_pid, NULL, 0);
	unlink(port);
}

static void begin(const struct row *which, const char *fault)
{
	struct iot_error err = IOT_ERROR_INIT;

	row = which;
	plug = mmap(NULL, sizeof(*plug), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plug == MAP_FAILED)
		abort();
	dir = unit_mkdtemp_memory();
	port = iot_path(dir, "port");
	ASSERT_OK(iot_board_description_load(row->board, &description, &err), &err);
	power_on(&fault, fault != NULL, (struct plug){0});
}

static void end(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	power_off();
	munmap(plug, sizeof(*plug));
	iot_board_description_free(description);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(port);
}

static enum iot_status open_board_with(int answer_ms, const char *transcript, struct iot_board **ret,
				       struct iot_error *err)
{
	const struct iot_board_options options = {
		.serial = {.path = port, .interrupt_fd = -1, .transcript = transcript}, .answer_ms = answer_ms};

	return iot_board_open_described(description, &options, ret, err);
}

static struct iot_board *open_board(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board = NULL;

	ASSERT_OK(open_board_with(ANSWER_MS, NULL, &board, &err), &err);
	if (board == NULL) { /* nothing else makes sense */
		fprintf(stderr, "cannot open a board of kind '%s'\n", row->dialect);
		exit(1);
	}
	return board;
}

/* Its flash, as a power cut now would leave it. */
static char *flash(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.state/state.json", port);
	struct iot_buf text = IOT_BUF_SECRET(1 << 20);

	if (iot_fs_read(path, &text, NULL) != IOT_OK)
		iot_buf_clear(&text);
	return iot_buf_detach(&text);
}

/* Is this text in the flash, from its first byte to its last? As it is, or in base64, perhaps with a NUL behind it. */
static bool is_in_flash(const struct iot_buf *text)
{
	IOT_CLEAN(iot_free_p) char *all = flash();
	IOT_CLEAN(iot_buf_release) struct iot_buf escaped = IOT_BUF_SECRET(65536), encoded = IOT_BUF_SECRET(65536);

	iot_base64(text->data, text->len - text->len % 3, &encoded);
	if (strstr(all, iot_buf_str(&encoded)) != NULL)
		return true;
	for (size_t i = 0; i < text->len; i++)
		iot_buf_adds(&escaped, text->data[i] == '\n' ? "\\n" : (char[]){text->data[i], '\0'});
	return strstr(all, iot_buf_str(&escaped)) != NULL;
}

/* --- what it is given ----------------------------------------------------------------------------------- */

static void make_material(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL, *ca_key = NULL, *other_key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL, *other = NULL, *cert = NULL;
	const struct iot_cert_request request = {.profile = IOT_PROFILE_DEVICE, .common_name = "pump-1", .days = 30};
	struct iot_cert_request filled = request;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &ca_key, &err), &err);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &other_key, &err), &err);
	ASSERT_OK(iot_ca_create_root(ca_key, "root", 3650, &ca, &err), &err);
	ASSERT_OK(iot_ca_create_root(other_key, "other root", 3650, &other, &err), &err);
	filled.key = key;
	ASSERT_OK(iot_cert_issue(ca_key, ca, &filled, &cert, &err), &err);
	ASSERT_OK(iot_key_private_pem(key, &own_key, &err), &err);
	iot_cert_pem(cert, &own_cert);
	iot_cert_pem(ca, &root);
	iot_cert_pem(other, &other_root);
}

static struct iot_board_item item_of(enum iot_board_item_kind kind)
{
	const char *const values[IOT_ITEM_COUNT] = {
		[IOT_ITEM_CODE_SIGNING] = iot_buf_str(&own_cert),
		[IOT_ITEM_ROOT_CA] = iot_buf_str(&root),
		[IOT_ITEM_CERTIFICATE] = iot_buf_str(&own_cert),
		[IOT_ITEM_THING_NAME] = "pump-1",
		[IOT_ITEM_PSK_IDENTITY] = "pump-1",
		[IOT_ITEM_PSK] = "00112233445566778899aabbccddeeff",
		[IOT_ITEM_ATTEST_ID] = "pump-1.attest",
		[IOT_ITEM_ATTEST_KEY] = "ffeeddccbbaa99887766554433221100",
		[IOT_ITEM_WIFI_SSID] = "plant",
		[IOT_ITEM_WIFI_PASSWORD] = "correct-horse",
		[IOT_ITEM_APN] = "internet",
		[IOT_ITEM_CUSTOM_NAME] = "bench",
		[IOT_ITEM_PORT] = "8883",
		[IOT_ITEM_ENDPOINT] = "iot.example",
	};

	return (struct iot_board_item){kind, values[kind], IOT_ITEM_NOT_TRIED};
}

static bool takes(enum iot_board_item_kind kind)
{
	return description->ops->items & 1U << kind;
}

/* All that it takes, in order, saved. The first fault ends it. */
static enum iot_status give_all(struct iot_board *board, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (description->ops->capabilities & IOT_BOARD_TAKES_KEY)
		status = iot_board_take_key(board, &own_key, err);
	for (int kind = 0; status == IOT_OK && kind < IOT_ITEM_COUNT; kind++) {
		struct iot_board_item item = item_of((enum iot_board_item_kind)kind);

		if (takes(item.kind))
			status = iot_board_install(board, &item, err);
	}
	return status == IOT_OK ? iot_board_commit(board, err) : status;
}

/* Open, look who it is, give it all. */
static enum iot_status converse(int answer_ms, struct iot_error *err)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	enum iot_status status = open_board_with(answer_ms, NULL, &board, err);

	if (status == IOT_OK)
		status = iot_board_identify(board, &identity, err);
	return status == IOT_OK ? give_all(board, err) : status;
}

static void for_each_dialect(void (*check)(void), const char *fault)
{
	for (size_t i = 0; i < IOT_LENGTH(dialects); i++) {
		unsigned failures = CU_get_number_of_failures();

		if (dialects[i].without != NULL)
			continue;
		begin(&dialects[i], fault);
		check();
		end();
		if (CU_get_number_of_failures() != failures)
			fprintf(stderr, "\n... by '%s'%s%s\n", dialects[i].dialect, fault != NULL ? " with " : "",
				fault != NULL ? fault : "");
	}
}

/* --- the cases -------------------------------------------------------------------------------------------- */

static void test_rows(void)
{
	for (const struct iot_board_ops *const *ops = iot_boards; *ops != NULL; ops++) {
		bool found = false;

		for (size_t i = 0; i < IOT_LENGTH(dialects); i++)
			found = found || strcmp(dialects[i].dialect, (*ops)->name) == 0;
		if (!found)
			fprintf(stderr, "\ndialect '%s' has no row, nor a reason\n", (*ops)->name);
		CU_ASSERT_TRUE(found);
	}
}

static void check_identify(void)
{
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity first = IOT_BOARD_IDENTITY_INIT;
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity second = IOT_BOARD_IDENTITY_INIT;
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	IOT_CLEAN(iot_free_p) char *before = flash();
	IOT_CLEAN(iot_free_p) char *after = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_identify(board, &first, &err), &err);
	ASSERT_OK(iot_board_identify(board, &second, &err), &err);
	CU_ASSERT_TRUE(*first.model != '\0');
	CU_ASSERT_STRING_EQUAL(first.uid, second.uid);
	CU_ASSERT_STRING_EQUAL(first.vendor, second.vendor);
	CU_ASSERT_STRING_EQUAL(first.model, second.model);
	CU_ASSERT_STRING_EQUAL(first.version, second.version);
	CU_ASSERT_STRING_EQUAL(first.endpoint, second.endpoint);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&first.certificate), iot_buf_str(&second.certificate));
	CU_ASSERT_EQUAL(first.certificate.len > 0,
			(description->ops->capabilities & IOT_BOARD_BORN_WITH_CERTIFICATE) != 0);
	after = flash();
	CU_ASSERT_STRING_EQUAL(before, after);
}

static void test_identify(void)
{
	for_each_dialect(check_identify, NULL);
}

static bool is_kept(enum iot_board_outcome outcome)
{
	return outcome == IOT_ITEM_SAME || outcome == IOT_ITEM_NAMED;
}

/* It was given this and saved it: it says so, unless it cannot be asked; and the same again is no change. */
static void check_second(struct iot_board *board, enum iot_board_item_kind kind, enum iot_board_outcome first)
{
	struct iot_board_item item = item_of(kind);
	IOT_CLEAN(iot_free_p) char *before = flash();
	IOT_CLEAN(iot_free_p) char *after = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_look(board, &item, &err), &err);
	CU_ASSERT_TRUE(is_kept(item.outcome) || first == IOT_ITEM_TAKEN);
	ASSERT_OK(iot_board_install(board, &item, &err), &err);
	CU_ASSERT_TRUE(is_kept(item.outcome) || (first == IOT_ITEM_TAKEN && item.outcome == IOT_ITEM_TAKEN));
	after = flash();
	CU_ASSERT_STRING_EQUAL(before, after);
}

static void check_items(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	enum iot_board_outcome outcomes[IOT_ITEM_COUNT] = {IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++) {
		struct iot_board_item item = item_of((enum iot_board_item_kind)kind);

		if (!takes(item.kind)) {
			ASSERT_STATUS(iot_board_install(board, &item, &err), IOT_USAGE, &err);
			ASSERT_STATUS(iot_board_look(board, &item, &err), IOT_USAGE, &err);
			CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_NOT_TRIED);
			continue;
		}
		ASSERT_OK(iot_board_install(board, &item, &err), &err);
		CU_ASSERT_TRUE(item.outcome != IOT_ITEM_NOT_TRIED);
		outcomes[kind] = item.outcome;
	}
	ASSERT_OK(iot_board_commit(board, &err), &err);
	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		if (takes((enum iot_board_item_kind)kind))
			check_second(board, (enum iot_board_item_kind)kind, outcomes[kind]);
}

static void test_items(void)
{
	for_each_dialect(check_items, NULL);
}

static void test_variants(void)
{
	for (size_t i = 0; i < IOT_LENGTH(dialects); i++) {
		for (const char *const *variant = dialects[i].variants; variant != NULL && *variant != NULL;
		     variant++) {
			unsigned failures = CU_get_number_of_failures();

			begin(&dialects[i], *variant);
			check_items();
			end();
			if (CU_get_number_of_failures() != failures)
				fprintf(stderr, "\n... by '%s' with '%s'\n", dialects[i].dialect, *variant);
		}
	}
}

/* Another value takes the place of the first. */
static void check_other_value(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	bool told = takes(IOT_ITEM_ENDPOINT);
	struct iot_board_item item = item_of(told ? IOT_ITEM_ENDPOINT : IOT_ITEM_PSK_IDENTITY), other = item;
	struct iot_board_item ca = item_of(IOT_ITEM_ROOT_CA);
	struct iot_error err = IOT_ERROR_INIT;

	other.value = "elsewhere.example";
	ASSERT_OK(iot_board_install(board, &item, &err), &err);
	ASSERT_OK(iot_board_install(board, &other, &err), &err);
	ASSERT_OK(iot_board_look(board, &other, &err), &err);
	CU_ASSERT_TRUE(is_kept(other.outcome));
	ASSERT_OK(iot_board_look(board, &item, &err), &err);
	CU_ASSERT_EQUAL(item.outcome, IOT_ITEM_NOT_TRIED);
	ASSERT_OK(iot_board_install(board, &ca, &err), &err);
	ca.value = iot_buf_str(&other_root);
	ASSERT_OK(iot_board_look(board, &ca, &err), &err);
	CU_ASSERT_EQUAL(ca.outcome, IOT_ITEM_NOT_TRIED);
}

static void test_other_value(void)
{
	for_each_dialect(check_other_value, NULL);
}

/* What it can do it does, what it cannot is refused as such. */
static void check_capabilities(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_csr_release) struct iot_csr csr = {0};
	IOT_CLEAN(iot_buf_release) struct iot_buf request = IOT_BUF_INIT(IOT_CSR_MAX);
	const struct iot_board_ops *ops = description->ops;
	struct iot_error err = IOT_ERROR_INIT;
	const char *how = NULL;

	ASSERT_OK(iot_cert_parse_pem(iot_buf_str(&own_cert), own_cert.len, "own", &cert, &err), &err);
	if (ops->capabilities & IOT_BOARD_MAKES_KEY) {
		ASSERT_OK(iot_board_make_key(board, "pump-1", false, &request, &err), &err);
		ASSERT_OK(iot_csr_parse(iot_buf_str(&request), request.len, &csr, &err), &err);
	} else {
		ASSERT_STATUS(iot_board_make_key(board, "pump-1", false, &request, &err), IOT_USAGE, &err);
		CU_ASSERT_EQUAL(request.len, 0);
	}
	/* Its key, if it has one, is not that of this certificate, unless it is given that. */
	ASSERT_STATUS(iot_board_prove(board, cert, &how, &err),
		      ops->capabilities & IOT_BOARD_SIGNS ? IOT_VERIFY : IOT_USAGE, &err);
	ASSERT_STATUS(iot_board_take_key(board, &own_key, &err),
		      ops->capabilities & IOT_BOARD_TAKES_KEY ? IOT_OK : IOT_USAGE, &err);
	if (ops->capabilities & IOT_BOARD_TAKES_KEY && ops->capabilities & IOT_BOARD_SIGNS) {
		ASSERT_OK(iot_board_prove(board, cert, &how, &err), &err);
		CU_ASSERT_TRUE(how != NULL && *how != '\0');
	}
	if (!(ops->capabilities & IOT_BOARD_CONNECTS))
		ASSERT_STATUS(iot_board_connect(board, SHORT_MS, &err), IOT_USAGE, &err);
	if (!(ops->capabilities & IOT_BOARD_LOCKS))
		ASSERT_STATUS(iot_board_lock(board, IOT_BOARD_LOCK_REVERSIBLE, NULL, &err), IOT_USAGE, &err);
	if (!(ops->capabilities & IOT_BOARD_RESETS))
		ASSERT_STATUS(iot_board_reset(board, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(ops->stage == NULL, ops->settle == NULL);
}

static void test_capabilities(void)
{
	for_each_dialect(check_capabilities, NULL);
}

/* --- a server that it has no reason to trust --------------------------------------------------------------- */

static int free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), number = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &len) == 0)
		number = ntohs(address.sin_port);
	if (fd >= 0)
		close(fd);
	return number;
}

static bool answers(int number)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons((uint16_t)number)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

	if (fd >= 0)
		close(fd);
	return good;
}

/* Its certificate is signed by nobody that the board knows. */
static void serve_tls(int number, struct iot_process *server)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	static const char *const names[] = {"localhost", NULL};
	IOT_CLEAN(iot_free_p) char *key_path = iot_path(dir, "server.key");
	IOT_CLEAN(iot_free_p) char *cert_path = iot_path(dir, "server.pem");
	IOT_CLEAN(iot_free_p) char *where = iot_strf("127.0.0.1:%d", number);
	const char *const argv[] = {"openssl", "s_server", "-quiet", "-accept", where,
				    "-cert",   cert_path,  "-key",   key_path,  NULL};
	const struct iot_process_options options = {.argv = argv, .die_with_parent = true};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_SERVER, .common_name = "localhost", .days = 1, .dns_names = names};
	struct iot_buf pem = IOT_BUF_INIT(32768);
	int64_t deadline = iot_deadline(20000);

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	request.key = key;
	ASSERT_OK(iot_cert_issue(key, NULL, &request, &cert, &err), &err);
	ASSERT_OK(iot_key_save_new(key, key_path, NULL, &err), &err);
	iot_cert_pem(cert, &pem);
	ASSERT_OK(iot_fs_write(cert_path, 0600, pem.data, pem.len, &err), &err);
	iot_buf_release(&pem);
	ASSERT_OK(iot_process_start(&options, server, &err), &err);
	while (!answers(number) && iot_left(deadline) > 0)
		poll(NULL, 0, 10);
}

/* A connection that fails with what was staged leaves what was there before as it was. */
static void check_staged_connection(struct iot_board *board, const char *endpoint)
{
	const struct iot_board_trust trust = {endpoint, iot_buf_str(&other_root), "iot.example", iot_buf_str(&root)};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_stage(board, &trust, &err), &err);
	ASSERT_STATUS(iot_board_connect(board, CONNECT_MS, &err), IOT_VERIFY, &err);
	CU_ASSERT_STRING_EQUAL(err.code, row->refusal);
	ASSERT_OK(iot_board_settle(board, &trust, false, &err), &err);
	CU_ASSERT_TRUE(is_in_flash(&root));
	CU_ASSERT_FALSE(is_in_flash(&other_root));
	CU_ASSERT_TRUE(!takes(IOT_ITEM_CERTIFICATE) || is_in_flash(&own_cert));
}

static void check_wrong_certificate(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	int number = free_port();
	IOT_CLEAN(iot_free_p) char *both = iot_strf("localhost:%d", number);
	IOT_CLEAN(iot_free_p) char *digits = iot_strf("%d", number);
	struct iot_board_item endpoint = {IOT_ITEM_ENDPOINT, takes(IOT_ITEM_PORT) ? "localhost" : both, 0};
	struct iot_board_item numbered = {IOT_ITEM_PORT, digits, 0};
	struct iot_process server = IOT_PROCESS_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	if (!(description->ops->capabilities & IOT_BOARD_CONNECTS))
		return;
	serve_tls(number, &server);
	ASSERT_OK(give_all(board, &err), &err);
	if (takes(IOT_ITEM_PORT))
		ASSERT_OK(iot_board_install(board, &numbered, &err), &err);
	ASSERT_OK(iot_board_install(board, &endpoint, &err), &err);
	ASSERT_STATUS(iot_board_connect(board, CONNECT_MS, &err), IOT_VERIFY, &err);
	CU_ASSERT_STRING_EQUAL(err.code, row->refusal);
	CU_ASSERT_TRUE(*err.hint != '\0');
	/* It is as it was: it can be given what it needs, and asked to disconnect. */
	ASSERT_OK(give_all(board, &err), &err);
	ASSERT_OK(iot_board_disconnect(board, &err), &err);
	if (takes(IOT_ITEM_PORT))
		ASSERT_OK(iot_board_install(board, &numbered, &err), &err);
	if (description->ops->stage != NULL)
		check_staged_connection(board, endpoint.value);
	iot_process_stop(&server, 2000);
	iot_process_release(&server);
}

static void test_wrong_certificate(void)
{
	for_each_dialect(check_wrong_certificate, NULL);
}

/* --- a bad wire ------------------------------------------------------------------------------------------------ */

static bool is_clear(enum iot_status status, const struct iot_error *err)
{
	bool wire = status == IOT_BOARD || status == IOT_VERIFY || status == IOT_TIMEOUT;

	return status == IOT_OK || (wire && *err->what != '\0' && strchr(err->what, '\n') == NULL);
}

/*
 * Without the fault all is well, whatever the run before has left. A byte that was turned on its way into a board that
 * cannot be asked for it shows only when the board connects; one that was cut must not be taken for whole.
 */
static void check_clean_run(bool turned)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(converse(ANSWER_MS, &err), &err);
	ASSERT_OK(open_board_with(ANSWER_MS, NULL, &board, &err), &err);
	for (int kind = 0; board != NULL && kind < IOT_ITEM_COUNT; kind++) {
		struct iot_board_item item = item_of((enum iot_board_item_kind)kind);

		if (!takes(item.kind))
			continue;
		ASSERT_OK(iot_board_look(board, &item, &err), &err);
		CU_ASSERT_TRUE(is_kept(item.outcome) || iot_board_item_secret(item.kind));
		if (item.kind == IOT_ITEM_ROOT_CA && (item.outcome != IOT_ITEM_NAMED || !turned))
			CU_ASSERT_TRUE(is_in_flash(&root));
		if (item.kind == IOT_ITEM_CERTIFICATE && (item.outcome != IOT_ITEM_NAMED || !turned))
			CU_ASSERT_TRUE(is_in_flash(&own_cert));
	}
	if (description->ops->capabilities & IOT_BOARD_TAKES_KEY)
		CU_ASSERT_TRUE(is_in_flash(&own_key));
}

static void check_noisy(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = converse(ANSWER_MS, &err);

	CU_ASSERT_TRUE(is_clear(status, &err));
	if (!is_clear(status, &err))
		fprintf(stderr, "\n%d: %s\n", status, err.what);
	power_off();
	power_on(NULL, 0, (struct plug){0});
	check_clean_run(true);
}

static void test_lost_bytes(void)
{
	for_each_dialect(check_noisy, "drop=0.0005");
}

static void test_doubled_bytes(void)
{
	for_each_dialect(check_noisy, "double=0.0005");
}

static void test_turned_bits(void)
{
	for_each_dialect(check_noisy, "flip=0.0005");
}

static void check_garbage(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(converse(SHORT_MS, &err), IOT_BOARD, &err);
	CU_ASSERT_TRUE(*err.what != '\0' && *err.hint != '\0');
	power_off();
	power_on(NULL, 0, (struct plug){0});
	check_clean_run(false);
}

/* Each in a process of its own: they wait more than they work. */
static void at_once(void (*check)(void), const char *fault)
{
	pid_t workers[IOT_LENGTH(dialects)] = {0};

	for (size_t i = 0; i < IOT_LENGTH(dialects); i++) {
		if (dialects[i].without != NULL)
			continue;
		workers[i] = fork();
		if (workers[i] == 0) {
			unsigned before = CU_get_number_of_failures();

			begin(&dialects[i], fault);
			check();
			end();
			for (const CU_FailureRecord *failure = CU_get_failure_list();
			     CU_get_number_of_failures() > before && failure != NULL; failure = failure->pNext)
				fprintf(stderr, "\n%s:%u: %s\n", failure->strFileName, failure->uiLineNumber,
					failure->strCondition);
			_exit(CU_get_number_of_failures() != before);
		}
	}
	for (size_t i = 0; i < IOT_LENGTH(dialects); i++) {
		int status = 0;

		if (workers[i] == 0)
			continue;
		CU_ASSERT_EQUAL(waitpid(workers[i], &status, 0), workers[i]);
		CU_ASSERT_EQUAL(status, 0);
		if (status != 0)
			fprintf(stderr, "\n... by '%s'\n", dialects[i].dialect);
	}
}

static void test_garbage(void)
{
	at_once(check_garbage, "wrong-speed");
}

/* Taken for a board of each other kind it is refused, by a line that says what to do, and nothing is written to it. */
static void check_other_kinds(void)
{
	IOT_CLEAN(iot_free_p) char *before = NULL;
	struct iot_board_description *own = description;

	iot_board_close(open_board()); /* some keep what they are by then only */
	before = flash();
	for (size_t i = 0; i < IOT_LENGTH(dialects); i++) {
		IOT_CLEAN(iot_free_p) char *after = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		if (dialects[i].without != NULL || strcmp(dialects[i].dialect, row->dialect) == 0)
			continue;
		ASSERT_OK(iot_board_description_load(dialects[i].board, &description, &err), &err);
		ASSERT_STATUS(converse(SHORT_MS, &err), IOT_BOARD, &err);
		CU_ASSERT_TRUE(*err.what != '\0' && *err.hint != '\0');
		iot_board_description_free(description);
		after = flash();
		CU_ASSERT_STRING_EQUAL(before, after);
	}
	description = own;
	check_clean_run(false);
}

static void test_other_kinds(void)
{
	at_once(check_other_kinds, NULL);
}

/* Whoever comes second to a port is told who has it, and disturbs nobody. */
static void check_two_on_one_port(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = open_board();
	struct iot_error err = IOT_ERROR_INIT;
	int status = 0;
	pid_t other = fork();

	if (other == 0) {
		struct iot_board *second = NULL;
		enum iot_status got = open_board_with(SHORT_MS, NULL, &second, &err);

		_exit(got == IOT_BOARD && strstr(err.what, "is in use by") != NULL ? 0 : 1);
	}
	CU_ASSERT_EQUAL(waitpid(other, &status, 0), other);
	CU_ASSERT_EQUAL(status, 0);
	ASSERT_OK(give_all(board, &err), &err);
}

static void test_two_on_one_port(void)
{
	for_each_dialect(check_two_on_one_port, NULL);
}

/* It falls silent after it was opened: each call ends by itself, and says so. */
static void check_silence(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	IOT_CLEAN(iot_board_identity_release) struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;
	int64_t begun;

	ASSERT_OK(open_board_with(SHORT_MS, NULL, &board, &err), &err);
	kill(board_pid, SIGSTOP);
	begun = iot_monotonic_ms();
	status = iot_board_identify(board, &identity, &err);
	CU_ASSERT_TRUE(status == IOT_BOARD || status == IOT_TIMEOUT);
	CU_ASSERT_TRUE(iot_monotonic_ms() - begun < SILENCE_MS);
	CU_ASSERT_TRUE(*err.what != '\0');
	kill(board_pid, SIGCONT);
}

static void test_silence(void)
{
	at_once(check_silence, NULL);
}

/* --- unplugged ---------------------------------------------------------------------------------------------------- */

/* Has it gone by itself? It is given some time to. */
static bool was_unplugged(void)
{
	int64_t deadline = iot_deadline(5000);
	int status = 0;
	pid_t pid = 0;

	while ((pid = waitpid(board_pid, &status, WNOHANG)) == 0 && iot_left(deadline) > 0)
		poll(NULL, 0, 5);
	return pid == board_pid && WIFEXITED(status) && WEXITSTATUS(status) == UNPLUGGED;
}

/* A blank one. */
static void start_anew(struct plug when)
{
	IOT_CLEAN(iot_free_p) char *state = iot_strf("%s.state", port);
	struct iot_error err = IOT_ERROR_INIT;

	power_off();
	ASSERT_OK(iot_fs_remove_tree(state, &err), &err);
	power_on(NULL, 0, when);
}

/* At each so manyth of its commands; with one that it does not come to, all is well. */
static void check_unplugged(void)
{
	bool over = false;

	for (int at = 1; !over && at < UNPLUGS_MAX; at += UNPLUGS_STEP) {
		struct iot_error err = IOT_ERROR_INIT;
		enum iot_status status;

		start_anew((struct plug){.board_at = at});
		status = converse(SHORT_MS, &err);
		over = status == IOT_OK;
		plug->board_at = 0;
		if (!over) {
			ASSERT_STATUS(status, IOT_BOARD, &err);
			CU_ASSERT_TRUE(*err.what != '\0');
			CU_ASSERT_TRUE(was_unplugged());
			power_on(NULL, 0, (struct plug){0});
		}
		check_clean_run(false);
	}
	CU_ASSERT_TRUE(over);
}

/* The host dies while the board stays as it is, perhaps in the middle of what it was told. False: it came to its end.
 */
static bool kill_host(struct plug when)
{
	int status = 0;
	pid_t pid;

	start_anew(when);
	pid = fork();
	if (pid == 0) {
		plug->host = getpid();
		_exit(converse(ANSWER_MS, NULL));
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_TRUE(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	plug->host = 0;
	check_clean_run(false);
	return status != 0;
}

static void check_killed(void)
{
	int at = 2, asked = 1;

	while (at < UNPLUGS_MAX && kill_host((struct plug){.host_at = at}))
		at += UNPLUGS_STEP;
	while (asked < UNPLUGS_MAX && kill_host((struct plug){.host_asked = asked}))
		asked++;
	CU_ASSERT_TRUE(at < UNPLUGS_MAX && asked < UNPLUGS_MAX);
}

static void test_killed(void)
{
	at_once(check_killed, NULL);
}

static void test_unplugged(void)
{
	at_once(check_unplugged, NULL);
}

/* --- trust beside trust ----------------------------------------------------------------------------- */

static enum iot_board_outcome looked(struct iot_board *board, enum iot_board_item_kind kind, const char *value)
{
	struct iot_board_item item = {kind, value, IOT_ITEM_NOT_TRIED};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_board_look(board, &item, &err), &err);
	return item.outcome;
}

static void check_trust(struct iot_board *board, const char *endpoint, const struct iot_buf *ca,
			const struct iot_buf *not_ca)
{
	if (takes(IOT_ITEM_ENDPOINT))
		CU_ASSERT_TRUE(is_kept(looked(board, IOT_ITEM_ENDPOINT, endpoint)));
	CU_ASSERT_TRUE(is_kept(looked(board, IOT_ITEM_ROOT_CA, iot_buf_str(ca))));
	CU_ASSERT_EQUAL(looked(board, IOT_ITEM_ROOT_CA, iot_buf_str(not_ca)), IOT_ITEM_NOT_TRIED);
}

static void check_stage(void)
{
	struct iot_board *board = open_board();
	/* One whose endpoint is not ours to give is given another root CA only. */
	const char *next = takes(IOT_ITEM_ENDPOINT) ? "new.example" : "iot.example";
	const struct iot_board_trust trust = {next, iot_buf_str(&other_root), "iot.example", iot_buf_str(&root)};
	const struct iot_board_trust unknown = {next, iot_buf_str(&other_root), "iot.example", NULL};
	struct iot_error err = IOT_ERROR_INIT;

	if (description->ops->stage == NULL) {
		ASSERT_STATUS(iot_board_stage(board, &trust, &err), IOT_USAGE, &err);
		ASSERT_STATUS(iot_board_settle(board, &trust, true, &err), IOT_USAGE, &err);
		iot_board_close(board);
		return;
	}
	ASSERT_OK(give_all(board, &err), &err);
	/* Back again, with the old known and not, in another conversation, and twice. */
	for (int i = 0; i < 2; i++) {
		const struct iot_board_trust *which = i == 0 ? &trust : &unknown;

		ASSERT_OK(iot_board_stage(board, which, &err), &err);
		ASSERT_OK(iot_board_stage(board, which, &err), &err);
		iot_board_close(board);
		board = open_board();
		/* A board with one place for it has to be told what it had. */
		if (iot_board_settle(board, which, false, &err) == IOT_OK)
			check_trust(board, "iot.example", &root, &other_root);
		else
			CU_ASSERT_TRUE(which == &unknown && err.status == IOT_USAGE);
		iot_error_clear(&err);
		ASSERT_OK(iot_board_settle(board, &trust, false, &err), &err);
		check_trust(board, "iot.example", &root, &other_root);
	}
	/* Kept. */
	ASSERT_OK(iot_board_stage(board, &trust, &err), &err);
	iot_board_close(board);
	power_off();
	power_on(NULL, 0, (struct plug){0});
	board = open_board();
	ASSERT_OK(iot_board_settle(board, &trust, true, &err), &err);
	check_trust(board, next, &other_root, &root);
	ASSERT_OK(iot_board_settle(board, &trust, true, &err), &err);
	check_trust(board, next, &other_root, &root);
	iot_board_close(board);
}

static void test_stage(void)
{
	for_each_dialect(check_stage, NULL);
}

/* Root CAs that were left over from before. */
static void leave_over(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s.state/state.json", port);
	IOT_CLEAN(iot_free_p) char *text = flash();
	IOT_JSON state = json_loads(text, 0, NULL);
	const char *pem = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
	IOT_JSON files = json_pack("{s:s, s:s}", "ca_0.pem", pem, "ca_1.pem", pem);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *changed = NULL;

	power_off();
	json_object_update(files, json_object_get(state, "files"));
	json_object_set(state, "files", files);
	changed = iot_json_text(state);
	ASSERT_OK(iot_fs_write(path, 0600, changed, strlen(changed), &err), &err);
	power_on(NULL, 0, (struct plug){0});
}

static bool has_file(const char *prefix)
{
	IOT_CLEAN(iot_free_p) char *text = flash();
	IOT_CLEAN(iot_free_p) char *quoted = iot_strf("\"%s", prefix);

	return strstr(text, quoted) != NULL;
}

/* Which of several was the old one is known after a kill too, and after another was staged on top; not guessed ever. */
static void test_several_old_roots(void)
{
	const struct iot_board_trust unknown = {NULL, iot_buf_str(&other_root), NULL, NULL};
	const struct iot_board_trust third = {NULL, iot_buf_str(&own_cert), NULL, NULL};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_board *board;

	for (size_t i = 0; i < IOT_LENGTH(dialects) && row != &dialects[i]; i++)
		if (strcmp(dialects[i].dialect, "sim7600") == 0)
			begin(&dialects[i], NULL);
	board = open_board();
	ASSERT_OK(give_all(board, &err), &err);
	iot_board_close(board);
	leave_over();
	board = open_board();
	ASSERT_OK(iot_board_stage(board, &unknown, &err), &err);
	iot_board_close(board);
	board = open_board();
	ASSERT_OK(iot_board_stage(board, &third, &err), &err);
	iot_board_close(board);
	board = open_board();
	ASSERT_OK(iot_board_settle(board, &third, false, &err), &err);
	check_trust(board, "iot.example", &root, &other_root);
	CU_ASSERT_FALSE(has_file("old_"));
	iot_board_close(board);
	leave_over();
	board = open_board();
	ASSERT_STATUS(iot_board_settle(board, &(struct iot_board_trust){.root_ca = iot_buf_str(&root)}, false, &err),
		      IOT_CONFLICT, &err);
	iot_board_close(board);
	end();
}

/* --- secrets ---------------------------------------------------------------------------------------- */

static void check_secrets(void)
{
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "said");
	struct iot_buf said = IOT_BUF_SECRET(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	const char *body = strchr(iot_buf_str(&own_key), '\n') + 1;
	IOT_CLEAN(iot_free_p) char *line = iot_strndup(body, strcspn(body, "\n"));

	ASSERT_OK(open_board_with(ANSWER_MS, path, &board, &err), &err);
	if (board != NULL)
		ASSERT_OK(give_all(board, &err), &err);
	ASSERT_OK(iot_fs_read(path, &said, &err), &err);
	CU_ASSERT_TRUE(said.len > 0 && strlen(line) > 20);
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), line));
	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		if (iot_board_item_secret((enum iot_board_item_kind)kind) && takes((enum iot_board_item_kind)kind))
			CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), item_of((enum iot_board_item_kind)kind).value));
	iot_buf_release(&said);
}

static void test_secrets(void)
{
	for_each_dialect(check_secrets, NULL);
}

static void set_up(void)
{
	if (root.len == 0)
		make_material();
}

UNIT_MAIN("board/dialects", set_up, NULL, {"rows", test_rows}, {"identify", test_identify}, {"items", test_items},
	  {"variants", test_variants}, {"other_value", test_other_value}, {"capabilities", test_capabilities},
	  {"wrong_certificate", test_wrong_certificate}, {"lost_bytes", test_lost_bytes},
	  {"doubled_bytes", test_doubled_bytes}, {"turned_bits", test_turned_bits}, {"garbage", test_garbage},
	  {"other_kinds", test_other_kinds}, {"two_on_one_port", test_two_on_one_port}, {"silence", test_silence},
	  {"unplugged", test_unplugged}, {"killed", test_killed}, {"stage", test_stage},
	  {"several_old_roots", test_several_old_roots}, {"secrets", test_secrets})
