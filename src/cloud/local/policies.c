/*
 * Policies and their versions. A document is checked by the same parser that
 * the broker's plugin decides with: what is stored can be decided by.
 */
#include "policies_private.h"

#include "iotctl/policy.h"

#include <stdio.h>
#include <string.h>

#define VERSIONS_MAX 5

enum iot_status iot_policy_row_find(struct iot_local *local, const char *name, struct iot_policy_row *ret,
				    bool *ret_found, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	status = iot_stmt_query(
		local->store, &stmt, ret_found, err,
		"SELECT id, default_version, next_version, created_at, modified_at FROM policies WHERE name = ?", "s",
		name);
	if (status != IOT_OK || !*ret_found)
		return status;
	ret->id = iot_stmt_int(stmt, 0);
	ret->default_version = iot_stmt_int(stmt, 1);
	ret->next_version = iot_stmt_int(stmt, 2);
	ret->created_at = iot_stmt_int(stmt, 3);
	ret->modified_at = iot_stmt_int(stmt, 4);
	return IOT_OK;
}

enum iot_status iot_policy_row_need(struct iot_local *local, const char *name, struct iot_policy_row *ret,
				    struct iot_error *err)
{
	bool found = false;
	enum iot_status status = iot_policy_row_find(local, name, ret, &found, err);

	if (status == IOT_OK && !found)
		return iot_local_not_found(err, "policy '%s' does not exist", name);
	return status;
}

static enum iot_status check_document(const char *text, struct iot_error *err)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;

	return iot_policy_parse(text, strlen(text), &policy, err);
}

/* *ret_document NULL: there is no such version. */
static enum iot_status version_load(struct iot_local *local, int64_t policy_id, int64_t version, char **ret_document,
				    int64_t *ret_created_at, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT document, created_at FROM policy_versions WHERE policy_id = ? AND version = ?",
				"ii", policy_id, version);
	if (status != IOT_OK || !row)
		return status;
	*ret_document = iot_strdup(iot_stmt_text(stmt, 0));
	*ret_created_at = iot_stmt_int(stmt, 1);
	return IOT_OK;
}

static enum iot_status version_insert(struct iot_local *local, int64_t policy_id, int64_t version, const char *document,
				      struct iot_error *err)
{
	return iot_store_run(
		local->store, NULL, err,
		"INSERT INTO policy_versions (policy_id, version, document, created_at) VALUES (?, ?, ?, ?)", "iisi",
		policy_id, version, document, iot_now_ms());
}

static void set_version_id(json_t *reply, const char *key, int64_t version)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)version);
	iot_json_set_str(reply, key, text);
}

/* The version that a request names. */
static enum iot_status asked_version(const json_t *request, int64_t *ret, struct iot_error *err)
{
	return iot_parse_int(iot_json_str(request, "policyVersionId", ""), 0, INT32_MAX, ret, err);
}

static enum iot_status no_version(const char *name, int64_t version, struct iot_error *err)
{
	return iot_local_not_found(err, "policy '%s' has no version %lld", name, (long long)version);
}

/* --- policies -------------------------------------------------------------------- */

/* A conflict even with the same document, as at AWS; the message tells which it is. */
static enum iot_status create_again(struct iot_local *local, const char *name, const char *document,
				    const struct iot_policy_row *policy, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *now = NULL;
	int64_t created_at = 0;
	enum iot_status status = version_load(local, policy->id, policy->default_version, &now, &created_at, err);

	if (status == IOT_OK)
		status = iot_local_exists(err, "policy '%s' exists%s", name,
					  now != NULL && strcmp(now, document) == 0 ? "" : " with another document");
	return status;
}

