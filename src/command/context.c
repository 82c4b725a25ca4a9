/*
 * What commands need opened: the fleet directory that the settings name, and
 * its cloud. Also the live values that completions offer.
 */
#include "command/context.h"

#include "command/profile.h"
#include "iotctl/aws.h"
#include "iotctl/board_description.h"
#include "iotctl/broker.h"
#include "iotctl/command.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/log.h"
#include "iotctl/serial.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <glob.h>
#include <string.h>

char *command_fleet_dir(const char *name_or_path)
{
	IOT_CLEAN(iot_free_p) char *data = NULL;

	if (strchr(name_or_path, '/') != NULL || strcmp(name_or_path, ".") == 0)
		return iot_path_absolute(name_or_path);
	data = iot_xdg_data();
	return iot_path(data, name_or_path);
}

static bool is_aws(const struct cli_context *ctx)
{
	return strcmp(settings_get(ctx->settings, "cloud"), "aws") == 0;
}

static enum iot_status find_fleet(const struct cli_context *ctx, char **ret, struct iot_error *err)
{
	const char *name = settings_get(ctx->settings, "fleet");

	if (name == NULL || *name == '\0') {
		iot_fail(err, IOT_SETTINGS, "no fleet is chosen");
		iot_error_hint(err, "make one with 'iotctl init NAME', or name one with --fleet");
		return IOT_SETTINGS;
	}
	*ret = command_fleet_dir(name);
	if (!iot_fs_is_dir(*ret)) {
		iot_fail(err, IOT_NOT_FOUND, "there is no fleet '%s' (%s, from %s)", name, *ret,
			 settings_origin(ctx->settings, "fleet"));
		if (is_aws(ctx))
			iot_error_hint(err, "this is done on the fleet's own machine");
		else
			iot_error_hint(err, "make it with 'iotctl init %s', or name another with --fleet", name);
		return IOT_NOT_FOUND;
	}
	return IOT_OK;
}

char *command_journal_path(const struct cli_context *ctx)
{
	IOT_CLEAN(iot_free_p) char *state = iot_xdg_state();

	return iot_strf("%s/%s/journal.db", state, settings_profile(ctx->settings));
}

/* Was it given to this program, rather than by a variable that AWS's tools share? The library reads those itself. */
static const char *own_setting(const struct cli_context *ctx, const char *name)
{
	return strstr(settings_origin(ctx->settings, name), "environment AWS_") == NULL
		       ? settings_get(ctx->settings, name)
		       : NULL;
}

static enum iot_status open_aws(struct cli_context *ctx, struct iot_cloud **ret, struct iot_error *err)
{
	const struct iot_profile *profile = NULL;
	IOT_CLEAN(iot_free_p) char *source = NULL;
	IOT_CLEAN(iot_free_p) char *dir = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	struct iot_aws_options options = {
		.region = settings_get(ctx->settings, "region"),
		.endpoint_url = own_setting(ctx, "endpoint-url"),
		.profile = own_setting(ctx, "aws-profile"),
		.profile_given = own_setting(ctx, "aws-profile") != NULL,
		.ca_file = settings_get(ctx->settings, "aws-ca-file"),
		.rates = settings_get(ctx->settings, "aws-rates"),
	};
	enum iot_status status = command_profile(ctx, &profile, err);

	if (status != IOT_OK)
		return status;
	/* The HTTPS API of a fleet: what is needed for it comes together. */
	if (profile != NULL && profile->access_key_id != NULL) {
		source = iot_strf("operator profile '%s'", settings_profile(ctx->settings));
		options.access_key = profile->access_key_id;
		options.secret_key = profile->secret;
		options.credentials_source = source;
		options.ca_pem = profile->ca;
		options.ca_pem_len = strlen(profile->ca);
	}
	if (find_fleet(ctx, &dir, &ignored) == IOT_OK)
		options.fleet_dir = dir;
	return iot_aws_open(&options, ret, err);
}

enum iot_status command_new_cloud(struct cli_context *ctx, struct iot_cloud **ret, struct iot_error *err)
{
	return is_aws(ctx) ? open_aws(ctx, ret, err) : iot_local_open(command_fleet(ctx), ret, err);
}

enum iot_status command_open_cloud(struct cli_context *ctx, struct iot_error *err)
{
	struct command_data *data = ctx->data;
	enum iot_status status = IOT_OK;

	if (is_aws(ctx))
		return data->cloud == NULL ? open_aws(ctx, &data->cloud, err) : IOT_OK;
	if (data->fleet_dir == NULL)
		status = find_fleet(ctx, &data->fleet_dir, err);
	if (status == IOT_OK && data->cloud == NULL)
		status = iot_local_open(data->fleet_dir, &data->cloud, err);
	return status;
}

