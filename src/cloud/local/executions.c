/*
 * Job executions as the operator sees them: listing, describing, canceling and
 * deleting the execution of a job on a thing.
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <string.h>

/* Columns from `at`: status, queued_at, started_at, updated_at, number. */
static json_t *summary(struct iot_stmt *stmt, int at)
{
	json_t *object = json_object();

	iot_json_set_str(object, "status", iot_stmt_text(stmt, at));
	iot_local_set_time(object, "queuedAt", iot_stmt_int(stmt, at + 1));
	iot_local_set_time(object, "startedAt", iot_stmt_int(stmt, at + 2));
	iot_local_set_time(object, "lastUpdatedAt", iot_stmt_int(stmt, at + 3));
	iot_json_set_int(object, "executionNumber", iot_stmt_int(stmt, at + 4));
	if (iot_stmt_int(stmt, at + 4) > 1)
		iot_json_set_int(object, "retryAttempt", iot_stmt_int(stmt, at + 4) - 1);
	return object;
}

IOT_HANDLER(iot_do_list_executions_for_job)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	json_t *list = json_array();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "executionSummaries", list);
	status = iot_job_find(local, iot_json_str(request, "jobId", ""), &job, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(
			local->store,
			"SELECT e.id, t.name, e.status, e.queued_at, e.started_at, e.updated_at, e.number"
			" FROM executions e JOIN things t ON t.id = e.thing_id WHERE e.job = ?1 AND e.id > ?2"
			" AND e.status <> 'WAITING' AND (?3 IS NULL OR e.status = ?3)"
			" ORDER BY e.id LIMIT ?4",
			&stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iisi", job.id, page.after_id, iot_json_str(request, "status", NULL),
				       page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *item = json_object();

		iot_local_set_arn(item, "thingArn", "thing", iot_stmt_text(stmt, 1));
		json_object_set_new(item, "jobExecutionSummary", summary(stmt, 2));
		json_array_append_new(list, item);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

IOT_HANDLER(iot_do_list_executions_for_thing)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	json_t *list = json_array();
	int64_t thing_id = 0;
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "executionSummaries", list);
	status = iot_local_thing_id(local, iot_json_str(request, "thingName", ""), &thing_id, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(
			local->store,
			"SELECT e.id, j.job_id, e.status, e.queued_at, e.started_at, e.updated_at, e.number"
			" FROM executions e JOIN jobs j ON j.id = e.job WHERE e.thing_id = ?1"
			" AND (?2 = 0 OR e.id < ?2) AND e.status <> 'WAITING'"
			" AND (?3 IS NULL OR e.status = ?3) AND (?4 IS NULL OR j.job_id = ?4)"
			" ORDER BY e.id DESC LIMIT ?5",
			&stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iissi", thing_id, page.after_id,
				       iot_json_str(request, "status", NULL), iot_json_str(request, "jobId", NULL),
				       page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *item = json_object();

		iot_json_set_str(item, "jobId", iot_stmt_text(stmt, 1));
		json_object_set_new(item, "jobExecutionSummary", summary(stmt, 2));
		json_array_append_new(list, item);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

IOT_HANDLER(iot_do_describe_execution)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	json_t *execution = json_object(), *details;
	enum iot_status status;
	int64_t left;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "execution", execution);
	status = iot_execution_find(local, thing, iot_json_str(request, "jobId", ""),
				    iot_json_int(request, "executionNumber", 0), &ex, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(execution, "jobId", ex.job_id);
	iot_json_set_str(execution, "status", ex.status);
	iot_json_set_bool(execution, "forceCanceled", ex.force_canceled);
	details = json_object();
	iot_local_set_json(details, "detailsMap", ex.details);
	json_object_set_new(execution, "statusDetails", details);
	iot_local_set_arn(execution, "thingArn", "thing", thing);
	iot_local_set_time(execution, "queuedAt", ex.queued_at);
	iot_local_set_time(execution, "startedAt", ex.started_at);
	iot_local_set_time(execution, "lastUpdatedAt", ex.updated_at);
	iot_json_set_int(execution, "executionNumber", ex.number);
	iot_json_set_int(execution, "versionNumber", ex.version);
	left = iot_execution_left(&ex, iot_now_ms());
	if (left >= 0)
		iot_json_set_int(execution, "approximateSecondsBeforeTimedOut", left);
	return IOT_OK;
}

static enum iot_status refuse_state(const struct iot_execution *ex, const char *thing, const char *verb,
				    struct iot_error *err)
{
	enum iot_status status = iot_cloud_fail(err, "InvalidStateTransitionException",
						"the execution of job '%s' on thing '%s' is %s: it cannot be %s",
						ex->job_id, thing, ex->status, verb);

	if (strcmp(ex->status, "IN_PROGRESS") == 0 || strcmp(verb, "deleted") == 0)
		iot_error_hint(err, "use 'force'; the device will then be unable to report on it");
	return status;
}

IOT_HANDLER(iot_do_cancel_execution)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	const json_t *details = json_object_get(request, "statusDetails");
	bool force = iot_json_bool(request, "force", false), given;
	int64_t expected = 0;
	enum iot_status status;

	(void)in, (void)out, (void)ret_reply;
	status = iot_details_check(details, err);
	if (status == IOT_OK)
		status = iot_number_member(request, "expectedVersion", &given, &expected, err);
	if (status == IOT_OK)
		status = iot_execution_find(local, thing, iot_json_str(request, "jobId", ""), 0, &ex, err);
	if (status != IOT_OK)
		return status;
	if (given && expected != ex.version)
		return iot_cloud_fail(err, "VersionConflictException",
				      "the execution of job '%s' on thing '%s' has version %" PRId64 ", not %" PRId64,
				      ex.job_id, thing, ex.version, expected);
	if (iot_execution_terminal(&ex) || (strcmp(ex.status, "QUEUED") != 0 && !force))
		return refuse_state(&ex, thing, "canceled", err);
	ex.force_canceled = force;
	if (json_is_object(details)) {
		free(ex.details);
		ex.details = iot_json_text(details);
	}
	return iot_execution_end(local, &ex, "CANCELED", err);
}

IOT_HANDLER(iot_do_delete_execution)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	int64_t number = 0;
	bool given;
	enum iot_status status;

	(void)in, (void)out, (void)ret_reply;
	status = iot_number_member(request, "executionNumber", &given, &number, err);
	if (status == IOT_OK && number < 1)
		return iot_local_invalid(err, "'executionNumber' must be at least 1");
	if (status == IOT_OK)
		status = iot_execution_find(local, thing, iot_json_str(request, "jobId", ""), number, &ex, err);
	if (status != IOT_OK)
		return status;
	if (!iot_execution_terminal(&ex)) {
		if (!iot_json_bool(request, "force", false))
			return refuse_state(&ex, thing, "deleted", err);
		status = iot_local_outbox_add(local, "jobs", ex.thing_id, NULL, NULL, 0, 1, false, err);
	}
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM executions WHERE id = ?", "i", ex.id);
	if (status == IOT_OK)
		status = iot_job_complete(local, ex.job, err);
	return status;
}
