/* What a console may say: the terminal's line stays short and free of control characters, and no answer confuses the judge. */
#include "board/dialect/freertos_private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct console_terminal terminal = {.line = IOT_BUF_INIT(256)};
	struct iot_buf pem = IOT_BUF_INIT(4096);
	struct expected expected = {.good = size % 2 == 0 ? "Success:" : NULL, .pem = &pem};

	for (size_t i = 0; i < size; i++) {
		bool complete = console_show(&terminal, (char)data[i]);

		if (terminal.line.len > 256 || memchr(iot_buf_str(&terminal.line), '\x1b', terminal.line.len) != NULL)
			abort();
		if (!complete)
			continue;
		if (fr_judge(iot_buf_str(&terminal.line), i % 3 == 0, &expected) == CONSOLE_DONE &&
		    !expected.failed && !expected.succeeded)
			abort();
		iot_buf_clear(&terminal.line);
	}
	iot_buf_release(&terminal.line);
	iot_buf_release(&pem);
	return 0;
}
