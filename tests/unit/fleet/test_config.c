/* Configurations set by two people at once, for all or for nobody, and schemas. */
#include "iotctl/configuration.h"
#include "iotctl/local.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "unit.h"

static char *dir;
static struct iot_cloud *cloud;
static struct iot_error err;

static void set_up(void)
{
	IOT_CLEAN(iot_free_p) char *fleet = NULL;
	static const char *const things[] = {"bus-1", "bus-2"};

	dir = unit_mkdtemp();
	fleet = iot_path(dir, "fleet");
	ASSERT_OK(iot_local_create(fleet, "demo", &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(things); i++) {
		IOT_JSON request = json_pack("{s:s}", "thingName", things[i]);

		ASSERT_OK(iot_cloud_call(cloud, "CreateThing", request, NULL, NULL, NULL, &err), &err);
	}
}

static void tear_down(void)
{
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

/* --- setting ------------------------------------------------------------------------------- */

static enum iot_status speed(void *data, json_t **ret, struct iot_error *ignored)
{
	(void)ignored;
	*ret = json_pack("{s:i}", "speed", *(const int *)data);
	return IOT_OK;
}

static enum iot_status set(const char *first, const char *second, int value, int64_t if_version)
{
	const char *const devices[] = {first, second, NULL};
	const struct iot_config_set spec = {
		.devices = devices, .if_version = if_version, .document = speed, .data = &value};
	IOT_JSON records = NULL;

	iot_error_clear(&err);
	return iot_config_set(cloud, &spec, &records, &err);
}

static int64_t version_of(const char *device)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	return iot_config_get(cloud, device, 0, &record, &ignored) == IOT_OK ? iot_json_int(record, "version", -1) : 0;
}

/* The other operator sets one while this one still thinks. */
static enum iot_status meanwhile(void *data, json_t **ret, struct iot_error *ignored)
{
	int mine = 1;

	CU_ASSERT_EQUAL(set(data, NULL, 2, -1), IOT_OK);
	return speed(&mine, ret, ignored);
}

static void test_two_operators(void)
{
	static char other[] = "bus-2";
	static const char *const devices[] = {"bus-1", "bus-2", NULL};
	const struct iot_config_set spec = {.devices = devices, .if_version = -1, .document = meanwhile, .data = other};
	IOT_JSON records = NULL;

	ASSERT_STATUS(iot_config_set(cloud, &spec, &records, &err), IOT_CONFLICT, &err);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.what, "'bus-2' has version 1, not 0"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.hint, "somebody else"));
	/* Nor has the device that nobody else touched got it. */
	CU_ASSERT_EQUAL(version_of("bus-1"), 0);
	CU_ASSERT_EQUAL(version_of("bus-2"), 1);
}

static void test_if_version(void)
{
	ASSERT_STATUS(set("bus-1", NULL, 1, 1), IOT_CONFLICT, &err);
	ASSERT_OK(set("bus-1", NULL, 1, 0), &err);
	ASSERT_STATUS(set("bus-1", "bus-2", 2, 1), IOT_CONFLICT, &err);
	CU_ASSERT_EQUAL(version_of("bus-1"), 1);
	ASSERT_OK(set("bus-1", NULL, 2, 1), &err);
	ASSERT_STATUS(set("bus-1", "bus-3", 3, -1), IOT_NOT_FOUND, &err);
	CU_ASSERT_EQUAL(version_of("bus-1"), 2);
}

static void test_rollback(void)
{
	IOT_JSON record = NULL;
	IOT_JSON differences = NULL;

	ASSERT_OK(set("bus-1", NULL, 1, -1), &err);
	ASSERT_STATUS(iot_config_rollback(cloud, "bus-1", 0, &record, &err), IOT_NOT_FOUND, &err);
	ASSERT_OK(set("bus-1", NULL, 2, -1), &err);
	ASSERT_OK(iot_config_rollback(cloud, "bus-1", 0, &record, &err), &err);
	CU_ASSERT_EQUAL(iot_json_int(record, "version", 0), 3);
	ASSERT_OK(iot_config_diff(cloud, "bus-1", 1, 0, &differences, &err), &err);
	CU_ASSERT_EQUAL(json_array_size(differences), 0);
}

/* --- schemas ---------------------------------------------------------------------------------- */

static json_t *quoted(const char *text)
{
	IOT_CLEAN(iot_free_p) char *copy = iot_strdup(text);

	for (char *c = copy; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	return json_loads(copy, JSON_DECODE_ANY, NULL);
}

static void test_schemas(void)
{
	static const char *const bad[] = {
		"[]",
		"true",
		"{'type': ['string']}",
		"{'type': 'text'}",
		"{'pattern': '.'}",
		"{'$ref': '#'}",
		"{'required': 'a'}",
		"{'required': [1]}",
		"{'enum': []}",
		"{'minimum': '1'}",
		"{'maxLength': -1}",
		"{'items': [{}]}",
		"{'properties': {'a': true}}",
		"{'properties': {'a': {'items': {'not': {}}}}}",
		"{'additionalProperties': {}}",
		"{'minLength': 1}",
	};

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		IOT_JSON schema = quoted(bad[i]);

		CU_ASSERT_PTR_NOT_NULL_FATAL(schema);
		ASSERT_STATUS(iot_config_schema_check(schema, &err), IOT_USAGE, &err);
	}
}

static void test_validate(void)
{
	static const struct {
		const char *schema, *document, *fault; /* NULL: good */
	} rows[] = {
		{"{}", "{'a': [null]}", NULL},
		{"{'type': 'array'}", "{}", "'/' of the configuration is not of type array"},
		{"{'properties': {'a': {'type': 'integer'}}}", "{'a': 2.0}", NULL},
		{"{'properties': {'a': {'type': 'integer'}}}", "{'a': 1e300}", "'/a' of the configuration is not of"},
		{"{'properties': {'a': {'type': 'number'}}}", "{'a': true}", "'/a'"},
		{"{'properties': {'a': {'enum': [1, null]}}}", "{'a': 1.0}", NULL},
		{"{'properties': {'a': {'enum': [1, '1']}}}", "{'a': true}", "'/a'"},
		{"{'properties': {'a': {'minimum': 1}}}", "{'a': 'x'}", NULL}, /* says nothing of texts */
		{"{'properties': {'a/b': {'maximum': 1}}}", "{'a/b': 1.5}",
		 "'/a~1b' of the configuration is more than 1"},
		{"{'properties': {'a': {'items': {'required': ['b']}}}}", "{'a': [{'b': 1}, {}]}",
		 "'/a/1/b' of the "
		 "configuration is missing"},
		{"{'additionalProperties': false}", "{'a': 1}", "'/a' of the configuration is not in the schema"},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		IOT_JSON schema = quoted(rows[i].schema);
		IOT_JSON document = quoted(rows[i].document);

		iot_error_clear(&err);
		ASSERT_OK(iot_config_schema_check(schema, &err), &err);
		ASSERT_STATUS(iot_config_validate(schema, document, &err), rows[i].fault == NULL ? IOT_OK : IOT_USAGE,
			      &err);
		if (rows[i].fault != NULL && strstr(err.what, rows[i].fault) == NULL)
			fprintf(stderr, "\nrow %zu: %s\n", i, err.what);
		CU_ASSERT(rows[i].fault == NULL || strstr(err.what, rows[i].fault) != NULL);
	}
}

UNIT_MAIN("fleet/config", set_up, tear_down, {"two-operators", test_two_operators}, {"if-version", test_if_version},
	  {"rollback", test_rollback}, {"schemas", test_schemas}, {"validate", test_validate})
