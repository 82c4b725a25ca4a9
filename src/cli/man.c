/* Manual pages in mdoc, from the tree. Pure text: no date of the build, no place. */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

#define PAGE_DATE "November 21, 2026" /* of the page format: set by hand when this file changes */
#define TEXT_WIDTH 78

/* One word for roff: backslashes and dashes are not its own. */
static void add_word(struct iot_buf *out, const char *word, size_t length, bool line_start)
{
	if (line_start && (word[0] == '.' || word[0] == '\''))
		iot_buf_adds(out, "\\&");
	for (size_t i = 0; i < length; i++) {
		if (word[i] == '\\')
			iot_buf_adds(out, "\\e");
		else if (word[i] == '-')
			iot_buf_adds(out, "\\-");
		else
			iot_buf_addc(out, word[i]);
	}
}

/* Running text: lines end at TEXT_WIDTH and after each sentence, empty lines become .Pp. */
static void add_text(struct iot_buf *out, const char *text)
{
	size_t at = 0;

	while (*text != '\0') {
		size_t length = strcspn(text, " \n");
		size_t gap = strspn(text + length, " \n");
		bool paragraph = strncmp(text + length, "\n\n", 2) == 0;

		if (at > 0 && at + 1 + length > TEXT_WIDTH) {
			iot_buf_addc(out, '\n');
			at = 0;
		}
		if (at > 0)
			iot_buf_addc(out, ' ');
		add_word(out, text, length, at == 0);
		at += length + 1;
		if (length > 0 && text[length - 1] == '.') {
			iot_buf_addc(out, '\n');
			at = 0;
		}
		text += length + gap;
		if (paragraph && *text != '\0') {
			iot_buf_adds(out, at > 0 ? "\n.Pp\n" : ".Pp\n");
			at = 0;
		}
	}
	if (at > 0)
		iot_buf_addc(out, '\n');
}

/* One macro argument, in quotes so that no word of it is taken for a macro. */
static void add_quoted(struct iot_buf *out, const char *text)
{
	iot_buf_addc(out, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"')
			iot_buf_adds(out, "\"\"");
		else
			add_word(out, text, 1, false);
	}
	iot_buf_addc(out, '"');
}

static void add_heading(struct iot_buf *out, const char *page, const char *name, const char *summary)
{
	IOT_CLEAN(iot_free_p) char *lower = iot_strdup(summary);

	lower[0] = (char)tolower((unsigned char)lower[0]);
	iot_buf_adds(out, ".\\\" Generated from the command tree: change that, then run the target docs.\n");
	iot_buf_addf(out, ".Dd %s\n.Dt ", PAGE_DATE);
	for (; *page != '\0'; page++)
		iot_buf_addc(out, (char)toupper((unsigned char)*page));
	iot_buf_addf(out, " 1\n.Os\n.Sh NAME\n.Nm %s\n.Nd ", name);
	/* An abbreviation at the start stays as it is. */
	add_quoted(out, isupper((unsigned char)summary[1]) ? summary : lower);
	iot_buf_addc(out, '\n');
}

static void add_option(struct iot_buf *out, const struct cli_param *row)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4000);

	iot_buf_adds(out, ".It ");
	if (row->letter != 0)
		iot_buf_addf(out, "Fl %c , ", row->letter);
	iot_buf_addf(out, "Fl \\-%s", row->name);
	if (cli_takes_value(row))
		iot_buf_addf(out, " Ns = Ns Ar %s", row->value != NULL ? row->value : "VALUE");
	iot_buf_addc(out, '\n');
	cli_param_text(row, &text);
	add_text(out, iot_buf_str(&text));
}

static void add_argument(struct iot_buf *out, const struct cli_param *row)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4000);

	iot_buf_addf(out, ".It Ar %s%s\n", row->name, row->type == CLI_LIST ? " ..." : "");
	cli_param_text(row, &text);
	add_text(out, iot_buf_str(&text));
}

static void add_params(struct iot_buf *out, const struct cli_param *rows, bool options)
{
	if (!cli_has_rows(rows))
		return;
	iot_buf_adds(out, ".Bl -tag -width Ds\n");
	for (; rows->name != NULL; rows++) {
		if (rows->hidden)
			continue;
		if (options)
			add_option(out, rows);
		else
			add_argument(out, rows);
	}
	iot_buf_adds(out, ".El\n");
}

