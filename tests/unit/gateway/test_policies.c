/* What a gateway lets its children run: always what the registry says at that moment. */
#include "unit/cloud/jobs_fixture.h"

#include "gateway/gateway.h"

static void put(const char *document)
{
	IOT_JSON request = json_pack("{s:s, s:s, s:b}", "policyName", "p", "policyDocument", document, "replace", 1);
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;

	ASSERT_OK(iot_cloud_call(cloud, "iotctl:PutAttestationPolicy", request, NULL, &reply, NULL, &err), &err);
}

/* A child comes between a change and the gateway's next look: what it is judged by and what it is marked with agree. */
static void test_changed_in_between(void)
{
	char name[] = "a", type[] = "";
	struct gateway gateway = {.cloud = cloud};
	struct child child = {.thing = name, .type = type};
	struct iot_error err = IOT_ERROR_INIT;
	const struct iot_attest_policy *first, *again;
	char mark[IOT_SHA256_HEX_SIZE];

	DO("CreateThing", "", "{'thingName': 'a'}");
	put("{\"lifecycle\": [\"secured\"]}");
	DO("iotctl:AssignAttestationPolicy", "", "{'policyName': 'p', 'thingName': 'a'}");
	ASSERT_OK(gateway_find_policies(&gateway, &child, &err), &err);
	CU_ASSERT_EQUAL_FATAL(child.policy_count, 1);
	first = child.policies[0];
	snprintf(mark, sizeof(mark), "%s", child.policy_mark);
	ASSERT_OK(gateway_find_policies(&gateway, &child, &err), &err);
	CU_ASSERT_PTR_EQUAL(child.policies[0], first); /* parsed once */

	put("{\"lifecycle\": [\"secured\", \"non-psa-rot-debug\"]}");
	ASSERT_OK(gateway_find_policies(&gateway, &child, &err), &err);
	again = child.policies[0];
	CU_ASSERT_PTR_NOT_EQUAL(again, first);
	CU_ASSERT_STRING_NOT_EQUAL(child.policy_mark, mark);
	gateway_forget_documents(&gateway);
	free(child.policies);
}

UNIT_MAIN("gateway/policies", set_up, tear_down, {"changed-in-between", test_changed_in_between})
