/*
 * Who of the children is there, told to the registry: the local cloud says a new configuration only to who is
 * connected, and people want to see it. Changes of a
 * tenth of a second are one transaction; what the registry does not take now, it gets
 * later.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/log.h"

enum { FLUSH_MS = 100, RETRY_MS = 1000, EVENTS_MAX = 100000 };

void presence_tell(struct gateway *gateway, const char *thing, bool connected, const char *address)
{
	json_t *event;
	int64_t now = iot_now_ms();

	if (gateway->presence == NULL)
		return;
	/* Numbers grow, also over restarts; see iot_local_presence. */
	gateway->connection = gateway->connection < now ? now : gateway->connection + 1;
	if (json_array_size(gateway->presence) >= EVENTS_MAX)
		return;
	event = json_pack("{s:s, s:b, s:I}", "thing", thing, "connected", connected, "connection",
			  (json_int_t)gateway->connection);
	iot_json_set_str(event, "address", address);
	json_array_append_new(gateway->presence, event);
}

static enum iot_status write_events(struct gateway *gateway, struct iot_error *err)
{
	enum iot_status status = iot_store_begin(gateway->store, err);
	json_t *event;
	size_t i;

	json_array_foreach(gateway->presence, i, event) {
		bool connected = iot_json_bool(event, "connected", false);

		if (status == IOT_OK)
			status = iot_local_presence(gateway->cloud, iot_json_str(event, "thing", ""), connected,
						    iot_json_int(event, "connection", 0),
						    connected ? "GATEWAY" : "GATEWAY_DISCONNECTED",
						    iot_json_str(event, "address", NULL), NULL, err);
	}
	if (status == IOT_OK)
		status = iot_store_commit(gateway->store, err);
	if (status != IOT_OK)
		iot_store_rollback(gateway->store);
	return status;
}

void presence_flush(struct gateway *gateway)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (json_array_size(gateway->presence) == 0 || iot_left(gateway->next_presence) > 0)
		return;
	gateway->next_presence = iot_deadline(FLUSH_MS);
	if (write_events(gateway, &err) == IOT_OK) {
		json_array_clear(gateway->presence);
		return;
	}
	iot_log_error(IOT_LOG_INFO, "cannot record who is connected, and tries again: ", &err);
	gateway->next_presence = iot_deadline(RETRY_MS);
}

/* A gateway that was killed could not say that its children are gone. */
enum iot_status presence_begin(struct gateway *gateway, struct iot_error *err)
{
	IOT_JSON children = NULL;
	json_t *child;
	size_t i;
	enum iot_status status = iot_gateway_children(gateway->cloud, gateway->thing, &children, err);

	gateway->presence = json_array();
	if (status == IOT_NOT_FOUND) {
		iot_error_hint(err, "'%s' is of another fleet than '%s'", gateway->options->dir,
			       gateway->options->fleet_dir);
		return status;
	}
	json_array_foreach(children, i, child)
		presence_tell(gateway, iot_json_str(child, "thingName", ""), false, NULL);
	return status;
}

void presence_end(struct gateway *gateway)
{
	gateway->next_presence = 0;
	if (gateway->presence != NULL)
		presence_flush(gateway);
	json_decref(gateway->presence);
}
