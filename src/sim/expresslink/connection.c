/*
 * The way to the broker. In staging (the endpoint is the factory's) the module
 * hears one topic, on which its vendor tells it where it belongs; anywhere else
 * it registers for jobs, and is connected when that is granted.
 */
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 8883, KEEPALIVE_MIN_S = 5, REGISTER_MS = 10000, IO_MS = 1000, CONFIG_MAX = 4096, METADATA_MAX = 256 };

/* Hints of ERR14 and of the CONNECT event. */
enum hint { HINT_NONE, HINT_BACKOFF, HINT_NETWORK, HINT_ENDPOINT, HINT_TLS, HINT_LOGIN, HINT_JOBS };

bool link_is_staging(const struct module *module)
{
	return strcmp(dict_value(module->dict, "Endpoint"), module->staging) == 0;
}

/* The outcome of an attempt, for whoever asked for it. */
static void conclude(struct module *module, enum hint hint, const char *detail)
{
	char front[16];

	if (hint != HINT_NONE) {
		module_say(module, "not connected", "%s", detail);
		if (faults_backoff_ms(&module->faults) > 0 && hint != HINT_BACKOFF)
			module->backoff_until = iot_monotonic_ms() + faults_backoff_ms(&module->faults);
	}
	if (module->announce) {
		module->announce = false;
		module_raise(module, IOT_EL_CONNECT, hint, detail);
	}
	if (module->pending != PENDING_CONNECT)
		return;
	snprintf(front, sizeof(front), "%d ", (int)hint);
	if (hint == HINT_NONE)
		module_ok(module, "1 CONNECTED");
	else
		module_error_text(module, AT_CONNECT, front, detail);
}

static void forget_link(struct module *module)
{
	module->link = LINK_OFF;
	module->drop_link = false;
	message_forget(module, false);
	shadow_forget(module);
	ota_offline(module);
}

void link_close(struct module *module)
{
	bool was_up = module->link == LINK_UP;

	if (module->mqtt != NULL)
		iot_mqtt_disconnect(module->mqtt, 500);
	iot_mqtt_free(module->mqtt);
	module->mqtt = NULL;
	if (module->link == LINK_OFF)
		return;
	forget_link(module);
	if (was_up) {
		module_say(module, "disconnected", "%s", "");
		module_raise(module, IOT_EL_CONLOST, 0, NULL);
	}
}

/* --- what the broker says ------------------------------------------------------ */

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct module *module = data;
	IOT_CLEAN(iot_free_p) char *filter = NULL;

	(void)mqtt;
	module->link = LINK_REGISTERING;
	filter = module->customer ? iot_strf("$aws/things/%s/jobs/notify-next", module->thing)
				  : iot_strf("%s/expresslink_config", module->thing);
	if (!link_subscribe(module, filter, 1, &module->register_mid))
		module->drop_link = true;
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	static const enum hint hints[] = {
		[IOT_MQTT_NETWORK] = HINT_ENDPOINT, [IOT_MQTT_TLS] = HINT_TLS, [IOT_MQTT_LOGIN] = HINT_LOGIN};
	struct module *module = data;
	enum link_state was = module->link;

	(void)status;
	forget_link(module);
	if (was == LINK_UP) {
		module_say(module, "connection lost", "%s", reason);
		if (module->pending == PENDING_SEND)
			module_error(module, AT_NO_CONNECTION);
		module_raise(module, IOT_EL_CONLOST, 0, NULL);
	} else if (was == LINK_REGISTERING) {
		conclude(module, module->customer ? HINT_JOBS : HINT_LOGIN, reason);
	} else {
		conclude(module, hints[iot_mqtt_stage(mqtt)], reason);
	}
}

static void registered(struct module *module, bool granted)
{
	if (!granted) {
		module->drop_link = true;
		return;
	}
	module->link = LINK_UP;
	module->knows_time = true;
	module_say(module, "connected", "to %s (%s)", dict_value(module->dict, "Endpoint"),
		   module->customer ? "customer" : "staging");
	conclude(module, HINT_NONE, "");
	if (module->customer)
		ota_online(module);
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	struct module *module = data;

	(void)mqtt;
	if (module->link == LINK_REGISTERING && mid == module->register_mid)
		registered(module, granted);
	else if (!message_subscribed(module, mid, granted))
		shadow_subscribed(module, mid, granted);
}

