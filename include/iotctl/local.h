/*
 * The local cloud: the fleet directory, its registry, and what serve needs of
 * it beyond the operations (outbox, presence, time-outs, blocks of images).
 */
#ifndef IOTCTL_LOCAL_H
#define IOTCTL_LOCAL_H

#include "iotctl/cert.h"
#include "iotctl/cloud.h"
#include "iotctl/seal.h"
#include "iotctl/store.h"

/* --- the fleet directory ------------------------------------------------- */

/* Paths inside a fleet directory; new memory each, free with iot_fleet_paths_release. */
struct iot_fleet_paths {
	char *dir;
	char *registry;      /* registry.db */
	char *ca_dir;        /* ca/: root.pem root.key issuing.pem issuing.key chain.pem server.pem server.key */
	char *trust_dir;     /* broker/trust: hashed capath for mosquitto */
	char *codesign_dir;  /* codesign/NAME.key, NAME.pub */
	char *images_dir;    /* images/SHA256 */
	char *broker_dir;    /* broker/: mosquitto.conf, server certificate, logs, sockets */
	char *admin_socket;  /* broker/admin.sock: mosquitto's unix listener for the fleet's own user (*) */
	char *staging_socket; /* broker/staging.sock: the same of the staging endpoint's mosquitto (*) */
	char *notify_socket; /* broker/notify.sock: datagrams wake serve (*) */
	char *lock;          /* broker/serve.lock: held by serve, contains its pid */
};
void iot_fleet_paths_init(struct iot_fleet_paths *paths, const char *fleet_dir);
void iot_fleet_paths_release(struct iot_fleet_paths *paths);
/*
 * (*) In a private folder under /tmp when the fleet's path is too long for a
 * socket's address, or has a blank in it. Make that folder, or make sure that it is there and private:
 * IOT_DENIED if it is another's.
 */
IOT_CHECK enum iot_status iot_fleet_socket_dir(const struct iot_fleet_paths *paths, struct iot_error *err);
/* Remove it again, if it is outside of the fleet directory and empty. */
void iot_fleet_socket_dir_remove(const struct iot_fleet_paths *paths);

/*
 * Make an empty fleet: directory 0700, registry, meta rows. IOT_CONFLICT if a
 * registry is there already. Keys and certificates are fleet/init's work.
 */
IOT_CHECK enum iot_status iot_local_create(const char *fleet_dir, const char *name, struct iot_error *err);

/* Open the local cloud on a fleet directory. IOT_NOT_FOUND names the directory and 'iotctl init'. */
IOT_CHECK enum iot_status iot_local_open(const char *fleet_dir, struct iot_cloud **ret, struct iot_error *err);

/* The registry behind a local cloud, and its paths. Borrowed. */
struct iot_store *iot_local_store(struct iot_cloud *cloud);
const struct iot_fleet_paths *iot_local_paths(struct iot_cloud *cloud);

