/* A gateway's life: everything is opened, and then goes in turns until it is told to end. */
#include "gateway/gateway.h"

#include "iotctl/base.h"
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
	BUSY_MS = 200, /* of the registry: a turn must not wait for long */
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

static enum iot_status open_registry(struct gateway *gateway, struct iot_error *err)
{
	enum iot_status status = iot_local_open(gateway->options->fleet_dir, &gateway->cloud, err);

	if (status != IOT_OK)
		return status;
	gateway->store = iot_local_store(gateway->cloud);
	iot_store_set_busy_ms(gateway->store, BUSY_MS);
	iot_store_set_durable(gateway->store, false); /* only who is there is written, and what state they report */
	/* A gateway may be there before the first device that has a secret. */
	return iot_local_sealing_key(gateway->cloud, gateway->seal, err);
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
	IOT_CLEAN(iot_free_p) char *state = o->state != NULL ? iot_strdup(o->state) : iot_path(o->dir, "queue");
	enum iot_status status = gateway_read_policies(gateway, err);

	gateway->nonce_size = o->nonce_size > 0 ? (size_t)o->nonce_size : 32;
	gateway->idle_ms = o->idle_ms > 0 ? o->idle_ms : 120000;
	raise_limit(o->devices > 0 ? o->devices : DEVICES);
	if (status == IOT_OK)
		status = uplink_new(gateway, err);
	if (status == IOT_OK)
		status = open_registry(gateway, err);
	if (status == IOT_OK)
		status = presence_begin(gateway, err);
	if (status == IOT_OK)
		status = gateway_queue_open(state, o->queue_messages > 0 ? o->queue_messages : 10000,
					    o->queue_bytes > 0 ? o->queue_bytes : (int64_t)256 << 20, &gateway->queue,
					    err);
	if (status == IOT_OK)
		status = gateway_queue_children(gateway->queue, add_waiting, gateway, err);
	if (status == IOT_OK)
		status = open_server(gateway, err);
	return status;
}

/* --- turns ---------------------------------------------------------------------------------- */

/* What children were to be told is not so: they say it again. */
static void turn_is_lost(struct gateway *gateway, const struct iot_error *err)
{
	struct child *child;

	iot_log_error(IOT_LOG_ERROR, "the queue cannot be written: ", err);
	while ((child = gateway->acknowledge) != NULL) {
		gateway->acknowledge = child->next_acknowledge;
		child->acknowledge = false;
		if (gateway_queue_last(gateway->queue, child->thing, child->boot, &child->boot_len, &child->safe,
				       NULL) != IOT_OK ||
		    gateway_queue_count(gateway->queue, child->thing, &child->waiting, NULL) != IOT_OK)
			child->safe = 0;
		child->taken = child->safe;
		if (child->session != NULL)
			iot_psk_link_close(child->session->link, "no room to keep what it said");
	}
}

static void end_turn(struct gateway *gateway)
{
	struct iot_error err = IOT_ERROR_INIT;

	if (iot_left(gateway->next_note) == 0) {
		gateway->next_note = iot_deadline(NOTE_MS);
		gateway_note(gateway);
	}
	uplink_drain(gateway);
	if (gateway_queue_commit(gateway->queue, &err) == IOT_OK)
		gateway_acknowledge(gateway);
	else
		turn_is_lost(gateway, &err);
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
	gateway->epoch = -1;
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
	iot_cloud_free(gateway->cloud);
	iot_wipe(gateway->seal, sizeof(gateway->seal));
	free(gateway);
	return status;
}
