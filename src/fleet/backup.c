/*
 * Copies of a fleet, and fleets from copies. Both are built beside their final
 * place and renamed, so a copy is whole or not there.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/store.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct copy {
	const char *from, *to;
	int64_t files, size;
};

/* The folders that make a fleet besides its registry; broker/ holds only what serve makes anew, and the trust folder.
 */
static const char *const folders[] = {"ca", "codesign", "images", "layouts", "broker/trust"};

static enum iot_status copy_bytes(int in, int out, const char *path, int64_t *size, struct iot_error *err)
{
	char block[65536];
	int fault;

	for (;;) {
		ssize_t got = read(in, block, sizeof(block));

		if (got == 0)
			return fsync(out) == 0 ? IOT_OK
					       : iot_fail_errno(err, IOT_FAILURE, errno, "cannot write '%s'", path);
		if (got < 0)
			return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", path);
		fault = iot_fs_write_all(out, block, (size_t)got);
		if (fault != 0)
			return iot_fail_errno(err, IOT_FAILURE, fault, "cannot write '%s'", path);
		*size += got;
	}
}

static enum iot_status copy_file(struct copy *copy, const char *from, const char *to, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	IOT_CLEAN(iot_close_p) int out = -1;
	struct stat info;

	if (in < 0 || fstat(in, &info) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", from);
	out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, info.st_mode & 0777);
	if (out < 0 || fchmod(out, info.st_mode & 0777) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot create '%s'", to);
	copy->files++;
	return copy_bytes(in, out, to, &copy->size, err);
}

/* The trust folder's entries may be links: what they lead to is copied. */
static enum iot_status copy_folder(struct copy *copy, const char *name, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *from = iot_path(copy->from, name);
	IOT_CLEAN(iot_free_p) char *to = iot_path(copy->to, name);
	DIR *dir = opendir(from);
	struct dirent *entry;
	enum iot_status status;

	if (dir == NULL && errno != ENOENT) /* a copy that lacks what could not be read is no copy */
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", from);
	status = iot_fs_mkdirs(to, 0700, err);
	while (dir != NULL && status == IOT_OK && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *source = iot_path(from, entry->d_name);
		IOT_CLEAN(iot_free_p) char *target = iot_path(to, entry->d_name);
		struct stat info;

		if (entry->d_name[0] == '.')
			continue;
		if (stat(source, &info) != 0)
			status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", source);
		else if (S_ISREG(info.st_mode))
			status = copy_file(copy, source, target, err);
	}
	if (dir != NULL)
		closedir(dir);
	return status;
}

static enum iot_status copy_folders(struct copy *copy, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(folders); i++)
		status = copy_folder(copy, folders[i], err);
	return status;
}

static enum iot_status put_in_place(const char *building, const char *final, struct iot_error *err)
{
	if (rename(building, final) == 0)
		return IOT_OK;
	return iot_fail_errno(err, errno == ENOTEMPTY || errno == EEXIST ? IOT_CONFLICT : IOT_FAILURE, errno,
			      "cannot create '%s'", final);
}

static enum iot_status finish(enum iot_status status, const char *building, const char *final, const struct copy *copy,
			      json_t **ret_record, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;

	if (status == IOT_OK)
		status = put_in_place(building, final, err);
	if (status == IOT_OK)
		*ret_record = json_pack("{s:s, s:I, s:I}", "directory", final, "files", (json_int_t)copy->files, "size",
					(json_int_t)copy->size);
	else
		(void)!iot_fs_remove_tree(building, &ignored);
	return status;
}

static enum iot_status must_be_free(const char *path, struct iot_error *err)
{
	if (!iot_fs_exists(path))
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "'%s' exists", path);
	iot_error_hint(err, "nothing is overwritten; name another, or move it away");
	return IOT_CONFLICT;
}

enum iot_status iot_fleet_backup(struct iot_cloud *cloud, const char *to, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *final = iot_path_absolute(to);
	IOT_CLEAN(iot_free_p) char *building = iot_strf("%s.new-%ld", final, (long)getpid());
	IOT_CLEAN(iot_free_p) char *registry = iot_path(building, "registry.db");
	struct copy copy = {NULL, building, 1, 0};
	struct stat info;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status == IOT_OK)
		status = must_be_free(final, err);
	if (status != IOT_OK)
		return status;
	copy.from = iot_local_paths(cloud)->dir;
	status = iot_fs_mkdirs(building, 0700, err);
	if (status == IOT_OK)
		status = iot_store_backup(iot_local_store(cloud), registry, err);
	if (status == IOT_OK && stat(registry, &info) == 0)
		copy.size += info.st_size;
	if (status == IOT_OK)
		status = copy_folders(&copy, err);
	status = finish(status, building, final, &copy, ret_record, err);
	iot_error_while_at(err, "backing up to", to);
	return status;
}

