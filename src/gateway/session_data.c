/*
 * What an accepted device says: once each (by child, boot and sequence), on the
 * topics of its layout, and copied to whom it is meant for besides. It is
 * acknowledged when the cloud has it or the disk.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/log.h"

#include <string.h>

static const enum iot_role roles[IOT_FRAME_ROLES] = {
	[IOT_FRAME_EVENT] = IOT_ROLE_EVENT,
	[IOT_FRAME_STATE] = IOT_ROLE_STATE,
	[IOT_FRAME_REPLY] = IOT_ROLE_REPLY,
};

/* --- making a message ------------------------------------------------------------------- */

static struct open_command *command_of(struct session *session, const struct iot_frame *frame)
{
	struct open_command *command = &session->commands[frame->id % GATEWAY_COMMANDS];

	return frame->id != 0 && command->id == frame->id ? command : NULL;
}

/* Where a layout tells replies apart by their payload, a small device need not know. */
static void add_token(struct gateway_message *message, const char *member, const char *token)
{
	IOT_JSON body = NULL;

	if (member == NULL || token == NULL ||
	    iot_json_parse(message->payload, message->payload_len, "reply", &body, NULL) != IOT_OK ||
	    !json_is_object(body))
		return;
	iot_json_set_str(body, member, token);
	free(message->payload);
	message->payload = iot_json_text(body);
	message->payload_len = strlen(message->payload);
}

static enum iot_status set_topic(struct session *session, const struct iot_frame *frame,
				 const struct open_command *command, struct gateway_message *message,
				 struct iot_error *err)
{
	const struct child *child = session->child;
	const struct iot_layout *layout = NULL;
	const struct iot_layout_role *of;
	IOT_CLEAN(iot_free_p)
	char *subfolder =
		frame->subfolder.data != NULL ? iot_strndup(frame->subfolder.data, frame->subfolder.len) : NULL;
	const char *type = *child->type != '\0' ? child->type : NULL;
	const struct iot_topic_names names = {.thing = child->thing,
					      .type = type,
					      .subfolder = subfolder,
					      .token = command != NULL ? command->token : NULL};
	enum iot_status status = gateway_layout_of(session->gateway, child->type, &layout, err);

	if (status != IOT_OK)
		return status;
	of = iot_layout_role(layout, roles[frame->role], type);
	message->qos = of->qos;
	message->retain = of->retain;
	if (command != NULL && command->topic != NULL) {
		message->topic = iot_strdup(command->topic);
		return IOT_OK;
	}
	status = iot_layout_topic(layout, roles[frame->role], &names, &message->topic, err);
	if (status == IOT_OK && command != NULL)
		add_token(message, iot_layout_role(layout, IOT_ROLE_COMMAND, type)->token_member, command->token);
	return status;
}

static enum iot_status make_message(struct session *session, const struct iot_frame *frame,
				    const struct open_command *command, struct gateway_message **ret,
				    struct iot_error *err)
{
	const struct child *child = session->child;
	struct gateway_message *message = iot_alloc(sizeof(*message));
	enum iot_status status;

	message->payload_len = frame->payload.len;
	message->payload = iot_alloc(frame->payload.len + 1);
	memcpy(message->payload, frame->payload.data, frame->payload.len);
	memcpy(message->boot, child->boot, child->boot_len);
	message->boot_len = child->boot_len;
	message->sequence = (int64_t)frame->sequence;
	status = set_topic(session, frame, command, message, err);
	if (status != IOT_OK) {
		gateway_message_free(message);
		return status;
	}
	if (command != NULL && command->correlation_len > 0) {
		message->correlation = iot_alloc(command->correlation_len);
		memcpy(message->correlation, command->correlation, command->correlation_len);
		message->correlation_len = command->correlation_len;
	}
	*ret = message;
	return IOT_OK;
}

/* --- copies ----------------------------------------------------------------------------------- */

/* A monitor hears what is said while it is there; what it cannot take is not kept for it. */
static void copy(struct session *session, const struct iot_frame *frame)
{
	const struct child *child = session->child;
	const struct iot_frame out = {.kind = IOT_FRAME_COPY,
				      .name = {child->thing, strlen(child->thing)},
				      .role = frame->role,
				      .payload = frame->payload,
				      .subfolder = frame->subfolder};

	for (size_t i = 0; i < child->copy_count; i++) {
		struct child *to;

		if ((child->copies[i].roles & (1U << frame->role)) == 0)
			continue;
		to = gateway_known_child(session->gateway, child->copies[i].thing);
		if (to != NULL && to->session != NULL && to != child && !session_send(to->session, &out))
			gateway_event(session->gateway, "dropped", to->thing, "a copy of what '%s' said", child->thing);
	}
}

