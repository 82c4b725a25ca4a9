/*
 * CA certificates: the fleet's own, and those of vendors whose modules are born
 * with a certificate. Registering one means that certificates it issued may be
 * registered and that the broker can verify them; it admits no device by itself.
 */
#include "registry_private.h"

#include "iotctl/digest.h"

#include <string.h>

static enum iot_status ca_row(struct iot_local *local, const char *id, struct iot_stmt **ret, struct iot_error *err)
{
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(local->store,
			      "SELECT pem, status, own, auto_registration, mode, not_before, not_after, created_at,"
			      " modified_at FROM ca_certificates WHERE id = ?",
			      ret, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(*ret, err, "s", id);
	if (status == IOT_OK)
		status = iot_stmt_step(*ret, &row, err);
	if (status == IOT_OK && !row)
		return iot_local_not_found(err, "CA certificate '%s' does not exist", id);
	return status;
}

enum iot_status iot_local_find_ca(struct iot_local *local, const struct iot_cert *cert, char **ret_id,
				  char **ret_status, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status =
		iot_stmt_get(local->store, "SELECT id, status, pem FROM ca_certificates WHERE subject = ?", &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", iot_cert_issuer(cert));
	while (status == IOT_OK) {
		IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
		const char *pem;

		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		pem = iot_stmt_text(stmt, 2);
		status = iot_cert_parse_pem(pem, strlen(pem), "registered CA", &ca, err);
		/* Several CAs may have one name; the signature tells. */
		if (status != IOT_OK || iot_cert_verify_issued_by(cert, ca, NULL) != IOT_OK)
			continue;
		*ret_id = iot_strdup(iot_stmt_text(stmt, 0));
		*ret_status = iot_strdup(iot_stmt_text(stmt, 1));
		break;
	}
	return status;
}

/* --- the registration code ---------------------------------------------------------- */

enum iot_status iot_op_get_registration_code(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *code = NULL;
	unsigned char bytes[32];
	char text[sizeof(bytes) * 2 + 1];
	enum iot_status status;

	(void)request;
	status = iot_local_meta(local, "registration_code", &code, err);
	if (status == IOT_OK && code == NULL) {
		iot_random(bytes, sizeof(bytes));
		iot_hex(bytes, sizeof(bytes), text);
		code = iot_strdup(text);
		status = iot_local_set_meta(local, "registration_code", code, err);
	}
	if (status == IOT_OK)
		iot_json_set_str(reply, "registrationCode", code);
	return status;
}

/* A certificate that the CA issued to the registration code proves that its key is at hand. */
static enum iot_status check_verification(struct iot_local *local, const struct iot_cert *ca, const char *pem,
					  struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *proof = NULL;
	IOT_CLEAN(iot_free_p) char *code = NULL;
	const char *name;
	enum iot_status status;

	status = iot_local_parse_cert(pem, "verificationCertificate", &proof, err);
	if (status == IOT_OK)
		status = iot_local_meta(local, "registration_code", &code, err);
	if (status != IOT_OK)
		return status;
	name = iot_cert_field_find(proof, IOT_CERT_SUBJECT, "CommonName", 0);
	if (code == NULL || name == NULL || strcmp(name, code) != 0) {
		iot_cloud_fail(err, "RegistrationCodeValidationException",
			       "the common name of the verification certificate is not the registration code");
		iot_error_hint(err, "'iotctl api GetRegistrationCode' shows the code");
		return IOT_VERIFY;
	}
	if (iot_cert_verify_issued_by(proof, ca, NULL) != IOT_OK)
		return iot_cloud_fail(err, "CertificateValidationException",
				      "the verification certificate was not issued by this CA");
	return IOT_OK;
}

static enum iot_status check_mode(struct iot_local *local, const json_t *request, const struct iot_cert *ca,
				  struct iot_error *err)
{
	const char *proof = iot_json_str(request, "verificationCertificate", NULL);
	bool sni_only = strcmp(iot_json_str(request, "certificateMode", "DEFAULT"), "SNI_ONLY") == 0;

	if (json_object_size(json_object_get(request, "registrationConfig")) > 0)
		return iot_local_invalid(
			err, "the local cloud has no provisioning templates: registrationConfig must be empty");
	if (sni_only && proof != NULL)
		return iot_local_invalid(err, "verificationCertificate must be absent with certificateMode SNI_ONLY");
	if (sni_only)
		return IOT_OK;
	if (proof == NULL) {
		iot_local_invalid(err, "certificateMode DEFAULT needs a verificationCertificate");
		iot_error_hint(err, "certificateMode SNI_ONLY needs none");
		return IOT_USAGE;
	}
	return check_verification(local, ca, proof, err);
}

/* --- registering --------------------------------------------------------------------- */

/* Is it one of the certificates in the fleet's own ca folder? */
static bool is_own(struct iot_local *local, const struct iot_cert *ca)
{
	static const char *const names[] = {"root.pem", "issuing.pem"};

	for (size_t i = 0; i < IOT_LENGTH(names); i++) {
		IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.ca_dir, names[i]);
		IOT_CLEAN(iot_cert_free_p) struct iot_cert *own = NULL;

		if (iot_cert_load(path, &own, NULL) == IOT_OK && strcmp(iot_cert_id(own), iot_cert_id(ca)) == 0)
			return true;
	}
	return false;
}

static enum iot_status exists(struct iot_local *local, const char *id, bool *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, ret, err, "SELECT 1 FROM ca_certificates WHERE id = ?", "s", id);
	return status;
}

