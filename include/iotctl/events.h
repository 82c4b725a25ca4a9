/*
 * What happens in a fleet: events as they come, and routes by which serve takes
 * what devices say to files, commands and topics.
 *
 * Presence and jobs are said on AWS IoT's own topics, with its members (developer
 * guide, "Lifecycle events" and "Jobs events"): $aws/events/presence/...,
 * $aws/events/job/..., $aws/events/jobExecution/.... Denials are said to the
 * fleet's own user alone, since they tell what others do. Devices' own events
 * come on the topics of role "event" of their layouts.
 */
#ifndef IOTCTL_EVENTS_H
#define IOTCTL_EVENTS_H

#include "iotctl/messaging.h"

/* --- tail ---------------------------------------------------------------------------------- */

enum iot_event_kind {
	IOT_EVENT_PRESENCE = 1 << 0,
	IOT_EVENT_JOB = 1 << 1,
	IOT_EVENT_DENIAL = 1 << 2,
	IOT_EVENT_DEVICE = 1 << 3,
	IOT_EVENT_ALL = (1 << 4) - 1
};
/* "presence", "job", "denial", "device", in the order of the bits; NULL-terminated. */
extern const char *const iot_event_kind_names[];

struct iot_events_options {
	unsigned kinds;     /* 0: all, and those that one may not listen to are left out with a warning */
	const char *device; /* only what is about this one (thing name or alias); NULL: any */
	int64_t count;      /* end after so many; 0: never */
	int64_t timeout_ms; /* end after this; 0: never */
	int64_t connect_ms;

	bool (*interrupted)(void *data);
	int interrupt_fd;
	void (*subscribed)(const char *who, void *data);
	/*
	 * {time, kind, device?, event, summary, details}: `time` is when it happened (RFC 3339), `event` what
	 * ("connected", "succeeded", "denied"; of a device's own event the subfolder), `summary` a few words, `details`
	 * the members of the event, of a device's own one {topic, payload, format}. Borrowed.
	 */
	enum iot_status (*event)(const json_t *record, void *data, struct iot_error *err);
	void *data;
};
/*
 * Pass events on as they come, until one of the ends. `cloud` says which layouts there are. As iot_subscribe:
 * IOT_TIMEOUT when fewer than `count` came, IOT_DENIED when a kind that was asked for may not be listened to.
 */
IOT_CHECK enum iot_status iot_events(struct iot_cloud *cloud, const struct iot_messaging_where *where,
				     const struct iot_events_options *options, struct iot_error *err);

/* --- routes -------------------------------------------------------------------------------- */

/*
 * A route takes events of devices somewhere. For each event the first route that fits is taken, else the default one,
 * if there is one. Members:
 *   name       [A-Za-z0-9_-]{1,64}
 *   default    true: for what no other route takes; else
 *   subfolder  filter for {subfolder} of the event's topic, with + and # as in topics; "" for events without one
 *   layout     only events of devices with this layout; absent: any
 *   registry   only events of clients with a token whose client id names this registry: its last name, or all of
 *              "projects/P/locations/L/registries/R"; absent: any. The default route of a registry goes before that of all
 *   type       "file"     target: path. A line of JSON for each event, {time, device, registry?, event, topic, payload, format},
 *                         appended; maxSize (bytes), keep (older files, path.1 the newest)
 *              "command"  target: array of words. Runs for long and gets these lines on its standard input
 *              "topic"    target: template of a topic, {thing} and (last) {subfolder} in it; gets the payload as it is
 * Routes are kept on the fleet's machine and can be changed there alone: they run commands as the user of serve.
 */
#define IOT_ROUTES_MAX 32
#define IOT_ROUTE_SIZE_DEFAULT (INT64_C(16) * 1024 * 1024)
#define IOT_ROUTE_SIZE_MIN (INT64_C(64) * 1024)
#define IOT_ROUTE_KEEP_DEFAULT 5
#define IOT_ROUTE_KEEP_MAX 100

/*
 * Add a route, in front of another one or (NULL) behind all. It is checked first: IOT_USAGE with the first finding of
 * rule member, target, loop or never; IOT_NOT_FOUND no such program (one named without its folder is looked up now) or
 * `before`; IOT_CONFLICT the name is taken, there is
 * a default route already, or there are too many.
 */
IOT_CHECK enum iot_status iot_route_add(struct iot_cloud *cloud, const json_t *route, const char *before,
					struct iot_error *err);
IOT_CHECK enum iot_status iot_route_remove(struct iot_cloud *cloud, const char *name, struct iot_error *err);
/* All in the order in which they are asked, with delivered, dropped, fault? and createdAt. New reference. */
IOT_CHECK enum iot_status iot_route_list(struct iot_cloud *cloud, json_t **ret, struct iot_error *err);
/* One. */
IOT_CHECK enum iot_status iot_route_show(struct iot_cloud *cloud, const char *name, json_t **ret,
					 struct iot_error *err);
/*
 * What is wrong with the routes as they are: array of {route, rule, message, hint?}. Rules: member (a route that was
 * damaged), target (a file that cannot be written, a program that is not there, no topic), loop (the topic is one on
 * which devices say events or states), never (an earlier route takes everything). New reference.
 */
IOT_CHECK enum iot_status iot_route_check(struct iot_cloud *cloud, json_t **ret_findings, struct iot_error *err);

#endif
