/* The log: what goes out at which level, as one harmless line, and where it goes. */
#include "unit.h"

#include "iotctl/clock.h"
#include "iotctl/log.h"

#include <fcntl.h>
#include <unistd.h>

static char last[4096];
static int lines;
static enum iot_log_level last_level;

static void sink(enum iot_log_level level, const char *line, void *data)
{
	snprintf(last, sizeof(last), "%s", line);
	last_level = level;
	(*(int *)data)++;
}

static void set_up(void)
{
	lines = 0;
	last[0] = '\0';
	iot_log_set_level(IOT_LOG_NOTICE);
	iot_log_set_sink(sink, &lines);
}

static void tear_down(void)
{
	iot_log_set_sink(NULL, NULL);
	iot_log_set_stamp(false);
	iot_clock_freeze(0);
}

static void test_levels(void)
{
	iot_info("not seen");
	iot_debug("not seen");
	CU_ASSERT_EQUAL(lines, 0);
	iot_notice("seen %d", 1);
	CU_ASSERT_STRING_EQUAL(last, "seen 1");
	CU_ASSERT_EQUAL(last_level, IOT_LOG_NOTICE);
	iot_log_set_level(IOT_LOG_DEBUG);
	CU_ASSERT_EQUAL(iot_log_get_level(), IOT_LOG_DEBUG);
	iot_debug("now seen");
	CU_ASSERT_EQUAL(last_level, IOT_LOG_DEBUG);
	iot_log_set_level(IOT_LOG_ERROR);
	iot_warn("not seen");
	CU_ASSERT_EQUAL(lines, 2);
}

static void test_one_bounded_harmless_line(void)
{
	char text[6000];

	iot_warn("client '%s'", "a\nb\x1b[31m\xff");
	CU_ASSERT_STRING_EQUAL(last, "client 'a?b?[31m?'");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	iot_warn("%s", text);
	CU_ASSERT(strlen(last) > 2000 && strlen(last) < 2100);
	CU_ASSERT_EQUAL(lines, 2);
}

static void test_error_objects(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_fail(&err, IOT_FAILURE, "100%% of %s", "%s");
	iot_log_error(IOT_LOG_ERROR, "cannot reload policies: ", &err);
	CU_ASSERT_STRING_EQUAL(last, "cannot reload policies: 100% of %s");
	iot_log_error(IOT_LOG_ERROR, NULL, &err);
	CU_ASSERT_STRING_EQUAL(last, "100% of %s");
}

static void test_stderr(void)
{
	char text[200] = "";
	int pipe_fds[2], saved = dup(STDERR_FILENO);
	ssize_t got;

	CU_ASSERT_EQUAL(pipe2(pipe_fds, O_CLOEXEC), 0);
	iot_log_set_sink(NULL, NULL);
	dup2(pipe_fds[1], STDERR_FILENO);
	iot_notice("plain");
	iot_clock_freeze(1795255200000);
	iot_log_set_stamp(true);
	iot_notice("stamped");
	dup2(saved, STDERR_FILENO);
	got = read(pipe_fds[0], text, sizeof(text) - 1);
	CU_ASSERT(got > 0);
	CU_ASSERT_STRING_EQUAL(text, "iotctl: plain\n2026-11-21T10:00:00Z iotctl: stamped\n");
	close(saved);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

UNIT_MAIN("base/log", set_up, tear_down, {"levels", test_levels},
	  {"one_bounded_harmless_line", test_one_bounded_harmless_line}, {"error_objects", test_error_objects},
	  {"stderr", test_stderr})
