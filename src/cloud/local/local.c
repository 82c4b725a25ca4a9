/*
 * The local cloud: making and opening a fleet directory, carrying out an
 * operation by the handler of its name within a transaction, and waking serve
 * when something was written that devices must hear.
 */
#include "registry_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* --- making a fleet ------------------------------------------------------- */

static enum iot_status make_folders(const struct iot_fleet_paths *paths, struct iot_error *err)
{
	const char *const folders[] = {paths->dir,          paths->ca_dir,     paths->broker_dir,
				       paths->codesign_dir, paths->images_dir, paths->trust_dir};

	for (size_t i = 0; i < IOT_LENGTH(folders); i++) {
		enum iot_status status = iot_fs_mkdirs(folders[i], 0700, err);

		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

static enum iot_status fill_registry(const char *path, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *store = NULL;
	enum iot_status status;

	status = iot_store_open(path, &iot_registry_schema, IOT_STORE_CREATE, &store, err);
	if (status == IOT_OK)
		status = iot_store_run(store, NULL, err, "INSERT INTO meta (key, value) VALUES ('name', ?)", "s", name);
	return status;
}

/* Give the finished file its name, unless there is one of that name; link(2) never overwrites. */
static enum iot_status put_in_place(const char *from, const struct iot_fleet_paths *paths, struct iot_error *err)
{
	int fd;

	if (link(from, paths->registry) != 0) {
		if (errno == EEXIST)
			return iot_fail(err, IOT_CONFLICT, "there is a fleet in '%s' already", paths->dir);
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot create '%s'", paths->registry);
	}
	fd = open(paths->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0) {
		int errnum = errno;

		iot_close_p(&fd);
		return iot_fail_errno(err, IOT_FAILURE, errnum, "cannot sync '%s'", paths->dir);
	}
	iot_close_p(&fd);
	return IOT_OK;
}

enum iot_status iot_local_create(const char *fleet_dir, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_fleet_paths_release) struct iot_fleet_paths paths = {0};
	IOT_CLEAN(iot_free_p) char *temporary = NULL;
	enum iot_status status;

	iot_fleet_paths_init(&paths, fleet_dir);
	if (iot_fs_exists(paths.registry))
		return iot_fail(err, IOT_CONFLICT, "there is a fleet in '%s' already", paths.dir);
	status = make_folders(&paths, err);
	if (status != IOT_OK)
		return status;
	/* Complete before it has its name: a crash leaves no half-made registry behind. */
	temporary = iot_strf("%s.%ld.new", paths.registry, (long)getpid());
	status = fill_registry(temporary, name, err);
	if (status == IOT_OK)
		status = put_in_place(temporary, &paths, err);
	unlink(temporary);
	return status;
}

/* --- opening -------------------------------------------------------------- */

static const char *local_arn_prefix(void *self)
{
	(void)self;
	return IOT_LOCAL_ARN_PREFIX;
}

static void local_free(void *self)
{
	struct iot_local *local = self;

	iot_store_close(local->store);
	iot_fleet_paths_release(&local->paths);
	free(local);
}

static const struct iot_local_handler *find_handler(const struct iot_operation *op)
{
	const struct iot_local_handler *const parts[] = {
		iot_local_registry_handlers, iot_local_jobs_handlers,   iot_local_shadow_handlers,
		iot_local_config_handlers,   iot_local_secret_handlers, iot_local_key_handlers,
		iot_local_attest_handlers,   iot_local_fleet_handlers,  iot_local_message_handlers};
	char name[96];

	if (strcmp(op->service, "iot") == 0)
		snprintf(name, sizeof(name), "%s", op->name);
	else
		snprintf(name, sizeof(name), "%s:%s", op->service, op->name);
	for (size_t part = 0; part < IOT_LENGTH(parts); part++) {
		for (const struct iot_local_handler *handler = parts[part]; handler->operation != NULL; handler++) {
			if (strcmp(handler->operation, name) == 0)
				return handler;
		}
	}
	return NULL;
}

/* What a handler's failure is called when it comes from below the services: the registry, the disk, a key. */
static void name_failure(enum iot_status status, struct iot_error *err)
{
	if (err == NULL || err->code[0] != '\0')
		return;
	if (status == IOT_AGAIN)
		iot_error_set_code(err, "ServiceUnavailableException");
	else if (status == IOT_CONFLICT)
		iot_error_set_code(err, "ConflictException");
	else if (status == IOT_USAGE)
		iot_error_set_code(err, "InvalidRequestException");
	else
		iot_error_set_code(err, "InternalFailureException");
}

static enum iot_status run_handler(struct iot_local *local, const struct iot_operation *op, const json_t *request,
				   const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				   struct iot_error *err)
{
	const struct iot_local_handler *handler = find_handler(op);
	enum iot_status status;

	if (handler == NULL)
		return iot_cloud_fail(err, "NotImplementedException", "the local cloud does not carry out %s",
				      op->name);
	if (json_array_size(json_object_get(request, "tags")) > 0)
		return iot_local_invalid(err, "the local cloud keeps no tags");
	if (op->read_only || handler->own_transaction)
		return handler->run(local, request, in, ret_reply, out, err);
	status = iot_local_begin(local, err);
	if (status != IOT_OK)
		return status;
	status = handler->run(local, request, in, ret_reply, out, err);
	return iot_local_end(local, status, err);
}

static enum iot_status local_call(void *self, const struct iot_operation *op, const json_t *request,
				  const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				  struct iot_error *err)
{
	IOT_JSON none = request == NULL ? json_object() : NULL;
	IOT_JSON reply = json_object();
	enum iot_status status;

	status = run_handler(self, op, request != NULL ? request : none, in, &reply, out, err);
	if (status != IOT_OK) {
		name_failure(status, err);
		return status;
	}
	*ret_reply = iot_take(reply);
	return IOT_OK;
}

static const struct iot_cloud_ops local_ops = {
	.kind = "local",
	.call = local_call,
	.arn_prefix = local_arn_prefix,
	.free = local_free,
};

enum iot_status iot_local_open(const char *fleet_dir, struct iot_cloud **ret, struct iot_error *err)
{
	struct iot_local *local = iot_alloc(sizeof(*local));
	enum iot_status status;

