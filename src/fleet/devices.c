/*
 * Devices as people name them: resolving an alias, listing, showing everything
 * that is known of one, switching its certificates on and off, deleting it.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"

#include <string.h>

static enum iot_status find_alias(struct iot_cloud *cloud, const char *alias, char **ret_thing, struct iot_error *err)
{
	IOT_JSON things = NULL;
	enum iot_status status;

	status = fleet_collect(cloud, "ListThings",
			       json_pack("{s:s, s:s}", "attributeName", "alias", "attributeValue", alias), "things",
			       &things, err);
	if (status != IOT_OK)
		return status;
	if (json_array_size(things) == 0) {
		iot_fail(err, IOT_NOT_FOUND, "no device has the name or alias '%s'", alias);
		iot_error_hint(err, "'iotctl device list' shows what there is");
		return IOT_NOT_FOUND;
	}
	*ret_thing = iot_strdup(iot_json_str(json_array_get(things, 0), "thingName", ""));
	return IOT_OK;
}

enum iot_status iot_fleet_resolve(struct iot_cloud *cloud, const char *device, char **ret_thing, struct iot_error *err)
{
	struct iot_error scratch = IOT_ERROR_INIT;
	IOT_JSON thing = NULL;
	enum iot_status status;

	err = err != NULL ? err : &scratch;
	status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", device), &thing, err);
	if (status == IOT_OK) {
		*ret_thing = iot_strdup(device);
		return IOT_OK;
	}
	if (!fleet_missing(err))
		return status;
	iot_error_clear(err);
	return find_alias(cloud, device, ret_thing, err);
}

/* --- one record with everything --------------------------------------------- */

static enum iot_status add_policy_name(json_t *policy, void *data, struct iot_error *err)
{
	(void)err;
	json_array_append((json_t *)data, json_object_get(policy, "policyName"));
	return IOT_OK;
}

static enum iot_status describe_certificate(struct iot_cloud *cloud, const char *arn, json_t **ret,
					    struct iot_error *err)
{
	IOT_JSON reply = NULL;
	IOT_JSON record = json_object();
	json_t *certificate, *validity, *policies = json_array();
	const char *id = fleet_arn_name(arn);
	enum iot_status status;

	json_object_set_new(record, "certificateId", json_string(id));
	json_object_set_new(record, "policies", policies);
	status = fleet_call(cloud, "DescribeCertificate", json_pack("{s:s}", "certificateId", id), &reply, err);
	if (status != IOT_OK)
		return status;
	certificate = json_object_get(reply, "certificateDescription");
	validity = json_object_get(certificate, "validity");
	iot_json_set_str(record, "status", iot_json_str(certificate, "status", NULL));
	fleet_set_time(record, "notAfter", fleet_time_ms(validity, "notAfter"));
	status = fleet_each(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies",
			    add_policy_name, policies, err);
	if (status == IOT_OK)
		*ret = iot_take(record);
	return status;
}

struct certificates {
	struct iot_cloud *cloud;
	json_t *records;
};

static enum iot_status add_certificate(json_t *arn, void *data, struct iot_error *err)
{
	struct certificates *to = data;
	json_t *record = NULL;
	enum iot_status status = describe_certificate(to->cloud, json_string_value(arn), &record, err);

	if (status == IOT_OK)
		json_array_append_new(to->records, record);
	return status;
}

static enum iot_status add_group(json_t *group, void *data, struct iot_error *err)
{
	(void)err;
	json_array_append((json_t *)data, json_object_get(group, "groupName"));
	return IOT_OK;
}

static enum iot_status add_job(json_t *summary, void *data, struct iot_error *err)
{
	json_t *state = json_object_get(summary, "jobExecutionSummary");
	const char *status = iot_json_str(state, "status", "");

	(void)err;
	if (strcmp(status, "QUEUED") == 0 || strcmp(status, "IN_PROGRESS") == 0)
		json_array_append_new((json_t *)data, json_pack("{s:O, s:s}", "jobId",
								json_object_get(summary, "jobId"), "status", status));
	return IOT_OK;
}

