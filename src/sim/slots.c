/*
 * Flash and boot loader of a software device. Every decision is in the state
 * file before it is acted on; the slots themselves are only written while
 * nothing refers to them. See slots.h.
 */
#include "sim/slots.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const slot_files[] = {[SIM_FACTORY] = "factory.bin", [SIM_A] = "slot-a.bin", [SIM_B] = "slot-b.bin"};

const char *sim_boot_name(enum sim_boot boot)
{
	static const char *const names[] = {[SIM_BOOT_POWER] = "power",
					    [SIM_BOOT_TEST] = "test",
					    [SIM_BOOT_FACTORY] = "factory",
					    [SIM_BOOT_REVERT] = "revert"};
	return names[boot];
}

char *sim_slot_path(const struct sim_slots *slots, enum sim_slot slot)
{
	return iot_path(slots->dir, slot_files[slot]);
}

char *sim_map_path(const struct sim_slots *slots)
{
	return iot_path(slots->dir, "download.map");
}

enum sim_slot sim_slots_target(const struct sim_slots *slots)
{
	return slots->active == SIM_A ? SIM_B : SIM_A;
}

static void step(const char *name)
{
	if (sim_slots_step_hook != NULL)
		sim_slots_step_hook(name);
}

static enum iot_status read_slot(const struct sim_slots *slots, enum sim_slot slot, struct iot_sim_firmware *ret,
				 struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, slot);

	return iot_sim_firmware_read(path, ret, err);
}

static int copy_bytes(int from, int to)
{
	char piece[65536];
	ssize_t n;

	while ((n = read(from, piece, sizeof(piece))) > 0) {
		errno = iot_fs_write_all(to, piece, (size_t)n);
		if (errno != 0)
			return -1;
	}
	return n < 0 ? -1 : fsync(to);
}

