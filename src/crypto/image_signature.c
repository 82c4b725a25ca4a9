/*
 * The detached signature file: a small JSON object beside the image.
 */
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/image.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <string.h>

#define FILE_MAX (16 * 1024)

char *iot_image_signature_path(const char *image_path)
{
	return iot_strf("%s%s", image_path, IOT_IMAGE_SIGNATURE_SUFFIX);
}

enum iot_status iot_image_signature_write(const char *path, const struct iot_image_signature *signature,
					  struct iot_error *err)
{
	IOT_JSON object = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_CLEAN(iot_free_p) char *line = NULL;

	iot_json_set_str(object, "scheme", signature->scheme->name);
	iot_json_set_str(object, "signature", signature->signature);
	iot_json_set_str(object, "sha256", signature->sha256);
	iot_json_set_int(object, "size", signature->size);
	if (signature->key_id[0] != '\0')
		iot_json_set_str(object, "keyId", signature->key_id);
	text = iot_json_text(object);
	line = iot_strf("%s\n", text);
	return iot_fs_write(path, 0644, line, strlen(line), err);
}

/* Copy a member that is SHA-256 in lower-case hex. False if it is anything else. */
static bool take_hex(const json_t *object, const char *key, char out[IOT_SHA256_HEX_SIZE])
{
	const char *text = iot_json_str(object, key, "");

	if (strlen(text) != IOT_SHA256_HEX_SIZE - 1 || strspn(text, "0123456789abcdef") != IOT_SHA256_HEX_SIZE - 1)
		return false;
	memcpy(out, text, IOT_SHA256_HEX_SIZE);
	return true;
}

/* NULL, or the member that is wrong. */
static const char *read_members(const json_t *object, struct iot_image_signature *ret)
{
	const char *signature = iot_json_str(object, "signature", "");

	memset(ret, 0, sizeof(*ret));
	ret->scheme = iot_image_scheme_find(iot_json_str(object, "scheme", ""));
	ret->size = iot_json_int(object, "size", 0);
	if (ret->scheme == NULL)
		return "scheme";
	if (signature[0] == '\0' || strlen(signature) >= sizeof(ret->signature))
		return "signature";
	memcpy(ret->signature, signature, strlen(signature) + 1);
	if (ret->size <= 0)
		return "size";
	if (!take_hex(object, "sha256", ret->sha256))
		return "sha256";
	if (json_object_get(object, "keyId") != NULL && !take_hex(object, "keyId", ret->key_id))
		return "keyId";
	return NULL;
}

enum iot_status iot_image_signature_read(const char *path, struct iot_image_signature *ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	struct iot_image_signature signature;
	IOT_JSON object = NULL;
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, path, &object, err);
	if (status == IOT_OK) {
		const char *fault = read_members(object, &signature);
		if (fault != NULL)
			status = iot_fail(err, IOT_USAGE, "the signature file '%s' has no valid member '%s'", path,
					  fault);
	}
	if (status == IOT_OK)
		*ret = signature;
	iot_buf_release(&text);
	return status;
}
