/*
 * Files: whole reads within a limit, replacement that survives a crash, private
 * files, folders and locks. Every failure names the file and what the system
 * said; what a failed function had begun is removed again.
 */
#include "iotctl/fs.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	READ_STEP = 65536,
	TREE_DEPTH_MAX = 64, /* one descriptor is open per level */
};

static enum iot_status status_of(int errnum)
{
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		return IOT_NOT_FOUND;
	case EACCES:
	case EPERM:
		return IOT_DENIED;
	default:
		return IOT_FAILURE;
	}
}

static enum iot_status system_fault(struct iot_error *err, int errnum, const char *verb, const char *path)
{
	return iot_fail_errno(err, status_of(errnum), errnum, "cannot %s '%s'", verb, path);
}

static enum iot_status too_large(const char *subject, size_t limit, struct iot_error *err)
{
	return iot_fail(err, IOT_USAGE, "'%s' is larger than the %zu bytes allowed", subject, limit);
}

/* Read to the end of fd; `expected` bytes are a guess. The buffer is never marked over: the fault is told here. */
static enum iot_status read_all(int fd, const char *subject, size_t expected, struct iot_buf *buf,
				struct iot_error *err)
{
	size_t start = buf->len, limit = buf->max - buf->len;

	for (;;) {
		size_t got = buf->len - start, room = limit - got;
		size_t want = expected > got ? expected - got : READ_STEP;
		char probe;
		char *to = &probe;
		ssize_t n;

		if (room > 0) {
			want = want < room ? want : room;
			to = iot_buf_reserve(buf, want);
		}
		do {
			n = read(fd, to, room > 0 ? want : 1);
		} while (n < 0 && errno == EINTR);
		if (n < 0)
			return system_fault(err, errno, "read", subject);
		if (n == 0)
			return IOT_OK;
		if (room == 0)
			return too_large(subject, limit, err);
		buf->len += (size_t)n;
	}
}

/* Take back what was added since the buffer held `len` bytes. */
static void take_back(struct iot_buf *buf, size_t len)
{
	if (buf->data == NULL)
		return;
	if (buf->secret)
		iot_wipe(buf->data + len, buf->cap - len);
	buf->len = len;
	buf->data[len] = '\0';
}

enum iot_status iot_fs_read(const char *path, struct iot_buf *buf, struct iot_error *err)
{
	bool from_stdin = strcmp(path, "-") == 0;
	const char *subject = from_stdin ? "standard input" : path;
	IOT_CLEAN(iot_close_p) int fd = -1;
	size_t start = buf->len, expected = 0;
	enum iot_status status;
	struct stat st;

	if (buf->over || buf->len > buf->max)
		return too_large(subject, buf->max, err);
	if (!from_stdin) {
		/* Without O_NONBLOCK a named pipe would wait for a writer before it can be refused. */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		if (fd < 0 || fstat(fd, &st) != 0)
			return system_fault(err, errno, "read", path);
		if (S_ISDIR(st.st_mode))
			return iot_fail(err, IOT_USAGE, "'%s' is a folder, not a file", path);
		if (!S_ISREG(st.st_mode)) {
			iot_fail(err, IOT_USAGE, "'%s' is not a regular file", path);
			iot_error_hint(err, "use '-' to read standard input");
			return IOT_USAGE;
		}
		if (st.st_size > 0 && (uintmax_t)st.st_size > buf->max - buf->len)
			return too_large(path, buf->max - buf->len, err);
		expected = (size_t)st.st_size;
	}
	status = read_all(from_stdin ? STDIN_FILENO : fd, subject, expected, buf, err);
	if (status != IOT_OK)
		take_back(buf, start);
	else
		iot_buf_add(buf, "", 0); /* an empty file is an addition too */
	return status;
}

int iot_fs_write_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? ENOSPC : errno;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Write, flush to the disk and close; network file systems report a full disk only then. Closes fd in any case. */
static int write_and_close(int fd, const void *data, size_t len)
{
	int fault = iot_fs_write_all(fd, data, len);

	if (fault != 0 || fsync(fd) != 0) {
		errno = fault != 0 ? fault : errno;
		iot_close_p(&fd);
		return -1;
	}
	return close(fd);
}

/* The folder that holds path; new memory. */
static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		return iot_strdup(".");
	return slash == path ? iot_strdup("/") : iot_strndup(path, (size_t)(slash - path));
}

/* Make a new or changed entry of the folder survive a crash. A folder that may be written but not read, or a file
 * system that cannot do it, is no fault. */
