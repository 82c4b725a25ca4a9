/*
 * Things. A thing's attribute 'alias' is the device's second name: no two
 * things have the same, and it is no other thing's name.
 */
#include "registry_private.h"

#include "cloud/operations_private.h"

#include <string.h>

struct thing {
	int64_t id, type_id, version;
	char *uuid, *type;
	json_t *attributes;
};

static void thing_release(struct thing *thing)
{
	free(thing->uuid);
	free(thing->type);
	json_decref(thing->attributes);
}

/* *ret_found false: there is none of that name. */
static enum iot_status thing_load(struct iot_local *local, const char *name, struct thing *ret, bool *ret_found,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, ret_found, err,
				"SELECT t.id, t.uuid, t.type_id, y.name, t.version, t.attributes"
				" FROM things t LEFT JOIN types y ON y.id = t.type_id WHERE t.name = ?",
				"s", name);
	if (status != IOT_OK || !*ret_found)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	ret->uuid = iot_strdup(iot_stmt_text(stmt, 1));
	ret->type_id = iot_stmt_int(stmt, 2);
	ret->type = iot_strdup(iot_stmt_text(stmt, 3));
	ret->version = iot_stmt_int(stmt, 4);
	ret->attributes = iot_attributes_load(iot_stmt_text(stmt, 5));
	return IOT_OK;
}

static enum iot_status thing_need(struct iot_local *local, const char *name, struct thing *ret, struct iot_error *err)
{
	bool found = false;
	enum iot_status status = thing_load(local, name, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "thing '%s' does not exist", name);
	return status;
}

/* The name of a thing other than `self` that a query with one text finds; NULL if there is none. */
static enum iot_status find_other(struct iot_local *local, const char *sql, const char *text, const char *self,
				  char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	*ret = NULL;
	status = iot_stmt_query(local->store, &stmt, &row, err, sql, "s", text);
	if (status == IOT_OK && row && strcmp(iot_stmt_text(stmt, 0), self) != 0)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

static const char by_alias[] = "SELECT name FROM things WHERE json_extract(attributes, '$.alias') = ?";
static const char by_serial_number[] = "SELECT name FROM things WHERE json_extract(attributes, '$.serialNumber') = ?";
static const char by_name[] = "SELECT name FROM things WHERE name = ?";

/* A name must not be another thing's alias. */
static enum iot_status check_name(struct iot_local *local, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *other = NULL;
	enum iot_status status = find_other(local, by_alias, name, name, &other, err);

	if (status == IOT_OK && other != NULL)
		return iot_local_exists(err, "'%s' is the alias of thing '%s'", name, other);
	return status;
}

static enum iot_status check_alias(struct iot_local *local, const char *name, const json_t *attributes,
				   struct iot_error *err)
{
	const char *alias = iot_json_str(attributes, "alias", NULL);
	const struct iot_name_rule *rule = iot_name_rule_find("name");
	IOT_CLEAN(iot_free_p) char *same_name = NULL;
	IOT_CLEAN(iot_free_p) char *same_alias = NULL;
	enum iot_status status;

	if (alias == NULL)
		return IOT_OK;
	if (strlen(alias) > 128 || iot_name_rule_check(rule, alias) != NULL) {
		iot_local_invalid(err, "'%.130s' cannot be an alias", alias);
		iot_error_hint(err, "1 to 128 %s", rule->text);
		return IOT_USAGE;
	}
	status = find_other(local, by_name, alias, name, &same_name, err);
	if (status == IOT_OK)
		status = find_other(local, by_alias, alias, name, &same_alias, err);
	if (status != IOT_OK)
		return status;
	if (same_name != NULL)
		return iot_local_exists(err, "alias '%s' is the name of another thing", alias);
	if (same_alias != NULL)
		return iot_local_exists(err, "thing '%s' has the alias '%s' already", same_alias, alias);
	return IOT_OK;
}

/* A serial number is of one product: two stations with the same list of numbers must not both use one. */
static enum iot_status check_serial_number(struct iot_local *local, const char *name, const json_t *attributes,
					   struct iot_error *err)
{
	const char *serial = iot_json_str(attributes, "serialNumber", NULL);
	IOT_CLEAN(iot_free_p) char *other = NULL;
	enum iot_status status = IOT_OK;

	if (serial != NULL)
		status = find_other(local, by_serial_number, serial, name, &other, err);
	if (status == IOT_OK && other != NULL)
		return iot_local_exists(err, "thing '%s' has the serial number '%s' already", other, serial);
	return status;
}

/* The row id of a type that new things may have. */
static enum iot_status usable_type(struct iot_local *local, const char *name, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT id, deprecated_at FROM types WHERE name = ?",
				"s", name);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "thing type '%s' does not exist", name);
	if (!iot_stmt_is_null(stmt, 1))
		return iot_local_invalid(err, "thing type '%s' is deprecated", name);
	*ret = iot_stmt_int(stmt, 0);
	return IOT_OK;
}

