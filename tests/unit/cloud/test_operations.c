/*
 * The operations table describes itself correctly, and requests are judged by
 * it: what a name may be, what is missing, unknown or of the wrong kind.
 */
#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/cloud.h"
#include "iotctl/json.h"

#include "cloud/operations_private.h"

static struct iot_error err;

static void set_up(void)
{
	iot_error_clear(&err);
}

/* --- the table ---------------------------------------------------------------- */

static const struct iot_member *member_of(const struct iot_operation *op, const char *wire, size_t len)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		const char *name = member->wire != NULL ? member->wire : member->name;

		if (member->where == IOT_IN_PATH && strlen(name) == len && strncmp(name, wire, len) == 0)
			return member;
	}
	return NULL;
}

/* Every {label} of a URI is a required path member, and every path member is in the URI. */
static void check_path(const struct iot_operation *op)
{
	size_t labels = 0;
	size_t members = 0;

	for (const char *at = strchr(op->uri, '{'); at != NULL; at = strchr(at + 1, '{')) {
		size_t len = strcspn(at + 1, "}");
		const struct iot_member *member = member_of(op, at + 1, len - (at[len] == '+'));

		labels++;
		CU_ASSERT_PTR_NOT_NULL(member);
		CU_ASSERT_TRUE(member != NULL && member->required);
	}
	for (const struct iot_member *member = op->members; member->name != NULL; member++)
		members += member->where == IOT_IN_PATH;
	CU_ASSERT_EQUAL(labels, members);
}

static bool known(const char *const *list, const char *text)
{
	while (*list != NULL && strcmp(*list, text) != 0)
		list++;
	return *list != NULL;
}

static void check_members(const struct iot_operation *op)
{
	for (const struct iot_member *member = op->members; member->name != NULL; member++) {
		if (member->max != 0)
			CU_ASSERT_TRUE(member->min <= member->max);
		CU_ASSERT_TRUE(member->pattern == NULL || iot_name_rule_find(member->pattern) != NULL);
		CU_ASSERT_TRUE(member->choices == NULL || (member->type == IOT_T_STRING && member->choices[0] != NULL));
		for (const struct iot_member *other = op->members; other != member; other++)
			CU_ASSERT_STRING_NOT_EQUAL(other->name, member->name);
		/* A body needs a method that has one. */
		if (member->where == IOT_IN_BODY)
			CU_ASSERT_TRUE(strcmp(op->method, "GET") != 0 && strcmp(op->method, "DELETE") != 0);
	}
}

static void test_table(void)
{
	static const char *const services[] = {"iot", "iotdata", "iot-jobs-data", "iotctl", "s3", NULL};
	static const char *const methods[] = {"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", NULL};

	CU_ASSERT_TRUE(iot_operation_count > 70);
	for (size_t i = 0; i < iot_operation_count; i++) {
		const struct iot_operation *op = &iot_operations[i];

		CU_ASSERT_TRUE(known(services, op->service));
		CU_ASSERT_TRUE(known(methods, op->method));
		CU_ASSERT_EQUAL(op->uri[0], '/');
		CU_ASSERT_TRUE(strlen(op->summary) > 5 && strlen(op->summary) < 80);
		CU_ASSERT_TRUE(!op->read_only || op->idempotent);
		CU_ASSERT_TRUE(strcmp(op->method, "GET") != 0 || op->read_only ||
			       strcmp(op->name, "GetRegistrationCode") == 0);
		check_path(op);
		check_members(op);
		/* The same name or the same request line twice would make one of them unreachable. */
		for (size_t other = 0; other < i; other++) {
			if (strcmp(op->service, iot_operations[other].service) != 0)
				continue;
			CU_ASSERT_STRING_NOT_EQUAL(op->name, iot_operations[other].name);
			/* Rows of S3 differ by their parameters (unit/broker/api_route). */
			CU_ASSERT_TRUE(strcmp(op->service, "s3") == 0 ||
				       strcmp(op->method, iot_operations[other].method) != 0 ||
				       strcmp(op->uri, iot_operations[other].uri) != 0);
		}
	}
}

static void test_find(void)
{
	static const char *const kebab[][2] = {
		{"create-thing", "CreateThing"},
		{"create-ota-update", "CreateOTAUpdate"},
		{"register-ca-certificate", "RegisterCACertificate"},
		{"register-certificate-without-ca", "RegisterCertificateWithoutCA"},
		{"list-certificates-by-ca", "ListCertificatesByCA"},
		{"list-thing-principals-v2", "ListThingPrincipalsV2"},
	};

	for (size_t i = 0; i < IOT_LENGTH(kebab); i++) {
		const struct iot_operation *op = iot_operation_find(kebab[i][0]);

		CU_ASSERT_PTR_NOT_NULL(op);
		CU_ASSERT_PTR_EQUAL(op, iot_operation_find(kebab[i][1]));
	}
	CU_ASSERT_STRING_EQUAL(iot_operation_find("DescribeJobExecution")->service, "iot");
	CU_ASSERT_STRING_EQUAL(iot_operation_find("iot-jobs-data:DescribeJobExecution")->service, "iot-jobs-data");
	CU_ASSERT_STRING_EQUAL(iot_operation_find("iot-jobs-data:describe-job-execution")->service, "iot-jobs-data");
	CU_ASSERT_STRING_EQUAL(iot_operation_find("GetPendingJobExecutions")->service, "iot-jobs-data");
	CU_ASSERT_PTR_NULL(iot_operation_find("iot-jobs-data:CreateThing"));
	CU_ASSERT_PTR_NULL(iot_operation_find("creatething"));
	CU_ASSERT_PTR_NULL(iot_operation_find("create-thin"));
	CU_ASSERT_PTR_NULL(iot_operation_find("create-thing-"));
	CU_ASSERT_PTR_NULL(iot_operation_find(""));
	CU_ASSERT_PTR_NULL(iot_operation_find(":"));
}

