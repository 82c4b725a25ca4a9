/*
 * The AT engine: says a command, takes its answer, and when the two sides got
 * out of step (noise, a reset, a paste that was cut) brings them together again
 * before anything else is said, so that no answer is taken for another's.
 */
#include "iotctl/at.h"

#include "iotctl/base.h"
#include "iotctl/board.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	PARTS_MAX = 16,
	MORE_MAX = 1000,   /* raw lines of one answer */
	LINE_MS = 2000,    /* between two lines of one answer */
	QUIET_MS = 20,     /* silence between two rounds, and after the last answer */
	PATIENCE_MS = 200, /* an answer that is owed comes at least within this after another */
	SYNC_MS = 10000,
	PROBE_FIRST_MS = 500, /* the first probe is answered within this ... */
	PROBE_MS = 4000,      /* ... or the board is slow */
	SEND_MS = 500,
	PROMPT_MS = 500, /* what comes so soon after a probe, in each of so many rounds ... */
	ALIKE = 4,       /* ... is another kind's answer to it, as to each of those before */
	ALIKE_MS = 700,  /* a round is over then */
	UNWIND_FROM = 3  /* the first rounds go without the dialect's unwinding */
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

bool iot_at_refuses(const char *line, size_t len)
{
	static const char *const fronts[] = {"+CME ERROR:", "+CMS ERROR:"};
	size_t digits = 0;

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\r'))
		len--;
	for (size_t i = 0; i < IOT_LENGTH(fronts); i++)
		if (len >= strlen(fronts[i]) && memcmp(line, fronts[i], strlen(fronts[i])) == 0)
			return true;
	if (len < 4 || memcmp(line, "ERR", 3) != 0)
		return false;
	while (3 + digits < len && line[3 + digits] >= '0' && line[3 + digits] <= '9')
		digits++;
	return (len == 5 && memcmp(line, "ERROR", 5) == 0) ||
	       (digits > 0 && (3 + digits == len || line[3 + digits] == ' '));
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

	if (hidden) /* what it says may be an echo */
		answer->text.secret = answer->lines.secret = true;
	do {
		bool cut = false;

		status = iot_serial_read_line(at->serial, &line, &cut, deadline, err);
		if (status != IOT_OK)
			break;
		verdict = cut ? IOT_AT_STRANGER : at->dialect->judge(iot_buf_str(&line), line.len, answer, &more);
		if (verdict == IOT_AT_STRANGER && at->stranger != NULL && line.len > 0 && !hidden)
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

/*
 * Every command has exactly one final line for an answer, so what counts is how
 * many were said and how many answers came: a slow board owes the rest, however
 * silent it is. Only when it has answered some and then keeps silent for much
 * longer than it needed for those are the others taken for lost, and the count
 * begins anew.
 */
struct nonsense {
	char line[81]; /* what came instead of an answer, for the message */
	size_t bytes;
	char before[81]; /* in the round before */
	unsigned alike;  /* rounds in succession that brought the same line, at once, and no answer */
};

struct round {
	int64_t said_at;
	int64_t until;    /* wait for the next line until then */
	int64_t deadline; /* of all */
	bool any;         /* an answer came */
	bool prompt;      /* a line that is none came at once */
};

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t probe_deadline(const struct iot_at *at, bool first)
{
	int ms = at->probe_ms > 0 ? at->probe_ms : PROBE_MS;

	return iot_deadline(first && ms > PROBE_FIRST_MS ? PROBE_FIRST_MS : ms);
}

static bool is_echo(const struct iot_at *at, const char *text)
{
	size_t len = strlen(at->dialect->probe);

	return strncmp(text, at->dialect->probe, len) == 0 && text[len + strspn(text + len, " \r")] == '\0';
}

/* What a board says that knows neither this dialect nor its probe. An echo is none of it: the answer may be late. */
static void take_nonsense(const struct iot_at *at, struct round *round, const struct iot_buf *line,
			  struct nonsense *nonsense)
{
	const char *text = iot_buf_str(line);

	nonsense->bytes += line->len;
	snprintf(nonsense->line, sizeof(nonsense->line), "%s", text);
	if (is_echo(at, text) || iot_monotonic_ms() - round->said_at > PROMPT_MS)
		return;
	round->prompt = true;
	if (!round->any && strcmp(nonsense->line, nonsense->before) == 0)
		round->until = earlier(round->until, round->said_at + ALIKE_MS);
}

static void end_round(const struct round *round, struct nonsense *nonsense)
{
	bool same = round->prompt && !round->any && strcmp(nonsense->line, nonsense->before) == 0;

	nonsense->alike = same ? nonsense->alike + 1 : 0;
	snprintf(nonsense->before, sizeof(nonsense->before), "%s", nonsense->line);
}

static void take_line(struct iot_at *at, struct round *round, const struct iot_buf *line, struct nonsense *nonsense)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	int more = 0;
	enum iot_at_verdict verdict = at->dialect->judge(iot_buf_str(line), line->len, &answer, &more);
	int64_t took = iot_monotonic_ms() - round->said_at;

	iot_at_answer_release(&answer);
	if (verdict == IOT_AT_OK || verdict == IOT_AT_ERROR) {
		at->owed--;
		round->any = true;
		round->until = earlier(iot_deadline(4 * took > PATIENCE_MS ? 4 * took : PATIENCE_MS), round->deadline);
	} else if (line->len > 0) {
		take_nonsense(at, round, line, nonsense);
	}
}

/* Nothing may follow when all that was owed has come. */
static enum iot_status check_silence(struct iot_at *at, const struct round *round, bool *ret_good,
				     struct iot_error *err)
{
	size_t more = 0;
	enum iot_status status = iot_serial_settle(at->serial, QUIET_MS, round->deadline, &more, err);

	*ret_good = status == IOT_OK && at->owed == 0 && more == 0;
	at->owed = 0;
	return status;
}

static enum iot_status read_owed(struct iot_at *at, struct round *round, struct nonsense *nonsense, bool *ret_good,
				 struct iot_error *err)
{
	struct iot_buf line = {.max = IOT_SERIAL_LINE_MAX, .secret = true};
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && at->owed > 0) {
		status = iot_serial_read_line(at->serial, &line, NULL, round->until, err);
		if (status == IOT_OK)
			take_line(at, round, &line, nonsense);
	}
	iot_buf_release(&line);
	if (status == IOT_OK)
		return check_silence(at, round, ret_good, err);
	if (status == IOT_TIMEOUT && round->any)
		at->owed = 0;
	return status;
}

