/*
 * Gateways and their children in the registry. Whose child a device is, is said
 * by its own attribute; the gateway's policies are made from all of them each
 * time, so that a call that was killed half way is finished by the same call.
 * A child's rights come before it is named a child, and go after.
 */
#include "fleet/gateway_private.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/frame.h"
#include "iotctl/text.h"

#include <string.h>

#define VERSIONS_MAX 5 /* of a policy (AWS IoT quotas) */

/* --- who is whose -------------------------------------------------------------------- */

static enum iot_status describe(struct iot_cloud *cloud, const char *device, char **ret_thing, json_t **ret,
				struct iot_error *err)
{
	enum iot_status status = iot_fleet_resolve(cloud, device, ret_thing, err);

	return status == IOT_OK
		       ? fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", *ret_thing), ret, err)
		       : status;
}

static const char *attribute(const json_t *thing, const char *name)
{
	const char *value = iot_json_str(json_object_get(thing, "attributes"), name, "");

	return *value != '\0' ? value : NULL;
}

static int by_type_and_name(const void *a, const void *b)
{
	const json_t *left = *(json_t *const *)a, *right = *(json_t *const *)b;
	int order = strcmp(iot_json_str(left, "thingTypeName", ""), iot_json_str(right, "thingTypeName", ""));

	return order != 0 ? order : strcmp(iot_json_str(left, "thingName", ""), iot_json_str(right, "thingName", ""));
}

static json_t *sorted(json_t *records)
{
	size_t count = json_array_size(records);
	json_t **list = iot_alloc_array(count + 1, sizeof(*list));
	json_t *result = json_array();

	for (size_t i = 0; i < count; i++)
		list[i] = json_array_get(records, i);
	qsort(list, count, sizeof(json_t *), by_type_and_name);
	for (size_t i = 0; i < count; i++)
		json_array_append(result, list[i]);
	free(list);
	return result;
}

/* Sorted by type and name. `thing` is the gateway's own name. */
static enum iot_status list_children(struct iot_cloud *cloud, const char *thing, json_t **ret, struct iot_error *err)
{
	IOT_JSON things = NULL;
	IOT_JSON records = json_array();
	json_t *item;
	size_t i;
	enum iot_status status =
		fleet_collect(cloud, "ListThings",
			      json_pack("{s:s, s:s}", "attributeName", IOT_GATEWAY_ATTRIBUTE, "attributeValue", thing),
			      "things", &things, err);

	if (status != IOT_OK)
		return status;
	json_array_foreach(things, i, item) {
		json_t *record = json_object();

		iot_json_set_str(record, "thingName", iot_json_str(item, "thingName", ""));
		iot_json_set_str(record, "thingTypeName", iot_json_str(item, "thingTypeName", NULL));
		iot_json_set_str(record, IOT_GATEWAY_COPY_ATTRIBUTE, attribute(item, IOT_GATEWAY_COPY_ATTRIBUTE));
		json_array_append_new(records, record);
	}
	*ret = sorted(records);
	return IOT_OK;
}

enum iot_status iot_gateway_children(struct iot_cloud *cloud, const char *gateway, json_t **ret_records,
				     struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_JSON record = NULL;
	enum iot_status status = describe(cloud, gateway, &thing, &record, err);

	return status == IOT_OK ? list_children(cloud, thing, ret_records, err) : status;
}

/* --- policies ---------------------------------------------------------------------------- */

static char *policy_name(const char *gateway, size_t i)
{
	return i == 0 ? iot_strf("gateway-%s", gateway) : iot_strf("gateway-%s-%zu", gateway, i + 1);
}

/* A policy keeps five versions: the oldest that is not in force makes room. */
static enum iot_status make_room(struct iot_cloud *cloud, const char *name, struct iot_error *err)
{
	IOT_JSON versions = NULL;
	const char *oldest = NULL;
	json_t *version;
	size_t i;
	enum iot_status status = fleet_collect(cloud, "ListPolicyVersions", json_pack("{s:s}", "policyName", name),
					       "policyVersions", &versions, err);

