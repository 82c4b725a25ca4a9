/* The table of faults as rows: lines read, and commands and faults multiplied. */
#include "faulttable.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIELDS_MAX = 10 };

static struct table {
	char *lines[ROWS_MAX][FIELDS_MAX];
	size_t count;
} table;
struct row rows[ROWS_MAX];
size_t row_count;

void die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(2);
}

static char *trimmed(char *text)
{
	size_t len;

	text += strspn(text, " \t");
	len = strlen(text);
	while (len > 0 && strchr(" \t\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	return text;
}

void table_read(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[512];

	if (file == NULL)
		die("cannot read the table");
	while (fgets(line, sizeof(line), file) != NULL) {
		char *rest = line;
		size_t field = 0;

		if (*trimmed(line) == '#' || *trimmed(line) == '\0')
			continue;
		if (table.count == ROWS_MAX)
			die("too many lines");
		while (rest != NULL && field < FIELDS_MAX)
			table.lines[table.count][field++] = iot_strdup(trimmed(strsep(&rest, "|")));
		while (field < FIELDS_MAX)
			table.lines[table.count][field++] = iot_strdup("");
		table.count++;
	}
	fclose(file);
}

/* The next line of that kind after `*at`; NULL: there is none. */
char **table_next(const char *kind, size_t *at)
{
	for (; *at < table.count; (*at)++)
		if (strcmp(table.lines[*at][0], kind) == 0)
			return table.lines[(*at)++];
	return NULL;
}

const char *table_board(void)
{
	size_t at = 0;
	char **line = table_next("board", &at);

	return line != NULL ? line[1] : "";
}

static int code_of(const char *text)
{
	return strcmp(text, "any") == 0 ? ANY : atoi(text);
}

/* The text with the command in place of %. */
static char *filled(const char *text, const char *command)
{
	const char *mark = strchr(text, '%');

	return mark != NULL ? iot_strf("%.*s%s%s", (int)(mark - text), text, command, mark + 1) : iot_strdup(text);
}

struct row *table_add_row(const char *scenario, const char *registered, const char *endpoint, const char *code,
			  char *text)
{
	struct row *row = &rows[row_count++];

	if (row_count == ROWS_MAX)
		die("too many rows");
	*row = (struct row){.scenario = scenario,
			    .registered = registered,
			    .endpoint = endpoint,
			    .code = code_of(code),
			    .text = text};
	return row;
}

static void add_fault(struct row *row, char *fault)
{
	row->faults[row->fault_count++] = fault;
	snprintf(row->name, sizeof(row->name), "%s, %s", row->scenario, row->faults[0]);
}

static char **exception(const char *kind, const char *command, const char *fault)
{
	char **line;

	for (size_t at = 0; (line = table_next("except", &at)) != NULL;)
		if (strcmp(line[1], kind) == 0 && strcmp(line[2], command) == 0 && strcmp(line[3], fault) == 0)
			return line;
	return NULL;
}

/* A command and a fault. */
static void add_cell(char **command, char **fault, bool once)
{
	const char *nth = strcmp(command[3], "-") != 0 ? command[3] : "1";
	IOT_CLEAN(iot_free_p) char *aim = once ? iot_strf("%s#%s", command[6], nth) : iot_strdup(command[6]);
	char **except = exception(fault[0], command[6], fault[1]);
	char **expected = except != NULL ? except + 4 : fault + 2;

	add_fault(table_add_row(command[2], command[4], command[5], expected[0], filled(expected[1], command[6])),
		  filled(fault[1], aim));
}

static void add_step(char **line)
{
	struct row *killed = table_add_row("fresh", "any", "any", "any", iot_strdup(""));
	struct row *unplugged = table_add_row("fresh", line[3], line[4], line[2], iot_strdup(""));

	killed->kill_at = unplugged->unplug_at = line[1];
	killed->code = KILLED;
	snprintf(killed->name, sizeof(killed->name), "killed at %s", line[1]);
	snprintf(unplugged->name, sizeof(unplugged->name), "unplugged at %s", line[1]);
}

void table_make_rows(void)
{
	char **line, **fault, *rest;

	for (size_t at = 0; (line = table_next("step", &at)) != NULL;)
		add_step(line);
	for (size_t at = 0; (line = table_next("command", &at)) != NULL;) {
		for (size_t inner = 0; (fault = table_next("once", &inner)) != NULL;)
			add_cell(line, fault, true);
		/* A later occurrence cannot be reached past a fault that is always there. */
		for (size_t inner = 0; strcmp(line[3], "-") == 0 && (fault = table_next("always", &inner)) != NULL;)
			add_cell(line, fault, false);
	}
	for (size_t at = 0; (line = table_next("row", &at)) != NULL;) {
		struct row *row = table_add_row(line[1], line[2], line[3], line[5], iot_strdup(line[6]));

		for (rest = line[4]; rest != NULL && row->fault_count < FAULTS_MAX;)
			add_fault(row, iot_strdup(trimmed(strsep(&rest, ";"))));
	}
}

bool table_has(const char *kind, int field, const char *text)
{
	char **line;

	for (size_t at = 0; (line = table_next(kind, &at)) != NULL;)
		if (strncmp(text, line[field], strlen(line[field])) == 0 &&
		    strchr("= ,", text[strlen(line[field])]) != NULL)
			return true;
	return false;
}
