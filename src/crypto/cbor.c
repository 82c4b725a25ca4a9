/*
 * A strict reader of CBOR for messages that strangers send, and a small writer.
 * It is smaller than the guards that a general decoder would need against
 * messages which announce gigabytes: nothing is allocated, and nesting is bounded.
 */
#include "iotctl/cbor.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

void iot_cbor_open(struct iot_cbor *reader, const void *data, size_t len)
{
	reader->start = reader->at = data;
	reader->end = reader->start + len;
	reader->fault = NULL;
}

static size_t remaining(const struct iot_cbor *reader)
{
	return (size_t)(reader->end - reader->at);
}

/* The head of an item (RFC 8949 section 3): its major type and number. Indefinite lengths are refused. */
static bool read_head(struct iot_cbor *reader, struct iot_cbor_item *item)
{
	unsigned info, size;

	if (remaining(reader) == 0)
		return iot_cbor_fault(reader, "it ends too early");
	item->major = (enum iot_cbor_major)(*reader->at >> 5);
	info = *reader->at++ & 0x1f;
	item->number = info;
	item->bytes = NULL;
	if (info < 24)
		return true;
	if (info > 27)
		return iot_cbor_fault(reader, info == 31 ? "a length is indefinite" : "an item is not well-formed");
	size = 1U << (info - 24);
	if (remaining(reader) < size)
		return iot_cbor_fault(reader, "it ends too early");
	item->number = 0;
	for (unsigned i = 0; i < size; i++)
		item->number = item->number << 8 | *reader->at++;
	if (item->major == IOT_CBOR_OTHER && info == 24 && item->number < 32)
		return iot_cbor_fault(reader, "an item is not well-formed");
	return true;
}

bool iot_cbor_next(struct iot_cbor *reader, struct iot_cbor_item *item)
{
	if (reader->fault != NULL || !read_head(reader, item))
		return false;
	switch (item->major) {
	case IOT_CBOR_BYTES:
	case IOT_CBOR_TEXT:
		if (item->number > remaining(reader))
			return iot_cbor_fault(reader, "it ends too early");
		item->bytes = reader->at;
		reader->at += item->number;
		if (item->major == IOT_CBOR_TEXT && !iot_utf8_valid((const char *)item->bytes, (size_t)item->number))
			return iot_cbor_fault(reader, "a text is not UTF-8");
		return true;
	case IOT_CBOR_ARRAY:
	case IOT_CBOR_MAP: /* each element takes a byte at least, each member two */
		if (item->number > remaining(reader) / (item->major == IOT_CBOR_MAP ? 2 : 1))
			return iot_cbor_fault(reader, "it ends too early");
		return true;
	default:
		return true;
	}
}

static bool is_key(const struct iot_cbor_item *item)
{
	return item->major <= IOT_CBOR_TEXT;
}

static bool skip_map(struct iot_cbor *reader, uint64_t count, unsigned depth)
{
	struct iot_cbor_item keys[IOT_CBOR_MEMBERS_MAX], value;

	if (count > IOT_CBOR_MEMBERS_MAX)
		return iot_cbor_fault(reader, "it has too many members");
	for (size_t i = 0; i < count; i++) {
		if (!iot_cbor_next(reader, &keys[i]))
			return false;
		if (!is_key(&keys[i]))
			return iot_cbor_fault(reader, "a key is neither a number nor a string");
		for (size_t before = 0; before < i; before++)
			if (iot_cbor_same_key(&keys[before], &keys[i]))
				return iot_cbor_fault(reader, "a key is there twice");
		if (!iot_cbor_skip(reader, &value, depth - 1))
			return false;
	}
	return true;
}