	if (status != IOT_OK || json_array_size(versions) < VERSIONS_MAX)
		return status;
	json_array_foreach(versions, i, version) {
		const char *id = iot_json_str(version, "versionId", "0");

		if (!iot_json_bool(version, "isDefaultVersion", false) &&
		    (oldest == NULL || strtol(id, NULL, 10) < strtol(oldest, NULL, 10)))
			oldest = id;
	}
	return fleet_call(cloud, "DeletePolicyVersion",
			  json_pack("{s:s, s:s}", "policyName", name, "policyVersionId", oldest), NULL, err);
}

static enum iot_status ensure_policy(struct iot_cloud *cloud, const char *name, const char *text, bool *changed,
				     struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status = fleet_call(cloud, "GetPolicy", json_pack("{s:s}", "policyName", name), &reply, err);

	if (status != IOT_OK && fleet_missing(err)) {
		iot_error_clear(err);
		*changed = true;
		return fleet_call(cloud, "CreatePolicy",
				  json_pack("{s:s, s:s}", "policyName", name, "policyDocument", text), NULL, err);
	}
	if (status != IOT_OK || strcmp(iot_json_str(reply, "policyDocument", ""), text) == 0)
		return status;
	*changed = true;
	status = make_room(cloud, name, err);
	if (status != IOT_OK)
		return status;
	return fleet_call(cloud, "CreatePolicyVersion",
			  json_pack("{s:s, s:s, s:b}", "policyName", name, "policyDocument", text, "setAsDefault", 1),
			  NULL, err);
}

static enum iot_status attach_all(struct iot_cloud *cloud, const char *gateway, json_t *names, struct iot_error *err)
{
	IOT_JSON principals = NULL;
	json_t *principal, *name;
	size_t i, j;
	enum iot_status status = fleet_collect(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", gateway),
					       "principals", &principals, err);

	json_array_foreach(principals, i, principal) {
		json_array_foreach(names, j, name) {
			if (status == IOT_OK)
				status = fleet_call(cloud, "AttachPolicy",
						    json_pack("{s:O, s:O}", "policyName", name, "target", principal),
						    NULL, err);
		}
	}
	return status;
}

/* Policies of more children than there are now. */
static enum iot_status drop_policy(struct iot_cloud *cloud, const char *name, struct iot_error *err)
{
	IOT_JSON targets = NULL;
	IOT_JSON versions = NULL;
	json_t *item;
	size_t i;
	enum iot_status status = fleet_call(cloud, "GetPolicy", json_pack("{s:s}", "policyName", name), NULL, err);

	if (status != IOT_OK)
		return status;
	status = fleet_collect(cloud, "ListTargetsForPolicy", json_pack("{s:s}", "policyName", name), "targets",
			       &targets, err);
	json_array_foreach(targets, i, item) {
		if (status == IOT_OK)
			status = fleet_call(cloud, "DetachPolicy",
					    json_pack("{s:s, s:O}", "policyName", name, "target", item), NULL, err);
	}
	if (status == IOT_OK)
		status = fleet_collect(cloud, "ListPolicyVersions", json_pack("{s:s}", "policyName", name),
				       "policyVersions", &versions, err);
	json_array_foreach(versions, i, item) {
		if (status == IOT_OK && !iot_json_bool(item, "isDefaultVersion", false))
			status = fleet_call(cloud, "DeletePolicyVersion",
					    json_pack("{s:s, s:O}", "policyName", name, "policyVersionId",
						      json_object_get(item, "versionId")),
					    NULL, err);
	}
	return status == IOT_OK ? fleet_call(cloud, "DeletePolicy", json_pack("{s:s}", "policyName", name), NULL, err)
				: status;
}

