/* One INI file of settings, read strictly. Private to cli. */
#ifndef IOTCTL_CLI_SETTINGS_FILE_H
#define IOTCTL_CLI_SETTINGS_FILE_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

struct settings_entry {
	char *section; /* "default" or "profile NAME" */
	char *key;
	char *value;
	int line;
};

struct settings_file {
	char *path;
	struct settings_entry *entries;
	size_t count;
};

/* A missing file gives no entries. IOT_SETTINGS if a user other than ours or root could have done what is not wanted. */
enum settings_trust { SETTINGS_ANY, SETTINGS_NOT_WRITTEN_BY_OTHERS, SETTINGS_NOT_READ_BY_OTHERS };
IOT_CHECK enum iot_status settings_file_read(const char *path, enum settings_trust trust, struct settings_file *ret,
					     struct iot_error *err);
/* From memory; `path` is for messages. */
IOT_CHECK enum iot_status settings_file_parse(const char *path, const struct iot_buf *text, struct settings_file *ret,
					      struct iot_error *err);
/* The entry, or NULL. */
const struct settings_entry *settings_file_find(const struct settings_file *file, const char *section, const char *key);
/* The one profile that a profile file has; NULL: it has none, several, or other sections. Borrowed. */
const char *settings_file_profile(const struct settings_file *file);
/* Values are wiped: some are secrets. */
void settings_file_release(struct settings_file *file);

#endif
