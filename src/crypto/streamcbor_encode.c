/* Writing the CBOR messages of MQTT file streams. */
#include "iotctl/streamcbor.h"

#include "iotctl/cbor.h"

#include <string.h>

/* A key of one letter. */
static size_t put_key(uint8_t *out, char key)
{
	out[0] = IOT_CBOR_TEXT << 5 | 1;
	out[1] = (uint8_t)key;
	return 2;
}

static size_t put_number(uint8_t *out, char key, uint64_t number)
{
	size_t len = put_key(out, key);

	return len + iot_cbor_head(out + len, IOT_CBOR_UNSIGNED, number);
}

size_t iot_stream_data_head(uint8_t out[IOT_STREAM_HEAD_MAX], const char *token, size_t token_len, uint32_t file,
			    uint32_t block, uint32_t payload_len)
{
	size_t at;

	if (token_len > IOT_STREAM_TOKEN_MAX)
		token = NULL;
	at = iot_cbor_head(out, IOT_CBOR_MAP, token != NULL ? 5 : 4);
	if (token != NULL) {
		at += put_key(out + at, 'c');
		at += iot_cbor_head(out + at, IOT_CBOR_TEXT, token_len);
		memcpy(out + at, token, token_len);
		at += token_len;
	}
	at += put_number(out + at, 'f', file);
	at += put_number(out + at, 'i', block);
	at += put_number(out + at, 'l', payload_len);
	at += put_key(out + at, 'p');
	return at + iot_cbor_head(out + at, IOT_CBOR_BYTES, payload_len);
}

static void add_number(struct iot_buf *out, char key, uint64_t number)
{
	uint8_t member[2 + IOT_CBOR_HEAD_MAX];

	iot_buf_add(out, member, put_number(member, key, number));
}

static void add_string(struct iot_buf *out, char key, enum iot_cbor_major major, const void *data, size_t len)
{
	uint8_t name[2];

	iot_buf_add(out, name, put_key(name, key));
	iot_cbor_put(out, major, len);
	iot_buf_add(out, data, len);
}

void iot_stream_rejected_encode(struct iot_buf *out, const char *code, const char *message, const char *token,
				size_t token_len)
{
	iot_cbor_put(out, IOT_CBOR_MAP, token != NULL ? 3 : 2);
	add_string(out, 'o', IOT_CBOR_TEXT, code, strlen(code));
	add_string(out, 'm', IOT_CBOR_TEXT, message, strlen(message));
	if (token != NULL)
		add_string(out, 'c', IOT_CBOR_TEXT, token, token_len);
}

void iot_stream_description_encode(struct iot_buf *out, const char *token, size_t token_len, uint32_t version,
				   const char *description, const struct iot_stream_file *files, size_t count)
{
	uint8_t key[2];

	iot_cbor_put(out, IOT_CBOR_MAP, 2 + (token != NULL) + (description != NULL));
	if (token != NULL)
		add_string(out, 'c', IOT_CBOR_TEXT, token, token_len);
	add_number(out, 's', version);
	if (description != NULL)
		add_string(out, 'd', IOT_CBOR_TEXT, description, strlen(description));
	iot_buf_add(out, key, put_key(key, 'r'));
	iot_cbor_put(out, IOT_CBOR_ARRAY, count);
	for (size_t i = 0; i < count; i++) {
		iot_cbor_put(out, IOT_CBOR_MAP, 2);
		add_number(out, 'f', files[i].id);
		add_number(out, 'z', files[i].size);
	}
}

void iot_stream_get_encode(struct iot_buf *out, const struct iot_stream_get *get)
{
	iot_cbor_put(out, IOT_CBOR_MAP,
		     (uint64_t)(get->token != NULL) + get->has_version + get->has_file + get->has_size +
			     get->has_offset + get->has_count + (get->bitmap != NULL));
	if (get->token != NULL)
		add_string(out, 'c', IOT_CBOR_TEXT, get->token, get->token_len);
	if (get->has_version)
		add_number(out, 's', get->version);
	if (get->has_file)
		add_number(out, 'f', get->file);
	if (get->has_size)
		add_number(out, 'l', get->size);
	if (get->has_offset)
		add_number(out, 'o', get->offset);
	if (get->bitmap != NULL)
		add_string(out, 'b', IOT_CBOR_BYTES, get->bitmap, get->bitmap_len);
	if (get->has_count)
		add_number(out, 'n', get->count);
}
