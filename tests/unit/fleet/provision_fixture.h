/*
 * A local fleet and a station's journal in a temporary folder, for the tests that
 * bring boards to the fleet: make_fleet() and remove_fleet() around each test,
 * runs whose outcome is compared in one line, and runs that are killed, for which
 * the test program is started again with its test "victim".
 */
#ifndef IOTCTL_PROVISION_FIXTURE_H
#define IOTCTL_PROVISION_FIXTURE_H

#include "iotctl/base.h"
#include "iotctl/fleet.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "unit.h"

#include <sys/wait.h>
#include <unistd.h>

static char *dir, *fleet_dir, *journal;
static struct iot_cloud *cloud;
static char line[1024]; /* of the last error */

static inline void make_fleet(void)
{
	struct iot_fleet_init_options options = {.name = "demo", .endpoint = "iot.example"};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	dir = unit_mkdtemp_memory();
	fleet_dir = iot_path(dir, "demo");
	journal = iot_path(dir, "state/journal.db");
	options.dir = fleet_dir;
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	ASSERT_OK(iot_local_open(fleet_dir, &cloud, &err), &err);
}

static inline void remove_fleet(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(fleet_dir);
	free(journal);
	dir = fleet_dir = journal = NULL;
}

/* The record, or NULL. */
static inline json_t *provision(struct iot_provision_spec spec, enum iot_status expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *record = NULL;

	ASSERT_STATUS(iot_provision(cloud, &spec, &record, &err), expected, &err);
	iot_error_line(&err, line, sizeof(line));
	return record;
}

/* Is this the victim, which lives in another's world? */
static inline bool is_victim(void)
{
	return getenv("VICTIM_POINT") != NULL;
}

/*
 * A process of its own: a forked one could not use memory while this has threads. It finds in the environment
 * VICTIM_POINT, VICTIM_FLEET, VICTIM_JOURNAL and VICTIM_PORT. The signal or status that it ended with.
 */
static inline int run_victim(const char *point, const char *port)
{
	const char *const argv[] = {"/proc/self/exe", "victim", NULL};
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		setenv("VICTIM_POINT", point, 1);
		setenv("VICTIM_FLEET", fleet_dir, 1);
		setenv("VICTIM_JOURNAL", journal, 1);
		setenv("VICTIM_PORT", port, 1);
		if (freopen("/dev/null", "w", stdout) == NULL)
			_exit(127);
		execv(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	CU_ASSERT_EQUAL(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

#endif
