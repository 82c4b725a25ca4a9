/*
 * A mosquitto plugin for tests: a message to $CONTROL/test/v1 with the payload
 * CLIENT-ID NUL TOPIC NUL PAYLOAD is delivered to that client, subscribed or
 * not, as AWS delivers replies.
 */
#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>
#include <string.h>

static mosquitto_plugin_id_t *plugin;

static int on_control(int event, void *event_data, void *data)
{
	struct mosquitto_evt_control *control = event_data;
	const char *client = control->payload;
	size_t client_len = strnlen(client, control->payloadlen), topic_len;
	const char *topic = client + client_len + 1;

	(void)event, (void)data;
	if (client_len + 2 > control->payloadlen)
		return MOSQ_ERR_SUCCESS;
	topic_len = strnlen(topic, control->payloadlen - client_len - 1);
	if (client_len + topic_len + 2 > control->payloadlen)
		return MOSQ_ERR_SUCCESS;
	mosquitto_broker_publish_copy(client, topic, (int)(control->payloadlen - client_len - topic_len - 2),
				      topic + topic_len + 1, 0, false, NULL);
	return MOSQ_ERR_SUCCESS;
}

__attribute__((visibility("default"))) int mosquitto_plugin_version(int count, const int *versions)
{
	for (int i = 0; i < count; i++) {
		if (versions[i] == 5)
			return 5;
	}
	return -1;
}

__attribute__((visibility("default"))) int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **data,
								 struct mosquitto_opt *options, int count)
{
	(void)data, (void)options, (void)count;
	plugin = id;
	return mosquitto_callback_register(plugin, MOSQ_EVT_CONTROL, on_control, "$CONTROL/test/v1", NULL);
}

__attribute__((visibility("default"))) int mosquitto_plugin_cleanup(void *data, struct mosquitto_opt *options,
								    int count)
{
	(void)data, (void)options, (void)count;
	return mosquitto_callback_unregister(plugin, MOSQ_EVT_CONTROL, on_control, "$CONTROL/test/v1");
}
