/*
 * Child processes. A child is started with its standard streams where the
 * caller wants them and nothing else open; whether its program could be
 * executed is told through a pipe that closes on success. A child is only ever
 * addressed by its own id, which stays valid until it is reaped here.
 */
#include "iotctl/process.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { POLL_STEP_MS = 20, STOP_GRACE_MS = 500 };

char *iot_process_find(const char *name)
{
	const char *path = getenv("PATH");
	IOT_CLEAN(iot_free_p) char *folders = NULL;
	char *state = NULL;

	if (strchr(name, '/') != NULL)
		return access(name, X_OK) == 0 ? iot_strdup(name) : NULL;
	folders = iot_strf("%s:/usr/sbin:/sbin", path != NULL && path[0] != '\0' ? path : "/usr/bin:/bin");
	for (char *folder = strtok_r(folders, ":", &state); folder != NULL; folder = strtok_r(NULL, ":", &state)) {
		IOT_CLEAN(iot_free_p) char *full = iot_strf("%s/%s", folder, name);

		if (access(full, X_OK) == 0)
			return iot_take(full);
	}
	return NULL;
}

/* Only async-signal-safe calls: the parent may have threads. Never returns. */
static _Noreturn void child(const struct iot_process_options *options, const char *program, char **argv, int in,
			    int out, int report, pid_t parent)
{
	sigset_t none;
	int fault, null = open("/dev/null", O_RDWR);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	if (options->new_session)
		setsid();
	if (options->die_with_parent) {
		prctl(PR_SET_PDEATHSIG, options->die_at_once ? SIGKILL : SIGTERM);
		if (getppid() != parent) /* it went before we asked */
			_exit(127);
	}
	if (null >= 0) {
		dup2(in >= 0 ? in : options->in_fd > 0 ? options->in_fd : null, STDIN_FILENO);
		dup2(out >= 0 ? out : null, STDOUT_FILENO);
		if (!options->keep_stderr)
			dup2(out >= 0 ? out : null, STDERR_FILENO);
		syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
		for (size_t i = 0; i < options->pass_count; i++)
			fcntl(options->pass[i], F_SETFD, 0);
		execv(program, argv);
	}
	fault = errno;
	while (write(report, &fault, sizeof(fault)) < 0 && errno == EINTR)
		;
	_exit(127);
}

/* Where the child's output goes: *ret_child for it, *ret_parent for us (capture only). Both -1: nowhere. */
static enum iot_status open_output(const struct iot_process_options *options, int *ret_child, int *ret_parent,
				   struct iot_error *err)
{
	int ends[2];

