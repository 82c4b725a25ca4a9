/* iotctl sim jwt-device: a device made for Google's IoT Core. */
#include "command/commands.h"
#include "command/context.h"
#include "command/sim_events.h"
#include "iotctl/sim.h"

struct jwt_device_args {
	const char *device, *key, *ca, *host, *project, *location, *registry, *audience, *fault;
	int64_t port, lifetime_ms, interval_ms, renewals, exit_after_ms;
};

static enum iot_status jwt_device(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct jwt_device_args *args = args_;
	const struct iot_sim_jwt_options options = {
		.host = args->host,
		.port = (int)args->port,
		.ca = args->ca,
		.key = args->key,
		.project = args->project,
		.location = args->location,
		.registry = args->registry,
		.device = args->device,
		.audience = args->audience,
		.lifetime_s = args->lifetime_ms / 1000,
		.interval_ms = args->interval_ms,
		.fault = args->fault,
		.renewals = args->renewals,
		.exit_after_ms = args->exit_after_ms,
		.interrupted = command_interrupted,
	};
	sim_event *event = NULL;
	enum iot_status status = sim_events_begin(ctx, &event, err);

	if (status == IOT_OK)
		status = iot_sim_jwt_run(&options, event, ctx, err);
	return sim_events_end(ctx, status, err);
}

const struct cli_command cmd_sim_jwt_device = {
	.name = "jwt-device",
	.summary = "Run a software device that shows tokens, as made for Google's IoT Core",
	.description = "It connects to the listener of 'iotctl serve --jwt-port' with a token as its password, and "
		       "anew with another one when 80 % of its life are over. It sends events, reports its state, "
		       "which acknowledges its configuration, and answers commands.\n\n"
		       "Faults: expired shows a token of the day before yesterday, audience one for another project, "
		       "der one whose signature is in DER, key one signed with a key that nobody knows; keep shows "
		       "the same token until it is cut off. With each it ends with code 5.",
	.args = CLI_ARGS(ARG_STR("DEVICE", struct jwt_device_args, device, "its thing name")),
	.opts = CLI_OPTS(
		OPT_STR('k', "key", "KEY", struct jwt_device_args, key, "its private key: file or pkcs11: URI",
			.required = true, .complete = COMPLETE_FILE),
		OPT_PATH(0, "ca", "FILE", struct jwt_device_args, ca, "CA of the broker", .required = true,
			 .complete = COMPLETE_FILE),
		OPT_STR(0, "project", "NAME", struct jwt_device_args, project, "the project's id", .required = true),
		OPT_STR(0, "host", "HOST", struct jwt_device_args, host, "the broker", .fallback = "localhost"),
		OPT_INT(0, "port", "PORT", struct jwt_device_args, port, "its port for tokens", .min = 1, .max = 65535,
			.fallback = "8884"),
		OPT_STR(0, "location", "NAME", struct jwt_device_args, location, "of the client id",
			.fallback = "local"),
		OPT_STR(0, "registry", "NAME", struct jwt_device_args, registry, "of the client id",
			.fallback = "fleet"),
		OPT_STR(0, "audience", "NAME", struct jwt_device_args, audience,
			"whom tokens are made for; by default the "
			"project"),
		OPT_DURATION(0, "lifetime", "TIME", struct jwt_device_args, lifetime_ms, "how long a token is good",
			     .min = 1000, .max = 86400000, .fallback = "1h"),
		OPT_DURATION(0, "interval", "TIME", struct jwt_device_args, interval_ms, "between events", .min = 10,
			     .max = 3600000, .fallback = "10s"),
		OPT_INT(0, "renewals", "N", struct jwt_device_args, renewals, "end after so many tokens", .min = 1,
			.max = 1000000000),
		OPT_DURATION(0, "exit-after", "TIME", struct jwt_device_args, exit_after_ms, "end after this"),
		OPT_STR(0, "fault", "FAULT", struct jwt_device_args, fault, "misbehave in this way")),
	.examples = CLI_EXAMPLES({"sim jwt-device pump-0001 --key pump-0001.key --ca root.pem --project demo",
				  "until Ctrl-C, a new token every 48 minutes"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_AGAIN),
	CLI_RUN(jwt_device, struct jwt_device_args),
};
