/*
 * From a request of the operations table to HTTP: every member goes where the
 * table says, and the whole is signed.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/digest.h"

void aws_wire_release(struct aws_wire *wire)
{
	iot_buf_release(&wire->path);
	iot_buf_release(&wire->query);
	iot_buf_release(&wire->body);
	for (size_t i = 0; i < wire->header_count; i++)
		free((void *)(uintptr_t)wire->signed_headers[i].value);
	wire->header_count = 0;
}

static const char *wire_name(const struct iot_member *member)
{
	return member->wire != NULL ? member->wire : member->name;
}

/* Text of a string, number or boolean; new memory. */
static char *plain_text(const json_t *value)
{
	if (json_is_string(value))
		return iot_strdup(json_string_value(value));
	if (json_is_boolean(value))
		return iot_strdup(json_is_true(value) ? "true" : "false");
	return iot_json_text(value);
}

static void add_parameter(struct iot_buf *query, const char *name, const json_t *value)
{
	IOT_CLEAN(iot_free_p) char *text = plain_text(value);

	if (query->len > 0)
		iot_buf_addc(query, '&');
	iot_percent_encode(name, strlen(name), query);
	iot_buf_addc(query, '=');
	iot_percent_encode(text, strlen(text), query);
}

static void add_query(struct iot_buf *query, const struct iot_member *member, const json_t *value)
{
	json_t *item;
	size_t i;

	if (!json_is_array(value)) {
		add_parameter(query, wire_name(member), value);
		return;
	}
	json_array_foreach(value, i, item)
		add_parameter(query, wire_name(member), item);
}

static enum iot_status add_header(struct aws_wire *wire, const struct iot_member *member, const json_t *value,
				  struct iot_error *err)
{
	char *text = plain_text(value);

	wire->signed_headers[wire->header_count++] = (struct iot_http_header){wire_name(member), text};
	if (strpbrk(text, "\r\n") != NULL || wire->header_count >= AWS_MAX_HEADERS - 4)
		return iot_cloud_fail(err, "InvalidRequestException", "%s has a line break in it", member->name);
	return IOT_OK;
}

static const struct iot_member *path_member(const struct iot_operation *op, const char *label, size_t len)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		const char *name = wire_name(member);

		if (member->where == IOT_IN_PATH && strlen(name) == len && strncmp(name, label, len) == 0)
			return member;
	}
	return NULL;
}

/* Up to a '?': what follows is a flag of the query. */
static enum iot_status build_path(const struct iot_operation *op, const json_t *request, struct iot_buf *path,
				  struct iot_error *err)
{
	for (const char *at = op->uri; *at != '\0' && *at != '?'; at++) {
		size_t len = strcspn(at, "}"), name;
		const struct iot_member *member;
		bool rest;
		IOT_CLEAN(iot_free_p) char *text = NULL;

		if (*at != '{') {
			iot_buf_addc(path, *at);
			continue;
		}
		rest = at[len - 1] == '+'; /* of the path, slashes and all */
		name = len - 1 - rest;
		member = path_member(op, at + 1, name);
		if (member == NULL || json_object_get(request, member->name) == NULL)
			return iot_cloud_fail(err, "InvalidRequestException", "%s needs %.*s", op->name, (int)name,
					      at + 1);
		text = plain_text(json_object_get(request, member->name));
		if (rest)
			aws_s3_key(text, path);
		else
			iot_percent_encode(text, strlen(text), path);
		at += len;
	}
	return IOT_OK;
}

static enum iot_status build_members(const struct iot_operation *op, const json_t *request, json_t *body,
				     struct aws_wire *wire, bool *ret_has_body, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (const struct iot_member *member = op->members; status == IOT_OK && member->name != NULL; member++) {
		json_t *value = json_object_get(request, member->name);

		*ret_has_body = *ret_has_body || member->where == IOT_IN_BODY;
		if (value == NULL || json_is_null(value))
			continue;
		if (member->where == IOT_IN_QUERY)
			add_query(&wire->query, member, value);
		else if (member->where == IOT_IN_HEADER)
			status = add_header(wire, member, value, err);
		else if (member->where == IOT_IN_BODY)
			json_object_set(body, wire_name(member), value);
	}
	return status;
}

enum iot_status aws_wire_hash(struct aws_wire *wire, struct iot_error *err)
{
	const struct iot_body *payload = wire->payload;
	uint8_t digest[IOT_SHA256_SIZE];
	enum iot_status status;
	int64_t size;

	if (payload == NULL || payload->fd < 0) {
		const void *data = payload != NULL ? payload->data : iot_buf_str(&wire->body);

		wire->payload_len = payload != NULL ? payload->len : wire->body.len;
		iot_sha256_hex(data != NULL ? data : "", wire->payload_len, wire->hash);
		return IOT_OK;
	}
	status = iot_sha256_fd(payload->fd, "the request's body", digest, &size, err);
	if (status != IOT_OK)
		return status;
	wire->payload_len = (size_t)size;
	iot_hex(digest, sizeof(digest), wire->hash);
	return IOT_OK;
}

