/*
 * Claiming modules before anybody has seen them: one, or a list from a file. What
 * a claim names is looked up when it is made, so that a typing error is found here
 * and not by a module in the field.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/csv.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

#define POLICY_DEFAULT "device"
#define SEPARATORS "; \t" /* of several names in a cell */
#define CHUNK 256         /* claims of a file in one transaction */

/* --- one claim ----------------------------------------------------------------------- */

/* An array of names, each of which the operation finds. `member`: how its request calls the name. */
static enum iot_status named(struct iot_cloud *cloud, const char *operation, const char *member,
			     const char *const *names, json_t *array, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (; status == IOT_OK && names != NULL && *names != NULL; names++) {
		status = fleet_call(cloud, operation, json_pack("{s:s}", member, *names), NULL, err);
		json_array_append_new(array, json_string(*names));
	}
	return status;
}

/* A type that is not there yet is made when it is needed; one that is deprecated would never work. */
static enum iot_status check_type(struct iot_cloud *cloud, const char *type, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (type == NULL)
		return IOT_OK;
	status = iot_cert_check_name(type, err); /* the same rule */
	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThingType", json_pack("{s:s}", "thingTypeName", type), &reply, err);
	if (status == IOT_NOT_FOUND && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status == IOT_OK && iot_json_bool(json_object_get(reply, "thingTypeMetadata"), "deprecated", false))
		return iot_fail(err, IOT_CONFLICT, "thing type '%s' is deprecated", type);
	return status;
}

/* A fingerprint as certificate id: colons, as openssl(1) shows them, may stand between the digits. */
static enum iot_status read_fingerprint(const char *text, json_t *claim, struct iot_error *err)
{
	char id[IOT_SHA256_HEX_SIZE];
	unsigned char bytes[IOT_SHA256_SIZE];
	size_t len = 0;

	for (const char *at = text; at != NULL && *at != '\0'; at++)
		if (*at != ':' && len < sizeof(id))
			id[len++] = (char)tolower((unsigned char)*at);
	if (text == NULL)
		return IOT_OK;
	if (len != sizeof(id) - 1 || (id[len] = '\0', !iot_unhex(id, bytes, sizeof(bytes))))
		return iot_fail(err, IOT_USAGE, "'%.80s' is not a SHA-256 fingerprint of 64 hex digits", text);
	iot_json_set_str(claim, "certificateId", id);
	return IOT_OK;
}

/* The claim as the registry takes it. New reference. */
static enum iot_status make_claim(struct iot_cloud *cloud, const struct iot_claim_spec *spec, json_t **ret,
				  struct iot_error *err)
{
	static const char *const standard[] = {POLICY_DEFAULT, NULL};
	const char *const *policies = spec->policies != NULL && *spec->policies != NULL ? spec->policies : standard;
	IOT_JSON claim = json_pack("{s:s, s:[], s:[]}", "thingName", spec->uid, "policies", "groups");
	enum iot_status status = iot_cert_check_name(spec->uid, err);

