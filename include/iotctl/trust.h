/*
 * Endpoints and root CAs are renewed in the field. A device that believes nobody
 * any more cannot be told so over the network: the new one is staged, a
 * connection with it proved, and only then is the old one given up; a proof that
 * fails goes back to the old.
 *
 * Three ways: a board on a port (iot_trust_board); ExpressLink modules over the
 * air (root CA only: OTA file type 107); other devices by a job document,
 * {"iotctl": {"trust": {"endpoint", "port", "rootCa"}}} (iotctl-trust(7)).
 *
 * Local checks come first: somebody answers at the endpoint that devices will use,
 * with a certificate that the root CA which they will have verifies (IOT_VERIFY,
 * IOT_AGAIN). `force` does without them.
 */
#ifndef IOTCTL_TRUST_H
#define IOTCTL_TRUST_H

#include "iotctl/cloud.h"
#include "iotctl/fleet.h"

/* What is new. At least one of the two. */
struct iot_trust_change {
	const char *endpoint; /* HOST or HOST:PORT; NULL: stays */
	const char *root_ca;  /* file with one certificate (PEM); NULL: stays */
	bool force;           /* no local checks */
	bool dry_run;         /* look, check, change nothing */
};

struct iot_trust_board_spec {
	struct iot_trust_change change;
	const char *board; /* description: name or path */
	const char *port;
	int baud, pulse;           /* as in struct iot_provision_spec */
	const char *old_root_ca;   /* file: what the board has now, to go back to; NULL: the fleet's */
	struct iot_cloud *seen_at; /* the fleet whose broker answers at the new endpoint; NULL: this one, if it does */
	const char *journal;       /* file of the station's journal; made when it is missing */
	const char *transcript;    /* NULL: none */
	int interrupt_fd;          /* below 0: none */
	int connect_timeout_ms;    /* 0: 120 s */
	int proof_timeout_ms;      /* the broker must have seen it by then; 0: 15 s */
	int answer_ms;             /* 0: the kind's own */
	void (*progress)(const char *step, void *data); /* may be NULL */
	/* For tests: a place where a kill leaves something else behind than at the one before. May be NULL. */
	void (*point)(const char *step, void *data);
	void *data;
};
/*
 * Give the board on a port new trust. What it had is in the journal before it is touched; the same call again finishes
 * one that was killed. A board that connects when told to is told; another is started and must be seen by the broker.
 * *ret_record: {thingName, board, uid?, endpoint, oldEndpoint, rootCaId?, proof: [...], notProved: [...], resumed,
 * changed}.
 *
 * IOT_VERIFY: it did not connect with the new trust and has its old one again. IOT_CONFLICT: it holds a root CA that
 * nobody here knows, so that there would be no way back. IOT_USAGE: nobody here could see it at the new endpoint. After
 * IOT_INTERRUPTED, or when it cannot be reached, it is left where it is for the next call.
 */
IOT_CHECK enum iot_status iot_trust_board(struct iot_cloud *cloud, const struct iot_trust_board_spec *spec,
					  json_t **ret_record, struct iot_error *err);

struct iot_trust_field_spec {
	struct iot_trust_change change;
	const char *const *devices; /* NULL-terminated names or aliases; NULL: none */
	const char *const *groups;  /* NULL-terminated; NULL: none */
	const char *id;         /* of the jobs; NULL: made of what is new, so that the same call finds the same jobs */
	const char *journal;    /* file: keeps the id of the jobs for the same call again; NULL: none */
	int64_t device_minutes; /* a device that takes longer is timed out; 0: 60 */
	int64_t per_minute;     /* roll out to at most so many devices a minute; 0: no limit */
	bool wait;              /* until all have ended; else the jobs are made and that is all */
	int64_t max_failures;   /* while waiting: cancel the rest and end with IOT_ABORTED at so many; 0: never */
	int64_t timeout_ms;     /* of waiting; 0: none */
	bool (*interrupted)(void *data);                                             /* may be NULL */
	void (*progress)(int64_t done, int64_t total, const char *text, void *data); /* may be NULL */
	/* For tests, as above. */
	void (*point)(const char *step, void *data);
	void *data;
};
/*
 * Give devices in the field new trust: a job for those that carry out a job document, an update of type 107 for
 * ExpressLink modules, which can be told a root CA but no endpoint (IOT_USAGE), and prove it when they connect next.
 * *ret_record: {id, jobs: [...], devices: [{thingName, job, status, reason?}], notProved: [...], resumed, changed};
 * also when some failed. IOT_PARTIAL, IOT_FAILURE, IOT_ABORTED, IOT_TIMEOUT and IOT_INTERRUPTED as of iot_ota_watch.
 */
IOT_CHECK enum iot_status iot_trust_field(struct iot_cloud *cloud, const struct iot_trust_field_spec *spec,
					  json_t **ret_record, struct iot_error *err);

#endif
