/*
 * The use-cases: what commands do, said once, for every cloud. Nothing here
 * prints, parses arguments or knows SQL or URLs. Unless said otherwise a
 * function blocks for as long as its cloud calls do.
 */
#ifndef IOTCTL_FLEET_H
#define IOTCTL_FLEET_H

#include "iotctl/buf.h"
#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"
#include "iotctl/key.h"

#include <stdint.h>

/* --- making a fleet -------------------------------------------------------- */

struct iot_fleet_init_options {
	const char *name;     /* [A-Za-z0-9_-]{1,40} */
	const char *dir;      /* where; must not exist */
	const char *endpoint; /* host name that devices use; NULL: "localhost" */
	int port;             /* of the device listener; 0: 8883 */
	const char *ca_key;   /* key of the issuing CA that exists already: file or pkcs11: URI; NULL: a new one */
};
/*
 * Make a fleet directory: registry, root and issuing CA, server certificate,
 * code-signing key "default", policy "device". All or nothing: it is built
 * beside `dir` and renamed. *ret_record: {name, directory, endpoint, port, ...}.
 */
IOT_CHECK enum iot_status iot_fleet_init(const struct iot_fleet_init_options *options, json_t **ret_record,
					 struct iot_error *err);

/*
 * Copy a fleet into a folder that does not exist yet (0700): a consistent copy
 * of the registry, also while others write, CA, code-signing keys and images;
 * built beside it and renamed. *ret_record: {directory, files, size}.
 */
IOT_CHECK enum iot_status iot_fleet_backup(struct iot_cloud *cloud, const char *to, json_t **ret_record,
					   struct iot_error *err);
/*
 * Make a fleet directory from such a copy. IOT_CONFLICT if `dir` exists,
 * IOT_VERIFY if the copy is not whole (registry damaged, an image that is not
 * what its name says). *ret_record: {directory, files, size, operatorsWithoutKeys?, sealedSecrets?}: so many operators
 * need new keys, so many secrets of devices need the sealing key of the fleet that was backed up.
 */
IOT_CHECK enum iot_status iot_fleet_restore(const char *from, const char *dir, json_t **ret_record,
					    struct iot_error *err);

/*
 * Look at a fleet and its surroundings: clock, registry, keys and their modes,
 * certificates that end soon, trust folder, disk, mosquitto, serve. Array of
 * {check, result: "ok"|"warning"|"error", detail, cure?}.
 */
IOT_CHECK enum iot_status iot_fleet_doctor(struct iot_cloud *cloud, json_t **ret_records, struct iot_error *err);

/* IOT_OK on the local cloud; IOT_USAGE for what only a fleet directory can do, with that line. */
IOT_CHECK enum iot_status iot_fleet_need_local(const struct iot_cloud *cloud, struct iot_error *err);

/* The root certificate that the fleet's devices check its broker with, as PEM, appended. IOT_USAGE at AWS. */
IOT_CHECK enum iot_status iot_fleet_root(struct iot_cloud *cloud, struct iot_buf *pem, struct iot_error *err);

/* --- names ----------------------------------------------------------------- */

/* The thing name of a device given by thing name or alias; new memory. IOT_NOT_FOUND suggests nothing it is not sure of. */
IOT_CHECK enum iot_status iot_fleet_resolve(struct iot_cloud *cloud, const char *device, char **ret_thing,
					    struct iot_error *err);

/* --- devices ---------------------------------------------------------------- */

