/*
 * What the plugin tells the outside: presence and denials as JSON on topics that
 * only the fleet's own user can receive, and denials in the broker's log. Events
 * wait in a queue for the next tick; presence is never dropped (one entry per
 * connection that came or went), denials are, beyond a bound.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/broker.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/log.h"

#include <string.h>

/* Log lines about denials: so many at once, and so many a second after that. */
#define LOG_BURST 100
#define LOG_PER_SECOND 20
/* The same denial of the same client is reported once in that time. */
#define REPEAT_S 10
/* Of a resource: longer ones are shown cut. */
#define RESOURCE_SHOWN 256

struct event {
	struct link link;
	const char *topic;
	char *payload;
	bool denial;
};

void events_init(struct events *events)
{
	*events = (struct events){.log_tokens = LOG_BURST, .log_time = iot_monotonic_ms()};
	link_init(&events->queue);
}

static void drop_first(struct events *events)
{
	struct event *event = LINK_OWNER(events->queue.next, struct event, link);

	link_remove(&event->link);
	if (event->denial)
		events->denied--;
	free(event->payload);
	free(event);
}

void events_release(struct events *events)
{
	while (!link_empty(&events->queue))
		drop_first(events);
}

/* Takes the object over. */
static void enqueue(struct events *events, const char *topic, json_t *object)
{
	struct event *event = iot_alloc(sizeof(*event));

	iot_json_set_int(object, "timestamp", iot_now_ms());
	event->topic = topic;
	event->payload = iot_json_text(object);
	json_decref(object);
	link_init(&event->link);
	link_append(&events->queue, &event->link);
}

void event_connected(struct events *events, const struct client *client, const char *address, bool known)
{
	json_t *object = json_object();

	iot_json_set_str(object, "clientId", client->name);
	iot_json_set_int(object, "connection", client->connection);
	iot_json_set_str(object, "thingName", client_thing(client));
	iot_json_set_str(object, "certificateId", identity_certificate(client->identity));
	iot_json_set_str(object, "address", address == NULL ? "" : address);
	if (known)
		iot_json_set_bool(object, "known", true);
	iot_json_set_str(object, "certificatePem", client->grant.birth);
	if (client->grant.birth != NULL)
		iot_json_set_bool(object, "listens", client->listens);
	enqueue(events, IOT_EVENT_PREFIX "connected", object);
}

void event_disconnected(struct events *events, const struct client *client, const char *reason)
{
	json_t *object = json_object();

	iot_json_set_str(object, "clientId", client->name);
	iot_json_set_int(object, "connection", client->connection);
	iot_json_set_str(object, "thingName", client_thing(client));
	iot_json_set_str(object, "reason", reason);
	iot_json_set_str(object, "certificateId", identity_certificate(client->identity));
	enqueue(events, IOT_EVENT_PREFIX "disconnected", object);
}

/* --- denials ---------------------------------------------------------------------- */

/* kind and resource as one text, cut to what is shown, between characters. */
static void resource_text(const struct denial *denial, char out[RESOURCE_SHOWN + 32])
{
	size_t kind = strlen(denial->kind), len = strnlen(denial->resource, RESOURCE_SHOWN + 1);

	memcpy(out, denial->kind, kind);
	if (len > RESOURCE_SHOWN) {
		len = RESOURCE_SHOWN - 3;
		while (len > 0 && ((unsigned char)denial->resource[len] & 0xc0) == 0x80)
			len--;
		memcpy(out + kind, denial->resource, len);
		memcpy(out + kind + len, "...", 4);
		return;
	}
	memcpy(out + kind, denial->resource, len + 1);
}

/* Who decided: "policy 'device' statement 2 (NoSecrets)", or the reason alone. */
static void decider_text(const struct denial *denial, char *out, size_t size)
{
	if (denial->policy == NULL)
		snprintf(out, size, "%s", denial->reason);
	else
		snprintf(out, size, "policy '%s' statement %u%s%s%s", denial->policy, denial->statement,
			 denial->sid == NULL ? "" : " (", denial->sid == NULL ? "" : denial->sid,
			 denial->sid == NULL ? "" : ")");
}

static bool log_allowed(struct events *events)
{
	int64_t now = iot_monotonic_ms();

	events->log_tokens += (double)(now - events->log_time) * LOG_PER_SECOND / 1000;
	events->log_time = now;
	if (events->log_tokens > LOG_BURST)
		events->log_tokens = LOG_BURST;
	if (events->log_tokens < 1) {
		events->log_held++;
		return false;
	}
	events->log_tokens -= 1;
	return true;
}

static void log_denial(struct events *events, const struct denial *denial, const char *resource)
{
	char decider[640];

	if (!log_allowed(events))
		return;
	if (events->log_held > 0)
		iot_warn("%llu more denials were not logged", (unsigned long long)events->log_held);
	events->log_held = 0;
	decider_text(denial, decider, sizeof(decider));
	iot_warn("denied: client '%s' (certificate %s) %s on '%s': %s", denial->client_id,
		 denial->certificate_id == NULL ? "none" : denial->certificate_id, denial->action, resource, decider);
}

static bool is_repeated(struct client *client, const struct denial *denial)
{
	uint32_t hash = UINT32_C(2166136261), now = (uint32_t)(iot_monotonic_ms() / 1000);
	const char *parts[] = {denial->action, denial->resource};

	for (size_t i = 0; i < IOT_LENGTH(parts); i++)
		for (const char *at = parts[i]; *at != '\0'; at++)
			hash = (hash ^ (unsigned char)*at) * UINT32_C(16777619);
	if (client->denied_hash == hash && now - client->denied_at_s < REPEAT_S)
		return true;
	client->denied_hash = hash;
	client->denied_at_s = now;
	return false;
}

void event_denied(struct events *events, struct client *client, const struct denial *denial)
{
	char resource[RESOURCE_SHOWN + 32];
	json_t *object;

	if (client != NULL && is_repeated(client, denial))
		return;
	resource_text(denial, resource);
	log_denial(events, denial, resource);
	if (events->denied == EVENTS_DENIED_MAX) {
		events->denied_lost++;
		return;
	}
	object = json_object();
	iot_json_set_str(object, "clientId", denial->client_id);
	iot_json_set_str(object, "thingName", denial->thing);
	iot_json_set_str(object, "certificateId", denial->certificate_id);
	iot_json_set_str(object, "action", denial->action);
	iot_json_set_str(object, "resource", resource);
	iot_json_set_str(object, "policy", denial->policy);
	if (denial->policy != NULL)
		iot_json_set_int(object, "statement", denial->statement);
	iot_json_set_str(object, "sid", denial->policy != NULL ? denial->sid : NULL);
	iot_json_set_str(object, "reason", denial->reason);
	enqueue(events, IOT_EVENT_PREFIX "denied", object);
	LINK_OWNER(events->queue.prev, struct event, link)->denial = true;
	events->denied++;
}

void events_flush(struct events *events)
{
	if (events->denied_lost > 0)
		iot_warn("%llu denial events were dropped", (unsigned long long)events->denied_lost);
	events->denied_lost = 0;
	while (!link_empty(&events->queue)) {
		const struct event *event = LINK_OWNER(events->queue.next, struct event, link);
		size_t len = strlen(event->payload); /* NOLINT(clang-analyzer-unix.Malloc): a freed one is unlinked */

		if (mosquitto_broker_publish_copy(NULL, event->topic, (int)len, event->payload, 1, false, NULL) !=
		    MOSQ_ERR_SUCCESS)
			iot_warn("cannot publish an event on '%s'", event->topic);
		drop_first(events);
	}
}
