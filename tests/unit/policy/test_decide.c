/* Decisions: actions, resources, wildcards, variables, several policies. */
#include "fixture.h"

#define ALLOW(action, resource) "{\"Effect\":\"Allow\",\"Action\":\"" action "\",\"Resource\":\"" resource "\"}"
#define DENY(action, resource) "{\"Effect\":\"Deny\",\"Action\":\"" action "\",\"Resource\":\"" resource "\"}"

#define YES IOT_DECISION_ALLOWED
#define NO IOT_DECISION_IMPLICIT_DENY
#define NEVER IOT_DECISION_EXPLICIT_DENY

struct row {
	const char *statements;
	enum iot_policy_action action;
	const char *resource;
	enum iot_decision expected;
};

static void check_rows(const struct row *rows, size_t count, const struct iot_policy_vars *vars)
{
	for (size_t i = 0; i < count; i++) {
		enum iot_decision decision = judge(rows[i].statements, rows[i].action, rows[i].resource, vars);

		if (decision != rows[i].expected)
			fprintf(stderr, "\nrow %zu: %s on %s by %s: %s\n", i, iot_policy_action_name(rows[i].action),
				rows[i].resource, rows[i].statements, iot_decision_name(decision));
		CU_ASSERT_EQUAL(decision, rows[i].expected);
	}
}

