/* iotctl station: a place on a factory line, and the record of its shifts. */
#include "iotctl/station.h"
#include "command/commands.h"
#include "command/context.h"
#include "command/station_screen.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/log.h"

#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define DEFAULT_PORTS "/dev/serial/by-id/*"

static const struct output_column result_columns[] = {
	{.key = "unit", .heading = "Unit", .kind = OUTPUT_INT, .width = 5},
	{.key = "result", .heading = "Result", .width = 6},
	{.key = "head", .heading = "Head", .kind = OUTPUT_INT},
	{.key = "serial", .heading = "Serial", .width = 12},
	{.key = "uid", .heading = "Board", .width = 36},
	{.key = "ms", .heading = "ms", .kind = OUTPUT_INT, .width = 6},
	{.key = "attempts", .heading = "Tries", .kind = OUTPUT_INT},
	{.key = "step", .heading = "Step", .width = 8},
	{.key = "error.line", .heading = "Fault"},
	{.key = "at", .heading = "At", .wide = true},
	{.key = "device.thingName", .heading = "Device", .wide = true},
	{.key = "device.alias", .heading = "Alias", .wide = true},
	{.key = "device.certificateId", .heading = "Certificate", .wide = true},
	{.key = "device.keyOrigin", .heading = "Key made on", .wide = true},
	{.key = "label", .heading = "Label", .wide = true},
	{.key = "port", .heading = "Port", .wide = true},
	{0},
};

/* --- where ---------------------------------------------------------------------------------------- */

/* A station is called as its machine is, unless it is given a name. */
static char *station_name(const char *given)
{
	char host[41] = "";

	if (given != NULL)
		return iot_strdup(given);
	if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0')
		return iot_strdup("station");
	host[strcspn(host, ".")] = '\0';
	for (char *c = host; *c != '\0'; c++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", *c) == NULL)
			*c = '-';
	return iot_strdup(host);
}

static char *station_dir(const struct cli_context *ctx, const char *name)
{
	return iot_strf("%s/stations/%s", command_fleet(ctx), name);
}

/* --- run: the screen --------------------------------------------------------------------------------- */

struct run_args {
	const char *recipe, *station, *serials, *range, *labels;
	struct cli_list ports;
	int64_t count;
	int start, issuer;
	bool no_serials, replace, screen;
};

struct run {
	struct cli_context *ctx;
	bool screen, color, echo_off, begun;
	struct termios terminal;
};

static void screen_size(int *ret_width, int *ret_height)
{
	struct winsize size = {0};

	*ret_width = 80;
	*ret_height = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
		*ret_width = size.ws_col;
		*ret_height = size.ws_row;
	}
}

static void put(const struct run *run, const char *text, size_t len)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	if (output_raw(run->ctx->out, text, len, &ignored) == IOT_OK)
		(void)!output_flush(run->ctx->out, &ignored);
}

static void screen_open(struct run *run)
{
	struct termios quiet;

	if (!run->screen)
		return;
	put(run, STATION_SCREEN_ENTER, strlen(STATION_SCREEN_ENTER));
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &run->terminal) != 0)
		return;
	/* What a scanner types must not be drawn over the screen; lines and Ctrl-D stay the terminal's work. */
	quiet = run->terminal;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	run->echo_off = tcsetattr(STDIN_FILENO, TCSANOW, &quiet) == 0;
}

static void screen_close(struct run *run)
{
	if (run->echo_off)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &run->terminal);
	if (run->screen)
		put(run, STATION_SCREEN_LEAVE, strlen(STATION_SCREEN_LEAVE));
	run->echo_off = run->screen = false;
}

static void show(const struct iot_station_view *view, void *data)
{
	struct run *run = data;
	IOT_CLEAN(iot_buf_release) struct iot_buf picture = IOT_BUF_INIT(1024 * 1024);
	int width, height;

	if (!run->screen)
		return;
	screen_size(&width, &height);
	station_screen_draw(view, width, height, run->color, &picture);
	put(run, iot_buf_str(&picture), picture.len);
}

static void note(const char *line, void *data)
{
	const struct run *run = data;

	if (!run->screen) /* which shows the last one itself */
		iot_notice("%s", line);
}

