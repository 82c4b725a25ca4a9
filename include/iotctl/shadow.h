/*
 * Shadows of devices, read and changed for a person: by thing name or alias,
 * parsed, and followed live. Documents are AWS IoT's (developer guide, "Device
 * Shadow service documents").
 */
#ifndef IOTCTL_SHADOW_H
#define IOTCTL_SHADOW_H

#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"
#include "iotctl/messaging.h"

#include <stdint.h>

/*
 * In all of these `device` is a thing name or an alias and `name` the shadow's
 * ([a-zA-Z0-9:_-], 1 to 64 characters; NULL: the classic one). They block for as
 * long as the cloud takes. IOT_NOT_FOUND: no such device, or no such shadow.
 */

/* *ret_document: {state: {desired?, reported?, delta?}, metadata, version, timestamp}. */
IOT_CHECK enum iot_status iot_shadow_get(struct iot_cloud *cloud, const char *device, const char *name,
					 json_t **ret_document, struct iot_error *err);
/*
 * `request`: {state: {desired?, reported?}, version?, clientToken?}; a null removes what it stands for. *ret_accepted:
 * {state, metadata, version, timestamp}. IOT_CONFLICT: `version` is not the shadow's.
 */
IOT_CHECK enum iot_status iot_shadow_update(struct iot_cloud *cloud, const char *device, const char *name,
					    const json_t *request, json_t **ret_accepted, struct iot_error *err);
/* *ret_record: {version, timestamp}. A shadow made again within 48 hours goes on from that version. */
IOT_CHECK enum iot_status iot_shadow_delete(struct iot_cloud *cloud, const char *device, const char *name,
					    json_t **ret_record, struct iot_error *err);
/* All shadows of a device: array of {thingName, shadowName?, version, inSync}; the classic one first, without a name.
 */
IOT_CHECK enum iot_status iot_shadow_list(struct iot_cloud *cloud, const char *device, json_t **ret_records,
					  struct iot_error *err);

struct iot_shadow_watch {
	int64_t count;                   /* end after so many changes; 0: no limit */
	int64_t timeout_ms;              /* 0: none */
	bool (*interrupted)(void *data); /* asked several times a second; true ends the watch; may be NULL */
	/* From now on no change is missed; `who` says as whom (iot_messaging_connect). May be NULL. */
	void (*ready)(const char *thing, const char *who, void *data);
	/*
	 * A change: {thingName, shadowName?, event: "update", version, timestamp, state, metadata, previous: {state,
	 * metadata, version}, clientToken?}, or {..., event: "delete", version, timestamp}. Borrowed. A failure ends
	 * the watch.
	 */
	enum iot_status (*changed)(const json_t *record, void *data, struct iot_error *err);
	void *data;
};
/*
 * Follow a shadow through the broker, as it is changed by devices or anybody; it need not exist yet.
 * IOT_AGAIN: serve is not running, or the connection was lost. IOT_DENIED: an operator's policy says no. IOT_TIMEOUT: the time went by before the count was
 * reached; without a count that is the end, and IOT_OK. IOT_INTERRUPTED.
 */
IOT_CHECK enum iot_status iot_shadow_watch(struct iot_cloud *cloud, const struct iot_messaging_where *where,
					   const char *device, const char *name, const struct iot_shadow_watch *watch,
					   struct iot_error *err);

#endif
