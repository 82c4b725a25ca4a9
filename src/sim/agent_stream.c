/*
 * The download: windows of blocks asked for by bitmap, as many outstanding as
 * the window allows, whatever does not come asked for again. Events told here:
 * download, progress, signature.
 */
#include "sim/agent_internal.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"

#include <stdio.h>
#include <string.h>

enum {
	STALLS_MAX = 32, /* the OTA library's otaconfigMAX_NUM_REQUEST_MOMENTUM */
	STALL_DOUBLINGS = 3,
	TELL_BLOCKS = 25, /* the OTA library's */
	TELL_TIMES = 64,  /* and for large images no more often than so */
};

static void send_get(struct sim_agent *agent, const struct iot_stream_get *get)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(IOT_STREAM_REQUEST_MAX);
	IOT_CLEAN(iot_free_p)
	char *topic = iot_strf("%sstreams/%s/get/cbor", agent->prefix, agent->job.stream);

	iot_stream_get_encode(&buf, get);
	agent_publish(agent, topic, buf.data, buf.len, 0);
}

/* Requests that a careful service refuses without being hurt. */
static void play_out_of_range(struct sim_agent *agent, const struct iot_stream_get *good)
{
	struct iot_stream_get bad = *good;

	bad.offset = sim_download_blocks(agent->download) + 5;
	send_get(agent, &bad);
	bad = *good;
	bad.file = (good->file + 77) % (IOT_STREAM_FILE_ID_MAX + 1);
	send_get(agent, &bad);
	bad = *good;
	bad.size = 1;
	send_get(agent, &bad);
	bad.size = UINT64_MAX;
	send_get(agent, &bad);
}

static void ask_blocks(struct sim_agent *agent, int64_t now)
{
	struct iot_stream_get get;

	if (agent->options.faults.slow_ms > 0 && agent->slow_until == 0) {
		agent->slow_until = now + agent->options.faults.slow_ms;
		return;
	}
	if (now < agent->slow_until)
		return;
	agent->slow_until = 0;
	if (!sim_download_next(agent->download, &get))
		return;
	if (agent->options.faults.out_of_range)
		play_out_of_range(agent, &get);
	send_get(agent, &get);
}

static int64_t patience(const struct sim_agent *agent)
{
	int doublings = agent->stalls < STALL_DOUBLINGS ? agent->stalls : STALL_DOUBLINGS;

	return agent->options.request_timeout_ms << doublings;
}

static void tell_progress(struct sim_agent *agent, int64_t now)
{
	uint32_t blocks = sim_download_blocks(agent->download), have = sim_download_have(agent->download);
	uint32_t every = blocks / TELL_TIMES > TELL_BLOCKS ? blocks / TELL_TIMES : TELL_BLOCKS;
	char text[32];

	if (agent->told != 0 && have < agent->told + every)
		return;
	agent->told = have;
	snprintf(text, sizeof(text), "%u/%u", have, blocks);
	agent_tell(agent, "receive", text, now);
	agent_say(agent, "progress", "%u of %u blocks", have, blocks);
}

static void verify(struct sim_agent *agent, int64_t now)
{
	const struct sim_slots *slots = agent->options.slots;
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, sim_slots_target(slots));
	IOT_CLEAN(iot_free_p) char *map = sim_map_path(slots);
	struct iot_error err = IOT_ERROR_INIT;
	enum iot_status status = sim_download_sync(agent->download, &err);

	if (status == IOT_OK) {
		agent_download_stop(agent);
		status = iot_image_verify_file(path, agent->options.codesign_key, agent->job.scheme->name,
					       agent->job.signature, false, &err);
	}
	if (status == IOT_OK) {
		agent_say(agent, "signature", "ok");
		agent_verified(agent, now);
		return;
	}
	iot_log_error(IOT_LOG_INFO, "", &err);
	agent_say(agent, "signature", "bad");
	/* These bytes must not be taken for a complete download ever again. */
	if (iot_fs_remove(map, &err) != IOT_OK)
		iot_log_error(IOT_LOG_WARNING, "", &err);
	agent_fail(agent, SIM_FAULT_SIGNATURE, "signature check failed", now);
}

