/*
 * Routes at work: which one takes an event, and that whatever goes wrong with one of them is told, counted, tried
 * again, and of no concern to the others. What is said here of a route is said once, not for every event.
 */
#include "broker/routes.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "iotctl/text.h"
#include "iotctl/topic.h"

#include <string.h>

enum {
	LINE_MAX_BYTES = 512 * 1024, /* a payload of 128 KiB in base64, or escaped, and what is around it */
	TELL_MS = 10000,             /* between two words about dropped events */
	SIZE_DEFAULT = 16 * 1024 * 1024,
	KEEP_DEFAULT = 5,
	IDLE_MS = 60000,
};

enum kind { TO_FILE, TO_COMMAND, TO_TOPIC };

struct route {
	json_t *json; /* what it was made of */
	const char *name, *layout, *subfolder;
	const char *registry; /* its last name, or all of its path; NULL: any, and none */
	bool is_default;
	enum kind kind;
	struct route_queue queue;
	struct route_file file;
	struct route_command command;
	const char **argv;
	int64_t retry;              /* of a file, monotonic ms */
	int64_t delivered, dropped; /* not yet noted in the registry */
	int64_t untold;             /* dropped, and not said */
	int64_t tell;               /* monotonic ms: not said again before */
	char fault[256];            /* "": none */
	bool fault_noted;           /* the registry has this fault, or that there is none */
};

struct routes {
	const char *log;
	struct iot_mqtt *mqtt;
	struct route *all[ROUTES_MAX];
	size_t count;
	int64_t next_count;
};

/* --- making and ending ------------------------------------------------------------------------- */

struct routes *routes_new(const char *log)
{
	struct routes *routes = iot_alloc(sizeof(*routes));

	routes->log = log;
	return routes;
}

static void route_free(struct route *route)
{
	if (route->queue.count > 0)
		iot_warn("route '%s' ends: %zu events that waited are dropped", route->name, route->queue.count);
	route_queue_release(&route->queue);
	route_file_release(&route->file);
	route_command_release(&route->command);
	free(route->argv);
	json_decref(route->json);
	free(route);
}

void routes_free(struct routes *routes)
{
	if (routes == NULL)
		return;
	for (size_t i = 0; i < routes->count; i++)
		route_free(routes->all[i]);
	free(routes);
}

/* What a route is, without what it did. */
static json_t *definition(const json_t *route)
{
	static const char *const keys[] = {"name", "default", "subfolder", "layout", "registry",
					   "type", "target",  "maxSize",   "keep"};
	json_t *own = json_object();

	for (size_t i = 0; i < IOT_LENGTH(keys); i++)
		if (json_object_get(route, keys[i]) != NULL)
			json_object_set(own, keys[i], json_object_get(route, keys[i]));
	return own;
}

static bool set_command(struct route *route, const char *log)
{
	const json_t *words = json_object_get(route->json, "target");
	size_t count = json_array_size(words);

	route->argv = iot_alloc_array(count + 1, sizeof(*route->argv));
	for (size_t i = 0; i < count; i++) {
		route->argv[i] = json_string_value(json_array_get(words, i));
		if (route->argv[i] == NULL)
			return false;
	}
	route->kind = TO_COMMAND;
	route->command.argv = route->argv;
	route->command.log = log;
	return count > 0;
}

/* False: it is none that we know. */
static bool set_target(struct route *route, const char *log)
{
	const char *type = iot_json_str(route->json, "type", ""), *text = iot_json_str(route->json, "target", NULL);
	int64_t keep = iot_json_int(route->json, "keep", KEEP_DEFAULT);

	if (strcmp(type, "command") == 0)
		return set_command(route, log);
	if (strcmp(type, "topic") == 0) {
		route->kind = TO_TOPIC;
		return text != NULL;
	}
	route->kind = TO_FILE;
	route->file.path = text;
	route->file.max_size = iot_json_int(route->json, "maxSize", SIZE_DEFAULT);
	route->file.keep = keep < 0 || keep > 100 ? KEEP_DEFAULT : (int)keep;
	return strcmp(type, "file") == 0 && text != NULL && route->file.max_size > 0;
}

