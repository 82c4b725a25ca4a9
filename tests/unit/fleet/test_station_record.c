/*
 * The record of a station's shift: what is found when it was changed, a disk that
 * is full in the middle of a line, what the record says of a day.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static char *dir, *path, *key_path;
static struct iot_key *key;

static void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(4096);

	dir = unit_mkdtemp();
	path = iot_path(dir, "shift.jsonl");
	key_path = iot_path(dir, "station.pub");
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_public_pem(key, &pem, &err), &err);
	ASSERT_OK(iot_fs_write(key_path, 0644, pem.data, pem.len, &err), &err);
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	iot_key_free(key);
	free(dir);
	free(path);
	free(key_path);
}

/* --- the record ------------------------------------------------------------------------------ */

/* A closed shift of `count` boards: count + 2 lines. */
static void write_shift(int count)
{
	IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(chain_create(path, CHAIN_START, &chain, &err), &err);
	ASSERT_OK(chain_add(&chain, "open", json_pack("{s:s}", "station", "s1"), &err), &err);
	for (int i = 1; i <= count; i++)
		ASSERT_OK(chain_add(&chain, "result", json_pack("{s:i, s:s}", "unit", i, "result", "pass"), &err),
			  &err);
	ASSERT_OK(chain_close(&chain, key, json_pack("{s:i}", "passed", count), &err), &err);
}

static enum iot_status verify(bool open, struct iot_error *err)
{
	const char *const files[] = {path};
	IOT_JSON records = NULL;

	return iot_station_verify(files, 1, NULL, open, &records, err);
}

/* The lines of the file, and a way to write others in their place. */
struct text {
	char *lines[64];
	int count;
};

static void text_read(struct text *text)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf all = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	char *save = NULL;

	text->count = 0;
	ASSERT_OK(iot_fs_read(path, &all, &err), &err);
	for (char *line = strtok_r(all.data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
		text->lines[text->count++] = iot_strdup(line);
}

static void text_release(struct text *text)
{
	for (int i = 0; i < text->count; i++)
		free(text->lines[i]);
}

static void text_write(const struct text *text)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf all = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;

	for (int i = 0; i < text->count; i++)
		iot_buf_addf(&all, "%s\n", text->lines[i]);
	ASSERT_OK(iot_fs_write(path, 0600, all.data, all.len, &err), &err);
}

static void expect_blame(const char *what)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(verify(false, &err), IOT_VERIFY, &err);
	ASSERT_CONTAINS(err.what, what);
}

static void test_whole_record_verifies(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	write_shift(5);
	ASSERT_OK(verify(false, &err), &err);
}

static void test_each_altered_line_is_named(void)
{
	write_shift(6);
	for (int i = 0; i < 8; i++) {
		IOT_CLEAN(text_release) struct text text;
		char want[64], *at, kept;

		text_read(&text);
		CU_ASSERT_EQUAL(text.count, 8);
		at = strstr(text.lines[i], "\"at\":\"2") + 6;
		kept = *at;
		*at = '1';
		text_write(&text);
		snprintf(want, sizeof(want), "line %d was altered", i + 1);
		expect_blame(want);
		*at = kept;
		text_write(&text);
	}
}

static void test_each_removed_line_is_named(void)
{
	for (int i = 0; i < 7; i++) {
		IOT_CLEAN(text_release) struct text text;
		char want[64], *removed;

		write_shift(6);
		text_read(&text);
		removed = text.lines[i];
		memmove(&text.lines[i], &text.lines[i + 1], (size_t)(text.count - i - 1) * sizeof(char *));
		text.count--;
		text_write(&text);
		snprintf(want, sizeof(want), "1 line is missing before line %d", i + 1);
		expect_blame(want);
		free(removed);
		CU_ASSERT_EQUAL(unlink(path), 0);
	}
}

