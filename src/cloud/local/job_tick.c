/*
 * Time passes: executions whose deadline went by time out, waiting ones are
 * queued at the job's rate, scheduled jobs start and end. Each kind of work is
 * looked for by reading only; a write transaction is begun when there is some.
 */
#include "jobs_private.h"

#include <string.h>

enum { BATCH = 200 }; /* executions per transaction: other processes get their turn */

/* The expression of index executions_deadline, word for word. */
#define DEADLINE "min(ifnull(step_deadline, deadline), ifnull(deadline, step_deadline))"

static void sooner(int64_t *next, int64_t at)
{
	if (at > 0 && (*next < 0 || at < *next))
		*next = at;
}

/* The integers of the first column of a query with one parameter, as a JSON array. */
static enum iot_status numbers(struct iot_local *local, const char *sql, int64_t parameter, json_t **ret,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON list = json_array();
	enum iot_status status = iot_stmt_get(local->store, sql, &stmt, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", parameter);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		json_array_append_new(list, json_integer(iot_stmt_int(stmt, 0)));
	if (status == IOT_OK)
		*ret = iot_take(list);
	return status;
}

static const char late_sql[] =
	"SELECT id FROM executions WHERE status = 'IN_PROGRESS' AND " DEADLINE " <= ?1 ORDER BY " DEADLINE " LIMIT 200";

/* Inside the transaction the execution is read again: its device may have been quicker. */
static enum iot_status time_out_one(struct iot_local *local, int64_t id, int64_t now, struct iot_error *err)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_CLEAN(iot_free_p) char *job = NULL;
	struct iot_stmt *stmt = NULL;
	enum iot_status status;
	int64_t number = 0;
	bool row = false;

	status = iot_stmt_query(
		local->store, &stmt, &row, err,
		"SELECT t.name, j.job_id, e.number FROM executions e JOIN things t ON t.id = e.thing_id"
		" JOIN jobs j ON j.id = e.job WHERE e.id = ?1 AND e.status = 'IN_PROGRESS' AND " DEADLINE " <= ?2",
		"ii", id, now);
	if (status == IOT_OK && row) {
		thing = iot_strdup(iot_stmt_text(stmt, 0));
		job = iot_strdup(iot_stmt_text(stmt, 1));
		number = iot_stmt_int(stmt, 2);
	}
	iot_stmt_done(stmt);
	if (status != IOT_OK || !row)
		return status;
	status = iot_execution_find(local, thing, job, number, &ex, err);
	if (status == IOT_OK)
		status = iot_execution_end(local, &ex, "TIMED_OUT", err);
	return status;
}

static enum iot_status time_out(struct iot_local *local, int64_t now, struct iot_error *err)
{
	size_t count = BATCH;

