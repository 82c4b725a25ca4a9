/*
 * Secrets at rest: authenticated encryption of a few bytes with a key that is
 * kept somewhere else. AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce;
 * sealed bytes are nonce, ciphertext, and the 16-byte tag.
 */
#ifndef IOTCTL_SEAL_H
#define IOTCTL_SEAL_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

#define IOT_SEAL_KEY_SIZE 32
#define IOT_SEAL_EXTRA 28 /* how much longer sealed bytes are */

/*
 * Append `len` bytes sealed. `label` is not stored, but the same is needed to open: what the secret belongs to, so that
 * a sealed text copied to another place is worth nothing. Random nonces: not for more than 2^32 secrets of one key.
 */
void iot_seal(const uint8_t key[IOT_SEAL_KEY_SIZE], const char *label, const void *data, size_t len,
	      struct iot_buf *out);
/* Append what was sealed; `out` becomes a secret buffer. IOT_VERIFY: another key or label, or altered; nothing is
 * added. */
IOT_CHECK enum iot_status iot_unseal(const uint8_t key[IOT_SEAL_KEY_SIZE], const char *label, const void *sealed,
				     size_t len, struct iot_buf *out, struct iot_error *err);

/*
 * The file that a sealing key is kept in: 64 hex digits, 0600, in the fleet
 * directory, in no backup. The caller wipes the key. IOT_NOT_FOUND if there is none, IOT_DENIED if others can
 * read it, IOT_FAILURE if it is damaged.
 */
#define IOT_SEAL_KEY_FILE "sealing.key"
IOT_CHECK enum iot_status iot_seal_key_read(const char *path, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err);
/* The same, made first if it is missing. */
IOT_CHECK enum iot_status iot_seal_key_ensure(const char *path, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err);

#endif
