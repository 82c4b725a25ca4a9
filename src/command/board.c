/* iotctl board: list ports, probe a board; and provision, which makes one a device of the fleet. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/board.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

/* --- board list ----------------------------------------------------------------------- */

static const struct output_column list_columns[] = {
	{.key = "port", .heading = "Port", .width = 14},
	{.key = "product", .heading = "Product", .width = 16},
	{.key = "manufacturer", .heading = "Manufacturer", .width = 14},
	{.key = "serialNumber", .heading = "Serial number", .width = 14},
	{.key = "vendorId", .heading = "Vendor"},
	{.key = "productId", .heading = "Id"},
	{.key = "usedBy", .heading = "Used by"},
	{.key = "description", .heading = "Description", .wide = true},
	{.key = "transport", .heading = "Transport", .wide = true},
	{0},
};

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON records = NULL;
	enum iot_status status = iot_serial_ports(&records, err);

	(void)args;
	return status == IOT_OK ? output_array(ctx->out, list_columns, records, err) : status;
}

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List the serial ports of this machine",
	.examples = CLI_EXAMPLES({"board list", "which port is the board on?"}),
	.exits = CLI_EXITS(IOT_BOARD),
	CLI_RUN0(list),
};

/* --- what probe and provision share ------------------------------------------------------ */

struct line_args {
	const char *port, *transcript;
	int board;
	int pulse;
	int64_t baud;
};

/* The order is that of board/registry.c and of enum iot_serial_pulse. */
#define BOARD_CHOICES CLI_CHOICES("expresslink")
#define PULSE_CHOICES CLI_CHOICES("none", "dtr", "rts")

#define LINE_OPTIONS(T)                                                                                                   \
	OPT_ENUM('b', "board", "KIND", T, line.board, "kind of board", .choices = BOARD_CHOICES, .fallback = "expresslink"), \
		OPT_PATH(0, "port", "PATH", T, line.port, "serial port", .required = true, .complete = COMPLETE_PORT),    \
		OPT_INT(0, "baud", "RATE", T, line.baud, "its speed", .min = 1200, .max = 1000000, .fallback = "115200"), \
		OPT_ENUM(0, "pulse", "LINE", T, line.pulse, "reset the board by this line first",                         \
			 .choices = PULSE_CHOICES, .fallback = "none"),                                                   \
		OPT_PATH(0, "transcript", "FILE", T, line.transcript, "append all that is said to this file, secrets left out", \
			 .complete = COMPLETE_FILE)

static const struct iot_board_ops *board_of(const struct line_args *line)
{
	return iot_boards[line->board];
}

/* --- board probe --------------------------------------------------------------------------- */

struct probe_args {
	struct line_args line;
};

static const struct output_column probe_columns[] = {
	{.key = "port", .heading = "Port"},
	{.key = "board", .heading = "Board"},
	{.key = "vendor", .heading = "Vendor"},
	{.key = "model", .heading = "Model"},
	{.key = "version", .heading = "Version"},
	{.key = "protocol", .heading = "Protocol"},
	{.key = "uid", .heading = "UID"},
	{.key = "customName", .heading = "Custom name"},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "claimed", .heading = "Set up", .kind = OUTPUT_BOOL},
	{.key = "connected", .heading = "Connected", .kind = OUTPUT_BOOL},
	{0},
};

static json_t *probe_record(const struct line_args *line, const struct iot_board_identity *identity)
{
	json_t *record = json_object();

	iot_json_set_str(record, "port", line->port);
	iot_json_set_str(record, "board", board_of(line)->name);
	iot_json_set_str(record, "vendor", identity->vendor);
	iot_json_set_str(record, "model", identity->model);
	iot_json_set_str(record, "version", identity->version);
	iot_json_set_str(record, "protocol", identity->protocol);
	iot_json_set_str(record, "uid", identity->uid);
	iot_json_set_str(record, "customName", identity->custom_name);
	iot_json_set_str(record, "endpoint", identity->endpoint);
	if (identity->claimed_known)
		iot_json_set_bool(record, "claimed", identity->claimed);
	iot_json_set_bool(record, "connected", identity->connected);
	if (identity->certificate.len > 0)
		iot_json_set_str(record, "certificatePem", iot_buf_str(&identity->certificate));
	return record;
}

static enum iot_status probe(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct probe_args *args = args_;
	const struct iot_board_options options = {
		.serial = {.path = args->line.port, .baud = (int)args->line.baud, .interrupt_fd = cli_interrupt_fd(),
			   .transcript = args->line.transcript, .pulse = (enum iot_serial_pulse)args->line.pulse},
	};
	struct iot_board_identity identity = IOT_BOARD_IDENTITY_INIT;
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	enum iot_status status = iot_board_open(board_of(&args->line), &options, &board, err);

	if (status == IOT_OK)
		status = iot_board_identify(board, &identity, err);
	if (status == IOT_OK) {
		IOT_JSON record = probe_record(&args->line, &identity);

		status = output_object(ctx->out, probe_columns, record, err);
	}
	iot_board_identity_release(&identity);
	return status;
}

static const struct cli_command cmd_probe = {
	.name = "probe",
	.summary = "Ask a board who it is; changes nothing",
	.description = "The JSON record has the board's certificate too.",
	.opts = CLI_OPTS(LINE_OPTIONS(struct probe_args)),
	.examples = CLI_EXAMPLES({"board probe --port /dev/ttyUSB0", "who is there?"},
				 {"board probe --port /dev/ttyUSB0 --query .uid", "just its UID"}),
	.exits = CLI_EXITS(IOT_BOARD, IOT_TIMEOUT),
	CLI_RUN(probe, struct probe_args),
};

