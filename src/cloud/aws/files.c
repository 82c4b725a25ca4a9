/*
 * The files that AWS's tools share: config and credentials (AWS SDKs and tools
 * reference guide, "shared config and credentials files"). INI with sections,
 * and blocks of indented lines below a key without a value; those are read as
 * "key.name". Their lines are longer than inih takes (session tokens), and the
 * blocks are none of its syntax.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/fs.h"

#include <ctype.h>

#define MAX_FILE ((size_t)512 * 1024)
#define MAX_ENTRIES 10000

struct reading {
	struct aws_file *file;
	const char *path;
	int line;
	char *section; /* NULL before the first heading */
	char *block;   /* the key whose indented lines these are; NULL: none */
};

void aws_file_release(struct aws_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->entries[i].section);
		free(file->entries[i].key);
		if (file->entries[i].value != NULL)
			iot_wipe(file->entries[i].value, strlen(file->entries[i].value));
		free(file->entries[i].value);
	}
	free(file->entries);
	free(file->path);
	*file = (struct aws_file){0};
}

/* Without blanks at both ends; new memory. */
static char *trimmed(const char *text, size_t len)
{
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	return iot_strndup(text, len);
}

/* A section with no key is an entry with an empty key. */
static void add(struct reading *reading, char *key, char *value)
{
	struct aws_file *file = reading->file;

	file->entries = iot_realloc(file->entries, (file->count + 1) * sizeof(*file->entries));
	file->entries[file->count++] = (struct aws_entry){iot_strdup(reading->section), key, value};
}

static enum iot_status malformed(const struct reading *reading, struct iot_error *err)
{
	iot_fail(err, IOT_SETTINGS, "malformed line at %s:%d", reading->path, reading->line);
	iot_error_hint(err, "lines are [NAME], 'name = value' or '# comment'");
	return IOT_SETTINGS;
}

static enum iot_status read_heading(struct reading *reading, const char *line, size_t len, struct iot_error *err)
{
	const char *end = memchr(line, ']', len);
	IOT_CLEAN(iot_free_p) char *name = NULL;
	char *word;

	if (end == NULL)
		return malformed(reading, err);
	name = trimmed(line + 1, (size_t)(end - line) - 1);
	/* "profile   x" is "profile x". */
	word = name + strcspn(name, " \t");
	free(reading->section);
	if (*word != '\0') {
		*word++ = '\0';
		reading->section = iot_strf("%s %s", name, word + strspn(word, " \t"));
	} else {
		reading->section = iot_strdup(name);
	}
	free(iot_take(reading->block));
	add(reading, iot_strdup(""), iot_strdup(""));
	return IOT_OK;
}

/* A comment behind a value begins with a blank and '#' or ';'. */
static size_t value_length(const char *text, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if ((text[i] == '#' || text[i] == ';') && isspace((unsigned char)text[i - 1]))
			return i;
	}
	return len;
}

static enum iot_status read_line(struct reading *reading, const char *line, size_t len, struct iot_error *err)
{
	bool indented = len > 0 && isspace((unsigned char)*line);
	IOT_CLEAN(iot_free_p) char *text = trimmed(line, len);
	const char *equals;
	char *key, *value;

	if (text[0] == '\0' || text[0] == '#' || text[0] == ';')
		return IOT_OK;
	if (text[0] == '[' && !indented)
		return read_heading(reading, text, strlen(text), err);
	equals = strchr(text, '=');
	if (equals == NULL && indented)
		return IOT_OK; /* a value that goes on: none that matters here does */
	if (equals == NULL || equals == text || reading->section == NULL || reading->file->count >= MAX_ENTRIES)
		return malformed(reading, err);
	key = trimmed(text, (size_t)(equals - text));
	value = trimmed(equals + 1, value_length(equals + 1, strlen(equals + 1)));
	for (char *c = key; *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	if (indented && reading->block != NULL) {
		char *whole = iot_strf("%s.%s", reading->block, key);

		free(key);
		key = whole;
	} else {
		free(reading->block);
		reading->block = iot_strdup(value[0] == '\0' ? key : NULL);
	}
	add(reading, key, value);
	return IOT_OK;
}

enum iot_status aws_file_parse(const char *path, const char *text, struct aws_file *ret, struct iot_error *err)
{
	struct aws_file file = {.path = iot_strdup(path)};
	struct reading reading = {.file = &file, .path = path};
	enum iot_status status = IOT_OK;

	while (*text != '\0' && status == IOT_OK) {
		size_t len = strcspn(text, "\n");

		reading.line++;
		status = read_line(&reading, text, len, err);
		text += len + (text[len] == '\n');
	}
	free(reading.section);
	free(reading.block);
	if (status == IOT_OK)
		*ret = file;
	else
		aws_file_release(&file);
	return status;
}

static enum iot_status load(const char *variable, const char *name, struct aws_file *ret, struct iot_error *err)
{
	const char *given = aws_env(variable), *home = aws_env("HOME");
	IOT_CLEAN(iot_free_p)
	char *path = given != NULL ? iot_strdup(given) : iot_strf("%s/.aws/%s", home != NULL ? home : "", name);
	struct iot_buf text = IOT_BUF_SECRET(MAX_FILE);
	struct iot_error why = IOT_ERROR_INIT;
	enum iot_status status = iot_fs_read(path, &text, &why);

	if (status == IOT_NOT_FOUND) {
		*ret = (struct aws_file){.path = iot_take(path)};
		status = IOT_OK;
	} else if (status == IOT_OK) {
		status = aws_file_parse(path, iot_buf_str(&text), ret, err);
	} else {
		iot_fail(err, IOT_SETTINGS, "%s", why.what);
		status = IOT_SETTINGS;
	}
	iot_buf_release(&text);
	return status;
}

enum iot_status aws_files_load(struct aws *aws, struct iot_error *err)
{
	enum iot_status status = load("AWS_CONFIG_FILE", "config", &aws->files[AWS_FILE_CONFIG], err);

	if (status == IOT_OK)
		status = load("AWS_SHARED_CREDENTIALS_FILE", "credentials", &aws->files[AWS_FILE_CREDENTIALS], err);
	return status;
}

/* The last one counts, as for AWS's tools. */
const char *aws_file_get(const struct aws *aws, enum aws_file_kind kind, const char *section, const char *key)
{
	const struct aws_file *file = &aws->files[kind];

	for (size_t i = file->count; i > 0; i--) {
		const struct aws_entry *entry = &file->entries[i - 1];

		if (strcmp(entry->section, section) == 0 && strcmp(entry->key, key) == 0)
			return entry->value[0] != '\0' || key[0] == '\0' ? entry->value : NULL;
	}
	return NULL;
}

bool aws_file_has(const struct aws *aws, enum aws_file_kind kind, const char *section)
{
	return aws_file_get(aws, kind, section, "") != NULL;
}
