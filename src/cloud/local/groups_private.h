/* A thing group's record, shared by the files about groups and their members. */
#ifndef IOTCTL_GROUPS_PRIVATE_H
#define IOTCTL_GROUPS_PRIVATE_H

#include "registry_private.h"

struct iot_group {
	int64_t id, parent_id, version, created_at;
	char *uuid, *description;
	json_t *attributes;
};

void iot_group_release(struct iot_group *group); /* fits IOT_CLEAN */
IOT_CHECK enum iot_status iot_group_load(struct iot_local *local, const char *name, struct iot_group *ret,
					 bool *ret_found, struct iot_error *err);
/* The topmost group above one, or itself. */
IOT_CHECK enum iot_status iot_group_root(struct iot_local *local, int64_t group_id, int64_t *ret,
					 struct iot_error *err);
/* Append {groupName, groupArn}. */
void iot_group_append(json_t *list, const char *name);

#endif
