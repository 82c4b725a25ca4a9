/*
 * A device among others. Every command that says how to answer it is answered
 * with {"ok":true}.
 */
#include "sim/talk.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"
#include "sim/exchange.h"

#include <stdio.h>
#include <string.h>

struct sim_talk {
	const struct sim_topics *topics;
	struct sim_talk_port port;
};

static void say(const struct sim_talk *talk, const char *event, const char *fmt, ...) IOT_PRINTF(3, 4);
static void say(const struct sim_talk *talk, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	talk->port.event(talk->port.data, event, text);
}

struct sim_talk *sim_talk_new(const struct sim_topics *topics, const struct sim_talk_port *port)
{
	struct sim_talk *talk = iot_alloc(sizeof(*talk));

	talk->topics = topics;
	talk->port = *port;
	return talk;
}

void sim_talk_free(struct sim_talk *talk)
{
	free(talk);
}

void sim_talk_online(struct sim_talk *talk)
{
	const struct sim_topics *topics = talk->topics;

	talk->port.subscribe(talk->port.data, topics->command_filter, topics->role[SIM_COMMAND].qos);
}

void sim_talk_state(struct sim_talk *talk, json_t *state)
{
	IOT_JSON owned = state;
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(owned);
	const struct iot_mqtt_message message = {
		.topic = talk->topics->role[SIM_STATE].topic,
		.payload = text,
		.payload_len = strlen(text),
		.qos = talk->topics->role[SIM_STATE].qos,
		.retain = talk->topics->role[SIM_STATE].retain,
	};

	talk->port.publish(talk->port.data, &message);
}

static void answer(struct sim_talk *talk, const struct sim_command *command, const json_t *body)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_reply reply;
	char line[256];

	if (sim_reply_make(talk->topics, command, body, NULL, 0, &reply, &err) != IOT_OK) {
		say(talk, "unanswered", "'%s': %s", command->name, iot_error_line(&err, line, sizeof(line)));
		return;
	}
	talk->port.publish(talk->port.data, &reply.message);
	sim_reply_release(&reply);
}

static void take_command(struct sim_talk *talk, const struct iot_mqtt_message *message)
{
	IOT_JSON body = json_pack("{s:b}", "ok", 1);
	struct sim_command command;

	sim_command_read(talk->topics, message, &command);
	say(talk, "command", "'%s'", command.name);
	if (sim_command_wants_reply(&command))
		answer(talk, &command, body);
	sim_command_release(&command);
}

bool sim_talk_message(struct sim_talk *talk, const struct iot_mqtt_message *message)
{
	if (!iot_topic_matches(talk->topics->command_filter, message->topic))
		return false;
	take_command(talk, message);
	return true;
}
