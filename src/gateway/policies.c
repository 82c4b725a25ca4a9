/*
 * What a child may run: by the registry, where a policy is assigned to it, its
 * groups or its type, else by the files that the gateway was started with. Documents are
 * parsed once as long as the registry's epoch stands still.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

/* --- files -------------------------------------------------------------------------------- */

static enum iot_status read_policy(const char *text, struct attest_rule *ret, struct iot_error *err)
{
	const char *equals = strchr(text, '=');
	const char *path = equals != NULL ? equals + 1 : text;
	struct iot_buf document = IOT_BUF_INIT(IOT_ATTEST_POLICY_MAX);
	enum iot_status status = iot_fs_read(path, &document, err);

	if (status == IOT_OK)
		status = iot_attest_policy_parse(iot_buf_str(&document), document.len, path, &ret->policy, err);
	if (status == IOT_OK && equals != NULL)
		ret->name = iot_strndup(text, (size_t)(equals - text));
	iot_buf_release(&document);
	return status;
}

enum iot_status gateway_read_policies(struct gateway *gateway, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	gateway->rules = iot_alloc_array(gateway->options->policy_count + 1, sizeof(*gateway->rules));
	for (size_t i = 0; i < gateway->options->policy_count && status == IOT_OK; i++) {
		status = read_policy(gateway->options->policies[i], &gateway->rules[i], err);
		gateway->rule_count += status == IOT_OK;
	}
	return status;
}

static const struct iot_attest_policy *by_option(const struct gateway *gateway, const struct child *child)
{
	const struct iot_attest_policy *by_type = NULL, *for_all = NULL;

	for (size_t i = 0; i < gateway->rule_count; i++) {
		const struct attest_rule *rule = &gateway->rules[i];

		if (rule->name == NULL)
			for_all = for_all != NULL ? for_all : rule->policy;
		else if (strcmp(rule->name, child->thing) == 0)
			return rule->policy;
		else if (by_type == NULL && strcmp(rule->name, child->type) == 0)
			by_type = rule->policy;
	}
	return by_type != NULL ? by_type : for_all;
}

/* --- the registry --------------------------------------------------------------------------- */

/* The text counts, too: the registry may have changed since it was looked at last. */
static enum iot_status parsed(struct gateway *gateway, const char *name, const char *document,
			      const struct iot_attest_policy **ret, struct iot_error *err)
{
	struct attest_document *entry = gateway->documents;
	struct iot_attest_policy *policy = NULL;
	enum iot_status status;

	while (entry != NULL && (strcmp(entry->name, name) != 0 || strcmp(entry->text, document) != 0))
		entry = entry->next;
	if (entry != NULL) {
		*ret = entry->policy;
		return IOT_OK;
	}
	status = iot_attest_policy_parse(document, strlen(document), name, &policy, err);
	if (status != IOT_OK)
		return status;
	entry = iot_alloc(sizeof(*entry));
	entry->name = iot_strdup(name);
	entry->text = iot_strdup(document);
	entry->policy = policy;
	entry->next = gateway->documents;
	gateway->documents = entry;
	*ret = policy;
	return IOT_OK;
}

void gateway_forget_documents(struct gateway *gateway)
{
	struct attest_document *entry;

	while ((entry = gateway->documents) != NULL) {
		gateway->documents = entry->next;
		free(entry->name);
		free(entry->text);
		iot_attest_policy_free(entry->policy);
		free(entry);
	}
}

/* By which a session knows that it was let in under other policies than there are now. */
static void mark(struct child *child, const json_t *policies)
{
	IOT_CLEAN(iot_free_p) char *text = iot_json_text(policies);
	uint8_t digest[IOT_SHA256_SIZE];

	iot_sha256(text, strlen(text), digest);
	iot_hex(digest, sizeof(digest), child->policy_mark);
}

enum iot_status gateway_find_policies(struct gateway *gateway, struct child *child, struct iot_error *err)
{
	IOT_JSON request = json_pack("{s:s}", "thingName", child->thing);
	IOT_JSON reply = NULL;
	const json_t *policies, *one;
	size_t i;
	enum iot_status status = iot_cloud_call(gateway->cloud, "iotctl:GetEffectiveAttestationPolicies", request, NULL,
						&reply, NULL, err);

	if (status != IOT_OK)
		return status;
	policies = json_object_get(reply, "policies");
	child->policy_count = 0;
	child->policies = iot_realloc(child->policies, (json_array_size(policies) + 1) * sizeof(*child->policies));
	json_array_foreach(policies, i, one) {
		status = parsed(gateway, iot_json_str(one, "policyName", ""), iot_json_str(one, "policyDocument", ""),
				&child->policies[child->policy_count], err);
		if (status != IOT_OK)
			return status;
		child->policy_count++;
	}
	if (child->policy_count == 0)
		child->policies[child->policy_count++] = by_option(gateway, child);
	mark(child, policies);
	return IOT_OK;
}
