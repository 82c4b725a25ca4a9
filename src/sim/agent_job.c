/*
 * Jobs: taking one, testing a new image, reporting how it ended. The end of a
 * job is on the disk before it is said, and said again until the cloud has taken
 * it. Events told here: idle, job, ready, test, accepted, rejected, failed,
 * reported, unreported (the cloud does not want it any more), refused, gone.
 */
#include "sim/agent_internal.h"

#include "iotctl/base.h"
#include "iotctl/log.h"

#include <stdio.h>
#include <string.h>

enum { REPORT_BEFORE_RESTART_MS = 10000 };

static json_t *update_body(const char *status, const char *key, const char *value, const char *updated_by)
{
	json_t *body = json_object(), *details = json_object();

	iot_json_set_str(body, "status", status);
	iot_json_set_str(details, key, value);
	if (updated_by[0] != '\0')
		iot_json_set_str(details, "updatedBy", updated_by);
	json_object_set_new(body, "statusDetails", details);
	return body;
}

static void publish_update(struct sim_agent *agent, const char *job_id, const json_t *body)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("%sjobs/%s/update", agent->prefix, job_id);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(body);

	agent_publish(agent, topic, text, strlen(text), 0);
	if (agent->options.faults.twice)
		agent_publish(agent, topic, text, strlen(text), 0);
}

static void play_foreign_job(struct sim_agent *agent)
{
	IOT_JSON body = NULL;

	if (!agent->options.faults.foreign_job)
		return;
	body = update_body("SUCCEEDED", "reason", "accepted", "");
	publish_update(agent, "not-my-job", body);
}

void agent_tell(struct sim_agent *agent, const char *key, const char *value, int64_t now)
{
	IOT_JSON body = update_body("IN_PROGRESS", key, value, "");

	(void)now;
	play_foreign_job(agent);
	publish_update(agent, agent->job.job_id, body);
}

static void ask_update(struct sim_agent *agent, const char *job_id, json_t *body, int64_t now)
{
	IOT_CLEAN(iot_free_p) char *tail = iot_strf("%s/update", job_id);

	play_foreign_job(agent);
	agent_ask(agent, tail, body, 1, now);
}

void agent_next(struct sim_agent *agent, int64_t now)
{
	const struct sim_report *report = &agent->options.slots->report;

	if (report->job_id[0] != '\0') {
		agent->state = AGENT_REPORTING;
		ask_update(agent, report->job_id,
			   update_body(report->status, "reason", report->reason, report->updated_by), now);
		return;
	}
	agent->state = AGENT_ASKING;
	agent_ask(agent, "start-next", json_object(), 0, now);
}

static void restart(struct sim_agent *agent)
{
	agent_stop_asking(agent);
	agent_download_stop(agent);
	agent->state = AGENT_ENDING;
	agent->wish = SIM_RESTART;
}

/* The disk does not take what must be remembered: the board can do nothing better than start again from what it has. */
static bool stored(struct sim_agent *agent, enum iot_status status, const struct iot_error *err)
{
	if (status == IOT_OK)
		return true;
	iot_log_error(IOT_LOG_ERROR, "", err);
	restart(agent);
	return false;
}

static void fail_with(struct sim_agent *agent, const char *job_id, const char *reason, const char *updated_by,
		      int64_t now)
{
	struct sim_slots *slots = agent->options.slots;
	bool testing = slots->stage == SIM_STAGE_TESTING;
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_report report = {.status = "FAILED"};

	snprintf(report.job_id, sizeof(report.job_id), "%s", job_id);
	snprintf(report.reason, sizeof(report.reason), "%s", reason);
	snprintf(report.updated_by, sizeof(report.updated_by), "%s", updated_by);
	agent_stop_asking(agent);
	agent_download_stop(agent);
	if (!stored(agent,
		    testing ? sim_slots_reject(slots, &report, &err) : sim_slots_set_report(slots, &report, &err),
		    &err))
		return;
	agent_say(agent, testing ? "rejected" : "failed", "%s", reason);
	if (testing) {
		agent->test_deadline = INT64_MAX;
		agent->restart_after = true;
		agent->report_deadline = now + REPORT_BEFORE_RESTART_MS;
	}
	agent_next(agent, now);
}

void agent_fail(struct sim_agent *agent, enum sim_fault_code code, const char *text, int64_t now)
{
	struct sim_fault fault = {.code = code};
	char reason[129];

	snprintf(fault.text, sizeof(fault.text), "%s", text);
	fail_with(agent, agent->job.job_id, sim_fault_text(&fault, reason), "", now);
}

