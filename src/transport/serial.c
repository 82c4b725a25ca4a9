/*
 * A serial line: opened for one process, raw, every wait with a deadline and an
 * end when the program is interrupted. What comes in is kept until it is asked
 * for, so a deadline that passes in the middle of a line loses nothing.
 */
#include "iotctl/serial.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK 4096
#define PULSE_US 100000
#define MEM_MAJOR 1 /* /dev/null and its like: Documentation/admin-guide/devices.txt */

struct iot_serial {
	char *path;
	int fd;
	int interrupt_fd;
	bool is_pty;
	bool restore; /* `before` holds the settings the port had */
	struct termios before;
	struct iot_buf in; /* what came and was not asked for yet */
	bool cut;          /* the line at the front of `in` has lost its end */
	size_t line_max;
	FILE *transcript;
	void (*said)(bool out, const char *line, void *data);
	void *data;
	bool hidden;
	int64_t opened_at;
};

/* --- the transcript ----------------------------------------------------------------- */

static void record(struct iot_serial *serial, bool out, const char *line)
{
	int64_t t = iot_monotonic_ms() - serial->opened_at;

	if (serial->transcript != NULL)
		fprintf(serial->transcript, "%6d.%03d %c %s\n", (int)(t / 1000), (int)(t % 1000), out ? '>' : '<',
			line);
	if (serial->said != NULL)
		serial->said(out, line, serial->data);
}

static bool recording(const struct iot_serial *serial)
{
	return serial->transcript != NULL || serial->said != NULL;
}

/* Bytes as one printable line: a line feed at the end is understood, all else that is not printable is escaped. */
static void printable(const char *data, size_t len, struct iot_buf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)data[i];

		if (c == '\n' && i + 1 == len)
			break;
		if (c == '\n')
			iot_buf_adds(out, "\\n");
		else if (c == '\r')
			iot_buf_adds(out, "\\r");
		else if (c < ' ' || c >= 0x7f)
			iot_buf_addf(out, "\\x%02x", c);
		else
			iot_buf_addc(out, (char)c);
	}
}

static void record_in(struct iot_serial *serial, const char *prefix, const char *data, size_t len)
{
	struct iot_buf text = IOT_BUF_INIT(4 * IOT_SERIAL_LINE_MAX + 64);

	if (!recording(serial) || serial->hidden)
		return;
	iot_buf_adds(&text, prefix);
	printable(data, len, &text);
	record(serial, false, iot_buf_str(&text));
	iot_buf_release(&text);
}

static void record_out(struct iot_serial *serial, const struct iot_serial_part *parts, size_t count)
{
	struct iot_buf text = IOT_BUF_INIT(4 * IOT_SERIAL_LINE_MAX + 64);

	if (!recording(serial))
		return;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].secret)
			iot_buf_adds(&text, "<secret>");
		else
			printable(parts[i].data, parts[i].len, &text);
	}
	record(serial, true, iot_buf_str(&text));
	iot_buf_release(&text);
}

void iot_serial_hide(struct iot_serial *serial, bool on)
{
	serial->hidden = on;
}

void iot_serial_note(struct iot_serial *serial, const char *text)
{
	if (recording(serial))
		record(serial, false, text);
}

static enum iot_status open_transcript(struct iot_serial *serial, const char *path, struct iot_error *err)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write transcript '%s'", path);
	serial->transcript = fdopen(fd, "a");
	if (serial->transcript == NULL) {
		close(fd);
		return iot_fail(err, IOT_FAILURE, "cannot write transcript '%s'", path);
	}
	setvbuf(serial->transcript, NULL, _IOLBF, 0);
	return IOT_OK;
}

/* --- opening -------------------------------------------------------------------------- */

static enum iot_status in_use(const char *path, const char *proc, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *user = iot_serial_user(path, proc);

	if (user != NULL)
		iot_fail(err, IOT_BOARD, "port '%s' is in use by %s", path, user);
	else
		iot_fail(err, IOT_BOARD, "port '%s' is in use by another process", path);
	iot_error_hint(err, "end it, or name another port ('iotctl board list')");
	return IOT_BOARD;
}

static enum iot_status open_fault(const char *path, const char *proc, int errnum, struct iot_error *err)
{
	if (errnum == EBUSY)
		return in_use(path, proc, err);
	iot_fail_errno(err, IOT_BOARD, errnum, "cannot open port '%s'", path);
	if (errnum == EACCES)
		iot_error_hint(err, "join the group that owns it (often 'dialout') and log in again");
	else if (errnum == ENOENT || errnum == ENXIO || errnum == EIO)
		iot_error_hint(err, "is it plugged in? 'iotctl board list' shows the ports");
	return IOT_BOARD;
}

