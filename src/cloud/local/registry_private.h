/*
 * Inside the registry half of the local cloud: its operations, one line each,
 * and what its files share.
 *
 * A handler of this half takes no payload, so its shape is shorter than
 * iot_local_run; registry.c adapts it.
 */
#ifndef IOTCTL_REGISTRY_PRIVATE_H
#define IOTCTL_REGISTRY_PRIVATE_H

#include "local_private.h"

#include "iotctl/cert.h"

/* X(operation, function, does it begin its transaction itself) */
#define IOT_REGISTRY_OPERATIONS(X)                                                                                     \
	X(CreateThing, create_thing, false)                                                                            \
	X(DescribeThing, describe_thing, false)                                                                        \
	X(UpdateThing, update_thing, false)                                                                            \
	X(DeleteThing, delete_thing, false)                                                                            \
	X(ListThings, list_things, false)                                                                              \
	X(AttachThingPrincipal, attach_thing_principal, false)                                                         \
	X(DetachThingPrincipal, detach_thing_principal, false)                                                         \
	X(ListThingPrincipals, list_thing_principals, false)                                                           \
	X(ListThingPrincipalsV2, list_thing_principals_v2, false)                                                      \
	X(ListPrincipalThings, list_principal_things, false)                                                           \
	X(ListPrincipalThingsV2, list_principal_things_v2, false)                                                      \
	X(GetThingConnectivityData, get_thing_connectivity_data, false)                                                \
	X(CreateThingType, create_thing_type, false)                                                                   \
	X(DescribeThingType, describe_thing_type, false)                                                               \
	X(UpdateThingType, update_thing_type, false)                                                                   \
	X(ListThingTypes, list_thing_types, false)                                                                     \
	X(DeprecateThingType, deprecate_thing_type, false)                                                             \
	X(DeleteThingType, delete_thing_type, false)                                                                   \
	X(DescribeEndpoint, describe_endpoint, false)                                                                  \
	X(CreateThingGroup, create_thing_group, false)                                                                 \
	X(DescribeThingGroup, describe_thing_group, false)                                                             \
	X(UpdateThingGroup, update_thing_group, false)                                                                 \
	X(DeleteThingGroup, delete_thing_group, false)                                                                 \
	X(ListThingGroups, list_thing_groups, false)                                                                   \
	X(ListThingsInThingGroup, list_things_in_thing_group, false)                                                   \
	X(ListThingGroupsForThing, list_thing_groups_for_thing, false)                                                 \
	X(AddThingToThingGroup, add_thing_to_thing_group, false)                                                       \
	X(RemoveThingFromThingGroup, remove_thing_from_thing_group, false)                                             \
	X(UpdateThingGroupsForThing, update_thing_groups_for_thing, false)                                             \
	X(CreateKeysAndCertificate, create_keys_and_certificate, true)                                                 \
	X(CreateCertificateFromCsr, create_certificate_from_csr, true)                                                 \
	X(RegisterCertificate, register_certificate, false)                                                            \
	X(RegisterCertificateWithoutCA, register_certificate_without_ca, false)                                        \
	X(DescribeCertificate, describe_certificate, false)                                                            \
	X(UpdateCertificate, update_certificate, false)                                                                \
	X(DeleteCertificate, delete_certificate, false)                                                                \
	X(ListCertificates, list_certificates, false)                                                                  \
	X(ListCertificatesByCA, list_certificates_by_ca, false)                                                        \
	X(GetRegistrationCode, get_registration_code, false)                                                           \
	X(RegisterCACertificate, register_ca_certificate, false)                                                       \
	X(DescribeCACertificate, describe_ca_certificate, false)                                                       \
	X(UpdateCACertificate, update_ca_certificate, false)                                                           \
	X(DeleteCACertificate, delete_ca_certificate, false)                                                           \
	X(ListCACertificates, list_ca_certificates, false)                                                             \
	X(CreatePolicy, create_policy, false)                                                                          \
	X(GetPolicy, get_policy, false)                                                                                \
	X(DeletePolicy, delete_policy, false)                                                                          \
	X(ListPolicies, list_policies, false)                                                                          \
	X(CreatePolicyVersion, create_policy_version, false)                                                           \
	X(GetPolicyVersion, get_policy_version, false)                                                                 \
	X(ListPolicyVersions, list_policy_versions, false)                                                             \
	X(SetDefaultPolicyVersion, set_default_policy_version, false)                                                  \
	X(DeletePolicyVersion, delete_policy_version, false)                                                           \
	X(AttachPolicy, attach_policy, false)                                                                          \
	X(DetachPolicy, detach_policy, false)                                                                          \
	X(ListAttachedPolicies, list_attached_policies, false)                                                         \
	X(ListTargetsForPolicy, list_targets_for_policy, false)                                                        \
	X(GetEffectivePolicies, get_effective_policies, false)                                                         \
	X(TestAuthorization, test_authorization, false)

