/*
 * Firmware images: the table of signature schemes, signing and verifying a
 * file, and telling what is in it. One reading of the file gives everything,
 * so that no two facts can be about different contents.
 */
#include "iotctl/image.h"

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define SIGNATURE_BYTES_MAX 1024 /* RSA of 8192 bits */
#define MCUBOOT_MAGIC 0x96f3b83dU
#define MCUBOOT_HEADER_SIZE 32

const struct iot_image_scheme iot_image_schemes[] = {
	{"sig-sha256-ecdsa", "ECDSA P-256 with SHA-256", "SHA256", "ECDSA", IOT_SIG_ECDSA_SHA256, false},
	{"sig-sha256-rsa", "RSA PKCS#1 v1.5 with SHA-256", "SHA256", "RSA", IOT_SIG_RSA_PKCS1_SHA256, false},
	{"sig-sha1-rsa", "RSA PKCS#1 v1.5 with SHA-1 (legacy)", "SHA1", "RSA", IOT_SIG_RSA_PKCS1_SHA1, true},
	{NULL, NULL, NULL, NULL, IOT_SIG_ECDSA_SHA256, false},
};

const struct iot_image_scheme *iot_image_scheme_find(const char *name)
{
	for (const struct iot_image_scheme *scheme = iot_image_schemes; scheme->name != NULL; scheme++)
		if (strcmp(scheme->name, name) == 0)
			return scheme;
	return NULL;
}

enum iot_status iot_image_scheme_of_key(const struct iot_key *key, const struct iot_image_scheme **ret,
					struct iot_error *err)
{
	enum iot_status status;

	if (iot_key_type(key) == IOT_KEY_P256) {
		*ret = iot_image_scheme_find("sig-sha256-ecdsa");
		return IOT_OK;
	}
	if (iot_key_is_rsa(key)) {
		*ret = iot_image_scheme_find("sig-sha256-rsa");
		return IOT_OK;
	}
	status = iot_fail(err, IOT_USAGE, "devices cannot verify images signed with a key of type '%s'",
			  iot_key_type_name(iot_key_type(key)));
	iot_error_hint(err, "use a P-256 or an RSA key");
	return status;
}

/* The scheme to use, and whether it may be used with this key. */
static enum iot_status choose_scheme(const struct iot_key *key, const char *name, bool legacy_allowed,
				     const struct iot_image_scheme **ret, struct iot_error *err)
{
	const struct iot_image_scheme *scheme;
	enum iot_status status;

	if (name == NULL)
		return iot_image_scheme_of_key(key, ret, err);
	scheme = iot_image_scheme_find(name);
	if (scheme == NULL) {
		status = iot_fail(err, IOT_USAGE, "'%s' is not a signature scheme", name);
		iot_error_hint(err, "one of sig-sha256-ecdsa, sig-sha256-rsa, sig-sha1-rsa");
		return status;
	}
	if (scheme->legacy && !legacy_allowed) {
		status = iot_fail(err, IOT_DENIED, "the scheme '%s' is legacy: SHA-1 no longer protects", name);
		iot_error_hint(err, "allow it explicitly only for devices that know nothing better");
		return status;
	}
	if (scheme->sig == IOT_SIG_ECDSA_SHA256 && iot_key_type(key) != IOT_KEY_P256)
		return iot_fail(err, IOT_USAGE, "the scheme '%s' needs a P-256 key, not one of type '%s'", name,
				iot_key_type_name(iot_key_type(key)));
	*ret = scheme;
	return IOT_OK;
}

static const void *digest_for(const struct iot_image_scheme *scheme, const struct iot_file_hash *hash, size_t *ret_len)
{
	bool sha1 = scheme->sig == IOT_SIG_RSA_PKCS1_SHA1;

	*ret_len = sha1 ? sizeof(hash->sha1) : sizeof(hash->sha256);
	return sha1 ? hash->sha1 : hash->sha256;
}

static enum iot_status hash_image(const char *path, const struct iot_image_scheme *scheme, struct iot_file_hash *hash,
				  struct iot_error *err)
{
	enum iot_status status;

	memset(hash, 0, sizeof(*hash));
	hash->want_sha1 = scheme != NULL && scheme->sig == IOT_SIG_RSA_PKCS1_SHA1;
	status = iot_hash_file(path, hash, err);
	if (status == IOT_OK && hash->size == 0)
		status = iot_fail(err, IOT_USAGE, "the image '%s' is empty", path);
	return status;
}

enum iot_status iot_image_sign_file(const char *path, const struct iot_key *key, const char *scheme_name,
				    bool legacy_allowed, struct iot_image_signature *ret, struct iot_error *err)
{
	const struct iot_image_scheme *scheme = NULL;
	struct iot_buf sig = IOT_BUF_INIT(SIGNATURE_BYTES_MAX);
	struct iot_buf text = IOT_BUF_INIT(sizeof(ret->signature) - 1);
	struct iot_file_hash hash;
	const void *digest;
	size_t len;
	enum iot_status status = choose_scheme(key, scheme_name, legacy_allowed, &scheme, err);

	if (status == IOT_OK)
		status = hash_image(path, scheme, &hash, err);
	if (status != IOT_OK)
		return status;
	digest = digest_for(scheme, &hash, &len);
	status = iot_key_sign_digest(key, scheme->sig, digest, len, &sig, err);
	if (status == IOT_OK) {
		iot_base64(sig.data, sig.len, &text);
		status = iot_buf_check(&text, "signature", err);
	}
	if (status == IOT_OK) {
		ret->scheme = scheme;
		ret->size = hash.size;
		memcpy(ret->signature, text.data, text.len + 1);
		iot_hex(hash.sha256, sizeof(hash.sha256), ret->sha256);
		iot_key_id(key, ret->key_id);
	}
	iot_buf_release(&text);
	iot_buf_release(&sig);
	return status;
}

