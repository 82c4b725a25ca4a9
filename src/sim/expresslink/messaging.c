/*
 * SEND, SUBSCRIBE, UNSUBSCRIBE and GET over the topics of the dictionary. A
 * message belongs to the first topic index whose subscription it matches; what
 * was received waits in a queue of bounded size, and what does not fit is
 * reported as an overrun.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>

enum { SEND_MS = 10000 };

/* What a topic of the table is on the wire: v0.5 puts a root in front unless it begins with a slash. */
static char *full_topic(const struct module *module, const char *topic)
{
	const char *root = dict_value(module->dict, "TopicRoot");

	if (module->spec != AT_V0_5)
		return iot_strdup(topic);
	if (topic[0] == '/')
		return iot_strdup(topic + 1);
	return iot_strf("%s/%s", root[0] != '\0' ? root : module->thing, topic);
}

/* In staging a module has only its own topics. */
static enum at_error check_topic(const struct module *module, const char *topic, bool filter)
{
	enum iot_status status = filter ? iot_topic_check_filter(topic, strlen(topic), NULL)
					: iot_topic_check_publish(topic, strlen(topic), NULL);

	if (status != IOT_OK)
		return AT_PARAMETER;
	if (!module->customer && !iot_starts_with(topic, module->thing))
		return module->spec == AT_V0_5 ? AT_PARAMETER : AT_NOT_ALLOWED;
	return AT_OK;
}

/* The topic of a command's suffix; NULL and an error if there is none. New memory. */
static char *indexed_topic(const struct module *module, const struct at_command *command, bool filter,
			   enum at_error *error)
{
	char *topic;

	*error = AT_OK;
	if (command->number < 0)
		*error = AT_PARAMETER;
	else if (module->link != LINK_UP)
		*error = AT_NO_CONNECTION;
	else if (command->number == 0 || command->number > DICT_TOPICS)
		*error = AT_RANGE;
	else if (dict_topic(module->dict, command->number)[0] == '\0')
		*error = AT_UNDEFINED;
	if (*error != AT_OK)
		return NULL;
	topic = full_topic(module, dict_topic(module->dict, command->number));
	*error = check_topic(module, topic, filter);
	if (*error != AT_OK) {
		free(topic);
		return NULL;
	}
	return topic;
}

static void publish(struct module *module, const char *topic, const char *payload, size_t len)
{
	int qos = dict_number(module->dict, "QoS") == 1, mid = 0;

	if (!link_publish(module, topic, payload, len, qos, &mid)) {
		module_error(module, AT_NO_CONNECTION);
		return;
	}
	if (qos == 0) {
		module_ok(module, "%s", "");
		return;
	}
	module->pending = PENDING_SEND; /* answered by the acknowledgement */
	module->pending_mid = mid;
	module->pending_until = iot_monotonic_ms() + SEND_MS;
}

/* v0.5 alone: SEND topic message */
static void send_to_named(struct module *module, const struct at_command *command)
{
	const char *space = memchr(command->param, ' ', command->param_len);
	IOT_CLEAN(iot_free_p) char *name = NULL;
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	enum at_error error;

	if (space == NULL) {
		module_error(module, AT_PARAMETER);
		return;
	}
	name = iot_strndup(command->param, (size_t)(space - command->param));
	topic = full_topic(module, name);
	error = module->link != LINK_UP ? AT_NO_CONNECTION : check_topic(module, topic, false);
	if (error != AT_OK)
		module_error(module, error);
	else
		publish(module, topic, space + 1, command->param_len - (size_t)(space + 1 - command->param));
}

void message_send(struct module *module, const struct at_command *command)
{
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	enum at_error error;

	if (module->spec == AT_V0_5 && command->number < 0) {
		send_to_named(module, command);
		return;
	}
	topic = indexed_topic(module, command, false, &error);
	if (topic == NULL)
		module_error(module, error);
	else
		publish(module, topic, command->param, command->param_len);
}

void message_subscribe(struct module *module, const struct at_command *command)
{
	enum at_error error;
	char *topic = indexed_topic(module, command, true, &error);
	int at = command->number;

	if (topic == NULL) {
		module_error(module, error);
		return;
	}
	free(module->filters[at]);
	module->filters[at] = topic;
	if (link_subscribe(module, topic, dict_number(module->dict, "QoS") == 1, &module->filter_mids[at]))
		module_ok(module, "%s", "");
	else
		module_error(module, AT_NO_CONNECTION);
}

