/*
 * Jobs as a device sees them (service iot-jobs-data): what is pending, begin the
 * next, describe, report. Called once per device message: a read is one or two
 * indexed statements, a report two more.
 *
 * Devices send some numbers as text ("expectedVersion":"2"), so the numbers of
 * these requests are read with iot_number_member().
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <string.h>

enum { PENDING_MAX = 10 }; /* per list; a device's buffer for the whole reply is some 4 KB */

static void set_times(json_t *object, int64_t queued, int64_t started, int64_t updated)
{
	iot_local_set_time(object, "queuedAt", queued);
	iot_local_set_time(object, "startedAt", started);
	iot_local_set_time(object, "lastUpdatedAt", updated);
}

IOT_HANDLER(iot_do_get_pending)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *thing = iot_json_str(request, "thingName", "");
	json_t *running = json_array(), *queued = json_array();
	int64_t thing_id;
	bool row = false, any = false;
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "inProgressJobs", running);
	json_object_set_new(*ret_reply, "queuedJobs", queued);
	status = iot_stmt_get(local->store,
			      "SELECT e.status, j.job_id, e.queued_at, e.started_at, e.updated_at, e.version, e.number"
			      " FROM executions e INDEXED BY executions_pending CROSS JOIN jobs j ON j.id = e.job"
			      " WHERE e.thing_id = (SELECT id FROM things WHERE name = ?1)"
			      " AND e.status IN ('QUEUED', 'IN_PROGRESS') ORDER BY e.queued_at, e.id",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", thing);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		json_t *list = strcmp(iot_stmt_text(stmt, 0), "QUEUED") == 0 ? queued : running, *job;

		any = true;
		if (json_array_size(list) == PENDING_MAX)
			continue;
		job = json_object();
		iot_json_set_str(job, "jobId", iot_stmt_text(stmt, 1));
		set_times(job, iot_stmt_int(stmt, 2), iot_stmt_int(stmt, 3), iot_stmt_int(stmt, 4));
		iot_json_set_int(job, "versionNumber", iot_stmt_int(stmt, 5));
		iot_json_set_int(job, "executionNumber", iot_stmt_int(stmt, 6));
		json_array_append_new(list, job);
	}
	if (status == IOT_OK && !any)
		status = iot_local_thing_id(local, thing, &thing_id, err);
	return status;
}

static enum iot_status set_document(struct iot_local *local, int64_t job, json_t *object, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *signed_document = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status =
		iot_stmt_get(local->store,
			     "SELECT document, ifnull(json_extract(config, '$.presignedUrlConfig.expiresInSec'), 3600)"
			     " FROM jobs WHERE id = ?",
			     &stmt, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", job);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK && row)
		status = iot_job_sign_urls(local, iot_stmt_text(stmt, 0), iot_stmt_int(stmt, 1), &signed_document, err);
	if (status == IOT_OK && row)
		iot_json_set_str(object, "jobDocument",
				 signed_document != NULL ? signed_document : iot_stmt_text(stmt, 0));
	return status;
}

static enum iot_status reply_execution(struct iot_local *local, const struct iot_execution *ex, const char *thing,
				       bool with_document, json_t *reply, struct iot_error *err)
{
	json_t *execution = json_object();
	int64_t left = iot_execution_left(ex, iot_now_ms());

	json_object_set_new(reply, "execution", execution);
	iot_json_set_str(execution, "jobId", ex->job_id);
	iot_json_set_str(execution, "thingName", thing);
	iot_json_set_str(execution, "status", ex->status);
	/* Absent when the device has said nothing yet: agents take what is there for the state of their self-test. */
	if (strcmp(ex->details, "{}") != 0)
		iot_local_set_json(execution, "statusDetails", ex->details);
	set_times(execution, ex->queued_at, ex->started_at, ex->updated_at);
	if (left >= 0)
		iot_json_set_int(execution, "approximateSecondsBeforeTimedOut", left);
	iot_json_set_int(execution, "versionNumber", ex->version);
	iot_json_set_int(execution, "executionNumber", ex->number);
	return with_document ? set_document(local, ex->job, execution, err) : IOT_OK;
}

static void set_details(struct iot_execution *ex, const json_t *details)
{
	if (!json_is_object(details))
		return;
	free(ex->details);
	ex->details = iot_json_text(details);
}

IOT_HANDLER(iot_do_start_next)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	int64_t step = 0;
	bool found = false, given;
	enum iot_status status;

	(void)in, (void)out;
	status = iot_details_check(json_object_get(request, "statusDetails"), err);
	if (status == IOT_OK)
		status = iot_number_member(request, "stepTimeoutInMinutes", &given, &step, err);
	if (status == IOT_OK)
		status = iot_execution_next(local, thing, &ex, &found, err);
	if (status != IOT_OK || !found)
		return status;
	/* One that runs already is told again as it is: an answer may have been lost. */
	if (strcmp(ex.status, "QUEUED") == 0) {
		int64_t now = iot_now_ms();

		iot_execution_start(&ex, now);
		iot_execution_step(&ex, step, now);
		set_details(&ex, json_object_get(request, "statusDetails"));
		status = iot_execution_save(local, &ex, err);
	}
	if (status == IOT_OK)
		status = reply_execution(local, &ex, thing, true, *ret_reply, err);
	return status;
}

