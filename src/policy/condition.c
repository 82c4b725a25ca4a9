/*
 * Conditions: one operator over one key with its values. Compiled so that judging one needs
 * no allocation; whatever cannot be judged falls to the safe side (iotctl/policy.h).
 */
#include "internal.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
	const char *name;
	enum policy_op op;
	bool negated;
} operators[] = {
	{"StringEquals", POLICY_OP_EQUALS, false},
	{"StringNotEquals", POLICY_OP_EQUALS, true},
	{"StringEqualsIgnoreCase", POLICY_OP_EQUALS_IGNORE_CASE, false},
	{"StringNotEqualsIgnoreCase", POLICY_OP_EQUALS_IGNORE_CASE, true},
	{"StringLike", POLICY_OP_LIKE, false},
	{"StringNotLike", POLICY_OP_LIKE, true},
	{"Bool", POLICY_OP_BOOL, false},
	{"IpAddress", POLICY_OP_IP, false},
	{"NotIpAddress", POLICY_OP_IP, true},
	{"ArnEquals", POLICY_OP_ARN, false}, /* IAM: behaves as ArnLike */
	{"ArnLike", POLICY_OP_ARN, false},
	{"ArnNotEquals", POLICY_OP_ARN, true},
	{"ArnNotLike", POLICY_OP_ARN, true},
	{"Null", POLICY_OP_NULL, false},
};

const char *const policy_known_ops[] = {"StringEquals",
					"StringNotEquals",
					"StringEqualsIgnoreCase",
					"StringNotEqualsIgnoreCase",
					"StringLike",
					"StringNotLike",
					"Bool",
					"IpAddress",
					"NotIpAddress",
					"ArnEquals",
					"ArnLike",
					"ArnNotEquals",
					"ArnNotLike",
					"Null",
					NULL};

static void parse_operator(const char *name, struct policy_condition *condition)
{
	size_t len;

	if (iot_starts_with(name, "ForAnyValue:")) {
		condition->set = POLICY_SET_ANY;
		name += strlen("ForAnyValue:");
	} else if (iot_starts_with(name, "ForAllValues:")) {
		condition->set = POLICY_SET_ALL;
		name += strlen("ForAllValues:");
	}
	len = strlen(name);
	if (iot_ends_with(name, "IfExists")) {
		condition->if_exists = true;
		len -= strlen("IfExists");
	}
	for (size_t i = 0; i < IOT_LENGTH(operators); i++) {
		if (strlen(operators[i].name) == len && strncmp(operators[i].name, name, len) == 0) {
			condition->op = operators[i].op;
			condition->negated = operators[i].negated;
		}
	}
	if (condition->op == POLICY_OP_NULL && (condition->if_exists || condition->set != POLICY_SET_NONE))
		condition->op = POLICY_OP_UNKNOWN;
}

