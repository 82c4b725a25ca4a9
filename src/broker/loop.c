/*
 * What serve does all day: wait for the broker, for a datagram that says that
 * the outbox has news, for a signal and for time; and hand on what came.
 */
#include "broker/api/server.h"
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
	LOOK_MS = 1000, /* between looks at whether another process wrote, should a datagram get lost */
	TICK_MAX_MS = 60000,
	HOUSEKEEPING_MS = 60000,
	EVENT_MAX = 4096,
	ROUTES_STOP_MS = 3000, /* for what waits in routes */
};

/* What the services are asked on. QoS 1: what a device was acknowledged reaches us. */
static const char *const subscriptions[] = {
	"$aws/things/+/jobs/get",
	"$aws/things/+/jobs/start-next",
	"$aws/things/+/jobs/+/get",
	"$aws/things/+/jobs/+/update",
	"$aws/things/+/streams/+/get/+",
	"$aws/things/+/streams/+/describe/+",
	"$aws/things/+/shadow/get",
	"$aws/things/+/shadow/update",
	"$aws/things/+/shadow/delete",
	"$aws/things/+/shadow/name/+/get",
	"$aws/things/+/shadow/name/+/update",
	"$aws/things/+/shadow/name/+/delete",
	IOT_EVENT_PREFIX "#",
};

struct serve {
	const struct serve_setup *setup;
	struct iot_cloud *cloud;
	struct serve_link *link;
	struct staging *staging; /* NULL: there is none */
	struct api_server *api;  /* NULL: there is none */
	struct notify *notify;
	struct streams streams;
	struct broker_port port;
	struct iot_buf out;
	struct reports *reports;
	struct said *said;
	struct serve_state state;
	void (*ready)(void *data);
	void *ready_data;
	size_t asked, granted;          /* subscriptions */
	bool is_up, is_ready, stopping; /* up: all subscriptions are granted; ready: the caller was told */
	int signal_fd, notify_fd;
	sigset_t old_mask;
	int64_t next_look, next_tick, next_housekeeping, next_notify, next_said; /* monotonic ms */
	int64_t data_version;
};

/* --- the services' port ------------------------------------------------------------------- */

static enum iot_status port_call(void *data, const char *operation, const json_t *request, json_t **ret_reply,
				 struct iot_error *err)
{
	struct serve *serve = data;

	return iot_cloud_call(serve->cloud, operation, request, NULL, ret_reply, NULL, err);
}

static enum iot_status port_execution_state(void *data, const char *thing, const char *job_id, int64_t number,
					    json_t **ret, struct iot_error *err)
{
	struct serve *serve = data;

	return iot_local_execution_state(serve->cloud, thing, job_id, number, ret, err);
}

static enum iot_status port_stream_open(void *data, const char *thing, const char *stream, int file_id, int *ret_fd,
					int64_t *ret_size, int64_t *ret_version, struct iot_error *err)
{
	struct serve *serve = data;

	return iot_local_stream_open(serve->cloud, thing, stream, file_id, ret_fd, ret_size, ret_version, err);
}

/* The way to our own broker loses nothing; should it go, the device asks again. */
static void port_send(void *data, const void *message, size_t len)
{
	struct serve *serve = data;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_mqtt_publish(serve_link_mqtt(serve->link), IOT_CONTROL_TOPIC, message, len, 0, false, NULL, &err) !=
	    IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "a reply was dropped: ", &err);
}

static enum iot_status port_exchange(void *data, const char *operation, const json_t *request,
				     const struct iot_body *in, struct iot_buf *out, struct iot_error *err)
{
	struct serve *serve = data;

	return iot_cloud_call(serve->cloud, operation, request, in, NULL, out, err);
}

static void port_publish(void *data, const char *topic, const void *payload, size_t len, int qos)
{
	struct serve *serve = data;
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_mqtt_publish(serve_link_mqtt(serve->link), topic, payload, len, qos, false, NULL, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "a reply was dropped: ", &err);
}

static enum iot_status api_publish_message(void *data, const struct iot_mqtt_message *message, int *ret_mid,
					   struct iot_error *err)
{
	struct serve *serve = data;

	if (!serve->is_up)
		return iot_fail(err, IOT_AGAIN, "the broker is not up");
	return iot_mqtt_publish_message(serve_link_mqtt(serve->link), message, ret_mid, err);
}

static void port_claimed(void *data, const char *uid)
{
	struct serve *serve = data;

	staging_claimed(serve->staging, uid);
}

/* --- what devices say ----------------------------------------------------------------------- */

