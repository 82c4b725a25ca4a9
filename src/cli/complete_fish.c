/* Completion for fish: one `complete` line per option, argument and command. */
#include "cli/internal.h"
#include "iotctl/base.h"

#include <string.h>

static const char live[] = "# Values that change: ask the program, which answers within 200 ms or not at all.\n"
			   "function __iotctl_live\n"
			   "    set -l words (commandline -opc)\n"
			   "    iotctl __complete $argv[1] (commandline -ct) $words[2..-1] 2>/dev/null\n"
			   "end\n"
			   "\n"
			   "function __iotctl_at\n"
			   "    set -l path (__iotctl_path)\n"
			   "    test \"$path\" = \"$argv[1]\"\n"
			   "end\n"
			   "\n"
			   "complete -c iotctl -f\n";

static void add_escaped(struct iot_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			iot_buf_addc(out, '\\');
		iot_buf_addc(out, *text);
	}
}

static void add_known_path(void *data, const struct cli_command *node, const char *path)
{
	(void)node;
	if (path[0] != '\0')
		iot_buf_addf(data, " '%s'", path);
}

static void add_path_function(const struct cli_command *root, struct iot_buf *out)
{
	iot_buf_adds(out, "# The command that has been typed so far: \"device show\".\n"
			  "function __iotctl_path\n"
			  "    set -l words (commandline -opc)\n"
			  "    set -l path\n"
			  "    set -l skip 0\n"
			  "    for word in $words[2..-1]\n"
			  "        if test $skip -eq 1\n"
			  "            set skip 0\n"
			  "            continue\n"
			  "        end\n"
			  "        switch $word\n"
			  "            case");
	for (const struct cli_param *row = cli_global_rows; row->name != NULL; row++) {
		if (!cli_takes_value(row))
			continue;
		if (row->letter != 0)
			iot_buf_addf(out, " -%c", row->letter);
		iot_buf_addf(out, " --%s", row->name);
	}
	iot_buf_adds(out, "\n"
			  "                set skip 1\n"
			  "            case '-*'\n"
			  "            case '*'\n"
			  "                if not contains -- (string join ' ' $path $word)");
	cli_walk(root, add_known_path, out);
	iot_buf_adds(out, "\n"
			  "                    break\n"
			  "                end\n"
			  "                set path $path $word\n"
			  "        end\n"
			  "    end\n"
			  "    string join ' ' $path\n"
			  "end\n\n");
}

/* What may stand for a value: the last words of a `complete` line. */
static void add_source(struct iot_buf *out, const struct cli_param *row)
{
	if (row->choices != NULL) {
		iot_buf_adds(out, " -x -a '");
		for (size_t i = 0; row->choices[i] != NULL; i++)
			iot_buf_addf(out, "%s%s", i == 0 ? "" : " ", row->choices[i]);
		iot_buf_addc(out, '\'');
	} else if (cli_complete_name(row->complete) != NULL) {
		iot_buf_addf(out, " -x -a '(__iotctl_live %s)'", cli_complete_name(row->complete));
	} else if (row->complete == COMPLETE_DIR) {
		iot_buf_adds(out, " -x -a '(__fish_complete_directories (commandline -ct))'");
	} else if (row->complete == COMPLETE_FILE || row->type == CLI_PATH) {
		iot_buf_adds(out, " -r -F");
	} else {
		iot_buf_adds(out, " -x");
	}
}

static void add_options(struct iot_buf *out, const struct cli_param *rows, const char *condition)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (rows->hidden)
			continue;
		iot_buf_addf(out, "complete -c iotctl%s", condition);
		if (rows->letter != 0)
			iot_buf_addf(out, " -s %c", rows->letter);
		iot_buf_addf(out, " -l %s", rows->name);
		if (cli_takes_value(rows))
			add_source(out, rows);
		iot_buf_adds(out, " -d '");
		add_escaped(out, rows->help);
		iot_buf_adds(out, "'\n");
		if (rows->type == CLI_FLAG && rows->fallback != NULL)
			iot_buf_addf(out, "complete -c iotctl%s -l no-%s -d 'the opposite of --%s'\n", condition,
				     rows->name, rows->name);
	}
}

static void add_node(void *data, const struct cli_command *node, const char *path)
{
	struct iot_buf *out = data;
	IOT_CLEAN(iot_free_p) char *condition = iot_strf(" -n \"__iotctl_at '%s'\"", path);

	iot_buf_addc(out, '\n');
	for (const struct cli_command *const *sub = node->subcommands; sub != NULL && *sub != NULL; sub++) {
		if ((*sub)->hidden)
			continue;
		iot_buf_addf(out, "complete -c iotctl%s -a %s -d '", condition, (*sub)->name);
		add_escaped(out, (*sub)->summary);
		iot_buf_adds(out, "'\n");
	}
	add_options(out, node->opts, condition);
	for (const struct cli_param *arg = node->args; arg != NULL && arg->name != NULL; arg++) {
		if (arg->choices == NULL && arg->complete == COMPLETE_NONE && arg->type != CLI_PATH)
			continue;
		iot_buf_addf(out, "complete -c iotctl%s", condition);
		add_source(out, arg);
		iot_buf_addc(out, '\n');
	}
}

void cli_complete_fish(const struct cli_command *root, struct iot_buf *out)
{
	iot_buf_adds(out, "# fish completion for iotctl, generated from its command tree\n\n");
	add_path_function(root, out);
	iot_buf_adds(out, live);
	add_options(out, cli_global_rows, "");
	cli_walk(root, add_node, out);
}
