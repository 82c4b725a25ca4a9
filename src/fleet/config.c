/*
 * Configurations of devices: where a version is said comes from the layout of
 * the device's type, what it may say from the type's schema, and that nobody else
 * has set one meanwhile from the versions that were read before.
 */
#include "iotctl/configuration.h"

#include "fleet/config_private.h"
#include "iotctl/base.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

/* What the devices of a type have in common. */
struct kind {
	char *type;
	struct iot_layout *layout;
	bool checked; /* the document is as the schema says */
};

struct work {
	struct iot_cloud *cloud;
	json_t *targets; /* {thingName, thingTypeName?, version?} by name */
	json_t *document, *records;
	char *author;
	int64_t if_version;
	struct kind *kinds;
	size_t count;
};

static void work_release(struct work *work)
{
	for (size_t i = 0; i < work->count; i++) {
		free(work->kinds[i].type);
		iot_layout_free(work->kinds[i].layout);
	}
	free(work->kinds);
	free(work->author);
	json_decref(work->targets);
	json_decref(work->document);
	json_decref(work->records);
}

/* "user@host" of whoever runs this; new memory. */
static char *author(void)
{
	const struct passwd *user = getpwuid(geteuid());
	char host[65] = "localhost";

	(void)gethostname(host, sizeof(host) - 1);
	return user != NULL ? iot_strf("%.128s@%s", user->pw_name, host) : iot_strf("%ld@%s", (long)geteuid(), host);
}

/* --- which devices, and what they have ----------------------------------------------------------- */

static enum iot_status add_target(json_t *record, void *data, struct iot_error *err)
{
	const struct work *work = data;

	(void)err;
	json_object_set(work->targets, iot_json_str(record, "thingName", ""), record);
	return IOT_OK;
}

static enum iot_status add_named(struct work *work, const char *device, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(work->cloud, device, &thing, err);

	if (status != IOT_OK)
		return status;
	return fleet_config_each(work->cloud, json_pack("{s:s, s:b}", "thingName", thing, "unconfigured", 1),
				 add_target, work, err);
}

static enum iot_status find_targets(struct work *work, const struct iot_config_set *spec, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	work->targets = json_object();
	for (size_t i = 0; status == IOT_OK && spec->devices != NULL && spec->devices[i] != NULL; i++)
		status = add_named(work, spec->devices[i], err);
	if (status == IOT_OK && spec->group != NULL)
		status = fleet_config_each(work->cloud,
					   json_pack("{s:s, s:b}", "thingGroupName", spec->group, "unconfigured", 1),
					   add_target, work, err);
	if (status == IOT_OK && json_object_size(work->targets) == 0)
		return spec->group != NULL ? iot_fail(err, IOT_NOT_FOUND, "group '%s' has no devices", spec->group)
					   : iot_fail(err, IOT_USAGE, "no device is named");
	return status;
}

/* --- setting ------------------------------------------------------------------------------------------ */

static enum iot_status check_schema(struct iot_cloud *cloud, const char *type, const json_t *document,
				    struct iot_error *err)
{
	struct iot_error fault = IOT_ERROR_INIT;
	IOT_JSON schema = NULL;
	enum iot_status status;

	if (*type == '\0')
		return IOT_OK;
	status = iot_config_schema_get(cloud, type, &schema, &fault);
	if (status == IOT_NOT_FOUND)
		return IOT_OK;
	if (status == IOT_OK)
		status = iot_config_validate(schema, document, &fault);
	if (status == IOT_OK)
		return IOT_OK;
	iot_error_while(&fault, "checking it with the schema of type '%s'", type);
	if (err != NULL)
		*err = fault;
	return status;
}

static enum iot_status kind_of(struct work *work, const char *type, struct kind **ret, struct iot_error *err)
{
	struct iot_layout *layout = NULL;
	enum iot_status status;

	for (size_t i = 0; i < work->count; i++) {
		if (strcmp(work->kinds[i].type, type) == 0) {
			*ret = &work->kinds[i];
			return IOT_OK;
		}
	}
	status = check_schema(work->cloud, type, work->document, err);
	if (status == IOT_OK)
		status = iot_layout_of_type(work->cloud, type, &layout, err);
	if (status != IOT_OK)
		return status;
	work->kinds = iot_realloc(work->kinds, (work->count + 1) * sizeof(*work->kinds));
	work->kinds[work->count] = (struct kind){.type = iot_strdup(type), .layout = layout};
	*ret = &work->kinds[work->count++];
	return IOT_OK;
}

