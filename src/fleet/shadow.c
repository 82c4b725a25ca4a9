/*
 * Shadows of devices: the cloud's payloads as records, and a watch that listens
 * to what the service says about a shadow.
 */
#include "iotctl/shadow.h"

#include "fleet/fleet_private.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/mqtt.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	REPLY_MAX = 1024 * 1024,
	CONNECT_MS = 10000,
	ROUND_MS = 250, /* between looks at whether to end */
};

/* --- one request ------------------------------------------------------------------------------ */

static json_t *names(const char *thing, const char *name)
{
	json_t *request = json_object();

	iot_json_set_str(request, "thingName", thing);
	iot_json_set_str(request, "shadowName", name);
	return request;
}

static enum iot_status exchange(struct iot_cloud *cloud, const char *operation, const char *thing, const char *name,
				const struct iot_body *in, json_t **ret, struct iot_error *err)
{
	struct iot_buf out = IOT_BUF_INIT(REPLY_MAX);
	IOT_JSON request = names(thing, name);
	enum iot_status status = iot_cloud_call(cloud, operation, request, in, NULL, &out, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&out), out.len, "shadow", ret, err);
	iot_buf_release(&out);
	return status;
}

static void say_which(struct iot_error *err, const char *doing, const char *device, const char *name)
{
	if (name != NULL)
		iot_error_while(err, "%s shadow '%s' of '%s'", doing, name, device);
	else
		iot_error_while(err, "%s the shadow of '%s'", doing, device);
}

enum iot_status iot_shadow_get(struct iot_cloud *cloud, const char *device, const char *name, json_t **ret_document,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	if (status != IOT_OK)
		return status;
	status = exchange(cloud, "iotdata:GetThingShadow", thing, name, NULL, ret_document, err);
	if (status != IOT_OK)
		say_which(err, "reading", device, name);
	return status;
}

enum iot_status iot_shadow_update(struct iot_cloud *cloud, const char *device, const char *name, const json_t *request,
				  json_t **ret_accepted, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(request);
	const struct iot_body in = {.data = text, .len = strlen(text), .fd = -1};
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	if (status != IOT_OK)
		return status;
	status = exchange(cloud, "iotdata:UpdateThingShadow", thing, name, &in, ret_accepted, err);
	if (status != IOT_OK)
		say_which(err, "updating", device, name);
	return status;
}

enum iot_status iot_shadow_delete(struct iot_cloud *cloud, const char *device, const char *name, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	if (status != IOT_OK)
		return status;
	status = exchange(cloud, "iotdata:DeleteThingShadow", thing, name, NULL, ret_record, err);
	if (status != IOT_OK)
		say_which(err, "deleting", device, name);
	return status;
}

/* --- all of them ------------------------------------------------------------------------------- */

/* One more record; a shadow that is not there (any more) is left out. */
static enum iot_status add_record(struct iot_cloud *cloud, const char *thing, const char *name, json_t *records,
				  struct iot_error *err)
{
	IOT_JSON document = NULL;
	json_t *record;
	enum iot_status status = exchange(cloud, "iotdata:GetThingShadow", thing, name, NULL, &document, err);

	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	record = names(thing, name);
	iot_json_set_int(record, "version", iot_json_int(document, "version", 0));
	iot_json_set_bool(record, "inSync", json_object_get(json_object_get(document, "state"), "delta") == NULL);
	json_array_append_new(records, record);
	return IOT_OK;
}

static enum iot_status list_names(struct iot_cloud *cloud, const char *thing, json_t **ret, struct iot_error *err)
{
	IOT_JSON request = json_pack("{s:s, s:i}", "thingName", thing, "pageSize", 100);
	IOT_JSON list = json_array();
	const char *token;

	do {
		IOT_JSON reply = NULL;
		enum iot_status status =
			iot_cloud_call(cloud, "iotdata:ListNamedShadowsForThing", request, NULL, &reply, NULL, err);

		if (status != IOT_OK)
			return status;
		json_array_extend(list, json_object_get(reply, "results"));
		token = iot_json_str(reply, "nextToken", NULL);
		iot_json_set_str(request, "nextToken", token);
	} while (token != NULL);
	*ret = iot_take(list);
	return IOT_OK;
}

enum iot_status iot_shadow_list(struct iot_cloud *cloud, const char *device, json_t **ret_records,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON list = NULL;
	IOT_JSON records = json_array();
	struct iot_error scratch = IOT_ERROR_INIT;
	json_t *name;
	size_t i;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = iot_fleet_resolve(cloud, device, &thing, err);
	if (status == IOT_OK)
		status = list_names(cloud, thing, &list, err);
	if (status == IOT_OK)
		status = add_record(cloud, thing, NULL, records, err);
	for (i = 0; status == IOT_OK && i < json_array_size(list); i++) {
		name = json_array_get(list, i);
		status = add_record(cloud, thing, json_string_value(name), records, err);
	}
	if (status == IOT_OK)
		*ret_records = iot_take(records);
	return status;
}

/* --- watching ------------------------------------------------------------------------------------ */

