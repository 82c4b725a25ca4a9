/*
 * Shadows of things (service iotdata): one row each, classic and named. What is
 * changed, by a device or by the API, is said in the same transaction: accepted,
 * delta and documents are outbox rows, so that a change and the word of it are
 * never apart.
 *
 * Where AWS IoT's documentation leaves a choice: a thing has at most 25 named
 * shadows; a shadow made again within 48 hours after it was deleted goes on with
 * the version after the deleted one's; a thing must be registered to have one.
 */
#include "configs_private.h"
#include "local_private.h"
#include "shadow_doc.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NAMED_MAX 25
#define REMEMBERED_MS (INT64_C(48) * 3600 * 1000)

/* A shadow, found by the names in a request. */
struct shadow {
	int64_t thing_id;
	const char *thing, *name; /* name "": the classic one */
	struct shadow_doc doc;
};

static void shadow_release(struct shadow *shadow)
{
	shadow_doc_release(&shadow->doc);
}

/* --- payloads ------------------------------------------------------------------------------ */

static enum iot_status read_file(int fd, struct iot_buf *out, struct iot_error *err)
{
	off_t at = 0;

	while (!out->over) {
		char chunk[8192];
		ssize_t got = pread(fd, chunk, sizeof(chunk), at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read the payload");
		if (got == 0)
			return IOT_OK;
		iot_buf_add(out, chunk, (size_t)got);
		at += got;
	}
	return iot_cloud_fail(err, "RequestEntityTooLargeException", "The payload exceeds the maximum size allowed");
}

/* The payload of a request, and what it says. */
static enum iot_status read_request(const struct iot_body *in, bool update, struct shadow_request *ret,
				    struct iot_error *err)
{
	struct iot_buf file = IOT_BUF_INIT(IOT_SHADOW_MESSAGE_MAX);
	const void *data = in != NULL ? in->data : NULL;
	size_t len = in != NULL && data != NULL ? in->len : 0;
	enum iot_status status = IOT_OK;

	if (in != NULL && in->fd >= 0) {
		status = read_file(in->fd, &file, err);
		data = file.data;
		len = file.len;
	}
	if (data == NULL)
		data = "";
	if (status == IOT_OK)
		status =
			update ? shadow_request_update(data, len, ret, err) : shadow_request_other(data, len, ret, err);
	iot_buf_release(&file);
	return status;
}

/* Append a message to the payload of the reply (which may not be wanted). */
static enum iot_status reply_text(const json_t *message, struct iot_buf *out, struct iot_error *err)
{
	if (out == NULL)
		return IOT_OK;
	shadow_text(message, out);
	return iot_buf_check(out, "shadow", err);
}

/* --- rows ------------------------------------------------------------------------------------ */

static enum iot_status find(struct iot_local *local, const json_t *request, struct shadow *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;
	int64_t version;

	ret->thing = iot_json_str(request, "thingName", "");
	ret->name = iot_json_str(request, "shadowName", "");
	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT t.id, s.version, s.document, s.changed_at FROM things t"
				" LEFT JOIN shadows s ON s.thing_id = t.id AND s.name = ? WHERE t.name = ?",
				"ss", ret->name, ret->thing);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "Thing not found");
	ret->thing_id = iot_stmt_int(stmt, 0);
	version = iot_stmt_int(stmt, 1);
	if (iot_stmt_is_null(stmt, 2) && iot_stmt_int(stmt, 3) + REMEMBERED_MS < iot_now_ms())
		version = 0;
	return shadow_doc_load(iot_stmt_text(stmt, 2), version, &ret->doc, err);
}

static enum iot_status need(struct iot_local *local, const json_t *request, struct shadow *ret, struct iot_error *err)
{
	enum iot_status status = find(local, request, ret, err);

	if (status == IOT_OK && !ret->doc.exists)
		return iot_local_not_found(err, "No shadow exists with name: '%s'",
					   *ret->name != '\0' ? ret->name : ret->thing);
	return status;
}

