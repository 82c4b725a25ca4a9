/* Help for people: a pure function from the tree to text of at most CLI_WIDTH columns. */
#include "cli/internal.h"
#include "iotctl/base.h"

#include <stdio.h>
#include <string.h>

#define LABEL_WIDTH 28 /* column where explanations begin */
#define MAX_BORROWED 4

bool cli_has_rows(const struct cli_param *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (!rows->hidden)
			return true;
	}
	return false;
}

static void spaces(struct iot_buf *out, size_t count)
{
	for (size_t i = 0; i < count; i++)
		iot_buf_addc(out, ' ');
}

void cli_wrap(struct iot_buf *out, const char *text, size_t indent, size_t at)
{
	bool fresh = true;

	if (text == NULL)
		text = ""; /* a summary that is missing: the self-check says so */
	while (*text != '\0') {
		size_t length = strcspn(text, " \n");
		size_t gap = strspn(text + length, " \n");
		bool paragraph = strncmp(text + length, "\n\n", 2) == 0;

		if (!fresh && at + 1 + length > CLI_WIDTH) {
			iot_buf_addc(out, '\n');
			spaces(out, indent);
			at = indent;
			fresh = true;
		}
		if (!fresh) {
			iot_buf_addc(out, ' ');
			at++;
		}
		iot_buf_add(out, text, length);
		at += length;
		fresh = false;
		text += length + gap;
		if (paragraph && *text != '\0') {
			iot_buf_adds(out, "\n\n");
			spaces(out, indent);
			at = indent;
			fresh = true;
		}
	}
	iot_buf_addc(out, '\n');
}

void cli_option_label(const struct cli_param *row, struct iot_buf *out)
{
	if (row->letter != 0)
		iot_buf_addf(out, "-%c, ", row->letter);
	else
		iot_buf_adds(out, "    ");
	iot_buf_addf(out, "--%s", row->name);
	if (cli_takes_value(row))
		iot_buf_addf(out, " %s", row->value != NULL ? row->value : "VALUE");
}

void cli_argument_words(const struct cli_command *node, struct iot_buf *out)
{
	if (node->subcommands != NULL)
		iot_buf_adds(out, " COMMAND");
	if (cli_has_rows(node->opts))
		iot_buf_adds(out, " [options]");
	for (const struct cli_param *arg = node->args; arg != NULL && arg->name != NULL; arg++) {
		const char *dots = arg->type == CLI_LIST ? "..." : "";

		if (!arg->hidden)
			iot_buf_addf(out, arg->optional ? " [%s%s]" : " %s%s", arg->name, dots);
	}
}

static void add_limits(const struct cli_param *row, struct iot_buf *out)
{
	if (row->type == CLI_ENUM && row->choices != NULL) {
		iot_buf_adds(out, ":");
		for (size_t i = 0; row->choices[i] != NULL; i++)
			iot_buf_addf(out, "%s %s", i == 0 ? "" : ",", row->choices[i]);
	}
	if (row->type == CLI_INT && row->max != 0 && row->max < INT32_MAX)
		iot_buf_addf(out, ", %lld to %lld", (long long)row->min, (long long)row->max);
}

void cli_param_text(const struct cli_param *row, struct iot_buf *out)
{
	iot_buf_adds(out, row->help);
	add_limits(row, out);
	if (row->type == CLI_LIST && row->value != NULL && strstr(row->help, "repeated") == NULL)
		iot_buf_adds(out, "; may be repeated");
	if (row->fallback != NULL && row->type == CLI_FLAG)
		iot_buf_addf(out, " (default; --no-%s undoes it)", row->name);
	else if (row->fallback != NULL)
		iot_buf_addf(out, " (default %s)", row->fallback);
	if (row->required)
		iot_buf_adds(out, " (required)");
	if (row->env != NULL)
		iot_buf_addf(out, " [%s]", row->env);
}

