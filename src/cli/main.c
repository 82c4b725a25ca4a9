/*
 * The frame around every command: parse, settings, output, signals, run, and
 * then one line about what went wrong and the exit status. The only place of
 * the program that decides on an exit status.
 */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_HELP ((size_t)1024 * 1024)

struct frame {
	const struct cli_command *root;
	const struct cli_hooks *hooks;
	struct cli_parsed parsed;
	struct cli_context ctx;
	const char *overrides[2 * 8 + 1];
	size_t override_count;
	bool color; /* on stderr */
};

static void report(const struct frame *frame, const struct iot_error *err)
{
	char line[1100];

	if (err->what[0] == '\0')
		return;
	progress_hide(frame->ctx.progress);
	iot_error_line(err, line, sizeof(line));
	fprintf(stderr, frame->color ? "\033[1;31miotctl:\033[0m %s\n" : "iotctl: %s\n", line);
}

/* A program started without its standard descriptors must not open its data files as one of them. */
static void fill_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) != fd)
			_exit(IOT_FAILURE);
	}
}

/* ---- text on stdout that is no command's result ---- */

static int print_and_close(const struct frame *frame, const char *text)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
		if (errno != EPIPE) {
			iot_fail_errno(&err, IOT_FAILURE, errno, "cannot write to standard output");
			report(frame, &err);
		}
		return IOT_FAILURE;
	}
	return IOT_OK;
}

static bool wants_json(const struct frame *frame)
{
	const struct cli_slot *slot = cli_parsed_option(&frame->parsed, "output");

	return slot->given && frame->parsed.globals.output != OUTPUT_TABLE &&
	       frame->parsed.globals.output != OUTPUT_WIDE;
}

static int show_help(const struct frame *frame)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf help = IOT_BUF_INIT(MAX_HELP);

	if (wants_json(frame)) {
		json_t *tree = cli_help_json(frame->root, frame->parsed.node, frame->parsed.path);
		IOT_CLEAN(iot_free_p) char *text = json_dumps(tree, JSON_INDENT(2));

		iot_buf_addf(&help, "%s\n", text);
		json_decref(tree);
	} else {
		cli_help(frame->root, frame->parsed.node, frame->parsed.path, &help);
	}
	return print_and_close(frame, iot_buf_str(&help));
}

static int show_version(const struct frame *frame)
{
	IOT_CLEAN(iot_free_p)
	char *text = iot_strf(wants_json(frame) ? "{\"name\": \"%s\", \"version\": \"%s\"}\n" : "%s %s\n",
			      frame->root->name, IOT_VERSION);

	return print_and_close(frame, text);
}

/* ---- settings ---- */

static void override(struct frame *frame, const char *name, const char *value)
{
	if (value == NULL || frame->override_count + 2 >= IOT_LENGTH(frame->overrides))
		return;
	frame->overrides[frame->override_count++] = name;
	frame->overrides[frame->override_count++] = value;
}

static void override_choice(struct frame *frame, const char *name, int value)
{
	const struct cli_slot *slot = cli_parsed_option(&frame->parsed, name);

	if (slot->given)
		override(frame, name, slot->row->choices[value]);
}

static enum iot_status load_settings(struct frame *frame, struct iot_error *err)
{
	const struct cli_globals *globals = &frame->parsed.globals;
	struct settings_source source = {.extra = frame->hooks->settings, .profile = globals->profile};
	enum iot_status status;

	override(frame, "fleet", globals->fleet);
	override_choice(frame, "cloud", globals->cloud);
	override(frame, "region", globals->region);
	override(frame, "endpoint-url", globals->endpoint_url);
	override(frame, "aws-profile", globals->aws_profile);
	override_choice(frame, "output", globals->output);
	override_choice(frame, "color", globals->color);
	override_choice(frame, "progress", globals->progress);
	source.overrides = frame->overrides;
	source.new_profile = (frame->parsed.node->needs & CLI_NEW_PROFILE) != 0;
	status = settings_load(&source, &frame->ctx.settings, err);
	if (status != IOT_OK && (frame->parsed.node->needs & CLI_NEEDS_NO_SETTINGS) != 0) {
		iot_error_clear(err);
		source.profile = NULL;
		frame->ctx.settings = settings_new_defaults(frame->hooks->settings);
		return IOT_OK;
	}
	return status;
}

static enum output_format output_choice(const struct frame *frame)
{
	const struct cli_slot *slot = cli_parsed_option(&frame->parsed, "output");

	/* Without its settings a command still does what its options say. */
	if (slot->given)
		return (enum output_format)frame->parsed.globals.output;
	return (enum output_format)settings_choice(frame->ctx.settings, "output");
}

/* ---- diagnostics ---- */

static void set_log_level(const struct frame *frame)
{
	enum iot_log_level level = IOT_LOG_NOTICE;

	if (frame->ctx.verbose > 0)
		level = frame->ctx.verbose > 1 ? IOT_LOG_DEBUG : IOT_LOG_INFO;
	else if (frame->ctx.quiet)
		level = IOT_LOG_WARNING;
	iot_log_set_level(level);
}

/* Lines of the log go above the bar, not into it. */
static void log_above_bar(enum iot_log_level level, const char *line, void *data)
{
	(void)level;
	progress_hide(data);
	fprintf(stderr, "iotctl: %s\n", line);
}