/* --- requests -------------------------------------------------------------------- */

static enum iot_status judge(const char *operation, const char *request)
{
	IOT_JSON value = json_loads(request, JSON_DECODE_ANY, NULL);
	const struct iot_operation *op = iot_operation_find(operation);
	enum iot_status status;

	CU_ASSERT_PTR_NOT_NULL(op);
	CU_ASSERT_PTR_NOT_NULL(value);
	iot_error_clear(&err);
	status = iot_operation_check(op, value, &err);
	if (status != IOT_OK) {
		CU_ASSERT_EQUAL(status, IOT_USAGE);
		CU_ASSERT_STRING_EQUAL(err.code, "InvalidRequestException");
	}
	return status;
}

/* Times are numbers, with a fraction perhaps, that fit into an integer of milliseconds. */
static void test_times(void)
{
	CU_ASSERT_EQUAL(
		judge("iotctl:AddDeviceKey", "{\"thingName\":\"a\",\"publicKey\":\"k\",\"expiresAt\":1795000000.5}"),
		IOT_OK);
	CU_ASSERT_EQUAL(judge("iotctl:AddDeviceKey", "{\"thingName\":\"a\",\"publicKey\":\"k\",\"expiresAt\":1e300}"),
			IOT_USAGE);
	CU_ASSERT_EQUAL(judge("iotctl:AddDeviceKey", "{\"thingName\":\"a\",\"publicKey\":\"k\",\"expiresAt\":-1}"),
			IOT_USAGE);
}

static void test_names(void)
{
	static const char *const good[] = {"a", "pump-0001", "A:b_c-9", "0"};
	static const char *const bad[] = {"", "a b", "a/b", "a+b", "a#", "a.b", "caf\303\251", "a\\n", "a*", "$next"};
	char text[400];
	char name[202];

	for (size_t i = 0; i < IOT_LENGTH(good); i++) {
		snprintf(text, sizeof(text), "{\"thingName\":\"%s\"}", good[i]);
		CU_ASSERT_EQUAL(judge("DescribeThing", text), IOT_OK);
	}
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		snprintf(text, sizeof(text), "{\"thingName\":\"%s\"}", bad[i]);
		CU_ASSERT_EQUAL(judge("DescribeThing", text), IOT_USAGE);
		ASSERT_CONTAINS(err.what, "thingName");
	}
	memset(name, 'n', sizeof(name));
	name[128] = '\0';
	snprintf(text, sizeof(text), "{\"thingName\":\"%s\"}", name);
	CU_ASSERT_EQUAL(judge("DescribeThing", text), IOT_OK);
	name[128] = 'n';
	name[200] = '\0';
	snprintf(text, sizeof(text), "{\"thingName\":\"%s\"}", name);
	CU_ASSERT_EQUAL(judge("DescribeThing", text), IOT_USAGE);
	ASSERT_CONTAINS(err.what, "200 characters");
	ASSERT_CONTAINS(err.what, "at most 128");
}

