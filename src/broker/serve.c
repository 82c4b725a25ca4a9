/*
 * iotctl serve: what must hold is checked in an order that makes the first
 * failure the most telling one, then the loop runs, here or in the background.
 *
 * In the background nothing is opened before the fork; the child tells through a
 * pipe that it listens, or exactly what is wrong.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 20000

/* --- running ------------------------------------------------------------------------------ */

/* Every device takes a descriptor of mosquitto's, which inherits the limit. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* A CA that cannot issue now (a token that is not there) is no reason not to serve with what there is. */
static void renew_certificate(struct iot_cloud *cloud)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool renewed = false;

	if (iot_local_server_renew(cloud, &renewed, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
	else if (renewed)
		iot_notice("the certificate of the listeners was renewed");
}

static enum iot_status prepare(struct serve_setup *setup, const struct iot_serve_options *options,
			       struct iot_cloud **ret_cloud, struct iot_error *err)
{
	enum iot_status status = iot_local_open(options->fleet_dir, ret_cloud, err);

	if (status == IOT_OK)
		status = iot_fs_mkdirs(setup->paths.broker_dir, 0700, err);
	if (status == IOT_OK)
		status = serve_take_lock(setup, err);
	if (status == IOT_OK)
		status = iot_fleet_socket_dir(&setup->paths, err);
	if (status == IOT_OK)
		status = serve_preflight(setup, options, *ret_cloud, err);
	if (status == IOT_OK)
		status = iot_local_trust_sync(*ret_cloud, err);
	if (status != IOT_OK)
		return status;
	serve_log_rotate(setup->own_log, SERVE_LOG_MAX);
	serve_log_rotate(setup->log, MOSQUITTO_LOG_MAX);
	raise_file_limit();
	renew_certificate(*ret_cloud);
	status = serve_config_write(setup, err);
	if (status != IOT_OK || setup->staging == NULL)
		return status;
	serve_log_rotate(setup->staging->log, MOSQUITTO_LOG_MAX);
	return serve_config_write(setup->staging, err);
}

static enum iot_status serve(const struct iot_serve_options *options, void (*ready)(void *data), void *data,
			     struct iot_error *err)
{
	IOT_CLEAN(serve_setup_release) struct serve_setup setup;
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	mode_t mask = umask(077);
	enum iot_status status;

	serve_setup_init(&setup, options);
	status = prepare(&setup, options, &cloud, err);
	if (status == IOT_OK)
		status = serve_loop(&setup, cloud, ready, data, err);
	if (setup.lock >= 0)
		iot_fleet_socket_dir_remove(&setup.paths);
	umask(mask);
	return status;
}

/* --- in the background ---------------------------------------------------------------------- */

/* What goes through the pipe: IOT_OK when it listens. Smaller than PIPE_BUF, so it comes whole. */
static void report(int fd, const struct iot_error *err)
{
	ssize_t n;

	do {
		n = write(fd, err, sizeof(*err));
	} while (n < 0 && errno == EINTR);
}

static void report_ready(void *data)
{
	const struct iot_error fine = IOT_ERROR_INIT;
	int *fd = data;

	report(*fd, &fine);
	iot_close_p(fd);
}

/* Standard output and error go to the log; nothing of the parent's stays open but the pipe. */
static enum iot_status detach_streams(const char *fleet_dir, int *pipe_fd, struct iot_error *err)
{
	IOT_CLEAN(iot_fleet_paths_release) struct iot_fleet_paths paths = {0};
	IOT_CLEAN(iot_free_p) char *log = NULL;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), fd;

	iot_fleet_paths_init(&paths, fleet_dir);
	log = iot_path(paths.broker_dir, "serve.log");
	/* A fleet that is not there is told of later, in better words. */
	fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (null < 0 || (fd < 0 && errno != ENOENT && errno != ENOTDIR))
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write '%s'", null < 0 ? "/dev/null" : log);
	if (fd < 0)
		fd = null;
	if (dup2(null, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot redirect the output");
	if (*pipe_fd != 3) {
		if (dup3(*pipe_fd, 3, O_CLOEXEC) < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot keep the pipe");
		*pipe_fd = 3;
	}
	(void)syscall(SYS_close_range, 4U, ~0U, 0);
	iot_log_set_stamp(true);
	return IOT_OK;
}

static _Noreturn void background(const struct iot_serve_options *options, int pipe_fd)
{
	IOT_CLEAN(iot_free_p) char *fleet_dir = iot_path_absolute(options->fleet_dir);
	IOT_CLEAN(iot_free_p)
	char *plugin = options->plugin_path != NULL ? iot_path_absolute(options->plugin_path) : NULL;
	struct iot_serve_options mine = *options;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	mine.fleet_dir = fleet_dir;
	mine.plugin_path = plugin;
	(void)setsid();
	status = detach_streams(fleet_dir, &pipe_fd, &err);
	(void)!chdir("/");
	if (status == IOT_OK)
		status = serve(&mine, report_ready, &pipe_fd, &err);
	if (status != IOT_OK) {
		iot_log_error(IOT_LOG_ERROR, "", &err);
		if (pipe_fd >= 0)
			report(pipe_fd, &err);
	}
	_exit((int)status);
}

/* What the child reported. False: it said nothing until the deadline or its end. */
static bool read_report(int fd, int64_t deadline, struct iot_error *ret)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	int rc;

	do {
		rc = poll(&poll_fd, 1, iot_left(deadline));
	} while (rc < 0 && errno == EINTR && iot_left(deadline) > 0);
	return rc > 0 && read(fd, ret, sizeof(*ret)) == (ssize_t)sizeof(*ret);
}

static enum iot_status await(pid_t child, int fd, const char *fleet_dir, struct iot_error *err)
{
	int64_t deadline = iot_deadline(READY_MS);
	struct iot_error told = IOT_ERROR_INIT;

	if (!read_report(fd, deadline, &told)) {
		bool late = iot_left(deadline) == 0;

		kill(child, SIGTERM);
		(void)waitpid(child, NULL, WNOHANG);
		iot_fail(err, late ? IOT_TIMEOUT : IOT_FAILURE, "serve %s",
			 late ? "is not ready after 20 s" : "ended at once");
		iot_error_hint(err, "its log is '%s/broker/serve.log'", fleet_dir);
		return late ? IOT_TIMEOUT : IOT_FAILURE;
	}
	if (told.status != IOT_OK) {
		(void)waitpid(child, NULL, 0);
		if (err != NULL)
			*err = told;
	}
	return told.status;
}

static enum iot_status detach(const struct iot_serve_options *options, struct iot_error *err)
{
	int ends[2];
	enum iot_status status;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a pipe");
	child = fork();
	if (child == 0) {
		close(ends[0]);
		background(options, ends[1]);
	}
	close(ends[1]);
	if (child < 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot start a process");
	else
		status = await(child, ends[0], options->fleet_dir, err);
	close(ends[0]);
	return status;
}

static void nothing(void *data)
{
	(void)data;
}

enum iot_status iot_serve_run(const struct iot_serve_options *options, struct iot_error *err)
{
	return options->detach ? detach(options, err) : serve(options, nothing, NULL, err);
}