#define IOT_DECLARE_OPERATION(operation, function, own)                                                                \
	IOT_CHECK enum iot_status iot_op_##function(struct iot_local *local, const json_t *request, json_t *reply,     \
						    struct iot_error *err);
IOT_REGISTRY_OPERATIONS(IOT_DECLARE_OPERATION)

/* --- attributes of things and groups (attributes.c) --------------------------- */

#define IOT_ATTRIBUTES_UNTYPED 3 /* AWS IoT quotas: of a thing without type */
#define IOT_ATTRIBUTES_MAX 50    /* of a thing with type, and of a group */

/*
 * What an attributePayload makes of the attributes that were there before (NULL:
 * none): all are replaced, or merged with "merge": true; an empty value removes.
 * At most `max`. Code InvalidRequestException. New reference in *ret.
 */
IOT_CHECK enum iot_status iot_attributes_apply(const json_t *payload, const json_t *before, size_t max, json_t **ret,
					       struct iot_error *err);
/* The attributes column as an object; never NULL. New reference. */
json_t *iot_attributes_load(const char *text);
/* Text for the attributes column, members sorted: equal objects give equal text. New memory. */
char *iot_attributes_text(const json_t *attributes);

/* Refuse members of a nested structure that are not in the NULL-terminated list. Code InvalidRequestException. */
IOT_CHECK enum iot_status iot_local_members(const json_t *object, const char *subject, const char *const *allowed,
					    struct iot_error *err);
/* A text member of a nested structure: absent, or a string of at most `max` characters without control characters. */
IOT_CHECK enum iot_status iot_local_text_member(const json_t *object, const char *key, size_t max, const char **ret,
						struct iot_error *err);
/* VersionConflictException if the request has an expectedVersion that is not `version`. */
IOT_CHECK enum iot_status iot_local_expect(const json_t *request, int64_t version, const char *subject,
					   struct iot_error *err);

/* --- certificates ------------------------------------------------------------------ */

/* The id in a certificate's ARN, checked to exist. Codes InvalidRequestException, ResourceNotFoundException. Borrowed.
 */
IOT_CHECK enum iot_status iot_local_principal(struct iot_local *local, const char *arn, const char **ret_id,
					      struct iot_error *err);
/* A PEM text of a request as a certificate. Code CertificateValidationException. */
IOT_CHECK enum iot_status iot_local_parse_cert(const char *pem, const char *member, struct iot_cert **ret,
					       struct iot_error *err);
/* The registered CA that issued a certificate; *ret_id is NULL if there is none. New memory. */
IOT_CHECK enum iot_status iot_local_find_ca(struct iot_local *local, const struct iot_cert *cert, char **ret_id,
					    char **ret_status, struct iot_error *err);
/*
 * Certificates in pages, newest first unless asked otherwise. `sql`: descending and ascending order, columns id, status,
 * mode and created_at; ?1, ?2: the last one's created_at and id, ?3: limit, ?4: `ca_id`, unless that is NULL.
 */
IOT_CHECK enum iot_status iot_local_list_by_time(struct iot_local *local, const json_t *request,
						 const char *const sql[2], const char *ca_id, const char *arn_kind,
						 json_t *reply, struct iot_error *err);

/* The key and the certificate that devices' certificates are issued with (certificates.c). */
IOT_CHECK enum iot_status iot_local_issuer(struct iot_local *local, struct iot_key **ret_key,
					   struct iot_cert **ret_cert, struct iot_error *err);

#endif
