/*
 * Shadow documents: requests are read strictly, merged into a copy of the
 * document, and compared (desired with reported) to tell what a device has to do.
 */
#include "shadow_doc.h"

#include "iotctl/base.h"
#include "iotctl/cloud.h"
#include "iotctl/text.h"

#include <string.h>

static const char *const sections[] = {"desired", "reported"};

/* jansson walks over a const object only through a cast that takes the const away; nothing is changed. */
#define mutable(value) ((json_t *)(uintptr_t)(value))

static enum iot_status refuse(struct iot_error *err, const char *message)
{
	return iot_cloud_fail(err, "InvalidRequestException", "%s", message);
}

static enum iot_status refuse_size(struct iot_error *err)
{
	return iot_cloud_fail(err, "RequestEntityTooLargeException", "The payload exceeds the maximum size allowed");
}

/* --- text ------------------------------------------------------------------------------ */

void shadow_text(const json_t *value, struct iot_buf *out)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(value);

	iot_buf_adds(out, text);
}

static size_t text_size(const json_t *value)
{
	struct iot_buf text = IOT_BUF_INIT(SIZE_MAX);
	size_t size;

	shadow_text(value, &text);
	size = text.len;
	iot_buf_release(&text);
	return size;
}

/* --- the document in the registry ---------------------------------------------------------- */

void shadow_doc_release(struct shadow_doc *doc)
{
	json_decref(doc->state);
	json_decref(doc->metadata);
	*doc = (struct shadow_doc){0};
}

enum iot_status shadow_doc_load(const char *text, int64_t version, struct shadow_doc *ret, struct iot_error *err)
{
	IOT_JSON value = NULL;
	json_t *state, *metadata;

	if (text == NULL) {
		*ret = (struct shadow_doc){json_object(), json_object(), version, false};
		return IOT_OK;
	}
	value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	state = json_object_get(value, "state");
	metadata = json_object_get(value, "metadata");
	if (!json_is_object(state) || !json_is_object(metadata))
		return iot_fail(err, IOT_FAILURE, "a shadow in the registry is damaged");
	*ret = (struct shadow_doc){json_incref(state), json_incref(metadata), version, true};
	return IOT_OK;
}

char *shadow_doc_text(const struct shadow_doc *doc)
{
	struct iot_buf text = IOT_BUF_INIT(SIZE_MAX);
	IOT_JSON value = json_pack("{s:O, s:O}", "state", doc->state, "metadata", doc->metadata);

	shadow_text(value, &text);
	return iot_buf_detach(&text);
}

/* --- requests ----------------------------------------------------------------------------------- */

void shadow_request_release(struct shadow_request *request)
{
	json_decref(request->body);
	*request = (struct shadow_request){.version = -1};
}

static enum iot_status parse(const void *payload, size_t len, struct shadow_request *ret, struct iot_error *err)
{
	struct iot_error why = IOT_ERROR_INIT;
	const json_t *token;

	if (len > IOT_SHADOW_MESSAGE_MAX)
		return refuse_size(err);
	if (!iot_utf8_valid(payload, len) && memchr(payload, '\0', len) == NULL)
		return iot_cloud_fail(err, "UnsupportedDocumentEncodingException",
				      "Unsupported documented encoding; supported encoding is UTF-8");
	if (iot_json_parse(payload, len, "payload", &ret->body, &why) != IOT_OK) {
		refuse(err, "Invalid JSON");
		iot_error_hint(err, "%.200s", why.what);
		return IOT_USAGE;
	}
	if (!json_is_object(ret->body))
		return refuse(err, "Invalid JSON");
	token = json_object_get(ret->body, "clientToken");
	if (token == NULL || json_is_null(token))
		return IOT_OK;
	if (!json_is_string(token) || json_string_length(token) > IOT_SHADOW_TOKEN_MAX)
		return refuse(err, "Invalid clientToken");
	ret->token = token;
	return IOT_OK;
}

