/*
 * CreateCertificateFromCsr makes a new certificate with every call. When nobody
 * knows what came of one, the newest certificates of the account are compared
 * with the request's key: the one that has it is the answer; only when there is
 * none is the request sent again.
 */
#include "cloud/aws/aws_private.h"

#include "iotctl/cert.h"
#include "iotctl/log.h"

enum {
	ROUNDS = 3, /* requests sent in all */
	LOOKS = 3,  /* after each: the service may still be busy with it */
	LOOK_MS = 700,
	PAGE = 50,
	PAGES = 4,
	MARGIN_MS = 5 * 60 * 1000, /* two clocks never agree */
};

static enum iot_status call(struct aws *aws, const char *operation, json_t *request, json_t **ret,
			    struct iot_error *err)
{
	enum iot_status status = aws_call_run(aws, iot_operation_find(operation), request, NULL, ret, NULL, err);

	json_decref(request);
	return status;
}

/* Has this certificate the key? Then *ret is what the lost answer said. */
static enum iot_status look_at(struct aws *aws, const char *id, const struct iot_key *key, json_t **ret,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	IOT_JSON reply = NULL;
	const json_t *described;
	const char *pem;
	enum iot_status status = IOT_OK;

	if (json_object_get(aws->looked_at, id) == NULL)
		status = call(aws, "DescribeCertificate", json_pack("{s:s}", "certificateId", id), &reply, err);
	if (status != IOT_OK)
		return status == IOT_NOT_FOUND ? IOT_OK : status;
	if (aws->looked_at == NULL)
		aws->looked_at = json_object();
	if (reply != NULL)
		json_object_set(aws->looked_at, id, json_object_get(reply, "certificateDescription"));
	described = json_object_get(aws->looked_at, id);
	pem = iot_json_str(described, "certificatePem", "");
	if (iot_cert_parse_pem(pem, strlen(pem), "certificate", &cert, NULL) != IOT_OK ||
	    !iot_key_equal(iot_cert_key(cert), key))
		return IOT_OK;
	*ret = json_pack("{s:s, s:s, s:s}", "certificateArn", iot_json_str(described, "certificateArn", ""),
			 "certificateId", id, "certificatePem", pem);
	return IOT_OK;
}

static enum iot_status look_through(struct aws *aws, const json_t *page, const struct iot_key *key, int64_t since_ms,
				    bool *older, json_t **ret, struct iot_error *err)
{
	const json_t *item;
	size_t i;
	enum iot_status status = IOT_OK;

	json_array_foreach(page, i, item) {
		double made = json_number_value(json_object_get(item, "creationDate"));

		if (made > 0 && made * 1000 < (double)since_ms) {
			*older = true;
			break;
		}
		status = look_at(aws, iot_json_str(item, "certificateId", ""), key, ret, err);
		if (status != IOT_OK || *ret != NULL)
			break;
	}
	return status;
}

/* *ret stays NULL when there is none. */
static enum iot_status find(struct aws *aws, const struct iot_key *key, int64_t since_ms, json_t **ret,
			    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *marker = NULL;
	bool older = false;
	enum iot_status status = IOT_OK;

	for (int page = 0; page < PAGES && status == IOT_OK && *ret == NULL && !older; page++) {
		json_t *request = json_pack("{s:i, s:b}", "pageSize", PAGE, "ascendingOrder", 0);
		IOT_JSON reply = NULL;

		iot_json_set_str(request, "marker", marker);
		status = call(aws, "ListCertificates", request, &reply, err);
		if (status == IOT_OK)
			status = look_through(aws, json_object_get(reply, "certificates"), key, since_ms, &older, ret,
					      err);
		free(marker);
		marker = iot_strdup(iot_json_str(reply, "nextMarker", NULL));
		if (marker == NULL)
			break;
	}
	return status;
}

static enum iot_status find_patiently(struct aws *aws, const struct iot_key *key, int64_t since_ms, json_t **ret,
				      struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (int look = 0; look < LOOKS && status == IOT_OK && *ret == NULL; look++) {
		if (look > 0)
			aws_pause(aws, LOOK_MS);
		status = find(aws, key, since_ms, ret, err);
	}
	return status;
}

/* The key of the request, to tell its certificate by; NULL if it cannot be read, as a service may see that otherwise.
 */
static struct iot_key *key_of(const json_t *request)
{
	const char *pem = iot_json_str(request, "certificateSigningRequest", "");
	struct iot_csr csr = {0};
	struct iot_key *key = NULL;

	if (iot_csr_parse(pem, strlen(pem), &csr, NULL) == IOT_OK)
		key = iot_take(csr.key);
	iot_csr_release(&csr);
	return key;
}

enum iot_status aws_certificate_from_csr(struct aws *aws, const struct iot_operation *op, const json_t *request,
					 json_t **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = key_of(request);
	int64_t began = iot_now_ms();
	enum iot_status status = IOT_OK;

	for (int round = 0; round < ROUNDS; round++) {
		struct iot_error fault = IOT_ERROR_INIT, looking = IOT_ERROR_INIT;

		status = aws_call_run(aws, op, request, NULL, ret, NULL, &fault);
		if (status == IOT_OK)
			return IOT_OK;
		if (err != NULL)
			*err = fault;
		if (strcmp(fault.code, IOT_AWS_UNCERTAIN) != 0 || key == NULL)
			return status;
		iot_notice("the answer to %s was lost: looking for the certificate among the newest", op->name);
		if (find_patiently(aws, key, began + aws->skew_ms - MARGIN_MS, ret, &looking) != IOT_OK)
			return status; /* still nobody knows */
		if (*ret != NULL)
			return IOT_OK;
	}
	return status;
}

enum iot_status iot_aws_find_certificate(struct iot_cloud *cloud, const struct iot_key *key, int64_t since_ms,
					 json_t **ret_reply, struct iot_error *err)
{
	struct aws *aws = iot_cloud_self(cloud);

	*ret_reply = NULL;
	return find(aws, key, since_ms + aws->skew_ms - MARGIN_MS, ret_reply, err);
}
