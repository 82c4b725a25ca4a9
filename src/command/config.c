/* iotctl config: what devices are told to be like, version by version. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/configuration.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

struct config_args {
	const char *device, *file, *group, *type, *from;
	struct cli_list devices, to;
	int64_t version, from_version;
	bool pending;
};

static enum iot_status read_json(const char *path, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_CONFIG_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, strcmp(path, "-") == 0 ? "standard input" : path,
					ret, err);
	return status;
}

/* --- set, rollback ------------------------------------------------------------------------------- */

static const struct output_column set_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "version", .heading = "Version", .kind = OUTPUT_INT},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status document_of(void *data, json_t **ret, struct iot_error *err)
{
	return read_json(data, ret, err);
}

static enum iot_status check_targets(const struct config_args *args, struct iot_error *err)
{
	if (args->to.count > 0 || args->group != NULL || args->from != NULL)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "nobody is named who should get it");
	iot_error_hint(err, "give --to DEVICE, --group GROUP or --from FILE");
	return IOT_USAGE;
}

static enum iot_status set(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct config_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(COMMAND_NAMES_MAX);
	IOT_CLEAN(iot_free_p) char *path = iot_strdup(args->file);
	IOT_CLEAN(iot_free_p) const char **names = NULL;
	size_t count = 0;
	struct iot_config_set spec = {
		.group = args->group,
		.if_version = cli_given(ctx, "if-version") ? args->version : -1,
		.document = document_of,
		.data = path,
	};
	IOT_JSON records = NULL;
	enum iot_status status = check_targets(args, err);

	if (status == IOT_OK && args->from != NULL)
		status = command_read_names(args->from, &text, &names, &count, err);
	if (status != IOT_OK)
		return status;
	names = iot_realloc(names, (count + args->to.count + 1) * sizeof(*names));
	for (size_t i = 0; i < args->to.count; i++)
		names[count++] = args->to.items[i];
	names[count] = NULL;
	spec.devices = names;
	status = iot_config_set(command_cloud(ctx), &spec, &records, err);
	if (status == IOT_OK)
		command_warn_unserved(ctx);
	return status == IOT_OK ? output_array(ctx->out, set_columns, records, err) : status;
}

static enum iot_status rollback(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct config_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_config_rollback(command_cloud(ctx), args->device, args->version, &record, err);

	if (status == IOT_OK)
		command_warn_unserved(ctx);
	return status == IOT_OK ? output_object(ctx->out, set_columns, record, err) : status;
}

/* --- get, list, history, diff ------------------------------------------------------------------------ */

static enum iot_status get(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct config_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_config_get(command_cloud(ctx), args->device, args->version, &record, err);

	return status == IOT_OK ? command_print_document(ctx, json_object_get(record, "document"), err) : status;
}

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct cli_context *)data)->out, record, err);
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Device", .width = 16},
		{.key = "version", .heading = "Version", .kind = OUTPUT_INT},
		{.key = "acknowledgedVersion", .heading = "Acknowledged", .kind = OUTPUT_INT},
		{.key = "acknowledgedAt", .heading = "Since", .kind = OUTPUT_TIME},
		{.key = "thingTypeName", .heading = "Thing type", .wide = true},
		{.key = "author", .heading = "Author", .wide = true},
		{.key = "createdAt", .heading = "Set", .kind = OUTPUT_TIME, .wide = true},
		{0},
	};
	const struct config_args *args = args_;
	const struct iot_config_filter filter = {command_list(&args->devices), args->group, args->type, args->pending};
	enum iot_status status;

	if (args->devices.count > 0 && args->group != NULL)
		return iot_fail(err, IOT_USAGE, "devices and --group exclude one another");
	status = output_begin_list(ctx->out, columns, err);
	if (status == IOT_OK)
		status = iot_config_list(command_cloud(ctx), &filter, print_row, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static enum iot_status history(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "version", .heading = "Version", .kind = OUTPUT_INT},
		{.key = "createdAt", .heading = "Set", .kind = OUTPUT_TIME, .width = 20},
		{.key = "author", .heading = "Author", .width = 12},
		{.key = "acknowledgedAt", .heading = "Acknowledged", .kind = OUTPUT_TIME, .width = 20},
		{.key = "document", .heading = "Document", .wide = true},
		{0},
	};
	const struct config_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status = iot_config_history(command_cloud(ctx), args->device, &records, err);

	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

