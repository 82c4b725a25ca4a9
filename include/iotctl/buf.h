/*
 * A bounded, growing run of bytes, always followed by a NUL that does not count.
 *
 * Every buffer has a limit, given when it is made. Going over it does not fail
 * at once: the buffer is marked and further additions are ignored, and
 * iot_buf_check() tells. That keeps the adding code short and the check single.
 */
#ifndef IOTCTL_BUF_H
#define IOTCTL_BUF_H

#include "iotctl/error.h"

#include <stdint.h>

struct iot_buf {
	char *data;   /* never NULL after the first addition; NUL-terminated */
	size_t len;   /* bytes held */
	size_t cap;   /* private */
	size_t max;   /* limit of len */
	bool secret;  /* contents are wiped when memory moves or is released */
	bool over;    /* an addition would have passed max */
};

#define IOT_BUF_INIT(limit) {NULL, 0, 0, (limit), false, false}
#define IOT_BUF_SECRET(limit) {NULL, 0, 0, (limit), true, false}

void iot_buf_add(struct iot_buf *buf, const void *data, size_t len);
void iot_buf_adds(struct iot_buf *buf, const char *text);
void iot_buf_addc(struct iot_buf *buf, char c);
void iot_buf_addf(struct iot_buf *buf, const char *fmt, ...) IOT_PRINTF(2, 3);
/* Make room for `len` more bytes and return where to write them, or NULL if over the limit. Then add to len by hand. */
char *iot_buf_reserve(struct iot_buf *buf, size_t len);
/* The contents as a string: "" when nothing was added. Borrowed. */
const char *iot_buf_str(const struct iot_buf *buf);
/* Keep the memory, forget the contents (wiped if secret) and the over mark. */
void iot_buf_clear(struct iot_buf *buf);
/* Drop the first n bytes. */
void iot_buf_consume(struct iot_buf *buf, size_t n);
/* Hand the memory over: the caller frees it. The buffer is empty afterwards. Never NULL. */
char *iot_buf_detach(struct iot_buf *buf);
/* IOT_FAILURE naming `subject` if the limit was passed. */
IOT_CHECK enum iot_status iot_buf_check(const struct iot_buf *buf, const char *subject, struct iot_error *err);
/* Free the memory (wiped first if secret). Fine on a zeroed struct and twice. */
void iot_buf_release(struct iot_buf *buf);

#endif
