/* Serial lines on ptys: lines, deadlines, exclusiveness, what a transcript shows, and what it does not. */
#include "iotctl/serial.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master;
static char path[64];
static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, path, sizeof(path)) != 0)
		abort();
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (master >= 0)
		close(master);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

static struct iot_serial *open_it(struct iot_serial_options options)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_serial *serial = NULL;

	options.path = options.path != NULL ? options.path : path;
	if (options.interrupt_fd == 0)
		options.interrupt_fd = -1;
	ASSERT_OK(iot_serial_open(&options, &serial, &err), &err);
	return serial;
}

static void from_board(const char *text)
{
	CU_ASSERT_EQUAL(write(master, text, strlen(text)), (ssize_t)strlen(text));
}

static void test_lines(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	bool cut = true;

	from_board("OK one\r\n\ntwo\nthr");
	ASSERT_OK(iot_serial_read_line(serial, &line, &cut, iot_deadline(2000), &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "OK one");
	CU_ASSERT_FALSE(cut);
	ASSERT_OK(iot_serial_read_line(serial, &line, NULL, iot_deadline(2000), &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "");
	ASSERT_OK(iot_serial_read_line(serial, &line, NULL, iot_deadline(2000), &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "two");
	/* A deadline in the middle of a line loses nothing of it. */
	ASSERT_STATUS(iot_serial_read_line(serial, &line, NULL, iot_deadline(20), &err), IOT_TIMEOUT, &err);
	from_board("ee\r\n");
	ASSERT_OK(iot_serial_read_line(serial, &line, NULL, iot_deadline(2000), &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "three");
}

static void test_long_line_is_cut(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){.line_max = 10});
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;
	bool cut = false;

	from_board("0123456789abcdef");
	ASSERT_STATUS(iot_serial_read_line(serial, &line, &cut, iot_deadline(50), &err), IOT_TIMEOUT, &err);
	from_board("ghij\nshort\n");
	ASSERT_OK(iot_serial_read_line(serial, &line, &cut, iot_deadline(2000), &err), &err);
	CU_ASSERT_TRUE(cut);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "0123456789");
	ASSERT_OK(iot_serial_read_line(serial, &line, &cut, iot_deadline(2000), &err), &err);
	CU_ASSERT_FALSE(cut);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&line), "short");
}