/* --- restore ---------------------------------------------------------------------------- */

/* Images are named by their SHA-256: a copy that lost a bit on the way is found here, not by a device. */
static enum iot_status check_images(const char *from, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(from, "images");
	DIR *dir = opendir(path);
	struct dirent *entry;
	enum iot_status status = IOT_OK;

	while (dir != NULL && status == IOT_OK && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *image = iot_path(path, entry->d_name);
		uint8_t digest[IOT_SHA256_SIZE];
		char hex[IOT_SHA256_HEX_SIZE];

		if (strlen(entry->d_name) != IOT_SHA256_HEX_SIZE - 1)
			continue;
		status = iot_sha256_file(image, digest, NULL, err);
		if (status == IOT_OK && strcmp(iot_hex(digest, sizeof(digest), hex), entry->d_name) != 0)
			status = iot_fail(err, IOT_VERIFY, "image '%s' of the backup is damaged", image);
	}
	if (dir != NULL)
		closedir(dir);
	return status;
}

static enum iot_status check_registry(const char *path, struct iot_error *err)
{
	struct iot_store *store = NULL;
	struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_store_open(path, &iot_registry_schema, IOT_STORE_WRITE, &store, err);

	if (status == IOT_OK)
		status = iot_stmt_get(store, "PRAGMA integrity_check(1)", &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK && (!row || strcmp(iot_stmt_text(stmt, 0), "ok") != 0))
		status = iot_fail(err, IOT_VERIFY, "the backup's registry is damaged");
	iot_stmt_done(stmt);
	iot_store_close(store);
	return status;
}

/* What is sealed with a key that no backup holds: secrets of operators, and those shared with devices. */
static enum iot_status count_sealed(const char *registry, int64_t *ret_operators, int64_t *ret_psks,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_store_close_p) struct iot_store *store = NULL;
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_store_open(registry, &iot_registry_schema, IOT_STORE_WRITE, &store, err);

	if (status == IOT_OK)
		status = iot_stmt_get(store,
				      "SELECT (SELECT count(*) FROM operators WHERE revoked_at IS NULL),"
				      " (SELECT count(*) FROM psks WHERE status = 'ACTIVE')",
				      &stmt, err);
	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK) {
		*ret_operators = iot_stmt_int(stmt, 0);
		*ret_psks = iot_stmt_int(stmt, 1);
	}
	return status;
}

enum iot_status iot_fleet_restore(const char *from, const char *dir, json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *building = iot_strf("%s.new-%ld", dir, (long)getpid());
	IOT_CLEAN(iot_free_p) char *source = iot_path(from, "registry.db");
	IOT_CLEAN(iot_free_p) char *registry = iot_path(building, "registry.db");
	struct copy copy = {from, building, 0, 0};
	int64_t operators = 0, psks = 0;
	enum iot_status status = must_be_free(dir, err);

	if (status != IOT_OK)
		return status;
	if (!iot_fs_exists(source))
		return iot_fail(err, IOT_NOT_FOUND, "'%s' is no backup of a fleet: it has no registry.db", from);
	status = iot_fs_mkdirs(building, 0700, err);
	if (status == IOT_OK)
		status = copy_file(&copy, source, registry, err);
	if (status == IOT_OK)
		status = copy_folders(&copy, err);
	if (status == IOT_OK)
		status = check_registry(registry, err);
	if (status == IOT_OK)
		status = check_images(building, err);
	if (status == IOT_OK)
		status = count_sealed(registry, &operators, &psks, err);
	status = finish(status, building, dir, &copy, ret_record, err);
	if (status == IOT_OK && operators > 0)
		iot_json_set_int(*ret_record, "operatorsWithoutKeys", operators);
	if (status == IOT_OK && psks > 0)
		iot_json_set_int(*ret_record, "sealedSecrets", psks);
	iot_error_while_at(err, "restoring", from);
	return status;
}
