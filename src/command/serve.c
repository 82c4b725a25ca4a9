/* iotctl serve: the local cloud's one process to start. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/broker.h"
#include "iotctl/layout.h"
#include "iotctl/log.h"

#include <string.h>

struct serve_args {
	const char *listen, *api_listen, *plugin, *mosquitto, *project;
	int64_t port, staging_port, psk_port, jwt_port, api_port, skew;
	bool detach, stop, status;
};

static const struct output_column columns[] = {
	{.key = "running", .heading = "Running", .kind = OUTPUT_BOOL},
	{.key = "pid", .heading = "Process", .kind = OUTPUT_INT},
	{.key = "mosquittoPid", .heading = "mosquitto", .kind = OUTPUT_INT},
	{.key = "listen", .heading = "Listens on"},
	{.key = "port", .heading = "Port", .kind = OUTPUT_INT},
	{.key = "stagingPort", .heading = "Staging port", .kind = OUTPUT_INT},
	{.key = "pskPort", .heading = "TLS-PSK port", .kind = OUTPUT_INT},
	{.key = "jwtPort", .heading = "JWT port", .kind = OUTPUT_INT},
	{.key = "apiListen", .heading = "HTTPS API on"},
	{.key = "apiPort", .heading = "API port", .kind = OUTPUT_INT},
	{.key = "since", .heading = "Since"},
	{.key = "connected", .heading = "Devices connected", .kind = OUTPUT_INT},
	{0},
};

static enum iot_status print_status(struct cli_context *ctx, struct iot_error *err)
{
	IOT_JSON record = NULL;
	enum iot_status status = iot_serve_status(command_fleet(ctx), &record, err);

	if (status == IOT_OK)
		status = output_object(ctx->out, columns, record, err);
	if (status == IOT_OK && !iot_json_bool(record, "running", false)) {
		iot_fail(err, IOT_NOT_FOUND, "serve is not running for fleet '%s'", command_fleet(ctx));
		iot_error_hint(err, "start it with 'iotctl serve --detach'");
		return IOT_NOT_FOUND;
	}
	return status;
}

/* What was not given stays as it was; 0 ends it. */
static int optional_port(struct cli_context *ctx, const char *option, int64_t port)
{
	return !cli_given(ctx, option) ? 0 : port > 0 ? (int)port : -1;
}

/* --- what layouts say, for serve ------------------------------------------------------- */

static enum iot_status load_talk(struct iot_cloud *cloud, void **ret_talk, struct iot_error *err)
{
	struct iot_talk *talk = NULL;
	enum iot_status status = iot_talk_new(cloud, &talk, err);

	*ret_talk = talk;
	return status;
}

static void free_talk(void *talk)
{
	iot_talk_free(talk);
}

static const char *const *talk_filters(const void *talk, bool states)
{
	return iot_talk_filters(talk, states ? IOT_ROLE_STATE : IOT_ROLE_EVENT);
}

static const json_t *talk_topics(const void *talk)
{
	return iot_talk_topics(talk);
}

static bool match_talk(const void *talk, const char *topic, const char *thing, struct iot_serve_said *ret)
{
	struct iot_talk_match match;

	if (!iot_talk_match(talk, topic, thing, &match))
		return false;
	ret->is_state = match.topic.role == IOT_ROLE_STATE;
	memcpy(ret->thing, match.topic.thing, sizeof(ret->thing));
	memcpy(ret->subfolder, match.topic.subfolder, sizeof(ret->subfolder));
	ret->layout = match.layout;
	ret->version_member = match.version_member;
	return true;
}

static const struct iot_serve_talk talk_ops = {load_talk, free_talk, talk_filters, talk_topics, match_talk};

static void tell_listening(const struct cli_context *ctx)
{
	IOT_JSON record = NULL;

	if (iot_serve_status(command_fleet(ctx), &record, NULL) == IOT_OK)
		iot_notice("serve listens on %s, port %lld; 'iotctl serve --stop' ends it",
			   iot_json_str(record, "listen", ""), (long long)iot_json_int(record, "port", 0));
}

static enum iot_status serve(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct serve_args *args = args_;
	const struct iot_serve_options options = {
		.fleet_dir = command_fleet(ctx),
		.listen = args->listen,
		.port = (int)args->port,
		.detach = args->detach,
		.plugin_path = args->plugin,
		.mosquitto = args->mosquitto,
		.talk = &talk_ops,
		.staging_port = optional_port(ctx, "staging-port", args->staging_port),
		.psk_port = optional_port(ctx, "psk-port", args->psk_port),
		.jwt_port = optional_port(ctx, "jwt-port", args->jwt_port),
		.project = args->project,
		.token_skew = !cli_given(ctx, "token-skew") ? 0 : args->skew >= 1000 ? args->skew / 1000 : -1,
		.api_listen = args->api_listen,
		.api_port = optional_port(ctx, "api-port", args->api_port),
	};
	enum iot_status status;

	if (args->stop + args->status + args->detach > 1)
		return iot_fail(err, IOT_USAGE, "--detach, --stop and --status exclude one another");
	if (args->stop)
		return iot_serve_stop(command_fleet(ctx), 15000, err);
	if (args->status)
		return print_status(ctx, err);
	status = iot_serve_run(&options, err);
	if (status == IOT_OK && args->detach)
		tell_listening(ctx);
	return status;
}

