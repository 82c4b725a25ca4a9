/*
 * The dispatch table of the registry half: things, types, groups, certificates,
 * CA certificates, policies.
 */
#include "registry_private.h"

#define ADAPT(operation, function, own)                                                                                \
	static enum iot_status run_##function(struct iot_local *local, const json_t *request,                          \
					      const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,      \
					      struct iot_error *err)                                                   \
	{                                                                                                              \
		(void)in;                                                                                              \
		(void)out;                                                                                             \
		return iot_op_##function(local, request, *ret_reply, err);                                             \
	}
IOT_REGISTRY_OPERATIONS(ADAPT)

#define ROW(operation, function, own) {#operation, run_##function, own},
const struct iot_local_handler iot_local_registry_handlers[] = {IOT_REGISTRY_OPERATIONS(ROW){NULL, NULL, false}};
