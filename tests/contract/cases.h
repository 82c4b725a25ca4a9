/*
 * Cases as data. A file holds scenarios; each starts on an empty cloud:
 *
 *	{"scenario": "a name", "steps": [STEP, ...]}
 *
 * A step calls one operation and says what must come of it:
 *
 *	{"call": "CreateThing", "with": {"thingName": "t"},
 *	 "reply": {"thingName": "t", "thingId": "*"},     what the reply must contain
 *	 "code": "ResourceNotFoundException",             instead: it must fail so
 *	 "says": "does not exist",                        and the one line contains this
 *	 "save": {"id": "thingId"},                       keep members of the reply as ${id}
 *	 "payload": {"state": {}},                        a payload: JSON, or a text as it is
 *	 "document": {"version": 1},                      what the payload of the reply must contain
 *	 "repeat": 3}                                     call it so often, ${i} counts from 1
 *
 * In "reply" an object must have the members that are named (null: must not have
 * it), a list must have exactly these elements, "*" stands for anything but
 * nothing. ${NAME} in any text is replaced by what was saved or given.
 */
#ifndef IOTCTL_CONTRACT_CASES_H
#define IOTCTL_CONTRACT_CASES_H

#include "iotctl/json.h"

/* A copy of `value` with ${NAME} replaced in all texts; an unknown name ends the program. New reference. */
json_t *cases_replace(const json_t *value, const json_t *variables);

/*
 * Does `actual` contain what `expected` asks for? If not, `where` receives the
 * path of the first difference.
 */
bool cases_match(const json_t *expected, const json_t *actual, char *where, size_t where_size);

/* The member at a dotted path ("keyPair.PublicKey", "things.0.thingName"); NULL if there is none. Borrowed. */
json_t *cases_member(const json_t *value, const char *path);

#endif
