/*
 * Static thing groups: a forest at most seven levels deep. A group's parent is
 * chosen when it is made and never changes.
 */
#include "groups_private.h"

#include <string.h>

#define DESCRIPTION_MAX 2028
#define DEPTH_MAX 7

void iot_group_release(struct iot_group *group)
{
	free(group->uuid);
	free(group->description);
	json_decref(group->attributes);
}

enum iot_status iot_group_load(struct iot_local *local, const char *name, struct iot_group *ret, bool *ret_found,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, ret_found, err,
				"SELECT id, uuid, parent_id, version, description, attributes, created_at"
				" FROM groups WHERE name = ?",
				"s", name);
	if (status != IOT_OK || !*ret_found)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	ret->uuid = iot_strdup(iot_stmt_text(stmt, 1));
	ret->parent_id = iot_stmt_int(stmt, 2);
	ret->version = iot_stmt_int(stmt, 3);
	ret->description = iot_strdup(iot_stmt_text(stmt, 4));
	ret->attributes = iot_attributes_load(iot_stmt_text(stmt, 5));
	ret->created_at = iot_stmt_int(stmt, 6);
	return IOT_OK;
}

static enum iot_status group_need(struct iot_local *local, const char *name, struct iot_group *ret,
				  struct iot_error *err)
{
	bool found = false;
	enum iot_status status = iot_group_load(local, name, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "thing group '%s' does not exist", name);
	return status;
}

/* The groups above one, its parent first; each as {groupName, groupArn}. *ret_root: id of the topmost (or itself). */
static enum iot_status ancestors(struct iot_local *local, int64_t group_id, json_t *list, int64_t *ret_root,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	*ret_root = group_id;
	status = iot_stmt_get(local->store,
			      "WITH RECURSIVE up(id, parent_id, name, level) AS ("
			      " SELECT id, parent_id, name, 0 FROM groups WHERE id = ?1"
			      " UNION ALL SELECT g.id, g.parent_id, g.name, up.level + 1 FROM groups g"
			      " JOIN up ON g.id = up.parent_id)"
			      " SELECT id, name FROM up WHERE level > 0 ORDER BY level",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", group_id);
	while (status == IOT_OK) {
		json_t *entry;

		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		entry = json_object();
		iot_json_set_str(entry, "groupName", iot_stmt_text(stmt, 1));
		iot_local_set_arn(entry, "groupArn", "thinggroup", iot_stmt_text(stmt, 1));
		json_array_append_new(list, entry);
		*ret_root = iot_stmt_int(stmt, 0);
	}
	return status;
}

enum iot_status iot_group_root(struct iot_local *local, int64_t group_id, int64_t *ret, struct iot_error *err)
{
	IOT_JSON list = json_array();

	return ancestors(local, group_id, list, ret, err);
}

/* thingGroupProperties, checked. What is absent stays as it was before. */
static enum iot_status read_properties(const json_t *request, const struct iot_group *before,
				       const char **ret_description, json_t **ret_attributes, struct iot_error *err)
{
	static const char *const members[] = {"thingGroupDescription", "attributePayload", NULL};
	const json_t *properties = json_object_get(request, "thingGroupProperties");
	const json_t *payload = json_object_get(properties, "attributePayload");
	enum iot_status status;

	status = iot_local_members(properties, "thingGroupProperties", members, err);
	if (status == IOT_OK)
		status = iot_local_text_member(properties, "thingGroupDescription", DESCRIPTION_MAX, ret_description,
					       err);
	if (status != IOT_OK)
		return status;
	if (*ret_description == NULL && before != NULL)
		*ret_description = before->description;
	if (payload != NULL && !json_is_object(payload))
		return iot_local_invalid(err, "attributePayload is not an object");
	return iot_attributes_apply(payload, before != NULL ? before->attributes : NULL, IOT_ATTRIBUTES_MAX,
				    ret_attributes, err);
}

static void set_created(json_t *reply, const char *name, const char *uuid)
{
	iot_json_set_str(reply, "thingGroupName", name);
	iot_local_set_arn(reply, "thingGroupArn", "thinggroup", name);
	iot_json_set_str(reply, "thingGroupId", uuid);
}

/* Id of the parent named in the request (0: none); its depth leaves room for a child. */
static enum iot_status read_parent(struct iot_local *local, const json_t *request, int64_t *ret, struct iot_error *err)
{
	const char *parent = iot_json_str(request, "parentGroupName", NULL);
	IOT_JSON above = json_array();
	int64_t root = 0;
	enum iot_status status;

	*ret = 0;
	if (parent == NULL)
		return IOT_OK;
	status = iot_local_group_id(local, parent, ret, err);
	if (status == IOT_OK)
		status = ancestors(local, *ret, above, &root, err);
	if (status == IOT_OK && json_array_size(above) + 2 > DEPTH_MAX)
		return iot_local_invalid(err, "thing group '%s' is on level %d, the deepest there may be", parent,
					 DEPTH_MAX);
	return status;
}

static bool same_group(const struct iot_group *group, int64_t parent_id, const char *description,
		       const json_t *attributes)
{
	return group->parent_id == parent_id && json_equal(group->attributes, attributes) &&
	       strcmp(group->description != NULL ? group->description : "", description != NULL ? description : "") ==
		       0;
}

enum iot_status iot_op_create_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingGroupName", NULL);
	IOT_CLEAN(iot_group_release) struct iot_group group = {0};
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON attributes = NULL;
	const char *description = NULL;
	int64_t parent_id = 0;
	bool found = false;
	char uuid[37];
	enum iot_status status;

	status = read_properties(request, NULL, &description, &attributes, err);
	if (status == IOT_OK)
		status = read_parent(local, request, &parent_id, err);
	if (status == IOT_OK)
		status = iot_group_load(local, name, &group, &found, err);
	if (status != IOT_OK)
		return status;
	if (found) {
		if (!same_group(&group, parent_id, description, attributes))
			return iot_local_exists(err, "thing group '%s' exists with another parent or other properties",
						name);
		set_created(reply, name, group.uuid);
		return IOT_OK;
	}
	iot_uuid(uuid);
	text = iot_attributes_text(attributes);
	status = iot_store_run(local->store, NULL, err,
			       "INSERT INTO groups (name, uuid, parent_id, description, attributes, created_at)"
			       " VALUES (?, ?, nullif(?, 0), ?, ?, ?)",
			       "ssissi", name, uuid, parent_id, description, text, iot_now_ms());
	if (status == IOT_OK)
		set_created(reply, name, uuid);
	return status;
}

