/*
 * Operators in the registry of the local cloud: people and CI jobs with rights
 * on the fleet from elsewhere. An operator has an access key for the HTTPS API,
 * a client certificate for the broker, and policies, which are those attached to
 * that certificate: `iot:Connect`, `Publish`, `Subscribe`, `Receive` are judged
 * by the broker's plugin, all actions of the API here, by the same engine.
 *
 * The secret of an access key is in the registry sealed (seal.h, the key's id as
 * label) with a key of the fleet directory that no backup holds. A fleet that was
 * restored does not know its operators' secrets any more: they need new keys.
 */
#ifndef IOTCTL_OPERATOR_H
#define IOTCTL_OPERATOR_H

#include "iotctl/cloud.h"

#include <stdint.h>

#define IOT_ACCESS_KEY_ID_LEN 20     /* "IOTA" and 16 of A-Z, 2-7 */
#define IOT_ACCESS_KEY_SECRET_LEN 40 /* base64 of 30 random bytes */

/* --- who calls the API, and what that one may do ----------------------------------- */

struct iot_operator;

/*
 * The operator with an access key, and the policies as they are now. Codes as AWS has them: "UnrecognizedClientException"
 * (no such key, revoked, or its secret cannot be opened: the message says which, and is for the log, not for the
 * caller), "ExpiredTokenException". One query and one decryption; to be kept as long as iot_operator_epoch() gives the
 * same number and iot_operator_expires() is not reached. Free with iot_operator_free: the secret is wiped.
 */
IOT_CHECK enum iot_status iot_operator_key_lookup(struct iot_cloud *cloud, const char *access_key_id,
						  struct iot_operator **ret, struct iot_error *err);
void iot_operator_free(struct iot_operator *who);
void iot_operator_free_p(struct iot_operator **who); /* for IOT_CLEAN */

const char *iot_operator_name(const struct iot_operator *who);
const char *iot_operator_secret(const struct iot_operator *who); /* IOT_ACCESS_KEY_SECRET_LEN characters */
int64_t iot_operator_expires(const struct iot_operator *who);    /* ms since the epoch */

/* Changes whenever an operator, a certificate's status, an attachment or a policy does. One small query. */
IOT_CHECK enum iot_status iot_operator_epoch(struct iot_cloud *cloud, int64_t *ret, struct iot_error *err);

/*
 * May this operator do `action` on `arn` (NULL: an action without a resource, which only "*" allows)? Deny by default.
 * Any service: "s3:PutObject" on "arn:aws:s3:::BUCKET/KEY". source_ip may be NULL. IOT_DENIED with code
 * "AccessDeniedException", saying who, what, and which policy denied it.
 */
IOT_CHECK enum iot_status iot_operator_allowed(const struct iot_operator *who, const char *action, const char *arn,
					       const char *source_ip, struct iot_error *err);
/*
 * The same for an operation and its request: the action as AWS names it ("iot:CreateThing"; "iot:" also for iotdata,
 * "iotjobsdata:" for iot-jobs-data, "iotctl:" for our own, "s3:"), on everything that the request names: thing, group,
 * type (where it is in the path), policy, certificate, job and its targets, stream, topic, object. All must be allowed.
 */
IOT_CHECK enum iot_status iot_operator_allows(const struct iot_operator *who, const struct iot_operation *op,
					      const json_t *request, const char *source_ip, struct iot_error *err);

/* --- the rows ------------------------------------------------------------------------ */

struct iot_operator_row {
	const char *name;           /* as iot_cert_check_name */
	const char *role;           /* NULL: a policy of its own */
	const char *certificate_id; /* registered */
	const char *access_key_id;
	const char *secret;
	int64_t expires_at; /* ms since the epoch */
};
/*
 * Could iot_local_operator_put() seal a secret now? To be asked before keys are handed out. IOT_NOT_FOUND: the sealing
 * key is gone while secrets of devices are sealed with it; others as iot_seal_key_read().
 */
IOT_CHECK enum iot_status iot_local_operator_can_put(struct iot_cloud *cloud, struct iot_error *err);
/*
 * Add an operator, or give one new keys (which lets a revoked one in again). The fleet's sealing key is made when there
 * is none. To be called in the transaction that registers the certificate.
 */
IOT_CHECK enum iot_status iot_local_operator_put(struct iot_cloud *cloud, const struct iot_operator_row *row,
						 struct iot_error *err);
/* The access key is worth nothing from now on. IOT_NOT_FOUND; *ret_changed: false if it was revoked before. */
IOT_CHECK enum iot_status iot_local_operator_revoke(struct iot_cloud *cloud, const char *name, bool *ret_changed,
						    struct iot_error *err);
/*
 * One, or each in the order of names: {operator, role?, state, certificateId, accessKeyId, createdAt, expiresAt,
 * revokedAt?} with times in ms. state: "active", "expired", "revoked", "inactive" (its certificate is switched off), or
 * "no key" (its secret cannot be opened: the certificate is good, the API is closed). IOT_NOT_FOUND.
 */
IOT_CHECK enum iot_status iot_local_operator_get(struct iot_cloud *cloud, const char *name, json_t **ret,
						 struct iot_error *err);
IOT_CHECK enum iot_status iot_local_operators(struct iot_cloud *cloud,
					      enum iot_status (*each)(json_t *record, void *data,
								      struct iot_error *err),
					      void *data, struct iot_error *err);

#endif
