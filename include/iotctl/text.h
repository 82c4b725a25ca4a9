/*
 * Text to values and back: numbers, durations, sizes, hex, base64, names.
 * All parsers take the whole string or fail with IOT_USAGE and a message that
 * quotes the value and says what was expected.
 */
#ifndef IOTCTL_TEXT_H
#define IOTCTL_TEXT_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

IOT_CHECK enum iot_status iot_parse_int(const char *text, int64_t min, int64_t max, int64_t *ret, struct iot_error *err);
/* "250ms", "30s", "5m", "2h", "7d"; a bare number is seconds. Result in milliseconds, >= 0. */
IOT_CHECK enum iot_status iot_parse_duration(const char *text, int64_t *ret_ms, struct iot_error *err);
/* "4096", "4k", "16M" (powers of 1024). */
IOT_CHECK enum iot_status iot_parse_size(const char *text, int64_t *ret, struct iot_error *err);

/* Lower-case hex; out must hold 2*len+1. Returns out. */
char *iot_hex(const void *data, size_t len, char *out);
/* Exactly 2*out_len hex digits; false otherwise. */
bool iot_unhex(const char *text, void *out, size_t out_len);

/* Append base64 (RFC 4648 section 4, padded) / base64url (section 5, no padding). */
void iot_base64(const void *data, size_t len, struct iot_buf *out);
void iot_base64url(const void *data, size_t len, struct iot_buf *out);
/* Strict decoding: padding required for base64 and refused for base64url, no white space. False if malformed. */
bool iot_unbase64(const char *text, size_t len, struct iot_buf *out);
bool iot_unbase64url(const char *text, size_t len, struct iot_buf *out);

/* Valid UTF-8 without NUL, surrogates or overlong forms. */
bool iot_utf8_valid(const char *text, size_t len);
/* Bytes of the character at text (1 to 4) and its code point (ret_code may be NULL); 0 if malformed or len is 0. */
size_t iot_utf8_next(const char *text, size_t len, uint32_t *ret_code);
/* Make foreign text safe to show: '?' for control and direction characters and for what is not UTF-8. In place. */
void iot_text_printable(char *text);

/* Sizes for people: "20.0 MB" style, decimal units. Returns out. */
char *iot_human_size(int64_t bytes, char *out, size_t out_size);

/* Percent-encode all but A-Z a-z 0-9 - _ . ~ (RFC 3986 unreserved). */
void iot_percent_encode(const char *text, size_t len, struct iot_buf *out);
/* Decode %XX; false on a malformed escape or a NUL. */
bool iot_percent_decode(const char *text, size_t len, struct iot_buf *out);

/* Random version 4 UUID as text; out holds 37 bytes. */
void iot_uuid(char out[37]);

bool iot_starts_with(const char *text, const char *prefix);
bool iot_ends_with(const char *text, const char *suffix);

#endif
