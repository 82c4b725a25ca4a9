/*
 * One HTTP request: what libcurl is told of it, the answer as it comes in, and
 * what its end means. Whether a request was sent decides whether it may be
 * repeated, so in doubt it was.
 */
#include "transport/http_internal.h"

#include "iotctl/base.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	CONNECT_MS = 10000,
	TIMEOUT_MS = 60000,
	LOW_SPEED = 10, /* bytes a second */
	LOW_SPEED_S = 30,
};

#define MAX_REPLY ((size_t)4 * 1024 * 1024)

void iot_http_transfer_free(struct http_transfer *transfer)
{
	if (transfer->easy != NULL)
		iot_curl.easy_cleanup(transfer->easy);
	iot_curl.slist_free_all(transfer->headers);
	free(transfer->host);
	iot_http_reply_release(&transfer->reply);
	free(transfer);
}

void iot_http_reply_release(struct iot_http_reply *reply)
{
	iot_buf_release(&reply->headers);
	iot_buf_release(&reply->body);
}

bool iot_http_reply_header(const struct iot_http_reply *reply, const char *name, char *out, size_t size)
{
	size_t name_len = strlen(name);

	for (const char *line = iot_buf_str(&reply->headers); *line != '\0';) {
		size_t len = strcspn(line, "\n");

		if (len > name_len + 1 && strncmp(line, name, name_len) == 0 && line[name_len] == ':' &&
		    len - name_len - 2 < size) {
			memcpy(out, line + name_len + 2, len - name_len - 2);
			out[len - name_len - 2] = '\0';
			return true;
		}
		line += len + (line[len] == '\n');
	}
	return false;
}

/* --- what libcurl calls ---------------------------------------------------------------- */

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
	struct http_transfer *transfer = user;
	struct iot_buf *out = &transfer->reply.headers;
	size_t len = size * count, end = len, colon = 0;

	if (len > 5 && strncmp(data, "HTTP/", 5) == 0) {
		iot_buf_clear(out); /* what came before belongs to a 100 or a proxy */
		return len;
	}
	while (end > 0 && isspace((unsigned char)data[end - 1]))
		end--;
	while (colon < end && data[colon] != ':')
		colon++;
	if (colon == end || memchr(data, '\0', end) != NULL)
		return len;
	for (size_t i = 0; i < colon; i++)
		iot_buf_addc(out, (char)tolower((unsigned char)data[i]));
	for (colon++; colon < end && (data[colon] == ' ' || data[colon] == '\t');)
		colon++;
	iot_buf_adds(out, ": ");
	iot_buf_add(out, data + colon, end - colon);
	iot_buf_addc(out, '\n');
	return out->over ? 0 : len;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	struct http_transfer *transfer = user;

	iot_buf_add(&transfer->reply.body, data, size * count);
	transfer->too_long = transfer->reply.body.over;
	return transfer->too_long ? 0 : size * count;
}

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
	struct http_transfer *transfer = user;
	int64_t left = transfer->body_len - transfer->body_at;
	size_t want = size * count;
	ssize_t n = pread(transfer->body_fd, out, left < (int64_t)want ? (size_t)left : want, transfer->body_at);

	if (n < 0)
		return CURL_READFUNC_ABORT;
	transfer->body_at += n;
	return (size_t)n;
}

static int on_seek(void *user, curl_off_t offset, int origin)
{
	struct http_transfer *transfer = user;

	if (origin != SEEK_SET || offset < 0 || offset > transfer->body_len)
		return CURL_SEEKFUNC_FAIL;
	transfer->body_at = offset;
	return CURL_SEEKFUNC_OK;
}

/* --- setting up --------------------------------------------------------------------------- */

static enum iot_status add_header(struct http_transfer *transfer, const char *line, struct iot_error *err)
{
	struct curl_slist *longer = iot_curl.slist_append(transfer->headers, line);

	if (longer == NULL)
		return iot_fail(err, IOT_FAILURE, "libcurl cannot take a header");
	transfer->headers = longer;
	return IOT_OK;
}

