/*
 * The store: what a user of the registry relies on when things go wrong:
 * older, newer, damaged, foreign, busy, full and read-only files. The raw SQLite
 * library is used here only to make such files.
 */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/store.h"

#include <fcntl.h>
#include <poll.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static char *path;
static struct iot_error err;

static void set_up(void)
{
	dir = unit_mkdtemp();
	path = iot_path(dir, "t.db");
	iot_error_clear(&err);
}

static void tear_down(void)
{
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(dir);
	free(path);
}

static const char *const steps[] = {
	"CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);",
	"ALTER TABLE a ADD COLUMN size INTEGER NOT NULL DEFAULT 7;",
	"CREATE TABLE b (a_id INTEGER NOT NULL REFERENCES a(id)); CREATE INDEX b_a ON b(a_id);",
};

static struct iot_schema schema_of(int count)
{
	return (struct iot_schema){"registry", 0x74657374, steps, count};
}

static void raw(const char *sql)
{
	sqlite3 *db = NULL;

	CU_ASSERT_EQUAL(sqlite3_open(path, &db), SQLITE_OK);
	CU_ASSERT_EQUAL(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static int64_t number(struct iot_store *store, const char *sql)
{
	struct iot_stmt *stmt = NULL;
	int64_t value = -1;
	bool row = false;

	if (iot_stmt_get(store, sql, &stmt, &err) == IOT_OK && iot_stmt_step(stmt, &row, &err) == IOT_OK && row)
		value = iot_stmt_int(stmt, 0);
	iot_stmt_done(stmt);
	return value;
}

static void test_creates(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	struct stat st;

	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), IOT_NOT_FOUND, &err);
	CU_ASSERT_PTR_NULL(store);
	umask(0);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	CU_ASSERT_EQUAL(number(store, "PRAGMA user_version"), 3);
	CU_ASSERT_EQUAL(number(store, "PRAGMA application_id"), 0x74657374);
	CU_ASSERT_EQUAL(number(store, "PRAGMA foreign_keys"), 1);
	CU_ASSERT_EQUAL(number(store, "PRAGMA synchronous"), 2);
	iot_store_close(store);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), &err);
	iot_store_close(store);
}

/* From each version to the newest, the rows are still there. */
static void test_migrates(void)
{
	for (int from = 1; from <= 3; from++) {
		struct iot_schema old = schema_of(from);
		struct iot_schema new = schema_of(3);
		struct iot_store *store = NULL;

		unlink(path);
		ASSERT_OK(iot_store_open(path, &old, IOT_STORE_CREATE, &store, &err), &err);
		ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", "s", "x"), &err);
		iot_store_close(store);
		if (from < 3) {
			ASSERT_STATUS(iot_store_open(path, &new, IOT_STORE_READ, &store, &err), IOT_SETTINGS, &err);
			ASSERT_CONTAINS(err.what, "older version");
		}
		ASSERT_OK(iot_store_open(path, &new, IOT_STORE_WRITE, &store, &err), &err);
		CU_ASSERT_EQUAL(number(store, "SELECT size FROM a WHERE name = 'x'"), 7);
		CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM b"), 0);
		CU_ASSERT_EQUAL(number(store, "PRAGMA user_version"), 3);
		iot_store_close(store);
	}
}

