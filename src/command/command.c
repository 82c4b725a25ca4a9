/* iotctl command: tell devices to do something, and gather what they answer. */
#include "iotctl/remote_command.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

enum { FILE_MAX = 1024 * 1024, CONNECT_MS = 30000 };

struct send_args {
	struct cli_list devices;
	const char *group, *from, *message, *file, *subfolder, *resume, *as;
	int64_t timeout_ms, in_flight, max_failures;
	int format;
	bool wait, even_offline, retry_failed;
};

static void connected(const char *who, void *data)
{
	if (((const struct cli_context *)data)->verbose > 0)
		iot_notice("connected as %s", who);
}

static enum iot_status print_result(const json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct cli_context *)data)->out, record, err);
}

static void progress(int64_t done, void *data)
{
	progress_update(((struct cli_context *)data)->progress, done, NULL);
}

static enum iot_status check_args(const struct send_args *args, struct iot_error *err)
{
	if (args->devices.count == 0 && args->group == NULL && args->from == NULL) {
		iot_fail(err, IOT_USAGE, "nobody is named who should be told");
		iot_error_hint(err, "give a DEVICE, --group GROUP or --from FILE");
		return IOT_USAGE;
	}
	if (args->message != NULL && args->file != NULL)
		return iot_fail(err, IOT_USAGE, "give either --message or --file");
	if (args->from != NULL && args->file != NULL && strcmp(args->from, "-") == 0 && strcmp(args->file, "-") == 0)
		return iot_fail(err, IOT_USAGE, "standard input can be --from or --file, not both");
	if (args->retry_failed && args->resume == NULL)
		return iot_fail(err, IOT_USAGE, "--retry-failed needs --resume with the journal of who has failed");
	return IOT_OK;
}

static enum iot_status read_payload(const struct send_args *args, struct iot_buf *payload, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	enum iot_status status = IOT_OK;

	if (args->message != NULL)
		iot_buf_adds(&text, args->message);
	else if (args->file != NULL)
		status = iot_fs_read(args->file, &text, err);
	/* Nothing is no JSON, but a command without more to say. */
	if (status == IOT_OK && text.len > 0)
		status = iot_payload_read((enum iot_payload_format)args->format, iot_buf_str(&text), text.len, payload,
					  err);
	return status;
}

static enum iot_status find_devices(struct cli_context *ctx, const struct send_args *args,
				    struct iot_publish_device **ret, size_t *ret_count, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(COMMAND_NAMES_MAX);
	IOT_CLEAN(iot_free_p) const char **names = NULL;
	size_t count = 0;
	enum iot_status status = IOT_OK;

	if (args->from != NULL)
		status = command_read_names(args->from, &text, &names, &count, err);
	if (status != IOT_OK)
		return status;
	names = iot_realloc(names, (count + args->devices.count + 1) * sizeof(*names));
	for (size_t i = 0; i < args->devices.count; i++)
		names[count++] = args->devices.items[i];
	names[count] = NULL;
	return iot_publish_devices(command_cloud(ctx), names, args->group, false, ret, ret_count, err);
}

static const struct output_column columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "outcome", .heading = "Outcome", .width = 13},
	{.key = "milliseconds", .heading = "ms", .kind = OUTPUT_INT, .width = 6},
	{.key = "payload", .heading = "Answer"},
	{.key = "reason", .heading = "Reason", .wide = true},
	{0},
};

static enum iot_status send_now(struct cli_context *ctx, const struct send_args *args,
				struct iot_command_options *options, struct iot_error *err)
{
	struct iot_messaging_where where = {.window = (int)args->in_flight};
	struct iot_publish_device *devices = NULL;
	struct iot_error late = IOT_ERROR_INIT;
	IOT_JSON counts = NULL;
	enum iot_status status = command_messaging(ctx, args->as, &where, err);

	if (status == IOT_OK)
		status = find_devices(ctx, args, &devices, &options->device_count, err);
	options->devices = devices;
	if (status == IOT_OK)
		status = output_begin_stream(ctx->out, columns, err);
	if (status == IOT_OK) {
		progress_begin(ctx->progress, "telling devices", (int64_t)options->device_count, PROGRESS_COUNT);
		status = iot_command_send(command_cloud(ctx), &where, options, &counts, err);
		progress_end(ctx->progress, status == IOT_OK);
		if (counts != NULL && status == IOT_OK)
			status = output_end(ctx->out, err);
		else if (counts != NULL)
			(void)!output_end(ctx->out, &late);
	}
	iot_publish_devices_free(devices, options->device_count);
	return status;
}

