/*
 * One request from its first line to its answer. What costs nothing is asked
 * first, and nothing of a body is kept for somebody whose access key is unknown;
 * nothing at all is done before the signature holds.
 *
 * A body is part of what is signed: JSON is held (128 KiB at most) until it is
 * complete; an image, whose hash the headers must name, goes to disk as it comes
 * and counts only if it has that hash.
 */
#include "broker/api/api.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/local.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEYS_MAX 16 /* operators whose keys are kept open */

/* --- operators ------------------------------------------------------------------------------- */

struct api_keys {
	int64_t epoch;
	size_t next; /* to be replaced */
	struct {
		char id[129];
		struct iot_operator *who;
	} kept[KEYS_MAX];
};

static void forget_keys(struct api_keys *keys)
{
	for (size_t i = 0; i < KEYS_MAX; i++) {
		iot_operator_free(keys->kept[i].who);
		keys->kept[i].who = NULL;
	}
}

/* Borrowed until the next call. */
static enum iot_status find_key(struct api_core *core, const char *id, const struct iot_operator **ret,
				struct iot_error *err)
{
	struct api_keys *keys = core->keys;
	struct iot_operator *who = NULL;
	int64_t epoch = 0;
	enum iot_status status = iot_operator_epoch(core->cloud, &epoch, err);

	if (status != IOT_OK)
		return status;
	if (epoch != keys->epoch)
		forget_keys(keys);
	keys->epoch = epoch;
	for (size_t i = 0; i < KEYS_MAX; i++) {
		*ret = keys->kept[i].who;
		if (*ret != NULL && strcmp(keys->kept[i].id, id) == 0 && iot_operator_expires(*ret) > iot_now_ms())
			return IOT_OK;
	}
	status = iot_operator_key_lookup(core->cloud, id, &who, err);
	if (status != IOT_OK)
		return status;
	iot_operator_free(keys->kept[keys->next].who);
	keys->kept[keys->next].who = who;
	snprintf(keys->kept[keys->next].id, sizeof(keys->kept[0].id), "%s", id);
	keys->next = (keys->next + 1) % KEYS_MAX;
	*ret = who;
	return IOT_OK;
}

enum iot_status api_core_init(struct api_core *core, struct iot_cloud *cloud, struct iot_error *err)
{
	*core = (struct api_core){.cloud = cloud, .keys = iot_alloc(sizeof(*core->keys))};
	core->replay = api_replay_new(iot_now_ms() / 1000);
	return iot_operator_epoch(cloud, &core->keys->epoch, err);
}

void api_core_release(struct api_core *core)
{
	if (core->keys != NULL)
		forget_keys(core->keys);
	free(core->keys);
	api_replay_free(core->replay);
	core->keys = NULL;
	core->replay = NULL;
}

/* --- making and ending ------------------------------------------------------------------------ */

struct api_exchange *api_exchange_new(struct api_core *core, const char *target, uint64_t connection)
{
	struct api_exchange *x = iot_alloc(sizeof(*x));
	char *mark;

	*x = (struct api_exchange){.core = core,
				   .connection = connection,
				   .service = "",
				   .body = IOT_BUF_SECRET(API_JSON_MAX), /* of ImportPsk it is one */
				   .answer = API_ANSWER_INIT};
	x->too_large = strlen(target) > API_TARGET_MAX;
	x->target = iot_strndup(target, API_TARGET_MAX);
	mark = strchr(x->target, '?');
	x->http.path = x->target;
	x->http.query = mark != NULL ? mark + 1 : "";
	if (mark != NULL)
		*mark = '\0';
	iot_uuid(x->id);
	return x;
}

void api_exchange_free(struct api_exchange *x)
{
	if (x == NULL)
		return;
	api_query_release(&x->query);
	json_decref(x->request);
	iot_buf_release(&x->body);
	iot_image_writer_free(x->writer);
	free(x->chunked);
	api_answer_release(&x->answer);
	free(x->target);
	free(x);
}

/* Whoever tries keys, or plays something again, is told of once a second. */
static void log_refusal(struct api_exchange *x, const struct iot_error *err)
{
	struct api_core *core = x->core;

	if (err->status != IOT_DENIED)
		return;
	core->refused++;
	if (iot_monotonic_ms() < core->next_log)
		return;
	iot_notice("HTTPS API: refused %u request%s, the last one (%s) from %s: %s: %s", core->refused,
		   core->refused == 1 ? "" : "s", x->id, x->source, err->code, err->what);
	core->refused = 0;
	core->next_log = iot_monotonic_ms() + 1000;
}

