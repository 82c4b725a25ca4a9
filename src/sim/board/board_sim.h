/*
 * A software board on a pty, whatever its dialect: the frame has the wire, the
 * faults, the folder that is its flash, and its loop; a kind of board is one file
 * with a row in kinds.c that eats bytes and says bytes.
 */
#ifndef IOTCTL_SIM_BOARD_H
#define IOTCTL_SIM_BOARD_H

#include "iotctl/sim.h"
#include "sim/expresslink/faults.h"

#include <jansson.h>

struct board_sim;

struct board_sim_kind {
	const char *name, *summary;
	/* Faults of its own, NULL-terminated, besides those of the wire, slow=TIME and reset@COMMAND[#N]. */
	const char *const *faults;
	/* Power comes: RAM is empty, `state` is what was saved. Returns what `self` is to be. */
	void *(*power_on)(struct board_sim *board);
	void (*power_off)(struct board_sim *board); /* frees self */
	/* A byte from the host. */
	void (*feed)(struct board_sim *board, char c);
	/*
	 * What goes on besides the wire, a connection to a broker; both may be NULL. A descriptor with the poll(2)
	 * events that it wants (-1: none now), and what is to be done once in each turn, at least once a second.
	 */
	int (*watch)(struct board_sim *board, short *ret_events);
	void (*work)(struct board_sim *board, short revents);
};
extern const struct board_sim_kind *const board_sim_kinds[]; /* NULL-terminated */
extern const struct board_sim_kind board_sim_freertos, board_sim_nrf91, board_sim_sim7600, board_sim_zephyr;

/* NAME or NAME@COMMAND[#N]: always, or while a command that begins like this is carried out, perhaps the Nth time only.
 */
struct board_sim_fault {
	char *name, *command;
	int64_t nth, heard;
};

struct board_sim {
	const struct board_sim_kind *kind;
	const struct iot_sim_board_options *options;
	void (*event)(const char *name, const char *detail, void *data);
	void *event_data;
	char *dir;
	json_t *state;      /* object: its flash; in the file after board_sim_save() */
	struct iot_buf out; /* what it says */
	void *self;
	bool cut_power; /* set by board_sim_command() */
	int64_t delay_ms;
	int64_t say_at; /* monotonic; what is in `out` is not said before */
	struct module_faults wire;
	struct board_sim_fault faults[FAULT_COUNT_MAX];
	size_t fault_count;
};

/* --- for kinds (frame.c) --------------------------------------------------------------- */

/* A command begins to be carried out. False: power is cut instead, and it must not be. Faults are counted here. */
bool board_sim_command(struct board_sim *board, const char *command);
/* Is this fault on, for this command? After board_sim_command(). */
bool board_sim_fault(const struct board_sim *board, const char *name, const char *command);
void board_sim_say(struct board_sim *board, const char *fmt, ...) IOT_PRINTF(2, 3);
/* State to the file, as a whole. */
void board_sim_save(struct board_sim *board);
/* An event for whoever watches, and a line of the log. */
void board_sim_tell(struct board_sim *board, const char *name, const char *fmt, ...) IOT_PRINTF(3, 4);

#endif
