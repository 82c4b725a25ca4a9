/*
 * Where layouts come from: the shipped ones are compiled in, the fleet's own are
 * files in its directory; which thing type uses which is in the registry's meta
 * table ("layout/TYPE", and "layout" for all others), at AWS in a tag of the type.
 */
#include "fleet/fleet_private.h"
#include "fleet/layout_private.h"

#include "iotctl/aws.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <string.h>

#define META "layout"
#define TAG "iotctl:layout"

static int shipped_index(const char *name)
{
	for (int i = 0; iot_layouts_shipped[i] != NULL; i++)
		if (strcmp(iot_layouts_shipped[i], name) == 0)
			return i;
	return -1;
}

static bool is_local(struct iot_cloud *cloud)
{
	return cloud != NULL && strcmp(iot_cloud_kind(cloud), "local") == 0;
}

static bool is_aws(struct iot_cloud *cloud)
{
	return cloud != NULL && !is_local(cloud) && !fleet_is_remote(cloud);
}

/* The fleet's folder of layouts; NULL if it can have none. New memory. */
static char *own_folder(struct iot_cloud *cloud)
{
	const char *dir = is_local(cloud) ? iot_local_paths(cloud)->dir
			  : is_aws(cloud) ? iot_aws_fleet_dir(cloud)
					  : NULL;

	return dir != NULL ? iot_path(dir, "layouts") : NULL;
}

static char *own_file(const char *folder, const char *name)
{
	IOT_CLEAN(iot_free_p) char *base = iot_strf("%s.json", name);

	return iot_path(folder, base);
}

enum iot_status iot_layout_load_file(const char *path, struct iot_layout **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	return status == IOT_OK ? iot_layout_parse(iot_buf_str(&text), text.len, path, ret, err) : status;
}

static enum iot_status load_own(const char *folder, const char *name, struct iot_layout **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = own_file(folder, name);
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	enum iot_status status = iot_layout_load_file(path, &layout, err);

	if (status != IOT_OK)
		return status;
	if (strcmp(iot_layout_name(layout), name) != 0)
		return iot_fail(err, IOT_USAGE, "layout '%s' calls itself '%s': its file must have its name", path,
				iot_layout_name(layout));
	*ret = iot_take(layout);
	return IOT_OK;
}

/* The fleet's own layout, from a fleet that is elsewhere. */
static enum iot_status load_remote(struct iot_cloud *cloud, const char *name, struct iot_layout **ret,
				   struct iot_error *err)
{
	IOT_JSON reply = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	enum iot_status status =
		fleet_call(cloud, "iotctl:GetLayout", json_pack("{s:s}", "layoutName", name), &reply, err);

	if (status != IOT_OK)
		return status;
	text = iot_json_text(json_object_get(reply, "layout"));
	return iot_layout_parse(text, strlen(text), name, ret, err);
}

static enum iot_status not_found(struct iot_cloud *cloud, const char *name, struct iot_error *err)
{
	iot_fail(err, IOT_NOT_FOUND, "there is no layout '%.128s'", name);
	if (is_local(cloud))
		iot_error_hint(err, "'iotctl layout list' shows what there is, 'iotctl layout add FILE' brings one");
	else if (is_aws(cloud))
		iot_error_hint(err,
			       "aws, gcp and buses are shipped; others come from the fleet directory of this machine: "
			       "'iotctl --cloud local layout add FILE'");
	else
		iot_error_hint(err, "aws, gcp and buses are shipped");
	return IOT_NOT_FOUND;
}

enum iot_status iot_layout_load(struct iot_cloud *cloud, const char *name, struct iot_layout **ret,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = own_folder(cloud);
	IOT_CLEAN(iot_free_p) char *path = NULL;
	int shipped = shipped_index(name);

	if (shipped >= 0)
		return iot_layout_parse(layout_shipped_texts[shipped], strlen(layout_shipped_texts[shipped]), name, ret,
					err);
	if (fleet_is_remote(cloud) && layout_name_valid(name))
		return load_remote(cloud, name, ret, err);
	if (folder == NULL || !layout_name_valid(name))
		return not_found(cloud, name, err);
	path = own_file(folder, name);
	return iot_fs_exists(path) ? load_own(folder, name, ret, err) : not_found(cloud, name, err);
}

/* --- list ---------------------------------------------------------------------------- */

struct listing {
	struct iot_cloud *cloud;
	json_t *records;
	char *fallback; /* name of the layout of types without one */
	json_t *types;  /* thing type -> layout */
};

/* What a fleet that is elsewhere says of itself: the layout of a type, or (type NULL) of all others; NULL: nothing. */
static enum iot_status remote_layout(struct iot_cloud *cloud, const char *type, char **ret, struct iot_error *err)
{
	IOT_JSON fleet = NULL;
	enum iot_status status = fleet_call(cloud, "iotctl:DescribeFleet", NULL, &fleet, err);

	if (status == IOT_OK)
		*ret = iot_strdup(type != NULL ? iot_json_str(json_object_get(fleet, "typeLayouts"), type, NULL)
					       : iot_json_str(fleet, "defaultLayout", NULL));
	return status;
}