struct iot_device_spec {
	const char *name;
	const char *alias;              /* NULL: none */
	const char *type;               /* NULL: none; made when it does not exist */
	const char *const *policies;    /* NULL-terminated; NULL: none */
	const char *const *groups;      /* NULL-terminated; NULL: none; must exist */
	const char *const *attributes;  /* NULL-terminated "NAME=VALUE"; NULL: none */
	const char *csr;                /* certificate request made on the board; NULL: the key is made here */
	const char *out;                /* folder for key, certificate, CA, endpoint; NULL: no certificate is made */
	int days;                       /* validity of the certificate; 0: the fleet's */
	bool update;                    /* change a device that exists with another spec, instead of IOT_CONFLICT */
	/*
	 * On another cloud than the local one: the local fleet whose CA issues the certificate, which is then registered
	 * there (RegisterCertificateWithoutCA: safe to repeat). NULL: the cloud issues it from a request; an uncertain
	 * call is reconciled by listing the newest certificates.
	 */
	struct iot_cloud *issuer;
};
/*
 * Ensure a device: thing, key, certificate, policy, group, folder. Each step can
 * be repeated, so a call that was killed half way is finished by the same call.
 * The key is on disk (0600, fsynced) before a certificate is made for it.
 * *ret_record: {thingName, thingArn, certificateId?, out?, changed}.
 */
IOT_CHECK enum iot_status iot_device_create(struct iot_cloud *cloud, const struct iot_device_spec *spec,
					    json_t **ret_record, struct iot_error *err);

/*
 * Append an image of the credentials in a folder that iot_device_create wrote. format: "iotc" (part "credentials", which
 * is meant by NULL, or "codesign"), "pkcs11", "pkcs11-stm32f4" (part "certificate", "key" or "codesign"), or
 * "esp-secure-cert", filled up to the partition's 8 KiB; credential.h describes them. `out` becomes a secret buffer.
 * IOT_NOT_FOUND: a file is missing; IOT_VERIFY: the key is not that of the certificate.
 */
IOT_CHECK enum iot_status iot_credential_image(const char *dir, const char *format, const char *part,
					       struct iot_buf *out, struct iot_error *err);

/* What is done with each device of a batch: as iot_device_create, _update, _retire, and a policy for its certificates. */
enum iot_batch_kind { IOT_BATCH_CREATE, IOT_BATCH_UPDATE, IOT_BATCH_RETIRE, IOT_BATCH_ATTACH };

/*
 * Many devices from a CSV file. Where the cloud is far away, many rows are under way at once (iot_cloud_together), each as
 * fast as the rates of its operations allow; their records come in the order in which they end.
 */
struct iot_device_batch {
	enum iot_batch_kind kind;
	/*
	 * Columns: name, and any of alias, type, policy, group, attribute, csr, out (update: not policy, csr, out; retire and
	 * attach: name only); several policies, groups or attributes in a cell are separated by ';'. All of it is looked at
	 * before the first device is touched.
	 */
	const char *file;
	struct iot_device_spec defaults; /* for what a row does not say; its name, alias, csr and out do not count; attach: its policies */
	const char *out;                 /* folder in which each device gets one of its name, unless its row says; NULL: none */
	const char *journal;             /* which rows had their result: those are not tried again; NULL: none */
	bool retry_failed;               /* but those that failed are */
	int64_t max_failures;            /* end with IOT_ABORTED at so many; 0: never */
	/* A row's record: {line, thingName, changed, ...} as of what was done, or {line, thingName, changed: false, error}. Borrowed. */
	enum iot_status (*each)(json_t *record, void *data, struct iot_error *err);
	/* May be NULL. `now`: those of `done` that were done in this call, not an earlier one. */
	void (*progress)(int64_t done, int64_t now, int64_t total, void *data);
	bool (*interrupted)(void *data); /* may be NULL */
	void *data;
};
/*
 * A row is noted in the journal before it is begun and when it had its result. IOT_OK: all there; IOT_PARTIAL: some failed. A fault that is not a row's own (unreachable, throttled for good) ends it;
 * with a journal the same call goes on.
 */
IOT_CHECK enum iot_status iot_device_batch_run(struct iot_cloud *cloud, const struct iot_device_batch *spec,
					       struct iot_error *err);

/* One record with all that is known: registry, certificates, policies, groups, connection, firmware. */
IOT_CHECK enum iot_status iot_device_show(struct iot_cloud *cloud, const char *device, json_t **ret_record,
					  struct iot_error *err);

struct iot_device_filter {
	const char *type, *group;
	const char *attribute; /* "NAME=VALUE" */
	int64_t limit;         /* 0: all */
};
IOT_CHECK enum iot_status iot_device_list(struct iot_cloud *cloud, const struct iot_device_filter *filter,
					  enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
					  void *data, struct iot_error *err);

