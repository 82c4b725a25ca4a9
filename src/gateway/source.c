/*
 * Where the gateway looks its children up: in the registry of the fleet, which is
 * on the same machine, or in what 'gateway export' has made of it. That file may
 * be replaced at any time. A copy of it is used, in the gateway's own folder:
 * SQLite keeps files beside a database, and those of the old one must not be
 * taken for those of the new one.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum { BUSY_MS = 200 /* a turn must not wait for long */ };

/* --- the registry on this machine ------------------------------------------------------------ */

static enum iot_status open_registry(struct gateway *gateway, struct iot_error *err)
{
	enum iot_status status = iot_local_open(gateway->options->fleet_dir, &gateway->cloud, err);

	if (status != IOT_OK)
		return status;
	gateway->store = iot_local_store(gateway->cloud);
	iot_store_set_busy_ms(gateway->store, BUSY_MS);
	iot_store_set_durable(gateway->store, false); /* only who is there is written */
	/* A gateway may be there before the first device that has a secret. */
	return iot_local_sealing_key(gateway->cloud, gateway->seal, err);
}

static enum iot_status read_epoch(struct gateway *gateway, int64_t *ret, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	bool row = false;
	enum iot_status status = iot_stmt_get(gateway->store, "SELECT value FROM epoch WHERE one = 1", &stmt, err);

	if (status == IOT_OK)
		status = iot_stmt_step(stmt, &row, err);
	if (status == IOT_OK)
		*ret = row ? iot_stmt_int(stmt, 0) : -1;
	return status;
}

static enum iot_status look_at_registry(struct gateway *gateway, bool *ret_moved, struct iot_error *err)
{
	int64_t version = 0, epoch = 0;
	enum iot_status status = iot_store_data_version(gateway->store, &version, err);

	if (status != IOT_OK || (version == gateway->data_version && gateway->blind_since == 0))
		return status;
	status = read_epoch(gateway, &epoch, err);
	if (status != IOT_OK)
		return status;
	*ret_moved = epoch != gateway->epoch;
	gateway->data_version = version;
	gateway->epoch = epoch;
	return IOT_OK;
}

/* --- an export ------------------------------------------------------------------------------------ */

static enum iot_status read_stamp(const char *path, struct export_stamp *ret, struct iot_error *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return iot_fail_errno(err, errno == ENOENT ? IOT_NOT_FOUND : IOT_FAILURE, errno, "cannot read '%s'",
				      path);
	*ret = (struct export_stamp){.device = st.st_dev,
				     .inode = st.st_ino,
				     .size = st.st_size,
				     .seconds = st.st_mtim.tv_sec,
				     .nanoseconds = st.st_mtim.tv_nsec};
	return IOT_OK;
}

static bool same_stamp(const struct export_stamp *a, const struct export_stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size && a->seconds == b->seconds &&
	       a->nanoseconds == b->nanoseconds;
}

/* A copy that is still being written is shorter than it says of itself (SQLite file format, 1.3). */
static bool is_whole(const struct iot_buf *bytes)
{
	const uint8_t *head = (const uint8_t *)bytes->data;
	uint64_t page, pages;

	if (bytes->len < 512)
		return false;
	page = (uint64_t)head[16] << 8 | head[17];
	pages = (uint64_t)head[28] << 24 | (uint64_t)head[29] << 16 | (uint64_t)head[30] << 8 | head[31];
	return (page == 1 ? 65536 : page) * pages == bytes->len;
}

/* A copy in a folder as a fleet has it. */
static enum iot_status copy_export(const char *path, const char *dir, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *registry = iot_path(dir, "registry.db");
	IOT_CLEAN(iot_buf_release) struct iot_buf bytes = IOT_BUF_SECRET(IOT_GATEWAY_EXPORT_MAX);
	enum iot_status status = iot_fs_check_private(path, err);

	if (status == IOT_OK)
		status = iot_fs_read(path, &bytes, err);
	if (status == IOT_OK && !is_whole(&bytes))
		status = iot_fail(err, IOT_AGAIN, "it is not whole");
	if (status == IOT_OK)
		status = iot_fs_remove_tree(dir, err);
	if (status == IOT_OK)
		status = iot_fs_mkdirs(dir, 0700, err);
	return status == IOT_OK ? iot_fs_create_private(registry, bytes.data, bytes.len, err) : status;
}

static enum iot_status read_seal(struct iot_cloud *cloud, uint8_t seal[IOT_SEAL_KEY_SIZE], struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *hex = NULL;
	enum iot_status status = iot_local_meta_get(cloud, IOT_EXTRACT_SEAL, &hex, err);

	if (status == IOT_OK && (hex == NULL || !iot_unhex(hex, seal, IOT_SEAL_KEY_SIZE)))
		status = iot_fail(err, IOT_USAGE, "it has no key for the secrets in it");
	if (hex != NULL)
		iot_wipe(hex, strlen(hex));
	return status;
}

static enum iot_status check_gateway(const struct gateway *gateway, struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = iot_local_meta_get(cloud, IOT_EXTRACT_GATEWAY, &thing, err);

	if (status == IOT_OK && (thing == NULL || strcmp(thing, gateway->thing) != 0))
		return iot_fail(err, IOT_CONFLICT, "it is of gateway '%s', and this is '%s'",
				thing != NULL ? thing : "", gateway->thing);
	return status;
}

