/* What policies are attached to: certificates and thing groups. */
#include "policies_private.h"

#include <stdio.h>
#include <string.h>

/* AWS IoT quotas. */
#define PER_CERTIFICATE 10
#define PER_GROUP 2

/* A certificate (id) or a group (row id), never both. */
struct target {
	const char *certificate;
	int64_t group_id;
};

static enum iot_status read_target(struct iot_local *local, const json_t *request, struct target *ret,
				   struct iot_error *err)
{
	const char *arn = iot_json_str(request, "target", "");
	const char *group = iot_local_arn_name(arn, "thinggroup");

	*ret = (struct target){0};
	if (group != NULL)
		return iot_local_group_id(local, group, &ret->group_id, err);
	if (iot_local_arn_name(arn, "cert") != NULL)
		return iot_local_principal(local, arn, &ret->certificate, err);
	iot_local_invalid(err, "'%.200s' is not the ARN of a certificate or thing group of this fleet", arn);
	iot_error_hint(err, "it looks like %scert/ID or %sthinggroup/NAME", IOT_LOCAL_ARN_PREFIX, IOT_LOCAL_ARN_PREFIX);
	return IOT_USAGE;
}

/* How many policies the target has, and whether this is one of them. */
static enum iot_status count(struct iot_local *local, const struct target *target, int64_t policy_id,
			     int64_t *ret_count, bool *ret_attached, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	if (target->certificate != NULL)
		status = iot_stmt_get(local->store,
				      "SELECT count(*), ifnull(sum(policy_id = ?1), 0) FROM policy_attachments"
				      " WHERE certificate_id = ?2",
				      &stmt, err);
	else
		status = iot_stmt_get(local->store,
				      "SELECT count(*), ifnull(sum(policy_id = ?1), 0) FROM policy_attachments"
				      " WHERE group_id = ?2",
				      &stmt, err);
	if (status == IOT_OK && target->certificate != NULL)
		status = iot_stmt_bind(stmt, err, "is", policy_id, target->certificate);
	else if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ii", policy_id, target->group_id);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK)
		return status;
	*ret_count = iot_stmt_int(stmt, 0);
	*ret_attached = iot_stmt_int(stmt, 1) != 0;
	return IOT_OK;
}

enum iot_status iot_op_attach_policy(struct iot_local *local, const json_t *request, json_t *reply,
				     struct iot_error *err)
{
	struct iot_policy_row policy = {0};
	struct target target = {0};
	int64_t attached_count = 0;
	bool attached = false;
	enum iot_status status;

	(void)reply;
	status = iot_policy_row_need(local, iot_json_str(request, "policyName", NULL), &policy, err);
	if (status == IOT_OK)
		status = read_target(local, request, &target, err);
	if (status == IOT_OK)
		status = count(local, &target, policy.id, &attached_count, &attached, err);
	if (status != IOT_OK || attached)
		return status;
	if (attached_count >= (target.certificate != NULL ? PER_CERTIFICATE : PER_GROUP))
		return iot_cloud_fail(err, "LimitExceededException", "%s has %lld policies, the most there may be",
				      target.certificate != NULL ? "the certificate" : "the thing group",
				      (long long)attached_count);
	return iot_store_run(
		local->store, NULL, err,
		"INSERT INTO policy_attachments (policy_id, certificate_id, group_id) VALUES (?, ?, nullif(?, 0))",
		"isi", policy.id, target.certificate, target.group_id);
}

enum iot_status iot_op_detach_policy(struct iot_local *local, const json_t *request, json_t *reply,
				     struct iot_error *err)
{
	struct iot_policy_row policy = {0};
	struct target target = {0};
	enum iot_status status;

	(void)reply;
	status = iot_policy_row_need(local, iot_json_str(request, "policyName", NULL), &policy, err);
	if (status == IOT_OK)
		status = read_target(local, request, &target, err);
	if (status != IOT_OK)
		return status;
	if (target.certificate != NULL)
		return iot_store_run(local->store, NULL, err,
				     "DELETE FROM policy_attachments WHERE policy_id = ? AND certificate_id = ?", "is",
				     policy.id, target.certificate);
	return iot_store_run(local->store, NULL, err,
			     "DELETE FROM policy_attachments WHERE policy_id = ? AND group_id = ?", "ii", policy.id,
			     target.group_id);
}

/* --- lists --------------------------------------------------------------------------- */

/* ?1: certificate or group, ?2: last policy, ?3: limit. */
static const char of_certificate[] =
	"SELECT p.id, p.name FROM policy_attachments a JOIN policies p ON p.id = a.policy_id"
	" WHERE a.certificate_id = ?1 AND p.id > ?2 ORDER BY p.id LIMIT ?3";
static const char of_group[] = "SELECT p.id, p.name FROM policy_attachments a JOIN policies p ON p.id = a.policy_id"
			       " WHERE a.group_id = ?1 AND p.id > ?2 ORDER BY p.id LIMIT ?3";
/* The group's own and those of the groups above it. */
static const char of_group_and_above[] =
	"WITH RECURSIVE up(id, parent_id) AS (SELECT id, parent_id FROM groups WHERE id = ?1"
	" UNION SELECT g.id, g.parent_id FROM groups g JOIN up ON g.id = up.parent_id)"
	" SELECT DISTINCT p.id, p.name FROM up JOIN policy_attachments a ON a.group_id = up.id"
	" JOIN policies p ON p.id = a.policy_id WHERE p.id > ?2 ORDER BY p.id LIMIT ?3";

enum iot_status iot_op_list_attached_policies(struct iot_local *local, const json_t *request, json_t *reply,
					      struct iot_error *err)
{
	bool recursive = iot_json_bool(request, "recursive", false);
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *policies = json_array();
	struct target target = {0};
	enum iot_status status;

	json_object_set_new(reply, "policies", policies);
	status = read_target(local, request, &target, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "marker", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      target.certificate != NULL ? of_certificate
				      : recursive                ? of_group_and_above
								 : of_group,
				      &stmt, err);
	if (status == IOT_OK && target.certificate != NULL)
		status = iot_stmt_bind(stmt, err, "sii", target.certificate, page.after_id, page.limit + 1);
	else if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iii", target.group_id, page.after_id, page.limit + 1);
	if (status == IOT_OK)
		status = iot_policies_collect(stmt, &page, policies, err);
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

enum iot_status iot_op_list_targets_for_policy(struct iot_local *local, const json_t *request, json_t *reply,
					       struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct iot_policy_row policy = {0};
	json_t *targets = json_array();
	enum iot_status status;

	json_object_set_new(reply, "targets", targets);
	status = iot_policy_row_need(local, iot_json_str(request, "policyName", NULL), &policy, err);
	if (status == IOT_OK)
		status = iot_page_init(&page, request, "marker", err);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT a.rowid, a.certificate_id, g.name FROM policy_attachments a"
				      " LEFT JOIN groups g ON g.id = a.group_id WHERE a.policy_id = ?1 AND a.rowid > ?2"
				      " ORDER BY a.rowid LIMIT ?3",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iii", policy.id, page.after_id, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		IOT_CLEAN(iot_free_p)
		char *arn = iot_stmt_is_null(stmt, 1) ? iot_local_arn("thinggroup", iot_stmt_text(stmt, 2))
						      : iot_local_arn("cert", iot_stmt_text(stmt, 1));
		json_array_append_new(targets, json_string(arn));
	}
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}
