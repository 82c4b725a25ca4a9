/*
 * Driving a console: a terminal of one line is kept, as a person would see it,
 * and compared with what was typed.
 */
#include "board/console.h"

#include "iotctl/base.h"
#include "iotctl/board.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4096, ECHO_MS = 2000, ENTER_TRIES = 6, SYNC_STEP_MS = 400, SEND_MS = 2000, QUIET_MS = 60 };
enum { ALIKE = 8, ALIKE_LEN = 81 /* another kind's prompt: the same so many times in succession */ };
enum { PIECE = 512, STALL_MS = 400 /* an echo that has begun goes on */ };
#define CTRL_C "\x03"

struct console {
	struct iot_serial *serial;
	const char *name, *prompt;
	int echo_ms;
	size_t columns;
	struct console_terminal terminal;
	struct iot_buf typed; /* prompt and what was typed */
	struct iot_buf next;  /* bytes that came and were not looked at yet */
	bool hidden;          /* what comes is left out of the transcript */
	bool echo_may_come;   /* as of a secret that was typed, and that the board has not echoed as it should */
};

void console_hide(struct console *console, bool on)
{
	console->hidden = on;
	iot_serial_hide(console->serial, on || console->echo_may_come);
}

static void reset_terminal(struct console *console)
{
	iot_buf_clear(&console->terminal.line);
	iot_buf_clear(&console->next);
	console->terminal.state = CONSOLE_PLAIN;
	console->terminal.cr = false;
}

static void move_left(struct iot_buf *line, size_t count)
{
	size_t left = count < line->len ? line->len - count : 0;

	if (line->len > 0)
		line->data[line->len = left] = '\0';
}

/* A byte of a sequence: ESC, or ESC [ numbers letter. */
static void show_sequence(struct console_terminal *terminal, char c)
{
	if (terminal->state == CONSOLE_ESCAPE) {
		terminal->state = c == '[' ? CONSOLE_SEQUENCE : CONSOLE_PLAIN;
		terminal->number = 0;
	} else if (c >= '0' && c <= '9') {
		terminal->number =
			terminal->number < LINE_MAX_BYTES ? terminal->number * 10 + (size_t)(c - '0') : LINE_MAX_BYTES;
	} else if (c >= '@' && c <= '~') {
		terminal->state = CONSOLE_PLAIN;
		if (c == 'D')
			move_left(&terminal->line, terminal->number > 0 ? terminal->number : 1);
	} else {
		terminal->number = 0;
	}
}

bool console_show(struct console_terminal *terminal, char c)
{
	struct iot_buf *line = &terminal->line;

	if (terminal->state != CONSOLE_PLAIN) {
		show_sequence(terminal, c);
		return false;
	}
	if (c == '\n') {
		terminal->cr = false;
		return true;
	}
	if (c == '\r') {
		terminal->cr = true;
		return false;
	}
	if (terminal->cr) /* back to the first column: the line is written anew */
		iot_buf_clear(line);
	terminal->cr = false;
	if (c == '\x1b')
		terminal->state = CONSOLE_ESCAPE;
	else if (c == '\b' && line->len > 0)
		line->data[--line->len] = '\0';
	else if ((unsigned char)c >= ' ' || c == '\t')
		iot_buf_addc(line, c);
	return false;
}

/* At least one byte into `next`. */
static enum iot_status fetch(struct console *console, int64_t deadline, struct iot_error *err)
{
	char piece[PIECE];
	size_t len = 0;
	enum iot_status status;

	if (console->next.len > 0)
		return IOT_OK;
	status = iot_serial_read(console->serial, piece, sizeof(piece), &len, deadline, err);
	if (status == IOT_OK)
		iot_buf_add(&console->next, piece, len);
	iot_wipe(piece, sizeof(piece));
	return status;
}

static bool at_prompt(const struct console *console)
{
	return iot_ends_with(iot_buf_str(&console->terminal.line), console->prompt);
}

/* --- in step ------------------------------------------------------------------------------- */

static enum iot_status send(struct console *console, const char *text, bool secret, struct iot_error *err)
{
	const struct iot_serial_part part = {text, strlen(text), secret};

	return iot_serial_write(console->serial, &part, 1, iot_deadline(SEND_MS), err);
}

/* Everything that comes, until the last line is the prompt alone and stays so. */
static enum iot_status await_prompt(struct console *console, int64_t deadline, struct iot_error *err)
{
	for (;;) {
		bool there = strcmp(iot_buf_str(&console->terminal.line), console->prompt) == 0;
		struct iot_error late = IOT_ERROR_INIT;
		enum iot_status status = fetch(console, there ? iot_deadline(QUIET_MS) : deadline, &late);

		if (status == IOT_TIMEOUT && there)
			return IOT_OK;
		if (status != IOT_OK) {
			if (err != NULL)
				*err = late;
			return status;
		}
		for (; console->next.len > 0; iot_buf_consume(&console->next, 1))
			if (console_show(&console->terminal, console->next.data[0]))
				iot_buf_clear(&console->terminal.line);
	}
}

