/*
 * A settings file of any bytes: what is read of it is printable names and values in known sections, and the same when
 * it is written out and read again. Profiles come from elsewhere.
 */
#include "cli/settings_file.h"
#include "iotctl/base.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Values that inih would read differently (quotes and comments are not part of them) are not written again. */
static bool is_plain(const char *text)
{
	size_t len = strlen(text);

	return strpbrk(text, ";#\"'\\\t\r\n") == NULL && (len == 0 || (text[0] != ' ' && text[len - 1] != ' '));
}

static bool write_again(const struct settings_file *file, struct iot_buf *out)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct settings_entry *entry = &file->entries[i];

		if (!is_plain(entry->key) || !is_plain(entry->value) || strpbrk(entry->key, "=:[") != NULL ||
		    entry->key[0] == '\0' || strlen(entry->key) + strlen(entry->value) > 150)
			return false;
		iot_buf_addf(out, "[%s]\n%s = %s\n", entry->section, entry->key, entry->value);
	}
	return !out->over;
}

static void check_entries(const struct settings_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		const struct settings_entry *entry = &file->entries[i];

		if (strcmp(entry->section, "default") != 0 && strncmp(entry->section, "profile ", 8) != 0)
			abort();
		if (settings_file_find(file, entry->section, entry->key) != entry || entry->line < 1)
			abort();
	}
	if (settings_file_profile(file) != NULL && *settings_file_profile(file) == '\0')
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_CLEAN(iot_buf_release) struct iot_buf again = IOT_BUF_INIT(1 << 20);
	struct settings_file file = {0}, second = {0};
	struct iot_error err = IOT_ERROR_INIT;

	if (size > 65536)
		return 0;
	iot_buf_add(&text, data, size);
	if (settings_file_parse("input", &text, &file, &err) != IOT_OK) {
		if (err.status != IOT_SETTINGS || err.what[0] == '\0' || file.entries != NULL)
			abort();
		return 0;
	}
	check_entries(&file);
	if (write_again(&file, &again)) {
		if (settings_file_parse("again", &again, &second, &err) != IOT_OK || second.count != file.count)
			abort();
		for (size_t i = 0; i < file.count; i++)
			if (strcmp(second.entries[i].value, file.entries[i].value) != 0)
				abort();
	}
	settings_file_release(&second);
	settings_file_release(&file);
	return 0;
}
