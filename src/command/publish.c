/* iotctl publish and iotctl subscribe: any topic, from a script or by hand. */
#include "iotctl/messaging.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1024 * 1024, NAMED_MAX = 10 };

struct publish_args {
	struct cli_list topics, to;
	const char *message, *file, *group, *rate, *resume, *as, *subfolder;
	int role;
	int64_t qos, window, count, timeout_ms;
	int format;
	bool retain, all, lines;
};

static void connected(const char *who, void *data)
{
	const struct cli_context *ctx = data;

	if (!ctx->quiet)
		iot_notice("connected as %s", who);
}

/* --- publish ------------------------------------------------------------------------------ */

static void refused(const struct iot_publish_refusal *refusal, void *data)
{
	(void)data;
	if (refusal->line > 0)
		iot_warn("line %lld: %s", (long long)refusal->line, refusal->reason);
	else
		iot_warn("message %lld for '%s': %s", (long long)refusal->number,
			 refusal->topic != NULL ? refusal->topic : "", refusal->reason);
}

/* "10", "10/s", "600/m": messages a minute. */
static enum iot_status read_rate(const char *text, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *number = NULL;
	int64_t factor = 60, value;

	if (text == NULL)
		return IOT_OK;
	number = iot_strndup(text, strcspn(text, "/"));
	if (strchr(text, '/') != NULL && strcmp(strchr(text, '/'), "/m") == 0)
		factor = 1;
	else if (strchr(text, '/') != NULL && strcmp(strchr(text, '/'), "/s") != 0)
		return iot_fail(err, IOT_USAGE, "rate '%s' is none: give a number of messages, '10/s' or '600/m'",
				text);
	if (iot_parse_int(number, 1, 1000000, &value, err) != IOT_OK)
		return iot_fail(err, IOT_USAGE, "rate '%s' is none: give a number of messages, '10/s' or '600/m'",
				text);
	*ret = value * factor;
	return IOT_OK;
}

static enum iot_status check_role(const struct cli_context *ctx, const struct publish_args *args, bool devices,
				  struct iot_error *err)
{
	if (args->topics.count > 0)
		return iot_fail(err, IOT_USAGE, "--role stands for the topic: give one or the other");
	if (cli_given(ctx, "qos") || args->retain)
		return iot_fail(err, IOT_USAGE, "with --role the layout says QoS and retain");
	if (!devices) {
		iot_fail(err, IOT_USAGE, "--role needs to know whose topic is meant");
		iot_error_hint(err, "name devices with --to, --group or --all");
		return IOT_USAGE;
	}
	return IOT_OK;
}

static enum iot_status check_args(const struct cli_context *ctx, const struct publish_args *args, struct iot_error *err)
{
	bool devices = args->to.count > 0 || args->group != NULL || args->all, by_role = cli_given(ctx, "role");

	if (args->message != NULL && (args->file != NULL || args->lines))
		return iot_fail(err, IOT_USAGE, "give either --message, --file or --lines");
	if (args->message == NULL && args->file == NULL && !args->lines) {
		iot_fail(err, IOT_USAGE, "there is nothing to publish");
		iot_error_hint(err, "give --message TEXT, --file FILE, or --lines");
		return IOT_USAGE;
	}
	if (args->subfolder != NULL && !by_role)
		return iot_fail(err, IOT_USAGE, "--subfolder needs --role");
	if (by_role)
		return check_role(ctx, args, devices, err);
	if (args->topics.count == 0 && !args->lines)
		return iot_fail(err, IOT_USAGE, "no topic is named");
	if (args->topics.count == 0 && devices)
		return iot_fail(err, IOT_USAGE, "devices need a topic with {name}");
	if (args->resume != NULL && args->qos == 0)
		return iot_fail(err, IOT_USAGE, "messages of QoS 0 are never acknowledged: --resume needs --qos 1");
	return IOT_OK;
}

