/* Operators in the registry: whose access key is taken, and what its holder may do. */
#include "jobs_fixture.h"

#include "iotctl/cert.h"
#include "iotctl/operator.h"

#define KEY_ID "IOTAABCDEFGHIJKLMNOP"
#define SECRET "abcdefghijklmnopqrstuvwxyz0123456789+/AB"

static char id[IOT_SHA256_HEX_SIZE]; /* of the operator's certificate */

static void add_certificate(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	struct iot_key *key = NULL;
	struct iot_cert *cert = NULL;
	json_t *request;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, "bench", 30, &cert, &err), &err);
	iot_cert_pem(cert, &pem);
	memcpy(id, iot_cert_id(cert), sizeof(id));
	request = json_pack("{s:s, s:s}", "certificatePem", iot_buf_str(&pem), "status", "ACTIVE");
	ASSERT_OK(iot_cloud_call(cloud, "RegisterCertificateWithoutCA", request, NULL, NULL, NULL, &err), &err);
	json_decref(request);
	iot_cert_free(cert);
	iot_key_free(key);
}

static void put(const char *key_id)
{
	struct iot_error err = IOT_ERROR_INIT;
	const struct iot_operator_row row = {.name = "bench",
					     .certificate_id = id,
					     .access_key_id = key_id,
					     .secret = SECRET,
					     .expires_at = NOW + 60 * MINUTE};

	ASSERT_OK(iot_local_operator_put(cloud, &row, &err), &err);
}

static void begin(void)
{
	set_up();
	add_certificate();
	put(KEY_ID);
}

/* "" when the key is taken, else the code. */
static const char *look_up(const char *key_id)
{
	static struct iot_error err;
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = NULL;

	iot_error_clear(&err);
	if (iot_operator_key_lookup(cloud, key_id, &who, &err) != IOT_OK) {
		CU_ASSERT_PTR_NULL(who);
		CU_ASSERT_PTR_NULL(strstr(err.what, SECRET));
		return err.code[0] != '\0' ? err.code : err.what;
	}
	CU_ASSERT_STRING_EQUAL(iot_operator_name(who), "bench");
	CU_ASSERT_STRING_EQUAL(iot_operator_secret(who), SECRET);
	CU_ASSERT_EQUAL(iot_operator_expires(who), NOW + 60 * MINUTE);
	return "";
}

static const char *state(void)
{
	static char text[32];
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	ASSERT_OK(iot_local_operator_get(cloud, "bench", &record, &err), &err);
	snprintf(text, sizeof(text), "%s", iot_json_str(record, "state", ""));
	json_decref(record);
	return text;
}

static void test_taken(void)
{
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "");
	CU_ASSERT_STRING_EQUAL(state(), "active");
	CU_ASSERT_STRING_EQUAL(look_up("IOTAABCDEFGHIJKLMNOQ"), "UnrecognizedClientException");
	CU_ASSERT_STRING_EQUAL(look_up(""), "UnrecognizedClientException");
	CU_ASSERT_STRING_EQUAL(look_up("' OR 1=1 --"), "UnrecognizedClientException");
}

static void test_expired(void)
{
	iot_clock_freeze(NOW + 60 * MINUTE - 1);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "");
	iot_clock_freeze(NOW + 60 * MINUTE);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "ExpiredTokenException");
	CU_ASSERT_STRING_EQUAL(state(), "expired");
}

static void test_revoked(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t before = 0, after = 0;
	bool changed = false;

	ASSERT_OK(iot_operator_epoch(cloud, &before, &err), &err);
	ASSERT_OK(iot_local_operator_revoke(cloud, "bench", &changed, &err), &err);
	CU_ASSERT_TRUE(changed);
	ASSERT_OK(iot_operator_epoch(cloud, &after, &err), &err);
	CU_ASSERT_NOT_EQUAL(before, after);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "UnrecognizedClientException");
	CU_ASSERT_STRING_EQUAL(state(), "revoked");
	ASSERT_OK(iot_local_operator_revoke(cloud, "bench", &changed, &err), &err);
	CU_ASSERT_FALSE(changed);
	CU_ASSERT_EQUAL(iot_local_operator_revoke(cloud, "nobody", &changed, &err), IOT_NOT_FOUND);
	/* New keys let it in again, and the old ones not. */
	put("IOTA2222222222222222");
	CU_ASSERT_STRING_EQUAL(look_up("IOTA2222222222222222"), "");
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "UnrecognizedClientException");
}

static void test_certificate(void)
{
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'INACTIVE'}", id);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "UnrecognizedClientException");
	CU_ASSERT_STRING_EQUAL(state(), "inactive");
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'ACTIVE'}", id);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "");
	DO("UpdateCertificate", "", "{'certificateId': '%s', 'newStatus': 'INACTIVE'}", id);
	DO("DeleteCertificate", "", "{'certificateId': '%s'}", id);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "UnrecognizedClientException");
}

