/* Lint: every rule with a policy that breaks it, and policies that break none. */
#include "fixture.h"

#define S(effect, action, resource)                                                                                    \
	"{\"Effect\":\"" effect "\",\"Action\":\"" action "\",\"Resource\":\"" resource "\"}"
#define IF(action, condition)                                                                                          \
	"{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"" ARN "client/a\",\"Condition\":{" condition   \
	"}}"

static const json_t *finding_of(const json_t *findings, const char *rule)
{
	const json_t *finding;
	size_t i;

	json_array_foreach(findings, i, finding)
		if (strcmp(iot_json_str(finding, "rule", ""), rule) == 0)
			return finding;
	return NULL;
}

static void check(const char *statements, const struct iot_policy_lint *context, const char *rule, int statement,
		  const char *severity, const char *message)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = policy_of(statements);
	IOT_JSON findings = iot_policy_lint(policy, context);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(findings);
	const json_t *finding = finding_of(findings, rule);

	if (finding == NULL)
		fprintf(stderr, "\n%s: no %s in %s\n", statements, rule, text);
	CU_ASSERT_PTR_NOT_NULL(finding);
	CU_ASSERT_EQUAL(iot_json_int(finding, "statement", -1), statement);
	CU_ASSERT_STRING_EQUAL(iot_json_str(finding, "severity", ""), severity);
	if (strstr(iot_json_str(finding, "message", ""), message) == NULL)
		fprintf(stderr, "\n%s: %s\n", statements, text);
	ASSERT_CONTAINS(iot_json_str(finding, "message", ""), message);
}

static void check_clean(const char *statements, const struct iot_policy_lint *context)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = policy_of(statements);
	IOT_JSON findings = iot_policy_lint(policy, context);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(findings);

	CU_ASSERT_STRING_EQUAL(text, "[]");
}

static void test_too_broad(void)
{
	check(S("Allow", "iot:*", "*"), NULL, "grants-everything", 1, "warning",
	      "grants everything: connect with any client id, publish to every topic, receive from every topic, "
	      "subscribe");
	check(S("Allow", "iot:Connect", "*") "," S("Allow", "iot:Publish", ARN "topic/*") "," S(
		      "Allow", "iot:Subscribe", ARN "topicfilter/*") "," S("Allow", "iot:Receive", "arn:aws:iot:*:*:*"),
	      NULL, "grants-everything", 0, "warning", "grants everything");
	check(S("Allow", "iot:Connect", ARN "client/*"), NULL, "too-broad", 1, "warning",
	      "allows to connect with any client id");
	check(S("Allow", "iot:Publish", ARN "top*"), NULL, "too-broad", 1, "warning", "publish to every topic");
	check(S("Allow", "iot:Publish", ARN "topic/$aws/things/*/shadow/update"), NULL, "other-devices", 1, "warning",
	      "reserved topic of other devices");
	check(S("Allow", "iot:Subscribe", ARN "topicfilter/$aws/things/pump-*"), NULL, "other-devices", 1, "warning",
	      "reserved topic of other devices");
	check(S("Allow", "iot:Connect", ARN "client/" THING "*"), NULL, "other-devices", 1, "warning",
	      "every name that only begins with");
	check(S("Allow", "iot:Connect", ARN "client/*") "," S("Allow", "iot:Publish", ARN "topic/x/${iot:ClientId}/y"),
	      NULL, "client-id-free", 2, "warning", "protects nothing");
}

static void test_unreachable(void)
{
	check(S("Allow", "iot:Publish", ARN "topic/a/b*") "," S("Deny", "iot:*", "arn:aws:iot:*:*:topic/a/*"), NULL,
	      "unreachable", 1, "error", "the Deny of statement 2 covers");
	check(S("Deny", "iot:pub*", ARN "topic/" THING "/?") "," S("Allow", "iot:Publish", ARN "topic/" THING "/x"),
	      NULL, "unreachable", 2, "error", "the Deny of statement 1 covers");
	check(S("Deny", "*", "*") "," S("Allow", "iot:Publish", "*"), NULL, "unreachable", 2, "error", "covers");
	/* Part of it stays, or the Deny has a condition. */
	check_clean(S("Allow", "iot:Publish", ARN "topic/a/*") "," S("Deny", "iot:Publish", ARN "topic/a/b*"), NULL);
	check_clean(S("Allow", "iot:Publish", ARN "topic/a/?*") "," S("Deny", "iot:Publish", ARN "topic/a/?"), NULL);
	check_clean(S("Allow", "iot:Publish", ARN "topic/a") "," S("Deny", "iot:Receive", ARN "topic/a"), NULL);
	check_clean(
		S("Allow", "iot:Publish", ARN "topic/a") ",{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\","
							 "\"Condition\":{\"StringEquals\":{\"iot:ClientId\":\"x\"}}}",
		NULL);
}

