/*
 * A station at work: one loop over its heads, its scanner and the time. It has
 * no database and no port open itself (workers do), so nothing in it can hang.
 */
#include "fleet/station_private.h"

#include "fleet/fleet_private.h"
#include "fleet/journal.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

enum {
	TICK_MS = 100,
	SHOW_MS = 500,
	PORTS_MS = 200,
	STOP_MS = 2000,
	TYPED_MAX = 256,
	MS_PER_HOUR = 3600000,
	RATE_MS = 60000
};

void station_notice(struct station *station, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	iot_text_printable(text);
	free(station->notice);
	station->notice = iot_strdup(text);
	station->changed = true;
	if (station->options->note != NULL)
		station->options->note(text, station->options->data);
}

size_t station_active(const struct station *station)
{
	size_t count = 0;

	for (size_t i = 0; i < station->head_count; i++)
		count += head_active(&station->heads[i]);
	return count;
}

/* Those that were left alone are not work. */
static int64_t boards_done(const struct station *station)
{
	return station->shift.passed + station->shift.failed;
}

bool station_takes_boards(const struct station *station)
{
	int64_t count = station->options->count;

	return !station->ending && !station->interrupted &&
	       (count == 0 || boards_done(station) + (int64_t)station_active(station) < count);
}

/* --- the screen's view ---------------------------------------------------------------------------- */

static void view_head(const struct head *head, struct iot_station_head_view *ret, int64_t now)
{
	*ret = (struct iot_station_head_view){
		.number = head->number,
		.state = head->state,
		.port = head->port,
		.serial = head->serial != NULL ? head->serial : head->scanned,
		.step = head->step,
		.fault = head->fault,
		.attempt = head->attempt,
		.elapsed_ms = head_active(head) ? now - head->started : head->took,
	};
}

static void show(struct station *station, bool always)
{
	struct iot_station_head_view heads[IOT_STATION_HEADS_MAX];
	int64_t now = iot_monotonic_ms(), run_ms = iot_now_ms() - station->shift.opened_at;
	struct iot_station_view view = {
		.station = station->shift.station,
		.recipe = station->recipe->name,
		.shift = station->shift.id,
		.heads = heads,
		.head_count = station->head_count,
		.passed = station->shift.passed,
		.failed = station->shift.failed,
		.known = station->shift.known,
		.last_fault = station->last_fault,
		.notice = station->notice,
		.ending = station->ending || station->interrupted,
	};

	if (station->options->show == NULL || (!station->changed && !always && now - station->shown_at < SHOW_MS))
		return;
	view.per_hour = -1;
	if (run_ms >= RATE_MS)
		view.per_hour = (double)(station->shift.passed - station->passed_before) * MS_PER_HOUR / (double)run_ms;
	for (size_t i = 0; i < station->head_count; i++)
		view_head(&station->heads[i], &heads[i], now);
	station->options->show(&view, station->options->data);
	station->changed = false;
	station->shown_at = now;
}

/* --- before the first board --------------------------------------------------------------------------- */

static enum iot_status check_named(struct iot_cloud *cloud, const char *operation, const char *member,
				   const char *const *names, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (; status == IOT_OK && names != NULL && *names != NULL; names++)
		status = fleet_call(cloud, operation, json_pack("{s:s}", member, *names), NULL, err);
	return status;
}

static enum iot_status check_recipe(struct iot_cloud *cloud, struct iot_cloud *fleet,
				    const struct iot_station_recipe *recipe, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = NULL;
	enum iot_status status = check_named(cloud, "GetPolicy", "policyName", recipe->policies, err);

	if (status == IOT_OK)
		status = check_named(cloud, "DescribeThingGroup", "thingGroupName", recipe->groups, err);
	if (status == IOT_OK)
		status = iot_codesign_path(fleet != NULL ? fleet : cloud, recipe->codesign, &key, err);
	if (status == IOT_OK && recipe->wifi_password_file != NULL)
		status = iot_fs_check_private(recipe->wifi_password_file, err);
	if (status != IOT_OK)
		iot_error_while(err, "looking for what recipe '%s' names", recipe->name);
	return status;
}

/* What the recipe names must be there: better now than at every board. The cloud is closed again before a worker is
 * made. */