static enum iot_status ca_insert(struct iot_local *local, const json_t *request, const struct iot_cert *ca,
				 struct iot_error *err)
{
	bool active = iot_json_bool(request, "setAsActive", false);
	bool automatic = iot_json_bool(request, "allowAutoRegistration", false);
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	int64_t now = iot_now_ms();
	enum iot_status status;

	iot_cert_pem(ca, &pem);
	status = iot_store_run(
		local->store, NULL, err,
		"INSERT INTO ca_certificates (id, pem, status, subject, own, auto_registration, mode,"
		" not_before, not_after, created_at, modified_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		"ssssiisiiii", iot_cert_id(ca), iot_buf_str(&pem), active ? "ACTIVE" : "INACTIVE", iot_cert_subject(ca),
		(int64_t)is_own(local, ca), (int64_t)automatic, iot_json_str(request, "certificateMode", "DEFAULT"),
		iot_cert_not_before(ca), iot_cert_not_after(ca), now, now);
	if (status == IOT_OK)
		status = iot_local_trust_add(local, iot_buf_str(&pem), err);
	iot_buf_release(&pem);
	return status;
}

enum iot_status iot_op_register_ca_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					       struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	bool there = false;
	enum iot_status status;

	status = iot_local_parse_cert(iot_json_str(request, "caCertificate", ""), "caCertificate", &ca, err);
	if (status == IOT_OK && !iot_cert_is_ca(ca))
		return iot_cloud_fail(err, "CertificateValidationException", "'%s' is not a CA certificate",
				      iot_cert_subject(ca));
	if (status == IOT_OK && iot_cert_not_after(ca) < iot_now_ms())
		return iot_cloud_fail(err, "CertificateValidationException", "the CA certificate '%s' has expired",
				      iot_cert_subject(ca));
	if (status == IOT_OK)
		status = check_mode(local, request, ca, err);
	if (status == IOT_OK)
		status = exists(local, iot_cert_id(ca), &there, err);
	if (status == IOT_OK && there)
		return iot_local_exists(err, "CA certificate '%s' is registered already", iot_cert_id(ca));
	if (status == IOT_OK)
		status = ca_insert(local, request, ca, err);
	if (status != IOT_OK)
		return status;
	iot_local_set_arn(reply, "certificateArn", "cacert", iot_cert_id(ca));
	iot_json_set_str(reply, "certificateId", iot_cert_id(ca));
	return IOT_OK;
}

/* --- looking, changing, deleting -------------------------------------------------------- */

