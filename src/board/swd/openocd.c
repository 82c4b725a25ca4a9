/*
 * One run of OpenOCD: a script of steps, each of which reports itself with a
 * marker that nothing else prints, and what to make of its end. Its network
 * ports are off. Bytes go to and from it through memory files that it inherits.
 */
#include "board/swd/swd_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/process.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PROBE_TRIES = 4, PROBE_PAUSE_MS = 500 };
enum { TIMEOUT_MS = 60000, OUTPUT_MAX = 4 * 1024 * 1024, SCRIPT_MAX = 64 * 1024, ARGUMENTS_MAX = 16 };
#define MARK "IOTCTL:"

void swd_run_init(struct swd_run *run, const struct iot_swd_options *options)
{
	*run = (struct swd_run){.options = options, .script = IOT_BUF_INIT(SCRIPT_MAX), .results = json_array()};
	iot_buf_adds(&run->script, "proc iot_step {name body} {\n"
				   "  if {[catch {uplevel 1 $body} result]} {\n"
				   "    echo \"" MARK "FAIL:$name:$result\"\n"
				   "    shutdown error\n    error stop\n  }\n"
				   "  echo \"" MARK "OK:$name:$result\"\n}\n");
}

void swd_run_release(struct swd_run *run)
{
	for (size_t i = 0; i < run->fd_count; i++)
		close(run->fds[i]);
	run->fd_count = 0;
	iot_buf_release(&run->script);
	json_decref(run->results);
	run->results = NULL;
}

void swd_step(struct swd_run *run, const char *name, const char *tcl, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, tcl);
	if (vasprintf(&text, tcl, args) < 0)
		text = NULL;
	va_end(args);
	if (text == NULL)
		run->script.over = true; /* told by swd_run */
	else
		iot_buf_addf(&run->script, "iot_step {%s} {%s}\n", name, text);
	free(text);
	run->steps++;
}

enum iot_status swd_run_file(struct swd_run *run, const void *data, size_t len, int *ret_fd, struct iot_error *err)
{
	int fd = memfd_create("iotctl", MFD_CLOEXEC), fault;

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a memory file");
	run->fds[run->fd_count++] = fd;
	fault = iot_fs_write_all(fd, data, len);
	if (fault != 0)
		return iot_fail_errno(err, IOT_FAILURE, fault, "cannot write a memory file");
	*ret_fd = fd;
	return IOT_OK;
}

const char *swd_result(const struct swd_run *run, size_t step)
{
	const char *text = json_string_value(json_array_get(run->results, step));

	return text != NULL ? text : "";
}

/* --- the command line -------------------------------------------------------------------- */

/* Names and ports become Tcl words in braces: nothing in them may end one. */
static enum iot_status check_probe(const char *probe, struct iot_error *err)
{
	if (*probe != '\0' && *probe != ':' && strpbrk(probe, "{}[]\\\"$\n") == NULL && strstr(probe, "..") == NULL)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%s' is not a debug probe", probe);
	iot_error_hint(err, "name one of OpenOCD's interfaces, as cmsis-dap, stlink or buspirate:/dev/ttyUSB0");
	return IOT_USAGE;
}

const char *iot_swd_probe_port(const char *probe)
{
	const char *colon = strchr(probe, ':');

	return colon != NULL && strchr(colon, '/') != NULL ? colon + 1 : NULL;
}

static void add_interface(struct iot_buf *script, const char *probe)
{
	const char *colon = strchr(probe, ':');
	int name = colon != NULL ? (int)(colon - probe) : (int)strlen(probe);
	bool buspirate = strncmp(probe, "buspirate", (size_t)name) == 0;

	iot_buf_addf(script, "source [find {interface/%.*s.cfg}]\n", name, probe);
	if (colon != NULL)
		iot_buf_addf(script, "%s {%s}\n", buspirate ? "buspirate port" : "adapter serial", colon + 1);
	iot_buf_adds(script, "transport select swd\n");
	if (buspirate) /* slow: what it saves by running code on the target is less than what loading it costs */
		iot_buf_adds(script, "set WORKAREASIZE 0\n");
}

static enum iot_status compose(struct swd_run *run, struct iot_buf *script, struct iot_error *err)
{
	enum iot_status status = check_probe(run->options->probe, err);

	if (status != IOT_OK)
		return status;
	iot_buf_adds(script, "gdb_port disabled\ntcl_port disabled\ntelnet_port disabled\n");
	add_interface(script, run->options->probe);
	iot_buf_addf(script, "source [find {%s}]\n", run->options->target->config);
	iot_buf_add(script, iot_buf_str(&run->script), run->script.len);
	script->over |= run->script.over;
	iot_buf_adds(script, "echo \"" MARK "END\"\nshutdown\n");
	return iot_buf_check(script, "script for OpenOCD", err);
}

/* --- what it said --------------------------------------------------------------------------- */

static const struct {
	const char *said, *means, *cure;
} words[] = {
	{"Could not open serial port", "the debug probe's port cannot be opened",
	 "is the probe plugged in, and the path right?"},
	{"unable to open", "the debug probe cannot be opened", "is it plugged in, and may this user open it?"},
	{"no device found", "the debug probe is not there", "is it plugged in?"},
	{"Can't find interface", "OpenOCD does not know this debug probe",
	 "look into OpenOCD's folder interface/ for its name"},
	{"Can't find target", "OpenOCD does not know this target", "is OpenOCD new enough?"},
	{"invalid command name", "this OpenOCD lacks a command that is needed",
	 "version 0.12.0 or later is wanted: 'openocd --version' tells which it is"},
	{"Error connecting DP", "the target does not answer on SWD",
	 "is it powered, and are SWDIO, SWCLK and ground connected?"},
	{"DP initialisation failed", "the target does not answer on SWD",
	 "is it powered, and are SWDIO, SWCLK and ground connected?"},
	{"device protected", "this part of the flash is write-protected", "take its protection off first"},
};