static void test_actions_and_kinds(void)
{
	static const struct row rows[] = {
		{ALLOW("iot:Connect", ARN "client/pump-1"), IOT_POLICY_CONNECT, "pump-1", YES},
		{ALLOW("iot:Connect", ARN "client/pump-1"), IOT_POLICY_CONNECT, "pump-2", NO},
		{ALLOW("iot:Connect", ARN "topic/pump-1"), IOT_POLICY_CONNECT, "pump-1", NO},
		{ALLOW("iot:Publish", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("iot:Publish", ARN "topic/a"), IOT_POLICY_RECEIVE, "a", NO},
		{ALLOW("iot:Publish", ARN "topic/a"), IOT_POLICY_RETAIN_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", ARN "topicfilter/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Receive", ARN "topic/a"), IOT_POLICY_RECEIVE, "a", YES},
		{ALLOW("iot:Receive", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a"), IOT_POLICY_SUBSCRIBE, "a", YES},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a"), IOT_POLICY_RECEIVE, "a", NO},
		{ALLOW("iot:Subscribe", ARN "topic/a"), IOT_POLICY_SUBSCRIBE, "a", NO},
		{ALLOW("iot:RetainPublish", ARN "topic/a"), IOT_POLICY_RETAIN_PUBLISH, "a", YES},
		{ALLOW("iot:RetainPublish", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:*", "*"), IOT_POLICY_SUBSCRIBE, "#", YES},
		{ALLOW("*", "*"), IOT_POLICY_CONNECT, "x", YES},
		{ALLOW("iot:Pub*", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("iot:Pub*", ARN "topic/a"), IOT_POLICY_RETAIN_PUBLISH, "a", NO},
		{ALLOW("iot:?ublish", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("IOT:PUBLISH", ARN "topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("s3:*", "*"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publishx", "*"), IOT_POLICY_PUBLISH, "a", NO},
	};
	check_rows(rows, IOT_LENGTH(rows), &pump);
}

static void test_arn_parts(void)
{
	static const struct row rows[] = {
		{ALLOW("iot:Publish", "arn:aws:iot:*:*:topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("iot:Publish", "arn:*:i?t:loc*:0000*0000:topic/a"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("iot:Publish", "arn:aws-cn:iot:*:*:topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", "arn:aws:s3:*:*:topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", "arn:aws:iot:us-east-1:*:topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", "arn:aws:iot:*:123456789012:topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", "arn:aws:iot:::topic/a"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", "arn:aws:iot:*:*:*"), IOT_POLICY_PUBLISH, "a", YES},
		{ALLOW("iot:Publish", "arn:aws:iot:*:*:topic/a:b"), IOT_POLICY_PUBLISH, "a:b", YES},
		/* A wildcard stays in its part. */
		{ALLOW("iot:Publish", "arn:*:iot:x:topic/a:topic/a"), IOT_POLICY_PUBLISH, "a", NO},
	};
	const struct iot_policy_scope scope = {.partition = "aws", .region = "eu-west-1", .account = "123456789012"};
	IOT_CLEAN(iot_policy_free_p)
	struct iot_policy *policy = policy_of(ALLOW("iot:Publish", "arn:aws:iot:eu-west-1:123456789012:topic/a"));
	const struct iot_policy *policies[] = {policy};
	struct iot_policy_request request = {.action = IOT_POLICY_PUBLISH, .resource = "a", .scope = &scope};

	check_rows(rows, IOT_LENGTH(rows), &pump);
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), YES);
	request.scope = NULL;
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), NO);
}

static void test_wildcards(void)
{
	static const struct row rows[] = {
		{ALLOW("iot:Publish", ARN "topic/a/*"), IOT_POLICY_PUBLISH, "a/b/c", YES},
		{ALLOW("iot:Publish", ARN "topic/a/*"), IOT_POLICY_PUBLISH, "a/", YES},
		{ALLOW("iot:Publish", ARN "topic/a/*"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", ARN "topic/a/*/z"), IOT_POLICY_PUBLISH, "a/b/c/z", YES},
		{ALLOW("iot:Publish", ARN "topic/a/*/z"), IOT_POLICY_PUBLISH, "a/b/c/zz", NO},
		{ALLOW("iot:Publish", ARN "topic/*b*d*"), IOT_POLICY_PUBLISH, "abcde", YES},
		{ALLOW("iot:Publish", ARN "topic/*b*d"), IOT_POLICY_PUBLISH, "abdcde", NO},
		{ALLOW("iot:Publish", ARN "topic/*ab"), IOT_POLICY_PUBLISH, "aaab", YES},
		{ALLOW("iot:Publish", ARN "topic/*aba*ab"), IOT_POLICY_PUBLISH, "abab", NO},
		{ALLOW("iot:Publish", ARN "topic/**"), IOT_POLICY_PUBLISH, "x", YES},
		{ALLOW("iot:Publish", ARN "topic/a?c"), IOT_POLICY_PUBLISH, "abc", YES},
		{ALLOW("iot:Publish", ARN "topic/a?c"), IOT_POLICY_PUBLISH, "a/c", YES},
		{ALLOW("iot:Publish", ARN "topic/a?c"), IOT_POLICY_PUBLISH, "ac", NO},
		{ALLOW("iot:Publish", ARN "topic/a?"), IOT_POLICY_PUBLISH, "a", NO},
		{ALLOW("iot:Publish", ARN "topic/a?c"), IOT_POLICY_PUBLISH,
		 "a\xe2\x82\xac"
		 "c",
		 YES},
		{ALLOW("iot:Publish", ARN "topic/*??"), IOT_POLICY_PUBLISH, "\xe2\x82\xac", NO},
		{ALLOW("iot:Publish", ARN "topic/*?"), IOT_POLICY_PUBLISH, "\xe2\x82\xac", YES},
		{ALLOW("iot:Publish", ARN "topic/A"), IOT_POLICY_PUBLISH, "a", NO},
		/* The kind is part of the text. */
		{ALLOW("iot:*", ARN "topic*"), IOT_POLICY_SUBSCRIBE, "a", YES},
		{ALLOW("iot:*", ARN "topic*"), IOT_POLICY_CONNECT, "a", NO},
		/* MQTT's wildcards are plain characters. */
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/#"), IOT_POLICY_SUBSCRIBE, "a/#", YES},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/#"), IOT_POLICY_SUBSCRIBE, "a/b", NO},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/b"), IOT_POLICY_SUBSCRIBE, "a/+", NO},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/b"), IOT_POLICY_SUBSCRIBE, "a/#", NO},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/*"), IOT_POLICY_SUBSCRIBE, "a/#", YES},
		{ALLOW("iot:Subscribe", ARN "topicfilter/a/*"), IOT_POLICY_SUBSCRIBE, "#", NO},
		{ALLOW("iot:Publish", ARN "topic/a/+"), IOT_POLICY_PUBLISH, "a/b", NO},
		/* Escapes. */
		{ALLOW("iot:Publish", ARN "topic/a${*}${?}${$}{"), IOT_POLICY_PUBLISH, "a*?${", YES},
		{ALLOW("iot:Publish", ARN "topic/a${*}"), IOT_POLICY_PUBLISH, "ab", NO},
		{ALLOW("iot:Publish", ARN "topic/a${?}"), IOT_POLICY_PUBLISH, "ab", NO},
	};
	check_rows(rows, IOT_LENGTH(rows), &pump);
}

static void test_variables(void)
{
	static const struct row rows[] = {
		{ALLOW("iot:Connect", ARN "client/" THING), IOT_POLICY_CONNECT, "pump-1", YES},
		{ALLOW("iot:Connect", ARN "client/" THING), IOT_POLICY_CONNECT, "pump-11", NO},
		{ALLOW("iot:Connect", ARN "client/" THING "*"), IOT_POLICY_CONNECT, "pump-11", YES},
		{ALLOW("iot:Publish", ARN "topic/x/*/" THING "/*/z"), IOT_POLICY_PUBLISH, "x/a/b/pump-1/c/z", YES},
		{ALLOW("iot:Publish", ARN "topic/x/*/" THING "/*/z"), IOT_POLICY_PUBLISH, "x/a/b/pump-2/c/z", NO},
		{ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.ThingTypeName}/" THING), IOT_POLICY_PUBLISH,
		 "pump/pump-1", YES},
		{ALLOW("iot:Publish", ARN "topic/${IOT:clientid}"), IOT_POLICY_PUBLISH, "pump-1", YES},
		{ALLOW("iot:Publish", ARN "topic/${iot:CertificateId}"), IOT_POLICY_PUBLISH, "c0ffee", YES},
		{ALLOW("iot:Publish", ARN "topic/${aws:SourceIp}"), IOT_POLICY_PUBLISH, "192.0.2.10", YES},
		{ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.IsAttached}"), IOT_POLICY_PUBLISH, "true", YES},
		/* Without a value, or not known: matches nothing. */
		{ALLOW("iot:Publish", ARN "topic/${iot:DomainName}"), IOT_POLICY_PUBLISH, "", NO},
		{ALLOW("iot:Publish", ARN "topic/x${iot:DomainName}*"), IOT_POLICY_PUBLISH, "x", NO},
		{ALLOW("iot:Publish", ARN "topic/${iot:Nonsense}"), IOT_POLICY_PUBLISH, "${iot:Nonsense}", NO},
		{ALLOW("iot:Publish", ARN "topic/${iot:LastWillTopic}*"), IOT_POLICY_PUBLISH, "x", NO},
		{DENY("iot:Publish", ARN "topic/${iot:DomainName}*") "," ALLOW("iot:Publish", "*"), IOT_POLICY_PUBLISH,
		 "x", YES},
		/* One of several resources without a value leaves the others alone. */
		{"{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":[\"" ARN
		 "topic/${iot:DomainName}\",\"" ARN "topic/a\"]}",
		 IOT_POLICY_PUBLISH, "a", YES},
	};
	check_rows(rows, IOT_LENGTH(rows), &pump);
}

/* The client id is not the name of an attached thing: the thing's variables are gone. */
static void test_thing_variables_absent(void)
{
	const struct iot_policy_vars stranger = {.client_id = "pump-2"};

	CU_ASSERT_EQUAL(judge(ALLOW("iot:Connect", ARN "client/" THING), IOT_POLICY_CONNECT, "pump-2", &stranger), NO);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Connect", ARN "client/" THING), IOT_POLICY_CONNECT, "", &stranger), NO);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/" THING "/*"), IOT_POLICY_PUBLISH, "/x", &stranger), NO);
	CU_ASSERT_EQUAL(
		judge(ALLOW("iot:Publish", ARN "topic/${iot:ClientId}"), IOT_POLICY_PUBLISH, "pump-2", &stranger), YES);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/" THING), IOT_POLICY_PUBLISH, "pump-2", NULL), NO);
}

/* A name with wildcards in it stays a name. */
static void test_values_are_literal(void)
{
	const struct iot_policy_vars evil = {.client_id = "*", .thing_name = "p?mp", .thing_type = "${*}"};

	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/${iot:ClientId}"), IOT_POLICY_PUBLISH, "a", &evil), NO);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/${iot:ClientId}"), IOT_POLICY_PUBLISH, "*", &evil), YES);
	CU_ASSERT_EQUAL(
		judge(ALLOW("iot:Publish", ARN "topic/*/${iot:ClientId}/*"), IOT_POLICY_PUBLISH, "a/b/c", &evil), NO);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/" THING), IOT_POLICY_PUBLISH, "pump", &evil), NO);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.ThingTypeName}"),
			      IOT_POLICY_PUBLISH, "*", &evil),
			NO);
}