static enum iot_status check_fleet(const struct station *station, struct iot_error *err)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *fleet = NULL;
	const struct iot_station_recipe *recipe = station->recipe;
	enum iot_status status = station->options->open_cloud(station->options->data, &cloud, &fleet, err);

	if (status == IOT_OK)
		status = check_recipe(cloud, fleet, recipe, err);
	for (size_t i = 0; status == IOT_OK && i < recipe->other_count; i++)
		status = check_recipe(cloud, fleet, recipe->others[i].recipe, err);
	return status;
}

/* Serial numbers that boards of earlier shifts have. */
static enum iot_status learn_serials(struct station *station, struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *serial;
	json_t *ignored;
	bool any = true;
	enum iot_status status = journal_open(station->options->journal, &journal, err);

	if (status == IOT_OK)
		status = iot_stmt_get(journal, "SELECT serial_number FROM boards WHERE serial_number IS NOT NULL",
				      &stmt, err);
	while (status == IOT_OK && any) {
		status = iot_stmt_step(stmt, &any, err);
		if (status == IOT_OK && any)
			serials_used(station->serials, iot_stmt_text(stmt, 0));
	}
	json_object_foreach(station->shift.serials, serial, ignored)
		serials_used(station->serials, serial);
	json_object_foreach(station->shift.skipped, serial, ignored)
		serials_used(station->serials, serial);
	return status;
}

static enum iot_status open_serials(struct station *station, struct iot_error *err)
{
	const struct iot_station_options *options = station->options;
	const struct serials_options from = {options->serials, options->range, station->recipe};

	if ((options->serials != NULL) + (options->range != NULL) + options->no_serials > 1)
		return iot_fail(err, IOT_USAGE, "--serials, --range and --no-serials exclude one another");
	if (options->serials == NULL && options->range == NULL)
		return IOT_OK;
	return serials_open(&from, &station->serials, err);
}

static void tell_again(struct station *station)
{
	const char *unit;
	json_t *record;

	json_object_foreach(station->shift.untold, unit, record)
		hooks_add(&station->hooks, record);
}

static enum iot_status begin(struct station *station, struct iot_error *err)
{
	const struct iot_station_options *options = station->options;
	enum iot_status status = open_serials(station, err);

	if (status == IOT_OK)
		status = check_fleet(station, err);
	if (status == IOT_OK)
		status = hooks_check(options->recipe, err);
	if (status == IOT_OK)
		status = shift_open(options->dir, options->name, station->recipe, &station->shift, err);
	if (status == IOT_OK && station->serials != NULL)
		status = learn_serials(station, err);
	if (status != IOT_OK)
		return status;
	station->passed_before = station->shift.passed;
	if (station->shift.resumed)
		station_notice(station, "shift %s goes on%s", station->shift.id,
			       station->shift.recipe_changed ? " with a recipe that was changed" : "");
	if (options->notice != NULL)
		station_notice(station, "%s", options->notice);
	tell_again(station);
	return ports_begin(station, err);
}

/* --- the loop ---------------------------------------------------------------------------------------------- */

static enum iot_status hook_ended(int64_t unit, int code, void *data, struct iot_error *err)
{
	struct station *station = data;

	if (code != 0)
		station_notice(station,
			       code < 0 ? "the hook was not told of board %lld: it did not run or took too long"
					: "the hook failed for board %lld (code %d)",
			       (long long)unit, code);
	return shift_told(&station->shift, unit, code, err);
}

static bool is_over(struct station *station)
{
	bool full = station->options->count > 0 && boards_done(station) >= station->options->count;

	if (full || (station->scan_ended && json_array_size(station->scans) == 0))
		station->ending = true;
	return station->interrupted || (station->ending && station_active(station) == 0 && hooks_idle(&station->hooks));
}

struct polled {
	struct pollfd fds[2 + IOT_STATION_HEADS_MAX + HOOKS_AT_ONCE];
	nfds_t count;
};

