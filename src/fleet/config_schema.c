/*
 * The part of JSON Schema that configurations are checked with. A schema is
 * refused when it says anything that would not be checked: a rule that is
 * silently skipped is worse than none.
 */
#include "iotctl/configuration.h"

#include "fleet/fleet_private.h"
#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <string.h>

#define PATH_MAX_BYTES 512
#define META "config-schema/"

static const char *const type_names[] = {"object", "array", "string", "integer", "number", "boolean", "null", NULL};

static bool has_type(const json_t *value, const char *type)
{
	const bool is[] = {json_is_object(value),
			   json_is_array(value),
			   json_is_string(value),
			   json_is_integer(value) ||
				   (json_is_real(value) && json_real_value(value) > -9.2e18 &&
				    json_real_value(value) < 9.2e18 &&
				    (double)(int64_t)json_real_value(value) == json_real_value(value)),
			   json_is_number(value),
			   json_is_boolean(value),
			   json_is_null(value)};

	for (size_t i = 0; type_names[i] != NULL; i++)
		if (strcmp(type_names[i], type) == 0)
			return is[i];
	return false;
}

char *fleet_pointer(const char *path, const char *name)
{
	struct iot_buf text = IOT_BUF_INIT(PATH_MAX_BYTES);

	iot_buf_adds(&text, path);
	iot_buf_addc(&text, '/');
	for (; *name != '\0'; name++) {
		if (*name == '~' || *name == '/')
			iot_buf_adds(&text, *name == '~' ? "~0" : "~1");
		else
			iot_buf_addc(&text, *name);
	}
	return iot_buf_detach(&text);
}

static const char *shown(const char *path)
{
	return *path != '\0' ? path : "/";
}

/* --- schemas ------------------------------------------------------------------------------ */

static enum iot_status check(const json_t *schema, const char *path, struct iot_error *err);

static bool is_type(const json_t *value)
{
	for (size_t i = 0; json_is_string(value) && type_names[i] != NULL; i++)
		if (strcmp(type_names[i], json_string_value(value)) == 0)
			return true;
	return false;
}

static bool is_names(const json_t *value)
{
	for (size_t i = 0; i < json_array_size(value); i++)
		if (!json_is_string(json_array_get(value, i)))
			return false;
	return json_is_array(value);
}

static bool is_text(const json_t *value)
{
	return json_is_string(value);
}

static bool is_number(const json_t *value)
{
	return json_is_number(value);
}

static bool is_length(const json_t *value)
{
	return json_is_integer(value) && json_integer_value(value) >= 0;
}

static bool is_bool(const json_t *value)
{
	return json_is_boolean(value);
}

static bool is_values(const json_t *value)
{
	return json_array_size(value) > 0;
}

static bool is_object(const json_t *value)
{
	return json_is_object(value);
}

static const struct {
	const char *name;
	bool (*good)(const json_t *value);
	const char *wants;
} keywords[] = {
	{"type", is_type, "the name of a type"},    {"properties", is_object, "an object of schemas"},
	{"required", is_names, "a list of names"},  {"additionalProperties", is_bool, "true or false"},
	{"enum", is_values, "a list of values"},    {"minimum", is_number, "a number"},
	{"maximum", is_number, "a number"},         {"items", is_object, "a schema"},
	{"maxLength", is_length, "a whole number"}, {"title", is_text, "a text"},
	{"description", is_text, "a text"},         {"$schema", is_text, "a text"},
};

static enum iot_status check_keyword(const char *name, const json_t *value, const char *path, struct iot_error *err)
{
	for (size_t i = 0; i < IOT_LENGTH(keywords); i++) {
		if (strcmp(keywords[i].name, name) != 0)
			continue;
		if (keywords[i].good(value))
			return IOT_OK;
		return iot_fail(err, IOT_USAGE, "'%s' of the schema at '%s' is not %s", name, shown(path),
				keywords[i].wants);
	}
	iot_fail(err, IOT_USAGE, "the schema at '%s' has the unknown keyword '%.64s'", shown(path), name);
	iot_error_hint(err, "known are type, properties, required, additionalProperties, enum, minimum, maximum, items "
			    "and maxLength");
	return IOT_USAGE;
}

static enum iot_status check_properties(json_t *properties, const char *path, struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	const char *name;
	json_t *schema;

	json_object_foreach(properties, name, schema) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, name);

		status = check(schema, place, err);
		if (status != IOT_OK)
			break;
	}
	return status;
}

static enum iot_status check(const json_t *schema, const char *path, struct iot_error *err)
{
	IOT_JSON copy = NULL;
	const json_t *items = json_object_get(schema, "items");
	enum iot_status status = IOT_OK;
	const char *name;
	json_t *value;

	if (!json_is_object(schema))
		return iot_fail(err, IOT_USAGE, "the schema at '%s' is not an object", shown(path));
	copy = json_deep_copy(schema);
	json_object_foreach(copy, name, value) {
		status = check_keyword(name, value, path, err);
		if (status != IOT_OK)
			return status;
	}
	status = check_properties(json_object_get(schema, "properties"), path, err);
	if (status == IOT_OK && items != NULL) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, "*");

		status = check(items, place, err);
	}
	return status;
}

enum iot_status iot_config_schema_check(const json_t *schema, struct iot_error *err)
{
	return check(schema, "", err);
}

/* --- documents ---------------------------------------------------------------------------- */

static enum iot_status validate(const json_t *schema, const json_t *value, const char *path, struct iot_error *err);

