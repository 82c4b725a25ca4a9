/*
 * Credential images: what a board is to know of itself, as bytes for a region
 * of its flash that firmware reads at its start.
 *
 * Format "iotc" (ours; little-endian), described in iotctl-swd(7):
 *   header, 32 bytes: "IOTC", u16 version 1, u16 header length 32, u32 body length,
 *   u32 sequence, u32 CRC-32 of the body, 8 bytes 0xff, u32 CRC-32 of the first 28
 *   body: items of u16 tag, u16 flags 0, u32 length, value, 0xff up to a multiple of 4
 * Format "pkcs11": the struct that the flash ports of FreeRTOS's PKCS#11 have (P11KeyConfig of amazon-freertos,
 *   vendors/st/boards/stm32l475_discovery/ports/pkcs11): 2048 bytes each for certificate, private key and code-signing
 *   key, then for each in that order u32 0xabcd0000 | length; erased flash where there is none.
 * Format "pkcs11-stm32f4": a port that has a sector for each: u32 0x1a2b3c4d, u32
 *   length, 2048 bytes of data; one file per region.
 * Format "esp-secure-cert": the TLV partition that esp_secure_cert_mgr reads.
 *
 * CRC-32 is that of ISO 3309 and zlib. It finds damage; it protects from nobody.
 */
#ifndef IOTCTL_CREDENTIAL_H
#define IOTCTL_CREDENTIAL_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdbool.h>
#include <stdint.h>

#define IOT_CREDENTIAL_MAX (64 * 1024) /* bytes of an image */

enum iot_credential_tag {
	IOT_CREDENTIAL_ID = 1,       /* thing name, text */
	IOT_CREDENTIAL_CERTIFICATE,  /* its certificate, DER */
	IOT_CREDENTIAL_KEY,          /* its private key, PKCS#8 DER: secret */
	IOT_CREDENTIAL_CODE_SIGNING, /* public key that updates are checked with, SubjectPublicKeyInfo DER */
	IOT_CREDENTIAL_ENDPOINT,     /* host name of the broker, text */
	IOT_CREDENTIAL_ROOT_CA,      /* certificate that the broker is checked with, DER */
	/* Of devices with symmetric cryptography only, as Trusted Firmware-M's Profile Small: */
	IOT_CREDENTIAL_PSK_IDENTITY,   /* text */
	IOT_CREDENTIAL_PSK,            /* the bytes: secret */
	IOT_CREDENTIAL_ATTEST_ID,      /* key id for tokens, text */
	IOT_CREDENTIAL_ATTEST_KEY,     /* the bytes of the initial attestation key (HMAC): secret */
	IOT_CREDENTIAL_IMPLEMENTATION, /* implementation id, 32 bytes */
	IOT_CREDENTIAL_PORT,           /* at the endpoint, decimal text */
	IOT_CREDENTIAL_TAGS            /* one more than the last */
};

enum iot_credential_format {
	IOT_CREDENTIAL_IOTC,
	IOT_CREDENTIAL_PKCS11,
	IOT_CREDENTIAL_PKCS11_STM32F4,
	IOT_CREDENTIAL_ESP_SECURE_CERT
};

/* One item. The value is borrowed. */
struct iot_credential {
	enum iot_credential_tag tag;
	const void *value;
	size_t len;
};

/*
 * Append the image of these items. iotc: any, each tag once. pkcs11: certificate, key, code-signing key of up to 2048
 * bytes each; pkcs11-stm32f4: exactly one of them. esp-secure-cert: certificate, key, root CA. `out` should be a secret
 * buffer when a key is among them. IOT_USAGE for what the format cannot hold.
 */
IOT_CHECK enum iot_status iot_credential_build(enum iot_credential_format format, const struct iot_credential *items,
					       size_t count, struct iot_buf *out, struct iot_error *err);

/*
 * Read an iotc image from the start of a region that may be longer. Values point into `data`; *ret_count is at most
 * IOT_CREDENTIAL_TAGS - 1. Unknown tags are skipped. IOT_NOT_FOUND: the region is blank (all 0xff); IOT_VERIFY: it is
 * damaged, or holds something else.
 */
IOT_CHECK enum iot_status iot_credential_parse(const void *data, size_t len,
					       struct iot_credential ret[static IOT_CREDENTIAL_TAGS], size_t *ret_count,
					       struct iot_error *err);
/* The item with this tag, or NULL. */
const struct iot_credential *iot_credential_find(const struct iot_credential *items, size_t count,
						 enum iot_credential_tag tag);
/*
 * Does this region begin with something that is no iotc image, whole, damaged or half written, and no erased flash? It
 * may be a program that grew into it.
 */
bool iot_credential_foreign(const void *data, size_t len);
/* Is it erased flash? */
bool iot_credential_blank(const void *data, size_t len);

#endif
