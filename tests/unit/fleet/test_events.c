/* What devices say by their layouts; and routes that are refused, and why. */
#include "iotctl/events.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

static char *dir, *fleet;
static struct iot_cloud *cloud;
static struct iot_error err;

static void call(const char *operation, const char *key, const char *value)
{
	IOT_JSON request = json_pack("{s:s}", key, value);

	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, NULL, NULL, &err), &err);
}

static void set_up(void)
{
	dir = unit_mkdtemp();
	fleet = iot_path(dir, "fleet");
	iot_error_clear(&err);
	ASSERT_OK(iot_local_create(fleet, "demo", &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	call("CreateThingType", "thingTypeName", "bus");
	call("CreateThingType", "thingTypeName", "meter");
	ASSERT_OK(iot_layout_use(cloud, "buses", "bus", &err), &err);
	ASSERT_OK(iot_layout_use(cloud, "gcp", "meter", &err), &err);
}

static void tear_down(void)
{
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(fleet);
	free(dir);
}

/* --- the talk ---------------------------------------------------------------------------------- */

static void filters_are(const struct iot_talk *talk, enum iot_role role, const char *expected)
{
	struct iot_buf text = IOT_BUF_INIT(4096);

	for (const char *const *at = iot_talk_filters(talk, role); *at != NULL; at++)
		iot_buf_addf(&text, "%s ", *at);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), expected);
	iot_buf_release(&text);
}

static void test_filters(void)
{
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;
	const json_t *topics;

	ASSERT_OK(iot_talk_new(cloud, &talk, &err), &err);
	/* What '+/+/state' covers is not asked for again, and the plugin knows of all. */
	filters_are(talk, IOT_ROLE_STATE, "/devices/+/state +/+/state +/state ");
	filters_are(talk, IOT_ROLE_EVENT, "/devices/+/events/# bus/events +/+/event/# +/event/# ");
	topics = iot_talk_topics(talk);
	CU_ASSERT_EQUAL(json_object_size(topics), 8);
	CU_ASSERT_EQUAL(iot_json_int(topics, "bus/events", 9), -1);
	CU_ASSERT_EQUAL(iot_json_int(topics, "/devices/+/events/#", 9), 2);
	CU_ASSERT_EQUAL(iot_json_int(topics, "+/+/event/#", 9), 1);
	CU_ASSERT_EQUAL(iot_json_int(topics, "+/event/#", 9), 0);
	CU_ASSERT_EQUAL(iot_json_int(topics, "bus/+/state", 9), 1);
}

