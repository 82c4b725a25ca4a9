/*
 * Completion for bash: a static script that knows the tree and asks
 * `iotctl __complete KIND PREFIX` only for values that change. Also the walk
 * over the tree that all three shells' generators use.
 */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

static const char *const complete_names[COMPLETE_COUNT] = {
	[COMPLETE_DEVICE] = "device",   [COMPLETE_GROUP] = "group",     [COMPLETE_POLICY] = "policy",
	[COMPLETE_TYPE] = "type",       [COMPLETE_JOB] = "job",         [COMPLETE_OTA] = "ota",
	[COMPLETE_CERT] = "cert",       [COMPLETE_KEY] = "key",         [COMPLETE_PORT] = "port",
	[COMPLETE_FLEET] = "fleet",     [COMPLETE_PROFILE] = "profile", [COMPLETE_OPERATION] = "operation",
	[COMPLETE_SETTING] = "setting", [COMPLETE_BOARD] = "board",
};

const char *cli_complete_name(enum cli_complete kind)
{
	return complete_names[kind];
}

static void walk(const struct cli_command *node, const char *path, cli_visit_fn *visit, void *data)
{
	visit(data, node, path);
	for (const struct cli_command *const *sub = node->subcommands; sub != NULL && *sub != NULL; sub++) {
		IOT_CLEAN(iot_free_p) char *below = iot_strf("%s%s%s", path, path[0] != '\0' ? " " : "", (*sub)->name);

		if (!(*sub)->hidden)
			walk(*sub, below, visit, data);
	}
}

void cli_walk(const struct cli_command *root, cli_visit_fn *visit, void *data)
{
	walk(root, "", visit, data);
}

void cli_completion(const struct cli_command *root, enum cli_shell shell, struct iot_buf *out)
{
	if (shell == CLI_BASH)
		cli_complete_bash(root, out);
	else if (shell == CLI_ZSH)
		cli_complete_zsh(root, out);
	else
		cli_complete_fish(root, out);
}

static const char head[] = "# bash completion for iotctl, generated from its command tree\n"
			   "# shellcheck shell=bash\n"
			   "\n"
			   "# Values that change: ask the program, which answers within 200 ms or not at all.\n"
			   "_iotctl_live() {\n"
			   "\tlocal line\n"
			   "\twhile IFS= read -r line; do\n"
			   "\t\tCOMPREPLY+=(\"${line%%$'\\t'*}\")\n"
			   "\tdone < <(iotctl __complete \"$1\" \"$2\" \"${COMP_WORDS[@]:1}\" 2>/dev/null)\n"
			   "\t# a folder: what is in it comes next\n"
			   "\t[[ ${COMPREPLY[*]} != */ ]] || compopt -o nospace 2>/dev/null\n"
			   "}\n"
			   "\n"
			   "# _iotctl_offer 'KIND [WORDS]' PREFIX\n"
			   "_iotctl_offer() {\n"
			   "\tcase $1 in\n"
			   "\twords\\ *) mapfile -t COMPREPLY < <(compgen -W \"${1#words }\" -- \"$2\") ;;\n"
			   "\tlive\\ *) _iotctl_live \"${1#live }\" \"$2\" ;;\n"
			   "\tfile)\n"
			   "\t\tcompopt -o filenames 2>/dev/null\n"
			   "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$2\")\n"
			   "\t\t;;\n"
			   "\tdir)\n"
			   "\t\tcompopt -o filenames 2>/dev/null\n"
			   "\t\tmapfile -t COMPREPLY < <(compgen -d -- \"$2\")\n"
			   "\t\t;;\n"
			   "\tesac\n"
			   "}\n"
			   "\n";

static const char tail[] =
	"_iotctl() {\n"
	"\tlocal cur=${COMP_WORDS[COMP_CWORD]} path='' pending='' ended='' word subs opts i count=0\n"
	"\tlocal -a args\n"
	"\tCOMPREPLY=()\n"
	"\tfor ((i = 1; i < COMP_CWORD; i++)); do\n"
	"\t\tword=${COMP_WORDS[i]}\n"
	"\t\tif [[ $word == '=' ]]; then\n"
	"\t\t\tcontinue\n"
	"\t\telif [[ $pending ]]; then\n"
	"\t\t\tpending=''\n"
	"\t\telif [[ ! $ended && $word == '--' ]]; then\n"
	"\t\t\tended=1\n"
	"\t\telif [[ ! $ended && $word == -?* ]]; then\n"
	"\t\t\tpending=$(_iotctl_value \"$path\" \"$word\")\n"
	"\t\telse\n"
	"\t\t\t_iotctl_node \"$path\"\n"
	"\t\t\tif [[ $subs && \" $subs \" == *\" $word \"* ]]; then\n"
	"\t\t\t\tpath=${path:+$path }$word\n"
	"\t\t\telse\n"
	"\t\t\t\tcount=$((count + 1))\n"
	"\t\t\tfi\n"
	"\t\tfi\n"
	"\tdone\n"
	"\t_iotctl_node \"$path\"\n"
	"\tif [[ $pending ]]; then\n"
	"\t\t[[ $cur == '=' ]] && cur=''\n"
	"\t\t_iotctl_offer \"$pending\" \"$cur\"\n"
	"\telif [[ ! $ended && $cur == -* ]]; then\n"
	"\t\t_iotctl_offer \"words $opts\" \"$cur\"\n"
	"\telif [[ $subs ]]; then\n"
	"\t\t_iotctl_offer \"words $subs\" \"$cur\"\n"
	"\telif ((count < ${#args[@]})); then\n"
	"\t\t_iotctl_offer \"${args[count]}\" \"$cur\"\n"
	"\telif ((${#args[@]} > 0)) && [[ ${args[-1]} == *' +' ]]; then\n"
	"\t\t_iotctl_offer \"${args[-1]% +}\" \"$cur\"\n"
	"\tfi\n"
	"}\n"
	"\n"
	"complete -F _iotctl iotctl\n";

