/* Events of simulators as JSON lines. */
#include "command/sim_events.h"

#include "command/context.h"

static bool wanted(const struct cli_context *ctx)
{
	return output_get_format(ctx->out) == OUTPUT_JSONL;
}

void sim_events_print(struct cli_context *ctx, const char *thing, const char *name, const char *detail)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON row = json_object();

	iot_json_set_str(row, "thingName", thing);
	iot_json_set_str(row, "event", name);
	iot_json_set_str(row, "detail", detail);
	(void)!output_row(ctx->out, row, &ignored); /* cli_main reports a broken stdout at the end */
}

static void print(const char *name, const char *detail, void *ctx)
{
	sim_events_print(ctx, NULL, name, detail);
}

enum iot_status sim_events_begin(struct cli_context *ctx, sim_event **ret, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Device", .width = 14},
		{.key = "event", .heading = "Event", .width = 12},
		{.key = "detail", .heading = "Detail"},
		{0},
	};

	*ret = wanted(ctx) ? print : NULL;
	return wanted(ctx) ? output_begin_stream(ctx->out, columns, err) : IOT_OK;
}

enum iot_status sim_events_end(struct cli_context *ctx, enum iot_status status, struct iot_error *err)
{
	return status == IOT_OK && wanted(ctx) ? output_end(ctx->out, err) : status;
}
