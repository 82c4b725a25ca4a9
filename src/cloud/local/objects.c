/*
 * Objects: names of images in the fleet's bucket, for S3's operations. An object
 * has the SHA-256 of its image as version and as ETag; every image is also the
 * object whose key is that digest, as streams name it.
 *
 * The parts of an upload lie in a folder of its own beside the images until it
 * is completed, aborted, or a day old.
 */
#include "jobs_private.h"

#include "iotctl/digest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	UPLOADS_MAX = 32,
	UPLOAD_KEPT_S = 24 * 3600,
	PARTS_MAX = 10000,
	KEY_MAX = 4096, /* of the file that has an upload's key */
};
#define UPLOAD_PREFIX ".upload-"
#define NEW_PREFIX ".new-"

/* --- buckets and keys --------------------------------------------------------------------- */

static enum iot_status check_bucket(struct iot_local *local, const char *bucket, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = NULL;
	enum iot_status status;

	if (strcmp(bucket, "local") == 0)
		return IOT_OK;
	status = iot_local_meta(local, "name", &name, err);
	if (status != IOT_OK || (name != NULL && strcmp(name, bucket) == 0))
		return status;
	status = iot_cloud_fail(err, "NoSuchBucket", "bucket '%.200s' does not exist", bucket);
	iot_error_hint(err, "the local cloud's bucket is named after the fleet: '%s'", name != NULL ? name : "local");
	return status;
}

enum iot_status iot_local_bucket_check(struct iot_cloud *cloud, const char *bucket, struct iot_error *err)
{
	return check_bucket(iot_local_of(cloud), bucket, err);
}

