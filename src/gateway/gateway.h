/*
 * The insides of a gateway. A child is a device that the registry names one of
 * ours; a session is its connection. Everything runs in one thread, in turns
 * (run.c): devices, cloud, registry, queue; acknowledgements go out at the end
 * of a turn, when what they are for is safe.
 */
#ifndef IOTCTL_GATEWAY_PRIVATE_H
#define IOTCTL_GATEWAY_PRIVATE_H

#include "gateway/queue.h"
#include "iotctl/attest.h"
#include "iotctl/digest.h"
#include "iotctl/gateway.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"
#include "iotctl/mqtt.h"
#include "iotctl/psk.h"
#include "iotctl/psklink.h"

#include <stdio.h>

enum {
	GATEWAY_COMMANDS = 16,  /* that a child may have open for a reply */
	GATEWAY_WINDOW = 256,   /* messages of the queue under way to the cloud */
	GATEWAY_FLIGHTS = 4096, /* messages in all; more go through the queue */
	GATEWAY_BUCKETS = 4096,
	GATEWAY_MIDS = 65536,
	GATEWAY_FILTERS = 36, /* and configurations that are being fetched: */
	GATEWAY_FETCHES = 12  /* together less than the 50 subscriptions that AWS IoT has room for on a connection */
};

struct gateway;
struct session;

/* A filter that the gateway has subscribed to. */
struct heard {
	char *filter;
	int mid;
};

/* A layout in use, kept until the registry changes. */
struct gateway_layout {
	struct gateway_layout *next;
	char *type;
	struct iot_layout *layout;
	int64_t version; /* of the registry when it was read */
	int64_t loaded;
};

/* Copies of what it says go to this one. */
struct copy_to {
	char *thing;
	unsigned roles; /* bits by enum iot_frame_role */
};

struct child {
	struct child *next; /* in its bucket */
	char *thing, *type; /* type "": none */
	int64_t generation; /* of the registry, when it was looked at */
	struct copy_to *copies;
	size_t copy_count;
	/* What it may run; all of them count. Borrowed, good as long as `generation` is the gateway's. NULL: the
	 * default. */
	const struct iot_attest_policy **policies;
	size_t policy_count;
	char policy_mark[IOT_SHA256_HEX_SIZE]; /* of those from the registry */
	struct session *session;               /* accepted */

	/* How far it has come. */
	uint8_t boot[IOT_FRAME_BOOT_MAX];
	size_t boot_len;
	int64_t taken, safe; /* sequences of that boot: received; with the cloud or on disk */
	int64_t firm;        /* safe whatever becomes of this turn */
	int64_t dropped;     /* a reply that nobody waits for: safe as soon as all before it is; 0: none */
	bool acknowledge;    /* `safe` is to be told */
	bool noted;          /* `safe` is on disk */
	struct child *next_acknowledge, *next_unnoted;

	size_t flying; /* messages under way that are not on disk */

	/* What waits on disk. */
	int64_t waiting, sent; /* messages; the last row under way */
	bool backlogged;
	struct child *next_backlogged;
};

/* A command that may be replied to. */
struct open_command {
	uint32_t id;
	char *topic; /* where to; NULL: by the layout, with the token */
	char *token;
	void *correlation;
	size_t correlation_len;
};

enum session_state { SESSION_HANDSHAKE, SESSION_CHALLENGED, SESSION_ACCEPTED };

struct session {
	struct gateway *gateway;
	struct iot_psk_link *link;
	enum session_state state;
	struct child *child;
	int64_t psk, thing_id;
	int64_t attest;                        /* the secret that its token was made with; 0: a public key's */
	char attest_key[IOT_SHA256_HEX_SIZE];  /* that key; "": a secret */
	char policy_mark[IOT_SHA256_HEX_SIZE]; /* of the policies that it was accepted under */
	uint8_t nonce[64];
	size_t nonce_len;
	size_t longest; /* message that it takes */
	int64_t busy;   /* everything from this sequence on is to be sent again; 0: nothing */
	uint32_t next_id;
	struct open_command commands[GATEWAY_COMMANDS];
	bool shadow;    /* its configuration is the shadow's */
	json_t *config; /* until it is in force: state of the shadow, or the version that an event will acknowledge */
	uint32_t config_id; /* the newest that it was told, 0: none */
	uint8_t config_digest[IOT_SHA256_SIZE];
	char *applied, *applied_topic; /* what is to be said when there is a connection: that it is in force */
};

