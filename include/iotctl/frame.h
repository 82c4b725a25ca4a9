/*
 * The messages between a small device and its gateway (iotctl-gateway(7)): a
 * length in four bytes, the highest first, and so many bytes of CBOR, one map with
 * small integers as keys. The protocol is our own: none has been published for
 * such devices.
 *
 * Reading is strict (cbor.h): each kind of message has members that it must and
 * members that it may have, and no others. Nothing is allocated: what is read
 * points into the message.
 */
#ifndef IOTCTL_FRAME_H
#define IOTCTL_FRAME_H

#include "iotctl/cbor.h"

#include <stdbool.h>

#define IOT_FRAME_VERSION 1
#define IOT_FRAME_HEAD 4            /* bytes of the length in front */
#define IOT_FRAME_MAX 8192          /* bytes of CBOR in one message */
#define IOT_FRAME_PAYLOAD_MAX 7680  /* of data, configuration, command */
#define IOT_FRAME_GREETING_MAX 4352 /* what a device may send before it is accepted: a token of 4,096 bytes */
#define IOT_FRAME_BOOT_MIN 8
#define IOT_FRAME_BOOT_MAX 32
#define IOT_FRAME_SUBFOLDER_MAX 128
#define IOT_FRAME_NAME_MAX 128

enum iot_frame_kind {
	IOT_FRAME_CHALLENGE = 1, /* to device: version, nonce */
	IOT_FRAME_TOKEN = 2,     /* from device: token, boot; longest */
	IOT_FRAME_ACCEPTED =
		3, /* to device: name, sequence (the last that is safe of this boot; 0: none), idle, longest */
	IOT_FRAME_REFUSED = 4,  /* to device: reason. The connection ends */
	IOT_FRAME_DATA = 5,     /* from device: sequence, role, payload; subfolder, id (of the command replied to) */
	IOT_FRAME_ACK = 6,      /* to device: sequence. All up to it are safe */
	IOT_FRAME_BUSY = 7,     /* to device: sequence. It was not taken: to be sent again, later */
	IOT_FRAME_CONFIG = 8,   /* to device: id, payload */
	IOT_FRAME_COMMAND = 9,  /* to device: id, payload; subfolder */
	IOT_FRAME_APPLIED = 10, /* from device: id (of the configuration that is in force now) */
	IOT_FRAME_COPY = 11,    /* to a monitor device: name (whose), role, payload; subfolder */
	IOT_FRAME_PING = 12,    /* either way */
	IOT_FRAME_PONG = 13,    /* either way */
	IOT_FRAME_KINDS
};

/* What a device says, as its layout's roles. */
enum iot_frame_role { IOT_FRAME_EVENT = 1, IOT_FRAME_STATE = 2, IOT_FRAME_REPLY = 3, IOT_FRAME_ROLES };
/* "event", "state", "reply"; NULL for others. And back: 0 if there is none. */
const char *iot_frame_role_name(int role);
int iot_frame_role_parse(const char *name, size_t len);

/* Numbers are 0 and spans absent (data NULL) when they are not there. Borrowed from the message. */
struct iot_frame {
	enum iot_frame_kind kind;  /* key 0 */
	uint64_t version;          /* 1 */
	struct iot_span nonce;     /* 2: 32, 48 or 64 bytes */
	struct iot_span token;     /* 3: a COSE message, at most 4,096 bytes */
	struct iot_span boot;      /* 4: 8 to 32 bytes, others after each start of the device */
	uint64_t sequence;         /* 5: 1, 2, 3... from each start of the device */
	int role;                  /* 6: enum iot_frame_role */
	struct iot_span payload;   /* 7 */
	struct iot_span subfolder; /* 8: text, levels of a topic */
	uint64_t id;               /* 9: 1 to 2^32 - 1 */
	struct iot_span name;      /* 10: text */
	struct iot_span reason;    /* 11: text */
	uint64_t idle;             /* 12: seconds of silence after which the gateway ends the connection */
	uint64_t longest;          /* 13: the longest message that the sender takes, in bytes of CBOR; 256 to 8192 */
};

/* Read the CBOR of one message. IOT_USAGE with the reason. */
IOT_CHECK enum iot_status iot_frame_read(const void *data, size_t len, struct iot_frame *ret, struct iot_error *err);

/* Append a message with its length in front. Members that its kind does not have are left out; nothing is judged. */
void iot_frame_write(const struct iot_frame *frame, struct iot_buf *out);

#endif
