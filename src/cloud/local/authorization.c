/*
 * Which policies count for a certificate, and what they decide: the same engine
 * and the same rules as the broker's plugin, asked without a connection.
 */
#include "policies_private.h"

#include "iotctl/policy.h"

#include <string.h>

#define FIELDS_MAX 64
#define RESOURCES_MAX 100

/* --- which policies count ------------------------------------------------------------ */

/* ?1: certificate or NULL, ?2: thing (row id) or 0. The thing's groups count with all groups above them. */
static const char effective_sql[] =
	"WITH RECURSIVE up(id) AS (SELECT group_id FROM group_members WHERE thing_id = ?2"
	" UNION SELECT g.parent_id FROM groups g JOIN up ON g.id = up.id WHERE g.parent_id IS NOT NULL)"
	" SELECT p.name, v.document FROM policies p"
	" JOIN policy_versions v ON v.policy_id = p.id AND v.version = p.default_version"
	" WHERE p.id IN (SELECT policy_id FROM policy_attachments WHERE certificate_id = ?1"
	" UNION SELECT a.policy_id FROM up JOIN policy_attachments a ON a.group_id = up.id) ORDER BY p.name";

static void append_policy(json_t *list, const char *name, const char *document)
{
	json_t *policy = json_object();

	iot_json_set_str(policy, "policyName", name);
	iot_local_set_arn(policy, "policyArn", "policy", name);
	iot_json_set_str(policy, "policyDocument", document);
	json_array_append_new(list, policy);
}

static enum iot_status effective(struct iot_local *local, const char *certificate, int64_t thing_id, json_t *list,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(local->store, effective_sql, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "si", certificate, thing_id);
	while (status == IOT_OK) {
		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		append_policy(list, iot_stmt_text(stmt, 0), iot_stmt_text(stmt, 1));
	}
	return status;
}

/* The certificate that a request names, or NULL where it may name none. */
static enum iot_status read_principal(struct iot_local *local, const json_t *request, const char **ret,
				      struct iot_error *err)
{
	const char *arn = iot_json_str(request, "principal", NULL);

	*ret = NULL;
	if (iot_json_str(request, "cognitoIdentityPoolId", NULL) != NULL)
		return iot_local_invalid(err, "the local cloud has no Cognito identity pools");
	return arn != NULL ? iot_local_principal(local, arn, ret, err) : IOT_OK;
}

enum iot_status iot_op_get_effective_policies(struct iot_local *local, const json_t *request, json_t *reply,
					      struct iot_error *err)
{
	const char *thing = iot_json_str(request, "thingName", NULL);
	const char *certificate = NULL;
	json_t *list = json_array();
	int64_t thing_id = 0;
	enum iot_status status;

	json_object_set_new(reply, "effectivePolicies", list);
	status = read_principal(local, request, &certificate, err);
	if (status == IOT_OK && certificate == NULL && thing == NULL)
		return iot_local_invalid(err, "GetEffectivePolicies needs principal or thingName");
	if (status == IOT_OK && thing != NULL)
		status = iot_local_thing_id(local, thing, &thing_id, err);
	return status == IOT_OK ? effective(local, certificate, thing_id, list, err) : status;
}

/* --- who asks ------------------------------------------------------------------------- */

/* A certificate as a connection would present it, and the thing that goes with the client id. */
struct asker {
	struct iot_cert *cert;
	int64_t thing_id; /* 0: none that counts */
	char *thing, *type;
	json_t *attributes;
	struct iot_policy_field fields[FIELDS_MAX];
	char *field_names[FIELDS_MAX];
	size_t field_count;
	struct iot_policy_vars vars;
};

static void asker_release(struct asker *asker)
{
	for (size_t i = 0; i < asker->field_count; i++)
		free(asker->field_names[i]);
	iot_cert_free(asker->cert);
	free(asker->thing);
	free(asker->type);
	json_decref(asker->attributes);
}