static enum iot_status set_headers(struct http_transfer *transfer, const struct iot_http_request *request,
				   struct iot_error *err)
{
	bool has_type = false;
	/* No waiting for "100 Continue". */
	enum iot_status status = add_header(transfer, "Expect:", err);

	for (size_t i = 0; status == IOT_OK && i < request->header_count; i++) {
		const struct iot_http_header *header = &request->headers[i];
		IOT_CLEAN(iot_free_p) char *line = NULL;

		if (strpbrk(header->name, "\r\n:") != NULL || strpbrk(header->value, "\r\n") != NULL)
			return iot_fail(err, IOT_USAGE, "header '%.60s' has a line break in it", header->name);
		has_type = has_type || strcasecmp(header->name, "content-type") == 0;
		/* libcurl leaves a header out when nothing follows the colon; ';' says that it is empty. */
		line = header->value[0] != '\0' ? iot_strf("%s: %s", header->name, header->value)
						: iot_strf("%s;", header->name);
		status = add_header(transfer, line, err);
	}
	/* libcurl would say that a body is a form. */
	if (status == IOT_OK && !has_type)
		status = add_header(transfer, "Content-Type:", err);
	iot_curl.easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, transfer->headers);
	return status;
}

static void set_body(struct http_transfer *transfer, const struct iot_http_request *request)
{
	CURL *easy = transfer->easy;
	bool none = request->body_len == 0 &&
		    (strcmp(request->method, "GET") == 0 || strcmp(request->method, "DELETE") == 0);

	if (strcmp(request->method, "HEAD") == 0) {
		iot_curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
		return;
	}
	if (none) {
		iot_curl.easy_setopt(easy, CURLOPT_HTTPGET, 1L);
	} else if (request->body_fd > 0) {
		transfer->body_fd = request->body_fd;
		transfer->body_len = (int64_t)request->body_len;
		iot_curl.easy_setopt(easy, CURLOPT_UPLOAD, 1L);
		iot_curl.easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_len);
		iot_curl.easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
		iot_curl.easy_setopt(easy, CURLOPT_READDATA, transfer);
		iot_curl.easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
		iot_curl.easy_setopt(easy, CURLOPT_SEEKDATA, transfer);
	} else {
		iot_curl.easy_setopt(easy, CURLOPT_POST, 1L);
		iot_curl.easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		iot_curl.easy_setopt(easy, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
	}
	iot_curl.easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_trust(struct http_transfer *transfer)
{
	struct iot_http *http = transfer->http;
	CURL *easy = transfer->easy;

	if (http->ca_pem.len > 0) {
		struct curl_blob blob = {http->ca_pem.data, http->ca_pem.len, CURL_BLOB_NOCOPY};

		iot_curl.easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
		iot_curl.easy_setopt(easy, CURLOPT_CAPATH, NULL);
	} else if (http->ca_file != NULL) {
		iot_curl.easy_setopt(easy, CURLOPT_CAINFO, http->ca_file);
		iot_curl.easy_setopt(easy, CURLOPT_CAPATH, NULL);
	}
	if (http->certificate_file != NULL)
		iot_curl.easy_setopt(easy, CURLOPT_SSLCERT, http->certificate_file);
	if (http->key_file != NULL)
		iot_curl.easy_setopt(easy, CURLOPT_SSLKEY, http->key_file);
	iot_curl.easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
}

static void set_limits(struct http_transfer *transfer, const struct iot_http_request *request)
{
	CURL *easy = transfer->easy;

#if LIBCURL_VERSION_NUM >= 0x075500
	iot_curl.easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
	iot_curl.easy_setopt(easy, CURLOPT_PROTOCOLS, (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
	iot_curl.easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	iot_curl.easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	iot_curl.easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	iot_curl.easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	iot_curl.easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	iot_curl.easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	iot_curl.easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			     (long)(request->connect_ms > 0 ? request->connect_ms : CONNECT_MS));
	iot_curl.easy_setopt(easy, CURLOPT_TIMEOUT_MS,
			     (long)(request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS));
	iot_curl.easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)LOW_SPEED);
	iot_curl.easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)LOW_SPEED_S);
	/* On a connection that was used before, libcurl sends a request again when that one was dead. */
	iot_curl.easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)request->once);
	iot_curl.easy_setopt(easy, CURLOPT_FORBID_REUSE, (long)request->once);
}

