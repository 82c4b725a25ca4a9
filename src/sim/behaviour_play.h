/*
 * Playing a behaviour: its variables, timers and what waits to be said. One play
 * lasts as long as one boot of the device does. It holds no connection and knows
 * no clock.
 */
#ifndef IOTCTL_SIM_BEHAVIOUR_PLAY_H
#define IOTCTL_SIM_BEHAVIOUR_PLAY_H

#include "sim/behaviour.h"
#include "sim/exchange.h"

struct sim_play_port {
	bool (*publish)(void *data, const struct iot_mqtt_message *message);
	void (*state)(void *data, json_t *members); /* say the state with these members changed; borrowed */
	void (*event)(void *data, const char *name, const char *detail); /* said, trouble */
	void *data;
};

struct sim_play_options {
	const char *thing, *type; /* type NULL: none */
	const struct sim_topics *topics;
	struct sim_play_port port;
};

struct sim_play;

/* Options are copied; what they point to, and the behaviour, must outlive the play. */
struct sim_play *sim_play_new(const struct sim_behaviour *behaviour, const struct sim_play_options *options);
void sim_play_free(struct sim_play *play);

/* The configuration from now on; shared, not copied. */
void sim_play_configure(struct sim_play *play, json_t *config);

/*
 * Something happened. `command` with SIM_ON_COMMAND alone; `payload` is the message's, NULL if it is not JSON. Of the
 * rules on a command the first that fits is followed, of others all. Returns whether any did.
 */
bool sim_play_react(struct sim_play *play, enum sim_on on, const struct sim_command *command, const json_t *payload,
		    int64_t now);

/* Timers run while the device is connected. */
void sim_play_online(struct sim_play *play, int64_t now);
void sim_play_offline(struct sim_play *play);
void sim_play_tick(struct sim_play *play, int64_t now);
/* When sim_play_tick has something to do; INT64_MAX: never. */
int64_t sim_play_deadline(const struct sim_play *play);

#endif
