/*
 * Mistakes in the tables, found all at once. The tables are constant, so a test
 * that runs this is as good as a compiler error.
 */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <wordexp.h>

struct check {
	const struct cli_command *root;
	struct iot_buf *faults;
	size_t count;
};

static void fault(struct check *check, const char *path, const char *fmt, ...) IOT_PRINTF(3, 4);

static void fault(struct check *check, const char *path, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	iot_buf_addf(check->faults, "%s: %s\n", path, text);
	check->count++;
}

static void check_sentence(struct check *check, const char *path, const char *what, const char *text, bool capital)
{
	if (text == NULL || text[0] == '\0') {
		fault(check, path, "%s is missing", what);
		return;
	}
	if (iot_ends_with(text, "."))
		fault(check, path, "%s ends in a full stop", what);
	if (capital && islower((unsigned char)text[0]))
		fault(check, path, "%s begins in lower case", what);
	if (strchr(text, '\n') != NULL)
		fault(check, path, "%s has several lines", what);
}

static bool good_word(const char *word)
{
	return word[0] != '\0' && word[0] != '-' && word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0';
}

static void check_type(struct check *check, const char *path, const struct cli_param *row)
{
	int64_t scratch[2] = {0};
	struct cli_param alone = *row; /* as if it were the only field of its struct */
	struct cli_slot slot = {.row = &alone, .base = scratch};
	struct iot_error err = IOT_ERROR_INIT;

	alone.offset = 0;
	if (row->type == CLI_ENUM && (row->choices == NULL || row->choices[0] == NULL)) {
		fault(check, path, "'%s' has no choices", row->name);
		return;
	}
	if (row->min > row->max && row->max != 0)
		fault(check, path, "'%s' has its limits swapped", row->name);
	if (row->fallback != NULL && row->type == CLI_LIST)
		fault(check, path, "'%s' is a list with a default", row->name);
	else if (row->fallback != NULL && cli_assign(&slot, row->fallback, "default", &err) != IOT_OK)
		fault(check, path, "default of '%s' does not parse: %s", row->name, err.what);
}

/* Is the name or the letter of `row` used by a row of `rows` before it (all of them if it is not among them)? */
static void check_duplicates(struct check *check, const char *path, const struct cli_param *row,
			     const struct cli_param *rows, bool global)
{
	for (; rows != row && rows->name != NULL; rows++) {
		if (strcmp(rows->name, row->name) == 0)
			fault(check, path, "option '--%s' is there twice", row->name);
		if (iot_starts_with(row->name, "no-") && rows->type == CLI_FLAG &&
		    strcmp(rows->name, row->name + 3) == 0)
			fault(check, path, "option '--%s' is the negation of another", row->name);
		if (row->letter != 0 && rows->letter == row->letter && !(global && row->shadows))
			fault(check, path, "letter '-%c' of '--%s' belongs to '--%s'", row->letter, row->name,
			      rows->name);
	}
}

static void check_options(struct check *check, const struct cli_command *node, const char *path)
{
	for (const struct cli_param *row = node->opts; row != NULL && row->name != NULL; row++) {
		if (!good_word(row->name))
			fault(check, path, "option name '%s' is not lower case words", row->name);
		if (row->letter != 0 && !isalnum((unsigned char)row->letter))
			fault(check, path, "letter of '--%s' is not one", row->name);
		check_sentence(check, path, row->name, row->help, false);
		check_type(check, path, row);
		check_duplicates(check, path, row, node->opts, false);
		/* "version" only exists at the root, where no command is. */
		for (const struct cli_param *global = cli_global_rows; global->name != NULL; global++) {
			struct cli_param alone[2] = {*global, {0}};

			if (cli_global_applies(global, node == check->root))
				check_duplicates(check, path, row, alone, true);
		}
	}
}

