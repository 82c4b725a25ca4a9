/*
 * Signature Version 4: the canonical request, the key that is derived for a
 * day, region and service, and the two places a signature is written to (the
 * Authorization header, a presigned query). The checking side is in
 * sigv4_verify.c and uses the same computation.
 */
#include "crypto/sigv4_private.h"

#include "iotctl/base.h"
#include "iotctl/digest.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define MAX_CANONICAL ((size_t)128 * 1024)
#define MAX_PARAMETERS 256

struct parameter {
	char *name, *value; /* decoded and encoded again */
};

struct parameters {
	struct parameter item[MAX_PARAMETERS];
	size_t count;
};

static void parameters_release(struct parameters *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->item[i].name);
		free(list->item[i].value);
	}
}

char *iot_sigv4_date(int64_t ms, char out[IOT_SIGV4_DATE_SIZE])
{
	time_t seconds = (time_t)(ms / 1000);
	struct tm tm;

	if (gmtime_r(&seconds, &tm) == NULL || strftime(out, IOT_SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
		memcpy(out, "19700101T000000Z", IOT_SIGV4_DATE_SIZE);
	return out;
}

/* --- the canonical request -------------------------------------------------------------- */

/* One spelling for every way to encode a text; what is no valid encoding is taken literally. */
static char *respell(const char *text, size_t len)
{
	struct iot_buf plain = IOT_BUF_INIT(MAX_CANONICAL), coded = IOT_BUF_INIT(MAX_CANONICAL);

	if (iot_percent_decode(text, len, &plain))
		iot_percent_encode(iot_buf_str(&plain), plain.len, &coded);
	else
		iot_percent_encode(text, len, &coded);
	iot_buf_release(&plain);
	return iot_buf_detach(&coded);
}

static int compare_parameters(const void *a, const void *b)
{
	const struct parameter *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : strcmp(left->value, right->value);
}

static enum iot_status read_parameters(const char *query, struct parameters *ret, struct iot_error *err)
{
	while (query != NULL && *query != '\0') {
		size_t len = strcspn(query, "&");
		const char *equals = memchr(query, '=', len);
		size_t name_len = equals != NULL ? (size_t)(equals - query) : len;
		struct parameter *item = &ret->item[ret->count];

		if (ret->count == MAX_PARAMETERS)
			return iot_fail(err, IOT_USAGE, "a query of more than %d parameters", MAX_PARAMETERS);
		if (len > 0) {
			item->name = respell(query, name_len);
			item->value = equals != NULL ? respell(equals + 1, len - name_len - 1) : iot_strdup("");
			ret->count++;
		}
		query += len + (query[len] == '&');
	}
	qsort(ret->item, ret->count, sizeof(ret->item[0]), compare_parameters);
	return IOT_OK;
}

static enum iot_status add_query(const char *query, struct iot_buf *out, struct iot_error *err)
{
	struct parameters *list = iot_alloc(sizeof(*list));
	enum iot_status status = read_parameters(query, list, err);
	const char *separator = "";

	for (size_t i = 0; status == IOT_OK && i < list->count; i++) {
		if (strcmp(list->item[i].name, IOT_SIGV4_SIGNATURE_PARAMETER) == 0)
			continue;
		iot_buf_addf(out, "%s%s=%s", separator, list->item[i].name, list->item[i].value);
		separator = "&";
	}
	parameters_release(list);
	free(list);
	return status;
}

/* Drop the last segment: "/a/b" becomes "/a", "/a" becomes "". */
static void drop_segment(struct iot_buf *path)
{
	while (path->len > 0 && path->data[path->len - 1] != '/')
		path->len--;
	if (path->len > 0)
		path->len--;
}

/* RFC 3986 section 5.2.4, and runs of slashes become one. */
static void add_normalized(const char *path, struct iot_buf *out)
{
	bool slash = false;

	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		slash = path[len] == '/' || (len <= 2 && strncmp(path, "..", len) == 0);
		if (len == 2 && strncmp(path, "..", 2) == 0)
			drop_segment(out);
		else if (len > 0 && !(len == 1 && *path == '.')) {
			iot_buf_addc(out, '/');
			iot_buf_add(out, path, len);
		}
		path += len + (path[len] == '/');
	}
	if (slash || out->len == 0)
		iot_buf_addc(out, '/');
}

/* Encode everything but the slashes between segments. */
static void add_encoded_path(const char *path, bool decode_first, struct iot_buf *out)
{
	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		if (len > 0 && decode_first) {
			IOT_CLEAN(iot_free_p) char *segment = respell(path, len);

			iot_buf_adds(out, segment);
		} else {
			iot_percent_encode(path, len, out);
		}
		if (path[len] == '/')
			iot_buf_addc(out, '/');
		path += len + (path[len] == '/');
	}
}

