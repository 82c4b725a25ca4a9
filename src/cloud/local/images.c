/*
 * The image folder: firmware under the SHA-256 of its bytes. An image is copied
 * to a temporary file, made durable, and only then given its name, so that what
 * has a name is complete.
 */
#include "jobs_private.h"

#include "iotctl/digest.h"
#include "iotctl/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_STEP = 65536, SYNC_STEP = 1024 * 1024 };

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

/* --- piece by piece --------------------------------------------------------------- */

struct iot_image_writer {
	struct iot_local *local;
	char *temporary;
	const char *name; /* for messages; borrowed */
	int fd;
	struct iot_sha256_ctx *ctx;
	int64_t size, synced;
	int fault; /* what write(2) failed with */
	bool ended;
	char sha256[IOT_SHA256_HEX_SIZE];
};

void iot_image_writer_free(struct iot_image_writer *writer)
{
	if (writer == NULL)
		return;
	if (writer->fd >= 0)
		unlink(writer->temporary);
	iot_close_p(&writer->fd);
	iot_sha256_free(writer->ctx);
	free(writer->temporary);
	free(writer);
}

void iot_image_writer_free_p(struct iot_image_writer **writer)
{
	iot_image_writer_free(*writer);
	*writer = NULL;
}

enum iot_status iot_image_writer_make(struct iot_local *local, const char *name, struct iot_image_writer **ret,
				      struct iot_error *err)
{
	struct iot_image_writer *writer;
	enum iot_status status = iot_fs_mkdirs(local->paths.images_dir, 0700, err);

	if (status != IOT_OK)
		return status;
	writer = iot_alloc(sizeof(*writer));
	writer->local = local;
	writer->name = name;
	writer->ctx = iot_sha256_new();
	writer->temporary = iot_strf("%s/.new-XXXXXX", local->paths.images_dir);
	writer->fd = mkostemp(writer->temporary, O_CLOEXEC);
	if (writer->fd < 0) {
		status = cannot_write(local->paths.images_dir, errno, err);
		iot_image_writer_free(writer);
		return status;
	}
	*ret = writer;
	return IOT_OK;
}

enum iot_status iot_image_writer_new(struct iot_cloud *cloud, struct iot_image_writer **ret, struct iot_error *err)
{
	return iot_image_writer_make(iot_local_of(cloud), "upload", ret, err);
}

void iot_image_writer_add(struct iot_image_writer *writer, const void *data, size_t len)
{
	writer->size += (int64_t)len;
	if (writer->fault != 0 || writer->size > IOT_STREAM_FILE_MAX)
		return;
	writer->fault = iot_fs_write_all(writer->fd, data, len);
	iot_sha256_add(writer->ctx, data, len);
	/* On its way to the disk while more comes, so that there is little to wait for at the end. */
	if (writer->size - writer->synced >= SYNC_STEP) {
		(void)sync_file_range(writer->fd, writer->synced, writer->size - writer->synced, SYNC_FILE_RANGE_WRITE);
		writer->synced = writer->size;
	}
}

int64_t iot_image_writer_size(const struct iot_image_writer *writer)
{
	return writer->size;
}

const char *iot_image_writer_sha256(struct iot_image_writer *writer)
{
	uint8_t digest[IOT_SHA256_SIZE];

	if (!writer->ended) {
		iot_sha256_end(writer->ctx, digest);
		iot_hex(digest, sizeof(digest), writer->sha256);
		writer->ended = true;
	}
	return writer->sha256;
}

static enum iot_status writer_check(struct iot_image_writer *writer, struct iot_error *err)
{
	enum iot_status status = check_size(writer->name, writer->size, err);

	if (status != IOT_OK) {
		iot_error_set_code(err,
				   writer->size == 0 ? "InvalidRequestException" : "RequestEntityTooLargeException");
		return status;
	}
	return writer->fault == 0 ? IOT_OK : cannot_write(writer->temporary, writer->fault, err);
}

enum iot_status iot_image_writer_end(struct iot_image_writer *writer, char ret_sha256[65], int64_t *ret_size,
				     struct iot_error *err)
{
	enum iot_status status = writer_check(writer, err);

	if (status != IOT_OK)
		return status;
	if (fsync(writer->fd) != 0)
		return cannot_write(writer->temporary, errno, err);
	status = put_in_place(writer->local, writer->temporary, iot_image_writer_sha256(writer), err);
	if (status != IOT_OK)
		return status;
	iot_close_p(&writer->fd);
	memcpy(ret_sha256, writer->sha256, sizeof(writer->sha256));
	if (ret_size != NULL)
		*ret_size = writer->size;
	return IOT_OK;
}

enum iot_status iot_image_writer_keep(struct iot_image_writer *writer, const char *path, struct iot_error *err)
{
	enum iot_status status = writer_check(writer, err);

	if (status != IOT_OK)
		return status;
	if (rename(writer->temporary, path) != 0)
		return cannot_write(path, errno, err);
	iot_close_p(&writer->fd);
	return IOT_OK;
}

enum iot_status iot_image_copy(struct iot_image_writer *writer, int from, const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *block = iot_alloc(COPY_STEP);

	/* What counts is what was read, whatever the file's size was said to be. */
	while (writer->size <= IOT_STREAM_FILE_MAX) {
		ssize_t n = read(from, block, COPY_STEP);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read image '%s'", path);
		if (n == 0)
			break;
		iot_image_writer_add(writer, block, (size_t)n);
	}
	return IOT_OK;
}

enum iot_status iot_local_image_add(struct iot_cloud *cloud, const char *path, char ret_sha256[65], int64_t *ret_size,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_image_writer_free_p) struct iot_image_writer *writer = NULL;
	IOT_CLEAN(iot_close_p) int from = -1;
	enum iot_status status = open_source(path, &from, err);

	if (status == IOT_OK)
		status = iot_image_writer_make(iot_local_of(cloud), path, &writer, err);
	if (status == IOT_OK)
		status = iot_image_copy(writer, from, path, err);
	return status == IOT_OK ? iot_image_writer_end(writer, ret_sha256, ret_size, err) : status;
}
