/*
 * A small device behind a gateway. One connection at a time, blocking with
 * deadlines, as such devices do it: challenge, token, then messages until the
 * connection ends, and the same again. Its faults are deviations at fixed places.
 */
#include "iotctl/sim.h"

#include "iotctl/attest.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/digest.h"
#include "iotctl/frame.h"
#include "iotctl/log.h"
#include "iotctl/psklink.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
	CONNECT_MS = 10000,
	ANSWER_MS = 15000, /* the gateway must have judged the token */
	SEND_MS = 10000,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 2000,
	STEP_MS = 200,  /* between looks at the interrupt */
	UNSAFE_MAX = 64 /* messages that it keeps until they are acknowledged */
};

/* What was said, or is to be. */
struct message {
	int role;
	int64_t number;   /* of a measurement */
	uint64_t command; /* of a reply */
};

struct device {
	const struct iot_sim_psk_options *options;
	void (*event)(const char *name, const char *detail, void *data);
	void *data;
	struct iot_psk_client *client;
	struct iot_buf token; /* of this connection; with fault "replay" of the first one */
	bool has_token;
	uint8_t boot[32], seed[32];
	int64_t made, safe, sent; /* sequences: messages made, acknowledged, sent on this connection */
	int64_t measured;
	struct message messages[UNSAFE_MAX]; /* by sequence */
	int64_t next;                        /* monotonic ms of the next measurement */
	int64_t end, heard;
	int idle_ms;
	bool over, refused;
};

static void tell(struct device *device, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(struct device *device, const char *name, const char *fmt, ...)
{
	char detail[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_notice("%s %s: %s", device->options->identity, name, detail);
	if (device->event != NULL)
		device->event(name, detail, device->data);
}

static bool fault_is(const struct device *device, const char *name)
{
	return device->options->fault != NULL && strcmp(device->options->fault, name) == 0;
}

/* Wait, but not when it is to end. */
static void pause_for(struct device *device, int64_t ms)
{
	struct pollfd fd = {.fd = device->options->interrupt_fd, .events = POLLIN};
	int64_t left = device->end - iot_monotonic_ms();

	if (poll(&fd, 1, (int)(left < ms ? (left > 0 ? left : 0) : ms)) > 0)
		device->over = true;
}

static bool is_over(struct device *device)
{
	struct pollfd fd = {.fd = device->options->interrupt_fd, .events = POLLIN};

	device->over = device->over || poll(&fd, 1, 0) > 0 || iot_monotonic_ms() >= device->end;
	return device->over;
}

static enum iot_status send_frame(struct device *device, const struct iot_frame *frame, struct iot_error *err)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_FRAME_MAX);
	enum iot_status status;

	iot_frame_write(frame, &out);
	status = iot_psk_client_send(device->client, out.data, out.len, SEND_MS, err);
	iot_buf_release(&out);
	return status;
}

/* --- the token ----------------------------------------------------------------------------- */

static struct iot_span span_of(const void *data, size_t len)
{
	return (struct iot_span){data, len};
}

static enum iot_cose_alg alg_of(const struct iot_key *key)
{
	enum iot_key_type type = key != NULL ? iot_key_type(key) : IOT_KEY_OTHER;

	return type == IOT_KEY_P521   ? IOT_COSE_ES512
	       : type == IOT_KEY_P384 ? IOT_COSE_ES384
	       : type == IOT_KEY_P256 ? IOT_COSE_ES256
				      : IOT_COSE_HMAC256;
}

/* A signature that is wrong is right with a bit turned; a tag is made with another key. */
static enum iot_status encode(struct device *device, const struct iot_attest_claims *claims, struct iot_error *err)
{
	const struct iot_sim_psk_options *o = device->options;
	uint8_t key[IOT_COSE_MAC_KEY_MAX];
	enum iot_status status;

