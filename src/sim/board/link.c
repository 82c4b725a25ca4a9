/* A software board's way to the broker: one client, begun again some time after each failure. */
#include "sim/board/link.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/mqtt.h"

enum { RETRY_MS = 1000, KEEPALIVE_S = 30 };

struct board_link {
	struct board_sim *board;
	struct iot_mqtt *mqtt;
	char *host;
	void (*changed)(struct board_sim *board, bool up);
	bool up;
	int64_t retry_at; /* monotonic; 0: it is connected, or on its way */
};

static void failed(struct board_link *link, const char *reason)
{
	board_sim_tell(link->board, link->up ? "connection lost" : "not connected", "%s", reason);
	link->up = false;
	link->retry_at = iot_deadline(RETRY_MS);
	if (link->changed != NULL)
		link->changed(link->board, false);
}

static void on_connected(struct iot_mqtt *mqtt, void *data)
{
	struct board_link *link = data;

	(void)mqtt;
	link->up = true;
	board_sim_tell(link->board, "connected", "to %s", link->host);
	if (link->changed != NULL)
		link->changed(link->board, true);
}

static void on_disconnected(struct iot_mqtt *mqtt, enum iot_status status, const char *reason, void *data)
{
	(void)mqtt;
	(void)status;
	failed(data, reason);
}

static void begin(struct board_link *link)
{
	struct iot_error err = IOT_ERROR_INIT;

	link->retry_at = 0;
	if (iot_mqtt_start(link->mqtt, &err) != IOT_OK)
		failed(link, err.what);
}

struct board_link *board_link_new(struct board_sim *board, const struct board_link_options *options)
{
	static const struct iot_mqtt_events events = {.connected = on_connected, .disconnected = on_disconnected};
	const struct iot_mqtt_options mqtt = {
		.host = options->host,
		.port = options->port,
		.client_id = options->client_id,
		.ca_pem = options->ca_pem,
		.cert_pem = options->cert_pem,
		.key_pem = options->key_pem,
		.keepalive_s = KEEPALIVE_S,
	};
	const char *missing = options->host == NULL        ? "endpoint"
			      : options->client_id == NULL ? "client id"
			      : options->ca_pem == NULL    ? "root CA"
			      : options->cert_pem == NULL  ? "certificate"
			      : options->key_pem == NULL   ? "private key"
							   : NULL;
	struct iot_error err = IOT_ERROR_INIT;
	struct board_link *link;

	if (missing != NULL) {
		board_sim_tell(board, "not connected", "no %s", missing);
		return NULL;
	}
	link = iot_alloc(sizeof(*link));
	link->board = board;
	link->host = iot_strdup(options->host);
	link->changed = options->changed;
	if (iot_mqtt_new(&mqtt, &events, link, &link->mqtt, &err) != IOT_OK) {
		board_sim_tell(board, "not connected", "%s", err.what);
		board_link_free(link);
		return NULL;
	}
	begin(link);
	return link;
}

void board_link_free(struct board_link *link)
{
	if (link == NULL)
		return;
	iot_mqtt_free(link->mqtt);
	free(link->host);
	free(link);
}

int board_link_watch(const struct board_link *link, short *ret_events)
{
	if (link == NULL)
		return -1;
	*ret_events = iot_mqtt_poll_events(link->mqtt);
	return iot_mqtt_fd(link->mqtt);
}

void board_link_work(struct board_link *link, short revents)
{
	if (link == NULL)
		return;
	if (link->retry_at > 0 && iot_monotonic_ms() >= link->retry_at)
		begin(link);
	else
		iot_mqtt_io(link->mqtt, revents);
}
