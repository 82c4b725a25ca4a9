/*
 * What devices say of themselves, as their layouts have it: states go to the registry, events by routes to where people
 * want them, and either may acknowledge a configuration. Who says it is what the plugin put on the message; what bears
 * nobody's name is not believed, and so nothing that serve says itself comes back to it.
 */
#include "broker/routes.h"
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

_Static_assert(SAID_FDS_MAX == 2 * ROUTES_MAX, "each route has two descriptors at most");

enum { STATE_MAX = 8192 }; /* of a report that is read */

/* Of any fleet; what layouts say comes on top. */
static const char *const usual[] = {
	"+/+/state",                   /* TYPE/THING/state, or THING/state of a thing without type */
	"+/state", "/devices/+/state", /* Google's manner */
};

struct said {
	const struct iot_serve_talk *ops; /* NULL: there are no layouts */
	struct iot_cloud *cloud;
	struct reports *reports;
	struct iot_mqtt *mqtt; /* NULL: not connected */
	void *talk;            /* NULL: not read */
	struct routes *routes;
	char *version, *log;
	json_t *filters; /* what we have subscribed to: array */
};

/* --- what to listen to ------------------------------------------------------------------------- */

/* Unless one that is there covers it. */
static void add_filter(json_t *filters, const char *filter)
{
	size_t i;
	json_t *other;

	json_array_foreach(filters, i, other) {
		if (iot_topic_covers(json_string_value(other), filter))
			return;
	}
	json_array_append_new(filters, json_string(filter));
}

static json_t *wanted_filters(const struct said *said)
{
	json_t *filters = json_array();

	for (size_t i = 0; i < IOT_LENGTH(usual); i++)
		add_filter(filters, usual[i]);
	for (int states = 1; states >= 0 && said->talk != NULL; states--)
		for (const char *const *at = said->ops->filters(said->talk, states != 0); *at != NULL; at++)
			add_filter(filters, *at);
	return filters;
}

static bool has(const json_t *filters, const json_t *filter)
{
	size_t i;
	json_t *other;

	json_array_foreach(filters, i, other) {
		if (json_equal(other, filter))
			return true;
	}
	return false;
}

/* Subscribe to what is wanted beyond `old`, and take back what is not wanted any more. */
static size_t subscribe(const struct said *said, const json_t *old)
{
	struct iot_error err = IOT_ERROR_INIT;
	size_t asked = 0, i;
	json_t *filter;

	json_array_foreach(said->filters, i, filter) {
		if (has(old, filter))
			continue;
		if (iot_mqtt_subscribe(said->mqtt, json_string_value(filter), 1, NULL, &err) == IOT_OK)
			asked++;
		else
			iot_log_error(IOT_LOG_ERROR, "", &err);
	}
	json_array_foreach(old, i, filter) {
		if (!has(said->filters, filter) &&
		    iot_mqtt_unsubscribe(said->mqtt, json_string_value(filter), &err) != IOT_OK)
			iot_log_error(IOT_LOG_WARNING, "", &err);
	}
	return asked;
}

size_t said_up(struct said *said, struct iot_mqtt *mqtt)
{
	said->mqtt = mqtt;
	routes_use(said->routes, mqtt);
	return subscribe(said, NULL);
}

void said_down(struct said *said)
{
	said->mqtt = NULL;
	routes_use(said->routes, NULL);
}

/* --- layouts and routes ------------------------------------------------------------------------ */

/* The plugin must know the topics before anybody listens to them. */
static enum iot_status load_talk(struct said *said, struct iot_error *err)
{
	IOT_JSON old = NULL;
	void *talk = NULL;
	enum iot_status status;

	if (said->ops == NULL)
		return IOT_OK;
	status = said->ops->load(said->cloud, &talk, err);
	if (status != IOT_OK)
		return status;
	status = iot_local_topics_set(said->cloud, said->ops->topics(talk), err);
	if (status != IOT_OK) {
		said->ops->free(talk);
		return status;
	}
	said->ops->free(said->talk);
	said->talk = talk;
	old = said->filters;
	said->filters = wanted_filters(said);
	if (said->mqtt != NULL)
		(void)subscribe(said, old);
	return IOT_OK;
}

static enum iot_status load_routes(const struct said *said, struct iot_error *err)
{
	IOT_JSON list = NULL;
	enum iot_status status = iot_local_routes(said->cloud, &list, err);

	if (status == IOT_OK)
		routes_set(said->routes, list);
	return status;
}

void said_load(struct said *said)
{
	IOT_CLEAN(iot_free_p) char *version = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_local_talk_version(said->cloud, &version, &err);

	if (status == IOT_OK)
		status = load_talk(said, &err);
	if (status == IOT_OK)
		status = load_routes(said, &err);
	if (status != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "cannot read layouts and routes: ", &err);
		return; /* the old version stands: it is tried again when anything changes */
	}
	free(said->version);
	said->version = iot_take(version);
}