static enum iot_status no_serial_port(const char *path, struct iot_error *err)
{
	iot_fail(err, IOT_BOARD, "'%s' is not a serial port", path);
	iot_error_hint(err, "'iotctl board list' shows the ports");
	return IOT_BOARD;
}

static bool speed_of(int baud, speed_t *ret)
{
	static const struct {
		int baud;
		speed_t speed;
	} speeds[] = {{1200, B1200},     {2400, B2400},     {4800, B4800},     {9600, B9600},      {19200, B19200},
		      {38400, B38400},   {57600, B57600},   {115200, B115200}, {230400, B230400},  {460800, B460800},
		      {500000, B500000}, {576000, B576000}, {921600, B921600}, {1000000, B1000000}};

	for (size_t i = 0; i < IOT_LENGTH(speeds); i++) {
		if (speeds[i].baud == baud) {
			*ret = speeds[i].speed;
			return true;
		}
	}
	return false;
}

static enum iot_status set_raw(struct iot_serial *serial, speed_t speed, struct iot_error *err)
{
	struct termios raw;

	if (tcgetattr(serial->fd, &serial->before) != 0)
		return no_serial_port(serial->path, err);
	raw = serial->before;
	cfmakeraw(&raw);
	raw.c_cflag &= ~(tcflag_t)(CSTOPB | CRTSCTS | HUPCL | PARENB | CSIZE);
	raw.c_cflag |= CS8 | CREAD | CLOCAL;
	raw.c_iflag &= ~(tcflag_t)(IXON | IXOFF | IXANY | INPCK);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	if (cfsetspeed(&raw, speed) != 0 || tcsetattr(serial->fd, TCSANOW, &raw) != 0)
		return iot_fail_errno(err, IOT_BOARD, errno, "cannot set up port '%s'", serial->path);
	serial->restore = true;
	return IOT_OK;
}

static enum iot_status claim(struct iot_serial *serial, const char *proc, struct iot_error *err)
{
	if (flock(serial->fd, LOCK_EX | LOCK_NB) != 0)
		return in_use(serial->path, proc, err);
	/* On a pty the mark would outlive this process when it is killed, since the other side stays open. */
	if (!serial->is_pty && ioctl(serial->fd, TIOCEXCL) != 0)
		return iot_fail_errno(err, IOT_BOARD, errno, "cannot take port '%s' for this process alone",
				      serial->path);
	return IOT_OK;
}

static enum iot_status pulse(struct iot_serial *serial, enum iot_serial_pulse which, struct iot_error *err)
{
	int line = which == IOT_SERIAL_PULSE_DTR ? TIOCM_DTR : TIOCM_RTS;

	if (which == IOT_SERIAL_NO_PULSE)
		return IOT_OK;
	if (ioctl(serial->fd, TIOCMBIC, &line) != 0 || usleep(PULSE_US) != 0 || ioctl(serial->fd, TIOCMBIS, &line) != 0)
		return iot_fail_errno(err, IOT_BOARD, errno, "cannot pulse the %s line of port '%s'",
				      which == IOT_SERIAL_PULSE_DTR ? "DTR" : "RTS", serial->path);
	return IOT_OK;
}

static void warn_of_modem_manager(const char *path, const char *proc)
{
	IOT_CLEAN(iot_free_p) char *real = realpath(path, NULL);
	const char *slash = real != NULL ? strrchr(real, '/') : NULL;
	const char *name = slash != NULL ? slash + 1 : path;

	if ((iot_starts_with(name, "ttyACM") || iot_starts_with(name, "ttyUSB")) && iot_serial_modem_manager(proc))
		iot_warn("ModemManager runs and talks to new ports like '%s': wait some seconds after plugging in, or "
			 "stop it ('systemctl stop ModemManager')",
			 path);
}

/* Is this a character device, a pty, and free as far as one can see? Looked at before opening, which moves DTR. */
static enum iot_status look(struct iot_serial *serial, const char *proc, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *user = NULL;
	struct stat st;

	if (stat(serial->path, &st) != 0)
		return open_fault(serial->path, proc, errno, err);
	if (!S_ISCHR(st.st_mode) || major(st.st_rdev) == MEM_MAJOR)
		return no_serial_port(serial->path, err);
	/* Documentation/admin-guide/devices.txt: 136 to 143 are the ptys; the other side may well hold ours open. */
	serial->is_pty = major(st.st_rdev) >= 136 && major(st.st_rdev) <= 143;
	if (serial->is_pty)
		return IOT_OK;
	user = iot_serial_user(serial->path, proc);
	return user != NULL ? in_use(serial->path, proc, err) : IOT_OK;
}

