/*
 * The image folder: firmware under the SHA-256 of its bytes. An image is copied
 * to a temporary file, made durable, and only then given its name, so that what
 * has a name is complete.
 */
#include "jobs_private.h"

#include "iotctl/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_STEP = 65536 };

char *iot_image_path(struct iot_local *local, const char *sha256)
{
	return iot_path(local->paths.images_dir, sha256);
}

static enum iot_status check_size(const char *path, int64_t size, struct iot_error *err)
{
	enum iot_status status;

	if (size == 0)
		return iot_fail(err, IOT_USAGE, "image '%s' is empty", path);
	if (size <= IOT_STREAM_FILE_MAX)
		return IOT_OK;
	status = iot_fail(err, IOT_USAGE, "image '%s' is too large: %lld bytes", path, (long long)size);
	iot_error_hint(err, "a stream's file may be at most 24 MB (%lld bytes)", (long long)IOT_STREAM_FILE_MAX);
	return status;
}

static enum iot_status open_source(const char *path, int *ret_fd, struct iot_error *err)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return iot_fail_errno(err, errno == ENOENT || errno == ENOTDIR ? IOT_NOT_FOUND : IOT_FAILURE, errno,
				      "cannot open image '%s'", path);
	*ret_fd = fd;
	if (fstat(fd, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read image '%s'", path);
	if (!S_ISREG(st.st_mode))
		return iot_fail(err, IOT_USAGE, "image '%s' is not a regular file", path);
	return check_size(path, st.st_size, err);
}

static enum iot_status cannot_write(const char *path, int errnum, struct iot_error *err)
{
	enum iot_status status = iot_fail_errno(err, IOT_FAILURE, errnum, "cannot write '%s'", path);

	if (errnum == ENOSPC || errnum == EDQUOT)
		iot_error_hint(err, "make room there; nothing was changed");
	return status;
}

/* 0, or what write(2) failed with. */
static int write_all(int fd, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ENOSPC : errno;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Copy and hash; what counts is what was read, whatever the file's size was said to be. */
static enum iot_status copy(int from, int to, const char *path, const char *temporary, char sha256[65],
			    int64_t *ret_size, struct iot_error *err)
{
	IOT_CLEAN(iot_sha256_free_p) struct iot_sha256_ctx *ctx = iot_sha256_new();
	IOT_CLEAN(iot_free_p) char *block = iot_alloc(COPY_STEP);
	uint8_t digest[IOT_SHA256_SIZE];
	int64_t size = 0;
	int errnum;

	while (size <= IOT_STREAM_FILE_MAX) {
		ssize_t n = read(from, block, COPY_STEP);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read image '%s'", path);
		if (n == 0)
			break;
		errnum = write_all(to, block, (size_t)n);
		if (errnum != 0)
			return cannot_write(temporary, errnum, err);
		iot_sha256_add(ctx, block, (size_t)n);
		size += n;
	}
	if (fsync(to) != 0)
		return cannot_write(temporary, errno, err);
	iot_sha256_end(ctx, digest);
	iot_hex(digest, sizeof(digest), sha256);
	*ret_size = size;
	return check_size(path, size, err);
}

/* True if the image of this name is there and is what its name says. */
static bool is_there(const char *target, const char *sha256)
{
	uint8_t digest[IOT_SHA256_SIZE];
	char hex[IOT_SHA256_HEX_SIZE];

	return iot_sha256_file(target, digest, NULL, NULL) == IOT_OK &&
	       strcmp(iot_hex(digest, sizeof(digest), hex), sha256) == 0;
}

static enum iot_status put_in_place(struct iot_local *local, const char *temporary, const char *sha256,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *target = iot_image_path(local, sha256);
	IOT_CLEAN(iot_close_p) int dir = -1;

	if (is_there(target, sha256)) {
		unlink(temporary);
		return IOT_OK;
	}
	if (rename(temporary, target) != 0)
		return cannot_write(target, errno, err);
	dir = open(local->paths.images_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || fsync(dir) != 0)
		return cannot_write(target, errno, err);
	return IOT_OK;
}

enum iot_status iot_local_image_add(struct iot_cloud *cloud, const char *path, char ret_sha256[65], int64_t *ret_size,
				    struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_free_p) char *temporary = iot_strf("%s/.new-XXXXXX", local->paths.images_dir);
	IOT_CLEAN(iot_close_p) int from = -1;
	IOT_CLEAN(iot_close_p) int to = -1;
	char sha256[IOT_SHA256_HEX_SIZE];
	int64_t size = 0;
	enum iot_status status;

	status = open_source(path, &from, err);
	if (status == IOT_OK)
		status = iot_fs_mkdirs(local->paths.images_dir, 0700, err);
	if (status != IOT_OK)
		return status;
	to = mkostemp(temporary, O_CLOEXEC);
	if (to < 0)
		return cannot_write(local->paths.images_dir, errno, err);
	status = copy(from, to, path, temporary, sha256, &size, err);
	if (status == IOT_OK)
		status = put_in_place(local, temporary, sha256, err);
	if (status != IOT_OK) {
		unlink(temporary);
		return status;
	}
	memcpy(ret_sha256, sha256, sizeof(sha256));
	if (ret_size != NULL)
		*ret_size = size;
	return IOT_OK;
}
