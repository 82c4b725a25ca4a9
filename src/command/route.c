/* iotctl events route: where serve takes what devices say. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/events.h"
#include "iotctl/fs.h"

struct route_args {
	const char *name, *subfolder, *layout, *registry, *file, *topic, *before;
	struct cli_list command;
	int64_t size, keep;
	bool is_default, shell;
};

/* For tables: words of a command as one text. */
static const struct output_column columns[] = {
	{.key = "name", .heading = "Route", .width = 12},
	{.key = "subfolder", .heading = "Subfolder", .width = 10},
	{.key = "default", .heading = "Default", .kind = OUTPUT_BOOL},
	{.key = "layout", .heading = "Layout", .wide = true},
	{.key = "registry", .heading = "Registry", .wide = true},
	{.key = "type", .heading = "To"},
	{.key = "target", .heading = "Target", .width = 16},
	{.key = "delivered", .heading = "Delivered", .kind = OUTPUT_INT},
	{.key = "dropped", .heading = "Dropped", .kind = OUTPUT_INT},
	{.key = "fault", .heading = "Fault"},
	{.key = "createdAt", .heading = "Added", .kind = OUTPUT_TIME, .wide = true},
	{0},
};

/* --- add --------------------------------------------------------------------------------------- */

static enum iot_status check_args(struct cli_context *ctx, const struct route_args *args, struct iot_error *err)
{
	int targets = (args->file != NULL) + (args->topic != NULL) + (args->command.count > 0);

	if (targets != 1) {
		iot_fail(err, IOT_USAGE, "a route has one target");
		iot_error_hint(err, "give --file FILE, --topic TOPIC, or a command after --");
		return IOT_USAGE;
	}
	if (args->is_default == (args->subfolder != NULL))
		return iot_fail(err, IOT_USAGE, "give either --subfolder or --default");
	if (args->file == NULL && (cli_given(ctx, "max-size") || cli_given(ctx, "keep")))
		return iot_fail(err, IOT_USAGE, "--max-size and --keep are for files");
	if (args->shell && args->command.count != 1)
		return iot_fail(err, IOT_USAGE, "--shell takes one text for the shell after --");
	return IOT_OK;
}

static void set_command(const struct route_args *args, json_t *route)
{
	json_t *words = json_array();

	if (args->shell) {
		json_array_append_new(words, json_string("/bin/sh"));
		json_array_append_new(words, json_string("-c"));
	}
	for (size_t i = 0; i < args->command.count; i++)
		json_array_append_new(words, json_string(args->command.items[i]));
	iot_json_set_str(route, "type", "command");
	json_object_set_new(route, "target", words);
}

static void set_target(const struct route_args *args, json_t *route)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;

	if (args->command.count > 0) {
		set_command(args, route);
		return;
	}
	if (args->topic != NULL) {
		iot_json_set_str(route, "type", "topic");
		iot_json_set_str(route, "target", args->topic);
		return;
	}
	path = iot_path_absolute(args->file);
	iot_json_set_str(route, "type", "file");
	iot_json_set_str(route, "target", path);
	iot_json_set_int(route, "maxSize", args->size);
	iot_json_set_int(route, "keep", args->keep);
}

