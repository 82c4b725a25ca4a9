/*
 * How far long work has come, on stderr and never on stdout: a bar on a
 * terminal, a plain line at most every 10 seconds elsewhere, JSON lines for
 * programs, or nothing. All functions accept NULL and never fail.
 *
 *   progress_begin(ctx->progress, "sending pump-1.1.0.bin", size, PROGRESS_BYTES);
 *   progress_update(ctx->progress, sent, "3 of 8 devices done");
 *   progress_end(ctx->progress, true);
 */
#ifndef IOTCTL_PROGRESS_H
#define IOTCTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum progress_mode { PROGRESS_AUTO, PROGRESS_BAR, PROGRESS_PLAIN, PROGRESS_JSON, PROGRESS_NONE };
enum progress_unit {
	PROGRESS_COUNT,
	PROGRESS_BYTES,
	PROGRESS_STEPS /* nothing to count: the note says where the work is */
};

/* Names of the modes in the order of the enum, NULL-terminated. */
extern const char *const progress_mode_names[];

struct progress;

/*
 * Writes to `stream` (borrowed). PROGRESS_AUTO is a bar if the stream is a
 * terminal (and TERM is not dumb and CI is not set), else plain.
 */
struct progress *progress_new(FILE *stream, enum progress_mode mode);
void progress_free(struct progress *progress);

/* Start a piece of work; total 0: not known. Ends the one before. */
void progress_begin(struct progress *progress, const char *what, int64_t total, enum progress_unit unit);
/* The total became known only now. Steps become a count, if there is more than one thing. */
void progress_set_total(struct progress *progress, int64_t total);
/* Cheap enough for every block: draws at most ten times a second. note may be NULL. */
void progress_update(struct progress *progress, int64_t done, const char *note);
/* ok: it was completed. The last state stays visible, except that of steps. */
void progress_end(struct progress *progress, bool ok);

/* Take the bar off the line before something else is written to the terminal; the next update draws it again. */
void progress_hide(struct progress *progress);

#endif
