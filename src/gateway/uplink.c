/*
 * The way to the cloud. As long as nothing of a child waits on disk, what it says
 * goes straight there; when the connection ends, what was under way is put on
 * disk first, in order, and everything after it behind it. A message leaves when
 * the broker has acknowledged it.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <poll.h>
#include <string.h>

enum { BACKOFF_MIN_MS = 500, BACKOFF_MAX_MS = 30000, GOODBYE_MS = 2000, FOLDER_JSON_MAX = 65536 };

/* --- messages under way -------------------------------------------------------------------- */

static void free_flight(struct gateway *gateway, struct flight *flight)
{
	flight->child->flying -= flight->message->row == 0;
	gateway->by_mid[flight->mid] = NULL;
	gateway->flights--;
	gateway_message_free(flight->message);
	free(flight);
}

static void land(struct gateway *gateway, struct flight *flight)
{
	if (flight->previous != NULL)
		flight->previous->next = flight->next;
	else
		gateway->first = flight->next;
	if (flight->next != NULL)
		flight->next->previous = flight->previous;
	else
		gateway->last = flight->previous;
	free_flight(gateway, flight);
}

/* IOT_OK: taken over. */
static enum iot_status take_off(struct gateway *gateway, struct child *child, struct gateway_message *message,
				struct iot_error *err)
{
	char boot[2 * IOT_FRAME_BOOT_MAX + 1], sequence[24];
	/* The cloud may get a message twice when the connection ends before its acknowledgement: by these it can tell.
	 */
	const struct iot_mqtt_property properties[] = {{"boot", iot_hex(message->boot, message->boot_len, boot)},
						       {"sequence", sequence}};
	const struct iot_mqtt_message out = {.topic = message->topic,
					     .payload = message->payload,
					     .payload_len = message->payload_len,
					     .qos = 1, /* whatever the layout says: the device was promised */
					     .retain = message->retain,
					     .properties = properties,
					     .property_count = IOT_LENGTH(properties),
					     .correlation = message->correlation,
					     .correlation_len = message->correlation_len};
	struct flight *flight;
	int mid = 0;
	enum iot_status status;

	snprintf(sequence, sizeof(sequence), "%lld", (long long)message->sequence);
	status = iot_mqtt_publish_message(gateway->mqtt, &out, &mid, err);
	if (status == IOT_OK && (mid < 0 || mid >= GATEWAY_MIDS || gateway->by_mid[mid] != NULL))
		return iot_fail(err, IOT_FAILURE, "the MQTT library gave a number twice");
	if (status != IOT_OK)
		return status;
	flight = iot_alloc(sizeof(*flight));
	*flight = (struct flight){.child = child, .message = message, .mid = mid, .previous = gateway->last};
	if (gateway->last != NULL)
		gateway->last->next = flight;
	else
		gateway->first = flight;
	gateway->last = flight;
	gateway->by_mid[mid] = flight;
	gateway->flights++;
	child->flying += message->row == 0;
	return IOT_OK;
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason, void *data)
{
	struct gateway *gateway = data;
	struct flight *flight = mid >= 0 && mid < GATEWAY_MIDS ? gateway->by_mid[mid] : NULL;
	struct iot_error err = IOT_ERROR_INIT;
	bool was_there = false;

	(void)mqtt;
	if (flight == NULL)
		return;
	if (reason >= 128) /* it would be refused the next time, too */
		gateway_event(gateway, "dropped", flight->child->thing,
			      "the broker refused a message to '%s' (code %d)", flight->message->topic, reason);
	if (flight->message->row == 0) {
		child_is_safe(gateway, flight->child, flight->message, true);
	} else if (gateway_queue_done(gateway->queue, flight->message, &was_there, &err) == IOT_OK) {
		flight->child->waiting -= was_there;
	} else {
		iot_log_error(IOT_LOG_WARNING, "cannot take a message off the queue: ", &err);
	}
	land(gateway, flight);
}

/* --- onto the disk ------------------------------------------------------------------------------ */

void uplink_add_backlog(struct gateway *gateway, struct child *child)
{
	if (child->backlogged)
		return;
	child->backlogged = true;
	child->sent = 0;
	child->next_backlogged = gateway->backlogged;
	gateway->backlogged = child;
}

