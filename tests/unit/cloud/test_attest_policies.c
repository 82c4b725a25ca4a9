/* Attestation policies in the registry: which count for a device, that gateways hear of a change, and keys by purpose.
 */
#include "jobs_fixture.h"

#include "iotctl/key.h"
#include "iotctl/store.h"

static void put(const char *name)
{
	DO("iotctl:PutAttestationPolicy", "", "{'policyName': '%s', 'policyDocument': '{}'}", name);
}

static void assign(const char *name, const char *member, const char *target)
{
	DO("iotctl:AssignAttestationPolicy", "", "{'policyName': '%s', '%s': '%s'}", name, member, target);
}

/* Names of the policies that count for thing "a", by blanks; static memory. */
static const char *effective(void)
{
	static char names[256];
	IOT_JSON reply = CALL("iotctl:GetEffectiveAttestationPolicies", "", "{'thingName': 'a'}");
	const json_t *policy;
	size_t i, len = 0;

	names[0] = '\0';
	json_array_foreach(json_object_get(reply, "policies"), i, policy) {
		len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i > 0 ? " " : "",
					iot_json_str(policy, "policyName", "?"));
		CU_ASSERT_STRING_EQUAL(iot_json_str(policy, "policyDocument", ""), "{}");
	}
	return names;
}

static int64_t epoch(void)
{
	struct iot_store *store = iot_local_store(cloud);
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	bool row = false;

	ASSERT_OK(iot_stmt_query(store, &stmt, &row, &err, "SELECT value FROM epoch", ""), &err);
	return row ? iot_stmt_int(stmt, 0) : -1;
}

/* The nearest counts, of groups all, those above them too. */
static void test_which_counts(void)
{
	DO("CreateThingType", "", "{'thingTypeName': 'pump'}");
	DO("CreateThing", "", "{'thingName': 'a', 'thingTypeName': 'pump'}");
	add_group("top");
	DO("CreateThingGroup", "", "{'thingGroupName': 'below', 'parentGroupName': 'top'}");
	add_group("other");
	CU_ASSERT_STRING_EQUAL(effective(), "");
	put("p1");
	put("p2");
	put("p3");
	put("p4");
	assign("p1", "thingTypeName", "pump");
	CU_ASSERT_STRING_EQUAL(effective(), "p1");
	assign("p2", "thingGroupName", "top");
	CU_ASSERT_STRING_EQUAL(effective(), "p1");
	join("a", "below");
	CU_ASSERT_STRING_EQUAL(effective(), "p2");
	assign("p3", "thingGroupName", "other");
	join("a", "other");
	CU_ASSERT_STRING_EQUAL(effective(), "p2 p3");
	assign("p4", "thingName", "a");
	CU_ASSERT_STRING_EQUAL(effective(), "p4");
	DO("iotctl:UnassignAttestationPolicy", "", "{'policyName': 'p4', 'thingName': 'a'}");
	CU_ASSERT_STRING_EQUAL(effective(), "p2 p3");
	DO("RemoveThingFromThingGroup", "", "{'thingName': 'a', 'thingGroupName': 'below'}");
	CU_ASSERT_STRING_EQUAL(effective(), "p3");
	DO("DeleteThingGroup", "", "{'thingGroupName': 'other'}");
	CU_ASSERT_STRING_EQUAL(effective(), "p1");
}

/* Each has one: a new one takes the place of the old, in one step. */
static void test_one_each(void)
{
	IOT_JSON reply = NULL;

	add_thing("a");
	put("p1");
	put("p2");
	assign("p1", "thingName", "a");
	reply = CALL("iotctl:AssignAttestationPolicy", "", "{'policyName': 'p2', 'thingName': 'a'}");
	CU_ASSERT_STRING_EQUAL(iot_json_str(reply, "replaced", ""), "p1");
	CU_ASSERT_STRING_EQUAL(effective(), "p2");
	DO("iotctl:UnassignAttestationPolicy", "ResourceNotFoundException", "{'policyName': 'p1', 'thingName': 'a'}");
	DO("iotctl:DeleteAttestationPolicy", "DeleteConflictException", "{'policyName': 'p2'}");
	DO("iotctl:DeleteAttestationPolicy", "", "{'policyName': 'p1'}");
	/* it goes with its thing, and leaves the policy free */
	DO("DeleteThing", "", "{'thingName': 'a'}");
	DO("iotctl:DeleteAttestationPolicy", "", "{'policyName': 'p2'}");
}

static void test_refused(void)
{
	IOT_JSON reply = NULL;

	add_thing("a");
	put("p");
	DO("iotctl:PutAttestationPolicy", "InvalidRequestException", "{'policyName': 'q', 'policyDocument': '{'}");
	CU_ASSERT_STRING_EQUAL(
		try_text("iotctl:PutAttestationPolicy",
			 "{'policyName': 'q', 'policyDocument': '{\\'lifecycle\\': [\\'decommissioned\\']}'}", NULL),
		"InvalidRequestException");
	DO("iotctl:PutAttestationPolicy", "", "{'policyName': 'p', 'policyDocument': '{}'}");
	DO("iotctl:PutAttestationPolicy", "ResourceAlreadyExistsException",
	   "{'policyName': 'p', 'policyDocument': '{ }'}");
	DO("iotctl:PutAttestationPolicy", "", "{'policyName': 'p', 'policyDocument': '{ }', 'replace': true}");
	reply = CALL("iotctl:GetAttestationPolicy", "", "{'policyName': 'p'}");
	CU_ASSERT_STRING_EQUAL(iot_json_str(reply, "policyDocument", ""), "{ }");
	DO("iotctl:AssignAttestationPolicy", "InvalidRequestException", "{'policyName': 'p'}");
	DO("iotctl:AssignAttestationPolicy", "InvalidRequestException",
	   "{'policyName': 'p', 'thingName': 'a', 'thingTypeName': 'b'}");
	DO("iotctl:AssignAttestationPolicy", "ResourceNotFoundException", "{'policyName': 'p', 'thingTypeName': 'b'}");
	DO("iotctl:AssignAttestationPolicy", "ResourceNotFoundException", "{'policyName': 'q', 'thingName': 'a'}");
	CU_ASSERT_STRING_EQUAL(effective(), "");
}