static void explain(const char *output, struct iot_error *err, const char *step, const char *result)
{
	const char *last = NULL;
	char line[200];

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strstr(output, words[i].said) == NULL)
			continue;
		iot_fail(err, IOT_BOARD, "%s", words[i].means);
		iot_error_hint(err, "%s", words[i].cure);
		return;
	}
	for (const char *at = output; (at = strstr(at, "Error: ")) != NULL; at++)
		last = at + strlen("Error: ");
	if (last == NULL)
		last = *result != '\0' ? result : "it gave no reason";
	snprintf(line, sizeof(line), "%.*s", (int)strcspn(last, "\n"), last);
	iot_text_printable(line);
	iot_fail(err, IOT_BOARD, "openocd failed%s%s: %s", *step != '\0' ? " at " : "", step, line);
}

/* Collect the markers; the first failed step's name and result. */
static bool read_markers(struct swd_run *run, const char *output, char *result, size_t size)
{
	bool ended = false;

	for (const char *at = output; (at = strstr(at, MARK)) != NULL; at += strcspn(at, "\n")) {
		const char *name, *text;

		at += strlen(MARK);
		if (strncmp(at, "END", 3) == 0) {
			ended = true;
			continue;
		}
		name = strchr(at, ':');
		text = name != NULL ? strchr(name + 1, ':') : NULL;
		if (text == NULL || text > at + strcspn(at, "\n"))
			continue;
		if (strncmp(at, "OK:", 3) == 0) {
			json_array_append_new(run->results, json_stringn_nocheck(text + 1, strcspn(text + 1, "\n")));
		} else if (*run->failed == '\0') {
			snprintf(run->failed, sizeof(run->failed), "%.*s", (int)(text - name - 1), name + 1);
			snprintf(result, size, "%.*s", (int)strcspn(text + 1, "\n"), text + 1);
		}
	}
	return ended && *run->failed == '\0' && json_array_size(run->results) == run->steps;
}

static void keep_log(const struct iot_swd_options *options, const struct iot_buf *output)
{
	int fd = options->log != NULL ? open(options->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;

	if (fd < 0)
		return;
	if (write(fd, iot_buf_str(output), output->len) < 0)
		errno = 0; /* a log that cannot be written stops nothing */
	close(fd);
}

static enum iot_status start(struct swd_run *run, int script_fd, struct iot_buf *output, int *ret_code,
			     struct iot_error *err)
{
	const struct iot_swd_options *options = run->options;
	IOT_CLEAN(iot_free_p) char *path = iot_strf("/proc/self/fd/%d", script_fd);
	const char *argv[] = {options->program != NULL ? options->program : "openocd", "-f", path, NULL};
	const struct iot_process_options process = {.argv = argv,
						    .die_with_parent = true,
						    .die_at_once = true,
						    .pass = run->fds,
						    .pass_count = run->fd_count};
	enum iot_status status = iot_process_run(&process, options->timeout_ms > 0 ? options->timeout_ms : TIMEOUT_MS,
						 output, ret_code, err);

	if (status == IOT_NOT_FOUND) {
		iot_fail(err, IOT_BOARD, "program '%s' is not there", argv[0]);
		iot_error_hint(err, "install the package openocd");
		return IOT_BOARD;
	}
	return status;
}

/*
 * A probe may be in the middle of something, when whoever used it was killed, or is just ending: then it does not come
 * up, and a moment later it does. What was wrong with the target is another matter.
 */
static bool probe_was_busy(const struct swd_run *run, const char *output)
{
	if (iot_starts_with(run->options->probe, "buspirate"))
		return strstr(output, "Interface ready!") == NULL &&
		       strstr(output, "Could not open serial port") == NULL;
	return strstr(output, "LIBUSB_ERROR_BUSY") != NULL;
}

/* Run it. *ret_good: it did all that it was told. */
static enum iot_status run_once(struct swd_run *run, int script_fd, struct iot_buf *output, int *ret_code, char *result,
				size_t size, bool *ret_good, struct iot_error *err)
{
	enum iot_status status;

	iot_buf_clear(output);
	json_array_clear(run->results);
	run->failed[0] = result[0] = '\0';
	status = start(run, script_fd, output, ret_code, err);
	keep_log(run->options, output);
	*ret_good = status == IOT_OK && read_markers(run, iot_buf_str(output), result, size) && *ret_code == 0;
	return status;
}

enum iot_status swd_run(struct swd_run *run, struct iot_error *err)
{
	struct iot_buf script = IOT_BUF_INIT(SCRIPT_MAX), output = IOT_BUF_INIT(OUTPUT_MAX);
	char result[200] = "";
	bool good = false;
	int fd = -1, code = 0;
	enum iot_status status = compose(run, &script, err);

	if (status == IOT_OK)
		status = swd_run_file(run, script.data, script.len, &fd, err);
	for (int tries = 0; status == IOT_OK && !good && tries < PROBE_TRIES; tries++) {
		if (tries > 0)
			poll(NULL, 0, PROBE_PAUSE_MS);
		status = run_once(run, fd, &output, &code, result, sizeof(result), &good, err);
		if (!probe_was_busy(run, iot_buf_str(&output)))
			break;
	}
	if (status == IOT_OK && !good) {
		status = IOT_BOARD;
		if (code > 128 && code <= 128 + SIGRTMAX && *run->failed == '\0')
			iot_fail(err, IOT_BOARD, "openocd was ended by signal %d", code - 128);
		else
			explain(iot_buf_str(&output), err, run->failed, result);
	}
	iot_buf_release(&output);
	iot_buf_release(&script);
	return status;
}
