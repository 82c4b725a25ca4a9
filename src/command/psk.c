/* iotctl psk: secrets that devices share with the fleet, for TLS-PSK and for attestation. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/pskfile.h"

#include <string.h>

struct psk_args {
	const char *device, *identity, *file, *out;
	int64_t size;
	int format;
	bool attestation, reveal, force;
};

static const struct output_column columns[] = {
	{.key = "identity", .heading = "Identity", .width = 16},
	{.key = "thingName", .heading = "Device", .width = 12},
	{.key = "purpose", .heading = "Purpose", .width = 7},
	{.key = "status", .heading = "Status", .width = 7},
	{.key = "size", .heading = "Bytes", .kind = OUTPUT_INT},
	{.key = "createdAt", .heading = "Created", .kind = OUTPUT_TIME},
	{.key = "instanceId", .heading = "Instance id", .wide = true},
	{.key = "psk", .heading = "Secret", .wide = true},
	{0},
};

static const char *purpose_of(const struct psk_args *args)
{
	return args->attestation ? "attest" : "connect";
}

static enum iot_status write_file(const struct psk_args *args, const struct iot_buf *text, struct iot_error *err)
{
	enum iot_status status;

	if (args->force)
		return iot_fs_write(args->out, 0600, text->data, text->len, err);
	status = iot_fs_create_private(args->out, text->data, text->len, err);
	if (status == IOT_CONFLICT)
		iot_error_hint(err, "replace it with --force");
	return status;
}

/* Where a secret may go: into a private file, or, asked for, to stdout. */
static enum iot_status hand_out(struct cli_context *ctx, const struct psk_args *args, json_t *record,
				struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(4096);
	const char *identity = iot_json_str(record, "identity", NULL);
	enum iot_status status;

	if (args->out == NULL && !args->reveal)
		return IOT_OK;
	status = iot_psk_export(command_cloud(ctx), NULL, identity, iot_json_str(record, "purpose", "connect"),
				IOT_PSK_MOSQUITTO, &text, NULL, err);
	if (status == IOT_OK && args->out != NULL)
		status = write_file(args, &text, err);
	if (status == IOT_OK && args->reveal) {
		const char *hex = strchr(text.data, ':') + 1;

		json_object_set_new(record, "psk", json_stringn(hex, strcspn(hex, "\n")));
	}
	return status;
}

static enum iot_status make(struct cli_context *ctx, const struct psk_args *args, bool rotate, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	json_t *request;
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	/* Before a secret is made that could not be handed out. */
	if (status == IOT_OK && (args->out != NULL || args->reveal))
		status = iot_fleet_need_local(command_cloud(ctx), err);
	if (status != IOT_OK)
		return status;
	if (args->out != NULL && !args->force && iot_fs_exists(args->out)) {
		iot_fail(err, IOT_CONFLICT, "'%s' is there already", args->out);
		iot_error_hint(err, "replace it with --force");
		return IOT_CONFLICT;
	}
	request = json_pack("{s:s, s:I, s:s, s:b}", "thingName", thing, "size", (json_int_t)args->size, "purpose",
			    purpose_of(args), "rotate", rotate);
	iot_json_set_str(request, "identity", args->identity);
	status = command_call(ctx, "iotctl:CreatePsk", request, &reply, err);
	if (status == IOT_OK)
		status = hand_out(ctx, args, reply, err);
	return status == IOT_OK ? output_object(ctx->out, columns, reply, err) : status;
}

static enum iot_status create(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return make(ctx, args, false, err);
}

static enum iot_status rotate(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return make(ctx, args, true, err);
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct psk_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	json_t *request;
	enum iot_status status = IOT_OK;

	if (args->device != NULL)
		status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status != IOT_OK)
		return status;
	request = json_object();
	iot_json_set_str(request, "thingName", thing);
	return command_print_list(ctx, "iotctl:ListPsks", request, "psks", columns, err);
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct psk_args *args = args_;
	IOT_JSON reply = NULL;
	json_t *record;
	enum iot_status status =
		command_call(ctx, "iotctl:ListPsks", json_pack("{s:s}", "identity", args->identity), &reply, err);

	if (status != IOT_OK)
		return status;
	record = json_array_get(json_object_get(reply, "psks"), 0);
	if (record == NULL)
		return iot_fail(err, IOT_NOT_FOUND, "there is no PSK identity '%s'", args->identity);
	status = hand_out(ctx, args, record, err);
	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static enum iot_status revoke_psk(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct psk_args *args = args_;

	return command_print_call(ctx, "iotctl:RevokePsk", json_pack("{s:s}", "identity", args->identity), columns,
				  err);
}

