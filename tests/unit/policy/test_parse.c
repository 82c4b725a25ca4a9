/* What a document may hold, and what is said about one that may not. */
#include "fixture.h"

#define OK_STATEMENT "{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"*\"}"
#define WITH(member) "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":\"*\"," member "}}"

static void test_accepts(void)
{
	static const char *const documents[] = {
		"{\"Statement\":" OK_STATEMENT "}",
		"{\"Version\":\"2008-10-17\",\"Statement\":[" OK_STATEMENT "]}",
		" {\"Version\":\"2012-10-17\",\n\t\"Statement\":[" OK_STATEMENT "," OK_STATEMENT "]} \n",
		WITH("\"Sid\":\"Any text, really\""),
		WITH("\"Sid\":\"\""),
		WITH("\"Condition\":{}"),
		WITH("\"Condition\":{\"Bool\":{\"iot:Connection.Thing.IsAttached\":[true]}}"),
		"{\"Statement\":{\"Effect\":\"Deny\",\"Action\":[\"*\",\"a:b\"],\"Resource\":[\"*\",\"arn:a:b:::x\"]}}",
	};

	for (size_t i = 0; i < IOT_LENGTH(documents); i++) {
		IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_OK(iot_policy_parse(documents[i], strlen(documents[i]), &policy, &err), &err);
		CU_ASSERT_PTR_NOT_NULL(policy);
	}
}

static void test_refuses(void)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{"", "not valid JSON"},
		{"policy", "not valid JSON"},
		{"[]", "document: is not an object"},
		{"\"x\"", "document: is not an object"},
		{"{}", "'Statement' is missing"},
		{"{\"Statement\":[]}", "'Statement' is an empty list"},
		{"{\"Statement\":[1]}", "statement 1: is not an object"},
		{"{\"Statement\":[" OK_STATEMENT ",\"x\"]}", "statement 2: is not an object"},
		{"{\"Statement\":" OK_STATEMENT ",\"Statement\":" OK_STATEMENT "}", "duplicate"},
		{"{\"Id\":\"x\",\"Statement\":" OK_STATEMENT "}", "document: unknown member 'Id'"},
		{"{\"statement\":" OK_STATEMENT "}", "did you mean 'Statement'?"},
		{"{\"Version\":\"2012-10-18\",\"Statement\":" OK_STATEMENT "}", "'Version' is neither"},
		{"{\"Version\":2012,\"Statement\":" OK_STATEMENT "}", "'Version' is neither"},
		{"{\"Statement\":{}}", "statement 1: 'Effect' is missing"},
		{"{\"Statement\":{\"Effect\":\"allow\",\"Action\":\"*\",\"Resource\":\"*\"}}",
		 "'Effect' is neither 'Allow' nor 'Deny'"},
		{"{\"Statement\":{\"Effect\":true,\"Action\":\"*\",\"Resource\":\"*\"}}", "'Effect' is neither"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Resource\":\"*\"}}", "'Action' is missing"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":[],\"Resource\":\"*\"}}",
		 "'Action' is an empty list"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"\",\"Resource\":\"*\"}}",
		 "'Action' holds an empty string"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":[\"*\",1],\"Resource\":\"*\"}}",
		 "'Action' is neither a string"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"Publish\",\"Resource\":\"*\"}}",
		 "action 'Publish' is not"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:\",\"Resource\":\"*\"}}",
		 "action 'iot:' is not"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\"}}", "'Resource' is missing"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":{}}}",
		 "'Resource' is neither a string"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"topic/a\"}}",
		 "resource 'topic/a' is neither '*' nor"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:iot:*\"}}",
		 "neither '*' nor an ARN"},
		{"{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"arn:aws:iot:r:a:\"}}",
		 "neither '*' nor an ARN"},
		{"{" V2012 "\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"" ARN "topic/${x\"}}",
		 "'${' without '}'"},
		{"{" V2012 "\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"" ARN "topic/${}\"}}",
		 "'${}' without a name"},
		{WITH("\"NotAction\":\"iot:Connect\""), "'NotAction' is not part of an AWS IoT policy"},
		{WITH("\"NotResource\":\"*\""), "'NotResource' is not part of an AWS IoT policy"},
		{WITH("\"Principal\":\"*\""), "'Principal' is not part of an AWS IoT policy"},
		{WITH("\"Conditions\":{}"), "did you mean 'Condition'?"},
		{WITH("\"Effect\":\"Deny\""), "duplicate"},
		{WITH("\"Sid\":1"), "'Sid' is not a string"},
		{WITH("\"Sid\":\"a\\nb\""), "'Sid' has other characters"},
		{WITH("\"Sid\":\"a\\u0000b\""), "not valid JSON"},
		{WITH("\"Condition\":[]"), "'Condition' is not an object"},
		{WITH("\"Condition\":{\"StringEquals\":{}}"), "condition 'StringEquals' is not an object with a key"},
		{WITH("\"Condition\":{\"StringEquals\":\"x\"}"), "condition 'StringEquals' is not an object"},
		{WITH("\"Condition\":{\"StringEquals\":{\"iot:ClientId\":[]}}"),
		 "'iot:ClientId': the list of values is empty"},
		{WITH("\"Condition\":{\"StringEquals\":{\"iot:ClientId\":1}}"), "a value is not a string"},
		{WITH("\"Condition\":{\"StringEquals\":{\"iot:ClientId\":true}}"), "a value is not a string"},
		{WITH("\"Condition\":{\"Bool\":{\"iot:ClientId\":\"yes\"}}"), "'yes' is neither true nor false"},
		{WITH("\"Condition\":{\"Null\":{\"iot:ClientId\":\"1\"}}"), "'1' is neither true nor false"},
		{WITH("\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0.0/33\"}}"),
		 "neither an address nor a CIDR"},
		{WITH("\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"10.0.0/8\"}}"),
		 "neither an address nor a CIDR"},
		{WITH("\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"::/129\"}}"), "neither an address nor a CIDR"},
		{WITH("\"Condition\":{\"IpAddress\":{\"aws:SourceIp\":\"::1/\"}}"), "neither an address nor a CIDR"},
		{WITH("\"Condition\":{\"ArnLike\":{\"iot:LastWillTopic\":\"a/b\"}}"),
		 "'a/b' is neither '*' nor an ARN"},
		{WITH("\"Condition\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]"),
		 "deep"},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
		struct iot_error err = IOT_ERROR_INIT;
		char line[1200];

		ASSERT_STATUS(iot_policy_parse(rows[i].text, strlen(rows[i].text), &policy, &err), IOT_USAGE, &err);
		CU_ASSERT_PTR_NULL(policy);
		CU_ASSERT_STRING_EQUAL(err.code, "MalformedPolicyException");
		iot_error_line(&err, line, sizeof(line));
		if (strstr(line, rows[i].says) == NULL)
			fprintf(stderr, "\nrow %zu: '%s' says: %s\n", i, rows[i].text, line);
		ASSERT_CONTAINS(line, rows[i].says);
	}
}

