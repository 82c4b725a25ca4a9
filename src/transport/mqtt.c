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
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	KEEPALIVE_S = 60,
	KEEPALIVE_MIN_S = 5, /* libmosquitto's own limit */
	INFLIGHT = 20,
	CONNECT_MS = 30000, /* TCP, TLS and CONNACK together */
	MISC_MS = 1000,
	READ_ROUNDS = 64,    /* packets read before others have their turn */
	SESSION_FOREVER = -1 /* session expiry interval 0xffffffff: never */
};

static void library_init(void)
{
	static bool done;
	struct sigaction now;

	if (done)
		return;
	done = true;
	mosquitto_lib_init();
	/* TLS writes to a socket the peer has closed would otherwise end the process. */
	if (sigaction(SIGPIPE, NULL, &now) == 0 && now.sa_handler == SIG_DFL)
		signal(SIGPIPE, SIG_IGN);
}

static struct iot_mqtt_message *copy_will(const struct iot_mqtt_message *will)
{
	struct iot_mqtt_message *copy;
	void *payload;

	if (will == NULL)
		return NULL;
	copy = iot_alloc(sizeof(*copy));
	payload = iot_alloc(will->payload_len + 1);
	if (will->payload_len > 0)
		memcpy(payload, will->payload, will->payload_len);
	*copy = (struct iot_mqtt_message){
		.topic = iot_strdup(will->topic),
		.payload = payload,
		.payload_len = will->payload_len,
		.qos = will->qos,
		.retain = will->retain,
	};
	return copy;
}

static enum iot_status check_options(const struct iot_mqtt_options *options, struct iot_error *err)
{
	if (options->client_id == NULL || options->client_id[0] == '\0')
		return iot_fail(err, IOT_USAGE, "an MQTT client needs a client id");
	if (options->unix_path != NULL) {
		if (strlen(options->unix_path) > 107)
			return iot_fail(err, IOT_USAGE, "the path of the broker's socket is too long: '%s'",
					options->unix_path);
		return IOT_OK;
	}
	if (options->host == NULL || options->port < 1 || options->port > 65535)
		return iot_fail(err, IOT_USAGE, "an MQTT client needs a host and a port from 1 to 65535");
	if (options->ca_pem != NULL && options->cert_pem != NULL && options->key_pem != NULL)
		return IOT_OK;
	if (options->ca_file == NULL)
		return iot_fail(err, IOT_USAGE, "an MQTT client needs the certificates it shall trust");
	if ((options->cert_file == NULL) != (options->key_file == NULL))
		return iot_fail(err, IOT_USAGE, "a client certificate needs its private key, and the other way round");
	if (options->mqtt5 && options->keep_session)
		return iot_fail(err, IOT_USAGE, "a kept MQTT 5 session over TLS is not supported");
	return IOT_OK;
}

/* libmosquitto takes certificates and keys from files only: this one is in memory, and ours alone. New memory. */
static enum iot_status memory_file(const char *what, const char *pem, int *fd, const char **ret_path,
				   struct iot_error *err)
{
	size_t len = strlen(pem);

	*fd = memfd_create(what, MFD_CLOEXEC);
	if (*fd < 0 || write(*fd, pem, len) != (ssize_t)len)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot keep the %s in memory", what);
	*ret_path = iot_strf("/proc/self/fd/%d", *fd);
	return IOT_OK;
}

static enum iot_status keep_in_memory(struct iot_mqtt *mqtt, const struct iot_mqtt_options *options,
				      struct iot_error *err)
{
	struct iot_mqtt_options *mine = &mqtt->options;
	enum iot_status status;

	mine->ca_pem = mine->cert_pem = mine->key_pem = NULL;
	if (options->ca_pem == NULL)
		return IOT_OK;
	status = memory_file("CA certificate", options->ca_pem, &mqtt->memory[0], &mine->ca_file, err);
	if (status == IOT_OK)
		status = memory_file("client certificate", options->cert_pem, &mqtt->memory[1], &mine->cert_file, err);
	if (status == IOT_OK)
		status = memory_file("client key", options->key_pem, &mqtt->memory[2], &mine->key_file, err);
	return status;
}

enum iot_status iot_mqtt_new(const struct iot_mqtt_options *options, const struct iot_mqtt_events *events, void *data,
			     struct iot_mqtt **ret, struct iot_error *err)
{
	enum iot_status status = check_options(options, err);
	struct iot_mqtt *mqtt;
	struct iot_mqtt_options *mine;

	if (status != IOT_OK)
		return status;
	library_init();
	mqtt = iot_alloc(sizeof(*mqtt));
	mqtt->options = *options;
	mine = &mqtt->options;
	mine->host = iot_strdup(options->host);
	mine->unix_path = iot_strdup(options->unix_path);
	mine->client_id = iot_strdup(options->client_id);
	mine->ca_file = options->ca_pem == NULL ? iot_strdup(options->ca_file) : NULL;
	mine->cert_file = options->ca_pem == NULL ? iot_strdup(options->cert_file) : NULL;
	mine->key_file = options->ca_pem == NULL ? iot_strdup(options->key_file) : NULL;
	mine->alpn = iot_strdup(options->alpn);
	mine->username = iot_strdup(options->username);
	mine->password = iot_strdup(options->password);
	mine->will = copy_will(options->will);
	if (events != NULL)
		mqtt->events = *events;
	mqtt->data = data;
	mqtt->wait_mid = -1;
	for (size_t i = 0; i < IOT_LENGTH(mqtt->memory); i++)
		mqtt->memory[i] = -1;
	status = keep_in_memory(mqtt, options, err);
	if (status == IOT_OK)
		*ret = mqtt;
	else
		iot_mqtt_free(mqtt);
	return status;
}

