/*
 * Configurations at AWS: what the named shadow "config" desires, with its version
 * as a member, which the device reports when it has it, exactly as devices of a
 * local fleet do. Earlier versions, with author and time, are kept beside it in
 * the shadow "config-history": as reported state, of which no device is told.
 * A shadow has 8 KB (AWS IoT Core quotas): the oldest versions make room.
 *
 * Where the layout has configurations on a topic, the message is published too.
 */
#include "fleet/config_private.h"

#include "iotctl/aws.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define SHADOW "config"
#define HISTORY "config-history"
#define MEMBER "configVersion"
#define HISTORY_MAX 7000 /* of the 8 KB of a shadow's state */
#define SHADOW_MAX ((size_t)256 * 1024)

enum { TRIES = 6 };

struct state {
	json_t *document;       /* what is desired, without the version; NULL: no shadow */
	int64_t version;        /* of the configuration; 0: none */
	int64_t shadow_version; /* 0: no shadow */
	int64_t acknowledged;   /* version that the device reports; 0: none */
	int64_t created_s, acknowledged_s;
};

static void state_release(struct state *state)
{
	json_decref(state->document);
}

/* *ret NULL: there is none. */
static enum iot_status read_shadow(struct iot_cloud *cloud, const char *thing, const char *name, json_t **ret,
				   struct iot_error *err)
{
	IOT_JSON request = json_pack("{s:s, s:s}", "thingName", thing, "shadowName", name);
	struct iot_buf out = IOT_BUF_INIT(SHADOW_MAX);
	enum iot_status status = iot_cloud_call(cloud, "iotdata:GetThingShadow", request, NULL, NULL, &out, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&out), out.len, "shadow", ret, err);
	else if (fleet_missing(err)) {
		iot_error_clear(err);
		status = IOT_OK;
	}
	iot_buf_release(&out);
	return status;
}

static enum iot_status write_shadow(struct iot_cloud *cloud, const char *thing, const char *name,
				    const json_t *document, struct iot_error *err)
{
	IOT_JSON request = json_pack("{s:s, s:s}", "thingName", thing, "shadowName", name);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(document);
	const struct iot_body body = {.data = text, .len = strlen(text), .fd = -1};
	struct iot_buf out = IOT_BUF_INIT(SHADOW_MAX);
	enum iot_status status = iot_cloud_call(cloud, "iotdata:UpdateThingShadow", request, &body, NULL, &out, err);

	iot_buf_release(&out);
	return status;
}

/* When a member was changed, seconds. */
static int64_t changed_at(const json_t *shadow, const char *part)
{
	const json_t *member = json_object_get(json_object_get(json_object_get(shadow, "metadata"), part), MEMBER);

	return iot_json_int(member, "timestamp", 0);
}

static enum iot_status read_state(struct iot_cloud *cloud, const char *thing, struct state *ret, struct iot_error *err)
{
	IOT_JSON shadow = NULL;
	const json_t *desired, *reported;
	enum iot_status status = read_shadow(cloud, thing, SHADOW, &shadow, err);

	*ret = (struct state){0};
	if (status != IOT_OK || shadow == NULL)
		return status;
	desired = json_object_get(json_object_get(shadow, "state"), "desired");
	reported = json_object_get(json_object_get(shadow, "state"), "reported");
	ret->shadow_version = iot_json_int(shadow, "version", 0);
	ret->document = json_is_object(desired) ? json_deep_copy(desired) : json_object();
	ret->version = iot_json_int(desired, MEMBER, 0);
	ret->acknowledged = iot_json_int(reported, MEMBER, 0);
	ret->created_s = changed_at(shadow, "desired");
	ret->acknowledged_s = changed_at(shadow, "reported");
	json_object_del(ret->document, MEMBER);
	return IOT_OK;
}

/* --- history ---------------------------------------------------------------------------------- */

static int by_version(const void *a, const void *b)
{
	int64_t one = iot_json_int(*(json_t *const *)a, "version", 0),
		other = iot_json_int(*(json_t *const *)b, "version", 0);

	return one < other ? 1 : one > other ? -1 : 0;
}