static enum iot_status unpack_layouts(struct iot_cloud *cloud, const char *dir, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	IOT_CLEAN(iot_free_p) char *layouts = iot_path(dir, "layouts");
	bool row = false;
	enum iot_status status = iot_fs_mkdirs(layouts, 0700, err);

	if (status == IOT_OK)
		status = iot_stmt_query(iot_local_store(cloud), &stmt, &row, err,
					"SELECT key, value FROM meta WHERE key LIKE ?", "s",
					IOT_GATEWAY_EXPORT_LAYOUT "%");
	while (status == IOT_OK && row) {
		const char *name = iot_stmt_text(stmt, 0) + strlen(IOT_GATEWAY_EXPORT_LAYOUT);
		const char *text = iot_stmt_text(stmt, 1);
		IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s.json", layouts, name);

		if (strchr(name, '/') != NULL || name[0] == '.')
			return iot_fail(err, IOT_USAGE, "'%s' is no name of a layout", name);
		status = iot_fs_write(path, 0600, text, strlen(text), err);
		if (status == IOT_OK)
			status = iot_stmt_step(stmt, &row, err);
	}
	return status;
}

/*
 * In the other one of two folders: the one in use stays as it is until this is complete. *ret_usable false: it was read
 * as it is, and is none for this gateway.
 */
static enum iot_status take_export(struct gateway *gateway, const char *path, bool *ret_usable, struct iot_error *err)
{
	int next = gateway->export_folder == 0 ? 1 : 0;
	IOT_CLEAN(iot_free_p) char *dir = iot_strf("%s/children.%d", gateway->state_dir, next);
	IOT_CLEAN(iot_free_p) char *old = iot_strf("%s/children.%d", gateway->state_dir, 1 - next);
	struct iot_cloud *cloud = NULL;
	uint8_t seal[IOT_SEAL_KEY_SIZE];
	enum iot_status status = copy_export(path, dir, err);
	bool copied = status == IOT_OK;

	if (status == IOT_OK)
		status = iot_local_open(dir, &cloud, err);
	if (status == IOT_OK)
		status = check_gateway(gateway, cloud, err);
	if (status == IOT_OK)
		status = unpack_layouts(cloud, dir, err);
	if (status == IOT_OK)
		status = read_seal(cloud, seal, err);
	if (status != IOT_OK) {
		iot_cloud_free(cloud);
		(void)!iot_fs_remove_tree(dir, NULL);
		iot_error_while_at(err, "reading", path);
		*ret_usable = !copied || (status != IOT_CONFLICT && status != IOT_USAGE && status != IOT_SETTINGS);
		return status;
	}
	iot_cloud_free(gateway->cloud);
	gateway->cloud = cloud;
	gateway->store = iot_local_store(cloud);
	gateway->export_folder = next;
	gateway->data_version++;
	memcpy(gateway->seal, seal, sizeof(seal));
	iot_wipe(seal, sizeof(seal));
	(void)!iot_fs_remove_tree(old, NULL);
	return IOT_OK;
}

/* One that is missing or cannot be used lets nobody in, as a registry that cannot be read. */
static enum iot_status look_at_export(struct gateway *gateway, bool *ret_moved, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(gateway->options->dir, IOT_GATEWAY_EXPORT);
	IOT_CLEAN(iot_free_p) char *since = NULL;
	struct export_stamp stamp = {0};
	bool usable = true;
	enum iot_status status = read_stamp(path, &stamp, err);

	if (status != IOT_OK || same_stamp(&stamp, &gateway->export_stamp))
		return status;
	if (same_stamp(&stamp, &gateway->refused_stamp)) {
		*err = gateway->refused;
		return gateway->refused.status;
	}
	status = take_export(gateway, path, &usable, err);
	if (!usable) { /* it is not copied again and again */
		gateway->refused_stamp = stamp;
		gateway->refused = *err;
	}
	if (status != IOT_OK)
		return status;
	gateway->export_stamp = stamp;
	*ret_moved = true;
	if (iot_local_meta_get(gateway->cloud, IOT_EXTRACT_TIME, &since, NULL) == IOT_OK)
		gateway_event(gateway, "children", NULL, "as exported at %s", since != NULL ? since : "?");
	return IOT_OK;
}

/* --- either ------------------------------------------------------------------------------------------- */

/* The registry knows of shadows only if the broker is its own. */
static enum iot_status find_home(struct gateway *gateway, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *endpoint = NULL, *port = NULL;
	enum iot_status status = iot_local_meta_get(gateway->cloud, "endpoint", &endpoint, err);

	if (status == IOT_OK)
		status = iot_local_meta_get(gateway->cloud, "port", &port, err);
	gateway->at_home = status == IOT_OK && endpoint != NULL && port != NULL &&
			   strcmp(endpoint, gateway->host) == 0 && strtol(port, NULL, 10) == gateway->port;
	return status;
}

enum iot_status source_open(struct gateway *gateway, struct iot_error *err)
{
	bool moved = false;

	enum iot_status status;

	if (gateway->exported)
		return look_at_export(gateway, &moved, err);
	status = open_registry(gateway, err);
	return status == IOT_OK ? find_home(gateway, err) : status;
}

enum iot_status source_look(struct gateway *gateway, bool *ret_moved, struct iot_error *err)
{
	*ret_moved = false;
	return gateway->exported ? look_at_export(gateway, ret_moved, err) : look_at_registry(gateway, ret_moved, err);
}

void source_close(struct gateway *gateway)
{
	iot_cloud_free(iot_take(gateway->cloud));
	for (int i = 0; gateway->export_folder >= 0 && i < 2; i++) {
		IOT_CLEAN(iot_free_p) char *dir = iot_strf("%s/children.%d", gateway->state_dir, i);

		(void)!iot_fs_remove_tree(dir, NULL);
	}
	iot_wipe(gateway->seal, sizeof(gateway->seal));
}
