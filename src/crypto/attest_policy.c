/*
 * The policy that attestation tokens are held against: a JSON document, read
 * strictly so that a mistyped member does not allow more than was meant, and
 * made from signed images.
 */
#include "attest_private.h"

#include "crypto/internal.h"
#include "iotctl/image.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

#define RULES_MAX 64
#define DIGESTS_MAX 1024

/* --- reading ---------------------------------------------------------------------- */

static enum iot_status refuse_unknown(const json_t *object, const char *const *members, const char *where,
				      struct iot_error *err)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		bool known = false;

		for (size_t i = 0; members[i] != NULL; i++)
			known |= strcmp(members[i], key) == 0;
		if (!known)
			return iot_fail(err, IOT_USAGE, "%s has no member '%.60s'", where, key);
	}
	return IOT_OK;
}

/* A list of hex texts; size 0: 32, 48 or 64 bytes. */
static enum iot_status read_digests(const json_t *object, const char *key, size_t size, struct iot_attest_digests *ret,
				    struct iot_error *err)
{
	const json_t *list = json_object_get(object, key);
	size_t count = json_array_size(list);

	if (list == NULL)
		return IOT_OK;
	if (!json_is_array(list) || count == 0 || count > DIGESTS_MAX)
		return iot_fail(err, IOT_USAGE, "'%s' is not a list of 1 to %d hex texts", key, DIGESTS_MAX);
	ret->items = iot_alloc_array(count, sizeof(*ret->items));
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(list, i));
		struct iot_attest_digest *item = &ret->items[i];

		item->len = text != NULL ? strlen(text) / 2 : 0;
		if (text == NULL || strlen(text) % 2 != 0 ||
		    (size != 0 ? item->len != size : item->len != 32 && item->len != 48 && item->len != 64) ||
		    !iot_unhex(text, item->bytes, item->len))
			return iot_fail(err, IOT_USAGE, "'%s' has an element that is not %s bytes in hex: number %zu",
					key, size != 0 ? "32" : "32, 48 or 64", i + 1);
		ret->count++;
	}
	return IOT_OK;
}

static enum iot_status read_profiles(const json_t *object, struct iot_attest_policy *policy, struct iot_error *err)
{
	const json_t *list = json_object_get(object, "profiles");
	size_t i;
	json_t *item;

	if (list == NULL)
		return IOT_OK;
	json_array_foreach((json_t *)(uintptr_t)list, i, item) {
		for (int p = IOT_ATTEST_PSA_1; p <= IOT_ATTEST_RFC_9783; p++)
			if (json_is_string(item) &&
			    strcmp(json_string_value(item), iot_attest_profile_name((enum iot_attest_profile)p)) == 0)
				policy->profiles |= 1U << p;
	}
	if (policy->profiles == 0 || (size_t)__builtin_popcount(policy->profiles) != json_array_size(list))
		return iot_fail(err, IOT_USAGE, "'profiles' is not a list of %s, %s and %s",
				iot_attest_profile_name(IOT_ATTEST_PSA_1), iot_attest_profile_name(IOT_ATTEST_PSA_2),
				iot_attest_profile_name(IOT_ATTEST_RFC_9783));
	return IOT_OK;
}

static enum iot_status read_lifecycle(const json_t *object, struct iot_attest_policy *policy, struct iot_error *err)
{
	const json_t *list = json_object_get(object, "lifecycle");
	size_t i;
	json_t *item;

	if (list == NULL)
		return IOT_OK;
	policy->refuse_secured = true;
	json_array_foreach((json_t *)(uintptr_t)list, i, item) {
		const char *name = json_is_string(item) ? json_string_value(item) : "";

		if (strcmp(name, "secured") == 0)
			policy->refuse_secured = false;
		else if (strcmp(name, "non-psa-rot-debug") == 0)
			policy->allow_debug = true;
		else
			return iot_fail(err, IOT_USAGE,
					"lifecycle '%.40s' cannot be allowed: secured and non-psa-rot-debug can", name);
	}
	if (json_array_size(list) == 0)
		return iot_fail(err, IOT_USAGE, "'lifecycle' is not a list of names");
	return IOT_OK;
}

static enum iot_status read_client(const json_t *object, struct iot_attest_policy *policy, struct iot_error *err)
{
	static const char *const names[] = {
		[IOT_CLIENT_NON_SECURE] = "non-secure", [IOT_CLIENT_SECURE] = "secure", [IOT_CLIENT_ANY] = "any"};
	const json_t *client = json_object_get(object, "client");
	size_t i;
	json_t *item;

