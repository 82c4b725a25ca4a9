/*
 * A behaviour: what a software device does of its own accord and in answer to
 * others, as a small JSON file says it (iotctl-simulators(7), BEHAVIOURS). It is
 * parsed once and then shared by all devices that play it.
 */
#ifndef IOTCTL_SIM_BEHAVIOUR_H
#define IOTCTL_SIM_BEHAVIOUR_H

#include "iotctl/error.h"
#include "sim/topics.h"

#include <jansson.h>
#include <stdint.h>

#define SIM_BEHAVIOUR_TEXT_MAX ((size_t)64 * 1024) /* of a file */
#define SIM_BEHAVIOUR_RULES_MAX 64
#define SIM_BEHAVIOUR_ACTIONS_MAX 32 /* of a rule; conditions as well */
#define SIM_BEHAVIOUR_VARIABLES_MAX 64
#define SIM_BEHAVIOUR_VALUE_MAX ((size_t)8 * 1024) /* of a variable, as JSON text */
#define SIM_BEHAVIOUR_DEPTH_MAX 16                 /* of a value with another in it */
#define SIM_BEHAVIOUR_TIMES_MAX 100
#define SIM_BEHAVIOUR_EVERY_MIN_MS 10

enum sim_on { SIM_ON_START, SIM_ON_CONNECT, SIM_ON_CONFIG, SIM_ON_COMMAND, SIM_ON_PEER, SIM_ON_TIMER };
enum sim_compare { SIM_EQUAL, SIM_DIFFERENT, SIM_ABOVE, SIM_BELOW, SIM_NOT_BELOW, SIM_NOT_ABOVE };
enum sim_verb { SIM_PUBLISH, SIM_SET, SIM_ADD, SIM_WALK };
enum sim_content { SIM_NOTHING, SIM_JSON, SIM_TEXT, SIM_RANDOM, SIM_FILE };

/* Values in a behaviour are templates (behaviour_value.h), borrowed from its JSON. NULL: not given. */
struct sim_condition {
	const json_t *left, *right;
	enum sim_compare compare;
};

struct sim_action {
	enum sim_verb verb;
	/* publish */
	enum sim_role role;                   /* SIM_ROLES: `topic` */
	const char *topic;                    /* template */
	const char *peer, *subfolder, *token; /* templates */
	enum sim_content content;
	const json_t *json;
	const char *text;
	char *file; /* its bytes; owned */
	size_t len; /* of file; of random bytes */
	int qos;    /* of a topic, as is retain */
	bool retain;
	int64_t after_ms;
	int times;
	/* set */
	const json_t *values; /* names and values */
	/* add, walk */
	const char *variable;
	const json_t *by, *min, *max;
};

struct sim_rule {
	enum sim_on on;
	const char *command; /* the only one it is for; NULL: any */
	int64_t every_ms;    /* timer */
	struct sim_condition conditions[SIM_BEHAVIOUR_ACTIONS_MAX];
	size_t condition_count;
	struct sim_action *actions;
	size_t action_count;
};

struct sim_behaviour {
	json_t *json;
	const json_t *variables; /* object: what they are at first */
	struct sim_rule *rules;
	size_t rule_count;
};

/*
 * Parse a behaviour. `subject` names it in messages; files are found from folder `dir`, NULL: it may name none.
 * IOT_USAGE with the member that is wrong and its place; IOT_NOT_FOUND for a file.
 */
IOT_CHECK enum iot_status sim_behaviour_parse(const char *text, size_t len, const char *subject, const char *dir,
					      struct sim_behaviour **ret, struct iot_error *err);
/* A file, or one that is compiled in by its name. IOT_NOT_FOUND: neither is there. */
IOT_CHECK enum iot_status sim_behaviour_load(const char *name, struct sim_behaviour **ret, struct iot_error *err);
void sim_behaviour_free(struct sim_behaviour *behaviour);
void sim_behaviour_free_p(struct sim_behaviour **behaviour); /* for IOT_CLEAN */

/* The events of rules in their order: "start", "connect", ... */
const char *sim_on_name(enum sim_on on);

#endif