static enum iot_status drop_rest(struct iot_cloud *cloud, const char *gateway, size_t from, bool *changed,
				 struct iot_error *err)
{
	for (size_t i = from; i < GATEWAY_POLICIES_MAX; i++) {
		IOT_CLEAN(iot_free_p) char *name = policy_name(gateway, i);
		enum iot_status status = drop_policy(cloud, name, err);

		if (status != IOT_OK && !fleet_missing(err))
			return status;
		if (status != IOT_OK) {
			iot_error_clear(err);
			return IOT_OK;
		}
		*changed = true;
	}
	return IOT_OK;
}

/* Bring the policies up to date with these children; *ret_names: what they are called. */
static enum iot_status sync_policies(struct iot_cloud *cloud, const char *gateway, json_t *children, const char *prefix,
				     json_t **ret_names, bool *changed, struct iot_error *err)
{
	IOT_JSON documents = NULL;
	IOT_JSON names = json_array();
	json_t *text;
	size_t i;
	enum iot_status status = gateway_documents(cloud, children, prefix, &documents, err);

	json_array_foreach(documents, i, text) {
		IOT_CLEAN(iot_free_p) char *name = policy_name(gateway, i);

		if (status == IOT_OK)
			status = ensure_policy(cloud, name, json_string_value(text), changed, err);
		json_array_append_new(names, json_string(name));
	}
	if (status == IOT_OK)
		status = attach_all(cloud, gateway, names, err);
	if (status == IOT_OK)
		status = drop_rest(cloud, gateway, json_array_size(documents), changed, err);
	if (status == IOT_OK)
		*ret_names = iot_take(names);
	return status;
}

/* --- the use-cases ------------------------------------------------------------------------- */

/* A policy must be there before a device gets it, and a device before its children are known. */
static enum iot_status first_policy(struct iot_cloud *cloud, const char *name, bool *changed, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *policy = policy_name(name, 0);
	IOT_JSON none = json_array();
	IOT_JSON documents = NULL;
	enum iot_status status = fleet_call(cloud, "GetPolicy", json_pack("{s:s}", "policyName", policy), NULL, err);

	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err);
	status = gateway_documents(cloud, none, NULL, &documents, err);
	return status == IOT_OK
		       ? ensure_policy(cloud, policy, json_string_value(json_array_get(documents, 0)), changed, err)
		       : status;
}

enum iot_status iot_gateway_create(struct iot_cloud *cloud, const struct iot_gateway_spec *spec, json_t **ret_record,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *policy = policy_name(spec->name, 0);
	IOT_CLEAN(iot_free_p) char *pair = NULL;
	const char *const policies[] = {policy, NULL};
	const char *attributes[] = {NULL, NULL};
	struct iot_device_spec device = {.name = spec->name,
					 .type = spec->type != NULL ? spec->type : "gateway",
					 .policies = policies,
					 .attributes = attributes,
					 .out = spec->out,
					 .days = spec->days};
	IOT_JSON record = NULL;
	IOT_JSON children = NULL;
	IOT_JSON names = NULL;
	IOT_JSON thing = NULL;
	bool changed = false;
	enum iot_status status = iot_cert_check_name(spec->name, err);

	if (spec->prefix != NULL)
		pair = iot_strf(IOT_GATEWAY_PREFIX_ATTRIBUTE "=%s", spec->prefix);
	attributes[0] = pair;
	if (status == IOT_OK && spec->prefix != NULL)
		status = iot_cert_check_name(spec->prefix, err);
	if (status == IOT_OK)
		status = first_policy(cloud, spec->name, &changed, err);
	if (status == IOT_OK)
		status = iot_device_create(cloud, &device, &record, err);
	if (status == IOT_OK)
		status = list_children(cloud, spec->name, &children, err);
	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", spec->name), &thing, err);
	if (status == IOT_OK)
		status = sync_policies(cloud, spec->name, children, attribute(thing, IOT_GATEWAY_PREFIX_ATTRIBUTE),
				       &names, &changed, err);
	if (status != IOT_OK)
		return status;
	if (changed)
		iot_json_set_bool(record, "changed", true);
	*ret_record = iot_take(record);
	return IOT_OK;
}

