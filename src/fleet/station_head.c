/*
 * One head: a board comes, says who it is, may begin (station_begin.c), is
 * provisioned, passes or fails. Whatever goes wrong here stops this head only;
 * the one thing that stops the station is a record that cannot be written.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <string.h>

enum { RETRY_MS = 1000, GRACE_MS = 2000, PROBE_MS = 1000 };

bool head_active(const struct head *head)
{
	return head->state == IOT_HEAD_IDENTIFY || head->state == IOT_HEAD_WORK || head->state == IOT_HEAD_RETRY;
}

void head_text(char **target, const char *text)
{
	char *copy = iot_strdup(text);

	free(*target);
	*target = copy;
}

void head_json(json_t **target, json_t *value)
{
	json_decref(*target);
	*target = value;
}

/* --- starting and ending a worker --------------------------------------------------------------- */

static enum iot_status start_worker(struct station *station, struct head *head, struct iot_error *err)
{
	const struct worker_job job = {station->options, head->recipe, head->port, station->shift.boards};
	int others[IOT_STATION_HEADS_MAX];

	for (size_t i = 0; i < station->head_count; i++)
		others[i] = station->heads[i].worker.fd;
	head->stopped = false;
	head->kill_at = 0;
	return worker_start(&job, others, station->head_count, &head->worker, err);
}

static void forget(struct head *head)
{
	head->blank = head->fresh = false;
	head_text(&head->uid, NULL);
	head_text(&head->serial, NULL);
	head_text(&head->step, NULL);
	head_text(&head->fault, NULL);
	head_json(&head->identity, NULL);
	head_json(&head->failure, NULL);
	head_json(&head->steps, NULL);
}

enum iot_status head_start(struct station *station, struct head *head, struct iot_error *err)
{
	forget(head);
	head->steps = json_object();
	head->state = IOT_HEAD_IDENTIFY;
	head->begun_with = head->now;
	head->begun = head->probing = head->gone = false;
	head->unit = 0;
	head->attempt = 1;
	head->started = iot_monotonic_ms();
	head->deadline = head->started + head->recipe->timeout_ms;
	station->changed = true;
	return start_worker(station, head, err);
}

static void end_step(struct head *head, int64_t now)
{
	int64_t before;

	if (head->step == NULL)
		return;
	before = iot_json_int(head->steps, head->step, 0);
	iot_json_set_int(head->steps, head->step, before + now - head->step_at);
}

/* --- what became of it ------------------------------------------------------------------------------ */

static json_t *result_record(const struct station *station, const struct head *head, const char *result,
			     const json_t *device)
{
	json_t *record = json_object();
	char ended[32];

	iot_json_set_int(record, "unit", head->unit);
	iot_json_set_str(record, "result", result);
	iot_json_set_int(record, "head", head->number);
	iot_json_set_str(record, "port", head->port);
	iot_json_set_str(record, "station", station->shift.station);
	iot_json_set_str(record, "recipe", head->recipe->name);
	iot_json_set_str(record, "ended", iot_time_rfc3339(iot_now_ms(), ended));
	json_object_update(record, head->identity);
	iot_json_set_str(record, "serial", head->serial);
	iot_json_set_int(record, "attempts", head->attempt);
	iot_json_set_int(record, "ms", iot_monotonic_ms() - head->started);
	json_object_set(record, "steps", head->steps);
	if (device != NULL)
		json_object_set(record, "device", (json_t *)(uintptr_t)device);
	if (head->failure != NULL)
		json_object_set(record, "error", head->failure);
	return record;
}

void head_failure(struct head *head, const struct iot_error *err)
{
	char line[1200];

	head_json(&head->failure,
		  json_pack("{s:i, s:s, s:s, s:s}", "number", (int)err->status, "status", iot_status_name(err->status),
			    "code", err->code, "line", iot_error_line(err, line, sizeof(line))));
}

static enum iot_head_state state_of(const char *result)
{
	return strcmp(result, "pass") == 0    ? IOT_HEAD_PASS
	       : strcmp(result, "known") == 0 ? IOT_HEAD_KNOWN
					      : IOT_HEAD_FAIL;
}

