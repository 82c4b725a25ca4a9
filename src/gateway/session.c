/*
 * A device's connection, up to the point where it is heard: handshake, challenge,
 * token, verdict. The gateway asks first; the device can say nothing but its
 * token before it is accepted, and a nonce serves one answer on one connection.
 */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"

#include <string.h>

bool session_send(struct session *session, const struct iot_frame *frame)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_FRAME_MAX);
	bool sent = false;

	iot_frame_write(frame, &out);
	if (!out.over && out.len <= session->longest + IOT_FRAME_HEAD)
		sent = iot_psk_link_send(session->link, out.data, out.len);
	iot_buf_release(&out);
	return sent;
}

static struct iot_span span(const char *text)
{
	return (struct iot_span){text, strlen(text)};
}

void session_refuse(struct session *session, const char *word, const struct iot_error *err)
{
	const struct iot_frame frame = {.kind = IOT_FRAME_REFUSED, .reason = span(word)};
	char line[512];

	gateway_event(session->gateway, "refused", session->child->thing, "%s: %s", word,
		      iot_error_line(err, line, sizeof(line)));
	(void)session_send(session, &frame);
	iot_psk_link_close(session->link, word);
}

/* --- the challenge ------------------------------------------------------------------------ */

void session_opened(struct iot_psk_link *link, void *data)
{
	struct gateway *gateway = data;
	struct session *session = iot_psk_link_user(link);
	int attest_ms = gateway->options->attest_ms > 0 ? gateway->options->attest_ms : 10000;
	const struct iot_frame frame = {.kind = IOT_FRAME_CHALLENGE,
					.version = IOT_FRAME_VERSION,
					.nonce = {session->nonce, gateway->nonce_size}};

	session->state = SESSION_CHALLENGED;
	session->longest = IOT_FRAME_MAX;
	session->nonce_len = gateway->nonce_size;
	iot_random(session->nonce, session->nonce_len);
	iot_psk_link_set_limits(link, IOT_FRAME_GREETING_MAX, attest_ms);
	gateway_event(gateway, "connected", session->child->thing, "%s from %s with %s", iot_psk_link_identity(link),
		      iot_psk_link_address(link), iot_psk_link_suite(link));
	if (!session_send(session, &frame))
		iot_psk_link_close(link, "no room for the challenge");
}

/* --- the token ------------------------------------------------------------------------------ */

/* With each attestation key of the device: it has two while it rotates. The first fault is the one that is told. */
static enum iot_status check_with_secrets(struct session *session, const struct iot_span *token,
					  struct iot_attest_expect *expect, struct iot_attest_verdict *verdict,
					  bool *has_key, struct iot_error *err)
{
	struct iot_psk secrets[IOT_PSK_ACTIVE_MAX];
	size_t count = 0;
	enum iot_status status = iot_psk_attestation_keys(session->gateway->store, session->gateway->seal,
							  session->thing_id, secrets, &count, err);

	*has_key = status != IOT_OK || count > 0;
	for (size_t i = 0; status == IOT_OK && i < count; i++) {
		struct iot_attest_verdict now;
		struct iot_error other = IOT_ERROR_INIT;
		enum iot_status result;

		expect->secret = secrets[i].key;
		expect->secret_len = secrets[i].key_len;
		result = iot_attest_verify(token->data, token->len, expect, &now, i == 0 ? err : &other);
		if (i == 0 || result == IOT_OK)
			*verdict = now;
		if (result == IOT_OK) {
			session->attest = secrets[i].id;
			iot_error_clear(err);
			break;
		}
		if (i + 1 == count)
			status = IOT_VERIFY;
	}
	expect->secret = NULL;
	iot_wipe(secrets, sizeof(secrets));
	return status;
}

static enum iot_status check_with_keys(struct session *session, const struct iot_span *token,
				       struct iot_attest_expect *expect, struct iot_attest_verdict *verdict,
				       struct iot_error *err)
{
	struct iot_device_key keys[IOT_DEVICE_KEYS_MAX] = {0};
	size_t count = 0;
	enum iot_status status =
		iot_device_keys_find(session->gateway->store, session->child->thing, "attest", keys, &count, err);
	enum iot_status result = IOT_VERIFY;
	size_t tried = 0;

	for (size_t i = 0; status == IOT_OK && result != IOT_OK && i < count; i++) {
		struct iot_error other = IOT_ERROR_INIT;
		struct iot_attest_verdict now;

		if (keys[i].expires_at != 0 && keys[i].expires_at <= iot_now_ms())
			continue;
		expect->key = keys[i].key;
		result = iot_attest_verify(token->data, token->len, expect, &now, tried == 0 ? err : &other);
		if (tried++ == 0 || result == IOT_OK)
			*verdict = now;
		if (result == IOT_OK)
			snprintf(session->attest_key, sizeof(session->attest_key), "%s", keys[i].id);
	}
	expect->key = NULL;
	if (status == IOT_OK && tried == 0)
		status = iot_fail(err, IOT_VERIFY, "the device has no attestation key in the registry%s",
				  count > 0 ? " that has not expired" : "");
	else if (status == IOT_OK)
		status = result;
	if (status == IOT_OK)
		iot_error_clear(err);
	iot_device_keys_release(keys, count);
	return status;
}

/* The word that the device is told: which check failed, and no more. */
static const char *failed_check(const struct iot_attest_verdict *verdict)
{
	for (int i = 0; i < IOT_ATTEST_CHECKS; i++) {
		if (verdict->checks[i].result == IOT_ATTEST_FAILED)
			return iot_attest_check_name((enum iot_attest_check)i);
	}
	return "attestation";
}

