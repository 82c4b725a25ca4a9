/* A small command tree with every kind of row, and a run of the whole program with its output caught. */
#ifndef TOY_H
#define TOY_H

#include "iotctl/base.h"
#include "iotctl/cli.h"
#include "iotctl/json.h"
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

enum toy_color { TOY_RED, TOY_GREEN };

struct toy_make_args {
	const char *name;
	struct cli_list tags;
	const char *type;
	const char *out;
	struct cli_list labels;
	int64_t count;
	int64_t timeout;
	int64_t size;
	bool dry_run;
	bool wait;
	enum toy_color color;
};

/* What the last run of a toy command saw. */
static struct {
	int runs;
	struct toy_make_args args;
	char tags[200], labels[200], name[100], type[100], fleet[100];
	bool type_given, quiet;
	int verbose;
	enum iot_status fail;
	bool raise;
} toy;

static const struct output_column *const toy_columns =
	OUTPUT_COLUMNS({.key = "name", .heading = "Name"}, {.key = "size", .heading = "Size", .kind = OUTPUT_SIZE});

static inline void toy_join(char *out, size_t size, const struct cli_list *list)
{
	out[0] = '\0';
	for (size_t i = 0; i < list->count; i++) {
		strncat(out, list->items[i], size - strlen(out) - 1);
		strncat(out, "|", size - strlen(out) - 1);
	}
}

static inline enum iot_status toy_make(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct toy_make_args *args = args_;
	const char *fleet = settings_get(ctx->settings, "fleet");
	IOT_JSON record = json_pack("{s:s, s:i}", "name", args->name, "size", 20000000);

	toy.runs++;
	toy.args = *args;
	toy_join(toy.tags, sizeof(toy.tags), &args->tags);
	toy_join(toy.labels, sizeof(toy.labels), &args->labels);
	snprintf(toy.name, sizeof(toy.name), "%s", args->name);
	snprintf(toy.type, sizeof(toy.type), "%s", args->type != NULL ? args->type : "(none)");
	snprintf(toy.fleet, sizeof(toy.fleet), "%s", fleet != NULL ? fleet : "(none)");
	toy.type_given = cli_given(ctx, "type");
	toy.quiet = ctx->quiet;
	toy.verbose = ctx->verbose;
	if (toy.raise) {
		raise(SIGTERM);
		return cli_interrupted(ctx) ? IOT_INTERRUPTED : IOT_OK;
	}
	if (toy.fail != IOT_OK) {
		iot_fail(err, toy.fail, "no device '%s'", args->name);
		iot_error_while(err, "making it");
		iot_error_hint(err, "make another");
		return toy.fail;
	}
	return output_object(ctx->out, toy_columns, record, err);
}

static inline enum iot_status toy_list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON rows = json_pack("[{s:s}, {s:s}]", "name", "a", "name", "b");

	(void)args;
	return output_array(ctx->out, toy_columns, rows, err);
}

static inline enum iot_status toy_ask(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)args;
	return cli_confirm(ctx, "--yes", err, "delete %d devices?", 3);
}

