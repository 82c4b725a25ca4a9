/*
 * From a document's text to its compiled form. Strict: whatever is not understood is
 * refused by name, with the statement it stands in, since a policy that is read otherwise
 * than it was meant is worse than none.
 */
#include "internal.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const document_members[] = {"Version", "Statement", NULL};
static const char *const statement_members[] = {"Sid", "Effect", "Action", "Resource", "Condition", NULL};
static const char *const foreign_members[] = {"NotAction", "NotResource", "Principal", "NotPrincipal", NULL};

static const char *find_name(const char *text, const char *const *names)
{
	for (size_t i = 0; names[i] != NULL; i++)
		if (strcmp(text, names[i]) == 0)
			return names[i];
	return NULL;
}

static enum iot_status check_members(const json_t *object, const char *const *known, const char *where,
				     struct iot_error *err)
{
	const char *key;
	const json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		const char *nearest;

		if (find_name(key, known) != NULL)
			continue;
		if (find_name(key, foreign_members) != NULL)
			return iot_fail(err, IOT_USAGE, "%s: '%s' is not part of an AWS IoT policy", where, key);
		(void)iot_fail(err, IOT_USAGE, "%s: unknown member '%s'", where, key);
		nearest = policy_nearest(key, known);
		if (nearest != NULL)
			iot_error_hint(err, "did you mean '%s'?", nearest);
		return IOT_USAGE;
	}
	return IOT_OK;
}

/* A string, or a list of strings, none empty: their number, 0 on failure. */
static size_t count_strings(const json_t *value, const char *member, const char *where, struct iot_error *err)
{
	size_t count = json_is_array(value) ? json_array_size(value) : 1;

	if (value == NULL) {
		(void)iot_fail(err, IOT_USAGE, "%s: '%s' is missing", where, member);
		return 0;
	}
	if (count == 0)
		(void)iot_fail(err, IOT_USAGE, "%s: '%s' is an empty list", where, member);
	for (size_t i = 0; i < count; i++) {
		const json_t *item = json_is_array(value) ? json_array_get(value, i) : value;

		if (json_is_string(item) && json_string_length(item) > 0)
			continue;
		(void)iot_fail(err, IOT_USAGE, "%s: '%s' %s", where, member,
			       json_is_string(item) ? "holds an empty string"
						    : "is neither a string nor a list of strings");
		return 0;
	}
	return count;
}

static const char *nth_string(const json_t *value, size_t i)
{
	return json_string_value(json_is_array(value) ? json_array_get(value, i) : value);
}

static enum iot_status parse_effect(const json_t *value, const char *where, struct policy_statement *statement,
				    struct iot_error *err)
{
	const char *effect = json_string_value(value);

	if (value == NULL)
		return iot_fail(err, IOT_USAGE, "%s: 'Effect' is missing", where);
	if (effect == NULL || (strcmp(effect, "Allow") != 0 && strcmp(effect, "Deny") != 0))
		return iot_fail(err, IOT_USAGE, "%s: 'Effect' is neither 'Allow' nor 'Deny'", where);
	statement->deny = strcmp(effect, "Deny") == 0;
	return IOT_OK;
}

/* Sids stand in logs: no control characters, bounded. */
static enum iot_status parse_sid(const json_t *value, const char *where, struct policy_statement *statement,
				 struct iot_error *err)
{
	const char *sid = json_string_value(value);

	if (value == NULL)
		return IOT_OK;
	if (sid == NULL)
		return iot_fail(err, IOT_USAGE, "%s: 'Sid' is not a string", where);
	for (size_t i = 0; sid[i] != '\0'; i++)
		if (!isprint((unsigned char)sid[i]))
			return iot_fail(err, IOT_USAGE, "%s: 'Sid' has other characters than printable ASCII", where);
	statement->sid = iot_strdup(sid);
	return IOT_OK;
}

static enum iot_status parse_actions(const json_t *value, const char *where, struct policy_statement *statement,
				     struct iot_error *err)
{
	static const struct iot_policy_vars no_vars;
	size_t count = count_strings(value, "Action", where, err);

