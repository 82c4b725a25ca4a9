/*
 * Opening and closing a database, transactions, and copying a live one. Opening
 * reads the file's header and schema and nothing more, however large it is.
 */
#include "store_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Make the file 0600 before SQLite sees it; its -wal and -shm take over the mode. */
static enum iot_status create_file(const char *path, struct iot_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return iot_fail_errno(err, errno == EEXIST ? IOT_CONFLICT : IOT_FAILURE, errno, "cannot create '%s'",
				      path);
	if (fchmod(fd, 0600) != 0) {
		int errnum = errno;

		close(fd);
		unlink(path);
		return iot_fail_errno(err, IOT_FAILURE, errnum, "cannot set the mode of '%s'", path);
	}
	close(fd);
	return IOT_OK;
}

static enum iot_status check_file(const char *path, const struct iot_schema *schema, enum iot_store_mode mode,
				  struct iot_error *err)
{
	struct stat st;
	enum iot_status status;

	if (stat(path, &st) == 0) {
		if (!S_ISREG(st.st_mode))
			return iot_fail(err, IOT_FAILURE, "%s '%s' is not a regular file", schema->name, path);
		return IOT_OK;
	}
	if (errno != ENOENT)
		return iot_fail_errno(err, errno == EACCES ? IOT_DENIED : IOT_FAILURE, errno, "cannot open %s '%s'",
				      schema->name, path);
	if (mode != IOT_STORE_CREATE)
		return iot_fail(err, IOT_NOT_FOUND, "there is no %s '%s'", schema->name, path);
	status = create_file(path, err);
	/* Another process was faster: fine, its migration is waited for. */
	return status == IOT_CONFLICT ? IOT_OK : status;
}

static enum iot_status configure(struct iot_store *store, enum iot_store_mode mode, struct iot_error *err)
{
	sqlite3_extended_result_codes(store->db, 1);
	sqlite3_busy_timeout(store->db, IOT_STORE_BUSY_MS);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(store->db, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
	if (mode == IOT_STORE_READ)
		return IOT_OK;
	if (sqlite3_db_readonly(store->db, "main") == 1)
		return iot_fail(err, IOT_DENIED, "%s '%s' cannot be written by this user", store->schema->name,
				store->path);
	return IOT_OK;
}

/*
 * After the file is known to be ours, so that another application's file is left as it is. A file that is not in WAL
 * mode yet is switched by turning a read lock into a write lock; whoever comes second is refused at once, whatever its
 * busy time-out is, for two who wait for one another like that would wait for ever. So it waits for the write lock from
 * the beginning, holding nothing, and looks again: by then the file has been switched, as a rule.
 */
static enum iot_status set_journal(struct iot_store *store, enum iot_store_mode mode, struct iot_error *err)
{
	int64_t deadline = iot_deadline(IOT_STORE_BUSY_MS);
	enum iot_status status;

	if (mode == IOT_STORE_READ)
		return IOT_OK;
	for (;;) {
		status = iot_store_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", err);
		if (status != IOT_AGAIN || iot_left(deadline) == 0)
			return status;
		status = iot_store_begin(store, err);
		if (status != IOT_OK)
			return status;
		iot_store_rollback(store);
		iot_error_clear(err);
	}
}

enum iot_status iot_store_open(const char *path, const struct iot_schema *schema, enum iot_store_mode mode,
			       struct iot_store **ret, struct iot_error *err)
{
	struct iot_store *store;
	enum iot_status status;
	int flags = mode == IOT_STORE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	int rc;

