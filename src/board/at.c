/*
 * The AT engine: says a command, takes its answer, and when the two sides got
 * out of step (noise, a reset, a paste that was cut) brings them together again
 * before anything else is said, so that no answer is taken for another's.
 */
#include "iotctl/at.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	PARTS_MAX = 16,
	MORE_MAX = 1000,      /* raw lines of one answer */
	LINE_MS = 2000,       /* between two lines of one answer */
	QUIET_FIRST_MS = 20,  /* silence that is enough when nothing went wrong before */
	QUIET_AFTER_MS = 10,  /* nothing may follow the probe's answer within this */
	QUIET_STEP_MS = 100,  /* every further attempt waits for that much more silence */
	QUIET_MAX_MS = 1000,
	SYNC_MS = 10000,
	PROBE_MS = 500,       /* the probe is answered within this; twice, three times as long on later attempts */
	UNWIND_FROM = 3       /* attempts without the dialect's unwinding */
};

void iot_at_answer_release(struct iot_at_answer *answer)
{
	iot_buf_release(&answer->text);
	iot_buf_release(&answer->lines);
}

static void answer_clear(struct iot_at_answer *answer)
{
	answer->ok = false;
	answer->code = -1;
	answer->pem_follows = false;
	iot_buf_clear(&answer->text);
	iot_buf_clear(&answer->lines);
}

void iot_at_out_of_step(struct iot_at *at)
{
	at->in_step = false;
}

/* --- reading ---------------------------------------------------------------------------- */

/* The raw lines that belong to an answer. */
static enum iot_status read_more(struct iot_at *at, int more, struct iot_at_answer *answer, struct iot_error *err)
{
	struct iot_buf line = {.max = IOT_SERIAL_LINE_MAX, .secret = true};
	enum iot_status status = IOT_OK;

	if (more > MORE_MAX)
		status = iot_fail(err, IOT_BOARD, "the board announces an answer of %d lines", more);
	for (; status == IOT_OK && more > 0; more--) {
		status = iot_serial_read_line(at->serial, &line, NULL, iot_deadline(LINE_MS), err);
		if (status != IOT_OK)
			break;
		iot_buf_add(&answer->lines, line.data, line.len);
		iot_buf_addc(&answer->lines, '\n');
	}
	iot_buf_release(&line);
	if (status == IOT_OK)
		status = iot_buf_check(&answer->lines, "the board's answer", err);
	return status;
}

static void note_hidden(struct iot_at *at, bool hidden, const struct iot_at_answer *answer)
{
	char note[64];

	if (!hidden)
		return;
	if (answer->ok)
		snprintf(note, sizeof(note), "OK (rest left out)");
	else
		snprintf(note, sizeof(note), "refused, code %d (rest left out)", answer->code);
	iot_serial_note(at->serial, note);
}

/* Lines until the answer is complete. */
static enum iot_status read_answer(struct iot_at *at, int64_t deadline, bool hidden, struct iot_at_answer *answer,
				   struct iot_error *err)
{
	struct iot_buf line = {.max = IOT_SERIAL_LINE_MAX, .secret = true};
	enum iot_at_verdict verdict = IOT_AT_STRANGER;
	enum iot_status status;
	int more = 0;

	do {
		bool cut = false;

		status = iot_serial_read_line(at->serial, &line, &cut, deadline, err);
		if (status != IOT_OK)
			break;
		verdict = cut ? IOT_AT_STRANGER : at->dialect->judge(iot_buf_str(&line), line.len, answer, &more);
		if (verdict == IOT_AT_STRANGER && at->stranger != NULL && line.len > 0)
			at->stranger(iot_buf_str(&line), line.len, at->data);
		if (verdict == IOT_AT_PART) {
			iot_buf_add(&answer->lines, line.data, line.len);
			iot_buf_addc(&answer->lines, '\n');
			status = iot_buf_check(&answer->lines, "the board's answer", err);
		}
	} while (status == IOT_OK && verdict != IOT_AT_OK && verdict != IOT_AT_ERROR);
	iot_buf_release(&line);
	if (status != IOT_OK)
		return status;
	answer->ok = verdict == IOT_AT_OK;
	note_hidden(at, hidden, answer);
	return read_more(at, more, answer, err);
}

enum iot_status iot_at_read_line(struct iot_at *at, struct iot_buf *line, int timeout_ms, struct iot_error *err)
{
	enum iot_status status = iot_serial_read_line(at->serial, line, NULL, iot_deadline(timeout_ms), err);

	at->in_step = at->in_step && status == IOT_OK;
	return status;
}

enum iot_status iot_at_await(struct iot_at *at, int timeout_ms, struct iot_at_answer *answer, struct iot_error *err)
{
	enum iot_status status;

