/*
 * Routes at work: what serve does with events of devices. Each route has a queue
 * of lines in memory, bounded; a file is written at once and a command fed as it
 * reads, so that the queue is empty unless something is wrong. What does not fit
 * is dropped, counted, and told of.
 */
#ifndef IOTCTL_BROKER_ROUTES_H
#define IOTCTL_BROKER_ROUTES_H

#include "iotctl/json.h"
#include "iotctl/mqtt.h"
#include "iotctl/process.h"

#include <poll.h>
#include <stdint.h>

enum {
	ROUTES_MAX = 32,
	ROUTE_LINES_MAX = 1000,
	ROUTE_BYTES_MAX = 4 * 1024 * 1024, /* of waiting lines; one line always fits */
	ROUTE_RETRY_MS = 1000,             /* after a file could not be written */
	ROUTE_BACKOFF_MAX_MS = 60000,      /* before a command is started again: from ROUTE_RETRY_MS, doubled */
	ROUTE_STEADY_MS = 10000,           /* so long up, and the next end is the first one again */
	ROUTE_SYNC_MS = 1000,              /* files are brought to the disk so often */
	ROUTE_COUNT_MS = 2000,             /* and numbers into the registry */
};

/* --- lines that wait (route_queue.c) ----------------------------------------------- */

struct route_line {
	struct route_line *next;
	size_t len;
	char data[];
};

struct route_queue {
	struct route_line *first, *last;
	size_t count, bytes;
};

/* False: there is no room. */
bool route_queue_add(struct route_queue *queue, const char *data, size_t len);
void route_queue_drop_first(struct route_queue *queue);
void route_queue_release(struct route_queue *queue);

/* --- a file (route_file.c) ----------------------------------------------------------- */

struct route_file {
	const char *path; /* borrowed */
	int64_t max_size;
	int keep;
	int fd; /* -1: not open */
	int64_t size;
	int64_t sync; /* monotonic ms: bring it to the disk then; 0: it is there */
	int64_t look; /* monotonic ms: see then whether it is still the file of that name */
};

/* Append a whole line, or nothing of it. Turns the file over when it is full. */
IOT_CHECK enum iot_status route_file_write(struct route_file *file, const char *line, size_t len,
					   struct iot_error *err);
/* Bring it to the disk when that is due (`now`: in any case). */
IOT_CHECK enum iot_status route_file_sync(struct route_file *file, bool now, struct iot_error *err);
void route_file_release(struct route_file *file);

/* --- a command (route_command.c) ------------------------------------------------------- */

struct route_command {
	const char *const *argv; /* borrowed */
	const char *log;         /* its output; borrowed */
	struct iot_process process;
	size_t written;  /* of the first line */
	int64_t next;    /* monotonic ms: not started before */
	int64_t started; /* monotonic ms */
	int64_t backoff; /* ms */
	int64_t kill;    /* monotonic ms: it was told to end, and is ended then */
};

/*
 * Start it if there is something for it, and give it what it takes. *ret_lines: how many lines it got whole. A fault:
 * it has ended, or does not start; it is tried again later, and gets the line that it was given in part whole again.
 */
IOT_CHECK enum iot_status route_command_feed(struct route_command *command, struct route_queue *queue,
					     int64_t *ret_lines, struct iot_error *err);
/* Its input ends; then it has until the deadline to end itself. */
void route_command_close(struct route_command *command);
bool route_command_ended(struct route_command *command);
void route_command_release(struct route_command *command);

/* --- all of them (routes.c) ---------------------------------------------------------- */

struct routes;

struct route_event {
	const char *thing, *subfolder, *layout, *topic;
	const char *registry; /* "projects/P/locations/L/registries/R"; NULL: of none */
	const void *payload;
	size_t len;
};

/* `log`: for what commands print; borrowed. */
struct routes *routes_new(const char *log);
void routes_free(struct routes *routes);
/* Use these from now on (as iot_local_routes gives them). A route that is as it was goes on as it does. */
void routes_set(struct routes *routes, const json_t *list);
/* Where to publish; NULL: nowhere now. */
void routes_use(struct routes *routes, struct iot_mqtt *mqtt);
/* False: no route takes it. */
bool routes_take(struct routes *routes, const struct route_event *event);
nfds_t routes_poll(const struct routes *routes, struct pollfd *fds);
/* Do what is to be done. Returns when to come again, monotonic ms. */
int64_t routes_step(struct routes *routes);
/* Deliver what waits, end all commands. */
void routes_stop(struct routes *routes, int timeout_ms);
/* Tell of what was done since the last time: `count` returns false if that cannot be noted now. */
void routes_counts(struct routes *routes,
		   bool (*count)(const char *name, int64_t delivered, int64_t dropped, const char *fault, void *data),
		   void *data);

#endif
