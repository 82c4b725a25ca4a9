/*
 * Gateways and their children: devices that reach the cloud through a gateway,
 * which is a device of the fleet itself (gateway.h is what it runs).
 *
 * A child is a thing with the attribute "gateway", the gateway's name. What it
 * says may be copied to other children of the same gateway: attribute "copyTo",
 * "DEVICE[:ROLE][,...]" (roles: event, state, reply; without one, all).
 * The gateway's rights are policies "gateway-NAME", "gateway-NAME-2" and so on,
 * made from the topics that its children have in their layouts.
 */
#ifndef IOTCTL_CHILDREN_H
#define IOTCTL_CHILDREN_H

#include "iotctl/cloud.h"

#define IOT_GATEWAY_ATTRIBUTE "gateway"
#define IOT_GATEWAY_COPY_ATTRIBUTE "copyTo"
#define IOT_GATEWAY_PREFIX_ATTRIBUTE "childPrefix"

struct iot_gateway_spec {
	const char *name;
	const char *out;  /* folder for key, certificate, CA, endpoint */
	const char *type; /* thing type; NULL: "gateway" */
	const char
		*prefix; /* children have names that begin so, and the rights go by that; NULL: by each child's name */
	int days;        /* validity of the certificate; 0: the fleet's */
};
/*
 * Ensure a gateway: a device (iot_device_create) with the rights of those children that it has. *ret_record as of
 * iot_device_create. A prefix is changed by iot_device_update of its attribute, not by this.
 */
IOT_CHECK enum iot_status iot_gateway_create(struct iot_cloud *cloud, const struct iot_gateway_spec *spec,
					     json_t **ret_record, struct iot_error *err);

/*
 * Make a device a child of a gateway, and bring its rights up to date; copies: NULL-terminated "DEVICE[:ROLE]", NULL:
 * as it is. *ret_record: {thingName, gateway, copyTo?, policies: [], changed}. IOT_CONFLICT: it is another gateway's,
 * or has not the prefix; IOT_USAGE: more children than AWS IoT has room for in policies.
 */
IOT_CHECK enum iot_status iot_gateway_add(struct iot_cloud *cloud, const char *gateway, const char *device,
					  const char *const *copies, json_t **ret_record, struct iot_error *err);
/* The opposite. IOT_NOT_FOUND: it is no child of this one. */
IOT_CHECK enum iot_status iot_gateway_remove(struct iot_cloud *cloud, const char *gateway, const char *device,
					     json_t **ret_record, struct iot_error *err);
/* Children by name: array of {thingName, thingTypeName?, copyTo?}. IOT_NOT_FOUND: there is no such gateway. */
IOT_CHECK enum iot_status iot_gateway_children(struct iot_cloud *cloud, const char *gateway, json_t **ret_records,
					       struct iot_error *err);

/*
 * What a gateway needs on another machine, in one folder: its own device folder (copied from `identity`), and its
 * children (IOT_GATEWAY_EXPORT, 0600), which a later call replaces in one step. `identity` may be NULL when the folder
 * has it already. *ret_record: {thingName, children, out}. IOT_CONFLICT: the folder is another gateway's, or the one
 * that was made by iot_gateway_create; IOT_USAGE: there is no identity, or no local fleet. Blocks on the disk.
 */
#define IOT_GATEWAY_EXPORT "children.db"
#define IOT_GATEWAY_EXPORT_MAX (256 * 1024 * 1024)
#define IOT_GATEWAY_EXPORT_LAYOUT "layoutText/" /* and a layout's name: its text, in table meta */
IOT_CHECK enum iot_status iot_gateway_export(struct iot_cloud *cloud, const char *gateway, const char *identity,
					     const char *out, json_t **ret_record, struct iot_error *err);

#endif
