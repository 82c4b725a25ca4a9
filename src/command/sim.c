/* iotctl sim: software devices and firmware for them. */
#include "command/commands.h"
#include "command/context.h"
#include "command/sim_events.h"
#include "iotctl/image.h"
#include "iotctl/log.h"
#include "iotctl/sim.h"

struct firmware_args {
	const char *version, *out;
	int64_t size;
	bool crash, hang, fail_test;
};

struct device_args {
	const char *dir, *image, *fault, *behaviour;
	int64_t count, connect_window;
	int64_t block_size, window, watchdog_ms, request_timeout_ms, exit_after_ms;
	bool factory_boot, once;
};

/* --- firmware ---------------------------------------------------------------------------- */

static enum iot_status firmware(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "image", .heading = "Image"},
		{.key = "version", .heading = "Version"},
		{.key = "behaviour", .heading = "Behaviour"},
		{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE},
		{0},
	};
	const struct firmware_args *args = args_;
	struct iot_sim_firmware fw = {.behaviour = IOT_SIM_OK, .size = (uint32_t)args->size};
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_JSON record = NULL;
	enum iot_status status;

	if (args->crash + args->hang + args->fail_test > 1)
		return iot_fail(err, IOT_USAGE, "--crash, --hang and --fail-test exclude one another");
	if (args->crash)
		fw.behaviour = IOT_SIM_CRASH;
	else if (args->hang)
		fw.behaviour = IOT_SIM_HANG;
	else if (args->fail_test)
		fw.behaviour = IOT_SIM_FAIL_TEST;
	status = iot_sim_version_parse(args->version, &fw, err);
	if (status != IOT_OK)
		return status;
	path = args->out != NULL ? iot_strdup(args->out) : iot_strf("firmware-%s.bin", args->version);
	status = iot_sim_firmware_write(path, &fw, err);
	if (status != IOT_OK)
		return status;
	record = json_pack("{s:s, s:s, s:s, s:I}", "image", path, "version", args->version, "behaviour",
			   iot_sim_behaviour_name(fw.behaviour), "size", (json_int_t)fw.size);
	return output_object(ctx->out, columns, record, err);
}

static const struct cli_command cmd_firmware = {
	.name = "firmware",
	.summary = "Make firmware for software devices",
	.description = "The same version is the same file. What it does when it is booted can be chosen, to see an update go "
		       "wrong and be taken back.",
	.opts = CLI_OPTS(
		OPT_STR(0, "version", "X.Y.Z", struct firmware_args, version, "version of the image", .required = true),
		OPT_PATH(0, "out", "FILE", struct firmware_args, out, "where; by default firmware-X.Y.Z.bin",
			 .complete = COMPLETE_FILE),
		OPT_SIZE(0, "size", "BYTES", struct firmware_args, size, "size of the image", .min = 64,
			 .max = IOT_SIM_SIZE_MAX, .fallback = "256k"),
		OPT_FLAG(0, "crash", struct firmware_args, crash, "crashes when it is booted"),
		OPT_FLAG(0, "hang", struct firmware_args, hang, "hangs until the watchdog bites"),
		OPT_FLAG(0, "fail-test", struct firmware_args, fail_test, "fails its self-test")),
	.examples = CLI_EXAMPLES({"sim firmware --version 1.1.0 --out pump-1.1.0.bin", "a good image"},
				 {"sim firmware --version 1.2.0 --crash --out pump-bad.bin", "one that is taken back"}),
	CLI_RUN(firmware, struct firmware_args),
};

/* --- devices -------------------------------------------------------------------------------- */

static struct iot_sim_device_options options_of(const struct device_args *args)
{
	return (struct iot_sim_device_options){
		.dir = args->dir,
		.image = args->image,
		.factory_boot = args->factory_boot,
		.block_size = (int)args->block_size,
		.window = (int)args->window,
		.watchdog_ms = args->watchdog_ms,
		.request_timeout_ms = args->request_timeout_ms,
		.once = args->once,
		.exit_after_ms = args->exit_after_ms,
		.fault = args->fault,
		.behaviour = args->behaviour,
	};
}

static void fleet_event(const char *thing, const char *name, const char *detail, void *ctx)
{
	sim_events_print(ctx, thing, name, detail);
}

