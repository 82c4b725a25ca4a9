/* Topic layouts: what is refused, which topics and filters come of them, and that their policies allow just that. */
#include "iotctl/layout.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/policy.h"
#include "unit.h"

#include <stdarg.h>

static struct iot_layout *shipped(const char *name)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_layout *layout = NULL;

	ASSERT_OK(iot_layout_load(NULL, name, &layout, &err), &err);
	return layout;
}

/* --- what is wrong -------------------------------------------------------------------- */

static json_t *good(void)
{
	struct iot_layout *layout = shipped("aws");
	json_t *json = json_deep_copy(iot_layout_json(layout));

	iot_layout_free(layout);
	return json;
}

static json_t *role(json_t *layout, const char *name)
{
	return json_object_get(json_object_get(layout, "roles"), name);
}

/* Exactly one finding, of this rule, at this place, saying this. Takes `layout`. */
static void expect(json_t *layout, const char *rule, const char *where, const char *part)
{
	IOT_JSON findings = iot_layout_check(layout);
	const json_t *first = json_array_get(findings, 0);

	if (json_array_size(findings) != 1 || strcmp(iot_json_str(first, "rule", ""), rule) != 0) {
		IOT_CLEAN(iot_free_p) char *text = iot_json_text(findings);

		fprintf(stderr, "\nexpected one '%s': %s\n", rule, text);
	}
	CU_ASSERT_EQUAL(json_array_size(findings), 1);
	CU_ASSERT_STRING_EQUAL(iot_json_str(first, "rule", ""), rule);
	CU_ASSERT_STRING_EQUAL(iot_json_str(first, "where", ""), where);
	ASSERT_CONTAINS(iot_json_str(first, "message", ""), part);
	json_decref(layout);
}

static json_t *with_topic(const char *name, const char *topic)
{
	json_t *layout = good();

	iot_json_set_str(role(layout, name), "topic", topic);
	return layout;
}

static void test_shipped(void)
{
	static const char *const names[] = {"aws", "gcp", "buses"};

	for (size_t i = 0; i < IOT_LENGTH(names); i++) {
		struct iot_layout *layout = shipped(names[i]);

		CU_ASSERT_STRING_EQUAL(iot_layouts_shipped[i], names[i]);
		CU_ASSERT_STRING_EQUAL(iot_layout_name(layout), names[i]);
		CU_ASSERT_NOT_EQUAL(*iot_layout_description(layout), '\0');
		iot_layout_free(layout);
	}
	CU_ASSERT_PTR_NULL(iot_layouts_shipped[IOT_LENGTH(names)]);
}

static void test_missing(void)
{
	static const char *const members[] = {"name", "description"};
	static const char *const role_members[] = {"topic", "qos", "retain", "direction"};

	for (unsigned i = 0; i < IOT_ROLE_PEER; i++) {
		json_t *layout = good();

		json_object_del(json_object_get(layout, "roles"), iot_role_name(i));
		expect(layout, "missing-role", "roles", iot_role_name(i));
	}
	for (size_t i = 0; i < IOT_LENGTH(members); i++) {
		json_t *layout = good();

		json_object_del(layout, members[i]);
		expect(layout, "member", "", members[i]);
	}
	for (size_t i = 0; i < IOT_LENGTH(role_members); i++) {
		json_t *layout = good();

		json_object_del(role(layout, "state"), role_members[i]);
		expect(layout, "member", "roles.state", role_members[i]);
	}
}

