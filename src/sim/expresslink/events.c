/* A ring of events. */
#include "sim/expresslink/events.h"

#include <stdio.h>

void at_events_add(struct at_events *events, int id, unsigned param, const char *detail)
{
	struct at_event *event;

	if (events->count == EVENTS_MAX) {
		events->first = (events->first + 1) % EVENTS_MAX;
		events->count--;
	}
	event = &events->queue[(events->first + events->count++) % EVENTS_MAX];
	event->id = id;
	event->param = param;
	snprintf(event->detail, sizeof(event->detail), "%s", detail != NULL ? detail : "");
}

bool at_events_take(struct at_events *events, struct at_event *ret)
{
	if (events->count == 0)
		return false;
	*ret = events->queue[events->first];
	events->first = (events->first + 1) % EVENTS_MAX;
	events->count--;
	return true;
}

void at_events_clear(struct at_events *events)
{
	events->first = events->count = 0;
}