/* Is this base64 text the key's signature over the file that was hashed? */
static enum iot_status verify_hash(const char *path, const struct iot_file_hash *hash, const struct iot_key *key,
				   const struct iot_image_scheme *scheme, const char *base64, struct iot_error *err)
{
	struct iot_buf sig = IOT_BUF_INIT(SIGNATURE_BYTES_MAX);
	enum iot_status status;
	const void *digest;
	size_t len;

	if (!iot_unbase64(base64, strlen(base64), &sig) || sig.over || sig.len == 0) {
		iot_buf_release(&sig);
		return iot_fail(err, IOT_VERIFY, "the signature of '%s' is not base64 of a signature", path);
	}
	digest = digest_for(scheme, hash, &len);
	status = iot_key_verify_digest(key, scheme->sig, digest, len, sig.data, sig.len, err);
	if (status == IOT_VERIFY)
		status = iot_fail(err, IOT_VERIFY, "the signature of '%s' is not by this key over this file", path);
	iot_buf_release(&sig);
	return status;
}

enum iot_status iot_image_verify_file(const char *path, const struct iot_key *key, const char *scheme_name,
				      const char *base64, bool legacy_allowed, struct iot_error *err)
{
	const struct iot_image_scheme *scheme = NULL;
	struct iot_file_hash hash;
	enum iot_status status = choose_scheme(key, scheme_name, legacy_allowed, &scheme, err);

	if (status == IOT_OK)
		status = hash_image(path, scheme, &hash, err);
	return status == IOT_OK ? verify_hash(path, &hash, key, scheme, base64, err) : status;
}

enum iot_status iot_image_verify_signature(const char *path, const struct iot_key *key,
					   const struct iot_image_signature *signature, bool legacy_allowed,
					   struct iot_error *err)
{
	const struct iot_image_scheme *scheme = NULL;
	struct iot_file_hash hash;
	char hex[IOT_SHA256_HEX_SIZE];
	enum iot_status status = choose_scheme(key, signature->scheme->name, legacy_allowed, &scheme, err);

	if (status == IOT_OK)
		status = hash_image(path, scheme, &hash, err);
	if (status != IOT_OK)
		return status;
	if (signature->key_id[0] != '\0' && strcmp(signature->key_id, iot_key_id(key, hex)) != 0)
		return iot_fail(err, IOT_VERIFY, "'%s' was signed by key %.16s..., not by this key", path,
				signature->key_id);
	if (signature->size != hash.size)
		return iot_fail(err, IOT_VERIFY, "'%s' has %lld bytes; %lld were signed", path, (long long)hash.size,
				(long long)signature->size);
	if (strcmp(signature->sha256, iot_hex(hash.sha256, sizeof(hash.sha256), hex)) != 0)
		return iot_fail(err, IOT_VERIFY, "'%s' is not the file that was signed", path);
	return verify_hash(path, &hash, key, scheme, signature->signature, err);
}

const char *iot_image_container_name(enum iot_image_container container)
{
	static const char *const names[] = {
		[IOT_IMAGE_RAW] = "raw", [IOT_IMAGE_MCUBOOT] = "mcuboot", [IOT_IMAGE_SIM] = "iotctl-sim"};

	return (size_t)container < IOT_LENGTH(names) ? names[container] : "raw";
}

static uint32_t le32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* What the first bytes say. MCUboot's header: bootutil image.h, struct image_header. */
static void tell_container(const struct iot_file_hash *hash, struct iot_image_info *info)
{
	const uint8_t *head = hash->head;

	if (hash->head_len >= MCUBOOT_HEADER_SIZE && le32(head) == MCUBOOT_MAGIC) {
		info->container = IOT_IMAGE_MCUBOOT;
		snprintf(info->version, sizeof(info->version), "%u.%u.%u+%u", head[20], head[21],
			 (unsigned)(head[22] | head[23] << 8), le32(head + 24));
	} else if (iot_sim_firmware_parse(head, hash->head_len, &info->sim, NULL) == IOT_OK &&
		   info->sim.size == hash->size) {
		info->container = IOT_IMAGE_SIM;
		iot_sim_version_text(&info->sim, info->version);
	}
}

enum iot_status iot_image_inspect(const char *path, struct iot_image_info *ret, struct iot_error *err)
{
	struct iot_file_hash hash;
	enum iot_status status = hash_image(path, NULL, &hash, err);

	if (status != IOT_OK)
		return status;
	memset(ret, 0, sizeof(*ret));
	ret->size = hash.size;
	ret->container = IOT_IMAGE_RAW;
	iot_hex(hash.sha256, sizeof(hash.sha256), ret->sha256);
	tell_container(&hash, ret);
	return IOT_OK;
}