/* What stood in the last line when the prompt was awaited in vain, and how often it was the same. */
struct instead {
	char line[ALIKE_LEN];
	int alike;
};

static void note_instead(const struct console *console, struct instead *instead)
{
	const char *line = iot_buf_str(&console->terminal.line);
	char now[ALIKE_LEN];

	snprintf(now, sizeof(now), "%s", line);
	instead->alike = *now != '\0' && strcmp(now, instead->line) == 0 ? instead->alike + 1 : 0;
	memcpy(instead->line, now, sizeof(now));
}

static enum iot_status no_console(const struct console *console, struct instead *instead, struct iot_error *err)
{
	const char *path = iot_serial_path(console->serial);

	if (instead->alike < ALIKE || console->hidden || console->echo_may_come) {
		iot_fail(err, IOT_BOARD, "no %s answers on '%s'", console->name, path);
		iot_error_set_code(err, IOT_BOARD_SILENT);
	} else {
		iot_text_printable(instead->line);
		iot_fail(err, IOT_BOARD, "port '%s' answers '%s', which is no %s", path, instead->line, console->name);
		iot_error_set_code(err, IOT_BOARD_OTHER_KIND);
	}
	iot_error_hint(err, "is it the right port and speed, and are its wires sound?");
	return IOT_BOARD;
}

enum iot_status console_sync(struct console *console, int timeout_ms, struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	struct instead instead = {"", 0};
	struct iot_error late = IOT_ERROR_INIT;

	do {
		enum iot_status status;

		reset_terminal(console);
		iot_error_clear(&late);
		status = send(console, CTRL_C, false, err);
		if (status != IOT_OK)
			return status;
		status = await_prompt(console, iot_deadline(SYNC_STEP_MS), &late);
		if (status == IOT_OK) { /* silent behind its prompt: no echo is on its way */
			console->echo_may_come = false;
			console_hide(console, console->hidden);
			return IOT_OK;
		}
		if (status != IOT_TIMEOUT) {
			if (err != NULL)
				*err = late;
			return status;
		}
		note_instead(console, &instead);
	} while (instead.alike < ALIKE && iot_left(deadline) > 0);
	return no_console(console, &instead, err);
}

enum iot_status console_open(const struct console_options *options, struct console **ret, struct iot_error *err)
{
	struct console *console = iot_alloc(sizeof(*console));
	enum iot_status status;

	console->name = options->name;
	console->prompt = options->prompt;
	console->echo_ms = options->echo_ms > 0 ? options->echo_ms : ECHO_MS;
	console->columns = options->columns;
	console->terminal.line = console->typed = console->next = (struct iot_buf)IOT_BUF_SECRET(LINE_MAX_BYTES);
	status = iot_serial_open(options->serial, &console->serial, err);
	if (status == IOT_OK)
		status = console_sync(console, 5 * console->echo_ms, err);
	if (status != IOT_OK) {
		console_close(console);
		return status;
	}
	*ret = console;
	return IOT_OK;
}

void console_close(struct console *console)
{
	if (console == NULL)
		return;
	iot_serial_close(console->serial);
	iot_buf_release(&console->terminal.line);
	iot_buf_release(&console->typed);
	iot_buf_release(&console->next);
	free(console);
}

/* --- typing ---------------------------------------------------------------------------------- */

/* The echo goes on in the terminal's next line. */
static bool is_wrapped(const struct console *console)
{
	const struct iot_buf *line = &console->terminal.line;

	return console->columns > 0 && line->len > 0 && line->len % console->columns == 0 &&
	       iot_starts_with(iot_buf_str(&console->typed), iot_buf_str(line));
}

/* Until the last line shows what was typed. IOT_TIMEOUT: it does not. */
static enum iot_status await_echo(struct console *console, struct iot_error *err)
{
	int64_t deadline = iot_deadline(console->echo_ms);

	while (strcmp(iot_buf_str(&console->terminal.line), iot_buf_str(&console->typed)) != 0) {
		enum iot_status status = fetch(console, deadline, err);

		if (status != IOT_OK)
			return status;
		deadline = iot_deadline(STALL_MS < console->echo_ms ? STALL_MS : console->echo_ms);
		if (console_show(&console->terminal, console->next.data[0]) && !is_wrapped(console))
			iot_buf_clear(&console->terminal.line);
		iot_buf_consume(&console->next, 1);
	}
	return IOT_OK;
}

static enum iot_status type(struct console *console, const struct console_text *texts, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	iot_buf_clear(&console->typed);
	iot_buf_adds(&console->typed, console->prompt);
	for (; status == IOT_OK && texts->text != NULL; texts++) {
		iot_buf_adds(&console->typed, texts->text);
		status = send(console, texts->text, texts->secret, err);
	}
	return status == IOT_OK ? await_echo(console, err) : status;
}

/*
 * The end of the line is not echoed as itself: the line is entered when the terminal goes on to the next. It is said
 * again while nothing happens; an empty line more harms nothing. IOT_TIMEOUT: something else came of it, the line was
 * not entered.
 */