/* How the layout has it said. */
static enum iot_status add_way(const struct kind *kind, const char *thing, json_t *request, struct iot_error *err)
{
	static const char *const names[] = {"shadow", "state", "event", "none"}; /* enum iot_acknowledge */
	const struct iot_layout_role *role = iot_layout_role(kind->layout, IOT_ROLE_CONFIG, kind->type);
	const struct iot_topic_names topic_names = {.thing = thing, .type = *kind->type != '\0' ? kind->type : NULL};
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	enum iot_status status;

	iot_json_set_str(request, "acknowledge", names[role->acknowledge]);
	if (role->acknowledge == IOT_ACK_SHADOW)
		return IOT_OK;
	status = iot_layout_topic(kind->layout, IOT_ROLE_CONFIG, &topic_names, &topic, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(request, "topic", topic);
	iot_json_set_int(request, "qos", role->qos);
	iot_json_set_bool(request, "retain", role->retain);
	iot_json_set_str(request, "versionMember", role->version_member);
	return IOT_OK;
}

static enum iot_status set_one(struct work *work, const char *thing, const json_t *target, struct iot_error *err)
{
	IOT_JSON request =
		json_pack("{s:s, s:O, s:s}", "thingName", thing, "document", work->document, "author", work->author);
	IOT_JSON reply = NULL;
	struct kind *kind = NULL;
	int64_t version = work->if_version >= 0 ? work->if_version : iot_json_int(target, "version", 0);
	enum iot_status status = kind_of(work, iot_json_str(target, "thingTypeName", ""), &kind, err);

	if (status == IOT_OK)
		status = add_way(kind, thing, request, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_int(request, "expectedVersion", version);
	status = fleet_config_set(work->cloud, request, &reply, err);
	if (status == IOT_CONFLICT)
		iot_error_hint(err, work->if_version >= 0
					    ? "'iotctl config history' shows who set it"
					    : "somebody else set it meanwhile: 'iotctl config history' shows who");
	if (status == IOT_OK)
		json_array_append(work->records, reply);
	return status;
}

static enum iot_status set_all(struct work *work, struct iot_error *err)
{
	enum iot_status status = fleet_begin(work->cloud, err);
	const char *thing;
	json_t *target;

	if (status != IOT_OK)
		return status;
	work->author = author();
	work->records = json_array();
	json_object_foreach(work->targets, thing, target) {
		status = set_one(work, thing, target, err);
		if (status != IOT_OK)
			break;
	}
	return fleet_end(work->cloud, status, err);
}

enum iot_status iot_config_set(struct iot_cloud *cloud, const struct iot_config_set *spec, json_t **ret_records,
			       struct iot_error *err)
{
	IOT_CLEAN(work_release) struct work work = {.cloud = cloud, .if_version = spec->if_version};
	enum iot_status status = find_targets(&work, spec, err);

	if (status == IOT_OK)
		status = spec->document(spec->data, &work.document, err);
	if (status == IOT_OK && !json_is_object(work.document))
		status = iot_fail(err, IOT_USAGE, "a configuration is a JSON object");
	if (status == IOT_OK)
		status = set_all(&work, err);
	if (status == IOT_OK)
		*ret_records = iot_take(work.records);
	return status;
}

/* --- reading ------------------------------------------------------------------------------------------ */

enum iot_status iot_config_get(struct iot_cloud *cloud, const char *device, int64_t version, json_t **ret_record,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	return status == IOT_OK ? fleet_config_get(cloud, thing, version, ret_record, err) : status;
}

enum iot_status iot_config_history(struct iot_cloud *cloud, const char *device, json_t **ret_records,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	return status == IOT_OK ? fleet_config_versions(cloud, thing, ret_records, err) : status;
}

struct listing {
	const struct iot_config_filter *filter;
	enum iot_status (*each)(json_t *record, void *data, struct iot_error *err);
	void *data;
};

static enum iot_status list_one(json_t *record, void *data, struct iot_error *err)
{
	const struct listing *listing = data;

	if (listing->filter->pending &&
	    iot_json_int(record, "acknowledgedVersion", 0) == iot_json_int(record, "version", 0))
		return IOT_OK;
	return listing->each(record, listing->data, err);
}

static enum iot_status list_some(struct iot_cloud *cloud, const char *thing, struct listing *listing,
				 struct iot_error *err)
{
	json_t *request = json_object();

