/*
 * Digests, message authentication, random bytes, constant-time comparison.
 *
 * SHA-256 (FIPS 180-4), HMAC-SHA-256 (RFC 2104). The functions without a status
 * cannot fail; when libcrypto itself does not work (no default provider, no
 * entropy) the process ends with one line on stderr, as it does without memory:
 * no caller could go on safely.
 */
#ifndef IOTCTL_DIGEST_H
#define IOTCTL_DIGEST_H

#include "iotctl/error.h"

#include <stdint.h>

#define IOT_SHA256_SIZE 32
#define IOT_SHA256_HEX_SIZE 65 /* lower-case hex and the NUL */

void iot_sha256(const void *data, size_t len, uint8_t out[IOT_SHA256_SIZE]);
/* The same as lower-case hex. Returns out. */
char *iot_sha256_hex(const void *data, size_t len, char out[IOT_SHA256_HEX_SIZE]);

/* Piece by piece: new, add any number of times, end (the context is then ready for the next digest), free. */
struct iot_sha256_ctx;
struct iot_sha256_ctx *iot_sha256_new(void);
void iot_sha256_add(struct iot_sha256_ctx *ctx, const void *data, size_t len);
void iot_sha256_end(struct iot_sha256_ctx *ctx, uint8_t out[IOT_SHA256_SIZE]);
void iot_sha256_free(struct iot_sha256_ctx *ctx);
void iot_sha256_free_p(struct iot_sha256_ctx **ctx); /* for IOT_CLEAN */

/*
 * Digest of a regular file, read in pieces; *ret_size (may be NULL) is the
 * number of bytes that went in. IOT_NOT_FOUND if it is missing.
 */
IOT_CHECK enum iot_status iot_sha256_file(const char *path, uint8_t out[IOT_SHA256_SIZE], int64_t *ret_size,
					  struct iot_error *err);
/* The same from an open descriptor, from its beginning, without moving its position. `name` is for messages. */
IOT_CHECK enum iot_status iot_sha256_fd(int fd, const char *name, uint8_t out[IOT_SHA256_SIZE], int64_t *ret_size,
					struct iot_error *err);

void iot_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[IOT_SHA256_SIZE]);

/* Bytes from the operating system's generator by way of libcrypto's; good for keys. Never returns without them. */
void iot_random(void *out, size_t len);

/* Equality whose time depends on len alone; for secrets and authentication codes. */
bool iot_equal_secret(const void *a, const void *b, size_t len);

#endif
