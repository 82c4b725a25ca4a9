/*
 * Bringing an image to a bucket: whole, or in parts when it is large, so that a
 * broken connection costs one part (Amazon S3 user guide, multipart upload).
 */
#include "fleet/fleet_private.h"

#include "iotctl/aws.h"
#include "iotctl/base.h"

#include <string.h>

#define PART_SIZE ((size_t)8 * 1024 * 1024)

struct upload {
	struct iot_cloud *cloud;
	const char *bucket, *key;
	const char *data;
	size_t len;
	char *id; /* of a multipart upload */
};

static json_t *object_of(const struct upload *upload)
{
	return json_pack("{s:s, s:s}", "Bucket", upload->bucket, "Key", upload->key);
}

static json_t *upload_of(const struct upload *upload)
{
	json_t *request = object_of(upload);

	iot_json_set_str(request, "UploadId", upload->id);
	return request;
}

static enum iot_status send(const struct upload *upload, const char *operation, json_t *request, size_t from,
			    size_t len, json_t **ret, struct iot_error *err)
{
	const struct iot_body body = {.data = upload->data + from, .len = len, .fd = -1};
	enum iot_status status =
		iot_cloud_call(upload->cloud, operation, request, len > 0 ? &body : NULL, ret, NULL, err);

	json_decref(request);
	return status;
}

static enum iot_status send_parts(const struct upload *upload, json_t *parts, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	int number = 1;

	for (size_t at = 0; status == IOT_OK && at < upload->len; at += PART_SIZE, number++) {
		size_t len = upload->len - at < PART_SIZE ? upload->len - at : PART_SIZE;
		json_t *request = upload_of(upload);
		IOT_JSON reply = NULL;

		iot_json_set_int(request, "PartNumber", number);
		status = send(upload, "s3:UploadPart", request, at, len, &reply, err);
		if (status == IOT_OK)
			json_array_append_new(parts, json_pack("{s:i, s:s}", "PartNumber", number, "ETag",
							       iot_json_str(reply, "ETag", "")));
	}
	return status;
}

/* The answer may be lost after all was put together: then the object is there. */
static enum iot_status complete(const struct upload *upload, json_t *parts, json_t **ret, struct iot_error *err)
{
	json_t *request = upload_of(upload);
	struct iot_error ignored = IOT_ERROR_INIT;
	enum iot_status status;

	json_object_set_new(request, "MultipartUpload", json_pack("{s:O}", "Parts", parts));
	status = send(upload, "s3:CompleteMultipartUpload", request, 0, 0, ret, err);
	if (status == IOT_OK || err == NULL || strcmp(err->code, IOT_AWS_UNCERTAIN) != 0)
		return status;
	if (send(upload, "s3:HeadObject", object_of(upload), 0, 0, ret, &ignored) != IOT_OK ||
	    iot_json_int(*ret, "ContentLength", -1) != (int64_t)upload->len)
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status send_in_parts(struct upload *upload, json_t **ret, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON begun = NULL;
	IOT_JSON parts = json_array();
	enum iot_status status = send(upload, "s3:CreateMultipartUpload", object_of(upload), 0, 0, &begun, err);

	if (status != IOT_OK)
		return status;
	upload->id = iot_strdup(iot_json_str(begun, "UploadId", NULL));
	if (upload->id == NULL)
		return iot_fail(err, IOT_FAILURE, "bucket '%s' began no upload", upload->bucket);
	status = send_parts(upload, parts, err);
	if (status == IOT_OK)
		status = complete(upload, parts, ret, err);
	/* Parts that nobody asks for again would be paid for. */
	if (status != IOT_OK)
		(void)!send(upload, "s3:AbortMultipartUpload", upload_of(upload), 0, 0, NULL, &ignored);
	return status;
}

enum iot_status fleet_upload(struct iot_cloud *cloud, const char *bucket, const char *key, const void *data, size_t len,
			     char **ret_version, struct iot_error *err)
{
	struct upload upload = {cloud, bucket, key, data, len, NULL};
	struct iot_error scratch = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	if (len <= PART_SIZE)
		status = send(&upload, "s3:PutObject", object_of(&upload), 0, len, &reply, err);
	else
		status = send_in_parts(&upload, &reply, err);
	free(upload.id);
	if (status == IOT_OK) {
		const char *version = iot_json_str(reply, "VersionId", NULL);

		/* What S3 says where a bucket keeps no versions. */
		*ret_version = iot_strdup(version != NULL && strcmp(version, "null") != 0 ? version : NULL);
	}
	iot_error_while(err, "storing the image in bucket '%s'", bucket);
	return status;
}
