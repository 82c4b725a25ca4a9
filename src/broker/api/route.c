/*
 * The operations table read backwards: method and path become an operation, and
 * path, query, headers and body its request.
 *
 * A path is compared segment by segment, each decoded by itself, so that an
 * encoded slash stays inside its segment. Segments that are empty, "." or ".."
 * after decoding, and bytes that must be encoded but are not, are no path of any
 * operation: nothing is ever normalized.
 */
#include "broker/api/api.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SEGMENTS_MAX 16

/* --- the pieces of a request -------------------------------------------------------------- */

const char *api_header(const struct api_http *http, const char *name)
{
	const char *found = NULL;

	for (size_t i = 0; i < http->header_count; i++) {
		if (strcasecmp(http->headers[i].name, name) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = http->headers[i].value;
	}
	return found;
}

static enum iot_status bad_query(struct iot_error *err)
{
	return iot_cloud_fail(err, "InvalidRequestException", "the query of the request is malformed");
}

/* Decode text of the query to the end of `to` and put a NUL behind it; false if it is malformed. */
static bool decode_into(const char *text, size_t len, struct iot_buf *to)
{
	size_t start = to->len;

	if (!iot_percent_decode(text, len, to) || !iot_utf8_valid(to->data + start, to->len - start))
		return false;
	iot_buf_addc(to, '\0');
	return !to->over;
}

enum iot_status api_query_parse(const char *query, struct api_query *ret, struct iot_error *err)
{
	struct iot_buf memory = IOT_BUF_INIT(2 * API_TARGET_MAX);
	size_t starts[API_PARAMETERS_MAX][2] = {{0}};

	*ret = (struct api_query){0};
	while (*query != '\0') {
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name = equals != NULL ? (size_t)(equals - query) : len;
		size_t value = equals != NULL ? name + 1 : len;
		bool fine = name > 0 && ret->count < API_PARAMETERS_MAX;

		if (fine) {
			starts[ret->count][0] = memory.len;
			fine = decode_into(query, name, &memory);
			starts[ret->count][1] = memory.len;
			fine = fine && decode_into(query + value, len - value, &memory);
		}
		if (!fine) {
			iot_buf_release(&memory);
			return bad_query(err);
		}
		ret->count++;
		query += len + (query[len] == '&');
	}
	ret->memory = iot_buf_detach(&memory);
	for (size_t i = 0; i < ret->count; i++)
		ret->pairs[i] = (struct api_pair){ret->memory + starts[i][0], ret->memory + starts[i][1]};
	return IOT_OK;
}

void api_query_release(struct api_query *query)
{
	free(query->memory);
	*query = (struct api_query){0};
}

const char *api_query_find(const struct api_query *query, const char *name)
{
	for (size_t i = 0; i < query->count; i++)
		if (strcmp(query->pairs[i].name, name) == 0)
			return query->pairs[i].value;
	return NULL;
}

/* --- paths -------------------------------------------------------------------------------- */

struct segments {
	const char *at[SEGMENTS_MAX]; /* decoded */
	size_t count;
	char *memory;
};

static void segments_release(struct segments *segments)
{
	free(segments->memory);
}

static bool is_tricky(const char *segment)
{
	return *segment == '\0' || strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0;
}

/* False: no path that an operation could have. */
static bool split(const char *path, struct segments *ret)
{
	struct iot_buf memory = IOT_BUF_INIT(API_TARGET_MAX + SEGMENTS_MAX);
	size_t starts[SEGMENTS_MAX] = {0};
	bool fine = *path == '/';

	for (const char *at = path; fine && *at != '\0';) {
		size_t len = strcspn(++at, "/");

		fine = ret->count < SEGMENTS_MAX;
		for (size_t i = 0; fine && i < len; i++)
			fine = at[i] > ' ' && at[i] < 0x7f && strchr("\"<>\\^`{|}?#", at[i]) == NULL;
		if (fine) {
			starts[ret->count] = memory.len;
			fine = decode_into(at, len, &memory) && !is_tricky(memory.data + starts[ret->count]);
		}
		ret->count++;
		at += len;
	}
	ret->memory = iot_buf_detach(&memory);
	for (size_t i = 0; fine && i < ret->count; i++)
		ret->at[i] = ret->memory + starts[i];
	return fine;
}

/*
 * Compare with a template ("/things/{thingName}/jobs/$next", "/{Bucket}/{Key+}"). Returns 0 for no match, else more
 * the more of it is literal.
 */
static unsigned match_path(const char *uri, const struct segments *segments)
{
	unsigned score = 1;
	size_t i = 0;

	for (; *uri == '/'; i++) {
		size_t len = strcspn(++uri, "/?");

		if (i == segments->count)
			return 0;
		if (*uri == '{' && uri[len - 2] == '+')
			return score;
		if (*uri != '{') {
			if (strlen(segments->at[i]) != len || memcmp(segments->at[i], uri, len) != 0)
				return 0;
			score += 100;
		}
		uri += len;
	}
	return i == segments->count ? score : 0;
}

/*
 * Rows of S3 share method and path: one counts if its flag and its required parameters are there. Returns 0 for no
 * match, else more the more of them it has.
 */
static unsigned match_query(const struct iot_operation *op, const struct api_query *query)
{
	const char *flag = strchr(op->uri, '?');
	unsigned score = 1;

	if (strcmp(op->service, "s3") != 0)
		return 1;
	if (flag != NULL) {
		if (api_query_find(query, flag + 1) == NULL)
			return 0;
		score++;
	}
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		if (member->where != IOT_IN_QUERY || !member->required)
			continue;
		if (api_query_find(query, member->wire != NULL ? member->wire : member->name) == NULL)
			return 0;
		score++;
	}
	return score;
}

