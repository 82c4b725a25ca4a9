/*
 * SIMCom SIM7600 LTE modules: the conversation, and who a module is. It is known
 * by its IMEI. Its key is made elsewhere and crosses the wire; what it stores
 * cannot be read back, so its connection proves it.
 */
#include "board/dialect/sim7600_private.h"

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { OPEN_MS = 10000, PROBE_MS = 1000 };

/* --- the dialect of the AT engine --------------------------------------------------------- */

static bool proves(const struct iot_at_answer *answer, void *data)
{
	struct s7 *s7 = data;

	return s7_imei(iot_buf_str(&answer->lines), s7->imei);
}

/* A count that was never reached swallows what is said; empty lines do no harm in a command's place. */
#define EMPTY_16 "\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r\r"
#define EMPTY_256                                                                                                      \
	EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16    \
		EMPTY_16 EMPTY_16 EMPTY_16 EMPTY_16
#define EMPTY_2048 EMPTY_256 EMPTY_256 EMPTY_256 EMPTY_256 EMPTY_256 EMPTY_256 EMPTY_256 EMPTY_256

static const struct iot_at_dialect dialect = {
	.name = "SIM7600 module",
	.eol = "\r", /* LF behind it would be the first byte of a file */
	.probe = "AT",
	.proof = "AT+CGSN",
	.proves = proves,
	.unwind = EMPTY_2048,
	.prompt = '>',
	.prompt_line = "DOWNLOAD",
	.judge = s7_judge,
	.retries = 2,
};

/* --- commands -------------------------------------------------------------------------------- */

static enum iot_status refused(const struct iot_at_answer *answer, const char *doing, struct iot_error *err)
{
	if (answer->code < 0) {
		iot_fail(err, IOT_BOARD, "the module refused to %s", doing);
	} else {
		iot_fail(err, IOT_BOARD, "the module refused to %s (CME %d)", doing, answer->code);
		if (err != NULL)
			snprintf(err->code, sizeof(err->code), "CME%d", answer->code);
	}
	iot_error_hint(err, "repeat it; if that does not help, " S7_CHECK_WIRES);
	return IOT_BOARD;
}

enum iot_status s7_try(struct s7 *s7, const struct iot_at_text *texts, bool *ret_ok, struct iot_error *err)
{
	const struct iot_at_call call = {.texts = texts, .timeout_ms = s7->answer_ms};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = iot_at_call(&s7->at, &call, &answer, err);

	*ret_ok = status == IOT_OK && answer.ok;
	iot_at_answer_release(&answer);
	return status;
}

/* ERROR may be the answer to what a byte was lost of, so it is asked again; where it is meant, it is given again. */
enum iot_status s7_call(struct s7 *s7, const struct iot_at_text *texts, const char *doing, struct iot_at_answer *answer,
			struct iot_error *err)
{
	const struct iot_at_call call = {.texts = texts, .timeout_ms = s7->answer_ms};
	enum iot_status status = IOT_OK;

	for (int tries = 0; tries < S7_TRIES; tries++) {
		status = iot_at_call(&s7->at, &call, answer, err);
		if (status != IOT_OK || answer->ok)
			return status;
	}
	return refused(answer, doing, err);
}

enum iot_status s7_steady(struct s7 *s7, const char *command, const char *doing, struct iot_buf *lines,
			  struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	bool same = false;

	for (int tries = 0; status == IOT_OK && !same && tries < S7_READ_TRIES; tries++) {
		struct iot_at_answer answer = IOT_AT_ANSWER_INIT;

		status = s7_call(s7, IOT_AT_TEXTS({command, false}), doing, &answer, err);
		same = status == IOT_OK && tries > 0 && strcmp(iot_buf_str(&answer.lines), iot_buf_str(lines)) == 0;
		if (status == IOT_OK && !same) {
			iot_buf_clear(lines);
			iot_buf_add(lines, answer.lines.data, answer.lines.len);
		}
		iot_at_answer_release(&answer);
	}
	if (status == IOT_OK && !same) {
		status = iot_fail(err, IOT_BOARD, "the module does not %s twice the same", doing);
		iot_error_hint(err, S7_CHECK_WIRES);
	}
	return status == IOT_OK ? iot_buf_check(lines, "the module's answer", err) : status;
}

/* --- opening ------------------------------------------------------------------------------------ */

static void stranger(const char *line, size_t len, void *data)
{
	struct s7 *s7 = data;
	IOT_CLEAN(iot_free_p) char *text = NULL;

	if (s7->awaited != NULL && s7_result(line, len, s7->awaited, &s7->result))
		s7->came = true;
	text = iot_strndup(line, len < 120 ? len : 120);
	iot_text_printable(text);
	iot_debug("the module says besides: %s", text);
}

/* Before anything else: this much any kind of AT board refuses at once, but not what has no '+', which some pass over.
 */
static enum iot_status check_kind(struct s7 *s7, struct iot_error *err)
{
	bool ok = false;
	enum iot_status status = IOT_OK;

