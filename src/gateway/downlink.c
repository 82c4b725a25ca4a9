/*
 * From the cloud to devices: configurations, by topic or by the named shadow
 * "config", and commands. A command is for who is there; a configuration is
 * fetched when a device comes.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

#define SHADOW "$aws/things/%s/shadow/name/config/%s"

static const char *const shadow_topics[] = {"get/accepted", "update/delta"};

/* --- what is listened to ----------------------------------------------------------------------- */

/*
 * A type of devices is heard on one filter per role, whatever the number of children: AWS IoT has room for 50
 * subscriptions on a connection. The gateway's policies let what is said to its own children through, and nothing else.
 * Takes `filter` over.
 */
static void hear(struct gateway *gateway, char *filter)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;
	int mid = 0;

	for (size_t i = 0; i < gateway->filter_count; i++) {
		if (strcmp(gateway->filters[i].filter, filter) == 0) {
			free(filter);
			return;
		}
	}
	if (gateway->filter_count == GATEWAY_FILTERS) {
		iot_warn("nothing is heard on '%s': the gateway has %d subscriptions already", filter, GATEWAY_FILTERS);
		free(filter);
		return;
	}
	status = !gateway->up ? IOT_AGAIN : iot_mqtt_subscribe(gateway->mqtt, filter, 1, &mid, &err);
	if (status != IOT_OK) {
		if (gateway->up)
			iot_log_error(IOT_LOG_WARNING, "a type of devices hears nothing: ", &err);
		free(filter);
		return;
	}
	gateway->filters[gateway->filter_count++] = (struct heard){filter, mid};
}

/*
 * Not every cloud sends what it has retained to those who subscribe with a wildcard: it is asked for by its own topic
 * besides. The answer comes before the next subscription but so many.
 */