/* Write the row; type 0 is none. */
static enum iot_status thing_insert(struct iot_local *local, const char *name, const char *uuid, int64_t type_id,
				    const json_t *attributes, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = iot_attributes_text(attributes);

	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO things (name, uuid, type_id, attributes, created_at)"
			     " VALUES (?, ?, nullif(?, 0), ?, ?)",
			     "ssisi", name, uuid, type_id, text, iot_now_ms());
}

static void set_created(json_t *reply, const char *name, const char *uuid)
{
	iot_json_set_str(reply, "thingName", name);
	iot_local_set_arn(reply, "thingArn", "thing", name);
	iot_json_set_str(reply, "thingId", uuid);
}

/* A repeat of the same request succeeds, another configuration is a conflict. */
static enum iot_status create_again(const struct thing *thing, const char *name, const char *type,
				    const json_t *attributes, json_t *reply, struct iot_error *err)
{
	bool same_type = type == NULL ? thing->type == NULL : thing->type != NULL && strcmp(type, thing->type) == 0;

	if (!same_type || !json_equal(attributes, thing->attributes))
		return iot_local_exists(err, "thing '%s' exists with another type or other attributes", name);
	set_created(reply, name, thing->uuid);
	return IOT_OK;
}

enum iot_status iot_op_create_thing(struct iot_local *local, const json_t *request, json_t *reply,
				    struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	const char *type = iot_json_str(request, "thingTypeName", NULL);
	const char *billing = iot_json_str(request, "billingGroupName", NULL);
	IOT_CLEAN(thing_release) struct thing thing = {0};
	IOT_JSON attributes = NULL;
	int64_t type_id = 0;
	bool found = false;
	char uuid[37];
	enum iot_status status;

	if (billing != NULL)
		return iot_local_not_found(err, "billing group '%s' does not exist", billing);
	status = iot_attributes_apply(json_object_get(request, "attributePayload"), NULL,
				      type != NULL ? IOT_ATTRIBUTES_MAX : IOT_ATTRIBUTES_UNTYPED, &attributes, err);
	if (status == IOT_OK)
		status = thing_load(local, name, &thing, &found, err);
	if (status != IOT_OK)
		return status;
	if (found)
		return create_again(&thing, name, type, attributes, reply, err);
	status = check_name(local, name, err);
	if (status == IOT_OK)
		status = check_alias(local, name, attributes, err);
	if (status == IOT_OK)
		status = check_serial_number(local, name, attributes, err);
	if (status == IOT_OK && type != NULL)
		status = usable_type(local, type, &type_id, err);
	if (status != IOT_OK)
		return status;
	iot_uuid(uuid);
	status = thing_insert(local, name, uuid, type_id, attributes, err);
	if (status == IOT_OK)
		set_created(reply, name, uuid);
	return status;
}

