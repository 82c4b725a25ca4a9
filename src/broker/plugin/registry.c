/*
 * Reading the registry: the open file, whether anything has changed, and single
 * facts of devices, keys and certificates. What a client may do is in grants.c.
 *
 * The file is opened read only and stays open. It is never opened by other means
 * than SQLite: closing any other descriptor of it would drop SQLite's locks. That
 * it is still the file of that name is seen from its device and inode numbers.
 */
#include "registry_private.h"

#include "iotctl/base.h"
#include "iotctl/topic.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The plugin runs inside the broker's only thread: it cannot wait long for a writer. */
#define BUSY_MS 50

static const char sql_epoch[] = "SELECT value FROM epoch WHERE one = 1";

static const char sql_device_key[] = "SELECT k.expires_at FROM device_keys k JOIN things t ON t.id = k.thing_id"
				     " WHERE k.key_id = ?1 AND t.name = ?2";

static const char sql_bound[] = "SELECT json_extract(attributes, '$.gateway') = ?2 FROM things WHERE name = ?1";

/* One view of the registry for several readings; nothing is ever written. */
static const char sql_begin[] = "BEGIN";
static const char sql_end[] = "COMMIT";

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

/* --- one view for several readings ------------------------------------------------------ */

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
	registry_free_documents(registry);
	free_heard(registry->heard, registry->heard_count);
	iot_store_close(registry->store);
	free(registry->path);
	free(registry);
}