/* A request that changes nothing by its payload, and the shadow that it is about. */
static enum iot_status read_and_need(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     struct shadow_request *ret_asked, struct shadow *ret, struct iot_error *err)
{
	enum iot_status status = read_request(in, false, ret_asked, err);

	return status == IOT_OK ? need(local, request, ret, err) : status;
}

static enum iot_status check_count(struct iot_local *local, const struct shadow *shadow, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	if (shadow->doc.exists || *shadow->name == '\0')
		return IOT_OK;
	status =
		iot_stmt_query(local->store, &stmt, &row, err,
			       "SELECT count(*) FROM shadows WHERE thing_id = ? AND name > '' AND document IS NOT NULL",
			       "i", shadow->thing_id);
	if (status == IOT_OK && iot_stmt_int(stmt, 0) >= NAMED_MAX)
		return iot_local_invalid(err, "Too many named shadows; maximum is %d", NAMED_MAX);
	return status;
}

static enum iot_status save(struct iot_local *local, const struct shadow *shadow, int64_t version, const char *text,
			    struct iot_error *err)
{
	return iot_store_run(
		local->store, NULL, err,
		"INSERT INTO shadows (thing_id, name, version, document, changed_at) VALUES (?1, ?2, ?3, ?4, ?5)"
		" ON CONFLICT (thing_id, name) DO UPDATE SET version = ?3, document = ?4, changed_at = ?5",
		"isisi", shadow->thing_id, shadow->name, version, text, iot_now_ms());
}

/* The document as it is asked for, kept; *ret: it. */
static enum iot_status change(struct iot_local *local, const struct shadow *shadow, const struct shadow_request *asked,
			      int64_t now, struct shadow_doc *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;
	enum iot_status status = shadow_doc_update(&shadow->doc, asked, now, ret, err);

	if (status != IOT_OK)
		return status;
	text = shadow_doc_text(ret);
	return save(local, shadow, ret->version, text, err);
}

/* --- saying it ---------------------------------------------------------------------------------- */

/* Put a message for a topic of the shadow into the outbox. */
static enum iot_status say(struct iot_local *local, const struct shadow *shadow, const char *what,
			   const json_t *message, struct iot_error *err)
{
	bool named = *shadow->name != '\0';
	IOT_CLEAN(iot_free_p)
	char *topic =
		iot_strf("$aws/things/%s/shadow%s%s/%s", shadow->thing, named ? "/name/" : "", shadow->name, what);
	struct iot_buf text = IOT_BUF_INIT(IOT_SHADOW_MESSAGE_MAX);
	enum iot_status status;

	shadow_text(message, &text);
	/* Metadata of a long list of small numbers is many times its size: better refused than not heard of. */
	if (text.over)
		status = iot_cloud_fail(err, "RequestEntityTooLargeException",
					"The payload exceeds the maximum size allowed");
	else
		status = iot_local_outbox_add(local, "publish", shadow->thing_id, topic, text.data, text.len, 1, false,
					      err);
	iot_buf_release(&text);
	return status;
}

static enum iot_status say_update(struct iot_local *local, const struct shadow *shadow, const struct shadow_doc *after,
				  const struct shadow_request *request, int64_t now, struct iot_buf *out,
				  struct iot_error *err)
{
	IOT_JSON accepted = shadow_accepted(after, request, now);
	IOT_JSON delta = shadow_delta(after, request, now);
	IOT_JSON documents = shadow_documents(&shadow->doc, after, request, now);
	enum iot_status status = say(local, shadow, "update/accepted", accepted, err);

	if (status == IOT_OK && delta != NULL)
		status = say(local, shadow, "update/delta", delta, err);
	if (status == IOT_OK)
		status = say(local, shadow, "update/documents", documents, err);
	return status == IOT_OK ? reply_text(accepted, out, err) : status;
}

