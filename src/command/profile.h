/* An operator's profile as commands use it. */
#ifndef IOTCTL_COMMAND_PROFILE_H
#define IOTCTL_COMMAND_PROFILE_H

#include "command/context.h"
#include "iotctl/buf.h"
#include "iotctl/profile.h"

/* Settings that only a profile has; for the hooks. */
extern const struct setting command_settings[];

/* `values` borrows from here and from the settings. */
struct command_profile {
	struct iot_profile values;
	struct iot_buf certificate, key, ca;
};

/* IOT_SETTINGS names what is missing or malformed. */
IOT_CHECK enum iot_status command_profile_read(const struct settings *settings, struct command_profile *ret,
					       struct iot_error *err);
/* The profile of the command's settings, read once; NULL when there is none. Borrowed. */
IOT_CHECK enum iot_status command_profile(struct cli_context *ctx, const struct iot_profile **ret,
					  struct iot_error *err);
void command_profile_release(struct command_profile *profile);

#endif
