/*
 * A device made for Google's IoT Core. A connection there lasts as long as its
 * token: before that expires the device makes another one and connects anew, as
 * there is no way to show a token in between.
 */
#include "iotctl/sim.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/jwt.h"
#include "iotctl/log.h"
#include "iotctl/mqtt.h"
#include "iotctl/text.h"

#include <inttypes.h>
#include <poll.h>
#include <string.h>

enum {
	LIFETIME_S = 3600,
	INTERVAL_MS = 10000,
	CONNECT_MS = 10000,
	GOODBYE_MS = 2000,
	POLL_MS = 100,
	RETRY_MS = 500,
	RENEW_PERCENT = 80, /* of what is left of a token's life; tokens know whole seconds only */
	MESSAGE_MAX = 65536
};

enum fault { FAULT_NONE, FAULT_EXPIRED, FAULT_AUDIENCE, FAULT_DER, FAULT_KEY, FAULT_KEEP, FAULT_COUNT };
static const char *const fault_names[FAULT_COUNT] = {"", "expired", "audience", "der", "key", "keep"};

struct jwt_device {
	const struct iot_sim_jwt_options *options;
	void (*event)(const char *name, const char *detail, void *data);
	void *data;
	enum fault fault;
	struct iot_key *key;
	char *client_id;
	struct iot_mqtt *mqtt;
	bool refused;       /* by the broker, for who it is */
	bool lost;          /* the connection went without our saying so */
	int64_t renew;      /* wall-clock ms */
	int64_t next_event; /* monotonic ms */
	int64_t renewals, events;
	int64_t config_version; /* -1: none was heard */
	bool state_due;
};

static void say(const struct jwt_device *device, const char *name, const char *fmt, ...) IOT_PRINTF(3, 4);
static void say(const struct jwt_device *device, const char *name, const char *fmt, ...)
{
	char detail[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_text_printable(detail);
	iot_log(strcmp(name, "sent") == 0 ? IOT_LOG_INFO : IOT_LOG_NOTICE, "%s: %s%s%s", device->options->device, name,
		detail[0] != '\0' ? " " : "", detail);
	if (device->event != NULL)
		device->event(name, detail, device->data);
}

static bool told_to_end(const struct jwt_device *device)
{
	return device->options->interrupted != NULL && device->options->interrupted(device->data);
}

/* --- tokens ------------------------------------------------------------------------------- */

/* The same token with its signature as OpenSSL and most libraries give it, which JOSE does not take. */
static enum iot_status sign_der(const struct jwt_device *device, struct iot_buf *token, struct iot_error *err)
{
	struct iot_buf signature = IOT_BUF_INIT(IOT_JWT_MAX);
	enum iot_sig_scheme scheme;
	enum iot_status status = iot_key_scheme(device->key, &scheme, err);
	size_t len = (size_t)(strrchr(iot_buf_str(token), '.') - iot_buf_str(token));

	if (status == IOT_OK)
		status = iot_key_sign(device->key, scheme, token->data, len, &signature, err);
	if (status == IOT_OK) {
		token->len = len + 1;
		iot_base64url(signature.data, signature.len, token);
	}
	iot_buf_release(&signature);
	return status;
}

static enum iot_status make_token(const struct jwt_device *device, struct iot_buf *token, struct iot_error *err)
{
	const struct iot_sim_jwt_options *options = device->options;
	IOT_CLEAN(iot_key_free_p) struct iot_key *stranger = NULL;
	const char *audience = options->audience != NULL ? options->audience : options->project;
	int64_t now = iot_now_ms() / 1000 - (device->fault == FAULT_EXPIRED ? 2 * IOT_JWT_LIFETIME_MAX : 0);
	enum iot_status status = IOT_OK;

	if (device->fault == FAULT_KEY)
		status = iot_key_generate(IOT_KEY_P256, &stranger, err);
	if (status == IOT_OK)
		status = iot_jwt_create(stranger != NULL ? stranger : device->key,
					device->fault == FAULT_AUDIENCE ? "another-project" : audience, now,
					options->lifetime_s > 0 ? options->lifetime_s : LIFETIME_S, NULL, token, err);
	if (status == IOT_OK && device->fault == FAULT_DER)
		status = sign_der(device, token, err);
	return status;
}

/* --- what it hears -------------------------------------------------------------------------- */

static void take_config(struct jwt_device *device, const json_t *config)
{
	device->config_version = iot_json_int(config, "configVersion", 0);
	device->state_due = true;
	say(device, "config", "version %" PRId64, device->config_version);
}

static void take_command(struct jwt_device *device, const char *topic, const json_t *command)
{
	const char *token = iot_json_str(command, "token", NULL);
	IOT_CLEAN(iot_free_p) char *reply = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON answer = NULL;

	say(device, "command", "%s", topic);
	if (token == NULL)
		return;
	answer = json_pack("{s:s, s:b}", "token", token, "ok", 1);
	text = iot_json_text(answer);
	reply = iot_strf("/devices/%s/events/reply/%s", device->options->device, token);
	(void)!iot_mqtt_publish(device->mqtt, reply, text, strlen(text), 1, false, NULL, NULL);
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct jwt_device *device = data;
	IOT_JSON value = NULL;

	(void)mqtt;
	if (message->payload_len > MESSAGE_MAX)
		return;
	(void)!iot_json_parse(message->payload, message->payload_len, "message", &value, NULL);
	if (iot_ends_with(message->topic, "/config"))
		take_config(device, value);
	else
		take_command(device, message->topic, value);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct jwt_device *device = data;

	(void)mqtt;
	if (status == IOT_OK)
		return;
	device->lost = true;
	iot_log(IOT_LOG_INFO, "%s: %s", device->options->device, reason);
}

/* --- a connection ----------------------------------------------------------------------------- */

static enum iot_status subscribe(struct jwt_device *device, struct iot_error *err)
{
	static const char *const tails[] = {"config", "commands/#"};
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < IOT_LENGTH(tails) && status == IOT_OK; i++) {
		IOT_CLEAN(iot_free_p) char *filter = iot_strf("/devices/%s/%s", device->options->device, tails[i]);

		status = iot_mqtt_subscribe_wait(device->mqtt, filter, 1, CONNECT_MS, err);
	}
	return status;
}