static void test_sealing_key(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *path = iot_path(dir, "sealing.key");
	IOT_CLEAN(iot_buf_release) struct iot_buf dump = IOT_BUF_INIT(16 * 1024 * 1024);
	char *registry = iot_path(dir, "registry.db"), *wal = iot_path(dir, "registry.db-wal");

	ASSERT_OK(iot_fs_check_private(path, &err), &err);
	/* The secret is nowhere in the registry's files. */
	ASSERT_OK(iot_fs_read(registry, &dump, &err), &err);
	ASSERT_OK(iot_fs_read(wal, &dump, &err), &err);
	CU_ASSERT_PTR_NOT_NULL(memmem(dump.data, dump.len, KEY_ID, strlen(KEY_ID)));
	CU_ASSERT_PTR_NULL(memmem(dump.data, dump.len, SECRET, strlen(SECRET)));
	/* Gone, as after a restore; another one; one that others can read; damaged. */
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	CU_ASSERT_STRING_EQUAL(look_up(KEY_ID), "UnrecognizedClientException");
	CU_ASSERT_STRING_EQUAL(state(), "no key");
	put("IOTA2222222222222222"); /* makes a new one */
	CU_ASSERT_STRING_EQUAL(look_up("IOTA2222222222222222"), "");
	ASSERT_OK(iot_fs_write(path, 0600, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 65,
			       &err),
		  &err);
	CU_ASSERT_STRING_EQUAL(look_up("IOTA2222222222222222"), "UnrecognizedClientException");
	ASSERT_OK(iot_fs_write(path, 0644, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 65,
			       &err),
		  &err);
	CU_ASSERT_STRING_NOT_EQUAL(look_up("IOTA2222222222222222"), "");
	ASSERT_OK(iot_fs_write(path, 0600, "0011\n", 5, &err), &err);
	ASSERT_CONTAINS(look_up("IOTA2222222222222222"), "damaged");
	free(path);
	free(registry);
	free(wal);
}

/* --- rights -------------------------------------------------------------------------------- */

static void allow(const char *document)
{
	static int number;

	DO("CreatePolicy", "", "{'policyName': 'p%d', 'policyDocument': \"%s\"}", ++number, document);
	DO("AttachPolicy", "", "{'policyName': 'p%d', 'target': '" ARN "cert/%s'}", number, id);
}

#define DOCUMENT(statements) "{\\\"Version\\\":\\\"2012-10-17\\\",\\\"Statement\\\":[" statements "]}"
#define RULE(effect, action, resource)                                                                                 \
	"{\\\"Effect\\\":\\\"" effect "\\\",\\\"Action\\\":[\\\"" action "\\\"],\\\"Resource\\\":\\\"" resource "\\\"" \
	"}"

static bool may(const char *operation, const char *request)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = NULL;
	char *text = strdup(request);
	IOT_JSON json = NULL;
	enum iot_status status;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	json = json_loads(text, 0, NULL);
	free(text);
	ASSERT_OK(iot_operator_key_lookup(cloud, KEY_ID, &who, &err), &err);
	if (who == NULL || iot_operation_find(operation) == NULL) {
		CU_FAIL("no such operator or operation");
		return false;
	}
	status = iot_operator_allows(who, iot_operation_find(operation), json, "127.0.0.1", &err);
	if (status != IOT_OK) {
		CU_ASSERT_EQUAL(status, IOT_DENIED);
		CU_ASSERT_STRING_EQUAL(err.code, "AccessDeniedException");
		ASSERT_CONTAINS(err.what, "'bench'");
	}
	return status == IOT_OK;
}

static void test_nothing_by_default(void)
{
	CU_ASSERT_FALSE(may("DescribeThing", "{'thingName': 'pump-1'}"));
	CU_ASSERT_FALSE(may("ListThings", "{}"));
}

static void test_resources(void)
{
	allow(DOCUMENT(RULE("Allow", "iot:*Thing", ARN "thing/pump-*") "," RULE("Allow", "iot:*ThingGroup",
										ARN "thing*/pump*")));
	CU_ASSERT_TRUE(may("DescribeThing", "{'thingName': 'pump-1'}"));
	CU_ASSERT_FALSE(may("DescribeThing", "{'thingName': 'valve-1'}"));
	/* A type in the body is a property; the group, too, is what the call is about. */
	CU_ASSERT_TRUE(may("CreateThing", "{'thingName': 'pump-1', 'thingTypeName': 'valve'}"));
	CU_ASSERT_TRUE(may("AddThingToThingGroup", "{'thingName': 'pump-1', 'thingGroupName': 'pumps'}"));
	CU_ASSERT_FALSE(may("AddThingToThingGroup", "{'thingName': 'pump-1', 'thingGroupName': 'valves'}"));
	CU_ASSERT_FALSE(may("AddThingToThingGroup", "{'thingName': 'valve-1', 'thingGroupName': 'pumps'}"));
	/* However the thing and the group are named. */
	CU_ASSERT_TRUE(may("AddThingToThingGroup", "{'thingArn': '" ARN "thing/pump-1', 'thingGroupName': 'pumps'}"));
	CU_ASSERT_FALSE(may("AddThingToThingGroup", "{'thingArn': '" ARN "thing/valve-1', 'thingGroupName': 'pumps'}"));
	CU_ASSERT_FALSE(
		may("AddThingToThingGroup", "{'thingName': 'pump-1', 'thingGroupArn': '" ARN "thinggroup/valves'}"));
	CU_ASSERT_FALSE(may("AddThingToThingGroup", "{'thingName': 'pump-1', 'thingGroupName': 'pumps', "
						    "'thingArn': '" ARN "thing/valve-1'}"));
	/* What has no resource needs "*". */
	CU_ASSERT_FALSE(may("ListThings", "{}"));
	allow(DOCUMENT(RULE("Allow", "iot:ListThings", "*")));
	CU_ASSERT_TRUE(may("ListThings", "{}"));
	CU_ASSERT_FALSE(may("ListPolicies", "{}"));
}

