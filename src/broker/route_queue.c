/* Lines that wait for a route: first in, first out, bounded in number and bytes. */
#include "broker/routes.h"

#include "iotctl/base.h"

#include <string.h>

bool route_queue_add(struct route_queue *queue, const char *data, size_t len)
{
	struct route_line *line;

	if (queue->count >= ROUTE_LINES_MAX || (queue->count > 0 && queue->bytes + len > ROUTE_BYTES_MAX))
		return false;
	line = iot_alloc(sizeof(*line) + len);
	line->len = len;
	memcpy(line->data, data, len);
	if (queue->last != NULL)
		queue->last->next = line;
	else
		queue->first = line;
	queue->last = line;
	queue->count++;
	queue->bytes += len;
	return true;
}

void route_queue_drop_first(struct route_queue *queue)
{
	struct route_line *line = queue->first;

	queue->first = line->next;
	if (queue->first == NULL)
		queue->last = NULL;
	queue->count--;
	queue->bytes -= line->len;
	free(line);
}

void route_queue_release(struct route_queue *queue)
{
	while (queue->first != NULL)
		route_queue_drop_first(queue);
}
