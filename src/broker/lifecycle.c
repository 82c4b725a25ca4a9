/*
 * Who came and who went, said on the topics on which AWS IoT says it, with its members (developer guide, "Lifecycle
 * events"). As there, such a message may come twice, or late.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_t *payload_of(bool connected, const json_t *event)
{
	const char *reason = iot_json_str(event, "reason", "UNKNOWN");
	int64_t connection = iot_json_int(event, "connection", 0);
	json_t *payload = json_object();
	char session[17];

	snprintf(session, sizeof(session), "%016" PRIx64, (uint64_t)connection);
	iot_json_set_str(payload, "clientId", iot_json_str(event, "clientId", ""));
	iot_json_set_int(payload, "timestamp", iot_json_int(event, "timestamp", 0));
	iot_json_set_str(payload, "eventType", connected ? "connected" : "disconnected");
	iot_json_set_str(payload, "sessionIdentifier", session);
	iot_json_set_str(payload, "principalIdentifier", iot_json_str(event, "certificateId", NULL));
	if (connected)
		iot_json_set_str(payload, "ipAddress", iot_json_str(event, "address", NULL));
	if (!connected) {
		iot_json_set_bool(payload, "clientInitiatedDisconnect",
				  strcmp(reason, "CLIENT_INITIATED_DISCONNECT") == 0);
		iot_json_set_str(payload, "disconnectReason", reason);
	}
	iot_json_set_int(payload, "versionNumber", connection);
	return payload;
}

void lifecycle_say(struct iot_mqtt *mqtt, bool connected, const json_t *event)
{
	const char *client = iot_json_str(event, "clientId", "");
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON payload = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	/* As at AWS, ids with wildcards in them have none: they would be no topic. */
	if (*client == '\0' || strpbrk(client, "+#") != NULL)
		return;
	payload = payload_of(connected, event);
	topic = iot_strf("$aws/events/presence/%s/%s", connected ? "connected" : "disconnected", client);
	text = iot_json_text(payload);
	if (iot_mqtt_publish(mqtt, topic, text, strlen(text), 1, false, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_INFO, "an event was dropped: ", &err);
}