/* Takes the definition over. NULL: it is damaged. */
static struct route *route_new(json_t *json, const char *log)
{
	struct route *route = iot_alloc(sizeof(*route));

	route->json = json;
	route->name = iot_json_str(json, "name", "");
	route->layout = iot_json_str(json, "layout", NULL);
	route->subfolder = iot_json_str(json, "subfolder", NULL);
	route->registry = iot_json_str(json, "registry", NULL);
	route->is_default = iot_json_bool(json, "default", false);
	route->file.fd = -1;
	route->command.process = (struct iot_process)IOT_PROCESS_INIT;
	if (set_target(route, log) && route->is_default == (route->subfolder == NULL))
		return route;
	iot_warn("route '%s' is damaged: it takes nothing; 'iotctl events route check' says more", route->name);
	route_free(route);
	return NULL;
}

/* The one that is like this, taken out of the old ones; NULL: there is none. */
static struct route *take_same(struct route **old, size_t count, const json_t *json)
{
	for (size_t i = 0; i < count; i++) {
		if (old[i] != NULL && json_equal(old[i]->json, json))
			return iot_take(old[i]);
	}
	return NULL;
}

void routes_set(struct routes *routes, const json_t *list)
{
	struct route *old[ROUTES_MAX];
	size_t old_count = routes->count, i;
	json_t *item;

	memcpy(old, routes->all, sizeof(old));
	routes->count = 0;
	json_array_foreach(list, i, item) {
		json_t *json = definition(item);
		struct route *route = take_same(old, old_count, json);

		if (route != NULL)
			json_decref(json);
		else
			route = routes->count < ROUTES_MAX ? route_new(json, routes->log) : (json_decref(json), NULL);
		if (route != NULL)
			routes->all[routes->count++] = route;
	}
	for (i = 0; i < old_count; i++)
		if (old[i] != NULL)
			route_free(old[i]);
}

void routes_use(struct routes *routes, struct iot_mqtt *mqtt)
{
	routes->mqtt = mqtt;
}

/* --- what goes wrong --------------------------------------------------------------------------- */

static void set_fault(struct route *route, const struct iot_error *err)
{
	if (route->fault[0] == '\0')
		iot_warn("route '%s': %s; events %s", route->name, err->what,
			 route->kind == TO_TOPIC ? "are dropped" : "wait, as far as there is room");
	if (strcmp(route->fault, err->what) != 0)
		route->fault_noted = false;
	snprintf(route->fault, sizeof(route->fault), "%.*s", (int)sizeof(route->fault) - 1, err->what);
}

static void set_fine(struct route *route)
{
	if (route->fault[0] != '\0') {
		iot_notice("route '%s' works again", route->name);
		route->fault_noted = false;
	}
	route->fault[0] = '\0';
}

static void drop(struct route *route, int64_t lines)
{
	route->dropped += lines;
	route->untold += lines;
}

static void tell_dropped(struct route *route)
{
	if (route->untold == 0 || iot_left(route->tell) > 0)
		return;
	iot_warn("route '%s': %lld events were dropped: %s", route->name, (long long)route->untold,
		 route->fault[0] != '\0' ? route->fault : "it does not take them fast enough");
	route->untold = 0;
	route->tell = iot_deadline(TELL_MS);
}

/* --- events ------------------------------------------------------------------------------------ */

static bool fits_registry(const struct route *route, const struct route_event *event)
{
	const char *last;

	if (route->registry == NULL || event->registry == NULL)
		return route->registry == NULL;
	last = strrchr(event->registry, '/');
	return strcmp(route->registry, event->registry) == 0 ||
	       (last != NULL && strcmp(route->registry, last + 1) == 0);
}

static bool fits(const struct route *route, const struct route_event *event)
{
	if (route->is_default || !fits_registry(route, event) ||
	    (route->layout != NULL && strcmp(route->layout, event->layout) != 0))
		return false;
	if (*route->subfolder == '\0' || *event->subfolder == '\0')
		return strcmp(route->subfolder, event->subfolder) == 0 || strcmp(route->subfolder, "#") == 0;
	return iot_topic_matches(route->subfolder, event->subfolder);
}

