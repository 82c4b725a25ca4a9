/*
 * The board's end of an AT conversation (3GPP TS 27.007, ITU-T V.250), for
 * software boards: lines, echo, AT+X, AT+X=..., AT+X?, AT+X=?, arguments in
 * quotes, data after a '>', and final results. What the commands do is the
 * kind's: a table. ExpressLink speaks otherwise (sim/expresslink/at_server.h).
 */
#ifndef IOTCTL_SIM_BOARD_AT_H
#define IOTCTL_SIM_BOARD_AT_H

#include "sim/board/board_sim.h"

enum { SIM_AT_ARGS_MAX = 16 };

enum sim_at_form {
	SIM_AT_RUN = 1 << 0,  /* AT+X */
	SIM_AT_SET = 1 << 1,  /* AT+X=... */
	SIM_AT_READ = 1 << 2, /* AT+X? */
	SIM_AT_TEST = 1 << 3  /* AT+X=? */
};

struct sim_at_arg {
	const char *text; /* without its quotes; "" where it was left out. A NUL follows */
	size_t len;
	bool quoted;
};
/* Good while the command is carried out. */
struct sim_at_request {
	enum sim_at_form form;
	struct sim_at_arg args[SIM_AT_ARGS_MAX];
	size_t count; /* of arguments; those after them are "" */
};

/* What a command ends with; above 0: +CME ERROR with this number. */
enum { SIM_AT_OK = 0, SIM_AT_ERROR = -1, SIM_AT_SAID = -2 /* nothing: it was said already, or comes later */ };

struct sim_at_command {
	const char *name; /* as after "AT": "+CGSN", "%CMNG", "E0" */
	unsigned forms;   /* enum sim_at_form; others are refused */
	int (*run)(struct board_sim *board, const struct sim_at_request *request);
	bool secret; /* its arguments are left out of events and logs, and cannot be aimed at */
};

struct sim_at_options {
	const struct sim_at_command *commands; /* ends with name NULL */
	const char *urc;                       /* the line that fault `urc` puts into an answer */
	bool echo;                             /* until ATE0; ATE1 puts it on again */
	bool plain;                            /* an answer's lines have no CR LF before them, only after */
	bool lines_in_quotes;                  /* newlines inside quotes belong to the value */
	size_t line_max;                       /* a longer line is ERROR */
};

/*
 * Faults that every kind with this has, for its list: error@COMMAND it is refused; mute@COMMAND it is carried out, but
 * nothing is said; urc@COMMAND something unasked for comes before its answer. Those of the wire besides: noise,
 * silence, slow (sim/expresslink/faults.h). COMMAND is what follows "AT" or "AT+"; `half` and `data` are the moments
 * when half and when all of the data after a '>' has come.
 */
#define SIM_AT_FAULTS "error", "mute", "urc"

/* Part of what a kind keeps. RAM: gone with the power. */
struct sim_at {
	const struct sim_at_options *options;
	bool echo, in_quotes, overlong;
	struct iot_buf line;
	size_t wanted, taken_len; /* bytes of data: how many are to come in all (0: lines are read), how many came */
	struct iot_buf data;
	int (*taken)(struct board_sim *board, const struct iot_buf *data);
};

void sim_at_init(struct sim_at *at, const struct sim_at_options *options);
void sim_at_release(struct sim_at *at);
/* A byte from the host; commands are carried out from within. */
void sim_at_feed(struct board_sim *board, struct sim_at *at, char c);

/* A line of an answer, or one that nobody asked for. */
void sim_at_say(struct board_sim *board, const struct sim_at *at, const char *fmt, ...) IOT_PRINTF(3, 4);
/* A final result, later than its command. */
void sim_at_end(struct board_sim *board, const struct sim_at *at, int result);
/*
 * Say `prompt` and take exactly `len` bytes, whatever they are; then `taken` gets them and returns as commands do. To
 * be returned by a command: gives SIM_AT_SAID.
 */
int sim_at_prompt(struct board_sim *board, struct sim_at *at, const char *prompt, size_t len,
		  int (*taken)(struct board_sim *board, const struct iot_buf *data));

/* The number in an argument; false: it is none, or not from min to max. */
bool sim_at_number(const struct sim_at_arg *arg, int64_t min, int64_t max, int64_t *ret);

#endif