bool iot_cbor_skip(struct iot_cbor *reader, struct iot_cbor_item *item, unsigned depth)
{
	struct iot_cbor_item inner;
	uint64_t inside;

	if (!iot_cbor_next(reader, item))
		return false;
	if (item->major < IOT_CBOR_ARRAY || item->major == IOT_CBOR_OTHER)
		return true;
	if (depth == 0 || depth > IOT_CBOR_DEPTH_MAX)
		return iot_cbor_fault(reader, "it is nested too deeply");
	if (item->major == IOT_CBOR_MAP)
		return skip_map(reader, item->number, depth);
	inside = item->major == IOT_CBOR_TAG ? 1 : item->number;
	while (inside-- > 0)
		if (!iot_cbor_skip(reader, &inner, depth - 1))
			return false;
	return true;
}

bool iot_cbor_end(struct iot_cbor *reader)
{
	if (reader->fault != NULL)
		return false;
	return remaining(reader) == 0 || iot_cbor_fault(reader, "there are bytes behind it");
}

enum iot_status iot_cbor_check(const struct iot_cbor *reader, const char *subject, struct iot_error *err)
{
	if (reader->fault == NULL)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "%s is malformed near byte %zu: %s", subject,
			(size_t)(reader->at - reader->start), reader->fault);
}

enum iot_status iot_cbor_valid(const void *data, size_t len, unsigned depth, const char *subject, struct iot_error *err)
{
	struct iot_cbor reader;
	struct iot_cbor_item item;

	iot_cbor_open(&reader, data, len);
	if (len == 0)
		iot_cbor_fault(&reader, "it is empty");
	else if (iot_cbor_skip(&reader, &item, depth))
		iot_cbor_end(&reader);
	return iot_cbor_check(&reader, subject, err);
}

bool iot_cbor_int(const struct iot_cbor_item *item, int64_t *ret)
{
	if (item->major > IOT_CBOR_NEGATIVE || item->number > INT64_MAX)
		return false;
	*ret = item->major == IOT_CBOR_UNSIGNED ? (int64_t)item->number : -1 - (int64_t)item->number;
	return true;
}

bool iot_cbor_same_key(const struct iot_cbor_item *a, const struct iot_cbor_item *b)
{
	if (a->major != b->major || a->number != b->number)
		return false;
	return a->major < IOT_CBOR_BYTES || memcmp(a->bytes, b->bytes, (size_t)a->number) == 0;
}

bool iot_cbor_is_text(const struct iot_cbor_item *item, const char *text)
{
	return item->major == IOT_CBOR_TEXT && item->number == strlen(text) &&
	       memcmp(item->bytes, text, (size_t)item->number) == 0;
}

/* --- writing ------------------------------------------------------------------ */

size_t iot_cbor_head(uint8_t out[IOT_CBOR_HEAD_MAX], enum iot_cbor_major major, uint64_t number)
{
	unsigned size = 0;

	if (number < 24) {
		out[0] = (uint8_t)((unsigned)major << 5 | (unsigned)number);
		return 1;
	}
	while (size < 3 && number >> (8U << size) != 0)
		size++;
	out[0] = (uint8_t)((unsigned)major << 5 | (24 + size));
	for (unsigned i = 0; i < 1U << size; i++)
		out[1 + i] = (uint8_t)(number >> (8 * ((1U << size) - 1 - i)));
	return 1 + ((size_t)1 << size);
}

void iot_cbor_put(struct iot_buf *out, enum iot_cbor_major major, uint64_t number)
{
	uint8_t head[IOT_CBOR_HEAD_MAX];

	iot_buf_add(out, head, iot_cbor_head(head, major, number));
}

void iot_cbor_put_int(struct iot_buf *out, int64_t value)
{
	if (value < 0)
		iot_cbor_put(out, IOT_CBOR_NEGATIVE, (uint64_t)(-1 - value));
	else
		iot_cbor_put(out, IOT_CBOR_UNSIGNED, (uint64_t)value);
}

void iot_cbor_put_bytes(struct iot_buf *out, const void *data, size_t len)
{
	iot_cbor_put(out, IOT_CBOR_BYTES, len);
	iot_buf_add(out, data, len);
}

void iot_cbor_put_text(struct iot_buf *out, const char *text, size_t len)
{
	iot_cbor_put(out, IOT_CBOR_TEXT, len);
	iot_buf_add(out, text, len);
}
