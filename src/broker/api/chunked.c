/*
 * Reading "aws-chunked" as it comes, byte by byte where there is syntax and in
 * one piece where there is not. The checksum in the trailer that SDKs send unless
 * told otherwise is the CRC-32 of ISO 3309; others are not looked at.
 */
#include "broker/api/chunked.h"

#include "iotctl/text.h"

#include <string.h>
#include <strings.h>

enum { SIZE, BYTES, BYTES_CR, BYTES_LF, TRAILER, DONE, BAD };

static uint32_t crc32_add(uint32_t crc, const unsigned char *bytes, size_t len)
{
	static uint32_t table[256];

	if (table[1] == 0) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t value = i;

			for (int bit = 0; bit < 8; bit++)
				value = value >> 1 ^ ((value & 1) != 0 ? 0xedb88320U : 0);
			table[i] = value;
		}
	}
	crc = ~crc;
	for (size_t i = 0; i < len; i++)
		crc = table[(crc ^ bytes[i]) & 0xff] ^ crc >> 8;
	return ~crc;
}

void chunked_init(struct chunked *chunked, void (*take)(void *data, const void *bytes, size_t len), void *data)
{
	*chunked = (struct chunked){.take = take, .data = data, .state = SIZE};
}

/* "1a2b" or "1a2b;chunk-signature=..."; extensions say nothing here. */
static int read_size(struct chunked *chunked)
{
	size_t len = strspn(chunked->line, "0123456789abcdefABCDEF");

	if (len == 0 || len > 8 || (chunked->line[len] != '\0' && chunked->line[len] != ';'))
		return BAD;
	chunked->left = 0;
	for (size_t i = 0; i < len; i++) {
		char c = chunked->line[i];

		chunked->left = chunked->left * 16 + (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return chunked->left > 0 ? BYTES : TRAILER;
}

static int read_trailer(struct chunked *chunked)
{
	static const char name[] = "x-amz-checksum-crc32:";
	const unsigned char bytes[] = {(unsigned char)(chunked->crc >> 24), (unsigned char)(chunked->crc >> 16),
				       (unsigned char)(chunked->crc >> 8), (unsigned char)chunked->crc};
	struct iot_buf base64 = IOT_BUF_INIT(16);
	const char *value;

	if (chunked->line_len == 0)
		return DONE;
	value = strchr(chunked->line, ':');
	if (value == NULL)
		return BAD;
	if (strncasecmp(chunked->line, name, sizeof(name) - 1) == 0) {
		value++;
		value += strspn(value, " ");
		iot_base64(bytes, sizeof(bytes), &base64);
		chunked->has_checksum = true;
		chunked->wrong = chunked->wrong || strcmp(value, iot_buf_str(&base64)) != 0;
		iot_buf_release(&base64);
	}
	return TRAILER;
}

/* A line that ends with CR LF. */
static void add_to_line(struct chunked *chunked, char c)
{
	int state = chunked->state;

	if (c != '\n') {
		if (chunked->line_len + 1 >= sizeof(chunked->line) || c == '\0')
			chunked->state = BAD;
		else
			chunked->line[chunked->line_len++] = c;
		return;
	}
	if (chunked->line_len == 0 || chunked->line[chunked->line_len - 1] != '\r') {
		chunked->state = BAD;
		return;
	}
	chunked->line[--chunked->line_len] = '\0';
	chunked->state = state == SIZE ? read_size(chunked) : read_trailer(chunked);
	chunked->line_len = 0;
}

void chunked_add(struct chunked *chunked, const char *bytes, size_t len)
{
	while (len > 0 && chunked->state != BAD) {
		size_t n = 1;

		switch (chunked->state) {
		case BYTES:
			n = (int64_t)len < chunked->left ? len : (size_t)chunked->left;
			chunked->crc = crc32_add(chunked->crc, (const unsigned char *)bytes, n);
			chunked->take(chunked->data, bytes, n);
			chunked->left -= (int64_t)n;
			if (chunked->left == 0)
				chunked->state = BYTES_CR;
			break;
		case BYTES_CR:
			chunked->state = *bytes == '\r' ? BYTES_LF : BAD;
			break;
		case BYTES_LF:
			chunked->state = *bytes == '\n' ? SIZE : BAD;
			break;
		case DONE:
			chunked->state = BAD;
			break;
		default:
			add_to_line(chunked, *bytes);
		}
		bytes += n;
		len -= n;
	}
}

bool chunked_is_good(const struct chunked *chunked)
{
	return chunked->state == DONE && !chunked->wrong;
}
