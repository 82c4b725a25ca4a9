/* iotctl ota: push signed updates, follow them, end them. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

struct push_args {
	const char *image, *version, *id, *key, *signature, *verify_key, *device_path, *certificate_path;
	const char *start, *bucket, *role_arn, *max_failures;
	struct cli_list devices, groups;
	bool wait, legacy, unsigned_image, unchecked, force;
	int kind, via;
	int64_t timeout_ms, device_timeout_ms, per_minute, retries, abort_after;
};

struct update_args {
	const char *update;
	bool force;
	int64_t timeout_ms;
};

static const struct output_column update_columns[] = {
	{.key = "updateId", .heading = "Update"},
	{.key = "version", .heading = "Version"},
	{.key = "status", .heading = "Status"},
	{.key = "succeeded", .heading = "Succeeded", .kind = OUTPUT_INT},
	{.key = "failed", .heading = "Failed", .kind = OUTPUT_INT},
	{.key = "inProgress", .heading = "In progress", .kind = OUTPUT_INT},
	{.key = "queued", .heading = "Queued", .kind = OUTPUT_INT},
	{.key = "createdAt", .heading = "Created"},
	{.key = "jobId", .heading = "Job", .wide = true},
	{0},
};

static const struct output_column execution_columns[] = {
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "status", .heading = "Status", .width = 11},
	{.key = "reason", .heading = "Reason", .width = 20},
	{.key = "received", .heading = "Blocks"},
	{.key = "updatedAt", .heading = "Updated"},
	{0},
};

/* --- following ------------------------------------------------------------------------- */

/* The executions are the result: a table of devices, or the whole record for programs and queries. */
static enum iot_status print_update(struct cli_context *ctx, const json_t *record, struct iot_error *err)
{
	if (command_wants_rows(ctx))
		return output_array(ctx->out, execution_columns, json_object_get(record, "executions"), err);
	return output_object(ctx->out, update_columns, record, err);
}

static enum iot_status follow(struct cli_context *ctx, const char *update, int64_t timeout_ms, struct iot_error *err)
{
	const struct iot_watch watch = {.timeout_ms = timeout_ms,
					.from_start = !cli_given(ctx, "timeout"),
					.interrupted = command_interrupted,
					.progress = command_show_progress,
					.data = ctx};
	IOT_JSON record = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status printed, status;

	progress_begin(ctx->progress, update, 0, PROGRESS_STEPS);
	status = iot_ota_watch(command_cloud(ctx), update, &watch, &record, err);
	progress_end(ctx->progress, status == IOT_OK);
	if (record == NULL)
		return status;
	printed = print_update(ctx, record, status == IOT_OK ? err : &ignored);
	return status == IOT_OK ? printed : status;
}

/* Jobs count failures in percent of the devices that ended, as AWS does; other batches stop at a number of rows. */
static enum iot_status read_percent(const struct push_args *args, int64_t *ret, struct iot_error *err)
{
	const char *text = args->max_failures;
	size_t len = text != NULL ? strlen(text) : 0;
	IOT_CLEAN(iot_free_p) char *number = len > 1 && text[len - 1] == '%' ? iot_strndup(text, len - 1) : NULL;

	*ret = 0;
	if (text == NULL && args->abort_after > 0)
		return iot_fail(err, IOT_USAGE, "--max-failures-after belongs to --max-failures");
	if (text == NULL || (number != NULL && iot_parse_int(number, 1, 100, ret, NULL) == IOT_OK))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%.40s' is no share of the devices: an update counts failures in percent", text);
	iot_error_hint(err, "write it as --max-failures 20%%");
	return IOT_USAGE;
}

static enum iot_status push(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct push_args *args = args_;
	struct iot_push_spec spec = {
		.image = args->image,
		.kind = (enum iot_push_kind)args->kind,
		.version = args->version,
		.devices = command_list(&args->devices),
		.groups = command_list(&args->groups),
		.id = args->id,
		.key = args->key,
		.signature = args->signature,
		.verify_key = args->verify_key,
		.device_path = args->device_path,
		.certificate_path = args->certificate_path,
		.legacy = args->legacy,
		.unsigned_image = args->unsigned_image,
		.unchecked = args->unchecked,
		.force = args->force,
		.timeout_minutes = (args->device_timeout_ms + 59999) / 60000,
		.per_minute = args->per_minute,
		.retries = args->retries,
		.abort_after = args->abort_after,
		.start = args->start,
		.via_ota_update = args->via == 1,
		.bucket = args->bucket != NULL ? args->bucket : settings_get(ctx->settings, "aws-bucket"),
		.role_arn = args->role_arn != NULL ? args->role_arn : settings_get(ctx->settings, "aws-role-arn"),
	};
	static const struct output_column columns[] = {
		{.key = "updateId", .heading = "Update"},   {.key = "version", .heading = "Version"},
		{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE}, {.key = "sha256", .heading = "SHA-256"},
		{.key = "keyId", .heading = "Signed by key"}, {.key = "targets", .heading = "Targets"},
		{0},
	};
	IOT_JSON record = NULL;
	enum iot_status status = read_percent(args, &spec.abort_percent, err);

	if (status == IOT_OK)
		status = iot_ota_push(command_cloud(ctx), &spec, &record, err);

	if (status != IOT_OK)
		return status;
	if (args->unchecked)
		iot_warn("the signature was not checked; devices are expected to refuse this update");
	command_warn_unserved(ctx);
	if (!args->wait)
		return output_object(ctx->out, columns, record, err);
	if (!ctx->quiet)
		iot_notice("update '%s' is on its way", iot_json_str(record, "updateId", ""));
	return follow(ctx, iot_json_str(record, "updateId", ""), args->timeout_ms, err);
}

