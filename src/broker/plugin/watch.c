/*
 * What happens between the broker's events: connections that are to end are ended,
 * the registry is looked at, and records that it has changed under are read and
 * judged again, a slice at a time, so that the broker is never kept for long.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

/* Reading records again: so long at a time, with as long a pause after it. */
#define SLICE_MS 50

void watch_doom(struct plugin *plugin, struct client *client, const char *reason)
{
	if (!client->connected || client->reason != NULL)
		return;
	client->reason = reason;
	link_append(&plugin->clients.doomed, &client->state);
}

static void cut_doomed(struct plugin *plugin)
{
	while (!link_empty(&plugin->clients.doomed)) {
		struct client *client = LINK_OWNER(plugin->clients.doomed.next, struct client, state);

		link_remove(&client->state);
		client->leaving = true;
		mosquitto_kick_client_by_clientid(client->id, true);
		/* The broker raised DISCONNECT for it meanwhile, unless it did not know it at all. */
		if (client->connected) {
			if (!client_is_admin(client))
				event_disconnected(&plugin->events, client, client->reason);
			clients_leave(&plugin->clients, client, false);
		}
	}
}

static void report_connect(struct plugin *plugin, struct client *client, const char *reason)
{
	struct denial denial = {.client_id = client->id,
				.certificate_id = identity_certificate(client->identity),
				.thing = client_thing(client),
				.action = iot_policy_action_name(IOT_POLICY_CONNECT),
				.kind = "client/",
				.resource = client->name};

	snprintf(denial.reason, sizeof(denial.reason), "%s", reason);
	event_denied(&plugin->events, client, &denial);
}

/* --- certificates and tokens end -------------------------------------------------------------- */

void watch_expiry(struct plugin *plugin, const struct client *client)
{
	if (client->grant.not_after < plugin->next_expiry)
		plugin->next_expiry = client->grant.not_after;
	for (size_t i = 0; i < client->child_count; i++)
		if (client->children[i].grant.not_after < plugin->next_expiry)
			plugin->next_expiry = client->children[i].grant.not_after;
}

static void end_expired(struct plugin *plugin)
{
	struct link *list = &plugin->clients.by_age;
	int64_t now = iot_now_ms();

	if (now < plugin->next_expiry)
		return;
	plugin->next_expiry = INT64_MAX;
	for (struct link *at = list->next; at != list; at = at->next) {
		struct client *client = LINK_OWNER(at, struct client, age);

		if (!client->connected || !client->authorised)
			continue;
		if (client->grant.not_after > now) {
			bridge_end_expired(client, now);
			watch_expiry(plugin, client);
			continue;
		}
		client->authorised = false;
		report_connect(plugin, client,
			       client->identity->kind == IDENTITY_TOKEN ? "the token has expired"
									: "the certificate has expired");
		watch_doom(plugin, client, "AUTH_ERROR");
	}
}

/* --- the registry has changed ------------------------------------------------------ */

static void judge_again(struct plugin *plugin, struct client *client)
{
	struct denial why;

	client->authorised = true;
	if (!client->connected)
		return;
	watch_expiry(plugin, client);
	if (decide_connect(client, &why))
		return;
	client->authorised = false;
	event_denied(&plugin->events, client, &why);
	watch_doom(plugin, client, "AUTH_ERROR");
}

/* Its grant as it is now, in place of the one it had. A module in staging keeps its own while it may be there. */
static enum iot_status renew_grant(const struct plugin *plugin, struct client *client, struct iot_error *err)
{
	const char *certificate_id = client->identity->certificate_id;
	struct grant grant;
	bool known;
	enum iot_status status;

	if (client->grant.birth != NULL)
		return registry_status(plugin->registry, certificate_id, &known, err);
	status = client->identity->kind == IDENTITY_CERTIFICATE
			 ? registry_read(plugin->registry, certificate_id, client->name, &grant, err)
			 : identity_grant(plugin->registry, client->identity, client->name, &grant, err);
	if (status == IOT_OK) {
		grant_release(&client->grant);
		client->grant = grant;
	}
	return status;
}

static enum iot_status read_again(struct plugin *plugin, struct client *client, struct iot_error *err)
{
	enum iot_status status = renew_grant(plugin, client, err);

