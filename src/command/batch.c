/* --from: the same for every device that a CSV file lists, a row of output for each, progress with rate and time left.
 */
#include "command/batch.h"

#include "command/context.h"
#include "iotctl/clock.h"

struct batch_view {
	struct cli_context *ctx;
	int64_t began;
};

static const struct output_column row_columns[] = {
	{.key = "line", .heading = "Line", .kind = OUTPUT_INT},
	{.key = "thingName", .heading = "Device", .width = 16},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{.key = "error", .heading = "Error"},
	{0},
};

static enum iot_status print_result(json_t *record, void *data, struct iot_error *err)
{
	return output_row(((struct batch_view *)data)->ctx->out, record, err);
}

/* Of an earlier call's rows nothing follows for how fast these are. */
static void show_progress(int64_t done, int64_t now, int64_t total, void *data)
{
	const struct batch_view *view = data;
	int64_t elapsed = iot_monotonic_ms() - view->began;
	double rate = elapsed > 0 ? (double)now * 1000 / (double)elapsed : 0;
	char note[80] = "";

	if (now > 0 && elapsed >= 1000)
		snprintf(note, sizeof(note), "%.1f a second, %.0f s left", rate, (double)(total - done) / rate);
	progress_set_total(view->ctx->progress, total);
	progress_update(view->ctx->progress, done, note);
}

static bool interrupted(void *data)
{
	return cli_interrupted(((struct batch_view *)data)->ctx);
}

enum iot_status command_batch_check(const struct batch_args *args, const char *device, struct iot_error *err)
{
	if ((device == NULL) == (args->from == NULL))
		return iot_fail(err, IOT_USAGE, "name a device, or a file of them with --from");
	if (args->from == NULL && (args->resume != NULL || args->retry_failed || args->max_failures > 0))
		return iot_fail(err, IOT_USAGE, "--resume, --retry-failed and --max-failures belong to --from");
	return IOT_OK;
}

enum iot_status command_batch(struct cli_context *ctx, const struct batch_args *args, enum iot_batch_kind kind,
			      const struct iot_device_spec *defaults, const char *out, struct iot_error *err)
{
	struct batch_view view = {ctx, iot_monotonic_ms()};
	const struct iot_device_batch batch = {
		.kind = kind,
		.file = args->from,
		.defaults = *defaults,
		.out = out,
		.journal = args->resume,
		.retry_failed = args->retry_failed,
		.max_failures = args->max_failures,
		.each = print_result,
		.progress = show_progress,
		.interrupted = interrupted,
		.data = &view,
	};
	struct iot_error late = IOT_ERROR_INIT;
	enum iot_status status = output_begin_list(ctx->out, row_columns, err), ended;

	if (status != IOT_OK)
		return status;
	progress_begin(ctx->progress, "devices", 0, PROGRESS_COUNT);
	status = iot_device_batch_run(command_cloud(ctx), &batch, err);
	progress_end(ctx->progress, status == IOT_OK);
	ended = output_end(ctx->out, status == IOT_OK ? err : &late);
	return status == IOT_OK ? ended : status;
}
