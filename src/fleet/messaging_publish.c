/*
 * The publisher: a window of messages that are not yet acknowledged, filled from
 * the source and emptied by the broker. libmosquitto never holds more than the
 * window, because its queue is a list that it walks for every acknowledgement.
 *
 * A broker that refuses a message ends the connection (AWS does, and so does
 * ours). Then the publisher connects again and goes on with what was not
 * answered, since every such turn has at least one message less to send. A
 * connection that ends for another reason ends the call.
 *
 * Without a broker the messages go over HTTPS, each acknowledged by its answer.
 */
#include "fleet/messaging_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NAMED_MAX = 1000, POLL_MS = 500, GOODBYE_MS = 2000, PER_MINUTE_MS = 60000 };

struct slot {
	struct message message;
	int mid; /* -1: to be sent */
	bool done;
};

struct publisher {
	const struct iot_publish_options *options;
	const struct iot_messaging_where *where;
	struct source *source;
	struct receipts *journal;
	struct iot_mqtt *mqtt;
	char *who;

	struct slot *ring; /* in the order of sending; `count` of `size` from `head` */
	size_t head, count, size;
	bool ended, waits; /* the source has no more; has none until more is read */

	int64_t acknowledged, sent, refused, refused_by_rule, skipped, rest;
	int64_t refused_before; /* this connection */
	json_t *unacknowledged;
	int64_t started, begun; /* when; and how many were begun, for the rate */
	int64_t heard;          /* when anything was last acknowledged */

	bool lost;
	enum iot_status lost_status;
	char reason[256];
	enum iot_status status; /* of what went wrong inside an event */
	struct iot_error *err;
};

static struct slot *slot_at(struct publisher *p, size_t i)
{
	return &p->ring[(p->head + i) % p->size];
}

static void drop_done(struct publisher *p)
{
	while (p->count > 0 && slot_at(p, 0)->done) {
		message_release(&slot_at(p, 0)->message);
		p->head = (p->head + 1) % p->size;
		p->count--;
	}
}

/* --- accounts -------------------------------------------------------------------------- */

static void tell_refused(struct publisher *p, const struct message *message, const char *reason)
{
	const struct iot_publish_refusal refusal = {message->number, message->line, message->topic, reason};

	p->refused++;
	if (p->options->refused != NULL)
		p->options->refused(&refusal, p->options->data);
}

static void finish_slot(struct publisher *p, struct slot *slot, int code)
{
	const struct message *message = &slot->message;
	char words[64];

	slot->done = true;
	p->heard = iot_monotonic_ms();
	if (code >= MESSAGE_REFUSED_CODE) {
		tell_refused(p, message, message_refusal(code, words, sizeof(words)));
	} else if (message->qos == 0) {
		p->sent++;
	} else {
		p->acknowledged++;
		if (p->journal != NULL)
			receipts_add(p->journal, message, message_payload(message, p->options));
	}
	drop_done(p);
}

/* Acknowledgements come in order as a rule: the one looked for is near the start. */
static void on_published(struct iot_mqtt *mqtt, int mid, int reason_code, void *data)
{
	struct publisher *p = data;

	(void)mqtt;
	for (size_t i = 0; i < p->count; i++) {
		struct slot *slot = slot_at(p, i);

		if (slot->mid == mid && !slot->done) {
			finish_slot(p, slot, reason_code);
			return;
		}
	}
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct publisher *p = data;

	(void)mqtt;
	p->lost = true;
	p->lost_status = status != IOT_OK ? status : IOT_AGAIN;
	snprintf(p->reason, sizeof(p->reason), "%s", reason);
}

/* --- sending ------------------------------------------------------------------------------ */

/* false: not now, libmosquitto's queue is full. */
static bool send_slot(struct publisher *p, struct slot *slot)
{
	const struct message *message = &slot->message;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_mqtt_publish(p->mqtt, message->topic, message_payload(message, p->options),
						  message->len, message->qos, message->retain, &slot->mid, &err);

	if (status == IOT_OK)
		return true;
	slot->mid = -1;
	if (status == IOT_AGAIN)
		return false;
	slot->done = true;
	p->refused_by_rule++;
	tell_refused(p, message, err.what);
	return true;
}

/* When the next message may go, by the rate. */
static int64_t next_due(const struct publisher *p)
{
	return p->options->per_minute > 0 ? p->started + p->begun * PER_MINUTE_MS / p->options->per_minute : 0;
}