static void show_result(struct station *station, struct head *head, const char *result)
{
	head->state = state_of(result);
	head->took = iot_monotonic_ms() - head->started;
	head->waits_since = iot_monotonic_ms();
	head->probe_at = head->waits_since + PROBE_MS;
	head_text(&head->fault, iot_json_str(head->failure, "line", NULL));
	if (strcmp(result, "fail") == 0) {
		free(station->last_fault);
		station->last_fault = iot_strf("head %d: %s", head->number, head->fault != NULL ? head->fault : "");
	}
	station->changed = true;
}

/* The board is done; that is on the disk before anybody is told. */
enum iot_status head_finish(struct station *station, struct head *head, const char *result, const json_t *device,
			    struct iot_error *err)
{
	struct iot_error label_err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	enum iot_status status;

	end_step(head, iot_monotonic_ms());
	worker_end(&head->worker, NULL);
	if (head->unit == 0)
		head->unit = ++station->shift.units;
	record = result_record(station, head, result, device);
	if (strcmp(result, "pass") == 0 &&
	    label_make(head->recipe, station->options->labels, record, &label_err) != IOT_OK) {
		/* A board without its label must not leave as a good one; it passes when it is put in again. */
		head_failure(head, &label_err);
		head_text(&head->step, "label");
		result = "fail";
		iot_json_set_str(record, "result", result);
		json_object_set(record, "error", head->failure);
	}
	if (head->failure != NULL)
		iot_json_set_str(record, "step", head->step);
	status = shift_result(&station->shift, json_incref(record), station->recipe->hook != NULL, err);
	if (status != IOT_OK)
		return status;
	show_result(station, head, result);
	hooks_add(&station->hooks, record);
	return station->options->done != NULL ? station->options->done(record, station->options->data, err) : IOT_OK;
}

enum iot_status head_fail(struct station *station, struct head *head, const struct iot_error *fault,
			  struct iot_error *err)
{
	head_failure(head, fault);
	return head_finish(station, head, "fail", NULL, err);
}

/* --- what its worker says ---------------------------------------------------------------------------------- */

/* Would another try help? What a person has to decide or repair first does not get better by itself. */
static bool is_transient(int64_t number)
{
	return number == IOT_BOARD || number == IOT_TIMEOUT || number == IOT_AGAIN || number == IOT_VERIFY ||
	       number == IOT_FAILURE;
}

static enum iot_status failed(struct station *station, struct head *head, json_t *failure, struct iot_error *err)
{
	int64_t now = iot_monotonic_ms();

	head_json(&head->failure, json_incref(failure));
	if (head->attempt < head->recipe->attempts && is_transient(iot_json_int(failure, "number", 0)) &&
	    now + RETRY_MS < head->deadline) {
		end_step(head, now);
		worker_end(&head->worker, NULL);
		head_text(&head->step, NULL);
		head_text(&head->fault, iot_json_str(failure, "line", NULL));
		head->state = IOT_HEAD_RETRY;
		head->retry_at = now + RETRY_MS;
		head->attempt++;
		station->changed = true;
		return IOT_OK;
	}
	return head_finish(station, head, "fail", NULL, err);
}

static enum iot_status ended_early(struct station *station, struct head *head, struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	int code = 0;

	worker_end(&head->worker, &code);
	if (head->stopped) {
		iot_fail(&fault, IOT_TIMEOUT, "it took longer than %lld seconds",
			 (long long)head->recipe->timeout_ms / 1000);
		if (head->step != NULL)
			iot_error_while(&fault, "in step '%s'", head->step);
		iot_error_hint(&fault, "'limits.time' of the recipe says how long it may");
		return head_fail(station, head, &fault, err);
	}
	iot_fail(&fault, IOT_FAILURE, "the worker ended without a result (code %d)", code);
	head_failure(head, &fault);
	{
		IOT_JSON failure = json_incref(head->failure);

		return failed(station, head, failure, err);
	}
}

/* Is there another board than the last time? The same one, taken out and put in again, gets another chance if it
 * failed. */
static bool is_another(const struct head *head, const char *uid)
{
	bool other = head->uid == NULL || strcmp(head->uid, uid) != 0;

	return (other && !(head->blank && *uid == '\0')) || (head->gone && head->state == IOT_HEAD_FAIL);
}

static enum iot_status probed(struct station *station, struct head *head, json_t *message, struct iot_error *err)
{
	json_t *identity = json_object_get(message, "identity");
	struct worker worker = head->worker;

