/* Reading the few CBOR maps of MQTT file streams: each a map with text keys that fills the whole message. */
#include "iotctl/streamcbor.h"

#include "iotctl/base.h"
#include "iotctl/cbor.h"

#include <string.h>

#define MEMBERS_MAX 32
#define DEPTH_MAX 4 /* of values that are passed over */
#define DATA_MESSAGE_MAX (IOT_STREAM_BLOCK_MAX + 1024)
#define REJECTED_MESSAGE_MAX 4096

struct map {
	struct iot_cbor reader;
	uint64_t left; /* members not read yet */
	size_t count;  /* members read */
	struct iot_cbor_item keys[MEMBERS_MAX];
};

static void map_open(struct map *map, const void *data, size_t len, size_t max)
{
	struct iot_cbor_item item;

	map->left = 0;
	map->count = 0;
	iot_cbor_open(&map->reader, data, len);
	if (len == 0 || len > max) {
		iot_cbor_fault(&map->reader, len == 0 ? "it is empty" : "it is too long");
		return;
	}
	if (!iot_cbor_next(&map->reader, &item))
		return;
	if (item.major != IOT_CBOR_MAP)
		iot_cbor_fault(&map->reader, "it is not a map");
	else if (item.number > MEMBERS_MAX)
		iot_cbor_fault(&map->reader, "it has too many members");
	else
		map->left = item.number;
}

/* The next member; false at the end and when the message is malformed. */
static bool map_next(struct map *map, struct iot_cbor_item *key, struct iot_cbor_item *value)
{
	if (map->left == 0) {
		iot_cbor_end(&map->reader);
		return false;
	}
	map->left--;
	if (!iot_cbor_next(&map->reader, key))
		return false;
	if (key->major != IOT_CBOR_TEXT)
		return iot_cbor_fault(&map->reader, "a key is not text");
	for (size_t i = 0; i < map->count; i++)
		if (iot_cbor_same_key(&map->keys[i], key))
			return iot_cbor_fault(&map->reader, "a key is there twice");
	map->keys[map->count++] = *key;
	return iot_cbor_skip(&map->reader, value, DEPTH_MAX);
}

static enum iot_status map_end(const struct map *map, struct iot_error *err)
{
	return iot_cbor_check(&map->reader, "the CBOR message", err);
}

static void take_number(struct map *map, const struct iot_cbor_item *value, uint64_t *ret, bool *ret_has)
{
	if (value->major != IOT_CBOR_UNSIGNED) {
		iot_cbor_fault(&map->reader, "a number is not an unsigned integer");
		return;
	}
	*ret = value->number;
	*ret_has = true;
}

static void take_text(struct map *map, const struct iot_cbor_item *value, const char **ret, size_t *ret_len)
{
	if (value->major != IOT_CBOR_TEXT) {
		iot_cbor_fault(&map->reader, "a text is of another type");
		return;
	}
	*ret = (const char *)value->bytes;
	*ret_len = (size_t)value->number;
}

static void take_bytes(struct map *map, const struct iot_cbor_item *value, const uint8_t **ret, size_t *ret_len)
{
	if (value->major != IOT_CBOR_BYTES) {
		iot_cbor_fault(&map->reader, "a byte string is of another type");
		return;
	}
	*ret = value->bytes;
	*ret_len = (size_t)value->number;
}

enum iot_status iot_stream_get_parse(const void *data, size_t len, struct iot_stream_get *ret, struct iot_error *err)
{
	struct iot_stream_get get;
	struct iot_cbor_item key, value;
	struct map map;
	enum iot_status status;

	memset(&get, 0, sizeof(get));
	map_open(&map, data, len, IOT_STREAM_REQUEST_MAX);
	while (map_next(&map, &key, &value)) {
		if (iot_cbor_is_text(&key, "c"))
			take_text(&map, &value, &get.token, &get.token_len);
		else if (iot_cbor_is_text(&key, "s"))
			take_number(&map, &value, &get.version, &get.has_version);
		else if (iot_cbor_is_text(&key, "f"))
			take_number(&map, &value, &get.file, &get.has_file);
		else if (iot_cbor_is_text(&key, "l"))
			take_number(&map, &value, &get.size, &get.has_size);
		else if (iot_cbor_is_text(&key, "o"))
			take_number(&map, &value, &get.offset, &get.has_offset);
		else if (iot_cbor_is_text(&key, "n"))
			take_number(&map, &value, &get.count, &get.has_count);
		else if (iot_cbor_is_text(&key, "b"))
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
	struct iot_cbor_item key, value;
	struct map map;
	enum iot_status status;

	memset(&reply, 0, sizeof(reply));
	map_open(&map, data, len, DATA_MESSAGE_MAX);
	while (map_next(&map, &key, &value)) {
		if (iot_cbor_is_text(&key, "f"))
			take_number(&map, &value, &file, &has_file);
		else if (iot_cbor_is_text(&key, "i"))
			take_number(&map, &value, &block, &has_block);
		else if (iot_cbor_is_text(&key, "l"))
			take_number(&map, &value, &size, &has_size);
		else if (iot_cbor_is_text(&key, "p"))
			take_bytes(&map, &value, &reply.payload, &reply.payload_len);
		else if (iot_cbor_is_text(&key, "c"))
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
	struct iot_cbor_item key, value;
	struct map map;
	enum iot_status status;

	map_open(&map, data, len, REJECTED_MESSAGE_MAX);
	while (map_next(&map, &key, &value)) {
		if (iot_cbor_is_text(&key, "o") || iot_cbor_is_text(&key, "code"))
			take_text(&map, &value, &code, &code_len);
		else if (iot_cbor_is_text(&key, "m") || iot_cbor_is_text(&key, "message"))
			take_text(&map, &value, &message, &message_len);
		else if (iot_cbor_is_text(&key, "c") || iot_cbor_is_text(&key, "clientToken"))
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