	for (int tries = 0; status == IOT_OK && !ok && tries < S7_TRIES; tries++)
		status = s7_try(s7, IOT_AT_TEXTS({"AT+CCERTLIST", false}), &ok, err);
	if (status == IOT_OK && ok) /* its echo off */
		return s7_try(s7, IOT_AT_TEXTS({"ATE0", false}), &ok, err);
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_BOARD, "the device on port '%s' answers AT, but stores no certificates (AT+CCERTLIST)",
		 iot_serial_path(s7->serial));
	iot_error_set_code(err, IOT_BOARD_OTHER_KIND);
	iot_error_hint(err,
		       "is it a SIM7600? name another port with --port ('iotctl board list'), or another kind with "
		       "--board");
	return IOT_BOARD;
}

static void close_module(void *self)
{
	struct s7 *s7 = self;

	if (s7->session)
		(void)!s7_disconnect(s7, NULL);
	iot_serial_close(s7->serial);
	free(s7);
}

static enum iot_status open_module(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct s7 *s7 = iot_alloc(sizeof(*s7));
	struct iot_error scratch = IOT_ERROR_INIT;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	s7->options = *options;
	s7->answer_ms = options->answer_ms > 0 ? options->answer_ms : S7_ANSWER_MS;
	status = iot_serial_open(&options->serial, &s7->serial, err);
	if (status == IOT_OK) {
		s7->at = (struct iot_at){.serial = s7->serial,
					 .dialect = &dialect,
					 .stranger = stranger,
					 .data = s7,
					 .probe_ms = s7->answer_ms < PROBE_MS ? s7->answer_ms : PROBE_MS};
		status = iot_at_sync(&s7->at, OPEN_MS, err);
	}
	if (status == IOT_OK)
		status = check_kind(s7, err);
	if (status != IOT_OK) {
		close_module(s7);
		return status;
	}
	*ret_self = s7;
	return IOT_OK;
}

/* --- who it is ------------------------------------------------------------------------------------- */

/* The first line of an answer, behind "+WORD: " or "Revision:" where the firmware has that. */
static enum iot_status read_line(struct s7 *s7, const char *command, char *out, size_t size, struct iot_error *err)
{
	struct iot_buf lines = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = s7_steady(s7, command, "tell what it is", &lines, err);
	size_t len = 0;
	const char *line = s7_line(iot_buf_str(&lines), "", &len);
	const char *colon = line != NULL ? memchr(line, ':', len) : NULL;

	if (colon != NULL) {
		len -= (size_t)(colon + 1 - line);
		line = colon + 1;
		while (len > 0 && *line == ' ')
			line++, len--;
	}
	snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), line != NULL ? line : "");
	iot_text_printable(out);
	iot_buf_release(&lines);
	return status;
}

static enum iot_status read_imei(struct s7 *s7, char out[16], struct iot_error *err)
{
	struct iot_buf lines = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = s7_steady(s7, "AT+CGSN", "tell its IMEI", &lines, err);
	bool good = status == IOT_OK && s7_imei(iot_buf_str(&lines), out);

	iot_buf_release(&lines);
	if (status == IOT_OK && !good) {
		status = iot_fail(err, IOT_BOARD, "the module does not tell its IMEI");
		iot_error_hint(err, S7_CHECK_WIRES);
	}
	return status;
}

static enum iot_status identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct s7 *s7 = self;
	struct s7_files files;
	enum iot_status status = read_line(s7, "AT+CGMI", ret->vendor, sizeof(ret->vendor), err);

	if (status == IOT_OK)
		status = read_line(s7, "AT+CGMM", ret->model, sizeof(ret->model), err);
	if (status == IOT_OK)
		status = read_line(s7, "AT+CGMR", ret->version, sizeof(ret->version), err);
	if (status == IOT_OK)
		status = read_imei(s7, s7->imei, err);
	if (status == IOT_OK)
		status = s7_list(s7, &files, err);
	if (status != IOT_OK)
		return status;
	snprintf(ret->uid, sizeof(ret->uid), "%s", s7->imei);
	snprintf(ret->protocol, sizeof(ret->protocol), "AT");
	s7_value(&files, S7_THING, ret->thing_name, sizeof(ret->thing_name));
	s7_value(&files, S7_ENDPOINT, ret->endpoint, sizeof(ret->endpoint));
	ret->claimed_known = ret->key_known = false;
	ret->connected = s7->session;
	iot_buf_clear(&ret->certificate);
	iot_buf_clear(&ret->public_key);
	return IOT_OK;
}

const struct iot_board_ops iot_board_sim7600 = {
	.name = "sim7600",
	.summary = "SIMCom SIM7600 LTE module",
	.capabilities = IOT_BOARD_TAKES_KEY | IOT_BOARD_CONNECTS | IOT_BOARD_KEEPS_OLD_ROOT,
	.items = 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_CERTIFICATE | 1U << IOT_ITEM_THING_NAME | 1U << IOT_ITEM_APN |
		 1U << IOT_ITEM_PORT | 1U << IOT_ITEM_ENDPOINT,
	.open = open_module,
	.close = close_module,
	.identify = identify,
	.take_key = s7_take_key,
	.look = s7_look,
	.install = s7_install,
	.connect = s7_connect,
	.disconnect = s7_disconnect,
	.stage = s7_stage,
	.settle = s7_settle,
};
