/*
 * A strict decoder for the few CBOR maps of MQTT file streams. It is smaller
 * than the guards that a general decoder would need against messages which
 * announce gigabytes: every length is held against the bytes that are there,
 * nothing is allocated, and nesting is bounded.
 */
#include "iotctl/streamcbor.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

#define MEMBERS_MAX 32
#define DEPTH_MAX 4 /* of values that are passed over */
#define DATA_MESSAGE_MAX (IOT_STREAM_BLOCK_MAX + 1024)
#define REJECTED_MESSAGE_MAX 4096

enum major { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, OTHER };

/* One data item. For BYTES and TEXT `number` is the length of `bytes`. */
struct item {
	enum major major;
	uint64_t number;
	const uint8_t *bytes;
};

struct map {
	const uint8_t *start, *at, *end;
	uint64_t left; /* members not read yet */
	size_t count;  /* members read */
	struct item keys[MEMBERS_MAX];
	const char *fault; /* set when the message is malformed */
};

static bool fault(struct map *map, const char *what)
{
	if (map->fault == NULL)
		map->fault = what;
	return false;
}

static size_t remaining(const struct map *map)
{
	return (size_t)(map->end - map->at);
}

/* The head of an item (RFC 8949 section 3): its major type and number. Indefinite lengths are refused. */
static bool read_head(struct map *map, struct item *item)
{
	unsigned info, size;

	if (remaining(map) == 0)
		return fault(map, "it ends too early");
	item->major = (enum major)(*map->at >> 5);
	info = *map->at++ & 0x1f;
	item->number = info;
	item->bytes = NULL;
	if (info < 24)
		return true;
	if (info > 27)
		return fault(map, info == 31 ? "a length is indefinite" : "an item is not well-formed");
	size = 1U << (info - 24);
	if (remaining(map) < size)
		return fault(map, "it ends too early");
	item->number = 0;
	for (unsigned i = 0; i < size; i++)
		item->number = item->number << 8 | *map->at++;
	if (item->major == OTHER && info == 24 && item->number < 32)
		return fault(map, "an item is not well-formed");
	return true;
}

/* An item with all it contains. */
static bool read_item(struct map *map, struct item *item, unsigned depth)
{
	struct item inner;
	uint64_t inside;

	if (!read_head(map, item))
		return false;
	switch (item->major) {
	case UNSIGNED:
	case NEGATIVE:
	case OTHER:
		return true;
	case BYTES:
	case TEXT:
		if (item->number > remaining(map))
			return fault(map, "it ends too early");
		item->bytes = map->at;
		map->at += item->number;
		if (item->major == TEXT && !iot_utf8_valid((const char *)item->bytes, (size_t)item->number))
			return fault(map, "a text is not UTF-8");
		return true;
	case ARRAY:
	case MAP:
		if (item->number > remaining(map)) /* each member takes a byte at least; keeps the product in range */
			return fault(map, "it ends too early");
		inside = item->number * (item->major == MAP ? 2 : 1);
		break;
	case TAG:
	default:
		inside = 1;
		break;
	}
	if (depth == 0)
		return fault(map, "it is nested too deeply");
	while (inside-- > 0)
		if (!read_item(map, &inner, depth - 1))
			return false;
	return true;
}

static void map_open(struct map *map, const void *data, size_t len, size_t max)
{
	struct item item;

	memset(map, 0, sizeof(*map));
	if (len == 0 || len > max) {
		fault(map, len == 0 ? "it is empty" : "it is too long");
		return;
	}
	map->start = map->at = data;
	map->end = map->start + len;
	if (!read_head(map, &item))
		return;
	if (item.major != MAP)
		fault(map, "it is not a map");
	else if (item.number > MEMBERS_MAX)
		fault(map, "it has too many members");
	else
		map->left = item.number;
}

static bool same_text(const struct item *a, const struct item *b)
{
	return a->number == b->number && memcmp(a->bytes, b->bytes, (size_t)a->number) == 0;
}

/* The next member; false at the end and when the message is malformed (map->fault). */
static bool map_next(struct map *map, struct item *key, struct item *value)
{
	if (map->fault != NULL)
		return false;
	if (map->left == 0)
		return remaining(map) == 0 ? false : fault(map, "there are bytes behind it");
	map->left--;
	if (!read_item(map, key, 0))
		return false;
	if (key->major != TEXT)
		return fault(map, "a key is not text");
	for (size_t i = 0; i < map->count; i++)
		if (same_text(&map->keys[i], key))
			return fault(map, "a key is there twice");
	map->keys[map->count++] = *key;
	return read_item(map, value, DEPTH_MAX);
}

static enum iot_status map_end(const struct map *map, struct iot_error *err)
{
	if (map->fault == NULL)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "the CBOR message is malformed near byte %zu: %s",
			(size_t)(map->at - map->start), map->fault);
}

static bool is_key(const struct item *key, const char *name)
{
	return key->number == strlen(name) && memcmp(key->bytes, name, (size_t)key->number) == 0;
}

static void take_number(struct map *map, const struct item *value, uint64_t *ret, bool *ret_has)
{
	if (value->major != UNSIGNED) {
		fault(map, "a number is not an unsigned integer");
		return;
	}
	*ret = value->number;
	*ret_has = true;
}

static void take_text(struct map *map, const struct item *value, const char **ret, size_t *ret_len)
{
	if (value->major != TEXT) {
		fault(map, "a text is of another type");
		return;
	}
	*ret = (const char *)value->bytes;
	*ret_len = (size_t)value->number;
}

static void take_bytes(struct map *map, const struct item *value, const uint8_t **ret, size_t *ret_len)
{
	if (value->major != BYTES) {
		fault(map, "a byte string is of another type");
		return;
	}
	*ret = value->bytes;
	*ret_len = (size_t)value->number;
}