	answer_clear(answer);
	status = read_answer(at, iot_deadline(timeout_ms), false, answer, err);
	at->in_step = status == IOT_OK;
	return status;
}

enum iot_status iot_at_send_raw(struct iot_at *at, const char *text, int timeout_ms, struct iot_error *err)
{
	const struct iot_serial_part part = {text, strlen(text), false};

	return iot_serial_write(at->serial, &part, 1, iot_deadline(timeout_ms), err);
}

/* --- getting into step --------------------------------------------------------------------- */

/* What came instead of an answer, for the message. */
struct nonsense {
	char line[81];
	size_t bytes;
};

static enum iot_status quiet(struct iot_at *at, int ms, int64_t deadline, struct nonsense *nonsense,
			     struct iot_error *err)
{
	size_t dropped = 0;
	enum iot_status status = iot_serial_settle(at->serial, ms, deadline, &dropped, err);

	nonsense->bytes += dropped;
	return status;
}

/* Ask the probe once. *ret_good: its answer came, and nothing after it. IOT_OK also when it did not. */
static enum iot_status probe(struct iot_at *at, int wait_ms, int64_t deadline, struct nonsense *nonsense, bool *ret_good,
			     struct iot_error *err)
{
	const struct iot_serial_part parts[] = {{at->dialect->probe, strlen(at->dialect->probe), false},
						{at->dialect->eol, strlen(at->dialect->eol), false}};
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	struct iot_buf line = {.max = IOT_SERIAL_LINE_MAX, .secret = true};
	int64_t until = iot_deadline(wait_ms) < deadline ? iot_deadline(wait_ms) : deadline;
	enum iot_status status = iot_serial_write(at->serial, parts, 2, until, err);
	size_t more = 0;
	int lines = 0;

	*ret_good = false;
	while (status == IOT_OK && !*ret_good) {
		status = iot_serial_read_line(at->serial, &line, NULL, until, err);
		if (status != IOT_OK)
			break;
		*ret_good = at->dialect->judge(iot_buf_str(&line), line.len, &answer, &lines) == IOT_AT_OK && lines == 0;
		if (!*ret_good && line.len > 0) {
			nonsense->bytes += line.len;
			snprintf(nonsense->line, sizeof(nonsense->line), "%s", iot_buf_str(&line));
		}
	}
	if (*ret_good) {
		status = iot_serial_settle(at->serial, QUIET_AFTER_MS, until > deadline ? until : deadline, &more, err);
		*ret_good = status == IOT_OK && more == 0;
	}
	iot_buf_release(&line);
	iot_at_answer_release(&answer);
	return status == IOT_TIMEOUT ? IOT_OK : status;
}

static enum iot_status attempt(struct iot_at *at, int number, int64_t deadline, struct nonsense *nonsense,
			       bool *ret_good, struct iot_error *err)
{
	int quiet_ms = QUIET_FIRST_MS + (at->resyncs > 0 || number > 1 ? number * QUIET_STEP_MS : 0);
	enum iot_status status = iot_at_send_raw(at, at->dialect->eol, PROBE_MS, err);

	if (status == IOT_OK && number >= UNWIND_FROM && at->dialect->unwind != NULL)
		status = iot_at_send_raw(at, at->dialect->unwind, PROBE_MS, err);
	if (status == IOT_OK)
		status = quiet(at, quiet_ms < QUIET_MAX_MS ? quiet_ms : QUIET_MAX_MS, deadline, nonsense, err);
	if (status == IOT_OK)
		status = probe(at, number < 4 ? number * PROBE_MS : 4 * PROBE_MS, deadline, nonsense, ret_good, err);
	return status == IOT_TIMEOUT ? IOT_OK : status;
}

static enum iot_status not_answering(struct iot_at *at, const struct nonsense *nonsense, bool hidden,
				     struct iot_error *err)
{
	const char *path = iot_serial_path(at->serial);
	char line[81];

	snprintf(line, sizeof(line), "%s", nonsense->line);
	iot_text_printable(line);
	if (nonsense->bytes == 0)
		iot_fail(err, IOT_BOARD, "nothing answers on port '%s'", path);
	else if (hidden || *line == '\0')
		iot_fail(err, IOT_BOARD, "port '%s' sends %zu bytes that are no answer", path, nonsense->bytes);
	else
		iot_fail(err, IOT_BOARD, "port '%s' answers '%s', which is no %s", path, line, at->dialect->name);
	iot_error_hint(err, nonsense->bytes == 0 ? "check that it is the right port and that the board has power"
						 : "check that it is the right port and the right speed");
	return IOT_BOARD;
}