/* A message under way to the cloud. */
struct flight {
	struct flight *next, *previous; /* in the order in which they were sent */
	struct child *child;
	struct gateway_message *message;
	int mid;
};

struct attest_rule {
	char *name; /* thing or type; NULL: all */
	struct iot_attest_policy *policy;
};

/* By which one sees that a file was replaced. */
struct export_stamp {
	dev_t device;
	ino_t inode;
	off_t size;
	int64_t seconds, nanoseconds;
};

/* A policy of the registry, parsed. */
struct attest_document {
	struct attest_document *next;
	char *name, *text;
	struct iot_attest_policy *policy;
};

struct gateway {
	const struct iot_gateway_options *options;
	struct iot_cloud *cloud;
	struct iot_store *store; /* the registry, of `cloud` */
	uint8_t seal[IOT_SEAL_KEY_SIZE];
	char *thing; /* the gateway's own name */
	char *host;  /* of the cloud's broker */
	int port;
	char *state_dir; /* of the queue */
	bool exported;   /* it runs from what 'gateway export' has made */
	struct export_stamp export_stamp;
	struct export_stamp refused_stamp; /* of an export that is of no use as it is */
	struct iot_error refused;          /* and why */
	bool at_home;                      /* the cloud is the fleet whose registry this is */
	int export_folder;                 /* which of the two folders has the copy in use; -1: none */
	struct iot_psk_server *server;
	struct gateway_queue *queue;
	struct attest_rule *rules;
	size_t rule_count;
	struct attest_document *documents; /* until the registry changes */
	size_t nonce_size;
	int idle_ms;

	/* The registry. */
	int64_t data_version, epoch, generation, next_look, blind_since;
	bool blind; /* it cannot be read: nobody is let in */

	struct child *children[GATEWAY_BUCKETS];
	struct child *acknowledge, *unnoted, *backlogged;
	struct gateway_layout *layouts;
	int64_t next_note, next_complaint;

	/* Who is there, as the registry is to hear. */
	json_t *presence;
	int64_t connection, next_presence;

	/* The cloud. */
	struct iot_mqtt *mqtt;
	bool up;
	int64_t connect_at, backoff_ms;
	struct flight *first, *last;
	struct flight *by_mid[GATEWAY_MIDS];
	size_t flights;
	struct heard filters[GATEWAY_FILTERS];
	size_t filter_count, granted;   /* subscriptions, and those that the broker has granted */
	char *fetches[GATEWAY_FETCHES]; /* topics */
	size_t next_fetch;
};

