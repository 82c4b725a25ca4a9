/*
 * Policies in one line for the tests of the policy engine, and a device to judge by them:
 * thing and client id "pump-1" of type "pump".
 */
#ifndef IOTCTL_TEST_POLICY_FIXTURE_H
#define IOTCTL_TEST_POLICY_FIXTURE_H

#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/policy.h"

#define ARN "arn:aws:iot:local:000000000000:"
#define V2012 "\"Version\":\"2012-10-17\","
#define THING "${iot:Connection.Thing.ThingName}"

static const struct iot_policy_vars pump = {.client_id = "pump-1",
					    .certificate_id = "c0ffee",
					    .thing_name = "pump-1",
					    .thing_type = "pump",
					    .is_attached = true,
					    .source_ip = "192.0.2.10"};

/* The statements of a document, with Version 2012-10-17; aborts if it does not parse. */
static inline struct iot_policy *policy_of(const char *statements)
{
	IOT_CLEAN(iot_free_p) char *text = iot_strf("{" V2012 "\"Statement\":[%s]}", statements);
	struct iot_policy *policy;
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	if (iot_policy_parse(text, strlen(text), &policy, &err) != IOT_OK) {
		fprintf(stderr, "\n%s\n%s\n", text, iot_error_line(&err, line, sizeof(line)));
		abort();
	}
	return policy;
}

static inline enum iot_decision judge(const char *statements, enum iot_policy_action action, const char *resource,
				      const struct iot_policy_vars *vars)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = policy_of(statements);
	const struct iot_policy *policies[] = {policy};
	const struct iot_policy_request request = {.action = action, .resource = resource, .vars = vars};

	return iot_policy_decide(policies, 1, &request, NULL);
}

#endif
