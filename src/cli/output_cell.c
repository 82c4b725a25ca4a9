/* One member of a record as text: readable for tables, plain for CSV. */
#include "cli/output_private.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <math.h>
#include <string.h>

#define MAX_SECONDS 253402300799.0 /* end of the year 9999 */

const json_t *output_member(const json_t *record, const char *key)
{
	char name[256];

	while (record != NULL) {
		const char *dot = strchr(key, '.');
		const json_t *whole = json_object_get(record, key);
		size_t length;

		/* Names may have dots themselves. */
		if (whole != NULL || dot == NULL)
			return whole != NULL || !json_is_array(record) ? whole
								       : json_array_get(record, strtoul(key, NULL, 10));
		length = (size_t)(dot - key);
		if (length >= sizeof(name))
			return NULL;
		memcpy(name, key, length);
		name[length] = '\0';
		record = json_is_array(record) ? json_array_get(record, strtoul(name, NULL, 10))
					       : json_object_get(record, name);
		key = dot + 1;
	}
	return NULL;
}

/* ---- characters ---- */

/* The code point at text (valid UTF-8) and its length. */
static unsigned decode(const char *text, size_t *ret_length)
{
	const unsigned char *s = (const unsigned char *)text;

	if (s[0] < 0x80 || s[1] == '\0') {
		*ret_length = 1;
		return s[0];
	}
	if (s[0] < 0xE0 || s[2] == '\0') {
		*ret_length = 2;
		return (s[0] & 0x1FU) << 6 | (s[1] & 0x3FU);
	}
	if (s[0] < 0xF0 || s[3] == '\0') {
		*ret_length = 3;
		return (s[0] & 0x0FU) << 12 | (s[1] & 0x3FU) << 6 | (s[2] & 0x3FU);
	}
	*ret_length = 4;
	return (s[0] & 0x07U) << 18 | (s[1] & 0x3FU) << 12 | (s[2] & 0x3FU) << 6 | (s[3] & 0x3FU);
}

struct range {
	unsigned first, last;
};

static bool within(unsigned c, const struct range *ranges, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return false;
}

/* Columns of one character. */
static size_t char_width(unsigned c)
{
	/* Combining marks and joiners; East Asian wide characters and pictures. The rest of Unicode counts as one. */
	static const struct range none[] = {{0x300, 0x36F}, {0x200B, 0x200F}, {0xFE00, 0xFE0F}};
	static const struct range two[] = {{0x1100, 0x115F}, {0x2E80, 0xA4CF},   {0xAC00, 0xD7A3},
					   {0xF900, 0xFAFF}, {0xFE30, 0xFE6F},   {0xFF00, 0xFF60},
					   {0xFFE0, 0xFFE6}, {0x1F300, 0x1FAFF}, {0x20000, 0x3FFFD}};

	return within(c, none, IOT_LENGTH(none)) ? 0 : within(c, two, IOT_LENGTH(two)) ? 2 : 1;
}

size_t output_width(const char *text)
{
	size_t width = 0, length;

	for (; *text != '\0'; text += length)
		width += char_width(decode(text, &length));
	return width;
}

void output_cut(struct iot_buf *out, const char *text, size_t width, const char *rest)
{
	size_t used = output_width(rest), length;

	for (; *text != '\0'; text += length) {
		used += char_width(decode(text, &length));
		if (used > width)
			break;
		iot_buf_add(out, text, length);
	}
	iot_buf_adds(out, rest);
}

void output_escape(struct iot_buf *out, const char *text, size_t len)
{
	/* C0, DEL and C1 move the cursor; marks of direction make text look like other text. */
	static const struct range bad[] = {
		{0, 0x1F}, {0x7F, 0x9F}, {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}};
	size_t length;

	for (size_t i = 0; i < len; i += length) {
		unsigned c = decode(text + i, &length);

		if (c == '\n')
			iot_buf_adds(out, "\\n");
		else if (c == '\t')
			iot_buf_adds(out, "\\t");
		else if (!within(c, bad, IOT_LENGTH(bad)))
			iot_buf_add(out, text + i, length);
		else
			iot_buf_addf(out, c < 0x80 ? "\\x%02x" : "\\u%04x", c);
	}
}

/* ---- values ---- */

static bool time_text(const json_t *value, char out[32])
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0 && seconds <= MAX_SECONDS))
		return false;
	iot_time_rfc3339(json_is_integer(value) ? json_integer_value(value) * 1000 : llround(seconds * 1000), out);
	return true;
}