/* Each of its policies must be met. */
static enum iot_status check_policies(struct session *session, const struct iot_span *token,
				      struct iot_attest_verdict *verdict, struct iot_error *err)
{
	const struct child *child = session->child;
	enum iot_status status = IOT_OK;

	for (size_t i = 0; status == IOT_OK && i < child->policy_count; i++) {
		struct iot_attest_expect expect = {.nonce = {session->nonce, session->nonce_len},
						   .policy = child->policies[i]};
		bool has_secret = false;

		status = check_with_secrets(session, token, &expect, verdict, &has_secret, err);
		if (status == IOT_OK && !has_secret)
			status = check_with_keys(session, token, &expect, verdict, err);
	}
	return status;
}

static enum iot_status check_token(struct session *session, const struct iot_span *token, const char **ret_word,
				   struct iot_error *err)
{
	struct iot_attest_verdict verdict = {0};
	/* What was assigned to it since it said its name counts, too. */
	enum iot_status status = gateway_child(session->gateway, session->child->thing, &session->child, err);

	if (status == IOT_OK)
		status = check_policies(session, token, &verdict, err);
	if (status == IOT_OK)
		memcpy(session->policy_mark, session->child->policy_mark, sizeof(session->policy_mark));
	iot_wipe(session->nonce, sizeof(session->nonce)); /* it has served */
	session->nonce_len = 0;
	*ret_word = failed_check(&verdict);
	return status;
}

static void accept_device(struct session *session, const struct iot_frame *token)
{
	struct gateway *gateway = session->gateway;
	struct child *child = session->child;
	struct iot_frame frame = {.kind = IOT_FRAME_ACCEPTED,
				  .name = span(child->thing),
				  .idle = (uint64_t)(gateway->idle_ms + 999) / 1000,
				  .longest = IOT_FRAME_MAX};

	if (child->session != NULL)
		iot_psk_link_close(child->session->link, "another connection of this device");
	child->session = session;
	if (token->longest != 0)
		session->longest = (size_t)token->longest;
	if (child->boot_len != token->boot.len || memcmp(child->boot, token->boot.data, token->boot.len) != 0) {
		child->boot_len = token->boot.len;
		memcpy(child->boot, token->boot.data, token->boot.len);
		child->taken = child->safe = child->firm = child->dropped = 0;
	}
	session->state = SESSION_ACCEPTED;
	iot_psk_link_set_limits(session->link, IOT_FRAME_MAX, gateway->idle_ms);
	frame.sequence = (uint64_t)child->safe;
	gateway_event(gateway, "accepted", child->thing, "from %s", iot_psk_link_address(session->link));
	presence_tell(gateway, child->thing, true, iot_psk_link_address(session->link));
	if (session_send(session, &frame))
		downlink_begin(session);
}

static void take_token(struct session *session, const struct iot_frame *frame)
{
	struct iot_error err = IOT_ERROR_INIT;
	const char *word = NULL;
	enum iot_status status = check_token(session, &frame->token, &word, &err);

	if (status == IOT_OK)
		accept_device(session, frame);
	else
		session_refuse(session, status == IOT_VERIFY ? word : "later", &err);
}

/* --- messages ---------------------------------------------------------------------------------- */

static void take_frame(struct session *session, const struct iot_frame *frame)
{
	static const struct iot_frame pong = {.kind = IOT_FRAME_PONG};
	struct iot_error err = IOT_ERROR_INIT;

	if (session->state == SESSION_CHALLENGED && frame->kind == IOT_FRAME_TOKEN) {
		take_token(session, frame);
	} else if (session->state == SESSION_ACCEPTED && frame->kind == IOT_FRAME_DATA) {
		session_data(session, frame);
	} else if (session->state == SESSION_ACCEPTED && frame->kind == IOT_FRAME_APPLIED) {
		downlink_applied(session, (uint32_t)frame->id);
	} else if (session->state == SESSION_ACCEPTED && frame->kind == IOT_FRAME_PING) {
		(void)session_send(session, &pong);
	} else if (session->state != SESSION_ACCEPTED || frame->kind != IOT_FRAME_PONG) {
		iot_fail(&err, IOT_USAGE, "a message of kind %d is out of turn", (int)frame->kind);
		session_refuse(session, "protocol", &err);
	}
}

void session_message(struct iot_psk_link *link, const void *message, size_t len, void *gateway)
{
	struct session *session = iot_psk_link_user(link);
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_frame frame;

	(void)gateway;
	if (iot_frame_read(message, len, &frame, &err) == IOT_OK)
		take_frame(session, &frame);
	else
		session_refuse(session, "protocol", &err);
}

void session_closed(struct iot_psk_link *link, const char *reason, void *data)
{
	struct gateway *gateway = data;
	struct session *session = iot_psk_link_user(link);

	if (session == NULL) {
		gateway_event(gateway, "disconnected", NULL, "%s %s: %s", iot_psk_link_address(link),
			      iot_psk_link_identity(link), reason);
		return;
	}
	gateway_event(gateway, "disconnected", session->child->thing, "%s", reason);
	if (session->child->session == session) {
		session->child->session = NULL;
		presence_tell(gateway, session->child->thing, false, NULL);
	}
	for (size_t i = 0; i < GATEWAY_COMMANDS; i++)
		downlink_release_command(&session->commands[i]);
	free(session->applied);
	free(session->applied_topic);
	json_decref(session->config);
	iot_wipe(session->nonce, sizeof(session->nonce));
	free(session);
}
