/*
 * A device among others. Its configuration is acknowledged as its layout wants
 * it: in the state, in an event, or, in AWS's manner, by reporting the named
 * shadow "config", whose whole content is fetched when a delta tells of a change.
 */
#include "sim/talk.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 128 * 1024 };

struct sim_talk {
	struct sim_talk_options options;
	char *shadow;           /* "$aws/things/THING/shadow/name/config/"; NULL: the configuration is a topic */
	struct sim_play *play;  /* NULL without a behaviour */
	json_t *state, *config; /* config NULL: none yet */
};

static void say(const struct sim_talk *talk, const char *event, const char *fmt, ...) IOT_PRINTF(3, 4);
static void say(const struct sim_talk *talk, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	talk->options.port.event(talk->options.port.data, event, text);
}

static bool publish(struct sim_talk *talk, const char *topic, const json_t *body, int qos, bool retain)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(body);
	const struct iot_mqtt_message message = {
		.topic = topic, .payload = text, .payload_len = strlen(text), .qos = qos, .retain = retain};

	return talk->options.port.publish(talk->options.port.data, &message);
}

/* --- for the behaviour ---------------------------------------------------------------------- */

static bool play_publish(void *data, const struct iot_mqtt_message *message)
{
	struct sim_talk *talk = data;

	return talk->options.port.publish(talk->options.port.data, message);
}

static void play_state(void *data, json_t *members)
{
	sim_talk_state(data, json_incref(members));
}

static void play_event(void *data, const char *name, const char *detail)
{
	say(data, name, "%s", detail);
}

/* --- life ----------------------------------------------------------------------------------- */

struct sim_talk *sim_talk_new(const struct sim_talk_options *options, int64_t now)
{
	struct sim_talk *talk = iot_alloc(sizeof(*talk));
	const struct sim_play_options play = {.thing = options->thing,
					      .type = options->type,
					      .topics = options->topics,
					      .port = {play_publish, play_state, play_event, talk}};

	talk->options = *options;
	talk->state = json_object();
	if (options->topics->acknowledge == SIM_ACK_SHADOW)
		talk->shadow = iot_strf("$aws/things/%s/shadow/name/config/", options->thing);
	if (options->behaviour != NULL) {
		talk->play = sim_play_new(options->behaviour, &play);
		sim_play_react(talk->play, SIM_ON_START, NULL, NULL, now);
	}
	return talk;
}

void sim_talk_free(struct sim_talk *talk)
{
	if (talk == NULL)
		return;
	sim_play_free(talk->play);
	json_decref(talk->state);
	json_decref(talk->config);
	free(talk->shadow);
	free(talk);
}

static void subscribe(struct sim_talk *talk, const char *filter, int qos)
{
	if (filter != NULL)
		talk->options.port.subscribe(talk->options.port.data, filter, qos);
}

void sim_talk_subscribe(struct sim_talk *talk)
{
	const struct sim_topics *topics = talk->options.topics;

	subscribe(talk, topics->command_filter, topics->role[SIM_COMMAND].qos);
	subscribe(talk, topics->inbox_filter, topics->role[SIM_PEER].qos);
	if (talk->shadow == NULL) {
		subscribe(talk, topics->config_filter, topics->role[SIM_CONFIG].qos);
	} else {
		IOT_CLEAN(iot_free_p) char *delta = iot_strf("%supdate/delta", talk->shadow);
		IOT_CLEAN(iot_free_p) char *accepted = iot_strf("%sget/accepted", talk->shadow);

		subscribe(talk, accepted, 1);
		subscribe(talk, delta, 1);
	}
}

void sim_talk_state(struct sim_talk *talk, json_t *members)
{
	const struct sim_topics *topics = talk->options.topics;

	json_object_update(talk->state, members);
	json_decref(members);
	publish(talk, topics->role[SIM_STATE].topic, talk->state, topics->role[SIM_STATE].qos,
		topics->role[SIM_STATE].retain);
}

static void fetch_shadow(struct sim_talk *talk)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("%sget", talk->shadow);
	IOT_JSON nothing = json_object();

	publish(talk, topic, nothing, 1, false);
}

void sim_talk_online(struct sim_talk *talk, int64_t now)
{
	if (talk->play == NULL)
		return;
	if (talk->shadow != NULL && talk->config == NULL)
		fetch_shadow(talk);
	sim_play_online(talk->play, now);
	sim_play_react(talk->play, SIM_ON_CONNECT, NULL, NULL, now);
}

void sim_talk_offline(struct sim_talk *talk)
{
	if (talk->play != NULL)
		sim_play_offline(talk->play);
}

void sim_talk_tick(struct sim_talk *talk, int64_t now)
{
	if (talk->play != NULL)
		sim_play_tick(talk->play, now);
}

int64_t sim_talk_deadline(const struct sim_talk *talk)
{
	return talk->play != NULL ? sim_play_deadline(talk->play) : INT64_MAX;
}

/* --- configuration -------------------------------------------------------------------------- */

