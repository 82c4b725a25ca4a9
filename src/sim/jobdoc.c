/*
 * Reading job executions. Everything in a document comes from elsewhere, so
 * each member is checked for kind, size and meaning before it is used; the
 * first fault found is the one that is reported.
 */
#include "sim/jobdoc.h"

#include "iotctl/base.h"
#include "iotctl/cert.h"
#include "iotctl/endpoint.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { FILE_ID_MAX = 255, PROTOCOLS_MAX = 8 };

char *sim_fault_text(const struct sim_fault *fault, char out[129])
{
	snprintf(out, 129, "0x%08x: %s", (unsigned)fault->code, fault->text);
	return out;
}

static bool wrong(struct sim_fault *fault, enum sim_fault_code code, const char *fmt, ...) IOT_PRINTF(3, 4);
static bool wrong(struct sim_fault *fault, enum sim_fault_code code, const char *fmt, ...)
{
	va_list args;

	fault->code = code;
	va_start(args, fmt);
	vsnprintf(fault->text, sizeof(fault->text), fmt, args);
	va_end(args);
	return false;
}

/* A name that travels in a topic: [A-Za-z0-9_-], within the limit. */
static bool take_name(const json_t *value, size_t max, char *out)
{
	const char *text = json_string_value(value);
	size_t len = text != NULL ? strlen(text) : 0;

	if (len == 0 || len > max)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && text[i] != '-' && text[i] != '_')
			return false;
	}
	memcpy(out, text, len + 1);
	return true;
}

static bool read_protocols(const json_t *protocols, struct sim_fault *fault)
{
	if (!json_is_array(protocols) || json_array_size(protocols) > PROTOCOLS_MAX)
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: no protocols");
	for (size_t i = 0; i < json_array_size(protocols); i++) {
		const char *name = json_string_value(json_array_get(protocols, i));

		if (name != NULL && strcmp(name, "MQTT") == 0)
			return true;
	}
	return wrong(fault, SIM_FAULT_PROTOCOL, "job document: MQTT is not among the protocols");
}

/* The signature is told by its member's name. SHA-1 ones are not among those we accept. */
static bool read_signature(const json_t *file, struct sim_job *job, struct sim_fault *fault)
{
	for (const struct iot_image_scheme *scheme = iot_image_schemes; scheme->name != NULL; scheme++) {
		const char *text = json_string_value(json_object_get(file, scheme->name));

		if (text == NULL || scheme->legacy)
			continue;
		if (strlen(text) >= sizeof(job->signature))
			return wrong(fault, SIM_FAULT_DOCUMENT, "job document: %s is too long", scheme->name);
		strcpy(job->signature, text);
		job->scheme = scheme;
		return true;
	}
	return wrong(fault, SIM_FAULT_SIGNATURE, "job document: no signature this device accepts");
}

/* `strict`: as the OTA library wants it, with a path and a signature. */
static bool read_file(const json_t *file, bool strict, struct sim_job *job, struct sim_fault *fault)
{
	const json_t *size = json_object_get(file, "filesize"), *id = json_object_get(file, "fileid");

	if (!json_is_integer(size) || json_integer_value(size) <= 0)
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: bad filesize");
	if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > FILE_ID_MAX)
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: bad fileid");
	if (json_integer_value(size) > SIM_SLOT_SIZE)
		return wrong(fault, SIM_FAULT_SIZE, "image of %lld bytes does not fit into a slot of %d",
			     (long long)json_integer_value(size), SIM_SLOT_SIZE);
	if (strict && !json_is_string(json_object_get(file, "filepath")))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: no filepath");
	if (strict && !json_is_string(json_object_get(file, "certfile")))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: no certfile");
	job->size = (uint32_t)json_integer_value(size);
	job->file_id = (uint32_t)json_integer_value(id);
	job->file_type = (int)iot_json_int(file, "fileType", 0);
	return read_signature(file, job, fault) ||
	       (!strict && job->scheme == NULL && fault->code == SIM_FAULT_SIGNATURE);
}

static bool is_forced(const json_t *object)
{
	return strcasecmp(iot_json_str(object, "force", ""), "YES") == 0;
}