static enum iot_status diff(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "path", .heading = "Member", .width = 16},
		{.key = "change", .heading = "Change", .width = 8},
		{.key = "from", .heading = "From", .width = 8},
		{.key = "to", .heading = "To"},
		{0},
	};
	const struct config_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status =
		iot_config_diff(command_cloud(ctx), args->device, args->from_version, args->version, &records, err);

	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

/* --- schemas --------------------------------------------------------------------------------------------- */

static enum iot_status schema_set(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct config_args *args = args_;
	IOT_JSON schema = NULL;
	enum iot_status status = read_json(args->file, &schema, err);

	return status == IOT_OK ? iot_config_schema_set(command_cloud(ctx), args->type, schema, err) : status;
}

static enum iot_status schema_show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct config_args *args = args_;
	IOT_JSON schema = NULL;
	enum iot_status status = iot_config_schema_get(command_cloud(ctx), args->type, &schema, err);

	return status == IOT_OK ? command_print_document(ctx, schema, err) : status;
}

/* --- rows ------------------------------------------------------------------------------------------------ */

#define ONE_DEVICE ARG_STR("DEVICE", struct config_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)
#define ONE_TYPE ARG_STR("TYPE", struct config_args, type, "thing type", .complete = COMPLETE_TYPE)

static const struct cli_command cmd_config_set = {
	.name = "set",
	.summary = "Give devices a configuration",
	.description =
		"It becomes a new version of each device's configuration, for all of them or for none. A device that "
		"is connected hears of it at once, another one when it returns, and each again whenever it returns "
		"until it has acknowledged it. The layout of its type says how: in the default one the configuration "
		"is what the named shadow 'config' desires; in others it is a message. The version is in it as a "
		"member 'configVersion', or as the layout calls it, and comes back in what the device reports.\n\n"
		"If the version changes after the command was started, because somebody else sets one too, it ends "
		"with exit code 4 and changes nothing.",
	.args = CLI_ARGS(ARG_PATH("FILE", struct config_args, file, "a JSON object; - is standard input",
				  .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(OPT_LIST('t', "to", "DEVICE", struct config_args, to, "thing name or alias; may be repeated",
				  .complete = COMPLETE_DEVICE),
			 OPT_STR('g', "group", "GROUP", struct config_args, group, "all devices of a group",
				 .complete = COMPLETE_GROUP),
			 OPT_PATH(0, "from", "FILE", struct config_args, from, "devices, one name per line",
				  .complete = COMPLETE_FILE),
			 OPT_INT(0, "if-version", "N", struct config_args, version,
				 "only if that is the version now; 0: if there is none")),
	.examples = CLI_EXAMPLES({"config set pump.json --to pump-0001", "one device"},
				 {"config set pump.json --group beta", "all devices of a group"},
				 {"config set pump.json --to pump-0001 --if-version 3", "unless somebody was faster"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(set, struct config_args),
};

static const struct cli_command cmd_config_get = {
	.name = "get",
	.summary = "Print the configuration of a device",
	.description = "What it should have; 'config list' shows whether it has it.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(OPT_INT(0, "version", "N", struct config_args, version, "that version, not the newest",
				 .min = 1, .max = 1000000000)),
	.examples = CLI_EXAMPLES({"config get pump-0001", "the newest version"},
				 {"config get pump-0001 --version 2", "an earlier one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(get, struct config_args),
};

static const struct cli_command cmd_config_list = {
	.name = "list",
	.summary = "Which version devices should have, and which they have",
	.description = "Devices without a configuration are left out.",
	.args = CLI_ARGS(ARG_LIST("DEVICE", struct config_args, devices, "thing name or alias; all if none is given",
				  .optional = true, .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(OPT_STR('g', "group", "GROUP", struct config_args, group, "devices of a group",
				 .complete = COMPLETE_GROUP),
			 OPT_STR('T', "type", "TYPE", struct config_args, type, "devices of a thing type",
				 .complete = COMPLETE_TYPE),
			 OPT_FLAG(0, "pending", struct config_args, pending,
				  "only those that have not acknowledged the newest one")),
	.examples = CLI_EXAMPLES({"config list --group beta --pending", "who has not got it yet"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct config_args),
};

static const struct cli_command cmd_config_history = {
	.name = "history",
	.summary = "List all versions of a device's configuration",
	.description = "With -o json the documents are shown too.",
	.args = CLI_ARGS(ONE_DEVICE),
	.examples = CLI_EXAMPLES({"config history pump-0001", "who set which version, and when"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(history, struct config_args),
};

static const struct cli_command cmd_config_diff = {
	.name = "diff",
	.summary = "Compare two versions of a device's configuration",
	.description =
		"Members are named by JSON pointers. Without options the newest version is compared with the one "
		"before it. Lists are compared as a whole.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(
		OPT_INT(0, "from", "N", struct config_args, from_version, "the old version", .min = 1,
			.max = 1000000000),
		OPT_INT(0, "to", "N", struct config_args, version, "the new version", .min = 1, .max = 1000000000)),
	.examples = CLI_EXAMPLES({"config diff pump-0001", "what was changed last"},
				 {"config diff pump-0001 --from 1 --to 3", "between two versions"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(diff, struct config_args),
};

static const struct cli_command cmd_config_rollback = {
	.name = "rollback",
	.summary = "Give a device an earlier version of its configuration again",
	.description = "Its document becomes a new version: version numbers only grow.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(OPT_INT(0, "to", "N", struct config_args, version,
				 "that version, not the one before the newest", .min = 1, .max = 1000000000)),
	.examples = CLI_EXAMPLES({"config rollback pump-0001", "undo the last change"},
				 {"config rollback pump-0001 --to 1", "as it was at first"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(rollback, struct config_args),
};

static const struct cli_command cmd_config_schema_set = {
	.name = "set",
	.summary = "Check configurations of a thing type with a schema",
	.description =
		"A part of JSON Schema is known: type (one name), properties, required, additionalProperties (true or "
		"false), enum, minimum, maximum, items (one schema) and maxLength. A schema that says anything else is "
		"refused, since that would not be checked. What devices have already is not looked at again.",
	.args = CLI_ARGS(ONE_TYPE, ARG_PATH("FILE", struct config_args, file, "the schema; - is standard input",
					    .complete = COMPLETE_FILE)),
	.examples = CLI_EXAMPLES({"config schema set pump pump.schema.json", "for pumps"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(schema_set, struct config_args),
};

static const struct cli_command cmd_config_schema_show = {
	.name = "show",
	.summary = "Print the schema of a thing type",
	.args = CLI_ARGS(ONE_TYPE),
	.examples = CLI_EXAMPLES({"config schema show pump", "what a configuration of a pump may be"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(schema_show, struct config_args),
};

static const struct cli_command cmd_config_schema = {
	.name = "schema",
	.summary = "What configurations of a thing type may be",
	.subcommands = CLI_COMMANDS(&cmd_config_schema_set, &cmd_config_schema_show),
};

const struct cli_command cmd_config = {
	.name = "config",
	.summary = "Configurations of devices, by version",
	.subcommands = CLI_COMMANDS(&cmd_config_set, &cmd_config_get, &cmd_config_list, &cmd_config_history,
				    &cmd_config_diff, &cmd_config_rollback, &cmd_config_schema),
};
