/*
 * Templates: JSON values whose texts have placeholders, "{name}" or a path such
 * as "{config.routes.0}". A text that is one placeholder becomes what it stands
 * for, of whatever type, null when there is nothing; in a longer text it is put in
 * as text. "{{" is a brace. Names of members are left as they are.
 *
 *   thing type      the device's name and thing type
 *   now             the time, as text (RFC 3339)
 *   config          the configuration: null until there is one
 *   command         name of the command; payload: of the message that is reacted to
 *   any other       a variable
 */
#ifndef IOTCTL_SIM_BEHAVIOUR_VALUE_H
#define IOTCTL_SIM_BEHAVIOUR_VALUE_H

#include "iotctl/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What names stand for. Any may be NULL. */
struct sim_scope {
	const char *thing, *type, *command;
	const json_t *config, *payload, *variables;
};

/* May a variable have this name? Letters, digits, _ and -; not one of the names above. */
bool sim_variable_name_valid(const char *name);

/*
 * Is every placeholder well formed, and is its name known? `message`: within a reaction to one. IOT_USAGE with what is
 * wrong, without a place.
 */
IOT_CHECK enum iot_status sim_value_check(const json_t *value, const json_t *variables, bool message,
					  struct iot_error *err);
IOT_CHECK enum iot_status sim_text_check(const char *text, const json_t *variables, bool message,
					 struct iot_error *err);

/* Fill in. New reference, parts of which may be the scope's own: not to be changed. NULL: over 128 KiB. */
json_t *sim_value_fill(const json_t *value, const struct sim_scope *scope);
/* The same to text; new memory. */
char *sim_text_fill(const char *text, const struct sim_scope *scope);

/* Does it fit into so many bytes of JSON text and SIM_BEHAVIOUR_DEPTH_MAX levels? */
bool sim_value_fits(const json_t *value, size_t bytes);

#endif
