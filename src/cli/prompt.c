/* Questions to the person at the terminal, and what kind of terminal that is. */
#include "cli/internal.h"
#include "cli/output_private.h"
#include "iotctl/base.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);

	return value != NULL && value[0] != '\0';
}

bool cli_is_screen(int fd)
{
	const char *term = getenv("TERM");
	const char *ci = getenv("CI");

	if (term == NULL || term[0] == '\0' || strcmp(term, "dumb") == 0)
		return false;
	if (ci != NULL && ci[0] != '\0' && strcmp(ci, "false") != 0)
		return false;
	return isatty(fd) == 1;
}

size_t cli_screen_columns(int fd)
{
	struct winsize size;

	return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

bool cli_wants_color(int choice, int fd)
{
	const char *force = getenv("CLICOLOR_FORCE");

	if (choice != 0)
		return choice == 1;
	if (is_set("NO_COLOR"))
		return false;
	if (force != NULL && force[0] != '\0' && strcmp(force, "0") != 0)
		return true;
	return cli_is_screen(fd);
}

/* One line from stdin; interruptible, whatever the C library does with EINTR. */
static enum iot_status read_answer(char *out, size_t size, struct iot_error *err)
{
	struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = cli_interrupt_fd(), .events = POLLIN}};
	ssize_t n = 0;

	while (poll(fds, 2, -1) < 0 && errno == EINTR && cli_signal() == 0)
		continue;
	if (cli_signal() != 0)
		return iot_fail(err, IOT_INTERRUPTED, "interrupted");
	n = read(STDIN_FILENO, out, size - 1);
	if (n < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read the answer");
	out[n] = '\0';
	return IOT_OK;
}

/* The question, and the line that is the answer to it. `choices` follows the question. */
static enum iot_status ask(struct cli_context *ctx, const char *option, const char *question, const char *choices,
			   char *answer, size_t size, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf shown = IOT_BUF_INIT(4096);
	enum iot_status status;

	if (ctx->no_input) {
		iot_fail(err, IOT_USAGE, "nobody to ask '%s'", question);
		iot_error_hint(err, "give %s to say yes", option);
		return IOT_USAGE;
	}
	progress_hide(ctx->progress);
	output_escape(&shown, question, strlen(question));
	fprintf(stderr, "%s %s ", iot_buf_str(&shown), choices);
	fflush(stderr);
	status = read_answer(answer, size, err);
	answer[strcspn(answer, "\r\n")] = '\0';
	return status;
}

enum iot_status cli_confirm(struct cli_context *ctx, const char *option, struct iot_error *err, const char *fmt, ...)
{
	char question[512], answer[64] = "";
	enum iot_status status;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(question, sizeof(question), fmt, ap);
	va_end(ap);
	status = ask(ctx, option, question, "[y/N]", answer, sizeof(answer), err);
	if (status != IOT_OK)
		return status;
	if (strcmp(answer, "y") == 0 || strcmp(answer, "Y") == 0 || strcmp(answer, "yes") == 0)
		return IOT_OK;
	return iot_fail(err, IOT_ABORTED, "not confirmed");
}

enum iot_status cli_confirm_word(struct cli_context *ctx, const char *option, const char *word, struct iot_error *err,
				 const char *fmt, ...)
{
	char question[512], choices[96], answer[64] = "";
	enum iot_status status;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(question, sizeof(question), fmt, ap);
	va_end(ap);
	snprintf(choices, sizeof(choices), "Type '%s' to go on:", word);
	status = ask(ctx, option, question, choices, answer, sizeof(answer), err);
	if (status != IOT_OK)
		return status;
	return strcmp(answer, word) == 0 ? IOT_OK : iot_fail(err, IOT_ABORTED, "not confirmed");
}
