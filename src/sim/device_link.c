/*
 * The board's line to the broker while an image runs: the client, and the agent
 * and the other talk that say and hear through it. A connection that ends is made
 * again later; many boards in one process take turns at it.
 */
#include "sim/device_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	TEST_TIMEOUT_MS = 60000,
	BACKOFF_MIN_MS = 200,
	BACKOFF_MAX_MS = 5000,
	GATE_MS = 20 /* look again whether others have connected */
};

static void leave_gate(struct sim_device *device)
{
	if (device->connecting && device->hooks.gate != NULL)
		device->hooks.gate->free++;
	device->connecting = false;
}

/* --- the agent's port ------------------------------------------------------- */

static bool port_publish(void *data, const char *topic, const void *payload, size_t len, int qos)
{
	struct sim_device *device = data;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_mqtt_publish(device->mqtt, topic, payload, len, qos, false, NULL, &err) == IOT_OK)
		return true;
	iot_log_error(IOT_LOG_INFO, "", &err);
	return false;
}

/* Remembered over connections, so that a refusal is told once. */
static void note_asked(struct sim_device *device, const char *filter, int mid)
{
	struct device_asked *asked = NULL;

	for (size_t i = 0; i < DEVICE_ASKED_MAX && asked == NULL; i++)
		if (strcmp(device->asked[i].filter, filter) == 0)
			asked = &device->asked[i];
	if (asked == NULL) {
		asked = &device->asked[device->asked_count++ % DEVICE_ASKED_MAX];
		snprintf(asked->filter, sizeof(asked->filter), "%s", filter);
		asked->told = false;
	}
	asked->mid = mid;
}

static bool port_subscribe(void *data, const char *filter, int qos)
{
	struct sim_device *device = data;
	struct iot_error err = IOT_ERROR_INIT;
	int mid = 0;

	if (iot_mqtt_subscribe(device->mqtt, filter, qos, &mid, &err) == IOT_OK) {
		note_asked(device, filter, mid);
		return true;
	}
	iot_log_error(IOT_LOG_INFO, "", &err);
	return false;
}

static void port_state(void *data, json_t *state)
{
	struct sim_device *device = data;

	sim_talk_state(device->talk, state);
}

/* How a job went is told by the report on it. */
static void port_event(void *data, const char *name, const char *detail)
{
	struct sim_device *device = data;
	const struct sim_report *report = &device->slots.report;

	if (strcmp(name, "unreported") == 0)
		device->last_job = IOT_FAILURE;
	if (strcmp(name, "reported") == 0)
		device->last_job = strcmp(report->status, "SUCCEEDED") == 0        ? IOT_OK
				   : iot_starts_with(report->reason, "0x000000e3") ? IOT_VERIFY
										   : IOT_FAILURE;
	device_say(device, name, "%s", detail);
}

static enum iot_status port_stage(void *data, const struct sim_job *job, struct iot_error *err)
{
	struct sim_device *device = data;
	enum iot_status status = sim_trust_stage(&device->trust, job, err);

	if (status == IOT_OK)
		device_say(device, "trust", "trying %s", job->endpoint[0] != '\0' ? job->endpoint : "another root CA");
	return status;
}

/* --- and that of its other talk ----------------------------------------------- */

static bool talk_publish(void *data, const struct iot_mqtt_message *message)
{
	struct sim_device *device = data;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_mqtt_publish_message(device->mqtt, message, NULL, &err) == IOT_OK)
		return true;
	iot_log_error(IOT_LOG_INFO, "", &err);
	return false;
}

static void talk_event(void *data, const char *name, const char *detail)
{
	device_say(data, name, "%s", detail);
}

/* --- the connection --------------------------------------------------------- */

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct sim_device *device = data;

	(void)mqtt;
	leave_gate(device);
	device->backoff = 0;
	device->last_loss[0] = '\0';
	for (size_t i = 0; i < DEVICE_ASKED_MAX; i++)
		device->asked[i].mid = 0; /* numbers begin anew */
	device_say(device, "connected", "to %s:%d", device->config.endpoint, device->config.port);
	sim_talk_subscribe(device->talk);
	sim_agent_online(device->agent, iot_monotonic_ms()); /* says the state */
	sim_talk_online(device->talk, iot_monotonic_ms());
}

/* Full jitter between half and all of it, so that a fleet does not come back in step. */
static void connect_later(struct sim_device *device)
{
	uint32_t dice;

	iot_random(&dice, sizeof(dice));
	device->backoff = device->backoff == 0 ? BACKOFF_MIN_MS : device->backoff * 2;
	if (device->backoff > BACKOFF_MAX_MS)
		device->backoff = BACKOFF_MAX_MS;
	device->connect_at =
		iot_monotonic_ms() + device->backoff / 2 + (int64_t)(dice % (uint32_t)(device->backoff / 2));
}

