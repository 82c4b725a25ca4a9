/*
 * iotctl api OPERATION --lines FILE: the same operation many times, one request
 * a line. At AWS many are in flight, within the operation's rate; where the
 * outcome of a lost answer must be looked up, one after the other.
 */
#include "command/api_lines.h"

#include "command/context.h"
#include "iotctl/aws.h"
#include "iotctl/fs.h"

#include <string.h>

#define LINES_MAX ((size_t)256 * 1024 * 1024)

struct lines {
	struct cli_context *ctx;
	json_t *requests; /* [[line, request], ...] */
	size_t failed;
	enum iot_status printing; /* of the output */
	struct iot_error *err;
};

struct one {
	struct lines *lines;
	json_int_t line;
};

static const struct output_column columns[] = {
	{.key = "line", .heading = "Line", .width = 6},
	{.key = "result", .heading = "Result", .width = 8},
	{.key = "error", .heading = "Error"},
	{0},
};

static enum iot_status read_lines(const char *path, const struct iot_operation *op, json_t *requests,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(LINES_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);
	const char *at = iot_buf_str(&text);

	for (json_int_t line = 1; status == IOT_OK && *at != '\0'; line++) {
		size_t len = strcspn(at, "\n");
		json_t *request = NULL;

		if (strspn(at, " \t\r") < len) {
			status = iot_json_parse(at, len, "request", &request, err);
			if (status == IOT_OK)
				status = iot_operation_check(op, request, err);
			if (status == IOT_OK)
				json_array_append_new(requests, json_pack("[I, o]", line, iot_take(request)));
			else
				iot_error_while(err, "reading line %lld of '%s'", (long long)line, path);
			json_decref(request);
		}
		at += len + (at[len] == '\n');
	}
	return status;
}

static void on_done(void *data, enum iot_status status, json_t *reply, const struct iot_error *err)
{
	struct one *one = data;
	struct lines *lines = one->lines;
	IOT_JSON row =
		json_pack("{s:I, s:s}", "line", one->line, "result", status == IOT_OK ? "ok" : iot_status_name(status));
	char text[1200];

	free(one);
	lines->failed += status != IOT_OK;
	if (status == IOT_OK)
		json_object_set(row, "reply", reply);
	else
		iot_json_set_str(row, "error", iot_error_line(err, text, sizeof(text)));
	if (status != IOT_OK && err->code[0] != '\0')
		iot_json_set_str(row, "code", err->code);
	if (lines->printing == IOT_OK)
		lines->printing = output_row(lines->ctx->out, row, lines->err);
}

static enum iot_status start(struct lines *lines, const struct iot_operation *op, const char *operation,
			     const json_t *item)
{
	struct iot_cloud *cloud = command_cloud(lines->ctx);
	bool together = op->idempotent && strcmp(iot_cloud_kind(cloud), "aws") == 0;
	const json_t *request = json_array_get(item, 1);
	struct one *one = iot_alloc(sizeof(*one));
	struct iot_error fault = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	enum iot_status status;

	*one = (struct one){lines, json_integer_value(json_array_get(item, 0))};
	if (together) {
		status = iot_aws_submit(cloud, operation, request, on_done, one, lines->err);
		if (status != IOT_OK)
			free(one);
		return status;
	}
	status = iot_cloud_call(cloud, operation, request, NULL, &reply, NULL, &fault);
	on_done(one, status, reply, &fault);
	return IOT_OK;
}

enum iot_status command_api_lines(struct cli_context *ctx, const char *operation, const char *path,
				  struct iot_error *err)
{
	const struct iot_operation *op = iot_operation_find(operation);
	IOT_JSON requests = json_array();
	struct lines lines = {.ctx = ctx, .requests = requests, .printing = IOT_OK, .err = err};
	const json_t *item;
	size_t i;
	enum iot_status status;

	if (op == NULL)
		return iot_cloud_fail(err, "UnknownOperationException", "there is no operation '%.80s'", operation);
	status = read_lines(path, op, requests, err);
	if (status == IOT_OK)
		status = output_begin_list(ctx->out, columns, err);
	if (status != IOT_OK)
		return status;
	json_array_foreach(requests, i, item) {
		if (cli_interrupted(ctx))
			status = iot_fail(err, IOT_INTERRUPTED, "interrupted after %zu of %zu requests", i,
					  json_array_size(requests));
		else
			status = start(&lines, op, operation, item);
		if (status != IOT_OK || lines.printing != IOT_OK)
			break;
	}
	if (strcmp(iot_cloud_kind(command_cloud(ctx)), "aws") == 0)
		iot_aws_drain(command_cloud(ctx));
	if (status == IOT_OK)
		status = lines.printing;
	if (status == IOT_OK)
		status = output_end(ctx->out, err);
	if (status == IOT_OK && lines.failed > 0)
		status = iot_fail(err, lines.failed == json_array_size(requests) ? IOT_FAILURE : IOT_PARTIAL,
				  "%zu of %zu requests failed", lines.failed, json_array_size(requests));
	return status;
}
