/*
 * Credential images: laid out here byte by byte, so that a board's firmware can
 * read them with a few lines and this host can read them back.
 */
#include "iotctl/credential.h"

#include "iotctl/base.h"

#include <string.h>

enum { HEADER = 32, CRC_AT = 28, ITEM_HEADER = 8, ALIGN = 4, VERSION = 1 };
enum { PKCS11_DATA = 2048 };
#define MAGIC "IOTC"
#define PKCS11_MARK 0x1a2b3c4dU
#define PKCS11_PRESENT 0xabcd0000U
#define ESP_MAGIC 0xba5eba11U
enum { ESP_ALIGN = 16, ESP_CA = 0, ESP_DEVICE = 1, ESP_KEY = 2 };

static const char *const tag_names[IOT_CREDENTIAL_TAGS] = {
	"",        "thing name",   "certificate", "private key",        "code-signing key", "endpoint",
	"root CA", "PSK identity", "PSK",         "attestation key id", "attestation key",  "implementation id",
	"port"};

/* --- bytes ---------------------------------------------------------------------------- */

/* CRC-32 whose register starts with `crc`: all ones in zlib's, zero as the ESP32's ROM is called by its library. */
static uint32_t crc32_from(uint32_t crc, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++) {
		crc ^= at[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (0xedb88320U & -(crc & 1));
	}
	return ~crc;
}

static uint32_t crc32_of(const void *data, size_t len)
{
	return crc32_from(UINT32_MAX, data, len);
}

static void add_int(struct iot_buf *out, uint32_t value, int size)
{
	for (int i = 0; i < size; i++)
		iot_buf_addc(out, (char)(value >> 8 * i));
}

static uint32_t get_int(const uint8_t *at, int size)
{
	uint32_t value = 0;

	for (int i = 0; i < size; i++)
		value |= (uint32_t)at[i] << 8 * i;
	return value;
}

static void pad(struct iot_buf *out, size_t start, size_t align, char with)
{
	while ((out->len - start) % align != 0 && !out->over)
		iot_buf_addc(out, with);
}

bool iot_credential_blank(const void *data, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++)
		if (at[i] != 0xff)
			return false;
	return true;
}

bool iot_credential_foreign(const void *data, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len && i < sizeof(MAGIC) - 1; i++)
		if (at[i] != 0xff && at[i] != (uint8_t)MAGIC[i])
			return true;
	return false;
}

/* --- building ---------------------------------------------------------------------------- */

static enum iot_status check_once(const struct iot_credential *items, size_t count, struct iot_error *err)
{
	unsigned seen = 0;

	for (size_t i = 0; i < count; i++) {
		if (seen & 1U << items[i].tag)
			return iot_fail(err, IOT_USAGE, "a credential image holds one %s", tag_names[items[i].tag]);
		seen |= 1U << items[i].tag;
	}
	return count > 0 ? IOT_OK : iot_fail(err, IOT_USAGE, "a credential image without items");
}

static void build_iotc(const struct iot_credential *items, size_t count, struct iot_buf *out)
{
	struct iot_buf body = IOT_BUF_INIT(IOT_CREDENTIAL_MAX);
	size_t start = out->len;

	body.secret = true;
	for (size_t i = 0; i < count; i++) {
		add_int(&body, items[i].tag, 2);
		add_int(&body, 0, 2);
		add_int(&body, (uint32_t)items[i].len, 4);
		iot_buf_add(&body, items[i].value, items[i].len);
		pad(&body, 0, ALIGN, (char)0xff);
	}
	iot_buf_adds(out, MAGIC);
	add_int(out, VERSION, 2);
	add_int(out, HEADER, 2);
	add_int(out, (uint32_t)body.len, 4);
	add_int(out, 1, 4);
	add_int(out, crc32_of(iot_buf_str(&body), body.len), 4);
	add_int(out, UINT32_MAX, 4);
	add_int(out, UINT32_MAX, 4);
	if (!out->over)
		add_int(out, crc32_of(out->data + start, CRC_AT), 4);
	iot_buf_add(out, iot_buf_str(&body), body.len);
	out->over |= body.over;
	iot_buf_release(&body);
}

