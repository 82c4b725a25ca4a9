/*
 * What goes out over an MQTT connection. libmosquitto's own queue has no limit,
 * so every message is counted from the moment it is handed over until it is
 * written (QoS 0) or acknowledged (QoS 1), and a full queue says so instead of
 * growing.
 */
#include "transport/mqtt_internal.h"

#include "iotctl/base.h"

#include <mqtt_protocol.h>
#include <string.h>

enum {
	QUEUE_MESSAGES = 10000,
	QUEUE_BYTES = 16 * 1024 * 1024,
};

static void push_pending(struct iot_mqtt *mqtt, int mid, size_t len)
{
	if (mqtt->pending_start + mqtt->pending_count == mqtt->pending_cap) {
		if (mqtt->pending_start > mqtt->pending_cap / 2) {
			memmove(mqtt->pending, mqtt->pending + mqtt->pending_start,
				mqtt->pending_count * sizeof(*mqtt->pending));
			mqtt->pending_start = 0;
		} else {
			mqtt->pending_cap = mqtt->pending_cap > 0 ? mqtt->pending_cap * 2 : 16;
			mqtt->pending = iot_realloc(mqtt->pending, mqtt->pending_cap * sizeof(*mqtt->pending));
		}
	}
	mqtt->pending[mqtt->pending_start + mqtt->pending_count++] = (struct mqtt_pending){mid, len};
	mqtt->pending_bytes += len;
}

/* Acknowledgements come in order as a rule, so the one looked for is near the start. */
static void remove_pending(struct iot_mqtt *mqtt, int mid)
{
	struct mqtt_pending *first;

	if (mqtt->pending_count == 0)
		return;
	first = mqtt->pending + mqtt->pending_start;
	for (size_t i = 0; i < mqtt->pending_count; i++) {
		if (first[i].mid != mid)
			continue;
		mqtt->pending_bytes -= first[i].len;
		memmove(first + 1, first, i * sizeof(*first));
		mqtt->pending_start++;
		if (--mqtt->pending_count == 0)
			mqtt->pending_start = 0;
		return;
	}
}

void mqtt_forget_pending(struct iot_mqtt *mqtt)
{
	mqtt->pending_start = mqtt->pending_count = mqtt->pending_bytes = 0;
	mqtt->done_count = 0;
}

void mqtt_mark_done(struct iot_mqtt *mqtt, int mid, int reason)
{
	remove_pending(mqtt, mid);
	if (mqtt->done_count == mqtt->done_cap) {
		mqtt->done_cap = mqtt->done_cap > 0 ? mqtt->done_cap * 2 : 16;
		mqtt->done = iot_realloc(mqtt->done, mqtt->done_cap * sizeof(*mqtt->done));
	}
	mqtt->done[mqtt->done_count++] = (struct mqtt_done){mid, reason};
}

void mqtt_tell_done(struct iot_mqtt *mqtt)
{
	/* The owner may publish from within the event, which adds to the list. */
	for (size_t i = 0; i < mqtt->done_count; i++) {
		struct mqtt_done done = mqtt->done[i];

		mqtt->happened++;
		if (mqtt->events.published != NULL)
			mqtt->events.published(mqtt, done.mid, done.reason, mqtt->data);
	}
	mqtt->done_count = 0;
}

enum iot_status mqtt_check_rc(struct iot_mqtt *mqtt, int rc, const char *doing, const char *subject,
			      struct iot_error *err)
{
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		return IOT_OK;
	case MOSQ_ERR_INVAL:
	case MOSQ_ERR_MALFORMED_UTF8:
		return iot_fail(err, IOT_USAGE, "cannot %s '%s': not a valid topic", doing, subject);
	case MOSQ_ERR_PAYLOAD_SIZE:
	case MOSQ_ERR_OVERSIZE_PACKET:
		return iot_fail(err, IOT_USAGE, "cannot %s '%s': the message is too large", doing, subject);
	case MOSQ_ERR_QOS_NOT_SUPPORTED:
	case MOSQ_ERR_RETAIN_NOT_SUPPORTED:
	case MOSQ_ERR_NOT_SUPPORTED:
		return iot_fail(err, IOT_USAGE, "cannot %s '%s': the broker does not support this", doing, subject);
	case MOSQ_ERR_NO_CONN:
	case MOSQ_ERR_CONN_LOST:
		return iot_fail(err, IOT_AGAIN, "cannot %s '%s': not connected as '%s'", doing, subject,
				mqtt->options.client_id);
	default:
		return iot_fail(err, IOT_FAILURE, "cannot %s '%s': %s", doing, subject, mosquitto_strerror(rc));
	}
}

