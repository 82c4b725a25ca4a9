/*
 * Renewing a device's certificate without ever locking it out: the new one is
 * made beside the old one, both are valid until the device has been seen with
 * the new one, and only then is the old one deleted.
 */
#include "fleet/fleet_private.h"
#include "fleet/lifecycle.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"

#include <string.h>

/* What is to be known of a device's certificates to renew them. */
struct held {
	json_t *arns;       /* all of them */
	json_t *policies;   /* names of those of active ones, as an object */
	const char *newest; /* ARN, in `arns`; NULL: there is none */
	double created;     /* when, seconds */
	size_t active;
};

static void held_release(struct held *held)
{
	json_decref(held->arns);
	json_decref(held->policies);
}

static enum iot_status add_policies(struct iot_cloud *cloud, const char *arn, json_t *names, struct iot_error *err)
{
	IOT_JSON policies = NULL;
	json_t *policy;
	size_t i;
	enum iot_status status = fleet_collect(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn),
					       "policies", &policies, err);

	json_array_foreach(policies, i, policy)
		iot_json_set_bool(names, iot_json_str(policy, "policyName", ""), true);
	return status;
}

static enum iot_status look_at(struct iot_cloud *cloud, const char *arn, struct held *held, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const json_t *description;
	double created;
	enum iot_status status = fleet_call(cloud, "DescribeCertificate",
					    json_pack("{s:s}", "certificateId", fleet_arn_name(arn)), &reply, err);

	if (status != IOT_OK)
		return status;
	description = json_object_get(reply, "certificateDescription");
	created = json_number_value(json_object_get(description, "creationDate"));
	if (held->newest == NULL || created >= held->created) {
		held->newest = arn;
		held->created = created;
	}
	if (strcmp(iot_json_str(description, "status", ""), "ACTIVE") != 0)
		return IOT_OK;
	held->active++;
	return add_policies(cloud, arn, held->policies, err);
}

static enum iot_status look(struct iot_cloud *cloud, const char *thing, struct held *ret, struct iot_error *err)
{
	json_t *arn;
	size_t i;
	enum iot_status status;

	*ret = (struct held){.policies = json_object()};
	status = fleet_collect(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing), "principals",
			       &ret->arns, err);
	json_array_foreach(ret->arns, i, arn) {
		if (status == IOT_OK)
			status = look_at(cloud, json_string_value(arn), ret, err);
	}
	return status;
}

/* --- begin --------------------------------------------------------------------------- */

static enum iot_status make_second(struct iot_cloud *cloud, const struct iot_rotate_spec *spec, const char *thing,
				   const struct held *held, json_t **ret_record, struct iot_error *err)
{
	size_t count = 0;
	IOT_CLEAN(iot_free_p)
	const char **names = iot_alloc_array(json_object_size(held->policies) + 1, sizeof(*names));
	const struct iot_device_spec device = {
		.name = thing, .policies = names, .csr = spec->csr, .out = spec->out, .days = spec->days};
	const char *name;
	json_t *value;

	json_object_foreach(held->policies, name, value)
		names[count++] = name;
	names[count] = NULL;
	return iot_device_create(cloud, &device, ret_record, err);
}

enum iot_status iot_device_rotate(struct iot_cloud *cloud, const struct iot_rotate_spec *spec, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON record = NULL;
	struct held held = {0};
	enum iot_status status = iot_fleet_resolve(cloud, spec->device, &thing, err);

	if (status == IOT_OK)
		status = look(cloud, thing, &held, err);
	if (status == IOT_OK && held.active == 0) {
		status = iot_fail(err, IOT_CONFLICT, "device '%s' has no active certificate to renew", spec->device);
		iot_error_hint(err,
			       "'iotctl device create' makes its first one, 'device enable' switches one on again");
	}
	if (status == IOT_OK)
		status = make_second(cloud, spec, thing, &held, &record, err);
	if (status == IOT_OK && json_array_size(held.arns) == 1 && !iot_json_bool(record, "changed", false)) {
		status = iot_fail(err, IOT_CONFLICT, "folder '%s' holds the certificate that device '%s' has now",
				  spec->out, spec->device);
		iot_error_hint(err, "name a new folder with --out");
	}
	if (status == IOT_OK)
		*ret_record = iot_take(record);
	held_release(&held);
	return status;
}

/* --- finish -------------------------------------------------------------------------- */

enum { WATCH_MS = 60000, HEAR_MS = 500 };

