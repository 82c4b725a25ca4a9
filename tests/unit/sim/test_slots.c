/*
 * The boot loader: what boots after what, and that something boots and nothing
 * is lost whichever step the power fails after.
 */
#include "iotctl/base.h"
#include "sim/slots.h"
#include "unit.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir, *sim_dir, *image;

static void write_image(const char *path, const char *version, enum iot_sim_behaviour behaviour)
{
	struct iot_sim_firmware firmware = {.size = 1000, .behaviour = behaviour};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_sim_version_parse(version, &firmware, &err), &err);
	ASSERT_OK(iot_sim_firmware_write(path, &firmware, &err), &err);
}

static void set_up(void)
{
	dir = unit_mkdtemp();
	sim_dir = iot_path(dir, "sim");
	image = iot_path(dir, "factory-image.bin");
	write_image(image, "1.0.0", IOT_SIM_OK);
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(sim_dir);
	free(image);
}

static void open_slots(struct sim_slots *slots)
{
	struct iot_error err = IOT_ERROR_INIT;

	memset(slots, 0, sizeof(*slots));
	slots->lock_fd = -1;
	ASSERT_OK(sim_slots_open(sim_dir, image, slots, &err), &err);
}

static void fill_target(const struct sim_slots *slots, const char *version)
{
	IOT_CLEAN(iot_free_p) char *path = sim_slot_path(slots, sim_slots_target(slots));

	write_image(path, version, IOT_SIM_OK);
}

static void assert_boots(struct sim_slots *slots, enum sim_reset reset, enum sim_boot boot, const char *version)
{
	struct sim_booted booted = {0};
	struct iot_error err = IOT_ERROR_INIT;
	char text[16];

	ASSERT_OK(sim_slots_boot(slots, reset, false, &booted, &err), &err);
	CU_ASSERT_STRING_EQUAL(sim_boot_name(booted.boot), sim_boot_name(boot));
	CU_ASSERT_STRING_EQUAL(iot_sim_version_text(&booted.firmware, text), version);
}

/* A restart: what is in memory is gone. */
static void restart(struct sim_slots *slots)
{
	sim_slots_release(slots);
	open_slots(slots);
}

static const struct sim_report success = {.job_id = "job-1", .status = "SUCCEEDED", .reason = "accepted v1.1.0"};

static void test_first_start(void)
{
	struct sim_slots slots = {.lock_fd = -1}, second = {.lock_fd = -1};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(sim_slots_open(sim_dir, NULL, &slots, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.hint, "--image");
	open_slots(&slots);
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.0.0");
	ASSERT_STATUS(sim_slots_open(sim_dir, image, &second, &err), IOT_CONFLICT, &err);
	sim_slots_release(&slots);
	ASSERT_OK(sim_slots_open(sim_dir, NULL, &slots, &err), &err); /* needed at the first start only */
	sim_slots_release(&slots);
}

static void test_not_an_image(void)
{
	struct sim_slots slots = {.lock_fd = -1};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(image, 0644, "no image", 8, &err), &err);
	ASSERT_STATUS(sim_slots_open(sim_dir, image, &slots, &err), IOT_USAGE, &err);
}

static void test_update_is_accepted(void)
{
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.0.0");
	fill_target(&slots, "1.1.0");
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	restart(&slots);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_TEST, "1.1.0");
	ASSERT_OK(sim_slots_commit(&slots, &success, &err), &err);
	restart(&slots);
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.1.0");
	CU_ASSERT_STRING_EQUAL(slots.report.status, "SUCCEEDED");
	ASSERT_OK(sim_slots_set_report(&slots, NULL, &err), &err);
	restart(&slots);
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "");
	/* The next update goes to the other slot. */
	CU_ASSERT_NOT_EQUAL(sim_slots_target(&slots), slots.active);
	CU_ASSERT_NOT_EQUAL(sim_slots_target(&slots), SIM_FACTORY);
	sim_slots_release(&slots);
}

