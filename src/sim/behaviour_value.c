/*
 * Placeholders. What stands for one is shared, not copied, so a template cannot
 * grow a value; what it becomes as text is counted.
 */
#include "sim/behaviour_value.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"
#include "sim/behaviour.h"

#include <string.h>

enum { NAME_MAX_LEN = 64, STEPS_MAX = 8 };

static const char name_chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

/* The names that are no variables. */
static const char *const own_names[] = {"thing", "type", "now", "config", "command", "payload"};

static bool is_own(const char *name)
{
	for (size_t i = 0; i < IOT_LENGTH(own_names); i++)
		if (strcmp(own_names[i], name) == 0)
			return true;
	return false;
}

bool sim_variable_name_valid(const char *name)
{
	size_t len = strspn(name, name_chars);

	return len > 0 && len <= NAME_MAX_LEN && name[len] == '\0' && !is_own(name);
}

/* --- paths ------------------------------------------------------------------------------ */

struct path {
	char steps[STEPS_MAX][NAME_MAX_LEN + 1];
	size_t count;
	size_t len; /* of "{...}" */
};

/* At a '{' that is no "{{". */
static bool read_path(const char *text, struct path *ret)
{
	const char *at = text + 1;

	ret->count = 0;
	for (;; at++) {
		size_t len = strspn(at, name_chars);

		if (len == 0 || len > NAME_MAX_LEN || ret->count == STEPS_MAX)
			return false;
		memcpy(ret->steps[ret->count], at, len);
		ret->steps[ret->count++][len] = '\0';
		at += len;
		if (*at != '.')
			break;
	}
	ret->len = (size_t)(at - text) + 1;
	return *at == '}';
}

static const json_t *step_into(const json_t *value, const char *step)
{
	if (json_is_object(value))
		return json_object_get(value, step);
	if (json_is_array(value) && strspn(step, "0123456789") == strlen(step) && strlen(step) < 7)
		return json_array_get(value, (size_t)strtoul(step, NULL, 10));
	return NULL;
}

static json_t *share(const json_t *value)
{
	return json_incref((json_t *)(uintptr_t)value);
}

static json_t *look_up(const struct path *path, const struct sim_scope *scope)
{
	const char *name = path->steps[0];
	const json_t *value = json_object_get(scope->variables, name);
	char now[32];

	if (strcmp(name, "thing") == 0)
		return json_string(scope->thing);
	if (strcmp(name, "type") == 0)
		return json_string(scope->type != NULL ? scope->type : "");
	if (strcmp(name, "now") == 0)
		return json_string(iot_time_rfc3339(iot_now_ms(), now));
	if (strcmp(name, "command") == 0)
		return scope->command != NULL ? json_string(scope->command) : json_null();
	if (strcmp(name, "config") == 0)
		value = scope->config;
	else if (strcmp(name, "payload") == 0)
		value = scope->payload;
	for (size_t i = 1; i < path->count; i++)
		value = step_into(value, path->steps[i]);
	return value != NULL ? share(value) : json_null();
}

/* --- checking --------------------------------------------------------------------------- */

static enum iot_status check_name(const struct path *path, const json_t *variables, bool message, struct iot_error *err)
{
	const char *name = path->steps[0];

	if (!is_own(name) && json_object_get(variables, name) == NULL)
		return iot_fail(err, IOT_USAGE, "no variable is called '%s'", name);
	if (!message && (strcmp(name, "payload") == 0 || strcmp(name, "command") == 0))
		return iot_fail(err, IOT_USAGE, "there is no {%s} but in rules on command and peer", name);
	return IOT_OK;
}

enum iot_status sim_text_check(const char *text, const json_t *variables, bool message, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	struct path path;

	while (status == IOT_OK && (text = strchr(text, '{')) != NULL) {
		if (text[1] == '{') {
			text += 2;
			continue;
		}
		if (!read_path(text, &path)) {
			iot_fail(err, IOT_USAGE, "'%.40s' is no placeholder", text);
			iot_error_hint(err, "write {name} or {config.name}; {{ is a brace");
			return IOT_USAGE;
		}
		status = check_name(&path, variables, message, err);
		text += path.len;
	}
	return status;
}

enum iot_status sim_value_check(const json_t *value, const json_t *variables, bool message, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	const char *key;
	json_t *part;
	size_t i;

	if (json_is_string(value))
		return sim_text_check(json_string_value(value), variables, message, err);
	if (json_is_array(value)) {
		json_array_foreach(value, i, part) {
			if (status == IOT_OK)
				status = sim_value_check(part, variables, message, err);
		}
		return status;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, part) {
		if (status == IOT_OK)
			status = sim_value_check(part, variables, message, err);
	}
	return status;
}

