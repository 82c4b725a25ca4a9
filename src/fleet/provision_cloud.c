/*
 * The cloud's half of provisioning: the certificate of a board, which it was born
 * with or which is issued here, is registered together with its thing.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/log.h"

#include <string.h>

/* --- what is particular to a kind of cloud ------------------------------------------ */

static bool is_local(const struct provision *run)
{
	return strcmp(iot_cloud_kind(run->cloud), "local") == 0;
}

const char *provision_fleet(const struct provision *run)
{
	return fleet_id(run->cloud);
}

/* What boards check the broker with. */
static enum iot_status read_root(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(iot_local_paths(run->cloud)->ca_dir, "root.pem");

	return iot_fs_read(path, &run->root_ca, err);
}

/* Where devices with shared secrets come in; a gateway's port is its own. */
static enum iot_status read_psk_port(struct provision *run, struct iot_error *err)
{
	enum iot_status status =
		run->spec->endpoint == NULL ? iot_local_meta_get(run->cloud, "psk_port", &run->port, err) : IOT_OK;

	if (status == IOT_OK && run->port == NULL && run->spec->endpoint == NULL)
		iot_info("this fleet's 'serve' has no --psk-port, and no gateway was given with --endpoint");
	return status;
}

/* Many boards know one port. */
static enum iot_status read_port(struct provision *run, struct iot_error *err)
{
	enum iot_status status;

	if (run->spec->endpoint_port > 0) {
		run->port = iot_strf("%d", run->spec->endpoint_port);
		return IOT_OK;
	}
	if (provision_has_psk(run))
		return read_psk_port(run, err);
	status = iot_local_meta_get(run->cloud, "port", &run->port, err);
	if (status == IOT_OK && run->port == NULL)
		run->port = iot_strdup("8883");
	if (status == IOT_OK && strcmp(run->port, "8883") != 0 && !(run->description->install & 1U << IOT_ITEM_PORT))
		iot_info("boards connect to port 8883, this fleet's is %s", run->port);
	return status;
}

/* The registry tells where a key was made, where it can. */
static enum iot_status note_key_origin(struct provision *run, struct iot_error *err)
{
	return is_local(run) ? iot_local_key_origin(run->cloud, iot_cert_id(run->cert), provision_key_origin(run),
						    iot_board_key_on_wire(run->description->key), err)
			     : IOT_OK;
}

/* --- what is there before ---------------------------------------------------------- */

static enum iot_status check_policies(struct provision *run, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (const char *const *name = run->policies; status == IOT_OK && *name != NULL; name++)
		status = fleet_call(run->cloud, "GetPolicy", json_pack("{s:s}", "policyName", *name), NULL, err);
	return status;
}

static enum iot_status read_endpoint(struct provision *run, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (run->spec->endpoint != NULL) {
		run->endpoint = iot_strdup(run->spec->endpoint);
		return IOT_OK;
	}
	status = fleet_call(run->cloud, "DescribeEndpoint", json_pack("{s:s}", "endpointType", "iot:Data-ATS"), &reply,
			    err);
	if (status == IOT_OK)
		run->endpoint = iot_strdup(iot_json_str(reply, "endpointAddress", "localhost"));
	return status;
}

/* What was asked for, in place of the account's. */
static void take_endpoint(struct provision *run)
{
	if (run->spec->endpoint != NULL) {
		free(run->endpoint);
		run->endpoint = iot_strdup(run->spec->endpoint);
	}
	if (run->spec->endpoint_port > 0) {
		free(run->port);
		run->port = iot_strf("%d", run->spec->endpoint_port);
	}
}

enum iot_status provision_look(struct provision *run, struct iot_error *err)
{
	enum iot_status status = check_policies(run, err);

	if (status == IOT_OK && provision_at_aws(run)) {
		status = provision_aws_look(run, err);
		take_endpoint(run);
		return status;
	}
	if (status == IOT_OK)
		status = read_endpoint(run, err);
	if (status == IOT_OK)
		status = read_port(run, err);
	return status == IOT_OK ? read_root(run, err) : status;
}

/* --- the certificate -------------------------------------------------------------- */

static enum iot_status untrusted(struct provision *run, struct iot_error *err)
{
	iot_fail(err, IOT_VERIFY, "no trusted CA issued the certificate of '%s' (issuer '%.160s')", run->thing,
		 iot_cert_issuer(run->cert));
	iot_error_hint(err, "trust the module vendor's CA first: 'iotctl ca trust vendor.pem'");
	return IOT_VERIFY;
}

static enum iot_status issued_by(json_t *item, void *data, struct iot_error *err)
{
	struct provision *run = data;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	const json_t *description;
	const char *pem;
	enum iot_status status =
		fleet_call(run->cloud, "DescribeCACertificate",
			   json_pack("{s:s}", "certificateId", iot_json_str(item, "certificateId", "")), &reply, err);

