/* iotctl shadow: what a device is to be, and what it says it is. */
#include "iotctl/shadow.h"
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

struct shadow_args {
	const char *device, *name, *file, *desired, *reported;
	int64_t version, count, timeout_ms;
};

#define DOCUMENT_MAX (1024 * 1024)

/* --- get, delete, list ----------------------------------------------------------------------- */

static enum iot_status get(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct shadow_args *args = args_;
	IOT_JSON document = NULL;
	enum iot_status status = iot_shadow_get(command_cloud(ctx), args->device, args->name, &document, err);

	return status == IOT_OK ? command_print_document(ctx, document, err) : status;
}

static enum iot_status delete_shadow(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct shadow_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_shadow_delete(command_cloud(ctx), args->device, args->name, &record, err);

	return status == IOT_OK ? command_print_document(ctx, record, err) : status;
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "shadowName", .heading = "Shadow", .width = 12},
		{.key = "version", .heading = "Version", .kind = OUTPUT_INT},
		{.key = "inSync", .heading = "In sync", .kind = OUTPUT_BOOL},
		{0},
	};
	const struct shadow_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status = iot_shadow_list(command_cloud(ctx), args->device, &records, err);

	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

/* --- update ------------------------------------------------------------------------------------ */

static enum iot_status read_request(const char *path, json_t **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(DOCUMENT_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, strcmp(path, "-") == 0 ? "standard input" : path,
					ret, err);
	iot_buf_release(&text);
	if (status == IOT_OK && !json_is_object(*ret))
		status = iot_fail(err, IOT_USAGE, "'%s' is not a JSON object", path);
	if (status == IOT_OK && json_object_get(*ret, "state") == NULL) {
		status = iot_fail(err, IOT_USAGE, "'%s' has no member 'state'", path);
		iot_error_hint(err, "it should look like {\"state\": {\"desired\": {...}}}");
	}
	return status;
}

static enum iot_status add_section(json_t *state, const char *name, const char *text, struct iot_error *err)
{
	json_t *value = NULL;
	enum iot_status status;

	if (text == NULL)
		return IOT_OK;
	status = iot_json_parse(text, strlen(text), name, &value, err);
	if (status == IOT_OK)
		json_object_set_new(state, name, value);
	return status;
}

static enum iot_status make_request(const struct shadow_args *args, json_t **ret, struct iot_error *err)
{
	json_t *state;
	enum iot_status status;

	if (args->file == NULL && args->desired == NULL && args->reported == NULL) {
		iot_fail(err, IOT_USAGE, "nothing to update");
		iot_error_hint(err, "give --desired JSON, --reported JSON or a file with a document");
		return IOT_USAGE;
	}
	if (args->file != NULL && (args->desired != NULL || args->reported != NULL))
		return iot_fail(err, IOT_USAGE, "a file and --desired or --reported exclude one another");
	if (args->file != NULL)
		return read_request(args->file, ret, err);
	state = json_object();
	*ret = json_pack("{s:o}", "state", state);
	status = add_section(state, "desired", args->desired, err);
	return status == IOT_OK ? add_section(state, "reported", args->reported, err) : status;
}

static enum iot_status update(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct shadow_args *args = args_;
	IOT_JSON request = NULL;
	IOT_JSON accepted = NULL;
	enum iot_status status = make_request(args, &request, err);

	if (status == IOT_OK && cli_given(ctx, "if-version"))
		iot_json_set_int(request, "version", args->version);
	if (status == IOT_OK)
		status = iot_shadow_update(command_cloud(ctx), args->device, args->name, request, &accepted, err);
	return status == IOT_OK ? command_print_document(ctx, accepted, err) : status;
}

/* --- watch ------------------------------------------------------------------------------------- */

struct shown {
	struct cli_context *ctx;
	bool begun;
};

/* Nothing is printed before there is something: not being able to watch at all leaves stdout empty. */
static enum iot_status begin(struct shown *shown, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "timestamp", .heading = "Time", .kind = OUTPUT_TIME, .width = 20},
		{.key = "event", .heading = "Event", .width = 6},
		{.key = "version", .heading = "Version", .kind = OUTPUT_INT, .width = 7},
		{.key = "state", .heading = "State"},
		{0},
	};

	if (shown->begun)
		return IOT_OK;
	shown->begun = true;
	return output_begin_stream(shown->ctx->out, columns, err);
}

static bool interrupted(void *data)
{
	return cli_interrupted(((struct shown *)data)->ctx);
}

static void say_ready(const char *thing, const char *who, void *data)
{
	if (!((struct shown *)data)->ctx->quiet)
		iot_notice("watching '%s' as %s", thing, who);
}

static enum iot_status print_change(const json_t *record, void *data, struct iot_error *err)
{
	struct shown *shown = data;
	enum iot_status status = begin(shown, err);

