/*
 * The operations table read backwards: whatever a client makes of an operation by
 * the table comes back as that operation with those members; and what no client
 * makes is refused with the code that says why.
 */
#include "broker/api/api.h"
#include "iotctl/base.h"
#include "iotctl/text.h"
#include "unit.h"

static struct iot_error err;

static void set_up(void)
{
	iot_error_clear(&err);
}

/* Route METHOD TARGET of a service; headers in pairs, NULL at the end. */
static enum iot_status route(const char *method, const char *target, const char *service, const char *const *headers,
			     const struct iot_operation **op, json_t **request)
{
	char *copy = iot_strdup(target), *mark = strchr(copy, '?');
	struct api_http http = {.method = method, .path = copy, .query = mark != NULL ? mark + 1 : ""};
	struct api_query query;
	enum iot_status status;

	if (mark != NULL)
		*mark = '\0';
	for (size_t i = 0; headers != NULL && headers[i] != NULL; i += 2)
		http.headers[http.header_count++] = (struct api_pair){headers[i], headers[i + 1]};
	status = api_query_parse(http.query, &query, &err);
	if (status == IOT_OK)
		status = api_route(&http, &query, service, op, request, &err);
	api_query_release(&query);
	free(copy);
	return status;
}

/* --- there and back ---------------------------------------------------------------------- */

/* A value that needs encoding where the rule of the member allows it. */
static json_t *sample(const struct iot_operation *op, const struct iot_member *member)
{
	const char *text = member->pattern == NULL ? "a/b c+%d&e=\xc3\xa9" : "ab1";

	if (member->choices != NULL)
		return json_string(member->choices[0]);
	if (member->type == IOT_T_BOOLEAN)
		return json_true();
	if (member->type == IOT_T_INTEGER || member->type == IOT_T_TIMESTAMP)
		return json_integer(7);
	if (strcmp(op->service, "s3") == 0 && strcmp(member->name, "Key") == 0)
		text = "fw/a b/v1.bin";
	else if (member->where == IOT_IN_HEADER)
		text = "arn:aws:iot:local:000000000000:cert/ab";
	return json_string(text);
}

static void add_encoded(struct iot_buf *out, const json_t *value, bool keep_slash)
{
	char number[32];
	const char *text = json_is_true(value) ? "true" : json_string_value(value);

	if (json_is_integer(value)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(value));
		text = number;
	}
	for (; *text != '\0'; text++) {
		if (keep_slash && *text == '/')
			iot_buf_addc(out, '/');
		else
			iot_percent_encode(text, 1, out);
	}
}

static const struct iot_member *path_member(const struct iot_operation *op, const char *wire, size_t len)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		const char *name = member->wire != NULL ? member->wire : member->name;

		if (member->where == IOT_IN_PATH && strlen(name) == len && strncmp(name, wire, len) == 0)
			return member;
	}
	return NULL;
}

/* What a client sends: the target, and headers as pairs. */
static void encode(const struct iot_operation *op, const json_t *request, struct iot_buf *target,
		   const char *headers[16])
{
	char mark = strchr(op->uri, '?') != NULL ? '&' : '?';
	size_t count = 0;

	for (const char *at = op->uri; *at != '\0'; at++) {
		size_t len;
		const struct iot_member *member;

		if (*at != '{') {
			iot_buf_addc(target, *at);
			continue;
		}
		len = strcspn(at, "}");
		member = path_member(op, at + 1, len - 1 - (at[len - 1] == '+'));
		add_encoded(target, json_object_get(request, member->name), at[len - 1] == '+');
		at += len;
	}
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		const char *wire = member->wire != NULL ? member->wire : member->name;
		const json_t *value = json_object_get(request, member->name);

		if (member->where == IOT_IN_QUERY) {
			iot_buf_addf(target, "%c%s=", mark, wire);
			add_encoded(target, value, false);
			mark = '&';
		} else if (member->where == IOT_IN_HEADER) {
			headers[count++] = wire;
			headers[count++] = json_string_value(value);
		}
	}
	headers[count] = NULL;
}

static void test_every_operation(void)
{
	for (size_t i = 0; i < iot_operation_count; i++) {
		const struct iot_operation *op = &iot_operations[i], *found = NULL;
		struct iot_buf target = IOT_BUF_INIT(API_TARGET_MAX);
		const char *headers[16];
		json_t *request = json_object(), *got = NULL;

		for (const struct iot_member *member = op->members; member->name != NULL; member++)
			if (member->where != IOT_IN_BODY && member->where != IOT_AS_PAYLOAD)
				json_object_set_new(request, member->name, sample(op, member));
		encode(op, request, &target, headers);
		ASSERT_OK(route(op->method, iot_buf_str(&target), op->service, headers, &found, &got), &err);
		if (found != op || !json_equal(request, got))
			fprintf(stderr, "\n%s %s is not %s:%s\n", op->method, iot_buf_str(&target), op->service,
				op->name);
		CU_ASSERT_PTR_EQUAL(found, op);
		CU_ASSERT_TRUE(json_equal(request, got));
		json_decref(request);
		json_decref(got);
		iot_buf_release(&target);
	}
}

