/*
 * The decision: a statement matches when its action, one of its resources and all its
 * conditions match; a matching Deny beats every Allow. Nothing here allocates.
 */
#include "internal.h"

#include "iotctl/base.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

const struct iot_policy_scope iot_policy_scope_local = {"aws", "local", "000000000000", NULL};

static const struct iot_policy_vars no_vars;

const char *const policy_kind_prefix[IOT_POLICY_OTHER] = {
	[IOT_POLICY_CONNECT] = "client/",       [IOT_POLICY_PUBLISH] = "topic/",
	[IOT_POLICY_RECEIVE] = "topic/",        [IOT_POLICY_SUBSCRIBE] = "topicfilter/",
	[IOT_POLICY_RETAIN_PUBLISH] = "topic/",
};

static const char *const action_names[IOT_POLICY_OTHER] = {
	[IOT_POLICY_CONNECT] = "iot:Connect",
	[IOT_POLICY_PUBLISH] = "iot:Publish",
	[IOT_POLICY_RECEIVE] = "iot:Receive",
	[IOT_POLICY_SUBSCRIBE] = "iot:Subscribe",
	[IOT_POLICY_RETAIN_PUBLISH] = "iot:RetainPublish",
};

const char *iot_decision_name(enum iot_decision decision)
{
	switch (decision) {
	case IOT_DECISION_ALLOWED:
		return "ALLOWED";
	case IOT_DECISION_EXPLICIT_DENY:
		return "EXPLICIT_DENY";
	case IOT_DECISION_IMPLICIT_DENY:
		break;
	}
	return "IMPLICIT_DENY";
}

const char *iot_policy_action_name(enum iot_policy_action action)
{
	return action < IOT_POLICY_OTHER ? action_names[action] : "";
}

enum iot_policy_action iot_policy_action_parse(const char *name)
{
	for (unsigned a = 0; a < IOT_POLICY_OTHER; a++)
		if (strcasecmp(name, action_names[a]) == 0 || strcasecmp(name, action_names[a] + strlen("iot:")) == 0)
			return a;
	return IOT_POLICY_OTHER;
}

bool policy_subject_init(struct policy_subject *subject, const struct iot_policy_request *request)
{
	const struct iot_policy_scope *scope = request->scope != NULL ? request->scope : &iot_policy_scope_local;
	const char *prefix = request->action < IOT_POLICY_OTHER ? policy_kind_prefix[request->action] : "";
	const char *service = scope->service != NULL ? scope->service : "iot";
	size_t prefix_len = strlen(prefix), len;

	subject->request = request;
	subject->vars = request->vars != NULL ? request->vars : &no_vars;
	subject->scope = scope;
	subject->parts[POLICY_PARTITION] = (struct policy_span){scope->partition, strlen(scope->partition)};
	subject->parts[POLICY_SERVICE] = (struct policy_span){service, strlen(service)};
	subject->parts[POLICY_REGION] = (struct policy_span){scope->region, strlen(scope->region)};
	subject->parts[POLICY_ACCOUNT] = (struct policy_span){scope->account, strlen(scope->account)};
	subject->parts[POLICY_RESOURCE] = (struct policy_span){NULL, 0};
	if (request->action == IOT_POLICY_OTHER && request->action_name == NULL)
		return false;
	if (request->resource == NULL)
		return request->action == IOT_POLICY_OTHER;
	len = strnlen(request->resource, IOT_POLICY_RESOURCE_MAX + 1);
	if (len > IOT_POLICY_RESOURCE_MAX)
		return false;
	/* One piece of text, so that a pattern such as "topic*" is compared as it is written. */
	memcpy(subject->resource, prefix, prefix_len);
	memcpy(subject->resource + prefix_len, request->resource, len);
	subject->parts[POLICY_RESOURCE] = (struct policy_span){subject->resource, prefix_len + len};
	return true;
}

bool policy_statement_acts(const struct policy_statement *statement, const struct iot_policy_request *request)
{
	if (request->action < IOT_POLICY_OTHER)
		return (statement->actions_mask & (1u << request->action)) != 0;
	for (size_t i = 0; i < statement->action_count; i++)
		if (policy_pattern_match(&statement->actions[i].pattern, request->action_name,
					 strlen(request->action_name), true, &no_vars))
			return true;
	return false;
}