/* --- filling in ------------------------------------------------------------------------- */

struct filling {
	const struct sim_scope *scope;
	size_t left; /* bytes of text that may still come */
};

static void put(struct iot_buf *out, const json_t *value)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;

	if (json_is_null(value))
		return;
	if (json_is_string(value)) {
		iot_buf_adds(out, json_string_value(value));
		return;
	}
	if (!sim_value_fits(value, IOT_TOPIC_PAYLOAD_MAX)) {
		out->over = true;
		return;
	}
	text = iot_json_text(value);
	iot_buf_adds(out, text);
}

/* NULL: too long. */
static char *fill_text(struct filling *filling, const char *text)
{
	struct iot_buf out = IOT_BUF_INIT(filling->left);
	struct path path;

	while (*text != '\0' && !out.over) {
		size_t plain = strcspn(text, "{");

		iot_buf_add(&out, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		if (text[1] == '{' || !read_path(text, &path)) {
			iot_buf_addc(&out, '{');
			text += text[1] == '{' ? 2 : 1;
			continue;
		}
		IOT_JSON value = look_up(&path, filling->scope);

		put(&out, value);
		text += path.len;
	}
	if (out.over) {
		iot_buf_release(&out);
		return NULL;
	}
	filling->left -= out.len;
	return iot_buf_detach(&out);
}

static json_t *fill_string(struct filling *filling, const char *text)
{
	struct path path;
	IOT_CLEAN(iot_free_p) char *filled = NULL;

	if (text[0] == '{' && text[1] != '{' && read_path(text, &path) && text[path.len] == '\0')
		return look_up(&path, filling->scope);
	filled = fill_text(filling, text);
	return filled != NULL ? json_string(filled) : NULL;
}

/* NULL: too long. Templates are as deep as the parser lets them be. */
static json_t *fill(struct filling *filling, const json_t *value)
{
	IOT_JSON made = NULL;
	json_t *part, *filled;
	const char *key;
	size_t i;

	if (json_is_string(value))
		return fill_string(filling, json_string_value(value));
	if (json_is_array(value)) {
		made = json_array();
		json_array_foreach(value, i, part) {
			filled = fill(filling, part);
			if (filled == NULL || json_array_append_new(made, filled) != 0)
				return NULL;
		}
		return iot_take(made);
	}
	if (!json_is_object(value))
		return share(value);
	made = json_object();
	json_object_foreach((json_t *)(uintptr_t)value, key, part) {
		filled = fill(filling, part);
		if (filled == NULL || json_object_set_new(made, key, filled) != 0)
			return NULL;
	}
	return iot_take(made);
}

json_t *sim_value_fill(const json_t *value, const struct sim_scope *scope)
{
	struct filling filling = {scope, IOT_TOPIC_PAYLOAD_MAX};
	IOT_JSON filled = fill(&filling, value);

	return filled != NULL && sim_value_fits(filled, IOT_TOPIC_PAYLOAD_MAX) ? iot_take(filled) : NULL;
}

char *sim_text_fill(const char *text, const struct sim_scope *scope)
{
	struct filling filling = {scope, IOT_TOPIC_PAYLOAD_MAX};

	return fill_text(&filling, text);
}

/* --- measuring -------------------------------------------------------------------------- */

/* A shared value can be there very often: counting ends when there is no room left. */
static bool take(size_t *left, size_t bytes)
{
	bool enough = bytes <= *left;

	*left = enough ? *left - bytes : 0;
	return enough;
}

static bool fits(const json_t *value, size_t *left, int depth)
{
	enum { NUMBER = 24, PUNCTUATION = 4 };
	const char *key;
	json_t *part;
	size_t i;

	if (depth > SIM_BEHAVIOUR_DEPTH_MAX ||
	    !take(left, json_is_string(value) ? json_string_length(value) + PUNCTUATION : PUNCTUATION))
		return false;
	if (json_is_number(value))
		return take(left, NUMBER);
	if (json_is_array(value)) {
		json_array_foreach(value, i, part) {
			if (!fits(part, left, depth + 1))
				return false;
		}
		return true;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, part) {
		if (!take(left, strlen(key)) || !fits(part, left, depth + 1))
			return false;
	}
	return true;
}

bool sim_value_fits(const json_t *value, size_t bytes)
{
	return fits(value, &bytes, 1);
}
