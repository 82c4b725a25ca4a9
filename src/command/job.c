/* iotctl job, iotctl stream: what updates are made of, and jobs of one's own. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"

struct job_args {
	const char *job, *device, *document, *description, *status;
	struct cli_list devices, groups;
	bool force, yes;
	int64_t timeout_ms;
};

static const struct output_column list_columns[] = {
	{.key = "jobId", .heading = "Job", .width = 24},
	{.key = "status", .heading = "Status", .width = 11},
	{.key = "targetSelection", .heading = "Selection"},
	{.key = "createdAt", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "completedAt", .heading = "Completed", .kind = OUTPUT_TIME},
	{0},
};

static const struct output_column show_columns[] = {
	{.key = "job.jobId", .heading = "Job"},
	{.key = "job.status", .heading = "Status"},
	{.key = "job.description", .heading = "Description"},
	{.key = "job.targets", .heading = "Targets"},
	{.key = "job.jobProcessDetails.numberOfQueuedThings", .heading = "Queued", .kind = OUTPUT_INT},
	{.key = "job.jobProcessDetails.numberOfInProgressThings", .heading = "In progress", .kind = OUTPUT_INT},
	{.key = "job.jobProcessDetails.numberOfSucceededThings", .heading = "Succeeded", .kind = OUTPUT_INT},
	{.key = "job.jobProcessDetails.numberOfFailedThings", .heading = "Failed", .kind = OUTPUT_INT},
	{.key = "job.jobProcessDetails.numberOfTimedOutThings", .heading = "Timed out", .kind = OUTPUT_INT},
	{.key = "job.createdAt", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "document", .heading = "Document"},
	{0},
};

static const struct output_column execution_columns[] = {
	{.key = "thingArn", .heading = "Device"},
	{.key = "jobExecutionSummary.status", .heading = "Status"},
	{.key = "jobExecutionSummary.executionNumber", .heading = "Number", .kind = OUTPUT_INT},
	{.key = "jobExecutionSummary.lastUpdatedAt", .heading = "Updated", .kind = OUTPUT_TIME},
	{0},
};

#define ONE_JOB ARG_STR("JOB", struct job_args, job, "job id", .complete = COMPLETE_JOB)
#define JOB_DEVICE ARG_STR("DEVICE", struct job_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)

static enum iot_status add_targets(struct cli_context *ctx, const struct job_args *args, json_t *targets,
				   struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < args->devices.count; i++) {
		IOT_CLEAN(iot_free_p) char *thing = NULL;

		status = iot_fleet_resolve(command_cloud(ctx), args->devices.items[i], &thing, err);
		if (status == IOT_OK)
			json_array_append_new(targets, json_pack("s++", iot_cloud_arn_prefix(command_cloud(ctx)), "thing/", thing));
	}
	for (size_t i = 0; i < args->groups.count; i++)
		json_array_append_new(targets, json_pack("s++", iot_cloud_arn_prefix(command_cloud(ctx)), "thinggroup/",
							 args->groups.items[i]));
	if (status == IOT_OK && json_array_size(targets) == 0) {
		iot_fail(err, IOT_USAGE, "a job needs somebody to do it");
		iot_error_hint(err, "name devices with --to, groups with --group");
		return IOT_USAGE;
	}
	return status;
}

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "jobId", .heading = "Job"}, {.key = "jobArn", .heading = "ARN"}, {0}};
	const struct job_args *args = args_;
	struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_JSON targets = json_array();
	IOT_JSON document = NULL;
	enum iot_status status = iot_fs_read(args->document, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, args->document, &document, err);
	if (status == IOT_OK)
		status = add_targets(ctx, args, targets, err);
	if (status == IOT_OK) {
		json_t *request = json_pack("{s:s, s:O, s:s}", "jobId", args->job, "targets", targets, "document",
					    iot_buf_str(&text));

		iot_json_set_str(request, "description", args->description);
		if (args->timeout_ms > 0)
			json_object_set_new(request, "timeoutConfig",
					    json_pack("{s:I}", "inProgressTimeoutInMinutes",
						      (json_int_t)((args->timeout_ms + 59999) / 60000)));
		status = command_print_call(ctx, "CreateJob", request, columns, err);
	}
	if (status == IOT_OK)
		command_warn_unserved(ctx);
	iot_buf_release(&text);
	return status;
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;
	json_t *request = json_object();

	iot_json_set_str(request, "status", args->status);
	return command_print_list(ctx, "ListJobs", request, "jobs", list_columns, err);
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;
	IOT_JSON reply = NULL;
	IOT_JSON document = NULL;
	enum iot_status status = command_call(ctx, "DescribeJob", json_pack("{s:s}", "jobId", args->job), &reply, err);

	if (status == IOT_OK)
		status = command_call(ctx, "GetJobDocument", json_pack("{s:s}", "jobId", args->job), &document, err);
	if (status != IOT_OK)
		return status;
	json_object_set(reply, "document", json_object_get(document, "document"));
	return output_object(ctx->out, show_columns, reply, err);
}

static enum iot_status executions(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;
	json_t *request = json_pack("{s:s}", "jobId", args->job);

	iot_json_set_str(request, "status", args->status);
	return command_print_list(ctx, "ListJobExecutionsForJob", request, "executionSummaries", execution_columns, err);
}

static enum iot_status cancel(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;

	return command_call(ctx, "CancelJob", json_pack("{s:s, s:b}", "jobId", args->job, "force", args->force), NULL, err);
}

static enum iot_status cancel_one(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	if (status != IOT_OK)
		return status;
	return command_call(ctx, "CancelJobExecution",
			    json_pack("{s:s, s:s, s:b}", "jobId", args->job, "thingName", thing, "force", args->force), NULL,
			    err);
}

static enum iot_status delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct job_args *args = args_;
	enum iot_status status = IOT_OK;

	if (!args->yes)
		status = cli_confirm(ctx, "--yes", err, "delete job '%s' and its history?", args->job);
	if (status == IOT_OK)
		status = command_call(ctx, "DeleteJob", json_pack("{s:s, s:b}", "jobId", args->job, "force", args->force), NULL,
				      err);
	return status;
}

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Give devices a job of your own",
	.args = CLI_ARGS(ARG_STR("JOB", struct job_args, job, "job id"),
			 ARG_PATH("DOCUMENT", struct job_args, document, "job document (JSON), - for standard input",
				  .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(
		OPT_LIST(0, "to", "DEVICE", struct job_args, devices, "this device; may be repeated",
			 .complete = COMPLETE_DEVICE),
		OPT_LIST('g', "group", "GROUP", struct job_args, groups, "the devices of this group; may be repeated",
			 .complete = COMPLETE_GROUP),
		OPT_STR(0, "description", "TEXT", struct job_args, description, "what it is for"),
		OPT_DURATION(0, "device-timeout", "TIME", struct job_args, timeout_ms, "a device that takes longer is timed out")),
	.examples = CLI_EXAMPLES({"job create reboot-7 reboot.json --to pump-0001", "the document is yours"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct job_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List jobs",
	.opts = CLI_OPTS(OPT_STR(0, "status", "STATUS", struct job_args, status, "only in this state",
				 .choices = CLI_CHOICES("IN_PROGRESS", "COMPLETED", "CANCELED", "SCHEDULED"))),
	.examples = CLI_EXAMPLES({"job list --status IN_PROGRESS", "those that are not done"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct job_args),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show a job with its document and counts",
	.args = CLI_ARGS(ONE_JOB),
	.examples = CLI_EXAMPLES({"job show reboot-7", "how far it is"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct job_args),
};

static const struct cli_command cmd_executions = {
	.name = "executions",
	.summary = "List a job's executions, device by device",
	.args = CLI_ARGS(ONE_JOB),
	.opts = CLI_OPTS(OPT_STR(0, "status", "STATUS", struct job_args, status, "only in this state",
				 .choices = CLI_CHOICES("QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "TIMED_OUT", "REJECTED",
							"REMOVED", "CANCELED"))),
	.examples = CLI_EXAMPLES({"job executions reboot-7 --status FAILED", "who could not"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(executions, struct job_args),
};

#define FORCE OPT_FLAG('f', "force", struct job_args, force, "also where it is in progress")

static const struct cli_command cmd_cancel = {
	.name = "cancel",
	.summary = "End a job for the devices that have not begun it",
	.args = CLI_ARGS(ONE_JOB),
	.opts = CLI_OPTS(FORCE),
	.examples = CLI_EXAMPLES({"job cancel reboot-7", "the rest of the fleet"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(cancel, struct job_args),
};

static const struct cli_command cmd_cancel_one = {
	.name = "cancel-one",
	.summary = "End a job for one device",
	.args = CLI_ARGS(ONE_JOB, JOB_DEVICE),
	.opts = CLI_OPTS(FORCE),
	.examples = CLI_EXAMPLES({"job cancel-one reboot-7 pump-0001", "the others go on"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(cancel_one, struct job_args),
};

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Delete a job that has ended, with its history",
	.args = CLI_ARGS(ONE_JOB),
	.opts = CLI_OPTS(FORCE, OPT_FLAG('y', "yes", struct job_args, yes, "do not ask")),
	.examples = CLI_EXAMPLES({"job delete reboot-7 --yes", "without asking"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_ABORTED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete, struct job_args),
};

const struct cli_command cmd_job = {
	.name = "job",
	.summary = "Jobs: what devices are asked to do",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_list, &cmd_show, &cmd_executions, &cmd_cancel, &cmd_cancel_one, &cmd_delete),
};

/* --- streams ------------------------------------------------------------------------------ */

