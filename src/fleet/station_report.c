/* What the record of a shift says: yield, how long each step takes, what failed and why. */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <ctype.h>
#include <string.h>

#define MS_PER_HOUR 3600000.0

/* --- each board ------------------------------------------------------------------------------ */

struct exporting {
	enum iot_status (*each)(json_t *record, void *data, struct iot_error *err);
	void *data;
	enum iot_status status;
	struct iot_error *err;
};

static void export_one(const json_t *record, void *data)
{
	struct exporting *exporting = data;

	if (exporting->status == IOT_OK && strcmp(iot_json_str(record, "kind", ""), "result") == 0)
		exporting->status = exporting->each((json_t *)(uintptr_t)record, exporting->data, exporting->err);
}

enum iot_status iot_station_export(const char *file,
				   enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
				   void *data, struct iot_error *err)
{
	IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
	struct exporting exporting = {each, data, IOT_OK, err};
	enum iot_status status = chain_check(file, export_one, &exporting, &facts, err);

	return status == IOT_OK ? exporting.status : status;
}

/* --- the report -------------------------------------------------------------------------------- */

struct report {
	json_t *boards; /* uid, or unit where it has none -> {tries, result} */
	json_t *steps;  /* step -> array of milliseconds, of boards that passed */
	json_t *faults; /* what tells a fault from another -> {cause, count, example} */
	int64_t passed, failed, known, exposed;
	int64_t first_ms, last_ms;
};

static void report_steps(struct report *report, const json_t *steps, int64_t all)
{
	const char *name;
	json_t *ms;

	json_object_foreach((json_t *)(uintptr_t)steps, name, ms) {
		json_t *times = json_object_get(report->steps, name);

		if (times == NULL) {
			times = json_array();
			json_object_set_new(report->steps, name, times);
		}
		json_array_append(times, ms);
	}
	if (json_object_get(report->steps, "total") == NULL)
		json_object_set_new(report->steps, "total", json_array());
	json_array_append_new(json_object_get(report->steps, "total"), json_integer(all));
}

/* A fault without what differs from board to board: numbers, and what is 'quoted'; a board's is no quote. */
static char *kind_of_fault(const char *line)
{
	char *kind = iot_strdup(line), *to = kind;
	bool quoted = false;

	for (const char *from = line; *from != '\0'; from++) {
		if (*from == '\'' && (quoted || from == line || !isalnum((unsigned char)from[-1])))
			quoted = !quoted;
		else if (!quoted && !isdigit((unsigned char)*from))
			*to++ = *from;
	}
	*to = '\0';
	return kind;
}

/*
 * A cause is the step and the board's or the service's code, so that the same fault of many boards is one line. Where
 * there is no code the words of the fault tell one from another. A board that failed before its first step was asked
 * who it is.
 */
static void report_fault(struct report *report, const json_t *record)
{
	const json_t *error = json_object_get(record, "error");
	const char *code = iot_json_str(error, "code", ""), *line = iot_json_str(error, "line", "");
	IOT_CLEAN(iot_free_p)
	char *cause = iot_strf("%s: %s", iot_json_str(record, "step", "identify"),
			       *code != '\0' ? code : iot_json_str(error, "status", "failure"));
	IOT_CLEAN(iot_free_p) char *kind = *code != '\0' ? iot_strdup("") : kind_of_fault(line);
	IOT_CLEAN(iot_free_p) char *key = iot_strf("%s\n%s", cause, kind);
	json_t *fault = json_object_get(report->faults, key);

	if (fault == NULL) {
		fault = json_pack("{s:i}", "count", 0);
		iot_json_set_str(fault, "cause", cause);
		iot_json_set_str(fault, "example", line);
		json_object_set_new(report->faults, key, fault);
	}
	iot_json_set_int(fault, "count", iot_json_int(fault, "count", 0) + 1);
}

static bool crossed_wire(const json_t *device)
{
	return iot_json_bool(device, "exposedOnWire", false) ||
	       strcmp(iot_json_str(device, "keyOrigin", "board"), "host") == 0;
}

static void report_board(struct report *report, const json_t *record, const char *result)
{
	char unit[32];
	const char *uid = iot_json_str(record, "uid", NULL);
	json_t *board;

	snprintf(unit, sizeof(unit), "#%lld", (long long)iot_json_int(record, "unit", 0));
	uid = uid != NULL ? uid : unit;
	board = json_object_get(report->boards, uid);
	if (board == NULL) {
		board = json_pack("{s:i}", "tries", 0);
		json_object_set_new(report->boards, uid, board);
	}
	iot_json_set_int(board, "tries", iot_json_int(board, "tries", 0) + 1);
	iot_json_set_str(board, "result", result);
}

