/*
 * Inside of sending commands: command_targets.c makes of devices and layouts
 * what is to be sent, command_reply.c tells whose answer a message is,
 * command_journal.c remembers for --resume, command_send.c does it.
 */
#ifndef IOTCTL_FLEET_COMMAND_PRIVATE_H
#define IOTCTL_FLEET_COMMAND_PRIVATE_H

#include "iotctl/layout.h"
#include "iotctl/remote_command.h"

/* What the devices of a type have in common. */
struct command_kind {
	char *type; /* "" for none */
	struct iot_layout *layout;
	const struct iot_layout_role *command, *reply;
	bool token_in_topic;
	char *head, *tail; /* the payload around the token; NULL: as it was given */
	size_t tail_len;
};

enum target_state {
	TARGET_WAITING, /* for its turn */
	TARGET_FLYING,  /* sent, or about to be */
	TARGET_ENDED
};

struct target {
	const struct iot_publish_device *device;
	const struct command_kind *kind;
	char *topic, *reply_topic;
	char token[37];
	enum target_state state;
	enum iot_command_outcome outcome; /* of TARGET_ENDED */
	bool resumed;                     /* ended in an earlier call */
	bool spoiled;                     /* the connection was lost while it was in flight */
	bool begun;                       /* the journal says that it is to be sent */
	int mid;                          /* -1: to be handed over */
	bool acknowledged;
	int64_t sent_at, ended_at; /* monotonic; 0: not yet */
};

struct targets {
	struct target *all;
	size_t count;
	struct command_kind **kinds;
	size_t kind_count;
	struct target **by_topic; /* sorted by reply topic */
};

/* Everything that can be checked before. Borrows from the options. */
IOT_CHECK enum iot_status targets_init(struct targets *targets, struct iot_cloud *cloud,
				       const struct iot_command_options *options, struct iot_error *err);
void targets_release(struct targets *targets);
/* The bytes for one device: borrowed from `buf` or the options. */
const void *target_payload(const struct target *target, const struct iot_command_options *options, struct iot_buf *buf,
			   size_t *ret_len);

/* --- whose answer ---------------------------------------------------------------------- */

enum reply_kind {
	REPLY_STRANGE,  /* to somebody else's command, or nothing of a device of ours */
	REPLY_ANSWER,   /* of a device in flight */
	REPLY_LATE,     /* the answer of a device that has ended without one */
	REPLY_TWICE,    /* and of one that has answered already */
	REPLY_MISMATCH, /* on the topic of a device of ours, but it names no token or another one */
	REPLY_FOREIGN   /* the token of a device of ours on another one's topic */
};
struct reply {
	enum reply_kind kind;
	struct target *target; /* all but strange: whose topic; foreign: whose token */
};
struct reply reply_judge(const struct targets *targets, const struct iot_mqtt_message *message);

/* --- hearing answers -------------------------------------------------------------------- */

/* Subscriptions that are under way, for whoever gets the event. */
struct listening;
void listening_answered(struct listening *listening, int mid, bool granted);

/*
 * Subscribe to the answers of all devices that have not ended, one by one or all of a type at once. A device whose
 * answers must not be heard goes to `refused`. *at is set while it works. IOT_AGAIN: the connection is gone; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status listen_for_replies(struct iot_mqtt *mqtt, struct targets *targets, int64_t deadline,
					     struct listening **at, void (*refused)(struct target *target, void *data),
					     void *data, struct iot_error *err);

/* --- the journal --------------------------------------------------------------------------- */

struct command_journal;

/* Open or create, and mark the devices that it knows as ended. */
IOT_CHECK enum iot_status command_journal_open(const struct iot_command_options *options, struct targets *targets,
					       struct command_journal **ret, struct iot_error *err);
/* All accept NULL. It is to be sent: flush before it is. */
void command_journal_sending(struct command_journal *journal, const struct target *target);
void command_journal_ended(struct command_journal *journal, const struct target *target);
IOT_CHECK enum iot_status command_journal_flush(struct command_journal *journal, struct iot_error *err);
IOT_CHECK enum iot_status command_journal_close(struct command_journal *journal, struct iot_error *err);

#endif