static int sync_folder_of(const char *path)
{
	IOT_CLEAN(iot_free_p) char *folder = folder_of(path);
	IOT_CLEAN(iot_close_p) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == EACCES ? 0 : -1;
	return fsync(fd) == 0 || errno == EINVAL || errno == EROFS ? 0 : -1;
}

/* The file a write to path replaces: where a link leads, and only ever a regular file. New memory in *ret. */
static enum iot_status write_target(const char *path, char **ret, struct iot_error *err)
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		if (errno != ENOENT)
			return system_fault(err, errno, "write", path);
		*ret = iot_strdup(path);
		return IOT_OK;
	}
	if (S_ISLNK(st.st_mode) && stat(path, &st) != 0)
		return system_fault(err, errno, "write", path);
	if (S_ISDIR(st.st_mode))
		return iot_fail(err, IOT_CONFLICT, "cannot write '%s': it is a folder", path);
	if (!S_ISREG(st.st_mode))
		return iot_fail(err, IOT_CONFLICT, "cannot write '%s': it is not a regular file", path);
	*ret = realpath(path, NULL);
	return *ret != NULL ? IOT_OK : system_fault(err, errno, "write", path);
}

enum iot_status iot_fs_write(const char *path, mode_t mode, const void *data, size_t len, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *target = NULL;
	IOT_CLEAN(iot_free_p) char *folder = NULL;
	IOT_CLEAN(iot_free_p) char *temporary = NULL;
	char unique[37];
	enum iot_status status;
	int fd, fault;

	status = write_target(path, &target, err);
	if (target == NULL)
		return status;
	/* Beside the target, since rename(2) stays within a file system; of fixed length, since the target's may be the
	 * longest there is. */
	iot_uuid(unique);
	folder = folder_of(target);
	temporary = iot_strf("%s/.iotctl-%.13s.tmp", folder, unique);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return system_fault(err, errno, "write", path);
	if (write_and_close(fd, data, len) != 0 || rename(temporary, target) != 0) {
		fault = errno;
		unlink(temporary);
		return system_fault(err, fault, "write", path);
	}
	if (sync_folder_of(target) != 0)
		return system_fault(err, errno, "make safe on the disk", path);
	return IOT_OK;
}

/* Give a complete file its name; never to one that is taken. Not every file system has links, or the other way. */
static int name_new(const char *temporary, const char *path)
{
	if (link(temporary, path) == 0) {
		unlink(temporary);
		return 0;
	}
	if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
		return -1;
	return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE);
}

static enum iot_status refuse_overwriting(const char *path, struct iot_error *err)
{
	iot_fail(err, IOT_CONFLICT, "'%s' exists already and is not overwritten", path);
	iot_error_hint(err, "choose another name or move it away");
	return IOT_CONFLICT;
}

enum iot_status iot_fs_create_private(const char *path, const void *data, size_t len, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = folder_of(path);
	IOT_CLEAN(iot_free_p) char *temporary = NULL;
	char unique[37];
	struct stat st;
	int fd, fault;

	if (lstat(path, &st) == 0)
		return refuse_overwriting(path, err);
	iot_uuid(unique);
	temporary = iot_strf("%s/.iotctl-%.13s.tmp", folder, unique);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return system_fault(err, errno, "create", path);
	/* The umask may have taken rights from the owner. */
	if (fchmod(fd, 0600) != 0) {
		iot_close_p(&fd);
		goto fail;
	}
	if (write_and_close(fd, data, len) != 0 || name_new(temporary, path) != 0)
		goto fail;
	if (sync_folder_of(path) == 0)
		return IOT_OK;
	fault = errno;
	unlink(path);
	return system_fault(err, fault, "write", path);
fail:
	fault = errno;
	unlink(temporary);
	return fault == EEXIST ? refuse_overwriting(path, err) : system_fault(err, fault, "write", path);
}

static enum iot_status make_folder(const char *path, mode_t mode, struct iot_error *err)
{
	struct stat st;

	/* Asked first: in a folder we may not write, mkdir(2) need not say that the name exists. */
	if (stat(path, &st) != 0) {
		if (mkdir(path, mode) == 0)
			return sync_folder_of(path) == 0 ? IOT_OK : system_fault(err, errno, "create folder", path);
		if (errno != EEXIST || stat(path, &st) != 0)
			return system_fault(err, errno, "create folder", path);
	}
	if (!S_ISDIR(st.st_mode))
		return iot_fail(err, IOT_CONFLICT, "'%s' exists and is not a folder", path);
	return IOT_OK;
}

