/* Child processes: what they print, how they end, and that they end. */
#include "iotctl/process.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "unit.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

static enum iot_status run(const char *script, int timeout_ms, struct iot_buf *out, int *code, struct iot_error *err)
{
	const char *const argv[] = {"sh", "-c", script, NULL};
	const struct iot_process_options options = {.argv = argv};

	return iot_process_run(&options, timeout_ms, out, code, err);
}

static void test_runs(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	int code = -1;

	ASSERT_OK(run("echo out; echo err >&2; exit 3", 10000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 3);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&out), "out\nerr\n");
	ASSERT_OK(run("kill -9 $$", 10000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 128 + SIGKILL);
}

static void test_output_is_bounded(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	int code = -1;

	/* More than the pipe holds: the child must not be left waiting for a reader. */
	ASSERT_OK(run("head -c 300000 /dev/zero", 20000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 0);
	CU_ASSERT_TRUE(out.over);
	CU_ASSERT_TRUE(out.len <= 1000);
}

static void test_missing_program(void)
{
	const char *const argv[] = {"no-such-program-here", NULL};
	const char *const folder[] = {"/tmp", NULL};
	struct iot_process_options options = {.argv = argv};
	struct iot_process process = IOT_PROCESS_INIT;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_process_start(&options, &process, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "'no-such-program-here'");
	CU_ASSERT_PTR_NULL(iot_process_find("no-such-program-here"));
	options.argv = folder; /* exec itself fails */
	CU_ASSERT_NOT_EQUAL(iot_process_start(&options, &process, &err), IOT_OK);
	CU_ASSERT_EQUAL(process.pid, 0);
}

static void test_time_out_ends_it(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before = iot_monotonic_ms();
	int code = -1;

	ASSERT_STATUS(run("exec sleep 30", 100, &out, &code, &err), IOT_TIMEOUT, &err);
	CU_ASSERT_TRUE(iot_monotonic_ms() - before < 10000);
}

/* A child that closed its output, or gave it to one that lives on, is still waited for no longer than it runs. */
static void test_pipe_and_life_differ(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before = iot_monotonic_ms();
	int code = -1;

	ASSERT_OK(run("echo a; exec >&- 2>&-; sleep 0.1; exit 4", 10000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 4);
	iot_buf_clear(&out);
	ASSERT_OK(run("sleep 60 & echo $!; exit 5", 50000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 5);
	CU_ASSERT_TRUE(iot_monotonic_ms() - before < 20000);
	CU_ASSERT_TRUE(atoi(iot_buf_str(&out)) > 1);
	if (atoi(iot_buf_str(&out)) > 1)
		kill(atoi(iot_buf_str(&out)), SIGKILL);
}

static void test_stop_insists(void)
{
	const char *const argv[] = {"sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done", NULL};
	const struct iot_process_options options = {.argv = argv, .capture = true, .new_session = true};
	struct iot_process process = IOT_PROCESS_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	struct pollfd fd;
	pid_t pid;

	ASSERT_OK(iot_process_start(&options, &process, &err), &err);
	pid = process.pid;
	fd = (struct pollfd){.fd = process.out_fd, .events = POLLIN};
	CU_ASSERT_EQUAL(poll(&fd, 1, 10000), 1); /* the trap is set */
	CU_ASSERT_EQUAL(getsid(pid), pid);
	CU_ASSERT_FALSE(iot_process_ended(&process, NULL));
	iot_process_stop(&process, 100);
	CU_ASSERT_TRUE(iot_process_ended(&process, NULL));
	CU_ASSERT_EQUAL(kill(pid, 0), -1); /* reaped */
	iot_process_stop(&process, 100);
	iot_process_release(&process);
}

static void test_log_is_private_and_appended(void)
{
	IOT_CLEAN(iot_free_p) char *dir = unit_mkdtemp();
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "log");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(1000);
	const char *const argv[] = {"sh", "-c", "echo line", NULL};
	const struct iot_process_options options = {.argv = argv, .log_path = path};
	struct iot_error err = IOT_ERROR_INIT;
	struct stat st = {0};

	for (int i = 0; i < 2; i++) {
		struct iot_process process = IOT_PROCESS_INIT;
		struct pollfd fd;

		ASSERT_OK(iot_process_start(&options, &process, &err), &err);
		CU_ASSERT_EQUAL(process.out_fd, -1);
		fd = (struct pollfd){.fd = process.pidfd, .events = POLLIN};
		for (int tries = 0; !iot_process_ended(&process, NULL) && tries < 1000; tries++)
			poll(&fd, 1, 10);
		iot_process_release(&process);
	}
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	ASSERT_OK(iot_fs_read(path, &text, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), "line\nline\n");
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
}

static void test_nothing_else_is_open(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	int code = -1, leak = dup(2); /* without close-on-exec */
	IOT_CLEAN(iot_free_p) char *script = iot_strf("test ! -e /proc/self/fd/%d", leak);

	ASSERT_OK(run(script, 10000, &out, &code, &err), &err);
	CU_ASSERT_EQUAL(code, 0);
	close(leak);
}

static void test_dies_with_parent(void)
{
	const char *const argv[] = {"sleep", "60", NULL};
	const struct iot_process_options options = {.argv = argv, .die_with_parent = true, .capture = true};
	int ends[2], n;
	struct pollfd fd;
	pid_t child, grandchild = 0;

	CU_ASSERT_EQUAL(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		struct iot_process process = IOT_PROCESS_INIT;

		if (iot_process_start(&options, &process, NULL) != IOT_OK)
			_exit(1);
		n = (int)write(ends[1], &process.pid, sizeof(process.pid));
		_exit(n < 0);
	}
	close(ends[1]);
	CU_ASSERT_EQUAL(read(ends[0], &grandchild, sizeof(grandchild)), (ssize_t)sizeof(grandchild));
	/* The grandchild is not ours to wait for; it is gone when its id is, or it is a zombie of init's. */
	for (int tries = 0; tries < 500; tries++) {
		IOT_CLEAN(iot_free_p) char *path = iot_strf("/proc/%d/stat", (int)grandchild);
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4096);

		if (iot_fs_read(path, &text, NULL) != IOT_OK || strstr(iot_buf_str(&text), ") Z ") != NULL) {
			grandchild = 0;
			break;
		}
		fd = (struct pollfd){.fd = -1};
		poll(&fd, 1, 10);
	}
	CU_ASSERT_EQUAL(grandchild, 0);
	close(ends[0]);
}

static void test_feeds(void)
{
	const char *const argv[] = {"cat", NULL};
	const struct iot_process_options options = {.argv = argv, .feed = true, .capture = true};
	struct iot_process process = IOT_PROCESS_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	struct pollfd fd;
	char text[16] = "";
	int code = -1;
	int64_t deadline = iot_deadline(10000);

	ASSERT_OK(iot_process_start(&options, &process, &err), &err);
	CU_ASSERT_EQUAL(write(process.in_fd, "hello\n", 6), 6);
	fd = (struct pollfd){.fd = process.out_fd, .events = POLLIN};
	CU_ASSERT_EQUAL(poll(&fd, 1, 10000), 1);
	CU_ASSERT_EQUAL(read(process.out_fd, text, sizeof(text) - 1), 6);
	CU_ASSERT_STRING_EQUAL(text, "hello\n");
	CU_ASSERT_FALSE(iot_process_ended(&process, &code));
	iot_close_p(&process.in_fd);
	process.in_fd = -1;
	while (!iot_process_ended(&process, &code) && iot_left(deadline) > 0)
		usleep(1000);
	CU_ASSERT_EQUAL(code, 0);
	iot_process_release(&process);
}

/* One that does not read takes what the pipe holds; the writer is not kept. */
static void test_feeding_never_waits(void)
{
	const char *const argv[] = {"sleep", "100", NULL};
	const struct iot_process_options options = {.argv = argv, .feed = true};
	struct iot_process process = IOT_PROCESS_INIT;
	struct iot_error err = IOT_ERROR_INIT;
	static const char block[65536];
	ssize_t n = 0;

	ASSERT_OK(iot_process_start(&options, &process, &err), &err);
	for (int i = 0; i < 100 && n >= 0; i++)
		n = write(process.in_fd, block, sizeof(block));
	CU_ASSERT_EQUAL(n, -1);
	iot_process_stop(&process, 5000);
	iot_process_release(&process);
}

UNIT_MAIN("transport/process", NULL, NULL, {"runs", test_runs}, {"output-is-bounded", test_output_is_bounded},
	  {"missing-program", test_missing_program}, {"time-out-ends-it", test_time_out_ends_it},
	  {"pipe-and-life-differ", test_pipe_and_life_differ}, {"stop-insists", test_stop_insists},
	  {"log-is-private-and-appended", test_log_is_private_and_appended},
	  {"nothing-else-is-open", test_nothing_else_is_open}, {"dies-with-parent", test_dies_with_parent},
	  {"feeds", test_feeds}, {"feeding-never-waits", test_feeding_never_waits})
