/*
 * Grants: what one client may do, read from the registry when it connects, and the
 * compiled policies that grants share.
 */
#include "registry_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"

#include <string.h>

/* More than AWS IoT's quotas let anyone attach (ten to a certificate, two to a group). */
#define POLICIES_MAX 64

/* A compiled policy version. */
struct document {
	struct document *next;
	/* Row ids can come back after a deletion; with number and time they cannot mean another document. */
	int64_t id, policy_id, version, created_at;
	int64_t opening; /* registry.opening when it was read */
	size_t uses;
	char *name;
	struct iot_policy *policy;
};

static const char sql_certificate[] = "SELECT c.status, c.not_after, t.id, y.name, t.attributes,"
				      " EXISTS (SELECT 1 FROM group_members WHERE thing_id = t.id) FROM certificates c"
				      " LEFT JOIN thing_principals p ON p.certificate_id = c.id"
				      "  AND p.thing_id = (SELECT id FROM things WHERE name = ?2)"
				      " LEFT JOIN things t ON t.id = p.thing_id"
				      " LEFT JOIN types y ON y.id = t.type_id"
				      " WHERE c.id = ?1";

#define SELECT_POLICIES "SELECT p.id, p.name, v.id, v.version, v.created_at FROM "
#define JOIN_VERSIONS " LEFT JOIN policy_versions v ON v.policy_id = p.id AND v.version = p.default_version"

static const char sql_thing[] = "SELECT t.id, t.id, t.id, y.name, t.attributes FROM things t"
				" LEFT JOIN types y ON y.id = t.type_id WHERE t.name = ?1";

/* Those of the certificate alone: the usual case, without temporary tables. */
static const char sql_policies[] =
	SELECT_POLICIES "policy_attachments a JOIN policies p ON p.id = a.policy_id" JOIN_VERSIONS
			" WHERE a.certificate_id = ?1 ORDER BY a.policy_id";

/* Those of the certificate, and those of the groups the thing is in, and of their parents. */
static const char sql_group_policies[] =
	"WITH RECURSIVE member(id) AS ("
	" SELECT group_id FROM group_members WHERE thing_id = ?2"
	" UNION SELECT parent_id FROM groups JOIN member ON groups.id = member.id WHERE parent_id IS NOT NULL),"
	" attached(id) AS ("
	" SELECT policy_id FROM policy_attachments WHERE certificate_id = ?1"
	" UNION SELECT policy_id FROM policy_attachments WHERE group_id IN (SELECT id FROM member)) " SELECT_POLICIES
	"attached JOIN policies p ON p.id = attached.id" JOIN_VERSIONS " ORDER BY p.id";

/* Those whose gateway it is; the second term is for the index. */
static const char sql_wards[] = "SELECT name FROM things WHERE json_extract(attributes, '$.gateway') = ?1"
				" AND json_extract(attributes, '$.gateway') IS NOT NULL ORDER BY name";

static const char sql_document[] = "SELECT document FROM policy_versions WHERE id = ?1";

/* --- compiled policies ------------------------------------------------------------ */

static void document_free(struct document *document)
{
	iot_policy_free(document->policy);
	free(document->name);
	free(document);
}

void registry_free_documents(struct registry *registry)
{
	for (size_t i = 0; i < REGISTRY_BUCKETS; i++) {
		struct document *next;

		for (struct document *document = registry->documents[i]; document != NULL; document = next) {
			next = document->next;
			document_free(document);
		}
	}
}

void registry_sweep(struct registry *registry)
{
	for (size_t i = 0; i < REGISTRY_BUCKETS; i++) {
		struct document **at = &registry->documents[i];

		while (*at != NULL) {
			struct document *document = *at;

			if (document->uses > 0) {
				at = &document->next;
				continue;
			}
			*at = document->next;
			document_free(document);
			registry->document_count--;
		}
	}
}

size_t registry_document_count(const struct registry *registry)
{
	return registry->document_count;
}

