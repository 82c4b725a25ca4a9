/*
 * Provisioning into AWS: what is done otherwise there. AWS has no transactions, so
 * names are reserved by creating the thing before the board is touched, with this
 * station's journal in an attribute: CreateThing is carried out once for a name, and
 * whoever asks again with other attributes is refused. Everything after that can be
 * repeated. Whether a board came is told by lifecycle events, when an operator's
 * certificate is at hand (they name the certificate), else by the fleet index, else not at all.
 */
#include "fleet/create_private.h"
#include "fleet/lifecycle.h"
#include "fleet/provision_private.h"

#include "iotctl/aws.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <string.h>

/* Thing attribute: "JOURNAL:BOARD" of the station that makes the device. */
#define RESERVATION "reservation"

enum {
	TRIES = 5,                  /* somebody else may change the thing between look and change */
	ATTRIBUTES_WITHOUT_TYPE = 3 /* AWS IoT Core quotas: attributes of a thing that has no type */
};

bool provision_at_aws(const struct provision *run)
{
	return !fleet_is_local(run->cloud);
}

/* --- what boards are told ------------------------------------------------------------- */

enum iot_status provision_aws_look(struct provision *run, struct iot_error *err)
{
	struct fleet_surroundings surroundings;
	enum iot_status status = fleet_surroundings(run->cloud, &surroundings, err);

	if (status != IOT_OK)
		return status;
	run->endpoint = run->spec->endpoint != NULL ? iot_strdup(run->spec->endpoint) : iot_take(surroundings.endpoint);
	run->port = iot_strf("%lld",
			     (long long)(run->spec->endpoint_port > 0 ? run->spec->endpoint_port : surroundings.port));
	if (run->spec->root_ca != NULL)
		status = iot_fs_read(run->spec->root_ca, &run->root_ca, err);
	else
		iot_buf_add(&run->root_ca, surroundings.ca.data, surroundings.ca.len);
	fleet_surroundings_release(&surroundings);
	if (status != IOT_OK || run->root_ca.len > 0 || !(run->description->install & 1U << IOT_ITEM_ROOT_CA))
		return status;
	iot_fail(err, IOT_SETTINGS, "Amazon's root certificate is not on this machine");
	iot_error_hint(err, "install the package ca-certificates, or name a PEM file with the setting aws-root-ca");
	return IOT_SETTINGS;
}

enum iot_status provision_aws_codesign(struct provision *run, struct iot_error *err)
{
	const char *name = run->spec->codesign;

	if (run->spec->fleet != NULL)
		return iot_codesign_certificate(run->spec->fleet, name, &run->codesign, err);
	if (name != NULL && strchr(name, '/') != NULL)
		return iot_fs_read(name, &run->codesign, err);
	if (name == NULL) /* the board keeps the one that it has */
		return IOT_OK;
	iot_fail(err, IOT_NOT_FOUND, "there is no fleet directory with code-signing key '%.70s'", name);
	iot_error_hint(err, "name one with --fleet, or the PEM file of a certificate, as ./signer.pem");
	return IOT_NOT_FOUND;
}

/* --- the reservation ------------------------------------------------------------------- */

struct taken {
	const struct provision *run;
	const char *other; /* thing that has it; owned */
};

static enum iot_status note_other(json_t *thing, void *data, struct iot_error *err)
{
	struct taken *taken = data;
	const char *name = iot_json_str(thing, "thingName", "");

	(void)err;
	if (strcmp(name, taken->run->thing) == 0)
		return IOT_OK;
	taken->other = iot_strdup(name);
	return IOT_CONFLICT; /* ends the walk */
}

