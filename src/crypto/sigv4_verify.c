/*
 * Signature Version 4 from the server's side: strict reading of what a request
 * says of its signature, and checking it. What a name or number may look like
 * is fixed here, so nothing foreign of another shape reaches a log or a lookup.
 */
#include "crypto/sigv4_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MAX_QUERY ((size_t)64 * 1024)
#define MAX_VALUE 8192 /* of a parameter or part: the longest is the list of header names */

static enum iot_status incomplete(struct iot_error *err, const char *what)
{
	iot_fail(err, IOT_DENIED, "the signature's %s", what);
	iot_error_set_code(err, "IncompleteSignature");
	return IOT_DENIED;
}

static enum iot_status invalid(struct iot_error *err, const char *what)
{
	iot_fail(err, IOT_DENIED, "%s", what);
	iot_error_set_code(err, "InvalidSignatureException");
	return IOT_DENIED;
}

static bool all_in(const char *text, size_t len, const char *extra)
{
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)text[i]) && (text[i] == '\0' || strchr(extra, text[i]) == NULL))
			return false;
	}
	return len > 0;
}

/* A part up to `separator`, copied if it fits and has only these characters; *at moves behind the separator. */
static bool take_part(const char **at, char separator, char *out, size_t size, const char *extra)
{
	const char *end = strchr(*at, separator);
	size_t len = end != NULL ? (size_t)(end - *at) : 0;

	if (end == NULL || len >= size || !all_in(*at, len, extra))
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at = end + 1;
	return true;
}

static bool digits(const char *text, size_t len)
{
	return strlen(text) >= len && strspn(text, "0123456789") >= len;
}

static enum iot_status read_time(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	char spelled[32];

	if (text == NULL)
		return incomplete(err, "time (x-amz-date) is missing");
	if (strlen(text) != IOT_SIGV4_DATE_SIZE - 1 || !digits(text, 8) || text[8] != 'T' || !digits(text + 9, 6) ||
	    strcmp(text + 15, "Z") != 0)
		return incomplete(err, "time (x-amz-date) is not like 20150830T123600Z");
	memcpy(claim->time, text, IOT_SIGV4_DATE_SIZE);
	snprintf(spelled, sizeof(spelled), "%.4s-%.2s-%.2sT%.2s:%.2s:%.2sZ", text, text + 4, text + 6, text + 9,
		 text + 11, text + 13);
	if (iot_time_parse_rfc3339(spelled, &claim->ms, NULL) != IOT_OK)
		return incomplete(err, "time (x-amz-date) does not exist");
	return IOT_OK;
}

/* "AKID/20150830/us-east-1/iam/aws4_request" */
static enum iot_status read_credential(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	if (!take_part(&text, '/', claim->access_key, sizeof(claim->access_key), "_-") ||
	    !take_part(&text, '/', claim->date, sizeof(claim->date), "") || !digits(claim->date, 8) ||
	    !take_part(&text, '/', claim->region, sizeof(claim->region), "-") ||
	    !take_part(&text, '/', claim->service, sizeof(claim->service), "-") || strcmp(text, "aws4_request") != 0)
		return incomplete(err, "credential is not like KEY/DATE/REGION/SERVICE/aws4_request");
	return IOT_OK;
}

static enum iot_status read_names(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	const char *before = "";
	size_t before_len = 0, count = 0;

	if (strlen(text) >= sizeof(claim->signed_headers) || *text == '\0')
		return incomplete(err, "list of headers is empty or too long");
	for (const char *at = text; *at != '\0'; count++) {
		size_t len = strcspn(at, ";");
		size_t shorter = len < before_len ? len : before_len;
		int order = strncmp(before, at, shorter);

		if (!all_in(at, len, "!#$%&'*+-.^_`|~") || strcspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") < len ||
		    (at[len] == ';' && at[len + 1] == '\0') || count == IOT_SIGV4_MAX_HEADERS)
			return incomplete(err, "list of headers has a name that is none");
		if (count > 0 && (order > 0 || (order == 0 && before_len >= len)))
			return incomplete(err, "list of headers is not sorted");
		before = at;
		before_len = len;
		at += len + (at[len] == ';');
	}
	memcpy(claim->signed_headers, text, strlen(text) + 1);
	return IOT_OK;
}

static enum iot_status read_signature(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	if (strlen(text) != 64 || strspn(text, "0123456789abcdef") != 64 ||
	    !iot_unhex(text, claim->signature, sizeof(claim->signature)))
		return incomplete(err, "value is not 64 lower-case hexadecimal digits");
	return IOT_OK;
}

static enum iot_status check_scope(const struct iot_sigv4_claim *claim, struct iot_error *err)
{
	if (strncmp(claim->date, claim->time, 8) != 0)
		return invalid(err, "the date of the signature's credential is not that of its time");
	return IOT_OK;
}

