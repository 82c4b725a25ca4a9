/*
 * OTA updates: a stream, and a job whose document tells a FreeRTOS agent what to
 * fetch and how it is signed. What AWS IoT does over some time after the request
 * is done here before the reply; a failure of it is the update's state
 * (CREATE_FAILED with errorInfo), as it is there.
 */
#include "jobs_private.h"

#include <stdio.h>
#include <string.h>

struct update {
	const char *id;
	char job_id[IOT_JOB_ID_MAX + 1];
	char stream_id[129];
	bool own_stream; /* the files are images; the stream is made for them */
	json_t *document, *stream_files, *config;
};

static void update_release(struct update *update)
{
	json_decref(update->document);
	json_decref(update->stream_files);
	json_decref(update->config);
}

/* --- from the request to what it means ---------------------------------------- */

/*
 * The signature's member in the document. inlineDocument is a blob (base64 in
 * JSON) whose bytes the service copies as text; that text is what devices decode,
 * so it has to be base64 itself.
 */
static enum iot_status set_signature(const json_t *signing, json_t *file, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(8192);
	struct iot_buf raw = IOT_BUF_INIT(8192);
	const char *blob = iot_json_str(json_object_get(signing, "signature"), "inlineDocument", NULL);
	const char *hash = iot_json_str(signing, "hashAlgorithm", "");
	const char *algorithm = iot_json_str(signing, "signatureAlgorithm", "");
	enum iot_status status = IOT_OK;
	char key[24] = "";

	if ((strcmp(hash, "SHA256") == 0 || strcmp(hash, "SHA1") == 0) &&
	    (strcmp(algorithm, "ECDSA") == 0 || strcmp(algorithm, "RSA") == 0))
		snprintf(key, sizeof(key), "sig-%s-%s", strcmp(hash, "SHA1") == 0 ? "sha1" : "sha256",
			 strcmp(algorithm, "RSA") == 0 ? "rsa" : "ecdsa");
	if (key[0] == '\0')
		return iot_local_invalid(err, "'customCodeSigning' needs 'hashAlgorithm' SHA256 or SHA1 and "
					      "'signatureAlgorithm' ECDSA or RSA");
	if (blob == NULL || !iot_unbase64(blob, strlen(blob), &text) || text.len == 0 ||
	    !iot_unbase64(text.data, text.len, &raw) || raw.len == 0 || text.over || raw.over) {
		status = iot_local_invalid(err,
					   "'signature.inlineDocument' is not a signature in base64, as a base64 blob");
		iot_error_hint(err, "encode the signature twice: devices get what is left after one decoding");
	} else {
		iot_json_set_str(file, key, iot_buf_str(&text));
	}
	iot_buf_release(&text);
	iot_buf_release(&raw);
	return status;
}

static enum iot_status set_signing(const json_t *request_file, json_t *file, struct iot_error *err)
{
	const json_t *signing = json_object_get(request_file, "codeSigning");
	const json_t *custom = json_object_get(signing, "customCodeSigning");
	const json_t *chain = json_object_get(custom, "certificateChain");

	iot_json_set_str(file, "certfile", iot_json_str(chain, "certificateName", ""));
	if (signing == NULL || json_is_null(signing))
		return IOT_OK;
	if (!json_is_object(custom))
		return iot_local_invalid(
			err, "the local cloud signs nothing itself: 'codeSigning' needs 'customCodeSigning'");
	return set_signature(custom, file, err);
}

/* Where the bytes are: an image, which goes into the update's own stream, or a file of a stream that exists. */
static enum iot_status locate(struct update *update, const json_t *request_file, size_t index, json_t *file,
			      struct iot_error *err)
{
	const json_t *location = json_object_get(request_file, "fileLocation");
	json_t *image = json_object_get(location, "s3Location"), *stream_file;
	const json_t *stream = json_object_get(location, "stream");
	const char *name = iot_json_str(stream, "streamId", "");

	if (json_is_object(image) == json_is_object(stream))
		return iot_local_invalid(err, "'fileLocation' of file %zu needs either 's3Location' or 'stream'",
					 index);
	if (index > 0 && json_is_object(image) != update->own_stream)
		return iot_local_invalid(err, "files of one update come all from images or all from a stream");
	update->own_stream = json_is_object(image);
	if (update->own_stream) {
		stream_file = json_pack("{s:i, s:O}", "fileId", (int)index, "s3Location", image);
		json_array_append_new(update->stream_files, stream_file);
		iot_json_set_int(file, "fileid", (int64_t)index);
		return IOT_OK;
	}
	if (strlen(name) >= sizeof(update->stream_id) || (index > 0 && strcmp(name, update->stream_id) != 0))
		return iot_local_invalid(err, "files of one update must be in one stream");
	snprintf(update->stream_id, sizeof(update->stream_id), "%s", name);
	iot_json_set_int(file, "fileid", iot_json_int(stream, "fileId", 0));
	return IOT_OK;
}

