/*
 * The HTTP client: one libcurl multi handle, whose connections are kept and
 * shared by all requests, and the requests in flight.
 */
#include "transport/http_internal.h"

#include "iotctl/base.h"

#include <string.h>

enum {
	CONNECTIONS = 16,
	STEP_MS = 1000, /* of iot_http_call: libcurl keeps the request's own deadlines */
};

enum iot_status iot_http_new(const struct iot_http_options *options, struct iot_http **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_http_free_p) struct iot_http *http = NULL;
	long connections = options->connections > 0 ? options->connections : CONNECTIONS;
	enum iot_status status = iot_http_library(err);

	if (status != IOT_OK)
		return status;
	http = iot_alloc(sizeof(*http));
	http->multi = iot_curl.multi_init();
	if (http->multi == NULL)
		return iot_fail(err, IOT_FAILURE, "libcurl cannot be started");
	iot_curl.multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS, connections);
	iot_curl.multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, connections);
	iot_curl.multi_setopt(http->multi, CURLMOPT_PIPELINING, CURLPIPE_MULTIPLEX);
	http->ca_file = iot_strdup(options->ca_file);
	http->certificate_file = iot_strdup(options->certificate_file);
	http->key_file = iot_strdup(options->key_file);
	http->user_agent = iot_strdup(options->user_agent != NULL ? options->user_agent : "iotctl/" IOT_VERSION);
	http->ca_pem = (struct iot_buf)IOT_BUF_INIT((size_t)1024 * 1024);
	if (options->ca_pem != NULL)
		iot_buf_add(&http->ca_pem, options->ca_pem, options->ca_pem_len);
	status = iot_buf_check(&http->ca_pem, "the CA certificates", err);
	if (status == IOT_OK)
		*ret = iot_take(http);
	return status;
}

static void end_transfer(struct http_transfer *transfer)
{
	struct iot_http *http = transfer->http;
	struct http_transfer **at = &http->flying;

	while (*at != transfer)
		at = &(*at)->next;
	*at = transfer->next;
	iot_curl.multi_remove_handle(http->multi, transfer->easy);
	if (http->spare_count < HTTP_SPARE)
		http->spare[http->spare_count++] = iot_take(transfer->easy);
}

void iot_http_free(struct iot_http *http)
{
	if (http == NULL)
		return;
	while (http->flying != NULL) {
		struct http_transfer *transfer = http->flying;

		end_transfer(transfer);
		iot_http_transfer_free(transfer);
	}
	for (size_t i = 0; i < http->spare_count; i++)
		iot_curl.easy_cleanup(http->spare[i]);
	if (http->multi != NULL)
		iot_curl.multi_cleanup(http->multi);
	free(http->ca_file);
	free(http->certificate_file);
	free(http->key_file);
	free(http->user_agent);
	iot_buf_release(&http->ca_pem);
	free(http);
}

void iot_http_free_p(struct iot_http **http)
{
	iot_http_free(*http);
	*http = NULL;
}

static CURL *take_easy(struct iot_http *http)
{
	CURL *easy;

	if (http->spare_count == 0)
		return iot_curl.easy_init();
	easy = http->spare[--http->spare_count];
	iot_curl.easy_reset(easy);
	return easy;
}

enum iot_status iot_http_start(struct iot_http *http, const struct iot_http_request *request, iot_http_done_fn *done,
			       void *data, struct iot_error *err)
{
	struct http_transfer *transfer = iot_alloc(sizeof(*transfer));
	enum iot_status status;

	transfer->http = http;
	transfer->done = done;
	transfer->data = data;
	transfer->reply = (struct iot_http_reply)IOT_HTTP_REPLY_INIT;
	transfer->easy = take_easy(http);
	if (transfer->easy == NULL)
		status = iot_fail(err, IOT_FAILURE, "libcurl cannot start a request");
	else
		status = iot_http_prepare(transfer, request, err);
	if (status == IOT_OK && iot_curl.multi_add_handle(http->multi, transfer->easy) != CURLM_OK)
		status = iot_fail(err, IOT_FAILURE, "libcurl cannot start a request");
	if (status != IOT_OK) {
		iot_http_transfer_free(transfer);
		return status;
	}
	transfer->next = http->flying;
	http->flying = transfer;
	return IOT_OK;
}

/* Those that have ended are told; a callback may start others. */
static bool tell_ended(struct iot_http *http)
{
	bool any = false;
	CURLMsg *message;
	int left;

	while ((message = iot_curl.multi_info_read(http->multi, &left)) != NULL) {
		struct http_transfer *transfer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		iot_curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		iot_http_conclude(transfer, code);
		end_transfer(transfer);
		transfer->done(transfer->data, &transfer->reply);
		iot_http_transfer_free(transfer);
		any = true;
	}
	return any;
}

static int count_flying(const struct iot_http *http)
{
	int count = 0;

	for (const struct http_transfer *transfer = http->flying; transfer != NULL; transfer = transfer->next)
		count++;
	return count;
}

int iot_http_run(struct iot_http *http, int timeout_ms)
{
	int running = 0;

	iot_curl.multi_perform(http->multi, &running);
	if (tell_ended(http) || timeout_ms == 0)
		return count_flying(http);
	/* Without a request in flight this waits on nothing but the time. */
	iot_curl.multi_poll(http->multi, NULL, 0, timeout_ms, NULL);
	iot_curl.multi_perform(http->multi, &running);
	tell_ended(http);
	return count_flying(http);
}

struct waiting {
	struct iot_http_reply *reply;
	bool done;
};

static void take_reply(void *data, struct iot_http_reply *reply)
{
	struct waiting *waiting = data;

	*waiting->reply = *reply;
	*reply = (struct iot_http_reply)IOT_HTTP_REPLY_INIT;
	waiting->done = true;
}

enum iot_status iot_http_call(struct iot_http *http, const struct iot_http_request *request, struct iot_http_reply *ret,
			      struct iot_error *err)
{
	struct waiting waiting = {ret, false};
	enum iot_status status = iot_http_start(http, request, take_reply, &waiting, err);

	if (status != IOT_OK)
		return status;
	while (!waiting.done)
		iot_http_run(http, STEP_MS);
	if (ret->outcome == IOT_HTTP_ANSWERED)
		return IOT_OK;
	if (err != NULL)
		*err = ret->err;
	return ret->err.status;
}