static void add_scalar(struct iot_buf *out, const json_t *value)
{
	if (json_is_string(value)) {
		iot_buf_add(out, json_string_value(value), json_string_length(value));
	} else if (json_is_integer(value)) {
		iot_buf_addf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	} else if (json_is_boolean(value)) {
		iot_buf_adds(out, json_is_true(value) ? "true" : "false");
	} else {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(value);

		iot_buf_adds(out, text);
	}
}

static bool all_scalars(const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *item = json_array_get(array, i);

		if (json_is_object(item) || json_is_array(item) || json_is_null(item))
			return false;
	}
	return true;
}

static void add_value(struct iot_buf *out, const json_t *value)
{
	if (json_is_object(value) && json_object_size(value) == 0)
		return;
	if (!json_is_array(value) || !all_scalars(value)) {
		add_scalar(out, value);
		return;
	}
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (i > 0)
			iot_buf_adds(out, ", ");
		add_scalar(out, json_array_get(value, i));
	}
}

void output_plain(const struct output_column *column, const json_t *record, struct iot_buf *out)
{
	const json_t *value = output_member(record, column->key);
	char time[32];

	if (value == NULL || json_is_null(value))
		return;
	if (column->kind == OUTPUT_TIME && time_text(value, time))
		iot_buf_adds(out, time);
	else
		add_value(out, value);
}

void output_cell(const struct output_column *column, const json_t *record, struct iot_buf *out)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf plain = IOT_BUF_INIT(OUTPUT_MAX_CELL);
	const json_t *value = output_member(record, column->key);

	if (value != NULL && column->kind == OUTPUT_BOOL && json_is_boolean(value)) {
		iot_buf_adds(out, json_is_true(value) ? "yes" : "no");
		return;
	}
	if (value != NULL && column->kind == OUTPUT_SIZE && json_is_integer(value)) {
		char size[32];

		iot_buf_adds(out, iot_human_size(json_integer_value(value), size, sizeof(size)));
		return;
	}
	output_plain(column, record, &plain);
	if (plain.len == 0)
		iot_buf_addc(out, '-');
	else
		output_escape(out, iot_buf_str(&plain), plain.len);
}

void output_csv_field(struct iot_buf *out, const char *text, size_t len)
{
	if (strpbrk(text, ",\"\r\n") == NULL && (len == 0 || (text[0] != ' ' && text[len - 1] != ' '))) {
		iot_buf_add(out, text, len);
		return;
	}
	iot_buf_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			iot_buf_addc(out, '"');
		iot_buf_addc(out, text[i]);
	}
	iot_buf_addc(out, '"');
}

/* ---- records ---- */

static json_t *parent_of(json_t *record, const char *key, const char **ret_name)
{
	const char *dot;

	while (json_object_get(record, key) == NULL && (dot = strchr(key, '.')) != NULL) {
		IOT_CLEAN(iot_free_p) char *name = iot_strndup(key, (size_t)(dot - key));

		record = json_object_get(record, name);
		key = dot + 1;
	}
	*ret_name = key;
	return record;
}

json_t *output_json_record(const struct output_column *columns, const json_t *record)
{
	json_t *copy = NULL;
	char time[32];

	for (; columns != NULL && columns->key != NULL; columns++) {
		const char *name;
		json_t *parent;

		if (columns->kind != OUTPUT_TIME || !time_text(output_member(record, columns->key), time))
			continue;
		if (copy == NULL)
			copy = json_deep_copy(record);
		parent = parent_of(copy, columns->key, &name);
		if (json_is_object(parent))
			json_object_set_new(parent, name, json_string(time));
	}
	return copy != NULL ? copy : json_incref(output_counted(record));
}

struct output_column *output_derive(const json_t *record)
{
	struct output_column *columns = iot_alloc_array(json_object_size(record) + 1, sizeof(*columns));
	const char *key;
	json_t *value;
	size_t count = 0;

	json_object_foreach(output_counted(record), key, value) {
		enum output_kind kind = json_is_boolean(value)  ? OUTPUT_BOOL
					: json_is_number(value) ? OUTPUT_INT
								: OUTPUT_TEXT;

		columns[count++] = (struct output_column){.key = key, .heading = key, .kind = kind};
	}
	return columns;
}
