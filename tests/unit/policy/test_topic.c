/* Topics, filters, client ids: what is refused and why, and what matches what. */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/topic.h"

struct row {
	const char *text;
	const char *says; /* NULL: fine */
};

typedef enum iot_status (*check_fn)(const char *text, size_t len, struct iot_error *err);

static void check_rows(const struct row *rows, size_t count, check_fn check)
{
	for (size_t i = 0; i < count; i++) {
		struct iot_error err = IOT_ERROR_INIT;
		enum iot_status status = check(rows[i].text, strlen(rows[i].text), &err);

		if (status != (rows[i].says == NULL ? IOT_OK : IOT_USAGE) ||
		    (rows[i].says != NULL && strstr(err.what, rows[i].says) == NULL))
			fprintf(stderr, "\n'%s': %d %s\n", rows[i].text, (int)status, err.what);
		CU_ASSERT_EQUAL(status, rows[i].says == NULL ? IOT_OK : IOT_USAGE);
		if (rows[i].says != NULL)
			ASSERT_CONTAINS(err.what, rows[i].says);
	}
}

static void test_publish(void)
{
	static const struct row rows[] = {
		{"a", NULL},
		{"/", NULL},
		{"a//b", NULL},
		{"$aws/things/t/jobs/start-next", NULL},
		{"$aws/things/t/shadow/name/n/update/accepted", NULL},
		{"1/2/3/4/5/6/7/8", NULL},
		{"1/2/3/4/5/6/7/8/9", "8 slashes, 7 at most"},
		{"$aws/rules/my_rule/1/2/3/4/5/6/7/8", NULL},
		{"$aws/rules/my_rule/1/2/3/4/5/6/7/8/9", "8 slashes"},
		{"", "empty"},
		{"$aws/rules/r/", "empty"},
		{"a/+", "wildcard '+'"},
		{"a/b+", "wildcard '+'"},
		{"#", "wildcard '#'"},
		{"\xff", "not valid UTF-8"},
		{"a\xc0\x80", "not valid UTF-8"},
		{"$SYS/broker/uptime", "begins with '$'"},
		{"$aws", "begins with '$'"},
		{"$awsome/x", "begins with '$'"},
		{"$share/g/a", "begins with '$'"},
	};
	check_rows(rows, IOT_LENGTH(rows), iot_topic_check_publish);
}

static void test_filter(void)
{
	static const struct row rows[] = {
		{"#", NULL},
		{"+", NULL},
		{"a/#", NULL},
		{"+/b/+", NULL},
		{"/#", NULL},
		{"$aws/things/t/jobs/#", NULL},
		{"$share/g/a/#", NULL},
		{"$share/g/1/2/3/4/5/6/7/8", NULL},
		{"$share/g/1/2/3/4/5/6/7/8/9", "8 slashes"},
		{"$share/g/$aws/things/t/#", NULL},
		{"1/2/3/4/5/6/7/#", NULL},
		{"1/2/3/4/5/6/7/8/#", "8 slashes"},
		{"", "empty"},
		{"a#", "'#' elsewhere"},
		{"a/#/b", "'#' elsewhere"},
		{"##", "'#' elsewhere"},
		{"a+/b", "'+' beside"},
		{"a/+b", "'+' beside"},
		{"++", "'+' beside"},
		{"$share/g", "not of the form '$share/GROUP/FILTER'"},
		{"$share//a", "not of the form '$share/GROUP/FILTER'"},
		{"$share/", "not of the form '$share/GROUP/FILTER'"},
		{"$share/g/", "empty"},
		{"$share/+/a", "group of the shared subscription"},
		{"$share/g/$SYS/#", "begins with '$'"},
		{"$SYS/#", "begins with '$'"},
		{"\xed\xa0\x80", "not valid UTF-8"},
	};
	check_rows(rows, IOT_LENGTH(rows), iot_topic_check_filter);
}

/* `length` bytes in front of which `prefix` stands. */
static enum iot_status check_length(check_fn check, const char *prefix, size_t length, struct iot_error *err)
{
	char text[1024];
	size_t start = strlen(prefix);

	memcpy(text, prefix, start);
	memset(text + start, 'x', length);
	return check(text, start + length, err);
}

