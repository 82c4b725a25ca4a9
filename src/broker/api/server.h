/*
 * The HTTPS API as serve's loop sees it: something to poll, and to step. All but
 * api_server_new take NULL: there is none.
 */
#ifndef IOTCTL_BROKER_API_SERVER_H
#define IOTCTL_BROKER_API_SERVER_H

#include "iotctl/cloud.h"
#include "iotctl/mqtt.h"

#include <poll.h>
#include <stdint.h>

struct api_server;

/* How long a client may take, in ms; 0: as usual. */
struct api_patience {
	int idle;    /* nothing moves; whole seconds */
	int head;    /* from the connection, or the answer before, to the first line */
	int body;    /* from there to the end of the request; an image has more */
	int answer;  /* to the end of the answer */
	int publish; /* for the broker's acknowledgement */
};

struct api_server_options {
	struct iot_cloud *cloud; /* borrowed */
	const char *ca_dir;      /* server.pem and server.key */
	const char *listen;
	int port; /* 0: any that is free */
	struct api_patience patience;
	/*
	 * Give a message to the broker; *ret_mid of one with QoS 1 comes back with api_server_published. IOT_AGAIN:
	 * there is no broker now.
	 */
	enum iot_status (*publish)(void *data, const struct iot_mqtt_message *message, int *ret_mid,
				   struct iot_error *err);
	void *data;
};
/* It listens from then on. IOT_CONFLICT: the port is in use. */
IOT_CHECK enum iot_status api_server_new(const struct api_server_options *options, struct api_server **ret,
					 struct iot_error *err);
void api_server_free(struct api_server *server);
int api_server_port(const struct api_server *server);
/* One descriptor for poll(2), or none. Returns how many. */
nfds_t api_server_poll(const struct api_server *server, struct pollfd *fd);
/* When step must be called at the latest, monotonic ms. */
int64_t api_server_due(const struct api_server *server);
void api_server_step(struct api_server *server);
/* The broker acknowledged a message (MQTT 5 reason code), or the connection to it is lost. */
void api_server_published(struct api_server *server, int mid, int reason);
void api_server_down(struct api_server *server);

#endif
