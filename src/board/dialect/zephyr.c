/*
 * Zephyr's shell: its TLS credentials (`cred`), and what the application on it
 * takes by commands of its own, which the description names. It has no way to
 * use a key on demand: its proof is that it connects by itself after a reset.
 */
#include "board/dialect/zephyr_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

enum { PAUSE_MS = 200, REMEMBER_MS = 5000 };

/* --- asking ------------------------------------------------------------------------------------ */

/* "[00:00:01.234,000] <inf> app: ..." */
static bool is_log(const char *line)
{
	return *line == '[' && isdigit((unsigned char)line[1]) && strchr(line, ']') != NULL;
}

static void take_line(struct zephyr_answer *answer, const char *line)
{
	if (zephyr_says_volatile(line)) {
		answer->is_volatile = true;
		return;
	}
	if (answer->said != ZEPHYR_NOTHING || is_log(line))
		return;
	answer->said = zephyr_failure(line);
	if (answer->said == ZEPHYR_NOTHING && ((answer->good != NULL && iot_starts_with(line, answer->good)) ||
					       (answer->line != NULL && answer->line(line, answer->data))))
		answer->said = ZEPHYR_GOOD;
	if (!answer->secret) {
		snprintf(answer->text, sizeof(answer->text), "%s", line);
		iot_text_printable(answer->text);
	}
}

static enum console_verdict judge(const char *line, bool prompt, void *data)
{
	struct zephyr_answer *answer = data;

	if (*line != '\0')
		take_line(answer, line);
	return prompt && answer->said != ZEPHYR_NOTHING ? CONSOLE_DONE : CONSOLE_MORE;
}

static enum iot_status ask_once(struct zephyr *board, const struct console_text *texts, struct zephyr_answer *answer,
				struct iot_error *err)
{
	bool done;
	enum iot_status status;

	answer->said = ZEPHYR_NOTHING;
	answer->text[0] = '\0';
	status = console_enter(board->console, texts, err);
	if (status != IOT_OK)
		return status;
	console_hide(board->console, answer->secret);
	status = console_read(board->console, judge, answer, board->answer_ms, CONSOLE_GRACE_MS, &done, err);
	console_hide(board->console, false);
	board->is_volatile = board->is_volatile || answer->is_volatile;
	return status;
}

enum iot_status zephyr_ask(struct zephyr *board, const struct console_text *texts, struct zephyr_answer *answer,
			   struct iot_error *err)
{
	struct iot_error late = IOT_ERROR_INIT;
	enum iot_status status = ask_once(board, texts, answer, &late);

	for (int tries = 1; tries < CONSOLE_ASK_TRIES && !answer->once; tries++) {
		if ((status != IOT_OK && status != IOT_TIMEOUT) || (status == IOT_OK && answer->said != ZEPHYR_NOTHING))
			break;
		iot_error_clear(&late);
		status = console_sync(board->console, board->answer_ms, &late);
		if (status == IOT_OK)
			status = ask_once(board, texts, answer, &late);
	}
	if (status == IOT_TIMEOUT)
		return iot_fail(err, IOT_BOARD, "the board did not answer");
	if (status != IOT_OK && err != NULL)
		*err = late;
	return status;
}

enum iot_status zephyr_conclude(const struct zephyr_answer *answer, const char *doing, struct iot_error *err)
{
	if (answer->said == ZEPHYR_GOOD)
		return IOT_OK;
	if (answer->said == ZEPHYR_NOTHING)
		return iot_fail(err, IOT_BOARD, "the board did not say that it could %s%s%s", doing,
				*answer->text != '\0' ? ": " : "", answer->text);
	return iot_fail(err, IOT_BOARD, "the board refused to %s%s%s", doing, *answer->text != '\0' ? ": " : "",
			answer->text);
}

/* --- who it is ------------------------------------------------------------------------------------------------ */

static bool take_text(const char *line, void *data)
{
	struct zephyr_text *shown = data;

	if (!iot_starts_with(line, shown->shows))
		return false;
	snprintf(shown->value, shown->size, "%s", line + strlen(shown->shows));
	return true;
}

/* What follows `front` in the answer, read twice the same; "": the shell says that it has no such thing. */
static enum iot_status read_fact(struct zephyr *board, const char *command, const char *front, char *out, size_t size,
				 struct iot_error *err)
{
	char again[2][ZEPHYR_VALUE_MAX + 1] = {"", ""};

