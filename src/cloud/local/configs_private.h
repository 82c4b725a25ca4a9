/* Inside the local cloud: what configurations, shadows and state reports have to do with one another. */
#ifndef IOTCTL_CONFIGS_PRIVATE_H
#define IOTCTL_CONFIGS_PRIVATE_H

#include "local_private.h"

/* Where a device finds the version, and where it acknowledges it, unless its layout says otherwise. */
#define IOT_CONFIG_MEMBER "configVersion"

/*
 * A device reported its state (acknowledge "state"), a shadow ("shadow") or an event ("event"): if the newest version
 * of its configuration is acknowledged that way and the report has a version, remember it. One that was never sent is
 * only warned of.
 */
IOT_CHECK enum iot_status iot_local_config_reported(struct iot_local *local, int64_t thing_id, const char *thing,
						    const char *acknowledge, const json_t *report,
						    struct iot_error *err);

/*
 * Make `desired` all that a thing's named shadow desires (shadows.c), in the current transaction. Without `tell`
 * nobody hears of it now. Fails as UpdateThingShadow does.
 */
IOT_CHECK enum iot_status iot_local_shadow_desire(struct iot_local *local, const char *thing, const char *name,
						  const json_t *desired, bool tell, struct iot_error *err);
/* The delta of a named shadow, and the topic for it; new memory. Both stay NULL if there is no difference. */
IOT_CHECK enum iot_status iot_local_shadow_delta(struct iot_local *local, const char *thing, const char *name,
						 char **ret_topic, char **ret_payload, struct iot_error *err);

#endif
