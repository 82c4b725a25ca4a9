/* iotctl device claim, claims, unclaim: modules that become devices when they first show up in staging. */
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/local.h"
#include "iotctl/log.h"

struct claim_args {
	const char *uid, *alias, *type, *certificate, *from;
	struct cli_list policies, groups;
	bool update;
};

static const struct output_column claim_columns[] = {
	{.key = "thingName", .heading = "Module"},
	{.key = "alias", .heading = "Alias"},
	{.key = "thingTypeName", .heading = "Type"},
	{.key = "policies", .heading = "Policies"},
	{.key = "groups", .heading = "Groups"},
	{.key = "certificateId", .heading = "Certificate"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	struct cli_context *ctx = data;

	if (cli_interrupted(ctx))
		return iot_fail(err, IOT_INTERRUPTED, "interrupted");
	return output_row(ctx->out, record, err);
}

static enum iot_status claim_file(struct cli_context *ctx, const struct claim_args *args, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "line", .heading = "Line", .kind = OUTPUT_INT},
		{.key = "thingName", .heading = "Module", .width = 16},
		{.key = "alias", .heading = "Alias", .width = 10},
		{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
		{.key = "error", .heading = "Error"},
		{0},
	};
	static const char *const others[] = {"name", "type", "policy", "group", "certificate"};
	enum iot_status status, ended;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (args->uid != NULL || cli_given(ctx, others[i]))
			return iot_fail(err, IOT_USAGE,
					"--from lists what is claimed: only --update may be given with it");
	status = output_begin_list(ctx->out, columns, err);
	if (status != IOT_OK)
		return status;
	status = iot_claim_file(command_cloud(ctx), args->from, args->update, print_row, ctx, err);
	if (status != IOT_OK && status != IOT_PARTIAL)
		return status;
	ended = output_end(ctx->out, status == IOT_OK ? err : NULL);
	return status != IOT_OK ? status : ended;
}

static enum iot_status claim(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct claim_args *args = args_;
	const struct iot_claim_spec spec = {
		.uid = args->uid,
		.alias = args->alias,
		.type = args->type,
		.policies = command_list(&args->policies),
		.groups = command_list(&args->groups),
		.certificate = args->certificate,
		.update = args->update,
	};
	IOT_JSON record = NULL;
	enum iot_status status;

	if (args->from != NULL)
		return claim_file(ctx, args, err);
	if (args->uid == NULL)
		return iot_fail(err, IOT_USAGE, "name a module by its UID, or a list of them with --from");
	status = iot_claim(command_cloud(ctx), &spec, &record, err);
	return status == IOT_OK ? output_object(ctx->out, claim_columns, record, err) : status;
}

const struct cli_command cmd_device_claim = {
	.name = "claim",
	.summary = "Let a module become a device when it first shows up",
	.description =
		"For ExpressLink modules, without touching them: a module that connects to the staging endpoint "
		"('iotctl serve --staging-port') with the certificate it was born with, and is claimed, becomes a "
		"device at once: its certificate is registered, thing, type, policy and group are made, and it is "
		"told its endpoint. Its vendor's CA must be trusted ('iotctl ca trust'). A module that is there "
		"already is taken in at once.\n\n"
		"The same claim again changes nothing. A UID that is a device already needs no claim.\n\n"
		"With --from the modules stand in a CSV file whose first line names its columns: uid, and any of "
		"name, type, policy, group, certificate; several policies or groups in a cell are separated by ';'. "
		"The whole file is looked at before anything is claimed; there is a result for each row, and exit "
		"code 6 if some failed.",
	.args = CLI_ARGS(ARG_STR("UID", struct claim_args, uid, "the module's UID, its thing name", .optional = true)),
	.opts = CLI_OPTS(OPT_STR(0, "name", "ALIAS", struct claim_args, alias, "second name, unique in the fleet"),
			 OPT_STR('t', "type", "TYPE", struct claim_args, type, "thing type; made when it is new",
				 .complete = COMPLETE_TYPE),
			 OPT_LIST('p', "policy", "POLICY", struct claim_args, policies,
				  "policy of its certificate, may be repeated; else 'device'",
				  .complete = COMPLETE_POLICY),
			 OPT_LIST('g', "group", "GROUP", struct claim_args, groups, "join this group; may be repeated",
				  .complete = COMPLETE_GROUP),
			 OPT_STR(0, "certificate", "SHA256", struct claim_args, certificate,
				 "only with the certificate of this fingerprint"),
			 OPT_PATH(0, "from", "FILE", struct claim_args, from, "claim what this CSV file lists",
				  .complete = COMPLETE_FILE),
			 OPT_FLAG(0, "update", struct claim_args, update, "change a claim that has other properties")),
	.examples = CLI_EXAMPLES({"device claim 5f3a90c1 --name pump-0001 --type pump", "one module"},
				 {"device claim --from modules.csv -o jsonl", "a list of them, one result a line"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_PARTIAL),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(claim, struct claim_args),
};

/* --- those that wait --------------------------------------------------------------------- */

static enum iot_status print_claim(json_t *record, void *data, struct iot_error *err)
{
	char text[32];

	iot_json_set_str(record, "claimedAt", iot_time_rfc3339(iot_json_int(record, "claimedAt", 0), text));
	return print_row(record, data, err);
}

static enum iot_status claims(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "thingName", .heading = "Module", .width = 16},
		{.key = "alias", .heading = "Alias", .width = 10},
		{.key = "thingTypeName", .heading = "Type", .width = 10},
		{.key = "policies", .heading = "Policies"},
		{.key = "groups", .heading = "Groups"},
		{.key = "claimedAt", .heading = "Claimed at"},
		{.key = "certificateId", .heading = "Certificate", .wide = true},
		{0},
	};
	enum iot_status status = iot_fleet_need_local(command_cloud(ctx), err);

	(void)args;
	if (status == IOT_OK)
		status = output_begin_list(ctx->out, columns, err);
	if (status == IOT_OK)
		status = iot_local_claims(command_cloud(ctx), print_claim, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

const struct cli_command cmd_device_claims = {
	.name = "claims",
	.summary = "List claims that no module has answered yet",
	.examples = CLI_EXAMPLES({"device claims", "modules that are still expected"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(claims),
};

static enum iot_status unclaim(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct claim_args *args = args_;
	enum iot_status status = iot_fleet_need_local(command_cloud(ctx), err);

	if (status == IOT_OK)
		status = iot_local_unclaim(command_cloud(ctx), args->uid, err);
	if (status == IOT_OK)
		iot_notice("module '%s' is not claimed any more", args->uid);
	return status;
}

const struct cli_command cmd_device_unclaim = {
	.name = "unclaim",
	.summary = "Take back a claim that no module has answered yet",
	.description = "What has become a device stays one: 'iotctl device delete' deletes it.",
	.args = CLI_ARGS(ARG_STR("UID", struct claim_args, uid, "the module's UID")),
	.examples = CLI_EXAMPLES({"device unclaim 5f3a90c1", "it waits in staging, if it comes"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(unclaim, struct claim_args),
};
