/*
 * Prepared statements: a cache keyed by the address of the SQL text, binding by
 * a string of type letters, stepping with errors that a person can read.
 */
#include "store_private.h"

#include "iotctl/base.h"

#include <stdarg.h>
#include <string.h>

#define CACHE_START 64

static size_t slot_of(const struct iot_store *store, const char *sql)
{
	uintptr_t h = (uintptr_t)sql;

	h ^= h >> 17;
	h *= UINT64_C(0x9e3779b97f4a7c15);
	return (size_t)(h >> 20) & (store->cache_size - 1);
}

/* The cache's place for `sql`: its statement, or the free slot. */
static struct iot_stmt **find_slot(struct iot_store *store, const char *sql)
{
	size_t i = slot_of(store, sql);

	while (store->cache[i] != NULL && store->cache[i]->sql != sql)
		i = (i + 1) & (store->cache_size - 1);
	return &store->cache[i];
}

static void grow_cache(struct iot_store *store)
{
	struct iot_stmt **old = store->cache;
	size_t old_size = store->cache_size;

	store->cache_size = old_size == 0 ? CACHE_START : old_size * 2;
	store->cache = iot_alloc_array(store->cache_size, sizeof(struct iot_stmt *));
	for (size_t i = 0; i < old_size; i++) {
		if (old[i] != NULL)
			*find_slot(store, old[i]->sql) = old[i];
	}
	free(old);
}

static enum iot_status prepare(struct iot_store *store, const char *sql, bool cached, struct iot_stmt **ret,
			       struct iot_error *err)
{
	struct iot_stmt *stmt;
	sqlite3_stmt *raw = NULL;
	int rc;

	rc = sqlite3_prepare_v3(store->db, sql, -1, cached ? SQLITE_PREPARE_PERSISTENT : 0, &raw, NULL);
	if (rc != SQLITE_OK)
		return iot_store_fault(store->db, store->path, store->schema, rc, err);
	stmt = iot_alloc(sizeof(*stmt));
	stmt->store = store;
	stmt->sql = sql;
	stmt->raw = raw;
	stmt->busy = true;
	stmt->cached = cached;
	*ret = stmt;
	return IOT_OK;
}

enum iot_status iot_stmt_get(struct iot_store *store, const char *sql, struct iot_stmt **ret, struct iot_error *err)
{
	struct iot_stmt **slot;
	enum iot_status status;

	if (store->cache_used * 2 >= store->cache_size)
		grow_cache(store);
	slot = find_slot(store, sql);
	if (*slot != NULL && (*slot)->busy)
		return prepare(store, sql, false, ret, err);
	if (*slot == NULL) {
		status = prepare(store, sql, true, slot, err);
		if (status != IOT_OK || *slot == NULL)
			return status;
		store->cache_used++;
	}
	(*slot)->busy = true;
	*ret = *slot;
	return IOT_OK;
}

void iot_stmt_done(struct iot_stmt *stmt)
{
	if (stmt == NULL)
		return;
	if (!stmt->cached) {
		sqlite3_finalize(stmt->raw);
		free(stmt);
		return;
	}
	sqlite3_reset(stmt->raw);
	sqlite3_clear_bindings(stmt->raw);
	stmt->busy = false;
}

void iot_stmt_done_p(struct iot_stmt **stmt)
{
	iot_stmt_done(*stmt);
	*stmt = NULL;
}

void iot_store_drop_cache(struct iot_store *store)
{
	for (size_t i = 0; i < store->cache_size; i++) {
		if (store->cache[i] == NULL)
			continue;
		sqlite3_finalize(store->cache[i]->raw);
		free(store->cache[i]);
	}
	free(store->cache);
	store->cache = NULL;
	store->cache_size = 0;
	store->cache_used = 0;
}

