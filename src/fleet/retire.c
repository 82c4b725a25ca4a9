/*
 * Retiring a device: everything that speaks for it or of it is taken away, in the
 * order in which the service accepts it. The calls are worked out first from what
 * there is, so that they can be shown, and so that a call that was cut short is
 * finished by the same call: what is gone is not planned again.
 *
 * A certificate that is detached could not be found again by way of the thing:
 * its id is written to the thing before, as attribute "retiring".
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <string.h>

#define MARK "retiring"
#define MARK_MAX 800 /* AWS: bytes of an attribute's value */

struct plan {
	struct iot_cloud *cloud;
	const char *thing;
	json_t *calls;        /* {operation, request} in order */
	json_t *certificates; /* ids to be deleted */
};

static void add_call(struct plan *plan, const char *operation, json_t *request)
{
	json_array_append_new(plan->calls, json_pack("{s:s, s:o}", "operation", operation, "request", request));
}

/* --- the plan ------------------------------------------------------------------------------ */

static enum iot_status plan_policy(json_t *policy, void *data, struct iot_error *err)
{
	const struct plan *plan = data;
	const json_t *id = json_array_get(plan->certificates, json_array_size(plan->certificates) - 1);
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(plan->cloud, "cert", json_string_value(id));

	(void)err;
	add_call(data, "DetachPolicy",
		 json_pack("{s:O, s:s}", "policyName", json_object_get(policy, "policyName"), "target", arn));
	return IOT_OK;
}

/* Off at once, then without rights. Deleted at the end, when it is detached. */
static enum iot_status plan_certificate(struct plan *plan, const char *id, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = fleet_arn(plan->cloud, "cert", id);
	IOT_JSON reply = NULL;
	enum iot_status status =
		fleet_call(plan->cloud, "DescribeCertificate", json_pack("{s:s}", "certificateId", id), &reply, err);

	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	json_array_append_new(plan->certificates, json_string(id));
	if (strcmp(iot_json_str(json_object_get(reply, "certificateDescription"), "status", ""), "ACTIVE") == 0)
		add_call(plan, "UpdateCertificate",
			 json_pack("{s:s, s:s}", "certificateId", id, "newStatus", "INACTIVE"));
	return fleet_each(plan->cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies",
			  plan_policy, plan, err);
}

/* One that another thing uses too is only detached. */
static enum iot_status plan_principal(struct plan *plan, const char *arn, json_t *detach, struct iot_error *err)
{
	IOT_JSON users = NULL;
	enum iot_status status = fleet_collect(plan->cloud, "ListPrincipalThings", json_pack("{s:s}", "principal", arn),
					       "things", &users, err);

	json_array_append_new(detach, json_string(arn));
	if (status != IOT_OK || json_array_size(users) > 1)
		return status;
	return plan_certificate(plan, fleet_arn_name(arn), err);
}

static enum iot_status plan_certificates(struct plan *plan, const json_t *thing, json_t *detach, struct iot_error *err)
{
	IOT_JSON principals = NULL;
	IOT_CLEAN(iot_free_p) char *marked = iot_strdup(iot_json_str(json_object_get(thing, "attributes"), MARK, ""));
	json_t *arn;
	size_t i;
	char *rest = NULL;
	enum iot_status status =
		fleet_collect(plan->cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", plan->thing),
			      "principals", &principals, err);

	json_array_foreach(principals, i, arn) {
		if (status == IOT_OK)
			status = plan_principal(plan, json_string_value(arn), detach, err);
	}
	for (char *id = strtok_r(marked, ":", &rest); status == IOT_OK && id != NULL; id = strtok_r(NULL, ":", &rest)) {
		bool known = false;

		json_array_foreach(plan->certificates, i, arn)
			known = known || strcmp(json_string_value(arn), id) == 0;
		if (!known && strlen(id) == 64)
			status = plan_certificate(plan, id, err);
	}
	return status;
}

/* Alone on the thing, for which AWS may have no room beside other attributes; the alias still finds it. */
static void plan_mark(struct plan *plan, const json_t *thing)
{
	const json_t *attributes = json_object_get(thing, "attributes");
	struct iot_buf mark = IOT_BUF_INIT(MARK_MAX);
	json_t *kept = json_object(), *id;
	size_t i;

	json_array_foreach(plan->certificates, i, id)
		iot_buf_addf(&mark, "%s%s", i > 0 ? ":" : "", json_string_value(id));
	if (mark.len > 0 && strcmp(iot_json_str(attributes, MARK, ""), iot_buf_str(&mark)) != 0) {
		iot_json_set_str(kept, "alias", iot_json_str(attributes, "alias", NULL));
		iot_json_set_str(kept, MARK, iot_buf_str(&mark));
		add_call(plan, "UpdateThing",
			 json_pack("{s:s, s:{s:O, s:b}}", "thingName", plan->thing, "attributePayload", "attributes",
				   kept, "merge", 0));
	}
	json_decref(kept);
	iot_buf_release(&mark);
}

