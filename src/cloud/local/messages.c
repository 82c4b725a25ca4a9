/*
 * Messages without a connection of one's own (service iotdata): Publish leaves
 * them to serve by way of the outbox. What topics retain only the broker knows:
 * it is asked over its unix socket, with a short life of a client.
 *
 * A subscription at QoS 0 brings the topics of all retained messages at once;
 * one at QoS 1 to a single topic brings its message with the QoS that it has.
 * They come before or after its acknowledgement, but before the broker does anything else for us.
 */
#include "local_private.h"

#include "iotctl/mqtt.h"
#include "iotctl/topic.h"

#include <stdio.h>
#include <string.h>

enum {
	BROKER_MS = 2000, /* for each step of the conversation */
	TOPICS_MAX = 100000,
	PROPERTIES_MAX = 16384,
};

static enum iot_status check_topic(const json_t *request, struct iot_error *err)
{
	const char *topic = iot_json_str(request, "topic", "");
	enum iot_status status = iot_topic_check_publish(topic, strlen(topic), err);

	if (status != IOT_OK)
		iot_error_set_code(err, "InvalidRequestException");
	return status;
}

static enum iot_status publish(struct iot_local *local, const json_t *request, const struct iot_body *in,
			       json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	static const char *const needs_mqtt5[] = {"contentType",    "responseTopic",          "messageExpiry",
						  "userProperties", "payloadFormatIndicator", "correlationData"};
	enum iot_status status = check_topic(request, err);

	(void)ret_reply, (void)out;
	if (status != IOT_OK)
		return status;
	for (size_t i = 0; i < IOT_LENGTH(needs_mqtt5); i++)
		if (json_object_get(request, needs_mqtt5[i]) != NULL)
			return iot_cloud_fail(err, "NotImplementedException",
					      "'%s' goes over the HTTPS API only, not from here", needs_mqtt5[i]);
	if (in != NULL && in->fd >= 0)
		return iot_local_invalid(err, "the payload of Publish comes from memory");
	if (in != NULL && in->len > IOT_TOPIC_PAYLOAD_MAX)
		return iot_cloud_fail(err, "RequestEntityTooLargeException", "a message has at most %d bytes",
				      IOT_TOPIC_PAYLOAD_MAX);
	return iot_local_outbox_add(local, "publish", 0, iot_json_str(request, "topic", ""), in != NULL ? in->data : "",
				    in != NULL ? in->len : 0, (int)iot_json_int(request, "qos", 0),
				    iot_json_bool(request, "retain", false), err);
}

/* --- what is retained --------------------------------------------------------------------- */

struct listener {
	json_t *topics; /* object: topic -> {topic, payload (base64), qos, payloadSize, userProperties?} */
	bool with_payload;
};

static void add_properties(json_t *record, const struct iot_mqtt_message *message)
{
	IOT_JSON list = json_array();
	IOT_CLEAN(iot_free_p) char *text = NULL;
	struct iot_buf base64 = IOT_BUF_INIT(PROPERTIES_MAX);

	for (size_t i = 0; i < message->property_count; i++)
		json_array_append_new(list,
				      json_pack("{s:s}", message->properties[i].name, message->properties[i].value));
	text = iot_json_text(list);
	iot_base64(text, strlen(text), &base64);
	if (!base64.over)
		iot_json_set_str(record, "userProperties", iot_buf_str(&base64));
	iot_buf_release(&base64);
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct listener *listener = data;
	struct iot_buf base64 = IOT_BUF_INIT((size_t)2 * IOT_TOPIC_PAYLOAD_MAX);
	json_t *record;

	(void)mqtt;
	if (!message->retain || json_object_size(listener->topics) >= TOPICS_MAX)
		return;
	record = json_object();
	iot_json_set_str(record, "topic", message->topic);
	iot_json_set_int(record, "payloadSize", (int64_t)message->payload_len);
	iot_json_set_int(record, "qos", message->qos);
	if (listener->with_payload) {
		iot_base64(message->payload, message->payload_len, &base64);
		iot_json_set_str(record, "payload", iot_buf_str(&base64));
		if (message->property_count > 0)
			add_properties(record, message);
	}
	iot_buf_release(&base64);
	json_object_set_new(listener->topics, message->topic, record);
}