static enum iot_status not_used(const char *thing, const char *id, struct iot_error *err)
{
	iot_fail(err, IOT_VERIFY, "device '%s' has not connected with its new certificate '%.16s...'", thing, id);
	iot_error_hint(err, "start it with the new key and certificate first; --force deletes the old ones unproved");
	return IOT_VERIFY;
}

/* AWS names the certificate when a device connects, and never again: so it is made to connect again. */
static enum iot_status await_use(struct iot_cloud *cloud, const struct iot_rotate_finish *spec, const char *thing,
				 const char *id, struct iot_error *err)
{
	int64_t deadline = iot_deadline(spec->timeout_ms > 0 ? spec->timeout_ms : WATCH_MS);
	struct iot_error ignored = IOT_ERROR_INIT;
	struct lifecycle *lifecycle = NULL;
	struct lifecycle_state seen = {0};
	enum iot_status status;

	if (spec->watch == NULL) {
		iot_fail(err, IOT_VERIFY, "AWS tells only an operator with a certificate what '%s' connects with",
			 thing);
		iot_error_hint(err,
			       "name the operator's profile with --profile; --force deletes the old ones unproved");
		return IOT_VERIFY;
	}
	status = lifecycle_open(spec->watch, thing, &lifecycle, err);
	if (status != IOT_OK)
		return status;
	if (fleet_call(cloud, "iotdata:DeleteConnection", json_pack("{s:s}", "clientId", thing), NULL, &ignored) !=
	    IOT_OK)
		iot_notice("'%s' is not connected, or its connection may not be ended: it has to connect by itself",
			   thing);
	while (status == IOT_OK && !(seen.connected && strcmp(seen.certificate_id, id) == 0) &&
	       iot_left(deadline) > 0) {
		int left = iot_left(deadline);

		status = lifecycle_hear(lifecycle, left < HEAR_MS ? left : HEAR_MS, &seen, err);
	}
	lifecycle_free(lifecycle);
	if (status == IOT_OK && !(seen.connected && strcmp(seen.certificate_id, id) == 0))
		status = not_used(thing, id, err);
	return status;
}

/* Has the device connected with this certificate last? A cloud that does not know proves nothing. */
static enum iot_status check_used(struct iot_cloud *cloud, const char *thing, const char *id, struct iot_error *err)
{
	IOT_JSON state = NULL;
	const char *used;
	enum iot_status status =
		fleet_call(cloud, "GetDeviceState", json_pack("{s:s}", "thingName", thing), &state, err);

	if (status != IOT_OK)
		return status;
	used = iot_json_str(json_object_get(state, "connection"), "certificateId", "");
	return strcmp(used, id) == 0 ? IOT_OK : not_used(thing, id, err);
}

static enum iot_status drop_others(struct iot_cloud *cloud, const char *thing, const struct held *held,
				   struct iot_error *err)
{
	json_t *arn;
	size_t i;
	enum iot_status status = fleet_begin(cloud, err);

	if (status != IOT_OK)
		return status;
	json_array_foreach(held->arns, i, arn) {
		if (status == IOT_OK && strcmp(json_string_value(arn), held->newest) != 0)
			status = fleet_drop_certificate(cloud, thing, json_string_value(arn), err);
	}
	return fleet_end(cloud, status, err);
}

static enum iot_status prove(struct iot_cloud *cloud, const struct iot_rotate_finish *spec, const char *thing,
			     const char *id, struct iot_error *err)
{
	if (spec->force)
		return IOT_OK;
	return fleet_is_local(cloud) || fleet_is_remote(cloud) ? check_used(cloud, thing, id, err)
							       : await_use(cloud, spec, thing, id, err);
}

enum iot_status iot_device_rotate_finish(struct iot_cloud *cloud, const struct iot_rotate_finish *spec,
					 json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	struct held held = {0};
	size_t others = 0;
	enum iot_status status = iot_fleet_resolve(cloud, spec->device, &thing, err);

	if (status == IOT_OK)
		status = look(cloud, thing, &held, err);
	if (status == IOT_OK && held.newest == NULL)
		status = iot_fail(err, IOT_CONFLICT, "device '%s' has no certificate", spec->device);
	if (status == IOT_OK) {
		others = json_array_size(held.arns) - 1;
		if (others > 0)
			status = prove(cloud, spec, thing, fleet_arn_name(held.newest), err);
		if (status == IOT_OK && others > 0)
			status = drop_others(cloud, thing, &held, err);
	}
	if (status == IOT_OK)
		*ret_record =
			json_pack("{s:s, s:s, s:I, s:b}", "thingName", thing, "certificateId",
				  fleet_arn_name(held.newest), "deleted", (json_int_t)others, "changed", others > 0);
	held_release(&held);
	return status;
}
