/*
 * Numbers, durations, sizes, UTF-8 and names. Parsers take the whole string,
 * without white space or signs that nobody meant.
 */
#include "iotctl/text.h"

#include "iotctl/base.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

enum iot_status iot_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct iot_error *err)
{
	const char *digits;
	char *end = NULL;
	int64_t value;

	if (text == NULL)
		text = "";
	digits = text[0] == '-' ? text + 1 : text;
	errno = 0;
	value = is_digit(digits[0]) ? strtoll(text, &end, 10) : 0;
	if (end == NULL || *end != '\0')
		return iot_fail(err, IOT_USAGE, "'%.64s' is not a whole number", text);
	if (errno == ERANGE || value < min || value > max)
		return iot_fail(err, IOT_USAGE, "'%.64s' is out of range, expected %" PRId64 " to %" PRId64, text, min,
				max);
	*ret = value;
	return IOT_OK;
}

struct unit {
	const char *name;
	int64_t factor;
};

/* Digits and one of the units; false if malformed or too large. */
static bool parse_quantity(const char *text, const struct unit *units, size_t count, int64_t *ret)
{
	int64_t value = 0;

	if (text == NULL || !is_digit(text[0]))
		return false;
	for (; is_digit(*text); text++) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (strcmp(text, units[i].name) == 0)
			return !__builtin_mul_overflow(value, units[i].factor, ret);
	}
	return false;
}

enum iot_status iot_parse_duration(const char *text, int64_t *ret_ms, struct iot_error *err)
{
	static const struct unit units[] = {
		{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
	};
	int64_t ms;

	if (!parse_quantity(text, units, IOT_LENGTH(units), &ms))
		return iot_fail(err, IOT_USAGE, "'%.64s' is not a duration, expected one like 250ms, 30s, 5m, 2h or 7d",
				text != NULL ? text : "");
	*ret_ms = ms;
	return IOT_OK;
}

enum iot_status iot_parse_size(const char *text, int64_t *ret, struct iot_error *err)
{
	static const struct unit units[] = {
		{"", 1}, {"k", 1 << 10}, {"K", 1 << 10}, {"m", 1 << 20}, {"M", 1 << 20}, {"g", 1 << 30}, {"G", 1 << 30},
	};
	int64_t size;

	if (!parse_quantity(text, units, IOT_LENGTH(units), &size))
		return iot_fail(err, IOT_USAGE, "'%.64s' is not a size, expected one like 4096, 4k or 16M",
				text != NULL ? text : "");
	*ret = size;
	return IOT_OK;
}

/* RFC 3629: how many bytes, the smallest value that needs so many, and continuation bytes that are such. */
size_t iot_utf8_next(const char *text, size_t len, uint32_t *ret_code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	uint32_t code;
	size_t need;

	if (len == 0)
		return 0;
	if (s[0] < 0x80) {
		need = 1;
		code = s[0];
	} else if ((s[0] & 0xe0) == 0xc0) {
		need = 2;
		code = s[0] & 0x1f;
	} else if ((s[0] & 0xf0) == 0xe0) {
		need = 3;
		code = s[0] & 0x0f;
	} else if ((s[0] & 0xf8) == 0xf0) {
		need = 4;
		code = s[0] & 0x07;
	} else {
		return 0;
	}
	if (need > len)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < smallest[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	if (ret_code != NULL)
		*ret_code = code;
	return need;
}

bool iot_utf8_valid(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t step = text[i] != '\0' ? iot_utf8_next(text + i, len - i, NULL) : 0;

		if (step == 0)
			return false;
		i += step;
	}
	return true;
}

void iot_text_printable(char *text)
{
	size_t len = strlen(text), to = 0, step;

	for (size_t i = 0; i < len; i += step) {
		uint32_t code = 0;
		bool bidi;

		step = iot_utf8_next(text + i, len - i, &code);
		/* Overrides and isolates of writing direction reorder what follows them on the screen. */
		bidi = (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
		if (step == 0 || code < 0x20 || (code >= 0x7f && code < 0xa0) || bidi) {
			text[to++] = '?';
			step = step > 0 ? step : 1;
			continue;
		}
		memmove(text + to, text + i, step);
		to += step;
	}
	text[to] = '\0';
}

char *iot_human_size(int64_t bytes, char *out, size_t out_size)
{
	static const char *const units[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
	double value = (double)bytes / 1000.0;
	size_t unit = 0;

	if (bytes > -1000 && bytes < 1000) {
		snprintf(out, out_size, "%" PRId64 " B", bytes);
		return out;
	}
	/* 999.95 and more would be printed as 1000.0. */
	while ((value >= 999.95 || value <= -999.95) && unit + 1 < IOT_LENGTH(units)) {
		value /= 1000.0;
		unit++;
	}
	snprintf(out, out_size, "%.1f %s", value, units[unit]);
	return out;
}

void iot_uuid(char out[37])
{
	unsigned char bytes[16];
	char hex[33];
	ssize_t got;

	do {
		got = getrandom(bytes, sizeof(bytes), 0);
	} while (got < 0 && errno == EINTR);
	/* Reads of up to 256 bytes are never short (getrandom(2)); without randomness no identity can be made. */
	if (got != (ssize_t)sizeof(bytes))
		_exit(IOT_FAILURE);
	bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); /* version 4, RFC 9562 section 5.4 */
	bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
	iot_hex(bytes, sizeof(bytes), hex);
	snprintf(out, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool iot_starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool iot_ends_with(const char *text, const char *suffix)
{
	size_t text_len = strlen(text), suffix_len = strlen(suffix);

	return text_len >= suffix_len && strcmp(text + text_len - suffix_len, suffix) == 0;
}
