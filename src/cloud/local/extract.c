/*
 * What a gateway on another machine must know of the registry, as a registry of
 * its own: the gateway and its children, with no more of their attributes than it
 * needs; the children's active secrets, sealed anew with a key that is made for
 * this file and is in it; their public attestation keys and their attestation
 * policies; and which layouts they use. Nothing of other devices, and nothing that
 * the fleet's sealing key would open.
 */
#include "psks_private.h"

#include "iotctl/digest.h"

/* The children of a gateway, or (or-ed) the gateway itself. */
#define CHILDREN                                                                                                       \
	"SELECT id FROM main.things WHERE json_extract(attributes, '$.gateway') = ?1"                                  \
	" AND json_extract(attributes, '$.gateway') IS NOT NULL"

static const char sql_types[] =
	"INSERT INTO extract.types (id, name, uuid, created_at) SELECT id, name, uuid, created_at FROM main.types"
	" WHERE id IN (SELECT type_id FROM main.things WHERE id IN (" CHILDREN ") OR name = ?1)";

/* json_patch drops what is null. */
static const char sql_things[] = "INSERT INTO extract.things (id, name, uuid, type_id, version, attributes, created_at)"
				 " SELECT id, name, uuid, type_id, version, json_patch('{}', json_object("
				 "  'gateway', json_extract(attributes, '$.gateway'), 'copyTo', "
				 "json_extract(attributes, '$.copyTo'))), created_at"
				 " FROM main.things WHERE id IN (" CHILDREN ") OR name = ?1";

static const char sql_keys[] =
	"INSERT INTO extract.device_keys (key_id, thing_id, pem, type, expires_at, created_at, purpose)"
	" SELECT key_id, thing_id, pem, type, expires_at, created_at, purpose FROM main.device_keys"
	" WHERE purpose = 'attest' AND thing_id IN (" CHILDREN ")";

/* Groups are there for the attestation policies that are assigned to them. */
static const char sql_groups[] =
	"WITH RECURSIVE member(id) AS ("
	" SELECT group_id FROM main.group_members WHERE thing_id IN (" CHILDREN ")"
	" UNION SELECT parent_id FROM main.groups JOIN member ON groups.id = member.id WHERE parent_id IS NOT NULL)"
	" INSERT INTO extract.groups (id, name, uuid, parent_id, version, created_at)"
	" SELECT id, name, uuid, parent_id, version, created_at FROM main.groups WHERE id IN (SELECT id FROM member)";

static const char sql_members[] = "INSERT INTO extract.group_members (group_id, thing_id)"
				  " SELECT group_id, thing_id FROM main.group_members WHERE thing_id IN (" CHILDREN ")";

#define TARGETS                                                                                                        \
	" FROM main.attest_targets WHERE thing_id IN (SELECT id FROM extract.things)"                                  \
	" OR group_id IN (SELECT id FROM extract.groups) OR type_id IN (SELECT id FROM extract.types)"

static const char sql_policies[] = "INSERT INTO extract.attest_policies (id, name, document, created_at, modified_at)"
				   " SELECT id, name, document, created_at, modified_at FROM main.attest_policies"
				   " WHERE id IN (SELECT policy_id" TARGETS ")";

static const char sql_targets[] = "INSERT INTO extract.attest_targets (policy_id, thing_id, group_id, type_id)"
				  " SELECT policy_id, thing_id, group_id, type_id" TARGETS;

static const char sql_layouts[] = "INSERT INTO extract.meta (key, value) SELECT key, value FROM main.meta"
				  " WHERE key = 'name' OR key = 'layout' OR key LIKE 'layout/%'";

static const char sql_count[] = "SELECT count(*) FROM extract.things WHERE name <> ?";

/* A gateway that is elsewhere cannot tell who is there: what one here has said before is not so any more. */
static const char sql_presence[] = "DELETE FROM main.presence WHERE reason LIKE 'GATEWAY%'"
				   " AND client_id IN (SELECT name FROM main.things WHERE id IN (" CHILDREN "))";

