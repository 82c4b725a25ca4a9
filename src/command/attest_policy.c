/* iotctl attest policy: what devices may run: made from signed images, kept in the registry, assigned. */
#include "iotctl/attest.h"

#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"

#include <string.h>

struct policy_args {
	const char *name, *file, *out, *device, *group, *type;
	struct cli_list images, implementations;
	bool later, replace;
};

/* --- from images --------------------------------------------------------------------- */

static enum iot_status add_images(const struct policy_args *args, json_t *policy, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < args->images.count; i++) {
		const char *word = args->images.items[i], *equals = strchr(word, '=');
		IOT_CLEAN(iot_free_p) char *type = NULL;

		if (equals != NULL)
			type = iot_strndup(word, (size_t)(equals - word));
		status =
			iot_attest_policy_add_image(policy, equals != NULL ? equals + 1 : word, type, args->later, err);
	}
	return status;
}

static enum iot_status make(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	IOT_CLEAN(iot_attest_policy_free_p) struct iot_attest_policy *parsed = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON document = json_pack("{s:[s], s:s}", "lifecycle", "secured", "client", "non-secure");
	struct iot_buf lines = IOT_BUF_INIT(IOT_ATTEST_POLICY_MAX);
	enum iot_status status;

	if (args->implementations.count > 0)
		json_object_set_new(document, "implementationIds", json_array());
	for (size_t i = 0; i < args->implementations.count; i++)
		json_array_append_new(json_object_get(document, "implementationIds"),
				      json_string(args->implementations.items[i]));
	status = add_images(args, document, err);
	if (status == IOT_OK) {
		iot_json_set_str(document, "otherComponents", "refuse");
		text = iot_json_dump(document, JSON_INDENT(2));
		iot_buf_addf(&lines, "%s\n", text);
		status = iot_buf_check(&lines, "the policy", err);
	}
	if (status == IOT_OK) /* what was given by hand is checked, too */
		status = iot_attest_policy_parse(lines.data, lines.len, "the policy", &parsed, err);
	if (status == IOT_OK)
		status = args->out != NULL ? iot_fs_write(args->out, 0644, lines.data, lines.len, err)
					   : output_raw(ctx->out, lines.data, lines.len, err);
	iot_buf_release(&lines);
	return status;
}

/* --- in the registry -------------------------------------------------------------------- */

static const struct output_column columns[] = {
	{.key = "policyName", .heading = "Policy", .width = 16},
	{.key = "targets", .heading = "For"},
	{.key = "modifiedAt", .heading = "Changed", .kind = OUTPUT_TIME},
	{.key = "createdAt", .heading = "Created", .kind = OUTPUT_TIME, .wide = true},
	{0},
};

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_ATTEST_POLICY_MAX);
	IOT_CLEAN(iot_attest_policy_free_p) struct iot_attest_policy *parsed = NULL;
	enum iot_status status = iot_fs_read(args->file, &text, err);

	if (status == IOT_OK)
		status = iot_attest_policy_parse(iot_buf_str(&text), text.len, args->file, &parsed, err);
	if (status != IOT_OK)
		return status;
	return command_print_call(ctx, "iotctl:PutAttestationPolicy",
				  json_pack("{s:s, s:s, s:b}", "policyName", args->name, "policyDocument",
					    iot_buf_str(&text), "replace", args->replace),
				  columns, err);
}

/* A policy comes with the first of those that it is for. */
static enum iot_status add_targets(struct cli_context *ctx, json_t *policy, struct iot_error *err)
{
	IOT_JSON token = json_incref(json_object_get(policy, "nextTargets"));
	enum iot_status status = IOT_OK;

