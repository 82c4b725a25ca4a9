/*
 * Lint: how far an Allow reaches. Too far (any client id, every topic, other devices'
 * topics), or not at all (covered by a Deny).
 */
#include "internal.h"

#include "iotctl/base.h"

#include <string.h>

static const char *const broad_words[IOT_POLICY_OTHER] = {
	[IOT_POLICY_CONNECT] = "connect with any client id",
	[IOT_POLICY_PUBLISH] = "publish to every topic",
	[IOT_POLICY_RECEIVE] = "receive from every topic",
	[IOT_POLICY_SUBSCRIBE] = "subscribe to every topic",
	[IOT_POLICY_RETAIN_PUBLISH] = "retain messages on every topic",
};

/* Does a resource match every resource of the action's kind? */
static bool covers_kind(const struct policy_arn *arn, enum iot_policy_action action)
{
	struct policy_item items[] = {{.kind = POLICY_ITEM_TEXT,
				       .text = policy_kind_prefix[action],
				       .len = strlen(policy_kind_prefix[action])},
				      {.kind = POLICY_ITEM_ANY}};
	const struct policy_pattern every = {.items = items, .count = IOT_LENGTH(items)};

	return arn->everything || policy_pattern_covers(&arn->part[POLICY_RESOURCE], &every, false);
}

/* The broker's actions that an Allow opens for every resource, as a mask. */
static unsigned broad_actions(const struct policy_statement *statement)
{
	unsigned mask = 0;

	for (unsigned a = 0; a < IOT_POLICY_OTHER && !statement->deny; a++)
		for (size_t i = 0; i < statement->resource_count; i++)
			if ((statement->actions_mask & (1u << a)) != 0 && covers_kind(&statement->resources[i], a))
				mask |= 1u << a;
	return mask;
}

static void add_words(unsigned mask, struct iot_buf *out)
{
	for (unsigned a = 0; a < IOT_POLICY_OTHER; a++)
		if ((mask & (1u << a)) != 0)
			iot_buf_addf(out, "%s%s", out->len > 0 ? ", " : "", broad_words[a]);
}

static void lint_broad(json_t *findings, const struct policy_statement *statement)
{
	struct iot_buf words = IOT_BUF_INIT(1024);
	unsigned mask = broad_actions(statement);

	add_words(mask, &words);
	if (mask != 0)
		policy_lint_add(findings, false, "too-broad", statement->number,
				"name the device in the resource: ${iot:Connection.Thing.ThingName}", "allows to %s",
				iot_buf_str(&words));
	iot_buf_release(&words);
}

/* "topic/$aws/things/" followed by a wildcard within the thing's name, or a variable followed by one. */
static bool reaches_others(const struct policy_pattern *pattern, const char **ret_how)
{
	static const char *const kinds[] = {"topic/$aws/things/", "topicfilter/$aws/things/"};
	const struct policy_item *first = pattern->items;

	for (size_t k = 0; k < IOT_LENGTH(kinds) && pattern->count > 1; k++) {
		size_t len = strlen(kinds[k]);

		if (first->kind == POLICY_ITEM_TEXT && first->len >= len && memcmp(first->text, kinds[k], len) == 0 &&
		    memchr(first->text + len, '/', first->len - len) == NULL && first[1].kind == POLICY_ITEM_ANY) {
			*ret_how = "is a reserved topic of other devices too";
			return true;
		}
	}
	for (size_t i = 0; i + 1 < pattern->count; i++) {
		if (first[i].kind == POLICY_ITEM_VAR && first[i + 1].kind == POLICY_ITEM_ANY) {
			*ret_how = "reaches every name that only begins with the variable's value";
			return true;
		}
	}
	return false;
}

static void lint_others(json_t *findings, const struct policy_statement *statement)
{
	for (size_t i = 0; i < statement->resource_count && !statement->deny; i++) {
		const char *how;

		if (!statement->resources[i].everything &&
		    reaches_others(&statement->resources[i].part[POLICY_RESOURCE], &how))
			policy_lint_add(findings, false, "other-devices", statement->number,
					"end the device's name with a '/' before the '*'", "resource '%s' %s",
					statement->resources[i].source, how);
	}
}

