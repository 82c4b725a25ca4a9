/*
 * Pushing an update: look at the image, sign it, check the signature with the
 * key that devices have. Nothing is created before all checks passed; what then
 * is, is push_create.c's.
 */
#include "fleet/push_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/fs.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define TARGETS_MAX 100   /* AWS: targets of a job */
#define FILE_MAX 24000000 /* AWS: a file of a stream, 24 MB */

const char *const iot_push_kind_names[] = {"firmware", "host", "module", "module-cert", "root-ca", "host-cert", NULL};

/* What the kinds differ in; rows in the order of enum iot_push_kind. */
static const struct kind {
	int file_type;    /* 0: the document has none */
	bool vendor;      /* signed by the module's vendor: the signature has to be brought along */
	bool certificate; /* the "image" is a PEM certificate */
	bool bare;        /* carries no code signature: the certificate's own has to do */
} kinds[] = {
	[IOT_PUSH_FIRMWARE] = {0, false, false, false}, [IOT_PUSH_HOST] = {202, false, false, false},
	[IOT_PUSH_MODULE] = {101, true, false, false},  [IOT_PUSH_MODULE_CERT] = {103, true, true, false},
	[IOT_PUSH_ROOT_CA] = {107, false, true, true},  [IOT_PUSH_HOST_CERT] = {204, false, true, true},
};

/* --- the image --------------------------------------------------------------------- */

/* A certificate has no version of its own: the beginning of its id tells one from another. */
static enum iot_status check_certificate(struct push *push, struct iot_error *err)
{
	const struct iot_buf *content = push->spec->content;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status =
		content != NULL ? iot_cert_parse_pem(iot_buf_str(content), content->len, push->spec->image, &cert, err)
				: iot_cert_load(push->spec->image, &cert, err);

	if (status != IOT_OK)
		return status;
	if (push->spec->version != NULL)
		snprintf(push->version, sizeof(push->version), "%s", push->spec->version);
	else
		snprintf(push->version, sizeof(push->version), "cert-%.8s", iot_cert_id(cert));
	return IOT_OK;
}

static enum iot_status check_image(struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	enum iot_status status = IOT_OK;

	if (spec->content != NULL) {
		push->info = (struct iot_image_info){.size = (int64_t)spec->content->len};
		iot_sha256_hex(spec->content->data, spec->content->len, push->info.sha256);
	} else {
		status = iot_image_inspect(spec->image, &push->info, err);
	}
	if (status != IOT_OK)
		return status;
	if (push->info.size > FILE_MAX) {
		iot_fail(err, IOT_USAGE, "image '%s' has %lld bytes: a stream carries at most 24 MB (%d)", spec->image,
			 (long long)push->info.size, FILE_MAX);
		return IOT_USAGE;
	}
	if (kinds[push->spec->kind].certificate)
		return check_certificate(push, err);
	if (spec->version == NULL && *push->info.version == '\0') {
		iot_fail(err, IOT_USAGE, "image '%s' does not say which version it is", spec->image);
		iot_error_hint(err, "give it with --version");
		return IOT_USAGE;
	}
	if (spec->version != NULL && *push->info.version != '\0' && strcmp(spec->version, push->info.version) != 0)
		return iot_fail(err, IOT_USAGE, "image '%s' says it is version %s, not %.40s", spec->image,
				push->info.version, spec->version);
	snprintf(push->version, sizeof(push->version), "%s",
		 spec->version != NULL ? spec->version : push->info.version);
	return IOT_OK;
}

/* --- the signature ------------------------------------------------------------------ */

static enum iot_status sign(struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status;

	if (spec->signature != NULL)
		return iot_image_signature_read(spec->signature, &push->signature, err);
	status = iot_codesign_path(push->cloud, spec->key, &path, err);
	if (status == IOT_OK)
		status = iot_key_load(path, NULL, &key, err);
	if (status == IOT_OK)
		status = iot_image_sign_file(spec->image, key, NULL, spec->legacy, &push->signature, err);
	return status;
}