static bool read_document(const json_t *document, bool strict, struct sim_job *job, struct sim_fault *fault)
{
	const json_t *ota = json_object_get(document, "afr_ota"), *files = json_object_get(ota, "files");
	const json_t *file = json_array_get(files, 0);

	if (!json_is_object(ota))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: no afr_ota");
	if (!read_protocols(json_object_get(ota, "protocols"), fault))
		return false;
	if (!take_name(json_object_get(ota, "streamname"), SIM_STREAM_NAME_MAX, job->stream))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: bad streamname");
	if (!json_is_array(files) || json_array_size(files) != 1)
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: this device takes exactly one file");
	job->force =
		is_forced(document) || is_forced(ota) || is_forced(file) || is_forced(json_object_get(file, "attr"));
	return read_file(file, strict, job, fault);
}

/* "0x00010000", or a decimal number as the OTA library reads it back. */
static bool take_version(const char *text, uint32_t *ret)
{
	char *end;
	unsigned long long number;

	if (text == NULL || !isdigit((unsigned char)text[0]))
		return false;
	number = strtoull(text, &end, 0);
	if (*end != '\0' || number > UINT32_MAX)
		return false;
	*ret = (uint32_t)number;
	return true;
}

static void read_details(const json_t *details, struct sim_job *job)
{
	const char *test = iot_json_str(details, "self_test", "");

	snprintf(job->self_test, sizeof(job->self_test), "%s", test);
	job->has_updated_by = take_version(iot_json_str(details, "updatedBy", NULL), &job->updated_by);
}

/* {"iotctl": {"trust": {"endpoint"?, "port"?, "rootCa"?}}}: members that are not known could mean anything. */
static bool read_trust(const json_t *trust, struct sim_job *job, struct sim_fault *fault)
{
	const json_t *endpoint = json_object_get(trust, "endpoint"), *port = json_object_get(trust, "port");
	const json_t *root = json_object_get(trust, "rootCa");
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	size_t known = (endpoint != NULL) + (port != NULL) + (root != NULL);
	int none = 0;

	job->root_ca = json_string_value(root);
	if (!json_is_object(trust) || json_object_size(trust) != known || (endpoint == NULL && root == NULL))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: trust is not endpoint, port and rootCa");
	if (endpoint != NULL &&
	    (!json_is_string(endpoint) || iot_endpoint_split(json_string_value(endpoint), job->endpoint,
							     sizeof(job->endpoint), &none, NULL) != IOT_OK ||
	     none != 0))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: bad endpoint");
	if (port != NULL && (!json_is_integer(port) || endpoint == NULL || json_integer_value(port) < 1 ||
			     json_integer_value(port) > 65535))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: bad port");
	job->port = (int)json_integer_value(port);
	if (root != NULL && (job->root_ca == NULL || strlen(job->root_ca) > IOT_CERT_PEM_MAX ||
			     iot_cert_parse_pem(job->root_ca, strlen(job->root_ca), "rootCa", &cert, NULL) != IOT_OK ||
			     !iot_cert_is_ca(cert)))
		return wrong(fault, SIM_FAULT_DOCUMENT, "job document: rootCa is not the certificate of a CA");
	return true;
}

static enum sim_job_kind read_job(const json_t *reply, bool strict, struct sim_job *ret_job,
				  struct sim_fault *ret_fault)
{
	const json_t *execution = json_object_get(reply, "execution"), *document, *trust;

	memset(ret_job, 0, sizeof(*ret_job));
	if (!json_is_object(reply))
		return SIM_JOB_FOREIGN;
	if (execution == NULL || json_is_null(execution) ||
	    (json_is_object(execution) && json_object_size(execution) == 0))
		return SIM_JOB_NONE;
	if (!take_name(json_object_get(execution, "jobId"), SIM_JOB_ID_MAX, ret_job->job_id))
		return SIM_JOB_FOREIGN;
	read_details(json_object_get(execution, "statusDetails"), ret_job);
	document = json_object_get(execution, "jobDocument");
	trust = json_object_get(json_object_get(document, "iotctl"), "trust");
	if (strict && trust != NULL && json_object_get(document, "afr_ota") == NULL)
		return read_trust(trust, ret_job, ret_fault) ? SIM_JOB_TRUST : SIM_JOB_BAD;
	return read_document(document, strict, ret_job, ret_fault) ? SIM_JOB_OTA : SIM_JOB_BAD;
}

enum sim_job_kind sim_job_read(const json_t *reply, struct sim_job *ret_job, struct sim_fault *ret_fault)
{
	return read_job(reply, true, ret_job, ret_fault);
}

enum sim_job_kind sim_job_read_module(const json_t *reply, struct sim_job *ret_job, struct sim_fault *ret_fault)
{
	return read_job(reply, false, ret_job, ret_fault);
}