static void test_lengths(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(check_length(iot_topic_check_publish, "", 256, &err), &err);
	ASSERT_STATUS(check_length(iot_topic_check_publish, "", 257, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "257 bytes long, 256 at most");
	ASSERT_OK(check_length(iot_topic_check_publish, "$aws/rules/r/", 256, &err), &err);
	ASSERT_STATUS(check_length(iot_topic_check_publish, "$aws/rules/r/", 257, &err), IOT_USAGE, &err);
	ASSERT_STATUS(check_length(iot_topic_check_publish, "$aws/rules/", 257, &err), IOT_USAGE, &err);
	ASSERT_OK(check_length(iot_topic_check_filter, "$share/g/", 256, &err), &err);
	ASSERT_OK(check_length(iot_client_id_check, "", 128, &err), &err);
	ASSERT_STATUS(check_length(iot_client_id_check, "", 129, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "128 at most");
}

static void test_long_rule_name(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char text[300] = "$aws/rules/";
	size_t start = strlen(text);

	memset(text + start, 'r', 128);
	strcpy(text + start + 128, "/a");
	ASSERT_OK(iot_topic_check_publish(text, strlen(text), &err), &err);
	memset(text + start, 'r', 129);
	strcpy(text + start + 129, "/a");
	ASSERT_STATUS(iot_topic_check_publish(text, strlen(text), &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "longer than 128 bytes");
}

static void test_nul(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_topic_check_publish("a\0b", 3, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "NUL");
	ASSERT_STATUS(iot_topic_check_filter("a\0b", 3, &err), IOT_USAGE, &err);
	ASSERT_STATUS(iot_client_id_check("a\0b", 3, &err), IOT_USAGE, &err);
}

static void test_client_id(void)
{
	static const struct row rows[] = {
		{"pump-1", NULL},
		{"a/b+#*", NULL}, /* allowed by AWS; the policy decides */
		{"\xc3\xa9", NULL},
		{"", "empty"},
		{"a\nb", "control character"},
		{"a\x7f", "control character"},
		{"\xc3", "not valid UTF-8"},
	};
	check_rows(rows, IOT_LENGTH(rows), iot_client_id_check);
}

static void test_matches(void)
{
	static const struct {
		const char *filter;
		const char *topic;
		bool expected;
	} rows[] = {
		{"a/b", "a/b", true},
		{"a/b", "a/B", false},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"a", "ab", false},
		{"ab", "a", false},
		{"+", "a", true},
		{"+", "a/b", false},
		{"+", "/a", false},
		{"/+", "/a", true},
		{"+/+", "/a", true},
		{"a/+/c", "a/b/c", true},
		{"a/+/c", "a//c", true},
		{"a/+", "a", false},
		{"a/+", "a/", true},
		{"#", "a/b/c", true},
		{"#", "/", true},
		{"a/#", "a", true},
		{"a/#", "a/", true},
		{"a/#", "a/b/c", true},
		{"a/#", "ab", false},
		{"a/#", "b", false},
		{"+/#", "a", true},
		{"a/b/#", "a", false},
		{"#", "$aws/x", false},
		{"+/x", "$aws/x", false},
		{"+/#", "$aws/x", false},
		{"$aws/#", "$aws/x", true},
		{"$aws/+", "$aws/x", true},
		{"a/$x", "a/$x", true},
		{"a/+", "a/$x", true},
		{"$share/g/a/+", "a/b", true},
		{"$share/g/#", "$aws/x", false},
		{"$share/g/$aws/#", "$aws/x", true},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		if (iot_topic_matches(rows[i].filter, rows[i].topic) != rows[i].expected)
			fprintf(stderr, "\n'%s' and '%s'\n", rows[i].filter, rows[i].topic);
		CU_ASSERT_EQUAL(iot_topic_matches(rows[i].filter, rows[i].topic), rows[i].expected);
	}
}

static void test_covers(void)
{
	static const struct {
		const char *outer, *inner;
		bool expected;
	} rows[] = {
		{"a/b", "a/b", true},         {"a/b", "a/c", false},
		{"a/+", "a/b", true},         {"a/b", "a/+", false},
		{"a/+", "a/+", true},         {"a/#", "a/+/c", true},
		{"a/#", "a", true},           {"a/#", "a/#", true},
		{"a/+", "a/#", false},        {"+/+", "a/#", false},
		{"#", "a/#", true},           {"#", "$aws/a", false},
		{"+/b", "$aws/b", false},     {"a/b/#", "a/#", false},
		{"+/+/e/#", "b/+/e/#", true}, {"b/+/e/#", "+/+/e/#", false},
		{"a", "a/b", false},          {"a/b", "a", false},
		{"$aws/#", "$aws/a/+", true},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		if (iot_topic_covers(rows[i].outer, rows[i].inner) != rows[i].expected)
			fprintf(stderr, "\n'%s' and '%s'\n", rows[i].outer, rows[i].inner);
		CU_ASSERT_EQUAL(iot_topic_covers(rows[i].outer, rows[i].inner), rows[i].expected);
	}
}

UNIT_MAIN("policy/topic", NULL, NULL, {"publish", test_publish}, {"filter", test_filter}, {"lengths", test_lengths},
	  {"long-rule-name", test_long_rule_name}, {"nul", test_nul}, {"client-id", test_client_id},
	  {"matches", test_matches}, {"covers", test_covers})