enum api_next api_refuse(struct api_exchange *x, const struct iot_error *err)
{
	struct iot_error told = *err;

	log_refusal(x, err);
	/* Who is not known is not told what is known of that key. */
	if (x->op == NULL && (strcmp(err->code, "UnrecognizedClientException") == 0 ||
			      strcmp(err->code, "ExpiredTokenException") == 0)) {
		iot_fail(&told, IOT_DENIED, "the access key of the request is not valid here, or not any more");
		iot_error_set_code(&told, err->code);
	}
	api_answer_error(&x->answer, x->service, x->op, x->request, &told);
	return API_ANSWER;
}

/* --- who asks for what ---------------------------------------------------------------------------- */

/* The table's name of a service that a signature is scoped to. */
static enum iot_status find_service(struct api_exchange *x, struct iot_error *err)
{
	static const char *const services[] = {"iot", "iotdata", "iot-jobs-data", "iotctl", "s3"};
	/* What earlier SDKs call them, as that of the AWS CLI 2.9 does. */
	static const char *const former[][2] = {{"execute-api", "iot"}, {"iotdevicegateway", "iotdata"}};

	for (size_t i = 0; i < IOT_LENGTH(former); i++)
		if (strcmp(x->claim.service, former[i][0]) == 0)
			x->service = former[i][1];
	for (size_t i = 0; i < IOT_LENGTH(services); i++)
		if (strcmp(x->claim.service, services[i]) == 0)
			x->service = services[i];
	if (*x->service == '\0')
		return iot_cloud_fail(err, "InvalidSignatureException",
				      "the signature is scoped to service '%s', which is not here", x->claim.service);
	return IOT_OK;
}

static bool is_own_url(const struct api_exchange *x)
{
	return x->claim.presigned && strcmp(x->claim.access_key, IOT_URL_ACCESS_KEY) == 0;
}

static enum iot_status read_claim(struct api_exchange *x, struct iot_error *err)
{
	const char *header = api_header(&x->http, "authorization");
	bool in_query = iot_sigv4_query_is_signed(x->http.query);
	enum iot_status status;

	if (header == NULL && !in_query)
		return iot_cloud_fail(err, "MissingAuthenticationTokenException", "the request is not signed");
	if (header != NULL && in_query)
		return iot_cloud_fail(err, "IncompleteSignature",
				      "the request is signed in its header and in its query");
	status = in_query ? iot_sigv4_parse_query(x->http.query, &x->claim, err)
			  : iot_sigv4_parse_header(header, api_header(&x->http, "x-amz-date"), &x->claim, err);
	if (status == IOT_OK)
		status = find_service(x, err);
	if (status == IOT_OK)
		status = iot_sigv4_check_time(&x->claim, iot_now_ms(), API_WINDOW_S * 1000, err);
	if (status == IOT_OK && (api_header(&x->http, "x-amz-security-token") != NULL ||
				 api_query_find(&x->query, "X-Amz-Security-Token") != NULL))
		status = iot_cloud_fail(err, "UnrecognizedClientException", "the request has a session token");
	return status;
}

/* Is every header that says something of the request signed? (Those that begin with x-amz- must be anyway.) */
static bool members_are_signed(const struct api_exchange *x)
{
	char names[sizeof(x->claim.signed_headers) + 2];

	snprintf(names, sizeof(names), ";%s;", x->claim.signed_headers);
	for (const struct iot_member *member = x->op->members; member->name != NULL; member++) {
		char name[80];

		snprintf(name, sizeof(name), ";%s;", member->wire != NULL ? member->wire : member->name);
		/* What part of a file is wanted may be asked with a URL that another one signed. */
		if (member->where == IOT_IN_HEADER && json_object_get(x->request, member->name) != NULL &&
		    strcmp(name, ";range;") != 0 && strcasestr(names, name) == NULL)
			return false;
	}
	return true;
}

/* Is it signed by that operator, over a body with this hash (or what x-amz-content-sha256 says), and not seen before?
 */
static enum iot_status check_signature(struct api_exchange *x, const char *secret, const char *payload,
				       struct iot_error *err)
{
	struct iot_sigv4_header headers[API_HEADERS_MAX];
	const struct iot_sigv4_request request = {
		.method = x->http.method,
		.path = x->http.path,
		.query = x->http.query,
		.headers = headers,
		.header_count = x->http.header_count,
		.payload_hash = payload,
	};
	enum iot_status status;

