/*
 * A device's certificate where a service issues it (AWS, a fleet elsewhere): the
 * key is made here and stays here, a request is sent. The same call finishes one that was
 * killed: a certificate that was made for the key meanwhile is found again.
 */
#include "fleet/create_private.h"

#include "iotctl/aws.h"
#include "iotctl/cert.h"
#include "iotctl/fs.h"

#include <string.h>
#include <sys/stat.h>

/* The board's own request, or one for the key in the folder. */
static enum iot_status make_request(const struct iot_device_spec *spec, struct iot_buf *csr, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(spec->out, "private.key");
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	enum iot_status status;

	if (spec->csr != NULL)
		return iot_fs_read(spec->csr, csr, err);
	status = iot_key_load(path, NULL, &key, err);
	return status == IOT_OK ? iot_csr_create(key, spec->name, csr, err) : status;
}

/* When the key was made, or the request of a board; no certificate for it can be older. */
static int64_t key_age_ms(const struct iot_device_spec *spec)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(spec->out, "private.key");
	struct stat st;

	return stat(spec->csr != NULL ? spec->csr : path, &st) == 0 ? (int64_t)st.st_mtime * 1000 : 0;
}

enum iot_status fleet_aws_sign(struct iot_cloud *cloud, const struct iot_buf *csr, json_t **ret_reply,
			       struct iot_error *err)
{
	return fleet_call(cloud, "CreateCertificateFromCsr",
			  json_pack("{s:s, s:b}", "certificateSigningRequest", iot_buf_str(csr), "setAsActive", 1),
			  ret_reply, err);
}

enum iot_status fleet_aws_issue(struct iot_cloud *cloud, const struct iot_device_spec *spec, const struct iot_key *key,
				bool fresh, struct iot_buf *pem, char **ret_id, struct iot_error *err)
{
	struct iot_buf csr = IOT_BUF_INIT(IOT_CSR_MAX);
	IOT_JSON reply = NULL;
	const char *text;
	enum iot_status status = iot_key_check_device(key, err);

	if (status == IOT_OK && !fresh)
		status = iot_aws_find_certificate(cloud, key, key_age_ms(spec), &reply, err);
	if (status == IOT_OK && reply == NULL) {
		status = make_request(spec, &csr, err);
		if (status == IOT_OK)
			status = fleet_aws_sign(cloud, &csr, &reply, err);
	}
	iot_buf_release(&csr);
	if (status != IOT_OK)
		return status;
	text = iot_json_str(reply, "certificatePem", "");
	iot_buf_adds(pem, text);
	free(*ret_id);
	*ret_id = iot_strdup(iot_json_str(reply, "certificateId", NULL));
	if (text[0] == '\0' || *ret_id == NULL)
		return iot_fail(err, IOT_FAILURE, "the service sent no certificate");
	return iot_buf_check(pem, "the certificate", err);
}

/* AWS names a certificate by its digest; other endpoints by what they like: there it is found by its key. */
enum iot_status fleet_aws_certificate_id(struct iot_cloud *cloud, const struct iot_cert *cert, const char *path,
					 char **ret_id, struct iot_error *err)
{
	IOT_JSON found = NULL;
	enum iot_status status = fleet_call(cloud, "DescribeCertificate",
					    json_pack("{s:s}", "certificateId", iot_cert_id(cert)), NULL, err);

	if (status == IOT_OK) {
		*ret_id = iot_strdup(iot_cert_id(cert));
		return IOT_OK;
	}
	if (!fleet_missing(err))
		return status;
	iot_error_clear(err);
	status = iot_aws_find_certificate(cloud, iot_cert_key(cert), iot_cert_not_before(cert), &found, err);
	if (status == IOT_OK && found == NULL)
		return iot_fail(err, IOT_CONFLICT, "'%s' is not a certificate that the service knows", path);
	if (status == IOT_OK)
		*ret_id = iot_strdup(iot_json_str(found, "certificateId", ""));
	return status;
}
