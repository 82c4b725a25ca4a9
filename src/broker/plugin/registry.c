/*
 * Reading the registry: one certificate's grant when its client connects, the
 * compiled policies that grants share, and whether anything has changed since.
 *
 * The file is opened read only and stays open. It is never opened by other means
 * than SQLite: closing any other descriptor of it would drop SQLite's locks. That
 * it is still the file of that name is seen from its device and inode numbers.
 */
#include "plugin.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The plugin runs inside the broker's only thread: it cannot wait long for a writer. */
#define BUSY_MS 50
/* More than AWS IoT's quotas let anyone attach (ten to a certificate, two to a group). */
#define POLICIES_MAX 64
#define BUCKETS 256

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

/* A topic on which services must know who says what. */
struct heard {
	char *filter;
	int thing_level;
};

struct registry {
	char *path;
	struct iot_store *store; /* NULL: could not be opened again */
	dev_t device;
	ino_t inode;
	int64_t opening; /* how often the file was opened */
	int64_t data_version, epoch, generation;
	bool suspect;
	struct document *documents[BUCKETS];
	size_t document_count;
	struct heard *heard;
	size_t heard_count;
};

static const char sql_epoch[] = "SELECT value FROM epoch WHERE one = 1";

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

static const char sql_device_key[] = "SELECT k.expires_at FROM device_keys k JOIN things t ON t.id = k.thing_id"
				     " WHERE k.key_id = ?1 AND t.name = ?2";

static const char sql_bound[] = "SELECT json_extract(attributes, '$.gateway') = ?2 FROM things WHERE name = ?1";

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

/* One view of the registry for several readings; nothing is ever written. */
static const char sql_begin[] = "BEGIN";
static const char sql_end[] = "COMMIT";

/* Those whose gateway it is; the second term is for the index. */
static const char sql_wards[] = "SELECT name FROM things WHERE json_extract(attributes, '$.gateway') = ?1"
				" AND json_extract(attributes, '$.gateway') IS NOT NULL ORDER BY name";

static const char sql_document[] = "SELECT document FROM policy_versions WHERE id = ?1";

static const char sql_status[] = "SELECT status FROM certificates WHERE id = ?1";

static const char sql_issuers[] = "SELECT pem FROM ca_certificates WHERE subject = ?1 AND status = 'ACTIVE'";

static const char sql_certificate_pem[] = "SELECT pem FROM certificates WHERE id = ?1";
static const char sql_last_pem[] =
	"SELECT c.pem FROM presence p JOIN certificates c ON c.id = p.certificate_id WHERE p.client_id = ?1";

static const char sql_topics[] = "SELECT filter, thing_level FROM topics LIMIT 1000";

static const char sql_last_connection[] = "SELECT max(connection) FROM presence";

/* --- opening, and noticing changes ------------------------------------------------- */

