/*
 * Messages: how to connect (by the admin socket of the fleet's own broker, or as
 * a device), AWS IoT's rules, and the formats in which people write payloads.
 */
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { DEVICE_JSON_MAX = 64 * 1024 };

const char *const iot_payload_format_names[] = {"text", "hex", "base64", "json", NULL};

/* --- connecting -------------------------------------------------------------------------- */

static enum iot_status connect_now(struct iot_mqtt_options *options, const struct iot_messaging_where *where,
				   const struct iot_mqtt_events *events, void *data, int timeout_ms,
				   struct iot_mqtt **ret, struct iot_error *err)
{
	struct iot_mqtt *mqtt = NULL;
	enum iot_status status;

	options->mqtt5 = true;
	options->inflight = where->window > 0 ? where->window : IOT_WINDOW_DEFAULT;
	status = iot_mqtt_new(options, events, data, &mqtt, err);
	if (status == IOT_OK)
		status = iot_mqtt_connect(mqtt, timeout_ms, err);
	if (status == IOT_OK)
		*ret = mqtt;
	else
		iot_mqtt_free(mqtt);
	return status;
}

static enum iot_status connect_local(const struct iot_messaging_where *where, const struct iot_mqtt_events *events,
				     void *data, int timeout_ms, struct iot_mqtt **ret, char **ret_who,
				     struct iot_error *err)
{
	struct iot_fleet_paths paths;
	char id[37];
	IOT_CLEAN(iot_free_p) char *client_id = NULL;
	struct iot_mqtt_options options = {0};
	enum iot_status status;

	iot_uuid(id);
	client_id = iot_strf("iotctl-%.8s", id);
	iot_fleet_paths_init(&paths, where->fleet_dir);
	options.unix_path = paths.admin_socket;
	options.client_id = client_id;
	status = connect_now(&options, where, events, data, timeout_ms, ret, err);
	if (status == IOT_OK)
		*ret_who = iot_strf("the fleet's administrator ('%s') at '%s'", client_id, paths.admin_socket);
	else if (!iot_fs_exists(paths.admin_socket) || status == IOT_AGAIN)
		iot_error_hint(err, "start the fleet's broker with 'iotctl serve --detach'");
	iot_fleet_paths_release(&paths);
	return status;
}

struct device_files {
	char *ca, *cert, *key;
};

static void release_files(struct device_files *files)
{
	free(files->ca);
	free(files->cert);
	free(files->key);
}

static enum iot_status find_files(const char *dir, struct device_files *files, struct iot_error *err)
{
	const char *const paths[] = {files->ca = iot_path(dir, "ca.pem"),
				     files->cert = iot_path(dir, "certificate.pem"),
				     files->key = iot_path(dir, "private.key")};

	for (size_t i = 0; i < IOT_LENGTH(paths); i++)
		if (!iot_fs_exists(paths[i]))
			return iot_fail(err, IOT_NOT_FOUND, "'%s' is missing", paths[i]);
	return iot_fs_check_private(files->key, err);
}

static enum iot_status read_device(const char *dir, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "device.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(DEVICE_JSON_MAX);
	IOT_JSON device = NULL;
	enum iot_status status = iot_fs_read(path, &text, err);
	int64_t port;

	if (status == IOT_NOT_FOUND) {
		iot_fail(err, IOT_NOT_FOUND, "'%s' is not a device folder: it has no device.json", dir);
		iot_error_hint(err, "make one with 'iotctl device create NAME --out FOLDER'");
	}
	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, path, &device, err);
	if (status != IOT_OK)
		return status;
	port = iot_json_int(device, "port", 0);
	if (iot_json_str(device, "thingName", "")[0] == '\0' || iot_json_str(device, "endpoint", "")[0] == '\0' ||
	    port < 1 || port > 65535)
		return iot_fail(err, IOT_USAGE, "'%s' must have thingName, endpoint and a port", path);
	*ret = iot_take(device);
	return IOT_OK;
}

static enum iot_status connect_device(const struct iot_messaging_where *where, const struct iot_mqtt_events *events,
				      void *data, int timeout_ms, struct iot_mqtt **ret, char **ret_who,
				      struct iot_error *err)
{
	IOT_CLEAN(release_files) struct device_files files = {0};
	IOT_JSON device = NULL;
	struct iot_mqtt_options options = {0};
	enum iot_status status = read_device(where->device_dir, &device, err);

