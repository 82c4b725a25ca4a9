/* iotctl doctor: is this fleet in order? */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/broker.h"
#include "iotctl/fleet.h"
#include "iotctl/process.h"

#include <string.h>

static const struct output_column columns[] = {
	{.key = "check", .heading = "Check", .width = 18},
	{.key = "result", .heading = "Result", .width = 7},
	{.key = "detail", .heading = "Detail"},
	{.key = "cure", .heading = "What to do"},
	{0},
};

static void add_broker(struct cli_context *ctx, json_t *records)
{
	IOT_CLEAN(iot_free_p) char *mosquitto = iot_process_find("mosquitto");
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON serve = NULL;

	if (mosquitto == NULL)
		json_array_append_new(records,
				      json_pack("{s:s, s:s, s:s, s:s}", "check", "mosquitto", "result", "error", "detail",
						"not found", "cure", "install the package mosquitto"));
	else
		json_array_append_new(records, json_pack("{s:s, s:s, s:s}", "check", "mosquitto", "result", "ok", "detail",
							 mosquitto));
	if (iot_serve_status(command_fleet(ctx), &serve, &err) == IOT_OK && iot_json_bool(serve, "running", false))
		json_array_append_new(records, json_pack("{s:s, s:s, s:s}", "check", "serve", "result", "ok", "detail",
							 "running"));
	else
		json_array_append_new(records,
				      json_pack("{s:s, s:s, s:s, s:s}", "check", "serve", "result", "warning", "detail",
						"not running", "cure", "start it with 'iotctl serve --detach'"));
}

static enum iot_status doctor(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON records = NULL;
	json_t *record;
	size_t i, errors = 0;
	enum iot_status status = iot_fleet_doctor(command_cloud(ctx), &records, err);

	(void)args;
	if (status != IOT_OK)
		return status;
	add_broker(ctx, records);
	status = output_array(ctx->out, columns, records, err);
	json_array_foreach(records, i, record)
		errors += strcmp(iot_json_str(record, "result", ""), "error") == 0;
	if (status == IOT_OK && errors > 0)
		status = iot_fail(err, IOT_VERIFY, "%zu checks failed for fleet '%s'", errors, command_fleet(ctx));
	return status;
}

const struct cli_command cmd_doctor = {
	.name = "doctor",
	.summary = "Look for what is wrong with the fleet and this machine",
	.examples = CLI_EXAMPLES({"doctor", "exit code 11 when something is wrong"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(doctor),
};
