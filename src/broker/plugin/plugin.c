/*
 * The plugin as mosquitto sees it: its three entry points and one handler per
 * event. Whatever is missing or unknown is refused: an option, the registry, a
 * client without a record, an access without a name.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/broker.h"
#include "iotctl/clock.h"
#include "iotctl/jwt.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/tls.h"

#include <mqtt_protocol.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

/* --- connections come -------------------------------------------------------------- */

static int refuse_connect(struct plugin *plugin, const char *client_id, const struct identity *identity,
			  const char *reason)
{
	struct denial denial = {.client_id = client_id,
				.certificate_id = identity_certificate(identity),
				.action = iot_policy_action_name(IOT_POLICY_CONNECT),
				.kind = "client/",
				.resource = client_id};

	snprintf(denial.reason, sizeof(denial.reason), "%s", reason);
	event_denied(&plugin->events, NULL, &denial);
	return MOSQ_ERR_AUTH;
}

static int admit_admin(struct plugin *plugin, struct mosquitto *handle, const char *id)
{
	struct client *client = clients_add(&plugin->clients, handle, id, NULL);

	client->connection = plugin->next_connection++;
	clients_supersede(&plugin->clients, client);
	return mosquitto_set_username(handle, ADMIN_NAME) == MOSQ_ERR_SUCCESS ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

/* Who showed a certificate in its TLS session, *ret_cert; NULL: nobody. New memory both. */
static struct identity *identify_certificate(const struct mosquitto *handle, struct iot_cert **ret_cert,
					     struct iot_error *err)
{
	void *x509 = mosquitto_client_certificate(handle);

	if (x509 == NULL) {
		(void)iot_fail(err, IOT_DENIED,
			       "the client has no certificate, no token, and was asked for no secret (a resumed TLS "
			       "session is not)");
		return NULL;
	}
	if (iot_cert_take_x509(x509, ret_cert, err) != IOT_OK)
		return NULL;
	return identity_new(*ret_cert);
}

/* Who the client is: by its shared secret, its certificate (then also *ret_cert), or a token as its password. */
static struct identity *identify(struct plugin *plugin, const struct mosquitto_evt_basic_auth *auth, const char *id,
				 struct iot_cert **ret_cert, struct iot_error *err)
{
	struct identity *identity = secret_take(plugin);

	if (identity == NULL)
		identity = identify_certificate(auth->client, ret_cert, err);
	if (identity != NULL || *ret_cert != NULL || auth->password == NULL)
		return identity;
	return token_identify(plugin, id, auth->password, err);
}

/* What policies see of a client id: in that of one who shows a token only the device. */
static const char *name_of(const struct identity *identity, const char *id)
{
	return identity->kind == IDENTITY_TOKEN ? token_device(id, NULL, NULL) : id;
}

static enum iot_status read_grant(struct plugin *plugin, const struct identity *identity, const struct iot_cert *cert,
				  const char *id, struct grant *ret, struct iot_error *err)
{
	enum iot_status status = registry_begin(plugin->registry, err);

	if (status != IOT_OK)
		return status;
	if (identity->kind != IDENTITY_CERTIFICATE)
		status = identity_grant(plugin->registry, identity, name_of(identity, id), ret, err);
	else
		status = plugin->staging ? staging_admit(plugin->registry, cert, id, ret, err)
					 : registry_read(plugin->registry, iot_cert_id(cert), id, ret, err);
	registry_end(plugin->registry);
	return status;
}

/* Its client id, or the id of its certificate: nothing that could be the name of the fleet's own user (sessions.c). */
static const char *user_name(const struct client *client)
{
	bool by_id = client->grant.is_thing || client->identity->kind != IDENTITY_CERTIFICATE;

	return by_id ? client->id : client->identity->certificate_id;
}

/* A device is connected once. The broker knows it by another id if it came by another way: there it does not look. */
static void end_others(struct plugin *plugin, const struct client *client)
{
	struct client *other = clients_find_other(&plugin->clients, client);

	if (other != NULL)
		watch_doom(plugin, other, "DUPLICATE_CLIENTID");
}

/* Takes the identity over. */
static int admit_device(struct plugin *plugin, struct mosquitto *handle, const char *id, struct identity *identity,
			const struct iot_cert *cert)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct grant grant;
	struct client *client;
	struct denial why;
	enum iot_status status;

	status = read_grant(plugin, identity, cert, id, &grant, &err);
	if (status != IOT_OK) {
		int rc = refuse_connect(plugin, name_of(identity, id), identity, err.what);

		if (status != IOT_DENIED && status != IOT_AGAIN)
			registry_suspect(plugin->registry);
		free(identity);
		return rc;
	}
	client = clients_add(&plugin->clients, handle, id, identity);
	client->grant = grant;
	client->generation = registry_generation(plugin->registry);
	client->persistent = !mosquitto_client_clean_session(handle);
	client->listens = client->persistent;
	client->connection = plugin->next_connection++;
	if (!decide_connect(client, &why)) {
		event_denied(&plugin->events, NULL, &why);
		clients_remove(&plugin->clients, client);
		return MOSQ_ERR_AUTH;
	}
	if (mosquitto_set_username(handle, user_name(client)) != MOSQ_ERR_SUCCESS) {
		clients_remove(&plugin->clients, client);
		return MOSQ_ERR_AUTH;
	}
	end_others(plugin, client);
	clients_supersede(&plugin->clients, client);
	watch_expiry(plugin, client);
	event_connected(&plugin->events, client, mosquitto_client_address(handle), false);
	return MOSQ_ERR_SUCCESS;
}