/* ---- a run ---- */

static enum iot_status open_context(struct frame *frame, struct iot_error *err)
{
	struct cli_context *ctx = &frame->ctx;
	enum progress_mode mode;
	enum iot_status status = load_settings(frame, err);
	int color;

	if (status != IOT_OK)
		return status;
	color = settings_choice(ctx->settings, "color");
	frame->color = cli_wants_color(color, STDERR_FILENO);
	ctx->quiet = frame->parsed.globals.quiet;
	ctx->verbose = (int)frame->parsed.globals.verbose;
	ctx->no_input = frame->parsed.globals.no_input || isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1;
	set_log_level(frame);
	status = output_new(stdout, output_choice(frame), frame->parsed.globals.query,
			    cli_wants_color(color, STDOUT_FILENO), &ctx->out, err);
	if (status != IOT_OK)
		return status;
	output_fit(ctx->out, cli_screen_columns(STDOUT_FILENO));
	mode = (enum progress_mode)settings_choice(ctx->settings, "progress");
	ctx->progress = progress_new(stderr, ctx->quiet && mode == PROGRESS_AUTO ? PROGRESS_NONE : mode);
	if (mode == PROGRESS_BAR || (mode == PROGRESS_AUTO && cli_is_screen(STDERR_FILENO)))
		iot_log_set_sink(log_above_bar, ctx->progress);
	return IOT_OK;
}

static void close_context(struct frame *frame)
{
	struct cli_context *ctx = &frame->ctx;

	iot_log_set_sink(NULL, NULL);
	progress_free(ctx->progress);
	output_free(ctx->out);
	settings_free(ctx->settings);
	*ctx = (struct cli_context){0};
}

static enum iot_status run_command(struct frame *frame, struct iot_error *err)
{
	struct cli_context *ctx = &frame->ctx;
	const struct cli_command *command = frame->parsed.node;
	const struct cli_hooks *hooks = frame->hooks;
	unsigned needs = command->needs & ~(unsigned)CLI_NEEDS_NO_SETTINGS;
	bool prepared = needs != 0 && hooks->prepare != NULL;
	enum iot_status status = IOT_OK;

	if (prepared)
		status = hooks->prepare(ctx, needs, err);
	if (status == IOT_OK)
		status = command->run(ctx, frame->parsed.args, err);
	if (prepared && hooks->finish != NULL)
		hooks->finish(ctx);
	return status;
}

/* The result counts only when it has reached stdout. A reader that went away (head) needs no message. */
static enum iot_status close_output(struct frame *frame, enum iot_status status, struct iot_error *err)
{
	struct output *out = frame->ctx.out;
	struct iot_error lost = IOT_ERROR_INIT;
	enum iot_status flushed = output_flush(out, &lost);

	if (output_errno(out) == EPIPE) {
		iot_error_clear(err);
		return IOT_FAILURE;
	}
	if (status == IOT_OK && flushed != IOT_OK) {
		*err = lost;
		return flushed;
	}
	return status;
}

static int exit_status(enum iot_status status)
{
	int number = cli_signal();

	if (status != IOT_OK && number != 0)
		return 128 + number;
	return (int)status;
}

static int run(struct frame *frame)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = open_context(frame, &err);
	int result;

	cli_signals_install();
	if (status == IOT_OK) {
		status = run_command(frame, &err);
		status = close_output(frame, status, &err);
	}
	if (status == IOT_INTERRUPTED && err.what[0] == '\0')
		iot_fail(&err, status, "interrupted");
	progress_end(frame->ctx.progress, status == IOT_OK);
	if (status != IOT_OK)
		report(frame, &err);
	result = exit_status(status);
	close_context(frame);
	fflush(stdout);
	cli_signals_reset();
	return result;
}

static int show_short_help(const struct frame *frame)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf help = IOT_BUF_INIT(MAX_HELP);

	cli_help_short(frame->root, frame->parsed.node, frame->parsed.path, &help);
	fputs(iot_buf_str(&help), stderr);
	return IOT_USAGE;
}

static int run_parsed(struct frame *frame, enum iot_status status, struct iot_error *err)
{
	if (status != IOT_OK) {
		iot_error_hint(err, "see '%s --help'", frame->parsed.path);
		report(frame, err);
		return status;
	}
	if (frame->parsed.globals.help)
		return show_help(frame);
	if (frame->parsed.globals.version)
		return show_version(frame);
	if (frame->parsed.node->run == NULL)
		return show_short_help(frame);
	frame->ctx =
		(struct cli_context){.root = frame->root, .command = frame->parsed.node, .parsed_ = &frame->parsed};
	return run(frame);
}

int cli_main(const struct cli_command *root, int argc, char **argv, const struct cli_hooks *hooks)
{
	static const struct cli_hooks no_hooks;
	struct frame frame = {.root = root, .hooks = hooks != NULL ? hooks : &no_hooks};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;
	int result;

	fill_descriptors();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "__complete") == 0) {
		cli_complete_live(root, argc - 2, argv + 2, frame.hooks);
		return IOT_OK;
	}
	frame.color = cli_wants_color(0, STDERR_FILENO);
	status = cli_parse(root, argc, argv, &frame.parsed, &err);
	result = run_parsed(&frame, status, &err);
	cli_parsed_release(&frame.parsed);
	return result;
}