	return status == IOT_OK ? output_row(shown->ctx->out, record, err) : status;
}

static enum iot_status watch(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct shadow_args *args = args_;
	struct shown shown = {.ctx = ctx};
	const struct iot_shadow_watch how = {
		.count = args->count,
		.timeout_ms = args->timeout_ms,
		.interrupted = interrupted,
		.ready = say_ready,
		.changed = print_change,
		.data = &shown,
	};
	struct iot_messaging_where where = {0};
	enum iot_status status = command_messaging(ctx, NULL, &where, err);

	if (status == IOT_OK)
		status = iot_shadow_watch(command_cloud(ctx), &where, args->device, args->name, &how, err);
	if (status == IOT_OK)
		status = begin(&shown, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

/* --- rows ------------------------------------------------------------------------------------------ */

#define ONE_DEVICE ARG_STR("DEVICE", struct shadow_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)
#define SHADOW_NAME OPT_STR('n', "name", "NAME", struct shadow_args, name, "a named shadow, not the classic one")

static const struct cli_command cmd_shadow_get = {
	.name = "get",
	.summary = "Print a shadow",
	.description = "The document has what is desired, what was reported, and as delta what is desired and not "
		       "reported so.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(SHADOW_NAME),
	.examples = CLI_EXAMPLES({"shadow get pump-0001 --query .state.delta", "what it still has to do"},
				 {"shadow get pump-0001 --name config", "a named shadow"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(get, struct shadow_args),
};

static const struct cli_command cmd_shadow_update = {
	.name = "update",
	.summary = "Make or change a shadow",
	.description =
		"Members are merged into what is there; a null removes a member, or with '--desired null' all that is "
		"desired. Lists are replaced as a whole. The device hears of it at once, or when it asks next.",
	.args = CLI_ARGS(ONE_DEVICE,
			 ARG_PATH("FILE", struct shadow_args, file, "a document {\"state\": ...}; - is standard input",
				  .optional = true, .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(
		SHADOW_NAME,
		OPT_STR(0, "desired", "JSON", struct shadow_args, desired, "what it is to be: an object, or null"),
		OPT_STR(0, "reported", "JSON", struct shadow_args, reported, "what it says it is: an object, or null"),
		OPT_INT(0, "if-version", "N", struct shadow_args, version,
			"only if that is its version; 0: if there is none")),
	.examples = CLI_EXAMPLES({"shadow update pump-0001 --desired '{\"speed\": 3}'", "ask for a speed"},
				 {"shadow update pump-0001 --desired '{\"speed\": null}'", "take that back"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(update, struct shadow_args),
};

static const struct cli_command cmd_shadow_delete = {
	.name = "delete",
	.summary = "Delete a shadow",
	.description =
		"One that is made again within 48 hours goes on from the version of the deleted one, so that a device "
		"can tell old messages from new ones.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(SHADOW_NAME),
	.examples = CLI_EXAMPLES({"shadow delete pump-0001 --name config", "a named shadow"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete_shadow, struct shadow_args),
};

static const struct cli_command cmd_shadow_list = {
	.name = "list",
	.summary = "List the shadows of a device",
	.description = "The classic shadow has no name.",
	.args = CLI_ARGS(ONE_DEVICE),
	.examples = CLI_EXAMPLES({"shadow list pump-0001", "which ones, and whether the device did what was desired"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct shadow_args),
};

static const struct cli_command cmd_shadow_watch = {
	.name = "watch",
	.summary = "Follow the changes of a shadow",
	.description =
		"Every change is shown as it is made, by the device or by anybody else, until Ctrl-C. With -o jsonl "
		"each is one line with the document as it is now and as it was before. 'iotctl serve' must be running.",
	.args = CLI_ARGS(ONE_DEVICE),
	.opts = CLI_OPTS(SHADOW_NAME,
			 OPT_INT('c', "count", "N", struct shadow_args, count, "end after so many changes", .min = 1,
				 .max = 1000000000),
			 OPT_DURATION(0, "timeout", "TIME", struct shadow_args, timeout_ms, "end after this time")),
	.examples = CLI_EXAMPLES({"shadow watch pump-0001 -o jsonl", "a line per change"},
				 {"shadow watch pump-0001 --count 1 --timeout 1m", "wait for the next change"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_TIMEOUT, IOT_AGAIN, IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(watch, struct shadow_args),
};

const struct cli_command cmd_shadow = {
	.name = "shadow",
	.summary = "Device shadows: desired and reported state",
	.subcommands = CLI_COMMANDS(&cmd_shadow_get, &cmd_shadow_update, &cmd_shadow_delete, &cmd_shadow_list,
				    &cmd_shadow_watch),
};