/* The first row brings the headings, so that none stand above what was refused before it. */
static enum iot_status begin_rows(struct run *run, struct iot_error *err)
{
	bool begin = !run->screen && !run->begun;

	run->begun = true;
	return begin ? output_begin_stream(run->ctx->out, result_columns, err) : IOT_OK;
}

static enum iot_status done(const json_t *record, void *data, struct iot_error *err)
{
	struct run *run = data;
	enum iot_status status = begin_rows(run, err);

	return status == IOT_OK && !run->screen ? output_row(run->ctx->out, record, err) : status;
}

static enum iot_status open_cloud(void *data, struct iot_cloud **ret, struct iot_cloud **ret_fleet,
				  struct iot_error *err)
{
	const struct run *run = data;
	enum iot_status status = command_new_cloud(run->ctx, ret, err);

	return status == IOT_OK ? command_issuer(run->ctx, false, ret_fleet, err) : status;
}

/* --- run ------------------------------------------------------------------------------------------------ */

static enum iot_status run_shift(struct run *run, const struct iot_station_options *options, json_t **ret_summary,
				 struct iot_error *err)
{
	enum iot_status status, end = IOT_OK;
	struct iot_error end_err = IOT_ERROR_INIT;

	screen_open(run);
	status = iot_station_run(options, ret_summary, err);
	if (!run->screen && (*ret_summary != NULL || run->begun)) {
		end = begin_rows(run, &end_err);
		end = end == IOT_OK ? output_end(run->ctx->out, &end_err) : end;
	}
	screen_close(run);
	if (status == IOT_OK && end != IOT_OK) {
		*err = end_err;
		return end;
	}
	return status;
}

static void tell_end(const json_t *summary)
{
	if (summary == NULL)
		return;
	iot_notice("shift %s %s: %lld passed, %lld failed, %lld done before (%s)", iot_json_str(summary, "shift", ""),
		   iot_json_bool(summary, "closed", false) ? "closed and signed" : "is open",
		   (long long)iot_json_int(summary, "passed", 0), (long long)iot_json_int(summary, "failed", 0),
		   (long long)iot_json_int(summary, "known", 0), iot_json_str(summary, "file", ""));
}

static enum iot_status run_station(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const char *const default_ports[] = {DEFAULT_PORTS, NULL};
	const struct run_args *args = args_;
	IOT_CLEAN(iot_station_recipe_free_p) struct iot_station_recipe *recipe = NULL;
	IOT_CLEAN(iot_free_p) char *name = station_name(args->station);
	IOT_CLEAN(iot_free_p) char *dir = station_dir(ctx, name);
	IOT_CLEAN(iot_free_p) char *journal = command_journal_path(ctx);
	bool listed = args->serials != NULL || args->range != NULL || args->no_serials;
	bool terminal = output_get_format(ctx->out) == OUTPUT_TABLE && cli_is_screen(STDOUT_FILENO);
	struct run run = {.ctx = ctx, .screen = terminal && args->screen};
	struct iot_station_options options = {
		.name = name,
		.dir = dir,
		.journal = journal,
		.ports = args->ports.count > 0 ? args->ports.items : default_ports,
		.start = (enum iot_station_start)args->start,
		.serials = args->serials,
		.range = args->range,
		.no_serials = args->no_serials,
		.scan_fd = !listed || isatty(STDIN_FILENO) ? STDIN_FILENO : -1,
		.count = args->count,
		.replace = args->replace,
		.aws_issues = args->issuer == ISSUER_AWS,
		.root_ca = settings_get(ctx->settings, "aws-root-ca"),
		.labels = args->labels,
		.interrupt_fd = cli_interrupt_fd(),
		.open_cloud = open_cloud,
		.show = show,
		.note = note,
		.done = done,
		.data = &run,
	};
	struct iot_messaging_where watch = {0};
	bool watched = false;
	IOT_JSON summary = NULL;
	enum iot_status status = iot_station_recipe_load(args->recipe, &recipe, err);

	run.color = cli_wants_color(settings_choice(ctx->settings, "color"), STDOUT_FILENO);
	options.recipe = recipe;
	if (status == IOT_OK && args->start == IOT_START_SCAN && listed)
		status = iot_fail(err, IOT_USAGE, "--start scan needs serial numbers that are scanned");
	if (status == IOT_OK)
		status = command_watcher(ctx, &watch, &watched, err);
	options.watch = watched ? &watch : NULL;
	if (status == IOT_OK && strcmp(settings_get(ctx->settings, "cloud"), "local") == 0 && command_is_unserved(ctx))
		options.notice =
			"serve is not running: boards that have to connect fail; 'iotctl serve --detach' starts it";
	if (status == IOT_OK)
		status = run_shift(&run, &options, &summary, err);
	tell_end(summary);
	return status;
}