	iot_buf_clear(&device->token);
	if (o->attest_private != NULL) {
		status = iot_attest_encode(claims, alg_of(o->attest_private), NULL, 0, o->attest_private,
					   &device->token, err);
		if (status == IOT_OK)
			device->token.data[device->token.len - 1] ^= (char)fault_is(device, "bad-token");
		return status;
	}
	memcpy(key, o->attest_key, o->attest_key_len);
	key[0] ^= fault_is(device, "bad-token");
	status = iot_attest_encode(claims, IOT_COSE_HMAC256, key, o->attest_key_len, NULL, &device->token, err);
	iot_wipe(key, sizeof(key));
	return status;
}

static enum iot_status instance_of(const struct iot_sim_psk_options *o, uint8_t out[IOT_ATTEST_INSTANCE_SIZE],
				   struct iot_error *err)
{
	if (o->attest_private != NULL)
		return iot_attest_instance_of_key(o->attest_private, out, err);
	if (o->attest_key_len > IOT_COSE_MAC_KEY_MAX)
		return iot_fail(err, IOT_USAGE, "an attestation key has at most %d bytes", (int)IOT_COSE_MAC_KEY_MAX);
	iot_attest_instance_of_secret(o->attest_key, o->attest_key_len, out);
	return IOT_OK;
}

/* What Trusted Firmware-M would say of a device with one image. */
static enum iot_status make_token(struct device *device, const struct iot_span *nonce, struct iot_error *err)
{
	uint8_t instance[IOT_ATTEST_INSTANCE_SIZE], implementation[32], measurement[32], signer[32], challenge[64];
	enum iot_status status = instance_of(device->options, instance, err);

	if (status != IOT_OK)
		return status;
	instance[32] ^= fault_is(device, "other-device");
	iot_sha256("iotctl software device", 22, implementation);
	iot_sha256("its image", 9, measurement);
	iot_sha256("its signer", 10, signer);
	memcpy(challenge, nonce->data, nonce->len);
	challenge[0] ^= fault_is(device, "wrong-nonce");
	const struct iot_attest_claims claims = {
		.profile = IOT_ATTEST_PSA_1,
		.profile_name = span_of("PSA_IOT_PROFILE_1", 17),
		.has_client = true,
		.client = -1,
		.has_lifecycle = true,
		.lifecycle = fault_is(device, "lifecycle") ? 0x4000 : 0x3000,
		.implementation = span_of(implementation, sizeof(implementation)),
		.boot_seed = span_of(device->seed, sizeof(device->seed)),
		.nonce = span_of(challenge, nonce->len),
		.instance = span_of(instance, sizeof(instance)),
		.components = {{.type = span_of("SPE", 3),
				.measurement = span_of(measurement, sizeof(measurement)),
				.version = span_of("1.0.0", 5),
				.signer = span_of(signer, sizeof(signer))}},
		.component_count = 1,
	};
	return encode(device, &claims, err);
}

/* --- coming in ------------------------------------------------------------------------------- */

static enum iot_status receive(struct device *device, int timeout_ms, struct iot_frame *ret, struct iot_error *err)
{
	const void *data = NULL;
	size_t len = 0;
	enum iot_status status = iot_psk_client_receive(device->client, IOT_FRAME_MAX, timeout_ms, &data, &len, err);

	return status == IOT_OK ? iot_frame_read(data, len, ret, err) : status;
}

static enum iot_status expect_end(struct device *device, struct iot_error *err)
{
	struct iot_frame frame;
	enum iot_status status = IOT_OK;

	while (status == IOT_OK) {
		status = receive(device, ANSWER_MS, &frame, err);
		if (status == IOT_OK && frame.kind == IOT_FRAME_REFUSED)
			tell(device, "refused", "%.*s", (int)frame.reason.len, (const char *)frame.reason.data);
	}
	tell(device, "lost", "%s", err->what);
	return status;
}

static enum iot_status send_slowly(struct device *device, const struct iot_frame *frame, struct iot_error *err)
{
	struct iot_buf out = IOT_BUF_INIT(2 * IOT_FRAME_MAX);
	enum iot_status status = IOT_OK;

	iot_frame_write(frame, &out);
	for (size_t i = 0; i < out.len && status == IOT_OK && !is_over(device); i++) {
		status = iot_psk_client_send(device->client, out.data + i, 1, SEND_MS, err);
		pause_for(device, device->options->interval_ms);
	}
	iot_buf_release(&out);
	if (status != IOT_OK)
		tell(device, "lost", "%s", err->what);
	return status;
}

