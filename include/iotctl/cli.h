/*
 * The command line as constant data. A command, its options, arguments,
 * examples and exit codes are rows in tables; parsing, help, man pages,
 * completions and a JSON description all come from them. This layer knows
 * nothing of devices: what a command needs opened, the hooks open.
 *
 *   struct device_show_args { const char *device; bool certs; };
 *
 *   static enum iot_status device_show(struct cli_context *ctx, const void *args_, struct iot_error *err)
 *   {
 *           const struct device_show_args *args = args_;
 *           ...
 *           return output_object(ctx->out, columns, record, err);
 *   }
 *
 *   const struct cli_command cmd_device_show = {
 *           .name = "show",
 *           .summary = "Show one device",
 *           .args = CLI_ARGS(ARG_STR("DEVICE", struct device_show_args, device, "thing name or alias",
 *                                    .complete = COMPLETE_DEVICE)),
 *           .opts = CLI_OPTS(OPT_FLAG('c', "certs", struct device_show_args, certs, "show its certificates too")),
 *           .examples = CLI_EXAMPLES({"device show pump-0001", "show a pump"}),
 *           .exits = CLI_EXITS(IOT_NOT_FOUND),
 *           .needs = CLI_NEEDS_CLOUD,
 *           CLI_RUN(device_show, struct device_show_args),
 *   };
 */
#ifndef IOTCTL_CLI_H
#define IOTCTL_CLI_H

#include "iotctl/buf.h"
#include "iotctl/error.h"
#include "iotctl/output.h"
#include "iotctl/progress.h"
#include "iotctl/settings.h"

#include <jansson.h>
#include <signal.h>
#include <stdint.h>

/* ---- options and arguments ---- */

enum cli_type {
	CLI_STRING = 1, /* const char *: borrowed for the time of run(); NULL when not given */
	CLI_PATH,       /* const char *: as a string, never empty; "-" is left to the command */
	CLI_LIST,       /* struct cli_list: every value given, in order */
	CLI_INT,        /* int64_t between min and max */
	CLI_FLAG,       /* bool: --x, and --no-x to undo it */
	CLI_DURATION,   /* int64_t milliseconds: 250ms 30s 5m 2h 7d */
	CLI_SIZE,       /* int64_t bytes: 4096 4k 16M */
	CLI_ENUM,       /* int or an enum: index into choices */
};

/* What may be typed here, for the shells. COMPLETE_NONE for free text. */
enum cli_complete {
	COMPLETE_NONE,
	COMPLETE_FILE,
	COMPLETE_DIR,
	COMPLETE_DEVICE,
	COMPLETE_GROUP,
	COMPLETE_POLICY,
	COMPLETE_TYPE,
	COMPLETE_JOB,
	COMPLETE_OTA,
	COMPLETE_CERT,
	COMPLETE_KEY,   /* code-signing keys */
	COMPLETE_PORT,  /* serial ports, and files once a path is begun */
	COMPLETE_BOARD, /* kinds of boards, and files once a path is begun */
	COMPLETE_FLEET,
	COMPLETE_PROFILE,
	COMPLETE_OPERATION,
	COMPLETE_SETTING,
	COMPLETE_COUNT
};

struct cli_list {
	const char *const *items; /* borrowed for the time of run(); followed by NULL; itself NULL when count is 0 */
	size_t count;
};

/* One option or one positional argument. Made with the macros below; .name NULL ends an array. */
struct cli_param {
	char letter;       /* options: short form, or 0 */
	const char *name;  /* options: long form without dashes; arguments: upper case word for help */
	const char *value; /* options: word for the value in help ("NAME"); NULL for flags */
	enum cli_type type;
	size_t offset;    /* of the field in the args struct */
	const char *help; /* no full stop, lower case first letter */
	/* All below are optional and follow the help text in the macros as designated initialisers. */
	const char *fallback;       /* default, as the user would type it (any type but list; "true" for a flag) */
	const char *env;            /* environment variable used when the option is not given */
	int64_t min, max;           /* CLI_INT, CLI_SIZE, CLI_DURATION; both 0: no negative values, no upper limit */
	const char *const *choices; /* CLI_ENUM: NULL-terminated; CLI_STRING, CLI_LIST: only offered by completion */
	enum cli_complete complete;
	bool required; /* options: must be given */
	bool optional; /* arguments: may be missing (a list: may be empty) */
	bool hidden;   /* not in help, man pages and completions */
	bool shadows;  /* options: takes a letter that a global option has, knowingly */
};

