/* iotctl policy: AWS IoT policies, with what is wrong in them. */
#include "iotctl/policy.h"

#include "command/batch.h"
#include "command/commands.h"
#include "command/context.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

struct policy_args {
	const char *name, *file, *device, *group, *version;
	struct batch_args batch; /* of attach */
	bool make_default, strict;
	struct cli_list requests;
};

static const struct output_column columns[] = {
	{.key = "policyName", .heading = "Policy", .width = 16},
	{.key = "defaultVersionId", .heading = "Default version"},
	{.key = "policyVersionId", .heading = "Version"},
	{.key = "policyArn", .heading = "ARN"},
	{0},
};

#define ONE_POLICY ARG_STR("POLICY", struct policy_args, name, "name of the policy", .complete = COMPLETE_POLICY)
#define DOCUMENT ARG_PATH("FILE", struct policy_args, file, "policy document (JSON), - for standard input", \
			  .complete = COMPLETE_FILE)

/* --- documents --------------------------------------------------------------------------- */

static enum iot_status read_document(const char *path, struct iot_buf *text, struct iot_policy **ret,
				     struct iot_error *err)
{
	enum iot_status status = iot_fs_read(path, text, err);

	if (status == IOT_OK)
		status = iot_policy_parse(iot_buf_str(text), text->len, ret, err);
	iot_error_while_at(err, "reading policy", path);
	return status;
}

/* Findings go to stderr as warnings: a document that grants too much is still the operator's decision. */
static void warn_of(const struct iot_policy *policy)
{
	IOT_JSON findings = iot_policy_lint(policy, NULL);
	json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
		iot_warn("policy: statement %lld: %s", (long long)iot_json_int(finding, "statement", 0),
			 iot_json_str(finding, "message", ""));
}

static enum iot_status send_document(struct cli_context *ctx, const struct policy_args *args, const char *operation,
				     struct iot_error *err)
{
	static const struct output_column sent_columns[] = {
		{.key = "policyVersionId", .heading = "Version"},
		{.key = "policyArn", .heading = "ARN"},
		{0},
	};
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	struct iot_buf text = IOT_BUF_INIT(IOT_POLICY_TEXT_MAX);
	enum iot_status status = read_document(args->file, &text, &policy, err);

	if (status == IOT_OK) {
		json_t *request = json_pack("{s:s, s:s}", "policyName", args->name, "policyDocument", iot_buf_str(&text));

		warn_of(policy);
		if (args->make_default)
			iot_json_set_bool(request, "setAsDefault", true);
		status = command_print_call(ctx, operation, request, sent_columns, err);
	}
	iot_buf_release(&text);
	return status;
}

static enum iot_status create(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return send_document(ctx, args, "CreatePolicy", err);
}

static enum iot_status update(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	struct policy_args args = *(const struct policy_args *)args_;

	args.make_default = true;
	return send_document(ctx, &args, "CreatePolicyVersion", err);
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (args->version != NULL)
		status = command_call(ctx, "GetPolicyVersion",
				      json_pack("{s:s, s:s}", "policyName", args->name, "policyVersionId", args->version),
				      &reply, err);
	else
		status = command_call(ctx, "GetPolicy", json_pack("{s:s}", "policyName", args->name), &reply, err);
	return status == IOT_OK ? command_print_policy(ctx, reply, columns, err) : status;
}

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column list_columns[] = {{.key = "policyName", .heading = "Policy", .width = 16},
							    {.key = "policyArn", .heading = "ARN"},
							    {0}};

	(void)args;
	return command_print_list(ctx, "ListPolicies", NULL, "policies", list_columns, err);
}

static enum iot_status versions(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column version_columns[] = {
		{.key = "versionId", .heading = "Version"},
		{.key = "isDefaultVersion", .heading = "Default", .kind = OUTPUT_BOOL},
		{.key = "createDate", .heading = "Created", .kind = OUTPUT_TIME},
		{0}};
	const struct policy_args *args = args_;

	return command_print_list(ctx, "ListPolicyVersions", json_pack("{s:s}", "policyName", args->name), "policyVersions",
				  version_columns, err);
}

