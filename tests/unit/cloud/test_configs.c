/* Configurations in the registry: versions, what is said and to whom, what an acknowledgement counts for. */
#include "jobs_fixture.h"

#include "iotctl/log.h"

#define STATE_WAY "'acknowledge': 'state', 'topic': 'bus/%s/configuration', 'qos': 1, 'retain': true"

static char warning[512];

static void note_warning(enum iot_log_level level, const char *line, void *data)
{
	(void)data;
	if (level == IOT_LOG_WARNING)
		snprintf(warning, sizeof(warning), "%s", line);
}

static void connect_thing(const char *thing, bool there)
{
	struct iot_error err = IOT_ERROR_INIT;
	static int64_t connection;

	ASSERT_OK(iot_local_presence(cloud, thing, there, ++connection, "CONNECTED", NULL, NULL, &err), &err);
}

static bool take_row(const struct iot_outbox_row *row, void *data)
{
	iot_buf_addf(data, "%s %d%s %.*s\n", row->topic, row->qos, row->retain ? " retained" : "",
		     (int)row->payload_len, (const char *)row->payload);
	return true;
}

/* What waits in the outbox; new memory. */
static char *said(void)
{
	struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;

	iot_buf_adds(&text, "");
	ASSERT_OK(iot_local_outbox(cloud, 100, take_row, &text, NULL, &err), &err);
	return iot_buf_detach(&text);
}

static void expect_text(int line, char *got, const char *expected)
{
	IOT_CLEAN(iot_free_p) char *want = strdup(expected);

	for (char *c = want; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	if (strcmp(got != NULL ? got : "", want) != 0)
		fprintf(stderr, "\nline %d: got:\n%s\nnot:\n%s\n", line, got, want);
	CU_ASSERT_STRING_EQUAL(got != NULL ? got : "", want);
	free(got);
}
#define EXPECT_SAID(text) expect_text(__LINE__, said(), text)

/* "TOPIC PAYLOAD" of what a device that comes back must hear, "" for nothing; new memory. */
static char *due(const char *thing)
{
	struct iot_config_message message;
	struct iot_error err = IOT_ERROR_INIT;
	char *text;

	ASSERT_OK(iot_local_config_due(cloud, thing, &message, &err), &err);
	text = message.topic != NULL ? iot_strf("%s %s", message.topic, message.payload) : iot_strdup("");
	iot_config_message_release(&message);
	return text;
}
#define EXPECT_DUE(thing, text) expect_text(__LINE__, due(thing), text)

static void report_state(const char *thing, const char *member, json_t *value)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON state = json_pack("{s:o}", member, value);

	ASSERT_OK(iot_local_state(cloud, thing, state, NULL, &err), &err);
}

static void report_shadow(const char *thing, const char *text)
{
	struct iot_error err = IOT_ERROR_INIT;
	const struct iot_body in = {.data = text, .len = strlen(text), .fd = -1};
	IOT_JSON names = json_pack("{s:s, s:s}", "thingName", thing, "shadowName", "config");

	ASSERT_OK(iot_cloud_call(cloud, "UpdateThingShadow", names, &in, NULL, NULL, &err), &err);
}