/* IOT_DENIED: the document does not parse, so nobody knows what it would have denied. */
static enum iot_status document_read(struct registry *registry, const struct document *key, const char *name,
				     struct document **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_policy_free_p) struct iot_policy *policy = NULL;
	struct document *document;
	enum iot_status status;
	const char *text;
	bool row = false;

	status = iot_stmt_query(registry->store, &stmt, &row, err, sql_document, "i", key->id);
	if (status != IOT_OK)
		return status;
	text = row ? iot_stmt_text(stmt, 0) : NULL;
	if (text == NULL) /* deleted since it was named: the epoch has changed too */
		return iot_fail(err, IOT_AGAIN, "policy '%s' was changed just now", name);
	if (iot_policy_parse(text, strlen(text), &policy, err) != IOT_OK) {
		iot_error_while(err, "reading policy '%s'", name);
		return IOT_DENIED;
	}
	document = iot_alloc(sizeof(*document));
	*document = *key;
	document->opening = registry->opening;
	document->name = iot_strdup(name);
	document->policy = iot_take(policy);
	document->next = registry->documents[(size_t)key->id % REGISTRY_BUCKETS];
	registry->documents[(size_t)key->id % REGISTRY_BUCKETS] = document;
	registry->document_count++;
	*ret = document;
	return IOT_OK;
}

static enum iot_status document_get(struct registry *registry, const struct document *key, const char *name,
				    struct document **ret, struct iot_error *err)
{
	struct document *at = registry->documents[(size_t)key->id % REGISTRY_BUCKETS];

	for (; at != NULL; at = at->next) {
		if (at->id == key->id && at->policy_id == key->policy_id && at->version == key->version &&
		    at->created_at == key->created_at && at->opening == registry->opening) {
			*ret = at;
			return IOT_OK;
		}
	}
	return document_read(registry, key, name, ret, err);
}

/* --- grants --------------------------------------------------------------------------- */

/* The thing's part of the grant, from a row of sql_certificate. */
static enum iot_status read_thing(struct iot_stmt *stmt, struct grant *grant, struct iot_error *err)
{
	const char *attributes = iot_stmt_text(stmt, 4);
	enum iot_status status;

	grant->is_thing = true;
	grant->thing_type = iot_strdup(iot_stmt_text(stmt, 3));
	if (attributes == NULL || strcmp(attributes, "{}") == 0)
		return IOT_OK;
	status = iot_json_parse(attributes, strlen(attributes), "attributes", &grant->attributes, err);
	if (status != IOT_OK || !json_is_object(grant->attributes))
		return iot_fail(err, IOT_DENIED, "the thing's attributes are damaged");
	return IOT_OK;
}

static enum iot_status read_certificate(struct registry *registry, const char *certificate_id, const char *client_id,
					struct grant *grant, int64_t *ret_grouped_thing, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	const char *state;
	bool row = false;

	status = iot_stmt_query(registry->store, &stmt, &row, err, sql_certificate, "ss", certificate_id, client_id);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_fail(err, IOT_DENIED, "the certificate is not registered");
	state = iot_stmt_text(stmt, 0);
	if (state == NULL || strcmp(state, "ACTIVE") != 0)
		return iot_fail(err, IOT_DENIED, "the certificate is %s", state == NULL ? "without status" : state);
	grant->not_after = iot_stmt_int(stmt, 1);
	if (grant->not_after <= iot_now_ms())
		return iot_fail(err, IOT_DENIED, "the certificate has expired");
	*ret_grouped_thing = iot_stmt_int(stmt, 5) != 0 ? iot_stmt_int(stmt, 2) : -1;
	return iot_stmt_is_null(stmt, 2) ? IOT_OK : read_thing(stmt, grant, err);
}

static enum iot_status add_policy(struct registry *registry, struct iot_stmt *stmt, struct document **list,
				  size_t *count, struct iot_error *err)
{
	struct document key = {.policy_id = iot_stmt_int(stmt, 0),
			       .id = iot_stmt_int(stmt, 2),
			       .version = iot_stmt_int(stmt, 3),
			       .created_at = iot_stmt_int(stmt, 4)};
	const char *name = iot_stmt_text(stmt, 1);
	enum iot_status status;

	if (*count == POLICIES_MAX)
		return iot_fail(err, IOT_DENIED, "more than %d policies are attached", POLICIES_MAX);
	if (name == NULL || iot_stmt_is_null(stmt, 2))
		return iot_fail(err, IOT_DENIED, "policy '%s' has no default version", name == NULL ? "" : name);
	status = document_get(registry, &key, name, &list[*count], err);
	if (status == IOT_OK && list[*count] != NULL)
		list[(*count)++]->uses++;
	return status;
}