/* The same one comes again at every connection. */
static void configure(struct sim_talk *talk, json_t *config, int64_t now)
{
	const char *member = talk->shadow != NULL ? "configVersion" : talk->options.topics->version_member;

	if (talk->config != NULL && json_equal(talk->config, config))
		return;
	json_decref(talk->config);
	talk->config = json_incref(config);
	say(talk, "configured", "version %lld", member != NULL ? (long long)iot_json_int(config, member, 0) : 0LL);
	if (talk->play == NULL)
		return;
	sim_play_configure(talk->play, config);
	sim_play_react(talk->play, SIM_ON_CONFIG, NULL, NULL, now);
}

static void acknowledge_event(struct sim_talk *talk, const json_t *version)
{
	const struct sim_topics *topics = talk->options.topics;
	IOT_JSON event = json_pack("{s:O}", topics->version_member, version);
	IOT_CLEAN(iot_free_p) char *topic = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	char line[400];

	if (sim_topics_fill(topics, SIM_EVENT, NULL, NULL, NULL, &topic, &err) != IOT_OK)
		say(talk, "trouble", "%s", iot_error_line(&err, line, sizeof(line)));
	else
		publish(talk, topic, event, topics->role[SIM_EVENT].qos, topics->role[SIM_EVENT].retain);
}

static void take_config(struct sim_talk *talk, json_t *config, int64_t now)
{
	const struct sim_topics *topics = talk->options.topics;
	const json_t *version = topics->version_member != NULL ? json_object_get(config, topics->version_member) : NULL;

	configure(talk, config, now);
	if (version == NULL)
		return;
	if (topics->acknowledge == SIM_ACK_STATE)
		sim_talk_state(talk, json_pack("{s:O}", topics->version_member, version));
	else if (topics->acknowledge == SIM_ACK_EVENT)
		acknowledge_event(talk, version);
}

/* What is reported but not desired any more goes. */
static void report_shadow(struct sim_talk *talk, const json_t *desired, const json_t *reported)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("%supdate", talk->shadow);
	IOT_JSON report = json_copy((json_t *)(uintptr_t)desired);
	IOT_JSON update = NULL;
	const char *name;
	json_t *value;

	if (reported != NULL && json_equal(desired, reported))
		return;
	json_object_foreach((json_t *)(uintptr_t)reported, name, value) {
		if (json_object_get(desired, name) == NULL)
			json_object_set_new(report, name, json_null());
	}
	update = json_pack("{s:{s:O}}", "state", "reported", report);
	publish(talk, topic, update, 1, false);
}

static void take_shadow(struct sim_talk *talk, const char *what, const json_t *body, int64_t now)
{
	const json_t *state = json_object_get(body, "state");
	json_t *desired = json_object_get(state, "desired");

	if (strcmp(what, "update/delta") == 0) {
		fetch_shadow(talk);
	} else if (strcmp(what, "get/accepted") == 0 && json_is_object(desired)) {
		configure(talk, desired, now);
		report_shadow(talk, desired, json_object_get(state, "reported"));
	}
}

/* --- messages ------------------------------------------------------------------------------- */

static void answer(struct sim_talk *talk, const struct sim_command *command)
{
	IOT_JSON body = json_pack("{s:b}", "ok", 1);
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_reply reply;
	char line[256];

	if (!sim_command_wants_reply(command))
		return;
	if (sim_reply_make(talk->options.topics, command, body, NULL, 0, &reply, &err) != IOT_OK) {
		say(talk, "unanswered", "'%s': %s", command->name, iot_error_line(&err, line, sizeof(line)));
		return;
	}
	talk->options.port.publish(talk->options.port.data, &reply.message);
	sim_reply_release(&reply);
}

static void take_command(struct sim_talk *talk, const struct iot_mqtt_message *message, int64_t now)
{
	struct sim_command command;

	sim_command_read(talk->options.topics, message, &command);
	say(talk, "command", "'%s'", command.name);
	if (talk->play == NULL || !sim_play_react(talk->play, SIM_ON_COMMAND, &command, command.body, now))
		answer(talk, &command);
	sim_command_release(&command);
}

static void take_peer(struct sim_talk *talk, const json_t *body, int64_t now)
{
	say(talk, "peer", "%s", body != NULL ? "said something" : "said something that is no JSON");
	if (talk->play != NULL)
		sim_play_react(talk->play, SIM_ON_PEER, NULL, body, now);
}

static bool matches(const char *filter, const char *topic)
{
	return filter != NULL && iot_topic_matches(filter, topic);
}

bool sim_talk_message(struct sim_talk *talk, const struct iot_mqtt_message *message, int64_t now)
{
	const struct sim_topics *topics = talk->options.topics;
	bool config = talk->shadow == NULL && matches(topics->config_filter, message->topic);
	bool shadow = talk->shadow != NULL && iot_starts_with(message->topic, talk->shadow);
	bool peer = matches(topics->inbox_filter, message->topic);
	IOT_JSON body = NULL;

	if (matches(topics->command_filter, message->topic)) {
		take_command(talk, message, now);
		return true;
	}
	if (!config && !shadow && !peer)
		return false;
	if (message->payload_len > MESSAGE_MAX ||
	    iot_json_parse(message->payload, message->payload_len, "message", &body, NULL) != IOT_OK)
		body = NULL;
	if (peer)
		take_peer(talk, body, now);
	else if (shadow)
		take_shadow(talk, message->topic + strlen(talk->shadow), body, now);
	else if (json_is_object(body))
		take_config(talk, body, now);
	return true;
}
