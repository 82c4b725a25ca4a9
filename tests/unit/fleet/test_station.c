/*
 * The parts of a station that are no process: the record and what is found when
 * it was changed, a disk that is full in the middle of a line, recipes, serial
 * numbers, labels.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "unit.h"

#include <fcntl.h>
#include <png.h>
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

/* --- recipes --------------------------------------------------------------------------------------- */

static enum iot_status parse(const char *text, struct iot_station_recipe **ret, struct iot_error *err)
{
	return iot_station_recipe_parse(text, strlen(text), "r.json", "/line", ret, err);
}

static void test_recipe(void)
{
	IOT_CLEAN(iot_station_recipe_free_p) struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(parse("{\"name\":\"p\",\"board\":\"expresslink\",\"serial\":\"[0-9]{4}\",\"baud\":9600,"
			"\"device\":{\"name\":\"pump-{serial}\",\"policies\":[\"a\",\"b\"]},"
			"\"items\":{\"wifiSsid\":\"x\",\"wifiPasswordFile\":\"wifi\",\"endpoint\":\"gw\","
			"\"endpointPort\":8887},"
			"\"limits\":{\"time\":\"90s\",\"attempts\":3},\"hook\":{\"command\":[\"./tell\",\"--x\"]}}",
			&recipe, &err),
		  &err);
	if (recipe == NULL)
		return;
	CU_ASSERT_STRING_EQUAL(recipe->wifi_password_file, "/line/wifi");
	CU_ASSERT_STRING_EQUAL(recipe->hook[0], "/line/./tell");
	CU_ASSERT_STRING_EQUAL(recipe->policies[1], "b");
	CU_ASSERT_PTR_NULL(recipe->policies[2]);
	CU_ASSERT_EQUAL(recipe->timeout_ms, 90000);
	CU_ASSERT_EQUAL(recipe->attempts, 3);
	CU_ASSERT_EQUAL(recipe->baud, 9600);
	CU_ASSERT_STRING_EQUAL(recipe->endpoint, "gw");
	CU_ASSERT_EQUAL(recipe->endpoint_port, 8887);
	ASSERT_OK(serials_check(recipe, "0001", &err), &err);
	ASSERT_STATUS(serials_check(recipe, "x0001", &err), IOT_USAGE, &err);
	ASSERT_STATUS(serials_check(recipe, "00011", &err), IOT_USAGE, &err);
}

static void test_recipes_that_are_refused(void)
{
#define HEAD "{\"name\":\"p\",\"board\":\"expresslink\""
#define CHIP "{\"name\":\"line\",\"board\":\"stm32f1\""
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"[]", "should be a JSON object"},
		{"{\"board\":\"expresslink\"}", "'name' is missing"},
		{"{\"name\":\"p\"}", "'board' is missing"},
		{HEAD ",\"polices\":[]}", "no member 'polices'"},
		{HEAD ",\"limits\":{\"tme\":\"1s\"}}", "no member 'limits.tme'"},
		{HEAD ",\"limits\":{\"time\":30}}", "'limits.time' should be"},
		{HEAD ",\"limits\":{\"attempts\":0}}", "'limits.attempts' should be a number from 1 to 10"},
		{HEAD ",\"limits\":[]}", "'limits' should be an object"},
		{HEAD ",\"device\":{\"name\":\"{serail}\"}}", "{serail}"},
		{HEAD ",\"device\":{\"name\":\"{serial\"}}", "without '}'"},
		{HEAD ",\"device\":{\"policies\":\"a\"}}", "'device.policies' should be a list"},
		{HEAD ",\"device\":{\"policies\":[]}}", "'device.policies' should be a list"},
		{HEAD ",\"serial\":\"[\"}", "regular expression"},
		{HEAD ",\"items\":{\"endpointPort\":0}}", "'items.endpointPort' should be"},
		{"{\"name\":\"p\",\"board\":\"tfm-small\",\"device\":{\"policies\":[\"a\"]}}",
		 "'device.policies' needs"},
		{"{\"name\":\"p\",\"board\":\"tfm-small\",\"label\":{\"qr\":\"{certificate}\"}}", "'label.qr' needs"},
		{HEAD ",\"pulse\":\"cts\"}", "'pulse'"},
		{HEAD ",\"lock\":\"permanent\"}", "cannot be locked"},
		{HEAD ",\"lock\":\"maybe\"}", "'lock' should be"},
		{HEAD ",\"lockAlso\":[\"x\"]}", "no optional locks"},
		{HEAD ",\"lockAlso\":\"x\"}", "'lockAlso' should be a list"},
		{CHIP ",\"lock\":\"reversible\",\"lockAlso\":[\"readout\"]}", "no optional lock 'readout'"},
		{CHIP ",\"lockAlso\":[\"readout protection, level 1\"]}", "but none is wanted"},
		{HEAD ",\"items\":{\"wifiPasswordFile\":\"x\"}}", "needs 'items.wifiSsid'"},
		{HEAD ",\"hook\":{}}", "'hook.command' is missing"},
		{HEAD ",\"name\":\"again\"}", ""},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		struct iot_station_recipe *recipe = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_STATUS(parse(rows[i].text, &recipe, &err), IOT_USAGE, &err);
		if (strstr(err.what, rows[i].says) == NULL)
			fprintf(stderr, "\n'%s' gave: %s\n", rows[i].text, err.what);
		ASSERT_CONTAINS(err.what, rows[i].says);
		iot_station_recipe_free(recipe);
	}
}

