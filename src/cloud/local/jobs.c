/*
 * Jobs, the control plane's operations on a whole job; and the table of all
 * operations of the jobs half of the local cloud.
 */
#include "jobs_private.h"

#include <inttypes.h>
#include <string.h>

/* What a local cloud has no use for; silence would let a caller believe that it counts. */
static enum iot_status refuse_foreign(const json_t *request, struct iot_error *err)
{
	static const char *const members[] = {"documentSource", "jobTemplateArn", "documentParameters",
					      "destinationPackageVersions"};

	for (size_t i = 0; i < IOT_LENGTH(members); i++) {
		const json_t *value = json_object_get(request, members[i]);

		if (value != NULL && !json_is_null(value) && !(json_is_object(value) && json_object_size(value) == 0) &&
		    !(json_is_array(value) && json_array_size(value) == 0))
			return iot_local_invalid(err, "'%s' is not available on the local cloud: give 'document'",
						 members[i]);
	}
	return IOT_OK;
}

static enum iot_status check_document(const char *document, struct iot_error *err)
{
	IOT_JSON value = NULL;

	if (document == NULL)
		return iot_local_invalid(err, "a job needs a 'document'");
	if (strlen(document) > IOT_JOB_DOCUMENT_MAX)
		return iot_local_invalid(err, "'document' has %zu bytes, at most %d are allowed", strlen(document),
					 IOT_JOB_DOCUMENT_MAX);
	if (iot_json_parse(document, strlen(document), "document", &value, err) != IOT_OK) {
		iot_error_set_code(err, "InvalidRequestException");
		return IOT_USAGE;
	}
	if (!json_is_object(value))
		return iot_local_invalid(err, "'document' must be a JSON object");
	return IOT_OK;
}

static void reply_names(json_t *reply, const char *job_id, const char *description)
{
	iot_local_set_arn(reply, "jobArn", "job", job_id);
	iot_json_set_str(reply, "jobId", job_id);
	iot_json_set_str(reply, "description", description);
}

static IOT_HANDLER(create_job)
{
	IOT_JSON config = NULL;
	struct iot_job_spec spec = {
		.job_id = iot_json_str(request, "jobId", ""),
		.document = iot_json_str(request, "document", NULL),
		.description = iot_json_str(request, "description", NULL),
		.selection = iot_json_str(request, "targetSelection", "SNAPSHOT"),
		.targets = json_object_get(request, "targets"),
	};
	enum iot_status status;

	(void)in, (void)out;
	status = refuse_foreign(request, err);
	if (status == IOT_OK)
		status = check_document(spec.document, err);
	if (status == IOT_OK)
		status = iot_job_config(request, iot_now_ms(), &config, err);
	if (status == IOT_OK)
		status = iot_job_config_whole(config, err);
	if (status == IOT_OK)
		status = iot_targets_check(local, spec.targets, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(config, "namespaceId", iot_json_str(request, "namespaceId", NULL));
	spec.config = config;
	status = iot_job_create(local, &spec, err);
	if (status == IOT_OK)
		reply_names(*ret_reply, spec.job_id, spec.description);
	return status;
}

/* jobProcessDetails: how many things are where; the targets while the rollout has not reached all of them. */
static json_t *process_details(const int64_t counts[IOT_N_COUNT], const json_t *targets)
{
	static const char *const names[] = {"numberOfQueuedThings",    "numberOfInProgressThings",
					    "numberOfSucceededThings", "numberOfFailedThings",
					    "numberOfTimedOutThings",  "numberOfRejectedThings",
					    "numberOfRemovedThings",   "numberOfCanceledThings"};
	json_t *details = json_object();

	if (counts[IOT_N_WAITING] > 0)
		json_object_set_new(details, "processingTargets", json_deep_copy(targets));
	for (size_t i = 0; i < IOT_LENGTH(names); i++)
		iot_json_set_int(details, names[i], counts[i]);
	return details;
}

static enum iot_status job_texts(struct iot_local *local, int64_t id, json_t *object, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT description, comment, reason_code, force_canceled, created_at, updated_at,"
				" completed_at FROM jobs WHERE id = ?",
				"i", id);
	if (status != IOT_OK || !row)
		return status;
	iot_json_set_str(object, "description", iot_stmt_text(stmt, 0));
	iot_json_set_str(object, "comment", iot_stmt_text(stmt, 1));
	iot_json_set_str(object, "reasonCode", iot_stmt_text(stmt, 2));
	iot_json_set_bool(object, "forceCanceled", iot_stmt_int(stmt, 3) != 0);
	iot_local_set_time(object, "createdAt", iot_stmt_int(stmt, 4));
	iot_local_set_time(object, "lastUpdatedAt", iot_stmt_int(stmt, 5));
	iot_local_set_time(object, "completedAt", iot_stmt_int(stmt, 6));
	return IOT_OK;
}