/* One round: say the probe, and wait for all that is owed. IOT_OK also when it did not come. */
static enum iot_status probe(struct iot_at *at, int number, int64_t deadline, struct nonsense *nonsense, bool *ret_good,
			     struct iot_error *err)
{
	/* Not in every round: what ends one thing may begin another, and the answer that is to come needs a plain one.
	 */
	bool unwinds = number >= UNWIND_FROM && (number - UNWIND_FROM) % 2 == 0 && at->dialect->unwind != NULL;
	const char *unwind = unwinds ? at->dialect->unwind : "";
	IOT_CLEAN(iot_free_p)
	char *text = iot_strf("%s%s%s%s", at->dialect->eol, unwind, at->dialect->probe, at->dialect->eol);
	struct round round = {.deadline = deadline};
	size_t dropped = 0;
	enum iot_status status = IOT_OK;

	*ret_good = false;
	if (at->owed == 0)
		status = iot_serial_settle(at->serial, QUIET_MS, deadline, &dropped, err);
	nonsense->bytes += dropped;
	if (status == IOT_OK)
		status = iot_at_send_raw(at, text, SEND_MS, err);
	if (status == IOT_OK) {
		at->owed++;
		round.said_at = iot_monotonic_ms();
		round.until = earlier(probe_deadline(at, number == 1), deadline);
		status = read_owed(at, &round, nonsense, ret_good, err);
		end_round(&round, nonsense);
	}
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
	iot_error_set_code(err, *line != '\0' && nonsense->alike >= ALIKE ? IOT_BOARD_OTHER_KIND : IOT_BOARD_SILENT);
	iot_error_hint(err, nonsense->bytes == 0
				    ? "check that it is the right port, its speed, and that the board has power"
				    : "check that it is the right port and speed, and the right kind with --board");
	return IOT_BOARD;
}

/* Say a command and take the next answer, whosever it is. */
static enum iot_status exchange(struct iot_at *at, const char *before, const char *command, int64_t deadline,
				struct iot_at_answer *answer, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strf("%s%s%s", before, command, at->dialect->eol);
	enum iot_status status = iot_at_send_raw(at, text, SEND_MS, err);

	if (status != IOT_OK)
		return status;
	at->owed++;
	status = iot_at_await(at, iot_left(earlier(probe_deadline(at, true), deadline)), answer, err);
	if (status == IOT_OK)
		at->owed--;
	return status;
}