static void test_a_kind_of_board_that_is_not_there(void)
{
	struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(parse("{\"name\":\"p\",\"board\":\"toaster\"}", &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "no kind of board 'toaster'");
	/* A file is looked for beside the recipe. */
	ASSERT_STATUS(parse("{\"name\":\"p\",\"board\":\"toaster.json\"}", &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "/line/toaster.json");
}

/* Some heads have a recipe of their own; what is the station's is not in it. */
static void test_recipes_of_heads(void)
{
	static const char station[] =
		"{\"name\":\"line\",\"board\":\"expresslink\",\"serial\":\"P[0-9]+\",\"heads\":["
		"{\"port\":\"*/con?\",\"recipe\":\"u5.json\"},{\"port\":\"buspirate:*\",\"recipe\":\"f1.json\"}]}";
	static const struct {
		const char *u5, *says;
	} wrong[] = {
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"hook\":{\"command\":[\"x\"]}}", "has 'hook'"},
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"heads\":[{\"port\":\"*\",\"recipe\":\"line.json\"}]}",
		 "has 'heads'"},
		{"{\"name\":\"u\",\"board\":\"stm32u5\",\"lock\":\"permanent\"}", "cannot be locked"},
	};
	IOT_CLEAN(iot_free_p) char *line = iot_path(dir, "line.json");
	IOT_CLEAN(iot_free_p) char *u5 = iot_path(dir, "u5.json");
	IOT_CLEAN(iot_free_p) char *f1 = iot_path(dir, "f1.json");
	static const char console[] = "{\"name\":\"u\",\"board\":\"stm32u5\",\"serial\":\"U[0-9]+\"}";
	static const char chip[] = "{\"name\":\"f\",\"board\":\"stm32f1\"}";
	struct iot_station_recipe *recipe = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(line, 0600, station, strlen(station), &err), &err);
	ASSERT_STATUS(iot_station_recipe_load(line, &recipe, &err), IOT_NOT_FOUND, &err);
	ASSERT_OK(iot_fs_write(u5, 0600, console, strlen(console), &err), &err);
	ASSERT_OK(iot_fs_write(f1, 0600, chip, strlen(chip), &err), &err);
	ASSERT_OK(iot_station_recipe_load(line, &recipe, &err), &err);
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "./con1")->name, "u");
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "buspirate:./probe")->name, "f");
	CU_ASSERT_STRING_EQUAL(recipe_of(recipe, "./head1")->name, "line");
	ASSERT_OK(serials_check_any(recipe, "U1", &err), &err);
	ASSERT_STATUS(serials_check(recipe, "U1", &err), IOT_USAGE, &err);
	iot_station_recipe_free(recipe);
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++) {
		ASSERT_OK(iot_fs_write(u5, 0600, wrong[i].u5, strlen(wrong[i].u5), &err), &err);
		ASSERT_STATUS(iot_station_recipe_load(line, &recipe, &err), IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, wrong[i].says);
	}
}