static enum iot_status tagged_layout(struct iot_cloud *cloud, const char *type, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(cloud, "thingtype", type);
	IOT_JSON tags = NULL;
	json_t *tag;
	size_t i;
	enum iot_status status =
		fleet_collect(cloud, "ListTagsForResource", json_pack("{s:s}", "resourceArn", arn), "tags", &tags, err);

	if (status != IOT_OK && fleet_missing(err)) { /* no such type, so no tag */
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		iot_error_while(err, "asking for the layout of thing type '%.128s', its tag '" TAG "'", type);
	json_array_foreach(tags, i, tag) {
		if (strcmp(iot_json_str(tag, "Key", ""), TAG) == 0 && *ret == NULL)
			*ret = iot_strdup(iot_json_str(tag, "Value", NULL));
	}
	return status;
}

static enum iot_status type_layout(struct iot_cloud *cloud, const char *type, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = iot_strf(META "/%s", type);

	*ret = NULL;
	if (fleet_is_remote(cloud))
		return remote_layout(cloud, type, ret, err);
	if (is_aws(cloud))
		return tagged_layout(cloud, type, ret, err);
	return is_local(cloud) ? iot_local_meta_get(cloud, key, ret, err) : IOT_OK;
}

static enum iot_status fallback_layout(struct iot_cloud *cloud, char **ret, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	*ret = NULL;
	if (is_local(cloud))
		status = iot_local_meta_get(cloud, META, ret, err);
	else if (fleet_is_remote(cloud))
		status = remote_layout(cloud, NULL, ret, err);
	if (status == IOT_OK && *ret == NULL)
		*ret = iot_strdup(IOT_LAYOUT_DEFAULT);
	return status;
}

static enum iot_status note_type(json_t *type, void *data, struct iot_error *err)
{
	struct listing *listing = data;
	const char *name = iot_json_str(type, "thingTypeName", "");
	IOT_CLEAN(iot_free_p) char *layout = NULL;
	enum iot_status status = type_layout(listing->cloud, name, &layout, err);

	if (status == IOT_OK && layout != NULL)
		iot_json_set_str(listing->types, name, layout);
	return status;
}

static json_t *users_of(const struct listing *listing, const char *layout)
{
	json_t *users = json_array(), *value;
	const char *type;

	json_object_foreach(listing->types, type, value)
		if (strcmp(json_string_value(value), layout) == 0)
			json_array_append_new(users, json_string(type));
	return users;
}

static void add_record(const struct listing *listing, const char *name, const char *origin)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	struct iot_error fault = IOT_ERROR_INIT;
	json_t *record = json_pack("{s:s}", "name", name);

	if (iot_layout_load(listing->cloud, name, &layout, &fault) == IOT_OK)
		iot_json_set_str(record, "description", iot_layout_description(layout));
	iot_json_set_str(record, "origin", origin);
	iot_json_set_bool(record, "default", strcmp(name, listing->fallback) == 0);
	json_object_set_new(record, "types", users_of(listing, name));
	if (layout == NULL)
		iot_json_set_str(record, "fault", fault.what);
	json_array_append_new(listing->records, record);
}

static int is_layout_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && entry->d_name[0] != '.' && iot_ends_with(entry->d_name, ".json");
}

static void add_own(const struct listing *listing)
{
	IOT_CLEAN(iot_free_p) char *folder = own_folder(listing->cloud);
	struct dirent **entries = NULL;
	int count = folder != NULL ? scandir(folder, &entries, is_layout_file, alphasort) : 0;

	for (int i = 0; i < count; i++) {
		IOT_CLEAN(iot_free_p) char *name = iot_strndup(entries[i]->d_name, strlen(entries[i]->d_name) - 5);

		if (shipped_index(name) < 0 && iot_utf8_valid(name, strlen(name)))
			add_record(listing, name, "fleet");
		free(entries[i]);
	}
	free(entries);
}

static enum iot_status add_remote(const struct listing *listing, struct iot_error *err)
{
	IOT_JSON fleet = NULL;
	json_t *name;
	size_t i;
	enum iot_status status = fleet_call(listing->cloud, "iotctl:DescribeFleet", NULL, &fleet, err);

	json_array_foreach(json_object_get(fleet, "ownLayouts"), i, name) {
		if (json_is_string(name) && shipped_index(json_string_value(name)) < 0)
			add_record(listing, json_string_value(name), "fleet");
	}
	return status;
}

enum iot_status iot_layout_list(struct iot_cloud *cloud, json_t **ret, struct iot_error *err)
{
	IOT_JSON records = json_array();
	IOT_JSON types = json_object();
	IOT_CLEAN(iot_free_p) char *fallback = NULL;
	struct listing listing = {cloud, records, NULL, types};
	enum iot_status status = fallback_layout(cloud, &fallback, err);