/* --- taking --------------------------------------------------------------------------------------- */

static void want_acknowledge(struct gateway *gateway, struct child *child)
{
	if (child->acknowledge)
		return;
	child->acknowledge = true;
	child->next_acknowledge = gateway->acknowledge;
	gateway->acknowledge = child;
}

static void pass_dropped(struct child *child)
{
	if (child->dropped != 0 && child->dropped == child->safe + 1) {
		child->safe = child->dropped;
		child->dropped = 0;
	}
}

void child_is_safe(struct gateway *gateway, struct child *child, const struct gateway_message *message, bool firm)
{
	if (message->boot_len != child->boot_len || memcmp(message->boot, child->boot, child->boot_len) != 0 ||
	    message->sequence <= child->safe)
		return;
	child->safe = message->sequence;
	pass_dropped(child);
	if (firm)
		child->firm = child->safe;
	want_acknowledge(gateway, child);
	if (child->noted) {
		child->noted = false;
		child->next_unnoted = gateway->unnoted;
		gateway->unnoted = child;
	}
}

void session_refuse_for_now(struct session *session, int64_t sequence, const struct iot_error *err)
{
	const struct iot_frame frame = {.kind = IOT_FRAME_BUSY, .sequence = (uint64_t)sequence};
	char line[512];

	session->busy = sequence;
	gateway_event(session->gateway, "busy", session->child->thing, "%s", iot_error_line(err, line, sizeof(line)));
	(void)session_send(session, &frame);
}

static void forward(struct session *session, const struct iot_frame *frame)
{
	struct child *child = session->child;
	struct open_command *command = frame->role == IOT_FRAME_REPLY ? command_of(session, frame) : NULL;
	struct gateway_message *message = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	if (frame->role == IOT_FRAME_REPLY && command == NULL) {
		gateway_event(session->gateway, "dropped", child->thing, "a reply to no command");
		child->taken = child->dropped = (int64_t)frame->sequence;
		pass_dropped(child);
		want_acknowledge(session->gateway, child);
		return;
	}
	status = make_message(session, frame, command, &message, &err);
	if (status != IOT_OK) {
		session_refuse(session, status == IOT_USAGE ? "topic" : "later", &err);
		return;
	}
	status = uplink_say(session->gateway, child, message, &err);
	if (status != IOT_OK) {
		gateway_message_free(message);
		session_refuse_for_now(session, (int64_t)frame->sequence, &err);
		return;
	}
	child->taken = (int64_t)frame->sequence;
	if (command != NULL)
		downlink_release_command(command);
	copy(session, frame);
}

void session_data(struct session *session, const struct iot_frame *frame)
{
	int64_t sequence = (int64_t)frame->sequence;

	if (session->busy != 0 && sequence > session->busy)
		return; /* its turn comes after what was refused */
	session->busy = 0;
	if (sequence <= session->child->taken)
		want_acknowledge(session->gateway, session->child); /* it was said before */
	else
		forward(session, frame);
}

void gateway_acknowledge(struct gateway *gateway)
{
	struct child *child;

	while ((child = gateway->acknowledge) != NULL) {
		const struct iot_frame frame = {.kind = IOT_FRAME_ACK, .sequence = (uint64_t)child->safe};

		gateway->acknowledge = child->next_acknowledge;
		child->acknowledge = false;
		child->firm = child->safe;
		if (child->session != NULL && child->safe > 0 && !session_send(child->session, &frame))
			iot_psk_link_close(child->session->link, "the device does not read");
	}
}

void gateway_note(struct gateway *gateway)
{
	struct child *child;

	while ((child = gateway->unnoted) != NULL) {
		struct iot_error err = IOT_ERROR_INIT;

		gateway->unnoted = child->next_unnoted;
		child->noted = true;
		if (gateway_queue_note(gateway->queue, child->thing, child->boot, child->boot_len, child->safe, &err) !=
		    IOT_OK)
			iot_log_error(IOT_LOG_WARNING, "cannot write down how far a device has come: ", &err);
	}
}
