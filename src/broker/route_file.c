/*
 * A file that events are appended to, a line each. A line is there whole or not at all: what a full disk took of one is
 * cut off again. The file is brought to the disk once a second; a file that is full becomes path.1, and that path.2,
 * as far as they are kept. Somebody else may take the file away: a new one is begun.
 */
#include "broker/routes.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOK_MS = 1000 };

void route_file_release(struct route_file *file)
{
	if (file->fd >= 0)
		(void)!fdatasync(file->fd);
	iot_close_p(&file->fd);
	file->fd = -1;
	file->sync = 0;
}

/* Never through a link, never into anything but a regular file; a FIFO must not keep us. */
static enum iot_status open_file(struct route_file *file, struct iot_error *err)
{
	struct stat st;
	int fd = open(file->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open '%s'", file->path);
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return iot_fail(err, IOT_FAILURE, "'%s' is not a regular file", file->path);
	}
	file->fd = fd;
	file->size = st.st_size;
	file->look = iot_deadline(LOOK_MS);
	return IOT_OK;
}

/* Is what we have open still the file of that name? */
static bool is_there(struct route_file *file)
{
	struct stat ours, theirs;

	if (iot_left(file->look) > 0)
		return true;
	file->look = iot_deadline(LOOK_MS);
	if (fstat(file->fd, &ours) != 0 || lstat(file->path, &theirs) != 0)
		return false;
	file->size = ours.st_size; /* it may have been cut */
	return ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

/* path.1 to path.2, and so on; the last one goes. */
static enum iot_status turn_over(struct route_file *file, struct iot_error *err)
{
	route_file_release(file);
	for (int i = file->keep; i > 0; i--) {
		IOT_CLEAN(iot_free_p)
		char *from = i > 1 ? iot_strf("%s.%d", file->path, i - 1) : iot_strdup(file->path);
		IOT_CLEAN(iot_free_p) char *to = iot_strf("%s.%d", file->path, i);

		if (rename(from, to) != 0 && errno != ENOENT)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot rename '%s'", from);
	}
	if (file->keep == 0 && unlink(file->path) != 0 && errno != ENOENT)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot remove '%s'", file->path);
	return open_file(file, err);
}

static enum iot_status append(struct route_file *file, const char *line, size_t len, struct iot_error *err)
{
	ssize_t n;
	int fault;

	do {
		n = write(file->fd, line, len);
	} while (n < 0 && errno == EINTR);
	if (n == (ssize_t)len) {
		file->size += n;
		if (file->sync == 0)
			file->sync = iot_deadline(ROUTE_SYNC_MS);
		return IOT_OK;
	}
	fault = n < 0 ? errno : ENOSPC;
	if (n > 0 && ftruncate(file->fd, file->size) != 0)
		fault = errno;
	iot_fail_errno(err, IOT_FAILURE, fault, "cannot write '%s'", file->path);
	route_file_release(file);
	return IOT_FAILURE;
}

enum iot_status route_file_write(struct route_file *file, const char *line, size_t len, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (file->fd >= 0 && !is_there(file))
		route_file_release(file);
	if (file->fd < 0)
		status = open_file(file, err);
	if (status == IOT_OK && file->size > 0 && file->size + (int64_t)len > file->max_size)
		status = turn_over(file, err);
	return status == IOT_OK ? append(file, line, len, err) : status;
}

enum iot_status route_file_sync(struct route_file *file, bool now, struct iot_error *err)
{
	if (file->fd < 0 || file->sync == 0 || (!now && iot_left(file->sync) > 0))
		return IOT_OK;
	file->sync = 0;
	if (fdatasync(file->fd) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot bring '%s' to the disk", file->path);
	return IOT_OK;
}
