/*
 * Kills a station where its journal says that a board is at a wanted step. While somebody has the journal's write lock
 * nobody gets on to the next step; what the journal says after the kill is where it struck.
 *
 *   e2e_killpoint JOURNAL PID SECONDS KIND:STEP...
 *
 * Says on stdout where each board was that was worked on, as KIND:STEP lines, and ends with 0 (none of them may be
 * wanted). 3: the station ended by itself; 4: no board came to a wanted step in that time, and nothing was done.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/store.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { AT_ONCE = 64, NAME_SIZE = 64, ENDED = 3, NEVER = 4, JUST_NOW_MS = 20 };

struct places {
	char names[AT_ONCE][NAME_SIZE];
	size_t count;
};

/*
 * Where boards are that were begun since this program was started. Reserved and no more is a place, too. The last step
 * is over as soon as it begins: a board that is done since a moment, which the station may not have heard of, counts as
 * being there.
 */
static enum iot_status read_places(struct iot_store *journal, int64_t since, int64_t now, struct places *ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool any = false;
	enum iot_status status = iot_stmt_query(
		journal, &stmt, &any, err,
		"SELECT kind || ':' || CASE state WHEN 'done' THEN 'record' ELSE ifnull((SELECT name FROM steps WHERE"
		" board = boards.id AND state = 'begun' AND begun_at >= ?1), 'reserve') END FROM boards"
		" WHERE updated_at >= ?1 AND (state = 'open' OR updated_at >= ?2)",
		"ii", since, now - JUST_NOW_MS);

	for (ret->count = 0; status == IOT_OK && any && ret->count < AT_ONCE; ret->count++) {
		snprintf(ret->names[ret->count], NAME_SIZE, "%s", iot_stmt_text(stmt, 0));
		status = iot_stmt_step(stmt, &any, err);
	}
	return status;
}

static bool is_wanted(const struct places *places, char *const wanted[], int count)
{
	for (size_t place = 0; place < places->count; place++)
		for (int i = 0; i < count; i++)
			if (strcmp(places->names[place], wanted[i]) == 0)
				return true;
	return false;
}

/*
 * True: it was killed, and *ret is where. Who has the journal's write lock in hand goes no further; if that is the
 * station itself, then what it had not written yet is lost with it.
 */
static bool strike(struct iot_store *journal, int64_t since, pid_t station, char *const wanted[], int count,
		   struct places *ret, struct iot_error *err)
{
	bool locked = iot_store_begin(journal, err) == IOT_OK, killed;
	int64_t now = iot_now_ms();

	killed = (!locked || (read_places(journal, since, now, ret, err) == IOT_OK && is_wanted(ret, wanted, count))) &&
		 kill(station, SIGKILL) == 0;
	if (killed)
		poll(NULL, 0, 50); /* its workers die with it, before they could get on */
	if (locked)
		iot_store_rollback(journal);
	iot_error_clear(err);
	return killed && read_places(journal, since, now, ret, err) == IOT_OK;
}

static int watch(const char *path, pid_t station, int64_t seconds, char *const wanted[], int count)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *journal = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int64_t since = iot_now_ms(), deadline = iot_deadline(seconds * 1000);
	struct places places = {0};

	if (iot_store_open(path, &iot_journal_schema, IOT_STORE_CREATE, &journal, &err) != IOT_OK) {
		fprintf(stderr, "%s\n", err.what);
		return 1;
	}
	iot_store_set_busy_ms(journal, 0);
	while (iot_left(deadline) > 0) {
		if (kill(station, 0) != 0)
			return ENDED;
		if (read_places(journal, since, iot_now_ms(), &places, &err) == IOT_OK &&
		    is_wanted(&places, wanted, count) &&
		    strike(journal, since, station, wanted, count, &places, &err)) {
			for (size_t i = 0; i < places.count; i++)
				puts(places.names[i]);
			return 0;
		}
		iot_error_clear(&err);
		poll(NULL, 0, 1);
	}
	return NEVER;
}

int main(int argc, char **argv)
{
	if (argc < 5)
		return 2;
	return watch(argv[1], (pid_t)strtol(argv[2], NULL, 10), strtoll(argv[3], NULL, 10), argv + 4, argc - 4);
}
