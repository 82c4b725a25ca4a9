/*
 * The MQTT client: a connection's life over libmosquitto, without its threads.
 * Every connection gets a new libmosquitto object, which is thrown away with
 * everything in it when the connection ends; so a descriptor that is gone is
 * closed, and nothing of an old connection turns up in the next one.
 * libmosquitto leaves holes that are closed here: it never notices when a
 * connection dies during the TLS handshake, it tries only the first address of
 * a name when it may not block, and it has no time-out for connecting.
 */
#include "transport/mqtt_internal.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"
#include "transport/mqtt_words.h"

#include <arpa/inet.h>
#include <errno.h>
#include <mqtt_protocol.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
	KEEPALIVE_S = 60,
	KEEPALIVE_MIN_S = 5, /* libmosquitto's own limit */
	CONNECT_MS = 30000,  /* TCP, TLS and CONNACK together */
	MISC_MS = 1000,
	READ_ROUNDS = 64,    /* packets read before others have their turn */
	SESSION_FOREVER = -1 /* session expiry interval 0xffffffff: never */
};

void mqtt_drop(struct iot_mqtt *mqtt)
{
	if (mqtt->mosq != NULL)
		mosquitto_destroy(mqtt->mosq);
	mqtt->mosq = NULL;
	mqtt->phase = MQTT_OFF;
	mqtt->came_up = mqtt->lost = mqtt->asked = mqtt->tcp_up = false;
	mqtt_forget_pending(mqtt);
}

/* libmosquitto reports a failed start only as a code, with errno or OpenSSL's words beside it. */
static enum iot_status start_fault(struct iot_mqtt *mqtt, int rc, int errnum, struct iot_error *err)
{
	const struct iot_mqtt_options *o = &mqtt->options;

	if (o->unix_path != NULL)
		return iot_fail_errno(err, IOT_AGAIN, errnum, "cannot connect to the broker's socket '%s'",
				      o->unix_path);
	if (rc == MOSQ_ERR_EAI)
		return iot_fail(err, IOT_AGAIN, "cannot find the address of '%s': %s", o->host, gai_strerror(errnum));
	if (rc == MOSQ_ERR_TLS) {
		const char *words = mqtt_tls_words(mqtt->tls_text);

		iot_fail(err, IOT_SETTINGS, "cannot use certificate '%s' with its key: %s",
			 o->cert_file != NULL ? o->cert_file : o->ca_file,
			 words != NULL ? words
				       : (mqtt->tls_text[0] != '\0' ? mqtt->tls_text : "OpenSSL does not accept it"));
		return IOT_SETTINGS;
	}
	if (rc == MOSQ_ERR_ERRNO)
		return iot_fail_errno(err, IOT_AGAIN, errnum, "cannot connect to '%s:%d'", o->host, o->port);
	return iot_fail(err, IOT_AGAIN, "cannot connect to '%s:%d': %s", o->host, o->port, mosquitto_strerror(rc));
}

static int connect_unix(struct iot_mqtt *mqtt, int keepalive)
{
	mosquitto_property *properties = NULL;
	int rc = MOSQ_ERR_SUCCESS;

	if (mqtt->options.mqtt5 && mqtt->options.keep_session)
		rc = mosquitto_property_add_int32(&properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
						  (uint32_t)SESSION_FOREVER);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_connect_bind_v5(mqtt->mosq, mqtt->options.unix_path, 0, keepalive, NULL, properties);
	mosquitto_property_free_all(&properties);
	return rc;
}

static void note_rc(struct iot_mqtt *mqtt, int rc, int errnum)
{
	if (rc == MOSQ_ERR_SUCCESS || mqtt->lost)
		return;
	mqtt->lost = true;
	mqtt_explain_rc(mqtt, rc, errnum);
}

static enum iot_status open_connection(struct iot_mqtt *mqtt, struct iot_error *err)
{
	const struct iot_mqtt_options *o = &mqtt->options;
	int keepalive = o->keepalive_s > 0 ? o->keepalive_s : KEEPALIVE_S;
	enum iot_status status;
	int rc, errnum;