static void add_exit(struct iot_buf *out, enum iot_status status)
{
	iot_buf_addf(out, ".It %d\n", (int)status);
	add_text(out, iot_status_text(status));
}

static void add_interrupts(struct iot_buf *out)
{
	iot_buf_adds(out, ".It 130 , 143\n");
	add_text(out, "interrupted by SIGINT or SIGTERM");
}

static void add_examples(struct iot_buf *out, const struct cli_command *root, const struct cli_command *node)
{
	for (const struct cli_example *example = node->examples; example != NULL && example->command != NULL;
	     example++) {
		IOT_CLEAN(iot_free_p) char *text = iot_strdup(example->text);

		text[0] = (char)toupper((unsigned char)text[0]);
		add_text(out, text);
		iot_buf_addf(out, ".Pp\n.Dl %s ", root->name);
		add_quoted(out, example->command);
		iot_buf_adds(out, "\n.Pp\n");
	}
}

/* A .Pp at the end of a section is an error to mandoc. */
static void end_section(struct iot_buf *out)
{
	if (iot_ends_with(iot_buf_str(out), "\n.Pp\n"))
		out->len -= 4;
	if (out->data != NULL)
		out->data[out->len] = '\0';
}

/* ---- the root ---- */

static void add_commands(struct iot_buf *out, const struct cli_command *root)
{
	bool open = false;

	for (const struct cli_command *const *sub = root->subcommands; *sub != NULL; sub++) {
		if ((*sub)->hidden)
			continue;
		if ((*sub)->group != NULL || !open) {
			const char *heading = (*sub)->group != NULL ? (*sub)->group : "commands";
			IOT_CLEAN(iot_free_p) char *title = iot_strdup(heading);

			title[0] = (char)toupper((unsigned char)title[0]);
			iot_buf_adds(out, open ? ".El\n.Ss " : ".Ss ");
			add_quoted(out, title);
			iot_buf_adds(out, "\n.Bl -tag -width Ds\n");
			open = true;
		}
		iot_buf_addf(out, ".It Xr %s-%s 1\n", root->name, (*sub)->name);
		add_text(out, (*sub)->summary);
	}
	if (open)
		iot_buf_adds(out, ".El\n");
}

static void add_setting_variables(struct iot_buf *out, const struct setting *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		IOT_CLEAN(iot_free_p) char *variable = iot_strf("IOTCTL_%s", rows->name);

		for (char *c = variable; *c != '\0'; c++)
			*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
		iot_buf_addf(out, ".It Ev %s", variable);
		for (const char *const *also = rows->also; also != NULL && *also != NULL; also++)
			iot_buf_addf(out, " , Ev %s", *also);
		iot_buf_addc(out, '\n');
		add_text(out, rows->help);
	}
}

static void add_environment(struct iot_buf *out, const struct setting *extra)
{
	iot_buf_adds(out, ".Sh ENVIRONMENT\n");
	add_text(out,
		 "Each setting has a variable, which is stronger than the settings files and weaker than an option.");
	iot_buf_adds(out, ".Bl -tag -width Ds\n");
	add_setting_variables(out, settings_builtin);
	add_setting_variables(out, extra);
	iot_buf_adds(out, ".It Ev NO_COLOR\n");
	add_text(out, "no colours, if it is not empty");
	iot_buf_adds(out, ".It Ev CLICOLOR_FORCE\n");
	add_text(out, "colours even if the output is no terminal, if it is neither empty nor 0");
	iot_buf_adds(out, ".It Ev CI , Ev TERM\n");
	add_text(out, "no colours and no progress bar if CI is set or TERM is dumb");
	iot_buf_adds(out, ".El\n");
}

static void add_setting_rows(struct iot_buf *out, const struct setting *rows)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4000);

		iot_buf_adds(&text, rows->help);
		for (size_t i = 0; rows->choices != NULL && rows->choices[i] != NULL; i++)
			iot_buf_addf(&text, "%s %s", i == 0 ? ":" : ",", rows->choices[i]);
		if (rows->fallback != NULL)
			iot_buf_addf(&text, " (default %s)", rows->fallback);
		iot_buf_addf(out, ".It Cm %s\n", rows->name);
		add_text(out, iot_buf_str(&text));
	}
}