/* --- operations ----------------------------------------------------------------------------------- */

static enum iot_status get_shadow(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request asked = {0};
	IOT_CLEAN(shadow_release) struct shadow shadow = {0};
	IOT_JSON message = NULL;
	enum iot_status status = read_and_need(local, request, in, &asked, &shadow, err);

	(void)ret_reply;
	if (status != IOT_OK)
		return status;
	message = shadow_whole(&shadow.doc, &asked, iot_now_ms() / 1000);
	return reply_text(message, out, err);
}

static enum iot_status update_shadow(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request asked = {0};
	IOT_CLEAN(shadow_release) struct shadow shadow = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
	int64_t now = iot_now_ms() / 1000;
	enum iot_status status;

	(void)ret_reply;
	if (in == NULL || json_object_get(request, "payload") != NULL) {
		status = iot_local_invalid(err, "UpdateThingShadow needs a payload");
		iot_error_hint(err, "it goes with the request as its body, not as a member");
		return status;
	}
	status = read_request(in, true, &asked, err);
	if (status == IOT_OK)
		status = find(local, request, &shadow, err);
	if (status == IOT_OK)
		status = check_count(local, &shadow, err);
	if (status == IOT_OK)
		status = change(local, &shadow, &asked, now, &after, err);
	if (status == IOT_OK && strcmp(shadow.name, "config") == 0)
		status = iot_local_config_reported(local, shadow.thing_id, shadow.thing, "shadow",
						   json_object_get(asked.state, "reported"), err);
	return status == IOT_OK ? say_update(local, &shadow, &after, &asked, now, out, err) : status;
}

static enum iot_status delete_shadow(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request asked = {0};
	IOT_CLEAN(shadow_release) struct shadow shadow = {0};
	IOT_JSON message = NULL;
	enum iot_status status = read_and_need(local, request, in, &asked, &shadow, err);

	(void)ret_reply;
	if (status == IOT_OK)
		status = save(local, &shadow, shadow.doc.version, NULL, err);
	/* Versions that nobody needs to know any more. */
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "DELETE FROM shadows WHERE document IS NULL AND changed_at < ?", "i",
				       iot_now_ms() - REMEMBERED_MS);
	if (status != IOT_OK)
		return status;
	message = shadow_deleted(&shadow.doc, &asked, iot_now_ms() / 1000);
	status = say(local, &shadow, "delete/accepted", message, err);
	return status == IOT_OK ? reply_text(message, out, err) : status;
}

static enum iot_status list_shadows(struct iot_local *local, const json_t *request, const struct iot_body *in,
				    json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON paging = json_object();
	json_t *results = json_array();
	int64_t thing_id = 0;
	enum iot_status status;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "results", results);
	iot_json_set_str(paging, "nextToken", iot_json_str(request, "nextToken", NULL));
	iot_json_set_int(paging, "maxResults", iot_json_int(request, "pageSize", IOT_PAGE_DEFAULT));
	status = iot_page_init(&page, paging, "nextToken", err);
	if (status == IOT_OK)
		status = iot_local_thing_id(local, iot_json_str(request, "thingName", ""), &thing_id, err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT name FROM shadows WHERE thing_id = ? AND name > ifnull(?, '')"
				      " AND document IS NOT NULL ORDER BY name LIMIT ?",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "isi", thing_id, page.after, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err))
		json_array_append_new(results, json_string(iot_stmt_text(stmt, 0)));
	if (status != IOT_OK)
		return status;
	iot_page_finish(&page, *ret_reply);
	iot_local_set_time(*ret_reply, "timestamp", iot_now_ms());
	return IOT_OK;
}

/* --- configurations ------------------------------------------------------------------------------- */

