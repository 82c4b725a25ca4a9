/*
 * Updates after they were pushed: list, show, follow to the end, cancel, and
 * say why a device is not there yet.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define POLL_MS 250
#define DETAILS_MAX 20 /* so many devices are asked for their progress each time */

static char *job_name(const char *update)
{
	return iot_starts_with(update, FLEET_OTA_PREFIX) ? iot_strdup(update) : iot_strf(FLEET_OTA_PREFIX "%s", update);
}

bool fleet_execution_is_over(const char *status)
{
	return strcmp(status, "QUEUED") != 0 && strcmp(status, "IN_PROGRESS") != 0;
}

/* --- one execution as a record ------------------------------------------------------- */

static json_t *execution_record(const json_t *item)
{
	const json_t *state = json_object_get(item, "jobExecutionSummary");
	json_t *record = json_object();

	iot_json_set_str(record, "thingName", fleet_arn_name(iot_json_str(item, "thingArn", "")));
	iot_json_set_str(record, "status", iot_json_str(state, "status", ""));
	iot_json_set_int(record, "executionNumber", iot_json_int(state, "executionNumber", 1));
	fleet_set_time(record, "queuedAt", fleet_time_ms(state, "queuedAt"));
	fleet_set_time(record, "startedAt", fleet_time_ms(state, "startedAt"));
	fleet_set_time(record, "updatedAt", fleet_time_ms(state, "lastUpdatedAt"));
	return record;
}

/* Reason and progress, as the device told them. */
static void add_details(struct iot_cloud *cloud, const char *job, json_t *record)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	const json_t *details;

	if (fleet_call(cloud, "DescribeJobExecution",
		       json_pack("{s:s, s:s, s:I}", "jobId", job, "thingName", iot_json_str(record, "thingName", ""),
				 "executionNumber", (json_int_t)iot_json_int(record, "executionNumber", 1)),
		       &reply, &ignored) != IOT_OK)
		return;
	details = json_object_get(json_object_get(json_object_get(reply, "execution"), "statusDetails"), "detailsMap");
	iot_json_set_str(record, "reason", iot_json_str(details, "reason", NULL));
	iot_json_set_str(record, "received", iot_json_str(details, "receive", NULL));
	iot_json_set_str(record, "selfTest", iot_json_str(details, "self_test", NULL));
	iot_json_set_str(record, "updatedBy", iot_json_str(details, "updatedBy", NULL));
}

/* The newest execution of each thing, keyed by thing name. */
static enum iot_status keep_newest(json_t *item, void *data, struct iot_error *err)
{
	json_t *newest = data;
	json_t *record = execution_record(item);
	const char *thing = iot_json_str(record, "thingName", "");
	const json_t *other = json_object_get(newest, thing);

	(void)err;
	if (other == NULL || iot_json_int(other, "executionNumber", 0) < iot_json_int(record, "executionNumber", 0))
		json_object_set(newest, thing, record);
	json_decref(record);
	return IOT_OK;
}

enum iot_status fleet_executions(struct iot_cloud *cloud, const char *job, json_t **ret, struct iot_error *err)
{
	IOT_JSON newest = json_object();
	const char *thing;
	json_t *record;
	size_t asked = 0;
	enum iot_status status;

	status = fleet_each(cloud, "ListJobExecutionsForJob", json_pack("{s:s, s:i}", "jobId", job, "maxResults", 250),
			    "executionSummaries", keep_newest, newest, err);
	if (status != IOT_OK)
		return status;
	json_object_foreach(newest, thing, record) {
		if (asked < DETAILS_MAX && strcmp(iot_json_str(record, "status", ""), "QUEUED") != 0) {
			add_details(cloud, job, record);
			asked++;
		}
	}
	*ret = iot_take(newest);
	return IOT_OK;
}

/* --- show and list ------------------------------------------------------------------------ */

static enum iot_status add_document(struct iot_cloud *cloud, const char *job, json_t *record, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	IOT_JSON document = NULL;
	const json_t *ours;
	const char *text;
	enum iot_status status = fleet_call(cloud, "GetJobDocument", json_pack("{s:s}", "jobId", job), &reply, err);

	if (status != IOT_OK)
		return status;
	text = iot_json_str(reply, "document", "");
	status = iot_json_parse(text, strlen(text), "job document", &document, err);
	if (status != IOT_OK)
		return status;
	ours = json_object_get(document, "iotctl");
	iot_json_set_str(record, "version", iot_json_str(ours, "version", NULL));
	iot_json_set_str(record, "sha256", iot_json_str(ours, "sha256", NULL));
	iot_json_set_str(record, "keyId", iot_json_str(ours, "keyId", NULL));
	iot_json_set_str(record, "streamId", iot_json_str(json_object_get(document, "afr_ota"), "streamname", NULL));
	return IOT_OK;
}

