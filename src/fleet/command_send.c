/*
 * Sending commands and gathering answers: a window of devices that have been
 * told and have not answered, filled in the order of the list and emptied by
 * answers, refusals and the clock.
 *
 * A broker that refuses a message ends the connection. Then the sender connects
 * again and goes on, since every such turn has at least one device less to tell;
 * what the broker had not acknowledged is sent again, with the same token. A
 * connection that ends for another reason ends the work.
 */
#include "fleet/command_private.h"
#include "fleet/fleet_private.h"
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { POLL_MS = 500, GOODBYE_MS = 2000, STRAYS_SHOWN = 20, NOBODY_LISTENS = 16 /* reason code of MQTT 5 */ };

struct sender {
	const struct iot_command_options *options;
	struct iot_cloud *cloud;
	struct iot_messaging_where where;
	struct targets targets;
	struct command_journal *journal;
	struct iot_mqtt *mqtt;
	char *who;
	struct listening *listening;
	struct iot_buf payload;

	struct target **flight; /* in the order of sending */
	size_t in_flight, next; /* and the next target to send to */
	int64_t outcomes[IOT_COMMAND_OUTCOMES];
	int64_t ended, failures;
	int64_t denied_before; /* this connection */
	size_t strays;
	struct target *last;   /* that failed */
	char last_reason[512]; /* of it */

	bool lost;
	enum iot_status lost_status;
	char reason[256];
	enum iot_status status; /* of what went wrong inside an event */
	struct iot_error *err;
};

/* --- the end of a device ----------------------------------------------------------------- */

static bool is_good(enum iot_command_outcome outcome)
{
	return outcome == IOT_COMMAND_ANSWERED || outcome == IOT_COMMAND_SENT;
}

static void land(struct sender *s, const struct target *target)
{
	size_t i = 0;

	while (i < s->in_flight && s->flight[i] != target)
		i++;
	if (i < s->in_flight)
		memmove(s->flight + i, s->flight + i + 1, (--s->in_flight - i) * sizeof(*s->flight));
}

static void tell(struct sender *s, const struct target *target, const struct iot_mqtt_message *answer,
		 const char *reason)
{
	IOT_JSON record = json_object();

	iot_json_set_str(record, "thingName", target->device->thing);
	iot_json_set_str(record, "outcome", iot_command_outcome_names[target->outcome]);
	if (target->sent_at > 0)
		iot_json_set_int(record, "milliseconds", target->ended_at - target->sent_at);
	if (answer != NULL)
		iot_payload_show(IOT_PAYLOAD_JSON, answer->payload, answer->payload_len, record);
	iot_json_set_str(record, "reason", reason);
	if (target->resumed)
		iot_json_set_bool(record, "resumed", true);
	if (s->status == IOT_OK && s->options->result != NULL)
		s->status = s->options->result(record, s->options->data, s->err);
}

/* `answer` and `reason` may be NULL. */
static void finish(struct sender *s, struct target *target, enum iot_command_outcome outcome,
		   const struct iot_mqtt_message *answer, const char *reason)
{
	if (target->state == TARGET_FLYING)
		land(s, target);
	target->state = TARGET_ENDED;
	target->outcome = outcome;
	target->ended_at = iot_monotonic_ms();
	s->ended++;
	s->outcomes[outcome]++;
	command_journal_ended(s->journal, target);
	if (!is_good(outcome)) {
		s->failures++;
		s->last = target;
		snprintf(s->last_reason, sizeof(s->last_reason), "%s", reason);
	}
	tell(s, target, answer, reason);
	if (s->options->progress != NULL)
		s->options->progress(s->ended, s->options->data);
}

/* --- what comes from the broker ------------------------------------------------------------ */

