/* A policy's record, shared by the files about policies, attachments and decisions. */
#ifndef IOTCTL_POLICIES_PRIVATE_H
#define IOTCTL_POLICIES_PRIVATE_H

#include "registry_private.h"

struct iot_policy_row {
	int64_t id, default_version, next_version, created_at, modified_at;
};

IOT_CHECK enum iot_status iot_policy_row_find(struct iot_local *local, const char *name, struct iot_policy_row *ret,
					      bool *ret_found, struct iot_error *err);
/* Code ResourceNotFoundException. */
IOT_CHECK enum iot_status iot_policy_row_need(struct iot_local *local, const char *name, struct iot_policy_row *ret,
					      struct iot_error *err);
/* Rows of (id, name) as {policyName, policyArn}, until the page is full. */
IOT_CHECK enum iot_status iot_policies_collect(struct iot_stmt *stmt, struct iot_page *page, json_t *list,
					       struct iot_error *err);

#endif
