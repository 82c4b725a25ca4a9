/*
 * Sessions that the broker kept over its own restart. It knows them by client id and by the user name that we gave
 * them, and asks whether they may have a message before their clients have come back: we have no record of them then,
 * and without one nothing would be kept for them until they return.
 *
 * Such a client gets a record as of one that is away, from the registry: under a user name that is a certificate id it
 * is that certificate's, under one that is its client id it is a thing's, with the certificate that was seen last under
 * that id. That may be another one than the session's own, if the end was not orderly. It is safe all the same: all
 * that is allowed here is to keep a message that this certificate's policies let this client receive, and the broker
 * asks again for each kept message when the client comes back, with the certificate that it then shows.
 *
 * In doubt there is no: a client without a certificate that is ACTIVE and attached, or whose policies do not let it
 * connect, has a record that allows nothing, and so is not looked up again for every message.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/topic.h"

#include <string.h>

/* The broker has one thread: so long of each second may be spent here. What comes beyond that is not kept. */
#define SPEND_MS 250
#define WINDOW_MS 1000

static bool may_spend(struct plugin *plugin, int64_t now)
{
	if (now - plugin->revive_since >= WINDOW_MS) {
		plugin->revive_since = now;
		plugin->revive_spent = 0;
	}
	return plugin->revive_spent < SPEND_MS;
}

static bool is_certificate_id(const char *text)
{
	size_t len = strlen(text);

	return len == IOT_SHA256_HEX_SIZE - 1 && strspn(text, "0123456789abcdef") == len;
}

/* IOT_DENIED: it has no certificate, or none that gives it anything. *ret_cert may be set then. */
static enum iot_status read_owner(struct plugin *plugin, const char *id, const char *user, struct iot_cert **ret_cert,
				  struct grant *ret, struct iot_error *err)
{
	bool thing = strcmp(user, id) == 0;
	enum iot_status status = thing ? registry_last_certificate(plugin->registry, id, ret_cert, err)
				       : registry_certificate(plugin->registry, user, ret_cert, err);

	if (status != IOT_OK)
		return status;
	if (*ret_cert == NULL)
		return iot_fail(err, IOT_DENIED, "it has no certificate");
	status = registry_read(plugin->registry, iot_cert_id(*ret_cert), id, ret, err);
	if (status != IOT_OK || ret->is_thing == thing)
		return status;
	grant_release(ret);
	return iot_fail(err, IOT_DENIED, "it is not the same client any more");
}

/* An identity that matches nothing, but is none of the fleet's own user either. */
static struct identity *nobody(void)
{
	struct identity *identity = iot_alloc(sizeof(*identity));

	identity->serial = "";
	return identity;
}

static struct client *add_away(struct plugin *plugin, struct mosquitto *handle, const char *id,
			       const struct iot_cert *cert, const struct grant *grant)
{
	struct client *client = clients_add(&plugin->clients, handle, id, cert != NULL ? identity_new(cert) : nobody());
	struct denial why;

	client->persistent = true;
	client->revived = true;
	client->generation = registry_generation(plugin->registry);
	client->authorised = grant != NULL;
	if (grant != NULL) {
		client->grant = *grant;
		client->authorised = decide_connect(client, &why);
	}
	clients_leave(&plugin->clients, client, true);
	return client;
}

static struct client *look_up(struct plugin *plugin, struct mosquitto *handle, const char *id, const char *user)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct grant grant = {0};
	enum iot_status status = registry_begin(plugin->registry, &err);

	if (status != IOT_OK)
		return NULL;
	status = read_owner(plugin, id, user, &cert, &grant, &err);
	registry_end(plugin->registry);
	if (status == IOT_OK)
		return add_away(plugin, handle, id, cert, &grant);
	if (status == IOT_DENIED)
		return add_away(plugin, handle, id, cert, NULL);
	if (status != IOT_AGAIN)
		registry_suspect(plugin->registry);
	return NULL;
}

struct client *session_revive(struct plugin *plugin, struct mosquitto *handle, bool *ret_admin)
{
	const char *id = mosquitto_client_id(handle), *user = mosquitto_client_username(handle);
	int64_t now = iot_monotonic_ms();
	struct client *client;

	*ret_admin = false;
	/* Whoever is connected was asked who it is, and has a record or was refused. */
	if (id == NULL || user == NULL || mosquitto_client_address(handle) != NULL)
		return NULL;
	/* A device's user name is its client id or a certificate id: this one can only come from the admin socket. */
	*ret_admin = strcmp(user, ADMIN_NAME) == 0 && strcmp(id, ADMIN_NAME) != 0;
	if (*ret_admin || plugin->staging || plugin->closed || plugin->failing_since != 0)
		return NULL;
	if ((strcmp(user, id) != 0 && !is_certificate_id(user)) ||
	    iot_client_id_check(id, strlen(id), NULL) != IOT_OK || !may_spend(plugin, now))
		return NULL;
	client = look_up(plugin, handle, id, user);
	plugin->revive_spent += iot_monotonic_ms() - now;
	return client;
}