	iot_fleet_paths_init(&local->paths, fleet_dir);
	status = iot_store_open(local->paths.registry, &iot_registry_schema, IOT_STORE_WRITE, &local->store, err);
	if (status == IOT_NOT_FOUND) {
		iot_fail(err, IOT_NOT_FOUND, "there is no fleet in '%s'", local->paths.dir);
		iot_error_hint(err, "make one with 'iotctl init NAME', or name another with --fleet");
	}
	if (status != IOT_OK) {
		local_free(local);
		return status;
	}
	*ret = iot_cloud_new(&local_ops, local);
	return IOT_OK;
}

struct iot_local *iot_local_of(struct iot_cloud *cloud)
{
	return iot_cloud_self(cloud);
}

struct iot_store *iot_local_store(struct iot_cloud *cloud)
{
	return iot_local_of(cloud)->store;
}

const struct iot_fleet_paths *iot_local_paths(struct iot_cloud *cloud)
{
	return &iot_local_of(cloud)->paths;
}

/* --- facts ------------------------------------------------------------------ */

enum iot_status iot_local_meta(struct iot_local *local, const char *key, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status;

	status = iot_stmt_query(local->store, &stmt, &row, err, "SELECT value FROM meta WHERE key = ?", "s", key);
	if (status == IOT_OK)
		*ret = row ? iot_strdup(iot_stmt_text(stmt, 0)) : NULL;
	return status;
}

enum iot_status iot_local_set_meta(struct iot_local *local, const char *key, const char *value, struct iot_error *err)
{
	return iot_store_run(
		local->store, NULL, err,
		"INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		"ss", key, value);
}

enum iot_status iot_local_meta_get(struct iot_cloud *cloud, const char *key, char **ret, struct iot_error *err)
{
	return iot_local_meta(iot_local_of(cloud), key, ret, err);
}

enum iot_status iot_local_meta_set(struct iot_cloud *cloud, const char *key, const char *value, struct iot_error *err)
{
	return iot_local_set_meta(iot_local_of(cloud), key, value, err);
}

/* --- transactions ------------------------------------------------------------ */

enum iot_status iot_local_begin(struct iot_local *local, struct iot_error *err)
{
	bool inside = iot_store_in_transaction(local->store);
	enum iot_status status;

	if (inside)
		status = iot_store_run(local->store, NULL, err, "SAVEPOINT step", "");
	else
		status = iot_store_begin(local->store, err);
	if (status != IOT_OK)
		return status;
	if (local->depth == 0)
		local->outer = inside;
	local->depth++;
	return IOT_OK;
}

static void undo_savepoint(struct iot_local *local)
{
	/* After a full disk SQLite has rolled everything back itself; then there is no savepoint left. */
	if (!iot_store_in_transaction(local->store))
		return;
	if (iot_store_run(local->store, NULL, NULL, "ROLLBACK TO step", "") != IOT_OK ||
	    iot_store_run(local->store, NULL, NULL, "RELEASE step", "") != IOT_OK)
		iot_store_rollback(local->store);
}

enum iot_status iot_local_end(struct iot_local *local, enum iot_status status, struct iot_error *err)
{
	bool nested = --local->depth > 0 || local->outer;

	if (status != IOT_OK) {
		if (nested)
			undo_savepoint(local);
		else {
			iot_store_rollback(local->store);
			local->wake = false;
		}
		return status;
	}
	if (nested)
		return iot_store_run(local->store, NULL, err, "RELEASE step", "");
	status = iot_store_commit(local->store, err);
	if (status == IOT_OK && local->wake)
		iot_local_notify(local);
	return status;
}

/* --- waking serve -------------------------------------------------------------- */

void iot_local_notify(struct iot_local *local)
{
	IOT_CLEAN(iot_close_p) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	ssize_t sent;

	local->wake = false;
	/* The paths are chosen so that they fit. */
	if (fd < 0 || strlen(local->paths.notify_socket) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, local->paths.notify_socket);
	/* Nobody listens, or the queue is full: serve is not running, or about to look anyway. */
	sent = sendto(fd, "w", 1, MSG_NOSIGNAL, (const struct sockaddr *)&address, sizeof(address));
	(void)sent;
}

void iot_local_wake(struct iot_cloud *cloud)
{
	iot_local_notify(iot_local_of(cloud));
}
