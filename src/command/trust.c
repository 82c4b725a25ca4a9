/* iotctl device trust: another endpoint or root CA for boards on a port and for devices in the field. */
#include "iotctl/trust.h"
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/log.h"

#include <string.h>

struct trust_args {
	struct cli_list devices, groups;
	const char *endpoint, *root_ca, *old_root_ca, *new_fleet;
	const char *board, *port, *transcript;
	const char *id, *resume;
	int64_t baud, connect_timeout, timeout, device_timeout, per_minute, max_failures;
	int pulse;
	bool force, dry_run, wait;
};

static const struct output_column board_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "oldEndpoint", .heading = "Old endpoint"},
	{.key = "rootCaId", .heading = "Root CA"},
	{.key = "proof", .heading = "Proved"},
	{.key = "notProved", .heading = "Not proved"},
	{.key = "resumed", .heading = "Resumed", .kind = OUTPUT_BOOL},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static const struct output_column job_columns[] = {
	{.key = "id", .heading = "Id"},
	{.key = "jobs", .heading = "Jobs"},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "rootCaId", .heading = "Root CA"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static const struct output_column device_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "status", .heading = "Status", .width = 11},
	{.key = "reason", .heading = "Reason", .width = 20},
	{.key = "job", .heading = "Job"},
	{0},
};

static const struct output_column intended_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "group", .heading = "Group", .width = 16},
	{.key = "way", .heading = "Way"},
	{0},
};

/* --- what belongs together -------------------------------------------------------------- */

static enum iot_status check_args(const struct cli_context *ctx, const struct trust_args *args, struct iot_error *err)
{
	static const char *const of_board[] = {"baud", "pulse", "transcript", "old-root-ca", "connect-timeout", NULL};
	static const char *const of_field[] = {"id",         "resume",       "wait", "timeout", "device-timeout",
					       "per-minute", "max-failures", NULL};
	bool board = args->board != NULL || args->port != NULL, field = args->devices.count + args->groups.count > 0;

	if (board == field || (board && args->port == NULL)) {
		iot_fail(err, IOT_USAGE, board && !field ? "a board needs its port" : "it is not said whose trust is renewed");
		iot_error_hint(err, "name devices, groups with --group, or one board with --board KIND --port PORT");
		return IOT_USAGE;
	}
	for (const char *const *name = board ? of_field : of_board; *name != NULL; name++) {
		if (!cli_given(ctx, *name))
			continue;
		return iot_fail(err, IOT_USAGE,
				board ? "--%s is for devices in the field" : "--%s is for a board on a port", *name);
	}
	if ((args->max_failures > 0 || cli_given(ctx, "timeout")) && !args->wait)
		return iot_fail(err, IOT_USAGE, "--max-failures and --timeout belong to --wait");
	return IOT_OK;
}

/* The new fleet says what is not said otherwise. */
struct destination {
	struct iot_cloud *cloud;
	char *endpoint, *root_ca;
};

static enum iot_status find_destination(const struct trust_args *args, struct destination *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *dir = NULL;
	IOT_CLEAN(iot_free_p) char *host = NULL;
	IOT_CLEAN(iot_free_p) char *port = NULL;
	enum iot_status status;

	if (args->new_fleet == NULL)
		return IOT_OK;
	dir = command_fleet_dir(args->new_fleet);
	status = iot_local_open(dir, &ret->cloud, err);
	if (status == IOT_OK)
		status = iot_local_meta_get(ret->cloud, "endpoint", &host, err);
	if (status == IOT_OK)
		status = iot_local_meta_get(ret->cloud, "port", &port, err);
	if (status != IOT_OK || args->endpoint != NULL || args->root_ca != NULL)
		return status;
	ret->endpoint = port != NULL && strcmp(port, "8883") != 0 ? iot_strf("%s:%s", host, port) : iot_strdup(host);
	ret->root_ca = iot_path(iot_local_paths(ret->cloud)->ca_dir, "root.pem");
	return IOT_OK;
}

static void destination_release(struct destination *destination)
{
	iot_cloud_free(destination->cloud);
	free(destination->endpoint);
	free(destination->root_ca);
}