	if (client == NULL)
		return IOT_OK;
	for (size_t n = 0; json_is_string(client) && n < IOT_LENGTH(names); n++) {
		if (strcmp(json_string_value(client), names[n]) == 0) {
			policy->client = (enum iot_attest_client)n;
			return IOT_OK;
		}
	}
	policy->client = IOT_CLIENT_LISTED;
	policy->clients = iot_alloc_array(json_array_size(client) + 1, sizeof(*policy->clients));
	json_array_foreach((json_t *)(uintptr_t)client, i, item) {
		json_int_t id = json_integer_value(item);

		if (!json_is_integer(item) || id == 0 || id < INT32_MIN || id > INT32_MAX)
			break;
		policy->clients[policy->client_count++] = (int32_t)id;
	}
	if (policy->client_count == 0 || policy->client_count != json_array_size(client))
		return iot_fail(err, IOT_USAGE, "'client' is neither non-secure, secure, any nor a list of client ids");
	return IOT_OK;
}

static enum iot_status read_rule(const json_t *object, struct iot_attest_rule *rule, struct iot_error *err)
{
	static const char *const members[] = {"type", "signers", "measurements", "minVersion", "optional", NULL};
	int ignored;
	enum iot_status status;

	if (!json_is_object(object))
		return iot_fail(err, IOT_USAGE, "a rule for components is not an object");
	status = refuse_unknown(object, members, "a rule for components", err);
	if (status == IOT_OK)
		status = read_digests(object, "signers", 0, &rule->signers, err);
	if (status == IOT_OK)
		status = read_digests(object, "measurements", 0, &rule->measurements, err);
	if (status != IOT_OK)
		return status;
	rule->type = iot_strdup(iot_json_str(object, "type", NULL));
	rule->min_version = iot_strdup(iot_json_str(object, "minVersion", NULL));
	rule->optional = iot_json_bool(object, "optional", false);
	if ((json_object_get(object, "type") != NULL && rule->type == NULL) ||
	    (json_object_get(object, "optional") != NULL && !json_is_boolean(json_object_get(object, "optional"))))
		return iot_fail(err, IOT_USAGE, "a rule's type is not text, or optional not true or false");
	if (json_object_get(object, "minVersion") != NULL &&
	    (rule->min_version == NULL ||
	     !iot_attest_version_compare(rule->min_version, strlen(rule->min_version), "0", 1, &ignored)))
		return iot_fail(err, IOT_USAGE, "a rule's minVersion is not a version like 1.2.3");
	if (rule->measurements.count == 0 && rule->min_version == NULL)
		return iot_fail(err, IOT_USAGE, "a rule for components has neither measurements nor minVersion");
	if (rule->min_version != NULL && rule->signers.count == 0)
		return iot_fail(err, IOT_USAGE, "a rule with minVersion needs signers: anybody can claim a version");
	return IOT_OK;
}

static enum iot_status read_rules(const json_t *object, struct iot_attest_policy *policy, struct iot_error *err)
{
	const json_t *list = json_object_get(object, "components");
	const json_t *others = json_object_get(object, "otherComponents");
	const char *word = json_is_string(others) ? json_string_value(others) : "";
	size_t count = json_array_size(list);
	enum iot_status status = IOT_OK;

	policy->allow_others = strcmp(word, "allow") == 0;
	if (others != NULL && !policy->allow_others && strcmp(word, "refuse") != 0)
		return iot_fail(err, IOT_USAGE, "'otherComponents' is neither refuse nor allow");
	if (list == NULL)
		return IOT_OK;
	if (!json_is_array(list) || count == 0 || count > RULES_MAX)
		return iot_fail(err, IOT_USAGE, "'components' is not a list of 1 to %d rules", RULES_MAX);
	policy->rules = iot_alloc_array(count, sizeof(*policy->rules));
	for (size_t i = 0; status == IOT_OK && i < count; i++) {
		policy->rule_count++;
		status = read_rule(json_array_get(list, i), &policy->rules[i], err);
		if (status != IOT_OK)
			iot_error_while(err, "reading rule %zu", i + 1);
	}
	return status;
}

