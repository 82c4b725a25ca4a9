/* What a module says (and, in a software module, what a host says): no bytes may do harm, and what was read is written
 * alike. */
#include "iotctl/expresslink.h"

#include "iotctl/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(const char *part, size_t part_len, const char *line, size_t len)
{
	if (part_len > 0 && (part < line || part + part_len > line + len))
		abort();
}

static void check_escapes(const char *text, size_t len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf plain = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_buf_release) struct iot_buf escaped = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_buf_release) struct iot_buf again = IOT_BUF_INIT(1 << 20);

	iot_el_escape(text, len, &escaped);
	if (memchr(iot_buf_str(&escaped), '\n', escaped.len) != NULL ||
	    !iot_el_unescape(iot_buf_str(&escaped), escaped.len, &again) || again.len != len ||
	    (len > 0 && memcmp(again.data, text, len) != 0))
		abort();
	if (iot_el_unescape(text, len, &plain) && plain.len > len)
		abort();
}

static void check_detail(const char *detail, size_t len)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_buf_release) struct iot_buf written = IOT_BUF_INIT(1 << 20);
	struct iot_el_status status;
	struct iot_el_event event;
	enum iot_el_ota state;
	const char *text;
	uint32_t address;
	size_t text_len;
	int hint, sub, index;
	bool any;

	(void)iot_el_status_parse(detail, len, &status);
	(void)iot_el_hint_parse(detail, len, &hint, &sub);
	(void)iot_el_event_parse(detail, len, &event, &any);
	(void)iot_el_seek_parse(detail, len, &address);
	(void)iot_el_key_find(detail, len, &index);
	(void)iot_el_key_fault(detail, len);
	if (iot_el_ota_parse(detail, len, &state, &text, &text_len))
		check_inside(text, text_len, detail, len);
	if (iot_el_read_parse(detail, len, &out)) {
		IOT_CLEAN(iot_buf_release) struct iot_buf again = IOT_BUF_INIT(1 << 20);

		iot_el_read_format(iot_buf_str(&out), out.len, &written);
		if (!iot_el_read_parse(written.data, written.len, &again) || again.len != out.len)
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;

	while (at < end) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((newline != NULL ? newline : end) - at);
		struct iot_el_command command;
		struct iot_el_answer answer;

		check_escapes(at, len);
		if (iot_el_answer_parse(at, len, &answer)) {
			check_inside(answer.detail, answer.detail_len, at, len);
			check_detail(answer.detail, answer.detail_len);
		}
		if (iot_el_command_parse(at, len, &command) == 0)
			check_inside(command.param, command.param_len, at, len);
		at += len + 1;
	}
	return 0;
}
