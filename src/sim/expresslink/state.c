/*
 * The module's flash: its birth key and certificate, made once, and state.json,
 * replaced as a whole whenever something in it changes. The thing name is the
 * common name of the certificate, so nothing can disagree with it.
 */
#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>

#define STAGING_DEFAULT "localhost:8886"
#define FIRMWARE_DEFAULT "1.0.0"

enum { STATE_MAX = 256 * 1024, BIRTH_DAYS = 36500, STATE_VERSION = 1 };

static enum iot_status load_or_make_key(const char *path, struct iot_key **ret, struct iot_error *err)
{
	enum iot_status status;

	if (iot_fs_exists(path))
		return iot_key_load(path, NULL, ret, err);
	status = iot_key_generate(IOT_KEY_P256, ret, err);
	return status == IOT_OK ? iot_key_save_new(*ret, path, NULL, err) : status;
}

static enum iot_status write_cert(const char *path, const struct iot_cert *cert, struct iot_error *err)
{
	struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	iot_cert_pem(cert, &pem);
	status = iot_fs_write(path, 0644, pem.data, pem.len, err);
	iot_buf_release(&pem);
	return status;
}

static enum iot_status issue_birth(const struct module *module, const struct iot_key *key, struct iot_cert **ret,
				   struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *vendor_key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *vendor = NULL;
	enum iot_status status = IOT_OK;
	char uid[37];
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_DEVICE, .common_name = uid, .key = key, .days = BIRTH_DAYS};

	iot_uuid(uid);
	if (module->options.vendor_ca == NULL)
		return iot_cert_issue(key, NULL, &request, ret, err);
	status = iot_key_load(module->options.vendor_key, NULL, &vendor_key, err);
	if (status == IOT_OK)
		status = iot_cert_load(module->options.vendor_ca, &vendor, err);
	return status == IOT_OK ? iot_cert_issue(vendor_key, vendor, &request, ret, err) : status;
}

/* The identity the module was born with; *ret_pem is its certificate. */
static enum iot_status load_birth(struct module *module, struct iot_buf *ret_pem, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	const char *name = NULL;
	enum iot_status status = load_or_make_key(module->key_file, &key, err);

	if (status == IOT_OK && !iot_fs_exists(module->cert_file)) {
		status = issue_birth(module, key, &cert, err);
		if (status == IOT_OK)
			status = write_cert(module->cert_file, cert, err);
	} else if (status == IOT_OK) {
		status = iot_cert_load(module->cert_file, &cert, err);
	}
	if (status == IOT_OK)
		status = iot_cert_common_name(cert, &name, err);
	if (status == IOT_OK) {
		snprintf(module->thing, sizeof(module->thing), "%s", name);
		iot_cert_pem(cert, ret_pem);
	}
	iot_error_while(err, "giving the module its identity");
	return status;
}

/* The certificate that the module's own updates are checked with, and its key for whoever makes them. */
static enum iot_status make_ota_signer(struct module *module, struct iot_buf *ret_pem, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(module->dir, "ota-signer.key");
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_cert_request request = {
		.profile = IOT_PROFILE_CODESIGN, .common_name = "expresslink-module-updates", .days = BIRTH_DAYS};
	enum iot_status status = load_or_make_key(path, &key, err);

	request.key = key;
	if (status == IOT_OK)
		status = iot_cert_issue(key, NULL, &request, &cert, err);
	if (status == IOT_OK)
		iot_cert_pem(cert, ret_pem);
	return status;
}

/* --- state.json ------------------------------------------------------------------- */

static void put_report(json_t *object, const struct sim_report *report)
{
	json_t *value = json_object();

	iot_json_set_str(value, "jobId", report->job_id);
	iot_json_set_str(value, "status", report->status);
	iot_json_set_str(value, "reason", report->reason);
	json_object_set_new(object, "report", value);
}

static json_t *put_ota(const struct module_ota *ota)
{
	json_t *value = json_object();

	iot_json_set_int(value, "state", ota->state);
	if (ota->report.job_id[0] != '\0')
		put_report(value, &ota->report);
	if (ota->state == IOT_EL_OTA_IDLE)
		return value;
	iot_json_set_str(value, "jobId", ota->job.job_id);
	iot_json_set_str(value, "stream", ota->job.stream);
	iot_json_set_int(value, "fileId", ota->job.file_id);
	iot_json_set_int(value, "size", ota->job.size);
	iot_json_set_int(value, "fileType", ota->job.file_type);
	iot_json_set_bool(value, "force", ota->job.force);
	iot_json_set_str(value, "scheme", ota->job.scheme != NULL ? ota->job.scheme->name : NULL);
	iot_json_set_str(value, "signature", ota->job.signature);
	iot_json_set_str(value, "document", ota->document);
	return value;
}

void state_save(struct module *module)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(module->dir, "state.json");
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON state = json_object();
	struct iot_error err = IOT_ERROR_INIT;
	char version[16];

	iot_json_set_int(state, "version", STATE_VERSION);
	iot_json_set_str(state, "firmware", iot_sim_version_text(&module->firmware, version));
	iot_json_set_str(state, "staging", module->staging);
	json_object_set_new(state, "values", dict_save(module->dict));
	json_object_set_new(state, "ota", put_ota(&module->ota));
	text = iot_json_text(state);
	/* 0600: it holds a Wi-Fi passphrase */
	if (iot_fs_write(path, 0600, text, strlen(text), &err) != IOT_OK)
		iot_log_error(IOT_LOG_ERROR, "", &err);
}

static void copy_member(const json_t *object, const char *key, char *out, size_t size)
{
	snprintf(out, size, "%s", iot_json_str(object, key, ""));
}