static enum iot_status send(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct send_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf payload = IOT_BUF_INIT(FILE_MAX);
	struct iot_command_options options = {
		.subfolder = args->subfolder,
		.wait = args->wait,
		.even_offline = args->even_offline,
		.timeout_ms = args->timeout_ms,
		.connect_ms = CONNECT_MS,
		.max_failures = args->max_failures,
		.resume = args->resume,
		.retry_failed = args->retry_failed,
		.interrupted = command_interrupted,
		.interrupt_fd = cli_interrupt_fd(),
		.connected = connected,
		.result = print_result,
		.progress = progress,
		.data = ctx,
	};
	enum iot_status status = check_args(args, err);

	if (status == IOT_OK)
		status = read_payload(args, &payload, err);
	options.payload = iot_buf_str(&payload);
	options.payload_len = payload.len;
	return status == IOT_OK ? send_now(ctx, args, &options, err) : status;
}

static const struct cli_command cmd_command_send = {
	.name = "send",
	.summary = "Tell devices to do something, now",
	.description =
		"The layout of each device's type says on which topic. A command is for devices that are connected: it "
		"is not kept for one that is away, and not delivered after its time-out.\n\n"
		"With --wait each device is to answer, in the way that its layout asks for: with the correlation data "
		"of MQTT 5, or with the token that the command carries as a member, for which the command must be a "
		"JSON object. There is one line for each device: answered, not-connected, not-listening (nobody "
		"subscribes to its topic), denied, timed-out, unknown (sent, but the broker went or the call ended "
		"before an answer came), not-sent. An answer that comes late, twice, or on another device's topic "
		"never counts; -v tells of it.\n\n"
		"Without --wait the command is sent as it is, and is said to be 'sent' when the broker has it.\n\n"
		"The journal that --resume names knows who was told: the same call again goes on where the first one "
		"ended. Devices that did not answer are not told twice, since they may have done it, unless "
		"--retry-failed says so.",
	.args = CLI_ARGS(ARG_LIST("DEVICE", struct send_args, devices, "thing name or alias", .optional = true,
				  .complete = COMPLETE_DEVICE)),
	.opts = CLI_OPTS(OPT_STR('g', "group", "GROUP", struct send_args, group, "all devices of a group",
				 .complete = COMPLETE_GROUP),
			 OPT_PATH(0, "from", "FILE", struct send_args, from, "devices, one name per line",
				  .complete = COMPLETE_FILE),
			 OPT_STR('m', "message", "TEXT", struct send_args, message, "the command"),
			 OPT_PATH('f', "file", "FILE", struct send_args, file,
				  "the command is this file, - for standard input", .complete = COMPLETE_FILE),
			 OPT_ENUM(0, "format", "FORMAT", struct send_args, format, "how the command is written here",
				  .choices = CLI_CHOICES("text", "hex", "base64", "json"), .fallback = "text"),
			 OPT_STR(0, "subfolder", "NAME", struct send_args, subfolder,
				 "below the topic for commands, where the layout has such"),
			 OPT_FLAG('w', "wait", struct send_args, wait, "for the answers"),
			 OPT_DURATION(0, "timeout", "TIME", struct send_args, timeout_ms,
				      "wait so long for each device", .min = 100, .max = 3600000, .fallback = "10s"),
			 OPT_INT(0, "in-flight", "N", struct send_args, in_flight, "devices told at the same time",
				 .min = 1, .max = IOT_WINDOW_MAX, .fallback = "100"),
			 OPT_FLAG(0, "even-offline", struct send_args, even_offline,
				  "send also to devices that are not known to be connected"),
			 OPT_INT(0, "max-failures", "N", struct send_args, max_failures,
				 "tell no more devices when so many have failed", .min = 1, .max = 1000000),
			 OPT_PATH(0, "resume", "FILE", struct send_args, resume,
				  "journal of who was told and has answered", .complete = COMPLETE_FILE),
			 OPT_FLAG(0, "retry-failed", struct send_args, retry_failed,
				  "with --resume: tell those again that did not answer"),
			 OPT_PATH(0, "as", "DIR", struct send_args, as, "as the device with this folder, over TLS",
				  .complete = COMPLETE_DIR)),
	.examples = CLI_EXAMPLES(
		{"command send pump-0001 -m '{\"pump\":\"on\"}' --wait", "one device, and its answer"},
		{"command send --group beta -f restart.json --wait --timeout 1m -o jsonl", "a group"},
		{"command send --from pumps.txt -f restart.json --wait --resume restart.journal", "many, none twice"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_DENIED, IOT_PARTIAL, IOT_ABORTED, IOT_TIMEOUT, IOT_AGAIN),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(send, struct send_args),
};

const struct cli_command cmd_command = {
	.name = "command",
	.summary = "Commands to devices, and their answers",
	.subcommands = CLI_COMMANDS(&cmd_command_send),
};
