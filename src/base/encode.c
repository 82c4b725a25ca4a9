/*
 * Bytes as text: hex, base64 and base64url (RFC 4648), percent-encoding
 * (RFC 3986). Encoders write into the buffer itself, so that nothing of a
 * secret stays elsewhere; decoders that fail leave the buffer's contents as
 * they were.
 */
#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char upper_hex_digits[] = "0123456789ABCDEF";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *iot_hex(const void *data, size_t len, char *out)
{
	const unsigned char *bytes = data;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = hex_digits[bytes[i] >> 4];
		out[2 * i + 1] = hex_digits[bytes[i] & 15];
	}
	out[2 * len] = '\0';
	return out;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool iot_unhex(const char *text, void *out, size_t out_len)
{
	unsigned char *bytes = out;

	if (text == NULL || strlen(text) != 2 * out_len)
		return false;
	for (size_t i = 0; i < out_len; i++) {
		int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

static void encode64(const unsigned char *in, size_t len, const char *digits, bool pad, struct iot_buf *out)
{
	size_t rest = len % 3;
	size_t tail = rest == 0 ? 0 : pad ? 4 : rest + 1;
	char *to = iot_buf_reserve(out, len / 3 * 4 + tail);

	if (to == NULL)
		return;
	for (size_t i = 0; i < len; i += 3) {
		uint32_t bits = (uint32_t)in[i] << 16;
		size_t have = len - i;

		if (have > 1)
			bits |= (uint32_t)in[i + 1] << 8;
		if (have > 2)
			bits |= in[i + 2];
		*to++ = digits[bits >> 18];
		*to++ = digits[bits >> 12 & 63];
		if (have > 1)
			*to++ = digits[bits >> 6 & 63];
		else if (pad)
			*to++ = '=';
		if (have > 2)
			*to++ = digits[bits & 63];
		else if (pad)
			*to++ = '=';
	}
	out->len += len / 3 * 4 + tail;
}

void iot_base64(const void *data, size_t len, struct iot_buf *out)
{
	encode64(data, len, alphabet, true, out);
}

void iot_base64url(const void *data, size_t len, struct iot_buf *out)
{
	encode64(data, len, url_alphabet, false, out);
}

static int digit64(char c, char c62, char c63)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == c62)
		return 62;
	return c == c63 ? 63 : -1;
}

/* `len` digits without padding. Bits that encode nothing must be zero: every value has one spelling. */
static bool decode64(const char *text, size_t len, const char *digits, struct iot_buf *out)
{
	size_t bytes = len / 4 * 3 + (len % 4 > 0 ? len % 4 - 1 : 0);
	unsigned char *to;
	uint32_t bits = 0;
	int have = 0;

	if (len % 4 == 1)
		return false;
	to = (unsigned char *)iot_buf_reserve(out, bytes);
	if (to == NULL)
		return false;
	for (size_t i = 0; i < len; i++) {
		int value = digit64(text[i], digits[62], digits[63]);

		if (value < 0)
			goto malformed;
		bits = bits << 6 | (uint32_t)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			*to++ = (unsigned char)(bits >> have);
			bits &= (1U << have) - 1;
		}
	}
	if (bits != 0)
		goto malformed;
	out->len += bytes;
	return true;

malformed:
	iot_wipe(out->data + out->len, bytes);
	return false;
}

bool iot_unbase64(const char *text, size_t len, struct iot_buf *out)
{
	if (len % 4 != 0)
		return false;
	for (int i = 0; i < 2 && len > 0 && text[len - 1] == '='; i++)
		len--;
	return decode64(text, len, alphabet, out);
}

bool iot_unbase64url(const char *text, size_t len, struct iot_buf *out)
{
	return decode64(text, len, url_alphabet, out);
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
	       c == '.' || c == '~';
}

void iot_percent_encode(const char *text, size_t len, struct iot_buf *out)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (is_unreserved(text[i])) {
			iot_buf_addc(out, text[i]);
		} else {
			char escape[3] = {'%', upper_hex_digits[c >> 4], upper_hex_digits[c & 15]};

			iot_buf_add(out, escape, sizeof(escape));
		}
	}
	/* Nothing to encode is still an addition. */
	if (len == 0)
		iot_buf_add(out, "", 0);
}

bool iot_percent_decode(const char *text, size_t len, struct iot_buf *out)
{
	size_t count = 0;
	char *to = iot_buf_reserve(out, len);

	if (to == NULL)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c == '%') {
			int high = len - i > 2 ? hex_value(text[i + 1]) : -1;
			int low = len - i > 2 ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				goto malformed;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			goto malformed;
		to[count++] = c;
	}
	out->len += count;
	return true;

malformed:
	memset(to, 0, len);
	return false;
}
