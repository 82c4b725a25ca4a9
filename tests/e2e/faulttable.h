/* Between the files of faulttable.c: the table's lines, the rows that they make, and the boards that are played. */
#ifndef IOTCTL_FAULTTABLE_H
#define IOTCTL_FAULTTABLE_H

#include "iotctl/digest.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { ROWS_MAX = 2000, FAULTS_MAX = 4, ANY = -1, KILLED = -2 };

struct row {
	char name[160];
	char *faults[FAULTS_MAX];
	size_t fault_count;
	const char *scenario, *registered, *endpoint, *text;
	const char *kill_at, *unplug_at; /* steps; NULL: not */
	int code;                        /* of the program; ANY; KILLED */
};

extern struct row rows[ROWS_MAX];
extern size_t row_count;

/* --- boards (faulttable_boards.c) --- */
#define SSID "plant"

extern const char *fleet; /* folder */
extern char *password_file;
extern int broker_port;

struct subject {
	const char *name;             /* in the table */
	const char *board;            /* its description, or the path of one */
	const char *who;              /* vendor, model and version in a record */
	const char *const *scenarios; /* NULL-terminated */
	const char *password;         /* of a Wi-Fi network that it is to join; NULL: none */
	bool apn;
	enum seen { NEVER_SEEN, SEEN_ONCE, STAYS } seen; /* by the broker, after provisioning */
	const char *said; /* what stands before each command in a transcript; NULL: the board keeps LINK.commands */
	/* Be the board of a row until told to end; returns an exit code. */
	int (*run)(const struct row *row, const char *link, bool faulty);
	void (*thing)(const char *link, char name[129]);        /* what it is called in the registry */
	void (*endpoint)(const char *link, char endpoint[257]); /* in its flash; "": the factory's */
	/* The id of the certificate that it holds; "": none. */
	void (*certificate)(const char *link, char id[IOT_SHA256_HEX_SIZE]);
	/* Everything that was wanted is in its flash, byte for byte. Complains. */
	bool (*is_programmed)(const char *link, const char *apn);
};
/* Ends when there is none. */
const struct subject *subject_of(const char *name);
/* False, after having said why. */
bool complaint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Say so, and end. */
_Noreturn void die(const char *what);

void table_read(const char *path);
/* The board that the table is for. */
const char *table_board(void);
/* The fields of the next line of that kind, from *at on, which is moved behind it; NULL: there is none. */
char **table_next(const char *kind, size_t *at);
/* Is there a line of that kind whose field is this text, or the front of it that ends with a word? */
bool table_has(const char *kind, int field, const char *text);
/* `text` is kept. */
struct row *table_add_row(const char *scenario, const char *registered, const char *endpoint, const char *code,
			  char *text);
void table_make_rows(void);

#endif
