/*
 * Settings from their six sources, each with its origin. Everything is resolved
 * once, when it is loaded: a broken file is reported at the start of a command,
 * not in the middle.
 */
#include "cli/settings_private.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/cli.h"
#include "iotctl/fs.h"

#include <ctype.h>
#include <string.h>

const struct setting settings_builtin[] = {
	{.name = "profile", .help = "profile whose section of the settings files is used", .fallback = "default"},
	{.name = "fleet", .help = "fleet of the local cloud: a name, or a folder if it has a slash"},
	{.name = "cloud",
	 .help = "which cloud runs the fleet",
	 .fallback = "local",
	 .choices = (const char *const[]){"local", "aws", NULL}},
	{.name = "output",
	 .help = "format of results (a table is cut to the width of the terminal, wide is not)",
	 .fallback = "table",
	 .choices = (const char *const[]){"table", "wide", "json", "jsonl", "csv", NULL}},
	{.name = "color",
	 .help = "colours on a terminal",
	 .fallback = "auto",
	 .choices = (const char *const[]){"auto", "always", "never", NULL}},
	{.name = "progress",
	 .help = "how progress is shown on stderr",
	 .fallback = "auto",
	 .choices = (const char *const[]){"auto", "bar", "plain", "json", "none", NULL}},
	{.name = "region",
	 .help = "AWS region",
	 .also = (const char *const[]){"AWS_REGION", "AWS_DEFAULT_REGION", NULL}},
	{.name = "endpoint-url",
	 .help = "where the AWS operations are sent instead of AWS",
	 .also = (const char *const[]){"AWS_ENDPOINT_URL", NULL}},
	{.name = "aws-profile",
	 .help = "profile of the AWS files whose credentials are used",
	 .also = (const char *const[]){"AWS_PROFILE", "AWS_DEFAULT_PROFILE", NULL}},
	{0},
};

static size_t add_rows(struct settings *settings, const struct setting *rows, size_t count)
{
	for (; rows != NULL && rows->name != NULL; rows++) {
		settings->values = iot_realloc(settings->values, (count + 1) * sizeof(*settings->values));
		settings->values[count++] = (struct settings_value){.row = rows};
	}
	return count;
}

static struct settings *settings_new(const struct setting *extra)
{
	struct settings *settings = iot_alloc(sizeof(*settings));

	settings->count = add_rows(settings, settings_builtin, 0);
	settings->count = add_rows(settings, extra, settings->count);
	return settings;
}

/* Some values are secrets. */
static void forget(char *value)
{
	if (value != NULL)
		iot_wipe(value, strlen(value));
	free(value);
}

void settings_free(struct settings *settings)
{
	if (settings == NULL)
		return;
	for (size_t i = 0; i < settings->count; i++) {
		forget(settings->values[i].value);
		free(settings->values[i].origin);
	}
	for (size_t i = 0; i < SETTINGS_FILES; i++)
		settings_file_release(&settings->files[i]);
	settings_file_release(&settings->own);
	free(settings->folder);
	free(settings->values);
	free(settings->profile);
	free(settings);
}

static struct settings_value *find(const struct settings *settings, const char *name)
{
	for (size_t i = 0; i < settings->count; i++) {
		if (strcmp(settings->values[i].row->name, name) == 0)
			return &settings->values[i];
	}
	return NULL;
}

static void set(struct settings_value *value, const char *text, char *origin)
{
	forget(value->value);
	free(value->origin);
	value->value = iot_strdup(text);
	value->origin = origin;
}

/* ---- the sources, strongest first; each returns true if it had a value ---- */

static bool from_overrides(struct settings_value *value, const char *const *overrides)
{
	for (; overrides != NULL && overrides[0] != NULL; overrides += 2) {
		if (strcmp(overrides[0], value->row->name) == 0) {
			set(value, overrides[1], iot_strf("option --%s", value->row->name));
			value->from_option = true;
			return true;
		}
	}
	return false;
}

static bool from_variable(struct settings_value *value, const char *variable)
{
	const char *text = getenv(variable);

	if (text == NULL || text[0] == '\0')
		return false;
	set(value, text, iot_strf("environment %s", variable));
	return true;
}

static bool from_environment(struct settings_value *value)
{
	IOT_CLEAN(iot_free_p) char *variable = iot_strf("IOTCTL_%s", value->row->name);

	for (char *c = variable; *c != '\0'; c++)
		*c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	return from_variable(value, variable);
}

/* What other programs call it. */
static bool from_other_variables(struct settings_value *value)
{
	const char *const *also = value->row->also;

	for (; also != NULL && *also != NULL; also++) {
		if (from_variable(value, *also))
			return true;
	}
	return false;
}