static void log_stray(struct sender *s, const struct reply *reply, const struct iot_mqtt_message *message)
{
	const struct target *target = reply->target;
	const char *thing = target->device->thing;

	if (s->strays++ >= STRAYS_SHOWN) {
		if (s->strays == STRAYS_SHOWN + 1)
			iot_notice("more answers that do not count are not shown");
		return;
	}
	switch (reply->kind) {
	case REPLY_LATE:
		iot_notice("'%s' answered %lld ms too late: not counted", thing,
			   (long long)(iot_monotonic_ms() - target->ended_at));
		break;
	case REPLY_TWICE:
		iot_info("'%s' answered once more: not counted", thing);
		break;
	case REPLY_FOREIGN:
		iot_warn("an answer on '%s' has the token of the command to '%s': not counted", message->topic, thing);
		break;
	default:
		iot_info("a message on '%s' does not have the token of this command: not counted", message->topic);
	}
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct sender *s = data;
	struct reply reply = reply_judge(&s->targets, message);

	(void)mqtt;
	if (reply.kind == REPLY_ANSWER)
		finish(s, reply.target, IOT_COMMAND_ANSWERED, message, NULL);
	else if (reply.kind != REPLY_STRANGE)
		log_stray(s, &reply, message);
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason_code, void *data)
{
	struct sender *s = data;
	struct target *target = NULL;
	char words[IOT_TOPIC_MAX + 64];

	(void)mqtt;
	for (size_t i = 0; i < s->in_flight && target == NULL; i++)
		if (s->flight[i]->mid == mid && !s->flight[i]->acknowledged)
			target = s->flight[i];
	if (target == NULL)
		return;
	target->acknowledged = true;
	if (reason_code >= MESSAGE_REFUSED_CODE) {
		finish(s, target, IOT_COMMAND_DENIED, NULL, message_refusal(reason_code, words, sizeof(words)));
	} else if (reason_code == NOBODY_LISTENS) {
		snprintf(words, sizeof(words), "nobody subscribes to '%s'", target->topic);
		finish(s, target, IOT_COMMAND_NOT_LISTENING, NULL, words);
	} else if (!s->options->wait) {
		finish(s, target, IOT_COMMAND_SENT, NULL, NULL);
	}
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	(void)mqtt;
	listening_answered(((struct sender *)data)->listening, mid, granted);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct sender *s = data;

	(void)mqtt;
	s->lost = true;
	s->lost_status = status != IOT_OK ? status : IOT_AGAIN;
	snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

/* --- sending ---------------------------------------------------------------------------------- */

static bool enough_failed(const struct sender *s)
{
	return s->options->max_failures > 0 && s->failures >= s->options->max_failures;
}

/* false: not now, libmosquitto's queue is full. */
static bool send_one(struct sender *s, struct target *target)
{
	struct iot_mqtt_message message = {
		.topic = target->topic,
		.qos = target->kind->command->qos,
		.expiry_s = (uint32_t)((s->options->timeout_ms + 999) / 1000),
	};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status;

	message.payload = target_payload(target, s->options, &s->payload, &message.payload_len);
	if (s->options->wait && target->kind->command->correlation == IOT_CORRELATE_MQTT5) {
		message.response_topic = target->reply_topic;
		message.correlation = target->token;
		message.correlation_len = strlen(target->token);
	}
	target->acknowledged = false;
	status = iot_mqtt_publish_message(s->mqtt, &message, &target->mid, &err);
	if (status == IOT_OK && target->sent_at == 0)
		target->sent_at = iot_monotonic_ms();
	if (status == IOT_OK)
		return true;
	target->mid = -1;
	if (status == IOT_AGAIN)
		return false;
	finish(s, target, IOT_COMMAND_DENIED, NULL, err.what);
	return true;
}

/* The journal has it before the broker does. */
static enum iot_status fill(struct sender *s, struct iot_error *err)
{
	size_t i = 0;
	bool room = true;
	enum iot_status status;

	while (s->in_flight < (size_t)s->where.window && s->next < s->targets.count && !enough_failed(s)) {
		struct target *target = &s->targets.all[s->next++];

		if (target->state == TARGET_ENDED)
			continue;
		target->state = TARGET_FLYING;
		target->begun = true;
		command_journal_sending(s->journal, target);
		s->flight[s->in_flight++] = target;
	}
	status = command_journal_flush(s->journal, err);
	while (status == IOT_OK && room && i < s->in_flight) {
		struct target *target = s->flight[i];

		if (target->mid < 0)
			room = send_one(s, target);
		i += target->state == TARGET_FLYING;
	}
	return status;
}

/* --- the loop ------------------------------------------------------------------------------------ */

static bool interrupted(const struct sender *s)
{
	return s->options->interrupted != NULL && s->options->interrupted(s->options->data);
}

/* How long poll may wait: for the first time-out, for the keep-alive. */
static int patience(const struct sender *s)
{
	int64_t now = iot_monotonic_ms(), wait = POLL_MS;
	bool writing = iot_mqtt_wants_write(s->mqtt);

	for (size_t i = 0; i < s->in_flight; i++) {
		const struct target *target = s->flight[i];
		int64_t left = target->sent_at + s->options->timeout_ms - now;

		/* QoS 0 messages that were written at once: their events wait to be told. */
		if (target->mid >= 0 && !target->acknowledged && !writing)
			return 0;
		if (target->sent_at > 0 && left < wait)
			wait = left;
	}
	return wait > 0 ? (int)wait : 0;
}

static void wait_for_work(struct sender *s)
{
	struct pollfd fds[] = {
		{.fd = iot_mqtt_fd(s->mqtt), .events = iot_mqtt_poll_events(s->mqtt)},
		{.fd = s->options->interrupt_fd, .events = POLLIN},
	};

	if (poll(fds, IOT_LENGTH(fds), patience(s)) < 0)
		fds[0].revents = 0;
	iot_mqtt_io(s->mqtt, fds[0].revents);
}

static void expire(struct sender *s)
{
	int64_t before = iot_monotonic_ms() - s->options->timeout_ms;
	char words[128];

	for (size_t i = 0; i < s->in_flight;) {
		struct target *target = s->flight[i];

		if (target->sent_at == 0 || target->sent_at > before) {
			i++;
			continue;
		}
		snprintf(words, sizeof(words), "no %s within %g s%s",
			 s->options->wait && target->acknowledged ? "answer" : "acknowledgement",
			 (double)s->options->timeout_ms / 1000.0,
			 target->spoiled ? "; it may have been missed when the connection was lost" : "");
		finish(s, target, IOT_COMMAND_TIMED_OUT, NULL, words);
	}
}

static void unheard(struct target *target, void *data)
{
	finish(data, target, IOT_COMMAND_DENIED, NULL, "the broker does not allow to hear its answers");
}

static enum iot_status listen(struct sender *s, struct iot_error *err)
{
	return s->options->wait ? listen_for_replies(s->mqtt, &s->targets, iot_deadline(s->options->connect_ms),
						     &s->listening, unheard, s, err)
				: IOT_OK;
}

static enum iot_status connect_again(struct sender *s, struct iot_error *err)
{
	enum iot_status status;

	if (s->outcomes[IOT_COMMAND_DENIED] == s->denied_before)
		return iot_fail(err, s->lost_status, "lost the broker: %s", s->reason);
	for (size_t i = 0; i < s->in_flight; i++) {
		if (!s->flight[i]->acknowledged)
			s->flight[i]->mid = -1;
		s->flight[i]->spoiled = true;
	}
	s->lost = false;
	status = iot_mqtt_connect(s->mqtt, (int)s->options->connect_ms, err);
	if (status == IOT_OK)
		status = listen(s, err);
	s->denied_before = s->outcomes[IOT_COMMAND_DENIED];
	return status;
}

static enum iot_status run(struct sender *s, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	while (status == IOT_OK) {
		if (interrupted(s))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (s->lost)
			status = connect_again(s, err);
		if (status == IOT_OK)
			status = fill(s, err);
		if (status == IOT_OK)
			status = s->status;
		if (status != IOT_OK || (s->in_flight == 0 && (s->next == s->targets.count || enough_failed(s))))
			break;
		wait_for_work(s);
		expire(s);
		status = command_journal_flush(s->journal, err);
	}
	return status;
}

/* --- before ------------------------------------------------------------------------------------------ */

static void tell_resumed(struct sender *s)
{
	for (size_t i = 0; i < s->targets.count; i++) {
		struct target *target = &s->targets.all[i];

		if (target->state == TARGET_ENDED)
			finish(s, target, target->outcome, NULL, "in an earlier call");
	}
}

/*
 * Nobody tells who is there of the children of a gateway that is on another machine: while the gateway is connected
 * they may be, too.
 */
static bool may_be_behind_gateway(struct sender *s, const char *thing)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON record = NULL;
	IOT_JSON reply = NULL;
	const char *gateway;

	if (fleet_call(s->cloud, "DescribeThing", json_pack("{s:s}", "thingName", thing), &record, &ignored) != IOT_OK)
		return false;
	gateway = iot_json_str(json_object_get(record, "attributes"), IOT_GATEWAY_ATTRIBUTE, "");
	return *gateway != '\0' &&
	       fleet_call(s->cloud, "GetThingConnectivityData", json_pack("{s:s}", "thingName", gateway), &reply,
			  &ignored) == IOT_OK &&
	       iot_json_bool(reply, "connected", false);
}

