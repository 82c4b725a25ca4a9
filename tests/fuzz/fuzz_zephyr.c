/* What a Zephyr shell may say: no line makes a row, a count or bytes that nobody could have meant. */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_line(const char *line, struct iot_buf *bytes)
{
	struct zephyr_row row = {0};
	int64_t count = 0;
	char value[32];

	if (zephyr_row_parse(line, &row)) {
		if (row.tag < 0 || row.tag > INT32_MAX || *row.type == '\0' ||
		    memchr(row.type, '\0', sizeof(row.type)) == NULL)
			abort();
		if (zephyr_count_parse(line, &count) || zephyr_get_parse(line, bytes))
			abort(); /* a line is one of the three at most */
	}
	if (zephyr_count_parse(line, &count) && (count < 0 || zephyr_failure(line) != ZEPHYR_NOTHING))
		abort();
	if (zephyr_shown("thing: {value}", line, value, sizeof(value)) && strlen(value) > strlen(line))
		abort();
	(void)zephyr_get_parse(line, bytes);
	(void)zephyr_says_volatile(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct console_terminal terminal = {.line = IOT_BUF_INIT(256)};
	struct iot_buf bytes = IOT_BUF_INIT(4096);

	for (size_t i = 0; i < size; i++) {
		if (!console_show(&terminal, (char)data[i]))
			continue;
		take_line(iot_buf_str(&terminal.line), &bytes);
		iot_buf_clear(&terminal.line);
	}
	if (bytes.len > 4096 || terminal.line.len > 256)
		abort();
	iot_buf_release(&terminal.line);
	iot_buf_release(&bytes);
	return 0;
}
