/*
 * How long a decision takes: the default device policy, and ten policies of which
 * the last one decides. Prints nanoseconds per decision, the median of five rounds.
 * bench_policy [DECISIONS]
 */
#include "bench.h"

#include "iotctl/base.h"
#include "iotctl/policy.h"

#include <stdbool.h>
#include <string.h>

#define ROUNDS 5

static int decisions = 200000;
static bool any_wrong;

static void measure(const char *name, const struct iot_policy *const *policies, size_t count,
		    const struct iot_policy_request *request, enum iot_decision expected)
{
	double rounds[ROUNDS];
	size_t wrong = 0;

	for (int r = 0; r < ROUNDS; r++) {
		double start = bench_now_ms();

		for (int i = 0; i < decisions; i++)
			wrong += iot_policy_decide(policies, count, request, NULL) != expected;
		rounds[r] = (bench_now_ms() - start) * 1e6 / decisions;
	}
	any_wrong = any_wrong || wrong > 0;
	printf("%-40s %7.0f ns%s\n", name, bench_median(rounds, ROUNDS), wrong > 0 ? "  WRONG DECISION" : "");
}

static struct iot_policy *parse(const char *text)
{
	struct iot_policy *policy;
	struct iot_error err = IOT_ERROR_INIT;

	bench_must(iot_policy_parse(text, strlen(text), &policy, &err), &err);
	return policy;
}

int main(int argc, char **argv)
{
	const struct iot_policy_vars vars = {
		.client_id = "pump-000123", .thing_name = "pump-000123", .thing_type = "pump", .is_attached = true};
	struct iot_policy_request own = {
		.action = IOT_POLICY_PUBLISH, .resource = "pump/pump-000123/events/temperature", .vars = &vars};
	struct iot_policy_request other = {
		.action = IOT_POLICY_SUBSCRIBE, .resource = "pump/pump-000124/events/#", .vars = &vars};
	struct iot_buf text = IOT_BUF_INIT(65536);
	const struct iot_policy *policies[10];
	struct iot_policy *device, *conditional;

	if (argc > 1)
		decisions = bench_number(argv[1]);
	iot_policy_device_default(&text);
	device = parse(iot_buf_str(&text));
	conditional = parse("{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\","
			    "\"Resource\":\"arn:aws:iot:*:*:topic/*/${iot:Connection.Thing.ThingName}/*/nothing\","
			    "\"Condition\":{\"Bool\":{\"iot:Connection.Thing.IsAttached\":\"true\"}}}}");
	for (size_t i = 0; i < IOT_LENGTH(policies); i++)
		policies[i] = conditional;
	policies[IOT_LENGTH(policies) - 1] = device;

	measure("device policy, own topic", policies + IOT_LENGTH(policies) - 1, 1, &own, IOT_DECISION_ALLOWED);
	measure("device policy, another's filter", policies + IOT_LENGTH(policies) - 1, 1, &other,
		IOT_DECISION_IMPLICIT_DENY);
	measure("ten policies, own topic", policies, IOT_LENGTH(policies), &own, IOT_DECISION_ALLOWED);

	iot_policy_free(device);
	iot_policy_free(conditional);
	iot_buf_release(&text);
	return any_wrong ? 1 : 0;
}
