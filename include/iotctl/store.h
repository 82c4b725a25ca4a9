/*
 * SQLite, and nothing that is not SQLite: opening with the right pragmas,
 * versioned migrations, prepared statements, transactions. The only code that
 * calls the sqlite3 library. What the tables mean is known to cloud/local.
 *
 * A store is used by one thread at a time. Several processes may have one file
 * open: WAL mode, and a busy time-out of IOT_STORE_BUSY_MS.
 */
#ifndef IOTCTL_STORE_H
#define IOTCTL_STORE_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

struct iot_store;
struct iot_stmt;

#define IOT_STORE_BUSY_MS 10000

/* A schema: the steps from version 0 to the newest, one SQL script each. Never edit a step that was released. */
struct iot_schema {
	const char *name;           /* "registry", for messages */
	int32_t application_id;     /* PRAGMA application_id of such a file */
	const char *const *steps;   /* step i leads from version i to i + 1 */
	int step_count;
};

/* The schema of the registry (store/registry_schema.c). */
extern const struct iot_schema iot_registry_schema;
/* The schema of a station's journal (store/journal_schema.c). */
extern const struct iot_schema iot_journal_schema;
/* The schema of a gateway's queue (store/gateway_schema.c). */
extern const struct iot_schema iot_gateway_schema;

enum iot_store_mode {
	IOT_STORE_READ,   /* read only: never creates, never migrates */
	IOT_STORE_WRITE,  /* must exist; older versions are migrated (in one transaction) */
	IOT_STORE_CREATE  /* created 0600 if missing */
};

/*
 * Open a database. IOT_NOT_FOUND: no such file. IOT_SETTINGS: the file is of a
 * newer version, or of another application. IOT_FAILURE: damaged (the hint
 * names 'iotctl restore') or unreadable. WAL, foreign keys on, synchronous FULL.
 */
IOT_CHECK enum iot_status iot_store_open(const char *path, const struct iot_schema *schema, enum iot_store_mode mode,
					 struct iot_store **ret, struct iot_error *err);
void iot_store_close(struct iot_store *store);
void iot_store_close_p(struct iot_store **store); /* for IOT_CLEAN */

/* How long a statement waits for another process's lock before IOT_AGAIN. Default IOT_STORE_BUSY_MS. */
void iot_store_set_busy_ms(struct iot_store *store, int ms);

/*
 * Take a prepared statement from the store's cache (prepared on first use).
 * `sql` must be a string constant: its address is the cache key. Give it back
 * with iot_stmt_done() (or IOT_CLEAN(iot_stmt_done_p)); it is reset then.
 */
IOT_CHECK enum iot_status iot_stmt_get(struct iot_store *store, const char *sql, struct iot_stmt **ret,
				       struct iot_error *err);
void iot_stmt_done(struct iot_stmt *stmt);
void iot_stmt_done_p(struct iot_stmt **stmt);

/*
 * Bind all parameters in order. One letter each: 's' const char * (NULL binds
 * NULL), 'i' int64_t, 'b' const void * and size_t, 'n' NULL (no argument).
 * Text and blobs are copied.
 */
IOT_CHECK enum iot_status iot_stmt_bind(struct iot_stmt *stmt, struct iot_error *err, const char *types, ...);

/* Advance. *ret_row tells whether a row is there. IOT_CONFLICT for a violated constraint, IOT_AGAIN when locked. */
IOT_CHECK enum iot_status iot_stmt_step(struct iot_stmt *stmt, bool *ret_row, struct iot_error *err);

/* Get, bind and step once: the first row of a query, as most want it. The statement is the caller's to give back. */
IOT_CHECK enum iot_status iot_stmt_query(struct iot_store *store, struct iot_stmt **ret, bool *ret_row,
					 struct iot_error *err, const char *sql, const char *types, ...);

/* Columns of the current row. Text and blob are borrowed until the next step; NULL stays NULL, NULL integer is 0. */
const char *iot_stmt_text(struct iot_stmt *stmt, int column);
int64_t iot_stmt_int(struct iot_stmt *stmt, int column);
const void *iot_stmt_blob(struct iot_stmt *stmt, int column, size_t *ret_len);
bool iot_stmt_is_null(struct iot_stmt *stmt, int column);

/* Get, bind, step once, done: for INSERT, UPDATE, DELETE. *ret_changes may be NULL. */
IOT_CHECK enum iot_status iot_store_run(struct iot_store *store, int64_t *ret_changes, struct iot_error *err,
					const char *sql, const char *types, ...);

/* The rowid of the last INSERT of this connection. */
int64_t iot_store_last_id(struct iot_store *store);

/*
 * Write transactions take the lock at once (BEGIN IMMEDIATE). They do not nest:
 * iot_store_begin inside one is a programming error and returns IOT_FAILURE.
 * iot_store_rollback is harmless outside of one.
 */
IOT_CHECK enum iot_status iot_store_begin(struct iot_store *store, struct iot_error *err);
IOT_CHECK enum iot_status iot_store_commit(struct iot_store *store, struct iot_error *err);
void iot_store_rollback(struct iot_store *store);
bool iot_store_in_transaction(const struct iot_store *store);
/*
 * Does a commit wait until it is on the disk? By default it does. One that does not survives the end of the process,
 * and is lost only if the machine stops before a later one has waited: for news that are soon out of date. Nothing
 * changes inside of a transaction.
 */
void iot_store_set_durable(struct iot_store *store, bool durable);

/*
 * Take the write-ahead log into the file and give its room on the disk back, as far as nobody reads from it: after a
 * write that failed because the disk is full. What fails here fails again, and better told, with the next write.
 */
void iot_store_shrink(struct iot_store *store);

/* PRAGMA data_version: changes when another connection has changed the file. Cheap (no lock kept). */
IOT_CHECK enum iot_status iot_store_data_version(struct iot_store *store, int64_t *ret, struct iot_error *err);

/* A consistent copy of a live database (SQLite's online backup) to a new file, 0600. */
IOT_CHECK enum iot_status iot_store_backup(struct iot_store *store, const char *to, struct iot_error *err);

#endif
