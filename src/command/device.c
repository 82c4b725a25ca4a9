/* iotctl device: create, list, show, update, delete, enable, disable; claims are in claim.c, rotate in rotate.c. */
#include "command/batch.h"
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/log.h"

#include <string.h>

struct create_args {
	const char *name, *alias, *type, *csr, *out;
	struct batch_args batch;
	struct cli_list policies, groups, attributes;
	int64_t days;
	int issuer;
	bool update;
};

static const struct output_column create_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "certificateId", .heading = "Certificate"},
	{.key = "out", .heading = "Folder"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static struct iot_device_spec spec_of(const struct create_args *args)
{
	return (struct iot_device_spec){
		.name = args->name,
		.alias = args->alias,
		.type = args->type,
		.policies = command_list(&args->policies),
		.groups = command_list(&args->groups),
		.attributes = command_list(&args->attributes),
		.csr = args->csr,
		.out = args->out,
		.days = (int)args->days,
		.update = args->update,
	};
}

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	struct cli_context *ctx = data;

	if (cli_interrupted(ctx))
		return iot_fail(err, IOT_INTERRUPTED, "interrupted");
	return output_row(ctx->out, record, err);
}

static enum iot_status check_columns(const struct create_args *args, struct iot_error *err)
{
	if (args->batch.from != NULL && (args->alias != NULL || args->csr != NULL))
		return iot_fail(err, IOT_USAGE, "with --from alias and csr are columns of the file");
	return IOT_OK;
}

static bool asks_for_type(struct cli_context *ctx, const char *policy)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	return command_call(ctx, "GetPolicy", json_pack("{s:s}", "policyName", policy), &reply, &ignored) == IOT_OK &&
	       strstr(iot_json_str(reply, "policyDocument", ""), "${iot:Connection.Thing.ThingTypeName}") != NULL;
}

/* What names a type matches nothing for a device without one: it would be refused later, and nobody would say why. */
static void warn_untyped(struct cli_context *ctx, const struct create_args *args, const json_t *record)
{
	const char *thing = iot_json_str(record, "thingName", "");
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	if (args->type != NULL || args->policies.count == 0 ||
	    command_call(ctx, "DescribeThing", json_pack("{s:s}", "thingName", thing), &reply, &ignored) != IOT_OK ||
	    json_object_get(reply, "thingTypeName") != NULL)
		return;
	for (size_t i = 0; i < args->policies.count; i++) {
		if (!asks_for_type(ctx, args->policies.items[i]))
			continue;
		iot_warn("device '%s' has no type, and policy '%s' names topics by type: it may not use its own; "
			 "repeat this with --type TYPE --update",
			 thing, args->policies.items[i]);
		return;
	}
}

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct create_args *args = args_;
	struct iot_device_spec spec = spec_of(args);
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *issuer = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = command_batch_check(&args->batch, args->name, err);

	if (status == IOT_OK)
		status = check_columns(args, err);
	if (status == IOT_OK && (args->out != NULL || args->batch.from != NULL) && args->issuer != ISSUER_AWS)
		status = command_issuer(ctx, args->issuer == ISSUER_FLEET, &issuer, err);
	spec.issuer = issuer;
	if (status == IOT_OK && args->batch.from != NULL)
		return command_batch(ctx, &args->batch, IOT_BATCH_CREATE, &spec, args->out, err);
	if (status == IOT_OK)
		status = iot_device_create(command_cloud(ctx), &spec, &record, err);

	if (status == IOT_OK && args->out != NULL && args->policies.count == 0)
		iot_warn("no policy was given: the device can connect to nothing until one is attached");
	if (status == IOT_OK)
		warn_untyped(ctx, args, record);
	return status == IOT_OK ? output_object(ctx->out, create_columns, record, err) : status;
}