const struct cli_command cmd_board = {
	.name = "board",
	.summary = "Boards on serial ports",
	.group = "boards",
	.subcommands = CLI_COMMANDS(&cmd_list, &cmd_probe),
};

/* --- provision --------------------------------------------------------------------------------- */

struct provision_args {
	struct line_args line;
	const char *name, *serial, *type, *ssid, *password_file, *apn, *codesign;
	struct cli_list policies, groups;
	int64_t connect_timeout;
	bool replace;
};

static const struct output_column provision_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "alias", .heading = "Alias"},
	{.key = "vendor", .heading = "Vendor"},
	{.key = "model", .heading = "Model"},
	{.key = "version", .heading = "Version"},
	{.key = "certificateId", .heading = "Certificate"},
	{.key = "keyOrigin", .heading = "Key made on"},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "proof", .heading = "Proved"},
	{.key = "notProved", .heading = "Not proved"},
	{.key = "resumed", .heading = "Resumed", .kind = OUTPUT_BOOL},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static void show_step(const char *step, void *data)
{
	struct cli_context *ctx = data;

	progress_update(ctx->progress, 0, step);
}

/* One journal for each profile: a station works for one fleet at a time. */
static char *journal_path(const struct cli_context *ctx)
{
	IOT_CLEAN(iot_free_p) char *state = iot_xdg_state();

	return iot_strf("%s/%s/journal.db", state, settings_profile(ctx->settings));
}

static enum iot_status provision(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct provision_args *args = args_;
	IOT_CLEAN(iot_free_p) char *journal = journal_path(ctx);
	struct iot_secret_source password = iot_secret_from_file(args->password_file);
	const struct iot_provision_spec spec = {
		.board = board_of(&args->line)->name,
		.port = args->line.port,
		.baud = (int)args->line.baud,
		.pulse = args->line.pulse,
		.transcript = args->line.transcript,
		.alias = args->name,
		.serial_number = args->serial,
		.type = args->type,
		.policies = command_list(&args->policies),
		.groups = command_list(&args->groups),
		.wifi_ssid = args->ssid,
		.wifi_password = args->password_file != NULL ? &password : NULL,
		.apn = args->apn,
		.codesign = args->codesign,
		.replace = args->replace,
		.journal = journal,
		.interrupt_fd = cli_interrupt_fd(),
		.connect_timeout_ms = (int)args->connect_timeout,
		.progress = show_step,
		.data = ctx,
	};
	IOT_JSON record = NULL;
	enum iot_status status;

	progress_begin(ctx->progress, args->line.port, 0, PROGRESS_STEPS);
	status = iot_provision(command_cloud(ctx), &spec, &record, err);
	progress_end(ctx->progress, status == IOT_OK);
	if (status == IOT_OK && !iot_json_bool(record, "changed", true))
		iot_notice("'%s' was provisioned already: nothing was changed", iot_json_str(record, "thingName", ""));
	return status == IOT_OK ? output_object(ctx->out, provision_columns, record, err) : status;
}

const struct cli_command cmd_provision = {
	.name = "provision",
	.summary = "Make the board on a port a device of the fleet",
	.description =
		"Registers the certificate that the module was born with, makes its thing (named by the module's UID), writes "
		"endpoint, root CA and code-signing certificate into it, lets it connect, and succeeds only when the broker "
		"has seen it. Every step is in the station's journal before it is done: after an interruption the same "
		"command goes on, and on a finished module it changes nothing. A module that another fleet has set up is "
		"left alone.\n\n"
		"A module whose certificate a vendor signed needs 'iotctl ca trust vendor.pem' once. More about modules: "
		"iotctl-expresslink(7).",
	.opts = CLI_OPTS(
		LINE_OPTIONS(struct provision_args),
		OPT_STR('n', "name", "NAME", struct provision_args, name, "alias, also written into the module"),
		OPT_STR(0, "serial", "NUMBER", struct provision_args, serial, "serial number of the product, unique"),
		OPT_STR('t', "type", "TYPE", struct provision_args, type, "thing type; made when it is new",
			.complete = COMPLETE_TYPE),
		OPT_LIST('p', "policy", "POLICY", struct provision_args, policies, "policy to attach; 'device' if none is given",
			 .complete = COMPLETE_POLICY),
		OPT_LIST('g', "group", "GROUP", struct provision_args, groups, "join this group; may be repeated",
			 .complete = COMPLETE_GROUP),
		OPT_STR(0, "wifi-ssid", "NAME", struct provision_args, ssid, "Wi-Fi network to join"),
		OPT_PATH(0, "wifi-password-file", "FILE", struct provision_args, password_file,
			 "private file whose first line is its password", .complete = COMPLETE_FILE),
		OPT_STR(0, "apn", "APN", struct provision_args, apn, "access point of a cellular module"),
		OPT_STR(0, "codesign", "KEY", struct provision_args, codesign, "code-signing key it checks updates with",
			.complete = COMPLETE_KEY),
		OPT_DURATION(0, "connect-timeout", "TIME", struct provision_args, connect_timeout,
			     "how long it may take to connect", .min = 1000, .max = 600000, .fallback = "120s"),
		OPT_FLAG(0, "replace", struct provision_args, replace, "take over a module of another fleet; change its device")),
	.examples = CLI_EXAMPLES({"provision --port /dev/ttyUSB0 --name pump-0001 --type pump", "a module becomes pump-0001"},
				 {"provision --port ./board0 --wifi-ssid plant --wifi-password-file ./wifi", "with Wi-Fi"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_TIMEOUT, IOT_BOARD, IOT_VERIFY, IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(provision, struct provision_args),
};