	if (keepalive < KEEPALIVE_MIN_S)
		keepalive = KEEPALIVE_MIN_S;
	mqtt->mosq = mosquitto_new(o->client_id, !o->keep_session, mqtt);
	if (mqtt->mosq == NULL)
		return iot_fail(err, IOT_USAGE, "'%s' is not a valid MQTT client id", o->client_id);
	status = mqtt_configure(mqtt, err);
	if (status != IOT_OK)
		return status;
	mqtt->phase = MQTT_CONNECTING;
	mqtt->tcp_up = o->unix_path != NULL;
	mqtt->depth++;
	errno = 0;
	/* An address to bind to makes libmosquitto pass over addresses of another family. */
	rc = o->unix_path != NULL ? connect_unix(mqtt, keepalive)
				  : mosquitto_connect_bind_async(mqtt->mosq, o->host, o->port, keepalive,
								 mqtt->ipv4_only ? "0.0.0.0" : NULL);
	errnum = errno;
	mqtt->depth--;
	mqtt->start_errno = errnum;
	/* A quick peer: the handshake itself failed already. That is an outcome like a later one. */
	if ((rc == MOSQ_ERR_TLS && mqtt->tls_began) || (rc == MOSQ_ERR_ERRNO && errnum == EPROTO)) {
		mqtt->stage = IOT_MQTT_TLS;
		note_rc(mqtt, rc, errnum);
		return IOT_OK;
	}
	return rc == MOSQ_ERR_SUCCESS ? IOT_OK : start_fault(mqtt, rc, errnum, err);
}

enum iot_status iot_mqtt_start(struct iot_mqtt *mqtt, struct iot_error *err)
{
	enum iot_status status;

	if (mqtt->mosq != NULL && !mqtt->lost)
		return IOT_OK;
	mqtt_drop(mqtt);
	mqtt->reason[0] = mqtt->tls_text[0] = '\0';
	mqtt->tls_began = mqtt->alpn_chosen = false;
	mqtt->stage = IOT_MQTT_NETWORK;
	mqtt->connect_deadline = iot_deadline(CONNECT_MS);
	mqtt->next_misc = iot_deadline(MISC_MS);
	status = open_connection(mqtt, err);
	if (status != IOT_OK)
		mqtt_drop(mqtt);
	return status;
}

static bool is_address(const char *host)
{
	struct in6_addr address;

	return inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
}

/* The TCP connection could not be made. A name may have an IPv4 address besides the one that was tried. */
static void connect_failed(struct iot_mqtt *mqtt, int errnum)
{
	if (!mqtt->ipv4_only && !is_address(mqtt->options.host)) {
		mosquitto_destroy(mqtt->mosq);
		mqtt->mosq = NULL;
		mqtt->ipv4_only = true;
		if (open_connection(mqtt, NULL) == IOT_OK)
			return;
	}
	mqtt->ipv4_only = false;
	mqtt->lost = true;
	mqtt_explain(mqtt, IOT_AGAIN, "%s", strerror(errnum));
}

static bool has_peer(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
}

/* Has the TCP connection come to an end, good or bad? False: there is nothing to read or write yet. */
static bool check_tcp(struct iot_mqtt *mqtt, short revents)
{
	int fault = 0;
	socklen_t len = sizeof(fault);

	if (mqtt->tcp_up)
		return true;
	if ((revents & (POLLOUT | POLLERR | POLLHUP)) == 0)
		return false;
	if (getsockopt(mosquitto_socket(mqtt->mosq), SOL_SOCKET, SO_ERROR, &fault, &len) != 0)
		fault = errno;
	/* OpenSSL may have fetched the fault already, when it tried to say hello. */
	if (fault == 0 && (revents & (POLLERR | POLLHUP)) != 0 && !has_peer(mosquitto_socket(mqtt->mosq)))
		fault = mqtt->start_errno != 0 && mqtt->start_errno != EINPROGRESS && mqtt->start_errno != EAGAIN
				? mqtt->start_errno
				: ECONNREFUSED;
	if (fault != 0) {
		connect_failed(mqtt, fault);
		return false;
	}
	mqtt->tcp_up = true;
	mqtt->stage = IOT_MQTT_TLS;
	return true;
}

/*
 * libmosquitto reads on while TLS has decrypted bytes for it, but stops at an
 * errno left behind by somebody else: so it is asked again until it got nothing.
 */