/* Take a message from the source into the ring; false when none is to be had now. */
static bool take(struct publisher *p)
{
	struct message message;
	struct iot_error err = IOT_ERROR_INIT;
	bool skip = false;

	switch (source_next(p->source, &message, &err)) {
	case SOURCE_WAIT:
		p->waits = true;
		return false;
	case SOURCE_END:
		p->ended = true;
		return false;
	case SOURCE_REFUSED:
		p->refused_by_rule++;
		tell_refused(p, &message, err.what);
		message_release(&message);
		return true;
	case SOURCE_MESSAGE:
		break;
	}
	if (p->journal != NULL)
		p->status = receipts_has(p->journal, &message, message_payload(&message, p->options), &skip, p->err);
	if (p->status != IOT_OK || skip) {
		p->skipped += skip && p->status == IOT_OK;
		message_release(&message);
		return p->status == IOT_OK;
	}
	if (p->count == 0)
		p->heard = iot_monotonic_ms();
	*slot_at(p, p->count++) = (struct slot){.message = message, .mid = -1};
	p->begun++;
	return true;
}

static void fill(struct publisher *p)
{
	size_t i = 0;
	bool room = true;

	/* What an earlier connection did not answer comes first; then there is nothing unsent but at the end. */
	while (i < p->count && room) {
		struct slot *slot = slot_at(p, i);

		room = slot->done || slot->mid >= 0 || send_slot(p, slot);
		i++;
	}
	while (room && p->count < p->size && !p->ended && !p->waits && p->status == IOT_OK &&
	       (p->options->per_minute == 0 || next_due(p) <= iot_monotonic_ms())) {
		size_t before = p->count;

		if (!take(p))
			break;
		room = p->count == before || send_slot(p, slot_at(p, before));
		drop_done(p);
	}
}

/* --- the loop ------------------------------------------------------------------------------- */

static bool interrupted(const struct publisher *p)
{
	return p->options->interrupted != NULL && p->options->interrupted(p->options->data);
}

/* How long poll may wait: for the rate, for the time-out, for the keep-alive. */
static int patience(const struct publisher *p)
{
	int64_t now = iot_monotonic_ms(), wait = POLL_MS;

	/* QoS 0 messages that were written at once: their events wait to be told. */
	if (p->count > 0 && !iot_mqtt_wants_write(p->mqtt))
		return 0;
	if (p->options->per_minute > 0 && !p->ended && !p->waits && p->count < p->size && next_due(p) - now < wait)
		wait = next_due(p) - now;
	if (p->count > 0 && p->heard + p->options->timeout_ms - now < wait)
		wait = p->heard + p->options->timeout_ms - now;
	return wait > 0 ? (int)wait : 0;
}

static enum iot_status wait_for_work(struct publisher *p, struct iot_error *err)
{
	struct pollfd fds[] = {
		{.fd = iot_mqtt_fd(p->mqtt), .events = iot_mqtt_poll_events(p->mqtt)},
		{.fd = p->waits && p->count < p->size ? p->options->lines_fd : -1, .events = POLLIN},
		{.fd = p->options->interrupt_fd, .events = POLLIN},
	};
	enum iot_status status = IOT_OK;

	if (poll(fds, IOT_LENGTH(fds), patience(p)) < 0)
		fds[0].revents = fds[1].revents = 0;
	if (fds[1].revents != 0) {
		status = source_read(p->source, err);
		p->waits = false;
	}
	iot_mqtt_io(p->mqtt, fds[0].revents);
	return status;
}

static enum iot_status connect_again(struct publisher *p, struct iot_error *err)
{
	for (size_t i = 0; i < p->count; i++)
		slot_at(p, i)->mid = -1;
	if (p->refused - p->refused_by_rule == p->refused_before)
		return iot_fail(err, p->lost_status, "lost the broker: %s", p->reason);
	p->refused_before = p->refused - p->refused_by_rule;
	p->lost = false;
	p->heard = iot_monotonic_ms();
	return iot_mqtt_connect(p->mqtt, (int)p->options->timeout_ms, err);
}

static enum iot_status check_time(const struct publisher *p, struct iot_error *err)
{
	if (p->count == 0 || iot_monotonic_ms() < p->heard + p->options->timeout_ms)
		return IOT_OK;
	return iot_fail(err, IOT_TIMEOUT, "no acknowledgement came for %lld ms", (long long)p->options->timeout_ms);
}

