/*
 * What libmosquitto calls back with. Its callbacks run inside its own functions
 * and under its locks, where a connection must not be closed or made: what
 * changes the connection is noted here and passed on later. Messages are passed
 * on at once, since they are borrowed.
 */
#include "transport/mqtt_internal.h"

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/tls.h"
#include "transport/mqtt_words.h"

#include <errno.h>
#include <mqtt_protocol.h>
#include <stdio.h>
#include <string.h>

enum { PROPERTIES_MAX = 32 };

void mqtt_explain(struct iot_mqtt *mqtt, enum iot_status status, const char *fmt, ...)
{
	va_list args;

	if (mqtt->reason[0] != '\0')
		return;
	va_start(args, fmt);
	vsnprintf(mqtt->reason, sizeof(mqtt->reason), fmt, args);
	va_end(args);
	mqtt->lost_status = status;
}

static bool explain_tls(struct iot_mqtt *mqtt)
{
	const char *words = mqtt_tls_words(mqtt->tls_text);

	if (mqtt->tls_text[0] == '\0')
		return false;
	mqtt_explain(mqtt, mqtt_tls_is_denial(mqtt->tls_text) ? IOT_DENIED : IOT_AGAIN, "%s",
		     words != NULL ? words : mqtt->tls_text);
	return true;
}

/* Refused for its protocol, or hung up by a server that took it for another one; but not for its certificate (EPROTO). */
static bool lacks_alpn(const struct iot_mqtt *mqtt, int rc, int errnum)
{
	if (mqtt->options.alpn == NULL || mqtt->alpn_chosen || mqtt->stage == IOT_MQTT_NETWORK)
		return false;
	return mqtt->tls_text[0] != '\0' ? mqtt_tls_is_alpn(mqtt->tls_text)
					 : rc != MOSQ_ERR_ERRNO || errnum != EPROTO;
}

void mqtt_explain_rc(struct iot_mqtt *mqtt, int rc, int errnum)
{
	if (rc >= 128) {
		enum iot_status status = rc == 139 || rc == 141 ? IOT_AGAIN : IOT_DENIED;

		mqtt_explain(mqtt, status, "%s", mqtt_disconnect_words(rc));
		return;
	}
	if (rc != MOSQ_ERR_SUCCESS && lacks_alpn(mqtt, rc, errnum)) {
		mqtt_explain(mqtt, IOT_AGAIN, MQTT_NO_ALPN, mqtt->options.alpn);
		return;
	}
	if (rc != MOSQ_ERR_SUCCESS && explain_tls(mqtt))
		return;
	switch (rc) {
	case MOSQ_ERR_SUCCESS:
		mqtt_explain(mqtt, mqtt->asked ? IOT_OK : IOT_AGAIN, "disconnected");
		break;
	case MOSQ_ERR_CONN_LOST:
	case MOSQ_ERR_NO_CONN:
		mqtt_explain(mqtt, IOT_AGAIN,
			     mqtt->phase == MQTT_UP ? "the broker closed the connection"
						    : "the broker closed the connection before it answered");
		break;
	case MOSQ_ERR_KEEPALIVE:
		mqtt_explain(mqtt, IOT_AGAIN, "the broker does not answer any more");
		break;
	case MOSQ_ERR_ERRNO:
		/* TLS 1.3 servers judge a client's certificate when the client has already begun to talk. */
		if (errnum == EPROTO && mqtt->phase == MQTT_CONNECTING)
			mqtt_explain(mqtt, IOT_AGAIN,
				     "the broker broke off after the TLS handshake: it may not accept this "
				     "client's certificate");
		mqtt_explain(mqtt, IOT_AGAIN, "%s", strerror(errnum));
		break;
	default:
		mqtt_explain(mqtt, IOT_AGAIN, "%s", mosquitto_strerror(rc));
	}
}

static void on_connect(struct mosquitto *mosq, void *data, int rc, int flags, const mosquitto_property *properties)
{
	struct iot_mqtt *mqtt = data;

	(void)mosq, (void)flags, (void)properties;
	mqtt->stage = IOT_MQTT_LOGIN;
	if (rc == 0) {
		mqtt->came_up = true;
		return;
	}
	mqtt_explain(mqtt, mqtt_connack_is_denial(rc, mqtt->options.mqtt5) ? IOT_DENIED : IOT_AGAIN, "%s",
		     mqtt_connack_words(rc, mqtt->options.mqtt5));
}

static void on_disconnect(struct mosquitto *mosq, void *data, int rc, const mosquitto_property *properties)
{
	struct iot_mqtt *mqtt = data;
	int errnum = errno;

	(void)mosq, (void)properties;
	mqtt->lost = true;
	mqtt_explain_rc(mqtt, rc, errnum);
}

/* User properties, response topic and correlation data; what must be freed is put into `owned`. */
struct received {
	struct iot_mqtt_property properties[PROPERTIES_MAX];
	void *owned[2 * PROPERTIES_MAX + 2];
	size_t owned_count;
};