void agent_download_resume(struct sim_agent *agent, int64_t now)
{
	/* OTA agents subscribe to the data at QoS 0: a block that is lost is asked for again. */
	agent->options.port.subscribe(agent->options.port.data, agent->data_topic, 0);
	agent->stalls = 0;
	agent->blocks_due = now + patience(agent);
	sim_download_lost(agent->download);
	ask_blocks(agent, now);
}

void agent_download_start(struct sim_agent *agent, int64_t now)
{
	const struct sim_slots *slots = agent->options.slots;
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, sim_slots_target(slots));
	IOT_CLEAN(iot_free_p) char *map = sim_map_path(slots);
	const struct sim_download_options options = {
		.slot_path = path,
		.map_path = map,
		.file_id = agent->job.file_id,
		.size = agent->job.size,
		.block_size = agent->options.block_size,
		.window = agent->options.window,
		.identity = agent->job.signature,
	};
	struct iot_error err = IOT_ERROR_INIT;

	if (sim_download_new(&options, &agent->download, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "", &err);
		agent_fail(agent, SIM_FAULT_STORAGE, err.what, now);
		return;
	}
	agent->state = AGENT_DOWNLOADING;
	agent->checking = false;
	agent->told = agent->foreign = 0;
	agent->slow_until = 0;
	agent->data_topic = iot_strf("%sstreams/%s/data/cbor", agent->prefix, agent->job.stream);
	agent_say(agent, "download", "%s: %u bytes, %u of %u blocks there", agent->job.job_id, agent->job.size,
		  sim_download_have(agent->download), sim_download_blocks(agent->download));
	if (sim_download_complete(agent->download))
		verify(agent, now);
	else
		agent_download_resume(agent, now);
}

void agent_download_stop(struct sim_agent *agent)
{
	sim_download_free(agent->download);
	agent->download = NULL;
	free(agent->data_topic);
	agent->data_topic = NULL;
	agent->checking = false;
}

void agent_data(struct sim_agent *agent, const void *payload, size_t len, int64_t now)
{
	struct iot_error err = IOT_ERROR_INIT;
	enum sim_block what = SIM_BLOCK_FOREIGN;
	struct iot_stream_data data;

	if (iot_stream_data_parse(payload, len, &data, NULL) == IOT_OK &&
	    sim_download_take(agent->download, &data, &what, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "", &err);
		agent_fail(agent, SIM_FAULT_STORAGE, err.what, now);
		return;
	}
	if (what == SIM_BLOCK_FOREIGN && agent->foreign++ == 0)
		agent_say(agent, "foreign", "a block that was not asked for");
	if (what != SIM_BLOCK_NEW)
		return;
	agent->stalls = 0;
	agent->blocks_due = now + patience(agent);
	tell_progress(agent, now);
	if (sim_download_complete(agent->download))
		verify(agent, now);
	else
		ask_blocks(agent, now);
}

void agent_download_tick(struct sim_agent *agent, int64_t now)
{
	if (agent->slow_until > 0) {
		if (now < agent->slow_until)
			return;
		agent->blocks_due = now + patience(agent);
		ask_blocks(agent, now);
		return;
	}
	if (now < agent->blocks_due)
		return;
	if (++agent->stalls > STALLS_MAX) {
		agent_fail(agent, SIM_FAULT_NO_DATA, "requests for blocks are not answered", now);
		return;
	}
	agent_say(agent, "stall", "%u blocks did not come: asking again", sim_download_outstanding(agent->download));
	sim_download_lost(agent->download);
	agent->blocks_due = now + patience(agent);
	ask_blocks(agent, now);
}
