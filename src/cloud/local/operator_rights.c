/*
 * Who holds an access key, and what that one may do: the policies attached to the
 * operator's certificate, asked about operations of the API.
 */
#include "operators_private.h"

#include "iotctl/operator.h"
#include "iotctl/policy.h"

#include <string.h>
#include <strings.h>

#define POLICIES_MAX 64
#define NAMED_MAX 256 /* things, groups and targets that one request may name */

struct iot_operator {
	char *name, *certificate_id;
	struct iot_buf secret;
	int64_t expires_at;
	struct iot_policy *policies[POLICIES_MAX];
	char *policy_names[POLICIES_MAX];
	size_t count;
};

void iot_operator_free(struct iot_operator *who)
{
	if (who == NULL)
		return;
	for (size_t i = 0; i < who->count; i++) {
		iot_policy_free(who->policies[i]);
		free(who->policy_names[i]);
	}
	iot_buf_release(&who->secret);
	free(who->certificate_id);
	free(who->name);
	free(who);
}

void iot_operator_free_p(struct iot_operator **who)
{
	iot_operator_free(*who);
}

const char *iot_operator_name(const struct iot_operator *who)
{
	return who->name;
}

const char *iot_operator_secret(const struct iot_operator *who)
{
	return iot_buf_str(&who->secret);
}

int64_t iot_operator_expires(const struct iot_operator *who)
{
	return who->expires_at;
}

enum iot_status iot_operator_epoch(struct iot_cloud *cloud, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status =
		iot_stmt_get(iot_local_of(cloud)->store, "SELECT value FROM epoch WHERE one = 1", &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK && !row)
		return iot_fail(err, IOT_FAILURE, "the registry is damaged: it has no epoch");
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

/* --- looking up --------------------------------------------------------------------------- */

static const char key_sql[] = "SELECT o.name, o.certificate_id, o.sealed, o.expires_at, o.revoked_at, c.status"
			      " FROM operators o LEFT JOIN certificates c ON c.id = o.certificate_id"
			      " WHERE o.access_key_id = ?";

static const char policies_sql[] =
	"SELECT p.name, v.document FROM policy_attachments a JOIN policies p ON p.id = a.policy_id"
	" JOIN policy_versions v ON v.policy_id = p.id AND v.version = p.default_version"
	" WHERE a.certificate_id = ? ORDER BY p.name";

#define unrecognized(err, ...) iot_cloud_fail(err, "UnrecognizedClientException", __VA_ARGS__)

static enum iot_status open_secret(struct iot_local *local, struct iot_stmt *stmt, const char *id,
				   struct iot_operator *who, struct iot_error *err)
{
	uint8_t key[IOT_SEAL_KEY_SIZE];
	size_t len;
	const void *sealed = iot_stmt_blob(stmt, 2, &len);
	enum iot_status status = operators_key(local, key, err);

	if (status == IOT_OK)
		status = iot_unseal(key, id, sealed, len, &who->secret, err);
	iot_wipe(key, sizeof(key));
	if (status == IOT_NOT_FOUND || status == IOT_VERIFY) {
		status = unrecognized(err, "the secret of operator '%s' was sealed with a key that is not here",
				      who->name);
		iot_error_hint(err, "make new keys with 'iotctl operator rotate %s'", who->name);
	}
	return status;
}

static enum iot_status read_key(struct iot_local *local, const char *id, struct iot_operator *who,
				struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *certificate;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, key_sql, "s", id);
	if (status != IOT_OK)
		return status;
	if (!row)
		return unrecognized(err, "no operator has this access key");
	who->name = iot_strdup(iot_stmt_text(stmt, 0));
	who->certificate_id = iot_strdup(iot_stmt_text(stmt, 1));
	who->expires_at = iot_stmt_int(stmt, 3);
	certificate = iot_stmt_text(stmt, 5);
	if (!iot_stmt_is_null(stmt, 4))
		return unrecognized(err, "operator '%s' was revoked", who->name);
	if (certificate == NULL || strcmp(certificate, "ACTIVE") != 0)
		return unrecognized(err, "the certificate of operator '%s' is not active", who->name);
	if (who->expires_at <= iot_now_ms())
		return iot_cloud_fail(err, "ExpiredTokenException", "the keys of operator '%s' have expired",
				      who->name);
	return open_secret(local, stmt, id, who, err);
}

