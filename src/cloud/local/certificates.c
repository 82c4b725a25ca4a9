/*
 * Device certificates: issued by the fleet's CA, registered under a trusted CA,
 * or registered without one. A certificate's id is the SHA-256 of its DER.
 * Issuing is done before the registry is locked: a key in a token is slow.
 */
#include "registry_private.h"

#include "iotctl/log.h"

#include <inttypes.h>
#include <string.h>

#define DAYS_DEFAULT 3650

/* What a new row needs besides the certificate. */
struct registration {
	const char *status;
	const char *ca_id;      /* NULL: registered without CA */
	const char *mode;       /* DEFAULT or SNI_ONLY */
	const char *key_origin; /* NULL: unknown */
};

enum iot_status iot_local_parse_cert(const char *pem, const char *member, struct iot_cert **ret, struct iot_error *err)
{
	struct iot_error inner = IOT_ERROR_INIT;

	if (iot_cert_parse_pem(pem, strlen(pem), member, ret, &inner) == IOT_OK)
		return IOT_OK;
	return iot_cloud_fail(err, "CertificateValidationException", "%s", inner.what);
}

/* ACTIVE, INACTIVE or REVOKED; the other states are the service's own. */
static enum iot_status check_status(const char *status, struct iot_error *err)
{
	if (strcmp(status, "ACTIVE") == 0 || strcmp(status, "INACTIVE") == 0 || strcmp(status, "REVOKED") == 0)
		return IOT_OK;
	return iot_local_invalid(err, "a certificate cannot be given the status %s", status);
}

static enum iot_status certificate_status(struct iot_local *local, const char *id, char **ret, bool *ret_self_signed,
					  struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT status, self_signed FROM certificates WHERE id = ?", "s", id);
	if (status != IOT_OK || !row)
		return status;
	*ret = iot_strdup(iot_stmt_text(stmt, 0));
	*ret_self_signed = iot_stmt_int(stmt, 1) != 0;
	return IOT_OK;
}

static void set_created(json_t *reply, const char *id, const char *pem)
{
	iot_local_set_arn(reply, "certificateArn", "cert", id);
	iot_json_set_str(reply, "certificateId", id);
	iot_json_set_str(reply, "certificatePem", pem);
}

static enum iot_status certificate_insert(struct iot_local *local, const struct iot_cert *cert,
					  const struct registration *how, struct iot_error *err)
{
	bool self_signed = iot_cert_is_self_issued(cert);
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	char key_id[IOT_SHA256_HEX_SIZE];
	int64_t now = iot_now_ms();
	enum iot_status status;

	iot_cert_pem(cert, &pem);
	status = iot_store_run(
		local->store, NULL, err,
		"INSERT INTO certificates (id, pem, status, ca_id, mode, self_signed, key_id, key_origin,"
		" not_before, not_after, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"sssssissiiii", iot_cert_id(cert), iot_buf_str(&pem), how->status, how->ca_id, how->mode,
		(int64_t)self_signed, iot_key_id(iot_cert_key(cert), key_id), how->key_origin,
		iot_cert_not_before(cert), iot_cert_not_after(cert), now, now);
	if (status == IOT_OK && self_signed && strcmp(how->status, "ACTIVE") == 0)
		status = iot_local_trust_add(local, iot_buf_str(&pem), err);
	iot_buf_release(&pem);
	return status;
}

/* --- issuing ------------------------------------------------------------------- */

enum iot_status iot_local_issuer(struct iot_local *local, struct iot_key **ret_key, struct iot_cert **ret_cert,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = NULL;
	IOT_CLEAN(iot_free_p) char *key_path = NULL;
	IOT_CLEAN(iot_free_p) char *cert_path = iot_path(local->paths.ca_dir, "issuing.pem");
	enum iot_status status = iot_local_meta(local, "ca_key", &key, err);

	if (status != IOT_OK)
		return status;
	if (key == NULL)
		key_path = iot_path(local->paths.ca_dir, "issuing.key");
	else if (!iot_starts_with(key, "pkcs11:"))
		key_path = iot_path(local->paths.dir, key);
	status = iot_cert_load(cert_path, ret_cert, err);
	if (status == IOT_OK)
		status = iot_key_load(key_path != NULL ? key_path : key, NULL, ret_key, err);
	if (status != IOT_OK)
		iot_error_while(err, "loading the fleet's issuing CA");
	return status;
}

