/*
 * The staging endpoint: where modules that know no fleet yet connect with the
 * certificate they were born with. It is a second mosquitto, since a plugin
 * cannot tell the listeners of one apart; ours runs in it in the role "staging".
 *
 * Who is there is kept with its certificate. One that is claimed is made a device
 * and told where the fleet is, by {"Endpoint": HOST} on UID/expresslink_config as
 * AWS IoT ExpressLink has it (programmer's guide, provisioning); again whenever it
 * comes or subscribes, so that no message must be kept for it. The others wait.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

/* A certificate as JSON text, and what else an event has. */
#define STAGING_EVENT_MAX (2 * 65536)
#define CONFIG_TOPIC "/expresslink_config"

struct staging {
	struct serve_link *link;
	struct iot_cloud *cloud;
	json_t *here; /* UID -> its last "connected" event */
	struct iot_buf out;
	void (*changed)(void *data);
	void *data;
	bool ready, stopping;
};

/* --- one module ---------------------------------------------------------------------- */

static void tell(struct staging *staging, const char *uid)
{
	const struct broker_request to = {.client = uid, .topic = uid, .qos = 1};
	IOT_CLEAN(iot_free_p) char *endpoint = NULL, *payload = NULL;
	IOT_JSON config = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_local_meta_get(staging->cloud, "endpoint", &endpoint, &err);

	if (status == IOT_OK) {
		config = json_pack("{s:s}", "Endpoint", endpoint != NULL ? endpoint : "localhost");
		payload = iot_json_text(config);
		reply_begin(&staging->out, &to, strlen(uid), CONFIG_TOPIC);
		iot_buf_adds(&staging->out, payload);
		status = iot_mqtt_publish(serve_link_mqtt(staging->link), IOT_CONTROL_TOPIC, staging->out.data,
					  staging->out.len, 1, false, NULL, &err);
	}
	if (status != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "cannot tell a module its endpoint: ", &err);
}

/* `first`: it has just come. */
static void settle(struct staging *staging, const char *uid, const json_t *event, bool first)
{
	enum iot_claim_state state = IOT_CLAIM_NONE;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_local_claim_settle(staging->cloud, iot_json_str(event, "certificatePem", ""), &state, &err) != IOT_OK) {
		iot_error_while(&err, "taking module '%s' in", uid);
		iot_log_error(IOT_LOG_WARNING, "", &err);
		return;
	}
	if (state == IOT_CLAIM_NONE) {
		if (first)
			iot_notice("module '%s' waits in staging: 'iotctl device claim %s' takes it in", uid, uid);
		return;
	}
	if (state == IOT_CLAIM_DONE)
		iot_notice("module '%s' was claimed and is a device of the fleet now", uid);
	if (iot_json_bool(event, "listens", false))
		tell(staging, uid);
}

void staging_claimed(struct staging *staging, const char *uid)
{
	const json_t *event = staging != NULL ? json_object_get(staging->here, uid) : NULL;

	if (event != NULL)
		settle(staging, uid, event, false);
}

/* --- events ---------------------------------------------------------------------------- */

static void take_event(struct staging *staging, const char *name, json_t *event)
{
	const char *uid = iot_json_str(event, "clientId", "");
	int64_t connection = iot_json_int(event, "connection", 0);
	int64_t before = iot_json_int(json_object_get(staging->here, uid), "connection", 0);

	if (strcmp(name, "connected") == 0) {
		json_object_set(staging->here, uid, event);
		settle(staging, uid, event, connection != before);
	} else if (strcmp(name, "disconnected") == 0 && connection == before) {
		json_object_del(staging->here, uid);
	}
}

static void on_message(const struct iot_mqtt_message *message, void *data)
{
	struct staging *staging = data;
	IOT_JSON event = NULL;

	if (iot_starts_with(message->topic, IOT_EVENT_PREFIX) && message->payload_len <= STAGING_EVENT_MAX &&
	    iot_json_parse(message->payload, message->payload_len, "event", &event, NULL) == IOT_OK)
		take_event(staging, message->topic + strlen(IOT_EVENT_PREFIX), event);
}

static void on_up(void *data)
{
	struct staging *staging = data;
	struct iot_error err = IOT_ERROR_INIT;

	json_object_clear(staging->here); /* whoever is there is told of when we subscribe */
	if (iot_mqtt_subscribe(serve_link_mqtt(staging->link), IOT_EVENT_PREFIX "#", 1, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_ERROR, "", &err);
}

static void on_down(void *data)
{
	struct staging *staging = data;

	json_object_clear(staging->here);
	if (!staging->stopping)
		iot_warn("the connection to the staging endpoint's mosquitto is lost");
}

static void on_subscribed(int mid, bool granted, void *data)
{
	struct staging *staging = data;

	(void)mid;
	if (!granted) {
		iot_log(IOT_LOG_ERROR, "the staging endpoint's mosquitto refused a subscription of serve");
		return;
	}
	iot_notice("the staging endpoint listens (mosquitto is process %ld)", (long)serve_link_pid(staging->link));
	staging->ready = true;
	staging->changed(staging->data);
}

/* What could not be told is told when the module comes again. */
static void on_published(int mid, int reason_code, void *data)
{
	(void)mid;
	(void)data;
	if (reason_code >= 128)
		iot_warn("the staging endpoint's mosquitto refused a message with reason %d", reason_code);
}

static void on_process(pid_t pid, void *data)
{
	struct staging *staging = data;

	(void)pid;
	staging->changed(staging->data);
}

/* --- its life ---------------------------------------------------------------------------- */

enum iot_status staging_new(const struct serve_setup *setup, struct iot_cloud *cloud, void (*changed)(void *data),
			    void *data, struct staging **ret, struct iot_error *err)
{
	static const struct serve_link_events events = {
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.subscribed = on_subscribed,
		.published = on_published,
		.process = on_process,
	};
	struct staging *staging = iot_alloc(sizeof(*staging));
	enum iot_status status;

	*staging = (struct staging){.cloud = cloud,
				    .here = json_object(),
				    .out = IOT_BUF_INIT(BROKER_MESSAGE_MAX),
				    .changed = changed,
				    .data = data};
	status = serve_link_new(setup, &events, staging, &staging->link, err);
	if (status != IOT_OK) {
		staging_free(staging);
		return status;
	}
	*ret = staging;
	return IOT_OK;
}

void staging_free(struct staging *staging)
{
	if (staging == NULL)
		return;
	staging->stopping = true;
	serve_link_free(staging->link);
	json_decref(staging->here);
	iot_buf_release(&staging->out);
	free(staging);
}

bool staging_is_ready(const struct staging *staging)
{
	return staging == NULL || staging->ready;
}

pid_t staging_pid(const struct staging *staging)
{
	return staging != NULL ? serve_link_pid(staging->link) : 0;
}

nfds_t staging_poll(const struct staging *staging, struct pollfd fds[2])
{
	return staging != NULL ? serve_link_poll(staging->link, fds) : 0;
}

int64_t staging_due(const struct staging *staging)
{
	return staging != NULL ? serve_link_due(staging->link) : INT64_MAX;
}

enum iot_status staging_step(struct staging *staging, const struct pollfd *fds, nfds_t count, struct iot_error *err)
{
	return staging != NULL ? serve_link_step(staging->link, fds, count, err) : IOT_OK;
}