static enum iot_status press_enter(struct console *console, struct iot_error *err)
{
	const char *typed = iot_buf_str(&console->typed);
	enum iot_status status = IOT_TIMEOUT;

	for (int tries = 0; status == IOT_TIMEOUT && tries < ENTER_TRIES; tries++) {
		int64_t deadline = iot_deadline(console->echo_ms);

		status = send(console, "\n", false, err);
		while (status == IOT_OK) {
			const char *line = iot_buf_str(&console->terminal.line);
			bool complete;

			if (iot_starts_with(line, typed) && strcmp(line, typed) != 0)
				return iot_fail(err, IOT_TIMEOUT, "more was typed than was meant");
			status = fetch(console, deadline, err);
			if (status != IOT_OK)
				break;
			complete = console_show(&console->terminal, console->next.data[0]);
			iot_buf_consume(&console->next, 1);
			if (complete && strcmp(iot_buf_str(&console->terminal.line), typed) == 0) {
				iot_buf_clear(&console->terminal.line);
				return IOT_OK;
			}
			/* Not one byte of the end of the line has to arrive: what follows shows it too. */
			if (!complete && console->terminal.line.len > 0 &&
			    strncmp(typed, iot_buf_str(&console->terminal.line), console->terminal.line.len) != 0 &&
			    iot_buf_str(&console->terminal.line)[0] != '<')
				return IOT_OK;
			if (complete)
				iot_buf_clear(&console->terminal.line);
		}
	}
	return status;
}

static bool is_secret(const struct console_text *texts)
{
	for (; texts->text != NULL; texts++)
		if (texts->secret)
			return true;
	return false;
}

enum iot_status console_enter(struct console *console, const struct console_text *texts, struct iot_error *err)
{
	bool secret = is_secret(texts);
	enum iot_status status = IOT_TIMEOUT;
	struct iot_error late = IOT_ERROR_INIT;

	if (secret)
		console_hide(console, true);
	for (int tries = 0; status == IOT_TIMEOUT && tries < ENTER_TRIES; tries++) {
		iot_error_clear(&late);
		status = IOT_OK;
		if (tries > 0 || console->echo_may_come)
			status = console_sync(console, 5 * console->echo_ms, &late);
		if (status == IOT_OK)
			status = type(console, texts, &late);
		if (status == IOT_OK)
			status = press_enter(console, &late);
	}
	if (secret) {
		console->echo_may_come = status != IOT_OK;
		console_hide(console, false);
		iot_serial_note(console->serial, "(a line with a secret)");
	}
	if (status == IOT_TIMEOUT) {
		status = iot_fail(err, IOT_BOARD, "the board does not echo what it is told");
		iot_error_hint(err, "check the wires, their length, and what else drives the line");
	} else if (status != IOT_OK && err != NULL) {
		*err = late;
	}
	return status;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* The line is complete. True: the judge is done. */
static bool judge_line(struct console *console, console_judge judge, void *data)
{
	const char *text = iot_buf_str(&console->terminal.line);
	bool echo = strcmp(text, iot_buf_str(&console->typed)) == 0, done;

	/* After a log line the prompt stands in front of the answer. */
	while (!echo && iot_starts_with(text, console->prompt))
		text += strlen(console->prompt);
	done = !echo && *text != '\0' && judge(text, false, data) == CONSOLE_DONE;
	iot_buf_clear(&console->terminal.line);
	return done;
}

static bool judge_prompt(struct console *console, console_judge judge, void *data)
{
	IOT_CLEAN(iot_free_p) char *before = NULL;
	const char *text = iot_buf_str(&console->terminal.line);

	if (!at_prompt(console))
		return false;
	while (iot_starts_with(text, console->prompt) && strcmp(text, console->prompt) != 0)
		text += strlen(console->prompt);
	before = iot_strndup(text, strlen(text) - strlen(console->prompt));
	return judge(before, true, data) == CONSOLE_DONE;
}

enum iot_status console_read(struct console *console, console_judge judge, void *data, int timeout_ms, int grace_ms,
			     bool *ret_done, struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	bool prompted = false;

	*ret_done = false;
	for (;;) {
		struct iot_error late = IOT_ERROR_INIT;
		enum iot_status status = fetch(console, deadline, &late);

		if (status == IOT_TIMEOUT && prompted)
			return IOT_OK;
		if (status != IOT_OK) {
			if (err != NULL)
				*err = late;
			return status;
		}
		while (console->next.len > 0) {
			bool complete = console_show(&console->terminal, console->next.data[0]);

			iot_buf_consume(&console->next, 1);
			if (complete && judge_line(console, judge, data)) {
				*ret_done = true;
				return IOT_OK;
			}
			if (console->next.len == 0 && judge_prompt(console, judge, data)) {
				*ret_done = true;
				return IOT_OK;
			}
		}
		if (at_prompt(console)) {
			prompted = true;
			deadline = iot_deadline(grace_ms);
		}
	}
}
