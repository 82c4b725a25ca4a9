/*
 * What devices report of themselves, recorded: who is connected, and what each one runs. Presence comes in bursts (a
 * site's power returns), so it is gathered and written in one transaction per round. Nobody says any of it twice: what
 * the registry does not take (it is busy, its disk is full) is kept and tried again.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"

enum {
	RETRY_MS = 1000,
	PRESENCE_MAX = 100000,
	STATES_MAX = 4096, /* things whose state waits */
};

struct reports {
	struct iot_cloud *cloud;
	bool reset;       /* before what `presence` holds, nobody was connected */
	json_t *presence; /* array of events */
	json_t *states;   /* object: thing to the newest state that could not be recorded */
	json_t *events;   /* the same of events that may acknowledge a configuration */
	int64_t retry;    /* monotonic ms: not before */
	bool failing;     /* and said so */
};

struct reports *reports_new(struct iot_cloud *cloud)
{
	struct reports *reports = iot_alloc(sizeof(*reports));

	*reports = (struct reports){
		.cloud = cloud, .presence = json_array(), .states = json_object(), .events = json_object()};
	return reports;
}

void reports_free(struct reports *reports)
{
	if (reports == NULL)
		return;
	json_decref(reports->presence);
	json_decref(reports->states);
	json_decref(reports->events);
	free(reports);
}

/* --- presence ----------------------------------------------------------------------- */

void reports_reset(struct reports *reports)
{
	json_array_clear(reports->presence);
	reports->reset = true;
}

void reports_presence(struct reports *reports, json_t *event)
{
	if (json_array_size(reports->presence) >= PRESENCE_MAX)
		json_decref(event);
	else
		json_array_append_new(reports->presence, event);
}

static enum iot_status write_event(struct reports *reports, const json_t *event, struct iot_error *err)
{
	bool connected = iot_json_bool(event, "connected", false);

	return iot_local_presence(
		reports->cloud, iot_json_str(event, "clientId", ""), connected, iot_json_int(event, "connection", 0),
		iot_json_str(event, "reason", connected ? "CONNECTED" : "UNKNOWN"),
		iot_json_str(event, "address", NULL), iot_json_str(event, "certificateId", NULL), err);
}

static enum iot_status write_presence(struct reports *reports, struct iot_error *err)
{
	struct iot_store *store = iot_local_store(reports->cloud);
	enum iot_status status = iot_store_begin(store, err);
	size_t i;
	json_t *event;

	if (status != IOT_OK)
		return status;
	if (reports->reset)
		status = iot_local_presence_reset(reports->cloud, err);
	json_array_foreach(reports->presence, i, event) {
		if (status == IOT_OK)
			status = write_event(reports, event, err);
	}
	if (status == IOT_OK)
		status = iot_store_commit(store, err);
	if (status != IOT_OK) {
		iot_store_rollback(store);
		return status;
	}
	json_array_clear(reports->presence);
	reports->reset = false;
	return IOT_OK;
}

/* --- states and events ------------------------------------------------------------------ */

/* IOT_AGAIN, IOT_FAILURE: the registry's fault, another attempt is worth it. Other faults are the report's. */
typedef enum iot_status (*write_fn)(struct reports *reports, const char *thing, const json_t *report,
				    struct iot_error *err);

static enum iot_status outcome(enum iot_status status, const char *what, const char *thing, struct iot_error *err)
{
	if (status == IOT_OK || status == IOT_AGAIN || status == IOT_FAILURE)
		return status;
	iot_error_while(err, "recording %s of thing '%s'", what, thing);
	iot_log_error(IOT_LOG_WARNING, "", err);
	return IOT_OK;
}

static enum iot_status write_state(struct reports *reports, const char *thing, const json_t *state,
				   struct iot_error *err)
{
	bool requeued = false;
	enum iot_status status = iot_local_state(reports->cloud, thing, state, &requeued, err);

	if (status == IOT_OK && requeued)
		iot_notice("thing '%s' fell back to another firmware: its update is offered again", thing);
	return outcome(status, "a state report", thing, err);
}

static enum iot_status write_acknowledgement(struct reports *reports, const char *thing, const json_t *event,
					     struct iot_error *err)
{
	return outcome(iot_local_event(reports->cloud, thing, event, err), "an event", thing, err);
}

/* Say once that it does not work, and once that it works again. */
static void note(struct reports *reports, enum iot_status status, const struct iot_error *err)
{
	if (status != IOT_OK)
		reports->retry = iot_deadline(RETRY_MS);
	if (status != IOT_OK && status != IOT_AGAIN && !reports->failing)
		iot_log_error(IOT_LOG_WARNING, "cannot record what devices report, and keeps trying: ", err);
	else if (status == IOT_OK && reports->failing)
		iot_notice("what devices report is recorded again");
	if (status != IOT_AGAIN)
		reports->failing = status != IOT_OK;
}

/* Write it, or keep it in `waiting`. */
static void take(struct reports *reports, write_fn write, json_t *waiting, const char *thing, const json_t *report)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = write(reports, thing, report, &err);

	json_object_del(waiting, thing); /* it is newer */
	if (status == IOT_OK)
		return;
	note(reports, status, &err);
	if (json_object_size(waiting) < STATES_MAX)
		json_object_set(waiting, thing, (json_t *)(uintptr_t)report);
	else
		iot_warn("a report of thing '%s' is lost: too many wait", thing);
}

void reports_state(struct reports *reports, const char *thing, const json_t *state)
{
	take(reports, write_state, reports->states, thing, state);
}

void reports_event(struct reports *reports, const char *thing, const json_t *event)
{
	take(reports, write_acknowledgement, reports->events, thing, event);
}

static enum iot_status write_waiting(struct reports *reports, write_fn write, json_t *waiting, struct iot_error *err)
{
	const char *thing;
	json_t *report;
	void *next;

	json_object_foreach_safe(waiting, next, thing, report) {
		enum iot_status status = write(reports, thing, report, err);

		if (status != IOT_OK)
			return status;
		json_object_del(waiting, thing);
	}
	return IOT_OK;
}

void reports_flush(struct reports *reports, bool last)
{
	bool presence = reports->reset || json_array_size(reports->presence) > 0;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;

	if (!presence && json_object_size(reports->states) == 0 && json_object_size(reports->events) == 0)
		return;
	if (!last && iot_left(reports->retry) > 0)
		return;
	if (presence)
		status = write_presence(reports, &err);
	if (status == IOT_OK)
		status = write_waiting(reports, write_state, reports->states, &err);
	if (status == IOT_OK)
		status = write_waiting(reports, write_acknowledgement, reports->events, &err);
	note(reports, status, &err);
}