static enum iot_status load_ca(struct iot_local *local, struct iot_key **ret_key, struct iot_cert **ret_cert,
			       int64_t *ret_days, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *days = NULL;
	enum iot_status status = iot_local_meta(local, "certificate_days", &days, err);

	*ret_days = DAYS_DEFAULT;
	if (status == IOT_OK && days != NULL)
		status = iot_parse_int(days, 1, 36500, ret_days, err);
	return status == IOT_OK ? iot_local_issuer(local, ret_key, ret_cert, err) : status;
}

/* The CA's id is asked for by whoever registers what it gets. */
static enum iot_status issue(struct iot_local *local, struct iot_cert_request request, int64_t until,
			     struct iot_cert **ret, char **ret_ca_id, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *ca_key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca_cert = NULL;
	int64_t days = DAYS_DEFAULT;
	enum iot_status status = load_ca(local, &ca_key, &ca_cert, &days, err);

	if (status != IOT_OK)
		return status;
	if (request.days == 0)
		request.days = (int)days;
	status = until != 0 ? iot_cert_issue_until(ca_key, ca_cert, &request, until, ret, err)
			    : iot_cert_issue(ca_key, ca_cert, &request, ret, err);
	if (status == IOT_OK && ret_ca_id != NULL)
		*ret_ca_id = iot_strdup(iot_cert_id(ca_cert));
	return status;
}

enum iot_status iot_local_issue(struct iot_cloud *cloud, const struct iot_cert_request *request, int64_t until,
				struct iot_cert **ret, struct iot_error *err)
{
	return issue(iot_local_of(cloud), *request, until, ret, NULL, err);
}

static enum iot_status issue_and_store(struct iot_local *local, const json_t *request, const struct iot_key *key,
				       const char *name, const char *key_origin, json_t *reply, struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *ca_id = NULL;
	struct registration how = {.mode = "DEFAULT", .key_origin = key_origin};
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	char key_id[IOT_SHA256_HEX_SIZE];
	enum iot_status status;

	/* A request that names nobody is named after its key. */
	if (name == NULL || *name == '\0')
		name = iot_key_id(key, key_id);
	status = issue(local, (struct iot_cert_request){.profile = IOT_PROFILE_DEVICE, .common_name = name, .key = key}, 0,
		       &cert, &ca_id, err);
	if (status != IOT_OK)
		return status;
	how.ca_id = ca_id;
	how.status = iot_json_bool(request, "setAsActive", false) ? "ACTIVE" : "INACTIVE";
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = certificate_insert(local, cert, &how, err);
	status = iot_local_end(local, status, err);
	if (status == IOT_OK) {
		iot_cert_pem(cert, &pem);
		set_created(reply, iot_cert_id(cert), iot_buf_str(&pem));
	}
	iot_buf_release(&pem);
	return status;
}

enum iot_status iot_op_create_certificate_from_csr(struct iot_local *local, const json_t *request, json_t *reply,
						   struct iot_error *err)
{
	const char *text = iot_json_str(request, "certificateSigningRequest", "");
	IOT_CLEAN(iot_csr_release) struct iot_csr csr = {0};
	struct iot_error inner = IOT_ERROR_INIT;

	if (iot_csr_parse(text, strlen(text), &csr, &inner) != IOT_OK)
		return iot_local_invalid(err, "%s", inner.what);
	return issue_and_store(local, request, csr.key, csr.common_name, NULL, reply, err);
}

enum iot_status iot_op_create_keys_and_certificate(struct iot_local *local, const json_t *request, json_t *reply,
						   struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf private_pem = IOT_BUF_SECRET(16384);
	struct iot_buf public_pem = IOT_BUF_INIT(16384);
	json_t *pair = json_object();
	enum iot_status status;

	status = iot_key_generate(IOT_KEY_P256, &key, err);
	if (status == IOT_OK)
		status = iot_key_private_pem(key, &private_pem, err);
	if (status == IOT_OK)
		status = iot_key_public_pem(key, &public_pem, err);
	if (status == IOT_OK)
		status = issue_and_store(local, request, key, NULL, "host", reply, err);
	if (status == IOT_OK) {
		iot_json_set_str(pair, "PublicKey", iot_buf_str(&public_pem));
		iot_json_set_str(pair, "PrivateKey", iot_buf_str(&private_pem));
		json_object_set(reply, "keyPair", pair);
	}
	json_decref(pair);
	iot_buf_release(&private_pem);
	iot_buf_release(&public_pem);
	return status;
}

