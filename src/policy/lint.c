/*
 * Lint: what in a policy cannot work as it is written. Variables, conditions, ARNs of
 * elsewhere, actions and kinds that do not fit; what reaches too far is in lint_reach.c.
 */
#include "internal.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void policy_lint_add(json_t *findings, bool error, const char *rule, unsigned statement, const char *hint,
		     const char *fmt, ...)
{
	json_t *finding = json_object();
	char message[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	/* A message that was cut in the middle of a character would be no JSON string. */
	for (size_t len = strlen(message); len > 0 && json_object_get(finding, "message") == NULL; len--) {
		message[len] = '\0';
		json_object_set_new(finding, "message", json_string(message));
	}
	json_object_set_new(finding, "severity", json_string(error ? "error" : "warning"));
	json_object_set_new(finding, "rule", json_string(rule));
	iot_json_set_int(finding, "statement", statement);
	iot_json_set_str(finding, "hint", hint);
	json_array_append_new(findings, finding);
}

struct lint {
	json_t *findings;
	const struct iot_policy *policy;
	const struct iot_policy_lint *context;
	const struct policy_statement *statement;
};

static void lint_variable(const struct lint *lint, const struct policy_var *var)
{
	const struct iot_policy_vars *vars = lint->context->vars;
	unsigned number = lint->statement->number;
	struct iot_buf name = IOT_BUF_INIT(IOT_POLICY_TEXT_MAX);

	policy_var_print(var, &name);
	if (var->id == POLICY_VAR_UNKNOWN) {
		const char *nearest = policy_nearest(iot_buf_str(&name), policy_known_vars);
		IOT_CLEAN(iot_free_p) char *hint = nearest == NULL ? NULL : iot_strf("did you mean '${%s}'?", nearest);

		policy_lint_add(lint->findings, true, "unknown-variable", number, hint,
				"variable '${%s}' is not known: what uses it never matches", iot_buf_str(&name));
	} else if (var->list || var->id == POLICY_KEY_CONNECT_ATTRIBUTES || var->id == POLICY_KEY_LAST_WILL_TOPIC) {
		policy_lint_add(lint->findings, true, "unknown-variable", number, "use it as the key of a condition",
				"'%s' is a condition key and no variable: what uses it never matches",
				iot_buf_str(&name));
	} else if (vars != NULL && policy_var_value(var, vars) == NULL) {
		policy_lint_add(lint->findings, false, "no-value", number, NULL,
				"variable '${%s}' has no value for this device: what uses it does not match",
				iot_buf_str(&name));
	}
	iot_buf_release(&name);
}

static void lint_pattern(const struct lint *lint, const struct policy_pattern *pattern)
{
	for (size_t i = 0; pattern->has_var && i < pattern->count; i++)
		if (pattern->items[i].kind == POLICY_ITEM_VAR)
			lint_variable(lint, &pattern->items[i].var);
}

static void lint_arn_variables(const struct lint *lint, const struct policy_arn *arn)
{
	for (int p = 0; p < POLICY_PARTS; p++)
		lint_pattern(lint, &arn->part[p]);
}

static void lint_operator(const struct lint *lint, const struct policy_condition *condition)
{
	const char *base = strchr(condition->op_name, ':');
	const char *nearest;
	IOT_CLEAN(iot_free_p) char *hint = NULL;

	if (condition->op != POLICY_OP_UNKNOWN)
		return;
	nearest = policy_nearest(base == NULL ? condition->op_name : base + 1, policy_known_ops);
	hint = nearest == NULL ? NULL : iot_strf("did you mean '%s'?", nearest);
	policy_lint_add(lint->findings, true, "unknown-operator", lint->statement->number, hint,
			"condition operator '%s' is not known: this %s", condition->op_name,
			lint->statement->deny ? "Deny ignores the condition" : "Allow never matches");
}

static void lint_key(const struct lint *lint, const struct policy_condition *condition)
{
	const struct policy_statement *statement = lint->statement;
	unsigned connect = 1u << IOT_POLICY_CONNECT;
	bool of_connect =
		condition->key.id == POLICY_KEY_CONNECT_ATTRIBUTES || condition->key.id == POLICY_KEY_LAST_WILL_TOPIC;

	if (condition->key.id == POLICY_VAR_UNKNOWN) {
		const char *nearest = policy_nearest(condition->key_name, policy_known_vars);
		IOT_CLEAN(iot_free_p) char *hint = nearest == NULL ? NULL : iot_strf("did you mean '%s'?", nearest);

		policy_lint_add(lint->findings, true, "unknown-key", statement->number, hint,
				"condition key '%s' is not known: this %s", condition->key_name,
				statement->deny ? "Deny ignores the condition" : "Allow never matches");
	} else if (of_connect && (statement->actions_mask & connect) == 0) {
		policy_lint_add(lint->findings, true, "key-never-present", statement->number,
				"move it to a statement for iot:Connect",
				"condition key '%s' exists only for iot:Connect", condition->key_name);
	}
}

static void lint_conditions(const struct lint *lint)
{
	for (size_t i = 0; i < lint->statement->condition_count; i++) {
		const struct policy_condition *condition = &lint->statement->conditions[i];

		lint_operator(lint, condition);
		lint_key(lint, condition);
		for (size_t v = 0; v < condition->count && policy_condition_has_var(condition); v++) {
			if (condition->op == POLICY_OP_ARN)
				lint_arn_variables(lint, &condition->values[v].arn);
			else
				lint_pattern(lint, &condition->values[v].pattern);
		}
	}
}

static void lint_deny(const struct lint *lint)
{
	const struct policy_statement *statement = lint->statement;
	bool has_var = false;

	if (!statement->deny)
		return;
	for (size_t i = 0; i < statement->resource_count; i++)
		has_var = has_var || policy_arn_has_var(&statement->resources[i]);
	for (size_t i = 0; i < statement->condition_count; i++)
		has_var = has_var || policy_condition_has_var(&statement->conditions[i]);
	if (has_var)
		policy_lint_add(lint->findings, false, "deny-variable", statement->number,
				"deny with wildcards, or allow less instead",
				"this Deny falls away when one of its variables has no value");
	if (lint->context->on_group)
		policy_lint_add(
			lint->findings, false, "deny-on-group", statement->number,
			"put the Deny into a policy attached to the certificate",
			"a group's policy counts only while the client id is the thing's name: with another client "
			"id this Deny falls away");
}

static void lint_scope(const struct lint *lint, const struct policy_arn *arn)
{
	const struct iot_policy_scope *scope = lint->context->scope;
	static const char *const names[] = {"partition", "service", "region", "account"};
	const char *here[4] = {NULL, "iot", NULL, NULL};
	static const struct iot_policy_vars no_vars;

	if (scope != NULL) {
		here[POLICY_PARTITION] = scope->partition;
		here[POLICY_REGION] = scope->region;
		here[POLICY_ACCOUNT] = scope->account;
	}
	for (int p = POLICY_PARTITION; p < POLICY_RESOURCE && !arn->everything; p++) {
		IOT_CLEAN(iot_free_p) char *hint = NULL;

		if (here[p] == NULL || arn->part[p].has_var ||
		    policy_pattern_match(&arn->part[p], here[p], strlen(here[p]), false, &no_vars))
			continue;
		hint = iot_strf("write '%s' or '*' there", here[p]);
		policy_lint_add(lint->findings, true, "other-scope", lint->statement->number, hint,
				"resource '%s' is of another %s: it never matches here", arn->source, names[p]);
	}
}

/* The actions (as a mask) that a resource's text begins to fit; `ret_known` false for a kind like "job/". */
static unsigned kind_actions(const struct policy_arn *arn, bool *ret_known)
{
	const struct policy_item *first = arn->part[POLICY_RESOURCE].items;
	unsigned mask = 0;

	*ret_known = true;
	if (arn->everything || first->kind != POLICY_ITEM_TEXT)
		return ~0u;
	for (unsigned a = 0; a < IOT_POLICY_OTHER; a++) {
		size_t len = strlen(policy_kind_prefix[a]);

		if (strncmp(first->text, policy_kind_prefix[a], first->len < len ? first->len : len) == 0 &&
		    (first->len >= len || arn->part[POLICY_RESOURCE].count > 1))
			mask |= 1u << a;
	}
	*ret_known = mask != 0;
	return mask;
}

/* Nothing but the broker's five actions, patterns of them counted or not: others have kinds of their own. */
static bool only_broker_actions(const struct policy_statement *statement, bool patterns)
{
	for (size_t i = 0; i < statement->action_count; i++) {
		const char *source = statement->actions[i].source;

		if (iot_policy_action_parse(source) == IOT_POLICY_OTHER && !(patterns && strpbrk(source, "*?") != NULL))
			return false;
	}
	return true;
}

static void lint_kinds(const struct lint *lint)
{
	const struct policy_statement *statement = lint->statement;
	unsigned fitted = 0;

	for (size_t i = 0; i < statement->resource_count; i++) {
		bool known;
		unsigned mask = kind_actions(&statement->resources[i], &known);

		fitted |= mask;
		if ((mask & statement->actions_mask) == 0 && only_broker_actions(statement, known))
			policy_lint_add(
				lint->findings, true, "unused-kind", statement->number,
				"iot:Connect goes with client/, iot:Publish, iot:Receive and iot:RetainPublish with "
				"topic/, iot:Subscribe with topicfilter/",
				"no action of the statement uses a resource like '%s'", statement->resources[i].source);
	}
	for (size_t i = 0; i < statement->action_count; i++) {
		enum iot_policy_action action = iot_policy_action_parse(statement->actions[i].source);

		if (action != IOT_POLICY_OTHER && (fitted & (1u << action)) == 0)
			policy_lint_add(lint->findings, true, "action-without-resource", statement->number, NULL,
					"'%s' needs a resource of kind '%s', and the statement has none",
					statement->actions[i].source, policy_kind_prefix[action]);
	}
}

static void lint_actions(const struct lint *lint)
{
	static const char *const names[] = {"iot:Connect",   "iot:Publish",       "iot:Receive",
					    "iot:Subscribe", "iot:RetainPublish", NULL};

	for (size_t i = 0; i < lint->statement->action_count; i++) {
		const char *source = lint->statement->actions[i].source;
		const char *nearest = policy_nearest(source, names);
		IOT_CLEAN(iot_free_p) char *hint = NULL;

		if (nearest == NULL || strpbrk(source, "*?") != NULL || strcasecmp(source, nearest) == 0)
			continue;
		hint = iot_strf("did you mean '%s'?", nearest);
		policy_lint_add(lint->findings, true, "unknown-action", lint->statement->number, hint,
				"the broker knows no action '%s'", source);
	}
}

static bool is_level(const char *text, size_t len, size_t i)
{
	return (i == 0 || text[i - 1] == '/') && (i + 1 == len || text[i + 1] == '/');
}

/* A '+' or '#' that stands where MQTT would take it for a wildcard. */
static void lint_mqtt_wildcards(const struct lint *lint, const struct policy_arn *arn)
{
	const char *source = arn->source;
	const char *topic = strstr(source, ":topic/");
	const char *filter = strstr(source, ":topicfilter/");
	const char *text = topic != NULL ? topic : filter;
	size_t len;

	if (arn->everything || text == NULL)
		return;
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		if ((text[i] != '+' && text[i] != '#') || !is_level(text, len, i))
			continue;
		if (topic != NULL)
			policy_lint_add(lint->findings, true, "mqtt-wildcard", lint->statement->number,
					"write '*' for any run of characters",
					"'%c' in '%s' is a plain character in a policy, and no topic can hold it",
					text[i], source);
		else
			policy_lint_add(
				lint->findings, false, "mqtt-wildcard", lint->statement->number,
				"write '*' to allow every filter below",
				"'%c' in '%s' is a plain character in a policy: just the filter spelled so is meant",
				text[i], source);
		return;
	}
}

