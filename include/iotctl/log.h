/*
 * Diagnostics. One line per call on stderr, or wherever a sink sends it (the
 * mosquitto plugin sends it to the broker's log). Data never goes here, nor secrets.
 */
#ifndef IOTCTL_LOG_H
#define IOTCTL_LOG_H

#include "iotctl/error.h"

enum iot_log_level { IOT_LOG_ERROR, IOT_LOG_WARNING, IOT_LOG_NOTICE, IOT_LOG_INFO, IOT_LOG_DEBUG };

/* Lines above this level are dropped. Default IOT_LOG_NOTICE. */
void iot_log_set_level(enum iot_log_level level);
enum iot_log_level iot_log_get_level(void);
/* NULL: stderr, with "iotctl: " in front (and a time stamp when iot_log_set_stamp(true)). */
void iot_log_set_sink(void (*sink)(enum iot_log_level level, const char *line, void *data), void *data);
void iot_log_set_stamp(bool on);
void iot_log(enum iot_log_level level, const char *fmt, ...) IOT_PRINTF(2, 3);
/* The one line of an error object at a level, with `prefix` ("cannot reload policies: ") in front. */
void iot_log_error(enum iot_log_level level, const char *prefix, const struct iot_error *err);

#define iot_warn(...) iot_log(IOT_LOG_WARNING, __VA_ARGS__)
#define iot_notice(...) iot_log(IOT_LOG_NOTICE, __VA_ARGS__)
#define iot_info(...) iot_log(IOT_LOG_INFO, __VA_ARGS__)
#define iot_debug(...) iot_log(IOT_LOG_DEBUG, __VA_ARGS__)

#endif