struct stream_args {
	const char *stream;
};

static enum iot_status stream_list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "streamId", .heading = "Stream", .width = 24},
		{.key = "streamVersion", .heading = "Version", .kind = OUTPUT_INT},
		{.key = "description", .heading = "Description"},
		{0},
	};

	(void)args;
	return command_print_list(ctx, "ListStreams", NULL, "streams", columns, err);
}

static enum iot_status stream_show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "streamInfo.streamId", .heading = "Stream"},
		{.key = "streamInfo.streamVersion", .heading = "Version", .kind = OUTPUT_INT},
		{.key = "streamInfo.description", .heading = "Description"},
		{.key = "streamInfo.files", .heading = "Files"},
		{.key = "streamInfo.createdAt", .heading = "Created", .kind = OUTPUT_TIME},
		{0},
	};
	const struct stream_args *args = args_;

	return command_print_call(ctx, "DescribeStream", json_pack("{s:s}", "streamId", args->stream), columns, err);
}

static enum iot_status stream_delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct stream_args *args = args_;

	return command_call(ctx, "DeleteStream", json_pack("{s:s}", "streamId", args->stream), NULL, err);
}

#define ONE_STREAM CLI_ARGS(ARG_STR("STREAM", struct stream_args, stream, "stream id"))

static const struct cli_command cmd_stream_list = {
	.name = "list",
	.summary = "List streams",
	.examples = CLI_EXAMPLES({"stream list", "one for each update"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(stream_list),
};

static const struct cli_command cmd_stream_show = {
	.name = "show",
	.summary = "Show a stream's files",
	.args = ONE_STREAM,
	.examples = CLI_EXAMPLES({"stream show AFR_OTA-v1_1_0-20261121T101530-3fa9", "its image"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(stream_show, struct stream_args),
};

static const struct cli_command cmd_stream_delete = {
	.name = "delete",
	.summary = "Delete a stream; devices can no longer download from it",
	.args = ONE_STREAM,
	.examples = CLI_EXAMPLES({"stream delete AFR_OTA-v1_1_0-20261121T101530-3fa9", "after the update has ended"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(stream_delete, struct stream_args),
};

const struct cli_command cmd_stream = {
	.name = "stream",
	.summary = "File streams: what devices download from",
	.subcommands = CLI_COMMANDS(&cmd_stream_list, &cmd_stream_show, &cmd_stream_delete),
};