/* offsetof, refusing at compile time a field of another type than the row says. */
#define CLI_OFFSET_(T, field, ...) (offsetof(T, field) + (size_t) _Generic(((T *)0)->field, __VA_ARGS__))
#define CLI_STR_(T, field) CLI_OFFSET_(T, field, const char * : 0)
#define CLI_LIST_(T, field) CLI_OFFSET_(T, field, struct cli_list : 0)
#define CLI_INT_(T, field) CLI_OFFSET_(T, field, int64_t : 0)
#define CLI_BOOL_(T, field) CLI_OFFSET_(T, field, bool : 0)
#define CLI_ENUM_(T, field) CLI_OFFSET_(T, field, int : 0, unsigned : 0)

#define CLI_OPT_(l, n, v, t, o, ...)                                                                                   \
	{                                                                                                              \
		.letter = (l), .name = (n), .value = (v), .type = (t), .offset = (o), .help = __VA_ARGS__              \
	}

/*
 * OPT_x(LETTER or 0, "name", "VALUE", struct, field, "help"[, .fallback = ..., .env = ..., ...])
 * e.g. OPT_INT('n', "count", "N", struct x_args, count, "how many", .min = 1, .max = 1000, .fallback = "1")
 */
#define OPT_STR(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_STRING, CLI_STR_(T, f), __VA_ARGS__)
#define OPT_PATH(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_PATH, CLI_STR_(T, f), __VA_ARGS__)
#define OPT_LIST(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_LIST, CLI_LIST_(T, f), __VA_ARGS__)
#define OPT_INT(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_INT, CLI_INT_(T, f), __VA_ARGS__)
#define OPT_DURATION(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_DURATION, CLI_INT_(T, f), __VA_ARGS__)
#define OPT_SIZE(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_SIZE, CLI_INT_(T, f), __VA_ARGS__)
/* .choices = CLI_CHOICES("a", "b") is required. */
#define OPT_ENUM(l, n, v, T, f, ...) CLI_OPT_(l, n, v, CLI_ENUM, CLI_ENUM_(T, f), __VA_ARGS__)
/* No value word: OPT_FLAG('n', "dry-run", struct x_args, dry_run, "show, change nothing") */
#define OPT_FLAG(l, n, T, f, ...) CLI_OPT_(l, n, NULL, CLI_FLAG, CLI_BOOL_(T, f), __VA_ARGS__)

/* ARG_x("NAME", struct, field, "help"[, .optional = true, ...]); a list comes last and takes one or more. */
#define ARG_STR(n, T, f, ...) CLI_OPT_(0, n, NULL, CLI_STRING, CLI_STR_(T, f), __VA_ARGS__)
#define ARG_PATH(n, T, f, ...) CLI_OPT_(0, n, NULL, CLI_PATH, CLI_STR_(T, f), __VA_ARGS__)
#define ARG_LIST(n, T, f, ...) CLI_OPT_(0, n, NULL, CLI_LIST, CLI_LIST_(T, f), __VA_ARGS__)
#define ARG_INT(n, T, f, ...) CLI_OPT_(0, n, NULL, CLI_INT, CLI_INT_(T, f), __VA_ARGS__)
#define ARG_ENUM(n, T, f, ...) CLI_OPT_(0, n, NULL, CLI_ENUM, CLI_ENUM_(T, f), __VA_ARGS__)

/* ---- commands ---- */

struct cli_context;