	out[0] = '\0';
	for (int tries = 0; tries < CONSOLE_READ_TRIES; tries++) {
		char *mine = again[tries % 2];
		struct zephyr_text shown = {front, mine, sizeof(again[0])};
		struct zephyr_answer answer = {.line = take_text, .data = &shown};
		enum iot_status status;

		mine[0] = '\0';
		status = zephyr_ask(board, CONSOLE_TEXTS({command, false}), &answer, err);
		if (status != IOT_OK)
			return status;
		/* Without its id a board would pass for another one; a shell that lacks the command says so. */
		if (answer.said == ZEPHYR_NOTHING && *answer.text == '\0')
			return iot_fail(err, IOT_BOARD, "the board says nothing to '%s'", command);
		if (answer.said != ZEPHYR_GOOD) {
			iot_info("the board does not answer '%s': %s", command, answer.text);
			return IOT_OK;
		}
		if (tries > 0 && strcmp(again[0], again[1]) == 0) {
			snprintf(out, size, "%s", mine);
			iot_text_printable(out);
			return IOT_OK;
		}
	}
	return iot_fail(err, IOT_BOARD, "the board gives no steady answer to '%s'", command);
}

/* "0x" and hexadecimal, which is all that a chip's id is; chips without one say zeros. */
static void keep_uid(const char *text, struct iot_board_identity *ret)
{
	if (strlen(text) < 8 || strlen(text) >= sizeof(ret->uid) ||
	    strspn(text, "0123456789abcdefABCDEF") != strlen(text) || strspn(text, "0") == strlen(text))
		return;
	for (size_t i = 0; i <= strlen(text); i++)
		ret->uid[i] = (char)tolower((unsigned char)text[i]);
}

/* PEM with a NUL or without, or DER; what cannot be read is none. */
static struct iot_cert *read_certificate(const struct iot_buf *bytes)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	struct iot_cert *cert = NULL;
	size_t len = bytes->len;

	if (len == 0)
		return NULL;
	len -= bytes->data[len - 1] == '\0';
	if (bytes->data[0] == '-' ? iot_cert_parse_pem(bytes->data, len, "certificate", &cert, &ignored) != IOT_OK
				  : iot_cert_parse_der(bytes->data, bytes->len, &cert, &ignored) != IOT_OK)
		return NULL;
	return cert;
}

/* The identity of its shared secret is no secret itself. */
static enum iot_status identify_secret(struct zephyr *board, const struct zephyr_list *list,
				       struct iot_board_identity *ret, struct iot_error *err)
{
	const struct zephyr_row *row = zephyr_find(list, board->plan.tag, "PSK_ID");
	struct iot_buf bytes = IOT_BUF_INIT(sizeof(ret->psk_identity) - 1);
	enum iot_status status = row != NULL ? zephyr_get(board, row, &bytes, err) : IOT_OK;

	snprintf(ret->psk_identity, sizeof(ret->psk_identity), "%s", iot_buf_str(&bytes));
	iot_text_printable(ret->psk_identity);
	iot_buf_release(&bytes);
	return status;
}

/* Its certificate, and by that its key if it has one at all; a certificate has a name, too. */
static enum iot_status identify_certificate(struct zephyr *board, struct iot_board_identity *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_buf bytes = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_error ignored = IOT_ERROR_INIT;
	struct zephyr_list list;
	const struct zephyr_row *row;
	const char *name = NULL;
	bool has_key;
	enum iot_status status = zephyr_read_list(board, &list, err);

	if (status != IOT_OK)
		return status;
	row = zephyr_find(&list, board->plan.tag, "SERV");
	has_key = zephyr_find(&list, board->plan.tag, "PK") != NULL;
	if (row != NULL)
		status = zephyr_get(board, row, &bytes, err);
	if (status == IOT_OK)
		cert = read_certificate(&bytes);
	iot_buf_release(&bytes);
	if (status == IOT_OK)
		status = identify_secret(board, &list, ret, err);
	ret->key_known = !has_key || cert != NULL;
	if (status != IOT_OK || cert == NULL)
		return status;
	iot_cert_pem(cert, &ret->certificate);
	if (*ret->thing_name == '\0' && iot_cert_common_name(cert, &name, &ignored) == IOT_OK &&
	    strlen(name) < sizeof(ret->thing_name))
		snprintf(ret->thing_name, sizeof(ret->thing_name), "%s", name);
	return has_key ? iot_key_public_pem(iot_cert_key(cert), &ret->public_key, err) : IOT_OK;
}

static enum iot_status identify(void *self, struct iot_board_identity *ret, struct iot_error *err)
{
	struct zephyr *board = self;
	char uid[sizeof(ret->uid)] = "";
	enum iot_status status;