static void test_versions(void)
{
	add_thing("bus");
	DO("GetDeviceConfig", "ResourceNotFoundException", "{'thingName': 'bus'}");
	DO("SetDeviceConfig", "ResourceNotFoundException", "{'thingName': 'tram', 'document': {}}");
	EXPECT_CALL("version", "1", "SetDeviceConfig",
		    "{'thingName': 'bus', 'document': {'speed': 1}, 'author': 'eve@host', " STATE_WAY "}", "bus");
	iot_clock_freeze(NOW + MINUTE);
	EXPECT_CALL("version", "2", "SetDeviceConfig",
		    "{'thingName': 'bus', 'document': {'speed': 0.1}, 'author': 'bob@host', 'expectedVersion': "
		    "1, " STATE_WAY "}",
		    "bus");
	/* The same again is nothing new; somebody who has read version 1 is told. */
	EXPECT_CALL("changed", "false", "SetDeviceConfig",
		    "{'thingName': 'bus', 'document': {'speed': 0.1}, " STATE_WAY "}", "bus");
	DO("SetDeviceConfig", "VersionConflictException",
	   "{'thingName': 'bus', 'document': {'speed': 3}, 'expectedVersion': 1, " STATE_WAY "}", "bus");
	DO("SetDeviceConfig", "VersionConflictException",
	   "{'thingName': 'bus', 'document': {'speed': 3}, 'expectedVersion': 0, " STATE_WAY "}", "bus");
	EXPECT_CALL("document", "{'speed':1}", "GetDeviceConfig", "{'thingName': 'bus', 'version': 1}");
	EXPECT_CALL("author", "'bob@host'", "GetDeviceConfig", "{'thingName': 'bus'}");
	DO("GetDeviceConfig", "ResourceNotFoundException", "{'thingName': 'bus', 'version': 3}");
	EXPECT_CALL("versions.1", "{'version':1,'document':{'speed':1},'author':'eve@host','createdAt':1795000000}",
		    "ListDeviceConfigVersions", "{'thingName': 'bus'}");
	EXPECT_CALL("versions", "[]", "ListDeviceConfigVersions",
		    "{'thingName': 'bus', 'nextToken': 'azE'}"); /* behind version 1 */
}

static void test_refused(void)
{
	add_thing("bus");
	DO("SetDeviceConfig", "InvalidRequestException", "{'thingName': 'bus', 'document': {'configVersion': 1}}");
	DO("SetDeviceConfig", "InvalidRequestException",
	   "{'thingName': 'bus', 'document': {'v': 1}, 'versionMember': 'v', " STATE_WAY "}", "bus");
	DO("SetDeviceConfig", "InvalidRequestException",
	   "{'thingName': 'bus', 'document': {}, 'acknowledge': 'state'}");
	DO("SetDeviceConfig", "InvalidRequestException", "{'thingName': 'bus', 'document': {}, 'topic': 'a'}");
	DO("SetDeviceConfig", "InvalidRequestException", "{'thingName': 'bus', 'document': []}");
	/* What a shadow cannot hold is no version either. */
	DO("SetDeviceConfig", "InvalidRequestException",
	   "{'thingName': 'bus', 'document': {'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':{'a':1}}}}}}}}}}");
	DO("GetDeviceConfig", "ResourceNotFoundException", "{'thingName': 'bus'}");
}

static void test_said(void)
{
	add_thing("bus");
	add_thing("tram");
	DO("SetDeviceConfig", "", "{'thingName': 'bus', 'document': {'speed': 1}, " STATE_WAY "}", "bus");
	DO("SetDeviceConfig", "", "{'thingName': 'tram', 'document': {'speed': 1}}");
	EXPECT_SAID(""); /* nobody is there */
	EXPECT_DUE("bus", "bus/bus/configuration {'speed':1,'configVersion':1}");
	EXPECT_DUE("tram", "$aws/things/tram/shadow/name/config/update/delta {'state':{'speed':1,'configVersion':1},"
			   "'metadata':{'speed':{'timestamp':1795000000},'configVersion':{'timestamp':1795000000}},"
			   "'version':1,'timestamp':1795000000}");
	EXPECT_DUE("nobody", "");

	connect_thing("bus", true);
	DO("SetDeviceConfig", "", "{'thingName': 'bus', 'document': {'speed': 2}, " STATE_WAY "}", "bus");
	EXPECT_SAID("bus/bus/configuration 1 retained {'speed':2,'configVersion':2}\n");
	connect_thing("bus", false);
	DO("SetDeviceConfig", "",
	   "{'thingName': 'bus', 'document': {'speed': 3}, 'acknowledge': 'none', 'topic': 'x'}");
	EXPECT_SAID("");
	EXPECT_DUE("bus", "x {'speed':3}");
}

