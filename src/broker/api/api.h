/*
 * The HTTPS API of serve: AWS IoT's REST operations (and the S3 calls that an
 * image needs), carried out by the local cloud for whoever signs with an
 * operator's key.
 *
 * server.c has the connections (libmicrohttpd, run from serve's own loop);
 * exchange.c leads a request through: signature (sigv4.h, replay.c), what it asks
 * for (route.c), whether the operator may (operator.h), the call (publish.c and
 * objects.c have what is more than that), the answer (answer.c). Everything but
 * server.c knows a request only as the struct below, so that it runs alone in tests.
 */
#ifndef IOTCTL_BROKER_API_H
#define IOTCTL_BROKER_API_H

#include "broker/api/chunked.h"
#include "iotctl/buf.h"
#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"
#include "iotctl/mqtt.h"
#include "iotctl/operator.h"
#include "iotctl/sigv4.h"

#include <stdint.h>

enum {
	API_JSON_MAX = 128 * 1024, /* of a body that is no image */
	API_TARGET_MAX = 8192,     /* path and query as they were sent */
	API_HEADERS_MAX = 64,
	API_PARAMETERS_MAX = 32,
};

/* --- a request as it came ------------------------------------------------------------ */

struct api_pair {
	const char *name, *value;
};

/* Borrowed from the connection. */
struct api_http {
	const char *method;
	const char *path;  /* as sent, percent-encoded, without the query */
	const char *query; /* as sent, without '?'; "" if there is none */
	struct api_pair headers[API_HEADERS_MAX];
	size_t header_count;
};

/* The value of a header (any case of its name), NULL if it is not there or there twice. */
const char *api_header(const struct api_http *http, const char *name);

/* A query, decoded; in the order in which it was sent. */
struct api_query {
	struct api_pair pairs[API_PARAMETERS_MAX];
	size_t count;
	char *memory;
};
/* InvalidRequestException: too many, malformed escapes, not UTF-8. Release with api_query_release. */
IOT_CHECK enum iot_status api_query_parse(const char *query, struct api_query *ret, struct iot_error *err);
void api_query_release(struct api_query *query);
/* NULL if it is not there. */
const char *api_query_find(const struct api_query *query, const char *name);

/* --- what it asks for (route.c) --------------------------------------------------------- */

/*
 * The operation of a service that a method and a path mean, and its members from path, query and headers, as a new JSON
 * object. UnknownOperationException: no such path (or one with tricks in it); MethodNotAllowedException: not with that
 * method; InvalidRequestException: parameters that the operation does not have, have twice, or of another type.
 */
IOT_CHECK enum iot_status api_route(const struct api_http *http, const struct api_query *query, const char *service,
				    const struct iot_operation **ret_op, json_t **ret_request, struct iot_error *err);
/* Add the members in a JSON body. InvalidRequestException: no JSON object, or members that do not travel there. */
IOT_CHECK enum iot_status api_body(const struct iot_operation *op, const char *body, size_t len, json_t *request,
				   struct iot_error *err);
/* The member that is the payload, NULL if it has none. */
const struct iot_member *api_payload(const struct iot_operation *op);

/* --- what was seen before (replay.c) ------------------------------------------------------- */

#define API_WINDOW_S 900 /* a signature's date may be off by that much */

struct api_replay;
/* `now_s`: seconds since 1970; what was signed before that is refused, since nobody knows whether it was seen. */
struct api_replay *api_replay_new(int64_t now_s);
void api_replay_free(struct api_replay *replay);
/*
 * A signature of a request that changes something counts once, but on the connection it came on before: nobody else can
 * speak there, and an SDK that repeats itself within a second has the same signature. InvalidSignatureException:
 * it was here, or is older than what is remembered.
 */
IOT_CHECK enum iot_status api_replay_check(struct api_replay *replay, const uint8_t signature[32], int64_t signed_s,
					   int64_t now_s, uint64_t connection, struct iot_error *err);

/* --- answers (answer.c) ------------------------------------------------------------------------- */