	listing.fallback = fallback;
	if (status == IOT_OK)
		status = fleet_each(cloud, "ListThingTypes", NULL, "thingTypes", note_type, &listing, err);
	if (status != IOT_OK)
		return status;
	for (int i = 0; iot_layouts_shipped[i] != NULL; i++)
		add_record(&listing, iot_layouts_shipped[i], "shipped");
	add_own(&listing);
	if (fleet_is_remote(cloud))
		status = add_remote(&listing, err);
	if (status == IOT_OK)
		*ret = iot_take(records);
	return status;
}

/* --- changes ------------------------------------------------------------------------- */

/* IOT_CONFLICT when the name is taken by something else; *ret_same when this is there already. */
static enum iot_status check_free(const struct iot_layout *layout, const char *to, bool update, bool *ret_same,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *old = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	const char *name = iot_layout_name(layout);

	*ret_same = false;
	if (shipped_index(name) >= 0)
		return iot_fail(err, IOT_CONFLICT, "'%s' is the name of a shipped layout: give yours another one",
				name);
	if (!iot_fs_exists(to))
		return IOT_OK;
	*ret_same = iot_layout_load_file(to, &old, &ignored) == IOT_OK && json_equal(old->json, layout->json);
	if (*ret_same || update)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "there is another layout '%s' already", name);
	iot_error_hint(err, "replace it with --update");
	return IOT_CONFLICT;
}

enum iot_status iot_layout_add(struct iot_cloud *cloud, const char *path, bool update, json_t **ret_record,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_free_p) char *folder = own_folder(cloud);
	IOT_CLEAN(iot_free_p) char *to = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	bool same = false;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status == IOT_OK)
		status = iot_layout_load_file(path, &layout, err);
	if (status != IOT_OK)
		return status;
	to = own_file(folder, iot_layout_name(layout));
	status = check_free(layout, to, update, &same, err);
	if (status == IOT_OK && !same)
		status = iot_fs_mkdirs(folder, 0700, err);
	if (status == IOT_OK && !same) {
		text = json_dumps(layout->json, JSON_INDENT(2));
		status = iot_fs_write(to, 0644, text, strlen(text), err);
		if (status == IOT_OK)
			status = iot_local_talk_changed(cloud, err);
	}
	if (status == IOT_OK)
		*ret_record =
			json_pack("{s:s, s:s, s:b}", "name", iot_layout_name(layout), "file", to, "changed", !same);
	return status;
}

static enum iot_status tag_type(struct iot_cloud *cloud, const char *type, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = NULL;

	if (type == NULL) {
		iot_fail(err, IOT_USAGE, "at AWS a layout is chosen for a thing type: its tag '" TAG "'");
		iot_error_hint(err, "name one with --type; types without the tag use '" IOT_LAYOUT_DEFAULT "'");
		return IOT_USAGE;
	}
	arn = fleet_arn(cloud, "thingtype", type);
	return fleet_call(cloud, "TagResource",
			  json_pack("{s:s, s:[{s:s, s:s}]}", "resourceArn", arn, "tags", "Key", TAG, "Value", name),
			  NULL, err);
}

enum iot_status iot_layout_use(struct iot_cloud *cloud, const char *name, const char *type, struct iot_error *err)
{
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_free_p) char *key = type != NULL ? iot_strf(META "/%s", type) : iot_strdup(META);
	enum iot_status status = is_aws(cloud) ? IOT_OK : iot_fleet_need_local(cloud, err);

	if (status == IOT_OK)
		status = iot_layout_load(cloud, name, &layout, err);
	if (status == IOT_OK && type != NULL)
		status = fleet_call(cloud, "DescribeThingType", json_pack("{s:s}", "thingTypeName", type), NULL, err);
	if (status == IOT_OK && is_aws(cloud))
		return tag_type(cloud, type, name, err);
	if (status == IOT_OK)
		status = iot_local_meta_set(cloud, key, name, err);
	return status == IOT_OK ? iot_local_talk_changed(cloud, err) : status;
}

/* --- of a device ------------------------------------------------------------------------ */

enum iot_status iot_layout_of_type(struct iot_cloud *cloud, const char *type, struct iot_layout **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = NULL;
	enum iot_status status = IOT_OK;

	if (type != NULL && *type != '\0')
		status = type_layout(cloud, type, &name, err);
	if (status == IOT_OK && name == NULL)
		status = fallback_layout(cloud, &name, err);
	return status == IOT_OK ? iot_layout_load(cloud, name, ret, err) : status;
}

enum iot_status iot_layout_of_device(struct iot_cloud *cloud, const char *device, struct iot_layout **ret,
				     char **ret_thing, char **ret_type, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON record = NULL;
	const char *type;
	enum iot_status status = iot_fleet_resolve(cloud, device, &thing, err);

	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), &record, err);
	type = iot_json_str(record, "thingTypeName", "");
	if (status == IOT_OK)
		status = iot_layout_of_type(cloud, type, ret, err);
	if (status != IOT_OK)
		return status;
	*ret_thing = iot_take(thing);
	*ret_type = iot_strdup(type);
	return IOT_OK;
}