static enum iot_status check_file(const struct registry *registry, struct stat *st, struct iot_error *err)
{
	if (stat(registry->path, st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read registry '%s'", registry->path);
	if (!S_ISREG(st->st_mode) || st->st_size < 512)
		return iot_fail(err, IOT_FAILURE, "registry '%s' is damaged", registry->path);
	if (access(registry->path, R_OK) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read registry '%s'", registry->path);
	return IOT_OK;
}

static enum iot_status open_store(struct registry *registry, const struct stat *st, struct iot_error *err)
{
	enum iot_status status;

	iot_store_close_p(&registry->store);
	status = iot_store_open(registry->path, &iot_registry_schema, IOT_STORE_READ, &registry->store, err);
	if (status != IOT_OK)
		return status;
	iot_store_set_busy_ms(registry->store, BUSY_MS);
	registry->device = st->st_dev;
	registry->inode = st->st_ino;
	registry->opening++;
	registry->suspect = true;
	registry->data_version = -1;
	return IOT_OK;
}

static enum iot_status read_epoch(struct registry *registry, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_get(registry->store, sql_epoch, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_fail(err, IOT_FAILURE, "registry '%s' is damaged: it has no epoch", registry->path);
	*ret = iot_stmt_int(stmt, 0);
	return IOT_OK;
}

static void free_heard(struct heard *heard, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(heard[i].filter);
	free(heard);
}

static enum iot_status read_heard(struct registry *registry, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	struct heard *heard = NULL;
	size_t count = 0;
	bool row = false;
	enum iot_status status = iot_stmt_get(registry->store, sql_topics, &stmt, err);

	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		heard = iot_realloc(heard, (count + 1) * sizeof(*heard));
		heard[count++] = (struct heard){iot_strdup(iot_stmt_text(stmt, 0)), (int)iot_stmt_int(stmt, 1)};
	}
	if (status != IOT_OK) {
		free_heard(heard, count);
		return status;
	}
	free_heard(registry->heard, registry->heard_count);
	registry->heard = heard;
	registry->heard_count = count;
	return IOT_OK;
}

bool registry_is_heard(const struct registry *registry, const char *topic, int *ret_thing_level)
{
	bool heard = false;

	for (size_t i = 0; i < registry->heard_count; i++) {
		if (!iot_topic_matches(registry->heard[i].filter, topic))
			continue;
		*ret_thing_level = !heard || registry->heard[i].thing_level == *ret_thing_level
					   ? registry->heard[i].thing_level
					   : -1;
		heard = true;
	}
	return heard;
}

enum iot_status registry_refresh(struct registry *registry, struct iot_error *err)
{
	struct stat st;
	enum iot_status status = check_file(registry, &st, err);
	int64_t data_version = 0, epoch = 0;

	if (status != IOT_OK)
		return status;
	if (registry->store == NULL || st.st_dev != registry->device || st.st_ino != registry->inode) {
		status = open_store(registry, &st, err);
		if (status != IOT_OK)
			return status;
	}
	status = iot_store_data_version(registry->store, &data_version, err);
	if (status != IOT_OK)
		return status;
	if (data_version == registry->data_version && !registry->suspect)
		return IOT_OK;
	status = read_epoch(registry, &epoch, err);
	if (status == IOT_OK && (epoch != registry->epoch || registry->suspect))
		status = read_heard(registry, err);
	if (status != IOT_OK)
		return status;
	if (epoch != registry->epoch || registry->suspect)
		registry->generation++;
	registry->data_version = data_version;
	registry->epoch = epoch;
	registry->suspect = false;
	return IOT_OK;
}

enum iot_status registry_open(const char *path, struct registry **ret, struct iot_error *err)
{
	struct registry *registry = iot_alloc(sizeof(*registry));
	enum iot_status status;

	registry->path = iot_strdup(path);
	status = registry_refresh(registry, err);
	if (status != IOT_OK) {
		registry_free(registry);
		return status;
	}
	*ret = registry;
	return IOT_OK;
}

int64_t registry_generation(const struct registry *registry)
{
	return registry->generation;
}

void registry_suspect(struct registry *registry)
{
	registry->suspect = true;
}

/* --- compiled policies ------------------------------------------------------------ */

static void document_free(struct document *document)
{
	iot_policy_free(document->policy);
	free(document->name);
	free(document);
}

void registry_sweep(struct registry *registry)
{
	for (size_t i = 0; i < BUCKETS; i++) {
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
	document->next = registry->documents[(size_t)key->id % BUCKETS];
	registry->documents[(size_t)key->id % BUCKETS] = document;
	registry->document_count++;
	*ret = document;
	return IOT_OK;
}

static enum iot_status document_get(struct registry *registry, const struct document *key, const char *name,
				    struct document **ret, struct iot_error *err)
{
	struct document *at = registry->documents[(size_t)key->id % BUCKETS];

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

enum iot_status registry_begin(struct registry *registry, struct iot_error *err)
{
	if (registry->store == NULL)
		return iot_fail(err, IOT_FAILURE, "registry '%s' cannot be read", registry->path);
	return iot_store_run(registry->store, NULL, err, sql_begin, "");
}

void registry_end(struct registry *registry)
{
	if (iot_store_run(registry->store, NULL, NULL, sql_end, "") != IOT_OK)
		iot_store_rollback(registry->store);
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

enum iot_status registry_device_key(struct registry *registry, const char *thing, const char *key_id,
				    int64_t *ret_until, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(registry->store, &stmt, &row, err, sql_device_key, "ss", key_id, thing);
	if (status != IOT_OK)
		return status;
	if (!row)
		return iot_fail(err, IOT_DENIED, "the key that signed its token was removed");
	*ret_until = iot_stmt_is_null(stmt, 0) ? INT64_MAX : iot_stmt_int(stmt, 0);
	return IOT_OK;
}

enum iot_status registry_is_bound(struct registry *registry, const char *thing, const char *gateway, bool *ret,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_query(registry->store, &stmt, &row, err, sql_bound, "ss", thing, gateway);
	if (status == IOT_OK)
		*ret = row && iot_stmt_int(stmt, 0) == 1;
	return status;
}

enum iot_status registry_store(struct registry *registry, struct iot_store **ret, struct iot_error *err)
{
	if (registry->store == NULL)
		return iot_fail(err, IOT_FAILURE, "registry '%s' cannot be read", registry->path);
	*ret = registry->store;
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

/* --- certificates that may not be registered ------------------------------------------- */

enum iot_status registry_status(struct registry *registry, const char *certificate_id, bool *ret_known,
				struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *state;
	enum iot_status status;

	*ret_known = false;
	status = iot_stmt_query(registry->store, &stmt, ret_known, err, sql_status, "s", certificate_id);
	if (status != IOT_OK || !*ret_known)
		return status;
	state = iot_stmt_text(stmt, 0);
	if (state == NULL || strcmp(state, "ACTIVE") != 0)
		return iot_fail(err, IOT_DENIED, "the certificate is %s", state == NULL ? "without status" : state);
	return IOT_OK;
}

enum iot_status registry_issuer(struct registry *registry, const struct iot_cert *cert, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_get(registry->store, sql_issuers, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", iot_cert_issuer(cert));
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row) {
		IOT_CLEAN(iot_cert_free_p) struct iot_cert *ca = NULL;
		const char *pem = iot_stmt_text(stmt, 0);

		if (pem != NULL && iot_cert_parse_pem(pem, strlen(pem), "registered CA", &ca, NULL) == IOT_OK &&
		    iot_cert_verify_issued_by(cert, ca, NULL) == IOT_OK)
			return IOT_OK;
	}
	return status != IOT_OK ? status : iot_fail(err, IOT_DENIED, "no registered CA issued the certificate");
}

static enum iot_status read_pem(struct registry *registry, const char *sql, const char *key, struct iot_cert **ret,
				struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	const char *pem;
	bool row = false;
	enum iot_status status = iot_stmt_get(registry->store, sql, &stmt, err);

	*ret = NULL;
	if (status == IOT_OK)
		status = iot_stmt_bind(stmt, err, "s", key);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	pem = status == IOT_OK && row ? iot_stmt_text(stmt, 0) : NULL;
	/* One that does not parse is as good as none. */
	if (pem != NULL && iot_cert_parse_pem(pem, strlen(pem), "registered certificate", ret, NULL) != IOT_OK)
		*ret = NULL;
	return status;
}

enum iot_status registry_last_certificate(struct registry *registry, const char *client_id, struct iot_cert **ret,
					  struct iot_error *err)
{
	return read_pem(registry, sql_last_pem, client_id, ret, err);
}

enum iot_status registry_certificate(struct registry *registry, const char *certificate_id, struct iot_cert **ret,
				     struct iot_error *err)
{
	return read_pem(registry, sql_certificate_pem, certificate_id, ret, err);
}

enum iot_status registry_last_connection(struct registry *registry, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	enum iot_status status;
	bool row = false;

	status = iot_stmt_get(registry->store, sql_last_connection, &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK)
		*ret = row ? iot_stmt_int(stmt, 0) : 0;
	return status;
}

void registry_free(struct registry *registry)
{
	if (registry == NULL)
		return;
	for (size_t i = 0; i < BUCKETS; i++) {
		struct document *next;

		for (struct document *document = registry->documents[i]; document != NULL; document = next) {
			next = document->next;
			document_free(document);
		}
	}
	free_heard(registry->heard, registry->heard_count);
	iot_store_close(registry->store);
	free(registry->path);
	free(registry);
}
