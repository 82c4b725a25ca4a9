/*
 * Status and error object: what failed, while doing what, and what to do.
 *
 * A status is at the same time the exit code of the program (the documented
 * contract of iotctl(1), EXIT STATUS). Functions that can fail return a status
 * that must be checked and fill the error object given last, which may be NULL.
 * Nothing here allocates, so failing cannot fail.
 *
 * Messages: lower case, no full stop, the fault first, subjects in single
 * quotes. Secrets never go into an error object.
 */
#ifndef IOTCTL_ERROR_H
#define IOTCTL_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

enum iot_status {
	IOT_OK = 0,
	IOT_FAILURE = 1,      /* general failure */
	IOT_USAGE = 2,        /* wrong usage or malformed input */
	IOT_NOT_FOUND = 3,    /* a named thing does not exist */
	IOT_CONFLICT = 4,     /* exists already, or is in the wrong state */
	IOT_DENIED = 5,       /* not allowed */
	IOT_PARTIAL = 6,      /* some of a batch failed */
	IOT_ABORTED = 7,      /* stopped by a threshold */
	IOT_TIMEOUT = 8,      /* a deadline passed */
	IOT_AGAIN = 9,        /* throttled or unreachable: safe to try again later */
	IOT_BOARD = 10,       /* board or port fault */
	IOT_VERIFY = 11,      /* a verification failed */
	IOT_SETTINGS = 12,    /* bad settings */
	IOT_INTERRUPTED = 130 /* SIGINT; 143 for SIGTERM is set by main */
};

/* The caller must look at the result. */
#define IOT_CHECK __attribute__((warn_unused_result))
#define IOT_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

struct iot_error {
	enum iot_status status;
	char code[64];   /* the service's error code where there is one: "ResourceNotFoundException" */
	char what[512];  /* the fault */
	char doing[256]; /* "while ..." without the word while; empty if nothing was added */
	char hint[256];  /* what to do; empty if nothing helps */
};

#define IOT_ERROR_INIT                                                                                                 \
	{                                                                                                              \
		IOT_OK, "", "", "", ""                                                                                 \
	}

/*
 * Record a fault and return `status`. Overwrites what err held. err may be NULL.
 * Too long a message is cut, never lost.
 */
enum iot_status iot_fail(struct iot_error *err, enum iot_status status, const char *fmt, ...) IOT_PRINTF(3, 4);

/* As iot_fail, with ": " and the text of errno value `errnum` appended. */
enum iot_status iot_fail_errno(struct iot_error *err, enum iot_status status, int errnum, const char *fmt, ...)
	IOT_PRINTF(4, 5);

#ifdef __clang_analyzer__ /* it cannot see that these return what they were given, which is never IOT_OK */
#define iot_fail(err, status, ...) ((void)(iot_fail)(err, status, __VA_ARGS__), (status))
#define iot_fail_errno(err, status, ...) ((void)(iot_fail_errno)(err, status, __VA_ARGS__), (status))
#endif

/* As iot_fail, with the service's error code as well; the status is the code's (see cloud.h). */
void iot_error_set_code(struct iot_error *err, const char *code);

/*
 * Say what was being done; outer callers' words come after inner ones
 * ("reading 'x.pem', creating device 'pump-1'"). Keeps everything else.
 */
void iot_error_while(struct iot_error *err, const char *fmt, ...) IOT_PRINTF(2, 3);

/*
 * The same as "DOING 'SUBJECT'", as in "reading policy", "./p.json"; nothing where the fault itself names the subject
 * so
 * ("cannot read './p.json'").
 */
void iot_error_while_at(struct iot_error *err, const char *doing, const char *subject);

/* Say what to do about it. The first hint wins: it was closest to the fault. */
void iot_error_hint(struct iot_error *err, const char *fmt, ...) IOT_PRINTF(2, 3);

/* Forget everything. */
void iot_error_clear(struct iot_error *err);

/*
 * The one line for a person, without newline: "WHAT, while DOING; HINT".
 * Control characters in it are replaced by '?', so foreign bytes cannot move
 * the cursor. Returns `out`.
 */
const char *iot_error_line(const struct iot_error *err, char *out, size_t out_size);

/* The stable name of a status for JSON ("not_found"); never NULL. */
const char *iot_status_name(enum iot_status status);

/* One sentence fragment about a status for EXIT STATUS tables; never NULL. */
const char *iot_status_text(enum iot_status status);

#endif
