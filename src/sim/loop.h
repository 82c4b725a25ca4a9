/*
 * One loop for one or many software devices: epoll, timers, and the signals
 * that end it.
 */
#ifndef IOTCTL_SIM_LOOP_H
#define IOTCTL_SIM_LOOP_H

#include "sim/device.h"

struct sim_loop_options {
	int64_t exit_after_ms; /* 0: until told to end */
	int64_t every_ms;      /* call `every` so often; 0: never */
	void (*every)(void *data);
	void *data;
};

/*
 * Run devices until all have ended, time is up (IOT_OK), or SIGTERM or SIGINT
 * comes, which are blocked meanwhile: *ret_signal is then its number, else 0.
 */
IOT_CHECK enum iot_status sim_loop_run(struct sim_device **devices, size_t count,
				       const struct sim_loop_options *options, int *ret_signal, struct iot_error *err);

#endif
