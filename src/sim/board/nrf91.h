/* Between the files of the software nRF91: its modem and the application beside it. */
#ifndef IOTCTL_SIM_BOARD_NRF91_H
#define IOTCTL_SIM_BOARD_NRF91_H

#include "sim/board/at.h"
#include "sim/board/link.h"

enum { NRF91_SIM_TAG = 16842753 }; /* where its application looks for credentials */

struct nrf91_sim {
	struct sim_at_options at_options;
	struct sim_at at;
	int mode; /* of +CFUN: 0 off, 1 on the network, 4 flight */
	/* The application: */
	struct board_link *link; /* NULL: it is not on the network, or something that it needs is missing */
	bool tried;              /* since it went online */
};

/* The content of a credential; NULL: there is none. */
const char *nrf91_sim_content(const struct board_sim *board, int64_t tag, int64_t type);

/* --- the application (nrf91_app.c): connects whenever the modem is on the network ---------------- */
void nrf91_app_online(struct board_sim *board);
void nrf91_app_offline(struct board_sim *board);
int nrf91_app_watch(struct board_sim *board, short *ret_events);
void nrf91_app_work(struct board_sim *board, short revents);

#endif