#define SPEC_OPTIONS                                                                                                      \
	OPT_STR(0, "alias", "ALIAS", struct create_args, alias, "second name, unique in the fleet"),                      \
		OPT_STR('t', "type", "TYPE", struct create_args, type, "thing type; made when it is new",                 \
			.complete = COMPLETE_TYPE),                                                                       \
		OPT_LIST('g', "group", "GROUP", struct create_args, groups, "join this group; may be repeated",           \
			 .complete = COMPLETE_GROUP),                                                                     \
		OPT_LIST('a', "attribute", "NAME=VALUE", struct create_args, attributes, "attribute; may be repeated")

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Ensure a device: thing, key, certificate, policy",
	.description =
		"Makes what is missing and leaves the rest: the same command again changes nothing, and one that was "
		"interrupted is finished by itself. With --out the device gets a folder with its private key (mode "
		"0600, on disk before a certificate is made for it), certificate, CA, code-signing public key and "
		"device.json. With --csr the key stays where it was made, and only the certificate is written.\n\n"
		"With --from the devices stand in a CSV file whose first line names its columns: name, and any of alias, "
		"type, policy, group, attribute, csr, out; several values in a cell are separated by ';', and options "
		"hold for what a row does not say. With --out every device gets a folder of its name in there. There is "
		"a result for each row, exit code 6 if some failed, and with --resume a journal: the same call again "
		"goes on, and tries those that failed again with --retry-failed. Where the fleet is not on this machine "
		"many rows are under way at once, as fast as the setting aws-rates allows, and their results come in the "
		"order in which they end.",
	.args = CLI_ARGS(ARG_STR("NAME", struct create_args, name, "thing name", .optional = true)),
	.opts = CLI_OPTS(SPEC_OPTIONS,
			 OPT_LIST('p', "policy", "POLICY", struct create_args, policies,
				  "attach this policy to its certificate; may be repeated", .complete = COMPLETE_POLICY),
			 OPT_PATH(0, "out", "DIR", struct create_args, out, "folder for key and certificate",
				  .complete = COMPLETE_DIR),
			 OPT_PATH(0, "csr", "FILE", struct create_args, csr, "certificate request made on the board",
				  .complete = COMPLETE_FILE),
			 OPT_INT(0, "days", "N", struct create_args, days, "validity of the certificate", .min = 1,
				 .max = 36500),
			 OPT_ISSUER(struct create_args, issuer),
			 BATCH_OPTIONS(struct create_args, batch, "make what this CSV file lists"),
			 OPT_FLAG(0, "update", struct create_args, update, "change a device that exists with another spec")),
	.examples = CLI_EXAMPLES({"device create pump-0001 --type pump --policy device --out ./pump-0001",
				  "a device with its own key and certificate"},
				 {"device create pump-0002 --policy device --csr pump.csr --out ./pump-0002",
				  "the key was made on the board"},
				 {"device create --from pumps.csv --out ./pumps --resume pumps.journal -o jsonl",
				  "many, one result a line"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY, BATCH_EXITS),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct create_args),
};

static enum iot_status update(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct create_args *args = args_;
	struct iot_device_spec spec = spec_of(args);
	IOT_JSON record = NULL;
	enum iot_status status = command_batch_check(&args->batch, args->name, err);

	if (status == IOT_OK)
		status = check_columns(args, err);
	if (status == IOT_OK && args->batch.from != NULL)
		return command_batch(ctx, &args->batch, IOT_BATCH_UPDATE, &spec, NULL, err);
	if (status == IOT_OK)
		status = iot_device_update(command_cloud(ctx), &spec, &record, err);
	return status == IOT_OK ? output_object(ctx->out, create_columns, record, err) : status;
}