	if (status != IOT_OK)
		return status;
	description = json_object_get(reply, "certificateDescription");
	pem = iot_json_str(description, "certificatePem", "");
	if (strcmp(iot_json_str(description, "status", ""), "ACTIVE") != 0 ||
	    iot_cert_parse_pem(pem, strlen(pem), "CA", &ca, &ignored) != IOT_OK)
		return IOT_OK;
	/* Any other status ends the walk: found. */
	return iot_cert_verify_issued_by(run->cert, ca, &ignored) == IOT_OK ? IOT_CONFLICT : IOT_OK;
}

static enum iot_status registered_status(struct provision *run, json_t **ret, struct iot_error *err)
{
	enum iot_status status = fleet_call(run->cloud, "DescribeCertificate",
					    json_pack("{s:s}", "certificateId", iot_cert_id(run->cert)), ret, err);

	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	return status;
}

enum iot_status provision_check_certificate(struct provision *run, struct iot_error *err)
{
	IOT_JSON known = NULL;
	enum iot_status status = registered_status(run, &known, err);

	if (status != IOT_OK || known != NULL || iot_cert_is_self_issued(run->cert))
		return status;
	status = fleet_each(run->cloud, "ListCACertificates", NULL, "certificates", issued_by, run, err);
	if (status == IOT_CONFLICT)
		return IOT_OK;
	return status == IOT_OK ? untrusted(run, err) : status;
}

static enum iot_status register_new(struct provision *run, struct iot_error *err)
{
	/* What was issued here needs no registered CA either; and the account's CA was checked here, as AWS would. */
	bool without_ca = provision_at_aws(run) || iot_cert_is_self_issued(run->cert) ||
			  run->description->key != IOT_BOARD_KEY_FACTORY;
	const char *operation = without_ca ? "RegisterCertificateWithoutCA" : "RegisterCertificate";
	enum iot_status status = fleet_call(
		run->cloud, operation,
		json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&run->cert_pem), "status", "ACTIVE"), NULL, err);

	if (status == IOT_OK) {
		run->changed = true;
		return IOT_OK;
	}
	if (!fleet_exists(err))
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status ensure_registered(struct provision *run, struct iot_error *err)
{
	IOT_JSON known = NULL;
	const char *now;
	enum iot_status status = registered_status(run, &known, err);

	if (status == IOT_OK && known == NULL)
		status = register_new(run, err);
	now = iot_json_str(json_object_get(known, "certificateDescription"), "status", "ACTIVE");
	if (status == IOT_OK && strcmp(now, "ACTIVE") != 0) {
		iot_fail(err, IOT_CONFLICT, "the certificate of '%s' is registered, but %s", run->thing, now);
		iot_error_hint(err, "somebody switched it off; 'iotctl device enable %s' lets it in again", run->thing);
		return IOT_CONFLICT;
	}
	return status == IOT_OK ? note_key_origin(run, err) : status;
}

/* One step, so that no certificate is ever registered without a device. */
enum iot_status provision_register(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(run->cloud, "cert", iot_cert_id(run->cert));
	enum iot_status status = fleet_begin(run->cloud, err);

	if (status != IOT_OK)
		return status;
	status = ensure_registered(run, err);
	if (status == IOT_OK)
		status = fleet_attach(run->cloud, run->thing, NULL, arn, false, &run->changed, err);
	return fleet_end(run->cloud, status, err);
}

/* The fleet whose CA issues; NULL: AWS does. */
static struct iot_cloud *issuing_fleet(const struct provision *run)
{
	return is_local(run) ? run->cloud : run->spec->aws_issues ? NULL : run->spec->fleet;
}

enum iot_status provision_issue(struct provision *run, struct iot_cert **ret, struct iot_error *err)
{
	const struct iot_cert_request request = {
		.profile = IOT_PROFILE_DEVICE, .common_name = run->thing, .key = run->key};
	struct iot_cloud *fleet = issuing_fleet(run);

	return fleet != NULL ? iot_local_issue(fleet, &request, 0, ret, err) : provision_aws_issue(run, ret, err);
}

bool provision_issued_here(struct provision *run, const struct iot_cert *cert)
{
	struct iot_cloud *fleet = issuing_fleet(run);
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	const char *name = NULL;

	/* At AWS what is registered is good, whoever has issued it. */
	if (provision_at_aws(run) && provision_aws_knows(run, cert))
		return true;
	if (fleet == NULL)
		return false;
	path = iot_path(iot_local_paths(fleet)->ca_dir, "issuing.pem");
	return iot_cert_load(path, &ca, &ignored) == IOT_OK &&
	       iot_cert_verify_issued_by(cert, ca, &ignored) == IOT_OK &&
	       iot_cert_common_name(cert, &name, &ignored) == IOT_OK && strcmp(name, run->thing) == 0 &&
	       iot_cert_not_after(cert) > iot_now_ms();
}