	if (json_object_get(message, "step") != NULL || json_object_get(message, "note") != NULL)
		return IOT_OK;
	head->probing = false;
	head->probe_at = iot_monotonic_ms() + PROBE_MS;
	if (identity == NULL || !is_another(head, iot_json_str(identity, "uid", "")) ||
	    !station_takes_boards(station)) {
		head->gone = head->gone || identity == NULL;
		worker_end(&head->worker, NULL);
		return IOT_OK;
	}
	forget(head);
	head->steps = json_object();
	head->state = IOT_HEAD_IDENTIFY;
	head->begun = head->gone = false;
	head->unit = 0;
	head->attempt = 1;
	head->started = iot_monotonic_ms();
	head->deadline = head->started + head->recipe->timeout_ms;
	head->begun_with = head->now;
	head->worker = worker;
	return head_identified(station, head, message, err);
}

static enum iot_status heard(struct station *station, struct head *head, json_t *message, struct iot_error *err)
{
	const char *step = iot_json_str(message, "step", NULL), *note = iot_json_str(message, "note", NULL);
	json_t *identity = json_object_get(message, "identity"), *device = json_object_get(message, "device");
	json_t *failure = json_object_get(message, "error");
	int64_t at = iot_json_int(message, "at", 0);

	if (head->probing)
		return probed(station, head, message, err);
	if (note != NULL)
		station_notice(station, "head %d: %s", head->number, note);
	if (step != NULL) {
		end_step(head, at);
		head_text(&head->step, step);
		head->step_at = at;
		station->changed = true;
	}
	if (identity != NULL)
		return head_identified(station, head, message, err);
	if (json_object_get(message, "free") != NULL)
		return head_go(station, head, true, err);
	if (json_object_get(message, "taken") != NULL && !head->stopped)
		return head_taken(station, head, iot_json_str(message, "owner", ""), err);
	if (device != NULL) {
		head_json(&head->failure, NULL);
		return head_finish(station, head, "pass", device, err);
	}
	if (failure != NULL && !head->stopped)
		return failed(station, head, failure, err);
	return IOT_OK;
}

enum iot_status head_read(struct station *station, struct head *head, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	bool ended = false;

	while (status == IOT_OK && head->worker.fd >= 0 && !ended) {
		IOT_JSON message = worker_read(&head->worker, &ended);

		if (message != NULL)
			status = heard(station, head, message, err);
		else if (!ended)
			return IOT_OK;
	}
	if (status != IOT_OK || !ended || head->worker.fd < 0)
		return status;
	if (head->probing) {
		head->probing = false;
		head->gone = true;
		worker_end(&head->worker, NULL);
		return IOT_OK;
	}
	return ended_early(station, head, err);
}

/* --- what time brings ------------------------------------------------------------------------------------------ */

static bool probes_now(const struct station *station, const struct head *head, int64_t now)
{
	bool rests = head->state == IOT_HEAD_PASS || head->state == IOT_HEAD_FAIL || head->state == IOT_HEAD_KNOWN;

	return station->options->start == IOT_START_SWAP && rests && head->now.present && head->worker.fd < 0 &&
	       now >= head->probe_at && station_takes_boards(station);
}

enum iot_status head_tick(struct station *station, struct head *head, struct iot_error *err)
{
	int64_t now = iot_monotonic_ms();

	if (head->state == IOT_HEAD_RETRY && now >= head->retry_at) {
		head->state = IOT_HEAD_IDENTIFY;
		station->changed = true;
		return start_worker(station, head, err);
	}
	if (probes_now(station, head, now)) {
		head->probing = true;
		head->deadline = now + head->recipe->timeout_ms;
		return start_worker(station, head, err);
	}
	if (head->worker.fd < 0)
		return IOT_OK;
	if (!head->stopped && now >= head->deadline) {
		head->stopped = true;
		head->kill_at = now + GRACE_MS;
		worker_ask(&head->worker);
	}
	if (head->stopped && now >= head->kill_at) {
		if (head->probing) {
			head->probing = false;
			worker_end(&head->worker, NULL);
			return IOT_OK;
		}
		return ended_early(station, head, err);
	}
	return IOT_OK;
}

void head_release(struct head *head)
{
	worker_end(&head->worker, NULL);
	forget(head);
	head_text(&head->scanned, NULL);
	free(head->port);
	head->port = NULL;
}