static enum iot_status device(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct iot_sim_device_options options = options_of(args_);
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_device_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

static enum iot_status fleet(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct device_args *args = args_;
	const struct iot_sim_fleet_options options = {
		.dir = args->dir,
		.count = (int)args->count,
		.image = args->image,
		.connect_window = (int)args->connect_window,
		.exit_after_ms = args->exit_after_ms,
		.once = args->once,
		.device = options_of(args),
	};
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_fleet_run(&options, event != NULL ? fleet_event : NULL, ctx, err);
	return sim_events_end(ctx, status, err);
}

#define DEVICE_OPTIONS                                                                                                   \
	OPT_PATH(0, "image", "FILE", struct device_args, image, "firmware of the factory slot, for the first start",     \
		 .complete = COMPLETE_FILE),                                                                             \
		OPT_INT(0, "block-size", "BYTES", struct device_args, block_size, "bytes in a block of an update",       \
			.min = 256, .max = 131072, .fallback = "4096"),                                                  \
		OPT_INT(0, "window", "N", struct device_args, window, "blocks asked for at once", .min = 1, .max = 256,  \
			.fallback = "8"),                                                                                \
		OPT_DURATION(0, "watchdog", "TIME", struct device_args, watchdog_ms, "an image that hangs is reset",     \
			     .min = 10, .max = 3600000, .fallback = "2s"),                                                               \
		OPT_DURATION(0, "request-timeout", "TIME", struct device_args, request_timeout_ms,                       \
			     "an unanswered request is repeated", .min = 10, .max = 3600000, .fallback = "2s"),                          \
		OPT_DURATION(0, "exit-after", "TIME", struct device_args, exit_after_ms, "end after this"),              \
		OPT_FLAG(0, "once", struct device_args, once, "end when no job is left"),                                \
		OPT_STR(0, "fault", "FAULT", struct device_args, fault, "misbehave in this way"),                        \
		OPT_PATH(0, "behaviour", "FILE", struct device_args, behaviour,                                          \
			 "do what this file says; bus and depot are there already", .complete = COMPLETE_FILE)

static const struct cli_command cmd_device_sim = {
	.name = "device",
	.summary = "Run a software device from its folder",
	.description =
		"A device with a factory slot and two update slots, a bootloader, a watchdog and an OTA agent that speaks to "
		"the broker as FreeRTOS agents do. Its slots and state are kept in DIR/sim, so a kill is a power cut.\n\n"
		"Faults, to see what the cloud makes of them (several separated by commas): silent takes no job; stuck takes one "
		"and is not heard of again; twice sends every update twice; out-of-range asks for blocks that are not there; "
		"foreign-job reports success for another device's job; slow[=TIME] waits before each request; client-id=NAME "
		"connects under another name.\n\n"
		"It acknowledges its configuration and answers each command with {\"ok\": true}, on the topics of its layout as "
		"device.json has them. A behaviour makes more of it: iotctl-simulators(7) describes the file.",
	.args = CLI_ARGS(ARG_PATH("DIR", struct device_args, dir, "device folder, made by 'device create --out'",
				  .complete = COMPLETE_DIR)),
	.opts = CLI_OPTS(DEVICE_OPTIONS,
			 OPT_FLAG(0, "factory-boot", struct device_args, factory_boot,
				  "forget both update slots and boot the factory image")),
	.examples = CLI_EXAMPLES({"sim device ./pump-0001 --image pump-1.0.0.bin", "until Ctrl-C"},
			      {"sim device ./bus-17 --behaviour bus", "a bus, of the layout buses"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_AGAIN, IOT_VERIFY),
	CLI_RUN(device, struct device_args),
};

static const struct cli_command cmd_fleet_sim = {
	.name = "fleet",
	.summary = "Run many software devices in one process",
	.args = CLI_ARGS(ARG_PATH("DIR", struct device_args, dir, "folder that holds the device folders",
				  .complete = COMPLETE_DIR)),
	.opts = CLI_OPTS(OPT_INT('n', "count", "N", struct device_args, count, "how many of them", .min = 1, .max = 100000),
			 OPT_INT(0, "connect-window", "N", struct device_args, connect_window, "connects under way at once",
				 .min = 1, .max = 1024, .fallback = "32"),
			 DEVICE_OPTIONS),
	.examples = CLI_EXAMPLES({"sim fleet ./devices -n 100 --image pump-1.0.0.bin", "a hundred of them"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_PARTIAL, IOT_AGAIN),
	CLI_RUN(fleet, struct device_args),
};

const struct cli_command cmd_sim = {
	.name = "sim",
	.group = "tools",
	.summary = "Software devices, and firmware for them",
	.description = "What they keep, what they do and how they can be made to fail: iotctl-simulators(7).",
	.subcommands = CLI_COMMANDS(&cmd_firmware, &cmd_device_sim, &cmd_fleet_sim, &cmd_sim_jwt_device,
				    &cmd_sim_psk, &cmd_sim_expresslink, &cmd_sim_board, &cmd_sim_host),
};