enum iot_status iot_stream_get_parse(const void *data, size_t len, struct iot_stream_get *ret, struct iot_error *err)
{
	struct iot_stream_get get;
	struct item key, value;
	struct map map;
	enum iot_status status;

	memset(&get, 0, sizeof(get));
	map_open(&map, data, len, IOT_STREAM_REQUEST_MAX);
	while (map_next(&map, &key, &value)) {
		if (is_key(&key, "c"))
			take_text(&map, &value, &get.token, &get.token_len);
		else if (is_key(&key, "s"))
			take_number(&map, &value, &get.version, &get.has_version);
		else if (is_key(&key, "f"))
			take_number(&map, &value, &get.file, &get.has_file);
		else if (is_key(&key, "l"))
			take_number(&map, &value, &get.size, &get.has_size);
		else if (is_key(&key, "o"))
			take_number(&map, &value, &get.offset, &get.has_offset);
		else if (is_key(&key, "n"))
			take_number(&map, &value, &get.count, &get.has_count);
		else if (is_key(&key, "b"))
			take_bytes(&map, &value, &get.bitmap, &get.bitmap_len);
	}
	status = map_end(&map, err);
	if (status == IOT_OK)
		*ret = get;
	return status;
}

const char *iot_stream_get_check(const struct iot_stream_get *get)
{
	if (!get->has_file || get->file > IOT_STREAM_FILE_ID_MAX || !get->has_size ||
	    get->token_len > IOT_STREAM_TOKEN_MAX || (!get->has_count && get->bitmap == NULL))
		return "InvalidRequest";
	if (get->size < IOT_STREAM_BLOCK_MIN || get->size > IOT_STREAM_BLOCK_MAX)
		return "BlockSizeOutOfBounds";
	if (get->has_offset && get->offset > IOT_STREAM_OFFSET_MAX)
		return "OffsetOutOfBounds";
	if (get->has_count && get->count > IOT_STREAM_COUNT_MAX)
		return "BlockCountLimitExceeded";
	if (get->bitmap_len > IOT_STREAM_BITMAP_MAX)
		return "BlockBitmapLimitExceeded";
	return NULL;
}

enum iot_status iot_stream_describe_parse(const void *data, size_t len, struct iot_stream_get *ret,
					  struct iot_error *err)
{
	if (len == 0) {
		memset(ret, 0, sizeof(*ret));
		return IOT_OK;
	}
	return iot_stream_get_parse(data, len, ret, err);
}

enum iot_status iot_stream_data_parse(const void *data, size_t len, struct iot_stream_data *ret, struct iot_error *err)
{
	struct iot_stream_data reply;
	uint64_t file = 0, block = 0, size = 0;
	bool has_file = false, has_block = false, has_size = false;
	struct item key, value;
	struct map map;
	enum iot_status status;

	memset(&reply, 0, sizeof(reply));
	map_open(&map, data, len, DATA_MESSAGE_MAX);
	while (map_next(&map, &key, &value)) {
		if (is_key(&key, "f"))
			take_number(&map, &value, &file, &has_file);
		else if (is_key(&key, "i"))
			take_number(&map, &value, &block, &has_block);
		else if (is_key(&key, "l"))
			take_number(&map, &value, &size, &has_size);
		else if (is_key(&key, "p"))
			take_bytes(&map, &value, &reply.payload, &reply.payload_len);
		else if (is_key(&key, "c"))
			take_text(&map, &value, &reply.token, &reply.token_len);
	}
	status = map_end(&map, err);
	if (status != IOT_OK)
		return status;
	if (!has_file || !has_block || !has_size || reply.payload == NULL)
		return iot_fail(err, IOT_USAGE, "the data message lacks one of f, i, l and p");
	if (size != reply.payload_len)
		return iot_fail(err, IOT_USAGE, "the data message holds %zu bytes and says %llu", reply.payload_len,
				(unsigned long long)size);
	if (file > UINT32_MAX || block > UINT32_MAX)
		return iot_fail(err, IOT_USAGE, "the data message's file or block number is out of range");
	reply.file = (uint32_t)file;
	reply.block = (uint32_t)block;
	*ret = reply;
	return IOT_OK;
}

/* Copy a text, cut at a character's boundary if it is too long. */
static void copy_cut(char *out, size_t out_size, const char *text, size_t len)
{
	if (len >= out_size) {
		len = out_size - 1;
		while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
			len--;
	}
	if (len > 0)
		memcpy(out, text, len);
	out[len] = '\0';
}

enum iot_status iot_stream_rejected_parse(const void *data, size_t len, struct iot_stream_rejected *ret,
					  struct iot_error *err)
{
	const char *code = NULL, *message = NULL, *token = NULL;
	size_t code_len = 0, message_len = 0, token_len = 0;
	struct item key, value;
	struct map map;
	enum iot_status status;

	map_open(&map, data, len, REJECTED_MESSAGE_MAX);
	while (map_next(&map, &key, &value)) {
		if (is_key(&key, "o") || is_key(&key, "code"))
			take_text(&map, &value, &code, &code_len);
		else if (is_key(&key, "m") || is_key(&key, "message"))
			take_text(&map, &value, &message, &message_len);
		else if (is_key(&key, "c") || is_key(&key, "clientToken"))
			take_text(&map, &value, &token, &token_len);
	}
	status = map_end(&map, err);
	if (status != IOT_OK)
		return status;
	copy_cut(ret->code, sizeof(ret->code), code, code_len);
	copy_cut(ret->message, sizeof(ret->message), message, message_len);
	ret->token = token;
	ret->token_len = token_len;
	return IOT_OK;
}
