/*
 * Writing the CBOR messages of MQTT file streams, with the shortest heads
 * (RFC 8949 4.2.1) and definite lengths: what small decoders expect.
 */
#include "iotctl/streamcbor.h"

#include <string.h>

enum major { UNSIGNED = 0, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5 };

#define HEAD_MAX 9

static size_t put_head(uint8_t *out, enum major major, uint64_t number)
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

/* A key of one letter. */
static size_t put_key(uint8_t *out, char key)
{
	out[0] = TEXT << 5 | 1;
	out[1] = (uint8_t)key;
	return 2;
}

static size_t put_number(uint8_t *out, char key, uint64_t number)
{
	size_t len = put_key(out, key);

	return len + put_head(out + len, UNSIGNED, number);
}

size_t iot_stream_data_head(uint8_t out[IOT_STREAM_HEAD_MAX], const char *token, size_t token_len, uint32_t file,
			    uint32_t block, uint32_t payload_len)
{
	size_t at;

	if (token_len > IOT_STREAM_TOKEN_MAX)
		token = NULL;
	at = put_head(out, MAP, token != NULL ? 5 : 4);
	if (token != NULL) {
		at += put_key(out + at, 'c');
		at += put_head(out + at, TEXT, token_len);
		memcpy(out + at, token, token_len);
		at += token_len;
	}
	at += put_number(out + at, 'f', file);
	at += put_number(out + at, 'i', block);
	at += put_number(out + at, 'l', payload_len);
	at += put_key(out + at, 'p');
	return at + put_head(out + at, BYTES, payload_len);
}

static void add_head(struct iot_buf *out, enum major major, uint64_t number)
{
	uint8_t head[HEAD_MAX];

	iot_buf_add(out, head, put_head(head, major, number));
}

static void add_number(struct iot_buf *out, char key, uint64_t number)
{
	uint8_t member[2 + HEAD_MAX];

	iot_buf_add(out, member, put_number(member, key, number));
}

static void add_string(struct iot_buf *out, char key, enum major major, const void *data, size_t len)
{
	uint8_t name[2];

	iot_buf_add(out, name, put_key(name, key));
	add_head(out, major, len);
	iot_buf_add(out, data, len);
}

void iot_stream_rejected_encode(struct iot_buf *out, const char *code, const char *message, const char *token,
				size_t token_len)
{
	add_head(out, MAP, token != NULL ? 3 : 2);
	add_string(out, 'o', TEXT, code, strlen(code));
	add_string(out, 'm', TEXT, message, strlen(message));
	if (token != NULL)
		add_string(out, 'c', TEXT, token, token_len);
}

void iot_stream_description_encode(struct iot_buf *out, const char *token, size_t token_len, uint32_t version,
				   const char *description, const struct iot_stream_file *files, size_t count)
{
	uint8_t key[2];

	add_head(out, MAP, 2 + (token != NULL) + (description != NULL));
	if (token != NULL)
		add_string(out, 'c', TEXT, token, token_len);
	add_number(out, 's', version);
	if (description != NULL)
		add_string(out, 'd', TEXT, description, strlen(description));
	iot_buf_add(out, key, put_key(key, 'r'));
	add_head(out, ARRAY, count);
	for (size_t i = 0; i < count; i++) {
		add_head(out, MAP, 2);
		add_number(out, 'f', files[i].id);
		add_number(out, 'z', files[i].size);
	}
}

void iot_stream_get_encode(struct iot_buf *out, const struct iot_stream_get *get)
{
	add_head(out, MAP,
		 (uint64_t)(get->token != NULL) + get->has_version + get->has_file + get->has_size + get->has_offset +
			 get->has_count + (get->bitmap != NULL));
	if (get->token != NULL)
		add_string(out, 'c', TEXT, get->token, get->token_len);
	if (get->has_version)
		add_number(out, 's', get->version);
	if (get->has_file)
		add_number(out, 'f', get->file);
	if (get->has_size)
		add_number(out, 'l', get->size);
	if (get->has_offset)
		add_number(out, 'o', get->offset);
	if (get->bitmap != NULL)
		add_string(out, 'b', BYTES, get->bitmap, get->bitmap_len);
	if (get->has_count)
		add_number(out, 'n', get->count);
}