static const struct cli_command cmd_update = {
	.name = "update",
	.summary = "Change a device's type, alias, attributes, groups",
	.description = "With --from, the same for many: a CSV file with the column name, and any of alias, type, group, "
		       "attribute; --resume, the results and the exit codes are as of 'device create'.",
	.args = CLI_ARGS(ARG_STR("DEVICE", struct create_args, name, "thing name or alias", .optional = true,
				 .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(SPEC_OPTIONS, BATCH_OPTIONS(struct create_args, batch, "update what this CSV file lists")),
	.examples = CLI_EXAMPLES({"device update pump-0001 --alias north --attribute site=7", "alias and attribute"},
				 {"device update --from pumps.csv --attribute site=7 --resume pumps.journal", "many"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, BATCH_EXITS),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(update, struct create_args),
};

/* --- list and show -------------------------------------------------------------------- */

struct list_args {
	const char *type, *group, *attribute;
	int64_t limit;
};

static const struct output_column list_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "alias", .heading = "Alias", .width = 10},
	{.key = "thingTypeName", .heading = "Type", .width = 10},
	{.key = "attributes", .heading = "Attributes"},
	{.key = "thingArn", .heading = "ARN", .wide = true},
	{0},
};

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct list_args *args = args_;
	const struct iot_device_filter filter = {args->type, args->group, args->attribute, args->limit};
	enum iot_status status = output_begin_list(ctx->out, list_columns, err);

	if (status == IOT_OK)
		status = iot_device_list(command_cloud(ctx), &filter, print_row, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List devices",
	.opts = CLI_OPTS(
		OPT_STR('t', "type", "TYPE", struct list_args, type, "only of this type", .complete = COMPLETE_TYPE),
		OPT_STR('g', "group", "GROUP", struct list_args, group, "only in this group or below it",
			.complete = COMPLETE_GROUP),
		OPT_STR('a', "attribute", "NAME=VALUE", struct list_args, attribute, "only with this attribute"),
		OPT_INT(0, "limit", "N", struct list_args, limit, "stop after so many", .min = 1, .max = INT64_MAX)),
	.examples = CLI_EXAMPLES({"device list --type pump -o jsonl", "all pumps, one JSON object a line"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct list_args),
};

struct one_args {
	const char *device;
	struct batch_args batch; /* of retire */
	bool yes, dry_run;
};

static const struct output_column show_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "alias", .heading = "Alias"},
	{.key = "thingTypeName", .heading = "Type"},
	{.key = "attributes", .heading = "Attributes"},
	{.key = "groups", .heading = "Groups"},
	{.key = "connected", .heading = "Connected", .kind = OUTPUT_BOOL},
	{.key = "connectionChangedAt", .heading = "Since"},
	{.key = "disconnectReason", .heading = "Disconnected by"},
	{.key = "firmware", .heading = "Firmware"},
	{.key = "reportedAt", .heading = "Reported at"},
	{.key = "certificates.0.certificateId", .heading = "Certificate"},
	{.key = "certificates.0.status", .heading = "Certificate status"},
	{.key = "certificates.0.policies", .heading = "Policies"},
	{.key = "certificates.0.notAfter", .heading = "Valid until"},
	{.key = "jobs", .heading = "Pending jobs"},
	{0},
};

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct one_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_device_show(command_cloud(ctx), args->device, &record, err);

	return status == IOT_OK ? output_object(ctx->out, show_columns, record, err) : status;
}

#define ONE_DEVICE CLI_ARGS(ARG_STR("DEVICE", struct one_args, device, "thing name or alias", .complete = COMPLETE_DEVICE))

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show all that is known of a device",
	.description = "The table shows the first certificate; -o json has them all.",
	.args = ONE_DEVICE,
	.examples = CLI_EXAMPLES({"device show pump-0001", "registry, certificate, connection, firmware"},
				 {"device show pump-0001 --query .firmware", "just its firmware version"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct one_args),
};

/* --- enable, disable, delete ------------------------------------------------------------ */

