/* The HTTP client's inside: http.c owns the connections and drives them, http_request.c one request. */
#ifndef IOTCTL_TRANSPORT_HTTP_INTERNAL_H
#define IOTCTL_TRANSPORT_HTTP_INTERNAL_H

#include "iotctl/http.h"
#include "transport/http_library.h"

#define HTTP_SPARE 16 /* easy handles kept for later */

struct http_transfer {
	struct http_transfer *next; /* of those in flight */
	struct iot_http *http;
	CURL *easy;
	struct curl_slist *headers;
	iot_http_done_fn *done;
	void *data;
	int body_fd;
	int64_t body_len, body_at;
	bool too_long; /* the answer passed its limit */
	char error[CURL_ERROR_SIZE];
	char *host; /* for messages */
	struct iot_http_reply reply;
};

struct iot_http {
	CURLM *multi;
	struct http_transfer *flying;
	CURL *spare[HTTP_SPARE];
	size_t spare_count;
	char *ca_file, *certificate_file, *key_file, *user_agent;
	struct iot_buf ca_pem;
};

/* Everything an easy handle must know; the transfer holds what libcurl only borrows. */
IOT_CHECK enum iot_status iot_http_prepare(struct http_transfer *transfer, const struct iot_http_request *request,
					   struct iot_error *err);
/* Fill the reply of a transfer that ended with `code`. */
void iot_http_conclude(struct http_transfer *transfer, CURLcode code);
void iot_http_transfer_free(struct http_transfer *transfer);

#endif