void message_unsubscribe(struct module *module, const struct at_command *command)
{
	int at = command->number;
	IOT_CLEAN(iot_free_p) char *filter = NULL;
	enum at_error error = at < 0                        ? AT_PARAMETER
			      : module->link != LINK_UP     ? AT_NO_CONNECTION
			      : at == 0 || at > DICT_TOPICS ? AT_RANGE
			      : module->filters[at] == NULL ? AT_UNDEFINED
							    : AT_OK;

	if (error != AT_OK) {
		module_error(module, error);
		return;
	}
	filter = iot_take(module->filters[at]);
	if (iot_mqtt_unsubscribe(module->mqtt, filter, NULL) == IOT_OK)
		module_ok(module, "%s", "");
	else
		module_error(module, AT_NO_CONNECTION);
}

bool message_subscribed(struct module *module, int mid, bool granted)
{
	for (int i = 1; i <= DICT_TOPICS; i++) {
		if (module->filters[i] == NULL || module->filter_mids[i] != mid)
			continue;
		module->filter_mids[i] = -1;
		if (!granted) {
			free(module->filters[i]);
			module->filters[i] = NULL;
		}
		module_raise(module, granted ? IOT_EL_SUBACK : IOT_EL_SUBNACK, (unsigned)i, NULL);
		return true;
	}
	return false;
}

static int index_of(const struct module *module, const char *topic)
{
	for (int i = 1; i <= DICT_TOPICS; i++) {
		if (module->filters[i] != NULL && iot_topic_matches(module->filters[i], topic))
			return i;
	}
	return 0;
}

static void drop_message(struct module *module, size_t position)
{
	struct module_message *message = &module->messages[(module->message_first + position) % MODULE_MESSAGES];

	free(message->topic);
	message->topic = NULL;
	iot_buf_release(&message->payload);
	for (size_t i = position; i + 1 < module->message_count; i++)
		module->messages[(module->message_first + i) % MODULE_MESSAGES] =
			module->messages[(module->message_first + i + 1) % MODULE_MESSAGES];
	module->message_count--;
}

void message_arrived(struct module *module, const char *topic, const void *payload, size_t len)
{
	int at = index_of(module, topic);
	struct module_message *message;
	char detail[16];

	snprintf(detail, sizeof(detail), "%d", at);
	if (len > MODULE_MESSAGE_MAX) {
		module_raise(module, IOT_EL_OVERRUN, 0, detail);
		return;
	}
	if (module->message_count == MODULE_MESSAGES) {
		snprintf(detail, sizeof(detail), "%d", module->messages[module->message_first].index);
		drop_message(module, 0);
		module_raise(module, IOT_EL_OVERRUN, 0, detail);
	}
	message = &module->messages[(module->message_first + module->message_count++) % MODULE_MESSAGES];
	message->topic = iot_strdup(topic);
	message->index = at;
	message->payload = (struct iot_buf)IOT_BUF_INIT(MODULE_MESSAGE_MAX);
	iot_buf_add(&message->payload, payload, len);
	module_raise(module, IOT_EL_MSG, (unsigned)at, NULL);
}

void message_get(struct module *module, const struct at_command *command)
{
	if (command->number > DICT_TOPICS) {
		module_error(module, AT_RANGE);
		return;
	}
	if (command->number > 0 && dict_topic(module->dict, command->number)[0] == '\0') {
		module_error(module, AT_UNDEFINED);
		return;
	}
	for (size_t i = 0; i < module->message_count; i++) {
		struct module_message *message = &module->messages[(module->message_first + i) % MODULE_MESSAGES];

		if (command->number >= 0 && message->index != command->number)
			continue;
		if (command->number > 0)
			module_ok_data(module, "", iot_buf_str(&message->payload), message->payload.len);
		else
			module_ok_more(module, message->topic, iot_buf_str(&message->payload), message->payload.len);
		drop_message(module, i);
		return;
	}
	module_ok(module, "%s", "");
}

void message_forget(struct module *module, bool received_too)
{
	for (int i = 0; i <= DICT_TOPICS; i++) {
		free(module->filters[i]);
		module->filters[i] = NULL;
	}
	while (received_too && module->message_count > 0)
		drop_message(module, 0);
}
