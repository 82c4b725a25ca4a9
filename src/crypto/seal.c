/* AES-256-GCM on OpenSSL's EVP interface, for secrets that lie in a registry. */
#include "iotctl/seal.h"

#include "crypto/internal.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <openssl/evp.h>
#include <string.h>

#define NONCE 12
#define TAG 16

static void free_context(EVP_CIPHER_CTX **ctx)
{
	EVP_CIPHER_CTX_free(*ctx);
}

/* The nonce's length is GCM's default, 12 bytes. */
static bool start(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce, const char *label, bool seal)
{
	int done;

	return ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, seal ? 1 : 0) == 1 &&
	       EVP_CipherUpdate(ctx, NULL, &done, (const unsigned char *)label, (int)strlen(label)) == 1;
}

void iot_seal(const uint8_t key[IOT_SEAL_KEY_SIZE], const char *label, const void *data, size_t len,
	      struct iot_buf *out)
{
	IOT_CLEAN(free_context) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t *to = (uint8_t *)iot_buf_reserve(out, len + IOT_SEAL_EXTRA);
	int done = 0, rest = 0;

	if (to == NULL)
		return;
	iot_random(to, NONCE);
	if (!start(ctx, key, to, label, true) || EVP_CipherUpdate(ctx, to + NONCE, &done, data, (int)len) != 1 ||
	    EVP_CipherFinal_ex(ctx, to + NONCE + done, &rest) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG, to + NONCE + len) != 1)
		iot_ossl_die("AES-256-GCM");
	out->len += len + IOT_SEAL_EXTRA;
}

enum iot_status iot_unseal(const uint8_t key[IOT_SEAL_KEY_SIZE], const char *label, const void *sealed, size_t len,
			   struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(free_context) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	const uint8_t *from = sealed;
	uint8_t tag[TAG], *to;
	size_t text = len - IOT_SEAL_EXTRA;
	int done = 0, rest = 0;
	bool good;

	if (len < IOT_SEAL_EXTRA)
		return iot_fail(err, IOT_VERIFY, "a sealed secret is cut off");
	out->secret = true;
	to = (uint8_t *)iot_buf_reserve(out, text + 1);
	if (to == NULL)
		return iot_buf_check(out, "sealed secret", err);
	memcpy(tag, from + NONCE + text, TAG);
	good = start(ctx, key, from, label, false) && EVP_CipherUpdate(ctx, to, &done, from + NONCE, (int)text) == 1 &&
	       EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG, tag) == 1 &&
	       EVP_CipherFinal_ex(ctx, to + done, &rest) == 1;
	if (!good) {
		iot_wipe(to, text);
		to[0] = '\0';
		return iot_fail(err, IOT_VERIFY, "a sealed secret cannot be opened with this key");
	}
	to[text] = '\0';
	out->len += text;
	return IOT_OK;
}

enum iot_status iot_seal_key_read(const char *path, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(256);
	enum iot_status status;

	if (!iot_fs_exists(path))
		return iot_fail(err, IOT_NOT_FOUND, "the fleet's sealing key '%s' is missing", path);
	status = iot_fs_check_private(path, err);
	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	if (status != IOT_OK)
		return status;
	if (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (text.len != 2 * IOT_SEAL_KEY_SIZE || !iot_unhex(iot_buf_str(&text), key, IOT_SEAL_KEY_SIZE))
		return iot_fail(err, IOT_FAILURE, "'%s' is damaged: it is no sealing key", path);
	return IOT_OK;
}

enum iot_status iot_seal_key_ensure(const char *path, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	char text[2 * IOT_SEAL_KEY_SIZE + 2];
	enum iot_status status;

	if (!iot_fs_exists(path)) {
		iot_random(key, IOT_SEAL_KEY_SIZE);
		iot_hex(key, IOT_SEAL_KEY_SIZE, text);
		text[sizeof(text) - 2] = '\n';
		status = iot_fs_create_private(path, text, sizeof(text) - 1, err);
		iot_wipe(text, sizeof(text));
		if (status != IOT_CONFLICT)
			return status;
	}
	return iot_seal_key_read(path, key, err);
}