static void add_path(const char *service, const char *path, struct iot_buf *out)
{
	struct iot_buf plain = IOT_BUF_INIT(MAX_CANONICAL);

	if (strcmp(service, "s3") == 0) {
		add_encoded_path(path, true, out);
	} else {
		add_normalized(path, &plain);
		add_encoded_path(iot_buf_str(&plain), false, out);
	}
	iot_buf_release(&plain);
}

/* Without blanks at the ends, runs of them as one. */
static void add_trimmed(const char *value, struct iot_buf *out)
{
	bool blank = false, started = false;

	for (; *value != '\0'; value++) {
		if (isspace((unsigned char)*value)) {
			blank = true;
			continue;
		}
		if (blank && started)
			iot_buf_addc(out, ' ');
		blank = false;
		started = true;
		iot_buf_addc(out, *value);
	}
}

/* One line per signed name; values of a header that came several times are joined. */
static void add_headers(const struct iot_sigv4_request *request, const char *names, struct iot_buf *out)
{
	while (*names != '\0') {
		size_t len = strcspn(names, ";");
		bool first = true;

		iot_buf_add(out, names, len);
		iot_buf_addc(out, ':');
		for (size_t i = 0; i < request->header_count; i++) {
			const struct iot_sigv4_header *header = &request->headers[i];

			if (strncasecmp(header->name, names, len) != 0 || header->name[len] != '\0')
				continue;
			if (!first)
				iot_buf_addc(out, ',');
			first = false;
			add_trimmed(header->value, out);
		}
		iot_buf_addc(out, '\n');
		names += len + (names[len] == ';');
	}
}

static enum iot_status canonical_hash(const struct iot_sigv4_scope *scope, const struct iot_sigv4_request *request,
				      char hash[IOT_SHA256_HEX_SIZE], struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(MAX_CANONICAL);
	enum iot_status status;

	iot_buf_addf(&text, "%s\n", request->method);
	add_path(scope->service, request->path, &text);
	iot_buf_addc(&text, '\n');
	status = add_query(request->query, &text, err);
	iot_buf_addc(&text, '\n');
	add_headers(request, scope->signed_headers, &text);
	iot_buf_addf(&text, "\n%s\n%s", scope->signed_headers, request->payload_hash);
	if (status == IOT_OK)
		status = iot_buf_check(&text, "the request's head", err);
	if (status == IOT_OK)
		iot_sha256_hex(iot_buf_str(&text), text.len, hash);
	iot_buf_release(&text);
	return status;
}

static void derive_key(const char *secret, const struct iot_sigv4_scope *scope, uint8_t key[IOT_SHA256_SIZE])
{
	struct iot_buf first = IOT_BUF_SECRET(1024);

	iot_buf_addf(&first, "AWS4%s", secret);
	iot_hmac_sha256(iot_buf_str(&first), first.len, scope->time, 8, key);
	iot_hmac_sha256(key, IOT_SHA256_SIZE, scope->region, strlen(scope->region), key);
	iot_hmac_sha256(key, IOT_SHA256_SIZE, scope->service, strlen(scope->service), key);
	iot_hmac_sha256(key, IOT_SHA256_SIZE, "aws4_request", 12, key);
	iot_buf_release(&first);
}

enum iot_status iot_sigv4_compute(const char *secret, const struct iot_sigv4_scope *scope,
				  const struct iot_sigv4_request *request, uint8_t signature[32], struct iot_error *err)
{
	uint8_t key[IOT_SHA256_SIZE];
	char hash[IOT_SHA256_HEX_SIZE], text[512];
	enum iot_status status = canonical_hash(scope, request, hash, err);
	int len;

	if (status != IOT_OK)
		return status;
	if (strlen(secret) > 512)
		return iot_fail(err, IOT_USAGE, "the secret access key is too long");
	len = snprintf(text, sizeof(text), IOT_SIGV4_ALGORITHM "\n%s\n%.8s/%s/%s/aws4_request\n%s", scope->time,
		       scope->time, scope->region, scope->service, hash);
	if (len < 0 || (size_t)len >= sizeof(text))
		return iot_fail(err, IOT_USAGE, "the names of region and service are too long");
	derive_key(secret, scope, key);
	iot_hmac_sha256(key, sizeof(key), text, (size_t)len, signature);
	iot_wipe(key, sizeof(key));
	return IOT_OK;
}

/* --- signing ------------------------------------------------------------------------------ */

static int compare_names(const void *a, const void *b)
{
	return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

static bool has_header(const struct iot_sigv4_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++) {
		if (strcasecmp(request->headers[i].name, name) == 0)
			return true;
	}
	return false;
}

/* All names of the request, lower case, sorted, each once. */
static enum iot_status signed_names(const struct iot_sigv4_request *request, struct iot_buf *out, struct iot_error *err)
{
	const char *names[IOT_SIGV4_MAX_HEADERS];
	size_t count = 0;