static enum iot_status set_up(struct iot_serial *serial, const struct iot_serial_options *options, speed_t speed,
			      struct iot_error *err)
{
	enum iot_status status = look(serial, options->proc, err);

	if (status != IOT_OK)
		return status;
	serial->fd = open(serial->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (serial->fd < 0)
		return open_fault(serial->path, options->proc, errno, err);
	status = claim(serial, options->proc, err);
	if (status == IOT_OK)
		status = set_raw(serial, speed, err);
	if (status == IOT_OK)
		status = pulse(serial, options->pulse, err);
	if (status == IOT_OK && options->transcript != NULL)
		status = open_transcript(serial, options->transcript, err);
	if (status == IOT_OK)
		warn_of_modem_manager(serial->path, options->proc);
	return status;
}

enum iot_status iot_serial_open(const struct iot_serial_options *options, struct iot_serial **ret,
				struct iot_error *err)
{
	int baud = options->baud != 0 ? options->baud : 115200;
	struct iot_serial *serial;
	enum iot_status status;
	speed_t speed;

	if (!speed_of(baud, &speed))
		return iot_fail(err, IOT_USAGE, "%d is not a speed that serial ports have", baud);
	serial = iot_alloc(sizeof(*serial));
	serial->path = iot_strdup(options->path);
	serial->fd = -1;
	serial->interrupt_fd = options->interrupt_fd;
	serial->line_max = options->line_max != 0 ? options->line_max : IOT_SERIAL_LINE_MAX;
	serial->in.max = serial->line_max + 2 * CHUNK;
	serial->in.secret = true; /* a board may echo one */
	serial->said = options->said;
	serial->data = options->data;
	serial->opened_at = iot_monotonic_ms();
	status = set_up(serial, options, speed, err);
	if (status != IOT_OK) {
		iot_serial_close(serial);
		return status;
	}
	*ret = serial;
	return IOT_OK;
}

enum iot_status iot_serial_hold(const char *path, int *ret_fd, struct iot_error *err)
{
	struct iot_serial looked = {.path = (char *)(uintptr_t)path};
	enum iot_status status = look(&looked, NULL, err);
	int fd;

	if (status != IOT_OK)
		return status;
	fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return open_fault(path, NULL, errno, err);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		close(fd);
		return in_use(path, NULL, err);
	}
	*ret_fd = fd;
	return IOT_OK;
}

void iot_serial_close(struct iot_serial *serial)
{
	if (serial == NULL)
		return;
	if (serial->restore) {
		/* As it was found, but closing must not drop DTR and RTS. */
		serial->before.c_cflag &= ~(tcflag_t)HUPCL;
		(void)tcsetattr(serial->fd, TCSANOW, &serial->before);
	}
	if (serial->fd >= 0) {
		if (!serial->is_pty)
			(void)ioctl(serial->fd, TIOCNXCL);
		close(serial->fd);
	}
	if (serial->transcript != NULL)
		fclose(serial->transcript);
	iot_buf_release(&serial->in);
	free(serial->path);
	free(serial);
}

void iot_serial_close_p(struct iot_serial **serial)
{
	iot_serial_close(*serial);
	*serial = NULL;
}

const char *iot_serial_path(const struct iot_serial *serial)
{
	return serial->path;
}

/* --- waiting, reading, writing ----------------------------------------------------------- */

static enum iot_status gone(struct iot_serial *serial, int errnum, struct iot_error *err)
{
	if (errnum != 0 && errnum != EIO && errnum != ENXIO && errnum != ENODEV)
		return iot_fail_errno(err, IOT_BOARD, errnum, "port '%s' failed", serial->path);
	iot_fail(err, IOT_BOARD, "port '%s' is gone", serial->path);
	iot_error_hint(err, "plug the board in again and do the same again: it goes on where it was");
	return IOT_BOARD;
}

static enum iot_status wait_for(struct iot_serial *serial, short events, int64_t deadline, struct iot_error *err)
{
	struct pollfd fds[2] = {{serial->fd, events, 0}, {serial->interrupt_fd, POLLIN, 0}};

	for (;;) {
		int rc = poll(fds, 2, iot_left(deadline));

		if (rc < 0 && errno != EINTR)
			return iot_fail_errno(err, IOT_BOARD, errno, "cannot wait for port '%s'", serial->path);
		if (rc > 0 && fds[1].revents != 0)
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (rc > 0 && (fds[0].revents & events) != 0)
			return IOT_OK;
		if (rc > 0)
			return gone(serial, 0, err);
		if (iot_left(deadline) == 0)
			return iot_fail(err, IOT_TIMEOUT, "port '%s' was silent", serial->path);
	}
}

