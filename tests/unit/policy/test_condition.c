/* Conditions: every operator with a matching, another and a missing value, in an Allow and in a Deny. */
#include "fixture.h"

/*
 * What a statement "on CONNECT of *, if CONDITION" says as an Allow, and whether it takes
 * effect as a Deny beside an Allow of everything.
 */
struct outcome {
	bool allows;
	bool denies;
};

static struct outcome outcome_of(const char *condition, enum iot_policy_action action,
				 const struct iot_policy_vars *vars)
{
	IOT_CLEAN(iot_free_p)
	char *allow = iot_strf("{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\",\"Condition\":{%s}}",
			       condition);
	IOT_CLEAN(iot_free_p)
	char *deny =
		iot_strf("{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"},{\"Effect\":\"Deny\",\"Action\":"
			 "\"iot:*\",\"Resource\":\"*\",\"Condition\":{%s}}",
			 condition);
	struct outcome outcome;

	outcome.allows = judge(allow, action, "x", vars) == IOT_DECISION_ALLOWED;
	outcome.denies = judge(deny, action, "x", vars) == IOT_DECISION_EXPLICIT_DENY;
	return outcome;
}

struct row {
	const char *condition;
	bool allows;
	bool denies;
};

static void check_rows(const struct row *rows, size_t count, enum iot_policy_action action,
		       const struct iot_policy_vars *vars)
{
	for (size_t i = 0; i < count; i++) {
		struct outcome outcome = outcome_of(rows[i].condition, action, vars);

		if (outcome.allows != rows[i].allows || outcome.denies != rows[i].denies)
			fprintf(stderr, "\nrow %zu: {%s}: allows %d, denies %d\n", i, rows[i].condition, outcome.allows,
				outcome.denies);
		CU_ASSERT_EQUAL(outcome.allows, rows[i].allows);
		CU_ASSERT_EQUAL(outcome.denies, rows[i].denies);
	}
}

#define IF(op, key, values) "\"" op "\":{\"" key "\":" values "}"

static void test_strings(void)
{
	static const struct row rows[] = {
		{IF("StringEquals", "iot:ClientId", "\"pump-1\""), true, true},
		{IF("StringEquals", "IOT:CLIENTID", "[\"x\",\"pump-1\"]"), true, true},
		{IF("StringEquals", "iot:ClientId", "\"PUMP-1\""), false, false},
		{IF("StringEquals", "iot:ClientId", "\"pump-*\""), false, false},
		{IF("StringNotEquals", "iot:ClientId", "\"pump-2\""), true, true},
		{IF("StringNotEquals", "iot:ClientId", "[\"pump-1\",\"pump-2\"]"), false, false},
		{IF("StringEqualsIgnoreCase", "iot:ClientId", "\"PUMP-1\""), true, true},
		{IF("StringNotEqualsIgnoreCase", "iot:ClientId", "\"PUMP-1\""), false, false},
		{IF("StringLike", "iot:ClientId", "\"pu*-?\""), true, true},
		{IF("StringLike", "iot:ClientId", "\"PU*\""), false, false},
		{IF("StringLike", "iot:ClientId", "\"pump${*}\""), false, false},
		{IF("StringNotLike", "iot:ClientId", "\"pu*\""), false, false},
		{IF("StringNotLike", "iot:ClientId", "\"va*\""), true, true},
		/* Operators are ANDed. */
		{IF("StringEquals", "iot:ClientId", "\"pump-1\"") "," IF("StringLike", "iot:CertificateId", "\"c*\""),
		 true, true},
		{IF("StringEquals", "iot:ClientId", "\"pump-1\"") "," IF("StringLike", "iot:CertificateId", "\"d*\""),
		 false, false},
		/* So are the keys of one. */
		{"\"StringLike\":{\"iot:ClientId\":\"pump*\",\"iot:CertificateId\":\"d*\"}", false, false},
		{"", true, true},
	};
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_PUBLISH, &pump);
}

static void test_variables_in_values(void)
{
	static const struct row rows[] = {
		{IF("StringEquals", "iot:ClientId", "\"" THING "\""), true, true},
		{IF("StringNotEquals", "iot:ClientId", "\"" THING "\""), false, false},
		{IF("StringEquals", "iot:ClientId", "\"${iot:DomainName}\""), false, false},
		{IF("StringEquals", "iot:ClientId", "[\"${iot:DomainName}\",\"pump-1\"]"), true, true},
		/* Without a value a negated operator cannot be told: the statement does not match. */
		{IF("StringNotEquals", "iot:ClientId", "\"${iot:DomainName}\""), false, false},
		{IF("StringNotLike", "iot:ClientId", "[\"x\",\"a${iot:Nonsense}\"]"), false, false},
	};
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_PUBLISH, &pump);
}