static enum iot_status run(struct publisher *p, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	p->err = err;
	while (status == IOT_OK) {
		if (interrupted(p))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (p->lost)
			status = connect_again(p, err);
		if (status == IOT_OK)
			fill(p);
		if (status == IOT_OK && p->status != IOT_OK)
			status = p->status;
		if (status != IOT_OK || (p->ended && p->count == 0))
			break;
		status = wait_for_work(p, err);
		if (status == IOT_OK && p->journal != NULL)
			status = receipts_flush(p->journal, err);
		if (status == IOT_OK && !p->lost)
			status = check_time(p, err);
		if (p->options->progress != NULL)
			p->options->progress(p->acknowledged + p->sent, p->options->data);
	}
	return status;
}

/* --- over HTTPS ----------------------------------------------------------------------------- */

/* One message, acknowledged by its answer (AWS: HTTPS, publishing). What the service refuses does not end the others.
 */
static enum iot_status post(struct publisher *p, struct slot *slot, struct iot_error *err)
{
	const struct message *message = &slot->message;
	IOT_JSON request = json_pack("{s:s, s:i}", "topic", message->topic, "qos", message->qos);
	const struct iot_body body = {.data = message_payload(message, p->options), .len = message->len, .fd = -1};
	enum iot_status status;

	if (message->retain)
		iot_json_set_bool(request, "retain", true);
	status = iot_cloud_call(p->where->cloud, "iotdata:Publish", request, &body, NULL, NULL, err);
	if (status == IOT_OK) {
		slot->message.qos = 1; /* whatever it asks of those who receive it: this answer is an acknowledgement */
		finish_slot(p, slot, 0);
	} else if (status == IOT_DENIED || status == IOT_USAGE) {
		slot->done = true;
		tell_refused(p, message, err->what);
		iot_error_clear(err);
		status = IOT_OK;
	}
	drop_done(p);
	return status;
}

static enum iot_status wait_for_line(struct publisher *p, struct iot_error *err)
{
	int64_t wait = p->options->per_minute > 0 ? next_due(p) - iot_monotonic_ms() : 0;
	struct pollfd fds[] = {
		{.fd = p->waits ? p->options->lines_fd : -1, .events = POLLIN},
		{.fd = p->options->interrupt_fd, .events = POLLIN},
	};

	if (poll(fds, IOT_LENGTH(fds), p->waits ? POLL_MS : wait > 0 ? (int)wait : 0) < 0 || fds[0].revents == 0)
		return IOT_OK;
	p->waits = false;
	return source_read(p->source, err);
}

static enum iot_status run_https(struct publisher *p, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	p->err = err;
	while (status == IOT_OK && !p->ended) {
		if (interrupted(p))
			return iot_fail(err, IOT_INTERRUPTED, "interrupted");
		if (p->waits || (p->options->per_minute > 0 && next_due(p) > iot_monotonic_ms()))
			status = wait_for_line(p, err);
		else if (take(p) && p->count > 0)
			status = post(p, slot_at(p, 0), err);
		if (status == IOT_OK)
			status = p->status;
		if (status == IOT_OK && p->journal != NULL)
			status = receipts_flush(p->journal, err);
		if (p->options->progress != NULL)
			p->options->progress(p->acknowledged + p->sent, p->options->data);
	}
	return status;
}

/* --- the end ---------------------------------------------------------------------------------- */

static void name_rest(struct publisher *p, const struct message *message)
{
	p->rest++;
	if (json_array_size(p->unacknowledged) < NAMED_MAX)
		json_array_append_new(p->unacknowledged, json_pack("{s:I, s:s}", "number", (json_int_t)message->number,
								   "topic", message->topic));
}

/* More may come down a pipe, but nobody knows when. */
static bool read_on(struct publisher *p)
{
	struct iot_error ignored = IOT_ERROR_INIT;
	struct stat info;

	return fstat(p->options->lines_fd, &info) == 0 && S_ISREG(info.st_mode) &&
	       source_read(p->source, &ignored) == IOT_OK;
}

