/*
 * Shadow documents, and nothing but them: what a request asks for, what it makes
 * of a document, and the messages about it. No registry, no clock, no topics.
 *
 * Format, limits and the words of refusals: AWS IoT developer guide, "Device
 * Shadow service documents" and "Device Shadow error messages"; AWS IoT Core
 * quotas. Refusals carry the codes of service iotdata, and in `what` the
 * service's own message, letter for letter: devices get it as it is.
 */
#ifndef IOTCTL_SHADOW_DOC_H
#define IOTCTL_SHADOW_DOC_H

#include "iotctl/buf.h"
#include "iotctl/error.h"
#include "iotctl/json.h"

#include <stdint.h>

#define IOT_SHADOW_SIZE_MAX 8192      /* bytes of desired and reported together, compact; metadata does not count */
#define IOT_SHADOW_DEPTH_MAX 8        /* levels of members in desired, and in reported; a list is a level too */
#define IOT_SHADOW_TOKEN_MAX 64       /* bytes */
#define IOT_SHADOW_MESSAGE_MAX 131072 /* bytes of a request, and of every message about a shadow */

/* A document; shadow_doc_load() makes one also where there is none. */
struct shadow_doc {
	json_t *state;    /* {desired?, reported?}: a section with nothing in it is absent */
	json_t *metadata; /* the same shape, {"timestamp": seconds} in the place of each value */
	int64_t version;  /* of the document, or of the one that was deleted; 0: there never was one */
	bool exists;
};
void shadow_doc_release(struct shadow_doc *doc); /* fits IOT_CLEAN */
/* From the registry's text, which is trusted; NULL: there is none, or it was deleted. */
IOT_CHECK enum iot_status shadow_doc_load(const char *text, int64_t version, struct shadow_doc *ret,
					  struct iot_error *err);
/* For the registry; new memory. */
char *shadow_doc_text(const struct shadow_doc *doc);

/* What a device or the API asked for. */
struct shadow_request {
	json_t *body;
	const json_t *state; /* borrowed from body, like token */
	const json_t *token; /* clientToken; NULL if absent */
	int64_t version;     /* that the document must have; -1: any */
};
void shadow_request_release(struct shadow_request *request); /* fits IOT_CLEAN */
/* The payload of an update: {state, version?, clientToken?}. Other members are skipped. */
IOT_CHECK enum iot_status shadow_request_update(const void *payload, size_t len, struct shadow_request *ret,
						struct iot_error *err);
/* The payload of a get or delete: nothing, or an object that may have a clientToken. */
IOT_CHECK enum iot_status shadow_request_other(const void *payload, size_t len, struct shadow_request *ret,
					       struct iot_error *err);

/*
 * Make `ret_after` of `before`. Members are merged level by level: null removes, a
 * list is replaced as a whole, an object of nothing but nulls is nothing. Every
 * value that the request names gets the time `now` (seconds), changed or not; the
 * version counts up. Codes ConflictException, RequestEntityTooLargeException.
 */
IOT_CHECK enum iot_status shadow_doc_update(const struct shadow_doc *before, const struct shadow_request *request,
					    int64_t now, struct shadow_doc *ret_after, struct iot_error *err);

/* --- messages: new references ------------------------------------------------------ */

/* What is desired and not reported so: {state, metadata, version, timestamp, clientToken?}; NULL if nothing is. */
json_t *shadow_delta(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now);
/* The whole: {state: {desired?, reported?, delta?}, metadata, version, timestamp, clientToken?}. */
json_t *shadow_whole(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now);
/* What was asked for, accepted: {state, metadata, version, timestamp, clientToken?}. */
json_t *shadow_accepted(const struct shadow_doc *after, const struct shadow_request *request, int64_t now);
/* {previous: {state, metadata, version}, current: {...}, timestamp, clientToken?}. */
json_t *shadow_documents(const struct shadow_doc *before, const struct shadow_doc *after,
			 const struct shadow_request *request, int64_t now);
/* {version, timestamp, clientToken?}. */
json_t *shadow_deleted(const struct shadow_doc *doc, const struct shadow_request *request, int64_t now);

/* Compact text, numbers in the fewest digits that mean the same ("0.1" stays so). Appended; see iot_buf_check(). */
void shadow_text(const json_t *value, struct iot_buf *out);

#endif