static void assert_reverts(enum sim_reset reset, const char *reason)
{
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	fill_target(&slots, "1.1.0");
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_TEST, "1.1.0");
	restart(&slots);
	assert_boots(&slots, reset, SIM_BOOT_REVERT, "1.0.0");
	CU_ASSERT_STRING_EQUAL(slots.report.status, "FAILED");
	CU_ASSERT_STRING_EQUAL(slots.report.job_id, "job-1");
	ASSERT_CONTAINS(slots.report.reason, reason);
	restart(&slots);
	CU_ASSERT_STRING_EQUAL(slots.report.status, "FAILED"); /* until the cloud has taken it */
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.0.0");
	sim_slots_release(&slots);
	ASSERT_OK(iot_fs_remove_tree(sim_dir, &err), &err);
}

static void test_reverts(void)
{
	assert_reverts(SIM_RESET_CRASH, "crashed");
	assert_reverts(SIM_RESET_WATCHDOG, "watchdog");
	assert_reverts(SIM_RESET_POWER, "power");
}

static void test_rejected_by_itself(void)
{
	const struct sim_report report = {.job_id = "job-1", .status = "FAILED", .reason = "self test failed"};
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	fill_target(&slots, "1.1.0");
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_TEST, "1.1.0");
	ASSERT_OK(sim_slots_reject(&slots, &report, &err), &err);
	restart(&slots);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_REVERT, "1.0.0");
	CU_ASSERT_STRING_EQUAL(slots.report.reason, "self test failed"); /* not overwritten */
	sim_slots_release(&slots);
}

static void test_image_that_does_not_boot(void)
{
	IOT_CLEAN(iot_free_p) char *path = NULL;
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	path = sim_slot_path(&slots, sim_slots_target(&slots));
	ASSERT_OK(iot_fs_write(path, 0644, "rubbish", 7, &err), &err);
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_REVERT, "1.0.0");
	ASSERT_CONTAINS(slots.report.reason, "does not boot");
	sim_slots_release(&slots);
}

static void test_factory_boot(void)
{
	IOT_CLEAN(iot_free_p) char *a = NULL;
	struct sim_booted booted = {0};
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	a = sim_slot_path(&slots, SIM_A);
	fill_target(&slots, "1.1.0");
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_TEST, "1.1.0");
	ASSERT_OK(sim_slots_commit(&slots, &success, &err), &err);
	ASSERT_OK(sim_slots_boot(&slots, SIM_RESET_POWER, true, &booted, &err), &err);
	CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_FACTORY);
	CU_ASSERT_EQUAL(booted.slot, SIM_FACTORY);
	CU_ASSERT_FALSE(iot_fs_exists(a));
	restart(&slots);
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.0.0");
	sim_slots_release(&slots);
}

static void test_damage(void)
{
	IOT_CLEAN(iot_free_p) char *state = iot_path(sim_dir, "state.json");
	IOT_CLEAN(iot_free_p) char *a = NULL;
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"{\"version\":2,\"active\":\"a\",\"stage\":\"none\"}",
		"{\"version\":1,\"active\":\"c\",\"stage\":\"none\"}",
		"{\"version\":1,\"active\":\"a\",\"stage\":\"ready\",\"pending\":\"a\"}",
		"{\"version\":1,\"active\":\"a\",\"stage\":\"ready\",\"pending\":\"factory\"}"};
	struct sim_slots slots;
	struct iot_error err = IOT_ERROR_INIT;

	open_slots(&slots);
	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		ASSERT_OK(iot_fs_write(state, 0644, bad[i], strlen(bad[i]), &err), &err);
		restart(&slots);
		assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_POWER, "1.0.0");
	}
	/* The slot that runs has become unreadable. */
	fill_target(&slots, "1.1.0");
	ASSERT_OK(sim_slots_pend(&slots, "job-1", "1.0.0", &err), &err);
	assert_boots(&slots, SIM_RESET_SOFT, SIM_BOOT_TEST, "1.1.0");
	ASSERT_OK(sim_slots_commit(&slots, &success, &err), &err);
	a = sim_slot_path(&slots, slots.active);
	ASSERT_OK(iot_fs_remove(a, &err), &err);
	assert_boots(&slots, SIM_RESET_POWER, SIM_BOOT_FACTORY, "1.0.0");
	sim_slots_release(&slots);
}

/* --- power cuts ----------------------------------------------------------------- */

static int steps_left;

static void power_cut(const char *step)
{
	(void)step;
	if (--steps_left == 0)
		_exit(42);
}