static enum iot_status check_room(struct iot_mqtt *mqtt, const char *topic, size_t len, struct iot_error *err)
{
	if (mqtt->mosq == NULL || mqtt->phase != MQTT_UP || mqtt->lost)
		return mqtt_check_rc(mqtt, MOSQ_ERR_NO_CONN, "publish to", topic, err);
	if (len > MQTT_MAX_PAYLOAD)
		return mqtt_check_rc(mqtt, MOSQ_ERR_PAYLOAD_SIZE, "publish to", topic, err);
	if (mqtt->pending_count >= QUEUE_MESSAGES || mqtt->done_count >= QUEUE_MESSAGES ||
	    (mqtt->pending_count > 0 && mqtt->pending_bytes + len > QUEUE_BYTES))
		return iot_fail(err, IOT_AGAIN, "cannot publish to '%s': %zu messages wait to be sent", topic,
				mqtt->pending_count);
	return IOT_OK;
}

static int make_properties(const struct iot_mqtt_message *message, mosquitto_property **ret)
{
	int rc = MOSQ_ERR_SUCCESS;

	if (message->is_utf8)
		rc = mosquitto_property_add_byte(ret, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, 1);
	if (message->content_type != NULL && rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_property_add_string(ret, MQTT_PROP_CONTENT_TYPE, message->content_type);
	if (message->expiry_s > 0 && rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_property_add_int32(ret, MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, message->expiry_s);
	for (size_t i = 0; i < message->property_count && rc == MOSQ_ERR_SUCCESS; i++)
		rc = mosquitto_property_add_string_pair(ret, MQTT_PROP_USER_PROPERTY, message->properties[i].name,
							message->properties[i].value);
	if (message->response_topic != NULL && rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_property_add_string(ret, MQTT_PROP_RESPONSE_TOPIC, message->response_topic);
	if (message->correlation != NULL && rc == MOSQ_ERR_SUCCESS) {
		if (message->correlation_len > UINT16_MAX)
			return MOSQ_ERR_PAYLOAD_SIZE;
		rc = mosquitto_property_add_binary(ret, MQTT_PROP_CORRELATION_DATA, message->correlation,
						   (uint16_t)message->correlation_len);
	}
	return rc;
}

enum iot_status iot_mqtt_publish_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, int *ret_mid,
					 struct iot_error *err)
{
	mosquitto_property *properties = NULL;
	enum iot_status status = check_room(mqtt, message->topic, message->payload_len, err);
	int rc = MOSQ_ERR_SUCCESS, mid = 0;

	if (status != IOT_OK)
		return status;
	if (mqtt->options.mqtt5)
		rc = make_properties(message, &properties);
	if (rc == MOSQ_ERR_SUCCESS) {
		mqtt->depth++;
		rc = mosquitto_publish_v5(mqtt->mosq, &mid, message->topic, (int)message->payload_len, message->payload,
					  message->qos, message->retain, properties);
		mqtt->depth--;
	}
	mosquitto_property_free_all(&properties);
	status = mqtt_check_rc(mqtt, rc, "publish to", message->topic, err);
	if (status != IOT_OK)
		return status;
	/* A QoS 0 message is often written before the call returns. */
	if (mqtt->done_count == 0 || mqtt->done[mqtt->done_count - 1].mid != mid)
		push_pending(mqtt, mid, message->payload_len);
	if (ret_mid != NULL)
		*ret_mid = mid;
	return IOT_OK;
}

enum iot_status iot_mqtt_publish(struct iot_mqtt *mqtt, const char *topic, const void *payload, size_t len, int qos,
				 bool retain, int *ret_mid, struct iot_error *err)
{
	const struct iot_mqtt_message message = {
		.topic = topic, .payload = payload, .payload_len = len, .qos = qos, .retain = retain};

	return iot_mqtt_publish_message(mqtt, &message, ret_mid, err);
}

enum iot_status iot_mqtt_subscribe(struct iot_mqtt *mqtt, const char *filter, int qos, int *ret_mid,
				   struct iot_error *err)
{
	int rc = MOSQ_ERR_NO_CONN, mid = 0;
	enum iot_status status;

	if (mqtt->mosq != NULL && mqtt->phase == MQTT_UP && !mqtt->lost) {
		mqtt->depth++;
		rc = mosquitto_subscribe(mqtt->mosq, &mid, filter, qos);
		mqtt->depth--;
	}
	status = mqtt_check_rc(mqtt, rc, "subscribe to", filter, err);
	if (status == IOT_OK && ret_mid != NULL)
		*ret_mid = mid;
	return status;
}

enum iot_status iot_mqtt_unsubscribe(struct iot_mqtt *mqtt, const char *filter, struct iot_error *err)
{
	int rc = MOSQ_ERR_NO_CONN;

	if (mqtt->mosq != NULL && mqtt->phase == MQTT_UP && !mqtt->lost) {
		mqtt->depth++;
		rc = mosquitto_unsubscribe(mqtt->mosq, NULL, filter);
		mqtt->depth--;
	}
	return mqtt_check_rc(mqtt, rc, "unsubscribe from", filter, err);
}