/* --- registering ------------------------------------------------------------------ */

static enum iot_status register_one(struct iot_local *local, const struct iot_cert *cert,
				    const struct registration *how, json_t *reply, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *now = NULL;
	bool self_signed = false;
	enum iot_status status;

	status = check_status(how->status, err);
	if (status == IOT_OK)
		status = certificate_status(local, iot_cert_id(cert), &now, &self_signed, err);
	if (status != IOT_OK)
		return status;
	if (now != NULL)
		return iot_local_exists(err, "certificate '%s' is registered already", iot_cert_id(cert));
	if (iot_cert_not_after(cert) < iot_now_ms())
		return iot_cloud_fail(err, "CertificateValidationException", "the certificate has expired");
	status = certificate_insert(local, cert, how, err);
	if (status == IOT_OK)
		set_created(reply, iot_cert_id(cert), NULL);
	return status;
}

/* If the request names the CA, it must be the one that was found. */
static enum iot_status check_named_ca(const json_t *request, const char *ca_id, struct iot_error *err)
{
	const char *pem = iot_json_str(request, "caCertificatePem", NULL);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	enum iot_status status;

	if (pem == NULL)
		return IOT_OK;
	status = iot_local_parse_cert(pem, "caCertificatePem", &ca, err);
	if (status == IOT_OK && strcmp(iot_cert_id(ca), ca_id) != 0)
		return iot_cloud_fail(err, "CertificateValidationException",
				      "caCertificatePem is not the registered CA that issued the certificate");
	return status;
}

enum iot_status iot_op_register_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	const char *fallback = iot_json_bool(request, "setAsActive", false) ? "ACTIVE" : "INACTIVE";
	struct registration how = {.status = iot_json_str(request, "status", fallback), .mode = "DEFAULT"};
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *ca_id = NULL;
	IOT_CLEAN(iot_free_p) char *ca_status = NULL;
	enum iot_status status;

	status = iot_local_parse_cert(iot_json_str(request, "certificatePem", ""), "certificatePem", &cert, err);
	if (status == IOT_OK)
		status = iot_local_find_ca(local, cert, &ca_id, &ca_status, err);
	if (status != IOT_OK)
		return status;
	if (ca_id == NULL) {
		iot_cloud_fail(err, "CertificateValidationException",
			       "no registered CA issued this certificate (issuer '%s')", iot_cert_issuer(cert));
		iot_error_hint(err, "trust its CA with 'iotctl ca trust VENDOR.pem'");
		return IOT_VERIFY;
	}
	if (strcmp(ca_status, "ACTIVE") != 0)
		return iot_cloud_fail(err, "CertificateValidationException", "the CA '%s' that issued it is not ACTIVE",
				      iot_cert_issuer(cert));
	status = check_named_ca(request, ca_id, err);
	how.ca_id = ca_id;
	return status == IOT_OK ? register_one(local, cert, &how, reply, err) : status;
}

enum iot_status iot_op_register_certificate_without_ca(struct iot_local *local, const json_t *request, json_t *reply,
						       struct iot_error *err)
{
	struct registration how = {.status = iot_json_str(request, "status", "INACTIVE"), .mode = "SNI_ONLY"};
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_free_p) char *ca_id = NULL;
	IOT_CLEAN(iot_free_p) char *ca_status = NULL;
	enum iot_status status;

	status = iot_local_parse_cert(iot_json_str(request, "certificatePem", ""), "certificatePem", &cert, err);
	if (status == IOT_OK)
		status = register_one(local, cert, &how, reply, err);
	if (status == IOT_OK && !iot_cert_is_self_issued(cert))
		status = iot_local_find_ca(local, cert, &ca_id, &ca_status, err);
	if (status == IOT_OK && ca_id == NULL && !iot_cert_is_self_issued(cert))
		iot_warn("the broker cannot verify certificate %s: trust its CA with 'iotctl ca trust VENDOR.pem'",
			 iot_cert_id(cert));
	return status;
}

enum iot_status iot_local_key_origin(struct iot_cloud *cloud, const char *certificate_id, const char *origin,
				     bool exposed, struct iot_error *err)
{
	return iot_store_run(iot_local_of(cloud)->store, NULL, err,
			     "UPDATE certificates SET key_origin = ?1, exposed_on_wire = ?2 WHERE id = ?3"
			     " AND (key_origin IS NOT ?1 OR exposed_on_wire IS NOT ?2)",
			     "sis", origin, (int64_t)exposed, certificate_id);
}