/* The payload from the option or a file; or where its lines come from. */
static enum iot_status open_input(const struct publish_args *args, struct iot_publish_options *options,
				  struct iot_buf *payload, int *fd, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	enum iot_status status = IOT_OK;

	options->lines_fd = -1;
	if (args->lines) {
		bool file = args->file != NULL && strcmp(args->file, "-") != 0;

		*fd = file ? open(args->file, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
		options->lines_fd = *fd;
		return *fd >= 0
			       ? IOT_OK
			       : iot_fail(err, IOT_NOT_FOUND, "cannot open '%s'", file ? args->file : "standard input");
	}
	if (args->message != NULL)
		iot_buf_adds(&text, args->message);
	else
		status = iot_fs_read(args->file, &text, err);
	if (status == IOT_OK)
		status = iot_payload_read((enum iot_payload_format)args->format, iot_buf_str(&text), text.len, payload,
					  err);
	options->payload = iot_buf_str(payload);
	options->payload_len = payload->len;
	return status;
}

/* What was not acknowledged is named: the first ones here, more in the JSON record. */
static void warn_of_rest(const json_t *record)
{
	const json_t *rest = json_object_get(record, "unacknowledged");
	json_t *message;
	size_t i;

	json_array_foreach(rest, i, message) {
		if (i == NAMED_MAX) {
			iot_warn("not acknowledged: %lld more", (long long)iot_json_int(record, "rest", 0) - NAMED_MAX);
			break;
		}
		iot_warn("not acknowledged: message %lld for '%s'", (long long)iot_json_int(message, "number", 0),
			 iot_json_str(message, "topic", ""));
	}
}

static const struct output_column publish_columns[] = {
	{.key = "acknowledged", .heading = "Acknowledged", .kind = OUTPUT_INT},
	{.key = "sent", .heading = "Sent (QoS 0)", .kind = OUTPUT_INT},
	{.key = "refused", .heading = "Refused", .kind = OUTPUT_INT},
	{.key = "skipped", .heading = "Skipped", .kind = OUTPUT_INT},
	{.key = "rest", .heading = "Not acknowledged", .kind = OUTPUT_INT},
	{0},
};

/* The account is printed whatever came of it; the first fault counts. */
static enum iot_status print_account(struct cli_context *ctx, const json_t *record, enum iot_status status,
				     struct iot_error *err)
{
	struct iot_error late = IOT_ERROR_INIT;

	if (record == NULL)
		return status;
	warn_of_rest(record);
	if (status == IOT_OK)
		return output_object(ctx->out, publish_columns, record, err);
	(void)!output_object(ctx->out, publish_columns, record, &late);
	return status;
}

static enum iot_status find_devices(struct cli_context *ctx, const struct publish_args *args,
				    struct iot_publish_device **ret, size_t *ret_count, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (args->to.count == 0 && args->group == NULL && !args->all)
		return IOT_OK;
	status = command_open_cloud(ctx, err);
	return status == IOT_OK ? iot_publish_devices(command_cloud(ctx), command_list(&args->to), args->group,
						      args->all, ret, ret_count, err)
				: status;
}

/* At AWS without an operator's certificate, and from elsewhere without a broker: over HTTPS. */
static enum iot_status find_way(struct cli_context *ctx, const char *as, struct iot_messaging_where *where,
				struct iot_error *err)
{
	const char *broker = settings_get(ctx->settings, "broker");
	enum iot_status status;

	if (as != NULL || strcmp(settings_get(ctx->settings, "cloud"), "aws") != 0 || (broker != NULL && *broker != '\0'))
		return command_messaging(ctx, as, where, err);
	status = command_open_cloud(ctx, err);
	where->cloud = command_cloud(ctx);
	return status;
}

static enum iot_status publish_now(struct cli_context *ctx, const struct publish_args *args,
				   struct iot_publish_options *options, struct iot_error *err)
{
	struct iot_messaging_where where = {.window = (int)args->window};
	struct iot_publish_device *devices = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = find_way(ctx, args->as, &where, err);

	if (status == IOT_OK)
		status = find_devices(ctx, args, &devices, &options->device_count, err);
	options->devices = devices;
	if (status == IOT_OK && options->by_role)
		status = iot_publish_role(command_cloud(ctx), (enum iot_role)args->role, args->subfolder, devices,
					  options->device_count, err);
	if (status == IOT_OK) {
		status = iot_publish(&where, options, &record, err);
		status = print_account(ctx, record, status, err);
	}
	iot_publish_devices_free(devices, options->device_count);
	return status;
}

static enum iot_status publish(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const char *const none[] = {NULL};
	static const char *const of_role[] = {"", NULL};
	const struct publish_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf payload = IOT_BUF_INIT(FILE_MAX);
	IOT_CLEAN(iot_close_p) int fd = -1;
	struct iot_publish_options options = {
		.topics = args->topics.count > 0   ? args->topics.items
			  : cli_given(ctx, "role") ? of_role
						   : none,
		.by_role = cli_given(ctx, "role"),
		.format = (enum iot_payload_format)args->format,
		.qos = (int)args->qos,
		.retain = args->retain,
		.count = args->count,
		.timeout_ms = args->timeout_ms,
		.resume = args->resume,
		.interrupted = command_interrupted,
		.interrupt_fd = cli_interrupt_fd(),
		.connected = connected,
		.refused = refused,
		.data = ctx,
	};
	enum iot_status status = check_args(ctx, args, err);

	if (status == IOT_OK)
		status = read_rate(args->rate, &options.per_minute, err);
	if (status == IOT_OK)
		status = open_input(args, &options, &payload, &fd, err);
	/* Rules first: they need neither a fleet nor a broker. */
	for (size_t i = 0; i < args->topics.count && status == IOT_OK; i++)
		if (strchr(args->topics.items[i], '{') == NULL)
			status = iot_message_check(args->topics.items[i], options.payload_len, options.qos, err);
	return status == IOT_OK ? publish_now(ctx, args, &options, err) : status;
}

#define MESSAGE_OPTIONS(T)                                                                                             \
	OPT_INT(0, "qos", "N", T, qos, "0 or 1", .min = 0, .max = 2, .fallback = "1"),                                 \
		OPT_PATH(0, "as", "DIR", T, as, "as the device with this folder, over TLS", .complete = COMPLETE_DIR)
#define FORMATS CLI_CHOICES("text", "hex", "base64", "json")

const struct cli_command cmd_publish = {
	.name = "publish",
	.group = "messages",
	.summary = "Publish messages",
	.description =
		"On the fleet's own machine messages go through the broker's administrative socket; with --as they "
		"are a device's, judged by its policy. A device that is connected itself loses its connection then. "
		"From elsewhere an operator's certificate is used, and where the profile names no broker, at AWS, "
		"HTTPS: one message after the other.\n\n"
		"{name} in a topic is replaced by the thing name of each device named with --to, --group or --all, "
		"{type} by its thing type.\n\n"
		"With --role the topic is that of these devices for commands, events or whatever it is, as the layout "
		"of their type has it, and so are QoS and retain. 'command send' and 'config set' do more than "
		"that.\n\n"
		"With --lines every line of standard input, or of --file, is one message for each topic. Without a "
		"topic every line is a JSON object {topic, payload, format, qos, retain}, as 'subscribe -o jsonl' "
		"prints them; a line that breaks a rule is named, and the others are sent.\n\n"
		"What was acknowledged is kept in the journal that --resume names: the same call again sends the rest.",
	.args = CLI_ARGS(
		ARG_LIST("TOPIC", struct publish_args, topics, "topics; may hold {name} and {type}", .optional = true)),
	.opts = CLI_OPTS(
		OPT_STR('m', "message", "TEXT", struct publish_args, message,
			"the message; empty deletes a retained one"),
		OPT_PATH('f', "file", "FILE", struct publish_args, file,
			 "the message is this file, - for standard input", .complete = COMPLETE_FILE),
		OPT_FLAG('l', "lines", struct publish_args, lines, "every line is a message"),
		OPT_ENUM(0, "format", "FORMAT", struct publish_args, format, "how messages are written here",
			 .choices = FORMATS, .fallback = "text"),
		OPT_FLAG('r', "retain", struct publish_args, retain, "the broker keeps the last message of a topic"),
		OPT_LIST(0, "to", "DEVICE", struct publish_args, to, "for this device; may be repeated",
			 .complete = COMPLETE_DEVICE),
		OPT_STR('g', "group", "GROUP", struct publish_args, group, "for the devices of this group",
			.complete = COMPLETE_GROUP),
		OPT_FLAG(0, "all", struct publish_args, all, "for all devices"),
		OPT_ENUM(0, "role", "ROLE", struct publish_args, role, "to the topic that their layout has for this",
			 .choices = CLI_CHOICES("config", "command", "reply", "event", "state")),
		OPT_STR(0, "subfolder", "NAME", struct publish_args, subfolder, "with --role: below its topic"),
		OPT_INT('n', "count", "N", struct publish_args, count, "send it so often; with --lines: so many lines",
			.min = 1, .max = 1000000000),
		OPT_STR(0, "rate", "N/s", struct publish_args, rate,
			"at most so many messages a second, or N/m a minute"),
		OPT_INT(0, "window", "N", struct publish_args, window, "messages not yet acknowledged", .min = 1,
			.max = IOT_WINDOW_MAX, .fallback = "64"),
		OPT_DURATION(0, "timeout", "TIME", struct publish_args, timeout_ms,
			     "wait so long for an acknowledgement", .min = 100, .max = 3600000, .fallback = "30s"),
		OPT_PATH(0, "resume", "FILE", struct publish_args, resume, "journal of what was acknowledged",
			 .complete = COMPLETE_FILE),
		MESSAGE_OPTIONS(struct publish_args)),
	.examples =
		CLI_EXAMPLES({"publish pump/pump-0001/command -m '{\"pump\":\"on\"}'", "one message"},
			     {"publish '{type}/{name}/command' --all -f update.json", "one for every device"},
			     {"publish --role event --subfolder alarm --to pump-0001 -m hot", "as its layout has it"},
			     {"publish --lines -f messages.jsonl --resume sent.journal", "many, and none twice"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_DENIED, IOT_PARTIAL, IOT_TIMEOUT, IOT_AGAIN),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(publish, struct publish_args),
};

/* --- subscribe ------------------------------------------------------------------------------ */

struct subscribe_args {
	struct cli_list filters;
	const char *as;
	int64_t qos, count, timeout_ms;
	int format;
	bool no_retained;
};

static enum iot_status print_message(const json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct cli_context *)data)->out, record, err);
}

