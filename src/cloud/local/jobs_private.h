/*
 * Jobs inside the local cloud: what the files about jobs, executions, streams
 * and OTA updates share. Only they include it.
 *
 * An execution is a row of one job for one thing and one number. Beyond AWS
 * IoT's states there is WAITING: a target that the rollout has not reached yet.
 * No operation shows it; DescribeJob counts such targets as being processed.
 */
#ifndef IOTCTL_JOBS_PRIVATE_H
#define IOTCTL_JOBS_PRIVATE_H

#include "local_private.h"

#define IOT_JOB_ID_MAX 64
#define IOT_JOB_DOCUMENT_MAX 32768
#define IOT_JOB_TARGETS_MAX 100
#define IOT_MINUTE_MS INT64_C(60000)
/* Largest file of a stream: 24 MB (AWS IoT, MQTT file delivery). */
#define IOT_STREAM_FILE_MAX (INT64_C(24) * 1024 * 1024)
#define IOT_STREAM_FILES_MAX 50

/* --- one execution (execution.c) ------------------------------------------------ */

struct iot_execution {
	int64_t id, job, thing_id, number, version;
	int64_t queued_at, started_at, updated_at;
	int64_t step_deadline, deadline; /* 0: none */
	bool force_canceled;
	char status[16];
	char job_id[IOT_JOB_ID_MAX + 1];
	char job_status[24];
	char *details;  /* JSON object, string to string */
	json_t *config; /* the job's */
};
void iot_execution_release(struct iot_execution *ex); /* fits IOT_CLEAN; fine on a zeroed struct */

/* The execution of a job on a thing; number 0: the newest. Code ResourceNotFoundException. */
IOT_CHECK enum iot_status iot_execution_find(struct iot_local *local, const char *thing, const char *job_id,
					     int64_t number, struct iot_execution *ret, struct iot_error *err);
/* The one that the thing should do next: in progress before queued, then in the order of creation. */
IOT_CHECK enum iot_status iot_execution_next(struct iot_local *local, const char *thing, struct iot_execution *ret,
					     bool *ret_found, struct iot_error *err);
bool iot_execution_terminal(const struct iot_execution *ex);
/* Write status, details, times; the version counts up. */
IOT_CHECK enum iot_status iot_execution_save(struct iot_local *local, struct iot_execution *ex, struct iot_error *err);
/* In memory: QUEUED to IN_PROGRESS; the job's time-out starts. */
void iot_execution_start(struct iot_execution *ex, int64_t now_ms);
/* In memory: step_minutes > 0 sets the step's deadline, -1 clears it, 0 leaves it. */
void iot_execution_step(struct iot_execution *ex, int64_t step_minutes, int64_t now_ms);
/* Save as ended with `how`, and draw the consequences: notice to the thing, retry, abort of the job, its completion. */
IOT_CHECK enum iot_status iot_execution_end(struct iot_local *local, struct iot_execution *ex, const char *how,
					    struct iot_error *err);
/* Queue a further execution of the job for a thing. */
IOT_CHECK enum iot_status iot_execution_again(struct iot_local *local, int64_t job, int64_t thing_id,
					      struct iot_error *err);
/* Seconds until the nearer deadline, at least 0; -1 without one. */
int64_t iot_execution_left(const struct iot_execution *ex, int64_t now_ms);

/* Check the pairs of a statusDetails map (NULL: none): names of 128, values of 1024 characters. */
IOT_CHECK enum iot_status iot_details_check(const json_t *details, struct iot_error *err);
/* A whole number, also as decimal text: some devices send "expectedVersion":"2". *ret_given tells whether it is there.
 */
IOT_CHECK enum iot_status iot_number_member(const json_t *request, const char *key, bool *ret_given, int64_t *ret,
					    struct iot_error *err);

/* --- one job (job_store.c) ------------------------------------------------------ */

