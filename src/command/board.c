/* iotctl board: list ports, probe a board; and provision, which makes one a device of the fleet. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/board_description.h"
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
	const char *port, *transcript, *board;
	int pulse;
	int64_t baud;
};

#define LINE_OPTIONS(T)                                                                                                   \
	OPT_STR('b', "board", "BOARD", T, line.board, "kind of board, or a description of your own", .fallback = "expresslink", \
		.complete = COMPLETE_BOARD),                                                                              \
		OPT_PATH(0, "port", "PATH", T, line.port, "serial port, or debug probe NAME[:PORT]", .required = true,    \
			 .complete = COMPLETE_PORT),                                                                      \
		OPT_INT(0, "baud", "RATE", T, line.baud, "its speed; else the description's", .min = 1200, .max = 1000000), \
		OPT_PULSE(T, line.pulse),                                                                                 \
		OPT_PATH(0, "transcript", "FILE", T, line.transcript, "append all that is said to this file, secrets left out", \
			 .complete = COMPLETE_FILE)

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
	{.key = "thingName", .heading = "Device"},
	{.key = "customName", .heading = "Custom name"},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "claimed", .heading = "Set up", .kind = OUTPUT_BOOL},
	{.key = "connected", .heading = "Connected", .kind = OUTPUT_BOOL},
	{0},
};

static json_t *probe_record(const struct line_args *line, const struct iot_board_description *description,
			    const struct iot_board_identity *identity)
{
	json_t *record = json_object();

	iot_json_set_str(record, "port", line->port);
	iot_json_set_str(record, "board", description->name);
	iot_json_set_str(record, "vendor", identity->vendor);
	iot_json_set_str(record, "model", identity->model);
	iot_json_set_str(record, "version", identity->version);
	iot_json_set_str(record, "protocol", identity->protocol);
	iot_json_set_str(record, "uid", *identity->uid != '\0' ? identity->uid : NULL);
	iot_json_set_str(record, "thingName", *identity->thing_name != '\0' ? identity->thing_name : NULL);
	iot_json_set_str(record, "customName", identity->custom_name);
	iot_json_set_str(record, "endpoint", identity->endpoint);
	if (identity->claimed_known)
		iot_json_set_bool(record, "claimed", identity->claimed);
	iot_json_set_bool(record, "connected", identity->connected);
	iot_json_set_str(record, "sealed", *identity->sealed != '\0' ? identity->sealed : NULL);
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
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	IOT_CLEAN(iot_board_close_p) struct iot_board *board = NULL;
	enum iot_status status = iot_board_description_load(args->line.board, &description, err);

	if (status == IOT_OK)
		status = iot_board_open_described(description, &options, &board, err);
	if (status == IOT_OK)
		status = iot_board_identify(board, &identity, err);
	if (status == IOT_OK) {
		IOT_JSON record = probe_record(&args->line, description, &identity);

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

/* --- board kinds, board show ------------------------------------------------------------------ */

static json_t *item_words(unsigned items)
{
	json_t *words = json_array();

	for (int kind = 0; kind < IOT_ITEM_COUNT; kind++)
		if (items & 1U << kind)
			json_array_append_new(words, json_string(iot_board_item_word((enum iot_board_item_kind)kind)));
	return words;
}

static json_t *proof_words(unsigned proofs)
{
	json_t *words = json_array();

	for (unsigned proof = IOT_BOARD_PROVE_CONNECT; proof <= IOT_BOARD_PROVE_APPEAR; proof <<= 1)
		if (proofs & proof)
			json_array_append_new(words, json_string(iot_board_proof_name((enum iot_board_proof)proof)));
	return words;
}

static json_t *kind_record(const struct iot_board_description *description)
{
	json_t *record = json_object();

	iot_json_set_str(record, "name", description->name);
	iot_json_set_str(record, "description", description->summary);
	iot_json_set_str(record, "dialect", description->ops->name);
	iot_json_set_str(record, "keyOrigin", iot_board_key_name(description->key));
	iot_json_set_bool(record, "keyOnWire", iot_board_key_on_wire(description->key));
	iot_json_set_str(record, "thingName", description->thing_name);
	json_object_set_new(record, "install", item_words(description->install));
	json_object_set_new(record, "prove", proof_words(description->prove));
	return record;
}

static const struct output_column kind_columns[] = {
	{.key = "name", .heading = "Kind", .width = 14},
	{.key = "dialect", .heading = "Dialect", .width = 12},
	{.key = "keyOrigin", .heading = "Key made", .width = 8},
	{.key = "keyOnWire", .heading = "Key on wire", .kind = OUTPUT_BOOL},
	{.key = "prove", .heading = "Proves"},
	{.key = "thingName", .heading = "Named", .wide = true},
	{.key = "install", .heading = "Takes", .wide = true},
	{.key = "description", .heading = "Description"},
	{0},
};