static void take_ota(struct module_ota *ota, const json_t *value)
{
	const json_t *report = json_object_get(value, "report");
	int64_t state = iot_json_int(value, "state", 0);

	copy_member(report, "jobId", ota->report.job_id, sizeof(ota->report.job_id));
	copy_member(report, "status", ota->report.status, sizeof(ota->report.status));
	copy_member(report, "reason", ota->report.reason, sizeof(ota->report.reason));
	if (state < IOT_EL_OTA_MODULE || state > IOT_EL_OTA_IMAGE)
		return;
	ota->state = (enum iot_el_ota)state;
	copy_member(value, "jobId", ota->job.job_id, sizeof(ota->job.job_id));
	copy_member(value, "stream", ota->job.stream, sizeof(ota->job.stream));
	copy_member(value, "signature", ota->job.signature, sizeof(ota->job.signature));
	ota->job.file_id = (uint32_t)iot_json_int(value, "fileId", 0);
	ota->job.size = (uint32_t)iot_json_int(value, "size", 0);
	ota->job.file_type = (int)iot_json_int(value, "fileType", 0);
	ota->job.force = iot_json_bool(value, "force", false);
	ota->job.scheme = iot_image_scheme_find(iot_json_str(value, "scheme", ""));
	ota->document = iot_strdup(iot_json_str(value, "document", NULL));
}

static enum iot_status load_state(struct module *module, const json_t **ret_values, json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(module->dir, "state.json");
	struct iot_buf text = IOT_BUF_INIT(STATE_MAX);
	enum iot_status status = iot_fs_read(path, &text, err);

	if (status == IOT_NOT_FOUND) {
		iot_error_clear(err);
		iot_buf_release(&text);
		return IOT_OK;
	}
	if (status == IOT_OK)
		status = iot_json_parse(text.data, text.len, path, ret, err);
	iot_buf_release(&text);
	if (status == IOT_OK && iot_json_int(*ret, "version", 0) != STATE_VERSION)
		status = iot_fail(err, IOT_SETTINGS, "'%s' is not a module's state that this version knows", path);
	if (status == IOT_OK)
		*ret_values = json_object_get(*ret, "values");
	return status;
}

/* What the module tells of itself, and what a factory reset brings back. */
static void fill_initial(struct module *module, const struct iot_buf *birth)
{
	dict_set_initial(module->dict, "About", "iotctl - ExpressLink simulator");
	dict_set_initial(module->dict, "TechSpec", at_spec_name(module->spec));
	dict_set_initial(module->dict, "ThingName", module->thing);
	dict_set_initial(module->dict, "TopicRoot", module->thing);
	dict_set_initial(module->dict, "Certificate", birth->data);
	dict_set_initial(module->dict, "Endpoint", module->staging);
}

/* What was put into it once, and survives a factory reset. */
static enum iot_status fill_factory(struct module *module, struct iot_error *err)
{
	struct iot_buf root = IOT_BUF_INIT(IOT_CERT_PEM_MAX), signer = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	enum iot_status status = make_ota_signer(module, &signer, err);

	if (status == IOT_OK && module->options.root_ca != NULL) {
		status = iot_cert_load(module->options.root_ca, &cert, err);
		if (status == IOT_OK)
			iot_cert_pem(cert, &root);
	}
	if (status == IOT_OK) {
		dict_set_value(module->dict, "RootCA", iot_buf_str(&root));
		dict_set_value(module->dict, "OTAcertificate", iot_buf_str(&signer));
	}
	iot_buf_release(&root);
	iot_buf_release(&signer);
	return status;
}

static enum iot_status fill(struct module *module, const struct iot_buf *birth, struct iot_error *err)
{
	const char *firmware = module->options.firmware != NULL ? module->options.firmware : FIRMWARE_DEFAULT;
	const char *staging = module->options.staging != NULL ? module->options.staging : STAGING_DEFAULT;
	const json_t *values = NULL;
	IOT_JSON state = NULL;
	enum iot_status status = load_state(module, &values, &state, err);

	if (status != IOT_OK)
		return status;
	module->staging = iot_strdup(staging);
	status = iot_sim_version_parse(iot_json_str(state, "firmware", firmware), &module->firmware, err);
	fill_initial(module, birth);
	if (status == IOT_OK && state == NULL)
		status = fill_factory(module, err);
	if (status != IOT_OK)
		return status;
	dict_load(module->dict, values);
	take_ota(&module->ota, json_object_get(state, "ota"));
	state_save(module);
	return IOT_OK;
}

enum iot_status state_open(struct module *module, struct iot_error *err)
{
	const struct iot_sim_expresslink_options *o = &module->options;
	IOT_CLEAN(iot_free_p) char *lock = NULL;
	IOT_CLEAN(iot_buf_release) struct iot_buf birth = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	enum iot_status status;

	module->dir = o->state != NULL ? iot_strdup(o->state) : iot_strf("%s.state", o->link);
	module->key_file = iot_path(module->dir, "birth.key");
	module->cert_file = iot_path(module->dir, "certificate.pem");
	module->ca_file = iot_path(module->dir, "root-ca.pem");
	lock = iot_path(module->dir, "lock");
	module->dict = dict_new(module->spec);
	status = iot_fs_mkdirs(module->dir, 0700, err);
	if (status == IOT_OK) {
		status = iot_fs_lock(lock, &module->lock_fd, err);
		if (status == IOT_CONFLICT)
			iot_fail(err, IOT_CONFLICT, "the module in '%s' runs already", module->dir);
	}
	if (status == IOT_OK)
		status = load_birth(module, &birth, err);
	return status == IOT_OK ? fill(module, &birth, err) : status;
}

void state_factory_reset(struct module *module)
{
	dict_factory_reset(module->dict);
	ota_finish(module, false, "factory reset");
	state_save(module);
}
