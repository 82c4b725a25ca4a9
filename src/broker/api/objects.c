/*
 * S3's operations as far as an image needs them: bodies that go to and come from
 * the disk, ranges (RFC 9110 section 14, one range), and XML.
 */
#include "broker/api/api.h"

#include "broker/api/xml.h"
#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CHUNKED "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
#define IMAGE_MAX (INT64_C(24) * 1024 * 1024)

static const char *member(const struct api_exchange *x, const char *name)
{
	return iot_json_str(x->request, name, NULL);
}

static bool is(const struct api_exchange *x, const char *operation)
{
	return strcmp(x->op->name, operation) == 0;
}

static void take_piece(void *data, const void *bytes, size_t len)
{
	struct api_exchange *x = data;

	iot_image_writer_add(x->writer, bytes, len);
}

/* --- writing ------------------------------------------------------------------------------ */

enum iot_status api_object_begin(struct api_exchange *x, int64_t length, struct iot_error *err)
{
	const char *payload = api_header(&x->http, "x-amz-content-sha256");
	enum iot_status status = iot_local_bucket_check(x->core->cloud, member(x, "Bucket"), err);

	if (status != IOT_OK)
		return status;
	if (length > IMAGE_MAX + IMAGE_MAX / 16) /* with what chunks need */
		return iot_cloud_fail(err, "RequestEntityTooLargeException", "an image has at most %lld bytes",
				      (long long)IMAGE_MAX);
	if (strcmp(payload, CHUNKED) == 0) {
		x->chunked = iot_alloc(sizeof(*x->chunked));
		chunked_init(x->chunked, take_piece, x);
	} else if (strcmp(payload, IOT_SIGV4_UNSIGNED) != 0 && strlen(payload) != 64) {
		status = iot_cloud_fail(err, "NotImplementedException",
					"a body signed or encoded as '%.60s' is not read here", payload);
		iot_error_hint(err, "send it whole, with its SHA-256: AWS_REQUEST_CHECKSUM_CALCULATION=when_required");
		return status;
	}
	return iot_image_writer_new(x->core->cloud, &x->writer, err);
}

/* What was sent is what was signed? */
static enum iot_status check_digest(struct api_exchange *x, struct iot_error *err)
{
	const char *said = api_header(&x->http, "x-amz-content-sha256");
	const char *checksum = api_header(&x->http, "x-amz-checksum-sha256");
	const char *digest = iot_image_writer_sha256(x->writer);
	struct iot_buf base64 = IOT_BUF_INIT(64);
	uint8_t raw[IOT_SHA256_SIZE];
	bool good = x->chunked != NULL ? chunked_is_good(x->chunked)
				       : strcmp(said, IOT_SIGV4_UNSIGNED) == 0 || strcasecmp(said, digest) == 0;

	if (good && checksum != NULL && iot_unhex(digest, raw, sizeof(raw))) {
		iot_base64(raw, sizeof(raw), &base64);
		good = strcmp(iot_buf_str(&base64), checksum) == 0;
	}
	iot_buf_release(&base64);
	return good ? IOT_OK
		    : iot_cloud_fail(err, "BadDigest", "the bytes that came are not those that were announced");
}

static void set_version(struct api_exchange *x, const char *sha256, bool versioned)
{
	x->answer.status = 200;
	api_answer_header(&x->answer, "ETag", iot_strf("\"%s\"", sha256));
	if (versioned)
		api_answer_header(&x->answer, "x-amz-version-id", iot_strdup(sha256));
}

static enum iot_status store(struct api_exchange *x, struct iot_error *err)
{
	char sha256[65];
	int64_t size = 0;
	enum iot_status status = check_digest(x, err);

	if (status == IOT_OK && is(x, "UploadPart")) {
		status = iot_local_upload_part(x->core->cloud, x->request, x->writer, err);
		if (status == IOT_OK)
			set_version(x, iot_image_writer_sha256(x->writer), false);
		return status;
	}
	if (status == IOT_OK)
		status = iot_image_writer_end(x->writer, sha256, &size, err);
	if (status == IOT_OK)
		status = iot_local_object_put(x->core->cloud, member(x, "Bucket"), member(x, "Key"), sha256, size, err);
	if (status == IOT_OK)
		set_version(x, sha256, true);
	return status;
}

/* --- reading --------------------------------------------------------------------------------- */

/* "bytes=FROM-TO", "bytes=FROM-", "bytes=-LAST". What is no such range is ignored, as the RFC wants it. */
static bool read_range(const char *text, int64_t size, int64_t *ret_from, int64_t *ret_length)
{
	int64_t from = 0, to = size - 1;
	const char *dash;
	char number[24];

	if (text == NULL || !iot_starts_with(text, "bytes=") || strchr(text, ',') != NULL)
		return false;
	text += strlen("bytes=");
	dash = strchr(text, '-');
	if (dash == NULL || dash - text >= (int)sizeof(number) || strlen(dash + 1) >= sizeof(number))
		return false;
	snprintf(number, sizeof(number), "%.*s", (int)(dash - text), text);
	if (dash == text) {
		if (iot_parse_int(dash + 1, 0, INT64_MAX, &to, NULL) != IOT_OK)
			return false;
		from = to < size ? size - to : 0;
		to = to > 0 ? size - 1 : -1;
	} else if (iot_parse_int(number, 0, INT64_MAX, &from, NULL) != IOT_OK ||
		   (dash[1] != '\0' && (iot_parse_int(dash + 1, 0, INT64_MAX, &to, NULL) != IOT_OK || to < from))) {
		return false;
	}
	if (to >= size)
		to = size - 1;
	*ret_from = from;
	*ret_length = to - from + 1;
	return true;
}

