/*
 * The MQTT 5 user properties that tell services who published: the broker's list
 * is opaque and nothing can be taken out of it, so it is built anew without the
 * names that are ours, which a device may have sent itself.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/broker.h"

#include <mqtt_protocol.h>
#include <stdlib.h>
#include <string.h>

static bool is_ours(const char *name)
{
	return strcmp(name, IOT_PROPERTY_CLIENT) == 0 || strcmp(name, IOT_PROPERTY_THING) == 0 ||
	       strcmp(name, IOT_PROPERTY_CERTIFICATE) == 0 || strcmp(name, IOT_PROPERTY_REGISTRY) == 0;
}

bool properties_claim(const mosquitto_property *properties)
{
	bool claims = false;

	for (; properties != NULL && !claims; properties = mosquitto_property_next(properties)) {
		char *name = NULL, *value = NULL;

		if (mosquitto_property_identifier(properties) != MQTT_PROP_USER_PROPERTY)
			continue;
		claims = mosquitto_property_read_string_pair(properties, MQTT_PROP_USER_PROPERTY, &name, &value,
							     false) == NULL ||
			 name == NULL || is_ours(name);
		free(name);
		free(value);
	}
	return claims;
}

static int copy_pair(mosquitto_property **to, const mosquitto_property *from)
{
	char *name = NULL, *value = NULL;
	int rc = MOSQ_ERR_NOMEM;

	if (mosquitto_property_read_string_pair(from, MQTT_PROP_USER_PROPERTY, &name, &value, false) != NULL &&
	    name != NULL)
		rc = is_ours(name) ? MOSQ_ERR_SUCCESS
				   : mosquitto_property_add_string_pair(to, MQTT_PROP_USER_PROPERTY, name,
									value == NULL ? "" : value);
	free(name);
	free(value);
	return rc;
}

static int copy_string(mosquitto_property **to, const mosquitto_property *from, int identifier)
{
	char *value = NULL;
	int rc = MOSQ_ERR_NOMEM;

	if (mosquitto_property_read_string(from, identifier, &value, false) != NULL)
		rc = mosquitto_property_add_string(to, identifier, value == NULL ? "" : value);
	free(value);
	return rc;
}

/* The kinds that the broker keeps with a message; it holds others itself. */
static int copy_one(mosquitto_property **to, const mosquitto_property *from)
{
	int identifier = mosquitto_property_identifier(from);
	void *data = NULL;
	uint16_t len = 0;
	uint8_t byte;
	int rc = MOSQ_ERR_NOMEM;

	switch (identifier) {
	case MQTT_PROP_USER_PROPERTY:
		return copy_pair(to, from);
	case MQTT_PROP_CONTENT_TYPE:
	case MQTT_PROP_RESPONSE_TOPIC:
		return copy_string(to, from, identifier);
	case MQTT_PROP_PAYLOAD_FORMAT_INDICATOR:
		if (mosquitto_property_read_byte(from, identifier, &byte, false) != NULL)
			rc = mosquitto_property_add_byte(to, identifier, byte);
		return rc;
	case MQTT_PROP_CORRELATION_DATA:
		if (mosquitto_property_read_binary(from, identifier, &data, &len, false) != NULL)
			rc = mosquitto_property_add_binary(to, identifier, data, len);
		free(data);
		return rc;
	default:
		return MOSQ_ERR_SUCCESS;
	}
}

static int add_pair(mosquitto_property **to, const char *name, const char *value)
{
	return value != NULL ? mosquitto_property_add_string_pair(to, MQTT_PROP_USER_PROPERTY, name, value)
			     : MOSQ_ERR_SUCCESS;
}

/* What comes before "/devices/" in the id of a client with a token. New memory; NULL: it has none. */
static char *registry_of(const struct client *client)
{
	size_t len = client->bridge ? (size_t)(client->name - client->id) : 0;

	return len > strlen("/devices/") ? iot_strndup(client->id, len - strlen("/devices/")) : NULL;
}

enum iot_status properties_stamp(mosquitto_property **properties, const struct client *client, const char *topic,
				 const char *ward, struct iot_error *err)
{
	const struct child *child = bridge_child(client, topic);
	const char *thing = child != NULL ? child->name : ward != NULL ? ward : client_thing(client);
	const char *certificate_id = identity_certificate(client->identity);
	IOT_CLEAN(iot_free_p) char *registry = registry_of(client);
	mosquitto_property *list = NULL;
	int rc = MOSQ_ERR_SUCCESS;

	for (const mosquitto_property *at = *properties; at != NULL && rc == MOSQ_ERR_SUCCESS;
	     at = mosquitto_property_next(at))
		rc = copy_one(&list, at);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = add_pair(&list, IOT_PROPERTY_CLIENT, client->name);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = add_pair(&list, IOT_PROPERTY_THING, thing);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = add_pair(&list, IOT_PROPERTY_CERTIFICATE, certificate_id);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = add_pair(&list, IOT_PROPERTY_REGISTRY, registry);
	if (rc != MOSQ_ERR_SUCCESS) {
		mosquitto_property_free_all(&list);
		return iot_fail(err, IOT_FAILURE, "cannot add properties to a message");
	}
	mosquitto_property_free_all(properties);
	*properties = list;
	return IOT_OK;
}
