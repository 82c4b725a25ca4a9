/*
 * MQTT topics, filters and client ids: the limits that hold whatever a policy says
 * (AWS IoT Core quotas, "message broker and protocol limits"; MQTT 3.1.1 section 4.7).
 * Failures are IOT_USAGE and name the rule that was broken. Nothing here allocates or blocks.
 */
#ifndef IOTCTL_TOPIC_H
#define IOTCTL_TOPIC_H

#include "iotctl/error.h"

#include <stdbool.h>
#include <stddef.h>

#define IOT_TOPIC_MAX 256 /* bytes */
#define IOT_TOPIC_SLASHES_MAX 7
#define IOT_TOPIC_NAME_MAX 128 /* of the rule or group in a reserved prefix */
#define IOT_TOPIC_PAYLOAD_MAX 131072
#define IOT_CLIENT_ID_MAX 128

/*
 * A topic to publish to: not empty, at most 256 bytes and 7 slashes, valid UTF-8 without
 * NUL, no + or #, and under '$' only "$aws/". "$aws/rules/NAME/" in front is not counted.
 */
IOT_CHECK enum iot_status iot_topic_check_publish(const char *text, size_t len, struct iot_error *err);

/*
 * A filter to subscribe to: the same limits; + alone in its level, # alone and last;
 * under '$' only "$aws/" and "$share/GROUP/FILTER", whose prefix is not counted.
 */
IOT_CHECK enum iot_status iot_topic_check_filter(const char *text, size_t len, struct iot_error *err);

/* A client id: 1 to 128 bytes of valid UTF-8 without control characters. */
IOT_CHECK enum iot_status iot_client_id_check(const char *text, size_t len, struct iot_error *err);

/*
 * Does a message on `topic` go to a subscription to `filter`, both as checked above? A
 * filter that begins with a wildcard does not match topics that begin with '$' (4.7.2).
 * "$share/GROUP/" in front of the filter is skipped.
 */
bool iot_topic_matches(const char *filter, const char *topic);

/* Does every topic that matches `inner` match `outer` too? Both as checked above, neither shared. */
bool iot_topic_covers(const char *outer, const char *inner);

/*
 * What the broker plugin tells the fleet's own user (see broker.h), and the MQTT 5 user properties by which it says who
 * published a message.
 */
#define IOT_EVENT_PREFIX "$iotctl/events/"
#define IOT_PROPERTY_CLIENT "iotctl-client"           /* MQTT client id */
#define IOT_PROPERTY_THING "iotctl-thing"             /* thing name; absent when the client is not a thing's */
#define IOT_PROPERTY_CERTIFICATE "iotctl-certificate" /* certificate id */
/* Of clients with a token: "projects/P/locations/L/registries/R", what their client id has before the device. */
#define IOT_PROPERTY_REGISTRY "iotctl-registry"

#endif