/* The whole document is what is desired: members that it has no more are gone. */
static void test_shadow(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(1 << 16);
	IOT_JSON names = json_pack("{s:s, s:s}", "thingName", "pump", "shadowName", "config");
	IOT_JSON shadow = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_free_p) char *text = NULL;

	add_thing("pump");
	connect_thing("pump", true);
	DO("SetDeviceConfig", "", "{'thingName': 'pump', 'document': {'a': 1, 'deep': {'b': 1, 'c': 2}}}");
	DO("SetDeviceConfig", "", "{'thingName': 'pump', 'document': {'deep': {'c': 3}}}");
	ASSERT_OK(iot_cloud_call(cloud, "GetThingShadow", names, NULL, NULL, &out, &err), &err);
	shadow = json_loads(iot_buf_str(&out), 0, NULL);
	EXPECT(shadow, "state.desired", "{'deep':{'c':3},'configVersion':2}");
	text = said();
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "$aws/things/pump/shadow/name/config/update/delta 1 {\"state\":{\"deep\""));

	report_shadow("pump", "{\"state\": {\"reported\": {\"deep\": {\"c\": 3}}}}");
	EXPECT_CALL("acknowledgedAt", "null", "GetDeviceConfig", "{'thingName': 'pump'}");
	report_shadow("pump", "{\"state\": {\"reported\": {\"configVersion\": 2}}}");
	EXPECT_CALL("acknowledgedAt", "1795000000", "GetDeviceConfig", "{'thingName': 'pump'}");
	EXPECT_DUE("pump", "");
	/* A state report does not acknowledge what a shadow does. */
	DO("SetDeviceConfig", "", "{'thingName': 'pump', 'document': {}}");
	report_state("pump", "configVersion", json_integer(3));
	EXPECT_CALL("acknowledgedAt", "null", "GetDeviceConfig", "{'thingName': 'pump'}");
}

static void test_acknowledged(void)
{
	add_thing("bus");
	report_state("bus", "configVersion", json_integer(1)); /* it has none: nothing to acknowledge */
	DO("SetDeviceConfig", "", "{'thingName': 'bus', 'document': {'speed': 1}, " STATE_WAY "}", "bus");
	DO("SetDeviceConfig", "", "{'thingName': 'bus', 'document': {'speed': 2}, " STATE_WAY "}", "bus");
	report_state("bus", "configVersion", json_integer(1));
	EXPECT_CALL("configs.0.acknowledgedVersion", "1", "ListDeviceConfigs", "{}");
	EXPECT_DUE("bus", "bus/bus/configuration {'speed':2,'configVersion':2}");
	iot_clock_freeze(NOW + MINUTE);
	report_state("bus", "configVersion", json_integer(2));
	EXPECT_CALL("configs.0.acknowledgedVersion", "2", "ListDeviceConfigs", "{}");
	EXPECT_CALL("configs.0.acknowledgedAt", "1795000060", "ListDeviceConfigs", "{}");
	EXPECT_DUE("bus", "");
	iot_clock_freeze(NOW + 2 * MINUTE);
	report_state("bus", "configVersion", json_integer(2)); /* since when, not how often */
	EXPECT_CALL("configs.0.acknowledgedAt", "1795000060", "ListDeviceConfigs", "{}");
	/* Reset to its factory's state: it gets it again. */
	report_state("bus", "configVersion", json_integer(0));
	EXPECT_CALL("configs.0.acknowledgedVersion", "null", "ListDeviceConfigs", "{}");
	EXPECT_DUE("bus", "bus/bus/configuration {'speed':2,'configVersion':2}");
}

static void test_never_sent(void)
{
	add_thing("bus");
	DO("SetDeviceConfig", "", "{'thingName': 'bus', 'document': {'speed': 1}, " STATE_WAY "}", "bus");
	iot_log_set_sink(note_warning, NULL);
	report_state("bus", "configVersion", json_integer(7));
	CU_ASSERT_PTR_NOT_NULL(strstr(warning, "'bus' acknowledges version 7"));
	warning[0] = '\0';
	report_state("bus", "configVersion", json_string("1"));
	CU_ASSERT_PTR_NOT_NULL(strstr(warning, "version \"1\""));
	warning[0] = '\0';
	report_state("bus", "temperature", json_integer(7));
	CU_ASSERT_STRING_EQUAL(warning, "");
	iot_log_set_sink(NULL, NULL);
	EXPECT_CALL("acknowledgedAt", "null", "GetDeviceConfig", "{'thingName': 'bus'}");
}

