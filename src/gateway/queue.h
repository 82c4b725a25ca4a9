/*
 * What children have said and the cloud does not have yet: in order, bounded, on
 * disk. When there is no room, what is there stays and what is new is refused. Writes of one turn are one transaction:
 * nothing may be acknowledged before gateway_queue_commit has returned.
 */
#ifndef IOTCTL_GATEWAY_QUEUE_H
#define IOTCTL_GATEWAY_QUEUE_H

#include "iotctl/error.h"
#include "iotctl/frame.h"

#include <stdint.h>

struct gateway_queue;

/* A message for the cloud. gateway_message_free frees it with all it holds. */
struct gateway_message {
	int64_t row; /* in the queue; 0: it is not there */
	char *topic;
	void *payload;
	size_t payload_len;
	int qos;
	bool retain;
	void *correlation; /* NULL: none */
	size_t correlation_len;
	uint8_t boot[IOT_FRAME_BOOT_MAX];
	size_t boot_len;
	int64_t sequence;
};
void gateway_message_free(struct gateway_message *message);

/* IOT_CONFLICT: another gateway has it. */
IOT_CHECK enum iot_status gateway_queue_open(const char *dir, int64_t messages, int64_t bytes,
					     struct gateway_queue **ret, struct iot_error *err);
void gateway_queue_close(struct gateway_queue *queue);

/* Which of a child's messages is the last that is safe; boot_len 0: none ever was. */
IOT_CHECK enum iot_status gateway_queue_last(struct gateway_queue *queue, const char *thing,
					     uint8_t boot[IOT_FRAME_BOOT_MAX], size_t *ret_boot_len,
					     int64_t *ret_sequence, struct iot_error *err);
/* All up to this one is safe. */
IOT_CHECK enum iot_status gateway_queue_note(struct gateway_queue *queue, const char *thing, const uint8_t *boot,
					     size_t boot_len, int64_t sequence, struct iot_error *err);

/* How many of a child's are there. */
IOT_CHECK enum iot_status gateway_queue_count(struct gateway_queue *queue, const char *thing, int64_t *ret,
					      struct iot_error *err);
/* Call `each` with every child that has messages there. */
IOT_CHECK enum iot_status gateway_queue_children(struct gateway_queue *queue,
						 void (*each)(const char *thing, void *data), void *data,
						 struct iot_error *err);
/* Add one. `count`: how many of the child's are there. IOT_AGAIN: there is no room; one that is there is no fault. */
IOT_CHECK enum iot_status gateway_queue_put(struct gateway_queue *queue, const char *thing, int64_t count,
					    const struct gateway_message *message, struct iot_error *err);
/* The first after row `after`; *ret NULL: there is none. */
IOT_CHECK enum iot_status gateway_queue_next(struct gateway_queue *queue, const char *thing, int64_t after,
					     struct gateway_message **ret, struct iot_error *err);
/*
 * The cloud has it, and it is not given out any more. *ret_was_there: false if it was forgotten meanwhile. The file
 * hears of it by gateway_queue_tidy.
 */
IOT_CHECK enum iot_status gateway_queue_done(struct gateway_queue *queue, const struct gateway_message *message,
					     bool *ret_was_there, struct iot_error *err);
/* The child is no more. */
IOT_CHECK enum iot_status gateway_queue_forget(struct gateway_queue *queue, const char *thing, struct iot_error *err);

/* What was done is on the disk when this returns IOT_OK, and undone otherwise. */
IOT_CHECK enum iot_status gateway_queue_commit(struct gateway_queue *queue, struct iot_error *err);

/* Take off what the cloud has, after a commit. On a disk that is full that may take several calls. */
void gateway_queue_tidy(struct gateway_queue *queue);

#endif