static IOT_HANDLER(describe_job)
{
	IOT_CLEAN(iot_job_release) struct iot_job row = {0};
	int64_t counts[IOT_N_COUNT];
	json_t *job = json_object();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "job", job);
	status = iot_job_find(local, iot_json_str(request, "jobId", ""), &row, err);
	if (status != IOT_OK)
		return status;
	iot_local_set_arn(job, "jobArn", "job", row.job_id);
	iot_json_set_str(job, "jobId", row.job_id);
	iot_json_set_str(job, "targetSelection", row.selection);
	iot_json_set_str(job, "status", row.status);
	json_object_set(job, "targets", row.targets);
	status = job_texts(local, row.id, job, err);
	if (status == IOT_OK)
		status = iot_job_count(local, row.id, counts, err);
	if (status != IOT_OK)
		return status;
	json_object_set_new(job, "jobProcessDetails", process_details(counts, row.targets));
	iot_json_set_bool(job, "isConcurrent", counts[IOT_N_WAITING] > 0);
	json_object_update(job, row.config);
	return IOT_OK;
}

static IOT_HANDLER(get_job_document)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *job_id = iot_json_str(request, "jobId", "");
	enum iot_status status = iot_stmt_get(local->store, "SELECT document FROM jobs WHERE job_id = ?", &stmt, err);
	bool row = false;

	(void)in, (void)out;
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", job_id);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "job '%s' does not exist", job_id);
	iot_json_set_str(*ret_reply, "document", iot_stmt_text(stmt, 0));
	return IOT_OK;
}

static IOT_HANDLER(update_job)
{
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON config = NULL;
	enum iot_status status;

	(void)in, (void)out, (void)ret_reply;
	status = iot_job_find(local, iot_json_str(request, "jobId", ""), &job, err);
	if (status != IOT_OK)
		return status;
	if (strcmp(job.status, "IN_PROGRESS") != 0 && strcmp(job.status, "SCHEDULED") != 0)
		return iot_local_invalid(err, "job '%s' is %s: only a job in progress can be updated", job.job_id,
					 job.status);
	status = iot_job_config(request, iot_now_ms(), &config, err);
	if (status != IOT_OK)
		return status;
	json_object_update(job.config, config);
	status = iot_job_config_whole(job.config, err);
	if (status != IOT_OK)
		return status;
	text = iot_json_text(job.config);
	local->wake = true;
	return iot_store_run(local->store, NULL, err,
			     "UPDATE jobs SET config = ?, description = ifnull(?, description), updated_at = ?"
			     " WHERE id = ?",
			     "ssii", text, iot_json_str(request, "description", NULL), iot_now_ms(), job.id);
}

static enum iot_status reply_job(struct iot_local *local, const struct iot_job *job, json_t *reply,
				 struct iot_error *err)
{
	IOT_JSON texts = json_object();
	enum iot_status status = job_texts(local, job->id, texts, err);

	if (status == IOT_OK)
		reply_names(reply, job->job_id, iot_json_str(texts, "description", NULL));
	return status;
}