/* Account for what was not sent: as far as it is known. */
static void drain(struct publisher *p)
{
	struct message message;
	enum source_result result;

	for (size_t i = 0; i < p->count; i++)
		if (!slot_at(p, i)->done)
			name_rest(p, &slot_at(p, i)->message);
	do {
		struct iot_error err = IOT_ERROR_INIT;
		bool skip = false;

		result = source_next(p->source, &message, &err);
		if (result == SOURCE_MESSAGE && p->journal != NULL &&
		    receipts_has(p->journal, &message, message_payload(&message, p->options), &skip, &err) != IOT_OK)
			break;
		if (result == SOURCE_REFUSED)
			tell_refused(p, &message, err.what);
		p->skipped += skip;
		if (result == SOURCE_MESSAGE && !skip)
			name_rest(p, &message);
		if (result == SOURCE_WAIT && !read_on(p))
			break;
		message_release(&message);
	} while (result != SOURCE_END);
	message_release(&message);
}

static json_t *make_record(struct publisher *p)
{
	double seconds = (double)(iot_monotonic_ms() - p->started) / 1000.0;
	json_t *record = json_pack("{s:I, s:I, s:I, s:I, s:I}", "acknowledged", (json_int_t)p->acknowledged, "sent",
				   (json_int_t)p->sent, "refused", (json_int_t)p->refused, "skipped",
				   (json_int_t)p->skipped, "rest", (json_int_t)p->rest);

	json_object_set_new(record, "seconds", json_real(seconds));
	json_object_set(record, "unacknowledged", p->unacknowledged);
	return record;
}

static enum iot_status judge(const struct publisher *p, enum iot_status status, struct iot_error *err)
{
	long long known = p->acknowledged + p->skipped, done = known + p->sent, all = done + p->refused;

	if (status != IOT_OK) {
		iot_error_while(err, "publishing: %lld acknowledged, %lld not", known, (long long)p->rest);
		if (p->journal != NULL)
			iot_error_hint(err, "the same call goes on where it ended");
		else
			iot_error_hint(err, "with --resume FILE from the start the same call could go on");
		return status;
	}
	if (p->refused == 0)
		return IOT_OK;
	status = IOT_PARTIAL;
	if (done == 0)
		status = p->refused_by_rule == p->refused ? IOT_USAGE : IOT_DENIED;
	return iot_fail(err, status, "%lld of %lld messages were refused", (long long)p->refused, all);
}

static enum iot_status begin(struct publisher *p, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.disconnected = on_disconnected, .published = on_published};
	const struct iot_publish_options *options = p->options;
	enum iot_status status = source_check(options, err);

	if (status == IOT_OK && options->resume != NULL)
		status = receipts_open(options->resume, &p->journal, err);
	if (status == IOT_OK && p->where->cloud != NULL)
		return IOT_OK;
	if (status == IOT_OK)
		status = iot_messaging_connect(p->where, &events, p, (int)options->timeout_ms, &p->mqtt, &p->who, err);
	if (status == IOT_OK && options->connected != NULL)
		options->connected(p->who, options->data);
	return status;
}

static enum iot_status end(struct publisher *p, enum iot_status status, struct iot_error *err)
{
	struct iot_error late = IOT_ERROR_INIT;
	enum iot_status closed;

	if (p->mqtt != NULL)
		iot_mqtt_disconnect(p->mqtt, status == IOT_OK ? GOODBYE_MS : 0);
	closed = receipts_close(p->journal, status == IOT_OK ? err : &late);
	iot_mqtt_free(p->mqtt);
	for (size_t i = 0; i < p->count; i++)
		message_release(&slot_at(p, i)->message);
	free(p->ring);
	free(p->who);
	json_decref(p->unacknowledged);
	return status == IOT_OK ? closed : status;
}

enum iot_status iot_publish(const struct iot_messaging_where *where, const struct iot_publish_options *options,
			    json_t **ret_record, struct iot_error *err)
{
	IOT_CLEAN(source_free_p) struct source *source = source_new(options);
	struct publisher p = {.options = options,
			      .where = where,
			      .source = source,
			      .size = (size_t)(where->window > 0 ? where->window : IOT_WINDOW_DEFAULT),
			      .unacknowledged = json_array()};
	enum iot_status status = begin(&p, err);

	if (status == IOT_OK) {
		p.ring = iot_alloc_array(p.size, sizeof(*p.ring));
		p.started = p.heard = iot_monotonic_ms();
		status = where->cloud != NULL ? run_https(&p, err) : run(&p, err);
		if (status != IOT_OK)
			drain(&p);
		status = judge(&p, status, err);
		*ret_record = make_record(&p);
	}
	return end(&p, status, err);
}
