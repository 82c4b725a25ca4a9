/*
 * The loop. A device's descriptor changes behind our back when it reconnects,
 * often to one of the same number, and a closed descriptor leaves epoll by
 * itself: so it is registered anew whenever that may have happened. Deadlines
 * are looked through only when the earliest of them has come.
 */
#include "sim/loop.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	EVENTS_MAX = 256,
	SCAN_MS = 5, /* at most so often for many devices */
	SIGNAL_SLOT = -1
};

/* What epoll knows of a device. */
struct watch {
	int fd; /* -1: nothing */
	short events;
	unsigned connections;
};

struct loop {
	struct sim_device **devices;
	struct watch *watches;
	size_t count, ended;
	int epoll, signals;
	int64_t next; /* earliest deadline of all */
};

/* poll(2) and epoll(7) share the bits used here. */
static uint32_t epoll_bits(short events)
{
	return (uint32_t)(events & POLLIN ? EPOLLIN : 0) | (uint32_t)(events & POLLOUT ? EPOLLOUT : 0);
}

static short poll_bits(uint32_t events)
{
	return (short)((events & EPOLLIN ? POLLIN : 0) | (events & EPOLLOUT ? POLLOUT : 0) |
		       (events & EPOLLERR ? POLLERR : 0) | (events & EPOLLHUP ? POLLHUP : 0));
}

static void watch(struct loop *loop, size_t i)
{
	struct sim_device *device = loop->devices[i];
	struct watch *w = &loop->watches[i];
	int fd = sim_device_fd(device);
	short events = sim_device_poll_events(device);
	unsigned connections = sim_device_connections(device);
	struct epoll_event event = {.events = epoll_bits(events), .data.u64 = i};

	if (fd < 0) {
		w->fd = -1;
		return;
	}
	if (w->fd == fd && w->events == events && w->connections == connections && sim_device_is_connected(device))
		return;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
		epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
	*w = (struct watch){fd, events, connections};
}

/* After a device did something. */
static void settle(struct loop *loop, size_t i, bool was_ended)
{
	int64_t deadline = sim_device_deadline(loop->devices[i]);

	watch(loop, i);
	if (!was_ended && sim_device_ended(loop->devices[i], NULL))
		loop->ended++;
	if (deadline < loop->next)
		loop->next = deadline;
}

static void scan(struct loop *loop, int64_t now)
{
	loop->next = INT64_MAX;
	for (size_t i = 0; i < loop->count; i++) {
		bool was_ended = sim_device_ended(loop->devices[i], NULL);

		if (sim_device_deadline(loop->devices[i]) <= now)
			sim_device_tick(loop->devices[i]);
		settle(loop, i, was_ended);
	}
	if (loop->count > 1 && loop->next < now + SCAN_MS)
		loop->next = now + SCAN_MS;
}

static void serve(struct loop *loop, const struct epoll_event *event)
{
	size_t i = (size_t)event->data.u64;
	struct sim_device *device = loop->devices[i];
	bool was_ended = sim_device_ended(device, NULL);

	sim_device_io(device, poll_bits(event->events));
	settle(loop, i, was_ended);
}

static enum iot_status open_loop(struct loop *loop, const sigset_t *signals, struct iot_error *err)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)SIGNAL_SLOT};

	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	loop->signals = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop->epoll < 0 || loop->signals < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->signals, &event) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot set up the event loop");
	loop->watches = iot_alloc_array(loop->count + 1, sizeof(*loop->watches));
	for (size_t i = 0; i < loop->count; i++)
		loop->watches[i].fd = -1;
	return IOT_OK;
}

static int read_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void run(struct loop *loop, const struct sim_loop_options *options, int *ret_signal)
{
	int64_t end = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX;
	int64_t every = options->every_ms > 0 ? iot_deadline(options->every_ms) : INT64_MAX;
	struct epoll_event events[EVENTS_MAX];

	while (loop->ended < loop->count) {
		int64_t now = iot_monotonic_ms();
		int n;

		if (now >= end)
			return;
		if (now >= every) {
			options->every(options->data);
			every = now + options->every_ms;
		}
		if (now >= loop->next) {
			scan(loop, now);
			if (loop->ended == loop->count)
				return;
		}
		n = epoll_wait(loop->epoll, events, EVENTS_MAX, iot_left(least(loop->next, least(end, every))));
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 != (uint64_t)SIGNAL_SLOT)
				serve(loop, &events[i]);
			else if ((*ret_signal = read_signal(loop->signals)) != 0)
				return;
		}
	}
}

enum iot_status sim_loop_run(struct sim_device **devices, size_t count, const struct sim_loop_options *options,
			     int *ret_signal, struct iot_error *err)
{
	struct loop loop = {.devices = devices, .count = count, .epoll = -1, .signals = -1};
	sigset_t signals, before;
	enum iot_status status;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &before);
	*ret_signal = 0;
	status = open_loop(&loop, &signals, err);
	if (status == IOT_OK)
		run(&loop, options, ret_signal);
	iot_close_p(&loop.epoll);
	iot_close_p(&loop.signals);
	free(loop.watches);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return status;
}
