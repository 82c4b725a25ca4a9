/*
 * What becomes of a file that was downloaded whole: it is checked with the
 * certificate that its kind asks for (programmer's guide, "ExpressLink module
 * updates", table of file types) and installed, or kept for the host.
 */
#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "sim/expresslink/module.h"

#include <stdio.h>
#include <string.h>

enum { CERT_FILE_MAX = 16 * 1024 };

static void refuse(struct module *module, enum sim_fault_code code, const char *text)
{
	struct sim_fault fault = {.code = code};
	char reason[129];

	snprintf(fault.text, sizeof(fault.text), "%s", text);
	ota_finish(module, false, sim_fault_text(&fault, reason));
	module_raise(module, IOT_EL_OTA, 0, NULL);
}

/* Is the job's signature of this file by the certificate that a key of the dictionary holds? */
static bool is_signed_by(const struct module *module, const char *key)
{
	IOT_CLEAN(iot_free_p) char *path = ota_image_path(module);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	const struct sim_job *job = &module->ota.job;
	const char *pem = dict_value(module->dict, key);
	struct iot_error err = IOT_ERROR_INIT;

	if (job->scheme == NULL || iot_cert_parse_pem(pem, strlen(pem), key, &cert, &err) != IOT_OK)
		return false;
	if (iot_image_verify_file(path, iot_cert_key(cert), job->scheme->name, job->signature, false, &err) == IOT_OK)
		return true;
	iot_log_error(IOT_LOG_INFO, "", &err);
	return false;
}

static void install_module(struct module *module)
{
	IOT_CLEAN(iot_free_p) char *path = ota_image_path(module);
	struct iot_sim_firmware firmware;

	if (!is_signed_by(module, "OTAcertificate"))
		refuse(module, SIM_FAULT_SIGNATURE, "signature check failed");
	else if (iot_sim_firmware_read(path, &firmware, NULL) != IOT_OK)
		refuse(module, SIM_FAULT_IMAGE, "signed, but not an image of this module");
	else
		ota_set_state(module, IOT_EL_OTA_READY);
}

/* A signature is the job's choice, but one that is there must be right. */
static void keep_for_host(struct module *module)
{
	if (module->ota.job.scheme != NULL && !is_signed_by(module, "HOTAcertificate"))
		refuse(module, SIM_FAULT_SIGNATURE, "signature check failed");
	else
		ota_set_state(module, IOT_EL_OTA_IMAGE);
}

/*
 * A certificate replaces the one of `key`. The one it replaces must have signed
 * it, or the file it came in, unless there is nothing yet to check with.
 */
static void install_certificate(struct module *module, const char *key, bool unchecked)
{
	IOT_CLEAN(iot_free_p) char *path = ota_image_path(module);
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(CERT_FILE_MAX);
	IOT_CLEAN(iot_buf_release) struct iot_buf pem = IOT_BUF_INIT(IOT_CERT_PEM_MAX);
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *before = NULL;
	const char *old = dict_value(module->dict, key);
	enum at_error error = AT_CERTIFICATE;

	if (iot_fs_read(path, &text, NULL) == IOT_OK)
		error = conf_certificate(module, key, iot_buf_str(&text), text.len, &pem);
	if (error == AT_OK && strcmp(key, "RootCA") == 0 && old[0] != '\0' &&
	    (iot_cert_parse_pem(pem.data, pem.len, key, &cert, NULL) != IOT_OK ||
	     iot_cert_parse_pem(old, strlen(old), key, &before, NULL) != IOT_OK ||
	     iot_cert_verify_signed_by(cert, iot_cert_key(before), NULL) != IOT_OK))
		error = AT_SIGNATURE;
	if (error == AT_SIGNATURE && (unchecked || is_signed_by(module, key)))
		error = AT_OK;
	if (error != AT_OK) {
		refuse(module, error == AT_SIGNATURE ? SIM_FAULT_SIGNATURE : SIM_FAULT_IMAGE,
		       error == AT_SIGNATURE ? "signature check failed" : "not a certificate");
		return;
	}
	dict_set_value(module->dict, key, iot_buf_str(&pem));
	module_say(module, "installed", "%s", key);
	ota_finish(module, true, "installed"); /* saves both */
	module_raise(module, IOT_EL_OTA, 0, NULL);
}

void ota_downloaded(struct module *module)
{
	bool no_host = dict_value(module->dict, "HOTAcertificate")[0] == '\0';

	switch (module->ota.job.file_type) {
	case IOT_EL_FILE_MODULE:
		install_module(module);
		break;
	case IOT_EL_FILE_MODULE_CERT:
		install_certificate(module, "OTAcertificate", false);
		break;
	case IOT_EL_FILE_ROOT_CA:
		install_certificate(module, "RootCA", no_host);
		break;
	case IOT_EL_FILE_HOST_CERT:
		install_certificate(module, "HOTAcertificate", no_host);
		break;
	default:
		keep_for_host(module);
	}
}

/* --- the module's own firmware ----------------------------------------------------- */

void ota_apply(struct module *module)
{
	module->reset_due = false;
	module_say(module, "applying", "%s", module->ota.job.job_id);
	module->ota.applying = true;
	module_reset(module);
}

/* The boot loader: an image that does not run is taken back before anybody notices. */
void ota_boot(struct module *module)
{
	IOT_CLEAN(iot_free_p) char *path = ota_image_path(module);
	struct iot_sim_firmware firmware;
	char version[16], reason[96];

	if (!module->ota.applying)
		return;
	module->ota.applying = false;
	if (iot_sim_firmware_read(path, &firmware, NULL) != IOT_OK) {
		ota_finish(module, false, "0x00000011: reverted: image does not boot");
		return;
	}
	iot_sim_version_text(&firmware, version);
	if (firmware.behaviour != IOT_SIM_OK) {
		snprintf(reason, sizeof(reason), "0x00000011: reverted: v%s %s", version,
			 firmware.behaviour == IOT_SIM_CRASH  ? "crashed"
			 : firmware.behaviour == IOT_SIM_HANG ? "was reset by the watchdog"
							      : "failed its self test");
		ota_finish(module, false, reason);
		return;
	}
	module->firmware = firmware;
	snprintf(reason, sizeof(reason), "accepted v%s", version);
	ota_finish(module, true, reason);
}