/* AWS does not keep attributes unique: this finds what is there, not who comes at the same moment. */
static enum iot_status check_unique(const struct provision *run, const char *attribute, const char *value,
				    const char *what, struct iot_error *err)
{
	struct taken taken = {run, NULL};
	enum iot_status status;

	if (value == NULL)
		return IOT_OK;
	status = fleet_each(run->cloud, "ListThings",
			    json_pack("{s:s, s:s}", "attributeName", attribute, "attributeValue", value), "things",
			    note_other, &taken, err);
	if (taken.other != NULL)
		status = iot_fail(err, IOT_CONFLICT, "the %s '%s' belongs to device '%s' already", what, value,
				  taken.other);
	free((void *)(uintptr_t)taken.other);
	return status;
}

static enum iot_status create_reserved(struct provision *run, const char *ours, bool *ret_again, struct iot_error *err)
{
	const struct iot_provision_spec *spec = run->spec;
	const char *alias = provision_alias(run);
	json_t *attributes =
		json_pack("{s:s, s:s}", RESERVATION, ours, FLEET_BOARD_ATTRIBUTE, run->description->ops->name);
	json_t *request;
	enum iot_status status = IOT_OK;

	iot_json_set_str(attributes, "alias", alias);
	iot_json_set_str(attributes, "serialNumber", spec->serial_number);
	request = json_pack("{s:s, s:{s:o}}", "thingName", run->thing, "attributePayload", "attributes", attributes);
	iot_json_set_str(request, "thingTypeName", spec->type);
	if (spec->type == NULL && json_object_size(attributes) > ATTRIBUTES_WITHOUT_TYPE) {
		status = iot_fail(err, IOT_USAGE, "AWS keeps %d attributes of a device without a thing type",
				  ATTRIBUTES_WITHOUT_TYPE);
		iot_error_hint(err, "name a type with --type");
	} else {
		status = fleet_ensure_type(run->cloud, spec->type, &run->changed, err);
	}
	if (status != IOT_OK) {
		json_decref(request);
		return status;
	}
	status = fleet_call(run->cloud, "CreateThing", request, NULL, err);
	*ret_again = status != IOT_OK && fleet_exists(err); /* somebody was faster */
	run->changed = run->changed || status == IOT_OK;
	return status;
}

/* Does the board's own certificate speak for the thing already? Then another station has made it. */
static enum iot_status same_board(json_t *arn, void *data, struct iot_error *err)
{
	const struct provision *run = data;

	(void)err;
	return run->cert != NULL && strcmp(fleet_arn_name(json_string_value(arn)), iot_cert_id(run->cert)) == 0
		       ? IOT_CONFLICT
		       : IOT_OK;
}

static enum iot_status reserved_by_other(struct provision *run, struct iot_error *err)
{
	enum iot_status status =
		fleet_each(run->cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", run->thing), "principals",
			   same_board, run, err);

	if (status == IOT_CONFLICT) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	iot_fail(err, IOT_CONFLICT, "device '%s' is reserved by another station", run->thing);
	iot_error_hint(err, "it was begun there; --replace takes it over");
	return IOT_CONFLICT;
}

/* A thing that was made without a reservation, or whose is taken over: ours, if nobody has changed it meanwhile. */
static enum iot_status mark_reserved(struct provision *run, const json_t *thing, const char *ours, bool *ret_again,
				     struct iot_error *err)
{
	enum iot_status status = fleet_call(run->cloud, "UpdateThing",
					    json_pack("{s:s, s:{s:{s:s}, s:b}, s:I}", "thingName", run->thing,
						      "attributePayload", "attributes", RESERVATION, ours, "merge", 1,
						      "expectedVersion", (json_int_t)iot_json_int(thing, "version", 0)),
					    NULL, err);

	*ret_again = status != IOT_OK && strcmp(err->code, "VersionConflictException") == 0;
	run->changed = run->changed || status == IOT_OK;
	return status;
}

static enum iot_status reserve_once(struct provision *run, const char *ours, bool *ret_again, struct iot_error *err)
{
	IOT_JSON thing = NULL;
	const char *holder;
	enum iot_status status =
		fleet_call(run->cloud, "DescribeThing", json_pack("{s:s}", "thingName", run->thing), &thing, err);

