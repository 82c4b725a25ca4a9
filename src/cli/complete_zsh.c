/* Completion for zsh: one function per node, built on _arguments. */
#include "cli/internal.h"
#include "iotctl/base.h"

#include <string.h>

static const char head[] =
	"#compdef iotctl\n"
	"# zsh completion for iotctl, generated from its command tree\n"
	"\n"
	"# Values that change: ask the program, which answers within 200 ms or not at all.\n"
	"_iotctl_live() {\n"
	"\tlocal -a lines values\n"
	"\tlines=(${(f)\"$(iotctl __complete $1 \"$PREFIX\" \"${(@)_iotctl_words}\" 2>/dev/null)\"})\n"
	"\tvalues=(${lines%%$'\\t'*})\n"
	"\tvalues=(${values//:/\\\\:})\n"
	"\t(( $#values )) && _describe -t \"$1\" \"$1\" values\n"
	"}\n"
	"\n";

/* Text inside a single-quoted _arguments specification. */
static void add_escaped(struct iot_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			iot_buf_adds(out, "'\\''");
		else if (strchr("[]:\\", *text) != NULL)
			iot_buf_addf(out, "\\%c", *text);
		else
			iot_buf_addc(out, *text);
	}
}

static void add_action(struct iot_buf *out, const struct cli_param *row)
{
	if (row->choices != NULL) {
		iot_buf_addc(out, '(');
		for (size_t i = 0; row->choices[i] != NULL; i++)
			iot_buf_addf(out, "%s%s", i == 0 ? "" : " ", row->choices[i]);
		iot_buf_addc(out, ')');
	} else if (cli_complete_name(row->complete) != NULL) {
		/* The space keeps _arguments from adding words of its own. */
		iot_buf_addf(out, " _iotctl_live %s", cli_complete_name(row->complete));
	} else if (row->complete == COMPLETE_DIR) {
		iot_buf_adds(out, "_files -/");
	} else if (row->complete == COMPLETE_FILE || row->type == CLI_PATH) {
		iot_buf_adds(out, "_files");
	} else {
		iot_buf_addc(out, ' ');
	}
}

static void add_spec(struct iot_buf *out, const struct cli_param *row, bool letter)
{
	bool again = row->type == CLI_LIST || (int)row->type == CLI_COUNT;

	iot_buf_adds(out, "\t\t'");
	if (again)
		iot_buf_addc(out, '*');
	else if (row->letter != 0)
		iot_buf_addf(out, "(-%c --%s)", row->letter, row->name);
	if (letter)
		iot_buf_addf(out, "-%c", row->letter);
	else
		iot_buf_addf(out, "--%s%s", row->name, cli_takes_value(row) ? "=" : "");
	iot_buf_addc(out, '[');
	add_escaped(out, row->help);
	iot_buf_addc(out, ']');
	if (cli_takes_value(row)) {
		iot_buf_addf(out, ":%s:", row->value != NULL ? row->value : "VALUE");
		add_action(out, row);
	}
	iot_buf_adds(out, "'\n");
}

static void add_options(struct iot_buf *out, const struct cli_param *rows, bool at_root)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (rows->hidden || !cli_global_applies(rows, at_root))
			continue;
		if (rows->letter != 0)
			add_spec(out, rows, true);
		add_spec(out, rows, false);
		if (rows->type == CLI_FLAG && rows->fallback != NULL)
			iot_buf_addf(out, "\t\t'--no-%s[the opposite of --%s]'\n", rows->name, rows->name);
	}
}

static void add_function_name(struct iot_buf *out, const char *path)
{
	iot_buf_adds(out, "_iotctl");
	if (path[0] != '\0')
		iot_buf_addc(out, '_');
	for (; *path != '\0'; path++)
		iot_buf_addc(out, *path == ' ' ? '_' : *path);
}

static void add_leaf(struct iot_buf *out, const struct cli_command *node)
{
	for (const struct cli_param *arg = node->args; arg != NULL && arg->name != NULL; arg++) {
		iot_buf_addf(out, "\t\t'%s:", arg->type == CLI_LIST ? "*" : arg->optional ? ":" : "");
		add_escaped(out, arg->help);
		iot_buf_addc(out, ':');
		add_action(out, arg);
		iot_buf_adds(out, "'\n");
	}
	iot_buf_adds(out, "\t)\n\t_arguments -s -S \"${(@)specs}\"\n}\n\n");
}

static void add_group(struct iot_buf *out, const struct cli_command *node, const char *path)
{
	iot_buf_adds(out, "\t)\n\tlocal -a commands=(\n");
	for (const struct cli_command *const *sub = node->subcommands; *sub != NULL; sub++) {
		if ((*sub)->hidden)
			continue;
		iot_buf_addf(out, "\t\t'%s:", (*sub)->name);
		add_escaped(out, (*sub)->summary);
		iot_buf_adds(out, "'\n");
	}
	iot_buf_adds(out, "\t)\n"
			  "\t_arguments -C -s -S \"${(@)specs}\" ': :->command' '*:: :->rest'\n"
			  "\tcase $state in\n"
			  "\tcommand) _describe -t commands command commands ;;\n"
			  "\trest)\n"
			  "\t\tcase $line[1] in\n");
	for (const struct cli_command *const *sub = node->subcommands; *sub != NULL; sub++) {
		IOT_CLEAN(iot_free_p) char *below = iot_strf("%s%s%s", path, path[0] != '\0' ? " " : "", (*sub)->name);

		if ((*sub)->hidden)
			continue;
		iot_buf_addf(out, "\t\t%s) ", (*sub)->name);
		add_function_name(out, below);
		iot_buf_adds(out, " ;;\n");
	}
	iot_buf_adds(out, "\t\tesac\n\t\t;;\n\tesac\n}\n\n");
}

static void add_node(void *data, const struct cli_command *node, const char *path)
{
	struct iot_buf *out = data;
	bool root = path[0] == '\0';

	add_function_name(out, path);
	iot_buf_adds(out, "() {\n\tlocal curcontext=$curcontext state state_descr line\n\ttypeset -A opt_args\n");
	if (root)
		iot_buf_adds(out, "\tlocal -a _iotctl_words=(\"${(@)words[2,-1]}\")\n");
	iot_buf_adds(out, "\tlocal -a specs=(\n");
	add_options(out, node->opts, true);
	add_options(out, cli_global_rows, root);
	if (node->subcommands != NULL)
		add_group(out, node, path);
	else
		add_leaf(out, node);
}

void cli_complete_zsh(const struct cli_command *root, struct iot_buf *out)
{
	iot_buf_adds(out, head);
	cli_walk(root, add_node, out);
	/* Works from fpath, where the file is the function's body, and when sourced. */
	iot_buf_adds(out,
		     "if [[ $funcstack[1] == _iotctl ]]; then\n\t_iotctl \"$@\"\nelse\n\tcompdef _iotctl iotctl\nfi\n");
}