static const char *property(const struct iot_mqtt_message *message, const char *name)
{
	for (size_t i = 0; i < message->property_count; i++)
		if (strcmp(message->properties[i].name, name) == 0)
			return message->properties[i].value;
	return NULL;
}

static void take_event(struct serve *serve, const struct iot_mqtt_message *message)
{
	const char *name = message->topic + strlen(IOT_EVENT_PREFIX);
	bool connected = strcmp(name, "connected") == 0;
	json_t *event = NULL;

	if (!connected && strcmp(name, "disconnected") != 0)
		return;
	if (message->payload_len > EVENT_MAX ||
	    iot_json_parse(message->payload, message->payload_len, "event", &event, NULL) != IOT_OK)
		return;
	iot_json_set_bool(event, "connected", connected);
	if (connected && iot_json_str(event, "thingName", NULL) != NULL) {
		notify_connected(serve->notify, iot_json_str(event, "thingName", NULL));
		serve->next_notify = 0;
	}
	if (!iot_json_bool(event, "known", false))
		lifecycle_say(serve_link_mqtt(serve->link), connected, event);
	reports_presence(serve->reports, event);
}

static void on_message(const struct iot_mqtt_message *message, void *data)
{
	struct serve *serve = data;
	const struct broker_request request = {
		.client = property(message, IOT_PROPERTY_CLIENT),
		.thing = property(message, IOT_PROPERTY_THING),
		.registry = property(message, IOT_PROPERTY_REGISTRY),
		.topic = message->topic,
		.payload = message->payload,
		.len = message->payload_len,
		.qos = message->qos,
	};

	if (iot_starts_with(message->topic, IOT_EVENT_PREFIX))
		take_event(serve, message);
	else if (request.client == NULL)
		return; /* nobody whom the plugin knows */
	else if (streams_is_request(message->topic))
		streams_answer(&serve->streams, &request);
	else if (jobs_is_request(message->topic))
		jobs_answer(&serve->port, &serve->out, &request);
	else if (shadow_is_request(message->topic))
		shadow_answer(&serve->port, &request);
	else if (!message->retain &&
		 said_take(serve->said, &request)) /* what the broker kept may be older than what we know */
		serve->next_said = 0;
}

/* --- the broker comes and goes -------------------------------------------------------------------- */

static void on_up(void *data)
{
	struct serve *serve = data;
	struct iot_error err = IOT_ERROR_INIT;

	serve->granted = 0;
	serve->asked = IOT_LENGTH(subscriptions);
	reports_reset(serve->reports); /* whoever is connected is told by the plugin when we subscribe */
	notify_up(serve->notify, serve_link_mqtt(serve->link));
	serve->next_notify = 0;
	for (size_t i = 0; i < IOT_LENGTH(subscriptions); i++) {
		if (iot_mqtt_subscribe(serve_link_mqtt(serve->link), subscriptions[i], 1, NULL, &err) != IOT_OK)
			iot_log_error(IOT_LOG_ERROR, "", &err);
	}
	serve->asked += said_up(serve->said, serve_link_mqtt(serve->link));
}

static void on_down(void *data)
{
	struct serve *serve = data;

	serve->is_up = false;
	notify_down(serve->notify);
	said_down(serve->said);
	api_server_down(serve->api);
	if (!serve->stopping)
		iot_warn("the connection to mosquitto is lost");
}

/* Once both brokers are there. */
static void become_ready(struct serve *serve)
{
	if (serve->is_ready || !serve->is_up || !staging_is_ready(serve->staging))
		return;
	serve->is_ready = true;
	serve->ready(serve->ready_data);
}

static void on_subscribed(int mid, bool granted, void *data)
{
	struct serve *serve = data;

	(void)mid;
	if (!granted) {
		iot_log(IOT_LOG_ERROR, "mosquitto refused a subscription of serve");
		return;
	}
	if (serve->is_up || ++serve->granted < serve->asked)
		return; /* or one that a new layout brought */
	iot_notice("listening on '%s' port %d (mosquitto is process %ld)", serve->setup->listen, serve->setup->port,
		   (long)serve_link_pid(serve->link));
	serve->is_up = true;
	become_ready(serve);
}

static void on_published(int mid, int reason_code, void *data)
{
	struct serve *serve = data;

	notify_published(serve->notify, mid, reason_code);
	api_server_published(serve->api, mid, reason_code);
	serve->next_notify = 0;
}