static void read_all(struct iot_mqtt *mqtt)
{
	for (int i = 0; i < READ_ROUNDS && !mqtt->lost; i++) {
		unsigned before = mqtt->happened;
		size_t done = mqtt->done_count;
		int rc;

		errno = 0;
		rc = mosquitto_loop_read(mqtt->mosq, 1);
		note_rc(mqtt, rc, errno);
		if (before == mqtt->happened && done == mqtt->done_count)
			return;
	}
}

static void write_all(struct iot_mqtt *mqtt)
{
	int rc;

	if (mqtt->lost || !mosquitto_want_write(mqtt->mosq))
		return;
	errno = 0;
	rc = mosquitto_loop_write(mqtt->mosq, 1);
	note_rc(mqtt, rc, errno);
}

static void keep_alive(struct iot_mqtt *mqtt)
{
	int64_t now = iot_monotonic_ms();

	if (mqtt->lost || now < mqtt->next_misc)
		return;
	mqtt->next_misc = now + MISC_MS;
	if (mqtt->phase == MQTT_UP) {
		note_rc(mqtt, mosquitto_loop_misc(mqtt->mosq), errno);
	} else if (now >= mqtt->connect_deadline) {
		mqtt->lost = true;
		mqtt_explain(mqtt, IOT_AGAIN, "no answer within %d s", CONNECT_MS / 1000);
	}
}

/* Pass on what the callbacks noted. */
static void settle(struct iot_mqtt *mqtt)
{
	if (mqtt->came_up) {
		mqtt->came_up = false;
		mqtt->phase = MQTT_UP;
		mqtt->happened++;
		/* It would format a line for every packet. What it says of a failed handshake has been said. */
		if (iot_log_get_level() < IOT_LOG_DEBUG)
			mosquitto_log_callback_set(mqtt->mosq, NULL);
		if (mqtt->events.connected != NULL)
			mqtt->events.connected(mqtt, mqtt->data);
	}
	mqtt_tell_done(mqtt);
	if (mqtt->lost) {
		if (mqtt->asked)
			mqtt->lost_status = IOT_OK;
		mqtt_drop(mqtt);
		mqtt->happened++;
		if (mqtt->events.disconnected != NULL)
			mqtt->events.disconnected(mqtt, mqtt->lost_status, mqtt->reason, mqtt->data);
	}
}

void iot_mqtt_io(struct iot_mqtt *mqtt, short revents)
{
	if (mqtt->mosq == NULL || mqtt->depth > 0)
		return;
	mqtt->depth++;
	if (!mqtt->lost && check_tcp(mqtt, revents)) {
		if ((revents & (POLLIN | POLLERR | POLLHUP)) != 0)
			read_all(mqtt);
		write_all(mqtt);
		mqtt_check_alpn(mqtt);
		/* During the handshake libmosquitto takes a dead socket for one that is not ready. */
		if (!mqtt->lost && (revents & (POLLERR | POLLHUP)) != 0 && mqtt->phase == MQTT_CONNECTING &&
		    !mqtt->came_up)
			note_rc(mqtt, MOSQ_ERR_CONN_LOST, 0);
	}
	keep_alive(mqtt);
	mqtt->depth--;
	settle(mqtt);
	/* What the owner published in the events just told. */
	if (mqtt->mosq != NULL && !mqtt->lost && mqtt->phase == MQTT_UP) {
		mqtt->depth++;
		write_all(mqtt);
		mqtt->depth--;
	}
}

int iot_mqtt_fd(const struct iot_mqtt *mqtt)
{
	return mqtt->mosq != NULL ? mosquitto_socket(mqtt->mosq) : -1;
}

bool iot_mqtt_wants_write(const struct iot_mqtt *mqtt)
{
	return mqtt->mosq != NULL && (mqtt->pending_count > 0 || mosquitto_want_write(mqtt->mosq));
}

short iot_mqtt_poll_events(const struct iot_mqtt *mqtt)
{
	if (mqtt->mosq == NULL)
		return 0;
	return !mqtt->tcp_up || mosquitto_want_write(mqtt->mosq) ? POLLIN | POLLOUT : POLLIN;
}

bool iot_mqtt_is_connected(const struct iot_mqtt *mqtt)
{
	return mqtt->phase == MQTT_UP && !mqtt->lost;
}

enum iot_mqtt_stage iot_mqtt_stage(const struct iot_mqtt *mqtt)
{
	return mqtt->stage;
}