/* {"Endpoint":"host"}: where this module belongs from now on. */
static void claimed(struct module *module, const void *payload, size_t len)
{
	IOT_JSON config = NULL;
	struct dict_ref ref;
	const char *endpoint;

	if (len > CONFIG_MAX || iot_json_parse(payload, len, "expresslink_config", &config, NULL) != IOT_OK)
		return;
	endpoint = iot_json_str(config, "Endpoint", "");
	if (endpoint[0] == '\0' || dict_find(module->dict, "Endpoint", 8, &ref) != AT_OK ||
	    dict_check(module->dict, &ref, endpoint, strlen(endpoint)) != AT_OK)
		return;
	module_say(module, "claimed", "by %s", endpoint);
	if (dict_set(module->dict, &ref, endpoint))
		state_save(module);
	module->drop_link = true;
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct module *module = data;

	(void)mqtt;
	if (!module->customer && iot_starts_with(message->topic, module->thing) &&
	    strcmp(message->topic + strlen(module->thing), "/expresslink_config") == 0) {
		claimed(module, message->payload, message->payload_len);
		return;
	}
	if (module->customer && (ota_arrived(module, message->topic, message->payload, message->payload_len) ||
				 shadow_arrived(module, message->topic, message->payload, message->payload_len)))
		return;
	message_arrived(module, message->topic, message->payload, message->payload_len);
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason, void *data)
{
	struct module *module = data;

	(void)mqtt;
	if (module->pending != PENDING_SEND || mid != module->pending_mid)
		return;
	if (reason < 128)
		module_ok(module, "%s", "");
	else
		module_error(module, AT_NOT_ALLOWED);
}

bool link_publish(struct module *module, const char *topic, const void *payload, size_t len, int qos, int *ret_mid)
{
	int mid;

	return module->mqtt != NULL && iot_mqtt_publish(module->mqtt, topic, payload, len, qos, false,
							ret_mid != NULL ? ret_mid : &mid, NULL) == IOT_OK;
}

bool link_subscribe(struct module *module, const char *filter, int qos, int *ret_mid)
{
	return module->mqtt != NULL && iot_mqtt_subscribe(module->mqtt, filter, qos, ret_mid, NULL) == IOT_OK;
}

/* --- connecting ------------------------------------------------------------------ */

/* HOST or HOST:PORT. False if there is no host or no such port. */
static bool split_endpoint(const struct module *module, char *host, size_t size, int *port)
{
	const char *endpoint = dict_value(module->dict, "Endpoint"), *colon = strrchr(endpoint, ':');
	size_t len = colon != NULL ? (size_t)(colon - endpoint) : strlen(endpoint);
	int64_t number = module->options.broker_port > 0 ? module->options.broker_port : PORT;

	if (len == 0 || len >= size || (colon != NULL && iot_parse_int(colon + 1, 1, 65535, &number, NULL) != IOT_OK))
		return false;
	memcpy(host, endpoint, len);
	host[len] = '\0';
	*port = (int)number;
	return true;
}

static bool write_root_ca(struct module *module)
{
	const char *pem = dict_value(module->dict, "RootCA");

	return pem[0] != '\0' && iot_fs_write(module->ca_file, 0644, pem, strlen(pem), NULL) == IOT_OK;
}

/* The last will as LWTConfig and LWTMessage say. False: none, or not a valid one. */
static bool read_will(const struct module *module, struct iot_mqtt_message *will, json_t **ret_config)
{
	const char *config = dict_value(module->dict, "LWTConfig"), *text = dict_value(module->dict, "LWTMessage");
	const char *topic;

	if (config[0] == '\0' || iot_json_parse(config, strlen(config), "LWTConfig", ret_config, NULL) != IOT_OK)
		return false;
	topic = iot_json_str(*ret_config, "topic", "");
	if (iot_topic_check_publish(topic, strlen(topic), NULL) != IOT_OK)
		return false;
	*will = (struct iot_mqtt_message){
		.topic = topic,
		.payload = text,
		.payload_len = strlen(text),
		.qos = iot_json_int(*ret_config, "qos", 0) == 1,
		.retain = iot_json_bool(*ret_config, "retain", false) || iot_json_int(*ret_config, "retain", 0) == 1,
	};
	return true;
}

/* What modules say of themselves in the user name. */
static char *user_name(const struct module *module)
{
	char metadata[METADATA_MAX];

	snprintf(metadata, sizeof(metadata), "Vendor=iotctl;Model=sim;FWversion=%s;TechSpec=%s;CustomName=%s",
		 dict_value(module->dict, "Version"), dict_value(module->dict, "TechSpec"),
		 dict_value(module->dict, "CustomName"));
	return iot_strf("?SDK=ExpressLink&Version=%s&Platform=ExpressLink&Metadata=(%s)",
			dict_value(module->dict, "Version"), metadata);
}