static void write_state(const struct serve *serve)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (serve_status_write(serve->setup, &serve->state, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
}

static void on_process(pid_t pid, void *data)
{
	struct serve *serve = data;

	serve->state.mosquitto = pid;
	write_state(serve);
}

static void on_staging(void *data)
{
	struct serve *serve = data;
	pid_t pid = staging_pid(serve->staging);

	if (pid != serve->state.staging) {
		serve->state.staging = pid;
		write_state(serve);
	}
	become_ready(serve);
}

/* --- time ---------------------------------------------------------------------------------------------- */

/* Has another process changed the registry? */
static void look(struct serve *serve, int64_t now)
{
	int64_t version = serve->data_version;

	serve->next_look = now + LOOK_MS;
	if (iot_store_data_version(iot_local_store(serve->cloud), &version, NULL) != IOT_OK ||
	    version == serve->data_version)
		return;
	serve->data_version = version;
	streams_changed(&serve->streams);
	notify_wake(serve->notify);
	said_changed(serve->said);
	serve->next_notify = serve->next_tick = serve->next_said = 0;
}

static void tick(struct serve *serve, int64_t now)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t next = -1;

	if (iot_local_tick(serve->cloud, iot_now_ms(), &next, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "cannot move jobs on: ", &err);
		next = LOOK_MS;
	}
	serve->next_tick = now + (next < 0 || next > TICK_MAX_MS ? TICK_MAX_MS : next);
}

static void housekeeping(struct serve *serve, int64_t now)
{
	serve->next_housekeeping = now + HOUSEKEEPING_MS;
	serve_log_rotate(serve->setup->log, MOSQUITTO_LOG_MAX);
	serve_log_rotate(serve->setup->own_log, SERVE_LOG_MAX);
	said_housekeeping(serve->said);
	if (serve->setup->staging != NULL)
		serve_log_rotate(serve->setup->staging->log, MOSQUITTO_LOG_MAX);
}

static void run_timers(struct serve *serve)
{
	int64_t now = iot_monotonic_ms();

	if (now >= serve->next_look)
		look(serve, now);
	if (now >= serve->next_tick)
		tick(serve, now);
	if (now >= serve->next_notify)
		serve->next_notify = notify_run(serve->notify);
	if (now >= serve->next_said)
		serve->next_said = said_step(serve->said);
	if (now >= serve->next_housekeeping)
		housekeeping(serve, now);
}

static int time_left(const struct serve *serve)
{
	const int64_t times[] = {serve->next_look,          serve->next_tick,         serve->next_notify,
				 serve->next_said,          serve->next_housekeeping, staging_due(serve->staging),
				 api_server_due(serve->api)};
	int64_t first = serve_link_due(serve->link);

	for (size_t i = 0; i < IOT_LENGTH(times); i++)
		if (times[i] < first)
			first = times[i];
	return iot_left(first);
}

/* --- descriptors ------------------------------------------------------------------------------------------ */

static enum iot_status open_notify(struct serve *serve, struct iot_error *err)
{
	const char *path = serve->setup->paths.notify_socket;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mode_t mask;
	int rc;

	if (strlen(path) >= sizeof(address.sun_path))
		return iot_fail(err, IOT_SETTINGS, "the path of the socket '%s' is too long", path);
	memcpy(address.sun_path, path, strlen(path) + 1);
	serve->notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (serve->notify_fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a socket");
	unlink(path); /* of an earlier serve: we have the lock */
	mask = umask(0177);
	rc = bind(serve->notify_fd, (const struct sockaddr *)&address, sizeof(address));
	umask(mask);
	return rc == 0 ? IOT_OK : iot_fail_errno(err, IOT_FAILURE, errno, "cannot make the socket '%s'", path);
}

static enum iot_status open_signals(struct serve *serve, struct iot_error *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, &serve->old_mask) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot block signals");
	serve->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (serve->signal_fd < 0) {
		int fault = errno;

		sigprocmask(SIG_SETMASK, &serve->old_mask, NULL);
		return iot_fail_errno(err, IOT_FAILURE, fault, "cannot watch signals");
	}
	return IOT_OK;
}