/* A gateway looks again when the epoch has moved, and only then. */
static void test_epoch(void)
{
	int64_t before;

	add_thing("a");
	put("p");
	before = epoch();
	put("p");
	put("q");
	CU_ASSERT_EQUAL(epoch(), before);
	assign("p", "thingName", "a");
	CU_ASSERT_TRUE(epoch() > before);
	before = epoch();
	DO("iotctl:PutAttestationPolicy", "", "{'policyName': 'p', 'policyDocument': '{ }', 'replace': true}");
	CU_ASSERT_TRUE(epoch() > before);
	before = epoch();
	DO("iotctl:UnassignAttestationPolicy", "", "{'policyName': 'p', 'thingName': 'a'}");
	CU_ASSERT_TRUE(epoch() > before);
}

/* Those of another policy and what was taken away in between do not disturb the pages. */
static void test_target_pages(void)
{
	IOT_JSON policy = NULL;
	IOT_JSON page = NULL;
	char name[16];

	put("p1");
	put("p2");
	for (int i = 0; i < 260; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		DO("CreateThingType", "", "{'thingTypeName': '%s'}", name);
		assign(i % 26 == 0 ? "p2" : "p1", "thingTypeName", name);
	}
	policy = CALL("iotctl:GetAttestationPolicy", "", "{'policyName': 'p2'}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(policy, "targets")), 10);
	CU_ASSERT_PTR_NULL(json_object_get(policy, "nextTargets"));
	json_decref(policy);
	policy = CALL("iotctl:GetAttestationPolicy", "", "{'policyName': 'p1'}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(policy, "targets")), 250);
	CU_ASSERT_PTR_NULL(json_object_get(policy, "nextTargets"));
	json_decref(policy);
	assign("p1", "thingTypeName", "t0");
	policy = CALL("iotctl:GetAttestationPolicy", "", "{'policyName': 'p1'}");
	DO("iotctl:UnassignAttestationPolicy", "", "{'policyName': 'p1', 'thingTypeName': 't3'}");
	page = CALL("iotctl:ListTargetsForAttestationPolicy", "", "{'policyName': 'p1', 'nextToken': '%s'}",
		    iot_json_str(policy, "nextTargets", "?"));
	CU_ASSERT_EQUAL(json_array_size(json_object_get(page, "targets")), 1);
	CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(json_object_get(page, "targets"), 0)), "type:t0");
	CU_ASSERT_PTR_NULL(json_object_get(page, "nextToken"));
	DO("iotctl:ListTargetsForAttestationPolicy", "ResourceNotFoundException", "{'policyName': 'none'}");
	DO("iotctl:ListTargetsForAttestationPolicy", "InvalidRequestException",
	   "{'policyName': 'p1', 'nextToken': 'x'}");
}

static const char *add_key(enum iot_key_type type, const char *purpose, const struct iot_key *known)
{
	static struct iot_error err;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(4096);
	IOT_JSON request = NULL;

	err = (struct iot_error)IOT_ERROR_INIT;
	if (known == NULL)
		ASSERT_OK(iot_key_generate(type, &key, &err), &err);
	ASSERT_OK(iot_key_public_pem(known != NULL ? known : key, &pem, &err), &err);
	request = json_pack("{s:s, s:s, s:s}", "thingName", "a", "publicKey", iot_buf_str(&pem), "purpose", purpose);
	return iot_cloud_call(cloud, "iotctl:AddDeviceKey", request, NULL, NULL, NULL, &err) == IOT_OK ? "" : err.code;
}

/* Three of either purpose, and each key for one. */
static void test_keys_by_purpose(void)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	add_thing("a");
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P256, "connect", key), "");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P256, "attest", key), "ResourceAlreadyExistsException");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P384, "connect", NULL), "InvalidRequestException");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_RSA2048, "attest", NULL), "InvalidRequestException");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P256, "attest", NULL), "");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P384, "attest", NULL), "");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P521, "attest", NULL), "");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P521, "attest", NULL), "LimitExceededException");
	CU_ASSERT_STRING_EQUAL(add_key(IOT_KEY_P256, "connect", NULL), "");
	reply = CALL("iotctl:ListDeviceKeys", "", "{'thingName': 'a', 'purpose': 'attest'}");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(reply, "keys")), 3);
}

UNIT_MAIN("cloud/attest_policies", set_up, tear_down, {"which_counts", test_which_counts}, {"one_each", test_one_each},
	  {"refused", test_refused}, {"epoch", test_epoch}, {"target_pages", test_target_pages},
	  {"keys_by_purpose", test_keys_by_purpose})