static enum iot_status sync_quietly(struct iot_at *at, int64_t deadline, bool hidden, struct iot_error *err)
{
	struct nonsense nonsense = {"", 0};
	bool good = false;

	for (int number = 1; !good && (number == 1 || iot_left(deadline) > 0); number++) {
		enum iot_status status = attempt(at, number, deadline, &nonsense, &good, err);

		if (status != IOT_OK)
			return status;
	}
	if (!good)
		return not_answering(at, &nonsense, hidden, err);
	iot_error_clear(err);
	at->in_step = true;
	return IOT_OK;
}

enum iot_status iot_at_sync(struct iot_at *at, int timeout_ms, struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;

	return sync_quietly(at, iot_deadline(timeout_ms), false, err != NULL ? err : &scratch);
}

/* --- a command -------------------------------------------------------------------------------- */

static bool has_secret(const struct iot_at_call *call)
{
	for (const struct iot_at_text *text = call->texts; text->text != NULL; text++)
		if (text->secret)
			return true;
	return false;
}

/* The command for messages: secrets and long values left out. */
static void describe(const struct iot_at_call *call, char out[81])
{
	size_t used = 0;

	*out = '\0';
	for (const struct iot_at_text *text = call->texts; text->text != NULL && used < 80; text++)
		used += (size_t)snprintf(out + used, 81 - used, "%.40s", text->secret ? "..." : text->text);
	iot_text_printable(out);
}

static enum iot_status say(struct iot_at *at, const struct iot_at_call *call, struct iot_at_answer *answer,
			   struct iot_error *err)
{
	struct iot_serial_part parts[PARTS_MAX];
	bool hidden = has_secret(call);
	size_t count = 0, bytes = 0;
	int64_t deadline;
	enum iot_status status;

	for (const struct iot_at_text *text = call->texts; text->text != NULL && count + 1 < PARTS_MAX; text++) {
		parts[count] = (struct iot_serial_part){text->text, strlen(text->text), text->secret};
		bytes += parts[count++].len;
	}
	parts[count++] = (struct iot_serial_part){at->dialect->eol, strlen(at->dialect->eol), false};
	/* The board's time begins when it has heard the end: a byte takes 87 us on the slowest usual line. */
	deadline = iot_deadline(call->timeout_ms + (int64_t)bytes / 8);
	answer_clear(answer);
	at->in_step = false;
	iot_serial_hide(at->serial, hidden);
	status = iot_serial_write(at->serial, parts, count, deadline, err);
	if (status == IOT_OK)
		status = read_answer(at, deadline, hidden, answer, err);
	/* An echo that comes late is swallowed by the next synchronising, still hidden. */
	at->echo_may_come = hidden && status != IOT_OK;
	iot_serial_hide(at->serial, at->echo_may_come);
	return status;
}

static enum iot_status no_answer(struct iot_at *at, const struct iot_at_call *call, struct iot_error *err)
{
	char command[81];

	describe(call, command);
	iot_fail(err, IOT_BOARD, "the board on port '%s' gave no whole answer to '%s' within %d ms",
		 iot_serial_path(at->serial), command, call->timeout_ms);
	iot_error_hint(err, "check power and wires of the board, then repeat the command: it goes on where it was");
	return IOT_BOARD;
}

static enum iot_status back_into_step(struct iot_at *at, const struct iot_at_call *call, struct iot_error *err)
{
	enum iot_status status;

	if (at->in_step)
		return IOT_OK;
	at->resyncs++;
	iot_serial_hide(at->serial, at->echo_may_come);
	status = sync_quietly(at, iot_deadline(call->timeout_ms > SYNC_MS ? call->timeout_ms : SYNC_MS),
			      at->echo_may_come, err);
	if (status == IOT_OK)
		at->echo_may_come = false;
	iot_serial_hide(at->serial, at->echo_may_come);
	return status;
}

enum iot_status iot_at_call(struct iot_at *at, const struct iot_at_call *call, struct iot_at_answer *answer,
			    struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;

	err = err != NULL ? err : &scratch;
	for (int tries = 0;; tries++) {
		bool last = tries >= at->dialect->retries;
		enum iot_status status = back_into_step(at, call, err);

		if (status == IOT_OK)
			status = say(at, call, answer, err);
		else
			return status;
		if (status == IOT_OK) {
			bool garbled = !answer->ok && at->dialect->garbled != NULL && at->dialect->garbled(answer->code);

			/* A refusal of what could not be understood had no effect, so even `once` may be said again. */
			if (!garbled || last) {
				at->in_step = true;
				iot_error_clear(err);
				return IOT_OK;
			}
		} else if (status != IOT_TIMEOUT) {
			return status;
		} else if (call->once || last) {
			return no_answer(at, call, err);
		}
		at->retries++;
	}
}
