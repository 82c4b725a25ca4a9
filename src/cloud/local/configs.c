/*
 * Configurations of devices (our own operations): every version is kept, with
 * its author, its time, and when the device said that it has it. A version is
 * written together with how it is said: on a topic of the device, or as what the
 * named shadow "config" desires.
 *
 * Only a device that is connected gets a row in the outbox; one that is not is
 * told when it returns, from the table, so that a configuration for ten thousand
 * sleeping devices is ten thousand rows here and nothing else.
 */
#include "configs_private.h"

#include "iotctl/log.h"

#include <inttypes.h>
#include <string.h>

#define DOCUMENT_MAX ((size_t)128 * 1024) /* of a message, as AWS IoT limits it */
#define SHADOW "config"

/*
 * The newest version, and whether the device is there. Who is there of a gateway's children is not known when the
 * gateway is on another machine: they may be as long as it is.
 */
struct current {
	int64_t thing_id, version; /* 0: there is none */
	char *document, *topic, *acknowledge;
	bool connected, behind_gateway;
};

static void current_release(struct current *current)
{
	free(current->document);
	free(current->topic);
	free(current->acknowledge);
}

static enum iot_status find(struct iot_local *local, const char *thing, struct current *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status =
		iot_stmt_query(local->store, &stmt, &row, err,
			       "SELECT t.id, c.version, c.document, c.topic, c.acknowledge,"
			       " coalesce(p.connected, 0) OR coalesce(g.connected, 0),"
			       " json_extract(t.attributes, '$.gateway') IS NOT NULL FROM things t"
			       " LEFT JOIN configs c ON c.thing_id = t.id"
			       " AND c.version = (SELECT max(version) FROM configs WHERE thing_id = t.id)"
			       " LEFT JOIN presence p ON p.client_id = t.name"
			       " LEFT JOIN presence g ON g.client_id = json_extract(t.attributes, '$.gateway')"
			       " WHERE t.name = ?",
			       "s", thing);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "thing '%s' does not exist", thing);
	ret->thing_id = iot_stmt_int(stmt, 0);
	ret->version = iot_stmt_int(stmt, 1);
	ret->document = iot_strdup(iot_stmt_text(stmt, 2));
	ret->topic = iot_strdup(iot_stmt_text(stmt, 3));
	ret->acknowledge = iot_strdup(iot_stmt_text(stmt, 4));
	ret->connected = iot_stmt_int(stmt, 5) != 0;
	ret->behind_gateway = iot_stmt_int(stmt, 6) != 0;
	return IOT_OK;
}

/* --- what a device is told ------------------------------------------------------------------- */

/* The document as it is sent: with its version in it, where the device is to acknowledge that. New memory. */
static char *message_text(const json_t *document, const char *member, int64_t version)
{
	IOT_JSON message = json_deep_copy(document);

	if (member != NULL)
		iot_json_set_int(message, member, version);
	return json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(16));
}

static enum iot_status say(struct iot_local *local, const json_t *request, const char *member,
			   const struct current *current, int64_t version, struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", ""), *topic = iot_json_str(request, "topic", NULL);
	const json_t *document = json_object_get(request, "document");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	bool retain = iot_json_bool(request, "retain", false);

	if (topic == NULL) {
		IOT_JSON desired = json_deep_copy(document);

		iot_json_set_int(desired, member, version);
		return iot_local_shadow_desire(local, thing, SHADOW, desired, current->connected, err);
	}
	text = message_text(document, member, version);
	if (strlen(text) > DOCUMENT_MAX)
		return iot_cloud_fail(err, "RequestEntityTooLargeException",
				      "the configuration of '%s' has %zu bytes: at most %zu can be sent", thing,
				      strlen(text), DOCUMENT_MAX);
	/* Nobody may tell when a gateway's child comes back: the broker keeps it for then. */
	if (!current->connected && !(current->behind_gateway && retain))
		return IOT_OK;
	return iot_local_outbox_add(local, "publish", current->thing_id, topic, text, strlen(text),
				    (int)iot_json_int(request, "qos", 1), retain, err);
}

/* --- SetDeviceConfig ---------------------------------------------------------------------------- */

