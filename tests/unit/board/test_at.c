/* The AT engine against a scripted other end: steps lost and found. */
#include "iotctl/at.h"

#include "iotctl/base.h"
#include "iotctl/board.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"
#include "unit.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* What the other end does: for each line it hears that starts with `heard`, it says `said`, `times` times (0: always).
 */
struct line {
	const char *heard, *said;
	int times;
	int takes_ms; /* and hears nothing meanwhile */
};

static struct {
	int master, stop[2];
	char path[64];
	pthread_t thread;
	struct line lines[8];
	char heard[8192];
} other;

static void answer(const char *line)
{
	for (size_t i = 0; i < IOT_LENGTH(other.lines) && other.lines[i].heard != NULL; i++) {
		struct line *rule = &other.lines[i];

		if (rule->times < 0 || strncmp(line, rule->heard, strlen(rule->heard)) != 0)
			continue;
		if (rule->times == 1)
			rule->times = -1;
		else if (rule->times > 1)
			rule->times--;
		poll(NULL, 0, rule->takes_ms);
		if (write(other.master, rule->said, strlen(rule->said)) < 0)
			abort();
		return;
	}
}

static void *run(void *data)
{
	char line[8192];
	size_t len = 0;

	(void)data;
	for (;;) {
		struct pollfd fds[2] = {{other.master, POLLIN, 0}, {other.stop[0], POLLIN, 0}};
		char c;

		if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
			return NULL;
		if (read(other.master, &c, 1) != 1) {
			usleep(1000);
			continue;
		}
		if (c != '\n' && len + 1 < sizeof(line)) {
			line[len++] = c;
			continue;
		}
		line[len] = '\0';
		len = 0;
		strcat(other.heard, line);
		strcat(other.heard, "|");
		answer(line);
	}
}

static enum iot_at_verdict judge(const char *line, size_t len, struct iot_at_answer *ret, int *ret_more)
{
	*ret_more = 0;
	iot_buf_clear(&ret->text);
	if (len > 0 && line[0] == '+') {
		return IOT_AT_PART;
	} else if (strncmp(line, "OK", 2) == 0) {
		*ret_more = atoi(line + 2);
		if (iot_starts_with(line, "OK ="))
			iot_buf_adds(&ret->text, line + 4);
		return IOT_AT_OK;
	} else if (strncmp(line, "ERR", 3) == 0) {
		ret->code = atoi(line + 3);
		return IOT_AT_ERROR;
	}
	return IOT_AT_STRANGER;
}

static bool garbled(int code)
{
	return code == 2;
}

static const struct iot_at_dialect dialect = {.name = "test modem",
					      .eol = "\n",
					      .probe = "AT",
					      .unwind = "END\n",
					      .prompt = '>',
					      .prompt_line = "SEND",
					      .judge = judge,
					      .retries = 2,
					      .garbled = garbled};

static bool proves(const struct iot_at_answer *answer, void *data)
{
	(void)data;
	return answer->text.len > 0;
}

/* The same with a second question. */
static const struct iot_at_dialect proving = {.name = "test modem",
					      .eol = "\n",
					      .probe = "AT",
					      .proof = "WHO",
					      .proves = proves,
					      .judge = judge,
					      .retries = 2};

static struct iot_at at;
static int strangers;

static void stranger(const char *line, size_t len, void *data)
{
	(void)line, (void)len, (void)data;
	strangers++;
}

static void set_up(void)
{
	memset(&other, 0, sizeof(other));
	strangers = 0;
	other.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (other.master < 0 || grantpt(other.master) != 0 || unlockpt(other.master) != 0 ||
	    ptsname_r(other.master, other.path, sizeof(other.path)) != 0 || pipe(other.stop) != 0)
		abort();
}

static void start(void)
{
	const struct iot_serial_options options = {.path = other.path, .interrupt_fd = -1};
	struct iot_error err = IOT_ERROR_INIT;

	at = (struct iot_at){.dialect = &dialect, .stranger = stranger, .probe_ms = 300};
	ASSERT_OK(iot_serial_open(&options, &at.serial, &err), &err);
	if (pthread_create(&other.thread, NULL, run, NULL) != 0)
		abort();
}

static void tear_down(void)
{
	if (write(other.stop[1], "x", 1) != 1)
		abort();
	pthread_join(other.thread, NULL);
	iot_serial_close(at.serial);
	close(other.master);
	close(other.stop[0]);
	close(other.stop[1]);
}

