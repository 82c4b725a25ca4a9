/* What simulators tell: with -o jsonl a line on stdout for each event; else they log for people. */
#ifndef IOTCTL_COMMAND_SIM_EVENTS_H
#define IOTCTL_COMMAND_SIM_EVENTS_H

#include "iotctl/cli.h"

/* `ctx` of a command, as a simulator hands it back. */
typedef void sim_event(const char *name, const char *detail, void *ctx);

/* *ret: what to hand to the simulator; NULL: nobody wants events. */
IOT_CHECK enum iot_status sim_events_begin(struct cli_context *ctx, sim_event **ret, struct iot_error *err);
/* Of one device of several; thing NULL: of the only one. */
void sim_events_print(struct cli_context *ctx, const char *thing, const char *name, const char *detail);
/* After the run, with its status, which is returned. */
IOT_CHECK enum iot_status sim_events_end(struct cli_context *ctx, enum iot_status status, struct iot_error *err);

#endif