static enum iot_status open_client(struct iot_local *local, struct listener *listener, struct iot_mqtt **ret,
				   struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.message = on_message};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	char id[37], client_id[64];
	const struct iot_mqtt_options options = {
		.unix_path = local->paths.admin_socket, .client_id = client_id, .mqtt5 = true};
	enum iot_status status;

	iot_uuid(id);
	snprintf(client_id, sizeof(client_id), "iotctl-retained-%s", id);
	status = iot_mqtt_new(&options, &events, listener, &mqtt, err);
	if (status == IOT_OK)
		status = iot_mqtt_connect(mqtt, BROKER_MS, err);
	if (status != IOT_OK) {
		iot_error_set_code(err, "ServiceUnavailableException");
		iot_error_hint(err, "is serve running?");
		return status;
	}
	*ret = iot_take(mqtt);
	return IOT_OK;
}

static enum iot_status ask(struct iot_mqtt *mqtt, const char *filter, int qos, struct iot_error *err)
{
	enum iot_status status = iot_mqtt_subscribe_wait(mqtt, filter, qos, BROKER_MS, err);

	if (status == IOT_OK) /* something else to do */
		status = iot_mqtt_subscribe_wait(mqtt, "$iotctl/nothing", 0, BROKER_MS, err);
	if (status != IOT_OK)
		iot_error_set_code(err, "ServiceUnavailableException");
	return status;
}

static enum iot_status get_retained(struct iot_local *local, const json_t *request, const struct iot_body *in,
				    json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_JSON topics = json_object();
	struct listener listener = {topics, true};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	const char *topic = iot_json_str(request, "topic", "");
	json_t *record;
	enum iot_status status = check_topic(request, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = open_client(local, &listener, &mqtt, err);
	if (status == IOT_OK)
		status = ask(mqtt, topic, 1, err);
	if (status != IOT_OK)
		return status;
	record = json_object_get(topics, topic);
	if (record == NULL)
		return iot_local_not_found(err, "topic '%s' retains no message", topic);
	json_object_del(record, "payloadSize");
	json_object_update(*ret_reply, record);
	return IOT_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The topics of a page, in order; each is asked for again, for the QoS of its message. */
static enum iot_status fill_page(struct iot_mqtt *mqtt, struct listener *listener, struct iot_page *page, json_t *list,
				 struct iot_error *err)
{
	IOT_JSON all = listener->topics;
	size_t count = json_object_size(all), used = 0;
	IOT_CLEAN(iot_free_p) const char **names = iot_alloc_array(count + 1, sizeof(*names));
	enum iot_status status = IOT_OK;
	const char *name;
	json_t *value;

	listener->topics = json_object();
	json_object_foreach(all, name, value) {
		(void)value;
		names[used++] = name;
	}
	qsort(names, used, sizeof(*names), by_name);
	for (size_t i = 0; i < used && status == IOT_OK; i++) {
		if (page->after != NULL && strcmp(names[i], page->after) <= 0)
			continue;
		if (!iot_page_next(page, names[i]))
			break;
		status = ask(mqtt, names[i], 1, err);
		value = json_object_get(listener->topics, names[i]);
		if (status == IOT_OK && value != NULL) /* else it was taken back just now */
			json_array_append(list, value);
	}
	return status;
}

static enum iot_status list_retained(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	struct listener listener = {json_object(), false};
	IOT_CLEAN(iot_mqtt_free_p) struct iot_mqtt *mqtt = NULL;
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	json_t *list = json_array();
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "retainedTopics", list);
	if (status == IOT_OK)
		status = open_client(local, &listener, &mqtt, err);
	if (status == IOT_OK)
		status = ask(mqtt, "#", 0, err);
	if (status == IOT_OK)
		status = fill_page(mqtt, &listener, &page, list, err);
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	json_decref(listener.topics);
	return status;
}

const struct iot_local_handler iot_local_message_handlers[] = {
	{"iotdata:Publish", publish, false},
	{"iotdata:GetRetainedMessage", get_retained, false},
	{"iotdata:ListRetainedMessages", list_retained, false},
	{NULL, NULL, false},
};