/* Host and port of a URL; new memory. */
static char *url_host(const char *url)
{
	const char *start = strstr(url, "://");

	start = start != NULL ? start + 3 : url;
	return iot_strndup(start, strcspn(start, "/?#"));
}

enum iot_status iot_http_prepare(struct http_transfer *transfer, const struct iot_http_request *request,
				 struct iot_error *err)
{
	CURL *easy = transfer->easy;

	transfer->host = url_host(request->url);
	transfer->reply.body.max = request->max_reply > 0 ? request->max_reply : MAX_REPLY;
	if (iot_curl.easy_setopt(easy, CURLOPT_URL, request->url) != CURLE_OK)
		return iot_fail(err, IOT_USAGE, "URL of '%s' is not taken", transfer->host);
	iot_curl.easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	iot_curl.easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
	iot_curl.easy_setopt(easy, CURLOPT_USERAGENT, transfer->http->user_agent);
	iot_curl.easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	iot_curl.easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	iot_curl.easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	iot_curl.easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	set_limits(transfer, request);
	set_trust(transfer);
	set_body(transfer, request);
	return set_headers(transfer, request, err);
}

/* --- the end -------------------------------------------------------------------------------- */

static bool was_sent(CURL *easy)
{
	curl_off_t began = 0;
	long bytes = 0;

	iot_curl.easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &bytes);
	iot_curl.easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &began);
	return bytes > 0 || began > 0;
}

static enum iot_status say_why(struct http_transfer *transfer, CURLcode code, struct iot_error *err)
{
	const char *text = transfer->error[0] != '\0' ? transfer->error : iot_curl.easy_strerror(code);
	const char *host = transfer->host;

	switch (code) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return iot_fail(err, IOT_AGAIN, "host name '%s' is not known", host);
	case CURLE_COULDNT_RESOLVE_PROXY:
		return iot_fail(err, IOT_AGAIN, "the proxy on the way to '%s' is not known: %s", host, text);
	case CURLE_COULDNT_CONNECT:
		return iot_fail(err, IOT_AGAIN, "cannot connect to '%s': %s", host, text);
	case CURLE_PEER_FAILED_VERIFICATION:
		return iot_fail(err, IOT_VERIFY, "the certificate of '%s' is not accepted: %s", host, text);
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CERTPROBLEM:
		return iot_fail(err, IOT_SETTINGS, "certificates for '%s' cannot be used: %s", host, text);
	case CURLE_OPERATION_TIMEDOUT:
		return iot_fail(err, IOT_TIMEOUT, "'%s' did not answer in time: %s", host, text);
	case CURLE_GOT_NOTHING:
		return iot_fail(err, IOT_AGAIN, "'%s' closed the connection without an answer", host);
	case CURLE_PARTIAL_FILE:
		return iot_fail(err, IOT_AGAIN, "the answer of '%s' was cut off", host);
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_URL_MALFORMAT:
		return iot_fail(err, IOT_USAGE, "the URL of '%s' cannot be used: %s", host, text);
	default:
		break;
	}
	if (transfer->too_long)
		return iot_fail(err, IOT_FAILURE, "the answer of '%s' is longer than %zu bytes", host,
				transfer->reply.body.max);
	return iot_fail(err, IOT_AGAIN, "talking to '%s' failed: %s", host, text);
}

void iot_http_conclude(struct http_transfer *transfer, CURLcode code)
{
	struct iot_http_reply *reply = &transfer->reply;
	long status = 0;

	if (code == CURLE_OK) {
		iot_curl.easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
		reply->outcome = IOT_HTTP_ANSWERED;
		reply->status = (int)status;
		return;
	}
	(void)!say_why(transfer, code, &reply->err);
	reply->outcome = was_sent(transfer->easy) ? IOT_HTTP_UNKNOWN : IOT_HTTP_NOT_SENT;
}
