/* Between the files of making a device: one that is on its way, its thing, and what AWS does otherwise. */
#ifndef IOTCTL_FLEET_CREATE_PRIVATE_H
#define IOTCTL_FLEET_CREATE_PRIVATE_H

#include "fleet/fleet_private.h"
#include "iotctl/base.h"
#include "iotctl/cert.h"

struct making {
	struct iot_cloud *cloud;
	struct iot_cloud *issuer; /* whose CA issues; NULL: the service does */
	const struct iot_device_spec *spec;
	bool changed;
	bool fresh_key;
	bool fresh_thing, fresh_certificate; /* nothing can be attached to it, or hold it, yet */
	char *certificate_id;                /* owned */
};

/* --- create_thing.c --- */
/* The thing is there as it is wanted. IOT_CONFLICT: it is there otherwise, and is not to be updated. */
IOT_CHECK enum iot_status create_thing(struct making *making, struct iot_error *err);
IOT_CHECK enum iot_status create_join_groups(struct making *making, struct iot_error *err);

/* --- create_aws.c --- */
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