static enum iot_status wrong(struct iot_error *err, const char *path, const char *what)
{
	return iot_fail(err, IOT_USAGE, "'%s' of the configuration %s", shown(path), what);
}

static bool is_listed(const json_t *values, const json_t *value)
{
	for (size_t i = 0; i < json_array_size(values); i++) {
		json_t *listed = json_array_get(values, i);

		if (json_equal(listed, value) || (json_is_number(listed) && json_is_number(value) &&
						  json_number_value(listed) == json_number_value(value)))
			return true;
	}
	return false;
}

static size_t characters(const char *text)
{
	size_t count = 0;

	for (; *text != '\0'; text++)
		count += ((unsigned char)*text & 0xC0) != 0x80;
	return count;
}

static enum iot_status validate_scalar(const json_t *schema, const json_t *value, const char *path,
				       struct iot_error *err)
{
	const json_t *values = json_object_get(schema, "enum"), *type = json_object_get(schema, "type");
	const json_t *least = json_object_get(schema, "minimum"), *most = json_object_get(schema, "maximum");
	char what[160];

	if (type != NULL && !has_type(value, json_string_value(type)))
		snprintf(what, sizeof(what), "is not of type %s", json_string_value(type));
	else if (values != NULL && !is_listed(values, value))
		snprintf(what, sizeof(what), "is none of the values that the schema lists");
	else if (json_is_number(value) && least != NULL && json_number_value(value) < json_number_value(least))
		snprintf(what, sizeof(what), "is less than %.15g", json_number_value(least));
	else if (json_is_number(value) && most != NULL && json_number_value(value) > json_number_value(most))
		snprintf(what, sizeof(what), "is more than %.15g", json_number_value(most));
	else if (json_is_string(value) && json_object_get(schema, "maxLength") != NULL &&
		 (json_int_t)characters(json_string_value(value)) > iot_json_int(schema, "maxLength", 0))
		snprintf(what, sizeof(what), "has more than %lld characters",
			 (long long)iot_json_int(schema, "maxLength", 0));
	else
		return IOT_OK;
	return wrong(err, path, what);
}

static enum iot_status validate_members(const json_t *schema, json_t *object, const char *path, struct iot_error *err)
{
	const json_t *properties = json_object_get(schema, "properties"), *names = json_object_get(schema, "required");
	enum iot_status status = IOT_OK;
	const char *name;
	json_t *value;

	for (size_t i = 0; i < json_array_size(names); i++) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, json_string_value(json_array_get(names, i)));

		if (json_object_get(object, json_string_value(json_array_get(names, i))) == NULL)
			return wrong(err, place, "is missing");
	}
	json_object_foreach(object, name, value) {
		IOT_CLEAN(iot_free_p) char *place = fleet_pointer(path, name);
		const json_t *property = json_object_get(properties, name);

		if (property != NULL)
			status = validate(property, value, place, err);
		else if (!iot_json_bool(schema, "additionalProperties", true))
			status = wrong(err, place, "is not in the schema");
		if (status != IOT_OK)
			break;
	}
	return status;
}

static enum iot_status validate(const json_t *schema, const json_t *value, const char *path, struct iot_error *err)
{
	const json_t *items = json_object_get(schema, "items");
	enum iot_status status = validate_scalar(schema, value, path, err);

	if (status == IOT_OK && json_is_object(value)) {
		IOT_JSON copy = json_deep_copy(value);

		status = validate_members(schema, copy, path, err);
	}
	for (size_t i = 0; status == IOT_OK && items != NULL && i < json_array_size(value); i++) {
		IOT_CLEAN(iot_free_p) char *place = iot_strf("%s/%zu", path, i);

		status = validate(items, json_array_get(value, i), place, err);
	}
	return status;
}

enum iot_status iot_config_validate(const json_t *schema, const json_t *document, struct iot_error *err)
{
	return validate(schema, document, "", err);
}

/* --- of a type ----------------------------------------------------------------------------- */

static enum iot_status need_type(struct iot_cloud *cloud, const char *type, struct iot_error *err)
{
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status != IOT_OK)
		return status;
	return fleet_call(cloud, "DescribeThingType", json_pack("{s:s}", "thingTypeName", type), NULL, err);
}

enum iot_status iot_config_schema_set(struct iot_cloud *cloud, const char *type, const json_t *schema,
				      struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = iot_strf(META "%s", type);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(schema);
	enum iot_status status = iot_config_schema_check(schema, err);

	if (status == IOT_OK)
		status = need_type(cloud, type, err);
	return status == IOT_OK ? iot_local_meta_set(cloud, key, text, err) : status;
}

enum iot_status iot_config_schema_get(struct iot_cloud *cloud, const char *type, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = iot_strf(META "%s", type);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON reply = NULL;
	enum iot_status status;

	if (fleet_is_remote(cloud)) {
		status = fleet_call(cloud, "iotctl:GetDeviceConfigSchema", json_pack("{s:s}", "thingTypeName", type),
				    &reply, err);
		if (status == IOT_OK)
			*ret = json_incref(json_object_get(reply, "schema"));
		return status;
	}
	status = fleet_is_local(cloud) ? need_type(cloud, type, err) : IOT_OK;
	if (status == IOT_OK && fleet_is_local(cloud)) /* AWS has no place for one */
		status = iot_local_meta_get(cloud, key, &text, err);
	if (status != IOT_OK)
		return status;
	if (text == NULL)
		return iot_fail(err, IOT_NOT_FOUND, "thing type '%s' has no schema for configurations", type);
	return iot_json_parse(text, strlen(text), "schema", ret, err);
}