static enum iot_status call(const char *command, bool once, struct iot_at_answer *ret, struct iot_error *err)
{
	const struct iot_at_call request = {.texts = IOT_AT_TEXTS({command, false}), .timeout_ms = 300, .once = once};

	return iot_at_call(&at, &request, ret, err);
}

static void test_answers(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"LIST", "+a\r\n+b\r\nnoise\r\nOK\r\n", 0, 0};
	other.lines[1] = (struct line){"RAW", "OK2\r\nOK\r\nERR1\r\n", 0, 0};
	other.lines[2] = (struct line){"BAD", "ERR7\r\n", 0, 0};
	other.lines[3] = (struct line){"AT", "OK\r\n", 0, 0};
	start();
	ASSERT_OK(call("LIST", false, &ret, &err), &err);
	CU_ASSERT_TRUE(ret.ok);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&ret.lines), "+a\n+b\n");
	CU_ASSERT_EQUAL(strangers, 1);
	ASSERT_OK(call("RAW", false, &ret, &err), &err); /* raw lines are not judged */
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&ret.lines), "OK\nERR1\n");
	ASSERT_OK(call("BAD", false, &ret, &err), &err);
	CU_ASSERT_FALSE(ret.ok);
	CU_ASSERT_EQUAL(ret.code, 7);
	CU_ASSERT_EQUAL(at.resyncs, 1); /* the first call got into step; nothing went wrong since */
}

static void test_sync_finds_silence(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	start();
	ASSERT_STATUS(iot_at_sync(&at, 300, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "nothing answers");
	ASSERT_CONTAINS(err.hint, "right port");
}

static void test_sync_finds_nonsense(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"AT", "login: \x1b[0m\n", 0, 0};
	start();
	ASSERT_STATUS(iot_at_sync(&at, 300, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "answers 'login: ?[0m', which is no test modem");
}

/* Another kind says the same to each probe: it is not waited for as a slow board is. */
static void test_sync_knows_another_kind(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before = iot_monotonic_ms();

	other.lines[0] = (struct line){"AT", "AT: command not found\n", 0, 0};
	start();
	ASSERT_STATUS(iot_at_sync(&at, 30000, &err), IOT_BOARD, &err);
	CU_ASSERT(iot_monotonic_ms() - before < 15000);
	CU_ASSERT_STRING_EQUAL(err.code, IOT_BOARD_OTHER_KIND);
	ASSERT_CONTAINS(err.what, "answers 'AT: command not found'");
}

/* An echo is said to each probe, too, by what is wanted. */
static void test_sync_passes_over_an_echo(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"AT", "AT\n", 7, 0};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 0};
	start();
	at.probe_ms = 200;
	ASSERT_OK(iot_at_sync(&at, 30000, &err), &err);
}

/* One that starts may say the same some times over. */
static void test_sync_waits_for_a_slow_one(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"AT", "starting\n", 4, 0};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 0};
	start();
	at.probe_ms = 200;
	ASSERT_OK(iot_at_sync(&at, 30000, &err), &err);
}

static void test_refusals_of_any_kind(void)
{
	static const char *const are[] = {
		"ERROR", "ERROR\r", "+CME ERROR: 3", "+CMS ERROR: 500", "ERR3 COMMAND NOT FOUND", "ERR12"};
	static const char *const are_not[] = {"",     "ERR", "ERRONEOUS", "ERRORS", "ERR3X",
					      "+CME", "OK",  "error",     "ERROR 3"};

	start();
	for (size_t i = 0; i < IOT_LENGTH(are); i++)
		CU_ASSERT_TRUE(iot_at_refuses(are[i], strlen(are[i])));
	for (size_t i = 0; i < IOT_LENGTH(are_not); i++)
		CU_ASSERT_FALSE(iot_at_refuses(are_not[i], strlen(are_not[i])));
}

/* An answer that is late belongs to the command before: it must not be taken for the next one's. */
static void test_late_answer(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"SLOW", "", 0, 0};
	other.lines[1] = (struct line){"ASK", "ERR9\n", 0, 0};
	/* What SLOW should have answered comes when the engine is looking for its step. */
	other.lines[2] = (struct line){"AT", "OK1\nstale\nOK\n", 1, 0};
	other.lines[3] = (struct line){"AT", "OK\n", 0, 0};
	start();
	at.in_step = true;
	ASSERT_STATUS(call("SLOW", true, &ret, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "no whole answer to 'SLOW'");
	ASSERT_OK(call("ASK", false, &ret, &err), &err);
	CU_ASSERT_EQUAL(ret.code, 9);
}