static IOT_HANDLER(cancel_job)
{
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	bool force = iot_json_bool(request, "force", false);
	enum iot_status status;

	(void)in, (void)out;
	status = iot_job_find(local, iot_json_str(request, "jobId", ""), &job, err);
	if (status != IOT_OK)
		return status;
	if (strcmp(job.status, "COMPLETED") == 0)
		return iot_local_invalid(err, "job '%s' is COMPLETED: there is nothing to cancel", job.job_id);
	status = iot_job_cancel(local, job.id, force, iot_json_str(request, "reasonCode", NULL),
				iot_json_str(request, "comment", NULL), err);
	if (status == IOT_OK)
		status = reply_job(local, &job, *ret_reply, err);
	return status;
}

static IOT_HANDLER(delete_job)
{
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	enum iot_status status;

	(void)in, (void)out, (void)ret_reply;
	status = iot_job_find(local, iot_json_str(request, "jobId", ""), &job, err);
	if (status != IOT_OK)
		return status;
	if (!iot_json_bool(request, "force", false) && strcmp(job.status, "COMPLETED") != 0 &&
	    strcmp(job.status, "CANCELED") != 0) {
		status = iot_cloud_fail(err, "InvalidStateTransitionException", "job '%s' is %s", job.job_id,
					job.status);
		iot_error_hint(err, "cancel it first, or delete it with 'force'");
		return status;
	}
	return iot_job_delete(local, job.id, err);
}

static const char list_sql[] =
	"SELECT id, job_id, selection, status, created_at, updated_at, completed_at FROM jobs j"
	" WHERE (?1 = 0 OR id < ?1) AND (?3 IS NULL OR status = ?3) AND (?4 IS NULL OR selection = ?4)"
	" AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(j.targets) t WHERE t.value = ?5))"
	" ORDER BY id DESC LIMIT ?2";

/* The ARN of the group that jobs are listed for, by name or id; NULL: all jobs. */
static enum iot_status group_filter(struct iot_local *local, const json_t *request, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *name = iot_json_str(request, "thingGroupName", NULL);
	const char *id = iot_json_str(request, "thingGroupId", NULL);
	enum iot_status status;
	bool row = false;

	if (name == NULL && id == NULL)
		return IOT_OK;
	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT name FROM groups WHERE name = ifnull(?1, name) AND uuid = ifnull(?2, uuid)",
				"ss", name, id);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "thing group '%s' does not exist", name != NULL ? name : id);
	if (status == IOT_OK)
		*ret = iot_local_arn("thinggroup", iot_stmt_text(stmt, 0));
	return status;
}

static IOT_HANDLER(list_jobs)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_free_p) char *group = NULL;
	json_t *jobs = json_array();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "jobs", jobs);
	status = group_filter(local, request, &group, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store, list_sql, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iisss", page.after_id, page.limit + 1,
				       iot_json_str(request, "status", NULL),
				       iot_json_str(request, "targetSelection", NULL), group);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *job = json_object();

		iot_local_set_arn(job, "jobArn", "job", iot_stmt_text(stmt, 1));
		iot_json_set_str(job, "jobId", iot_stmt_text(stmt, 1));
		iot_json_set_str(job, "targetSelection", iot_stmt_text(stmt, 2));
		iot_json_set_str(job, "status", iot_stmt_text(stmt, 3));
		iot_local_set_time(job, "createdAt", iot_stmt_int(stmt, 4));
		iot_local_set_time(job, "lastUpdatedAt", iot_stmt_int(stmt, 5));
		iot_local_set_time(job, "completedAt", iot_stmt_int(stmt, 6));
		json_array_append_new(jobs, job);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

/* Targets of the request that the job does not have yet. */
static json_t *new_targets(const json_t *wanted, json_t *have)
{
	json_t *added = json_array();
	size_t i, k;
	json_t *target, *old;

	json_array_foreach(wanted, i, target) {
		bool known = false;

		json_array_foreach(have, k, old)
			known = known || json_equal(old, target);
		if (!known) {
			json_array_append(added, target);
			json_array_append(have, target);
		}
	}
	return added;
}