/* Instead of the token; IOT_OK: nothing was done. */
static enum iot_status misbehave(struct device *device, struct iot_error *err)
{
	static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xa0};
	const struct iot_frame early = {
		.kind = IOT_FRAME_DATA, .sequence = 1, .role = IOT_FRAME_EVENT, .payload = {"early", 5}};
	uint8_t garbage[512];
	enum iot_status status = IOT_OK;

	if (fault_is(device, "huge")) {
		status = iot_psk_client_send(device->client, huge, sizeof(huge), SEND_MS, err);
	} else if (fault_is(device, "garbage")) {
		iot_random(garbage, sizeof(garbage));
		garbage[0] = garbage[1] = garbage[2] = 0; /* a length that could be */
		status = iot_psk_client_send(device->client, garbage, sizeof(garbage), SEND_MS, err);
	} else if (fault_is(device, "early-data")) {
		status = send_frame(device, &early, err);
	} else if (!fault_is(device, "silent")) {
		return IOT_OK;
	}
	return status == IOT_OK ? expect_end(device, err) : status;
}

static enum iot_status answer(struct device *device, const struct iot_frame *challenge, struct iot_error *err)
{
	struct iot_frame frame = {.kind = IOT_FRAME_TOKEN, .boot = span_of(device->boot, sizeof(device->boot))};
	enum iot_status status = misbehave(device, err);

	if (status == IOT_OK && (!device->has_token || !fault_is(device, "replay")))
		status = make_token(device, &challenge->nonce, err);
	if (status != IOT_OK)
		return status;
	device->has_token = true;
	frame.token = span_of(device->token.data, device->token.len);
	return fault_is(device, "slow") ? send_slowly(device, &frame, err) : send_frame(device, &frame, err);
}

static enum iot_status wait_accepted(struct device *device, struct iot_error *err)
{
	struct iot_frame frame;
	enum iot_status status = receive(device, ANSWER_MS, &frame, err);

	if (status != IOT_OK)
		return status;
	if (frame.kind == IOT_FRAME_REFUSED) {
		tell(device, "refused", "%.*s", (int)frame.reason.len, (const char *)frame.reason.data);
		device->refused = true;
		return iot_fail(err, IOT_VERIFY, "the gateway refuses '%s': %.*s", device->options->identity,
				(int)frame.reason.len, (const char *)frame.reason.data);
	}
	if (frame.kind != IOT_FRAME_ACCEPTED)
		return iot_fail(err, IOT_USAGE, "the gateway answers with a message of kind %d", (int)frame.kind);
	device->sent = device->safe = (int64_t)frame.sequence;
	device->idle_ms = (int)(frame.idle < 3600 ? frame.idle : 3600) * 1000;
	device->heard = iot_monotonic_ms();
	tell(device, "accepted", "as %.*s, %lld are safe", (int)frame.name.len, (const char *)frame.name.data,
	     (long long)device->safe);
	return IOT_OK;
}

static enum iot_status come_in(struct device *device, struct iot_error *err)
{
	const struct iot_sim_psk_options *o = device->options;
	uint8_t key[IOT_PSK_LINK_KEY_MAX];
	struct iot_psk_client_options options = {.host = o->host,
						 .port = o->port,
						 .identity = o->identity,
						 .key = key,
						 .key_len = o->key_len,
						 .suites = o->suites != NULL ? o->suites : "PSK-AES128-CCM",
						 .timeout_ms = CONNECT_MS};
	struct iot_frame frame;
	enum iot_status status;

