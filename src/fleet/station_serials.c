/* Serial numbers: from a file, from a range, and what one may look like. */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

enum { SERIAL_MAX = 100, FILE_BYTES_MAX = 64 * 1024 * 1024, DIGITS_MAX = 15 };

struct serials {
	json_t *used; /* serial -> true */
	json_t *list; /* of a file; NULL: a range */
	size_t next_line;
	char *prefix;
	int width;
	int64_t next, last;
	char *current;
};

static enum iot_status check_letters(const char *serial, struct iot_error *err)
{
	/* What AWS takes as the value of a thing's attribute. */
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,@/:#-";

	if (*serial != '\0' && strlen(serial) <= SERIAL_MAX && strspn(serial, letters) == strlen(serial))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%.40s' cannot be a serial number", serial);
	iot_error_hint(err, "1 to %d letters, digits and _.,@/:#-", SERIAL_MAX);
	return IOT_USAGE;
}

static bool has_pattern(const struct iot_station_recipe *recipe, const char *serial)
{
	return !recipe->has_serial || regexec(&recipe->serial, serial, 0, NULL, 0) == 0;
}

enum iot_status serials_check(const struct iot_station_recipe *recipe, const char *serial, struct iot_error *err)
{
	enum iot_status status = check_letters(serial, err);

	if (status == IOT_OK && !has_pattern(recipe, serial))
		status = iot_fail(err, IOT_USAGE, "'%s' is no serial number of recipe '%s'", serial, recipe->name);
	return status;
}

enum iot_status serials_check_any(const struct iot_station_recipe *recipe, const char *serial, struct iot_error *err)
{
	enum iot_status status = check_letters(serial, err);
	bool good = status == IOT_OK && has_pattern(recipe, serial);

	for (size_t i = 0; status == IOT_OK && !good && i < recipe->other_count; i++)
		good = has_pattern(recipe->others[i].recipe, serial);
	if (status == IOT_OK && !good)
		status = iot_fail(err, IOT_USAGE, "'%s' is no serial number of recipe '%s'%s", serial, recipe->name,
				  recipe->other_count > 0 ? ", nor of those of its heads" : "");
	return status;
}

/* --- a file -------------------------------------------------------------------------------- */

static enum iot_status add_line(struct serials *serials, const struct serials_options *options, json_t *seen,
				const char *serial, int64_t number, struct iot_error *err)
{
	enum iot_status status = serials_check_any(options->recipe, serial, err);

	if (status == IOT_OK && json_object_get(seen, serial) != NULL)
		status = iot_fail(err, IOT_USAGE, "serial number '%s' is there twice", serial);
	if (status != IOT_OK) {
		iot_error_while(err, "reading line %lld of '%s'", (long long)number, options->file);
		return status;
	}
	json_object_set_new(seen, serial, json_true());
	json_array_append_new(serials->list, json_string(serial));
	return IOT_OK;
}

static enum iot_status read_file(struct serials *serials, const struct serials_options *options, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_BYTES_MAX);
	IOT_JSON seen = json_object();
	enum iot_status status = iot_fs_read(options->file, &text, err);
	int64_t number = 0;
	char *at;

	if (status == IOT_OK && memchr(iot_buf_str(&text), '\0', text.len) != NULL)
		status = iot_fail(err, IOT_USAGE, "'%s' is not a text", options->file);
	serials->list = json_array();
	at = text.data;
	while (status == IOT_OK && at != NULL && *at != '\0') {
		char *line = at, *newline = strchr(at, '\n');

		at = newline != NULL ? newline + 1 : NULL;
		if (newline != NULL)
			*newline = '\0';
		number++;
		line += strspn(line, " \t");
		for (size_t n = strlen(line); n > 0 && isspace((unsigned char)line[n - 1]); n--)
			line[n - 1] = '\0';
		if (*line != '\0')
			status = add_line(serials, options, seen, line, number, err);
	}
	if (status == IOT_OK && json_array_size(serials->list) == 0)
		status = iot_fail(err, IOT_USAGE, "'%s' holds no serial number", options->file);
	return status;
}

