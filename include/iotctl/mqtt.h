/*
 * An MQTT client over libmosquitto: TLS with a client certificate, or a unix
 * socket for the fleet's own user. Not threaded: the owner runs it, either
 * blocking (iot_mqtt_wait) or from its own poll loop (fd, events, io).
 */
#ifndef IOTCTL_MQTT_H
#define IOTCTL_MQTT_H

#include "iotctl/error.h"

#include <stdint.h>

struct iot_mqtt;

struct iot_mqtt_property {
	const char *name, *value; /* user properties (MQTT 5) */
};

struct iot_mqtt_message {
	const char *topic;
	const void *payload;
	size_t payload_len;
	int qos;
	bool retain;
	const struct iot_mqtt_property *properties; /* user properties; MQTT 5 only */
	size_t property_count;
	const char *response_topic;   /* MQTT 5; NULL if absent */
	const void *correlation;      /* MQTT 5; NULL if absent */
	size_t correlation_len;
	/* To be sent with MQTT 5; of what arrives they are not told. */
	const char *content_type; /* NULL: none */
	uint32_t expiry_s;        /* nobody gets it later than this; 0: it keeps */
	bool is_utf8;             /* the payload is text */
};

/* Called from inside iot_mqtt_io / iot_mqtt_wait / iot_mqtt_connect only. Any may be NULL. */
struct iot_mqtt_events {
	void (*connected)(struct iot_mqtt *mqtt, void *data);
	/* status: IOT_OK after iot_mqtt_disconnect, else why (IOT_AGAIN network, IOT_DENIED refused or kicked). */
	void (*disconnected)(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data);
	void (*message)(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message, void *data);
	/* granted: false for failure codes. */
	void (*subscribed)(struct iot_mqtt *mqtt, int mid, bool granted, void *data);
	/* A QoS 1 message was acknowledged (or refused: reason_code >= 128, MQTT 5), a QoS 0 one handed to the socket. */
	void (*published)(struct iot_mqtt *mqtt, int mid, int reason_code, void *data);
};

struct iot_mqtt_options {
	const char *host; int port;           /* TLS */
	const char *unix_path;                /* or a unix socket, without TLS */
	const char *client_id;
	const char *ca_file, *cert_file, *key_file; /* PEM; required with host (certificate and key: together or not at all) */
	const char *ca_pem, *cert_pem, *key_pem; /* or the same in memory; all three; never written to a disk */
	const char *alpn;                     /* protocol that the broker must choose (RFC 7301); NULL: none is offered */
	const char *username, *password;      /* optional (JWT listeners) */
	int keepalive_s;                      /* 0: 60 */
	bool mqtt5;                           /* else 3.1.1 */
	bool keep_session;                    /* else a clean one; with MQTT 5 on a unix socket only */
	int inflight;                         /* QoS 1 messages not yet acknowledged; 0: 20 */
	const struct iot_mqtt_message *will;  /* NULL: none; copied */
};

/* Options are copied. Nothing is connected yet. */
IOT_CHECK enum iot_status iot_mqtt_new(const struct iot_mqtt_options *options, const struct iot_mqtt_events *events,
				       void *data, struct iot_mqtt **ret, struct iot_error *err);
void iot_mqtt_free(struct iot_mqtt *mqtt);
void iot_mqtt_free_p(struct iot_mqtt **mqtt);

/*
 * Begin to connect (also again after a disconnect); nothing happens when it is
 * connected or connecting already. Only looking up the host name blocks
 * (getaddrinfo). The outcome arrives as event `connected` or `disconnected`, at
 * the latest after 30 s. Fails at once when nothing could be begun: IOT_AGAIN (no
 * such host, no route, no such socket), IOT_SETTINGS (a file cannot be used).
 * Messages not acknowledged when a connection ends are forgotten, also in a kept
 * session: the owner repeats what matters.
 */
IOT_CHECK enum iot_status iot_mqtt_start(struct iot_mqtt *mqtt, struct iot_error *err);
/*
 * iot_mqtt_start and wait for the outcome. IOT_AGAIN: unreachable, with the
 * cause (no route, refused, TLS name or certificate problem named in words);
 * IOT_DENIED: the broker refused this client; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status iot_mqtt_connect(struct iot_mqtt *mqtt, int timeout_ms, struct iot_error *err);
/*
 * Wait up to timeout_ms until everything is written and acknowledged, say goodbye
 * and close. Event `disconnected` comes only when this is called from within
 * another event, where nothing is waited for.
 */
void iot_mqtt_disconnect(struct iot_mqtt *mqtt, int timeout_ms);
bool iot_mqtt_is_connected(const struct iot_mqtt *mqtt);
/* How far the last attempt to connect came: which of them failed, when it failed. */
enum iot_mqtt_stage { IOT_MQTT_NETWORK, IOT_MQTT_TLS, IOT_MQTT_LOGIN };
enum iot_mqtt_stage iot_mqtt_stage(const struct iot_mqtt *mqtt);

/* IOT_AGAIN: not connected, or 10000 messages or 16 MiB wait to be sent; IOT_USAGE: not a valid topic, or too large. */
IOT_CHECK enum iot_status iot_mqtt_publish(struct iot_mqtt *mqtt, const char *topic, const void *payload, size_t len,
					   int qos, bool retain, int *ret_mid, struct iot_error *err);
/* With MQTT 5 user properties, response topic, correlation data and expiry out of `message`. */
IOT_CHECK enum iot_status iot_mqtt_publish_message(struct iot_mqtt *mqtt, const struct iot_mqtt_message *message,
						   int *ret_mid, struct iot_error *err);
/* Event `subscribed` follows. */
IOT_CHECK enum iot_status iot_mqtt_subscribe(struct iot_mqtt *mqtt, const char *filter, int qos, int *ret_mid,
					     struct iot_error *err);
/* Subscribe and wait for the answer: IOT_DENIED if refused. */
IOT_CHECK enum iot_status iot_mqtt_subscribe_wait(struct iot_mqtt *mqtt, const char *filter, int qos, int timeout_ms,
						  struct iot_error *err);
IOT_CHECK enum iot_status iot_mqtt_unsubscribe(struct iot_mqtt *mqtt, const char *filter, struct iot_error *err);

/* For a poll loop: the descriptor (-1: none now) and the poll(2) events wanted. */
int iot_mqtt_fd(const struct iot_mqtt *mqtt);
short iot_mqtt_poll_events(const struct iot_mqtt *mqtt);
/* Do what poll reported, and keep-alive work; call at least once a second. Lost connections come as events. */
void iot_mqtt_io(struct iot_mqtt *mqtt, short revents);
/* poll on this one client for up to timeout_ms and do the work; returns early after any event. */
void iot_mqtt_wait(struct iot_mqtt *mqtt, int timeout_ms);
/* Is anything not yet written or not yet acknowledged? */
bool iot_mqtt_wants_write(const struct iot_mqtt *mqtt);

#endif
