/* The insides of a listener and of its connections. */
#ifndef IOTCTL_TRANSPORT_PSK_LINK_H
#define IOTCTL_TRANSPORT_PSK_LINK_H

#include "iotctl/buf.h"
#include "iotctl/psklink.h"
#include "transport/psk/psk.h"

#include <stdbool.h>

enum {
	LINK_HEAD = 4,        /* bytes of a message's length */
	LINK_SCRATCH = 16384, /* a TLS record */
	LINK_READS = 8,       /* records that one link may have read in one turn */
	LINK_REASON = 160,
	LINK_CLOSE_MS = 2000 /* what was queued must be out so long after the end was decided */
};

enum link_state { LINK_HANDSHAKE, LINK_OPEN, LINK_CLOSING, LINK_DEAD };

struct iot_psk_link {
	struct iot_psk_server *server;
	struct iot_psk_link *next, *previous; /* of all */
	struct iot_psk_link *next_ready, *next_dead;
	SSL *ssl;
	int fd;
	enum link_state state;
	bool ready, unknown, was_open;
	unsigned watched; /* epoll events asked for */
	struct iot_buf in, out;
	size_t message_max;
	int idle_ms;
	int64_t since;         /* it is in this state */
	int64_t heard;         /* something came */
	int64_t message_since; /* a message began that is not whole; 0: none */
	int64_t out_since;     /* something waits to be taken; 0: nothing */
	char identity[IOT_PSK_LINK_IDENTITY_MAX + 1];
	char address[64];
	char reason[LINK_REASON];
	void *user;
};

struct iot_psk_server {
	struct iot_psk_server_options options;
	struct iot_psk_server_events events;
	void *data;
	SSL_CTX *ctx;
	int fd, epoll, port;
	struct iot_psk_link *links, *ready, *dead;
	struct iot_psk_server_counts counts;
	int64_t next_scan, listen_again; /* listen_again: accepting pauses until then; 0: it does not */
	char scratch[LINK_SCRATCH];
};

/* Takes the descriptor. NULL: no memory for TLS; the descriptor is closed. */
struct iot_psk_link *psk_link_new(struct iot_psk_server *server, int fd, const char *address, int64_t now);
/* Read, write and go on with the handshake, as far as one turn goes. */
void psk_link_run(struct iot_psk_link *link, int64_t now);
/* End it if one of its times is over. */
void psk_link_check(struct iot_psk_link *link, int64_t now);
/* It is over at once. Event `closed` comes when the server reaps it. */
void psk_link_end(struct iot_psk_link *link, const char *reason);
void psk_link_free(struct iot_psk_link *link);

#endif
