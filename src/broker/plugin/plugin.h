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
#include "iotctl/psk.h"
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

/* What one certificate, secret or token, presented under one client id, is given. Zeroed: nothing. */
struct grant {
	int64_t not_after;  /* ms since the epoch */
	bool is_thing;      /* the client id is the name of a thing attached to the certificate, or whose secret it is */
	char *thing_type;   /* NULL: none */
	json_t *attributes; /* NULL: none */
	char **wards;       /* of a gateway: the things that the registry names its children, sorted */
	size_t ward_count;
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
/*
 * The same of a thing that showed a secret or a token: the policies of the groups it is in, and of their parents. An
 * end is for the caller to set.
 */
IOT_CHECK enum iot_status registry_read_thing(struct registry *registry, const char *thing, const char *client_id,
					      struct grant *ret, struct iot_error *err);
/* Is `key_id` still a key of the thing? Until when, in *ret_until (INT64_MAX: for good). IOT_DENIED: it is not. */
IOT_CHECK enum iot_status registry_device_key(struct registry *registry, const char *thing, const char *key_id,
					      int64_t *ret_until, struct iot_error *err);
/* Is the thing's attribute "gateway" the name of this one? */
IOT_CHECK enum iot_status registry_is_bound(struct registry *registry, const char *thing, const char *gateway,
					    bool *ret, struct iot_error *err);
/* For the look-ups of psk.h. Borrowed; IOT_FAILURE: it cannot be read. */
IOT_CHECK enum iot_status registry_store(struct registry *registry, struct iot_store **ret, struct iot_error *err);
void grant_release(struct grant *grant);
/* Which of the gateway's children a topic is of, by the level of it that is a thing's name (-1: none). NULL: of none. */
const char *grant_ward(const struct grant *grant, const char *topic, int level);
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

enum identity_kind {
	IDENTITY_CERTIFICATE,
	IDENTITY_PSK,   /* a shared secret in the TLS handshake */
	IDENTITY_TOKEN, /* a JWT as the password, of a device or of one that its gateway attaches */
	IDENTITY_BOUND  /* a device without a word of its own, which the registry binds to its gateway */
};

/* Who it is; of a certificate also what that says, as policies see it. One block of memory. */
struct identity {
	enum identity_kind kind;
	char certificate_id[IOT_SHA256_HEX_SIZE]; /* else "" */
	const char *thing;                        /* whose secret or token it is; of a certificate NULL */
	const char *with;                         /* the key that signed the token; the gateway that it is bound to */
	int64_t psk_id;
	int64_t until; /* of a token: ms since the epoch */
	const char *serial;
	size_t field_count;
	struct iot_policy_field fields[];
};

/* New memory; free with free(). */
struct identity *identity_new(const struct iot_cert *cert);
/* The same of a thing's secret or token; psk_id and until are for the caller to fill in. */
struct identity *identity_new_thing(enum identity_kind kind, const char *thing, const char *with);

/* NULL: it is known by something else than a certificate. */
static inline const char *identity_certificate(const struct identity *identity)
{
	return identity == NULL || identity->kind != IDENTITY_CERTIFICATE ? NULL : identity->certificate_id;
}

/* A device that speaks through its gateway (bridge.c). */
struct child {
	char *name;
	struct identity *identity;
	struct grant grant;
};

/* One connection, or the session that a persistent one left behind. */
struct client {
	struct client *next_by_handle, *next_by_id;
	struct link age;   /* clients.by_age, devices only: the record that was read longest ago first */
	struct link state; /* clients.doomed, .gone or .offline */
	struct mosquitto *handle;
	char *id;                  /* MQTT client id */
	const char *name;          /* the id as policies and services know it: all of it, or in `bridge` its end */
	struct identity *identity; /* NULL: the fleet's own user */
	struct child *children;    /* in `bridge`: what it has attached, by name */
	size_t child_count;
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
	bool bridge;     /* it speaks as to Google's MQTT bridge: bridge.c says what it may do at most */
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
/* A new record, connected; identity is taken over. With an identity by token only the end of the id is its name. */
struct client *clients_add(struct clients *clients, struct mosquitto *handle, const char *id,
			   struct identity *identity);
void clients_remove(struct clients *clients, struct client *client);
struct client *clients_find(const struct clients *clients, const struct mosquitto *handle);
/* The newest connected one of that name, or NULL. */
struct client *clients_find_id(const struct clients *clients, const char *id);
/* A connected device of that name that the broker knows by another client id, or NULL. */
struct client *clients_find_other(const struct clients *clients, const struct client *client);
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
	return client->grant.is_thing ? client->name : NULL;
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

/* --- TLS-PSK (secrets.c) --------------------------------------------------------- */

/*
 * Connections that a key was handed out for, until they say who they are. A TLS session that is resumed asks for no
 * key: it is not here, and so gets in nowhere. An entry is good for one use, by the TLS connection that it was made
 * in, for a short time.
 */
#define HANDSHAKE_BUCKETS 1024 /* a power of 2 */
#define HANDSHAKES_MAX 20000
#define HANDSHAKE_MS 20000

struct handshakes {
	struct link buckets[HANDSHAKE_BUCKETS];
	struct link by_age;
	size_t count;
};
void handshakes_init(struct handshakes *handshakes);
void handshakes_release(struct handshakes *handshakes);

struct plugin;

/* What MOSQ_EVT_PSK_KEY wants: MOSQ_ERR_SUCCESS, and the key in hex; else nobody gets in. */
int secret_hand_out(struct plugin *plugin, struct mosquitto_evt_psk_key *event);
/*
 * Take out who the connection is that was read from last, while the broker still does what it read; NULL: no key was
 * handed out for it. New memory.
 */
struct identity *secret_take(struct plugin *plugin);
/* Free those whose time is over. */
void secrets_sweep(struct plugin *plugin);

/* --- tokens (tokens.c) ------------------------------------------------------------- */

/*
 * The end of a client id "projects/P/locations/L/registries/R/devices/D", which is D; NULL: it is none. *ret_project
 * (may be NULL) is P, not ended by NUL.
 */
const char *token_device(const char *client_id, const char **ret_project, size_t *ret_project_len);
/* Check the token that a client shows as its password. NULL: *err says why it does not get in. New memory. */
struct identity *token_identify(struct plugin *plugin, const char *client_id, const char *password,
				struct iot_error *err);
/* Check a token of a device by its thing name. */
struct identity *token_check(struct plugin *plugin, const char *thing, const char *token, struct iot_error *err);

/* --- as Google's MQTT bridge (bridge.c) --------------------------------------------- */

/* What such a client may do at most; policies decide within that. */
bool bridge_allows(const struct client *client, enum iot_policy_action action, const char *resource);
/* Is it a topic by which a gateway attaches or detaches a device? */
bool bridge_is_order(const struct client *client, const char *topic);
/* Carry it out. False: it was refused, and the gateway told so. */
bool bridge_order(struct plugin *plugin, struct client *client, const char *topic, const void *payload, size_t len);
/* The attached device that a topic is of; NULL: none, it is the client's own or nobody's. */
const struct child *bridge_child(const struct client *client, const char *topic);
/* The registry has changed: read the grants of what is attached again. IOT_AGAIN and others: it cannot be read. */
IOT_CHECK enum iot_status bridge_read_again(struct plugin *plugin, struct client *client, struct iot_error *err);
/* Detach what has expired. */
void bridge_end_expired(struct client *client, int64_t now);
void bridge_release(struct client *client);

/* --- the plugin ---------------------------------------------------------------- */

struct plugin {
	char *admin_socket;
	bool staging; /* the role */
	char *ready_file; /* NULL: none is wanted */
	char *sealing_key; /* file; NULL: there is no PSK listener */
	char *project;     /* the audience of tokens; NULL: there is no listener for them */
	int64_t token_skew; /* seconds by which devices' clocks may be wrong */
	struct handshakes handshakes;
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

/*
 * The grant of who showed a secret or a token, as it is now. IOT_DENIED: it has none (any more); other faults as
 * registry_read()'s. Between registry_begin() and registry_end().
 */
IOT_CHECK enum iot_status identity_grant(struct registry *registry, const struct identity *identity,
					 const char *client_id, struct grant *ret, struct iot_error *err);
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
 * properties.c: take out of *properties the user properties that are ours to set, and add those of the client, or of
 * the device it has attached, or (`ward`, if not NULL) of its child that the topic is of. *properties is replaced and
 * the old list freed; untouched on failure.
 */
IOT_CHECK enum iot_status properties_stamp(mosquitto_property **properties, const struct client *client,
					   const char *topic, const char *ward, struct iot_error *err);

#endif