enum iot_status iot_attest_policy_parse(const char *text, size_t len, const char *subject,
					struct iot_attest_policy **ret, struct iot_error *err)
{
	static const char *const members[] = {
		"profiles", "lifecycle", "implementationIds", "client", "components", "otherComponents", NULL};
	IOT_CLEAN(iot_attest_policy_free_p) struct iot_attest_policy *policy = iot_alloc(sizeof(*policy));
	IOT_JSON object = NULL;
	enum iot_status status = iot_json_parse(text, len, subject, &object, err);

	if (status == IOT_OK && !json_is_object(object))
		status = iot_fail(err, IOT_USAGE, "'%s' is not an attestation policy: no JSON object", subject);
	if (status != IOT_OK)
		return status;
	status = refuse_unknown(object, members, "an attestation policy", err);
	if (status == IOT_OK)
		status = read_profiles(object, policy, err);
	if (status == IOT_OK)
		status = read_lifecycle(object, policy, err);
	if (status == IOT_OK)
		status = read_digests(object, "implementationIds", 32, &policy->implementations, err);
	if (status == IOT_OK)
		status = read_client(object, policy, err);
	if (status == IOT_OK)
		status = read_rules(object, policy, err);
	if (status == IOT_OK)
		*ret = iot_take(policy);
	else
		iot_error_while_at(err, "reading", subject);
	return status;
}

void iot_attest_policy_free(struct iot_attest_policy *policy)
{
	if (policy == NULL)
		return;
	for (size_t i = 0; i < policy->rule_count; i++) {
		free(policy->rules[i].type);
		free(policy->rules[i].min_version);
		free(policy->rules[i].signers.items);
		free(policy->rules[i].measurements.items);
	}
	free(policy->rules);
	free(policy->clients);
	free(policy->implementations.items);
	free(policy);
}

void iot_attest_policy_free_p(struct iot_attest_policy **policy)
{
	iot_attest_policy_free(*policy);
	*policy = NULL;
}

/* --- judging ---------------------------------------------------------------------- */

bool iot_attest_in(const struct iot_attest_digests *set, const struct iot_span *value)
{
	for (size_t i = 0; value->data != NULL && i < set->count; i++)
		if (set->items[i].len == value->len && memcmp(set->items[i].bytes, value->data, value->len) == 0)
			return true;
	return false;
}

/* The next number of a version, up to nine digits; *at moves behind it and its separator. */
static bool next_number(const char **at, const char *end, uint32_t *ret)
{
	const char *start = *at;
	uint32_t number = 0;

	for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
		if (*at - start == 9)
			return false;
		number = number * 10 + (uint32_t)(**at - '0');
	}
	if (*at == start || (*at < end && ((**at != '.' && **at != '+') || *at + 1 == end)))
		return false;
	*at += *at < end;
	*ret = number;
	return true;
}

bool iot_attest_version_compare(const char *a, size_t a_len, const char *b, size_t b_len, int *ret)
{
	const char *a_end = a + a_len, *b_end = b + b_len;
	int order = 0;

	if (a_len == 0 || b_len == 0)
		return false;
	while (a < a_end || b < b_end) {
		uint32_t x = 0, y = 0;

		if ((a < a_end && !next_number(&a, a_end, &x)) || (b < b_end && !next_number(&b, b_end, &y)))
			return false;
		if (order == 0)
			order = x < y ? -1 : x > y;
	}
	*ret = order;
	return true;
}

static bool type_fits(const struct iot_attest_rule *rule, const struct iot_attest_component *component)
{
	return rule->type == NULL || (component->type.data != NULL && component->type.len == strlen(rule->type) &&
				      memcmp(component->type.data, rule->type, component->type.len) == 0);
}

static bool meets(const struct iot_attest_rule *rule, const struct iot_attest_component *component)
{
	int order;

	if (rule->signers.count > 0 && !iot_attest_in(&rule->signers, &component->signer))
		return false;
	if (iot_attest_in(&rule->measurements, &component->measurement))
		return true;
	return rule->min_version != NULL && component->version.data != NULL &&
	       iot_attest_version_compare(component->version.data, component->version.len, rule->min_version,
					  strlen(rule->min_version), &order) &&
	       order >= 0;
}

/* What a component lacks to meet the rule. */
static const char *lack_of(const struct iot_attest_rule *rule, const struct iot_attest_component *component)
{
	if (rule->signers.count > 0 && !iot_attest_in(&rule->signers, &component->signer))
		return "its signer is none that the policy names";
	return rule->min_version != NULL ? "its version is too old, and its measurement none that the policy names"
					 : "its measurement is none that the policy names";
}

