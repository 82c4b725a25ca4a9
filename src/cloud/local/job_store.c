/*
 * One job in the registry: finding, creating, counting, canceling, completing,
 * deleting. What a job does to many executions is one statement each.
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char *const iot_count_names[IOT_N_COUNT] = {"QUEUED",   "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT",
						  "REJECTED", "REMOVED",     "CANCELED",  "WAITING"};

void iot_job_release(struct iot_job *job)
{
	json_decref(job->config);
	json_decref(job->targets);
	job->config = NULL;
	job->targets = NULL;
}

static enum iot_status find(struct iot_local *local, const char *sql, const char *types, const char *job_id, int64_t id,
			    struct iot_job *ret, bool *ret_found, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, sql, &stmt, err);

	if (status == IOT_OK && types[0] == 's')
		status = iot_stmt_bind(stmt, err, "s", job_id);
	else if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", id);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, ret_found, err);
	if (status != IOT_OK || !*ret_found)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	snprintf(ret->job_id, sizeof(ret->job_id), "%s", iot_stmt_text(stmt, 1));
	snprintf(ret->status, sizeof(ret->status), "%s", iot_stmt_text(stmt, 2));
	snprintf(ret->selection, sizeof(ret->selection), "%s", iot_stmt_text(stmt, 3));
	ret->config = json_loads(iot_stmt_text(stmt, 4), 0, NULL);
	ret->targets = json_loads(iot_stmt_text(stmt, 5), 0, NULL);
	return IOT_OK;
}

enum iot_status iot_job_find(struct iot_local *local, const char *job_id, struct iot_job *ret, struct iot_error *err)
{
	bool found = false;
	enum iot_status status =
		find(local, "SELECT id, job_id, status, selection, config, targets FROM jobs WHERE job_id = ?", "s",
		     job_id, 0, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "job '%s' does not exist", job_id);
	return status;
}

enum iot_status iot_job_by_id(struct iot_local *local, int64_t id, struct iot_job *ret, struct iot_error *err)
{
	bool found = false;
	enum iot_status status =
		find(local, "SELECT id, job_id, status, selection, config, targets FROM jobs WHERE id = ?", "i", NULL,
		     id, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "job %" PRId64 " does not exist", id);
	return status;
}

enum iot_status iot_job_create(struct iot_local *local, const struct iot_job_spec *spec, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *targets = iot_json_text(spec->targets);
	IOT_CLEAN(iot_free_p) char *config = iot_json_text(spec->config);
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	bool later = iot_job_start_time(spec->config) != 0;
	int64_t now = iot_now_ms(), made = 0;
	enum iot_status status;

	status = iot_store_run(local->store, &made, err,
			       "INSERT INTO jobs (job_id, document, targets, selection, status, description, config,"
			       " created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)"
			       " ON CONFLICT (job_id) DO NOTHING",
			       "sssssssi", spec->job_id, spec->document, targets, spec->selection,
			       later ? "SCHEDULED" : "IN_PROGRESS", spec->description, config, now);
	if (status == IOT_OK && made == 0)
		return iot_local_exists(err, "job '%s' exists already", spec->job_id);
	if (status == IOT_OK)
		status = iot_job_find(local, spec->job_id, &job, err);
	if (status != IOT_OK)
		return status;
	/* A running serve looks anew at what is due when. */
	local->wake = true;
	if (later)
		return IOT_OK;
	status = iot_job_rollout(local, &job, spec->targets, err);
	if (status == IOT_OK)
		status = iot_job_complete(local, job.id, err);
	return status;
}

enum iot_status iot_job_complete(struct iot_local *local, int64_t job, struct iot_error *err)
{
	return iot_store_run(local->store, NULL, err,
			     "UPDATE jobs SET status = 'COMPLETED', completed_at = ?2, updated_at = ?2 WHERE id = ?1"
			     " AND selection = 'SNAPSHOT' AND status = 'IN_PROGRESS' AND NOT EXISTS (SELECT 1 FROM"
			     " executions WHERE job = ?1 AND status IN ('QUEUED', 'IN_PROGRESS', 'WAITING'))",
			     "ii", job, iot_now_ms());
}