/* Facts that a cloud may not have (AWS without fleet indexing): their absence is no error. */
static void add_connection(struct iot_cloud *cloud, const char *thing, json_t *record)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	if (fleet_call(cloud, "GetThingConnectivityData", json_pack("{s:s}", "thingName", thing), &reply, &ignored) !=
	    IOT_OK)
		return;
	json_object_set(record, "connected", json_object_get(reply, "connected"));
	fleet_set_time(record, "connectionChangedAt", fleet_time_ms(reply, "timestamp"));
	iot_json_set_str(record, "disconnectReason", iot_json_str(reply, "disconnectReason", NULL));
}

static void add_state(struct iot_cloud *cloud, const char *thing, json_t *record)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	if (fleet_call(cloud, "GetDeviceState", json_pack("{s:s}", "thingName", thing), &reply, &ignored) != IOT_OK)
		return;
	iot_json_set_str(record, "firmware", iot_json_str(reply, "firmware", NULL));
	fleet_set_time(record, "reportedAt", fleet_time_ms(reply, "reportedAt"));
	if (json_object_get(reply, "state") != NULL)
		json_object_set(record, "state", json_object_get(reply, "state"));
}

static enum iot_status add_lists(struct iot_cloud *cloud, const char *thing, json_t *record, struct iot_error *err)
{
	struct certificates certificates = {cloud, json_array()};
	json_t *groups = json_array(), *jobs = json_array();
	enum iot_status status;

	json_object_set_new(record, "groups", groups);
	json_object_set_new(record, "certificates", certificates.records);
	json_object_set_new(record, "jobs", jobs);
	status = fleet_each(cloud, "ListThingGroupsForThing", json_pack("{s:s}", "thingName", thing), "thingGroups",
			    add_group, groups, err);
	if (status == IOT_OK)
		status = fleet_each(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing), "principals",
				    add_certificate, &certificates, err);
	if (status == IOT_OK)
		status = fleet_each(cloud, "ListJobExecutionsForThing", json_pack("{s:s}", "thingName", thing),
				    "executionSummaries", add_job, jobs, err);
	return status;
}

static json_t *summary(const json_t *thing)
{
	json_t *record = json_object();
	json_t *attributes = json_object_get(thing, "attributes");

	iot_json_set_str(record, "thingName", iot_json_str(thing, "thingName", ""));
	iot_json_set_str(record, "alias", iot_json_str(attributes, "alias", NULL));
	iot_json_set_str(record, "thingTypeName", iot_json_str(thing, "thingTypeName", NULL));
	iot_json_set_str(record, "thingArn", iot_json_str(thing, "thingArn", NULL));
	json_object_set_new(record, "attributes", attributes != NULL ? json_deep_copy(attributes) : json_object());
	json_object_del(json_object_get(record, "attributes"), "alias");
	return record;
}

enum iot_status iot_device_show(struct iot_cloud *cloud, const char *device, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON reply = NULL;
	IOT_JSON record = NULL;
	enum iot_status status;

	status = iot_fleet_resolve(cloud, device, &thing, err);
	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), &reply, err);
	if (status != IOT_OK)
		return status;
	record = summary(reply);
	iot_json_set_int(record, "version", iot_json_int(reply, "version", 0));
	add_connection(cloud, thing, record);
	add_state(cloud, thing, record);
	status = add_lists(cloud, thing, record, err);
	if (status == IOT_OK)
		*ret_record = iot_take(record);
	return status;
}

/* --- lists -------------------------------------------------------------------- */

struct listing {
	struct iot_cloud *cloud;
	const struct iot_device_filter *filter;
	enum iot_status (*each)(json_t *record, void *data, struct iot_error *err);
	void *data;
	int64_t count;
	bool full;
};

/* IOT_ABORTED ends the walk at the limit; iot_device_list turns it into success. */
static enum iot_status list_one(struct listing *listing, const json_t *thing, struct iot_error *err)
{
	IOT_JSON record = NULL;
	enum iot_status status;