static const char *const counts[][2] = {
	{"numberOfQueuedThings", "queued"},       {"numberOfInProgressThings", "inProgress"},
	{"numberOfSucceededThings", "succeeded"}, {"numberOfFailedThings", "failed"},
	{"numberOfRejectedThings", "rejected"},   {"numberOfTimedOutThings", "timedOut"},
	{"numberOfCanceledThings", "canceled"},   {"numberOfRemovedThings", "removed"},
};

static enum iot_status describe(struct iot_cloud *cloud, const char *job, json_t **ret, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	json_t *record, *details;
	const json_t *from;
	enum iot_status status = fleet_call(cloud, "DescribeJob", json_pack("{s:s}", "jobId", job), &reply, err);

	if (status != IOT_OK)
		return status;
	from = json_object_get(reply, "job");
	record = json_object();
	iot_json_set_str(record, "updateId", job + strlen(FLEET_OTA_PREFIX));
	iot_json_set_str(record, "jobId", job);
	iot_json_set_str(record, "status", iot_json_str(from, "status", ""));
	fleet_set_time(record, "createdAt", fleet_time_ms(from, "createdAt"));
	fleet_set_time(record, "completedAt", fleet_time_ms(from, "completedAt"));
	json_object_set(record, "targets", json_object_get(from, "targets"));
	details = json_object_get(from, "jobProcessDetails");
	for (size_t i = 0; i < IOT_LENGTH(counts); i++)
		iot_json_set_int(record, counts[i][1], iot_json_int(details, counts[i][0], 0));
	*ret = record;
	return IOT_OK;
}

static void set_executions(json_t *record, const json_t *newest)
{
	json_t *list = json_array();
	const char *thing;
	json_t *execution;

	json_object_foreach((json_t *)(uintptr_t)newest, thing, execution)
		json_array_append(list, execution);
	json_object_set_new(record, "executions", list);
}

enum iot_status iot_ota_show(struct iot_cloud *cloud, const char *update, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *job = job_name(update);
	IOT_JSON record = NULL;
	IOT_JSON newest = NULL;
	enum iot_status status = describe(cloud, job, &record, err);

	if (status == IOT_OK)
		status = add_document(cloud, job, record, err);
	if (status == IOT_OK)
		status = fleet_executions(cloud, job, &newest, err);
	if (status != IOT_OK)
		return status;
	set_executions(record, newest);
	*ret_record = iot_take(record);
	return IOT_OK;
}

struct listing {
	struct iot_cloud *cloud;
	enum iot_status (*each)(json_t *record, void *data, struct iot_error *err);
	void *data;
};

static enum iot_status list_one(json_t *item, void *data, struct iot_error *err)
{
	struct listing *listing = data;
	const char *job = iot_json_str(item, "jobId", "");
	IOT_JSON record = NULL;
	enum iot_status status;

	if (!iot_starts_with(job, FLEET_OTA_PREFIX))
		return IOT_OK;
	status = describe(listing->cloud, job, &record, err);
	if (status == IOT_OK)
		status = add_document(listing->cloud, job, record, err);
	return status == IOT_OK ? listing->each(record, listing->data, err) : status;
}

enum iot_status iot_ota_list(struct iot_cloud *cloud,
			     enum iot_status (*each)(json_t *record, void *data, struct iot_error *err), void *data,
			     struct iot_error *err)
{
	struct listing listing = {cloud, each, data};

	return fleet_each(cloud, "ListJobs", NULL, "jobs", list_one, &listing, err);
}

enum iot_status iot_ota_cancel(struct iot_cloud *cloud, const char *update, bool force, json_t **ret_record,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *job = job_name(update);
	IOT_JSON before = NULL;
	enum iot_status status = describe(cloud, job, &before, err);

	if (status != IOT_OK)
		return status;
	if (strcmp(iot_json_str(before, "status", ""), "COMPLETED") == 0)
		return iot_fail(err, IOT_CONFLICT, "update '%s' has ended already", update);
	if (strcmp(iot_json_str(before, "status", ""), "CANCELED") == 0) {
		*ret_record = iot_take(before);
		iot_json_set_bool(*ret_record, "changed", false);
		return IOT_OK;
	}
	status = fleet_call(cloud, "CancelJob", json_pack("{s:s, s:b}", "jobId", job, "force", force), NULL, err);
	if (status == IOT_OK)
		status = describe(cloud, job, ret_record, err);
	if (status == IOT_OK)
		iot_json_set_bool(*ret_record, "changed", true);
	return status;
}

