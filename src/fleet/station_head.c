/*
 * One head: a board comes, says who it is, gets a serial number, is provisioned,
 * passes or fails. Whatever goes wrong here stops this head only; the one thing
 * that stops the station is a record that cannot be written.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include "fleet/provision_private.h"

#include <fnmatch.h>
#include <string.h>

enum { RETRY_MS = 1000, GRACE_MS = 2000, PROBE_MS = 1000 };

bool head_active(const struct head *head)
{
	return head->state == IOT_HEAD_IDENTIFY || head->state == IOT_HEAD_WORK || head->state == IOT_HEAD_RETRY;
}

static void set_text(char **target, const char *text)
{
	char *copy = iot_strdup(text);

	free(*target);
	*target = copy;
}

static void set_json(json_t **target, json_t *value)
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
	set_text(&head->uid, NULL);
	set_text(&head->serial, NULL);
	set_text(&head->step, NULL);
	set_text(&head->fault, NULL);
	set_json(&head->identity, NULL);
	set_json(&head->failure, NULL);
	set_json(&head->steps, NULL);
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

static void set_failure(struct head *head, const struct iot_error *err)
{
	char line[1200];

	set_json(&head->failure,
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
	set_text(&head->fault, iot_json_str(head->failure, "line", NULL));
	if (strcmp(result, "fail") == 0) {
		free(station->last_fault);
		station->last_fault = iot_strf("head %d: %s", head->number, head->fault != NULL ? head->fault : "");
	}
	station->changed = true;
}

/* The board is done; that is on the disk before anybody is told. */
static enum iot_status finish(struct station *station, struct head *head, const char *result, const json_t *device,
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
		set_failure(head, &label_err);
		set_text(&head->step, "label");
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

static enum iot_status fail_with(struct station *station, struct head *head, const struct iot_error *fault,
				 struct iot_error *err)
{
	set_failure(head, fault);
	return finish(station, head, "fail", NULL, err);
}

/* --- may it begin? ------------------------------------------------------------------------------------- */

static bool matches(const char *pattern, const char *value)
{
	return pattern == NULL || fnmatch(pattern, value, 0) == 0;
}

static enum iot_status check_kind(const struct iot_station_recipe *recipe, const json_t *identity,
				  struct iot_error *err)
{
	const struct {
		const char *name, *pattern;
	} rows[] = {{"vendor", recipe->vendor}, {"model", recipe->model}, {"version", recipe->version}};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		const char *value = iot_json_str(identity, rows[i].name, "");

		if (matches(rows[i].pattern, value))
			continue;
		iot_fail(err, IOT_CONFLICT, "this is not a board for recipe '%s': its %s is '%s', not '%s'",
			 recipe->name, rows[i].name, value, rows[i].pattern);
		iot_error_hint(err, "nothing was changed on it");
		return IOT_CONFLICT;
	}
	return IOT_OK;
}

static bool works_on(const struct head *head, const char *uid)
{
	return head_active(head) && !head->probing && head->uid != NULL && *uid != '\0' && strcmp(head->uid, uid) == 0;
}

static enum iot_status check_alone(const struct station *station, const struct head *head, struct iot_error *err)
{
	for (size_t i = 0; i < station->head_count; i++) {
		const struct head *other = &station->heads[i];

		if (other == head || !works_on(other, head->uid))
			continue;
		iot_fail(err, IOT_CONFLICT, "board '%s' is in head %d already", head->uid, other->number);
		iot_error_hint(err, "two ports lead to the same board: nothing was changed by this one");
		return IOT_CONFLICT;
	}
	return IOT_OK;
}

/* The board of this shift that has the number; NULL: no other one. */
static const char *other_board(const struct station *station, const struct head *head)
{
	const char *other = head->serial != NULL ? iot_json_str(station->shift.serials, head->serial, NULL) : NULL;
	const json_t *before = json_object_get(station->shift.boards, head->uid);
	bool done = strcmp(iot_json_str(before, "result", ""), "pass") == 0;

	/* One that could not say who it is has the name of another, if that name is a board's already. */
	return other != NULL && strcmp(other, head->uid) == 0 && !(head->blank && done) ? NULL : other;
}