static enum iot_status put(struct gateway *gateway, struct child *child, const struct gateway_message *message,
			   struct iot_error *err)
{
	enum iot_status status = gateway_queue_put(gateway->queue, child->thing, child->waiting, message, err);

	if (status != IOT_OK)
		return status;
	child->waiting++;
	uplink_add_backlog(gateway, child);
	child_is_safe(gateway, child, message, false);
	return IOT_OK;
}

enum iot_status uplink_say(struct gateway *gateway, struct child *child, struct gateway_message *message,
			   struct iot_error *err)
{
	enum iot_status status;

	if (gateway->up && child->waiting == 0 && gateway->flights < GATEWAY_FLIGHTS &&
	    take_off(gateway, child, message, NULL) == IOT_OK)
		return IOT_OK;
	/* An acknowledgement is for all before it, too: none of them may be only under way. */
	if (child->flying > 0)
		return iot_fail(err, IOT_AGAIN, "the broker takes no more for now");
	status = put(gateway, child, message, err);
	if (status == IOT_OK)
		gateway_message_free(message);
	return status;
}

/*
 * The connection has ended: what the broker has not acknowledged is under way no more. What does not fit on the disk
 * the device still has, since it was not told that it is safe; it has to begin again from there.
 */
static void keep(struct gateway *gateway, struct child *child, const struct gateway_message *message)
{
	bool this_boot =
		child->boot_len == message->boot_len && memcmp(child->boot, message->boot, message->boot_len) == 0;
	struct iot_error err = IOT_ERROR_INIT;

	if (message->row != 0 || (this_boot && child->taken < message->sequence))
		return; /* it is there, or it will be said again after one before it */
	if (put(gateway, child, message, &err) == IOT_OK)
		return;
	iot_log_error(IOT_LOG_WARNING, "a device must say something again: ", &err);
	if (this_boot)
		child->taken = child->safe;
	if (child->session != NULL)
		iot_psk_link_close(child->session->link, "no room to keep what it said");
}

static void call_back(struct gateway *gateway)
{
	struct flight *flight = gateway->first;

	gateway->first = gateway->last = NULL;
	while (flight != NULL) {
		struct flight *next = flight->next;

		keep(gateway, flight->child, flight->message);
		free_flight(gateway, flight);
		flight = next;
	}
	for (struct child *child = gateway->backlogged; child != NULL; child = child->next_backlogged)
		child->sent = 0;
}

static bool drain_child(struct gateway *gateway, struct child *child)
{
	while (gateway->flights < GATEWAY_WINDOW) {
		struct gateway_message *message = NULL;
		struct iot_error err = IOT_ERROR_INIT;
		enum iot_status status = gateway_queue_next(gateway->queue, child->thing, child->sent, &message, &err);
		int64_t row = message != NULL ? message->row : 0;

		if (status == IOT_OK && message == NULL)
			return true;
		if (status == IOT_OK)
			status = take_off(gateway, child, message, &err);
		if (status != IOT_OK) {
			gateway_message_free(message);
			iot_log_error(IOT_LOG_DEBUG, "the queue waits: ", &err);
			return false;
		}
		child->sent = row;
	}
	return false;
}

void uplink_drain(struct gateway *gateway)
{
	struct child **at = &gateway->backlogged;

	while (gateway->up && *at != NULL && gateway->flights < GATEWAY_WINDOW) {
		struct child *child = *at;

		if (child->waiting <= 0) {
			*at = child->next_backlogged;
			child->backlogged = false;
			child->waiting = 0;
		} else {
			(void)drain_child(gateway, child);
			at = &child->next_backlogged;
		}
	}
}

/* --- the connection ----------------------------------------------------------------------------------- */

static void subscribe_again(struct iot_psk_link *link, void *data)
{
	struct session *session = iot_psk_link_user(link);

	if (session == NULL || session->state != SESSION_ACCEPTED || session->child->session != session)
		return;
	presence_tell(data, session->child->thing, true,
		      iot_psk_link_address(link)); /* serve forgets it in a restart */
	downlink_begin(session);
}

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct gateway *gateway = data;

	(void)mqtt;
	gateway->up = true;
	gateway->backoff_ms = BACKOFF_MIN_MS;
	gateway_event(gateway, "uplink", NULL, "connected");
	if (gateway->server != NULL)
		iot_psk_server_each(gateway->server, subscribe_again, gateway);
}

