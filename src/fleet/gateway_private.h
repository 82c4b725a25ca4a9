/* The two halves of a gateway's administration: documents, and what is done with them. */
#ifndef IOTCTL_GATEWAY_PRIVATE_H
#define IOTCTL_GATEWAY_PRIVATE_H

#include "fleet/fleet_private.h"

#define GATEWAY_POLICIES_MAX 10 /* of one certificate (AWS IoT quotas) */

/* Policy documents for these children ({thingName, thingTypeName?}, sorted by type): an array of texts, at least one.
 */
IOT_CHECK enum iot_status gateway_documents(struct iot_cloud *cloud, json_t *children, const char *prefix, json_t **ret,
					    struct iot_error *err);

#endif
