/*
 * One AT conversation over a serial line: send a command, await its answer,
 * survive what is not one. What an answer looks like is the dialect's: a
 * function that judges a line. Commands are made of parts, so that a secret is
 * known as one wherever it goes.
 *
 * Faults: those of the line (serial.h); IOT_BOARD when the board does not
 * answer in time or answers nonsense after it was brought back into step, with
 * one of the codes of board.h.
 */
#ifndef IOTCTL_AT_H
#define IOTCTL_AT_H

#include "iotctl/serial.h"

/* What a line is, in answer to a command. */
enum iot_at_verdict {
	IOT_AT_STRANGER, /* no part of an answer: unsolicited, noise */
	IOT_AT_PART,     /* a line of the answer, more follow */
	IOT_AT_OK,       /* the answer is complete (but for `more` raw lines) */
	IOT_AT_ERROR     /* the same, and the board refused */
};

struct iot_at_answer {
	bool ok;
	int code;             /* of a refusal; -1: none given */
	struct iot_buf text;  /* the final line's detail, as it came */
	struct iot_buf lines; /* the lines of the answer, each followed by LF */
	bool pem_follows;     /* the dialect says that lines come whose number it does not know */
};
#define IOT_AT_ANSWER_INIT                                                                                             \
	{                                                                                                              \
		false, -1, IOT_BUF_INIT(IOT_SERIAL_LINE_MAX), IOT_BUF_INIT(IOT_SERIAL_LINE_MAX), false                 \
	}
void iot_at_answer_release(struct iot_at_answer *answer);

struct iot_at_dialect {
	const char *name;
	const char *eol;   /* what ends a command */
	const char *probe; /* a command that changes nothing and is answered at once, by its final line alone */
	/*
	 * Another such command, and whether an answer can only be its own: neither the probe's nor that of anything
	 * said earlier. With it a line is in step after one exchange; NULL: silence after the probe has to prove it.
	 */
	const char *proof;
	bool (*proves)(const struct iot_at_answer *answer, void *data);
	/* Sent on the third try to get back into step and every other one then: leaves a paste that was cut. NULL:
	 * nothing. */
	const char *unwind;
	/*
	 * What the board says when it wants data: a character that begins a line, without an end ('>'; '\0': it never
	 * does), or a whole line, as some firmware has it instead. NULL: it never does.
	 */
	char prompt;
	const char *prompt_line;
	/* Judge a line. Fills ok, code, text of `answer`; *ret_more: raw lines that belong to it. */
	enum iot_at_verdict (*judge)(const char *line, size_t len, struct iot_at_answer *answer, int *ret_more);
	int retries; /* of a command that may be repeated; further tries after the first */
	/* Is this refusal one that a broken wire explains, so that a repetition may help? NULL: none is. */
	bool (*garbled)(int code);
};

struct iot_at {
	struct iot_serial *serial; /* borrowed */
	const struct iot_at_dialect *dialect;
	/*
	 * Lines that are no part of an answer; borrowed during the call. May be NULL. Not those that come while a
	 * secret is said and answered: they may be its echo, and callers log what they get.
	 */
	void (*stranger)(const char *line, size_t len, void *data);
	void *data;         /* for this and for the dialect's `proves` */
	int probe_ms;       /* the probe is answered within this, however slow the board; 0: 4 s */
	bool in_step;       /* private: the next line will be the answer */
	int owed;           /* private: commands that were said and not answered */
	bool echo_may_come; /* private: a secret was said and not answered */
	unsigned resyncs;   /* how often it had to be brought back into step */
	unsigned retries;   /* how often a command was said again, but for those that were refused alike each time */
};

/* One part of a command. Text up to its NUL. */
struct iot_at_text {
	const char *text;
	bool secret;
};
#define IOT_AT_TEXTS(...) ((const struct iot_at_text[]){__VA_ARGS__, {NULL, false}})

struct iot_at_call {
	const struct iot_at_text *texts; /* ends with text NULL; the end of line is added */
	int timeout_ms;
	bool once; /* has an effect that must not happen twice: never said again */
};

/*
 * Bring both sides into step: end what was half said, and ask the probe until all
 * answers that are owed, and nothing else, have come. IOT_BOARD with a hint
 * (wrong port, speed, wires) when nothing answers; with what came instead when
 * something else did: at once when it is the same line, promptly, to probe after
 * probe, which is how another kind of board says that it does not know them.
 */
IOT_CHECK enum iot_status iot_at_sync(struct iot_at *at, int timeout_ms, struct iot_error *err);

/*
 * Say a command and take its answer (cleared first). A refusal is no fault
 * here: IOT_OK with answer->ok false. A command that got no answer, or a garbled
 * one, is said again unless it is `once`.
 */
IOT_CHECK enum iot_status iot_at_call(struct iot_at *at, const struct iot_at_call *call, struct iot_at_answer *answer,
				      struct iot_error *err);

/*
 * Say a command that makes the board ask for data, give it these bytes and no others when it does, and take its answer.
 * Never said again: what the board holds after a fault is for the caller to find out. A refusal, before the data or
 * after it, is no fault. call->timeout_ms is for the prompt and for the answer each.
 */
IOT_CHECK enum iot_status iot_at_data(struct iot_at *at, const struct iot_at_call *call,
				      const struct iot_serial_part *data, struct iot_at_answer *answer,
				      struct iot_error *err);

/*
 * Is this line a refusal as any kind of AT board gives it ("ERROR", "+CME ERROR: 3", "ERR3 COMMAND NOT FOUND")? For
 * `judge`, behind the dialect's own: a board of another kind is not waited for until its time is up.
 */
bool iot_at_refuses(const char *line, size_t len);

/* For answers with lines of unknown number: the next line, raw. */
IOT_CHECK enum iot_status iot_at_read_line(struct iot_at *at, struct iot_buf *line, int timeout_ms,
					   struct iot_error *err);
/* For pastes: send lines as they are (never said again). */
IOT_CHECK enum iot_status iot_at_send_raw(struct iot_at *at, const char *text, int timeout_ms, struct iot_error *err);
/* For a second final line ("OK COMPLETE"): wait for one without sending. */
IOT_CHECK enum iot_status iot_at_await(struct iot_at *at, int timeout_ms, struct iot_at_answer *answer,
				       struct iot_error *err);
/* Something went wrong above the engine: do not trust the next line. */
void iot_at_out_of_step(struct iot_at *at);

#endif