/* A policy that cannot be read might have denied something: then nothing is allowed. */
static enum iot_status read_policies(struct iot_local *local, struct iot_operator *who, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(local->store, policies_sql, &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", who->certificate_id);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		const char *text = iot_stmt_text(stmt, 1);

		if (who->count == POLICIES_MAX)
			return iot_cloud_fail(err, "AccessDeniedException", "more than %d policies are attached",
					      POLICIES_MAX);
		status = iot_policy_parse(text, strlen(text), &who->policies[who->count], err);
		if (status != IOT_OK)
			return iot_cloud_fail(err, "AccessDeniedException", "policy '%s' of operator '%s' is damaged",
					      iot_stmt_text(stmt, 0), who->name);
		who->policy_names[who->count++] = iot_strdup(iot_stmt_text(stmt, 0));
	}
	return status;
}

enum iot_status iot_operator_key_lookup(struct iot_cloud *cloud, const char *access_key_id, struct iot_operator **ret,
					struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = iot_alloc(sizeof(*who));
	enum iot_status status;

	who->secret = (struct iot_buf)IOT_BUF_SECRET(256);
	status = read_key(local, access_key_id, who, err);
	if (status == IOT_OK)
		status = read_policies(local, who, err);
	if (status == IOT_OK)
		*ret = iot_take(who);
	return status;
}

/* --- deciding ------------------------------------------------------------------------------ */

static enum iot_status denied(const struct iot_operator *who, const char *action, const char *arn,
			      const struct iot_policy_verdict *verdict, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *on = arn != NULL ? iot_strf(" on '%s'", arn) : iot_strdup("");

	if (verdict->decision == IOT_DECISION_EXPLICIT_DENY)
		return iot_cloud_fail(err, "AccessDeniedException",
				      "operator '%s' may not do %s%s: statement %u of policy '%s' denies it", who->name,
				      action, on, verdict->statement, who->policy_names[verdict->policy]);
	return iot_cloud_fail(err, "AccessDeniedException", "operator '%s' may not do %s%s: no statement allows it",
			      who->name, action, on);
}

enum iot_status iot_operator_allowed(const struct iot_operator *who, const char *action, const char *arn,
				     const char *source_ip, struct iot_error *err)
{
	const struct iot_policy_field fields[] = {{"Subject.CommonName", who->name},
						  {"Subject.OrganizationalUnit", "operator"}};
	const struct iot_policy_vars vars = {.certificate_id = who->certificate_id,
					     .fields = fields,
					     .field_count = IOT_LENGTH(fields),
					     .source_ip = source_ip};
	struct iot_policy_request request = {.action = iot_starts_with(action, "iot:") ? iot_policy_action_parse(action)
										       : IOT_POLICY_OTHER,
					     .action_name = action,
					     .vars = &vars};
	struct iot_policy_verdict verdict = {IOT_DECISION_IMPLICIT_DENY, SIZE_MAX, 0, NULL};
	struct iot_policy_arn parts;

	if (arn == NULL || iot_policy_request_arn(&request, arn, &parts, NULL) == IOT_OK)
		(void)iot_policy_decide((const struct iot_policy *const *)who->policies, who->count, &request,
					&verdict);
	return verdict.decision == IOT_DECISION_ALLOWED ? IOT_OK : denied(who, action, arn, &verdict, err);
}

/* --- what a request is about ----------------------------------------------------------------- */