static enum iot_status check_pkcs11(const struct iot_credential *item, struct iot_error *err)
{
	if (item->tag != IOT_CREDENTIAL_CERTIFICATE && item->tag != IOT_CREDENTIAL_KEY &&
	    item->tag != IOT_CREDENTIAL_CODE_SIGNING)
		return iot_fail(err, IOT_USAGE, "the flash of a PKCS#11 port has no place for a %s",
				tag_names[item->tag]);
	if (item->len > PKCS11_DATA)
		return iot_fail(err, IOT_USAGE, "the %s has %zu bytes, and a PKCS#11 port has %d for it",
				tag_names[item->tag], item->len, PKCS11_DATA);
	return IOT_OK;
}

static void add_pkcs11(struct iot_buf *out, const struct iot_credential *item)
{
	size_t start = out->len;

	if (item != NULL)
		iot_buf_add(out, item->value, item->len);
	while (out->len < start + PKCS11_DATA && !out->over)
		iot_buf_addc(out, (char)0xff);
}

static enum iot_status build_pkcs11(const struct iot_credential *items, size_t count, struct iot_buf *out,
				    struct iot_error *err)
{
	static const enum iot_credential_tag order[] = {IOT_CREDENTIAL_CERTIFICATE, IOT_CREDENTIAL_KEY,
							IOT_CREDENTIAL_CODE_SIGNING};
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < count; i++)
		status = check_pkcs11(&items[i], err);
	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(order); i++)
		add_pkcs11(out, iot_credential_find(items, count, order[i]));
	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(order); i++) {
		const struct iot_credential *item = iot_credential_find(items, count, order[i]);

		add_int(out, item != NULL ? PKCS11_PRESENT | (uint32_t)item->len : UINT32_MAX, 4);
	}
	return status;
}

static enum iot_status build_pkcs11_file(const struct iot_credential *items, size_t count, struct iot_buf *out,
					 struct iot_error *err)
{
	enum iot_status status;

	if (count != 1)
		return iot_fail(err, IOT_USAGE, "a PKCS#11 file is one certificate, private key or code-signing key");
	status = check_pkcs11(items, err);
	if (status != IOT_OK)
		return status;
	add_int(out, PKCS11_MARK, 4);
	add_int(out, (uint32_t)items->len, 4);
	add_pkcs11(out, items);
	return IOT_OK;
}

/* magic, flags, 3 reserved, type, subtype, length, value, padding, CRC of all that (esp_secure_cert_mgr, tlv_config.h)
 */
static enum iot_status build_esp(const struct iot_credential *items, size_t count, struct iot_buf *out,
				 struct iot_error *err)
{
	for (size_t i = 0; i < count; i++) {
		size_t start = out->len;
		int type;

		if (items[i].tag == IOT_CREDENTIAL_CERTIFICATE)
			type = ESP_DEVICE;
		else if (items[i].tag == IOT_CREDENTIAL_KEY)
			type = ESP_KEY;
		else if (items[i].tag == IOT_CREDENTIAL_ROOT_CA)
			type = ESP_CA;
		else
			return iot_fail(err, IOT_USAGE, "an esp_secure_cert partition has no place for a %s",
					tag_names[items[i].tag]);
		if (items[i].len > UINT16_MAX)
			return iot_fail(err, IOT_USAGE, "the %s is too long", tag_names[items[i].tag]);
		add_int(out, ESP_MAGIC, 4);
		add_int(out, 0, 4);
		add_int(out, (uint32_t)type, 1);
		add_int(out, 0, 1);
		add_int(out, (uint32_t)items[i].len, 2);
		iot_buf_add(out, items[i].value, items[i].len);
		pad(out, start + 12, ESP_ALIGN, '\0');
		if (!out->over)
			add_int(out, crc32_from(0, out->data + start, out->len - start), 4);
	}
	return IOT_OK;
}

