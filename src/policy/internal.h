/*
 * The compiled form of a policy, shared by the files of this folder only.
 *
 * text -> parse.c -> statements of { actions, resources, conditions }, made of patterns (pattern.c,
 * arn.c) over variables (names.c); decide.c and condition.c judge them, lint*.c read them.
 */
#ifndef IOTCTL_POLICY_INTERNAL_H
#define IOTCTL_POLICY_INTERNAL_H

#include "iotctl/policy.h"

#include <stdint.h>

enum policy_var_id {
	POLICY_VAR_UNKNOWN,
	POLICY_VAR_CLIENT_ID,
	POLICY_VAR_CERTIFICATE_ID,
	POLICY_VAR_CERTIFICATE_SERIAL,
	POLICY_VAR_CERTIFICATE_FIELD, /* name, index, list */
	POLICY_VAR_SOURCE_IP,
	POLICY_VAR_DOMAIN,
	POLICY_VAR_THING_NAME,
	POLICY_VAR_THING_TYPE,
	POLICY_VAR_THING_ATTRIBUTE, /* name */
	POLICY_VAR_THING_ATTACHED,
	POLICY_KEY_CONNECT_ATTRIBUTES, /* condition keys that are no variables */
	POLICY_KEY_LAST_WILL_TOPIC
};

#define POLICY_FIELD_VALUES 5 /* of one certificate field; further ones do not count */

struct policy_var {
	enum policy_var_id id;
	unsigned index; /* of a repeated certificate field */
	bool list;      /* all values of a certificate field */
	char *name;     /* field or attribute name; what was written, if unknown */
};

void policy_var_parse(const char *text, size_t len, struct policy_var *ret);
void policy_var_release(struct policy_var *var);
/* The spelling of the document, as far as it is kept; out is appended to. */
void policy_var_print(const struct policy_var *var, struct iot_buf *out);
/* What goes into a pattern, or NULL: no value, or one that must not be put in. */
const char *policy_var_value(const struct policy_var *var, const struct iot_policy_vars *vars);
/* The i-th value of a certificate field, or NULL. */
const char *policy_field_value(const struct iot_policy_vars *vars, const char *name, unsigned index);

/* The nearest of `names` (NULL-terminated) when `text` looks like a misspelling of it, else NULL. */
const char *policy_nearest(const char *text, const char *const *names);
extern const char *const policy_known_vars[];

enum policy_item_kind { POLICY_ITEM_TEXT, POLICY_ITEM_ANY, POLICY_ITEM_ONE, POLICY_ITEM_VAR };

struct policy_item {
	enum policy_item_kind kind;
	const char *text; /* POLICY_ITEM_TEXT: in the pattern's text */
	size_t len;
	struct policy_var var; /* POLICY_ITEM_VAR */
};

struct policy_pattern {
	struct policy_item *items; /* no two ANY in a row */
	size_t count;
	char *text; /* literal bytes of all items */
	bool any;   /* is just "*" */
	bool has_var;
};

#define POLICY_WILDCARDS 1u /* * and ? match; else they are plain */
#define POLICY_VARIABLES 2u /* ${...} is replaced; else it is plain */

/* `where` begins the message: "statement 2: resource". */
IOT_CHECK enum iot_status policy_pattern_compile(const char *text, size_t len, unsigned flags, const char *where,
						 struct policy_pattern *ret, struct iot_error *err);
void policy_pattern_release(struct policy_pattern *pattern);
bool policy_pattern_match(const struct policy_pattern *pattern, const char *text, size_t len, bool ignore_case,
			  const struct iot_policy_vars *vars);
/* Every variable in it has a value. */
bool policy_pattern_resolves(const struct policy_pattern *pattern, const struct iot_policy_vars *vars);
/* Everything that `inner` can match, whatever the variables stand for, `outer` matches too (may miss some). */
bool policy_pattern_covers(const struct policy_pattern *outer, const struct policy_pattern *inner, bool ignore_case);

enum { POLICY_PARTITION, POLICY_SERVICE, POLICY_REGION, POLICY_ACCOUNT, POLICY_RESOURCE, POLICY_PARTS };

struct policy_span {
	const char *data;
	size_t len;
};

struct policy_arn {
	char *source;
	bool everything; /* "*" */
	struct policy_pattern part[POLICY_PARTS];
};