/* What the registry does not know, the broker will tell. */
static bool is_offline(struct sender *s, const struct target *target, char *reason, size_t size)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	IOT_JSON reply = NULL;
	char time[32];
	int64_t since;

	if (fleet_call(s->cloud, "GetThingConnectivityData", json_pack("{s:s}", "thingName", target->device->thing),
		       &reply, &ignored) != IOT_OK ||
	    iot_json_bool(reply, "connected", true))
		return false;
	since = fleet_time_ms(reply, "timestamp");
	if (since <= 0 && may_be_behind_gateway(s, target->device->thing))
		return false;
	if (since > 0)
		snprintf(reason, size, "not connected since %s", iot_time_rfc3339(since, time));
	else
		snprintf(reason, size, "it was never connected");
	return true;
}

static void skip_offline(struct sender *s)
{
	char reason[96];

	for (size_t i = 0; i < s->targets.count && !s->options->even_offline; i++) {
		struct target *target = &s->targets.all[i];

		if (target->state != TARGET_ENDED && is_offline(s, target, reason, sizeof(reason)))
			finish(s, target, IOT_COMMAND_NOT_CONNECTED, NULL, reason);
	}
}

static enum iot_status begin(struct sender *s, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.disconnected = on_disconnected,
						      .message = on_message,
						      .subscribed = on_subscribed,
						      .published = on_published};
	const struct iot_command_options *options = s->options;
	enum iot_status status = targets_init(&s->targets, s->cloud, options, err);

	if (status == IOT_OK && options->resume != NULL)
		status = command_journal_open(options, &s->targets, &s->journal, err);
	if (status == IOT_OK)
		status = iot_messaging_connect(&s->where, &events, s, (int)options->connect_ms, &s->mqtt, &s->who, err);
	if (status == IOT_OK && options->connected != NULL)
		options->connected(s->who, options->data);
	return status;
}

