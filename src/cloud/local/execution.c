/*
 * One job execution: finding it, its way from QUEUED to an end, and what an end
 * leads to (a notice to the thing, a retry, the job's abort or completion).
 * The device's requests run through here once per message, so each step is one
 * indexed statement.
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DETAIL_NAME_MAX = 128, DETAIL_VALUE_MAX = 1024 };

/* In this order read_row() takes them. */
#define COLUMNS                                                                                                        \
	"SELECT e.id, e.job, e.thing_id, e.number, e.version, e.queued_at, e.started_at, e.updated_at,"                \
	" e.step_deadline, e.deadline, e.force_canceled, e.status, j.job_id, j.status, e.details, j.config "

static const char find_sql[] =
	COLUMNS "FROM things t CROSS JOIN jobs j CROSS JOIN executions e WHERE t.name = ?1 AND j.job_id = ?2"
		" AND e.job = j.id AND e.thing_id = t.id AND e.status <> 'WAITING' AND (?3 = 0 OR e.number = ?3)"
		" ORDER BY e.number DESC LIMIT 1";

/* IN_PROGRESS sorts before QUEUED. */
static const char next_sql[] =
	COLUMNS "FROM executions e INDEXED BY executions_pending CROSS JOIN jobs j ON j.id = e.job"
		" WHERE e.thing_id = (SELECT id FROM things WHERE name = ?1) AND e.status IN ('QUEUED', 'IN_PROGRESS')"
		" ORDER BY e.status, e.queued_at, e.id LIMIT 1";

void iot_execution_release(struct iot_execution *ex)
{
	free(ex->details);
	json_decref(ex->config);
	ex->details = NULL;
	ex->config = NULL;
}

static void read_row(struct iot_stmt *stmt, struct iot_execution *ex)
{
	const char *config = iot_stmt_text(stmt, 15);

	ex->id = iot_stmt_int(stmt, 0);
	ex->job = iot_stmt_int(stmt, 1);
	ex->thing_id = iot_stmt_int(stmt, 2);
	ex->number = iot_stmt_int(stmt, 3);
	ex->version = iot_stmt_int(stmt, 4);
	ex->queued_at = iot_stmt_int(stmt, 5);
	ex->started_at = iot_stmt_int(stmt, 6);
	ex->updated_at = iot_stmt_int(stmt, 7);
	ex->step_deadline = iot_stmt_int(stmt, 8);
	ex->deadline = iot_stmt_int(stmt, 9);
	ex->force_canceled = iot_stmt_int(stmt, 10) != 0;
	snprintf(ex->status, sizeof(ex->status), "%s", iot_stmt_text(stmt, 11));
	snprintf(ex->job_id, sizeof(ex->job_id), "%s", iot_stmt_text(stmt, 12));
	snprintf(ex->job_status, sizeof(ex->job_status), "%s", iot_stmt_text(stmt, 13));
	ex->details = iot_strdup(iot_stmt_text(stmt, 14));
	ex->config = json_loads(config != NULL ? config : "{}", 0, NULL);
}

enum iot_status iot_execution_find(struct iot_local *local, const char *thing, const char *job_id, int64_t number,
				   struct iot_execution *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, find_sql, &stmt, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ssi", thing, job_id, number);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK)
		return status;
	if (!row && number != 0)
		return iot_local_not_found(err, "thing '%s' has no execution %" PRId64 " of job '%s'", thing, number,
					   job_id);
	if (!row)
		return iot_local_not_found(err, "thing '%s' has no execution of job '%s'", thing, job_id);
	read_row(stmt, ret);
	return IOT_OK;
}

enum iot_status iot_execution_next(struct iot_local *local, const char *thing, struct iot_execution *ret,
				   bool *ret_found, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, next_sql, &stmt, err);
	int64_t thing_id;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", thing);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, ret_found, err);
	if (status != IOT_OK)
		return status;
	if (!*ret_found)
		return iot_local_thing_id(local, thing, &thing_id, err);
	read_row(stmt, ret);
	return IOT_OK;
}

bool iot_execution_terminal(const struct iot_execution *ex)
{
	return strcmp(ex->status, "QUEUED") != 0 && strcmp(ex->status, "IN_PROGRESS") != 0;
}

enum iot_status iot_execution_save(struct iot_local *local, struct iot_execution *ex, struct iot_error *err)
{
	ex->updated_at = iot_now_ms();
	ex->version++;
	return iot_store_run(local->store, NULL, err,
			     "UPDATE executions SET status = ?, details = ?, version = ?, force_canceled = ?,"
			     " started_at = nullif(?, 0), updated_at = ?, step_deadline = nullif(?, 0),"
			     " deadline = nullif(?, 0) WHERE id = ?",
			     "ssiiiiiii", ex->status, ex->details, ex->version, (int64_t)ex->force_canceled,
			     ex->started_at, ex->updated_at, ex->step_deadline, ex->deadline, ex->id);
}

void iot_execution_start(struct iot_execution *ex, int64_t now_ms)
{
	int64_t minutes = iot_json_int(json_object_get(ex->config, "timeoutConfig"), "inProgressTimeoutInMinutes", 0);

	snprintf(ex->status, sizeof(ex->status), "IN_PROGRESS");
	ex->started_at = now_ms;
	ex->deadline = minutes > 0 ? now_ms + minutes * IOT_MINUTE_MS : 0;
}