static void test_members(void)
{
	json_t *layout = good();
	IOT_JSON findings = NULL;

	iot_json_set_str(layout, "author", "me");
	expect(layout, "member", "", "author");
	layout = good();
	iot_json_set_str(role(layout, "event"), "tokenMember", "token");
	expect(layout, "member", "roles.event", "tokenMember");
	layout = good();
	json_object_set_new(json_object_get(layout, "roles"), "telemetry", json_object());
	expect(layout, "member", "roles", "telemetry");
	layout = good();
	iot_json_set_str(layout, "name", "../aws");
	expect(layout, "value", "", "name");
	layout = good();
	iot_json_set_str(role(layout, "config"), "versionMember", "version");
	expect(layout, "member", "roles.config", "versionMember");
	layout = good();
	iot_json_set_str(role(layout, "config"), "acknowledge", "state");
	expect(layout, "member", "roles.config", "versionMember");
	layout = good();
	json_object_del(role(layout, "command"), "tokenMember");
	expect(layout, "member", "roles.command", "tokenMember");
	layout = good();
	iot_json_set_str(role(layout, "command"), "correlation", "mqtt5");
	expect(layout, "member", "roles.command", "tokenMember");
	layout = good();
	json_object_set_new(layout, "types", json_pack("{s:{s:{s:s}}}", "pu mp", "state", "topic", "x"));
	findings = iot_layout_check(layout);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(findings, 0), "message", ""),
			       "'pu mp' is no thing type's name");
	json_decref(layout);
}

static void test_values(void)
{
	json_t *layout = good();

	iot_json_set_int(role(layout, "state"), "qos", 2);
	expect(layout, "qos", "roles.state", "AWS IoT has no QoS 2");
	layout = good();
	iot_json_set_str(role(layout, "state"), "qos", "1");
	expect(layout, "value", "roles.state", "qos");
	layout = good();
	iot_json_set_bool(role(layout, "command"), "retain", true);
	expect(layout, "retain", "roles.command", "retained command");
	layout = good();
	iot_json_set_str(role(layout, "command"), "direction", "from-device");
	expect(layout, "direction", "roles.command", "to-device");
	layout = good();
	iot_json_set_str(role(layout, "state"), "direction", "up");
	expect(layout, "value", "roles.state", "direction");
}

static void test_placeholders(void)
{
	expect(with_topic("state", "{type}/{device}/state"), "placeholder", "roles.state",
	       "'{device}' is no placeholder");
	expect(with_topic("state", "{type}/state"), "placeholder", "roles.state", "{thing} is missing");
	expect(with_topic("state", "{type}/{thing}/{token}"), "placeholder", "roles.state", "{token}");
	expect(with_topic("state", "{thing}/{thing}/state"), "placeholder", "roles.state", "twice");
	expect(with_topic("event", "x/{subfolder}/{thing}"), "placeholder", "roles.event", "last");
	expect(with_topic("event", "x/{peer}"), "placeholder", "roles.event", "{peer}");
	/* a part of a level is none: neither policies nor filters could tell devices apart by it */
	expect(with_topic("state", "{type}/pump-{thing}/state"), "placeholder", "roles.state", "pump-{thing}");
	expect(with_topic("state", "{type}/{thing"), "placeholder", "roles.state", "{thing");
}

static void test_topic_rules(void)
{
	char longest[300];

	expect(with_topic("state", "a/b/c/d/e/f/g/{thing}/h"), "topic", "roles.state", "8 slashes, 7 at most");
	expect(with_topic("state", "$aws/{thing}/state"), "topic", "roles.state", "'$' are reserved");
	expect(with_topic("state", "{thing}/+"), "topic", "roles.state", "wildcard '+'");
	expect(with_topic("state", "{thing}/#"), "topic", "roles.state", "wildcard '#'");
	snprintf(longest, sizeof(longest), "{thing}/%0260d", 0);
	expect(with_topic("state", longest), "topic", "roles.state", "256 at most");
}

static void test_loops(void)
{
	json_t *layout = good();

	iot_json_set_str(role(layout, "state"), "direction", "both");
	expect(layout, "loop", "roles.state", "receive what it publishes");
	expect(with_topic("state", "{type}/{thing}/config"), "loop", "roles", "as 'config'");
	/* through the subfolder, which stands for any level */
	expect(with_topic("event", "{type}/{thing}/command/{subfolder}"), "loop", "roles", "as 'command'");
	/* a device may be called what another topic says */
	expect(with_topic("event", "{type}/fleet/command"), "loop", "roles", "as 'command'");
	expect(with_topic("command", "{type}/{thing}/config"), "shared-topic", "roles", "may arrive on one topic");
	expect(with_topic("state", "{type}/{thing}/reply/{token}"), "placeholder", "roles.state", "{token}");
	layout = with_topic("event", "{type}/{thing}/state");
	expect(layout, "shared-topic", "roles", "'event' and 'state' have one topic");
}