/* --- after --------------------------------------------------------------------------------------------- */

/* Every device has a result, whatever happened. */
static void drain(struct sender *s, enum iot_status status)
{
	const char *why = status == IOT_ABORTED       ? "too many devices have failed"
			  : status == IOT_INTERRUPTED ? "interrupted"
			  : s->lost                   ? "the broker was lost"
						      : "the call ended";
	char words[96];

	for (size_t i = 0; i < s->targets.count; i++) {
		struct target *target = &s->targets.all[i];

		if (target->state == TARGET_ENDED)
			continue;
		if (target->sent_at == 0)
			snprintf(words, sizeof(words), "%s before it was its turn", why);
		else
			snprintf(words, sizeof(words), "%s before it answered", why);
		finish(s, target, target->sent_at == 0 ? IOT_COMMAND_NOT_SENT : IOT_COMMAND_UNKNOWN, NULL, words);
	}
}

static json_t *make_counts(const struct sender *s)
{
	json_t *counts = json_object();

	for (int i = 0; i < IOT_COMMAND_OUTCOMES; i++)
		if (s->outcomes[i] > 0)
			iot_json_set_int(counts, iot_command_outcome_names[i], s->outcomes[i]);
	return counts;
}

/* Of devices of which none did it. */
static enum iot_status common_status(const struct sender *s)
{
	const int64_t *n = s->outcomes;

