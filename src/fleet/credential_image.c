/*
 * The folder of a device, as device create writes it, as an image for the flash
 * of its board: for those that are programmed by their maker's own tool.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/credential.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"

#include <string.h>

enum { ESP_PARTITION = 8192, FILE_MAX = 65536 };
#define BIT(tag) (1U << IOT_CREDENTIAL_##tag)

/* What is in each part of each format. Without a name the first of a format is meant, where it is enough by itself. */
static const struct part {
	const char *format, *name;
	enum iot_credential_format id;
	unsigned tags;
} parts[] = {
	{"iotc", "credentials", IOT_CREDENTIAL_IOTC,
	 BIT(ID) | BIT(CERTIFICATE) | BIT(KEY) | BIT(ENDPOINT) | BIT(ROOT_CA) | BIT(PORT)},
	{"iotc", "codesign", IOT_CREDENTIAL_IOTC, BIT(CODE_SIGNING)},
	{"pkcs11", "all", IOT_CREDENTIAL_PKCS11, BIT(CERTIFICATE) | BIT(KEY) | BIT(CODE_SIGNING)},
	{"pkcs11-stm32f4", "certificate", IOT_CREDENTIAL_PKCS11_STM32F4, BIT(CERTIFICATE)},
	{"pkcs11-stm32f4", "key", IOT_CREDENTIAL_PKCS11_STM32F4, BIT(KEY)},
	{"pkcs11-stm32f4", "codesign", IOT_CREDENTIAL_PKCS11_STM32F4, BIT(CODE_SIGNING)},
	{"esp-secure-cert", "all", IOT_CREDENTIAL_ESP_SECURE_CERT, BIT(ROOT_CA) | BIT(CERTIFICATE) | BIT(KEY)},
};

static enum iot_status find_part(const char *format, const char *name, const struct part **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf names = IOT_BUF_INIT(400);

	for (size_t i = 0; i < IOT_LENGTH(parts); i++) {
		if (strcmp(parts[i].format, format) != 0)
			continue;
		if (name == NULL ? parts[i].id != IOT_CREDENTIAL_PKCS11_STM32F4 : strcmp(parts[i].name, name) == 0) {
			*ret = &parts[i];
			return IOT_OK;
		}
		iot_buf_addf(&names, "%s'%s'", names.len > 0 ? ", " : "", parts[i].name);
	}
	if (names.len == 0)
		return iot_fail(err, IOT_USAGE, "there is no format '%s' for credentials", format);
	if (name == NULL)
		iot_fail(err, IOT_USAGE, "format '%s' has a file for each part", format);
	else
		iot_fail(err, IOT_USAGE, "format '%s' has no part '%s'", format, name);
	iot_error_hint(err, "its parts are %s", iot_buf_str(&names));
	return IOT_USAGE;
}

static enum iot_status read_cert(const char *path, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = iot_cert_load(path, &cert, err);

	if (status == IOT_OK)
		iot_cert_der(cert, out);
	return status;
}

static enum iot_status read_key(const char *path, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = iot_key_load(path, NULL, &key, err);

	return status == IOT_OK ? iot_key_private_der(key, out, err) : status;
}

static enum iot_status read_signer(const char *path, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = iot_key_load_public(path, &key, err);

	return status == IOT_OK ? iot_key_public_der(key, out, err) : status;
}

static enum iot_status read_member(const char *path, const char *member, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	IOT_JSON json = NULL;
	const json_t *value;
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, path, &json, err);
	if (status != IOT_OK)
		return status;
	value = json_object_get(json, member);
	if (json_is_integer(value))
		iot_buf_addf(out, "%lld", (long long)json_integer_value(value));
	else
		iot_buf_adds(out, json_is_string(value) ? json_string_value(value) : "");
	return out->len > 0 ? IOT_OK : iot_fail(err, IOT_USAGE, "'%s' has no member '%s'", path, member);
}

