/*
 * The host's end is not held open here, so that only hosts use it; while none
 * does, Linux reports a hang-up on our end all the time, so we wait for an open
 * by inotify instead.
 */
#include "sim/expresslink/pty.h"

#include "iotctl/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { BITS_PER_BYTE = 10, IN_MAX = 64 * 1024, PIECE = 4096, GRANULE_BYTES = 8 };

#define NS_PER_S INT64_C(1000000000)

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* A new terminal echoes and edits lines until somebody says otherwise. */
static int make_raw(const char *name)
{
	struct termios mode;
	int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	int done;

	if (fd < 0)
		return -1;
	done = tcgetattr(fd, &mode);
	if (done == 0) {
		cfmakeraw(&mode);
		cfsetspeed(&mode, B115200);
		done = tcsetattr(fd, TCSANOW, &mode);
	}
	close(fd);
	return done;
}

/* The link appears complete, in place of an older one. */
static enum iot_status make_link(const struct sim_pty *pty, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *temporary = iot_strf("%s.tmp", pty->link);
	struct stat st;

	if (lstat(pty->link, &st) == 0 && !S_ISLNK(st.st_mode))
		return iot_fail(err, IOT_CONFLICT, "'%s' exists and is not a link of ours", pty->link);
	unlink(temporary);
	if (symlink(pty->name, temporary) != 0 || rename(temporary, pty->link) != 0) {
		int fault = errno;

		unlink(temporary);
		return iot_fail_errno(err, IOT_FAILURE, fault, "cannot make the link '%s'", pty->link);
	}
	return IOT_OK;
}

enum iot_status sim_pty_open(const char *link, int baud, struct sim_pty *ret, struct iot_error *err)
{
	struct sim_pty pty = {.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), .opened = -1};
	enum iot_status status = IOT_OK;

	pty.in = (struct iot_buf)IOT_BUF_INIT(IN_MAX);
	pty.byte_ns = baud > 0 ? NS_PER_S * BITS_PER_BYTE / baud : 0;
	pty.link = iot_strdup(link);
	if (pty.master < 0 || grantpt(pty.master) != 0 || unlockpt(pty.master) != 0 ||
	    ptsname_r(pty.master, pty.name, sizeof(pty.name)) != 0 || make_raw(pty.name) != 0 ||
	    fcntl(pty.master, F_SETFL, O_NONBLOCK) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a pseudo terminal");
	if (status == IOT_OK) {
		pty.opened = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
		if (pty.opened < 0 || inotify_add_watch(pty.opened, pty.name, IN_OPEN) < 0)
			status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot watch '%s'", pty.name);
	}
	if (status == IOT_OK)
		status = make_link(&pty, err);
	if (status != IOT_OK) {
		pty.name[0] = '\0';
		sim_pty_close(&pty);
		return status;
	}
	*ret = pty;
	return IOT_OK;
}

void sim_pty_close(struct sim_pty *pty)
{
	char target[PATH_MAX];
	ssize_t n = pty->link != NULL ? readlink(pty->link, target, sizeof(target) - 1) : -1;

	if (n > 0) {
		target[n] = '\0';
		if (strcmp(target, pty->name) == 0)
			unlink(pty->link);
	}
	iot_close_p(&pty->master);
	iot_close_p(&pty->opened);
	iot_buf_release(&pty->in);
	free(pty->link);
	*pty = (struct sim_pty){.master = -1, .opened = -1};
}

void sim_pty_opened(struct sim_pty *pty)
{
	char events[sizeof(struct inotify_event) + NAME_MAX + 1];

	while (read(pty->opened, events, sizeof(events)) > 0)
		pty->listener = true;
}

bool sim_pty_read(struct sim_pty *pty)
{
	char piece[PIECE];
	size_t room = IN_MAX - pty->in.len;
	ssize_t n;

	if (room == 0)
		return true; /* the host waits, as it would for a full FIFO */
	n = read(pty->master, piece, room < PIECE ? room : PIECE);
	if (n < 0 && errno == EIO)
		pty->listener = false;
	if (n <= 0)
		return pty->listener;
	pty->listener = true;
	iot_buf_add(&pty->in, piece, (size_t)n);
	if (pty->byte_ns > 0) {
		int64_t now = now_ns();

		pty->in_at = (pty->in_at > now ? pty->in_at : now) + n * pty->byte_ns;
	}
	return true;
}

size_t sim_pty_arrived(const struct sim_pty *pty)
{
	int64_t left = pty->byte_ns > 0 ? pty->in_at - now_ns() : 0;
	size_t under_way = left > 0 ? (size_t)((left + pty->byte_ns - 1) / pty->byte_ns) : 0;

	return under_way < pty->in.len ? pty->in.len - under_way : 0;
}

void sim_pty_write(struct sim_pty *pty, struct iot_buf *out)
{
	int64_t now = pty->byte_ns > 0 ? now_ns() : 0;
	size_t take = out->len;
	ssize_t n;

	if (take == 0)
		return;
	if (pty->byte_ns > 0) {
		if (pty->out_at == 0)
			pty->out_at = now; /* the wire was idle */
		if ((now - pty->out_at) / pty->byte_ns < (int64_t)take)
			take = (size_t)((now - pty->out_at) / pty->byte_ns);
	}
	if (take == 0)
		return;
	n = pty->listener ? write(pty->master, out->data, take) : (ssize_t)take;
	if (n <= 0)
		return; /* the host does not read */
	iot_buf_consume(out, (size_t)n);
	pty->out_at = out->len == 0 ? 0 : pty->out_at + n * pty->byte_ns;
}

int64_t sim_pty_wait(const struct sim_pty *pty, const struct iot_buf *out)
{
	int64_t wait = -1, now = now_ns();

	if (pty->byte_ns == 0)
		return -1;
	if (pty->in.len > 0 && pty->in_at > now)
		wait = pty->in_at - now;
	if (out->len > 0) {
		int64_t bytes = out->len < GRANULE_BYTES ? (int64_t)out->len : GRANULE_BYTES;
		int64_t due = (pty->out_at > 0 ? pty->out_at : now) + bytes * pty->byte_ns - now;

		due = due > 0 ? due : 0;
		wait = wait < 0 || due < wait ? due : wait;
	}
	return wait;
}