/* All certificates of a device ACTIVE or INACTIVE. *ret_record: {thingName, certificates: [...], changed}. */
IOT_CHECK enum iot_status iot_device_enable(struct iot_cloud *cloud, const char *device, bool enable,
					    json_t **ret_record, struct iot_error *err);
/* Attributes, type and alias. */
IOT_CHECK enum iot_status iot_device_update(struct iot_cloud *cloud, const struct iot_device_spec *spec,
					    json_t **ret_record, struct iot_error *err);
/* Detach and delete its certificates and the thing: all of it or, when it fails or is killed, nothing. */
IOT_CHECK enum iot_status iot_device_delete(struct iot_cloud *cloud, const char *device, json_t **ret_record,
					    struct iot_error *err);

/*
 * Delete a device for good: certificates off, without rights, detached and deleted (one that another thing uses is only
 * detached), shadows, the thing. On the local cloud all of it or nothing; elsewhere the same call finishes one that was cut
 * short, and what the service does not yet know to be detached is waited out. With `dry_run` nothing is changed.
 * *ret_record: {thingName, certificates, calls: [{operation, request}], changed}.
 */
IOT_CHECK enum iot_status iot_device_retire(struct iot_cloud *cloud, const char *device, bool dry_run,
					    json_t **ret_record, struct iot_error *err);

struct iot_rotate_spec {
	const char *device; /* name or alias */
	const char *out;    /* a new folder for the new key and certificate */
	const char *csr;    /* certificate request made on the board; NULL: the key is made here */
	int days;           /* validity; 0: the fleet's */
};
/*
 * Give a device a second certificate with the policies of those it has, which stay valid. The same call again
 * finishes one that was killed. IOT_CONFLICT when it has no active certificate, or the folder holds the one in use.
 * *ret_record: {thingName, certificateId, out, changed}.
 */
IOT_CHECK enum iot_status iot_device_rotate(struct iot_cloud *cloud, const struct iot_rotate_spec *spec,
					    json_t **ret_record, struct iot_error *err);
struct iot_messaging_where; /* messaging.h */
struct iot_rotate_finish {
	const char *device;
	bool force;                              /* although it was not seen with the newest */
	const struct iot_messaging_where *watch; /* at AWS: as whom lifecycle events are heard; NULL: nobody */
	int timeout_ms;                          /* at AWS: it must have connected by then; 0: 60 s */
};
/*
 * End a rotation: delete every certificate of the device but its newest, with which it must have connected last.
 * AWS tells that only at the moment when it connects: there its connection is ended (DeleteConnection), so that it comes
 * again while lifecycle events are heard. IOT_VERIFY when it was not seen, and with `force` all the same.
 * *ret_record: {thingName, certificateId, deleted, changed}.
 */
IOT_CHECK enum iot_status iot_device_rotate_finish(struct iot_cloud *cloud, const struct iot_rotate_finish *spec,
						   json_t **ret_record, struct iot_error *err);

/* --- provisioning a board ------------------------------------------------------ */

struct iot_board_identity; /* board.h */