static enum iot_status delete_psk(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct psk_args *args = args_;

	return command_call(ctx, "iotctl:DeletePsk", json_pack("{s:s}", "identity", args->identity), NULL, err);
}

static enum iot_status export_all(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column result[] = {
		{.key = "file", .heading = "File"}, {.key = "count", .heading = "Secrets", .kind = OUTPUT_INT}, {0}};
	const struct psk_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(IOT_PSK_FILE_MAX);
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON record = NULL;
	int64_t count = 0;
	enum iot_status status;

	if ((args->out == NULL) == !args->reveal)
		return iot_fail(err, IOT_USAGE, "give either --out FILE, or --reveal for the secrets on stdout");
	status = iot_fleet_need_local(command_cloud(ctx), err);
	if (status == IOT_OK && args->device != NULL)
		status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status == IOT_OK)
		status = iot_psk_export(command_cloud(ctx), thing, NULL, purpose_of(args),
					(enum iot_psk_format)args->format, &text, &count, err);
	if (status != IOT_OK)
		return status;
	if (args->reveal)
		return output_raw(ctx->out, text.data, text.len, err);
	status = write_file(args, &text, err);
	if (status != IOT_OK)
		return status;
	record = json_pack("{s:s, s:I}", "file", args->out, "count", (json_int_t)count);
	return output_object(ctx->out, result, record, err);
}

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	struct cli_context *ctx = data;

	if (cli_interrupted(ctx))
		return iot_fail(err, IOT_INTERRUPTED, "interrupted");
	return output_row(ctx->out, record, err);
}