static const struct iot_operation *find(const struct api_http *http, const struct api_query *query, const char *service,
					const struct segments *segments, bool *ret_other_method)
{
	const struct iot_operation *best = NULL;
	unsigned best_score = 0;

	for (size_t i = 0; i < iot_operation_count; i++) {
		const struct iot_operation *op = &iot_operations[i];
		unsigned path = strcmp(op->service, service) == 0 ? match_path(op->uri, segments) : 0;
		unsigned more = path > 0 ? match_query(op, query) : 0;

		if (more == 0)
			continue;
		if (strcmp(op->method, http->method) != 0)
			*ret_other_method = true;
		else if (path + more > best_score) {
			best = op;
			best_score = path + more;
		}
	}
	return best;
}

/* --- members -------------------------------------------------------------------------------- */

static enum iot_status set_member(json_t *request, const struct iot_member *member, const char *text,
				  struct iot_error *err)
{
	int64_t number = 0;
	json_t *value = NULL;

	switch (member->type) {
	case IOT_T_INTEGER:
	case IOT_T_TIMESTAMP:
		if (iot_parse_int(text, INT64_MIN, INT64_MAX, &number, NULL) == IOT_OK)
			value = json_integer(number);
		break;
	case IOT_T_BOOLEAN:
		if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
			value = json_boolean(*text == 't');
		break;
	case IOT_T_STRING:
	case IOT_T_BLOB:
	case IOT_T_OBJECT:
	case IOT_T_LIST:
	case IOT_T_MAP:
		value = json_string(text);
		break;
	}
	if (value == NULL)
		return iot_cloud_fail(err, "InvalidRequestException", "%s '%.80s' is not %s", member->name, text,
				      member->type == IOT_T_BOOLEAN   ? "true or false"
				      : member->type == IOT_T_INTEGER ? "an integer"
								      : "valid text");
	json_object_set_new(request, member->name, value);
	return IOT_OK;
}

static const char *wire_name(const struct iot_member *member)
{
	return member->wire != NULL ? member->wire : member->name;
}

static const struct iot_member *member_at(const struct iot_operation *op, enum iot_where where, const char *wire,
					  size_t len)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		const char *name = wire_name(member);

		if (member->where == where && strlen(name) == len && memcmp(name, wire, len) == 0)
			return member;
	}
	return NULL;
}

/* The rest of the path for a greedy label, the segment otherwise. New memory. */
static char *label_text(const struct segments *segments, size_t index, bool greedy)
{
	struct iot_buf text = IOT_BUF_INIT(API_TARGET_MAX);

	iot_buf_adds(&text, segments->at[index]);
	for (size_t i = index + 1; greedy && i < segments->count; i++)
		iot_buf_addf(&text, "/%s", segments->at[i]);
	return iot_buf_detach(&text);
}

static enum iot_status take_path(const struct iot_operation *op, const struct segments *segments, json_t *request,
				 struct iot_error *err)
{
	const char *uri = op->uri;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; *uri == '/' && status == IOT_OK; i++) {
		size_t len = strcspn(++uri, "/?");

		if (*uri == '{') {
			bool greedy = uri[len - 2] == '+';
			const struct iot_member *member = member_at(op, IOT_IN_PATH, uri + 1, len - 2 - greedy);
			IOT_CLEAN(iot_free_p) char *text = label_text(segments, i, greedy);

			if (member != NULL)
				status = set_member(request, member, text, err);
		}
		uri += len;
	}
	return status;
}