	iot_json_set_str(request, "thingName", thing);
	iot_json_set_str(request, "thingGroupName", listing->filter->group);
	iot_json_set_str(request, "thingTypeName", listing->filter->type);
	return fleet_config_each(cloud, request, list_one, listing, err);
}

enum iot_status iot_config_list(struct iot_cloud *cloud, const struct iot_config_filter *filter,
				enum iot_status (*each)(json_t *record, void *data, struct iot_error *err), void *data,
				struct iot_error *err)
{
	struct listing listing = {filter, each, data};
	enum iot_status status = IOT_OK;

	if (filter->devices == NULL)
		return list_some(cloud, NULL, &listing, err);
	for (size_t i = 0; status == IOT_OK && filter->devices[i] != NULL; i++) {
		IOT_CLEAN(iot_free_p) char *thing = NULL;

		status = iot_fleet_resolve(cloud, filter->devices[i], &thing, err);
		if (status == IOT_OK)
			status = list_some(cloud, thing, &listing, err);
	}
	return status;
}

/* --- two versions ---------------------------------------------------------------------------------------- */

/* The version before the newest. */
static enum iot_status version_before(struct iot_cloud *cloud, const char *device, int64_t *ret, struct iot_error *err)
{
	IOT_JSON newest = NULL;
	enum iot_status status = iot_config_get(cloud, device, 0, &newest, err);

	if (status != IOT_OK)
		return status;
	*ret = iot_json_int(newest, "version", 0) - 1;
	return *ret > 0 ? IOT_OK
			: iot_fail(err, IOT_NOT_FOUND, "the configuration of '%s' has no earlier version", device);
}

struct earlier {
	struct iot_cloud *cloud;
	const char *device;
	int64_t version;
};

static enum iot_status earlier_document(void *data, json_t **ret, struct iot_error *err)
{
	const struct earlier *earlier = data;
	IOT_JSON record = NULL;
	enum iot_status status = iot_config_get(earlier->cloud, earlier->device, earlier->version, &record, err);

	if (status == IOT_OK)
		*ret = json_incref(json_object_get(record, "document"));
	return status;
}

enum iot_status iot_config_rollback(struct iot_cloud *cloud, const char *device, int64_t to, json_t **ret_record,
				    struct iot_error *err)
{
	const char *const devices[] = {device, NULL};
	struct earlier earlier = {cloud, device, to};
	const struct iot_config_set spec = {
		.devices = devices, .if_version = -1, .document = earlier_document, .data = &earlier};
	IOT_JSON records = NULL;
	enum iot_status status = IOT_OK;

	if (to == 0)
		status = version_before(cloud, device, &earlier.version, err);
	if (status == IOT_OK)
		status = iot_config_set(cloud, &spec, &records, err);
	if (status == IOT_OK)
		*ret_record = json_incref(json_array_get(records, 0));
	return status;
}

static void add_difference(json_t *records, const char *path, json_t *from, json_t *to)
{
	json_t *record = json_pack("{s:s, s:s}", "path", *path != '\0' ? path : "/", "change",
				   from == NULL ? "added" : (to == NULL ? "removed" : "changed"));

	if (from != NULL)
		json_object_set(record, "from", from);
	if (to != NULL)
		json_object_set(record, "to", to);
	json_array_append_new(records, record);
}

/* Objects are compared member by member, everything else as a whole. */
static void compare(json_t *records, const char *path, json_t *from, json_t *to)
{
	json_t *value;
	const char *name;

	if (from != NULL && to != NULL && json_equal(from, to))
		return;
	if (!json_is_object(from) || !json_is_object(to)) {
		add_difference(records, path, from, to);
		return;
	}
	json_object_foreach(from, name, value) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, name);

		compare(records, place, value, json_object_get(to, name));
	}
	json_object_foreach(to, name, value) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, name);

		if (json_object_get(from, name) == NULL)
			compare(records, place, NULL, value);
	}
}

enum iot_status iot_config_diff(struct iot_cloud *cloud, const char *device, int64_t from, int64_t to,
				json_t **ret_records, struct iot_error *err)
{
	IOT_JSON old = NULL;
	IOT_JSON new = NULL;
	enum iot_status status = IOT_OK;

	if (from == 0)
		status = version_before(cloud, device, &from, err);
	if (status == IOT_OK)
		status = iot_config_get(cloud, device, from, &old, err);
	if (status == IOT_OK)
		status = iot_config_get(cloud, device, to, &new, err);
	if (status != IOT_OK)
		return status;
	*ret_records = json_array();
	compare(*ret_records, "", json_object_get(old, "document"), json_object_get(new, "document"));
	return IOT_OK;
}
