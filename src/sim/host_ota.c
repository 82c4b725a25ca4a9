/*
 * The host's updates. It gives its permission, fetches the image block by block
 * (checksums compared, a damaged block read again from its address), checks the
 * signature itself where the module shows the job, and tests the image in its
 * other slot; the module hears CLOSE or FLUSH only when that is in the flash.
 */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/log.h"
#include "sim/host.h"
#include "sim/jobdoc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { READ_TRIES = 10, READ_SIZE = 1024, READ_MIN = 32, NO_IMAGE = 19 };

#define JOB_UNKNOWN "host-update" /* where the module does not show the job */

/* One update that the module offers. */
struct offer {
	bool shown;         /* the module shows the job */
	struct sim_job job; /* scheme NULL: not signed */
};

static enum iot_status query(struct sim_host *host, const char *command, enum iot_el_ota *ret_state,
			     struct iot_buf *ret_text, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	struct iot_buf detail = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status = host_ask(host, command, NULL, 0, false, &answer, err);
	const char *text;
	size_t len;

	if (status == IOT_OK && answer.ok) {
		if (!iot_el_unescape(iot_buf_str(&answer.text), answer.text.len, &detail) ||
		    !iot_el_ota_parse(iot_buf_str(&detail), detail.len, ret_state, &text, &len))
			status = iot_fail(err, IOT_BOARD, "the module's update state is malformed");
		else if (ret_text != NULL)
			iot_buf_add(ret_text, text, len);
	} else if (status == IOT_OK && ret_text == NULL) {
		status = iot_fail(err, IOT_BOARD, "the module does not tell its update state");
	}
	iot_buf_release(&detail);
	iot_at_answer_release(&answer);
	return status;
}

/* The job, as far as this module shows it: its document is read as the module itself reads it. */
static enum iot_status read_offer(struct sim_host *host, struct offer *ret, struct iot_error *err)
{
	struct iot_buf text = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_el_ota state;
	enum iot_status status = query(host, "OTA? DOC", &state, &text, err);
	const char *json = strchr(iot_buf_str(&text), '{');
	IOT_JSON document = NULL;
	IOT_JSON reply = NULL;
	struct sim_fault fault;

	memset(ret, 0, sizeof(*ret));
	snprintf(ret->job.job_id, sizeof(ret->job.job_id), "%s", JOB_UNKNOWN);
	if (status == IOT_OK && json != NULL &&
	    iot_json_parse(json, strlen(json), "job document", &document, NULL) == IOT_OK) {
		reply = json_pack("{s:{s:s, s:O}}", "execution", "jobId", JOB_UNKNOWN, "jobDocument", document);
		ret->shown = sim_job_read_module(reply, &ret->job, &fault) == SIM_JOB_OTA;
	}
	iot_buf_release(&text);
	return status;
}

/* --- the end of an update ---------------------------------------------------------------- */

static enum iot_status tell_end(struct sim_host *host, struct iot_error *err)
{
	const struct sim_report *report = &host->slots.report;
	bool good = strcmp(report->status, "SUCCEEDED") == 0;
	enum iot_status status = host_do(host, good ? "OTA CLOSE" : "OTA FLUSH", NULL, err);

	if (status != IOT_OK)
		return status;
	host_say(host, "reported", "%s: %s", report->status, report->reason);
	host->last_update = good ? IOT_OK : strstr(report->reason, "signature") != NULL ? IOT_VERIFY : IOT_FAILURE;
	if (host->options.once)
		host->next = HOST_ENDS;
	return sim_slots_set_report(&host->slots, NULL, err);
}

static struct sim_report make_report(const char *status, const char *reason)
{
	struct sim_report report = {.job_id = JOB_UNKNOWN};

	snprintf(report.status, sizeof(report.status), "%s", status);
	snprintf(report.reason, sizeof(report.reason), "%s", reason);
	return report;
}

static enum iot_status refuse(struct sim_host *host, const char *reason, struct iot_error *err)
{
	const struct sim_report report = make_report("FAILED", reason);
	enum iot_status status = sim_slots_set_report(&host->slots, &report, err);

	host_say(host, "failed", "%s", reason);
	return status == IOT_OK ? tell_end(host, err) : status;
}

/* --- fetching ------------------------------------------------------------------------------ */

static enum iot_status seek(struct sim_host *host, uint32_t address, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	char command[32];
	enum iot_status status;
	uint32_t at;

	snprintf(command, sizeof(command), "OTA SEEK %u", address);
	status = host_ask(host, command, NULL, 0, false, &answer, err);
	if (status == IOT_OK &&
	    (!answer.ok || !iot_el_seek_parse(iot_buf_str(&answer.text), answer.text.len, &at) || at != address))
		status = iot_fail(err, IOT_BOARD, "the module did not go to address %u of the image", address);
	iot_at_answer_release(&answer);
	return status;
}

/* The block at `address`; an empty one is the end. What was damaged on the way is read again, in smaller pieces. */
static enum iot_status read_block(struct sim_host *host, uint32_t address, struct iot_buf *block, struct iot_error *err)
{
	struct iot_at_answer answer = IOT_AT_ANSWER_INIT;
	enum iot_status status = IOT_BOARD;
	int size = host->options.read_size > 0 ? host->options.read_size : READ_SIZE;
	char command[32];