/* A step that fails leaves the old version, whole. */
static void test_failed_migration(void)
{
	static const char *const bad[] = {"CREATE TABLE a (id INTEGER PRIMARY KEY);",
					  "CREATE TABLE c (id INTEGER); CREATE TABLE a (id INTEGER);"};
	struct iot_schema old = {"registry", 1, bad, 1};
	struct iot_schema new = {"registry", 1, bad, 2};
	struct iot_store *store = NULL;

	ASSERT_OK(iot_store_open(path, &old, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_close(store);
	ASSERT_STATUS(iot_store_open(path, &new, IOT_STORE_WRITE, &store, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.doing, "from version 1 to 2");
	ASSERT_OK(iot_store_open(path, &old, IOT_STORE_WRITE, &store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM sqlite_master WHERE name = 'c'"), 0);
	iot_store_close(store);
}

static void test_newer(void)
{
	struct iot_schema new = schema_of(3);
	struct iot_schema old = schema_of(2);
	struct iot_store *store = NULL;

	ASSERT_OK(iot_store_open(path, &new, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_close(store);
	ASSERT_STATUS(iot_store_open(path, &old, IOT_STORE_WRITE, &store, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "version 3");
	ASSERT_CONTAINS(err.hint, "newer iotctl");
	ASSERT_STATUS(iot_store_open(path, &old, IOT_STORE_READ, &store, &err), IOT_SETTINGS, &err);
}

static void test_other_application(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;

	raw("CREATE TABLE places (id INTEGER)");
	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "another application");
	raw("PRAGMA application_id = 99; PRAGMA user_version = 1");
	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), IOT_SETTINGS, &err);
	/* It is left as it is: no journal mode of ours, no tables. */
	raw("SELECT 1 / (count(*) = 1) FROM sqlite_master");
}

static void damage(const void *bytes, size_t len, off_t at)
{
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	CU_ASSERT_EQUAL(pwrite(fd, bytes, len, at), (ssize_t)len);
	close(fd);
}

static void test_damaged(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	char noise[4096];

	memset(noise, 0x5a, sizeof(noise));
	damage(noise, sizeof(noise), 0);
	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "registry");
	ASSERT_CONTAINS(err.what, "damaged");
	ASSERT_CONTAINS(err.hint, "iotctl restore");

	/* Emptied. */
	CU_ASSERT_EQUAL(truncate(path, 0), 0);
	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.hint, "iotctl restore");

	/* A good header, and a schema page that is none. */
	unlink(path);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_close(store);
	damage(noise, 3000, 100);
	store = NULL;
	if (iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err) == IOT_OK)
		ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), IOT_FAILURE,
			      &err);
	ASSERT_CONTAINS(err.what, "damaged");
	iot_store_close(store);
}

static void test_read_only(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;

	ASSERT_STATUS(iot_store_open(path, &schema, IOT_STORE_READ, &store, &err), IOT_NOT_FOUND, &err);
	CU_ASSERT_FALSE(iot_fs_exists(path));
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_close(store);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_READ, &store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM a"), 0);
	ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), IOT_DENIED, &err);
	iot_store_close(store);
}

static void test_constraints(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	int64_t changes = 0;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	ASSERT_OK(iot_store_run(store, &changes, &err, "INSERT INTO a (name) VALUES (?)", "s", "x"), &err);
	CU_ASSERT_EQUAL(changes, 1);
	CU_ASSERT_EQUAL(iot_store_last_id(store), 1);
	ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", "s", "x"), IOT_CONFLICT,
		      &err);
	ASSERT_CONTAINS(err.what, "a.name");
	ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", "s", NULL), IOT_CONFLICT,
		      &err);
	ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO b (a_id) VALUES (?)", "i", INT64_C(42)),
		      IOT_CONFLICT, &err);
	/* The failed ones left nothing that is in the way. */
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", "s", "y"), &err);
	ASSERT_STATUS(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", ""), IOT_FAILURE, &err);
	iot_store_close(store);
}

