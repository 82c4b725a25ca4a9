/*
 * Ensuring an operator. The order is what matters: the profile file with the new
 * keys is on the disk, whole, before the registry knows them; one transaction
 * then lets certificate and access key in. Killed in between, the file is found
 * by the same call, which registers what is in it.
 */
#include "fleet/operator_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/operator.h"
#include "iotctl/policy.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <string.h>

#define MIN_MS INT64_C(1000)
#define MAX_MS (INT64_C(3650) * 86400000)
#define API_PORT "8443"

struct enrolling {
	struct iot_cloud *cloud;
	const struct iot_operator_spec *spec;
	bool rotate;
	char *policy_name;
	char *document; /* NULL: the policies of before (rotate) */
	json_t *row;    /* as the registry has it, or NULL */
	char *endpoint_url, *broker, *fleet;
	struct iot_cert *cert;
	struct iot_buf certificate, key, ca;
	char access_key_id[IOT_ACCESS_KEY_ID_LEN + 1];
	char secret[IOT_ACCESS_KEY_SECRET_LEN + 1];
	bool changed, no_api;
};

static void release(struct enrolling *e)
{
	iot_wipe(e->secret, sizeof(e->secret));
	iot_buf_release(&e->certificate);
	iot_buf_release(&e->key);
	iot_buf_release(&e->ca);
	iot_cert_free(e->cert);
	json_decref(e->row);
	free(e->policy_name);
	free(e->document);
	free(e->endpoint_url);
	free(e->broker);
	free(e->fleet);
}

/* --- everything is looked at before anything is done ------------------------------------ */

static enum iot_status check_name(const char *name, struct iot_error *err)
{
	size_t len = strlen(name);
	bool good = len > 0 && len <= IOT_OPERATOR_NAME_MAX && strcmp(name, "default") != 0;

	for (size_t i = 0; i < len; i++)
		good = good && (isalnum((unsigned char)name[i]) || name[i] == '-' || name[i] == '_');
	if (!good)
		return iot_fail(err, IOT_USAGE,
				"'%.80s' is no name for an operator: letters, digits, '-' and '_', at most %d", name,
				IOT_OPERATOR_NAME_MAX);
	return IOT_OK;
}

/* A policy of the user's own must let the operator connect, or half of the profile is of no use. */
static enum iot_status check_policy(const char *document, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	IOT_CLEAN(iot_free_p) char *client = iot_strf("operator-%s-00000000", name);
	const struct iot_policy_field common_name = {"Subject.CommonName", name};
	const struct iot_policy_vars vars = {.client_id = client, .fields = &common_name, .field_count = 1};
	const struct iot_policy_request request = {.action = IOT_POLICY_CONNECT, .resource = client, .vars = &vars};
	enum iot_status status = iot_policy_parse(document, strlen(document), &policy, err);
	const struct iot_policy *const policies[] = {policy};

	if (status == IOT_OK && iot_policy_decide(policies, 1, &request, NULL) != IOT_DECISION_ALLOWED) {
		iot_fail(err, IOT_USAGE, "with this policy operator '%s' could not connect to the broker", name);
		iot_error_hint(err, "allow iot:Connect on 'client/operator-%s-*'", name);
		return IOT_USAGE;
	}
	return status;
}

static enum iot_status read_document(struct enrolling *e, struct iot_error *err)
{
	const struct iot_operator_spec *spec = e->spec;

	if (e->rotate)
		return IOT_OK;
	if ((spec->role == NULL) == (spec->policy == NULL))
		return iot_fail(err, IOT_USAGE, "an operator needs either a role or a policy");
	if (spec->role != NULL)
		return operator_role_document(e->cloud, spec->role, spec->name, &e->document, err);
	e->document = iot_strdup(spec->policy);
	return check_policy(spec->policy, spec->name, err);
}

static enum iot_status read_row(struct enrolling *e, struct iot_error *err)
{
	enum iot_status status = iot_local_operator_get(e->cloud, e->spec->name, &e->row, err);

