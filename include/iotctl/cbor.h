/*
 * CBOR (RFC 8949), read strictly and within bounds, and written with the
 * shortest heads and definite lengths.
 *
 * The reader allocates nothing: what it returns points into the message. Every
 * length is held against the bytes that are there before anything is done with
 * it, indefinite lengths are refused, text must be UTF-8. The first fault is
 * kept, and every later call fails, so a caller may look once at the end.
 */
#ifndef IOTCTL_CBOR_H
#define IOTCTL_CBOR_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

enum iot_cbor_major {
	IOT_CBOR_UNSIGNED,
	IOT_CBOR_NEGATIVE, /* the value is -1 - number */
	IOT_CBOR_BYTES,
	IOT_CBOR_TEXT,
	IOT_CBOR_ARRAY,
	IOT_CBOR_MAP,
	IOT_CBOR_TAG,
	IOT_CBOR_OTHER /* false, true, null, floats, other simple values */
};

#define IOT_CBOR_MEMBERS_MAX 64 /* of one map */
#define IOT_CBOR_DEPTH_MAX 8    /* of values in values */

/* Bytes of somebody else's memory; data NULL: absent. Text is not NUL-terminated. */
struct iot_span {
	const void *data;
	size_t len;
};

/* One data item. `number` is its value, length, or count of elements or members. */
struct iot_cbor_item {
	enum iot_cbor_major major;
	uint64_t number;
	const uint8_t *bytes; /* of BYTES and TEXT. Borrowed from the message */
};

struct iot_cbor {
	const uint8_t *start, *at, *end;
	const char *fault; /* NULL as long as all is well; else "it ends too early", ... */
};

void iot_cbor_open(struct iot_cbor *reader, const void *data, size_t len);
/* The next item: a string with its bytes; of an array, map or tag only the head, its contents follow. */
bool iot_cbor_next(struct iot_cbor *reader, struct iot_cbor_item *item);
/*
 * The next item with all it contains, at most `depth` levels below it (up to IOT_CBOR_DEPTH_MAX). Keys of maps must be
 * integers, text or byte strings, none twice (whatever their spelling), at most IOT_CBOR_MEMBERS_MAX.
 */
bool iot_cbor_skip(struct iot_cbor *reader, struct iot_cbor_item *item, unsigned depth);
/* Nothing may follow. */
bool iot_cbor_end(struct iot_cbor *reader);
/* Record a fault (a constant text) unless there was one; always false. */
static inline bool iot_cbor_fault(struct iot_cbor *reader, const char *fault)
{
	if (reader->fault == NULL)
		reader->fault = fault;
	return false;
}
/* IOT_USAGE, "SUBJECT is malformed near byte N: FAULT", if there was one. */
IOT_CHECK enum iot_status iot_cbor_check(const struct iot_cbor *reader, const char *subject, struct iot_error *err);

/* Exactly one item of at most `depth` levels, and nothing behind it. IOT_USAGE otherwise. */
IOT_CHECK enum iot_status iot_cbor_valid(const void *data, size_t len, unsigned depth, const char *subject,
					 struct iot_error *err);

/* An integer that fits; false otherwise, also for other kinds. */
bool iot_cbor_int(const struct iot_cbor_item *item, int64_t *ret);
/* The same key: equal integers, or strings of the same kind with the same bytes. */
bool iot_cbor_same_key(const struct iot_cbor_item *a, const struct iot_cbor_item *b);
/* The item is this text. */
bool iot_cbor_is_text(const struct iot_cbor_item *item, const char *text);

#define IOT_CBOR_HEAD_MAX 9
/* Write a head; returns its length. */
size_t iot_cbor_head(uint8_t out[IOT_CBOR_HEAD_MAX], enum iot_cbor_major major, uint64_t number);
/* Append a head, an integer, a byte string, a text. */
void iot_cbor_put(struct iot_buf *out, enum iot_cbor_major major, uint64_t number);
void iot_cbor_put_int(struct iot_buf *out, int64_t value);
void iot_cbor_put_bytes(struct iot_buf *out, const void *data, size_t len);
void iot_cbor_put_text(struct iot_buf *out, const char *text, size_t len);

#endif
