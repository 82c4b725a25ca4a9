/*
 * The application of a software nRF91. Endpoint and client id are its own, as on
 * a real board; what the modem keeps under its security tag is all that it needs
 * to connect, and it tries that as long as the modem is on the network.
 */
#include "sim/board/nrf91.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/json.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { PORT = 8883, RETRY_MS = 1000, GOODBYE_MS = 200 };

void nrf91_app_online(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;

	modem->retry_at = iot_monotonic_ms();
}

void nrf91_app_offline(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;

	if (modem->mqtt != NULL)
		iot_mqtt_disconnect(modem->mqtt, GOODBYE_MS);
	iot_mqtt_free(modem->mqtt);
	modem->mqtt = NULL;
	if (modem->connected)
		board_sim_tell(board, "disconnected", "%s", "");
	modem->connected = false;
	modem->retry_at = 0;
}

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct board_sim *board = data;
	struct nrf91_sim *modem = board->self;

	(void)mqtt;
	modem->connected = true;
	board_sim_tell(board, "connected", "to %s", board->options->endpoint);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	struct board_sim *board = data;
	struct nrf91_sim *modem = board->self;

	(void)mqtt;
	(void)status;
	board_sim_tell(board, modem->connected ? "lost" : "not connected", "%s", reason);
	modem->connected = false;
	modem->drop = true;
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

static enum iot_status begin(struct board_sim *board, struct iot_error *err)
{
	static const struct iot_mqtt_events events = {.connected = on_connected, .disconnected = on_disconnected};
	struct nrf91_sim *modem = board->self;
	char host[256], client_id[32];
	struct iot_mqtt_options options = {.host = host,
					   .client_id = client_id,
					   .ca_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 0),
					   .cert_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 1),
					   .key_pem = nrf91_sim_content(board, NRF91_SIM_TAG, 2)};
	enum iot_status status;

	if (options.ca_pem == NULL || options.cert_pem == NULL || options.key_pem == NULL)
		return iot_fail(err, IOT_NOT_FOUND, "no credentials under security tag %d", NRF91_SIM_TAG);
	if (!split_endpoint(board->options->endpoint, host, sizeof(host), &options.port))
		return iot_fail(err, IOT_USAGE, "no usable endpoint");
	snprintf(client_id, sizeof(client_id), "nrf-%s", iot_json_str(board->state, "imei", ""));
	status = iot_mqtt_new(&options, &events, board, &modem->mqtt, err);
	return status == IOT_OK ? iot_mqtt_start(modem->mqtt, err) : status;
}

static void try_to_connect(struct board_sim *board)
{
	struct nrf91_sim *modem = board->self;
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = begin(board, &err);

	if (status == IOT_OK)
		return;
	modem->drop = true;
	if (status != IOT_NOT_FOUND)
		board_sim_tell(board, "not connected", "%s", err.what);
}

int nrf91_app_watch(struct board_sim *board, short *ret_events)
{
	const struct nrf91_sim *modem = board->self;

	if (modem->mqtt == NULL)
		return -1;
	*ret_events = iot_mqtt_poll_events(modem->mqtt);
	return iot_mqtt_fd(modem->mqtt);
}

void nrf91_app_work(struct board_sim *board, short revents)
{
	struct nrf91_sim *modem = board->self;

	if (modem->mqtt != NULL)
		iot_mqtt_io(modem->mqtt, revents);
	if (modem->drop) {
		iot_mqtt_free(modem->mqtt);
		modem->mqtt = NULL;
		modem->drop = false;
		modem->retry_at = iot_deadline(RETRY_MS);
	}
	if (modem->mode == 1 && modem->mqtt == NULL && board->options->endpoint != NULL &&
	    iot_monotonic_ms() >= modem->retry_at)
		try_to_connect(board);
}