/* An address, or one with "/BITS"; `text` of an address alone when `bits_allowed` is false. */
static bool parse_address(const char *text, bool bits_allowed, struct policy_cidr *ret)
{
	struct policy_cidr cidr = {0};
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	int64_t bits;

	if (len >= sizeof(address) || (slash != NULL && !bits_allowed))
		return false;
	memcpy(address, text, len);
	address[len] = '\0';
	cidr.family = strchr(address, ':') == NULL ? AF_INET : AF_INET6;
	if (inet_pton(cidr.family, address, cidr.address) != 1)
		return false;
	cidr.bits = cidr.family == AF_INET ? 32 : 128;
	if (slash != NULL) {
		if (iot_parse_int(slash + 1, 0, cidr.bits, &bits, NULL) != IOT_OK)
			return false;
		cidr.bits = (unsigned)bits;
	} else if (cidr.family == AF_INET6 && memcmp(cidr.address, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0) {
		memmove(cidr.address, cidr.address + 12, 4); /* an IPv4 client of an IPv6 socket */
		cidr.family = AF_INET;
		cidr.bits = 32;
	}
	*ret = cidr;
	return true;
}

static bool cidr_holds(const struct policy_cidr *cidr, const struct policy_cidr *address)
{
	unsigned bytes = cidr->bits / 8, rest = cidr->bits % 8;

	if (cidr->family != address->family || memcmp(cidr->address, address->address, bytes) != 0)
		return false;
	return rest == 0 || ((cidr->address[bytes] ^ address->address[bytes]) >> (8 - rest)) == 0;
}

static enum iot_status compile_value(const struct policy_condition *condition, const char *text, bool variables,
				     const char *where, union policy_value *ret, struct iot_error *err)
{
	unsigned flags = variables ? POLICY_VARIABLES : 0;
	bool truth = strcasecmp(text, "true") == 0;

	switch (condition->op) {
	case POLICY_OP_IP:
		if (!parse_address(text, true, &ret->cidr))
			return iot_fail(err, IOT_USAGE, "%s '%s' is neither an address nor a CIDR block", where, text);
		return IOT_OK;
	case POLICY_OP_ARN:
		return policy_arn_compile(text, flags | POLICY_WILDCARDS, where, &ret->arn, err);
	case POLICY_OP_NULL:
		ret->truth = truth;
		break;
	case POLICY_OP_BOOL:
		break;
	default:
		return policy_pattern_compile(text, strlen(text),
					      flags | (condition->op == POLICY_OP_LIKE ? POLICY_WILDCARDS : 0), where,
					      &ret->pattern, err);
	}
	if (!truth && strcasecmp(text, "false") != 0)
		return iot_fail(err, IOT_USAGE, "%s '%s' is neither true nor false", where, text);
	return condition->op == POLICY_OP_NULL
		       ? IOT_OK
		       : policy_pattern_compile(text, strlen(text), 0, where, &ret->pattern, err);
}

/* A value's text: a string, or true and false without quotes where they fit; NULL for anything else. */
static const char *value_text(const struct policy_condition *condition, const json_t *value)
{
	bool truth_wanted = condition->op == POLICY_OP_BOOL || condition->op == POLICY_OP_NULL;

	if (truth_wanted && json_is_boolean(value))
		return json_is_true(value) ? "true" : "false";
	return json_string_value(value);
}

static enum iot_status compile_values(const json_t *values, bool variables, const char *where,
				      struct policy_condition *condition, struct iot_error *err)
{
	size_t count = json_is_array(values) ? json_array_size(values) : 1;

	if (count == 0)
		return iot_fail(err, IOT_USAGE, "%s: the list of values is empty", where);
	if (condition->op == POLICY_OP_UNKNOWN)
		return IOT_OK;
	condition->values = iot_alloc_array(count, sizeof(*condition->values));
	for (size_t i = 0; i < count; i++) {
		const char *text = value_text(condition, json_is_array(values) ? json_array_get(values, i) : values);
		enum iot_status status;

		if (text == NULL)
			return iot_fail(err, IOT_USAGE, "%s: a value is not a string", where);
		status = compile_value(condition, text, variables, where, &condition->values[i], err);
		if (status != IOT_OK)
			return status;
		condition->count++;
	}
	return IOT_OK;
}

enum iot_status policy_condition_compile(const char *op, const char *key, const json_t *values, bool variables,
					 const char *where, struct policy_condition *ret, struct iot_error *err)
{
	struct policy_condition condition = {0};
	IOT_CLEAN(iot_free_p) char *here = iot_strf("%s: condition '%s' of '%s'", where, op, key);
	enum iot_status status;

	parse_operator(op, &condition);
	policy_var_parse(key, strlen(key), &condition.key);
	condition.op_name = iot_strdup(op);
	condition.key_name = iot_strdup(key);
	status = compile_values(values, variables, here, &condition, err);
	if (status != IOT_OK) {
		policy_condition_release(&condition);
		return status;
	}
	*ret = condition;
	return IOT_OK;
}

static bool holds_pattern(enum policy_op op)
{
	return op == POLICY_OP_EQUALS || op == POLICY_OP_EQUALS_IGNORE_CASE || op == POLICY_OP_LIKE ||
	       op == POLICY_OP_BOOL;
}

void policy_condition_release(struct policy_condition *condition)
{
	for (size_t i = 0; i < condition->count; i++) {
		if (holds_pattern(condition->op))
			policy_pattern_release(&condition->values[i].pattern);
		else if (condition->op == POLICY_OP_ARN)
			policy_arn_release(&condition->values[i].arn);
	}
	free(condition->values);
	free(condition->op_name);
	free(condition->key_name);
	policy_var_release(&condition->key);
	*condition = (struct policy_condition){0};
}

bool policy_condition_has_var(const struct policy_condition *condition)
{
	for (size_t i = 0; i < condition->count; i++) {
		if (holds_pattern(condition->op) && condition->values[i].pattern.has_var)
			return true;
		if (condition->op == POLICY_OP_ARN && policy_arn_has_var(&condition->values[i].arn))
			return true;
	}
	return false;
}

static bool value_resolves(const struct policy_condition *condition, const union policy_value *value,
			   const struct iot_policy_vars *vars)
{
	if (holds_pattern(condition->op))
		return policy_pattern_resolves(&value->pattern, vars);
	for (int p = 0; condition->op == POLICY_OP_ARN && p < POLICY_PARTS; p++)
		if (!policy_pattern_resolves(&value->arn.part[p], vars))
			return false;
	return true;
}

/* The request's values of a key. */
struct key_values {
	bool present; /* the key exists, if only as an empty list */
	bool unfit;   /* it exists, but cannot be told */
	size_t count;
	const char *values[POLICY_FIELD_VALUES];
	char arn[IOT_POLICY_RESOURCE_MAX]; /* backs iot:LastWillTopic */
};

static void add_value(struct key_values *values, const char *value)
{
	if (value == NULL)
		return;
	values->present = true;
	values->values[values->count++] = value;
}

static void last_will_arn(const struct policy_subject *subject, struct key_values *ret)
{
	const struct iot_policy_scope *scope = subject->scope;
	int len;

	if (subject->vars->last_will_topic == NULL)
		return;
	len = snprintf(ret->arn, sizeof(ret->arn), "arn:%s:iot:%s:%s:topic/%s", scope->partition, scope->region,
		       scope->account, subject->vars->last_will_topic);
	ret->unfit = len < 0 || (size_t)len >= sizeof(ret->arn);
	add_value(ret, ret->arn);
}

static void key_values(const struct policy_var *key, const struct policy_subject *subject, struct key_values *ret)
{
	const struct iot_policy_vars *vars = subject->vars;
	bool connecting = subject->request->action == IOT_POLICY_CONNECT;

	ret->present = ret->unfit = false;
	ret->count = 0;
	switch (key->id) {
	case POLICY_KEY_CONNECT_ATTRIBUTES:
		ret->present = connecting;
		if (connecting && vars->persistent)
			add_value(ret, "PersistentConnect");
		if (connecting && vars->last_will)
			add_value(ret, "LastWill");
		break;
	case POLICY_KEY_LAST_WILL_TOPIC:
		if (connecting)
			last_will_arn(subject, ret);
		break;
	case POLICY_VAR_CERTIFICATE_FIELD:
		/* As it stands in the certificate: here nothing is put into a pattern. */
		for (unsigned i = 0; i < POLICY_FIELD_VALUES; i++)
			if (key->list || i == key->index)
				add_value(ret, policy_field_value(vars, key->name, i));
		break;
	case POLICY_VAR_THING_ATTRIBUTE:
		add_value(ret, json_string_value(json_object_get(vars->attributes, key->name)));
		break;
	default:
		add_value(ret, policy_var_value(key, vars));
		break;
	}
}

/* A request's value, made ready for the operator; false if it cannot be what the operator compares. */
struct operand {
	struct policy_span text;
	struct policy_cidr address;
	struct policy_span parts[POLICY_PARTS];
};

static bool operand_init(struct operand *operand, enum policy_op op, const char *text)
{
	operand->text = (struct policy_span){text, strlen(text)};
	if (op == POLICY_OP_IP)
		return parse_address(text, false, &operand->address);
	if (op == POLICY_OP_ARN)
		return policy_arn_split(text, operand->text.len, false, operand->parts);
	return true;
}

static bool matches_some(const struct policy_condition *condition, const struct operand *operand,
			 const struct iot_policy_vars *vars)
{
	for (size_t i = 0; i < condition->count; i++) {
		const union policy_value *value = &condition->values[i];
		bool ignore_case = condition->op == POLICY_OP_EQUALS_IGNORE_CASE || condition->op == POLICY_OP_BOOL;
		bool match;

		if (condition->op == POLICY_OP_IP)
			match = cidr_holds(&value->cidr, &operand->address);
		else if (condition->op == POLICY_OP_ARN)
			match = policy_arn_match(&value->arn, operand->parts, vars);
		else
			match = policy_pattern_match(&value->pattern, operand->text.data, operand->text.len,
						     ignore_case, vars);
		if (match)
			return true;
	}
	return false;
}

static bool holds_without_value(const struct policy_condition *condition, bool deny, bool present)
{
	if (condition->if_exists)
		return true;
	switch (condition->set) {
	case POLICY_SET_ALL:
		return present || condition->negated || deny; /* true of an empty list; a missing key grants nothing */
	case POLICY_SET_ANY:
		return condition->negated && deny;
	case POLICY_SET_NONE:
		break;
	}
	return condition->negated;
}

bool policy_condition_holds(const struct policy_condition *condition, bool deny, const struct policy_subject *subject)
{
	struct key_values values;
	bool some = false, every = true;

	if (condition->op == POLICY_OP_UNKNOWN || condition->key.id == POLICY_VAR_UNKNOWN)
		return deny;
	key_values(&condition->key, subject, &values);
	if (values.unfit)
		return deny;
	if (condition->op == POLICY_OP_NULL) {
		for (size_t i = 0; i < condition->count; i++)
			some = some || condition->values[i].truth == (values.count == 0);
		return some;
	}
	if (values.count == 0)
		return holds_without_value(condition, deny, values.present);
	for (size_t i = 0; condition->negated && i < condition->count; i++)
		if (!value_resolves(condition, &condition->values[i], subject->vars))
			return false;
	for (size_t i = 0; i < values.count; i++) {
		struct operand operand;
		bool match;

		if (!operand_init(&operand, condition->op, values.values[i]))
			return deny;
		match = matches_some(condition, &operand, subject->vars);
		some = some || match;
		every = every && match;
	}
	if (condition->set == POLICY_SET_ANY)
		return condition->negated ? !every : some;
	if (condition->set == POLICY_SET_ALL)
		return condition->negated ? !some : every;
	return condition->negated ? !some : some;
}

bool policy_condition_key_missing(const struct policy_condition *condition, const struct policy_subject *subject)
{
	struct key_values values;

	key_values(&condition->key, subject, &values);
	return values.count == 0;
}