/* The versions of the history shadow, newest first. */
static enum iot_status read_history(struct iot_cloud *cloud, const char *thing, json_t **ret, struct iot_error *err)
{
	IOT_JSON shadow = NULL;
	json_t *reported, *record;
	const char *key;
	json_t *found[256];
	size_t count = 0;
	enum iot_status status = read_shadow(cloud, thing, HISTORY, &shadow, err);

	if (status != IOT_OK)
		return status;
	reported = json_object_get(json_object_get(shadow, "state"), "reported");
	json_object_foreach(reported, key, record) {
		if (json_is_object(record) && iot_json_int(record, "version", 0) > 0 && count < IOT_LENGTH(found))
			found[count++] = record;
	}
	qsort(found, count, sizeof(*found), by_version);
	*ret = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append(*ret, found[i]);
	return IOT_OK;
}

/* What is left out of the newest versions for want of room is removed. Its own failure does not undo what is set. */
static void keep_history(struct iot_cloud *cloud, const char *thing, json_t *record, struct iot_error *ignored)
{
	IOT_JSON versions = NULL;
	IOT_JSON reported = json_object();
	IOT_JSON document = json_pack("{s:{s:O}}", "state", "reported", reported);
	IOT_CLEAN(iot_free_p) char *newest = iot_json_text(record);
	size_t size = strlen(newest), i;
	json_t *old;
	char key[24];

	if (read_history(cloud, thing, &versions, ignored) != IOT_OK)
		return;
	json_array_foreach(versions, i, old) {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(old);

		size += strlen(text) + 12;
		snprintf(key, sizeof(key), "v%lld", (long long)iot_json_int(old, "version", 0));
		if (size > HISTORY_MAX)
			json_object_set_new(reported, key, json_null());
	}
	snprintf(key, sizeof(key), "v%lld", (long long)iot_json_int(record, "version", 0));
	if (strlen(newest) <= HISTORY_MAX)
		json_object_set(reported, key, record);
	(void)!write_shadow(cloud, thing, HISTORY, document, ignored);
}

/* The newest is what the shadow desires, whatever the history says; only author and time of it come from there. */
enum iot_status shadow_config_versions(struct iot_cloud *cloud, const char *thing, json_t **ret_array,
				       struct iot_error *err)
{
	IOT_CLEAN(state_release) struct state state = {0};
	IOT_JSON history = NULL;
	json_t *record, *newest;
	size_t i;
	enum iot_status status = read_state(cloud, thing, &state, err);

	if (status == IOT_OK)
		status = read_history(cloud, thing, &history, err);
	if (status != IOT_OK)
		return status;
	*ret_array = json_array();
	if (state.version == 0)
		return IOT_OK;
	newest = json_pack("{s:I, s:O, s:I}", "version", (json_int_t)state.version, "document", state.document,
			   "createdAt", (json_int_t)state.created_s);
	if (state.acknowledged == state.version)
		iot_json_set_int(newest, "acknowledgedAt", state.acknowledged_s);
	json_array_append_new(*ret_array, newest);
	json_array_foreach(history, i, record) {
		if (iot_json_int(record, "version", 0) == state.version)
			iot_json_set_str(newest, "author", iot_json_str(record, "author", NULL));
		else if (iot_json_int(record, "version", 0) < state.version)
			json_array_append(*ret_array, record);
	}
	return IOT_OK;
}

/* --- setting ------------------------------------------------------------------------------------- */

/* What makes `new` of `old` in a shadow: members that are gone are null, objects are joined member by member. */
static json_t *patch(const json_t *old, const json_t *new)
{
	json_t *result = json_object(), *value;
	const char *key;

	json_object_foreach((json_t *)(uintptr_t) new, key, value) {
		json_t *before = json_object_get(old, key);

		if (json_is_object(value) && json_is_object(before))
			json_object_set_new(result, key, patch(before, value));
		else
			json_object_set(result, key, value);
	}
	json_object_foreach((json_t *)(uintptr_t)old, key, value) {
		if (json_object_get(new, key) == NULL)
			json_object_set_new(result, key, json_null());
	}
	return result;
}

/* Written only if nobody has changed the shadow since it was read. */
static enum iot_status desire(struct iot_cloud *cloud, const char *thing, const struct state *state,
			      const json_t *document, int64_t version, struct iot_error *err)
{
	json_t *desired = patch(state->document, document);
	IOT_JSON update = json_pack("{s:{s:o}}", "state", "desired", desired);

	iot_json_set_int(desired, MEMBER, version);
	if (state->shadow_version > 0)
		iot_json_set_int(update, "version", state->shadow_version);
	return write_shadow(cloud, thing, SHADOW, update, err);
}