static void test_attributes(void)
{
	IOT_JSON attributes = json_pack("{s:s, s:s, s:s}", "site", "north", "Site", "south", "none", "");
	const struct iot_policy_vars vars = {.client_id = "p", .thing_name = "p", .attributes = attributes};
	static const struct row rows[] = {
		{ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.Attributes[site]}"), IOT_POLICY_PUBLISH,
		 "north", YES},
		{ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.Attributes[Site]}"), IOT_POLICY_PUBLISH,
		 "south", YES},
		{ALLOW("iot:Publish", ARN "topic/${iot:Connection.Thing.Attributes[SITE]}"), IOT_POLICY_PUBLISH,
		 "north", NO},
		{ALLOW("iot:Publish", ARN "topic/x${iot:Connection.Thing.Attributes[none]}"), IOT_POLICY_PUBLISH, "x",
		 NO},
		{ALLOW("iot:Publish", ARN "topic/x${iot:Connection.Thing.Attributes[]}"), IOT_POLICY_PUBLISH, "x", NO},
	};
	check_rows(rows, IOT_LENGTH(rows), &vars);
}

static void test_certificate_fields(void)
{
	static const struct iot_policy_field fields[] = {
		{"Subject.CommonName", "first"},  {"Subject.CommonName", "second"},
		{"Issuer.CommonName", "the CA"},  {"Subject.CommonName", "third"},
		{"Subject.CommonName", "fourth"}, {"Subject.CommonName", "fifth"},
		{"Subject.CommonName", "sixth"},  {"Subject.Organization", "a*"},
		{"Subject.Title", "a+"},          {"Subject.AlternativeName.DNSName", "d"},
	};
	const struct iot_policy_vars vars = {.fields = fields, .field_count = IOT_LENGTH(fields), .serial = "01ff"};
#define FIELD(name) ALLOW("iot:Publish", ARN "topic/x${iot:Certificate." name "}")
	static const struct row rows[] = {
		{FIELD("Subject.CommonName"), IOT_POLICY_PUBLISH, "xfirst", YES},
		{FIELD("Subject.CommonName.1"), IOT_POLICY_PUBLISH, "xsecond", YES},
		{FIELD("Subject.CommonName.4"), IOT_POLICY_PUBLISH, "xfifth", YES},
		{FIELD("Subject.CommonName.5"), IOT_POLICY_PUBLISH, "xsixth", NO},
		{FIELD("Subject.CommonName.0"), IOT_POLICY_PUBLISH, "xfirst", NO},
		{FIELD("Subject.CommonName.List"), IOT_POLICY_PUBLISH, "xfirst", NO},
		{FIELD("Issuer.CommonName"), IOT_POLICY_PUBLISH, "xthe CA", YES},
		{FIELD("Issuer.CommonName.1"), IOT_POLICY_PUBLISH, "x", NO},
		{FIELD("Subject.AlternativeName.DNSName"), IOT_POLICY_PUBLISH, "xd", YES},
		{FIELD("SerialNumber"), IOT_POLICY_PUBLISH, "x01ff", YES},
		{FIELD("Subject.Country"), IOT_POLICY_PUBLISH, "x", NO},
		/* Not replaced: they hold characters that mean something to a policy or to MQTT. */
		{FIELD("Subject.Organization"), IOT_POLICY_PUBLISH, "xa*", NO},
		{FIELD("Subject.Title"), IOT_POLICY_PUBLISH, "xa+", NO},
	};
	check_rows(rows, IOT_LENGTH(rows), &vars);
}

