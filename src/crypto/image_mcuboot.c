/*
 * What an image will be measured as by a device that boots it: the hash and the
 * signer's key hash in the trailer of an MCUboot image (mcu-tools/mcuboot,
 * bootutil/image.h), or digest and signature file of any other.
 */
#include "crypto/internal.h"
#include "iotctl/image.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HEADER_SIZE 32
#define MAGIC_TLVS 0x6907
#define TLVS_MAX 65535
#define READ_SIZE 65536

enum tlv { TLV_KEYHASH = 0x01, TLV_PUBKEY = 0x02, TLV_SHA256 = 0x10, TLV_SHA384 = 0x11, TLV_SHA512 = 0x12 };

struct tlvs {
	const uint8_t *hash, *key_hash, *public_key;
	size_t hash_len, key_hash_len, public_key_len;
};

static unsigned le16(const uint8_t *at)
{
	return at[0] | (unsigned)at[1] << 8;
}

static uint32_t le32(const uint8_t *at)
{
	return le16(at) | (uint32_t)le16(at + 2) << 16;
}

static enum iot_status damaged(struct iot_error *err, const char *path, const char *what)
{
	return iot_fail(err, IOT_USAGE, "'%s' is a damaged MCUboot image: %s", path, what);
}

static enum iot_status read_at(int fd, const char *path, int64_t offset, void *out, size_t len, struct iot_error *err)
{
	for (size_t done = 0; done < len;) {
		ssize_t n = pread(fd, (char *)out + done, len - done, offset + (int64_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", path);
		if (n == 0)
			return damaged(err, path, "it ends too early");
		done += (size_t)n;
	}
	return IOT_OK;
}

static enum iot_status read_tlvs(const uint8_t *data, size_t len, const char *path, struct tlvs *ret,
				 struct iot_error *err)
{
	for (size_t at = 4; at < len;) {
		unsigned type, size;

		if (len - at < 4 || len - at - 4 < le16(data + at + 2))
			return damaged(err, path, "its trailer ends too early");
		type = le16(data + at);
		size = le16(data + at + 2);
		if (type == TLV_KEYHASH) {
			ret->key_hash = data + at + 4;
			ret->key_hash_len = size;
		} else if (type == TLV_PUBKEY) {
			ret->public_key = data + at + 4;
			ret->public_key_len = size;
		} else if (type >= TLV_SHA256 && type <= TLV_SHA512 && size == 32 + (type - TLV_SHA256) * 16) {
			ret->hash = data + at + 4;
			ret->hash_len = size;
		}
		at += 4 + size;
	}
	return ret->hash != NULL ? IOT_OK : damaged(err, path, "its trailer has no hash");
}

static enum iot_status hash_start(int fd, const char *path, int64_t len, size_t digest_len, uint8_t *out,
				  struct iot_error *err)
{
	const EVP_MD *md = digest_len == 32 ? EVP_sha256() : (digest_len == 48 ? EVP_sha384() : EVP_sha512());
	IOT_CLEAN(iot_free_p) uint8_t *piece = iot_alloc(READ_SIZE);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	enum iot_status status = IOT_OK;
	bool good = ctx != NULL && EVP_DigestInit_ex(ctx, md, NULL) == 1;

	for (int64_t at = 0; good && status == IOT_OK && at < len;) {
		size_t n = len - at < READ_SIZE ? (size_t)(len - at) : READ_SIZE;

		status = read_at(fd, path, at, piece, n, err);
		good = status != IOT_OK || EVP_DigestUpdate(ctx, piece, n) == 1;
		at += (int64_t)n;
	}
	good = good && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (status == IOT_OK && !good)
		status = iot_ossl_fail(err, IOT_FAILURE, "cannot hash '%s'", path);
	return status;
}

/* KEYHASH as it is; of a full public key its SHA-256, which is what the other would hold. */
static void take_signer(const struct tlvs *tlvs, struct iot_image_measurement *ret)
{
	if (tlvs->key_hash != NULL && tlvs->key_hash_len <= sizeof(ret->signer)) {
		memcpy(ret->signer, tlvs->key_hash, tlvs->key_hash_len);
		ret->signer_len = tlvs->key_hash_len;
	} else if (tlvs->public_key != NULL) {
		iot_sha256(tlvs->public_key, tlvs->public_key_len, ret->signer);
		ret->signer_len = IOT_SHA256_SIZE;
	}
}

static enum iot_status measure_mcuboot(const char *path, struct iot_image_measurement *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	IOT_CLEAN(iot_free_p) uint8_t *data = NULL;
	uint8_t header[HEADER_SIZE], info[4];
	struct tlvs tlvs = {0};
	int64_t hashed;
	enum iot_status status;

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot open '%s'", path);
	status = read_at(fd, path, 0, header, sizeof(header), err);
	if (status != IOT_OK)
		return status;
	hashed = (int64_t)le16(header + 8) + le32(header + 12) + le16(header + 10);
	status = read_at(fd, path, hashed, info, sizeof(info), err);
	if (status != IOT_OK)
		return status;
	if (le16(info) != MAGIC_TLVS || le16(info + 2) < 4)
		return damaged(err, path, "it has no trailer");
	data = iot_alloc(TLVS_MAX);
	status = read_at(fd, path, hashed, data, le16(info + 2), err);
	if (status == IOT_OK)
		status = read_tlvs(data, le16(info + 2), path, &tlvs, err);
	if (status == IOT_OK)
		status = hash_start(fd, path, hashed, tlvs.hash_len, ret->measurement, err);
	if (status != IOT_OK)
		return status;
	ret->measurement_len = tlvs.hash_len;
	if (memcmp(ret->measurement, tlvs.hash, tlvs.hash_len) != 0)
		return iot_fail(err, IOT_VERIFY, "the hash in '%s' is not that of its contents", path);
	take_signer(&tlvs, ret);
	return IOT_OK;
}

static enum iot_status measure_file(const char *path, const struct iot_image_info *info,
				    struct iot_image_measurement *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *file = iot_image_signature_path(path);
	struct iot_image_signature signature;
	enum iot_status status;

	if (!iot_unhex(info->sha256, ret->measurement, IOT_SHA256_SIZE))
		return iot_fail(err, IOT_FAILURE, "cannot hash '%s'", path);
	ret->measurement_len = IOT_SHA256_SIZE;
	status = iot_image_signature_read(file, &signature, err);
	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	if (strcmp(signature.sha256, info->sha256) != 0)
		return iot_fail(err, IOT_VERIFY, "'%s' is the signature of another image than '%s'", file, path);
	if (iot_unhex(signature.key_id, ret->signer, IOT_SHA256_SIZE))
		ret->signer_len = IOT_SHA256_SIZE;
	return IOT_OK;
}

enum iot_status iot_image_measure(const char *path, struct iot_image_measurement *ret, struct iot_error *err)
{
	struct iot_image_measurement measured = {0};
	struct iot_image_info info;
	enum iot_status status = iot_image_inspect(path, &info, err);

	if (status != IOT_OK)
		return status;
	memcpy(measured.version, info.version, sizeof(measured.version));
	if (info.container == IOT_IMAGE_MCUBOOT)
		status = measure_mcuboot(path, &measured, err);
	else
		status = measure_file(path, &info, &measured, err);
	if (status == IOT_OK)
		*ret = measured;
	return status;
}
