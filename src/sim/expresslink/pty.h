/*
 * The wire: a pseudo terminal whose host end appears under a name of our choice,
 * with bytes paced like those of a UART, if that is wanted, in both directions.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_PTY_H
#define IOTCTL_SIM_EXPRESSLINK_PTY_H

#include "iotctl/buf.h"

#include <stdint.h>

struct sim_pty {
	int master; /* non-blocking */
	int opened; /* inotify: readable when somebody opens the host's end */
	char *link;
	char name[64];
	bool listener;         /* somebody holds the host's end open */
	int64_t byte_ns;       /* on the wire; 0: no time at all */
	int64_t in_at, out_at; /* when the wire is free again, ns of the monotonic clock */
	struct iot_buf in;     /* on its way from the host */
};

/* `link` is replaced if it is a symbolic link already; anything else is IOT_CONFLICT. baud 0: no pacing. */
IOT_CHECK enum iot_status sim_pty_open(const char *link, int baud, struct sim_pty *ret, struct iot_error *err);
/* Removes the link, if it is still ours. */
void sim_pty_close(struct sim_pty *pty);

/* Fetch what the host sent into `in`. False when nobody holds the host's end any more. */
bool sim_pty_read(struct sim_pty *pty);
/* How much of `in` has arrived by now. */
size_t sim_pty_arrived(const struct sim_pty *pty);
/* Send of `out` what the wire takes now. What is sent while nobody listens is lost, as on a wire. */
void sim_pty_write(struct sim_pty *pty, struct iot_buf *out);
/* Nanoseconds until either direction can go on; -1: nothing to wait for. */
int64_t sim_pty_wait(const struct sim_pty *pty, const struct iot_buf *out);
/* After the inotify descriptor was readable. */
void sim_pty_opened(struct sim_pty *pty);

#endif
