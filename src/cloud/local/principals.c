/*
 * Which certificates belong to which things, and whether a thing is connected.
 * A certificate that is attached exclusively belongs to one thing only.
 */
#include "registry_private.h"

#include <string.h>

#define EXCLUSIVE "EXCLUSIVE_THING"
#define SHARED "NON_EXCLUSIVE_THING"

enum iot_status iot_local_principal(struct iot_local *local, const char *arn, const char **ret_id,
				    struct iot_error *err)
{
	const char *id = iot_local_arn_name(arn, "cert");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	if (id == NULL) {
		iot_local_invalid(err, "'%.200s' is not the ARN of a certificate of this fleet", arn);
		iot_error_hint(err, "it looks like %scert/ID", IOT_LOCAL_ARN_PREFIX);
		return IOT_USAGE;
	}
	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT 1 FROM certificates WHERE id = ?", "s", id);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "certificate '%.64s' does not exist", id);
	if (status == IOT_OK)
		*ret_id = id;
	return status;
}

/* The attachments of a certificate: is this one there with the same type, is another thing in the way? */
struct attachments {
	bool same, other, other_exclusive;
	char *other_name;
};

static enum iot_status read_attachments(struct iot_local *local, const char *certificate, int64_t thing_id,
					const char *type, struct attachments *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(
		local->store,
		"SELECT p.thing_id, p.type, t.name FROM thing_principals p JOIN things t ON t.id = p.thing_id"
		" WHERE p.certificate_id = ?",
		&stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", certificate);
	while (status == IOT_OK) {
		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		if (iot_stmt_int(stmt, 0) == thing_id) {
			ret->same = strcmp(iot_stmt_text(stmt, 1), type) == 0;
			continue;
		}
		ret->other = true;
		ret->other_exclusive = strcmp(iot_stmt_text(stmt, 1), EXCLUSIVE) == 0;
		free(ret->other_name);
		ret->other_name = iot_strdup(iot_stmt_text(stmt, 2));
	}
	return status;
}

static enum iot_status detach(struct iot_local *local, int64_t thing_id, const char *certificate, struct iot_error *err)
{
	return iot_store_run(local->store, NULL, err,
			     "DELETE FROM thing_principals WHERE thing_id = ? AND certificate_id = ?", "is", thing_id,
			     certificate);
}

enum iot_status iot_op_attach_thing_principal(struct iot_local *local, const json_t *request, json_t *reply,
					      struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	const char *type = iot_json_str(request, "thingPrincipalType", SHARED);
	const char *certificate = NULL;
	struct attachments now = {0};
	IOT_CLEAN(iot_free_p) char *other = NULL;
	int64_t thing_id = 0;
	enum iot_status status;

	(void)reply;
	status = iot_local_thing_id(local, name, &thing_id, err);
	if (status == IOT_OK)
		status = iot_local_principal(local, iot_json_str(request, "principal", ""), &certificate, err);
	if (status == IOT_OK)
		status = read_attachments(local, certificate, thing_id, type, &now, err);
	other = now.other_name;
	if (status != IOT_OK || now.same)
		return status;
	if (now.other && (now.other_exclusive || strcmp(type, EXCLUSIVE) == 0))
		return iot_local_invalid(err, "certificate '%.64s' is attached to thing '%s'%s", certificate, other,
					 now.other_exclusive ? " exclusively" : "");
	/* Not an update: inserting and deleting is what the broker's plugin is told of. */
	status = detach(local, thing_id, certificate, err);
	if (status != IOT_OK)
		return status;
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO thing_principals (thing_id, certificate_id, type) VALUES (?, ?, ?)", "iss",
			     thing_id, certificate, type);
}

enum iot_status iot_op_detach_thing_principal(struct iot_local *local, const json_t *request, json_t *reply,
					      struct iot_error *err)
{
	const char *certificate = NULL;
	int64_t thing_id = 0;
	enum iot_status status;

	(void)reply;
	status = iot_local_thing_id(local, iot_json_str(request, "thingName", NULL), &thing_id, err);
	if (status == IOT_OK)
		status = iot_local_principal(local, iot_json_str(request, "principal", ""), &certificate, err);
	return status == IOT_OK ? detach(local, thing_id, certificate, err) : status;
}

