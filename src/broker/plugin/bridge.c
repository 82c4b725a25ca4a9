/*
 * The manner of Google's MQTT bridge, for devices made for it: a client speaks on
 * /devices/ID/ only, with ID its own name or that of a device it has attached. It
 * publishes events and its state, and hears its configuration and, while it is
 * connected, commands; nothing is retained, there is no last will. Within that the
 * policies of the device decide that the topic is of.
 *
 * A gateway attaches a device by publishing on /devices/ID/attach, with a token of
 * that device as {"authorization": TOKEN}, or with {} if the registry binds it to
 * the gateway (attribute "gateway"). What fails it is told on /devices/GATEWAY/errors.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

#define PREFIX "/devices/"
#define CHILDREN_MAX 1000
#define ORDER_MAX 8192 /* bytes of a payload */

/* What follows "/devices/NAME/" in a topic, and the length of NAME; NULL: it is no such topic. */
static const char *parts_of(const char *topic, const char **ret_name, size_t *ret_len)
{
	if (!iot_starts_with(topic, PREFIX))
		return NULL;
	*ret_name = topic + strlen(PREFIX);
	*ret_len = strcspn(*ret_name, "/");
	return *ret_len == 0 || (*ret_name)[*ret_len] == '\0' ? NULL : *ret_name + *ret_len + 1;
}

/* What follows "/devices/NAME/" with the client's own name. */
static const char *below_own(const struct client *client, const char *topic)
{
	const char *name = NULL;
	size_t len = 0;
	const char *rest = parts_of(topic, &name, &len);

	return rest != NULL && strncmp(client->name, name, len) == 0 && client->name[len] == '\0' ? rest : NULL;
}

static bool is_or_below(const char *rest, const char *word)
{
	size_t len = strlen(word);

	return strncmp(rest, word, len) == 0 && (rest[len] == '\0' || (rest[len] == '/' && rest[len + 1] != '\0'));
}

bool bridge_allows(const struct client *client, enum iot_policy_action action, const char *resource)
{
	const char *rest = action == IOT_POLICY_CONNECT ? NULL : below_own(client, resource);

	switch (action) {
	case IOT_POLICY_CONNECT:
		return true;
	case IOT_POLICY_PUBLISH:
		return rest != NULL && (strcmp(rest, "state") == 0 || is_or_below(rest, "events"));
	case IOT_POLICY_SUBSCRIBE:
		return rest != NULL && (strcmp(rest, "config") == 0 || strcmp(rest, "commands/#") == 0);
	case IOT_POLICY_RECEIVE:
		return rest != NULL && (strcmp(rest, "config") == 0 || is_or_below(rest, "commands"));
	default:
		return false;
	}
}

/* --- attached devices --------------------------------------------------------------------- */

