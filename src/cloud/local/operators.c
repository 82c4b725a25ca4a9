/*
 * Operators: their rows, with the secrets of access keys sealed, and the keeper of
 * the key that seals them.
 */
#include "local_private.h"

#include "iotctl/digest.h"
#include "iotctl/operator.h"
#include "operators_private.h"

#include <string.h>

/* --- the sealing key --------------------------------------------------------------------- */

enum iot_status operators_key(struct iot_local *local, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.dir, IOT_SEAL_KEY_FILE);
	enum iot_status status = iot_seal_key_read(path, key, err);

	if (status == IOT_NOT_FOUND)
		iot_error_hint(err, "put the file back, mode 0600, from where you keep it");
	return status;
}

/* A new key in the place of a lost one would make what that one sealed look altered: devices cannot get other keys. */
static enum iot_status refuse_loss(struct iot_local *local, const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT 1 FROM psks LIMIT 1", "");
	if (status != IOT_OK || !row)
		return status;
	iot_fail(err, IOT_NOT_FOUND, "the fleet's sealing key '%s' is missing, and devices have keys sealed with it",
		 path);
	iot_error_hint(err,
		       "put the file back, mode 0600, from where you keep it; if it is lost, so are those keys: end "
		       "each with 'iotctl psk revoke' and 'iotctl psk delete'");
	return IOT_NOT_FOUND;
}

enum iot_status operators_ensure_key(struct iot_local *local, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.dir, IOT_SEAL_KEY_FILE);
	enum iot_status status = iot_fs_exists(path) ? IOT_OK : refuse_loss(local, path, err);

	return status == IOT_OK ? iot_seal_key_ensure(path, key, err) : status;
}

enum iot_status iot_local_sealing_key(struct iot_cloud *cloud, uint8_t ret_key[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	return operators_ensure_key(iot_local_of(cloud), ret_key, err);
}

enum iot_status iot_local_operator_can_put(struct iot_cloud *cloud, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.dir, IOT_SEAL_KEY_FILE);
	uint8_t key[IOT_SEAL_KEY_SIZE];
	enum iot_status status;

	if (!iot_fs_exists(path))
		return refuse_loss(local, path, err);
	status = operators_key(local, key, err);
	iot_wipe(key, sizeof(key));
	return status;
}

/* --- rows -------------------------------------------------------------------------------- */

static const char put_sql[] =
	"INSERT INTO operators (name, role, certificate_id, access_key_id, sealed, created_at, expires_at)"
	" VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET role = excluded.role,"
	" certificate_id = excluded.certificate_id, access_key_id = excluded.access_key_id, sealed = excluded.sealed,"
	" created_at = excluded.created_at, expires_at = excluded.expires_at, revoked_at = NULL";

enum iot_status iot_local_operator_put(struct iot_cloud *cloud, const struct iot_operator_row *row,
				       struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_buf_release) struct iot_buf sealed = IOT_BUF_INIT(256);
	uint8_t key[IOT_SEAL_KEY_SIZE];
	enum iot_status status;

	if (strlen(row->access_key_id) != IOT_ACCESS_KEY_ID_LEN || strlen(row->secret) != IOT_ACCESS_KEY_SECRET_LEN)
		return iot_fail(err, IOT_USAGE, "operator '%s' has a malformed access key", row->name);
	status = operators_ensure_key(local, key, err);
	if (status != IOT_OK)
		return status;
	iot_seal(key, row->access_key_id, row->secret, IOT_ACCESS_KEY_SECRET_LEN, &sealed);
	iot_wipe(key, sizeof(key));
	return iot_store_run(local->store, NULL, err, put_sql, "ssssbii", row->name, row->role, row->certificate_id,
			     row->access_key_id, (const void *)sealed.data, sealed.len, iot_now_ms(), row->expires_at);
}

