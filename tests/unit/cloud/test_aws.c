/*
 * The aws cloud's parts that need no endpoint: requests built from the
 * table, answers read, files, endpoints, rates. What happens over the wire is
 * in e2e/aws_faults.bats.
 */
#include "unit.h"

#include "cloud/aws/aws_private.h"
#include "iotctl/digest.h"

static struct iot_http_reply reply_of(int status, const char *headers, const char *body)
{
	struct iot_http_reply reply = IOT_HTTP_REPLY_INIT;

	reply.outcome = IOT_HTTP_ANSWERED;
	reply.status = status;
	reply.body.max = 100000;
	iot_buf_adds(&reply.headers, headers);
	iot_buf_adds(&reply.body, body);
	return reply;
}

static void test_requests(void)
{
	static const struct {
		const char *operation, *request, *method, *path, *query, *body;
	} calls[] = {
		{"CreateThing", "{\"thingName\":\"a:b\",\"thingTypeName\":\"t\"}", "POST", "/things/a%3Ab", "",
		 "{\"thingTypeName\":\"t\"}"},
		{"DescribeThing", "{\"thingName\":\"a\"}", "GET", "/things/a", "", ""},
		{"CreateThing", "{\"thingName\":\"a\"}", "POST", "/things/a", "", "{}"},
		{"ListThings", "{\"maxResults\":5,\"usePrefixAttributeValue\":true,\"nextToken\":\"a+/=\"}", "GET",
		 "/things", "nextToken=a%2B%2F%3D&maxResults=5&usePrefixAttributeValue=true", ""},
		{"DescribeCACertificate",
		 "{\"certificateId\":\"0000000000000000000000000000000000000000000000000000000000000000\"}", "GET",
		 "/cacertificate/0000000000000000000000000000000000000000000000000000000000000000", "", ""},
		{"ListCertificates", "{\"ascendingOrder\":false}", "GET", "/certificates", "isAscendingOrder=false",
		 ""},
		{"ListAttachedPolicies", "{\"target\":\"arn:aws:iot:r:1:cert/x\"}", "POST",
		 "/attached-policies/arn%3Aaws%3Aiot%3Ar%3A1%3Acert%2Fx", "", ""},
		{"iot-jobs-data:DescribeJobExecution", "{\"thingName\":\"t\",\"jobId\":\"$next\"}", "GET",
		 "/things/t/jobs/%24next", "", ""},
	};

	for (size_t i = 0; i < IOT_LENGTH(calls); i++) {
		struct iot_error err = IOT_ERROR_INIT;
		struct aws_wire wire = {0};
		IOT_JSON request = json_loads(calls[i].request, 0, NULL);

		ASSERT_OK(aws_wire_build(iot_operation_find(calls[i].operation), request, NULL, &wire, &err), &err);
		CU_ASSERT_STRING_EQUAL(wire.method, calls[i].method);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&wire.path), calls[i].path);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&wire.query), calls[i].query);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&wire.body), calls[i].body);
		aws_wire_release(&wire);
	}
}

static void test_headers(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct aws_wire wire = {0};
	IOT_JSON good = json_pack("{s:s, s:s}", "thingName", "t", "principal", "arn:aws:iot:r:1:cert/x");
	IOT_JSON bad = json_pack("{s:s, s:s}", "thingName", "t", "principal", "x\r\nAuthorization: y");
	const struct iot_operation *op = iot_operation_find("AttachThingPrincipal");

	ASSERT_OK(aws_wire_build(op, good, NULL, &wire, &err), &err);
	CU_ASSERT_EQUAL(wire.header_count, 1);
	CU_ASSERT_STRING_EQUAL(wire.signed_headers[0].name, "x-amzn-principal");
	CU_ASSERT_STRING_EQUAL(wire.signed_headers[0].value, "arn:aws:iot:r:1:cert/x");
	aws_wire_release(&wire);
	ASSERT_STATUS(aws_wire_build(op, bad, NULL, &wire, &err), IOT_USAGE, &err);
}