static bool is_digest(const char *text)
{
	return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

enum iot_status iot_object_find(struct iot_local *local, const char *bucket, const char *key, const char *version,
				char ret_sha256[65], struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = check_bucket(local, bucket, err);

	if (status == IOT_OK && is_digest(key)) {
		memcpy(ret_sha256, key, 65);
		return IOT_OK;
	}
	if (status == IOT_OK)
		status = iot_stmt_query(local->store, &stmt, &row, err,
					"SELECT sha256 FROM objects WHERE key = ?1 AND (?2 IS NULL OR sha256 = ?2)"
					" ORDER BY id DESC LIMIT 1",
					"ss", key, version);
	if (status != IOT_OK)
		return status;
	if (!row) {
		status = iot_local_not_found(err, "there is no object '%.200s'%s in the fleet's bucket", key,
					     version != NULL ? " of that version" : "");
		iot_error_hint(err, "an image is put there, or named by its SHA-256 as 64 lower-case hex digits");
		return status;
	}
	memcpy(ret_sha256, iot_stmt_text(stmt, 0), 65);
	return IOT_OK;
}

static enum iot_status put_row(struct iot_local *local, const char *key, const char *sha256, int64_t size,
			       struct iot_error *err)
{
	/* A digest names an image by itself, and must never come to name another one. */
	if (is_digest(key))
		return strcmp(key, sha256) == 0
			       ? IOT_OK
			       : iot_local_invalid(err, "key '%s' is not the SHA-256 of the image", key);
	return iot_store_run(local->store, NULL, err,
			     "INSERT OR REPLACE INTO objects (key, sha256, size, created_at) VALUES (?, ?, ?, ?)",
			     "ssii", key, sha256, size, iot_now_ms());
}

enum iot_status iot_local_object_put(struct iot_cloud *cloud, const char *bucket, const char *key, const char *sha256,
				     int64_t size, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status = check_bucket(local, bucket, err);

	if (status == IOT_OK)
		status = iot_local_begin(local, err);
	return status == IOT_OK ? iot_local_end(local, put_row(local, key, sha256, size, err), err) : status;
}

static enum iot_status open_image(struct iot_local *local, const char *sha256, struct iot_object *ret,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_image_path(local, sha256);
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat st;

	if (fd < 0 && errno == ENOENT)
		return iot_local_not_found(err, "image '%s' is not in the fleet's image folder", sha256);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read image '%s'", sha256);
	ret->size = st.st_size;
	ret->changed_at = (int64_t)st.st_mtime * 1000;
	memcpy(ret->sha256, sha256, sizeof(ret->sha256));
	ret->fd = iot_take_fd(&fd);
	return IOT_OK;
}

enum iot_status iot_local_object_open(struct iot_cloud *cloud, const char *bucket, const char *key, const char *version,
				      struct iot_object *ret, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	char sha256[65];
	enum iot_status status = iot_object_find(local, bucket, key, version, sha256, err);

	if (status == IOT_OK && version != NULL && strcmp(version, sha256) != 0)
		return iot_local_not_found(err, "there is no object '%.200s' of that version", key);
	return status == IOT_OK ? open_image(local, sha256, ret, err) : status;
}

/* --- whole objects ----------------------------------------------------------------------------- */

static void set_etag(json_t *reply, const char *sha256)
{
	IOT_CLEAN(iot_free_p) char *etag = iot_strf("\"%s\"", sha256);

	iot_json_set_str(reply, "ETag", etag);
}

static enum iot_status add_body(struct iot_image_writer *writer, const struct iot_body *in, struct iot_error *err)
{
	if (in == NULL)
		return iot_local_invalid(err, "the bytes of the image are missing");
	if (in->fd < 0) {
		iot_image_writer_add(writer, in->data, in->len);
		return IOT_OK;
	}
	if (lseek(in->fd, 0, SEEK_SET) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read the image");
	return iot_image_copy(writer, in->fd, "upload", err);
}

static enum iot_status finish(struct iot_local *local, struct iot_image_writer *writer, const json_t *request,
			      json_t *reply, struct iot_error *err)
{
	char sha256[65];
	int64_t size = 0;
	enum iot_status status = iot_image_writer_end(writer, sha256, &size, err);

	if (status == IOT_OK)
		status = iot_local_begin(local, err);
	if (status == IOT_OK)
		status = iot_local_end(local, put_row(local, iot_json_str(request, "Key", ""), sha256, size, err), err);
	if (status != IOT_OK)
		return status;
	set_etag(reply, sha256);
	iot_json_set_str(reply, "VersionId", sha256);
	return IOT_OK;
}

IOT_HANDLER(iot_do_put_object)
{
	IOT_CLEAN(iot_image_writer_free_p) struct iot_image_writer *writer = NULL;
	enum iot_status status = check_bucket(local, iot_json_str(request, "Bucket", ""), err);

	(void)out;
	if (status == IOT_OK)
		status = iot_image_writer_make(local, "upload", &writer, err);
	if (status == IOT_OK)
		status = add_body(writer, in, err);
	return status == IOT_OK ? finish(local, writer, request, *ret_reply, err) : status;
}

static enum iot_status read_object(const struct iot_object *object, struct iot_buf *out, struct iot_error *err)
{
	char *to = iot_buf_reserve(out, (size_t)object->size);
	int64_t done = 0;

	if (to == NULL)
		return iot_buf_check(out, "the image", err);
	while (done < object->size) {
		ssize_t n = pread(object->fd, to + done, (size_t)(object->size - done), done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return iot_fail_errno(err, IOT_FAILURE, n < 0 ? errno : EIO, "cannot read the image");
		done += n;
	}
	out->len += (size_t)done;
	return IOT_OK;
}

static enum iot_status describe_object(struct iot_local *local, const json_t *request, json_t *reply,
				       struct iot_buf *out, struct iot_error *err)
{
	struct iot_object object = {.fd = -1};
	const char *version = iot_json_str(request, "VersionId", NULL);
	char sha256[65];
	enum iot_status status = iot_object_find(local, iot_json_str(request, "Bucket", ""),
						 iot_json_str(request, "Key", ""), version, sha256, err);

	if (status == IOT_OK && version != NULL && strcmp(version, sha256) != 0)
		status = iot_local_not_found(err, "there is no object of that version");
	if (status == IOT_OK)
		status = open_image(local, sha256, &object, err);
	if (status == IOT_OK && out != NULL)
		status = read_object(&object, out, err);
	iot_close_p(&object.fd);
	if (status != IOT_OK)
		return status;
	set_etag(reply, sha256);
	iot_json_set_str(reply, "VersionId", sha256);
	iot_json_set_int(reply, "ContentLength", object.size);
	iot_local_set_time(reply, "LastModified", object.changed_at);
	return IOT_OK;
}

IOT_HANDLER(iot_do_get_object)
{
	(void)in;
	return describe_object(local, request, *ret_reply, out, err);
}

IOT_HANDLER(iot_do_head_object)
{
	(void)in, (void)out;
	return describe_object(local, request, *ret_reply, NULL, err);
}

IOT_HANDLER(iot_do_get_bucket_versioning)
{
	enum iot_status status = check_bucket(local, iot_json_str(request, "Bucket", ""), err);

	(void)in, (void)out;
	if (status == IOT_OK)
		iot_json_set_str(*ret_reply, "Status", "Enabled");
	return status;
}

/* --- in parts -------------------------------------------------------------------------------------- */

static char *upload_path(struct iot_local *local, const char *id)
{
	return iot_strf("%s/" UPLOAD_PREFIX "%s", local->paths.images_dir, id);
}

/* What nobody completed, and what a crash left. Returns how many uploads there still are. */
static int remove_stale(struct iot_local *local)
{
	DIR *dir = opendir(local->paths.images_dir);
	int64_t old = iot_now_ms() / 1000 - UPLOAD_KEPT_S;
	const struct dirent *entry;
	int count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		bool upload = iot_starts_with(entry->d_name, UPLOAD_PREFIX);
		IOT_CLEAN(iot_free_p) char *path = NULL;
		struct stat st;

		if (!upload && !iot_starts_with(entry->d_name, NEW_PREFIX))
			continue;
		path = iot_path(local->paths.images_dir, entry->d_name);
		if (lstat(path, &st) != 0 || st.st_mtime > old)
			count += upload;
		else
			(void)!iot_fs_remove_tree(path, NULL);
	}
	if (dir != NULL)
		closedir(dir);
	return count;
}

IOT_HANDLER(iot_do_create_upload)
{
	const char *bucket = iot_json_str(request, "Bucket", ""), *key = iot_json_str(request, "Key", "");
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *key_path = NULL;
	char id[37];
	enum iot_status status = check_bucket(local, bucket, err);

	(void)in, (void)out;
	if (status != IOT_OK)
		return status;
	if (remove_stale(local) >= UPLOADS_MAX)
		return iot_cloud_fail(err, "ServiceUnavailableException",
				      "there are %d unfinished uploads: complete or abort some", UPLOADS_MAX);
	iot_uuid(id);
	path = upload_path(local, id);
	key_path = iot_path(path, "key");
	status = iot_fs_mkdirs(path, 0700, err);
	if (status == IOT_OK)
		status = iot_fs_write(key_path, 0600, key, strlen(key), err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "Bucket", bucket);
	iot_json_set_str(*ret_reply, "Key", key);
	iot_json_set_str(*ret_reply, "UploadId", id);
	return IOT_OK;
}

/* The folder of the upload that a request names, for the key it was begun with. New memory. */
static enum iot_status find_upload(struct iot_local *local, const json_t *request, char **ret, struct iot_error *err)
{
	const char *id = iot_json_str(request, "UploadId", "");
	IOT_CLEAN(iot_free_p) char *path = upload_path(local, id);
	IOT_CLEAN(iot_free_p) char *key_path = iot_path(path, "key");
	struct iot_buf key = IOT_BUF_INIT(KEY_MAX);
	enum iot_status status = check_bucket(local, iot_json_str(request, "Bucket", ""), err);
	bool same;

	if (status != IOT_OK)
		return status;
	same = strchr(id, '/') == NULL && iot_fs_read(key_path, &key, NULL) == IOT_OK &&
	       strcmp(iot_buf_str(&key), iot_json_str(request, "Key", "")) == 0;
	iot_buf_release(&key);
	if (!same)
		return iot_cloud_fail(err, "NoSuchUpload", "there is no upload '%.80s' of this key", id);
	*ret = iot_take(path);
	return IOT_OK;
}

/* A part's file has its digest in its name, so that completing need not read it to know its ETag. */
static char *part_path(const char *upload, int64_t number, const char *sha256)
{
	return iot_strf("%s/%05" PRId64 "-%s", upload, number, sha256);
}

/* Bytes of the parts of an upload, without number `except`, whose files are removed but for `keep` (NULL: none is). */
static int64_t parts_size(const char *upload, int64_t except, const char *keep)
{
	DIR *dir = opendir(upload);
	const struct dirent *entry;
	int64_t size = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *path = iot_path(upload, entry->d_name);
		struct stat st;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || lstat(path, &st) != 0)
			continue;
		if (strtol(entry->d_name, NULL, 10) != except)
			size += st.st_size;
		else if (keep != NULL && strcmp(path, keep) != 0)
			unlink(path); /* sent again: the last one counts */
	}
	if (dir != NULL)
		closedir(dir);
	return size;
}