static void test_bytes_and_write(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	const struct iot_serial_part parts[] = {{"ab\n", 3, false}, {"c\r\0d", 4, false}};
	struct iot_error err = IOT_ERROR_INIT;
	char data[16];
	size_t got = 0;

	ASSERT_OK(iot_serial_write(serial, parts, 2, iot_deadline(2000), &err), &err);
	while (got < 7) { /* raw: nothing is translated, added or echoed; it may come in pieces */
		ssize_t n = read(master, data + got, sizeof(data) - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	CU_ASSERT_EQUAL(got, 7);
	CU_ASSERT_EQUAL(memcmp(data, "ab\nc\r\0d", 7), 0);
	from_board("\x01\x03\x13\x11xyz"); /* ^C, XON, XOFF mean nothing */
	ASSERT_OK(iot_serial_read(serial, data, 5, &got, iot_deadline(2000), &err), &err);
	CU_ASSERT_EQUAL(got, 5);
	ASSERT_OK(iot_serial_read(serial, data, sizeof(data), &got, iot_deadline(2000), &err), &err);
	CU_ASSERT_EQUAL(got, 2);
}

static void test_write_has_deadline(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	IOT_CLEAN(iot_free_p) char *much = iot_alloc(1 << 20);
	const struct iot_serial_part part = {much, 1 << 20, false};
	struct iot_error err = IOT_ERROR_INIT;

	memset(much, 'x', 1 << 20);
	ASSERT_STATUS(iot_serial_write(serial, &part, 1, iot_deadline(100), &err), IOT_TIMEOUT, &err);
	ASSERT_CONTAINS(err.what, "does not take");
}

static void test_exclusive(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	const struct iot_serial_options options = {.path = path, .interrupt_fd = -1};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_serial *other = NULL;
	int status = 0;
	pid_t pid;

	ASSERT_STATUS(iot_serial_open(&options, &other, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "is in use by");
	pid = fork();
	if (pid == 0) { /* another process is told who has it */
		err = (struct iot_error)IOT_ERROR_INIT;
		if (iot_serial_open(&options, &other, &err) != IOT_BOARD)
			_exit(1);
		_exit(strstr(err.what, "transport_seria (process") != NULL || strstr(err.what, "(process ") != NULL
			      ? 0
			      : 2);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	CU_ASSERT_EQUAL(status, 0);
	iot_serial_close(serial);
	serial = NULL;
	ASSERT_OK(iot_serial_open(&options, &other, &err), &err); /* free again */
	iot_serial_close(other);
}

static void test_wrong_ports(void)
{
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "file");
	struct iot_serial_options options = {.path = "/nowhere/ttyX", .interrupt_fd = -1};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_serial *serial = NULL;

	ASSERT_STATUS(iot_serial_open(&options, &serial, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.hint, "board list");
	options.path = "/dev/null";
	ASSERT_STATUS(iot_serial_open(&options, &serial, &err), IOT_BOARD, &err);
	ASSERT_OK(iot_fs_write(file, 0600, "x", 1, &err), &err);
	options.path = file;
	ASSERT_STATUS(iot_serial_open(&options, &serial, &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "is not a serial port");
	options.path = path;
	options.baud = 12345;
	ASSERT_STATUS(iot_serial_open(&options, &serial, &err), IOT_USAGE, &err);
}

static void test_link_and_settings(void)
{
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "board0");
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = NULL;
	struct termios now;

	CU_ASSERT_EQUAL(symlink(path, link), 0);
	serial = open_it((struct iot_serial_options){.path = link});
	CU_ASSERT_EQUAL(tcgetattr(master, &now), 0);
	CU_ASSERT_EQUAL(now.c_lflag & (tcflag_t)(ECHO | ICANON | ISIG), 0);
	CU_ASSERT_EQUAL(now.c_cflag & HUPCL, 0);
	CU_ASSERT_EQUAL(now.c_iflag & (tcflag_t)(IXON | ICRNL), 0);
	CU_ASSERT_EQUAL(cfgetospeed(&now), B115200);
}

static void test_gone(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(1000);
	struct iot_error err = IOT_ERROR_INIT;

	close(master);
	master = -1;
	ASSERT_STATUS(iot_serial_read_line(serial, &line, NULL, iot_deadline(5000), &err), IOT_BOARD, &err);
	ASSERT_CONTAINS(err.what, "is gone");
}

static void test_interrupt(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int pipe_fds[2];

	CU_ASSERT_EQUAL(pipe(pipe_fds), 0);
	{
		IOT_CLEAN(iot_serial_close_p)
		struct iot_serial *serial = open_it((struct iot_serial_options){.interrupt_fd = pipe_fds[0]});
		IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(1000);

		CU_ASSERT_EQUAL(write(pipe_fds[1], "x", 1), 1);
		ASSERT_STATUS(iot_serial_read_line(serial, &line, NULL, iot_deadline(5000), &err), IOT_INTERRUPTED,
			      &err);
		ASSERT_STATUS(iot_serial_settle(serial, 100, iot_deadline(5000), NULL, &err), IOT_INTERRUPTED, &err);
	}
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void test_settle(void)
{
	IOT_CLEAN(iot_serial_close_p) struct iot_serial *serial = open_it((struct iot_serial_options){0});
	struct iot_error err = IOT_ERROR_INIT;
	size_t dropped = 0;
	char data[4];
	size_t got;

	from_board("boot noise\r\nmore");
	ASSERT_OK(iot_serial_settle(serial, 30, iot_deadline(2000), &dropped, &err), &err);
	CU_ASSERT_EQUAL(dropped, 16);
	ASSERT_STATUS(iot_serial_read(serial, data, 4, &got, iot_deadline(20), &err), IOT_TIMEOUT, &err);
}

static void test_transcript(void)
{
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "said");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(10000);
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(1000);
	struct iot_serial *serial = open_it((struct iot_serial_options){.transcript = file});
	const struct iot_serial_part parts[] = {
		{"AT+CONF Passphrase=", 19, false}, {"hunter2", 7, true}, {"\n", 1, false}};
	struct iot_error err = IOT_ERROR_INIT;
	struct stat st;

	ASSERT_OK(iot_serial_write(serial, parts, 3, iot_deadline(2000), &err), &err);
	iot_serial_hide(serial, true);
	from_board("AT+CONF Passphrase=hunter2\r\n"); /* a board that echoes */
	ASSERT_OK(iot_serial_read_line(serial, &line, NULL, iot_deadline(2000), &err), &err);
	iot_serial_note(serial, "OK (rest left out)");
	iot_serial_hide(serial, false);
	from_board("OK \x1b[31m\r\n");
	ASSERT_OK(iot_serial_read_line(serial, &line, NULL, iot_deadline(2000), &err), &err);
	iot_serial_close(serial);
	ASSERT_OK(iot_fs_read(file, &text, &err), &err);
	ASSERT_CONTAINS(text.data, "> AT+CONF Passphrase=<secret>\n");
	ASSERT_CONTAINS(text.data, "< OK (rest left out)\n");
	ASSERT_CONTAINS(text.data, "< OK \\x1b[31m");
	CU_ASSERT_PTR_NULL(strstr(text.data, "hunter2"));
	CU_ASSERT_EQUAL(stat(file, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
}

/* A /proc of our own. */
static void make_process(const char *proc, const char *pid, const char *comm, const char *opened)
{
	IOT_CLEAN(iot_free_p) char *fd_dir = iot_strf("%s/%s/fd", proc, pid);
	IOT_CLEAN(iot_free_p) char *fd = iot_path(fd_dir, "7");
	IOT_CLEAN(iot_free_p) char *comm_path = iot_strf("%s/%s/comm", proc, pid);
	IOT_CLEAN(iot_free_p) char *line = iot_strf("%s\n", comm);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_mkdirs(fd_dir, 0700, &err), &err);
	CU_ASSERT_EQUAL(symlink(opened, fd), 0);
	ASSERT_OK(iot_fs_write(comm_path, 0600, line, strlen(line), &err), &err);
}

static void test_owner(void)
{
	IOT_CLEAN(iot_free_p) char *proc = iot_path(dir, "proc");
	IOT_CLEAN(iot_free_p) char *user = NULL;

	make_process(proc, "4000001", "bash", "/dev/null");
	CU_ASSERT_PTR_NULL(iot_serial_user(path, proc));
	CU_ASSERT_FALSE(iot_serial_modem_manager(proc));
	make_process(proc, "4000002", "minicom", path);
	make_process(proc, "4000003", "ModemManager", "/dev/null");
	user = iot_serial_user(path, proc);
	CU_ASSERT_PTR_NOT_NULL(user);
	CU_ASSERT_STRING_EQUAL(user != NULL ? user : "", "minicom (process 4000002)");
	CU_ASSERT_TRUE(iot_serial_modem_manager(proc));
}

static void test_ports(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *records = NULL;

	ASSERT_OK(iot_serial_ports(&records, &err), &err);
	CU_ASSERT_TRUE(json_is_array(records));
	json_decref(records);
}

UNIT_MAIN("transport/serial", set_up, tear_down, {"lines", test_lines}, {"long-line-is-cut", test_long_line_is_cut},
	  {"bytes-and-write", test_bytes_and_write}, {"write-has-deadline", test_write_has_deadline},
	  {"exclusive", test_exclusive}, {"wrong-ports", test_wrong_ports},
	  {"link-and-settings", test_link_and_settings}, {"gone", test_gone}, {"interrupt", test_interrupt},
	  {"settle", test_settle}, {"transcript", test_transcript}, {"owner", test_owner}, {"ports", test_ports})