	if (status != IOT_NOT_FOUND || e->rotate)
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status read_facts(struct enrolling *e, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *root = iot_path(iot_local_paths(e->cloud)->ca_dir, "root.pem");
	IOT_CLEAN(iot_free_p) char *endpoint = NULL;
	IOT_CLEAN(iot_free_p) char *port = NULL;
	IOT_CLEAN(iot_free_p) char *api_port = NULL;
	enum iot_status status = iot_local_meta_get(e->cloud, "endpoint", &endpoint, err);

	if (status == IOT_OK)
		status = iot_local_meta_get(e->cloud, "port", &port, err);
	if (status == IOT_OK)
		status = iot_local_meta_get(e->cloud, "api_port", &api_port, err);
	if (status == IOT_OK)
		status = iot_local_meta_get(e->cloud, "name", &e->fleet, err);
	if (status == IOT_OK)
		status = iot_fs_read(root, &e->ca, err);
	if (status != IOT_OK)
		return status;
	e->broker = iot_strf("%s:%s", endpoint != NULL ? endpoint : "localhost", port != NULL ? port : "8883");
	e->no_api = e->spec->endpoint_url == NULL && (api_port == NULL || strcmp(api_port, "0") == 0);
	e->endpoint_url = e->spec->endpoint_url != NULL
				  ? iot_strdup(e->spec->endpoint_url)
				  : iot_strf("https://%s:%s", endpoint != NULL ? endpoint : "localhost",
					     e->no_api ? API_PORT : api_port);
	return IOT_OK;
}

static enum iot_status check_lifetime(const struct iot_operator_spec *spec, struct iot_error *err)
{
	if (spec->lifetime_ms < MIN_MS || spec->lifetime_ms > MAX_MS)
		return iot_fail(err, IOT_USAGE, "an operator's keys can be good for a second to ten years");
	return iot_clock_check(err);
}

static enum iot_status check_url(const char *url, struct iot_error *err)
{
	const char *host = url == NULL ? "" : iot_starts_with(url, "https://") ? url + strlen("https://") : "";

	if (url == NULL || (*host != '\0' && strpbrk(host, " \t\r\n;#\"'") == NULL))
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "'%.200s' is no address of an HTTPS API", url);
	iot_error_hint(err, "write it as https://HOST:PORT");
	return IOT_USAGE;
}

/* --- keys: found in the file, or made -------------------------------------------------- */

static enum iot_status take_found(struct enrolling *e, struct iot_error *err)
{
	const struct iot_profile *found = e->spec->found;
	IOT_CLEAN(iot_free_p) char *ca_path = iot_path(iot_local_paths(e->cloud)->ca_dir, "issuing.pem");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	const char *name = NULL;
	enum iot_status status =
		iot_cert_parse_pem(found->certificate, strlen(found->certificate), e->spec->out, &e->cert, err);

	if (status == IOT_OK)
		status = iot_key_from_private_pem(found->key, strlen(found->key), e->spec->out, NULL, &key, err);
	if (status == IOT_OK)
		status = iot_cert_load(ca_path, &ca, err);
	if (status != IOT_OK)
		return status;
	if (iot_cert_common_name(e->cert, &name, NULL) != IOT_OK || strcmp(name, e->spec->name) != 0 ||
	    !iot_key_equal(iot_cert_key(e->cert), key) || iot_cert_verify_issued_by(e->cert, ca, NULL) != IOT_OK ||
	    strlen(found->access_key_id) != IOT_ACCESS_KEY_ID_LEN ||
	    strlen(found->secret) != IOT_ACCESS_KEY_SECRET_LEN) {
		iot_fail(err, IOT_CONFLICT, "'%s' is not a profile of this fleet", e->spec->out);
		iot_error_hint(err, "move it away, or name another file with --out");
		return IOT_CONFLICT;
	}
	iot_buf_adds(&e->certificate, found->certificate);
	memcpy(e->access_key_id, found->access_key_id, sizeof(e->access_key_id));
	memcpy(e->secret, found->secret, sizeof(e->secret));
	return IOT_OK;
}

static void make_access_key(struct enrolling *e)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(64);
	uint8_t bytes[30];

	iot_random(bytes, 16);
	memcpy(e->access_key_id, "IOTA", 4);
	for (size_t i = 0; i < 16; i++)
		e->access_key_id[4 + i] = letters[bytes[i] & 31];
	iot_random(bytes, sizeof(bytes));
	iot_base64(bytes, sizeof(bytes), &text);
	memcpy(e->secret, iot_buf_str(&text), IOT_ACCESS_KEY_SECRET_LEN);
	iot_wipe(bytes, sizeof(bytes));
}