enum iot_status iot_fs_mkdirs(const char *path, mode_t mode, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_strdup(path);
	size_t len = strlen(folder);

	while (len > 1 && folder[len - 1] == '/')
		folder[--len] = '\0';
	for (size_t i = 1; i < len; i++) {
		enum iot_status status;

		if (folder[i] != '/' || folder[i - 1] == '/')
			continue;
		folder[i] = '\0';
		status = make_folder(folder, 0755, err);
		folder[i] = '/';
		if (status != IOT_OK)
			return status;
	}
	return make_folder(folder, mode, err);
}

enum iot_status iot_fs_rename(const char *from, const char *to, struct iot_error *err)
{
	if (rename(from, to) == 0 && sync_folder_of(to) == 0)
		return IOT_OK;
	return system_fault(err, errno, "rename", from);
}

enum iot_status iot_fs_remove(const char *path, struct iot_error *err)
{
	if (unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR)
		return IOT_OK;
	return system_fault(err, errno, "remove", path);
}

static enum iot_status remove_entry(int parent, const char *name, const char *path, dev_t device, int depth,
				    struct iot_error *err);

/* Remove what the folder holds. Takes fd over. Descriptors and not paths: nobody can swap a link in between. */
static enum iot_status empty_folder(int fd, const char *path, dev_t device, int depth, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	DIR *folder = fdopendir(fd);
	struct dirent *entry;

	if (folder == NULL) {
		iot_close_p(&fd);
		return system_fault(err, errno, "read folder", path);
	}
	while (status == IOT_OK && (errno = 0, entry = readdir(folder)) != NULL) {
		IOT_CLEAN(iot_free_p) char *below = NULL;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		below = iot_path(path, entry->d_name);
		status = remove_entry(dirfd(folder), entry->d_name, below, device, depth, err);
	}
	if (status == IOT_OK && errno != 0)
		status = system_fault(err, errno, "read folder", path);
	closedir(folder);
	return status;
}

/* `path` is only for messages. A device of 0 means that this is the top, whose file system is the one to stay on. */
static enum iot_status remove_entry(int parent, const char *name, const char *path, dev_t device, int depth,
				    struct iot_error *err)
{
	enum iot_status status;
	struct stat st;
	int fd;

	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT || errno == ENOTDIR)
		return IOT_OK;
	if (errno != EISDIR && errno != EPERM)
		return system_fault(err, errno, "remove", path);
	if (depth >= TREE_DEPTH_MAX)
		return iot_fail(err, IOT_FAILURE, "cannot remove '%s': more than %d folders deep", path,
				TREE_DEPTH_MAX);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return system_fault(err, errno == ENOTDIR ? EPERM : errno, "remove", path);
	if (fstat(fd, &st) != 0 || (device != 0 && st.st_dev != device)) {
		close(fd);
		return iot_fail(err, IOT_CONFLICT, "cannot remove '%s': another file system is mounted there", path);
	}
	status = empty_folder(fd, path, st.st_dev, depth + 1, err);
	if (status != IOT_OK)
		return status;
	if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
		return system_fault(err, errno, "remove", path);
	return IOT_OK;
}

enum iot_status iot_fs_remove_tree(const char *path, struct iot_error *err)
{
	if (path[strspn(path, "/")] == '\0')
		return iot_fail(err, IOT_USAGE, "cannot remove '%s': it is not the name of a folder", path);
	return remove_entry(AT_FDCWD, path, path, 0, 0, err);
}

enum iot_status iot_fs_check_private(const char *path, struct iot_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return system_fault(err, errno, "read", path);
	if (!S_ISREG(st.st_mode))
		return iot_fail(err, IOT_DENIED, "'%s' is not a regular file", path);
	if (st.st_uid != geteuid() && st.st_uid != 0) {
		iot_fail(err, IOT_DENIED, "'%s' belongs to another user", path);
		iot_error_hint(err, "use a file of your own");
		return IOT_DENIED;
	}
	if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
		iot_fail(err, IOT_DENIED, "'%s' can be accessed by others (mode %04o)", path,
			 (unsigned)(st.st_mode & 07777));
		iot_error_hint(err, "chmod 600 %s", path);
		return IOT_DENIED;
	}
	return IOT_OK;
}

enum iot_status iot_fs_lock(const char *path, int *ret_fd, struct iot_error *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int fault;

	if (fd < 0)
		return system_fault(err, errno, "lock", path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		*ret_fd = fd;
		return IOT_OK;
	}
	fault = errno;
	iot_close_p(&fd);
	if (fault == EWOULDBLOCK)
		return iot_fail(err, IOT_CONFLICT, "'%s' is locked by another process", path);
	return system_fault(err, fault, "lock", path);
}