	if (status == IOT_OK)
		status = find_files(where->device_dir, &files, err);
	if (status != IOT_OK)
		return status;
	options.host = iot_json_str(device, "endpoint", "");
	options.port = (int)iot_json_int(device, "port", 0);
	options.client_id = iot_json_str(device, "clientId", iot_json_str(device, "thingName", ""));
	options.ca_file = files.ca;
	options.cert_file = files.cert;
	options.key_file = files.key;
	status = connect_now(&options, where, events, data, timeout_ms, ret, err);
	if (status == IOT_OK)
		*ret_who = iot_strf("'%s' at '%s:%d'", options.client_id, options.host, options.port);
	return status;
}

/* "host:8883", "[::1]:8883". */
static enum iot_status split_broker(const char *broker, char **ret_host, int *ret_port, struct iot_error *err)
{
	const char *colon = strrchr(broker, ':');
	bool bracketed = broker[0] == '[' && colon != NULL && colon > broker + 2 && colon[-1] == ']';
	int64_t port;

	if (colon == NULL || colon == broker || iot_parse_int(colon + 1, 1, 65535, &port, NULL) != IOT_OK ||
	    (!bracketed && memchr(broker, ':', (size_t)(colon - broker)) != NULL)) {
		iot_fail(err, IOT_SETTINGS, "the profile's broker '%s' is no HOST:PORT", broker);
		return IOT_SETTINGS;
	}
	*ret_host = bracketed ? iot_strndup(broker + 1, (size_t)(colon - broker) - 2)
			      : iot_strndup(broker, (size_t)(colon - broker));
	*ret_port = (int)port;
	return IOT_OK;
}

/* The broker would only hang up: with TLS 1.3 it does not say why. */
static enum iot_status check_operator(const struct iot_messaging_operator *who, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status =
		iot_cert_parse_pem(who->certificate, strlen(who->certificate), "profile", &cert, err);
	char when[32];

	if (status != IOT_OK)
		return iot_fail(err, IOT_SETTINGS, "the certificate in the profile of operator '%s' is malformed",
				who->name);
	if (iot_cert_not_after(cert) > iot_now_ms())
		return IOT_OK;
	iot_fail(err, IOT_DENIED, "the keys of operator '%s' expired at %s", who->name,
		 iot_time_rfc3339(iot_cert_not_after(cert), when));
	iot_error_hint(err, "have new ones made with 'iotctl operator rotate %s'", who->name);
	return IOT_DENIED;
}

static enum iot_status connect_operator(const struct iot_messaging_where *where, const struct iot_mqtt_events *events,
					void *data, int timeout_ms, struct iot_mqtt **ret, char **ret_who,
					struct iot_error *err)
{
	const struct iot_messaging_operator *who = where->as_operator;
	IOT_CLEAN(iot_free_p) char *host = NULL;
	IOT_CLEAN(iot_free_p) char *client_id = NULL;
	struct iot_mqtt_options options = {.cert_pem = who->certificate, .key_pem = who->key, .ca_pem = who->ca, .alpn = who->alpn};
	char id[37];
	enum iot_status status = check_operator(who, err);

	if (status == IOT_OK)
		status = split_broker(who->broker, &host, &options.port, err);
	if (status != IOT_OK)
		return status;
	iot_uuid(id);
	client_id = iot_strf("operator-%s-%.8s", who->name, id);
	options.host = host;
	options.client_id = client_id;
	status = connect_now(&options, where, events, data, timeout_ms, ret, err);
	if (status == IOT_OK)
		*ret_who = iot_strf("operator '%s' ('%s') at '%s'", who->name, client_id, who->broker);
	else
		iot_error_while(err, "connecting as operator '%s' to '%s'", who->name, who->broker);
	return status;
}

enum iot_status iot_messaging_connect(const struct iot_messaging_where *where, const struct iot_mqtt_events *events,
				      void *data, int timeout_ms, struct iot_mqtt **ret, char **ret_who,
				      struct iot_error *err)
{
	if (where->device_dir != NULL)
		return connect_device(where, events, data, timeout_ms, ret, ret_who, err);
	return where->as_operator!= NULL ? connect_operator(where, events, data, timeout_ms, ret, ret_who, err)
				      : connect_local(where, events, data, timeout_ms, ret, ret_who, err);
}

/* --- rules ------------------------------------------------------------------------------- */

