/*
 * The services that devices ask over the broker: Jobs, file streams, shadows. They know
 * no broker and no registry, only a port, so that they run alone in tests.
 */
#ifndef IOTCTL_BROKER_SERVICES_H
#define IOTCTL_BROKER_SERVICES_H

#include "iotctl/buf.h"
#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

#include <stdint.h>

/* A message that a client published, and who that is as the plugin says. Borrowed. */
struct broker_request {
	const char *client;   /* client id */
	const char *thing;    /* the thing it is; NULL: none */
	const char *registry; /* of a client with a token: "projects/P/locations/L/registries/R"; else NULL */
	const char *topic;
	const void *payload;
	size_t len;
	int qos;
};

/* What a service needs of the world. */
struct broker_port {
	void *data;
	/* An operation of the cloud. */
	enum iot_status (*call)(void *data, const char *operation, const json_t *request, json_t **ret_reply,
				struct iot_error *err);
	/* As iot_local_execution_state(). */
	enum iot_status (*execution_state)(void *data, const char *thing, const char *job_id, int64_t number,
					   json_t **ret, struct iot_error *err);
	/* As iot_local_stream_open(). */
	enum iot_status (*stream_open)(void *data, const char *thing, const char *stream, int file_id, int *ret_fd,
				       int64_t *ret_size, int64_t *ret_version, struct iot_error *err);
	/* A whole message for IOT_CONTROL_TOPIC. */
	void (*send)(void *data, const void *message, size_t len);
	/* An operation with a payload, whose reply's payload is appended to `out`. */
	enum iot_status (*exchange)(void *data, const char *operation, const json_t *request, const struct iot_body *in,
				    struct iot_buf *out, struct iot_error *err);
	/* A message for everybody who has subscribed to its topic. */
	void (*publish)(void *data, const char *topic, const void *payload, size_t len, int qos);
	/* The module with this UID was claimed. NULL: nobody wants to know. */
	void (*claimed)(void *data, const char *uid);
};

/* A payload of 128 KiB with all that goes in front of it. */
#define BROKER_MESSAGE_MAX (131072 + 2 + 129 + 257 + 128)
/* Of a payload of a series. */
#define REPLY_LENGTH_SIZE 4

/*
 * Begin a control message that delivers straight to whoever asked: verb, client id, and a topic made of the first
 * `prefix` bytes of the request's and of `rest`. The payload is appended by the caller.
 */
void reply_begin(struct iot_buf *out, const struct broker_request *request, size_t prefix, const char *rest);
/*
 * The same for a series of messages: each payload is appended between reply_open, which returns where it starts, and
 * reply_close with that. Going back to such a start (out->len) takes a payload out again.
 */
void reply_begin_series(struct iot_buf *out, const struct broker_request *request, size_t prefix, const char *rest);
size_t reply_open(struct iot_buf *out);
void reply_close(struct iot_buf *out, size_t start);
/* Append a JSON value as the payload and send. A reply that is too large is dropped with a word in the log. */
void reply_json(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request,
		size_t prefix, const char *rest, const json_t *payload);

/* --- Jobs (jobs_service.c) ------------------------------------------------------ */

/* Answer a request on $aws/things/T/jobs/... `out` is working memory, kept between calls. */
void jobs_answer(const struct broker_port *port, struct iot_buf *out, const struct broker_request *request);
/* Is it a topic of the Jobs service? */
bool jobs_is_request(const char *topic);

/*
 * What is pushed to a thing whose pending jobs changed: the payloads of notify and notify-next. *ret_next names the
 * execution in the second one ("JOB NUMBER"), "" when there is none; new memory. Fails as the operations do.
 */
IOT_CHECK enum iot_status jobs_notice(const struct broker_port *port, const char *thing, json_t **ret_notify,
				      json_t **ret_notify_next, char **ret_next, struct iot_error *err);

/* --- file streams (streams_service.c, stream_cache.c) ---------------------------- */

struct stream_cache;

struct streams {
	const struct broker_port *port;
	struct stream_cache *cache;
	struct iot_buf out;
};
void streams_init(struct streams *streams, const struct broker_port *port);
void streams_release(struct streams *streams);
/* Answer a request on $aws/things/T/streams/S/{get,describe}/{cbor,json}. */
void streams_answer(struct streams *streams, const struct broker_request *request);
bool streams_is_request(const char *topic);
/* Something in the registry changed: who may read what is looked up again. */
void streams_changed(struct streams *streams);

/* An open file of a stream. Borrowed until the next call. */
struct stream_file {
	int fd;
	int64_t size, version;
};
struct stream_cache *stream_cache_new(const struct broker_port *port);
void stream_cache_free(struct stream_cache *cache);
void stream_cache_changed(struct stream_cache *cache);
/* From memory, or opened and remembered. Fails as stream_open does. */
IOT_CHECK enum iot_status stream_cache_get(struct stream_cache *cache, const char *thing, const char *stream,
					   int file_id, struct stream_file *ret, struct iot_error *err);

/* --- shadows (shadow_service.c) --------------------------------------------------- */

/* Answer a request on $aws/things/T/shadow/[name/N/]{get,update,delete}. */
void shadow_answer(const struct broker_port *port, const struct broker_request *request);
bool shadow_is_request(const char *topic);

#endif
