/* Which variables and keys a request leaves without a value, for whom a denial puzzles. */
#include "internal.h"

#include "iotctl/json.h"

#include <string.h>

static void add_name(json_t *names, const struct policy_var *var)
{
	struct iot_buf name = IOT_BUF_INIT(IOT_POLICY_TEXT_MAX);
	const json_t *other;
	size_t i;
	bool known = false;

	policy_var_print(var, &name);
	json_array_foreach(names, i, other)
		known = known || strcmp(json_string_value(other), iot_buf_str(&name)) == 0;
	if (!known)
		json_array_append_new(names, json_string(iot_buf_str(&name)));
	iot_buf_release(&name);
}

static void add_pattern(json_t *names, const struct policy_pattern *pattern, const struct iot_policy_vars *vars)
{
	for (size_t i = 0; pattern->has_var && i < pattern->count; i++)
		if (pattern->items[i].kind == POLICY_ITEM_VAR && policy_var_value(&pattern->items[i].var, vars) == NULL)
			add_name(names, &pattern->items[i].var);
}

static void add_arn(json_t *names, const struct policy_arn *arn, const struct iot_policy_vars *vars)
{
	for (int p = 0; p < POLICY_PARTS; p++)
		add_pattern(names, &arn->part[p], vars);
}

static void add_condition(json_t *names, const struct policy_condition *condition, const struct policy_subject *subject)
{
	if (condition->key.id == POLICY_VAR_UNKNOWN || policy_condition_key_missing(condition, subject))
		add_name(names, &condition->key);
	for (size_t i = 0; i < condition->count; i++) {
		if (condition->op == POLICY_OP_ARN)
			add_arn(names, &condition->values[i].arn, subject->vars);
		else if (policy_condition_has_var(condition))
			add_pattern(names, &condition->values[i].pattern, subject->vars);
	}
}

static void add_statement(json_t *names, const struct policy_statement *statement, const struct policy_subject *subject)
{
	for (size_t i = 0; i < statement->resource_count; i++)
		add_arn(names, &statement->resources[i], subject->vars);
	for (size_t i = 0; i < statement->condition_count; i++)
		add_condition(names, &statement->conditions[i], subject);
}

json_t *iot_policy_missing(const struct iot_policy *const *policies, size_t count,
			   const struct iot_policy_request *request)
{
	json_t *names = json_array();
	struct policy_subject subject;

	if (!policy_subject_init(&subject, request))
		return names;
	for (size_t p = 0; p < count; p++)
		for (size_t s = 0; policies[p] != NULL && s < policies[p]->count; s++)
			if (policy_statement_acts(&policies[p]->statements[s], request))
				add_statement(names, &policies[p]->statements[s], &subject);
	return names;
}