static void lint_statement(const struct lint *lint)
{
	const struct policy_statement *statement = lint->statement;

	lint_actions(lint);
	lint_kinds(lint);
	for (size_t i = 0; i < statement->resource_count; i++) {
		lint_scope(lint, &statement->resources[i]);
		lint_mqtt_wildcards(lint, &statement->resources[i]);
		lint_arn_variables(lint, &statement->resources[i]);
	}
	lint_conditions(lint);
	lint_deny(lint);
	policy_lint_reach(lint->findings, lint->policy, statement);
}

json_t *iot_policy_lint(const struct iot_policy *policy, const struct iot_policy_lint *context)
{
	static const struct iot_policy_lint no_context;
	struct lint lint = {json_array(), policy, context != NULL ? context : &no_context, NULL};

	if (policy->size > IOT_POLICY_SIZE_MAX / 10 * 9)
		policy_lint_add(lint.findings, false, "size", 0, "split it into several policies",
				"the document has %zu of at most %d characters", policy->size, IOT_POLICY_SIZE_MAX);
	if (policy->plain_dollar)
		policy_lint_add(lint.findings, true, "no-version", 0, "add \"Version\": \"2012-10-17\"",
				"without Version 2012-10-17 '${' is plain text, and variables are not replaced");
	policy_lint_whole(lint.findings, policy);
	for (size_t i = 0; i < policy->count; i++) {
		lint.statement = &policy->statements[i];
		lint_statement(&lint);
	}
	return lint.findings;
}