/*
 * The quick way: the probe, then at once the proof. An answer that was owed to an
 * earlier program would be taken for the probe's, and the probe's for the proof's:
 * either shows. Then, and when nothing comes, it is for the rounds. IOT_OK in any
 * case where these may try.
 */
static enum iot_status prove_step(struct iot_at *at, int64_t deadline, bool *ret_good, struct iot_error *err)
{
	IOT_CLEAN(iot_at_answer_release) struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = exchange(at, at->dialect->eol, at->dialect->probe, deadline, &answer, err);
	bool bare = status == IOT_OK && answer.ok && answer.text.len == 0 && answer.lines.len == 0;

	if (bare)
		status = exchange(at, "", at->dialect->proof, deadline, &answer, err);
	*ret_good = bare && status == IOT_OK && answer.ok && at->dialect->proves(&answer, at->data);
	if (status == IOT_OK && !*ret_good)
		at->owed = 1; /* it was another's */
	at->in_step = false;
	return status == IOT_TIMEOUT ? IOT_OK : status;
}

static enum iot_status sync_quietly(struct iot_at *at, int64_t deadline, bool hidden, struct iot_error *err)
{
	struct nonsense nonsense = {"", 0, "", 0};
	bool good = false;
	enum iot_status status = IOT_OK;

	if (at->dialect->proof != NULL && at->owed == 0 && !hidden)
		status = prove_step(at, deadline, &good, err);
	if (status != IOT_OK)
		return status;
	for (int number = 1; !good && nonsense.alike < ALIKE && (number == 1 || iot_left(deadline) > 0); number++) {
		status = probe(at, number, deadline, &nonsense, &good, err);
		if (status != IOT_OK)
			return status;
	}
	if (!good) {
		size_t more = 0; /* what never became a line */

		(void)!iot_serial_settle(at->serial, 0, iot_deadline(QUIET_MS), &more, NULL);
		nonsense.bytes += more;
		return not_answering(at, &nonsense, hidden, err);
	}
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

/* The command itself; *ret_deadline: of its answer. */
static enum iot_status tell(struct iot_at *at, const struct iot_at_call *call, int64_t *ret_deadline,
			    struct iot_error *err)
{
	struct iot_serial_part parts[PARTS_MAX];
	size_t count = 0, bytes = 0;

	for (const struct iot_at_text *text = call->texts; text->text != NULL && count + 1 < PARTS_MAX; text++) {
		parts[count] = (struct iot_serial_part){text->text, strlen(text->text), text->secret};
		bytes += parts[count++].len;
	}
	parts[count++] = (struct iot_serial_part){at->dialect->eol, strlen(at->dialect->eol), false};
	/* The board's time begins when it has heard the end: a byte takes 87 us on the slowest usual line. */
	*ret_deadline = iot_deadline(call->timeout_ms + (int64_t)bytes / 8);
	at->in_step = false;
	at->owed++;
	return iot_serial_write(at->serial, parts, count, *ret_deadline, err);
}

static enum iot_status say(struct iot_at *at, const struct iot_at_call *call, struct iot_at_answer *answer,
			   struct iot_error *err)
{
	bool hidden = has_secret(call);
	int64_t deadline;
	enum iot_status status;

	answer_clear(answer);
	iot_serial_hide(at->serial, hidden);
	status = tell(at, call, &deadline, err);
	if (status == IOT_OK)
		status = read_answer(at, deadline, hidden, answer, err);
	if (status == IOT_OK)
		at->owed = 0;
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
	iot_error_set_code(err, IOT_BOARD_SILENT);
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
	unsigned before = at->retries;
	int first = 0;
	bool alike = true;