	if (listing->filter->limit > 0 && listing->count >= listing->filter->limit) {
		listing->full = true;
		return IOT_ABORTED;
	}
	listing->count++;
	record = summary(thing);
	status = listing->each(record, listing->data, err);
	return status;
}

static enum iot_status list_thing(json_t *thing, void *data, struct iot_error *err)
{
	return list_one(data, thing, err);
}

static enum iot_status list_member(json_t *name, void *data, struct iot_error *err)
{
	struct listing *listing = data;
	const char *type = listing->filter->type;
	IOT_JSON thing = NULL;
	enum iot_status status;

	status = fleet_call(listing->cloud, "DescribeThing", json_pack("{s:O}", "thingName", name), &thing, err);
	if (status != IOT_OK)
		return status;
	if (type != NULL && strcmp(iot_json_str(thing, "thingTypeName", ""), type) != 0)
		return IOT_OK;
	return list_one(listing, thing, err);
}

enum iot_status iot_device_list(struct iot_cloud *cloud, const struct iot_device_filter *filter,
				enum iot_status (*each)(json_t *record, void *data, struct iot_error *err), void *data,
				struct iot_error *err)
{
	struct listing listing = {cloud, filter, each, data, 0, false};
	json_t *request = json_object();
	enum iot_status status;

	if (filter->group != NULL) {
		iot_json_set_str(request, "thingGroupName", filter->group);
		iot_json_set_bool(request, "recursive", true);
		status = fleet_each(cloud, "ListThingsInThingGroup", request, "things", list_member, &listing, err);
	} else {
		const char *equals = filter->attribute != NULL ? strchr(filter->attribute, '=') : NULL;

		iot_json_set_str(request, "thingTypeName", filter->type);
		if (filter->attribute != NULL && equals == NULL) {
			json_decref(request);
			return iot_fail(err, IOT_USAGE, "'%s' is not of the form NAME=VALUE", filter->attribute);
		}
		if (equals != NULL) {
			json_object_set_new(request, "attributeName",
					    json_stringn(filter->attribute, (size_t)(equals - filter->attribute)));
			iot_json_set_str(request, "attributeValue", equals + 1);
		}
		status = fleet_each(cloud, "ListThings", request, "things", list_thing, &listing, err);
	}
	return listing.full ? IOT_OK : status;
}

/* --- on, off, gone -------------------------------------------------------------- */

static enum iot_status set_status(struct iot_cloud *cloud, const char *id, const char *wanted, bool *changed,
				  json_t **ret_record, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const char *now;
	enum iot_status status;

	status = fleet_call(cloud, "DescribeCertificate", json_pack("{s:s}", "certificateId", id), &reply, err);
	if (status != IOT_OK)
		return status;
	now = iot_json_str(json_object_get(reply, "certificateDescription"), "status", "");
	if (strcmp(now, "REVOKED") == 0 && strcmp(wanted, "ACTIVE") == 0) {
		iot_fail(err, IOT_CONFLICT, "certificate '%.16s...' is revoked for good", id);
		iot_error_hint(err, "give the device a new one: 'iotctl device create' with another folder for --out");
		return IOT_CONFLICT;
	}
	if (strcmp(now, wanted) != 0 && strcmp(now, "REVOKED") != 0) {
		status = fleet_call(cloud, "UpdateCertificate",
				    json_pack("{s:s, s:s}", "certificateId", id, "newStatus", wanted), NULL, err);
		if (status != IOT_OK)
			return status;
		*changed = true;
		now = wanted;
	}
	*ret_record = json_pack("{s:s, s:s}", "certificateId", id, "status", now);
	return IOT_OK;
}