/* Wait for input and put it into `in`, which has room. */
static enum iot_status fill(struct iot_serial *serial, int64_t deadline, struct iot_error *err)
{
	enum iot_status status = wait_for(serial, POLLIN, deadline, err);
	char *to;
	ssize_t got;

	if (status != IOT_OK)
		return status;
	to = iot_buf_reserve(&serial->in, CHUNK);
	if (to == NULL)
		return iot_fail(err, IOT_BOARD, "port '%s' sends more than anybody asked for", serial->path);
	got = read(serial->fd, to, CHUNK);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return IOT_OK;
	if (got <= 0)
		return gone(serial, got < 0 ? errno : 0, err);
	serial->in.len += (size_t)got;
	return IOT_OK;
}

/* Take the line that ends before `end` from the front of `in`. */
static void take_line(struct iot_serial *serial, size_t end, struct iot_buf *line, bool *ret_cut)
{
	size_t len = end < serial->line_max ? end : serial->line_max;
	bool cut = serial->cut || end > serial->line_max;

	if (!cut && len > 0 && serial->in.data[len - 1] == '\r')
		len--;
	iot_buf_add(line, serial->in.data, len);
	record_in(serial, cut ? "(cut) " : "", serial->in.data, len);
	iot_buf_consume(&serial->in, end + 1);
	serial->cut = false;
	if (ret_cut != NULL)
		*ret_cut = cut;
}

enum iot_status iot_serial_read_line(struct iot_serial *serial, struct iot_buf *line, bool *ret_cut, int64_t deadline,
				     struct iot_error *err)
{
	size_t looked = 0;

	iot_buf_clear(line);
	for (;;) {
		const char *end = serial->in.len > looked
					  ? memchr(serial->in.data + looked, '\n', serial->in.len - looked)
					  : NULL;
		enum iot_status status;

		if (end != NULL) {
			take_line(serial, (size_t)(end - serial->in.data), line, ret_cut);
			return IOT_OK;
		}
		if (serial->in.len > serial->line_max) {
			serial->in.len = serial->line_max;
			serial->cut = true;
		}
		looked = serial->in.len;
		status = fill(serial, deadline, err);
		if (status != IOT_OK)
			return status;
	}
}

enum iot_status iot_serial_read(struct iot_serial *serial, void *data, size_t max, size_t *ret_len, int64_t deadline,
				struct iot_error *err)
{
	while (serial->in.len == 0) {
		enum iot_status status = fill(serial, deadline, err);

		if (status != IOT_OK)
			return status;
	}
	*ret_len = serial->in.len < max ? serial->in.len : max;
	memcpy(data, serial->in.data, *ret_len);
	record_in(serial, "", serial->in.data, *ret_len);
	iot_buf_consume(&serial->in, *ret_len);
	return IOT_OK;
}

enum iot_status iot_serial_write(struct iot_serial *serial, const struct iot_serial_part *parts, size_t count,
				 int64_t deadline, struct iot_error *err)
{
	record_out(serial, parts, count);
	for (size_t i = 0; i < count; i++) {
		const char *data = parts[i].data;
		size_t left = parts[i].len;

		while (left > 0) {
			ssize_t put = write(serial->fd, data, left);
			enum iot_status status;

			if (put > 0) {
				data += put;
				left -= (size_t)put;
				continue;
			}
			if (put < 0 && errno != EAGAIN && errno != EINTR)
				return gone(serial, errno, err);
			status = wait_for(serial, POLLOUT, deadline, err);
			if (status == IOT_TIMEOUT)
				return iot_fail(err, IOT_TIMEOUT, "port '%s' does not take what is sent", serial->path);
			if (status != IOT_OK)
				return status;
		}
	}
	return IOT_OK;
}

enum iot_status iot_serial_settle(struct iot_serial *serial, int quiet_ms, int64_t deadline, size_t *ret_dropped,
				  struct iot_error *err)
{
	struct iot_error quiet = IOT_ERROR_INIT;
	size_t dropped = 0;
	enum iot_status status = IOT_OK;

	while (status == IOT_OK) {
		if (serial->in.len > 0)
			record_in(serial, "(dropped) ", serial->in.data, serial->in.len);
		dropped += serial->in.len;
		iot_buf_clear(&serial->in);
		serial->cut = false;
		if (iot_left(deadline) == 0)
			return iot_fail(err, IOT_TIMEOUT, "port '%s' never falls silent", serial->path);
		iot_error_clear(&quiet);
		status = fill(serial, iot_deadline(quiet_ms), &quiet);
	}
	if (ret_dropped != NULL)
		*ret_dropped = dropped;
	if (status == IOT_TIMEOUT)
		return IOT_OK;
	if (err != NULL)
		*err = quiet;
	return status;
}