/* The value of "NAME=" at *at up to a comma or the end, as a string; *at moves on past the comma and blanks. */
static bool take_named(const char **at, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name), len;

	if (strncmp(*at, name, name_len) != 0 || (*at)[name_len] != '=')
		return false;
	*at += name_len + 1;
	len = strcspn(*at, ", ");
	if (len == 0 || len >= size)
		return false;
	memcpy(out, *at, len);
	out[len] = '\0';
	*at += len;
	*at += strspn(*at, " ");
	if (**at == ',') {
		(*at)++;
		*at += strspn(*at, " ");
		return **at != '\0';
	}
	return **at == '\0';
}

struct parts {
	char credential[512];
	char names[2049];
	char signature[80];
};

/* The three in any order, each once. */
static bool take_parts(const char *at, struct parts *parts)
{
	for (int i = 0; i < 3; i++) {
		bool taken = (parts->credential[0] == '\0' &&
			      take_named(&at, "Credential", parts->credential, sizeof(parts->credential))) ||
			     (parts->names[0] == '\0' &&
			      take_named(&at, "SignedHeaders", parts->names, sizeof(parts->names))) ||
			     (parts->signature[0] == '\0' &&
			      take_named(&at, "Signature", parts->signature, sizeof(parts->signature)));

		if (!taken)
			return false;
	}
	return *at == '\0';
}

enum iot_status iot_sigv4_parse_header(const char *authorization, const char *amz_date, struct iot_sigv4_claim *ret,
				       struct iot_error *err)
{
	struct iot_sigv4_claim claim = {.presigned = false};
	struct parts parts = {.credential = ""};
	size_t len = strcspn(authorization, " ");
	enum iot_status status;

	if (strncmp(authorization, IOT_SIGV4_ALGORITHM " ", sizeof(IOT_SIGV4_ALGORITHM)) != 0)
		return invalid(err, "the request is not signed with " IOT_SIGV4_ALGORITHM);
	authorization += len;
	authorization += strspn(authorization, " ");
	if (!take_parts(authorization, &parts))
		return incomplete(err, "header is not 'Credential=..., SignedHeaders=..., Signature=...'");
	status = read_time(amz_date, &claim, err);
	if (status == IOT_OK)
		status = read_credential(parts.credential, &claim, err);
	if (status == IOT_OK)
		status = read_names(parts.names, &claim, err);
	if (status == IOT_OK)
		status = read_signature(parts.signature, &claim, err);
	if (status == IOT_OK)
		status = check_scope(&claim, err);
	if (status == IOT_OK)
		*ret = claim;
	return status;
}

/* --- a presigned query ---------------------------------------------------------------------- */

/* The decoded value of a parameter that must be there exactly once. */
static enum iot_status parameter(const char *query, const char *name, struct iot_buf *out, struct iot_error *err)
{
	size_t name_len = strlen(name), found = 0;

	iot_buf_clear(out);
	for (const char *at = query; *at != '\0';) {
		size_t len = strcspn(at, "&");

		if (len > name_len && at[name_len] == '=' && strncmp(at, name, name_len) == 0) {
			if (!iot_percent_decode(at + name_len + 1, len - name_len - 1, out))
				return incomplete(err, "query has a malformed escape");
			found++;
		}
		at += len + (at[len] == '&');
	}
	if (found == 1 && !out->over)
		return IOT_OK;
	iot_fail(err, IOT_DENIED, "the query has %s parameter '%s'", found == 0 ? "no" : "not one good", name);
	iot_error_set_code(err, "IncompleteSignature");
	return IOT_DENIED;
}

bool iot_sigv4_query_is_signed(const char *query)
{
	const char *at = query;

	while (at != NULL && *at != '\0') {
		size_t len = strcspn(at, "&");

		if (strncmp(at, "X-Amz-Algorithm=", 16) == 0 ||
		    strncmp(at, IOT_SIGV4_SIGNATURE_PARAMETER "=", sizeof(IOT_SIGV4_SIGNATURE_PARAMETER)) == 0)
			return true;
		at += len + (at[len] == '&');
	}
	return false;
}

static enum iot_status read_expires(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	int64_t seconds;

	if (strspn(text, "0123456789") != strlen(text) ||
	    iot_parse_int(text, 1, IOT_SIGV4_MAX_EXPIRES, &seconds, NULL) != IOT_OK)
		return incomplete(err, "X-Amz-Expires is not between 1 and 604800 seconds");
	claim->expires_s = (int)seconds;
	return IOT_OK;
}