enum iot_status iot_credential_build(enum iot_credential_format format, const struct iot_credential *items,
				     size_t count, struct iot_buf *out, struct iot_error *err)
{
	enum iot_status status = check_once(items, count, err);

	if (status != IOT_OK)
		return status;
	if (format == IOT_CREDENTIAL_PKCS11)
		status = build_pkcs11(items, count, out, err);
	else if (format == IOT_CREDENTIAL_PKCS11_STM32F4)
		status = build_pkcs11_file(items, count, out, err);
	else if (format == IOT_CREDENTIAL_ESP_SECURE_CERT)
		status = build_esp(items, count, out, err);
	else
		build_iotc(items, count, out);
	return status == IOT_OK ? iot_buf_check(out, "credential image", err) : status;
}

/* --- reading -------------------------------------------------------------------------------- */

static enum iot_status damaged(struct iot_error *err, const char *what)
{
	return iot_fail(err, IOT_VERIFY, "the credential region is damaged: %s", what);
}

static enum iot_status parse_body(const uint8_t *body, size_t len, struct iot_credential *ret, size_t *ret_count,
				  struct iot_error *err)
{
	unsigned seen = 0;
	size_t at = 0;

	*ret_count = 0;
	while (at < len) {
		uint32_t tag, value_len;

		if (len - at < ITEM_HEADER)
			return damaged(err, "an item is cut off");
		tag = get_int(body + at, 2);
		value_len = get_int(body + at + 4, 4);
		at += ITEM_HEADER;
		if (value_len > len - at)
			return damaged(err, "an item is longer than its image");
		if (tag > 0 && tag < IOT_CREDENTIAL_TAGS) {
			if (seen & 1U << tag)
				return damaged(err, "an item is there twice");
			seen |= 1U << tag;
			ret[(*ret_count)++] =
				(struct iot_credential){(enum iot_credential_tag)tag, body + at, value_len};
		}
		at += value_len;
		at += (ALIGN - at % ALIGN) % ALIGN;
	}
	return IOT_OK;
}

enum iot_status iot_credential_parse(const void *data, size_t len,
				     struct iot_credential ret[static IOT_CREDENTIAL_TAGS], size_t *ret_count,
				     struct iot_error *err)
{
	const uint8_t *at = data;
	uint32_t body_len;

	if (iot_credential_blank(data, len))
		return iot_fail(err, IOT_NOT_FOUND, "the credential region is blank");
	if (len < HEADER || memcmp(at, MAGIC, sizeof(MAGIC) - 1) != 0)
		return iot_fail(err, IOT_VERIFY, "the credential region holds something else");
	if (get_int(at + CRC_AT, 4) != crc32_of(at, CRC_AT))
		return damaged(err, "its header has the wrong checksum");
	if (get_int(at + 4, 2) != VERSION || get_int(at + 6, 2) != HEADER)
		return iot_fail(err, IOT_VERIFY, "the credential region has format version %u, known is %d",
				(unsigned)get_int(at + 4, 2), VERSION);
	body_len = get_int(at + 8, 4);
	if (body_len > len - HEADER)
		return damaged(err, "it is longer than its region");
	if (get_int(at + 16, 4) != crc32_of(at + HEADER, body_len))
		return damaged(err, "it has the wrong checksum");
	return parse_body(at + HEADER, body_len, ret, ret_count, err);
}

const struct iot_credential *iot_credential_find(const struct iot_credential *items, size_t count,
						 enum iot_credential_tag tag)
{
	for (size_t i = 0; i < count; i++)
		if (items[i].tag == tag)
			return &items[i];
	return NULL;
}
