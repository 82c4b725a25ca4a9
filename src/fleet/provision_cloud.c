/*
 * The cloud's half of provisioning: the birth certificate of a board is
 * registered as it is, the thing is named as the board, and both are joined.
 */
#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/local.h"

#include <string.h>

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

enum iot_status provision_register(struct provision *run, struct iot_error *err)
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
	if (status == IOT_OK && strcmp(iot_cloud_kind(run->cloud), "local") == 0)
		status = iot_local_key_origin(run->cloud, iot_cert_id(run->cert), "board", err);
	return status;
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

enum iot_status provision_thing(struct provision *run, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	IOT_CLEAN(iot_free_p)
	char *serial = spec->serial_number != NULL ? iot_strf("serialNumber=%s", spec->serial_number) : NULL;
	const char *attributes[] = {serial, NULL};
	const struct iot_device_spec device = {
		.name = run->identity.uid,
		.alias = spec->alias,
		.type = spec->type,
		.groups = spec->groups,
		.attributes = attributes,
		.update = spec->replace,
	};
	IOT_JSON record = NULL;
	enum iot_status status = check_principals(run, err);

	if (status == IOT_OK)
		status = iot_device_create(run->cloud, &device, &record, err);
	if (status == IOT_CONFLICT && err != NULL && strncmp(err->hint, "--update", 8) == 0) {
		err->hint[0] = '\0';
		iot_error_hint(err, "--replace changes it");
	}
	run->changed = run->changed || iot_json_bool(record, "changed", false);
	return status;
}

enum iot_status provision_policy(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(run->cloud, "cert", iot_cert_id(run->cert));

	return fleet_attach(run->cloud, run->identity.uid, run->policies, arn, &run->changed, err);
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
