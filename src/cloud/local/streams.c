/*
 * File streams: which images devices may fetch over MQTT under a stream's name.
 * On the local cloud an s3Location is the fleet (bucket) and an image's SHA-256
 * (key), or an object that was put there under a name (objects.c).
 */
#include "jobs_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_ID_MAX = 255, VERSION_MAX = 65535 };

/* Digest and size of the image that an s3Location names. */
static enum iot_status find_image(struct iot_local *local, const json_t *location, char sha256[65], int64_t *ret_size,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	const char *bucket = iot_json_str(location, "bucket", NULL), *key = iot_json_str(location, "key", NULL);
	enum iot_status status;
	struct stat st;

	if (bucket == NULL || key == NULL)
		return iot_local_invalid(err, "a file needs an 's3Location' with 'bucket' and 'key'");
	status = iot_object_find(local, bucket, key, iot_json_str(location, "version", NULL), sha256, err);
	if (status == IOT_NOT_FOUND)
		iot_error_set_code(err, "ResourceNotFoundException");
	if (status != IOT_OK)
		return status;
	path = iot_image_path(local, sha256);
	if (stat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return iot_local_not_found(err, "image '%s' is not in the fleet's image folder", sha256);
	if (st.st_size == 0 || st.st_size > IOT_STREAM_FILE_MAX)
		return iot_local_invalid(err, "image '%s' has %lld bytes: a stream's file has 1 byte to 24 MB", sha256,
					 (long long)st.st_size);
	*ret_size = st.st_size;
	return IOT_OK;
}

static enum iot_status add_file(struct iot_local *local, int64_t stream, const json_t *file, struct iot_error *err)
{
	const json_t *location = json_object_get(file, "s3Location"), *id = json_object_get(file, "fileId");
	int64_t size = 0, made = 0;
	char sha256[65] = "";
	enum iot_status status;

	if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > FILE_ID_MAX)
		return iot_local_invalid(err, "'fileId' must be a whole number from 0 to %d", FILE_ID_MAX);
	status = find_image(local, location, sha256, &size, err);
	if (status == IOT_OK)
		status = iot_store_run(local->store, &made, err,
				       "INSERT INTO stream_files (stream, file_id, bucket, key, object_version, sha256,"
				       " size) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
				       "iissssi", stream, (int64_t)json_integer_value(id),
				       iot_json_str(location, "bucket", ""), iot_json_str(location, "key", ""),
				       iot_json_str(location, "version", NULL), sha256, size);
	if (status == IOT_OK && made == 0)
		return iot_local_invalid(err, "'fileId' %lld is given twice", (long long)json_integer_value(id));
	return status;
}

static enum iot_status add_files(struct iot_local *local, int64_t stream, const json_t *files, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	size_t i;
	json_t *file;

	if (json_array_size(files) == 0 || json_array_size(files) > IOT_STREAM_FILES_MAX)
		return iot_local_invalid(err, "a stream has 1 to %d files, not %zu", IOT_STREAM_FILES_MAX,
					 json_array_size(files));
	json_array_foreach(files, i, file) {
		if (status == IOT_OK)
			status = add_file(local, stream, file, err);
	}
	return status;
}

enum iot_status iot_stream_create(struct iot_local *local, const char *stream_id, const char *description,
				  const char *role_arn, const json_t *files, struct iot_error *err)
{
	int64_t made = 0;
	enum iot_status status;

	status = iot_store_run(local->store, &made, err,
			       "INSERT INTO streams (stream_id, description, role_arn, created_at, updated_at)"
			       " VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT (stream_id) DO NOTHING",
			       "sssi", stream_id, description, role_arn, iot_now_ms());
	if (status == IOT_OK && made == 0)
		return iot_local_exists(err, "stream '%s' exists already", stream_id);
	if (status == IOT_OK)
		status = add_files(local, iot_store_last_id(local->store), files, err);
	return status;
}

struct stream {
	int64_t id, version, created_at, updated_at;
	char *description, *role_arn;
};

static void stream_release(struct stream *stream)
{
	free(stream->description);
	free(stream->role_arn);
}