/* grouped_thing: the thing, if it is in a group, or -1. */
static enum iot_status read_policies(struct registry *registry, const char *certificate_id, int64_t grouped_thing,
				     struct grant *grant, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct document *list[POLICIES_MAX] = {NULL};
	enum iot_status status;
	bool row = true;

	status = iot_stmt_get(registry->store, grouped_thing < 0 ? sql_policies : sql_group_policies, &stmt, err);
	if (status == IOT_OK && grouped_thing < 0)
		status = iot_stmt_bind(stmt, err, "s", certificate_id);
	else if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "si", certificate_id, grouped_thing);
	while (status == IOT_OK) {
		status = iot_stmt_step(stmt, &row, err);
		if (status != IOT_OK || !row)
			break;
		status = add_policy(registry, stmt, list, &grant->count, err);
	}
	if (grant->count == 0)
		return status;
	/* Also after a fault, so that grant_release() gives back what was taken. */
	grant->documents = iot_alloc_array(grant->count, sizeof(void *));
	grant->policies = iot_alloc_array(grant->count, sizeof(void *));
	for (size_t i = 0; i < grant->count; i++) {
		grant->documents[i] = list[i];
		grant->policies[i] = list[i] != NULL ? list[i]->policy : NULL;
	}
	return status;
}

static enum iot_status read_wards(struct registry *registry, const char *gateway, struct grant *grant,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(registry->store, &stmt, &row, err, sql_wards, "s", gateway);

	while (status == IOT_OK && row) {
		if ((grant->ward_count & (grant->ward_count - 1)) == 0)
			grant->wards = iot_realloc(grant->wards, 2 * (grant->ward_count + 1) * sizeof(*grant->wards));
		grant->wards[grant->ward_count++] = iot_strdup(iot_stmt_text(stmt, 0));
		status = iot_stmt_step(stmt, &row, err);
	}
	return status;
}

const char *grant_ward(const struct grant *grant, const char *topic, int level)
{
	size_t low = 0, high = grant->ward_count, len;

	for (; level > 0 && topic != NULL; level--) {
		topic = strchr(topic, '/');
		topic = topic != NULL ? topic + 1 : NULL;
	}
	if (level < 0 || topic == NULL)
		return NULL;
	len = strcspn(topic, "/");
	while (low < high) {
		size_t middle = (low + high) / 2;
		const char *at = grant->wards[middle];
		int order = strncmp(at, topic, len);

		if (order == 0 && at[len] == '\0')
			return at;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

enum iot_status registry_read(struct registry *registry, const char *certificate_id, const char *client_id,
			      struct grant *ret, struct iot_error *err)
{
	struct grant grant = {0};
	enum iot_status status;
	int64_t grouped_thing = -1;

	status = read_certificate(registry, certificate_id, client_id, &grant, &grouped_thing, err);
	if (status == IOT_OK)
		status = read_policies(registry, certificate_id, grouped_thing, &grant, err);
	if (status == IOT_OK && grant.is_thing)
		status = read_wards(registry, client_id, &grant, err);
	if (status != IOT_OK) {
		grant_release(&grant);
		return status;
	}
	*ret = grant;
	return IOT_OK;
}

enum iot_status registry_read_thing(struct registry *registry, const char *thing, const char *client_id,
				    struct grant *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct grant grant = {.not_after = INT64_MAX};
	int64_t thing_id = -1;
	bool row = false;
	enum iot_status status = iot_stmt_query(registry->store, &stmt, &row, err, sql_thing, "s", thing);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_fail(err, IOT_DENIED, "there is no device '%s'", thing);
	thing_id = iot_stmt_int(stmt, 0);
	if (strcmp(client_id, thing) == 0)
		status = read_thing(stmt, &grant, err);
	/* No certificate has an empty id: what is left are the policies of the thing's groups. */
	if (status == IOT_OK)
		status = read_policies(registry, "", thing_id, &grant, err);
	if (status == IOT_OK && grant.count == 0)
		status = iot_fail(err, IOT_DENIED, "device '%s' is in no group that has a policy", thing);
	if (status != IOT_OK) {
		grant_release(&grant);
		return status;
	}
	*ret = grant;
	return IOT_OK;
}

void grant_release(struct grant *grant)
{
	for (size_t i = 0; i < grant->count; i++)
		grant->documents[i]->uses--;
	free(grant->documents);
	free(grant->policies);
	free(grant->thing_type);
	free(grant->birth);
	for (size_t i = 0; i < grant->ward_count; i++)
		free(grant->wards[i]);
	free(grant->wards);
	json_decref(grant->attributes);
	*grant = (struct grant){0};
}

const char *grant_policy_name(const struct grant *grant, size_t index)
{
	return grant->documents[index]->name;
}