struct iot_provision_spec {
	const char *board;             /* description: name or path (board_description.h) */
	const char *port;
	int baud;                      /* 0: the kind's own */
	/*
	 * Of a board that is named by its UID: a second name, also written into the board; NULL: none. Of others the thing
	 * name; NULL: by the description's template, the serial number, what the journal has, or the chip id.
	 */
	const char *name;
	const char *serial_number;     /* of the product, unique in the fleet; NULL: none */
	const char *type;              /* thing type, made when it is new; NULL: none */
	const char *const *policies;   /* NULL-terminated; NULL: "device". None for a board with a shared secret */
	const char *const *groups;     /* NULL-terminated; NULL: none */
	const char *endpoint;          /* where it connects, a gateway; NULL: the fleet's endpoint */
	int endpoint_port;             /* 0: the fleet's; of a board with a shared secret, that of serve's listener for them */
	const char *wifi_ssid;         /* NULL: left as it is */
	const struct iot_secret_source *wifi_password; /* NULL: left as it is */
	const char *apn;               /* NULL: left as it is */
	/*
	 * Code-signing key that updates are checked with; NULL: "default". At AWS also the path of a certificate's PEM file,
	 * and without a fleet NULL leaves the board the one that it has.
	 */
	const char *codesign;
	/* At AWS: */
	struct iot_cloud *fleet;       /* local fleet whose code-signing keys boards get, and whose CA issues; NULL: none */
	bool aws_issues;               /* AWS issues certificates, although there is a fleet */
	const char *root_ca;           /* PEM file of what boards check the endpoint with; NULL: Amazon's root, of the system */
	const struct iot_messaging_where *watch; /* as whom lifecycle events are heard; NULL: the fleet index is asked */
	bool replace;                  /* take over a board of another fleet; change a device that exists with another spec */
	int lock;                      /* enum iot_board_lock: what to put on once it is proved */
	const char *const *locks;      /* optional ones besides, by name; NULL-terminated; NULL: none */
	int pulse;                     /* enum iot_serial_pulse: reset the board by this line first */
	const char *journal;           /* file of the station's journal; made when it is missing */
	const char *transcript;        /* NULL: none */
	int interrupt_fd;              /* below 0: none */
	int connect_timeout_ms;        /* 0: 120 s */
	int answer_ms;                 /* how long the board may take to answer an ordinary command; 0: the kind's own */
	int proof_timeout_ms;          /* the broker must have seen it by then; 0: 15 s */
	void (*progress)(const char *step, void *data); /* may be NULL */
	/*
	 * The board has said who it is, and nothing was reserved or written: may it go on? *name and *serial_number are
	 * those above, and may be replaced (borrowed until the end). A fault ends it. May be NULL.
	 */
	enum iot_status (*check)(const struct iot_board_identity *identity, const char **name, const char **serial_number,
				 void *data, struct iot_error *err);
	/* For tests: a place where a kill leaves something else behind than at the one before. May be NULL. */
	void (*point)(const char *step, bool done, void *data);
	void *data;
};
/*
 * Make the board on a port a device of the fleet: identify, reserve, key,
 * certificate, thing, register, policy, program, let it prove itself, lock,
 * record. Every step is written to the journal before it is done and can be
 * repeated: the same call finishes one that was killed, and changes nothing on a
 * board that is done. A key that is made here lies beside the journal (0600) from
 * before its certificate is made until the board is proved, and is wiped then; so
 * does a secret that the board is to share with the fleet in place of a certificate,
 * which the registry keeps, sealed.
 *
 * *ret_record: {thingName, alias?, serialNumber?, board, uid, vendor, model, version, certificateId?,
 * pskIdentity?, attestationIdentity?, keyOrigin: "board"|"host", exposedOnWire, endpoint (of a kind that is not told
 * one: endpointNotTold), items: {NAME: "same"|"written"|"accepted"}, proof: [...], notProved: [...], locks: [...],
 * resumed, changed}.
 *
 * At AWS the thing is made before the board is touched, with attribute "reservation": this journal and its row. Where
 * nobody tells who is connected (neither an operator's certificate nor the fleet index), that is in notProved.
 *
 * IOT_CONFLICT: the board belongs to another fleet, or a name or number is
 * taken, or reserved by another station. IOT_BOARD: board or port. IOT_VERIFY: it did not prove itself, or its
 * certificate's CA is not trusted.
 */
IOT_CHECK enum iot_status iot_provision(struct iot_cloud *cloud, const struct iot_provision_spec *spec,
					json_t **ret_record, struct iot_error *err);

/* --- claims: modules that become devices by themselves ------------------------ */