/* With a token that is good from now on. */
static enum iot_status begin(struct jwt_device *device, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.message = on_message, .disconnected = on_disconnected};
	IOT_CLEAN(iot_buf_release) struct iot_buf token = IOT_BUF_SECRET(IOT_JWT_MAX);
	int64_t now = iot_now_ms(),
		life = (device->options->lifetime_s > 0 ? device->options->lifetime_s : LIFETIME_S) * 1000 - now % 1000;
	enum iot_status status = make_token(device, &token, err);

	if (status != IOT_OK)
		return status;
	iot_mqtt_free_p(&device->mqtt);
	device->lost = false;
	status = iot_mqtt_new(
		&(struct iot_mqtt_options){.host = device->options->host != NULL ? device->options->host : "localhost",
					   .port = device->options->port,
					   .client_id = device->client_id,
					   .ca_file = device->options->ca,
					   .username = "unused",
					   .password = iot_buf_str(&token)},
		&events, device, &device->mqtt, err);
	if (status == IOT_OK)
		status = iot_mqtt_connect(device->mqtt, CONNECT_MS, err);
	device->refused = status == IOT_DENIED;
	if (status == IOT_OK)
		status = subscribe(device, err);
	device->renew = device->fault == FAULT_KEEP ? INT64_MAX : now + life * RENEW_PERCENT / 100;
	device->state_due = true;
	return status;
}

static void send_state(struct jwt_device *device)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("/devices/%s/state", device->options->device);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON state = json_object();

	iot_json_set_int(state, "renewals", device->renewals);
	if (device->config_version >= 0)
		iot_json_set_int(state, "configVersion", device->config_version);
	text = iot_json_text(state);
	device->state_due = iot_mqtt_publish(device->mqtt, topic, text, strlen(text), 1, false, NULL, NULL) != IOT_OK;
}