/* Fleet facts kept in the registry's meta table ("endpoint", "port", "name"...). New memory; NULL if unset. */
IOT_CHECK enum iot_status iot_local_meta_get(struct iot_cloud *cloud, const char *key, char **ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_local_meta_set(struct iot_cloud *cloud, const char *key, const char *value,
					     struct iot_error *err);

/*
 * Write broker/trust anew from the registry (after a restore, and when serve
 * starts): registered CAs and self-signed ACTIVE certificates under OpenSSL's
 * hashed names. The operations keep it current otherwise.
 */
IOT_CHECK enum iot_status iot_local_trust_sync(struct iot_cloud *cloud, struct iot_error *err);

/*
 * Renew ca/server.pem, the certificate of serve's listeners, with the same key and names when less than 30 days of it
 * are left. Whoever uses it reads it again.
 */
IOT_CHECK enum iot_status iot_local_server_renew(struct iot_cloud *cloud, bool *ret_renewed, struct iot_error *err);

/*
 * The key that URLs in job documents are signed with: hex digits, to be wiped by the caller. Made when there is none. Its
 * access key is IOT_URL_ACCESS_KEY; it opens images for reading, with such a URL, and nothing else.
 */
#define IOT_URL_ACCESS_KEY "IOTCTL-URLS"
IOT_CHECK enum iot_status iot_local_url_key(struct iot_cloud *cloud, char ret_secret[65], struct iot_error *err);

/*
 * The key that secrets in the registry are sealed with (seal.h), made when there is none; the caller wipes it.
 * IOT_NOT_FOUND: it is lost, and there are secrets that were sealed with it.
 */
IOT_CHECK enum iot_status iot_local_sealing_key(struct iot_cloud *cloud, uint8_t ret_key[IOT_SEAL_KEY_SIZE],
						struct iot_error *err);

/*
 * Let the fleet's issuing CA issue this certificate, its days 0: as usual in this fleet. until: its end (ms since the
 * epoch), or 0: by its days. Nothing is registered.
 */
IOT_CHECK enum iot_status iot_local_issue(struct iot_cloud *cloud, const struct iot_cert_request *request, int64_t until,
					  struct iot_cert **ret, struct iot_error *err);
/*
 * Record where the key of a registered certificate was made, "board" or "host", and whether it has crossed a wire in
 * clear text.
 */
IOT_CHECK enum iot_status iot_local_key_origin(struct iot_cloud *cloud, const char *certificate_id, const char *origin,
					       bool exposed, struct iot_error *err);

/*
 * What a gateway elsewhere needs of the registry, into a new file, 0600, that is a registry itself: the gateway, its
 * children with their active secrets, keys and types, and which layouts they use. The secrets are sealed with a key of
 * this file alone, which is in its meta table: whoever can read the file has them. facts: texts that go into that table
 * besides (may be NULL). *ret_children: how many there are.
 */
#define IOT_EXTRACT_SEAL "sealingKey"    /* hex digits */
#define IOT_EXTRACT_GATEWAY "extractOf"  /* the gateway's thing name */
#define IOT_EXTRACT_TIME "extractedAt"   /* RFC 3339 */
IOT_CHECK enum iot_status iot_local_extract(struct iot_cloud *cloud, const char *gateway, const json_t *facts,
					    const char *path, int64_t *ret_children, struct iot_error *err);

/* --- for serve ------------------------------------------------------------ */

/* One thing that must be said. Borrowed during the call. */
struct iot_outbox_row {
	int64_t id;
	const char *kind;  /* "jobs": the pending jobs of `thing` changed; "publish": topic and payload as given;
			    * "event": the same, for whoever watches the fleet ($aws/events/...);
			    * "claim": the module with the UID in `topic` was claimed */
	const char *thing; /* may be NULL */
	const char *topic;
	const void *payload;
	size_t payload_len;
	int qos;
	bool retain;
};
/* Call `say` for up to `limit` rows in order; a row is deleted when say returns true, kept otherwise. */
IOT_CHECK enum iot_status iot_local_outbox(struct iot_cloud *cloud, int limit,
					   bool (*say)(const struct iot_outbox_row *row, void *data), void *data,
					   int *ret_count, struct iot_error *err);
/* Wake a running serve (a datagram to notify.sock; nothing happens when none runs). */
void iot_local_wake(struct iot_cloud *cloud);

/* A device connected or went. `connection` grows with every connect; an older one's leave is ignored. */
IOT_CHECK enum iot_status iot_local_presence(struct iot_cloud *cloud, const char *client_id, bool connected,
					     int64_t connection, const char *reason, const char *address,
					     const char *certificate_id, struct iot_error *err);
/* After a restart: nobody is connected until they say so. */
IOT_CHECK enum iot_status iot_local_presence_reset(struct iot_cloud *cloud, struct iot_error *err);
/* How many clients are connected. */
IOT_CHECK enum iot_status iot_local_presence_count(struct iot_cloud *cloud, int64_t *ret, struct iot_error *err);

/*
 * A device reported its state (JSON object; member "firmware" is its version,
 * "boot" tells why it started; or a JSON string: the bytes of something else in base64). Remembered; when an OTA update that the device
 * had accepted is no longer what it runs (boot "factory", or an older
 * firmware), a new execution of that update is queued. *ret_requeued tells.
 */
IOT_CHECK enum iot_status iot_local_state(struct iot_cloud *cloud, const char *thing, const json_t *state,
					  bool *ret_requeued, struct iot_error *err);

/* A configuration that a device has not acknowledged. */
struct iot_config_message {
	char *topic; /* NULL: there is none */
	char *payload;
	int qos;
	bool retain;
	bool acknowledged; /* it is known when the device has it */
};
void iot_config_message_release(struct iot_config_message *message); /* fits IOT_CLEAN */
/* What a device that came back must hear of its configuration. One indexed lookup, if there is nothing. */
IOT_CHECK enum iot_status iot_local_config_due(struct iot_cloud *cloud, const char *thing,
					       struct iot_config_message *ret, struct iot_error *err);

/* Has a thing this named shadow? One indexed lookup. */
IOT_CHECK enum iot_status iot_local_has_shadow(struct iot_cloud *cloud, const char *thing, const char *name, bool *ret,
					       struct iot_error *err);

/*
 * A device published an event (JSON object): if the newest version of its configuration is acknowledged by events and
 * this one has a version in the member for it, that is remembered. IOT_NOT_FOUND: no such thing.
 */
IOT_CHECK enum iot_status iot_local_event(struct iot_cloud *cloud, const char *thing, const json_t *event,
					  struct iot_error *err);

/*
 * Time passes: time out executions whose deadline went by, roll out what is due.
 * *ret_next_ms: look again then (-1: no need), or after a wake or a device's report, which may bring it forward.
 */
IOT_CHECK enum iot_status iot_local_tick(struct iot_cloud *cloud, int64_t now_ms, int64_t *ret_next_ms,
					 struct iot_error *err);

/* Call `each` with every thing that has a job pending. */
IOT_CHECK enum iot_status iot_local_pending_things(struct iot_cloud *cloud, void (*each)(const char *thing, void *data),
						   void *data, struct iot_error *err);

/*
 * The state of an execution as a refusal carries it ("executionState" beside the codes VersionMismatch and
 * InvalidStateTransition): {status, statusDetails, versionNumber}. number 0: the newest one.
 */
IOT_CHECK enum iot_status iot_local_execution_state(struct iot_cloud *cloud, const char *thing, const char *job_id,
						    int64_t number, json_t **ret, struct iot_error *err);

/*
 * A file of a stream as devices ask for it: its size, and an open descriptor of
 * the image, which the caller closes. Codes ResourceNotFound when the stream or
 * file is not there, or when the thing is not a target of a job with this stream.
 */
IOT_CHECK enum iot_status iot_local_stream_open(struct iot_cloud *cloud, const char *thing, const char *stream,
						int file_id, int *ret_fd, int64_t *ret_size, int64_t *ret_version,
						struct iot_error *err);

/* --- what devices say, and where serve takes it ---------------------------- */

/*
 * The topics of events and states, as layouts have them: JSON object of filter to the number of its level that is the
 * name of the thing (-1: none). There the plugin says who published. Nothing is written when they are these already.
 */
IOT_CHECK enum iot_status iot_local_topics_set(struct iot_cloud *cloud, const json_t *topics, struct iot_error *err);

/*
 * Routes (their members: events.h), in the order in which they are asked, each with delivered, dropped, fault? and
 * createdAt; one that cannot be read has name and damaged: true. New reference.
 */
IOT_CHECK enum iot_status iot_local_routes(struct iot_cloud *cloud, json_t **ret, struct iot_error *err);
/* A checked route, in front of another one or (NULL) behind all. IOT_CONFLICT: its name is taken. */
IOT_CHECK enum iot_status iot_local_route_add(struct iot_cloud *cloud, const json_t *route, const char *before,
					      struct iot_error *err);
IOT_CHECK enum iot_status iot_local_route_remove(struct iot_cloud *cloud, const char *name, struct iot_error *err);
/* What serve did since it said so last, and what is wrong now (NULL: nothing). */
IOT_CHECK enum iot_status iot_local_route_count(struct iot_cloud *cloud, const char *name, int64_t delivered,
						int64_t dropped, const char *fault, struct iot_error *err);

/* Layouts or routes have changed: a running serve reads them again. The routes' own functions do this themselves. */
IOT_CHECK enum iot_status iot_local_talk_changed(struct iot_cloud *cloud, struct iot_error *err);
/* What changes with it. New memory; NULL: never changed. */
IOT_CHECK enum iot_status iot_local_talk_version(struct iot_cloud *cloud, char **ret, struct iot_error *err);

/* --- claims: modules that become devices by themselves -------------------- */

/*
 * A claim says what the module with a UID is to be when it shows up in staging:
 * {thingName, alias?, thingTypeName?, policies: [], groups: [], certificateId?}.
 * thingName is the UID. Policies and groups must exist when it is carried out.
 */

/*
 * Ensure a claim. *ret_changed: false when it is there already, or when the UID
 * is a device with a certificate, alias and type as claimed. IOT_CONFLICT: it is
 * there with other contents (unless `update`), the device is another, or the
 * alias is taken. A running serve carries it out at once if the module waits.
 */
IOT_CHECK enum iot_status iot_local_claim(struct iot_cloud *cloud, const json_t *claim, bool update, bool *ret_changed,
					  struct iot_error *err);
/* Take back a claim that no module has answered. IOT_NOT_FOUND: none waits for that UID. */
IOT_CHECK enum iot_status iot_local_unclaim(struct iot_cloud *cloud, const char *uid, struct iot_error *err);
/* Call `each` with every claim that waits, and claimedAt (ms since the epoch) in it. */
IOT_CHECK enum iot_status iot_local_claims(struct iot_cloud *cloud,
					   enum iot_status (*each)(json_t *claim, void *data, struct iot_error *err),
					   void *data, struct iot_error *err);

enum iot_claim_state {
	IOT_CLAIM_NONE, /* nobody claimed it, and it is no device of the fleet with this certificate */
	IOT_CLAIM_HOME, /* it is a device of the fleet */
	IOT_CLAIM_DONE  /* it has just become one */
};
/*
 * A module with this certificate is in staging; its name is the certificate's
 * UID (iot_cert_uid). If it is claimed: register the certificate (ACTIVE; a
 * registered CA must have issued it), make thing, type, policies and groups, all
 * or nothing. IOT_VERIFY or IOT_DENIED: it is claimed, but not with this certificate.
 */
IOT_CHECK enum iot_status iot_local_claim_settle(struct iot_cloud *cloud, const char *certificate_pem,
						 enum iot_claim_state *ret, struct iot_error *err);

/*
 * Put an image into images/ under its SHA-256 (hex, 65 bytes with NUL), durable
 * before it returns; one that is there already is checked and kept.
 */
IOT_CHECK enum iot_status iot_local_image_add(struct iot_cloud *cloud, const char *path, char ret_sha256[65],
					      int64_t *ret_size, struct iot_error *err);

/*
 * The same for bytes that come one after another: begin, add, end. Nothing is seen of them before the end, and nothing
 * stays when the writer is freed before. What goes wrong while adding is told at the end.
 */
struct iot_image_writer;
IOT_CHECK enum iot_status iot_image_writer_new(struct iot_cloud *cloud, struct iot_image_writer **ret,
					       struct iot_error *err);
void iot_image_writer_add(struct iot_image_writer *writer, const void *data, size_t len);
/* The digest of all that was added. */
const char *iot_image_writer_sha256(struct iot_image_writer *writer);
/* It becomes an image. Durable. */
IOT_CHECK enum iot_status iot_image_writer_end(struct iot_image_writer *writer, char ret_sha256[65], int64_t *ret_size,
					       struct iot_error *err);
void iot_image_writer_free(struct iot_image_writer *writer);
void iot_image_writer_free_p(struct iot_image_writer **writer); /* for IOT_CLEAN */

/*
 * Objects are names of images in the fleet's bucket, as S3's operations know them; the version of an object is the
 * SHA-256 of its image. A key that is such a digest names that image without more.
 */
IOT_CHECK enum iot_status iot_local_object_put(struct iot_cloud *cloud, const char *bucket, const char *key,
					       const char *sha256, int64_t size, struct iot_error *err);
/* Is it the fleet's bucket? Code NoSuchBucket if not. */
IOT_CHECK enum iot_status iot_local_bucket_check(struct iot_cloud *cloud, const char *bucket, struct iot_error *err);
/*
 * The image of an object: the newest one, or `version` (may be NULL). An open descriptor, which the caller closes; its
 * digest, size and age (ms since the epoch). Codes NoSuchBucket, ResourceNotFoundException.
 */
struct iot_object {
	int fd;
	char sha256[65];
	int64_t size, changed_at;
};
IOT_CHECK enum iot_status iot_local_object_open(struct iot_cloud *cloud, const char *bucket, const char *key,
						const char *version, struct iot_object *ret, struct iot_error *err);
/* The bytes of a writer become a part of an upload (CreateMultipartUpload). Codes NoSuchUpload, InvalidRequestException. */
IOT_CHECK enum iot_status iot_local_upload_part(struct iot_cloud *cloud, const json_t *request,
						struct iot_image_writer *writer, struct iot_error *err);

#endif