/* Close everything; nothing is told. */
static void drop(struct iot_mqtt *mqtt)
{
	if (mqtt->mosq != NULL)
		mosquitto_destroy(mqtt->mosq);
	mqtt->mosq = NULL;
	mqtt->phase = MQTT_OFF;
	mqtt->came_up = mqtt->lost = mqtt->asked = mqtt->tcp_up = false;
	mqtt_forget_pending(mqtt);
}

static void free_text(const char *text)
{
	free((void *)(uintptr_t)text);
}

void iot_mqtt_free(struct iot_mqtt *mqtt)
{
	if (mqtt == NULL)
		return;
	drop(mqtt);
	if (mqtt->options.password != NULL)
		iot_wipe((void *)(uintptr_t)mqtt->options.password, strlen(mqtt->options.password));
	free_text(mqtt->options.host);
	free_text(mqtt->options.unix_path);
	free_text(mqtt->options.client_id);
	free_text(mqtt->options.ca_file);
	free_text(mqtt->options.cert_file);
	free_text(mqtt->options.key_file);
	free_text(mqtt->options.alpn);
	free_text(mqtt->options.username);
	free_text(mqtt->options.password);
	if (mqtt->options.will != NULL) {
		free_text(mqtt->options.will->topic);
		free((void *)(uintptr_t)mqtt->options.will->payload);
		free((void *)(uintptr_t)mqtt->options.will);
	}
	for (size_t i = 0; i < IOT_LENGTH(mqtt->memory); i++)
		iot_close_p(&mqtt->memory[i]);
	free(mqtt->pending);
	free(mqtt->done);
	free(mqtt);
}

void iot_mqtt_free_p(struct iot_mqtt **mqtt)
{
	iot_mqtt_free(*mqtt);
}

/* An encrypted key would make OpenSSL ask at the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *data)
{
	(void)buf, (void)size, (void)rwflag, (void)data;
	return 0;
}

static enum iot_status configure(struct iot_mqtt *mqtt, struct iot_error *err)
{
	const struct iot_mqtt_options *o = &mqtt->options;
	int rc;

	mqtt_set_callbacks(mqtt);
	rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_PROTOCOL_VERSION,
				  o->mqtt5 ? MQTT_PROTOCOL_V5 : MQTT_PROTOCOL_V311);
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_SEND_MAXIMUM, o->inflight > 0 ? o->inflight : INFLIGHT);
	if (rc == MOSQ_ERR_SUCCESS && o->host != NULL)
		rc = mosquitto_int_option(mqtt->mosq, MOSQ_OPT_TCP_NODELAY, 1);
	if (rc == MOSQ_ERR_SUCCESS && o->username != NULL)
		rc = mosquitto_username_pw_set(mqtt->mosq, o->username, o->password);
	if (rc == MOSQ_ERR_SUCCESS && o->will != NULL)
		rc = mosquitto_will_set(mqtt->mosq, o->will->topic, (int)o->will->payload_len, o->will->payload,
					o->will->qos, o->will->retain);
	if (rc != MOSQ_ERR_SUCCESS)
		return iot_fail(err, IOT_USAGE, "bad MQTT settings for client '%s': %s", o->client_id,
				mosquitto_strerror(rc));
	if (o->host == NULL)
		return IOT_OK;
	if (o->alpn != NULL && mosquitto_string_option(mqtt->mosq, MOSQ_OPT_TLS_ALPN, o->alpn) != MOSQ_ERR_SUCCESS)
		return iot_fail(err, IOT_USAGE, "libmosquitto cannot offer the protocol '%s' by ALPN", o->alpn);
	rc = mosquitto_tls_set(mqtt->mosq, o->ca_file, NULL, o->cert_file, o->key_file, no_passphrase);
	if (rc != MOSQ_ERR_SUCCESS) {
		const char *bad = access(o->ca_file, R_OK) != 0                             ? o->ca_file
				  : o->cert_file != NULL && access(o->cert_file, R_OK) != 0 ? o->cert_file
				  : o->key_file != NULL                                     ? o->key_file
											    : o->ca_file;
		return iot_fail(err, IOT_SETTINGS, "cannot read '%s'", bad);
	}
	return IOT_OK;
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
	status = configure(mqtt, err);
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
	drop(mqtt);
	mqtt->reason[0] = mqtt->tls_text[0] = '\0';
	mqtt->tls_began = mqtt->alpn_chosen = false;
	mqtt->stage = IOT_MQTT_NETWORK;
	mqtt->connect_deadline = iot_deadline(CONNECT_MS);
	mqtt->next_misc = iot_deadline(MISC_MS);
	status = open_connection(mqtt, err);
	if (status != IOT_OK)
		drop(mqtt);
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
		drop(mqtt);
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
		drop(mqtt);
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
	drop(mqtt);
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