static enum iot_status check_request(const json_t *request, const char *acknowledge, const char *member,
				     struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", "");
	bool topic = json_object_get(request, "topic") != NULL;

	if (topic == (strcmp(acknowledge, "shadow") == 0))
		return iot_local_invalid(err, topic ? "a configuration in a shadow has no topic"
						    : "a configuration that is not in a shadow needs a topic");
	if (member != NULL && json_object_get(json_object_get(request, "document"), member) != NULL) {
		iot_local_invalid(err, "the configuration of '%s' has a member '%s' of its own", thing, member);
		iot_error_hint(err, "leave it out: the version is put there when the configuration is sent");
		return IOT_USAGE;
	}
	return IOT_OK;
}

static bool is_same(const struct current *current, const json_t *request, const char *text, const char *acknowledge)
{
	const char *topic = iot_json_str(request, "topic", "");

	return current->version > 0 && strcmp(current->document, text) == 0 &&
	       strcmp(current->acknowledge, acknowledge) == 0 &&
	       strcmp(current->topic != NULL ? current->topic : "", topic) == 0;
}

static enum iot_status insert(struct iot_local *local, const json_t *request, int64_t thing_id, int64_t version,
			      const char *text, const char *acknowledge, const char *member, struct iot_error *err)
{
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO configs (thing_id, version, document, author, created_at, topic, qos, retain,"
			     " acknowledge, member) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			     "iissisiiss", thing_id, version, text, iot_json_str(request, "author", NULL), iot_now_ms(),
			     iot_json_str(request, "topic", NULL), iot_json_int(request, "qos", 1),
			     (int64_t)iot_json_bool(request, "retain", false), acknowledge, member);
}