static struct iot_trust_change change_of(const struct trust_args *args, const struct destination *to)
{
	return (struct iot_trust_change){.endpoint = to->endpoint != NULL ? to->endpoint : args->endpoint,
					 .root_ca = to->root_ca != NULL ? to->root_ca : args->root_ca,
					 .force = args->force,
					 .dry_run = args->dry_run};
}

/* --- the two ways ----------------------------------------------------------------------------- */

static enum iot_status update_board(struct cli_context *ctx, const struct trust_args *args,
				    const struct destination *to, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *journal = command_journal_path(ctx);
	const struct iot_trust_board_spec spec = {
		.change = change_of(args, to),
		.board = args->board != NULL ? args->board : "expresslink",
		.port = args->port,
		.baud = (int)args->baud,
		.pulse = args->pulse,
		.old_root_ca = args->old_root_ca,
		.seen_at = to->cloud,
		.journal = journal,
		.transcript = args->transcript,
		.interrupt_fd = cli_interrupt_fd(),
		.connect_timeout_ms = (int)args->connect_timeout,
		.progress = command_show_step,
		.data = ctx,
	};
	IOT_JSON record = NULL;
	enum iot_status status;

	progress_begin(ctx->progress, args->port, 0, PROGRESS_STEPS);
	status = iot_trust_board(command_cloud(ctx), &spec, &record, err);
	progress_end(ctx->progress, status == IOT_OK);
	if (status == IOT_OK && !args->dry_run && !iot_json_bool(record, "changed", true))
		iot_notice("'%s' has it already: nothing was changed", iot_json_str(record, "thingName", ""));
	return status == IOT_OK ? output_object(ctx->out, board_columns, record, err) : status;
}

/* The devices are the result: a table of them, or the whole record for programs and queries. */
static enum iot_status print_field(struct cli_context *ctx, const struct trust_args *args, const json_t *record,
				   struct iot_error *err)
{
	if (!command_wants_rows(ctx) || (!args->wait && !args->dry_run))
		return output_object(ctx->out, job_columns, record, err);
	return output_array(ctx->out, args->dry_run ? intended_columns : device_columns,
			    json_object_get(record, "devices"), err);
}

static enum iot_status update_field(struct cli_context *ctx, const struct trust_args *args,
				    const struct destination *to, struct iot_error *err)
{
	const struct iot_trust_field_spec spec = {
		.change = change_of(args, to),
		.devices = command_list(&args->devices),
		.groups = command_list(&args->groups),
		.id = args->id,
		.journal = args->resume,
		.device_minutes = (args->device_timeout + 59999) / 60000,
		.per_minute = args->per_minute,
		.wait = args->wait,
		.max_failures = args->max_failures,
		.timeout_ms = args->timeout,
		.interrupted = command_interrupted,
		.progress = command_show_progress,
		.data = ctx,
	};
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	enum iot_status printed, status;

	if (!args->dry_run)
		command_warn_unserved(ctx);
	progress_begin(ctx->progress, "trust", 0, PROGRESS_STEPS);
	status = iot_trust_field(command_cloud(ctx), &spec, &record, err);
	progress_end(ctx->progress, status == IOT_OK);
	if (record == NULL)
		return status;
	printed = print_field(ctx, args, record, status == IOT_OK ? err : &ignored);
	return status == IOT_OK ? printed : status;
}

static enum iot_status update(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct trust_args *args = args_;
	IOT_CLEAN(destination_release) struct destination to = {0};
	enum iot_status status = check_args(ctx, args, err);

	if (status == IOT_OK)
		status = find_destination(args, &to, err);
	if (status != IOT_OK)
		return status;
	return args->port != NULL ? update_board(ctx, args, &to, err) : update_field(ctx, args, &to, err);
}

