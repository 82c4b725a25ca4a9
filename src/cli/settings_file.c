/*
 * Settings files: inih reads the INI syntax; this hands it one line at a time,
 * so that line numbers are known and what inih would cut or join is refused.
 * Writing changes one line and keeps all others as they are.
 */
#include "cli/settings_file.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/settings.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE ((size_t)256 * 1024)
#define MAX_SECTION 48 /* inih cuts longer names silently */

struct reading {
	struct settings_file *file;
	const char *at;
	const char *path;
	char *value; /* of a line that is too long for inih, which is given the name alone */
	int line;
	enum iot_status status;
	struct iot_error *err;
};

static const char blanks[] = " \t\r";

/*
 * "NAME-data = base64" is longer than inih's lines (certificates and keys in one line): inih gets the name alone. The
 * value has neither blanks nor control characters, so that it needs none of inih's rules about comments.
 */
static bool long_line(struct reading *reading, size_t length, char *into, int size)
{
	static const char suffix[] = "-data";
	const char *line = reading->at, *equals = memchr(line, '=', length);
	size_t name = equals != NULL ? (size_t)(equals - line) : 0, start = name + 1;

	while (name > 0 && strchr(blanks, line[name - 1]) != NULL)
		name--;
	if (name < strlen(suffix) || name + 3 > (size_t)size ||
	    memcmp(line + name - strlen(suffix), suffix, strlen(suffix)) != 0)
		return false;
	while (strchr(blanks, line[length - 1]) != NULL)
		length--;
	start += strspn(line + start, blanks);
	for (size_t i = start; i < length; i++)
		if ((unsigned char)line[i] <= ' ' || line[i] == ';' || line[i] == '"')
			return false;
	if (start >= length || reading->value != NULL)
		return false;
	reading->value = iot_strndup(line + start, length - start);
	memcpy(into, line, name);
	memcpy(into + name, "=\n", sizeof("=\n"));
	return true;
}

/* Called by inih for the next line. Leading blanks go: to inih they would mean a continuation of the value before. */
static char *next_line(char *into, int size, void *data)
{
	struct reading *reading = data;
	size_t length;

	if (reading->status != IOT_OK || *reading->at == '\0')
		return NULL;
	reading->line++;
	reading->at += strspn(reading->at, blanks);
	length = strcspn(reading->at, "\n");
	if (length + 3 > (size_t)size && long_line(reading, length, into, size)) {
		reading->at += length + (reading->at[length] == '\n');
		return into;
	}
	if (length + 3 > (size_t)size) {
		reading->status = iot_fail(reading->err, IOT_SETTINGS, "line longer than %d bytes at %s:%d", size - 3,
					   reading->path, reading->line);
		return NULL;
	}
	if (reading->at[0] == '[' && strcspn(reading->at, "]\n") > MAX_SECTION) {
		reading->status = iot_fail(reading->err, IOT_SETTINGS, "section name longer than %d bytes at %s:%d",
					   MAX_SECTION - 1, reading->path, reading->line);
		return NULL;
	}
	memcpy(into, reading->at, length);
	into[length] = '\n';
	into[length + 1] = '\0';
	reading->at += length + (reading->at[length] == '\n');
	return into;
}

static enum iot_status check_entry(struct reading *reading, const char *section, const char *key)
{
	bool profile = iot_starts_with(section, "profile ") && section[8] != '\0' && section[8] != ' ';

	if (section[0] == '\0') {
		iot_fail(reading->err, IOT_SETTINGS, "setting '%s' outside a section at %s:%d", key, reading->path,
			 reading->line);
		iot_error_hint(reading->err, "put it under [default] or [profile NAME]");
		return IOT_SETTINGS;
	}
	if (strcmp(section, "default") != 0 && !profile) {
		iot_fail(reading->err, IOT_SETTINGS, "unknown section '[%s]' before %s:%d", section, reading->path,
			 reading->line);
		iot_error_hint(reading->err, "sections are [default] and [profile NAME]");
		return IOT_SETTINGS;
	}
	if (settings_file_find(reading->file, section, key) != NULL)
		return iot_fail(reading->err, IOT_SETTINGS, "setting '%s' given twice in [%s] at %s:%d", key, section,
				reading->path, reading->line);
	return IOT_OK;
}