static void test_added_lines_are_named(void)
{
	for (int i = 1; i < 8; i++) {
		IOT_CLEAN(text_release) struct text text;
		char want[64], digest[IOT_SHA256_HEX_SIZE];

		write_shift(6);
		text_read(&text);
		memmove(&text.lines[i + 1], &text.lines[i], (size_t)(text.count - i) * sizeof(char *));
		text.count++;
		/* A forger who knows how lines are made. */
		iot_sha256_hex(text.lines[i - 1], strlen(text.lines[i - 1]), digest);
		text.lines[i] = iot_strf("{\"seq\":%d,\"prev\":\"%s\",\"at\":\"\",\"kind\":\"result\"}", i + 1, digest);
		text_write(&text);
		snprintf(want, sizeof(want), "line %d was added", i + 1);
		expect_blame(want);
		CU_ASSERT_EQUAL(unlink(path), 0);
	}
}

static void test_a_chain_made_anew_is_not_signed(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *stranger = NULL;
	IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &stranger, &err), &err);
	ASSERT_OK(chain_create(path, CHAIN_START, &chain, &err), &err);
	ASSERT_OK(chain_add(&chain, "open", json_object(), &err), &err);
	ASSERT_OK(chain_close(&chain, stranger, json_object(), &err), &err);
	expect_blame("signed by another station's key");
}

static void test_cut_off_anywhere_it_goes_on(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf all = IOT_BUF_INIT(1 << 20);
	size_t whole = 0, torn;

	write_shift(2);
	ASSERT_OK(iot_fs_read(path, &all, &err), &err);
	/* Without the line that closes it. */
	for (size_t i = 0, lines = 0; lines < 3; i++)
		if (all.data[i] == '\n') {
			lines++;
			whole = i + 1;
		}
	for (size_t cut = 1; cut <= whole; cut++) {
		IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
		char last = all.data[cut - 1];

		ASSERT_OK(iot_fs_write(path, 0600, all.data, cut, &err), &err);
		ASSERT_OK(chain_resume(path, NULL, NULL, &chain, &torn, &err), &err);
		CU_ASSERT_EQUAL(torn == 0, last == '\n');
		if (chain.seq == 0)
			continue;
		ASSERT_OK(chain_add(&chain, "resume", json_object(), &err), &err);
		ASSERT_OK(chain_close(&chain, key, json_object(), &err), &err);
		ASSERT_OK(verify(false, &err), &err);
	}
}

static void test_a_full_disk_leaves_whole_lines(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct rlimit before, limit;
	IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
	struct stat st;
	size_t torn = 1;

	signal(SIGXFSZ, SIG_IGN);
	ASSERT_OK(chain_create(path, CHAIN_START, &chain, &err), &err);
	ASSERT_OK(chain_add(&chain, "open", json_object(), &err), &err);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)chain.end + 40; /* room for a part of the next line */
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ASSERT_STATUS(chain_add(&chain, "begin", json_pack("{s:i}", "unit", 1), &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.hint, "make room");
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, chain.end);
	/* Nothing more is written by the one that failed, and the next goes on. */
	ASSERT_STATUS(chain_add(&chain, "begin", json_object(), &err), IOT_FAILURE, &err);
	chain_release(&chain);
	ASSERT_OK(chain_resume(path, NULL, NULL, &chain, &torn, &err), &err);
	CU_ASSERT_EQUAL(torn, 0);
	ASSERT_OK(chain_close(&chain, key, json_object(), &err), &err);
	ASSERT_OK(verify(false, &err), &err);
}

/* --- what the record says ------------------------------------------------------------------------- */

static void add_pass(struct chain *chain, const char *uid, int connect_ms, const char *origin)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(chain_add(chain, "result",
			    json_pack("{s:i, s:s, s:s, s:{s:i, s:i}, s:i, s:{s:s}}", "unit", 1, "uid", uid, "result",
				      "pass", "steps", "identify", 10, "connect", connect_ms, "ms", connect_ms + 10,
				      "device", "keyOrigin", origin),
			    &err),
		  &err);
}