	snprintf(ret->vendor, sizeof(ret->vendor), "Zephyr");
	snprintf(ret->model, sizeof(ret->model), "%s", board->options.description->name);
	snprintf(ret->protocol, sizeof(ret->protocol), "cred");
	iot_buf_clear(&ret->certificate);
	iot_buf_clear(&ret->public_key);
	status = read_fact(board, "kernel version", "Zephyr version ", ret->version, sizeof(ret->version), err);
	if (status == IOT_OK)
		status = read_fact(board, "hwinfo devid", "ID: 0x", uid, sizeof(uid), err);
	if (status == IOT_OK)
		keep_uid(uid, ret);
	if (status == IOT_OK)
		status = zephyr_setting(board, IOT_ITEM_THING_NAME, ret->thing_name, sizeof(ret->thing_name), err);
	if (status == IOT_OK)
		status = zephyr_setting(board, IOT_ITEM_ENDPOINT, ret->endpoint, sizeof(ret->endpoint), err);
	ret->claimed_known = board->plan.commands[IOT_ITEM_ENDPOINT].get != NULL;
	ret->claimed = *ret->endpoint != '\0';
	return status == IOT_OK ? identify_certificate(board, ret, err) : status;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static enum iot_status check(const json_t *description, struct iot_error *err)
{
	struct zephyr_plan plan;

	return zephyr_plan_read(description, &plan, err);
}

static void close_board(void *self)
{
	struct zephyr *board = self;

	console_close(board->console);
	free(board);
}

static enum iot_status open_board(const struct iot_board_options *options, void **ret_self, struct iot_error *err)
{
	struct zephyr *board;
	struct console_options console = {.serial = &options->serial,
					  .name = "Zephyr shell",
					  .echo_ms = options->answer_ms,
					  .columns = ZEPHYR_COLUMNS};
	enum iot_status status;

	if (options->description == NULL)
		return iot_fail(err, IOT_USAGE, "a board with a Zephyr shell needs a description");
	board = iot_alloc(sizeof(*board));
	board->options = *options;
	board->answer_ms = options->answer_ms > 0 ? options->answer_ms : CONSOLE_ANSWER_MS;
	status = zephyr_plan_read(options->description->json, &board->plan, err);
	console.prompt = board->plan.prompt;
	if (status == IOT_OK)
		status = console_open(&console, &board->console, err);
	if (status != IOT_OK) {
		close_board(board);
		return status;
	}
	*ret_self = board;
	return IOT_OK;
}

/* --- starting ----------------------------------------------------------------------------------------------------- */

static enum console_verdict judge_boot(const char *line, bool prompt, void *data)
{
	struct zephyr_answer *answer = data;

	if (answer->said == ZEPHYR_NOTHING && *line != '\0' && !is_log(line)) {
		answer->said = strstr(line, "*** Booting ") != NULL ? ZEPHYR_GOOD : zephyr_failure(line);
		snprintf(answer->text, sizeof(answer->text), "%s", line);
		iot_text_printable(answer->text);
	}
	return prompt && answer->said != ZEPHYR_NOTHING ? CONSOLE_DONE : CONSOLE_MORE;
}

/* In ms; *ret below 0: it does not tell. */
static enum iot_status read_uptime(struct zephyr *board, int64_t *ret, struct iot_error *err)
{
	char text[32] = "";
	struct zephyr_text uptime = {"Uptime: ", text, sizeof(text)};
	struct zephyr_answer answer = {.line = take_text, .data = &uptime};
	enum iot_status status = zephyr_ask(board, CONSOLE_TEXTS({"kernel uptime", false}), &answer, err);

	*ret = status == IOT_OK && answer.said == ZEPHYR_GOOD ? strtoll(text, NULL, 10) : -1;
	return status;
}

/* A board without a banner: its clock began anew, or went on from `before` for all the time since. */
static enum iot_status check_restarted(struct zephyr *board, int64_t before, int64_t asked_at, struct iot_error *err)
{
	int64_t after = -1;
	enum iot_status status = before >= 0 ? read_uptime(board, &after, err) : IOT_OK;

	if (status != IOT_OK || (after >= 0 && after < iot_monotonic_ms() - asked_at + before / 2))
		return status;
	iot_fail(err, IOT_BOARD, "the board did not restart on '%s'", board->plan.reboot);
	iot_error_hint(err, "its software needs CONFIG_REBOOT, or its description another command in 'reboot'");
	return IOT_BOARD;
}

static enum iot_status reboot(struct zephyr *board, struct iot_error *err)
{
	struct zephyr_answer answer = {.said = ZEPHYR_NOTHING};
	int64_t before, asked_at;
	bool done;
	enum iot_status status = read_uptime(board, &before, err);

