/*
 * Checking a request against the operations table, before anything is sent or
 * done: members that the operation does not have, missing ones, types, lengths
 * in characters, and the characters a name may consist of.
 */
#include "operations_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const struct iot_name_rule rules[] = {
	{"name", ":_-", true, true, "letters, digits, ':', '_' and '-'"},
	{"id", "_-", true, true, "letters, digits, '_' and '-'"},
	{"job-or-next", "_-", true, true, "letters, digits, '_' and '-' (or '$next')"},
	{"policy", "_+=,.@-", true, true, "letters, digits and any of _+=,.@-"},
	{"attribute", "_.,@/:#-", true, true, "letters, digits and any of _.,@/:#-"},
	{"value", "_.,@/:#=[]-", true, true, "letters, digits and any of _.,@/:#=[]-"},
	{"identity", "_.@/+=-", true, true, "letters, digits and any of _.@/+=-"},
	{"digits", "", false, true, "digits"},
	{"hex", "abcdefABCDEF", false, true, "hexadecimal digits"},
	{"reason", "ABCDEFGHIJKLMNOPQRSTUVWXYZ_", false, true, "capital letters, digits and '_'"},
	{"text", NULL, true, true, "no control characters"},
};

const struct iot_name_rule *iot_name_rule_find(const char *key)
{
	for (size_t i = 0; i < IOT_LENGTH(rules); i++) {
		if (strcmp(rules[i].key, key) == 0)
			return &rules[i];
	}
	return NULL;
}

static bool is_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

const char *iot_name_rule_check(const struct iot_name_rule *rule, const char *text)
{
	if (strcmp(rule->key, "job-or-next") == 0 && strcmp(text, "$next") == 0)
		return NULL;
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (rule->allowed == NULL) {
			if (c < 0x20 || c == 0x7f)
				return text;
			continue;
		}
		if ((rule->letters && is_letter(c)) || (rule->digits && is_digit(c)) ||
		    strchr(rule->allowed, c) != NULL)
			continue;
		return text;
	}
	return NULL;
}

/* Characters (code points) of valid UTF-8. */
static int64_t characters(const char *text)
{
	int64_t count = 0;

	for (; *text != '\0'; text++)
		count += ((unsigned char)*text & 0xc0) != 0x80;
	return count;
}

static enum iot_status refuse_size(const struct iot_member *member, int64_t size, const char *unit,
				   struct iot_error *err)
{
	if (member->min == member->max && member->max != 0)
		return iot_cloud_fail(err, "InvalidRequestException", "%s has %lld %s: it must have %lld", member->name,
				      (long long)size, unit, (long long)member->min);
	if (size < member->min)
		return iot_cloud_fail(err, "InvalidRequestException", "%s has %lld %s: it must have at least %lld",
				      member->name, (long long)size, unit, (long long)member->min);
	return iot_cloud_fail(err, "InvalidRequestException", "%s has %lld %s: it may have at most %lld", member->name,
			      (long long)size, unit, (long long)member->max);
}

static enum iot_status check_size(const struct iot_member *member, int64_t size, const char *unit,
				  struct iot_error *err)
{
	if (size < member->min || (member->max != 0 && size > member->max))
		return refuse_size(member, size, unit, err);
	return IOT_OK;
}

static enum iot_status check_choice(const struct iot_member *member, const char *text, struct iot_error *err)
{
	char list[200] = "";
	size_t used = 0;

	for (size_t i = 0; member->choices[i] != NULL; i++) {
		if (strcmp(member->choices[i], text) == 0)
			return IOT_OK;
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "",
						 member->choices[i]);
	}
	return iot_cloud_fail(err, "InvalidRequestException", "%s '%.60s' is none of %s", member->name, text, list);
}

static enum iot_status check_string(const struct iot_member *member, const json_t *value, struct iot_error *err)
{
	const char *text = json_string_value(value);
	const struct iot_name_rule *rule;
	const char *bad;
	enum iot_status status;

	if (strlen(text) != json_string_length(value))
		return iot_cloud_fail(err, "InvalidRequestException", "%s has a NUL character", member->name);
	if (member->choices != NULL)
		return check_choice(member, text, err);
	if (*text == '\0' && member->min > 0)
		return iot_cloud_fail(err, "InvalidRequestException", "%s is empty", member->name);
	status = check_size(member, characters(text), "characters", err);
	if (status != IOT_OK || member->pattern == NULL)
		return status;
	rule = iot_name_rule_find(member->pattern);
	bad = rule != NULL ? iot_name_rule_check(rule, text) : text;
	if (bad == NULL)
		return IOT_OK;
	iot_cloud_fail(err, "InvalidRequestException",
		       "%s '%.130s' has a character that is not allowed, at position %zu", member->name, text,
		       (size_t)(bad - text) + 1);
	iot_error_hint(err, "allowed: %s", rule != NULL ? rule->text : "nothing");
	return IOT_USAGE;
}

static enum iot_status check_integer(const struct iot_member *member, const json_t *value, struct iot_error *err)
{
	int64_t number = json_integer_value(value);

