/* The frame of software boards: options, faults, state file, and the loop over wire and time. */
#include "sim/board/board_sim.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "sim/expresslink/pty.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <time.h>

enum { STATE_MAX = 1024 * 1024, OUT_MAX = 256 * 1024, IDLE_MS = 1000, NS_PER_MS = 1000000, NTH_MAX = 1000000 };

const struct board_sim_kind *const board_sim_kinds[] = {&board_sim_freertos, &board_sim_nrf91, &board_sim_sim7600,
							&board_sim_zephyr, NULL};

/* --- what kinds use ------------------------------------------------------------------- */

void board_sim_tell(struct board_sim *board, const char *name, const char *fmt, ...)
{
	char detail[256];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_text_printable(detail);
	iot_info("%s: %s %s", board->kind->name, name, detail);
	if (board->event != NULL)
		board->event(name, detail, board->event_data);
}

void board_sim_say(struct board_sim *board, const char *fmt, ...)
{
	char text[4096];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	iot_buf_adds(&board->out, text);
}

void board_sim_save(struct board_sim *board)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(board->dir, "state.json");
	IOT_CLEAN(iot_free_p) char *text = iot_json_dump(board->state, JSON_INDENT(1));
	struct iot_error err = IOT_ERROR_INIT;
	char line[512];

	if (iot_fs_write(path, 0600, text, strlen(text), &err) != IOT_OK)
		iot_warn("%s", iot_error_line(&err, line, sizeof(line)));
}

static bool is_aimed_at(const struct board_sim_fault *fault, const char *command)
{
	return fault->command == NULL || strncasecmp(command, fault->command, strlen(fault->command)) == 0;
}

bool board_sim_fault(const struct board_sim *board, const char *name, const char *command)
{
	for (size_t i = 0; i < board->fault_count; i++) {
		const struct board_sim_fault *fault = &board->faults[i];

		if (strcmp(fault->name, name) == 0 && is_aimed_at(fault, command) &&
		    (fault->nth == 0 || fault->nth == fault->heard))
			return true;
	}
	return false;
}

bool board_sim_command(struct board_sim *board, const char *command)
{
	board_sim_tell(board, "command", "%s", command);
	for (size_t i = 0; i < board->fault_count; i++)
		if (is_aimed_at(&board->faults[i], command))
			board->faults[i].heard++;
	if (!board_sim_fault(board, "reset", command))
		return true;
	board_sim_tell(board, "reset", "at %s", command);
	board->cut_power = true;
	return false;
}

/* --- options ------------------------------------------------------------------------------ */

static bool knows_fault(const struct board_sim_kind *kind, const char *name)
{
	if (strcmp(name, "reset") == 0)
		return true;
	for (const char *const *word = kind->faults; *word != NULL; word++)
		if (strcmp(*word, name) == 0)
			return true;
	return false;
}

static enum iot_status add_fault(struct board_sim *board, const char *text, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strdup(text);
	struct board_sim_fault fault = {0};
	char *at = strchr(copy, '@'), *hash = at != NULL ? strrchr(at, '#') : NULL;
	enum iot_status status = IOT_OK;

	if (iot_starts_with(text, "slow=") && at == NULL)
		return iot_parse_duration(text + strlen("slow="), &board->delay_ms, err);
	if (at != NULL)
		*at++ = '\0';
	if (!knows_fault(board->kind, copy))
		return faults_add(&board->wire, text, err);
	if (hash != NULL) {
		*hash = '\0';
		status = iot_parse_int(hash + 1, 1, NTH_MAX, &fault.nth, err);
	}
	if (strcmp(copy, "reset") == 0 && fault.nth == 0)
		fault.nth = 1; /* else it would never come further */
	if (board->fault_count == FAULT_COUNT_MAX)
		return iot_fail(err, IOT_USAGE, "no more than %d faults", FAULT_COUNT_MAX);
	fault.name = iot_strdup(copy);
	fault.command = iot_strdup(at);
	board->faults[board->fault_count++] = fault;
	return status;
}

