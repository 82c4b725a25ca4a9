/* Between the files of the board: device.c boots and runs it, device_link.c is its line to the broker. */
#ifndef IOTCTL_SIM_DEVICE_PRIVATE_H
#define IOTCTL_SIM_DEVICE_PRIVATE_H

#include "iotctl/mqtt.h"
#include "sim/config.h"
#include "sim/device.h"
#include "sim/talk.h"
#include "sim/trial.h"
#include "sim/trust.h"

enum {
	DEVICE_IO_MS = 1000,  /* keep-alive work */
	DEVICE_ASKED_MAX = 16 /* more subscriptions than it ever has */
};

enum board_state { BOARD_OFF, BOARD_HANGING, BOARD_RUNNING };

struct sim_device {
	struct sim_config config;
	struct iot_sim_device_options options; /* texts not kept */
	struct sim_device_hooks hooks;
	struct sim_faults faults;
	char *client_id;

	struct sim_slots slots;
	struct sim_booted booted;
	enum board_state state;
	enum sim_reset reset;
	int64_t state_until; /* of OFF and HANGING */
	int useless_boots;
	bool factory_boot;

	struct iot_mqtt *mqtt;
	struct sim_agent *agent;
	struct sim_talk *talk;
	struct sim_trust trust;
	struct sim_trial *trial; /* while new trust is tried, instead of client and agent */
	int64_t settle_at;       /* proved new trust is taken over then, reported or not; INT64_MAX: there is none */
	bool connecting;         /* counted by the gate */
	unsigned connections;
	int64_t connect_at, io_at;
	int64_t backoff;
	char last_loss[160];
	struct device_asked {
		char filter[160];
		int mid;           /* of this connection; 0: not asked for yet */
		bool told;         /* that it was refused */
	} asked[DEVICE_ASKED_MAX]; /* subscriptions, the last ones */
	unsigned asked_count;
	bool told_untyped; /* that its having no type may be why */

	enum iot_status last_job;
	bool ended;
	enum iot_status end_status;
	struct iot_error error;
};

/* --- device.c --- */
/* An event, told to the log and to whoever listens. */
void device_say(struct sim_device *device, const char *name, const char *fmt, ...) IOT_PRINTF(3, 4);
void device_end(struct sim_device *device, enum iot_status status);

/* --- device_link.c --- */
/* What the client is made with; texts are borrowed from the device. */
struct iot_mqtt_options device_client_options(const struct sim_device *device);
/* Client, agent and talk for an image that runs; the fault is in device->error. */
IOT_CHECK enum iot_status device_plug_in(struct sim_device *device, int64_t now);
/* All of them are gone, and the connection is ended. */
void device_unplug(struct sim_device *device);
/* Begin to connect, unless others have to be first. */
void device_connect(struct sim_device *device);

#endif
