/*
 * What the files of the broker plugin share. The plugin lives in mosquitto's one
 * thread: events come in (plugin.c), are decided from memory (decide.c) by the
 * record of the client (clients.c), which was read from the registry when it
 * connected (registry.c); what the broker is to do later (disconnect, publish) waits
 * for the next tick (watch.c, events.c).
 */
#ifndef IOTCTL_BROKER_PLUGIN_H
#define IOTCTL_BROKER_PLUGIN_H

#include "iotctl/cert.h"
#include "iotctl/digest.h"
#include "iotctl/error.h"
#include "iotctl/policy.h"
#include "iotctl/store.h"

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

#include <stdint.h>
#include <sys/types.h>

/* --- intrusive lists --------------------------------------------------------- */

struct link {
	struct link *prev, *next;
};

static inline void link_init(struct link *link)
{
	link->prev = link->next = link;
}

static inline bool link_empty(const struct link *list)
{
	return list->next == list;
}

/* Out of the list it is in, if any. */
static inline void link_remove(struct link *link)
{
	link->prev->next = link->next; /* NOLINT(clang-analyzer-unix.Malloc): a freed one was unlinked */
	link->next->prev = link->prev;
	link_init(link);
}

/* To the end of a list, out of the one it was in. */
static inline void link_append(struct link *list, struct link *link)
{
	link_remove(link);
	link->prev = list->prev;
	link->next = list;
	list->prev->next = link;
	list->prev = link;
}

#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* --- what the registry says (registry.c) ------------------------------------- */

struct registry;
struct document;

/* What one certificate, presented under one client id, is given. Zeroed: nothing. */
struct grant {
	int64_t not_after;  /* ms since the epoch */
	bool is_thing;      /* the client id is the name of a thing attached to the certificate */
	char *thing_type;   /* NULL: none */
	json_t *attributes; /* NULL: none */
	char *birth;        /* in staging: the certificate as PEM, and staging_allows() stands for policies; else NULL */
	size_t count;
	const struct iot_policy **policies; /* compiled, shared between clients */
	struct document **documents;        /* the same, with their names */
};

/* Open and read once. Fails as iot_store_open does. */
IOT_CHECK enum iot_status registry_open(const char *path, struct registry **ret, struct iot_error *err);
void registry_free(struct registry *registry);

/*
 * See whether anything that access is decided by has changed; registry_generation() grows then. Cheap when nothing
 * has. A file that was replaced is opened anew. IOT_AGAIN: busy; anything else: it cannot be read.
 */
IOT_CHECK enum iot_status registry_refresh(struct registry *registry, struct iot_error *err);
int64_t registry_generation(const struct registry *registry);
/* A read failed: let the generation grow at the next refresh, so that every record is read again. */
void registry_suspect(struct registry *registry);
/*
 * Is it a topic on which services must know who says what (table topics)? *ret_thing_level: which of its levels must
 * then be the thing's name, -1 if none is; by several filters the strictest. From memory.
 */
bool registry_is_heard(const struct registry *registry, const char *topic, int *ret_thing_level);
/* Drop compiled policies that no grant uses. */
void registry_sweep(struct registry *registry);
size_t registry_document_count(const struct registry *registry);

/* Readings between these two see one state of the registry. */
IOT_CHECK enum iot_status registry_begin(struct registry *registry, struct iot_error *err);
void registry_end(struct registry *registry);
/*
 * Read the grant of a certificate under a client id. IOT_DENIED: it has none, and why (unknown, not ACTIVE, expired, a
 * policy that does not parse). IOT_AGAIN: busy. Anything else: the registry cannot be read. *ret is overwritten on
 * success; release it with grant_release(). Between registry_begin() and registry_end().
 */
IOT_CHECK enum iot_status registry_read(struct registry *registry, const char *certificate_id, const char *client_id,
					struct grant *ret, struct iot_error *err);
void grant_release(struct grant *grant);
/* *ret_known: is the certificate registered? IOT_DENIED if it is and not ACTIVE. IOT_AGAIN and others as above. */
IOT_CHECK enum iot_status registry_status(struct registry *registry, const char *certificate_id, bool *ret_known,
					  struct iot_error *err);
