/*
 * Making and deleting devices and fleets, killed at every point where something
 * has reached the disk: what is there afterwards has power only if it is whole,
 * and the same call finishes it.
 */
#include "iotctl/fleet.h"
#include "iotctl/local.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/fs.h"
#include "unit.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir, *fleet_dir, *folder;
static struct iot_error err;

/* --- killing ------------------------------------------------------------------------ */

static int syncs_left = -1; /* before the process kills itself; -1: it does not */

static void count_sync(void)
{
	if (syncs_left > 0 && --syncs_left == 0)
		raise(SIGKILL);
}

/* In place of the C library's, for this program and for SQLite. */
__attribute__((visibility("default"))) int fsync(int fd)
{
	count_sync();
	return (int)syscall(SYS_fsync, fd);
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	count_sync();
	return (int)syscall(SYS_fdatasync, fd);
}

/* Run it in a child that dies before its nth sync. True if it lived long enough to end well. */
static bool survives(enum iot_status (*run)(void), int n)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		syncs_left = n;
		_exit(run());
	}
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
		return false;
	CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == IOT_OK);
	return true;
}

/* --- a fleet -------------------------------------------------------------------------- */

static enum iot_status make_fleet(void)
{
	struct iot_fleet_init_options options = {.name = "demo", .dir = fleet_dir};
	IOT_JSON record = NULL;

	return iot_fleet_init(&options, &record, &err);
}

static struct iot_cloud *open_fleet(void)
{
	struct iot_cloud *cloud = NULL;

	ASSERT_OK(iot_local_open(fleet_dir, &cloud, &err), &err);
	return cloud;
}

static void set_up(void)
{
	dir = unit_mkdtemp_memory();
	fleet_dir = iot_path(dir, "demo");
	folder = iot_path(dir, "pump-0001");
	iot_error_clear(&err);
}

static void tear_down(void)
{
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	free(fleet_dir);
	free(folder);
}

static enum iot_status make_device(struct iot_cloud *cloud, json_t **ret)
{
	static const char *const policies[] = {"device", NULL};
	struct iot_device_spec spec = {.name = "pump-0001", .type = "pump", .policies = policies, .out = folder};

	return iot_device_create(cloud, &spec, ret, &err);
}

static enum iot_status create(void)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = open_fleet();
	IOT_JSON record = NULL;

	return make_device(cloud, &record);
}

static enum iot_status delete (void) {
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = open_fleet(); IOT_JSON record = NULL;

	return iot_device_delete(cloud, "pump-0001", &record, &err);
}

/* The members `items` of a reply. */
static json_t *listed(struct iot_cloud *cloud, const char *operation, json_t *request, const char *items)
{
	IOT_JSON reply = NULL;
	json_t *list;

	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, &reply, NULL, &err), &err);
	json_decref(request);
	list = json_object_get(reply, items);
	return json_incref(list);
}

/* Every certificate belongs to a device and has its policy. Returns how many there are. */
static size_t check_certificates(void)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = open_fleet();
	IOT_JSON certificates = listed(cloud, "ListCertificates", json_object(), "certificates");
	json_t *certificate;
	size_t i;

	json_array_foreach(certificates, i, certificate) {
		const char *arn = iot_json_str(certificate, "certificateArn", "");
		IOT_JSON things = listed(cloud, "ListPrincipalThings", json_pack("{s:s}", "principal", arn), "things");
		IOT_JSON policies =
			listed(cloud, "ListAttachedPolicies", json_pack("{s:s}", "target", arn), "policies");

		CU_ASSERT_EQUAL(json_array_size(things), 1);
		CU_ASSERT_EQUAL(json_array_size(policies), 1);
		CU_ASSERT_STRING_EQUAL(iot_json_str(certificate, "status", ""), "ACTIVE");
	}
	return json_array_size(certificates);
}

/* --- tests ------------------------------------------------------------------------------ */

static void test_create_killed(void)
{
	int n = 1;

	ASSERT_OK(make_fleet(), &err);
	for (bool lived = false; !lived && n < 100; n++) {
		lived = survives(create, n);
		CU_ASSERT_TRUE(check_certificates() <= 1);
		ASSERT_OK(create(), &err);
		CU_ASSERT_EQUAL(check_certificates(), 1);
		ASSERT_OK(delete (), &err);
		ASSERT_OK(iot_fs_remove_tree(folder, &err), &err);
	}
	CU_ASSERT_TRUE(n > 8); /* key, certificate, thing, registration, folder */
}