static void fetch_retained(struct session *session, const struct iot_topic_names *names,
			   const struct iot_layout *layout)
{
	struct gateway *gateway = session->gateway;
	char **place = &gateway->fetches[gateway->next_fetch];
	struct iot_error err = IOT_ERROR_INIT;
	char *topic = NULL;

	if (!gateway->up || iot_layout_filter(layout, IOT_ROLE_CONFIG, names, &topic, &err) != IOT_OK)
		return;
	if (*place != NULL)
		(void)!iot_mqtt_unsubscribe(gateway->mqtt, *place, NULL);
	free(*place);
	*place = topic;
	gateway->next_fetch = (gateway->next_fetch + 1) % GATEWAY_FETCHES;
	if (iot_mqtt_subscribe(gateway->mqtt, topic, 1, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot fetch a configuration: ", &err);
}

void downlink_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	struct gateway *gateway = data;

	(void)mqtt;
	for (size_t i = 0; i < gateway->filter_count; i++) {
		if (gateway->filters[i].mid != mid)
			continue;
		gateway->filters[i].mid = 0; /* numbers are used again */
		gateway->granted += granted;
		if (!granted)
			gateway_event(gateway, "deaf", NULL,
				      "the broker refuses to let the gateway hear '%s': are its policies up to date? "
				      "('iotctl gateway create' makes them anew)",
				      gateway->filters[i].filter);
	}
}

void downlink_forget(struct gateway *gateway)
{
	for (size_t i = 0; i < gateway->filter_count; i++)
		free(gateway->filters[i].filter);
	gateway->filter_count = gateway->granted = 0;
	for (size_t i = 0; i < GATEWAY_FETCHES; i++)
		free(iot_take(gateway->fetches[i]));
}

/* What does not need to arrive: it is asked for again at the next chance. */
static void say(struct gateway *gateway, const char *topic, const char *payload)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (gateway->up &&
	    iot_mqtt_publish(gateway->mqtt, topic, payload, strlen(payload), 1, false, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
}

/* What could not be said while there was no connection is said when there is one. */
static void say_applied(struct session *session)
{
	if (session->applied == NULL || !session->gateway->up)
		return;
	say(session->gateway, session->applied_topic, session->applied);
	free(iot_take(session->applied));
	free(iot_take(session->applied_topic));
}

/*
 * Thousands of devices that have none come back at once: where it is known, nobody is asked, once one would hear of a
 * new one.
 */
static bool has_shadow(const struct session *session)
{
	bool has = true;

	if (!session->gateway->at_home || session->gateway->granted < session->gateway->filter_count)
		return true;
	return iot_local_has_shadow(session->gateway->cloud, session->child->thing, "config", &has, NULL) != IOT_OK ||
	       has;
}

static void fetch_shadow(struct session *session)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf(SHADOW, session->child->thing, "get");

	say(session->gateway, topic, "{}");
}

static uint32_t new_id(struct session *session)
{
	if (++session->next_id == 0)
		session->next_id = 1;
	return session->next_id;
}

/* The same may come twice, on two subscriptions: a device that has it on this connection is not told again. */
static void send_config(struct session *session, const void *payload, size_t len)
{
	const struct iot_frame frame = {.kind = IOT_FRAME_CONFIG, .id = new_id(session), .payload = {payload, len}};
	uint8_t digest[IOT_SHA256_SIZE];

	iot_sha256(payload, len, digest);
	if (session->config_id != 0 && memcmp(digest, session->config_digest, sizeof(digest)) == 0)
		return;
	memcpy(session->config_digest, digest, sizeof(digest));
	session->config_id = (uint32_t)frame.id;
	if (len > IOT_FRAME_PAYLOAD_MAX || !session_send(session, &frame))
		gateway_event(session->gateway, "dropped", session->child->thing,
			      "a configuration of %zu bytes: the device takes no such message", len);
}

static const struct iot_layout_role *config_role(const struct iot_layout *layout, const struct child *child)
{
	return iot_layout_role(layout, IOT_ROLE_CONFIG, *child->type != '\0' ? child->type : NULL);
}

/* A configuration by topic. Where an event will acknowledge it, its version is kept for that. */
static void take_config(struct session *session, const struct iot_layout_role *of, const void *payload, size_t len)
{
	uint32_t before = session->config_id;
	IOT_JSON body = NULL;

	send_config(session, payload, len);
	if (session->config_id == before || of->acknowledge != IOT_ACK_EVENT || of->version_member == NULL)
		return;
	json_decref(iot_take(session->config));
	if (iot_json_parse(payload, len, "configuration", &body, NULL) == IOT_OK)
		session->config = json_incref(json_object_get(body, of->version_member));
}

/* On the fleet's machine the registry tells what the device has not acknowledged. */
static void send_due(struct session *session, const struct iot_layout_role *of)
{
	IOT_CLEAN(iot_config_message_release) struct iot_config_message message = {0};
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_local_config_due(session->gateway->cloud, session->child->thing, &message, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot tell a device its configuration: ", &err);
	else if (message.topic != NULL)
		take_config(session, of, message.payload, strlen(message.payload));
}

static enum iot_status hear_type(struct gateway *gateway, const struct iot_layout *layout, const char *type,
				 bool shadow, struct iot_error *err)
{
	const struct iot_topic_names names = {.type = type};
	char *filter = NULL;
	enum iot_status status = iot_layout_filter(layout, IOT_ROLE_COMMAND, &names, &filter, err);

	if (status == IOT_OK)
		hear(gateway, filter);
	for (size_t i = 0; shadow && i < IOT_LENGTH(shadow_topics); i++)
		hear(gateway, iot_strf(SHADOW, "+", shadow_topics[i]));
	if (status != IOT_OK || shadow)
		return status;
	status = iot_layout_filter(layout, IOT_ROLE_CONFIG, &names, &filter, err);
	if (status == IOT_OK)
		hear(gateway, filter);
	return status;
}

void downlink_begin(struct session *session)
{
	const struct child *child = session->child;
	const struct iot_topic_names names = {.thing = child->thing, .type = child->type};
	const struct iot_layout *layout = NULL;
	const struct iot_layout_role *config = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = gateway_layout_of(session->gateway, child->type, &layout, &err);

	if (status == IOT_OK) {
		config = config_role(layout, child);
		session->shadow = config->acknowledge == IOT_ACK_SHADOW;
		status = hear_type(session->gateway, layout, child->type, session->shadow, &err);
	}
	if (status != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "nothing can be said to a device: ", &err);
		return;
	}
	say_applied(session);
	if (session->shadow) {
		if (has_shadow(session))
			fetch_shadow(session);
		return;
	}
	if (config->retain)
		fetch_retained(session, &names, layout);
	if (!session->gateway->exported)
		send_due(session, config);
}

/* --- configurations --------------------------------------------------------------------------- */

static void take_shadow(struct session *session, const struct iot_mqtt_message *message, const char *what)
{
	IOT_JSON body = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	json_t *state, *desired;

	if (strcmp(what, "update/delta") == 0) {
		fetch_shadow(session);
		return;
	}
	if (iot_json_parse(message->payload, message->payload_len, "shadow", &body, NULL) != IOT_OK)
		return;
	state = json_object_get(body, "state");
	desired = json_object_get(state, "desired");
	if (desired == NULL || json_equal(desired, json_object_get(state, "reported")))
		return;
	json_decref(session->config);
	session->config = json_incref(state);
	text = iot_json_text(desired);
	send_config(session, text, strlen(text));
}

static void report_applied(struct session *session, char *topic, char *text)
{
	free(session->applied);
	free(session->applied_topic);
	session->applied = text;
	session->applied_topic = topic;
	say_applied(session);
}

/* Where events acknowledge, the gateway says one with the version, for a device that knows nothing of versions. */
static void event_applied(struct session *session)
{
	const struct child *child = session->child;
	const struct iot_topic_names names = {.thing = child->thing, .type = child->type};
	const struct iot_layout *layout = NULL;
	const struct iot_layout_role *config;
	IOT_JSON event = NULL;
	char *topic = NULL;

	if (gateway_layout_of(session->gateway, child->type, &layout, NULL) != IOT_OK)
		return;
	config = config_role(layout, child);
	if (config->acknowledge != IOT_ACK_EVENT || config->version_member == NULL ||
	    iot_layout_topic(layout, IOT_ROLE_EVENT, &names, &topic, NULL) != IOT_OK)
		return;
	event = json_object();
	json_object_set(event, config->version_member, session->config);
	report_applied(session, topic, iot_json_text(event));
}

/* What was reported and is not desired any more is taken back. */
static void shadow_applied(struct session *session)
{
	IOT_JSON update = NULL;
	IOT_JSON reported = json_copy(json_object_get(session->config, "desired"));
	const char *key;
	json_t *value;

	json_object_foreach(json_object_get(session->config, "reported"), key, value) {
		if (json_object_get(reported, key) == NULL)
			json_object_set_new(reported, key, json_null());
	}
	update = json_pack("{s:{s:O}}", "state", "reported", reported);
	report_applied(session, iot_strf(SHADOW, session->child->thing, "update"), iot_json_text(update));
}

void downlink_applied(struct session *session, uint32_t id)
{
	if (session->config == NULL || id != session->config_id)
		return;
	if (session->shadow)
		shadow_applied(session);
	else
		event_applied(session);
	json_decref(iot_take(session->config));
}

/* --- commands ----------------------------------------------------------------------------------- */

void downlink_release_command(struct open_command *command)
{
	free(command->topic);
	free(command->token);
	free(command->correlation);
	*command = (struct open_command){0};
}

/* How to answer it: by MQTT 5, or by a token in its payload. A token that would change a topic's shape is none. */
static void remember(struct session *session, uint32_t id, const char *token_member,
		     const struct iot_mqtt_message *message)
{
	struct open_command *command = &session->commands[id % GATEWAY_COMMANDS];
	IOT_JSON body = NULL;
	const char *token;

	downlink_release_command(command);
	command->id = id;
	if (token_member != NULL) {
		if (iot_json_parse(message->payload, message->payload_len, "command", &body, NULL) != IOT_OK)
			return;
		token = iot_json_str(body, token_member, NULL);
		if (token != NULL && *token != '\0' && strlen(token) <= IOT_FRAME_NAME_MAX &&
		    strpbrk(token, "/+#") == NULL)
			command->token = iot_strdup(token);
		return;
	}
	if (message->response_topic == NULL ||
	    iot_topic_check_publish(message->response_topic, strlen(message->response_topic), NULL) != IOT_OK)
		return;
	command->topic = iot_strdup(message->response_topic);
	if (message->correlation_len > 0) {
		command->correlation = iot_alloc(message->correlation_len);
		memcpy(command->correlation, message->correlation, message->correlation_len);
		command->correlation_len = message->correlation_len;
	}
}

static void send_command(struct session *session, const struct iot_layout *layout, const char *subfolder,
			 const struct iot_mqtt_message *message)
{
	const char *type = *session->child->type != '\0' ? session->child->type : NULL;
	struct iot_frame frame = {.kind = IOT_FRAME_COMMAND,
				  .id = new_id(session),
				  .payload = {message->payload_len > 0 ? message->payload : "", message->payload_len}};

	if (*subfolder != '\0')
		frame.subfolder = (struct iot_span){subfolder, strlen(subfolder)};
	remember(session, (uint32_t)frame.id, iot_layout_role(layout, IOT_ROLE_COMMAND, type)->token_member, message);
	if (message->payload_len > IOT_FRAME_PAYLOAD_MAX || frame.subfolder.len > IOT_FRAME_SUBFOLDER_MAX ||
	    !session_send(session, &frame))
		gateway_event(session->gateway, "dropped", session->child->thing,
			      "a command of %zu bytes: the device takes no such message", message->payload_len);
}

/* --- whose is it -------------------------------------------------------------------------------------- */

static bool take_as_shadow(struct gateway *gateway, const struct iot_mqtt_message *message)
{
	static const char front[] = "$aws/things/", middle[] = "/shadow/name/config/";
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	const char *name, *rest;
	struct child *child;

	if (!iot_starts_with(message->topic, front))
		return false;
	name = message->topic + sizeof(front) - 1;
	rest = strstr(name, middle);
	if (rest == NULL)
		return true;
	thing = iot_strndup(name, (size_t)(rest - name));
	child = gateway_known_child(gateway, thing);
	if (child != NULL && child->session != NULL)
		take_shadow(child->session, message, rest + sizeof(middle) - 1);
	return true;
}

void downlink_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct gateway *gateway = data;
	struct iot_topic_match match;

	(void)mqtt;
	if (take_as_shadow(gateway, message))
		return;
	for (struct gateway_layout *entry = gateway->layouts; entry != NULL; entry = entry->next) {
		struct session *session;
		struct child *child;

		if (!iot_layout_match(entry->layout, message->topic, &match))
			continue;
		child = gateway_known_child(gateway, match.thing);
		session = child != NULL && strcmp(child->type, entry->type) == 0 ? child->session : NULL;
		if (session == NULL)
			continue;
		if (match.role == IOT_ROLE_CONFIG && !session->shadow)
			take_config(session, config_role(entry->layout, child),
				    message->payload_len > 0 ? message->payload : "", message->payload_len);
		else if (match.role == IOT_ROLE_COMMAND)
			send_command(session, entry->layout, match.subfolder, message);
		return;
	}
}
