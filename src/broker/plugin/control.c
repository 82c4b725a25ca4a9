/*
 * Orders from serve, as messages to IOT_CONTROL_TOPIC (iotctl/broker.h): deliver
 * messages straight to one client, or disconnect one. Who may send them was decided
 * before; here they are read strictly, and a malformed one does nothing.
 */
#include "plugin.h"

#include "iotctl/broker.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

#define LENGTH_SIZE 4 /* of a payload of a series */

/* Take a field that ends with NUL off the front. NULL: there is none. */
static const char *take_field(const char **at, size_t *left)
{
	const char *field = *at;
	const char *end = *left == 0 ? NULL : memchr(field, '\0', *left);

	if (end == NULL)
		return NULL;
	*left -= (size_t)(end - field) + 1;
	*at = end + 1;
	return field;
}

/* Take the length of a series' next payload off the front. False: that is not there, or less of the payload than it
 * says. */
static bool take_length(const char **at, size_t *left, size_t *ret)
{
	const unsigned char *bytes = (const unsigned char *)*at;

	if (*left < LENGTH_SIZE)
		return false;
	*ret = (size_t)bytes[0] << 24 | (size_t)bytes[1] << 16 | (size_t)bytes[2] << 8 | bytes[3];
	*at += LENGTH_SIZE;
	*left -= LENGTH_SIZE;
	return *ret <= *left;
}

static enum iot_status check_payload(size_t len, struct iot_error *err)
{
	if (len > IOT_TOPIC_PAYLOAD_MAX)
		return iot_fail(err, IOT_USAGE, "payload is longer than %d bytes", IOT_TOPIC_PAYLOAD_MAX);
	return IOT_OK;
}

/* A series is looked through before any of it is delivered. */
static enum iot_status check_series(const char *at, size_t left, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	size_t len;

	do {
		if (!take_length(&at, &left, &len))
			return iot_fail(err, IOT_USAGE, "a payload of the series does not end");
		status = check_payload(len, err);
		at += len;
		left -= len;
	} while (status == IOT_OK && left > 0);
	return status;
}

static enum iot_status hand_over(const char *id, const char *topic, char qos, const char *payload, size_t len,
				 struct iot_error *err)
{
	if (mosquitto_broker_publish_copy(id, topic, (int)len, len == 0 ? "" : payload, qos - '0', false, NULL) !=
	    MOSQ_ERR_SUCCESS)
		return iot_fail(err, IOT_FAILURE, "the broker cannot deliver to '%s'", id);
	return IOT_OK;
}

static enum iot_status hand_over_series(const char *id, const char *topic, char qos, const char *at, size_t left,
					struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	size_t len;

	while (status == IOT_OK && take_length(&at, &left, &len)) {
		status = hand_over(id, topic, qos, at, len, err);
		at += len;
		left -= len;
	}
	return status;
}

static enum iot_status deliver(struct plugin *plugin, const char *id, char qos, bool series, const char *at,
			       size_t left, struct iot_error *err)
{
	const char *topic = take_field(&at, &left);
	const struct client *client;
	enum iot_status status;

	if (qos != '0' && qos != '1')
		return iot_fail(err, IOT_USAGE, "quality of service is neither '0' nor '1'");
	if (topic == NULL)
		return iot_fail(err, IOT_USAGE, "topic does not end");
	status = iot_topic_check_publish(topic, strlen(topic), err);
	if (status == IOT_OK)
		status = series ? check_series(at, left, err) : check_payload(left, err);
	if (status != IOT_OK)
		return status;
	client = clients_find_id(&plugin->clients, id);
	if (client == NULL)
		return IOT_OK;
	return series ? hand_over_series(client->id, topic, qos, at, left, err)
		      : hand_over(client->id, topic, qos, at, left, err);
}

static enum iot_status disconnect(struct plugin *plugin, const char *id, char argument, size_t left,
				  struct iot_error *err)
{
	struct client *client;

	if (argument != '0')
		return iot_fail(err, IOT_USAGE, "argument of 'k' is not '0'");
	if (left > 0)
		return iot_fail(err, IOT_USAGE, "%zu bytes are left over", left);
	client = clients_find_id(&plugin->clients, id);
	if (client != NULL)
		watch_doom(plugin, client, "SERVER_INITIATED_DISCONNECT");
	return IOT_OK;
}

enum iot_status control_run(struct plugin *plugin, const void *payload, size_t len, struct iot_error *err)
{
	const char *bytes = payload, *at, *id;
	size_t left;
	enum iot_status status;

	if (bytes == NULL || len < 3)
		return iot_fail(err, IOT_USAGE, "too short");
	at = bytes + 2;
	left = len - 2;
	id = take_field(&at, &left);
	if (id == NULL)
		return iot_fail(err, IOT_USAGE, "client id does not end");
	status = iot_client_id_check(id, strlen(id), err);
	if (status != IOT_OK)
		return status;
	switch (bytes[0]) {
	case 'd':
	case 's':
		return deliver(plugin, id, bytes[1], bytes[0] == 's', at, left, err);
	case 'k':
		return disconnect(plugin, id, bytes[1], left, err);
	default:
		return iot_fail(err, IOT_USAGE, "unknown verb %d", (unsigned char)bytes[0]);
	}
}
