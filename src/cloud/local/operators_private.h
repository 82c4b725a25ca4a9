/* Between the two halves of operators: rows (operators.c) and rights (operator_rights.c). */
#ifndef IOTCTL_OPERATORS_PRIVATE_H
#define IOTCTL_OPERATORS_PRIVATE_H

#include "local_private.h"

#include "iotctl/seal.h"

/* In the fleet directory; not among what a backup copies. */
/* The fleet's sealing key, to be wiped by the caller. IOT_NOT_FOUND: there is none (any more). */
IOT_CHECK enum iot_status operators_key(struct iot_local *local, uint8_t key[IOT_SEAL_KEY_SIZE], struct iot_error *err);
/* The same, made if it is missing; but not if there is something in the registry that a lost one has sealed for devices. */
IOT_CHECK enum iot_status operators_ensure_key(struct iot_local *local, uint8_t key[IOT_SEAL_KEY_SIZE],
					       struct iot_error *err);

#endif
