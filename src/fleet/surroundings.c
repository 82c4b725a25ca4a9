/*
 * What a device must know of its fleet: where the broker is, whom to believe
 * there, and whose signature an update has. Read from the fleet's directory, from
 * a fleet elsewhere by its HTTPS API, or (but for the signature) from AWS.
 */
#include "fleet/fleet_private.h"

#include "iotctl/aws.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"

#include <string.h>

#define DEFAULT_PORT 8883

void fleet_surroundings_release(struct fleet_surroundings *surroundings)
{
	free(surroundings->endpoint);
	iot_buf_release(&surroundings->ca);
	iot_buf_release(&surroundings->signer);
}

static enum iot_status of_directory(struct iot_cloud *cloud, struct fleet_surroundings *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *root = iot_path(iot_local_paths(cloud)->ca_dir, "root.pem");
	IOT_CLEAN(iot_free_p) char *signer = iot_path(iot_local_paths(cloud)->codesign_dir, "default.pub");
	IOT_CLEAN(iot_free_p) char *port = NULL;
	enum iot_status status = iot_local_meta_get(cloud, "endpoint", &ret->endpoint, err);

	if (status == IOT_OK)
		status = iot_local_meta_get(cloud, "port", &port, err);
	if (status == IOT_OK && port != NULL)
		ret->port = strtol(port, NULL, 10);
	if (status == IOT_OK)
		status = iot_fs_read(root, &ret->ca, err);
	return status == IOT_OK ? iot_fs_read(signer, &ret->signer, err) : status;
}

static enum iot_status of_api(struct iot_cloud *cloud, struct fleet_surroundings *ret, struct iot_error *err)
{
	IOT_JSON fleet = NULL;
	enum iot_status status = fleet_call(cloud, "iotctl:DescribeFleet", NULL, &fleet, err);

	if (status != IOT_OK)
		return status;
	ret->endpoint = iot_strdup(iot_json_str(fleet, "endpointAddress", NULL));
	ret->port = iot_json_int(fleet, "port", DEFAULT_PORT);
	iot_buf_adds(&ret->ca, iot_json_str(fleet, "caCertificate", ""));
	iot_buf_adds(&ret->signer, iot_json_str(fleet, "codesignPublicKey", ""));
	if (ret->endpoint == NULL || ret->ca.len == 0)
		return iot_fail(err, IOT_FAILURE,
				"the fleet does not say where its broker is, and whom to believe there");
	status = iot_buf_check(&ret->ca, "the fleet's CA", err);
	return status == IOT_OK ? iot_buf_check(&ret->signer, "the fleet's code-signing key", err) : status;
}

static enum iot_status of_aws(struct iot_cloud *cloud, struct fleet_surroundings *ret, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status =
		fleet_call(cloud, "DescribeEndpoint", json_pack("{s:s}", "endpointType", "iot:Data-ATS"), &reply, err);

	if (status != IOT_OK)
		return status;
	ret->endpoint = iot_strdup(iot_json_str(reply, "endpointAddress", ""));
	/* What AWS's endpoints show; where the system has it not, devices bring their own. */
	return iot_fs_exists(IOT_AWS_ROOT_CA) ? iot_fs_read(IOT_AWS_ROOT_CA, &ret->ca, err) : IOT_OK;
}

enum iot_status fleet_surroundings(struct iot_cloud *cloud, struct fleet_surroundings *ret, struct iot_error *err)
{
	struct fleet_surroundings found = {
		.port = DEFAULT_PORT, .ca = IOT_BUF_INIT(IOT_CERT_PEM_MAX), .signer = IOT_BUF_INIT(IOT_CERT_PEM_MAX)};
	enum iot_status status;

	if (fleet_is_local(cloud))
		status = of_directory(cloud, &found, err);
	else if (fleet_is_remote(cloud))
		status = of_api(cloud, &found, err);
	else
		status = of_aws(cloud, &found, err);
	if (status == IOT_OK)
		*ret = found;
	else
		fleet_surroundings_release(&found);
	return status;
}

enum iot_status iot_fleet_root(struct iot_cloud *cloud, struct iot_buf *pem, struct iot_error *err)
{
	struct fleet_surroundings surroundings;
	enum iot_status status;

	if (!fleet_is_remote(cloud) && (status = iot_fleet_need_local(cloud, err)) != IOT_OK)
		return status;
	status = fleet_surroundings(cloud, &surroundings, err);
	if (status != IOT_OK)
		return status;
	iot_buf_add(pem, surroundings.ca.data, surroundings.ca.len);
	fleet_surroundings_release(&surroundings);
	return iot_buf_check(pem, "the root certificate", err);
}