/* The key that devices of a fleet elsewhere have. */
static enum iot_status remote_verify_key(struct push *push, struct iot_key **ret, struct iot_error *err)
{
	IOT_JSON fleet = NULL;
	const char *pem;
	enum iot_status status = fleet_call(push->cloud, "iotctl:DescribeFleet", NULL, &fleet, err);

	if (status != IOT_OK)
		return status;
	pem = iot_json_str(fleet, "codesignPublicKey", NULL);
	if (pem != NULL)
		return iot_key_from_public_pem(pem, strlen(pem), "the fleet's code-signing key", ret, err);
	iot_fail(err, IOT_NOT_FOUND, "the fleet has no code-signing key 'default'");
	iot_error_hint(err, "name the public key that devices have with --verify-key");
	return IOT_NOT_FOUND;
}

/* AWS knows no such key: what was not named can only be the one that signed. */
static enum iot_status load_verify_key(struct push *push, struct iot_key **ret, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	IOT_CLEAN(iot_free_p) char *path = NULL;

	if (spec->verify_key != NULL)
		return iot_key_load_public(spec->verify_key, ret, err);
	if (fleet_is_remote(push->cloud))
		return remote_verify_key(push, ret, err);
	if (fleet_is_local(push->cloud)) {
		path = iot_path(iot_local_paths(push->cloud)->codesign_dir, "default.pub");
		return iot_key_load_public(path, ret, err);
	}
	iot_fail(err, IOT_USAGE, "nobody says which key the devices have");
	iot_error_hint(err,
		       "name its public half with --verify-key, so that a wrong signature is found before it is sent");
	return IOT_USAGE;
}

static enum iot_status verify(struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status = load_verify_key(push, &key, err);

	if (status == IOT_OK)
		status = iot_image_verify_signature(spec->image, key, &push->signature, spec->legacy, err);
	if (status == IOT_VERIFY)
		iot_error_hint(
			err,
			"devices would refuse it; sign with the key they have, or name that key with --verify-key");
	return status;
}

static enum iot_status check_signature(struct push *push, struct iot_error *err)
{
	const struct iot_push_spec *spec = push->spec;
	enum iot_status status;

	if (kinds[push->spec->kind].bare)
		return IOT_OK;
	if (kinds[push->spec->kind].vendor &&
	    (spec->signature == NULL || (spec->verify_key == NULL && !spec->unchecked))) {
		iot_fail(err, IOT_USAGE, "a %s update is signed by the module's vendor",
			 iot_push_kind_names[spec->kind]);
		iot_error_hint(err,
			       "give the vendor's signature with --signature and its public key with --verify-key");
		return IOT_USAGE;
	}
	if (spec->unsigned_image) {
		if (spec->unchecked)
			return IOT_OK;
		iot_fail(err, IOT_VERIFY, "image '%s' would be sent without a signature", spec->image);
		iot_error_hint(err, "devices refuse that; to see it happen, add --unchecked");
		return IOT_VERIFY;
	}
	status = sign(push, err);
	push->has_signature = status == IOT_OK;
	if (status == IOT_OK && !spec->unchecked)
		status = verify(push, err);
	return status;
}

/* --- the targets ---------------------------------------------------------------------- */

static enum iot_status check_running(struct push *push, const char *thing, struct iot_error *err)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON state = NULL;

	if (push->spec->force || push->spec->kind != IOT_PUSH_FIRMWARE)
		return IOT_OK;
	if (fleet_call(push->cloud, "GetDeviceState", json_pack("{s:s}", "thingName", thing), &state, &ignored) !=
		    IOT_OK ||
	    strcmp(iot_json_str(state, "firmware", ""), push->version) != 0)
		return IOT_OK;
	iot_fail(err, IOT_CONFLICT, "device '%s' runs version %s already", thing, push->version);
	iot_error_hint(err, "--force sends it all the same");
	return IOT_CONFLICT;
}

