/*
 * Many devices from a CSV file: one result for each row, and a journal that tells
 * which rows were begun and which had their result. A row is an ordinary use-case,
 * which finishes what it finds half-done, so that a row that was under way when
 * the call was killed is simply done again. Rows run in strands of the cloud: each
 * strand takes the next row until there is none.
 */
#include "fleet/fleet_private.h"
#include "fleet/line_journal.h"

#include "iotctl/base.h"
#include "iotctl/csv.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

#define SEPARATORS ";"

struct batch {
	struct iot_cloud *cloud;
	const struct iot_device_batch *spec;
	json_t *rows;
	json_t *known; /* digest of a row -> {failed} or {begun} from the journal */
	struct line_journal *journal;
	int64_t done, failed, before; /* rows that had their result; of all, those that had it in an earlier call */
	size_t next;                  /* row to be taken */
	enum iot_status status;       /* what ended it all, with the error */
	struct iot_error err;
};

static const char *const create_columns[] = {"name",      "alias", "type", "policy", "group",
					     "attribute", "csr",   "out",  NULL};
static const char *const update_columns[] = {"name", "alias", "type", "group", "attribute", NULL};
static const char *const name_column[] = {"name", NULL};

static const struct {
	const char *command; /* whose journal it is */
	const char *const *columns;
	const char *undone; /* what did not come to the rows that failed */
} kinds[] = {
	[IOT_BATCH_CREATE] = {"iotctl device create", create_columns, "made"},
	[IOT_BATCH_UPDATE] = {"iotctl device update", update_columns, "updated"},
	[IOT_BATCH_RETIRE] = {"iotctl device retire", name_column, "retired"},
	[IOT_BATCH_ATTACH] = {"iotctl policy attach", name_column, "given the policy"},
};

static void batch_release(struct batch *batch)
{
	json_decref(batch->rows);
	json_decref(batch->known);
}

/* --- rows ------------------------------------------------------------------------------- */

/* The parts of a cell, NULL-terminated, in a block of new memory; NULL for none. The cell is cut up. */
static const char **split(char *cell)
{
	const char **parts;
	size_t count = 1;

	if (cell == NULL)
		return NULL;
	for (const char *at = cell; *at != '\0'; at++)
		count += strchr(SEPARATORS, *at) != NULL;
	parts = iot_alloc_array(count + 1, sizeof(*parts));
	count = 0;
	for (char *rest = NULL, *at = strtok_r(cell, SEPARATORS, &rest); at != NULL;
	     at = strtok_r(NULL, SEPARATORS, &rest))
		parts[count++] = at;
	return parts;
}

/* What a row says, whatever its line: the same row is known again when others were put before it. */
static void digest_of(const json_t *row, char digest[IOT_SHA256_HEX_SIZE])
{
	IOT_JSON plain = json_deep_copy(row);
	IOT_CLEAN(iot_free_p) char *text = NULL;

	json_object_del(plain, "line");
	text = json_dumps(plain, JSON_COMPACT | JSON_SORT_KEYS);
	iot_sha256_hex(text, strlen(text), digest);
}

static enum iot_status read_rows(struct batch *batch, struct iot_error *err)
{
	const char *path = batch->spec->file;
	struct iot_buf text = IOT_BUF_INIT(IOT_CSV_MAX);
	IOT_JSON seen = json_object();
	json_t *row;
	size_t i;
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_OK)
		status = iot_csv_parse(iot_buf_str(&text), text.len, path, kinds[batch->spec->kind].columns,
				       &batch->rows, err);
	iot_buf_release(&text);
	json_array_foreach(batch->rows, i, row) {
		const char *name = iot_json_str(row, "name", NULL);
		int64_t line = iot_json_int(row, "line", 0);

		if (status == IOT_OK && name == NULL)
			status = iot_fail(err, IOT_USAGE, "line %lld of '%s' names no device", (long long)line, path);
		if (status == IOT_OK)
			status = iot_cert_check_name(name, err);
		if (status == IOT_OK && json_object_get(seen, name) != NULL)
			status = iot_fail(err, IOT_CONFLICT, "'%s' is in lines %lld and %lld of '%s'", name,
					  (long long)iot_json_int(seen, name, 0), (long long)line, path);
		if (status == IOT_OK)
			iot_json_set_int(seen, name, line);
	}
	if (status == IOT_OK && json_array_size(batch->rows) == 0)
		return iot_fail(err, IOT_USAGE, "'%s' lists no devices", path);
	return status;
}

/* --- the journal --------------------------------------------------------------------------- */

static bool load_line(const json_t *line, void *data)
{
	const struct batch *batch = data;
	const char *row = iot_json_str(line, "row", NULL);

	if (row == NULL || strlen(row) != IOT_SHA256_HEX_SIZE - 1 ||
	    (json_object_get(line, "failed") == NULL && json_object_get(line, "begun") == NULL))
		return false;
	json_object_set(batch->known, row, (json_t *)(uintptr_t)line);
	return true;
}