static enum iot_status add_part(struct iot_local *local, const json_t *request, struct iot_image_writer *writer,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *upload = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	int64_t number = iot_json_int(request, "PartNumber", 0);
	enum iot_status status = find_upload(local, request, &upload, err);

	if (status != IOT_OK || upload == NULL)
		return status;
	path = part_path(upload, number, iot_image_writer_sha256(writer));
	if (parts_size(upload, number, NULL) + iot_image_writer_size(writer) > IOT_STREAM_FILE_MAX)
		return iot_cloud_fail(err, "RequestEntityTooLargeException", "an image has at most %lld bytes",
				      (long long)IOT_STREAM_FILE_MAX);
	status = iot_image_writer_keep(writer, path, err);
	if (status == IOT_OK)
		(void)parts_size(upload, number, path);
	return status;
}

enum iot_status iot_local_upload_part(struct iot_cloud *cloud, const json_t *request, struct iot_image_writer *writer,
				      struct iot_error *err)
{
	return add_part(iot_local_of(cloud), request, writer, err);
}

IOT_HANDLER(iot_do_upload_part)
{
	IOT_CLEAN(iot_image_writer_free_p) struct iot_image_writer *writer = NULL;
	enum iot_status status = iot_image_writer_make(local, "part", &writer, err);

	(void)out;
	if (status == IOT_OK)
		status = add_body(writer, in, err);
	if (status == IOT_OK)
		status = add_part(local, request, writer, err);
	if (status == IOT_OK)
		set_etag(*ret_reply, iot_image_writer_sha256(writer));
	return status;
}

