/*
 * Requests to the HTTPS API before anybody has signed anything: the first line is
 * METHOD SERVICE TARGET, then headers (NAME:VALUE) up to an empty line, then the
 * body. Whatever comes, what is taken for an operation has that method and only
 * members that this operation has, of the types that the table names; a body is
 * read the same whole and in pieces.
 */
#include "broker/api/api.h"
#include "broker/api/xml.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct iot_member *member_of(const struct iot_operation *op, const char *name)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++)
		if (strcmp(member->name, name) == 0)
			return member;
	return NULL;
}

/* NULs and ".." never come out of a path. */
static void check_member(const struct iot_operation *op, const char *name, const json_t *value)
{
	const struct iot_member *member = member_of(op, name);
	const char *text = json_string_value(value);

	if (member == NULL || member->where == IOT_AS_PAYLOAD)
		abort();
	if (member->where == IOT_IN_BODY)
		return;
	if (text != NULL && (strlen(text) != json_string_length(value) || !iot_utf8_valid(text, strlen(text))))
		abort();
	if (member->where == IOT_IN_PATH && text != NULL &&
	    (*text == '\0' || strcmp(text, "..") == 0 || strcmp(text, ".") == 0))
		abort();
	if ((member->type == IOT_T_INTEGER) != json_is_integer(value) ||
	    (member->type == IOT_T_BOOLEAN) != json_is_boolean(value))
		abort();
}

static void check_request(const struct iot_operation *op, const json_t *request, const char *method)
{
	const char *name;
	json_t *value;

	if (strcmp(op->method, method) != 0)
		abort();
	json_object_foreach((json_t *)(uintptr_t)request, name, value)
		check_member(op, name, value);
	(void)!iot_operation_check(op, request, NULL);
}

static void take(void *data, const void *bytes, size_t len)
{
	iot_buf_add(data, bytes, len);
}

static void check_chunks(const char *body, size_t len)
{
	struct iot_buf one = IOT_BUF_INIT(1 << 20), other = IOT_BUF_INIT(1 << 20);
	struct chunked whole, pieces;

	chunked_init(&whole, take, &one);
	chunked_init(&pieces, take, &other);
	chunked_add(&whole, body, len);
	for (size_t i = 0; i < len; i++)
		chunked_add(&pieces, body + i, 1);
	if (chunked_is_good(&whole) != chunked_is_good(&pieces) || one.len != other.len || one.len > len ||
	    (one.len > 0 && memcmp(one.data, other.data, one.len) != 0))
		abort();
	iot_buf_release(&one);
	iot_buf_release(&other);
}

static void check_body(const struct iot_operation *op, json_t *request, const char *method, char *body, size_t len)
{
	json_t *parts = NULL;

	if (op != NULL && api_body(op, body, len, request, NULL) == IOT_OK)
		check_request(op, request, method);
	check_chunks(body, len);
	if (xml_parts(body, len, &parts, NULL) == IOT_OK && !json_is_array(parts))
		abort();
	json_decref(parts);
}

/* Cut the next line off. */
static char *line(char **at)
{
	char *start = *at, *end = strchr(start, '\n');

	*at = end != NULL ? end + 1 : start + strlen(start);
	if (end != NULL)
		*end = '\0';
	return start;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = iot_strndup((const char *)data, size), *at = text, *first = line(&at);
	char *method = strsep(&first, " "), *service = strsep(&first, " ");
	struct api_http http = {.method = method, .query = ""};
	const struct iot_operation *op = NULL;
	struct api_query query = {0};
	struct iot_sigv4_claim claim;
	json_t *request = NULL;

	if (first != NULL && service != NULL) {
		http.path = strsep(&first, "?");
		http.query = first != NULL ? first : "";
		while (*at != '\0' && *at != '\n' && http.header_count < API_HEADERS_MAX) {
			char *value = line(&at), *name = strsep(&value, ":");

			http.headers[http.header_count++] = (struct api_pair){name, value != NULL ? value : ""};
		}
		if (*at == '\n')
			at++;
		if (iot_sigv4_query_is_signed(http.query))
			(void)!iot_sigv4_parse_query(http.query, &claim, NULL);
		if (api_query_parse(http.query, &query, NULL) == IOT_OK &&
		    api_route(&http, &query, service, &op, &request, NULL) == IOT_OK)
			check_request(op, request, method);
		check_body(op, request, method, at, strlen(at));
	}
	json_decref(request);
	api_query_release(&query);
	free(text);
	return 0;
}