static enum iot_status load_state(struct board_sim *board, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(board->dir, "state.json");
	struct iot_buf text = IOT_BUF_SECRET(STATE_MAX);
	enum iot_status status = iot_fs_mkdirs(board->dir, 0700, err);

	if (status == IOT_OK && iot_fs_exists(path)) {
		status = iot_fs_read(path, &text, err);
		if (status == IOT_OK)
			status = iot_json_parse(iot_buf_str(&text), text.len, path, &board->state, err);
	}
	iot_buf_release(&text);
	if (status == IOT_OK && board->state == NULL)
		board->state = json_object();
	return status;
}

static enum iot_status begin(struct board_sim *board, struct iot_error *err)
{
	const struct iot_sim_board_options *options = board->options;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; board_sim_kinds[i] != NULL && board->kind == NULL; i++)
		if (strcmp(board_sim_kinds[i]->name, options->kind) == 0)
			board->kind = board_sim_kinds[i];
	if (board->kind == NULL) {
		iot_fail(err, IOT_USAGE, "there is no software board '%s'", options->kind);
		iot_error_hint(err, "'iotctl sim board --help' lists them; 'iotctl sim expresslink' is one of its own");
		return IOT_USAGE;
	}
	board->dir = options->state != NULL ? iot_strdup(options->state) : iot_strf("%s.state", options->link);
	board->out = (struct iot_buf)IOT_BUF_SECRET(OUT_MAX);
	faults_init(&board->wire, options->seed);
	for (size_t i = 0; status == IOT_OK && i < options->fault_count; i++)
		status = add_fault(board, options->faults[i], err);
	if (status == IOT_OK)
		status = load_state(board, err);
	if (status == IOT_OK)
		board->self = board->kind->power_on(board);
	return status;
}

static void end(struct board_sim *board)
{
	if (board->self != NULL)
		board->kind->power_off(board);
	for (size_t i = 0; i < board->fault_count; i++) {
		free(board->faults[i].name);
		free(board->faults[i].command);
	}
	faults_release(&board->wire);
	iot_buf_release(&board->out);
	json_decref(board->state);
	free(board->dir);
}

/* --- the loop -------------------------------------------------------------------------------- */

struct loop {
	struct board_sim *board;
	struct sim_pty pty;
	struct iot_buf heard, wire;
	bool more; /* has arrived, and waits because faults are aimed line by line */
	int signals;
	int64_t end_at;
};

/* What was said is lost with the rest of its RAM; what was saved is not. */
static void power_cycle(struct board_sim *board)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(board->dir, "state.json");
	struct iot_error ignored = IOT_ERROR_INIT;

	board->cut_power = false;
	board->kind->power_off(board);
	iot_buf_clear(&board->out);
	json_decref(board->state);
	board->state = NULL;
	if (load_state(board, &ignored) != IOT_OK)
		board->state = json_object();
	board->self = board->kind->power_on(board);
}

static void deliver(struct loop *loop)
{
	struct board_sim *board = loop->board;
	size_t arrived = sim_pty_arrived(&loop->pty), taken;

	loop->more = false;
	if (arrived > 0) {
		taken = faults_hear(&board->wire, loop->pty.in.data, arrived, &loop->heard);
		iot_buf_consume(&loop->pty.in, taken);
		loop->more = taken > 0 && taken < arrived;
	}
	for (size_t i = 0; i < loop->heard.len; i++) {
		board->kind->feed(board, loop->heard.data[i]);
		if (board->cut_power)
			power_cycle(board);
	}
	iot_buf_clear(&loop->heard);
}

