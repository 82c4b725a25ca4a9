/* Files of shared secrets, into the registry and out of it. Secrets are only in buffers that are wiped, never in
 * records. */
#include "iotctl/pskfile.h"

#include "iotctl/base.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

#define LINE_LIMIT 512
#define SECRET_MAX 64

/* --- into the registry -------------------------------------------------------------------- */

struct import {
	struct iot_cloud *cloud;
	const char *device, *purpose;
	iot_psk_result_fn each;
	void *data;
	size_t failed;
};

static enum iot_status take(struct import *import, const char *identity, const char *hex, size_t hex_len,
			    json_t *record, struct iot_error *err)
{
	uint8_t secret[SECRET_MAX];
	struct iot_body body = {secret, hex_len / 2, -1};
	IOT_CLEAN(iot_free_p) char *thing = NULL, *text = NULL;
	IOT_JSON request = NULL;
	IOT_JSON answer = NULL;
	enum iot_status status;

	if (hex_len % 2 != 0 || hex_len / 2 > sizeof(secret))
		return iot_fail(err, IOT_USAGE, "the secret is not 16 to 64 bytes in hex");
	text = iot_strndup(hex, hex_len);
	status = iot_unhex(text, secret, hex_len / 2)
			 ? IOT_OK
			 : iot_fail(err, IOT_USAGE, "the secret is not 16 to 64 bytes in hex");
	iot_wipe(text, hex_len);
	if (status == IOT_OK)
		status = iot_fleet_resolve(import->cloud, import->device != NULL ? import->device : identity, &thing,
					   err);
	if (status == IOT_OK) {
		iot_json_set_str(record, "thingName", thing);
		request = json_pack("{s:s, s:s, s:s}", "thingName", thing, "identity", identity, "purpose",
				    import->purpose);
		status = iot_cloud_call(import->cloud, "iotctl:ImportPsk", request, &body, &answer, NULL, err);
	}
	iot_wipe(secret, sizeof(secret));
	if (status == IOT_OK)
		iot_json_set_bool(record, "changed", iot_json_bool(answer, "changed", true));
	return status;
}

static enum iot_status one_line(struct import *import, const char *line, size_t len, int64_t number,
				struct iot_error *err)
{
	const char *colon = memchr(line, ':', len);
	IOT_JSON record = json_pack("{s:I}", "line", (json_int_t)number);
	IOT_CLEAN(iot_free_p) char *identity = NULL;
	struct iot_error why = IOT_ERROR_INIT;
	char text[1024];
	enum iot_status status;

	if (colon == NULL || colon == line || len > LINE_LIMIT) {
		status = iot_fail(&why, IOT_USAGE, "the line is not IDENTITY:HEX");
	} else {
		identity = iot_strndup(line, (size_t)(colon - line));
		if (iot_utf8_valid(identity, strlen(identity)))
			iot_json_set_str(record, "identity", identity);
		status = take(import, identity, colon + 1, len - (size_t)(colon + 1 - line), record, &why);
	}
	if (status == IOT_OK)
		return import->each(record, import->data, err);
	import->failed++;
	iot_json_set_str(record, "error", iot_error_line(&why, text, sizeof(text)));
	return import->each(record, import->data, err);
}

enum iot_status iot_psk_import(struct iot_cloud *cloud, const char *path, const char *device, const char *purpose,
			       iot_psk_result_fn each, void *data, struct iot_error *err)
{
	struct import import = {cloud, device, purpose, each, data, 0};
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(IOT_PSK_FILE_MAX);
	int64_t number = 0, count = 0;
	enum iot_status status = strcmp(path, "-") == 0 ? IOT_OK : iot_fs_check_private(path, err);

	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	for (const char *at = text.data, *end; status == IOT_OK && at != NULL && at < text.data + text.len;
	     at = end + 1) {
		size_t len;

		end = memchr(at, '\n', (size_t)(text.data + text.len - at));
		end = end != NULL ? end : text.data + text.len;
		len = (size_t)(end - at);
		if (len > 0 && at[len - 1] == '\r')
			len--;
		number++;
		if (len == 0 || *at == '#')
			continue;
		count++;
		status = one_line(&import, at, len, number, err);
	}
	if (status == IOT_OK && count == 0)
		return iot_fail(err, IOT_USAGE, "'%s' has no secrets in it", path);
	if (status == IOT_OK && import.failed > 0)
		return iot_fail(err, IOT_PARTIAL, "%zu of %lld secrets were not taken", import.failed,
				(long long)count);
	return status;
}