static void test_match(void)
{
	static const struct {
		const char *topic, *thing; /* who said it */
		const char *expected;      /* "layout role thing subfolder", NULL: nothing */
	} rows[] = {
		{"bus/events", "bus-1", "buses event bus-1 "},
		{"bus/events", NULL, "buses event  "},
		{"/devices/m1/events/a/b", "m1", "gcp event m1 a/b"},
		{"/devices/m1/events", "m1", "gcp event m1 "},
		{"/devices/m1/events/a", "m2", NULL},       /* of another one */
		{"/devices/m1/events/reply/7", "m1", NULL}, /* a reply is no event */
		{"/devices/m1/state", "m1", "gcp state m1 "},
		{"pump/p1/event/alarm", "p1", "aws event p1 alarm"},
		{"pump/p1/event/alarm", NULL, "aws event p1 alarm"},
		{"p1/event", "p1", "aws event p1 "},
		{"pump/p1/command", "p1", NULL},
		{"pump/p1/config", "p1", NULL},
		{"x", "p1", NULL},
	};
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;

	ASSERT_OK(iot_talk_new(cloud, &talk, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		struct iot_talk_match match;
		bool matches = iot_talk_match(talk, rows[i].topic, rows[i].thing, &match);
		IOT_CLEAN(iot_free_p)
		char *got = matches ? iot_strf("%s %s %s %s", match.layout, iot_role_name(match.topic.role),
					       match.topic.thing, match.topic.subfolder)
				    : iot_strdup("");

		if (strcmp(got, rows[i].expected != NULL ? rows[i].expected : "") != 0)
			fprintf(stderr, "\n%s: '%s'\n", rows[i].topic, got);
		CU_ASSERT_STRING_EQUAL(got, rows[i].expected != NULL ? rows[i].expected : "");
		if (matches)
			CU_ASSERT_PTR_NULL(match.version_member);
	}
}

/* A layout that acknowledges by events, with a state topic of its own. */
static void add_trams(void)
{
	static const char text[] =
		"{\"name\": \"trams\", \"description\": \"d\", \"roles\": {"
		"\"config\": {\"topic\": \"tram/{thing}/cfg\", \"qos\": 1, \"retain\": false, \"direction\": "
		"\"to-device\","
		" \"acknowledge\": \"event\", \"versionMember\": \"cfg\"},"
		"\"command\": {\"topic\": \"tram/{thing}/cmd\", \"qos\": 1, \"retain\": false, \"direction\": "
		"\"to-device\","
		" \"correlation\": \"payload\", \"tokenMember\": \"t\"},"
		"\"reply\": {\"topic\": \"tram/{thing}/re/{token}\", \"qos\": 1, \"retain\": false,"
		" \"direction\": \"from-device\"},"
		"\"event\": {\"topic\": \"tram/{thing}/ev/{subfolder}\", \"qos\": 1, \"retain\": false,"
		" \"direction\": \"from-device\"},"
		"\"state\": {\"topic\": \"tram/{thing}/status\", \"qos\": 1, \"retain\": true,"
		" \"direction\": \"from-device\"}}}";
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "trams.json");
	IOT_JSON record = NULL;

	ASSERT_OK(iot_fs_write(path, 0600, text, strlen(text), &err), &err);
	ASSERT_OK(iot_layout_add(cloud, path, false, &record, &err), &err);
}

static void test_own_layout(void)
{
	IOT_CLEAN(iot_talk_free_p) struct iot_talk *talk = NULL;
	IOT_CLEAN(iot_free_p) char *before = NULL;
	IOT_CLEAN(iot_free_p) char *after = NULL;
	struct iot_talk_match match;

	add_trams();
	ASSERT_OK(iot_local_talk_version(cloud, &before, &err), &err);
	ASSERT_OK(iot_layout_use(cloud, "trams", NULL, &err), &err);
	ASSERT_OK(iot_local_talk_version(cloud, &after, &err), &err);
	CU_ASSERT_STRING_NOT_EQUAL(before, after);
	ASSERT_OK(iot_talk_new(cloud, &talk, &err), &err);
	filters_are(talk, IOT_ROLE_EVENT, "/devices/+/events/# bus/events tram/+/ev/# ");
	CU_ASSERT_TRUE(iot_talk_match(talk, "tram/t1/ev/x", "t1", &match));
	CU_ASSERT_STRING_EQUAL(match.version_member != NULL ? match.version_member : "", "cfg");
	CU_ASSERT_TRUE(iot_talk_match(talk, "tram/t1/status", "t1", &match));
	CU_ASSERT_EQUAL(match.topic.role, IOT_ROLE_STATE);
	CU_ASSERT_PTR_NULL(match.version_member);
	CU_ASSERT_FALSE(iot_talk_match(talk, "tram/t2/status", "t1", &match));
}

/* --- routes ------------------------------------------------------------------------------------ */

/* A route as JSON text with ' for ", and %s for the folder. */
static enum iot_status add(const char *text, const char *before)
{
	struct iot_buf out = IOT_BUF_INIT(4096);
	IOT_JSON route = NULL;
	enum iot_status status;

	for (; *text != '\0'; text++) {
		if (text[0] == '%' && text[1] == 's')
			iot_buf_adds(&out, (text++, dir));
		else
			iot_buf_addc(&out, *text == '\'' ? '"' : *text);
	}
	route = json_loads(iot_buf_str(&out), 0, NULL);
	if (route == NULL)
		CU_FAIL("bad test route");
	iot_error_clear(&err);
	status = iot_route_add(cloud, route, before, &err);
	iot_buf_release(&out);
	return status;
}

