/*
 * New trust for devices in the field, without devices: what is sent is what was
 * read at first, and a rollout that cannot be stopped says that it goes on.
 */
#include "iotctl/cert.h"
#include "iotctl/cloud.h"
#include "iotctl/digest.h"
#include "iotctl/fleet.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "iotctl/trust.h"

#include "iotctl/base.h"
#include "unit.h"

static char *dir, *root_path;
static struct iot_cloud *cloud;
static struct iot_buf root, other;
static const char *denied; /* the job that may not be canceled */
static int looks, busy;    /* so many looks at a job so far, and the one that is refused; 0: none */

/* What an operator without the right to cancel jobs is told, and one whose cloud is busy. */
enum iot_status __real_iot_cloud_call(struct iot_cloud *at, const char *operation, const json_t *request,
				      const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				      struct iot_error *err);
enum iot_status __wrap_iot_cloud_call(struct iot_cloud *at, const char *operation, const json_t *request,
				      const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				      struct iot_error *err);
enum iot_status __wrap_iot_cloud_call(struct iot_cloud *at, const char *operation, const json_t *request,
				      const struct iot_body *in, json_t **ret_reply, struct iot_buf *out,
				      struct iot_error *err)
{
	if (strcmp(operation, "DescribeJob") == 0 && ++looks == busy)
		return iot_cloud_fail(err, "ThrottlingException", "too many requests");
	if (denied == NULL || strcmp(operation, "CancelJob") != 0 ||
	    strcmp(iot_json_str(request, "jobId", ""), denied) != 0)
		return __real_iot_cloud_call(at, operation, request, in, ret_reply, out, err);
	iot_cloud_fail(err, "AccessDeniedException", "operator 'watcher' may not iot:CancelJob");
	iot_error_hint(err, "'iotctl operator show watcher' tells what it may");
	return IOT_DENIED;
}

static void call(const char *operation, json_t *request, json_t **ret)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_cloud_call(cloud, operation, request, NULL, ret, NULL, &err), &err);
	json_decref(request);
}

static void make_root(const char *name, struct iot_buf *pem)
{
	IOT_CLEAN(iot_key_free_p) struct iot_key *key = NULL;
	IOT_CLEAN(iot_cert_free_p) struct iot_cert *cert = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	*pem = (struct iot_buf)IOT_BUF_INIT(32768);
	ASSERT_OK(iot_key_generate(IOT_KEY_P256, &key, &err), &err);
	ASSERT_OK(iot_ca_create_root(key, name, 3650, &cert, &err), &err);
	iot_cert_pem(cert, pem);
}

