/*
 * What a push makes once all is checked: the image in its bucket, and a stream
 * and a job, or (by the OTA service) both in one. On the fleet's own machine
 * stream and job are made together; elsewhere each by itself, and a stream whose
 * job could not be made is removed again. A name that is taken already by the
 * very same update is what an attempt whose answer was lost has left.
 *
 * The job document is the one FreeRTOS OTA agents parse (member afr_ota). Its
 * second member, iotctl, is ours: version, digest and signing key, so that
 * lists and devices' reports can be compared later. Agents skip it.
 */
#include "fleet/push_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <poll.h>
#include <string.h>

#define FILE_MAX 24000000                                /* AWS: a file of a stream, 24 MB */
#define ROLE_ARN "arn:aws:iam::000000000000:role/iotctl" /* required by the API, without meaning on the local cloud */
#define OBJECT_PREFIX "iotctl/"                          /* of images in a bucket that holds other things too */

enum { CREATE_MS = 120000, CREATE_STEP_MS = 1000 }; /* the OTA service has this long */

static bool at_aws(const struct push *push)
{
	return !fleet_is_local(push->cloud) && !fleet_is_remote(push->cloud);
}

static const char *bucket_of(const struct push *push)
{
	return at_aws(push) ? push->spec->bucket : "local";
}

static const char *role_of(const struct push *push)
{
	return push->spec->role_arn != NULL ? push->spec->role_arn : ROLE_ARN;
}

enum iot_status push_check_cloud(const struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;

	if (spec->via_ota_update && (spec->unsigned_image || spec->retries > 0 || spec->start != NULL)) {
		iot_fail(err, IOT_USAGE, "the OTA service takes no unsigned image, no retries and no schedule");
		iot_error_hint(err, "leave --via out: a stream and a job can do that");
		return IOT_USAGE;
	}
	if (!at_aws(push) || (spec->bucket != NULL && spec->role_arn != NULL))
		return IOT_OK;
	if (spec->bucket == NULL) {
		iot_fail(err, IOT_USAGE, "an update at AWS needs a bucket for its image");
		iot_error_hint(err, "name it with --bucket or the setting aws-bucket; it must be in the same region");
	} else {
		iot_fail(err, IOT_USAGE, "an update at AWS needs a role with which AWS IoT reads the image");
		iot_error_hint(err,
			       "name it with --role-arn or the setting aws-role-arn; it must trust iot.amazonaws.com "
			       "and may s3:GetObject and s3:GetObjectVersion");
	}
	return IOT_USAGE;
}

/* --- the image --------------------------------------------------------------------------- */

static enum iot_status changed_meanwhile(const struct push *push, struct iot_error *err)
{
	return iot_fail(err, IOT_CONFLICT, "image '%s' changed while it was being pushed", push->spec->image);
}

/* From memory: what is sent is what was hashed, whatever becomes of the file. */
static enum iot_status upload(struct push *push, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf read = IOT_BUF_INIT(FILE_MAX);
	const struct iot_buf *image = push->spec->content != NULL ? push->spec->content : &read;
	char sha256[IOT_SHA256_HEX_SIZE];
	enum iot_status status = image == &read ? iot_fs_read(push->spec->image, &read, err) : IOT_OK;

	if (status == IOT_OK) {
		iot_sha256_hex(image->data, image->len, sha256);
		status = strcmp(sha256, push->info.sha256) == 0 ? IOT_OK : changed_meanwhile(push, err);
	}
	if (status == IOT_OK)
		status = fleet_upload(push->cloud, bucket_of(push), push->object_key, image->data, image->len,
				      &push->object_version, err);
	return status;
}

static enum iot_status keep_here(struct push *push, char sha256[65], int64_t *size, struct iot_error *err)
{
	const struct iot_buf *content = push->spec->content;
	IOT_CLEAN(iot_image_writer_free_p) struct iot_image_writer *writer = NULL;
	enum iot_status status;

	if (content == NULL)
		return iot_local_image_add(push->cloud, push->spec->image, sha256, size, err);
	status = iot_image_writer_new(push->cloud, &writer, err);
	if (status != IOT_OK)
		return status;
	iot_image_writer_add(writer, content->data, content->len);
	return iot_image_writer_end(writer, sha256, size, err);
}

