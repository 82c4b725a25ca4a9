/*
 * Inside the local cloud: its state, the shape of a handler, and the helpers
 * that every area uses. Only files of this folder include it.
 *
 * A handler carries out one operation. It is called with a request that was
 * checked against the operations table (required members are there, types and
 * limits hold), so it reads members without looking at types again; nested
 * structures it checks itself. *ret_reply starts as an empty object that the
 * handler fills (never replaces). Unless `own_transaction` is set, an operation
 * that is not read_only runs in a write transaction: OK commits, anything else
 * rolls everything back.
 */
#ifndef IOTCTL_LOCAL_PRIVATE_H
#define IOTCTL_LOCAL_PRIVATE_H

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/cloud.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/store.h"
#include "iotctl/text.h"

#define IOT_LOCAL_ARN_PREFIX "arn:aws:iot:local:000000000000:"
/* A page when the request names no size, and its limit (service model: 250). */
#define IOT_PAGE_DEFAULT 25
#define IOT_PAGE_MAX 250

struct iot_local {
	struct iot_store *store;
	struct iot_fleet_paths paths;
	int depth;  /* nested iot_local_begin() */
	bool outer; /* the outermost one joined a transaction of the caller */
	bool wake;  /* a handler wrote what serve must say: wake it after the commit */
};

typedef enum iot_status (*iot_local_run)(struct iot_local *local, const json_t *request, const struct iot_body *in,
					 json_t **ret_reply, struct iot_buf *out, struct iot_error *err);

struct iot_local_handler {
	const char *
		operation; /* "CreateThing"; with the service for others than iot: "iot-jobs-data:UpdateJobExecution" */
	iot_local_run run;
	bool own_transaction; /* calls iot_local_begin() itself: there is slow work before it (hashing, signing), or
				 another need */
};

/* The dispatch table, in parts that end with operation NULL. */
extern const struct iot_local_handler iot_local_registry_handlers[]; /* local/registry.c */
extern const struct iot_local_handler iot_local_jobs_handlers[];     /* local/jobs.c */
extern const struct iot_local_handler iot_local_shadow_handlers[];   /* local/shadows.c */
extern const struct iot_local_handler iot_local_config_handlers[];   /* local/configs.c */
extern const struct iot_local_handler iot_local_secret_handlers[];   /* local/psks.c */
extern const struct iot_local_handler iot_local_key_handlers[];      /* local/device_keys.c */
extern const struct iot_local_handler iot_local_attest_handlers[];   /* local/attest_policies.c */
extern const struct iot_local_handler iot_local_fleet_handlers[];    /* local/facts.c */
extern const struct iot_local_handler iot_local_message_handlers[];  /* local/messages.c */

/* The state behind a cloud made by iot_local_open(). */
struct iot_local *iot_local_of(struct iot_cloud *cloud);

/* --- transactions (local.c) ------------------------------------------------ */

/*
 * Begin a write transaction; inside another one (a batch of the caller's, or a
 * handler's) a savepoint. iot_local_end commits when `status` is IOT_OK and rolls
 * back otherwise; it returns `status`, or what the commit failed with. After the
 * outermost commit a running serve is woken if local->wake was set.
 *
 *	status = iot_local_begin(local, err);
 *	if (status != IOT_OK)
 *		return status;
 *	status = do_it(local, err);
 *	return iot_local_end(local, status, err);
 */
IOT_CHECK enum iot_status iot_local_begin(struct iot_local *local, struct iot_error *err);
IOT_CHECK enum iot_status iot_local_end(struct iot_local *local, enum iot_status status, struct iot_error *err);

/* Datagram to notify.sock. Handlers set local->wake instead. */
void iot_local_notify(struct iot_local *local);

