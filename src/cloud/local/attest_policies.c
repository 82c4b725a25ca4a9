/*
 * Attestation policies (our own operations): what devices may run, by name, and
 * for whom: a thing, a group or a type, each with one policy at most. For a device its own
 * counts, else all of its groups and the groups above them, else its type's.
 */
#include "local_private.h"

#include "iotctl/attest.h"

#include <string.h>

static enum iot_status find(struct iot_local *local, const char *name, struct iot_stmt **ret, bool *ret_row,
			    struct iot_error *err)
{
	enum iot_status status = iot_stmt_get(
		local->store, "SELECT id, name, document, created_at, modified_at FROM attest_policies WHERE name = ?",
		ret, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "s", name);
	return status == IOT_OK ? iot_stmt_step(*ret, ret_row, err) : status;
}

static enum iot_status no_policy(const char *name, struct iot_error *err)
{
	enum iot_status status = iot_local_not_found(err, "there is no attestation policy '%s'", name);

	iot_error_hint(err, "'iotctl attest policy list' shows what there is");
	return status;
}

static enum iot_status policy_id(struct iot_local *local, const char *name, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = find(local, name, &stmt, &row, err);

	if (status == IOT_OK && !row)
		return no_policy(name, err);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

/* --- whom it is for ------------------------------------------------------------------------- */

/* The kinds of targets: their column, the member of a request, and the word in a reply. */
static const struct target_kind {
	const char *column, *member, *word;
} kinds[] = {
	{"thing_id", "thingName", "thing"},
	{"group_id", "thingGroupName", "group"},
	{"type_id", "thingTypeName", "type"},
};

static enum iot_status type_id(struct iot_local *local, const char *name, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status =
		iot_stmt_query(local->store, &stmt, &row, err, "SELECT id FROM types WHERE name = ?", "s", name);

	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "thing type '%s' does not exist", name);
	if (status == IOT_OK)
		*ret = iot_stmt_int(stmt, 0);
	return status;
}

struct target {
	const struct target_kind *kind;
	const char *name;
	int64_t id;
};

/* A request names one thing, group or type. */
static enum iot_status find_target(struct iot_local *local, const json_t *request, struct target *ret,
				   struct iot_error *err)
{
	for (size_t i = 0; i < IOT_LENGTH(kinds); i++) {
		const char *name = iot_json_str(request, kinds[i].member, NULL);

		if (name != NULL && ret->name != NULL)
			return iot_local_invalid(err, "one thing, one group or one type is needed");
		if (name != NULL)
			*ret = (struct target){&kinds[i], name, 0};
	}
	if (ret->kind == NULL) {
		iot_local_invalid(err, "a thing, a group or a type is needed");
		return IOT_USAGE;
	}
	if (ret->kind == &kinds[0])
		return iot_local_thing_id(local, ret->name, &ret->id, err);
	if (ret->kind == &kinds[1])
		return iot_local_group_id(local, ret->name, &ret->id, err);
	return type_id(local, ret->name, &ret->id, err);
}

/* One page of them, in the order in which they were assigned; a token in the page when there are more. */
static enum iot_status add_targets(struct iot_local *local, int64_t id, struct iot_page *page, json_t *targets,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(
		local->store,
		"SELECT a.rowid, CASE WHEN a.thing_id IS NOT NULL THEN 'thing:' || t.name WHEN a.group_id IS NOT NULL"
		" THEN 'group:' || g.name ELSE 'type:' || y.name END FROM attest_targets a LEFT JOIN things t ON"
		" t.id = a.thing_id LEFT JOIN groups g ON g.id = a.group_id LEFT JOIN types y ON y.id = a.type_id"
		" WHERE a.policy_id = ? AND a.rowid > ? ORDER BY a.rowid LIMIT ?",
		&stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "iii", id, page->after_id, page->limit + 1);
	while (iot_page_row(page, stmt, 0, &status, err))
		json_array_append_new(targets, json_string(iot_stmt_text(stmt, 1)));
	return status;
}

/* The first of them go with their policy; who sees a token asks for the others by it. */
static enum iot_status set_targets(struct iot_local *local, int64_t id, json_t *policy, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {.token_name = "nextToken", .limit = IOT_PAGE_MAX};
	IOT_JSON more = json_object();
	json_t *targets = json_array();
	enum iot_status status = add_targets(local, id, &page, targets, err);

	json_object_set_new(policy, "targets", targets);
	if (status != IOT_OK)
		return status;
	iot_page_finish(&page, more);
	iot_json_set_str(policy, "nextTargets", iot_json_str(more, "nextToken", NULL));
	return IOT_OK;
}