/* What an ExpressLink module is to be when it shows up at serve's staging endpoint. */
struct iot_claim_spec {
	const char *uid;             /* its thing name to be: what its birth certificate is named */
	const char *alias;           /* NULL: none */
	const char *type;            /* NULL: none; made when it does not exist */
	const char *const *policies; /* NULL-terminated; NULL or none: "device", which a fleet has from its start */
	const char *const *groups;   /* NULL-terminated; NULL: none; must exist */
	const char *certificate;     /* SHA-256 fingerprint of the birth certificate, hex; NULL: any of a trusted CA */
	bool update;                 /* change a claim that is there with other properties, instead of IOT_CONFLICT */
};
/*
 * Ensure a claim. *ret_record: {thingName, alias?, thingTypeName?, policies, groups,
 * certificateId?, changed}. It needs no claim and nothing changes when the UID is
 * a device of that alias and type already. IOT_CONFLICT as iot_local_claim().
 */
IOT_CHECK enum iot_status iot_claim(struct iot_cloud *cloud, const struct iot_claim_spec *spec, json_t **ret_record,
				    struct iot_error *err);
/*
 * Claim what a CSV file lists: columns uid, name, type, policy, group, certificate, of which uid is required; several
 * policies or groups in a cell are separated by ';'. The whole file is looked at before the first claim is made. `each`
 * gets a record per row, {line, thingName, changed, error?}, once the row is safe. IOT_PARTIAL: some failed.
 */
IOT_CHECK enum iot_status iot_claim_file(struct iot_cloud *cloud, const char *path, bool update,
					 enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
					 void *data, struct iot_error *err);

/* --- code signing ------------------------------------------------------------ */

/* Make code-signing key NAME in the fleet directory. Record {name, keyId, type, public}. IOT_CONFLICT if it exists. */
IOT_CHECK enum iot_status iot_codesign_create(struct iot_cloud *cloud, const char *name, const char *type,
					      json_t **ret_record, struct iot_error *err);
IOT_CHECK enum iot_status iot_codesign_list(struct iot_cloud *cloud, json_t **ret_records, struct iot_error *err);
/*
 * The certificate of code-signing key NAME (NULL: "default"), for boards that check updates with one: self-signed, made
 * once and kept as codesign/NAME.pem. PEM is appended.
 */
IOT_CHECK enum iot_status iot_codesign_certificate(struct iot_cloud *cloud, const char *name, struct iot_buf *pem,
						   struct iot_error *err);
/* Path (or pkcs11: URI) of code-signing key `name_or_path`, new memory: NULL means "default". */
IOT_CHECK enum iot_status iot_codesign_path(struct iot_cloud *cloud, const char *name_or_path, char **ret,
					    struct iot_error *err);

/* --- updates ------------------------------------------------------------------ */

/*
 * What an image is for. The first is an ordinary FreeRTOS update; the others go
 * to ExpressLink modules, which tell them apart by the job document's fileType
 * (AWS IoT ExpressLink programmer's guide, OTA updates).
 */
enum iot_push_kind {
	IOT_PUSH_FIRMWARE,    /* no fileType */
	IOT_PUSH_HOST,        /* 202: firmware of the host behind a module; the fleet's key */
	IOT_PUSH_MODULE,      /* 101: the module's own firmware; signed by its vendor */
	IOT_PUSH_MODULE_CERT, /* 103: the module's OTA certificate; signed by its vendor */
	IOT_PUSH_ROOT_CA,     /* 107: root certificate of the endpoint; a certificate, not signed as code */
	IOT_PUSH_HOST_CERT    /* 204: the host's OTA certificate; a certificate, not signed as code */
};
/* "firmware", "host", ... in the order of the enum; NULL-terminated. */
extern const char *const iot_push_kind_names[];

