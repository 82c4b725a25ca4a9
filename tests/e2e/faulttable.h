/* Between the two files of faulttable.c: the table's lines, and the rows that they make. */
#ifndef IOTCTL_FAULTTABLE_H
#define IOTCTL_FAULTTABLE_H

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

/* Say so, and end. */
_Noreturn void die(const char *what);

void table_read(const char *path);
/* The fields of the next line of that kind, from *at on, which is moved behind it; NULL: there is none. */
char **table_next(const char *kind, size_t *at);
/* Is there a line of that kind whose field is this text, or the front of it that ends with a word? */
bool table_has(const char *kind, int field, const char *text);
/* `text` is kept. */
struct row *table_add_row(const char *scenario, const char *registered, const char *endpoint, const char *code,
			  char *text);
void table_make_rows(void);

#endif
