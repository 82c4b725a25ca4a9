/*
 * A station's journal: what was begun on which board. A step is written before
 * it is done, so that a kill leaves a trace of everything that may have happened.
 */
#ifndef IOTCTL_FLEET_JOURNAL_H
#define IOTCTL_FLEET_JOURNAL_H

#include "iotctl/error.h"
#include "iotctl/store.h"

struct journal_board {
	const char *fleet, *kind, *uid, *key_id, *serial_number /* may be NULL */, *thing, *certificate_id, *port;
};

/* What the journal knew of a board. */
struct journal_entry {
	int64_t id;
	bool known;      /* it was there before */
	bool unfinished; /* and not done */
	bool programmed; /* its step "program" was done once */
};

/* Open or make the journal, with its folder. */
IOT_CHECK enum iot_status journal_open(const char *path, struct iot_store **ret, struct iot_error *err);

/*
 * Reserve a board's names. IOT_CONFLICT says which of them another board has;
 * `replace`: a board whose key changed gets its row anew.
 */
IOT_CHECK enum iot_status journal_reserve(struct iot_store *journal, const struct journal_board *board, bool replace,
					  struct journal_entry *ret, struct iot_error *err);
/* The endpoint that this board was given last in this fleet: new memory, NULL if none. */
IOT_CHECK enum iot_status journal_endpoint(struct iot_store *journal, const char *fleet, const char *uid, char **ret,
					   struct iot_error *err);

IOT_CHECK enum iot_status journal_begin(struct iot_store *journal, int64_t board, int number, const char *name,
					struct iot_error *err);
/* Detail is for people: what was wrong, what was changed; NULL: nothing to say. */
IOT_CHECK enum iot_status journal_end(struct iot_store *journal, int64_t board, int number, bool good,
				      const char *detail, struct iot_error *err);
IOT_CHECK enum iot_status journal_done(struct iot_store *journal, int64_t board, const char *endpoint,
				       struct iot_error *err);

#endif
