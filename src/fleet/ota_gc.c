/*
 * Streams of updates that are over. A stream's name does not tell which job it
 * is for (the OTA service names both as it likes), so the documents of all jobs
 * that go on are read: what they name is needed, and what somebody made a
 * moment ago, whose job may be about to be created.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <string.h>

struct gc {
	struct iot_cloud *cloud;
	json_t *needed; /* stream ids, as an object */
	json_t *records;
	int64_t older_ms;
	bool dry_run;
};

static enum iot_status note_job(json_t *job, void *data, struct iot_error *err)
{
	struct gc *gc = data;
	const char *id = iot_json_str(job, "jobId", "");
	IOT_JSON reply = NULL;
	IOT_JSON document = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	const char *text, *stream;
	enum iot_status status = fleet_call(gc->cloud, "GetJobDocument", json_pack("{s:s}", "jobId", id), &reply, err);

	if (status != IOT_OK && fleet_missing(err)) { /* deleted since it was listed */
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	text = iot_json_str(reply, "document", "");
	if (iot_json_parse(text, strlen(text), "job document", &document, &ignored) != IOT_OK)
		return IOT_OK; /* no document of an update */
	stream = iot_json_str(json_object_get(document, "afr_ota"), "streamname", NULL);
	if (stream != NULL)
		iot_json_set_bool(gc->needed, stream, true);
	return IOT_OK;
}

static enum iot_status judge_stream(json_t *stream, void *data, struct iot_error *err)
{
	struct gc *gc = data;
	const char *id = iot_json_str(stream, "streamId", "");
	IOT_JSON reply = NULL;
	const json_t *info;
	int64_t changed;
	json_t *record;
	enum iot_status status;

	if (!iot_starts_with(id, FLEET_OTA_PREFIX) || json_object_get(gc->needed, id) != NULL)
		return IOT_OK;
	status = fleet_call(gc->cloud, "DescribeStream", json_pack("{s:s}", "streamId", id), &reply, err);
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	info = json_object_get(reply, "streamInfo");
	changed = fleet_time_ms(info, "lastUpdatedAt");
	if (changed == 0)
		changed = fleet_time_ms(info, "createdAt");
	if (changed == 0 || iot_now_ms() - changed < gc->older_ms)
		return IOT_OK;
	record = json_pack("{s:s, s:b}", "streamId", id, "deleted", 0);
	fleet_set_time(record, "changedAt", changed);
	json_array_append_new(gc->records, record);
	return IOT_OK;
}

static enum iot_status note_jobs(struct gc *gc, struct iot_error *err)
{
	static const char *const states[] = {"IN_PROGRESS", "SCHEDULED"};
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(states); i++)
		status = fleet_each(gc->cloud, "ListJobs",
				    json_pack("{s:s, s:i}", "status", states[i], "maxResults", 250), "jobs", note_job,
				    gc, err);
	return status;
}

enum iot_status iot_ota_gc(struct iot_cloud *cloud, int64_t older_ms, bool dry_run, json_t **ret_records,
			   struct iot_error *err)
{
	IOT_JSON needed = json_object();
	IOT_JSON records = json_array();
	struct gc gc = {cloud, needed, records, older_ms, dry_run};
	json_t *record;
	size_t i;
	/* First the jobs: one that is made after this has a stream that is too young. */
	enum iot_status status = note_jobs(&gc, err);

	if (status == IOT_OK)
		status = fleet_each(cloud, "ListStreams", NULL, "streams", judge_stream, &gc, err);
	json_array_foreach(records, i, record) {
		if (status != IOT_OK || dry_run)
			break;
		status = fleet_call(cloud, "DeleteStream",
				    json_pack("{s:s}", "streamId", iot_json_str(record, "streamId", "")), NULL, err);
		iot_json_set_bool(record, "deleted", status == IOT_OK);
	}
	if (status == IOT_OK)
		*ret_records = iot_take(records);
	return status;
}