static IOT_HANDLER(associate_targets)
{
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON added = NULL;
	enum iot_status status;

	(void)in, (void)out;
	status = iot_targets_check(local, json_object_get(request, "targets"), err);
	if (status == IOT_OK)
		status = iot_job_find(local, iot_json_str(request, "jobId", ""), &job, err);
	if (status != IOT_OK)
		return status;
	if (strcmp(job.selection, "CONTINUOUS") != 0 || strcmp(job.status, "IN_PROGRESS") != 0)
		return iot_local_invalid(
			err, "job '%s' is %s and %s: targets are added to a CONTINUOUS job in progress only",
			job.job_id, job.selection, job.status);
	added = new_targets(json_object_get(request, "targets"), job.targets);
	if (json_array_size(job.targets) > IOT_JOB_TARGETS_MAX)
		return iot_cloud_fail(err, "LimitExceededException",
				      "job '%s' would have %zu targets, at most %d are allowed", job.job_id,
				      json_array_size(job.targets), IOT_JOB_TARGETS_MAX);
	text = iot_json_text(job.targets);
	status = iot_store_run(local->store, NULL, err,
			       "UPDATE jobs SET targets = ?, comment = ifnull(?, comment), updated_at = ? WHERE id = ?",
			       "ssii", text, iot_json_str(request, "comment", NULL), iot_now_ms(), job.id);
	if (status == IOT_OK)
		status = iot_job_rollout(local, &job, added, err);
	if (status == IOT_OK)
		status = reply_job(local, &job, *ret_reply, err);
	return status;
}

const struct iot_local_handler iot_local_jobs_handlers[] = {
	{"CreateJob", create_job, false},
	{"DescribeJob", describe_job, false},
	{"GetJobDocument", get_job_document, false},
	{"UpdateJob", update_job, false},
	{"CancelJob", cancel_job, false},
	{"DeleteJob", delete_job, false},
	{"ListJobs", list_jobs, false},
	{"AssociateTargetsWithJob", associate_targets, false},
	{"ListJobExecutionsForJob", iot_do_list_executions_for_job, false},
	{"ListJobExecutionsForThing", iot_do_list_executions_for_thing, false},
	{"DescribeJobExecution", iot_do_describe_execution, false},
	{"CancelJobExecution", iot_do_cancel_execution, false},
	{"DeleteJobExecution", iot_do_delete_execution, false},
	{"iot-jobs-data:GetPendingJobExecutions", iot_do_get_pending, false},
	{"iot-jobs-data:StartNextPendingJobExecution", iot_do_start_next, false},
	{"iot-jobs-data:DescribeJobExecution", iot_do_device_describe, false},
	{"iot-jobs-data:UpdateJobExecution", iot_do_device_update, true},
	{"CreateStream", iot_do_create_stream, false},
	{"DescribeStream", iot_do_describe_stream, false},
	{"UpdateStream", iot_do_update_stream, false},
	{"ListStreams", iot_do_list_streams, false},
	{"DeleteStream", iot_do_delete_stream, false},
	{"CreateOTAUpdate", iot_do_create_ota, false},
	{"GetOTAUpdate", iot_do_get_ota, false},
	{"ListOTAUpdates", iot_do_list_ota, false},
	{"DeleteOTAUpdate", iot_do_delete_ota, false},
	{"iotctl:GetDeviceState", iot_do_get_device_state, false},
	{"iotctl:ListDeviceStates", iot_do_list_device_states, false},
	{"s3:PutObject", iot_do_put_object, true},
	{"s3:GetObject", iot_do_get_object, true},
	{"s3:HeadObject", iot_do_head_object, true},
	{"s3:GetBucketVersioning", iot_do_get_bucket_versioning, true},
	{"s3:CreateMultipartUpload", iot_do_create_upload, true},
	{"s3:UploadPart", iot_do_upload_part, true},
	{"s3:CompleteMultipartUpload", iot_do_complete_upload, true},
	{"s3:AbortMultipartUpload", iot_do_abort_upload, true},
	{NULL, NULL, false},
};
