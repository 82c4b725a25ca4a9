/*
 * Events as they come: what to listen to for each kind, and from a message to a record that is the same for all kinds.
 */
#include "iotctl/events.h"

#include "fleet/fleet_private.h"
#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/layout.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

#define PRESENCE "$aws/events/presence/"
#define JOB "$aws/events/job/"
#define EXECUTION "$aws/events/jobExecution/"
#define DENIED IOT_EVENT_PREFIX "denied"

enum { FILTERS_MAX = 256, SUMMARY_MAX = 256 };

const char *const iot_event_kind_names[] = {"presence", "job", "denial", "device", NULL};

struct tail {
	const struct iot_events_options *options;
	struct iot_talk *talk;
	char *thing; /* NULL: any */
	int64_t count;
};

static void release(struct tail *tail)
{
	iot_talk_free(tail->talk);
	free(tail->thing);
}

static const char *kind_name(unsigned kind)
{
	size_t i = 0;

	while (kind >> (i + 1) != 0)
		i++;
	return iot_event_kind_names[i];
}

/* --- from messages to records ---------------------------------------------------------------- */

/* What an event says of itself, which may be nothing. */
struct found {
	unsigned kind;
	const char *event;
	char device[IOT_TOPIC_MAX + 1]; /* "": none */
	int64_t time_ms;
	char *summary;
	json_t *details; /* new reference */
};

static void found_release(struct found *found)
{
	free(found->summary);
	json_decref(found->details);
}

static void set_device(struct found *found, const char *name)
{
	snprintf(found->device, sizeof(found->device), "%s", name != NULL ? name : "");
}

static void read_presence(const char *topic, const json_t *payload, struct found *ret)
{
	bool connected = iot_starts_with(topic + strlen(PRESENCE), "connected/");

	ret->kind = IOT_EVENT_PRESENCE;
	ret->event = connected ? "connected" : "disconnected";
	ret->time_ms = iot_json_int(payload, "timestamp", 0);
	ret->summary = connected ? iot_strf("from %s", iot_json_str(payload, "ipAddress", "somewhere"))
				 : iot_strdup(iot_json_str(payload, "disconnectReason", ""));
	set_device(ret, iot_json_str(payload, "clientId", NULL));
}

static void read_job(const json_t *payload, struct found *ret)
{
	const char *arn = iot_json_str(payload, "thingArn", NULL);

	ret->kind = IOT_EVENT_JOB;
	ret->event = iot_json_str(payload, "operation", "");
	ret->time_ms = iot_json_int(payload, "timestamp", 0) * 1000;
	ret->summary =
		iot_strf("%s '%s'", arn != NULL ? "execution of job" : "job", iot_json_str(payload, "jobId", ""));
	set_device(ret, arn != NULL ? fleet_arn_name(arn) : NULL);
}

static void read_denial(const json_t *payload, struct found *ret)
{
	const char *policy = iot_json_str(payload, "policy", NULL), *sid = iot_json_str(payload, "sid", NULL);
	IOT_CLEAN(iot_free_p)
	char *decider = policy == NULL
				? iot_strdup(iot_json_str(payload, "reason", ""))
				: iot_strf("policy '%s' statement %lld%s%s%s", policy,
					   (long long)iot_json_int(payload, "statement", 0), sid != NULL ? " (" : "",
					   sid != NULL ? sid : "", sid != NULL ? ")" : "");

	ret->kind = IOT_EVENT_DENIAL;
	ret->event = "denied";
	ret->time_ms = iot_json_int(payload, "timestamp", 0);
	ret->summary = iot_strf("%s on '%s': %s", iot_json_str(payload, "action", ""),
				iot_json_str(payload, "resource", ""), decider);
	set_device(ret, iot_json_str(payload, "thingName", iot_json_str(payload, "clientId", NULL)));
}

/* Of a payload that is text as it is, else as JSON or base64; cut between characters. */
static char *payload_summary(const json_t *payload)
{
	char *text = json_is_string(payload) ? iot_strdup(json_string_value(payload)) : iot_json_text(payload);
	size_t len = strlen(text);

	if (len <= SUMMARY_MAX)
		return text;
	len = SUMMARY_MAX;
	while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
		len--;
	text[len] = '\0';
	return text;
}

static bool read_device(const struct tail *tail, const json_t *message, struct iot_talk_match *match, struct found *ret)
{
	const char *topic = iot_json_str(message, "topic", "");
	const char *thing = iot_json_str(json_object_get(message, "userProperties"), IOT_PROPERTY_THING, NULL);

	if (!iot_talk_match(tail->talk, topic, thing, match) || match->topic.role != IOT_ROLE_EVENT)
		return false;
	ret->kind = IOT_EVENT_DEVICE;
	ret->event = match->topic.subfolder;
	ret->time_ms = iot_now_ms();
	ret->details = json_pack("{s:s, s:O, s:O}", "topic", topic, "payload", json_object_get(message, "payload"),
				 "format", json_object_get(message, "format"));
	ret->summary = payload_summary(json_object_get(message, "payload"));
	set_device(ret, match->topic.thing);
	return true;
}