static void add_fail(struct chain *chain, int unit, const char *uid, const char *step, const char *code)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(chain_add(chain, "result",
			    json_pack("{s:i, s:s*, s:s, s:s, s:{s:s, s:s, s:s}, s:i}", "unit", unit, "uid", uid,
				      "result", "fail", "step", step, "error", "code", code, "status", "board fault",
				      "line", "what was said", "ms", 5000),
			    &err),
		  &err);
}

static const json_t *takt_of(const json_t *report, const char *step)
{
	size_t index;
	json_t *takt;

	json_array_foreach(json_object_get(report, "takt"), index, takt)
		if (strcmp(iot_json_str(takt, "step", ""), step) == 0)
			return takt;
	return NULL;
}

static void expect_takt(const json_t *report, const char *step, int64_t count, int64_t median, int64_t p95, int64_t max)
{
	const json_t *takt = takt_of(report, step);

	CU_ASSERT_PTR_NOT_NULL(takt);
	CU_ASSERT_EQUAL(iot_json_int(takt, "count", -1), count);
	CU_ASSERT_EQUAL(iot_json_int(takt, "median", -1), median);
	CU_ASSERT_EQUAL(iot_json_int(takt, "p95", -1), p95);
	CU_ASSERT_EQUAL(iot_json_int(takt, "max", -1), max);
}

static void expect_fault(const json_t *report, size_t place, const char *cause, int64_t count)
{
	const json_t *fault = json_array_get(json_object_get(report, "faults"), place);

	CU_ASSERT_STRING_EQUAL(iot_json_str(fault, "cause", ""), cause);
	CU_ASSERT_EQUAL(iot_json_int(fault, "count", -1), count);
	CU_ASSERT_STRING_EQUAL(iot_json_str(fault, "example", ""), "what was said");
}

/* Twenty boards pass at once, one at its second try, one never; one was done already, one never said who it is. */
static void write_day(void)
{
	IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	char uid[16];

	ASSERT_OK(chain_create(path, CHAIN_START, &chain, &err), &err);
	ASSERT_OK(chain_add(&chain, "open", json_pack("{s:s, s:s}", "station", "s1", "recipe", "p"), &err), &err);
	for (int i = 1; i <= 20; i++) {
		snprintf(uid, sizeof(uid), "b%d", i);
		add_pass(&chain, uid, 1000 + (i * 7) % 20, i <= 3 ? "host" : "board");
	}
	add_fail(&chain, 21, "late", "connect", "ERR14 2");
	add_pass(&chain, "late", 9000, "board");
	add_fail(&chain, 22, "bad", "program", "");
	add_fail(&chain, 22, "bad", "connect", "ERR14 2");
	add_fail(&chain, 23, NULL, "identify", "");
	ASSERT_OK(chain_add(&chain, "result", json_pack("{s:i, s:s, s:s}", "unit", 24, "uid", "b1", "result", "known"),
			    &err),
		  &err);
	ASSERT_OK(chain_close(&chain, key, json_object(), &err), &err);
}

static void test_report_of_a_day(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON report = NULL;

	write_day();
	ASSERT_OK(iot_station_report(path, &report, &err), &err);
	CU_ASSERT_EQUAL(iot_json_int(report, "boards", -1), 23);
	CU_ASSERT_EQUAL(iot_json_int(report, "passed", -1), 21);
	CU_ASSERT_EQUAL(iot_json_int(report, "failed", -1), 4);
	CU_ASSERT_EQUAL(iot_json_int(report, "known", -1), 1);
	CU_ASSERT_EQUAL(iot_json_int(report, "exposedOnWire", -1), 3);
	CU_ASSERT_DOUBLE_EQUAL(json_real_value(json_object_get(report, "yield")), 21.0 / 23, 1e-9);
	CU_ASSERT_DOUBLE_EQUAL(json_real_value(json_object_get(report, "firstPassYield")), 20.0 / 23, 1e-9);
	/* 1000 to 1019, each once, and 9000; times of boards that failed are not among them */
	expect_takt(report, "identify", 21, 10, 10, 10);
	expect_takt(report, "connect", 21, 1010, 1019, 9000);
	expect_takt(report, "total", 21, 1020, 1029, 9010);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(report, "takt")), 3);
	/* most frequent first; the board's own word for it where it has one */
	CU_ASSERT_EQUAL(json_array_size(json_object_get(report, "faults")), 3);
	expect_fault(report, 0, "connect: ERR14 2", 2);
	expect_fault(report, 1, "program: board fault", 1);
	expect_fault(report, 2, "identify: board fault", 1);
}