static void watch(struct polled *polled, int fd)
{
	polled->fds[polled->count++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static enum iot_status serve_heads(struct station *station, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < station->head_count; i++) {
		status = head_read(station, &station->heads[i], err);
		if (status == IOT_OK)
			status = head_tick(station, &station->heads[i], err);
	}
	return status;
}

static enum iot_status turn(struct station *station, struct iot_error *err)
{
	struct polled polled = {.count = 0};
	enum iot_status status;

	watch(&polled, station->options->interrupt_fd);
	watch(&polled, station->scan_ended ? -1 : station->options->scan_fd);
	for (size_t i = 0; i < station->head_count; i++)
		watch(&polled, station->heads[i].worker.fd);
	for (size_t i = 0; i < HOOKS_AT_ONCE; i++)
		watch(&polled, station->hooks.running[i].process.pidfd);
	poll(polled.fds, polled.count, TICK_MS);
	if (polled.fds[0].revents != 0)
		station->interrupted = true;
	status = serve_heads(station, err);
	if (status == IOT_OK && polled.fds[1].revents != 0)
		status = scan_read(station, err);
	if (status == IOT_OK && iot_monotonic_ms() - station->ports_at >= PORTS_MS) {
		station->ports_at = iot_monotonic_ms();
		status = ports_look(station, err);
	}
	if (status == IOT_OK)
		status = hooks_run(&station->hooks, hook_ended, station, err);
	show(station, false);
	return status;
}

/* Give workers a moment to put their boards down; what they had begun is in journal and record. */
static void stop_workers(struct station *station)
{
	int64_t deadline = iot_deadline(STOP_MS);

	for (size_t i = 0; i < station->head_count; i++)
		worker_ask(&station->heads[i].worker);
	for (size_t i = 0; i < station->head_count; i++) {
		struct worker *worker = &station->heads[i].worker;
		bool ended = false;

		while (worker->fd >= 0 && !ended && iot_left(deadline) > 0) {
			struct pollfd fd = {.fd = worker->fd, .events = POLLIN};

			poll(&fd, 1, iot_left(deadline));
			json_decref(worker_read(worker, &ended));
		}
		worker_end(worker, NULL);
	}
}

static enum iot_status work(struct station *station, struct iot_error *err)
{
	enum iot_status status = begin(station, err);

	while (status == IOT_OK && !is_over(station))
		status = turn(station, err);
	stop_workers(station);
	show(station, true);
	if (status == IOT_OK && !station->interrupted)
		status = shift_close(&station->shift, err);
	return status;
}

/* --- in and out --------------------------------------------------------------------------------------------- */

static void release(struct station *station)
{
	for (size_t i = 0; i < station->head_count; i++)
		head_release(&station->heads[i]);
	hooks_release(&station->hooks);
	serials_free(station->serials);
	shift_release(&station->shift);
	json_decref(station->scans);
	iot_buf_release(&station->typed);
	free(station->last_scan);
	free(station->notice);
	free(station->last_fault);
	free(station);
}

static enum iot_status outcome(const struct station *station, struct iot_error *err)
{
	const struct shift *shift = &station->shift;

	if (station->interrupted) {
		iot_fail(err, IOT_INTERRUPTED, "the shift was left open");
		iot_error_hint(err, "the same command goes on with it; 'iotctl station close --station %s' closes it",
			       station->options->name);
		return IOT_INTERRUPTED;
	}
	if (shift->failed == 0)
		return IOT_OK;
	iot_fail(err, IOT_PARTIAL, "%lld of %lld boards failed", (long long)shift->failed,
		 (long long)boards_done(station));
	iot_error_hint(err, "'iotctl station report --station %s' says why", station->options->name);
	return IOT_PARTIAL;
}

enum iot_status iot_station_run(const struct iot_station_options *options, json_t **ret_record, struct iot_error *err)
{
	struct station *station = iot_alloc(sizeof(*station));
	enum iot_status status;

	station->options = options;
	station->recipe = options->recipe;
	station->shift = (struct shift)SHIFT_INIT;
	station->scans = json_array();
	station->typed = (struct iot_buf)IOT_BUF_INIT(TYPED_MAX);
	hooks_init(&station->hooks, options->recipe);
	status = work(station, err);
	if (status == IOT_OK) {
		status = outcome(station, err);
		*ret_record = shift_summary(&station->shift, !station->interrupted);
	}
	release(station);
	return status;
}