/* The parts of "arn:...", colons within ${} not counted when `variables`; false if there are fewer. */
bool policy_arn_split(const char *text, size_t len, bool variables, struct policy_span parts[POLICY_PARTS]);
IOT_CHECK enum iot_status policy_arn_compile(const char *text, unsigned flags, const char *where,
					     struct policy_arn *ret, struct iot_error *err);
void policy_arn_release(struct policy_arn *arn);
bool policy_arn_match(const struct policy_arn *arn, const struct policy_span parts[POLICY_PARTS],
		      const struct iot_policy_vars *vars);
bool policy_arn_has_var(const struct policy_arn *arn);
bool policy_arn_covers(const struct policy_arn *outer, const struct policy_arn *inner);

enum policy_op {
	POLICY_OP_UNKNOWN,
	POLICY_OP_EQUALS,
	POLICY_OP_EQUALS_IGNORE_CASE,
	POLICY_OP_LIKE,
	POLICY_OP_BOOL,
	POLICY_OP_IP,
	POLICY_OP_ARN,
	POLICY_OP_NULL
};

enum policy_set { POLICY_SET_NONE, POLICY_SET_ANY, POLICY_SET_ALL };

struct policy_cidr {
	int family; /* AF_INET or AF_INET6 */
	unsigned bits;
	uint8_t address[16];
};

union policy_value {
	struct policy_pattern pattern; /* strings and Bool */
	struct policy_arn arn;
	struct policy_cidr cidr;
	bool truth; /* Null */
};

struct policy_condition {
	enum policy_op op;
	enum policy_set set;
	bool negated;
	bool if_exists;
	char *op_name;
	char *key_name;
	struct policy_var key;
	union policy_value *values; /* NULL for an unknown operator */
	size_t count;
};

struct policy_subject;

IOT_CHECK enum iot_status policy_condition_compile(const char *op, const char *key, const json_t *values,
						   bool variables, const char *where, struct policy_condition *ret,
						   struct iot_error *err);
void policy_condition_release(struct policy_condition *condition);
bool policy_condition_holds(const struct policy_condition *condition, bool deny, const struct policy_subject *subject);
bool policy_condition_has_var(const struct policy_condition *condition);
/* The request has no value for the condition's key (an empty list is none). */
bool policy_condition_key_missing(const struct policy_condition *condition, const struct policy_subject *subject);
extern const char *const policy_known_ops[];

struct policy_action_pattern {
	char *source;
	struct policy_pattern pattern;
};

struct policy_statement {
	unsigned number;
	char *sid;
	bool deny;
	unsigned actions_mask; /* 1 << enum iot_policy_action */
	struct policy_action_pattern *actions;
	size_t action_count;
	struct policy_arn *resources;
	size_t resource_count;
	struct policy_condition *conditions;
	size_t condition_count;
};

struct iot_policy {
	struct policy_statement *statements;
	size_t count;
	size_t size;
	bool variables;    /* Version 2012-10-17 */
	bool plain_dollar; /* "${" stands in a document that has no variables */
};

/* A request made ready to be compared. */
struct policy_subject {
	const struct iot_policy_request *request;
	const struct iot_policy_vars *vars;
	const struct iot_policy_scope *scope;
	struct policy_span parts[POLICY_PARTS];
	char resource[IOT_POLICY_RESOURCE_MAX + 16];
};

/* False if the request cannot be judged (no resource, or one that is too long): then nothing is allowed. */
bool policy_subject_init(struct policy_subject *subject, const struct iot_policy_request *request);
bool policy_statement_acts(const struct policy_statement *statement, const struct iot_policy_request *request);

/* "client/", "topic/", "topicfilter/", by action. */
extern const char *const policy_kind_prefix[IOT_POLICY_OTHER];

/* Append one finding. `hint` may be NULL. */
void policy_lint_add(json_t *findings, bool error, const char *rule, unsigned statement, const char *hint,
		     const char *fmt, ...) IOT_PRINTF(6, 7);
/* lint_reach.c: what a policy opens too far, and what it opens in vain. */
void policy_lint_reach(json_t *findings, const struct iot_policy *policy, const struct policy_statement *statement);
void policy_lint_whole(json_t *findings, const struct iot_policy *policy);

#endif