struct iot_job {
	int64_t id;
	char job_id[IOT_JOB_ID_MAX + 1];
	char status[24];
	char selection[16];
	json_t *config, *targets;
};
void iot_job_release(struct iot_job *job); /* fits IOT_CLEAN */
IOT_CHECK enum iot_status iot_job_find(struct iot_local *local, const char *job_id, struct iot_job *ret,
				       struct iot_error *err);
IOT_CHECK enum iot_status iot_job_by_id(struct iot_local *local, int64_t id, struct iot_job *ret,
					struct iot_error *err);

struct iot_job_spec {
	const char *job_id, *document, *description, *selection;
	const json_t *targets; /* ARNs of things and groups */
	const json_t *config;  /* checked */
};
/* Create the job, resolve its targets and roll out what is due. */
IOT_CHECK enum iot_status iot_job_create(struct iot_local *local, const struct iot_job_spec *spec,
					 struct iot_error *err);
/* The job becomes CANCELED; executions that are queued are canceled, with `force` those in progress too. */
IOT_CHECK enum iot_status iot_job_cancel(struct iot_local *local, int64_t job, bool force, const char *reason_code,
					 const char *comment, struct iot_error *err);
/* Delete it with its executions; things that had one pending are told. */
IOT_CHECK enum iot_status iot_job_delete(struct iot_local *local, int64_t job, struct iot_error *err);
/* COMPLETED, if it is a snapshot in progress and nothing is left to do. */
IOT_CHECK enum iot_status iot_job_complete(struct iot_local *local, int64_t job, struct iot_error *err);

enum iot_count {
	IOT_N_QUEUED,
	IOT_N_IN_PROGRESS,
	IOT_N_SUCCEEDED,
	IOT_N_FAILED,
	IOT_N_TIMED_OUT,
	IOT_N_REJECTED,
	IOT_N_REMOVED,
	IOT_N_CANCELED,
	IOT_N_WAITING,
	IOT_N_COUNT
};
extern const char *const iot_count_names[IOT_N_COUNT];
/* Things by the state of their newest execution of a job. */
IOT_CHECK enum iot_status iot_job_count(struct iot_local *local, int64_t job, int64_t ret[IOT_N_COUNT],
					struct iot_error *err);
/* CANCELED, if the failures so far pass a threshold of the job's abortConfig. */
IOT_CHECK enum iot_status iot_job_abort_check(struct iot_local *local, int64_t job, const json_t *config,
					      struct iot_error *err);

/* --- configuration (job_config.c) ------------------------------------------------- */

/* Gather the configuration members of a request (rollout, abort, time-out, retry, schedule) into *ret, checked. */
IOT_CHECK enum iot_status iot_job_config(const json_t *request, int64_t now_ms, json_t **ret, struct iot_error *err);
/* The rules between members, after an update merged some. */
IOT_CHECK enum iot_status iot_job_config_whole(const json_t *config, struct iot_error *err);
/* How often an execution that ended with `status` may be repeated, and which ends count. */
int64_t iot_job_retries(const json_t *config, const char *status, bool *ret_all);
/* Things to notify per minute at this stage of a rollout; -1: no limit. */
int64_t iot_job_rate(const json_t *config, int64_t notified, int64_t succeeded);
/* schedulingConfig's times in milliseconds; 0 when unset. */
int64_t iot_job_start_time(const json_t *config);
int64_t iot_job_end_time(const json_t *config);

/* --- rollout (job_rollout.c) --------------------------------------------------------- */

/* IOT_OK if every target is a thing or group that exists. */
IOT_CHECK enum iot_status iot_targets_check(struct iot_local *local, const json_t *targets, struct iot_error *err);
/* Give every thing behind the targets an execution it does not have yet, then release what is due. */
IOT_CHECK enum iot_status iot_job_rollout(struct iot_local *local, const struct iot_job *job, const json_t *targets,
					  struct iot_error *err);
/* Queue as many waiting executions as the rate allows. *ret_next: when to come again, -1 when none waits. */
IOT_CHECK enum iot_status iot_job_release_due(struct iot_local *local, const struct iot_job *job, int64_t now_ms,
					      int64_t *ret_next, struct iot_error *err);

