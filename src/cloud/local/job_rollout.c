/*
 * From targets to executions: things and groups are resolved with one INSERT
 * per target, whatever the size of a group. Without a rate all executions are
 * queued at once; with one they wait and are queued as minutes pass.
 */
#include "jobs_private.h"

#include <string.h>

/* One execution of job ?2 in state ?3 for each thing below group ?1 that has none, or was removed from it before. */
static const char group_sql[] = IOT_SQL_GROUP_TREE
	"INSERT INTO executions (job, thing_id, number, status, queued_at, updated_at)"
	" SELECT ?2, m.thing_id, (SELECT ifnull(max(x.number), 0) + 1 FROM executions x WHERE x.job = ?2"
	" AND x.thing_id = m.thing_id), ?3, ?4, ?4"
	" FROM (SELECT DISTINCT thing_id FROM group_members WHERE group_id IN (SELECT id FROM tree)) m"
	" WHERE NOT EXISTS (SELECT 1 FROM executions x WHERE x.job = ?2 AND x.thing_id = m.thing_id"
	" AND x.status <> 'REMOVED')";

static const char thing_sql[] =
	"INSERT INTO executions (job, thing_id, number, status, queued_at, updated_at)"
	" SELECT ?2, ?1, (SELECT ifnull(max(x.number), 0) + 1 FROM executions x WHERE x.job = ?2 AND x.thing_id = ?1),"
	" ?3, ?4, ?4 WHERE NOT EXISTS (SELECT 1 FROM executions x WHERE x.job = ?2 AND x.thing_id = ?1"
	" AND x.status <> 'REMOVED')";

/* The continuous jobs that run on group ?1 or on a group above it. */
static const char joined_sql[] =
	"WITH RECURSIVE up(id) AS (SELECT ?1 UNION SELECT g.parent_id FROM groups g JOIN up ON g.id = up.id"
	" WHERE g.parent_id IS NOT NULL)"
	" SELECT j.id FROM jobs j WHERE j.status IN ('IN_PROGRESS', 'SCHEDULED') AND j.status = 'IN_PROGRESS'"
	" AND j.selection = 'CONTINUOUS'"
	" AND EXISTS (SELECT 1 FROM json_each(j.targets) t WHERE t.value IN"
	" (SELECT '" IOT_LOCAL_ARN_PREFIX "thinggroup/' || g.name FROM groups g JOIN up ON g.id = up.id))"
	" ORDER BY j.id";

/* Row id of a target: *ret_group tells which kind. */
static enum iot_status target_id(struct iot_local *local, const char *arn, int64_t *ret, bool *ret_group,
				 struct iot_error *err)
{
	const char *thing = iot_local_arn_name(arn, "thing"), *group = iot_local_arn_name(arn, "thinggroup");

	*ret_group = group != NULL;
	if (group != NULL)
		return iot_local_group_id(local, group, ret, err);
	if (thing != NULL)
		return iot_local_thing_id(local, thing, ret, err);
	return iot_local_invalid(err, "target '%.200s' is not the ARN of a thing or thing group of this cloud", arn);
}

enum iot_status iot_targets_check(struct iot_local *local, const json_t *targets, struct iot_error *err)
{
	size_t i;
	json_t *target;

