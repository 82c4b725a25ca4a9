/* Replacing variables in cases, and comparing replies with what a case expects. */
#include "cases.h"

#include "iotctl/base.h"

#include <stdio.h>
#include <string.h>

static const char *variable(const json_t *variables, const char *name, size_t len)
{
	IOT_CLEAN(iot_free_p) char *key = iot_strndup(name, len);
	const char *value = iot_json_str(variables, key, NULL);

	if (value == NULL) {
		fprintf(stderr, "there is no variable ${%s}\n", key);
		exit(2);
	}
	return value;
}

static json_t *replace_text(const char *text, const json_t *variables)
{
	struct iot_buf out = IOT_BUF_INIT(1 << 20);
	json_t *result;

	for (const char *open; (open = strstr(text, "${")) != NULL;) {
		size_t len = strcspn(open + 2, "}");

		iot_buf_add(&out, text, (size_t)(open - text));
		/* "$${" is a plain "${": policy variables look like ours. */
		if (open > text && open[-1] == '$') {
			iot_buf_adds(&out, "{");
			text = open + 2;
			continue;
		}
		iot_buf_adds(&out, variable(variables, open + 2, len));
		text = open + 2 + len + 1;
	}
	iot_buf_adds(&out, text);
	result = json_string(iot_buf_str(&out));
	iot_buf_release(&out);
	return result;
}

json_t *cases_replace(const json_t *value, const json_t *variables)
{
	json_t *copy;
	json_t *item;
	const char *key;
	size_t i;

	if (json_is_string(value))
		return replace_text(json_string_value(value), variables);
	if (json_is_object(value)) {
		copy = json_object();
		json_object_foreach((json_t *)(uintptr_t)value, key, item) {
			json_t *name = replace_text(key, variables);

			json_object_set_new(copy, json_string_value(name), cases_replace(item, variables));
			json_decref(name);
		}
		return copy;
	}
	if (json_is_array(value)) {
		copy = json_array();
		json_array_foreach(value, i, item)
			json_array_append_new(copy, cases_replace(item, variables));
		return copy;
	}
	return json_incref((json_t *)(uintptr_t)value);
}

json_t *cases_member(const json_t *value, const char *path)
{
	json_t *at = (json_t *)(uintptr_t)value;

	while (at != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		IOT_CLEAN(iot_free_p) char *key = iot_strndup(path, len);

		at = json_is_array(at) ? json_array_get(at, (size_t)strtoul(key, NULL, 10)) : json_object_get(at, key);
		path += len + (path[len] == '.');
	}
	return at;
}

static bool differ(char *where, size_t size, const char *step)
{
	size_t len = strlen(where);
	IOT_CLEAN(iot_free_p) char *rest = iot_strdup(where);

	if (len + strlen(step) + 2 < size)
		snprintf(where, size, "%s%s%s", step, len > 0 ? "." : "", rest);
	return false;
}

static bool match_object(const json_t *expected, const json_t *actual, char *where, size_t size)
{
	const char *key;
	json_t *item;

	json_object_foreach((json_t *)(uintptr_t)expected, key, item) {
		const json_t *other = json_object_get(actual, key);

		if (json_is_null(item) ? other != NULL : other == NULL || !cases_match(item, other, where, size))
			return differ(where, size, key);
	}
	return true;
}

bool cases_match(const json_t *expected, const json_t *actual, char *where, size_t where_size)
{
	json_t *item;
	size_t i;

	if (json_is_string(expected) && strcmp(json_string_value(expected), "*") == 0)
		return actual != NULL && !json_is_null(actual);
	if (json_is_object(expected))
		return json_is_object(actual) && match_object(expected, actual, where, where_size);
	if (!json_is_array(expected))
		return json_equal(expected, actual) != 0;
	if (!json_is_array(actual) || json_array_size(expected) != json_array_size(actual))
		return false;
	json_array_foreach(expected, i, item) {
		char number[24];

		snprintf(number, sizeof(number), "%zu", i);
		if (!cases_match(item, json_array_get(actual, i), where, where_size))
			return differ(where, where_size, number);
	}
	return true;
}