static void check_arguments(struct check *check, const struct cli_command *node, const char *path)
{
	bool optional = false, list = false;

	for (const struct cli_param *row = node->args; row != NULL && row->name != NULL; row++) {
		if (row->name[strspn(row->name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] != '\0')
			fault(check, path, "argument name '%s' is not upper case", row->name);
		if (list)
			fault(check, path, "argument %s follows a repeated one", row->name);
		if (optional && !row->optional)
			fault(check, path, "argument %s is required after an optional one", row->name);
		list = row->type == CLI_LIST;
		optional = optional || row->optional;
		check_sentence(check, path, row->name, row->help, false);
		check_type(check, path, row);
	}
}

/* The words of an example as a shell would split them; nothing in it is run. */
static void check_example(struct check *check, const char *path, const struct cli_example *example)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *command = iot_strdup(example->command);
	wordexp_t words;
	char line[1024];

	check_sentence(check, path, "text of an example", example->text, false);
	/* What the shell would do behind the command is not ours to parse. */
	command[strcspn(command, "|&;<>\n")] = '\0';
	if (wordexp(command, &words, WRDE_NOCMD | WRDE_UNDEF) != 0) {
		fault(check, path, "example '%s' is not a shell command", example->command);
		return;
	}
	if (cli_parse_check(check->root, (int)words.we_wordc, words.we_wordv, &err) != IOT_OK)
		fault(check, path, "example '%s' fails: %s", example->command,
		      iot_error_line(&err, line, sizeof(line)));
	wordfree(&words);
}

static void check_width(struct check *check, const struct cli_command *node, const char *path)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf help = IOT_BUF_INIT((size_t)1024 * 1024);
	const char *line;

	cli_help(check->root, node, path, &help);
	for (line = iot_buf_str(&help); *line != '\0';) {
		size_t length = strcspn(line, "\n");

		if (length > CLI_WIDTH)
			fault(check, path, "help over %d columns: %.*s", CLI_WIDTH, (int)length, line);
		line += length + (line[length] == '\n');
	}
}

static void check_shape(struct check *check, const struct cli_command *node, const char *path)
{
	if (!good_word(node->name) && !node->hidden)
		fault(check, path, "name is not lower case words");
	if ((node->subcommands == NULL) == (node->run == NULL))
		fault(check, path, "needs either subcommands or a function");
	if (node->subcommands != NULL && (node->opts != NULL || node->args != NULL))
		fault(check, path, "a group has options or arguments of its own");
	if (node->args_size == 0 && (cli_has_rows(node->opts) || cli_has_rows(node->args)))
		fault(check, path, "has options or arguments but args_size is 0");
	if (node->subcommands == NULL && !node->hidden && (node->examples == NULL || node->examples[0].command == NULL))
		fault(check, path, "has no example");
	if (node->description != NULL && !iot_ends_with(node->description, "."))
		fault(check, path, "description does not end in a full stop");
}

static void check_node(struct check *check, const struct cli_command *node, const char *path, int depth)
{
	if (depth > CLI_MAX_DEPTH) {
		fault(check, path, "is too deep in the tree");
		return;
	}
	check_shape(check, node, path);
	check_sentence(check, path, "summary", node->summary, true);
	check_options(check, node, path);
	check_arguments(check, node, path);
	if (node->summary != NULL)
		check_width(check, node, path);
	for (const struct cli_example *example = node->examples; example != NULL && example->command != NULL; example++)
		check_example(check, path, example);
	for (size_t i = 0; node->subcommands != NULL && node->subcommands[i] != NULL; i++) {
		const struct cli_command *sub = node->subcommands[i];
		IOT_CLEAN(iot_free_p) char *below = iot_strf("%s %s", path, sub->name);

		for (size_t j = 0; j < i; j++) {
			if (strcmp(node->subcommands[j]->name, sub->name) == 0)
				fault(check, below, "is there twice");
		}
		check_node(check, sub, below, depth + 1);
	}
}

size_t cli_self_check(const struct cli_command *root, struct iot_buf *faults)
{
	struct check check = {.root = root, .faults = faults};

	check_node(&check, root, root->name, 1);
	return check.count;
}
