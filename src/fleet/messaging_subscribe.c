/* The subscriber: what arrives, as records, until one of the ends is reached. */
#include "iotctl/messaging.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { POLL_MS = 500, GOODBYE_MS = 2000, CORRELATION_MAX = 65535 };

struct subscriber {
	const struct iot_subscribe_options *options;
	int64_t count;
	bool lost;
	enum iot_status lost_status;
	char reason[256];
	enum iot_status status; /* of what went wrong with a message */
	struct iot_error *err;
};

static void set_properties(const struct iot_mqtt_message *message, json_t *record)
{
	json_t *properties = message->property_count > 0 ? json_object() : NULL;

	for (size_t i = 0; i < message->property_count; i++)
		iot_json_set_str(properties, message->properties[i].name, message->properties[i].value);
	if (properties != NULL)
		json_object_set_new(record, "userProperties", properties);
	iot_json_set_str(record, "responseTopic", message->response_topic);
	if (message->correlation != NULL) {
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(2 * CORRELATION_MAX);

		iot_base64(message->correlation, message->correlation_len, &text);
		iot_json_set_str(record, "correlationData", iot_buf_str(&text));
	}
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct subscriber *s = data;
	const struct iot_subscribe_options *options = s->options;
	IOT_JSON record = NULL;
	char now[32];

	(void)mqtt;
	if (s->status != IOT_OK || (options->count > 0 && s->count >= options->count) ||
	    (options->no_retained && message->retain))
		return;
	record = json_object();
	iot_json_set_str(record, "time", iot_time_rfc3339_ms(iot_now_ms(), now));
	iot_json_set_str(record, "topic", message->topic);
	iot_json_set_int(record, "qos", message->qos);
	iot_json_set_bool(record, "retain", message->retain);
	iot_payload_show(options->format, message->payload, message->payload_len, record);
	set_properties(message, record);
	s->count++;
	s->status = options->message(record, options->data, s->err);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct subscriber *s = data;

	(void)mqtt;
	s->lost = true;
	s->lost_status = status != IOT_OK ? status : IOT_AGAIN;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

static bool interrupted(const struct subscriber *s)
{
	return s->options->interrupted != NULL && s->options->interrupted(s->options->data);
}

static void wait_for_work(struct iot_mqtt *mqtt, const struct subscriber *s, int64_t deadline)
{
	struct pollfd fds[] = {
		{.fd = iot_mqtt_fd(mqtt), .events = iot_mqtt_poll_events(mqtt)},
		{.fd = s->options->interrupt_fd, .events = POLLIN},
	};
	int wait = deadline > 0 && iot_left(deadline) < POLL_MS ? iot_left(deadline) : POLL_MS;

	if (poll(fds, IOT_LENGTH(fds), wait) < 0)
		fds[0].revents = 0;
	iot_mqtt_io(mqtt, fds[0].revents);
}

static enum iot_status ended_early(const struct subscriber *s, enum iot_status status, const char *why,
				   struct iot_error *err)
{
	if (s->options->count == 0)
		return IOT_OK;
	return iot_fail(err, status, "%s after %lld of %lld messages", why, (long long)s->count,
			(long long)s->options->count);
}

static enum iot_status listen(struct iot_mqtt *mqtt, struct subscriber *s, int64_t deadline, struct iot_error *err)
{
	const struct iot_subscribe_options *options = s->options;

	for (;;) {
		if (s->status != IOT_OK)
			return s->status;
		if (options->count > 0 && s->count >= options->count)
			return IOT_OK;
		if (interrupted(s))
			return ended_early(s, IOT_INTERRUPTED, "interrupted", err);
		if (s->lost)
			return iot_fail(err, s->lost_status, "lost the broker: %s", s->reason);
		if (deadline > 0 && iot_left(deadline) == 0)
			return ended_early(s, IOT_TIMEOUT, "the time was up", err);
		wait_for_work(mqtt, s, deadline);
	}
}

static enum iot_status subscribe_all(struct iot_mqtt *mqtt, const struct iot_subscribe_options *options,
				     struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; options->filters[i] != NULL && status == IOT_OK; i++) {
		status =
			iot_mqtt_subscribe_wait(mqtt, options->filters[i], options->qos, (int)options->connect_ms, err);
		if (status == IOT_DENIED && iot_mqtt_is_connected(mqtt) && options->refused != NULL &&
		    options->refused(options->filters[i], options->data))
			status = IOT_OK;
	}
	return status;
}

enum iot_status iot_subscribe(const struct iot_messaging_where *where, const struct iot_subscribe_options *options,
			      int64_t *ret_count, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.disconnected = on_disconnected, .message = on_message};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	IOT_CLEAN(iot_free_p) char *who = NULL;
	struct subscriber s = {.options = options, .err = err};
	int64_t deadline = options->timeout_ms > 0 ? iot_deadline(options->timeout_ms) : 0;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; !options->unchecked && options->filters[i] != NULL && status == IOT_OK; i++)
		status = iot_filter_check(options->filters[i], options->qos, err);
	if (status == IOT_OK)
		status = iot_messaging_connect(where, &events, &s, (int)options->connect_ms, &mqtt, &who, err);
	if (status == IOT_OK)
		status = subscribe_all(mqtt, options, err);
	if (status == IOT_OK && options->subscribed != NULL)
		options->subscribed(who, options->data);
	if (status == IOT_OK)
		status = listen(mqtt, &s, deadline, err);
	if (mqtt != NULL)
		iot_mqtt_disconnect(mqtt, status == IOT_OK ? GOODBYE_MS : 0);
	if (status == IOT_OK)
		*ret_count = s.count;
	return status;
}