	*ret_again = false;
	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return create_reserved(run, ours, ret_again, err);
	}
	if (status != IOT_OK)
		return status;
	holder = iot_json_str(json_object_get(thing, "attributes"), RESERVATION, NULL);
	if (holder != NULL && strcmp(holder, ours) == 0)
		return IOT_OK;
	if (holder != NULL && !run->spec->replace)
		return reserved_by_other(run, err);
	return mark_reserved(run, thing, ours, ret_again, err);
}

enum iot_status provision_aws_reserve(struct provision *run, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *journal = NULL;
	IOT_CLEAN(iot_free_p) char *ours = NULL;
	bool again = false;
	enum iot_status status = journal_name(run->journal, &journal, err);

	if (status == IOT_OK)
		status = check_unique(run, "alias", provision_alias(run), "name", err);
	if (status == IOT_OK)
		status = check_unique(run, "serialNumber", run->spec->serial_number, "serial number", err);
	if (status != IOT_OK)
		return status;
	ours = iot_strf("%s:%lld", journal, (long long)run->entry.id);
	for (int tries = 1;; tries++) {
		status = reserve_once(run, ours, &again, err);
		if (status == IOT_OK || !again || tries == TRIES)
			return status;
		iot_error_clear(err);
	}
}

/* --- the certificate -------------------------------------------------------------------- */

/* Of the key that is here, or the board's own. */
static enum iot_status make_request(struct provision *run, struct iot_buf *csr, struct iot_error *err)
{
	return iot_key_has_private(run->key) ? iot_csr_create(run->key, run->thing, csr, err)
					     : iot_board_make_key(run->board, run->thing, true, csr, err);
}

enum iot_status provision_aws_issue(struct provision *run, struct iot_cert **ret, struct iot_error *err)
{
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_JSON reply = NULL;
	const char *pem;
	enum iot_status status = IOT_OK;

	/* A run that was killed may have had one made. */
	if (run->entry.key_id != NULL)
		status = iot_aws_find_certificate(run->cloud, run->key, run->entry.began_ms, &reply, err);
	if (status == IOT_OK && reply == NULL) {
		status = make_request(run, &csr, err);
		if (status == IOT_OK)
			status = fleet_aws_sign(run->cloud, &csr, &reply, err);
	}
	iot_buf_release(&csr);
	if (status != IOT_OK)
		return status;
	pem = iot_json_str(reply, "certificatePem", "");
	status = iot_cert_parse_pem(pem, strlen(pem), "the certificate that AWS made", ret, err);
	if (status == IOT_OK && !iot_key_equal(iot_cert_key(*ret), run->key)) {
		iot_cert_free(iot_take(*ret));
		return iot_fail(err, IOT_VERIFY, "AWS made a certificate for another key");
	}
	return status;
}

bool provision_aws_knows(struct provision *run, const struct iot_cert *cert)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	return iot_cert_not_after(cert) > iot_now_ms() &&
	       fleet_call(run->cloud, "DescribeCertificate", json_pack("{s:s}", "certificateId", iot_cert_id(cert)),
			  NULL, &ignored) == IOT_OK;
}

/* --- who is connected ---------------------------------------------------------------------- */

/* Before the board is told to connect, since events are told once. Without them the index is asked. */
void provision_aws_listen(struct provision *run)
{
	struct iot_error fault = IOT_ERROR_INIT;
	char line[1024];

	if (run->listened || run->spec->watch == NULL || !provision_at_aws(run))
		return;
	run->listened = true;
	if (lifecycle_open(run->spec->watch, run->thing, &run->lifecycle, &fault) != IOT_OK)
		iot_notice("AWS's lifecycle events cannot be heard, so the fleet index is asked: %s",
			   iot_error_line(&fault, line, sizeof(line)));
}
