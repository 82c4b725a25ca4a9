/*
 * Which things are in which groups: at most ten groups per thing, and of one
 * hierarchy (groups with a common root) at most one.
 */
#include "groups_private.h"

#include <string.h>

#define GROUPS_PER_THING 10

/* A thing or group given by name, by ARN, or by both if they agree. */
static enum iot_status given_name(const json_t *request, const char *name_key, const char *arn_key, const char *kind,
				  const char **ret, struct iot_error *err)
{
	const char *name = iot_json_str(request, name_key, NULL);
	const char *arn = iot_json_str(request, arn_key, NULL);
	const char *in_arn = arn != NULL ? iot_local_arn_name(arn, kind) : NULL;

	if (name == NULL && arn == NULL)
		return iot_local_invalid(err, "%s or %s is needed", name_key, arn_key);
	if (arn != NULL && in_arn == NULL)
		return iot_local_invalid(err, "%s '%.200s' is not the ARN of a %s of this fleet", arn_key, arn,
					 strcmp(kind, "thing") == 0 ? "thing" : "thing group");
	if (name != NULL && in_arn != NULL && strcmp(name, in_arn) != 0)
		return iot_local_invalid(err, "%s '%s' and %s name different ones", name_key, name, arn_key);
	*ret = name != NULL ? name : in_arn;
	return IOT_OK;
}

/* Is the thing in the group? And if not, does another of its groups forbid it? */
static enum iot_status check_room(struct iot_local *local, int64_t thing_id, int64_t group_id, const char *group,
				  bool *ret_member, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	int64_t root = 0;
	int count = 0;
	bool row = false;
	enum iot_status status;

	status = iot_group_root(local, group_id, &root, err);
	if (status == IOT_OK)
		status =
			iot_stmt_get(local->store,
				     "SELECT m.group_id, g.name FROM group_members m JOIN groups g ON g.id = m.group_id"
				     " WHERE m.thing_id = ?",
				     &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", thing_id);
	while (status == IOT_OK) {
		int64_t other_root = 0;

		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		*ret_member = *ret_member || iot_stmt_int(stmt, 0) == group_id;
		if (*ret_member)
			return IOT_OK;
		count++;
		status = iot_group_root(local, iot_stmt_int(stmt, 0), &other_root, err);
		if (status == IOT_OK && other_root == root)
			return iot_local_invalid(err, "the thing is in group '%s' of the same hierarchy as '%s'",
						 iot_stmt_text(stmt, 1), group);
	}
	if (status == IOT_OK && count >= GROUPS_PER_THING)
		return iot_local_invalid(err, "the thing is in %d groups, the most there may be", count);
	return status;
}

static enum iot_status add(struct iot_local *local, int64_t thing_id, const char *group, struct iot_error *err)
{
	int64_t group_id = 0;
	bool member = false;
	enum iot_status status;

	status = iot_local_group_id(local, group, &group_id, err);
	if (status == IOT_OK)
		status = check_room(local, thing_id, group_id, group, &member, err);
	if (status != IOT_OK || member)
		return status;
	status = iot_store_run(local->store, NULL, err, "INSERT INTO group_members (group_id, thing_id) VALUES (?, ?)",
			       "ii", group_id, thing_id);
	if (status == IOT_OK)
		status = iot_local_jobs_joined(local, thing_id, group_id, err);
	return status;
}

static enum iot_status take_out(struct iot_local *local, int64_t thing_id, const char *group, struct iot_error *err)
{
	int64_t group_id = 0;
	enum iot_status status = iot_local_group_id(local, group, &group_id, err);

	if (status != IOT_OK)
		return status;
	status = iot_store_run(local->store, NULL, err, "DELETE FROM group_members WHERE group_id = ? AND thing_id = ?",
			       "ii", group_id, thing_id);
	if (status == IOT_OK)
		status = iot_local_jobs_left(local, thing_id, err);
	return status;
}

static enum iot_status change_one(struct iot_local *local, const json_t *request,
				  enum iot_status (*change)(struct iot_local *, int64_t, const char *,
							    struct iot_error *),
				  struct iot_error *err)
{
	const char *thing = NULL;
	const char *group = NULL;
	int64_t thing_id = 0;
	enum iot_status status;

	status = given_name(request, "thingName", "thingArn", "thing", &thing, err);
	if (status == IOT_OK)
		status = given_name(request, "thingGroupName", "thingGroupArn", "thinggroup", &group, err);
	if (status == IOT_OK)
		status = iot_local_thing_id(local, thing, &thing_id, err);
	return status == IOT_OK ? change(local, thing_id, group, err) : status;
}

enum iot_status iot_op_add_thing_to_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
						struct iot_error *err)
{
	(void)reply;
	return change_one(local, request, add, err);
}

