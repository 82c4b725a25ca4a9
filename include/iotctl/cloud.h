/*
 * The cloud contract. An operation is its unit: AWS IoT's operation and member
 * names, JSON for records, a body (memory or file) for what is bytes. One table
 * (cloud/operations.c) describes every operation; a cloud carries them out.
 *
 * Member names, limits and errors: the AWS IoT API reference (service models of
 * iot, iot-data and iot-jobs-data).
 */
#ifndef IOTCTL_CLOUD_H
#define IOTCTL_CLOUD_H

#include "iotctl/buf.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

#include <stdint.h>

/* --- the table ---------------------------------------------------------- */

enum iot_where { IOT_IN_BODY, IOT_IN_PATH, IOT_IN_QUERY, IOT_IN_HEADER, IOT_AS_PAYLOAD };
enum iot_member_type {
	IOT_T_STRING, IOT_T_INTEGER, IOT_T_BOOLEAN, IOT_T_TIMESTAMP,
	IOT_T_OBJECT, IOT_T_LIST, IOT_T_MAP /* string to string */, IOT_T_BLOB
};

/* One member of a request. */
struct iot_member {
	const char *name;         /* the API's name ("thingName") */
	const char *wire;         /* its name on the wire when it differs ("x-amzn-principal"), else NULL */
	enum iot_where where;
	enum iot_member_type type;
	bool required;
	int64_t min, max;         /* length of strings and lists, value of integers; max 0: no limit */
	const char *pattern;      /* set of characters allowed, as a key of the name rules; NULL: any */
	const char *const *choices; /* NULL-terminated list of values; NULL: any */
};

struct iot_operation {
	const char *name;          /* "CreateThing" */
	const char *service;       /* signing name: "iot", "iotdata", "iot-jobs-data", "s3", or "iotctl" for our own */
	const char *method, *uri;  /* "POST", "/things/{thingName}" */
	const char *summary;       /* one line for 'iotctl api --list' */
	const struct iot_member *members; /* ends with name NULL */
	const char *const *reply;  /* names of the reply's members, NULL-terminated */
	bool read_only;            /* changes nothing: safe to repeat */
	bool idempotent;           /* repeating it after an unknown outcome is safe */
};

extern const struct iot_operation iot_operations[];
extern const size_t iot_operation_count;

/*
 * By name ("CreateThing", or "iot-jobs-data:DescribeJobExecution" where two
 * services share one; a bare name means service iot); also in the AWS CLI's
 * spelling "create-thing". NULL if there is none.
 */
const struct iot_operation *iot_operation_find(const char *name);

/*
 * Check a request against the table: required members, types, names, limits,
 * unknown members. IOT_USAGE with code "InvalidRequestException" (or
 * "ValidationException" where the service says so), naming the member and the rule.
 */
IOT_CHECK enum iot_status iot_operation_check(const struct iot_operation *op, const json_t *request,
					      struct iot_error *err);

/* --- bodies ------------------------------------------------------------- */

/* Bytes that go with a request or come with a reply: from memory, or from an open file (fd >= 0, from its start). */
struct iot_body {
	const void *data;
	size_t len;
	int fd; /* -1: data and len count */
};

/* --- a cloud ------------------------------------------------------------ */

struct iot_cloud;

/*
 * Carry out one operation. `request` is a JSON object with the members that
 * travel in path, query, header and body (NULL: none); `in` the payload (NULL:
 * none). On success *ret_reply is a new JSON object (never NULL unless
 * ret_reply is NULL) and a reply payload is appended to `out` (may be NULL).
 * On failure err->code holds the service's error code. The request is checked
 * against the table first. Blocks on disk or network, within the cloud's time-outs.
 */
IOT_CHECK enum iot_status iot_cloud_call(struct iot_cloud *cloud, const char *operation, const json_t *request,
					 const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
					 struct iot_error *err);

/*
 * Run `work` several times at once, each in a strand of its own, where the cloud is far enough away for that to pay: at
 * AWS and any endpoint 64 times, on the local cloud once. Only one strand runs at any moment; it gives way to the others
 * where it waits in iot_cloud_call or iot_cloud_pause, and nowhere else. So strands share memory without locks, and what
 * they share may change during those two. They share the cloud's rates, connections and credentials, too. Returns when
 * all have returned; only strands may use the cloud until then.
 */
void iot_cloud_together(struct iot_cloud *cloud, void (*work)(void *data), void *data);
/* Wait so long; other strands go on meanwhile. */
void iot_cloud_pause(struct iot_cloud *cloud, int ms);

/*
 * While many devices are worked on, what they have in common (policies, groups, types and their tags, endpoint, layouts)
 * is asked for once: successful answers are remembered until this is switched off.
 */
void iot_cloud_remember(struct iot_cloud *cloud, bool on);

/* What the error code of a service means here: exit status and HTTP status. Unknown codes: IOT_FAILURE, 500. */
enum iot_status iot_cloud_code_status(const char *code);
int iot_cloud_code_http(const char *code);
/* iot_fail with the status that belongs to `code`, and the code set. */
enum iot_status iot_cloud_fail(struct iot_error *err, const char *code, const char *fmt, ...) IOT_PRINTF(3, 4);

void iot_cloud_free(struct iot_cloud *cloud);
void iot_cloud_free_p(struct iot_cloud **cloud); /* for IOT_CLEAN */

/* "local" or "aws". */
const char *iot_cloud_kind(const struct iot_cloud *cloud);
/* "arn:aws:iot:REGION:ACCOUNT:" of this cloud; local: "arn:aws:iot:local:000000000000:". Borrowed. */
const char *iot_cloud_arn_prefix(const struct iot_cloud *cloud);

/* --- the slots a cloud fills --------------------------------------------- */

struct iot_cloud_ops {
	const char *kind;
	enum iot_status (*call)(void *self, const struct iot_operation *op, const json_t *request,
				const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				struct iot_error *err);
	const char *(*arn_prefix)(void *self);
	/* Both may be NULL: the work is done once, and a pause is slept. */
	void (*together)(void *self, void (*work)(void *data), void *data);
	void (*pause)(void *self, int ms);
	void (*free)(void *self);
};
/* For implementers (cloud/local, later cloud/aws). Takes `self`. */
struct iot_cloud *iot_cloud_new(const struct iot_cloud_ops *ops, void *self);
void *iot_cloud_self(struct iot_cloud *cloud);

#endif