/* What may stand for the value of a row, as _iotctl_offer reads it. */
static void add_kind(struct iot_buf *out, const struct cli_param *row)
{
	if (row->choices != NULL) {
		iot_buf_adds(out, "words");
		for (size_t i = 0; row->choices[i] != NULL; i++)
			iot_buf_addf(out, " %s", row->choices[i]);
	} else if (cli_complete_name(row->complete) != NULL) {
		iot_buf_addf(out, "live %s", cli_complete_name(row->complete));
	} else if (row->complete == COMPLETE_DIR) {
		iot_buf_adds(out, "dir");
	} else if (row->complete == COMPLETE_FILE || row->type == CLI_PATH) {
		iot_buf_adds(out, "file");
	} else {
		iot_buf_adds(out, "none");
	}
}

static void add_option_words(struct iot_buf *out, const struct cli_param *rows, bool at_root)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (rows->hidden || !cli_global_applies(rows, at_root))
			continue;
		iot_buf_addf(out, " --%s", rows->name);
		if (rows->type == CLI_FLAG && rows->fallback != NULL)
			iot_buf_addf(out, " --no-%s", rows->name);
	}
}

static void add_node(void *data, const struct cli_command *node, const char *path)
{
	struct iot_buf *out = data;

	iot_buf_addf(out, "\t'%s')\n\t\tsubs='", path);
	for (const struct cli_command *const *sub = node->subcommands; sub != NULL && *sub != NULL; sub++) {
		if (!(*sub)->hidden)
			iot_buf_addf(out, "%s%s", sub == node->subcommands ? "" : " ", (*sub)->name);
	}
	iot_buf_adds(out, "'\n\t\topts+='");
	add_option_words(out, node->opts, true);
	iot_buf_adds(out, "'\n\t\targs=(");
	for (const struct cli_param *arg = node->args; arg != NULL && arg->name != NULL; arg++) {
		if (arg != node->args)
			iot_buf_addc(out, ' ');
		iot_buf_addc(out, '\'');
		add_kind(out, arg);
		iot_buf_adds(out, arg->type == CLI_LIST ? " +'" : "'");
	}
	iot_buf_adds(out, ")\n\t\t;;\n");
}

static void add_values(struct iot_buf *out, const struct cli_param *rows, const char *path)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		if (rows->hidden || !cli_takes_value(rows))
			continue;
		iot_buf_addc(out, '\t');
		if (rows->letter != 0 && path != NULL)
			iot_buf_addf(out, "'%s -%c' | ", path, rows->letter);
		else if (rows->letter != 0)
			iot_buf_addf(out, "*' -%c' | ", rows->letter);
		iot_buf_addf(out, "%s%s --%s') echo '", path != NULL ? "'" : "*'", path != NULL ? path : "",
			     rows->name);
		add_kind(out, rows);
		iot_buf_adds(out, "' ;;\n");
	}
}

static void add_node_values(void *data, const struct cli_command *node, const char *path)
{
	add_values(data, node->opts, path);
}

void cli_complete_bash(const struct cli_command *root, struct iot_buf *out)
{
	iot_buf_adds(out, head);
	iot_buf_adds(out, "# What the value of an option may be; nothing for one that takes none.\n"
			  "_iotctl_value() {\n\tcase \"$1 $2\" in\n");
	cli_walk(root, add_node_values, out);
	add_values(out, cli_global_rows, NULL);
	iot_buf_adds(out, "\tesac\n}\n\n# Sets subs, opts and args of a command of the tree.\n"
			  "_iotctl_node() {\n\tsubs='' args=() opts='");
	add_option_words(out, cli_global_rows, false);
	iot_buf_adds(out, "'\n\tcase $1 in\n");
	cli_walk(root, add_node, out);
	iot_buf_adds(out, "\tesac\n}\n\n");
	iot_buf_adds(out, tail);
}
