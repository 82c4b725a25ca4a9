/*
 * Updates, the cloud's side: jobs as FreeRTOS agents speak of them, and the
 * download. A job that needs the host's permission waits for it; whatever else
 * arrives is fetched at once. Where a job stands is in the flash before anybody
 * hears of it, and its end is said again until the cloud has taken it.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>

enum {
	REQUEST_MS = 2000,
	REQUEST_MAX_MS = 30000,
	BLOCK_SIZE = 4096,
	WINDOW = 8,
	STALLS_MAX = 32,
	TELL_BLOCKS = 25,
	REPLY_MAX = 128 * 1024
};

char *ota_image_path(const struct module *module)
{
	return iot_path(module->dir, "ota.bin");
}

char *ota_map_path(const struct module *module)
{
	return iot_path(module->dir, "ota.map");
}

/* --- requests ------------------------------------------------------------------ */

static void stop_asking(struct module_ota *ota)
{
	free(ota->topic);
	free(ota->payload);
	ota->topic = ota->payload = NULL;
	ota->tries = 0;
}

static void send_request(struct module *module, int64_t now)
{
	struct module_ota *ota = &module->ota;
	int64_t wait = REQUEST_MS;

	for (int i = 0; i < ota->tries && wait < REQUEST_MAX_MS; i++)
		wait *= 2;
	ota->due = now + (wait < REQUEST_MAX_MS ? wait : REQUEST_MAX_MS);
	ota->tries++;
	link_publish(module, ota->topic, ota->payload, strlen(ota->payload), 1, NULL);
}

/* Takes `body`. */
static void ask(struct module *module, const char *tail, json_t *body)
{
	struct module_ota *ota = &module->ota;
	char uuid[37];

	stop_asking(ota);
	iot_uuid(uuid);
	snprintf(ota->token, sizeof(ota->token), "%u:%.8s", ++ota->tokens, uuid);
	iot_json_set_str(body, "clientToken", ota->token);
	ota->topic = iot_strf("$aws/things/%s/jobs/%s", module->thing, tail);
	ota->payload = iot_json_text(body);
	json_decref(body);
	send_request(module, iot_monotonic_ms());
}

static json_t *update_body(const char *status, const char *key, const char *value)
{
	json_t *body = json_object(), *details = json_object();

	iot_json_set_str(body, "status", status);
	iot_json_set_str(details, key, value);
	json_object_set_new(body, "statusDetails", details);
	return body;
}

static void ask_next(struct module *module)
{
	ask(module, "$next/get", json_object());
}

static void ask_report(struct module *module)
{
	const struct sim_report *report = &module->ota.report;
	IOT_CLEAN(iot_free_p) char *tail = iot_strf("%s/update", report->job_id);

	ask(module, tail, update_body(report->status, "reason", report->reason));
}

/* --- states ---------------------------------------------------------------------- */

void ota_set_state(struct module *module, enum iot_el_ota state)
{
	module->ota.state = state;
	state_save(module);
	module_say(module, "update", "%s %s", iot_el_ota_text(state), module->ota.job.job_id);
	module_raise(module, IOT_EL_OTA, 0, NULL);
}

static void drop_download(struct module_ota *ota)
{
	sim_download_free(ota->download);
	ota->download = NULL;
	free(ota->data_topic);
	ota->data_topic = NULL;
}

/* Nothing of an update is left. */
static void forget_job(struct module *module)
{
	struct module_ota *ota = &module->ota;
	IOT_CLEAN(iot_free_p) char *image = ota_image_path(module);
	IOT_CLEAN(iot_free_p) char *map = ota_map_path(module);

	drop_download(ota);
	memset(&ota->job, 0, sizeof(ota->job));
	free(ota->document);
	ota->document = NULL;
	ota->state = IOT_EL_OTA_IDLE;
	ota->read_at = 0;
	if (iot_fs_remove(map, NULL) != IOT_OK || iot_fs_remove(image, NULL) != IOT_OK)
		iot_warn("cannot remove '%s'", image);
}

