/*
 * What the measuring programs share: a clock, sorting, and an end when something fails.
 */
#ifndef IOTCTL_BENCH_H
#define IOTCTL_BENCH_H

#include "iotctl/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline double bench_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static inline int bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values. */
static inline double bench_median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), bench_compare);
	return values[count / 2];
}

static inline void bench_must(enum iot_status status, const struct iot_error *err)
{
	char line[1024];

	if (status == IOT_OK)
		return;
	fprintf(stderr, "%s\n", iot_error_line(err, line, sizeof(line)));
	exit(1);
}

/* A positive number of the command line, or the end. */
static inline int bench_number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < 1 || value > 100000000) {
		fprintf(stderr, "'%s' is not a number from 1 to 100000000\n", text);
		exit(2);
	}
	return (int)value;
}

#endif
