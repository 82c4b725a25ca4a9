/*
 * Whose secret or public key is it: lookups for who lets devices in (the broker's
 * plugin, the gateway). They read the registry, which may be open read only, and
 * open sealed secrets with the fleet's sealing key (seal.h). One indexed query
 * each, no cache: the registry's epoch counts up when a secret is revoked or a key removed.
 */
#ifndef IOTCTL_PSK_H
#define IOTCTL_PSK_H

#include "iotctl/key.h"
#include "iotctl/seal.h"
#include "iotctl/store.h"

#define IOT_PSK_IDENTITY_MAX 128
#define IOT_PSK_LENGTH_MIN 16
#define IOT_PSK_LENGTH_MAX 64
#define IOT_PSK_ACTIVE_MAX 2 /* of one purpose, while a device rotates */
#define IOT_PSK_THING_MAX 128

/* A secret; to be wiped with iot_psk_wipe. */
struct iot_psk {
	int64_t id, thing_id;
	char identity[IOT_PSK_IDENTITY_MAX + 1];
	char thing[IOT_PSK_THING_MAX + 1];
	uint8_t key[IOT_PSK_LENGTH_MAX];
	size_t key_len;
};
void iot_psk_wipe(struct iot_psk *psk); /* fits IOT_CLEAN */

/*
 * The secret of an identity as a client sent it (any bytes). IOT_NOT_FOUND: none
 * of that name and of purpose "connect". IOT_DENIED: revoked. IOT_VERIFY: it
 * cannot be opened with this key. IOT_AGAIN: the registry is busy.
 */
IOT_CHECK enum iot_status iot_psk_find(struct iot_store *store, const uint8_t seal[IOT_SEAL_KEY_SIZE],
				       const void *identity, size_t identity_len, struct iot_psk *ret,
				       struct iot_error *err);

/* Is a secret that was let in still active? For live connections, when the epoch has moved. */
IOT_CHECK enum iot_status iot_psk_is_active(struct iot_store *store, int64_t id, bool *ret, struct iot_error *err);

/* The active attestation keys of a device, newest first; none is no error. Wipe each. */
IOT_CHECK enum iot_status iot_psk_attestation_keys(struct iot_store *store, const uint8_t seal[IOT_SEAL_KEY_SIZE],
						   int64_t thing_id, struct iot_psk ret[IOT_PSK_ACTIVE_MAX],
						   size_t *ret_count, struct iot_error *err);

/* A public key that a device signs tokens with. */
#define IOT_DEVICE_KEYS_MAX 3 /* of one purpose */
struct iot_device_key {
	struct iot_key *key;
	char id[IOT_SHA256_HEX_SIZE];
	int64_t expires_at; /* ms since 1970; 0: never */
};
/*
 * The keys of a device by its thing name, for `purpose` "connect" or "attest", newest first, expired ones too;
 * free each with iot_device_keys_release. IOT_NOT_FOUND: there is no such device.
 */
IOT_CHECK enum iot_status iot_device_keys_find(struct iot_store *store, const char *thing, const char *purpose,
					       struct iot_device_key ret[IOT_DEVICE_KEYS_MAX], size_t *ret_count,
					       struct iot_error *err);
void iot_device_keys_release(struct iot_device_key *keys, size_t count);

#endif
