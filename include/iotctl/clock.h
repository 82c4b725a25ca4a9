/*
 * Time. Wall-clock times are milliseconds since 1970-01-01T00:00:00Z; deadlines
 * use the monotonic clock. Both can be replaced in tests.
 */
#ifndef IOTCTL_CLOCK_H
#define IOTCTL_CLOCK_H

#include "iotctl/error.h"

#include <stdint.h>

int64_t iot_now_ms(void);       /* wall clock */
int64_t iot_monotonic_ms(void); /* monotonic clock */

/* Tests only: from now on iot_now_ms() returns `ms` (0: the real clock again). */
void iot_clock_freeze(int64_t ms);

/* "2026-11-21T10:00:00Z" (RFC 3339, whole seconds); out holds 32 bytes. Returns out. */
char *iot_time_rfc3339(int64_t ms, char out[32]);
/* The same with milliseconds: "2026-11-21T10:00:00.123Z". */
char *iot_time_rfc3339_ms(int64_t ms, char out[32]);
IOT_CHECK enum iot_status iot_time_parse_rfc3339(const char *text, int64_t *ret_ms, struct iot_error *err);

/*
 * IOT_FAILURE if the clock is certainly wrong (before 2025 or after 2100):
 * certificates and signatures made then would be invalid everywhere.
 */
IOT_CHECK enum iot_status iot_clock_check(struct iot_error *err);

/* A deadline: milliseconds from now on the monotonic clock. */
static inline int64_t iot_deadline(int64_t timeout_ms)
{
	return iot_monotonic_ms() + timeout_ms;
}
/* What is left of it, never below 0, never above INT_MAX: fit for poll(2). */
int iot_left(int64_t deadline);

#endif
