/*
 * A host for the broker plugin: the part of mosquitto's plugin interface that it
 * uses, played by the program that includes this, which raises the events itself
 * and sees what the plugin asks of its broker. Property functions are those of
 * libmosquitto.
 */
#ifndef IOTCTL_TEST_PLUGIN_HOST_H
#define IOTCTL_TEST_PLUGIN_HOST_H

#include "broker/plugin/plugin.h"
#include "iotctl/base.h"
#include "iotctl/broker.h"

#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A connection. */
struct mosquitto {
	const char *id;
	const char *address;
	X509 *x509;
	bool clean;
	int protocol;
	bool live;
	const char *password;
	const char *will; /* topic of its will, asked about when it ends */
	int will_rc;      /* what the plugin said about it */
	char username[200];
};

#define HOST_EVENTS 16
#define HOST_CLIENTS 64
#define HOST_PUBLISHED 4096
#define HOST_SOCKET "/run/admin.sock"

struct host_message {
	char *client_id, *topic, *payload;
	int payload_len, qos;
};

static struct {
	MOSQ_FUNC_generic_callback handler[HOST_EVENTS];
	void *userdata[HOST_EVENTS];
	struct mosquitto *live[HOST_CLIENTS];
	struct plugin *plugin;
	int kicks, depth; /* depth: events other than TICK that are being handled */
	bool kicked_inside;
	struct host_message published[HOST_PUBLISHED];
	int published_count;
	int log_lines;
	char log[2048]; /* the last line */
} host;

static inline int host_raise(int event, void *data)
{
	int rc;

	if (host.handler[event] == NULL)
		return MOSQ_ERR_PLUGIN_DEFER;
	host.depth += event != MOSQ_EVT_TICK;
	rc = host.handler[event](event, data, host.userdata[event]);
	host.depth -= event != MOSQ_EVT_TICK;
	return rc;
}

/* --- what mosquitto offers -------------------------------------------------------- */

int mosquitto_callback_register(mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback cb_func,
				const void *event_data, void *userdata)
{
	(void)identifier;
	if (event == MOSQ_EVT_CONTROL && strcmp(event_data, IOT_CONTROL_TOPIC) != 0)
		return MOSQ_ERR_INVAL;
	host.handler[event] = cb_func;
	host.userdata[event] = userdata;
	return MOSQ_ERR_SUCCESS;
}

int mosquitto_callback_unregister(mosquitto_plugin_id_t *identifier, int event, MOSQ_FUNC_generic_callback cb_func,
				  const void *event_data)
{
	(void)identifier;
	(void)event_data;
	if (host.handler[event] != cb_func)
		return MOSQ_ERR_NOT_FOUND;
	host.handler[event] = NULL;
	return MOSQ_ERR_SUCCESS;
}

const char *mosquitto_client_address(const struct mosquitto *client)
{
	return client->address;
}

bool mosquitto_client_clean_session(const struct mosquitto *client)
{
	return client->clean;
}

const char *mosquitto_client_id(const struct mosquitto *client)
{
	return client->id;
}

void *mosquitto_client_certificate(const struct mosquitto *client)
{
	if (client->x509 != NULL)
		X509_up_ref(client->x509);
	return client->x509;
}

int mosquitto_client_protocol_version(const struct mosquitto *client)
{
	return client->protocol;
}

const char *mosquitto_client_username(const struct mosquitto *client)
{
	return client->username[0] != '\0' ? client->username : NULL;
}

int mosquitto_set_username(struct mosquitto *client, const char *username)
{
	snprintf(client->username, sizeof(client->username), "%s", username);
	return MOSQ_ERR_SUCCESS;
}

void mosquitto_log_printf(int level, const char *fmt, ...) IOT_PRINTF(2, 3);
void mosquitto_log_printf(int level, const char *fmt, ...)
{
	va_list args;

	(void)level;
	va_start(args, fmt);
	vsnprintf(host.log, sizeof(host.log), fmt, args);
	va_end(args);
	host.log_lines++;
}

int mosquitto_broker_publish_copy(const char *clientid, const char *topic, int payloadlen, const void *payload, int qos,
				  bool retain, mosquitto_property *properties)
{
	struct host_message *message = &host.published[host.published_count++ % HOST_PUBLISHED];

	(void)retain;
	(void)properties;
	free(message->client_id);
	free(message->topic);
	free(message->payload);
	message->client_id = iot_strdup(clientid);
	message->topic = iot_strdup(topic);
	message->payload = iot_strndup(payload, (size_t)payloadlen);
	message->payload_len = payloadlen;
	message->qos = qos;
	return MOSQ_ERR_SUCCESS;
}

/* --- events --------------------------------------------------------------------------- */

static inline int host_acl(struct mosquitto *client, int access, const char *topic, uint32_t len, uint8_t qos,
			   bool retain)
{
	struct mosquitto_evt_acl_check check = {
		.client = client, .topic = topic, .access = access, .payloadlen = len, .qos = qos, .retain = retain};

	return host_raise(MOSQ_EVT_ACL_CHECK, &check);
}

static inline void host_will(struct mosquitto *client)
{
	if (client->will != NULL)
		client->will_rc = host_acl(client, MOSQ_ACL_WRITE, client->will, 1, 0, false);
}

