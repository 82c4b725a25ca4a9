/*
 * iot_json_parse on any bytes: what it accepts is no deeper than the limit, and
 * its text parses again to an equal value. The decoders of text.h ride along,
 * since they take the same kind of input: what they accept encodes back.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int depth_of(json_t *value)
{
	int deepest = 0;
	json_t *item;
	const char *key;
	size_t index;

	json_array_foreach(value, index, item) {
		int depth = depth_of(item);

		deepest = depth > deepest ? depth : deepest;
	}
	json_object_foreach(value, key, item) {
		int depth = depth_of(item);

		deepest = depth > deepest ? depth : deepest;
	}
	return deepest + (json_is_array(value) || json_is_object(value) ? 1 : 0);
}

static void check_json(const char *text, size_t size)
{
	IOT_JSON value = NULL;
	IOT_JSON again = NULL;
	IOT_CLEAN(iot_free_p) char *dump = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_json_parse(text, size, "input", &value, &err) != IOT_OK) {
		if (err.status != IOT_USAGE || err.what[0] == '\0' || value != NULL)
			abort();
		return;
	}
	if (depth_of(value) > IOT_JSON_MAX_DEPTH)
		abort();
	dump = iot_json_text(value);
	if (iot_json_parse(dump, strlen(dump), "text", &again, &err) != IOT_OK || !json_equal(value, again))
		abort();
}

static void check_decoders(const char *text, size_t size)
{
	struct iot_buf plain = IOT_BUF_INIT(1 << 20), coded = IOT_BUF_INIT(1 << 21);

	/* Base64 has one spelling for each value. */
	if (iot_unbase64(text, size, &plain)) {
		iot_base64(plain.data, plain.len, &coded);
		if (coded.len != size || memcmp(coded.data, text, size) != 0)
			abort();
	}
	iot_buf_clear(&plain);
	iot_buf_clear(&coded);
	if (iot_percent_decode(text, size, &plain)) {
		struct iot_buf again = IOT_BUF_INIT(1 << 20);

		iot_percent_encode(plain.data, plain.len, &coded);
		if (!iot_percent_decode(coded.data, coded.len, &again) || again.len != plain.len ||
		    memcmp(again.data, plain.data, plain.len) != 0)
			abort();
		iot_buf_release(&again);
	}
	iot_buf_release(&plain);
	iot_buf_release(&coded);
}

static void check_strings(const char *text, size_t size)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strndup(text, size);
	int64_t value, back;
	char time[32];

	if (iot_time_parse_rfc3339(copy, &value, NULL) == IOT_OK && value >= 0) {
		iot_time_rfc3339(value, time);
		if (iot_time_parse_rfc3339(time, &back, NULL) != IOT_OK ||
		    (back != value / 1000 * 1000 && value < 253402300800000))
			abort();
	}
	if ((iot_parse_duration(copy, &value, NULL) == IOT_OK || iot_parse_size(copy, &value, NULL) == IOT_OK) &&
	    value < 0)
		abort();
	iot_text_printable(copy);
	if (!iot_utf8_valid(copy, strlen(copy)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;

	if (size > 65536)
		return 0;
	check_json(text, size);
	check_decoders(text, size);
	check_strings(text, size);
	return 0;
}