	for (size_t i = 0; i < x->http.header_count; i++)
		headers[i] = (struct iot_sigv4_header){x->http.headers[i].name, x->http.headers[i].value};
	status = iot_sigv4_verify(&x->claim, secret, &request, err);
	if (status == IOT_OK && !members_are_signed(x))
		return iot_cloud_fail(err, "IncompleteSignature", "a header that is part of the request is not signed");
	if (status == IOT_OK && !x->op->read_only)
		status = api_replay_check(x->core->replay, x->claim.signature, x->claim.ms / 1000, iot_now_ms() / 1000,
					  x->connection, err);
	return status;
}

static bool streams_body(const struct iot_operation *op)
{
	return strcmp(op->service, "s3") == 0 && api_payload(op) != NULL;
}

/* The length that the request announces, -1 if it does not. */
static int64_t announced(const struct api_exchange *x)
{
	const char *text = api_header(&x->http, "content-length");
	int64_t length = -1;

	return text != NULL && iot_parse_int(text, 0, INT64_MAX, &length, NULL) == IOT_OK ? length : -1;
}

static enum iot_status too_large(struct iot_error *err)
{
	return iot_cloud_fail(err, "RequestEntityTooLargeException", "the request has more than %d bytes",
			      API_JSON_MAX);
}

/* All that has to hold before an image is taken. */
static enum iot_status begin_stream(struct api_exchange *x, const struct iot_operator *who, struct iot_error *err)
{
	const char *payload = x->claim.presigned ? IOT_SIGV4_UNSIGNED : api_header(&x->http, "x-amz-content-sha256");
	enum iot_status status;

	if (payload == NULL)
		return iot_cloud_fail(err, "InvalidRequestException", "header 'x-amz-content-sha256' is missing");
	status = check_signature(x, iot_operator_secret(who), payload, err);
	if (status == IOT_OK)
		status = iot_operator_allows(who, x->op, x->request, x->source, err);
	if (status == IOT_OK)
		status = iot_operation_check(x->op, x->request, err);
	return status == IOT_OK ? api_object_begin(x, announced(x), err) : status;
}

static size_t count_headers(const struct api_http *http, const char *name)
{
	size_t count = 0;

	for (size_t i = 0; i < http->header_count; i++)
		count += strcasecmp(http->headers[i].name, name) == 0;
	return count;
}

/* Where a body ends must not be a matter of opinion: a proxy before us might have another one. */
static enum iot_status check_framing(const struct api_http *http, struct iot_error *err)
{
	size_t lengths = count_headers(http, "content-length"), encodings = count_headers(http, "transfer-encoding");

	if (lengths + encodings <= 1 && count_headers(http, "host") <= 1)
		return IOT_OK;
	return iot_cloud_fail(err, "InvalidRequestException",
			      "the request says twice how long its body is, or for which host it is");
}

static enum iot_status read_head(struct api_exchange *x, struct iot_error *err)
{
	const struct iot_operator *who = NULL;
	enum iot_status status;

	if (x->too_large)
		return iot_cloud_fail(err, "InvalidRequestException", "the path and query are longer than %d bytes",
				      API_TARGET_MAX);
	if (x->http.header_count >= API_HEADERS_MAX)
		return iot_cloud_fail(err, "InvalidRequestException", "the request has more than %d headers",
				      API_HEADERS_MAX - 1);
	status = check_framing(&x->http, err);
	if (status == IOT_OK)
		status = api_query_parse(x->http.query, &x->query, err);
	if (status == IOT_OK)
		status = read_claim(x, err);
	if (status == IOT_OK && !is_own_url(x))
		status = find_key(x->core, x->claim.access_key, &who, err);
	if (status == IOT_OK)
		status = api_route(&x->http, &x->query, x->service, &x->op, &x->request, err);
	if (status != IOT_OK)
		return status;
	if (x->claim.presigned && (strcmp(x->service, "s3") != 0 || !x->op->read_only))
		return iot_cloud_fail(err, "AccessDeniedException", "a signed URL can only read an image");
	if (streams_body(x->op))
		return begin_stream(x, who, err);
	return announced(x) > API_JSON_MAX ? too_large(err) : IOT_OK;
}

enum api_next api_exchange_head(struct api_exchange *x)
{
	struct iot_error err = IOT_ERROR_INIT;

	api_answer_header(&x->answer, "x-amzn-RequestId", iot_strdup(x->id));
	return read_head(x, &err) == IOT_OK ? API_READ : api_refuse(x, &err);
}