static json_t *with_peer(const char *direction, const char *topic, const char *inbox)
{
	json_t *layout = good(), *peer = json_pack("{s:i, s:b, s:s}", "qos", 1, "retain", 0, "direction", direction);

	iot_json_set_str(peer, "topic", topic);
	iot_json_set_str(peer, "inbox", inbox);
	json_object_set_new(json_object_get(layout, "roles"), "peer", peer);
	return layout;
}

static void test_peers(void)
{
	IOT_JSON fine = with_peer("both", "{type}/{peer}/from/{thing}", "{type}/{thing}/from/{peer}");
	IOT_JSON findings = iot_layout_check(fine);

	CU_ASSERT_EQUAL(json_array_size(findings), 0);
	expect(with_peer("both", "x/{peer}/in", NULL), "member", "roles.peer", "inbox");
	expect(with_peer("both", NULL, "x/{thing}/in"), "member", "roles.peer", "topic");
	expect(with_peer("to-device", "x/{peer}/in", "x/{thing}/in"), "member", "roles.peer", "topic");
	expect(with_peer("from-device", "x/{peer}/in", "x/{thing}/in"), "member", "roles.peer", "inbox");
	expect(with_peer("from-device", "x/{thing}/in", NULL), "placeholder", "roles.peer", "{peer} is missing");
	expect(with_peer("from-device", "{type}/{peer}/state", NULL), "shared-topic", "roles.peer", "says as 'state'");
}

static void test_types(void)
{
	json_t *layout = good(), *own = json_deep_copy(role(layout, "state"));

	iot_json_set_str(own, "topic", "pump/{thing}/config");
	json_object_set_new(layout, "types", json_pack("{s:{s:o}}", "pump", "state", own));
	expect(layout, "loop", "types.pump", "as 'config'");
	/* the same topic in another type's name is none of its own */
	layout = good();
	own = json_deep_copy(role(layout, "state"));
	iot_json_set_str(own, "topic", "meter/{thing}/config");
	json_object_set_new(layout, "types", json_pack("{s:{s:o}}", "pump", "state", own));
	own = iot_layout_check(layout);
	CU_ASSERT_EQUAL(json_array_size(own), 0);
	json_decref(own);
	json_decref(layout);
}