static void subscribed(const char *who, void *data)
{
	const struct cli_context *ctx = data;

	if (!ctx->quiet)
		iot_notice("connected as %s, and subscribed", who);
}

static enum iot_status subscribe(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "time", .heading = "Time", .width = 24},
		{.key = "topic", .heading = "Topic", .width = 24},
		{.key = "qos", .heading = "QoS", .kind = OUTPUT_INT},
		{.key = "retain", .heading = "Retain", .kind = OUTPUT_BOOL},
		{.key = "payload", .heading = "Payload"},
		{0},
	};
	const struct subscribe_args *args = args_;
	const struct iot_subscribe_options options = {
		.filters = args->filters.items,
		.qos = (int)args->qos,
		.count = args->count,
		.timeout_ms = args->timeout_ms,
		.connect_ms = 30000,
		.no_retained = args->no_retained,
		.format = (enum iot_payload_format)args->format,
		.interrupted = command_interrupted,
		.interrupt_fd = cli_interrupt_fd(),
		.subscribed = subscribed,
		.message = print_message,
		.data = ctx,
	};
	struct iot_messaging_where where = {0};
	int64_t count = 0;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < args->filters.count && status == IOT_OK; i++)
		status = iot_filter_check(args->filters.items[i], options.qos, err);
	if (status == IOT_OK)
		status = command_messaging(ctx, args->as, &where, err);
	if (status == IOT_OK)
		status = output_begin_stream(ctx->out, columns, err);
	if (status == IOT_OK)
		status = iot_subscribe(&where, &options, &count, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

const struct cli_command cmd_subscribe = {
	.name = "subscribe",
	.summary = "Print messages as they arrive",
	.description = "Until Ctrl-C, --count or --timeout. With --count too few messages in the time are a failure "
		       "(exit code 8), without it the end of the time is the end of the work. A subscription that is "
		       "refused ends the call with exit code 5.\n\n"
		       "With -o jsonl each message is one JSON object {time, topic, qos, retain, payload, format}, "
		       "which 'publish --lines' takes. A payload that is no text is printed as base64, and 'format' "
		       "says so.",
	.args = CLI_ARGS(
		ARG_LIST("FILTER", struct subscribe_args, filters, "topic filters; + is one level, # all that follow")),
	.opts = CLI_OPTS(
		OPT_INT('n', "count", "N", struct subscribe_args, count, "end after so many messages", .min = 1,
			.max = 1000000000),
		OPT_DURATION(0, "timeout", "TIME", struct subscribe_args, timeout_ms, "end after this", .min = 1,
			     .max = 31536000000),
		OPT_ENUM(0, "format", "FORMAT", struct subscribe_args, format, "how payloads are shown",
			 .choices = FORMATS, .fallback = "text"),
		OPT_FLAG(0, "no-retained", struct subscribe_args, no_retained, "skip what was retained before"),
		MESSAGE_OPTIONS(struct subscribe_args)),
	.examples = CLI_EXAMPLES({"subscribe 'pump/+/event/#' -o jsonl", "events of all pumps"},
				 {"subscribe '#' --as ./pump-0001 -n 1", "as a device; its policy decides"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_TIMEOUT, IOT_AGAIN),
	.needs = COMMAND_NEEDS_CLOUD_LATER,
	CLI_RUN(subscribe, struct subscribe_args),
};