static enum iot_status find_stream(struct iot_local *local, const char *stream_id, struct stream *ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT id, version, created_at, updated_at, description, role_arn FROM streams"
				" WHERE stream_id = ?",
				"s", stream_id);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "stream '%s' does not exist", stream_id);
	ret->id = iot_stmt_int(stmt, 0);
	ret->version = iot_stmt_int(stmt, 1);
	ret->created_at = iot_stmt_int(stmt, 2);
	ret->updated_at = iot_stmt_int(stmt, 3);
	ret->description = iot_strdup(iot_stmt_text(stmt, 4));
	ret->role_arn = iot_strdup(iot_stmt_text(stmt, 5));
	return IOT_OK;
}

enum iot_status iot_stream_file_size(struct iot_local *local, const char *stream_id, int64_t file_id, int64_t *ret,
				     struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT f.size FROM streams s JOIN stream_files f ON f.stream = s.id"
				" WHERE s.stream_id = ? AND f.file_id = ?",
				"si", stream_id, file_id);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "stream '%s' has no file %" PRId64, stream_id, file_id);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

static void reply_stream(json_t *reply, const char *stream_id, int64_t version, const char *description)
{
	iot_json_set_str(reply, "streamId", stream_id);
	iot_local_set_arn(reply, "streamArn", "stream", stream_id);
	iot_json_set_int(reply, "streamVersion", version);
	iot_json_set_str(reply, "description", description);
}

IOT_HANDLER(iot_do_create_stream)
{
	const char *stream_id = iot_json_str(request, "streamId", "");
	const char *description = iot_json_str(request, "description", NULL);
	enum iot_status status;

	(void)in, (void)out;
	status = iot_stream_create(local, stream_id, description, iot_json_str(request, "roleArn", ""),
				   json_object_get(request, "files"), err);
	if (status == IOT_OK)
		reply_stream(*ret_reply, stream_id, 1, description);
	return status;
}

static enum iot_status reply_files(struct iot_local *local, int64_t stream, json_t *files, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_get(local->store,
			      "SELECT file_id, bucket, key, object_version FROM stream_files WHERE stream = ?"
			      " ORDER BY file_id",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", stream);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		json_t *file = json_object(), *location = json_object();

		iot_json_set_int(file, "fileId", iot_stmt_int(stmt, 0));
		json_object_set_new(file, "s3Location", location);
		iot_json_set_str(location, "bucket", iot_stmt_text(stmt, 1));
		iot_json_set_str(location, "key", iot_stmt_text(stmt, 2));
		iot_json_set_str(location, "version", iot_stmt_text(stmt, 3));
		json_array_append_new(files, file);
	}
	return status;
}

IOT_HANDLER(iot_do_describe_stream)
{
	IOT_CLEAN(stream_release) struct stream stream = {0};
	const char *stream_id = iot_json_str(request, "streamId", "");
	json_t *info = json_object(), *files = json_array();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "streamInfo", info);
	json_object_set_new(info, "files", files);
	status = find_stream(local, stream_id, &stream, err);
	if (status != IOT_OK)
		return status;
	reply_stream(info, stream_id, stream.version, stream.description);
	iot_local_set_time(info, "createdAt", stream.created_at);
	iot_local_set_time(info, "lastUpdatedAt", stream.updated_at);
	iot_json_set_str(info, "roleArn", stream.role_arn);
	return reply_files(local, stream.id, files, err);
}

IOT_HANDLER(iot_do_update_stream)
{
	IOT_CLEAN(stream_release) struct stream stream = {0};
	const char *stream_id = iot_json_str(request, "streamId", "");
	const char *description = iot_json_str(request, "description", NULL);
	const json_t *files = json_object_get(request, "files");
	enum iot_status status;

	(void)in, (void)out;
	status = find_stream(local, stream_id, &stream, err);
	if (status != IOT_OK)
		return status;
	if (stream.version >= VERSION_MAX)
		return iot_cloud_fail(err, "LimitExceededException", "stream '%s' was changed %d times: make a new one",
				      stream_id, VERSION_MAX);
	if (json_is_array(files)) {
		status = iot_store_run(local->store, NULL, err, "DELETE FROM stream_files WHERE stream = ?", "i",
				       stream.id);
		if (status == IOT_OK)
			status = add_files(local, stream.id, files, err);
	}
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE streams SET version = version + 1, description = ifnull(?, description),"
				       " role_arn = ifnull(?, role_arn), updated_at = ? WHERE id = ?",
				       "ssii", description, iot_json_str(request, "roleArn", NULL), iot_now_ms(),
				       stream.id);
	if (status == IOT_OK)
		reply_stream(*ret_reply, stream_id, stream.version + 1,
			     description != NULL ? description : stream.description);
	return status;
}