static int add_entry(void *data, const char *section, const char *key, const char *value)
{
	struct reading *reading = data;
	struct settings_file *file = reading->file;
	char *text;

	if (reading->status != IOT_OK || key == NULL)
		return 1;
	reading->status = check_entry(reading, section, key);
	if (reading->status != IOT_OK)
		return 1;
	text = reading->value != NULL ? reading->value : iot_strdup(value != NULL ? value : "");
	reading->value = NULL;
	file->entries = iot_realloc(file->entries, (file->count + 1) * sizeof(*file->entries));
	file->entries[file->count++] = (struct settings_entry){
		.section = iot_strdup(section),
		.key = iot_strdup(key),
		.value = text,
		.line = reading->line,
	};
	return 1;
}

enum iot_status settings_file_parse(const char *path, const struct iot_buf *text, struct settings_file *ret,
				    struct iot_error *err)
{
	struct settings_file file = {.path = iot_strdup(path)};
	struct reading reading = {.file = &file, .at = iot_buf_str(text), .path = path, .err = err};
	int fault = 0;

	if (!iot_utf8_valid(iot_buf_str(text), text->len)) {
		reading.status = iot_fail(err, IOT_SETTINGS, "settings file '%s' is not UTF-8 text", path);
	} else {
		fault = ini_parse_stream(next_line, &reading, add_entry, &reading);
	}
	/* inih goes on after a malformed line, and what follows may only be wrong because of it. */
	if (fault != 0 && (reading.status == IOT_OK || fault < reading.line)) {
		reading.status = iot_fail(err, IOT_SETTINGS, "malformed line at %s:%d", path, fault);
		iot_error_hint(err, "lines are [default], [profile NAME], 'name = value' or '# comment'");
	}
	free(reading.value);
	if (reading.status != IOT_OK) {
		settings_file_release(&file);
		return reading.status;
	}
	*ret = file;
	return IOT_OK;
}

/* A group that is the user's own by the usual convention (same name, nobody else in it) is no other user. */
static bool private_group(gid_t gid)
{
	/* Settings are read before there are threads. */
	/* cppcheck-suppress getpwuidCalled */
	const struct passwd *user = getpwuid(geteuid());
	const struct group *group;

	if (user == NULL || user->pw_gid != gid)
		return false;
	/* cppcheck-suppress getgrgidCalled */
	group = getgrgid(gid);
	return group != NULL && strcmp(group->gr_name, user->pw_name) == 0 && group->gr_mem[0] == NULL;
}

static enum iot_status check_guard(const char *path, const struct stat *st, struct iot_error *err)
{
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		iot_fail(err, IOT_SETTINGS, "settings file '%s' belongs to another user", path);
		iot_error_hint(err, "remove it, or make it yours");
		return IOT_SETTINGS;
	}
	if ((st->st_mode & S_IWOTH) != 0 || ((st->st_mode & S_IWGRP) != 0 && !private_group(st->st_gid))) {
		iot_fail(err, IOT_SETTINGS, "settings file '%s' can be written by other users", path);
		iot_error_hint(err, "check it, then run: chmod go-w %s", path);
		return IOT_SETTINGS;
	}
	return IOT_OK;
}

/* As ssh does with its keys: a secret that others could read is none. */
static enum iot_status check_private(const char *path, const struct stat *st, struct iot_error *err)
{
	if (st->st_uid != geteuid() && st->st_uid != 0) {
		iot_fail(err, IOT_SETTINGS, "profile '%s' belongs to another user", path);
		iot_error_hint(err, "use a copy of your own");
		return IOT_SETTINGS;
	}
	if ((st->st_mode & 077) != 0) {
		iot_fail(err, IOT_SETTINGS, "profile '%s' holds secrets and is open to other users (mode %04o)", path,
			 (unsigned)st->st_mode & 07777);
		iot_error_hint(err,
			       "chmod 600 %s; if others may have read it, have new keys made with 'iotctl operator "
			       "rotate'",
			       path);
		return IOT_SETTINGS;
	}
	return IOT_OK;
}

