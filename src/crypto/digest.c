/*
 * SHA-256, HMAC-SHA-256, random bytes and constant-time comparison on
 * OpenSSL's EVP interface. The algorithm object is fetched once per process:
 * fetching it for each digest costs more than hashing a short text.
 */
#include "iotctl/digest.h"

#include "crypto/internal.h"
#include "iotctl/text.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 65536

struct iot_sha256_ctx {
	EVP_MD_CTX *evp;
};

static const EVP_MD *sha256_md(void)
{
	static EVP_MD *md; /* for the life of the process; libcrypto frees what is left when it ends */

	if (md == NULL)
		md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (md == NULL)
		iot_ossl_die("SHA-256");
	return md;
}

void iot_sha256(const void *data, size_t len, uint8_t out[IOT_SHA256_SIZE])
{
	if (EVP_Digest(data, len, out, NULL, sha256_md(), NULL) != 1)
		iot_ossl_die("SHA-256");
}

char *iot_sha256_hex(const void *data, size_t len, char out[IOT_SHA256_HEX_SIZE])
{
	uint8_t digest[IOT_SHA256_SIZE];

	iot_sha256(data, len, digest);
	return iot_hex(digest, sizeof(digest), out);
}

struct iot_sha256_ctx *iot_sha256_new(void)
{
	struct iot_sha256_ctx *ctx = iot_alloc(sizeof(*ctx));

	ctx->evp = EVP_MD_CTX_new();
	if (ctx->evp == NULL || EVP_DigestInit_ex(ctx->evp, sha256_md(), NULL) != 1)
		iot_ossl_die("SHA-256");
	return ctx;
}

void iot_sha256_add(struct iot_sha256_ctx *ctx, const void *data, size_t len)
{
	if (EVP_DigestUpdate(ctx->evp, data, len) != 1)
		iot_ossl_die("SHA-256");
}

void iot_sha256_end(struct iot_sha256_ctx *ctx, uint8_t out[IOT_SHA256_SIZE])
{
	if (EVP_DigestFinal_ex(ctx->evp, out, NULL) != 1 || EVP_DigestInit_ex(ctx->evp, sha256_md(), NULL) != 1)
		iot_ossl_die("SHA-256");
}

void iot_sha256_free(struct iot_sha256_ctx *ctx)
{
	if (ctx == NULL)
		return;
	EVP_MD_CTX_free(ctx->evp);
	free(ctx);
}

void iot_sha256_free_p(struct iot_sha256_ctx **ctx)
{
	iot_sha256_free(*ctx);
	*ctx = NULL;
}

static void md_ctx_free_p(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

static void keep_head(struct iot_file_hash *hash, const char *piece, size_t len)
{
	size_t room = sizeof(hash->head) - hash->head_len;

	len = len < room ? len : room;
	memcpy(hash->head + hash->head_len, piece, len);
	hash->head_len += len;
}

enum iot_status iot_hash_fd(int fd, const char *name, struct iot_file_hash *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_sha256_free_p) struct iot_sha256_ctx *sha256 = iot_sha256_new();
	IOT_CLEAN(md_ctx_free_p) EVP_MD_CTX *sha1 = ret->want_sha1 ? EVP_MD_CTX_new() : NULL;
	IOT_CLEAN(iot_free_p) char *piece = iot_alloc(READ_SIZE);
	struct stat st;

	if (fstat(fd, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", name);
	if (!S_ISREG(st.st_mode))
		return iot_fail(err, IOT_USAGE, "'%s' is not a regular file", name);
	if (ret->want_sha1 && (sha1 == NULL || EVP_DigestInit_ex(sha1, EVP_sha1(), NULL) != 1))
		return iot_ossl_fail(err, IOT_FAILURE, "cannot compute SHA-1");
	ret->size = 0;
	ret->head_len = 0;
	for (;;) {
		ssize_t n = pread(fd, piece, READ_SIZE, ret->size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", name);
		if (n == 0)
			break;
		keep_head(ret, piece, (size_t)n);
		iot_sha256_add(sha256, piece, (size_t)n);
		if (sha1 != NULL && EVP_DigestUpdate(sha1, piece, (size_t)n) != 1)
			return iot_ossl_fail(err, IOT_FAILURE, "cannot compute SHA-1");
		ret->size += n;
	}
	iot_sha256_end(sha256, ret->sha256);
	if (sha1 != NULL && EVP_DigestFinal_ex(sha1, ret->sha1, NULL) != 1)
		return iot_ossl_fail(err, IOT_FAILURE, "cannot compute SHA-1");
	return IOT_OK;
}

enum iot_status iot_hash_file(const char *path, struct iot_file_hash *ret, struct iot_error *err)
{
	/* O_NONBLOCK: opening a pipe without a writer would block for ever; it means nothing for a regular file. */
	IOT_CLEAN(iot_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return iot_fail_errno(err, errno == ENOENT ? IOT_NOT_FOUND : IOT_FAILURE, errno, "cannot open '%s'",
				      path);
	return iot_hash_fd(fd, path, ret, err);
}

static enum iot_status hand_over(enum iot_status status, const struct iot_file_hash *hash, uint8_t out[IOT_SHA256_SIZE],
				 int64_t *ret_size)
{
	if (status != IOT_OK)
		return status;
	memcpy(out, hash->sha256, IOT_SHA256_SIZE);
	if (ret_size != NULL)
		*ret_size = hash->size;
	return IOT_OK;
}

enum iot_status iot_sha256_fd(int fd, const char *name, uint8_t out[IOT_SHA256_SIZE], int64_t *ret_size,
			      struct iot_error *err)
{
	struct iot_file_hash hash = {.want_sha1 = false};

	return hand_over(iot_hash_fd(fd, name, &hash, err), &hash, out, ret_size);
}

enum iot_status iot_sha256_file(const char *path, uint8_t out[IOT_SHA256_SIZE], int64_t *ret_size,
				struct iot_error *err)
{
	struct iot_file_hash hash = {.want_sha1 = false};

	return hand_over(iot_hash_file(path, &hash, err), &hash, out, ret_size);
}

void iot_hmac_sha256(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[IOT_SHA256_SIZE])
{
	unsigned out_len = IOT_SHA256_SIZE;

	/* A null pointer would mean "the key of the last call" to some versions; an empty key is a key. */
	if (HMAC(EVP_sha256(), key_len == 0 ? "" : key, (int)key_len, data, len, out, &out_len) == NULL)
		iot_ossl_die("HMAC-SHA-256");
}

void iot_random(void *out, size_t len)
{
	/* RAND_bytes counts in int. */
	for (size_t done = 0; done < len;) {
		size_t n = len - done < 65536 ? len - done : 65536;
		if (RAND_bytes((unsigned char *)out + done, (int)n) != 1)
			iot_ossl_die("random bytes");
		done += n;
	}
}

bool iot_equal_secret(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}
