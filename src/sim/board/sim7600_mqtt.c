/*
 * The software SIM7600's MQTT client: it really connects, over TLS, with the
 * files that it was told to use, and only in the order that the manual has. Each
 * way to fail has its code.
 */
#include "sim/board/sim7600.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	GOOD = 0,
	NO_SOCKET = 3,
	NO_NETWORK = 9,
	NOT_CONNECTED = 11,
	NOT_RELEASED = 21,
	RUNS_ALREADY = 23,
	NO_SUCH_NAME = 25,
	NOT_AUTHORISED = 31,
	HANDSHAKE = 32,
	NO_CERTIFICATE = 33,
	LOST_CLOSED = 1, /* of +CMQTTCONNLOST */
	URL_MAX = 300
};

/* A result that comes by itself, before the OK or after it. */
static int with_result(struct board_sim *board, const char *line, bool good)
{
	struct modem *modem = board->self;
	bool early = !good || board_sim_fault(board, "early-result", line + 1);

	if (!early)
		sim_at_end(board, &modem->at, SIM_AT_OK);
	sim_at_say(board, &modem->at, "%s", line);
	if (!early)
		return SIM_AT_SAID;
	return good ? SIM_AT_OK : SIM_AT_ERROR;
}

int modem_mqtt_start(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	bool good = !modem->started;
	char line[32];

	(void)request;
	modem->started = true;
	snprintf(line, sizeof(line), "+CMQTTSTART: %d", good ? GOOD : RUNS_ALREADY);
	return with_result(board, line, good);
}

int modem_mqtt_stop(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	bool good = modem->started && modem->client_id == NULL;
	char line[32];

	(void)request;
	if (good)
		modem->started = false;
	snprintf(line, sizeof(line), "+CMQTTSTOP: %d", good ? GOOD : NOT_RELEASED);
	return with_result(board, line, good);
}

static bool is_client(const struct sim_at_request *request)
{
	int64_t index;

	return sim_at_number(&request->args[0], 0, 0, &index);
}

int modem_mqtt_accq(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	int64_t tls = 0;

	if (!modem->started || modem->client_id != NULL || !is_client(request) || request->args[1].len == 0 ||
	    (request->count > 2 && !sim_at_number(&request->args[2], 0, 1, &tls)))
		return SIM_AT_ERROR;
	modem->client_id = iot_strdup(request->args[1].text);
	modem->tls = false;
	return tls == 1 ? SIM_AT_OK : SIM_AT_ERROR; /* nobody here wants one without TLS */
}

int modem_mqtt_sslcfg(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	int64_t context;

	if (modem->client_id == NULL || !is_client(request) || !sim_at_number(&request->args[1], 0, 0, &context))
		return SIM_AT_ERROR;
	modem->tls = true;
	return SIM_AT_OK;
}

int modem_mqtt_rel(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;

	if (modem->client_id == NULL || !is_client(request) || modem->connected || modem->connecting)
		return SIM_AT_ERROR;
	free(modem->client_id);
	modem->client_id = NULL;
	return SIM_AT_OK;
}

/* --- the connection ------------------------------------------------------------------------- */

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct board_sim *board = data;
	struct modem *modem = board->self;

	(void)mqtt;
	modem->connecting = false;
	modem->connected = true;
	board_sim_tell(board, "connected", "as %s", modem->client_id);
	sim_at_say(board, &modem->at, "+CMQTTCONNECT: 0,%d", GOOD);
	if (board_sim_fault(board, "link-lost", "CMQTTCONNECT"))
		modem->ended = true;
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	static const int results[] = {
		[IOT_MQTT_NETWORK] = NO_SOCKET, [IOT_MQTT_TLS] = HANDSHAKE, [IOT_MQTT_LOGIN] = NOT_AUTHORISED};
	struct board_sim *board = data;
	struct modem *modem = board->self;

	(void)status;
	board_sim_tell(board, "not connected", "%s", reason);
	modem->result = results[iot_mqtt_stage(mqtt)];
	modem->ended = true;
}

