/* iotctl type, iotctl group: what devices are sorted by. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"

/* --- types ---------------------------------------------------------------------------------- */

struct type_args {
	const char *name, *description;
	bool undo;
};

static const struct output_column type_columns[] = {
	{.key = "thingTypeName", .heading = "Type", .width = 12},
	{.key = "thingTypeProperties.thingTypeDescription", .heading = "Description"},
	{.key = "thingTypeMetadata.deprecated", .heading = "Deprecated", .kind = OUTPUT_BOOL},
	{.key = "thingTypeMetadata.creationDate", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "thingTypeArn", .heading = "ARN", .wide = true},
	{0},
};

#define ONE_TYPE                                                                                                        \
	CLI_ARGS(ARG_STR("TYPE", struct type_args, name, "name of the thing type", .complete = COMPLETE_TYPE))

static enum iot_status type_create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct type_args *args = args_;
	json_t *request = json_pack("{s:s}", "thingTypeName", args->name);

	if (args->description != NULL)
		json_object_set_new(request, "thingTypeProperties",
				    json_pack("{s:s}", "thingTypeDescription", args->description));
	return command_print_call(ctx, "CreateThingType", request, type_columns, err);
}

static enum iot_status type_list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)args;
	return command_print_list(ctx, "ListThingTypes", NULL, "thingTypes", type_columns, err);
}

static enum iot_status type_show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct type_args *args = args_;

	return command_print_call(ctx, "DescribeThingType", json_pack("{s:s}", "thingTypeName", args->name), type_columns,
				  err);
}

static enum iot_status type_deprecate(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct type_args *args = args_;

	return command_call(ctx, "DeprecateThingType",
			    json_pack("{s:s, s:b}", "thingTypeName", args->name, "undoDeprecate", args->undo), NULL, err);
}

static enum iot_status type_delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct type_args *args = args_;

	return command_call(ctx, "DeleteThingType", json_pack("{s:s}", "thingTypeName", args->name), NULL, err);
}

