/*
 * A local cloud in a temporary folder, for the tests about jobs: set_up() and
 * tear_down() around each test, things and images, and calls whose outcome is
 * compared in one line. The clock stands still at NOW until a test moves it.
 */
#ifndef IOTCTL_JOBS_FIXTURE_H
#define IOTCTL_JOBS_FIXTURE_H

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "iotctl/cloud.h"
#include "iotctl/local.h"
#include "iotctl/text.h"
#include "unit.h"

#include <inttypes.h>
#include <stdarg.h>

#define NOW INT64_C(1795000000000)
#define MINUTE INT64_C(60000)
#define ARN "arn:aws:iot:local:000000000000:"
#define ROLE "arn:aws:iam::000000000000:role/ota"

static char *dir;
static struct iot_cloud *cloud;

static inline void reopen(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_local_open(dir, &cloud, &err), &err);
}

static inline void set_up(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *fleet;

	iot_clock_freeze(NOW);
	dir = unit_mkdtemp();
	fleet = iot_path(dir, "fleet");
	ASSERT_OK(iot_local_create(fleet, "demo", &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	free(dir);
	dir = fleet;
}

static inline void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *slash = strrchr(dir, '/');

	iot_cloud_free(cloud);
	cloud = NULL;
	*slash = '\0';
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
	iot_clock_freeze(0);
}

/* Carry out an operation with a request given as JSON text (with ' for "); "" or the error code. New reference in *ret.
 */
static inline const char *try_text(const char *operation, const char *request, json_t **ret)
{
	static struct iot_error err;
	char *text = strdup(request);
	json_t *json, *reply = NULL;
	enum iot_status status;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	json = json_loads(text, 0, NULL);
	if (json == NULL) {
		fprintf(stderr, "\nbad test request: %s\n", text);
		CU_FAIL("bad test request");
	}
	iot_error_clear(&err);
	status = iot_cloud_call(cloud, operation, json, NULL, &reply, NULL, &err);
	json_decref(json);
	free(text);
	if (ret != NULL && status == IOT_OK)
		*ret = reply;
	else
		json_decref(reply);
	return status == IOT_OK ? "" : err.code[0] != '\0' ? err.code : err.what;
}

static inline json_t *call_at(int line, const char *operation, const char *code, const char *fmt, ...) IOT_PRINTF(4, 5);

/* The call must end with `code` ("": success). Returns the reply, which may be NULL. */
static inline json_t *call_at(int line, const char *operation, const char *code, const char *fmt, ...)
{
	json_t *reply = NULL;
	const char *got;
	char *request;
	va_list args;
	int len;

	va_start(args, fmt);
	len = vasprintf(&request, fmt, args);
	va_end(args);
	if (len < 0)
		abort();
	got = try_text(operation, request, &reply);
	if (strcmp(got, code) != 0)
		fprintf(stderr, "\nline %d: %s %s gave '%s'\n", line, operation, request, got);
	CU_ASSERT_STRING_EQUAL(got, code);
	free(request);
	return reply;
}
#define CALL(operation, code, ...) call_at(__LINE__, operation, code, __VA_ARGS__)
#define DO(operation, code, ...) json_decref(CALL(operation, code, __VA_ARGS__))

static inline void add_thing(const char *name)
{
	DO("CreateThing", "", "{'thingName': '%s'}", name);
}

static inline void add_group(const char *name)
{
	DO("CreateThingGroup", "", "{'thingGroupName': '%s'}", name);
}

static inline void join(const char *thing, const char *group)
{
	DO("AddThingToThingGroup", "", "{'thingName': '%s', 'thingGroupName': '%s'}", thing, group);
}

/* A job for one thing; `more` are further members, starting with a comma. */
static inline void add_job(const char *job, const char *thing, const char *more)
{
	DO("CreateJob", "", "{'jobId': '%s', 'targets': ['" ARN "thing/%s'], 'document': '{}'%s}", job, thing, more);
}

/* The member of a reply at a path like "execution.status" or "jobs.0.jobId"; borrowed. */
static inline json_t *at(json_t *value, const char *path)
{
	char *copy = strdup(path), *save = NULL;

	for (char *part = strtok_r(copy, ".", &save); part != NULL; part = strtok_r(NULL, ".", &save))
		value = json_is_array(value) ? json_array_get(value, (size_t)atoi(part)) : json_object_get(value, part);
	free(copy);
	return value;
}

static inline void expect_at(int line, json_t *reply, const char *path, const char *expected)
{
	char *got = iot_json_text(at(reply, path));
	char *want = strdup(expected);

	for (char *c = want; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	if (strcmp(got, want) != 0)
		fprintf(stderr, "\nline %d: %s is %s, not %s\n", line, path, got, want);
	CU_ASSERT_STRING_EQUAL(got, want);
	free(got);
	free(want);
}
/* A member as compact JSON with ' for ": "'QUEUED'", "2", "null" when absent. */
#define EXPECT(reply, path, expected) expect_at(__LINE__, reply, path, expected)
/* The same of one call's reply. */
#define EXPECT_CALL(path, expected, operation, ...)                                                                    \
	do {                                                                                                           \
		json_t *reply_ = CALL(operation, "", __VA_ARGS__);                                                     \
		EXPECT(reply_, path, expected);                                                                        \
		json_decref(reply_);                                                                                   \
	} while (0)
#define EXPECT_JOB(job, expected) EXPECT_CALL("job.status", expected, "DescribeJob", "{'jobId': '%s'}", job)
#define EXPECT_EXECUTION(thing, job, path, expected)                                                                   \
	EXPECT_CALL("execution." path, expected, "DescribeJobExecution", "{'thingName': '%s', 'jobId': '%s'}", thing,  \
		    job)

static inline void start(const char *thing)
{
	DO("iot-jobs-data:StartNextPendingJobExecution", "", "{'thingName': '%s'}", thing);
}

static inline void report(const char *thing, const char *job, const char *status)
{
	DO("iot-jobs-data:UpdateJobExecution", "", "{'thingName': '%s', 'jobId': '%s', 'status': '%s'}", thing, job,
	   status);
}

/* Start the next job and end it. */
static inline void finish(const char *thing, const char *job, const char *status)
{
	start(thing);
	report(thing, job, status);
}

static inline int64_t tick(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int64_t next = 0;

	ASSERT_OK(iot_local_tick(cloud, iot_now_ms(), &next, &err), &err);
	return next;
}

static inline bool note_row(const struct iot_outbox_row *row, void *data)
{
	if (strcmp(row->kind, "event") != 0) /* for whoever listens: see test_job_events.c */
		iot_buf_addf(data, "%s:%s ", row->kind, row->thing != NULL ? row->thing : row->topic);
	return true;
}

/* Say everything in the outbox and return what it was ("jobs:a jobs:b "); the caller frees it. */
static inline char *drain(void)
{
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	int count = 1;

	while (count > 0)
		ASSERT_OK(iot_local_outbox(cloud, 100, note_row, &text, &count, &err), &err);
	return iot_buf_detach(&text);
}

static inline void expect_outbox_at(int line, const char *expected)
{
	char *got = drain();

	if (strcmp(got, expected) != 0)
		fprintf(stderr, "\nline %d: the outbox has '%s'\n", line, got);
	CU_ASSERT_STRING_EQUAL(got, expected);
	free(got);
}
#define EXPECT_OUTBOX(expected) expect_outbox_at(__LINE__, expected)

/* Put `size` bytes of `fill` into the image folder. */
static inline void add_image(char fill, size_t size, char sha256[65])
{
	struct iot_error err = IOT_ERROR_INIT;
	char *path = iot_path(dir, "image.bin");
	char *bytes = iot_alloc(size + 1);
	int64_t got = 0;

	memset(bytes, fill, size);
	ASSERT_OK(iot_fs_write(path, 0600, bytes, size, &err), &err);
	ASSERT_OK(iot_local_image_add(cloud, path, sha256, &got, &err), &err);
	CU_ASSERT_EQUAL(got, (int64_t)size);
	ASSERT_OK(iot_fs_remove(path, &err), &err);
	free(bytes);
	free(path);
}

#endif
