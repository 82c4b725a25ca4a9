/* Whom the broker sees: the proof that a board is connected which is not its own word. */
#ifndef IOTCTL_FLEET_PRESENCE_H
#define IOTCTL_FLEET_PRESENCE_H

#include "iotctl/cloud.h"
#include "iotctl/digest.h"

/* What the broker says of the connection under a thing's name. */
struct presence {
	bool connected;
	int64_t since;         /* seconds */
	bool with_certificate; /* it says which certificate */
	char certificate_id[IOT_SHA256_HEX_SIZE];
	bool untold; /* nobody can say: AWS, whose fleet index is off or closed to us */
};
/* Fails where nobody can say. */
IOT_CHECK enum iot_status fleet_presence(struct iot_cloud *cloud, const char *thing, struct presence *ret,
					 struct iot_error *err);

struct presence_wait {
	struct iot_cloud *cloud;
	const char *thing;
	const char *certificate_id; /* it must have this certificate, where the cloud tells; NULL: any; "": none */
	struct presence before;     /* before it was told to connect */
	int64_t told_at;            /* seconds; 0: it was not told, and what was there before counts */
	int interrupt_fd;           /* below 0: none */
	struct lifecycle *lifecycle; /* at AWS: events that are heard, in place of the fleet index; NULL: none */
};
/*
 * Fill in `before` and `told_at`, at once before the device is told. The cloud tells seconds: a connection of this very
 * second could not be told from the one that is awaited, so the second is waited for to end.
 */
IOT_CHECK enum iot_status fleet_presence_before(struct presence_wait *wait, struct iot_error *err);
/*
 * Wait until the cloud knows a connection that is not what was left of an earlier one, whose end nobody has noticed
 * yet. Serve writes who is there a moment after they came. *ret_seen false: not by the deadline, or untold; *seen is
 * what was there last.
 */
IOT_CHECK enum iot_status fleet_await_presence(const struct presence_wait *wait, int64_t deadline, bool *ret_seen,
					       struct presence *seen, struct iot_error *err);

#endif