static bool from_file(struct settings_value *value, const struct settings_file *file, const char *section)
{
	const struct settings_entry *entry = settings_file_find(file, section, value->row->name);

	if (entry == NULL || entry->value[0] == '\0')
		return false;
	set(value, entry->value, iot_strf("%s:%d", file->path, entry->line));
	return true;
}

static bool from_section(struct settings_value *value, const struct settings *settings, const char *section)
{
	for (size_t i = 0; i < SETTINGS_FILES; i++)
		if (from_file(value, &settings->files[i], section))
			return true;
	return false;
}

static bool has_profile(const struct settings *settings)
{
	return settings->profile != NULL && strcmp(settings->profile, "default") != 0;
}

static void resolve(struct settings_value *value, const struct settings *settings, const struct settings_source *source)
{
	IOT_CLEAN(iot_free_p)
	char *section = has_profile(settings) ? iot_strf("profile %s", settings->profile) : NULL;

	if (!source->only_profile && (from_overrides(value, source->overrides) || from_environment(value)))
		return;
	if (section != NULL && from_file(value, &settings->own, section))
		return;
	if (!source->only_profile && from_other_variables(value))
		return;
	if (section != NULL && from_section(value, settings, section))
		return;
	if (from_section(value, settings, "default"))
		return;
	if (value->row->fallback != NULL)
		set(value, value->row->fallback, iot_strdup("default"));
}

/* Whether the setting can have this value; else its choices, for the hint. */
static bool is_choice(const struct setting *row, const char *text, struct iot_buf *list)
{
	if (text == NULL || row->choices == NULL)
		return true;
	for (const char *const *choice = row->choices; *choice != NULL; choice++) {
		if (strcmp(*choice, text) == 0)
			return true;
		iot_buf_addf(list, "%s%s", list->len == 0 ? "" : ", ", *choice);
	}
	return false;
}

static enum iot_status check_choice(const struct settings_value *value, struct iot_error *err)
{
	enum iot_status status = value->from_option ? IOT_USAGE : IOT_SETTINGS;
	IOT_CLEAN(iot_buf_release) struct iot_buf list = IOT_BUF_INIT(200);

	if (is_choice(value->row, value->value, &list))
		return IOT_OK;
	iot_fail(err, status, "bad value '%s' for setting '%s' (%s)", value->value, value->row->name, value->origin);
	iot_error_hint(err, "it is one of %s", iot_buf_str(&list));
	return status;
}

/* ---- files ---- */

static void hint_nearest(const struct settings *settings, const char *name, struct iot_error *err)
{
	const char *names[64];
	const char *near;
	size_t count = 0;

	for (; count < settings->count && count < IOT_LENGTH(names); count++)
		names[count] = settings->values[count].row->name;
	near = cli_nearest(name, names, count);
	if (near != NULL)
		iot_error_hint(err, "did you mean '%s'?", near);
}

enum iot_status settings_check_known(const struct settings *settings, const struct settings_file *file,
				     struct iot_error *err)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct settings_entry *entry = &file->entries[i];

		if (strcmp(entry->key, "profile") == 0 && strcmp(entry->section, "default") != 0)
			return iot_fail(err, IOT_SETTINGS, "a profile cannot choose a profile at %s:%d", file->path,
					entry->line);
		if (find(settings, entry->key) != NULL)
			continue;
		iot_fail(err, IOT_SETTINGS, "unknown setting '%s' at %s:%d", entry->key, file->path, entry->line);
		hint_nearest(settings, entry->key, err);
		return IOT_SETTINGS;
	}
	return IOT_OK;
}

char *settings_user_file(void)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_xdg_config();

	return iot_path(folder, "iotctl.conf");
}

static enum iot_status read_files(struct settings *settings, const struct settings_source *source,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *local = iot_path(source->folder != NULL ? source->folder : ".", ".iotctl.conf");
	IOT_CLEAN(iot_free_p)
	char *user = source->user_file != NULL ? iot_strdup(source->user_file) : settings_user_file();
	const char *system = source->system_file != NULL ? source->system_file : "/etc/iotctl/iotctl.conf";
	const char *paths[SETTINGS_FILES] = {local, user, system};
	enum iot_status status = IOT_OK;

	settings->folder = iot_strf("%.*s/profiles", (int)(strrchr(user, '/') != NULL ? strrchr(user, '/') - user : 1),
				    strrchr(user, '/') != NULL ? user : ".");
	for (size_t i = 0; i < SETTINGS_FILES && status == IOT_OK && !source->only_profile; i++) {
		status = settings_file_read(paths[i], i == 0 ? SETTINGS_NOT_WRITTEN_BY_OTHERS : SETTINGS_ANY,
					    &settings->files[i], err);
		if (status == IOT_OK)
			status = settings_check_known(settings, &settings->files[i], err);
	}
	return status;
}

