/*
 * mosquitto as our child, and our connection to it over the admin socket. It is
 * started, connected to, and watched: when it ends it is started again, after a
 * pause that grows while it keeps ending; when it does not answer it is ended.
 * That it takes our connection means that it listens for devices too: it opens
 * all its listeners before it serves any.
 */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TRY_MS = 50,          /* between attempts to connect while it starts */
	START_MS = 15000,     /* it must accept us within that time */
	BACKOFF_MIN_MS = 200, /* before it is started again */
	BACKOFF_MAX_MS = 5000,
	STEADY_MS = 10000, /* so long up, and the next end is the first one again */
	PING_MS = 2500,
	HANG_MS = 5000, /* without an answer to a ping */
	STOP_MS = 5000,
	KEEPALIVE_S = 30,
	INFLIGHT = 100,
};

#define PING_TOPIC "$iotctl/alive"

enum phase { WAITING, STARTING, UP };

struct serve_link {
	const struct serve_setup *setup;
	struct serve_link_events events;
	void *data;
	struct iot_process process;
	struct iot_mqtt *mqtt;
	enum phase phase;
	bool was_up;       /* ever */
	int64_t next;      /* WAITING: start then; STARTING: try to connect then */
	int64_t deadline;  /* STARTING: give up then */
	int64_t up_since;  /* when it came up last, unless it has ended since */
	int64_t backoff;   /* ms */
	int64_t log_start; /* size of the log when it was started */
	int ping;          /* id of the ping on its way; -1: none */
	int64_t ping_sent, next_ping;
	char reason[512];  /* why the connection went */
	bool memory_aside; /* mosquitto's own memory was put aside since it was up last */
};

/* --- the connection's events --------------------------------------------------------- */

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct serve_link *link = data;

	(void)mqtt;
	link->phase = UP;
	link->was_up = true;
	link->memory_aside = false;
	link->up_since = iot_monotonic_ms();
	link->reason[0] = '\0';
	link->ping = -1;
	link->next_ping = link->up_since + PING_MS;
	link->events.up(link->data);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct serve_link *link = data;
	bool was_up = link->phase == UP;

	(void)mqtt, (void)status;
	snprintf(link->reason, sizeof(link->reason), "%s", reason);
	if (link->phase == WAITING)
		return;
	link->phase = STARTING;
	link->next = iot_monotonic_ms() + TRY_MS;
	if (was_up) {
		link->deadline = iot_monotonic_ms() + HANG_MS;
		link->events.down(link->data);
	}
}

static void on_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data)
{
	struct serve_link *link = data;

	(void)mqtt;
	link->events.message(message, link->data);
}

static void on_subscribed(struct iot_mqtt *mqtt, int mid, bool granted, void *data)
{
	struct serve_link *link = data;

	(void)mqtt;
	link->events.subscribed(mid, granted, link->data);
}

static void on_published(struct iot_mqtt *mqtt, int mid, int reason_code, void *data)
{
	struct serve_link *link = data;

	(void)mqtt;
	if (mid == link->ping) {
		link->ping = -1;
		return;
	}
	link->events.published(mid, reason_code, link->data);
}

/* --- making and ending ------------------------------------------------------------------ */

/* The session outlives a connection: a report that mosquitto acknowledged while we were away still comes. */
static enum iot_status make_client(struct serve_link *link, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {
		.connected = on_connected,
		.disconnected = on_disconnected,
		.message = on_message,
		.subscribed = on_subscribed,
		.published = on_published,
	};
	const struct iot_mqtt_options options = {
		.unix_path = link->setup->paths.admin_socket,
		.client_id = SERVE_CLIENT_ID,
		.mqtt5 = true,
		.keep_session = true,
		.keepalive_s = KEEPALIVE_S,
		.inflight = INFLIGHT,
	};

	return iot_mqtt_new(&options, &events, link, &link->mqtt, err);
}

enum iot_status serve_link_new(const struct serve_setup *setup, const struct serve_link_events *events, void *data,
			       struct serve_link **ret, struct iot_error *err)
{
	struct serve_link *link = iot_alloc(sizeof(*link));
	enum iot_status status;

	*link = (struct serve_link){.setup = setup,
				    .events = *events,
				    .data = data,
				    .process = IOT_PROCESS_INIT,
				    .backoff = BACKOFF_MIN_MS,
				    .ping = -1};
	status = make_client(link, err);
	if (status != IOT_OK) {
		free(link);
		return status;
	}
	*ret = link;
	return IOT_OK;
}