enum iot_status iot_op_create_policy(struct iot_local *local, const json_t *request, json_t *reply,
				     struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", NULL);
	const char *document = iot_json_str(request, "policyDocument", "");
	struct iot_policy_row policy = {0};
	int64_t now = iot_now_ms();
	bool found = false;
	enum iot_status status;

	status = check_document(document, err);
	if (status == IOT_OK)
		status = iot_policy_row_find(local, name, &policy, &found, err);
	if (status == IOT_OK && found)
		return create_again(local, name, document, &policy, err);
	if (status == IOT_OK)
		status = iot_store_run(
			local->store, NULL, err,
			"INSERT INTO policies (name, default_version, next_version, created_at, modified_at)"
			" VALUES (?, 1, 2, ?, ?)",
			"sii", name, now, now);
	if (status == IOT_OK)
		status = version_insert(local, iot_store_last_id(local->store), 1, document, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(reply, "policyName", name);
	iot_local_set_arn(reply, "policyArn", "policy", name);
	iot_json_set_str(reply, "policyDocument", document);
	set_version_id(reply, "policyVersionId", 1);
	return IOT_OK;
}

enum iot_status iot_op_get_policy(struct iot_local *local, const json_t *request, json_t *reply, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", NULL);
	IOT_CLEAN(iot_free_p) char *document = NULL;
	struct iot_policy_row policy = {0};
	int64_t created_at = 0;
	enum iot_status status;

	status = iot_policy_row_need(local, name, &policy, err);
	if (status == IOT_OK)
		status = version_load(local, policy.id, policy.default_version, &document, &created_at, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(reply, "policyName", name);
	iot_local_set_arn(reply, "policyArn", "policy", name);
	iot_json_set_str(reply, "policyDocument", document);
	set_version_id(reply, "defaultVersionId", policy.default_version);
	iot_local_set_time(reply, "creationDate", policy.created_at);
	iot_local_set_time(reply, "lastModifiedDate", policy.modified_at);
	set_version_id(reply, "generationId", policy.next_version);
	return IOT_OK;
}

/* One number of a policy: its attachments, its versions. */
static enum iot_status count(struct iot_local *local, const char *sql, int64_t policy_id, int64_t *ret,
			     struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, sql, "i", policy_id);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

static const char count_attachments[] = "SELECT count(*) FROM policy_attachments WHERE policy_id = ?";
static const char count_versions[] = "SELECT count(*) FROM policy_versions WHERE policy_id = ?";

enum iot_status iot_op_delete_policy(struct iot_local *local, const json_t *request, json_t *reply,
				     struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", NULL);
	struct iot_policy_row policy = {0};
	int64_t attachments = 0;
	int64_t versions = 0;
	enum iot_status status;

	(void)reply;
	status = iot_policy_row_need(local, name, &policy, err);
	if (status == IOT_OK)
		status = count(local, count_attachments, policy.id, &attachments, err);
	if (status == IOT_OK)
		status = count(local, count_versions, policy.id, &versions, err);
	if (status != IOT_OK)
		return status;
	if (attachments > 0)
		return iot_cloud_fail(err, "DeleteConflictException", "policy '%s' is attached to %lld targets", name,
				      (long long)attachments);
	if (versions > 1)
		return iot_cloud_fail(err, "DeleteConflictException",
				      "policy '%s' has %lld versions: delete all but the default one first", name,
				      (long long)versions);
	return iot_store_run(local->store, NULL, err, "DELETE FROM policies WHERE id = ?", "i", policy.id);
}

enum iot_status iot_op_list_policies(struct iot_local *local, const json_t *request, json_t *reply,
				     struct iot_error *err)
{
	bool ascending = iot_json_bool(request, "ascendingOrder", false);
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *policies = json_array();
	enum iot_status status;

	json_object_set_new(reply, "policies", policies);
	status = iot_page_init(&page, request, "marker", err);
	if (status != IOT_OK)
		return status;
	status = iot_stmt_get(local->store,
			      ascending ? "SELECT id, name FROM policies WHERE id > ? ORDER BY id LIMIT ?"
					: "SELECT id, name FROM policies WHERE id < ? ORDER BY id DESC LIMIT ?",
			      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ii", page.after != NULL || ascending ? page.after_id : INT64_MAX,
				       page.limit + 1);
	if (status == IOT_OK)
		status = iot_policies_collect(stmt, &page, policies, err);
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

/* Rows of (id, name) as {policyName, policyArn}. */
enum iot_status iot_policies_collect(struct iot_stmt *stmt, struct iot_page *page, json_t *list, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	while (iot_page_row(page, stmt, 0, &status, err)) {
		json_t *policy = json_object();

		iot_json_set_str(policy, "policyName", iot_stmt_text(stmt, 1));
		iot_local_set_arn(policy, "policyArn", "policy", iot_stmt_text(stmt, 1));
		json_array_append_new(list, policy);
	}
	return status;
}

/* --- versions ---------------------------------------------------------------------- */

static enum iot_status set_default(struct iot_local *local, int64_t policy_id, int64_t version, struct iot_error *err)
{
	return iot_store_run(local->store, NULL, err,
			     "UPDATE policies SET default_version = ?, modified_at = ? WHERE id = ?", "iii", version,
			     iot_now_ms(), policy_id);
}

enum iot_status iot_op_create_policy_version(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", NULL);
	const char *document = iot_json_str(request, "policyDocument", "");
	bool make_default = iot_json_bool(request, "setAsDefault", false);
	struct iot_policy_row policy = {0};
	int64_t versions = 0;
	enum iot_status status;

	status = check_document(document, err);
	if (status == IOT_OK)
		status = iot_policy_row_need(local, name, &policy, err);
	if (status == IOT_OK)
		status = count(local, count_versions, policy.id, &versions, err);
	if (status == IOT_OK && versions >= VERSIONS_MAX) {
		iot_cloud_fail(err, "VersionsLimitExceededException",
			       "policy '%s' has %lld versions, the most there may be", name, (long long)versions);
		iot_error_hint(err, "delete one that is not the default");
		return IOT_CONFLICT;
	}
	if (status == IOT_OK)
		status = version_insert(local, policy.id, policy.next_version, document, err);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "UPDATE policies SET next_version = next_version + 1 WHERE id = ?", "i",
				       policy.id);
	if (status == IOT_OK && make_default)
		status = set_default(local, policy.id, policy.next_version, err);
	if (status != IOT_OK)
		return status;
	iot_local_set_arn(reply, "policyArn", "policy", name);
	iot_json_set_str(reply, "policyDocument", document);
	set_version_id(reply, "policyVersionId", policy.next_version);
	iot_json_set_bool(reply, "isDefaultVersion", make_default);
	return IOT_OK;
}

/* That version of that policy, as it was found. */
struct asked {
	const char *name; /* of the policy; borrowed from the request */
	struct iot_policy_row policy;
	int64_t version, created_at;
	char *document;
};

static void asked_release(struct asked *asked)
{
	free(asked->document);
}

static enum iot_status find_asked(struct iot_local *local, const json_t *request, struct asked *ret,
				  struct iot_error *err)
{
	enum iot_status status = asked_version(request, &ret->version, err);

	ret->name = iot_json_str(request, "policyName", NULL);
	if (status == IOT_OK)
		status = iot_policy_row_need(local, ret->name, &ret->policy, err);
	if (status == IOT_OK)
		status = version_load(local, ret->policy.id, ret->version, &ret->document, &ret->created_at, err);
	return status == IOT_OK && ret->document == NULL ? no_version(ret->name, ret->version, err) : status;
}

enum iot_status iot_op_get_policy_version(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	IOT_CLEAN(asked_release) struct asked asked = {0};
	enum iot_status status = find_asked(local, request, &asked, err);

	if (status != IOT_OK)
		return status;
	iot_local_set_arn(reply, "policyArn", "policy", asked.name);
	iot_json_set_str(reply, "policyName", asked.name);
	iot_json_set_str(reply, "policyDocument", asked.document);
	set_version_id(reply, "policyVersionId", asked.version);
	iot_json_set_bool(reply, "isDefaultVersion", asked.version == asked.policy.default_version);
	iot_local_set_time(reply, "creationDate", asked.created_at);
	iot_local_set_time(reply, "lastModifiedDate", asked.created_at);
	set_version_id(reply, "generationId", asked.version);
	return IOT_OK;
}

enum iot_status iot_op_list_policy_versions(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct iot_policy_row policy = {0};
	json_t *versions = json_array();
	bool row = false;
	enum iot_status status;

	json_object_set_new(reply, "policyVersions", versions);
	status = iot_policy_row_need(local, iot_json_str(request, "policyName", NULL), &policy, err);
	if (status == IOT_OK)
		status = iot_stmt_get(
			local->store,
			"SELECT version, created_at FROM policy_versions WHERE policy_id = ? ORDER BY version DESC",
			&stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", policy.id);
	while (status == IOT_OK) {
		json_t *version;

		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		version = json_object();
		set_version_id(version, "versionId", iot_stmt_int(stmt, 0));
		iot_json_set_bool(version, "isDefaultVersion", iot_stmt_int(stmt, 0) == policy.default_version);
		iot_local_set_time(version, "createDate", iot_stmt_int(stmt, 1));
		json_array_append_new(versions, version);
	}
	return status;
}

enum iot_status iot_op_set_default_policy_version(struct iot_local *local, const json_t *request, json_t *reply,
						  struct iot_error *err)
{
	IOT_CLEAN(asked_release) struct asked asked = {0};
	enum iot_status status = find_asked(local, request, &asked, err);

	(void)reply;
	return status == IOT_OK ? set_default(local, asked.policy.id, asked.version, err) : status;
}

enum iot_status iot_op_delete_policy_version(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", NULL);
	struct iot_policy_row policy = {0};
	int64_t version = 0;
	int64_t changes = 0;
	enum iot_status status;

	(void)reply;
	status = asked_version(request, &version, err);
	if (status == IOT_OK)
		status = iot_policy_row_need(local, name, &policy, err);
	if (status == IOT_OK && version == policy.default_version)
		return iot_cloud_fail(err, "DeleteConflictException", "version %lld is the default of policy '%s'",
				      (long long)version, name);
	if (status == IOT_OK)
		status = iot_store_run(local->store, &changes, err,
				       "DELETE FROM policy_versions WHERE policy_id = ? AND version = ?", "ii",
				       policy.id, version);
	if (status == IOT_OK && changes == 0)
		return no_version(name, version, err);
	return status;
}
