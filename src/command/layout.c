/* iotctl layout: which topics carry what; and the policy that a layout asks for. */
#include "iotctl/layout.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

struct layout_args {
	const char *name, *type, *device;
	bool update, no_services;
};

static const struct output_column role_columns[] = {
	{.key = "role", .heading = "Role", .width = 8},
	{.key = "topic", .heading = "Topic", .width = 24},
	{.key = "direction", .heading = "Direction"},
	{.key = "qos", .heading = "QoS", .kind = OUTPUT_INT},
	{.key = "retain", .heading = "Retain", .kind = OUTPUT_BOOL},
	{.key = "inbox", .heading = "Inbox", .wide = true},
	{0},
};

/* A name with a slash or an ending is a file; a shipped layout needs no fleet. */
static enum iot_status load(struct cli_context *ctx, const char *name, struct iot_layout **ret, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	bool shipped = false;

	if (strchr(name, '/') != NULL || iot_ends_with(name, ".json"))
		return iot_layout_load_file(name, ret, err);
	for (size_t i = 0; iot_layouts_shipped[i] != NULL; i++)
		shipped = shipped || strcmp(iot_layouts_shipped[i], name) == 0;
	if (!shipped)
		status = command_open_cloud(ctx, err);
	return status == IOT_OK ? iot_layout_load(command_cloud(ctx), name, ret, err) : status;
}

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "name", .heading = "Layout", .width = 12},
		{.key = "origin", .heading = "Origin"},
		{.key = "default", .heading = "Default", .kind = OUTPUT_BOOL},
		{.key = "types", .heading = "Thing types"},
		{.key = "description", .heading = "Description"},
		{.key = "fault", .heading = "Fault", .wide = true},
		{0},
	};
	IOT_JSON records = NULL;
	enum iot_status status = iot_layout_list(command_cloud(ctx), &records, err);

	(void)args;
	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct layout_args *args = args_;
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	enum iot_status status = load(ctx, args->name, &layout, err);

	return status == IOT_OK ? command_print_document(ctx, iot_layout_json(layout), err) : status;
}

static enum iot_status check(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "where", .heading = "Where", .width = 16},
		{.key = "rule", .heading = "Rule"},
		{.key = "message", .heading = "Finding"},
		{.key = "hint", .heading = "What to do", .wide = true},
		{0},
	};
	const struct layout_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	IOT_JSON json = NULL;
	IOT_JSON findings = NULL;
	enum iot_status status = iot_fs_read(args->name, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, args->name, &json, err);
	if (status != IOT_OK)
		return status;
	findings = iot_layout_check(json);
	status = output_array(ctx->out, columns, findings, err);
	if (status == IOT_OK && json_array_size(findings) > 0)
		status =
			iot_fail(err, IOT_VERIFY, "%zu findings in layout '%s'", json_array_size(findings), args->name);
	return status;
}