/* Has it an identity that is none of the work that was left undone? */
static bool is_known(const struct station *station, const struct head *head, const char *owner)
{
	const json_t *before = json_object_get(station->shift.boards, head->uid);

	if (station->options->replace || head->begun)
		return false;
	if (before != NULL)
		return strcmp(iot_json_str(before, "result", ""), "pass") == 0;
	return strcmp(owner, "done") == 0 || strcmp(owner, "registry") == 0;
}

/* Go on with what was begun for a board that could not say who it is, this one or its like. */
static void adopt(const struct station *station, struct head *head, const json_t *spare)
{
	size_t i;
	json_t *uid;

	json_array_foreach(spare, i, uid) {
		const char *name = json_string_value(uid);
		const json_t *board = json_object_get(station->shift.boards, name);
		bool taken = board == NULL || json_object_get(board, "result") != NULL;

		for (size_t other = 0; other < station->head_count; other++)
			taken = taken || works_on(&station->heads[other], name);
		if (taken)
			continue;
		head->unit = iot_json_int(board, "unit", 0);
		set_text(&head->serial, iot_json_str(board, "serial", NULL));
		return;
	}
}

/* One that no board had here: of the file, the range, or the scanner. */
static void next_number(struct station *station, struct head *head)
{
	IOT_CLEAN(iot_free_p) char *scanned = station->serials == NULL ? scan_take(station, head) : NULL;

	head->fresh = station->serials != NULL;
	set_text(&head->serial, head->fresh ? serials_next(station->serials, head->recipe) : scanned);
}

/* A board keeps the number it was given, unless another one was scanned for it. False: there is none at the moment. */
static bool choose_serial(struct station *station, struct head *head, const char *journal_serial)
{
	const char *before = iot_json_str(json_object_get(station->shift.boards, head->uid), "serial", journal_serial);

	if (station->options->no_serials || head->serial != NULL)
		return true;
	if (station->serials == NULL && head->scanned != NULL) {
		set_text(&head->serial, head->scanned);
		set_text(&head->scanned, NULL);
	} else if (before != NULL) {
		set_text(&head->serial, before);
	} else {
		next_number(station, head);
	}
	return head->serial != NULL;
}

static enum iot_status wait_for_serial(struct station *station, struct head *head)
{
	worker_end(&head->worker, NULL);
	head->state = IOT_HEAD_SCAN;
	head->waits_since = iot_monotonic_ms();
	if (station->serials != NULL || station->scan_ended) {
		head->state = IOT_HEAD_READY;
		station_notice(station, "serial numbers are used up");
		station->ending = true;
	}
	station->changed = true;
	return IOT_OK;
}

static enum iot_status name_of(const struct station *station, const struct head *head, char **ret,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf name = IOT_BUF_INIT(512);
	IOT_JSON values = NULL;
	enum iot_status status;

	*ret = NULL;
	if (head->recipe->alias == NULL)
		return IOT_OK;
	values = json_deep_copy(head->identity);
	iot_json_set_str(values, "serial", head->serial);
	iot_json_set_int(values, "unit", head->unit);
	iot_json_set_int(values, "head", head->number);
	iot_json_set_str(values, "station", station->shift.station);
	status = recipe_fill(head->recipe->alias, values, &name, err);
	if (status == IOT_OK)
		status = iot_cert_check_name(iot_buf_str(&name), err);
	if (status == IOT_OK)
		*ret = iot_buf_detach(&name);
	return status;
}

/* One that cannot say who it is is known by the name that it gets. */
static enum iot_status call_it(struct head *head, const char *alias, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = NULL;

	if (!head->blank || head->begun)
		return IOT_OK;
	name = provision_name_for(head->recipe->description, "", alias, head->serial);
	if (name == NULL) {
		iot_fail(err, IOT_USAGE, "the board has no id that it could be named by");
		iot_error_hint(err, "'device.name' of the recipe, or serial numbers, give such boards a name");
		return IOT_USAGE;
	}
	set_text(&head->uid, name);
	iot_json_set_str(head->identity, "uid", name);
	return IOT_OK;
}

