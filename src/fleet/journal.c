/* The station's journal in SQLite: reservations and steps. */
#include "fleet/journal.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"

#include <string.h>

enum iot_status journal_open(const char *path, struct iot_store **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strdup(path);
	char *slash = strrchr(folder, '/');
	enum iot_status status = IOT_OK;

	if (slash != NULL && slash != folder) {
		*slash = '\0';
		status = iot_fs_mkdirs(folder, 0700, err);
	}
	if (status == IOT_OK)
		status = iot_store_open(path, &iot_journal_schema, IOT_STORE_CREATE, ret, err);
	return status;
}

enum iot_status journal_name(struct iot_store *journal, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(journal, &stmt, &any, err, "SELECT name FROM self", "");

	if (status == IOT_OK && !any)
		status = iot_fail(err, IOT_FAILURE, "the journal has no name");
	if (status == IOT_OK)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

static enum iot_status begin(struct iot_store *journal, bool durable, struct iot_error *err)
{
	iot_store_set_durable(journal, durable);
	return iot_store_begin(journal, err);
}

static enum iot_status commit(struct iot_store *journal, enum iot_status status, struct iot_error *err)
{
	if (status == IOT_OK)
		status = iot_store_commit(journal, err);
	if (status != IOT_OK)
		iot_store_rollback(journal);
	return status;
}

/* --- reserving -------------------------------------------------------------------- */

struct row {
	int64_t id;
	char *uid, *key_id, *state, *thing, *certificate_id, *certificate, *replaces, *replaces_thing;
	bool programmed, key_begun;
	int64_t began_ms;
};

static void row_release(struct row *row)
{
	free(row->uid);
	free(row->key_id);
	free(row->state);
	free(row->thing);
	free(row->certificate_id);
	free(row->certificate);
	free(row->replaces);
	free(row->replaces_thing);
}

void journal_entry_release(struct journal_entry *entry)
{
	free(entry->key_id);
	free(entry->certificate);
	free(entry->replaces);
	free(entry->replaces_thing);
	*entry = (struct journal_entry){0};
}

/* `sql` has the columns of struct row. */
static enum iot_status find(struct iot_store *journal, const char *sql, const char *fleet, const char *value,
			    struct row *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_get(journal, sql, &stmt, err);

	*ret = (struct row){0};
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ss", fleet, value);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &any, err);
	if (status != IOT_OK || !any)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	ret->uid = iot_strdup(iot_stmt_text(stmt, 1));
	ret->key_id = iot_strdup(iot_stmt_text(stmt, 2));
	ret->state = iot_strdup(iot_stmt_text(stmt, 3));
	ret->thing = iot_strdup(iot_stmt_text(stmt, 4));
	ret->certificate_id = iot_strdup(iot_stmt_text(stmt, 5));
	ret->certificate = iot_strdup(iot_stmt_text(stmt, 6));
	ret->replaces = iot_strdup(iot_stmt_text(stmt, 7));
	ret->replaces_thing = iot_strdup(iot_stmt_text(stmt, 8));
	ret->programmed = iot_stmt_int(stmt, 9) != 0;
	ret->key_begun = iot_stmt_int(stmt, 10) != 0;
	ret->began_ms = iot_stmt_int(stmt, 11);
	return IOT_OK;
}

#define ROW                                                                                                            \
	"SELECT id, uid, key_id, state, thing, certificate_id, certificate, replaces, replaces_thing,"                 \
	" EXISTS (SELECT 1 FROM steps WHERE board = boards.id AND name = 'program' AND state = 'done'),"               \
	" EXISTS (SELECT 1 FROM steps WHERE board = boards.id AND name = 'key'), started_at"                           \
	" FROM boards WHERE fleet = ? AND "

/* Does another board than `uid` have this name? */
static enum iot_status check_free(struct iot_store *journal, const char *sql, const struct journal_board *board,
				  const char *value, const char *what, struct iot_error *err)
{
	IOT_CLEAN(row_release) struct row row = {0};
	enum iot_status status;

	if (value == NULL || *value == '\0')
		return IOT_OK;
	status = find(journal, sql, board->fleet, value, &row, err);
	if (status == IOT_OK && row.id != 0 && strcmp(row.uid, board->uid) != 0) {
		iot_fail(err, IOT_CONFLICT, "the %s '%s' of board '%s' belongs to board '%s' already", what, value,
			 board->uid, row.uid);
		iot_error_hint(err, "is it the board that was meant?");
		return IOT_CONFLICT;
	}
	return status;
}

static const char *or_null(const char *text)
{
	return text != NULL && *text != '\0' ? text : NULL;
}

/* A new board's key is its own only when it was made before it came to us: then it has a certificate too. */
static enum iot_status insert(struct iot_store *journal, const struct journal_board *board, struct journal_entry *ret,
			      struct iot_error *err)
{
	const char *key_id = board->certificate_id != NULL ? or_null(board->key_id) : NULL;
	enum iot_status status =
		iot_store_run(journal, NULL, err,
			      "INSERT INTO boards (fleet, kind, uid, key_id, serial_number, thing, certificate_id, "
			      "port, state, started_at,"
			      " updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'open', ?9, ?9)",
			      "ssssssssi", board->fleet, board->kind, board->uid, key_id, board->serial_number,
			      board->thing, board->certificate_id, board->port, iot_now_ms());

	if (status == IOT_OK)
		ret->id = iot_store_last_id(journal);
	return status;
}

static enum iot_status update(struct iot_store *journal, const struct journal_board *board, struct row *row,
			      struct journal_entry *ret, struct iot_error *err)
{
	ret->id = row->id;
	ret->known = true;
	ret->unfinished = strcmp(row->state, "done") != 0;
	ret->programmed = row->programmed;
	ret->key_begun = row->key_begun;
	ret->began_ms = row->began_ms;
	ret->key_id = iot_take(row->key_id);
	ret->certificate = iot_take(row->certificate);
	ret->replaces = iot_take(row->replaces);
	ret->replaces_thing = iot_take(row->replaces_thing);
	return iot_store_run(
		journal, NULL, err,
		"UPDATE boards SET kind = ?2, serial_number = ifnull(?3, serial_number), thing = ?4, port = ?5,"
		" key_id = CASE WHEN ?6 IS NULL THEN key_id ELSE ?7 END, certificate_id = ifnull(?6, certificate_id),"
		" state = 'open', runs = runs + 1, updated_at = ?8 WHERE id = ?1",
		"issssssi", row->id, board->kind, board->serial_number, board->thing, board->port,
		board->certificate_id, or_null(board->key_id), iot_now_ms());
}

/* From the beginning, as another identity. The one that it had is remembered until it is taken away. */
static enum iot_status start_again(struct iot_store *journal, struct row *row, struct iot_error *err)
{
	enum iot_status status = iot_store_run(journal, NULL, err, "DELETE FROM steps WHERE board = ?", "i", row->id);

	/* What was born with its certificate brings it along; nobody issued one, and none is taken away. */
	if (status == IOT_OK && row->certificate != NULL) {
		if (row->replaces == NULL) {
			row->replaces = iot_take(row->certificate_id);
			row->replaces_thing = iot_take(row->thing);
		}
		status = iot_store_run(journal, NULL, err,
				       "UPDATE boards SET replaces = ?2, replaces_thing = ?3, key_id = NULL,"
				       " certificate_id = NULL, certificate = NULL WHERE id = ?1",
				       "iss", row->id, row->replaces, row->replaces_thing);
		free(row->certificate);
		row->certificate = NULL;
	}
	free(row->key_id);
	row->key_id = NULL;
	row->programmed = row->key_begun = false;
	return status;
}

/*
 * Is the board in hand the one that this row is of? A key that nobody has certified yet is no sign: a board that cannot
 * make a request for the one that it has makes another, and a kill may come in between.
 */
static enum iot_status check_same(const struct journal_board *board, const struct row *row, bool replace,
				  bool *ret_again, struct iot_error *err)
{
	/* What was erased in the middle of the work is given the same again, where that is here. */
	bool erased =
		board->key_here && board->key_id != NULL && *board->key_id == '\0' && strcmp(row->state, "done") != 0;
	bool other_key = row->key_id != NULL && board->key_id != NULL && strcmp(row->key_id, board->key_id) != 0 &&
			 !erased && (row->programmed || (!board->key_here && row->certificate_id != NULL));

	*ret_again = false;
	if (strcmp(row->thing, board->thing) == 0 && !other_key)
		return IOT_OK;
	*ret_again = true;
	if (replace)
		return IOT_OK;
	if (!other_key) {
		iot_fail(err, IOT_CONFLICT, "board '%s' is device '%s'", board->uid, row->thing);
		iot_error_hint(err, "--replace makes it another one");
	} else {
		iot_fail(err, IOT_CONFLICT, "board '%s' had another key when it was provisioned", board->uid);
		iot_error_hint(err, "find out whose it is; --replace takes it as it is now");
	}
	return IOT_CONFLICT;
}

static enum iot_status reserve(struct iot_store *journal, const struct journal_board *board, bool replace,
			       struct journal_entry *ret, struct iot_error *err)
{
	IOT_CLEAN(row_release) struct row row = {0};
	bool again = false;
	enum iot_status status =
		check_free(journal, ROW "serial_number = ?", board, board->serial_number, "serial number", err);

	if (status == IOT_OK)
		status = check_free(journal, ROW "key_id = ?", board, board->key_id, "key", err);
	if (status == IOT_OK)
		status = check_free(journal, ROW "thing = ?", board, board->thing, "name", err);
	if (status == IOT_OK)
		status = find(journal, ROW "uid = ?", board->fleet, board->uid, &row, err);
	if (status != IOT_OK)
		return status;
	if (row.id == 0)
		return insert(journal, board, ret, err);
	status = check_same(board, &row, replace, &again, err);
	if (status == IOT_OK && again)
		status = start_again(journal, &row, err);
	return status == IOT_OK ? update(journal, board, &row, ret, err) : status;
}

enum iot_status journal_reserve(struct iot_store *journal, const struct journal_board *board, bool replace,
				struct journal_entry *ret, struct iot_error *err)
{
	enum iot_status status = begin(journal, true, err);

	*ret = (struct journal_entry){0};
	if (status == IOT_OK)
		status = reserve(journal, board, replace, ret, err);
	return commit(journal, status, err);
}

static enum iot_status one_row(struct iot_store *journal, const char *sql, const char *fleet, const char *uid,
			       char **ret, bool *ret_second, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_get(journal, sql, &stmt, err);

	*ret = NULL;
	*ret_second = false;
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ss", fleet, uid);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &any, err);
	if (status == IOT_OK && any) {
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
		*ret_second = iot_stmt_int(stmt, 1) != 0;
	}
	return status;
}

enum iot_status journal_endpoint(struct iot_store *journal, const char *fleet, const char *uid, char **ret,
				 bool *ret_in_hand, struct iot_error *err)
{
	return one_row(journal,
		       "SELECT endpoint, EXISTS (SELECT 1 FROM steps WHERE board = boards.id AND name = 'program'"
		       " AND state <> 'done') FROM boards WHERE fleet = ? AND uid = ?",
		       fleet, uid, ret, ret_in_hand, err);
}

enum iot_status journal_thing(struct iot_store *journal, const char *fleet, const char *uid, char **ret,
			      struct iot_error *err)
{
	bool ignored;

	return one_row(journal, "SELECT thing, 0 FROM boards WHERE fleet = ? AND uid = ?", fleet, uid, ret, &ignored,
		       err);
}

void journal_past_release(struct journal_past *past)
{
	free(past->uid);
	free(past->thing);
	free(past->kind);
	free(past->port);
	*past = (struct journal_past){0};
}

enum iot_status journal_past(struct iot_store *journal, const char *fleet, const char *uid, const char *thing,
			     struct journal_past *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(
		journal, &stmt, &any, err,
		"SELECT uid, thing, kind, port, state <> 'done', (SELECT count(*) FROM steps WHERE board = boards.id"
		" AND (state = 'done' AND name IN ('program', 'verify') OR name = 'lock')) = 3"
		" FROM boards WHERE fleet = ?1 AND (uid = ?2 OR (?2 IS NULL AND thing = ?3))",
		"sss", fleet, uid, thing);

	*ret = (struct journal_past){0};
	if (status != IOT_OK || !any)
		return status;
	ret->uid = iot_strdup(iot_stmt_text(stmt, 0));
	ret->thing = iot_strdup(iot_stmt_text(stmt, 1));
	ret->kind = iot_strdup(iot_stmt_text(stmt, 2));
	ret->port = iot_strdup(iot_stmt_text(stmt, 3));
	ret->open = iot_stmt_int(stmt, 4) != 0;
	ret->locked = iot_stmt_int(stmt, 5) != 0;
	return IOT_OK;
}

enum iot_status journal_idle(struct iot_store *journal, const char *fleet, const char *uid, bool issued_here,
			     int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(
		journal, &stmt, &any, err,
		"SELECT id FROM boards WHERE fleet = ? AND uid = ? AND state = 'open' AND replaces IS NULL"
		" AND (? OR certificate_id IS NULL) AND NOT EXISTS (SELECT 1 FROM steps WHERE"
		" board = boards.id AND name IN ('register', 'secret', 'policy', 'program'))",
		"ssi", fleet, uid, (int64_t)issued_here);

	if (status == IOT_OK)
		*ret = any ? iot_stmt_int(stmt, 0) : 0;
	return status;
}

enum iot_status journal_forget(struct iot_store *journal, int64_t board, struct iot_error *err)
{
	enum iot_status status = begin(journal, true, err);

	if (status == IOT_OK)
		status = iot_store_run(journal, NULL, err, "DELETE FROM steps WHERE board = ?", "i", board);
	if (status == IOT_OK)
		status = iot_store_run(journal, NULL, err, "DELETE FROM boards WHERE id = ?", "i", board);
	return commit(journal, status, err);
}

/* --- key and certificate --------------------------------------------------------------- */

enum iot_status journal_key(struct iot_store *journal, int64_t board, const char *key_id, struct iot_error *err)
{
	enum iot_status status = begin(journal, true, err);

	if (status == IOT_OK)
		status = iot_store_run(journal, NULL, err, "UPDATE boards SET key_id = ?2 WHERE id = ?1", "is", board,
				       key_id);
	if (status == IOT_CONFLICT)
		iot_fail(err, IOT_CONFLICT, "the board's key belongs to another board already");
	return commit(journal, status, err);
}

enum iot_status journal_certificate(struct iot_store *journal, int64_t board, const char *certificate_id,
				    const char *pem, struct iot_error *err)
{
	enum iot_status status = begin(journal, true, err);

	if (status == IOT_OK)
		status = iot_store_run(
			journal, NULL, err,
			"UPDATE boards SET replaces = CASE WHEN certificate IS NULL OR replaces IS NOT NULL"
			" THEN replaces ELSE certificate_id END, replaces_thing = CASE WHEN certificate IS NULL"
			" OR replaces IS NOT NULL THEN replaces_thing ELSE thing END,"
			" certificate_id = ?2, certificate = ?3 WHERE id = ?1",
			"iss", board, certificate_id, pem);
	return commit(journal, status, err);
}

/* --- steps ---------------------------------------------------------------------------- */

static enum iot_status begun(struct iot_store *journal, int64_t board, const struct journal_step *step,
			     struct iot_error *err)
{
	return iot_store_run(
		journal, NULL, err,
		"INSERT INTO steps (board, number, name, state, begun_at) VALUES (?1, ?2, ?3, 'begun', ?4)"
		" ON CONFLICT (board, number) DO UPDATE SET state = 'begun', tries = tries + 1, begun_at = ?4,"
		" ended_at = NULL, detail = NULL",
		"iisi", board, (int64_t)step->number, step->name, iot_now_ms());
}

static enum iot_status ended(struct iot_store *journal, int64_t board, const struct journal_step *step,
			     const char *state, const char *detail, struct iot_error *err)
{
	return iot_store_run(journal, NULL, err,
			     "UPDATE steps SET state = ?3, detail = ?4, ended_at = ?5 WHERE board = ?1 AND number = ?2",
			     "iissi", board, (int64_t)step->number, state, detail, iot_now_ms());
}

enum iot_status journal_next(struct iot_store *journal, int64_t board, const struct journal_step *done,
			     const struct journal_step *next, struct iot_error *err)
{
	enum iot_status status = begin(journal, next->touches_board, err);

	if (status == IOT_OK && done != NULL)
		status = ended(journal, board, done, "done", NULL, err);
	if (status == IOT_OK)
		status = begun(journal, board, next, err);
	return commit(journal, status, err);
}

enum iot_status journal_failed(struct iot_store *journal, int64_t board, const struct journal_step *step,
			       const char *detail, struct iot_error *err)
{
	return ended(journal, board, step, "failed", detail, err);
}

enum iot_status journal_done(struct iot_store *journal, int64_t board, const struct journal_step *last,
			     const char *endpoint, struct iot_error *err)
{
	enum iot_status status = begin(journal, true, err);

	if (status == IOT_OK)
		status = ended(journal, board, last, "done", NULL, err);
	if (status == IOT_OK)
		status = iot_store_run(
			journal, NULL, err,
			"UPDATE boards SET state = 'done', endpoint = ?2, replaces = NULL, replaces_thing = NULL,"
			" updated_at = ?3 WHERE id = ?1",
			"isi", board, endpoint, iot_now_ms());
	return commit(journal, status, err);
}
