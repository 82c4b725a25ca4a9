/*
 * The registry's half of a device: its thing with type and attributes, the groups
 * it is in, and what is attached to its certificate. What is there already is
 * left alone, or is a conflict where something else was wanted.
 */
#include "fleet/create_private.h"

#include <string.h>

/* --- the thing ------------------------------------------------------------------- */

static enum iot_status wanted_attributes(const struct iot_device_spec *spec, json_t **ret, struct iot_error *err)
{
	IOT_JSON attributes = json_object();
	const char *const *pair = spec->attributes;

	iot_json_set_str(attributes, "alias", spec->alias);
	for (; pair != NULL && *pair != NULL; pair++) {
		const char *equals = strchr(*pair, '=');
		IOT_CLEAN(iot_free_p) char *name = NULL;

		if (equals == NULL || equals == *pair)
			return iot_fail(err, IOT_USAGE, "attribute '%s' is not of the form NAME=VALUE", *pair);
		name = iot_strndup(*pair, (size_t)(equals - *pair));
		iot_json_set_str(attributes, name, equals + 1);
	}
	*ret = iot_take(attributes);
	return IOT_OK;
}

enum iot_status fleet_ensure_type(struct iot_cloud *cloud, const char *type, bool *changed, struct iot_error *err)
{
	enum iot_status status;

	if (type == NULL)
		return IOT_OK;
	status = fleet_call(cloud, "DescribeThingType", json_pack("{s:s}", "thingTypeName", type), NULL, err);
	if (status == IOT_OK || !fleet_missing(err))
		return status;
	iot_error_clear(err);
	*changed = true;
	status = fleet_call(cloud, "CreateThingType", json_pack("{s:s}", "thingTypeName", type), NULL, err);
	if (status == IOT_OK || !fleet_exists(err))
		return status;
	iot_error_clear(err); /* somebody else was faster */
	return IOT_OK;
}

static enum iot_status ensure_type(struct making *making, struct iot_error *err)
{
	return fleet_ensure_type(making->cloud, making->spec->type, &making->changed, err);
}

/* Does what is there differ from what is wanted? Attributes that nobody asked for do not count. */
static const char *difference(const json_t *thing, const struct iot_device_spec *spec, const json_t *attributes)
{
	const char *type = iot_json_str(thing, "thingTypeName", NULL);
	const char *key;
	json_t *value;

	if (spec->type != NULL && (type == NULL || strcmp(type, spec->type) != 0))
		return "type";
	json_object_foreach((json_t *)(uintptr_t)attributes, key, value) {
		if (!json_equal(value, json_object_get(json_object_get(thing, "attributes"), key)))
			return key;
	}
	return NULL;
}

/* A type that it has is not named again: one that is deprecated could not be. */
static enum iot_status update_thing(struct making *making, const json_t *thing, json_t *attributes,
				    struct iot_error *err)
{
	const char *type = making->spec->type;
	json_t *request = json_pack("{s:s, s:{s:O, s:b}}", "thingName", making->spec->name, "attributePayload",
				    "attributes", attributes, "merge", 1);

	if (type != NULL && strcmp(type, iot_json_str(thing, "thingTypeName", "")) != 0)
		iot_json_set_str(request, "thingTypeName", type);
	making->changed = true;
	return fleet_call(making->cloud, "UpdateThing", request, NULL, err);
}

enum iot_status create_thing(struct making *making, struct iot_error *err)
{
	const struct iot_device_spec *spec = making->spec;
	IOT_JSON thing = NULL;
	IOT_JSON attributes = NULL;
	json_t *request;
	const char *other;
	enum iot_status status = wanted_attributes(spec, &attributes, err);

	if (status != IOT_OK)
		return status;
	status = fleet_call(making->cloud, "DescribeThing", json_pack("{s:s}", "thingName", spec->name), &thing, err);
	if (status == IOT_OK) {
		other = difference(thing, spec, attributes);
		if (other == NULL)
			return IOT_OK;
		if (spec->update) {
			status = ensure_type(making, err);
			return status == IOT_OK ? update_thing(making, thing, attributes, err) : status;
		}
		iot_fail(err, IOT_CONFLICT, "device '%s' exists with another %s", spec->name, other);
		iot_error_hint(err, "--update changes it");
		return IOT_CONFLICT;
	}
	if (!fleet_missing(err))
		return status;
	iot_error_clear(err);
	making->changed = making->fresh_thing = true;
	status = ensure_type(making, err);
	if (status != IOT_OK)
		return status;
	request = json_pack("{s:s, s:{s:O}}", "thingName", spec->name, "attributePayload", "attributes", attributes);
	iot_json_set_str(request, "thingTypeName", spec->type);
	return fleet_call(making->cloud, "CreateThing", request, NULL, err);
}

/* --- rights ------------------------------------------------------------------------- */

static bool lists_name(const json_t *records, const char *member, const char *name)
{
	const json_t *record;
	size_t i;

	json_array_foreach(records, i, record) {
		const char *have =
			json_is_string(record) ? json_string_value(record) : iot_json_str(record, member, "");

		if (strcmp(have, name) == 0)
			return true;
	}
	return false;
}

enum iot_status fleet_attach(struct iot_cloud *cloud, const char *thing, const char *const *policies, const char *arn,
			     bool fresh, bool *changed, struct iot_error *err)
{
	IOT_JSON have = NULL;
	IOT_JSON principals = NULL;
	enum iot_status status = IOT_OK;

	if (!fresh)
		status = fleet_collect(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies",
				       &have, err);
	for (; status == IOT_OK && policies != NULL && *policies != NULL; policies++) {
		if (lists_name(have, "policyName", *policies))
			continue;
		*changed = true;
		status = fleet_call(cloud, "AttachPolicy",
				    json_pack("{s:s, s:s}", "policyName", *policies, "target", arn), NULL, err);
	}
	if (status == IOT_OK && !fresh)
		status = fleet_collect(cloud, "ListThingPrincipals", json_pack("{s:s}", "thingName", thing),
				       "principals", &principals, err);
	if (status != IOT_OK || lists_name(principals, "", arn))
		return status;
	*changed = true;
	return fleet_call(cloud, "AttachThingPrincipal", json_pack("{s:s, s:s}", "thingName", thing, "principal", arn),
			  NULL, err);
}

enum iot_status create_join_groups(struct making *making, struct iot_error *err)
{
	const char *const *group = making->spec->groups;
	IOT_JSON have = NULL;
	enum iot_status status = IOT_OK;

	if (group == NULL || *group == NULL)
		return IOT_OK;
	if (!making->fresh_thing)
		status = fleet_collect(making->cloud, "ListThingGroupsForThing",
				       json_pack("{s:s}", "thingName", making->spec->name), "thingGroups", &have, err);
	for (; status == IOT_OK && *group != NULL; group++) {
		if (lists_name(have, "groupName", *group))
			continue;
		making->changed = true;
		status = fleet_call(making->cloud, "AddThingToThingGroup",
				    json_pack("{s:s, s:s}", "thingGroupName", *group, "thingName", making->spec->name),
				    NULL, err);
	}
	return status;
}
