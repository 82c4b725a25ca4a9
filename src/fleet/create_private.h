/* Parts of making a device that AWS does otherwise (create_aws.c). */
#ifndef IOTCTL_FLEET_CREATE_PRIVATE_H
#define IOTCTL_FLEET_CREATE_PRIVATE_H

#include "fleet/fleet_private.h"
#include "iotctl/base.h"
#include "iotctl/cert.h"

/*
 * Append an ACTIVE certificate for the key: a new one, or (unless the key is fresh) the one that an interrupted
 * call has had made.
 */
IOT_CHECK enum iot_status fleet_aws_issue(struct iot_cloud *cloud, const struct iot_device_spec *spec,
					  const struct iot_key *key, bool fresh, struct iot_buf *pem, char **ret_id,
					  struct iot_error *err);
/* Have AWS make an ACTIVE certificate for a request. New reference in *ret_reply. */
IOT_CHECK enum iot_status fleet_aws_sign(struct iot_cloud *cloud, const struct iot_buf *csr, json_t **ret_reply,
					 struct iot_error *err);
/* Its id (new memory). IOT_CONFLICT if the account does not know this certificate, which lies at `path`. */
IOT_CHECK enum iot_status fleet_aws_certificate_id(struct iot_cloud *cloud, const struct iot_cert *cert,
						   const char *path, char **ret_id, struct iot_error *err);

#endif
