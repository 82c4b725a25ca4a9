/* Shared by the use-cases: short ways to call a cloud and to walk its lists. */
#ifndef IOTCTL_FLEET_PRIVATE_H
#define IOTCTL_FLEET_PRIVATE_H

#include "iotctl/cert.h"
#include "iotctl/fleet.h"

#include <stdarg.h>

/* Prefix of the job ids of updates, as AWS's own OTA service makes them. */
#define FLEET_OTA_PREFIX "AFR_OTA-"

/* iot_cloud_call with a request that is released; reply may be NULL. */
IOT_CHECK enum iot_status fleet_call(struct iot_cloud *cloud, const char *operation, json_t *request,
				     json_t **ret_reply, struct iot_error *err);

/* Thing attribute of devices that a board's kind matters for: "expresslink". */
#define FLEET_BOARD_ATTRIBUTE "board"

/*
 * A deletion of what was just detached: on AWS it is refused for a while, which
 * is waited out (half a minute at most).
 */
IOT_CHECK enum iot_status fleet_delete(struct iot_cloud *cloud, const char *operation, const char *member,
				       const char *name, struct iot_error *err);

/*
 * Walk a paged list: `each` gets every element of the reply's member `items`
 * (borrowed). A status other than IOT_OK from it ends the walk and is returned.
 * `request` is released.
 */
typedef enum iot_status (*fleet_each_fn)(json_t *item, void *data, struct iot_error *err);
IOT_CHECK enum iot_status fleet_each(struct iot_cloud *cloud, const char *operation, json_t *request, const char *items,
				     fleet_each_fn each, void *data, struct iot_error *err);
/* The whole list as one array. */
IOT_CHECK enum iot_status fleet_collect(struct iot_cloud *cloud, const char *operation, json_t *request,
					const char *items, json_t **ret_array, struct iot_error *err);

/*
 * Is this a fleet of the local cloud that is somewhere else: its HTTPS API, which also carries out our own operations
 * (DescribeFleet and so on), where AWS does not?
 */
bool fleet_is_remote(struct iot_cloud *cloud);

bool fleet_is_local(const struct iot_cloud *cloud);

/* The fleet's name in a station's journal: one station may serve several. Borrowed. */
const char *fleet_id(struct iot_cloud *cloud);

/* Calls between these two are done together or not at all, also when the process is killed; on AWS each by itself. */
IOT_CHECK enum iot_status fleet_begin(struct iot_cloud *cloud, struct iot_error *err);
/* Keep what they did if `status` is IOT_OK, else take it back. Returns it, or why it could not be kept. */
IOT_CHECK enum iot_status fleet_end(struct iot_cloud *cloud, enum iot_status status, struct iot_error *err);

/* "arn:aws:iot:REGION:ACCOUNT:KIND/NAME"; new memory. */
char *fleet_arn(struct iot_cloud *cloud, const char *kind, const char *name);
/* What follows the first '/' of an ARN; borrowed from it. */
const char *fleet_arn_name(const char *arn);

/* What a device must know of its fleet. `signer` is empty at AWS, `ca` where the system has not Amazon's root. */
struct fleet_surroundings {
	char *endpoint;
	int64_t port;
	struct iot_buf ca, signer; /* PEM */
};
IOT_CHECK enum iot_status fleet_surroundings(struct iot_cloud *cloud, struct fleet_surroundings *ret,
					     struct iot_error *err);
void fleet_surroundings_release(struct fleet_surroundings *surroundings);

/*
 * Store an image as an object, in parts when it has more than 8 MiB. *ret_version (new memory): of the object, NULL
 * where the bucket keeps none.
 */
IOT_CHECK enum iot_status fleet_upload(struct iot_cloud *cloud, const char *bucket, const char *key, const void *data,
				       size_t len, char **ret_version, struct iot_error *err);

/* Make a thing type that is not there; NULL: none is wanted. *changed only becomes true. */
IOT_CHECK enum iot_status fleet_ensure_type(struct iot_cloud *cloud, const char *type, bool *changed,
					    struct iot_error *err);

/*
 * Attach policies (NULL-terminated, may be NULL) and the thing to a certificate; `fresh`: one that was just made, so that
 * what it has need not be listed. *changed only becomes true.
 */
IOT_CHECK enum iot_status fleet_attach(struct iot_cloud *cloud, const char *thing, const char *const *policies,
				       const char *arn, bool fresh, bool *changed, struct iot_error *err);

/* Take a certificate from a thing: inactive, detached, deleted; one that other things use too is only detached. */
IOT_CHECK enum iot_status fleet_drop_certificate(struct iot_cloud *cloud, const char *thing, const char *arn,
						 struct iot_error *err);

/* Is this the error of an object that exists already / does not exist? */
bool fleet_exists(const struct iot_error *err);
bool fleet_missing(const struct iot_error *err);

/* The JSON pointer (RFC 6901) of a member below another one ("" for the whole); new memory (config_schema.c). */
char *fleet_pointer(const char *path, const char *name);

/*
 * The newest execution of each thing of a job, an object by thing name: {thingName, status, executionNumber, queuedAt,
 * startedAt, updatedAt}, and of a few that have begun also what they told last {reason, received, selfTest, updatedBy}.
 */
IOT_CHECK enum iot_status fleet_executions(struct iot_cloud *cloud, const char *job, json_t **ret,
					   struct iot_error *err);
/* Is this the status of an execution that has ended, whichever way? */
bool fleet_execution_is_over(const char *status);

/*
 * Append what is wrong: {`key`: `subject`, rule, message, hint?}; whatever of the message came from a file is made
 * printable.
 */
void fleet_finding(json_t *findings, const char *key, const char *subject, const char *rule, const char *hint,
		   const char *fmt, va_list args);

/* Seconds (AWS's JSON timestamps, integer or real) to milliseconds; 0 when absent. */
int64_t fleet_time_ms(const json_t *object, const char *key);
/* Set `key` to an RFC 3339 text when ms is not 0. */
void fleet_set_time(json_t *object, const char *key, int64_t ms);

#endif
