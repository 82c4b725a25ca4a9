/*
 * The board's end of an AT conversation. Whatever comes before "AT" on a line is
 * noise, a line without it is passed over in silence, and while data is awaited
 * nothing is looked at: a count that was too large makes the board swallow
 * commands, one that was too small makes it take data for commands.
 */
#include "sim/board/at.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { NAME_LEN_MAX = 32, SAID_MAX = 64 * 1024 };

void sim_at_init(struct sim_at *at, const struct sim_at_options *options)
{
	*at = (struct sim_at){.options = options, .echo = options->echo};
	at->line = (struct iot_buf)IOT_BUF_SECRET(options->line_max);
	at->data = (struct iot_buf)IOT_BUF_SECRET(SAID_MAX);
}

void sim_at_release(struct sim_at *at)
{
	iot_buf_release(&at->line);
	iot_buf_release(&at->data);
}

/* --- saying ----------------------------------------------------------------------------- */

void sim_at_say(struct board_sim *board, const struct sim_at *at, const char *fmt, ...)
{
	char text[4096];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	board_sim_say(board, "%s%s\r\n", at->options->plain ? "" : "\r\n", text);
}

void sim_at_end(struct board_sim *board, const struct sim_at *at, int result)
{
	if (result == SIM_AT_OK)
		sim_at_say(board, at, "OK");
	else if (result == SIM_AT_ERROR)
		sim_at_say(board, at, "ERROR");
	else if (result > 0)
		sim_at_say(board, at, "+CME ERROR: %d", result);
}

/* What becomes of an answer on its way: `answer_at` is where it begins in board->out. */
static void spoil(struct board_sim *board, const struct sim_at *at, const char *command, size_t answer_at)
{
	struct iot_buf said = IOT_BUF_SECRET(SAID_MAX);

	if (board->out.len == answer_at)
		return;
	iot_buf_add(&said, board->out.data + answer_at, board->out.len - answer_at);
	board->out.len = answer_at;
	board->out.data[answer_at] = '\0';
	faults_noise(&board->wire, &board->out);
	if (board_sim_fault(board, "urc", command))
		sim_at_say(board, at, "%s", at->options->urc);
	if (!board_sim_fault(board, "mute", command))
		iot_buf_add(&board->out, said.data, faults_cut(&board->wire, &said));
	iot_buf_release(&said);
}

/* --- arguments ----------------------------------------------------------------------------- */

/* From *text, which is changed: up to the next comma outside of quotes. False: a quote is not closed. */
static bool next_arg(char **text, struct sim_at_arg *ret)
{
	char *c = *text, *end;

	ret->quoted = *c == '"';
	ret->text = c + ret->quoted;
	end = ret->quoted ? strchr(c + 1, '"') : c + strcspn(c, ",");
	if (end == NULL || (ret->quoted && end[1] != ',' && end[1] != '\0'))
		return false;
	ret->len = (size_t)(end - ret->text);
	c = end + ret->quoted;
	*text = *c == ',' ? c + 1 : NULL;
	*end = '\0';
	return true;
}

static bool parse_args(char *text, struct sim_at_request *request)
{
	while (text != NULL) {
		if (request->count == SIM_AT_ARGS_MAX || !next_arg(&text, &request->args[request->count]))
			return false;
		request->count++;
	}
	return true;
}

bool sim_at_number(const struct sim_at_arg *arg, int64_t min, int64_t max, int64_t *ret)
{
	return !arg->quoted && iot_parse_int(arg->text, min, max, ret, NULL) == IOT_OK;
}

/* --- commands -------------------------------------------------------------------------------- */

/* How long the name is at the beginning of what follows "AT". */
static size_t name_length(const char *text)
{
	size_t len = strspn(text, "+%$*#&");

	while (isalnum((unsigned char)text[len]) || text[len] == '_')
		len++;
	return len;
}

static const struct sim_at_command *find_command(const struct sim_at *at, const char *text, size_t name_len)
{
	for (const struct sim_at_command *command = at->options->commands; command->name != NULL; command++)
		if (strlen(command->name) == name_len && strncasecmp(command->name, text, name_len) == 0)
			return command;
	return NULL;
}