static enum iot_status make_keys(struct enrolling *e, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_cert_request request = {.profile = IOT_PROFILE_OPERATOR, .common_name = e->spec->name};
	enum iot_status status = iot_key_generate(IOT_KEY_P256, &key, err);

	request.key = key;
	if (status == IOT_OK)
		status = iot_local_issue(e->cloud, &request, iot_now_ms() + e->spec->lifetime_ms, &e->cert, err);
	if (status == IOT_OK)
		status = iot_key_private_pem(key, &e->key, err);
	if (status != IOT_OK)
		return status;
	iot_cert_pem(e->cert, &e->certificate);
	make_access_key(e);
	return IOT_OK;
}

static enum iot_status write_file(struct enrolling *e, struct iot_error *err)
{
	const struct iot_profile profile = {
		.name = e->spec->name,
		.fleet = e->fleet,
		.endpoint_url = e->endpoint_url,
		.broker = e->broker,
		.access_key_id = e->access_key_id,
		.secret = e->secret,
		.certificate = iot_buf_str(&e->certificate),
		.key = iot_buf_str(&e->key),
		.ca = iot_buf_str(&e->ca),
	};
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET((size_t)64 * 1024);
	enum iot_status status;

	operator_profile_text(&profile, &text);
	status = iot_buf_check(&text, "profile", err);
	if (status != IOT_OK)
		return status;
	/* Only the operator's own file of before is replaced. */
	if (e->spec->found != NULL)
		return iot_fs_write(e->spec->out, 0600, text.data, text.len, err);
	return iot_fs_create_private(e->spec->out, text.data, text.len, err);
}

/* --- the registry ------------------------------------------------------------------------ */

static enum iot_status register_certificate(struct enrolling *e, struct iot_error *err)
{
	enum iot_status status = fleet_call(
		e->cloud, "RegisterCertificateWithoutCA",
		json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&e->certificate), "status", "ACTIVE"), NULL, err);

	if (status == IOT_OK || !fleet_exists(err))
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status attach(struct enrolling *e, const char *policy, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(e->cloud, "cert", iot_cert_id(e->cert));

	return fleet_call(e->cloud, "AttachPolicy", json_pack("{s:s, s:s}", "policyName", policy, "target", arn), NULL,
			  err);
}

/* The operator's own policy; one of that name that somebody has left there is only taken if it says the same. */
static enum iot_status add_policy(struct enrolling *e, struct iot_error *err)
{
	enum iot_status status = fleet_call(
		e->cloud, "CreatePolicy",
		json_pack("{s:s, s:s}", "policyName", e->policy_name, "policyDocument", e->document), NULL, err);
	IOT_JSON reply = NULL;

	if (status != IOT_OK && fleet_exists(err)) {
		iot_error_clear(err);
		status = fleet_call(e->cloud, "GetPolicy", json_pack("{s:s}", "policyName", e->policy_name), &reply,
				    err);
		if (status == IOT_OK && strcmp(iot_json_str(reply, "policyDocument", ""), e->document) != 0) {
			iot_fail(err, IOT_CONFLICT, "there is a policy '%s' that says something else", e->policy_name);
			iot_error_hint(err, "delete it with 'iotctl policy delete %s'", e->policy_name);
			return IOT_CONFLICT;
		}
	}
	return status == IOT_OK ? attach(e, e->policy_name, err) : status;
}

static enum iot_status switch_off(struct iot_cloud *cloud, const char *certificate_id, struct iot_error *err)
{
	enum iot_status status =
		fleet_call(cloud, "UpdateCertificate",
			   json_pack("{s:s, s:s}", "certificateId", certificate_id, "newStatus", "REVOKED"), NULL, err);

	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err); /* somebody has deleted it: just as good */
	return IOT_OK;
}

/* What the old certificate might do the new one may; the old one may nothing any more. */
static enum iot_status hand_over(struct enrolling *e, struct iot_error *err)
{
	const char *old = iot_json_str(e->row, "certificateId", "");
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(e->cloud, "cert", old);
	IOT_JSON policies = NULL;
	json_t *policy;
	size_t i;
	enum iot_status status;

	status = fleet_collect(e->cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies",
			       &policies, err);
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return attach(e, e->policy_name, err);
	}
	json_array_foreach(policies, i, policy) {
		if (status == IOT_OK)
			status = attach(e, iot_json_str(policy, "policyName", ""), err);
	}
	return status == IOT_OK ? switch_off(e->cloud, old, err) : status;
}

static enum iot_status register_all(struct enrolling *e, struct iot_error *err)
{
	const struct iot_operator_row row = {
		.name = e->spec->name,
		.role = e->rotate ? iot_json_str(e->row, "role", NULL) : e->spec->role,
		.certificate_id = iot_cert_id(e->cert),
		.access_key_id = e->access_key_id,
		.secret = e->secret,
		.expires_at = iot_cert_not_after(e->cert),
	};
	enum iot_status status = fleet_begin(e->cloud, err);