enum iot_status iot_op_remove_thing_from_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
						     struct iot_error *err)
{
	(void)reply;
	return change_one(local, request, take_out, err);
}

static enum iot_status change_all(struct iot_local *local, const json_t *request, const char *key, int64_t thing_id,
				  enum iot_status (*change)(struct iot_local *, int64_t, const char *,
							    struct iot_error *),
				  struct iot_error *err)
{
	const json_t *groups = json_object_get(request, key);
	json_t *group;
	size_t i;

	json_array_foreach(groups, i, group) {
		enum iot_status status;

		if (!json_is_string(group))
			return iot_local_invalid(err, "%s is not a list of names", key);
		status = change(local, thing_id, json_string_value(group), err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

enum iot_status iot_op_update_thing_groups_for_thing(struct iot_local *local, const json_t *request, json_t *reply,
						     struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", NULL);
	int64_t thing_id = 0;
	enum iot_status status;

	(void)reply;
	if (thing == NULL)
		return iot_local_invalid(err, "UpdateThingGroupsForThing needs thingName");
	status = iot_local_thing_id(local, thing, &thing_id, err);
	/* First out, then in: a thing may move within a hierarchy. */
	if (status == IOT_OK)
		status = change_all(local, request, "thingGroupsToRemove", thing_id, take_out, err);
	if (status == IOT_OK)
		status = change_all(local, request, "thingGroupsToAdd", thing_id, add, err);
	return status;
}

enum iot_status iot_op_list_thing_groups_for_thing(struct iot_local *local, const json_t *request, json_t *reply,
						   struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *groups = json_array();
	int64_t thing_id = 0;
	enum iot_status status;

	json_object_set_new(reply, "thingGroups", groups);
	status = iot_local_thing_id(local, iot_json_str(request, "thingName", NULL), &thing_id, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT g.name FROM group_members m JOIN groups g ON g.id = m.group_id"
				      " WHERE m.thing_id = ?1 AND g.name > ifnull(?2, '') ORDER BY g.name LIMIT ?3",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "isi", thing_id, page.after, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err))
		iot_group_append(groups, iot_stmt_text(stmt, 0));
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

/* Ordered by row id, which is what the primary key of group_members gives without sorting. ?2: last id, ?3: limit. */
static const char things_direct[] = "SELECT m.thing_id, t.name FROM group_members m JOIN things t ON t.id = m.thing_id"
				    " WHERE m.group_id = ?1 AND m.thing_id > ?2 ORDER BY m.thing_id LIMIT ?3";
static const char things_below[] =
	IOT_SQL_GROUP_TREE "SELECT DISTINCT m.thing_id, t.name FROM group_members m JOIN tree ON tree.id = m.group_id"
			   " JOIN things t ON t.id = m.thing_id WHERE m.thing_id > ?2 ORDER BY m.thing_id LIMIT ?3";

enum iot_status iot_op_list_things_in_thing_group(struct iot_local *local, const json_t *request, json_t *reply,
						  struct iot_error *err)
{
	bool recursive = iot_json_bool(request, "recursive", false);
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *things = json_array();
	int64_t group_id = 0;
	enum iot_status status;

	json_object_set_new(reply, "things", things);
	status = iot_local_group_id(local, iot_json_str(request, "thingGroupName", NULL), &group_id, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store, recursive ? things_below : things_direct, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iii", group_id, page.after_id, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err))
		json_array_append_new(things, json_string(iot_stmt_text(stmt, 1)));
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}