static enum iot_status store_image(struct push *push, struct iot_error *err)
{
	char sha256[65];
	int64_t size;
	enum iot_status status;

	push->object_key = iot_strf("%s%s", at_aws(push) ? OBJECT_PREFIX : "", push->info.sha256);
	if (!fleet_is_local(push->cloud))
		return upload(push, err);
	status = keep_here(push, sha256, &size, err);
	if (status == IOT_OK && strcmp(sha256, push->info.sha256) != 0)
		return changed_meanwhile(push, err);
	return status;
}

static json_t *location(const struct push *push)
{
	json_t *location = json_pack("{s:s, s:s}", "bucket", bucket_of(push), "key", push->object_key);

	iot_json_set_str(location, "version", push->object_version);
	return location;
}

/* --- stream and job ------------------------------------------------------------------------- */

static const char *device_path(const struct push *push)
{
	const struct iot_push_spec *spec = push->spec;
	const char *slash = strrchr(spec->image, '/');

	return spec->device_path != NULL ? spec->device_path : slash != NULL ? slash + 1 : spec->image;
}

static const char *certificate_path(const struct push *push)
{
	return push->spec->certificate_path != NULL ? push->spec->certificate_path : "codesign.pem";
}

static json_t *job_document(const struct push *push)
{
	json_t *file = json_pack("{s:s, s:I, s:i, s:s}", "filepath", device_path(push), "filesize",
				 (json_int_t)push->info.size, "fileid", 0, "certfile", certificate_path(push));
	json_t *ours = json_pack("{s:s, s:s}", "version", push->version, "sha256", push->info.sha256);

	if (push->file_type != 0)
		json_object_set_new(file, "fileType", json_integer(push->file_type));
	if (push->has_signature) {
		json_object_set_new(file, push->signature.scheme->name, json_string(push->signature.signature));
		if (*push->signature.key_id != '\0')
			json_object_set_new(ours, "keyId", json_string(push->signature.key_id));
	}
	return json_pack("{s:{s:[s], s:s, s:[o]}, s:o}", "afr_ota", "protocols", "MQTT", "streamname", push->name,
			 "files", file, "iotctl", ours);
}

/* Is the stream that has the name ours, from an attempt before? */
static bool same_stream(struct push *push)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	const json_t *file;

	if (fleet_call(push->cloud, "DescribeStream", json_pack("{s:s}", "streamId", push->name), &reply, &ignored) !=
	    IOT_OK)
		return false;
	file = json_array_get(json_object_get(json_object_get(reply, "streamInfo"), "files"), 0);
	return strcmp(iot_json_str(json_object_get(file, "s3Location"), "key", ""), push->object_key) == 0;
}

static bool same_job(struct push *push)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	IOT_JSON document = NULL;
	IOT_JSON job = NULL;
	const char *text;

	if (fleet_call(push->cloud, "GetJobDocument", json_pack("{s:s}", "jobId", push->name), &reply, &ignored) !=
		    IOT_OK ||
	    fleet_call(push->cloud, "DescribeJob", json_pack("{s:s}", "jobId", push->name), &job, &ignored) != IOT_OK)
		return false;
	text = iot_json_str(reply, "document", "");
	if (iot_json_parse(text, strlen(text), "job document", &document, &ignored) != IOT_OK)
		return false;
	return strcmp(iot_json_str(json_object_get(document, "iotctl"), "sha256", ""), push->info.sha256) == 0 &&
	       json_equal(json_object_get(json_object_get(job, "job"), "targets"), push->targets) != 0;
}

