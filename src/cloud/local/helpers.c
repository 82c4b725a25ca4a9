/*
 * What every area of the local cloud uses: ids by name, ARNs, times and JSON in
 * replies, and paging by key.
 */
#include "local_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static enum iot_status id_by_name(struct iot_local *local, const char *sql, const char *what, const char *name,
				  int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, sql, "s", name);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "%s '%s' does not exist", what, name);
	*ret = iot_stmt_int(stmt, 0);
	return IOT_OK;
}

enum iot_status iot_local_thing_id(struct iot_local *local, const char *name, int64_t *ret, struct iot_error *err)
{
	return id_by_name(local, "SELECT id FROM things WHERE name = ?", "thing", name, ret, err);
}

enum iot_status iot_local_group_id(struct iot_local *local, const char *name, int64_t *ret, struct iot_error *err)
{
	return id_by_name(local, "SELECT id FROM groups WHERE name = ?", "thing group", name, ret, err);
}

char *iot_local_arn(const char *kind, const char *name)
{
	return iot_strf("%s%s/%s", IOT_LOCAL_ARN_PREFIX, kind, name);
}

void iot_local_set_arn(json_t *object, const char *key, const char *kind, const char *name)
{
	IOT_CLEAN(iot_free_p) char *arn = iot_local_arn(kind, name);

	iot_json_set_str(object, key, arn);
}

const char *iot_local_arn_name(const char *arn, const char *kind)
{
	size_t len = strlen(kind);

	if (!iot_starts_with(arn, IOT_LOCAL_ARN_PREFIX))
		return NULL;
	arn += strlen(IOT_LOCAL_ARN_PREFIX);
	if (strncmp(arn, kind, len) != 0 || arn[len] != '/' || arn[len + 1] == '\0')
		return NULL;
	return arn + len + 1;
}

void iot_local_set_time(json_t *object, const char *key, int64_t ms)
{
	if (ms != 0)
		iot_json_set_int(object, key, ms / 1000);
}

void iot_local_set_json(json_t *object, const char *key, const char *text)
{
	json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (value != NULL)
		json_object_set_new(object, key, value);
}

/* --- paging ----------------------------------------------------------------- */

/* A token is base64url of "k" and the key of the last row: it stays valid whatever is added or deleted. */
static bool decode_token(const char *token, char **ret)
{
	struct iot_buf key = IOT_BUF_INIT(1024);
	bool ok = iot_unbase64url(token, strlen(token), &key) && !key.over && key.len > 1 && key.data[0] == 'k' &&
		  iot_utf8_valid(key.data, key.len);

	if (ok)
		*ret = iot_strdup(key.data + 1);
	iot_buf_release(&key);
	return ok;
}

enum iot_status iot_page_init(struct iot_page *page, const json_t *request, const char *token_name,
			      struct iot_error *err)
{
	bool marker = strcmp(token_name, "marker") == 0;
	const char *token = iot_json_str(request, token_name, NULL);

	*page = (struct iot_page){.token_name = marker ? "marker" : "nextToken"};
	page->limit = iot_json_int(request, marker ? "pageSize" : "maxResults", IOT_PAGE_DEFAULT);
	if (page->limit > IOT_PAGE_MAX)
		page->limit = IOT_PAGE_MAX;
	if (token == NULL)
		return IOT_OK;
	if (!decode_token(token, &page->after))
		return iot_local_invalid(err, "%s is not one that a list gave", token_name);
	page->after_id = strtoll(page->after, NULL, 10);
	return IOT_OK;
}

bool iot_page_next(struct iot_page *page, const char *key)
{
	if (page->count == page->limit) {
		page->more = true;
		return false;
	}
	if (++page->count == page->limit)
		page->last = iot_strdup(key);
	return true;
}

bool iot_page_row(struct iot_page *page, struct iot_stmt *stmt, int key, enum iot_status *status, struct iot_error *err)
{
	bool row = false;

	if (*status == IOT_OK)
		*status = iot_stmt_step(stmt, &row, err);
	return *status == IOT_OK && row && iot_page_next(page, iot_stmt_text(stmt, key));
}

void iot_page_finish(struct iot_page *page, json_t *reply)
{
	if (page->more) {
		struct iot_buf key = IOT_BUF_INIT(2048);
		struct iot_buf token = IOT_BUF_INIT(4096);

		iot_buf_addc(&key, 'k');
		iot_buf_adds(&key, page->last);
		iot_base64url(key.data, key.len, &token);
		iot_json_set_str(reply, strcmp(page->token_name, "marker") == 0 ? "nextMarker" : "nextToken",
				 iot_buf_str(&token));
		iot_buf_release(&key);
		iot_buf_release(&token);
	}
	iot_page_release(page);
}

void iot_page_release(struct iot_page *page)
{
	free(page->after);
	free(page->last);
	page->after = NULL;
	page->last = NULL;
}