enum iot_status provision_drop_replaced(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	enum iot_status status;

	if (run->entry.replaces == NULL)
		return IOT_OK;
	if (provision_psk_of(run->entry.replaces) != NULL)
		return provision_revoke(run, provision_psk_of(run->entry.replaces), err);
	arn = fleet_arn(run->cloud, "cert", run->entry.replaces);
	status = fleet_begin(run->cloud, err);
	if (status != IOT_OK)
		return status;
	status = fleet_drop_certificate(run->cloud, run->entry.replaces_thing, arn, err);
	if (status != IOT_OK && fleet_missing(err)) { /* it was never registered, or somebody has deleted it */
		iot_error_clear(err);
		status = IOT_OK;
	}
	return fleet_end(run->cloud, status, err);
}

/* --- the thing ----------------------------------------------------------------------- */

static enum iot_status other_certificate(json_t *item, void *data, struct iot_error *err)
{
	struct provision *run = data;
	const char *id = fleet_arn_name(json_string_value(item));
	bool replaced = run->entry.replaces != NULL && strcmp(id, run->entry.replaces) == 0;
	bool own = run->cert != NULL && strcmp(id, iot_cert_id(run->cert)) == 0;

	(void)err;
	return own || replaced ? IOT_OK : IOT_CONFLICT;
}

const char *provision_alias(const struct provision *run)
{
	return run->description->ops->capabilities & IOT_BOARD_NAMED_BY_UID ? run->spec->name : NULL;
}

/* A thing of this name that another key speaks for is another device, whatever it calls itself. */
static enum iot_status check_principals(struct provision *run, struct iot_error *err)
{
	enum iot_status status =
		fleet_each(run->cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", run->thing), "principals",
			   other_certificate, run, err);

	if (status == IOT_OK || run->spec->replace) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_CONFLICT)
		return status;
	iot_fail(err, IOT_CONFLICT, "device '%s' exists with another certificate", run->thing);
	iot_error_hint(err, provision_has_psk(run) ? "find out whose it is; --replace gives it a secret besides"
						   : "find out whose it is; --replace attaches this one besides");
	return IOT_CONFLICT;
}

/* *ret NULL: there is none. */
static enum iot_status find_thing(struct provision *run, json_t **ret, struct iot_error *err)
{
	enum iot_status status =
		fleet_call(run->cloud, "DescribeThing", json_pack("{s:s}", "thingName", run->thing), ret, err);

	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

/* What it is called, also where this run did not say; and that it is a board, for who pushes updates to it. */
static enum iot_status complete_thing(struct provision *run, const json_t *before, struct iot_error *err)
{
	const json_t *attributes = json_object_get(before, "attributes");

	run->names = json_object();
	iot_json_set_str(run->names, "alias",
			 provision_alias(run) != NULL ? provision_alias(run) : iot_json_str(attributes, "alias", NULL));
	iot_json_set_str(run->names, "serialNumber",
			 run->spec->serial_number != NULL ? run->spec->serial_number
							  : iot_json_str(attributes, "serialNumber", NULL));
	if (before == NULL ||
	    strcmp(iot_json_str(attributes, FLEET_BOARD_ATTRIBUTE, ""), run->description->ops->name) == 0)
		return IOT_OK;
	run->changed = true;
	return fleet_call(run->cloud, "UpdateThing",
			  json_pack("{s:s, s:{s:{s:s}, s:b}}", "thingName", run->thing, "attributePayload",
				    "attributes", FLEET_BOARD_ATTRIBUTE, run->description->ops->name, "merge", 1),
			  NULL, err);
}

enum iot_status provision_thing(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	IOT_CLEAN(iot_free_p) char *board = iot_strf(FLEET_BOARD_ATTRIBUTE "=%s", run->description->ops->name);
	IOT_CLEAN(iot_free_p)
	char *serial = spec->serial_number != NULL ? iot_strf("serialNumber=%s", spec->serial_number) : NULL;
	const char *attributes[] = {serial, NULL, NULL};
	struct iot_device_spec device = {
		.name = run->thing,
		.alias = provision_alias(run),
		.type = spec->type,
		.groups = spec->groups,
		.attributes = attributes,
		.update = spec->replace,
	};
	IOT_JSON before = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = check_principals(run, err);

	if (status == IOT_OK && provision_has_psk(run))
		status = provision_check_secrets(run, err);
	if (status == IOT_OK)
		status = find_thing(run, &before, err);
	if (before == NULL)
		attributes[serial != NULL] = board;
	if (status == IOT_OK)
		status = iot_device_create(run->cloud, &device, &record, err);
	if (status == IOT_CONFLICT && err != NULL && strncmp(err->hint, "--update", 8) == 0) {
		err->hint[0] = '\0';
		iot_error_hint(err, "--replace changes it");
	}
	run->changed = run->changed || iot_json_bool(record, "changed", false);
	return status == IOT_OK ? complete_thing(run, before, err) : status;
}

enum iot_status provision_policy(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(run->cloud, "cert", iot_cert_id(run->cert));

	enum iot_status status = fleet_begin(run->cloud, err);

	if (status != IOT_OK)
		return status;
	status = fleet_attach(run->cloud, run->thing, run->policies, arn, false, &run->changed, err);
	return fleet_end(run->cloud, status, err);
}