static void test_no_variables_before_2012(void)
{
	static const char *const versions[] = {"", "\"Version\":\"2008-10-17\","};

	for (size_t i = 0; i < IOT_LENGTH(versions); i++) {
		IOT_CLEAN(iot_free_p)
		char *text = iot_strf("{%s\"Statement\":" ALLOW("iot:Publish", ARN "topic/${iot:ClientId}/${*}") "}",
				      versions[i]);
		IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
		struct iot_policy_request request = {
			.action = IOT_POLICY_PUBLISH, .resource = "pump-1/*", .vars = &pump};
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_OK(iot_policy_parse(text, strlen(text), &policy, &err), &err);
		CU_ASSERT_EQUAL(iot_policy_decide((const struct iot_policy *const *)&policy, 1, &request, NULL), NO);
		request.resource = "${iot:ClientId}/${anything}";
		CU_ASSERT_EQUAL(iot_policy_decide((const struct iot_policy *const *)&policy, 1, &request, NULL), YES);
	}
}

static void test_deny_wins(void)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *wide = policy_of(ALLOW("iot:*", "*"));
	IOT_CLEAN(iot_policy_free_p)
	struct iot_policy *narrow =
		policy_of(ALLOW("iot:Publish", ARN "topic/a") ",{\"Sid\":\"NoSecrets\",\"Effect\":\"Deny\",\"Action\":"
							      "\"iot:*\",\"Resource\":\"" ARN "topic/secret/*\"}");
	const struct iot_policy *policies[] = {NULL, wide, narrow};
	struct iot_policy_request request = {.action = IOT_POLICY_PUBLISH, .resource = "secret/1"};
	struct iot_policy_verdict verdict;

	CU_ASSERT_EQUAL(iot_policy_decide(policies, 3, &request, &verdict), NEVER);
	CU_ASSERT_EQUAL(verdict.policy, 2);
	CU_ASSERT_EQUAL(verdict.statement, 2);
	CU_ASSERT_PTR_NOT_NULL(verdict.sid);
	CU_ASSERT_STRING_EQUAL(verdict.sid == NULL ? "" : verdict.sid, "NoSecrets");

	request.resource = "a";
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 3, &request, &verdict), YES);
	CU_ASSERT_EQUAL(verdict.policy, 1);
	CU_ASSERT_EQUAL(verdict.statement, 1);
	CU_ASSERT_PTR_NULL(verdict.sid);

	/* Whatever the order. */
	CU_ASSERT_EQUAL(judge(DENY("iot:*", "*") "," ALLOW("iot:*", "*"), IOT_POLICY_PUBLISH, "a", NULL), NEVER);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:*", "*") "," DENY("iot:*", "*"), IOT_POLICY_PUBLISH, "a", NULL), NEVER);

	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, &verdict), NO);
	CU_ASSERT_EQUAL(verdict.policy, SIZE_MAX);
	CU_ASSERT_EQUAL(verdict.statement, 0);
	CU_ASSERT_EQUAL(iot_policy_decide(NULL, 0, &request, NULL), NO);
}