static void test_missing_key(void)
{
	static const struct row rows[] = {
		{IF("StringEquals", "iot:DomainName", "\"x\""), false, false},
		{IF("StringNotEquals", "iot:DomainName", "\"x\""), true, true},
		{IF("StringEqualsIgnoreCase", "iot:DomainName", "\"x\""), false, false},
		{IF("StringNotEqualsIgnoreCase", "iot:DomainName", "\"x\""), true, true},
		{IF("StringLike", "iot:DomainName", "\"*\""), false, false},
		{IF("StringNotLike", "iot:DomainName", "\"*\""), true, true},
		{IF("Bool", "iot:DomainName", "\"true\""), false, false},
		{IF("ArnLike", "iot:LastWillTopic", "\"*\""), false, false},
		{IF("ArnNotLike", "iot:LastWillTopic", "\"*\""), true, true},
		{IF("StringEqualsIfExists", "iot:DomainName", "\"x\""), true, true},
		{IF("StringEqualsIfExists", "iot:ClientId", "\"x\""), false, false},
		{IF("StringEqualsIfExists", "iot:ClientId", "\"pump-1\""), true, true},
		{IF("StringNotEqualsIfExists", "iot:ClientId", "\"pump-1\""), false, false},
		{IF("ForAnyValue:StringEqualsIfExists", "iot:DomainName", "\"x\""), true, true},
		/* Where the rules differ, nothing is granted and everything is denied. */
		{IF("ForAnyValue:StringEquals", "iot:DomainName", "\"x\""), false, false},
		{IF("ForAnyValue:StringNotEquals", "iot:DomainName", "\"x\""), false, true},
		{IF("ForAllValues:StringEquals", "iot:DomainName", "\"x\""), false, true},
		{IF("ForAllValues:StringNotEquals", "iot:DomainName", "\"x\""), true, true},
		{IF("Null", "iot:DomainName", "\"true\""), true, true},
		{IF("Null", "iot:DomainName", "false"), false, false},
		{IF("Null", "iot:ClientId", "\"false\""), true, true},
		{IF("Null", "iot:ClientId", "\"true\""), false, false},
	};
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_PUBLISH, &pump);
}

static void test_unknown(void)
{
	static const struct row rows[] = {
		{IF("StringEqual", "iot:ClientId", "\"pump-1\""), false, true},
		{IF("stringequals", "iot:ClientId", "\"pump-1\""), false, true},
		{IF("DateLessThan", "aws:CurrentTime", "\"2030-01-01T00:00:00Z\""), false, true},
		{IF("NumericEquals", "iot:ClientId", "1"), false, true},
		{IF("NullIfExists", "iot:ClientId", "\"false\""), false, true},
		{IF("StringEquals", "iot:ClientID2", "\"pump-1\""), false, true},
		{IF("StringNotEquals", "aws:Nothing", "\"x\""), false, true},
		{IF("StringEqualsIfExists", "aws:Nothing", "\"x\""), false, true},
		{IF("Null", "aws:Nothing", "\"true\""), false, true},
		/* A known condition beside it still decides whether a Deny applies. */
		{IF("StringEqual", "iot:ClientId", "\"a\"") "," IF("StringEquals", "iot:ClientId", "\"other\""), false,
		 false},
	};
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_PUBLISH, &pump);
}

static void test_bool(void)
{
	const struct iot_policy_vars loose = {.client_id = "pump-1"};
	static const struct row attached[] = {
		{IF("Bool", "iot:Connection.Thing.IsAttached", "\"true\""), true, true},
		{IF("Bool", "iot:Connection.Thing.IsAttached", "\"True\""), true, true},
		{IF("Bool", "iot:Connection.Thing.IsAttached", "true"), true, true},
		{IF("Bool", "iot:Connection.Thing.IsAttached", "false"), false, false},
		{IF("Bool", "iot:Connection.Thing.IsAttached", "[\"true\",\"false\"]"), true, true},
		{IF("Bool", "iot:ClientId", "\"true\""), false, false},
	};
	static const struct row not_attached[] = {
		{IF("Bool", "iot:Connection.Thing.IsAttached", "\"true\""), false, false},
		{IF("Bool", "iot:Connection.Thing.IsAttached", "\"false\""), true, true},
	};
	check_rows(attached, IOT_LENGTH(attached), IOT_POLICY_CONNECT, &pump);
	check_rows(not_attached, IOT_LENGTH(not_attached), IOT_POLICY_CONNECT, &loose);
}