/*
 * That a secret was shown cannot be asked about again, and a resumed session in the memory of an ended connection looks
 * just like this: its client has to come again.
 */
static bool is_same(const struct identity *old, const struct identity *identity)
{
	if (identity == NULL || old->kind != identity->kind || old->kind == IDENTITY_PSK)
		return false;
	return old->kind == IDENTITY_CERTIFICATE ? strcmp(old->certificate_id, identity->certificate_id) == 0
						 : strcmp(old->thing, identity->thing) == 0;
}

/*
 * Was this very connection admitted before? The broker asks about live connections again when it reloads its
 * configuration. Any other record under its address is of a connection of the past, whose memory the broker uses again.
 */
static bool is_known(struct plugin *plugin, const struct mosquitto *handle, const char *id,
		     const struct identity *identity, bool admin)
{
	struct client *old = clients_find(&plugin->clients, handle);

	if (old == NULL)
		return false;
	if (old->connected && strcmp(old->id, id) == 0 && client_is_admin(old) == admin &&
	    (admin || is_same(old->identity, identity)))
		return true;
	if (old->connected && !client_is_admin(old))
		event_disconnected(&plugin->events, old, "UNKNOWN");
	clients_remove(&plugin->clients, old);
	return false;
}

/* What was decided about a live connection stands: changes of the registry reach it by themselves. */
static int stand(const struct plugin *plugin, const struct client *client)
{
	bool stands = client_is_admin(client) || (client->authorised && client->reason == NULL && !plugin->closed);

	return stands ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

static int on_basic_auth(int event, void *data, void *userdata)
{
	struct mosquitto_evt_basic_auth *auth = data;
	struct plugin *plugin = userdata;
	struct iot_error err = IOT_ERROR_INIT;
	const char *id = mosquitto_client_id(auth->client), *address = mosquitto_client_address(auth->client);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) struct identity *identity = NULL;
	bool admin = address != NULL && strcmp(address, plugin->admin_socket) == 0;

	(void)event;
	if (id == NULL)
		return MOSQ_ERR_AUTH;
	if (!admin)
		identity = identify(plugin, auth, id, &cert, &err);
	if (is_known(plugin, auth->client, id, identity, admin))
		return stand(plugin, clients_find(&plugin->clients, auth->client));
	if (admin)
		return admit_admin(plugin, auth->client, id);
	if (plugin->closed)
		return MOSQ_ERR_AUTH;
	if (identity == NULL)
		return refuse_connect(plugin, id, NULL, err.what);
	return admit_device(plugin, auth->client, id, iot_take(identity), cert);
}

