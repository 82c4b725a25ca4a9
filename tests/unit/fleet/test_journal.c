/* A station's journal that an older version wrote: after its tables were made anew, its boards are still reserved. */
#include "fleet/journal.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/store.h"

#include "unit.h"

static char *dir, *path;

/* The first version, as it was: one board is done, one was left in the middle of programming. */
static void set_up(void)
{
	struct iot_schema first = iot_journal_schema;
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	dir = unit_mkdtemp_memory();
	path = iot_path(dir, "journal.db");
	first.step_count = 1;
	ASSERT_OK(iot_store_open(path, &first, IOT_STORE_CREATE, &journal, &err), &err);
	ASSERT_OK(
		iot_store_run(journal, NULL, &err,
			      "INSERT INTO boards (id, fleet, kind, uid, key_id, serial_number, thing, certificate_id,"
			      " endpoint, port, state, started_at, updated_at) VALUES"
			      " (3, 'demo', 'expresslink', 'uid-a', 'key-a', '0001', 'uid-a', 'cert-a', 'old.example',"
			      " '/dev/a', 'done', 1, 2),"
			      " (7, 'demo', 'expresslink', 'uid-b', 'key-b', '0002', 'uid-b', 'cert-b', NULL, '/dev/b',"
			      " 'open', 3, 4)",
			      ""),
		&err);
	ASSERT_OK(iot_store_run(journal, NULL, &err,
				"INSERT INTO steps (board, number, name, state, begun_at) VALUES"
				" (3, 50, 'program', 'done', 1), (7, 50, 'program', 'begun', 3)",
				""),
		  &err);
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(path);
}

static struct journal_board board_of(const char *uid, const char *key, const char *serial)
{
	return (struct journal_board){.fleet = "demo",
				      .kind = "expresslink",
				      .uid = uid,
				      .key_id = key,
				      .certificate_id = "cert",
				      .serial_number = serial,
				      .thing = uid,
				      .port = "/dev/c"};
}

static void test_boards_are_known(void)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	IOT_CLEAN(journal_entry_release) struct journal_entry entry = {0};
	IOT_CLEAN(iot_free_p) char *endpoint = NULL;
	struct journal_board done = board_of("uid-a", "key-a", NULL);
	struct iot_error err = IOT_ERROR_INIT;
	bool in_hand = true;

	ASSERT_OK(journal_open(path, &journal, &err), &err);
	ASSERT_OK(journal_endpoint(journal, "demo", "uid-a", &endpoint, &in_hand, &err), &err);
	CU_ASSERT_STRING_EQUAL(endpoint, "old.example");
	CU_ASSERT_FALSE(in_hand);
	ASSERT_OK(journal_reserve(journal, &done, false, &entry, &err), &err);
	CU_ASSERT_EQUAL(entry.id, 3);
	CU_ASSERT_TRUE(entry.known && !entry.unfinished && entry.programmed);
}

static void test_work_goes_on(void)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	IOT_CLEAN(journal_entry_release) struct journal_entry entry = {0};
	struct journal_board open = board_of("uid-b", "key-b", "0002");
	const struct journal_step last = {80, "record", false};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(journal_open(path, &journal, &err), &err);
	ASSERT_OK(journal_reserve(journal, &open, false, &entry, &err), &err);
	CU_ASSERT_EQUAL(entry.id, 7);
	CU_ASSERT_TRUE(entry.known && entry.unfinished && !entry.programmed);
	ASSERT_OK(journal_next(journal, entry.id, NULL, &last, &err), &err);
	ASSERT_OK(journal_done(journal, entry.id, &last, "new.example", &err), &err);
}

static void test_names_stay_reserved(void)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	const struct journal_board rows[] = {board_of("uid-c", "key-c", "0001"), board_of("uid-c", "key-b", "0003"),
					     board_of("uid-c", "key-c", "0002")};
	struct journal_entry entry;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(journal_open(path, &journal, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		ASSERT_STATUS(journal_reserve(journal, &rows[i], false, &entry, &err), IOT_CONFLICT, &err);
		ASSERT_CONTAINS(err.what, "already");
		journal_entry_release(&entry);
	}
}

UNIT_MAIN("fleet/journal", set_up, tear_down, {"known", test_boards_are_known}, {"goes on", test_work_goes_on},
	  {"reserved", test_names_stay_reserved})
