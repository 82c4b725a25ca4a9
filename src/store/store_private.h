/*
 * Inside the store: the connection and its cache of statements. Only files of
 * this folder include it; nobody else sees sqlite3.h.
 */
#ifndef IOTCTL_STORE_PRIVATE_H
#define IOTCTL_STORE_PRIVATE_H

#include "iotctl/store.h"

#include <sqlite3.h>

struct iot_stmt {
	struct iot_store *store;
	const char *sql;
	sqlite3_stmt *raw;
	bool busy;   /* handed out */
	bool cached; /* owned by the cache; otherwise finalized when done */
};

struct iot_store {
	sqlite3 *db;
	char *path;
	const struct iot_schema *schema;
	struct iot_stmt **cache; /* open addressing by the address of the SQL text */
	size_t cache_size;       /* power of two, or 0 */
	size_t cache_used;
};

/*
 * Turn an SQLite result code into a status and message that names the file and
 * what can be done. `rc` is an extended code; the connection may be NULL.
 */
enum iot_status iot_store_fault(sqlite3 *db, const char *path, const struct iot_schema *schema, int rc,
				struct iot_error *err);

/* Run SQL without parameters and results (pragmas, migrations). */
IOT_CHECK enum iot_status iot_store_exec(struct iot_store *store, const char *sql, struct iot_error *err);

/* Bring an open database to the schema's newest version, or say why it cannot be used. */
IOT_CHECK enum iot_status iot_store_migrate(struct iot_store *store, enum iot_store_mode mode, struct iot_error *err);

/* Finalize every cached statement. */
void iot_store_drop_cache(struct iot_store *store);

#endif