void gateway_event(const struct gateway *gateway, const char *name, const char *child, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* --- source.c: the registry, or an export of it -------------------------------------------------- */

IOT_CHECK enum iot_status source_open(struct gateway *gateway, struct iot_error *err);
/* *ret_moved: what sessions were let in by may have changed. Anything but IOT_OK: it cannot be read now. */
IOT_CHECK enum iot_status source_look(struct gateway *gateway, bool *ret_moved, struct iot_error *err);
void source_close(struct gateway *gateway);

/* --- children.c: who is whose, by the registry --------------------------------------------- */

/* The key of an identity, as iot_psk_server_events.key. */
size_t gateway_key(struct iot_psk_link *link, const char *identity, uint8_t *key, void *gateway);
/*
 * A child by its name, as the registry has it now. IOT_DENIED: it is not ours; IOT_NOT_FOUND: there is no such thing.
 */
IOT_CHECK enum iot_status gateway_child(struct gateway *gateway, const char *thing, struct child **ret,
					struct iot_error *err);
/* One that is known already, or NULL. */
struct child *gateway_known_child(struct gateway *gateway, const char *thing);
/* For the queue of a child that has not come yet. */
struct child *gateway_make_child(struct gateway *gateway, const char *thing);
IOT_CHECK enum iot_status gateway_layout_of(struct gateway *gateway, const char *type, const struct iot_layout **ret,
					    struct iot_error *err);
/* Has the registry changed? Then sessions that it does not allow any more end. */
void gateway_look(struct gateway *gateway);
void gateway_children_release(struct gateway *gateway);

/* --- policies.c: what children may run -------------------------------------------------------- */

/* The files of the options. */
IOT_CHECK enum iot_status gateway_read_policies(struct gateway *gateway, struct iot_error *err);
/* Fill in a child's policies, as the registry has them now. */
IOT_CHECK enum iot_status gateway_find_policies(struct gateway *gateway, struct child *child, struct iot_error *err);
/* The registry has changed: children's policies are not good any more. */
void gateway_forget_documents(struct gateway *gateway);

/* --- presence.c: who is there ----------------------------------------------------------------- */

/* IOT_NOT_FOUND: the registry has no such gateway. */
IOT_CHECK enum iot_status presence_begin(struct gateway *gateway, struct iot_error *err);
void presence_tell(struct gateway *gateway, const char *thing, bool connected, const char *address);
void presence_flush(struct gateway *gateway);
void presence_end(struct gateway *gateway);

/* --- session.c: a device's connection ------------------------------------------------------ */

void session_opened(struct iot_psk_link *link, void *gateway);
void session_message(struct iot_psk_link *link, const void *message, size_t len, void *gateway);
void session_closed(struct iot_psk_link *link, const char *reason, void *gateway);
/* False: it did not fit, or the device takes no such message; nothing was sent. */
bool session_send(struct session *session, const struct iot_frame *frame);
/* Tell the device why, and end. */
void session_refuse(struct session *session, const char *word, const struct iot_error *err);

/* --- session_data.c: what an accepted device says -------------------------------------------- */

void session_data(struct session *session, const struct iot_frame *frame);
/* Tell the device that everything from this number on is to be said again, later. */
void session_refuse_for_now(struct session *session, int64_t sequence, const struct iot_error *err);
/* Tell children what is safe now; the queue has been committed. */
void gateway_acknowledge(struct gateway *gateway);
/* Write down what is safe, so that it is not said twice after a restart. */
void gateway_note(struct gateway *gateway);
/* The cloud has it (firm), or it is in the queue and will be on the disk when that has been committed. */
void child_is_safe(struct gateway *gateway, struct child *child, const struct gateway_message *message, bool firm);

/* --- uplink.c: to the cloud ---------------------------------------------------------------- */

IOT_CHECK enum iot_status uplink_new(struct gateway *gateway, struct iot_error *err);
void uplink_free(struct gateway *gateway);
void uplink_work(struct gateway *gateway, short revents);
/*
 * Hand a message over: to the cloud if nothing of the child waits, else to the queue. Taken over if IOT_OK. IOT_AGAIN:
 * there is no room in the queue.
 */
IOT_CHECK enum iot_status uplink_say(struct gateway *gateway, struct child *child, struct gateway_message *message,
				     struct iot_error *err);
/* Send what waits, as far as the window goes. */
void uplink_drain(struct gateway *gateway);
/* The child has messages on disk. */
void uplink_add_backlog(struct gateway *gateway, struct child *child);

/* --- downlink.c: from the cloud -------------------------------------------------------------- */

/* A child is there, or the cloud is: hear what is said to it, and fetch its configuration. */
void downlink_begin(struct session *session);
/* The connection has ended, and all subscriptions with it. */
void downlink_forget(struct gateway *gateway);
void downlink_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *gateway);
void downlink_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *gateway);
/* The device has a configuration in force. */
void downlink_applied(struct session *session, uint32_t id);
void downlink_release_command(struct open_command *command);

#endif