	if (status != IOT_OK)
		return status;
	status = register_certificate(e, err);
	if (status == IOT_OK)
		status = e->rotate ? hand_over(e, err) : add_policy(e, err);
	if (status == IOT_OK)
		status = iot_local_operator_put(e->cloud, &row, err);
	e->changed = true;
	return fleet_end(e->cloud, status, err);
}

/* --- create, rotate ------------------------------------------------------------------------ */

static enum iot_status conflict_hint(const struct iot_operator_spec *spec, struct iot_error *err)
{
	iot_error_hint(err, "'iotctl operator rotate %s' makes new keys", spec->name);
	return IOT_CONFLICT;
}

/* It is there already: as it is wanted, or not. */
static enum iot_status check_same(struct enrolling *e, struct iot_error *err)
{
	const struct iot_operator_spec *spec = e->spec;
	const char *role = iot_json_str(e->row, "role", "a policy of its own");
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (strcmp(iot_json_str(e->row, "state", ""), "revoked") == 0) {
		iot_fail(err, IOT_CONFLICT, "operator '%s' was revoked", spec->name);
		iot_error_hint(err, "'iotctl operator rotate %s' lets it in again, with new keys", spec->name);
		return IOT_CONFLICT;
	}
	if (spec->found == NULL) {
		iot_fail(err, IOT_CONFLICT, "operator '%s' exists, and its profile is not '%s'", spec->name, spec->out);
		return conflict_hint(spec, err);
	}
	if (strcmp(spec->found->access_key_id, iot_json_str(e->row, "accessKeyId", "")) != 0) {
		iot_fail(err, IOT_CONFLICT, "operator '%s' exists with other keys than those in '%s'", spec->name,
			 spec->out);
		return conflict_hint(spec, err);
	}
	status = fleet_call(e->cloud, "GetPolicy", json_pack("{s:s}", "policyName", e->policy_name), &reply, err);
	if (status != IOT_OK)
		return status;
	if (strcmp(role, spec->role != NULL ? spec->role : "a policy of its own") == 0 &&
	    strcmp(iot_json_str(reply, "policyDocument", ""), e->document) == 0)
		return take_found(e, err);
	iot_fail(err, IOT_CONFLICT, "operator '%s' exists with %s, which may do other things", spec->name, role);
	iot_error_hint(err, "change its rights with 'iotctl policy update %s'", e->policy_name);
	return IOT_CONFLICT;
}

static enum iot_status check_file(struct enrolling *e, struct iot_error *err)
{
	const struct iot_operator_spec *spec = e->spec;

	if (spec->found == NULL || strcmp(spec->found->name, spec->name) == 0)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "'%s' is the profile of operator '%s'", spec->out, spec->found->name);
	iot_error_hint(err, "name another file with --out");
	return IOT_CONFLICT;
}

static enum iot_status enroll(struct enrolling *e, struct iot_error *err)
{
	enum iot_status status;

	if (!e->rotate && e->row != NULL)
		return check_same(e, err);
	status = iot_local_operator_can_put(e->cloud, err);
	if (status != IOT_OK)
		return status;
	if (!e->rotate && e->spec->found != NULL) { /* an earlier call was killed before it was let in */
		status = take_found(e, err);
		return status == IOT_OK ? register_all(e, err) : status;
	}
	status = make_keys(e, err);
	if (status == IOT_OK)
		status = write_file(e, err);
	return status == IOT_OK ? register_all(e, err) : status;
}

static void set_record(const struct enrolling *e, json_t *record)
{
	const struct iot_operator_spec *spec = e->spec;

	iot_json_set_str(record, "operator", spec->name);
	iot_json_set_str(record, "role", e->rotate ? iot_json_str(e->row, "role", NULL) : spec->role);
	iot_json_set_str(record, "profile", spec->out);
	iot_json_set_str(record, "endpointUrl", e->endpoint_url);
	iot_json_set_str(record, "broker", e->broker);
	iot_json_set_str(record, "accessKeyId", e->access_key_id);
	iot_json_set_str(record, "certificateId", iot_cert_id(e->cert));
	iot_json_set_str(record, "policy", e->policy_name);
	fleet_set_time(record, "expiresAt", iot_cert_not_after(e->cert));
	if (e->no_api)
		iot_json_set_bool(record, "apiOff", true);
	iot_json_set_bool(record, "changed", e->changed);
}