static enum iot_status delete(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;

	if (args->version != NULL)
		return command_call(ctx, "DeletePolicyVersion",
				    json_pack("{s:s, s:s}", "policyName", args->name, "policyVersionId", args->version), NULL,
				    err);
	return command_call(ctx, "DeletePolicy", json_pack("{s:s}", "policyName", args->name), NULL, err);
}

/* --- attaching ------------------------------------------------------------------------------ */

/* The certificates of a device, or a group: whatever the policy is to be attached to. */
static enum iot_status targets(struct cli_context *ctx, const struct policy_args *args, json_t **ret,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status;

	if ((args->device == NULL) == (args->group == NULL))
		return iot_fail(err, IOT_USAGE, "name either a device with --to or a group with --group");
	if (args->group != NULL) {
		*ret = json_pack("[s++]", iot_cloud_arn_prefix(command_cloud(ctx)), "thinggroup/", args->group);
		return IOT_OK;
	}
	status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);
	if (status == IOT_OK)
		status = command_call(ctx, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing), &reply, err);
	if (status != IOT_OK)
		return status;
	*ret = json_incref(json_object_get(reply, "principals"));
	if (json_array_size(*ret) == 0)
		return iot_fail(err, IOT_CONFLICT, "device '%s' has no certificate", args->device);
	return IOT_OK;
}

static enum iot_status each_target(struct cli_context *ctx, const struct policy_args *args, const char *operation,
				   struct iot_error *err)
{
	IOT_JSON arns = NULL;
	json_t *arn;
	size_t i;
	enum iot_status status = targets(ctx, args, &arns, err);

	json_array_foreach(arns, i, arn) {
		if (status == IOT_OK)
			status = command_call(ctx, operation, json_pack("{s:s, s:O}", "policyName", args->name, "target", arn),
					      NULL, err);
	}
	return status;
}

static enum iot_status attach(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct policy_args *args = args_;
	const char *const policies[] = {args->name, NULL};
	const struct iot_device_spec spec = {.policies = policies};

	const char *one = args->device != NULL ? args->device : args->group;
	enum iot_status status = command_batch_check(&args->batch, one, err);

	if (status != IOT_OK)
		return status;
	if (args->batch.from != NULL)
		return command_batch(ctx, &args->batch, IOT_BATCH_ATTACH, &spec, NULL, err);
	return each_target(ctx, args, "AttachPolicy", err);
}

static enum iot_status detach(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	return each_target(ctx, args, "DetachPolicy", err);
}

static enum iot_status list_targets(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column target_columns[] = {{.key = "target", .heading = "Target"}, {0}};
	const struct policy_args *args = args_;

	return command_print_list(ctx, "ListTargetsForPolicy", json_pack("{s:s}", "policyName", args->name), "targets",
				  target_columns, err);
}

/* --- lint -------------------------------------------------------------------------------------- */

static enum iot_status lint(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column lint_columns[] = {
		{.key = "severity", .heading = "Severity"},
		{.key = "statement", .heading = "Statement", .kind = OUTPUT_INT},
		{.key = "rule", .heading = "Rule"},
		{.key = "message", .heading = "Finding"},
		{.key = "hint", .heading = "What to do", .wide = true},
		{0}};
	const struct policy_args *args = args_;
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	struct iot_buf text = IOT_BUF_INIT(IOT_POLICY_TEXT_MAX);
	IOT_JSON findings = NULL;
	enum iot_status status = read_document(args->file, &text, &policy, err);

	iot_buf_release(&text);
	if (status != IOT_OK)
		return status;
	findings = iot_policy_lint(policy, NULL);
	status = output_array(ctx->out, lint_columns, findings, err);
	if (status == IOT_OK && args->strict && json_array_size(findings) > 0)
		status = iot_fail(err, IOT_VERIFY, "%zu findings in policy '%s'", json_array_size(findings), args->file);
	return status;
}