static void test_values(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	struct iot_stmt *stmt = NULL;
	struct iot_stmt *again = NULL;
	static const char sql[] = "SELECT ?, ?, ?, ?";
	const char *blob;
	size_t len = 0;
	bool row = false;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	ASSERT_OK(iot_stmt_get(store, sql, &stmt, &err), &err);
	ASSERT_OK(iot_stmt_bind(stmt, &err, "sibn", "text", INT64_MIN, "a\0b", (size_t)3), &err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	CU_ASSERT_TRUE(row);
	CU_ASSERT_STRING_EQUAL(iot_stmt_text(stmt, 0), "text");
	CU_ASSERT_EQUAL(iot_stmt_int(stmt, 1), INT64_MIN);
	blob = iot_stmt_blob(stmt, 2, &len);
	CU_ASSERT_EQUAL(len, 3);
	CU_ASSERT_EQUAL(memcmp(blob, "a\0b", 3), 0);
	CU_ASSERT_TRUE(iot_stmt_is_null(stmt, 3));
	CU_ASSERT_PTR_NULL(iot_stmt_text(stmt, 3));
	CU_ASSERT_EQUAL(iot_stmt_int(stmt, 3), 0);
	/* The same text while the first is in use is a statement of its own. */
	ASSERT_OK(iot_stmt_get(store, sql, &again, &err), &err);
	CU_ASSERT_PTR_NOT_EQUAL(again, stmt);
	CU_ASSERT_STRING_EQUAL(iot_stmt_text(stmt, 0), "text");
	iot_stmt_done(again);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	CU_ASSERT_FALSE(row);
	iot_stmt_done(stmt);
	/* Given back and taken again: no old values. */
	ASSERT_OK(iot_stmt_get(store, sql, &again, &err), &err);
	CU_ASSERT_PTR_EQUAL(again, stmt);
	ASSERT_OK(iot_stmt_step(again, &row, &err), &err);
	CU_ASSERT_TRUE(iot_stmt_is_null(again, 0));
	iot_stmt_done(again);
	iot_store_close(store);
}

static void test_transactions(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_rollback(store);
	ASSERT_OK(iot_store_begin(store, &err), &err);
	CU_ASSERT_TRUE(iot_store_in_transaction(store));
	ASSERT_STATUS(iot_store_begin(store, &err), IOT_FAILURE, &err);
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), &err);
	iot_store_rollback(store);
	CU_ASSERT_FALSE(iot_store_in_transaction(store));
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM a"), 0);
	ASSERT_OK(iot_store_begin(store, &err), &err);
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), &err);
	ASSERT_OK(iot_store_commit(store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM a"), 1);
	iot_store_close(store);
}

static void test_durable(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_set_durable(store, false);
	CU_ASSERT_EQUAL(number(store, "PRAGMA synchronous"), 1);
	iot_store_set_durable(store, true);
	CU_ASSERT_EQUAL(number(store, "PRAGMA synchronous"), 2);
	/* What was begun to last does. */
	ASSERT_OK(iot_store_begin(store, &err), &err);
	iot_store_set_durable(store, false);
	CU_ASSERT_EQUAL(number(store, "PRAGMA synchronous"), 2);
	ASSERT_OK(iot_store_commit(store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "PRAGMA synchronous"), 2);
	iot_store_close(store);
}

static void test_busy(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *one = NULL;
	struct iot_store *two = NULL;
	int64_t before = 0;
	int64_t after = 0;
	int64_t started;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &one, &err), &err);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_WRITE, &two, &err), &err);
	iot_store_set_busy_ms(two, 100);
	ASSERT_OK(iot_store_data_version(two, &before, &err), &err);
	ASSERT_OK(iot_store_begin(one, &err), &err);
	ASSERT_OK(iot_store_run(one, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), &err);
	started = iot_monotonic_ms();
	ASSERT_STATUS(iot_store_begin(two, &err), IOT_AGAIN, &err);
	CU_ASSERT_TRUE(iot_monotonic_ms() - started >= 90);
	ASSERT_CONTAINS(err.what, "busy");
	/* Readers are not in the way, and see what was before. */
	CU_ASSERT_EQUAL(number(two, "SELECT count(*) FROM a"), 0);
	ASSERT_OK(iot_store_commit(one, &err), &err);
	ASSERT_OK(iot_store_begin(two, &err), &err);
	ASSERT_OK(iot_store_commit(two, &err), &err);
	ASSERT_OK(iot_store_data_version(two, &after, &err), &err);
	CU_ASSERT_NOT_EQUAL(before, after);
	iot_store_close(one);
	iot_store_close(two);
}

/* Processes that read, add one and write: no update is lost. */
static void test_no_lost_update(void)
{
	enum { PROCESSES = 3, ROUNDS = 15 };
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	pid_t pids[PROCESSES];

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name, size) VALUES ('n', 0)", ""), &err);
	iot_store_close(store);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		if (pids[i] != 0)
			continue;
		struct iot_store *mine = NULL;
		enum iot_status status = iot_store_open(path, &schema, IOT_STORE_WRITE, &mine, NULL);

		for (int round = 0; status == IOT_OK && round < ROUNDS; round++) {
			status = iot_store_begin(mine, NULL);
			if (status == IOT_OK)
				status = iot_store_run(mine, NULL, NULL, "UPDATE a SET size = ? WHERE name = 'n'", "i",
						       number(mine, "SELECT size FROM a WHERE name = 'n'") + 1);
			if (status == IOT_OK)
				status = iot_store_commit(mine, NULL);
		}
		iot_store_close(mine);
		_exit(status);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int result = -1;

		waitpid(pids[i], &result, 0);
		CU_ASSERT_EQUAL(result, 0);
	}
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "SELECT size FROM a"), PROCESSES * ROUNDS);
	iot_store_close(store);
}

/* The file may not grow: the transaction fails, says so, and nothing of it remains. */
static void test_full(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	char name[2000];
	enum iot_status status = IOT_OK;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	CU_ASSERT_TRUE(number(store, "PRAGMA max_page_count = 12") > 0);
	ASSERT_OK(iot_store_begin(store, &err), &err);
	for (int i = 0; i < 100 && status == IOT_OK; i++) {
		snprintf(name, sizeof(name), "%01900d", i);
		status = iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES (?)", "s", name);
	}
	CU_ASSERT_EQUAL(status, IOT_FAILURE);
	ASSERT_CONTAINS(err.what, "no space left");
	ASSERT_CONTAINS(err.what, path);
	iot_store_rollback(store);
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM a"), 0);
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('small')", ""), &err);
	iot_store_close(store);
}