	asked_at = iot_monotonic_ms();
	if (status == IOT_OK)
		status = console_enter(board->console, CONSOLE_TEXTS({board->plan.reboot, false}), err);
	if (status == IOT_OK)
		status =
			console_read(board->console, judge_boot, &answer, ZEPHYR_BOOT_MS, CONSOLE_GRACE_MS, &done, err);
	if (status == IOT_TIMEOUT) {
		iot_error_clear(err);
		status = IOT_OK;
	}
	if (status == IOT_OK && answer.said != ZEPHYR_NOTHING)
		status = zephyr_conclude(&answer, "restart", err);
	if (status == IOT_OK)
		status = console_sync(board->console, ZEPHYR_BOOT_MS, err);
	return status == IOT_OK && answer.said == ZEPHYR_NOTHING ? check_restarted(board, before, asked_at, err)
								 : status;
}

static bool holds_all(const struct zephyr_list *after, const struct zephyr_list *before)
{
	for (size_t i = 0; i < before->count; i++) {
		const struct zephyr_row *row = zephyr_find(after, before->rows[i].tag, before->rows[i].type);

		if (row == NULL || memcmp(row->digest, before->rows[i].digest, sizeof(row->digest)) != 0)
			return false;
	}
	return true;
}

static enum console_verdict judge_nothing(const char *line, bool prompt, void *data)
{
	(void)line;
	(void)prompt;
	(void)data;
	return CONSOLE_MORE;
}

/* What it held before its restart, it must hold now; an application may put it back a moment after the shell is up. */
static enum iot_status check_memory(struct zephyr *board, const struct zephyr_list *before, struct iot_error *err)
{
	int64_t deadline = iot_deadline(REMEMBER_MS);
	struct zephyr_list after;
	struct iot_error quiet = IOT_ERROR_INIT;
	bool done;

	for (;;) {
		enum iot_status status = zephyr_read_list(board, &after, err);

		if (status != IOT_OK || holds_all(&after, before))
			return status;
		if (iot_left(deadline) == 0)
			break;
		status = console_read(board->console, judge_nothing, NULL, PAUSE_MS, PAUSE_MS, &done, &quiet);
		if (status != IOT_OK && status != IOT_TIMEOUT) {
			if (err != NULL)
				*err = quiet;
			return status;
		}
	}
	iot_fail(err, IOT_VERIFY, "the board forgot its credentials when it restarted");
	iot_error_hint(err,
		       "%s: build it with CONFIG_TLS_CREDENTIALS_BACKEND_PROTECTED_STORAGE, or let its application "
		       "keep them",
		       board->is_volatile ? "its software keeps them in RAM"
					  : "its software seems to keep them in RAM");
	return IOT_VERIFY;
}

static enum iot_status start(void *self, struct iot_error *err)
{
	struct zephyr *board = self;
	struct zephyr_list before;
	enum iot_status status = zephyr_read_list(board, &before, err);

	if (status == IOT_OK)
		status = reboot(board, err);
	if (status == IOT_OK)
		status = check_memory(board, &before, err);
	if (status != IOT_OK)
		iot_error_while(err, "starting the board anew");
	return status;
}

/* --- trust -------------------------------------------------------------------------------------------------------- */

/*
 * A root CA that lay beside the old one would be proved by no connection, as the board would trust both. So the old one
 * goes as soon as the new one is there, and whoever asked keeps it for the way back.
 */
static enum iot_status stage(void *self, const struct iot_board_trust *trust, struct iot_error *err)
{
	return board_trust_stage(&iot_board_zephyr, self, trust, err);
}

static enum iot_status settle(void *self, const struct iot_board_trust *trust, bool keep, struct iot_error *err)
{
	return board_trust_settle(&iot_board_zephyr, self, trust, keep, err);
}

const struct iot_board_ops iot_board_zephyr = {
	.name = "zephyr",
	.summary = "Zephyr's shell with TLS credentials",
	.capabilities = IOT_BOARD_TAKES_KEY,
	.items = 1U << IOT_ITEM_ROOT_CA | 1U << IOT_ITEM_CERTIFICATE | 1U << IOT_ITEM_THING_NAME |
		 1U << IOT_ITEM_PSK_IDENTITY | 1U << IOT_ITEM_PSK | 1U << IOT_ITEM_WIFI_SSID |
		 1U << IOT_ITEM_WIFI_PASSWORD | 1U << IOT_ITEM_APN | 1U << IOT_ITEM_CUSTOM_NAME | 1U << IOT_ITEM_PORT |
		 1U << IOT_ITEM_ENDPOINT,
	.members = (const char *const[]){"secTag", "caTags", "format", "prompt", "reboot", "commands", NULL},
	.check = check,
	.open = open_board,
	.close = close_board,
	.identify = identify,
	.take_key = zephyr_take_key,
	.look = zephyr_look,
	.install = zephyr_install,
	.start = start,
	.stage = stage,
	.settle = settle,
};
