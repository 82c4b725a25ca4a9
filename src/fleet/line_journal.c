/*
 * The file of a journal for --resume: opened under a lock, its lines read once,
 * lines added behind them.
 */
#include "fleet/line_journal.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINE_BYTES = 4096, OUT_MAX = 64 * 1024 * 1024 };

struct line_journal {
	int fd;
	char *path;
	const char *command;
	struct iot_buf out;
};

struct loading {
	bool (*each)(const json_t *line, void *data);
	void *data;
	char *head;
	off_t end; /* of the last whole line */
};

static enum iot_status no_journal(const struct line_journal *journal, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "'%s' is not a journal of '%s'", journal->path, journal->command);
	iot_error_hint(err, "name a file that does not exist yet");
	return IOT_USAGE;
}

static enum iot_status load_line(const struct line_journal *journal, const struct loading *loading, const char *line,
				 size_t len, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	if (iot_json_parse(line, len, journal->path, &record, &ignored) != IOT_OK || !json_is_object(record) ||
	    !loading->each(record, loading->data))
		return no_journal(journal, err);
	return IOT_OK;
}

static enum iot_status load(const struct line_journal *journal, struct loading *loading, FILE *file,
			    struct iot_error *err)
{
	char line[LINE_BYTES];
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && fgets(line, sizeof(line), file) != NULL) {
		size_t len = strlen(line);

		if (len == 0 || line[len - 1] != '\n') {
			/* Cut by a crash only at the very end, and only if it began as such a file does. */
			if (!feof(file) || (loading->end == 0 && strncmp(line, loading->head, len) != 0))
				status = no_journal(journal, err);
			break;
		}
		if (loading->end == 0)
			status = strcmp(line, loading->head) == 0 ? IOT_OK : no_journal(journal, err);
		else
			status = load_line(journal, loading, line, len, err);
		loading->end += (off_t)len;
	}
	if (status == IOT_OK && ferror(file))
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot read journal '%s'", journal->path);
	return status;
}

static enum iot_status open_file(struct line_journal *journal, struct iot_error *err)
{
	struct stat info;

	journal->fd = open(journal->path, O_RDWR | O_CREAT | O_CLOEXEC | O_APPEND | O_NONBLOCK, 0600);
	if (journal->fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open journal '%s'", journal->path);
	if (fstat(journal->fd, &info) != 0 || !S_ISREG(info.st_mode))
		return no_journal(journal, err);
	if (flock(journal->fd, LOCK_EX | LOCK_NB) != 0)
		return iot_fail(err, IOT_CONFLICT, "journal '%s' is in use by another process", journal->path);
	return IOT_OK;
}

static enum iot_status load_file(struct line_journal *journal, struct loading *loading, struct iot_error *err)
{
	IOT_CLEAN(iot_fclose_p) FILE *file = fopen(journal->path, "re");
	enum iot_status status;

	if (file == NULL)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open journal '%s'", journal->path);
	status = load(journal, loading, file, err);
	if (status == IOT_OK && ftruncate(journal->fd, loading->end) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
	if (status == IOT_OK && loading->end == 0)
		iot_buf_adds(&journal->out, loading->head);
	return status == IOT_OK ? line_journal_flush(journal, err) : status;
}

static void release(struct line_journal *journal)
{
	if (journal->fd >= 0)
		close(journal->fd);
	iot_buf_release(&journal->out);
	free(journal->path);
	free(journal);
}

enum iot_status line_journal_open(const char *path, const char *command, bool (*each)(const json_t *line, void *data),
				  void *data, struct line_journal **ret, struct iot_error *err)
{
	struct line_journal *journal = iot_alloc(sizeof(*journal));
	IOT_CLEAN(iot_free_p) char *head = iot_strf("{\"journal\":\"%s\",\"version\":1}\n", command);
	struct loading loading = {each, data, head, 0};
	enum iot_status status;

	journal->path = iot_strdup(path);
	journal->command = command;
	journal->out = (struct iot_buf)IOT_BUF_INIT(OUT_MAX);
	status = open_file(journal, err);
	if (status == IOT_OK)
		status = load_file(journal, &loading, err);
	if (status == IOT_OK)
		*ret = journal;
	else
		release(journal);
	return status;
}

const char *line_journal_path(const struct line_journal *journal)
{
	return journal->path;
}

void line_journal_add(struct line_journal *journal, const char *fmt, ...)
{
	char text[LINE_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	iot_buf_adds(&journal->out, text);
	iot_buf_addc(&journal->out, '\n');
}

enum iot_status line_journal_flush(struct line_journal *journal, struct iot_error *err)
{
	enum iot_status status = iot_buf_check(&journal->out, journal->path, err);

	while (status == IOT_OK && journal->out.len > 0) {
		ssize_t put = write(journal->fd, journal->out.data, journal->out.len);

		if (put < 0 && errno != EINTR)
			status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
		if (put > 0)
			iot_buf_consume(&journal->out, (size_t)put);
	}
	return status;
}

enum iot_status line_journal_close(struct line_journal *journal, struct iot_error *err)
{
	enum iot_status status;

	if (journal == NULL)
		return IOT_OK;
	status = line_journal_flush(journal, err);
	if (status == IOT_OK && fsync(journal->fd) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write journal '%s'", journal->path);
	release(journal);
	return status;
}
