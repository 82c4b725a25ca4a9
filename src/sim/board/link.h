/*
 * The way of a software board's application to the broker: MQTT over TLS with
 * what the board holds, tried again after a while until it is freed. A kind has
 * one and hands it what its frame hands it (`watch`, `work`).
 */
#ifndef IOTCTL_SIM_BOARD_LINK_H
#define IOTCTL_SIM_BOARD_LINK_H

#include "sim/board/board_sim.h"

struct board_link;

struct board_link_options {
	const char *host;
	int port;
	const char *client_id;
	const char *ca_pem; /* one or more certificates */
	const char *cert_pem, *key_pem;
	/* It came up, could not be made, or was lost. May be NULL; must not free the link. */
	void (*changed)(struct board_sim *board, bool up);
};

/*
 * Begin; options are copied. The board's events are "connected", "not connected" and "connection lost", each with a
 * detail. NULL when an option is missing, after the event that says which.
 */
struct board_link *board_link_new(struct board_sim *board, const struct board_link_options *options);
/* Without a goodbye, as when the power goes. */
void board_link_free(struct board_link *link);

/* As the slots of a kind; a link that is NULL has nothing to watch and nothing to do. */
int board_link_watch(const struct board_link *link, short *ret_events);
void board_link_work(struct board_link *link, short revents);

#endif