void ota_finish(struct module *module, bool good, const char *reason)
{
	struct module_ota *ota = &module->ota;

	if (ota->job.job_id[0] == '\0')
		return;
	memset(&ota->report, 0, sizeof(ota->report));
	strcpy(ota->report.job_id, ota->job.job_id);
	strcpy(ota->report.status, good ? "SUCCEEDED" : "FAILED");
	snprintf(ota->report.reason, sizeof(ota->report.reason), "%s", reason);
	module_say(module, "update over", "%s %s: %s", ota->report.job_id, ota->report.status, reason);
	forget_job(module);
	state_save(module);
	if (module->link == LINK_UP && module->customer)
		ask_report(module);
}

/* The module itself found that it cannot go on. */
static void fail(struct module *module, enum sim_fault_code code, const char *text)
{
	struct sim_fault fault = {.code = code};
	char reason[129];

	snprintf(fault.text, sizeof(fault.text), "%s", text);
	ota_finish(module, false, sim_fault_text(&fault, reason));
	module_raise(module, IOT_EL_OTA, 0, NULL);
}

/* --- download -------------------------------------------------------------------- */

static void ask_blocks(struct module *module)
{
	struct module_ota *ota = &module->ota;
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(IOT_STREAM_REQUEST_MAX);
	IOT_CLEAN(iot_free_p)
	char *topic = iot_strf("$aws/things/%s/streams/%s/get/cbor", module->thing, ota->job.stream);
	struct iot_stream_get get;

	if (!sim_download_next(ota->download, &get))
		return;
	iot_stream_get_encode(&buf, &get);
	link_publish(module, topic, buf.data, buf.len, 0, NULL);
}

static void start_download(struct module *module)
{
	struct module_ota *ota = &module->ota;
	IOT_CLEAN(iot_free_p) char *image = ota_image_path(module);
	IOT_CLEAN(iot_free_p) char *map = ota_map_path(module);
	const struct sim_download_options options = {
		.slot_path = image,
		.map_path = map,
		.file_id = ota->job.file_id,
		.size = ota->job.size,
		.block_size = BLOCK_SIZE,
		.window = WINDOW,
		.identity = ota->job.job_id,
	};
	struct iot_error err = IOT_ERROR_INIT;
	int mid;

	drop_download(ota);
	if (sim_download_new(&options, &ota->download, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "", &err);
		fail(module, SIM_FAULT_STORAGE, err.what);
		return;
	}
	ota->data_topic = iot_strf("$aws/things/%s/streams/%s/data/cbor", module->thing, ota->job.stream);
	ota->stalls = 0;
	ota->blocks_due = iot_monotonic_ms() + REQUEST_MS;
	if (sim_download_complete(ota->download)) {
		drop_download(ota);
		ota_downloaded(module);
		return;
	}
	link_subscribe(module, ota->data_topic, 0, &mid);
	ask_blocks(module);
}

static void tell_progress(struct module *module)
{
	const struct module_ota *ota = &module->ota;
	uint32_t have = sim_download_have(ota->download), blocks = sim_download_blocks(ota->download);
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON body = NULL;
	char progress[32];

	if (have % TELL_BLOCKS != 1)
		return;
	snprintf(progress, sizeof(progress), "%u/%u", have, blocks);
	body = update_body("IN_PROGRESS", "receive", progress);
	topic = iot_strf("$aws/things/%s/jobs/%s/update", module->thing, ota->job.job_id);
	text = iot_json_text(body);
	link_publish(module, topic, text, strlen(text), 0, NULL);
	module_say(module, "download", "%s blocks", progress);
}