	while (count == BATCH) {
		IOT_JSON late = NULL;
		enum iot_status status = numbers(local, late_sql, now, &late, err);
		size_t i;
		json_t *id;

		count = json_array_size(late);
		if (status != IOT_OK || count == 0)
			return status;
		status = iot_local_begin(local, err);
		if (status != IOT_OK)
			return status;
		json_array_foreach(late, i, id) {
			if (status == IOT_OK)
				status = time_out_one(local, json_integer_value(id), now, err);
		}
		status = iot_local_end(local, status, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status next_deadline(struct iot_local *local, int64_t now, int64_t *next, struct iot_error *err)
{
	IOT_JSON first = NULL;
	enum iot_status status =
		numbers(local,
			"SELECT " DEADLINE " FROM executions WHERE status = 'IN_PROGRESS' AND " DEADLINE
			" > ?1 ORDER BY " DEADLINE " LIMIT 1",
			now, &first, err);

	if (status == IOT_OK && json_array_size(first) > 0)
		sooner(next, json_integer_value(json_array_get(first, 0)));
	return status;
}

/* The end of a schedule: what its endBehavior says. */
static enum iot_status end_schedule(struct iot_local *local, const struct iot_job *job, struct iot_error *err)
{
	const char *how = iot_json_str(json_object_get(job->config, "schedulingConfig"), "endBehavior", "STOP_ROLLOUT");
	enum iot_status status;

	if (strcmp(how, "STOP_ROLLOUT") != 0)
		return iot_job_cancel(local, job->id, strcmp(how, "FORCE_CANCEL") == 0, "SCHEDULE_ENDED",
				      "the job's end time was reached", err);
	status = iot_store_run(local->store, NULL, err, "DELETE FROM executions WHERE job = ? AND status = 'WAITING'",
			       "i", job->id);
	if (status == IOT_OK)
		status = iot_job_complete(local, job->id, err);
	return status;
}

static enum iot_status start_schedule(struct iot_local *local, const struct iot_job *job, int64_t now,
				      struct iot_error *err)
{
	enum iot_status status = iot_store_run(local->store, NULL, err,
					       "UPDATE jobs SET status = 'IN_PROGRESS', updated_at = ? WHERE id = ?",
					       "ii", now, job->id);

	if (status == IOT_OK)
		status = iot_job_rollout(local, job, job->targets, err);
	if (status == IOT_OK)
		status = iot_job_complete(local, job->id, err);
	return status;
}

/* What one job needs at this time; *next is when it needs something again. */
static enum iot_status attend(struct iot_local *local, const struct iot_job *job, int64_t now, int64_t *next,
			      struct iot_error *err)
{
	int64_t end = iot_job_end_time(job->config), release = -1;
	enum iot_status status = IOT_OK;

	if (strcmp(job->status, "SCHEDULED") == 0)
		status = start_schedule(local, job, now, err);
	if (status == IOT_OK && end != 0 && end <= now)
		return end_schedule(local, job, err);
	sooner(next, end);
	if (status == IOT_OK)
		status = iot_job_release_due(local, job, now, &release, err);
	if (status == IOT_OK)
		status = iot_job_complete(local, job->id, err);
	sooner(next, release);
	return status;
}

static enum iot_status attend_one(struct iot_local *local, int64_t id, int64_t now, int64_t *next,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_job_release) struct iot_job before = {0};
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	enum iot_status status = iot_job_by_id(local, id, &before, err);

	if (status == IOT_OK && strcmp(before.status, "SCHEDULED") == 0 && iot_job_start_time(before.config) > now) {
		sooner(next, iot_job_start_time(before.config));
		return IOT_OK;
	}
	if (status == IOT_OK)
		status = iot_local_begin(local, err);
	if (status == IOT_OK) {
		/* Again: another process may have canceled it meanwhile. */
		status = iot_job_by_id(local, id, &job, err);
		if (status == IOT_OK &&
		    (strcmp(job.status, "SCHEDULED") == 0 || strcmp(job.status, "IN_PROGRESS") == 0))
			status = attend(local, &job, now, next, err);
		status = iot_local_end(local, status, err);
	}
	if (status == IOT_NOT_FOUND) { /* or deleted it */
		iot_error_clear(err);
		status = IOT_OK;
	}
	return status;
}

/* Jobs that time changes: scheduled, with an end, with targets that wait, or without any execution left. */
static const char timed_sql[] =
	"SELECT j.id FROM jobs j WHERE j.status IN ('IN_PROGRESS', 'SCHEDULED') AND ?1 > 0 AND"
	" (j.status = 'SCHEDULED' OR ifnull(json_extract(j.config, '$.schedulingConfig.endTime'), '') <> ''"
	" OR EXISTS (SELECT 1 FROM executions e WHERE e.job = j.id AND e.status = 'WAITING')"
	" OR (j.selection = 'SNAPSHOT' AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.job = j.id"
	" AND e.status IN ('QUEUED', 'IN_PROGRESS'))))";

enum iot_status iot_local_tick(struct iot_cloud *cloud, int64_t now_ms, int64_t *ret_next_ms, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_JSON jobs = NULL;
	int64_t next = -1;
	enum iot_status status;
	size_t i;
	json_t *job;

	status = time_out(local, now_ms, err);
	if (status == IOT_OK)
		status = numbers(local, timed_sql, now_ms, &jobs, err);
	if (status != IOT_OK)
		return status;
	json_array_foreach(jobs, i, job) {
		status = attend_one(local, json_integer_value(job), now_ms, &next, err);
		if (status != IOT_OK)
			return status;
	}
	status = next_deadline(local, now_ms, &next, err);
	if (status == IOT_OK)
		*ret_next_ms = next;
	return status;
}
