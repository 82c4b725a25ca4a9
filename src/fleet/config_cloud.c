/* Which way configurations are kept: our own operations, or (at AWS) shadows. */
#include "fleet/config_private.h"

#include "iotctl/base.h"

static bool own_operations(struct iot_cloud *cloud)
{
	return fleet_is_local(cloud) || fleet_is_remote(cloud);
}

enum iot_status fleet_config_set(struct iot_cloud *cloud, const json_t *request, json_t **ret_reply,
				 struct iot_error *err)
{
	return own_operations(cloud) ? iot_cloud_call(cloud, "SetDeviceConfig", request, NULL, ret_reply, NULL, err)
				     : shadow_config_set(cloud, request, ret_reply, err);
}

/* Newest first. */
static enum iot_status find_version(const json_t *versions, const char *thing, int64_t version, json_t **ret,
				    struct iot_error *err)
{
	json_t *record;
	size_t i;

	json_array_foreach(versions, i, record) {
		if (version == 0 || iot_json_int(record, "version", 0) == version) {
			*ret = json_incref(record);
			iot_json_set_str(*ret, "thingName", thing);
			return IOT_OK;
		}
	}
	if (version == 0)
		return iot_cloud_fail(err, "ResourceNotFoundException", "device '%s' has no configuration", thing);
	return iot_cloud_fail(err, "ResourceNotFoundException", "the configuration of '%s' has no version %lld", thing,
			      (long long)version);
}

enum iot_status fleet_config_get(struct iot_cloud *cloud, const char *thing, int64_t version, json_t **ret_reply,
				 struct iot_error *err)
{
	IOT_JSON versions = NULL;
	json_t *request;
	enum iot_status status;

	if (own_operations(cloud)) {
		request = json_pack("{s:s}", "thingName", thing);
		if (version > 0)
			iot_json_set_int(request, "version", version);
		return fleet_call(cloud, "GetDeviceConfig", request, ret_reply, err);
	}
	status = shadow_config_versions(cloud, thing, &versions, err);
	return status == IOT_OK ? find_version(versions, thing, version, ret_reply, err) : status;
}

enum iot_status fleet_config_versions(struct iot_cloud *cloud, const char *thing, json_t **ret_array,
				      struct iot_error *err)
{
	return own_operations(cloud) ? fleet_collect(cloud, "ListDeviceConfigVersions",
						     json_pack("{s:s}", "thingName", thing), "versions", ret_array, err)
				     : shadow_config_versions(cloud, thing, ret_array, err);
}

enum iot_status fleet_config_each(struct iot_cloud *cloud, json_t *request, fleet_each_fn each, void *data,
				  struct iot_error *err)
{
	enum iot_status status;

	if (own_operations(cloud)) {
		iot_json_set_int(request, "maxResults", 250);
		return fleet_each(cloud, "ListDeviceConfigs", request, "configs", each, data, err);
	}
	status = shadow_config_each(cloud, request, each, data, err);
	json_decref(request);
	return status;
}