	if (o->key_len == 0 || o->key_len > sizeof(key))
		return iot_fail(err, IOT_USAGE, "a key of %zu bytes cannot be used", o->key_len);
	memcpy(key, o->key, o->key_len);
	key[0] ^= fault_is(device, "bad-key");
	status = iot_psk_client_new(&options, &device->client, err);
	iot_wipe(key, sizeof(key));
	if (status != IOT_OK)
		return status;
	tell(device, "connected", "with %s", iot_psk_client_suite(device->client));
	status = receive(device, ANSWER_MS, &frame, err);
	if (status == IOT_OK && (frame.kind != IOT_FRAME_CHALLENGE || frame.version != IOT_FRAME_VERSION))
		status = iot_fail(err, IOT_USAGE, "the gateway does not begin with a challenge of version %d",
				  IOT_FRAME_VERSION);
	if (status == IOT_OK)
		status = answer(device, &frame, err);
	return status == IOT_OK ? wait_accepted(device, err) : status;
}

/* --- talking ------------------------------------------------------------------------------------ */

static bool has_room(const struct device *device)
{
	return device->made - device->safe < UNSAFE_MAX;
}

static void make(struct device *device, struct message message)
{
	device->messages[++device->made % UNSAFE_MAX] = message;
}

static enum iot_status say(struct device *device, int64_t sequence, struct iot_error *err)
{
	const struct message *message = &device->messages[sequence % UNSAFE_MAX];
	char text[96];
	const struct iot_frame frame = {
		.kind = IOT_FRAME_DATA,
		.sequence = (uint64_t)sequence,
		.role = message->role,
		.id = message->command,
		.payload = {text, (size_t)snprintf(text, sizeof(text),
						   message->role == IOT_FRAME_STATE
							   ? "{\"firmware\": \"1.0.0\", \"boot\": \"power\"}"
						   : message->role == IOT_FRAME_REPLY
							   ? "{\"ok\": true}"
							   : "{\"n\": %lld, \"temperature\": %lld.%lld}",
						   (long long)message->number, (long long)(20 + message->number % 7),
						   (long long)(message->number % 10))}};

	return send_frame(device, &frame, err);
}

/* Its state first, then measurements as time goes. */
static enum iot_status say_what_is_due(struct device *device, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (device->options->count > 0 && device->made == 0)
		make(device, (struct message){.role = IOT_FRAME_STATE});
	while (device->measured < device->options->count && iot_monotonic_ms() >= device->next && has_room(device)) {
		make(device, (struct message){.role = IOT_FRAME_EVENT, .number = ++device->measured});
		device->next += device->options->interval_ms;
	}
	while (status == IOT_OK && device->sent < device->made)
		status = say(device, ++device->sent, err);
	return status;
}

static enum iot_status take(struct device *device, const struct iot_frame *frame, struct iot_error *err)
{
	const struct iot_frame applied = {.kind = IOT_FRAME_APPLIED, .id = frame->id};
	const struct iot_frame pong = {.kind = IOT_FRAME_PONG};
	const char *payload = frame->payload.data;
	int len = (int)frame->payload.len;

	switch (frame->kind) {
	case IOT_FRAME_ACK:
		device->safe = (int64_t)frame->sequence > device->safe ? (int64_t)frame->sequence : device->safe;
		tell(device, "acknowledged", "%lld", (long long)device->safe);
		return IOT_OK;
	case IOT_FRAME_BUSY:
		tell(device, "busy", "%llu", (unsigned long long)frame->sequence);
		device->sent = (int64_t)frame->sequence - 1;
		pause_for(device, BACKOFF_MAX_MS / 4);
		return IOT_OK;
	case IOT_FRAME_CONFIG:
		tell(device, "config", "%.*s", len, payload);
		return send_frame(device, &applied, err);
	case IOT_FRAME_COMMAND:
		tell(device, "command", "%.*s", len, payload);
		if (has_room(device))
			make(device, (struct message){.role = IOT_FRAME_REPLY, .command = frame->id});
		return IOT_OK;
	case IOT_FRAME_COPY:
		tell(device, "copy", "%.*s %s %.*s", (int)frame->name.len, (const char *)frame->name.data,
		     iot_frame_role_name(frame->role), len, payload);
		return IOT_OK;
	case IOT_FRAME_PING:
		return send_frame(device, &pong, err);
	case IOT_FRAME_PONG:
		return IOT_OK;
	default:
		return iot_fail(err, IOT_USAGE, "the gateway sends a message of kind %d", (int)frame->kind);
	}
}

