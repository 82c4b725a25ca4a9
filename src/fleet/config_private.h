/*
 * Configurations in the cloud: our own operations on a fleet of the local cloud
 * (here or elsewhere), shadows at AWS, which has no such operations.
 */
#ifndef IOTCTL_FLEET_CONFIG_PRIVATE_H
#define IOTCTL_FLEET_CONFIG_PRIVATE_H

#include "fleet/fleet_private.h"

/* Requests and replies as of SetDeviceConfig, GetDeviceConfig, ListDeviceConfigs (cloud/operations/configs.inc). */
IOT_CHECK enum iot_status fleet_config_set(struct iot_cloud *cloud, const json_t *request, json_t **ret_reply,
					   struct iot_error *err);
IOT_CHECK enum iot_status fleet_config_get(struct iot_cloud *cloud, const char *thing, int64_t version,
					   json_t **ret_reply, struct iot_error *err);
IOT_CHECK enum iot_status fleet_config_versions(struct iot_cloud *cloud, const char *thing, json_t **ret_array,
						struct iot_error *err);
/* `request` is released. */
IOT_CHECK enum iot_status fleet_config_each(struct iot_cloud *cloud, json_t *request, fleet_each_fn each, void *data,
					    struct iot_error *err);

/* config_shadow.c: the same with shadows. */
IOT_CHECK enum iot_status shadow_config_set(struct iot_cloud *cloud, const json_t *request, json_t **ret_reply,
					    struct iot_error *err);
IOT_CHECK enum iot_status shadow_config_versions(struct iot_cloud *cloud, const char *thing, json_t **ret_array,
						 struct iot_error *err);
IOT_CHECK enum iot_status shadow_config_each(struct iot_cloud *cloud, const json_t *request, fleet_each_fn each,
					     void *data, struct iot_error *err);

#endif
