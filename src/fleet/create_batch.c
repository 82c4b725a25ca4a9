/*
 * Many devices from a CSV file: one result for each row, and a journal that tells
 * which rows had theirs. A row is an ordinary 'create', which finishes what it
 * finds half-made, so that a row that was under way when the call was killed is
 * simply done again.
 */
#include "fleet/fleet_private.h"
#include "fleet/line_journal.h"

#include "iotctl/base.h"
#include "iotctl/csv.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

#define COMMAND "iotctl device create"
#define SEPARATORS ";"

struct batch {
	struct iot_cloud *cloud;
	const struct iot_device_batch *spec;
	json_t *rows;
	json_t *known; /* digest of a row -> {failed, record} from the journal */
	struct line_journal *journal;
	int64_t done, failed;
};

static void batch_release(struct batch *batch)
{
	json_decref(batch->rows);
	json_decref(batch->known);
}

/* --- rows ------------------------------------------------------------------------------- */

static const char *const columns[] = {"name", "alias", "type", "policy", "group", "attribute", "csr", "out", NULL};

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
		status = iot_csv_parse(iot_buf_str(&text), text.len, path, columns, &batch->rows, err);
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

	if (row == NULL || strlen(row) != IOT_SHA256_HEX_SIZE - 1 || json_object_get(line, "failed") == NULL)
		return false;
	json_object_set(batch->known, row, (json_t *)(uintptr_t)line);
	return true;
}

static enum iot_status note(struct batch *batch, const char *digest, bool failed, struct iot_error *err)
{
	if (batch->journal == NULL)
		return IOT_OK;
	line_journal_add(batch->journal, "{\"row\":\"%s\",\"failed\":%s}", digest, failed ? "true" : "false");
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
	return iot_device_create(batch->cloud, &spec, ret, err);
}

/* Not this row's fault, and not over with the next one. */
static bool ends_all(enum iot_status status)
{
	return status == IOT_AGAIN || status == IOT_TIMEOUT || status == IOT_INTERRUPTED || status == IOT_SETTINGS;
}

static enum iot_status run_row(struct batch *batch, const json_t *row, const char *digest, struct iot_error *err)
{
	IOT_JSON record = NULL;
	char line[1200];
	enum iot_status status = create_row(batch, row, &record, err);
	bool failed = status != IOT_OK;

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
	return status == IOT_OK ? note(batch, digest, failed, err) : status;
}

/* --- all of them --------------------------------------------------------------------------------- */

/* Did it have its result in an earlier call? */
static bool settled(struct batch *batch, const char *digest)
{
	const json_t *known = json_object_get(batch->known, digest);
	bool failed = iot_json_bool(known, "failed", false);

	if (known == NULL || (failed && batch->spec->retry_failed))
		return false;
	batch->failed += failed;
	batch->done += !failed;
	return true;
}

static enum iot_status run_rows(struct batch *batch, struct iot_error *err)
{
	const struct iot_device_batch *spec = batch->spec;
	int64_t total = (int64_t)json_array_size(batch->rows);
	enum iot_status status = IOT_OK;
	json_t *row;
	size_t i;

	json_array_foreach(batch->rows, i, row) {
		char digest[IOT_SHA256_HEX_SIZE];

		digest_of(row, digest);
		if (spec->interrupted != NULL && spec->interrupted(spec->data))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (!settled(batch, digest))
			status = run_row(batch, row, digest, err);
		if (spec->progress != NULL)
			spec->progress(batch->done + batch->failed, total, spec->data);
		if (status != IOT_OK)
			return status;
		if (spec->max_failures > 0 && batch->failed >= spec->max_failures)
			return iot_fail(err, IOT_ABORTED, "%lld devices failed; %lld of %lld rows were not tried",
					(long long)batch->failed, (long long)(total - batch->done - batch->failed),
					(long long)total);
	}
	if (batch->failed > 0)
		return iot_fail(err, IOT_PARTIAL, "%lld of %lld devices were not made", (long long)batch->failed,
				(long long)total);
	return IOT_OK;
}

enum iot_status iot_device_create_file(struct iot_cloud *cloud, const struct iot_device_batch *spec,
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
		status = line_journal_open(spec->journal, COMMAND, load_line, &batch, &batch.journal, err);
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