static void test_too_long_is_denied(void)
{
	char topic[IOT_POLICY_RESOURCE_MAX + 2];

	memset(topic, 'a', sizeof(topic) - 1);
	topic[sizeof(topic) - 1] = '\0';
	CU_ASSERT_EQUAL(judge(ALLOW("iot:*", "*"), IOT_POLICY_PUBLISH, topic, NULL), NO);
	topic[IOT_POLICY_RESOURCE_MAX] = '\0';
	CU_ASSERT_EQUAL(judge(ALLOW("iot:*", "*"), IOT_POLICY_PUBLISH, topic, NULL), YES);
	CU_ASSERT_EQUAL(judge(ALLOW("iot:*", "*"), IOT_POLICY_PUBLISH, NULL, NULL), NO);
}

/* An operator's rights: other actions, other kinds, or none. */
static void test_other_actions(void)
{
	IOT_CLEAN(iot_policy_free_p)
	struct iot_policy *policy = policy_of(ALLOW("iot:*Job", ARN "job/fw-*") "," ALLOW(
		"iot:ListThings", "*") "," ALLOW("iot:ListJobs", "arn:aws:iot:*:*:*"));
	const struct iot_policy *policies[] = {policy};
	struct iot_policy_request request = {
		.action = IOT_POLICY_OTHER, .action_name = "iot:CreateJob", .resource = "job/fw-1"};

	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), YES);
	request.resource = "job/other";
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), NO);
	request.resource = NULL; /* an action without a resource needs "*" */
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), NO);
	request.action_name = "iot:listthings";
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), YES);
	request.action_name = "iot:ListJobs";
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), NO);
	request.action_name = NULL;
	CU_ASSERT_EQUAL(iot_policy_decide(policies, 1, &request, NULL), NO);
	CU_ASSERT_EQUAL(iot_policy_action_parse("PUBLISH"), IOT_POLICY_PUBLISH);
	CU_ASSERT_EQUAL(iot_policy_action_parse("iot:subscribe"), IOT_POLICY_SUBSCRIBE);
	CU_ASSERT_EQUAL(iot_policy_action_parse("iot:CreateJob"), IOT_POLICY_OTHER);
}