static const struct cli_command cmd_push = {
	.name = "push",
	.summary = "Sign an image and send it to devices",
	.description =
		"The image is signed with the fleet's code-signing key, the signature is checked with the public key "
		"that devices have, and a job and a stream are made that FreeRTOS OTA agents understand. With --wait the "
		"command follows the update until every device has ended it and its exit code tells how. It stops "
		"watching after --timeout (of a scheduled update: an hour after its start) and at Ctrl-C; the update "
		"goes on: 'iotctl ota watch' follows it again, 'iotctl ota cancel' ends it.",
	.args = CLI_ARGS(ARG_PATH("IMAGE", struct push_args, image, "firmware file", .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(
		OPT_LIST(0, "to", "DEVICE", struct push_args, devices, "to this device; may be repeated",
			 .complete = COMPLETE_DEVICE),
		OPT_LIST('g', "group", "GROUP", struct push_args, groups,
			 "to the devices of this group; may be repeated", .complete = COMPLETE_GROUP),
		OPT_STR(0, "version", "VERSION", struct push_args, version, "of the image, if it does not say itself"),
		OPT_ENUM(0, "kind", "KIND", struct push_args, kind,
			 "what it is; all but firmware go to ExpressLink modules",
			 .choices = CLI_CHOICES("firmware", "host", "module", "module-cert", "root-ca", "host-cert"),
			 .fallback = "firmware"),
		OPT_FLAG('w', "wait", struct push_args, wait, "follow the update to its end"),
		OPT_DURATION(0, "timeout", "TIME", struct push_args, timeout_ms,
			     "with --wait: stop watching after this, 0: when it has ended", .fallback = "1h"),
		OPT_DURATION(0, "device-timeout", "TIME", struct push_args, device_timeout_ms,
			     "a device that takes longer is timed out", .fallback = "1h", .min = 60000,
			     .max = 604800000),
		OPT_INT(0, "per-minute", "N", struct push_args, per_minute,
			"roll out to at most so many devices a minute", .min = 1, .max = 1000),
		OPT_INT(0, "retries", "N", struct push_args, retries, "try again so often where a device fails",
			.min = 1, .max = 10),
		OPT_STR(0, "max-failures", "PERCENT%", struct push_args, max_failures,
			"cancel it when so many of the devices that ended have failed"),
		OPT_INT(0, "max-failures-after", "N", struct push_args, abort_after,
			"with --max-failures: not before so many have ended", .min = 1, .max = 1000000),
		OPT_STR(0, "start", "TIME", struct push_args, start,
			"begin then: YYYY-MM-DDTHH:MM in UTC, at least 30 minutes ahead"),
		OPT_ENUM(0, "via", "WAY", struct push_args, via, "a stream and a job made here, or the OTA service",
			 .choices = CLI_CHOICES("job", "ota-update"), .fallback = "job"),
		OPT_STR(0, "bucket", "BUCKET", struct push_args, bucket,
			"at AWS: where the image goes (or the setting aws-bucket)"),
		OPT_STR(0, "role-arn", "ARN", struct push_args, role_arn,
			"at AWS: role with which AWS IoT reads it (or the setting aws-role-arn)"),
		OPT_STR('k', "key", "KEY", struct push_args, key, "code-signing key: name, file or pkcs11: URI",
			.complete = COMPLETE_KEY),
		OPT_PATH(0, "signature", "FILE", struct push_args, signature,
			 "use this signature, made by 'image sign'", .complete = COMPLETE_FILE),
		OPT_PATH(0, "verify-key", "FILE", struct push_args, verify_key, "public key that the devices have",
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "id", "ID", struct push_args, id, "name of the update"),
		OPT_STR(0, "device-path", "PATH", struct push_args, device_path, "where the device puts the image"),
		OPT_STR(0, "device-cert", "PATH", struct push_args, certificate_path,
			"which certificate the device checks with", .fallback = "codesign.pem"),
		OPT_FLAG('f', "force", struct push_args, force, "also to devices that run this version"),
		OPT_FLAG(0, "allow-legacy", struct push_args, legacy, "allow SHA-1 signatures"),
		OPT_FLAG(0, "unsigned", struct push_args, unsigned_image, "send no signature (needs --unchecked)"),
		OPT_FLAG(0, "unchecked", struct push_args, unchecked,
			 "send what devices should refuse, to see that they do")),
	.examples = CLI_EXAMPLES({"ota push pump-1.1.0.bin --to pump-0001 --wait", "one device, and see it through"},
				 {"ota push pump-1.1.0.bin --group beta --per-minute 100", "a group, slowly"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_PARTIAL, IOT_ABORTED, IOT_TIMEOUT, IOT_VERIFY,
			   IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(push, struct push_args),
};

/* --- the others ---------------------------------------------------------------------------- */

#define ONE_UPDATE CLI_ARGS(ARG_STR("UPDATE", struct update_args, update, "id of the update", .complete = COMPLETE_OTA))

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct cli_context *)data)->out, record, err);
}

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	enum iot_status status = output_begin_list(ctx->out, update_columns, err);

	(void)args;
	if (status == IOT_OK)
		status = iot_ota_list(command_cloud(ctx), print_row, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List updates",
	.examples = CLI_EXAMPLES({"ota list", "newest first"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct update_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_ota_show(command_cloud(ctx), args->update, &record, err);

	return status == IOT_OK ? print_update(ctx, record, err) : status;
}

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show an update device by device",
	.description = "The table has one line per device; -o json has counts and document as well.",
	.args = ONE_UPDATE,
	.examples = CLI_EXAMPLES({"ota show v1_1_0-20261121T101530-3fa9", "what each device says"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct update_args),
};

static enum iot_status watch(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct update_args *args = args_;

	return follow(ctx, args->update, args->timeout_ms, err);
}

static const struct cli_command cmd_watch = {
	.name = "watch",
	.summary = "Follow an update to its end",
	.args = ONE_UPDATE,
	.opts = CLI_OPTS(OPT_DURATION(0, "timeout", "TIME", struct update_args, timeout_ms,
				      "stop watching after this, 0: when it has ended", .fallback = "1h")),
	.examples =
		CLI_EXAMPLES({"ota watch v1_1_0-20261121T101530-3fa9", "from any machine with rights on the fleet"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_PARTIAL, IOT_ABORTED, IOT_TIMEOUT, IOT_INTERRUPTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(watch, struct update_args),
};

static enum iot_status cancel(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct update_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_ota_cancel(command_cloud(ctx), args->update, args->force, &record, err);

	return status == IOT_OK ? output_object(ctx->out, update_columns, record, err) : status;
}

static const struct cli_command cmd_cancel = {
	.name = "cancel",
	.summary = "End an update for the devices that have not begun it",
	.args = ONE_UPDATE,
	.opts = CLI_OPTS(OPT_FLAG('f', "force", struct update_args, force, "also for devices in the middle of it")),
	.examples = CLI_EXAMPLES({"ota cancel v1_1_0-20261121T101530-3fa9", "queued devices are left as they are"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(cancel, struct update_args),
};

struct gc_args {
	int64_t older_ms;
	bool dry_run;
};

static enum iot_status gc(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "streamId", .heading = "Stream"},
		{.key = "changedAt", .heading = "Changed"},
		{.key = "deleted", .heading = "Deleted", .kind = OUTPUT_BOOL},
		{0},
	};
	const struct gc_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status =
		iot_ota_gc(command_cloud(ctx), args->older_ms, args->dry_run, &records, err);

	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

static const struct cli_command cmd_gc = {
	.name = "gc",
	.summary = "Delete the streams of updates that are over",
	.description = "A stream outlives its job, and an account may have only so many. A stream is dead when it is named as "
		       "updates are, no job that goes on or is scheduled names it, and nobody has changed it for a while.",
	.opts = CLI_OPTS(OPT_DURATION(0, "older-than", "TIME", struct gc_args, older_ms, "spare what was changed since",
				      .fallback = "1h", .min = 0, .max = 31536000000),
			 OPT_FLAG('n', "dry-run", struct gc_args, dry_run, "only list them")),
	.examples = CLI_EXAMPLES({"ota gc --dry-run", "which streams nobody needs"}),
	.exits = CLI_EXITS(IOT_DENIED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(gc, struct gc_args),
};

static enum iot_status doctor(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Device"},
		{.key = "status", .heading = "Status"},
		{.key = "cause", .heading = "Cause"},
		{.key = "cure", .heading = "What to do"},
		{0},
	};
	const struct update_args *args = args_;
	IOT_JSON records = NULL;
	enum iot_status status = iot_ota_doctor(command_cloud(ctx), args->update, &records, err);

	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

static const struct cli_command cmd_doctor_ota = {
	.name = "doctor",
	.summary = "Say why devices have not ended an update",
	.args = ONE_UPDATE,
	.examples = CLI_EXAMPLES({"ota doctor v1_1_0-20261121T101530-3fa9", "cause and cure for each one"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(doctor, struct update_args),
};

const struct cli_command cmd_ota = {
	.name = "ota",
	.summary = "Signed over-the-air updates",
	.subcommands = CLI_COMMANDS(&cmd_push, &cmd_list, &cmd_show, &cmd_watch, &cmd_cancel, &cmd_doctor_ota, &cmd_gc),
};
