/*
 * What AWS says of the connections of one client: lifecycle events, heard with an operator's certificate. They are the
 * only place where AWS tells by which certificate a client connected (AWS IoT Core developer guide, "Lifecycle
 * events").
 */
#ifndef IOTCTL_FLEET_LIFECYCLE_H
#define IOTCTL_FLEET_LIFECYCLE_H

#include "iotctl/digest.h"
#include "iotctl/messaging.h"

struct lifecycle;

struct lifecycle_state {
	bool connected;
	int64_t since; /* seconds, of the service's clock; 0: no event was heard yet */
	char certificate_id[IOT_SHA256_HEX_SIZE];
};

/*
 * Connect and subscribe to the events of `thing`, the client id of which is its name. What happened before is not told.
 * Fails as iot_messaging_connect and iot_mqtt_subscribe_wait.
 */
IOT_CHECK enum iot_status lifecycle_open(const struct iot_messaging_where *where, const char *thing,
					 struct lifecycle **ret, struct iot_error *err);
void lifecycle_free(struct lifecycle *lifecycle);
/* Listen for up to wait_ms (less when something came). IOT_AGAIN: the connection is lost. */
IOT_CHECK enum iot_status lifecycle_hear(struct lifecycle *lifecycle, int wait_ms, struct lifecycle_state *ret,
					 struct iot_error *err);

#endif
