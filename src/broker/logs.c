/* The log files of serve and mosquitto: kept within bounds, and looked at for why something failed. */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_MAX 8192
#define LINE_MAX_SHOWN 300

int64_t serve_log_size(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_size : 0;
}

static bool copy(int from, const char *to, int64_t size)
{
	IOT_CLEAN(iot_close_p) int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	off_t at = 0;

	if (fd < 0)
		return false;
	while (at < size) {
		ssize_t n = sendfile(fd, from, &at, (size_t)(size - at));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
	}
	return true;
}

/* The file itself stays, because its writer has it open; what the writer adds meanwhile may be lost. */
void serve_log_rotate(const char *path, int64_t max)
{
	IOT_CLEAN(iot_free_p) char *old = iot_strf("%s.1", path);
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= max)
		return;
	(void)copy(fd, old, st.st_size); /* a full disk: then all the more it must be cut */
	(void)!ftruncate(fd, 0);
}

static bool is_error(const char *line)
{
	return strstr(line, "Error") != NULL || strstr(line, "error") != NULL || strstr(line, "iotctl:") != NULL;
}

/* Without the time stamp that mosquitto puts in front. */
static const char *without_stamp(const char *line)
{
	size_t len = strspn(line, "0123456789-T:");

	return len > 8 && line[len] == ' ' ? line + len + 1 : line;
}

/* The first error is the cause of what follows; mosquitto tells the details of a failed load in the line after it. */
static char *pick(char *text)
{
	char *state = NULL, *found = NULL;
	bool found_error = false;

	for (char *line = strtok_r(text, "\n", &state); line != NULL; line = strtok_r(NULL, "\n", &state)) {
		const char *words = without_stamp(line);

		if (found_error)
			return iot_starts_with(words, "Load error: ") ? iot_strf("%s %s", without_stamp(found), words)
								      : iot_strdup(without_stamp(found));
		found = line;
		found_error = is_error(line);
	}
	return iot_strdup(found != NULL ? without_stamp(found) : "");
}

char *serve_log_tail(const char *path, int64_t from)
{
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	IOT_CLEAN(iot_free_p) char *picked = NULL;
	char text[TAIL_MAX + 1];
	int64_t size = serve_log_size(path);
	ssize_t n;

	if (size - from > TAIL_MAX)
		from = size - TAIL_MAX;
	n = fd < 0 ? -1 : pread(fd, text, TAIL_MAX, from);
	if (n <= 0)
		return iot_strdup("");
	text[n] = '\0';
	picked = pick(text);
	iot_text_printable(picked);
	return iot_strndup(picked, LINE_MAX_SHOWN);
}