/* The document with signed URLs where it asks for them, as devices get it; *ret NULL: it asks for none. New memory. */
IOT_CHECK enum iot_status iot_job_sign_urls(struct iot_local *local, const char *document, int64_t expires_s,
					    char **ret, struct iot_error *err);

/* --- streams and images ------------------------------------------------------------------ */

/* Path of an image; new memory. */
char *iot_image_path(struct iot_local *local, const char *sha256);
/* As iot_image_writer_new(). `name` is for messages, borrowed. */
IOT_CHECK enum iot_status iot_image_writer_make(struct iot_local *local, const char *name,
						struct iot_image_writer **ret, struct iot_error *err);
int64_t iot_image_writer_size(const struct iot_image_writer *writer);
/* What was added becomes the file of that path, not an image; not durable. */
IOT_CHECK enum iot_status iot_image_writer_keep(struct iot_image_writer *writer, const char *path,
						struct iot_error *err);
/* Add the rest of an open file. */
IOT_CHECK enum iot_status iot_image_copy(struct iot_image_writer *writer, int from, const char *path,
					 struct iot_error *err);
/* The digest of the image that bucket and key name, or that `version` (may be NULL) of it; codes NoSuchBucket, ResourceNotFoundException. */
IOT_CHECK enum iot_status iot_object_find(struct iot_local *local, const char *bucket, const char *key,
					  const char *version, char ret_sha256[65], struct iot_error *err);
/* Create a stream from AWS's members. */
IOT_CHECK enum iot_status iot_stream_create(struct iot_local *local, const char *stream_id, const char *description,
					    const char *role_arn, const json_t *files, struct iot_error *err);
/* Size of a file of a stream; code ResourceNotFoundException. */
IOT_CHECK enum iot_status iot_stream_file_size(struct iot_local *local, const char *stream_id, int64_t file_id,
					       int64_t *ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_stream_delete(struct iot_local *local, const char *stream_id, struct iot_error *err);

/* --- handlers, by file ------------------------------------------------------------------------ */

#define IOT_HANDLER(name)                                                                                              \
	enum iot_status name(struct iot_local *local, const json_t *request, const struct iot_body *in,                \
			     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)

/* executions.c */
IOT_HANDLER(iot_do_list_executions_for_job);
IOT_HANDLER(iot_do_list_executions_for_thing);
IOT_HANDLER(iot_do_describe_execution);
IOT_HANDLER(iot_do_cancel_execution);
IOT_HANDLER(iot_do_delete_execution);
/* device_jobs.c */
IOT_HANDLER(iot_do_get_pending);
IOT_HANDLER(iot_do_start_next);
IOT_HANDLER(iot_do_device_describe);
IOT_HANDLER(iot_do_device_update);
/* streams.c */
IOT_HANDLER(iot_do_create_stream);
IOT_HANDLER(iot_do_describe_stream);
IOT_HANDLER(iot_do_update_stream);
IOT_HANDLER(iot_do_list_streams);
IOT_HANDLER(iot_do_delete_stream);
/* ota.c */
IOT_HANDLER(iot_do_create_ota);
IOT_HANDLER(iot_do_get_ota);
IOT_HANDLER(iot_do_list_ota);
IOT_HANDLER(iot_do_delete_ota);
/* device_state.c */
IOT_HANDLER(iot_do_get_device_state);
IOT_HANDLER(iot_do_list_device_states);
/* objects.c */
IOT_HANDLER(iot_do_put_object);
IOT_HANDLER(iot_do_get_object);
IOT_HANDLER(iot_do_head_object);
IOT_HANDLER(iot_do_get_bucket_versioning);
IOT_HANDLER(iot_do_create_upload);
IOT_HANDLER(iot_do_upload_part);
IOT_HANDLER(iot_do_complete_upload);
IOT_HANDLER(iot_do_abort_upload);

#endif
