/*
 * iotdata Publish: a message from an HTTPS client into the broker. At QoS 1 the
 * answer waits for the broker's acknowledgement, as the client's would.
 */
#include "broker/api/api.h"

#include "iotctl/base.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

enum { PROPERTIES_MAX = 32, DECODED_MAX = 12288 };

struct properties {
	struct iot_buf text, correlation;
	json_t *list;
	struct iot_mqtt_property items[PROPERTIES_MAX];
	size_t count;
};

static void properties_release(struct properties *properties)
{
	iot_buf_release(&properties->text);
	iot_buf_release(&properties->correlation);
	json_decref(properties->list);
}

static enum iot_status invalid(struct iot_error *err, const char *what)
{
	return iot_cloud_fail(err, "InvalidRequestException", "%s", what);
}

/* Base64 of a JSON array of objects with one member each: [{"a": "b"}, ...] */
static enum iot_status read_user_properties(const char *base64, struct properties *ret, struct iot_error *err)
{
	static const char wrong[] = "userProperties is not base64 of a JSON array of objects of strings";
	json_t *item;
	size_t i;

	if (!iot_unbase64(base64, strlen(base64), &ret->text) ||
	    iot_json_parse(iot_buf_str(&ret->text), ret->text.len, "userProperties", &ret->list, NULL) != IOT_OK ||
	    !json_is_array(ret->list))
		return invalid(err, wrong);
	json_array_foreach(ret->list, i, item) {
		const char *name;
		json_t *value;

		if (!json_is_object(item))
			return invalid(err, wrong);
		json_object_foreach(item, name, value) {
			if (!json_is_string(value))
				return invalid(err, wrong);
			if (ret->count == PROPERTIES_MAX)
				return invalid(err, "userProperties has more than 32 entries");
			/* These say who sent a message: only the plugin may. */
			if (iot_starts_with(name, "iotctl-"))
				return invalid(err, "userProperties may not begin with 'iotctl-'");
			ret->items[ret->count++] = (struct iot_mqtt_property){name, json_string_value(value)};
		}
	}
	return IOT_OK;
}

static enum iot_status read_properties(const json_t *request, struct properties *ret, struct iot_error *err)
{
	const char *user = iot_json_str(request, "userProperties", NULL);
	const char *correlation = iot_json_str(request, "correlationData", NULL);
	const char *response = iot_json_str(request, "responseTopic", NULL);
	enum iot_status status = IOT_OK;

	if (user != NULL && *user != '\0')
		status = read_user_properties(user, ret, err);
	if (status == IOT_OK && correlation != NULL &&
	    !iot_unbase64(correlation, strlen(correlation), &ret->correlation))
		status = invalid(err, "correlationData is not base64");
	if (status == IOT_OK && response != NULL &&
	    iot_topic_check_publish(response, strlen(response), err) != IOT_OK) {
		iot_error_set_code(err, "InvalidRequestException");
		status = IOT_USAGE;
	}
	return status;
}

static enum iot_status send(struct api_exchange *x, const struct properties *properties, struct iot_error *err)
{
	const char *topic = iot_json_str(x->request, "topic", "");
	const struct iot_mqtt_message message = {
		.topic = topic,
		.payload = iot_buf_str(&x->body),
		.payload_len = x->body.len,
		.qos = (int)iot_json_int(x->request, "qos", 0),
		.retain = iot_json_bool(x->request, "retain", false),
		.properties = properties->items,
		.property_count = properties->count,
		.response_topic = iot_json_str(x->request, "responseTopic", NULL),
		.correlation = properties->correlation.data,
		.correlation_len = properties->correlation.len,
		.content_type = iot_json_str(x->request, "contentType", NULL),
		.expiry_s = (uint32_t)iot_json_int(x->request, "messageExpiry", 0),
		.is_utf8 = strcmp(iot_json_str(x->request, "payloadFormatIndicator", ""), "UTF8_DATA") == 0,
	};
	int mid = 0;
	enum iot_status status;

	/* What begins with '$' is said by devices and services, not by operators, but for Basic Ingest. */
	if (iot_topic_check_publish(topic, strlen(topic), err) != IOT_OK) {
		iot_error_set_code(err, "InvalidRequestException");
		return IOT_USAGE;
	}
	status = x->core->publish(x->core->data, &message, &mid, err);
	if (status == IOT_AGAIN)
		iot_error_set_code(err, "ServiceUnavailableException");
	else if (status != IOT_OK && err->code[0] == '\0')
		iot_error_set_code(err, "InvalidRequestException");
	if (status == IOT_OK && message.qos > 0)
		x->mid = mid;
	return status;
}

enum api_next api_publish(struct api_exchange *x)
{
	struct properties properties = {.text = IOT_BUF_INIT(DECODED_MAX), .correlation = IOT_BUF_INIT(DECODED_MAX)};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_operation_check(x->op, x->request, &err);

	if (status == IOT_OK)
		status = read_properties(x->request, &properties, &err);
	if (status == IOT_OK)
		status = send(x, &properties, &err);
	properties_release(&properties);
	if (status != IOT_OK)
		return api_refuse(x, &err);
	if (x->mid != 0)
		return API_WAIT;
	api_exchange_published(x, 0);
	return API_ANSWER;
}

void api_exchange_published(struct api_exchange *x, int reason)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	x->mid = 0;
	if (reason >= 128) {
		iot_cloud_fail(&err, "InvalidRequestException", "the broker refused the message (reason %d)", reason);
	} else if (reason < 0) {
		iot_cloud_fail(&err, "ServiceUnavailableException",
			       "the broker did not acknowledge the message in time");
	} else {
		reply = json_pack("{s:s, s:s}", "message", "OK", "traceId", x->id);
		api_answer_json(&x->answer, reply);
		return;
	}
	(void)api_refuse(x, &err);
}
