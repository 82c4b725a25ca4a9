/* Policy documents: parse arbitrary bytes; what parses is judged by, linted and freed. */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/policy.h"
#include "iotctl/topic.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct iot_policy_field fields[] = {
	{"Subject.CommonName", "device"}, {"Subject.CommonName", "a*"}, {"Issuer.Country", "DE"}};

static const struct iot_policy_vars full = {.client_id = "pump-*",
					    .certificate_id = "c0ffee",
					    .serial = "01",
					    .fields = fields,
					    .field_count = IOT_LENGTH(fields),
					    .thing_name = "pump-1",
					    .thing_type = "pump",
					    .is_attached = true,
					    .source_ip = "2001:db8::1",
					    .domain_name = "fleet.example",
					    .persistent = true,
					    .last_will = true,
					    .last_will_topic = "pump/pump-1/will"};

static void judge(const struct iot_policy *policy, const struct iot_policy_vars *vars)
{
	static const char *const resources[] = {
		"pump-1",           "", "a/b/c/d/e/f/g/h", "$aws/things/pump-1/jobs/#", "aaaaaaaaaaaaaaaaab",
		"\xe2\x82\xac/\xff"};
	const struct iot_policy *policies[] = {policy, NULL, policy};

	for (unsigned a = 0; a <= IOT_POLICY_OTHER; a++) {
		for (size_t r = 0; r < IOT_LENGTH(resources); r++) {
			const struct iot_policy_request request = {
				.action = a, .action_name = "iot:CreateJob", .resource = resources[r], .vars = vars};
			struct iot_policy_verdict verdict;

			if (iot_policy_decide(policies, 3, &request, &verdict) != verdict.decision)
				abort();
			if ((verdict.decision == IOT_DECISION_IMPLICIT_DENY) != (verdict.statement == 0))
				abort();
			json_decref(iot_policy_missing(policies, 3, &request));
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct iot_policy *policy;
	const struct iot_policy_lint context = {&iot_policy_scope_local, &full, true};

	(void)!iot_topic_check_filter((const char *)data, size, NULL);
	(void)!iot_topic_check_publish((const char *)data, size, NULL);
	if (iot_policy_parse((const char *)data, size, &policy, NULL) != IOT_OK)
		return 0;
	judge(policy, &full);
	judge(policy, NULL);
	json_decref(iot_policy_lint(policy, NULL));
	json_decref(iot_policy_lint(policy, &context));
	iot_policy_free(policy);
	return 0;
}
