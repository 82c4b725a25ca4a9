/*
 * The tool's own settings and where each came from. The first that has a value
 * wins:
 *
 *   1. an option on the command line
 *   2. the environment: IOTCTL_NAME, then the setting's other variables
 *   3. ./.iotctl.conf                          } for each of the three first
 *   4. $XDG_CONFIG_HOME/iotctl/iotctl.conf     } the chosen profile's section,
 *   5. /etc/iotctl/iotctl.conf                 } then for each [default]
 *   6. the default
 *
 * A profile may also be a file of its own, made by 'operator create': --profile
 * with a slash names it, and imported ones are found by name
 * ($XDG_CONFIG_HOME/iotctl/profiles/NAME.conf). It has one section [profile NAME]
 * and stands before the files 3 to 5 and before the variables of other programs
 * (AWS_REGION): it belongs together. It is refused if others can read it.
 *
 * The files are INI: [default], and [profile NAME] for each profile, which is
 * chosen by --profile, IOTCTL_PROFILE or `profile = NAME` in a [default]; NAME
 * "default" chooses none. ./.iotctl.conf is refused if another user could have
 * written it.
 */
#ifndef IOTCTL_SETTINGS_H
#define IOTCTL_SETTINGS_H

#include "iotctl/error.h"

#include <stdbool.h>
#include <stddef.h>

/* One known setting; an array ends with a NULL name. */
struct setting {
	const char *name;           /* "endpoint-url"; its variable is IOTCTL_ENDPOINT_URL */
	const char *help;           /* lower case, no full stop */
	const char *fallback;       /* default, or NULL */
	const char *const *choices; /* NULL-terminated, or NULL for any text */
	const char *const *also;    /* NULL-terminated: other variables (AWS_REGION), or NULL */
	bool hidden;                /* a secret, or too long to look at: never shown, never on a command line */
};

/*
 * cli's own: profile, fleet, cloud, output, color, progress, region,
 * endpoint-url, aws-profile. A program adds its own through its hooks.
 */
extern const struct setting settings_builtin[];

struct settings;

struct settings_source {
	const struct setting *extra;  /* more settings, or NULL */
	const char *folder;           /* where .iotctl.conf is looked for; NULL: the current folder */
	const char *user_file;        /* NULL: the XDG one */
	const char *system_file;      /* NULL: /etc/iotctl/iotctl.conf */
	const char *profile;          /* --profile, or NULL */
	bool new_profile;             /* it may be one that is in no file yet */
	bool only_profile;            /* nothing counts but the profile's own file, and defaults */
	const char *const *overrides; /* options given: name, value, name, value, ..., NULL; or NULL */
};

/*
 * Read it all. IOT_SETTINGS names file and line of what is unknown or malformed
 * (with the nearest known name), a profile that is in no file, or a value that
 * is not among the choices; IOT_USAGE if that value came from an option.
 */
IOT_CHECK enum iot_status settings_load(const struct settings_source *source, struct settings **ret,
					struct iot_error *err);
/* Only the defaults. */
struct settings *settings_new_defaults(const struct setting *extra);
void settings_free(struct settings *settings);

/* The value, or NULL if there is none. Borrowed. An unknown name is a mistake in the program: aborts. */
const char *settings_get(const struct settings *settings, const char *name);
/* Index of the value in the setting's choices. */
int settings_choice(const struct settings *settings, const char *name);
/* "~/.config/iotctl/iotctl.conf:3", "environment IOTCTL_FLEET", "option --fleet", "default". Borrowed. */
const char *settings_origin(const struct settings *settings, const char *name);
/* The chosen profile's name; "default" when none was chosen. */
const char *settings_profile(const struct settings *settings);

/* The file of the chosen profile, if it has one of its own, else NULL. Borrowed. */
const char *settings_profile_file(const struct settings *settings);

/*
 * Copy a profile file to where its name is found: 0600, folder 0700. *ret_name and *ret_path (new memory) say which
 * and where; *ret_changed: false when the same is there. IOT_CONFLICT if another of that name is, unless `replace`;
 * IOT_SETTINGS for what is no profile file. `settings` knows which settings there are.
 */
IOT_CHECK enum iot_status settings_import(const struct settings *settings, const char *path, bool replace,
					  char **ret_name, char **ret_path, bool *ret_changed, struct iot_error *err);

/* All of them in table order. False when index is past the last. */
bool settings_at(const struct settings *settings, size_t index, const struct setting **ret_setting,
		 const char **ret_value, const char **ret_origin);

/* Names of the profiles the files have, for completion: calls `each` for every one. */
void settings_profiles(const struct settings *settings, void (*each)(void *data, const char *name), void *data);

/*
 * Would a file with this value (NULL: none) still be read? IOT_USAGE for an unknown setting, a value that is not among
 * its choices, and a profile that is in no file.
 */
IOT_CHECK enum iot_status settings_check(const struct settings *settings, const char *name, const char *value,
					 struct iot_error *err);

/* Where the user's own file is ($XDG_CONFIG_HOME/iotctl/iotctl.conf); new memory. */
char *settings_user_file(void);

/*
 * Set one key in a section ("default" or "profile NAME") of a settings file and
 * keep everything else, comments included. Missing file, folder and section
 * are made; value NULL removes the key. Written so that a crash leaves the old or the new file, mode
 * 0600 when it is new. IOT_USAGE for a section, key or value that the format cannot hold.
 */
IOT_CHECK enum iot_status settings_set(const char *path, const char *section, const char *key, const char *value,
				       struct iot_error *err);

#endif
