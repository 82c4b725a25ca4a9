/* iotctl api: any operation of the table, for what has no verb of its own. */
#include "command/api_lines.h"
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

struct api_args {
	const char *operation, *input, *body, *lines;
	struct cli_list members;
	bool list;
};

#define REQUEST_MAX (1024 * 1024)

static const struct output_column list_columns[] = {
	{.key = "operation", .heading = "Operation", .width = 32},
	{.key = "service", .heading = "Service", .width = 14},
	{.key = "summary", .heading = "What it does"},
	{.key = "method", .heading = "Method", .wide = true},
	{.key = "uri", .heading = "URI", .wide = true},
	{0},
};

static enum iot_status list(struct cli_context *ctx, struct iot_error *err)
{
	enum iot_status status = output_begin_list(ctx->out, list_columns, err);

	for (size_t i = 0; status == IOT_OK && i < iot_operation_count; i++) {
		const struct iot_operation *op = &iot_operations[i];
		IOT_JSON row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "operation", op->name, "service", op->service,
					 "summary", op->summary, "method", op->method, "uri", op->uri);

		status = output_row(ctx->out, row, err);
	}
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static enum iot_status read_json(const char *path, json_t **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(REQUEST_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, strcmp(path, "-") == 0 ? "standard input" : path, ret, err);
	if (status == IOT_OK && !json_is_object(*ret))
		status = iot_fail(err, IOT_USAGE, "the request in '%s' is not a JSON object", path);
	iot_buf_release(&text);
	return status;
}

/* NAME=VALUE: a string; NAME:=JSON: any JSON value. */
static enum iot_status add_member(json_t *request, const char *text, struct iot_error *err)
{
	const char *equals = strchr(text, '=');
	bool raw = equals != NULL && equals > text && equals[-1] == ':';
	IOT_CLEAN(iot_free_p) char *name = NULL;
	json_t *value = NULL;
	enum iot_status status = IOT_OK;

	if (equals == NULL || equals == text)
		return iot_fail(err, IOT_USAGE, "'%s' is neither NAME=TEXT nor NAME:=JSON", text);
	name = iot_strndup(text, (size_t)(equals - text) - raw);
	if (raw)
		status = iot_json_parse(equals + 1, strlen(equals + 1), name, &value, err);
	else
		value = json_string(equals + 1);
	if (status == IOT_OK && value == NULL)
		status = iot_fail(err, IOT_USAGE, "the value of '%s' is not UTF-8 text", name);
	if (status == IOT_OK)
		json_object_set_new(request, name, value);
	return status;
}

static enum iot_status call(struct cli_context *ctx, const struct api_args *args, json_t *request, struct iot_error *err)
{
	struct iot_buf in = IOT_BUF_INIT(64 * 1024 * 1024);
	struct iot_buf out = IOT_BUF_INIT(64 * 1024 * 1024);
	struct iot_body body = {.fd = -1};
	IOT_JSON reply = NULL;
	enum iot_status status = IOT_OK;

	if (args->body != NULL) {
		status = iot_fs_read(args->body, &in, err);
		body.data = iot_buf_str(&in);
		body.len = in.len;
	}
	if (status == IOT_OK)
		status = iot_cloud_call(command_cloud(ctx), args->operation, request, args->body != NULL ? &body : NULL, &reply,
					&out, err);
	if (status == IOT_OK && out.len > 0)
		status = output_raw(ctx->out, out.data, out.len, err);
	else if (status == IOT_OK)
		status = command_print_document(ctx, reply, err);
	iot_buf_release(&in);
	iot_buf_release(&out);
	return status;
}

static enum iot_status api(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct api_args *args = args_;
	IOT_JSON request = NULL;
	enum iot_status status = IOT_OK;

	if (args->list)
		return list(ctx, err);
	if (args->operation == NULL) {
		iot_fail(err, IOT_USAGE, "which operation?");
		iot_error_hint(err, "'iotctl api --list' shows them");
		return IOT_USAGE;
	}
	if (args->lines != NULL && (args->input != NULL || args->body != NULL || args->members.count > 0))
		return iot_fail(err, IOT_USAGE, "--lines takes all members from its file");
	status = command_open_cloud(ctx, err);
	if (status == IOT_OK && args->lines != NULL)
		return command_api_lines(ctx, args->operation, args->lines, err);
	if (status == IOT_OK && args->input != NULL)
		status = read_json(args->input, &request, err);
	else if (status == IOT_OK)
		request = json_object();
	for (size_t i = 0; status == IOT_OK && i < args->members.count; i++)
		status = add_member(request, args->members.items[i], err);
	return status == IOT_OK ? call(ctx, args, request, err) : status;
}

const struct cli_command cmd_api = {
	.name = "api",
	.summary = "Call one operation of the cloud by its name",
	.description = "Operations and members are those of the AWS IoT API, on every cloud. Members are given as NAME=TEXT or "
		       "NAME:=JSON, or as one JSON object with --input. The reply is printed as JSON.\n\n"
		       "With --lines the operation is called for every line of a file. At AWS many calls are in flight, "
		       "within the rate that the setting aws-rates allows; replies come as they arrive, with their line.",
	.args = CLI_ARGS(ARG_STR("OPERATION", struct api_args, operation, "as CreateThing or create-thing", .optional = true,
				 .complete = COMPLETE_OPERATION),
			 ARG_LIST("MEMBER", struct api_args, members, "NAME=TEXT or NAME:=JSON", .optional = true)),
	.opts = CLI_OPTS(OPT_FLAG('l', "list", struct api_args, list, "list the operations"),
			 OPT_PATH(0, "input", "FILE", struct api_args, input, "the request as a JSON object",
				  .complete = COMPLETE_FILE),
			 OPT_PATH(0, "lines", "FILE", struct api_args, lines, "many requests, one JSON object a line",
				  .complete = COMPLETE_FILE),
			 OPT_PATH(0, "body", "FILE", struct api_args, body, "bytes that go with the request",
				  .complete = COMPLETE_FILE)),
	.examples = CLI_EXAMPLES({"api DescribeThing thingName=pump-0001", "one thing, as AWS shapes it"},
				 {"api CreateThing --lines things.jsonl -o jsonl", "many things"},
				 {"api ListThings maxResults:=10 --query .things[].thingName", "only the names"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_DENIED, IOT_PARTIAL, IOT_AGAIN),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(api, struct api_args),
};
