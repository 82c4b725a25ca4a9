/*
 * AWS's lifecycle events of one client. Events may come twice and out of order:
 * the number that a connection's events carry decides which is the newest.
 */
#include "fleet/lifecycle.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <stdio.h>
#include <string.h>

enum { CONNECT_MS = 15000, QOS = 1 };

struct lifecycle {
	struct iot_mqtt *mqtt;
	char *thing;
	struct lifecycle_state state;
	int64_t version, at_ms; /* of the event that counts */
	bool lost;
	char reason[256];
};

static void take(struct lifecycle *lifecycle, const json_t *event)
{
	const char *kind = iot_json_str(event, "eventType", "");
	bool connected = strcmp(kind, "connected") == 0;
	int64_t version = iot_json_int(event, "versionNumber", 0), at_ms = iot_json_int(event, "timestamp", 0);
	struct lifecycle_state *state = &lifecycle->state;

	if (strcmp(iot_json_str(event, "clientId", ""), lifecycle->thing) != 0 || at_ms <= 0 ||
	    (!connected && strcmp(kind, "disconnected") != 0))
		return;
	if (version < lifecycle->version || (version == lifecycle->version && at_ms < lifecycle->at_ms))
		return;
	lifecycle->version = version;
	lifecycle->at_ms = at_ms;
	state->connected = connected;
	state->since = at_ms / 1000;
	snprintf(state->certificate_id, sizeof(state->certificate_id), "%s",
		 iot_json_str(event, "principalIdentifier", ""));
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	IOT_JSON event = NULL;

	(void)mqtt;
	if (!message->retain &&
	    iot_json_parse(message->payload, message->payload_len, "lifecycle event", &event, NULL) == IOT_OK)
		take(data, event);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct lifecycle *lifecycle = data;

	(void)mqtt;
	(void)status;
	lifecycle->lost = true;
	snprintf(lifecycle->reason, sizeof(lifecycle->reason), "%s", reason);
}

enum iot_status lifecycle_open(const struct iot_messaging_where *where, const char *thing, struct lifecycle **ret,
			       struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.message = on_message, .disconnected = on_disconnected};
	IOT_CLEAN(iot_free_p) char *filter = iot_strf("$aws/events/presence/+/%s", thing);
	IOT_CLEAN(iot_free_p) char *who = NULL;
	struct lifecycle *lifecycle = iot_alloc(sizeof(*lifecycle));
	enum iot_status status;

	lifecycle->thing = iot_strdup(thing);
	lifecycle->version = -1;
	status = iot_messaging_connect(where, &events, lifecycle, CONNECT_MS, &lifecycle->mqtt, &who, err);
	if (status == IOT_OK)
		status = iot_mqtt_subscribe_wait(lifecycle->mqtt, filter, QOS, CONNECT_MS, err);
	if (status == IOT_OK)
		*ret = lifecycle;
	else
		lifecycle_free(lifecycle);
	return status;
}

void lifecycle_free(struct lifecycle *lifecycle)
{
	if (lifecycle == NULL)
		return;
	iot_mqtt_free(lifecycle->mqtt);
	free(lifecycle->thing);
	free(lifecycle);
}

enum iot_status lifecycle_hear(struct lifecycle *lifecycle, int wait_ms, struct lifecycle_state *ret,
			       struct iot_error *err)
{
	if (!lifecycle->lost)
		iot_mqtt_wait(lifecycle->mqtt, wait_ms);
	if (lifecycle->lost)
		return iot_fail(err, IOT_AGAIN, "lost the operator's connection: %s", lifecycle->reason);
	*ret = lifecycle->state;
	return IOT_OK;
}