void said_changed(struct said *said)
{
	IOT_CLEAN(iot_free_p) char *version = NULL;

	if (iot_local_talk_version(said->cloud, &version, NULL) != IOT_OK || version == NULL ||
	    (said->version != NULL && strcmp(version, said->version) == 0))
		return;
	said_load(said);
}

/* --- making and ending ------------------------------------------------------------------------- */

struct said *said_new(const struct serve_setup *setup, struct iot_cloud *cloud, struct reports *reports)
{
	struct said *said = iot_alloc(sizeof(*said));

	said->ops = setup->talk;
	said->cloud = cloud;
	said->reports = reports;
	said->log = iot_path(setup->paths.broker_dir, "routes.log");
	said->routes = routes_new(said->log);
	said->filters = wanted_filters(said);
	said_load(said);
	return said;
}

void said_free(struct said *said)
{
	if (said == NULL)
		return;
	routes_free(said->routes);
	if (said->ops != NULL)
		said->ops->free(said->talk);
	json_decref(said->filters);
	free(said->version);
	free(said->log);
	free(said);
}

/* --- messages ---------------------------------------------------------------------------------- */

/* Is it the state topic of the thing that sent it, as any layout has it that is usual? */
static bool is_own_state(const struct broker_request *request)
{
	static const char last[] = "/state";
	size_t len = strlen(request->topic), thing_len;

	if (request->thing == NULL || !iot_ends_with(request->topic, last))
		return false;
	len -= sizeof(last) - 1;
	thing_len = strlen(request->thing);
	return len >= thing_len && memcmp(request->topic + len - thing_len, request->thing, thing_len) == 0 &&
	       (len == thing_len || request->topic[len - thing_len - 1] == '/');
}

/* What is no JSON object is kept as it is. */
static json_t *state_of_bytes(const void *data, size_t len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(2 * STATE_MAX);

	iot_base64(data, len, &text);
	return json_string(iot_buf_str(&text));
}

static void take_state(const struct said *said, const struct broker_request *request)
{
	IOT_JSON state = NULL;

	if (request->len == 0)
		return; /* a retained one is taken back */
	if (request->len > STATE_MAX) {
		iot_warn("a state report of thing '%s' has %zu bytes: at most %d are read", request->thing,
			 request->len, STATE_MAX);
		return;
	}
	if (iot_json_parse(request->payload, request->len, "state report", &state, NULL) != IOT_OK ||
	    !json_is_object(state)) {
		json_decref(state);
		state = state_of_bytes(request->payload, request->len);
	}
	reports_state(said->reports, request->thing, state);
}

/* Only what has the member's name in it is looked at. */
static void take_acknowledgement(const struct said *said, const struct broker_request *request, const char *member)
{
	IOT_JSON event = NULL;

	if (request->len > STATE_MAX || memmem(request->payload, request->len, member, strlen(member)) == NULL ||
	    iot_json_parse(request->payload, request->len, "event", &event, NULL) != IOT_OK)
		return;
	if (json_object_get(event, member) != NULL)
		reports_event(said->reports, request->thing, event);
}

bool said_take(struct said *said, const struct broker_request *request)
{
	struct iot_serve_said what = {0};
	struct route_event event = {
		.thing = request->thing,
		.registry = request->registry,
		.subfolder = what.subfolder,
		.topic = request->topic,
		.payload = request->payload,
		.len = request->len,
	};

	if (request->thing == NULL)
		return false;
	if (said->talk == NULL || !said->ops->match(said->talk, request->topic, request->thing, &what)) {
		if (!is_own_state(request))
			return false;
		take_state(said, request);
		return true;
	}
	if (what.is_state) {
		take_state(said, request);
		return true;
	}
	if (what.version_member != NULL)
		take_acknowledgement(said, request, what.version_member);
	event.layout = what.layout;
	(void)routes_take(said->routes, &event);
	return true;
}

/* --- time -------------------------------------------------------------------------------------- */

static bool note_count(const char *name, int64_t delivered, int64_t dropped, const char *fault, void *data)
{
	const struct said *said = data;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_local_route_count(said->cloud, name, delivered, dropped, fault, &err);

	if (status != IOT_OK && status != IOT_AGAIN)
		iot_log_error(IOT_LOG_INFO, "cannot note what a route did: ", &err);
	return status == IOT_OK;
}

nfds_t said_poll(const struct said *said, struct pollfd *fds)
{
	return routes_poll(said->routes, fds);
}

int64_t said_step(struct said *said)
{
	routes_counts(said->routes, note_count, said);
	return routes_step(said->routes);
}

void said_housekeeping(struct said *said)
{
	serve_log_rotate(said->log, SERVE_LOG_MAX);
}

void said_stop(struct said *said, int timeout_ms)
{
	if (said == NULL)
		return;
	routes_stop(said->routes, timeout_ms);
	routes_counts(said->routes, note_count, said);
}
