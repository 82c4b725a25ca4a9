/*
 * Thing types. AWS IoT makes one wait five minutes between
 * deprecating and deleting a type, so that its caches forget it; nothing is
 * cached here, so one need not wait.
 */
#include "registry_private.h"

#include <string.h>

#define DESCRIPTION_MAX 2028
#define SEARCHABLE_MAX 3

struct type {
	int64_t id, deprecated_at, created_at;
	char *uuid, *description, *searchable;
};

static void type_release(struct type *type)
{
	free(type->uuid);
	free(type->description);
	free(type->searchable);
}

static enum iot_status type_load(struct iot_local *local, const char *name, struct type *ret, bool *ret_found,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	status = iot_stmt_query(
		local->store, &stmt, ret_found, err,
		"SELECT id, uuid, description, searchable, deprecated_at, created_at FROM types WHERE name = ?", "s",
		name);
	if (status != IOT_OK || !*ret_found)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	ret->uuid = iot_strdup(iot_stmt_text(stmt, 1));
	ret->description = iot_strdup(iot_stmt_text(stmt, 2));
	ret->searchable = iot_strdup(iot_stmt_text(stmt, 3));
	ret->deprecated_at = iot_stmt_int(stmt, 4);
	ret->created_at = iot_stmt_int(stmt, 5);
	return IOT_OK;
}

static enum iot_status type_need(struct iot_local *local, const char *name, struct type *ret, struct iot_error *err)
{
	bool found = false;
	enum iot_status status = type_load(local, name, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "thing type '%s' does not exist", name);
	return status;
}

/* thingTypeProperties, checked. *ret_searchable: JSON text of the list; new memory. */
static enum iot_status read_properties(const json_t *request, const char **ret_description, char **ret_searchable,
				       struct iot_error *err)
{
	static const char *const members[] = {"thingTypeDescription", "searchableAttributes", NULL};
	const json_t *properties = json_object_get(request, "thingTypeProperties");
	const json_t *searchable = json_object_get(properties, "searchableAttributes");
	enum iot_status status;
	json_t *item;
	size_t i;