/* --- and go --------------------------------------------------------------------------- */

/* In the words of AWS IoT's lifecycle events ("disconnect reason" of the developer guide), as far as it is known. */
static const char *reason_of(const struct plugin *plugin, const struct client *client, int broker_reason)
{
	if (client->reason != NULL)
		return client->reason;
	if (clients_find_id(&plugin->clients, client->name) != NULL)
		return "DUPLICATE_CLIENTID";
	switch (broker_reason) {
	case MOSQ_ERR_SUCCESS:
		return "CLIENT_INITIATED_DISCONNECT";
	case MOSQ_ERR_KEEPALIVE:
		return "MQTT_KEEP_ALIVE_TIMEOUT";
	case MOSQ_ERR_CONN_LOST:
		return "CONNECTION_LOST";
	case MOSQ_ERR_PROTOCOL:
	case MOSQ_ERR_MALFORMED_PACKET:
		return "CLIENT_ERROR";
	default: /* brokers before 2.1 say nothing but -1 */
		return "UNKNOWN";
	}
}

static int on_disconnect(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_disconnect *gone = data;
	struct plugin *plugin = userdata;
	struct client *client = clients_find(&plugin->clients, gone->client);
	bool stays, superseded;

	(void)event;
	if (client == NULL || !client->connected)
		return MOSQ_ERR_SUCCESS; /* it was refused */
	/* Of an MQTT 5 session we are not told how long it stays. */
	stays = !mosquitto_client_clean_session(gone->client) || mosquitto_client_protocol_version(gone->client) >= 5;
	superseded = clients_find_id(&plugin->clients, client->name) != client;
	clients_leave(&plugin->clients, client, stays && !superseded);
	if (!client_is_admin(client))
		event_disconnected(&plugin->events, client, reason_of(plugin, client, gone->reason));
	return MOSQ_ERR_SUCCESS;
}

static int on_psk_key(int event, void *data, void *userdata)
{
	(void)event;
	return secret_hand_out(userdata, data);
}

/* --- what they do --------------------------------------------------------------------- */

/* Is it the broker that publishes for a client that goes or has gone? */
static bool is_will(const struct plugin *plugin, const struct client *client)
{
	return !client->connected || client->leaving || clients_find_id(&plugin->clients, client->name) != client;
}

static bool check_write(struct plugin *plugin, const struct mosquitto_evt_acl_check *check, struct client *client,
			struct denial *why)
{
	if (is_will(plugin, client))
		return decide_will(plugin, client, check->topic, check->payloadlen, check->qos, check->retain, why);
	return decide_publish(client, check->topic, check->payloadlen, check->qos, check->retain, why);
}

static bool check_access(struct plugin *plugin, const struct mosquitto_evt_acl_check *check, struct client *client,
			 struct denial *why)
{
	switch (check->access) {
	case MOSQ_ACL_READ:
		return decide_receive(client, check->topic, why);
	case MOSQ_ACL_SUBSCRIBE:
		return decide_subscribe(client, check->topic, why);
	default:
		return check_write(plugin, check, client, why);
	}
}

/* Who begins to listen for events hears at the next tick who is here already. */
static void announce(struct plugin *plugin)
{
	struct link *list = &plugin->clients.by_age;

	for (struct link *at = list->next; at != list; at = at->next) {
		const struct client *client = LINK_OWNER(at, struct client, age);

		if (client->connected)
			event_connected(&plugin->events, client, mosquitto_client_address(client->handle), true);
	}
}

/* At the next tick, when the subscription is made. */
static void tell_listens(struct plugin *plugin, struct client *client)
{
	client->listens = true;
	event_connected(&plugin->events, client, mosquitto_client_address(client->handle), true);
}

