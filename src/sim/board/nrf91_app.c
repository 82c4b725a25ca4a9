/*
 * The application of a software nRF91. Endpoint and client id are its own, as on
 * a real board; what the modem keeps under its security tag is all that it needs
 * to connect, and it tries that as long as the modem is on the network.
 */
#include "sim/board/nrf91.h"

#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 8883 };

/* Credentials are written offline only: what it finds when it goes online is what it has until it goes offline. */
void nrf91_app_online(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;

	modem->tried = modem->link != NULL;
}

void nrf91_app_offline(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;

	board_link_free(modem->link);
	modem->link = NULL;
	modem->tried = false;
}

/* HOST or HOST:PORT. */
static bool split_endpoint(const char *endpoint, char *host, size_t size, int *port)
{
	const char *colon = strrchr(endpoint, ':');
	size_t len = colon != NULL ? (size_t)(colon - endpoint) : strlen(endpoint);
	int64_t number = PORT;

	if (len == 0 || len >= size || (colon != NULL && iot_parse_int(colon + 1, 1, 65535, &number, NULL) != IOT_OK))
		return false;
	memcpy(host, endpoint, len);
	host[len] = '\0';
	*port = (int)number;
	return true;
}

static void begin(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;
	char host[256], client_id[32];
	struct board_link_options options = {.client_id = client_id,
					     .ca_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 0),
					     .cert_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 1),
					     .key_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 2)};

	if (split_endpoint(board->options->endpoint, host, sizeof(host), &options.port))
		options.host = host;
	snprintf(client_id, sizeof(client_id), "nrf-%s", iot_json_str(board->state, "imei", ""));
	modem->link = board_link_new(board, &options);
}

int nrf91_app_watch(struct board_sim *board, short *ret_events)
{
	const struct nrf91_sim *modem = board->self;

	return board_link_watch(modem->link, ret_events);
}

void nrf91_app_work(struct board_sim *board, short revents)
{
	struct nrf91_sim *modem = board->self;

	board_link_work(modem->link, revents);
	if (modem->mode != 1 || modem->tried || board->options->endpoint == NULL)
		return;
	modem->tried = true;
	begin(board);
}