static enum iot_status add(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {{.key = "name", .heading = "Layout"},
						       {.key = "file", .heading = "File"},
						       {.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
						       {0}};
	const struct layout_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_layout_add(command_cloud(ctx), args->name, args->update, &record, err);

	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static enum iot_status use(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct layout_args *args = args_;

	return iot_layout_use(command_cloud(ctx), args->name, args->type, err);
}

static json_t *role_record(const struct iot_layout *layout, enum iot_role role, const struct iot_topic_names *names)
{
	const struct iot_layout_role *of = iot_layout_role(layout, role, names->type);
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *filter = NULL;
	json_t *record;

	if (of == NULL)
		return NULL;
	record = json_pack("{s:s, s:s, s:i, s:b}", "role", iot_role_name(role), "direction",
			   iot_direction_name(of->direction), "qos", of->qos, "retain", of->retain);
	if (role == IOT_ROLE_PEER)
		iot_json_set_str(record, "topic", of->topic);
	if (iot_layout_filter(layout, role, names, &filter, &ignored) == IOT_OK)
		iot_json_set_str(record, role == IOT_ROLE_PEER ? "inbox" : "topic", filter);
	return record;
}

static enum iot_status topics(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct layout_args *args = args_;
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_CLEAN(iot_free_p) char *type = NULL;
	IOT_JSON records = json_array();
	enum iot_status status = iot_layout_of_device(command_cloud(ctx), args->device, &layout, &thing, &type, err);
	const struct iot_topic_names names = {.thing = thing, .type = type};

	for (unsigned role = 0; status == IOT_OK && role < IOT_ROLE_COUNT; role++) {
		json_t *record = role_record(layout, role, &names);

		if (record != NULL)
			json_array_append_new(records, record);
	}
	return status == IOT_OK ? output_array(ctx->out, role_columns, records, err) : status;
}

/* --- the policy ------------------------------------------------------------------------- */

static enum iot_status generate(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct layout_args *args = args_;
	const struct iot_layout_policy_options options = {.type = args->type, .no_services = args->no_services};
	IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	IOT_JSON document = NULL;
	enum iot_status status;

	if (args->name != NULL) {
		status = load(ctx, args->name, &layout, err);
	} else {
		status = command_open_cloud(ctx, err);
		if (status == IOT_OK)
			status = iot_layout_of_type(command_cloud(ctx), args->type, &layout, err);
	}
	if (status == IOT_OK)
		status = iot_layout_policy(layout, &options, &text, err);
	if (status != IOT_OK || output_get_format(ctx->out) == OUTPUT_TABLE)
		return status == IOT_OK ? output_raw(ctx->out, text.data, text.len, err) : status;
	status = iot_json_parse(text.data, text.len, "policy", &document, err);
	return status == IOT_OK ? output_object(ctx->out, NULL, document, err) : status;
}

/* --- rows --------------------------------------------------------------------------------- */

#define LAYOUT_OR_FILE                                                                                                 \
	ARG_PATH("LAYOUT", struct layout_args, name, "name of a layout, or a file", .complete = COMPLETE_FILE)
#define LAYOUT_FILE                                                                                                    \
	ARG_PATH("FILE", struct layout_args, name, "layout file (JSON), - for standard input",                         \
		 .complete = COMPLETE_FILE)

const struct cli_command cmd_policy_generate = {
	.name = "generate",
	.summary = "Print the least-privilege policy that a layout asks for",
	.description =
		"The device connects under its own name, publishes what it has to say and receives what is said to it, "
		"nothing else. One policy serves every device, since it names them by policy variables. Besides the "
		"layout's topics it allows the device's own jobs, streams and shadows.",
	.opts = CLI_OPTS(
		OPT_PATH(0, "layout", "LAYOUT", struct layout_args, name,
			 "name of a layout, or a file; default: that of the type", .complete = COMPLETE_FILE),
		OPT_STR(0, "type", "TYPE", struct layout_args, type, "for devices of this thing type",
			.complete = COMPLETE_TYPE),
		OPT_FLAG(0, "no-services", struct layout_args, no_services, "without jobs, streams and shadows")),
	.examples = CLI_EXAMPLES({"policy generate --layout aws", "for the default layout"},
				 {"policy generate --layout buses --type depot", "for one thing type"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(generate, struct layout_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List layouts, and which thing types use them",
	.examples = CLI_EXAMPLES({"layout list", "shipped ones and the fleet's own"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Print a layout as its file has it",
	.args = CLI_ARGS(LAYOUT_OR_FILE),
	.examples = CLI_EXAMPLES({"layout show buses", "a start for one of your own"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(show, struct layout_args),
};

static const struct cli_command cmd_check = {
	.name = "check",
	.summary = "Say everything that is wrong with a layout file",
	.description = "Missing roles, placeholders that mean nothing, topics that AWS IoT would refuse, two roles on "
		       "one topic, and loops: topics on which a device would receive what it publishes itself.",
	.args = CLI_ARGS(LAYOUT_FILE),
	.examples = CLI_EXAMPLES({"layout check mine.json", "exit code 11 when anything was found"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	CLI_RUN(check, struct layout_args),
};

static const struct cli_command cmd_add = {
	.name = "add",
	.summary = "Put a layout of your own into the fleet",
	.description = "The file is checked and copied to layouts/NAME.json in the fleet's directory.",
	.args = CLI_ARGS(LAYOUT_FILE),
	.opts = CLI_OPTS(OPT_FLAG(0, "update", struct layout_args, update, "replace the one of the same name")),
	.examples = CLI_EXAMPLES({"layout add mine.json", "then 'layout use' it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(add, struct layout_args),
};

static const struct cli_command cmd_use = {
	.name = "use",
	.summary = "Choose the layout of a thing type, or of all others",
	.description = "Devices are not told: they must use these topics themselves, and their policy must allow it "
		       "('iotctl policy generate').",
	.args = CLI_ARGS(ARG_STR("LAYOUT", struct layout_args, name, "name of a layout")),
	.opts = CLI_OPTS(OPT_STR(0, "type", "TYPE", struct layout_args, type, "for devices of this thing type",
				 .complete = COMPLETE_TYPE)),
	.examples = CLI_EXAMPLES({"layout use gcp --type meter", "for one thing type"},
				 {"layout use aws", "for types that have none of their own"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(use, struct layout_args),
};

static const struct cli_command cmd_topics = {
	.name = "topics",
	.summary = "Show the topics of a device",
	.args = CLI_ARGS(
		ARG_STR("DEVICE", struct layout_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)),
	.examples = CLI_EXAMPLES({"layout topics pump-0001", "by the layout of its type"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(topics, struct layout_args),
};

const struct cli_command cmd_layout = {
	.name = "layout",
	.summary = "Which topics carry configuration, commands, events and state",
	.description =
		"A layout is a JSON file: for each role (config, command, reply, event, state, and peer for what "
		"devices say to one another) a topic template, QoS, retain and direction. 'aws', 'gcp' and 'buses' "
		"are shipped; print one, change it, 'layout check' and 'layout add' it. The schema for editors is "
		"installed as iotctl-layout.json.\n\n"
		"A level of a template may be {thing}, {type}, {peer} (another device), {token} (of a reply) or, "
		"last, {subfolder}. A thing type may have its own layout, and a layout may say something else for one "
		"type.",
	.subcommands = CLI_COMMANDS(&cmd_list, &cmd_show, &cmd_check, &cmd_add, &cmd_use, &cmd_topics),
};