/* A module has a host behind it and several parts of its own: nobody but the user knows which one an image is for. */
static enum iot_status check_no_module(struct push *push, const char *thing, struct iot_error *err)
{
	IOT_JSON reply = NULL;
	const char *board;
	enum iot_status status;

	if (push->spec->kind != IOT_PUSH_FIRMWARE)
		return IOT_OK;
	status = fleet_call(push->cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), &reply, err);
	board = iot_json_str(json_object_get(reply, "attributes"), FLEET_BOARD_ATTRIBUTE, "");
	if (status != IOT_OK || strcmp(board, "expresslink") != 0)
		return status;
	iot_fail(err, IOT_USAGE, "device '%s' is an ExpressLink module: it must be told what the image is for", thing);
	iot_error_hint(err, "--kind host: the host behind it; module: the module's own firmware; module-cert, root-ca, "
			    "host-cert: a certificate");
	return IOT_USAGE;
}

static enum iot_status is_member(json_t *item, void *data, struct iot_error *err)
{
	struct push *push = data;
	const char *thing = json_string_value(item);

	return json_object_get(push->modules, thing) != NULL ? check_no_module(push, thing, err) : IOT_OK;
}

static enum iot_status note_module(json_t *item, void *data, struct iot_error *err)
{
	struct push *push = data;

	(void)err;
	json_object_set_new(push->modules, iot_json_str(item, "thingName", ""), json_true());
	return IOT_OK;
}

/* Most fleets have no modules, and then their groups, however large, need not be walked. */
static enum iot_status check_no_modules(struct push *push, const char *group, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (push->spec->kind != IOT_PUSH_FIRMWARE)
		return IOT_OK;
	if (push->modules == NULL) {
		push->modules = json_object();
		status = fleet_each(push->cloud, "ListThings",
				    json_pack("{s:s, s:s}", "attributeName", FLEET_BOARD_ATTRIBUTE, "attributeValue",
					      "expresslink"),
				    "things", note_module, push, err);
	}
	if (status != IOT_OK || json_object_size(push->modules) == 0)
		return status;
	return fleet_each(push->cloud, "ListThingsInThingGroup",
			  json_pack("{s:s, s:b}", "thingGroupName", group, "recursive", 1), "things", is_member, push,
			  err);
}

static enum iot_status add_device(struct push *push, const char *device, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *thing = NULL;
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	enum iot_status status = iot_fleet_resolve(push->cloud, device, &thing, err);

	if (status == IOT_OK)
		status = check_no_module(push, thing, err);
	if (status == IOT_OK)
		status = check_running(push, thing, err);
	if (status != IOT_OK)
		return status;
	arn = fleet_arn(push->cloud, "thing", thing);
	json_array_append_new(push->targets, json_string(arn));
	return IOT_OK;
}

static enum iot_status add_group(struct push *push, const char *group, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *arn = NULL;
	IOT_JSON members = NULL;
	enum iot_status status;

	status = fleet_call(push->cloud, "ListThingsInThingGroup",
			    json_pack("{s:s, s:b, s:i}", "thingGroupName", group, "recursive", 1, "maxResults", 1),
			    &members, err);
	if (status != IOT_OK)
		return status;
	if (json_array_size(json_object_get(members, "things")) == 0)
		return iot_fail(err, IOT_NOT_FOUND, "group '%s' has no devices", group);
	status = check_no_modules(push, group, err);
	if (status != IOT_OK)
		return status;
	arn = fleet_arn(push->cloud, "thinggroup", group);
	json_array_append_new(push->targets, json_string(arn));
	return IOT_OK;
}

static enum iot_status find_targets(struct push *push, struct iot_error *err)
{
	const char *const *name;
	enum iot_status status = IOT_OK;