static enum iot_status import(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column rows[] = {
		{.key = "line", .heading = "Line", .kind = OUTPUT_INT},
		{.key = "identity", .heading = "Identity", .width = 16},
		{.key = "thingName", .heading = "Device", .width = 12},
		{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
		{.key = "error", .heading = "Error"},
		{0},
	};
	const struct psk_args *args = args_;
	enum iot_status status = output_begin_list(ctx->out, rows, err), ended;

	if (status == IOT_OK)
		status = iot_psk_import(command_cloud(ctx), args->file, args->device, purpose_of(args), print_row, ctx,
					err);
	if (status != IOT_OK && status != IOT_PARTIAL)
		return status;
	ended = output_end(ctx->out, status == IOT_OK ? err : NULL);
	return status != IOT_OK ? status : ended;
}

#define DEVICE ARG_STR("DEVICE", struct psk_args, device, "thing name or alias", .complete = COMPLETE_DEVICE)
#define IDENTITY ARG_STR("IDENTITY", struct psk_args, identity, "PSK identity, as 'psk list' names it")
#define ATTESTATION                                                                                                    \
	OPT_FLAG(0, "attestation", struct psk_args, attestation, "the key of its attestation tokens, not of TLS-PSK")
#define REVEAL OPT_FLAG(0, "reveal", struct psk_args, reveal, "print the secret itself")
#define OUT                                                                                                            \
	OPT_PATH(0, "out", "FILE", struct psk_args, out, "write IDENTITY:HEX into a new file, mode 0600",              \
		 .complete = COMPLETE_FILE)
#define FORCE OPT_FLAG('f', "force", struct psk_args, force, "replace the file if it is there")
#define SIZE                                                                                                           \
	OPT_INT(0, "size", "N", struct psk_args, size, "bytes of it; mbed TLS takes at most 32", .min = 16, .max = 32, \
		.fallback = "32")
#define NAMED                                                                                                          \
	OPT_STR(0, "identity", "NAME", struct psk_args, identity, "what the device calls itself; it travels in clear")

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Make a secret for a device",
	.description =
		"Random bytes, which stay in the registry sealed with a key that is not ('sealing.key' in the fleet "
		"directory: keep a copy of it, no backup has one). They are printed only with --reveal.\n\n"
		"The identity is the thing's name unless --identity says otherwise: letters, digits and any of "
		"_.@/+=-, at most 128.",
	.args = CLI_ARGS(DEVICE),
	.opts = CLI_OPTS(NAMED, SIZE, ATTESTATION, OUT, FORCE, REVEAL),
	.examples = CLI_EXAMPLES(
		{"psk create pump-0001 --out pump-0001.psk", "a secret, handed over in a private file"},
		{"psk create pump-0001 --attestation", "the key that its attestation tokens are checked with"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct psk_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List secrets, without the secrets themselves",
	.opts = CLI_OPTS(OPT_STR(0, "device", "DEVICE", struct psk_args, device, "only of this one",
				 .complete = COMPLETE_DEVICE)),
	.examples = CLI_EXAMPLES({"psk list", "all of them"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct psk_args),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show one",
	.args = CLI_ARGS(IDENTITY),
	.opts = CLI_OPTS(OUT, FORCE, REVEAL),
	.examples = CLI_EXAMPLES({"psk show pump-0001", "whose it is, and whether it is active"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct psk_args),
};

static const struct cli_command cmd_rotate = {
	.name = "rotate",
	.summary = "Make a second secret for a device, beside the active one",
	.description =
		"Both are good until the old one is revoked, which is to be done when the device uses the new one.",
	.args = CLI_ARGS(DEVICE),
	.opts = CLI_OPTS(NAMED, SIZE, ATTESTATION, OUT, FORCE, REVEAL),
	.examples = CLI_EXAMPLES(
		{"psk rotate pump-0001 --out pump-0001.new.psk", "then 'psk revoke' with the old identity"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(rotate, struct psk_args),
};

static const struct cli_command cmd_revoke = {
	.name = "revoke",
	.summary = "Let a secret count for nothing, for good",
	.description = "It cannot be made active again, and no device can have it.",
	.args = CLI_ARGS(IDENTITY),
	.examples = CLI_EXAMPLES({"psk revoke pump-0001", "at once"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(revoke_psk, struct psk_args),
};

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Forget a revoked secret",
	.args = CLI_ARGS(IDENTITY),
	.examples = CLI_EXAMPLES({"psk delete pump-0001", "its identity is free then"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete_psk, struct psk_args),
};

static const struct cli_command cmd_export = {
	.name = "export",
	.summary = "Write the active secrets into a file",
	.description =
		"The format mosquitto is that of its psk_file, which others read as well. The file has mode 0600.",
	.opts = CLI_OPTS(OUT, FORCE, REVEAL, ATTESTATION,
			 OPT_ENUM(0, "format", "FORMAT", struct psk_args, format, "mosquitto, csv or json",
				  .choices = CLI_CHOICES("mosquitto", "csv", "json"), .fallback = "mosquitto"),
			 OPT_STR(0, "device", "DEVICE", struct psk_args, device, "only of this one",
				 .complete = COMPLETE_DEVICE)),
	.examples = CLI_EXAMPLES({"psk export --out psk_file", "for another broker"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(export_all, struct psk_args),
};

static const struct cli_command cmd_import = {
	.name = "import",
	.summary = "Take secrets that devices have already",
	.description =
		"Lines IDENTITY:HEX, as in mosquitto's psk_file; the file must be closed to others. An identity is "
		"the name of its device unless --device says otherwise. The same file again changes nothing.",
	.args = CLI_ARGS(
		ARG_PATH("FILE", struct psk_args, file, "file, or '-' for standard input", .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(ATTESTATION, OPT_STR(0, "device", "DEVICE", struct psk_args, device, "whose they are",
					      .complete = COMPLETE_DEVICE)),
	.examples = CLI_EXAMPLES({"psk import psk_file", "of a broker that was used before"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_DENIED, IOT_PARTIAL),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(import, struct psk_args),
};

const struct cli_command cmd_psk = {
	.name = "psk",
	.summary = "Secrets shared with devices that are too small for certificates",
	.description =
		"For TLS-PSK, and for attestation tokens. A device has one of each kind, and two while it rotates. No "
		"two devices can have the same.",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_list, &cmd_show, &cmd_rotate, &cmd_revoke, &cmd_delete,
				    &cmd_export, &cmd_import),
};