static void report_one(const json_t *record, void *data)
{
	struct report *report = data;
	const char *result = iot_json_str(record, "result", "");
	int64_t at = 0;

	if (iot_time_parse_rfc3339(iot_json_str(record, "at", ""), &at, NULL) == IOT_OK) {
		report->first_ms = report->first_ms == 0 ? at : report->first_ms;
		report->last_ms = at;
	}
	if (strcmp(iot_json_str(record, "kind", ""), "result") != 0)
		return;
	if (strcmp(result, "known") == 0) {
		report->known++;
		return;
	}
	report_board(report, record, result);
	if (strcmp(result, "pass") != 0) {
		report->failed++;
		report_fault(report, record);
		return;
	}
	report->passed++;
	report->exposed += crossed_wire(json_object_get(record, "device"));
	report_steps(report, json_object_get(record, "steps"), iot_json_int(record, "ms", 0));
}

static int by_value(const void *a, const void *b)
{
	const int64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static json_t *takt_of(const char *step, const json_t *times)
{
	size_t count = json_array_size(times);
	IOT_CLEAN(iot_free_p) int64_t *sorted = iot_alloc_array(count + 1, sizeof(*sorted));
	json_t *takt = json_object();

	for (size_t i = 0; i < count; i++)
		sorted[i] = json_integer_value(json_array_get(times, i));
	qsort(sorted, count, sizeof(*sorted), by_value);
	iot_json_set_str(takt, "step", step);
	iot_json_set_int(takt, "count", (int64_t)count);
	iot_json_set_int(takt, "median", sorted[count / 2]);
	iot_json_set_int(takt, "p95", sorted[count * 95 / 100 < count ? count * 95 / 100 : count - 1]);
	iot_json_set_int(takt, "max", sorted[count - 1]);
	return takt;
}

static json_t *takt(const struct report *report)
{
	json_t *list = json_array(), *times;
	const char *step;

	json_object_foreach(report->steps, step, times)
		if (strcmp(step, "total") != 0)
			json_array_append_new(list, takt_of(step, times));
	times = json_object_get(report->steps, "total");
	if (times != NULL)
		json_array_append_new(list, takt_of("total", times));
	return list;
}

static json_t *faults(const struct report *report)
{
	json_t *list = json_array(), *fault;
	const char *key;

	json_object_foreach(report->faults, key, fault) {
		size_t place = 0;

		while (place < json_array_size(list) &&
		       iot_json_int(json_array_get(list, place), "count", 0) >= iot_json_int(fault, "count", 0))
			place++;
		json_array_insert(list, place, fault);
	}
	return list;
}

/* Of all boards: how many are good in the end, and how many were at the first try. */
static void set_yield(json_t *record, const struct report *report)
{
	size_t boards = json_object_size(report->boards), good = 0, first = 0;
	const char *uid;
	json_t *board;

	json_object_foreach(report->boards, uid, board) {
		bool passed = strcmp(iot_json_str(board, "result", ""), "pass") == 0;

		good += passed;
		first += passed && iot_json_int(board, "tries", 0) == 1;
	}
	iot_json_set_int(record, "boards", (int64_t)boards);
	iot_json_set_int(record, "passed", report->passed);
	iot_json_set_int(record, "failed", report->failed);
	iot_json_set_int(record, "known", report->known);
	if (boards > 0) {
		json_object_set_new(record, "yield", json_real((double)good / (double)boards));
		json_object_set_new(record, "firstPassYield", json_real((double)first / (double)boards));
	}
	if (report->last_ms > report->first_ms)
		json_object_set_new(
			record, "unitsPerHour",
			json_real((double)report->passed * MS_PER_HOUR / (double)(report->last_ms - report->first_ms)));
}

static void report_release(struct report *report)
{
	json_decref(report->boards);
	json_decref(report->steps);
	json_decref(report->faults);
}

enum iot_status iot_station_report(const char *file, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(report_release)
	struct report report = {.boards = json_object(), .steps = json_object(), .faults = json_object()};
	IOT_CLEAN(chain_facts_release) struct chain_facts facts = {0};
	enum iot_status status = chain_check(file, report_one, &report, &facts, err);
	json_t *record;

	if (status != IOT_OK)
		return status;
	record = json_object();
	iot_json_set_str(record, "station", iot_json_str(facts.head, "station", NULL));
	iot_json_set_str(record, "shift", iot_json_str(facts.head, "shift", NULL));
	iot_json_set_str(record, "recipe", iot_json_str(facts.head, "recipe", NULL));
	iot_json_set_bool(record, "closed", facts.closed);
	set_yield(record, &report);
	iot_json_set_int(record, "exposedOnWire", report.exposed);
	json_object_set_new(record, "takt", takt(&report));
	json_object_set_new(record, "faults", faults(&report));
	*ret_record = record;
	return IOT_OK;
}