static void add_fields(struct asker *asker, enum iot_cert_part part, const char *prefix)
{
	size_t count = iot_cert_field_count(asker->cert, part);

	for (size_t i = 0; i < count && asker->field_count < FIELDS_MAX; i++) {
		struct iot_cert_field field = iot_cert_field(asker->cert, part, i);
		char *name = iot_strf("%s.%s", prefix, field.name);

		asker->field_names[asker->field_count] = name;
		asker->fields[asker->field_count] = (struct iot_policy_field){name, field.value};
		asker->field_count++;
	}
}

static enum iot_status load_cert(struct iot_local *local, const char *id, struct asker *asker, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *pem;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT pem FROM certificates WHERE id = ?", "s", id);
	if (status != IOT_OK || !row)
		return status;
	pem = iot_stmt_text(stmt, 0);
	status = iot_cert_parse_pem(pem, strlen(pem), "registered certificate", &asker->cert, err);
	if (status != IOT_OK)
		return status;
	add_fields(asker, IOT_CERT_SUBJECT, "Subject");
	add_fields(asker, IOT_CERT_ISSUER, "Issuer");
	add_fields(asker, IOT_CERT_ALTERNATIVE, "Subject.AlternativeName");
	return IOT_OK;
}

/* The attached thing that has the client id's name, or the one that is attached exclusively. */
static enum iot_status load_thing(struct iot_local *local, const char *certificate, const char *client_id,
				  struct asker *asker, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT t.id, t.name, y.name, t.attributes FROM thing_principals p"
				" JOIN things t ON t.id = p.thing_id LEFT JOIN types y ON y.id = t.type_id"
				" WHERE p.certificate_id = ?1 AND (t.name = ?2 OR p.type = 'EXCLUSIVE_THING')",
				"ss", certificate, client_id);
	if (status != IOT_OK || !row)
		return status;
	asker->thing_id = iot_stmt_int(stmt, 0);
	asker->thing = iot_strdup(iot_stmt_text(stmt, 1));
	asker->type = iot_strdup(iot_stmt_text(stmt, 2));
	asker->attributes = iot_attributes_load(iot_stmt_text(stmt, 3));
	return IOT_OK;
}

static enum iot_status asker_load(struct iot_local *local, const json_t *request, const char *certificate,
				  struct asker *asker, struct iot_error *err)
{
	const char *client_id = iot_json_str(request, "clientId", NULL);
	enum iot_status status = IOT_OK;

	if (certificate != NULL) {
		status = load_cert(local, certificate, asker, err);
		if (status == IOT_OK)
			status = load_thing(local, certificate, client_id, asker, err);
	}
	asker->vars = (struct iot_policy_vars){
		.client_id = client_id,
		.certificate_id = certificate,
		.serial = asker->cert != NULL ? iot_cert_serial(asker->cert) : NULL,
		.fields = asker->fields,
		.field_count = asker->field_count,
		.thing_name = asker->thing,
		.thing_type = asker->type,
		.attributes = asker->attributes,
		.is_attached = asker->thing != NULL,
	};
	return status;
}

/* --- what is asked ---------------------------------------------------------------------- */

/* The policies to decide by: records and their compiled documents. */
struct policies {
	json_t *records;
	struct iot_policy **compiled;
	size_t count;
};

static void policies_release(struct policies *policies)
{
	for (size_t i = 0; i < policies->count; i++)
		iot_policy_free(policies->compiled[i]);
	free(policies->compiled);
	json_decref(policies->records);
}

static bool listed(const json_t *names, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(names, i, item) {
		const char *text = json_string_value(item);

		if (text != NULL && strcmp(text, name) == 0)
			return true;
	}
	return false;
}

static enum iot_status add_named(struct iot_local *local, const json_t *names, json_t *records, struct iot_error *err)
{
	json_t *item;
	size_t i;