/* Return IOT_OK or fill err. IOT_INTERRUPTED after cli_interrupted() said so. */
typedef enum iot_status cli_run_fn(struct cli_context *ctx, const void *args, struct iot_error *err);

struct cli_example {
	const char *command; /* without the program's name: "device show pump-0001" */
	const char *text;    /* what it does, no full stop */
};

/* What the hooks must open before run(), and close after it. */
enum cli_needs {
	CLI_NEEDS_CLOUD = 1 << 0, /* the profile's cloud */
	CLI_NEEDS_FLEET = 1 << 1, /* the local fleet folder */
	CLI_NEEDS_NO_SETTINGS =
		1 << 8, /* runs even if the settings files are broken (ctx->settings holds defaults then) */
	CLI_NEW_PROFILE = 1 << 10, /* --profile may name one that is in no file yet */
};

/* A node of the tree: has either subcommands or run, never both. */
struct cli_command {
	const char *name;
	const char *summary;     /* one line, upper case first letter, no full stop */
	const char *description; /* paragraphs separated by an empty line; or NULL */
	const struct cli_param *args;
	const struct cli_param *opts;
	const struct cli_example *examples;
	const enum iot_status *exits; /* codes that matter here beside 0, 1, 2; IOT_OK ends */
	const struct cli_command *const *subcommands;
	const char *group; /* heading under which the parent's help lists it; NULL: as the one before */
	size_t args_size;
	cli_run_fn *run;
	unsigned needs; /* enum cli_needs */
	bool hidden;
};

#define CLI_ARGS(...) ((const struct cli_param[]){__VA_ARGS__, {0}})
#define CLI_OPTS(...) ((const struct cli_param[]){__VA_ARGS__, {0}})
#define CLI_CHOICES(...) ((const char *const[]){__VA_ARGS__, NULL})
#define CLI_EXAMPLES(...) ((const struct cli_example[]){__VA_ARGS__, {NULL, NULL}})
#define CLI_EXITS(...) ((const enum iot_status[]){__VA_ARGS__, IOT_OK})
#define CLI_COMMANDS(...) ((const struct cli_command *const[]){__VA_ARGS__, NULL})
/* The function and the struct it gets; CLI_RUN0 for a command without options and arguments (args is NULL). */
#define CLI_RUN(function, T) .run = (function), .args_size = sizeof(T)
#define CLI_RUN0(function) .run = (function), .args_size = 0

/* What a command gets. Everything is borrowed. */
struct cli_context {
	const struct cli_command *root;
	const struct cli_command *command;
	struct output *out;         /* the only way to stdout */
	struct settings *settings;  /* settings_get(ctx->settings, "fleet") */
	struct progress *progress;  /* long work: progress_begin/update/end */
	bool quiet;                 /* -q */
	int verbose;                /* how many -v; the log level is set already */
	bool no_input;              /* never prompt: --no-input, or stdin/stderr is not a terminal */
	void *data;                 /* what the hooks' prepare opened */
	struct cli_parsed *parsed_; /* private */
};

/* True if the option (long name) was given on the command line or by its environment variable. */
bool cli_given(const struct cli_context *ctx, const char *option);

/*
 * SIGINT or SIGTERM has arrived. Signals interrupt blocking system calls (no
 * SA_RESTART); a second one ends the process at once. The flag is for layers
 * that know nothing of cli (non-zero: stop); the descriptor becomes readable,
 * for poll(2).
 */
bool cli_interrupted(const struct cli_context *ctx);
const volatile sig_atomic_t *cli_interrupt_flag(void);
int cli_interrupt_fd(void);

/*
 * Ask on stderr, "QUESTION [y/N] ", and read the answer from the terminal.
 * IOT_OK: yes. IOT_ABORTED: no. IOT_USAGE when nobody can be asked, with the
 * hint to give `option` ("--yes"). Blocks until answered; a signal ends it.
 */