	push->targets = json_array();
	for (name = push->spec->devices; status == IOT_OK && name != NULL && *name != NULL; name++)
		status = add_device(push, *name, err);
	for (name = push->spec->groups; status == IOT_OK && name != NULL && *name != NULL; name++)
		status = add_group(push, *name, err);
	if (status != IOT_OK)
		return status;
	if (json_array_size(push->targets) == 0) {
		iot_fail(err, IOT_USAGE, "nobody to update");
		iot_error_hint(err, "name devices with --to, groups with --group");
		return IOT_USAGE;
	}
	if (json_array_size(push->targets) > TARGETS_MAX) {
		iot_fail(err, IOT_USAGE, "%zu targets are more than the %d that a job takes",
			 json_array_size(push->targets), TARGETS_MAX);
		iot_error_hint(err, "put the devices into a group and name that");
		return IOT_USAGE;
	}
	return IOT_OK;
}

/* --- the job ------------------------------------------------------------------------------ */

/* "v1_1_0-20261121T101530-3fa9": readable, and unique enough to be made on two laptops at once. */
static enum iot_status choose_id(struct push *push, struct iot_error *err)
{
	const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	const char *id = push->spec->id;
	time_t now = (time_t)(iot_now_ms() / 1000);
	unsigned char random[2];
	struct tm tm;
	char stamp[17];

	if (id != NULL) {
		if (iot_starts_with(id, FLEET_OTA_PREFIX))
			id += strlen(FLEET_OTA_PREFIX);
		if (*id == '\0' || strlen(id) > PUSH_ID_MAX || strspn(id, allowed) != strlen(id))
			return iot_fail(err, IOT_USAGE,
					"'%.80s' is no id for an update: letters, digits, '-' and '_', at most %d", id,
					PUSH_ID_MAX);
		snprintf(push->id, sizeof(push->id), "%s", id);
	} else {
		gmtime_r(&now, &tm);
		strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
		iot_random(random, sizeof(random));
		snprintf(push->id, sizeof(push->id), "v%.10s-%s-%02x%02x", push->version, stamp, random[0], random[1]);
		for (char *c = push->id; *c != '\0'; c++) {
			if (strchr(allowed, *c) == NULL)
				*c = '_';
		}
	}
	snprintf(push->name, sizeof(push->name), "%s%s", FLEET_OTA_PREFIX, push->id);
	return IOT_OK;
}

enum iot_status iot_ota_push(struct iot_cloud *cloud, const struct iot_push_spec *spec, json_t **ret_record,
			     struct iot_error *err)
{
	struct push push = {.cloud = cloud, .spec = spec, .file_type = kinds[spec->kind].file_type};
	enum iot_status status = push_check_cloud(&push, err);

	if (status == IOT_OK)
		status = check_image(&push, err);
	if (status == IOT_OK)
		status = find_targets(&push, err);
	if (status == IOT_OK)
		status = choose_id(&push, err);
	if (status == IOT_OK)
		status = iot_clock_check(err);
	if (status == IOT_OK)
		status = check_signature(&push, err);
	if (status == IOT_OK)
		status = push_create(&push, err);
	if (status == IOT_OK) {
		*ret_record =
			json_pack("{s:s, s:s, s:s, s:s, s:I, s:s, s:O}", "updateId", push.id, "jobId", push.name,
				  "streamId", push.name, "version", push.version, "size", (json_int_t)push.info.size,
				  "sha256", push.info.sha256, "targets", push.targets);
		iot_json_set_bool(*ret_record, "changed", push.changed);
		if (push.has_signature && *push.signature.key_id != '\0')
			iot_json_set_str(*ret_record, "keyId", push.signature.key_id);
	}
	iot_error_while_at(err, "pushing", spec->image);
	json_decref(push.targets);
	json_decref(push.modules);
	free(push.object_key);
	free(push.object_version);
	return status;
}
