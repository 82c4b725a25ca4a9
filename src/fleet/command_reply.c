/*
 * Whose answer is this? What comes in is foreign: it counts only on the topic of
 * the device that was told, and only with the token that it was told with.
 */
#include "fleet/command_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <string.h>

static int compare_topic(const void *topic, const void *element)
{
	const struct target *const *target = element;

	return strcmp(topic, (*target)->reply_topic);
}

static struct target *by_topic(const struct targets *targets, const char *topic)
{
	struct target **found = targets->count == 0 ? NULL
						    : bsearch(topic, targets->by_topic, targets->count,
							      sizeof(struct target *), compare_topic);

	return found != NULL ? *found : NULL;
}

static struct target *by_token(const struct targets *targets, const char *token, size_t len)
{
	for (size_t i = 0; i < targets->count; i++) {
		struct target *target = &targets->all[i];

		if (len == strlen(target->token) && memcmp(token, target->token, len) == 0)
			return target;
	}
	return NULL;
}

/*
 * What the message names as token, beside its topic: *ret_len 0 for nothing. What cannot be a token, as a number, is
 * one that nobody has. `object` is what the name is borrowed from.
 */
static const char *named_token(const struct command_kind *kind, const struct iot_mqtt_message *message, json_t **object,
			       size_t *ret_len)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	const json_t *value;

	*ret_len = 0;
	if (kind->command->correlation == IOT_CORRELATE_MQTT5) {
		*ret_len = message->correlation != NULL ? message->correlation_len : 0;
		return message->correlation;
	}
	if (iot_json_parse(message->payload, message->payload_len, "answer", object, &ignored) != IOT_OK)
		return NULL;
	value = json_object_get(*object, kind->command->token_member);
	if (value == NULL)
		return NULL;
	*ret_len = json_is_string(value) && json_string_length(value) > 0 ? json_string_length(value) : 1;
	return json_is_string(value) && json_string_length(value) > 0 ? json_string_value(value) : "?";
}

static struct reply of_ours(const struct targets *targets, struct target *target,
			    const struct iot_mqtt_message *message)
{
	IOT_JSON object = NULL;
	size_t len = 0;
	const char *token = named_token(target->kind, message, &object, &len);
	struct target *named = len > 0 ? by_token(targets, token, len) : NULL;

	if (len > 0 && named != target)
		return named != NULL ? (struct reply){REPLY_FOREIGN, named} : (struct reply){REPLY_MISMATCH, target};
	if (len == 0 && !target->kind->token_in_topic)
		return (struct reply){REPLY_MISMATCH, target};
	if (target->state == TARGET_FLYING)
		return (struct reply){REPLY_ANSWER, target};
	/* A token that was never sent cannot be answered. */
	if (target->sent_at == 0)
		return (struct reply){REPLY_MISMATCH, target};
	return (struct reply){target->outcome == IOT_COMMAND_ANSWERED ? REPLY_TWICE : REPLY_LATE, target};
}

/* The topic is no device's of ours. Does it bring a token of ours all the same? */
static struct reply of_others(const struct targets *targets, const struct iot_mqtt_message *message)
{
	for (size_t i = 0; i < targets->kind_count; i++) {
		const struct command_kind *kind = targets->kinds[i];
		struct iot_topic_match match;
		IOT_JSON object = NULL;
		struct target *target = NULL;
		size_t len = 0;
		const char *token;

		if (iot_layout_match(kind->layout, message->topic, &match) && match.role == IOT_ROLE_REPLY)
			target = by_token(targets, match.token, strlen(match.token));
		token = target == NULL ? named_token(kind, message, &object, &len) : NULL;
		if (len > 0)
			target = by_token(targets, token, len);
		if (target != NULL)
			return (struct reply){REPLY_FOREIGN, target};
	}
	return (struct reply){REPLY_STRANGE, NULL};
}

struct reply reply_judge(const struct targets *targets, const struct iot_mqtt_message *message)
{
	struct target *target = by_topic(targets, message->topic);

	return target != NULL ? of_ours(targets, target, message) : of_others(targets, message);
}