/* The default route of the device's registry goes before that of all. */
static struct route *find(const struct routes *routes, const struct route_event *event)
{
	struct route *fallback = NULL;

	for (size_t i = 0; i < routes->count; i++) {
		struct route *route = routes->all[i];

		if (fits(route, event))
			return route;
		if (route->is_default && fits_registry(route, event) &&
		    (fallback == NULL || (fallback->registry == NULL && route->registry != NULL)))
			fallback = route;
	}
	return fallback;
}

static void add_line(struct route *route, const struct route_event *event)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf line = IOT_BUF_INIT(LINE_MAX_BYTES);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	IOT_JSON record = json_object();
	char time[32];

	iot_json_set_str(record, "time", iot_time_rfc3339_ms(iot_now_ms(), time));
	iot_json_set_str(record, "device", event->thing);
	iot_json_set_str(record, "registry", event->registry);
	iot_json_set_str(record, "event", event->subfolder);
	iot_json_set_str(record, "topic", event->topic);
	iot_json_set_payload(record, event->payload, event->len, true);
	text = iot_json_text(record);
	iot_buf_adds(&line, text);
	iot_buf_addc(&line, '\n');
	if (line.over || !route_queue_add(&route->queue, line.data, line.len))
		drop(route, 1);
}

/* {thing} and {subfolder} filled in; without a subfolder there is no such level. New memory. */
static char *topic_of(const char *template, const struct route_event *event)
{
	struct iot_buf out = IOT_BUF_INIT(4 * IOT_TOPIC_MAX);

	for (const char *at = template; *at != '\0';) {
		size_t len = strcspn(at, "/");

		if (strncmp(at, "{thing}", len) == 0 && len == strlen("{thing}")) {
			iot_buf_adds(&out, event->thing);
		} else if (strncmp(at, "{subfolder}", len) == 0 && len == strlen("{subfolder}")) {
			if (*event->subfolder == '\0' && out.len > 0)
				out.data[--out.len] = '\0';
			iot_buf_adds(&out, event->subfolder);
		} else {
			iot_buf_add(&out, at, len);
		}
		at += len;
		if (*at == '/')
			iot_buf_addc(&out, *at++);
	}
	return iot_buf_detach(&out);
}

static void publish(const struct routes *routes, struct route *route, const struct route_event *event)
{
	IOT_CLEAN(iot_free_p) char *topic = topic_of(iot_json_str(route->json, "target", ""), event);
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_topic_check_publish(topic, strlen(topic), &err);

	if (status == IOT_OK && topic[0] == '$')
		status = iot_fail(&err, IOT_USAGE, "topic '%s' is reserved", topic);
	if (status == IOT_OK && routes->mqtt == NULL)
		status = iot_fail(&err, IOT_AGAIN, "the broker is away");
	if (status == IOT_OK)
		status = iot_mqtt_publish(routes->mqtt, topic, event->payload, event->len, 1, false, NULL, &err);
	if (status == IOT_OK) {
		route->delivered++;
		set_fine(route);
		return;
	}
	drop(route, 1);
	set_fault(route, &err);
}

bool routes_take(struct routes *routes, const struct route_event *event)
{
	struct route *route = find(routes, event);

	if (route == NULL)
		return false;
	if (route->kind == TO_TOPIC)
		publish(routes, route, event);
	else
		add_line(route, event);
	return true;
}

/* --- moving on --------------------------------------------------------------------------------- */

static void run_file(struct route *route)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = IOT_OK;

	if (iot_left(route->retry) > 0)
		return;
	while (status == IOT_OK && route->queue.first != NULL) {
		status = route_file_write(&route->file, route->queue.first->data, route->queue.first->len, &err);
		if (status == IOT_OK) {
			route_queue_drop_first(&route->queue);
			route->delivered++;
			set_fine(route);
		}
	}
	if (status == IOT_OK)
		status = route_file_sync(&route->file, false, &err);
	if (status == IOT_OK)
		return;
	set_fault(route, &err);
	route->retry = iot_deadline(ROUTE_RETRY_MS);
}