static enum iot_status describe_file(struct update *update, const json_t *request_file, size_t index, json_t *files,
				     struct iot_error *err)
{
	static const int64_t type_max = 255;
	json_t *file = json_object();
	const json_t *type = json_object_get(request_file, "fileType");
	enum iot_status status;

	json_array_append_new(files, file);
	iot_json_set_str(file, "filepath", iot_json_str(request_file, "fileName", ""));
	iot_json_set_int(file, "filesize", 0); /* known when the stream is there; here for the order */
	status = locate(update, request_file, index, file, err);
	if (status != IOT_OK)
		return status;
	if (type != NULL && !json_is_null(type)) {
		if (!json_is_integer(type) || json_integer_value(type) < 0 || json_integer_value(type) > type_max)
			return iot_local_invalid(err, "'fileType' must be a whole number from 0 to 255");
		iot_json_set_int(file, "fileType", (int64_t)json_integer_value(type));
	}
	return set_signing(request_file, file, err);
}

static enum iot_status check_protocols(const json_t *request, struct iot_error *err)
{
	const json_t *protocols = json_object_get(request, "protocols");
	size_t i;
	json_t *protocol;

	json_array_foreach(protocols, i, protocol) {
		if (!json_is_string(protocol) || strcmp(json_string_value(protocol), "MQTT") != 0)
			return iot_local_invalid(
				err, "the local cloud sends files over MQTT only: 'protocols' must be [\"MQTT\"]");
	}
	return IOT_OK;
}

/* The job's configuration under the names that CreateJob has for it. */
static enum iot_status map_config(const json_t *request, json_t **ret, struct iot_error *err)
{
	static const char *const names[][2] = {{"awsJobExecutionsRolloutConfig", "jobExecutionsRolloutConfig"},
					       {"awsJobTimeoutConfig", "timeoutConfig"},
					       {"awsJobPresignedUrlConfig", "presignedUrlConfig"}};
	IOT_JSON mapped = json_object();
	json_t *criteria = json_object_get(json_object_get(request, "awsJobAbortConfig"), "abortCriteriaList");

	for (size_t i = 0; i < IOT_LENGTH(names); i++) {
		json_t *value = json_object_get(request, names[i][0]);

		if (value != NULL)
			json_object_set(mapped, names[i][1], value);
	}
	if (criteria != NULL)
		json_object_set_new(mapped, "abortConfig", json_pack("{s:O}", "criteriaList", criteria));
	return iot_job_config(mapped, iot_now_ms(), ret, err);
}

static enum iot_status understand(struct iot_local *local, const json_t *request, struct update *update,
				  struct iot_error *err)
{
	const json_t *request_files = json_object_get(request, "files");
	json_t *files = json_array(), *request_file;
	enum iot_status status;
	char uuid[37];
	size_t i;

	update->id = iot_json_str(request, "otaUpdateId", "");
	update->stream_files = json_array();
	update->document =
		json_pack("{s:{s:[s], s:s, s:o}}", "afr_ota", "protocols", "MQTT", "streamname", "", "files", files);
	if (snprintf(update->job_id, sizeof(update->job_id), "AFR_OTA-%s", update->id) > IOT_JOB_ID_MAX)
		return iot_local_invalid(err,
					 "'otaUpdateId' may have at most %d characters: its job is named AFR_OTA-ID",
					 IOT_JOB_ID_MAX - 8);
	status = check_protocols(request, err);
	if (status == IOT_OK)
		status = map_config(request, &update->config, err);
	if (status == IOT_OK)
		status = iot_targets_check(local, json_object_get(request, "targets"), err);
	json_array_foreach(request_files, i, request_file) {
		if (status == IOT_OK)
			status = describe_file(update, request_file, i, files, err);
	}
	if (status == IOT_OK && update->own_stream) {
		/* Short: topics with thing and stream in them must fit into a device's buffer. */
		iot_uuid(uuid);
		snprintf(update->stream_id, sizeof(update->stream_id), "AFR_OTA-%.18s", uuid);
	}
	return status;
}

/* --- carrying it out ----------------------------------------------------------------- */

static enum iot_status make_stream_and_job(struct iot_local *local, const json_t *request, struct update *update,
					   struct iot_error *err)
{
	json_t *ota = json_object_get(update->document, "afr_ota"), *file;
	const char *description = iot_json_str(request, "description", NULL);
	IOT_CLEAN(iot_free_p) char *document = NULL;
	struct iot_job_spec spec;
	enum iot_status status = IOT_OK;
	size_t i;

