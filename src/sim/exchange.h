/*
 * A command as a device reads it, and its answer. Which reply belongs to which
 * command is said by MQTT 5 (response topic, correlation data) or by a token in
 * the payload, as the layout has it.
 */
#ifndef IOTCTL_SIM_EXCHANGE_H
#define IOTCTL_SIM_EXCHANGE_H

#include "iotctl/mqtt.h"
#include "sim/topics.h"

#define SIM_TOKEN_MAX 128 /* bytes; a longer one is none */

struct sim_command {
	json_t *body;         /* the payload; NULL: not JSON */
	char *name;           /* its member "command", else the subfolder of its topic, else "" */
	char *token;          /* NULL: none, so that it cannot be answered */
	char *response_topic; /* MQTT 5; NULL: none */
	void *correlation;    /* MQTT 5 */
	size_t correlation_len;
};

/* Read a message on the command topic. Anything may be in it. */
void sim_command_read(const struct sim_topics *topics, const struct iot_mqtt_message *message, struct sim_command *ret);
void sim_command_release(struct sim_command *command);
bool sim_command_wants_reply(const struct sim_command *command);

struct sim_reply {
	char *topic;
	void *payload; /* NULL: `message.payload` is borrowed */
	struct iot_mqtt_message message;
};

/*
 * The message that answers a command. An object gets the token as its member when the layout wants that; `bytes` (when
 * `body` is NULL) must outlive the reply. The command's correlation data is borrowed. IOT_USAGE: it cannot be answered.
 */
IOT_CHECK enum iot_status sim_reply_make(const struct sim_topics *topics, const struct sim_command *command,
					 const json_t *body, const void *bytes, size_t len, struct sim_reply *ret,
					 struct iot_error *err);
void sim_reply_release(struct sim_reply *reply);

#endif