static int bind_one(sqlite3_stmt *raw, int index, char type, va_list *args)
{
	const char *text;
	const void *blob;
	size_t len;

	switch (type) {
	case 's':
		text = va_arg(*args, const char *);
		return text != NULL ? sqlite3_bind_text(raw, index, text, -1, SQLITE_TRANSIENT)
				    : sqlite3_bind_null(raw, index);
	case 'i':
		return sqlite3_bind_int64(raw, index, va_arg(*args, int64_t));
	case 'b':
		blob = va_arg(*args, const void *);
		len = va_arg(*args, size_t);
		if (blob == NULL)
			return sqlite3_bind_zeroblob(raw, index, 0);
		return sqlite3_bind_blob64(raw, index, blob, len, SQLITE_TRANSIENT);
	case 'n':
		return sqlite3_bind_null(raw, index);
	default:
		return SQLITE_MISUSE;
	}
}

static enum iot_status bind_all(struct iot_stmt *stmt, struct iot_error *err, const char *types, va_list *args)
{
	int index = 0;

	/* A statement that ran before must be reset before it takes values. */
	sqlite3_reset(stmt->raw);
	if (sqlite3_bind_parameter_count(stmt->raw) != (int)strlen(types))
		return iot_fail(err, IOT_FAILURE, "statement takes %d values, not %zu: %.80s",
				sqlite3_bind_parameter_count(stmt->raw), strlen(types), stmt->sql);
	for (; types[index] != '\0'; index++) {
		int rc = bind_one(stmt->raw, index + 1, types[index], args);

		if (rc != SQLITE_OK)
			return iot_store_fault(stmt->store->db, stmt->store->path, stmt->store->schema, rc, err);
	}
	return IOT_OK;
}

enum iot_status iot_stmt_bind(struct iot_stmt *stmt, struct iot_error *err, const char *types, ...)
{
	va_list args;
	enum iot_status status;

	va_start(args, types);
	status = bind_all(stmt, err, types, &args);
	va_end(args);
	return status;
}

enum iot_status iot_stmt_step(struct iot_stmt *stmt, bool *ret_row, struct iot_error *err)
{
	struct iot_store *store = stmt->store;
	int rc = sqlite3_step(stmt->raw);
	enum iot_status status;

	if (rc == SQLITE_ROW || rc == SQLITE_DONE) {
		*ret_row = rc == SQLITE_ROW;
		return IOT_OK;
	}
	status = iot_store_fault(store->db, store->path, store->schema, rc, err);
	sqlite3_reset(stmt->raw);
	return status;
}

enum iot_status iot_stmt_query(struct iot_store *store, struct iot_stmt **ret, bool *ret_row, struct iot_error *err,
			       const char *sql, const char *types, ...)
{
	va_list args;
	enum iot_status status = iot_stmt_get(store, sql, ret, err);

	if (status != IOT_OK || *ret == NULL)
		return status;
	va_start(args, types);
	status = bind_all(*ret, err, types, &args);
	va_end(args);
	return status == IOT_OK ? iot_stmt_step(*ret, ret_row, err) : status;
}

const char *iot_stmt_text(struct iot_stmt *stmt, int column)
{
	return (const char *)sqlite3_column_text(stmt->raw, column);
}

int64_t iot_stmt_int(struct iot_stmt *stmt, int column)
{
	return sqlite3_column_int64(stmt->raw, column);
}

const void *iot_stmt_blob(struct iot_stmt *stmt, int column, size_t *ret_len)
{
	const void *blob = sqlite3_column_blob(stmt->raw, column);

	*ret_len = (size_t)sqlite3_column_bytes(stmt->raw, column);
	return blob;
}

bool iot_stmt_is_null(struct iot_stmt *stmt, int column)
{
	return sqlite3_column_type(stmt->raw, column) == SQLITE_NULL;
}

enum iot_status iot_store_run(struct iot_store *store, int64_t *ret_changes, struct iot_error *err, const char *sql,
			      const char *types, ...)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	va_list args;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(store, sql, &stmt, err);
	if (status != IOT_OK || stmt == NULL)
		return status;
	va_start(args, types);
	status = bind_all(stmt, err, types, &args);
	va_end(args);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK && ret_changes != NULL)
		*ret_changes = sqlite3_changes(store->db);
	return status;
}