/* At AWS shadows outlive their thing, and would be the next one's of that name. */
static enum iot_status plan_shadows(struct plan *plan, struct iot_error *err)
{
	IOT_JSON names = NULL;
	IOT_JSON request = json_pack("{s:s}", "thingName", plan->thing);
	struct iot_buf out = IOT_BUF_INIT((size_t)256 * 1024);
	struct iot_error classic = IOT_ERROR_INIT;
	json_t *name;
	size_t i;
	enum iot_status status = fleet_collect(plan->cloud, "iotdata:ListNamedShadowsForThing",
					       json_pack("{s:s}", "thingName", plan->thing), "results", &names, err);

	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		status = IOT_OK;
	}
	json_array_foreach(names, i, name)
		add_call(plan, "iotdata:DeleteThingShadow",
			 json_pack("{s:s, s:O}", "thingName", plan->thing, "shadowName", name));
	if (iot_cloud_call(plan->cloud, "iotdata:GetThingShadow", request, NULL, NULL, &out, &classic) == IOT_OK)
		add_call(plan, "iotdata:DeleteThingShadow", json_incref(request));
	iot_buf_release(&out);
	return status;
}

static enum iot_status plan_all(struct plan *plan, struct iot_error *err)
{
	IOT_JSON thing = NULL;
	IOT_JSON detach = json_array();
	json_t *item;
	size_t i;
	enum iot_status status =
		fleet_call(plan->cloud, "DescribeThing", json_pack("{s:s}", "thingName", plan->thing), &thing, err);

	if (status == IOT_OK)
		status = plan_certificates(plan, thing, detach, err);
	if (status != IOT_OK)
		return status;
	plan_mark(plan, thing);
	json_array_foreach(detach, i, item)
		add_call(plan, "DetachThingPrincipal",
			 json_pack("{s:s, s:O}", "thingName", plan->thing, "principal", item));
	json_array_foreach(plan->certificates, i, item)
		add_call(plan, "DeleteCertificate", json_pack("{s:O}", "certificateId", item));
	status = plan_shadows(plan, err);
	if (status == IOT_OK)
		add_call(plan, "DeleteThing", json_pack("{s:s}", "thingName", plan->thing));
	return status;
}

/* --- carrying it out --------------------------------------------------------------------------- */

/* What is gone already is as it should be. */
static enum iot_status carry_out(struct iot_cloud *cloud, const json_t *call, struct iot_error *err)
{
	const char *operation = iot_json_str(call, "operation", "");
	json_t *request = json_object_get(call, "request");
	struct iot_buf out = IOT_BUF_INIT((size_t)256 * 1024);
	enum iot_status status;

	if (strcmp(operation, "DeleteCertificate") == 0)
		status = fleet_delete(cloud, operation, "certificateId", iot_json_str(request, "certificateId", ""),
				      err);
	else if (strcmp(operation, "DeleteThing") == 0)
		status = fleet_delete(cloud, operation, "thingName", iot_json_str(request, "thingName", ""), err);
	else
		status = iot_cloud_call(cloud, operation, request, NULL, NULL, &out, err);
	iot_buf_release(&out);
	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err);
	return IOT_OK;
}

static enum iot_status run(const struct plan *plan, struct iot_error *err)
{
	enum iot_status status = fleet_begin(plan->cloud, err);
	json_t *call;
	size_t i;

	if (status != IOT_OK)
		return status;
	json_array_foreach(plan->calls, i, call) {
		status = carry_out(plan->cloud, call, err);
		if (status != IOT_OK)
			break;
	}
	return fleet_end(plan->cloud, status, err);
}

enum iot_status iot_device_retire(struct iot_cloud *cloud, const char *device, bool dry_run, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON calls = json_array();
	IOT_JSON certificates = json_array();
	struct iot_error scratch = IOT_ERROR_INIT;
	struct plan plan = {cloud, NULL, calls, certificates};
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = iot_fleet_resolve(cloud, device, &thing, err);
	plan.thing = thing;
	if (status == IOT_OK)
		status = plan_all(&plan, err);
	if (status == IOT_OK && !dry_run)
		status = run(&plan, err);
	if (status == IOT_OK)
		*ret_record = json_pack("{s:s, s:I, s:O, s:b}", "thingName", thing, "certificates",
					(json_int_t)json_array_size(certificates), "calls", calls, "changed", !dry_run);
	iot_error_while(err, "retiring device '%.128s'; the same call goes on where this one ended", device);
	return status;
}
