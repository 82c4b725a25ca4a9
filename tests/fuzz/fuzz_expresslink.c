/*
 * Any bytes to the module's end of the line: commands that come out are within
 * their limits, what is unescaped escapes back, and a line is answered or is noise
 * whatever came before it. The dictionary takes what the parser lets through.
 */
#include "iotctl/base.h"
#include "sim/expresslink/dictionary.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_command(const struct dictionary *dict, const struct at_command *command)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf escaped = IOT_BUF_INIT(1 << 16), plain = IOT_BUF_INIT(1 << 16);
	const char *equals = memchr(command->param, '=', command->param_len);
	struct dict_ref ref;

	if (strlen(command->word) > IOT_EL_WORD_MAX || command->param_len > command->line_len || command->number < -1)
		abort();
	if (command->error == AT_ESCAPE)
		return;
	iot_el_escape(command->param, command->param_len, &escaped);
	if (!iot_el_unescape(iot_buf_str(&escaped), escaped.len, &plain) || plain.len != command->param_len ||
	    memcmp(iot_buf_str(&plain), command->param, plain.len) != 0)
		abort();
	if (equals != NULL && dict_find(dict, command->param, (size_t)(equals - command->param), &ref) == AT_OK &&
	    dict_check(dict, &ref, equals + 1, command->param_len - (size_t)(equals + 1 - command->param)) == AT_OK &&
	    strlen(equals + 1) + (size_t)(equals + 1 - command->param) != command->param_len)
		abort();
}

static void check_pem(const uint8_t *data, size_t size)
{
	struct at_pem_reader reader;

	at_pem_init(&reader);
	for (size_t i = 0; i < size; i++) {
		if (at_pem_byte(&reader, (char)data[i]) != AT_PEM_MORE)
			break;
	}
	at_pem_release(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum at_spec spec = size > 0 && data[0] == 'o' ? AT_V0_5 : AT_V1_3;
	struct dictionary *dict = dict_new(spec);
	struct at_server server;
	struct at_command command;

	at_server_init(&server, spec);
	for (size_t i = 0; i < size; i++) {
		if (at_server_byte(&server, (char)data[i], &command))
			check_command(dict, &command);
	}
	at_server_byte(&server, '\n', &command);
	at_server_byte(&server, 'A', &command);
	at_server_byte(&server, 'T', &command);
	if (!at_server_byte(&server, '\n', &command) || !command.bare)
		abort();
	at_server_release(&server);
	dict_free(dict);
	check_pem(data, size);
	return 0;
}