IOT_HANDLER(iot_do_device_describe)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	const char *job_id = iot_json_str(request, "jobId", "");
	int64_t number = 0;
	bool found = true, given;
	enum iot_status status;

	(void)in, (void)out;
	status = iot_number_member(request, "executionNumber", &given, &number, err);
	if (status == IOT_OK && strcmp(job_id, "$next") == 0)
		status = iot_execution_next(local, thing, &ex, &found, err);
	else if (status == IOT_OK)
		status = iot_execution_find(local, thing, job_id, number, &ex, err);
	if (status != IOT_OK || !found)
		return status;
	if (iot_execution_terminal(&ex))
		return iot_cloud_fail(err, "TerminalStateException",
				      "the execution of job '%s' on thing '%s' has ended: %s", ex.job_id, thing,
				      ex.status);
	return reply_execution(local, &ex, thing, iot_json_bool(request, "includeJobDocument", true), *ret_reply, err);
}

/* What a device may report, from where. */
static enum iot_status check_transition(const struct iot_execution *ex, const char *thing, const char *wanted,
					struct iot_error *err)
{
	static const char *const reported[] = {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"};
	bool allowed = false;

	for (size_t i = 0; i < IOT_LENGTH(reported); i++)
		allowed = allowed || strcmp(reported[i], wanted) == 0;
	if (!allowed)
		return iot_local_invalid(
			err, "a device cannot report status '%s': IN_PROGRESS, SUCCEEDED, FAILED or REJECTED", wanted);
	if (iot_execution_terminal(ex))
		return iot_cloud_fail(err, "InvalidStateTransitionException",
				      "the execution of job '%s' on thing '%s' is %s: it cannot become %s", ex->job_id,
				      thing, ex->status, wanted);
	return IOT_OK;
}

/* Begin an execution that need not be the next: then the one that is next has changed, and the device is told. */
static enum iot_status begin_this(struct iot_local *local, struct iot_execution *ex, const char *thing, int64_t now,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution next = {0};
	bool found = false;
	enum iot_status status = iot_execution_next(local, thing, &next, &found, err);

	if (status == IOT_OK && found && next.id != ex->id)
		status = iot_local_outbox_add(local, "jobs", ex->thing_id, NULL, NULL, 0, 1, false, err);
	iot_execution_start(ex, now);
	return status;
}

static json_t *state_of(const struct iot_execution *ex)
{
	json_t *state = json_object();

	iot_json_set_str(state, "status", ex->status);
	iot_local_set_json(state, "statusDetails", ex->details);
	iot_json_set_int(state, "versionNumber", ex->version);
	return state;
}

static enum iot_status apply(struct iot_local *local, struct iot_execution *ex, const json_t *request, int64_t step,
			     struct iot_error *err)
{
	const char *wanted = iot_json_str(request, "status", "");
	int64_t now = iot_now_ms();
	enum iot_status status = IOT_OK;

	set_details(ex, json_object_get(request, "statusDetails"));
	if (strcmp(wanted, "IN_PROGRESS") != 0)
		return iot_execution_end(local, ex, wanted, err);
	if (strcmp(ex->status, "QUEUED") == 0)
		status = begin_this(local, ex, iot_json_str(request, "thingName", ""), now, err);
	iot_execution_step(ex, step, now);
	if (status == IOT_OK)
		status = iot_execution_save(local, ex, err);
	return status;
}

static enum iot_status update(struct iot_local *local, const json_t *request, json_t *reply, struct iot_error *err)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	int64_t number = 0, expected = 0, step = 0;
	bool given, versioned = false;
	enum iot_status status;

	status = iot_details_check(json_object_get(request, "statusDetails"), err);
	if (status == IOT_OK)
		status = iot_number_member(request, "executionNumber", &given, &number, err);
	if (status == IOT_OK)
		status = iot_number_member(request, "expectedVersion", &versioned, &expected, err);
	if (status == IOT_OK)
		status = iot_number_member(request, "stepTimeoutInMinutes", &given, &step, err);
	if (status == IOT_OK)
		status = iot_execution_find(local, thing, iot_json_str(request, "jobId", ""), number, &ex, err);
	if (status == IOT_OK)
		status = check_transition(&ex, thing, iot_json_str(request, "status", ""), err);
	if (status != IOT_OK)
		return status;
	if (versioned && expected != ex.version)
		return iot_cloud_fail(err, "VersionMismatchException",
				      "the execution of job '%s' on thing '%s' has version %" PRId64 ", not %" PRId64,
				      ex.job_id, thing, ex.version, expected);
	status = apply(local, &ex, request, step, err);
	if (status == IOT_OK && iot_json_bool(request, "includeJobExecutionState", false))
		json_object_set_new(reply, "executionState", state_of(&ex));
	if (status == IOT_OK && iot_json_bool(request, "includeJobDocument", false))
		status = set_document(local, ex.job, reply, err);
	return status;
}

/* What OTA agents say while they load an image: {"receive":"128/5120"} and nothing else. */
static bool is_progress(const json_t *request)
{
	const json_t *details = json_object_get(request, "statusDetails");

	return strcmp(iot_json_str(request, "status", ""), "IN_PROGRESS") == 0 && json_object_size(details) == 1 &&
	       json_object_get(details, "receive") != NULL;
}

/* Progress comes often, and the next report replaces it: nobody waits for the disk then. */
IOT_HANDLER(iot_do_device_update)
{
	bool progress = is_progress(request);
	enum iot_status status;

	(void)in, (void)out;
	if (progress)
		iot_store_set_durable(local->store, false);
	status = iot_local_begin(local, err);
	if (status == IOT_OK)
		status = iot_local_end(local, update(local, request, *ret_reply, err), err);
	if (progress)
		iot_store_set_durable(local->store, true);
	return status;
}

enum iot_status iot_local_execution_state(struct iot_cloud *cloud, const char *thing, const char *job_id,
					  int64_t number, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_execution_release) struct iot_execution ex = {0};
	enum iot_status status = iot_execution_find(iot_local_of(cloud), thing, job_id, number, &ex, err);

	if (status == IOT_OK)
		*ret = state_of(&ex);
	return status;
}
