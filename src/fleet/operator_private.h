/* Inside of operators: what roles mean, and the profile file. */
#ifndef IOTCTL_OPERATOR_PRIVATE_H
#define IOTCTL_OPERATOR_PRIVATE_H

#include "fleet/fleet_private.h"
#include "iotctl/profile.h"

/* The policy document of a role for an operator; new memory. IOT_USAGE: no such role. */
IOT_CHECK enum iot_status operator_role_document(const char *role, const char *name, char **ret, struct iot_error *err);
/* The text of a profile file, into a secret buffer. */
void operator_profile_text(const struct iot_profile *profile, struct iot_buf *secret);

#endif