static int on_acl_check(int event, void *data, void *userdata)
{
	const struct mosquitto_evt_acl_check *check = data;
	struct plugin *plugin = userdata;
	struct client *client = clients_find(&plugin->clients, check->client);
	const char *id = mosquitto_client_id(check->client);
	struct denial why;
	bool admin = false;

	(void)event;
	if (client == NULL && check->access == MOSQ_ACL_READ) {
		client = session_revive(plugin, check->client, &admin);
		if (admin)
			return MOSQ_ERR_SUCCESS;
	}
	if (client == NULL || id == NULL || strcmp(id, client->id) != 0 || check->topic == NULL ||
	    (client->revived && check->access != MOSQ_ACL_READ))
		return MOSQ_ERR_ACL_DENIED;
	if (client_is_admin(client)) {
		if (check->access == MOSQ_ACL_SUBSCRIBE && iot_starts_with(check->topic, IOT_EVENT_PREFIX) &&
		    strcmp(check->topic, IOT_EVENT_PREFIX "denied") != 0)
			announce(plugin);
		return MOSQ_ERR_SUCCESS;
	}
	if (check->access == MOSQ_ACL_UNSUBSCRIBE)
		return MOSQ_ERR_SUCCESS;
	if (plugin->closed ||
	    (check->access != MOSQ_ACL_READ && check->access != MOSQ_ACL_SUBSCRIBE && check->access != MOSQ_ACL_WRITE))
		return MOSQ_ERR_ACL_DENIED;
	if (client->reason != NULL && !client->leaving && client->connected)
		return MOSQ_ERR_ACL_DENIED; /* on its way out */
	if (check->access == MOSQ_ACL_WRITE && client->authorised && bridge_is_order(client, check->topic) &&
	    !is_will(plugin, client))
		return bridge_order(plugin, client, check->topic, check->payload, check->payloadlen)
			       ? MOSQ_ERR_SUCCESS
			       : MOSQ_ERR_ACL_DENIED;
	if (check_access(plugin, check, client, &why)) {
		if (check->access == MOSQ_ACL_SUBSCRIBE && plugin->staging)
			tell_listens(plugin, client);
		return MOSQ_ERR_SUCCESS;
	}
	/* A gateway listens to a type of devices, and its policies pick its children out: others are nobody's fault. */
	if (check->access == MOSQ_ACL_READ && client->grant.ward_count > 0 && why.policy == NULL)
		return MOSQ_ERR_ACL_DENIED;
	if (client->reason == NULL && client->authorised)
		event_denied(&plugin->events, client, &why);
	if (check->access == MOSQ_ACL_WRITE && !is_will(plugin, client))
		watch_doom(plugin, client, "FORBIDDEN_ACCESS");
	return MOSQ_ERR_ACL_DENIED;
}

/* What has the shape of a state is heard whatever layouts say; the name is then the level before it. -1: it has not. */
static int name_level(const char *topic)
{
	int slashes = 0;

	if (!iot_ends_with(topic, "/state"))
		return -1;
	for (; *topic != '\0'; topic++)
		slashes += *topic == '/';
	return slashes - 1;
}