static void send_out(struct loop *loop)
{
	struct board_sim *board = loop->board;
	int64_t aimed_ms = faults_delay_ms(&board->wire), delay_ms = aimed_ms > 0 ? aimed_ms : board->delay_ms;

	if (board->out.len > 0 && delay_ms > 0 && board->say_at == 0)
		board->say_at = iot_deadline(delay_ms);
	if (board->out.len > 0 && iot_monotonic_ms() >= board->say_at) {
		faults_say(&board->wire, board->out.data, board->out.len, &loop->wire);
		iot_buf_clear(&board->out);
		board->say_at = 0;
	}
	if (loop->wire.over)
		iot_buf_clear(&loop->wire);
	sim_pty_write(&loop->pty, &loop->wire);
}

static struct timespec wait_time(const struct loop *loop)
{
	int64_t now = iot_monotonic_ms(), due = now + IDLE_MS, wait, wire;

	due = loop->end_at < due ? loop->end_at : due;
	if (loop->board->say_at > 0 && loop->board->say_at < due)
		due = loop->board->say_at;
	wait = (due > now && !loop->more ? due - now : 0) * NS_PER_MS;
	wire = sim_pty_wait(&loop->pty, &loop->wire);
	wait = wire >= 0 && wire < wait ? wire : wait;
	return (struct timespec){wait / (1000 * (int64_t)NS_PER_MS), wait % (1000 * (int64_t)NS_PER_MS)};
}

/* One turn. False when told to end. */
static bool turn(struct loop *loop)
{
	struct board_sim *board = loop->board;
	struct pollfd fds[4] = {{.fd = loop->pty.listener ? loop->pty.master : -1, .events = POLLIN},
				{.fd = loop->pty.opened, .events = POLLIN},
				{.fd = loop->signals, .events = POLLIN},
				{.fd = -1}};
	struct timespec wait = wait_time(loop);

	if (loop->wire.len > 0 && loop->pty.byte_ns == 0)
		fds[0].events |= POLLOUT;
	if (board->kind->watch != NULL)
		fds[3].fd = board->kind->watch(board, &fds[3].events);
	if (ppoll(fds, 4, &wait, NULL) < 0)
		return errno == EINTR;
	if (fds[2].revents != 0 || iot_monotonic_ms() >= loop->end_at)
		return false;
	if (fds[1].revents != 0)
		sim_pty_opened(&loop->pty);
	if ((fds[0].revents & (POLLIN | POLLHUP)) != 0 || fds[1].revents != 0)
		sim_pty_read(&loop->pty);
	deliver(loop);
	if (board->kind->work != NULL)
		board->kind->work(board, fds[3].revents);
	send_out(loop);
	return true;
}

static enum iot_status run(struct board_sim *board, struct iot_error *err)
{
	const struct iot_sim_board_options *options = board->options;
	struct loop loop = {.board = board, .signals = -1, .pty = {.master = -1, .opened = -1}};
	sigset_t signals, before;
	enum iot_status status = IOT_OK;

	loop.heard = loop.wire = (struct iot_buf)IOT_BUF_SECRET(OUT_MAX);
	loop.end_at = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigprocmask(SIG_BLOCK, &signals, &before);
	loop.signals = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (loop.signals < 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot wait for signals");
	if (status == IOT_OK)
		status = sim_pty_open(options->link, options->baud, &loop.pty, err);
	if (status == IOT_OK) {
		board_sim_tell(board, "listening", "on %s", options->link);
		while (turn(&loop))
			continue;
	}
	sim_pty_close(&loop.pty);
	iot_close_p(&loop.signals);
	sigprocmask(SIG_SETMASK, &before, NULL);
	iot_buf_release(&loop.heard);
	iot_buf_release(&loop.wire);
	return status;
}

enum iot_status iot_sim_board_run(const struct iot_sim_board_options *options,
				  void (*event)(const char *name, const char *detail, void *data), void *data,
				  struct iot_error *err)
{
	struct board_sim board = {.options = options, .event = event, .event_data = data};
	enum iot_status status = begin(&board, err);

	if (status == IOT_OK)
		status = run(&board, err);
	end(&board);
	return status;
}
