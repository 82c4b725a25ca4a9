/*
 * What a device says and hears besides its updates: its state, its configuration,
 * commands with their answers, what other devices say to it, and whatever its
 * behaviour has it do. Like the agent it holds no connection; it lives as long as
 * one boot does.
 */
#ifndef IOTCTL_SIM_TALK_H
#define IOTCTL_SIM_TALK_H

#include "sim/behaviour_play.h"

/* The board under it. Nothing is repeated when something could not be sent. */
struct sim_talk_port {
	bool (*publish)(void *data, const struct iot_mqtt_message *message);
	bool (*subscribe)(void *data, const char *filter, int qos);
	/* command, unanswered, configured, peer, and those of behaviours */
	void (*event)(void *data, const char *name, const char *detail);
	void *data;
};

struct sim_talk_options {
	const char *thing, *type; /* type NULL: none */
	const struct sim_topics *topics;
	const struct sim_behaviour *behaviour; /* NULL: every command is answered with {"ok":true} */
	struct sim_talk_port port;
};

struct sim_talk;

/* Options are copied; what they point to must outlive it. */
struct sim_talk *sim_talk_new(const struct sim_talk_options *options, int64_t now);
void sim_talk_free(struct sim_talk *talk);

/* The connection is there: subscribe. What the device says after that tells others that it hears them. */
void sim_talk_subscribe(struct sim_talk *talk);
/* Say the state with these members changed; takes `members`, an object. */
void sim_talk_state(struct sim_talk *talk, json_t *members);
/* The state has been said: go on with the rest. */
void sim_talk_online(struct sim_talk *talk, int64_t now);
void sim_talk_offline(struct sim_talk *talk);

/* False: the message is not for this part of the device. */
bool sim_talk_message(struct sim_talk *talk, const struct iot_mqtt_message *message, int64_t now);
void sim_talk_tick(struct sim_talk *talk, int64_t now);
/* When sim_talk_tick has something to do; INT64_MAX: never. */
int64_t sim_talk_deadline(const struct sim_talk *talk);

#endif
