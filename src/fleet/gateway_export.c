/*
 * A gateway's folder for another machine. The file with the children comes last
 * and is replaced in one step, so that a gateway that runs from the folder, or
 * whoever copies it there, sees the old one or the new one.
 */
#include "fleet/fleet_private.h"
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/fs.h"
#include "iotctl/layout.h"
#include "iotctl/local.h"

#include <string.h>
#include <unistd.h>

enum { PEM_MAX = 65536 };

/* Whose folder it is; *ret NULL: it is no device's. New memory. */
static enum iot_status folder_thing(const char *dir, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "device.json");
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(PEM_MAX);
	IOT_JSON record = NULL;
	enum iot_status status;

	*ret = NULL;
	if (!iot_fs_exists(path))
		return IOT_OK;
	status = iot_fs_read(path, &text, err);
	if (status == IOT_OK)
		status = iot_json_parse(text.data, text.len, path, &record, err);
	if (status == IOT_OK)
		*ret = iot_strdup(iot_json_str(record, "thingName", ""));
	return status;
}

static enum iot_status check_identity(const char *identity, const char *gateway, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key = iot_path(identity, "private.key");
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = folder_thing(identity, &thing, err);

	if (status == IOT_OK && thing == NULL)
		return iot_fail(err, IOT_NOT_FOUND, "'%s' is not a gateway's folder: it has no device.json", identity);
	if (status == IOT_OK && strcmp(thing, gateway) != 0)
		return iot_fail(err, IOT_CONFLICT, "'%s' is the folder of '%s', not of '%s'", identity, thing, gateway);
	return status == IOT_OK ? iot_fs_check_private(key, err) : status;
}

static enum iot_status check_out(const char *out, const char *gateway, const char *identity, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *children = iot_path(out, IOT_GATEWAY_EXPORT);
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	enum iot_status status = folder_thing(out, &thing, err);

	if (status != IOT_OK)
		return status;
	if (thing == NULL && identity == NULL) {
		iot_fail(err, IOT_USAGE, "'%s' has no key and no certificate of gateway '%s' yet", out, gateway);
		iot_error_hint(err, "name the folder of 'gateway create' with --identity");
		return IOT_USAGE;
	}
	if (thing != NULL && strcmp(thing, gateway) != 0)
		return iot_fail(err, IOT_CONFLICT, "'%s' is the folder of '%s', not of '%s'", out, thing, gateway);
	if (thing != NULL && !iot_fs_exists(children)) {
		iot_fail(err, IOT_CONFLICT, "'%s' is the folder of a gateway on this machine", out);
		iot_error_hint(err, "export to another one, with --identity %s", out);
		return IOT_CONFLICT;
	}
	return IOT_OK;
}

static enum iot_status copy_identity(const char *from, const char *to, struct iot_error *err)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = {{"private.key", 0600}, {"certificate.pem", 0644}, {"ca.pem", 0644}, {"device.json", 0644}};

	for (size_t i = 0; i < IOT_LENGTH(files); i++) {
		IOT_CLEAN(iot_free_p)
		char *source = iot_path(from, files[i].name), *target = iot_path(to, files[i].name);
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_SECRET(PEM_MAX);
		enum iot_status status = iot_fs_read(source, &text, err);

		if (status == IOT_OK)
			status = iot_fs_write(target, files[i].mode, text.data, text.len, err);
		if (status != IOT_OK)
			return status;
	}
	return IOT_OK;
}

/* The fleet's own layouts are files; a gateway elsewhere gets their texts. */
static enum iot_status own_layouts(struct iot_cloud *cloud, json_t **ret, struct iot_error *err)
{
	IOT_JSON records = NULL;
	IOT_JSON texts = json_object();
	json_t *record;
	size_t i;
	enum iot_status status = iot_layout_list(cloud, &records, err);

	json_array_foreach(records, i, record) {
		IOT_CLEAN(iot_layout_free_p) struct iot_layout *layout = NULL;
		IOT_CLEAN(iot_free_p) char *key = NULL, *text = NULL;
		const char *name = iot_json_str(record, "name", "");

		if (status != IOT_OK || strcmp(iot_json_str(record, "origin", ""), "fleet") != 0)
			continue;
		status = iot_layout_load(cloud, name, &layout, err);
		if (status != IOT_OK)
			break;
		key = iot_strf(IOT_GATEWAY_EXPORT_LAYOUT "%s", name);
		text = iot_json_text(layout->json);
		iot_json_set_str(texts, key, text);
	}
	if (status == IOT_OK)
		*ret = iot_take(texts);
	return status;
}

static void remove_temporary(const char *path)
{
	static const char *const ends[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < IOT_LENGTH(ends); i++) {
		IOT_CLEAN(iot_free_p) char *file = iot_strf("%s%s", path, ends[i]);

		(void)unlink(file);
	}
}

static enum iot_status write_children(struct iot_cloud *cloud, const char *gateway, const char *out,
				      int64_t *ret_children, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(out, IOT_GATEWAY_EXPORT);
	/* Not in `out`, which is copied elsewhere: a kill would leave a file of secrets in it that nobody asked for. */
	IOT_CLEAN(iot_free_p) char *temporary =
		iot_strf("%s/" IOT_GATEWAY_EXPORT ".%ld.new", iot_local_paths(cloud)->dir, (long)getpid());
	IOT_CLEAN(iot_buf_release) struct iot_buf bytes = IOT_BUF_SECRET(IOT_GATEWAY_EXPORT_MAX);
	IOT_JSON layouts = NULL;
	enum iot_status status = own_layouts(cloud, &layouts, err);

	remove_temporary(temporary);
	if (status == IOT_OK)
		status = iot_local_extract(cloud, gateway, layouts, temporary, ret_children, err);
	if (status == IOT_OK)
		status = iot_fs_read(temporary, &bytes, err);
	if (status == IOT_OK)
		status = iot_fs_write(path, 0600, bytes.data, bytes.len, err);
	remove_temporary(temporary);
	return status;
}

enum iot_status iot_gateway_export(struct iot_cloud *cloud, const char *gateway, const char *identity, const char *out,
				   json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	int64_t children = 0;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status == IOT_OK)
		status = iot_fleet_resolve(cloud, gateway, &thing, err);
	if (status == IOT_OK)
		status = fleet_call(cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), NULL, err);
	if (status == IOT_OK)
		status = check_out(out, thing, identity, err);
	if (status == IOT_OK && identity != NULL)
		status = check_identity(identity, thing, err);
	if (status == IOT_OK)
		status = iot_fs_mkdirs(out, 0700, err);
	if (status == IOT_OK && identity != NULL)
		status = copy_identity(identity, out, err);
	if (status == IOT_OK)
		status = write_children(cloud, thing, out, &children, err);
	if (status == IOT_OK)
		*ret_record =
			json_pack("{s:s, s:I, s:s}", "thingName", thing, "children", (json_int_t)children, "out", out);
	return status;
}
