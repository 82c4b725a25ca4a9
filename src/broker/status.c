/*
 * Who runs for a fleet, and making it stop. The lock tells whether a serve runs,
 * its content who that is; because an id may have been given to another process
 * since, it counts only if the kernel says that this process has the lock. What
 * else there is to know stands in serve.json beside it.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STATUS_MAX 4096
#define SETTLE_MS 500 /* between taking the lock and writing the id into it */
#define STEP_MS 20

/* --- the lock ---------------------------------------------------------------------- */

/* Has the process the lock? The kernel's list tells everybody; what a process has open is often hidden. */
static bool has_lock(pid_t pid, const struct stat *file)
{
	IOT_CLEAN(iot_fclose_p) FILE *list = fopen("/proc/locks", "re");
	char line[256];

	while (list != NULL && fgets(line, sizeof(line), list) != NULL) {
		unsigned long long inode;
		long holder;

		if (sscanf(line, "%*d: FLOCK %*s WRITE %ld %*x:%*x:%llu", &holder, &inode) == 2 && holder == pid &&
		    inode == file->st_ino)
			return true;
	}
	return false;
}

static pid_t read_pid(int fd)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	long pid;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	pid = strtol(text, NULL, 10);
	return pid > 1 ? (pid_t)pid : 0;
}

enum iot_status serve_lock_holder(const char *lock, pid_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int fd = open(lock, O_RDONLY | O_CLOEXEC);
	int64_t deadline = iot_deadline(SETTLE_MS);
	struct stat st;

	*ret = 0;
	if (fd < 0 && errno == ENOENT)
		return IOT_OK;
	if (fd < 0 || fstat(fd, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", lock);
	while (flock(fd, LOCK_SH | LOCK_NB) != 0) {
		pid_t pid = read_pid(fd);

		if (pid > 0 && has_lock(pid, &st)) {
			*ret = pid;
			return IOT_OK;
		}
		if (iot_left(deadline) == 0)
			return iot_fail(err, IOT_FAILURE, "'%s' is locked, but it cannot be told by which process",
					lock);
		usleep(STEP_MS * 1000);
	}
	return IOT_OK;
}

enum iot_status serve_take_lock(struct serve_setup *setup, struct iot_error *err)
{
	enum iot_status status = iot_fs_lock(setup->paths.lock, &setup->lock, err);
	pid_t holder = 0;

	if (status == IOT_CONFLICT) {
		if (serve_lock_holder(setup->paths.lock, &holder, NULL) == IOT_OK && holder > 0)
			iot_fail(err, IOT_CONFLICT, "serve is already running for fleet '%s' (process %ld)",
				 setup->paths.dir, (long)holder);
		else
			iot_fail(err, IOT_CONFLICT, "serve is already running for fleet '%s'", setup->paths.dir);
		iot_error_hint(err, "'iotctl serve --stop' ends it");
		return IOT_CONFLICT;
	}
	if (status != IOT_OK)
		return status;
	if (ftruncate(setup->lock, 0) != 0 || dprintf(setup->lock, "%ld\n", (long)getpid()) < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write '%s'", setup->paths.lock);
	return IOT_OK;
}

/* --- serve.json ----------------------------------------------------------------------- */

enum iot_status serve_status_write(const struct serve_setup *setup, const struct serve_state *state,
				   struct iot_error *err)
{
	IOT_JSON record = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;
	char since[32];

	iot_json_set_int(record, "pid", getpid());
	if (state->mosquitto > 0)
		iot_json_set_int(record, "mosquittoPid", state->mosquitto);
	iot_json_set_str(record, "listen", setup->listen);
	iot_json_set_int(record, "port", setup->port);
	if (setup->staging != NULL)
		iot_json_set_int(record, "stagingPort", setup->staging->port);
	if (setup->psk_port > 0)
		iot_json_set_int(record, "pskPort", setup->psk_port);
	if (setup->jwt_port > 0)
		iot_json_set_int(record, "jwtPort", setup->jwt_port);
	if (state->staging > 0)
		iot_json_set_int(record, "stagingPid", state->staging);
	if (setup->api_port > 0) {
		iot_json_set_str(record, "apiListen", setup->api_listen);
		iot_json_set_int(record, "apiPort", setup->api_port);
	}
	iot_json_set_str(record, "since", iot_time_rfc3339(state->since, since));
	iot_json_set_str(record, "version", IOT_VERSION);
	text = iot_json_text(record);
	return iot_fs_write(setup->status, 0600, text, strlen(text), err);
}

/* NULL when it is not there or makes no sense. New reference. */
static json_t *read_status(const char *path)
{
	struct iot_buf text = IOT_BUF_INIT(STATUS_MAX);
	json_t *record = NULL;

	if (iot_fs_read(path, &text, NULL) == IOT_OK)
		(void)!iot_json_parse(text.data, text.len, path, &record, NULL);
	iot_buf_release(&text);
	return record;
}

static void add_connected(const char *fleet_dir, json_t *record)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	int64_t count = 0;

	if (iot_local_open(fleet_dir, &cloud, NULL) == IOT_OK &&
	    iot_local_presence_count(cloud, &count, NULL) == IOT_OK)
		iot_json_set_int(record, "connected", count);
}

enum iot_status iot_serve_status(const char *fleet_dir, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_fleet_paths_release) struct iot_fleet_paths paths = {0};
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_JSON known = NULL;
	json_t *record;
	pid_t pid = 0;
	enum iot_status status;

	iot_fleet_paths_init(&paths, fleet_dir);
	path = iot_path(paths.broker_dir, "serve.json");
	status = serve_lock_holder(paths.lock, &pid, err);
	if (status != IOT_OK)
		return status;
	record = json_object();
	iot_json_set_bool(record, "running", pid > 0);
	if (pid > 0) {
		iot_json_set_int(record, "pid", pid);
		known = read_status(path);
		/* Of an earlier one: this one is just starting. */
		if (iot_json_int(known, "pid", 0) == pid)
			json_object_update(record, known);
		add_connected(fleet_dir, record);
	}
	*ret = record;
	return IOT_OK;
}

/* --- ending ------------------------------------------------------------------------------ */

/* Is it a mosquitto that was started with that configuration file? */
static bool runs_config(pid_t pid, const char *config)
{
	struct iot_buf line = IOT_BUF_INIT(8192);
	char path[64];
	bool found = false;
	IOT_CLEAN(iot_close_p) int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%ld/cmdline", (long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && iot_buf_reserve(&line, 8191) != NULL && (n = read(fd, line.data, 8191)) > 0) {
		line.data[n] = '\0';
		for (const char *at = line.data; at < line.data + n; at += strlen(at) + 1)
			found = found || (at != line.data && strcmp(at, config) == 0);
	}
	iot_buf_release(&line);
	return found;
}