static enum iot_status ensure(struct iot_cloud *cloud, const struct iot_operator_spec *spec, bool rotate,
			      json_t **ret_record, struct iot_error *err)
{
	struct enrolling e = {.cloud = cloud, .spec = spec, .rotate = rotate};
	enum iot_status status = iot_fleet_need_local(cloud, err);

	e.certificate = (struct iot_buf)IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	e.key = (struct iot_buf)IOT_BUF_SECRET(16384);
	e.ca = (struct iot_buf)IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	e.policy_name = iot_strf("operator.%s", spec->name);
	if (status == IOT_OK)
		status = check_name(spec->name, err);
	if (status == IOT_OK)
		status = check_lifetime(spec, err);
	if (status == IOT_OK)
		status = check_url(spec->endpoint_url, err);
	if (status == IOT_OK)
		status = read_document(&e, err);
	if (status == IOT_OK)
		status = check_file(&e, err);
	if (status == IOT_OK)
		status = read_row(&e, err);
	if (status == IOT_OK)
		status = read_facts(&e, err);
	if (status == IOT_OK)
		status = enroll(&e, err);
	if (status == IOT_OK)
		set_record(&e, *ret_record = json_object());
	release(&e);
	return status;
}

enum iot_status iot_operator_create(struct iot_cloud *cloud, const struct iot_operator_spec *spec, json_t **ret_record,
				    struct iot_error *err)
{
	enum iot_status status = ensure(cloud, spec, false, ret_record, err);

	iot_error_while(err, "creating operator '%.80s'", spec->name);
	return status;
}

enum iot_status iot_operator_rotate(struct iot_cloud *cloud, const struct iot_operator_spec *spec, json_t **ret_record,
				    struct iot_error *err)
{
	enum iot_status status = ensure(cloud, spec, true, ret_record, err);

	iot_error_while(err, "making new keys for operator '%.80s'", spec->name);
	return status;
}

/* --- revoke, show ---------------------------------------------------------------------------- */

enum iot_status iot_operator_revoke(struct iot_cloud *cloud, const char *name, json_t **ret_record,
				    struct iot_error *err)
{
	IOT_JSON row = NULL;
	bool changed = false;
	enum iot_status status = fleet_begin(cloud, err);

	if (status != IOT_OK)
		return status;
	status = iot_local_operator_get(cloud, name, &row, err);
	if (status == IOT_OK)
		status = iot_local_operator_revoke(cloud, name, &changed, err);
	if (status == IOT_OK && changed)
		status = switch_off(cloud, iot_json_str(row, "certificateId", ""), err);
	status = fleet_end(cloud, status, err);
	if (status == IOT_OK)
		*ret_record = json_pack("{s:s, s:b}", "operator", name, "changed", changed);
	return status;
}

static enum iot_status add_document(struct iot_cloud *cloud, const char *policy, json_t *list, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	IOT_JSON document = NULL;
	const char *text;
	enum iot_status status = fleet_call(cloud, "GetPolicy", json_pack("{s:s}", "policyName", policy), &reply, err);

	if (status != IOT_OK)
		return status;
	text = iot_json_str(reply, "policyDocument", "");
	status = iot_json_parse(text, strlen(text), policy, &document, err);
	if (status == IOT_OK)
		json_array_append_new(list, json_pack("{s:s, s:O}", "policyName", policy, "policyDocument", document));
	return status;
}

enum iot_status iot_operator_show(struct iot_cloud *cloud, const char *name, json_t **ret_record, struct iot_error *err)
{
	IOT_JSON record = NULL;
	IOT_JSON attached = NULL;
	IOT_JSON list = json_array();
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	json_t *policy;
	size_t i;
	enum iot_status status = iot_local_operator_get(cloud, name, &record, err);

	if (status != IOT_OK)
		return status;
	arn = fleet_arn(cloud, "cert", iot_json_str(record, "certificateId", ""));
	status = fleet_collect(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies", &attached,
			       err);
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		status = IOT_OK;
	}
	json_array_foreach(attached, i, policy) {
		if (status == IOT_OK)
			status = add_document(cloud, iot_json_str(policy, "policyName", ""), list, err);
	}
	if (status != IOT_OK)
		return status;
	json_object_set(record, "policies", list);
	*ret_record = iot_take(record);
	return IOT_OK;
}
