/*
 * The attributes of things and groups, and the checks of nested structures that
 * several operations share.
 */
#include "registry_private.h"

#include "cloud/operations_private.h"

#include <string.h>

#define ATTRIBUTE_NAME_MAX 128
#define ATTRIBUTE_VALUE_MAX 800

enum iot_status iot_local_members(const json_t *object, const char *subject, const char *const *allowed,
				  struct iot_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		size_t i = 0;

		while (allowed[i] != NULL && strcmp(allowed[i], key) != 0)
			i++;
		if (allowed[i] == NULL)
			return iot_local_invalid(err, "%s has no member '%.80s'", subject, key);
	}
	return IOT_OK;
}

enum iot_status iot_local_text_member(const json_t *object, const char *key, size_t max, const char **ret,
				      struct iot_error *err)
{
	const json_t *value = json_object_get(object, key);
	const char *text;

	*ret = NULL;
	if (value == NULL || json_is_null(value))
		return IOT_OK;
	text = json_string_value(value);
	if (text == NULL)
		return iot_local_invalid(err, "%s is not a string", key);
	if (strlen(text) > max)
		return iot_local_invalid(err, "%s has %zu bytes: it may have at most %zu", key, strlen(text), max);
	if (iot_name_rule_check(iot_name_rule_find("text"), text) != NULL)
		return iot_local_invalid(err, "%s has control characters", key);
	*ret = text;
	return IOT_OK;
}

enum iot_status iot_local_expect(const json_t *request, int64_t version, const char *subject, struct iot_error *err)
{
	const json_t *expected = json_object_get(request, "expectedVersion");

	if (!json_is_integer(expected) || json_integer_value(expected) == version)
		return IOT_OK;
	return iot_cloud_fail(err, "VersionConflictException", "%s has version %lld, not %lld", subject,
			      (long long)version, (long long)json_integer_value(expected));
}

static enum iot_status check_attribute(const char *name, const json_t *value, struct iot_error *err)
{
	const char *text = json_string_value(value);

	if (*name == '\0' || strlen(name) > ATTRIBUTE_NAME_MAX ||
	    iot_name_rule_check(iot_name_rule_find("attribute"), name) != NULL) {
		iot_local_invalid(err, "'%.130s' cannot be the name of an attribute", name);
		iot_error_hint(err, "1 to 128 %s", iot_name_rule_find("attribute")->text);
		return IOT_USAGE;
	}
	if (text == NULL)
		return iot_local_invalid(err, "attribute '%s' is not a string", name);
	if (strlen(text) > ATTRIBUTE_VALUE_MAX || iot_name_rule_check(iot_name_rule_find("value"), text) != NULL) {
		iot_local_invalid(err, "attribute '%s' cannot have the value '%.130s'", name, text);
		iot_error_hint(err, "at most 800 %s", iot_name_rule_find("value")->text);
		return IOT_USAGE;
	}
	return IOT_OK;
}

static enum iot_status apply(const json_t *changes, json_t *attributes, struct iot_error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)changes, name, value) {
		enum iot_status status = check_attribute(name, value, err);

		if (status != IOT_OK)
			return status;
		if (*json_string_value(value) == '\0')
			json_object_del(attributes, name);
		else
			json_object_set(attributes, name, value);
	}
	return IOT_OK;
}

enum iot_status iot_attributes_apply(const json_t *payload, const json_t *before, size_t max, json_t **ret,
				     struct iot_error *err)
{
	static const char *const members[] = {"attributes", "merge", NULL};
	const json_t *changes = json_object_get(payload, "attributes");
	const json_t *merge = json_object_get(payload, "merge");
	IOT_JSON attributes = NULL;
	enum iot_status status;

	status = iot_local_members(payload, "attributePayload", members, err);
	if (status != IOT_OK)
		return status;
	if (merge != NULL && !json_is_boolean(merge))
		return iot_local_invalid(err, "attributePayload: merge is not true or false");
	if (changes != NULL && !json_is_object(changes))
		return iot_local_invalid(err, "attributePayload: attributes is not an object of strings");
	/* Without attributes there is nothing to replace. */
	if (before != NULL && (changes == NULL || json_is_true(merge)))
		attributes = json_copy((json_t *)(uintptr_t)before);
	else
		attributes = json_object();
	status = apply(changes, attributes, err);
	if (status != IOT_OK)
		return status;
	if (json_object_size(attributes) > max)
		return iot_local_invalid(err, "%zu attributes are too many: at most %zu are allowed",
					 json_object_size(attributes), max);
	*ret = iot_take(attributes);
	return IOT_OK;
}

json_t *iot_attributes_load(const char *text)
{
	json_t *attributes = text != NULL ? json_loads(text, 0, NULL) : NULL;

	return attributes != NULL ? attributes : json_object();
}

char *iot_attributes_text(const json_t *attributes)
{
	char *text = json_dumps(attributes, JSON_COMPACT | JSON_SORT_KEYS);

	return text != NULL ? text : iot_strdup("{}");
}