static enum iot_status set_config(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(current_release) struct current current = {0};
	const char *thing = iot_json_str(request, "thingName", "");
	const char *acknowledge = iot_json_str(request, "acknowledge", "shadow");
	bool none = strcmp(acknowledge, "none") == 0;
	const char *member = none ? NULL : iot_json_str(request, "versionMember", IOT_CONFIG_MEMBER);
	IOT_CLEAN(iot_free_p)
	char *text = json_dumps(json_object_get(request, "document"), JSON_COMPACT | JSON_REAL_PRECISION(16));
	int64_t expected = iot_json_int(request, "expectedVersion", -1), version;
	bool same;
	enum iot_status status = check_request(request, acknowledge, member, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = find(local, thing, &current, err);
	if (status != IOT_OK)
		return status;
	if (expected >= 0 && expected != current.version)
		return iot_cloud_fail(err, "VersionConflictException",
				      "the configuration of '%s' has version %" PRId64 ", not %" PRId64, thing,
				      current.version, expected);
	same = is_same(&current, request, text, acknowledge);
	version = same ? current.version : current.version + 1;
	if (!same)
		status = insert(local, request, current.thing_id, version, text, acknowledge, member, err);
	if (status == IOT_OK && !same)
		status = say(local, request, member, &current, version, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "thingName", thing);
	iot_json_set_int(*ret_reply, "version", version);
	iot_json_set_bool(*ret_reply, "changed", !same);
	return IOT_OK;
}

/* --- reading ------------------------------------------------------------------------------------------ */

#define VERSION_COLUMNS "c.version, c.document, c.author, c.created_at, c.acknowledged_at"

static void set_version(struct iot_stmt *stmt, json_t *to)
{
	iot_json_set_int(to, "version", iot_stmt_int(stmt, 0));
	iot_local_set_json(to, "document", iot_stmt_text(stmt, 1));
	iot_json_set_str(to, "author", iot_stmt_text(stmt, 2));
	iot_local_set_time(to, "createdAt", iot_stmt_int(stmt, 3));
	iot_local_set_time(to, "acknowledgedAt", iot_stmt_int(stmt, 4));
}

static enum iot_status get_config(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *thing = iot_json_str(request, "thingName", "");
	int64_t thing_id = 0, version = iot_json_int(request, "version", 0);
	bool row = false;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = iot_stmt_query(local->store, &stmt, &row, err,
					"SELECT " VERSION_COLUMNS " FROM configs c WHERE c.thing_id = ?1"
					" AND (?2 = 0 OR c.version = ?2) ORDER BY c.version DESC LIMIT 1",
					"ii", thing_id, version);
	if (status != IOT_OK)
		return status;
	if (!row && version == 0)
		return iot_local_not_found(err, "device '%s' has no configuration", thing);
	if (!row)
		return iot_local_not_found(err, "the configuration of '%s' has no version %" PRId64, thing, version);
	iot_json_set_str(*ret_reply, "thingName", thing);
	set_version(stmt, *ret_reply);
	return IOT_OK;
}

static enum iot_status list_versions(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *versions = json_array();
	int64_t thing_id = 0;
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "versions", versions);
	if (status == IOT_OK)
		status = iot_local_thing_id(local, iot_json_str(request, "thingName", ""), &thing_id, err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT " VERSION_COLUMNS " FROM configs c WHERE c.thing_id = ?1"
				      " AND (?2 = 0 OR c.version < ?2) ORDER BY c.version DESC LIMIT ?3",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iii", thing_id, page.after_id, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *version = json_object();

		set_version(stmt, version);
		json_array_append_new(versions, version);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

/* Which devices are on a page is found out first: what is joined to them costs more than the names that are skipped. */
#define LIST                                                                                                           \
	"SELECT t.name, y.name, c.version, c.author, c.created_at, a.version, a.acknowledged_at FROM"                  \
	" (SELECT t.id, t.name, t.type_id FROM things t WHERE t.name > ifnull(?2, '')"                                 \
	" AND (?3 IS NULL OR t.type_id = (SELECT id FROM types WHERE name = ?3))"                                      \
	" AND (?4 OR EXISTS (SELECT 1 FROM configs WHERE thing_id = t.id))"
#define LIST_END                                                                                                       \
	" ORDER BY t.name LIMIT ?5) t"                                                                                 \
	" LEFT JOIN types y ON y.id = t.type_id"                                                                       \
	" LEFT JOIN configs c ON c.thing_id = t.id"                                                                    \
	" AND c.version = (SELECT max(version) FROM configs WHERE thing_id = t.id)"                                    \
	" LEFT JOIN configs a ON a.thing_id = t.id AND a.version = (SELECT max(version) FROM configs"                  \
	" WHERE thing_id = t.id AND acknowledged_at IS NOT NULL) ORDER BY t.name"

/* ?1 is what the list is limited to: nothing, a thing, or a group. */
static enum iot_status open_list(struct iot_local *local, const json_t *request, const struct iot_page *page,
				 struct iot_stmt **ret, struct iot_error *err)
{
	static const char all[] = LIST " AND ?1 = 0" LIST_END;
	static const char one[] = LIST " AND t.id = ?1" LIST_END;
	static const char group[] = IOT_SQL_GROUP_TREE LIST
		" AND t.id IN (SELECT m.thing_id FROM group_members m JOIN tree ON m.group_id = tree.id)" LIST_END;
	const char *thing_name = iot_json_str(request, "thingName", NULL);
	const char *group_name = iot_json_str(request, "thingGroupName", NULL);
	int64_t id = 0;
	enum iot_status status = IOT_OK;

	if (thing_name != NULL && group_name != NULL)
		return iot_local_invalid(err, "thingName and thingGroupName exclude one another");
	if (thing_name != NULL)
		status = iot_local_thing_id(local, thing_name, &id, err);
	else if (group_name != NULL)
		status = iot_local_group_id(local, group_name, &id, err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store, thing_name != NULL ? one : (group_name != NULL ? group : all), ret,
				      err);
	if (status == IOT_OK)
		status =
			iot_stmt_bind(*ret, err, "issii", id, page->after, iot_json_str(request, "thingTypeName", NULL),
				      (int64_t)iot_json_bool(request, "unconfigured", false), page->limit + 1);
	return status;
}

static enum iot_status list_configs(struct iot_local *local, const json_t *request, const struct iot_body *in,
				    json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *configs = json_array();
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "configs", configs);
	if (status == IOT_OK)
		status = open_list(local, request, &page, &stmt, err);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *config = json_object();

		iot_json_set_str(config, "thingName", iot_stmt_text(stmt, 0));
		iot_json_set_str(config, "thingTypeName", iot_stmt_text(stmt, 1));
		if (!iot_stmt_is_null(stmt, 2))
			iot_json_set_int(config, "version", iot_stmt_int(stmt, 2));
		iot_json_set_str(config, "author", iot_stmt_text(stmt, 3));
		iot_local_set_time(config, "createdAt", iot_stmt_int(stmt, 4));
		if (!iot_stmt_is_null(stmt, 5))
			iot_json_set_int(config, "acknowledgedVersion", iot_stmt_int(stmt, 5));
		iot_local_set_time(config, "acknowledgedAt", iot_stmt_int(stmt, 6));
		json_array_append_new(configs, config);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

const struct iot_local_handler iot_local_config_handlers[] = {
	{"iotctl:SetDeviceConfig", set_config, false},
	{"iotctl:GetDeviceConfig", get_config, false},
	{"iotctl:ListDeviceConfigVersions", list_versions, false},
	{"iotctl:ListDeviceConfigs", list_configs, false},
	{NULL, NULL, false},
};

/* --- for serve ------------------------------------------------------------------------------------------- */

/* The device says what it has: later versions, should it have said that it had them, it has no more. */
static enum iot_status record(struct iot_local *local, int64_t thing_id, int64_t version, struct iot_error *err)
{
	enum iot_status status = iot_store_run(local->store, NULL, err,
					       "UPDATE configs SET acknowledged_at = ? WHERE thing_id = ?"
					       " AND version = ? AND acknowledged_at IS NULL",
					       "iii", iot_now_ms(), thing_id, version);

	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE configs SET acknowledged_at = NULL WHERE thing_id = ? AND version > ?"
				       " AND acknowledged_at IS NOT NULL",
				       "ii", thing_id, version);
	return status;
}

enum iot_status iot_local_config_reported(struct iot_local *local, int64_t thing_id, const char *thing,
					  const char *acknowledge, const json_t *report, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const json_t *value;
	int64_t newest;
	bool row = false, known;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err,
						"SELECT version, acknowledge, member, acknowledged_at FROM configs"
						" WHERE thing_id = ? ORDER BY version DESC LIMIT 1",
						"i", thing_id);
	if (status != IOT_OK || !row || strcmp(iot_stmt_text(stmt, 1), acknowledge) != 0)
		return status;
	newest = iot_stmt_int(stmt, 0);
	known = !iot_stmt_is_null(stmt, 3);
	value = json_object_get(report, iot_stmt_text(stmt, 2));
	iot_stmt_done(iot_take(stmt));
	if (value == NULL || json_is_null(value))
		return IOT_OK;
	if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > newest) {
		IOT_CLEAN(iot_free_p) char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		iot_warn("thing '%s' acknowledges version %.40s of its configuration, which was never sent: the newest "
			 "is %" PRId64,
			 thing, text, newest);
		return IOT_OK;
	}
	if (json_integer_value(value) == newest && known)
		return IOT_OK;
	return record(local, thing_id, json_integer_value(value), err);
}

