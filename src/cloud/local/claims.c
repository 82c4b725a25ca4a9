/*
 * Claims: what a module is to be when it shows up in staging with the
 * certificate it was born with. Settling one is what a serial provisioning does
 * too (certificate, thing, type, policies, groups), here in one transaction: a
 * module is claimed and nothing else, or a device and complete.
 */
#include "registry_private.h"

#include <string.h>

#define CLAIM_COLUMNS "uid, alias, type, policies, groups, certificate_id, created_at, done_at"

struct claim {
	json_t *record; /* as in iotctl/local.h; NULL: there is none */
	int64_t created_at;
	bool done;
};

static void claim_release(struct claim *claim)
{
	json_decref(claim->record);
	*claim = (struct claim){0};
}

static void read_row(struct iot_stmt *stmt, struct claim *claim)
{
	claim->record = json_object();
	iot_json_set_str(claim->record, "thingName", iot_stmt_text(stmt, 0));
	iot_json_set_str(claim->record, "alias", iot_stmt_text(stmt, 1));
	iot_json_set_str(claim->record, "thingTypeName", iot_stmt_text(stmt, 2));
	iot_local_set_json(claim->record, "policies", iot_stmt_text(stmt, 3));
	iot_local_set_json(claim->record, "groups", iot_stmt_text(stmt, 4));
	iot_json_set_str(claim->record, "certificateId", iot_stmt_text(stmt, 5));
	claim->created_at = iot_stmt_int(stmt, 6);
	claim->done = !iot_stmt_is_null(stmt, 7);
}

static enum iot_status load(struct iot_local *local, const char *uid, struct claim *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT " CLAIM_COLUMNS " FROM claims WHERE uid = ?",
				"s", uid);
	if (status == IOT_OK && row)
		read_row(stmt, ret);
	return status;
}

/* --- claiming ------------------------------------------------------------------------ */

/* IOT_CONFLICT if another device or claim has that name or alias. */
static enum iot_status check_free(struct iot_local *local, const char *name, const char *uid, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	if (name == NULL)
		return IOT_OK;
	status = iot_stmt_query(
		local->store, &stmt, &row, err,
		"SELECT name, 'device' FROM things WHERE json_extract(attributes, '$.alias') = ?1 AND name <> ?2"
		" UNION ALL SELECT name, 'device' FROM things WHERE name = ?1 AND name <> ?2"
		" UNION ALL SELECT uid, 'claim' FROM claims WHERE alias = ?1 AND done_at IS NULL AND uid <> ?2"
		" UNION ALL SELECT uid, 'claim' FROM claims WHERE uid = ?1 AND done_at IS NULL AND uid <> ?2"
		" LIMIT 1",
		"ss", name, uid);
	if (status == IOT_OK && row)
		return iot_fail(err, IOT_CONFLICT, "'%s' is a name of the %s '%s' already", name,
				iot_stmt_text(stmt, 1), iot_stmt_text(stmt, 0));
	return status;
}

/* What of alias and type a claim asks for and a device has otherwise; NULL: nothing. */
static const char *difference(const json_t *claim, const char *type, const char *alias)
{
	const char *want_type = iot_json_str(claim, "thingTypeName", NULL);
	const char *want_alias = iot_json_str(claim, "alias", NULL);

	if (want_type != NULL && (type == NULL || strcmp(want_type, type) != 0))
		return "type";
	if (want_alias != NULL && (alias == NULL || strcmp(want_alias, alias) != 0))
		return "alias";
	return NULL;
}

/* Is the UID a device with a certificate? Then it needs no claim: IOT_OK if it is as claimed, else IOT_CONFLICT. */
static enum iot_status check_device(struct iot_local *local, const json_t *claim, bool *ret_is_device,
				    struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", ""), *other;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT y.name, json_extract(t.attributes, '$.alias') FROM things t"
				" LEFT JOIN types y ON y.id = t.type_id WHERE t.name = ?"
				" AND EXISTS (SELECT 1 FROM thing_principals p WHERE p.thing_id = t.id)",
				"s", uid);
	if (status != IOT_OK)
		return status;
	*ret_is_device = row;
	other = row ? difference(claim, iot_stmt_text(stmt, 0), iot_stmt_text(stmt, 1)) : NULL;
	if (other == NULL)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "'%s' is a device already, with another %s", uid, other);
	iot_error_hint(err, "'iotctl device update' changes it");
	return IOT_CONFLICT;
}