	if (count == 0)
		return IOT_USAGE;
	statement->actions = iot_alloc_array(count, sizeof(*statement->actions));
	for (size_t i = 0; i < count; i++) {
		struct policy_action_pattern *action = &statement->actions[i];
		const char *text = nth_string(value, i);
		const char *colon = strchr(text, ':');
		enum iot_status status;

		if (strcmp(text, "*") != 0 && (colon == NULL || colon == text || colon[1] == '\0')) {
			(void)iot_fail(err, IOT_USAGE, "%s: action '%s' is not of the form SERVICE:NAME", where, text);
			iot_error_hint(err, "write it as iot:Publish");
			return IOT_USAGE;
		}
		status = policy_pattern_compile(text, strlen(text), POLICY_WILDCARDS, where, &action->pattern, err);
		if (status != IOT_OK)
			return status;
		action->source = iot_strdup(text);
		statement->action_count++;
		for (unsigned a = 0; a < IOT_POLICY_OTHER; a++) {
			const char *name = iot_policy_action_name(a);

			if (policy_pattern_match(&action->pattern, name, strlen(name), true, &no_vars))
				statement->actions_mask |= 1u << a;
		}
	}
	return IOT_OK;
}

static enum iot_status parse_resources(const json_t *value, bool variables, const char *where,
				       struct policy_statement *statement, struct iot_error *err)
{
	size_t count = count_strings(value, "Resource", where, err);
	unsigned flags = POLICY_WILDCARDS | (variables ? POLICY_VARIABLES : 0);
	IOT_CLEAN(iot_free_p) char *here = iot_strf("%s: resource", where);

	if (count == 0)
		return IOT_USAGE;
	statement->resources = iot_alloc_array(count, sizeof(*statement->resources));
	for (size_t i = 0; i < count; i++) {
		enum iot_status status =
			policy_arn_compile(nth_string(value, i), flags, here, &statement->resources[i], err);

		if (status != IOT_OK)
			return status;
		statement->resource_count++;
	}
	return IOT_OK;
}

static enum iot_status parse_conditions(json_t *value, bool variables, const char *where,
					struct policy_statement *statement, struct iot_error *err)
{
	const char *op, *key;
	json_t *keys, *values;

	if (value == NULL)
		return IOT_OK;
	if (!json_is_object(value))
		return iot_fail(err, IOT_USAGE, "%s: 'Condition' is not an object", where);
	json_object_foreach(value, op, keys) {
		if (!json_is_object(keys) || json_object_size(keys) == 0)
			return iot_fail(err, IOT_USAGE, "%s: condition '%s' is not an object with a key", where, op);
		json_object_foreach(keys, key, values) {
			struct policy_condition condition;
			enum iot_status status =
				policy_condition_compile(op, key, values, variables, where, &condition, err);

			if (status != IOT_OK)
				return status;
			statement->conditions =
				iot_realloc(statement->conditions,
					    (statement->condition_count + 1) * sizeof(*statement->conditions));
			statement->conditions[statement->condition_count++] = condition;
		}
	}
	return IOT_OK;
}

static enum iot_status parse_statement(json_t *value, bool variables, struct policy_statement *statement,
				       struct iot_error *err)
{
	char where[32];
	enum iot_status status;

	snprintf(where, sizeof(where), "statement %u", statement->number);
	if (!json_is_object(value))
		return iot_fail(err, IOT_USAGE, "%s: is not an object", where);
	status = check_members(value, statement_members, where, err);
	if (status == IOT_OK)
		status = parse_sid(json_object_get(value, "Sid"), where, statement, err);
	if (status == IOT_OK)
		status = parse_effect(json_object_get(value, "Effect"), where, statement, err);
	if (status == IOT_OK)
		status = parse_actions(json_object_get(value, "Action"), where, statement, err);
	if (status == IOT_OK)
		status = parse_resources(json_object_get(value, "Resource"), variables, where, statement, err);
	if (status == IOT_OK)
		status = parse_conditions(json_object_get(value, "Condition"), variables, where, statement, err);
	return status;
}

static enum iot_status parse_version(const json_t *value, struct iot_policy *policy, struct iot_error *err)
{
	const char *version = json_string_value(value);