/* A name that is taken by the same thing is a success; on the fleet's own machine no answer is ever lost. */
static enum iot_status judge(struct push *push, enum iot_status status, bool (*same)(struct push *push),
			     struct iot_error *err)
{
	if (status == IOT_OK)
		push->changed = true;
	if (status == IOT_OK || fleet_is_local(push->cloud) || !fleet_exists(err) || !same(push))
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status create_stream(struct push *push, struct iot_error *err)
{
	enum iot_status status = fleet_call(push->cloud, "CreateStream",
					    json_pack("{s:s, s:s, s:[{s:i, s:o}], s:s}", "streamId", push->name,
						      "description", push->version, "files", "fileId", 0, "s3Location",
						      location(push), "roleArn", role_of(push)),
					    NULL, err);

	return judge(push, status, same_stream, err);
}

static json_t *abort_config(const struct iot_push_spec *spec)
{
	return json_pack("{s:[{s:s, s:s, s:I, s:I}]}", "criteriaList", "failureType", "ALL", "action", "CANCEL",
			 "thresholdPercentage", (json_int_t)spec->abort_percent, "minNumberOfExecutedThings",
			 (json_int_t)(spec->abort_after > 0 ? spec->abort_after : 1));
}

static json_t *timeout_config(const struct iot_push_spec *spec)
{
	return json_pack("{s:I}", "inProgressTimeoutInMinutes",
			 (json_int_t)(spec->timeout_minutes > 0 ? spec->timeout_minutes : 60));
}

static enum iot_status create_job(struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	IOT_JSON document = job_document(push);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(document);
	json_t *request =
		json_pack("{s:s, s:O, s:s, s:s, s:o}", "jobId", push->name, "targets", push->targets, "document", text,
			  "targetSelection", "SNAPSHOT", "timeoutConfig", timeout_config(spec));

	if (spec->per_minute > 0)
		json_object_set_new(request, "jobExecutionsRolloutConfig",
				    json_pack("{s:I}", "maximumPerMinute", (json_int_t)spec->per_minute));
	if (spec->abort_percent > 0)
		json_object_set_new(request, "abortConfig", abort_config(spec));
	if (spec->retries > 0)
		json_object_set_new(request, "jobExecutionsRetryConfig",
				    json_pack("{s:[{s:s, s:I}]}", "criteriaList", "failureType", "ALL",
					      "numberOfRetries", (json_int_t)spec->retries));
	if (spec->start != NULL)
		json_object_set_new(request, "schedulingConfig", json_pack("{s:s}", "startTime", spec->start));
	return judge(push, fleet_call(push->cloud, "CreateJob", request, NULL, err), same_job, err);
}

static enum iot_status create_both(struct push *push, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status status = fleet_begin(push->cloud, err);
	bool made;

	if (status != IOT_OK)
		return status;
	status = create_stream(push, err);
	made = status == IOT_OK && push->changed;
	if (status == IOT_OK)
		status = create_job(push, err);
	/* What nobody knows the outcome of keeps its stream: the job may be there. */
	if (status != IOT_OK && made && !fleet_is_local(push->cloud) && status != IOT_AGAIN && status != IOT_TIMEOUT &&
	    status != IOT_FAILURE)
		(void)!fleet_call(push->cloud, "DeleteStream", json_pack("{s:s}", "streamId", push->name), NULL,
				  &ignored);
	return fleet_end(push->cloud, status, err);
}

/* --- by the OTA service --------------------------------------------------------------------------- */

/* The service copies the bytes of inlineDocument as text, and devices decode that: base64, and that again in JSON. */
static enum iot_status signing_of(const struct push *push, json_t **ret, struct iot_error *err)
{
	struct iot_buf twice = IOT_BUF_INIT((size_t)2 * IOT_IMAGE_SIGNATURE_MAX);