static enum iot_status read_all(int fd, const char *path, struct iot_buf *text, struct iot_error *err)
{
	char chunk[4096];

	for (;;) {
		ssize_t n = read(fd, chunk, sizeof(chunk));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iot_fail_errno(err, IOT_SETTINGS, errno, "cannot read settings file '%s'", path);
		if (n == 0)
			break;
		iot_buf_add(text, chunk, (size_t)n);
	}
	if (text->over)
		return iot_fail(err, IOT_SETTINGS, "settings file '%s' is larger than %zu bytes", path, MAX_FILE);
	return IOT_OK;
}

/* Opened once and checked through the descriptor, so that the file checked is the file read. */
static enum iot_status read_text(const char *path, enum settings_trust trust, struct iot_buf *text, struct stat *st,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	enum iot_status status = IOT_OK;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return IOT_NOT_FOUND;
	if (fd < 0 || fstat(fd, st) != 0)
		return iot_fail_errno(err, IOT_SETTINGS, errno, "cannot open settings file '%s'", path);
	if (!S_ISREG(st->st_mode))
		/* cppcheck-suppress resourceLeak ; IOT_CLEAN closes it */
		return iot_fail(err, IOT_SETTINGS, "settings file '%s' is not a regular file", path);
	if (trust == SETTINGS_NOT_WRITTEN_BY_OTHERS)
		status = check_guard(path, st, err);
	else if (trust == SETTINGS_NOT_READ_BY_OTHERS)
		status = check_private(path, st, err);
	if (status == IOT_OK)
		status = read_all(fd, path, text, err);
	return status;
}

enum iot_status settings_file_read(const char *path, enum settings_trust trust, struct settings_file *ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(MAX_FILE);
	struct stat st;
	enum iot_status status = read_text(path, trust, &text, &st, err);

	if (status == IOT_NOT_FOUND) {
		*ret = (struct settings_file){.path = iot_strdup(path)};
		return IOT_OK;
	}
	if (status == IOT_OK)
		status = settings_file_parse(path, &text, ret, err);
	return status;
}

const struct settings_entry *settings_file_find(const struct settings_file *file, const char *section, const char *key)
{
	for (size_t i = 0; i < file->count; i++) {
		if (strcmp(file->entries[i].section, section) == 0 && strcmp(file->entries[i].key, key) == 0)
			return &file->entries[i];
	}
	return NULL;
}

const char *settings_file_profile(const struct settings_file *file)
{
	for (size_t i = 0; i < file->count; i++)
		if (strcmp(file->entries[i].section, "default") == 0 ||
		    strcmp(file->entries[i].section, file->entries[0].section) != 0)
			return NULL;
	return file->count > 0 ? file->entries[0].section + strlen("profile ") : NULL;
}

void settings_file_release(struct settings_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->entries[i].section);
		free(file->entries[i].key);
		iot_wipe(file->entries[i].value, strlen(file->entries[i].value));
		free(file->entries[i].value);
	}
	free(file->entries);
	free(file->path);
	*file = (struct settings_file){0};
}

/* Where a section's lines are: [*ret_begin, *ret_end), the heading excluded and trailing empty lines too. */
static bool find_section(const struct iot_buf *text, const char *section, size_t *ret_begin, size_t *ret_end)
{
	IOT_CLEAN(iot_free_p) char *heading = iot_strf("[%s]", section);
	const char *all = iot_buf_str(text);
	bool inside = false;

	for (size_t at = 0; at < text->len;) {
		const char *line = all + at;
		size_t length = strcspn(line, "\n"), next = at + length + (line[length] == '\n');
		size_t lead = strspn(line, blanks);

		if (line[lead] == '[') {
			if (inside)
				break;
			inside = iot_starts_with(line + lead, heading);
			if (inside)
				*ret_begin = *ret_end = next;
		} else if (inside && lead < length) {
			*ret_end = next;
		}
		at = next;
	}
	return inside;
}

