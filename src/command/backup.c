/* iotctl backup, iotctl restore: a fleet's registry, keys and images. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/log.h"

struct backup_args {
	const char *to;
};

struct restore_args {
	const char *from, *directory;
};

static const struct output_column columns[] = {
	{.key = "directory", .heading = "Directory"},
	{.key = "files", .heading = "Files", .kind = OUTPUT_INT},
	{.key = "size", .heading = "Size", .kind = OUTPUT_SIZE},
	{0},
};

static enum iot_status backup(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct backup_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_fleet_backup(command_cloud(ctx), args->to, &record, err);

	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

static enum iot_status restore(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct restore_args *args = args_;
	IOT_CLEAN(iot_free_p) char *dir = command_fleet_dir(args->directory);
	IOT_JSON record = NULL;
	enum iot_status status = iot_fleet_restore(args->from, dir, &record, err);
	int64_t operators = iot_json_int(record, "operatorsWithoutKeys", 0);
	int64_t secrets = iot_json_int(record, "sealedSecrets", 0);

	if (status == IOT_OK && operators > 0)
		iot_warn("%lld %s: what opens their secrets is in no backup; make new ones with 'iotctl operator "
			 "rotate NAME'",
			 (long long)operators, operators == 1 ? "operator needs new keys" : "operators need new keys");
	if (status == IOT_OK && secrets > 0)
		iot_warn("%lld %s shared with devices cannot be opened until the fleet's own 'sealing.key' is put into '%s'",
			 (long long)secrets, secrets == 1 ? "secret" : "secrets", dir);
	return status == IOT_OK ? output_object(ctx->out, columns, record, err) : status;
}

const struct cli_command cmd_backup = {
	.name = "backup",
	.summary = "Copy a fleet, also while it is in use",
	.description = "The registry is copied consistently while serve and commands go on. The copy holds the "
		       "fleet's private keys: its folder is made with mode 0700, keep it that way. It does not hold "
		       "what opens the secrets of operators: after 'restore' they need new keys. Nor does it hold "
		       "what opens secrets shared with devices ('psk'): keep a copy of 'sealing.key' of the fleet "
		       "directory apart from backups, and put it back after 'restore'.",
	.args = CLI_ARGS(
		ARG_PATH("DIR", struct backup_args, to, "folder to make; must not exist", .complete = COMPLETE_DIR)),
	.examples = CLI_EXAMPLES({"backup /backup/demo-2026-11-21", "everything but logs and sockets"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(backup, struct backup_args),
};

const struct cli_command cmd_restore = {
	.name = "restore",
	.summary = "Make a fleet from a backup",
	.description = "Nothing is overwritten: move a damaged fleet's directory away first. The registry is checked "
		       "before the fleet appears.",
	.args = CLI_ARGS(
		ARG_PATH("BACKUP", struct restore_args, from, "folder made by 'backup'", .complete = COMPLETE_DIR),
		ARG_STR("FLEET", struct restore_args, directory, "name or directory of the fleet to make")),
	.examples = CLI_EXAMPLES({"restore /backup/demo-2026-11-21 demo", "back to how it was"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_VERIFY),
	CLI_RUN(restore, struct restore_args),
};
