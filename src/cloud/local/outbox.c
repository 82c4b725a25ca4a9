/*
 * The outbox: what devices must hear, written in the transaction that changes
 * it and deleted once it was said. A thing has at most one row of kind "jobs";
 * a further change replaces it by a row with a new id, so that a reader which is
 * just saying the old one cannot delete the news with it.
 */
#include "local_private.h"

#include <string.h>

enum iot_status iot_local_outbox_add(struct iot_local *local, const char *kind, int64_t thing_id, const char *topic,
				     const void *payload, size_t len, int qos, bool retain, struct iot_error *err)
{
	int64_t now = iot_now_ms();

	local->wake = true;
	if (payload == NULL)
		return iot_store_run(local->store, NULL, err,
				     "INSERT OR REPLACE INTO outbox (kind, thing_id, topic, qos, retain, created_at)"
				     " VALUES (?, nullif(?, 0), ?, ?, ?, ?)",
				     "sisiii", kind, thing_id, topic, (int64_t)qos, (int64_t)retain, now);
	return iot_store_run(local->store, NULL, err,
			     "INSERT INTO outbox (kind, thing_id, topic, payload, qos, retain, created_at)"
			     " VALUES (?, nullif(?, 0), ?, ?, ?, ?, ?)",
			     "sisbiii", kind, thing_id, topic, payload, len, (int64_t)qos, (int64_t)retain, now);
}

/* Rows are copied out first: whoever says them may use the registry meanwhile. */
struct row {
	struct iot_outbox_row say;
	char *kind, *thing, *topic;
	void *payload;
	bool done;
};

static void free_rows(struct row *rows, int count)
{
	for (int i = 0; i < count; i++) {
		free(rows[i].kind);
		free(rows[i].thing);
		free(rows[i].topic);
		free(rows[i].payload);
	}
	free(rows);
}

/* A row whose thing is gone needs not be said any more. */
static void copy_row(struct iot_stmt *stmt, struct row *row)
{
	size_t len = 0;
	const void *payload = iot_stmt_blob(stmt, 4, &len);

	row->kind = iot_strdup(iot_stmt_text(stmt, 1));
	row->thing = iot_strdup(iot_stmt_text(stmt, 2));
	row->topic = iot_strdup(iot_stmt_text(stmt, 3));
	if (payload != NULL) {
		row->payload = iot_alloc(len + 1);
		memcpy(row->payload, payload, len);
	}
	row->done = iot_stmt_int(stmt, 7) != 0;
	row->say = (struct iot_outbox_row){
		.id = iot_stmt_int(stmt, 0),
		.kind = row->kind,
		.thing = row->thing,
		.topic = row->topic,
		.payload = row->payload,
		.payload_len = len,
		.qos = (int)iot_stmt_int(stmt, 5),
		.retain = iot_stmt_int(stmt, 6) != 0,
	};
}

static enum iot_status read_rows(struct iot_local *local, int limit, struct row *rows, int *ret_count,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_get(local->store,
			      "SELECT o.id, o.kind, t.name, o.topic, o.payload, o.qos, o.retain,"
			      " o.thing_id IS NOT NULL AND t.id IS NULL"
			      " FROM outbox o LEFT JOIN things t ON t.id = o.thing_id ORDER BY o.id LIMIT ?",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", (int64_t)limit);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row && *ret_count < limit)
		copy_row(stmt, &rows[(*ret_count)++]);
	return status;
}

static enum iot_status delete_rows(struct iot_local *local, const struct row *rows, int count, struct iot_error *err)
{
	enum iot_status status = iot_local_begin(local, err);

	if (status != IOT_OK)
		return status;
	for (int i = 0; i < count && status == IOT_OK; i++) {
		if (rows[i].done)
			status = iot_store_run(local->store, NULL, err, "DELETE FROM outbox WHERE id = ?", "i",
					       rows[i].say.id);
	}
	return iot_local_end(local, status, err);
}

enum iot_status iot_local_outbox(struct iot_cloud *cloud, int limit,
				 bool (*say)(const struct iot_outbox_row *row, void *data), void *data, int *ret_count,
				 struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	struct row *rows;
	int count = 0, said = 0, gone = 0;
	enum iot_status status;

	if (limit < 1)
		return iot_fail(err, IOT_USAGE, "an outbox is read in batches of at least 1 row");
	rows = iot_alloc_array((size_t)limit, sizeof(*rows));
	status = read_rows(local, limit, rows, &count, err);
	for (int i = 0; i < count && status == IOT_OK; i++) {
		if (rows[i].done) {
			gone++;
			continue;
		}
		rows[i].done = say(&rows[i].say, data);
		said += rows[i].done;
	}
	if (status == IOT_OK && said + gone > 0)
		status = delete_rows(local, rows, count, err);
	free_rows(rows, count);
	if (status == IOT_OK && ret_count != NULL)
		*ret_count = said;
	return status;
}

enum iot_status iot_local_pending_things(struct iot_cloud *cloud, void (*each)(const char *thing, void *data),
					 void *data, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON names = json_array();
	enum iot_status status;
	bool row = false;
	size_t i;
	json_t *name;

	status = iot_stmt_get(local->store,
			      "SELECT t.name FROM things t WHERE t.id IN (SELECT e.thing_id FROM executions e"
			      " WHERE e.status IN ('QUEUED', 'IN_PROGRESS')) ORDER BY t.id",
			      &stmt, err);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		json_array_append_new(names, json_string(iot_stmt_text(stmt, 0)));
	if (status != IOT_OK)
		return status;
	iot_stmt_done(iot_take(stmt));
	json_array_foreach(names, i, name)
		each(json_string_value(name), data);
	return IOT_OK;
}
