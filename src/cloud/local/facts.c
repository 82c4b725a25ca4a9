/*
 * Facts of the fleet (our own operations) for whoever works on it from elsewhere:
 * what its own machine reads from the registry's meta table and from public files
 * of its directory. Which layout a type uses: "layout/TYPE", and "layout" for the
 * others; layouts of the fleet's own are files; "config-schema/TYPE" is a schema.
 */
#include "local_private.h"

#include <dirent.h>
#include <string.h>

#define FILE_MAX ((size_t)128 * 1024)
#define TYPE_KEY "layout/"

static enum iot_status set_meta(struct iot_local *local, const char *key, json_t *reply, const char *member,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;
	enum iot_status status = iot_local_meta(local, key, &text, err);

	if (status == IOT_OK)
		iot_json_set_str(reply, member, text);
	return status;
}

static enum iot_status set_port(struct iot_local *local, const char *key, json_t *reply, const char *member,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;
	int64_t port;
	enum iot_status status = iot_local_meta(local, key, &text, err);

	if (status == IOT_OK && text != NULL && iot_parse_int(text, 1, 65535, &port, NULL) == IOT_OK)
		iot_json_set_int(reply, member, port);
	return status;
}

static enum iot_status set_file(const char *dir, const char *name, json_t *reply, const char *member,
				struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, name);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	enum iot_status status = iot_fs_exists(path) ? iot_fs_read(path, &text, err) : IOT_OK;

	if (status == IOT_OK && text.len > 0)
		iot_json_set_str(reply, member, iot_buf_str(&text));
	return status;
}

static enum iot_status set_type_layouts(struct iot_local *local, json_t *reply, struct iot_error *err)
{
	IOT_CLEAN(iot_stmt_done_p) struct iot_stmt *stmt = NULL;
	json_t *types = json_object();
	bool row = false;
	enum iot_status status = iot_stmt_get(
		local->store, "SELECT key, value FROM meta WHERE key > 'layout/' AND key < 'layout0'", &stmt, err);

	json_object_set_new(reply, "typeLayouts", types);
	while (status == IOT_OK && (status = iot_stmt_step(stmt, &row, err)) == IOT_OK && row)
		iot_json_set_str(types, iot_stmt_text(stmt, 0) + strlen(TYPE_KEY), iot_stmt_text(stmt, 1));
	return status;
}

static void set_own_layouts(struct iot_local *local, json_t *reply)
{
	IOT_CLEAN(iot_free_p) char *folder = iot_path(local->paths.dir, "layouts");
	json_t *names = json_array();
	DIR *dir = opendir(folder);
	const struct dirent *entry;

	json_object_set_new(reply, "ownLayouts", names);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		size_t len = strlen(entry->d_name);

		if (len > strlen(".json") && entry->d_name[0] != '.' && iot_ends_with(entry->d_name, ".json"))
			json_array_append_new(names, json_stringn(entry->d_name, len - strlen(".json")));
	}
	if (dir != NULL)
		closedir(dir);
}

static enum iot_status describe_fleet(struct iot_local *local, const json_t *request, const struct iot_body *in,
				      json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	json_t *reply = *ret_reply;
	enum iot_status status = set_meta(local, "name", reply, "fleetName", err);

	(void)request, (void)in, (void)out;
	if (status == IOT_OK)
		status = set_meta(local, "endpoint", reply, "endpointAddress", err);
	if (status == IOT_OK)
		status = set_port(local, "port", reply, "port", err);
	if (status == IOT_OK)
		status = set_port(local, "api_port", reply, "apiPort", err);
	if (status == IOT_OK)
		status = set_file(local->paths.ca_dir, "root.pem", reply, "caCertificate", err);
	if (status == IOT_OK)
		status = set_file(local->paths.codesign_dir, "default.pub", reply, "codesignPublicKey", err);
	if (status == IOT_OK)
		status = set_meta(local, "layout", reply, "defaultLayout", err);
	if (status == IOT_OK)
		status = set_type_layouts(local, reply, err);
	set_own_layouts(local, reply);
	return status;
}

/* The name holds no slash and no dot: the table's rule. */
static enum iot_status get_layout(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *name = iot_json_str(request, "layoutName", "");
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/layouts/%s.json", local->paths.dir, name);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(FILE_MAX);
	IOT_JSON layout = NULL;
	enum iot_status status;

	(void)in, (void)out;
	if (!iot_fs_exists(path))
		return iot_local_not_found(err, "layout '%s' does not exist", name);
	status = iot_fs_read(path, &text, err);
	if (status == IOT_OK)
		status = iot_json_parse(iot_buf_str(&text), text.len, name, &layout, err);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "layoutName", name);
	json_object_set(*ret_reply, "layout", layout);
	return IOT_OK;
}

static enum iot_status get_schema(struct iot_local *local, const json_t *request, const struct iot_body *in,
				  json_t **ret_reply, struct iot_buf *out, struct iot_error *err)
{
	const char *type = iot_json_str(request, "thingTypeName", "");
	IOT_CLEAN(iot_free_p) char *key = iot_strf("config-schema/%s", type);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	enum iot_status status = iot_local_meta(local, key, &text, err);

	(void)in, (void)out;
	if (status == IOT_OK && text == NULL)
		return iot_local_not_found(err, "thing type '%s' has no schema for configurations", type);
	if (status != IOT_OK)
		return status;
	iot_json_set_str(*ret_reply, "thingTypeName", type);
	iot_local_set_json(*ret_reply, "schema", text);
	return IOT_OK;
}

const struct iot_local_handler iot_local_fleet_handlers[] = {
	{"iotctl:DescribeFleet", describe_fleet, false},
	{"iotctl:GetLayout", get_layout, false},
	{"iotctl:GetDeviceConfigSchema", get_schema, false},
	{NULL, NULL, false},
};