static void test_errors(void)
{
	static const struct {
		int status;
		const char *headers, *body, *code, *message;
		enum iot_status means;
	} answers[] = {
		{404, "x-amzn-errortype: ResourceNotFoundException:http://internal.amazon.com/coral/\n",
		 "{\"message\":\"no\"}", "ResourceNotFoundException", "no", IOT_NOT_FOUND},
		{400, "x-amzn-errortype: com.amazonaws.iot#ThrottlingException\n", "", "ThrottlingException", "",
		 IOT_AGAIN},
		{400, "", "{\"__type\":\"aws.x#InvalidRequestException\",\"Message\":\"m\"}", "InvalidRequestException",
		 "m", IOT_USAGE},
		{409, "", "{\"code\":\"NeverHeardOfException\",\"message\":\"x\"}", "NeverHeardOfException", "x",
		 IOT_CONFLICT},
		{403, "",
		 "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>a &amp; b</Message></Error>",
		 "SignatureDoesNotMatch", "a & b", IOT_DENIED},
		{410, "x-amzn-errortype: LimitExceededException\n", "{}", "LimitExceededException", "", IOT_CONFLICT},
		/* Not an API at all. */
		{404, "", "<html>404</html>", "", "", IOT_FAILURE},
		{404, "", "", "", "", IOT_FAILURE},
		{502, "", "<html>Bad gateway</html>", "", "", IOT_AGAIN},
		{429, "", "slow down", "", "", IOT_AGAIN},
		{500, "", "{\"code\":\"<script>\"}", "", "", IOT_FAILURE},
		{500, "", "{\"code\":17,\"message\":null}", "", "", IOT_FAILURE},
		{400, "", "{\"code\":\"A\",\"code\":\"B\"}", "", "", IOT_FAILURE},
	};

	for (size_t i = 0; i < IOT_LENGTH(answers); i++) {
		struct iot_http_reply reply = reply_of(answers[i].status, answers[i].headers, answers[i].body);
		struct iot_error err = IOT_ERROR_INIT;
		struct aws_answer answer;

		aws_answer_read(&reply, &answer);
		CU_ASSERT_STRING_EQUAL(answer.code, answers[i].code);
		CU_ASSERT_STRING_EQUAL(answer.message, answers[i].message);
		ASSERT_STATUS(aws_answer_fail(&answer, "h", &err), answers[i].means, &err);
		CU_ASSERT_STRING_EQUAL(err.code, answers[i].code);
		iot_http_reply_release(&reply);
	}
}

static void test_throttling_is_a_code_not_a_status(void)
{
	const struct aws_answer plain = {.status = 400, .code = "InvalidRequestException"};
	const struct aws_answer throttled = {.status = 400, .code = "ThrottlingException"};
	const struct aws_answer limit = {.status = 410, .code = "LimitExceededException"};
	const struct aws_answer empty = {.status = 429};

	CU_ASSERT_FALSE(aws_code_throttled(&plain));
	CU_ASSERT_TRUE(aws_code_throttled(&throttled));
	CU_ASSERT_FALSE(aws_code_throttled(&limit));
	CU_ASSERT_FALSE(aws_code_transient(&limit));
	CU_ASSERT_TRUE(aws_code_throttled(&empty));
}

static void test_date(void)
{
	static const struct {
		const char *text;
		int64_t ms;
	} dates[] = {
		{"date: Sun, 06 Nov 1994 08:49:37 GMT\n", 784111777000},
		{"date: Sun, 06 Xxx 1994 08:49:37 GMT\n", 0},
		{"date: Sun, 06 aNo 1994 08:49:37 GMT\n", 0},
		{"date: yesterday\n", 0},
		{"", 0},
	};

	for (size_t i = 0; i < IOT_LENGTH(dates); i++) {
		struct iot_http_reply reply = reply_of(403, dates[i].text, "");
		struct aws_answer answer;

		aws_answer_read(&reply, &answer);
		CU_ASSERT_EQUAL(answer.date_ms, dates[i].ms);
		iot_http_reply_release(&reply);
	}
}

