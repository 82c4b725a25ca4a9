/*
 * The little XML that S3 speaks in what we do of it: escaping text, and reading
 *
 *   <CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"..."</ETag></Part>...
 *
 * No attributes but xmlns, no CDATA, comments or document types: a document that
 * has them is refused, so nothing in it can mean something else elsewhere.
 */
#include "broker/api/xml.h"

#include "iotctl/base.h"
#include "iotctl/cloud.h"
#include "iotctl/text.h"

#include <string.h>

enum { NAME_SIZE = 40, TEXT_SIZE = 200, PARTS_MAX = 10000 };

static const struct {
	const char *escape;
	char c;
} escapes[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&#34;", '"'}};

void xml_text(struct iot_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		const char *escape = NULL;

		for (size_t i = 0; i < IOT_LENGTH(escapes) && escape == NULL; i++)
			if (escapes[i].c == *text)
				escape = escapes[i].escape;
		if (escape != NULL)
			iot_buf_adds(out, escape);
		else
			iot_buf_addc(out, *text);
	}
}

/* "<NAME>" (with ` xmlns="..."`), after blanks. False: something else. */
static bool open_tag(const char **at, char name[NAME_SIZE])
{
	const char *p = *at + strspn(*at, " \t\r\n");
	size_t len;

	if (*p++ != '<')
		return false;
	len = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
	if (len == 0 || len >= NAME_SIZE)
		return false;
	memcpy(name, p, len);
	name[len] = '\0';
	p += len;
	if (iot_starts_with(p, " xmlns=\"")) {
		p += strlen(" xmlns=\"");
		p += strcspn(p, "\"<>");
		if (*p++ != '"')
			return false;
	}
	if (*p != '>')
		return false;
	*at = p + 1;
	return true;
}

static bool close_tag(const char **at, const char *name)
{
	const char *p = *at + strspn(*at, " \t\r\n");
	size_t len = strlen(name);

	if (strncmp(p, "</", 2) != 0 || strncmp(p + 2, name, len) != 0 || p[2 + len] != '>')
		return false;
	*at = p + len + 3;
	return true;
}

static bool take_text(const char **at, char out[TEXT_SIZE])
{
	size_t used = 0;

	while (**at != '<') {
		char c = **at;
		size_t len = 1;

		if (c == '&') {
			len = 0;
			for (size_t i = 0; i < IOT_LENGTH(escapes) && len == 0; i++) {
				if (iot_starts_with(*at, escapes[i].escape)) {
					c = escapes[i].c;
					len = strlen(escapes[i].escape);
				}
			}
		}
		if (len == 0 || c == '\0' || used + 1 >= TEXT_SIZE)
			return false;
		out[used++] = c;
		*at += len;
	}
	out[used] = '\0';
	return true;
}

static bool take_part(const char **at, json_t *parts)
{
	json_t *part = json_object();
	char name[NAME_SIZE], text[TEXT_SIZE];
	int64_t number;

	json_array_append_new(parts, part);
	while (!close_tag(at, "Part")) {
		if (!open_tag(at, name) || !take_text(at, text) || !close_tag(at, name) ||
		    json_object_get(part, name) != NULL || !iot_utf8_valid(text, strlen(text)))
			return false;
		if (strcmp(name, "PartNumber") == 0) {
			if (iot_parse_int(text, 1, PARTS_MAX, &number, NULL) != IOT_OK)
				return false;
			iot_json_set_int(part, name, number);
		} else if (strcmp(name, "ETag") == 0) {
			iot_json_set_str(part, name, text);
		}
	}
	return json_object_size(part) == 2;
}

static bool read_document(const char *at, json_t *parts)
{
	char name[NAME_SIZE];

	if (iot_starts_with(at, "<?xml ")) {
		at = strstr(at, "?>");
		if (at == NULL)
			return false;
		at += 2;
	}
	if (!open_tag(&at, name) || strcmp(name, "CompleteMultipartUpload") != 0)
		return false;
	while (!close_tag(&at, name)) {
		char inner[NAME_SIZE];

		if (!open_tag(&at, inner) || strcmp(inner, "Part") != 0 || json_array_size(parts) == PARTS_MAX ||
		    !take_part(&at, parts))
			return false;
	}
	return at[strspn(at, " \t\r\n")] == '\0';
}

enum iot_status xml_parts(const char *text, size_t len, json_t **ret, struct iot_error *err)
{
	IOT_JSON parts = json_array();

	if (strlen(text) != len || !read_document(text, parts))
		return iot_cloud_fail(err, "InvalidRequestException",
				      "the body is not a CompleteMultipartUpload in XML");
	*ret = iot_take(parts);
	return IOT_OK;
}