	if (status == IOT_OK)
		status = bridge_read_again(plugin, client, err);
	if (status != IOT_OK && status != IOT_DENIED)
		return status;
	if (status == IOT_OK) {
		judge_again(plugin, client);
	} else { /* what it had is kept for the last words about it; nothing is allowed any more */
		if (client->authorised && client->connected)
			report_connect(plugin, client, err->what);
		client->authorised = false;
		watch_doom(plugin, client, "AUTH_ERROR");
	}
	client->generation = registry_generation(plugin->registry);
	link_append(&plugin->clients.by_age, &client->age);
	return IOT_OK;
}

/* The record that was read longest ago, if that was before the registry changed. */
static struct client *first_stale(const struct plugin *plugin)
{
	const struct link *list = &plugin->clients.by_age;
	struct client *client;

	if (link_empty(list))
		return NULL;
	client = LINK_OWNER(list->next, struct client, age);
	return client->generation == registry_generation(plugin->registry) ? NULL : client;
}

static enum iot_status reload_slice(struct plugin *plugin, struct iot_error *err)
{
	int64_t end = iot_monotonic_ms() + SLICE_MS;
	struct client *client = first_stale(plugin);
	enum iot_status status;

	if (client == NULL)
		return IOT_OK;
	status = registry_begin(plugin->registry, err);
	if (status != IOT_OK)
		return status;
	while (client != NULL && status == IOT_OK && iot_monotonic_ms() < end) {
		status = read_again(plugin, client, err);
		client = first_stale(plugin);
	}
	registry_end(plugin->registry);
	if (client == NULL)
		registry_sweep(plugin->registry);
	plugin->next_reload = iot_monotonic_ms() + SLICE_MS;
	return status;
}

/* --- the registry cannot be read --------------------------------------------------- */

static void close_all(struct plugin *plugin)
{
	struct link *list = &plugin->clients.by_age;

	iot_log(IOT_LOG_ERROR, "the registry has been unreadable for %d ms: nothing is allowed until it is back",
		PLUGIN_UNREADABLE_MS);
	plugin->closed = true;
	for (struct link *at = list->next; at != list; at = at->next)
		watch_doom(plugin, LINK_OWNER(at, struct client, age), "SERVER_ERROR");
}

static void note_reading(struct plugin *plugin, enum iot_status status, const struct iot_error *err)
{
	int64_t now = iot_monotonic_ms();

	if (status == IOT_AGAIN) /* busy: neither readable nor not */
		return;
	if (status != IOT_OK && plugin->failing_since == 0) {
		plugin->failing_since = now;
		iot_log_error(IOT_LOG_ERROR, "", err);
	} else if (status != IOT_OK && !plugin->closed && now - plugin->failing_since >= PLUGIN_UNREADABLE_MS) {
		close_all(plugin);
	} else if (status == IOT_OK && plugin->failing_since != 0) {
		plugin->failing_since = 0;
		plugin->closed = false;
		iot_notice("the registry can be read again");
	}
}

static void look_at_registry(struct plugin *plugin)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t now = iot_monotonic_ms();
	enum iot_status status;

	if (now >= plugin->next_refresh) {
		plugin->next_refresh = now + PLUGIN_REFRESH_MS;
		status = registry_refresh(plugin->registry, &err);
		if (status == IOT_OK)
			status = reload_slice(plugin, &err);
		note_reading(plugin, status, &err);
		end_expired(plugin);
	} else if (plugin->failing_since == 0 && now >= plugin->next_reload && first_stale(plugin) != NULL) {
		status = reload_slice(plugin, &err);
		if (status != IOT_OK)
			note_reading(plugin, status, &err);
	}
}

static void tell_ready(struct plugin *plugin)
{
	struct iot_error err = IOT_ERROR_INIT;

	plugin->ready = true;
	if (plugin->ready_file != NULL && iot_fs_write(plugin->ready_file, 0600, "ready\n", 6, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
}

void watch_tick(struct plugin *plugin)
{
	clients_bury(&plugin->clients);
	secrets_sweep(plugin);
	cut_doomed(plugin);
	look_at_registry(plugin);
	cut_doomed(plugin);
	events_flush(&plugin->events);
	if (!plugin->ready)
		tell_ready(plugin);
}