/* "abc" with or without its quotes, as a digest; false if it is none. */
static bool etag_digest(const char *etag, char out[65])
{
	size_t len = strlen(etag);

	if (len == 66 && etag[0] == '"' && etag[65] == '"')
		etag++;
	else if (len != 64)
		return false;
	memcpy(out, etag, 64);
	out[64] = '\0';
	return is_digest(out);
}

static enum iot_status copy_part(const char *upload, const json_t *part, int64_t *last, struct iot_image_writer *writer,
				 struct iot_error *err)
{
	int64_t number = iot_json_int(part, "PartNumber", 0);
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_close_p) int fd = -1;
	char digest[65];

	if (number <= *last || number > PARTS_MAX || !etag_digest(iot_json_str(part, "ETag", ""), digest))
		return iot_cloud_fail(err, "InvalidPart", "parts need PartNumber, in ascending order, and ETag");
	*last = number;
	path = part_path(upload, number, digest);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT)
		return iot_cloud_fail(err, "InvalidPart", "part %lld was not sent, or has another ETag",
				      (long long)number);
	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read part %lld", (long long)number);
	return iot_image_copy(writer, fd, "part", err);
}

IOT_HANDLER(iot_do_complete_upload)
{
	const json_t *parts = json_object_get(json_object_get(request, "MultipartUpload"), "Parts");
	IOT_CLEAN(iot_image_writer_free_p) struct iot_image_writer *writer = NULL;
	IOT_CLEAN(iot_free_p) char *upload = NULL;
	enum iot_status status = find_upload(local, request, &upload, err);
	int64_t last = 0;
	json_t *part;
	size_t i;

	(void)in, (void)out;
	if (status == IOT_OK && json_array_size(parts) == 0)
		return iot_cloud_fail(err, "InvalidPart", "there are no parts in 'MultipartUpload'");
	if (status == IOT_OK)
		status = iot_image_writer_make(local, "upload", &writer, err);
	json_array_foreach(parts, i, part) {
		if (status == IOT_OK)
			status = copy_part(upload, part, &last, writer, err);
	}
	if (status == IOT_OK)
		status = finish(local, writer, request, *ret_reply, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "Bucket", iot_json_str(request, "Bucket", ""));
	iot_json_set_str(*ret_reply, "Key", iot_json_str(request, "Key", ""));
	(void)!iot_fs_remove_tree(upload, NULL);
	return IOT_OK;
}

IOT_HANDLER(iot_do_abort_upload)
{
	IOT_CLEAN(iot_free_p) char *upload = NULL;
	enum iot_status status = find_upload(local, request, &upload, err);

	(void)in, (void)out, (void)ret_reply;
	return status == IOT_OK ? iot_fs_remove_tree(upload, err) : status;
}
