/* What of secrets leaves the registry other than by its operations. */
#ifndef IOTCTL_PSKS_PRIVATE_H
#define IOTCTL_PSKS_PRIVATE_H

#include "local_private.h"

#include "iotctl/seal.h"

/*
 * Copy the active secrets of those things that are in the attached database "extract" into it, under the same numbers,
 * sealed with this key.
 */
IOT_CHECK enum iot_status psks_extract(struct iot_local *local, const uint8_t seal[IOT_SEAL_KEY_SIZE],
				       struct iot_error *err);

#endif
