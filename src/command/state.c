/* iotctl state: what devices reported of themselves, and as it comes. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/log.h"

#include <poll.h>

#define LOOK_MS 300 /* between looks, while watching */

struct state_args {
	const char *device;
	int64_t count, timeout_ms;
};

static const struct output_column columns[] = {
	{.key = "number", .heading = "Number", .kind = OUTPUT_INT, .width = 8},
	{.key = "reportedAt", .heading = "Reported at", .kind = OUTPUT_TIME, .width = 20},
	{.key = "state", .heading = "State"},
	{.key = "stateBytes", .heading = "Bytes (base64)"},
	{0},
};

static enum iot_status read_states(struct cli_context *ctx, const char *thing, json_t **ret, struct iot_error *err)
{
	return command_call(ctx, "iotctl:ListDeviceStates", json_pack("{s:s}", "thingName", thing), ret, err);
}

/* What a device reported; *ret_thing (new memory): its thing. */
static enum iot_status find_states(struct cli_context *ctx, const struct state_args *args, char **ret_thing,
				   json_t **ret, struct iot_error *err)
{
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, ret_thing, err);

	return status == IOT_OK ? read_states(ctx, *ret_thing, ret, err) : status;
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status = find_states(ctx, args_, &thing, &reply, err);

	return status == IOT_OK ? output_array(ctx->out, columns, json_object_get(reply, "states"), err) : status;
}

static int64_t newest(const json_t *reply)
{
	return iot_json_int(json_array_get(json_object_get(reply, "states"), 0), "number", 0);
}

/* Those that came since, oldest first; *left of them at most. */
static enum iot_status print_new(struct cli_context *ctx, const json_t *reply, int64_t since, int64_t *left,
				 struct iot_error *err)
{
	const json_t *states = json_object_get(reply, "states");
	enum iot_status status = IOT_OK;

	for (size_t i = json_array_size(states); i-- > 0 && status == IOT_OK && *left != 0;) {
		const json_t *state = json_array_get(states, i);

		if (iot_json_int(state, "number", 0) <= since)
			continue;
		status = output_row(ctx->out, state, err);
		if (*left > 0)
			--*left;
	}
	return status;
}

static enum iot_status follow(struct cli_context *ctx, const struct state_args *args, const char *thing, int64_t since,
			      struct iot_error *err)
{
	int64_t deadline = args->timeout_ms > 0 ? iot_deadline(args->timeout_ms) : INT64_MAX;
	int64_t left = args->count > 0 ? args->count : -1;
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && left != 0) {
		IOT_JSON reply = NULL;

		status = read_states(ctx, thing, &reply, err);
		if (status != IOT_OK)
			return status;
		status = print_new(ctx, reply, since, &left, err);
		if (newest(reply) > since)
			since = newest(reply);
		if (status != IOT_OK || left == 0)
			break;
		if (cli_interrupted(ctx))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (iot_left(deadline) == 0)
			return left < 0 ? IOT_OK : iot_fail(err, IOT_TIMEOUT, "'%s' reported no state in time", thing);
		(void)poll(NULL, 0, iot_left(deadline) < LOOK_MS ? iot_left(deadline) : LOOK_MS);
	}
	return status;
}

static enum iot_status watch(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct state_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status = find_states(ctx, args, &thing, &reply, err);

	if (status == IOT_OK)
		status = output_begin_stream(ctx->out, columns, err);
	if (status != IOT_OK)
		return status;
	if (!ctx->quiet)
		iot_notice("watching '%s'", thing);
	status = follow(ctx, args, thing, newest(reply), err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

#define DEVICE ARG_STR("DEVICE", struct state_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List the states a device reported last, newest first",
	.description = "The ten newest ones are kept. A state is what the device publishes on its layout's topic for "
		       "states: a JSON object, or anything else, which is shown as stateBytes in base64.",
	.args = CLI_ARGS(DEVICE),
	.examples = CLI_EXAMPLES({"state list pump-0001 --query .[0].state", "the newest one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct state_args),
};

static const struct cli_command cmd_watch = {
	.name = "watch",
	.summary = "Print states as a device reports them",
	.args = CLI_ARGS(DEVICE),
	.opts = CLI_OPTS(
		OPT_INT('n', "count", "N", struct state_args, count, "end after so many", .min = 1, .max = 1000000000),
		OPT_DURATION(0, "timeout", "TIME", struct state_args, timeout_ms,
			     "end after this; exit code 8 if --count of them did not come")),
	.examples = CLI_EXAMPLES({"state watch pump-0001 --count 1 --timeout 1m", "wait for the next one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_TIMEOUT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(watch, struct state_args),
};

const struct cli_command cmd_state = {
	.name = "state",
	.summary = "What devices report of themselves, lately and now",
	.subcommands = CLI_COMMANDS(&cmd_list, &cmd_watch),
};
