/* Public keys that devices sign tokens with, as verbs of jwt (in place of a certificate) and of attest. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

struct key_args {
	const char *device, *file, *id, *expires;
};

enum { KEY_FILE_MAX = 16384 };

static const struct output_column columns[] = {
	{.key = "keyId", .heading = "Key", .width = 64},
	{.key = "thingName", .heading = "Device"},
	{.key = "type", .heading = "Type", .width = 7},
	{.key = "expiresAt", .heading = "Expires", .kind = OUTPUT_TIME},
	{.key = "createdAt", .heading = "Added", .kind = OUTPUT_TIME},
	{0},
};

static enum iot_status add_for(struct cli_context *ctx, const struct key_args *args, const char *purpose,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_SECRET(KEY_FILE_MAX);
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	int64_t expires = 0;
	json_t *request;
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	if (status == IOT_OK && args->expires != NULL)
		status = iot_time_parse_rfc3339(args->expires, &expires, err);
	if (status == IOT_OK)
		status = iot_fs_read(args->file, &pem, err);
	if (status != IOT_OK)
		return status;
	if (!iot_utf8_valid(iot_buf_str(&pem), pem.len))
		return iot_fail(err, IOT_USAGE, "'%s' is not a public key in PEM", args->file);
	request = json_pack("{s:s, s:s, s:s}", "thingName", thing, "publicKey", iot_buf_str(&pem), "purpose", purpose);
	if (args->expires != NULL)
		iot_json_set_int(request, "expiresAt", expires / 1000);
	return command_print_call(ctx, "iotctl:AddDeviceKey", request, columns, err);
}

static enum iot_status list_for(struct cli_context *ctx, const struct key_args *args, const char *purpose,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	return status == IOT_OK ? command_print_list(ctx, "iotctl:ListDeviceKeys",
						     json_pack("{s:s, s:s}", "thingName", thing, "purpose", purpose),
						     "keys", columns, err)
				: status;
}

static enum iot_status remove_key(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct key_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	return status == IOT_OK
		       ? command_call(ctx, "iotctl:RemoveDeviceKey",
				      json_pack("{s:s, s:s}", "thingName", thing, "keyId", args->id), NULL, err)
		       : status;
}

static enum iot_status add_to_connect(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return add_for(ctx, args, "connect", err);
}

static enum iot_status add_to_attest(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return add_for(ctx, args, "attest", err);
}

static enum iot_status list_to_connect(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return list_for(ctx, args, "connect", err);
}

static enum iot_status list_to_attest(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return list_for(ctx, args, "attest", err);
}

/* --- the rows ------------------------------------------------------------------------------ */

#define DEVICE ARG_STR("DEVICE", struct key_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)
#define FILE_AND_EXPIRES                                                                                               \
	.args = CLI_ARGS(DEVICE, ARG_PATH("FILE", struct key_args, file, "public key or certificate in PEM",           \
					  .complete = COMPLETE_FILE)),                                                 \
	.opts = CLI_OPTS(                                                                                              \
		OPT_STR(0, "expires", "TIME", struct key_args, expires, "when it ends: 2027-11-21T00:00:00Z")),        \
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT), .needs = CLI_NEEDS_CLOUD
#define KEY(of) ARG_STR("KEY", struct key_args, id, "key id, as '" of " keys' names it")
#define SOME_ID "4c0f9cbf83ab4c8d0a5bd8e4a0c0d9e1f25bb1f0b4c3a1f4f2f3b9a7e8d6c5b4"

const struct cli_command cmd_jwt_add_key = {
	.name = "add-key",
	.summary = "Register a public key that a device signs tokens with",
	.description = "P-256, or RSA of 2048 bits and more; three of a device at most. No two devices can have the "
		       "same. The same again changes only when it expires.",
	.examples = CLI_EXAMPLES({"jwt add-key pump-0001 pump-0001.pub", "for good"}),
	FILE_AND_EXPIRES,
	CLI_RUN(add_to_connect, struct key_args),
};

const struct cli_command cmd_jwt_keys = {
	.name = "keys",
	.summary = "List the public keys of a device",
	.args = CLI_ARGS(DEVICE),
	.examples = CLI_EXAMPLES({"jwt keys pump-0001", "and when they expire"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list_to_connect, struct key_args),
};

const struct cli_command cmd_jwt_remove_key = {
	.name = "remove-key",
	.summary = "Take a public key from a device",
	.args = CLI_ARGS(DEVICE, KEY("jwt")),
	.examples = CLI_EXAMPLES({"jwt remove-key pump-0001 " SOME_ID, "its tokens count for nothing then"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(remove_key, struct key_args),
};

const struct cli_command cmd_attest_add_key = {
	.name = "add-key",
	.summary = "Register a public key that a device's attestation tokens are checked with",
	.description = "P-256, P-384 or P-521; three of a device at most, and none that another device has, or that "
		       "is for tokens that it connects with. A device that has an attestation key of the other kind, "
		       "a shared secret ('psk create --attestation'), is checked with that. The same again changes "
		       "only when it expires.",
	.examples = CLI_EXAMPLES({"attest add-key pump-0001 pump-0001.iak.pub", "for good"}),
	FILE_AND_EXPIRES,
	CLI_RUN(add_to_attest, struct key_args),
};

const struct cli_command cmd_attest_keys = {
	.name = "keys",
	.summary = "List the public keys that a device's attestation tokens are checked with",
	.args = CLI_ARGS(DEVICE),
	.examples = CLI_EXAMPLES({"attest keys pump-0001", "and when they expire"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list_to_attest, struct key_args),
};

const struct cli_command cmd_attest_remove_key = {
	.name = "remove-key",
	.summary = "Take a public attestation key from a device",
	.args = CLI_ARGS(DEVICE, KEY("attest")),
	.examples = CLI_EXAMPLES({"attest remove-key pump-0001 " SOME_ID, "a gateway drops it at once"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(remove_key, struct key_args),
};