	json_array_foreach(names, i, item) {
		IOT_JSON request = json_object();
		IOT_JSON policy = json_object();
		enum iot_status status;

		if (!json_is_string(item))
			return iot_local_invalid(err, "policyNamesToAdd is not a list of names");
		iot_json_set_str(request, "policyName", json_string_value(item));
		status = iot_op_get_policy(local, request, policy, err);
		if (status != IOT_OK)
			return status;
		append_policy(records, json_string_value(item), iot_json_str(policy, "policyDocument", ""));
	}
	return IOT_OK;
}

static enum iot_status policies_load(struct iot_local *local, const json_t *request, const char *certificate,
				     int64_t thing_id, struct policies *ret, struct iot_error *err)
{
	const json_t *skip = json_object_get(request, "policyNamesToSkip");
	enum iot_status status;

	ret->records = json_array();
	status = effective(local, certificate, thing_id, ret->records, err);
	for (size_t i = json_array_size(ret->records); i > 0; i--) {
		if (listed(skip, iot_json_str(json_array_get(ret->records, i - 1), "policyName", "")))
			json_array_remove(ret->records, i - 1);
	}
	if (status == IOT_OK)
		status = add_named(local, json_object_get(request, "policyNamesToAdd"), ret->records, err);
	if (status != IOT_OK)
		return status;
	ret->compiled = iot_alloc_array(json_array_size(ret->records) + 1, sizeof(struct iot_policy *));
	for (; ret->count < json_array_size(ret->records); ret->count++) {
		const char *text = iot_json_str(json_array_get(ret->records, ret->count), "policyDocument", "");

		status = iot_policy_parse(text, strlen(text), &ret->compiled[ret->count], err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

/* --- the answer -------------------------------------------------------------------------- */

static enum iot_decision worse(enum iot_decision a, enum iot_decision b)
{
	if (a == IOT_DECISION_EXPLICIT_DENY || b == IOT_DECISION_EXPLICIT_DENY)
		return IOT_DECISION_EXPLICIT_DENY;
	return a == IOT_DECISION_ALLOWED ? b : a;
}

static void add_reference(json_t *list, const json_t *record)
{
	json_t *policy = json_object();

	iot_json_set_str(policy, "policyName", iot_json_str(record, "policyName", NULL));
	iot_json_set_str(policy, "policyArn", iot_json_str(record, "policyArn", NULL));
	json_array_append_new(list, policy);
}

static json_t *wrap(const char *key, json_t *value)
{
	json_t *object = json_object();

	json_object_set_new(object, key, value);
	return object;
}

/* One resource: decided by all policies, and each policy's own word noted. `own` is the worst so far, per policy. */
static enum iot_status decide_one(const struct policies *policies, const struct asker *asker, const char *action,
				  const char *arn, enum iot_decision *decision, enum iot_decision *own, json_t *missing,
				  struct iot_error *err)
{
	const struct iot_policy *const *compiled = (const struct iot_policy *const *)policies->compiled;
	struct iot_policy_request request = {.action = iot_policy_action_parse(action), .vars = &asker->vars};
	struct iot_policy_arn parts;
	IOT_JSON names = NULL;
	enum iot_status status = iot_policy_request_arn(&request, arn, &parts, err);

	if (status != IOT_OK) {
		iot_error_set_code(err, "InvalidRequestException");
		return status;
	}
	*decision = worse(*decision, iot_policy_decide(compiled, policies->count, &request, NULL));
	for (size_t i = 0; i < policies->count; i++)
		own[i] = worse(own[i], iot_policy_decide(&compiled[i], 1, &request, NULL));
	names = iot_policy_missing(compiled, policies->count, &request);
	for (size_t i = 0; i < json_array_size(names); i++) {
		if (!listed(missing, json_string_value(json_array_get(names, i))))
			json_array_append(missing, json_array_get(names, i));
	}
	return IOT_OK;
}

static enum iot_status check_auth_info(const json_t *info, struct iot_error *err)
{
	static const char *const members[] = {"actionType", "resources", NULL};
	const json_t *resources = json_object_get(info, "resources");
	const char *action = iot_json_str(info, "actionType", NULL);
	enum iot_status status;

	if (!json_is_object(info) || json_array_size(resources) == 0 || json_array_size(resources) > RESOURCES_MAX)
		return iot_local_invalid(err, "each of authInfos needs 1 to %d resources", RESOURCES_MAX);
	status = iot_local_members(info, "authInfos", members, err);
	if (status != IOT_OK)
		return status;
	if (action == NULL || (strcmp(action, "PUBLISH") != 0 && strcmp(action, "SUBSCRIBE") != 0 &&
			       strcmp(action, "RECEIVE") != 0 && strcmp(action, "CONNECT") != 0))
		return iot_local_invalid(err, "actionType is none of PUBLISH, SUBSCRIBE, RECEIVE, CONNECT");
	return IOT_OK;
}

static json_t *make_result(const json_t *info, const struct policies *policies, enum iot_decision decision,
			   const enum iot_decision *own, json_t *missing)
{
	json_t *lists[3] = {json_array(), json_array(), json_array()};
	json_t *result = json_object();
	json_t *denied = json_object();

	for (size_t i = 0; i < policies->count; i++)
		add_reference(lists[own[i]], json_array_get(policies->records, i));
	json_object_set(result, "authInfo", (json_t *)(uintptr_t)info);
	json_object_set_new(result, "allowed", wrap("policies", lists[IOT_DECISION_ALLOWED]));
	json_object_set_new(denied, "implicitDeny", wrap("policies", lists[IOT_DECISION_IMPLICIT_DENY]));
	json_object_set_new(denied, "explicitDeny", wrap("policies", lists[IOT_DECISION_EXPLICIT_DENY]));
	json_object_set_new(result, "denied", denied);
	iot_json_set_str(result, "authDecision", iot_decision_name(decision));
	json_object_set(result, "missingContextValues", missing);
	return result;
}

static enum iot_status answer(const json_t *info, const struct policies *policies, const struct asker *asker,
			      json_t *results, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) enum iot_decision *own = iot_alloc_array(policies->count + 1, sizeof(*own));
	enum iot_decision decision = IOT_DECISION_ALLOWED;
	IOT_JSON missing = json_array();
	enum iot_status status = check_auth_info(info, err);
	json_t *resource;
	size_t i;

	if (status != IOT_OK)
		return status;
	for (i = 0; i < policies->count; i++)
		own[i] = IOT_DECISION_ALLOWED;
	json_array_foreach(json_object_get(info, "resources"), i, resource) {
		if (!json_is_string(resource))
			return iot_local_invalid(err, "resources is not a list of ARNs");
		status = decide_one(policies, asker, iot_json_str(info, "actionType", ""), json_string_value(resource),
				    &decision, own, missing, err);
		if (status != IOT_OK)
			return status;
	}
	json_array_append_new(results, make_result(info, policies, decision, own, missing));
	return IOT_OK;
}

enum iot_status iot_op_test_authorization(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	IOT_CLEAN(policies_release) struct policies policies = {0};
	IOT_CLEAN(asker_release) struct asker asker = {0};
	json_t *results = json_array();
	const char *certificate = NULL;
	json_t *info;
	size_t i;
	enum iot_status status;

	json_object_set_new(reply, "authResults", results);
	status = read_principal(local, request, &certificate, err);
	if (status == IOT_OK)
		status = asker_load(local, request, certificate, &asker, err);
	if (status == IOT_OK)
		status = policies_load(local, request, certificate, asker.thing_id, &policies, err);
	json_array_foreach(json_object_get(request, "authInfos"), i, info) {
		if (status == IOT_OK)
			status = answer(info, &policies, &asker, results, err);
	}
	return status;
}
