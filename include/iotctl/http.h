/*
 * HTTPS requests (RFC 9110) over kept-alive connections, HTTP/2 where the
 * server offers it: many in flight, each with deadlines and limits. Redirects
 * are never followed and paths go out as they are. Proxies come from the
 * environment (HTTPS_PROXY, NO_PROXY ... as curl(1) reads them).
 */
#ifndef IOTCTL_HTTP_H
#define IOTCTL_HTTP_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>

struct iot_http;

struct iot_http_options {
	const char *ca_file;          /* PEM of the trusted CAs; NULL: the system's */
	const void *ca_pem;           /* the same in memory, copied; instead of ca_file */
	size_t ca_pem_len;
	const char *certificate_file; /* client certificate (PEM, may hold its chain) and key; NULL: none */
	const char *key_file;
	const char *user_agent;       /* NULL: "iotctl/VERSION" */
	int connections;              /* at most so many to one host; 0: 16 */
};

/* How far a request came: decides whether a thing that must not happen twice may be asked for again. */
enum iot_http_outcome {
	IOT_HTTP_NOT_SENT, /* surely nothing of it reached the server */
	IOT_HTTP_UNKNOWN,  /* it may have been carried out */
	IOT_HTTP_ANSWERED  /* there is a complete answer, of whatever status */
};

struct iot_http_header {
	const char *name, *value;
};

/* Borrowed until the request is done, unless said otherwise. */
struct iot_http_request {
	const char *method; /* copied, as url and headers */
	const char *url;
	const struct iot_http_header *headers;
	size_t header_count;
	const void *body;   /* NULL: none, or from body_fd */
	size_t body_len;
	int body_fd;        /* 0 or below: body counts; else body_len bytes of this file from its start */
	bool once;          /* must not be sent twice: a connection of its own, so that the library never sends it again */
	int connect_ms;     /* 0: 10 s */
	int timeout_ms;     /* the whole request; 0: 60 s. A stalled one (below 10 bytes/s for 30 s) ends earlier */
	size_t max_reply;   /* bytes of the body; 0: 4 MiB */
};

struct iot_http_reply {
	enum iot_http_outcome outcome;
	int status;             /* HTTP status; 0 if there is no answer */
	struct iot_buf headers; /* "name: value\n" each, names in lower case */
	struct iot_buf body;
	struct iot_error err;   /* why there is no answer: IOT_AGAIN (unreachable), IOT_TIMEOUT, IOT_VERIFY (certificate), ... */
};
#define IOT_HTTP_REPLY_INIT {IOT_HTTP_NOT_SENT, 0, IOT_BUF_INIT(65536), IOT_BUF_INIT(0), IOT_ERROR_INIT}
void iot_http_reply_release(struct iot_http_reply *reply); /* fits IOT_CLEAN */
/* Value of a header of an answer (name in lower case); false if it is missing or does not fit. */
bool iot_http_reply_header(const struct iot_http_reply *reply, const char *name, char *out, size_t size);

IOT_CHECK enum iot_status iot_http_new(const struct iot_http_options *options, struct iot_http **ret,
				       struct iot_error *err);
/* Ends what is in flight without calling back. */
void iot_http_free(struct iot_http *http);
void iot_http_free_p(struct iot_http **http); /* for IOT_CLEAN */

/* Start a request. `done` is called once from iot_http_run; the reply is the client's and gone afterwards. */
typedef void iot_http_done_fn(void *data, struct iot_http_reply *reply);
IOT_CHECK enum iot_status iot_http_start(struct iot_http *http, const struct iot_http_request *request,
					 iot_http_done_fn *done, void *data, struct iot_error *err);
/* Go on with what is in flight: waits up to timeout_ms for something to happen. How many are still under way. */
int iot_http_run(struct iot_http *http, int timeout_ms);

/* One request to its end. IOT_OK if answered, whatever the HTTP status; else reply->err's status, also in err. */
IOT_CHECK enum iot_status iot_http_call(struct iot_http *http, const struct iot_http_request *request,
					struct iot_http_reply *ret, struct iot_error *err);

#endif