static enum iot_status add(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct route_args *args = args_;
	IOT_JSON route = json_pack("{s:s}", "name", args->name);
	IOT_JSON record = NULL;
	enum iot_status status = check_args(ctx, args, err);

	if (args->is_default)
		iot_json_set_bool(route, "default", true);
	iot_json_set_str(route, "subfolder", args->subfolder);
	iot_json_set_str(route, "layout", args->layout);
	iot_json_set_str(route, "registry", args->registry);
	if (status == IOT_OK) {
		set_target(args, route);
		status = iot_route_add(command_cloud(ctx), route, args->before, err);
	}
	if (status == IOT_OK)
		status = iot_route_show(command_cloud(ctx), args->name, &record, err);
	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

/* --- the others -------------------------------------------------------------------------------- */

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON routes = NULL;
	enum iot_status status = iot_route_list(command_cloud(ctx), &routes, err);

	(void)args;
	return status == IOT_OK ? output_array(ctx->out, columns, routes, err) : status;
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct route_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_route_show(command_cloud(ctx), args->name, &record, err);

	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static enum iot_status remove_route(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct route_args *args = args_;

	return iot_route_remove(command_cloud(ctx), args->name, err);
}

static enum iot_status check(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column findings_columns[] = {
		{.key = "route", .heading = "Route", .width = 12},
		{.key = "rule", .heading = "Rule"},
		{.key = "message", .heading = "Finding"},
		{.key = "hint", .heading = "What to do", .wide = true},
		{0},
	};
	IOT_JSON findings = NULL;
	enum iot_status status = iot_route_check(command_cloud(ctx), &findings, err);

	(void)args;
	if (status == IOT_OK)
		status = output_array(ctx->out, findings_columns, findings, err);
	if (status == IOT_OK && json_array_size(findings) > 0)
		status = iot_fail(err, IOT_VERIFY, "%zu findings about routes", json_array_size(findings));
	return status;
}

/* --- rows -------------------------------------------------------------------------------------- */

#define ONE_ROUTE ARG_STR("NAME", struct route_args, name, "name of the route")

static const struct cli_command cmd_add = {
	.name = "add",
	.summary = "Take events of devices to a file, a command or a topic",
	.description =
		"For each event the first route that fits is taken, in the order of 'events route list', else the "
		"default one. --subfolder is what follows in the event's topic where its layout has {subfolder}, with "
		"+ and # as in topics; '' fits events without one, '#' any. --registry is the last name, or all, of "
		"projects/P/locations/L/registries/R in the client ids of devices with tokens; each registry can have "
		"a default route of its own.\n\n"
		"A file gets a line of JSON {time, device, registry?, event, topic, payload, format} for each event. "
		"It is brought to the disk once a second; a file that would pass --max-size becomes FILE.1, and that "
		"FILE.2. A command is started with the first event, with the rights of serve and without a shell, "
		"gets these lines on its standard input, and is started again when it ends, after a pause of 1 s to 1 "
		"min. What it prints goes to broker/routes.log. A topic gets the payload as it is; {thing} and, last, "
		"{subfolder} may be in it.\n\n"
		"While a file cannot be written, or a command does not read, 1000 events (4 MiB) wait; what comes "
		"beyond that is dropped, counted and logged. A device's event of QoS 1 is acknowledged when the "
		"broker has it: what waits there survives a stop of serve (3000 events), and lines in a file survive "
		"its sudden end. Lost are events that wait for a route when serve is killed, those that a command has "
		"not read when it ends, and with the power the last second of a file and the last 5 minutes of what "
		"waits in the broker. Last wills are not routed, since nobody can tell whose they are.",
	.args = CLI_ARGS(ONE_ROUTE, ARG_LIST("COMMAND", struct route_args, command,
					     "a program and its arguments, after --", .optional = true)),
	.opts = CLI_OPTS(
		OPT_STR('s', "subfolder", "FILTER", struct route_args, subfolder, "events with this subfolder"),
		OPT_FLAG(0, "default", struct route_args, is_default, "events that no other route takes"),
		OPT_STR(0, "layout", "LAYOUT", struct route_args, layout, "only of devices with this layout"),
		OPT_STR(0, "registry", "REGISTRY", struct route_args, registry,
			"only of devices with a token, whose client id names it"),
		OPT_PATH('f', "file", "FILE", struct route_args, file, "append them to this file",
			 .complete = COMPLETE_FILE),
		OPT_SIZE(0, "max-size", "SIZE", struct route_args, size, "of the file", .min = 65536,
			 .max = 1099511627776, .fallback = "16M"),
		OPT_INT(0, "keep", "N", struct route_args, keep, "so many older files are kept", .min = 0, .max = 100,
			.fallback = "5"),
		OPT_STR('t', "topic", "TOPIC", struct route_args, topic, "publish them on this topic"),
		OPT_FLAG(0, "shell", struct route_args, shell, "COMMAND is one text for /bin/sh"),
		OPT_STR(0, "before", "ROUTE", struct route_args, before, "ask it before that one, not as the last")),
	.examples = CLI_EXAMPLES(
		{"events route add alarms --subfolder 'alarm/#' -- logger -t alarm", "to a command"},
		{"events route add rest --default --file /var/log/events.jsonl", "and all others to a file"},
		{"events route add temp -s temp -t 'temperatures/{thing}'", "to a topic of its own"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(add, struct route_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List routes in the order in which they are asked",
	.examples = CLI_EXAMPLES({"events route list", "with what they delivered and dropped"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show one route",
	.args = CLI_ARGS(ONE_ROUTE),
	.examples = CLI_EXAMPLES({"events route show alarms", "and what is wrong with it now"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct route_args),
};

static const struct cli_command cmd_remove = {
	.name = "remove",
	.summary = "Remove a route",
	.description = "What waits for it is dropped; a command's standard input ends.",
	.args = CLI_ARGS(ONE_ROUTE),
	.examples = CLI_EXAMPLES({"events route remove alarms", "a running serve knows at once"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(remove_route, struct route_args),
};

static const struct cli_command cmd_check = {
	.name = "check",
	.summary = "Say what is wrong with the routes",
	.description = "Files that cannot be written, programs that are not there, topics on which devices say events "
		       "themselves, and routes that get nothing because of an earlier one.",
	.examples = CLI_EXAMPLES({"events route check", "exit code 11 when anything was found"}),
	.exits = CLI_EXITS(IOT_VERIFY),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(check),
};

const struct cli_command cmd_events_route = {
	.name = "route",
	.summary = "Where serve takes events of devices",
	.subcommands = CLI_COMMANDS(&cmd_add, &cmd_list, &cmd_show, &cmd_remove, &cmd_check),
};