/* --- what has to be told apart ------------------------------------------------------------- */

static const struct {
	const char *method, *target, *service, *operation, *member, *value;
} meanings[] = {
	{"POST", "/things/a%3Ab", "iot", "CreateThing", "thingName", "a:b"},
	{"GET", "/things/%70ump", "iot", "DescribeThing", "thingName", "pump"},
	{"GET", "/things/t/jobs", "iot", "ListJobExecutionsForThing", "thingName", "t"},
	{"GET", "/things/t/jobs", "iot-jobs-data", "GetPendingJobExecutions", "thingName", "t"},
	{"PUT", "/things/t/jobs/$next", "iot-jobs-data", "StartNextPendingJobExecution", "thingName", "t"},
	{"PUT", "/things/t/jobs/%24next", "iot-jobs-data", "StartNextPendingJobExecution", "thingName", "t"},
	{"GET", "/things/t/jobs/$next", "iot-jobs-data", "DescribeJobExecution", "jobId", "$next"},
	{"PUT", "/thing-groups/addThingToThingGroup", "iot", "AddThingToThingGroup", NULL, NULL},
	{"POST", "/topics/a%2Fb", "iotdata", "Publish", "topic", "a/b"},
	{"POST", "/target-policies/p", "iot", "DetachPolicy", "policyName", "p"},
	{"PUT", "/f/k/e/y?x-id=PutObject", "s3", "PutObject", "Key", "k/e/y"},
	{"PUT", "/f/k?partNumber=2&uploadId=u", "s3", "UploadPart", "UploadId", "u"},
	{"POST", "/f/k?uploads", "s3", "CreateMultipartUpload", "Key", "k"},
	{"POST", "/f/k?uploads=", "s3", "CreateMultipartUpload", "Key", "k"},
	{"POST", "/f/k?uploadId=u", "s3", "CompleteMultipartUpload", "UploadId", "u"},
	{"DELETE", "/f/k?uploadId=u", "s3", "AbortMultipartUpload", "UploadId", "u"},
	{"GET", "/f?versioning", "s3", "GetBucketVersioning", "Bucket", "f"},
	{"HEAD", "/f/k", "s3", "HeadObject", "Key", "k"},
	{"GET", "/iotctl/devices/t/config", "iotctl", "GetDeviceConfig", "thingName", "t"},
};

static void test_meanings(void)
{
	for (size_t i = 0; i < IOT_LENGTH(meanings); i++) {
		const struct iot_operation *op = NULL;
		json_t *request = NULL;

		ASSERT_OK(route(meanings[i].method, meanings[i].target, meanings[i].service, NULL, &op, &request),
			  &err);
		CU_ASSERT_STRING_EQUAL(op != NULL ? op->name : "", meanings[i].operation);
		if (meanings[i].member != NULL)
			CU_ASSERT_STRING_EQUAL(iot_json_str(request, meanings[i].member, ""), meanings[i].value);
		json_decref(request);
	}
}