static enum iot_status read_image(struct api_exchange *x, struct iot_error *err)
{
	struct iot_object object = {.fd = -1};
	int64_t from = 0, length;
	time_t changed;
	struct tm tm;
	char date[40];
	bool part;
	enum iot_status status = iot_local_object_open(x->core->cloud, member(x, "Bucket"), member(x, "Key"),
						       member(x, "VersionId"), &object, err);

	if (status != IOT_OK)
		return status;
	x->answer.fd = object.fd;
	length = object.size;
	part = read_range(member(x, "Range"), object.size, &from, &length);
	if (part && length <= 0) {
		iot_close_p(&x->answer.fd);
		api_answer_header(&x->answer, "Content-Range", iot_strf("bytes */%" PRId64, object.size));
		return iot_cloud_fail(err, "InvalidRange", "the range is behind the image's end");
	}
	set_version(x, object.sha256, true);
	x->answer.status = part ? 206 : 200;
	x->answer.offset = from;
	x->answer.length = length;
	changed = (time_t)(object.changed_at / 1000);
	if (gmtime_r(&changed, &tm) != NULL && strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
		api_answer_header(&x->answer, "Last-Modified", iot_strdup(date));
	api_answer_header(&x->answer, "Accept-Ranges", iot_strdup("bytes"));
	api_answer_header(&x->answer, "Content-Type", iot_strdup("application/octet-stream"));
	if (part)
		api_answer_header(
			&x->answer, "Content-Range",
			iot_strf("bytes %" PRId64 "-%" PRId64 "/%" PRId64, from, from + length - 1, object.size));
	return IOT_OK;
}

/* --- XML -------------------------------------------------------------------------------------- */

static void element(struct iot_buf *out, const json_t *reply, const char *name)
{
	const char *text = iot_json_str(reply, name, NULL);

	if (text == NULL)
		return;
	iot_buf_addf(out, "<%s>", name);
	xml_text(out, text);
	iot_buf_addf(out, "</%s>", name);
}

static void answer_xml(struct api_exchange *x, const char *root, const json_t *reply)
{
	struct iot_buf *out = &x->answer.body;

	x->answer.status = 200;
	iot_buf_addf(
		out,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
		root);
	element(out, reply, "Status");
	element(out, reply, "Bucket");
	element(out, reply, "Key");
	element(out, reply, "UploadId");
	element(out, reply, "ETag");
	iot_buf_addf(out, "</%s>", root);
	api_answer_header(&x->answer, "Content-Type", iot_strdup("application/xml"));
}

static enum iot_status call(struct api_exchange *x, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strf("s3:%s", x->op->name);
	IOT_JSON reply = NULL;
	enum iot_status status = IOT_OK;

	if (is(x, "CompleteMultipartUpload")) {
		json_t *parts = NULL;

		status = xml_parts(iot_buf_str(&x->body), x->body.len, &parts, err);
		if (status == IOT_OK)
			json_object_set_new(x->request, "MultipartUpload", json_pack("{s:o}", "Parts", parts));
	} else if (x->body.len > 0) {
		return iot_cloud_fail(err, "InvalidRequestException", "%s has no body", x->op->name);
	}
	if (status == IOT_OK)
		status = iot_cloud_call(x->core->cloud, name, x->request, NULL, &reply, NULL, err);
	if (status != IOT_OK)
		return status;
	if (is(x, "AbortMultipartUpload")) {
		x->answer.status = 204;
		return IOT_OK;
	}
	if (iot_json_str(reply, "VersionId", NULL) != NULL)
		api_answer_header(&x->answer, "x-amz-version-id", iot_strdup(iot_json_str(reply, "VersionId", "")));
	answer_xml(x,
		   is(x, "CreateMultipartUpload") ? "InitiateMultipartUploadResult"
		   : is(x, "GetBucketVersioning") ? "VersioningConfiguration"
						  : "CompleteMultipartUploadResult",
		   reply);
	return IOT_OK;
}

enum api_next api_object(struct api_exchange *x)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	if (x->writer != NULL) {
		status = store(x, &err);
	} else if (is(x, "GetObject") || is(x, "HeadObject")) {
		status = iot_operation_check(x->op, x->request, &err);
		if (status == IOT_OK)
			status = read_image(x, &err);
	} else {
		status = call(x, &err);
	}
	return status == IOT_OK ? API_ANSWER : api_refuse(x, &err);
}