static void test_kinds(void)
{
	check(S("Allow", "iot:Publish", ARN "topicfilter/a"), NULL, "unused-kind", 1, "error", "topicfilter/a");
	check(S("Allow", "iot:Publish", ARN "topicfilter/a"), NULL, "action-without-resource", 1, "error",
	      "'iot:Publish' needs a resource of kind 'topic/'");
	check(S("Allow", "iot:Publish", ARN "topics/a"), NULL, "unused-kind", 1, "error", "topics/a");
	check(S("Allow", "iot:Pub*", ARN "client/a"), NULL, "unused-kind", 1, "error", "client/a");
	check(S("Allow", "iot:Pubish", ARN "topic/a"), NULL, "unknown-action", 1, "error", "'iot:Pubish'");
	check_clean(S("Allow", "iot:*", ARN "job/a"), NULL);
	check_clean(S("Allow", "iot:CreateJob", ARN "job/a"), NULL);
	check_clean(S("Allow", "iot:GetRetainedMessage", ARN "topic/a"), NULL);
	check_clean(S("Allow", "iot:*", ARN "topic/a"), NULL);
}

static void test_mqtt_wildcards(void)
{
	check(S("Allow", "iot:Publish", ARN "topic/a/+/b"), NULL, "mqtt-wildcard", 1, "error", "'+' in");
	check(S("Allow", "iot:Receive", ARN "topic/#"), NULL, "mqtt-wildcard", 1, "error", "'#' in");
	check(S("Allow", "iot:Subscribe", ARN "topicfilter/a/#") "," S("Allow", "iot:Receive", ARN "topic/a/*"), NULL,
	      "mqtt-wildcard", 1, "warning", "just the filter spelled so");
	check_clean(S("Allow", "iot:Publish", ARN "topic/c#/a+b"), NULL);
}

static void test_variables(void)
{
	const struct iot_policy_lint device = {.vars = &pump};

	check(S("Allow", "iot:Publish", ARN "topic/${iot:Connection.Thing.ThingNam}"), NULL, "unknown-variable", 1,
	      "error", "'${iot:Connection.Thing.ThingNam}' is not known");
	check(S("Allow", "iot:Publish", ARN "topic/${iot:Certificate.Subject.CommonName.List}"), NULL,
	      "unknown-variable", 1, "error", "condition key and no variable");
	check(S("Allow", "iot:Publish", ARN "topic/${iot:Certificate.Subject.CommonName.5}"), NULL, "unknown-variable",
	      1, "error", "is not known");
	check(S("Allow", "iot:Publish", ARN "topic/${iot:DomainName}"), &device, "no-value", 1, "warning",
	      "no value for this device");
	check(IF("iot:Connect", "\"StringEquals\":{\"iot:ClientId\":\"${iot:Nothing}\"}"), NULL, "unknown-variable", 1,
	      "error", "iot:Nothing");
	check_clean(S("Allow", "iot:Publish", ARN "topic/" THING), &device);
}

static void test_no_version(void)
{
	static const char text[] = "{\"Statement\":" S("Allow", "iot:Publish", ARN "topic/${iot:ClientId}") "}";
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON findings = NULL;

	ASSERT_OK(iot_policy_parse(text, strlen(text), &policy, &err), &err);
	findings = iot_policy_lint(policy, NULL);
	CU_ASSERT_PTR_NOT_NULL(finding_of(findings, "no-version"));
}

static void test_conditions(void)
{
	check(IF("iot:Connect", "\"StringEqual\":{\"iot:ClientId\":\"a\"}"), NULL, "unknown-operator", 1, "error",
	      "this Allow never matches");
	check("{\"Effect\":\"Deny\",\"Action\":\"iot:Connect\",\"Resource\":\"*\",\"Condition\":{\"ForAnyValue:"
	      "StringEqual\":{"
	      "\"iot:ClientId\":\"a\"}}}",
	      NULL, "unknown-operator", 1, "error", "this Deny ignores the condition");
	check(IF("iot:Connect", "\"StringEquals\":{\"iot:ClientID2\":\"a\"}"), NULL, "unknown-key", 1, "error",
	      "this Allow never matches");
	check("{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"" ARN
	      "topic/a\",\"Condition\":{\"StringEquals\":{\"iot:ConnectAttributes\":\"LastWill\"}}}",
	      NULL, "key-never-present", 1, "error", "exists only for iot:Connect");
}