static enum iot_status note(struct batch *batch, const char *digest, const char *what, struct iot_error *err)
{
	if (batch->journal == NULL)
		return IOT_OK;
	line_journal_add(batch->journal, "{\"row\":\"%s\",%s}", digest, what);
	return line_journal_flush(batch->journal, err);
}

/* --- one row ----------------------------------------------------------------------------------- */

static char *folder_of(const struct batch *batch, const json_t *row)
{
	const char *out = iot_json_str(row, "out", NULL);

	if (out != NULL)
		return iot_strdup(out);
	return batch->spec->out != NULL ? iot_path(batch->spec->out, iot_json_str(row, "name", "")) : NULL;
}

static enum iot_status create_row(struct batch *batch, const json_t *row, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *policies = iot_strdup(iot_json_str(row, "policy", NULL));
	IOT_CLEAN(iot_free_p) char *groups = iot_strdup(iot_json_str(row, "group", NULL));
	IOT_CLEAN(iot_free_p) char *attributes = iot_strdup(iot_json_str(row, "attribute", NULL));
	IOT_CLEAN(iot_free_p) const char **policy_names = split(policies);
	IOT_CLEAN(iot_free_p) const char **group_names = split(groups);
	IOT_CLEAN(iot_free_p) const char **attribute_pairs = split(attributes);
	IOT_CLEAN(iot_free_p) char *out = folder_of(batch, row);
	struct iot_device_spec spec = batch->spec->defaults;

	spec.name = iot_json_str(row, "name", "");
	spec.alias = iot_json_str(row, "alias", NULL);
	spec.type = iot_json_str(row, "type", spec.type);
	spec.policies = policy_names != NULL ? policy_names : spec.policies;
	spec.groups = group_names != NULL ? group_names : spec.groups;
	spec.attributes = attribute_pairs != NULL ? attribute_pairs : spec.attributes;
	spec.csr = iot_json_str(row, "csr", NULL);
	spec.out = out;
	if (out == NULL) /* policies belong to certificates */
		spec.policies = policy_names;
	if (batch->spec->kind == IOT_BATCH_UPDATE)
		return iot_device_update(batch->cloud, &spec, ret, err);
	return iot_device_create(batch->cloud, &spec, ret, err);
}

/* One that was begun and is not there any more is what an earlier call came to. */
static enum iot_status retire_row(struct batch *batch, const char *name, bool begun, json_t **ret,
				  struct iot_error *err)
{
	enum iot_status status = iot_device_retire(batch->cloud, name, false, ret, err);

	if (status != IOT_NOT_FOUND || !begun)
		return status;
	iot_error_clear(err);
	*ret = json_pack("{s:s, s:b}", "thingName", name, "changed", 1);
	return IOT_OK;
}

static enum iot_status attach_row(struct batch *batch, const char *name, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON arns = NULL;
	json_t *arn;
	size_t i;
	bool changed = false;
	enum iot_status status = iot_fleet_resolve(batch->cloud, name, &thing, err);

	if (status == IOT_OK)
		status = fleet_collect(batch->cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing),
				       "principals", &arns, err);
	if (status == IOT_OK && json_array_size(arns) == 0)
		status = iot_fail(err, IOT_CONFLICT, "device '%s' has no certificate", name);
	json_array_foreach(arns, i, arn) {
		if (status == IOT_OK)
			status = fleet_attach(batch->cloud, thing, batch->spec->defaults.policies,
					      json_string_value(arn), false, &changed, err);
	}
	if (status == IOT_OK)
		*ret = json_pack("{s:s, s:b}", "thingName", thing, "changed", changed);
	return status;
}

static enum iot_status change(struct batch *batch, const json_t *row, bool begun, json_t **ret, struct iot_error *err)
{
	switch (batch->spec->kind) {
	case IOT_BATCH_RETIRE:
		return retire_row(batch, iot_json_str(row, "name", ""), begun, ret, err);
	case IOT_BATCH_ATTACH:
		return attach_row(batch, iot_json_str(row, "name", ""), ret, err);
	default:
		return create_row(batch, row, ret, err);
	}
}

/* Not this row's fault, and not over with the next one. */
static bool ends_all(enum iot_status status)
{
	return status == IOT_AGAIN || status == IOT_TIMEOUT || status == IOT_INTERRUPTED || status == IOT_SETTINGS;
}

static enum iot_status run_row(struct batch *batch, const json_t *row, const char *digest, struct iot_error *err)
{
	bool begun = json_object_get(json_object_get(batch->known, digest), "begun") != NULL;
	IOT_JSON record = NULL;
	char line[1200];
	bool failed;
	enum iot_status status = begun ? IOT_OK : note(batch, digest, "\"begun\":true", err);