static enum iot_status kinds(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON records = json_array();

	(void)args;
	for (const char *const *name = iot_board_shipped; *name != NULL; name++) {
		IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
		enum iot_status status = iot_board_description_load(*name, &description, err);

		if (status != IOT_OK)
			return status;
		json_array_append_new(records, kind_record(description));
	}
	return output_array(ctx->out, kind_columns, records, err);
}

static const struct cli_command cmd_kinds = {
	.name = "kinds",
	.summary = "List the kinds of boards whose descriptions come with the program",
	.examples = CLI_EXAMPLES({"board kinds", "what can be provisioned?"}),
	CLI_RUN0(kinds),
};

struct show_args {
	const char *board;
};

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct show_args *args = args_;
	IOT_CLEAN(iot_board_description_free_p) struct iot_board_description *description = NULL;
	enum iot_status status = iot_board_description_load(args->board, &description, err);
	IOT_JSON record = NULL;

	if (status != IOT_OK)
		return status;
	record = kind_record(description);
	json_object_set(record, "file", description->json);
	return output_object(ctx->out, kind_columns, record, err);
}

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Check a description of a board and show what it says",
	.description = "The JSON record has the file itself as its member 'file': a start for one of your own. The format is "
		       "described in iotctl-board(7).",
	.args = CLI_ARGS(ARG_STR("BOARD", struct show_args, board, "kind, or path of a description",
				 .complete = COMPLETE_BOARD)),
	.examples = CLI_EXAMPLES({"board show stm32f1", "what it takes and how it is proved"},
				 {"board show ./gateway.json", "is my own description right?"},
				 {"board show stm32f1 --query .file", "its file"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	CLI_RUN(show, struct show_args),
};

const struct cli_command cmd_board = {
	.name = "board",
	.summary = "Boards: on which ports they are, who they are, and what kinds there are",
	.group = "boards",
	.subcommands = CLI_COMMANDS(&cmd_list, &cmd_probe, &cmd_kinds, &cmd_show, &cmd_board_image),
};

/* --- provision --------------------------------------------------------------------------------- */

struct provision_args {
	struct line_args line;
	const char *name, *serial, *type, *ssid, *password_file, *apn, *codesign, *endpoint;
	int64_t endpoint_port;
	struct cli_list policies, groups, locks;
	int64_t connect_timeout;
	bool replace;
	int lock, issuer;
	bool irreversible;
};

static const struct output_column provision_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "alias", .heading = "Alias"},
	{.key = "vendor", .heading = "Vendor"},
	{.key = "model", .heading = "Model"},
	{.key = "version", .heading = "Version"},
	{.key = "certificateId", .heading = "Certificate"},
	{.key = "pskIdentity", .heading = "Shared secret"},
	{.key = "attestationIdentity", .heading = "Attestation key"},
	{.key = "keyOrigin", .heading = "Key made on"},
	{.key = "exposedOnWire", .heading = "Key crossed a wire", .kind = OUTPUT_BOOL},
	{.key = "endpoint", .heading = "Endpoint"},
	{.key = "proof", .heading = "Proved"},
	{.key = "notProved", .heading = "Not proved"},
	{.key = "locks", .heading = "Locks"},
	{.key = "resumed", .heading = "Resumed", .kind = OUTPUT_BOOL},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status provision(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct provision_args *args = args_;
	IOT_CLEAN(iot_free_p) char *journal = command_journal_path(ctx);
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *fleet = NULL;
	struct iot_secret_source password = iot_secret_from_file(args->password_file);
	struct iot_messaging_where watch = {0};
	bool watched = false;
	struct iot_provision_spec spec = {
		.board = args->line.board,
		.port = args->line.port,
		.baud = (int)args->line.baud,
		.pulse = args->line.pulse,
		.transcript = args->line.transcript,
		.name = args->name,
		.serial_number = args->serial,
		.type = args->type,
		.policies = command_list(&args->policies),
		.groups = command_list(&args->groups),
		.endpoint = args->endpoint,
		.endpoint_port = (int)args->endpoint_port,
		.wifi_ssid = args->ssid,
		.wifi_password = args->password_file != NULL ? &password : NULL,
		.apn = args->apn,
		.codesign = args->codesign,
		.aws_issues = args->issuer == ISSUER_AWS,
		.root_ca = settings_get(ctx->settings, "aws-root-ca"),
		.replace = args->replace,
		.lock = args->lock,
		.locks = command_list(&args->locks),
		.journal = journal,
		.interrupt_fd = cli_interrupt_fd(),
		.connect_timeout_ms = (int)args->connect_timeout,
		.progress = command_show_step,
		.data = ctx,
	};
	IOT_JSON record = NULL;
	enum iot_status status;

	if (args->lock == IOT_BOARD_LOCK_PERMANENT && !args->irreversible) {
		status = cli_confirm_word(ctx, "--yes-irreversible", "permanent", err,
					  "Locks will be put on the board at '%s' that nothing takes off again.",
					  args->line.port);
		if (status != IOT_OK)
			return status;
	}
	status = command_issuer(ctx, args->issuer == ISSUER_FLEET, &fleet, err);
	if (status == IOT_OK)
		status = command_watcher(ctx, &watch, &watched, err);
	if (status != IOT_OK)
		return status;
	spec.fleet = fleet;
	spec.watch = watched ? &watch : NULL;
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
		"The board's description (see 'iotctl board kinds') says what is done. A module that was born with a certificate "
		"keeps it and is named by its UID. Others get one: for a key that the board makes and that never leaves it, or "
		"for a key that is made here and crosses the wire, which its description has to allow; the record keeps that it "
		"did. A board that is too small for certificates shares a secret with the fleet instead, which is made here, crosses "
		"the wire too, and is kept sealed in the registry (see 'iotctl psk'); policies reach it through groups. Endpoint, root CA and code-signing key are written with it and read back.\n\n"
		"It succeeds only when the board has proved itself as its description says: the broker has seen it connect, or "
		"it has signed with its key. What cannot be proved is reported as not proved.\n\n"
		"Every step is in the station's journal before it is done: after an interruption the same "
		"command goes on, and on a finished board it changes nothing. A board that another fleet has set up, or that is "
		"another device already, is left alone.\n\n"
		"A module whose certificate a vendor signed needs 'iotctl ca trust vendor.pem' once. More in "
		"iotctl-board(7), iotctl-expresslink(7) and iotctl-swd(7).",
	.opts = CLI_OPTS(
		LINE_OPTIONS(struct provision_args),
		OPT_STR('n', "name", "NAME", struct provision_args, name, "its name; of a module that is named by its UID, its alias"),
		OPT_STR(0, "serial", "NUMBER", struct provision_args, serial, "serial number of the product, unique"),
		OPT_STR('t', "type", "TYPE", struct provision_args, type, "thing type; made when it is new",
			.complete = COMPLETE_TYPE),
		OPT_LIST('p', "policy", "POLICY", struct provision_args, policies, "policy to attach; 'device' if none is given",
			 .complete = COMPLETE_POLICY),
		OPT_LIST('g', "group", "GROUP", struct provision_args, groups, "join this group; may be repeated",
			 .complete = COMPLETE_GROUP),
		OPT_STR(0, "endpoint", "HOST", struct provision_args, endpoint,
			"where it connects, in place of the fleet's endpoint: a gateway"),
		OPT_INT(0, "endpoint-port", "PORT", struct provision_args, endpoint_port,
			"port there; the fleet's, or that of 'serve --psk-port', if it is not given", .min = 1, .max = 65535),
		OPT_STR(0, "wifi-ssid", "NAME", struct provision_args, ssid, "Wi-Fi network to join"),
		OPT_PATH(0, "wifi-password-file", "FILE", struct provision_args, password_file,
			 "private file whose first line is its password", .complete = COMPLETE_FILE),
		OPT_STR(0, "apn", "APN", struct provision_args, apn, "access point of a cellular module"),
		OPT_STR(0, "codesign", "KEY", struct provision_args, codesign, "code-signing key it checks updates with",
			.complete = COMPLETE_KEY),
		OPT_ISSUER(struct provision_args, issuer),
		OPT_DURATION(0, "connect-timeout", "TIME", struct provision_args, connect_timeout,
			     "how long it may take to connect", .min = 1000, .max = 600000, .fallback = "120s"),
		OPT_FLAG(0, "replace", struct provision_args, replace,
			 "take over a board of another fleet, or flash that holds something else; change its device"),
		OPT_ENUM(0, "lock", "LOCKS", struct provision_args, lock,
			 "put on the locks of its description, once it is proved",
			 .choices = CLI_CHOICES("none", "reversible", "permanent"), .fallback = "none"),
		OPT_LIST(0, "lock-also", "NAME", struct provision_args, locks,
			 "with --lock: this optional lock too; may be repeated"),
		OPT_FLAG(0, "yes-irreversible", struct provision_args, irreversible,
			 "do not ask before what nothing takes off again")),
	.examples = CLI_EXAMPLES({"provision --port /dev/ttyUSB0 --name pump-0001 --type pump", "a module becomes pump-0001"},
				 {"provision --board stm32f1 --port cmsis-dap --name pump-0002 --lock reversible",
				  "a microcontroller on a debug probe"},
				 {"provision --port ./board0 --wifi-ssid plant --wifi-password-file ./wifi", "with Wi-Fi"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_TIMEOUT, IOT_BOARD, IOT_VERIFY, IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(provision, struct provision_args),
};