static void add_files(struct iot_buf *out, const struct setting *extra)
{
	iot_buf_adds(out, ".Sh FILES\n");
	add_text(out,
		 "Settings are looked for in these files, the first one first, in the section of the chosen profile, "
		 "[profile NAME], and then in all of them in the section [default].");
	iot_buf_adds(out, ".Bl -tag -width Ds\n.It Pa ./.iotctl.conf\n");
	add_text(out, "of the current folder; refused if another user could have written it");
	iot_buf_adds(out, ".It Pa $XDG_CONFIG_HOME/iotctl/iotctl.conf\n");
	add_text(out, "the user's own; ~/.config/iotctl/iotctl.conf if the variable is not set");
	iot_buf_adds(out, ".It Pa /etc/iotctl/iotctl.conf\n");
	add_text(out, "of the machine");
	iot_buf_adds(out, ".El\n.Pp\n");
	add_text(out, "Lines are NAME = VALUE. The settings are:");
	iot_buf_adds(out, ".Bl -tag -width Ds\n");
	add_setting_rows(out, settings_builtin);
	add_setting_rows(out, extra);
	iot_buf_adds(out, ".El\n");
}

static void add_all_exits(struct iot_buf *out)
{
	iot_buf_adds(out, ".Sh EXIT STATUS\n.Bl -tag -width Ds\n");
	for (int status = IOT_OK; status <= IOT_SETTINGS; status++)
		add_exit(out, (enum iot_status)status);
	add_interrupts(out);
	iot_buf_adds(out, ".El\n");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_see_also(struct iot_buf *out, const struct cli_command *root)
{
	IOT_CLEAN(iot_free_p) const char **names = NULL;
	size_t count = 0;

	for (const struct cli_command *const *sub = root->subcommands; *sub != NULL; sub++) {
		names = iot_realloc(names, (count + 1) * sizeof(*names));
		if (!(*sub)->hidden)
			names[count++] = (*sub)->name;
	}
	if (count == 0)
		return;
	qsort(names, count, sizeof(*names), by_name);
	iot_buf_adds(out, ".Sh SEE ALSO\n");
	for (size_t i = 0; i < count; i++)
		iot_buf_addf(out, "%s.Xr %s-%s 1", i == 0 ? "" : " ,\n", root->name, names[i]);
	iot_buf_addc(out, '\n');
}

void cli_man_root(const struct cli_command *root, const struct setting *extra_settings, struct iot_buf *out)
{
	add_heading(out, root->name, root->name, root->summary);
	iot_buf_adds(out, ".Sh SYNOPSIS\n.Nm\n.Ar command\n.Op Ar options\n.Op Ar arguments\n");
	iot_buf_addf(out, ".Nm\n.Ar command\n.Fl \\-help\n.Sh DESCRIPTION\n");
	add_text(out, root->description != NULL ? root->description : root->summary);
	add_commands(out, root);
	iot_buf_adds(out, ".Ss Options of every command\n");
	add_params(out, cli_global_rows, true);
	add_environment(out, extra_settings);
	add_files(out, extra_settings);
	add_all_exits(out);
	if (root->examples != NULL && root->examples[0].command != NULL) {
		iot_buf_adds(out, ".Sh EXAMPLES\n");
		add_examples(out, root, root);
		end_section(out);
	}
	add_see_also(out, root);
}

/* ---- a noun ---- */

struct page {
	const struct cli_command *root;
	const struct cli_command *noun;
	struct iot_buf *out;
	unsigned exits; /* bit n: code n is used */
	bool examples;
	bool interrupts; /* 130 and 143 mean something to it */
	void (*each)(struct page *page, const struct cli_command *leaf, const char *path);
};

static void each_leaf(struct page *page, const struct cli_command *node, const char *path)
{
	if (node->hidden)
		return;
	if (node->subcommands == NULL) {
		page->each(page, node, path);
		return;
	}
	for (const struct cli_command *const *sub = node->subcommands; *sub != NULL; sub++) {
		IOT_CLEAN(iot_free_p) char *below = iot_strf("%s %s", path, (*sub)->name);

		each_leaf(page, *sub, below);
	}
}

static void for_leaves(struct page *page, void (*each)(struct page *, const struct cli_command *, const char *))
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s %s", page->root->name, page->noun->name);

	page->each = each;
	each_leaf(page, page->noun, path);
}

