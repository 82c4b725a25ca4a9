/*
 * A serial line: opened for this process alone, raw, with a deadline on every
 * wait. Works on UARTs, USB adapters, ptys, and links to one (termios(3),
 * tty_ioctl(4)).
 *
 * Opening does not touch DTR and RTS beyond what the kernel does by itself, and
 * closing leaves them as they are (HUPCL off): many boards are reset by them.
 *
 * Faults: IOT_BOARD port missing, in use, gone, or refused; IOT_TIMEOUT the
 * deadline passed; IOT_INTERRUPTED the interrupt descriptor became readable.
 */
#ifndef IOTCTL_SERIAL_H
#define IOTCTL_SERIAL_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <jansson.h>
#include <stdint.h>

struct iot_serial;

#define IOT_SERIAL_LINE_MAX (64 * 1024) /* default limit of a line */

enum iot_serial_pulse { IOT_SERIAL_NO_PULSE, IOT_SERIAL_PULSE_DTR, IOT_SERIAL_PULSE_RTS };

struct iot_serial_options {
	const char *path;
	int baud;                    /* a standard rate; 0: 115200. Always 8N1, no flow control */
	enum iot_serial_pulse pulse; /* reset the board after opening: this line off for 100 ms, then on */
	int interrupt_fd;            /* readable: every wait ends with IOT_INTERRUPTED; below 0: none */
	size_t line_max;             /* longest line kept; 0: IOT_SERIAL_LINE_MAX */
	const char *transcript;      /* file (0600) that everything said is appended to; NULL: none */
	/* The same to a function; `out` true: sent. Lines as the file has them, without newline. May be NULL. */
	void (*said)(bool out, const char *line, void *data);
	void *data;
	const char *proc; /* NULL: "/proc"; tests give another */
};

/*
 * Open. A port that another process holds is IOT_BOARD, naming that process
 * where /proc tells. When ModemManager runs and the port is a ttyACM or
 * ttyUSB, a warning is logged: it talks to any new port for some seconds.
 */
IOT_CHECK enum iot_status iot_serial_open(const struct iot_serial_options *options, struct iot_serial **ret,
					  struct iot_error *err);
/*
 * Hold a port for this process without talking on it, while a program that it starts does: IOT_BOARD as above when another
 * process has it. Closing *ret_fd gives it free.
 */
IOT_CHECK enum iot_status iot_serial_hold(const char *path, int *ret_fd, struct iot_error *err);
void iot_serial_close(struct iot_serial *serial);
void iot_serial_close_p(struct iot_serial **serial); /* for IOT_CLEAN */
const char *iot_serial_path(const struct iot_serial *serial);

/* A run of bytes to send. Secret ones never get into a transcript, nor does their length. */
struct iot_serial_part {
	const void *data;
	size_t len;
	bool secret;
};
/* Hand it all to the port by the deadline (iot_deadline()). */
IOT_CHECK enum iot_status iot_serial_write(struct iot_serial *serial, const struct iot_serial_part *parts, size_t count,
					   int64_t deadline, struct iot_error *err);

/*
 * One line into `line` (cleared first), without its LF and one CR before it. Of a
 * line longer than the limit the rest is dropped: *ret_cut (may be NULL) tells.
 */
IOT_CHECK enum iot_status iot_serial_read_line(struct iot_serial *serial, struct iot_buf *line, bool *ret_cut,
					       int64_t deadline, struct iot_error *err);
/* At least one byte, at most max. */
IOT_CHECK enum iot_status iot_serial_read(struct iot_serial *serial, void *data, size_t max, size_t *ret_len,
					  int64_t deadline, struct iot_error *err);

/*
 * Forget what came in, until nothing came for quiet_ms. *ret_dropped (may be
 * NULL): how many bytes. IOT_TIMEOUT when it never falls silent.
 */
IOT_CHECK enum iot_status iot_serial_settle(struct iot_serial *serial, int quiet_ms, int64_t deadline,
					    size_t *ret_dropped, struct iot_error *err);

/*
 * While on, what comes in is left out of the transcript (it may echo a secret);
 * iot_serial_note() puts a line of the caller's into it.
 */
void iot_serial_hide(struct iot_serial *serial, bool on);
void iot_serial_note(struct iot_serial *serial, const char *text);

/*
 * The ports of this machine: array of {port, description, transport, vendorId?,
 * productId?, manufacturer?, product?, serialNumber?, usedBy?}.
 */
IOT_CHECK enum iot_status iot_serial_ports(json_t **ret_records, struct iot_error *err);
/* Who has a port open besides us: "minicom (process 123)", new memory; NULL: nobody that we may see. */
char *iot_serial_user(const char *path, const char *proc);
/* Does a ModemManager run? */
bool iot_serial_modem_manager(const char *proc);

#endif