enum iot_status command_issuer(struct cli_context *ctx, bool needed, struct iot_cloud **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *dir = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;
	const struct iot_profile *profile = NULL;
	enum iot_status status;

	if (!is_aws(ctx))
		return IOT_OK;
	status = command_profile(ctx, &profile, err);
	if (status != IOT_OK || (profile != NULL && profile->access_key_id != NULL)) /* a fleet elsewhere has its own */
		return status;
	status = find_fleet(ctx, &dir, needed ? err : &ignored);
	if (status != IOT_OK)
		return needed ? status : IOT_OK;
	return iot_local_open(dir, ret, err);
}

enum iot_status command_find_fleet(struct cli_context *ctx, struct iot_error *err)
{
	struct command_data *data = ctx->data;

	return data->fleet_dir == NULL ? find_fleet(ctx, &data->fleet_dir, err) : IOT_OK;
}

static enum iot_status prepare(struct cli_context *ctx, unsigned needs, struct iot_error *err)
{
	struct command_data *data = iot_alloc(sizeof(*data));

	ctx->data = data;
	if (needs & CLI_NEEDS_CLOUD)
		return command_open_cloud(ctx, err);
	return needs & CLI_NEEDS_FLEET ? find_fleet(ctx, &data->fleet_dir, err) : IOT_OK;
}

static void finish(struct cli_context *ctx)
{
	struct command_data *data = ctx->data;

	if (data == NULL)
		return;
	iot_cloud_free(data->cloud);
	if (data->profile != NULL)
		command_profile_release(data->profile);
	free(data->profile);
	free(data->broker);
	free(data->fleet_dir);
	free(data);
	ctx->data = NULL;
}

enum iot_status command_call(struct cli_context *ctx, const char *operation, json_t *request, json_t **ret_reply,
			     struct iot_error *err)
{
	enum iot_status status = iot_cloud_call(command_cloud(ctx), operation, request, NULL, ret_reply, NULL, err);

	json_decref(request);
	return status;
}

bool command_interrupted(void *data)
{
	return cli_interrupted(data);
}

void command_show_step(const char *step, void *data)
{
	struct cli_context *ctx = data;

	progress_update(ctx->progress, 0, step);
}

void command_show_progress(int64_t done, int64_t total, const char *text, void *data)
{
	struct cli_context *ctx = data;

	progress_set_total(ctx->progress, total);
	progress_update(ctx->progress, done, text);
}

bool command_is_unserved(const struct cli_context *ctx)
{
	IOT_JSON record = NULL;

	return command_fleet(ctx) != NULL && iot_serve_status(command_fleet(ctx), &record, NULL) == IOT_OK &&
	       !iot_json_bool(record, "running", false);
}

void command_warn_unserved(const struct cli_context *ctx)
{
	if (command_is_unserved(ctx))
		iot_warn("serve is not running: devices are told when it is; 'iotctl serve --detach' starts it");
}

bool command_wants_rows(const struct cli_context *ctx)
{
	enum output_format format = output_get_format(ctx->out);

	return !cli_given(ctx, "query") && (format == OUTPUT_TABLE || format == OUTPUT_WIDE || format == OUTPUT_CSV);
}

/* Is text to be printed as it is? */
static bool wants_text(const struct cli_context *ctx)
{
	return output_get_format(ctx->out) == OUTPUT_TABLE && !cli_given(ctx, "query");
}

/* A text and the end of its last line. */
static enum iot_status print_text(struct cli_context *ctx, const char *text, struct iot_error *err)
{
	enum iot_status status = output_raw(ctx->out, text, strlen(text), err);

	return status == IOT_OK && !iot_ends_with(text, "\n") ? output_raw(ctx->out, "\n", 1, err) : status;
}

enum iot_status command_print_document(struct cli_context *ctx, const json_t *document, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *text = NULL;

	if (!wants_text(ctx))
		return output_object(ctx->out, NULL, document, err);
	text = iot_json_dump(document, JSON_INDENT(2));
	return print_text(ctx, text, err);
}

enum iot_status command_print_policy(struct cli_context *ctx, const json_t *reply, const struct output_column *columns,
				     struct iot_error *err)
{
	if (!wants_text(ctx))
		return output_object(ctx->out, columns, reply, err);
	return print_text(ctx, iot_json_str(reply, "policyDocument", ""), err);
}