/* The place of a name among the children; *ret_there: it is there. */
static size_t place_of(const struct client *client, const char *name, size_t len, bool *ret_there)
{
	size_t low = 0, high = client->child_count;

	*ret_there = false;
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *at = client->children[middle].name;
		int order = strncmp(at, name, len);

		if (order == 0 && at[len] != '\0')
			order = 1;
		if (order == 0) {
			*ret_there = true;
			return middle;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct child *bridge_child(const struct client *client, const char *topic)
{
	const char *name = NULL;
	size_t len = 0, place;
	bool there = false;

	if (client->child_count == 0 || parts_of(topic, &name, &len) == NULL)
		return NULL;
	place = place_of(client, name, len, &there);
	return there ? &client->children[place] : NULL;
}

static void child_release(struct child *child)
{
	grant_release(&child->grant);
	free(child->identity);
	free(child->name);
}

static void remove_at(struct client *client, size_t place)
{
	child_release(&client->children[place]);
	memmove(&client->children[place], &client->children[place + 1],
		(--client->child_count - place) * sizeof(*client->children));
}

void bridge_release(struct client *client)
{
	for (size_t i = 0; i < client->child_count; i++)
		child_release(&client->children[i]);
	free(client->children);
	client->children = NULL;
	client->child_count = 0;
}

void bridge_end_expired(struct client *client, int64_t now)
{
	for (size_t i = client->child_count; i-- > 0;)
		if (client->children[i].grant.not_after <= now)
			remove_at(client, i);
}

enum iot_status bridge_read_again(struct plugin *plugin, struct client *client, struct iot_error *err)
{
	for (size_t i = client->child_count; i-- > 0;) {
		struct child *child = &client->children[i];
		struct grant grant;
		enum iot_status status = identity_grant(plugin->registry, child->identity, child->name, &grant, err);

		if (status == IOT_OK) {
			grant_release(&child->grant);
			child->grant = grant;
		} else if (status == IOT_DENIED) {
			remove_at(client, i);
		} else {
			return status;
		}
	}
	return IOT_OK;
}

static void put(struct client *client, const char *name, struct identity *identity, const struct grant *grant)
{
	bool there = false;
	size_t place = place_of(client, name, strlen(name), &there);

	if (there) {
		child_release(&client->children[place]);
	} else {
		client->children = iot_realloc(client->children, (client->child_count + 1) * sizeof(*client->children));
		memmove(&client->children[place + 1], &client->children[place],
			(client->child_count++ - place) * sizeof(*client->children));
	}
	client->children[place] = (struct child){iot_strdup(name), identity, *grant};
}

/* --- orders of gateways ----------------------------------------------------------------------- */

bool bridge_is_order(const struct client *client, const char *topic)
{
	const char *name = NULL;
	size_t len = 0;
	const char *rest = client->bridge ? parts_of(topic, &name, &len) : NULL;

	return rest != NULL && (strcmp(rest, "attach") == 0 || strcmp(rest, "detach") == 0);
}

/* Who the child is: by its own token, or bound by the registry. New memory; NULL: *err says why it is nobody. */
static struct identity *child_identity(struct plugin *plugin, const struct client *gateway, const char *name,
				       const json_t *order, struct iot_error *err)
{
	const json_t *token = json_object_get(order, "authorization");

	if (token != NULL && !json_is_string(token)) {
		(void)iot_fail(err, IOT_DENIED, "'authorization' is not a token");
		return NULL;
	}
	if (token != NULL && json_string_length(token) > 0)
		return token_check(plugin, name, json_string_value(token), err);
	return identity_new_thing(IDENTITY_BOUND, name, gateway->identity->thing);
}

static enum iot_status attach(struct plugin *plugin, struct client *gateway, const char *name, const void *payload,
			      size_t len, struct iot_error *err)
{
	IOT_JSON order = NULL;
	IOT_CLEAN(iot_free_p) struct identity *identity = NULL;
	struct grant grant;
	enum iot_status status;

	if (strlen(name) > IOT_PSK_THING_MAX)
		return iot_fail(err, IOT_DENIED, "no device has so long a name");
	if (strcmp(name, gateway->name) == 0)
		return iot_fail(err, IOT_DENIED, "a device cannot be attached to itself");
	if (gateway->child_count >= CHILDREN_MAX)
		return iot_fail(err, IOT_DENIED, "%d devices are attached already", CHILDREN_MAX);
	if (len > ORDER_MAX || (len > 0 && iot_json_parse(payload, len, "order", &order, NULL) != IOT_OK) ||
	    (order != NULL && !json_is_object(order)))
		return iot_fail(err, IOT_DENIED, "the payload is not a JSON object");
	identity = child_identity(plugin, gateway, name, order, err);
	if (identity == NULL)
		return IOT_DENIED;
	status = registry_begin(plugin->registry, err);
	if (status != IOT_OK)
		return status;
	status = identity_grant(plugin->registry, identity, name, &grant, err);
	registry_end(plugin->registry);
	if (status != IOT_OK)
		return status;
	put(gateway, name, iot_take(identity), &grant);
	watch_expiry(plugin, gateway);
	return IOT_OK;
}

/* In the words of that bridge. */
static void tell_error(const struct client *gateway, const char *type, const char *name, const char *topic,
		       const struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *errors = iot_strf(PREFIX "%s/errors", gateway->name);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON object = json_object();
	json_t *message = json_object();

	iot_json_set_str(object, "error_type", type);
	iot_json_set_str(object, "device_id", name);
	iot_json_set_str(object, "description", err->what);
	iot_json_set_str(message, "message_type", "PUBLISH");
	iot_json_set_str(message, "topic", topic);
	json_object_set_new(object, "mqtt_message_info", message);
	text = iot_json_text(object);
	(void)mosquitto_broker_publish_copy(gateway->id, errors, (int)strlen(text), text, 0, false, NULL);
}

bool bridge_order(struct plugin *plugin, struct client *client, const char *topic, const void *payload, size_t len)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *child = NULL;
	const char *name = NULL;
	size_t name_len = 0, place;
	const char *rest = parts_of(topic, &name, &name_len);
	bool there = false;
	enum iot_status status;

	child = iot_strndup(name, name_len);
	if (strcmp(rest, "detach") == 0) {
		place = place_of(client, name, name_len, &there);
		if (there)
			remove_at(client, place);
		return true;
	}
	status = attach(plugin, client, child, payload, len, &err);
	if (status == IOT_OK)
		return true;
	tell_error(client, "GATEWAY_ATTACHMENT_ERROR", child, topic, &err);
	iot_log_error(IOT_LOG_WARNING, "a device was not attached: ", &err);
	return false;
}
