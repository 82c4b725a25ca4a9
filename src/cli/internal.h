/* What the files of cli share. */
#ifndef IOTCTL_CLI_INTERNAL_H
#define IOTCTL_CLI_INTERNAL_H

#include "iotctl/cli.h"

#define CLI_COUNT 100 /* private enum cli_type: int64_t, how often a flag was given */
#define CLI_MAX_DEPTH 8
#define CLI_WIDTH 80

/* ---- options every command has (globals.c) ---- */

struct cli_globals {
	int output;
	const char *query;
	const char *profile;
	const char *fleet;
	int cloud;
	const char *region;
	const char *endpoint_url;
	const char *aws_profile;
	int color;
	int progress;
	bool quiet;
	int64_t verbose;
	bool no_input;
	bool help;
	bool version; /* at the top only */
};

extern const struct cli_param cli_global_rows[];
/* The version row belongs to the root alone. */
bool cli_global_applies(const struct cli_param *row, bool at_root);

/* ---- one parsed command line (parse.c) ---- */

struct cli_slot {
	const struct cli_param *row;
	void *base;
	bool global;
	bool given;
	const char **items; /* of a list: owned */
	size_t count;
};

struct cli_parsed {
	const struct cli_command *node;
	char path[256]; /* the words to node: "iotctl device show" */
	void *args;
	struct cli_globals globals;
	struct cli_slot *slots; /* globals first, then node's options, then its arguments */
	size_t slot_count;
	size_t global_count;
	size_t arg_first; /* index of the first argument's slot */
	bool lost;        /* a command that does not exist: even help cannot help */
};

/* Always fills ret (release it); on a fault ret->node is the node reached. words[0] is the program's name. */
IOT_CHECK enum iot_status cli_parse(const struct cli_command *root, int argc, char *const *words,
				    struct cli_parsed *ret, struct iot_error *err);
void cli_parsed_release(struct cli_parsed *parsed);
/* By long name; NULL if there is none. */
const struct cli_slot *cli_parsed_option(const struct cli_parsed *parsed, const char *name);

/* ---- values (parse_values.c) ---- */

/* Store text into the slot's field. `from` names it in messages: "option '--count'". */
IOT_CHECK enum iot_status cli_assign(struct cli_slot *slot, const char *text, const char *from, struct iot_error *err);
/* Environment and defaults of what was not given; required options and arguments. */
IOT_CHECK enum iot_status cli_default_values(struct cli_parsed *parsed, struct iot_error *err);
bool cli_takes_value(const struct cli_param *row);

/* ---- help (help.c) ---- */

/* Lines of at most CLI_WIDTH columns, continued at column `indent`; `at` is where the cursor stands. */
void cli_wrap(struct iot_buf *out, const char *text, size_t indent, size_t at);
/* "-t, --type TYPE" or "--type TYPE". */
void cli_option_label(const struct cli_param *row, struct iot_buf *out);
/* "[options] DEVICE..." */
void cli_argument_words(const struct cli_command *node, struct iot_buf *out);
/* Help text of a row with choices, limits, default and environment behind it. */
void cli_param_text(const struct cli_param *row, struct iot_buf *out);
bool cli_has_rows(const struct cli_param *rows);
const char *cli_type_name(const struct cli_param *row);

/* ---- completion (complete_*.c) ---- */

typedef void cli_visit_fn(void *data, const struct cli_command *node, const char *path);
/* Every visible node, parents first; path is without the root's name ("device show", "" for the root). */
void cli_walk(const struct cli_command *root, cli_visit_fn *visit, void *data);
void cli_complete_bash(const struct cli_command *root, struct iot_buf *out);
void cli_complete_zsh(const struct cli_command *root, struct iot_buf *out);
void cli_complete_fish(const struct cli_command *root, struct iot_buf *out);
/* `iotctl __complete KIND PREFIX [WORD...]`: prints values; never fails. */
void cli_complete_live(const struct cli_command *root, int argc, char **argv, const struct cli_hooks *hooks);

/* ---- output, progress ---- */

/* The errno of a failed write to the stream, or 0. */
int output_errno(const struct output *out);

/* ---- signals (signals.c) ---- */

void cli_signals_install(void);
/* The signal that came, or 0. */
int cli_signal(void);
void cli_signals_reset(void);

#endif