	if (!has_header(request, "host"))
		return iot_fail(err, IOT_USAGE, "the header 'host' is missing, which must be signed");
	if (request->header_count > IOT_SIGV4_MAX_HEADERS)
		return iot_fail(err, IOT_USAGE, "more than %d headers", IOT_SIGV4_MAX_HEADERS);
	for (size_t i = 0; i < request->header_count; i++)
		names[count++] = request->headers[i].name;
	qsort(names, count, sizeof(names[0]), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (i > 0 && strcasecmp(names[i], names[i - 1]) == 0)
			continue;
		if (out->len > 0)
			iot_buf_addc(out, ';');
		for (const char *c = names[i]; *c != '\0'; c++)
			iot_buf_addc(out, (char)tolower((unsigned char)*c));
	}
	return iot_buf_check(out, "the names of the headers", err);
}

enum iot_status iot_sigv4_sign(const struct iot_sigv4_key *key, const struct iot_sigv4_request *request, int64_t ms,
			       struct iot_buf *authorization, struct iot_error *err)
{
	struct iot_buf names = IOT_BUF_INIT(2048);
	char time[IOT_SIGV4_DATE_SIZE], hex[65];
	uint8_t signature[32];
	enum iot_status status = signed_names(request, &names, err);
	struct iot_sigv4_scope scope = {iot_sigv4_date(ms, time), key->region, key->service, iot_buf_str(&names)};

	if (status == IOT_OK && !has_header(request, "x-amz-date") && !has_header(request, "date"))
		status = iot_fail(err, IOT_USAGE, "the header 'x-amz-date' is missing, which must be signed");
	if (status == IOT_OK)
		status = iot_sigv4_compute(key->secret, &scope, request, signature, err);
	if (status == IOT_OK)
		iot_buf_addf(authorization,
			     IOT_SIGV4_ALGORITHM
			     " Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
			     key->access_key, time, key->region, key->service, scope.signed_headers,
			     iot_hex(signature, sizeof(signature), hex));
	iot_buf_release(&names);
	return status;
}

static void add_parameter(struct iot_buf *query, const char *name, const char *value)
{
	iot_buf_addf(query, "%s%s=", query->len > 0 ? "&" : "", name);
	iot_percent_encode(value, strlen(value), query);
}

static void add_presign_parameters(const struct iot_sigv4_key *key, const struct iot_sigv4_scope *scope,
				   const char *token, int expires_s, struct iot_buf *query)
{
	IOT_CLEAN(iot_free_p)
	char *credential =
		iot_strf("%s/%.8s/%s/%s/aws4_request", key->access_key, scope->time, key->region, key->service);
	IOT_CLEAN(iot_free_p) char *expires = iot_strf("%d", expires_s);

	add_parameter(query, "X-Amz-Algorithm", IOT_SIGV4_ALGORITHM);
	add_parameter(query, "X-Amz-Credential", credential);
	add_parameter(query, "X-Amz-Date", scope->time);
	add_parameter(query, "X-Amz-Expires", expires);
	if (token != NULL)
		add_parameter(query, "X-Amz-Security-Token", token);
	add_parameter(query, "X-Amz-SignedHeaders", scope->signed_headers);
}

enum iot_status iot_sigv4_presign(const struct iot_sigv4_key *key, const struct iot_sigv4_request *request,
				  const char *token, int64_t ms, int expires_s, struct iot_buf *query,
				  struct iot_error *err)
{
	struct iot_buf names = IOT_BUF_INIT(2048), whole = IOT_BUF_INIT(MAX_CANONICAL);
	char time[IOT_SIGV4_DATE_SIZE], hex[65];
	uint8_t signature[32];
	struct iot_sigv4_request presigned = *request;
	enum iot_status status = signed_names(request, &names, err);
	struct iot_sigv4_scope scope = {iot_sigv4_date(ms, time), key->region, key->service, iot_buf_str(&names)};

	if (status == IOT_OK && (expires_s < 1 || expires_s > IOT_SIGV4_MAX_EXPIRES))
		status = iot_fail(err, IOT_USAGE, "a presigned request is good for 1 to %d seconds, not %d",
				  IOT_SIGV4_MAX_EXPIRES, expires_s);
	if (request->query != NULL)
		iot_buf_adds(&whole, request->query);
	add_presign_parameters(key, &scope, token, expires_s, &whole);
	presigned.query = iot_buf_str(&whole);
	if (status == IOT_OK)
		status = iot_buf_check(&whole, "the presigned query", err);
	if (status == IOT_OK)
		status = iot_sigv4_compute(key->secret, &scope, &presigned, signature, err);
	if (status == IOT_OK)
		iot_buf_addf(query, "%s&" IOT_SIGV4_SIGNATURE_PARAMETER "=%s", presigned.query,
			     iot_hex(signature, sizeof(signature), hex));
	iot_buf_release(&names);
	iot_buf_release(&whole);
	return status;
}