static enum iot_status check_copies(struct iot_cloud *cloud, const char *const *copies, struct iot_buf *out,
				    struct iot_error *err)
{
	for (; *copies != NULL; copies++) {
		size_t len = strcspn(*copies, ":");
		IOT_CLEAN(iot_free_p) char *name = iot_strndup(*copies, len);
		IOT_CLEAN(iot_free_p) char *thing = NULL;
		const char *role = (*copies)[len] == ':' ? *copies + len + 1 : NULL;
		enum iot_status status = iot_fleet_resolve(cloud, name, &thing, err);

		if (status != IOT_OK)
			return status;
		if (strchr(thing, ':') != NULL || strchr(thing, ',') != NULL)
			return iot_fail(err, IOT_USAGE, "copies cannot go to '%s': its name has ':' or ','", thing);
		if (role != NULL && iot_frame_role_parse(role, strlen(role)) == 0)
			return iot_fail(err, IOT_USAGE,
					"there is no role '%s' to copy: event, state and reply are possible", role);
		iot_buf_addf(out, "%s%s%s%s", out->len > 0 ? "," : "", thing, role != NULL ? ":" : "",
			     role != NULL ? role : "");
	}
	return iot_buf_check(out, "the list of devices to copy to", err);
}

static enum iot_status set_attributes(struct iot_cloud *cloud, const char *thing, const char *gateway,
				      const char *copies, struct iot_error *err)
{
	json_t *attributes = json_object();

	iot_json_set_str(attributes, IOT_GATEWAY_ATTRIBUTE, gateway);
	iot_json_set_str(attributes, IOT_GATEWAY_COPY_ATTRIBUTE, copies);
	return fleet_call(cloud, "UpdateThing",
			  json_pack("{s:s, s:{s:o, s:b}}", "thingName", thing, "attributePayload", "attributes",
				    attributes, "merge", 1),
			  NULL, err);
}

struct change {
	char *gateway, *child; /* thing names */
	json_t *gateway_thing, *child_thing, *children;
};

static void change_release(struct change *change)
{
	free(change->gateway);
	free(change->child);
	json_decref(change->gateway_thing);
	json_decref(change->child_thing);
	json_decref(change->children);
}

static enum iot_status look(struct iot_cloud *cloud, const char *gateway, const char *device, struct change *ret,
			    struct iot_error *err)
{
	enum iot_status status = describe(cloud, gateway, &ret->gateway, &ret->gateway_thing, err);

	if (status == IOT_OK)
		status = describe(cloud, device, &ret->child, &ret->child_thing, err);
	if (status == IOT_OK)
		status = list_children(cloud, ret->gateway, &ret->children, err);
	return status;
}

static void without(json_t *children, const char *thing)
{
	for (size_t i = json_array_size(children); i-- > 0;) {
		if (strcmp(iot_json_str(json_array_get(children, i), "thingName", ""), thing) == 0)
			json_array_remove(children, i);
	}
}

static enum iot_status check_child(const struct change *change, struct iot_error *err)
{
	const char *now = attribute(change->child_thing, IOT_GATEWAY_ATTRIBUTE);
	const char *prefix = attribute(change->gateway_thing, IOT_GATEWAY_PREFIX_ATTRIBUTE);