static bool split_url(const char *url, char *host, size_t size, int *ret_port)
{
	static const char scheme[] = "tcp://";
	const char *colon = strrchr(url, ':');
	size_t len;
	int64_t port;

	if (!iot_starts_with(url, scheme) || colon < url + strlen(scheme) ||
	    iot_parse_int(colon + 1, 1, 65535, &port, NULL) != IOT_OK)
		return false;
	url += strlen(scheme);
	len = (size_t)(colon - url);
	if (len == 0 || len >= size)
		return false;
	memcpy(host, url, len);
	host[len] = '\0';
	*ret_port = (int)port;
	return true;
}

/* What stands in the way before anything is sent; GOOD: nothing. */
static int obstacle(const struct board_sim *board)
{
	bool sni = modem_number(board, "enableSNI", 0) == 1 || board_sim_fault(board, "no-sni", "CSSLCFG");

	if (board_sim_fault(board, "no-network", "CMQTTCONNECT"))
		return NO_NETWORK;
	if (modem_file(board, "cacert") == NULL || modem_file(board, "clientcert") == NULL ||
	    modem_file(board, "clientkey") == NULL)
		return NO_CERTIFICATE;
	if (modem_number(board, "sslversion", 4) < 3 || modem_number(board, "authmode", 0) != 2 || !sni)
		return HANDSHAKE;
	return GOOD;
}

static int begin(struct board_sim *board, const char *host, int port)
{
	static const struct iot_mqtt_events events = {.connected = on_connected, .disconnected = on_disconnected};
	struct modem *modem = board->self;
	const struct iot_mqtt_options options = {
		.host = host,
		.port = port,
		.client_id = modem->client_id,
		.ca_pem = modem_file(board, "cacert"),
		.cert_pem = modem_file(board, "clientcert"),
		.key_pem = modem_file(board, "clientkey"),
	};
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = iot_mqtt_new(&options, &events, board, &modem->mqtt, &err);

	if (status == IOT_OK)
		status = iot_mqtt_start(modem->mqtt, &err);
	if (status == IOT_OK)
		return GOOD;
	board_sim_tell(board, "not connected", "%s", err.what);
	return status == IOT_AGAIN ? NO_SUCH_NAME : HANDSHAKE;
}

int modem_mqtt_connect(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	char host[URL_MAX];
	int port, result;

	if (modem->client_id == NULL || !modem->tls || modem->connected || modem->connecting || !is_client(request) ||
	    !split_url(request->args[1].text, host, sizeof(host), &port))
		return SIM_AT_ERROR;
	modem_mqtt_end(modem);
	result = obstacle(board);
	if (result == GOOD)
		result = begin(board, host, port);
	modem->connecting = true;
	if (result != GOOD) {
		modem->result = result;
		modem->ended = true;
	}
	return SIM_AT_OK;
}

int modem_mqtt_disc(struct board_sim *board, const struct sim_at_request *request)
{
	struct modem *modem = board->self;
	bool good = modem->connected || modem->connecting;
	char line[32];

	(void)request;
	modem_mqtt_end(modem);
	snprintf(line, sizeof(line), "+CMQTTDISC: 0,%d", good ? GOOD : NOT_CONNECTED);
	return with_result(board, line, good);
}

/* --- for the frame ---------------------------------------------------------------------------- */

void modem_mqtt_end(struct modem *modem)
{
	if (modem->mqtt != NULL && modem->connected)
		iot_mqtt_disconnect(modem->mqtt, 500);
	iot_mqtt_free(modem->mqtt);
	modem->mqtt = NULL;
	modem->connecting = modem->connected = modem->ended = false;
}

int modem_mqtt_watch(struct board_sim *board, short *ret_events)
{
	struct modem *modem = board->self;

	if (modem->mqtt == NULL)
		return -1;
	*ret_events = iot_mqtt_poll_events(modem->mqtt);
	return iot_mqtt_fd(modem->mqtt);
}

void modem_mqtt_work(struct board_sim *board, short revents)
{
	struct modem *modem = board->self;
	bool was_connected;

	if (modem->mqtt != NULL)
		iot_mqtt_io(modem->mqtt, revents);
	if (!modem->ended)
		return;
	was_connected = modem->connected;
	modem_mqtt_end(modem);
	if (was_connected)
		sim_at_say(board, &modem->at, "+CMQTTCONNLOST: 0,%d", LOST_CLOSED);
	else
		sim_at_say(board, &modem->at, "+CMQTTCONNECT: 0,%d", modem->result);
}