/* A row of the meta table; new memory, NULL when unset. */
IOT_CHECK enum iot_status iot_local_meta(struct iot_local *local, const char *key, char **ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_local_set_meta(struct iot_local *local, const char *key, const char *value,
					     struct iot_error *err);

/* --- ids and names (helpers.c) ---------------------------------------------- */

/* Row ids by name; code ResourceNotFoundException "thing 'pump-1' does not exist". */
IOT_CHECK enum iot_status iot_local_thing_id(struct iot_local *local, const char *name, int64_t *ret,
					     struct iot_error *err);
IOT_CHECK enum iot_status iot_local_group_id(struct iot_local *local, const char *name, int64_t *ret,
					     struct iot_error *err);

/*
 * Start of a query over a group and all groups below it: the group's id is
 * parameter ?1, the ids are in table tree(id):
 *
 *	IOT_SQL_GROUP_TREE "SELECT DISTINCT m.thing_id FROM group_members m JOIN tree ON m.group_id = tree.id"
 */
#define IOT_SQL_GROUP_TREE                                                                                             \
	"WITH RECURSIVE tree(id) AS (SELECT ?1 UNION SELECT g.id FROM groups g JOIN tree ON g.parent_id = tree.id) "

/* ARNs: kind "thing", "cert", "cacert", "policy", "thinggroup", "thingtype", "job", "stream", "otaupdate". */
char *iot_local_arn(const char *kind, const char *name); /* new memory */
void iot_local_set_arn(json_t *object, const char *key, const char *kind, const char *name);
/* The name in an ARN of this cloud and kind, borrowed from `arn`; NULL for any other text. */
const char *iot_local_arn_name(const char *arn, const char *kind);

/* --- times and members (helpers.c) -------------------------------------------- */

/* A time in a reply: whole seconds since 1970, as a JSON integer, everywhere. Nothing is set when ms is 0. */
void iot_local_set_time(json_t *object, const char *key, int64_t ms);
/* Set a member to a JSON text from the registry (trusted); nothing when the text is NULL. */
void iot_local_set_json(json_t *object, const char *key, const char *text);

/* code ResourceNotFoundException / InvalidRequestException / ResourceAlreadyExistsException. */
#define iot_local_not_found(err, ...) iot_cloud_fail(err, "ResourceNotFoundException", __VA_ARGS__)
#define iot_local_invalid(err, ...) iot_cloud_fail(err, "InvalidRequestException", __VA_ARGS__)
#define iot_local_exists(err, ...) iot_cloud_fail(err, "ResourceAlreadyExistsException", __VA_ARGS__)

/* --- paging (helpers.c) -------------------------------------------------------- */

/*
 * Keyset paging: nextToken and maxResults, or marker and pageSize, whichever the
 * request has. The query is ordered by a unique key, starts after page->after
 * (NULL on the first page) and is limited to page->limit + 1 rows:
 *
 *	struct iot_page page = {0};
 *	status = iot_page_init(&page, request, "nextToken", err);
 *	... bind page.after, page.limit + 1 ...
 *	while (iot_page_row(&page, stmt, 0, &status, err))
 *		json_array_append_new(list, ...);
 *	iot_page_finish(&page, reply); (also releases; call iot_page_release on failure)
 */
struct iot_page {
	char *after;            /* key of the last row of the page before, NULL: first page */
	int64_t after_id;       /* the same as a number, for integer keys; 0 on the first page */
	int64_t limit;          /* rows of a page */
	const char *token_name; /* "nextToken" or "marker" in the request */
	int64_t count;          /* private from here */
	bool more;
	char *last;
};
IOT_CHECK enum iot_status iot_page_init(struct iot_page *page, const json_t *request, const char *token_name,
					struct iot_error *err);
/* True: this row belongs to the page (its key is remembered). False: the page is full, there is more. */
bool iot_page_next(struct iot_page *page, const char *key);
/*
 * The next row of the page, known by its column `key` (text or number). False: the page is full, there are no more, or
 * *status, which is IOT_OK before, says why not.
 */
bool iot_page_row(struct iot_page *page, struct iot_stmt *stmt, int key, enum iot_status *status,
		  struct iot_error *err);
/* Set nextToken / nextMarker if there is more, and release. */
void iot_page_finish(struct iot_page *page, json_t *reply);
void iot_page_release(struct iot_page *page); /* fits IOT_CLEAN */

/* --- the trust directory (trust.c) ----------------------------------------------- */

/*
 * Put a certificate into broker/trust, or take it out. Called inside the
 * transaction that changes the registry, which keeps two processes apart. Fine
 * when it is (not) there already.
 */
IOT_CHECK enum iot_status iot_local_trust_add(struct iot_local *local, const char *pem, struct iot_error *err);
IOT_CHECK enum iot_status iot_local_trust_remove(struct iot_local *local, const char *pem, struct iot_error *err);

/* --- what the jobs half offers ----------------------------------------------------- */

/* Add an outbox row (outbox.c) in the current transaction and set local->wake. thing_id 0, topic, payload may be
 * absent. */
IOT_CHECK enum iot_status iot_local_outbox_add(struct iot_local *local, const char *kind, int64_t thing_id,
					       const char *topic, const void *payload, size_t len, int qos, bool retain,
					       struct iot_error *err);
/* A thing joined a group (job_rollout.c): continuous jobs on that group, or a group above it, get an execution for it.
 */
IOT_CHECK enum iot_status iot_local_jobs_joined(struct iot_local *local, int64_t thing_id, int64_t group_id,
						struct iot_error *err);
/* A thing left a group (job_rollout.c): what it has not begun of continuous jobs on that group becomes REMOVED. */
IOT_CHECK enum iot_status iot_local_jobs_left(struct iot_local *local, int64_t thing_id, struct iot_error *err);

#endif
