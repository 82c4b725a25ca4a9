/* iotctl device rotate: a new key and certificate beside the old ones, and the end of the old ones. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"

struct rotate_args {
	const char *device, *out, *csr;
	int64_t days, timeout;
	bool finish, force;
};

static const struct output_column begin_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "certificateId", .heading = "New certificate"},
	{.key = "out", .heading = "Folder"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static const struct output_column finish_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "certificateId", .heading = "Certificate"},
	{.key = "deleted", .heading = "Old ones deleted", .kind = OUTPUT_INT},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status finish(struct cli_context *ctx, const struct rotate_args *args, json_t **ret_record,
			      struct iot_error *err)
{
	struct iot_rotate_finish spec = {
		.device = args->device, .force = args->force, .timeout_ms = (int)args->timeout};
	struct iot_messaging_where watch = {0};
	bool watched = false;
	enum iot_status status = args->force ? IOT_OK : command_watcher(ctx, &watch, &watched, err);

	spec.watch = watched ? &watch : NULL;
	return status == IOT_OK ? iot_device_rotate_finish(command_cloud(ctx), &spec, ret_record, err) : status;
}

static enum iot_status rotate(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct rotate_args *args = args_;
	const struct iot_rotate_spec spec = {args->device, args->out, args->csr, (int)args->days};
	IOT_JSON record = NULL;
	enum iot_status status;

	if (args->finish == (args->out != NULL)) {
		iot_fail(err, IOT_USAGE, "a rotation begins with --out DIR and ends with --finish");
		iot_error_hint(err, "give one of the two");
		return IOT_USAGE;
	}
	if (args->finish)
		status = finish(ctx, args, &record, err);
	else
		status = iot_device_rotate(command_cloud(ctx), &spec, &record, err);
	if (status != IOT_OK)
		return status;
	return output_object(ctx->out, args->finish ? finish_columns : begin_columns, record, err);
}

const struct cli_command cmd_device_rotate = {
	.name = "rotate",
	.summary = "Renew a device's key and certificate",
	.description = "With --out the device gets a second certificate, with the policies of those it has, in a "
		       "folder of its own; both let it in. When it has connected with the new one, --finish deletes "
		       "the old ones.\n\n"
		       "At AWS --finish ends the device's connection and hears with an operator's certificate what it "
		       "comes back with; without one there is only --force.",
	.args = CLI_ARGS(
		ARG_STR("DEVICE", struct rotate_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(OPT_PATH(0, "out", "DIR", struct rotate_args, out, "new folder for key and certificate",
				  .complete = COMPLETE_DIR),
			 OPT_PATH(0, "csr", "FILE", struct rotate_args, csr, "certificate request made on the board",
				  .complete = COMPLETE_FILE),
			 OPT_INT(0, "days", "N", struct rotate_args, days, "validity of the certificate", .min = 1,
				 .max = 36500),
			 OPT_DURATION(0, "timeout", "TIME", struct rotate_args, timeout,
				      "with --finish at AWS: how long the device may take to come back", .min = 1000,
				      .max = 3600000, .fallback = "60s"),
			 OPT_FLAG(0, "finish", struct rotate_args, finish, "delete the old certificates"),
			 OPT_FLAG(0, "force", struct rotate_args, force,
				  "with --finish: although the device was not seen with the new one")),
	.examples = CLI_EXAMPLES({"device rotate pump-0001 --out ./pump-0001.new", "begin"},
				 {"device rotate pump-0001 --finish", "the device connects with the new one: end"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(rotate, struct rotate_args),
};
