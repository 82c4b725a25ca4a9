/*
 * From a board that says who it is to the word to go: is it the right kind, is it
 * alone, was it here before, and which serial number and name does it get? A
 * number that somebody else has is skipped. Whatever goes wrong here stops this
 * head only, and nothing was changed on the board.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include "fleet/provision_private.h"

#include <fnmatch.h>
#include <string.h>

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
		head_text(&head->serial, iot_json_str(board, "serial", NULL));
		return;
	}
}

/* One that no board had here: of the file, the range, or the scanner. */
static void next_number(struct station *station, struct head *head)
{
	IOT_CLEAN(iot_free_p) char *scanned = station->serials == NULL ? scan_take(station, head) : NULL;

	head->fresh = station->serials != NULL;
	head_text(&head->serial, head->fresh ? serials_next(station->serials, head->recipe) : scanned);
}

/* A board keeps the number it was given, unless another one was scanned for it. False: there is none at the moment. */
static bool choose_serial(struct station *station, struct head *head, const char *journal_serial)
{
	const char *before = iot_json_str(json_object_get(station->shift.boards, head->uid), "serial", journal_serial);

	if (station->options->no_serials || head->serial != NULL)
		return true;
	if (station->serials == NULL && head->scanned != NULL) {
		head_text(&head->serial, head->scanned);
		head_text(&head->scanned, NULL);
	} else if (before != NULL) {
		head_text(&head->serial, before);
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
	head_text(&head->uid, name);
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

/* First the number is offered; once it is nobody else's (`free_number`), the board begins. */
enum iot_status head_go(struct station *station, struct head *head, bool free_number, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *alias = NULL;
	struct iot_error fault = IOT_ERROR_INIT, ignored = IOT_ERROR_INIT;
	enum iot_status status;

	if (head->unit == 0)
		head->unit = ++station->shift.units;
	if (name_of(station, head, &alias, &fault) != IOT_OK || call_it(head, alias, &fault) != IOT_OK)
		return head_fail(station, head, &fault, err);
	if (other_board(station, head) != NULL) {
		IOT_CLEAN(iot_free_p) char *owner = iot_strf("board '%s'", other_board(station, head));

		return head_taken(station, head, owner, err);
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

	head_json(&head->identity, json_copy(identity));
	head->blank = *iot_json_str(identity, "uid", "") == '\0';
	if (still && head->blank)
		iot_json_set_str(head->identity, "uid", head->uid);
	else
		head_text(&head->uid, iot_json_str(identity, "uid", ""));
}

/* Who waits for the last boards of a number has to know that this was none of them. */
static enum iot_status left_alone(struct station *station, struct head *head, struct iot_error *err)
{
	int64_t done = station->shift.passed + station->shift.failed;

	if (station->options->count > 0)
		station_notice(station,
			       "put another board into head %d: that one is done and does not count (%lld of %lld)",
			       head->number, (long long)done, (long long)station->options->count);
	return head_finish(station, head, "known", NULL, err);
}

enum iot_status head_identified(struct station *station, struct head *head, json_t *message, struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	const char *uid = iot_json_str(json_object_get(message, "identity"), "uid", "");

	if (was_exchanged(head, uid)) {
		iot_fail(&fault, IOT_BOARD, "board '%s' was taken out before it was done: now '%s' is there", head->uid,
			 uid);
		return head_fail(station, head, &fault, err);
	}
	take_identity(head, json_object_get(message, "identity"));
	if (check_alone(station, head, &fault) != IOT_OK || check_kind(head->recipe, head->identity, &fault) != IOT_OK)
		return head_fail(station, head, &fault, err);
	if (is_known(station, head, iot_json_str(message, "owner", ""))) {
		iot_fail(&fault, IOT_CONFLICT, "board '%s' has an identity already", uid);
		iot_error_hint(&fault, "it was left alone; --replace does it again");
		head_failure(head, &fault);
		return left_alone(station, head, err);
	}
	if (head->blank && !head->begun && head->scanned == NULL && head->serial == NULL)
		adopt(station, head, json_object_get(message, "spare"));
	if (!choose_serial(station, head, iot_json_str(message, "serial", NULL)))
		return wait_for_serial(station, head);
	return head_go(station, head, false, err);
}

/* --- a number that somebody else has, such as another station that took it meanwhile ------------------ */

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
	head_text(&head->step, NULL);
	head->begun = false;
	head->state = IOT_HEAD_RETRY;
	head->retry_at = iot_monotonic_ms();
	station->changed = true;
	return IOT_OK;
}

enum iot_status head_taken(struct station *station, struct head *head, const char *owner, struct iot_error *err)
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
		return head_fail(station, head, &fault, err);
	}
	if (station->serials != NULL)
		station_notice(station, "number '%s' is skipped: %s has it", head->serial, owner);
	else
		station_notice(station, "number '%s' is taken: scan another one for head %d (%s has it)", head->serial,
			       head->number, owner);
	if (head->blank)
		iot_json_set_str(head->identity, "uid", "");
	next_number(station, head);
	if (head->serial == NULL)
		return wait_for_serial(station, head);
	return begun ? begin_anew(station, head) : head_go(station, head, false, err);
}