static void read_properties(const mosquitto_property *from, struct received *received, struct iot_mqtt_message *message)
{
	char *name = NULL, *value = NULL, *topic = NULL;
	void *correlation = NULL;
	uint16_t correlation_len = 0;
	const mosquitto_property *at;
	bool again = false;

	message->properties = received->properties;
	while (message->property_count < PROPERTIES_MAX &&
	       (at = mosquitto_property_read_string_pair(from, MQTT_PROP_USER_PROPERTY, &name, &value, again)) !=
		       NULL) {
		received->properties[message->property_count].name = name;
		received->properties[message->property_count++].value = value;
		received->owned[received->owned_count++] = name;
		received->owned[received->owned_count++] = value;
		from = at;
		again = true;
	}
	if (mosquitto_property_read_string(from, MQTT_PROP_RESPONSE_TOPIC, &topic, false) != NULL) {
		message->response_topic = topic;
		received->owned[received->owned_count++] = topic;
	}
	if (mosquitto_property_read_binary(from, MQTT_PROP_CORRELATION_DATA, &correlation, &correlation_len, false) !=
	    NULL) {
		message->correlation = correlation;
		message->correlation_len = correlation_len;
		received->owned[received->owned_count++] = correlation;
	}
}

static void on_message(struct mosquitto *mosq, void *data, const struct mosquitto_message *from,
		       const mosquitto_property *properties)
{
	struct iot_mqtt *mqtt = data;
	struct received received;
	struct iot_mqtt_message message = {
		.topic = from->topic,
		.payload = from->payloadlen > 0 ? from->payload : "",
		.payload_len = from->payloadlen > 0 ? (size_t)from->payloadlen : 0,
		.qos = from->qos,
		.retain = from->retain,
	};

	(void)mosq;
	mqtt->happened++;
	if (mqtt->events.message == NULL)
		return;
	received.owned_count = 0;
	if (properties != NULL)
		read_properties(properties, &received, &message);
	mqtt->events.message(mqtt, &message, mqtt->data);
	for (size_t i = 0; i < received.owned_count; i++)
		free(received.owned[i]);
}

static void on_subscribe(struct mosquitto *mosq, void *data, int mid, int count, const int *granted,
			 const mosquitto_property *properties)
{
	struct iot_mqtt *mqtt = data;
	bool good = count > 0;

	(void)mosq, (void)properties;
	for (int i = 0; i < count; i++)
		good = good && granted[i] < 128;
	mqtt->happened++;
	if (mid == mqtt->wait_mid) {
		mqtt->wait_answered = true;
		mqtt->wait_granted = good;
	}
	if (mqtt->events.subscribed != NULL)
		mqtt->events.subscribed(mqtt, mid, good, mqtt->data);
}

static void on_publish(struct mosquitto *mosq, void *data, int mid, int reason, const mosquitto_property *properties)
{
	(void)mosq, (void)properties;
	mqtt_mark_done(data, mid, reason);
}

/* A server that knows nothing of ALPN goes on without it, and would take what follows for its own protocol. */
void mqtt_check_alpn(struct iot_mqtt *mqtt)
{
	const char *alpn = mqtt->options.alpn;
	void *ssl = alpn != NULL && !mqtt->alpn_chosen && !mqtt->lost ? mosquitto_ssl_get(mqtt->mosq) : NULL;
	enum iot_tls_alpn chosen = ssl != NULL ? iot_tls_alpn(ssl, alpn) : IOT_TLS_ALPN_OPEN;

	mqtt->alpn_chosen = mqtt->alpn_chosen || chosen == IOT_TLS_ALPN_CHOSEN;
	if (chosen != IOT_TLS_ALPN_NONE)
		return;
	mqtt->lost = true;
	mqtt_explain(mqtt, IOT_AGAIN, MQTT_NO_ALPN, alpn);
}

/* libmosquitto tells the details of a failed handshake only in its log, while the TLS object is still there. */
static void on_log(struct mosquitto *mosq, void *data, int level, const char *line)
{
	struct iot_mqtt *mqtt = data;
	const char *fault;
	void *ssl;

	iot_debug("mqtt %s: %s", mqtt->options.client_id, line);
	mqtt_check_alpn(mqtt); /* a server may have answered and hung up in one go */
	if (level != MOSQ_LOG_ERR || mqtt->phase == MQTT_OFF || mqtt_tls_words(mqtt->tls_text) != NULL)
		return;
	if (mqtt_tls_words(line) == NULL && strstr(line, "OpenSSL") == NULL && strstr(line, "certificate") == NULL &&
	    strstr(line, "key file") == NULL)
		return;
	ssl = mosquitto_ssl_get(mosq);
	mqtt->tls_began = ssl != NULL;
	fault = ssl != NULL && strstr(line, "certificate verify failed") != NULL ? iot_tls_verify_fault(ssl) : NULL;
	if (fault != NULL)
		snprintf(mqtt->tls_text, sizeof(mqtt->tls_text), "the broker's certificate was not accepted: %s",
			 fault);
	else if (mqtt->tls_text[0] == '\0' || mqtt_tls_words(line) != NULL)
		snprintf(mqtt->tls_text, sizeof(mqtt->tls_text), "%s", line);
}

void mqtt_set_callbacks(struct iot_mqtt *mqtt)
{
	mosquitto_connect_v5_callback_set(mqtt->mosq, on_connect);
	mosquitto_disconnect_v5_callback_set(mqtt->mosq, on_disconnect);
	mosquitto_message_v5_callback_set(mqtt->mosq, on_message);
	mosquitto_subscribe_v5_callback_set(mqtt->mosq, on_subscribe);
	mosquitto_publish_v5_callback_set(mqtt->mosq, on_publish);
	/* libmosquitto writes a line for every packet if somebody listens; without TLS only a person would read them. */
	if (mqtt->options.host != NULL || iot_log_get_level() >= IOT_LOG_DEBUG)
		mosquitto_log_callback_set(mqtt->mosq, on_log);
}