enum iot_status iot_op_describe_thing(struct iot_local *local, const json_t *request, json_t *reply,
				      struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	IOT_CLEAN(thing_release) struct thing thing = {0};
	enum iot_status status = thing_need(local, name, &thing, err);

	if (status != IOT_OK)
		return status;
	iot_json_set_str(reply, "defaultClientId", name);
	set_created(reply, name, thing.uuid);
	iot_json_set_str(reply, "thingTypeName", thing.type);
	json_object_set(reply, "attributes", thing.attributes);
	iot_json_set_int(reply, "version", thing.version);
	return IOT_OK;
}

/* What the thing's type is after an update. */
static enum iot_status new_type(struct iot_local *local, const json_t *request, const struct thing *thing, int64_t *ret,
				struct iot_error *err)
{
	const char *type = iot_json_str(request, "thingTypeName", NULL);
	bool remove = iot_json_bool(request, "removeThingType", false);

	if (type != NULL && remove)
		return iot_local_invalid(err, "thingTypeName and removeThingType exclude each other");
	*ret = remove ? 0 : thing->type_id;
	if (type == NULL)
		return IOT_OK;
	/* Also its own one, if that is deprecated meanwhile: as AWS. */
	return usable_type(local, type, ret, err);
}

enum iot_status iot_op_update_thing(struct iot_local *local, const json_t *request, json_t *reply,
				    struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	IOT_CLEAN(iot_free_p) char *subject = iot_strf("thing '%s'", name);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(thing_release) struct thing thing = {0};
	IOT_JSON attributes = NULL;
	int64_t type_id = 0;
	enum iot_status status;

	(void)reply;
	status = thing_need(local, name, &thing, err);
	if (status == IOT_OK)
		status = iot_local_expect(request, thing.version, subject, err);
	if (status == IOT_OK)
		status = new_type(local, request, &thing, &type_id, err);
	if (status == IOT_OK)
		status = iot_attributes_apply(json_object_get(request, "attributePayload"), thing.attributes,
					      type_id != 0 ? IOT_ATTRIBUTES_MAX : IOT_ATTRIBUTES_UNTYPED, &attributes,
					      err);
	if (status == IOT_OK)
		status = check_alias(local, name, attributes, err);
	if (status == IOT_OK)
		status = check_serial_number(local, name, attributes, err);
	if (status != IOT_OK)
		return status;
	text = iot_attributes_text(attributes);
	return iot_store_run(
		local->store, NULL, err,
		"UPDATE things SET type_id = nullif(?, 0), attributes = ?, version = version + 1 WHERE id = ?", "isi",
		type_id, text, thing.id);
}