void serve_link_free(struct serve_link *link)
{
	if (link == NULL)
		return;
	serve_link_stop(link);
	iot_mqtt_free(link->mqtt);
	free(link);
}

void serve_link_free_p(struct serve_link **link)
{
	serve_link_free(*link);
	*link = NULL;
}

struct iot_mqtt *serve_link_mqtt(struct serve_link *link)
{
	return link->mqtt;
}

bool serve_link_is_up(const struct serve_link *link)
{
	return link->phase == UP;
}

pid_t serve_link_pid(const struct serve_link *link)
{
	return link->process.pid;
}

/* A socket that a killed broker left behind; never anything else. */
static void remove_socket(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(path);
}

void serve_link_stop(struct serve_link *link)
{
	if (link->phase == UP)
		link->events.down(link->data);
	link->phase = WAITING;
	link->next = INT64_MAX;
	iot_mqtt_disconnect(link->mqtt, 1000);
	iot_process_stop(&link->process, STOP_MS);
	iot_process_release(&link->process);
	remove_socket(link->setup->paths.admin_socket);
}

/* --- the process ------------------------------------------------------------------------- */

static enum iot_status start(struct serve_link *link, struct iot_error *err)
{
	const char *const argv[] = {link->setup->mosquitto, "-c", link->setup->config, NULL};
	const struct iot_process_options options = {
		.argv = argv, .log_path = link->setup->log, .die_with_parent = true, .new_session = true};
	int64_t now = iot_monotonic_ms();
	enum iot_status status;

	remove_socket(link->setup->paths.admin_socket);
	link->log_start = serve_log_size(link->setup->log);
	status = iot_process_start(&options, &link->process, err);
	if (status != IOT_OK)
		return status;
	link->phase = STARTING;
	link->next = now + TRY_MS;
	link->deadline = now + START_MS;
	link->reason[0] = '\0';
	link->events.process(link->process.pid, link->data);
	return IOT_OK;
}

/*
 * It does not start because its own memory is damaged (a power cut, a full disk): that is put aside, once. Lost are
 * retained messages and what waited for sessions that were away; whatever devices must hear is in the registry.
 */
static bool put_memory_aside(struct serve_link *link)
{
	IOT_CLEAN(iot_free_p) char *tail = serve_log_tail(link->setup->log, link->log_start);
	IOT_CLEAN(iot_free_p) char *memory = iot_path(link->setup->paths.broker_dir, "mosquitto.db");
	IOT_CLEAN(iot_free_p) char *aside = iot_strf("%s.damaged", memory);

	if (link->memory_aside || strstr(tail, "persistent database") == NULL || rename(memory, aside) != 0)
		return false;
	link->memory_aside = true;
	iot_warn("mosquitto's memory is damaged: retained messages are lost; it was put aside as '%s'", aside);
	return true;
}

/* Code of a broker that we ended because it did not answer. */
#define HUNG (-1)

/* Say why it is not running; the log has it in mosquitto's words. */
static enum iot_status end_fault(const struct serve_link *link, int code, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *tail = serve_log_tail(link->setup->log, link->log_start);
	bool unreadable = strstr(tail, "Unable to open") != NULL || strstr(tail, "Unable to load") != NULL ||
			  strstr(tail, "ermission denied") != NULL || tail[0] == '\0';

	if (unreadable && access(link->setup->config, R_OK) == 0 && access(link->setup->plugin, R_OK) == 0 &&
	    serve_apparmor_confines(""))
		return serve_apparmor_fail(link->setup, err);
	if (code == HUNG)
		iot_fail(err, IOT_FAILURE, "mosquitto did not answer and was ended: %s",
			 link->reason[0] != '\0' ? link->reason : "no answer");
	else if (code > 128)
		iot_fail(err, IOT_FAILURE, "mosquitto was ended by signal %d (%s)", code - 128, strsignal(code - 128));
	else
		iot_fail(err, IOT_FAILURE, "mosquitto ended with code %d: %s", code,
			 tail[0] != '\0' ? tail : "it said nothing");
	iot_error_hint(err, "its log is '%s'", link->setup->log);
	return IOT_FAILURE;
}

/* Start it again in a while. Before it was ever up that is a failure. */
static enum iot_status start_later(struct serve_link *link, const struct iot_error *why, struct iot_error *err)
{
	int64_t now = iot_monotonic_ms();