static void take_block(struct module *module, const void *payload, size_t len)
{
	struct module_ota *ota = &module->ota;
	struct iot_error err = IOT_ERROR_INIT;
	enum sim_block what = SIM_BLOCK_FOREIGN;
	struct iot_stream_data data;

	if (iot_stream_data_parse(payload, len, &data, NULL) != IOT_OK)
		return;
	if (sim_download_take(ota->download, &data, &what, &err) != IOT_OK) {
		fail(module, SIM_FAULT_STORAGE, err.what);
		return;
	}
	if (what != SIM_BLOCK_NEW)
		return;
	ota->stalls = 0;
	ota->blocks_due = iot_monotonic_ms() + REQUEST_MS;
	tell_progress(module);
	if (!sim_download_complete(ota->download)) {
		ask_blocks(module);
		return;
	}
	if (sim_download_sync(ota->download, &err) != IOT_OK) {
		fail(module, SIM_FAULT_STORAGE, err.what);
		return;
	}
	drop_download(ota);
	ota_downloaded(module);
}

/* --- jobs ------------------------------------------------------------------------- */

/* Begin, or go on after a restart: the cloud is told either way, since it may not have heard the first time. */
static void carry_out(struct module *module)
{
	IOT_CLEAN(iot_free_p) char *tail = iot_strf("%s/update", module->ota.job.job_id);

	ask(module, tail, update_body("IN_PROGRESS", "receive", "0"));
	start_download(module);
}

void ota_accept(struct module *module)
{
	ota_set_state(module, IOT_EL_OTA_PROGRESS);
	if (module->link == LINK_UP)
		carry_out(module); /* else with the next connection */
}

static void new_job(struct module *module, enum sim_job_kind kind, const struct sim_job *job,
		    const struct sim_fault *fault, const json_t *document)
{
	struct module_ota *ota = &module->ota;

	forget_job(module);
	ota->job = *job;
	ota->document = iot_json_text(document);
	if (kind == SIM_JOB_BAD) {
		fail(module, fault->code, fault->text);
		return;
	}
	switch (job->file_type) {
	case IOT_EL_FILE_MODULE:
		ota_set_state(module, IOT_EL_OTA_MODULE);
		if (job->force)
			ota_accept(module);
		break;
	case IOT_EL_FILE_HOST:
		ota_set_state(module, IOT_EL_OTA_HOST);
		if (module->options.auto_accept)
			ota_accept(module);
		break;
	case IOT_EL_FILE_MODULE_CERT:
	case IOT_EL_FILE_ROOT_CA:
	case IOT_EL_FILE_HOST_CERT:
		ota_accept(module);
		break;
	default:
		fail(module, SIM_FAULT_DOCUMENT, "job document: a file type that this module does not know");
	}
}

/* What the cloud says is next. */
static void take_next(struct module *module, const json_t *reply)
{
	struct module_ota *ota = &module->ota;
	struct sim_fault fault = {0};
	struct sim_job job;
	enum sim_job_kind kind = sim_job_read_module(reply, &job, &fault);
	bool waiting =
		ota->state == IOT_EL_OTA_MODULE || ota->state == IOT_EL_OTA_HOST || ota->state == IOT_EL_OTA_PROGRESS;

	if (kind == SIM_JOB_FOREIGN)
		return;
	if (ota->state != IOT_EL_OTA_IDLE && kind != SIM_JOB_NONE && strcmp(job.job_id, ota->job.job_id) == 0) {
		if (ota->state == IOT_EL_OTA_PROGRESS && ota->download == NULL)
			carry_out(module);
		return;
	}
	if (waiting) { /* cancelled */
		module_say(module, "update gone", "%s", ota->job.job_id);
		forget_job(module);
		state_save(module);
		module_raise(module, IOT_EL_OTA, 0, NULL);
	}
	if (kind != SIM_JOB_NONE && ota->state == IOT_EL_OTA_IDLE)
		new_job(module, kind, &job, &fault,
			json_object_get(json_object_get(reply, "execution"), "jobDocument"));
}

