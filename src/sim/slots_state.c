/*
 * The state file of a software device's flash: JSON, replaced as a whole.
 */
#include "sim/slots.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

enum { STATE_MAX = 16 * 1024 };

static const char *const slot_names[] = {[SIM_FACTORY] = "factory", [SIM_A] = "a", [SIM_B] = "b"};
static const char *const stage_names[] = {
	[SIM_STAGE_NONE] = "none",
	[SIM_STAGE_READY] = "ready",
	[SIM_STAGE_TESTING] = "testing",
	[SIM_STAGE_REJECTED] = "rejected",
};

void (*sim_slots_step_hook)(const char *step);

const char *sim_slot_name(enum sim_slot slot)
{
	return slot_names[slot];
}

static bool find_name(const char *const *names, size_t count, const char *name, unsigned *ret)
{
	for (size_t i = 0; i < count; i++) {
		if (name != NULL && strcmp(names[i], name) == 0) {
			*ret = (unsigned)i;
			return true;
		}
	}
	return false;
}

/* A member that fits; "" when it is absent. */
static bool take_text(const json_t *object, const char *key, char *out, size_t size)
{
	const char *text = iot_json_str(object, key, "");

	if (strlen(text) >= size)
		return false;
	strcpy(out, text);
	return true;
}

static bool decode(const json_t *state, struct sim_slots *slots)
{
	const json_t *report = json_object_get(state, "report");
	unsigned active, pending = SIM_A, stage;

	if (!json_is_object(state) || iot_json_int(state, "version", 0) != 1 ||
	    !find_name(slot_names, IOT_LENGTH(slot_names), iot_json_str(state, "active", NULL), &active) ||
	    !find_name(stage_names, IOT_LENGTH(stage_names), iot_json_str(state, "stage", NULL), &stage))
		return false;
	if (stage != SIM_STAGE_NONE &&
	    (!find_name(slot_names, IOT_LENGTH(slot_names), iot_json_str(state, "pending", NULL), &pending) ||
	     pending == active || pending == SIM_FACTORY))
		return false;
	slots->active = (enum sim_slot)active;
	slots->pending = (enum sim_slot)pending;
	slots->stage = (enum sim_stage)stage;
	return take_text(state, "jobId", slots->job_id, sizeof(slots->job_id)) &&
	       take_text(state, "fromVersion", slots->from_version, sizeof(slots->from_version)) &&
	       take_text(report, "jobId", slots->report.job_id, sizeof(slots->report.job_id)) &&
	       take_text(report, "status", slots->report.status, sizeof(slots->report.status)) &&
	       take_text(report, "reason", slots->report.reason, sizeof(slots->report.reason)) &&
	       take_text(report, "updatedBy", slots->report.updated_by, sizeof(slots->report.updated_by));
}

static void forget(struct sim_slots *slots)
{
	slots->active = SIM_FACTORY;
	slots->pending = SIM_A;
	slots->stage = SIM_STAGE_NONE;
	slots->job_id[0] = slots->from_version[0] = '\0';
	memset(&slots->report, 0, sizeof(slots->report));
}

enum iot_status sim_slots_load(struct sim_slots *slots, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(slots->dir, "state.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(STATE_MAX);
	IOT_JSON state = NULL;
	enum iot_status status;

	forget(slots);
	status = iot_fs_read(path, &text, err);
	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	/* A damaged state must not keep a board from booting: the factory image is always there. */
	if (iot_json_parse(text.data, text.len, path, &state, NULL) != IOT_OK || !decode(state, slots)) {
		iot_warn("'%s' is damaged: starting from the factory image", path);
		forget(slots);
	}
	return IOT_OK;
}

enum iot_status sim_slots_save(const struct sim_slots *slots, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(slots->dir, "state.json");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON state = json_object();
	enum iot_status status;

	iot_json_set_int(state, "version", 1);
	iot_json_set_str(state, "active", slot_names[slots->active]);
	iot_json_set_str(state, "stage", stage_names[slots->stage]);
	if (slots->stage != SIM_STAGE_NONE) {
		iot_json_set_str(state, "pending", slot_names[slots->pending]);
		iot_json_set_str(state, "jobId", slots->job_id);
		iot_json_set_str(state, "fromVersion", slots->from_version);
	}
	if (slots->report.job_id[0] != '\0') {
		json_t *report = json_object();

		iot_json_set_str(report, "jobId", slots->report.job_id);
		iot_json_set_str(report, "status", slots->report.status);
		iot_json_set_str(report, "reason", slots->report.reason);
		if (slots->report.updated_by[0] != '\0')
			iot_json_set_str(report, "updatedBy", slots->report.updated_by);
		json_object_set_new(state, "report", report);
	}
	text = iot_json_text(state);
	status = iot_fs_write(path, 0644, text, strlen(text), err);
	if (status == IOT_OK && sim_slots_step_hook != NULL)
		sim_slots_step_hook("state");
	return status;
}