	for (int i = 0; i < READ_TRIES && (status == IOT_BOARD || status == IOT_TIMEOUT); i++) {
		iot_buf_clear(block);
		status = i > 0 ? seek(host, address, err) : IOT_OK;
		if (status != IOT_OK)
			continue;
		snprintf(command, sizeof(command), "OTA READ %d", size);
		size = size / 2 > READ_MIN ? size / 2 : READ_MIN;
		status = host_ask(host, command, NULL, 0, true, &answer, err); /* once: it moves the address */
		if (status != IOT_OK)
			continue;
		if (!answer.ok && answer.code == NO_IMAGE) {
			status = iot_fail(err, IOT_NOT_FOUND, "the module has no image any more");
		} else if (!answer.ok || !iot_el_read_parse(iot_buf_str(&answer.text), answer.text.len, block)) {
			host_say(host, "damaged", "a block at %u", address);
			status = iot_fail(err, IOT_BOARD, "a block of the image comes damaged every time");
		}
	}
	iot_at_answer_release(&answer);
	return status;
}

static enum iot_status fetch(struct sim_host *host, const char *path, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	struct iot_buf block = IOT_BUF_INIT(IOT_SERIAL_LINE_MAX);
	enum iot_status status;
	uint32_t address = 0;

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot write slot '%s'", path);
	status = seek(host, 0, err);
	while (status == IOT_OK) {
		status = read_block(host, address, &block, err);
		if (status != IOT_OK || block.len == 0)
			break;
		if (address + block.len > SIM_SLOT_SIZE)
			status = iot_fail(err, IOT_VERIFY, "the image does not fit into a slot");
		else if (write(fd, block.data, block.len) != (ssize_t)block.len)
			status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write slot '%s'", path);
		address += (uint32_t)block.len;
	}
	iot_buf_release(&block);
	if (status == IOT_OK && fsync(fd) != 0)
		status = iot_fail_errno(err, IOT_FAILURE, errno, "cannot write slot '%s'", path);
	if (status == IOT_OK)
		host_say(host, "fetched", "%u bytes", address);
	return status;
}

/* NULL, or why this image is not to be run. */
static const char *judge_image(struct sim_host *host, const struct offer *offer, const char *path)
{
	struct iot_sim_firmware firmware;

	if (host->key != NULL && (!offer->shown || offer->job.scheme == NULL))
		return "0x000000e3: the signature is not shown";
	if (host->key != NULL && iot_image_verify_file(path, host->key, offer->job.scheme->name, offer->job.signature,
						       false, NULL) != IOT_OK)
		return "0x000000e3: signature check failed";
	if (iot_sim_firmware_read(path, &firmware, NULL) != IOT_OK)
		return "0x000000e8: not an image of this host";
	return NULL;
}

static enum iot_status take_image(struct sim_host *host, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(&host->slots, sim_slots_target(&host->slots));
	struct offer offer;
	char version[16];
	const char *fault;
	enum iot_status status = read_offer(host, &offer, err);

	if (status == IOT_OK)
		status = fetch(host, path, err);
	if (status == IOT_VERIFY)
		return refuse(host, "0x00000017: the image does not fit into a slot", err);
	if (status == IOT_NOT_FOUND) { /* withdrawn meanwhile */
		host_say(host, "gone", "%s", "");
		iot_error_clear(err);
		return IOT_OK;
	}
	if (status != IOT_OK)
		return status;
	fault = judge_image(host, &offer, path);
	if (fault != NULL)
		return refuse(host, fault, err);
	host_say(host, "signature", "%s", host->key != NULL ? "ok" : "left to the module");
	status = sim_slots_pend(&host->slots, JOB_UNKNOWN, iot_sim_version_text(&host->booted.firmware, version), err);
	if (status == IOT_OK)
		host->next = HOST_RESTARTS;
	return status;
}

/* --- testing -------------------------------------------------------------------------------- */

/* The image under test runs, and the module answers it: what is left to ask is whether it is newer. */
static enum iot_status self_test(struct sim_host *host, struct iot_error *err)
{
	struct iot_sim_firmware before = {0};
	struct sim_report report;
	char version[16], reason[96];

	iot_sim_version_text(&host->booted.firmware, version);
	if (iot_sim_version_parse(host->slots.from_version, &before, NULL) == IOT_OK &&
	    iot_sim_version_number(&host->booted.firmware) <= iot_sim_version_number(&before))
		snprintf(reason, sizeof(reason), "rejected v%s: it is not newer than v%s", version,
			 host->slots.from_version);
	else if (host->booted.firmware.behaviour == IOT_SIM_FAIL_TEST)
		snprintf(reason, sizeof(reason), "rejected v%s: self test failed", version);
	else {
		snprintf(reason, sizeof(reason), "accepted v%s", version);
		report = make_report("SUCCEEDED", reason);
		host_say(host, "accepted", "%s", version);
		return sim_slots_commit(&host->slots, &report, err);
	}
	report = make_report("FAILED", reason);
	host_say(host, "rejected", "%s", reason);
	host->next = HOST_RESTARTS;
	return sim_slots_reject(&host->slots, &report, err);
}

enum iot_status host_update(struct sim_host *host, struct iot_error *err)
{
	enum iot_el_ota state;
	enum iot_status status = query(host, "OTA?", &state, NULL, err);

	if (status == IOT_OK && host->slots.stage == SIM_STAGE_TESTING)
		status = self_test(host, err);
	if (status != IOT_OK || host->next != HOST_GOES_ON)
		return status;
	if (host->slots.report.job_id[0] != '\0')
		return tell_end(host, err);
	switch (state) {
	case IOT_EL_OTA_MODULE:
	case IOT_EL_OTA_HOST:
		host_say(host, "update", "%s", iot_el_ota_text(state));
		return host_do(host, "OTA ACCEPT", NULL, err);
	case IOT_EL_OTA_READY:
		host_say(host, "update", "%s", iot_el_ota_text(state));
		return host_do(host, "OTA APPLY", NULL, err);
	case IOT_EL_OTA_IMAGE:
		return take_image(host, err);
	default:
		return IOT_OK;
	}
}