static void not_connected(struct sim_device *device, const char *reason)
{
	leave_gate(device);
	connect_later(device);
	/* The same reason again and again is said once. */
	if (strncmp(device->last_loss, reason, sizeof(device->last_loss) - 1) != 0)
		device_say(device, "lost", "%s", reason);
	snprintf(device->last_loss, sizeof(device->last_loss), "%s", reason);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct sim_device *device = data;

	(void)mqtt, (void)status;
	if (device->agent != NULL)
		sim_agent_offline(device->agent);
	if (device->talk != NULL)
		sim_talk_offline(device->talk);
	not_connected(device, reason);
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct sim_device *device = data;

	(void)mqtt;
	if (sim_talk_message(device->talk, message, iot_monotonic_ms()))
		return;
	sim_agent_message(device->agent, message->topic, message->payload, message->payload_len, iot_monotonic_ms());
}

/* Once, though it comes again with each connection; and with the cause that is known here. */
static void tell_refused(struct sim_device *device, struct device_asked *asked)
{
	bool untyped = device->config.type == NULL;

	if (asked->told || (untyped && device->told_untyped))
		return;
	asked->told = true;
	device->told_untyped = untyped;
	if (untyped)
		device_say(device, "refused",
			   "the subscription to '%s': the device has no type, and policies like 'device' let it use "
			   "topics below its type's name only; repeat its 'iotctl device create' with --type TYPE "
			   "--update",
			   asked->filter);
	else
		device_say(device, "refused",
			   "the subscription to '%s': its policies do not allow it; 'iotctl policy test %s "
			   "subscribe:FILTER' tells more",
			   asked->filter, device->config.thing);
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	struct sim_device *device = data;

	(void)mqtt;
	for (size_t i = 0; i < DEVICE_ASKED_MAX; i++)
		if (!granted && device->asked[i].mid == mid)
			tell_refused(device, &device->asked[i]);
}

void device_connect(struct sim_device *device)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;
	char line[1024];

	if (device->hooks.gate != NULL) {
		if (device->hooks.gate->free <= 0) {
			device->connect_at = iot_monotonic_ms() + GATE_MS;
			return;
		}
		device->hooks.gate->free--;
	}
	device->connecting = true;
	device->connect_at = INT64_MAX;
	device->connections++;
	status = iot_mqtt_start(device->mqtt, &err);
	if (status == IOT_OK) {
		device->io_at = iot_monotonic_ms(); /* it may have failed already */
		return;
	}
	not_connected(device, iot_error_line(&err, line, sizeof(line)));
	if (status != IOT_AGAIN) { /* no use in trying again */
		device->error = err;
		device_end(device, status);
	}
}

struct iot_mqtt_options device_client_options(const struct sim_device *device)
{
	return (struct iot_mqtt_options){
		.host = device->config.endpoint,
		.port = device->config.port,
		.client_id = device->client_id != NULL ? device->client_id : device->config.client_id,
		.ca_file = device->config.ca_file,
		.cert_file = device->config.cert_file,
		.key_file = device->config.key_file,
		.mqtt5 = device->config.topics.token_member == NULL, /* its layout counts on it */
	};
}

static enum iot_status open_client(struct sim_device *device, struct iot_error *err)
{
	const struct iot_mqtt_options options = device_client_options(device);
	static const struct iot_mqtt_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.subscribed = on_subscribed,
	};

	return iot_mqtt_new(&options, &events, device, &device->mqtt, err);
}

enum iot_status device_plug_in(struct sim_device *device, int64_t now)
{
	const struct sim_agent_options options = {
		.thing = device->config.thing,
		.slots = &device->slots,
		.booted = &device->booted,
		.codesign_key = device->config.codesign_key,
		.block_size = (uint32_t)device->options.block_size,
		.window = (uint32_t)device->options.window,
		.request_timeout_ms = device->options.request_timeout_ms,
		.test_timeout_ms = TEST_TIMEOUT_MS,
		.faults = device->faults,
		.port = {port_publish, port_state, port_subscribe, port_event, device, port_stage},
	};
	const struct sim_talk_options talk = {
		.thing = device->config.thing,
		.type = device->config.type,
		.topics = &device->config.topics,
		.behaviour = device->hooks.behaviour,
		.port = {talk_publish, port_subscribe, talk_event, device},
	};
	enum iot_status status = open_client(device, &device->error);

	if (status != IOT_OK)
		return status;
	device->talk = sim_talk_new(&talk, now);
	device->agent = sim_agent_new(&options, now);
	device->connect_at = now;
	device->io_at = now + DEVICE_IO_MS;
	return IOT_OK;
}

void device_unplug(struct sim_device *device)
{
	if (device->mqtt != NULL)
		iot_mqtt_disconnect(device->mqtt, 0); /* what matters was acknowledged before */
	iot_mqtt_free(device->mqtt);
	device->mqtt = NULL;
	leave_gate(device);
	sim_agent_free(device->agent);
	device->agent = NULL;
	sim_talk_free(device->talk);
	device->talk = NULL;
}
