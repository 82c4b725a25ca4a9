/* Inside of publishing: where messages come from, and the journal of those that were acknowledged. */
#ifndef IOTCTL_FLEET_MESSAGING_PRIVATE_H
#define IOTCTL_FLEET_MESSAGING_PRIVATE_H

#include "iotctl/messaging.h"

struct message {
	int64_t number; /* from 1, in the order of the input: the same in every call with the same input */
	int64_t line;   /* of the input; 0 without lines */
	char *topic;
	char *payload; /* NULL: that of the options */
	size_t len;
	int qos;
	bool retain;
};

void message_release(struct message *message);
const void *message_payload(const struct message *message, const struct iot_publish_options *options);

/* --- the source ----------------------------------------------------------------------- */

enum source_result {
	SOURCE_MESSAGE,
	SOURCE_REFUSED, /* a line that cannot be sent: number, line and topic (may be NULL) are set, and the error */
	SOURCE_WAIT,    /* read more first: source_read */
	SOURCE_END
};

struct source;

struct source *source_new(const struct iot_publish_options *options);
void source_free_p(struct source **source);
/* Every topic for every device, and the payload: all that can be checked before. */
IOT_CHECK enum iot_status source_check(const struct iot_publish_options *options, struct iot_error *err);
/* The next message; it is the caller's to release in the first two cases. */
enum source_result source_next(struct source *source, struct message *ret, struct iot_error *err);
/* Read once from the descriptor, which blocks unless it is readable. */
IOT_CHECK enum iot_status source_read(struct source *source, struct iot_error *err);

/* What a broker's refusal of a message means, for people; `buf` is for what is not known. */
#define MESSAGE_REFUSED_CODE 128 /* and above, of MQTT 5 */
const char *message_refusal(int code, char *buf, size_t size);

/* --- the journal ------------------------------------------------------------------------ */

struct receipts;

/* Open or create. IOT_CONFLICT: another process has it; IOT_USAGE: the file is no journal. */
IOT_CHECK enum iot_status receipts_open(const char *path, struct receipts **ret, struct iot_error *err);
/* Was it acknowledged before? IOT_CONFLICT if the journal knows another message by its number. */
IOT_CHECK enum iot_status receipts_has(const struct receipts *journal, const struct message *message,
				       const void *payload, bool *ret, struct iot_error *err);
void receipts_add(struct receipts *journal, const struct message *message, const void *payload);
/* Hand over to the system what was added: it survives the end of this process. */
IOT_CHECK enum iot_status receipts_flush(struct receipts *journal, struct iot_error *err);
/* To the disk, and close. */
IOT_CHECK enum iot_status receipts_close(struct receipts *journal, struct iot_error *err);

#endif