	if (!link->was_up) {
		if (err != NULL)
			*err = *why;
		return why->status;
	}
	if (link->up_since != 0 && now - link->up_since >= STEADY_MS)
		link->backoff = BACKOFF_MIN_MS;
	link->up_since = 0;
	link->next = now + link->backoff;
	iot_log_error(IOT_LOG_ERROR, "", why);
	iot_notice("starting mosquitto again in %lld ms", (long long)link->backoff);
	link->backoff = link->backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : link->backoff * 2;
	return IOT_OK;
}

/* It is not running any more. */
static enum iot_status after_end(struct serve_link *link, int code, struct iot_error *err)
{
	struct iot_error why = IOT_ERROR_INIT;
	bool was_up = link->phase == UP;

	iot_process_release(&link->process);
	link->phase = WAITING;
	iot_mqtt_disconnect(link->mqtt, 0);
	link->events.process(0, link->data);
	if (was_up)
		link->events.down(link->data);
	if (!was_up && code != HUNG && put_memory_aside(link)) {
		link->next = iot_monotonic_ms();
		return IOT_OK;
	}
	(void)end_fault(link, code, &why);
	return start_later(link, &why, err);
}

static enum iot_status start_or_wait(struct serve_link *link, struct iot_error *err)
{
	struct iot_error why = IOT_ERROR_INIT;

	return start(link, &why) == IOT_OK ? IOT_OK : start_later(link, &why, err);
}

/* --- being alive ---------------------------------------------------------------------------- */

static void ping(struct serve_link *link, int64_t now)
{
	if (link->ping >= 0 || now < link->next_ping)
		return;
	link->next_ping = now + PING_MS;
	link->ping_sent = now;
	if (iot_mqtt_publish(link->mqtt, PING_TOPIC, "", 0, 1, false, &link->ping, NULL) != IOT_OK)
		link->ping = -1;
}

static bool hangs(const struct serve_link *link, int64_t now)
{
	if (link->phase == UP)
		return link->ping >= 0 && now - link->ping_sent >= HANG_MS;
	return link->phase == STARTING && now >= link->deadline;
}

static void try_connect(struct serve_link *link, int64_t now)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (now < link->next)
		return;
	link->next = now + TRY_MS;
	/* Not there yet as a rule; a connection on its way stays. */
	if (iot_mqtt_fd(link->mqtt) < 0 && iot_mqtt_start(link->mqtt, &err) != IOT_OK)
		snprintf(link->reason, sizeof(link->reason), "%s", err.what);
}

enum iot_status serve_link_step(struct serve_link *link, const struct pollfd *fds, nfds_t count, struct iot_error *err)
{
	short happened = 0;
	int64_t now;
	int code = 0;

	for (nfds_t i = 0; i < count; i++)
		if (fds[i].fd >= 0 && fds[i].fd == iot_mqtt_fd(link->mqtt))
			happened = fds[i].revents;
	iot_mqtt_io(link->mqtt, happened);
	now = iot_monotonic_ms();
	if (link->phase == WAITING)
		return now >= link->next ? start_or_wait(link, err) : IOT_OK;
	if (iot_process_ended(&link->process, &code))
		return after_end(link, code, err);
	if (hangs(link, now)) {
		kill(link->process.pid, SIGKILL);
		iot_process_stop(&link->process, STOP_MS);
		return after_end(link, HUNG, err);
	}
	if (link->phase == STARTING)
		try_connect(link, now);
	else
		ping(link, now);
	return IOT_OK;
}

nfds_t serve_link_poll(const struct serve_link *link, struct pollfd fds[2])
{
	nfds_t count = 0;

	if (iot_mqtt_fd(link->mqtt) >= 0)
		fds[count++] =
			(struct pollfd){.fd = iot_mqtt_fd(link->mqtt), .events = iot_mqtt_poll_events(link->mqtt)};
	if (link->process.pidfd >= 0)
		fds[count++] = (struct pollfd){.fd = link->process.pidfd, .events = POLLIN};
	return count;
}

int64_t serve_link_due(const struct serve_link *link)
{
	int64_t due = iot_monotonic_ms() + 1000; /* the client's own upkeep */
	int64_t own = link->phase == UP ? (link->ping >= 0 ? link->ping_sent + HANG_MS : link->next_ping) : link->next;

	return own < due ? own : due;
}