/* Does the topic retain this text? What cannot be asked is not there: told once more it does no harm. */
static bool is_retained(struct iot_cloud *cloud, const char *topic, const char *text)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf payload = IOT_BUF_INIT(SHADOW_MAX);
	IOT_JSON reply = NULL;
	const char *encoded;

	if (fleet_call(cloud, "iotdata:GetRetainedMessage", json_pack("{s:s}", "topic", topic), &reply, &ignored) !=
	    IOT_OK)
		return false;
	encoded = iot_json_str(reply, "payload", "");
	return iot_unbase64(encoded, strlen(encoded), &payload) && payload.len == strlen(text) &&
	       memcmp(iot_buf_str(&payload), text, payload.len) == 0;
}

static enum iot_status publish_repeated(struct iot_cloud *cloud, const json_t *publish, const struct iot_body *body,
					struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;

	err = err != NULL ? err : &scratch;
	/* A lost answer: devices know the version, so twice is as good as once. */
	for (int i = 0; i < TRIES; i++) {
		iot_error_clear(err);
		status = iot_cloud_call(cloud, "iotdata:Publish", publish, body, NULL, NULL, err);
		if (status == IOT_OK || strcmp(err->code, IOT_AWS_UNCERTAIN) != 0)
			break;
	}
	return status;
}

/*
 * On the device's topic, where the layout has one. A configuration that is there already is told when its topic does
 * not retain it: a call before this one may have come no further than the shadow.
 */
static enum iot_status tell(struct iot_cloud *cloud, const json_t *request, int64_t version, bool changed,
			    struct iot_error *err)
{
	const char *topic = iot_json_str(request, "topic", NULL),
		   *member = iot_json_str(request, "versionMember", NULL);
	bool retain = iot_json_bool(request, "retain", false);
	IOT_JSON message = json_deep_copy(json_object_get(request, "document"));
	IOT_JSON publish = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	struct iot_body body = {.fd = -1};

	if (topic == NULL || (!changed && !retain))
		return IOT_OK;
	if (member != NULL)
		iot_json_set_int(message, member, version);
	text = iot_json_text(message);
	if (!changed && is_retained(cloud, topic, text))
		return IOT_OK;
	body.data = text;
	body.len = strlen(text);
	publish = json_pack("{s:s, s:I, s:b}", "topic", topic, "qos", (json_int_t)iot_json_int(request, "qos", 1),
			    "retain", (int)retain);
	return publish_repeated(cloud, publish, &body, err);
}

static enum iot_status check(const json_t *request, const struct state *state, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", "");
	int64_t expected = iot_json_int(request, "expectedVersion", -1);

	if (json_object_get(json_object_get(request, "document"), MEMBER) != NULL) {
		iot_fail(err, IOT_USAGE, "the configuration of '%s' has a member '" MEMBER "' of its own", thing);
		iot_error_hint(err, "leave it out: the version is put there when the configuration is sent");
		return IOT_USAGE;
	}
	if (expected >= 0 && expected != state->version)
		return iot_cloud_fail(err, "VersionConflictException",
				      "the configuration of '%s' has version %lld, not %lld", thing,
				      (long long)state->version, (long long)expected);
	return IOT_OK;
}

/* *ret_version: what it has now. */
static enum iot_status set_once(struct iot_cloud *cloud, const json_t *request, int64_t *ret_version, bool *ret_changed,
				struct iot_error *err)
{
	IOT_CLEAN(state_release) struct state state = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	json_t *document = json_object_get(request, "document");
	enum iot_status status = read_state(cloud, thing, &state, err);

	/* An attempt before this one may have done it; its answer was lost. */
	if (status == IOT_OK && *ret_version > 0 && state.version == *ret_version &&
	    json_equal(state.document, document)) {
		*ret_changed = true;
		return IOT_OK;
	}
	if (status == IOT_OK)
		status = check(request, &state, err);
	if (status != IOT_OK)
		return status;
	*ret_changed = state.version == 0 || !json_equal(state.document, document);
	*ret_version = state.version + *ret_changed;
	return *ret_changed ? desire(cloud, thing, &state, document, *ret_version, err) : IOT_OK;
}