static void test_addresses(void)
{
	const struct iot_policy_vars v6 = {.source_ip = "2001:db8::1:2"}, mapped = {.source_ip = "::ffff:192.0.2.10"};
	const struct iot_policy_vars none = {.client_id = "x"}, broken = {.source_ip = "local socket"};
	static const struct row rows4[] = {
		{IF("IpAddress", "aws:SourceIp", "\"192.0.2.0/24\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "\"192.0.2.10\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "\"192.0.2.8/30\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "\"192.0.2.12/30\""), false, false},
		{IF("IpAddress", "aws:SourceIp", "\"0.0.0.0/0\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "[\"10.0.0.0/8\",\"2001:db8::/32\"]"), false, false},
		{IF("NotIpAddress", "aws:SourceIp", "\"192.0.2.0/24\""), false, false},
		{IF("NotIpAddress", "aws:SourceIp", "\"10.0.0.0/8\""), true, true},
	};
	static const struct row rows6[] = {
		{IF("IpAddress", "aws:SourceIp", "\"2001:db8::/32\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "\"2001:db8::1:0/113\""), true, true},
		{IF("IpAddress", "aws:SourceIp", "\"2001:db8::8001:0/113\""), false, false},
		{IF("IpAddress", "aws:SourceIp", "\"0.0.0.0/0\""), false, false},
	};
	static const struct row rows_none[] = {
		{IF("IpAddress", "aws:SourceIp", "\"0.0.0.0/0\""), false, false},
		{IF("NotIpAddress", "aws:SourceIp", "\"10.0.0.0/8\""), true, true},
	};
	static const struct row rows_broken[] = {
		{IF("IpAddress", "aws:SourceIp", "\"0.0.0.0/0\""), false, true},
		{IF("NotIpAddress", "aws:SourceIp", "\"10.0.0.0/8\""), false, true},
	};
	check_rows(rows4, IOT_LENGTH(rows4), IOT_POLICY_CONNECT, &pump);
	check_rows(rows4, IOT_LENGTH(rows4), IOT_POLICY_CONNECT, &mapped);
	check_rows(rows6, IOT_LENGTH(rows6), IOT_POLICY_CONNECT, &v6);
	check_rows(rows_none, IOT_LENGTH(rows_none), IOT_POLICY_CONNECT, &none);
	check_rows(rows_broken, IOT_LENGTH(rows_broken), IOT_POLICY_CONNECT, &broken);
}

#define ATTRIBUTES "iot:ConnectAttributes"
#define PERSISTENT "[\"PersistentConnect\"]"

static void test_connect_attributes(void)
{
	const struct iot_policy_vars plain = {.client_id = "x"};
	const struct iot_policy_vars persistent = {.client_id = "x", .persistent = true};
	const struct iot_policy_vars both = {.client_id = "x", .persistent = true, .last_will = true};
	/* Per client: nothing asked for, a persistent session, both that and a will. */
	static const struct {
		const char *condition;
		bool allows[3];
	} rows[] = {
		{IF("ForAllValues:StringEquals", ATTRIBUTES, PERSISTENT), {true, true, false}},
		{IF("ForAllValues:StringEquals", ATTRIBUTES, "[\"PersistentConnect\",\"LastWill\"]"),
		 {true, true, true}},
		{IF("ForAllValues:StringNotEquals", ATTRIBUTES, PERSISTENT), {true, false, false}},
		{IF("ForAnyValue:StringEquals", ATTRIBUTES, PERSISTENT), {false, true, true}},
		{IF("ForAnyValue:StringNotEquals", ATTRIBUTES, PERSISTENT), {false, false, true}},
		{IF("StringEquals", ATTRIBUTES, PERSISTENT), {false, true, true}},
		{IF("StringNotEquals", ATTRIBUTES, PERSISTENT), {true, false, false}},
		{IF("Null", ATTRIBUTES, "true"), {true, false, false}},
	};
	const struct iot_policy_vars *clients[] = {&plain, &persistent, &both};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++)
		for (size_t c = 0; c < IOT_LENGTH(clients); c++)
			CU_ASSERT_EQUAL(outcome_of(rows[i].condition, IOT_POLICY_CONNECT, clients[c]).allows,
					rows[i].allows[c]);
	/* Elsewhere the key does not exist. */
	CU_ASSERT_FALSE(
		outcome_of(IF("ForAllValues:StringEquals", ATTRIBUTES, PERSISTENT), IOT_POLICY_PUBLISH, &persistent)
			.allows);
}