static const struct {
	const char *method, *target, *service, *code;
} refusals[] = {
	/* paths that are made to be something else after somebody has cleaned them up */
	{"GET", "/things/..", "iot", "UnknownOperationException"},
	{"GET", "/things/%2e%2e", "iot", "UnknownOperationException"},
	{"GET", "/things/.%2E", "iot", "UnknownOperationException"},
	{"GET", "/things/./pump", "iot", "UnknownOperationException"},
	{"GET", "/x/../things/pump", "iot", "UnknownOperationException"},
	{"GET", "//things/pump", "iot", "UnknownOperationException"},
	{"GET", "/things//pump", "iot", "UnknownOperationException"},
	{"GET", "/things/pump/", "iot", "UnknownOperationException"},
	{"GET", "/things/", "iot", "UnknownOperationException"},
	{"GET", "/things/pump%00", "iot", "UnknownOperationException"},
	{"GET", "/things/%", "iot", "UnknownOperationException"},
	{"GET", "/things/%2", "iot", "UnknownOperationException"},
	{"GET", "/things/%zz", "iot", "UnknownOperationException"},
	{"GET", "/things/%ff", "iot", "UnknownOperationException"},
	{"GET", "/things/a\xc3\xa9", "iot", "UnknownOperationException"},
	{"GET", "/things/a\\b", "iot", "UnknownOperationException"},
	{"GET", "/things/a\tb", "iot", "UnknownOperationException"},
	{"GET", "things/pump", "iot", "UnknownOperationException"},
	{"GET", "*", "iot", "UnknownOperationException"},
	{"GET", "http://localhost/things/pump", "iot", "UnknownOperationException"},
	{"GET", "/THINGS/pump", "iot", "UnknownOperationException"},
	{"GET", "/things%2Fpump", "iot", "UnknownOperationException"},
	{"GET", "/topics/a/b", "iotdata", "UnknownOperationException"},
	{"GET", "/f/../../etc/passwd", "s3", "UnknownOperationException"},
	{"GET", "/f/%2e%2e/x", "s3", "UnknownOperationException"},
	{"GET", "/f//x", "s3", "UnknownOperationException"},
	{"GET", "/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9", "s3", "UnknownOperationException"},
	/* of another service */
	{"GET", "/things/pump", "iotdata", "UnknownOperationException"},
	{"GET", "/iotctl/configs", "iot", "UnknownOperationException"},
	{"GET", "/things/pump", "sts", "UnknownOperationException"},
	{"GET", "/f", "s3", "UnknownOperationException"},
	/* methods */
	{"PUT", "/things/pump", "iot", "MethodNotAllowedException"},
	{"HEAD", "/things/pump", "iot", "MethodNotAllowedException"},
	{"get", "/things/pump", "iot", "MethodNotAllowedException"},
	{"OPTIONS", "/things", "iot", "MethodNotAllowedException"},
	{"PATCH", "/f/k", "s3", "MethodNotAllowedException"},
	{"DELETE", "/f/k", "s3", "MethodNotAllowedException"},
	/* parameters */
	{"GET", "/things?maxResults=1&maxResults=2", "iot", "InvalidRequestException"},
	{"GET", "/things?maxResults=ten", "iot", "InvalidRequestException"},
	{"GET", "/things?maxResults=1.0", "iot", "InvalidRequestException"},
	{"GET", "/things?usePrefixAttributeValue=1", "iot", "InvalidRequestException"},
	{"GET", "/things?thingName=pump", "iot", "InvalidRequestException"},
	{"GET", "/things?MaxResults=1", "iot", "InvalidRequestException"},
	{"GET", "/things?nextToken=%zz", "iot", "InvalidRequestException"},
	{"GET", "/things?nextToken=%00", "iot", "InvalidRequestException"},
	{"GET", "/things?=1", "iot", "InvalidRequestException"},
	{"GET", "/things?&&", "iot", "InvalidRequestException"},
	{"PUT", "/f/k?acl", "s3", "InvalidRequestException"},
	{"GET", "/f/k?tagging", "s3", "InvalidRequestException"},
};

static void test_refusals(void)
{
	for (size_t i = 0; i < IOT_LENGTH(refusals); i++) {
		const struct iot_operation *op = NULL;
		json_t *request = NULL;
		enum iot_status status =
			route(refusals[i].method, refusals[i].target, refusals[i].service, NULL, &op, &request);

		if (status == IOT_OK || strcmp(err.code, refusals[i].code) != 0)
			fprintf(stderr, "\n%s %s: %s\n", refusals[i].method, refusals[i].target,
				status == IOT_OK ? op->name : err.code);
		CU_ASSERT_NOT_EQUAL(status, IOT_OK);
		CU_ASSERT_STRING_EQUAL(err.code, refusals[i].code);
		CU_ASSERT_PTR_NULL(request);
		json_decref(request);
	}
}

static void test_headers(void)
{
	const char *const once[] = {"X-Amzn-Principal", "arn:aws:iot:local:000000000000:cert/ab", NULL};
	const char *const twice[] = {"x-amzn-principal", "a", "X-AMZN-PRINCIPAL", "b", NULL};
	const struct iot_operation *op = NULL;
	json_t *request = NULL;

	ASSERT_OK(route("PUT", "/things/t/principals", "iot", once, &op, &request), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(request, "principal", ""), once[1]);
	json_decref(request);
	request = NULL;
	ASSERT_STATUS(route("PUT", "/things/t/principals", "iot", twice, &op, &request), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "twice");
	CU_ASSERT_PTR_NULL(request);
}

/* --- bodies ---------------------------------------------------------------------------------- */

static void test_body(void)
{
	static const char *const bad[] = {"[]",
					  "1",
					  "{",
					  "{}x",
					  "{\"attributePayload\":{},\"attributePayload\":{}}",
					  "{\"thingName\":\"other\"}",
					  "{\"nonsense\":1}",
					  "\"\\u0000\"",
					  "null"};
	const struct iot_operation *op = iot_operation_find("CreateThing");
	json_t *request = json_pack("{s:s}", "thingName", "t");

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_STATUS(api_body(op, bad[i], strlen(bad[i]), request, &err), IOT_USAGE, &err);
		CU_ASSERT_STRING_EQUAL(err.code, "InvalidRequestException");
	}
	CU_ASSERT_STRING_EQUAL(iot_json_str(request, "thingName", ""), "t");
	CU_ASSERT_EQUAL(json_object_size(request), 1);
	ASSERT_OK(api_body(op, "", 0, request, &err), &err);
	ASSERT_OK(api_body(op, "{\"thingTypeName\":\"pump\",\"billingGroupName\":null}", 48, request, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_json_str(request, "thingTypeName", ""), "pump");
	CU_ASSERT_PTR_NULL(json_object_get(request, "billingGroupName"));
	json_decref(request);
}

UNIT_MAIN("broker/api_route", set_up, NULL, {"every operation", test_every_operation}, {"meanings", test_meanings},
	  {"refusals", test_refusals}, {"headers", test_headers}, {"body", test_body})