void api_exchange_body(struct api_exchange *x, const void *data, size_t len)
{
	x->received += (int64_t)len;
	if (x->chunked != NULL)
		chunked_add(x->chunked, data, len);
	else if (x->writer != NULL)
		iot_image_writer_add(x->writer, data, len);
	else if (x->received > API_JSON_MAX)
		x->too_large = true;
	else
		iot_buf_add(&x->body, data, len);
}

/* --- the call ------------------------------------------------------------------------------------ */

/* The body's hash as it was signed: what the header says, if it is true. */
static enum iot_status payload_of(struct api_exchange *x, char out[65], struct iot_error *err)
{
	const char *said = api_header(&x->http, "x-amz-content-sha256");

	iot_sha256_hex(iot_buf_str(&x->body), x->body.len, out);
	if (x->claim.presigned ||
	    (said != NULL && strcmp(said, IOT_SIGV4_UNSIGNED) == 0 && strcmp(x->service, "s3") == 0))
		snprintf(out, 65, "%s", IOT_SIGV4_UNSIGNED);
	else if (said != NULL && strcasecmp(said, out) != 0)
		return iot_cloud_fail(err, "InvalidSignatureException",
				      "the body is not what header 'x-amz-content-sha256' says");
	return IOT_OK;
}

static enum iot_status take_body(struct api_exchange *x, struct iot_error *err)
{
	const char *encoding = api_header(&x->http, "content-encoding");

	if (encoding != NULL && strcasecmp(encoding, "identity") != 0)
		return iot_cloud_fail(err, "UnsupportedDocumentEncodingException", "the body is encoded as '%.40s'",
				      encoding);
	if (api_payload(x->op) != NULL || strcmp(x->service, "s3") == 0)
		return IOT_OK;
	return api_body(x->op, iot_buf_str(&x->body), x->body.len, x->request, err);
}

static enum api_next call(struct api_exchange *x)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strf("%s:%s", x->op->service, x->op->name);
	struct iot_buf out = IOT_BUF_INIT(API_JSON_MAX);
	const struct iot_body in = {iot_buf_str(&x->body), x->body.len, -1};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	enum iot_status status = iot_cloud_call(x->core->cloud, name, x->request,
						api_payload(x->op) != NULL ? &in : NULL, &reply, &out, &err);

	if (status == IOT_OK && out.len > 0) {
		x->answer.status = 200;
		api_answer_header(&x->answer, "Content-Type", iot_strdup("application/json"));
		iot_buf_add(&x->answer.body, out.data, out.len);
	} else if (status == IOT_OK) {
		api_answer_json(&x->answer, reply);
	}
	iot_buf_release(&out);
	return status == IOT_OK ? API_ANSWER : api_refuse(x, &err);
}

/* A URL out of a job document: it says all that its bearer may do. */
static enum iot_status admit_url(struct api_exchange *x, struct iot_error *err)
{
	char secret[65];
	enum iot_status status = iot_local_url_key(x->core->cloud, secret, err);

	if (status == IOT_OK)
		status = check_signature(x, secret, IOT_SIGV4_UNSIGNED, err);
	iot_wipe(secret, sizeof(secret));
	return status;
}

/* Who changed something is whose key it was, whatever the request says. */
static void name_author(struct api_exchange *x, const struct iot_operator *who)
{
	for (const struct iot_member *member = x->op->members; member->name != NULL; member++) {
		if (strcmp(member->name, "author") == 0)
			json_object_set_new(x->request, "author", json_sprintf("operator %s", iot_operator_name(who)));
	}
}

static enum iot_status admit(struct api_exchange *x, struct iot_error *err)
{
	const struct iot_operator *who = NULL;
	char payload[65];
	enum iot_status status;

	if (x->too_large)
		return too_large(err);
	if (is_own_url(x))
		return admit_url(x, err);
	/* Again: it may have been revoked while the body came. */
	status = find_key(x->core, x->claim.access_key, &who, err);
	if (status != IOT_OK || x->writer != NULL)
		return status;
	status = payload_of(x, payload, err);
	if (status == IOT_OK)
		status = check_signature(x, iot_operator_secret(who), payload, err);
	if (status == IOT_OK)
		status = take_body(x, err);
	if (status == IOT_OK)
		name_author(x, who);
	return status == IOT_OK ? iot_operator_allows(who, x->op, x->request, x->source, err) : status;
}

enum api_next api_exchange_end(struct api_exchange *x)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (admit(x, &err) != IOT_OK)
		return api_refuse(x, &err);
	if (strcmp(x->service, "s3") == 0)
		return api_object(x);
	if (strcmp(x->service, "iotdata") == 0 && strcmp(x->op->name, "Publish") == 0)
		return api_publish(x);
	return call(x);
}