static void reported(struct module *module, bool accepted, const json_t *reply)
{
	struct module_ota *ota = &module->ota;
	const char *code = iot_json_str(reply, "code", "");

	if (!accepted && (strcmp(code, "RequestThrottled") == 0 || strcmp(code, "InternalError") == 0))
		return; /* said again when its time comes */
	stop_asking(ota);
	module_say(module, accepted ? "reported" : "not reported", "%s %s", ota->report.job_id,
		   accepted ? ota->report.status : code);
	memset(&ota->report, 0, sizeof(ota->report));
	state_save(module);
	if (!accepted)
		module_raise(module, IOT_EL_OTA, 0, code);
	ask_next(module);
}

/* The answer to the request under way. */
static void take_answer(struct module *module, const char *tail, const json_t *reply)
{
	struct module_ota *ota = &module->ota;
	bool accepted = iot_ends_with(tail, "/accepted");

	if (ota->topic == NULL || strcmp(ota->token, iot_json_str(reply, "clientToken", "")) != 0)
		return;
	if (ota->report.job_id[0] != '\0') {
		reported(module, accepted, reply);
		return;
	}
	if (iot_starts_with(tail, "$next/get/")) {
		if (accepted) {
			stop_asking(ota);
			take_next(module, reply);
		}
		return;
	}
	stop_asking(ota); /* an update to IN_PROGRESS */
	if (!accepted)
		ask_next(module);
}

bool ota_arrived(struct module *module, const char *topic, const void *payload, size_t len)
{
	IOT_CLEAN(iot_free_p) char *prefix = iot_strf("$aws/things/%s/jobs/", module->thing);
	const char *tail;
	IOT_JSON reply = NULL;

	if (module->ota.data_topic != NULL && strcmp(topic, module->ota.data_topic) == 0) {
		take_block(module, payload, len);
		return true;
	}
	if (!iot_starts_with(topic, prefix))
		return false;
	tail = topic + strlen(prefix);
	if (len > REPLY_MAX || iot_json_parse(payload, len, tail, &reply, NULL) != IOT_OK || !json_is_object(reply))
		return true;
	if (strcmp(tail, "notify-next") != 0)
		take_answer(module, tail, reply);
	else if (module->ota.report.job_id[0] == '\0')
		take_next(module, reply);
	return true;
}

void ota_online(struct module *module)
{
	if (module->ota.report.job_id[0] != '\0')
		ask_report(module);
	else
		ask_next(module);
}

void ota_offline(struct module *module)
{
	stop_asking(&module->ota);
	drop_download(&module->ota); /* the map on the disk says what is there */
}

/* --- for the loop ------------------------------------------------------------------ */

void ota_tick(struct module *module, int64_t now)
{
	struct module_ota *ota = &module->ota;

	if (module->link == LINK_UP && ota->state == IOT_EL_OTA_READY && ota->job.force) {
		ota_apply(module);
		return;
	}
	if (ota->topic != NULL && now >= ota->due)
		send_request(module, now);
	if (ota->download == NULL || now < ota->blocks_due)
		return;
	if (++ota->stalls > STALLS_MAX) {
		fail(module, SIM_FAULT_NO_DATA, "requests for blocks are not answered");
		return;
	}
	sim_download_lost(ota->download);
	ota->blocks_due = now + REQUEST_MS;
	ask_blocks(module);
}

int64_t ota_deadline(const struct module *module)
{
	const struct module_ota *ota = &module->ota;
	int64_t next = ota->topic != NULL ? ota->due : INT64_MAX;

	if (ota->state == IOT_EL_OTA_READY && ota->job.force && module->link == LINK_UP)
		return 1;
	return ota->download != NULL && ota->blocks_due < next ? ota->blocks_due : next;
}

void ota_restart(struct module *module)
{
	module->ota.read_at = 0;
	if (module->ota.state != IOT_EL_OTA_IDLE)
		module_raise(module, IOT_EL_OTA, 0, NULL);
}

void ota_release(struct module *module)
{
	stop_asking(&module->ota);
	drop_download(&module->ota);
	free(module->ota.document);
	module->ota.document = NULL;
}
