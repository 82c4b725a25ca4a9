/*
 * A connection with new trust, made to see whether it carries: connect, and be
 * let at the jobs topics, without which nobody would ever reach the device
 * again. Nothing else is said or heard.
 */
#ifndef IOTCTL_SIM_TRIAL_H
#define IOTCTL_SIM_TRIAL_H

#include "iotctl/mqtt.h"

struct sim_trial;

enum sim_verdict { SIM_TRIAL_UNDECIDED, SIM_TRIAL_GOOD, SIM_TRIAL_BAD };

/* Options are copied by the client. It gives up after some attempts, or some time. */
IOT_CHECK enum iot_status sim_trial_new(const struct iot_mqtt_options *options, const char *thing, int64_t now,
					struct sim_trial **ret, struct iot_error *err);
void sim_trial_free(struct sim_trial *trial);

void sim_trial_tick(struct sim_trial *trial, int64_t now);
void sim_trial_io(struct sim_trial *trial, short revents);
int64_t sim_trial_deadline(const struct sim_trial *trial);
int sim_trial_fd(const struct sim_trial *trial);
short sim_trial_poll_events(const struct sim_trial *trial);
unsigned sim_trial_connections(const struct sim_trial *trial);

enum sim_verdict sim_trial_verdict(const struct sim_trial *trial);
/* Why it does not carry, in words; "". */
const char *sim_trial_reason(const struct sim_trial *trial);

#endif
