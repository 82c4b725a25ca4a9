/* iotctl init: make a fleet, and make it the default. */
#include "command/context.h"

#include "command/commands.h"
#include "iotctl/fleet.h"
#include "iotctl/log.h"

struct init_args {
	const char *name, *directory, *endpoint, *ca_key;
	int64_t port;
	bool no_default;
};

static const struct output_column columns[] = {
	{.key = "name", .heading = "Fleet"},       {.key = "directory", .heading = "Directory"},
	{.key = "endpoint", .heading = "Endpoint"}, {.key = "port", .heading = "Port", .kind = OUTPUT_INT},
	{.key = "policy", .heading = "Policy"},     {.key = "codesign", .heading = "Code-signing key"},
	{0},
};

static enum iot_status init(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct init_args *args = args_;
	IOT_CLEAN(iot_free_p) char *dir = NULL;
	IOT_CLEAN(iot_free_p) char *user_file = NULL;
	IOT_JSON record = NULL;
	struct iot_fleet_init_options options = {.name = args->name, .endpoint = args->endpoint, .port = (int)args->port,
						 .ca_key = args->ca_key};
	enum iot_status status;

	dir = command_fleet_dir(args->directory != NULL ? args->directory : args->name);
	options.dir = dir;
	status = iot_fleet_init(&options, &record, err);
	if (status == IOT_OK && !args->no_default) {
		user_file = settings_user_file();
		status = settings_set(user_file, "default", "fleet", args->directory != NULL ? dir : args->name, err);
		iot_error_while(err, "making fleet '%s' the default; the fleet itself is complete", args->name);
	}
	if (status == IOT_OK)
		status = output_object(ctx->out, columns, record, err);
	if (status == IOT_OK && !ctx->quiet)
		iot_notice("fleet '%s' is ready; start its cloud with 'iotctl serve --detach'", args->name);
	return status;
}

const struct cli_command cmd_init = {
	.name = "init",
	.group = "fleet",
	.summary = "Make a fleet: registry, CA, code-signing key, device policy",
	.description = "The fleet lives in one directory: registry.db, ca/, codesign/, images/ and broker/. It becomes the "
		       "default fleet of this user. Nothing is ever overwritten.\n\n"
		       "Devices reach the fleet's broker at the endpoint and port given here; both go into the broker's "
		       "certificate and into every device's folder.",
	.args = CLI_ARGS(ARG_STR("NAME", struct init_args, name, "name of the fleet")),
	.opts = CLI_OPTS(OPT_STR(0, "endpoint", "HOST", struct init_args, endpoint, "host name or address that devices use",
				 .fallback = "localhost"),
			 OPT_INT(0, "port", "PORT", struct init_args, port, "port that devices use", .min = 1, .max = 65535,
				 .fallback = "8883"),
			 OPT_PATH(0, "directory", "DIR", struct init_args, directory, "where, instead of the user's data folder",
				  .complete = COMPLETE_DIR),
			 OPT_STR(0, "ca-key", "KEY", struct init_args, ca_key,
				 "key of the issuing CA: a file or a pkcs11: URI", .complete = COMPLETE_FILE),
			 OPT_FLAG(0, "keep-default", struct init_args, no_default, "do not make it the default fleet")),
	.examples = CLI_EXAMPLES({"init demo", "a fleet on this machine"},
				 {"init bench --endpoint broker.example.net", "devices reach it over the network"}),
	.exits = CLI_EXITS(IOT_CONFLICT, IOT_SETTINGS),
	CLI_RUN(init, struct init_args),
};