static bool resource_matches(const struct policy_statement *statement, const struct policy_subject *subject)
{
	bool none = subject->parts[POLICY_RESOURCE].data == NULL;

	for (size_t i = 0; i < statement->resource_count; i++) {
		const struct policy_arn *arn = &statement->resources[i];

		if (arn->everything || (!none && policy_arn_match(arn, subject->parts, subject->vars)))
			return true;
	}
	return false;
}

static bool statement_matches(const struct policy_statement *statement, const struct policy_subject *subject)
{
	if (!policy_statement_acts(statement, subject->request) || !resource_matches(statement, subject))
		return false;
	for (size_t i = 0; i < statement->condition_count; i++)
		if (!policy_condition_holds(&statement->conditions[i], statement->deny, subject))
			return false;
	return true;
}

static void decide(const struct iot_policy *const *policies, size_t count, const struct policy_subject *subject,
		   struct iot_policy_verdict *verdict)
{
	for (size_t p = 0; p < count; p++) {
		for (size_t s = 0; policies[p] != NULL && s < policies[p]->count; s++) {
			const struct policy_statement *statement = &policies[p]->statements[s];

			if (!statement->deny && verdict->decision == IOT_DECISION_ALLOWED)
				continue;
			if (!statement_matches(statement, subject))
				continue;
			verdict->decision = statement->deny ? IOT_DECISION_EXPLICIT_DENY : IOT_DECISION_ALLOWED;
			verdict->policy = p;
			verdict->statement = statement->number;
			verdict->sid = statement->sid;
			if (statement->deny)
				return;
		}
	}
}

enum iot_decision iot_policy_decide(const struct iot_policy *const *policies, size_t count,
				    const struct iot_policy_request *request, struct iot_policy_verdict *ret_verdict)
{
	struct iot_policy_verdict verdict = {IOT_DECISION_IMPLICIT_DENY, SIZE_MAX, 0, NULL};
	struct policy_subject subject;

	if (policy_subject_init(&subject, request))
		decide(policies, count, &subject, &verdict);
	if (ret_verdict != NULL)
		*ret_verdict = verdict;
	return verdict.decision;
}

static bool copy_part(struct iot_policy_arn *parts, size_t *used, const struct policy_span *span, const char **ret)
{
	if (span->len >= sizeof(parts->text) - *used)
		return false;
	memcpy(parts->text + *used, span->data, span->len);
	parts->text[*used + span->len] = '\0';
	*ret = parts->text + *used;
	*used += span->len + 1;
	return true;
}

static bool is_iot(const struct policy_span *span)
{
	return span->len == 3 && memcmp(span->data, "iot", 3) == 0;
}

enum iot_status iot_policy_request_arn(struct iot_policy_request *request, const char *arn,
				       struct iot_policy_arn *parts, struct iot_error *err)
{
	struct policy_span spans[POLICY_PARTS];
	size_t used = 0;
	const char *prefix;

	if (!policy_arn_split(arn, strlen(arn), false, spans) ||
	    (request->action != IOT_POLICY_OTHER && !is_iot(&spans[POLICY_SERVICE])) ||
	    !copy_part(parts, &used, &spans[POLICY_SERVICE], &parts->scope.service) ||
	    !copy_part(parts, &used, &spans[POLICY_PARTITION], &parts->scope.partition) ||
	    !copy_part(parts, &used, &spans[POLICY_REGION], &parts->scope.region) ||
	    !copy_part(parts, &used, &spans[POLICY_ACCOUNT], &parts->scope.account))
		return iot_fail(err, IOT_USAGE, "'%s' is not an ARN of an AWS IoT resource", arn);
	prefix = request->action < IOT_POLICY_OTHER ? policy_kind_prefix[request->action] : "";
	if (strncmp(spans[POLICY_RESOURCE].data, prefix, strlen(prefix)) != 0)
		return iot_fail(err, IOT_USAGE, "'%s' is no resource of %s, which is 'arn:...:%s...'", arn,
				iot_policy_action_name(request->action), prefix);
	request->scope = &parts->scope;
	request->resource = spans[POLICY_RESOURCE].data + strlen(prefix);
	return IOT_OK;
}