static void test_request_arn(void)
{
	static const char *const wrong[] = {"",
					    "*",
					    "arn:aws:iot:r:a",
					    "arn:aws:s3:r:a:topic/x",
					    "arn:aws:iot:r:a:client/x",
					    "arn:aws:iot:r:a:topicfilter/x"};
	struct iot_policy_request request = {.action = IOT_POLICY_PUBLISH};
	struct iot_policy_arn parts;
	struct iot_error err = IOT_ERROR_INIT;
	char long_region[200];

	ASSERT_OK(iot_policy_request_arn(&request, "arn:aws:iot:eu-west-1:123456789012:topic/a:b/c", &parts, &err),
		  &err);
	CU_ASSERT_STRING_EQUAL(request.resource, "a:b/c");
	CU_ASSERT_STRING_EQUAL(request.scope->region, "eu-west-1");
	CU_ASSERT_STRING_EQUAL(request.scope->account, "123456789012");
	for (size_t i = 0; i < IOT_LENGTH(wrong); i++)
		ASSERT_STATUS(iot_policy_request_arn(&request, wrong[i], &parts, &err), IOT_USAGE, &err);
	snprintf(long_region, sizeof(long_region), "arn:aws:iot:%0150d:1:topic/a", 0);
	ASSERT_STATUS(iot_policy_request_arn(&request, long_region, &parts, &err), IOT_USAGE, &err);
}

static void test_missing_values(void)
{
	IOT_CLEAN(iot_policy_free_p)
	struct iot_policy *policy = policy_of(
		"{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"" ARN "topic/" THING "/" THING
		"\",\"Condition\":{\"StringEquals\":{\"iot:DomainName\":\"${iot:ClientId}\"}}}," ALLOW(
			"iot:Connect", ARN "client/${iot:CertificateId}"));
	const struct iot_policy *policies[] = {policy};
	const struct iot_policy_vars vars = {.client_id = "x"};
	const struct iot_policy_request request = {.action = IOT_POLICY_PUBLISH, .resource = "a", .vars = &vars};
	IOT_JSON names = iot_policy_missing(policies, 1, &request);
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(names);

	CU_ASSERT_STRING_EQUAL(text, "[\"iot:Connection.Thing.ThingName\",\"iot:DomainName\"]");
}