/* The unit goes into the record before the board is touched. One that was left undone has its place there already. */
static enum iot_status begin(struct station *station, struct head *head, const char *alias, struct iot_error *err)
{
	const json_t *before = json_object_get(station->shift.boards, head->uid);
	json_t *record;

	if (head->begun)
		return IOT_OK;
	head->begun = true;
	if (before != NULL && iot_json_str(before, "result", NULL) == NULL) {
		const char *serial = iot_json_str(before, "serial", NULL);

		if ((serial == NULL) == (head->serial == NULL) &&
		    (serial == NULL || strcmp(serial, head->serial) == 0)) {
			head->unit = iot_json_int(before, "unit", 0);
			return IOT_OK;
		}
	}
	record = json_object();
	iot_json_set_int(record, "unit", head->unit);
	iot_json_set_int(record, "head", head->number);
	iot_json_set_str(record, "port", head->port);
	iot_json_set_str(record, "uid", head->uid);
	iot_json_set_str(record, "serial", head->serial);
	iot_json_set_str(record, "name", alias);
	iot_json_set_str(record, "recipe", head->recipe->name);
	if (head->blank)
		iot_json_set_bool(record, "blank", true);
	return shift_begin(&station->shift, record, err);
}

static enum iot_status taken(struct station *station, struct head *head, const char *owner, struct iot_error *err);

/* First the number is offered; once it is nobody else's (`free_number`), the board begins. */
static enum iot_status go(struct station *station, struct head *head, bool free_number, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *alias = NULL;
	struct iot_error fault = IOT_ERROR_INIT, ignored = IOT_ERROR_INIT;
	enum iot_status status;

	if (head->unit == 0)
		head->unit = ++station->shift.units;
	if (name_of(station, head, &alias, &fault) != IOT_OK || call_it(head, alias, &fault) != IOT_OK)
		return fail_with(station, head, &fault, err);
	if (other_board(station, head) != NULL) {
		IOT_CLEAN(iot_free_p) char *owner = iot_strf("board '%s'", other_board(station, head));

		return taken(station, head, owner, err);
	}
	if (head->serial != NULL && !free_number) {
		(void)!worker_offer(&head->worker, head->serial, alias, head->fresh, &ignored);
		return IOT_OK;
	}
	status = begin(station, head, alias, err);
	if (status != IOT_OK)
		return status;
	head->fresh = false;
	head->state = IOT_HEAD_WORK;
	station->changed = true;
	(void)!worker_go(&head->worker, head->serial, alias, &ignored); /* one that is gone is noticed by its silence */
	return IOT_OK;
}

/* Is it another board than the one that was begun here? */
static bool was_exchanged(const struct head *head, const char *uid)
{
	return head->begun && strcmp(uid, head->uid) != 0 && !(head->blank && *uid == '\0');
}

static void take_identity(struct head *head, json_t *identity)
{
	bool still = head->begun && head->blank;

	set_json(&head->identity, json_copy(identity));
	head->blank = *iot_json_str(identity, "uid", "") == '\0';
	if (still && head->blank)
		iot_json_set_str(head->identity, "uid", head->uid);
	else
		set_text(&head->uid, iot_json_str(identity, "uid", ""));
}

static enum iot_status identified(struct station *station, struct head *head, json_t *message, struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	const char *uid = iot_json_str(json_object_get(message, "identity"), "uid", "");

	if (was_exchanged(head, uid)) {
		iot_fail(&fault, IOT_BOARD, "board '%s' was taken out before it was done: now '%s' is there", head->uid,
			 uid);
		return fail_with(station, head, &fault, err);
	}
	take_identity(head, json_object_get(message, "identity"));
	if (check_alone(station, head, &fault) != IOT_OK || check_kind(head->recipe, head->identity, &fault) != IOT_OK)
		return fail_with(station, head, &fault, err);
	if (is_known(station, head, iot_json_str(message, "owner", ""))) {
		iot_fail(&fault, IOT_CONFLICT, "board '%s' has an identity already", uid);
		iot_error_hint(&fault, "it was left alone; --replace does it again");
		set_failure(head, &fault);
		return finish(station, head, "known", NULL, err);
	}
	if (head->blank && !head->begun && head->scanned == NULL && head->serial == NULL)
		adopt(station, head, json_object_get(message, "spare"));
	if (!choose_serial(station, head, iot_json_str(message, "serial", NULL)))
		return wait_for_serial(station, head);
	return go(station, head, false, err);
}