	if (json_array_size(targets) == 0 || json_array_size(targets) > IOT_JOB_TARGETS_MAX)
		return iot_local_invalid(err, "a job needs 1 to %d targets, not %zu", IOT_JOB_TARGETS_MAX,
					 json_array_size(targets));
	json_array_foreach(targets, i, target) {
		int64_t id;
		bool group;
		enum iot_status status;

		if (!json_is_string(target))
			return iot_local_invalid(err, "'targets' must be a list of ARNs");
		status = target_id(local, json_string_value(target), &id, &group, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

/* Every thing that has an execution of the job queued at this very time. */
static enum iot_status tell_queued(struct iot_local *local, int64_t job, int64_t now, struct iot_error *err)
{
	local->wake = true;
	return iot_store_run(local->store, NULL, err,
			     "INSERT OR REPLACE INTO outbox (kind, thing_id, created_at)"
			     " SELECT 'jobs', thing_id, ?2 FROM executions"
			     " WHERE job = ?1 AND status = 'QUEUED' AND queued_at = ?2 ORDER BY id",
			     "ii", job, now);
}

enum iot_status iot_job_release_due(struct iot_local *local, const struct iot_job *job, int64_t now_ms,
				    int64_t *ret_next, struct iot_error *err)
{
	int64_t notified, recent, oldest, succeeded, rate, released = 0, room = -1;
	struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	*ret_next = -1;
	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT count(*), count(CASE WHEN queued_at > ?2 THEN 1 END),"
				" ifnull(min(CASE WHEN queued_at > ?2 THEN queued_at END), 0),"
				" count(CASE WHEN status = 'SUCCEEDED' THEN 1 END)"
				" FROM executions WHERE job = ?1 AND status <> 'WAITING'",
				"ii", job->id, now_ms - IOT_MINUTE_MS);
	if (status != IOT_OK || !row) {
		iot_stmt_done(stmt);
		return status;
	}
	notified = iot_stmt_int(stmt, 0);
	recent = iot_stmt_int(stmt, 1);
	oldest = iot_stmt_int(stmt, 2);
	succeeded = iot_stmt_int(stmt, 3);
	iot_stmt_done(stmt);

	rate = iot_job_rate(job->config, notified, succeeded);
	if (rate >= 0)
		room = rate > recent ? rate - recent : 0;
	if (room != 0) {
		status = iot_store_run(local->store, &released, err,
				       "UPDATE executions SET status = 'QUEUED', queued_at = ?2, updated_at = ?2"
				       " WHERE id IN (SELECT id FROM executions WHERE job = ?1 AND status = 'WAITING'"
				       " ORDER BY id LIMIT ?3)",
				       "iii", job->id, now_ms, room);
		if (status == IOT_OK && released > 0)
			status = tell_queued(local, job->id, now_ms, err);
	}
	/* The first of the last minute makes room when it is a minute old. */
	if (rate >= 0 && released == room)
		*ret_next = (oldest != 0 ? oldest : now_ms) + IOT_MINUTE_MS;
	return status;
}

enum iot_status iot_job_rollout(struct iot_local *local, const struct iot_job *job, const json_t *targets,
				struct iot_error *err)
{
	bool at_once = iot_job_rate(job->config, 0, 0) < 0;
	int64_t now = iot_now_ms(), next, count, added = 0;
	enum iot_status status = IOT_OK;
	size_t i;
	json_t *target;

	json_array_foreach(targets, i, target) {
		int64_t id = 0;
		bool group = false;

		status = target_id(local, json_string_value(target), &id, &group, err);
		if (status == IOT_NOT_FOUND) { /* deleted since the job was scheduled */
			iot_error_clear(err);
			status = IOT_OK;
			continue;
		}
		if (status == IOT_OK)
			status = iot_store_run(local->store, &count, err, group ? group_sql : thing_sql, "iisi", id,
					       job->id, at_once ? "QUEUED" : "WAITING", now);
		if (status != IOT_OK)
			return status;
		added += count;
	}
	if (added > 0 && at_once)
		status = tell_queued(local, job->id, now, err);
	else if (added > 0)
		status = iot_job_release_due(local, job, now, &next, err);
	return status;
}

static enum iot_status join_one(struct iot_local *local, int64_t job_row, const json_t *targets, struct iot_error *err)
{
	IOT_CLEAN(iot_job_release) struct iot_job job = {0};
	enum iot_status status = iot_job_by_id(local, job_row, &job, err);
	int64_t end;

	if (status != IOT_OK)
		return status;
	end = iot_job_end_time(job.config);
	if (end != 0 && end <= iot_now_ms())
		return IOT_OK;
	return iot_job_rollout(local, &job, targets, err);
}

/* The thing as a list of targets. */
static enum iot_status thing_targets(struct iot_local *local, int64_t thing_id, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT name FROM things WHERE id = ?", "i", thing_id);
	if (status != IOT_OK)
		return status;
	*ret = json_array();
	if (row) {
		arn = iot_local_arn("thing", iot_stmt_text(stmt, 0));
		json_array_append_new(*ret, json_string(arn));
	}
	return IOT_OK;
}

enum iot_status iot_local_jobs_joined(struct iot_local *local, int64_t thing_id, int64_t group_id,
				      struct iot_error *err)
{
	IOT_JSON jobs = json_array();
	IOT_JSON targets = NULL;
	struct iot_stmt *stmt = NULL;
	enum iot_status status = iot_stmt_get(local->store, joined_sql, &stmt, err);
	bool row = true;
	size_t i;
	json_t *job;

	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "i", group_id);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		json_array_append_new(jobs, json_integer(iot_stmt_int(stmt, 0)));
	iot_stmt_done(stmt);
	if (status != IOT_OK || json_array_size(jobs) == 0)
		return status;
	status = thing_targets(local, thing_id, &targets, err);
	json_array_foreach(jobs, i, job) {
		if (status == IOT_OK)
			status = join_one(local, json_integer_value(job), targets, err);
	}
	return status;
}

/* Executions that have not begun, of continuous jobs none of whose targets thing ?1 belongs to any longer. */
static const char left_sql[] =
	"WITH RECURSIVE up(id) AS (SELECT group_id FROM group_members WHERE thing_id = ?1"
	" UNION SELECT g.parent_id FROM groups g JOIN up ON g.id = up.id WHERE g.parent_id IS NOT NULL),"
	" covered(arn) AS (SELECT '" IOT_LOCAL_ARN_PREFIX "thing/' || name FROM things WHERE id = ?1"
	" UNION SELECT '" IOT_LOCAL_ARN_PREFIX "thinggroup/' || g.name FROM groups g JOIN up ON g.id = up.id)"
	" UPDATE executions SET status = 'REMOVED', version = version + 1, updated_at = ?2"
	" WHERE thing_id = ?1 AND status IN ('QUEUED', 'WAITING') AND job IN (SELECT j.id FROM jobs j"
	" WHERE j.status IN ('IN_PROGRESS', 'SCHEDULED') AND j.selection = 'CONTINUOUS' AND NOT EXISTS"
	" (SELECT 1 FROM json_each(j.targets) t WHERE t.value IN (SELECT arn FROM covered)))";

enum iot_status iot_local_jobs_left(struct iot_local *local, int64_t thing_id, struct iot_error *err)
{
	int64_t removed = 0;
	enum iot_status status = iot_store_run(local->store, &removed, err, left_sql, "ii", thing_id, iot_now_ms());

	if (status == IOT_OK && removed > 0)
		status = iot_local_outbox_add(local, "jobs", thing_id, NULL, NULL, 0, 1, false, err);
	return status;
}