/* Is every use of the resource by the statement's actions denied, whatever the request? */
static unsigned denied_by(const struct iot_policy *policy, const struct policy_action_pattern *action,
			  const struct policy_arn *arn)
{
	for (size_t s = 0; s < policy->count; s++) {
		const struct policy_statement *deny = &policy->statements[s];
		bool acts = false, covers = false;

		if (!deny->deny || deny->condition_count > 0)
			continue;
		for (size_t i = 0; i < deny->action_count; i++)
			acts = acts || policy_pattern_covers(&deny->actions[i].pattern, &action->pattern, true);
		for (size_t i = 0; i < deny->resource_count; i++)
			covers = covers || policy_arn_covers(&deny->resources[i], arn);
		if (acts && covers)
			return deny->number;
	}
	return 0;
}

static void lint_unreachable(json_t *findings, const struct iot_policy *policy,
			     const struct policy_statement *statement)
{
	for (size_t r = 0; r < statement->resource_count && !statement->deny; r++) {
		unsigned by = 0;

		for (size_t a = 0; a < statement->action_count; a++) {
			by = denied_by(policy, &statement->actions[a], &statement->resources[r]);
			if (by == 0)
				break;
		}
		if (by != 0)
			policy_lint_add(findings, true, "unreachable", statement->number, NULL,
					"the Deny of statement %u covers this Allow of '%s' wholly", by,
					statement->resources[r].source);
	}
}

void policy_lint_reach(json_t *findings, const struct iot_policy *policy, const struct policy_statement *statement)
{
	lint_broad(findings, statement);
	lint_others(findings, statement);
	lint_unreachable(findings, policy, statement);
}

static bool uses_client_id(const struct policy_statement *statement)
{
	for (size_t r = 0; r < statement->resource_count; r++) {
		const struct policy_pattern *pattern = &statement->resources[r].part[POLICY_RESOURCE];

		for (size_t i = 0; i < pattern->count; i++)
			if (pattern->items[i].kind == POLICY_ITEM_VAR &&
			    pattern->items[i].var.id == POLICY_VAR_CLIENT_ID)
				return true;
	}
	return false;
}

void policy_lint_whole(json_t *findings, const struct iot_policy *policy)
{
	const unsigned connect = 1u << IOT_POLICY_CONNECT, receive = 1u << IOT_POLICY_RECEIVE;
	const unsigned subscribe = 1u << IOT_POLICY_SUBSCRIBE;
	const unsigned everything = connect | receive | subscribe | 1u << IOT_POLICY_PUBLISH;
	unsigned broad = 0, allowed = 0, where = 0;
	struct iot_buf words = IOT_BUF_INIT(1024);

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_statement *statement = &policy->statements[i];

		broad |= broad_actions(statement);
		if (!statement->deny)
			allowed |= statement->actions_mask;
		if ((broad_actions(statement) & everything) == everything && where == 0)
			where = statement->number;
	}
	add_words(broad, &words);
	if ((broad & everything) == everything)
		policy_lint_add(findings, false, "grants-everything", where,
				"allow a device its own topics only, as the policy 'device' of a new fleet does",
				"grants everything: %s", iot_buf_str(&words));
	iot_buf_release(&words);
	for (size_t i = 0; i < policy->count && (broad & connect) != 0; i++)
		if (!policy->statements[i].deny && (policy->statements[i].actions_mask & ~connect) != 0 &&
		    uses_client_id(&policy->statements[i]))
			policy_lint_add(
				findings, false, "client-id-free", policy->statements[i].number,
				"use ${iot:Connection.Thing.ThingName}, or allow iot:Connect for known client ids only",
				"'${iot:ClientId}' protects nothing while any client id may connect, another "
				"device's or '+' among them");
	if ((allowed & subscribe) != 0 && (allowed & receive) == 0)
		policy_lint_add(findings, false, "no-receive", 0, "allow iot:Receive on the matching topic/ resources",
				"allows to subscribe, but nothing here allows to receive the messages");
}