static void test_lists(void)
{
	static const char *const things[] = {"a", "b", "c", "d"};
	IOT_JSON page = NULL;

	add_group("all");
	DO("CreateThingGroup", "", "{'thingGroupName': 'beta', 'parentGroupName': 'all'}");
	for (size_t i = 0; i < IOT_LENGTH(things); i++)
		add_thing(things[i]);
	join("a", "beta");
	join("b", "beta");
	DO("SetDeviceConfig", "", "{'thingName': 'b', 'document': {}}");
	DO("SetDeviceConfig", "", "{'thingName': 'c', 'document': {}}");
	EXPECT_CALL("configs.1.thingName", "'c'", "ListDeviceConfigs", "{}");
	EXPECT_CALL("configs.1", "null", "ListDeviceConfigs", "{'thingGroupName': 'all'}");
	EXPECT_CALL("configs.0", "{'thingName':'a'}", "ListDeviceConfigs",
		    "{'thingGroupName': 'all', 'unconfigured': true}");
	EXPECT_CALL("configs", "[]", "ListDeviceConfigs", "{'thingName': 'd'}");
	DO("ListDeviceConfigs", "ResourceNotFoundException", "{'thingGroupName': 'gamma'}");
	DO("ListDeviceConfigs", "InvalidRequestException", "{'thingGroupName': 'all', 'thingName': 'a'}");
	page = CALL("ListDeviceConfigs", "", "{'unconfigured': true, 'maxResults': 3}");
	EXPECT_CALL("configs", "[{'thingName':'d'}]", "ListDeviceConfigs", "{'unconfigured': true, 'nextToken': '%s'}",
		    iot_json_str(page, "nextToken", ""));
	/* A device that is gone has no configuration any more, whoever gets its name next. */
	DO("DeleteThing", "", "{'thingName': 'c'}");
	add_thing("c");
	DO("GetDeviceConfig", "ResourceNotFoundException", "{'thingName': 'c'}");
}

static void report_event(const char *thing, const char *text, enum iot_status expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *event = json_loads(text, JSON_DECODE_ANY, NULL);

	ASSERT_STATUS(iot_local_event(cloud, thing, event, &err), expected, &err);
	json_decref(event);
}

static void test_acknowledged_by_event(void)
{
	add_thing("bus");
	report_event("bus", "{\"cfg\": 1}", IOT_OK); /* it has none */
	DO("SetDeviceConfig", "",
	   "{'thingName': 'bus', 'document': {'speed': 1}, 'acknowledge': 'event', 'versionMember': 'cfg',"
	   " 'topic': 'bus/bus/c', 'qos': 1, 'retain': false}");
	EXPECT_DUE("bus", "bus/bus/c {'speed':1,'cfg':1}");
	/* Whatever is none: of another kind, without the member, nobody's, no version, one that was never sent. */
	report_state("bus", "cfg", json_integer(1));
	report_event("bus", "{\"configVersion\": 1}", IOT_OK);
	report_event("bus", "[1]", IOT_OK);
	report_event("tram", "{\"cfg\": 1}", IOT_NOT_FOUND);
	report_event("bus", "{\"cfg\": \"1\"}", IOT_OK);
	iot_log_set_sink(note_warning, NULL);
	report_event("bus", "{\"cfg\": 2}", IOT_OK);
	iot_log_set_sink(NULL, NULL);
	ASSERT_CONTAINS(warning, "'bus' acknowledges version 2");
	EXPECT_CALL("acknowledgedAt", "null", "GetDeviceConfig", "{'thingName': 'bus'}");
	EXPECT_DUE("bus", "bus/bus/c {'speed':1,'cfg':1}");
	report_event("bus", "{\"cfg\": 1, \"more\": true}", IOT_OK);
	EXPECT_CALL("acknowledgedAt", "1795000000", "GetDeviceConfig", "{'thingName': 'bus'}");
	EXPECT_DUE("bus", "");
}

UNIT_MAIN("cloud/configs", set_up, tear_down, {"versions", test_versions}, {"refused", test_refused},
	  {"said", test_said}, {"shadow", test_shadow}, {"acknowledged", test_acknowledged},
	  {"acknowledged_by_event", test_acknowledged_by_event}, {"never-sent", test_never_sent}, {"lists", test_lists})