/* --- a range --------------------------------------------------------------------------------- */

static enum iot_status no_range(const char *text, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "'%s' is not a range of serial numbers", text);
	iot_error_hint(err, "as in PUMP-0001..0999");
	return IOT_USAGE;
}

/* "PUMP-0001..0999", or with the prefix at both: "PUMP-0001..PUMP-0999". */
static enum iot_status read_range(struct serials *serials, const struct serials_options *options, struct iot_error *err)
{
	const char *text = options->range, *dots = strstr(text, "..");
	const char *first = dots, *last = dots != NULL ? dots + 2 : NULL;
	IOT_CLEAN(iot_free_p) char *digits = NULL;
	IOT_CLEAN(iot_free_p) char *sample = NULL;

	while (first != NULL && first > text && isdigit((unsigned char)first[-1]))
		first--;
	if (dots == NULL || first == dots || dots - first > DIGITS_MAX)
		return no_range(text, err);
	if (strncmp(last, text, (size_t)(first - text)) == 0)
		last += first - text;
	if (strlen(last) != (size_t)(dots - first) || strspn(last, "0123456789") != (size_t)(dots - first))
		return no_range(text, err);
	serials->prefix = iot_strndup(text, (size_t)(first - text));
	serials->width = (int)(dots - first);
	digits = iot_strndup(first, (size_t)(dots - first));
	serials->next = strtoll(digits, NULL, 10);
	serials->last = strtoll(last, NULL, 10);
	if (serials->next > serials->last)
		return no_range(text, err);
	sample = iot_strf("%s%s", serials->prefix, digits);
	return serials_check_any(options->recipe, sample, err);
}

/* --- one after the other --------------------------------------------------------------------- */

enum iot_status serials_open(const struct serials_options *options, struct serials **ret, struct iot_error *err)
{
	struct serials *serials = iot_alloc(sizeof(*serials));
	enum iot_status status;

	serials->used = json_object();
	if (options->file != NULL)
		status = read_file(serials, options, err);
	else
		status = read_range(serials, options, err);
	if (status == IOT_OK)
		*ret = serials;
	else
		serials_free(serials);
	return status;
}

void serials_free(struct serials *serials)
{
	if (serials == NULL)
		return;
	json_decref(serials->used);
	json_decref(serials->list);
	free(serials->prefix);
	free(serials->current);
	free(serials);
}

void serials_used(struct serials *serials, const char *serial)
{
	if (serials != NULL)
		json_object_set_new(serials->used, serial, json_true());
}

/* The one at place `at` of those that are left, new memory; NULL: there are no more. */
static char *at_place(const struct serials *serials, size_t at)
{
	long long number = serials->next;

	if (serials->list != NULL)
		return iot_strdup(json_string_value(json_array_get(serials->list, serials->next_line + at)));
	number += (long long)at;
	return number <= serials->last ? iot_strf("%s%0*lld", serials->prefix, serials->width, number) : NULL;
}

static bool is_used(const struct serials *serials, const char *serial)
{
	return json_object_get(serials->used, serial) != NULL;
}

/* What is used at the front is not looked at again. */
static void skip_used(struct serials *serials)
{
	for (;;) {
		IOT_CLEAN(iot_free_p) char *serial = at_place(serials, 0);

		if (serial == NULL || !is_used(serials, serial))
			return;
		serials->next_line += serials->list != NULL;
		serials->next += serials->list == NULL;
	}
}

const char *serials_next(struct serials *serials, const struct iot_station_recipe *recipe)
{
	struct iot_error not_for_it = IOT_ERROR_INIT;

	skip_used(serials);
	for (size_t at = 0;; at++) {
		char *serial = at_place(serials, at);

		free(serials->current);
		serials->current = serial;
		if (serial == NULL)
			return NULL;
		if (!is_used(serials, serial) && serials_check(recipe, serial, &not_for_it) == IOT_OK) {
			serials_used(serials, serial);
			return serial;
		}
	}
}