/* ---- whole ---- */

static enum iot_status choose_profile(struct settings *settings, const struct settings_source *source,
				      struct iot_error *err)
{
	struct settings_value *value = find(settings, "profile");
	IOT_CLEAN(iot_free_p) char *near = NULL;
	enum iot_status status;

	if (source->profile != NULL) {
		set(value, source->profile, iot_strdup("option --profile"));
		value->from_option = true;
	} else {
		resolve(value, settings, source);
	}
	settings->profile = iot_strdup(value->value);
	status = settings_open_profile(settings, value, err);
	if (status != IOT_OK || settings->own.path != NULL)
		return status;
	if (settings_has_profile(settings, value->value, &near) || source->new_profile ||
	    strcmp(value->value, "default") == 0)
		return IOT_OK;
	iot_fail(err, IOT_SETTINGS, "no profile '%s' in the settings files (%s)", value->value, value->origin);
	if (near != NULL)
		iot_error_hint(err, "did you mean '%s'?", near);
	else
		iot_error_hint(err, "a profile is a section [profile %s] of %s", value->value, settings->files[1].path);
	return IOT_SETTINGS;
}

enum iot_status settings_load(const struct settings_source *source, struct settings **ret, struct iot_error *err)
{
	struct settings *settings = settings_new(source->extra);
	enum iot_status status = read_files(settings, source, err);

	if (status == IOT_OK)
		status = choose_profile(settings, source, err);
	for (size_t i = 0; i < settings->count && status == IOT_OK; i++) {
		if (settings->values[i].value == NULL)
			resolve(&settings->values[i], settings, source);
		status = check_choice(&settings->values[i], err);
	}
	if (status != IOT_OK) {
		settings_free(settings);
		return status;
	}
	*ret = settings;
	return IOT_OK;
}

struct settings *settings_new_defaults(const struct setting *extra)
{
	struct settings *settings = settings_new(extra);

	for (size_t i = 0; i < settings->count; i++) {
		if (settings->values[i].row->fallback != NULL)
			set(&settings->values[i], settings->values[i].row->fallback, iot_strdup("default"));
	}
	settings->profile = iot_strdup("default");
	return settings;
}

enum iot_status settings_check(const struct settings *settings, const char *name, const char *text,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf list = IOT_BUF_INIT(200);
	const struct settings_value *value = find(settings, name);

	if (value == NULL) {
		iot_fail(err, IOT_USAGE, "unknown setting '%s'", name);
		hint_nearest(settings, name, err);
		return IOT_USAGE;
	}
	if (value->row->hidden && text != NULL) {
		iot_fail(err, IOT_USAGE, "'%s' is not for a command line, which others can read", name);
		iot_error_hint(err, "it comes with a profile: iotctl settings import FILE");
		return IOT_USAGE;
	}
	if (!is_choice(value->row, text, &list)) {
		iot_fail(err, IOT_USAGE, "bad value '%s' for setting '%s'", text, name);
		iot_error_hint(err, "it is one of %s", iot_buf_str(&list));
		return IOT_USAGE;
	}
	if (strcmp(name, "profile") == 0 && text != NULL && strcmp(text, "default") != 0) {
		if (strcmp(settings->profile, "default") != 0)
			return iot_fail(err, IOT_USAGE, "a profile cannot choose a profile");
		if (!settings_has_profile(settings, text, NULL))
			return iot_fail(err, IOT_USAGE, "there is no profile '%s'", text);
	}
	return IOT_OK;
}

static const struct settings_value *known(const struct settings *settings, const char *name)
{
	const struct settings_value *value = find(settings, name);

	if (value == NULL)
		abort();
	return value;
}

const char *settings_get(const struct settings *settings, const char *name)
{
	return known(settings, name)->value;
}

int settings_choice(const struct settings *settings, const char *name)
{
	const struct settings_value *value = known(settings, name);

	for (int i = 0; value->value != NULL && value->row->choices != NULL && value->row->choices[i] != NULL; i++) {
		if (strcmp(value->row->choices[i], value->value) == 0)
			return i;
	}
	abort(); /* no choices and no default: not a setting to ask this of */
}

const char *settings_origin(const struct settings *settings, const char *name)
{
	const struct settings_value *value = known(settings, name);

	return value->origin != NULL ? value->origin : "default";
}

const char *settings_profile(const struct settings *settings)
{
	return settings->profile;
}

bool settings_at(const struct settings *settings, size_t index, const struct setting **ret_setting,
		 const char **ret_value, const char **ret_origin)
{
	const struct settings_value *value;

	if (index >= settings->count)
		return false;
	value = &settings->values[index];
	*ret_setting = value->row;
	*ret_value = value->value;
	*ret_origin = value->origin != NULL ? value->origin : "default";
	return true;
}