IOT_HANDLER(iot_do_list_streams)
{
	static const char newest_first[] = "SELECT id, stream_id, version, description FROM streams"
					   " WHERE ?1 = 0 OR id < ?1 ORDER BY id DESC LIMIT ?2";
	static const char oldest_first[] = "SELECT id, stream_id, version, description FROM streams"
					   " WHERE id > ?1 ORDER BY id LIMIT ?2";
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	bool ascending = iot_json_bool(request, "ascendingOrder", false);
	json_t *streams = json_array();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "streams", streams);
	status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store, ascending ? oldest_first : newest_first, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ii", page.after_id, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *stream = json_object();

		reply_stream(stream, iot_stmt_text(stmt, 1), iot_stmt_int(stmt, 2), iot_stmt_text(stmt, 3));
		json_array_append_new(streams, stream);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

enum iot_status iot_stream_delete(struct iot_local *local, const char *stream_id, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(stream_release) struct stream stream = {0};
	enum iot_status status = find_stream(local, stream_id, &stream, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_query(local->store, &stmt, &row, err,
					"SELECT job_id FROM jobs WHERE status IN ('IN_PROGRESS', 'SCHEDULED')"
					" AND instr(document, '\"' || ? || '\"') LIMIT 1",
					"s", stream_id);
	if (status != IOT_OK)
		return status;
	if (row)
		return iot_cloud_fail(err, "DeleteConflictException", "stream '%s' is needed by job '%s'", stream_id,
				      iot_stmt_text(stmt, 0));
	return iot_store_run(local->store, NULL, err, "DELETE FROM streams WHERE id = ?", "i", stream.id);
}

IOT_HANDLER(iot_do_delete_stream)
{
	(void)in, (void)out, (void)ret_reply;
	return iot_stream_delete(local, iot_json_str(request, "streamId", ""), err);
}

/* A file, if the thing was ever given a job whose document names the stream (ids need no escaping in JSON). */
static const char open_sql[] =
	"SELECT f.sha256, f.size, s.version FROM streams s JOIN stream_files f ON f.stream = s.id"
	" WHERE s.stream_id = ?1 AND f.file_id = ?2 AND EXISTS (SELECT 1 FROM executions e JOIN jobs j ON j.id = e.job"
	" WHERE e.thing_id = (SELECT id FROM things WHERE name = ?3) AND e.status <> 'WAITING'"
	" AND instr(j.document, '\"' || ?1 || '\"'))";

enum iot_status iot_local_stream_open(struct iot_cloud *cloud, const char *thing, const char *stream, int file_id,
				      int *ret_fd, int64_t *ret_size, int64_t *ret_version, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_close_p) int fd = -1;
	enum iot_status status = iot_stmt_get(local->store, open_sql, &stmt, err);
	bool row = false;
	struct stat st;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "sis", stream, (int64_t)file_id, thing);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_cloud_fail(err, "ResourceNotFound", "there is no file %d of stream '%.130s' for thing '%s'",
				      file_id, stream, thing);
	path = iot_image_path(local, iot_stmt_text(stmt, 0));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return iot_cloud_fail(err, "ResourceNotFound", "image '%s' of stream '%s' is gone", path, stream);
	if (fd < 0 || fstat(fd, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open image '%s'", path);
	if (st.st_size != iot_stmt_int(stmt, 1))
		return iot_cloud_fail(err, "ETagMismatch", "image '%s' is not what stream '%s' was made of", path,
				      stream);
	*ret_fd = iot_take_fd(&fd);
	*ret_size = st.st_size;
	if (ret_version != NULL)
		*ret_version = iot_stmt_int(stmt, 2);
	return IOT_OK;
}