	if (value == NULL)
		return IOT_OK; /* as "2008-10-17" */
	if (version != NULL && strcmp(version, "2012-10-17") == 0)
		policy->variables = true;
	else if (version == NULL || strcmp(version, "2008-10-17") != 0)
		return iot_fail(err, IOT_USAGE, "document: 'Version' is neither '2012-10-17' nor '2008-10-17'");
	return IOT_OK;
}

static enum iot_status parse_document(json_t *document, struct iot_policy *policy, struct iot_error *err)
{
	json_t *statements = json_object_get(document, "Statement");
	size_t count = json_is_array(statements) ? json_array_size(statements) : 1;
	enum iot_status status;

	if (!json_is_object(document))
		return iot_fail(err, IOT_USAGE, "document: is not an object");
	status = check_members(document, document_members, "document", err);
	if (status == IOT_OK)
		status = parse_version(json_object_get(document, "Version"), policy, err);
	if (status != IOT_OK)
		return status;
	if (statements == NULL || count == 0)
		return iot_fail(err, IOT_USAGE, "document: 'Statement' is %s",
				statements == NULL ? "missing" : "an empty list");
	policy->statements = iot_alloc_array(count, sizeof(*policy->statements));
	for (size_t i = 0; i < count && status == IOT_OK; i++) {
		json_t *value = json_is_array(statements) ? json_array_get(statements, i) : statements;

		policy->count = i + 1;
		policy->statements[i].number = (unsigned)policy->count;
		status = parse_statement(value, policy->variables, &policy->statements[i], err);
	}
	return status;
}

/* Characters, not bytes, and no white space. */
static size_t counted_size(const char *text, size_t len)
{
	size_t size = 0;

	for (size_t i = 0; i < len; i++)
		size += ((unsigned char)text[i] & 0xc0) != 0x80 && strchr(" \t\r\n", text[i]) == NULL;
	return size;
}

static bool has_dollar_brace(const char *text, size_t len)
{
	for (size_t i = 0; i + 1 < len; i++)
		if (text[i] == '$' && text[i + 1] == '{')
			return true;
	return false;
}

static enum iot_status parse(const char *text, size_t len, struct iot_policy *policy, struct iot_error *err)
{
	IOT_JSON document = NULL;
	enum iot_status status;

	if (len > IOT_POLICY_TEXT_MAX)
		return iot_fail(err, IOT_USAGE, "document: is %zu bytes long, %d at most", len, IOT_POLICY_TEXT_MAX);
	policy->size = counted_size(text, len);
	if (policy->size > IOT_POLICY_SIZE_MAX) {
		(void)iot_fail(err, IOT_USAGE, "document: has %zu characters without white space, %d at most",
			       policy->size, IOT_POLICY_SIZE_MAX);
		iot_error_hint(err, "split it into several policies");
		return IOT_USAGE;
	}
	status = iot_json_parse(text, len, "policy document", &document, err);
	if (status != IOT_OK)
		return status;
	status = parse_document(document, policy, err);
	policy->plain_dollar = !policy->variables && has_dollar_brace(text, len);
	return status;
}

enum iot_status iot_policy_parse(const char *text, size_t len, struct iot_policy **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = iot_alloc(sizeof(*policy));
	enum iot_status status = parse(text, len, policy, err);

	if (status != IOT_OK) {
		iot_error_set_code(err, "MalformedPolicyException");
		return status;
	}
	*ret = iot_take(policy);
	return IOT_OK;
}

static void statement_release(struct policy_statement *statement)
{
	for (size_t i = 0; i < statement->action_count; i++) {
		policy_pattern_release(&statement->actions[i].pattern);
		free(statement->actions[i].source);
	}
	for (size_t i = 0; i < statement->resource_count; i++)
		policy_arn_release(&statement->resources[i]);
	for (size_t i = 0; i < statement->condition_count; i++)
		policy_condition_release(&statement->conditions[i]);
	free(statement->actions);
	free(statement->resources);
	free(statement->conditions);
	free(statement->sid);
}

void iot_policy_free(struct iot_policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->count; i++)
		statement_release(&policy->statements[i]);
	free(policy->statements);
	free(policy);
}

void iot_policy_free_p(struct iot_policy **policy)
{
	iot_policy_free(*policy);
}

size_t iot_policy_size(const struct iot_policy *policy)
{
	return policy->size;
}