const struct cli_command cmd_serve = {
	.name = "serve",
	.summary = "Run the local cloud: broker, jobs, file streams",
	.description =
		"Starts mosquitto with our plugin and keeps it running, and serves jobs, file streams and presence to the "
		"fleet's devices. SIGTERM and Ctrl-C end all that was started. Nothing that devices must hear is lost when it "
		"is stopped or killed at any moment.\n\n"
		"With --staging-port there is a second listener, with a mosquitto of its own, where ExpressLink modules "
		"arrive that know no fleet yet. A trusted vendor's CA ('iotctl ca trust') must have issued the certificate "
		"that a module was born with; its client id must be its UID, which is the subject's serialNumber, or the "
		"common name where there is none. Such a module can only wait for its endpoint: when it is claimed "
		"('iotctl device claim'), it becomes a device and is told the fleet's host name on UID/expresslink_config. "
		"Real modules then connect to port 8883.\n\n"
		"With --psk-port devices that are too small for certificates connect with TLS-PSK and a secret of 'iotctl psk', "
		"TLS 1.2 and 1.3; a resumed session is refused. With --jwt-port devices that were made for Google's IoT Core "
		"connect as to its MQTT bridge: client id projects/PROJECT/locations/L/registries/R/devices/DEVICE, a JWT as the "
		"password, signed with a key of 'iotctl jwt add-key'; they speak on /devices/DEVICE/ alone (layout gcp). The "
		"policies of either kind are those of the thing groups that the device is in: iotctl-listeners(7). Usual ports are 8885 and 8884.\n\n"
		"With --api-port there is an HTTPS API that AWS's own tools speak: the operations of 'iotctl api --list' as "
		"requests of AWS IoT and of what S3 an image needs, signed (Signature Version 4) with an operator's access key "
		"('iotctl operator create'), each allowed by that operator's policy. 'aws --endpoint-url "
		"https://HOST:8443 --ca-bundle CA.pem iot list-things' works. A request that changes something counts once: its "
		"signature is remembered for 15 minutes, and clocks may be off by as much.",
	.opts = CLI_OPTS(
		OPT_FLAG('d', "detach", struct serve_args, detach, "return when it listens, go on in the background"),
		OPT_FLAG(0, "stop", struct serve_args, stop, "stop the one that runs"),
		OPT_FLAG(0, "status", struct serve_args, status, "show the one that runs; exit code 3 when none does"),
		OPT_STR(0, "listen", "ADDRESS", struct serve_args, listen, "address for devices", .fallback = "127.0.0.1"),
		OPT_INT(0, "port", "PORT", struct serve_args, port, "port for devices; kept, new device folders name it", .min = 1,
			.max = 65535),
		OPT_INT(0, "staging-port", "PORT", struct serve_args, staging_port,
			"port for modules that know no fleet yet; 0: none; kept", .min = 0, .max = 65535),
		OPT_INT(0, "psk-port", "PORT", struct serve_args, psk_port,
			"port for devices with a shared secret (TLS-PSK); 0: none; kept", .min = 0, .max = 65535),
		OPT_INT(0, "jwt-port", "PORT", struct serve_args, jwt_port,
			"port for devices that show tokens (JWT); 0: none; kept", .min = 0, .max = 65535),
		OPT_STR(0, "project", "NAME", struct serve_args, project,
			"whom tokens are made for; at first the fleet's name; kept"),
		OPT_DURATION(0, "token-skew", "TIME", struct serve_args, skew,
			     "by how much the clocks of such devices may be wrong; at first 10m; kept", .max = 86400000),
		OPT_INT(0, "api-port", "PORT", struct serve_args, api_port,
			"port of the HTTPS API, as 8443; 0: none; kept", .min = 0, .max = 65535),
		OPT_STR(0, "api-listen", "ADDRESS", struct serve_args, api_listen,
			"address of the HTTPS API; kept; that of --listen if it was never given"),
		OPT_PATH(0, "plugin", "FILE", struct serve_args, plugin, "the broker plugin, if it is elsewhere",
			 .complete = COMPLETE_FILE, .env = "IOTCTL_PLUGIN"),
		OPT_PATH(0, "mosquitto", "FILE", struct serve_args, mosquitto, "the broker, if it is elsewhere",
			 .complete = COMPLETE_FILE)),
	.examples = CLI_EXAMPLES({"serve --detach", "start it"}, {"serve --status", "is it up?"},
			      {"serve --detach --staging-port 8886", "with a staging endpoint, now and later"},
			      {"serve --detach --psk-port 8885 --jwt-port 8884", "also for devices without certificates"},
			      {"serve --detach --api-port 8443", "with the HTTPS API, for operators and AWS tools"}, {"serve --stop", "end it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_TIMEOUT, IOT_SETTINGS),
	.needs = CLI_NEEDS_FLEET,
	CLI_RUN(serve, struct serve_args),
};