struct iot_push_spec {
	const char *image;
	const struct iot_buf *content; /* of a certificate that the caller has read already; NULL: read the image */
	enum iot_push_kind kind;
	const char *version;            /* of the image; NULL: what the image says of itself */
	const char *const *devices;     /* NULL-terminated names or aliases; NULL: none */
	const char *const *groups;      /* NULL-terminated; NULL: none */
	const char *id;                 /* of the update; NULL: made from image and time */
	const char *key;                /* code-signing key: name, file or pkcs11: URI; NULL: "default" */
	const char *signature;          /* detached signature file made elsewhere; NULL: sign here */
	const char *verify_key;         /* public key that devices check with; NULL: the fleet's default one */
	const char *device_path;        /* "filepath" in the job document; NULL: base name of the image */
	const char *certificate_path;   /* "certfile" in the job document; NULL: "codesign.pem" */
	bool legacy;                    /* allow SHA-1 signatures */
	bool unsigned_image;            /* send no signature; needs unchecked */
	bool unchecked;                 /* send it although the signature check here fails: devices must refuse it */
	bool force;                     /* also to devices that run this version already */
	int64_t timeout_minutes;        /* per device, in progress; 0: 60 */
	int64_t per_minute;             /* roll out to at most so many devices a minute; 0: no limit */
	int64_t retries;                /* so many more attempts for a device that fails or is timed out; 0: none */
	int64_t abort_percent;          /* cancel when so many percent of those that ended have failed; 0: never */
	int64_t abort_after;            /* but not before so many have ended; 0: 1 */
	const char *start;              /* "YYYY-MM-DDTHH:MM" UTC, at least 30 minutes ahead; NULL: now */
	bool via_ota_update;            /* have stream and job made by the OTA service (CreateOTAUpdate) */
	const char *bucket, *role_arn;  /* at AWS: where the image goes, and with which role AWS IoT reads it */
};
/*
 * Check the image, sign it, check the signature against the key that devices
 * have, upload, create stream and job. Nothing is created when a check fails;
 * what a later failure leaves behind is removed again. The key that devices
 * have: verify_key, else the fleet's default one (of a fleet that is elsewhere
 * too); at AWS it has to be named.
 * *ret_record: {updateId, jobId, streamId, version, size, sha256, keyId, targets, changed}.
 */
IOT_CHECK enum iot_status iot_ota_push(struct iot_cloud *cloud, const struct iot_push_spec *spec, json_t **ret_record,
				       struct iot_error *err);

struct iot_watch {
	int64_t timeout_ms;                                        /* 0: none */
	bool from_start; /* the time-out counts from when a scheduled update starts, not from now */
	bool (*interrupted)(void *data);                           /* asked often; true ends the watch */
	void (*progress)(int64_t done, int64_t total, const char *text, void *data);
	void (*changed)(const json_t *execution, void *data);      /* an execution has another state than before */
	void *data;
};
/*
 * Follow an update until every execution has ended. *ret_record: counts and the
 * list of executions. IOT_OK all succeeded; IOT_PARTIAL some did; IOT_FAILURE
 * none did; IOT_ABORTED canceled; IOT_TIMEOUT; IOT_INTERRUPTED (the job goes on).
 */
IOT_CHECK enum iot_status iot_ota_watch(struct iot_cloud *cloud, const char *update, const struct iot_watch *watch,
					json_t **ret_record, struct iot_error *err);
IOT_CHECK enum iot_status iot_ota_show(struct iot_cloud *cloud, const char *update, json_t **ret_record,
				       struct iot_error *err);
IOT_CHECK enum iot_status iot_ota_list(struct iot_cloud *cloud,
				       enum iot_status (*each)(json_t *record, void *data, struct iot_error *err),
				       void *data, struct iot_error *err);
/* Cancel; with `force` also where a device is in the middle of it. */
IOT_CHECK enum iot_status iot_ota_cancel(struct iot_cloud *cloud, const char *update, bool force, json_t **ret_record,
					 struct iot_error *err);
/*
 * Delete streams of updates that no job needs any more: named as updates are, in the document of no job that goes on,
 * and not changed for `older_ms`. With `dry_run` they are only told. Records {streamId, createdAt, deleted}.
 */
IOT_CHECK enum iot_status iot_ota_gc(struct iot_cloud *cloud, int64_t older_ms, bool dry_run, json_t **ret_records,
				     struct iot_error *err);
/* Why each device that has not ended is where it is, with what to do: records {thingName, state, cause, cure}. */
IOT_CHECK enum iot_status iot_ota_doctor(struct iot_cloud *cloud, const char *update, json_t **ret_records,
					 struct iot_error *err);

#endif