/* The job of the image under test is over (cancelled, timed out): nobody waits for it any more. */
static void test_is_pointless(struct sim_agent *agent)
{
	struct iot_error err = IOT_ERROR_INIT;

	agent_say(agent, "gone", "the job of the image under test is gone");
	if (stored(agent, sim_slots_reject(agent->options.slots, NULL, &err), &err))
		restart(agent);
}

/* What the image under test must be newer than. */
static uint32_t version_before(const struct sim_agent *agent)
{
	struct iot_sim_firmware before;

	if (agent->job.has_updated_by)
		return agent->job.updated_by;
	memset(&before, 0, sizeof(before));
	if (iot_sim_version_parse(agent->options.slots->from_version, &before, NULL) != IOT_OK)
		return 0;
	return iot_sim_version_number(&before);
}

static void self_test(struct sim_agent *agent, int64_t now)
{
	const struct iot_sim_firmware *firmware = &agent->options.booted->firmware;
	uint32_t mine = iot_sim_version_number(firmware), before = version_before(agent);
	char version[16], old[32], number[16], reason[129];

	iot_sim_version_text(firmware, version);
	snprintf(old, sizeof(old), "v%s", agent->options.slots->from_version);
	agent_say(agent, "test", "%s", version);
	if (mine <= before) {
		snprintf(reason, sizeof(reason), "0x%08x: rejected v%s: it is not newer than %s",
			 mine == before ? SIM_FAULT_SAME : SIM_FAULT_OLDER, version, old);
		fail_with(agent, agent->job.job_id, reason, old, now);
		return;
	}
	if (firmware->behaviour == IOT_SIM_FAIL_TEST) {
		snprintf(reason, sizeof(reason), "rejected v%s: self test failed", version);
		fail_with(agent, agent->job.job_id, reason, old, now);
		return;
	}
	snprintf(number, sizeof(number), "0x%08x", mine);
	agent->state = AGENT_ACTIVATING;
	ask_update(agent, agent->job.job_id, update_body("IN_PROGRESS", "self_test", "active", number), now);
}

static void accept_image(struct sim_agent *agent, int64_t now)
{
	struct sim_slots *slots = agent->options.slots;
	struct sim_report report = {.status = "SUCCEEDED"};
	struct iot_error err = IOT_ERROR_INIT;
	char version[16];

	iot_sim_version_text(&agent->options.booted->firmware, version);
	snprintf(report.job_id, sizeof(report.job_id), "%s", slots->job_id);
	snprintf(report.reason, sizeof(report.reason), "accepted v%s", version);
	snprintf(report.updated_by, sizeof(report.updated_by), "v%s", slots->from_version);
	if (!stored(agent, sim_slots_commit(slots, &report, &err), &err))
		return;
	agent->test_deadline = INT64_MAX;
	agent_say(agent, "accepted", "%s", version);
	agent_next(agent, now);
}

static void stage_trust(struct sim_agent *agent, int64_t now)
{
	const struct sim_port *port = &agent->options.port;
	struct iot_error err = IOT_ERROR_INIT;

	if (port->stage == NULL) {
		agent_fail(agent, SIM_FAULT_DOCUMENT, "this device cannot be given another endpoint or root CA", now);
		return;
	}
	if (stored(agent, port->stage(port->data, &agent->job, &err), &err))
		restart(agent);
}

static void take_job(struct sim_agent *agent, enum sim_job_kind kind, const struct sim_job *job,
		     const struct sim_fault *fault, int64_t now)
{
	const struct sim_slots *slots = agent->options.slots;
	bool has_job = kind == SIM_JOB_OTA || kind == SIM_JOB_BAD || kind == SIM_JOB_TRUST;

	agent->answered = true;
	agent->job = *job;
	if (slots->stage == SIM_STAGE_TESTING) {
		if (has_job && strcmp(job->job_id, slots->job_id) == 0)
			self_test(agent, now);
		else
			test_is_pointless(agent);
		return;
	}
	if (!has_job) {
		agent->state = AGENT_IDLE;
		agent_say(agent, "idle", "no job is pending");
		return;
	}
	agent_say(agent, "job", "%s", job->job_id);
	if (agent->options.faults.stuck)
		agent->state = AGENT_DOWNLOADING;
	else if (kind == SIM_JOB_BAD)
		agent_fail(agent, fault->code, fault->text, now);
	else if (kind == SIM_JOB_TRUST)
		stage_trust(agent, now);
	else if (strcmp(job->self_test, "active") == 0)
		agent_fail(agent, SIM_FAULT_STATE, "the device is not in a self test", now);
	else
		agent_download_start(agent, now);
}