static int on_message(int event, void *data, void *userdata)
{
	struct mosquitto_evt_message *message = data;
	struct plugin *plugin = userdata;
	struct iot_error err = IOT_ERROR_INIT;
	const struct client *client;
	const char *ward;
	int level = -1;

	(void)event;
	if (!iot_starts_with(message->topic, "$aws/") && !iot_ends_with(message->topic, "/state") &&
	    !registry_is_heard(plugin->registry, message->topic, &level) && !properties_claim(message->properties))
		return MOSQ_ERR_SUCCESS;
	client = clients_find(&plugin->clients, message->client);
	if (client == NULL)
		return MOSQ_ERR_ACL_DENIED;
	if (client_is_admin(client))
		return MOSQ_ERR_SUCCESS;
	ward = grant_ward(&client->grant, message->topic, level >= 0 ? level : name_level(message->topic));
	if (properties_stamp(&message->properties, client, message->topic, ward, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "", &err);
		return MOSQ_ERR_ACL_DENIED;
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_control(int event, void *data, void *userdata)
{
	struct mosquitto_evt_control *control = data;
	struct plugin *plugin = userdata;
	struct iot_error err = IOT_ERROR_INIT;
	const struct client *client = clients_find(&plugin->clients, control->client);

	(void)event;
	if (client == NULL || !client_is_admin(client))
		return MOSQ_ERR_ACL_DENIED;
	if (control_run(plugin, control->payload, control->payloadlen, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "malformed message to " IOT_CONTROL_TOPIC ": ", &err);
		control->reason_code = MQTT_RC_IMPLEMENTATION_SPECIFIC;
	}
	return MOSQ_ERR_SUCCESS;
}

static int on_tick(int event, void *data, void *userdata)
{
	(void)event;
	(void)data;
	watch_tick(userdata);
	return MOSQ_ERR_SUCCESS;
}

/* --- entry points -------------------------------------------------------------------- */

static const struct {
	int event;
	MOSQ_FUNC_generic_callback handler;
	const char *data;
} handlers[] = {
	{MOSQ_EVT_BASIC_AUTH, on_basic_auth, NULL}, {MOSQ_EVT_ACL_CHECK, on_acl_check, NULL},
	{MOSQ_EVT_MESSAGE, on_message, NULL},       {MOSQ_EVT_CONTROL, on_control, IOT_CONTROL_TOPIC},
	{MOSQ_EVT_DISCONNECT, on_disconnect, NULL}, {MOSQ_EVT_TICK, on_tick, NULL},
	{MOSQ_EVT_PSK_KEY, on_psk_key, NULL},
};

static void log_to_broker(enum iot_log_level level, const char *line, void *data)
{
	static const int levels[] = {
		[IOT_LOG_ERROR] = MOSQ_LOG_ERR,     [IOT_LOG_WARNING] = MOSQ_LOG_WARNING,
		[IOT_LOG_NOTICE] = MOSQ_LOG_NOTICE, [IOT_LOG_INFO] = MOSQ_LOG_INFO,
		[IOT_LOG_DEBUG] = MOSQ_LOG_DEBUG,
	};

	(void)data;
	mosquitto_log_printf(levels[level], "iotctl: %s", line);
}

static void plugin_free(struct plugin *plugin)
{
	clients_release(&plugin->clients);
	events_release(&plugin->events);
	handshakes_release(&plugin->handshakes);
	registry_free(plugin->registry);
	free(plugin->admin_socket);
	free(plugin->ready_file);
	free(plugin->sealing_key);
	free(plugin->project);
	free(plugin);
}

static enum iot_status read_options(struct plugin *plugin, char **registry, const struct mosquitto_opt *options,
				    int count, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *role = NULL, *skew = NULL;
	const struct {
		const char *key;
		char **value;
		bool required;
	} known[] = {
		{IOT_PLUGIN_OPT_REGISTRY, registry, true},
		{IOT_PLUGIN_OPT_ADMIN_SOCKET, &plugin->admin_socket, true},
		{IOT_PLUGIN_OPT_READY, &plugin->ready_file, false},
		{IOT_PLUGIN_OPT_ROLE, &role, false},
		{IOT_PLUGIN_OPT_SEALING_KEY, &plugin->sealing_key, false},
		{IOT_PLUGIN_OPT_PROJECT, &plugin->project, false},
		{IOT_PLUGIN_OPT_TOKEN_SKEW, &skew, false},
	};

	for (int i = 0; i < count; i++) {
		size_t k = 0;

		while (k < IOT_LENGTH(known) && strcmp(known[k].key, options[i].key) != 0)
			k++;
		if (k == IOT_LENGTH(known))
			return iot_fail(err, IOT_SETTINGS, "unknown option 'plugin_opt_%s'", options[i].key);
		if (*known[k].value != NULL)
			return iot_fail(err, IOT_SETTINGS, "option 'plugin_opt_%s' is given twice", options[i].key);
		*known[k].value = iot_strdup(options[i].value == NULL ? "" : options[i].value);
	}
	for (size_t k = 0; k < IOT_LENGTH(known); k++)
		if (known[k].required && (*known[k].value == NULL || **known[k].value == '\0'))
			return iot_fail(err, IOT_SETTINGS, "option 'plugin_opt_%s' is missing", known[k].key);
	plugin->staging = role != NULL && strcmp(role, "staging") == 0;
	if (role != NULL && !plugin->staging && strcmp(role, "fleet") != 0)
		return iot_fail(err, IOT_SETTINGS, "option 'plugin_opt_role' is neither 'fleet' nor 'staging'");
	plugin->token_skew = IOT_JWT_SKEW;
	if (skew != NULL && iot_parse_int(skew, 0, IOT_JWT_LIFETIME_MAX, &plugin->token_skew, err) != IOT_OK)
		return IOT_SETTINGS;
	return IOT_OK;
}

static enum iot_status plugin_start(struct plugin *plugin, const struct mosquitto_opt *options, int count,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	enum iot_status status;
	int64_t last = 0;

	status = read_options(plugin, &path, options, count, err);
	/* Before the broker makes the contexts of its listeners. */
	if (status == IOT_OK && plugin->sealing_key != NULL)
		status = iot_tls_watch(err);
	if (status == IOT_OK)
		status = registry_open(path, &plugin->registry, err);
	if (status == IOT_OK)
		status = registry_last_connection(plugin->registry, &last, err);
	if (status != IOT_OK)
		return status;
	/* Grows over the life of the registry even if the clock went back. */
	plugin->next_connection = iot_now_ms();
	if (plugin->next_connection <= last)
		plugin->next_connection = last + 1;
	return IOT_OK;
}

static mosquitto_plugin_id_t *registered_as;

static void unregister_handlers(size_t count)
{
	for (size_t i = 0; i < count; i++)
		mosquitto_callback_unregister(registered_as, handlers[i].event, handlers[i].handler, handlers[i].data);
}

EXPORT int mosquitto_plugin_version(int supported_version_count, const int *supported_versions)
{
	for (int i = 0; i < supported_version_count; i++)
		if (supported_versions[i] == MOSQ_PLUGIN_VERSION)
			return MOSQ_PLUGIN_VERSION;
	return -1;
}

EXPORT int mosquitto_plugin_init(mosquitto_plugin_id_t *identifier, void **userdata, struct mosquitto_opt *options,
				 int option_count)
{
	struct plugin *plugin = iot_alloc(sizeof(*plugin));
	struct iot_error err = IOT_ERROR_INIT;

	iot_log_set_sink(log_to_broker, NULL);
	clients_init(&plugin->clients);
	events_init(&plugin->events);
	handshakes_init(&plugin->handshakes);
	plugin->next_expiry = INT64_MAX;
	if (plugin_start(plugin, options, option_count, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_ERROR, "", &err);
		plugin_free(plugin);
		return MOSQ_ERR_UNKNOWN;
	}
	registered_as = identifier;
	for (size_t i = 0; i < IOT_LENGTH(handlers); i++) {
		if (mosquitto_callback_register(identifier, handlers[i].event, handlers[i].handler, handlers[i].data,
						plugin) == MOSQ_ERR_SUCCESS)
			continue;
		iot_log(IOT_LOG_ERROR, "the broker does not raise event %d", handlers[i].event);
		unregister_handlers(i);
		plugin_free(plugin);
		return MOSQ_ERR_NOT_SUPPORTED;
	}
	*userdata = plugin;
	return MOSQ_ERR_SUCCESS;
}

EXPORT int mosquitto_plugin_cleanup(void *userdata, struct mosquitto_opt *options, int option_count)
{
	(void)options;
	(void)option_count;
	unregister_handlers(IOT_LENGTH(handlers));
	if (userdata != NULL)
		plugin_free(userdata);
	iot_log_set_sink(NULL, NULL);
	return MOSQ_ERR_SUCCESS;
}