static const struct cli_command cmd_type_create = {
	.name = "create",
	.summary = "Make a thing type",
	.args = ONE_TYPE,
	.opts = CLI_OPTS(OPT_STR(0, "description", "TEXT", struct type_args, description, "what it is")),
	.examples = CLI_EXAMPLES({"type create pump --description 'water pumps'", "a type for pumps"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(type_create, struct type_args),
};

static const struct cli_command cmd_type_list = {
	.name = "list",
	.summary = "List thing types",
	.examples = CLI_EXAMPLES({"type list", "all of them"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(type_list),
};

static const struct cli_command cmd_type_show = {
	.name = "show",
	.summary = "Show a thing type",
	.args = ONE_TYPE,
	.examples = CLI_EXAMPLES({"type show pump", "its description and state"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(type_show, struct type_args),
};

static const struct cli_command cmd_type_deprecate = {
	.name = "deprecate",
	.summary = "Let no new device have this type",
	.args = ONE_TYPE,
	.opts = CLI_OPTS(OPT_FLAG(0, "undo", struct type_args, undo, "allow it again")),
	.examples = CLI_EXAMPLES({"type deprecate pump", "before it is deleted"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(type_deprecate, struct type_args),
};

static const struct cli_command cmd_type_delete = {
	.name = "delete",
	.summary = "Delete a deprecated thing type that no device has",
	.args = ONE_TYPE,
	.examples = CLI_EXAMPLES({"type delete pump", "after it was deprecated"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(type_delete, struct type_args),
};

const struct cli_command cmd_type = {
	.name = "type",
	.summary = "Thing types",
	.subcommands = CLI_COMMANDS(&cmd_type_create, &cmd_type_list, &cmd_type_show, &cmd_type_deprecate, &cmd_type_delete),
};

/* --- groups ---------------------------------------------------------------------------------- */

struct group_args {
	const char *group, *parent, *description, *dynamic;
	struct cli_list devices;
	bool direct;
};

static const struct output_column group_columns[] = {
	{.key = "groupName", .heading = "Group", .width = 16},
	{.key = "groupArn", .heading = "ARN"},
	{0},
};

static const struct output_column group_show_columns[] = {
	{.key = "thingGroupName", .heading = "Group"},
	{.key = "thingGroupProperties.thingGroupDescription", .heading = "Description"},
	{.key = "thingGroupMetadata.parentGroupName", .heading = "Parent"},
	{.key = "queryString", .heading = "Query"},
	{.key = "version", .heading = "Version", .kind = OUTPUT_INT},
	{.key = "thingGroupMetadata.creationDate", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "thingGroupArn", .heading = "ARN"},
	{0},
};

#define ONE_GROUP ARG_STR("GROUP", struct group_args, group, "name of the group", .complete = COMPLETE_GROUP)
#define SOME_DEVICES ARG_LIST("DEVICE", struct group_args, devices, "thing name or alias", .complete = COMPLETE_DEVICE)

static enum iot_status group_create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct group_args *args = args_;
	json_t *request = json_pack("{s:s}", "thingGroupName", args->group);

	iot_json_set_str(request, "parentGroupName", args->parent);
	iot_json_set_str(request, "queryString", args->dynamic);
	if (args->description != NULL)
		json_object_set_new(request, "thingGroupProperties",
				    json_pack("{s:s}", "thingGroupDescription", args->description));
	if (args->dynamic != NULL)
		return command_print_call(ctx, "CreateDynamicThingGroup", request, group_show_columns, err);
	return command_print_call(ctx, "CreateThingGroup", request, group_show_columns, err);
}

static enum iot_status group_list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct group_args *args = args_;
	json_t *request = json_object();

	iot_json_set_str(request, "parentGroup", args->parent);
	return command_print_list(ctx, "ListThingGroups", request, "thingGroups", group_columns, err);
}

static enum iot_status group_show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct group_args *args = args_;

	return command_print_call(ctx, "DescribeThingGroup", json_pack("{s:s}", "thingGroupName", args->group),
				  group_show_columns, err);
}

static enum iot_status group_members(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {{.key = "thingName", .heading = "Device"}, {0}};
	const struct group_args *args = args_;

	return command_print_list(ctx, "ListThingsInThingGroup",
				  json_pack("{s:s, s:b}", "thingGroupName", args->group, "recursive", !args->direct), "things",
				  columns, err);
}

static enum iot_status change_members(struct cli_context *ctx, const struct group_args *args, const char *operation,
				      struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < args->devices.count; i++) {
		IOT_CLEAN(iot_free_p) char *thing = NULL;

		status = iot_fleet_resolve(command_cloud(ctx), args->devices.items[i], &thing, err);
		if (status == IOT_OK)
			status = command_call(ctx, operation,
					      json_pack("{s:s, s:s}", "thingGroupName", args->group, "thingName", thing), NULL,
					      err);
	}
	return status;
}

static enum iot_status group_add(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return change_members(ctx, args, "AddThingToThingGroup", err);
}

static enum iot_status group_remove(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return change_members(ctx, args, "RemoveThingFromThingGroup", err);
}

static enum iot_status group_delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct group_args *args = args_;
	IOT_JSON group = NULL;
	bool dynamic;
	enum iot_status status =
		command_call(ctx, "DescribeThingGroup", json_pack("{s:s}", "thingGroupName", args->group), &group, err);

	/* One that is not there: the service says whether that is a fault. */
	if (status != IOT_OK && status != IOT_NOT_FOUND)
		return status;
	if (status == IOT_NOT_FOUND)
		iot_error_clear(err);
	dynamic = iot_json_str(group, "queryString", NULL) != NULL;
	return command_call(ctx, dynamic ? "DeleteDynamicThingGroup" : "DeleteThingGroup",
			    json_pack("{s:s}", "thingGroupName", args->group), NULL, err);
}

static const struct cli_command cmd_group_create = {
	.name = "create",
	.summary = "Make a group",
	.args = CLI_ARGS(ONE_GROUP),
	.opts = CLI_OPTS(OPT_STR(0, "parent", "GROUP", struct group_args, parent, "group above it", .complete = COMPLETE_GROUP),
			 OPT_STR(0, "description", "TEXT", struct group_args, description, "what it is"),
			 OPT_STR(0, "dynamic", "QUERY", struct group_args, dynamic,
				 "at AWS: filled by this query of the fleet index")),
	.examples = CLI_EXAMPLES({"group create beta", "devices that get updates first"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_create, struct group_args),
};

static const struct cli_command cmd_group_list = {
	.name = "list",
	.summary = "List groups",
	.opts = CLI_OPTS(OPT_STR(0, "parent", "GROUP", struct group_args, parent, "only below this one",
				 .complete = COMPLETE_GROUP)),
	.examples = CLI_EXAMPLES({"group list", "all of them"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_list, struct group_args),
};

static const struct cli_command cmd_group_show = {
	.name = "show",
	.summary = "Show a group",
	.args = CLI_ARGS(ONE_GROUP),
	.examples = CLI_EXAMPLES({"group show beta", "its parent and description"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_show, struct group_args),
};

static const struct cli_command cmd_group_members = {
	.name = "members",
	.summary = "List the devices of a group and of those below it",
	.args = CLI_ARGS(ONE_GROUP),
	.opts = CLI_OPTS(OPT_FLAG(0, "direct", struct group_args, direct, "not of those below it")),
	.examples = CLI_EXAMPLES({"group members beta", "who is in it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_members, struct group_args),
};

static const struct cli_command cmd_group_add = {
	.name = "add",
	.summary = "Put devices into a group",
	.args = CLI_ARGS(ONE_GROUP, SOME_DEVICES),
	.examples = CLI_EXAMPLES({"group add beta pump-0001 pump-0002", "two pumps"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_add, struct group_args),
};

static const struct cli_command cmd_group_remove = {
	.name = "remove",
	.summary = "Take devices out of a group",
	.args = CLI_ARGS(ONE_GROUP, SOME_DEVICES),
	.examples = CLI_EXAMPLES({"group remove beta pump-0001", "it stays a device"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_remove, struct group_args),
};

static const struct cli_command cmd_group_delete = {
	.name = "delete",
	.summary = "Delete a group; its devices stay",
	.args = CLI_ARGS(ONE_GROUP),
	.examples = CLI_EXAMPLES({"group delete beta", "it must have no groups below it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(group_delete, struct group_args),
};

const struct cli_command cmd_group = {
	.name = "group",
	.summary = "Thing groups",
	.subcommands = CLI_COMMANDS(&cmd_group_create, &cmd_group_list, &cmd_group_show, &cmd_group_members, &cmd_group_add,
				    &cmd_group_remove, &cmd_group_delete),
};