static bool read_event(const struct tail *tail, const json_t *message, struct iot_talk_match *match, struct found *ret)
{
	const char *topic = iot_json_str(message, "topic", "");
	json_t *payload = json_object_get(message, "payload");
	bool presence = iot_starts_with(topic, PRESENCE), denied = strcmp(topic, DENIED) == 0;

	if (!presence && !denied && !iot_starts_with(topic, JOB) && !iot_starts_with(topic, EXECUTION))
		return read_device(tail, message, match, ret);
	if (!json_is_object(payload))
		return false;
	ret->details = json_incref(payload);
	if (presence)
		read_presence(topic, payload, ret);
	else if (denied)
		read_denial(payload, ret);
	else
		read_job(payload, ret);
	return true;
}

static json_t *record_of(const struct found *found)
{
	json_t *record = json_object();
	char time[32];

	iot_json_set_str(record, "time", iot_time_rfc3339_ms(found->time_ms, time));
	iot_json_set_str(record, "kind", kind_name(found->kind));
	iot_json_set_str(record, "device", found->device[0] != '\0' ? found->device : NULL);
	iot_json_set_str(record, "event", found->event);
	iot_json_set_str(record, "summary", found->summary);
	json_object_set(record, "details", found->details);
	return record;
}

static bool enough(const struct tail *tail)
{
	return tail->options->count > 0 && tail->count >= tail->options->count;
}

static enum iot_status on_message(const json_t *message, void *data, struct iot_error *err)
{
	struct tail *tail = data;
	IOT_CLEAN(found_release) struct found found = {0};
	struct iot_talk_match match;
	IOT_JSON record = NULL;

	if (enough(tail) || !read_event(tail, message, &match, &found) ||
	    (tail->thing != NULL && strcmp(tail->thing, found.device) != 0))
		return IOT_OK;
	tail->count++;
	record = record_of(&found);
	return tail->options->event(record, tail->options->data, err);
}

/* --- what to listen to ------------------------------------------------------------------------- */

static void find_filters(const struct tail *tail, unsigned kinds, const char *filters[FILTERS_MAX])
{
	const char *const *devices = iot_talk_filters(tail->talk, IOT_ROLE_EVENT);
	size_t count = 0;

	if ((kinds & IOT_EVENT_PRESENCE) != 0)
		filters[count++] = PRESENCE "#";
	if ((kinds & IOT_EVENT_JOB) != 0) {
		filters[count++] = JOB "#";
		filters[count++] = EXECUTION "#";
	}
	if ((kinds & IOT_EVENT_DENIAL) != 0)
		filters[count++] = DENIED;
	for (; (kinds & IOT_EVENT_DEVICE) != 0 && *devices != NULL && count < FILTERS_MAX - 1; devices++)
		filters[count++] = *devices;
	filters[count] = NULL;
}

static bool interrupted(void *data)
{
	const struct tail *tail = data;

	return enough(tail) || (tail->options->interrupted != NULL && tail->options->interrupted(tail->options->data));
}

static bool refused(const char *filter, void *data)
{
	const struct tail *tail = data;

	if (tail->options->kinds == 0)
		iot_warn("the policy does not allow to listen to '%s'", filter);
	return tail->options->kinds == 0;
}

static void subscribed(const char *who, void *data)
{
	const struct tail *tail = data;

	if (tail->options->subscribed != NULL)
		tail->options->subscribed(who, tail->options->data);
}

static enum iot_status listen(struct tail *tail, const struct iot_messaging_where *where, struct iot_error *err)
{
	const struct iot_events_options *options = tail->options;
	const char *filters[FILTERS_MAX];
	const struct iot_subscribe_options subscription = {
		.filters = filters,
		.qos = 1,
		.timeout_ms = options->timeout_ms,
		.connect_ms = options->connect_ms,
		.no_retained = true,
		.unchecked = true,
		.format = IOT_PAYLOAD_JSON,
		.interrupted = interrupted,
		.interrupt_fd = options->interrupt_fd,
		.subscribed = subscribed,
		.refused = refused,
		.message = on_message,
		.data = tail,
	};
	int64_t ignored = 0;
	enum iot_status status;

	find_filters(tail, options->kinds != 0 ? options->kinds : (unsigned)IOT_EVENT_ALL, filters);
	status = iot_subscribe(where, &subscription, &ignored, err);
	if (status != IOT_OK || options->count == 0 || enough(tail))
		return status;
	if (options->interrupted != NULL && options->interrupted(options->data))
		return iot_fail(err, IOT_INTERRUPTED, "interrupted after %lld of %lld events", (long long)tail->count,
				(long long)options->count);
	return iot_fail(err, IOT_TIMEOUT, "the time was up after %lld of %lld events", (long long)tail->count,
			(long long)options->count);
}

enum iot_status iot_events(struct iot_cloud *cloud, const struct iot_messaging_where *where,
			   const struct iot_events_options *options, struct iot_error *err)
{
	IOT_CLEAN(release) struct tail tail = {.options = options};
	enum iot_status status = IOT_OK;

	if (options->device != NULL)
		status = iot_fleet_resolve(cloud, options->device, &tail.thing, err);
	if (status == IOT_OK)
		status = iot_talk_new(cloud, &tail.talk, err);
	return status == IOT_OK ? listen(&tail, where, err) : status;
}
