/*
 * The cloud's half of provisioning: the birth certificate of a board is
 * registered as it is, the thing is named as the board, and both are joined.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
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
	return is_local(run) ? iot_local_paths(run->cloud)->dir : iot_cloud_arn_prefix(run->cloud);
}

/* What boards check the broker with. */
static enum iot_status read_root(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(iot_local_paths(run->cloud)->ca_dir, "root.pem");

	return iot_fs_read(path, &run->root_ca, err);
}

/* Boards know one port. */
static enum iot_status check_port(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *port = NULL;
	enum iot_status status = iot_local_meta_get(run->cloud, "port", &port, err);

	if (status == IOT_OK && port != NULL && strcmp(port, "8883") != 0)
		iot_info("boards connect to port 8883, this fleet's is %s", port);
	return status;
}

/* The registry tells where a key was made, where it can. */
static enum iot_status note_key_origin(struct provision *run, struct iot_error *err)
{
	return is_local(run) ? iot_local_key_origin(run->cloud, iot_cert_id(run->cert), "board", err) : IOT_OK;
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
	enum iot_status status = fleet_call(run->cloud, "DescribeEndpoint",
					    json_pack("{s:s}", "endpointType", "iot:Data-ATS"), &reply, err);

	if (status == IOT_OK)
		run->endpoint = iot_strdup(iot_json_str(reply, "endpointAddress", "localhost"));
	return status;
}

enum iot_status provision_look(struct provision *run, struct iot_error *err)
{
	enum iot_status status = check_policies(run, err);

	if (status == IOT_OK)
		status = read_endpoint(run, err);
	if (status == IOT_OK)
		status = check_port(run, err);
	return status == IOT_OK ? read_root(run, err) : status;
}

/* --- the certificate -------------------------------------------------------------- */

static enum iot_status untrusted(struct provision *run, struct iot_error *err)
{
	iot_fail(err, IOT_VERIFY, "no trusted CA issued the certificate of '%s' (issuer '%.160s')", run->identity.uid,
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
	const char *operation =
		iot_cert_is_self_issued(run->cert) ? "RegisterCertificateWithoutCA" : "RegisterCertificate";
	enum iot_status status = fleet_call(
		run->cloud, operation,
		json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&run->identity.certificate), "status", "ACTIVE"),
		NULL, err);

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
		iot_fail(err, IOT_CONFLICT, "the certificate of '%s' is registered, but %s", run->identity.uid, now);
		iot_error_hint(err, "somebody switched it off; 'iotctl device enable %s' lets it in again",
			       run->identity.uid);
		return IOT_CONFLICT;
	}
	return status == IOT_OK ? note_key_origin(run, err) : status;
}

enum iot_status provision_register(struct provision *run, struct iot_error *err)
{
	enum iot_status status = fleet_begin(run->cloud, err);

	return status == IOT_OK ? fleet_end(run->cloud, ensure_registered(run, err), err) : status;
}

/* --- the thing ----------------------------------------------------------------------- */

static enum iot_status other_certificate(json_t *item, void *data, struct iot_error *err)
{
	struct provision *run = data;

	(void)err;
	return strcmp(fleet_arn_name(json_string_value(item)), iot_cert_id(run->cert)) != 0 ? IOT_CONFLICT : IOT_OK;
}

/* A thing of this name that another key speaks for is another device, whatever it calls itself. */
static enum iot_status check_principals(struct provision *run, struct iot_error *err)
{
	enum iot_status status =
		fleet_each(run->cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", run->identity.uid),
			   "principals", other_certificate, run, err);

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
	iot_fail(err, IOT_CONFLICT, "device '%s' exists with another certificate", run->identity.uid);
	iot_error_hint(err, "find out whose it is; --replace attaches this one besides");
	return IOT_CONFLICT;
}

/* *ret NULL: there is none. */
static enum iot_status find_thing(struct provision *run, json_t **ret, struct iot_error *err)
{
	enum iot_status status =
		fleet_call(run->cloud, "DescribeThing", json_pack("{s:s}", "thingName", run->identity.uid), ret, err);

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
			 run->spec->alias != NULL ? run->spec->alias : iot_json_str(attributes, "alias", NULL));
	iot_json_set_str(run->names, "serialNumber",
			 run->spec->serial_number != NULL ? run->spec->serial_number
							  : iot_json_str(attributes, "serialNumber", NULL));
	if (before == NULL || strcmp(iot_json_str(attributes, FLEET_BOARD_ATTRIBUTE, ""), run->spec->board) == 0)
		return IOT_OK;
	run->changed = true;
	return fleet_call(run->cloud, "UpdateThing",
			  json_pack("{s:s, s:{s:{s:s}, s:b}}", "thingName", run->identity.uid, "attributePayload",
				    "attributes", FLEET_BOARD_ATTRIBUTE, run->spec->board, "merge", 1),
			  NULL, err);
}

enum iot_status provision_thing(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	IOT_CLEAN(iot_free_p) char *board = iot_strf(FLEET_BOARD_ATTRIBUTE "=%s", spec->board);
	IOT_CLEAN(iot_free_p)
	char *serial = spec->serial_number != NULL ? iot_strf("serialNumber=%s", spec->serial_number) : NULL;
	const char *attributes[] = {serial, NULL, NULL};
	struct iot_device_spec device = {
		.name = run->identity.uid,
		.alias = spec->alias,
		.type = spec->type,
		.groups = spec->groups,
		.attributes = attributes,
		.update = spec->replace,
	};
	IOT_JSON before = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = check_principals(run, err);

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
	status = fleet_attach(run->cloud, run->identity.uid, run->policies, arn, &run->changed, err);
	return fleet_end(run->cloud, status, err);
}

/* --- who is connected ------------------------------------------------------------------ */

enum iot_status provision_presence(struct provision *run, struct presence *ret, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	IOT_JSON state = NULL;
	const char *id;
	enum iot_status status = fleet_call(run->cloud, "GetThingConnectivityData",
					    json_pack("{s:s}", "thingName", run->identity.uid), &reply, err);

	*ret = (struct presence){0};
	if (status != IOT_OK)
		return status;
	ret->connected = iot_json_bool(reply, "connected", false);
	ret->since = fleet_time_ms(reply, "timestamp") / 1000;
	/* Only our own clouds tell with which certificate; elsewhere the thing's name has to do. */
	if (!ret->connected ||
	    fleet_call(run->cloud, "GetDeviceState", json_pack("{s:s}", "thingName", run->identity.uid), &state,
		       &ignored) != IOT_OK)
		return IOT_OK;
	id = iot_json_str(json_object_get(state, "connection"), "certificateId", NULL);
	ret->with_certificate = id != NULL;
	snprintf(ret->certificate_id, sizeof(ret->certificate_id), "%s", id != NULL ? id : "");
	return IOT_OK;
}