static enum iot_status set_fact(struct iot_local *local, const char *key, const char *value, struct iot_error *err)
{
	return iot_store_run(local->store, NULL, err, "INSERT INTO extract.meta (key, value) VALUES (?, ?)", "ss", key,
			     value);
}

static enum iot_status set_facts(struct iot_local *local, const char *gateway, const uint8_t *seal,
				 struct iot_error *err)
{
	char hex[2 * IOT_SEAL_KEY_SIZE + 1], now[32];
	enum iot_status status = set_fact(local, IOT_EXTRACT_SEAL, iot_hex(seal, IOT_SEAL_KEY_SIZE, hex), err);

	iot_wipe(hex, sizeof(hex));
	if (status == IOT_OK)
		status = set_fact(local, IOT_EXTRACT_GATEWAY, gateway, err);
	if (status == IOT_OK)
		status = set_fact(local, IOT_EXTRACT_TIME, iot_time_rfc3339(iot_now_ms(), now), err);
	return status;
}

static enum iot_status copy_rows(struct iot_local *local, const char *gateway, const json_t *facts,
				 struct iot_error *err)
{
	static const char *const statements[] = {sql_types,  sql_things,  sql_keys,
						 sql_groups, sql_members, sql_presence};
	static const char *const others[] = {sql_policies, sql_targets, sql_layouts};
	uint8_t seal[IOT_SEAL_KEY_SIZE];
	enum iot_status status = IOT_OK;
	const char *key;
	json_t *value;

	iot_random(seal, sizeof(seal));
	for (size_t i = 0; i < IOT_LENGTH(statements) && status == IOT_OK; i++)
		status = iot_store_run(local->store, NULL, err, statements[i], "s", gateway);
	for (size_t i = 0; i < IOT_LENGTH(others) && status == IOT_OK; i++)
		status = iot_store_run(local->store, NULL, err, others[i], "");
	if (status == IOT_OK)
		status = psks_extract(local, seal, err);
	json_object_foreach((json_t *)(uintptr_t)facts, key, value) {
		if (status == IOT_OK)
			status = set_fact(local, key, json_string_value(value), err);
	}
	if (status == IOT_OK)
		status = set_facts(local, gateway, seal, err);
	iot_wipe(seal, sizeof(seal));
	return status;
}

static enum iot_status count_children(struct iot_local *local, const char *gateway, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, sql_count, "s", gateway);

	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

/* One view of the registry, in a file that is empty so far. */
static enum iot_status fill(struct iot_local *local, const char *gateway, const json_t *facts, const char *path,
			    int64_t *ret_children, struct iot_error *err)
{
	enum iot_status status = iot_store_run(local->store, NULL, err, "ATTACH ? AS extract", "s", path);

	if (status != IOT_OK)
		return status;
	status = iot_local_begin(local, err);
	if (status == IOT_OK) {
		status = copy_rows(local, gateway, facts, err);
		if (status == IOT_OK)
			status = count_children(local, gateway, ret_children, err);
		status = iot_local_end(local, status, err);
	}
	if (iot_store_run(local->store, NULL, status == IOT_OK ? err : NULL, "DETACH extract", "") != IOT_OK &&
	    status == IOT_OK)
		status = IOT_FAILURE;
	return status;
}

enum iot_status iot_local_extract(struct iot_cloud *cloud, const char *gateway, const json_t *facts, const char *path,
				  int64_t *ret_children, struct iot_error *err)
{
	struct iot_store *empty = NULL;
	enum iot_status status = iot_store_open(path, &iot_registry_schema, IOT_STORE_CREATE, &empty, err);

	iot_store_close(empty);
	return status == IOT_OK ? fill(iot_local_of(cloud), gateway, facts, path, ret_children, err) : status;
}
