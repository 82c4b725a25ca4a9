/*
 * The flash of a software device and its boot loader: a factory slot, two
 * update slots, and a state file that is only ever replaced as a whole. A kill
 * between any two steps is a power cut, and the next boot finds an image that
 * runs.
 *
 * sim/ holds factory.bin slot-a.bin slot-b.bin, state.json, download.map (which
 * blocks of the inactive slot are there) and lock (held by the running device).
 */
#ifndef IOTCTL_SIM_SLOTS_H
#define IOTCTL_SIM_SLOTS_H

#include "iotctl/image.h"
#include "iotctl/json.h"

#define SIM_SLOT_SIZE (24 * 1024 * 1024) /* of an update slot: the largest file AWS streams */
#define SIM_JOB_ID_MAX 64

enum sim_slot { SIM_FACTORY, SIM_A, SIM_B };

/* Where a test of a new image stands. */
enum sim_stage {
	SIM_STAGE_NONE,
	SIM_STAGE_READY,   /* complete and verified: the next boot tests it */
	SIM_STAGE_TESTING, /* booted for a test and not confirmed: the next boot reverts it */
	SIM_STAGE_REJECTED /* failed its self test: the next boot reverts it */
};

/* Why the board starts: what a real one reads from its reset cause register. */
enum sim_reset { SIM_RESET_POWER, SIM_RESET_SOFT, SIM_RESET_CRASH, SIM_RESET_WATCHDOG };

/* What the boot loader did; reported as "boot". */
enum sim_boot { SIM_BOOT_POWER, SIM_BOOT_TEST, SIM_BOOT_FACTORY, SIM_BOOT_REVERT };

/* The end of a job, kept until the cloud has taken it. */
struct sim_report {
	char job_id[SIM_JOB_ID_MAX + 1]; /* "": nothing to report */
	char status[16];                 /* SUCCEEDED, FAILED */
	char reason[129];
	char updated_by[32]; /* "": left out */
};

struct sim_slots {
	char *dir;
	int lock_fd;
	enum sim_slot active;  /* runs when nothing is to be tested */
	enum sim_slot pending; /* meaningful unless stage is none */
	enum sim_stage stage;
	char job_id[SIM_JOB_ID_MAX + 1]; /* of the test */
	char from_version[16];           /* what ran before the test */
	struct sim_report report;
};

struct sim_booted {
	enum sim_boot boot;
	enum sim_slot slot;
	struct iot_sim_firmware firmware;
};

const char *sim_slot_name(enum sim_slot slot); /* "factory", "a", "b" */
const char *sim_boot_name(enum sim_boot boot); /* "power", "test", "factory", "revert" */

/*
 * Open (and at first use make) the flash in `dir`. The factory slot is filled
 * from `image` when it is empty: IOT_NOT_FOUND when there is none. IOT_CONFLICT:
 * another process runs this device.
 */
IOT_CHECK enum iot_status sim_slots_open(const char *dir, const char *image, struct sim_slots *ret,
					 struct iot_error *err);
void sim_slots_release(struct sim_slots *slots);

/* Path of a slot's file, new memory. */
char *sim_slot_path(const struct sim_slots *slots, enum sim_slot slot);
/* Path of the block map of a download, new memory. */
char *sim_map_path(const struct sim_slots *slots);
/* The slot an update goes to: never the one that runs or is under test. */
enum sim_slot sim_slots_target(const struct sim_slots *slots);

/*
 * Start the board: decide what runs, and write that down before it runs. With
 * factory_boot both update slots are forgotten. IOT_FAILURE only when the
 * factory image itself does not boot.
 */
IOT_CHECK enum iot_status sim_slots_boot(struct sim_slots *slots, enum sim_reset reset, bool factory_boot,
					 struct sim_booted *ret, struct iot_error *err);

/* The image in the target slot is complete and verified: the next boot tests it for this job. */
IOT_CHECK enum iot_status sim_slots_pend(struct sim_slots *slots, const char *job_id, const char *from_version,
					 struct iot_error *err);
/* The image under test is good: it is the one that runs from now on. */
IOT_CHECK enum iot_status sim_slots_commit(struct sim_slots *slots, const struct sim_report *report,
					   struct iot_error *err);
/* The image under test is not wanted: the next boot goes back. `report` may be NULL. */
IOT_CHECK enum iot_status sim_slots_reject(struct sim_slots *slots, const struct sim_report *report,
					   struct iot_error *err);
/* Keep a report until it is taken; NULL: it was. */
IOT_CHECK enum iot_status sim_slots_set_report(struct sim_slots *slots, const struct sim_report *report,
					       struct iot_error *err);

/* slots_state.c: the state file. */
IOT_CHECK enum iot_status sim_slots_load(struct sim_slots *slots, struct iot_error *err);
IOT_CHECK enum iot_status sim_slots_save(const struct sim_slots *slots, struct iot_error *err);

/* Tests only: called after every step that is on the disk. */
extern void (*sim_slots_step_hook)(const char *step);

#endif