/* Fill the factory slot; it appears complete or not at all. */
static enum iot_status install_factory(const struct sim_slots *slots, const char *image, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, SIM_FACTORY);
	IOT_CLEAN(iot_free_p) char *temporary = iot_strf("%s.tmp", path);
	IOT_CLEAN(iot_close_p) int from = -1;
	IOT_CLEAN(iot_close_p) int to = -1;
	struct iot_sim_firmware firmware;
	enum iot_status status;
	struct stat st;

	if (iot_fs_exists(path))
		return IOT_OK;
	if (image == NULL) {
		iot_fail(err, IOT_NOT_FOUND, "the device in '%s' has no firmware yet", slots->dir);
		iot_error_hint(err, "give it one with --image FILE ('iotctl sim firmware' makes it)");
		return IOT_NOT_FOUND;
	}
	status = iot_sim_firmware_read(image, &firmware, err);
	if (status != IOT_OK)
		return status;
	from = open(image, O_RDONLY | O_CLOEXEC);
	if (from < 0 || fstat(from, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot read '%s'", image);
	if (st.st_size > SIM_SLOT_SIZE)
		return iot_fail(err, IOT_USAGE, "'%s' does not fit into a slot of %d bytes", image, SIM_SLOT_SIZE);
	to = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (to < 0 || copy_bytes(from, to) != 0 || rename(temporary, path) != 0) {
		int fault = errno;

		unlink(temporary);
		return iot_fail_errno(err, IOT_FAILURE, fault, "cannot write '%s'", path);
	}
	step("factory");
	return IOT_OK;
}

enum iot_status sim_slots_open(const char *dir, const char *image, struct sim_slots *ret, struct iot_error *err)
{
	struct sim_slots slots = {.dir = iot_strdup(dir), .lock_fd = -1};
	IOT_CLEAN(iot_free_p) char *lock = iot_path(dir, "lock");
	enum iot_status status = iot_fs_mkdirs(dir, 0755, err);

	if (status == IOT_OK) {
		status = iot_fs_lock(lock, &slots.lock_fd, err);
		if (status == IOT_CONFLICT)
			iot_fail(err, IOT_CONFLICT, "the device in '%s' runs already", dir);
	}
	if (status == IOT_OK)
		status = install_factory(&slots, image, err);
	if (status == IOT_OK)
		status = sim_slots_load(&slots, err);
	if (status != IOT_OK) {
		sim_slots_release(&slots);
		return status;
	}
	*ret = slots;
	return IOT_OK;
}

void sim_slots_release(struct sim_slots *slots)
{
	if (slots == NULL || slots->dir == NULL)
		return;
	iot_close_p(&slots->lock_fd);
	slots->lock_fd = -1;
	free(slots->dir);
	slots->dir = NULL;
}

/* The state file goes first: from then on nothing refers to what is removed after it. */
static enum iot_status forget_updates(struct sim_slots *slots, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *a = sim_slot_path(slots, SIM_A);
	IOT_CLEAN(iot_free_p) char *b = sim_slot_path(slots, SIM_B);
	IOT_CLEAN(iot_free_p) char *map = sim_map_path(slots);
	enum iot_status status;

	slots->active = SIM_FACTORY;
	slots->stage = SIM_STAGE_NONE;
	memset(&slots->report, 0, sizeof(slots->report));
	status = sim_slots_save(slots, err);
	if (status == IOT_OK)
		status = iot_fs_remove(map, err);
	step("map removed");
	if (status == IOT_OK)
		status = iot_fs_remove(a, err);
	step("a removed");
	if (status == IOT_OK)
		status = iot_fs_remove(b, err);
	step("b removed");
	return status;
}

static const char *revert_reason(const struct sim_slots *slots, enum sim_reset reset)
{
	if (slots->stage == SIM_STAGE_READY)
		return "image does not boot";
	switch (reset) {
	case SIM_RESET_CRASH:
		return "image crashed before its self test";
	case SIM_RESET_WATCHDOG:
		return "watchdog reset before its self test";
	case SIM_RESET_SOFT:
		return "image restarted before its self test";
	default:
		return "power was lost before its self test";
	}
}

/* Go back to the active slot. The cloud is told why, unless it was already. */
static enum iot_status revert(struct sim_slots *slots, enum sim_reset reset, struct iot_error *err)
{
	if (slots->stage != SIM_STAGE_REJECTED) {
		memset(&slots->report, 0, sizeof(slots->report));
		strcpy(slots->report.job_id, slots->job_id);
		strcpy(slots->report.status, "FAILED");
		snprintf(slots->report.reason, sizeof(slots->report.reason), "0x00000011: reverted: %s",
			 revert_reason(slots, reset));
	}
	slots->stage = SIM_STAGE_NONE;
	return sim_slots_save(slots, err);
}

/* Boot what is active; if it has become unreadable, the factory image. */
static enum iot_status boot_active(struct sim_slots *slots, enum sim_boot boot, struct sim_booted *ret,
				   struct iot_error *err)
{
	enum iot_status status;

	ret->boot = boot;
	ret->slot = slots->active;
	status = read_slot(slots, slots->active, &ret->firmware, err);
	if (status == IOT_OK)
		return IOT_OK;
	if (slots->active != SIM_FACTORY) {
		slots->active = SIM_FACTORY;
		status = sim_slots_save(slots, err);
		if (status == IOT_OK)
			status = read_slot(slots, SIM_FACTORY, &ret->firmware, err);
	}
	ret->boot = SIM_BOOT_FACTORY;
	ret->slot = SIM_FACTORY;
	if (status != IOT_OK) {
		iot_error_while(err, "booting the factory image");
		return IOT_FAILURE;
	}
	return IOT_OK;
}

enum iot_status sim_slots_boot(struct sim_slots *slots, enum sim_reset reset, bool factory_boot, struct sim_booted *ret,
			       struct iot_error *err)
{
	enum iot_status status;

	if (factory_boot) {
		status = forget_updates(slots, err);
		return status == IOT_OK ? boot_active(slots, SIM_BOOT_FACTORY, ret, err) : status;
	}
	if (slots->stage == SIM_STAGE_NONE)
		return boot_active(slots, SIM_BOOT_POWER, ret, err);
	if (slots->stage == SIM_STAGE_READY && read_slot(slots, slots->pending, &ret->firmware, NULL) == IOT_OK) {
		/* Written before it runs: whatever happens from here on, the next boot goes back. */
		slots->stage = SIM_STAGE_TESTING;
		ret->boot = SIM_BOOT_TEST;
		ret->slot = slots->pending;
		return sim_slots_save(slots, err);
	}
	status = revert(slots, reset, err);
	return status == IOT_OK ? boot_active(slots, SIM_BOOT_REVERT, ret, err) : status;
}

enum iot_status sim_slots_pend(struct sim_slots *slots, const char *job_id, const char *from_version,
			       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *map = sim_map_path(slots);
	enum iot_status status;

	if (slots->stage != SIM_STAGE_NONE)
		return iot_fail(err, IOT_CONFLICT, "an image is under test already");
	slots->pending = sim_slots_target(slots);
	slots->stage = SIM_STAGE_READY;
	snprintf(slots->job_id, sizeof(slots->job_id), "%s", job_id);
	snprintf(slots->from_version, sizeof(slots->from_version), "%s", from_version);
	status = sim_slots_save(slots, err);
	if (status == IOT_OK)
		status = iot_fs_remove(map, err);
	step("map removed");
	return status;
}

enum iot_status sim_slots_commit(struct sim_slots *slots, const struct sim_report *report, struct iot_error *err)
{
	if (slots->stage != SIM_STAGE_TESTING)
		return iot_fail(err, IOT_CONFLICT, "no image is under test");
	slots->active = slots->pending;
	slots->stage = SIM_STAGE_NONE;
	slots->report = *report;
	return sim_slots_save(slots, err);
}

enum iot_status sim_slots_reject(struct sim_slots *slots, const struct sim_report *report, struct iot_error *err)
{
	if (slots->stage != SIM_STAGE_TESTING)
		return iot_fail(err, IOT_CONFLICT, "no image is under test");
	slots->stage = SIM_STAGE_REJECTED;
	if (report != NULL)
		slots->report = *report;
	return sim_slots_save(slots, err);
}

enum iot_status sim_slots_set_report(struct sim_slots *slots, const struct sim_report *report, struct iot_error *err)
{
	if (report != NULL)
		slots->report = *report;
	else
		memset(&slots->report, 0, sizeof(slots->report));
	return sim_slots_save(slots, err);
}