/* --- test --------------------------------------------------------------------------------------- */

/* "publish:a/b" becomes an AuthInfo of TestAuthorization. */
static enum iot_status add_request(struct cli_context *ctx, const char *text, json_t *infos, struct iot_error *err)
{
	static const struct {
		const char *word, *action, *kind;
	} actions[] = {
		{"connect", "CONNECT", "client"},
		{"publish", "PUBLISH", "topic"},
		{"receive", "RECEIVE", "topic"},
		{"subscribe", "SUBSCRIBE", "topicfilter"},
	};
	const char *colon = strchr(text, ':');

	for (size_t i = 0; colon != NULL && i < IOT_LENGTH(actions); i++) {
		IOT_CLEAN(iot_free_p) char *arn = NULL;

		if (strncmp(text, actions[i].word, (size_t)(colon - text)) != 0 ||
		    strlen(actions[i].word) != (size_t)(colon - text))
			continue;
		arn = iot_strf("%s%s/%s", iot_cloud_arn_prefix(command_cloud(ctx)), actions[i].kind, colon + 1);
		json_array_append_new(infos,
				      json_pack("{s:s, s:[s]}", "actionType", actions[i].action, "resources", arn));
		return IOT_OK;
	}
	return iot_fail(err, IOT_USAGE, "'%s' is none of connect:CLIENT, publish:TOPIC, receive:TOPIC, subscribe:FILTER", text);
}

static enum iot_status test(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column test_columns[] = {
		{.key = "authInfo.actionType", .heading = "Action"},
		{.key = "authInfo.resources.0", .heading = "Resource"},
		{.key = "authDecision", .heading = "Decision"},
		{0}};
	const struct policy_args *args = args_;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON principals = NULL;
	IOT_JSON infos = json_array();
	IOT_JSON reply = NULL;
	struct policy_args who = {.device = args->device};
	enum iot_status status = iot_fleet_resolve(command_cloud(ctx), args->device, &thing, err);

	if (status == IOT_OK)
		status = targets(ctx, &who, &principals, err);
	for (size_t i = 0; status == IOT_OK && i < args->requests.count; i++)
		status = add_request(ctx, args->requests.items[i], infos, err);
	if (status == IOT_OK)
		status = command_call(ctx, "TestAuthorization",
				      json_pack("{s:O, s:s, s:O}", "principal", json_array_get(principals, 0), "clientId", thing,
						"authInfos", infos),
				      &reply, err);
	return status == IOT_OK ? output_array(ctx->out, test_columns, json_object_get(reply, "authResults"), err) : status;
}

/* --- rows ----------------------------------------------------------------------------------------- */

#define TARGET_OPTIONS                                                                                                  \
	OPT_STR(0, "to", "DEVICE", struct policy_args, device, "the certificates of this device",                        \
		.complete = COMPLETE_DEVICE),                                                                           \
		OPT_STR('g', "group", "GROUP", struct policy_args, group, "this group", .complete = COMPLETE_GROUP)

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Make a policy from a document",
	.description = "The document is checked as AWS checks it. What it grants beyond need is said on stderr.",
	.args = CLI_ARGS(ONE_POLICY, DOCUMENT),
	.examples = CLI_EXAMPLES({"policy create sensors sensors.json", "from a file"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct policy_args),
};

