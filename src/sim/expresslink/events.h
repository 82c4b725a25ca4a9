/*
 * The module's event queue (programmer's guide, "Event handling"): first in,
 * first out, the oldest lost when it is full. Ids are enum iot_el_event_id.
 */
#ifndef IOTCTL_SIM_EXPRESSLINK_EVENTS_H
#define IOTCTL_SIM_EXPRESSLINK_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

enum { EVENTS_MAX = 32, EVENT_DETAIL_MAX = 128 };

struct at_event {
	int id;
	unsigned param;
	char detail[EVENT_DETAIL_MAX];
};

struct at_events {
	struct at_event queue[EVENTS_MAX];
	size_t first, count;
};

/* `detail` may be NULL. */
void at_events_add(struct at_events *events, int id, unsigned param, const char *detail);
/* False when there is none. */
bool at_events_take(struct at_events *events, struct at_event *ret);
void at_events_clear(struct at_events *events);

#endif