	if (status == IOT_OK)
		status = change(batch, row, begun, &record, err);
	failed = status != IOT_OK;
	if (failed && ends_all(status))
		return status;
	if (failed) {
		record = json_pack("{s:s, s:b}", "thingName", iot_json_str(row, "name", ""), "changed", 0);
		iot_json_set_str(record, "error", iot_error_line(err, line, sizeof(line)));
		iot_error_clear(err);
	}
	json_object_set(record, "line", json_object_get(row, "line"));
	batch->failed += failed;
	batch->done += !failed;
	/* Told before it is noted: a row may be told twice when the call is killed here, but never not at all. */
	status = batch->spec->each(record, batch->spec->data, err);
	return status == IOT_OK ? note(batch, digest, failed ? "\"failed\":true" : "\"failed\":false", err) : status;
}

/* --- all of them --------------------------------------------------------------------------------- */

/* Did it have its result in an earlier call? */
static bool settled(struct batch *batch, const char *digest)
{
	const json_t *known = json_object_get(batch->known, digest);
	bool failed = iot_json_bool(known, "failed", false);

	if (json_object_get(known, "failed") == NULL || (failed && batch->spec->retry_failed))
		return false;
	batch->failed += failed;
	batch->done += !failed;
	batch->before++;
	return true;
}

static void tell_progress(const struct batch *batch)
{
	int64_t done = batch->done + batch->failed;

	if (batch->spec->progress != NULL)
		batch->spec->progress(done, done - batch->before, (int64_t)json_array_size(batch->rows),
				      batch->spec->data);
}

static bool is_over(struct batch *batch)
{
	const struct iot_device_batch *spec = batch->spec;

	if (batch->status == IOT_OK && spec->interrupted != NULL && spec->interrupted(spec->data))
		batch->status = iot_fail(&batch->err, IOT_INTERRUPTED, "interrupted");
	return batch->status != IOT_OK || batch->next >= json_array_size(batch->rows) ||
	       (spec->max_failures > 0 && batch->failed >= spec->max_failures);
}

/* The next row that has no result yet; when another strand's row ended it all, only that one's error is kept. */
static void take_row(struct batch *batch)
{
	const json_t *row = json_array_get(batch->rows, batch->next++);
	struct iot_error err = IOT_ERROR_INIT;
	char digest[IOT_SHA256_HEX_SIZE];
	enum iot_status status = IOT_OK;

	digest_of(row, digest);
	if (!settled(batch, digest))
		status = run_row(batch, row, digest, &err);
	tell_progress(batch);
	if (status != IOT_OK && batch->status == IOT_OK) {
		batch->status = status;
		batch->err = err;
	}
}

static void strand(void *data)
{
	while (!is_over(data))
		take_row(data);
}

static enum iot_status run_rows(struct batch *batch, struct iot_error *err)
{
	int64_t total = (int64_t)json_array_size(batch->rows);

	iot_cloud_remember(batch->cloud, true);
	/* The first is made alone: what it learns of policies, types and groups, the others need not ask for. */
	while (batch->spec->kind == IOT_BATCH_CREATE && !is_over(batch) && batch->done + batch->failed == batch->before)
		take_row(batch);
	iot_cloud_together(batch->cloud, strand, batch);
	iot_cloud_remember(batch->cloud, false);
	if (batch->status != IOT_OK) {
		*err = batch->err;
		return batch->status;
	}
	if (batch->spec->max_failures > 0 && batch->failed >= batch->spec->max_failures)
		return iot_fail(err, IOT_ABORTED, "%lld devices failed; %lld of %lld rows were not tried",
				(long long)batch->failed, (long long)(total - batch->done - batch->failed),
				(long long)total);
	if (batch->failed > 0)
		return iot_fail(err, IOT_PARTIAL, "%lld of %lld devices were not %s", (long long)batch->failed,
				(long long)total, kinds[batch->spec->kind].undone);
	return IOT_OK;
}

enum iot_status iot_device_batch_run(struct iot_cloud *cloud, const struct iot_device_batch *spec,
				     struct iot_error *err)
{
	IOT_CLEAN(batch_release) struct batch batch = {.cloud = cloud, .spec = spec, .known = json_object()};
	struct iot_error scratch = IOT_ERROR_INIT, late = IOT_ERROR_INIT;
	enum iot_status closed, status;

	err = err != NULL ? err : &scratch;
	status = read_rows(&batch, err);
	if (status == IOT_OK && spec->retry_failed && spec->journal == NULL)
		status = iot_fail(err, IOT_USAGE, "which rows failed stands in a journal: name it");
	if (status == IOT_OK && spec->journal != NULL)
		status = line_journal_open(spec->journal, kinds[spec->kind].command, load_line, &batch, &batch.journal,
					   err);
	if (status != IOT_OK)
		return status;
	status = run_rows(&batch, err);
	if (status != IOT_OK)
		iot_error_hint(err, spec->journal != NULL
					    ? "the same call goes on where this one ended"
					    : "with --resume FILE from the start the same call could go on");
	closed = line_journal_close(batch.journal, status == IOT_OK ? err : &late);
	return status == IOT_OK ? closed : status;
}