/* Elements that are bare strings (thing names, ARNs) become records with one member, the first column's. */
static enum iot_status print_page(struct cli_context *ctx, const json_t *page, command_complete_fn complete,
				  const struct output_column *columns, struct iot_error *err)
{
	json_t *item;
	size_t i;
	enum iot_status status = IOT_OK;

	json_array_foreach(page, i, item) {
		IOT_JSON row = json_is_string(item) ? json_pack("{s:O}", columns[0].key, item) : json_incref(item);

		if (cli_interrupted(ctx))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (complete != NULL)
			status = complete(ctx, row, err);
		if (status == IOT_OK)
			status = output_row(ctx->out, row, err);
		if (status != IOT_OK)
			break;
	}
	return status;
}

enum iot_status command_print_pages(struct cli_context *ctx, const char *operation, json_t *request, const char *items,
				    command_complete_fn complete, const struct output_column *columns,
				    struct iot_error *err)
{
	IOT_JSON page_request = request != NULL ? request : json_object();
	enum iot_status status = output_begin_list(ctx->out, columns, err);
	const char *token = NULL, *marker = NULL;

	do {
		IOT_JSON reply = NULL;

		if (status == IOT_OK)
			status = iot_cloud_call(command_cloud(ctx), operation, page_request, NULL, &reply, NULL, err);
		if (status == IOT_OK)
			status = print_page(ctx, json_object_get(reply, items), complete, columns, err);
		token = iot_json_str(reply, "nextToken", NULL);
		marker = iot_json_str(reply, "nextMarker", NULL);
		iot_json_set_str(page_request, "nextToken", token);
		iot_json_set_str(page_request, "marker", marker);
	} while (status == IOT_OK && (token != NULL || marker != NULL));
	return status == IOT_OK ? output_end(ctx->out, err) : status;
}

enum iot_status command_print_list(struct cli_context *ctx, const char *operation, json_t *request, const char *items,
				   const struct output_column *columns, struct iot_error *err)
{
	return command_print_pages(ctx, operation, request, items, NULL, columns, err);
}

enum iot_status command_print_call(struct cli_context *ctx, const char *operation, json_t *request,
				   const struct output_column *columns, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	enum iot_status status = command_call(ctx, operation, request, &reply, err);

	return status == IOT_OK ? output_object(ctx->out, columns, reply, err) : status;
}

enum iot_status command_read_names(const char *path, struct iot_buf *text, const char ***names, size_t *count,
				   struct iot_error *err)
{
	enum iot_status status = iot_fs_read(path, text, err);
	char *save = NULL;

	if (status != IOT_OK)
		return status;
	iot_buf_addc(text, '\0');
	status = iot_buf_check(text, path, err);
	if (status != IOT_OK)
		return status;
	for (char *line = strtok_r(text->data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		line[strcspn(line, "#\r")] = '\0';
		line += strspn(line, " \t");
		line[strcspn(line, " \t")] = '\0';
		if (*line == '\0')
			continue;
		*names = iot_realloc(*names, (*count + 2) * sizeof(**names));
		(*names)[(*count)++] = line;
	}
	if (*count == 0)
		return iot_fail(err, IOT_USAGE, "'%s' names no device", path);
	return IOT_OK;
}

/* --- completion ------------------------------------------------------------------------ */

struct offer {
	const char *prefix;
	cli_emit_fn *emit;
	void *data;
};

static void offer(const struct offer *to, const char *value, const char *text)
{
	if (value != NULL && iot_starts_with(value, to->prefix))
		to->emit(to->data, value, text);
}

static enum iot_status offer_device(json_t *record, void *data, struct iot_error *err)
{
	(void)err;
	offer(data, iot_json_str(record, "thingName", NULL), iot_json_str(record, "alias", NULL));
	offer(data, iot_json_str(record, "alias", NULL), iot_json_str(record, "thingName", NULL));
	return IOT_OK;
}

static enum iot_status offer_update(json_t *record, void *data, struct iot_error *err)
{
	(void)err;
	offer(data, iot_json_str(record, "updateId", NULL), iot_json_str(record, "version", NULL));
	return IOT_OK;
}

static void offer_list(struct iot_cloud *cloud, const struct offer *to, const char *operation, const char *items,
		       const char *member)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	json_t *item;
	size_t i;

	if (iot_cloud_call(cloud, operation, NULL, NULL, &reply, NULL, &ignored) != IOT_OK)
		return;
	json_array_foreach(json_object_get(reply, items), i, item)
		offer(to, iot_json_str(item, member, NULL), NULL);
}