/* Did a registered CA that is ACTIVE issue it? IOT_DENIED if none did. IOT_AGAIN and others as above. */
IOT_CHECK enum iot_status registry_issuer(struct registry *registry, const struct iot_cert *cert, struct iot_error *err);
/* The name of the policy at an index of the grant. Borrowed. */
const char *grant_policy_name(const struct grant *grant, size_t index);
/*
 * The certificate that was seen last under a client id (table presence), as it is registered; NULL when there is none
 * or it is not registered. IOT_AGAIN and others as above. Free with iot_cert_free().
 */
IOT_CHECK enum iot_status registry_last_certificate(struct registry *registry, const char *client_id,
						    struct iot_cert **ret, struct iot_error *err);
/* A registered certificate by its id; the same otherwise. */
IOT_CHECK enum iot_status registry_certificate(struct registry *registry, const char *certificate_id,
					       struct iot_cert **ret, struct iot_error *err);
/* The largest connection number that was given so far, 0 if none. */
IOT_CHECK enum iot_status registry_last_connection(struct registry *registry, int64_t *ret, struct iot_error *err);

/* --- clients (clients.c) ------------------------------------------------------- */

/* What the client's certificate says, as policies see it. One block of memory. */
struct identity {
	char certificate_id[IOT_SHA256_HEX_SIZE];
	const char *serial;
	size_t field_count;
	struct iot_policy_field fields[];
};

/* New memory; free with free(). */
struct identity *identity_new(const struct iot_cert *cert);

/* One connection, or the session that a persistent one left behind. */
struct client {
	struct client *next_by_handle, *next_by_id;
	struct link age;   /* clients.by_age, devices only: the record that was read longest ago first */
	struct link state; /* clients.doomed, .gone or .offline */
	struct mosquitto *handle;
	char *id;
	struct identity *identity; /* NULL: the fleet's own user */
	struct grant grant;
	int64_t connection;
	int64_t generation;   /* of the registry, when the grant was read */
	const char *reason;   /* why we end the connection, in the words of AWS IoT's lifecycle events */
	uint32_t denied_hash; /* the denial that was reported last, so that a repeated one is not */
	uint32_t denied_at_s;
	bool connected;
	bool authorised; /* false: nothing is allowed any more */
	bool leaving;    /* we are disconnecting it right now */
	bool listens;    /* in staging: it has subscribed, or its session has */
	bool persistent; /* the session is to outlive the connection */
	bool offline;    /* in clients.offline */
	bool revived;    /* of a session from before the broker's start: may have messages kept, nothing else */
};

struct clients {
	struct client **by_handle, **by_id;
	size_t buckets, count, connected; /* connected: devices only */
	struct link by_age, doomed, gone, offline;
	size_t offline_count;
};

/* Sessions of clients that are away whose records are kept; the oldest goes first. */
#define CLIENTS_OFFLINE_MAX 10000

void clients_init(struct clients *clients);
void clients_release(struct clients *clients);
/* A new record, connected; identity is taken over. */
struct client *clients_add(struct clients *clients, struct mosquitto *handle, const char *id,
			   struct identity *identity);
void clients_remove(struct clients *clients, struct client *client);
struct client *clients_find(const struct clients *clients, const struct mosquitto *handle);
/* The newest connected one of that client id, or NULL. */
struct client *clients_find_id(const struct clients *clients, const char *id);
/* It is disconnected: keep the record as long as the broker may ask for it. */
void clients_leave(struct clients *clients, struct client *client, bool session_stays);
/* Records of earlier sessions under the client's id are of no more use. */
void clients_supersede(struct clients *clients, struct client *client);
/* Free what has gone. */
void clients_bury(struct clients *clients);

static inline bool client_is_admin(const struct client *client)
{
	return client->identity == NULL;
}

static inline const char *client_thing(const struct client *client)
{
	return client->grant.is_thing ? client->id : NULL;
}

/* --- events out (events.c) --------------------------------------------------- */

struct denial {
	const char *client_id;
	const char *certificate_id; /* NULL: none */
	const char *thing;          /* NULL: none */
	const char *action;         /* "iot:Publish" */
	const char *kind;           /* "topic/" */
	const char *resource;       /* what comes after kind */
	const char *policy;         /* whose statement decided; NULL: none did */
	unsigned statement;
	const char *sid;
	char reason[512]; /* in words */
};