static void add_synopsis(struct page *page, const struct cli_command *leaf, const char *path)
{
	iot_buf_addf(page->out, ".Nm \"%s\"\n", path);
	if (cli_has_rows(leaf->opts))
		iot_buf_adds(page->out, ".Op Ar options\n");
	for (const struct cli_param *arg = leaf->args; arg != NULL && arg->name != NULL; arg++) {
		const char *dots = arg->type == CLI_LIST ? " ..." : "";

		if (!arg->hidden)
			iot_buf_addf(page->out, "%s %s%s\n", arg->optional ? ".Op Ar" : ".Ar", arg->name, dots);
	}
}

static void add_command(struct page *page, const struct cli_command *leaf, const char *path)
{
	if (leaf != page->noun) {
		iot_buf_adds(page->out, ".Ss ");
		add_quoted(page->out, path);
		iot_buf_addc(page->out, '\n');
	}
	if (leaf != page->noun || leaf->description == NULL) {
		IOT_CLEAN(iot_free_p) char *sentence = iot_strf("%s.", leaf->summary);

		add_text(page->out, sentence);
	}
	if (leaf->description != NULL) {
		if (leaf != page->noun)
			iot_buf_adds(page->out, ".Pp\n");
		add_text(page->out, leaf->description);
	}
	add_params(page->out, leaf->args, false);
	add_params(page->out, leaf->opts, true);
}

static void note_leaf(struct page *page, const struct cli_command *leaf, const char *path)
{
	(void)path;
	for (const enum iot_status *exit = leaf->exits; exit != NULL && *exit != IOT_OK; exit++) {
		if (*exit <= IOT_SETTINGS)
			page->exits |= 1U << (unsigned)*exit;
		else
			page->interrupts = true;
	}
	page->examples = page->examples || (leaf->examples != NULL && leaf->examples[0].command != NULL);
}

static void add_leaf_examples(struct page *page, const struct cli_command *leaf, const char *path)
{
	(void)path;
	add_examples(page->out, page->root, leaf);
}

void cli_man_noun(const struct cli_command *root, const struct cli_command *noun, struct iot_buf *out)
{
	struct page page = {.root = root, .noun = noun, .out = out, .exits = 7};
	IOT_CLEAN(iot_free_p) char *name = iot_strf("%s-%s", root->name, noun->name);

	add_heading(out, name, name, noun->summary);
	iot_buf_adds(out, ".Sh SYNOPSIS\n");
	for_leaves(&page, add_synopsis);
	iot_buf_adds(out, ".Sh DESCRIPTION\n");
	if (noun->subcommands != NULL) {
		IOT_CLEAN(iot_free_p) char *sentence = iot_strf("%s.", noun->summary);

		add_text(out, noun->description != NULL ? noun->description : sentence);
	}
	for_leaves(&page, add_command);
	iot_buf_addf(out, ".Pp\nThe options of every command are in\n.Xr %s 1 .\n", root->name);
	for_leaves(&page, note_leaf);
	iot_buf_adds(out, ".Sh EXIT STATUS\n.Bl -tag -width Ds\n");
	for (int status = IOT_OK; status <= IOT_SETTINGS; status++) {
		if ((page.exits >> status & 1U) != 0)
			add_exit(out, (enum iot_status)status);
	}
	if (page.interrupts)
		add_interrupts(out);
	iot_buf_adds(out, ".El\n");
	if (page.examples || noun->examples != NULL) {
		iot_buf_adds(out, ".Sh EXAMPLES\n");
		if (noun->subcommands != NULL)
			add_examples(out, root, noun);
		for_leaves(&page, add_leaf_examples);
		end_section(out);
	}
	iot_buf_addf(out, ".Sh SEE ALSO\n.Xr %s 1\n", root->name);
}