/* --- looking, changing, deleting ---------------------------------------------------- */

static json_t *validity(int64_t not_before, int64_t not_after)
{
	json_t *object = json_object();

	iot_local_set_time(object, "notBefore", not_before);
	iot_local_set_time(object, "notAfter", not_after);
	return object;
}

enum iot_status iot_op_describe_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *cert = json_object();
	bool row = false;
	enum iot_status status;

	json_object_set_new(reply, "certificateDescription", cert);
	status = iot_stmt_query(local->store, &stmt, &row, err,
				"SELECT pem, status, ca_id, mode, not_before, not_after, created_at, modified_at"
				" FROM certificates WHERE id = ?",
				"s", id);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "certificate '%s' does not exist", id);
	if (status != IOT_OK)
		return status;
	iot_local_set_arn(cert, "certificateArn", "cert", id);
	iot_json_set_str(cert, "certificateId", id);
	iot_json_set_str(cert, "caCertificateId", iot_stmt_text(stmt, 2));
	iot_json_set_str(cert, "status", iot_stmt_text(stmt, 1));
	iot_json_set_str(cert, "certificatePem", iot_stmt_text(stmt, 0));
	iot_json_set_str(cert, "ownedBy", "000000000000");
	/* To the millisecond, as AWS does here: a renewed certificate must be told from the one before. */
	json_object_set_new(cert, "creationDate", json_real((double)iot_stmt_int(stmt, 6) / 1000.0));
	iot_local_set_time(cert, "lastModifiedDate", iot_stmt_int(stmt, 7));
	json_object_set_new(cert, "validity", validity(iot_stmt_int(stmt, 4), iot_stmt_int(stmt, 5)));
	iot_json_set_str(cert, "certificateMode", iot_stmt_text(stmt, 3));
	return IOT_OK;
}

/* A self-signed certificate is its own CA: it is in the trust directory exactly while it is ACTIVE. */
static enum iot_status follow_trust(struct iot_local *local, const char *id, bool trusted, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT pem FROM certificates WHERE id = ?", "s", id);
	if (status != IOT_OK || !row)
		return status;
	return trusted ? iot_local_trust_add(local, iot_stmt_text(stmt, 0), err)
		       : iot_local_trust_remove(local, iot_stmt_text(stmt, 0), err);
}

enum iot_status iot_op_update_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	const char *wanted = iot_json_str(request, "newStatus", "");
	IOT_CLEAN(iot_free_p) char *now = NULL;
	bool self_signed = false;
	enum iot_status status;

	(void)reply;
	status = check_status(wanted, err);
	if (status == IOT_OK)
		status = certificate_status(local, id, &now, &self_signed, err);
	if (status == IOT_OK && now == NULL)
		return iot_local_not_found(err, "certificate '%s' does not exist", id);
	if (status != IOT_OK || strcmp(now, wanted) == 0)
		return status;
	status = iot_store_run(local->store, NULL, err,
			       "UPDATE certificates SET status = ?, modified_at = ? WHERE id = ?", "sis", wanted,
			       iot_now_ms(), id);
	if (status == IOT_OK && self_signed)
		status = follow_trust(local, id, strcmp(wanted, "ACTIVE") == 0, err);
	return status;
}

/* Name of what a certificate is still attached to; NULL if of nothing. */
static enum iot_status attached(struct iot_local *local, const char *sql, const char *id, char **ret,
				struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, sql, "s", id);
	if (status == IOT_OK && row)
		*ret = iot_strdup(iot_stmt_text(stmt, 0));
	return status;
}

