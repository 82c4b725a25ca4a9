/*
 * The agent's inside. agent.c: life, requests and their repetition, where
 * messages go. agent_job.c: jobs, self test, reports. agent_stream.c: download.
 */
#ifndef IOTCTL_SIM_AGENT_INTERNAL_H
#define IOTCTL_SIM_AGENT_INTERNAL_H

#include "sim/agent.h"
#include "sim/download.h"
#include "sim/jobdoc.h"

/* What the agent waits for. */
enum agent_state {
	AGENT_START,     /* the first connection */
	AGENT_REPORTING, /* the answer to the end of a job */
	AGENT_ASKING,    /* the answer to start-next */
	AGENT_IDLE,      /* a notification */
	AGENT_DOWNLOADING,
	AGENT_READYING,   /* the answer to self_test ready */
	AGENT_ACTIVATING, /* the answer to self_test active */
	AGENT_ENDING      /* the board to restart */
};

/* One request under way: repeated as it is until its answer comes. */
struct agent_request {
	char *topic; /* NULL: none */
	char *payload;
	char token[48];
	int qos;
	int tries;
	int64_t due;
};

struct sim_agent {
	struct sim_agent_options options;
	char *prefix; /* "$aws/things/T/" */
	enum agent_state state;
	bool online;
	enum sim_wish wish;
	struct agent_request request;
	unsigned tokens;
	int64_t test_deadline;
	bool answered;      /* the cloud said at least once what is pending */
	bool restart_after; /* when the report is settled (or not, by report_deadline) */
	int64_t report_deadline;

	struct sim_job job;
	struct sim_download *download;
	char *data_topic;
	int64_t blocks_due; /* ask again for what did not come */
	int64_t slow_until;
	int stalls;       /* times in a row that nothing came */
	uint32_t told;    /* blocks there when progress was last told */
	uint32_t foreign; /* blocks that were none of ours */
	bool checking;    /* asked whether the job of this download is still ours */
};

/* agent.c */
void agent_say(struct sim_agent *agent, const char *event, const char *fmt, ...) IOT_PRINTF(3, 4);
bool agent_publish(struct sim_agent *agent, const char *topic, const void *payload, size_t len, int qos);
/* Begin a request and repeat it until its answer comes. Takes `body`, to which the token is added. */
void agent_ask(struct sim_agent *agent, const char *topic_tail, json_t *body, int qos, int64_t now);
void agent_stop_asking(struct sim_agent *agent);

/* agent_job.c */
void agent_next(struct sim_agent *agent, int64_t now); /* what now? a report, or the next job */
void agent_job_reply(struct sim_agent *agent, bool accepted, const json_t *reply, int64_t now);
void agent_update_reply(struct sim_agent *agent, const char *job_id, bool accepted, const json_t *reply, bool ours,
			int64_t now);
void agent_notified(struct sim_agent *agent, const json_t *reply, int64_t now);
/* Send an update that nobody waits for. */
void agent_tell(struct sim_agent *agent, const char *key, const char *value, int64_t now);
void agent_fail(struct sim_agent *agent, enum sim_fault_code code, const char *text, int64_t now);
void agent_verified(struct sim_agent *agent, int64_t now);
void agent_test_tick(struct sim_agent *agent, int64_t now);

/* agent_stream.c */
void agent_download_start(struct sim_agent *agent, int64_t now);
void agent_download_stop(struct sim_agent *agent);
void agent_download_resume(struct sim_agent *agent, int64_t now); /* connected again */
void agent_data(struct sim_agent *agent, const void *payload, size_t len, int64_t now);
void agent_download_tick(struct sim_agent *agent, int64_t now);

#endif