/* Members that name what an action is about; a thing's type or group in a body is a property, not the subject. */
static const struct {
	const char *member, *kind;
	bool in_path; /* counts only there */
} subjects[] = {
	{"thingName", "thing", false},
	{"thingArn", NULL, false},
	{"thingGroupName", "thinggroup", false},
	{"thingGroupArn", NULL, false},
	{"thingTypeName", "thingtype", true},
	{"policyName", "policy", false},
	{"certificateId", "cert", false},
	{"caCertificateId", "cacert", false},
	{"jobId", "job", false},
	{"streamId", "stream", false},
	{"otaUpdateId", "otaupdate", false},
	{"topic", "topic", false},
	{"parentGroupName", "thinggroup", false},
	{"layoutName", "layout", false},
	{"thingGroupsToAdd", "thinggroup", false},
	{"thingGroupsToRemove", "thinggroup", false},
	{"principal", NULL, false},
	{"target", NULL, false},
	{"targets", NULL, false},
};

struct asking {
	const struct iot_operator *who;
	const char *action, *source_ip;
	size_t count;
};

static enum iot_status ask(struct asking *asking, const char *kind, const char *name, struct iot_error *err)
{
	/* A topic may look like an ARN, and is none. */
	bool is_arn = kind == NULL || (iot_starts_with(name, "arn:") && strcmp(kind, "topic") != 0);
	IOT_CLEAN(iot_free_p) char *arn = is_arn ? iot_strdup(name) : iot_local_arn(kind, name);

	if (++asking->count > NAMED_MAX)
		return iot_cloud_fail(err, "AccessDeniedException", "the request names more than %d resources",
				      NAMED_MAX);
	return iot_operator_allowed(asking->who, asking->action, arn, asking->source_ip, err);
}

static enum iot_status ask_value(struct asking *asking, const char *kind, const json_t *value, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	json_t *item;
	size_t i;

	if (json_is_string(value))
		return ask(asking, kind, json_string_value(value), err);
	json_array_foreach(value, i, item) {
		if (status == IOT_OK && json_is_string(item))
			status = ask(asking, kind, json_string_value(item), err);
	}
	return status;
}

static bool in_path(const struct iot_operation *op, const char *member)
{
	for (const struct iot_member *at = op->members; at != NULL && at->name != NULL; at++)
		if (strcmp(at->name, member) == 0)
			return at->where == IOT_IN_PATH;
	return false;
}

/* An object of a bucket, however its members are spelt. */
static enum iot_status ask_object(struct asking *asking, const json_t *request, struct iot_error *err)
{
	const char *bucket = iot_json_str(request, "Bucket", iot_json_str(request, "bucket", NULL));
	const char *key = iot_json_str(request, "Key", iot_json_str(request, "key", NULL));
	IOT_CLEAN(iot_free_p)
	char *arn = key != NULL ? iot_strf("arn:aws:s3:::%s/%s", bucket != NULL ? bucket : "", key)
				: iot_strf("arn:aws:s3:::%s", bucket != NULL ? bucket : "");

	return bucket != NULL ? ask(asking, NULL, arn, err) : IOT_OK;
}

static const char *action_service(const char *service)
{
	if (strcmp(service, "iotdata") == 0)
		return "iot";
	return strcmp(service, "iot-jobs-data") == 0 ? "iotjobsdata" : service;
}

enum iot_status iot_operator_allows(const struct iot_operator *who, const struct iot_operation *op,
				    const json_t *request, const char *source_ip, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *action = iot_strf("%s:%s", action_service(op->service), op->name);
	struct asking asking = {who, action, source_ip, 0};
	const char *topic = iot_json_str(request, "topic", NULL);
	enum iot_status status = IOT_OK;

	if (strcmp(op->service, "s3") == 0)
		status = ask_object(&asking, request, err);
	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(subjects); i++) {
		const json_t *value = json_object_get(request, subjects[i].member);

		if (value != NULL && (!subjects[i].in_path || in_path(op, subjects[i].member)))
			status = ask_value(&asking, subjects[i].kind, value, err);
	}
	if (status == IOT_OK && asking.count == 0)
		status = iot_operator_allowed(who, action, NULL, source_ip, err);
	if (status == IOT_OK && strcmp(action, "iot:Publish") == 0 && topic != NULL &&
	    json_is_true(json_object_get(request, "retain"))) {
		asking.action = "iot:RetainPublish";
		status = ask(&asking, "topic", topic, err);
	}
	return status;
}
