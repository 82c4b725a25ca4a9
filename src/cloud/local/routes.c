/*
 * What is kept of what devices say: the topics on which services must know who says it (the plugin reads them), and the
 * routes that serve takes events by. Whoever changes either gives the talk a new number, by which serve knows that it
 * has to read again.
 */
#include "local_private.h"

#include <string.h>

#define META_TALK "talk"

/* End a transaction, with a new number of the talk and a word to serve. */
static enum iot_status end(struct iot_local *local, enum iot_status status, struct iot_error *err)
{
	char id[37];

	iot_uuid(id);
	if (status == IOT_OK)
		status = iot_local_set_meta(local, META_TALK, id, err);
	local->wake = local->wake || status == IOT_OK;
	return iot_local_end(local, status, err);
}

enum iot_status iot_local_talk_changed(struct iot_cloud *cloud, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status = iot_local_begin(local, err);

	return status == IOT_OK ? end(local, status, err) : status;
}

enum iot_status iot_local_talk_version(struct iot_cloud *cloud, char **ret, struct iot_error *err)
{
	return iot_local_meta_get(cloud, META_TALK, ret, err);
}

/* --- topics ------------------------------------------------------------------------------------ */

static enum iot_status read_topics(struct iot_local *local, json_t *topics, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, "SELECT filter, thing_level FROM topics", &stmt, err);
	bool row = false;

	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		iot_json_set_int(topics, iot_stmt_text(stmt, 0), iot_stmt_int(stmt, 1));
	return status;
}

static enum iot_status write_topics(struct iot_local *local, const json_t *topics, struct iot_error *err)
{
	enum iot_status status = iot_store_run(local->store, NULL, err, "DELETE FROM topics", "");
	const char *filter;
	json_t *level;

	json_object_foreach((json_t *)(uintptr_t)topics, filter, level) {
		if (status == IOT_OK)
			status = iot_store_run(local->store, NULL, err,
					       "INSERT INTO topics (filter, thing_level) VALUES (?, ?)", "si", filter,
					       (int64_t)json_integer_value(level));
	}
	return status;
}

enum iot_status iot_local_topics_set(struct iot_cloud *cloud, const json_t *topics, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_JSON old = json_object();
	enum iot_status status = read_topics(local, old, err);

	if (status != IOT_OK || json_equal(old, topics))
		return status;
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = write_topics(local, topics, err);
	return iot_local_end(local, status, err);
}

/* --- routes ------------------------------------------------------------------------------------ */

/* The place in front of a route, made free; behind all others if `before` is NULL. */
static enum iot_status make_place(struct iot_local *local, const char *before, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status =
		iot_stmt_query(local->store, &stmt, &row, err,
			       before != NULL ? "SELECT place FROM routes WHERE name = ?1"
					      : "SELECT ifnull(max(place), 0) + 1 FROM routes WHERE ?1 IS NULL",
			       "s", before);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "there is no route '%s'", before);
	*ret = iot_stmt_int(stmt, 0);
	if (before == NULL)
		return IOT_OK;
	return iot_store_run(local->store, NULL, err, "UPDATE routes SET place = place + 1 WHERE place >= ?", "i",
			     *ret);
}

static enum iot_status insert(struct iot_local *local, const json_t *route, const char *before, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(route);
	const char *name = iot_json_str(route, "name", "");
	int64_t place = 0, made = 0;
	enum iot_status status = make_place(local, before, &place, err);

	if (status == IOT_OK)
		status = iot_store_run(local->store, &made, err,
				       "INSERT INTO routes (name, place, route, created_at) VALUES (?, ?, ?, ?)"
				       " ON CONFLICT (name) DO NOTHING",
				       "sisi", name, place, text, iot_now_ms());
	if (status == IOT_OK && made == 0)
		return iot_local_exists(err, "there is a route '%s' already", name);
	return status;
}

enum iot_status iot_local_route_add(struct iot_cloud *cloud, const json_t *route, const char *before,
				    struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status = iot_local_begin(local, err);

	if (status != IOT_OK)
		return status;
	status = insert(local, route, before, err);
	return end(local, status, err);
}

static enum iot_status delete (struct iot_local *local, const char *name, struct iot_error *err) {
	int64_t gone = 0; enum iot_status status = iot_store_run(local->store, &gone, err,
								 "DELETE FROM routes WHERE name = ?", "s", name);

	if (status == IOT_OK && gone == 0) return iot_local_not_found(err, "there is no route '%s'", name);
	return status;
}

enum iot_status iot_local_route_remove(struct iot_cloud *cloud, const char *name, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status = iot_local_begin(local, err);

	if (status != IOT_OK)
		return status;
	status = delete (local, name, err);
	return end(local, status, err);
}

/* A row that was damaged by hand is shown with its name alone: nothing is taken by it. */
static json_t *route_of(struct iot_stmt *stmt)
{
	const char *name = iot_stmt_text(stmt, 0), *text = iot_stmt_text(stmt, 1);
	json_t *route = NULL;

	if (iot_json_parse(text, strlen(text), "route", &route, NULL) != IOT_OK || !json_is_object(route)) {
		json_decref(route);
		route = json_object();
		iot_json_set_bool(route, "damaged", true);
	}
	iot_json_set_str(route, "name", name);
	iot_json_set_int(route, "delivered", iot_stmt_int(stmt, 2));
	iot_json_set_int(route, "dropped", iot_stmt_int(stmt, 3));
	iot_json_set_str(route, "fault", iot_stmt_text(stmt, 4));
	iot_local_set_time(route, "createdAt", iot_stmt_int(stmt, 5));
	return route;
}

enum iot_status iot_local_routes(struct iot_cloud *cloud, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_JSON routes = json_array();
	bool row = false;
	enum iot_status status = iot_stmt_get(iot_local_of(cloud)->store,
					      "SELECT name, route, delivered, dropped, fault, created_at FROM routes"
					      " ORDER BY place, id",
					      &stmt, err);

	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		json_array_append_new(routes, route_of(stmt));
	if (status == IOT_OK)
		*ret = iot_take(routes);
	return status;
}

enum iot_status iot_local_route_count(struct iot_cloud *cloud, const char *name, int64_t delivered, int64_t dropped,
				      const char *fault, struct iot_error *err)
{
	return iot_store_run(iot_local_of(cloud)->store, NULL, err,
			     "UPDATE routes SET delivered = delivered + ?, dropped = dropped + ?, fault = ?"
			     " WHERE name = ?",
			     "iiss", delivered, dropped, fault, name);
}
