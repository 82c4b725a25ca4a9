/*
 * CBOR messages of AWS IoT MQTT file streams (AWS IoT developer guide, "Using
 * AWS IoT MQTT-based file delivery in devices"; CBOR: RFC 8949).
 *
 * The decoder is strict: one map of definite length that fills the whole
 * buffer, text keys, no key twice, bounded depth and size. It allocates
 * nothing: results point into the message. Unknown keys are skipped. The
 * service uses the first half, a device the second.
 */
#ifndef IOTCTL_STREAMCBOR_H
#define IOTCTL_STREAMCBOR_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

#define IOT_STREAM_REQUEST_MAX (16 * 1024) /* bytes of a get or describe request */
#define IOT_STREAM_TOKEN_MAX 64
#define IOT_STREAM_BITMAP_MAX 12287
#define IOT_STREAM_BLOCK_MIN 256
#define IOT_STREAM_BLOCK_MAX 131072
#define IOT_STREAM_OFFSET_MAX 98304
#define IOT_STREAM_COUNT_MAX 98304
#define IOT_STREAM_FILE_ID_MAX 255

/* A get request, from CBOR or JSON. Numbers are as sent; iot_stream_get_check judges them. */
struct iot_stream_get {
	const char *token; /* c, not NUL-terminated; NULL if absent. Borrowed from the message */
	size_t token_len;
	const uint8_t *bitmap; /* b; NULL if absent. Bit 0 of byte 0 is block `offset`. Borrowed */
	size_t bitmap_len;
	bool has_version, has_file, has_size, has_offset, has_count;
	uint64_t version; /* s */
	uint64_t file;    /* f */
	uint64_t size;    /* l: block size in bytes */
	uint64_t offset;  /* o: first block; 0 if absent */
	uint64_t count;   /* n: number of blocks */
};

/* Read a get request (also an empty map). IOT_USAGE with the reason; answer InvalidCbor. */
IOT_CHECK enum iot_status iot_stream_get_parse(const void *data, size_t len, struct iot_stream_get *ret,
					       struct iot_error *err);
/*
 * Do the members obey the service's limits? NULL, or AWS's error code:
 * InvalidRequest (f or l missing, neither n nor b, token too long),
 * BlockSizeOutOfBounds, OffsetOutOfBounds, BlockCountLimitExceeded,
 * BlockBitmapLimitExceeded. For requests from JSON as well.
 */
const char *iot_stream_get_check(const struct iot_stream_get *get);
/* Read a describe request: only its token counts. An empty message is fine. */
IOT_CHECK enum iot_status iot_stream_describe_parse(const void *data, size_t len, struct iot_stream_get *ret,
						    struct iot_error *err);

/*
 * A data reply {f, i, l, p} is this head followed by the payload itself, so that
 * a block can be read from the file to where it is sent from. Returns the
 * head's length, at most IOT_STREAM_HEAD_MAX. `token` (may be NULL) comes first
 * as c when given.
 */
#define IOT_STREAM_HEAD_MAX (32 + IOT_STREAM_TOKEN_MAX + 4)
size_t iot_stream_data_head(uint8_t out[IOT_STREAM_HEAD_MAX], const char *token, size_t token_len, uint32_t file,
			    uint32_t block, uint32_t payload_len);

/* Append a rejection {o: code, m: message, c: token}; token may be NULL. */
void iot_stream_rejected_encode(struct iot_buf *out, const char *code, const char *message, const char *token,
				size_t token_len);

struct iot_stream_file {
	uint32_t id;   /* f */
	uint64_t size; /* z */
};
/* Append a description {c, s, d, r: [{f, z}]}; token and description may be NULL. */
void iot_stream_description_encode(struct iot_buf *out, const char *token, size_t token_len, uint32_t version,
				   const char *description, const struct iot_stream_file *files, size_t count);

/* Device: append a get request with the members that are there. */
void iot_stream_get_encode(struct iot_buf *out, const struct iot_stream_get *get);

struct iot_stream_data {
	const char *token; /* c or NULL; not NUL-terminated. Borrowed */
	size_t token_len;
	uint32_t file;          /* f */
	uint32_t block;         /* i: from the start of the file */
	const uint8_t *payload; /* p; its length is also l. Borrowed */
	size_t payload_len;
};
/* Device: read a data reply. IOT_USAGE if malformed, a member is missing, or l is not the length of p. */
IOT_CHECK enum iot_status iot_stream_data_parse(const void *data, size_t len, struct iot_stream_data *ret,
						struct iot_error *err);

struct iot_stream_rejected {
	char code[64];     /* o or code; cut if longer */
	char message[256]; /* m or message; cut if longer */
	const char *token; /* c or clientToken, or NULL. Borrowed */
	size_t token_len;
};
/* Device: read a rejection. */
IOT_CHECK enum iot_status iot_stream_rejected_parse(const void *data, size_t len, struct iot_stream_rejected *ret,
						    struct iot_error *err);

#endif