/* --- serial numbers ------------------------------------------------------------------------------------ */

static const struct iot_station_recipe any = {.name = (char *)(uintptr_t) "p"};

static enum iot_status range(const char *text, struct serials **ret, struct iot_error *err)
{
	const struct serials_options options = {.range = text, .recipe = &any};

	return serials_open(&options, ret, err);
}

static void test_ranges(void)
{
	static const char *const wrong[] = {"",           "1",        "..",      "A..B",     "0001..99",
					    "0009..0001", "A-1..B-9", "1..2..3", "A 01..02", "1..9999999999999999",
					    "A-1..A-"};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(range("PUMP-0998..1001", &serials, &err), &err);
	serials_used(serials, "PUMP-0999");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-0998");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-1000");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "PUMP-1001");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	ASSERT_OK(range("A-1..A-2", &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A-1");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A-2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++)
		ASSERT_STATUS(range(wrong[i], &serials, &err), IOT_USAGE, &err);
}

/* --- the scanner ---------------------------------------------------------------------------- */

static void keep_note(const char *line, void *data)
{
	iot_buf_addf(data, "%s\n", line);
}

/* A number that was aimed at a head that does not want it is lost; scanned at once again it counts. */
static void test_a_number_that_was_not_taken_is_scanned_again(void)
{
	static const char typed[] = "@2\n@1\nP1\nP1\nP1\n";
	IOT_CLEAN(iot_buf_release) struct iot_buf notes = IOT_BUF_INIT(4096);
	struct iot_station_options options = {.note = keep_note, .data = &notes};
	struct station station = {.options = &options, .recipe = &any, .head_count = 1, .scans = json_array()};
	struct iot_error err = IOT_ERROR_INIT;
	int ends[2];

	CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
	CU_ASSERT_EQUAL(write(ends[1], typed, strlen(typed)), (ssize_t)strlen(typed));
	options.scan_fd = ends[0];
	station.typed = (struct iot_buf)IOT_BUF_INIT(256);
	ASSERT_OK(scan_read(&station, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&notes), "there is no head '2'\n"
						    "the next number is for head 1\n"
						    "head 1 does not wait for 'P1': nothing was done with it\n"
						    "'P1' is for the next board\n"
						    "'P1' was scanned twice: once is enough\n");
	close(ends[0]);
	close(ends[1]);
	json_decref(station.scans);
	iot_buf_release(&station.typed);
	free(station.last_scan);
	free(station.notice);
}

static void test_a_list_with_a_number_twice(void)
{
	IOT_CLEAN(iot_free_p) char *list = iot_path(dir, "list");
	const struct serials_options options = {.file = list, .recipe = &any};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(list, 0600, "A\r\n\n B \nA\n", 10, &err), &err);
	ASSERT_STATUS(serials_open(&options, &serials, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.doing, "line 4");
	ASSERT_OK(iot_fs_write(list, 0600, "A\r\n\n B \nC", 9, &err), &err);
	ASSERT_OK(serials_open(&options, &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "A");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "B");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "C");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
}