/* --- lists ---------------------------------------------------------------------- */

/* How one row becomes an element: bare text, or an object with the way it is attached. */
static json_t *element(struct iot_stmt *stmt, bool principals, bool objects)
{
	const char *name = iot_stmt_text(stmt, 0);
	IOT_CLEAN(iot_free_p) char *arn = principals ? iot_local_arn("cert", name) : NULL;
	const char *text = principals ? arn : name;
	json_t *object;

	if (!objects)
		return json_string(text);
	object = json_object();
	iot_json_set_str(object, principals ? "principal" : "thingName", text);
	iot_json_set_str(object, "thingPrincipalType", iot_stmt_text(stmt, 1));
	return object;
}

static enum iot_status collect(struct iot_stmt *stmt, struct iot_page *page, json_t *list, bool principals,
			       bool objects, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	while (iot_page_row(page, stmt, 0, &status, err))
		json_array_append_new(list, element(stmt, principals, objects));
	return status;
}

static enum iot_status list_of_thing(struct iot_local *local, const json_t *request, json_t *reply, const char *member,
				     bool objects, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *list = json_array();
	int64_t thing_id = 0;
	enum iot_status status;

	json_object_set_new(reply, member, list);
	status = iot_local_thing_id(local, iot_json_str(request, "thingName", NULL), &thing_id, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT certificate_id, type FROM thing_principals WHERE thing_id = ?1"
				      " AND certificate_id > ifnull(?2, '') AND (?4 IS NULL OR type = ?4)"
				      " ORDER BY certificate_id LIMIT ?3",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "isis", thing_id, page.after, page.limit + 1,
				       iot_json_str(request, "thingPrincipalType", NULL));
	if (status == IOT_OK)
		status = collect(stmt, &page, list, true, objects, err);
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

static enum iot_status list_of_principal(struct iot_local *local, const json_t *request, json_t *reply,
					 const char *member, bool objects, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *list = json_array();
	const char *certificate = NULL;
	enum iot_status status;

	json_object_set_new(reply, member, list);
	status = iot_local_principal(local, iot_json_str(request, "principal", ""), &certificate, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT t.name, p.type FROM thing_principals p JOIN things t ON t.id = p.thing_id"
				      " WHERE p.certificate_id = ?1 AND t.name > ifnull(?2, '')"
				      " AND (?4 IS NULL OR p.type = ?4) ORDER BY t.name LIMIT ?3",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ssis", certificate, page.after, page.limit + 1,
				       iot_json_str(request, "thingPrincipalType", NULL));
	if (status == IOT_OK)
		status = collect(stmt, &page, list, false, objects, err);
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

enum iot_status iot_op_list_thing_principals(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	return list_of_thing(local, request, reply, "principals", false, err);
}

enum iot_status iot_op_list_thing_principals_v2(struct iot_local *local, const json_t *request, json_t *reply,
						struct iot_error *err)
{
	return list_of_thing(local, request, reply, "thingPrincipalObjects", true, err);
}

enum iot_status iot_op_list_principal_things(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	return list_of_principal(local, request, reply, "things", false, err);
}

enum iot_status iot_op_list_principal_things_v2(struct iot_local *local, const json_t *request, json_t *reply,
						struct iot_error *err)
{
	return list_of_principal(local, request, reply, "principalThingObjects", true, err);
}

enum iot_status iot_op_get_thing_connectivity_data(struct iot_local *local, const json_t *request, json_t *reply,
						   struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	int64_t thing_id = 0;
	bool row = false;
	enum iot_status status;

	status = iot_local_thing_id(local, name, &thing_id, err);
	if (status == IOT_OK)
		status = iot_stmt_query(local->store, &stmt, &row, err,
					"SELECT connected, changed_at, reason FROM presence WHERE client_id = ?", "s",
					name);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(reply, "thingName", name);
	iot_json_set_bool(reply, "connected", row && iot_stmt_int(stmt, 0) != 0);
	if (row)
		iot_local_set_time(reply, "timestamp", iot_stmt_int(stmt, 1));
	if (row && iot_stmt_int(stmt, 0) == 0)
		iot_json_set_str(reply, "disconnectReason", iot_stmt_text(stmt, 2));
	return IOT_OK;
}
