/* iotctl image: sign, verify and look into firmware images. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/image.h"
#include "iotctl/local.h"

struct image_args {
	const char *image, *key, *scheme, *signature;
	bool legacy;
};

static const struct output_column signature_columns[] = {
	{.key = "image", .heading = "Image"},         {.key = "scheme", .heading = "Scheme"},
	{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE}, {.key = "sha256", .heading = "SHA-256"},
	{.key = "keyId", .heading = "Signed by key"}, {.key = "file", .heading = "Signature file"},
	{.key = "verified", .heading = "Verified", .kind = OUTPUT_BOOL},
	{0},
};

static json_t *signature_record(const char *image, const struct iot_image_signature *signature, const char *file)
{
	return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:s}", "image", image, "scheme", signature->scheme->name, "size",
			 (json_int_t)signature->size, "sha256", signature->sha256, "keyId", signature->key_id, "signature",
			 signature->signature, "file", file);
}

static enum iot_status sign(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct image_args *args = args_;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_image_signature signature;
	IOT_JSON record = NULL;
	enum iot_status status = iot_codesign_path(command_cloud(ctx), args->key, &path, err);

	if (status == IOT_OK)
		status = iot_key_load(path, NULL, &key, err);
	if (status == IOT_OK)
		status = iot_image_sign_file(args->image, key, args->scheme, args->legacy, &signature, err);
	if (status != IOT_OK)
		return status;
	file = args->signature != NULL ? iot_strdup(args->signature) : iot_image_signature_path(args->image);
	status = iot_image_signature_write(file, &signature, err);
	if (status != IOT_OK)
		return status;
	record = signature_record(args->image, &signature, file);
	return output_object(ctx->out, signature_columns, record, err);
}

static enum iot_status verify(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct image_args *args = args_;
	IOT_CLEAN(iot_free_p) char *file = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_image_signature signature;
	IOT_JSON record = NULL;
	enum iot_status status = args->key == NULL ? iot_fleet_need_local(command_cloud(ctx), err) : IOT_OK;

	if (status != IOT_OK)
		return status;
	file = args->signature != NULL ? iot_strdup(args->signature) : iot_image_signature_path(args->image);
	path = args->key != NULL ? iot_strdup(args->key)
				 : iot_path(iot_local_paths(command_cloud(ctx))->codesign_dir, "default.pub");
	status = iot_image_signature_read(file, &signature, err);
	if (status == IOT_OK)
		status = iot_key_load_public(path, &key, err);
	if (status == IOT_OK)
		status = iot_image_verify_signature(args->image, key, &signature, args->legacy, err);
	if (status != IOT_OK)
		return status;
	record = signature_record(args->image, &signature, file);
	iot_json_set_bool(record, "verified", true);
	return output_object(ctx->out, signature_columns, record, err);
}

static const struct output_column inspect_columns[] = {
	{.key = "image", .heading = "Image"},
	{.key = "container", .heading = "Container"},
	{.key = "version", .heading = "Version"},
	{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE},
	{.key = "sha256", .heading = "SHA-256"},
	{.key = "behaviour", .heading = "Behaviour"},
	{0},
};

static enum iot_status inspect(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct image_args *args = args_;
	struct iot_image_info info;
	IOT_JSON record = NULL;
	enum iot_status status = iot_image_inspect(args->image, &info, err);

	if (status != IOT_OK)
		return status;
	record = json_pack("{s:s, s:s, s:I, s:s}", "image", args->image, "container",
			   iot_image_container_name(info.container), "size", (json_int_t)info.size, "sha256", info.sha256);
	if (*info.version != '\0')
		iot_json_set_str(record, "version", info.version);
	if (info.container == IOT_IMAGE_SIM)
		iot_json_set_str(record, "behaviour", iot_sim_behaviour_name(info.sim.behaviour));
	return output_object(ctx->out, inspect_columns, record, err);
}

#define IMAGE ARG_PATH("IMAGE", struct image_args, image, "firmware file", .complete = COMPLETE_FILE)
#define LEGACY                                                                                                          \
	OPT_FLAG(0, "allow-legacy", struct image_args, legacy, "allow SHA-1 signatures, for parts that know no other")

static const struct cli_command cmd_sign = {
	.name = "sign",
	.summary = "Sign an image; the signature goes into IMAGE.sig.json",
	.description = "The signature is over the whole file. Its scheme is the member name that devices look for in the job "
		       "document: sig-sha256-ecdsa, sig-sha256-rsa, sig-sha1-rsa (legacy).",
	.args = CLI_ARGS(IMAGE),
	.opts = CLI_OPTS(OPT_STR('k', "key", "KEY", struct image_args, key, "code-signing key: name, file or pkcs11: URI",
				 .complete = COMPLETE_KEY),
			 OPT_STR(0, "scheme", "SCHEME", struct image_args, scheme, "how; by default what fits the key",
				 .choices = CLI_CHOICES("sig-sha256-ecdsa", "sig-sha256-rsa", "sig-sha1-rsa")),
			 OPT_PATH(0, "signature", "FILE", struct image_args, signature, "where the signature goes",
				  .complete = COMPLETE_FILE),
			 LEGACY),
	.examples = CLI_EXAMPLES({"image sign pump-1.1.0.bin", "with the fleet's default key"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(sign, struct image_args),
};

static const struct cli_command cmd_verify = {
	.name = "verify",
	.summary = "Check an image against its signature and a public key",
	.args = CLI_ARGS(IMAGE),
	.opts = CLI_OPTS(OPT_PATH('k', "key", "FILE", struct image_args, key,
				  "public key or certificate; by default the fleet's", .complete = COMPLETE_FILE),
			 OPT_PATH(0, "signature", "FILE", struct image_args, signature, "the signature file",
				  .complete = COMPLETE_FILE),
			 LEGACY),
	.examples = CLI_EXAMPLES({"image verify pump-1.1.0.bin", "exit code 11 when it does not fit"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(verify, struct image_args),
};

static const struct cli_command cmd_inspect = {
	.name = "inspect",
	.summary = "Show what an image is",
	.args = CLI_ARGS(IMAGE),
	.examples = CLI_EXAMPLES({"image inspect pump-1.1.0.bin", "container, version, size, digest"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	CLI_RUN(inspect, struct image_args),
};

const struct cli_command cmd_image = {
	.name = "image",
	.summary = "Firmware images: sign, verify, inspect",
	.subcommands = CLI_COMMANDS(&cmd_sign, &cmd_verify, &cmd_inspect),
};
