/*
 * The inside of the software host microcontroller. host.c: boot loader, life and
 * messages; host_at.c: what it says to the module; host_ota.c: its updates.
 */
#ifndef IOTCTL_SIM_HOST_H
#define IOTCTL_SIM_HOST_H

#include "iotctl/at.h"
#include "iotctl/expresslink.h"
#include "iotctl/key.h"
#include "iotctl/sim.h"
#include "sim/slots.h"

enum host_next { HOST_GOES_ON, HOST_RESTARTS, HOST_ENDS };

struct sim_host {
	struct iot_sim_host_options options;
	void (*event)(const char *name, const char *detail, void *data);
	void *event_data;

	struct sim_slots slots;
	struct sim_booted booted;
	enum sim_reset reset;
	struct iot_key *key; /* that updates are checked with; NULL: none */
	int signals;
	int useless_boots;

	struct iot_serial *serial;
	struct iot_at at;
	char thing[129];
	char *topic;
	bool connected;
	bool module_seen; /* it answered at least once */
	int64_t connect_at, connected_at, backoff_ms;
	int64_t telemetry_at, interval_ms;
	int64_t booted_at, end_at;
	unsigned sequence;
	enum host_next next;
	enum iot_status last_update; /* how the last one went */
};

/* host_at.c: all may fail as iot_at_call does; a refusal is answer->ok false, or IOT_BOARD from host_do. */
IOT_CHECK enum iot_status host_open(struct sim_host *host, struct iot_error *err);
/* `more` may be NULL: the text in front of a value that is escaped on the way. */
IOT_CHECK enum iot_status host_ask(struct sim_host *host, const char *command, const char *more, int timeout_ms,
				   bool once, struct iot_at_answer *answer, struct iot_error *err);
IOT_CHECK enum iot_status host_do(struct sim_host *host, const char *command, const char *more, struct iot_error *err);
/* The decoded value of a configuration key. */
IOT_CHECK enum iot_status host_conf(struct sim_host *host, const char *key, struct iot_buf *ret, struct iot_error *err);

/* host.c */
void host_say(struct sim_host *host, const char *name, const char *fmt, ...) IOT_PRINTF(3, 4);

/* host_ota.c: look at the module's update state and do what it asks for. */
IOT_CHECK enum iot_status host_update(struct sim_host *host, struct iot_error *err);

#endif