/* Patterns made to go wrong: time stays within the product of both lengths. */
static void test_no_blow_up(void)
{
	char topic[IOT_POLICY_RESOURCE_MAX + 1];
	IOT_CLEAN(iot_free_p) char *stars = iot_alloc(1801);
	IOT_CLEAN(iot_free_p) char *statement = NULL;

	memset(topic, 'a', sizeof(topic) - 1);
	topic[sizeof(topic) - 1] = '\0';
	for (size_t i = 0; i < 1800; i += 2)
		memcpy(stars + i, "a*", 2);
	statement =
		iot_strf("{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"" ARN "topic/%sb\"}", stars);
	CU_ASSERT_EQUAL(judge(statement, IOT_POLICY_PUBLISH, topic, NULL), NO);
}

static void test_device_default(void)
{
	struct iot_buf text = IOT_BUF_INIT(65536);
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	static const struct {
		enum iot_policy_action action;
		const char *resource;
		enum iot_decision expected;
	} rows[] = {
		{IOT_POLICY_CONNECT, "pump-1", YES},
		{IOT_POLICY_CONNECT, "pump-2", NO},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-1/jobs/start-next", YES},
		{IOT_POLICY_SUBSCRIBE, "$aws/things/pump-1/jobs/#", YES},
		{IOT_POLICY_RECEIVE, "$aws/things/pump-1/jobs/notify-next", YES},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-1/streams/s/get/cbor", YES},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-1/shadow/name/config/update", YES},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-1/tunnels/notify", NO},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-2/jobs/start-next", NO},
		{IOT_POLICY_PUBLISH, "$aws/things/pump-11/jobs/start-next", NO},
		{IOT_POLICY_SUBSCRIBE, "$aws/things/+/jobs/#", NO},
		{IOT_POLICY_SUBSCRIBE, "#", NO},
		{IOT_POLICY_PUBLISH, "pump/pump-1/events", YES},
		{IOT_POLICY_SUBSCRIBE, "pump/pump-1/+", YES},
		{IOT_POLICY_SUBSCRIBE, "pump/+/events", NO},
		{IOT_POLICY_PUBLISH, "pump/pump-2/events", NO},
		{IOT_POLICY_PUBLISH, "other", NO},
		{IOT_POLICY_RETAIN_PUBLISH, "pump/pump-1/events", NO},
		{IOT_POLICY_RETAIN_PUBLISH, "pump/pump-1/state", YES},
		{IOT_POLICY_RETAIN_PUBLISH, "pump/pump-2/state", NO},
	};

	iot_policy_device_default(&text);
	ASSERT_OK(iot_policy_parse(text.data, text.len, &policy, &err), &err);
	CU_ASSERT(policy != NULL && iot_policy_size(policy) <= IOT_POLICY_SIZE_MAX);
	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		const struct iot_policy_request request = {
			.action = rows[i].action, .resource = rows[i].resource, .vars = &pump};
		enum iot_decision decision =
			iot_policy_decide((const struct iot_policy *const *)&policy, 1, &request, NULL);

		if (decision != rows[i].expected)
			fprintf(stderr, "\n%s: %s\n", rows[i].resource, iot_decision_name(decision));
		CU_ASSERT_EQUAL(decision, rows[i].expected);
	}
	iot_buf_release(&text);
}

UNIT_MAIN("policy/decide", NULL, NULL, {"actions-and-kinds", test_actions_and_kinds}, {"arn-parts", test_arn_parts},
	  {"wildcards", test_wildcards}, {"variables", test_variables},
	  {"thing-variables-absent", test_thing_variables_absent}, {"values-are-literal", test_values_are_literal},
	  {"attributes", test_attributes}, {"certificate-fields", test_certificate_fields},
	  {"no-variables-before-2012", test_no_variables_before_2012}, {"deny-wins", test_deny_wins},
	  {"too-long-is-denied", test_too_long_is_denied}, {"other-actions", test_other_actions},
	  {"request-arn", test_request_arn}, {"missing-values", test_missing_values}, {"no-blow-up", test_no_blow_up},
	  {"device-default", test_device_default})