enum iot_status iot_job_cancel(struct iot_local *local, int64_t job, bool force, const char *reason_code,
			       const char *comment, struct iot_error *err)
{
	int64_t now = iot_now_ms();
	enum iot_status status;

	local->wake = true;
	status = iot_store_run(local->store, NULL, err,
			       "INSERT OR REPLACE INTO outbox (kind, thing_id, created_at)"
			       " SELECT 'jobs', thing_id, ?3 FROM executions WHERE job = ?1"
			       " AND (status = 'QUEUED' OR (?2 AND status = 'IN_PROGRESS')) ORDER BY id",
			       "iii", job, (int64_t)force, now);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE executions SET status = 'CANCELED', version = version + 1,"
				       " force_canceled = ?2, updated_at = ?3, step_deadline = NULL, deadline = NULL"
				       " WHERE job = ?1 AND (status = 'QUEUED' OR (?2 AND status = 'IN_PROGRESS'))",
				       "iii", job, (int64_t)force, now);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "DELETE FROM executions WHERE job = ? AND status = 'WAITING'", "i", job);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE jobs SET status = 'CANCELED', force_canceled = max(force_canceled, ?2),"
				       " reason_code = ifnull(?3, reason_code), comment = ifnull(?4, comment),"
				       " updated_at = ?5 WHERE id = ?1",
				       "iissi", job, (int64_t)force, reason_code, comment, now);
	return status;
}

enum iot_status iot_job_delete(struct iot_local *local, int64_t job, struct iot_error *err)
{
	enum iot_status status;

	local->wake = true;
	status = iot_store_run(local->store, NULL, err,
			       "INSERT OR REPLACE INTO outbox (kind, thing_id, created_at)"
			       " SELECT 'jobs', thing_id, ?2 FROM executions WHERE job = ?1"
			       " AND status IN ('QUEUED', 'IN_PROGRESS') ORDER BY id",
			       "ii", job, iot_now_ms());
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM jobs WHERE id = ?", "i", job);
	return status;
}

enum iot_status iot_job_count(struct iot_local *local, int64_t job, int64_t ret[IOT_N_COUNT], struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	memset(ret, 0, IOT_N_COUNT * sizeof(ret[0]));
	status = iot_stmt_get(local->store,
			      "SELECT e.status, count(*) FROM executions e WHERE e.job = ?1 AND NOT EXISTS"
			      " (SELECT 1 FROM executions n WHERE n.job = ?1 AND n.thing_id = e.thing_id"
			      " AND n.number > e.number) GROUP BY e.status",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", job);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		for (int i = 0; i < IOT_N_COUNT; i++) {
			if (strcmp(iot_count_names[i], iot_stmt_text(stmt, 0)) == 0)
				ret[i] = iot_stmt_int(stmt, 1);
		}
	}
	return status;
}

static int64_t failures(const int64_t counts[IOT_N_COUNT], const char *type)
{
	if (strcmp(type, "FAILED") == 0)
		return counts[IOT_N_FAILED];
	if (strcmp(type, "REJECTED") == 0)
		return counts[IOT_N_REJECTED];
	if (strcmp(type, "TIMED_OUT") == 0)
		return counts[IOT_N_TIMED_OUT];
	return counts[IOT_N_FAILED] + counts[IOT_N_REJECTED] + counts[IOT_N_TIMED_OUT];
}

enum iot_status iot_job_abort_check(struct iot_local *local, int64_t job, const json_t *config, struct iot_error *err)
{
	const json_t *rows = json_object_get(json_object_get(config, "abortConfig"), "criteriaList");
	int64_t counts[IOT_N_COUNT], ended;
	char comment[160];
	enum iot_status status;
	size_t i;
	json_t *row;

	if (rows == NULL)
		return IOT_OK;
	status = iot_job_count(local, job, counts, err);
	if (status != IOT_OK)
		return status;
	ended = counts[IOT_N_SUCCEEDED] + failures(counts, "ALL");
	json_array_foreach(rows, i, row) {
		const char *type = iot_json_str(row, "failureType", "ALL");
		double threshold = json_number_value(json_object_get(row, "thresholdPercentage"));
		int64_t failed = failures(counts, type);

		if (failed == 0 || ended < iot_json_int(row, "minNumberOfExecutedThings", 1) ||
		    (double)failed * 100 < threshold * (double)ended)
			continue;
		snprintf(comment, sizeof(comment),
			 "aborted: %" PRId64 " of %" PRId64 " things that ended are %s, the threshold is %g%%", failed,
			 ended, strcmp(type, "ALL") == 0 ? "failures" : type, threshold);
		return iot_job_cancel(local, job, false, "ABORT_CRITERIA_MET", comment, err);
	}
	return IOT_OK;
}
