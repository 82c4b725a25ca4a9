/* What a SIM7600 says, and what a host says to a software one: no bytes may do harm. The first byte chooses. */
#include "board/dialect/sim7600_private.h"
#include "sim/board/at.h"

#include "iotctl/base.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_lines(const char *lines)
{
	struct s7_files files;
	char field[S7_NAME_MAX + 1], imei[16];
	size_t len = 0;
	const char *line;
	int result;

	s7_files_parse(lines, &files);
	for (size_t i = 0; i < files.count; i++)
		if (strlen(files.names[i]) < 5 || strlen(files.names[i]) > S7_NAME_MAX ||
		    !s7_holds(&files, files.names[i]))
			abort();
	s7_value(&files, S7_ENDPOINT, field, sizeof(field));
	if (s7_imei(lines, imei) && strlen(imei) != 15)
		abort();
	for (; (line = s7_line(lines, "", &len)) != NULL; lines = line + len) {
		IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
		int more;

		for (size_t i = 0; i < 10; i++)
			if (s7_field(line, len, i, field, sizeof(field)) && strlen(field) > len)
				abort();
		(void)s7_result(line, len, "+CMQTTCONNECT", &result);
		(void)s7_judge(line, len, &answer, &more);
	}
}

/* --- the other end ------------------------------------------------------------------------ */

static struct sim_at at;

static int taken(struct board_sim *board, const struct iot_buf *data)
{
	(void)board;
	return data->len == 7 ? SIM_AT_OK : SIM_AT_ERROR;
}

static int run(struct board_sim *board, const struct sim_at_request *request)
{
	for (size_t i = 0; i < request->count; i++)
		if (strlen(request->args[i].text) > request->args[i].len)
			abort();
	return request->form == SIM_AT_SET ? sim_at_prompt(board, &at, ">", 7, taken) : SIM_AT_OK;
}

static void check_host(const uint8_t *data, size_t size)
{
	static const struct sim_at_command commands[] = {{"+X", ~0U, run, false}, {NULL, 0, NULL, false}};
	static const struct board_sim_kind kind = {.name = "fuzz"};
	const struct sim_at_options options = {
		.commands = commands, .urc = "", .echo = true, .lines_in_quotes = (size & 1) != 0, .line_max = 256};
	struct board_sim board = {.kind = &kind, .out = IOT_BUF_INIT(1 << 20)};

	sim_at_init(&at, &options);
	for (size_t i = 0; i < size; i++)
		sim_at_feed(&board, &at, (char)data[i]);
	sim_at_release(&at);
	iot_buf_release(&board.out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == '>') {
		check_host(data + 1, size - 1);
	} else {
		IOT_CLEAN(iot_free_p) char *text = iot_strndup((const char *)data, size);

		check_lines(text);
	}
	return 0;
}
