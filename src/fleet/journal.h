/*
 * A station's journal: what was begun on which board. A step is written before
 * it is done, so that a kill leaves a trace of everything that may have happened.
 * Three commits of a board wait for the disk: its reservation, the first step
 * that touches it, and its end.
 */
#ifndef IOTCTL_FLEET_JOURNAL_H
#define IOTCTL_FLEET_JOURNAL_H

#include "iotctl/error.h"
#include "iotctl/store.h"

struct journal_board {
	const char *fleet, *kind;
	const char *uid;           /* of a board without an id of its own: its thing name */
	const char *key_id;        /* that the board holds; "": it has none; NULL: nobody knows */
	bool key_here;             /* its key is made here, so it need not hold it before it is programmed */
	const char *serial_number; /* NULL: none */
	const char *thing;
	const char *certificate_id; /* NULL: not known yet */
	const char *port;
};

/* What the journal knew of a board. Release it with journal_entry_release. */
struct journal_entry {
	int64_t id;
	bool known;                      /* it was there before */
	bool unfinished;                 /* and not done */
	bool programmed;                 /* its step "program" was done once */
	bool key_begun;                  /* a key for it was begun to be made */
	int64_t began_ms;                /* when this board was first taken in hand */
	char *key_id;                    /* NULL: none yet */
	char *certificate;               /* PEM, if it was issued here */
	char *replaces, *replaces_thing; /* certificate id and thing that it had before; NULL: none */
};
void journal_entry_release(struct journal_entry *entry);

/* Open or make the journal, with its folder. */
IOT_CHECK enum iot_status journal_open(const char *path, struct iot_store **ret, struct iot_error *err);

/* The journal's own name, which no other has: new memory. */
IOT_CHECK enum iot_status journal_name(struct iot_store *journal, char **ret, struct iot_error *err);

/*
 * Reserve a board's names; on the disk when it returns. IOT_CONFLICT says which of them another board has;
 * `replace`: a board whose key or name changed gets its row anew, with what it was in `replaces`. *ret is set in any
 * case.
 */
IOT_CHECK enum iot_status journal_reserve(struct iot_store *journal, const struct journal_board *board, bool replace,
					  struct journal_entry *ret, struct iot_error *err);
/*
 * The endpoint that this board was given last in this fleet: new memory, NULL if none. *ret_in_hand: this station began
 * to write into it and did not come to the end, so that anything may stand in it.
 */
IOT_CHECK enum iot_status journal_endpoint(struct iot_store *journal, const char *fleet, const char *uid, char **ret,
					   bool *ret_in_hand, struct iot_error *err);

/* What the journal knows of a board that cannot be read any more. Release it with journal_past_release. */
struct journal_past {
	char *uid, *thing, *kind, *port; /* NULL uid: it knows none such */
	bool open;                       /* its work did not come to the end */
	bool locked;                     /* it was programmed and verified, and then a lock was at least begun */
};
void journal_past_release(struct journal_past *past);
/* By the board's id, or, where that is NULL, by its thing's name. */
IOT_CHECK enum iot_status journal_past(struct iot_store *journal, const char *fleet, const char *uid, const char *thing,
				       struct journal_past *ret, struct iot_error *err);

/* The thing that the board with this id is in this fleet: new memory, NULL if none. */
IOT_CHECK enum iot_status journal_thing(struct iot_store *journal, const char *fleet, const char *uid, char **ret,
					struct iot_error *err);
/*
 * The row of a board whose work ended before anything lasting was made for it: no certificate that is known elsewhere,
 * nothing in the board but a key. 0: there is none. `issued_here`: a certificate is the fleet's business only once
 * it is registered.
 */
IOT_CHECK enum iot_status journal_idle(struct iot_store *journal, const char *fleet, const char *uid, bool issued_here,
				       int64_t *ret, struct iot_error *err);
/* Take that row away, with its names. On the disk when it returns. */
IOT_CHECK enum iot_status journal_forget(struct iot_store *journal, int64_t board, struct iot_error *err);
/* The board's key was made. On the disk when it returns. IOT_CONFLICT: it is another board's. */
IOT_CHECK enum iot_status journal_key(struct iot_store *journal, int64_t board, const char *key_id,
				      struct iot_error *err);
/* Its certificate was issued: kept before anybody else has it. What an earlier one was goes to `replaces`. On the disk.
 */
IOT_CHECK enum iot_status journal_certificate(struct iot_store *journal, int64_t board, const char *certificate_id,
					      const char *pem, struct iot_error *err);

struct journal_step {
	int number; /* kept for ever: new steps get new ones */
	const char *name;
	bool touches_board;
};

/*
 * A step was done (NULL: none before) and the next begins: one commit for both.
 * It has reached the disk before a step that touches the board begins, and then
 * all that was written before has too. Other steps look at what is there and do
 * it again harmlessly, so a power cut may take their rows; a kill takes none.
 */
IOT_CHECK enum iot_status journal_next(struct iot_store *journal, int64_t board, const struct journal_step *done,
				       const struct journal_step *next, struct iot_error *err);
/* Detail is for people: what was wrong. */
IOT_CHECK enum iot_status journal_failed(struct iot_store *journal, int64_t board, const struct journal_step *step,
					 const char *detail, struct iot_error *err);
/* The last step was done, and the board is: on the disk when it returns. */
IOT_CHECK enum iot_status journal_done(struct iot_store *journal, int64_t board, const struct journal_step *last,
				       const char *endpoint, struct iot_error *err);

#endif