static void set_up(void)
{
	IOT_CLEAN(iot_free_p) char *fleet = NULL;
	struct iot_fleet_init_options options = {.name = "demo", .endpoint = "iot.example"};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	denied = NULL;
	looks = busy = 0;
	dir = unit_mkdtemp_memory();
	fleet = iot_path(dir, "demo");
	root_path = iot_path(dir, "root.pem");
	options.dir = fleet;
	make_root("new", &root);
	make_root("other", &other);
	ASSERT_OK(iot_fs_write(root_path, 0644, root.data, root.len, &err), &err);
	ASSERT_OK(iot_fleet_init(&options, &record, &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	call("CreateThing", json_pack("{s:s}", "thingName", "pump"), NULL);
	call("CreateThing", json_pack("{s:s}", "thingName", "valve"), NULL);
	call("CreateThing",
	     json_pack("{s:s, s:{s:{s:s}}}", "thingName", "module", "attributePayload", "attributes", "board",
		       "expresslink"),
	     NULL);
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	iot_buf_release(&root);
	iot_buf_release(&other);
	free(root_path);
	free(dir);
}

static const char *const everybody[] = {"pump", "valve", "module", NULL};

static struct iot_trust_field_spec spec_of(void)
{
	return (struct iot_trust_field_spec){
		.change = {.root_ca = root_path, .force = true}, .devices = everybody, .id = "t"};
}

/* --- the file is read once ------------------------------------------------------------- */

static void replace_file(const char *step, void *data)
{
	struct iot_error err = IOT_ERROR_INIT;

	(void)data;
	if (strcmp(step, "journal") == 0)
		ASSERT_OK(iot_fs_write(root_path, 0644, other.data, other.len, &err), &err);
}

static void test_file_changes(void)
{
	struct iot_trust_field_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_object object = {.fd = -1};
	char sha256[IOT_SHA256_HEX_SIZE];
	IOT_JSON record = NULL;
	IOT_JSON reply = NULL;

	spec.point = replace_file;
	ASSERT_OK(iot_trust_field(cloud, &spec, &record, &err), &err);
	call("GetJobDocument", json_pack("{s:s}", "jobId", "AFR_OTA-t"), &reply);
	iot_sha256_hex(root.data, root.len, sha256);
	ASSERT_CONTAINS(iot_json_str(reply, "document", ""), sha256);
	ASSERT_OK(iot_local_object_open(cloud, "local", sha256, NULL, &object, &err), &err);
	iot_close_p(&object.fd);
	CU_ASSERT_EQUAL(object.size, (int64_t)root.len);
	json_decref(reply);
	reply = NULL;
	call("GetJobDocument", json_pack("{s:s}", "jobId", "iotctl-trust-t"), &reply);
	CU_ASSERT_PTR_NULL(strstr(iot_json_str(reply, "document", ""), sha256));
	{
		IOT_JSON document = json_loads(iot_json_str(reply, "document", "{}"), 0, NULL);
		const json_t *trust = json_object_get(json_object_get(document, "iotctl"), "trust");

		CU_ASSERT_STRING_EQUAL(iot_json_str(trust, "rootCa", ""), iot_buf_str(&root));
	}
}

/* --- a rollout that cannot be stopped ---------------------------------------------------- */

static void fail_pump(const char *step, void *data)
{
	(void)data;
	if (strcmp(step, "modules") != 0)
		return;
	call("iot-jobs-data:StartNextPendingJobExecution", json_pack("{s:s}", "thingName", "pump"), NULL);
	call("iot-jobs-data:UpdateJobExecution",
	     json_pack("{s:s, s:s, s:s}", "thingName", "pump", "jobId", "iotctl-trust-t", "status", "FAILED"), NULL);
}

static const char *job_status(const char *job)
{
	static char status[32];
	IOT_JSON reply = NULL;

	call("DescribeJob", json_pack("{s:s}", "jobId", job), &reply);
	snprintf(status, sizeof(status), "%s", iot_json_str(json_object_get(reply, "job"), "status", ""));
	return status;
}

static void stop(enum iot_status expected, struct iot_error *err)
{
	struct iot_trust_field_spec spec = spec_of();
	IOT_JSON record = NULL;

	spec.point = fail_pump;
	spec.wait = true;
	spec.max_failures = 1;
	spec.timeout_ms = 60000;
	ASSERT_STATUS(iot_trust_field(cloud, &spec, &record, err), expected, err);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "devices")), 3);
}

static void test_stopped(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	stop(IOT_ABORTED, &err);
	CU_ASSERT_STRING_EQUAL(job_status("iotctl-trust-t"), "CANCELED");
	CU_ASSERT_STRING_EQUAL(job_status("AFR_OTA-t"), "CANCELED");
}

/* The one that can be stopped is; of the other it is said that it goes on, and how it is stopped. */
static void test_cannot_be_stopped(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char line[1024];

	denied = "iotctl-trust-t";
	stop(IOT_DENIED, &err);
	iot_error_line(&err, line, sizeof(line));
	ASSERT_CONTAINS(line, "may not iot:CancelJob, while stopping after 1 failures");
	ASSERT_CONTAINS(line, "others go on; stop them with 'iotctl job cancel iotctl-trust-t'");
	CU_ASSERT_STRING_EQUAL(err.code, "AccessDeniedException");
	CU_ASSERT_STRING_EQUAL(job_status("iotctl-trust-t"), "IN_PROGRESS");
	CU_ASSERT_STRING_EQUAL(job_status("AFR_OTA-t"), "CANCELED");
}

/* The rollout has been seen; a look that a busy cloud refuses is no end of it. The fifth is in the third round. */
static void test_busy_meanwhile(void)
{
	struct iot_trust_field_spec spec = spec_of();
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON record = NULL;

	busy = 5;
	spec.wait = true;
	spec.timeout_ms = 1500;
	ASSERT_STATUS(iot_trust_field(cloud, &spec, &record, &err), IOT_TIMEOUT, &err);
	ASSERT_CONTAINS(err.what, "it goes on");
	CU_ASSERT(looks > busy);
	CU_ASSERT_EQUAL(json_array_size(json_object_get(record, "devices")), 3);
}

UNIT_MAIN("fleet/trust_field", set_up, tear_down, {"file_changes", test_file_changes}, {"stopped", test_stopped},
	  {"cannot_be_stopped", test_cannot_be_stopped}, {"busy_meanwhile", test_busy_meanwhile})