	if (n[IOT_COMMAND_TIMED_OUT] == s->failures)
		return IOT_TIMEOUT;
	if (n[IOT_COMMAND_DENIED] == s->failures)
		return IOT_DENIED;
	if (n[IOT_COMMAND_NOT_CONNECTED] + n[IOT_COMMAND_NOT_LISTENING] == s->failures)
		return IOT_AGAIN;
	return IOT_FAILURE;
}

static enum iot_status judge(const struct sender *s, enum iot_status status, struct iot_error *err)
{
	long long good = s->outcomes[IOT_COMMAND_ANSWERED] + s->outcomes[IOT_COMMAND_SENT];
	long long bad = s->failures, all = (long long)s->targets.count;

	if (status != IOT_OK) {
		iot_error_while(err, "telling %lld devices, of which %lld %s", all, good,
				s->options->wait ? "answered" : "were told");
		if (s->journal != NULL && status != IOT_ABORTED)
			iot_error_hint(err, "the same call goes on where it ended");
		return status;
	}
	if (bad == 0)
		return IOT_OK;
	if (all == 1)
		iot_fail(err, common_status(s), "'%s' %s: %s", s->last->device->thing,
			 s->options->wait ? "did not answer" : "was not told", s->last_reason);
	else
		iot_fail(err, good > 0 ? IOT_PARTIAL : common_status(s), "%lld of %lld devices %s", bad, all,
			 s->options->wait ? "did not answer" : "were not told");
	if (s->outcomes[IOT_COMMAND_NOT_CONNECTED] == bad)
		iot_error_hint(err, "with --even-offline it is sent all the same");
	return good > 0 ? IOT_PARTIAL : common_status(s);
}

static enum iot_status work(struct sender *s, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	s->flight = iot_alloc_array((size_t)s->where.window, sizeof(void *));
	tell_resumed(s);
	skip_offline(s);
	if (s->ended < (int64_t)s->targets.count)
		status = listen(s, err);
	s->denied_before = s->outcomes[IOT_COMMAND_DENIED];
	if (status == IOT_OK)
		status = run(s, err);
	if (status == IOT_OK && s->ended < (int64_t)s->targets.count)
		status = iot_fail(err, IOT_ABORTED, "%lld devices have failed: the others are not told",
				  (long long)s->failures);
	drain(s, status);
	return judge(s, status, err);
}

static enum iot_status end(struct sender *s, enum iot_status status, struct iot_error *err)
{
	struct iot_error late = IOT_ERROR_INIT;
	enum iot_status closed;

	if (s->mqtt != NULL)
		iot_mqtt_disconnect(s->mqtt, status == IOT_OK ? GOODBYE_MS : 0);
	closed = command_journal_close(s->journal, status == IOT_OK ? err : &late);
	iot_mqtt_free(s->mqtt);
	targets_release(&s->targets);
	iot_buf_release(&s->payload);
	free(s->flight);
	free(s->who);
	return status == IOT_OK ? closed : status;
}

enum iot_status iot_command_send(struct iot_cloud *cloud, const struct iot_messaging_where *where,
				 const struct iot_command_options *options, json_t **ret_counts, struct iot_error *err)
{
	struct sender s = {.options = options,
			   .cloud = cloud,
			   .where = *where,
			   .payload = IOT_BUF_INIT(2 * IOT_TOPIC_PAYLOAD_MAX),
			   .err = err};
	enum iot_status status;

	if (s.where.window <= 0)
		s.where.window = IOT_COMMANDS_IN_FLIGHT;
	status = begin(&s, err);
	if (status == IOT_OK) {
		status = work(&s, err);
		*ret_counts = make_counts(&s);
	}
	return end(&s, status, err);
}