static enum iot_status count_principals(struct iot_local *local, int64_t thing_id, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT count(*) FROM thing_principals WHERE thing_id = ?", "i", thing_id);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

enum iot_status iot_op_delete_thing(struct iot_local *local, const json_t *request, json_t *reply,
				    struct iot_error *err)
{
	const char *name = iot_json_str(request, "thingName", NULL);
	IOT_CLEAN(iot_free_p) char *subject = iot_strf("thing '%s'", name);
	IOT_CLEAN(thing_release) struct thing thing = {0};
	int64_t principals = 0;
	bool found = false;
	enum iot_status status;

	(void)reply;
	status = thing_load(local, name, &thing, &found, err);
	if (status != IOT_OK || !found)
		return status;
	status = iot_local_expect(request, thing.version, subject, err);
	if (status == IOT_OK)
		status = count_principals(local, thing.id, &principals, err);
	if (status != IOT_OK)
		return status;
	if (principals > 0) {
		iot_local_invalid(err, "thing '%s' still has %lld principals", name, (long long)principals);
		iot_error_hint(err, "detach them first");
		return IOT_USAGE;
	}
	status = iot_store_run(local->store, NULL, err, "DELETE FROM presence WHERE client_id = ?", "s", name);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM things WHERE id = ?", "i", thing.id);
	return status;
}

/* --- lists -------------------------------------------------------------------- */

/*
 * One query per filter, so that each is as direct as it can be. ?1: key of the
 * last row, ?2: limit, ?3: type, ?4: JSON path of the attribute, ?5: its value.
 */
#define THING_COLUMNS                                                                                                  \
	"SELECT t.name, y.name, t.attributes, t.version FROM things t LEFT JOIN types y ON y.id = t.type_id"           \
	" WHERE t.name > ifnull(?1, '')"
#define THING_ORDER " ORDER BY t.name LIMIT ?2"
#define BY_TYPE " AND t.type_id = (SELECT id FROM types WHERE name = ?3)"
#define BY_VALUE " AND json_extract(t.attributes, ?4) = ?5"
#define BY_PREFIX " AND substr(json_extract(t.attributes, ?4), 1, length(?5)) = ?5"

static const char *const list_sql[2][4] = {
	{THING_COLUMNS THING_ORDER, THING_COLUMNS BY_VALUE THING_ORDER, THING_COLUMNS BY_PREFIX THING_ORDER,
	 /* There is an index for this one. */
	 THING_COLUMNS " AND json_extract(t.attributes, '$.alias') = ?5" THING_ORDER},
	{THING_COLUMNS BY_TYPE THING_ORDER, THING_COLUMNS BY_TYPE BY_VALUE THING_ORDER,
	 THING_COLUMNS BY_TYPE BY_PREFIX THING_ORDER,
	 THING_COLUMNS BY_TYPE " AND json_extract(t.attributes, '$.alias') = ?5" THING_ORDER},
};

static enum iot_status list_query(struct iot_local *local, const json_t *request, const struct iot_page *page,
				  struct iot_stmt **ret, struct iot_error *err)
{
	const char *attribute = iot_json_str(request, "attributeName", NULL);
	const char *value = iot_json_str(request, "attributeValue", NULL);
	const char *type = iot_json_str(request, "thingTypeName", NULL);
	bool prefix = iot_json_bool(request, "usePrefixAttributeValue", false);
	IOT_CLEAN(iot_free_p) char *path = NULL;
	int filter = 0;
	const char *sql;
	enum iot_status status;

	if ((attribute == NULL) != (value == NULL))
		return iot_local_invalid(err, "attributeName and attributeValue go together");
	if (attribute != NULL) {
		path = iot_strf("$.\"%s\"", attribute);
		filter = prefix ? 2 : strcmp(attribute, "alias") == 0 ? 3 : 1;
	}
	sql = list_sql[type != NULL][filter];
	status = iot_stmt_get(local->store, sql, ret, err);
	if (status != IOT_OK)
		return status;
	/* A query takes as many values as its highest parameter. */
	if (filter != 0)
		return iot_stmt_bind(*ret, err, "sisss", page->after, page->limit + 1, type, path, value);
	if (type != NULL)
		return iot_stmt_bind(*ret, err, "sis", page->after, page->limit + 1, type);
	return iot_stmt_bind(*ret, err, "si", page->after, page->limit + 1);
}

static json_t *listed_thing(struct iot_stmt *stmt)
{
	json_t *thing = json_object();

	iot_json_set_str(thing, "thingName", iot_stmt_text(stmt, 0));
	iot_json_set_str(thing, "thingTypeName", iot_stmt_text(stmt, 1));
	iot_local_set_arn(thing, "thingArn", "thing", iot_stmt_text(stmt, 0));
	json_object_set_new(thing, "attributes", iot_attributes_load(iot_stmt_text(stmt, 2)));
	iot_json_set_int(thing, "version", iot_stmt_int(stmt, 3));
	return thing;
}

enum iot_status iot_op_list_things(struct iot_local *local, const json_t *request, json_t *reply, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *things = json_array();
	enum iot_status status;

	json_object_set_new(reply, "things", things);
	status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = list_query(local, request, &page, &stmt, err);
	while (iot_page_row(&page, stmt, 0, &status, err))
		json_array_append_new(things, listed_thing(stmt));
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}