static void run_command(struct route *route)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t lines = 0;
	enum iot_status status = route_command_feed(&route->command, &route->queue, &lines, &err);

	route->delivered += lines;
	if (status != IOT_OK)
		set_fault(route, &err);
	else if (lines > 0)
		set_fine(route);
}

static int64_t due_of(const struct route *route)
{
	const struct route_command *command = &route->command;

	if (route->kind == TO_FILE && route->queue.count > 0)
		return route->retry;
	if (route->kind == TO_FILE && route->file.sync != 0)
		return route->file.sync;
	if (command->process.pid > 0)
		return command->process.in_fd < 0 ? command->kill : INT64_MAX;
	return route->kind == TO_COMMAND && route->queue.count > 0 ? command->next : INT64_MAX;
}

int64_t routes_step(struct routes *routes)
{
	int64_t next = iot_deadline(IDLE_MS);

	for (size_t i = 0; i < routes->count; i++) {
		struct route *route = routes->all[i];

		if (route->kind == TO_FILE)
			run_file(route);
		else if (route->kind == TO_COMMAND)
			run_command(route);
		tell_dropped(route);
		if (due_of(route) < next)
			next = due_of(route);
		if ((route->delivered > 0 || route->dropped > 0 || !route->fault_noted) && routes->next_count < next)
			next = routes->next_count;
	}
	return next;
}

nfds_t routes_poll(const struct routes *routes, struct pollfd *fds)
{
	nfds_t count = 0;

	for (size_t i = 0; i < routes->count; i++) {
		const struct route *route = routes->all[i];

		if (route->command.process.pidfd >= 0)
			fds[count++] = (struct pollfd){.fd = route->command.process.pidfd, .events = POLLIN};
		if (route->command.process.in_fd >= 0 && route->queue.count > 0)
			fds[count++] = (struct pollfd){.fd = route->command.process.in_fd, .events = POLLOUT};
	}
	return count;
}

void routes_counts(struct routes *routes,
		   bool (*count)(const char *name, int64_t delivered, int64_t dropped, const char *fault, void *data),
		   void *data)
{
	if (iot_left(routes->next_count) > 0)
		return;
	routes->next_count = iot_deadline(ROUTE_COUNT_MS);
	for (size_t i = 0; i < routes->count; i++) {
		struct route *route = routes->all[i];
		const char *fault = route->fault[0] != '\0' ? route->fault : NULL;

		if (route->delivered == 0 && route->dropped == 0 && route->fault_noted)
			continue;
		if (!count(route->name, route->delivered, route->dropped, fault, data))
			return;
		route->delivered = route->dropped = 0;
		route->fault_noted = true;
	}
}

/* --- the end ------------------------------------------------------------------------------------ */

static bool all_ended(const struct routes *routes)
{
	for (size_t i = 0; i < routes->count; i++)
		if (!route_command_ended(&routes->all[i]->command))
			return false;
	return true;
}

static bool any_waits(const struct routes *routes)
{
	for (size_t i = 0; i < routes->count; i++)
		if (routes->all[i]->queue.count > 0)
			return true;
	return false;
}

static void await(const struct routes *routes, int64_t deadline)
{
	struct pollfd fds[2 * ROUTES_MAX];
	nfds_t count = routes_poll(routes, fds);

	(void)!poll(fds, count, iot_left(deadline) < 100 ? iot_left(deadline) : 100);
}

void routes_stop(struct routes *routes, int timeout_ms)
{
	int64_t deadline = iot_deadline(timeout_ms);

	(void)routes_step(routes);
	while (any_waits(routes) && iot_left(deadline) > 0) {
		await(routes, deadline);
		(void)routes_step(routes);
	}
	for (size_t i = 0; i < routes->count; i++) {
		struct route *route = routes->all[i];

		drop(route, (int64_t)route->queue.count);
		route->tell = 0;
		tell_dropped(route);
		route_queue_release(&route->queue);
		route_command_close(&route->command);
		route_file_release(&route->file);
	}
	while (!all_ended(routes) && iot_left(deadline) > 0)
		await(routes, deadline);
	routes->next_count = 0;
}