	json_object_del(policy, "nextTargets");
	while (status == IOT_OK && token != NULL) {
		IOT_JSON reply = NULL;

		if (cli_interrupted(ctx))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		status = command_call(ctx, "iotctl:ListTargetsForAttestationPolicy",
				      json_pack("{s:O, s:O, s:i}", "policyName", json_object_get(policy, "policyName"),
						"nextToken", token, "maxResults", 250),
				      &reply, err);
		json_decref(token);
		token = json_incref(json_object_get(reply, "nextToken"));
		json_array_extend(json_object_get(policy, "targets"), json_object_get(reply, "targets"));
	}
	return status;
}

static enum iot_status list(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (args->device == NULL)
		return command_print_pages(ctx, "iotctl:ListAttestationPolicies", NULL, "policies", add_targets,
					   columns, err);
	status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status == IOT_OK)
		status = command_call(ctx, "iotctl:GetEffectiveAttestationPolicies",
				      json_pack("{s:s}", "thingName", thing), &reply, err);
	return status == IOT_OK ? output_array(ctx->out, columns, json_object_get(reply, "policies"), err) : status;
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	IOT_JSON reply = NULL;
	enum iot_status status = command_call(ctx, "iotctl:GetAttestationPolicy",
					      json_pack("{s:s}", "policyName", args->name), &reply, err);

	if (status == IOT_OK)
		status = add_targets(ctx, reply, err);
	return status == IOT_OK ? command_print_policy(ctx, reply, columns, err) : status;
}

static enum iot_status delete_policy(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;

	return command_call(ctx, "iotctl:DeleteAttestationPolicy", json_pack("{s:s}", "policyName", args->name), NULL,
			    err);
}

/* --- for whom ------------------------------------------------------------------------------- */

static enum iot_status target(struct cli_context *ctx, const struct policy_args *args, json_t **ret,
			      struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = IOT_OK;

	if ((args->device != NULL) + (args->group != NULL) + (args->type != NULL) != 1)
		return iot_fail(err, IOT_USAGE, "give one of --device, --group and --type");
	if (args->device != NULL)
		status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status != IOT_OK)
		return status;
	*ret = json_pack("{s:s}", "policyName", args->name);
	iot_json_set_str(*ret, "thingName", thing);
	iot_json_set_str(*ret, "thingGroupName", args->group);
	iot_json_set_str(*ret, "thingTypeName", args->type);
	return IOT_OK;
}

static enum iot_status assign(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column assigned[] = {
		{.key = "policyName", .heading = "Policy"},        {.key = "thingName", .heading = "Device"},
		{.key = "thingGroupName", .heading = "Group"},     {.key = "thingTypeName", .heading = "Type"},
		{.key = "replaced", .heading = "In the place of"}, {0},
	};
	json_t *request = NULL;
	enum iot_status status = target(ctx, args_, &request, err);

	return status == IOT_OK ? command_print_call(ctx, "iotctl:AssignAttestationPolicy", request, assigned, err)
				: status;
}

static enum iot_status unassign(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	json_t *request = NULL;
	enum iot_status status = target(ctx, args_, &request, err);

	return status == IOT_OK ? command_call(ctx, "iotctl:UnassignAttestationPolicy", request, NULL, err) : status;
}

/* --- the tree --------------------------------------------------------------------------------- */

#define NAME ARG_STR("POLICY", struct policy_args, name, "name of the policy")
#define TARGETS                                                                                                        \
	OPT_STR(0, "device", "DEVICE", struct policy_args, device, "this device", .complete = COMPLETE_DEVICE),        \
		OPT_STR('g', "group", "GROUP", struct policy_args, group, "the devices of this group and those below", \
			.complete = COMPLETE_GROUP),                                                                   \
		OPT_STR('t', "type", "TYPE", struct policy_args, type, "the devices of this type",                     \
			.complete = COMPLETE_TYPE)