static const struct cli_command cmd_update = {
	.name = "update",
	.summary = "Give a policy a new version, at once in force",
	.description = "Live connections are judged by it within a second. A policy has at most five versions: delete an old "
		       "one with 'policy delete --version'.",
	.args = CLI_ARGS(ONE_POLICY, DOCUMENT),
	.examples = CLI_EXAMPLES({"policy update sensors sensors.json", "the new version becomes the default"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(update, struct policy_args),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Print a policy's document",
	.args = CLI_ARGS(ONE_POLICY),
	.opts = CLI_OPTS(OPT_STR(0, "version", "N", struct policy_args, version, "this version, not the default one")),
	.examples = CLI_EXAMPLES({"policy show device", "the one that 'init' made"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct policy_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List policies",
	.examples = CLI_EXAMPLES({"policy list", "all of them"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_versions = {
	.name = "versions",
	.summary = "List the versions of a policy",
	.args = CLI_ARGS(ONE_POLICY),
	.examples = CLI_EXAMPLES({"policy versions device", "which one is in force"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(versions, struct policy_args),
};

static const struct cli_command cmd_delete = {
	.name = "delete",
	.summary = "Delete a policy that is attached to nothing, or one version",
	.args = CLI_ARGS(ONE_POLICY),
	.opts = CLI_OPTS(OPT_STR(0, "version", "N", struct policy_args, version, "only this version")),
	.examples = CLI_EXAMPLES({"policy delete sensors --version 1", "an old version"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(delete, struct policy_args),
};

static const struct cli_command cmd_attach = {
	.name = "attach",
	.summary = "Attach a policy to a device's certificates or to a group",
	.description = "With --from, to all devices that stand in the column name of a CSV file; --resume, the results and the "
		       "exit codes are as of 'device create'.",
	.args = CLI_ARGS(ONE_POLICY),
	.opts = CLI_OPTS(TARGET_OPTIONS,
			 BATCH_OPTIONS(struct policy_args, batch, "attach it to the devices of this CSV file")),
	.examples = CLI_EXAMPLES({"policy attach device --to pump-0001", "to one device"},
				 {"policy attach device --from pumps.csv", "to many"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, BATCH_EXITS),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(attach, struct policy_args),
};

static const struct cli_command cmd_detach = {
	.name = "detach",
	.summary = "Detach a policy; live connections feel it within a second",
	.args = CLI_ARGS(ONE_POLICY),
	.opts = CLI_OPTS(TARGET_OPTIONS),
	.examples = CLI_EXAMPLES({"policy detach device --to pump-0001", "from one device"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(detach, struct policy_args),
};

static const struct cli_command cmd_targets = {
	.name = "targets",
	.summary = "List what a policy is attached to",
	.args = CLI_ARGS(ONE_POLICY),
	.examples = CLI_EXAMPLES({"policy targets device", "certificates and groups"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(list_targets, struct policy_args),
};

static const struct cli_command cmd_lint = {
	.name = "lint",
	.summary = "Say what is wrong or risky in a policy document",
	.args = CLI_ARGS(DOCUMENT),
	.opts = CLI_OPTS(OPT_FLAG(0, "strict", struct policy_args, strict, "exit code 11 when anything was found")),
	.examples = CLI_EXAMPLES({"policy lint sensors.json --strict", "in CI"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_VERIFY),
	CLI_RUN(lint, struct policy_args),
};

static const struct cli_command cmd_test = {
	.name = "test",
	.summary = "Ask what a device may do",
	.args = CLI_ARGS(ARG_STR("DEVICE", struct policy_args, device, "thing name or alias", .complete = COMPLETE_DEVICE),
			 ARG_LIST("REQUEST", struct policy_args, requests,
				  "connect:CLIENT, publish:TOPIC, receive:TOPIC or subscribe:FILTER")),
	.examples = CLI_EXAMPLES({"policy test pump-0001 publish:pump/pump-0001/event", "decided as the broker decides it"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(test, struct policy_args),
};

const struct cli_command cmd_policy = {
	.name = "policy",
	.summary = "What devices may do",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_update, &cmd_show, &cmd_list, &cmd_versions, &cmd_delete, &cmd_attach,
				    &cmd_detach, &cmd_targets, &cmd_lint, &cmd_test, &cmd_policy_generate),
};