static void send_event(struct jwt_device *device)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("/devices/%s/events/telemetry", device->options->device);
	char text[64];
	int len = snprintf(text, sizeof(text), "{\"n\":%" PRId64 "}", device->events + 1);

	if (iot_mqtt_publish(device->mqtt, topic, text, (size_t)len, 1, false, NULL, NULL) == IOT_OK)
		say(device, "sent", "event %" PRId64, ++device->events);
	device->next_event =
		iot_deadline(device->options->interval_ms > 0 ? device->options->interval_ms : INTERVAL_MS);
}

/* Until it is time for another token, the connection is lost, or it is told to end. */
static void live(struct jwt_device *device, int64_t deadline)
{
	while (!device->lost && !told_to_end(device) && iot_left(deadline) > 0 && iot_now_ms() < device->renew) {
		if (device->state_due)
			send_state(device);
		if (iot_left(device->next_event) == 0)
			send_event(device);
		iot_mqtt_wait(device->mqtt, POLL_MS);
	}
}

static enum iot_status run(struct jwt_device *device, struct iot_error *err)
{
	const struct iot_sim_jwt_options *options = device->options;
	int64_t deadline = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX;
	bool first = true;

	while (!told_to_end(device) && iot_left(deadline) > 0) {
		enum iot_status status = begin(device, err);

		if (device->refused) {
			say(device, "refused", "%s", err->what);
			return status;
		}
		if (status == IOT_OK) {
			say(device, first ? "connected" : "renewed", "token %" PRId64, device->renewals + 1);
			first = false;
			live(device, deadline);
		} else if (first) {
			return status;
		}
		if (device->lost && device->fault == FAULT_KEEP) {
			say(device, "cut", "with the token it kept");
			return iot_fail(err, IOT_DENIED, "the connection was cut off");
		}
		if (status != IOT_OK || device->lost) {
			say(device, "lost", "%s", status != IOT_OK ? err->what : "connecting again");
			(void)poll(NULL, 0, RETRY_MS);
			continue;
		}
		iot_mqtt_disconnect(device->mqtt, GOODBYE_MS);
		if (iot_now_ms() >= device->renew && ++device->renewals == options->renewals)
			return IOT_OK;
	}
	return IOT_OK;
}

static enum iot_status parse_fault(const char *text, enum fault *ret, struct iot_error *err)
{
	if (text == NULL)
		return IOT_OK;
	for (int i = FAULT_NONE + 1; i < FAULT_COUNT; i++)
		if (strcmp(text, fault_names[i]) == 0) {
			*ret = (enum fault)i;
			return IOT_OK;
		}
	return iot_fail(err, IOT_USAGE, "'%s' is none of expired, audience, der, key and keep", text);
}

enum iot_status iot_sim_jwt_run(const struct iot_sim_jwt_options *options,
				void (*event)(const char *name, const char *detail, void *data), void *data,
				struct iot_error *err)
{
	struct jwt_device device = {.options = options, .event = event, .data = data, .config_version = -1};
	struct iot_error mine = IOT_ERROR_INIT;
	enum iot_status status = parse_fault(options->fault, &device.fault, &mine);

	if (status == IOT_OK)
		status = iot_key_load(options->key, NULL, &device.key, &mine);
	if (status == IOT_OK && device.fault == FAULT_DER && iot_key_is_rsa(device.key))
		status = iot_fail(&mine, IOT_USAGE, "a signature by an RSA key is never in DER");
	if (status == IOT_OK) {
		device.client_id = iot_strf("projects/%s/locations/%s/registries/%s/devices/%s", options->project,
					    options->location != NULL ? options->location : "local",
					    options->registry != NULL ? options->registry : "fleet", options->device);
		status = run(&device, &mine);
	}
	iot_mqtt_free(device.mqtt);
	iot_key_free(device.key);
	free(device.client_id);
	if (status != IOT_OK && err != NULL)
		*err = mine;
	return status;
}