static void test_files(void)
{
	static const char text[] = "# comment\n"
				   "[default]\r\n"
				   "Region=eu-west-1 ; comment\n"
				   "aws_secret_access_key = a#b;c=d\n"
				   "empty =\n"
				   "[ profile   two words ]\n"
				   "services = mine\n"
				   "s3 =\n"
				   "  max_concurrent_requests = 20\n"
				   "\tregion = nested\n"
				   "region = again\n"
				   "region = last\n"
				   "[services mine]\n"
				   "iot =\n"
				   "  endpoint_url = http://localhost:1\n";
	struct aws aws = {.region = NULL};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(aws_file_parse("config", text, &aws.files[AWS_FILE_CONFIG], &err), &err);
	CU_ASSERT_STRING_EQUAL(aws_file_get(&aws, AWS_FILE_CONFIG, "default", "region"), "eu-west-1");
	CU_ASSERT_STRING_EQUAL(aws_file_get(&aws, AWS_FILE_CONFIG, "default", "aws_secret_access_key"), "a#b;c=d");
	CU_ASSERT_PTR_NULL(aws_file_get(&aws, AWS_FILE_CONFIG, "default", "empty"));
	CU_ASSERT_STRING_EQUAL(aws_file_get(&aws, AWS_FILE_CONFIG, "profile two words", "region"), "last");
	CU_ASSERT_STRING_EQUAL(aws_file_get(&aws, AWS_FILE_CONFIG, "profile two words", "s3.region"), "nested");
	CU_ASSERT_STRING_EQUAL(aws_file_get(&aws, AWS_FILE_CONFIG, "services mine", "iot.endpoint_url"),
			       "http://localhost:1");
	CU_ASSERT_TRUE(aws_file_has(&aws, AWS_FILE_CONFIG, "services mine"));
	CU_ASSERT_FALSE(aws_file_has(&aws, AWS_FILE_CONFIG, "mine"));
	aws_file_release(&aws.files[AWS_FILE_CONFIG]);
	ASSERT_STATUS(aws_file_parse("c", "[x\n", &aws.files[0], &err), IOT_SETTINGS, &err);
	ASSERT_STATUS(aws_file_parse("c", "a = b\n", &aws.files[0], &err), IOT_SETTINGS, &err);
	ASSERT_STATUS(aws_file_parse("c", "[x]\nfoo\n", &aws.files[0], &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "c:2");
}

static void test_endpoints(void)
{
	static const struct {
		const char *url, *base, *host, *path;
	} good[] = {
		{"https://Host.Example:443/", "https://Host.Example:443", "host.example", ""},
		{"http://127.0.0.1:80/iot/", "http://127.0.0.1:80/iot", "127.0.0.1", "/iot"},
		{"https://h:8443", "https://h:8443", "h:8443", ""},
		{"https://[::1]:8443", "https://[::1]:8443", "[::1]:8443", ""},
	};
	static const char *const bad[] = {"",
					  "h",
					  "ftp://h",
					  "https://",
					  "https://h/?x",
					  "https://h#x",
					  "https://u:p@h",
					  "https://h h",
					  "https://h\n",
					  "https://h\\x"};
	struct aws_endpoint endpoint = {0};
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(good); i++) {
		ASSERT_OK(aws_endpoint_parse(good[i].url, "test", &endpoint, &err), &err);
		CU_ASSERT_STRING_EQUAL(endpoint.base, good[i].base);
		CU_ASSERT_STRING_EQUAL(endpoint.host, good[i].host);
		CU_ASSERT_STRING_EQUAL(endpoint.path, good[i].path);
		aws_endpoint_release(&endpoint);
	}
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		ASSERT_STATUS(aws_endpoint_parse(bad[i], "test", &endpoint, &err), IOT_SETTINGS, &err);
}

static void clear_environment(void)
{
	static const char *const names[] = {
		"AWS_ENDPOINT_URL",           "AWS_ENDPOINT_URL_IOT", "AWS_USE_FIPS_ENDPOINT",
		"AWS_USE_DUALSTACK_ENDPOINT", "AWS_REGION",           "AWS_DEFAULT_REGION"};

	for (size_t i = 0; i < IOT_LENGTH(names); i++)
		unsetenv(names[i]);
}

static void check_host(const char *region, enum aws_service service, const char *host)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strdup(region);
	struct aws aws = {.region = name, .profile = name};
	const struct aws_endpoint *endpoint = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(aws_endpoint(&aws, service, &endpoint, &err), &err);
	CU_ASSERT_STRING_EQUAL(endpoint->host, host);
	CU_ASSERT_FALSE(endpoint->given);
	aws_endpoint_release(&aws.endpoints[service]);
}