/* Levels below a value: 0 for what is neither object nor list. Bounded by the parser's depth. */
static int levels(const json_t *value)
{
	const char *key;
	json_t *item;
	int deepest = 0;
	size_t i;

	if (!json_is_object(value) && !json_is_array(value))
		return 0;
	json_object_foreach(mutable(value), key, item) {
		int below = levels(item);

		deepest = below > deepest ? below : deepest;
	}
	json_array_foreach(value, i, item) {
		int below = levels(item);

		deepest = below > deepest ? below : deepest;
	}
	return deepest + 1;
}

/* A null within a list stands for nothing: there is no member that it could remove. */
static bool null_in_list(const json_t *value, bool in_list)
{
	const char *key;
	json_t *item;
	size_t i;

	if (json_is_null(value))
		return in_list;
	json_object_foreach(mutable(value), key, item) {
		if (null_in_list(item, in_list))
			return true;
	}
	json_array_foreach(value, i, item) {
		if (null_in_list(item, true))
			return true;
	}
	return false;
}

static enum iot_status check_section(const char *name, const json_t *section, struct iot_error *err)
{
	if (strcmp(name, "desired") != 0 && strcmp(name, "reported") != 0)
		return refuse(err, "State contains an invalid node");
	if (json_is_null(section))
		return IOT_OK;
	if (!json_is_object(section))
		return refuse(err, *name == 'd' ? "Desired node must be an object" : "Reported node must be an object");
	if (levels(section) > IOT_SHADOW_DEPTH_MAX)
		return iot_cloud_fail(err, "InvalidRequestException",
				      "JSON contains too many levels of nesting; maximum is %d", IOT_SHADOW_DEPTH_MAX);
	if (null_in_list(section, false))
		return refuse(err, "State contains an invalid node");
	return IOT_OK;
}

static enum iot_status check_update(struct shadow_request *request, struct iot_error *err)
{
	const json_t *version = json_object_get(request->body, "version");
	const char *name;
	json_t *section;
	enum iot_status status = IOT_OK;

	request->state = json_object_get(request->body, "state");
	if (request->state == NULL)
		return refuse(err, "Missing required node: state");
	if (!json_is_object(request->state))
		return refuse(err, "State node must be an object");
	if (version != NULL && !json_is_null(version)) {
		if (!json_is_integer(version) || json_integer_value(version) < 0)
			return refuse(err, "Invalid version");
		request->version = json_integer_value(version);
	}
	json_object_foreach(mutable(request->state), name, section) {
		status = check_section(name, section, err);
		if (status != IOT_OK)
			break;
	}
	return status;
}

enum iot_status shadow_request_update(const void *payload, size_t len, struct shadow_request *ret,
				      struct iot_error *err)
{
	struct shadow_request request = {.version = -1};
	enum iot_status status = parse(payload, len, &request, err);

	if (status == IOT_OK)
		status = check_update(&request, err);
	if (status == IOT_OK)
		*ret = request;
	else
		shadow_request_release(&request);
	return status;
}

enum iot_status shadow_request_other(const void *payload, size_t len, struct shadow_request *ret, struct iot_error *err)
{
	struct shadow_request request = {.version = -1};
	enum iot_status status = len > 0 ? parse(payload, len, &request, err) : IOT_OK;

	if (status == IOT_OK)
		*ret = request;
	else
		shadow_request_release(&request);
	return status;
}

/* --- merging ---------------------------------------------------------------------------------------- */

/* A copy of a value of a request, without the nulls. NULL: nothing is left of it. */
static json_t *without_nulls(const json_t *value)
{
	json_t *copy, *item;
	const char *key;

	if (!json_is_object(value))
		return json_is_null(value) ? NULL : json_deep_copy(value);
	copy = json_object();
	json_object_foreach(mutable(value), key, item) {
		json_t *left = without_nulls(item);

		if (left != NULL)
			json_object_set_new(copy, key, left);
	}
	if (json_object_size(copy) > 0 || json_object_size(value) == 0)
		return copy;
	json_decref(copy);
	return NULL;
}