static void test_deny_wins(void)
{
	allow(DOCUMENT(RULE("Allow", "*", "*") "," RULE("Deny", "iot:Delete*", ARN "thing/pump-1")));
	CU_ASSERT_TRUE(may("DeleteThing", "{'thingName': 'pump-2'}"));
	CU_ASSERT_FALSE(may("DeleteThing", "{'thingName': 'pump-1'}"));
}

static void test_all_targets(void)
{
	allow(DOCUMENT(
		RULE("Allow", "iot:CreateJob", ARN "job/*") "," RULE("Allow", "iot:CreateJob", ARN "thinggroup/beta")));
	CU_ASSERT_TRUE(may("CreateJob", "{'jobId': 'j', 'targets': ['" ARN "thinggroup/beta'], 'document': '{}'}"));
	CU_ASSERT_FALSE(may("CreateJob", "{'jobId': 'j', 'targets': ['" ARN "thinggroup/beta', '" ARN
					 "thing/pump-1'], 'document': '{}'}"));
}

static void test_services(void)
{
	allow(DOCUMENT(RULE("Allow", "iot:GetThingShadow", ARN "thing/*") "," RULE(
		"Allow", "iotjobsdata:*", ARN "thing/pump-1") "," RULE("Allow", "iotctl:GetDevice*", "*")));
	CU_ASSERT_TRUE(may("iotdata:GetThingShadow", "{'thingName': 'x'}"));
	CU_ASSERT_FALSE(may("iotdata:UpdateThingShadow", "{'thingName': 'x'}"));
	CU_ASSERT_TRUE(may("iot-jobs-data:DescribeJobExecution", "{'thingName': 'pump-1', 'jobId': 'j'}") == false);
	CU_ASSERT_TRUE(may("iot-jobs-data:GetPendingJobExecutions", "{'thingName': 'pump-1'}"));
	CU_ASSERT_TRUE(may("iotctl:GetDeviceConfig", "{'thingName': 'pump-1'}"));
	CU_ASSERT_FALSE(may("iotctl:SetDeviceConfig", "{'thingName': 'pump-1'}"));
}

static void test_other_arns(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(iot_operator_free_p) struct iot_operator *who = NULL;

	allow(DOCUMENT(RULE("Allow", "s3:PutObject", "arn:aws:s3:::images/*") "," RULE("Allow", "iot:Publish",
										       ARN "topic/pump/*")));
	ASSERT_OK(iot_operator_key_lookup(cloud, KEY_ID, &who, &err), &err);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "s3:PutObject", "arn:aws:s3:::images/a/b", NULL, &err), IOT_OK);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "s3:PutObject", "arn:aws:s3:::other/a", NULL, &err), IOT_DENIED);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "s3:GetObject", "arn:aws:s3:::images/a", NULL, &err), IOT_DENIED);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "iot:Publish", ARN "topic/pump/1", NULL, &err), IOT_OK);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "iot:Publish", ARN "topic/valve/1", NULL, &err), IOT_DENIED);
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "iot:Publish", "no arn", NULL, &err), IOT_DENIED);
	/* A topic that looks like the ARN of another one. */
	CU_ASSERT_TRUE(may("iotdata:Publish", "{'topic': 'pump/1'}"));
	CU_ASSERT_FALSE(may("iotdata:Publish", "{'topic': '" ARN "topic/pump/1'}"));
	CU_ASSERT_EQUAL(iot_operator_allowed(who, "iot:Publish", NULL, NULL, &err), IOT_DENIED);
}

UNIT_MAIN("cloud/operators", begin, tear_down, {"taken", test_taken}, {"expired", test_expired},
	  {"revoked", test_revoked}, {"certificate", test_certificate}, {"sealing_key", test_sealing_key},
	  {"nothing_by_default", test_nothing_by_default}, {"resources", test_resources}, {"deny_wins", test_deny_wins},
	  {"all_targets", test_all_targets}, {"services", test_services}, {"other_arns", test_other_arns})