void agent_job_reply(struct sim_agent *agent, bool accepted, const json_t *reply, int64_t now)
{
	struct sim_fault fault = {0};
	struct sim_job job;
	enum sim_job_kind kind;

	if (!accepted) { /* asked again when its time comes */
		agent_say(agent, "refused", "start-next: %s", iot_json_str(reply, "code", "no code"));
		return;
	}
	kind = sim_job_read(reply, &job, &fault);
	agent_stop_asking(agent);
	if (agent->download != NULL) {
		agent->checking = false;
		if (kind == SIM_JOB_OTA && strcmp(job.job_id, agent->job.job_id) == 0)
			return;
		agent_say(agent, "gone", "%s is not ours any more", agent->job.job_id);
		agent_download_stop(agent);
	}
	take_job(agent, kind, &job, &fault, now);
	agent->job.root_ca = NULL; /* the reply's */
}

/* May the same request succeed later? Otherwise the job is over, or was never ours. */
static bool is_passing(const json_t *reply)
{
	const char *code = iot_json_str(reply, "code", "");

	return strcmp(code, "RequestThrottled") == 0 || strcmp(code, "InternalError") == 0;
}

static void check_job(struct sim_agent *agent, int64_t now)
{
	if (agent->checking)
		return;
	agent->checking = true;
	agent_ask(agent, "start-next", json_object(), 0, now);
}

static void reported(struct sim_agent *agent, bool accepted, const json_t *reply, int64_t now)
{
	const struct sim_report *report = &agent->options.slots->report;
	struct iot_error err = IOT_ERROR_INIT;

	if (accepted)
		agent_say(agent, "reported", "%s %s", report->job_id, report->status);
	else
		agent_say(agent, "unreported", "%s: %s", report->job_id, iot_json_str(reply, "code", "no code"));
	if (!stored(agent, sim_slots_set_report(agent->options.slots, NULL, &err), &err))
		return;
	if (agent->restart_after)
		restart(agent);
	else
		agent_next(agent, now);
}

static void readied(struct sim_agent *agent)
{
	struct sim_slots *slots = agent->options.slots;
	struct iot_error err = IOT_ERROR_INIT;
	char version[16];

	iot_sim_version_text(&agent->options.booted->firmware, version);
	if (!stored(agent, sim_slots_pend(slots, agent->job.job_id, version, &err), &err))
		return;
	agent_say(agent, "ready", "slot %s", sim_slot_name(slots->pending));
	restart(agent);
}

void agent_update_reply(struct sim_agent *agent, const char *job_id, bool accepted, const json_t *reply, bool ours,
			int64_t now)
{
	if (!ours) {
		/* The answer to a progress update: only one that says the job is over matters. */
		if (!accepted && agent->download != NULL && strcmp(job_id, agent->job.job_id) == 0 &&
		    !is_passing(reply))
			check_job(agent, now);
		return;
	}
	if (!accepted && is_passing(reply))
		return;
	agent_stop_asking(agent);
	switch (agent->state) {
	case AGENT_REPORTING:
		reported(agent, accepted, reply, now);
		break;
	case AGENT_READYING:
		if (accepted)
			readied(agent);
		else
			agent_next(agent, now);
		break;
	case AGENT_ACTIVATING:
		if (accepted)
			accept_image(agent, now);
		else
			test_is_pointless(agent);
		break;
	default:
		break;
	}
}

void agent_notified(struct sim_agent *agent, const json_t *reply, int64_t now)
{
	const char *job_id = iot_json_str(json_object_get(reply, "execution"), "jobId", "");

	if (agent->state == AGENT_IDLE && job_id[0] != '\0')
		agent_next(agent, now);
	else if (agent->download != NULL && strcmp(job_id, agent->job.job_id) != 0)
		check_job(agent, now);
}

void agent_verified(struct sim_agent *agent, int64_t now)
{
	const struct sim_slots *slots = agent->options.slots;
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, sim_slots_target(slots));
	struct iot_sim_firmware firmware;
	char number[16];

	if (iot_sim_firmware_read(path, &firmware, NULL) != IOT_OK) {
		agent_fail(agent, SIM_FAULT_IMAGE, "signed, but not an image of this board", now);
		return;
	}
	snprintf(number, sizeof(number), "0x%08x", iot_sim_version_number(&agent->options.booted->firmware));
	agent->state = AGENT_READYING;
	ask_update(agent, agent->job.job_id, update_body("IN_PROGRESS", "self_test", "ready", number), now);
}

void agent_test_tick(struct sim_agent *agent, int64_t now)
{
	if (agent->restart_after && now >= agent->report_deadline) {
		restart(agent);
		return;
	}
	if (now < agent->test_deadline)
		return;
	agent->test_deadline = INT64_MAX;
	fail_with(agent, agent->options.slots->job_id, "0x00000011: reverted: the self test took too long", "", now);
	restart(agent); /* the old image reports it */
}