static void read_signals(struct serve *serve)
{
	struct signalfd_siginfo info;

	while (read(serve->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (!serve->stopping)
			iot_notice("ending on signal %u", info.ssi_signo);
		serve->stopping = true;
	}
}

static void read_notify(struct serve *serve)
{
	char datagram[8];
	bool any = false;

	while (recv(serve->notify_fd, datagram, sizeof(datagram), 0) >= 0)
		any = true;
	if (any) {
		notify_wake(serve->notify);
		serve->next_notify = serve->next_look = serve->next_tick = 0;
	}
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static enum iot_status run(struct serve *serve, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	while (status == IOT_OK && !serve->stopping) {
		struct pollfd fds[7 + SAID_FDS_MAX] = {{.fd = serve->signal_fd, .events = POLLIN},
						       {.fd = serve->notify_fd, .events = POLLIN}};
		nfds_t count = serve_link_poll(serve->link, fds + 2);
		nfds_t staging = staging_poll(serve->staging, fds + 2 + count);
		nfds_t api = api_server_poll(serve->api, fds + 2 + count + staging);
		nfds_t said = said_poll(serve->said, fds + 2 + count + staging + api);

		if (poll(fds, 2 + count + staging + api + said, time_left(serve)) < 0)
			memset(fds, 0, sizeof(fds));
		for (nfds_t i = 0; i < said; i++)
			if (fds[2 + count + staging + api + i].revents != 0)
				serve->next_said = 0;
		if ((fds[0].revents & POLLIN) != 0)
			read_signals(serve);
		if ((fds[1].revents & POLLIN) != 0)
			read_notify(serve);
		if (serve->stopping)
			break;
		status = serve_link_step(serve->link, fds + 2, count, err);
		if (status == IOT_OK)
			status = staging_step(serve->staging, fds + 2 + count, staging, err);
		api_server_step(serve->api);
		reports_flush(serve->reports, false);
		run_timers(serve);
	}
	return status;
}

static enum iot_status open_api(struct serve *serve, struct iot_error *err)
{
	const struct api_server_options options = {
		.cloud = serve->cloud,
		.ca_dir = serve->setup->paths.ca_dir,
		.listen = serve->setup->api_listen,
		.port = serve->setup->api_port,
		.publish = api_publish_message,
		.data = serve,
	};
	enum iot_status status = api_server_new(&options, &serve->api, err);

	if (status == IOT_OK)
		iot_notice("HTTPS API on '%s' port %d", serve->setup->api_listen, serve->setup->api_port);
	return status;
}

static enum iot_status open_all(struct serve *serve, struct iot_error *err)
{
	static const struct serve_link_events events = {
		.up = on_up,
		.down = on_down,
		.message = on_message,
		.subscribed = on_subscribed,
		.published = on_published,
		.process = on_process,
	};
	enum iot_status status = open_signals(serve, err);

	if (status == IOT_OK)
		status = open_notify(serve, err);
	if (status == IOT_OK)
		status = iot_store_data_version(iot_local_store(serve->cloud), &serve->data_version, err);
	if (status == IOT_OK)
		serve->said = said_new(serve->setup, serve->cloud, serve->reports); /* before devices can connect */
	if (status == IOT_OK)
		status = serve_link_new(serve->setup, &events, serve, &serve->link, err);
	if (status == IOT_OK && serve->setup->staging != NULL)
		status = staging_new(serve->setup->staging, serve->cloud, on_staging, serve, &serve->staging, err);
	return status == IOT_OK && serve->setup->api_port > 0 ? open_api(serve, err) : status;
}

static void close_all(struct serve *serve)
{
	serve->stopping = true;
	api_server_free(serve->api);
	serve->api = NULL;
	if (serve->link != NULL)
		serve_link_stop(serve->link);
	staging_free(serve->staging);
	said_stop(serve->said, ROUTES_STOP_MS);
	reports_flush(serve->reports, true);
	(void)!iot_local_presence_reset(serve->cloud, NULL);
	serve_link_free(serve->link);
	if (serve->notify_fd >= 0)
		unlink(serve->setup->paths.notify_socket);
	iot_close_p(&serve->notify_fd);
	if (serve->signal_fd >= 0)
		sigprocmask(SIG_SETMASK, &serve->old_mask, NULL);
	iot_close_p(&serve->signal_fd);
	unlink(serve->setup->status);
	notify_free(serve->notify);
	streams_release(&serve->streams);
	iot_buf_release(&serve->out);
	said_free(serve->said);
	reports_free(serve->reports);
}

enum iot_status serve_loop(const struct serve_setup *setup, struct iot_cloud *cloud, void (*ready)(void *data),
			   void *data, struct iot_error *err)
{
	struct serve serve = {
		.setup = setup,
		.cloud = cloud,
		.out = IOT_BUF_INIT(BROKER_MESSAGE_MAX),
		.reports = reports_new(cloud),
		.state = {.since = iot_now_ms()},
		.ready = ready,
		.ready_data = data,
		.signal_fd = -1,
		.notify_fd = -1,
	};
	enum iot_status status;

	serve.port = (struct broker_port){&serve,    port_call,     port_execution_state, port_stream_open,
					  port_send, port_exchange, port_publish,         port_claimed};
	serve.notify = notify_new(cloud, &serve.port);
	streams_init(&serve.streams, &serve.port);
	status = open_all(&serve, err);
	if (status == IOT_OK)
		status = run(&serve, err);
	close_all(&serve);
	return status;
}
