/*
 * The body format "aws-chunked" with an unsigned trailer (Amazon S3 API
 * reference, "Signature calculations with trailing headers"), in which SDKs send
 * files: chunks of SIZE CR LF BYTES CR LF, a last one of size 0, then trailing
 * header lines and an empty one. TLS keeps it whole; the signature does not cover it.
 */
#ifndef IOTCTL_BROKER_API_CHUNKED_H
#define IOTCTL_BROKER_API_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct chunked {
	void (*take)(void *data, const void *bytes, size_t len); /* what is inside */
	void *data;
	int state;
	char line[256]; /* a size, or a trailing header */
	size_t line_len;
	int64_t left; /* of the chunk */
	uint32_t crc;
	bool has_checksum; /* the trailer had one that is known, */
	bool wrong;        /* and it was another one */
};

void chunked_init(struct chunked *chunked, void (*take)(void *data, const void *bytes, size_t len), void *data);
void chunked_add(struct chunked *chunked, const char *bytes, size_t len);
/* It came to its end, was well-formed, and its CRC-32, if it had one, is right. */
bool chunked_is_good(const struct chunked *chunked);

#endif