static void test_parse(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_layout *layout = NULL;
	json_t *json = good();
	char *text;

	iot_json_set_int(role(json, "state"), "qos", 2);
	text = iot_json_text(json);
	ASSERT_STATUS(iot_layout_parse(text, strlen(text), "mine.json", &layout, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "'mine.json': roles.state: AWS IoT has no QoS 2");
	free(text);
	iot_json_set_int(json, "name", 1);
	text = iot_json_text(json);
	ASSERT_STATUS(iot_layout_parse(text, strlen(text), "mine.json", &layout, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "all 2 findings");
	free(text);
	json_decref(json);
	ASSERT_STATUS(iot_layout_parse("[]", 2, "mine.json", &layout, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_layout_parse("{", 1, "mine.json", &layout, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_layout_load(NULL, "none", &layout, &err), IOT_NOT_FOUND, &err);
	CU_ASSERT_PTR_NULL(layout);
}

/* --- topics ------------------------------------------------------------------------------ */

static void topic_is(const struct iot_layout *layout, enum iot_role of, const struct iot_topic_names *names,
		     const char *expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *topic = NULL;

	ASSERT_OK(iot_layout_topic(layout, of, names, &topic, &err), &err);
	CU_ASSERT_STRING_EQUAL(topic != NULL ? topic : "", expected);
	free(topic);
}

static void filter_is(const struct iot_layout *layout, enum iot_role of, const struct iot_topic_names *names,
		      const char *expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *filter = NULL;

	ASSERT_OK(iot_layout_filter(layout, of, names, &filter, &err), &err);
	CU_ASSERT_STRING_EQUAL(filter != NULL ? filter : "", expected);
	free(filter);
}

static void topic_fails(const struct iot_layout *layout, enum iot_role of, const struct iot_topic_names *names,
			enum iot_status status, const char *part)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *topic = NULL;

	ASSERT_STATUS(iot_layout_topic(layout, of, names, &topic, &err), status, &err);
	ASSERT_CONTAINS(err.what, part);
	CU_ASSERT_PTR_NULL(topic);
}

#define NAMES(...) (&(const struct iot_topic_names){__VA_ARGS__})

static void test_topics(void)
{
	struct iot_layout *aws = shipped("aws"), *gcp = shipped("gcp"), *buses = shipped("buses");

	topic_is(aws, IOT_ROLE_CONFIG, NAMES(.thing = "p1", .type = "pump"), "pump/p1/config");
	topic_is(aws, IOT_ROLE_STATE, NAMES(.thing = "p1"), "p1/state"); /* no type, no level */
	topic_is(aws, IOT_ROLE_STATE, NAMES(.thing = "p1", .type = ""), "p1/state");
	topic_is(aws, IOT_ROLE_REPLY, NAMES(.thing = "p1", .type = "pump", .token = "t"), "pump/p1/reply/t");
	topic_is(aws, IOT_ROLE_EVENT, NAMES(.thing = "p1", .type = "pump"), "pump/p1/event");
	topic_is(aws, IOT_ROLE_EVENT, NAMES(.thing = "p1", .type = "pump", .subfolder = "a/b"), "pump/p1/event/a/b");
	topic_is(gcp, IOT_ROLE_CONFIG, NAMES(.thing = "p1", .type = "pump"), "/devices/p1/config");
	topic_is(buses, IOT_ROLE_CONFIG, NAMES(.thing = "b7", .type = "bus"), "bus/b7/configuration");
	topic_is(buses, IOT_ROLE_CONFIG, NAMES(.thing = "d2", .type = "depot"), "depot/d2/configuration");
	topic_is(buses, IOT_ROLE_PEER, NAMES(.thing = "b7", .type = "bus", .peer = "d2"), "depot/d2/bus-arrived");
	topic_is(buses, IOT_ROLE_PEER, NAMES(.thing = "d2", .type = "depot", .peer = "b7"), "bus/b7/commands");
	topic_fails(aws, IOT_ROLE_CONFIG, NAMES(.type = "pump"), IOT_USAGE, "needs a thing name");
	topic_fails(aws, IOT_ROLE_REPLY, NAMES(.thing = "p1", .type = "pump"), IOT_USAGE, "needs a token");
	topic_fails(aws, IOT_ROLE_CONFIG, NAMES(.thing = "p1/x", .type = "pump"), IOT_USAGE, "cannot be part");
	topic_fails(aws, IOT_ROLE_CONFIG, NAMES(.thing = "+", .type = "pump"), IOT_USAGE, "cannot be part");
	topic_fails(aws, IOT_ROLE_CONFIG, NAMES(.thing = "", .type = "pump"), IOT_USAGE, "cannot be part");
	topic_fails(aws, IOT_ROLE_EVENT, NAMES(.thing = "p", .type = "t", .subfolder = "a/#"), IOT_USAGE,
		    "cannot be part");
	topic_fails(aws, IOT_ROLE_EVENT, NAMES(.thing = "p", .type = "t", .subfolder = "a/b/c/d/e/f"), IOT_USAGE,
		    "8 slashes, 7 at most");
	topic_fails(aws, IOT_ROLE_PEER, NAMES(.thing = "p1"), IOT_NOT_FOUND, "peer");
	iot_layout_free(aws);
	iot_layout_free(gcp);
	iot_layout_free(buses);
}

static void test_filters(void)
{
	struct iot_layout *aws = shipped("aws"), *gcp = shipped("gcp"), *buses = shipped("buses");

	filter_is(aws, IOT_ROLE_EVENT, NAMES(.thing = "p1", .type = "pump"), "pump/p1/event/#");
	filter_is(aws, IOT_ROLE_EVENT, NAMES(.type = NULL), "+/+/event/#");
	filter_is(aws, IOT_ROLE_EVENT, NAMES(.type = ""), "+/event/#");
	filter_is(aws, IOT_ROLE_EVENT, NAMES(.type = "pump", .subfolder = ""), "pump/+/event");
	filter_is(aws, IOT_ROLE_REPLY, NAMES(.token = "t"), "+/+/reply/t");
	filter_is(gcp, IOT_ROLE_COMMAND, NAMES(.thing = "p1"), "/devices/p1/commands/#");
	filter_is(buses, IOT_ROLE_PEER, NAMES(.thing = "d2", .type = "depot"), "depot/d2/bus-arrived");
	iot_layout_free(aws);
	iot_layout_free(gcp);
	iot_layout_free(buses);
}

static void match_is(const struct iot_layout *layout, const char *topic, enum iot_role of, const char *thing,
		     const char *type)
{
	struct iot_topic_match match;

	CU_ASSERT(iot_layout_match(layout, topic, &match));
	CU_ASSERT_EQUAL(match.role, of);
	CU_ASSERT_STRING_EQUAL(match.thing, thing);
	CU_ASSERT_STRING_EQUAL(match.type, type);
}

static void test_match(void)
{
	struct iot_layout *aws = shipped("aws"), *gcp = shipped("gcp"), *buses = shipped("buses");
	struct iot_topic_match match;

	match_is(aws, "pump/p1/config", IOT_ROLE_CONFIG, "p1", "pump");
	match_is(aws, "p1/state", IOT_ROLE_STATE, "p1", "");
	match_is(aws, "pump/p1/event", IOT_ROLE_EVENT, "p1", "pump");
	CU_ASSERT(iot_layout_match(aws, "pump/p1/event/a/b", &match));
	CU_ASSERT_STRING_EQUAL(match.subfolder, "a/b");
	CU_ASSERT(iot_layout_match(aws, "pump/p1/reply/t1", &match));
	CU_ASSERT_EQUAL(match.role, IOT_ROLE_REPLY);
	CU_ASSERT_STRING_EQUAL(match.token, "t1");
	CU_ASSERT_FALSE(iot_layout_match(aws, "pump/p1/events", &match));
	CU_ASSERT_FALSE(iot_layout_match(aws, "pump/p1/config/x", &match));
	CU_ASSERT_FALSE(iot_layout_match(aws, "pump//config", &match));
	CU_ASSERT_FALSE(iot_layout_match(aws, "", &match));
	match_is(gcp, "/devices/p1/events/reply/t1", IOT_ROLE_REPLY, "p1", "");
	match_is(gcp, "/devices/p1/events/reply", IOT_ROLE_EVENT, "p1", "");
	match_is(buses, "bus/b7/commands", IOT_ROLE_COMMAND, "b7", "");
	match_is(buses, "depot/d2/commands", IOT_ROLE_COMMAND, "d2", "depot");
	match_is(buses, "depot/d2/bus-arrived", IOT_ROLE_PEER, "d2", "depot");
	match_is(buses, "bus/events", IOT_ROLE_EVENT, "", "");
	iot_layout_free(aws);
	iot_layout_free(gcp);
	iot_layout_free(buses);
}

/* --- policies ------------------------------------------------------------------------------ */

static struct iot_policy *policy_of(const char *name, const char *type, bool no_services)
{
	const struct iot_layout_policy_options options = {.type = type, .no_services = no_services};
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_layout *layout = shipped(name);
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_policy *policy = NULL;
	json_t *findings;

	ASSERT_OK(iot_layout_policy(layout, &options, &text, &err), &err);
	ASSERT_OK(iot_policy_parse(iot_buf_str(&text), text.len, &policy, &err), &err);
	findings = iot_policy_lint(policy, NULL);
	CU_ASSERT_EQUAL(json_array_size(findings), 0);
	json_decref(findings);
	iot_buf_release(&text);
	iot_layout_free(layout);
	return policy;
}

/* What device `thing` of `type` may do by this policy. */
static bool may(const struct iot_policy *policy, const char *thing, const char *type, enum iot_policy_action action,
		const char *resource)
{
	const struct iot_policy_vars vars = {
		.client_id = thing, .thing_name = thing, .thing_type = type, .is_attached = true};
	const struct iot_policy_request request = {.action = action, .resource = resource, .vars = &vars};

	return iot_policy_decide(&policy, 1, &request, NULL) == IOT_DECISION_ALLOWED;
}

static void test_policy(void)
{
	struct iot_policy *policy = policy_of("aws", NULL, false);

	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_CONNECT, "p1"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_CONNECT, "p2"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_RECEIVE, "pump/p1/config"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_SUBSCRIBE, "pump/p1/command"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p1/reply/t"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p1/event"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p1/event/a/b"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_RETAIN_PUBLISH, "pump/p1/state"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "$aws/things/p1/jobs/start-next"));
	/* not a thing more */
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_RETAIN_PUBLISH, "pump/p1/event"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p1/config"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p1/eventful"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "pump/p2/event"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_RECEIVE, "pump/p2/config"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_SUBSCRIBE, "pump/+/config"));
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_SUBSCRIBE, "#"));
	CU_ASSERT_FALSE(may(policy, "p1", NULL, IOT_POLICY_PUBLISH, "p1/event"));
	iot_policy_free(policy);
	policy = policy_of("aws", NULL, true); /* the shadow stays: configuration is acknowledged there */
	CU_ASSERT_FALSE(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "$aws/things/p1/jobs/start-next"));
	CU_ASSERT(may(policy, "p1", "pump", IOT_POLICY_PUBLISH, "$aws/things/p1/shadow/name/config/update"));
	iot_policy_free(policy);
}