	if (strcmp(change->gateway, change->child) == 0)
		return iot_fail(err, IOT_USAGE, "a gateway cannot be its own child");
	if (now != NULL && strcmp(now, change->gateway) != 0) {
		iot_fail(err, IOT_CONFLICT, "device '%s' is a child of gateway '%s'", change->child, now);
		iot_error_hint(err, "take it from there first with 'iotctl gateway remove %s %s'", now, change->child);
		return IOT_CONFLICT;
	}
	if (prefix != NULL && !iot_starts_with(change->child, prefix))
		return iot_fail(err, IOT_CONFLICT, "gateway '%s' is for devices whose names begin with '%s'",
				change->gateway, prefix);
	return IOT_OK;
}

static enum iot_status apply(struct iot_cloud *cloud, struct change *change, json_t **ret_names, bool *changed,
			     struct iot_error *err)
{
	IOT_JSON children = sorted(change->children);

	return sync_policies(cloud, change->gateway, children,
			     attribute(change->gateway_thing, IOT_GATEWAY_PREFIX_ATTRIBUTE), ret_names, changed, err);
}

enum iot_status iot_gateway_add(struct iot_cloud *cloud, const char *gateway, const char *device,
				const char *const *copies, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(change_release) struct change change = {0};
	struct iot_buf copy_to = IOT_BUF_INIT(800); /* an attribute's value (AWS IoT quotas) */
	IOT_JSON names = NULL;
	bool changed = false, same;
	enum iot_status status = look(cloud, gateway, device, &change, err);

	if (status == IOT_OK)
		status = check_child(&change, err);
	if (status == IOT_OK && copies != NULL)
		status = check_copies(cloud, copies, &copy_to, err);
	if (status == IOT_OK) {
		json_t *record = json_pack("{s:s}", "thingName", change.child);

		iot_json_set_str(record, "thingTypeName", iot_json_str(change.child_thing, "thingTypeName", NULL));
		without(change.children, change.child);
		json_array_append_new(change.children, record);
		status = apply(cloud, &change, &names, &changed, err);
	}
	if (status == IOT_OK) {
		const char *now = attribute(change.child_thing, IOT_GATEWAY_COPY_ATTRIBUTE);

		same = attribute(change.child_thing, IOT_GATEWAY_ATTRIBUTE) != NULL &&
		       (copies == NULL || strcmp(iot_buf_str(&copy_to), now != NULL ? now : "") == 0);
		changed = changed || !same;
		if (!same)
			status = set_attributes(cloud, change.child, change.gateway,
						copies != NULL ? iot_buf_str(&copy_to) : NULL, err);
	}
	if (status == IOT_OK) {
		*ret_record = json_pack("{s:s, s:s, s:O, s:b}", "thingName", change.child, "gateway", change.gateway,
					"policies", names, "changed", changed);
		iot_json_set_str(*ret_record, IOT_GATEWAY_COPY_ATTRIBUTE,
				 copies != NULL ? iot_buf_str(&copy_to)
						: attribute(change.child_thing, IOT_GATEWAY_COPY_ATTRIBUTE));
	}
	iot_buf_release(&copy_to);
	return status;
}

enum iot_status iot_gateway_remove(struct iot_cloud *cloud, const char *gateway, const char *device,
				   json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(change_release) struct change change = {0};
	IOT_JSON names = NULL;
	const char *now;
	bool changed = true;
	enum iot_status status = look(cloud, gateway, device, &change, err);

	if (status != IOT_OK)
		return status;
	now = attribute(change.child_thing, IOT_GATEWAY_ATTRIBUTE);
	if (now == NULL || strcmp(now, change.gateway) != 0)
		return iot_fail(err, IOT_NOT_FOUND, "device '%s' is no child of gateway '%s'", change.child,
				change.gateway);
	status = set_attributes(cloud, change.child, "", "", err); /* empty ones are removed */
	without(change.children, change.child);
	if (status == IOT_OK)
		status = apply(cloud, &change, &names, &changed, err);
	if (status == IOT_OK)
		*ret_record = json_pack("{s:s, s:s, s:O, s:b}", "thingName", change.child, "gateway", change.gateway,
					"policies", names, "changed", changed);
	return status;
}
