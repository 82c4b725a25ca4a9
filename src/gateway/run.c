/* A gateway's life: everything is opened, and then goes in turns until it is told to end. */
#include "gateway/gateway.h"

#include "iotctl/base.h"
#include "iotctl/children.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>

enum {
	TURN_MS = 100, /* the registry is looked at so often */
	NOTE_MS = 1000,
	COMPLAINT_MS = 10000, /* a disk stays full for long */
	DEVICES = 10000,
	FDS_BESIDES = 64
};

void gateway_event(const struct gateway *gateway, const char *name, const char *child, const char *fmt, ...)
{
	char detail[768];
	va_list args;

	va_start(args, fmt);
	vsnprintf(detail, sizeof(detail), fmt, args);
	va_end(args);
	iot_log(IOT_LOG_INFO, "%s%s%s: %s", name, child != NULL ? " " : "", child != NULL ? child : "", detail);
	if (gateway->options->event != NULL)
		gateway->options->event(name, child, detail, gateway->options->data);
}

/* --- opening ----------------------------------------------------------------------------- */

/* Sockets for all of them, as far as the system lets us. */
static void raise_limit(size_t devices)
{
	rlim_t wanted = (rlim_t)devices + FDS_BESIDES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return;
	limit.rlim_cur = limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted ? limit.rlim_max : wanted;
	if (limit.rlim_cur < wanted)
		iot_warn("%zu devices need %llu open files, and the limit is %llu", devices, (unsigned long long)wanted,
			 (unsigned long long)limit.rlim_max);
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static enum iot_status open_server(struct gateway *gateway, struct iot_error *err)
{
	static const struct iot_psk_server_events events = {
		.key = gateway_key, .opened = session_opened, .message = session_message, .closed = session_closed};
	const struct iot_gateway_options *o = gateway->options;
	const struct iot_psk_server_options options = {
		.address = o->listen,
		.port = o->port,
		.suites = o->suites,
		.links = o->devices > 0 ? o->devices : DEVICES,
		.message_max = IOT_FRAME_GREETING_MAX,
		.handshake_ms = o->handshake_ms > 0 ? o->handshake_ms : 10000,
		.idle_ms = gateway->idle_ms,
		.message_ms = o->message_ms > 0 ? o->message_ms : 10000,
	};
	enum iot_status status = iot_psk_server_new(&options, &events, gateway, &gateway->server, err);

	if (status == IOT_OK)
		gateway_event(gateway, "listening", NULL, "%s:%d", o->listen != NULL ? o->listen : "127.0.0.1",
			      iot_psk_server_port(gateway->server));
	return status;
}

static void add_waiting(const char *thing, void *data)
{
	(void)gateway_make_child(data, thing);
}

static enum iot_status open_all(struct gateway *gateway, struct iot_error *err)
{
	const struct iot_gateway_options *o = gateway->options;
	IOT_CLEAN(iot_free_p) char *children = iot_path(o->dir, IOT_GATEWAY_EXPORT);
	enum iot_status status = gateway_read_policies(gateway, err);

	gateway->state_dir = o->state != NULL ? iot_strdup(o->state) : iot_path(o->dir, "queue");
	gateway->exported = iot_fs_exists(children);
	gateway->nonce_size = o->nonce_size > 0 ? (size_t)o->nonce_size : 32;
	gateway->idle_ms = o->idle_ms > 0 ? o->idle_ms : 120000;
	raise_limit(o->devices > 0 ? o->devices : DEVICES);
	if (status == IOT_OK)
		status = uplink_new(gateway, err);
	if (status == IOT_OK)
		status = gateway_queue_open(gateway->state_dir, o->queue_messages > 0 ? o->queue_messages : 10000,
					    o->queue_bytes > 0 ? o->queue_bytes : (int64_t)256 << 20, &gateway->queue,
					    err);
	if (status == IOT_OK)
		status = source_open(gateway, err);
	if (status == IOT_OK && !gateway->exported)
		status = presence_begin(gateway, err);
	if (status == IOT_OK)
		status = gateway_queue_children(gateway->queue, add_waiting, gateway, err);
	if (status == IOT_OK)
		status = open_server(gateway, err);
	return status;
}

/* --- turns ---------------------------------------------------------------------------------- */

/*
 * What was put on the disk in this turn is not there. Who said it still has it, since nobody was told that it is safe:
 * it is told to wait, and to begin again behind what is safe for certain.
 */
static void turn_is_lost(struct gateway *gateway, const struct iot_error *err)
{
	struct child *child, **at = &gateway->acknowledge;

	if (iot_left(gateway->next_complaint) == 0) {
		gateway->next_complaint = iot_deadline(COMPLAINT_MS);
		iot_log_error(IOT_LOG_ERROR, "the queue cannot be written: ", err);
	}
	while ((child = *at) != NULL) {
		if (child->safe == child->firm) { /* the cloud has it */
			at = &child->next_acknowledge;
			continue;
		}
		*at = child->next_acknowledge;
		child->acknowledge = false;
		child->safe = child->taken = child->firm;
		(void)!gateway_queue_count(gateway->queue, child->thing, &child->waiting, NULL);
		if (child->session != NULL)
			session_refuse_for_now(child->session, child->firm + 1, err);
	}
}

static void end_turn(struct gateway *gateway)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_left(gateway->next_note) == 0) {
		gateway->next_note = iot_deadline(NOTE_MS);
		gateway_note(gateway);
	}
	if (gateway_queue_commit(gateway->queue, &err) != IOT_OK)
		turn_is_lost(gateway, &err);
	gateway_acknowledge(gateway);
	gateway_queue_tidy(gateway->queue);
	uplink_drain(gateway);
}

static int wait_ms(const struct gateway *gateway, int server_ms)
{
	int wait = server_ms < TURN_MS ? server_ms : TURN_MS;

	if (gateway->connect_at != 0 && iot_left(gateway->connect_at) < wait)
		wait = iot_left(gateway->connect_at);
	return wait;
}

static void run(struct gateway *gateway)
{
	const struct iot_gateway_options *o = gateway->options;
	int wait = 0;

	while (!o->interrupted(o->data)) {
		struct pollfd fds[] = {
			{.fd = iot_psk_server_fd(gateway->server), .events = POLLIN},
			{.fd = iot_mqtt_fd(gateway->mqtt), .events = iot_mqtt_poll_events(gateway->mqtt)},
			{.fd = o->interrupt_fd, .events = POLLIN},
		};

		if (poll(fds, IOT_LENGTH(fds), wait_ms(gateway, wait)) < 0)
			fds[1].revents = 0;
		gateway_look(gateway);
		wait = iot_psk_server_work(gateway->server);
		uplink_work(gateway, fds[1].revents);
		end_turn(gateway);
		presence_flush(gateway);
	}
}

enum iot_status iot_gateway_run(const struct iot_gateway_options *options, struct iot_error *err)
{
	struct gateway *gateway = iot_alloc(sizeof(*gateway));
	enum iot_status status;

	gateway->options = options;
	gateway->epoch = gateway->export_folder = -1;
	status = open_all(gateway, err);
	if (status == IOT_OK)
		run(gateway);
	iot_psk_server_free(iot_take(gateway->server));
	uplink_free(gateway);
	if (gateway->queue != NULL)
		gateway_note(gateway);
	gateway_queue_close(gateway->queue);
	presence_end(gateway);
	gateway_children_release(gateway);
	source_close(gateway);
	free(gateway->state_dir);
	free(gateway);
	return status;
}