static enum iot_status write_claim(struct iot_local *local, const json_t *claim, struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", "");
	IOT_CLEAN(iot_free_p) char *policies = iot_json_text(json_object_get(claim, "policies"));
	IOT_CLEAN(iot_free_p) char *groups = iot_json_text(json_object_get(claim, "groups"));
	enum iot_status status;

	status = iot_store_run(local->store, NULL, err,
			       "INSERT OR REPLACE INTO claims (uid, alias, type, policies, groups, certificate_id,"
			       " created_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
			       "ssssssi", uid, iot_json_str(claim, "alias", NULL),
			       iot_json_str(claim, "thingTypeName", NULL), policies, groups,
			       iot_json_str(claim, "certificateId", NULL), iot_now_ms());
	if (status == IOT_OK)
		status = iot_local_outbox_add(local, "claim", 0, uid, NULL, 0, 1, false, err);
	return status;
}

static enum iot_status put(struct iot_local *local, const json_t *claim, bool update, bool *ret_changed,
			   struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", "");
	IOT_CLEAN(claim_release) struct claim old = {0};
	bool is_device = false;
	enum iot_status status = check_device(local, claim, &is_device, err);

	*ret_changed = false;
	if (status != IOT_OK || is_device)
		return status;
	status = load(local, uid, &old, err);
	if (status != IOT_OK)
		return status;
	if (old.record != NULL && !old.done && json_equal(old.record, claim))
		return IOT_OK;
	if (old.record != NULL && !old.done && !update) {
		iot_fail(err, IOT_CONFLICT, "'%s' is claimed already, with other properties", uid);
		iot_error_hint(err, "--update changes the claim");
		return IOT_CONFLICT;
	}
	status = check_free(local, uid, uid, err);
	if (status == IOT_OK)
		status = check_free(local, iot_json_str(claim, "alias", NULL), uid, err);
	*ret_changed = true;
	return status == IOT_OK ? write_claim(local, claim, err) : status;
}

enum iot_status iot_local_claim(struct iot_cloud *cloud, const json_t *claim, bool update, bool *ret_changed,
				struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	enum iot_status status = iot_local_begin(local, err);

	if (status != IOT_OK)
		return status;
	status = put(local, claim, update, ret_changed, err);
	return iot_local_end(local, status, err);
}

enum iot_status iot_local_unclaim(struct iot_cloud *cloud, const char *uid, struct iot_error *err)
{
	int64_t changes = 0;
	enum iot_status status = iot_store_run(iot_local_of(cloud)->store, &changes, err,
					       "DELETE FROM claims WHERE uid = ? AND done_at IS NULL", "s", uid);

	if (status == IOT_OK && changes == 0)
		return iot_fail(err, IOT_NOT_FOUND, "no claim waits for a module '%s'", uid);
	return status;
}

enum iot_status iot_local_claims(struct iot_cloud *cloud,
				 enum iot_status (*each)(json_t *claim, void *data, struct iot_error *err), void *data,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(iot_local_of(cloud)->store,
			      "SELECT " CLAIM_COLUMNS " FROM claims WHERE done_at IS NULL ORDER BY uid", &stmt, err);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		IOT_CLEAN(claim_release) struct claim claim = {0};

		read_row(stmt, &claim);
		iot_json_set_int(claim.record, "claimedAt", claim.created_at);
		status = each(claim.record, data, err);
	}
	return status;
}

/* --- settling --------------------------------------------------------------------------- */

static enum iot_status call(struct iot_cloud *cloud, const char *operation, json_t *request, struct iot_error *err)
{
	enum iot_status status = iot_cloud_call(cloud, operation, request, NULL, NULL, NULL, err);

	json_decref(request);
	return status;
}

static bool missing(const struct iot_error *err)
{
	return strcmp(err->code, "ResourceNotFoundException") == 0;
}

/* The certificate's status; NULL: not registered. New memory. *ret_home: it is attached to the thing named as the UID.
 */
static enum iot_status look_up(struct iot_local *local, const char *certificate_id, const char *uid, char **ret_status,
			       bool *ret_home, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(
		local->store, &stmt, &row, err,
		"SELECT c.status, EXISTS (SELECT 1 FROM thing_principals p JOIN things t ON t.id = p.thing_id"
		" WHERE p.certificate_id = c.id AND t.name = ?2) FROM certificates c WHERE c.id = ?1",
		"ss", certificate_id, uid);
	if (status != IOT_OK || !row)
		return status;
	*ret_status = iot_strdup(iot_stmt_text(stmt, 0));
	*ret_home = iot_stmt_int(stmt, 1) != 0;
	return IOT_OK;
}

