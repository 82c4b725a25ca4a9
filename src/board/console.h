/*
 * A board's command line for people, driven by a program: what is typed is
 * entered only after the board's echo has shown that it arrived as it was typed,
 * and what it prints is handed over line by line. Terminal sequences are taken
 * out; log lines that the board prints in between, with its prompt and what was
 * typed so far after them, do not disturb.
 *
 * Faults: those of the line (serial.h); IOT_BOARD when it does not answer or its
 * echo stays wrong.
 */
#ifndef IOTCTL_BOARD_CONSOLE_H
#define IOTCTL_BOARD_CONSOLE_H

#include "iotctl/serial.h"

struct console;

/* How patient dialects are with what is behind a console. */
enum {
	CONSOLE_ANSWER_MS = 5000,
	CONSOLE_GRACE_MS = 1000, /* after a prompt an answer may still come */
	CONSOLE_ASK_TRIES = 3,
	CONSOLE_READ_TRIES = 8, /* until something came twice the same */
	CONSOLE_WRITE_TRIES = 4
};

/*
 * The last line of a terminal, as a person would see it: what the board says byte by byte, sequences taken out. Of
 * those only the cursor's way to the left counts: boards that say something in the middle of a line take the line away
 * so.
 */
struct console_terminal {
	struct iot_buf line;
	enum { CONSOLE_PLAIN, CONSOLE_ESCAPE, CONSOLE_SEQUENCE } state;
	size_t number; /* in a sequence */
	bool cr;
};
/* True: the line is complete; the caller clears it. */
bool console_show(struct console_terminal *terminal, char c);

struct console_options {
	const struct iot_serial_options *serial;
	const char *name;   /* for messages: "FreeRTOS console" */
	const char *prompt; /* "> " */
	int echo_ms;        /* how long an echo may take; 0: 2 s */
	size_t columns;     /* its echo breaks lines at this width; 0: it does not */
};

enum console_verdict { CONSOLE_MORE, CONSOLE_DONE };
/*
 * Judge a line; `prompt` true: the board waits for input again, and `line` is what it printed in front of its prompt on
 * that line, mostly nothing. The prompt may come back with a log line before the answer does.
 */
typedef enum console_verdict (*console_judge)(const char *line, bool prompt, void *data);

/* Open the port and get a prompt. */
IOT_CHECK enum iot_status console_open(const struct console_options *options, struct console **ret,
				       struct iot_error *err);
void console_close(struct console *console);

/* Ctrl-C until nothing but a prompt comes: ends a line or a paste that was cut. */
IOT_CHECK enum iot_status console_sync(struct console *console, int timeout_ms, struct iot_error *err);

/* Parts of a line; ends with text NULL. With a secret one the transcript shows that a line was typed, and no more. */
struct console_text {
	const char *text;
	bool secret;
};
#define CONSOLE_TEXTS(...) ((const struct console_text[]){__VA_ARGS__, {NULL, false}})

/* Type a line, see it echoed, and enter it. It was not entered unless this succeeds. */
IOT_CHECK enum iot_status console_enter(struct console *console, const struct console_text *texts,
					struct iot_error *err);

/*
 * Lines to the judge until it is done: *ret_done true. False: a prompt came and for grace_ms nothing that the judge
 * wanted. IOT_TIMEOUT: not even a prompt came within timeout_ms.
 */
IOT_CHECK enum iot_status console_read(struct console *console, console_judge judge, void *data, int timeout_ms,
				       int grace_ms, bool *ret_done, struct iot_error *err);

/* From now on, what comes is left out of the transcript, or not any more. */
void console_hide(struct console *console, bool on);

#endif