static void test_bus_policy(void)
{
	struct iot_policy *bus = policy_of("buses", "bus", true), *depot = policy_of("buses", "depot", true);

	CU_ASSERT(may(bus, "b1", "bus", IOT_POLICY_SUBSCRIBE, "bus/b1/configuration"));
	CU_ASSERT(may(bus, "b1", "bus", IOT_POLICY_PUBLISH, "bus/events"));
	CU_ASSERT(may(bus, "b1", "bus", IOT_POLICY_PUBLISH, "depot/d9/bus-arrived"));
	CU_ASSERT_FALSE(may(bus, "b1", "bus", IOT_POLICY_PUBLISH, "bus/b2/commands"));
	CU_ASSERT_FALSE(may(bus, "b1", "bus", IOT_POLICY_PUBLISH, "bus/b2/configuration"));
	CU_ASSERT_FALSE(may(bus, "b1", "bus", IOT_POLICY_SUBSCRIBE, "bus/b2/configuration"));
	CU_ASSERT_FALSE(may(bus, "b1", "bus", IOT_POLICY_SUBSCRIBE, "bus/events"));
	CU_ASSERT_FALSE(may(bus, "b1", "bus", IOT_POLICY_SUBSCRIBE, "depot/d9/bus-arrived"));
	CU_ASSERT(may(depot, "d9", "depot", IOT_POLICY_SUBSCRIBE, "depot/d9/bus-arrived"));
	CU_ASSERT(may(depot, "d9", "depot", IOT_POLICY_RECEIVE, "depot/d9/bus-arrived"));
	CU_ASSERT(may(depot, "d9", "depot", IOT_POLICY_PUBLISH, "bus/b2/commands"));
	CU_ASSERT_FALSE(may(depot, "d9", "depot", IOT_POLICY_PUBLISH, "bus/b2/configuration"));
	CU_ASSERT_FALSE(may(depot, "d9", "depot", IOT_POLICY_SUBSCRIBE, "depot/d8/bus-arrived"));
	iot_policy_free(bus);
	iot_policy_free(depot);
}