/* The metadata of a value. */
static json_t *stamp(const json_t *value, int64_t now)
{
	json_t *stamps, *item;
	const char *key;
	size_t i;

	if (json_is_array(value)) {
		stamps = json_array();
		json_array_foreach(value, i, item)
			json_array_append_new(stamps, stamp(item, now));
		return stamps;
	}
	stamps = json_object();
	if (!json_is_object(value))
		iot_json_set_int(stamps, "timestamp", now);
	json_object_foreach(mutable(value), key, item)
		json_object_set_new(stamps, key, stamp(item, now));
	return stamps;
}

static void merge(json_t *state, json_t *metadata, const json_t *patch, int64_t now)
{
	const char *key;
	json_t *item;

	json_object_foreach(mutable(patch), key, item) {
		json_t *old = json_object_get(state, key);
		json_t *left;

		if (json_is_object(item) && json_is_object(old)) {
			merge(old, json_object_get(metadata, key), item, now);
			continue;
		}
		left = without_nulls(item);
		if (left != NULL) {
			json_object_set_new(state, key, left);
			json_object_set_new(metadata, key, stamp(left, now));
		} else {
			json_object_del(state, key);
			json_object_del(metadata, key);
		}
	}
}

/* The sections of `from` that have something in them, copied. */
static json_t *copy_sections(const json_t *from, const json_t *state)
{
	json_t *copy = json_object();

	for (size_t i = 0; i < IOT_LENGTH(sections); i++) {
		if (json_object_size(json_object_get(state, sections[i])) > 0)
			json_object_set_new(copy, sections[i], json_deep_copy(json_object_get(from, sections[i])));
	}
	return copy;
}

static size_t state_size(const json_t *state)
{
	size_t size = 0;

	for (size_t i = 0; i < IOT_LENGTH(sections); i++) {
		const json_t *section = json_object_get(state, sections[i]);

		if (json_object_size(section) > 0)
			size += text_size(section);
	}
	return size;
}

enum iot_status shadow_doc_update(const struct shadow_doc *before, const struct shadow_request *request, int64_t now,
				  struct shadow_doc *ret_after, struct iot_error *err)
{
	IOT_JSON wrapped = NULL;
	IOT_JSON state = NULL;
	IOT_JSON metadata = NULL;

	if (request->version >= 0 && request->version != (before->exists ? before->version : 0)) {
		iot_cloud_fail(err, "ConflictException", "Version conflict");
		iot_error_hint(err, "the shadow's version is %lld now",
			       (long long)(before->exists ? before->version : 0));
		return IOT_CONFLICT;
	}
	/* The two sections are merged like any other object; they are there to be merged into. */
	state = json_pack("{s:{}, s:{}}", "desired", "reported");
	metadata = json_pack("{s:{}, s:{}}", "desired", "reported");
	wrapped = copy_sections(before->state, before->state);
	json_object_update(state, wrapped);
	json_decref(wrapped);
	wrapped = copy_sections(before->metadata, before->state);
	json_object_update(metadata, wrapped);
	merge(state, metadata, request->state, now);
	if (state_size(state) > IOT_SHADOW_SIZE_MAX)
		return refuse_size(err);
	*ret_after = (struct shadow_doc){copy_sections(state, state), copy_sections(metadata, state),
					 before->version + 1, true};
	return IOT_OK;
}

/* --- comparing --------------------------------------------------------------------------------------- */

static bool same(const json_t *a, const json_t *b);

static bool same_objects(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *item;

	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach(mutable(a), key, item) {
		if (!same(item, json_object_get(b, key)))
			return false;
	}
	return true;
}

