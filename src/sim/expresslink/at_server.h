/*
 * The module's end of the serial line: bytes in, commands out (ExpressLink
 * programmer's guide, "ExpressLink commands": framing, limits, order of
 * errors). Pure: no clock, no files, no connection. What is the same on both
 * ends of the line is in iotctl/expresslink.h.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_AT_SERVER_H
#define IOTCTL_SIM_EXPRESSLINK_AT_SERVER_H

#include "iotctl/buf.h"
#include "iotctl/expresslink.h"

#include <stdint.h>

/* Versions of the guide that a module can answer like: major * 10 + minor. */
enum at_spec { AT_V0_5 = 5, AT_V1_0 = 10, AT_V1_1 = 11, AT_V1_2 = 12, AT_V1_3 = 13 };

/* "v1.3", "1.2", "v1.1.1" -> the version. False if there is none such. */
bool at_spec_parse(const char *text, enum at_spec *ret);
const char *at_spec_name(enum at_spec spec); /* "v1.3" */

/* Error codes as they are printed. */
enum at_error {
	AT_OK = 0,
	AT_OVERFLOW = 1,
	AT_PARSE = 2,
	AT_NO_COMMAND = 3,
	AT_PARAMETER = 4,
	AT_ESCAPE = 5,
	AT_NO_CONNECTION = 6,
	AT_RANGE = 7,
	AT_UNDEFINED = 8,
	AT_KEY_LENGTH = 9,
	AT_KEY_NAME = 10,
	AT_KEY_UNKNOWN = 11,
	AT_READ_ONLY = 12,
	AT_WRITE_ONLY = 13,
	AT_CONNECT = 14,
	AT_NO_TIME = 15,
	AT_NO_LOCATION = 16,
	AT_NO_MODE = 17,
	AT_ACTIVE = 18,
	AT_NO_IMAGE = 19,
	AT_ADDRESS = 20,
	AT_INVALID_OTA = 21,
	AT_SIGNATURE = 23,
	AT_SHADOW = 24,
	AT_NOT_ALLOWED = 25,
	AT_CERTIFICATE = 26
};
/* "PARAMETER ERROR", in the words of that version; never NULL. */
const char *at_error_name(int error, enum at_spec spec);

/* One command line. Points into the server; good until its next byte. */
struct at_command {
	enum at_error error;            /* the first one in the line; of the word, when `word` is empty */
	bool bare;                      /* just AT */
	char word[IOT_EL_WORD_MAX + 1]; /* upper case */
	int number;                     /* the suffix; -1: none */
	bool has_param;
	const char *param; /* decoded; a NUL that does not count follows */
	size_t param_len;
	const char *line; /* as it came, from the word on, without the end of line */
	size_t line_len;
};

enum at_mode { AT_SEEKING, AT_COLLECTING, AT_DISCARDING };

struct at_server {
	enum at_spec spec;
	enum at_mode mode;
	char last[2]; /* bytes before, while looking for AT+ */
	size_t noise; /* bytes since the last end of line */
	struct iot_buf line, param;
};

void at_server_init(struct at_server *server, enum at_spec spec);
void at_server_release(struct at_server *server);
/* Forget what was half received. */
void at_server_reset(struct at_server *server);
/* Take a byte. True when it ended a line that is to be answered. */
bool at_server_byte(struct at_server *server, char c, struct at_command *ret);

/* A PEM that is pasted line by line after KEY=pem. */
enum at_pem { AT_PEM_MORE, AT_PEM_DONE, AT_PEM_BAD };
struct at_pem_reader {
	struct iot_buf text, line;
};
void at_pem_init(struct at_pem_reader *reader);
void at_pem_release(struct at_pem_reader *reader);
/* DONE at the end of the END line: `text` has it all, each line ended by LF. BAD when it is too long. */
enum at_pem at_pem_byte(struct at_pem_reader *reader, char c);

#endif
