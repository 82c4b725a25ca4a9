/*
 * The agent's life: what is sent and repeated, and which part of it a message is
 * for. Replies are matched by client token, so a late answer to an earlier
 * request changes nothing.
 */
#include "sim/agent_internal.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum {
	REPEAT_MAX_MS = 30000,
	REPLY_MAX = 128 * 1024,
};

void agent_say(struct sim_agent *agent, const char *event, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	agent->options.port.event(agent->options.port.data, event, text);
}

bool agent_publish(struct sim_agent *agent, const char *topic, const void *payload, size_t len, int qos)
{
	return agent->options.port.publish(agent->options.port.data, topic, payload, len, qos);
}

static void send_request(struct sim_agent *agent, int64_t now)
{
	struct agent_request *request = &agent->request;
	int64_t wait = agent->options.request_timeout_ms;

	for (int i = 0; i < request->tries && wait < REPEAT_MAX_MS; i++)
		wait *= 2;
	request->due = now + (wait < REPEAT_MAX_MS ? wait : REPEAT_MAX_MS);
	request->tries++;
	agent_publish(agent, request->topic, request->payload, strlen(request->payload), request->qos);
	if (agent->options.faults.twice)
		agent_publish(agent, request->topic, request->payload, strlen(request->payload), request->qos);
}

void agent_stop_asking(struct sim_agent *agent)
{
	free(agent->request.topic);
	free(agent->request.payload);
	memset(&agent->request, 0, sizeof(agent->request));
}

void agent_ask(struct sim_agent *agent, const char *topic_tail, json_t *body, int qos, int64_t now)
{
	struct agent_request *request = &agent->request;
	char uuid[37];

	agent_stop_asking(agent);
	iot_uuid(uuid); /* a board that restarts must not take answers of its earlier life for its own */
	snprintf(request->token, sizeof(request->token), "%u:%.8s", ++agent->tokens, uuid);
	iot_json_set_str(body, "clientToken", request->token);
	request->topic = iot_strf("%sjobs/%s", agent->prefix, topic_tail);
	request->payload = iot_json_text(body);
	request->qos = qos;
	json_decref(body);
	send_request(agent, now);
}

struct sim_agent *sim_agent_new(const struct sim_agent_options *options, int64_t now)
{
	struct sim_agent *agent = iot_alloc(sizeof(*agent));

	agent->options = *options;
	agent->prefix = iot_strf("$aws/things/%s/", options->thing);
	agent->state = AGENT_START;
	agent->test_deadline = options->booted->boot == SIM_BOOT_TEST ? now + options->test_timeout_ms : INT64_MAX;
	return agent;
}

void sim_agent_free(struct sim_agent *agent)
{
	if (agent == NULL)
		return;
	agent_stop_asking(agent);
	agent_download_stop(agent);
	free(agent->prefix);
	free(agent);
}

static void publish_state(struct sim_agent *agent)
{
	const struct sim_booted *booted = agent->options.booted;
	json_t *state = json_object();
	char version[16];

	iot_json_set_str(state, "firmware", iot_sim_version_text(&booted->firmware, version));
	iot_json_set_str(state, "boot", sim_boot_name(booted->boot));
	iot_json_set_str(state, "slot", sim_slot_name(booted->slot));
	agent->options.port.state(agent->options.port.data, state);
}

void sim_agent_online(struct sim_agent *agent, int64_t now)
{
	IOT_CLEAN(iot_free_p) char *filter = iot_strf("%sjobs/notify-next", agent->prefix);

	if (agent->state == AGENT_ENDING)
		return;
	agent->online = true;
	publish_state(agent);
	agent->options.port.subscribe(agent->options.port.data, filter, 1);
	if (agent->options.faults.silent) {
		agent->state = AGENT_IDLE;
		return;
	}
	/* What was going on when the connection broke goes on. */
	if (agent->request.topic != NULL)
		send_request(agent, now);
	if (agent->download != NULL)
		agent_download_resume(agent, now);
	if (agent->request.topic == NULL && agent->download == NULL)
		agent_next(agent, now);
}

void sim_agent_offline(struct sim_agent *agent)
{
	agent->online = false;
}

/* "start-next/accepted" -> start-next and true. False if it is no reply. */
static bool split_reply(const char *tail, char *request, size_t size, bool *accepted)
{
	const char *slash = strrchr(tail, '/');

	if (slash == NULL || (size_t)(slash - tail) >= size)
		return false;
	*accepted = strcmp(slash, "/accepted") == 0;
	if (!*accepted && strcmp(slash, "/rejected") != 0)
		return false;
	memcpy(request, tail, (size_t)(slash - tail));
	request[slash - tail] = '\0';
	return true;
}

static void job_message(struct sim_agent *agent, const char *tail, const void *payload, size_t len, int64_t now)
{
	IOT_JSON reply = NULL;
	char request[SIM_JOB_ID_MAX + 16], *update;
	bool accepted, ours;

	if (len > REPLY_MAX || iot_json_parse(payload, len, tail, &reply, NULL) != IOT_OK || !json_is_object(reply))
		return;
	if (strcmp(tail, "notify-next") == 0) {
		agent_notified(agent, reply, now);
		return;
	}
	if (!split_reply(tail, request, sizeof(request), &accepted))
		return;
	ours = agent->request.topic != NULL &&
	       strcmp(agent->request.token, iot_json_str(reply, "clientToken", "")) == 0;
	if (strcmp(request, "start-next") == 0) {
		if (ours)
			agent_job_reply(agent, accepted, reply, now);
		return;
	}
	update = strrchr(request, '/');
	if (update != NULL && strcmp(update, "/update") == 0) {
		*update = '\0';
		agent_update_reply(agent, request, accepted, reply, ours, now);
	}
}

void sim_agent_message(struct sim_agent *agent, const char *topic, const void *payload, size_t len, int64_t now)
{
	if (!agent->online || agent->options.faults.silent || agent->state == AGENT_ENDING)
		return;
	if (agent->data_topic != NULL && strcmp(topic, agent->data_topic) == 0)
		agent_data(agent, payload, len, now);
	else if (iot_starts_with(topic, agent->prefix) && iot_starts_with(topic + strlen(agent->prefix), "jobs/"))
		job_message(agent, topic + strlen(agent->prefix) + strlen("jobs/"), payload, len, now);
}

void sim_agent_tick(struct sim_agent *agent, int64_t now)
{
	if (agent->state == AGENT_ENDING)
		return;
	if (agent->online && agent->request.topic != NULL && now >= agent->request.due)
		send_request(agent, now);
	if (agent->online && agent->download != NULL)
		agent_download_tick(agent, now);
	agent_test_tick(agent, now);
}

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t sim_agent_deadline(const struct sim_agent *agent)
{
	int64_t next = agent->test_deadline;

	if (agent->state == AGENT_ENDING)
		return INT64_MAX;
	if (agent->online && agent->request.topic != NULL)
		next = least(next, agent->request.due);
	if (agent->online && agent->download != NULL)
		next = least(next, agent->slow_until > 0 ? agent->slow_until : agent->blocks_due);
	return agent->restart_after ? least(next, agent->report_deadline) : next;
}

enum sim_wish sim_agent_wish(const struct sim_agent *agent)
{
	return agent->wish;
}

bool sim_agent_idle(const struct sim_agent *agent)
{
	return agent->state == AGENT_IDLE && agent->answered && agent->options.slots->report.job_id[0] == '\0';
}