/* Each recipe gets the next number that its boards may have; the others stay for the others. */
static void test_numbers_of_two_kinds(void)
{
	static struct iot_station_recipe of_pumps = {.name = (char *)(uintptr_t) "p"};
	IOT_CLEAN(iot_free_p) char *list = iot_path(dir, "list");
	const struct serials_options options = {.file = list, .recipe = &any};
	struct serials *serials = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	CU_ASSERT_EQUAL(regcomp(&of_pumps.serial, "^P[0-9]$", REG_EXTENDED | REG_NOSUB), 0);
	of_pumps.has_serial = true;
	ASSERT_OK(iot_fs_write(list, 0600, "U1\nP1\nU2\nP2\n", 12, &err), &err);
	ASSERT_OK(serials_open(&options, &serials, &err), &err);
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &of_pumps), "P1");
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "U1");
	serials_used(serials, "P2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &of_pumps));
	CU_ASSERT_STRING_EQUAL(serials_next(serials, &any), "U2");
	CU_ASSERT_PTR_NULL(serials_next(serials, &any));
	serials_free(serials);
	regfree(&of_pumps.serial);
}

static json_t *skip_of(const char *uid, const char *serial)
{
	return json_pack("{s:s, s:s, s:s}", "uid", uid, "serial", serial, "owner", "device 'x'");
}

static json_t *begin_of(const char *uid, const char *serial, bool blank)
{
	return json_pack("{s:i, s:s, s:s, s:b}", "unit", 1, "uid", uid, "serial", serial, "blank", blank);
}

/* What a skip leaves behind in a shift, and when it goes on after a kill. */
static void check_skipped(const struct shift *shift)
{
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->skipped, "0001", ""), "device 'x'");
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->skipped, "0003", ""), "device 'x'");
	/* A board that can say who it is stays and gets another number; the name of a blank one was the number's. */
	CU_ASSERT_PTR_NOT_NULL(json_object_get(shift->boards, "A"));
	CU_ASSERT_PTR_NULL(iot_json_str(json_object_get(shift->boards, "A"), "serial", NULL));
	CU_ASSERT_PTR_NULL(json_object_get(shift->boards, "p-0003"));
	CU_ASSERT_PTR_NULL(json_object_get(shift->serials, "0001"));
	/* Who tried to take the number of B changed nothing about B. */
	CU_ASSERT_STRING_EQUAL(iot_json_str(shift->serials, "0002", ""), "B");
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_object_get(shift->boards, "B"), "serial", ""), "0002");
}

static void test_a_skipped_number_is_in_the_record(void)
{
	IOT_CLEAN(shift_release) struct shift shift = SHIFT_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("A", "0001", false), &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("B", "0002", false), &err), &err);
	ASSERT_OK(shift_begin(&shift, begin_of("p-0003", "0003", true), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("A", "0001"), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("A", "0002"), &err), &err);
	ASSERT_OK(shift_skip(&shift, skip_of("p-0003", "0003"), &err), &err);
	check_skipped(&shift);
	shift_release(&shift);
	ASSERT_OK(shift_resume(dir, "line1", &shift, &err), &err);
	check_skipped(&shift);
	ASSERT_OK(shift_close(&shift, &err), &err);
}

/* Another product is another shift; what a changed recipe was is in the record. */
static void test_a_shift_goes_on_with_its_recipe(void)
{
	static struct iot_station_recipe other = {.name = (char *)(uintptr_t) "other"};
	struct iot_station_recipe changed = any;
	IOT_CLEAN(shift_release) struct shift shift = SHIFT_INIT;
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	file = iot_strdup(shift.chain.path);
	shift_release(&shift);
	ASSERT_STATUS(shift_open(dir, "line1", &other, &shift, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "open shift of recipe");
	ASSERT_CONTAINS(err.hint, "station close --station line1");
	shift_release(&shift);
	iot_error_clear(&err);
	ASSERT_OK(shift_open(dir, "line1", &any, &shift, &err), &err);
	CU_ASSERT_FALSE(shift.recipe_changed);
	shift_release(&shift);
	memset(changed.digest, 'c', sizeof(changed.digest) - 1);
	ASSERT_OK(shift_open(dir, "line1", &changed, &shift, &err), &err);
	CU_ASSERT_TRUE(shift.recipe_changed);
	shift_release(&shift);
	ASSERT_OK(shift_open(dir, "line1", &changed, &shift, &err), &err);
	CU_ASSERT_FALSE(shift.recipe_changed);
	ASSERT_OK(iot_fs_read(file, &text, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&text), "\"recipeSha256\":\"cccc");
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
	ASSERT_OK(iot_station_report(path, &report, &err), &err);
	faults = json_object_get(report, "faults");
	CU_ASSERT_EQUAL_FATAL(json_array_size(faults), 3);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 0), "cause", ""), "identify: board");
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(faults, 0), "count", 0), 3);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 1), "cause", ""), "program: ERR11");
	CU_ASSERT_EQUAL(iot_json_int(json_array_get(faults, 1), "count", 0), 2);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(faults, 2), "example", ""), "it is another kind");
}

