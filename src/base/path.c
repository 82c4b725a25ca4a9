/*
 * Names of files: joining, making absolute, and the XDG base folders (XDG Base
 * Directory Specification 0.8). Nothing here fails; only the two questions
 * whether something exists look at the disk.
 */
#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool iot_fs_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

bool iot_fs_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *iot_path(const char *dir, const char *name)
{
	size_t len = dir != NULL ? strlen(dir) : 0;

	if (name[0] == '/' || len == 0)
		return iot_strdup(name);
	if (name[0] == '\0')
		return iot_strdup(dir);
	return iot_strf("%s%s%s", dir, dir[len - 1] == '/' ? "" : "/", name);
}

/* Drop "." components and doubled and trailing slashes; ".." stays, since only the disk knows where it leads. */
static void tidy(char *path)
{
	char *to = path;
	const char *from = path;

	while (*from != '\0') {
		size_t len;

		from += strspn(from, "/");
		len = strcspn(from, "/");
		if (len > 0 && !(len == 1 && from[0] == '.')) {
			*to++ = '/';
			memmove(to, from, len);
			to += len;
		}
		from += len;
	}
	if (to == path)
		*to++ = '/';
	*to = '\0';
}

char *iot_path_absolute(const char *path)
{
	IOT_CLEAN(iot_free_p) char *cwd = path[0] != '/' ? getcwd(NULL, 0) : NULL;
	char *absolute = iot_path(cwd != NULL ? cwd : "/", path);

	tidy(absolute);
	return absolute;
}

/* $HOME, or what the user database says. */
static char *home_folder(void)
{
	const char *home = getenv("HOME");
	struct passwd entry, *found = NULL;
	char text[4096];

	if (home != NULL && home[0] == '/')
		return iot_path_absolute(home);
	if (getpwuid_r(geteuid(), &entry, text, sizeof(text), &found) == 0 && found != NULL && entry.pw_dir[0] == '/')
		return iot_path_absolute(entry.pw_dir);
	return iot_strdup("/");
}

/* The specification: a base folder that is not absolute counts as not set. */
static char *xdg_folder(const char *variable, const char *below_home)
{
	const char *base = getenv(variable);
	IOT_CLEAN(iot_free_p) char *root = NULL;
	IOT_CLEAN(iot_free_p) char *home = NULL;

	if (base != NULL && base[0] == '/') {
		root = iot_path_absolute(base);
	} else {
		home = home_folder();
		root = iot_path(home, below_home);
	}
	return iot_path(root, "iotctl");
}

char *iot_xdg_config(void)
{
	return xdg_folder("XDG_CONFIG_HOME", ".config");
}

char *iot_xdg_data(void)
{
	return xdg_folder("XDG_DATA_HOME", ".local/share");
}

char *iot_xdg_state(void)
{
	return xdg_folder("XDG_STATE_HOME", ".local/state");
}

char *iot_xdg_runtime(void)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if (base == NULL || base[0] != '/')
		return iot_xdg_state();
	return xdg_folder("XDG_RUNTIME_DIR", "");
}