	if (!push->has_signature)
		return iot_fail(err, IOT_USAGE, "the OTA service takes signed images only");
	iot_base64(push->signature.signature, strlen(push->signature.signature), &twice);
	*ret = json_pack("{s:{s:{s:s}, s:{s:s}, s:s, s:s}}", "customCodeSigning", "signature", "inlineDocument",
			 iot_buf_str(&twice), "certificateChain", "certificateName", certificate_path(push),
			 "hashAlgorithm", push->signature.scheme->aws_hash, "signatureAlgorithm",
			 push->signature.scheme->aws_signature);
	iot_buf_release(&twice);
	return IOT_OK;
}

static enum iot_status ota_request(const struct push *push, json_t **ret, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	json_t *signing = NULL, *file;
	enum iot_status status = signing_of(push, &signing, err);

	if (status != IOT_OK)
		return status;
	file = json_pack("{s:s, s:s, s:{s:o}, s:o}", "fileName", device_path(push), "fileVersion", push->version,
			 "fileLocation", "s3Location", location(push), "codeSigning", signing);
	if (push->file_type != 0)
		json_object_set_new(file, "fileType", json_integer(push->file_type));
	*ret = json_pack("{s:s, s:O, s:[s], s:s, s:[o], s:s, s:o}", "otaUpdateId", push->id, "targets", push->targets,
			 "protocols", "MQTT", "targetSelection", "SNAPSHOT", "files", file, "roleArn", role_of(push),
			 "awsJobTimeoutConfig", timeout_config(spec));
	if (spec->per_minute > 0)
		json_object_set_new(*ret, "awsJobExecutionsRolloutConfig",
				    json_pack("{s:I}", "maximumPerMinute", (json_int_t)spec->per_minute));
	if (spec->abort_percent > 0) {
		json_t *config = abort_config(spec);

		json_object_set_new(*ret, "awsJobAbortConfig",
				    json_pack("{s:O}", "abortCriteriaList", json_object_get(config, "criteriaList")));
		json_decref(config);
	}
	return IOT_OK;
}

/* What the service says went wrong, with what to look at. */
static enum iot_status explain(const struct push *push, const json_t *info, struct iot_error *err)
{
	const json_t *error = json_object_get(info, "errorInfo");
	const char *code = iot_json_str(error, "code", "no code");
	const char *message = iot_json_str(error, "message", "no reason given");

	iot_fail(err, IOT_FAILURE, "the OTA service could not make update '%s': %.300s (%.60s)", push->id, message,
		 code);
	if (strstr(message, "ssume") != NULL || strstr(message, "ole") != NULL)
		iot_error_hint(err, "the role must trust iot.amazonaws.com, and you need iam:PassRole for it");
	else if (strstr(message, "S3") != NULL || strstr(message, "ucket") != NULL)
		iot_error_hint(err, "the bucket must be in this region and keep versions, and the role may read it");
	return IOT_FAILURE;
}

static enum iot_status await(const struct push *push, struct iot_error *err)
{
	int64_t deadline = iot_deadline(CREATE_MS);
	enum iot_status status;

	for (;; poll(NULL, 0, CREATE_STEP_MS)) {
		IOT_JSON reply = NULL;
		const json_t *info;
		const char *state;

		status = fleet_call(push->cloud, "GetOTAUpdate", json_pack("{s:s}", "otaUpdateId", push->id), &reply,
				    err);
		if (status != IOT_OK)
			return status;
		info = json_object_get(reply, "otaUpdateInfo");
		state = iot_json_str(info, "otaUpdateStatus", "");
		if (strcmp(state, "CREATE_COMPLETE") == 0)
			return IOT_OK;
		if (strcmp(state, "CREATE_FAILED") == 0)
			return explain(push, info, err);
		if (iot_left(deadline) == 0) {
			iot_fail(err, IOT_TIMEOUT, "the OTA service has not made update '%s' within %d s: it is %s",
				 push->id, CREATE_MS / 1000, state);
			iot_error_hint(err, "'iotctl api GetOTAUpdate otaUpdateId=%s' tells how it goes on", push->id);
			return IOT_TIMEOUT;
		}
	}
}

static enum iot_status create_ota_update(struct push *push, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	json_t *request = NULL;
	enum iot_status status = ota_request(push, &request, err);

	if (status == IOT_OK)
		status = fleet_call(push->cloud, "CreateOTAUpdate", request, NULL, err);
	if (status != IOT_OK)
		return status;
	push->changed = true;
	status = await(push, err);
	if (status == IOT_FAILURE) /* what is left of it would keep its name, and perhaps a stream */
		(void)!fleet_call(push->cloud, "DeleteOTAUpdate",
				  json_pack("{s:s, s:b, s:b}", "otaUpdateId", push->id, "deleteStream", 1,
					    "forceDeleteAWSJob", 1),
				  NULL, &ignored);
	return status;
}

enum iot_status push_create(struct push *push, struct iot_error *err)
{
	enum iot_status status = store_image(push, err);

	if (status != IOT_OK)
		return status;
	return push->spec->via_ota_update ? create_ota_update(push, err) : create_both(push, err);
}
