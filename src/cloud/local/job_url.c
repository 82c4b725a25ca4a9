/*
 * Signed URLs in job documents. Where a document says
 *
 *   ${aws:iot:s3-presigned-url:https://s3.REGION.amazonaws.com/BUCKET/KEY}
 *
 * (also https://BUCKET.s3.REGION.amazonaws.com/KEY), a device that asks for it
 * gets a URL of the HTTPS API from which it can read that one image until the URL
 * expires (AWS IoT developer guide, "Using presigned URLs for Amazon S3").
 *
 * They are signed with a key of this fleet that opens nothing but such URLs; it
 * lies beside the registry and is in no backup.
 */
#include "jobs_private.h"

#include "iotctl/digest.h"
#include "iotctl/sigv4.h"

#include <string.h>

#define PLACEHOLDER "${aws:iot:s3-presigned-url:"
#define KEY_FILE "urls.key"
enum { DOCUMENT_MAX = 256 * 1024, QUERY_MAX = 4096 };

static enum iot_status url_key(struct iot_local *local, char ret_secret[65], struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(local->paths.dir, KEY_FILE);
	struct iot_buf text = IOT_BUF_SECRET(64);
	uint8_t random[32];
	enum iot_status status;

	if (!iot_fs_exists(path)) {
		iot_random(random, sizeof(random));
		iot_hex(random, sizeof(random), ret_secret);
		status = iot_fs_create_private(path, ret_secret, 64, err);
		iot_wipe(random, sizeof(random));
		if (status != IOT_CONFLICT) /* else another process was first */
			return status;
	}
	status = iot_fs_check_private(path, err);
	if (status == IOT_OK)
		status = iot_fs_read(path, &text, err);
	if (status == IOT_OK && (text.len != 64 || strspn(text.data, "0123456789abcdef") != 64))
		status = iot_fail(err, IOT_FAILURE, "'%s' is damaged: remove it, and a new one is made", path);
	if (status == IOT_OK)
		memcpy(ret_secret, text.data, 65);
	iot_buf_release(&text);
	return status;
}

enum iot_status iot_local_url_key(struct iot_cloud *cloud, char ret_secret[65], struct iot_error *err)
{
	return url_key(iot_local_of(cloud), ret_secret, err);
}

/* "host:port" of the HTTPS API; NULL if there is none. New memory. */
static enum iot_status api_host(struct iot_local *local, char **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *port = NULL;
	IOT_CLEAN(iot_free_p) char *endpoint = NULL;
	enum iot_status status = iot_local_meta(local, "api_port", &port, err);

	if (status == IOT_OK)
		status = iot_local_meta(local, "endpoint", &endpoint, err);
	if (status == IOT_OK && port != NULL && strcmp(port, "0") != 0)
		*ret = iot_strf(strchr(endpoint != NULL ? endpoint : "", ':') != NULL ? "[%s]:%s" : "%s:%s",
				endpoint != NULL ? endpoint : "localhost", port);
	return status;
}

/* The path of an S3 URL in the path style, encoded. False: it is none. */
static bool path_style(const char *url, size_t len, struct iot_buf *out)
{
	static const char https[] = "https://";
	const char *host = url + sizeof(https) - 1, *slash;

	if (len <= sizeof(https) || strncmp(url, https, sizeof(https) - 1) != 0)
		return false;
	slash = memchr(host, '/', len - (sizeof(https) - 1));
	if (slash == NULL || slash == host)
		return false;
	if (!iot_starts_with(host, "s3.") && !iot_starts_with(host, "s3-")) {
		iot_buf_addc(out, '/');
		iot_percent_encode(host, strcspn(host, "./:"), out);
	}
	for (const char *at = slash; at < url + len; at++) {
		if (*at == '/' || *at == '%')
			iot_buf_addc(out, *at);
		else if (*at == '?')
			break;
		else
			iot_percent_encode(at, 1, out);
	}
	return !out->over;
}

static enum iot_status add_url(struct iot_local *local, const char *host, const char *path, int expires_s,
			       struct iot_buf *out, struct iot_error *err)
{
	char secret[65];
	struct iot_buf query = IOT_BUF_INIT(QUERY_MAX);
	const struct iot_sigv4_key key = {IOT_URL_ACCESS_KEY, secret, "local", "s3"};
	const struct iot_sigv4_header header = {"host", host};
	const struct iot_sigv4_request request = {.method = "GET",
						  .path = path,
						  .headers = &header,
						  .header_count = 1,
						  .payload_hash = IOT_SIGV4_UNSIGNED};
	enum iot_status status = url_key(local, secret, err);

	if (status == IOT_OK)
		status = iot_sigv4_presign(&key, &request, NULL, iot_now_ms(), expires_s, &query, err);
	if (status == IOT_OK)
		iot_buf_addf(out, "https://%s%s?%s", host, path, iot_buf_str(&query));
	iot_wipe(secret, sizeof(secret));
	iot_buf_release(&query);
	return status;
}

enum iot_status iot_job_sign_urls(struct iot_local *local, const char *document, int64_t expires_s, char **ret,
				  struct iot_error *err)
{
	struct iot_buf out = IOT_BUF_INIT(DOCUMENT_MAX);
	IOT_CLEAN(iot_free_p) char *host = NULL;
	const char *at = strstr(document, PLACEHOLDER), *from = document;
	enum iot_status status = at != NULL ? api_host(local, &host, err) : IOT_OK;

	*ret = NULL;
	for (; status == IOT_OK && host != NULL && at != NULL; at = strstr(at + 1, PLACEHOLDER)) {
		const char *url = at + strlen(PLACEHOLDER), *end = url + strcspn(url, "}\"\\");
		struct iot_buf path = IOT_BUF_INIT(2048);

		if (*end == '}' && path_style(url, (size_t)(end - url), &path)) {
			iot_buf_add(&out, from, (size_t)(at - from));
			status = add_url(local, host, iot_buf_str(&path), (int)expires_s, &out, err);
			from = end + 1;
		}
		iot_buf_release(&path);
	}
	if (status == IOT_OK && from != document) {
		iot_buf_adds(&out, from);
		status = iot_buf_check(&out, "the job document", err);
		if (status == IOT_OK)
			*ret = iot_buf_detach(&out);
	}
	iot_buf_release(&out);
	return status;
}