enum iot_status iot_device_enable(struct iot_cloud *cloud, const char *device, bool enable, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON principals = NULL;
	IOT_JSON records = json_array();
	json_t *arn;
	size_t i;
	bool changed = false;
	enum iot_status status;

	status = iot_fleet_resolve(cloud, device, &thing, err);
	if (status == IOT_OK)
		status = fleet_collect(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing),
				       "principals", &principals, err);
	if (status != IOT_OK)
		return status;
	if (json_array_size(principals) == 0)
		return iot_fail(err, IOT_CONFLICT, "device '%s' has no certificate to %s", device,
				enable ? "enable" : "disable");
	status = fleet_begin(cloud, err); /* all of them or none */
	json_array_foreach(principals, i, arn) {
		json_t *record = NULL;

		if (status == IOT_OK)
			status = set_status(cloud, fleet_arn_name(json_string_value(arn)),
					    enable ? "ACTIVE" : "INACTIVE", &changed, &record, err);
		json_array_append_new(records, record);
	}
	status = fleet_end(cloud, status, err);
	if (status != IOT_OK)
		return status;
	*ret_record = json_pack("{s:s, s:O, s:b}", "thingName", thing, "certificates", records, "changed", changed);
	return IOT_OK;
}

static enum iot_status detach_policies(struct iot_cloud *cloud, const char *arn, json_t *policies,
				       struct iot_error *err)
{
	json_t *policy;
	size_t i;

	json_array_foreach(policies, i, policy) {
		enum iot_status status = fleet_call(
			cloud, "DetachPolicy",
			json_pack("{s:O, s:s}", "policyName", json_object_get(policy, "policyName"), "target", arn),
			NULL, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

/* Off, without rights, detached, deleted, as the service wants it. One that another thing uses too is only detached. */
enum iot_status fleet_drop_certificate(struct iot_cloud *cloud, const char *thing, const char *arn,
				       struct iot_error *err)
{
	const char *id = fleet_arn_name(arn);
	IOT_JSON users = NULL;
	IOT_JSON policies = NULL;
	bool alone;
	enum iot_status status;

	status = fleet_collect(cloud, "ListPrincipalThings", json_pack("{s:s}", "principal", arn), "things", &users,
			       err);
	if (status != IOT_OK)
		return status;
	alone = json_array_size(users) <= 1;
	if (alone) {
		status = fleet_call(cloud, "UpdateCertificate",
				    json_pack("{s:s, s:s}", "certificateId", id, "newStatus", "INACTIVE"), NULL, err);
		if (status == IOT_OK)
			status = fleet_collect(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn),
					       "policies", &policies, err);
		if (status == IOT_OK)
			status = detach_policies(cloud, arn, policies, err);
	}
	if (status == IOT_OK)
		status = fleet_call(cloud, "DetachThingPrincipal",
				    json_pack("{s:s, s:s}", "thingName", thing, "principal", arn), NULL, err);
	if (status == IOT_OK && alone)
		status = fleet_delete(cloud, "DeleteCertificate", "certificateId", id, err);
	return status;
}

static enum iot_status drop_device(struct iot_cloud *cloud, const char *thing, int *ret_certificates,
				   struct iot_error *err)
{
	IOT_JSON principals = NULL;
	json_t *arn;
	size_t i;
	enum iot_status status = fleet_collect(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing),
					       "principals", &principals, err);

	json_array_foreach(principals, i, arn) {
		if (status == IOT_OK)
			status = fleet_drop_certificate(cloud, thing, json_string_value(arn), err);
	}
	if (status == IOT_OK)
		status = fleet_delete(cloud, "DeleteThing", "thingName", thing, err);
	*ret_certificates = (int)json_array_size(principals);
	return status;
}

enum iot_status iot_device_delete(struct iot_cloud *cloud, const char *device, json_t **ret_record,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	int certificates = 0;
	enum iot_status status;

	status = iot_fleet_resolve(cloud, device, &thing, err);
	if (status == IOT_OK)
		status = fleet_begin(cloud, err);
	if (status != IOT_OK)
		return status;
	/* Together: nobody could find a certificate again that was detached and not yet deleted. */
	status = fleet_end(cloud, drop_device(cloud, thing, &certificates, err), err);
	if (status == IOT_OK)
		*ret_record =
			json_pack("{s:s, s:i, s:b}", "thingName", thing, "certificates", certificates, "changed", 1);
	return status;
}