static void test_delete_killed(void)
{
	int n = 1;

	ASSERT_OK(make_fleet(), &err);
	for (bool lived = false; !lived && n < 100; n++) {
		ASSERT_OK(create(), &err);
		lived = survives(delete, n);
		if (check_certificates() > 0)
			ASSERT_OK(delete (), &err);
		CU_ASSERT_EQUAL(check_certificates(), 0);
		ASSERT_STATUS(delete (), IOT_NOT_FOUND, &err);
		iot_error_clear(&err);
	}
	CU_ASSERT_TRUE(n > 2);
}

static void test_init_killed(void)
{
	int n = 1;

	for (bool lived = false; !lived && n < 200; n += 3) {
		lived = survives(make_fleet, n);
		if (!iot_fs_exists(fleet_dir))
			ASSERT_OK(make_fleet(), &err);
		ASSERT_OK(create(), &err);
		CU_ASSERT_EQUAL(check_certificates(), 1);
		ASSERT_OK(iot_fs_remove_tree(fleet_dir, &err), &err);
		ASSERT_OK(iot_fs_remove_tree(folder, &err), &err);
	}
	CU_ASSERT_TRUE(n > 10);
}

/* A call that names a key which a killed one has left without its public half finishes it. */
static void test_codesign_finished(void)
{
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	IOT_CLEAN(iot_free_p) char *public_path = NULL;
	IOT_JSON first = NULL;
	IOT_JSON again = NULL;

	ASSERT_OK(make_fleet(), &err);
	cloud = open_fleet();
	ASSERT_OK(iot_codesign_create(cloud, "beta", "p256", &first, &err), &err);
	ASSERT_STATUS(iot_codesign_create(cloud, "beta", "p256", &again, &err), IOT_CONFLICT, &err);
	public_path = iot_path(iot_local_paths(cloud)->codesign_dir, "beta.pub");
	ASSERT_OK(iot_fs_remove(public_path, &err), &err);
	ASSERT_STATUS(iot_codesign_create(cloud, "beta", "p384", &again, &err), IOT_CONFLICT, &err);
	ASSERT_OK(iot_codesign_create(cloud, "beta", "p256", &again, &err), &err);
	CU_ASSERT_TRUE(json_equal(first, again));
}

/* A fleet whose issuing key lies elsewhere, named from the folder in which it was made. */
static void test_ca_key_named_relatively(void)
{
	struct iot_fleet_init_options options = {.name = "demo", .dir = fleet_dir, .ca_key = "ca.key"};
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "ca.key");
	IOT_CLEAN(iot_free_p) char *before = iot_path_absolute(".");
	IOT_JSON record = NULL;

	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_key_save_new(key, path, NULL, &err), &err);
	CU_ASSERT_EQUAL(chdir(dir), 0);
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	CU_ASSERT_EQUAL(chdir(before), 0);
	ASSERT_OK(create(), &err);
}

/* The only device of an update is deleted meanwhile: nobody took it, and that is no success. */
static void test_watch_without_devices(void)
{
	static const char *const devices[] = {"pump-0001", NULL};
	struct iot_push_spec push = {.devices = devices, .version = "1.1.0"};
	const struct iot_watch watch = {.timeout_ms = 1000};
	IOT_CLEAN(iot_cloud_free_p) struct iot_cloud *cloud = NULL;
	IOT_CLEAN(iot_free_p) char *image = iot_path(dir, "image.bin");
	IOT_JSON record = NULL;
	IOT_JSON watched = NULL;
	int64_t next;

	ASSERT_OK(make_fleet(), &err);
	ASSERT_OK(create(), &err);
	cloud = open_fleet();
	ASSERT_OK(iot_fs_write(image, 0600, "image", 5, &err), &err);
	push.image = image;
	ASSERT_OK(iot_ota_push(cloud, &push, &record, &err), &err);
	ASSERT_OK(delete (), &err);
	ASSERT_OK(iot_local_tick(cloud, iot_now_ms(), &next, &err), &err);
	ASSERT_STATUS(iot_ota_watch(cloud, iot_json_str(record, "updateId", ""), &watch, &watched, &err), IOT_FAILURE,
		      &err);
	ASSERT_CONTAINS(err.what, "no device took update");
	CU_ASSERT_STRING_EQUAL(iot_json_str(watched, "status", ""), "COMPLETED");
}

UNIT_MAIN("fleet/devices", set_up, tear_down, {"create_killed", test_create_killed},
	  {"delete_killed", test_delete_killed}, {"init_killed", test_init_killed},
	  {"codesign_finished", test_codesign_finished}, {"ca_key_named_relatively", test_ca_key_named_relatively},
	  {"watch_without_devices", test_watch_without_devices})