static const struct cli_command cmd_update = {
	.name = "update",
	.summary = "Give devices another endpoint or root CA, and take it back where it fails",
	.description =
		"The new one is staged, a connection with it proved, and only then is the old one given up. First it "
		"is looked whether the endpoint answers with a certificate that the root CA verifies.\n\n"
		"A board on a port (--board, --port) is written to and told to connect, or started and seen by the "
		"broker. What it had is in the station's journal: after an interruption the same command goes on.\n\n"
		"Devices in the field get a job, which each carries out and reports; the document is described in "
		"iotctl-trust(7). ExpressLink modules get an update of type 107: a root CA, which the old one must "
		"have signed; an endpoint only over their serial line. With --resume the same command finds the jobs "
		"that it made.\n\n"
		"The policies of devices do not name endpoints and are left as they are.",
	.args = CLI_ARGS(ARG_LIST("DEVICE", struct trust_args, devices, "thing names or aliases", .optional = true,
				  .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(
		OPT_STR(0, "endpoint", "HOST[:PORT]", struct trust_args, endpoint, "where to connect from now on"),
		OPT_PATH(0, "root-ca", "FILE", struct trust_args, root_ca, "certificate (PEM) to check the broker with",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "new-fleet", "FLEET", struct trust_args, new_fleet,
			"the fleet that answers there: its endpoint and root CA", .complete = COMPLETE_FLEET),
		OPT_LIST('g', "group", "GROUP", struct trust_args, groups, "the devices of this group; may be repeated",
			 .complete = COMPLETE_GROUP),
		OPT_PATH('b', "board", "KIND", struct trust_args, board,
			 "kind of the board on --port, or its description", .complete = COMPLETE_BOARD),
		OPT_PATH(0, "port", "PATH", struct trust_args, port, "a board on this serial port",
			 .complete = COMPLETE_PORT),
		OPT_INT(0, "baud", "RATE", struct trust_args, baud, "speed of the port; else the description's",
			.min = 1200, .max = 1000000),
		OPT_PULSE(struct trust_args, pulse),
		OPT_PATH(0, "transcript", "FILE", struct trust_args, transcript, "append all that is said on the port",
			 .complete = COMPLETE_FILE),
		OPT_PATH(0, "old-root-ca", "FILE", struct trust_args, old_root_ca,
			 "the one a board holds now, if not the fleet's", .complete = COMPLETE_FILE),
		OPT_DURATION(0, "connect-timeout", "TIME", struct trust_args, connect_timeout,
			     "how long a board may take to connect", .min = 1000, .max = 600000, .fallback = "120s"),
		OPT_FLAG('w', "wait", struct trust_args, wait, "until all devices have ended it"),
		OPT_DURATION(0, "timeout", "TIME", struct trust_args, timeout,
			     "with --wait: stop watching after this, 0: when it has ended", .fallback = "1h"),
		OPT_INT(0, "max-failures", "N", struct trust_args, max_failures,
			"with --wait: cancel the rest when so many failed", .min = 1, .max = 1000000),
		OPT_PATH(0, "resume", "FILE", struct trust_args, resume, "journal: the same call finds its jobs again",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "id", "ID", struct trust_args, id, "of the jobs; else made of the time"),
		OPT_DURATION(0, "device-timeout", "TIME", struct trust_args, device_timeout,
			     "a device that takes longer is timed out", .fallback = "1h", .min = 60000,
			     .max = 604800000),
		OPT_INT(0, "per-minute", "N", struct trust_args, per_minute, "at most so many devices a minute",
			.min = 1, .max = 1000),
		OPT_FLAG('f', "force", struct trust_args, force,
			 "do not look whether devices will believe the endpoint"),
		OPT_FLAG('n', "dry-run", struct trust_args, dry_run, "look and check, change nothing")),
	.examples =
		CLI_EXAMPLES({"device trust update --group pumps --endpoint iot2.example.com --root-ca root2.pem "
			      "--wait --max-failures 3",
			      "a group, and stop when it goes wrong"},
			     {"device trust update --board expresslink --port /dev/ttyUSB0 --endpoint iot2.example.com",
			      "a module on the bench"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_PARTIAL, IOT_ABORTED, IOT_TIMEOUT, IOT_BOARD, IOT_VERIFY,
			   IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(update, struct trust_args),
};

const struct cli_command cmd_device_trust = {
	.name = "trust",
	.summary = "Endpoint and root CA of devices",
	.subcommands = CLI_COMMANDS(&cmd_update),
};
