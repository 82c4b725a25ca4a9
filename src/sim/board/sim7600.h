/* Between the files of the software SIM7600: its files and settings (sim7600.c), its MQTT client (sim7600_mqtt.c). */
#ifndef IOTCTL_SIM_BOARD_SIM7600_H
#define IOTCTL_SIM_BOARD_SIM7600_H

#include "iotctl/mqtt.h"
#include "sim/board/at.h"

struct modem {
	struct sim_at at;
	char name[128];    /* of the file that data comes for, */
	char command[160]; /* and the command that said so */
	/* MQTT: */
	bool started, tls;
	char *client_id; /* NULL: there is no client */
	struct iot_mqtt *mqtt;
	bool connecting, connected, ended; /* ended: to be freed outside of its own callbacks */
	int result;                        /* of what ended */
};

/* The contents of a stored file that a setting of the TLS context names; NULL: none. */
const char *modem_file(const struct board_sim *board, const char *setting);
int64_t modem_number(const struct board_sim *board, const char *setting, int64_t fallback);

int modem_mqtt_start(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_accq(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_sslcfg(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_connect(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_disc(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_rel(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_stop(struct board_sim *board, const struct sim_at_request *request);
int modem_mqtt_watch(struct board_sim *board, short *ret_events);
void modem_mqtt_work(struct board_sim *board, short revents);
void modem_mqtt_end(struct modem *modem);

#endif
