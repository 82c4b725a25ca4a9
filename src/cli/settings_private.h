/* Between the files of settings: what is loaded, and the part of it that is about profiles. */
#ifndef IOTCTL_CLI_SETTINGS_PRIVATE_H
#define IOTCTL_CLI_SETTINGS_PRIVATE_H

#include "cli/settings_file.h"
#include "iotctl/settings.h"

#define SETTINGS_FILES 3

struct settings_value {
	const struct setting *row;
	char *value;
	char *origin;
	bool from_option;
};

struct settings {
	struct settings_value *values;
	size_t count;
	char *profile;
	struct settings_file files[SETTINGS_FILES];
	struct settings_file own; /* the chosen profile's own file; path NULL: it has none */
	char *folder;             /* of imported profiles */
};

/* Has a file unknown settings, or a profile that chooses one? (settings.c) */
IOT_CHECK enum iot_status settings_check_known(const struct settings *settings, const struct settings_file *file,
					       struct iot_error *err);

/* --- settings_profile.c --- */
/* Read the own file of the profile that `value` names, if it has one: it says what the profile is called. */
IOT_CHECK enum iot_status settings_open_profile(struct settings *settings, const struct settings_value *value,
						struct iot_error *err);
/* Is there a profile of this name? *ret_near (may be NULL; new memory): the name that is most like it, or NULL. */
bool settings_has_profile(const struct settings *settings, const char *name, char **ret_near);

#endif
