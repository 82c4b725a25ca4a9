/*
 * AWS IoT's Device Shadow service over MQTT (developer guide, "Shadow MQTT
 * topics"): a request on $aws/things/T/shadow/... becomes an operation of service
 * iotdata. What may be asked for which thing was decided by the plugin from the
 * client's policies.
 *
 * Unlike those of Jobs, replies go to whoever has subscribed to them, the client
 * that asked or another, as AWS has it: a client that has not subscribed hears
 * nothing, and several agree on a shadow by listening to each other's replies.
 * That an update or a delete was accepted is said by the outbox, whoever asked
 * for it; here remain the answers that change nothing: get, and refusals.
 */
#include "broker/services.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

#define TOKEN_MAX 64 /* bytes of a clientToken that comes back */

static const struct verb {
	const char *name, *operation;
	bool replies; /* the accepted reply is ours to give */
} verbs[] = {
	{"get", "iotdata:GetThingShadow", true},
	{"update", "iotdata:UpdateThingShadow", false},
	{"delete", "iotdata:DeleteThingShadow", false},
};

struct shadow_topic {
	const struct verb *verb;
	char thing[IOT_TOPIC_MAX + 1];
	char name[IOT_TOPIC_MAX + 1]; /* empty: the classic shadow */
};

/* Copy the level at *at and move behind its slash. False: it is empty, or the last one. */
static bool take_level(const char **at, char out[IOT_TOPIC_MAX + 1])
{
	size_t len = strcspn(*at, "/");

	if (len == 0 || len > IOT_TOPIC_MAX || (*at)[len] == '\0')
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len + 1;
	return true;
}

static bool parse_topic(const char *topic, struct shadow_topic *ret)
{
	static const char prefix[] = "$aws/things/";

	if (!iot_starts_with(topic, prefix))
		return false;
	topic += strlen(prefix);
	if (!take_level(&topic, ret->thing) || !iot_starts_with(topic, "shadow/"))
		return false;
	topic += strlen("shadow/");
	ret->name[0] = '\0';
	if (iot_starts_with(topic, "name/")) {
		topic += strlen("name/");
		if (!take_level(&topic, ret->name))
			return false;
	}
	for (size_t i = 0; i < IOT_LENGTH(verbs); i++) {
		if (strcmp(verbs[i].name, topic) == 0) {
			ret->verb = &verbs[i];
			return true;
		}
	}
	return false;
}

bool shadow_is_request(const char *topic)
{
	struct shadow_topic parsed;

	return parse_topic(topic, &parsed);
}

static void reply(const struct broker_port *port, const struct broker_request *request, const char *outcome,
		  const void *payload, size_t len)
{
	IOT_CLEAN(iot_free_p) char *topic = iot_strf("%s/%s", request->topic, outcome);

	port->publish(port->data, topic, payload, len, request->qos > 0 ? 1 : 0);
}

/* The token of a request that was refused, if it can be made out. */
static void copy_token(const struct broker_request *request, json_t *to)
{
	IOT_JSON body = NULL;
	const json_t *token;

	if (iot_json_parse(request->payload, request->len, "payload", &body, NULL) != IOT_OK)
		return;
	token = json_object_get(body, "clientToken");
	if (json_is_string(token) && json_string_length(token) <= TOKEN_MAX)
		json_object_set_new(to, "clientToken", json_string(json_string_value(token)));
}

/* What went wrong inside is for our log; a device learns only that it did. */
static void describe(const struct iot_error *err, json_t *to)
{
	int code = iot_cloud_code_http(err->code);
	const char *message = err->what;

	if (err->status == IOT_AGAIN) {
		code = 429;
		message = "Too many requests; try again later";
	} else if (code >= 500) {
		iot_log_error(IOT_LOG_ERROR, "a shadow request failed: ", err);
		code = 500;
		message = "Internal service failure";
	}
	iot_json_set_int(to, "code", code);
	iot_json_set_str(to, "message", message);
}

static void reject(const struct broker_port *port, const struct broker_request *request, const struct iot_error *err)
{
	IOT_JSON message = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;

	describe(err, message);
	iot_json_set_int(message, "timestamp", iot_now_ms() / 1000);
	copy_token(request, message);
	text = iot_json_text(message);
	reply(port, request, "rejected", text, strlen(text));
}

void shadow_answer(const struct broker_port *port, const struct broker_request *request)
{
	const struct iot_body in = {.data = request->payload, .len = request->len, .fd = -1};
	struct iot_buf out = IOT_BUF_INIT(IOT_TOPIC_PAYLOAD_MAX);
	struct iot_error err = IOT_ERROR_INIT;
	struct shadow_topic topic;
	IOT_JSON names = json_object();

	if (!parse_topic(request->topic, &topic))
		return;
	iot_json_set_str(names, "thingName", topic.thing);
	if (topic.name[0] != '\0')
		iot_json_set_str(names, "shadowName", topic.name);
	if (port->exchange(port->data, topic.verb->operation, names, &in, &out, &err) != IOT_OK)
		reject(port, request, &err);
	else if (topic.verb->replies)
		reply(port, request, "accepted", out.data, out.len);
	iot_buf_release(&out);
}