void iot_execution_step(struct iot_execution *ex, int64_t step_minutes, int64_t now_ms)
{
	if (step_minutes > 0)
		ex->step_deadline = now_ms + step_minutes * IOT_MINUTE_MS;
	else if (step_minutes < 0)
		ex->step_deadline = 0;
}

int64_t iot_execution_left(const struct iot_execution *ex, int64_t now_ms)
{
	int64_t at = ex->step_deadline;

	if (at == 0 || (ex->deadline != 0 && ex->deadline < at))
		at = ex->deadline;
	if (at == 0)
		return -1;
	return at > now_ms ? (at - now_ms) / 1000 : 0;
}

enum iot_status iot_execution_again(struct iot_local *local, int64_t job, int64_t thing_id, struct iot_error *err)
{
	int64_t now = iot_now_ms();
	enum iot_status status;

	status = iot_store_run(local->store, NULL, err,
			       "INSERT INTO executions (job, thing_id, number, status, queued_at, updated_at)"
			       " SELECT ?1, ?2, max(number) + 1, 'QUEUED', ?3, ?3 FROM executions"
			       " WHERE job = ?1 AND thing_id = ?2",
			       "iii", job, thing_id, now);
	if (status == IOT_OK)
		status = iot_local_outbox_add(local, "jobs", thing_id, NULL, NULL, 0, 1, false, err);
	return status;
}

/* Queue the execution again if the job's retry configuration still allows one. */
static enum iot_status retry(struct iot_local *local, const struct iot_execution *ex, bool *ret_retried,
			     struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool all = false, row = false;
	int64_t allowed = iot_job_retries(ex->config, ex->status, &all);
	enum iot_status status;

	*ret_retried = false;
	if (allowed == 0 || strcmp(ex->job_status, "IN_PROGRESS") != 0)
		return IOT_OK;
	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT count(*) FROM executions WHERE job = ?1 AND thing_id = ?2 AND (status = ?3"
				" OR (?4 AND status IN ('FAILED', 'TIMED_OUT')))",
				"iisi", ex->job, ex->thing_id, ex->status, (int64_t)all);
	if (status != IOT_OK || !row || iot_stmt_int(stmt, 0) > allowed)
		return status;
	*ret_retried = true;
	return iot_execution_again(local, ex->job, ex->thing_id, err);
}

enum iot_status iot_execution_end(struct iot_local *local, struct iot_execution *ex, const char *how,
				  struct iot_error *err)
{
	bool retried = false;
	enum iot_status status;

	snprintf(ex->status, sizeof(ex->status), "%s", how);
	ex->step_deadline = 0;
	ex->deadline = 0;
	status = iot_execution_save(local, ex, err);
	if (status == IOT_OK)
		status = iot_local_outbox_add(local, "jobs", ex->thing_id, NULL, NULL, 0, 1, false, err);
	if (status == IOT_OK)
		status = retry(local, ex, &retried, err);
	if (status != IOT_OK || retried)
		return status;
	if (strcmp(ex->job_status, "IN_PROGRESS") == 0 && strcmp(how, "SUCCEEDED") != 0 && strcmp(how, "CANCELED") != 0)
		status = iot_job_abort_check(local, ex->job, ex->config, err);
	if (status == IOT_OK)
		status = iot_job_complete(local, ex->job, err);
	return status;
}

static bool name_valid(const char *name)
{
	size_t len = strlen(name);

	return len >= 1 && len <= DETAIL_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-") == len;
}

/* 1 to 1024 characters, none of them a control character. */
static bool value_valid(const char *value)
{
	size_t characters = 0, step;

	for (; *value != '\0'; value += step, characters++) {
		uint32_t code = 0;

		step = iot_utf8_next(value, strlen(value), &code);
		if (step == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
		if (characters == DETAIL_VALUE_MAX)
			return false;
	}
	return characters > 0;
}

enum iot_status iot_details_check(const json_t *details, struct iot_error *err)
{
	const char *name;
	json_t *value;

	/* jansson's iteration wants a pointer to non-const although it changes nothing. */
	json_object_foreach((json_t *)(uintptr_t)details, name, value) {
		if (!name_valid(name) || !value_valid(json_string_value(value)))
			return iot_local_invalid(err,
						 "'statusDetails' has a pair that is not allowed: names are 1 to %d of "
						 "[a-zA-Z0-9:_-], values text of 1 to %d characters",
						 DETAIL_NAME_MAX, DETAIL_VALUE_MAX);
	}
	return IOT_OK;
}

enum iot_status iot_number_member(const json_t *request, const char *key, bool *ret_given, int64_t *ret,
				  struct iot_error *err)
{
	const json_t *value = json_object_get(request, key);

	*ret_given = value != NULL && !json_is_null(value);
	*ret = 0;
	if (!*ret_given)
		return IOT_OK;
	if (json_is_integer(value)) {
		*ret = (int64_t)json_integer_value(value);
		return IOT_OK;
	}
	if (json_is_string(value) && iot_parse_int(json_string_value(value), INT64_MIN, INT64_MAX, ret, NULL) == IOT_OK)
		return IOT_OK;
	return iot_local_invalid(err, "'%s' must be a whole number", key);
}
