/*
 * Commands: what a device is told to do now, and what it answers. A command goes
 * to devices that are connected and to nobody else: one that could not be
 * delivered within its time-out is not delivered later.
 *
 * Topics, QoS and how an answer is known come from the layout of the device's
 * type (layout.h). An answer counts when it comes on the device's own topic for
 * replies and names the command's token:
 *   - in the topic, where the layout's reply topic has {token};
 *   - as correlation data of MQTT 5 (IOT_CORRELATE_MQTT5; the command has a response topic and correlation data);
 *   - in the layout's tokenMember of the answer, a JSON object (IOT_CORRELATE_PAYLOAD; the command has it, too).
 * It must name it in one of these ways, and no other token in any of them.
 *
 * At QoS 1 a device may hear a command twice, as with everything at QoS 1; the token is the same then.
 */
#ifndef IOTCTL_REMOTE_COMMAND_H
#define IOTCTL_REMOTE_COMMAND_H

#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/messaging.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IOT_COMMANDS_IN_FLIGHT 100 /* by default */

/* What became of the command for one device. */
enum iot_command_outcome {
	IOT_COMMAND_ANSWERED,
	IOT_COMMAND_SENT,          /* not asked to wait: the broker has it and a device listens */
	IOT_COMMAND_NOT_CONNECTED, /* as the registry knows; nothing was sent */
	IOT_COMMAND_NOT_LISTENING, /* the broker says that nobody subscribes to its topic for commands */
	IOT_COMMAND_DENIED,        /* we may not command it, or not hear its answers */
	IOT_COMMAND_TIMED_OUT,     /* sent, and no answer (not asked to wait: no acknowledgement) came in time */
	IOT_COMMAND_UNKNOWN,       /* sent, and the work ended before an answer came */
	IOT_COMMAND_NOT_SENT,      /* the work ended before it was its turn */
	IOT_COMMAND_OUTCOMES
};
/* "answered", "sent", "not-connected", ...: NULL-terminated, in the order of the enum. */
extern const char *const iot_command_outcome_names[];

struct iot_command_options {
	const struct iot_publish_device *devices; /* as iot_publish_devices finds them */
	size_t device_count;
	const void *payload; /* to be correlated in the payload it must be a JSON object; nothing stands for {} */
	size_t payload_len;
	const char *subfolder; /* of the command topic; NULL: none */
	bool wait;             /* for an answer; else nothing is added to the message */
	bool even_offline;     /* send also to devices that are not connected as far as the registry knows */
	int64_t timeout_ms;    /* for each device, from when it was sent */
	int64_t connect_ms;    /* for the connection and the subscriptions */
	int64_t max_failures;  /* send no more when so many devices have failed; 0: never mind */
	/*
	 * Journal of what was sent and answered: devices that it knows are done with, also those that did not answer,
	 * since they may have done what they were told; retry_failed: tell these again. NULL: none.
	 */
	const char *resume;
	bool retry_failed;

	bool (*interrupted)(void *data); /* asked often; may be NULL */
	int interrupt_fd;                /* becomes readable then; -1: none */
	void (*connected)(const char *who, void *data);
	/*
	 * Once for each device, in the order in which they end: {thingName, outcome, milliseconds?, payload?, format?,
	 * reason?, resumed?}; payload and format as of iot_payload_show, JSON where it is that. Borrowed.
	 */
	enum iot_status (*result)(const json_t *record, void *data, struct iot_error *err);
	void (*progress)(int64_t done, void *data);
	void *data;
};
/*
 * Send a command and, with `wait`, gather the answers: at most `where->window` (0: IOT_COMMANDS_IN_FLIGHT) devices at a
 * time. Subscribes before it sends. Answers that come late, twice, with another token or on another device's topic are
 * logged and never counted.
 *
 * Before anything is sent: IOT_USAGE for a topic or payload that breaks a rule, a payload that cannot carry a token, a
 * subfolder that a layout does not have; IOT_CONFLICT for a journal of another command or in use. Then, after `result`
 * was called for every device: IOT_OK all answered (were sent); IOT_PARTIAL some; none: IOT_TIMEOUT, IOT_DENIED or
 * IOT_AGAIN (not connected, not listening) if all failed so, else IOT_FAILURE. IOT_ABORTED by max_failures; IOT_AGAIN
 * the broker went; IOT_INTERRUPTED. *ret_counts, set when `result` was called: a member for each outcome that there was.
 */
IOT_CHECK enum iot_status iot_command_send(struct iot_cloud *cloud, const struct iot_messaging_where *where,
					   const struct iot_command_options *options, json_t **ret_counts,
					   struct iot_error *err);

#endif
