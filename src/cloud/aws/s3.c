/*
 * What S3 does otherwise than the services of AWS IoT: keys with slashes, flags
 * in the query, XML, and replies that are headers (Amazon S3 API reference).
 */
#include "cloud/aws/aws_private.h"

bool aws_is_s3(const struct iot_operation *op)
{
	return strcmp(op->service, "s3") == 0;
}

void aws_s3_key(const char *key, struct iot_buf *path)
{
	for (;;) {
		size_t len = strcspn(key, "/");

		iot_percent_encode(key, len, path);
		key += len;
		if (*key == '\0')
			return;
		iot_buf_addc(path, *key++);
	}
}

/* Numbers and what S3 itself made: an ETag has quotes, and nothing else that XML would mind. */
void aws_s3_body(const json_t *members, struct iot_buf *body)
{
	const json_t *part;
	size_t i;

	iot_buf_adds(body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	json_array_foreach(json_object_get(json_object_get(members, "MultipartUpload"), "Parts"), i, part) {
		iot_buf_addf(body, "<Part><PartNumber>%lld</PartNumber><ETag>",
			     (long long)iot_json_int(part, "PartNumber", 0));
		for (const char *c = iot_json_str(part, "ETag", ""); *c != '\0'; c++) {
			if (*c == '"')
				iot_buf_adds(body, "&quot;");
			else if (strchr("<>&", *c) == NULL)
				iot_buf_addc(body, *c);
		}
		iot_buf_adds(body, "</ETag></Part>");
	}
	iot_buf_adds(body, "</CompleteMultipartUpload>");
}

/* CompleteMultipartUpload may answer 200 and say in the body that it failed. */
static enum iot_status check_body(const struct iot_operation *op, const char *xml, struct iot_error *err)
{
	char code[64] = "", message[300] = "";

	if (strstr(xml, "<Error>") == NULL || strcmp(op->name, "GetObject") == 0)
		return IOT_OK;
	(void)!aws_xml_text(xml, "Code", code, sizeof(code));
	(void)!aws_xml_text(xml, "Message", message, sizeof(message));
	iot_fail(err, IOT_FAILURE, "%s (%s)", message[0] != '\0' ? message : "it failed", code);
	iot_error_set_code(err, code);
	return IOT_FAILURE;
}

enum iot_status aws_s3_value(const struct iot_operation *op, const struct iot_http_reply *reply, json_t **ret,
			     struct iot_buf *out, struct iot_error *err)
{
	static const char *const headers[][2] = {
		{"ETag", "etag"}, {"VersionId", "x-amz-version-id"}, {"LastModified", "last-modified"}};
	static const char *const elements[] = {"Bucket", "Key", "UploadId", "ETag", "Status"};
	const char *xml = iot_buf_str(&reply->body);
	bool bytes = strcmp(op->name, "GetObject") == 0;
	char text[1100];
	int64_t length;
	enum iot_status status = check_body(op, xml, err);

	if (status != IOT_OK)
		return status;
	*ret = json_object();
	for (size_t i = 0; i < IOT_LENGTH(headers); i++) {
		if (iot_http_reply_header(reply, headers[i][1], text, sizeof(text)))
			iot_json_set_str(*ret, headers[i][0], text);
	}
	if (iot_starts_with(op->method, "HEAD") && iot_http_reply_header(reply, "content-length", text, sizeof(text)) &&
	    iot_parse_int(text, 0, INT64_MAX, &length, NULL) == IOT_OK)
		iot_json_set_int(*ret, "ContentLength", length);
	for (size_t i = 0; !bytes && i < IOT_LENGTH(elements); i++) {
		if (aws_xml_text(xml, elements[i], text, sizeof(text)))
			iot_json_set_str(*ret, elements[i], text);
	}
	if (bytes && out != NULL) {
		iot_buf_add(out, reply->body.data, reply->body.len);
		status = iot_buf_check(out, "the object", err);
	}
	return status;
}
