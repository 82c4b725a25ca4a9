/* iotctl codesign: the keys that firmware is signed with. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"

#include <string.h>

struct create_args {
	const char *name, *type;
};

static const struct output_column columns[] = {
	{.key = "name", .heading = "Key"},
	{.key = "type", .heading = "Type"},
	{.key = "keyId", .heading = "Key id"},
	{.key = "public", .heading = "Public key", .wide = true},
	{0},
};

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct create_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_codesign_create(command_cloud(ctx), args->name, args->type, &record, err);

	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	IOT_JSON records = NULL;
	enum iot_status status = iot_codesign_list(command_cloud(ctx), &records, err);

	(void)args;
	return status == IOT_OK ? output_array(ctx->out, columns, records, err) : status;
}

struct public_args {
	const char *name;
};

static enum iot_status print_public(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct public_args *args = args_;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf pem = IOT_BUF_INIT(16384);
	enum iot_status status = iot_codesign_path(command_cloud(ctx), args->name, &path, err);

	if (status == IOT_OK)
		status = iot_key_load(path, NULL, &key, err);
	if (status == IOT_OK)
		status = iot_key_public_pem(key, &pem, err);
	if (status == IOT_OK)
		status = output_raw(ctx->out, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status print_certificate(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct public_args *args = args_;
	struct iot_buf pem = IOT_BUF_INIT(16384);
	enum iot_status status = iot_codesign_certificate(command_cloud(ctx), args->name, &pem, err);

	if (status == IOT_OK)
		status = output_raw(ctx->out, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Make a code-signing key",
	.args = CLI_ARGS(ARG_STR("NAME", struct create_args, name, "name of the key")),
	.opts = CLI_OPTS(OPT_STR('t', "type", "TYPE", struct create_args, type, "kind of key", .fallback = "p256",
				 .choices = CLI_CHOICES("p256", "rsa2048", "rsa3072"))),
	.examples = CLI_EXAMPLES({"codesign create release-2027", "a P-256 key beside the default one"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct create_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List the fleet's code-signing keys",
	.examples = CLI_EXAMPLES({"codesign list -o json", "with the paths of the public keys"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_public = {
	.name = "public",
	.summary = "Print a public key as PEM, for a bootloader or a board",
	.args = CLI_ARGS(ARG_STR("NAME", struct public_args, name, "name of the key", .optional = true,
				 .complete = COMPLETE_KEY)),
	.examples = CLI_EXAMPLES({"codesign public default", "the key that devices check firmware with"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(print_public, struct public_args),
};

static const struct cli_command cmd_certificate = {
	.name = "certificate",
	.summary = "Print a key's self-signed certificate as PEM, for boards that want one",
	.description = "It is made once and kept, so it is always the same.",
	.args = CLI_ARGS(ARG_STR("NAME", struct public_args, name, "name of the key", .optional = true,
				 .complete = COMPLETE_KEY)),
	.examples = CLI_EXAMPLES({"codesign certificate default", "what ExpressLink modules check host firmware with"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(print_certificate, struct public_args),
};

const struct cli_command cmd_codesign = {
	.name = "codesign",
	.group = "updates",
	.summary = "Keys that firmware is signed with",
	.description = "The private keys are in the fleet's codesign/ folder, mode 0600. Wherever a code-signing key is "
		       "named, the path of a PEM file or a pkcs11: URI does as well.",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_list, &cmd_public, &cmd_certificate),
};