static enum iot_status check_qos(int qos, struct iot_error *err)
{
	if (qos == 0 || qos == 1)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "QoS %d is not available", qos);
	iot_error_hint(err, "AWS IoT's message broker has QoS 0 and 1 only");
	return IOT_USAGE;
}

enum iot_status iot_message_check(const char *topic, size_t payload_len, int qos, struct iot_error *err)
{
	enum iot_status status = check_qos(qos, err);

	if (status != IOT_OK)
		return status;
	status = iot_topic_check_publish(topic, strlen(topic), err);
	if (status != IOT_OK) {
		iot_error_hint(
			err, "AWS IoT's rule for topics: 256 bytes and 7 slashes at most, no wildcards, '$' reserved");
		return status;
	}
	if (payload_len <= IOT_TOPIC_PAYLOAD_MAX)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "the message for '%s' has %zu bytes, %d at most", topic, payload_len,
		 IOT_TOPIC_PAYLOAD_MAX);
	iot_error_hint(err, "AWS IoT's rule for messages: a payload of 128 KiB at most");
	return IOT_USAGE;
}

enum iot_status iot_filter_check(const char *filter, int qos, struct iot_error *err)
{
	enum iot_status status = check_qos(qos, err);

	if (status != IOT_OK)
		return status;
	status = iot_topic_check_filter(filter, strlen(filter), err);
	if (status != IOT_OK)
		iot_error_hint(
			err, "AWS IoT's rule for filters: 256 bytes and 7 slashes at most, '+' and '#' alone in their "
			     "level, '#' last");
	return status;
}

const char *message_refusal(int code, char *buf, size_t size)
{
	switch (code) {
	case 135:
		return "the broker does not allow it";
	case 144:
		return "the broker does not accept the topic";
	case 151:
		return "the broker's quota is used up";
	default:
		snprintf(buf, size, "the broker refused it with reason code %d", code);
		return buf;
	}
}

/* --- formats ------------------------------------------------------------------------------ */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum iot_status read_hex(const char *text, size_t len, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strndup(text, len);
	char *to = len > 0 ? iot_buf_reserve(out, len / 2) : NULL;

	if (len == 0)
		return IOT_OK;
	if (to == NULL)
		return iot_buf_check(out, "payload", err);
	if (len % 2 != 0 || strlen(copy) != len || !iot_unhex(copy, to, len / 2))
		return iot_fail(err, IOT_USAGE, "the payload is not hex: two digits for each byte");
	out->len += len / 2;
	return IOT_OK;
}

enum iot_status iot_payload_read(enum iot_payload_format format, const char *text, size_t len, struct iot_buf *out,
				 struct iot_error *err)
{
	IOT_JSON value = NULL;
	enum iot_status status = IOT_OK;

	if (format == IOT_PAYLOAD_HEX || format == IOT_PAYLOAD_BASE64)
		while (len > 0 && is_blank(text[len - 1]))
			len--;
	if (format == IOT_PAYLOAD_HEX)
		return read_hex(text, len, out, err);
	if (format == IOT_PAYLOAD_BASE64)
		return iot_unbase64(text, len, out) ? iot_buf_check(out, "payload", err)
						    : iot_fail(err, IOT_USAGE, "the payload is not base64");
	if (format == IOT_PAYLOAD_JSON)
		status = iot_json_parse(text, len, "payload", &value, err);
	iot_buf_add(out, text, len);
	return status == IOT_OK ? iot_buf_check(out, "payload", err) : status;
}

static void show_base64(const void *payload, size_t len, json_t *record)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4 * len + 8);

	iot_base64(payload, len, &text);
	iot_json_set_str(record, "payload", iot_buf_str(&text));
	iot_json_set_str(record, "format", "base64");
}

void iot_payload_show(enum iot_payload_format format, const void *payload, size_t len, json_t *record)
{
	if (format == IOT_PAYLOAD_HEX) {
		IOT_CLEAN(iot_free_p) char *hex = iot_alloc(2 * len + 1);

		iot_json_set_str(record, "payload", iot_hex(payload, len, hex));
		iot_json_set_str(record, "format", "hex");
	} else if (format == IOT_PAYLOAD_BASE64) {
		show_base64(payload, len, record);
	} else {
		iot_json_set_payload(record, payload, len, format == IOT_PAYLOAD_JSON);
	}
}