static void test_deny(void)
{
	const struct iot_policy_lint group = {.on_group = true};

	check(S("Deny", "iot:Publish", ARN "topic/" THING), NULL, "deny-variable", 1, "warning", "falls away");
	check("{\"Effect\":\"Deny\",\"Action\":\"iot:Publish\",\"Resource\":\"*\",\"Condition\":{\"StringNotEquals\":{"
	      "\"iot:"
	      "ClientId\":\"" THING "\"}}}",
	      NULL, "deny-variable", 1, "warning", "falls away");
	check(S("Deny", "iot:Publish", ARN "topic/a"), &group, "deny-on-group", 1, "warning", "group's policy");
	check_clean(S("Deny", "iot:Publish", ARN "topic/a"), NULL);
}

static void test_scope(void)
{
	const struct iot_policy_lint here = {.scope = &iot_policy_scope_local};

	check(S("Allow", "iot:Publish", "arn:aws:iot:us-east-1:*:topic/a"), &here, "other-scope", 1, "error",
	      "another region");
	check(S("Allow", "iot:Publish", "arn:aws:iot:*:123456789012:topic/a"), &here, "other-scope", 1, "error",
	      "another account");
	check(S("Allow", "iot:Publish", "arn:aws-cn:iot:*:*:topic/a"), &here, "other-scope", 1, "error",
	      "another partition");
	check(S("Allow", "iot:Publish", "arn:aws:s3:*:*:topic/a"), NULL, "other-scope", 1, "error", "another service");
	check_clean(S("Allow", "iot:Publish", "arn:aws:iot:us-east-1:123456789012:topic/a"), NULL);
	check_clean(S("Allow", "iot:Publish", "arn:aws*:iot:lo*:*:topic/a"), &here);
}

static void test_whole(void)
{
	char name[1900];
	IOT_CLEAN(iot_free_p) char *statement = NULL;

	check(S("Allow", "iot:Subscribe", ARN "topicfilter/a"), NULL, "no-receive", 0, "warning",
	      "allows to subscribe");
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	statement =
		iot_strf("{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"" ARN "topic/%s\"}", name);
	check(statement, NULL, "size", 0, "warning", "of at most 2048 characters");
}

/* A message that is cut stays JSON, whatever stands where it is cut. */
static void test_long_names(void)
{
	struct iot_buf resource = IOT_BUF_INIT(8192);
	IOT_CLEAN(iot_free_p) char *statement = NULL;

	for (size_t i = 0; i < 600; i++)
		iot_buf_adds(&resource, i % 2 == 0 ? "\xe2\x82\xac" : "a");
	statement = iot_strf("{\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":\"" ARN "topic/%s\"}",
			     iot_buf_str(&resource));
	check(statement, NULL, "unused-kind", 1, "error", "no action of the statement");
	iot_buf_release(&resource);
}

static void test_device_default_is_clean(void)
{
	struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	const struct iot_policy_lint context = {&iot_policy_scope_local, &pump, true};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON findings = NULL;
	IOT_CLEAN(iot_free_p) char *found = NULL;

	iot_policy_device_default(&text);
	ASSERT_OK(iot_policy_parse(text.data, text.len, &policy, &err), &err);
	findings = iot_policy_lint(policy, &context);
	found = iot_json_text(findings);
	CU_ASSERT_STRING_EQUAL(found, "[]");
	iot_buf_release(&text);
}

UNIT_MAIN("policy/lint", NULL, NULL, {"too-broad", test_too_broad}, {"unreachable", test_unreachable},
	  {"kinds", test_kinds}, {"mqtt-wildcards", test_mqtt_wildcards}, {"variables", test_variables},
	  {"no-version", test_no_version}, {"conditions", test_conditions}, {"deny", test_deny}, {"scope", test_scope},
	  {"whole", test_whole}, {"long-names", test_long_names},
	  {"device-default-is-clean", test_device_default_is_clean})