static enum iot_status ensure_thing(struct iot_cloud *cloud, const json_t *claim, struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", ""), *type = iot_json_str(claim, "thingTypeName", NULL);
	json_t *attributes = json_object(), *request;
	bool create;
	enum iot_status status = IOT_OK;

	iot_json_set_str(attributes, "alias", iot_json_str(claim, "alias", NULL));
	iot_json_set_str(attributes, "board", "expresslink"); /* as provisioning does; others are never in staging */
	request = json_pack("{s:s, s:{s:o, s:b}}", "thingName", uid, "attributePayload", "attributes", attributes,
			    "merge", 1);
	iot_json_set_str(request, "thingTypeName", type);
	if (type != NULL) {
		status = call(cloud, "DescribeThingType", json_pack("{s:s}", "thingTypeName", type), err);
		if (status != IOT_OK && missing(err))
			status = call(cloud, "CreateThingType", json_pack("{s:s}", "thingTypeName", type), err);
	}
	if (status == IOT_OK)
		status = call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", uid), err);
	create = status != IOT_OK && missing(err);
	if (status == IOT_OK || create)
		return call(cloud, create ? "CreateThing" : "UpdateThing", request, err);
	json_decref(request);
	return status;
}

static enum iot_status attach(struct iot_cloud *cloud, const json_t *claim, const char *certificate_id,
			      struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", "");
	IOT_CLEAN(iot_free_p) char *arn = iot_local_arn("cert", certificate_id);
	const json_t *policies = json_object_get(claim, "policies"), *groups = json_object_get(claim, "groups");
	json_t *name;
	size_t i;
	enum iot_status status;

	status = call(cloud, "AttachThingPrincipal", json_pack("{s:s, s:s}", "thingName", uid, "principal", arn), err);
	json_array_foreach(policies, i, name) {
		if (status == IOT_OK)
			status = call(cloud, "AttachPolicy", json_pack("{s:O, s:s}", "policyName", name, "target", arn),
				      err);
	}
	json_array_foreach(groups, i, name) {
		if (status == IOT_OK)
			status = call(cloud, "AddThingToThingGroup",
				      json_pack("{s:O, s:s}", "thingGroupName", name, "thingName", uid), err);
	}
	return status;
}

/* `registered`: status of the certificate, NULL when it is not. */
static enum iot_status carry_out(struct iot_cloud *cloud, const json_t *claim, const struct iot_cert *cert,
				 const char *pem, const char *registered, struct iot_error *err)
{
	const char *uid = iot_json_str(claim, "thingName", ""), *wanted = iot_json_str(claim, "certificateId", NULL);
	const char *id = iot_cert_id(cert);
	enum iot_status status = IOT_OK;

	if (wanted != NULL && strcmp(wanted, id) != 0)
		return iot_fail(err, IOT_VERIFY, "module '%s' has the certificate %s, and was claimed with %s", uid, id,
				wanted);
	if (registered != NULL && strcmp(registered, "ACTIVE") != 0)
		return iot_fail(err, IOT_DENIED, "the certificate %s of module '%s' is %s", id, uid, registered);
	/* By its CA, also here: who is a CA only by its own word must not speak for another module. */
	if (registered == NULL)
		status = call(cloud, "RegisterCertificate",
			      json_pack("{s:s, s:s}", "certificatePem", pem, "status", "ACTIVE"), err);
	if (status == IOT_OK)
		status = ensure_thing(cloud, claim, err);
	if (status == IOT_OK)
		status = attach(cloud, claim, id, err);
	if (status == IOT_OK)
		status = iot_store_run(iot_local_of(cloud)->store, NULL, err,
				       "UPDATE claims SET done_at = ? WHERE uid = ?", "is", iot_now_ms(), uid);
	return status;
}

static enum iot_status settle(struct iot_cloud *cloud, const struct iot_cert *cert, const char *uid, const char *pem,
			      enum iot_claim_state *ret, struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(claim_release) struct claim claim = {0};
	IOT_CLEAN(iot_free_p) char *registered = NULL;
	bool home = false;
	enum iot_status status = load(local, uid, &claim, err);

	if (status == IOT_OK)
		status = look_up(local, iot_cert_id(cert), uid, &registered, &home, err);
	if (status != IOT_OK)
		return status;
	if (claim.record == NULL || claim.done) {
		*ret = home && strcmp(registered, "ACTIVE") == 0 ? IOT_CLAIM_HOME : IOT_CLAIM_NONE;
		return IOT_OK;
	}
	status = carry_out(cloud, claim.record, cert, pem, registered, err);
	if (status == IOT_OK)
		*ret = IOT_CLAIM_DONE;
	return status;
}

enum iot_status iot_local_claim_settle(struct iot_cloud *cloud, const char *certificate_pem, enum iot_claim_state *ret,
				       struct iot_error *err)
{
	struct iot_local *local = iot_local_of(cloud);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error scratch = IOT_ERROR_INIT;
	const char *uid = NULL;
	enum iot_status status;

	err = err != NULL ? err : &scratch; /* what a step failed with is looked at */
	status = iot_cert_parse_pem(certificate_pem, strlen(certificate_pem), "birth certificate", &cert, err);
	if (status == IOT_OK)
		status = iot_cert_uid(cert, &uid, err);
	if (status == IOT_OK)
		status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = settle(cloud, cert, uid, certificate_pem, ret, err);
	return iot_local_end(local, status, err);
}
