/* Inside of operators: what roles mean, and the profile file. */
#ifndef IOTCTL_OPERATOR_PRIVATE_H
#define IOTCTL_OPERATOR_PRIVATE_H

#include "fleet/fleet_private.h"
#include "iotctl/profile.h"

/* The policy document of a role for an operator, by the layouts as they are; new memory. IOT_USAGE: no such role. */
IOT_CHECK enum iot_status operator_role_document(struct iot_cloud *cloud, const char *role, const char *name,
						 char **ret, struct iot_error *err);
/*
 * Append the topics on which only devices speak as resources of a policy, ", \"ARN\"" each, at most `room` characters.
 * What devices are told on stays out, and so does what a pattern cannot tell from it.
 */
IOT_CHECK enum iot_status operator_device_topics(struct iot_cloud *cloud, size_t room, struct iot_buf *out,
						 struct iot_error *err);
/* The text of a profile file, into a secret buffer. */
void operator_profile_text(const struct iot_profile *profile, struct iot_buf *secret);

#endif