enum iot_status shadow_config_set(struct iot_cloud *cloud, const json_t *request, json_t **ret_reply,
				  struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", "");
	struct iot_error scratch = IOT_ERROR_INIT, ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	int64_t version = 0;
	bool changed = false;
	enum iot_status status = IOT_OK;

	err = err != NULL ? err : &scratch;
	/* The device reports meanwhile: that changes the shadow, but not its configuration. */
	for (int i = 0; i < TRIES; i++) {
		iot_error_clear(err);
		status = set_once(cloud, request, &version, &changed, err);
		if (status == IOT_OK ||
		    (strcmp(err->code, "ConflictException") != 0 && strcmp(err->code, IOT_AWS_UNCERTAIN) != 0))
			break;
	}
	if (status == IOT_OK)
		status = tell(cloud, request, version, changed, err);
	if (status != IOT_OK)
		return status;
	record = json_pack("{s:I, s:O, s:I}", "version", (json_int_t)version, "document",
			   json_object_get(request, "document"), "createdAt", (json_int_t)(iot_now_ms() / 1000));
	iot_json_set_str(record, "author", iot_json_str(request, "author", NULL));
	if (changed)
		keep_history(cloud, thing, record, &ignored);
	*ret_reply = json_pack("{s:s, s:I, s:b}", "thingName", thing, "version", (json_int_t)version, "changed",
			       (int)changed);
	return IOT_OK;
}

/* --- lists ------------------------------------------------------------------------------------------ */

struct listing {
	struct iot_cloud *cloud;
	bool unconfigured;
	const char *type; /* NULL: any */
	fleet_each_fn each;
	void *data;
};

static enum iot_status list_thing(json_t *thing, void *data, struct iot_error *err)
{
	const struct listing *listing = data;
	IOT_CLEAN(state_release) struct state state = {0};
	const char *name = iot_json_str(thing, "thingName", ""), *type = iot_json_str(thing, "thingTypeName", NULL);
	IOT_JSON record = NULL;
	enum iot_status status;

	if (listing->type != NULL && (type == NULL || strcmp(type, listing->type) != 0))
		return IOT_OK;
	status = read_state(listing->cloud, name, &state, err);
	if (status != IOT_OK || (state.version == 0 && !listing->unconfigured))
		return status;
	record = json_pack("{s:s}", "thingName", name);
	iot_json_set_str(record, "thingTypeName", type);
	if (state.version > 0) {
		iot_json_set_int(record, "version", state.version);
		iot_json_set_int(record, "createdAt", state.created_s);
	}
	if (state.acknowledged > 0) {
		iot_json_set_int(record, "acknowledgedVersion", state.acknowledged);
		iot_json_set_int(record, "acknowledgedAt", state.acknowledged_s);
	}
	return listing->each(record, listing->data, err);
}

static enum iot_status list_named(json_t *name, void *data, struct iot_error *err)
{
	const struct listing *listing = data;
	IOT_JSON thing = NULL;
	enum iot_status status = fleet_call(listing->cloud, "DescribeThing",
					    json_pack("{s:s}", "thingName", json_string_value(name)), &thing, err);

	return status == IOT_OK ? list_thing(thing, data, err) : status;
}

enum iot_status shadow_config_each(struct iot_cloud *cloud, const json_t *request, fleet_each_fn each, void *data,
				   struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", NULL);
	const char *group = iot_json_str(request, "thingGroupName", NULL);
	struct listing listing = {cloud, iot_json_bool(request, "unconfigured", false),
				  iot_json_str(request, "thingTypeName", NULL), each, data};
	json_t *filter = json_object();

	if (thing != NULL) {
		IOT_JSON name = json_string(thing);

		json_decref(filter);
		return list_named(name, &listing, err);
	}
	if (group != NULL) {
		iot_json_set_str(filter, "thingGroupName", group);
		iot_json_set_bool(filter, "recursive", true);
		return fleet_each(cloud, "ListThingsInThingGroup", filter, "things", list_named, &listing, err);
	}
	iot_json_set_str(filter, "thingTypeName", listing.type);
	return fleet_each(cloud, "ListThings", filter, "things", list_thing, &listing, err);
}
