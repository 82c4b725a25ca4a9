/*
 * From the cloud to devices: configurations, by topic or by the named shadow
 * "config", and commands. They are subscribed to while a device is there; a
 * command is for who is there, and a configuration is fetched anew.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

#define SHADOW "$aws/things/%s/shadow/name/config/%s"

static const char *const shadow_topics[] = {"get/accepted", "update/delta"};

static void subscribe(struct gateway *gateway, const char *filter, int qos)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (filter != NULL && gateway->up && iot_mqtt_subscribe(gateway->mqtt, filter, qos, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot subscribe: ", &err);
}

static void unsubscribe(struct gateway *gateway, const char *filter)
{
	if (filter != NULL && gateway->up)
		(void)!iot_mqtt_unsubscribe(gateway->mqtt, filter, NULL);
}

/* What does not need to arrive: it is asked for again at the next chance. */
static void say(struct gateway *gateway, const char *topic, const char *payload)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (gateway->up &&
	    iot_mqtt_publish(gateway->mqtt, topic, payload, strlen(payload), 1, false, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
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

static void send_config(struct session *session, const void *payload, size_t len)
{
	const struct iot_frame frame = {.kind = IOT_FRAME_CONFIG, .id = new_id(session), .payload = {payload, len}};

	session->config_id = (uint32_t)frame.id;
	if (len > IOT_FRAME_PAYLOAD_MAX || !session_send(session, &frame))
		gateway_event(session->gateway, "dropped", session->child->thing,
			      "a configuration of %zu bytes: the device takes no such message", len);
}

static enum iot_status make_filters(struct session *session, const struct iot_layout *layout, bool *shadow,
				    struct iot_error *err)
{
	const struct child *child = session->child;
	const struct iot_topic_names names = {.thing = child->thing, .type = child->type};
	const char *type = *child->type != '\0' ? child->type : NULL;
	enum iot_status status = IOT_OK;

	free(session->config_filter);
	free(session->command_filter);
	session->config_filter = session->command_filter = NULL;
	*shadow = iot_layout_role(layout, IOT_ROLE_CONFIG, type)->acknowledge == IOT_ACK_SHADOW;
	if (!*shadow)
		status = iot_layout_filter(layout, IOT_ROLE_CONFIG, &names, &session->config_filter, err);
	if (status == IOT_OK)
		status = iot_layout_filter(layout, IOT_ROLE_COMMAND, &names, &session->command_filter, err);
	return status;
}

/* Where a layout keeps no configuration at the broker, the registry tells what the device has not acknowledged. */
static void send_due(struct session *session)
{
	IOT_CLEAN(iot_config_message_release) struct iot_config_message message = {0};
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_local_config_due(session->gateway->cloud, session->child->thing, &message, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot tell a device its configuration: ", &err);
	else if (message.topic != NULL && !message.retain)
		send_config(session, message.payload, strlen(message.payload));
}

void downlink_begin(struct session *session)
{
	struct gateway *gateway = session->gateway;
	const struct iot_layout *layout = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	bool shadow = false;
	enum iot_status status = gateway_layout_of(gateway, session->child->type, &layout, &err);

	if (status == IOT_OK)
		status = make_filters(session, layout, &shadow, &err);
	if (status != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "nothing can be said to a device: ", &err);
		return;
	}
	subscribe(gateway, session->command_filter, 1);
	subscribe(gateway, session->config_filter, 1);
	for (size_t i = 0; shadow && i < IOT_LENGTH(shadow_topics); i++) {
		IOT_CLEAN(iot_free_p) char *topic = iot_strf(SHADOW, session->child->thing, shadow_topics[i]);

		subscribe(gateway, topic, 1);
	}
	if (shadow)
		fetch_shadow(session);
	else
		send_due(session);
}

void downlink_end(struct session *session)
{
	unsubscribe(session->gateway, session->command_filter);
	unsubscribe(session->gateway, session->config_filter);
	for (size_t i = 0; session->config_filter == NULL && i < IOT_LENGTH(shadow_topics); i++) {
		IOT_CLEAN(iot_free_p) char *topic = iot_strf(SHADOW, session->child->thing, shadow_topics[i]);

		unsubscribe(session->gateway, topic);
	}
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

/* What was reported and is not desired any more is taken back. */
void downlink_applied(struct session *session, uint32_t id)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf(SHADOW, session->child->thing, "update");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON update = NULL;
	IOT_JSON reported = NULL;
	const char *key;
	json_t *value;

	if (session->config == NULL || id != session->config_id)
		return;
	reported = json_copy(json_object_get(session->config, "desired"));
	json_object_foreach(json_object_get(session->config, "reported"), key, value) {
		if (json_object_get(reported, key) == NULL)
			json_object_set_new(reported, key, json_null());
	}
	update = json_pack("{s:{s:O}}", "state", "reported", reported);
	text = iot_json_text(update);
	say(session->gateway, topic, text);
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
		if (match.role == IOT_ROLE_CONFIG && session->config_filter != NULL)
			send_config(session, message->payload_len > 0 ? message->payload : "", message->payload_len);
		else if (match.role == IOT_ROLE_COMMAND)
			send_command(session, entry->layout, match.subfolder, message);
		return;
	}
}