struct watcher {
	const struct iot_shadow_watch *watch;
	const char *thing, *name;
	int64_t seen;
	bool lost;
	enum iot_status lost_status;
	char lost_reason[200];
	enum iot_status status; /* of a change that could not be shown */
	struct iot_error *err;
};

static bool is_full(const struct watcher *watcher)
{
	return watcher->watch->count > 0 && watcher->seen >= watcher->watch->count;
}

static void copy_members(json_t *to, const json_t *from, const char *const *members)
{
	for (; *members != NULL; members++) {
		json_t *value = json_object_get(from, *members);

		if (value != NULL)
			json_object_set(to, *members, value);
	}
}

static json_t *record_of(const struct watcher *watcher, const json_t *message, bool deleted)
{
	static const char *const version[] = {"version", NULL};
	static const char *const time[] = {"timestamp", NULL};
	static const char *const content[] = {"state", "metadata", NULL};
	static const char *const rest[] = {"previous", "clientToken", NULL};
	const json_t *current = deleted ? message : json_object_get(message, "current");
	json_t *record = names(watcher->thing, watcher->name);

	iot_json_set_str(record, "event", deleted ? "delete" : "update");
	copy_members(record, current, version);
	copy_members(record, message, time);
	copy_members(record, current, content);
	copy_members(record, message, rest);
	return record;
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct watcher *watcher = data;
	IOT_JSON value = NULL;
	IOT_JSON record = NULL;

	(void)mqtt;
	if (watcher->status != IOT_OK || is_full(watcher) ||
	    iot_json_parse(message->payload, message->payload_len, message->topic, &value, NULL) != IOT_OK)
		return;
	record = record_of(watcher, value, iot_ends_with(message->topic, "/delete/accepted"));
	watcher->status = watcher->watch->changed(record, watcher->watch->data, watcher->err);
	watcher->seen++;
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct watcher *watcher = data;

	(void)mqtt;
	watcher->lost = true;
	watcher->lost_status = status;
	snprintf(watcher->lost_reason, sizeof(watcher->lost_reason), "%s", reason != NULL ? reason : "");
}

static enum iot_status subscribe(struct iot_mqtt *mqtt, const struct watcher *watcher, const char *what,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *topic = iot_strf("$aws/things/%s/shadow%s%s/%s", watcher->thing, watcher->name != NULL ? "/name/" : "",
			       watcher->name != NULL ? watcher->name : "", what);

	return iot_mqtt_subscribe_wait(mqtt, topic, 1, CONNECT_MS, err);
}

static enum iot_status open_mqtt(const struct iot_messaging_where *where, struct watcher *watcher,
				 struct iot_mqtt **ret, char **ret_who, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.message = on_message, .disconnected = on_disconnected};
	enum iot_status status = iot_messaging_connect(where, &events, watcher, CONNECT_MS, ret, ret_who, err);

	if (status == IOT_OK)
		status = subscribe(*ret, watcher, "update/documents", err);
	if (status == IOT_OK)
		status = subscribe(*ret, watcher, "delete/accepted", err);
	return status;
}

static enum iot_status follow(struct iot_mqtt *mqtt, struct watcher *watcher, struct iot_error *err)
{
	const struct iot_shadow_watch *watch = watcher->watch;
	int64_t deadline = watch->timeout_ms > 0 ? iot_deadline(watch->timeout_ms) : INT64_MAX;

	for (;;) {
		int left = iot_left(deadline);

		if (watcher->status != IOT_OK)
			return watcher->status;
		if (is_full(watcher))
			return IOT_OK;
		if (watch->interrupted != NULL && watch->interrupted(watch->data))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (watcher->lost && watcher->lost_status == IOT_DENIED)
			return iot_fail(err, IOT_DENIED, "the broker ended the connection: %s", watcher->lost_reason);
		if (watcher->lost)
			return iot_fail(err, IOT_AGAIN, "the connection to the broker was lost");
		if (left == 0 && watch->count == 0)
			return IOT_OK;
		if (left == 0)
			return iot_fail(err, IOT_TIMEOUT, "the shadow changed %lld times, not %lld",
					(long long)watcher->seen, (long long)watch->count);
		iot_mqtt_wait(mqtt, left < ROUND_MS ? left : ROUND_MS);
	}
}

enum iot_status iot_shadow_watch(struct iot_cloud *cloud, const struct iot_messaging_where *where, const char *device,
				 const char *name, const struct iot_shadow_watch *watch, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *who = NULL;
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	struct watcher watcher = {.watch = watch, .name = name, .err = err};
	IOT_JSON request = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	if (status != IOT_OK)
		return status;
	watcher.thing = thing;
	request = names(thing, name);
	status = iot_operation_check(iot_operation_find("iotdata:GetThingShadow"), request, err);
	if (status == IOT_OK)
		status = open_mqtt(where, &watcher, &mqtt, &who, err);
	if (status == IOT_OK) {
		if (watch->ready != NULL)
			watch->ready(thing, who, watch->data);
		status = follow(mqtt, &watcher, err);
	}
	if (status != IOT_OK)
		say_which(err, "watching", device, name);
	else
		iot_mqtt_disconnect(mqtt, 1000);
	return status;
}