/* A board that works one command off after the other, each too slowly: what is owed comes with pauses in between. */
static void test_slow_board(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"SLOW", "ERR7\n", 0, 450};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 80};
	other.lines[2] = (struct line){"ASK", "ERR9\n", 0, 80};
	start();
	at.in_step = true;
	ASSERT_STATUS(call("SLOW", true, &ret, &err), IOT_BOARD, &err);
	ASSERT_OK(call("ASK", false, &ret, &err), &err);
	CU_ASSERT_FALSE(ret.ok);
	CU_ASSERT_EQUAL(ret.code, 9);
}

static void test_repeats(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"ASK", "ERR2\n", 1, 0}; /* a byte was lost on the way there */
	other.lines[1] = (struct line){"ASK", "O", 1, 0};      /* and on the way back */
	other.lines[2] = (struct line){"ASK", "OK\n", 0, 0};
	other.lines[3] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_OK(call("ASK", false, &ret, &err), &err);
	CU_ASSERT_TRUE(ret.ok);
	CU_ASSERT_EQUAL(at.retries, 2);
}

static void test_once_is_said_once(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_STATUS(call("BURN", true, &ret, &err), IOT_BOARD, &err);
	CU_ASSERT_PTR_NOT_NULL(strstr(other.heard, "BURN|"));
	CU_ASSERT_PTR_NULL(strstr(strstr(other.heard, "BURN|") + 1, "BURN|"));
}

/* The other end is in the middle of a paste and takes every line for a part of it. */
static void test_unwinds(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"END", "OK\n", 1, 0};
	other.lines[1] = (struct line){"AT", "", 2, 0};
	other.lines[2] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_OK(iot_at_sync(&at, 10000, &err), &err);
	CU_ASSERT_TRUE(at.in_step);
}

/* Whatever was owed when the conversation began, the answer to ASK is the one that belongs to it. */
static void check_proof(const char *to_at, bool quickly)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before;

	other.lines[0] = (struct line){"AT", to_at, 1, 0};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 0};
	other.lines[2] = (struct line){"WHO", "OK =me\n", 0, 0};
	other.lines[3] = (struct line){"ASK", "OK =asked\n", 0, 0};
	start();
	at.dialect = &proving;
	before = iot_monotonic_ms();
	ASSERT_OK(iot_at_sync(&at, 5000, &err), &err);
	if (quickly)
		CU_ASSERT(iot_monotonic_ms() - before < 300 && strcmp(other.heard, "|AT|WHO|") == 0);
	ASSERT_OK(call("ASK", true, &ret, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&ret.text), "asked");
}

static void test_proof(void)
{
	static const struct {
		const char *to_at;
		bool quickly;
	} cases[] = {
		{"OK\n", true},
		{"boot: hello\nOK\n", true},
		{"OK\nOK\n", false},
		{"ERR7\nOK\n", false},
		{"OK =late\nOK\n", false},
		{"OK2\na\nb\nOK\n", false},
		{"half a lineOK\n", false},
		{"", false},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		if (i > 0) {
			tear_down();
			set_up();
		}
		check_proof(cases[i].to_at, cases[i].quickly);
	}
}

static void test_too_many_lines(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"ASK", "OK1000000\n", 0, 0};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_STATUS(call("ASK", false, &ret, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "1000000 lines");
}

/* --- data ----------------------------------------------------------------------------------- */

static enum iot_status give(const char *data, struct iot_at_answer *ret, struct iot_error *err)
{
	const struct iot_at_call request = {.texts = IOT_AT_TEXTS({"PUT", false}), .timeout_ms = 300, .once = true};
	const struct iot_serial_part part = {data, strlen(data), true};

	return iot_at_data(&at, &request, &part, ret, err);
}