	status = check_file(path, schema, mode, err);
	if (status != IOT_OK)
		return status;
	store = iot_alloc(sizeof(*store));
	store->path = iot_strdup(path);
	store->schema = schema;
	rc = sqlite3_open_v2(path, &store->db, flags | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		status = iot_store_fault(store->db, path, schema, rc, err);
	if (status == IOT_OK)
		status = configure(store, mode, err);
	if (status == IOT_OK)
		status = iot_store_migrate(store, mode, err);
	if (status == IOT_OK)
		status = set_journal(store, mode, err);
	if (status != IOT_OK) {
		iot_store_close(store);
		return status;
	}
	*ret = store;
	return IOT_OK;
}

void iot_store_close(struct iot_store *store)
{
	if (store == NULL)
		return;
	iot_store_drop_cache(store);
	sqlite3_close(store->db);
	free(store->path);
	free(store);
}

void iot_store_close_p(struct iot_store **store)
{
	iot_store_close(*store);
	*store = NULL;
}

void iot_store_set_busy_ms(struct iot_store *store, int ms)
{
	sqlite3_busy_timeout(store->db, ms);
}

enum iot_status iot_store_exec(struct iot_store *store, const char *sql, struct iot_error *err)
{
	int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? IOT_OK : iot_store_fault(store->db, store->path, store->schema, rc, err);
}

int64_t iot_store_last_id(struct iot_store *store)
{
	return sqlite3_last_insert_rowid(store->db);
}

bool iot_store_in_transaction(const struct iot_store *store)
{
	return sqlite3_get_autocommit(store->db) == 0;
}

enum iot_status iot_store_begin(struct iot_store *store, struct iot_error *err)
{
	if (iot_store_in_transaction(store))
		return iot_fail(err, IOT_FAILURE, "a transaction is open already");
	return iot_store_run(store, NULL, err, "BEGIN IMMEDIATE", "");
}

enum iot_status iot_store_commit(struct iot_store *store, struct iot_error *err)
{
	enum iot_status status = iot_store_run(store, NULL, err, "COMMIT", "");

	if (status != IOT_OK)
		iot_store_rollback(store);
	return status;
}

void iot_store_rollback(struct iot_store *store)
{
	/* SQLite rolls back by itself after some failures (a full disk); then there is nothing left to do. */
	if (iot_store_in_transaction(store))
		sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
}

void iot_store_set_durable(struct iot_store *store, bool durable)
{
	/* Takes effect when it is prepared, so not from the cache. It fails only inside of a transaction. */
	sqlite3_exec(store->db, durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL, NULL,
		     NULL);
}

void iot_store_shrink(struct iot_store *store)
{
	(void)sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

enum iot_status iot_store_data_version(struct iot_store *store, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(store, "PRAGMA data_version", &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

/* Copy all pages in one go: in WAL mode that blocks no writer. */
static enum iot_status copy_all(struct iot_store *store, sqlite3 *to, const char *path, struct iot_error *err)
{
	sqlite3_backup *backup = sqlite3_backup_init(to, "main", store->db, "main");
	int rc;

	if (backup == NULL)
		return iot_store_fault(to, path, store->schema, sqlite3_extended_errcode(to), err);
	rc = sqlite3_backup_step(backup, -1);
	sqlite3_backup_finish(backup);
	return rc == SQLITE_DONE ? IOT_OK : iot_store_fault(to, path, store->schema, rc, err);
}

/* The copy is one plain file: out of WAL mode, so that no companion files belong to it. */
static enum iot_status leave_wal(struct iot_store *store, sqlite3 *to, const char *path, struct iot_error *err)
{
	int rc = sqlite3_exec(to, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL);

	return rc == SQLITE_OK ? IOT_OK : iot_store_fault(to, path, store->schema, rc, err);
}

enum iot_status iot_store_backup(struct iot_store *store, const char *to, struct iot_error *err)
{
	sqlite3 *db = NULL;
	enum iot_status status;
	int rc;

	status = create_file(to, err);
	if (status != IOT_OK)
		return status;
	rc = sqlite3_open_v2(to, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	sqlite3_extended_result_codes(db, 1);
	if (rc != SQLITE_OK)
		status = iot_store_fault(db, to, store->schema, rc, err);
	else
		status = copy_all(store, db, to, err);
	if (status == IOT_OK)
		status = leave_wal(store, db, to, err);
	sqlite3_close(db);
	if (status != IOT_OK) {
		unlink(to);
		iot_error_while(err, "copying %s '%s'", store->schema->name, store->path);
	}
	return status;
}
