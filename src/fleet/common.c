/* Short ways to call a cloud and to walk its lists. */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <string.h>

/* AWS forgets an attachment some time after it was taken away. */
enum { SETTLE_MS = 30000, SETTLE_STEP_MS = 700 };

enum iot_status fleet_call(struct iot_cloud *cloud, const char *operation, json_t *request, json_t **ret_reply,
			   struct iot_error *err)
{
	enum iot_status status = iot_cloud_call(cloud, operation, request, NULL, ret_reply, NULL, err);

	json_decref(request);
	return status;
}

enum iot_status fleet_delete(struct iot_cloud *cloud, const char *operation, const char *member, const char *name,
			     struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	int64_t deadline = iot_deadline(fleet_is_local(cloud) ? 0 : SETTLE_MS);

	err = err != NULL ? err : &scratch;
	for (;;) {
		enum iot_status status = fleet_call(cloud, operation, json_pack("{s:s}", member, name), NULL, err);
		bool held =
			strcmp(err->code, "DeleteConflictException") == 0 ||
			(strcmp(err->code, "InvalidRequestException") == 0 && strstr(err->what, "attached") != NULL);

		if (status == IOT_OK || !held || iot_left(deadline) == 0)
			return status;
		iot_error_clear(err);
		iot_cloud_pause(cloud, SETTLE_STEP_MS);
	}
}

/* Lists of certificates and policies page with marker and nextMarker, all others with nextToken. */
static bool next_page(json_t *request, const json_t *reply)
{
	const char *token = iot_json_str(reply, "nextToken", NULL);
	const char *marker = iot_json_str(reply, "nextMarker", NULL);

	if (token != NULL)
		iot_json_set_str(request, "nextToken", token);
	else if (marker != NULL)
		iot_json_set_str(request, "marker", marker);
	return token != NULL || marker != NULL;
}

enum iot_status fleet_each(struct iot_cloud *cloud, const char *operation, json_t *request, const char *items,
			   fleet_each_fn each, void *data, struct iot_error *err)
{
	enum iot_status status;
	bool more = true;

	if (request == NULL)
		request = json_object();
	do {
		IOT_JSON reply = NULL;
		json_t *item;
		size_t i;

		status = iot_cloud_call(cloud, operation, request, NULL, &reply, NULL, err);
		if (status != IOT_OK)
			break;
		json_array_foreach(json_object_get(reply, items), i, item) {
			status = each(item, data, err);
			if (status != IOT_OK)
				break;
		}
		more = next_page(request, reply);
	} while (status == IOT_OK && more);
	json_decref(request);
	return status;
}

static enum iot_status append(json_t *item, void *data, struct iot_error *err)
{
	(void)err;
	json_array_append((json_t *)data, item);
	return IOT_OK;
}

enum iot_status fleet_collect(struct iot_cloud *cloud, const char *operation, json_t *request, const char *items,
			      json_t **ret_array, struct iot_error *err)
{
	IOT_JSON array = json_array();
	enum iot_status status = fleet_each(cloud, operation, request, items, append, array, err);

	if (status == IOT_OK)
		*ret_array = iot_take(array);
	return status;
}

bool fleet_is_remote(struct iot_cloud *cloud)
{
	return cloud != NULL && strcmp(iot_cloud_kind(cloud), "aws") == 0 &&
	       iot_starts_with(iot_cloud_arn_prefix(cloud), "arn:aws:iot:local:");
}

bool fleet_is_local(const struct iot_cloud *cloud)
{
	return strcmp(iot_cloud_kind(cloud), "local") == 0;
}

enum iot_status iot_fleet_need_local(const struct iot_cloud *cloud, struct iot_error *err)
{
	if (fleet_is_local(cloud))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "this is done on the machine of a local fleet only");
	iot_error_hint(err, "call it there, or choose a fleet of this machine with --cloud local");
	return IOT_USAGE;
}

const char *fleet_id(struct iot_cloud *cloud)
{
	return fleet_is_local(cloud) ? iot_local_paths(cloud)->dir : iot_cloud_arn_prefix(cloud);
}

enum iot_status fleet_begin(struct iot_cloud *cloud, struct iot_error *err)
{
	/* AWS has no such thing: every step of a use-case can be repeated. */
	return fleet_is_local(cloud) ? iot_store_begin(iot_local_store(cloud), err) : IOT_OK;
}

enum iot_status fleet_end(struct iot_cloud *cloud, enum iot_status status, struct iot_error *err)
{
	struct iot_store *store;

	if (!fleet_is_local(cloud))
		return status;
	store = iot_local_store(cloud);
	if (status == IOT_OK)
		status = iot_store_commit(store, err);
	if (status != IOT_OK)
		iot_store_rollback(store);
	else
		iot_local_wake(cloud);
	return status;
}

char *fleet_arn(struct iot_cloud *cloud, const char *kind, const char *name)
{
	return iot_strf("%s%s/%s", iot_cloud_arn_prefix(cloud), kind, name);
}

const char *fleet_arn_name(const char *arn)
{
	const char *slash = strchr(arn, '/');

	return slash != NULL ? slash + 1 : arn;
}

bool fleet_exists(const struct iot_error *err)
{
	return strcmp(err->code, "ResourceAlreadyExistsException") == 0;
}

bool fleet_missing(const struct iot_error *err)
{
	return strcmp(err->code, "ResourceNotFoundException") == 0;
}

int64_t fleet_time_ms(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? (int64_t)(json_number_value(value) * 1000.0 + 0.5) : 0;
}

void fleet_set_time(json_t *object, const char *key, int64_t ms)
{
	char text[32];

	if (ms != 0)
		iot_json_set_str(object, key, iot_time_rfc3339(ms, text));
}

void fleet_finding(json_t *findings, const char *key, const char *subject, const char *rule, const char *hint,
		   const char *fmt, va_list args)
{
	char message[512];
	json_t *finding = json_object();

	vsnprintf(message, sizeof(message), fmt, args);
	iot_text_printable(message);
	iot_json_set_str(finding, key, subject);
	iot_json_set_str(finding, "rule", rule);
	iot_json_set_str(finding, "message", message);
	iot_json_set_str(finding, "hint", hint);
	json_array_append_new(findings, finding);
}