static void check_data(const char *prompt, const char *final, bool ok, const char *heard)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"PUT", prompt, 0, 0};
	other.lines[1] = (struct line){"hello", final, 0, 0};
	other.lines[2] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_OK(give("hello\n", &ret, &err), &err);
	CU_ASSERT_EQUAL(ret.ok, ok);
	ASSERT_OK(call("AT", false, &ret, &err), &err);
	CU_ASSERT_STRING_EQUAL(other.heard, heard);
	CU_ASSERT_EQUAL(at.resyncs, 1);
}

static void test_data(void)
{
	check_data("\r\n> ", "\r\nOK\r\n", true, "|AT|PUT|hello|AT|");
}

static void test_data_after_a_line(void)
{
	check_data("noise > noise\r\n+info\r\nSEND\r\n", "+more\nOK\n", true, "|AT|PUT|hello|AT|");
	CU_ASSERT_EQUAL(strangers, 1);
}

/* What was not asked for must not be sent: it would be taken for commands. */
static void test_data_refused(void)
{
	check_data("ERR3\n", "OK\n", false, "|AT|PUT|AT|");
}

static void test_data_refused_afterwards(void)
{
	check_data(">", "ERR4\n", false, "|AT|PUT|hello|AT|");
}

static void test_data_never_asked_for(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"PUT", "", 1, 0};
	other.lines[1] = (struct line){"PUT", "OK\n", 0, 0};
	other.lines[2] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_STATUS(give("hello\n", &ret, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "gave no whole answer to 'PUT'");
	ASSERT_STATUS(give("hello\n", &ret, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "says OK where");
	ASSERT_OK(call("AT", false, &ret, &err), &err);
	CU_ASSERT_PTR_NULL(strstr(other.heard, "hello"));
}

/* The answer is lost: it is not said again, and what follows is in step. */
static void test_data_not_answered(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"PUT", ">", 0, 0};
	other.lines[1] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_STATUS(give("hello\n", &ret, &err), IOT_BOARD, &err);
	ASSERT_OK(call("AT", false, &ret, &err), &err);
	CU_ASSERT_PTR_NULL(strstr(strstr(other.heard, "hello") + 1, "hello"));
}

/* --- secrets ---------------------------------------------------------------------------------- */

/* Whoever hears of lines that are no answer logs them, and an echo must not get there. */
static void test_echo_of_a_secret(void)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer ret = IOT_AT_ANSWER_INIT;
	const struct iot_at_call request = {.texts = IOT_AT_TEXTS({"SET ", false}, {"hunter2", true}),
					    .timeout_ms = 300};
	struct iot_error err = IOT_ERROR_INIT;

	other.lines[0] = (struct line){"SET", "SET hunter2\n+hunter2\nOK\n", 0, 0};
	other.lines[1] = (struct line){"PUT", ">", 0, 0};
	other.lines[2] = (struct line){"hunter2", "hunter2\nOK\n", 0, 0};
	other.lines[3] = (struct line){"AT", "OK\n", 0, 0};
	start();
	ASSERT_OK(iot_at_call(&at, &request, &ret, &err), &err);
	CU_ASSERT_TRUE(ret.ok && ret.lines.secret);
	ASSERT_OK(give("hunter2\n", &ret, &err), &err);
	CU_ASSERT_TRUE(ret.ok);
	CU_ASSERT_EQUAL(strangers, 0);
	ASSERT_OK(call("SET nothing", false, &ret, &err), &err);
	CU_ASSERT_EQUAL(strangers, 1);
}

UNIT_MAIN("board/at", set_up, tear_down, {"answers", test_answers}, {"sync-finds-silence", test_sync_finds_silence},
	  {"sync-finds-nonsense", test_sync_finds_nonsense}, {"another-kind", test_sync_knows_another_kind},
	  {"slow-start", test_sync_waits_for_a_slow_one}, {"echo-of-a-probe", test_sync_passes_over_an_echo},
	  {"refusals", test_refusals_of_any_kind}, {"late-answer", test_late_answer}, {"slow-board", test_slow_board},
	  {"repeats", test_repeats}, {"once", test_once_is_said_once}, {"unwinds", test_unwinds}, {"proof", test_proof},
	  {"too-many-lines", test_too_many_lines}, {"data", test_data}, {"data-after-a-line", test_data_after_a_line},
	  {"data-refused", test_data_refused}, {"data-refused-afterwards", test_data_refused_afterwards},
	  {"data-never-asked-for", test_data_never_asked_for}, {"data-not-answered", test_data_not_answered},
	  {"echo-of-a-secret", test_echo_of_a_secret})