static int carry_out(struct board_sim *board, const struct sim_at_command *command, char *rest)
{
	struct sim_at_request request = {.form = SIM_AT_RUN};

	for (size_t i = 0; i < SIM_AT_ARGS_MAX; i++)
		request.args[i].text = "";
	if (strcmp(rest, "?") == 0)
		request.form = SIM_AT_READ;
	else if (strcmp(rest, "=?") == 0)
		request.form = SIM_AT_TEST;
	else if (*rest == '=')
		request.form = SIM_AT_SET;
	else if (*rest != '\0')
		return SIM_AT_ERROR;
	if (command == NULL || !(command->forms & request.form))
		return SIM_AT_ERROR;
	if (request.form == SIM_AT_SET && !parse_args(rest + 1, &request))
		return SIM_AT_ERROR;
	return command->run(board, &request);
}

static bool is_echo(struct sim_at *at, const char *text)
{
	if (strcasecmp(text, "E0") != 0 && strcasecmp(text, "E1") != 0)
		return false;
	at->echo = text[1] == '1';
	return true;
}

/* What follows "AT" on a line. */
static void command_said(struct board_sim *board, struct sim_at *at, char *text)
{
	size_t name_len = name_length(text), answer_at;
	const struct sim_at_command *command = find_command(at, text, name_len);
	const char *shown = *text == '+' ? text + 1 : text;
	IOT_CLEAN(iot_free_p)
	char *told = iot_strndup(*shown != '\0' ? shown : "AT",
				 command != NULL && command->secret ? name_len - (size_t)(shown - text) : 200);
	int result = SIM_AT_OK;

	if (!board_sim_command(board, told))
		return;
	answer_at = board->out.len;
	if (at->overlong || board_sim_fault(board, "error", told))
		result = SIM_AT_ERROR;
	else if (*text != '\0' && !is_echo(at, text))
		result = carry_out(board, command, text + name_len);
	sim_at_end(board, at, result);
	spoil(board, at, told, answer_at);
}

static void line_ended(struct board_sim *board, struct sim_at *at)
{
	char *line = at->line.len > 0 ? at->line.data : NULL;
	char *begin = line != NULL ? strcasestr(line, "AT") : NULL;

	if (begin != NULL)
		command_said(board, at, begin + 2);
	iot_buf_clear(&at->line);
	at->overlong = at->in_quotes = false;
}

/* --- bytes ----------------------------------------------------------------------------------------- */

int sim_at_prompt(struct board_sim *board, struct sim_at *at, const char *prompt, size_t len,
		  int (*taken)(struct board_sim *board, const struct iot_buf *data))
{
	board_sim_say(board, "%s", prompt);
	at->wanted = len;
	at->taken_len = 0;
	at->taken = taken;
	iot_buf_clear(&at->data);
	return SIM_AT_SAID;
}

static void take_data(struct board_sim *board, struct sim_at *at, char c)
{
	size_t answer_at;
	int result = SIM_AT_ERROR;

	iot_buf_addc(&at->data, c);
	at->taken_len++;
	if (at->taken_len == at->wanted / 2 && !board_sim_command(board, "half"))
		return;
	if (at->taken_len < at->wanted)
		return;
	at->wanted = 0;
	if (!board_sim_command(board, "data"))
		return;
	answer_at = board->out.len;
	if (!board_sim_fault(board, "error", "data") && !at->data.over)
		result = at->taken(board, &at->data);
	iot_buf_clear(&at->data);
	sim_at_end(board, at, result);
	spoil(board, at, "data", answer_at);
}

void sim_at_feed(struct board_sim *board, struct sim_at *at, char c)
{
	bool end = c == '\r' || c == '\n';

	if (at->wanted > 0) {
		take_data(board, at, c);
		return;
	}
	if (at->echo && c != '\n')
		board_sim_say(board, "%c", c);
	if (end && !(at->in_quotes && at->options->lines_in_quotes)) {
		line_ended(board, at);
		return;
	}
	if (c == '\0')
		return;
	iot_buf_addc(&at->line, c);
	at->overlong = at->overlong || at->line.over;
	if (c == '"')
		at->in_quotes = !at->in_quotes;
}
