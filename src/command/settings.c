/* iotctl settings, completion, version: the tool itself. */
#include "command/commands.h"
#include "command/context.h"

#include <string.h>

struct show_args {
	bool origin;
};

struct set_args {
	const char *name, *value;
	bool unset;
};

struct import_args {
	const char *file;
	bool replace;
};

static enum iot_status show(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column plain[] = {
		{.key = "setting", .heading = "Setting", .width = 12}, {.key = "value", .heading = "Value"}, {0}};
	static const struct output_column with_origin[] = {{.key = "setting", .heading = "Setting", .width = 12},
							   {.key = "value", .heading = "Value", .width = 16},
							   {.key = "origin", .heading = "From"},
							   {0}};
	const struct show_args *args = args_;
	const struct setting *setting;
	const char *value, *origin;
	enum iot_status status = output_begin_list(ctx->out, args->origin ? with_origin : plain, err);

	for (size_t i = 0; status == IOT_OK && settings_at(ctx->settings, i, &setting, &value, &origin); i++) {
		IOT_JSON row = json_object();

		iot_json_set_str(row, "setting", setting->name);
		iot_json_set_str(row, "value", value != NULL && setting->hidden ? "(set)" : value);
		if (args->origin)
			iot_json_set_str(row, "origin", origin);
		status = output_row(ctx->out, row, err);
	}
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

static enum iot_status set(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct set_args *args = args_;
	IOT_CLEAN(iot_free_p) char *file = settings_user_file();
	const char *profile = settings_profile(ctx->settings);
	IOT_CLEAN(iot_free_p) char *section = NULL;
	enum iot_status status;

	if ((args->value == NULL) != args->unset)
		return iot_fail(err, IOT_USAGE, "give either a value or --unset");
	status = settings_check(ctx->settings, args->name, args->value, err);
	if (status != IOT_OK)
		return status;
	if (settings_profile_file(ctx->settings) != NULL) {
		free(file);
		file = iot_strdup(settings_profile_file(ctx->settings));
	}
	section = strcmp(profile, "default") == 0 ? iot_strdup("default") : iot_strf("profile %s", profile);
	return settings_set(file, section, args->name, args->value, err);
}

static const struct cli_command cmd_show = {
	.name = "show",
	.summary = "Show every setting, and where it comes from",
	.opts = CLI_OPTS(OPT_FLAG(0, "origin", struct show_args, origin, "say which file, variable or option won")),
	.examples = CLI_EXAMPLES({"settings show --origin", "who decided what"}),
	CLI_RUN(show, struct show_args),
};

static const struct cli_command cmd_set = {
	.name = "set",
	.summary = "Change a setting in the user's own file",
	.description =
		"The file is $XDG_CONFIG_HOME/iotctl/iotctl.conf; with --profile the setting goes into that profile, "
		"which is made when there is none of that name. A profile that has a file of its own is changed there.",
	.args = CLI_ARGS(ARG_STR("SETTING", struct set_args, name, "name of the setting", .complete = COMPLETE_SETTING),
			 ARG_STR("VALUE", struct set_args, value, "its value", .optional = true)),
	.opts = CLI_OPTS(OPT_FLAG(0, "unset", struct set_args, unset, "remove it")),
	.examples = CLI_EXAMPLES({"settings set fleet demo", "the fleet used by default"},
				 {"settings set --profile lab fleet lab", "in profile 'lab'"}),
	.exits = CLI_EXITS(IOT_SETTINGS),
	.needs = CLI_NEW_PROFILE,
	CLI_RUN(set, struct set_args),
};

static enum iot_status import(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "profile", .heading = "Profile"},
		{.key = "file", .heading = "File"},
		{.key = "changed", .heading = "Changed", .kind = OUTPUT_BOOL},
		{0},
	};
	const struct import_args *args = args_;
	IOT_CLEAN(iot_free_p) char *name = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_JSON record = NULL;
	bool changed = false;
	enum iot_status status = settings_import(ctx->settings, args->file, args->replace, &name, &path, &changed, err);

	if (status != IOT_OK)
		return status;
	record = json_pack("{s:s, s:s, s:b}", "profile", name, "file", path, "changed", changed);
	return output_object(ctx->out, columns, record, err);
}

static const struct cli_command cmd_import = {
	.name = "import",
	.summary = "Take an operator's profile file in, to use it by its name",
	.description =
		"The file is copied, mode 0600, to $XDG_CONFIG_HOME/iotctl/profiles/NAME.conf; then --profile NAME "
		"finds it. A file that others can read is refused. See iotctl-profile(7).",
	.args = CLI_ARGS(
		ARG_PATH("FILE", struct import_args, file, "made by 'operator create'", .complete = COMPLETE_FILE)),
	.opts = CLI_OPTS(OPT_FLAG(0, "replace", struct import_args, replace, "take the place of another of that name")),
	.examples = CLI_EXAMPLES({"settings import bench.profile", "then: iotctl --profile bench subscribe '#'"}),
	.exits = CLI_EXITS(IOT_NOT_FOUND, IOT_CONFLICT, IOT_SETTINGS),
	CLI_RUN(import, struct import_args),
};

const struct cli_command cmd_settings = {
	.name = "settings",
	.summary = "The tool's own settings and profiles",
	.subcommands = CLI_COMMANDS(&cmd_show, &cmd_set, &cmd_import),
};

/* --- completion --------------------------------------------------------------------------- */

struct completion_args {
	int shell;
};

static enum iot_status completion(struct cli_context *ctx, const void *args_, struct iot_error *err)
{
	const struct completion_args *args = args_;
	struct iot_buf script = IOT_BUF_INIT(4 * 1024 * 1024);
	enum iot_status status;

	cli_completion(ctx->root, (enum cli_shell)args->shell, &script);
	status = iot_buf_check(&script, "completion script", err);
	if (status == IOT_OK)
		status = output_raw(ctx->out, script.data, script.len, err);
	iot_buf_release(&script);
	return status;
}

const struct cli_command cmd_completion = {
	.name = "completion",
	.summary = "Print the completion script for a shell",
	.args = CLI_ARGS(ARG_ENUM("SHELL", struct completion_args, shell, "bash, zsh or fish",
				  .choices = CLI_CHOICES("bash", "zsh", "fish"))),
	.examples = CLI_EXAMPLES({"completion bash", "to be sourced, or put where the shell looks"}),
	.needs = CLI_NEEDS_NO_SETTINGS,
	CLI_RUN(completion, struct completion_args),
};

/* --- version ------------------------------------------------------------------------------- */

static enum iot_status version(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	static const struct output_column columns[] = {
		{.key = "version", .heading = "iotctl"}, {.key = "jansson", .heading = "jansson"}, {0}};
	IOT_JSON record = json_pack("{s:s, s:s}", "version", IOT_VERSION, "jansson", JANSSON_VERSION);

	(void)args;
	return output_object(ctx->out, columns, record, err);
}

const struct cli_command cmd_version = {
	.name = "version",
	.summary = "Show the version",
	.examples = CLI_EXAMPLES({"version -o json", "for scripts"}),
	.needs = CLI_NEEDS_NO_SETTINGS,
	CLI_RUN0(version),
};