static enum iot_status count_one(json_t *record, void *data, struct iot_error *err)
{
	size_t *count = data;

	(void)err;
	CU_ASSERT_STRING_EQUAL(iot_json_str(record, "kind", ""), "result");
	(*count)++;
	return *count < 25 ? IOT_OK : IOT_INTERRUPTED;
}

static void test_export_stops_when_told(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	size_t count = 0;

	write_day();
	ASSERT_STATUS(iot_station_export(path, count_one, &count, &err), IOT_INTERRUPTED, &err);
	CU_ASSERT_EQUAL(count, 25);
}

/* A report of a record that somebody changed is no report. */
static void test_no_report_of_a_changed_record(void)
{
	IOT_CLEAN(text_release) struct text text;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON report = NULL;
	size_t count = 0;

	write_day();
	text_read(&text);
	memcpy(strstr(text.lines[21], "fail"), "pass", 4);
	text_write(&text);
	ASSERT_STATUS(iot_station_report(path, &report, &err), IOT_VERIFY, &err);
	CU_ASSERT_PTR_NULL(report);
	CU_ASSERT_EQUAL(iot_station_export(path, count_one, &count, &err), IOT_VERIFY);
}

static json_t *failed(int unit, const char *step, const char *code, const char *line)
{
	json_t *record = json_pack("{s:i, s:s, s:{s:s, s:s}}", "unit", unit, "result", "fail", "error", "status",
				   "board", "line", line);

	iot_json_set_str(record, "step", step);
	iot_json_set_str(json_object_get(record, "error"), "code", code);
	return record;
}

/* The same fault of several boards is one line, also without a code; others are lines of their own. */
static void test_faults_are_told_apart(void)
{
	IOT_CLEAN(chain_release) struct chain chain = CHAIN_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON report = NULL;
	const json_t *faults;

	ASSERT_OK(chain_create(path, CHAIN_START, &chain, &err), &err);
	ASSERT_OK(chain_add(&chain, "open", json_pack("{s:s}", "station", "s1"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(1, NULL, NULL, "no answer on './a' within 5 ms"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(2, "program", "ERR11", "x"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(3, NULL, NULL, "it is another kind"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(4, NULL, NULL, "no answer on './b' within 70 ms"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(5, "program", "ERR11", "y"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(6, NULL, NULL, "no answer on './b' within 7 ms"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(7, "start", NULL, "the board's name is long"), &err), &err);
	ASSERT_OK(chain_add(&chain, "result", failed(8, "start", NULL, "the board's key is short"), &err), &err);
	ASSERT_OK(iot_station_report(path, &report, &err), &err);
	faults = json_object_get(report, "faults");
	CU_ASSERT_EQUAL_FATAL(json_array_size(faults), 5);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 0), "cause", ""), "identify: board");
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(faults, 0), "count", 0), 3);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 1), "cause", ""), "program: ERR11");
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(faults, 1), "count", 0), 2);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 2), "example", ""), "it is another kind");
}

UNIT_MAIN("fleet/station_record", set_up, tear_down, {"whole", test_whole_record_verifies},
	  {"altered", test_each_altered_line_is_named}, {"removed", test_each_removed_line_is_named},
	  {"added", test_added_lines_are_named}, {"anew", test_a_chain_made_anew_is_not_signed},
	  {"torn", test_cut_off_anywhere_it_goes_on}, {"full", test_a_full_disk_leaves_whole_lines},
	  {"report", test_report_of_a_day}, {"export", test_export_stops_when_told},
	  {"changed", test_no_report_of_a_changed_record}, {"faults", test_faults_are_told_apart})
