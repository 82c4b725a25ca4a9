/*
 * What devices report of themselves: which firmware they run, and why they
 * started. A device that fell back to an older firmware than the update it had
 * accepted is offered that update again.
 */
#include "configs_private.h"
#include "jobs_private.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Bytes of a report; of a version; and reports of a device that are kept, as many as Google's IoT Core kept. */
enum { STATE_MAX = 8192, FIRMWARE_MAX = 64, HISTORY_MAX = 10 };

/*
 * Order of two versions: runs of digits compare as numbers, the rest as bytes;
 * "1.10.0" is newer than "1.9.2". Leading 'v' does not count.
 */
static int compare_versions(const char *a, const char *b)
{
	a += *a == 'v' || *a == 'V';
	b += *b == 'v' || *b == 'V';
	while (*a != '\0' && *b != '\0') {
		if (isdigit((unsigned char)*a) && isdigit((unsigned char)*b)) {
			size_t la, lb;
			int order;

			a += strspn(a, "0");
			b += strspn(b, "0");
			la = strspn(a, "0123456789");
			lb = strspn(b, "0123456789");
			if (la != lb)
				return la < lb ? -1 : 1;
			order = strncmp(a, b, la);
			if (order != 0)
				return order;
			a += la;
			b += lb;
			continue;
		}
		if (*a != *b)
			return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
		a++;
		b++;
	}
	return (*a != '\0') - (*b != '\0');
}

/* The device fell back: to its factory image, or to something older than it had accepted. */
static bool fell_back(const char *firmware, const char *accepted, bool factory)
{
	if (accepted == NULL || firmware == NULL)
		return factory;
	if (factory)
		return compare_versions(firmware, accepted) != 0;
	return compare_versions(firmware, accepted) < 0;
}

/*
 * The update that the thing accepted last, unless anything is pending or was tried on it since. An update is a job
 * whose document has a member afr_ota; its version is in the document, or in what CreateOTAUpdate was told.
 */
#define IS_UPDATE(job) "json_type(" job ".document, '$.afr_ota') IS NOT NULL"
static const char accepted_sql[] =
	"SELECT e.job, coalesce(json_extract(j.document, '$.iotctl.version'), o.image_version)"
	" FROM executions e JOIN jobs j ON j.id = e.job LEFT JOIN ota_updates o ON o.job_id = j.job_id"
	" WHERE e.thing_id = ?1 AND e.status = 'SUCCEEDED' AND j.status IN ('IN_PROGRESS', 'COMPLETED') AND " IS_UPDATE(
		"j") " AND NOT EXISTS (SELECT 1 FROM executions p WHERE p.thing_id = ?1 AND p.status IN ('QUEUED', "
		     "'IN_PROGRESS'))"
		     " AND NOT EXISTS (SELECT 1 FROM executions n WHERE n.job = e.job AND n.thing_id = ?1 AND n.number "
		     "> e.number)"
		     " AND NOT EXISTS (SELECT 1 FROM executions l JOIN jobs k ON k.id = l.job"
		     " WHERE l.thing_id = ?1 AND l.status = 'SUCCEEDED' AND " IS_UPDATE(
			     "k") " AND (l.updated_at > e.updated_at OR (l.updated_at = e.updated_at AND l.id > e.id)))"
				  " LIMIT 1";

static enum iot_status offer_again(struct iot_local *local, int64_t thing_id, const char *firmware, bool factory,
				   bool *ret_requeued, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, accepted_sql, &stmt, err);
	bool row = false;
	int64_t job;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", thing_id);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK || !row || !fell_back(firmware, iot_stmt_text(stmt, 1), factory))
		return status;
	job = iot_stmt_int(stmt, 0);
	iot_stmt_done(iot_take(stmt));
	status = iot_execution_again(local, job, thing_id, err);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE jobs SET status = 'IN_PROGRESS', completed_at = NULL, updated_at = ?"
				       " WHERE id = ? AND status = 'COMPLETED'",
				       "ii", iot_now_ms(), job);
	*ret_requeued = status == IOT_OK;
	return status;
}

static enum iot_status remember(struct iot_local *local, int64_t thing_id, const char *text, struct iot_error *err)
{
	enum iot_status status = iot_store_run(
		local->store, NULL, err, "INSERT INTO device_states (thing_id, state, reported_at) VALUES (?, ?, ?)",
		"isi", thing_id, text, iot_now_ms());

	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "DELETE FROM device_states WHERE thing_id = ?1 AND id <= (SELECT id FROM"
				       " device_states WHERE thing_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
				       "ii", thing_id, (int64_t)HISTORY_MAX);
	return status;
}