static void set_description(json_t *reply, const struct iot_group *group)
{
	json_t *properties = json_object();
	json_t *payload = json_object();

	iot_json_set_str(properties, "thingGroupDescription", group->description);
	json_object_set(payload, "attributes", group->attributes);
	json_object_set_new(properties, "attributePayload", payload);
	json_object_set_new(reply, "thingGroupProperties", properties);
	iot_json_set_int(reply, "version", group->version);
}

enum iot_status iot_op_describe_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingGroupName", NULL);
	IOT_CLEAN(iot_group_release) struct iot_group group = {0};
	json_t *metadata = json_object();
	IOT_JSON above = json_array();
	json_t *list = json_array();
	int64_t root = 0;
	enum iot_status status;

	json_object_set_new(reply, "thingGroupMetadata", metadata);
	json_object_set_new(metadata, "rootToParentThingGroups", list);
	status = group_need(local, name, &group, err);
	if (status == IOT_OK)
		status = ancestors(local, group.id, above, &root, err);
	if (status != IOT_OK)
		return status;
	set_created(reply, name, group.uuid);
	set_description(reply, &group);
	if (json_array_size(above) > 0)
		json_object_set(metadata, "parentGroupName", json_object_get(json_array_get(above, 0), "groupName"));
	for (size_t i = json_array_size(above); i > 0; i--)
		json_array_append(list, json_array_get(above, i - 1));
	iot_local_set_time(metadata, "creationDate", group.created_at);
	return IOT_OK;
}