/* As JSON has it, 1 and 1.0 are one number: a device in C reports a float for what was desired as an integer. */
static bool same(const json_t *a, const json_t *b)
{
	json_t *item;
	size_t i;

	if (b == NULL)
		return false;
	if (json_is_object(a) && json_is_object(b))
		return same_objects(a, b);
	if (json_is_array(a) && json_is_array(b)) {
		if (json_array_size(a) != json_array_size(b))
			return false;
		json_array_foreach(a, i, item) {
			if (!same(item, json_array_get(b, i)))
				return false;
		}
		return true;
	}
	if (json_is_number(a) && json_is_number(b) && json_is_real(a) != json_is_real(b))
		return json_number_value(a) >= json_number_value(b) && json_number_value(a) <= json_number_value(b);
	return json_equal(a, b) != 0;
}

/* Members of desired that are not reported so; their metadata goes to ret_metadata. */
static json_t *differing(const json_t *desired, const json_t *reported, const json_t *metadata, json_t *ret_metadata)
{
	json_t *delta = json_object();
	const char *key;
	json_t *item;

	json_object_foreach(mutable(desired), key, item) {
		const json_t *other = json_object_get(reported, key);
		json_t *stamps = json_object_get(metadata, key);

		if (json_is_object(item) && json_is_object(other)) {
			IOT_JSON below_stamps = json_object();
			IOT_JSON below = differing(item, other, stamps, below_stamps);

			if (json_object_size(below) == 0)
				continue;
			json_object_set(delta, key, below);
			json_object_set(ret_metadata, key, below_stamps);
		} else if (!same(item, other)) {
			json_object_set(delta, key, item);
			json_object_set(ret_metadata, key, stamps);
		}
	}
	return delta;
}

static json_t *delta_of(const struct shadow_doc *doc, json_t *ret_metadata)
{
	return differing(json_object_get(doc->state, "desired"), json_object_get(doc->state, "reported"),
			 json_object_get(doc->metadata, "desired"), ret_metadata);
}

/* --- messages ----------------------------------------------------------------------------------------- */

static json_t *finish(json_t *message, int64_t version, const struct shadow_request *request, int64_t now)
{
	if (version >= 0)
		iot_json_set_int(message, "version", version);
	iot_json_set_int(message, "timestamp", now);
	if (request->token != NULL)
		json_object_set(message, "clientToken", mutable(request->token));
	return message;
}

json_t *shadow_delta(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now)
{
	IOT_JSON metadata = json_object();
	IOT_JSON delta = delta_of(doc, metadata);

	if (json_object_size(delta) == 0)
		return NULL;
	return finish(json_pack("{s:O, s:O}", "state", delta, "metadata", metadata), doc->version, request, now);
}

json_t *shadow_whole(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now)
{
	IOT_JSON ignored = json_object();
	IOT_JSON delta = delta_of(doc, ignored);
	IOT_JSON state = json_copy(doc->state);

	if (json_object_size(delta) > 0)
		json_object_set(state, "delta", delta);
	return finish(json_pack("{s:O, s:O}", "state", state, "metadata", doc->metadata), doc->version, request, now);
}

json_t *shadow_accepted(const struct shadow_doc *after, const struct shadow_request *request, int64_t now)
{
	json_t *metadata = json_object();
	const char *name;
	json_t *section;

	json_object_foreach(mutable(request->state), name, section) {
		IOT_JSON left = without_nulls(section);

		if (json_object_size(left) > 0)
			json_object_set_new(metadata, name, stamp(left, now));
	}
	return finish(json_pack("{s:O, s:o}", "state", mutable(request->state), "metadata", metadata), after->version,
		      request, now);
}

static json_t *document(const struct shadow_doc *doc)
{
	return json_pack("{s:O, s:O, s:I}", "state", doc->state, "metadata", doc->metadata, "version",
			 (json_int_t)doc->version);
}

json_t *shadow_documents(const struct shadow_doc *before, const struct shadow_doc *after,
			 const struct shadow_request *request, int64_t now)
{
	return finish(json_pack("{s:o, s:o}", "previous", document(before), "current", document(after)), -1, request,
		      now);
}

json_t *shadow_deleted(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now)
{
	return finish(json_object(), doc->version, request, now);
}