	status = iot_local_members(properties, "thingTypeProperties", members, err);
	if (status == IOT_OK)
		status = iot_local_text_member(properties, "thingTypeDescription", DESCRIPTION_MAX, ret_description,
					       err);
	if (status != IOT_OK)
		return status;
	if (searchable != NULL && (!json_is_array(searchable) || json_array_size(searchable) > SEARCHABLE_MAX))
		return iot_local_invalid(err, "searchableAttributes is not a list of at most %d names", SEARCHABLE_MAX);
	json_array_foreach(searchable, i, item) {
		if (!json_is_string(item))
			return iot_local_invalid(err, "searchableAttributes is not a list of names");
	}
	*ret_searchable = searchable != NULL ? iot_json_text(searchable) : iot_strdup("[]");
	return IOT_OK;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static void set_created(json_t *reply, const char *name, const char *uuid)
{
	iot_json_set_str(reply, "thingTypeName", name);
	iot_local_set_arn(reply, "thingTypeArn", "thingtype", name);
	iot_json_set_str(reply, "thingTypeId", uuid);
}

enum iot_status iot_op_create_thing_type(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingTypeName", NULL);
	IOT_CLEAN(type_release) struct type type = {0};
	IOT_CLEAN(iot_free_p) char *searchable = NULL;
	const char *description = NULL;
	bool found = false;
	char uuid[37];
	enum iot_status status;

	status = read_properties(request, &description, &searchable, err);
	if (status == IOT_OK)
		status = type_load(local, name, &type, &found, err);
	if (status != IOT_OK)
		return status;
	if (found) {
		if (!same_text(type.description, description) || !same_text(type.searchable, searchable))
			return iot_local_exists(err, "thing type '%s' exists with other properties", name);
		set_created(reply, name, type.uuid);
		return IOT_OK;
	}
	iot_uuid(uuid);
	status = iot_store_run(
		local->store, NULL, err,
		"INSERT INTO types (name, uuid, description, searchable, created_at) VALUES (?, ?, ?, ?, ?)", "ssssi",
		name, uuid, description, searchable, iot_now_ms());
	if (status == IOT_OK)
		set_created(reply, name, uuid);
	return status;
}

static void set_properties(json_t *object, const char *description, const char *searchable)
{
	json_t *properties = json_object();

	iot_json_set_str(properties, "thingTypeDescription", description);
	iot_local_set_json(properties, "searchableAttributes", searchable);
	json_object_set_new(object, "thingTypeProperties", properties);
}

static void set_metadata(json_t *object, int64_t deprecated_at, int64_t created_at)
{
	json_t *metadata = json_object();

	iot_json_set_bool(metadata, "deprecated", deprecated_at != 0);
	iot_local_set_time(metadata, "deprecationDate", deprecated_at);
	iot_local_set_time(metadata, "creationDate", created_at);
	json_object_set_new(object, "thingTypeMetadata", metadata);
}

enum iot_status iot_op_describe_thing_type(struct iot_local *local, const json_t *request, json_t *reply,
					   struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingTypeName", NULL);
	IOT_CLEAN(type_release) struct type type = {0};
	enum iot_status status = type_need(local, name, &type, err);

	if (status != IOT_OK)
		return status;
	set_created(reply, name, type.uuid);
	set_properties(reply, type.description, type.searchable);
	set_metadata(reply, type.deprecated_at, type.created_at);
	return IOT_OK;
}

enum iot_status iot_op_update_thing_type(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingTypeName", NULL);
	IOT_CLEAN(type_release) struct type type = {0};
	IOT_CLEAN(iot_free_p) char *searchable = NULL;
	const char *description = NULL;
	enum iot_status status;

	(void)reply;
	status = read_properties(request, &description, &searchable, err);
	if (status == IOT_OK)
		status = type_need(local, name, &type, err);
	if (status != IOT_OK)
		return status;
	return iot_store_run(local->store, NULL, err, "UPDATE types SET description = ?, searchable = ? WHERE id = ?",
			     "ssi", description, searchable, type.id);
}

enum iot_status iot_op_deprecate_thing_type(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	IOT_CLEAN(type_release) struct type type = {0};
	int64_t at = iot_json_bool(request, "undoDeprecate", false) ? 0 : iot_now_ms();
	enum iot_status status;

	(void)reply;
	status = type_need(local, iot_json_str(request, "thingTypeName", NULL), &type, err);
	if (status != IOT_OK || (at != 0 && type.deprecated_at != 0))
		return status;
	return iot_store_run(local->store, NULL, err, "UPDATE types SET deprecated_at = nullif(?, 0) WHERE id = ?",
			     "ii", at, type.id);
}

static enum iot_status used_by(struct iot_local *local, int64_t type_id, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT name FROM things WHERE type_id = ? LIMIT 1",
				"i", type_id);
	if (status == IOT_OK && row)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

enum iot_status iot_op_delete_thing_type(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingTypeName", NULL);
	IOT_CLEAN(type_release) struct type type = {0};
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status;

	(void)reply;
	status = type_need(local, name, &type, err);
	if (status == IOT_OK && type.deprecated_at == 0)
		return iot_local_invalid(err, "thing type '%s' is not deprecated: deprecate it first", name);
	if (status == IOT_OK)
		status = used_by(local, type.id, &thing, err);
	if (status == IOT_OK && thing != NULL)
		return iot_local_invalid(err, "thing type '%s' is in use, for instance by thing '%s'", name, thing);
	if (status != IOT_OK)
		return status;
	return iot_store_run(local->store, NULL, err, "DELETE FROM types WHERE id = ?", "i", type.id);
}

enum iot_status iot_op_list_thing_types(struct iot_local *local, const json_t *request, json_t *reply,
					struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *types = json_array();
	enum iot_status status;

	json_object_set_new(reply, "thingTypes", types);
	status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(
			local->store,
			"SELECT name, description, searchable, deprecated_at, created_at FROM types"
			" WHERE name > ifnull(?1, '') AND (?3 IS NULL OR name = ?3) ORDER BY name LIMIT ?2",
			&stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "sis", page.after, page.limit + 1,
				       iot_json_str(request, "thingTypeName", NULL));
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *type = json_object();

		iot_json_set_str(type, "thingTypeName", iot_stmt_text(stmt, 0));
		iot_local_set_arn(type, "thingTypeArn", "thingtype", iot_stmt_text(stmt, 0));
		set_properties(type, iot_stmt_text(stmt, 1), iot_stmt_text(stmt, 2));
		set_metadata(type, iot_stmt_int(stmt, 3), iot_stmt_int(stmt, 4));
		json_array_append_new(types, type);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}
