/*
 * AWS Signature Version 4 (AWS General Reference, "Signature Version 4 signing
 * process"): signing a request in its headers or in its query, and what a
 * server needs to check one. AWS4-HMAC-SHA256 only.
 *
 * Paths and queries are those of the request line, percent-encoded as they go
 * over the wire. For every service but "s3" the canonical path is the wire's
 * path, normalized and encoded once more; for "s3" it is decoded and encoded
 * once. Query parameters are decoded, encoded and sorted, so any spelling of a
 * query has the same signature.
 */
#ifndef IOTCTL_SIGV4_H
#define IOTCTL_SIGV4_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

#define IOT_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define IOT_SIGV4_DATE_SIZE 17 /* "20150830T123600Z" and the NUL */
#define IOT_SIGV4_MAX_EXPIRES (7 * 24 * 3600)
#define IOT_SIGV4_MAX_HEADERS 64 /* names in SignedHeaders, and headers of a request */

struct iot_sigv4_header {
	const char *name; /* in any case */
	const char *value;
};

/* A request as it goes over the wire. Nothing is changed or kept. */
struct iot_sigv4_request {
	const char *method;
	const char *path;  /* begins with '/' */
	const char *query; /* without '?'; NULL or "": none */
	const struct iot_sigv4_header *headers;
	size_t header_count;
	const char *payload_hash; /* lower-case hex of the body's SHA-256, or what x-amz-content-sha256 says */
};

/* Who signs, and for which service where. */
struct iot_sigv4_key {
	const char *access_key;
	const char *secret;
	const char *region;
	const char *service;
};

/* The time as x-amz-date has it. Returns out. */
char *iot_sigv4_date(int64_t ms, char out[IOT_SIGV4_DATE_SIZE]);

/*
 * Append the value of the Authorization header. All headers of the request are
 * signed: `host` and `x-amz-date` (of the same `ms`) must be among them, and a
 * session token as x-amz-security-token. IOT_USAGE names what is missing.
 */
IOT_CHECK enum iot_status iot_sigv4_sign(const struct iot_sigv4_key *key, const struct iot_sigv4_request *request,
					 int64_t ms, struct iot_buf *authorization, struct iot_error *err);

/*
 * Append the whole query of a presigned request: the request's own parameters,
 * X-Amz-Algorithm and its fellows, and at the end X-Amz-Signature. All headers
 * of the request are signed (`host` must be there). `token` may be NULL.
 * The payload hash is the request's; S3 takes IOT_SIGV4_UNSIGNED.
 */
IOT_CHECK enum iot_status iot_sigv4_presign(const struct iot_sigv4_key *key, const struct iot_sigv4_request *request,
					    const char *token, int64_t ms, int expires_s, struct iot_buf *query,
					    struct iot_error *err);

/* --- the server's side ----------------------------------------------------- */

/* What a request says of its signature. Fixed size: nothing to release. */
struct iot_sigv4_claim {
	char access_key[129];
	char date[9]; /* of the scope */
	char region[65];
	char service[65];
	char time[IOT_SIGV4_DATE_SIZE];
	int64_t ms;               /* the same in milliseconds since 1970 */
	int expires_s;            /* of a presigned query; 0 for headers */
	char signed_headers[2049]; /* "host;x-amz-date": lower case, sorted, no name twice */
	uint8_t signature[32];
	bool presigned;
};

/* Is there a signature in this query (X-Amz-Algorithm or X-Amz-Signature)? */
bool iot_sigv4_query_is_signed(const char *query);

/*
 * Read the Authorization and x-amz-date headers, or a presigned query. Strict:
 * IOT_DENIED with code "IncompleteSignature" (something is missing or
 * malformed) or "InvalidSignatureException" (unknown algorithm, scope and time
 * disagree), naming the part.
 */
IOT_CHECK enum iot_status iot_sigv4_parse_header(const char *authorization, const char *amz_date,
						 struct iot_sigv4_claim *ret, struct iot_error *err);
IOT_CHECK enum iot_status iot_sigv4_parse_query(const char *query, struct iot_sigv4_claim *ret, struct iot_error *err);

/*
 * Is it signed with this secret? Takes method, path, query, headers as they
 * came (a presigned query with its signature) and the payload hash; compares
 * in constant time. IOT_DENIED: code "InvalidSignatureException" (does not
 * match) or "IncompleteSignature" (host, or an x-amz- header that came, or a
 * header named in SignedHeaders, is not signed or not there). The caller
 * compares claim->region and claim->service with its own.
 */
IOT_CHECK enum iot_status iot_sigv4_verify(const struct iot_sigv4_claim *claim, const char *secret,
					   const struct iot_sigv4_request *request, struct iot_error *err);

/*
 * Is now inside the claim's time: within `window_ms` of it (headers), or from
 * window_ms before it until it expires (query). IOT_DENIED, code
 * "RequestTimeTooSkewed" (headers) or "AccessDenied" (query), with both times.
 */
IOT_CHECK enum iot_status iot_sigv4_check_time(const struct iot_sigv4_claim *claim, int64_t now_ms, int64_t window_ms,
					       struct iot_error *err);

#endif
