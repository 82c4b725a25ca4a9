/*
 * Child processes: started without a shell, watched, ended by their own id.
 */
#ifndef IOTCTL_PROCESS_H
#define IOTCTL_PROCESS_H

#include "iotctl/error.h"

#include <stdint.h>
#include <sys/types.h>

struct iot_process {
	pid_t pid;  /* 0: not running */
	int pidfd;  /* readable when it has ended; -1 */
	int out_fd; /* its stdout and stderr when captured; -1 */
	int in_fd;  /* to its stdin when it is fed; -1 */
};
#define IOT_PROCESS_INIT {0, -1, -1, -1}

struct iot_process_options {
	const char *const *argv;     /* argv[0] is looked up in PATH (and /usr/sbin, /sbin) */
	const char *log_path;        /* append stdout and stderr to this file (0600); NULL: see capture */
	bool capture;                /* give a non-blocking pipe of stdout and stderr in out_fd; neither: /dev/null */
	bool keep_stderr;            /* its stderr is this process's: only stdout is captured or logged */
	bool feed;                   /* give a non-blocking pipe to its stdin in in_fd; else that is /dev/null */
	bool die_with_parent;        /* SIGTERM when this process dies */
	bool die_at_once;            /* ... or SIGKILL: what comes after must not meet it */
	bool new_session;            /* setsid */
	int in_fd;                   /* its stdin; 0: /dev/null */
	const int *pass;             /* descriptors that the child gets under the same numbers; all others are closed */
	size_t pass_count;
};

/* IOT_NOT_FOUND if the program is not there (the caller adds which package has it). */
IOT_CHECK enum iot_status iot_process_start(const struct iot_process_options *options, struct iot_process *ret,
					    struct iot_error *err);
/* Has it ended? *ret_code: exit code, or 128 + signal. Does not block. */
bool iot_process_ended(struct iot_process *process, int *ret_code);
/* SIGTERM, wait up to grace_ms, then SIGKILL, and reap. Fine if it is not running. */
void iot_process_stop(struct iot_process *process, int grace_ms);
void iot_process_release(struct iot_process *process); /* closes descriptors; does not end the child */
/* Run to the end with a deadline, output captured up to `out`'s limit; IOT_TIMEOUT ends it. */
struct iot_buf;
IOT_CHECK enum iot_status iot_process_run(const struct iot_process_options *options, int timeout_ms,
					  struct iot_buf *out, int *ret_code, struct iot_error *err);
/* Full path of a program in PATH (and /usr/sbin, /sbin), or NULL; new memory. */
char *iot_process_find(const char *name);

#endif