/* White space does not count, and a character counts once however many bytes it has. */
static void test_size(void)
{
	static const char head[] =
		"{\"Statement\":{\"Sid\":\"x\",\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"" ARN "topic/";
	static const char tail[] = "\"}}";
	size_t fill = IOT_POLICY_SIZE_MAX - strlen(head) - strlen(tail);

	for (size_t extra = 0; extra < 2; extra++) {
		struct iot_buf text = IOT_BUF_INIT(65536);
		IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
		struct iot_error err = IOT_ERROR_INIT;

		iot_buf_adds(&text, head);
		for (size_t i = 0; i < fill + extra; i++)
			iot_buf_adds(&text, "\xc3\xa9");
		iot_buf_adds(&text, tail);
		for (size_t i = 0; i < 3000; i++)
			iot_buf_adds(&text, " \n");
		ASSERT_STATUS(iot_policy_parse(text.data, text.len, &policy, &err), extra == 0 ? IOT_OK : IOT_USAGE,
			      &err);
		if (policy != NULL) {
			CU_ASSERT_EQUAL(iot_policy_size(policy), IOT_POLICY_SIZE_MAX);
		} else {
			ASSERT_CONTAINS(err.what, "2049 characters");
		}
		iot_buf_release(&text);
	}
}

static void test_free_null(void)
{
	iot_policy_free(NULL);
}

UNIT_MAIN("policy/parse", NULL, NULL, {"accepts", test_accepts}, {"refuses", test_refuses}, {"size", test_size},
	  {"free-null", test_free_null})
