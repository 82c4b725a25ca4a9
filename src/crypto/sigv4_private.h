/* Shared by the signing and the checking side of Signature Version 4. */
#ifndef IOTCTL_SIGV4_PRIVATE_H
#define IOTCTL_SIGV4_PRIVATE_H

#include "iotctl/sigv4.h"

#define IOT_SIGV4_ALGORITHM "AWS4-HMAC-SHA256"
#define IOT_SIGV4_SIGNATURE_PARAMETER "X-Amz-Signature"

/* What the signature is made over besides the request. */
struct iot_sigv4_scope {
	const char *time; /* "20150830T123600Z" */
	const char *region;
	const char *service;
	const char *signed_headers;
};

/*
 * The signature. Headers named in scope->signed_headers are taken from the
 * request; the parameter X-Amz-Signature of the query is left out.
 * IOT_USAGE: a request beyond the limits.
 */
IOT_CHECK enum iot_status iot_sigv4_compute(const char *secret, const struct iot_sigv4_scope *scope,
					    const struct iot_sigv4_request *request, uint8_t signature[32],
					    struct iot_error *err);

#endif