enum iot_status iot_local_event(struct iot_cloud *cloud, const char *thing, const json_t *event, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	int64_t thing_id = 0;
	enum iot_status status;

	if (!json_is_object(event))
		return IOT_OK;
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = iot_local_thing_id(local, thing, &thing_id, err);
	if (status == IOT_OK)
		status = iot_local_config_reported(local, thing_id, thing, "event", event, err);
	return iot_local_end(local, status, err);
}

void iot_config_message_release(struct iot_config_message *message)
{
	free(message->topic);
	free(message->payload);
	*message = (struct iot_config_message){0};
}

enum iot_status iot_local_config_due(struct iot_cloud *cloud, const char *thing, struct iot_config_message *ret,
				     struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON document = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(local->store,
					      "SELECT c.acknowledged_at, c.version, c.document, c.topic, c.qos,"
					      " c.retain, c.acknowledge, c.member FROM things t"
					      " JOIN configs c ON c.thing_id = t.id WHERE t.name = ?"
					      " ORDER BY c.version DESC LIMIT 1",
					      &stmt, err);

	*ret = (struct iot_config_message){0};
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", thing);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK || !row || !iot_stmt_is_null(stmt, 0))
		return status;
	ret->acknowledged = strcmp(iot_stmt_text(stmt, 6), "none") != 0;
	if (iot_stmt_is_null(stmt, 3)) {
		ret->qos = 1;
		return iot_local_shadow_delta(local, thing, SHADOW, &ret->topic, &ret->payload, err);
	}
	document = json_loads(iot_stmt_text(stmt, 2), 0, NULL);
	ret->topic = iot_strdup(iot_stmt_text(stmt, 3));
	ret->payload = message_text(document, iot_stmt_text(stmt, 7), iot_stmt_int(stmt, 1));
	ret->qos = (int)iot_stmt_int(stmt, 4);
	ret->retain = iot_stmt_int(stmt, 5) != 0;
	return IOT_OK;
}