/* A whole life: two updates, one accepted and one that crashes, reports, a factory boot. Runs in a child. */
static int live(void)
{
	struct sim_slots slots = {.lock_fd = -1};
	struct sim_booted booted;
	bool bad = sim_slots_open(sim_dir, image, &slots, NULL) != IOT_OK;
	IOT_CLEAN(iot_free_p) char *path = NULL;
	struct iot_sim_firmware firmware = {.size = 1000, .major = 1, .minor = 1};

	bad = bad || sim_slots_boot(&slots, SIM_RESET_POWER, false, &booted, NULL) != IOT_OK;
	path = sim_slot_path(&slots, sim_slots_target(&slots));
	bad = bad || iot_sim_firmware_write(path, &firmware, NULL) != IOT_OK ||
	      sim_slots_pend(&slots, "job-1", "1.0.0", NULL) != IOT_OK ||
	      sim_slots_boot(&slots, SIM_RESET_SOFT, false, &booted, NULL) != IOT_OK ||
	      sim_slots_commit(&slots, &success, NULL) != IOT_OK || sim_slots_set_report(&slots, NULL, NULL) != IOT_OK;
	free(path);
	path = sim_slot_path(&slots, sim_slots_target(&slots));
	firmware.minor = 2;
	bad = bad || iot_sim_firmware_write(path, &firmware, NULL) != IOT_OK ||
	      sim_slots_pend(&slots, "job-2", "1.1.0", NULL) != IOT_OK ||
	      sim_slots_boot(&slots, SIM_RESET_SOFT, false, &booted, NULL) != IOT_OK ||
	      sim_slots_boot(&slots, SIM_RESET_CRASH, false, &booted, NULL) != IOT_OK ||
	      sim_slots_set_report(&slots, NULL, NULL) != IOT_OK ||
	      sim_slots_boot(&slots, SIM_RESET_POWER, true, &booted, NULL) != IOT_OK;
	sim_slots_release(&slots);
	return bad;
}

/* After a cut: it boots, an image that was not confirmed does not run on, and what happened to its job is told. */
static void assert_sound(int cut)
{
	struct sim_slots slots;
	struct sim_booted booted = {0};
	struct iot_error err = IOT_ERROR_INIT;
	enum sim_stage stage;

	open_slots(&slots);
	stage = slots.stage;
	ASSERT_OK(sim_slots_boot(&slots, SIM_RESET_POWER, false, &booted, &err), &err);
	if (stage == SIM_STAGE_TESTING) {
		CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_REVERT);
		CU_ASSERT_STRING_EQUAL(slots.report.status, "FAILED");
	}
	if (booted.boot == SIM_BOOT_TEST) {
		CU_ASSERT_EQUAL(stage, SIM_STAGE_READY);
		ASSERT_OK(sim_slots_boot(&slots, SIM_RESET_POWER, false, &booted, &err), &err);
		CU_ASSERT_EQUAL(booted.boot, SIM_BOOT_REVERT);
	}
	CU_ASSERT_EQUAL(slots.stage, SIM_STAGE_NONE);
	CU_ASSERT_EQUAL(booted.slot, slots.active);
	if (CU_get_number_of_failures() > 0)
		fprintf(stderr, "after step %d\n", cut);
	sim_slots_release(&slots);
}

static void test_power_cut_after_every_step(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int cut, status = 0;

	for (cut = 1; cut < 100; cut++) {
		pid_t pid = fork();

		if (pid == 0) {
			steps_left = cut;
			sim_slots_step_hook = power_cut;
			_exit(live());
		}
		CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
		CU_ASSERT_TRUE(WIFEXITED(status));
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 42)
			break;
		assert_sound(cut);
		ASSERT_OK(iot_fs_remove_tree(sim_dir, &err), &err);
	}
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0); /* the uncut life went well */
	CU_ASSERT_TRUE(cut > 12);
}

UNIT_MAIN("sim/slots", set_up, tear_down, {"first-start", test_first_start}, {"not-an-image", test_not_an_image},
	  {"update-is-accepted", test_update_is_accepted}, {"reverts", test_reverts},
	  {"rejected-by-itself", test_rejected_by_itself}, {"image-that-does-not-boot", test_image_that_does_not_boot},
	  {"factory-boot", test_factory_boot}, {"damage", test_damage},
	  {"power-cut-after-every-step", test_power_cut_after_every_step})