/* --- follow --------------------------------------------------------------------------------- */

struct tally {
	int64_t total, over, succeeded;
};

static struct tally count(const json_t *newest)
{
	struct tally tally = {0, 0, 0};
	const char *thing;
	json_t *record;

	json_object_foreach((json_t *)(uintptr_t)newest, thing, record) {
		const char *status = iot_json_str(record, "status", "");

		tally.total++;
		tally.over += fleet_execution_is_over(status);
		tally.succeeded += strcmp(status, "SUCCEEDED") == 0;
	}
	return tally;
}

/* One line on where things stand; with a single device what that one does. */
static void say_progress(const struct iot_watch *watch, const json_t *newest, struct tally tally)
{
	char text[256];
	const json_t *only = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)newest));

	if (watch->progress == NULL)
		return;
	if (tally.total == 1 && iot_json_str(only, "selfTest", NULL) != NULL && tally.over == 0)
		snprintf(text, sizeof(text), "%s: self-test", iot_json_str(only, "thingName", ""));
	else if (tally.total == 1 && iot_json_str(only, "received", NULL) != NULL)
		snprintf(text, sizeof(text), "%s: %s, blocks %s", iot_json_str(only, "thingName", ""),
			 iot_json_str(only, "status", ""), iot_json_str(only, "received", ""));
	else if (tally.total == 1)
		snprintf(text, sizeof(text), "%s: %s", iot_json_str(only, "thingName", ""),
			 iot_json_str(only, "status", ""));
	else
		snprintf(text, sizeof(text), "%lld succeeded", (long long)tally.succeeded);
	watch->progress(tally.over, tally.total, text, watch->data);
}

static void say_changes(const struct iot_watch *watch, const json_t *before, const json_t *newest)
{
	const char *thing;
	json_t *record;

	if (watch->changed == NULL)
		return;
	json_object_foreach((json_t *)(uintptr_t)newest, thing, record) {
		const json_t *old = json_object_get(before, thing);

		if (strcmp(iot_json_str(old, "status", ""), iot_json_str(record, "status", "")) != 0 ||
		    iot_json_int(old, "executionNumber", 0) != iot_json_int(record, "executionNumber", 0))
			watch->changed(record, watch->data);
	}
}

static enum iot_status outcome(const char *update, const char *job_status, const json_t *newest, struct tally tally,
			       struct iot_error *err)
{
	const json_t *only = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)newest));

	if (strcmp(job_status, "CANCELED") == 0)
		return iot_fail(err, IOT_ABORTED, "update '%s' was canceled: %lld of %lld devices have it", update,
				(long long)tally.succeeded, (long long)tally.total);
	if (tally.total == 0)
		return iot_fail(err, IOT_FAILURE, "no device took update '%s': those it was for are gone", update);
	if (tally.succeeded == tally.total)
		return IOT_OK;
	if (tally.total == 1) {
		const char *reason = iot_json_str(only, "reason", NULL);

		return iot_fail(err, IOT_FAILURE, "device '%s' did not take update '%s': %s%s%s",
				iot_json_str(only, "thingName", ""), update, iot_json_str(only, "status", ""),
				reason != NULL ? ", " : "", reason != NULL ? reason : "");
	}
	iot_fail(err, tally.succeeded > 0 ? IOT_PARTIAL : IOT_FAILURE, "%lld of %lld devices did not take update '%s'",
		 (long long)(tally.total - tally.succeeded), (long long)tally.total, update);
	iot_error_hint(err, "'iotctl ota show %s' tells each one's reason", update);
	return tally.succeeded > 0 ? IOT_PARTIAL : IOT_FAILURE;
}

static enum iot_status not_waiting_longer(const struct iot_watch *watch, int64_t deadline, const char *update,
					  struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (watch->interrupted != NULL && watch->interrupted(watch->data))
		status = iot_fail(err, IOT_INTERRUPTED, "stopped watching: update '%s' goes on", update);
	else if (watch->timeout_ms > 0 && iot_left(deadline) == 0)
		status = iot_fail(err, IOT_TIMEOUT, "update '%s' has not ended within %lld s; it goes on", update,
				  (long long)(watch->timeout_ms / 1000));
	if (status != IOT_OK)
		iot_error_hint(err, "follow it with 'iotctl ota watch %s', end it with 'iotctl ota cancel %s'", update,
			       update);
	return status;
}

