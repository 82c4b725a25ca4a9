/* iotctl operator: people and CI jobs with rights on the fleet from elsewhere. */
#include "iotctl/operator.h"
#include "command/commands.h"
#include "command/profile.h"
#include "iotctl/clock.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

enum { POLICY_MAX = 64 * 1024 };

struct operator_args {
	const char *name, *policy, *url, *out;
	int role;
	int64_t lifetime_ms;
};

static const struct output_column columns[] = {
	{.key = "operator", .heading = "Operator"},
	{.key = "role", .heading = "Role"},
	{.key = "profile", .heading = "Profile"},
	{.key = "endpointUrl", .heading = "HTTPS API"},
	{.key = "broker", .heading = "Broker"},
	{.key = "accessKeyId", .heading = "Access key"},
	{.key = "certificateId", .heading = "Certificate", .wide = true},
	{.key = "policy", .heading = "Policy"},
	{.key = "expiresAt", .heading = "Expires"},
	{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
	{0},
};

/* A profile that lies where the new one shall be, read by itself: neither environment nor other files count. */
static enum iot_status read_found(const char *path, struct settings **settings, struct command_profile *profile,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *named = strchr(path, '/') != NULL ? iot_strdup(path) : iot_strf("./%s", path);
	const struct settings_source source = {.extra = command_settings, .profile = named, .only_profile = true};
	enum iot_status status = settings_load(&source, settings, err);

	if (status == IOT_OK)
		status = command_profile_read(*settings, profile, err);
	if (status == IOT_OK && profile->values.access_key_id == NULL)
		status = iot_fail(err, IOT_SETTINGS, "'%s' is the profile of an AWS account", path);
	return status;
}

static enum iot_status make(struct cli_context *ctx, const struct operator_args *args, const char *policy, bool rotate,
			    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *out = args->out != NULL ? iot_strdup(args->out) : iot_strf("%s.profile", args->name);
	IOT_CLEAN(command_profile_release) struct command_profile found = {0};
	struct iot_operator_spec spec = {
		.name = args->name,
		.role = policy == NULL ? iot_operator_roles[args->role] : NULL,
		.policy = policy,
		.lifetime_ms = args->lifetime_ms,
		.endpoint_url = args->url,
		.out = out,
	};
	struct settings *settings = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = IOT_OK;

	if (iot_fs_exists(out)) {
		status = read_found(out, &settings, &found, err);
		spec.found = &found.values;
	}
	if (status == IOT_OK)
		status = (rotate ? iot_operator_rotate : iot_operator_create)(command_cloud(ctx), &spec, &record, err);
	if (status == IOT_OK && iot_starts_with(iot_json_str(record, "broker", ""), "localhost:"))
		iot_notice("the fleet's endpoint is 'localhost': this profile is good on this machine only");
	if (status == IOT_OK && iot_json_bool(record, "apiOff", false))
		iot_notice("the fleet has no HTTPS API: what the profile says of it holds once there is one, "
			   "with 'iotctl serve --api-port 8443'");
	if (status == IOT_OK)
		status = output_object(ctx->out, columns, record, err);
	settings_free(settings);
	return status;
}

static enum iot_status create(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct operator_args *args = args_;
	IOT_CLEAN(iot_buf_release) struct iot_buf policy = IOT_BUF_INIT(POLICY_MAX);
	enum iot_status status = IOT_OK;

	if (args->policy != NULL && cli_given(ctx, "role"))
		return iot_fail(err, IOT_USAGE, "give either --role or --policy");
	if (args->policy != NULL)
		status = iot_fs_read(args->policy, &policy, err);
	if (status != IOT_OK)
		return status;
	return make(ctx, args, args->policy != NULL ? iot_buf_str(&policy) : NULL, false, err);
}

static enum iot_status rotate(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	return make(ctx, args_, NULL, true, err);
}

static enum iot_status lock_out(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column revoked[] = {
		{.key = "operator", .heading = "Operator"},
		{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
		{0},
	};
	const struct operator_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_fleet_need_local(command_cloud(ctx), err);

	if (status == IOT_OK)
		status = iot_operator_revoke(command_cloud(ctx), args->name, &record, err);
	return status == IOT_OK ? output_object(ctx->out, revoked, record, err) : status;
}

/* --- looking ------------------------------------------------------------------------------- */

static void show_times(json_t *record)
{
	static const char *const times[] = {"createdAt", "expiresAt", "revokedAt"};
	char text[32];

	for (size_t i = 0; i < IOT_LENGTH(times); i++) {
		int64_t ms = iot_json_int(record, times[i], 0);

		if (ms != 0)
			iot_json_set_str(record, times[i], iot_time_rfc3339(ms, text));
	}
}

static enum iot_status print_row(json_t *record, void *data, struct iot_error *err)
{
	struct cli_context *ctx = data;

	show_times(record);
	return output_row(ctx->out, record, err);
}

static enum iot_status list(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column row[] = {
		{.key = "operator", .heading = "Operator", .width = 12},
		{.key = "role", .heading = "Role", .width = 8},
		{.key = "state", .heading = "State", .width = 8},
		{.key = "expiresAt", .heading = "Expires", .width = 20},
		{.key = "accessKeyId", .heading = "Access key", .width = 20},
		{.key = "certificateId", .heading = "Certificate", .wide = true},
		{.key = "createdAt", .heading = "Created", .wide = true},
		{.key = "revokedAt", .heading = "Revoked", .wide = true},
		{0},
	};
	enum iot_status status = iot_fleet_need_local(command_cloud(ctx), err);

	(void)args;
	if (status == IOT_OK)
		status = output_begin_list(ctx->out, row, err);
	if (status == IOT_OK)
		status = iot_local_operators(command_cloud(ctx), print_row, ctx, err);
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column all[] = {
		{.key = "operator", .heading = "Operator"},
		{.key = "role", .heading = "Role"},
		{.key = "state", .heading = "State"},
		{.key = "createdAt", .heading = "Created"},
		{.key = "expiresAt", .heading = "Expires"},
		{.key = "revokedAt", .heading = "Revoked"},
		{.key = "accessKeyId", .heading = "Access key"},
		{.key = "certificateId", .heading = "Certificate"},
		{.key = "policies", .heading = "Policies"},
		{0},
	};
	const struct operator_args *args = args_;
	IOT_JSON record = NULL;
	enum iot_status status = iot_fleet_need_local(command_cloud(ctx), err);

	if (status == IOT_OK)
		status = iot_operator_show(command_cloud(ctx), args->name, &record, err);
	if (status != IOT_OK)
		return status;
	show_times(record);
	return output_object(ctx->out, all, record, err);
}

/* --- the rows -------------------------------------------------------------------------------- */

#define NAME_ARG CLI_ARGS(ARG_STR("NAME", struct operator_args, name, "name of the operator"))
#define FILE_OPTIONS                                                                                                   \
	OPT_DURATION(0, "expires", "TIME", struct operator_args, lifetime_ms,                                          \
		     "its keys are good for so long, at most ten years", .min = 1000, .max = INT64_C(315360000000),    \
		     .fallback = "90d"),                                                                               \
		OPT_STR(0, "api-url", "URL", struct operator_args, url,                                                \
			"address of the HTTPS API, if it is another than the fleet's own"),                            \
		OPT_PATH(0, "out", "FILE", struct operator_args, out, "profile file to write; else NAME.profile",      \
			 .complete = COMPLETE_FILE)

static const struct cli_command cmd_create = {
	.name = "create",
	.summary = "Give a person or a CI job rights on the fleet from elsewhere",
	.description =
		"Writes one file, mode 0600: an access key for the HTTPS API, a client certificate and its key for "
		"the broker, the CA, both addresses. Hand it over by a safe way: who has it is the operator. See "
		"iotctl-profile(7).\n\n"
		"Roles: 'observe' may read and listen to everything; 'deploy' also makes jobs, updates, shadows and "
		"configurations and publishes anywhere but under $aws/ and where devices speak; 'admin' may do "
		"everything. With --policy a policy document decides, for the broker (iot:Connect on "
		"client/operator-NAME-*, iot:Publish, iot:Subscribe, iot:Receive) and the API (iot:CreateThing and so "
		"on) alike; it becomes policy 'operator.NAME'.\n\n"
		"The same call again changes nothing, and finishes what was interrupted. The secret is in that file "
		"alone: the registry has it sealed with a key that is in no backup.",
	.args = NAME_ARG,
	.opts = CLI_OPTS(OPT_ENUM(0, "role", "ROLE", struct operator_args, role, "what it may do",
				  .choices = CLI_CHOICES("admin", "deploy", "observe"), .fallback = "observe"),
			 OPT_PATH(0, "policy", "FILE", struct operator_args, policy, "or a policy document",
				  .complete = COMPLETE_FILE),
			 FILE_OPTIONS),
	.examples = CLI_EXAMPLES({"operator create bench --role deploy --expires 90d", "writes bench.profile"},
				 {"operator create ci --policy ci.json --out ci.profile", "rights of your own"}),
	.exits = CLI_EXITS(IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(create, struct operator_args),
};

static const struct cli_command cmd_rotate = {
	.name = "rotate",
	.summary = "Make new keys for an operator; the old ones end at once",
	.description =
		"A new access key and a new certificate, in a new profile file; a file of this operator that lies "
		"there is replaced. Rights stay as they are. A revoked operator is let in again. After 'restore' "
		"every operator needs this for the HTTPS API.",
	.args = NAME_ARG,
	.opts = CLI_OPTS(FILE_OPTIONS),
	.examples = CLI_EXAMPLES({"operator rotate bench --out bench.profile", "before its keys expire"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(rotate, struct operator_args),
};

static const struct cli_command cmd_revoke = {
	.name = "revoke",
	.summary = "Lock an operator out at once",
	.description = "Its access key is refused from now on, its certificate is REVOKED, and its connections to the "
		       "broker end within a second.",
	.args = NAME_ARG,
	.examples = CLI_EXAMPLES({"operator revoke bench", "a laptop was lost"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(lock_out, struct operator_args),
};

static const struct cli_command cmd_list = {
	.name = "list",
	.summary = "List the operators",
	.description = "State 'no key': the fleet was restored, and the operator's secret cannot be opened any more.",
	.examples = CLI_EXAMPLES({"operator list", "who has rights, and until when"}),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN0(list),
};

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show an operator and its policies",
	.args = NAME_ARG,
	.examples = CLI_EXAMPLES({"operator show bench -o json", "with the policy documents"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND),
	.needs = CLI_NEEDS_CLOUD,
	CLI_RUN(show, struct operator_args),
};

const struct cli_command cmd_operator = {
	.name = "operator",
	.summary = "People and CI jobs with rights on the fleet",
	.subcommands = CLI_COMMANDS(&cmd_create, &cmd_rotate, &cmd_revoke, &cmd_list, &cmd_show),
};
