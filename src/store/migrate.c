/*
 * Versions of a schema. PRAGMA user_version is the number of steps a file has
 * been through, PRAGMA application_id tells whose file it is. All missing steps
 * run in one transaction: a file is of the old version or of the new one.
 */
#include "store_private.h"

#include <stdio.h>

static enum iot_status read_pragma(struct iot_store *store, const char *sql, int64_t *ret, struct iot_error *err)
{
	sqlite3_stmt *raw = NULL;
	int rc;

	rc = sqlite3_prepare_v2(store->db, sql, -1, &raw, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(raw);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(raw, 0);
		sqlite3_finalize(raw);
		return IOT_OK;
	}
	if (rc == SQLITE_DONE)
		rc = SQLITE_CORRUPT;
	rc = rc == SQLITE_OK ? SQLITE_ERROR : rc;
	sqlite3_finalize(raw);
	return iot_store_fault(store->db, store->path, store->schema, rc, err);
}

/* What the file says it is. *ret_empty: it holds nothing at all. Inside of a transaction: it may be made just now. */
static enum iot_status read_identity(struct iot_store *store, int64_t *ret_version, bool *ret_empty,
				     struct iot_error *err)
{
	int64_t application = 0;
	int64_t objects = 0;
	enum iot_status status;

	status = read_pragma(store, "PRAGMA user_version", ret_version, err);
	if (status == IOT_OK)
		status = read_pragma(store, "PRAGMA application_id", &application, err);
	if (status != IOT_OK)
		return status;
	*ret_empty = false;
	if (application == store->schema->application_id)
		return IOT_OK;
	if (application == 0 && *ret_version == 0) {
		status = read_pragma(store, "SELECT count(*) FROM sqlite_master", &objects, err);
		if (status != IOT_OK)
			return status;
		*ret_empty = objects == 0;
	}
	if (!*ret_empty)
		return iot_fail(err, IOT_SETTINGS, "'%s' is not a %s of iotctl but a database of another application",
				store->path, store->schema->name);
	return IOT_OK;
}

/* The same outside of one. */
static enum iot_status look_at_identity(struct iot_store *store, int64_t *ret_version, bool *ret_empty,
					struct iot_error *err)
{
	enum iot_status status = iot_store_exec(store, "BEGIN", err);

	if (status == IOT_OK)
		status = read_identity(store, ret_version, ret_empty, err);
	iot_store_rollback(store); /* nothing was written */
	return status;
}

static enum iot_status check_version(struct iot_store *store, int64_t version, struct iot_error *err)
{
	enum iot_status status;

	if (version <= store->schema->step_count)
		return IOT_OK;
	status = iot_fail(err, IOT_SETTINGS, "%s '%s' is of version %lld, this iotctl knows version %d",
			  store->schema->name, store->path, (long long)version, store->schema->step_count);
	iot_error_hint(err, "use the newer iotctl that wrote it");
	return status;
}

/* Inside the write transaction; another process may have migrated in the meantime, so the version is read again. */
static enum iot_status run_steps(struct iot_store *store, struct iot_error *err)
{
	const struct iot_schema *schema = store->schema;
	int64_t version = 0;
	bool empty = false;
	char pragmas[128];
	enum iot_status status;

	status = read_identity(store, &version, &empty, err);
	if (status == IOT_OK)
		status = check_version(store, version, err);
	for (int64_t step = version; status == IOT_OK && step < schema->step_count; step++) {
		status = iot_store_exec(store, schema->steps[step], err);
		if (status != IOT_OK)
			iot_error_while(err, "bringing %s '%s' from version %lld to %lld", schema->name, store->path,
					(long long)step, (long long)step + 1);
	}
	if (status != IOT_OK || version >= schema->step_count)
		return status;
	snprintf(pragmas, sizeof(pragmas), "PRAGMA user_version = %d; PRAGMA application_id = %d", schema->step_count,
		 (int)schema->application_id);
	return iot_store_exec(store, pragmas, err);
}

enum iot_status iot_store_migrate(struct iot_store *store, enum iot_store_mode mode, struct iot_error *err)
{
	int64_t version = 0;
	bool empty = false;
	enum iot_status status;

	status = look_at_identity(store, &version, &empty, err);
	if (status == IOT_OK)
		status = check_version(store, version, err);
	if (status != IOT_OK)
		return status;
	if (empty && mode != IOT_STORE_CREATE) {
		status =
			iot_fail(err, IOT_FAILURE, "%s '%s' is damaged: it is empty", store->schema->name, store->path);
		iot_error_hint(err, "put a backup back with 'iotctl restore'");
		return status;
	}
	if (version == store->schema->step_count)
		return IOT_OK;
	if (mode == IOT_STORE_READ) {
		status = iot_fail(err, IOT_SETTINGS, "%s '%s' is of the older version %lld", store->schema->name,
				  store->path, (long long)version);
		iot_error_hint(err, "any iotctl command that may write brings it up to date");
		return status;
	}
	status = iot_store_begin(store, err);
	if (status == IOT_OK)
		status = run_steps(store, err);
	if (status == IOT_OK)
		return iot_store_commit(store, err);
	iot_store_rollback(store);
	return status;
}