/* "  LABEL      text", the text wrapped beside the label or under it. */
static void add_row(const char *label, const char *text, size_t width, struct iot_buf *out)
{
	iot_buf_addf(out, "  %s", label);
	if (strlen(label) + 4 > width) {
		iot_buf_addc(out, '\n');
		spaces(out, width);
	} else {
		spaces(out, width - 2 - strlen(label));
	}
	cli_wrap(out, text, width, width);
}

static void add_params(const struct cli_param *rows, bool options, bool at_root, struct iot_buf *out)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf label = IOT_BUF_INIT(200);
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(2000);

		if (rows->hidden || (options && !cli_global_applies(rows, at_root)))
			continue;
		if (options)
			cli_option_label(rows, &label);
		else
			iot_buf_adds(&label, rows->name);
		cli_param_text(rows, &text);
		add_row(iot_buf_str(&label), iot_buf_str(&text), LABEL_WIDTH, out);
	}
}

static void add_usage(const struct cli_command *node, const char *path, struct iot_buf *out)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf words = IOT_BUF_INIT(2000);
	size_t indent = strlen("usage: ") + strlen(path) + 1;

	cli_argument_words(node, &words);
	iot_buf_addf(out, "usage: %s ", path);
	cli_wrap(out, iot_buf_str(&words) + (words.len > 0), indent < 40 ? indent : 11, indent);
}

static size_t name_width(const struct cli_command *const *subs)
{
	size_t width = 0;

	for (; *subs != NULL; subs++) {
		if (!(*subs)->hidden && strlen((*subs)->name) > width)
			width = strlen((*subs)->name);
	}
	return width + 4;
}

static void add_subcommands(const struct cli_command *node, struct iot_buf *out)
{
	const struct cli_command *const *subs = node->subcommands;
	size_t width;

	if (subs == NULL)
		return;
	width = name_width(subs);
	if (subs[0] != NULL && subs[0]->group == NULL)
		iot_buf_adds(out, "\ncommands:\n");
	for (; *subs != NULL; subs++) {
		if ((*subs)->hidden)
			continue;
		if ((*subs)->group != NULL)
			iot_buf_addf(out, "\n%s:\n", (*subs)->group);
		add_row((*subs)->name, (*subs)->summary, width, out);
	}
}

/* Length of the shell word at text, quoted parts and following blanks included. */
static size_t shell_word(const char *text)
{
	size_t i = 0;
	char quote = 0;

	for (; text[i] != '\0' && (quote != 0 || text[i] != ' '); i++) {
		if (quote != 0 && text[i] == quote)
			quote = 0;
		else if (quote == 0 && (text[i] == '\'' || text[i] == '"'))
			quote = text[i];
	}
	return i + strspn(text + i, " ");
}

/* A command that can be pasted even when it needs several lines. */
static void add_command(const char *program, const char *command, struct iot_buf *out)
{
	size_t at = 2 + strlen(program) + 1;

	iot_buf_addf(out, "  %s ", program);
	while (*command != '\0') {
		size_t length = shell_word(command);

		if (at + length > CLI_WIDTH - 2 && at > 6) {
			iot_buf_adds(out, "\\\n      ");
			at = 6;
		}
		iot_buf_add(out, command, length);
		at += length;
		command += length;
	}
	iot_buf_addc(out, '\n');
}

static const struct cli_example *first_example(const struct cli_command *node)
{
	const struct cli_example *found = NULL;

	if (node->examples != NULL && node->examples[0].command != NULL)
		return node->examples;
	for (size_t i = 0; node->subcommands != NULL && node->subcommands[i] != NULL && found == NULL; i++)
		found = first_example(node->subcommands[i]);
	return found;
}