static bool is_done(const struct device *device)
{
	return device->options->count > 0 && device->measured == device->options->count && device->safe == device->made;
}

static enum iot_status talk(struct device *device, struct iot_error *err)
{
	static const struct iot_frame ping = {.kind = IOT_FRAME_PING};
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && !is_done(device) && !is_over(device)) {
		int64_t until = device->measured < device->options->count ? device->next - iot_monotonic_ms() : STEP_MS;
		struct iot_frame frame;

		status = say_what_is_due(device, err);
		if (status == IOT_OK && iot_monotonic_ms() - device->heard > device->idle_ms / 3) {
			device->heard = iot_monotonic_ms();
			status = send_frame(device, &ping, err);
		}
		if (status != IOT_OK)
			break;
		status = receive(device, (int)(until < 1 ? 1 : until > STEP_MS ? STEP_MS : until), &frame, err);
		if (status == IOT_TIMEOUT)
			status = IOT_OK;
		else if (status == IOT_OK)
			status = take(device, &frame, err);
	}
	return status;
}

/* --- its life ----------------------------------------------------------------------------------------- */

static enum iot_status live(struct device *device, struct iot_error *err)
{
	int64_t backoff = BACKOFF_MIN_MS;

	while (!is_over(device) && !is_done(device)) {
		enum iot_status status = come_in(device, err);

		if (status == IOT_OK) {
			backoff = BACKOFF_MIN_MS;
			if (fault_is(device, "replay"))
				status = iot_fail(err, IOT_AGAIN, "once more, with the same token");
			else
				status = talk(device, err);
		}
		iot_psk_client_free(iot_take(device->client));
		if (status == IOT_DENIED || status == IOT_VERIFY || status == IOT_USAGE)
			return status;
		if (status != IOT_OK && !fault_is(device, "replay") && device->options->fault != NULL)
			return status;
		if (status != IOT_OK) {
			tell(device, "lost", "%s", err->what);
			pause_for(device, backoff);
			backoff = 2 * backoff < BACKOFF_MAX_MS ? 2 * backoff : BACKOFF_MAX_MS;
		}
	}
	if (is_done(device) || (device->options->count == 0 && device->options->fault == NULL)) {
		iot_error_clear(err);
		return IOT_OK;
	}
	return iot_fail(err, IOT_TIMEOUT, "%lld of %lld messages are acknowledged, %lld of %lld measurements made",
			(long long)device->safe, (long long)device->made, (long long)device->measured,
			(long long)device->options->count);
}

static enum iot_status check_fault(const char *fault, struct iot_error *err)
{
	static const char *const faults[] = {"bad-key",    "bad-token",    "wrong-nonce", "replay",
					     "lifecycle",  "other-device", "huge",        "garbage",
					     "early-data", "silent",       "slow"};

	if (fault == NULL)
		return IOT_OK;
	for (size_t i = 0; i < IOT_LENGTH(faults); i++) {
		if (strcmp(fault, faults[i]) == 0)
			return IOT_OK;
	}
	return iot_fail(err, IOT_USAGE, "a small device has no fault '%s'", fault);
}

enum iot_status iot_sim_psk_run(const struct iot_sim_psk_options *options,
				void (*event)(const char *name, const char *detail, void *data), void *data,
				struct iot_error *err)
{
	struct device device = {.options = options,
				.event = event,
				.data = data,
				.token = IOT_BUF_INIT(IOT_COSE_MAX),
				.end = options->exit_after_ms > 0 ? iot_deadline(options->exit_after_ms) : INT64_MAX,
				.next = iot_monotonic_ms()};
	struct iot_error inner = IOT_ERROR_INIT;
	enum iot_status status = check_fault(options->fault, err);

	if (status != IOT_OK)
		return status;
	iot_random(device.boot, sizeof(device.boot));
	iot_random(device.seed, sizeof(device.seed));
	status = live(&device, &inner);
	iot_psk_client_free(device.client);
	iot_buf_release(&device.token);
	if (status != IOT_OK && err != NULL)
		*err = inner;
	return status;
}