static enum iot_status start(struct module *module, const char *host, int port, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {on_connected, on_disconnected, on_message, on_subscribed,
						      on_published};
	IOT_CLEAN(iot_free_p) char *user = user_name(module);
	IOT_JSON config = NULL;
	struct iot_mqtt_message will;
	int64_t keep_alive = dict_number(module->dict, "KeepAlive");
	struct iot_mqtt_options options = {
		.host = host,
		.port = port,
		.client_id = module->thing,
		.ca_file = module->ca_file,
		.cert_file = module->cert_file,
		.key_file = module->key_file,
		.username = user,
		.keepalive_s = keep_alive == 0 || keep_alive >= KEEPALIVE_MIN_S ? (int)keep_alive : KEEPALIVE_MIN_S,
	};
	enum iot_status status;

	if (read_will(module, &will, &config))
		options.will = &will;
	iot_mqtt_free(module->mqtt);
	module->mqtt = NULL;
	status = iot_mqtt_new(&options, &events, module, &module->mqtt, err);
	return status == IOT_OK ? iot_mqtt_start(module->mqtt, err) : status;
}

/* What the network in reach has against the module; NULL: nothing. */
static const char *network_fault(const struct module *module)
{
	const char *ssid = module->options.ssid, *password = iot_buf_str(&module->wifi_password);

	if (ssid == NULL)
		return NULL;
	if (strcmp(ssid, dict_value(module->dict, "SSID")) != 0)
		return "no such Wi-Fi network";
	if (*password != '\0' && strcmp(password, dict_value(module->dict, "Passphrase")) != 0)
		return "the Wi-Fi network refuses the password";
	return NULL;
}

static void begin(struct module *module)
{
	struct iot_error err = IOT_ERROR_INIT;
	const char *network = network_fault(module);
	char host[256];
	enum iot_status status;
	int port;

	module->customer = !link_is_staging(module);
	if (iot_monotonic_ms() < module->backoff_until) {
		conclude(module, HINT_BACKOFF, "waiting before the next attempt");
	} else if (network != NULL) {
		conclude(module, HINT_NETWORK, network);
	} else if (!split_endpoint(module, host, sizeof(host), &port)) {
		conclude(module, HINT_ENDPOINT, "no usable endpoint");
	} else if (!write_root_ca(module)) {
		conclude(module, HINT_TLS, "no root certificate");
	} else {
		module->io_at = iot_monotonic_ms() + IO_MS;
		module->link = LINK_CONNECTING;
		status = start(module, host, port, &err);
		if (status == IOT_OK)
			return;
		forget_link(module);
		conclude(module, status == IOT_AGAIN ? HINT_ENDPOINT : HINT_TLS, err.what);
	}
}

static bool may_connect(struct module *module)
{
	if (module->in_confmode || (module->link != LINK_OFF && module->link != LINK_UP)) {
		module_error(module, module->spec == AT_V0_5 ? AT_CONNECT : AT_NOT_ALLOWED);
		return false;
	}
	return true;
}

void link_connect(struct module *module, const struct at_command *command)
{
	(void)command;
	if (!may_connect(module))
		return;
	if (module->link == LINK_UP) {
		module_ok(module, "1 CONNECTED");
		return;
	}
	module->pending = PENDING_CONNECT;
	begin(module);
}

void link_connect_async(struct module *module, const struct at_command *command)
{
	(void)command;
	if (!may_connect(module))
		return;
	module_ok(module, "%s", "");
	module->announce = true;
	if (module->link == LINK_UP)
		conclude(module, HINT_NONE, "");
	else
		begin(module);
}

void link_status(struct module *module, const struct at_command *command)
{
	bool up = module->link == LINK_UP;

	(void)command;
	if (module->spec == AT_V0_5)
		module_ok(module, "%d", up);
	else
		module_ok(module, "%d %d %s %s", up, !link_is_staging(module), up ? "CONNECTED" : "DISCONNECTED",
			  link_is_staging(module) ? "STAGING" : "CUSTOMER");
}

void link_disconnect(struct module *module, const struct at_command *command)
{
	(void)command;
	module->announce = false;
	link_close(module);
	module_ok(module, "0 DISCONNECTED");
}

/* --- for the loop ------------------------------------------------------------------ */

void link_tick(struct module *module, int64_t now)
{
	if (module->drop_link) {
		bool registering = module->link == LINK_REGISTERING;

		link_close(module);
		if (registering)
			conclude(module, module->customer ? HINT_JOBS : HINT_LOGIN,
				 "the broker refused the subscription");
	}
	if (module->mqtt != NULL && now >= module->io_at) {
		module->io_at = now + IO_MS;
		iot_mqtt_io(module->mqtt, 0);
	}
}

int64_t link_deadline(const struct module *module)
{
	if (module->drop_link)
		return 1;
	return module->link != LINK_OFF ? module->io_at : INT64_MAX;
}