static void test_hosts_of_aws(void)
{
	clear_environment();
	check_host("eu-west-1", AWS_IOT, "iot.eu-west-1.amazonaws.com");
	check_host("eu-west-1", AWS_IOTDATA, "data-ats.iot.eu-west-1.amazonaws.com");
	check_host("eu-west-1", AWS_JOBS, "data.jobs.iot.eu-west-1.amazonaws.com");
	check_host("cn-north-1", AWS_IOT, "iot.cn-north-1.amazonaws.com.cn");
	check_host("cn-north-1", AWS_IOTDATA, "data.ats.iot.cn-north-1.amazonaws.com.cn");
	setenv("AWS_USE_DUALSTACK_ENDPOINT", "true", 1);
	check_host("eu-west-1", AWS_IOT, "iot.eu-west-1.api.aws");
	check_host("eu-west-1", AWS_S3, "s3.dualstack.eu-west-1.amazonaws.com");
	setenv("AWS_USE_FIPS_ENDPOINT", "true", 1);
	check_host("us-east-1", AWS_IOT, "iot-fips.us-east-1.amazonaws.com");
	clear_environment();
}

static struct iot_cloud *open_at(const char *url, const char *rates, struct iot_error *err)
{
	const struct iot_aws_options options = {.region = "eu-west-1",
						.endpoint_url = url,
						.access_key = "AKID",
						.secret_key = "secret",
						.rates = rates,
						.no_files = true};
	struct iot_cloud *cloud = NULL;

	ASSERT_OK(iot_aws_open(&options, &cloud, err), err);
	return cloud;
}

static void test_rates(void)
{
	const struct iot_operation *create = iot_operation_find("CreateThing"),
				   *list = iot_operation_find("ListThings");
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = open_at(NULL, "CreateThing=10", &err);
	struct aws *aws = iot_cloud_self(cloud);
	struct aws_rate *rate = &aws->rates[create - iot_operations];
	int taken = 0;

	CU_ASSERT_EQUAL(aws->rates[list - iot_operations].limit, 10); /* AWS's own */
	while (aws_rate_wait(aws, create) == 0 && taken < 100)
		taken++;
	CU_ASSERT(taken >= 2 && taken <= 3); /* two at least */
	CU_ASSERT(aws_rate_wait(aws, create) <= 101);
	rate->cut_ms = 0;
	aws_rate_throttled(aws, create);
	CU_ASSERT(rate->rate < 7.1);
	aws_rate_throttled(aws, create); /* the same lesson */
	CU_ASSERT(rate->rate > 6.9);
	rate->cut_ms -= 60000;
	rate->filled_ms -= 60000;
	(void)aws_rate_wait(aws, create);
	CU_ASSERT_EQUAL(rate->rate, 10); /* it came back, and no further */
	rate->cut_ms = 0;
	rate->last = 10; /* taken in the second before: only what came on top was refused */
	aws_rate_throttled(aws, create);
	CU_ASSERT(rate->rate > 9.6 && rate->rate < 9.8);
	iot_cloud_free(cloud);
	/* Another endpoint is not limited until it says so. */
	cloud = open_at("http://127.0.0.1:1", NULL, &err);
	aws = iot_cloud_self(cloud);
	for (taken = 0; taken < 1000 && aws_rate_wait(aws, create) == 0; taken++)
		aws_rate_succeeded(aws, create);
	CU_ASSERT_EQUAL(taken, 1000);
	aws_rate_throttled(aws, create);
	CU_ASSERT(aws->rates[create - iot_operations].rate > 1);
	iot_cloud_free(cloud);
}

struct strands_seen {
	struct iot_cloud *cloud;
	int inside, begun, waiting, most, ended;
};

static void count_once(void *data)
{
	(*(int *)data)++;
}

static void be_a_strand(void *data)
{
	struct strands_seen *seen = data;
	int nested = 0;

	CU_ASSERT_EQUAL(++seen->inside, 1); /* no other runs */
	seen->begun++;
	seen->most = ++seen->waiting > seen->most ? seen->waiting : seen->most;
	seen->inside--;
	iot_cloud_pause(seen->cloud, 30 + seen->begun % 5);
	CU_ASSERT_EQUAL(++seen->inside, 1);
	iot_cloud_together(seen->cloud, count_once, &nested);
	CU_ASSERT_EQUAL(nested, 1);
	seen->waiting--;
	seen->ended++;
	seen->inside--;
}