enum iot_status iot_op_update_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingGroupName", NULL);
	IOT_CLEAN(iot_free_p) char *subject = iot_strf("thing group '%s'", name);
	IOT_CLEAN(iot_group_release) struct iot_group group = {0};
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON attributes = NULL;
	const char *description = NULL;
	enum iot_status status;

	status = group_need(local, name, &group, err);
	if (status == IOT_OK)
		status = iot_local_expect(request, group.version, subject, err);
	if (status == IOT_OK)
		status = read_properties(request, &group, &description, &attributes, err);
	if (status != IOT_OK)
		return status;
	text = iot_attributes_text(attributes);
	status = iot_store_run(local->store, NULL, err,
			       "UPDATE groups SET description = ?, attributes = ?, version = version + 1 WHERE id = ?",
			       "ssi", description, text, group.id);
	if (status == IOT_OK)
		iot_json_set_int(reply, "version", group.version + 1);
	return status;
}

static enum iot_status child_of(struct iot_local *local, int64_t group_id, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT name FROM groups WHERE parent_id = ? LIMIT 1",
				"i", group_id);
	if (status == IOT_OK && row)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

enum iot_status iot_op_delete_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingGroupName", NULL);
	IOT_CLEAN(iot_free_p) char *subject = iot_strf("thing group '%s'", name);
	IOT_CLEAN(iot_group_release) struct iot_group group = {0};
	IOT_CLEAN(iot_free_p) char *child = NULL;
	bool found = false;
	enum iot_status status;

	(void)reply;
	status = iot_group_load(local, name, &group, &found, err);
	if (status != IOT_OK || !found)
		return status;
	status = iot_local_expect(request, group.version, subject, err);
	if (status == IOT_OK)
		status = child_of(local, group.id, &child, err);
	if (status == IOT_OK && child != NULL)
		return iot_local_invalid(err, "thing group '%s' has a child, '%s'", name, child);
	/* Its things stay; what was attached to it is attached to nothing now. */
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM policy_attachments WHERE group_id = ?",
				       "i", group.id);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM groups WHERE id = ?", "i", group.id);
	return status;
}

/* ?1: parent (for the tree), ?2: last name, ?3: limit, ?4: prefix. */
#define LIST_FILTER                                                                                                    \
	" g.name > ifnull(?2, '') AND (?4 IS NULL OR substr(g.name, 1, length(?4)) = ?4) ORDER BY g.name LIMIT ?3"
static const char list_all[] = "SELECT g.name FROM groups g WHERE ?1 = 0 AND" LIST_FILTER;
static const char list_roots[] = "SELECT g.name FROM groups g WHERE ?1 = 0 AND g.parent_id IS NULL AND" LIST_FILTER;
static const char list_children[] = "SELECT g.name FROM groups g WHERE g.parent_id = ?1 AND" LIST_FILTER;
static const char list_below[] =
	IOT_SQL_GROUP_TREE "SELECT g.name FROM groups g JOIN tree ON tree.id = g.id WHERE g.id <> ?1 AND" LIST_FILTER;

void iot_group_append(json_t *list, const char *name)
{
	json_t *group = json_object();

	iot_json_set_str(group, "groupName", name);
	iot_local_set_arn(group, "groupArn", "thinggroup", name);
	json_array_append_new(list, group);
}

enum iot_status iot_op_list_thing_groups(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	const char *parent = iot_json_str(request, "parentGroup", NULL);
	bool recursive = iot_json_bool(request, "recursive", true);
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *groups = json_array();
	int64_t parent_id = 0;
	enum iot_status status = IOT_OK;

	json_object_set_new(reply, "thingGroups", groups);
	if (parent != NULL)
		status = iot_local_group_id(local, parent, &parent_id, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      parent != NULL ? (recursive ? list_below : list_children)
						     : (recursive ? list_all : list_roots),
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "isis", parent_id, page.after, page.limit + 1,
				       iot_json_str(request, "namePrefixFilter", NULL));
	while (iot_page_row(&page, stmt, 0, &status, err))
		iot_group_append(groups, iot_stmt_text(stmt, 0));
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}