static enum iot_status check_deletable(struct iot_local *local, const char *id, bool force, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *now = NULL;
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_CLEAN(iot_free_p) char *policy = NULL;
	bool self_signed = false;
	enum iot_status status;

	status = certificate_status(local, id, &now, &self_signed, err);
	if (status == IOT_OK && now == NULL)
		return iot_local_not_found(err, "certificate '%s' does not exist", id);
	if (status == IOT_OK && strcmp(now, "ACTIVE") == 0)
		return iot_cloud_fail(err, "CertificateStateException",
				      "certificate '%s' is ACTIVE: make it INACTIVE first", id);
	if (status == IOT_OK)
		status = attached(local,
				  "SELECT t.name FROM thing_principals p JOIN things t ON t.id = p.thing_id"
				  " WHERE p.certificate_id = ? LIMIT 1",
				  id, &thing, err);
	if (status == IOT_OK)
		status = attached(local,
				  "SELECT p.name FROM policy_attachments a JOIN policies p ON p.id = a.policy_id"
				  " WHERE a.certificate_id = ? LIMIT 1",
				  id, &policy, err);
	if (status != IOT_OK)
		return status;
	if (thing != NULL)
		return iot_cloud_fail(err, "DeleteConflictException", "certificate '%s' is attached to thing '%s'", id,
				      thing);
	if (policy != NULL && !force)
		return iot_cloud_fail(err, "DeleteConflictException", "policy '%s' is attached to certificate '%s'",
				      policy, id);
	return IOT_OK;
}

enum iot_status iot_op_delete_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					  struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	enum iot_status status;

	(void)reply;
	status = check_deletable(local, id, iot_json_bool(request, "forceDelete", false), err);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err,
				       "DELETE FROM policy_attachments WHERE certificate_id = ?", "s", id);
	if (status == IOT_OK)
		status = iot_store_run(local->store, NULL, err, "DELETE FROM certificates WHERE id = ?", "s", id);
	return status;
}

/* --- lists ----------------------------------------------------------------------------- */

/* The key of a page is "CREATED:ID". */
enum iot_status iot_local_list_by_time(struct iot_local *local, const json_t *request, const char *const sql[2],
				       const char *ca_id, const char *arn_kind, json_t *reply, struct iot_error *err)
{
	bool ascending = iot_json_bool(request, "ascendingOrder", false);
	IOT_CLEAN(iot_page_release) struct iot_page page = {0};
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *certificates = json_array();
	const char *colon;
	int64_t after;
	bool row = false;
	enum iot_status status;

	json_object_set_new(reply, "certificates", certificates);
	status = iot_page_init(&page, request, "marker", err);
	if (status != IOT_OK)
		return status;
	colon = page.after != NULL ? strchr(page.after, ':') : NULL;
	after = page.after != NULL ? page.after_id : ascending ? INT64_MIN : INT64_MAX;
	status = iot_stmt_get(local->store, sql[ascending], &stmt, err);
	if (status == IOT_OK && ca_id != NULL)
		status = iot_stmt_bind(stmt, err, "isis", after, colon != NULL ? colon + 1 : "", page.limit + 1, ca_id);
	else if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "isi", after, colon != NULL ? colon + 1 : "", page.limit + 1);
	while (status == IOT_OK) {
		IOT_CLEAN(iot_free_p) char *key = NULL;
		json_t *cert;

		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		key = iot_strf("%" PRId64 ":%s", iot_stmt_int(stmt, 3), iot_stmt_text(stmt, 0));
		if (!iot_page_next(&page, key))
			break;
		cert = json_object();
		iot_local_set_arn(cert, "certificateArn", arn_kind, iot_stmt_text(stmt, 0));
		iot_json_set_str(cert, "certificateId", iot_stmt_text(stmt, 0));
		iot_json_set_str(cert, "status", iot_stmt_text(stmt, 1));
		iot_json_set_str(cert, "certificateMode", iot_stmt_text(stmt, 2));
		iot_local_set_time(cert, "creationDate", iot_stmt_int(stmt, 3));
		json_array_append_new(certificates, cert);
	}
	if (status == IOT_OK)
		iot_page_finish(&page, reply);
	return status;
}

#define LIST_COLUMNS "SELECT id, status, mode, created_at FROM certificates WHERE "
static const char *const list_sql[2] = {
	LIST_COLUMNS "(created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3",
	LIST_COLUMNS "(created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
};
static const char *const list_by_ca_sql[2] = {
	LIST_COLUMNS "ca_id = ?4 AND (created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3",
	LIST_COLUMNS "ca_id = ?4 AND (created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
};

enum iot_status iot_op_list_certificates(struct iot_local *local, const json_t *request, json_t *reply,
					 struct iot_error *err)
{
	return iot_local_list_by_time(local, request, list_sql, NULL, "cert", reply, err);
}

enum iot_status iot_op_list_certificates_by_ca(struct iot_local *local, const json_t *request, json_t *reply,
					       struct iot_error *err)
{
	return iot_local_list_by_time(local, request, list_by_ca_sql, iot_json_str(request, "caCertificateId", ""),
				      "cert", reply, err);
}