/* They wait together, and run one at a time. */
static void test_strands(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct strands_seen seen = {.cloud = open_at("http://127.0.0.1:1", NULL, &err)};
	int64_t began = iot_monotonic_ms();

	iot_cloud_together(seen.cloud, be_a_strand, &seen);
	CU_ASSERT_EQUAL(seen.begun, 64);
	CU_ASSERT_EQUAL(seen.most, 64);
	CU_ASSERT_EQUAL(seen.ended, 64);
	CU_ASSERT_EQUAL(seen.waiting, 0);
	CU_ASSERT(iot_monotonic_ms() - began >= 30);
	iot_cloud_pause(seen.cloud, 5); /* outside of strands it waits, too */
	iot_cloud_free(seen.cloud);
}

/* Calls that fail do so in each strand by itself, and none is left under way. */
static void call_in_vain(void *data)
{
	struct strands_seen *seen = data;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON request = json_pack("{s:s}", "thingName", "t");

	ASSERT_STATUS(iot_cloud_call(seen->cloud, "DescribeThing", request, NULL, NULL, NULL, &err), IOT_AGAIN, &err);
	seen->ended++;
}

static void test_strands_that_fail(void)
{
	const struct iot_aws_options options = {.region = "r-1",
						.endpoint_url = "http://127.0.0.1:1",
						.access_key = "a",
						.secret_key = "b",
						.no_files = true,
						.max_attempts = 1};
	struct iot_error err = IOT_ERROR_INIT;
	struct strands_seen seen = {0};

	ASSERT_OK(iot_aws_open(&options, &seen.cloud, &err), &err);
	iot_cloud_together(seen.cloud, call_in_vain, &seen);
	CU_ASSERT_EQUAL(seen.ended, 64);
	CU_ASSERT_PTR_NULL(((struct aws *)iot_cloud_self(seen.cloud))->calls);
	iot_cloud_free(seen.cloud);
}

static void test_own_operations_are_not_aws(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = open_at(NULL, NULL, &err);
	IOT_JSON request = json_pack("{s:s}", "thingName", "t");

	CU_ASSERT_STRING_EQUAL(iot_cloud_kind(cloud), "aws");
	ASSERT_STATUS(iot_cloud_call(cloud, "GetDeviceState", request, NULL, NULL, NULL, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "AWS IoT has no such operation");
	iot_cloud_free(cloud);
}

static void test_arn_is_learned(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_cloud *cloud = open_at("http://127.0.0.1:1", NULL, &err);
	struct aws *aws = iot_cloud_self(cloud);
	IOT_JSON other = json_pack("{s:s, s:s}", "roleArn", "arn:aws:iam::1:role/x", "thingName",
				   "arn:aws:iot:evil:666:thing/x");
	IOT_JSON reply = json_pack("{s:[{s:s}]}", "policies", "policyArn", "arn:aws-cn:iot:cn-north-1:42:policy/p:q");

	aws_arn_learn(aws, other);
	CU_ASSERT_PTR_NULL(aws->arn_prefix);
	aws_arn_learn(aws, reply);
	CU_ASSERT_STRING_EQUAL(iot_cloud_arn_prefix(cloud), "arn:aws-cn:iot:cn-north-1:42:");
	iot_cloud_free(cloud);
}

UNIT_MAIN("cloud/aws", NULL, NULL, {"requests", test_requests}, {"headers", test_headers}, {"errors", test_errors},
	  {"throttling_is_a_code_not_a_status", test_throttling_is_a_code_not_a_status}, {"date", test_date},
	  {"files", test_files}, {"endpoints", test_endpoints}, {"hosts_of_aws", test_hosts_of_aws},
	  {"rates", test_rates}, {"strands", test_strands}, {"strands_that_fail", test_strands_that_fail},
	  {"own_operations_are_not_aws", test_own_operations_are_not_aws}, {"arn_is_learned", test_arn_is_learned})
