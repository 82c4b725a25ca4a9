/*
 * JSON in: bounded and strict, with errors that say where. JSON members: with
 * a default instead of a case for every missing or mistyped one.
 */
#include "iotctl/json.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

void iot_json_decref_p(json_t **value)
{
	json_decref(*value);
}

/*
 * Find where the nesting passes the limit, before a recursive parser sees it.
 * Strings are skipped as the parser will read them; in text that is not JSON
 * at all the parser stops at the first fault, up to which the count is right.
 */
static bool too_deep(const char *text, size_t len, int *ret_line, int *ret_column)
{
	int depth = 0, line = 1, column = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (((unsigned char)c & 0xc0) != 0x80)
			column++;
		if (c == '\n') {
			line++;
			column = 0;
		} else if (in_string) {
			if (c == '\\' && i + 1 < len && text[i + 1] != '\n') {
				i++;
				column++;
			} else if (c == '"') {
				in_string = false;
			}
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > IOT_JSON_MAX_DEPTH) {
				*ret_line = line;
				*ret_column = column;
				return true;
			}
		} else if (c == ']' || c == '}') {
			depth--;
		}
	}
	return false;
}

/* jansson quotes the text near the fault, and that may be a secret; where it is, line and column say. */
static void cut_quote(char *text)
{
	char *near = strstr(text, " near ");

	if (near != NULL && strcmp(near, " near end of file") != 0)
		*near = '\0';
}

enum iot_status iot_json_parse(const char *text, size_t len, const char *subject, json_t **ret, struct iot_error *err)
{
	json_error_t fault;
	json_t *value;
	int line, column;
	size_t blank = 0;

	while (blank < len && strchr(" \t\r\n", text[blank]) != NULL && text[blank] != '\0')
		blank++;
	if (blank == len)
		return iot_fail(err, IOT_USAGE, "'%s' is not valid JSON: it is empty", subject);
	if (too_deep(text, len, &line, &column))
		return iot_fail(err, IOT_USAGE, "'%s' is not valid JSON: line %d, column %d: more than %d levels deep",
				subject, line, column, IOT_JSON_MAX_DEPTH);
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
	if (value == NULL) {
		cut_quote(fault.text);
		return iot_fail(err, IOT_USAGE, "'%s' is not valid JSON: line %d, column %d: %s", subject, fault.line,
				fault.column, fault.text);
	}
	*ret = value;
	return IOT_OK;
}

/* Digits until the number reads back the same; jansson does both, so that no locale has a say. */
static void add_real(struct iot_buf *out, const char *token, size_t len)
{
	IOT_JSON number = json_loadb(token, len, JSON_DECODE_ANY, NULL);

	for (size_t digits = 15; digits < 17 && json_is_real(number); digits++) {
		IOT_CLEAN(iot_free_p) char *text = json_dumps(number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
		IOT_JSON again = json_loads(text, JSON_DECODE_ANY, NULL);

		if (json_equal(again, number)) {
			iot_buf_adds(out, text);
			return;
		}
	}
	iot_buf_add(out, token, len);
}

/* What follows a string, up to the next one. */
static void add_between(struct iot_buf *out, const char *text, size_t len)
{
	for (size_t i = 0, used; i < len; i += used) {
		used = strspn(text + i, "0123456789+-.eE");
		if (used == 0 || memchr("0123456789-", text[i], 11) == NULL) {
			iot_buf_addc(out, text[i]);
			used = 1;
		} else if (strcspn(text + i, ".eE") >= used) {
			iot_buf_add(out, text + i, used);
		} else {
			add_real(out, text + i, used);
		}
	}
}

static size_t string_length(const char *text)
{
	size_t i = 1;

	while (text[i] != '\0' && text[i] != '"')
		i += text[i] == '\\' && text[i + 1] != '\0' ? 2 : 1;
	return text[i] == '"' ? i + 1 : i;
}

static bool has_real(const json_t *value)
{
	const char *key;
	json_t *item;
	size_t i;

	json_array_foreach(value, i, item) {
		if (has_real(item))
			return true;
	}
	json_object_foreach((json_t *)(uintptr_t)value, key, item) {
		if (has_real(item))
			return true;
	}
	return json_is_real(value);
}

char *iot_json_dump(const json_t *value, size_t flags)
{
	char *text = value != NULL ? json_dumps(value, flags | JSON_ENCODE_ANY) : NULL;
	struct iot_buf out = IOT_BUF_INIT(SIZE_MAX / 2);

	if (text == NULL)
		return iot_strdup("null");
	if (!has_real(value))
		return text;
	for (const char *at = text; *at != '\0';) {
		size_t plain = strcspn(at, "\"");
		size_t quoted = at[plain] == '"' ? string_length(at + plain) : 0;

		add_between(&out, at, plain);
		iot_buf_add(&out, at + plain, quoted);
		at += plain + quoted;
	}
	free(text);
	return iot_buf_detach(&out);
}

char *iot_json_text(const json_t *value)
{
	return iot_json_dump(value, JSON_COMPACT);
}

const char *iot_json_str(const json_t *object, const char *key, const char *fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t iot_json_int(const json_t *object, const char *key, int64_t fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

bool iot_json_bool(const json_t *object, const char *key, bool fallback)
{
	const json_t *value = json_object_get(object, key);

	return json_is_boolean(value) ? json_is_true(value) : fallback;
}

/* Foreign bytes that are not UTF-8 must not make a member vanish: U+FFFD takes the place of each. */
static json_t *repaired_string(const char *text)
{
	size_t len = strlen(text), step;
	struct iot_buf good = IOT_BUF_INIT(SIZE_MAX);
	json_t *value;

	for (size_t i = 0; i < len; i += step) {
		step = iot_utf8_next(text + i, len - i, NULL);
		if (step > 0)
			iot_buf_add(&good, text + i, step);
		else
			iot_buf_adds(&good, "\xef\xbf\xbd");
		step = step > 0 ? step : 1;
	}
	value = json_string(iot_buf_str(&good));
	iot_buf_release(&good);
	return value;
}

void iot_json_set_str(json_t *object, const char *key, const char *value)
{
	if (value == NULL)
		return;
	json_object_set_new(object, key,
			    iot_utf8_valid(value, strlen(value)) ? json_string(value) : repaired_string(value));
}

void iot_json_set_int(json_t *object, const char *key, int64_t value)
{
	json_object_set_new(object, key, json_integer(value));
}

void iot_json_set_bool(json_t *object, const char *key, bool value)
{
	json_object_set_new(object, key, json_boolean(value));
}

void iot_json_set_payload(json_t *object, const void *payload, size_t len, bool json)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(2 * len + 8);
	json_t *value = NULL;

	payload = payload != NULL ? payload : "";
	if (json && iot_json_parse(payload, len, "payload", &value, NULL) == IOT_OK) {
		json_object_set_new(object, "payload", value);
		iot_json_set_str(object, "format", "json");
	} else if (iot_utf8_valid(payload, len)) {
		json_object_set_new(object, "payload", json_stringn(payload, len));
		iot_json_set_str(object, "format", "text");
	} else {
		iot_base64(payload, len, &text);
		iot_json_set_str(object, "payload", iot_buf_str(&text));
		iot_json_set_str(object, "format", "base64");
	}
}