	err = err != NULL ? err : &scratch;
	for (int tries = 0;; tries++) {
		bool last = tries >= at->dialect->retries;
		enum iot_status status = back_into_step(at, call, err);

		if (status == IOT_OK)
			status = say(at, call, answer, err);
		else
			return status;
		if (status == IOT_OK) {
			bool garbled =
				!answer->ok && at->dialect->garbled != NULL && at->dialect->garbled(answer->code);

			if (tries == 0)
				first = answer->code;
			alike = alike && garbled && answer->code == first;
			/* A refusal of what could not be understood had no effect, so even `once` may be said again. */
			if (!garbled || last) {
				if (alike) /* the same each time: that is the board's word, and no loss on the line */
					at->retries = before;
				at->in_step = true;
				iot_error_clear(err);
				return IOT_OK;
			}
		} else if (status != IOT_TIMEOUT) {
			return status;
		} else if (call->once || last) {
			return no_answer(at, call, err);
		} else {
			alike = false;
		}
		at->retries++;
	}
}

/* --- a command with data -------------------------------------------------------------------------- */

static bool is_prompt(const struct iot_at *at, const struct iot_buf *line, char c)
{
	bool first = strspn(iot_buf_str(line), " \r") == line->len;

	return at->dialect->prompt != '\0' && c == at->dialect->prompt && first;
}

/* A line that came where the prompt was awaited. *ret_go: it is one; *ret_final: the board refused instead. */
static void judge_instead(struct iot_at *at, struct iot_buf *line, struct iot_at_answer *answer, bool *ret_go,
			  bool *ret_final)
{
	enum iot_at_verdict verdict;
	int more = 0;

	while (line->len > 0 && line->data[line->len - 1] == '\r')
		line->data[--line->len] = '\0';
	*ret_go = at->dialect->prompt_line != NULL && strcmp(iot_buf_str(line), at->dialect->prompt_line) == 0;
	if (*ret_go)
		return;
	verdict = at->dialect->judge(iot_buf_str(line), line->len, answer, &more);
	*ret_final = verdict == IOT_AT_ERROR || verdict == IOT_AT_OK;
	answer->ok = verdict == IOT_AT_OK;
	if (verdict == IOT_AT_STRANGER && at->stranger != NULL && line->len > 0)
		at->stranger(iot_buf_str(line), line->len, at->data);
	iot_serial_note(at->serial, iot_buf_str(line));
	iot_buf_clear(line);
}

static enum iot_status await_prompt(struct iot_at *at, int64_t deadline, struct iot_at_answer *answer, bool *ret_go,
				    struct iot_error *err)
{
	struct iot_buf line = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = IOT_OK;
	bool final = false;

	iot_serial_hide(at->serial, true); /* byte by byte nobody wants to read it; lines are noted below */
	while (status == IOT_OK && !*ret_go && !final) {
		char c = '\0';
		size_t got;

		status = iot_serial_read(at->serial, &c, 1, &got, deadline, err);
		if (status != IOT_OK)
			break;
		if (is_prompt(at, &line, c))
			*ret_go = true;
		else if (c == '\n')
			judge_instead(at, &line, answer, ret_go, &final);
		else
			iot_buf_addc(&line, c);
	}
	iot_serial_hide(at->serial, false);
	iot_buf_release(&line);
	return status;
}

/* A board that echoes what it is given must not have it in the transcript. */
static enum iot_status give_data(struct iot_at *at, const struct iot_at_call *call, const struct iot_serial_part *data,
				 struct iot_at_answer *answer, struct iot_error *err)
{
	int64_t deadline = iot_deadline(call->timeout_ms + (int64_t)data->len / 8);
	enum iot_status status;

	iot_serial_hide(at->serial, data->secret);
	status = iot_serial_write(at->serial, data, 1, deadline, err);
	if (status == IOT_OK)
		status = read_answer(at, deadline, data->secret, answer, err);
	at->echo_may_come = data->secret && status != IOT_OK;
	iot_serial_hide(at->serial, at->echo_may_come);
	return status;
}

enum iot_status iot_at_data(struct iot_at *at, const struct iot_at_call *call, const struct iot_serial_part *data,
			    struct iot_at_answer *answer, struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	int64_t deadline;
	bool go = false;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = back_into_step(at, call, err);
	if (status != IOT_OK)
		return status;
	answer_clear(answer);
	status = tell(at, call, &deadline, err);
	if (status == IOT_OK)
		status = await_prompt(at, deadline, answer, &go, err);
	if (status == IOT_OK && !go && answer->ok) { /* another's answer */
		status = iot_fail(err, IOT_BOARD, "the board says OK where it should ask for data");
		iot_error_hint(err, "check speed, ground and wires of the serial line");
		return status;
	}
	if (status == IOT_OK && go)
		status = give_data(at, call, data, answer, err);
	if (status == IOT_TIMEOUT)
		return no_answer(at, call, err);
	if (status != IOT_OK)
		return status;
	at->owed = 0;
	at->in_step = true;
	iot_error_clear(err);
	return IOT_OK;
}
