/* The module's loop: wire, broker, time, and the signals that end it. */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/tls.h"
#include "iotctl/log.h"
#include "sim/expresslink/module.h"
#include "sim/expresslink/pty.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

enum { IDLE_MS = 1000, NS_PER_MS = 1000000, WIRE_MAX = 1024 * 1024, HEARD_ENOUGH = 16 * 1024 };

enum { POLL_WIRE, POLL_OPENED, POLL_BROKER, POLL_SIGNALS, POLL_COUNT };

struct loop {
	struct module *module;
	struct sim_pty pty;
	struct iot_buf wire;  /* what becomes of the module's bytes on the way out */
	struct iot_buf heard; /* what the module hears of the host's, and has not taken yet */
	bool more;            /* a line of the host's waits until the one before is answered */
	int signals;
	int64_t end_at;
};

static bool may_feed(const struct module *module)
{
	return !module->line_hold && (module->pending == PENDING_NONE || module->pending == PENDING_PEM);
}

/* Bring what has arrived over the wire. Where a fault is aimed each line waits until the one before is answered. */
static void hear(struct loop *loop)
{
	struct module_faults *faults = &loop->module->faults;
	size_t arrived = loop->heard.len < HEARD_ENOUGH ? sim_pty_arrived(&loop->pty) : 0;
	size_t taken;

	loop->more = false;
	if (arrived == 0 || (faults->aimed && (loop->heard.len > 0 || !may_feed(loop->module))))
		return;
	taken = faults_hear(faults, loop->pty.in.data, arrived, &loop->heard);
	iot_buf_consume(&loop->pty.in, taken);
	loop->more = taken > 0 && taken < arrived;
	if (faults->struck[0] != '\0')
		module_say(loop->module, "fault", "%s", faults->struck);
}

/* Give the module what has arrived, as far as it takes it. */
static void deliver(struct loop *loop)
{
	hear(loop);
	if (loop->heard.len > 0)
		iot_buf_consume(&loop->heard, module_feed(loop->module, loop->heard.data, loop->heard.len));
}

static void send_out(struct loop *loop)
{
	struct module *module = loop->module;

	if (module->out.len > 0) {
		faults_say(&module->faults, module->out.data, module->out.len, &loop->wire);
		iot_buf_clear(&module->out);
		if (loop->wire.over)
			iot_buf_clear(&loop->wire);
	}
	sim_pty_write(&loop->pty, &loop->wire);
}

static struct timespec wait_time(const struct loop *loop)
{
	int64_t now = iot_monotonic_ms(), due = module_deadline(loop->module), wire, wait;

	due = loop->end_at < due ? loop->end_at : due;
	due = now + IDLE_MS < due ? now + IDLE_MS : due;
	wait = (due > now ? due - now : 0) * NS_PER_MS;
	wire = sim_pty_wait(&loop->pty, &loop->wire);
	wait = wire >= 0 && wire < wait ? wire : wait;
	if (may_feed(loop->module) && (loop->heard.len > 0 || loop->more))
		wait = 0;
	return (struct timespec){wait / (1000 * (int64_t)NS_PER_MS), wait % (1000 * (int64_t)NS_PER_MS)};
}

/* One turn. False when told to end. */
static bool turn(struct loop *loop)
{
	struct iot_mqtt *mqtt = loop->module->mqtt;
	struct pollfd fds[POLL_COUNT] = {
		[POLL_WIRE] = {.fd = loop->pty.listener ? loop->pty.master : -1, .events = POLLIN},
		[POLL_OPENED] = {.fd = loop->pty.opened, .events = POLLIN},
		[POLL_BROKER] = {.fd = mqtt != NULL ? iot_mqtt_fd(mqtt) : -1,
				 .events = mqtt != NULL ? iot_mqtt_poll_events(mqtt) : 0},
		[POLL_SIGNALS] = {.fd = loop->signals, .events = POLLIN},
	};
	struct timespec wait = wait_time(loop);

	if (loop->wire.len > 0 && loop->pty.byte_ns == 0)
		fds[POLL_WIRE].events |= POLLOUT;
	if (ppoll(fds, POLL_COUNT, &wait, NULL) < 0)
		return errno == EINTR;
	if (fds[POLL_SIGNALS].revents != 0 || iot_monotonic_ms() >= loop->end_at)
		return false;
	if (fds[POLL_OPENED].revents != 0)
		sim_pty_opened(&loop->pty);
	if ((fds[POLL_WIRE].revents & (POLLIN | POLLHUP)) != 0 || fds[POLL_OPENED].revents != 0)
		sim_pty_read(&loop->pty);
	if (mqtt != NULL && fds[POLL_BROKER].revents != 0)
		iot_mqtt_io(mqtt, fds[POLL_BROKER].revents);
	module_tick(loop->module);
	deliver(loop);
	send_out(loop);
	return true;
}

static enum iot_status open_signals(struct loop *loop, sigset_t *before, struct iot_error *err)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, before);
	loop->signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	return loop->signals >= 0 ? IOT_OK : iot_fail_errno(err, IOT_FAILURE, errno, "cannot wait for signals");
}

enum iot_status iot_sim_expresslink_run(const struct iot_sim_expresslink_options *options,
					void (*event)(const char *name, const char *detail, void *data), void *data,
					struct iot_error *err)
{
	struct loop loop = {.signals = -1, .pty = {.master = -1, .opened = -1}};
	sigset_t before;
	enum iot_status status = iot_tls_any_anchor(err);

	if (status == IOT_OK)
		status = module_new(options, event, data, &loop.module, err);
	if (status != IOT_OK)
		return status;
	loop.wire = loop.heard = (struct iot_buf)IOT_BUF_INIT(WIRE_MAX);
	loop.end_at = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX;
	status = open_signals(&loop, &before, err);
	if (status == IOT_OK)
		status = sim_pty_open(options->link, options->baud, &loop.pty, err);
	if (status == IOT_OK) {
		module_say(loop.module, "listening", "on %s", options->link);
		while (turn(&loop))
			continue;
	}
	sim_pty_close(&loop.pty);
	iot_close_p(&loop.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	iot_buf_release(&loop.wire);
	iot_buf_release(&loop.heard);
	module_free(loop.module);
	return status;
}