/* --- a number that somebody else has, such as another station that took it meanwhile
 * ------------------------------------------------------------ */

static enum iot_status record_skip(struct station *station, const struct head *head, const char *owner,
				   struct iot_error *err)
{
	json_t *record = json_object();

	iot_json_set_int(record, "head", head->number);
	iot_json_set_str(record, "port", head->port);
	/* One without a name of its own, and not begun, has the name of who has the number. */
	if (!head->blank || head->begun)
		iot_json_set_str(record, "uid", head->uid);
	iot_json_set_str(record, "serial", head->serial);
	iot_json_set_str(record, "owner", owner);
	return shift_skip(&station->shift, record, err);
}

static bool may_be_scanned(const struct station *station)
{
	return station->serials == NULL && !station->scan_ended && station->options->scan_fd >= 0;
}

/* Its work had begun with the number: a worker that begins anew does it, with the next one. */
static enum iot_status begin_anew(struct station *station, struct head *head)
{
	worker_end(&head->worker, NULL);
	set_text(&head->step, NULL);
	head->begun = false;
	head->state = IOT_HEAD_RETRY;
	head->retry_at = iot_monotonic_ms();
	station->changed = true;
	return IOT_OK;
}

static enum iot_status taken(struct station *station, struct head *head, const char *owner, struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	bool begun = head->begun;
	enum iot_status status = record_skip(station, head, owner, err);

	if (status != IOT_OK)
		return status;
	serials_used(station->serials, head->serial);
	if (station->serials == NULL && !may_be_scanned(station) && json_array_size(station->scans) == 0) {
		iot_fail(&fault, IOT_CONFLICT, "serial number '%s' belongs to %s already", head->serial, owner);
		iot_error_hint(&fault, "give it a number of its own");
		return fail_with(station, head, &fault, err);
	}
	station_notice(station,
		       station->serials != NULL
			       ? "serial number '%s' was skipped: %s has it already"
			       : "serial number '%s' is taken, %s has it: scan another one for head %d",
		       head->serial, owner, head->number);
	if (head->blank)
		iot_json_set_str(head->identity, "uid", "");
	next_number(station, head);
	if (head->serial == NULL)
		return wait_for_serial(station, head);
	return begun ? begin_anew(station, head) : go(station, head, false, err);
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

	set_json(&head->failure, json_incref(failure));
	if (head->attempt < head->recipe->attempts && is_transient(iot_json_int(failure, "number", 0)) &&
	    now + RETRY_MS < head->deadline) {
		end_step(head, now);
		worker_end(&head->worker, NULL);
		set_text(&head->step, NULL);
		set_text(&head->fault, iot_json_str(failure, "line", NULL));
		head->state = IOT_HEAD_RETRY;
		head->retry_at = now + RETRY_MS;
		head->attempt++;
		station->changed = true;
		return IOT_OK;
	}
	return finish(station, head, "fail", NULL, err);
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
		return fail_with(station, head, &fault, err);
	}
	iot_fail(&fault, IOT_FAILURE, "the worker ended without a result (code %d)", code);
	set_failure(head, &fault);
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
	return identified(station, head, message, err);
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
		set_text(&head->step, step);
		head->step_at = at;
		station->changed = true;
	}
	if (identity != NULL)
		return identified(station, head, message, err);
	if (json_object_get(message, "free") != NULL)
		return go(station, head, true, err);
	if (json_object_get(message, "taken") != NULL && !head->stopped)
		return taken(station, head, iot_json_str(message, "owner", ""), err);
	if (device != NULL) {
		set_json(&head->failure, NULL);
		return finish(station, head, "pass", device, err);
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
	set_text(&head->scanned, NULL);
	free(head->port);
	head->port = NULL;
}
