/*
 * Commands and replies on the device's side. A token becomes a level of the reply's
 * topic in some layouts, so one that could change the topic's shape is none.
 */
#include "sim/exchange.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

enum { COMMAND_JSON_MAX = 128 * 1024 };

static bool token_is_good(const char *token)
{
	return *token != '\0' && strlen(token) <= SIM_TOKEN_MAX && strpbrk(token, "/+#") == NULL;
}

/* What stands for {subfolder}, which is last: the topic after the levels of the filter in front of its '#'. */
static const char *subfolder_of(const char *filter, const char *topic)
{
	size_t front = strlen(filter);

	if (front < 2 || filter[front - 1] != '#')
		return "";
	return strlen(topic) >= front ? topic + front - 1 : "";
}

void sim_command_read(const struct sim_topics *topics, const struct iot_mqtt_message *message, struct sim_command *ret)
{
	const char *name, *token = NULL;

	memset(ret, 0, sizeof(*ret));
	if (message->payload_len <= COMMAND_JSON_MAX &&
	    iot_json_parse(message->payload, message->payload_len, "command", &ret->body, NULL) != IOT_OK)
		ret->body = NULL;
	name = iot_json_str(ret->body, "command", NULL);
	ret->name = iot_strdup(name != NULL ? name : subfolder_of(topics->command_filter, message->topic));
	if (topics->token_member != NULL) {
		token = iot_json_str(ret->body, topics->token_member, NULL);
		ret->token = token != NULL && token_is_good(token) ? iot_strdup(token) : NULL;
		return;
	}
	if (message->response_topic == NULL ||
	    iot_topic_check_publish(message->response_topic, strlen(message->response_topic), NULL) != IOT_OK)
		return;
	ret->response_topic = iot_strdup(message->response_topic);
	if (message->correlation_len == 0)
		return;
	ret->correlation = iot_alloc(message->correlation_len);
	ret->correlation_len = message->correlation_len;
	memcpy(ret->correlation, message->correlation, message->correlation_len);
}

void sim_command_release(struct sim_command *command)
{
	json_decref(command->body);
	free(command->name);
	free(command->token);
	free(command->response_topic);
	free(command->correlation);
	memset(command, 0, sizeof(*command));
}

bool sim_command_wants_reply(const struct sim_command *command)
{
	return command->token != NULL || command->response_topic != NULL;
}

static enum iot_status make_topic(const struct sim_topics *topics, const struct sim_command *command, char **ret,
				  struct iot_error *err)
{
	if (!sim_command_wants_reply(command))
		return iot_fail(err, IOT_USAGE, "the command does not say how to answer it");
	if (command->response_topic == NULL)
		return sim_topics_fill(topics, SIM_REPLY, command->token, NULL, NULL, ret, err);
	*ret = iot_strdup(command->response_topic);
	return IOT_OK;
}

/* Bytes have no place for a token; it must then be in the topic. */
static enum iot_status check_bytes(const struct sim_topics *topics, const struct sim_command *command,
				   struct iot_error *err)
{
	if (command->response_topic != NULL || strstr(topics->role[SIM_REPLY].topic, "{token}") != NULL)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "an answer that is no JSON object has no place for the token in this layout");
}

enum iot_status sim_reply_make(const struct sim_topics *topics, const struct sim_command *command, const json_t *body,
			       const void *bytes, size_t len, struct sim_reply *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	IOT_JSON answer = NULL;
	char *text = NULL;
	enum iot_status status = make_topic(topics, command, &topic, err);

	if (status == IOT_OK && !json_is_object(body))
		status = check_bytes(topics, command, err);
	if (status != IOT_OK)
		return status;
	if (body != NULL) {
		answer = json_copy((json_t *)(uintptr_t)body);
		if (command->token != NULL && json_is_object(answer))
			iot_json_set_str(answer, topics->token_member, command->token);
		text = iot_json_text(answer);
		bytes = text;
		len = strlen(text);
	}
	*ret = (struct sim_reply){
		.payload = text,
		.message = {.payload = bytes,
			    .payload_len = len,
			    .qos = topics->role[SIM_REPLY].qos,
			    .retain = topics->role[SIM_REPLY].retain,
			    .correlation = command->correlation,
			    .correlation_len = command->correlation_len},
	};
	ret->message.topic = ret->topic = iot_take(topic);
	return IOT_OK;
}

void sim_reply_release(struct sim_reply *reply)
{
	free(reply->topic);
	free(reply->payload);
	memset(reply, 0, sizeof(*reply));
}