static void test_backup(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	struct iot_store *copy = NULL;
	char *to = iot_path(dir, "copy.db");
	char *missing = iot_path(dir, "missing/copy.db");
	struct stat st;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	ASSERT_OK(iot_store_run(store, NULL, &err, "INSERT INTO a (name) VALUES ('x')", ""), &err);
	ASSERT_OK(iot_store_backup(store, to, &err), &err);
	CU_ASSERT_EQUAL(stat(to, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	ASSERT_STATUS(iot_store_backup(store, to, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_store_backup(store, missing, &err), IOT_FAILURE, &err);
	ASSERT_OK(iot_store_open(to, &schema, IOT_STORE_WRITE, &copy, &err), &err);
	CU_ASSERT_EQUAL(number(copy, "SELECT count(*) FROM a"), 1);
	iot_store_close(copy);
	iot_store_close(store);
	free(to);
	free(missing);
}

/* The registry itself, from every version to the newest; and what its triggers and indexes promise. */
static void test_registry(void)
{
	for (int from = 1; from <= iot_registry_schema.step_count; from++) {
		struct iot_schema old = iot_registry_schema;
		struct iot_store *store = NULL;

		unlink(path);
		old.step_count = from;
		ASSERT_OK(iot_store_open(path, &old, IOT_STORE_CREATE, &store, &err), &err);
		iot_store_close(store);
		ASSERT_OK(iot_store_open(path, &iot_registry_schema, IOT_STORE_WRITE, &store, &err), &err);
		CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
		iot_store_close(store);
	}
}

static int64_t epoch_after(struct iot_store *store, const char *sql)
{
	static int64_t before;
	int64_t after;

	before = number(store, "SELECT value FROM epoch");
	ASSERT_OK(iot_store_run(store, NULL, &err, sql, ""), &err);
	after = number(store, "SELECT value FROM epoch");
	return after - before;
}

static void test_epoch(void)
{
	struct iot_store *store = NULL;

	ASSERT_OK(iot_store_open(path, &iot_registry_schema, IOT_STORE_CREATE, &store, &err), &err);
	CU_ASSERT_EQUAL(epoch_after(store, "INSERT INTO things (name, uuid, created_at) VALUES ('t', 'u', 1)"), 0);
	CU_ASSERT_EQUAL(epoch_after(store, "INSERT INTO certificates (id, pem, status, key_id, not_before, not_after,"
					   " created_at, modified_at) VALUES ('c', 'p', 'ACTIVE', 'k', 0, 0, 0, 0)"),
			0);
	CU_ASSERT_EQUAL(epoch_after(store, "INSERT INTO groups (name, uuid, created_at) VALUES ('g', 'u', 1)"), 0);
	CU_ASSERT_TRUE(epoch_after(store, "INSERT INTO thing_principals (thing_id, certificate_id) VALUES (1, 'c')") >
		       0);
	CU_ASSERT_TRUE(epoch_after(store, "INSERT INTO group_members VALUES (1, 1)") > 0);
	CU_ASSERT_TRUE(epoch_after(store, "UPDATE certificates SET status = 'REVOKED' WHERE id = 'c'") > 0);
	CU_ASSERT_EQUAL(epoch_after(store, "UPDATE certificates SET key_origin = 'board'"), 0);
	CU_ASSERT_TRUE(epoch_after(store, "UPDATE things SET attributes = '{\"a\":\"b\"}'") > 0);
	CU_ASSERT_TRUE(epoch_after(store, "DELETE FROM thing_principals") > 0);
	/* Members that go with their group count as well. */
	CU_ASSERT_TRUE(epoch_after(store, "DELETE FROM groups") > 0);
	iot_store_close(store);
}

static void test_alias_index(void)
{
	struct iot_store *store = NULL;
	struct iot_stmt *stmt = NULL;
	bool row = false;

	ASSERT_OK(iot_store_open(path, &iot_registry_schema, IOT_STORE_CREATE, &store, &err), &err);
	ASSERT_OK(iot_store_run(store, NULL, &err,
				"INSERT INTO things (name, uuid, attributes, created_at) VALUES ('t', 'u', ?, 1)", "s",
				"{\"alias\":\"pump\"}"),
		  &err);
	ASSERT_STATUS(iot_store_run(store, NULL, &err,
				    "INSERT INTO things (name, uuid, attributes, created_at) VALUES ('s', 'v', ?, 1)",
				    "s", "{\"alias\":\"pump\"}"),
		      IOT_CONFLICT, &err);
	ASSERT_OK(
		iot_stmt_get(store,
			     "EXPLAIN QUERY PLAN SELECT name FROM things WHERE json_extract(attributes, '$.alias') = ?",
			     &stmt, &err),
		&err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	ASSERT_CONTAINS(iot_stmt_text(stmt, 3), "things_alias");
	iot_stmt_done(stmt);
	iot_store_close(store);
}

/* Many make the same file at the same moment: each of them gets it. */
static void test_created_by_many(void)
{
	enum { PROCESSES = 6, FILES = 20 };
	struct iot_schema schema = schema_of(3);

	for (int file = 0; file < FILES; file++) {
		IOT_CLEAN(iot_free_p) char *name = iot_strf("%s/many-%d.db", dir, file);
		pid_t pids[PROCESSES];
		int gate[2];

		if (pipe(gate) != 0)
			abort();
		for (int i = 0; i < PROCESSES; i++) {
			struct iot_store *mine = NULL;
			char c;

			pids[i] = fork();
			if (pids[i] != 0)
				continue;
			close(gate[1]);
			if (read(gate[0], &c, 1) != 0) /* it is closed */
				_exit(99);
			if (iot_store_open(name, &schema, IOT_STORE_CREATE, &mine, &err) == IOT_OK)
				_exit(0);
			fprintf(stderr, "%s: %s\n", name, err.what);
			_exit(1);
		}
		close(gate[0]);
		close(gate[1]);
		for (int i = 0; i < PROCESSES; i++) {
			int status = 0;

			CU_ASSERT_EQUAL(waitpid(pids[i], &status, 0), pids[i]);
			CU_ASSERT_EQUAL(status, 0);
		}
	}
}

/* Not a test of its own: hold the write lock of the file from when it says so until it is told to end. */
static void hold(int ready, int stop)
{
	sqlite3 *db = NULL;
	char c;

	if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		_exit(1);
	if (write(ready, "", 1) != 1 || read(stop, &c, 1) != 0)
		_exit(2);
	_exit(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK);
}

/* A file that is not in WAL mode yet (just made, or put back from a backup) while somebody writes: it is waited for. */
static void test_switched_while_written(void)
{
	struct iot_schema schema = schema_of(3);
	struct iot_store *store = NULL;
	int ready[2], stop[2], ended[2], status = 0;
	struct pollfd opener = {.events = POLLIN};
	pid_t holding, opening;
	char c;

	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_CREATE, &store, &err), &err);
	iot_store_close(store);
	raw("PRAGMA journal_mode = DELETE");
	if (pipe(ready) != 0 || pipe(stop) != 0 || pipe(ended) != 0)
		abort();
	holding = fork();
	if (holding == 0) {
		close(stop[1]);
		close(ended[1]);
		hold(ready[1], stop[0]);
	}
	CU_ASSERT_EQUAL(read(ready[0], &c, 1), 1);
	opening = fork();
	if (opening == 0) {
		close(stop[1]);
		_exit(iot_store_open(path, &schema, IOT_STORE_WRITE, &store, &err));
	}
	close(ended[1]);
	opener.fd = ended[0];
	CU_ASSERT_EQUAL(poll(&opener, 1, 300), 0); /* it has not given up */
	close(stop[1]);
	CU_ASSERT_EQUAL(waitpid(holding, &status, 0), holding);
	CU_ASSERT_EQUAL(status, 0);
	CU_ASSERT_EQUAL(waitpid(opening, &status, 0), opening);
	CU_ASSERT_EQUAL(status, 0);
	ASSERT_OK(iot_store_open(path, &schema, IOT_STORE_READ, &store, &err), &err);
	CU_ASSERT_EQUAL(number(store, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
	iot_store_close(store);
	close(ready[0]);
	close(ready[1]);
	close(stop[0]);
	close(ended[0]);
}

UNIT_MAIN("store/store", set_up, tear_down, {"creates", test_creates}, {"created by many", test_created_by_many},
	  {"switched while written", test_switched_while_written}, {"migrates", test_migrates},
	  {"failed migration", test_failed_migration}, {"newer", test_newer},
	  {"other application", test_other_application}, {"damaged", test_damaged}, {"read only", test_read_only},
	  {"constraints", test_constraints}, {"values", test_values}, {"transactions", test_transactions},
	  {"durable", test_durable}, {"busy", test_busy}, {"no lost update", test_no_lost_update}, {"full", test_full},
	  {"backup", test_backup}, {"registry", test_registry}, {"epoch", test_epoch},
	  {"alias index", test_alias_index})