static enum iot_status read_algorithm(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err)
{
	(void)claim;
	return strcmp(text, IOT_SIGV4_ALGORITHM) == 0
		       ? IOT_OK
		       : invalid(err, "the request is not signed with " IOT_SIGV4_ALGORITHM);
}

static const struct {
	const char *name;
	enum iot_status (*read)(const char *text, struct iot_sigv4_claim *claim, struct iot_error *err);
} query_parts[] = {
	{"X-Amz-Algorithm", read_algorithm}, {"X-Amz-Credential", read_credential},
	{"X-Amz-Date", read_time},           {"X-Amz-Expires", read_expires},
	{"X-Amz-SignedHeaders", read_names}, {IOT_SIGV4_SIGNATURE_PARAMETER, read_signature},
};

enum iot_status iot_sigv4_parse_query(const char *query, struct iot_sigv4_claim *ret, struct iot_error *err)
{
	struct iot_sigv4_claim claim = {.presigned = true};
	struct iot_buf value = IOT_BUF_INIT(MAX_VALUE);
	enum iot_status status = IOT_OK;

	if (strlen(query) > MAX_QUERY)
		return incomplete(err, "query is too long");
	for (size_t i = 0; status == IOT_OK && i < IOT_LENGTH(query_parts); i++) {
		status = parameter(query, query_parts[i].name, &value, err);
		if (status == IOT_OK)
			status = query_parts[i].read(iot_buf_str(&value), &claim, err);
	}
	iot_buf_release(&value);
	if (status == IOT_OK)
		status = check_scope(&claim, err);
	if (status == IOT_OK)
		*ret = claim;
	return status;
}

/* --- checking --------------------------------------------------------------------------------- */

static bool is_signed(const struct iot_sigv4_claim *claim, const char *name)
{
	size_t wanted = strlen(name);

	for (const char *at = claim->signed_headers; *at != '\0';) {
		size_t len = strcspn(at, ";");

		if (len == wanted && strncasecmp(at, name, len) == 0)
			return true;
		at += len + (at[len] == ';');
	}
	return false;
}

/* How many names of SignedHeaders came with the request at least once. */
static bool all_came(const struct iot_sigv4_claim *claim, const struct iot_sigv4_request *request)
{
	for (const char *at = claim->signed_headers; *at != '\0';) {
		size_t len = strcspn(at, ";");
		bool came = false;

		for (size_t i = 0; i < request->header_count && !came; i++)
			came = strlen(request->headers[i].name) == len &&
			       strncasecmp(request->headers[i].name, at, len) == 0;
		if (!came)
			return false;
		at += len + (at[len] == ';');
	}
	return true;
}

enum iot_status iot_sigv4_verify(const struct iot_sigv4_claim *claim, const char *secret,
				 const struct iot_sigv4_request *request, struct iot_error *err)
{
	const struct iot_sigv4_scope scope = {claim->time, claim->region, claim->service, claim->signed_headers};
	uint8_t signature[32];
	enum iot_status status;
	bool same;

	if (!is_signed(claim, "host"))
		return incomplete(err, "list of headers does not have 'host'");
	for (size_t i = 0; i < request->header_count; i++) {
		/* What is not signed could have been added on the way. */
		if (strncasecmp(request->headers[i].name, "x-amz-", 6) == 0 &&
		    !is_signed(claim, request->headers[i].name))
			return incomplete(err, "list of headers does not have every x-amz- header that came");
	}
	if (!all_came(claim, request))
		return incomplete(err, "list of headers names one that did not come");
	status = iot_sigv4_compute(secret, &scope, request, signature, err);
	if (status != IOT_OK)
		return status;
	same = iot_equal_secret(signature, claim->signature, sizeof(signature));
	iot_wipe(signature, sizeof(signature));
	return same ? IOT_OK : invalid(err, "the signature does not match the request");
}

enum iot_status iot_sigv4_check_time(const struct iot_sigv4_claim *claim, int64_t now_ms, int64_t window_ms,
				     struct iot_error *err)
{
	int64_t last = claim->presigned ? claim->ms + (int64_t)claim->expires_s * 1000 : claim->ms + window_ms;
	char now[IOT_SIGV4_DATE_SIZE];

	if (now_ms >= claim->ms - window_ms && now_ms <= last)
		return IOT_OK;
	iot_sigv4_date(now_ms, now);
	if (claim->presigned && now_ms > last)
		iot_fail(err, IOT_DENIED, "the request expired: signed at %s for %d seconds, and it is %s", claim->time,
			 claim->expires_s, now);
	else
		iot_fail(err, IOT_DENIED, "the request was signed at %s, and it is %s here", claim->time, now);
	iot_error_set_code(err, claim->presigned ? "AccessDenied" : "RequestTimeTooSkewed");
	return IOT_DENIED;
}