/* --- labels --------------------------------------------------------------------------------------------------- */

static void test_a_qr_code_has_its_corners(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf png = IOT_BUF_INIT(1 << 20);
	png_image image = {.version = PNG_IMAGE_VERSION};
	struct iot_error err = IOT_ERROR_INIT;
	unsigned char *pixels;

	ASSERT_OK(iot_label_qr("pump-0001", 3, &png, &err), &err);
	CU_ASSERT_TRUE(png_image_begin_read_from_memory(&image, png.data, png.len) != 0);
	image.format = PNG_FORMAT_GRAY;
	/* Version 1: 21 modules and a quiet zone of four on each side. */
	CU_ASSERT_EQUAL(image.width, (21 + 8) * 3);
	CU_ASSERT_EQUAL(image.height, image.width);
	pixels = iot_alloc(PNG_IMAGE_SIZE(image));
	CU_ASSERT_TRUE(png_image_finish_read(&image, NULL, pixels, 0, NULL) != 0);
#define MODULE(x, y) pixels[((y) + 4) * 3 * (int)image.width + ((x) + 4) * 3]
	for (int i = 0; i < 7; i++) {
		CU_ASSERT_EQUAL(MODULE(i, 0), 0);
		CU_ASSERT_EQUAL(MODULE(20 - i, 0), 0);
		CU_ASSERT_EQUAL(MODULE(0, 20 - i), 0);
	}
	CU_ASSERT_EQUAL(MODULE(1, 1), 255);
	CU_ASSERT_EQUAL(MODULE(-1, -1), 255);
	free(pixels);
}

static void test_what_a_qr_code_cannot_hold(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf png = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;
	static char text[4001];

	memset(text, 'x', sizeof(text) - 1);
	ASSERT_STATUS(iot_label_qr(text, 3, &png, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_label_qr("", 3, &png, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_label_qr("x", 0, &png, &err), IOT_USAGE, &err);
	CU_ASSERT_EQUAL(png.len, 0);
}

UNIT_MAIN("fleet/station", set_up, tear_down, {"whole", test_whole_record_verifies}, {"heads", test_recipes_of_heads},
	  {"two kinds", test_numbers_of_two_kinds}, {"altered", test_each_altered_line_is_named},
	  {"removed", test_each_removed_line_is_named}, {"added", test_added_lines_are_named},
	  {"anew", test_a_chain_made_anew_is_not_signed}, {"torn", test_cut_off_anywhere_it_goes_on},
	  {"full", test_a_full_disk_leaves_whole_lines}, {"report", test_report_of_a_day},
	  {"export", test_export_stops_when_told}, {"changed", test_no_report_of_a_changed_record},
	  {"recipe", test_recipe}, {"refused", test_recipes_that_are_refused},
	  {"no-board", test_a_kind_of_board_that_is_not_there}, {"ranges", test_ranges},
	  {"list", test_a_list_with_a_number_twice},
	  {"scanned again", test_a_number_that_was_not_taken_is_scanned_again},
	  {"its recipe", test_a_shift_goes_on_with_its_recipe}, {"faults", test_faults_are_told_apart},
	  {"skipped", test_a_skipped_number_is_in_the_record}, {"qr", test_a_qr_code_has_its_corners},
	  {"qr-limits", test_what_a_qr_code_cannot_hold})