/* Readable when the process has ended. -1: it is gone already, or this cannot be watched. */
static int watch(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static bool wait_gone(int pidfd, pid_t pid, int64_t deadline)
{
	while (kill(pid, 0) == 0 || errno == EPERM) {
		struct pollfd fd = {.fd = pidfd, .events = POLLIN};
		int left = iot_left(deadline);

		if (left == 0)
			return false;
		if (poll(&fd, 1, pidfd < 0 && left > STEP_MS ? STEP_MS : left) > 0)
			return true;
	}
	return true;
}

static void end_stray(pid_t pid, const char *config)
{
	IOT_CLEAN(iot_close_p) int pidfd = pid > 1 ? watch(pid) : -1;

	/* Watched first, then looked at: what is killed is what was looked at. */
	if (pid <= 1 || !runs_config(pid, config))
		return;
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
	else
		kill(pid, SIGKILL);
	(void)wait_gone(pidfd, pid, iot_deadline(2000));
}

void serve_end_stray(const struct serve_setup *setup)
{
	IOT_CLEAN(iot_free_p) char *staging_config = iot_path(setup->paths.broker_dir, STAGING_CONFIG);
	IOT_JSON known = read_status(setup->status);

	end_stray((pid_t)iot_json_int(known, "mosquittoPid", 0), setup->config);
	end_stray((pid_t)iot_json_int(known, "stagingPid", 0), staging_config);
}

enum iot_status iot_serve_stop(const char *fleet_dir, int timeout_ms, struct iot_error *err)
{
	IOT_CLEAN(iot_fleet_paths_release) struct iot_fleet_paths paths = {0};
	IOT_CLEAN(iot_free_p) char *path = NULL, *config = NULL;
	IOT_CLEAN(iot_close_p) int serve_fd = -1, broker_fd = -1;
	IOT_JSON known = NULL;
	int64_t deadline = iot_deadline(timeout_ms);
	pid_t pid = 0, again = 0, broker;
	enum iot_status status;

	iot_fleet_paths_init(&paths, fleet_dir);
	path = iot_path(paths.broker_dir, "serve.json");
	config = iot_path(paths.broker_dir, "mosquitto.conf");
	status = serve_lock_holder(paths.lock, &pid, err);
	if (status != IOT_OK)
		return status;
	if (pid > 0) {
		serve_fd = watch(pid);
		status = serve_lock_holder(paths.lock, &again, err);
	}
	if (status == IOT_OK && (pid == 0 || pid != again)) {
		iot_fail(err, IOT_NOT_FOUND, "serve is not running for fleet '%s'", paths.dir);
		status = IOT_NOT_FOUND;
	}
	if (status != IOT_OK)
		return status;
	known = read_status(path);
	broker = (pid_t)iot_json_int(known, "mosquittoPid", 0);
	if (broker > 1)
		broker_fd = watch(broker);
	if (broker > 1 && !runs_config(broker, config))
		broker = 0;
	if ((serve_fd >= 0 ? (int)syscall(SYS_pidfd_send_signal, serve_fd, SIGTERM, NULL, 0) : kill(pid, SIGTERM)) !=
		    0 &&
	    errno != ESRCH)
		return iot_fail_errno(err, errno == EPERM ? IOT_DENIED : IOT_FAILURE, errno, "cannot stop process %ld",
				      (long)pid);
	if (!wait_gone(serve_fd, pid, deadline) || (broker > 1 && !wait_gone(broker_fd, broker, deadline)))
		return iot_fail(err, IOT_TIMEOUT, "serve (process %ld) did not end within %d ms", (long)pid,
				timeout_ms);
	return IOT_OK;
}
