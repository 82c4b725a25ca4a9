/*
 * The topics of one device: what its layout made of them, as its folder says
 * (member "topics" of device.json, see layout.h), or those of the default layout.
 */
#ifndef IOTCTL_SIM_TOPICS_H
#define IOTCTL_SIM_TOPICS_H

#include "iotctl/error.h"

#include <jansson.h>
#include <stdbool.h>

enum sim_role { SIM_CONFIG, SIM_COMMAND, SIM_REPLY, SIM_EVENT, SIM_STATE, SIM_PEER, SIM_ROLES };

enum sim_acknowledge { SIM_ACK_SHADOW, SIM_ACK_STATE, SIM_ACK_EVENT, SIM_ACK_NONE };

struct sim_topics {
	struct {
		char *topic; /* NULL: none. {token}, {peer} and {subfolder} are still to be filled in */
		int qos;
		bool retain;
	} role[SIM_ROLES];
	char *config_filter, *command_filter; /* to subscribe to */
	char *inbox_filter;                   /* what other devices say to this one; NULL: nothing */
	enum sim_acknowledge acknowledge;     /* of a configuration */
	char *version_member;                 /* for ACK_STATE and ACK_EVENT */
	char *token_member;                   /* of commands and replies; NULL: MQTT 5 tells which reply is whose */
};

/* "config" ... "peer" */
const char *sim_role_name(enum sim_role role);

/* From device.json. IOT_USAGE: member "topics" is not as iotctl writes it; `subject` names the file. */
IOT_CHECK enum iot_status sim_topics_read(const json_t *device, const char *subject, struct sim_topics *ret,
					  struct iot_error *err);
void sim_topics_release(struct sim_topics *topics);

/*
 * The topic of a role; new memory. Names not needed may be NULL, and so may a subfolder. IOT_USAGE: a name is missing
 * or cannot be part of a topic, the topic breaks a rule, or there is none for this role.
 */
IOT_CHECK enum iot_status sim_topics_fill(const struct sim_topics *topics, enum sim_role role, const char *token,
					  const char *peer, const char *subfolder, char **ret, struct iot_error *err);

#endif
