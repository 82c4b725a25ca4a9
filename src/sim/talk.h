/*
 * What a device says and hears besides its updates: its state, and commands with
 * their answers. Like the agent it holds no connection; it lives as long as one
 * boot does.
 */
#ifndef IOTCTL_SIM_TALK_H
#define IOTCTL_SIM_TALK_H

#include "iotctl/mqtt.h"
#include "sim/topics.h"

#include <jansson.h>

/* The board under it. Nothing is repeated when something could not be sent. */
struct sim_talk_port {
	bool (*publish)(void *data, const struct iot_mqtt_message *message);
	bool (*subscribe)(void *data, const char *filter, int qos);
	void (*event)(void *data, const char *name, const char *detail); /* command, unanswered */
	void *data;
};

struct sim_talk;

/* `topics` must outlive it. */
struct sim_talk *sim_talk_new(const struct sim_topics *topics, const struct sim_talk_port *port);
void sim_talk_free(struct sim_talk *talk);

/* The connection is there: subscribe. What the device says afterwards tells the others that it hears them. */
void sim_talk_online(struct sim_talk *talk);
/* Say the state; takes `state`, an object. */
void sim_talk_state(struct sim_talk *talk, json_t *state);
/* False: the message is not for this part of the device. */
bool sim_talk_message(struct sim_talk *talk, const struct iot_mqtt_message *message);

#endif