enum iot_status iot_ota_watch(struct iot_cloud *cloud, const char *update, const struct iot_watch *watch,
			      json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *job = job_name(update);
	int64_t deadline = iot_deadline(watch->timeout_ms);
	IOT_JSON before = json_object();
	bool is_known = false;
	enum iot_status status;

	for (;; poll(NULL, 0, POLL_MS)) { /* nothing tells a laptop that a job changed: AWS has to be asked as well */
		IOT_JSON record = NULL;
		IOT_JSON newest = NULL;
		const char *job_status;
		struct tally tally;

		status = describe(cloud, job, &record, err);
		if (status == IOT_OK)
			status = fleet_executions(cloud, job, &newest, err);
		if (status == IOT_AGAIN && is_known) { /* busy or throttled: the next look tells more */
			iot_error_clear(err);
			status = not_waiting_longer(watch, deadline, update, err);
			if (status == IOT_OK)
				continue;
		}
		if (status != IOT_OK)
			return status;
		is_known = true;
		job_status = iot_json_str(record, "status", "");
		if (watch->from_start && strcmp(job_status, "SCHEDULED") == 0)
			deadline = iot_deadline(watch->timeout_ms);
		tally = count(newest);
		say_changes(watch, before, newest);
		say_progress(watch, newest, tally);
		if (strcmp(job_status, "COMPLETED") == 0 ||
		    (strcmp(job_status, "CANCELED") == 0 && tally.over == tally.total))
			status = outcome(update, job_status, newest, tally, err);
		else
			status = not_waiting_longer(watch, deadline, update, err);
		if (status != IOT_OK || strcmp(job_status, "COMPLETED") == 0 ||
		    (strcmp(job_status, "CANCELED") == 0 && tally.over == tally.total)) {
			set_executions(record, newest);
			*ret_record = iot_take(record);
			return status;
		}
		json_decref(before);
		before = iot_take(newest);
	}
}

/* --- why not yet ---------------------------------------------------------------------------- */

struct finding {
	const char *cause, *cure;
};

static bool has_active_certificate(const json_t *device, bool *ret_policy)
{
	const json_t *certificate;
	bool active = false;
	size_t i;

	*ret_policy = false;
	json_array_foreach(json_object_get(device, "certificates"), i, certificate) {
		if (strcmp(iot_json_str(certificate, "status", ""), "ACTIVE") != 0)
			continue;
		active = true;
		*ret_policy = *ret_policy || json_array_size(json_object_get(certificate, "policies")) > 0;
	}
	return active;
}

static struct finding diagnose(const json_t *device, const json_t *execution, const char *update_version)
{
	bool policy, active = has_active_certificate(device, &policy);
	bool in_progress = strcmp(iot_json_str(execution, "status", ""), "IN_PROGRESS") == 0;

	if (!active)
		return (struct finding){"it has no active certificate",
					"'iotctl device enable' it, or give it a new one"};
	if (!policy)
		return (struct finding){"no policy is attached to its certificate",
					"attach one with 'iotctl policy attach'"};
	if (!iot_json_bool(device, "connected", false))
		return (struct finding){"it is not connected", "nothing to do here: it is told when it connects"};
	if (strcmp(iot_json_str(device, "firmware", ""), update_version) == 0)
		return (struct finding){"it runs this version already but has not said that it is done",
					"cancel the job for it, or reset it"};
	if (!in_progress)
		return (struct finding){"it was told and has not asked for the job",
					"check that its agent runs and that its policy allows the jobs topics"};
	if (iot_json_str(execution, "selfTest", NULL) != NULL)
		return (struct finding){"it is testing the new image", "wait: it accepts or goes back by itself"};
	return (struct finding){"it is downloading", "wait: it is timed out when it stops"};
}

enum iot_status iot_ota_doctor(struct iot_cloud *cloud, const char *update, json_t **ret_records, struct iot_error *err)
{
	IOT_JSON shown = NULL;
	IOT_JSON records = json_array();
	json_t *execution;
	size_t i;
	enum iot_status status = iot_ota_show(cloud, update, &shown, err);

	if (status != IOT_OK)
		return status;
	json_array_foreach(json_object_get(shown, "executions"), i, execution) {
		const char *thing = iot_json_str(execution, "thingName", "");
		IOT_JSON device = NULL;
		struct finding finding;

		if (fleet_execution_is_over(iot_json_str(execution, "status", "")))
			continue;
		status = iot_device_show(cloud, thing, &device, err);
		if (status != IOT_OK)
			return status;
		finding = diagnose(device, execution, iot_json_str(shown, "version", "?"));
		json_array_append_new(records, json_pack("{s:s, s:s, s:s, s:s}", "thingName", thing, "status",
							 iot_json_str(execution, "status", ""), "cause", finding.cause,
							 "cure", finding.cure));
	}
	*ret_records = iot_take(records);
	return IOT_OK;
}