/* What a query may hold besides members: the parts of a presigned URL, and what the JavaScript SDK adds. */
static bool is_extra(const struct iot_operation *op, const char *name)
{
	const char *flag = strchr(op->uri, '?');

	return iot_starts_with(name, "X-Amz-") || strcmp(name, "x-id") == 0 ||
	       (flag != NULL && strcmp(name, flag + 1) == 0);
}

static enum iot_status take_query(const struct iot_operation *op, const struct api_query *query, json_t *request,
				  struct iot_error *err)
{
	for (size_t i = 0; i < query->count; i++) {
		const char *name = query->pairs[i].name;
		const struct iot_member *member = member_at(op, IOT_IN_QUERY, name, strlen(name));
		enum iot_status status;

		if (member == NULL && is_extra(op, name))
			continue;
		if (member == NULL)
			return iot_cloud_fail(err, "InvalidRequestException", "%s has no parameter '%.80s'", op->name,
					      name);
		if (json_object_get(request, member->name) != NULL)
			return iot_cloud_fail(err, "InvalidRequestException", "parameter '%s' is given twice", name);
		status = set_member(request, member, query->pairs[i].value, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status take_headers(const struct iot_operation *op, const struct api_http *http, json_t *request,
				    struct iot_error *err)
{
	for (size_t i = 0; i < http->header_count; i++) {
		const struct iot_member *member = NULL;
		enum iot_status status;

		for (const struct iot_member *at = op->members; at->name != NULL && member == NULL; at++)
			if (at->where == IOT_IN_HEADER && strcasecmp(wire_name(at), http->headers[i].name) == 0)
				member = at;
		if (member == NULL)
			continue;
		if (json_object_get(request, member->name) != NULL)
			return iot_cloud_fail(err, "InvalidRequestException", "header '%s' is given twice",
					      wire_name(member));
		status = set_member(request, member, http->headers[i].value, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

enum iot_status api_route(const struct api_http *http, const struct api_query *query, const char *service,
			  const struct iot_operation **ret_op, json_t **ret_request, struct iot_error *err)
{
	IOT_CLEAN(segments_release) struct segments segments = {0};
	IOT_JSON request = json_object();
	const struct iot_operation *op = NULL;
	bool other_method = false;
	enum iot_status status;

	if (split(http->path, &segments))
		op = find(http, query, service, &segments, &other_method);
	if (op == NULL && other_method)
		return iot_cloud_fail(err, "MethodNotAllowedException", "there is no %.20s of this path", http->method);
	if (op == NULL)
		return iot_cloud_fail(err, "UnknownOperationException", "service '%.40s' has no operation at this path",
				      service);
	status = take_path(op, &segments, request, err);
	if (status == IOT_OK)
		status = take_query(op, query, request, err);
	if (status == IOT_OK)
		status = take_headers(op, http, request, err);
	if (status != IOT_OK)
		return status;
	*ret_op = op;
	*ret_request = iot_take(request);
	return IOT_OK;
}

/* --- bodies --------------------------------------------------------------------------------- */

const struct iot_member *api_payload(const struct iot_operation *op)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++)
		if (member->where == IOT_AS_PAYLOAD)
			return member;
	return NULL;
}

enum iot_status api_body(const struct iot_operation *op, const char *body, size_t len, json_t *request,
			 struct iot_error *err)
{
	IOT_JSON members = NULL;
	const char *key;
	json_t *value;

	if (len == 0)
		return IOT_OK;
	if (iot_json_parse(body, len, "the request's body", &members, err) != IOT_OK) {
		iot_error_set_code(err, "InvalidRequestException");
		return IOT_USAGE;
	}
	if (!json_is_object(members))
		return iot_cloud_fail(err, "InvalidRequestException", "the request's body is not a JSON object");
	json_object_foreach(members, key, value) {
		const struct iot_member *member = member_at(op, IOT_IN_BODY, key, strlen(key));

		if (member == NULL)
			return iot_cloud_fail(err, "InvalidRequestException", "%s has no member '%.80s' in its body",
					      op->name, key);
		if (!json_is_null(value))
			json_object_set(request, member->name, value);
	}
	return IOT_OK;
}