	if (update->own_stream)
		status = iot_stream_create(local, update->stream_id, description, iot_json_str(request, "roleArn", ""),
					   update->stream_files, err);
	iot_json_set_str(ota, "streamname", update->stream_id);
	json_array_foreach(json_object_get(ota, "files"), i, file) {
		int64_t size = 0;

		if (status == IOT_OK)
			status = iot_stream_file_size(local, update->stream_id, iot_json_int(file, "fileid", 0), &size,
						      err);
		iot_json_set_int(file, "filesize", size);
	}
	if (status != IOT_OK)
		return status;
	document = iot_json_text(update->document);
	if (strlen(document) > IOT_JOB_DOCUMENT_MAX)
		return iot_local_invalid(err, "the job document would have %zu bytes, at most %d are allowed",
					 strlen(document), IOT_JOB_DOCUMENT_MAX);
	spec = (struct iot_job_spec){
		.job_id = update->job_id,
		.document = document,
		.description = description,
		.selection = iot_json_str(request, "targetSelection", "SNAPSHOT"),
		.targets = json_object_get(request, "targets"),
		.config = update->config,
	};
	return iot_job_create(local, &spec, err);
}

static enum iot_status record(struct iot_local *local, const json_t *request, const struct update *update,
			      const char *ota_status, const json_t *error, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *request_text = iot_json_text(request);
	IOT_CLEAN(iot_free_p) char *error_text = error != NULL ? iot_json_text(error) : NULL;
	const json_t *first = json_array_get(json_object_get(request, "files"), 0);
	int64_t made = 0;
	enum iot_status status;

	status = iot_store_run(
		local->store, &made, err,
		"INSERT INTO ota_updates (ota_update_id, job_id, stream_id, status, request, image_version,"
		" error, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)"
		" ON CONFLICT (ota_update_id) DO NOTHING",
		"sssssssi", update->id, update->job_id, update->stream_id, ota_status, request_text,
		iot_json_str(first, "fileVersion", NULL), error_text, iot_now_ms());
	if (status == IOT_OK && made == 0)
		return iot_local_exists(err, "OTA update '%s' exists already", update->id);
	return status;
}

/* Faults of the request's matter become the update's state; faults of the registry are the call's. */
static bool is_matter(enum iot_status status)
{
	return status == IOT_USAGE || status == IOT_NOT_FOUND || status == IOT_CONFLICT;
}

IOT_HANDLER(iot_do_create_ota)
{
	IOT_CLEAN(update_release) struct update update = {0};
	IOT_JSON error = NULL;
	const char *ota_status = "CREATE_COMPLETE";
	enum iot_status status;

	(void)in, (void)out;
	status = understand(local, request, &update, err);
	/* First, so that an update of this name is told from what else can be in the way. */
	if (status == IOT_OK)
		status = record(local, request, &update, ota_status, NULL, err);
	if (status == IOT_OK)
		status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = iot_local_end(local, make_stream_and_job(local, request, &update, err), err);
	if (is_matter(status)) {
		IOT_CLEAN(iot_free_p) char *text = NULL;

		ota_status = "CREATE_FAILED";
		error = json_object();
		iot_json_set_str(error, "code", err != NULL ? err->code : "");
		iot_json_set_str(error, "message", err != NULL ? err->what : "");
		text = iot_json_text(error);
		iot_error_clear(err);
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE ota_updates SET status = ?, error = ? WHERE ota_update_id = ?", "sss",
				       ota_status, text, update.id);
	}
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "otaUpdateId", update.id);
	iot_local_set_arn(*ret_reply, "otaUpdateArn", "otaupdate", update.id);
	iot_json_set_str(*ret_reply, "awsIotJobId", update.job_id);
	iot_local_set_arn(*ret_reply, "awsIotJobArn", "job", update.job_id);
	iot_json_set_str(*ret_reply, "otaUpdateStatus", ota_status);
	return IOT_OK;
}

/* --- showing and deleting -------------------------------------------------------------- */

/* The files as requested; one that came from an image is now also a file of the stream. */
static json_t *reply_files(const json_t *request, const char *stream_id)
{
	json_t *files = json_deep_copy(json_object_get(request, "files")), *file;
	size_t i;

	json_array_foreach(files, i, file) {
		json_t *location = json_object_get(file, "fileLocation");

		if (json_object_get(location, "stream") == NULL && stream_id != NULL)
			json_object_set_new(location, "stream",
					    json_pack("{s:s, s:i}", "streamId", stream_id, "fileId", (int)i));
	}
	return files;
}

static const char find_sql[] =
	"SELECT o.job_id, o.stream_id, o.status, o.request, o.error, o.created_at, o.updated_at, j.status, j.id,"
	" j.targets FROM ota_updates o LEFT JOIN jobs j ON j.job_id = o.job_id WHERE o.ota_update_id = ?";

