/*
 * Clocks, deadlines and RFC 3339 times. Calendar arithmetic is done here and
 * not by mktime(3): no time zone database is asked, and every field is checked.
 */
#include "iotctl/clock.h"

#include "iotctl/base.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const int64_t year_2025_ms = 1735689600000;
static const int64_t year_2100_ms = 4102444800000;
static const time_t year_0_start = -62167219200;
static const time_t year_9999_end = 253402300799;

static _Atomic int64_t frozen_ms;

static int64_t read_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t iot_now_ms(void)
{
	int64_t frozen = atomic_load(&frozen_ms);

	return frozen != 0 ? frozen : read_clock(CLOCK_REALTIME);
}

int64_t iot_monotonic_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void iot_clock_freeze(int64_t ms)
{
	atomic_store(&frozen_ms, ms);
}

int iot_left(int64_t deadline)
{
	int64_t now = iot_monotonic_ms();

	if (deadline <= now)
		return 0;
	return deadline - now > INT_MAX ? INT_MAX : (int)(deadline - now);
}

/* Days from 1970-01-01 in the Gregorian calendar; years start in March, so that the leap day is the last one. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t from_march = month > 2 ? month - 3 : month + 9;
	int64_t centuries = y >= 0 ? y / 100 : (y - 99) / 100;
	int64_t leaps = (y >= 0 ? y / 4 : (y - 3) / 4) - centuries + (y >= 0 ? y / 400 : (y - 399) / 400);

	return y * 365 + leaps + (from_march * 153 + 2) / 5 + day - 1 - 719468;
}

static int days_in_month(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return month == 2 && leap ? 29 : days[month - 1];
}

char *iot_time_rfc3339(int64_t ms, char out[32])
{
	time_t seconds = (time_t)(ms / 1000 - (ms % 1000 < 0 ? 1 : 0));
	struct tm tm;

	/* Four digits are all the format has. */
	if (seconds > year_9999_end)
		seconds = year_9999_end;
	if (seconds < year_0_start)
		seconds = year_0_start;
	gmtime_r(&seconds, &tm);
	snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday,
		 tm.tm_hour, tm.tm_min, tm.tm_sec);
	return out;
}

char *iot_time_rfc3339_ms(int64_t ms, char out[32])
{
	size_t len = strlen(iot_time_rfc3339(ms, out)) - 1; /* without the Z */
	int rest = (int)(ms % 1000);

	snprintf(out + len, 32 - len, ".%03dZ", (rest < 0 ? rest + 1000 : rest) % 1000);
	return out;
}

/* Exactly `count` digits at *p, within min and max. */
static bool take_digits(const char **p, int count, int min, int max, int *ret)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (**p < '0' || **p > '9')
			return false;
		value = value * 10 + (*(*p)++ - '0');
	}
	*ret = value;
	return value >= min && value <= max;
}

static bool take_char(const char **p, const char *accepted)
{
	if (**p == '\0' || strchr(accepted, **p) == NULL)
		return false;
	(*p)++;
	return true;
}

/* ".123": any number of digits, of which three count. */
static bool take_fraction(const char **p, int *ret_ms)
{
	int weight = 100;

	*ret_ms = 0;
	if (**p != '.')
		return true;
	(*p)++;
	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; (*p)++) {
		*ret_ms += (**p - '0') * weight;
		weight /= 10;
	}
	return true;
}

/* "Z", "+05:30": minutes east of UTC. */
static bool take_offset(const char **p, int *ret_minutes)
{
	int hours, minutes;
	bool west = **p == '-';

	*ret_minutes = 0;
	if (take_char(p, "Zz"))
		return true;
	if (!take_char(p, "+-") || !take_digits(p, 2, 0, 23, &hours) || !take_char(p, ":") ||
	    !take_digits(p, 2, 0, 59, &minutes))
		return false;
	*ret_minutes = (hours * 60 + minutes) * (west ? -1 : 1);
	return true;
}

enum iot_status iot_time_parse_rfc3339(const char *text, int64_t *ret_ms, struct iot_error *err)
{
	const char *p = text != NULL ? text : "";
	int year, month, day, hour, minute, second, ms, offset;

	if (!take_digits(&p, 4, 0, 9999, &year) || !take_char(&p, "-") || !take_digits(&p, 2, 1, 12, &month) ||
	    !take_char(&p, "-") || !take_digits(&p, 2, 1, days_in_month(year, month), &day) || !take_char(&p, "Tt") ||
	    !take_digits(&p, 2, 0, 23, &hour) || !take_char(&p, ":") || !take_digits(&p, 2, 0, 59, &minute) ||
	    !take_char(&p, ":") || !take_digits(&p, 2, 0, minute == 59 ? 60 : 59, &second) || !take_fraction(&p, &ms) ||
	    !take_offset(&p, &offset) || *p != '\0')
		return iot_fail(err, IOT_USAGE, "'%.64s' is not a time, expected one like 2026-11-21T10:00:00Z",
				text != NULL ? text : "");
	*ret_ms = (((days_from_date(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + ms;
	return IOT_OK;
}

enum iot_status iot_clock_check(struct iot_error *err)
{
	int64_t now = iot_now_ms();
	char text[32];

	if (now >= year_2025_ms && now < year_2100_ms)
		return IOT_OK;
	iot_fail(err, IOT_FAILURE, "the clock of this machine is wrong: it says %s", iot_time_rfc3339(now, text));
	iot_error_hint(err, "set it, for example with 'timedatectl set-ntp true'");
	return IOT_FAILURE;
}
