/*
 * TLS with pre-shared keys, and messages with their length in front of them:
 * what small devices speak with a gateway (frame.h).
 *
 * TLS 1.2 alone, suites of our choosing, no certificate anywhere: whoever does
 * not have the key gets nothing else. No tickets, no session cache, no
 * renegotiation: a session that is resumed would not ask for the key again.
 * Neither side knows what the messages mean.
 */
#ifndef IOTCTL_PSKLINK_H
#define IOTCTL_PSKLINK_H

#include "iotctl/error.h"

#include <stdint.h>

#define IOT_PSK_LINK_KEY_MIN 16 /* RFC 9257: 128 bits */
#define IOT_PSK_LINK_KEY_MAX 64
#define IOT_PSK_LINK_IDENTITY_MAX 128
#define IOT_PSK_LINK_OUTPUT_MAX 65536 /* bytes that wait for a peer that does not read */

/*
 * With forward secrecy first, for those who can; the others are for devices with symmetric cryptography only (RFC 5487,
 * 5489, 6655, 7905). OpenSSL's own default has none of the CCM suites.
 */
#define IOT_PSK_LINK_SUITES                                                                                            \
	"ECDHE-PSK-CHACHA20-POLY1305:ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES128-CCM:"                \
	"PSK-AES128-CCM8:PSK-AES128-CBC-SHA256"

/* --- many: a listener ----------------------------------------------------------- */

struct iot_psk_server;
struct iot_psk_link; /* a connection */

struct iot_psk_server_events {
	/*
	 * The key of an identity (any bytes but NUL, where it is cut; not empty, at most IOT_PSK_LINK_IDENTITY_MAX) into
	 * key[IOT_PSK_LINK_KEY_MAX]; returns its length, 0: there is none, as if it is shorter than IOT_PSK_LINK_KEY_MIN
	 * (the client then learns no more than with a wrong key). Within the handshake;
	 * iot_psk_link_set_user may be called.
	 */
	size_t (*key)(struct iot_psk_link *link, const char *identity, uint8_t *key, void *data);
	void (*opened)(struct iot_psk_link *link, void *data); /* the handshake is over: the peer has the key */
	/* A whole message; borrowed during the call. */
	void (*message)(struct iot_psk_link *link, const void *message, size_t len, void *data);
	/* It is over, for this reason; the link is gone when this returns. For every link, also one that never said who
	 * it is. */
	void (*closed)(struct iot_psk_link *link, const char *reason, void *data);
};

struct iot_psk_server_options {
	const char *address; /* to listen at; NULL: 127.0.0.1 */
	int port;            /* 0: any */
	const char *suites;  /* NULL: IOT_PSK_LINK_SUITES */
	size_t links;        /* at most so many connections; 0: 10000. More are not accepted until some end */
	size_t message_max;  /* bytes of one message, until iot_psk_link_set_limits says otherwise */
	int handshake_ms;    /* from connecting to the end of the handshake */
	int idle_ms;         /* silence after which a connection ends, until iot_psk_link_set_limits */
	int message_ms; /* a message must be complete so long after its first byte; so must what is sent be taken */
};

/* IOT_CONFLICT: the port is in use; IOT_USAGE: no such address. Options are copied. */
IOT_CHECK enum iot_status iot_psk_server_new(const struct iot_psk_server_options *options,
					     const struct iot_psk_server_events *events, void *data,
					     struct iot_psk_server **ret, struct iot_error *err);
/* Ends all connections; event `closed` comes for each. */
void iot_psk_server_free(struct iot_psk_server *server);
void iot_psk_server_free_p(struct iot_psk_server **server); /* for IOT_CLEAN */
int iot_psk_server_port(const struct iot_psk_server *server);

/* One descriptor for all of it: readable when there is something to do. */
int iot_psk_server_fd(const struct iot_psk_server *server);
/*
 * Do what there is to do, without waiting. Returns in how many milliseconds it must be called again at the latest: 0
 * when peers have sent more than one turn may take.
 */
int iot_psk_server_work(struct iot_psk_server *server);

struct iot_psk_server_counts {
	size_t open;                           /* now, handshakes included */
	uint64_t accepted, handshakes, failed; /* since the start */
};
struct iot_psk_server_counts iot_psk_server_counts(const struct iot_psk_server *server);
/* Call `each` with every open link whose handshake is over; it may close that link. */
void iot_psk_server_each(struct iot_psk_server *server, void (*each)(struct iot_psk_link *link, void *data),
			 void *data);

/*
 * Queue bytes, framed by the caller. False: more than IOT_PSK_LINK_OUTPUT_MAX would wait, nothing was queued. They go
 * out with the next iot_psk_server_work at the latest.
 */
bool iot_psk_link_send(struct iot_psk_link *link, const void *data, size_t len);
/* End a connection, after what was queued is out; reason as for event `closed`. No further message is delivered. */
void iot_psk_link_close(struct iot_psk_link *link, const char *reason);
void iot_psk_link_set_limits(struct iot_psk_link *link, size_t message_max, int idle_ms);
/* Who it says to be; "" before it did. */
const char *iot_psk_link_identity(const struct iot_psk_link *link);
const char *iot_psk_link_suite(const struct iot_psk_link *link);
/* "127.0.0.1:40112" */
const char *iot_psk_link_address(const struct iot_psk_link *link);
/* The owner's pointer. */
void iot_psk_link_set_user(struct iot_psk_link *link, void *user);
void *iot_psk_link_user(const struct iot_psk_link *link);

/* --- one: a client ---------------------------------------------------------------- */

struct iot_psk_client;

struct iot_psk_client_options {
	const char *host;
	int port;
	const char *identity;
	const void *key;
	size_t key_len;
	const char *suites; /* NULL: IOT_PSK_LINK_SUITES */
	int timeout_ms;     /* for the connection and the handshake */
};
/*
 * Connect and shake hands. IOT_AGAIN: unreachable; IOT_DENIED: the server does not accept identity or key; IOT_USAGE:
 * the suites or the key cannot be used; IOT_TIMEOUT.
 */
IOT_CHECK enum iot_status iot_psk_client_new(const struct iot_psk_client_options *options, struct iot_psk_client **ret,
					     struct iot_error *err);
void iot_psk_client_free(struct iot_psk_client *client);
void iot_psk_client_free_p(struct iot_psk_client **client); /* for IOT_CLEAN */
const char *iot_psk_client_suite(const struct iot_psk_client *client);
int iot_psk_client_fd(const struct iot_psk_client *client);
/* Send bytes, framed by the caller. IOT_AGAIN: the connection has ended; IOT_TIMEOUT. */
IOT_CHECK enum iot_status iot_psk_client_send(struct iot_psk_client *client, const void *data, size_t len,
					      int timeout_ms, struct iot_error *err);
/*
 * The next message of at most `max` bytes, borrowed until the next call. IOT_TIMEOUT: none came in time (it may still
 * come); IOT_AGAIN: the connection has ended; IOT_USAGE: it is too long.
 */
IOT_CHECK enum iot_status iot_psk_client_receive(struct iot_psk_client *client, size_t max, int timeout_ms,
						 const void **ret, size_t *ret_len, struct iot_error *err);

#endif
