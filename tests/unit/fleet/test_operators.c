/* Operators as they are made: what the shipped roles may say, and that a call which fails leaves the files alone. */
#include "iotctl/fleet.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"
#include "iotctl/operator.h"
#include "iotctl/profile.h"
#include "iotctl/seal.h"
#include "iotctl/text.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "unit.h"

static char *dir, *fleet, *profile;
static struct iot_cloud *cloud;
static struct iot_error err;

static void call(const char *operation, json_t *request)
{
	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
}

static void set_up(void)
{
	struct iot_fleet_init_options options = {.name = "demo"};
	IOT_JSON record = NULL;

	dir = unit_mkdtemp();
	options.dir = fleet = iot_path(dir, "fleet");
	profile = iot_path(dir, "bench.profile");
	iot_error_clear(&err);
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
}

static void tear_down(void)
{
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(profile);
	free(fleet);
	free(dir);
}

static enum iot_status make(const char *role, bool rotate, json_t **ret)
{
	const struct iot_profile found = {.name = "bench"};
	const struct iot_operator_spec spec = {.name = "bench",
					       .role = role,
					       .lifetime_ms = 3600000,
					       .out = profile,
					       .found = iot_fs_exists(profile) ? &found : NULL};

	return rotate ? iot_operator_rotate(cloud, &spec, ret, &err) : iot_operator_create(cloud, &spec, ret, &err);
}

static bool may_say(const char *key_id, const char *topic)
{
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = NULL;
	IOT_CLEAN(iot_free_p) char *arn = iot_strf("arn:aws:iot:local:000000000000:topic/%s", topic);
	struct iot_error why = IOT_ERROR_INIT;

	ASSERT_OK(iot_operator_key_lookup(cloud, key_id, &who, &err), &err);
	return who != NULL && iot_operator_allowed(who, "iot:Publish", arn, NULL, &why) == IOT_OK;
}

static void test_deploy_is_no_device(void)
{
	static const char *const told[] = {"pump/p1/command",          "p1/command",           "pump/p1/config",
					   "bus/b1/commands",          "bus/b1/configuration", "/devices/m1/config",
					   "/devices/m1/commands/a/b", "plant/orders"};
	static const char *const said[] = {"pump/p1/state",
					   "p1/state",
					   "pump/p1/reply/7",
					   "pump/p1/event",
					   "pump/p1/event/alarm/a",
					   "p1/event/x",
					   "bus/b1/state",
					   "bus/b1/replies/7",
					   "bus/events",
					   "depot/d/state",
					   "/devices/m1/state",
					   "/devices/m1/events/reply/7",
					   "/devices/m1/events/a",
					   "/devices/m1/events",
					   "$aws/things/p1/shadow/update"};
	IOT_JSON record = NULL;
	const char *key_id;

	call("CreateThingType", json_pack("{s:s}", "thingTypeName", "bus"));
	call("CreateThingType", json_pack("{s:s}", "thingTypeName", "meter"));
	ASSERT_OK(iot_layout_use(cloud, "buses", "bus", &err), &err);
	ASSERT_OK(iot_layout_use(cloud, "gcp", "meter", &err), &err);
	ASSERT_OK(make("deploy", false, &record), &err);
	key_id = iot_json_str(record, "accessKeyId", "");
	for (size_t i = 0; i < IOT_LENGTH(told); i++)
		if (!may_say(key_id, told[i]))
			CU_FAIL(told[i]);
	for (size_t i = 0; i < IOT_LENGTH(said); i++)
		if (may_say(key_id, said[i]))
			CU_FAIL(said[i]);
}

#define TO "\"qos\": 1, \"retain\": false, \"direction\": \"to-device\""
#define FROM "\"qos\": 1, \"retain\": false, \"direction\": \"from-device\""

/* A layout in which what devices say and what they are told cannot be told apart by a pattern. */
static void test_commands_get_through(void)
{
	static const char layout[] =
		"{\"name\": \"odd\", \"description\": \"odd\", \"roles\": {"
		"\"config\": {\"topic\": \"set/{thing}/config/now\", " TO ", \"acknowledge\": \"none\"},"
		"\"command\": {\"topic\": \"{thing}/do/it/state\", " TO ", \"correlation\": \"mqtt5\"},"
		"\"reply\": {\"topic\": \"{thing}/reply/of/{token}\", " FROM "},"
		"\"event\": {\"topic\": \"{thing}/said/event/{subfolder}\", " FROM "},"
		"\"state\": {\"topic\": \"{thing}/state\", " FROM "}}}";
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "odd.json");
	IOT_JSON added = NULL;
	IOT_JSON record = NULL;
	const char *key_id;

	ASSERT_OK(iot_fs_write(path, 0600, layout, sizeof(layout) - 1, &err), &err);
	ASSERT_OK(iot_layout_add(cloud, path, false, &added, &err), &err);
	ASSERT_OK(iot_layout_use(cloud, "odd", NULL, &err), &err);
	ASSERT_OK(make("deploy", false, &record), &err);
	key_id = iot_json_str(record, "accessKeyId", "");
	CU_ASSERT_TRUE(may_say(key_id, "p1/do/it/state"));
	CU_ASSERT_TRUE(may_say(key_id, "set/p1/config/now"));
	CU_ASSERT_FALSE(may_say(key_id, "p1/reply/of/7"));
	CU_ASSERT_FALSE(may_say(key_id, "p1/said/event/a"));
}

/* Restored without the sealing key that opens the secrets of devices. */
static void test_lost_sealing_key(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(fleet, IOT_SEAL_KEY_FILE);
	IOT_CLEAN(iot_buf_release) struct iot_buf before = IOT_BUF_SECRET(65536), after = IOT_BUF_SECRET(65536);
	IOT_JSON record = NULL;

	call("CreateThing", json_pack("{s:s}", "thingName", "p1"));
	call("iotctl:CreatePsk", json_pack("{s:s}", "thingName", "p1"));
	ASSERT_OK(make("observe", false, &record), &err);
	json_decref(iot_take(record));
	ASSERT_OK(iot_fs_read(profile, &before, &err), &err);
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	ASSERT_STATUS(make("observe", true, &record), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "sealing key");
	ASSERT_CONTAINS(err.hint, "put the file back");
	ASSERT_CONTAINS(err.hint, "psk delete");
	/* The old file still connects to the broker: it is as it was, and no key was made that opens nothing. */
	ASSERT_OK(iot_fs_read(profile, &after, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&before), iot_buf_str(&after));
	CU_ASSERT_FALSE(iot_fs_exists(path));
	/* Who has lost it for good takes leave of the secrets. */
	call("iotctl:RevokePsk", json_pack("{s:s}", "identity", "p1"));
	call("iotctl:DeletePsk", json_pack("{s:s}", "identity", "p1"));
	iot_error_clear(&err);
	ASSERT_OK(make("observe", true, &record), &err);
	CU_ASSERT_TRUE(iot_fs_exists(path));
}

UNIT_MAIN("fleet/operators", set_up, tear_down, {"deploy_is_no_device", test_deploy_is_no_device},
	  {"commands_get_through", test_commands_get_through}, {"lost_sealing_key", test_lost_sealing_key})