/* --- out of it ---------------------------------------------------------------------------- */

/* IDENTITY:HEX lines as another format; identities need no quoting in either. */
static void convert(const struct iot_buf *lines, enum iot_psk_format format, struct iot_buf *out)
{
	const char *at = lines->data, *end;

	iot_buf_adds(out, format == IOT_PSK_CSV ? "identity,psk\n" : "[");
	for (bool first = true; at < lines->data + lines->len; at = end + 1, first = false) {
		const char *colon = strchr(at, ':');

		end = strchr(at, '\n');
		if (format == IOT_PSK_JSON)
			iot_buf_adds(out, first ? "\n  {\"identity\": \"" : ",\n  {\"identity\": \"");
		iot_buf_add(out, at, (size_t)(colon - at));
		iot_buf_adds(out, format == IOT_PSK_CSV ? "," : "\", \"psk\": \"");
		iot_buf_add(out, colon + 1, (size_t)(end - colon - 1));
		iot_buf_adds(out, format == IOT_PSK_CSV ? "\n" : "\"}");
	}
	if (format == IOT_PSK_JSON)
		iot_buf_adds(out, "\n]\n");
}

enum iot_status iot_psk_export(struct iot_cloud *cloud, const char *thing, const char *identity, const char *purpose,
			       enum iot_psk_format format, struct iot_buf *out, int64_t *ret_count,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf lines = IOT_BUF_SECRET(IOT_PSK_FILE_MAX);
	IOT_JSON request = json_pack("{s:s}", "purpose", purpose);
	IOT_JSON reply = NULL;
	int64_t count;
	enum iot_status status;

	iot_json_set_str(request, "thingName", thing);
	iot_json_set_str(request, "identity", identity);
	status = iot_cloud_call(cloud, "iotctl:ExportPsks", request, NULL, &reply, &lines, err);
	if (status != IOT_OK)
		return status;
	count = iot_json_int(reply, "count", 0);
	if (count == 0)
		return iot_fail(err, IOT_NOT_FOUND, "there is no active secret%s%s%s", thing != NULL ? " of '" : "",
				thing != NULL ? thing : "", thing != NULL ? "'" : "");
	if (format == IOT_PSK_MOSQUITTO)
		iot_buf_add(out, lines.data, lines.len);
	else
		convert(&lines, format, out);
	if (ret_count != NULL)
		*ret_count = count;
	return iot_buf_check(out, "the file of secrets", err);
}

/* --- one ---------------------------------------------------------------------------------- */

enum iot_status iot_psk_read(const char *path, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(4 * SECRET_MAX);
	uint8_t secret[SECRET_MAX];
	size_t len;
	enum iot_status status = strcmp(path, "-") == 0 ? IOT_OK : iot_fs_check_private(path, err);

	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	if (status != IOT_OK)
		return status;
	len = text.len;
	while (len > 0 && (text.data[len - 1] == '\n' || text.data[len - 1] == '\r'))
		len--;
	/* 32 bytes that happen to be hex digits all over are hex to everybody. */
	if (len % 2 == 0 && len / 2 <= sizeof(secret) && len > 0 &&
	    strspn(text.data, "0123456789abcdefABCDEF") >= len) {
		text.data[len] = '\0';
		if (iot_unhex(text.data, secret, len / 2))
			iot_buf_add(out, secret, len / 2);
		iot_wipe(secret, sizeof(secret));
	} else {
		iot_buf_add(out, text.data, text.len);
	}
	if (out->len == 0 || out->len > SECRET_MAX)
		return iot_fail(err, IOT_USAGE, "'%s' is not a secret of at most %d bytes, as they are or in hex", path,
				SECRET_MAX);
	return IOT_OK;
}