	*ret_child = *ret_parent = -1;
	if (options->log_path != NULL) {
		*ret_child = open(options->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
		if (*ret_child < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write log '%s'", options->log_path);
	} else if (options->capture) {
		if (pipe2(ends, O_CLOEXEC) != 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a pipe");
		fcntl(ends[0], F_SETFL, O_NONBLOCK);
		*ret_parent = ends[0];
		*ret_child = ends[1];
	}
	return IOT_OK;
}

/* Where the child's input comes from, the same way. */
static enum iot_status open_input(const struct iot_process_options *options, int *ret_child, int *ret_parent,
				  struct iot_error *err)
{
	int ends[2];

	*ret_child = *ret_parent = -1;
	if (!options->feed)
		return IOT_OK;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a pipe");
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	*ret_child = ends[0];
	*ret_parent = ends[1];
	return IOT_OK;
}

/* Wait for the child's exec: 0, or the errno it failed with. */
static int exec_outcome(int fd)
{
	int fault = 0;
	ssize_t n;

	do {
		n = read(fd, &fault, sizeof(fault));
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(fault) ? fault : 0;
}

/* execv takes strings it does not change but is not declared so. */
static char **copy_argv(const char *const *argv)
{
	size_t count = 0;
	char **copy;

	while (argv[count] != NULL)
		count++;
	copy = iot_alloc_array(count + 1, sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = iot_strdup(argv[i]);
	return copy;
}

static void free_argv(char ***argv)
{
	for (char **p = *argv; p != NULL && *p != NULL; p++)
		free(*p);
	free(*argv);
}

enum iot_status iot_process_start(const struct iot_process_options *options, struct iot_process *ret,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *program = iot_process_find(options->argv[0]);
	IOT_CLEAN(free_argv) char **argv = copy_argv(options->argv);
	IOT_CLEAN(iot_close_p) int child_out = -1;
	IOT_CLEAN(iot_close_p) int parent_out = -1;
	IOT_CLEAN(iot_close_p) int child_in = -1;
	IOT_CLEAN(iot_close_p) int parent_in = -1;
	enum iot_status status;
	pid_t pid, parent = getpid();
	int report[2], fault;

	if (program == NULL)
		return iot_fail(err, IOT_NOT_FOUND, "program '%s' is not there", options->argv[0]);
	status = open_output(options, &child_out, &parent_out, err);
	if (status == IOT_OK)
		status = open_input(options, &child_in, &parent_in, err);
	if (status != IOT_OK)
		return status;
	if (pipe2(report, O_CLOEXEC) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a pipe");
	pid = fork();
	if (pid == 0)
		child(options, program, argv, child_in, child_out, report[1], parent);
	fault = errno;
	close(report[1]);
	if (pid > 0)
		fault = exec_outcome(report[0]);
	close(report[0]);
	if (pid < 0)
		return iot_fail_errno(err, IOT_FAILURE, fault, "cannot start '%s'", program);
	if (fault != 0) {
		while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
			;
		return iot_fail_errno(err, fault == ENOENT ? IOT_NOT_FOUND : IOT_FAILURE, fault, "cannot run '%s'",
				      program);
	}
	ret->pid = pid;
	ret->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	ret->out_fd = iot_take_fd(&parent_out);
	ret->in_fd = iot_take_fd(&parent_in);
	return IOT_OK;
}

bool iot_process_ended(struct iot_process *process, int *ret_code)
{
	int status = 0;
	pid_t pid;

	if (process->pid <= 0)
		return true;
	do {
		pid = waitpid(process->pid, &status, WNOHANG);
	} while (pid < 0 && errno == EINTR);
	if (pid == 0)
		return false;
	process->pid = 0;
	if (ret_code != NULL)
		*ret_code = pid < 0 ? 127 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return true;
}

/* Wait for the end up to a deadline; without a pidfd (old kernels, sandboxes) by looking now and then. */
static bool wait_ended(struct iot_process *process, int64_t deadline, int *ret_code)
{
	while (!iot_process_ended(process, ret_code)) {
		struct pollfd fd = {.fd = process->pidfd, .events = POLLIN};
		int left = iot_left(deadline);

		if (left == 0)
			return false;
		poll(&fd, 1, process->pidfd < 0 && left > POLL_STEP_MS ? POLL_STEP_MS : left);
	}
	return true;
}

static void stop(struct iot_process *process, int grace_ms, int *ret_code)
{
	if (process->pid <= 0)
		return;
	kill(process->pid, SIGTERM);
	if (wait_ended(process, iot_deadline(grace_ms), ret_code))
		return;
	kill(process->pid, SIGKILL);
	wait_ended(process, INT64_MAX, ret_code);
}

void iot_process_stop(struct iot_process *process, int grace_ms)
{
	stop(process, grace_ms, NULL);
}

void iot_process_release(struct iot_process *process)
{
	iot_close_p(&process->pidfd);
	iot_close_p(&process->out_fd);
	iot_close_p(&process->in_fd);
	process->pid = 0;
	process->pidfd = process->out_fd = process->in_fd = -1;
}

/* Take what the pipe holds; what passes the buffer's limit is read and dropped. False at its end. */
static bool drain(int fd, struct iot_buf *out)
{
	char piece[4096];
	ssize_t n;

	while ((n = read(fd, piece, sizeof(piece))) > 0)
		iot_buf_add(out, piece, (size_t)n);
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

enum iot_status iot_process_run(const struct iot_process_options *options, int timeout_ms, struct iot_buf *out,
				int *ret_code, struct iot_error *err)
{
	struct iot_process_options captured = *options;
	IOT_CLEAN(iot_process_release) struct iot_process process = IOT_PROCESS_INIT;
	int64_t deadline = iot_deadline(timeout_ms);
	enum iot_status status;
	bool open = true, ended = false;
	int code = 0;

	captured.capture = true;
	captured.log_path = NULL;
	status = iot_process_start(&captured, &process, err);
	if (status != IOT_OK)
		return status;
	/* A grandchild may keep the pipe open after the child's end: the end of the child counts. */
	while (!ended && iot_left(deadline) > 0) {
		struct pollfd fds[2] = {{open ? process.out_fd : -1, POLLIN, 0}, {process.pidfd, POLLIN, 0}};
		int left = iot_left(deadline);

		poll(fds, 2, (process.pidfd < 0 || !open) && left > POLL_STEP_MS ? POLL_STEP_MS : left);
		open = open && drain(process.out_fd, out);
		ended = iot_process_ended(&process, &code);
	}
	if (!ended) {
		stop(&process, STOP_GRACE_MS, NULL);
		return iot_fail(err, IOT_TIMEOUT, "'%s' did not end within %d ms and was stopped", options->argv[0],
				timeout_ms);
	}
	if (open)
		drain(process.out_fd, out);
	*ret_code = code;
	return IOT_OK;
}