void iot_mqtt_wait(struct iot_mqtt *mqtt, int timeout_ms)
{
	int64_t deadline = iot_deadline(timeout_ms);
	unsigned before = mqtt->happened;

	do {
		struct pollfd fd = {.fd = iot_mqtt_fd(mqtt), .events = iot_mqtt_poll_events(mqtt)};
		int left = iot_left(deadline);

		if (mqtt->lost || mqtt->done_count > 0)
			left = 0;
		if (poll(&fd, 1, left > MISC_MS ? MISC_MS : left) < 0)
			fd.revents = 0;
		iot_mqtt_io(mqtt, fd.revents);
	} while (before == mqtt->happened && mqtt->mosq != NULL && iot_left(deadline) > 0);
}

enum iot_status iot_mqtt_connect(struct iot_mqtt *mqtt, int timeout_ms, struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	enum iot_status status = iot_mqtt_start(mqtt, err);
	const struct iot_mqtt_options *o = &mqtt->options;

	if (status != IOT_OK)
		return status;
	while (mqtt->phase == MQTT_CONNECTING && iot_left(deadline) > 0)
		iot_mqtt_wait(mqtt, iot_left(deadline));
	if (iot_mqtt_is_connected(mqtt))
		return IOT_OK;
	if (mqtt->phase == MQTT_CONNECTING) {
		mqtt_drop(mqtt);
		mqtt->lost_status = IOT_TIMEOUT;
		snprintf(mqtt->reason, sizeof(mqtt->reason), "no answer within %d ms", timeout_ms);
	}
	if (o->unix_path != NULL)
		return iot_fail(err, mqtt->lost_status, "cannot connect to the broker's socket '%s': %s", o->unix_path,
				mqtt->reason);
	return iot_fail(err, mqtt->lost_status, "cannot connect to '%s:%d' as '%s': %s", o->host, o->port, o->client_id,
			mqtt->reason);
}

void iot_mqtt_disconnect(struct iot_mqtt *mqtt, int timeout_ms)
{
	int64_t deadline = iot_deadline(timeout_ms);

	if (mqtt->mosq == NULL)
		return;
	mqtt->asked = true;
	if (mqtt->depth > 0) { /* from within an event: the goodbye is queued, io does the rest */
		mosquitto_disconnect(mqtt->mosq);
		return;
	}
	while (mqtt->mosq != NULL && mqtt->phase == MQTT_UP && iot_mqtt_wants_write(mqtt) && iot_left(deadline) > 0)
		iot_mqtt_wait(mqtt, iot_left(deadline));
	if (mqtt->mosq == NULL)
		return;
	mqtt->depth++;
	if (mqtt->phase == MQTT_UP)
		mosquitto_disconnect(mqtt->mosq);
	while (!mqtt->lost && mosquitto_socket(mqtt->mosq) >= 0 && iot_left(deadline) > 0) {
		struct pollfd fd = {.fd = mosquitto_socket(mqtt->mosq), .events = POLLOUT};

		if (mqtt->phase != MQTT_UP || poll(&fd, 1, iot_left(deadline)) <= 0)
			break;
		write_all(mqtt);
	}
	mqtt->depth--;
	mqtt_drop(mqtt);
}

enum iot_status iot_mqtt_subscribe_wait(struct iot_mqtt *mqtt, const char *filter, int qos, int timeout_ms,
					struct iot_error *err)
{
	int64_t deadline = iot_deadline(timeout_ms);
	enum iot_status status;

	mqtt->wait_answered = false;
	status = iot_mqtt_subscribe(mqtt, filter, qos, &mqtt->wait_mid, err);
	if (status != IOT_OK)
		return status;
	while (!mqtt->wait_answered && iot_mqtt_is_connected(mqtt) && iot_left(deadline) > 0)
		iot_mqtt_wait(mqtt, iot_left(deadline));
	mqtt->wait_mid = -1;
	if (mqtt->wait_answered)
		return mqtt->wait_granted
			       ? IOT_OK
			       : iot_fail(err, IOT_DENIED, "the broker refused a subscription to '%s'", filter);
	if (!iot_mqtt_is_connected(mqtt))
		return iot_fail(err, IOT_AGAIN, "lost the broker while subscribing to '%s': %s", filter, mqtt->reason);
	return iot_fail(err, IOT_TIMEOUT, "the broker did not answer a subscription to '%s' within %d ms", filter,
			timeout_ms);
}
