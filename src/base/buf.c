/*
 * The bounded growing buffer. Growth doubles up to the limit; memory of a
 * secret buffer never moves without the old place being wiped, which realloc(3)
 * cannot promise.
 */
#include "iotctl/buf.h"

#include "iotctl/base.h"

#include <stdio.h>
#include <string.h>

enum { FIRST_SIZE = 64 };

static void move_memory(struct iot_buf *buf, size_t cap)
{
	char *data;

	if (!buf->secret) {
		buf->data = iot_realloc(buf->data, cap);
		buf->cap = cap;
		return;
	}
	data = iot_alloc(cap);
	if (buf->data != NULL) {
		memcpy(data, buf->data, buf->len);
		iot_wipe(buf->data, buf->cap);
		free(buf->data);
	}
	buf->data = data;
	buf->cap = cap;
}

/* Room for len more bytes and the NUL; false and marked if that would pass the limit. */
static bool make_room(struct iot_buf *buf, size_t len)
{
	size_t needed, cap;

	if (buf->over)
		return false;
	if (buf->len > buf->max || len > buf->max - buf->len || buf->len + len >= PTRDIFF_MAX) {
		buf->over = true;
		return false;
	}
	needed = buf->len + len + 1;
	if (buf->data != NULL && needed <= buf->cap)
		return true;
	cap = buf->cap * 2; /* no object is larger than half of the address space */
	if (buf->max < SIZE_MAX && cap > buf->max + 1)
		cap = buf->max + 1;
	if (cap < FIRST_SIZE)
		cap = FIRST_SIZE;
	move_memory(buf, cap > needed ? cap : needed);
	return true;
}

void iot_buf_add(struct iot_buf *buf, const void *data, size_t len)
{
	if (!make_room(buf, len))
		return;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void iot_buf_adds(struct iot_buf *buf, const char *text)
{
	iot_buf_add(buf, text, strlen(text));
}

void iot_buf_addc(struct iot_buf *buf, char c)
{
	iot_buf_add(buf, &c, 1);
}

void iot_buf_addf(struct iot_buf *buf, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(NULL, 0, fmt, args);
	va_end(args);
	if (len < 0) {
		buf->over = true;
		return;
	}
	if (!make_room(buf, (size_t)len))
		return;
	va_start(args, fmt);
	vsnprintf(buf->data + buf->len, (size_t)len + 1, fmt, args);
	va_end(args);
	buf->len += (size_t)len;
}

/* The room is zeroed, so that the contents stay NUL-terminated when the caller adds to len. */
char *iot_buf_reserve(struct iot_buf *buf, size_t len)
{
	if (!make_room(buf, len))
		return NULL;
	memset(buf->data + buf->len, 0, len + 1);
	return buf->data + buf->len;
}

const char *iot_buf_str(const struct iot_buf *buf)
{
	return buf->data != NULL ? buf->data : "";
}

void iot_buf_clear(struct iot_buf *buf)
{
	if (buf->secret)
		iot_wipe(buf->data, buf->cap);
	buf->len = 0;
	buf->over = false;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

void iot_buf_consume(struct iot_buf *buf, size_t n)
{
	size_t rest;

	if (buf->data == NULL || n == 0)
		return;
	if (n > buf->len)
		n = buf->len;
	rest = buf->len - n;
	memmove(buf->data, buf->data + n, rest);
	if (buf->secret)
		iot_wipe(buf->data + rest, n);
	buf->len = rest;
	buf->data[rest] = '\0';
}

char *iot_buf_detach(struct iot_buf *buf)
{
	char *data = buf->data != NULL ? buf->data : iot_strdup("");

	buf->data = NULL;
	buf->len = 0;
	buf->cap = 0;
	buf->over = false;
	return data;
}

enum iot_status iot_buf_check(const struct iot_buf *buf, const char *subject, struct iot_error *err)
{
	if (!buf->over)
		return IOT_OK;
	return iot_fail(err, IOT_FAILURE, "'%s' is longer than the limit of %zu bytes", subject, buf->max);
}

void iot_buf_release(struct iot_buf *buf)
{
	if (buf == NULL)
		return;
	if (buf->secret)
		iot_wipe(buf->data, buf->cap);
	free(buf->data);
	buf->data = NULL;
	buf->len = 0;
	buf->cap = 0;
	buf->over = false;
}
