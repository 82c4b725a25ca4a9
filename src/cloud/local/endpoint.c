/* The endpoint: one host name for every kind of traffic. */
#include "registry_private.h"

enum iot_status iot_op_describe_endpoint(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *endpoint = NULL;
	enum iot_status status = iot_local_meta(local, "endpoint", &endpoint, err);

	(void)request;
	if (status == IOT_OK)
		iot_json_set_str(reply, "endpointAddress", endpoint != NULL ? endpoint : "localhost");
	return status;
}
