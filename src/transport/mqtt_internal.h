/*
 * The MQTT client's inside. mqtt_options.c makes and frees it, mqtt.c owns the
 * connection and its life, mqtt_send.c what goes out and what is still on its way,
 * mqtt_recv.c what libmosquitto calls back with.
 */
#ifndef IOTCTL_TRANSPORT_MQTT_INTERNAL_H
#define IOTCTL_TRANSPORT_MQTT_INTERNAL_H

#include "iotctl/mqtt.h"

#include <mosquitto.h>

enum mqtt_phase { MQTT_OFF, MQTT_CONNECTING, MQTT_UP };

/* A message handed over and not yet done. */
struct mqtt_pending {
	int mid;
	size_t len;
};

/* A message done, of which the owner has not heard yet. */
struct mqtt_done {
	int mid;
	int reason;
};

struct iot_mqtt {
	struct mosquitto *mosq; /* NULL: off. A new one for every connection, so that nothing old is left in it */
	struct iot_mqtt_options options; /* what was given in memory is in it as files */
	int memory[3];                   /* those files; -1: none */
	struct iot_mqtt_events events;
	void *data;

	enum mqtt_phase phase;
	bool tcp_up; /* the socket is connected */
	enum iot_mqtt_stage stage;
	bool ipv4_only; /* the first address did not answer, an IPv4 one may */
	bool asked;     /* we are the ones who end it */
	int64_t connect_deadline;
	int64_t next_misc;

	/* Told by libmosquitto's callbacks, passed on after its function has returned. */
	bool came_up;
	bool lost;
	enum iot_status lost_status;
	char reason[256];
	char tls_text[256]; /* what OpenSSL or libmosquitto logged about TLS */
	bool alpn_chosen;   /* the protocol of the options */
	bool tls_began;     /* that was about the handshake, not about our own files */
	int start_errno;    /* what was left in errno then */

	unsigned happened; /* events passed on so far */
	int depth;         /* > 0 inside a function of libmosquitto */

	struct mqtt_pending *pending; /* oldest first */
	size_t pending_start, pending_count, pending_cap, pending_bytes;
	struct mqtt_done *done;
	size_t done_count, done_cap;

	int wait_mid; /* of iot_mqtt_subscribe_wait; -1: none */
	bool wait_answered, wait_granted;
};

/* mqtt.c: close everything; nothing is told. */
void mqtt_drop(struct iot_mqtt *mqtt);

/* mqtt_options.c: tell libmosquitto of the options, for one connection. */
IOT_CHECK enum iot_status mqtt_configure(struct iot_mqtt *mqtt, struct iot_error *err);

/* mqtt_recv.c */
void mqtt_set_callbacks(struct iot_mqtt *mqtt);
/* Say why the connection ended, unless something more exact was said before. */
void mqtt_explain(struct iot_mqtt *mqtt, enum iot_status status, const char *fmt, ...) IOT_PRINTF(3, 4);
void mqtt_explain_rc(struct iot_mqtt *mqtt, int rc, int errnum);
/* Has the server chosen another protocol than ours, or none? Then the connection is lost. */
void mqtt_check_alpn(struct iot_mqtt *mqtt);

/* mqtt_send.c */
void mqtt_forget_pending(struct iot_mqtt *mqtt);
void mqtt_mark_done(struct iot_mqtt *mqtt, int mid, int reason);
/* Tell the owner of what is done. */
void mqtt_tell_done(struct iot_mqtt *mqtt);
enum iot_status mqtt_check_rc(struct iot_mqtt *mqtt, int rc, const char *doing, const char *subject,
			      struct iot_error *err);

#endif