IOT_CHECK enum iot_status cli_confirm(struct cli_context *ctx, const char *option, struct iot_error *err,
				      const char *fmt, ...) IOT_PRINTF(4, 5);

/* The same for what cannot be undone: the answer has to be this word. */
IOT_CHECK enum iot_status cli_confirm_word(struct cli_context *ctx, const char *option, const char *word,
					   struct iot_error *err, const char *fmt, ...) IOT_PRINTF(5, 6);

/* Values for a completion go through this; `text` explains one, or NULL. */
typedef void cli_emit_fn(void *emit_data, const char *value, const char *text);

/* Is the descriptor a terminal that may be drawn on (not TERM=dumb, not CI)? */
bool cli_is_screen(int fd);
/* The width of a terminal; 0: it is none, or does not tell. */
size_t cli_screen_columns(int fd);
/* Are colours wanted on it? `choice` is the setting 'color': settings_choice(). */
bool cli_wants_color(int choice, int fd);

/* What the program adds; every member may be NULL. */
struct cli_hooks {
	const struct setting *settings; /* more settings than cli's own; .name NULL ends */
	/* Open what `needs` says and put it into ctx->data. */
	enum iot_status (*prepare)(struct cli_context *ctx, unsigned needs, struct iot_error *err);
	/* Close it; called whenever prepare was, even if that failed. */
	void (*finish)(struct cli_context *ctx);
	/*
	 * Live completion values: every one that starts with prefix. ctx has settings
	 * only. Must not print. The process is ended after 200 ms by an alarm.
	 */
	void (*complete)(struct cli_context *ctx, enum cli_complete kind, const char *prefix, cli_emit_fn *emit,
			 void *emit_data);
};

/*
 * The whole program: parse, load settings, run, print an error as one line on
 * stderr, flush and check stdout. Returns the exit status. hooks may be NULL.
 * SIGPIPE is ignored from here on (children must reset it).
 */
int cli_main(const struct cli_command *root, int argc, char **argv, const struct cli_hooks *hooks);

/* ---- for tests and generators ---- */

/* Parse only: IOT_OK if the words (without the program's name) are a complete, valid command line. */
IOT_CHECK enum iot_status cli_parse_check(const struct cli_command *root, int argc, char *const *argv,
					  struct iot_error *err);

/*
 * Look for mistakes in the tables: missing summary, summary or help with a full
 * stop, duplicate letters or names, lines of help over 80 columns, examples that
 * do not parse, arguments in an impossible order... Appends one line per fault
 * to `faults`; returns how many.
 */
size_t cli_self_check(const struct cli_command *root, struct iot_buf *faults);

/* The nearest of `count` words to `word` (Damerau-Levenshtein), or NULL if none is near enough. */
const char *cli_nearest(const char *word, const char *const *words, size_t count);

/* `path`: the words that lead to the node, root's name included ("iotctl device"). */
void cli_help(const struct cli_command *root, const struct cli_command *node, const char *path, struct iot_buf *out);
/* Usage line, subcommands and where to find more: what an incomplete command line gets. */
void cli_help_short(const struct cli_command *root, const struct cli_command *node, const char *path,
		    struct iot_buf *out);
/* Name, summary, options, arguments, exits and subcommands, recursively. New reference. */
json_t *cli_help_json(const struct cli_command *root, const struct cli_command *node, const char *path);

/* The mdoc page of the root (iotctl.1; `extra_settings` as in the hooks) or of a noun with all its verbs
 * (iotctl-NOUN.1). */
void cli_man_root(const struct cli_command *root, const struct setting *extra_settings, struct iot_buf *out);
void cli_man_noun(const struct cli_command *root, const struct cli_command *noun, struct iot_buf *out);

enum cli_shell { CLI_BASH, CLI_ZSH, CLI_FISH };
void cli_completion(const struct cli_command *root, enum cli_shell shell, struct iot_buf *out);

/* Names of completion kinds for `__complete` ("device"); NULL for those the shell itself completes. */
const char *cli_complete_name(enum cli_complete kind);

#endif
