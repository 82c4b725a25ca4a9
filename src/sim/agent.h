/*
 * An OTA agent as it runs on a board: asks for jobs, downloads, verifies, tests,
 * reports. It holds no connection and knows no clock: whoever runs it hands over
 * messages and the time, and publishes what it says. One agent lives as long as
 * one boot does.
 *
 * On the wire it is the FreeRTOS OTA agent: jobs/start-next, jobs/ID/update with
 * statusDetails, streams/S/get/cbor with a bitmap of blocks; replies are not
 * subscribed to, since AWS delivers them to the client that asked.
 */
#ifndef IOTCTL_SIM_AGENT_H
#define IOTCTL_SIM_AGENT_H

#include "sim/jobdoc.h"
#include "sim/slots.h"

#include <jansson.h>

/* The board under the agent. False: it could not be sent; the agent repeats what matters by itself. */
struct sim_port {
	bool (*publish)(void *data, const char *topic, const void *payload, size_t len, int qos);
	/* The state of the device, as its layout has it. Takes `state`. */
	void (*state)(void *data, json_t *state);
	bool (*subscribe)(void *data, const char *filter, int qos);
	/* Something worth telling happened; detail may be "". See the names in agent_job.c and agent_stream.c. */
	void (*event)(void *data, const char *name, const char *detail);
	void *data;
	/*
	 * Keep new trust (of a SIM_JOB_TRUST), to be tried after the restart that the agent then wishes for. NULL: this
	 * device has no such thing. The end of the job is not the agent's: it is in the slots' report one day.
	 */
	enum iot_status (*stage)(void *data, const struct sim_job *job, struct iot_error *err);
};

/* Misbehaviour to play, to test the cloud's side. */
struct sim_faults {
	bool silent;       /* says nothing but its state: takes no job */
	bool stuck;        /* takes a job and is never heard of again */
	bool twice;        /* sends every update twice */
	bool out_of_range; /* asks for blocks and files that are not there as well */
	bool foreign_job;  /* reports success for a job that is not its own as well */
	int64_t slow_ms;   /* waits so long before each request for blocks */
};

struct sim_agent_options {
	const char *thing;
	struct sim_slots *slots;
	const struct sim_booted *booted;
	const struct iot_key *codesign_key;
	uint32_t block_size, window;
	int64_t request_timeout_ms; /* an unanswered request is repeated after this */
	int64_t test_timeout_ms;    /* a self test that takes longer has failed */
	struct sim_faults faults;
	struct sim_port port;
};

/* What the agent wants the board to do. */
enum sim_wish {
	SIM_STAY,
	SIM_RESTART /* boot again: a new image is to be tested, or one under test is not wanted */
};

struct sim_agent;

/* Options are copied; what they point to must outlive the agent. */
struct sim_agent *sim_agent_new(const struct sim_agent_options *options, int64_t now);
void sim_agent_free(struct sim_agent *agent);

void sim_agent_online(struct sim_agent *agent, int64_t now);
void sim_agent_offline(struct sim_agent *agent);
void sim_agent_message(struct sim_agent *agent, const char *topic, const void *payload, size_t len, int64_t now);
/* Time has come, or not: safe to call at any time. */
void sim_agent_tick(struct sim_agent *agent, int64_t now);
/* When sim_agent_tick has something to do; INT64_MAX: never. */
int64_t sim_agent_deadline(const struct sim_agent *agent);

enum sim_wish sim_agent_wish(const struct sim_agent *agent);
/* Nothing is pending: the cloud said so, and nothing is left to report. */
bool sim_agent_idle(const struct sim_agent *agent);

#endif