	if (number >= member->min && (member->max == 0 || number <= member->max))
		return IOT_OK;
	if (member->max == 0)
		return iot_cloud_fail(err, "InvalidRequestException", "%s is %lld: it must be at least %lld",
				      member->name, (long long)number, (long long)member->min);
	return iot_cloud_fail(err, "InvalidRequestException", "%s is %lld: it must be between %lld and %lld",
			      member->name, (long long)number, (long long)member->min, (long long)member->max);
}

static enum iot_status check_map(const struct iot_member *member, const json_t *value, struct iot_error *err)
{
	const char *key;
	json_t *item;

	/* jansson iterates a const object only through a cast that takes the const away; nothing is changed. */
	json_object_foreach((json_t *)(uintptr_t)value, key, item) {
		if (!json_is_string(item))
			return iot_cloud_fail(err, "InvalidRequestException", "%s: value of '%.60s' is not a string",
					      member->name, key);
	}
	return check_size(member, (int64_t)json_object_size(value), "entries", err);
}

static enum iot_status wrong_type(const struct iot_member *member, const char *wanted, struct iot_error *err)
{
	return iot_cloud_fail(err, "InvalidRequestException", "%s is not %s", member->name, wanted);
}

/* From 1970 to the end of 9999: what comes to more than that in ms has no place in an integer. */
static bool is_time(const json_t *value)
{
	double seconds = json_number_value(value);

	return json_is_number(value) && seconds >= 0 && seconds < 253402300800.0;
}

static enum iot_status check_value(const struct iot_member *member, const json_t *value, struct iot_error *err)
{
	switch (member->type) {
	case IOT_T_STRING:
		return json_is_string(value) ? check_string(member, value, err) : wrong_type(member, "a string", err);
	case IOT_T_INTEGER:
		return json_is_integer(value) ? check_integer(member, value, err)
					      : wrong_type(member, "an integer", err);
	case IOT_T_BOOLEAN:
		return json_is_boolean(value) ? IOT_OK : wrong_type(member, "true or false", err);
	case IOT_T_TIMESTAMP:
		return is_time(value) ? IOT_OK : wrong_type(member, "a time in seconds since 1970", err);
	case IOT_T_OBJECT:
		return json_is_object(value) ? IOT_OK : wrong_type(member, "an object", err);
	case IOT_T_MAP:
		return json_is_object(value) ? check_map(member, value, err)
					     : wrong_type(member, "an object of strings", err);
	case IOT_T_LIST:
		return json_is_array(value) ? check_size(member, (int64_t)json_array_size(value), "elements", err)
					    : wrong_type(member, "a list", err);
	case IOT_T_BLOB:
		return json_is_string(value) ? IOT_OK : wrong_type(member, "base64 text", err);
	}
	return IOT_OK;
}

/* Devices send some numbers as text ("expectedVersion":"2"); who carries iot-jobs-data out reads both. */
static bool is_text_number(const struct iot_operation *op, const struct iot_member *member, const json_t *value)
{
	return member->type == IOT_T_INTEGER && json_is_string(value) && strcmp(op->service, "iot-jobs-data") == 0;
}

static enum iot_status check_text_number(const struct iot_member *member, const json_t *value, struct iot_error *err)
{
	IOT_JSON number = NULL;
	int64_t parsed;

	if (iot_parse_int(json_string_value(value), INT64_MIN, INT64_MAX, &parsed, NULL) != IOT_OK)
		return wrong_type(member, "an integer", err);
	number = json_integer(parsed);
	return check_integer(member, number, err);
}

static const struct iot_member *member_find(const struct iot_operation *op, const char *name)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		if (strcmp(member->name, name) == 0)
			return member;
	}
	return NULL;
}

static enum iot_status refuse_unknown(const struct iot_operation *op, const char *name, struct iot_error *err)
{
	char list[256] = "";
	size_t used = 0;

	for (const struct iot_member *member = op->members; member->name != NULL && used < sizeof(list); member++)
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", used > 0 ? ", " : "", member->name);
	iot_cloud_fail(err, "InvalidRequestException", "%s has no member '%.80s'", op->name, name);
	if (list[0] != '\0')
		iot_error_hint(err, "its members are %s", list);
	return IOT_USAGE;
}

enum iot_status iot_operation_check(const struct iot_operation *op, const json_t *request, struct iot_error *err)
{
	const char *key;
	json_t *value;

	if (request != NULL && !json_is_object(request))
		return iot_cloud_fail(err, "InvalidRequestException", "the request is not a JSON object");
	json_object_foreach((json_t *)(uintptr_t)request, key, value) {
		if (member_find(op, key) == NULL)
			return refuse_unknown(op, key, err);
	}
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		enum iot_status status;

		if (member->where == IOT_AS_PAYLOAD)
			continue;
		value = json_object_get(request, member->name);
		if (value == NULL || json_is_null(value)) {
			if (member->required)
				return iot_cloud_fail(err, "InvalidRequestException", "%s needs %s", op->name,
						      member->name);
			continue;
		}
		if (is_text_number(op, member, value))
			status = check_text_number(member, value, err);
		else
			status = check_value(member, value, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}