static const struct output_column enable_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "certificates.0.certificateId", .heading = "Certificate"},
	{.key = "certificates.0.status", .heading = "Status"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status set_enabled(struct cli_context *ctx, const struct one_args *args, bool on, struct iot_error *err)
{
	IOT_JSON record = NULL;
	enum iot_status status = iot_device_enable(command_cloud(ctx), args->device, on, &record, err);

	return status == IOT_OK ? output_object(ctx->out, enable_columns, record, err) : status;
}

static enum iot_status enable(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return set_enabled(ctx, args, true, err);
}

static enum iot_status disable(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return set_enabled(ctx, args, false, err);
}

static const struct cli_command cmd_enable = {
	.name = "enable",
	.summary = "Let a device connect again",
	.args = ONE_DEVICE,
	.examples = CLI_EXAMPLES({"device enable pump-0001", "its certificates become ACTIVE"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(enable, struct one_args),
};

static const struct cli_command cmd_disable = {
	.name = "disable",
	.summary = "Keep a device out; a live connection ends within a second",
	.args = ONE_DEVICE,
	.examples = CLI_EXAMPLES({"device disable pump-0001", "its certificates become INACTIVE"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(disable, struct one_args),
};

static const struct output_column delete_columns[] = {
	{.key = "thingName", .heading = "Device"},
	{.key = "certificates", .heading = "Certificates deleted", .kind = OUTPUT_INT},
	{0},
};

static enum iot_status delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct one_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = IOT_OK;

	if (!args->yes)
		status = cli_confirm(ctx, "--yes", err, "delete device '%s' and its certificates?", args->device);
	if (status == IOT_OK)
		status = iot_device_delete(command_cloud(ctx), args->device, &record, err);
	return status == IOT_OK ? output_object(ctx->out, delete_columns, record, err) : status;
}

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Delete a device with its certificates",
	.description = "Switches its certificates off, detaches and deletes them, and deletes the thing: all of it or, when "
		       "the call is interrupted, nothing. Files in the device's folder are left alone.",
	.args = ONE_DEVICE,
	.opts = CLI_OPTS(OPT_FLAG('y', "yes", struct one_args, yes, "do not ask")),
	.examples = CLI_EXAMPLES({"device delete pump-0001 --yes", "without asking"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_ABORTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete, struct one_args),
};

/* The table of a dry run: one line for each call. */
static enum iot_status print_calls(struct cli_context *ctx, const json_t *record, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "operation", .heading = "Operation", .width = 24}, {.key = "request", .heading = "Request"}, {0}};

	return output_array(ctx->out, columns, json_object_get(record, "calls"), err);
}

static enum iot_status retire(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct one_args *args = args_;
	const struct iot_device_spec none = {0};
	IOT_JSON record = NULL;
	const char *what = args->batch.from != NULL ? "all devices in" : "device";
	enum iot_status status = command_batch_check(&args->batch, args->device, err);

	if (status == IOT_OK && args->batch.from != NULL && args->dry_run)
		status = iot_fail(err, IOT_USAGE, "--dry-run is for one device");
	if (status == IOT_OK && !args->yes && !args->dry_run)
		status = cli_confirm(ctx, "--yes", err, "retire %s '%s' for good?", what,
				     args->batch.from != NULL ? args->batch.from : args->device);
	if (status == IOT_OK && args->batch.from != NULL)
		return command_batch(ctx, &args->batch, IOT_BATCH_RETIRE, &none, NULL, err);
	if (status == IOT_OK)
		status = iot_device_retire(command_cloud(ctx), args->device, args->dry_run, &record, err);
	if (status != IOT_OK)
		return status;
	return args->dry_run ? print_calls(ctx, record, err) : output_object(ctx->out, delete_columns, record, err);
}

static const struct cli_command cmd_retire = {
	.name = "retire",
	.summary = "Delete a device with all that speaks for it or of it",
	.description = "As 'device delete', and its shadows too, which at AWS outlive a thing. --dry-run lists every call that "
		       "would be made. A call that was interrupted is finished by the same call; where the service does "
		       "not know at once that something was detached, that is waited for. With --from, all that stand in the "
		       "column name of a CSV file; --resume, the results and the exit codes are as of 'device create'.",
	.args = CLI_ARGS(ARG_STR("DEVICE", struct one_args, device, "thing name or alias", .optional = true,
				 .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(OPT_FLAG('y', "yes", struct one_args, yes, "do not ask"),
			 OPT_FLAG('n', "dry-run", struct one_args, dry_run, "only list the calls"),
			 BATCH_OPTIONS(struct one_args, batch, "retire what this CSV file lists")),
	.examples = CLI_EXAMPLES({"device retire pump-0001 --dry-run", "which calls that takes"},
				 {"device retire pump-0001 --yes", "without asking"},
				 {"device retire --from old.csv --yes --resume old.journal", "many"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, BATCH_EXITS),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(retire, struct one_args),
};

const struct cli_command cmd_device = {
	.name = "device",
	.group = "registry",
	.summary = "Devices: things with their keys, certificates, rights",
	.description = "A device is a thing of AWS IoT with the certificates attached to it. Wherever a device is named, its "
		       "alias does as well.",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_list, &cmd_show, &cmd_update, &cmd_delete, &cmd_enable, &cmd_disable,
				    &cmd_retire, &cmd_device_rotate, &cmd_device_trust, &cmd_device_claim, &cmd_device_claims, &cmd_device_unclaim),
};