static enum iot_status find(struct iot_local *local, const char *id, struct iot_stmt **ret, struct iot_error *err)
{
	enum iot_status status = iot_stmt_get(local->store, find_sql, ret, err);
	bool row = false;

	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "s", id);
	if (status == IOT_OK)
		status = iot_stmt_step(*ret, &row, err);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "OTA update '%s' does not exist", id);
	return status;
}

IOT_HANDLER(iot_do_get_ota)
{
	static const char *const members[] = {"description",
					      "targets",
					      "protocols",
					      "targetSelection",
					      "awsJobExecutionsRolloutConfig",
					      "awsJobPresignedUrlConfig",
					      "additionalParameters"};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON given = NULL;
	const char *id = iot_json_str(request, "otaUpdateId", "");
	json_t *info = json_object();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "otaUpdateInfo", info);
	status = find(local, id, &stmt, err);
	if (status != IOT_OK)
		return status;
	given = json_loads(iot_stmt_text(stmt, 3), 0, NULL);
	iot_json_set_str(info, "otaUpdateId", id);
	iot_local_set_arn(info, "otaUpdateArn", "otaupdate", id);
	iot_local_set_time(info, "creationDate", iot_stmt_int(stmt, 5));
	iot_local_set_time(info, "lastModifiedDate", iot_stmt_int(stmt, 6));
	for (size_t i = 0; i < IOT_LENGTH(members); i++) {
		json_t *value = json_object_get(given, members[i]);

		if (value != NULL)
			json_object_set(info, members[i], value);
	}
	/* Targets that were added to the job since. */
	iot_local_set_json(info, "targets", iot_stmt_text(stmt, 9));
	json_object_set_new(info, "otaUpdateFiles", reply_files(given, iot_stmt_text(stmt, 1)));
	iot_json_set_str(info, "otaUpdateStatus", iot_stmt_text(stmt, 2));
	iot_json_set_str(info, "awsIotJobId", iot_stmt_text(stmt, 0));
	iot_local_set_arn(info, "awsIotJobArn", "job", iot_stmt_text(stmt, 0));
	iot_local_set_json(info, "errorInfo", iot_stmt_text(stmt, 4));
	return IOT_OK;
}

IOT_HANDLER(iot_do_list_ota)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	json_t *updates = json_array();
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "otaUpdates", updates);
	status = iot_page_init(&page, request, "nextToken", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT id, ota_update_id, created_at FROM ota_updates WHERE (?1 = 0 OR id < ?1)"
				      " AND (?3 IS NULL OR status = ?3) ORDER BY id DESC LIMIT ?2",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iis", page.after_id, page.limit + 1,
				       iot_json_str(request, "otaUpdateStatus", NULL));
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *update = json_object();

		iot_json_set_str(update, "otaUpdateId", iot_stmt_text(stmt, 1));
		iot_local_set_arn(update, "otaUpdateArn", "otaupdate", iot_stmt_text(stmt, 1));
		iot_local_set_time(update, "creationDate", iot_stmt_int(stmt, 2));
		json_array_append_new(updates, update);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

IOT_HANDLER(iot_do_delete_ota)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_free_p) char *stream = NULL;
	const char *id = iot_json_str(request, "otaUpdateId", ""), *job_status;
	bool force = iot_json_bool(request, "forceDeleteAWSJob", false), running;
	int64_t job;
	enum iot_status status;

	(void)in, (void)out, (void)ret_reply;
	status = find(local, id, &stmt, err);
	if (status != IOT_OK)
		return status;
	stream = iot_strdup(iot_stmt_text(stmt, 1));
	job_status = iot_stmt_text(stmt, 7);
	/* A failed creation's job id may be that of a job it has nothing to do with. */
	job = strcmp(iot_stmt_text(stmt, 2), "CREATE_FAILED") != 0 ? iot_stmt_int(stmt, 8) : 0;
	running = job != 0 && job_status != NULL && strcmp(job_status, "COMPLETED") != 0 &&
		  strcmp(job_status, "CANCELED") != 0;
	iot_stmt_done(iot_take(stmt));
	if (running && !force) {
		status = iot_local_invalid(err, "the job of OTA update '%s' has not ended", id);
		iot_error_hint(err, "cancel it first, or use 'forceDeleteAWSJob'");
		return status;
	}
	status = iot_store_run(local->store, NULL, err, "DELETE FROM ota_updates WHERE ota_update_id = ?", "s", id);
	if (status == IOT_OK && force && job != 0)
		status = iot_job_delete(local, job, err);
	if (status == IOT_OK && iot_json_bool(request, "deleteStream", false) && stream != NULL) {
		status = iot_stream_delete(local, stream, err);
		if (status == IOT_NOT_FOUND) {
			iot_error_clear(err);
			status = IOT_OK;
		}
	}
	return status;
}
