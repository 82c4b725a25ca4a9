/*
 * Firmware images: sign, verify, look into; the detached signature file; the
 * image format of the software device.
 *
 * A signature is over the whole file, as FreeRTOS OTA agents check it. Files
 * are read in pieces, never whole.
 */
#ifndef IOTCTL_IMAGE_H
#define IOTCTL_IMAGE_H

#include "iotctl/key.h"

/*
 * A way to sign. The names are the members of files[] in an afr_ota job
 * document (FreeRTOS OTA, AWS IoT CreateOTAUpdate); the AWS names are those of
 * customCodeSigning.
 */
struct iot_image_scheme {
	const char *name;          /* "sig-sha256-ecdsa" */
	const char *text;          /* for people */
	const char *aws_hash;      /* hashAlgorithm: "SHA256" */
	const char *aws_signature; /* signatureAlgorithm: "ECDSA" */
	enum iot_sig_scheme sig;
	bool legacy; /* refused unless the caller allows it by name */
};

/* The table: sig-sha256-ecdsa (P-256), sig-sha256-rsa, sig-sha1-rsa (legacy). Ends with a row whose name is NULL. */
extern const struct iot_image_scheme iot_image_schemes[];
const struct iot_image_scheme *iot_image_scheme_find(const char *name); /* NULL if unknown */
/* The scheme of a key: ECDSA for P-256, RSA PKCS#1 v1.5 with SHA-256 for RSA. IOT_USAGE for other keys. */
IOT_CHECK enum iot_status iot_image_scheme_of_key(const struct iot_key *key, const struct iot_image_scheme **ret,
						  struct iot_error *err);

#define IOT_IMAGE_SIGNATURE_MAX 2048 /* base64 text with its NUL */

/* What is known about a signed image; also the content of a detached signature file. */
struct iot_image_signature {
	const struct iot_image_scheme *scheme;
	char signature[IOT_IMAGE_SIGNATURE_MAX]; /* base64 (RFC 4648 section 4) */
	char sha256[IOT_SHA256_HEX_SIZE];        /* of the file, whatever the scheme hashes with */
	int64_t size;
	char key_id[IOT_SHA256_HEX_SIZE]; /* iot_key_id of the signing key; "" if not known */
};

/*
 * Sign a file. scheme_name NULL: by the kind of key. IOT_USAGE if the file is
 * empty or the key does not fit the scheme; IOT_DENIED for a legacy scheme
 * without `legacy_allowed`. The digests and the signature are of the same
 * reading of the file.
 */
IOT_CHECK enum iot_status iot_image_sign_file(const char *path, const struct iot_key *key, const char *scheme_name,
					      bool legacy_allowed, struct iot_image_signature *ret,
					      struct iot_error *err);

/* Check a file against a base64 signature. IOT_VERIFY when it is not that key's over this file. */
IOT_CHECK enum iot_status iot_image_verify_file(const char *path, const struct iot_key *key, const char *scheme_name,
						const char *base64, bool legacy_allowed, struct iot_error *err);
/* The same from a detached signature; its size and SHA-256 must agree with the file, and its key id with the key. */
IOT_CHECK enum iot_status iot_image_verify_signature(const char *path, const struct iot_key *key,
						     const struct iot_image_signature *signature, bool legacy_allowed,
						     struct iot_error *err);

/*
 * The detached signature file beside an image: IMAGE.sig.json holds
 * {"scheme":"sig-sha256-ecdsa","signature":"BASE64","sha256":"HEX","size":N,"keyId":"HEX"}.
 */
#define IOT_IMAGE_SIGNATURE_SUFFIX ".sig.json"
/* Path of an image's signature file; new memory. */
char *iot_image_signature_path(const char *image_path);
/* Write (replacing) and read one by the path of the signature file itself. IOT_NOT_FOUND if missing. */
IOT_CHECK enum iot_status iot_image_signature_write(const char *path, const struct iot_image_signature *signature,
						    struct iot_error *err);
IOT_CHECK enum iot_status iot_image_signature_read(const char *path, struct iot_image_signature *ret,
						   struct iot_error *err);