static enum iot_status read_item(const char *dir, enum iot_credential_tag tag, struct iot_buf *out,
				 struct iot_error *err)
{
	static const struct {
		const char *file, *member;
		enum iot_status (*read)(const char *path, struct iot_buf *out, struct iot_error *err);
	} sources[IOT_CREDENTIAL_TAGS] = {
		[IOT_CREDENTIAL_ID] = {"device.json", "thingName", NULL},
		[IOT_CREDENTIAL_ENDPOINT] = {"device.json", "endpoint", NULL},
		[IOT_CREDENTIAL_PORT] = {"device.json", "port", NULL},
		[IOT_CREDENTIAL_CERTIFICATE] = {"certificate.pem", NULL, read_cert},
		[IOT_CREDENTIAL_ROOT_CA] = {"ca.pem", NULL, read_cert},
		[IOT_CREDENTIAL_KEY] = {"private.key", NULL, read_key},
		[IOT_CREDENTIAL_CODE_SIGNING] = {"codesign.pem", NULL, read_signer},
	};
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, sources[tag].file);
	enum iot_status status = sources[tag].read != NULL ? sources[tag].read(path, out, err)
							   : read_member(path, sources[tag].member, out, err);

	if (status == IOT_NOT_FOUND)
		iot_error_hint(
			err,
			"a folder that 'iotctl device create --out' made has it, unless the key was made on the board");
	return status == IOT_OK ? iot_buf_check(out, sources[tag].file, err) : status;
}

/* The whole partition, so that nothing that was in it before is read on. */
static enum iot_status fill_partition(struct iot_buf *out, struct iot_error *err)
{
	if (out->len > ESP_PARTITION)
		return iot_fail(err, IOT_USAGE,
				"the credentials need %zu bytes, and an esp_secure_cert partition has %d", out->len,
				ESP_PARTITION);
	while (out->len < ESP_PARTITION && !out->over)
		iot_buf_addc(out, (char)0xff);
	return IOT_OK;
}

/* The key in the folder has to be that of its certificate: the board could not connect with another. */
static enum iot_status check_pair(const char *dir, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *cert_path = iot_path(dir, "certificate.pem");
	IOT_CLEAN(iot_free_p) char *key_path = iot_path(dir, "private.key");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = iot_cert_load(cert_path, &cert, err);

	if (status == IOT_OK)
		status = iot_key_load(key_path, NULL, &key, err);
	if (status == IOT_OK && !iot_key_equal(key, iot_cert_key(cert)))
		return iot_fail(err, IOT_VERIFY, "'%s' is not the key of '%s'", key_path, cert_path);
	return status;
}

enum iot_status iot_credential_image(const char *dir, const char *format, const char *part_name, struct iot_buf *out,
				     struct iot_error *err)
{
	struct iot_buf values[IOT_CREDENTIAL_TAGS];
	struct iot_credential items[IOT_CREDENTIAL_TAGS];
	const struct part *part = NULL;
	size_t count = 0;
	enum iot_status status = find_part(format, part_name, &part, err);

	out->secret = true;
	for (int tag = 0; tag < IOT_CREDENTIAL_TAGS; tag++)
		values[tag] = (struct iot_buf)IOT_BUF_SECRET(IOT_CREDENTIAL_MAX);
	for (int tag = 1; status == IOT_OK && tag < IOT_CREDENTIAL_TAGS; tag++) {
		if ((part->tags & 1U << tag) == 0)
			continue;
		status = read_item(dir, (enum iot_credential_tag)tag, &values[tag], err);
		items[count++] =
			(struct iot_credential){(enum iot_credential_tag)tag, values[tag].data, values[tag].len};
	}
	if (status == IOT_OK && part->tags & BIT(CERTIFICATE) && part->tags & BIT(KEY))
		status = check_pair(dir, err);
	if (status == IOT_OK)
		status = iot_credential_build(part->id, items, count, out, err);
	if (status == IOT_OK && part->id == IOT_CREDENTIAL_ESP_SECURE_CERT)
		status = fill_partition(out, err);
	for (int tag = 0; tag < IOT_CREDENTIAL_TAGS; tag++)
		iot_buf_release(&values[tag]);
	return status;
}
