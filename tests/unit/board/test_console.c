/* A console whose board echoes late: what was secret stays out of the transcript. */
#include "unit.h"

#include "board/console.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PROMPT "> "
enum { CTRL_C = 3, FILE_MAX = 65536 };

/* Prompts for a Ctrl-C and echoes, but is deaf between the first letter of a secret and the second Ctrl-C after it. */
static struct {
	int master, stop[2];
	char port[64];
	pthread_t thread;
	int deaf; /* so many Ctrl-C more */
	char kept[256];
	size_t kept_len;
} board;
static char *dir, *transcript;

static void say(const char *text, size_t len)
{
	if (write(board.master, text, len) != (ssize_t)len)
		abort();
}

static void hear(char c)
{
	if (c == CTRL_C) {
		if (board.deaf > 0 && --board.deaf > 0)
			return;
		say(board.kept, board.kept_len); /* what it should have echoed long since */
		board.kept_len = 0;
		say("\r\n" PROMPT, strlen("\r\n" PROMPT));
	} else if (c == 'S' || board.deaf > 0) {
		board.deaf = board.deaf > 0 ? board.deaf : 2;
		if (board.kept_len < sizeof(board.kept))
			board.kept[board.kept_len++] = c;
	} else if (c == '\n') {
		say("\r\nfine\r\n" PROMPT, strlen("\r\nfine\r\n" PROMPT));
	} else {
		say(&c, 1);
	}
}

static void *run(void *data)
{
	(void)data;
	for (;;) {
		struct pollfd fds[2] = {{board.master, POLLIN, 0}, {board.stop[0], POLLIN, 0}};
		char c;

		if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
			return NULL;
		if (read(board.master, &c, 1) == 1)
			hear(c);
		else
			usleep(1000); /* nobody has it open yet */
	}
}

static void set_up(void)
{
	memset(&board, 0, sizeof(board));
	dir = unit_mkdtemp();
	transcript = iot_path(dir, "said");
	board.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (board.master < 0 || grantpt(board.master) != 0 || unlockpt(board.master) != 0 ||
	    ptsname_r(board.master, board.port, sizeof(board.port)) != 0 || pipe(board.stop) != 0 ||
	    pthread_create(&board.thread, NULL, run, NULL) != 0)
		abort();
}

static void tear_down(void)
{
	if (write(board.stop[1], "x", 1) != 1 || pthread_join(board.thread, NULL) != 0)
		abort();
	close(board.master);
	close(board.stop[0]);
	close(board.stop[1]);
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(transcript);
	free(dir);
}

static enum console_verdict judge(const char *line, bool prompt, void *data)
{
	bool *fine = data;

	*fine = *fine || strcmp(line, "fine") == 0;
	return prompt && *fine ? CONSOLE_DONE : CONSOLE_MORE;
}

static void enter_plain(struct console *console)
{
	struct iot_error err = IOT_ERROR_INIT;
	bool fine = false, done = false;

	ASSERT_OK(console_enter(console, CONSOLE_TEXTS({"plain", false}), &err), &err);
	ASSERT_OK(console_read(console, judge, &fine, 2000, 200, &done, &err), &err);
	CU_ASSERT_TRUE(fine && done);
}

static void test_late_echo_of_a_secret(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf said = IOT_BUF_INIT(FILE_MAX);
	const struct iot_serial_options serial = {.path = board.port, .interrupt_fd = -1, .transcript = transcript};
	const struct console_options options = {
		.serial = &serial, .name = "test console", .prompt = PROMPT, .echo_ms = 60};
	struct iot_error err = IOT_ERROR_INIT;
	struct console *console = NULL;

	ASSERT_OK(console_open(&options, &console, &err), &err);
	ASSERT_STATUS(console_enter(console, CONSOLE_TEXTS({"word ", false}, {"SECRET", true}), &err), IOT_BOARD, &err);
	iot_error_clear(&err);
	enter_plain(console);
	enter_plain(console);
	console_close(console);
	ASSERT_OK(iot_fs_read(transcript, &said, &err), &err);
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&said), "ECRET"));
	ASSERT_CONTAINS(iot_buf_str(&said), "(a line with a secret)");
	ASSERT_CONTAINS(iot_buf_str(&said), "fine"); /* and it is not left out for ever */
}

UNIT_MAIN("board/console", set_up, tear_down, {"late-echo-of-a-secret", test_late_echo_of_a_secret})