static enum iot_status record(struct iot_local *local, const char *thing, const json_t *state, const char *text,
			      bool *ret_requeued, struct iot_error *err)
{
	bool object = json_is_object(state);
	const char *firmware = object ? iot_json_str(state, "firmware", NULL) : NULL;
	bool factory = object && strcmp(iot_json_str(state, "boot", ""), "factory") == 0;
	int64_t thing_id = 0;
	enum iot_status status = iot_local_thing_id(local, thing, &thing_id, err);

	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "INSERT INTO device_state (thing_id, firmware, state, reported_at)"
				       " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (thing_id) DO UPDATE SET"
				       " firmware = ifnull(?2, firmware), state = ?3, reported_at = ?4",
				       "issi", thing_id, firmware, text, iot_now_ms());
	if (status == IOT_OK)
		status = remember(local, thing_id, text, err);
	if (status == IOT_OK && object)
		status = iot_local_config_reported(local, thing_id, thing, "state", state, err);
	if (status == IOT_OK && (firmware != NULL || factory))
		status = offer_again(local, thing_id, firmware, factory, ret_requeued, err);
	return status;
}

enum iot_status iot_local_state(struct iot_cloud *cloud, const char *thing, const json_t *state, bool *ret_requeued,
				struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	bool requeued = false;
	enum iot_status status;

	if (!json_is_object(state) && !json_is_string(state))
		return iot_local_invalid(err, "the state that thing '%s' reported is neither a JSON object nor bytes",
					 thing);
	text = json_dumps(state, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(16));
	if (strlen(text) > (json_is_string(state) ? STATE_MAX * 4 / 3 + 8 : STATE_MAX) ||
	    strlen(iot_json_str(state, "firmware", "")) > FIRMWARE_MAX)
		return iot_local_invalid(err,
					 "the state that thing '%s' reported is larger than %d bytes, or its version "
					 "longer than %d",
					 thing, STATE_MAX, FIRMWARE_MAX);
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = record(local, thing, state, text, &requeued, err);
	status = iot_local_end(local, status, err);
	if (status == IOT_OK && ret_requeued != NULL)
		*ret_requeued = requeued;
	return status;
}

/* A report that is no JSON object is kept as a JSON string of its bytes in base64. */
static void set_state(json_t *to, const char *text)
{
	IOT_JSON value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	if (json_is_string(value))
		json_object_set(to, "stateBytes", value);
	else if (value != NULL)
		json_object_set(to, "state", value);
}

static void reply_connection(struct iot_stmt *stmt, json_t *reply)
{
	json_t *connection;

	if (iot_stmt_is_null(stmt, 3))
		return;
	connection = json_object();
	iot_json_set_bool(connection, "connected", iot_stmt_int(stmt, 3) != 0);
	iot_local_set_time(connection, "since", iot_stmt_int(stmt, 4));
	iot_json_set_str(connection, "reason", iot_stmt_text(stmt, 5));
	iot_json_set_str(connection, "address", iot_stmt_text(stmt, 6));
	iot_json_set_str(connection, "certificateId", iot_stmt_text(stmt, 7));
	json_object_set_new(reply, "connection", connection);
}

IOT_HANDLER(iot_do_get_device_state)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *thing = iot_json_str(request, "thingName", "");
	enum iot_status status;
	bool row = false;

	(void)in, (void)out;
	status = iot_stmt_query(
		local->store, &stmt, &row, err,
		"SELECT s.firmware, s.state, s.reported_at, p.connected, p.changed_at, p.reason, p.address,"
		" p.certificate_id FROM things t LEFT JOIN device_state s ON s.thing_id = t.id"
		" LEFT JOIN presence p ON p.client_id = t.name WHERE t.name = ?",
		"s", thing);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_local_not_found(err, "thing '%s' does not exist", thing);
	iot_json_set_str(*ret_reply, "firmware", iot_stmt_text(stmt, 0));
	set_state(*ret_reply, iot_stmt_text(stmt, 1));
	iot_local_set_time(*ret_reply, "reportedAt", iot_stmt_int(stmt, 2));
	reply_connection(stmt, *ret_reply);
	return IOT_OK;
}

IOT_HANDLER(iot_do_list_device_states)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *thing = iot_json_str(request, "thingName", "");
	json_t *states = json_array();
	int64_t thing_id = 0;
	enum iot_status status;
	bool row = false;

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "states", states);
	status = iot_local_thing_id(local, thing, &thing_id, err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT id, state, reported_at FROM device_states WHERE thing_id = ?"
				      " ORDER BY id DESC",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", thing_id);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		json_t *state = json_object();

		iot_json_set_int(state, "number", iot_stmt_int(stmt, 0));
		iot_local_set_time(state, "reportedAt", iot_stmt_int(stmt, 2));
		set_state(state, iot_stmt_text(stmt, 1));
		json_array_append_new(states, state);
	}
	return status;
}
