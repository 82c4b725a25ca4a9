/*
 * Reading command lines. Whatever comes between the end of a line and the next
 * AT+ is noise and is not kept, so the only memory is for one command. Errors
 * are found from left to right and the first one is the one that counts; which
 * words there are is not known here.
 */
#include "sim/expresslink/at_server.h"

#include "iotctl/base.h"

#include <string.h>
#include <strings.h>

enum { PEM_MAX = 16 * 1024, PEM_LINE_MAX = 9 * 1024, PREFIX_LEN = 3 };

static const struct {
	const char *name;
	enum at_spec spec;
} specs[] = {
	{"v0.5", AT_V0_5},   {"v1.0", AT_V1_0}, {"v1.1", AT_V1_1}, {"v1.1.1", AT_V1_1},
	{"v1.1.2", AT_V1_1}, {"v1.2", AT_V1_2}, {"v1.3", AT_V1_3},
};

bool at_spec_parse(const char *text, enum at_spec *ret)
{
	for (size_t i = 0; i < IOT_LENGTH(specs); i++) {
		if (strcasecmp(text, specs[i].name) == 0 || strcmp(text, specs[i].name + 1) == 0) {
			*ret = specs[i].spec;
			return true;
		}
	}
	return false;
}

const char *at_spec_name(enum at_spec spec)
{
	for (size_t i = 0; i < IOT_LENGTH(specs); i++) {
		if (specs[i].spec == spec)
			return specs[i].name;
	}
	return "";
}

const char *at_error_name(int error, enum at_spec spec)
{
	if (spec == AT_V0_5 && error == AT_RANGE)
		return "TOPIC OUT OF RANGE";
	if (spec == AT_V0_5 && error == AT_UNDEFINED)
		return "TOPIC UNDEFINED";
	return iot_el_error(error)->name;
}

void at_server_init(struct at_server *server, enum at_spec spec)
{
	size_t max = spec == AT_V0_5 ? IOT_EL_COMMAND_MAX_OLD : IOT_EL_COMMAND_MAX;

	memset(server, 0, sizeof(*server));
	server->spec = spec;
	server->line = (struct iot_buf)IOT_BUF_INIT(max);
	server->param = (struct iot_buf)IOT_BUF_INIT(max);
}

void at_server_release(struct at_server *server)
{
	iot_buf_release(&server->line);
	iot_buf_release(&server->param);
}

void at_server_reset(struct at_server *server)
{
	server->mode = AT_SEEKING;
	server->noise = 0;
	server->last[0] = server->last[1] = '\0';
}

static void parse(struct at_server *server, struct at_command *ret)
{
	const char *text = iot_buf_str(&server->line);
	struct iot_el_command command;
	int error;

	ret->line = text + PREFIX_LEN;
	ret->line_len = server->line.len - PREFIX_LEN;
	error = iot_el_command_parse(text, server->line.len, &command);
	if (error != 0) {
		ret->error = error > 0 ? (enum at_error)error : AT_PARSE;
		return;
	}
	memcpy(ret->word, command.word, sizeof(ret->word));
	ret->number = command.suffix;
	ret->has_param = command.has_param;
	iot_buf_clear(&server->param);
	if (command.has_param && !iot_el_unescape(command.param, command.param_len, &server->param))
		ret->error = AT_ESCAPE;
	ret->param = iot_buf_str(&server->param);
	ret->param_len = server->param.len;
}

static bool end_of_line(struct at_server *server, struct at_command *ret)
{
	enum at_mode mode = server->mode;
	bool bare = mode == AT_SEEKING && server->noise == 2 && strncasecmp(server->last, "AT", 2) == 0;

	memset(ret, 0, sizeof(*ret));
	ret->param = ret->line = "";
	ret->number = -1;
	if (mode == AT_COLLECTING)
		parse(server, ret); /* the line stays until the next byte */
	else if (mode == AT_DISCARDING)
		ret->error = AT_OVERFLOW;
	else
		ret->bare = bare;
	at_server_reset(server);
	return mode != AT_SEEKING || bare;
}

static void seek(struct at_server *server, char c)
{
	if (c == '+' && strncasecmp(server->last, "AT", 2) == 0) {
		server->mode = AT_COLLECTING;
		iot_buf_clear(&server->line);
		iot_buf_adds(&server->line, "AT+");
		return;
	}
	server->last[0] = server->last[1];
	server->last[1] = c;
	server->noise++;
}

bool at_server_byte(struct at_server *server, char c, struct at_command *ret)
{
	if (c == '\n' || (c == '\r' && server->spec != AT_V0_5))
		return end_of_line(server, ret);
	if (server->mode == AT_SEEKING) {
		seek(server, c);
	} else if (server->mode == AT_COLLECTING) {
		iot_buf_addc(&server->line, c);
		if (server->line.over)
			server->mode = AT_DISCARDING;
	}
	return false;
}

void at_pem_init(struct at_pem_reader *reader)
{
	reader->text = (struct iot_buf)IOT_BUF_INIT(PEM_MAX);
	reader->line = (struct iot_buf)IOT_BUF_INIT(PEM_LINE_MAX);
}

void at_pem_release(struct at_pem_reader *reader)
{
	iot_buf_release(&reader->text);
	iot_buf_release(&reader->line);
}

enum at_pem at_pem_byte(struct at_pem_reader *reader, char c)
{
	const char *line;
	bool last;

	if (c != '\n' && c != '\r') {
		iot_buf_addc(&reader->line, c);
		return reader->line.over ? AT_PEM_BAD : AT_PEM_MORE;
	}
	line = iot_buf_str(&reader->line);
	if (reader->line.len == 0)
		return AT_PEM_MORE;
	last = strncmp(line, "-----END ", 9) == 0;
	iot_buf_add(&reader->text, line, reader->line.len);
	iot_buf_addc(&reader->text, '\n');
	iot_buf_clear(&reader->line);
	if (reader->text.over)
		return AT_PEM_BAD;
	return last ? AT_PEM_DONE : AT_PEM_MORE;
}