/* What must be asked for so that `before` becomes `after`: members that it has no more are null. New reference. */
static json_t *patch_of(json_t *before, const json_t *after)
{
	json_t *patch = json_deep_copy(after), *old;
	const char *key;

	json_object_foreach(before, key, old) {
		const json_t *value = json_object_get(after, key);

		if (value == NULL)
			json_object_set_new(patch, key, json_null());
		else if (json_is_object(value) && json_is_object(old))
			json_object_set_new(patch, key, patch_of(old, value));
	}
	return patch;
}

static enum iot_status find_named(struct iot_local *local, const json_t *names, struct shadow *ret,
				  struct iot_error *err)
{
	enum iot_status status = find(local, names, ret, err);

	return status == IOT_OK ? check_count(local, ret, err) : status;
}

enum iot_status iot_local_shadow_desire(struct iot_local *local, const char *thing, const char *name,
					const json_t *desired, bool tell, struct iot_error *err)
{
	IOT_CLEAN(shadow_request_release) struct shadow_request asked = {0};
	IOT_CLEAN(shadow_release) struct shadow shadow = {0};
	IOT_CLEAN(shadow_doc_release) struct shadow_doc after = {0};
	IOT_CLEAN(iot_free_p) char *payload = NULL;
	IOT_JSON names = json_pack("{s:s, s:s}", "thingName", thing, "shadowName", name);
	IOT_JSON message = NULL;
	int64_t now = iot_now_ms() / 1000;
	enum iot_status status = find_named(local, names, &shadow, err);

	if (status != IOT_OK)
		return status;
	message = json_pack("{s:{s:o}}", "state", "desired",
			    patch_of(json_object_get(shadow.doc.state, "desired"), desired));
	payload = json_dumps(message, JSON_COMPACT | JSON_REAL_PRECISION(16));
	status = shadow_request_update(payload, strlen(payload), &asked, err);
	if (status == IOT_OK)
		status = change(local, &shadow, &asked, now, &after, err);
	return status == IOT_OK && tell ? say_update(local, &shadow, &after, &asked, now, NULL, err) : status;
}

enum iot_status iot_local_shadow_delta(struct iot_local *local, const char *thing, const char *name, char **ret_topic,
				       char **ret_payload, struct iot_error *err)
{
	const struct shadow_request nobody = {.version = -1};
	IOT_CLEAN(shadow_release) struct shadow shadow = {0};
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(IOT_SHADOW_MESSAGE_MAX);
	IOT_JSON names = json_pack("{s:s, s:s}", "thingName", thing, "shadowName", name);
	IOT_JSON delta = NULL;
	enum iot_status status = find(local, names, &shadow, err);

	if (status != IOT_OK || !shadow.doc.exists)
		return status;
	delta = shadow_delta(&shadow.doc, &nobody, iot_now_ms() / 1000);
	if (delta == NULL)
		return IOT_OK;
	shadow_text(delta, &text);
	status = iot_buf_check(&text, "shadow", err);
	if (status != IOT_OK)
		return status;
	*ret_topic = iot_strf("$aws/things/%s/shadow/name/%s/update/delta", thing, name);
	*ret_payload = iot_buf_detach(&text);
	return IOT_OK;
}

enum iot_status iot_local_has_shadow(struct iot_cloud *cloud, const char *thing, const char *name, bool *ret,
				     struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;

	return iot_stmt_query(iot_local_store(cloud), &stmt, ret, err,
			      "SELECT 1 FROM shadows s JOIN things t ON t.id = s.thing_id"
			      " WHERE t.name = ? AND s.name = ? AND s.document IS NOT NULL",
			      "ss", thing, name);
}

const struct iot_local_handler iot_local_shadow_handlers[] = {
	{"iotdata:GetThingShadow", get_shadow, false},
	{"iotdata:UpdateThingShadow", update_shadow, false},
	{"iotdata:DeleteThingShadow", delete_shadow, false},
	{"iotdata:ListNamedShadowsForThing", list_shadows, false},
	{NULL, NULL, false},
};