enum iot_status aws_wire_build(const struct iot_operation *op, const json_t *request, const struct iot_body *payload,
			       struct aws_wire *ret, struct iot_error *err)
{
	struct aws_wire wire = {.service = aws_service_of(op->service),
				.method = op->method,
				.payload = payload,
				.path = IOT_BUF_INIT(65536),
				.query = IOT_BUF_INIT(65536),
				.body = IOT_BUF_INIT(AWS_MAX_REQUEST)};
	IOT_JSON body = json_object();
	bool has_body = false;
	const char *flag = strchr(op->uri, '?');
	enum iot_status status = build_path(op, request, &wire.path, err);

	if (flag != NULL)
		iot_buf_addf(&wire.query, "%s=", flag + 1);
	if (status == IOT_OK)
		status = build_members(op, request, body, &wire, &has_body, err);
	if (status == IOT_OK && has_body && aws_is_s3(op)) {
		aws_s3_body(body, &wire.body);
		wire.content_type = "application/xml";
		status = iot_buf_check(&wire.body, "the request", err);
	} else if (status == IOT_OK && has_body && payload == NULL) {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(body);

		iot_buf_adds(&wire.body, text);
		wire.content_type = "application/json";
		status = iot_buf_check(&wire.body, "the request", err);
	} else if (status == IOT_OK && payload != NULL) {
		wire.content_type = "application/octet-stream";
	}
	if (status == IOT_OK)
		status = aws_wire_hash(&wire, err);
	if (status == IOT_OK)
		*ret = wire;
	else
		aws_wire_release(&wire);
	return status;
}

/* --- sending ------------------------------------------------------------------------------- */

struct signing {
	struct iot_http_header headers[AWS_MAX_HEADERS + 4];
	struct iot_sigv4_header to_sign[AWS_MAX_HEADERS + 4];
	size_t count;
	char date[IOT_SIGV4_DATE_SIZE];
	char id[33]; /* makes two equal requests of one second two signatures, as AWS's SDKs do */
};

static void put(struct signing *signing, const char *name, const char *value)
{
	signing->headers[signing->count] = (struct iot_http_header){name, value};
	signing->to_sign[signing->count] = (struct iot_sigv4_header){name, value};
	signing->count++;
}

static enum iot_status start(struct aws *aws, const struct aws_wire *wire, struct signing *signing, const char *url,
			     bool once, int timeout_ms, iot_http_done_fn *done, void *data, struct iot_error *err)
{
	const struct iot_body *payload = wire->payload;
	struct iot_http_request request = {.method = wire->method,
					   .url = url,
					   .once = once,
					   .timeout_ms = timeout_ms,
					   .max_reply = AWS_MAX_REPLY,
					   .body_fd = payload != NULL && payload->fd > 0 ? payload->fd : -1};

	request.body = payload != NULL ? payload->data : iot_buf_str(&wire->body);
	request.body_len = wire->payload_len;
	/* Neither is signed: some proxies change them. */
	if (wire->content_type != NULL)
		put(signing, "Content-Type", wire->content_type);
	request.headers = signing->headers;
	request.header_count = signing->count;
	return iot_http_start(aws->http, &request, done, data, err);
}

enum iot_status aws_wire_send(struct aws *aws, const struct aws_wire *wire, const struct aws_credentials *credentials,
			      bool once, int timeout_ms, iot_http_done_fn *done, void *data, struct iot_error *err)
{
	const struct iot_sigv4_key key = {credentials->access_key, credentials->secret, aws->region,
					  aws_signing_name(wire->service)};
	const struct aws_endpoint *endpoint;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *url = NULL;
	struct iot_buf authorization = IOT_BUF_INIT(8192);
	struct signing signing = {.count = 0};
	struct iot_sigv4_request request;
	int64_t now = iot_now_ms() + aws->skew_ms;
	unsigned char random[16];
	enum iot_status status = aws_endpoint(aws, wire->service, &endpoint, err);

	if (status != IOT_OK)
		return status;
	path = iot_strf("%s%s", endpoint->path, iot_buf_str(&wire->path));
	url = iot_strf("%.*s%s%s%s", (int)(strlen(endpoint->base) - strlen(endpoint->path)), endpoint->base, path,
		       wire->query.len > 0 ? "?" : "", iot_buf_str(&wire->query));
	put(&signing, "Host", endpoint->host);
	put(&signing, "X-Amz-Date", iot_sigv4_date(now, signing.date));
	if (credentials->token != NULL)
		put(&signing, "X-Amz-Security-Token", credentials->token);
	if (wire->service == AWS_S3)
		put(&signing, "X-Amz-Content-Sha256", wire->hash);
	iot_random(random, sizeof(random));
	put(&signing, "amz-sdk-invocation-id", iot_hex(random, sizeof(random), signing.id));
	for (size_t i = 0; i < wire->header_count; i++)
		put(&signing, wire->signed_headers[i].name, wire->signed_headers[i].value);
	request = (struct iot_sigv4_request){wire->method,    path,          iot_buf_str(&wire->query),
					     signing.to_sign, signing.count, wire->hash};
	status = iot_sigv4_sign(&key, &request, now, &authorization, err);
	if (status == IOT_OK) {
		put(&signing, "Authorization", iot_buf_str(&authorization));
		status = start(aws, wire, &signing, url, once, timeout_ms, done, data, err);
	}
	iot_buf_release(&authorization);
	return status;
}
