/* iotctl events: what happens in the fleet, and where serve takes what devices say. */
#include "iotctl/events.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/log.h"

#include <string.h>

struct events_args {
	const char *kinds, *device;
	int64_t count, timeout_ms;
};

static void subscribed(const char *who, void *data)
{
	const struct cli_context *ctx = data;

	if (!ctx->quiet)
		iot_notice("connected as %s, and subscribed", who);
}

static enum iot_status print_event(const json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct cli_context *)data)->out, record, err);
}

static enum iot_status read_kind(const char *word, size_t len, unsigned *kinds, struct iot_error *err)
{
	for (size_t i = 0; iot_event_kind_names[i] != NULL; i++) {
		if (strlen(iot_event_kind_names[i]) == len && memcmp(iot_event_kind_names[i], word, len) == 0) {
			*kinds |= 1U << i;
			return IOT_OK;
		}
	}
	return iot_fail(err, IOT_USAGE, "there is no kind '%.*s' of events: presence, job, denial and device are known",
			(int)len, word);
}

/* "presence,job" */
static enum iot_status read_kinds(const char *text, unsigned *ret, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (const char *at = text; status == IOT_OK && at != NULL; at = strchr(at, ',')) {
		at += at != text;
		status = read_kind(at, strcspn(at, ","), ret, err);
	}
	return status;
}

static enum iot_status tail(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "time", .heading = "Time", .width = 24},
		{.key = "kind", .heading = "Kind", .width = 8},
		{.key = "device", .heading = "Device", .width = 16},
		{.key = "event", .heading = "Event", .width = 12},
		{.key = "summary", .heading = "What"},
		{0},
	};
	const struct events_args *args = args_;
	struct iot_messaging_where where = {0};
	struct iot_events_options options = {
		.device = args->device,
		.count = args->count,
		.timeout_ms = args->timeout_ms,
		.connect_ms = 30000,
		.interrupted = command_interrupted,
		.interrupt_fd = cli_interrupt_fd(),
		.subscribed = subscribed,
		.event = print_event,
		.data = ctx,
	};
	enum iot_status status = read_kinds(args->kinds, &options.kinds, err);

	if (status == IOT_OK)
		status = command_messaging(ctx, NULL, &where, err);
	if (status == IOT_OK)
		status = output_begin_stream(ctx->out, columns, err);
	if (status == IOT_OK)
		status = iot_events(command_cloud(ctx), &where, &options, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static const struct cli_command cmd_tail = {
	.name = "tail",
	.summary = "Print events as they happen",
	.description = "Until Ctrl-C, --count or --timeout. Kinds: 'presence' (a device connected or disconnected, "
		       "and why), 'job' (a job or an execution ended), 'denial' (something was not allowed, with the "
		       "statement that decided) and 'device' (what devices publish on the event topics of their "
		       "layouts).\n\n"
		       "With -o jsonl each event is one JSON object {time, kind, device, event, summary, details}. "
		       "Presence and jobs come on AWS IoT's topics ($aws/events/...) with its members in 'details'; "
		       "anybody whose policy allows it may subscribe to them. Denials are shown to the fleet's own "
		       "user alone. As at AWS, an event may come twice. With --count too few events in the time are a "
		       "failure (exit code 8).",
	.opts = CLI_OPTS(
		OPT_STR('k', "kind", "KIND,...", struct events_args, kinds, "of these kinds; all if not given"),
		OPT_STR('d', "device", "DEVICE", struct events_args, device, "about this one: thing name or alias",
			.complete = COMPLETE_DEVICE),
		OPT_INT('n', "count", "N", struct events_args, count, "end after so many events", .min = 1,
			.max = 1000000000),
		OPT_DURATION(0, "timeout", "TIME", struct events_args, timeout_ms, "end after this", .min = 1,
			     .max = 31536000000)),
	.examples = CLI_EXAMPLES({"events tail", "all that happens"},
				 {"events tail --kind denial -o jsonl", "what policies forbid, for a script"},
				 {"events tail --device pump-0001 --kind presence -n 1 --timeout 5m", "wait for it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_TIMEOUT, IOT_AGAIN),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(tail, struct events_args),
};

const struct cli_command cmd_events = {
	.name = "events",
	.summary = "What happens in the fleet, and where events of devices go",
	.subcommands = CLI_COMMANDS(&cmd_tail, &cmd_events_route),
};