enum iot_status iot_op_describe_ca_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					       struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *validity = json_object();
	json_t *cert = json_object();
	enum iot_status status;

	json_object_set_new(reply, "certificateDescription", cert);
	json_object_set_new(cert, "validity", validity);
	status = ca_row(local, id, &stmt, err);
	if (status != IOT_OK)
		return status;
	iot_local_set_arn(cert, "certificateArn", "cacert", id);
	iot_json_set_str(cert, "certificateId", id);
	iot_json_set_str(cert, "status", iot_stmt_text(stmt, 1));
	iot_json_set_str(cert, "certificatePem", iot_stmt_text(stmt, 0));
	iot_json_set_str(cert, "ownedBy", "000000000000");
	iot_local_set_time(cert, "creationDate", iot_stmt_int(stmt, 7));
	iot_local_set_time(cert, "lastModifiedDate", iot_stmt_int(stmt, 8));
	iot_json_set_str(cert, "autoRegistrationStatus", iot_stmt_int(stmt, 3) != 0 ? "ENABLE" : "DISABLE");
	iot_local_set_time(validity, "notBefore", iot_stmt_int(stmt, 5));
	iot_local_set_time(validity, "notAfter", iot_stmt_int(stmt, 6));
	iot_json_set_str(cert, "certificateMode", iot_stmt_text(stmt, 4));
	return IOT_OK;
}

enum iot_status iot_op_update_ca_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	const char *automatic = iot_json_str(request, "newAutoRegistrationStatus", NULL);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;

	(void)reply;
	if (json_object_size(json_object_get(request, "registrationConfig")) > 0)
		return iot_local_invalid(
			err, "the local cloud has no provisioning templates: registrationConfig must be empty");
	if (iot_json_bool(request, "removeAutoRegistration", false))
		automatic = "DISABLE";
	status = ca_row(local, id, &stmt, err);
	if (status != IOT_OK)
		return status;
	return iot_store_run(
		local->store, NULL, err,
		"UPDATE ca_certificates SET status = ifnull(?, status),"
		" auto_registration = CASE ? WHEN 'ENABLE' THEN 1 WHEN 'DISABLE' THEN 0 ELSE auto_registration END,"
		" modified_at = ? WHERE id = ?",
		"ssis", iot_json_str(request, "newStatus", NULL), automatic, iot_now_ms(), id);
}

enum iot_status iot_op_delete_ca_certificate(struct iot_local *local, const json_t *request, json_t *reply,
					     struct iot_error *err)
{
	const char *id = iot_json_str(request, "certificateId", NULL);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_free_p) char *pem = NULL;
	enum iot_status status;

	(void)reply;
	status = ca_row(local, id, &stmt, err);
	if (status == IOT_OK && iot_stmt_int(stmt, 2) != 0)
		return iot_local_invalid(err, "CA certificate '%s' is the fleet's own", id);
	if (status == IOT_OK && strcmp(iot_stmt_text(stmt, 1), "ACTIVE") == 0)
		return iot_cloud_fail(err, "CertificateStateException",
				      "CA certificate '%s' is ACTIVE: make it INACTIVE first", id);
	if (status != IOT_OK)
		return status;
	pem = iot_strdup(iot_stmt_text(stmt, 0));
	status = iot_store_run(local->store, NULL, err, "DELETE FROM ca_certificates WHERE id = ?", "s", id);
	return status == IOT_OK ? iot_local_trust_remove(local, pem, err) : status;
}

#define LIST_COLUMNS "SELECT id, status, NULL, created_at FROM ca_certificates WHERE "
static const char *const list_sql[2] = {
	LIST_COLUMNS "(created_at, id) < (?1, ?2) ORDER BY created_at DESC, id DESC LIMIT ?3",
	LIST_COLUMNS "(created_at, id) > (?1, ?2) ORDER BY created_at, id LIMIT ?3",
};

enum iot_status iot_op_list_ca_certificates(struct iot_local *local, const json_t *request, json_t *reply,
					    struct iot_error *err)
{
	return iot_local_list_by_time(local, request, list_sql, NULL, "cacert", reply, err);
}