/* One role of a device's folder, as text. */
static void assert_device_role(const char *layout_name, const char *thing, const char *type, const char *role_name,
			       const char *expected)
{
	struct iot_layout *layout = shipped(layout_name);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON topics = NULL;
	IOT_CLEAN(iot_free_p) char *text = NULL;

	ASSERT_OK(iot_layout_device_topics(layout, thing, type, &topics, &err), &err);
	text = iot_json_text(json_object_get(topics, role_name));
	CU_ASSERT_STRING_EQUAL(text, expected);
	iot_layout_free(layout);
}

static void test_device_topics(void)
{
	struct iot_layout *layout = shipped("aws");
	struct iot_error err = IOT_ERROR_INIT;
	json_t *topics = NULL;

	assert_device_role("aws", "p1", "pump", "config",
			   "{\"topic\":\"pump/p1/config\",\"qos\":1,\"retain\":false,\"acknowledge\":\"shadow\"}");
	assert_device_role("aws", "p1", "", "state", "{\"topic\":\"p1/state\",\"qos\":1,\"retain\":true}");
	assert_device_role("aws", "p1", "", "peer", "null");
	assert_device_role("buses", "b1", "bus", "config",
			   "{\"topic\":\"bus/b1/configuration\",\"qos\":1,\"retain\":true,\"acknowledge\":\"state\","
			   "\"versionMember\":\"configVersion\"}");
	assert_device_role("buses", "b1", "bus", "command",
			   "{\"topic\":\"bus/b1/commands\",\"qos\":1,\"retain\":false,\"correlation\":\"payload\","
			   "\"tokenMember\":\"token\"}");
	assert_device_role("buses", "b1", "bus", "reply",
			   "{\"topic\":\"bus/b1/replies/{token}\",\"qos\":1,\"retain\":false}");
	assert_device_role("buses", "d1", "depot", "peer",
			   "{\"topic\":\"bus/{peer}/commands\",\"inbox\":\"depot/d1/bus-arrived\",\"qos\":1,"
			   "\"retain\":false}");
	assert_device_role("gcp", "g1", "", "event",
			   "{\"topic\":\"/devices/g1/events/{subfolder}\",\"qos\":1,\"retain\":false}");
	ASSERT_STATUS(iot_layout_device_topics(layout, "a/b", "pump", &topics, &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(topics);
	iot_layout_free(layout);
}

/* The schema that users' editors read knows the roles and members that the checks know. */
static void test_schema(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf text = IOT_BUF_INIT(65536);
	json_t *schema = NULL;
	const json_t *roles;

	ASSERT_OK(iot_fs_read("../man/iotctl-layout.json", &text, &err), &err);
	ASSERT_OK(iot_json_parse(iot_buf_str(&text), text.len, "schema", &schema, &err), &err);
	roles = json_object_get(json_object_get(json_object_get(schema, "$defs"), "roles"), "properties");
	CU_ASSERT_EQUAL(json_object_size(roles), IOT_ROLE_COUNT);
	for (unsigned i = 0; i < IOT_ROLE_COUNT; i++)
		CU_ASSERT_PTR_NOT_NULL(json_object_get(roles, iot_role_name(i)));
	json_decref(schema);
	iot_buf_release(&text);
}

UNIT_MAIN("fleet/layout", NULL, NULL, {"shipped", test_shipped}, {"missing", test_missing}, {"members", test_members},
	  {"values", test_values}, {"placeholders", test_placeholders}, {"topic_rules", test_topic_rules},
	  {"loops", test_loops}, {"peers", test_peers}, {"types", test_types}, {"parse", test_parse},
	  {"topics", test_topics}, {"filters", test_filters}, {"match", test_match}, {"policy", test_policy},
	  {"bus_policy", test_bus_policy}, {"device_topics", test_device_topics}, {"schema", test_schema})