/* The order is that of enum iot_station_start. */
#define START_CHOICES CLI_CHOICES("plug", "scan", "swap")

static const struct cli_command cmd_run = {
	.name = "run",
	.summary = "Provision one board after another on several ports",
	.description =
		"Each port is a head; each board in one is identified, gets a serial number, is provisioned as the recipe says, "
		"and passes or fails. What goes wrong stops that head only. A board that has an identity already is left alone.\n\n"
		"Serial numbers are lines on standard input, as a barcode scanner types them, or come from --serials or "
		"--range. The line '@3' aims the next one at head 3.\n\n"
		"Every board is in the station's record, on the disk, before its result is shown. After a kill or a power cut "
		"the same command goes on with the same shift. Ctrl-D ends and signs it, Ctrl-C leaves it open. "
		"iotctl-station(7) describes recipes, records, labels and hooks.",
	.args = CLI_ARGS(ARG_PATH("RECIPE", struct run_args, recipe, "line recipe, a JSON file", .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(
		OPT_LIST(0, "port", "PATH", struct run_args, ports, "a serial port, or a pattern of such; may be repeated",
			 .complete = COMPLETE_PORT),
		OPT_STR(0, "station", "NAME", struct run_args, station, "name of the station; else that of the machine"),
		OPT_ENUM(0, "start", "WHEN", struct run_args, start, "when the next board begins", .choices = START_CHOICES,
			 .fallback = "plug"),
		OPT_PATH(0, "serials", "FILE", struct run_args, serials, "serial numbers, one a line",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "range", "FIRST..LAST", struct run_args, range, "serial numbers, as PUMP-0001..0999"),
		OPT_FLAG(0, "no-serials", struct run_args, no_serials, "boards get no serial numbers"),
		OPT_INT('n', "count", "N", struct run_args, count, "end when so many boards passed or failed, those done before not counted; 0: no limit", .min = 0,
			.max = 1000000000, .fallback = "0"),
		OPT_PATH(0, "labels", "DIR", struct run_args, labels, "put labels there", .complete = COMPLETE_DIR),
		OPT_ISSUER(struct run_args, issuer),
		OPT_FLAG(0, "replace", struct run_args, replace, "do boards again that have an identity"),
		OPT_FLAG(0, "screen", struct run_args, screen, "the operator's screen, on a terminal", .fallback = "true")),
	.examples = CLI_EXAMPLES({"station run pump.json --port '/dev/ttyUSB*'", "numbers come from a scanner"},
				 {"station run pump.json --port ./board0 --range PUMP-0001..0999 -o jsonl", "for a program"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_PARTIAL, IOT_VERIFY, IOT_INTERRUPTED),
	.needs = CLI_NEEDS_FLEET,
	CLI_RUN(run_station, struct run_args),
};

/* --- close ------------------------------------------------------------------------------------------------ */

struct close_args {
	const char *station;
};

static const struct output_column summary_columns[] = {
	{.key = "station", .heading = "Station"},
	{.key = "shift", .heading = "Shift"},
	{.key = "passed", .heading = "Passed", .kind = OUTPUT_INT},
	{.key = "failed", .heading = "Failed", .kind = OUTPUT_INT},
	{.key = "known", .heading = "Done before", .kind = OUTPUT_INT},
	{.key = "closed", .heading = "Closed", .kind = OUTPUT_BOOL},
	{.key = "lines", .heading = "Lines", .kind = OUTPUT_INT},
	{.key = "file", .heading = "File"},
	{.key = "keyId", .heading = "Key", .wide = true},
	{0},
};

static enum iot_status close_station(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct close_args *args = args_;
	IOT_CLEAN(iot_free_p) char *name = station_name(args->station);
	IOT_CLEAN(iot_free_p) char *dir = station_dir(ctx, name);
	IOT_JSON record = NULL;
	enum iot_status status = iot_station_close(dir, name, &record, err);

	return status == IOT_OK ? output_object(ctx->out, summary_columns, record, err) : status;
}

static const struct cli_command cmd_close = {
	.name = "close",
	.summary = "Close and sign a shift that was left open",
	.opts = CLI_OPTS(OPT_STR(0, "station", "NAME", struct close_args, station,
				 "name of the station; else that of the machine")),
	.examples = CLI_EXAMPLES({"station close", "after a shift that Ctrl-C or a power cut ended"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY),
	.needs = CLI_NEEDS_FLEET,
	CLI_RUN(close_station, struct close_args),
};

/* --- report, export ------------------------------------------------------------------------------------------- */

struct shift_args {
	const char *station, *shift;
};

#define SHIFT_OPTIONS                                                                                                     \
	OPT_STR(0, "station", "NAME", struct shift_args, station, "name of the station; else that of the machine"),     \
		OPT_STR(0, "shift", "ID", struct shift_args, shift, "which shift; else the newest")

static enum iot_status shift_file(const struct cli_context *ctx, const struct shift_args *args, char **ret,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = station_name(args->station);
	IOT_CLEAN(iot_free_p) char *dir = station_dir(ctx, name);

	return iot_station_shift(dir, args->shift, ret, err);
}

static const struct output_column report_columns[] = {
	{.key = "station", .heading = "Station"},
	{.key = "shift", .heading = "Shift"},
	{.key = "recipe", .heading = "Recipe"},
	{.key = "closed", .heading = "Closed", .kind = OUTPUT_BOOL},
	{.key = "boards", .heading = "Boards", .kind = OUTPUT_INT},
	{.key = "passed", .heading = "Passed", .kind = OUTPUT_INT},
	{.key = "failed", .heading = "Failed", .kind = OUTPUT_INT},
	{.key = "known", .heading = "Done before", .kind = OUTPUT_INT},
	{.key = "yieldText", .heading = "Yield"},
	{.key = "firstPassText", .heading = "At the first try"},
	{.key = "hourText", .heading = "Units per hour"},
	{.key = "exposedOnWire", .heading = "Keys sent by wire", .kind = OUTPUT_INT},
	{0},
};

static const struct output_column takt_columns[] = {
	{.key = "step", .heading = "Step", .width = 12},
	{.key = "count", .heading = "Boards", .kind = OUTPUT_INT},
	{.key = "median", .heading = "Median ms", .kind = OUTPUT_INT},
	{.key = "p95", .heading = "95 % ms", .kind = OUTPUT_INT},
	{.key = "max", .heading = "Longest ms", .kind = OUTPUT_INT},
	{0},
};

static const struct output_column fault_columns[] = {
	{.key = "count", .heading = "Times", .kind = OUTPUT_INT},
	{.key = "cause", .heading = "Cause", .width = 20},
	{.key = "example", .heading = "Example"},
	{0},
};

static void set_number(json_t *record, const char *key, const char *from, double factor, const char *unit)
{
	const json_t *value = json_object_get(record, from);
	char text[32];

	if (value == NULL)
		return;
	snprintf(text, sizeof(text), "%.1f%s", json_number_value(value) * factor, unit);
	iot_json_set_str(record, key, text);
}

/* For people: the report and its two lists, one below the other. */
static enum iot_status print_report(struct cli_context *ctx, const json_t *record, struct iot_error *err)
{
	IOT_JSON shown = json_copy((json_t *)(uintptr_t)record);
	enum iot_status status;

	set_number(shown, "yieldText", "yield", 100, " %");
	set_number(shown, "firstPassText", "firstPassYield", 100, " %");
	set_number(shown, "hourText", "unitsPerHour", 1, "");
	status = output_object(ctx->out, report_columns, shown, err);
	if (status == IOT_OK && json_array_size(json_object_get(record, "takt")) > 0) {
		status = output_raw(ctx->out, "\n", 1, err);
		if (status == IOT_OK)
			status = output_array(ctx->out, takt_columns, json_object_get(record, "takt"), err);
	}
	if (status == IOT_OK && json_array_size(json_object_get(record, "faults")) > 0) {
		status = output_raw(ctx->out, "\n", 1, err);
		if (status == IOT_OK)
			status = output_array(ctx->out, fault_columns, json_object_get(record, "faults"), err);
	}
	return status;
}

static enum iot_status report(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	enum output_format format = output_get_format(ctx->out);
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = shift_file(ctx, args_, &file, err);

	if (status == IOT_OK)
		status = iot_station_report(file, &record, err);
	if (status != IOT_OK)
		return status;
	if (!cli_given(ctx, "query") && (format == OUTPUT_TABLE || format == OUTPUT_WIDE))
		return print_report(ctx, record, err);
	return output_object(ctx->out, report_columns, record, err);
}

static const struct cli_command cmd_report = {
	.name = "report",
	.summary = "Yield, times and faults of a shift",
	.description = "A board that failed and passed later counts as good in the yield, but not at the first try. Times are "
		       "of boards that passed.",
	.opts = CLI_OPTS(SHIFT_OPTIONS),
	.examples = CLI_EXAMPLES({"station report", "how is the shift going?"},
				 {"station report -o json --query .yield", "for a program"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = CLI_NEEDS_FLEET,
	CLI_RUN(report, struct shift_args),
};

static enum iot_status export_row(json_t *record, void *data, struct iot_error *err)
{
	const struct cli_context *ctx = data;

	return output_row(ctx->out, record, err);
}

static enum iot_status export_shift(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *file = NULL;
	enum iot_status status = shift_file(ctx, args_, &file, err);

	if (status == IOT_OK)
		status = output_begin_list(ctx->out, result_columns, err);
	if (status == IOT_OK)
		status = iot_station_export(file, export_row, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static const struct cli_command cmd_export = {
	.name = "export",
	.summary = "The boards of a shift, one row each",
	.opts = CLI_OPTS(SHIFT_OPTIONS),
	.examples = CLI_EXAMPLES({"station export -o csv", "for a spreadsheet"},
				 {"station export --shift 20261121T060000Z -o jsonl", "an older one, for a program"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = CLI_NEEDS_FLEET,
	CLI_RUN(export_shift, struct shift_args),
};

/* --- verify ------------------------------------------------------------------------------------------------------ */

struct verify_args {
	struct cli_list files;
	const char *key;
	bool open;
};

static enum iot_status verify(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct verify_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status =
		iot_station_verify(args->files.items, args->files.count, args->key, args->open, &records, err);

	return status == IOT_OK ? output_array(ctx->out, summary_columns, records, err) : status;
}

static const struct cli_command cmd_verify = {
	.name = "verify",
	.summary = "Check the record of a shift, offline",
	.description = "Every line holds the digest of the one before, and the last one is signed by the station: a line that was "
		       "removed, added or altered is found and named. Several files must be of shifts that follow one another. "
		       "It needs no fleet: the record and the station's public key are enough.",
	.args = CLI_ARGS(ARG_LIST("FILE", struct verify_args, files, "record of a shift; several in their order",
				  .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(OPT_PATH('k', "key", "FILE", struct verify_args, key,
				  "public key of the station; else station.pub beside the record", .complete = COMPLETE_FILE),
			 OPT_FLAG(0, "open", struct verify_args, open, "the last one may be a shift that is still open")),
	.examples = CLI_EXAMPLES({"station verify ./20261121T060000Z.jsonl --key station.pub", "is it what was written?"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	CLI_RUN(verify, struct verify_args),
};

const struct cli_command cmd_station = {
	.name = "station",
	.summary = "A place on a factory line",
	.description = "Setting one up, recipes, records, labels and hooks: iotctl-station(7).",
	.subcommands = CLI_COMMANDS(&cmd_run, &cmd_close, &cmd_report, &cmd_export, &cmd_verify),
};