/* The line of a key within [begin, end). */
static bool find_key(const struct iot_buf *text, const char *key, size_t begin, size_t end, size_t *ret_begin,
		     size_t *ret_end)
{
	const char *all = iot_buf_str(text);

	for (size_t at = begin; at < end;) {
		const char *line = all + at;
		size_t length = strcspn(line, "\n"), next = at + length + (line[length] == '\n');
		const char *word = line + strspn(line, blanks);

		if (iot_starts_with(word, key)) {
			word += strlen(key);
			word += strspn(word, blanks);
			if (*word == '=' || *word == ':') {
				*ret_begin = at;
				*ret_end = next;
				return true;
			}
		}
		at = next;
	}
	return false;
}

static void replace(const struct iot_buf *text, size_t begin, size_t end, const char *by, struct iot_buf *out)
{
	iot_buf_add(out, iot_buf_str(text), begin);
	if (begin > 0 && iot_buf_str(text)[begin - 1] != '\n')
		iot_buf_addc(out, '\n');
	iot_buf_adds(out, by);
	iot_buf_add(out, iot_buf_str(text) + end, text->len - end);
}

static void rewrite(const struct iot_buf *text, const char *section, const char *key, const char *value,
		    struct iot_buf *out)
{
	IOT_CLEAN(iot_free_p) char *line = value != NULL ? iot_strf("%s = %s\n", key, value) : iot_strdup("");
	size_t begin = 0, end = 0, key_begin, key_end;

	if (!find_section(text, section, &begin, &end)) {
		iot_buf_add(out, iot_buf_str(text), text->len);
		if (value == NULL)
			return;
		if (text->len > 0)
			iot_buf_adds(out, iot_buf_str(text)[text->len - 1] == '\n' ? "\n" : "\n\n");
		iot_buf_addf(out, "[%s]\n%s", section, line);
		return;
	}
	if (find_key(text, key, begin, end, &key_begin, &key_end))
		replace(text, key_begin, key_end, line, out);
	else
		replace(text, end, end, line, out);
}

/* The only proof that a value survives the format: read the new text back before it is written. */
static enum iot_status check_rewritten(const char *path, const struct iot_buf *text, const char *section,
				       const char *key, const char *value, struct iot_error *err)
{
	struct settings_file file;
	const struct settings_entry *entry;
	enum iot_status status = settings_file_parse(path, text, &file, err);
	bool same;

	if (status != IOT_OK)
		return IOT_USAGE;
	entry = settings_file_find(&file, section, key);
	same = value == NULL ? entry == NULL : entry != NULL && strcmp(entry->value, value) == 0;
	settings_file_release(&file);
	if (!same)
		return iot_fail(err, IOT_USAGE, "a settings file cannot hold '%s' for '%s'",
				value != NULL ? value : "nothing", key);
	return IOT_OK;
}

static enum iot_status make_folder(const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strdup(path);
	char *slash = strrchr(folder, '/');

	if (slash == NULL || slash == folder)
		return IOT_OK;
	*slash = '\0';
	return iot_fs_mkdirs(folder, 0700, err);
}

enum iot_status settings_set(const char *path, const char *section, const char *key, const char *value,
			     struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(MAX_FILE);
	IOT_CLEAN(iot_buf_release) struct iot_buf changed = IOT_BUF_SECRET(MAX_FILE);
	/* A link stays a link: people keep their settings elsewhere and link to them. */
	IOT_CLEAN(iot_free_p) char *target = realpath(path, NULL);
	struct settings_file before;
	struct stat st = {.st_mode = 0600};
	enum iot_status status = read_text(path, SETTINGS_ANY, &text, &st, err);

	if (status != IOT_OK && status != IOT_NOT_FOUND)
		return status;
	status = settings_file_parse(path, &text, &before, err);
	if (status != IOT_OK)
		return status;
	settings_file_release(&before);
	rewrite(&text, section, key, value, &changed);
	status = iot_buf_check(&changed, path, err);
	if (status == IOT_OK)
		status = check_rewritten(path, &changed, section, key, value, err);
	if (status == IOT_OK)
		status = make_folder(path, err);
	if (status == IOT_OK)
		status = iot_fs_write(target != NULL ? target : path, st.st_mode & 0777, iot_buf_str(&changed),
				      changed.len, err);
	return status;
}
