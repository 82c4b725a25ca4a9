/*
 * Code-signing keys of a fleet: codesign/NAME.key (0600) and codesign/NAME.pub
 * in the fleet directory, and codesign/NAME.pem once a board wanted a certificate. Anywhere else a key is named by its
 * file or URI.
 */
#include "fleet/fleet_private.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"
#include "iotctl/key.h"
#include "iotctl/local.h"
#include "iotctl/text.h"

#include <dirent.h>
#include <string.h>

static bool is_name(const char *text)
{
	return *text != '\0' && strlen(text) <= 64 &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == strlen(text);
}

static char *key_file(struct iot_cloud *cloud, const char *name, const char *suffix)
{
	return iot_strf("%s/%s%s", iot_local_paths(cloud)->codesign_dir, name, suffix);
}

enum iot_status iot_codesign_path(struct iot_cloud *cloud, const char *name_or_path, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;

	if (name_or_path == NULL)
		name_or_path = "default";
	if (iot_starts_with(name_or_path, "pkcs11:") || !is_name(name_or_path)) {
		*ret = iot_strdup(name_or_path);
		return IOT_OK;
	}
	if (!fleet_is_local(cloud)) {
		iot_fail(err, IOT_USAGE, "there is no fleet folder with a code-signing key '%s' here", name_or_path);
		iot_error_hint(err, "name your key file (with a slash) or its pkcs11: URI, or a signature made before");
		return IOT_USAGE;
	}
	path = key_file(cloud, name_or_path, ".key");
	if (!iot_fs_exists(path)) {
		iot_fail(err, IOT_NOT_FOUND, "the fleet has no code-signing key '%s'", name_or_path);
		iot_error_hint(err, "'iotctl codesign list' shows those it has; a file is named with a slash: './%s'",
			       name_or_path);
		return IOT_NOT_FOUND;
	}
	*ret = iot_take(path);
	return IOT_OK;
}

static enum iot_status describe(const char *name, const char *public_path, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	char id[IOT_SHA256_HEX_SIZE];
	enum iot_status status = iot_key_load_public(public_path, &key, err);

	if (status != IOT_OK)
		return status;
	*ret = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "type", iot_key_type_name(iot_key_type(key)), "keyId",
			 iot_key_id(key, id), "public", public_path);
	return IOT_OK;
}

/*
 * The private half is written first and never overwritten, so that of two calls at once only one makes it and no public
 * half is of another key. One without public half is what a call that was killed has left: it is finished.
 */
static enum iot_status make_key(const char *name, const char *path, const char *public_path, enum iot_key_type type,
				struct iot_key **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	bool there = iot_fs_exists(path);
	enum iot_status status = IOT_OK;

	if (there && !iot_fs_exists(public_path))
		status = iot_key_load(path, NULL, &key, err);
	else if (!there)
		status = iot_key_generate(type, &key, err);
	if (status == IOT_OK && !there)
		status = iot_key_save_new(key, path, NULL, err);
	if (status != IOT_OK && status != IOT_CONFLICT)
		return status;
	if (status == IOT_CONFLICT || key == NULL || iot_key_type(key) != type) {
		iot_fail(err, IOT_CONFLICT, "code-signing key '%s' exists", name);
		iot_error_hint(err, "keys are never overwritten; choose another name");
		return IOT_CONFLICT;
	}
	*ret = iot_take(key);
	return IOT_OK;
}