/* A group without examples borrows the first one of each of its commands. */
static void add_borrowed(const struct cli_command *root, const struct cli_command *node, struct iot_buf *out)
{
	size_t shown = 0;

	for (const struct cli_command *const *sub = node->subcommands; *sub != NULL && shown < MAX_BORROWED; sub++) {
		const struct cli_example *example = first_example(*sub);

		if ((*sub)->hidden || example == NULL)
			continue;
		if (shown++ == 0)
			iot_buf_adds(out, "\nexamples:\n");
		iot_buf_addf(out, "  # %s\n", example->text);
		add_command(root->name, example->command, out);
	}
}

static void add_examples(const struct cli_command *root, const struct cli_command *node, struct iot_buf *out)
{
	const struct cli_example *example = node->examples;

	if (example == NULL || example->command == NULL) {
		if (node->subcommands != NULL)
			add_borrowed(root, node, out);
		return;
	}
	iot_buf_adds(out, "\nexamples:\n");
	for (; example->command != NULL; example++) {
		iot_buf_addf(out, "  # %s\n", example->text);
		add_command(root->name, example->command, out);
	}
}

static void add_exits(const struct cli_command *node, struct iot_buf *out)
{
	if (node->exits == NULL || node->exits[0] == IOT_OK)
		return;
	iot_buf_adds(out, "\nexit codes besides 0 (done), 1 (failure) and 2 (usage):\n");
	for (const enum iot_status *exit = node->exits; *exit != IOT_OK; exit++) {
		char label[16];

		snprintf(label, sizeof(label), "%d", (int)*exit);
		add_row(label, iot_status_text(*exit), 8, out);
	}
}

static void add_global_options(const struct cli_command *root, const struct cli_command *node, struct iot_buf *out)
{
	if (node == root) {
		iot_buf_adds(out, "\noptions of every command:\n");
		add_params(cli_global_rows, true, true, out);
		return;
	}
	iot_buf_addc(out, '\n');
	if (node->subcommands != NULL) {
		IOT_CLEAN(iot_free_p) char *text = iot_strf("Options of every command: see '%s --help'", root->name);

		cli_wrap(out, text, 0, 0);
		return;
	}
	iot_buf_adds(out, "options of every command:\n  ");
	{
		IOT_CLEAN(iot_buf_release) struct iot_buf list = IOT_BUF_INIT(1000);

		for (const struct cli_param *row = cli_global_rows; row->name != NULL; row++) {
			if (cli_global_applies(row, false))
				iot_buf_addf(&list, "%s--%s", list.len == 0 ? "" : ", ", row->name);
		}
		iot_buf_addf(&list, " (see '%s --help')", root->name);
		cli_wrap(out, iot_buf_str(&list), 2, 2);
	}
}

void cli_help(const struct cli_command *root, const struct cli_command *node, const char *path, struct iot_buf *out)
{
	IOT_CLEAN(iot_free_p) char *heading = iot_strf("%s - %s", path, node->summary);

	cli_wrap(out, heading, 4, 0);
	iot_buf_addc(out, '\n');
	add_usage(node, path, out);
	if (node->description != NULL) {
		iot_buf_addc(out, '\n');
		cli_wrap(out, node->description, 0, 0);
	}
	add_examples(root, node, out);
	add_subcommands(node, out);
	if (cli_has_rows(node->args)) {
		iot_buf_adds(out, "\narguments:\n");
		add_params(node->args, false, false, out);
	}
	if (cli_has_rows(node->opts)) {
		iot_buf_adds(out, "\noptions:\n");
		add_params(node->opts, true, true, out);
	}
	add_global_options(root, node, out);
	add_exits(node, out);
	if (node->subcommands != NULL)
		iot_buf_addf(out, "\nMore about a command: '%s COMMAND --help'\n", path);
}

void cli_help_short(const struct cli_command *root, const struct cli_command *node, const char *path,
		    struct iot_buf *out)
{
	(void)root;
	add_usage(node, path, out);
	add_subcommands(node, out);
	iot_buf_addf(out, "\nMore: '%s --help'\n", path);
}
