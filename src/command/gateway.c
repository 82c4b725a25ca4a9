/* iotctl gateway: small devices reach the cloud through one. */
#include "iotctl/gateway.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/children.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

struct gateway_args {
	const char *name, *out, *type, *prefix, *gateway, *device, *identity;
	struct cli_list copies;
	int64_t days;
};

struct run_args {
	const char *dir, *listen, *suites, *state, *endpoint, *ca;
	struct cli_list policies;
	int64_t port, endpoint_port, nonce, devices, handshake_ms, attest_ms, message_ms, idle_ms, messages, bytes;
};

/* --- administration ------------------------------------------------------------------------- */

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Gateway"},
		{.key = "thingArn", .heading = "ARN", .wide = true},
		{.key = "certificateId", .heading = "Certificate"},
		{.key = "out", .heading = "Folder"},
		{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
		{0},
	};
	const struct gateway_args *args = args_;
	const struct iot_gateway_spec spec = {.name = args->name,
					      .out = args->out,
					      .type = args->type,
					      .prefix = args->prefix,
					      .days = (int)args->days};
	IOT_JSON record = NULL;
	enum iot_status status = iot_gateway_create(command_cloud(ctx), &spec, &record, err);

	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static const struct output_column child_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 14},
	{.key = "gateway", .heading = "Gateway"},
	{.key = "copyTo", .heading = "Copies to"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status add(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct gateway_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_gateway_add(command_cloud(ctx), args->gateway, args->device,
						 command_list(&args->copies), &record, err);

	return status == IOT_OK ? output_object(ctx->out, child_columns, record, err) : status;
}

static enum iot_status remove_child(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct gateway_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_gateway_remove(command_cloud(ctx), args->gateway, args->device, &record, err);

	return status == IOT_OK ? output_object(ctx->out, child_columns, record, err) : status;
}

static enum iot_status children(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Device", .width = 14},
		{.key = "thingTypeName", .heading = "Type", .width = 8},
		{.key = "copyTo", .heading = "Copies to"},
		{0},
	};
	const struct gateway_args *args = args_;
	IOT_JSON records = NULL;
	json_t *record;
	size_t i;
	enum iot_status status = iot_gateway_children(command_cloud(ctx), args->gateway, &records, err);

	if (status == IOT_OK)
		status = output_begin_list(ctx->out, columns, err);
	json_array_foreach(records, i, record) {
		if (status == IOT_OK)
			status = output_row(ctx->out, record, err);
	}
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static enum iot_status export_children(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Gateway"},
		{.key = "children", .heading = "Children", .kind = OUTPUT_INT},
		{.key = "out", .heading = "Folder"},
		{0},
	};
	const struct gateway_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status =
		iot_gateway_export(command_cloud(ctx), args->gateway, args->identity, args->out, &record, err);

	if (status == IOT_OK && iot_json_int(record, "children", 0) == 0)
		iot_notice("'%s' has no children yet: 'iotctl gateway add' gives it some", args->gateway);
	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

/* --- running --------------------------------------------------------------------------------- */

static const struct output_column event_columns[] = {
	{.key = "event", .heading = "Event", .width = 12},
	{.key = "child", .heading = "Device", .width = 14},
	{.key = "detail", .heading = "Detail"},
	{0},
};

static void print_event(const char *name, const char *child, const char *detail, void *data)
{
	struct cli_context *ctx = data;
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON row = json_object();

	iot_json_set_str(row, "event", name);
	iot_json_set_str(row, "child", child);
	iot_json_set_str(row, "detail", detail);
	(void)!output_row(ctx->out, row, &ignored); /* cli_main reports a broken stdout at the end */
}

static enum iot_status run_gateway(struct cli_context *ctx, const struct run_args *args, struct iot_error *err)
{
	const struct iot_gateway_options options = {
		.fleet_dir = command_fleet(ctx),
		.dir = args->dir,
		.listen = args->listen,
		.port = (int)args->port,
		.suites = args->suites,
		.state = args->state,
		.endpoint = args->endpoint,
		.endpoint_port = (int)args->endpoint_port,
		.ca_file = args->ca,
		.policies = args->policies.items,
		.policy_count = args->policies.count,
		.nonce_size = (int)args->nonce,
		.devices = (size_t)args->devices,
		.handshake_ms = (int)args->handshake_ms,
		.attest_ms = (int)args->attest_ms,
		.message_ms = (int)args->message_ms,
		.idle_ms = (int)args->idle_ms,
		.queue_messages = args->messages,
		.queue_bytes = args->bytes,
		.interrupt_fd = cli_interrupt_fd(),
		.interrupted = command_interrupted,
		.event = print_event,
		.data = ctx,
	};
	enum iot_status status = output_begin_stream(ctx->out, event_columns, err);

	if (status == IOT_OK)
		status = iot_gateway_run(&options, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

/* An export is all that a gateway needs; else it needs the fleet's registry. */
static enum iot_status run(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct run_args *args = args_;
	IOT_CLEAN(iot_free_p) char *children = iot_path(args->dir, IOT_GATEWAY_EXPORT);
	enum iot_status status = IOT_OK;

	if (args->nonce % 16 != 0)
		return iot_fail(err, IOT_USAGE, "a nonce has 32, 48 or 64 bytes, not %lld", (long long)args->nonce);
	if (!iot_fs_exists(children))
		status = command_find_fleet(ctx, err);
	return status == IOT_OK ? run_gateway(ctx, args, err) : status;
}

/* --- the tree ---------------------------------------------------------------------------------- */

#define GATEWAY ARG_STR("GATEWAY", struct gateway_args, gateway, "thing name or alias", .complete = COMPLETE_DEVICE)
#define DEVICE ARG_STR("DEVICE", struct gateway_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)
#define TIME(name, field, text, value)                                                                                 \
	OPT_DURATION(0, name, "TIME", struct run_args, field, text, .min = 100, .max = 86400000, .fallback = value)

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Make a gateway: a device with the rights of its children",
	.description =
		"Key, certificate and folder as of 'device create', and policies gateway-NAME, gateway-NAME-2 and "
		"so on, which follow when children are added and removed. The same command again changes nothing.\n\n"
		"AWS IoT has room for about 130 children by name. With --children every device whose name begins "
		"with PREFIX can be one, and their number is not limited.",
	.args = CLI_ARGS(ARG_STR("NAME", struct gateway_args, name, "its thing name")),
	.opts = CLI_OPTS(
		OPT_PATH(0, "out", "DIR", struct gateway_args, out, "folder for key and certificate", .required = true,
			 .complete = COMPLETE_DIR),
		OPT_STR(0, "type", "TYPE", struct gateway_args, type, "thing type", .fallback = "gateway",
			.complete = COMPLETE_TYPE),
		OPT_STR(0, "children", "PREFIX", struct gateway_args, prefix, "names of its children begin so"),
		OPT_INT(0, "days", "N", struct gateway_args, days, "validity of the certificate", .min = 1,
			.max = 36500)),
	.examples = CLI_EXAMPLES({"gateway create gw-1 --out ./gw-1", "a gateway"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct gateway_args),
};

static const struct cli_command cmd_add = {
	.name = "add",
	.summary = "Make a device a child of a gateway",
	.description =
		"It needs a secret to connect ('psk create') and an attestation key ('psk create --attestation', or "
		"a public one). A gateway that runs knows of it at once.",
	.args = CLI_ARGS(GATEWAY, DEVICE),
	.opts = CLI_OPTS(OPT_LIST(0, "copy-to", "DEVICE[:ROLE]", struct gateway_args, copies,
				  "another child that hears what it says")),
	.examples =
		CLI_EXAMPLES({"gateway add gw-1 sensor-1", "a sensor"},
			     {"gateway add gw-1 sensor-1 --copy-to panel-1:event", "its events go to a panel as well"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(add, struct gateway_args),
};

static const struct cli_command cmd_remove = {
	.name = "remove",
	.summary = "Take a child from a gateway",
	.description = "A gateway that runs ends its connection at once, and forgets what it has not sent of it.",
	.args = CLI_ARGS(GATEWAY, DEVICE),
	.examples = CLI_EXAMPLES({"gateway remove gw-1 sensor-1", "the device itself stays"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(remove_child, struct gateway_args),
};

static const struct cli_command cmd_children = {
	.name = "children",
	.summary = "List the children of a gateway",
	.args = CLI_ARGS(GATEWAY),
	.examples = CLI_EXAMPLES({"gateway children gw-1", "by type and name"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(children, struct gateway_args),
};

static const struct cli_command cmd_export = {
	.name = "export",
	.summary = "Write what a gateway needs on another machine",
	.description =
		"The folder gets the gateway's key and certificate, and its children: names, types, "
		"layouts, active secrets and attestation keys. Nothing else of the fleet is in it. "
		"'gateway run' needs only this folder.\n\n"
		"Whoever can read the folder can speak for the gateway and its children: files with "
		"secrets are 0600, and should be copied over ssh or the like.\n\n"
		"After a change (a child, a secret, a revocation) export to the same folder again, "
		"and copy " IOT_GATEWAY_EXPORT
		" to where the gateway runs: it is replaced in one step, and a gateway that runs takes it at once.",
	.args = CLI_ARGS(GATEWAY),
	.opts = CLI_OPTS(OPT_PATH(0, "out", "DIR", struct gateway_args, out, "folder to write", .required = true,
				  .complete = COMPLETE_DIR),
			 OPT_PATH(0, "identity", "DIR", struct gateway_args, identity,
				  "folder of 'gateway create'; needed the first time", .complete = COMPLETE_DIR)),
	.examples = CLI_EXAMPLES(
		{"gateway export gw-1 --identity ./gw-1 --out ./gw-1-export", "for the first time"},
		{"gateway export gw-1 --out ./gw-1-export", "again, after a child was added or a secret revoked"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_DENIED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(export_children, struct gateway_args),
};

static const struct cli_command cmd_run = {
	.name = "run",
	.summary = "Run a gateway",
	.description =
		"Takes TLS 1.2 with pre-shared keys, of the fleet's registry on this machine or of a folder that "
		"'gateway export' has made, asks every device for an attestation token, and carries its messages to "
		"the broker that DIR names and back; iotctl-gateway(7) describes the protocol. While the broker "
		"cannot be reached, messages are kept on disk, in order. A revoked secret ends its connection at "
		"once.\n\n"
		"Each line of output is something that happened. What a device may run is said by the attestation "
		"policies in the registry ('attest policy assign'), which count as they are at every moment; for "
		"devices that have none there, --policy names a file for one device, those of a type, or all. Without "
		"any a token must be in lifecycle 'secured'.",
	.args = CLI_ARGS(ARG_PATH("DIR", struct run_args, dir, "folder, of 'gateway create' or 'gateway export'",
				  .complete = COMPLETE_DIR)),
	.opts = CLI_OPTS(
		OPT_STR(0, "listen", "ADDRESS", struct run_args, listen, "address for devices",
			.fallback = "127.0.0.1"),
		OPT_INT(0, "port", "PORT", struct run_args, port, "port for devices; 0: any", .min = 0, .max = 65535,
			.fallback = "8887"),
		OPT_LIST(0, "policy", "[NAME=]FILE", struct run_args, policies,
			 "default attestation policy, of a device or a type", .complete = COMPLETE_FILE),
		OPT_INT(0, "nonce", "BYTES", struct run_args, nonce, "size of the challenge: 32, 48 or 64", .min = 32,
			.max = 64, .fallback = "32"),
		OPT_STR(0, "suites", "LIST", struct run_args, suites, "TLS suites, in OpenSSL's words"),
		OPT_PATH(0, "state", "DIR", struct run_args, state, "folder of the queue; by default DIR/queue",
			 .complete = COMPLETE_DIR),
		OPT_STR(0, "endpoint", "HOST", struct run_args, endpoint, "another broker than the folder's"),
		OPT_INT(0, "endpoint-port", "PORT", struct run_args, endpoint_port, "its port", .min = 1, .max = 65535),
		OPT_PATH(0, "ca", "FILE", struct run_args, ca, "what that broker's certificate is checked against",
			 .complete = COMPLETE_FILE),
		OPT_INT(0, "devices", "N", struct run_args, devices, "connections at once", .min = 1, .max = 100000,
			.fallback = "10000"),
		TIME("handshake-timeout", handshake_ms, "a handshake must be over by then", "10s"),
		TIME("attestation-timeout", attest_ms, "the token must be there by then", "10s"),
		TIME("message-timeout", message_ms, "a message that has begun must be whole", "10s"),
		TIME("idle-timeout", idle_ms, "a silent device is dropped", "2m"),
		OPT_INT(0, "queue-messages", "N", struct run_args, messages, "kept for one device", .min = 1,
			.max = 10000000, .fallback = "10000"),
		OPT_SIZE(0, "queue-size", "BYTES", struct run_args, bytes, "kept for all", .min = 4096,
			 .max = INT64_C(1) << 40, .fallback = "256M")),
	.examples = CLI_EXAMPLES(
		{"gateway run ./gw-1", "until Ctrl-C"},
		{"gateway run ./gw-1 --listen 0.0.0.0 --policy sensor=sensor.json", "for devices elsewhere"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_SETTINGS),
	.needs = COMMAND_NEEDS_FLEET_LATER,
	CLI_RUN(run, struct run_args),
};

const struct cli_command cmd_gateway = {
	.name = "gateway",
	.summary = "Gateways for devices that are too small for certificates",
	.description =
		"A gateway is a device of the fleet; its children connect to it with a shared secret and show with "
		"an attestation token that they run what they should.",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_add, &cmd_remove, &cmd_children, &cmd_export, &cmd_run),
};