enum iot_status iot_codesign_create(struct iot_cloud *cloud, const char *name, const char *type, json_t **ret_record,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	IOT_CLEAN(iot_free_p) char *public_path = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	struct iot_buf pem = IOT_BUF_INIT(16384);
	enum iot_key_type key_type = IOT_KEY_P256;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status != IOT_OK)
		return status;
	if (!is_name(name))
		return iot_fail(err, IOT_USAGE,
				"'%.70s' is no name for a key: letters, digits, '-' and '_', at most 64", name);
	if (type != NULL)
		status = iot_key_type_parse(type, &key_type, err);
	if (status == IOT_OK && key_type == IOT_KEY_ED25519)
		status = iot_fail(err, IOT_USAGE, "no OTA agent checks ed25519 signatures: use p256 or an RSA type");
	if (status != IOT_OK)
		return status;
	path = key_file(cloud, name, ".key");
	public_path = key_file(cloud, name, ".pub");
	status = make_key(name, path, public_path, key_type, &key, err);
	if (status == IOT_OK)
		status = iot_key_public_pem(key, &pem, err);
	if (status == IOT_OK)
		status = iot_fs_write(public_path, 0644, pem.data, pem.len, err);
	if (status == IOT_OK)
		status = describe(name, public_path, ret_record, err);
	iot_buf_release(&pem);
	return status;
}

enum iot_status iot_codesign_list(struct iot_cloud *cloud, json_t **ret_records, struct iot_error *err)
{
	IOT_JSON records = json_array();
	struct dirent *entry;
	enum iot_status status = iot_fleet_need_local(cloud, err);
	DIR *dir = status == IOT_OK ? opendir(iot_local_paths(cloud)->codesign_dir) : NULL;

	while (dir != NULL && status == IOT_OK && (entry = readdir(dir)) != NULL) {
		IOT_CLEAN(iot_free_p) char *name = NULL;
		IOT_CLEAN(iot_free_p) char *public_path = NULL;
		json_t *record = NULL;

		if (!iot_ends_with(entry->d_name, ".pub"))
			continue;
		name = iot_strndup(entry->d_name, strlen(entry->d_name) - 4);
		public_path = key_file(cloud, name, ".pub");
		status = describe(name, public_path, &record, err);
		if (status == IOT_OK)
			json_array_append_new(records, record);
	}
	if (dir != NULL)
		closedir(dir);
	if (status == IOT_OK)
		*ret_records = iot_take(records);
	return status;
}

/* Valid for as long as the boards that are given it may live. */
#define CERTIFICATE_DAYS 10950

static enum iot_status make_certificate(struct iot_cloud *cloud, const char *name, const char *path,
					struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *key_path = NULL;
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_CODESIGN, .common_name = name, .days = CERTIFICATE_DAYS};
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status = iot_codesign_path(cloud, name, &key_path, err);

	if (status == IOT_OK)
		status = iot_key_load(key_path, NULL, &key, err);
	request.key = key;
	if (status == IOT_OK)
		status = iot_cert_issue(key, NULL, &request, &cert, err);
	if (status == IOT_OK) {
		iot_cert_pem(cert, &pem);
		status = iot_fs_create_private(path, pem.data, pem.len, err);
	}
	iot_buf_release(&pem);
	if (status != IOT_CONFLICT || !iot_fs_exists(path))
		return status;
	iot_error_clear(err); /* another process was faster: all use its certificate */
	return IOT_OK;
}

enum iot_status iot_codesign_certificate(struct iot_cloud *cloud, const char *name, struct iot_buf *pem,
					 struct iot_error *err)
{
	const char *wanted = name != NULL ? name : "default";
	IOT_CLEAN(iot_free_p) char *path = NULL;
	enum iot_status status = iot_fleet_need_local(cloud, err);

	if (status != IOT_OK)
		return status;
	if (!is_name(wanted)) {
		iot_fail(err, IOT_USAGE, "'%.70s' is no code-signing key of the fleet", wanted);
		iot_error_hint(err, "'iotctl codesign list' shows those it has");
		return IOT_USAGE;
	}
	path = key_file(cloud, wanted, ".pem");
	if (!iot_fs_exists(path))
		status = make_certificate(cloud, wanted, path, err);
	if (status == IOT_OK)
		status = iot_fs_read(path, pem, err);
	iot_error_while(err, "getting the certificate of code-signing key '%s'", wanted);
	return status;
}
