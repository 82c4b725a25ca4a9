/*
 * SIGINT and SIGTERM: the first sets a flag and wakes poll(2), so that a command
 * can end in order; the second ends the process at once.
 */
#include "cli/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static volatile sig_atomic_t came;
static int pipe_fds[2] = {-1, -1};

static void on_signal(int number)
{
	int saved = errno;
	ssize_t ignored;

	if (came != 0)
		_exit(128 + number);
	came = number;
	ignored = write(pipe_fds[1], "", 1);
	(void)ignored;
	errno = saved;
}

static void install(int number)
{
	struct sigaction action = {.sa_handler = on_signal}, before;

	/* What the parent wants ignored stays ignored (nohup, a shell's background jobs). */
	if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_IGN)
		return;
	sigemptyset(&action.sa_mask);
	sigaction(number, &action, NULL);
}

void cli_signals_install(void)
{
	if (pipe_fds[0] < 0 && pipe2(pipe_fds, O_NONBLOCK | O_CLOEXEC) != 0)
		pipe_fds[0] = pipe_fds[1] = -1;
	install(SIGINT);
	install(SIGTERM);
}

void cli_signals_reset(void)
{
	char drained;

	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	while (pipe_fds[0] >= 0 && read(pipe_fds[0], &drained, 1) > 0)
		continue;
	came = 0;
}

int cli_signal(void)
{
	return came;
}

bool cli_interrupted(const struct cli_context *ctx)
{
	(void)ctx;
	return came != 0;
}

const volatile sig_atomic_t *cli_interrupt_flag(void)
{
	return &came;
}

int cli_interrupt_fd(void)
{
	return pipe_fds[0];
}
