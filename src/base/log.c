/*
 * The log: one bounded line per call, made harmless for a terminal, to stderr
 * in one write(2) or to a sink. The settings are meant to be made once at
 * start, before threads exist.
 */
#include "iotctl/log.h"

#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048 };

static _Atomic int max_level = IOT_LOG_NOTICE;
static void (*line_sink)(enum iot_log_level level, const char *line, void *data);
static void *sink_data;
static bool with_stamp;

void iot_log_set_level(enum iot_log_level level)
{
	atomic_store(&max_level, (int)level);
}

enum iot_log_level iot_log_get_level(void)
{
	return (enum iot_log_level)atomic_load(&max_level);
}

void iot_log_set_sink(void (*sink)(enum iot_log_level level, const char *line, void *data), void *data)
{
	line_sink = sink;
	sink_data = data;
}

void iot_log_set_stamp(bool on)
{
	with_stamp = on;
}

/* Diagnostics are lost when stderr is gone; there is nowhere to say so. */
static void write_stderr(const char *line)
{
	char out[LINE_MAX_BYTES + 64];
	char stamp[32] = "";
	int len;
	ssize_t written;

	if (with_stamp)
		iot_time_rfc3339(iot_now_ms(), stamp);
	len = snprintf(out, sizeof(out), "%s%siotctl: %s\n", stamp, with_stamp ? " " : "", line);
	for (int done = 0; done < len; done += (int)written) {
		written = write(STDERR_FILENO, out + done, (size_t)(len - done));
		if (written <= 0)
			return;
	}
}

void iot_log(enum iot_log_level level, const char *fmt, ...)
{
	char line[LINE_MAX_BYTES];
	va_list args;

	if ((int)level > atomic_load(&max_level))
		return;
	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	iot_text_printable(line);
	if (line_sink != NULL)
		line_sink(level, line, sink_data);
	else
		write_stderr(line);
}

void iot_log_error(enum iot_log_level level, const char *prefix, const struct iot_error *err)
{
	char line[1100];

	iot_log(level, "%s%s", prefix != NULL ? prefix : "", iot_error_line(err, line, sizeof(line)));
}