struct events {
	struct link queue;
	size_t denied;     /* of the queue */
	double log_tokens; /* log lines that may be written now */
	int64_t log_time;  /* monotonic ms of the last refill */
	uint64_t log_held; /* lines not written since the last one */
	uint64_t denied_lost;
};

#define EVENTS_DENIED_MAX 1000

void events_init(struct events *events);
void events_release(struct events *events);
/* known: it was there before; somebody else is told now. */
void event_connected(struct events *events, const struct client *client, const char *address, bool known);
void event_disconnected(struct events *events, const struct client *client, const char *reason);
/* A log line and an event; client may be NULL (there is no record yet). */
void event_denied(struct events *events, struct client *client, const struct denial *denial);
/* Publish what waits. */
void events_flush(struct events *events);

/* --- the plugin ---------------------------------------------------------------- */

struct plugin {
	char *admin_socket;
	bool staging; /* the role */
	char *ready_file; /* NULL: none is wanted */
	struct registry *registry;
	struct clients clients;
	struct events events;
	int64_t next_connection;
	int64_t next_refresh;  /* monotonic ms */
	int64_t next_reload;   /* monotonic ms */
	int64_t failing_since; /* monotonic ms; 0: the registry can be read */
	int64_t next_expiry;   /* wall-clock ms: no certificate of a connected client ends before */
	bool closed;           /* it could not be read for too long: nothing is allowed */
	int64_t revive_since, revive_spent; /* sessions.c: monotonic ms, and ms since then */
	bool ready;
};

/* What the broker shows as the user name of the fleet's own user. */
#define ADMIN_NAME "iotctl"

/* How often the registry is looked at, and how long it may be unreadable. */
#define PLUGIN_REFRESH_MS 200
#define PLUGIN_UNREADABLE_MS 2000

/* decide.c: false when refused, and *why is filled then; it borrows from its arguments. */
bool decide_connect(const struct client *client, struct denial *why);
bool decide_publish(const struct client *client, const char *topic, uint32_t payload_len, int qos, bool retain,
		    struct denial *why);
/*
 * The client's last will: a publish that carries no word of who sends it (no MESSAGE event is raised for it). So to a
 * topic that services hear it goes only if that names the client's thing.
 */
bool decide_will(const struct plugin *plugin, const struct client *client, const char *topic, uint32_t payload_len,
		 int qos, bool retain, struct denial *why);
bool decide_subscribe(const struct client *client, const char *filter, struct denial *why);
bool decide_receive(const struct client *client, const char *topic, struct denial *why);

/*
 * staging.c: the grant of a module that shows its birth certificate, registered or not. IOT_DENIED: it gets none, and
 * why; other faults as registry_read()'s. Between registry_begin() and registry_end().
 */
IOT_CHECK enum iot_status staging_admit(struct registry *registry, const struct iot_cert *cert, const char *client_id,
					struct grant *ret, struct iot_error *err);
/* What a module may do there: hear of its endpoint, and publish under its own name. */
bool staging_allows(const struct client *client, enum iot_policy_action action, const char *resource);

/* watch.c: the connection ends at the next tick. reason is a constant. */
void watch_doom(struct plugin *plugin, struct client *client, const char *reason);
/* Take a new certificate's end into account. */
void watch_expiry(struct plugin *plugin, const struct client *client);
/* What a tick does. */
void watch_tick(struct plugin *plugin);

/* control.c: carry out one message to IOT_CONTROL_TOPIC. IOT_USAGE: malformed, nothing was done. */
IOT_CHECK enum iot_status control_run(struct plugin *plugin, const void *payload, size_t len, struct iot_error *err);

/*
 * sessions.c: the broker asks about a client that it knows from before it was started: a session that it kept. Its
 * record, as of one that is away; NULL: there is none, or not now, and nothing is allowed to it. Admins are told apart
 * by *ret_admin.
 */
struct client *session_revive(struct plugin *plugin, struct mosquitto *handle, bool *ret_admin);

/* Does the list have properties that are ours to set? */
bool properties_claim(const mosquitto_property *properties);
/*
 * properties.c: take out of *properties the user properties that are ours to set, and add the client's. *properties is
 * replaced and the old list freed; untouched on failure.
 */
IOT_CHECK enum iot_status properties_stamp(mosquitto_property **properties, const struct client *client,
					   struct iot_error *err);

#endif