static void offer_folders(const struct offer *to)
{
	IOT_CLEAN(iot_free_p) char *data = iot_xdg_data();
	DIR *dir = opendir(data);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *registry = iot_strf("%s/%s/registry.db", data, entry->d_name);

		if (entry->d_name[0] != '.' && iot_fs_exists(registry))
			offer(to, entry->d_name, NULL);
	}
	if (dir != NULL)
		closedir(dir);
}

static void offer_keys(struct iot_cloud *cloud, const struct offer *to)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON keys = NULL;
	json_t *key;
	size_t i;

	if (iot_codesign_list(cloud, &keys, &ignored) != IOT_OK)
		return;
	json_array_foreach(keys, i, key)
		offer(to, iot_json_str(key, "name", NULL), iot_json_str(key, "type", NULL));
}

static void offer_ports(const struct offer *to)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON ports = NULL;
	json_t *port;
	size_t i;

	if (iot_serial_ports(&ports, &ignored) != IOT_OK)
		return;
	json_array_foreach(ports, i, port)
		offer(to, iot_json_str(port, "port", NULL), iot_json_str(port, "description", NULL));
}

static void offer_boards(const struct offer *to)
{
	for (const char *const *name = iot_board_shipped; *name != NULL; name++)
		offer(to, *name, NULL);
}

/* Files, for what may also be a path, once one is begun: what has to be quoted is left out. */
static void offer_files(const struct offer *to)
{
	IOT_CLEAN(iot_free_p) char *pattern = iot_strf("%s*", to->prefix);
	glob_t found = {0};

	if (strpbrk(to->prefix, "./") == NULL || strpbrk(to->prefix, "*?[\\") != NULL)
		return;
	if (glob(pattern, GLOB_MARK, NULL, &found) != 0)
		found.gl_pathc = 0;
	for (size_t i = 0; i < found.gl_pathc; i++)
		if (strpbrk(found.gl_pathv[i], " '\"\\$&;|<>()`*?[") == NULL)
			offer(to, found.gl_pathv[i], NULL);
	globfree(&found);
}

static void offer_operations(const struct offer *to)
{
	for (size_t i = 0; i < iot_operation_count; i++)
		offer(to, iot_operations[i].name, iot_operations[i].summary);
}

static void offer_from_cloud(struct iot_cloud *cloud, enum cli_complete kind, const struct offer *to)
{
	const struct iot_device_filter all = {.limit = 200};
	struct iot_error ignored = IOT_ERROR_INIT;

	switch (kind) {
	case COMPLETE_DEVICE:
		(void)!iot_device_list(cloud, &all, offer_device, (void *)(uintptr_t)to, &ignored);
		break;
	case COMPLETE_OTA:
		(void)!iot_ota_list(cloud, offer_update, (void *)(uintptr_t)to, &ignored);
		break;
	case COMPLETE_GROUP:
		offer_list(cloud, to, "ListThingGroups", "thingGroups", "groupName");
		break;
	case COMPLETE_POLICY:
		offer_list(cloud, to, "ListPolicies", "policies", "policyName");
		break;
	case COMPLETE_TYPE:
		offer_list(cloud, to, "ListThingTypes", "thingTypes", "thingTypeName");
		break;
	case COMPLETE_JOB:
		offer_list(cloud, to, "ListJobs", "jobs", "jobId");
		break;
	case COMPLETE_CERT:
		offer_list(cloud, to, "ListCertificates", "certificates", "certificateId");
		break;
	case COMPLETE_KEY:
		offer_keys(cloud, to);
		break;
	default:
		break;
	}
}

static void complete(struct cli_context *ctx, enum cli_complete kind, const char *prefix, cli_emit_fn *emit, void *data)
{
	const struct offer to = {prefix, emit, data};
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	IOT_CLEAN(iot_free_p) char *dir = NULL;
	struct iot_error ignored = IOT_ERROR_INIT;

	if (kind == COMPLETE_FLEET)
		offer_folders(&to);
	else if (kind == COMPLETE_OPERATION)
		offer_operations(&to);
	else if (kind == COMPLETE_PORT)
		offer_ports(&to);
	else if (kind == COMPLETE_BOARD)
		offer_boards(&to);
	else if (is_aws(ctx)) /* no network for a completion */
		return;
	else if (find_fleet(ctx, &dir, &ignored) == IOT_OK && iot_local_open(dir, &cloud, &ignored) == IOT_OK)
		offer_from_cloud(cloud, kind, &to);
	if (kind == COMPLETE_PORT || kind == COMPLETE_BOARD)
		offer_files(&to);
}

const struct cli_hooks cmd_hooks = {
	.settings = command_settings,
	.prepare = prepare,
	.finish = finish,
	.complete = complete,
};