/* Each member that has rules of its own: one value that passes, one that does not. */
static void test_rules(void)
{
	static const struct {
		const char *operation, *request;
		bool ok;
	} cases[] = {
		{"GetPolicy", "{\"policyName\":\"a+b=c,d.e@f-g_h\"}", true},
		{"GetPolicy", "{\"policyName\":\"a:b\"}", false},
		{"DescribeJob", "{\"jobId\":\"AFR_OTA-1\"}", true},
		{"DescribeJob", "{\"jobId\":\"a:b\"}", false},
		{"DescribeJob", "{\"jobId\":\"$next\"}", false},
		{"iot-jobs-data:DescribeJobExecution", "{\"thingName\":\"t\",\"jobId\":\"$next\"}", true},
		{"iot-jobs-data:DescribeJobExecution", "{\"thingName\":\"t\",\"jobId\":\"$nexT\"}", false},
		{"DescribeCertificate", "{\"certificateId\":\"0123\"}", false},
		{"ListThings", "{\"maxResults\":250}", true},
		{"ListThings", "{\"maxResults\":251}", false},
		{"ListThings", "{\"maxResults\":0}", false},
		{"ListThings", "{\"maxResults\":\"5\"}", false},
		{"ListThings", "{\"maxResults\":5.0}", false},
		{"ListThings", "{\"usePrefixAttributeValue\":1}", false},
		{"ListThings", "{\"maxResults\":null}", true},
		{"DescribeThing", "{}", false},
		{"DescribeThing", "{\"thingName\":null}", false},
		{"DescribeThing", "{\"thingName\":7}", false},
		{"DescribeThing", "[]", false},
		{"DescribeThing", "{\"thingName\":\"t\",\"thingname\":\"t\"}", false},
		{"CreateThing", "{\"thingName\":\"t\",\"attributePayload\":[]}", false},
		{"UpdateThing", "{\"thingName\":\"t\",\"expectedVersion\":-1}", false},
		{"GetPolicyVersion", "{\"policyName\":\"p\",\"policyVersionId\":\"x\"}", false},
		{"AttachThingPrincipal",
		 "{\"thingName\":\"t\",\"principal\":\"p\",\"thingPrincipalType\":\"EXCLUSIVE\"}", false},
		{"CreateJob", "{\"jobId\":\"j\",\"targets\":[]}", false},
		{"CreateJob", "{\"jobId\":\"j\",\"targets\":[\"t\"],\"documentParameters\":{\"a\":1}}", false},
		{"CreateJob", "{\"jobId\":\"j\",\"targets\":[\"t\"],\"description\":\"tab\\there\"}", false},
		{"CreateOTAUpdate",
		 "{\"otaUpdateId\":\"u\",\"targets\":[\"t\"],\"files\":[{}],\"roleArn\":\"arn:aws:iam::0:role/x\"}",
		 true},
		{"CreateOTAUpdate", "{\"otaUpdateId\":\"u\",\"targets\":[\"t\"],\"files\":[{}],\"roleArn\":\"short\"}",
		 false},
	};

	for (size_t i = 0; i < IOT_LENGTH(cases); i++) {
		enum iot_status status = judge(cases[i].operation, cases[i].request);

		if ((status == IOT_OK) != cases[i].ok)
			fprintf(stderr, "\n%s %s: %s\n", cases[i].operation, cases[i].request, err.what);
		CU_ASSERT_EQUAL(status == IOT_OK, cases[i].ok);
	}
}

/* Lengths are characters, not bytes. */
static void test_characters(void)
{
	char text[6000] = "{\"jobId\":\"j\",\"targets\":[\"t\"],\"description\":\"";
	size_t len = strlen(text);

	for (int i = 0; i < 2028; i++, len += 2)
		memcpy(text + len, "\303\251", 2);
	memcpy(text + len, "\"}", 3);
	CU_ASSERT_EQUAL(judge("CreateJob", text), IOT_OK);
	memcpy(text + len, "x\"}", 4);
	CU_ASSERT_EQUAL(judge("CreateJob", text), IOT_USAGE);
	ASSERT_CONTAINS(err.what, "2029 characters");
}

static void test_messages(void)
{
	CU_ASSERT_EQUAL(judge("CreateThing", "{\"thingName\":\"t\",\"color\":1}"), IOT_USAGE);
	ASSERT_CONTAINS(err.what, "CreateThing has no member 'color'");
	ASSERT_CONTAINS(err.hint, "attributePayload");
	CU_ASSERT_EQUAL(judge("CreateThing", "{}"), IOT_USAGE);
	ASSERT_CONTAINS(err.what, "needs thingName");
	CU_ASSERT_EQUAL(judge("CreateThing", "{\"thingName\":\"a/b\"}"), IOT_USAGE);
	ASSERT_CONTAINS(err.what, "position 2");
	ASSERT_CONTAINS(err.hint, "letters, digits");
}

static void test_codes(void)
{
	CU_ASSERT_EQUAL(iot_cloud_code_http("ResourceNotFoundException"), 404);
	CU_ASSERT_EQUAL(iot_cloud_code_status("ResourceNotFoundException"), IOT_NOT_FOUND);
	CU_ASSERT_EQUAL(iot_cloud_code_http("LimitExceededException"), 410);
	CU_ASSERT_EQUAL(iot_cloud_code_http("CertificateStateException"), 406);
	CU_ASSERT_EQUAL(iot_cloud_code_status("ThrottlingException"), IOT_AGAIN);
	CU_ASSERT_EQUAL(iot_cloud_code_status("NoSuchCode"), IOT_FAILURE);
	CU_ASSERT_EQUAL(iot_cloud_code_http("NoSuchCode"), 500);
	ASSERT_STATUS(iot_cloud_fail(&err, "VersionConflictException", "version %d", 3), IOT_CONFLICT, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "VersionConflictException");
	CU_ASSERT_STRING_EQUAL(err.what, "version 3");
	CU_ASSERT_EQUAL(iot_cloud_fail(NULL, "VersionConflictException", "x"), IOT_CONFLICT);
}

UNIT_MAIN("cloud/operations", set_up, NULL, {"table", test_table}, {"find", test_find}, {"names", test_names},
	  {"times", test_times}, {"rules", test_rules}, {"characters", test_characters}, {"messages", test_messages},
	  {"codes", test_codes})