static enum iot_status list_targets(struct iot_local *local, const json_t *request, const struct iot_body *in,
				    json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	json_t *targets = json_array();
	int64_t id = 0;
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "targets", targets);
	if (status == IOT_OK)
		status = policy_id(local, iot_json_str(request, "policyName", ""), &id, err);
	if (status == IOT_OK)
		status = add_targets(local, id, &page, targets, err);
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

/* What the target had before; new memory, NULL: nothing. */
static enum iot_status assigned(struct iot_local *local, const struct target *target, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *sql = iot_strf("SELECT p.name FROM attest_targets a JOIN attest_policies p ON p.id = a.policy_id"
			     " WHERE a.%s = ?",
			     target->kind->column);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(local->store, &stmt, &row, err, sql, "i", target->id);

	if (status == IOT_OK && row)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

static enum iot_status forget(struct iot_local *local, const struct target *target, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *sql = iot_strf("DELETE FROM attest_targets WHERE %s = ?", target->kind->column);

	return iot_store_run(local->store, NULL, err, sql, "i", target->id);
}

static enum iot_status assign_policy(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", "");
	IOT_CLEAN(iot_free_p) char *before = NULL;
	IOT_CLEAN(iot_free_p) char *sql = NULL;
	struct target target = {0};
	int64_t id = 0;
	enum iot_status status = policy_id(local, name, &id, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = find_target(local, request, &target, err);
	if (status == IOT_OK)
		status = assigned(local, &target, &before, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "policyName", name);
	iot_json_set_str(*ret_reply, target.kind->member, target.name);
	iot_json_set_bool(*ret_reply, "changed", before == NULL || strcmp(before, name) != 0);
	if (before != NULL && strcmp(before, name) == 0)
		return IOT_OK;
	iot_json_set_str(*ret_reply, "replaced", before);
	if (before != NULL)
		status = forget(local, &target, err);
	sql = iot_strf("INSERT INTO attest_targets (policy_id, %s) VALUES (?, ?)", target.kind->column);
	return status == IOT_OK ? iot_store_run(local->store, NULL, err, sql, "ii", id, target.id) : status;
}

static enum iot_status unassign_policy(struct iot_local *local, const json_t *request, const struct iot_body *in,
				       json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", "");
	IOT_CLEAN(iot_free_p) char *before = NULL;
	struct target target = {0};
	int64_t id = 0;
	enum iot_status status = policy_id(local, name, &id, err);

	(void)in, (void)out, (void)ret_reply;
	if (status == IOT_OK)
		status = find_target(local, request, &target, err);
	if (status == IOT_OK)
		status = assigned(local, &target, &before, err);
	if (status != IOT_OK)
		return status;
	if (before == NULL || strcmp(before, name) != 0)
		return iot_local_not_found(err, "attestation policy '%s' is not assigned to %s '%s'", name,
					   target.kind->word, target.name);
	return forget(local, &target, err);
}

/* --- policies --------------------------------------------------------------------------------- */

static enum iot_status check_document(const char *name, const char *document, struct iot_error *err)
{
	IOT_CLEAN(iot_attest_policy_free_p) struct iot_attest_policy *policy = NULL;
	struct iot_error why = IOT_ERROR_INIT;

	if (iot_attest_policy_parse(document, strlen(document), name, &policy, &why) == IOT_OK)
		return IOT_OK;
	return iot_local_invalid(err, "%s", why.what);
}

static void set_row(struct iot_stmt *stmt, json_t *to)
{
	iot_json_set_str(to, "policyName", iot_stmt_text(stmt, 1));
	iot_local_set_time(to, "createdAt", iot_stmt_int(stmt, 3));
	iot_local_set_time(to, "modifiedAt", iot_stmt_int(stmt, 4));
}

static enum iot_status put_policy(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", "");
	const char *document = iot_json_str(request, "policyDocument", "");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool there = false, same = false;
	enum iot_status status = check_document(name, document, err);

	(void)in, (void)out;
	if (status == IOT_OK)
		status = find(local, name, &stmt, &there, err);
	if (status != IOT_OK)
		return status;
	same = there && strcmp(iot_stmt_text(stmt, 2), document) == 0;
	iot_stmt_done(iot_take(stmt));
	if (there && !same && !iot_json_bool(request, "replace", false)) {
		iot_local_exists(err, "there is an attestation policy '%s' already, and it says something else", name);
		iot_error_hint(err, "change it with --replace");
		return IOT_CONFLICT;
	}
	if (!same)
		status = iot_store_run(local->store, NULL, err,
				       "INSERT INTO attest_policies (name, document, created_at, modified_at)"
				       " VALUES (?1, ?2, ?3, ?3) ON CONFLICT (name) DO UPDATE SET document = ?2,"
				       " modified_at = ?3",
				       "ssi", name, document, iot_now_ms());
	if (status == IOT_OK)
		status = find(local, name, &stmt, &there, err);
	if (status != IOT_OK)
		return status;
	set_row(stmt, *ret_reply);
	iot_json_set_bool(*ret_reply, "changed", !same);
	return IOT_OK;
}

static enum iot_status get_policy(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", "");
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = find(local, name, &stmt, &row, err);

	(void)in, (void)out;
	if (status == IOT_OK && !row)
		return no_policy(name, err);
	if (status != IOT_OK)
		return status;
	set_row(stmt, *ret_reply);
	iot_json_set_str(*ret_reply, "policyDocument", iot_stmt_text(stmt, 2));
	return set_targets(local, iot_stmt_int(stmt, 0), *ret_reply, err);
}

static enum iot_status list_policies(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *policies = json_array();
	enum iot_status status = iot_page_init(&page, request, "nextToken", err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "policies", policies);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store,
				      "SELECT id, name, document, created_at, modified_at FROM attest_policies"
				      " WHERE id > ? ORDER BY id LIMIT ?",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "ii", page.after_id, page.limit + 1);
	while (iot_page_row(&page, stmt, 0, &status, err)) {
		json_t *policy = json_object();

		set_row(stmt, policy);
		json_array_append_new(policies, policy);
		status = set_targets(local, iot_stmt_int(stmt, 0), policy, err);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, *ret_reply);
	return status;
}

static enum iot_status delete_policy(struct iot_local *local, const json_t *request, const struct iot_body *in,
				     json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "policyName", "");
	IOT_JSON targets = json_object();
	const json_t *first;
	int64_t id = 0;
	enum iot_status status = policy_id(local, name, &id, err);

	(void)in, (void)out, (void)ret_reply;
	if (status == IOT_OK)
		status = set_targets(local, id, targets, err);
	if (status != IOT_OK)
		return status;
	first = json_array_get(json_object_get(targets, "targets"), 0);
	if (first != NULL) {
		iot_cloud_fail(err, "DeleteConflictException", "attestation policy '%s' is assigned to '%s'", name,
			       json_string_value(first));
		iot_error_hint(err, "'iotctl attest policy unassign' takes it from there");
		return IOT_CONFLICT;
	}
	return iot_store_run(local->store, NULL, err, "DELETE FROM attest_policies WHERE id = ?", "i", id);
}