enum iot_status iot_local_operator_revoke(struct iot_cloud *cloud, const char *name, bool *ret_changed,
					  struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_JSON record = NULL;
	int64_t changes = 0;
	enum iot_status status = iot_local_operator_get(cloud, name, &record, err);

	if (status == IOT_OK)
		status = iot_store_run(local->store, &changes, err,
				       "UPDATE operators SET revoked_at = ? WHERE name = ? AND revoked_at IS NULL",
				       "is", iot_now_ms(), name);
	if (status == IOT_OK)
		*ret_changed = changes > 0;
	return status;
}

#define SELECT_OPERATORS                                                                                               \
	"SELECT o.name, o.role, o.certificate_id, o.access_key_id, o.created_at, o.expires_at, o.revoked_at, "         \
	"c.status,"                                                                                                    \
	" o.sealed FROM operators o LEFT JOIN certificates c ON c.id = o.certificate_id "

static const char get_sql[] = SELECT_OPERATORS "WHERE o.name = ?";
static const char list_sql[] = SELECT_OPERATORS "ORDER BY o.name";

static const char *state_of(struct iot_stmt *stmt, const uint8_t *key)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf secret = IOT_BUF_SECRET(256);
	const char *certificate = iot_stmt_text(stmt, 7);
	const void *sealed;
	size_t len;

	if (!iot_stmt_is_null(stmt, 6))
		return "revoked";
	if (iot_stmt_int(stmt, 5) <= iot_now_ms())
		return "expired";
	if (certificate == NULL || strcmp(certificate, "ACTIVE") != 0)
		return "inactive";
	sealed = iot_stmt_blob(stmt, 8, &len);
	if (key == NULL || iot_unseal(key, iot_stmt_text(stmt, 3), sealed, len, &secret, NULL) != IOT_OK)
		return "no key";
	return "active";
}

static json_t *record_of(struct iot_stmt *stmt, const uint8_t *key)
{
	json_t *record = json_object();

	iot_json_set_str(record, "operator", iot_stmt_text(stmt, 0));
	iot_json_set_str(record, "role", iot_stmt_text(stmt, 1));
	iot_json_set_str(record, "state", state_of(stmt, key));
	iot_json_set_str(record, "certificateId", iot_stmt_text(stmt, 2));
	iot_json_set_str(record, "accessKeyId", iot_stmt_text(stmt, 3));
	iot_json_set_int(record, "createdAt", iot_stmt_int(stmt, 4));
	iot_json_set_int(record, "expiresAt", iot_stmt_int(stmt, 5));
	if (!iot_stmt_is_null(stmt, 6))
		iot_json_set_int(record, "revokedAt", iot_stmt_int(stmt, 6));
	return record;
}

/* The key for showing states: without it everything else can still be shown. */
static const uint8_t *key_if_there(struct iot_local *local, uint8_t key[IOT_SEAL_KEY_SIZE])
{
	return operators_key(local, key, NULL) == IOT_OK ? key : NULL;
}

enum iot_status iot_local_operator_get(struct iot_cloud *cloud, const char *name, json_t **ret, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	uint8_t key[IOT_SEAL_KEY_SIZE];
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, get_sql, "s", name);
	if (status == IOT_OK && !row)
		status = iot_local_not_found(err, "operator '%s' does not exist", name);
	if (status == IOT_OK)
		*ret = record_of(stmt, key_if_there(local, key));
	iot_wipe(key, sizeof(key));
	return status;
}

static enum iot_status collect(struct iot_local *local, json_t *list, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	uint8_t key[IOT_SEAL_KEY_SIZE];
	const uint8_t *there = key_if_there(local, key);
	bool row = false;
	enum iot_status status = iot_stmt_get(local->store, list_sql, &stmt, err);

	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		json_array_append_new(list, record_of(stmt, there));
	iot_wipe(key, sizeof(key));
	return status;
}

enum iot_status iot_local_operators(struct iot_cloud *cloud,
				    enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
				    void *data, struct iot_error *err)
{
	IOT_JSON list = json_array();
	enum iot_status status = collect(iot_local_of(cloud), list, err);
	json_t *record;
	size_t i;

	json_array_foreach(list, i, record) {
		if (status != IOT_OK)
			break;
		status = each(record, data, err);
	}
	return status;
}