static void test_last_will_topic(void)
{
	const struct iot_policy_vars will = {.client_id = "x", .last_will = true, .last_will_topic = "wills/x"};
	char long_topic[2000];
	const struct iot_policy_vars endless = {.client_id = "x", .last_will = true, .last_will_topic = long_topic};
	static const struct row rows[] = {
		{IF("ArnEquals", "iot:LastWillTopic", "\"" ARN "topic/wills/x\""), true, true},
		{IF("ArnEquals", "iot:LastWillTopic", "\"arn:aws:iot:*:*:topic/wills/${iot:ClientId}\""), true, true},
		{IF("ArnLike", "iot:LastWillTopic", "\"" ARN "topic/wills/*\""), true, true},
		{IF("ArnLike", "iot:LastWillTopic", "\"" ARN "topic/other/*\""), false, false},
		{IF("ArnLike", "iot:LastWillTopic", "\"arn:aws:iot:*:1:topic/wills/*\""), false, false},
		{IF("ArnNotEquals", "iot:LastWillTopic", "\"" ARN "topic/wills/x\""), false, false},
		{IF("StringLike", "iot:LastWillTopic", "\"*:topic/wills/?\""), true, true},
		/* What is no ARN cannot be compared with one. */
		{IF("ArnLike", "iot:ClientId", "\"*\""), false, true},
		{IF("ArnNotLike", "iot:ClientId", "\"" ARN "topic/x\""), false, true},
	};
	static const struct row too_long[] = {
		{IF("ArnLike", "iot:LastWillTopic", "\"*\""), false, true},
		{IF("ArnNotLike", "iot:LastWillTopic", "\"" ARN "topic/x\""), false, true},
	};

	memset(long_topic, 'w', sizeof(long_topic) - 1);
	long_topic[sizeof(long_topic) - 1] = '\0';
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_CONNECT, &will);
	check_rows(too_long, IOT_LENGTH(too_long), IOT_POLICY_CONNECT, &endless);
}

static void test_certificate_lists(void)
{
	static const struct iot_policy_field fields[] = {{"Subject.CommonName", "one"},
							 {"Subject.CommonName", "Administrator"},
							 {"Subject.Organization", "a*b"}};
	const struct iot_policy_vars vars = {.fields = fields, .field_count = IOT_LENGTH(fields)};
#define CN "iot:Certificate.Subject.CommonName"
	static const struct row rows[] = {
		{IF("StringEquals", CN, "\"one\""), true, true},
		{IF("StringEquals", CN, "\"Administrator\""), false, false},
		{IF("StringEquals", CN ".1", "\"Administrator\""), true, true},
		{IF("StringEquals", CN ".2", "\"Administrator\""), false, false},
		{IF("ForAnyValue:StringEquals", CN ".List", "\"Administrator\""), true, true},
		{IF("ForAllValues:StringEquals", CN ".List", "\"Administrator\""), false, false},
		{IF("ForAllValues:StringEquals", CN ".List", "[\"Administrator\",\"one\"]"), true, true},
		/* As a key the value counts as it stands; only into a pattern it does not go. */
		{IF("StringEquals", "iot:Certificate.Subject.Organization", "\"a${*}b\""), true, true},
		{IF("StringNotEquals", "iot:Certificate.Subject.Organization", "\"a${*}b\""), false, false},
	};
	check_rows(rows, IOT_LENGTH(rows), IOT_POLICY_CONNECT, &vars);
}

UNIT_MAIN("policy/condition", NULL, NULL, {"strings", test_strings}, {"variables-in-values", test_variables_in_values},
	  {"missing-key", test_missing_key}, {"unknown", test_unknown}, {"bool", test_bool},
	  {"addresses", test_addresses}, {"connect-attributes", test_connect_attributes},
	  {"last-will-topic", test_last_will_topic}, {"certificate-lists", test_certificate_lists})