/* As mosquitto 2.0.11: the plugin first, then the will. */
static inline void host_disconnect(struct mosquitto *client)
{
	struct mosquitto_evt_disconnect gone = {.client = client, .reason = -1};

	for (int i = 0; i < HOST_CLIENTS; i++)
		if (host.live[i] == client)
			host.live[i] = NULL;
	client->live = false;
	host_raise(MOSQ_EVT_DISCONNECT, &gone);
	host_will(client);
}

int mosquitto_kick_client_by_clientid(const char *clientid, bool with_will)
{
	(void)with_will;
	host.kicks++;
	host.kicked_inside = host.kicked_inside || host.depth > 0;
	for (int i = 0; i < HOST_CLIENTS; i++) {
		if (host.live[i] == NULL || strcmp(host.live[i]->id, clientid) != 0)
			continue;
		host_disconnect(host.live[i]);
		return MOSQ_ERR_SUCCESS;
	}
	return MOSQ_ERR_NOT_FOUND;
}

/* As mosquitto 2.0.11: the newcomer authenticates first; then the old one's will, then its end. */
static inline int host_connect(struct mosquitto *client)
{
	struct mosquitto_evt_basic_auth auth = {.client = client, .password = (char *)(uintptr_t)client->password};
	int rc = host_raise(MOSQ_EVT_BASIC_AUTH, &auth);
	int place = -1;

	if (rc != MOSQ_ERR_SUCCESS)
		return rc;
	for (int i = 0; i < HOST_CLIENTS; i++) {
		struct mosquitto *old = host.live[i];

		if (old != NULL && strcmp(old->id, client->id) == 0) {
			host_will(old);
			old->will = NULL;
			host_disconnect(old);
		}
		if (host.live[i] == NULL)
			place = i;
	}
	if (place < 0)
		abort();
	host.live[place] = client;
	client->live = true;
	return rc;
}

/* The TLS handshake of a client with a shared secret: what key (in hex) is the one for this identity? */
static inline int host_psk(struct mosquitto *client, const char *identity, char *key, int size)
{
	struct mosquitto_evt_psk_key event = {
		.client = client, .hint = "iotctl", .identity = identity, .key = key, .max_key_len = size};

	return host_raise(MOSQ_EVT_PSK_KEY, &event);
}

static inline int host_publish(struct mosquitto *client, const char *topic, const char *payload)
{
	struct mosquitto_evt_acl_check check = {.client = client,
						.topic = topic,
						.access = MOSQ_ACL_WRITE,
						.payload = payload,
						.payloadlen = (uint32_t)strlen(payload),
						.qos = 1};

	return host_raise(MOSQ_EVT_ACL_CHECK, &check);
}

static inline void host_tick(void)
{
	struct mosquitto_evt_tick tick = {0};

	(void)host_raise(MOSQ_EVT_TICK, &tick);
}

static inline int host_control(struct mosquitto *client, const char *payload, size_t len)
{
	struct mosquitto_evt_control control = {
		.client = client, .topic = IOT_CONTROL_TOPIC, .payload = payload, .payloadlen = (uint32_t)len};
	int rc = host_raise(MOSQ_EVT_CONTROL, &control);

	return rc == MOSQ_ERR_SUCCESS ? control.reason_code : rc;
}

/* With one more option, extra = value; NULL: none. */
static inline int host_start_with(const char *registry, const char *admin_socket, const char *extra, const char *value)
{
	char keys[3][32] = {IOT_PLUGIN_OPT_REGISTRY, IOT_PLUGIN_OPT_ADMIN_SOCKET, "unknown"};
	char registry_value[512], socket_value[512], extra_value[64];
	struct mosquitto_opt options[3];
	void *userdata = NULL;
	int count = 0, rc;

	if (registry != NULL) {
		snprintf(registry_value, sizeof(registry_value), "%s", registry);
		options[count++] = (struct mosquitto_opt){keys[0], registry_value};
	}
	if (admin_socket != NULL) {
		snprintf(socket_value, sizeof(socket_value), "%s", admin_socket);
		options[count++] = (struct mosquitto_opt){keys[1], socket_value};
	}
	if (extra != NULL) {
		snprintf(keys[2], sizeof(keys[2]), "%s", extra);
		snprintf(extra_value, sizeof(extra_value), "%s", value);
		options[count++] = (struct mosquitto_opt){keys[2], extra_value};
	}
	rc = mosquitto_plugin_init(NULL, &userdata, options, count);
	host.plugin = userdata;
	return rc;
}

static inline int host_start(const char *registry, const char *admin_socket, const char *extra)
{
	return host_start_with(registry, admin_socket, extra, "x");
}

static inline void host_forget_published(void)
{
	for (int i = 0; i < HOST_PUBLISHED; i++) {
		free(host.published[i].client_id);
		free(host.published[i].topic);
		free(host.published[i].payload);
	}
	memset(host.published, 0, sizeof(host.published));
	host.published_count = 0;
}

static inline void host_stop(void)
{
	if (host.plugin != NULL)
		mosquitto_plugin_cleanup(host.plugin, NULL, 0);
	host_forget_published();
	memset(&host, 0, sizeof(host));
}

#endif