#define API_ANSWER_HEADERS 12

struct api_answer {
	int status;                                  /* of HTTP */
	struct api_pair headers[API_ANSWER_HEADERS]; /* values are new memory */
	size_t header_count;
	struct iot_buf body;
	int fd; /* -1, or the file that is the body, from `offset` */
	int64_t offset, length;
};
#define API_ANSWER_INIT                                                                                                \
	{                                                                                                              \
		.body = IOT_BUF_INIT(4 * 1024 * 1024), .fd = -1                                                        \
	}
void api_answer_release(struct api_answer *answer);
/* Takes `value` over. */
void api_answer_header(struct api_answer *answer, const char *name, char *value);
void api_answer_json(struct api_answer *answer, const json_t *reply);
/*
 * A refusal as the service words it: JSON with x-amzn-errortype, or XML of S3. `op` and `request` (may be NULL) say
 * which resource there is already.
 */
void api_answer_error(struct api_answer *answer, const char *service, const struct iot_operation *op,
		      const json_t *request, const struct iot_error *err);

/* --- one request from its first line to its answer (exchange.c) -------------------------------- */

/* What all requests share. */
struct api_core {
	struct iot_cloud *cloud;
	struct api_replay *replay;
	struct api_keys *keys;
	/*
	 * Give a message to the broker. *ret_mid: its answer comes as api_exchange_published() with that number.
	 * IOT_AGAIN: there is no broker now.
	 */
	enum iot_status (*publish)(void *data, const struct iot_mqtt_message *message, int *ret_mid,
				   struct iot_error *err);
	void *data;
	int64_t next_log; /* monotonic ms: refusals are told once a second */
	unsigned refused; /* since then */
};
IOT_CHECK enum iot_status api_core_init(struct api_core *core, struct iot_cloud *cloud, struct iot_error *err);
void api_core_release(struct api_core *core);

struct iot_image_writer;

struct api_exchange {
	struct api_core *core;
	char *target; /* path NUL query */
	struct api_http http;
	struct api_query query;
	uint64_t connection;
	char source[46];
	char id[37];
	struct iot_sigv4_claim claim;
	const char *service; /* of the table; "" until it is known */
	const struct iot_operation *op;
	json_t *request;
	struct iot_buf body;
	struct iot_image_writer *writer; /* the body goes to disk, */
	struct chunked *chunked;         /* out of chunks; NULL: as it comes */
	int64_t received;                /* bytes of the body */
	bool too_large;
	int mid; /* of a message that the broker has not acknowledged; 0: none */
	struct api_answer answer;
};

enum api_next {
	API_READ,   /* give it the body */
	API_ANSWER, /* the answer is there */
	API_WAIT    /* it will be, when the broker has answered */
};

/* `target` as in the request line: copied. */
struct api_exchange *api_exchange_new(struct api_core *core, const char *target, uint64_t connection);
void api_exchange_free(struct api_exchange *x);
/* method and headers are set in x->http, source in x->source: whose they are stays there until the end. */
enum api_next api_exchange_head(struct api_exchange *x);
void api_exchange_body(struct api_exchange *x, const void *data, size_t len);
/* API_ANSWER or API_WAIT. */
enum api_next api_exchange_end(struct api_exchange *x);
/* The broker has, or refused, the message that x waits for; or it took too long (reason < 0). */
void api_exchange_published(struct api_exchange *x, int reason);
/* Refuse with an error object. API_ANSWER. */
enum api_next api_refuse(struct api_exchange *x, const struct iot_error *err);

/* --- operations that are more than a call --------------------------------------------------------- */

/* iotdata Publish (publish.c). */
enum api_next api_publish(struct api_exchange *x);

/* S3 (objects.c): prepare for the body of PutObject and UploadPart; and what is to be done when it is complete. */
IOT_CHECK enum iot_status api_object_begin(struct api_exchange *x, int64_t length, struct iot_error *err);
enum api_next api_object(struct api_exchange *x);

#endif