static const struct cli_command cmd_make = {
	.name = "make",
	.summary = "Make a policy from signed images",
	.description =
		"A JSON document for 'attest policy create' and 'attest verify': lifecycle (secured; "
		"non-psa-rot-debug can be added), implementationIds, client (non-secure, secure, any, or a list of "
		"ids), profiles, components, and otherComponents (refuse or allow). Each rule in components has a "
		"type, signers, measurements and minVersion: a component meets it with one of the signers and one of "
		"the measurements, or a version not before minVersion.\n\n"
		"MCUboot images tell their measurement and signer themselves. Others are measured as SHA-256 of the "
		"file, and their signer is the key of IMAGE.sig.json, which 'image sign' makes.",
	.args = CLI_ARGS(ARG_LIST("IMAGE", struct policy_args, images, "image, or TYPE=IMAGE: SPE=tfm_s_signed.bin",
				  .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(
		OPT_FLAG(0, "later", struct policy_args, later, "later versions of the same signer will do, too"),
		OPT_LIST(0, "implementation-id", "HEX", struct policy_args, implementations, "32 bytes"),
		OPT_PATH(0, "out", "FILE", struct policy_args, out, "write it there, not to stdout",
			 .complete = COMPLETE_FILE)),
	.examples = CLI_EXAMPLES({"attest policy make SPE=tfm_s_signed.bin NSPE=app_signed.bin --later --out pump.json",
				  "both images, or later ones"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	CLI_RUN(make, struct policy_args),
};

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Keep a policy in the registry, under a name",
	.description =
		"The same again changes nothing. When --replace changes one, every gateway lets the devices that it "
		"is for attest again, at once.",
	.args = CLI_ARGS(NAME, ARG_PATH("FILE", struct policy_args, file, "policy (JSON), - for standard input",
					.complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(OPT_FLAG(0, "replace", struct policy_args, replace, "change it if it says something else")),
	.examples = CLI_EXAMPLES({"attest policy create pumps pump.json", "what pumps may run"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct policy_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List the policies in the registry, and whom they are for",
	.opts = CLI_OPTS(OPT_STR(0, "device", "DEVICE", struct policy_args, device,
				 "only those that count for this device", .complete = COMPLETE_DEVICE)),
	.examples = CLI_EXAMPLES({"attest policy list --device pump-0001", "what must it run?"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list, struct policy_args),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show a policy's document",
	.args = CLI_ARGS(NAME),
	.examples = CLI_EXAMPLES({"attest policy show pumps >pump.json", "to change it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct policy_args),
};

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Forget a policy that is for nobody any more",
	.args = CLI_ARGS(NAME),
	.examples = CLI_EXAMPLES({"attest policy delete pumps", "after 'attest policy unassign'"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete_policy, struct policy_args),
};

static const struct cli_command cmd_assign = {
	.name = "assign",
	.summary = "Let a policy count for a device, a group or a type",
	.description = "Each has one policy; a new one takes the place of the old. For a device its own policy "
		       "counts, else those of all its groups and the groups above them, which it has to meet all, "
		       "else its type's. A device that has none is judged by 'gateway run --policy', and without that "
		       "by the default: lifecycle 'secured', and a caller on the non-secure side.",
	.args = CLI_ARGS(NAME),
	.opts = CLI_OPTS(TARGETS),
	.examples = CLI_EXAMPLES({"attest policy assign pumps --type pump", "all pumps"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(assign, struct policy_args),
};

static const struct cli_command cmd_unassign = {
	.name = "unassign",
	.summary = "Let a policy no longer count for a device, a group or a type",
	.args = CLI_ARGS(NAME),
	.opts = CLI_OPTS(TARGETS),
	.examples = CLI_EXAMPLES({"attest policy unassign pumps --type pump", "what is left counts then"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(unassign, struct policy_args),
};

const struct cli_command cmd_attest_policy = {
	.name = "policy",
	.summary = "What devices may run, to be let in by a gateway",
	.subcommands =
		CLI_COMMANDS(&cmd_make, &cmd_create, &cmd_list, &cmd_show, &cmd_delete, &cmd_assign, &cmd_unassign),
};