/* Many gateways that lost the same broker must not come back at once. */
static void try_later(struct gateway *gateway)
{
	uint16_t dice;

	iot_random(&dice, sizeof(dice));
	gateway->connect_at = iot_monotonic_ms() + gateway->backoff_ms * (50 + dice % 51) / 100;
	gateway->backoff_ms =
		2 * gateway->backoff_ms < BACKOFF_MAX_MS ? 2 * gateway->backoff_ms : (int64_t)BACKOFF_MAX_MS;
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct gateway *gateway = data;

	(void)mqtt, (void)status;
	if (gateway->up || gateway->backoff_ms == BACKOFF_MIN_MS)
		gateway_event(gateway, "uplink-lost", NULL, "%s", reason != NULL ? reason : "");
	gateway->up = false;
	downlink_forget(gateway);
	call_back(gateway);
	try_later(gateway);
}

void uplink_work(struct gateway *gateway, short revents)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (gateway->connect_at != 0 && iot_left(gateway->connect_at) == 0) {
		gateway->connect_at = 0;
		if (iot_mqtt_start(gateway->mqtt, &err) != IOT_OK) {
			iot_log_error(IOT_LOG_INFO, "no uplink: ", &err);
			try_later(gateway);
		}
	}
	iot_mqtt_io(gateway->mqtt, revents);
}

static enum iot_status read_folder(struct gateway *gateway, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(gateway->options->dir, "device.json");
	struct iot_buf text = IOT_BUF_INIT(FOLDER_JSON_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_NOT_FOUND) {
		iot_fail(err, IOT_NOT_FOUND, "'%s' is not a gateway's folder: it has no device.json",
			 gateway->options->dir);
		iot_error_hint(err, "make one with 'iotctl gateway create NAME --out FOLDER'");
	}
	if (status == IOT_OK)
		status = iot_json_parse(text.data, text.len, path, ret, err);
	iot_buf_release(&text);
	if (status == IOT_OK && iot_json_str(*ret, "thingName", NULL) == NULL)
		status = iot_fail(err, IOT_USAGE, "'%s' has no thingName", path);
	return status;
}

enum iot_status uplink_new(struct gateway *gateway, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.connected = on_connected,
						      .disconnected = on_disconnected,
						      .message = downlink_message,
						      .subscribed = downlink_subscribed,
						      .published = on_published};
	const struct iot_gateway_options *o = gateway->options;
	IOT_CLEAN(iot_free_p) char *cert = iot_path(o->dir, "certificate.pem");
	IOT_CLEAN(iot_free_p) char *key = iot_path(o->dir, "private.key");
	IOT_CLEAN(iot_free_p) char *ca = iot_path(o->dir, "ca.pem");
	IOT_JSON folder = NULL;
	enum iot_status status = read_folder(gateway, &folder, err);

	if (status == IOT_OK)
		status = iot_fs_check_private(key, err);
	if (status == IOT_OK) {
		const struct iot_mqtt_options options = {
			.host = o->endpoint != NULL ? o->endpoint : iot_json_str(folder, "endpoint", "localhost"),
			.port = o->endpoint_port != 0 ? o->endpoint_port : (int)iot_json_int(folder, "port", 8883),
			.client_id = iot_json_str(folder, "thingName", ""),
			.ca_file = o->ca_file != NULL ? o->ca_file : ca,
			.cert_file = cert,
			.key_file = key,
			.keepalive_s = 30,
			.mqtt5 = true,
			.inflight = GATEWAY_WINDOW,
		};

		gateway->thing = iot_strdup(options.client_id);
		gateway->host = iot_strdup(options.host);
		gateway->port = options.port;
		gateway->backoff_ms = BACKOFF_MIN_MS;
		gateway->connect_at = iot_monotonic_ms();
		status = iot_mqtt_new(&options, &events, gateway, &gateway->mqtt, err);
	}
	return status;
}

void uplink_free(struct gateway *gateway)
{
	if (gateway->mqtt != NULL && gateway->up)
		iot_mqtt_disconnect(gateway->mqtt, GOODBYE_MS);
	gateway->up = false;
	if (gateway->queue != NULL)
		call_back(gateway);
	iot_mqtt_free(gateway->mqtt);
	downlink_forget(gateway);
	free(gateway->host);
	free(gateway->thing);
}
