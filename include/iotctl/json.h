/*
 * Typed access to jansson values with good errors, and strict bounded parsing.
 * json_t is the record type of the house; this adds only what jansson lacks.
 */
#ifndef IOTCTL_JSON_H
#define IOTCTL_JSON_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <jansson.h>
#include <stdint.h>

/* For IOT_CLEAN. */
void iot_json_decref_p(json_t **value);
#define IOT_JSON IOT_CLEAN(iot_json_decref_p) json_t *

/*
 * Parse exactly one JSON value: duplicate members refused, at most
 * IOT_JSON_MAX_DEPTH levels, NUL in strings refused. IOT_USAGE with line and
 * column, naming `subject`. New reference in *ret.
 */
#define IOT_JSON_MAX_DEPTH 32
IOT_CHECK enum iot_status iot_json_parse(const char *text, size_t len, const char *subject, json_t **ret,
					 struct iot_error *err);

/*
 * Text of a value (members in insertion order), as json_dumps with these flags and JSON_ENCODE_ANY makes it, but each
 * number with 15 to 17 digits, as few as read back the same: 0.1, not 0.10000000000000001. "null" for NULL; new memory.
 */
char *iot_json_dump(const json_t *value, size_t flags);
/* The same, compact. */
char *iot_json_text(const json_t *value);

/* Member as string / integer / boolean, or the default when absent or of another type. Borrowed. */
const char *iot_json_str(const json_t *object, const char *key, const char *fallback);
int64_t iot_json_int(const json_t *object, const char *key, int64_t fallback);
bool iot_json_bool(const json_t *object, const char *key, bool fallback);

/* Set a string member only if value is not NULL. */
void iot_json_set_str(json_t *object, const char *key, const char *value);
void iot_json_set_int(json_t *object, const char *key, int64_t value);
void iot_json_set_bool(json_t *object, const char *key, bool value);

/*
 * Members "payload" and "format" of a message's record: "text" as it is if that is UTF-8, else "base64". With `json`
 * what is one JSON value (as iot_json_parse has it) becomes that, and format "json".
 */
void iot_json_set_payload(json_t *object, const void *payload, size_t len, bool json);

#endif
