/* Text of an option or argument into its field, and what stands in for options not given. */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

bool cli_takes_value(const struct cli_param *row)
{
	return row->type != CLI_FLAG && (int)row->type != CLI_COUNT;
}

static enum iot_status assign_number(const struct cli_param *row, int64_t *field, const char *text,
				     struct iot_error *err)
{
	bool limited = row->min != 0 || row->max != 0;
	int64_t min = row->min, max = limited ? row->max : INT64_MAX;
	int64_t value;
	enum iot_status status;

	if (row->type == CLI_INT) {
		status = iot_parse_int(text, min, max, &value, err);
	} else {
		status = row->type == CLI_SIZE ? iot_parse_size(text, &value, err)
					       : iot_parse_duration(text, &value, err);
		if (status == IOT_OK && (value < min || value > max))
			status = iot_fail(err, IOT_USAGE, "'%s' is out of range", text);
	}
	if (status == IOT_OK)
		*field = value;
	return status;
}

static enum iot_status assign_choice(const struct cli_param *row, int *field, const char *text, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf list = IOT_BUF_INIT(200);
	const char *near;
	size_t count = 0;

	for (; row->choices[count] != NULL; count++) {
		if (strcmp(row->choices[count], text) == 0) {
			*field = (int)count;
			return IOT_OK;
		}
		iot_buf_addf(&list, "%s%s", count == 0 ? "" : ", ", row->choices[count]);
	}
	iot_fail(err, IOT_USAGE, "'%s' is not one of %s", text, iot_buf_str(&list));
	near = cli_nearest(text, row->choices, count);
	if (near != NULL)
		iot_error_hint(err, "did you mean '%s'?", near);
	return IOT_USAGE;
}

static enum iot_status assign_flag(bool *field, const char *text, struct iot_error *err)
{
	static const char *const words[] = {"false", "0", "no", "off", "true", "1", "yes", "on"};

	for (size_t i = 0; i < IOT_LENGTH(words); i++) {
		if (strcmp(text, words[i]) == 0) {
			*field = i >= IOT_LENGTH(words) / 2;
			return IOT_OK;
		}
	}
	return iot_fail(err, IOT_USAGE, "'%s' is not true or false", text);
}

static void assign_item(struct cli_slot *slot, struct cli_list *field, const char *text)
{
	slot->items = iot_realloc(slot->items, (slot->count + 2) * sizeof(*slot->items));
	slot->items[slot->count++] = text;
	slot->items[slot->count] = NULL;
	field->items = slot->items;
	field->count = slot->count;
}

static enum iot_status assign(struct cli_slot *slot, const char *text, struct iot_error *err)
{
	void *field = (char *)slot->base + slot->row->offset;

	switch ((int)slot->row->type) {
	case CLI_PATH:
		if (text[0] == '\0')
			return iot_fail(err, IOT_USAGE, "an empty path");
		*(const char **)field = text;
		return IOT_OK;
	case CLI_STRING:
		*(const char **)field = text;
		return IOT_OK;
	case CLI_LIST:
		assign_item(slot, field, text);
		return IOT_OK;
	case CLI_FLAG:
		return assign_flag(field, text, err);
	case CLI_COUNT:
		(*(int64_t *)field)++;
		return IOT_OK;
	case CLI_ENUM:
		return assign_choice(slot->row, field, text, err);
	default:
		return assign_number(slot->row, field, text, err);
	}
}

enum iot_status cli_assign(struct cli_slot *slot, const char *text, const char *from, struct iot_error *err)
{
	enum iot_status status = assign(slot, text, err);

	if (status != IOT_OK)
		iot_error_while(err, "reading %s", from);
	else
		slot->given = true;
	return status;
}

static enum iot_status substitute(struct cli_slot *slot, struct iot_error *err)
{
	const struct cli_param *row = slot->row;
	const char *text = row->env != NULL ? getenv(row->env) : NULL;
	enum iot_status status = IOT_OK;

	if (text != NULL && text[0] != '\0') {
		char from[100];

		snprintf(from, sizeof(from), "environment variable %s", row->env);
		return cli_assign(slot, text, from, err);
	}
	if (row->fallback != NULL) {
		status = cli_assign(slot, row->fallback, "a default", err);
		slot->given = false;
	}
	return status;
}

enum iot_status cli_default_values(struct cli_parsed *parsed, struct iot_error *err)
{
	for (size_t i = 0; i < parsed->slot_count; i++) {
		struct cli_slot *slot = &parsed->slots[i];
		bool argument = parsed->arg_first > 0 && i >= parsed->arg_first;
		enum iot_status status;

		if (slot->given)
			continue;
		status = substitute(slot, err);
		if (status != IOT_OK)
			return status;
		if (argument && !slot->row->optional)
			return iot_fail(err, IOT_USAGE, "missing argument %s", slot->row->name);
		if (!argument && slot->row->required && !slot->given)
			return iot_fail(err, IOT_USAGE, "missing option '--%s'", slot->row->name);
	}
	return IOT_OK;
}

bool cli_given(const struct cli_context *ctx, const char *option)
{
	const struct cli_slot *slot = cli_parsed_option(ctx->parsed_, option);

	return slot != NULL && slot->given;
}