static const struct cli_command toy_cmd_make = {
	.name = "make",
	.summary = "Make a device",
	.description =
		"Makes a device with all that belongs to it. .A word with a dot, 'quotes' and a \\ backslash.\n\n"
		"The second paragraph is long enough that it has to be continued on another line of the help.",
	.args = CLI_ARGS(ARG_STR("DEVICE", struct toy_make_args, name, "its name", .complete = COMPLETE_DEVICE),
			 ARG_LIST("TAG", struct toy_make_args, tags, "more words", .optional = true)),
	.opts = CLI_OPTS(
		OPT_STR('t', "type", "TYPE", struct toy_make_args, type, "its thing type: [any], 'really'",
			.complete = COMPLETE_TYPE, .env = "TOY_TYPE"),
		OPT_PATH('o', "out", "DIR", struct toy_make_args, out, "where to write", .complete = COMPLETE_DIR,
			 .shadows = true),
		OPT_LIST('l', "label", "TEXT", struct toy_make_args, labels, "a label"),
		OPT_INT('n', "count", "N", struct toy_make_args, count, "how many", .min = 1, .max = 10,
			.fallback = "2"),
		OPT_DURATION(0, "timeout", "TIME", struct toy_make_args, timeout, "how long", .fallback = "30s"),
		OPT_SIZE(0, "size", "BYTES", struct toy_make_args, size, "how large", .max = 1048576, .fallback = "4k"),
		OPT_FLAG('d', "dry-run", struct toy_make_args, dry_run, "show, change nothing"),
		OPT_FLAG(0, "wait", struct toy_make_args, wait, "wait for it", .fallback = "true"),
		OPT_ENUM(0, "paint", "COLOR", struct toy_make_args, color, "its colour",
			 .choices = CLI_CHOICES("red", "green"), .fallback = "green")),
	.examples = CLI_EXAMPLES({"device make pump-1 --type pump", "make a pump"},
				 {"device make 'pump 2' -l 'a b' --paint red > pump.json", "make a red one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	CLI_RUN(toy_make, struct toy_make_args),
};

static const struct cli_command toy_cmd_list = {
	.name = "list",
	.summary = "List devices",
	.examples = CLI_EXAMPLES({"device list", "list all"}),
	CLI_RUN0(toy_list),
};

static const struct cli_command toy_cmd_device = {
	.name = "device",
	.summary = "Devices of the fleet",
	.group = "devices",
	.subcommands = CLI_COMMANDS(&toy_cmd_make, &toy_cmd_list),
};

static const struct cli_command toy_cmd_ask = {
	.name = "ask",
	.summary = "Ask a question",
	.group = "other commands",
	.examples = CLI_EXAMPLES({"ask", "ask it"}),
	CLI_RUN0(toy_ask),
};

static const struct cli_command toy_root = {
	.name = "iotctl",
	.summary = "Toy for tests",
	.description = "A tree with every kind of row.",
	.subcommands = CLI_COMMANDS(&toy_cmd_device, &toy_cmd_ask),
};

/* ---- running it ---- */

struct toy_result {
	int status;
	char out[65536];
	char err[8192];
};

static inline void toy_slurp(int fd, char *out, size_t size)
{
	ssize_t n;

	lseek(fd, 0, SEEK_SET);
	n = read(fd, out, size - 1);
	out[n > 0 ? n : 0] = '\0';
	close(fd);
}

static inline int toy_temporary(void)
{
	char template[] = "/tmp/iotctl-unit-XXXXXX";
	int fd = mkstemp(template);

	if (fd < 0)
		abort();
	unlink(template);
	return fd;
}

/* words: "device", "list", ..., NULL (without the program's name). stdout goes to out_path if that is not NULL. */
static inline void toy_run_to(const char *out_path, const struct cli_hooks *hooks, struct toy_result *result,
			      const char *const *words)
{
	char *argv[32] = {(char *)(uintptr_t) "iotctl"};
	int argc = 1;
	int saved_out, saved_err;
	int out = out_path != NULL ? open(out_path, O_WRONLY) : toy_temporary(), err = toy_temporary();

	for (; words[argc - 1] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)words[argc - 1];
	fflush(stdout);
	fflush(stderr);
	saved_out = dup(STDOUT_FILENO);
	saved_err = dup(STDERR_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	result->status = cli_main(&toy_root, argc, argv, hooks);
	fflush(stdout);
	fflush(stderr);
	clearerr(stdout);
	dup2(saved_out, STDOUT_FILENO);
	dup2(saved_err, STDERR_FILENO);
	close(saved_out);
	close(saved_err);
	toy_slurp(err, result->err, sizeof(result->err));
	if (out_path == NULL)
		toy_slurp(out, result->out, sizeof(result->out));
	else
		close(out);
}

#define toy_run(result, ...) toy_run_to(NULL, NULL, (result), (const char *const[]){__VA_ARGS__, NULL})

/* No settings of the machine may reach a test. */
static inline void toy_isolate(const char *dir)
{
	static const char *const unset[] = {
		"IOTCTL_FLEET", "IOTCTL_PROFILE",    "IOTCTL_OUTPUT",  "IOTCTL_COLOR", "IOTCTL_CLOUD",
		"TOY_TYPE",     "NO_COLOR",          "CLICOLOR_FORCE", "AWS_REGION",   "AWS_PROFILE",
		"CI",           "AWS_DEFAULT_REGION"};

	for (size_t i = 0; i < IOT_LENGTH(unset); i++)
		unsetenv(unset[i]);
	setenv("XDG_CONFIG_HOME", dir, 1);
	if (chdir(dir) != 0)
		abort();
}

#endif
