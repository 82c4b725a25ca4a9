/*
 * Operators as the fleet's own machine makes them: keys, certificate, policy, and
 * the one file with which the operator works from elsewhere (iotctl-profile(7)).
 */
#ifndef IOTCTL_PROFILE_H
#define IOTCTL_PROFILE_H

#include "iotctl/cloud.h"

#include <stdint.h>

/* Names: [A-Za-z0-9_-], so that one can be part of a client id, a policy's name and a section of a settings file. */
#define IOT_OPERATOR_NAME_MAX 32

/* What a profile file holds; all borrowed text. Certificates and key are PEM. */
struct iot_profile {
	const char *name; /* of the operator, and of the profile */
	const char *fleet;
	const char *endpoint_url; /* of the HTTPS API */
	const char *broker;       /* HOST:PORT */
	const char *access_key_id, *secret;
	const char *certificate, *key, *ca;
};

/* "admin", "deploy", "observe"; NULL-terminated. */
extern const char *const iot_operator_roles[];

struct iot_operator_spec {
	const char *name;
	const char *role;            /* or */
	const char *policy;          /* a policy document */
	int64_t lifetime_ms;         /* of access key and certificate */
	const char *endpoint_url;    /* NULL: https://ENDPOINT:PORT of this fleet */
	const char *out;             /* profile file to write */
	const struct iot_profile *found; /* what is in that file, if there is one */
};

/*
 * Ensure an operator: access key, certificate, policy "operator.NAME", profile file (0600). The file is on the disk
 * before anything of it is let in; the same call finishes one that was killed, and changes nothing when all is there.
 * *ret_record: {operator, role?, profile, endpointUrl, broker, accessKeyId, certificateId, policy, expiresAt, apiOff?: the
 * fleet has no HTTPS API, and the address in the profile is only the usual one; changed}.
 * IOT_CONFLICT: the operator is there with another role, policy or file, or was revoked.
 */
IOT_CHECK enum iot_status iot_operator_create(struct iot_cloud *cloud, const struct iot_operator_spec *spec,
					      json_t **ret_record, struct iot_error *err);
/*
 * New access key and certificate for an operator that is there (role and policy of `spec` are not looked at); the old
 * ones are worth nothing from now on. A file of this operator at `out` is replaced. Lets a revoked one in again.
 */
IOT_CHECK enum iot_status iot_operator_rotate(struct iot_cloud *cloud, const struct iot_operator_spec *spec,
					      json_t **ret_record, struct iot_error *err);
/* Its access key and its certificate are worth nothing from now on; live connections end. {operator, changed}. */
IOT_CHECK enum iot_status iot_operator_revoke(struct iot_cloud *cloud, const char *name, json_t **ret_record,
					      struct iot_error *err);
/* The policy documents of an operator, besides its row: {..., policies: [{policyName, policyDocument}]}. */
IOT_CHECK enum iot_status iot_operator_show(struct iot_cloud *cloud, const char *name, json_t **ret_record,
					    struct iot_error *err);

#endif