/*
 * The image format of the software device ("iotctl-sim"). A header of 64 bytes,
 * little-endian: magic[8] | u16 format = 1 | u16 behaviour | u32 total size |
 * u8 major | u8 minor | u16 build | zeros. Then pseudo-random bytes that follow
 * from the version alone, so the same version is the same file.
 */
#define IOT_SIM_MAGIC "IOTFW\0\r\n" /* 8 bytes, without the literal's NUL */
#define IOT_SIM_MAGIC_SIZE 8
#define IOT_SIM_HEADER_SIZE 64
#define IOT_SIM_SIZE_MAX (64 * 1024 * 1024)

enum iot_sim_behaviour { IOT_SIM_OK = 0, IOT_SIM_CRASH = 1, IOT_SIM_HANG = 2, IOT_SIM_FAIL_TEST = 3 };

struct iot_sim_firmware {
	enum iot_sim_behaviour behaviour; /* what the software device does when it boots it */
	uint32_t size;                    /* of the whole file: IOT_SIM_HEADER_SIZE to IOT_SIM_SIZE_MAX */
	uint8_t major;
	uint8_t minor;
	uint16_t build;
};

/* "ok", "crash", "hang", "fail-test". */
const char *iot_sim_behaviour_name(enum iot_sim_behaviour behaviour);
/* "1.2.3" -> major, minor, build. IOT_USAGE when a part is missing, empty or too large (255.255.65535). */
IOT_CHECK enum iot_status iot_sim_version_parse(const char *text, struct iot_sim_firmware *fw, struct iot_error *err);
/* "1.2.3"; out holds 16 bytes. Returns out. */
char *iot_sim_version_text(const struct iot_sim_firmware *fw, char out[16]);
/* Version as FreeRTOS agents report it: major << 24 | minor << 16 | build. */
uint32_t iot_sim_version_number(const struct iot_sim_firmware *fw);

/* Write (replacing) an image file. */
IOT_CHECK enum iot_status iot_sim_firmware_write(const char *path, const struct iot_sim_firmware *fw,
						 struct iot_error *err);
/* Read a header: exactly IOT_SIM_HEADER_SIZE bytes or more. IOT_USAGE if it is none or of another format. */
IOT_CHECK enum iot_status iot_sim_firmware_parse(const void *data, size_t len, struct iot_sim_firmware *ret,
						 struct iot_error *err);
/* The same from a file, whose size must be the one the header says. */
IOT_CHECK enum iot_status iot_sim_firmware_read(const char *path, struct iot_sim_firmware *ret, struct iot_error *err);

enum iot_image_container { IOT_IMAGE_RAW, IOT_IMAGE_MCUBOOT, IOT_IMAGE_SIM };

struct iot_image_info {
	int64_t size;
	char sha256[IOT_SHA256_HEX_SIZE];
	enum iot_image_container container;
	char version[32];            /* "1.2.3" or MCUboot's "1.2.3+4"; "" for raw images */
	struct iot_sim_firmware sim; /* for IOT_IMAGE_SIM */
};

/* "raw", "mcuboot", "iotctl-sim". */
const char *iot_image_container_name(enum iot_image_container container);
/* Look into a file. IOT_NOT_FOUND if missing, IOT_USAGE if empty. The container is told by its magic number. */
IOT_CHECK enum iot_status iot_image_inspect(const char *path, struct iot_image_info *ret, struct iot_error *err);

/*
 * What an attestation token says of this image once it runs. MCUboot: its hash
 * TLV, which is checked against the file, and the hash of the signing key (KEYHASH
 * or PUBKEY TLV). Others: SHA-256 of the file, and the key id of IMAGE.sig.json
 * beside it, which must be of this file. Format: mcu-tools/mcuboot, docs/design.md.
 */
struct iot_image_measurement {
	uint8_t measurement[64];
	size_t measurement_len; /* 32, 48 or 64 */
	uint8_t signer[64];
	size_t signer_len; /* 0: it does not say */
	char version[32];  /* as in iot_image_info */
};
/* IOT_NOT_FOUND if missing, IOT_USAGE if damaged, IOT_VERIFY if hash or signature file are of another image. */
IOT_CHECK enum iot_status iot_image_measure(const char *path, struct iot_image_measurement *ret, struct iot_error *err);

#endif