static void refused_at(int line, const char *text, enum iot_status status, const char *what)
{
	enum iot_status got = add(text, NULL);

	if (got != status || strstr(err.what, what) == NULL)
		fprintf(stderr, "\nline %d: %d %s\n", line, (int)got, err.what);
	CU_ASSERT_EQUAL(got, status);
	ASSERT_CONTAINS(err.what, what);
}
#define REFUSED(text, status, what) refused_at(__LINE__, text, status, what)
#define X "'name': 'x', 'subfolder': '#', "

static void test_refused(void)
{
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "link");
	IOT_CLEAN(iot_free_p) char *around = iot_path(dir, "around");

	if (symlink("/dev/null", link) != 0 || symlink(fleet, around) != 0)
		abort();
	REFUSED("{'name': 'a b', 'subfolder': '#', 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "a name must be");
	REFUSED("{'name': 'x', 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "has a subfolder, or is the default");
	REFUSED("{" X "'default': true, 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "has a subfolder, or");
	REFUSED("{'name': 'x', 'subfolder': 'a#', 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "is no filter");
	REFUSED("{" X "'layout': 'gone', 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "there is no layout 'gone'");
	REFUSED("{" X "'mode': 1, 'type': 'file', 'target': '%s/f'}", IOT_USAGE, "no member 'mode'");
	REFUSED("{" X "'type': 'mail', 'target': 'x'}", IOT_USAGE, "type must be");
	REFUSED("{" X "'type': 'file', 'target': 'f'}", IOT_USAGE, "absolute path");
	REFUSED("{" X "'type': 'file', 'target': '%s/f', 'maxSize': 1}", IOT_USAGE, "maxSize");
	REFUSED("{" X "'type': 'file', 'target': '%s/f', 'keep': 101}", IOT_USAGE, "keep");
	REFUSED("{" X "'type': 'file', 'target': '%s/gone/f'}", IOT_USAGE, "is not there");
	REFUSED("{" X "'type': 'file', 'target': '%s/fleet/registry.db'}", IOT_USAGE, "fleet's own directory");
	REFUSED("{" X "'type': 'file', 'target': '%s/around/broker.log'}", IOT_USAGE, "fleet's own directory");
	REFUSED("{" X "'type': 'file', 'target': '%s/link'}", IOT_USAGE, "not a regular file");
	REFUSED("{" X "'type': 'command', 'target': []}", IOT_USAGE, "list of 1 to 64 words");
	REFUSED("{" X "'type': 'command', 'target': ['/bin/sh', 1]}", IOT_USAGE, "word 2");
	REFUSED("{" X "'type': 'command', 'target': ['/no/such']}", IOT_USAGE, "cannot run");
	REFUSED("{" X "'type': 'command', 'target': ['no-such-program']}", IOT_NOT_FOUND, "is not there");
	REFUSED("{" X "'type': 'topic', 'target': '$aws/x'}", IOT_USAGE, "reserved");
	REFUSED("{" X "'type': 'topic', 'target': 'a/{subfolder}/b'}", IOT_USAGE, "no template");
	REFUSED("{" X "'type': 'topic', 'target': 'a/{type}'}", IOT_USAGE, "no template");
	REFUSED("{" X "'type': 'topic', 'target': 'a/+'}", IOT_USAGE, "wildcard");
}

static void test_loops(void)
{
	REFUSED("{" X "'type': 'topic', 'target': 'bus/events'}", IOT_USAGE, "devices say events");
	REFUSED("{" X "'type': 'topic', 'target': 'pump/{thing}/event/{subfolder}'}", IOT_USAGE, "devices say events");
	REFUSED("{" X "'type': 'topic', 'target': '/devices/{thing}/events/all'}", IOT_USAGE, "devices say events");
	REFUSED("{" X "'type': 'topic', 'target': 'x/{thing}/state'}", IOT_USAGE, "devices say events");
	REFUSED("{'name': 'x', 'subfolder': 'state', 'type': 'topic', 'target': 'a/{thing}/{subfolder}'}", IOT_USAGE,
		"devices say events");
	ASSERT_OK(add("{" X "'type': 'topic', 'target': 'alerts/{thing}/{subfolder}'}", NULL), &err);
}

static void findings_are(const char *expected)
{
	struct iot_buf text = IOT_BUF_INIT(4096);
	IOT_JSON findings = NULL;
	json_t *finding;
	size_t i;

	ASSERT_OK(iot_route_check(cloud, &findings, &err), &err);
	json_array_foreach(findings, i, finding)
		iot_buf_addf(&text, "%s:%s ", iot_json_str(finding, "route", ""), iot_json_str(finding, "rule", ""));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&text), expected);
	iot_buf_release(&text);
}

static void test_among_others(void)
{
	ASSERT_OK(add("{'name': 'a', 'subfolder': 'alarm/#', 'type': 'file', 'target': '%s/a'}", NULL), &err);
	REFUSED("{'name': 'a', 'subfolder': 'x', 'type': 'file', 'target': '%s/b'}", IOT_CONFLICT, "already");
	REFUSED("{'name': 'b', 'subfolder': 'alarm/high', 'type': 'file', 'target': '%s/b'}", IOT_USAGE,
		"takes all its events");
	ASSERT_OK(add("{'name': 'b', 'subfolder': 'alarm/high', 'type': 'file', 'target': '%s/b'}", "a"), &err);
	ASSERT_STATUS(add("{'name': 'c', 'subfolder': 'x', 'type': 'file', 'target': '%s/b'}", "gone"), IOT_NOT_FOUND,
		      &err);
	ASSERT_OK(add("{'name': 'l', 'subfolder': '#', 'layout': 'gcp', 'type': 'file', 'target': '%s/l'}", NULL),
		  &err);
	ASSERT_OK(add("{'name': 'm', 'subfolder': 'x', 'layout': 'buses', 'type': 'file', 'target': '%s/m'}", NULL),
		  &err);
	REFUSED("{'name': 'n', 'subfolder': 'x', 'layout': 'gcp', 'type': 'file', 'target': '%s/m'}", IOT_USAGE,
		"route 'l'");
	ASSERT_OK(add("{'name': 'd', 'default': true, 'type': 'file', 'target': '%s/d'}", NULL), &err);
	REFUSED("{'name': 'e', 'default': true, 'type': 'file', 'target': '%s/d'}", IOT_CONFLICT, "'d' is the default");
	findings_are("");
}

/* What was right when it was added need not stay so. */
static void test_check(void)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_path(dir, "folder");
	IOT_CLEAN(iot_free_p) char *program = iot_path(dir, "program");

	if (mkdir(folder, 0700) != 0 || iot_fs_write(program, 0700, "#!/bin/sh\n", 10, &err) != IOT_OK)
		abort();
	ASSERT_OK(add("{'name': 'f', 'subfolder': 'f', 'type': 'file', 'target': '%s/folder/f'}", NULL), &err);
	ASSERT_OK(add("{'name': 'c', 'subfolder': 'c', 'type': 'command', 'target': ['%s/program']}", NULL), &err);
	ASSERT_OK(add("{'name': 't', 'subfolder': 't', 'type': 'topic', 'target': 'tram/{thing}/ev/x'}", NULL), &err);
	ASSERT_OK(add("{'name': 'z', 'subfolder': 'z', 'type': 'file', 'target': '%s/z'}", NULL), &err);
	findings_are("");
	if (rmdir(folder) != 0 || unlink(program) != 0)
		abort();
	add_trams();
	ASSERT_OK(iot_layout_use(cloud, "trams", "bus", &err), &err);
	ASSERT_OK(
		iot_store_run(iot_local_store(cloud), NULL, &err, "UPDATE routes SET route = 'x' WHERE name = 'z'", ""),
		&err);
	findings_are("f:target c:target t:loop z:member ");
}

UNIT_MAIN("fleet/events", set_up, tear_down, {"filters", test_filters}, {"match", test_match},
	  {"own_layout", test_own_layout}, {"refused", test_refused}, {"loops", test_loops},
	  {"among_others", test_among_others}, {"check", test_check})
