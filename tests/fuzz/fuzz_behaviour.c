/* Behaviours: parse arbitrary bytes; what parses is played for a while in a world that says all kinds of things. */
#include "iotctl/base.h"
#include "iotctl/topic.h"
#include "sim/talk.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool publish(void *data, const struct iot_mqtt_message *message)
{
	(void)data;
	/* Whatever a behaviour says, it keeps to the rules. */
	if (message->payload_len > IOT_TOPIC_PAYLOAD_MAX + 1024 ||
	    iot_topic_check_publish(message->topic, strlen(message->topic), NULL) != IOT_OK)
		abort();
	return true;
}

static bool subscribe(void *data, const char *filter, int qos)
{
	(void)data, (void)filter, (void)qos;
	return true;
}

static void event(void *data, const char *name, const char *detail)
{
	(void)data, (void)name, (void)detail;
}

static void hear(struct sim_talk *talk, const char *topic, const char *payload, int64_t now)
{
	const struct iot_mqtt_message message = {.topic = topic, .payload = payload, .payload_len = strlen(payload)};

	sim_talk_message(talk, &message, now);
}

static void play(const struct sim_behaviour *behaviour, const struct sim_topics *topics)
{
	const struct sim_talk_options options = {.thing = "b",
						 .type = "bus",
						 .topics = topics,
						 .behaviour = behaviour,
						 .port = {publish, subscribe, event, NULL}};
	int64_t now = 1000;
	struct sim_talk *talk = sim_talk_new(&options, now);

	sim_talk_subscribe(talk);
	sim_talk_state(talk, json_object());
	sim_talk_online(talk, now);
	hear(talk, "bus/b/config", "{\"v\":1,\"a\":{\"b\":[1,2.5,\"x\"]},\"depot\":\"n\",\"reportSpeedAbove\":1}", now);
	for (int i = 0; i < 4; i++) {
		hear(talk, "bus/b/command", "{\"command\":\"where\",\"token\":\"t\",\"a\":1}", now);
		hear(talk, "bus/b/command", "{\"command\":\"route\",\"token\":\"a\",\"route\":[1],\"stops\":1e308}",
		     now);
		hear(talk, "bus/b/in", "{\"bus\":\"b9\"}", now);
		now += 1000;
		sim_talk_tick(talk, now);
	}
	sim_talk_offline(talk);
	sim_talk_free(talk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char folder[] =
		"{\"thingName\":\"b\",\"topics\":{"
		"\"config\":{\"topic\":\"bus/b/config\",\"qos\":1,\"acknowledge\":\"state\",\"versionMember\":\"v\"},"
		"\"command\":{\"topic\":\"bus/b/"
		"command\",\"qos\":1,\"correlation\":\"payload\",\"tokenMember\":\"token\"},"
		"\"reply\":{\"topic\":\"bus/b/reply/{token}\",\"qos\":1},\"event\":{\"topic\":\"bus/b/e/"
		"{subfolder}\",\"qos\":1},"
		"\"state\":{\"topic\":\"bus/b/state\",\"qos\":1},"
		"\"peer\":{\"topic\":\"depot/{peer}/in\",\"inbox\":\"bus/b/in\",\"qos\":1}}}";
	static struct sim_topics topics;
	struct sim_behaviour *behaviour;

	if (topics.command_filter == NULL) {
		json_t *device = json_loads(folder, 0, NULL);

		if (device == NULL || sim_topics_read(device, "device.json", &topics, NULL) != IOT_OK)
			abort();
		json_decref(device);
	}
	if (sim_behaviour_parse((const char *)data, size, "fuzz", NULL, &behaviour, NULL) != IOT_OK)
		return 0;
	play(behaviour, &topics);
	sim_behaviour_free(behaviour);
	return 0;
}