static void name_component(const struct iot_attest_claims *claims, size_t index, char out[80])
{
	const struct iot_attest_component *component = &claims->components[index];

	snprintf(out, 80, "component %zu (%.*s %.*s)", index + 1,
		 (int)(component->type.len < 20 ? component->type.len : 20),
		 component->type.data != NULL ? (const char *)component->type.data : "",
		 (int)(component->version.len < 20 ? component->version.len : 20),
		 component->version.data != NULL ? (const char *)component->version.data : "");
}

bool iot_attest_components_ok(const struct iot_attest_policy *policy, const struct iot_attest_claims *claims,
			      char detail[IOT_ATTEST_PROBLEM_MAX])
{
	bool met[RULES_MAX] = {false};
	char name[80];

	for (size_t c = 0; c < claims->component_count; c++) {
		const struct iot_attest_component *component = &claims->components[c];
		const struct iot_attest_rule *near = NULL;
		bool fits = false;

		for (size_t i = 0; i < policy->rule_count; i++) {
			if (!type_fits(&policy->rules[i], component))
				continue;
			near = near == NULL ? &policy->rules[i] : near;
			if (meets(&policy->rules[i], component))
				met[i] = fits = true;
		}
		if (fits || (near == NULL && policy->allow_others))
			continue;
		name_component(claims, c, name);
		snprintf(detail, IOT_ATTEST_PROBLEM_MAX, "%s: %s", name,
			 near != NULL ? lack_of(near, component) : "the policy has no rule for it");
		return false;
	}
	for (size_t i = 0; i < policy->rule_count; i++) {
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are rule_count of them */
		if (met[i] || policy->rules[i].optional)
			continue;
		snprintf(detail, IOT_ATTEST_PROBLEM_MAX, "no component meets rule %zu%s%.40s", i + 1,
			 policy->rules[i].type != NULL ? ", for " : "",
			 policy->rules[i].type != NULL ? policy->rules[i].type : "");
		return false;
	}
	snprintf(detail, IOT_ATTEST_PROBLEM_MAX, "%zu of %zu as the policy wants them", claims->component_count,
		 claims->component_count);
	return true;
}

/* --- making ----------------------------------------------------------------------- */

static json_t *rule_of_type(json_t *rules, const char *type)
{
	size_t i;
	json_t *rule;

	json_array_foreach(rules, i, rule) {
		const char *have = iot_json_str(rule, "type", NULL);

		if (have == NULL ? type == NULL : type != NULL && strcmp(have, type) == 0)
			return rule;
	}
	rule = json_object();
	iot_json_set_str(rule, "type", type);
	json_array_append_new(rules, rule);
	return rule;
}

static void add_hex(json_t *rule, const char *key, const uint8_t *data, size_t len)
{
	json_t *list = json_object_get(rule, key);
	char hex[129];
	size_t i;
	json_t *item;

	if (list == NULL)
		json_object_set_new(rule, key, list = json_array());
	iot_hex(data, len, hex);
	json_array_foreach(list, i, item) {
		if (strcmp(json_string_value(item), hex) == 0)
			return;
	}
	json_array_append_new(list, json_string(hex));
}

enum iot_status iot_attest_policy_add_image(json_t *policy, const char *path, const char *type, bool versions,
					    struct iot_error *err)
{
	struct iot_image_measurement measured;
	json_t *rules = json_object_get(policy, "components"), *rule;
	const char *before;
	int order = 1;
	enum iot_status status = iot_image_measure(path, &measured, err);

	if (status != IOT_OK)
		return status;
	if (measured.signer_len == 0) {
		iot_fail(err, IOT_USAGE, "'%s' does not say who signed it", path);
		iot_error_hint(err, "sign it with 'iotctl image sign', or take the image as imgtool signed it");
		return IOT_USAGE;
	}
	if (versions && measured.version[0] == '\0')
		return iot_fail(err, IOT_USAGE, "'%s' has no version", path);
	if (rules == NULL)
		json_object_set_new(policy, "components", rules = json_array());
	rule = rule_of_type(rules, type);
	add_hex(rule, "signers", measured.signer, measured.signer_len);
	add_hex(rule, "measurements", measured.measurement, measured.measurement_len);
	before = iot_json_str(rule, "minVersion", NULL);
	if (before != NULL)
		(void)iot_attest_version_compare(before, strlen(before), measured.version, strlen(measured.version),
						 &order);
	if (versions && order > 0)
		iot_json_set_str(rule, "minVersion", measured.version);
	return IOT_OK;
}
