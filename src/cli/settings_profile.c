/*
 * Profiles: the files of their own that some have, which hold secrets, how such a
 * file is imported, and which profiles there are.
 */
#include "cli/settings_private.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/cli.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <string.h>

static enum iot_status read_profile_file(const struct settings *settings, const char *path, struct settings_file *ret,
					 struct iot_error *err)
{
	enum iot_status status = settings_file_read(path, SETTINGS_NOT_READ_BY_OTHERS, ret, err);

	if (status != IOT_OK)
		return status;
	status = settings_check_known(settings, ret, err);
	if (status == IOT_OK && settings_file_profile(ret) == NULL) {
		status = iot_fail(err, IOT_SETTINGS, "'%s' is no profile: it must have one section, [profile NAME]",
				  path);
		iot_error_hint(err, "'iotctl operator create' makes one");
	}
	if (status != IOT_OK)
		settings_file_release(ret);
	return status;
}

/* The path of a profile's own file: as it is named, or where imported ones are; NULL: it has none. New memory. */
static char *profile_path(const struct settings *settings, const char *name)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;

	if (strchr(name, '/') != NULL)
		return iot_strdup(name);
	path = iot_strf("%s/%s.conf", settings->folder, name);
	return iot_fs_exists(path) ? iot_take(path) : NULL;
}

enum iot_status settings_open_profile(struct settings *settings, const struct settings_value *value,
				      struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = profile_path(settings, value->value);
	enum iot_status status;

	if (path == NULL)
		return IOT_OK;
	if (!iot_fs_exists(path))
		return iot_fail(err, IOT_SETTINGS, "there is no profile file '%s' (%s)", path, value->origin);
	status = read_profile_file(settings, path, &settings->own, err);
	if (status == IOT_OK) {
		free(settings->profile);
		settings->profile = iot_strdup(settings_file_profile(&settings->own));
	}
	return status;
}

const char *settings_profile_file(const struct settings *settings)
{
	return settings->own.path;
}

static enum iot_status same_profile(const char *path, const struct iot_buf *text, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf there = IOT_BUF_SECRET(text->max);
	enum iot_status status = iot_fs_read(path, &there, err);

	if (status == IOT_OK)
		*ret = there.len == text->len && memcmp(iot_buf_str(&there), iot_buf_str(text), text->len) == 0;
	return status;
}

static enum iot_status put_profile(const char *path, const struct iot_buf *text, bool replace, bool *ret_changed,
				   struct iot_error *err)
{
	bool same = false;
	enum iot_status status = iot_fs_create_private(path, text->data, text->len, err);

	*ret_changed = true;
	if (status != IOT_CONFLICT)
		return status;
	iot_error_clear(err);
	status = same_profile(path, text, &same, err);
	if (status == IOT_OK && same)
		*ret_changed = false;
	else if (status == IOT_OK && replace)
		status = iot_fs_write(path, 0600, text->data, text->len, err);
	else if (status == IOT_OK) {
		status = iot_fail(err, IOT_CONFLICT, "there is another profile '%s'", path);
		iot_error_hint(err, "--replace takes the new one");
	}
	return status;
}

enum iot_status settings_import(const struct settings *settings, const char *path, bool replace, char **ret_name,
				char **ret_path, bool *ret_changed, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET((size_t)256 * 1024);
	IOT_CLEAN(iot_free_p) char *target = NULL;
	IOT_CLEAN(iot_free_p) char *name = NULL;
	struct settings_file file = {0};
	enum iot_status status;

	if (!iot_fs_exists(path))
		return iot_fail(err, IOT_NOT_FOUND, "there is no file '%s'", path);
	status = read_profile_file(settings, path, &file, err);
	if (status != IOT_OK)
		return status;
	name = iot_strdup(settings_file_profile(&file));
	settings_file_release(&file);
	if (strchr(name, '/') != NULL || name[0] == '.' || strcmp(name, "default") == 0)
		return iot_fail(err, IOT_SETTINGS, "'%s' is no name for a profile", name);
	target = iot_strf("%s/%s.conf", settings->folder, name);
	status = iot_fs_read(path, &text, err);
	if (status == IOT_OK)
		status = iot_fs_mkdirs(settings->folder, 0700, err);
	if (status == IOT_OK)
		status = put_profile(target, &text, replace, ret_changed, err);
	if (status == IOT_OK) {
		*ret_name = iot_take(name);
		*ret_path = iot_take(target);
	}
	return status;
}

static void imported_profiles(const struct settings *settings, void (*each)(void *data, const char *name), void *data)
{
	DIR *dir = settings->folder != NULL ? opendir(settings->folder) : NULL;
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *name = iot_strdup(entry->d_name);

		if (name[0] == '.' || !iot_ends_with(name, ".conf"))
			continue;
		name[strlen(name) - strlen(".conf")] = '\0';
		each(data, name);
	}
	if (dir != NULL)
		closedir(dir);
}

void settings_profiles(const struct settings *settings, void (*each)(void *data, const char *name), void *data)
{
	for (size_t f = 0; f < SETTINGS_FILES; f++) {
		const char *before = "";

		for (size_t i = 0; i < settings->files[f].count; i++) {
			const char *section = settings->files[f].entries[i].section;

			if (strcmp(section, before) != 0 && strcmp(section, "default") != 0)
				each(data, section + strlen("profile "));
			before = section;
		}
	}
	imported_profiles(settings, each, data);
}

struct profile_search {
	const char *wanted;
	char *names[64];
	size_t count;
	bool found;
};

static void release_search(struct profile_search *search)
{
	for (size_t i = 0; i < search->count; i++)
		free(search->names[i]);
}

static void note_profile(void *data, const char *name)
{
	struct profile_search *search = data;

	search->found = search->found || strcmp(name, search->wanted) == 0;
	if (search->count < IOT_LENGTH(search->names))
		search->names[search->count++] = iot_strdup(name);
}

bool settings_has_profile(const struct settings *settings, const char *name, char **ret_near)
{
	IOT_CLEAN(release_search) struct profile_search search = {.wanted = name};

	settings_profiles(settings, note_profile, &search);
	if (ret_near != NULL)
		*ret_near = iot_strdup(cli_nearest(name, (const char *const *)search.names, search.count));
	return search.found;
}