	if (status == IOT_OK && spec->alias != NULL)
		status = iot_cert_check_name(spec->alias, err);
	if (status == IOT_OK)
		status = check_type(cloud, spec->type, err);
	if (status == IOT_OK)
		status = named(cloud, "GetPolicy", "policyName", policies, json_object_get(claim, "policies"), err);
	if (status == IOT_OK)
		status = named(cloud, "DescribeThingGroup", "thingGroupName", spec->groups,
			       json_object_get(claim, "groups"), err);
	if (status == IOT_OK)
		status = read_fingerprint(spec->certificate, claim, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(claim, "alias", spec->alias);
	iot_json_set_str(claim, "thingTypeName", spec->type);
	*ret = iot_take(claim);
	return IOT_OK;
}

enum iot_status iot_claim(struct iot_cloud *cloud, const struct iot_claim_spec *spec, json_t **ret_record,
			  struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	IOT_JSON claim = NULL;
	bool changed = false;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = iot_fleet_need_local(cloud, err);
	if (status == IOT_OK)
		status = make_claim(cloud, spec, &claim, err);
	if (status == IOT_OK)
		status = iot_local_claim(cloud, claim, spec->update, &changed, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_bool(claim, "changed", changed);
	*ret_record = iot_take(claim);
	return IOT_OK;
}

/* --- a file of them ---------------------------------------------------------------------- */

static const char *const columns[] = {"uid", "name", "type", "policy", "group", "certificate", NULL};

/* The names in a cell, NULL-terminated, in a block of new memory; NULL for none. The cell is cut up. */
static const char **split(char *cell)
{
	const char **names;
	size_t count = 1;

	if (cell == NULL)
		return NULL;
	for (const char *at = cell; *at != '\0'; at++)
		count += strchr(SEPARATORS, *at) != NULL;
	names = iot_alloc_array(count + 1, sizeof(*names));
	count = 0;
	for (char *rest = NULL, *at = strtok_r(cell, SEPARATORS, &rest); at != NULL;
	     at = strtok_r(NULL, SEPARATORS, &rest))
		names[count++] = at;
	return names;
}

static enum iot_status read_row(struct iot_cloud *cloud, const json_t *row, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *policies = iot_strdup(iot_json_str(row, "policy", NULL));
	IOT_CLEAN(iot_free_p) char *groups = iot_strdup(iot_json_str(row, "group", NULL));
	IOT_CLEAN(iot_free_p) const char **policy_names = split(policies);
	IOT_CLEAN(iot_free_p) const char **group_names = split(groups);
	const struct iot_claim_spec spec = {
		.uid = iot_json_str(row, "uid", NULL),
		.alias = iot_json_str(row, "name", NULL),
		.type = iot_json_str(row, "type", NULL),
		.policies = policy_names,
		.groups = group_names,
		.certificate = iot_json_str(row, "certificate", NULL),
	};

	return spec.uid != NULL ? make_claim(cloud, &spec, ret, err) : iot_fail(err, IOT_USAGE, "it has no uid");
}

/* IOT_CONFLICT if a row before has that uid or name. */
static enum iot_status note_name(json_t *seen, const char *name, int64_t line, struct iot_error *err)
{
	int64_t before = name != NULL ? iot_json_int(seen, name, 0) : 0;

	if (before != 0)
		return iot_fail(err, IOT_CONFLICT, "'%s' is in line %lld too", name, (long long)before);
	if (name != NULL)
		iot_json_set_int(seen, name, line);
	return IOT_OK;
}

/* Everything is looked at before anything is done. *ret: array of {line, claim}. */
static enum iot_status read_file(struct iot_cloud *cloud, const char *path, json_t **ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_CSV_MAX);
	IOT_JSON rows = NULL;
	IOT_JSON seen = json_object();
	IOT_JSON claims = json_array();
	enum iot_status status = iot_fs_read(path, &text, err);
	json_t *row;
	size_t i;

	if (status == IOT_OK)
		status = iot_csv_parse(iot_buf_str(&text), text.len, path, columns, &rows, err);
	iot_buf_release(&text);
	if (status != IOT_OK)
		return status;
	json_array_foreach(rows, i, row) {
		int64_t line = iot_json_int(row, "line", 0);
		json_t *claim = NULL;

		status = note_name(seen, iot_json_str(row, "uid", NULL), line, err);
		if (status == IOT_OK)
			status = note_name(seen, iot_json_str(row, "name", NULL), line, err);
		if (status == IOT_OK)
			status = read_row(cloud, row, &claim, err);
		if (status != IOT_OK) {
			iot_error_while(err, "reading '%s' line %lld", path, (long long)line);
			return status;
		}
		json_array_append_new(claims, json_pack("{s:I, s:o}", "line", (json_int_t)line, "claim", claim));
	}
	if (json_array_size(claims) == 0)
		return iot_fail(err, IOT_USAGE, "'%s' lists no modules", path);
	*ret = iot_take(claims);
	return IOT_OK;
}

/* One claim of the file; its record is appended. Its own fault is told there, others end the file. */
static enum iot_status claim_row(struct iot_cloud *cloud, const json_t *row, bool update, json_t *records,
				 size_t *failed, struct iot_error *err)
{
	const json_t *claim = json_object_get(row, "claim");
	json_t *record = json_pack("{s:O, s:s}", "line", json_object_get(row, "line"), "thingName",
				   iot_json_str(claim, "thingName", ""));
	bool changed = false;
	char line[1200];
	enum iot_status status = iot_local_claim(cloud, claim, update, &changed, err);

	json_array_append_new(records, record);
	if (status != IOT_OK && status != IOT_CONFLICT)
		return status;
	iot_json_set_str(record, "alias", iot_json_str(claim, "alias", NULL));
	iot_json_set_bool(record, "changed", status == IOT_OK && changed);
	if (status == IOT_OK)
		return IOT_OK;
	iot_json_set_str(record, "error", iot_error_line(err, line, sizeof(line)));
	iot_error_clear(err);
	(*failed)++;
	return IOT_OK;
}

/* Rows from `start`, in one transaction. */
static enum iot_status claim_chunk(struct iot_cloud *cloud, const json_t *rows, size_t start, bool update,
				   json_t *records, size_t *failed, struct iot_error *err)
{
	struct iot_store *store = iot_local_store(cloud);
	enum iot_status status = iot_store_begin(store, err);

	for (size_t i = start; status == IOT_OK && i < start + CHUNK && i < json_array_size(rows); i++)
		status = claim_row(cloud, json_array_get(rows, i), update, records, failed, err);
	if (status == IOT_OK)
		status = iot_store_commit(store, err);
	if (status != IOT_OK)
		iot_store_rollback(store);
	iot_local_wake(cloud);
	return status;
}

enum iot_status iot_claim_file(struct iot_cloud *cloud, const char *path, bool update,
			       enum iot_status (*each)(json_t *record, void *data, struct iot_error *err), void *data,
			       struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	IOT_JSON rows = NULL;
	size_t failed = 0;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = iot_fleet_need_local(cloud, err);
	if (status == IOT_OK)
		status = read_file(cloud, path, &rows, err);
	for (size_t start = 0; status == IOT_OK && start < json_array_size(rows); start += CHUNK) {
		IOT_JSON records = json_array();
		json_t *record;
		size_t i;

		status = claim_chunk(cloud, rows, start, update, records, &failed, err);
		json_array_foreach(records, i, record) {
			if (status == IOT_OK)
				status = each(record, data, err);
		}
	}
	if (status == IOT_OK && failed > 0)
		return iot_fail(err, IOT_PARTIAL, "%zu of %zu modules were not claimed", failed, json_array_size(rows));
	return status;
}