/* --- what counts for a device -------------------------------------------------------------------- */

/* The nearest first: its own, its groups', its type's. */
static const char effective_sql[] =
	"WITH RECURSIVE up(id) AS (SELECT group_id FROM group_members WHERE thing_id = ?1 UNION SELECT g.parent_id"
	" FROM groups g JOIN up ON g.id = up.id WHERE g.parent_id IS NOT NULL)"
	" SELECT DISTINCT CASE WHEN a.thing_id IS NOT NULL THEN 0 WHEN a.group_id IS NOT NULL THEN 1 ELSE 2 END AS"
	" level, p.name, p.document FROM attest_targets a JOIN attest_policies p ON p.id = a.policy_id"
	" WHERE a.thing_id = ?1 OR a.group_id IN (SELECT id FROM up)"
	" OR a.type_id = (SELECT type_id FROM things WHERE id = ?1) ORDER BY level, p.name";

static enum iot_status effective_policies(struct iot_local *local, const json_t *request, const struct iot_body *in,
					  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *policies = json_array();
	int64_t thing_id = 0, level = -1;
	bool row = false;
	enum iot_status status = iot_local_thing_id(local, iot_json_str(request, "thingName", ""), &thing_id, err);

	(void)in, (void)out;
	json_object_set_new(*ret_reply, "policies", policies);
	if (status == IOT_OK)
		status = iot_stmt_get(local->store, effective_sql, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", thing_id);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		if (level >= 0 && iot_stmt_int(stmt, 0) != level)
			break;
		level = iot_stmt_int(stmt, 0);
		json_array_append_new(policies, json_pack("{s:s, s:s}", "policyName", iot_stmt_text(stmt, 1),
							  "policyDocument", iot_stmt_text(stmt, 2)));
	}
	if (status == IOT_OK && level >= 0)
		iot_json_set_str(*ret_reply, "source", kinds[level].word);
	return status;
}

const struct iot_local_handler iot_local_attest_handlers[] = {
	{"iotctl:PutAttestationPolicy", put_policy, false},
	{"iotctl:GetAttestationPolicy", get_policy, false},
	{"iotctl:ListAttestationPolicies", list_policies, false},
	{"iotctl:ListTargetsForAttestationPolicy", list_targets, false},
	{"iotctl:DeleteAttestationPolicy", delete_policy, false},
	{"iotctl:AssignAttestationPolicy", assign_policy, false},
	{"iotctl:UnassignAttestationPolicy", unassign_policy, false},
	{"iotctl:GetEffectiveAttestationPolicies", effective_policies, false},
	{NULL, NULL, false},
};
