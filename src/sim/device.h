/*
 * A board: flash and boot loader, the image's behaviour, a connection, an agent.
 * An object for an event loop: nothing here waits.
 */
#ifndef IOTCTL_SIM_DEVICE_H
#define IOTCTL_SIM_DEVICE_H

#include "iotctl/log.h"
#include "iotctl/sim.h"
#include "sim/behaviour.h"

struct sim_device;

/* How many connections may be under way at once, shared by the devices of a fleet. */
struct sim_gate {
	int free;
};

struct sim_device_hooks {
	void (*event)(const char *thing, const char *name, const char *detail, void *data); /* may be NULL */
	void *data;
	enum iot_log_level level;              /* of the lines about ordinary life */
	struct sim_gate *gate;                 /* NULL: no limit */
	const struct sim_behaviour *behaviour; /* NULL: none */
};

/* Options and hooks are copied; gate, behaviour and data must outlive the device. It boots at the first tick. */
IOT_CHECK enum iot_status sim_device_new(const struct iot_sim_device_options *options,
					 const struct sim_device_hooks *hooks, struct sim_device **ret,
					 struct iot_error *err);
/* Says goodbye to the broker if that can be done at once. */
void sim_device_free(struct sim_device *device);

const char *sim_device_thing(const struct sim_device *device);

/* For the loop: the descriptor (-1: none), poll(2) events wanted, whether it may be another one under the same number.
 */
int sim_device_fd(const struct sim_device *device);
short sim_device_poll_events(const struct sim_device *device);
bool sim_device_is_connected(const struct sim_device *device);
unsigned sim_device_connections(const struct sim_device *device);
void sim_device_io(struct sim_device *device, short revents);
void sim_device_tick(struct sim_device *device);
/* When to tick at the latest (monotonic milliseconds). */
int64_t sim_device_deadline(const struct sim_device *device);

/* Has it come to its end (no job left with `once`, or it cannot go on)? *ret_status as iot_sim_device_run returns it.
 */
bool sim_device_ended(const struct sim_device *device, enum iot_status *ret_status);
/* The fault behind an end with an error. */
const struct iot_error *sim_device_error(const struct sim_device *device);
bool sim_device_is_idle(const struct sim_device *device);

#endif
