/* Job executions as devices go through them: the state machine, and everything that must be refused. */
#include "jobs_fixture.h"

#include <sys/syscall.h>
#include <unistd.h>

/* Counted on the way to the system; SQLite waits for the disk with one of them. */
#define SEEN_BY_LIBRARIES __attribute__((visibility("default")))
static int syncs;

SEEN_BY_LIBRARIES int fsync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fsync, fd);
}

SEEN_BY_LIBRARIES int fdatasync(int fd)
{
	syncs++;
	return (int)syscall(SYS_fdatasync, fd);
}

#define UPDATE "iot-jobs-data:UpdateJobExecution"
#define START "iot-jobs-data:StartNextPendingJobExecution"
#define DESCRIBE "iot-jobs-data:DescribeJobExecution"
#define PENDING "iot-jobs-data:GetPendingJobExecutions"

static void one_job(void)
{
	add_thing("t");
	add_job("j", "t", "");
}

static void test_happy_path(void)
{
	json_t *reply;

	one_job();
	EXPECT_EXECUTION("t", "j", "status", "'QUEUED'");
	EXPECT_EXECUTION("t", "j", "versionNumber", "1");
	reply = CALL(START, "", "{'thingName': 't'}");
	EXPECT(reply, "execution.status", "'IN_PROGRESS'");
	EXPECT(reply, "execution.versionNumber", "2");
	EXPECT(reply, "execution.executionNumber", "1");
	EXPECT(reply, "execution.thingName", "'t'");
	EXPECT(reply, "execution.jobDocument", "'{}'");
	EXPECT(reply, "execution.statusDetails", "null");
	EXPECT(reply, "execution.queuedAt", "1795000000");
	json_decref(reply);
	/* An answer may be lost: the same again, without a new version. */
	EXPECT_CALL("execution.versionNumber", "2", START, "{'thingName': 't', 'statusDetails': {'a': 'b'}}");
	EXPECT_EXECUTION("t", "j", "statusDetails.detailsMap", "{}");
	/* As agents do: the version as text. */
	DO(UPDATE, "", "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED', 'expectedVersion': '2'}");
	EXPECT_EXECUTION("t", "j", "status", "'SUCCEEDED'");
	EXPECT_EXECUTION("t", "j", "versionNumber", "3");
	EXPECT_JOB("j", "'COMPLETED'");
	EXPECT_CALL("execution", "null", START, "{'thingName': 't'}");
	EXPECT_CALL("execution", "null", DESCRIBE, "{'thingName': 't', 'jobId': '$next'}");
}

static void test_refusals(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *state = NULL;

	one_job();
	add_thing("other");
	DO(UPDATE, "ResourceNotFoundException", "{'thingName': 'other', 'jobId': 'j', 'status': 'SUCCEEDED'}");
	DO(UPDATE, "ResourceNotFoundException", "{'thingName': 't', 'jobId': 'none', 'status': 'SUCCEEDED'}");
	DO(UPDATE, "ResourceNotFoundException", "{'thingName': 'gone', 'jobId': 'j', 'status': 'SUCCEEDED'}");
	DO(UPDATE, "ResourceNotFoundException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED', 'executionNumber': 2}");
	DO(START, "ResourceNotFoundException", "{'thingName': 'gone'}");
	DO(PENDING, "ResourceNotFoundException", "{'thingName': 'gone'}");
	DO(UPDATE, "InvalidRequestException", "{'thingName': 't', 'jobId': 'j', 'status': 'QUEUED'}");
	DO(UPDATE, "InvalidRequestException", "{'thingName': 't', 'jobId': 'j', 'status': 'CANCELED'}");
	DO(UPDATE, "InvalidRequestException", "{'thingName': 't', 'jobId': 'j', 'status': 'DONE'}");
	DO(UPDATE, "InvalidRequestException", "{'thingName': 't', 'jobId': 'j'}");
	DO(UPDATE, "InvalidRequestException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'FAILED', 'expectedVersion': 'two'}");
	DO(UPDATE, "VersionMismatchException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'FAILED', 'expectedVersion': 7}");
	EXPECT_EXECUTION("t", "j", "versionNumber", "1");
	finish("t", "j", "FAILED");
	DO(UPDATE, "InvalidStateTransitionException", "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED'}");
	DO(DESCRIBE, "TerminalStateException", "{'thingName': 't', 'jobId': 'j'}");
	EXPECT_EXECUTION("t", "j", "status", "'FAILED'");
	/* What the refusal tells. */
	ASSERT_OK(iot_local_execution_state(cloud, "t", "j", 0, &state, &err), &err);
	EXPECT(state, "status", "'FAILED'");
	EXPECT(state, "versionNumber", "3");
	EXPECT(state, "statusDetails", "{}");
	json_decref(state);
	ASSERT_STATUS(iot_local_execution_state(cloud, "t", "j", 5, &state, &err), IOT_NOT_FOUND, &err);
}

static void test_queued_may_end(void)
{
	/* Agents that never call start-next report straight away. */
	one_job();
	report("t", "j", "IN_PROGRESS");
	EXPECT_EXECUTION("t", "j", "versionNumber", "2");
	EXPECT_EXECUTION("t", "j", "startedAt", "1795000000");
	report("t", "j", "IN_PROGRESS");
	EXPECT_EXECUTION("t", "j", "versionNumber", "3");
	report("t", "j", "REJECTED");
	add_job("k", "t", "");
	report("t", "k", "SUCCEEDED");
	EXPECT_JOB("k", "'COMPLETED'");
}

static void test_progress_does_not_wait_for_the_disk(void)
{
	one_job();
	start("t");
	syncs = 0;
	DO(UPDATE, "",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': {'receive': '25/100'}}");
	CU_ASSERT_EQUAL(syncs, 0);
	reopen();
	EXPECT_CALL("execution.statusDetails", "{'receive':'25/100'}", DESCRIBE,
		    "{'thingName': 't', 'jobId': '$next'}");
	/* What a device asks for again after a restart does, and so does everything after progress. */
	DO(UPDATE, "",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': {'receive': '50/100'}}");
	syncs = 0;
	DO(UPDATE, "",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': {'receive': '100/100', "
	   "'self_test': 'ready'}}");
	CU_ASSERT_TRUE(syncs > 0);
	DO(UPDATE, "VersionMismatchException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'expectedVersion': 9, 'statusDetails': "
	   "{'receive': '50/100'}}");
	syncs = 0;
	report("t", "j", "SUCCEEDED");
	CU_ASSERT_TRUE(syncs > 0);
}

static void test_details(void)
{
	json_t *reply;
	char long_value[1026];

	one_job();
	start("t");
	DO(UPDATE, "",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': "
	   "{'self_test': 'ready', 'updatedBy': '0x00090002'}}");
	/* Absent: kept. Restarts keep them too. */
	report("t", "j", "IN_PROGRESS");
	reopen();
	EXPECT_CALL("execution.statusDetails", "{'self_test':'ready','updatedBy':'0x00090002'}", DESCRIBE,
		    "{'thingName': 't', 'jobId': '$next'}");
	/* Given: they replace what was there. */
	reply = CALL(UPDATE, "",
		     "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': "
		     "{'reason': 'accepted  v.9.3'}, 'includeJobExecutionState': true, 'includeJobDocument': true}");
	EXPECT(reply, "executionState.statusDetails", "{'reason':'accepted  v.9.3'}");
	EXPECT(reply, "executionState.versionNumber", "5");
	EXPECT(reply, "jobDocument", "'{}'");
	json_decref(reply);
	memset(long_value, 'x', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
#define DETAILS(code, details)                                                                                         \
	DO(UPDATE, code, "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': " details "}")
	DO(UPDATE, "InvalidRequestException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': {'a': '%s'}}", long_value);
	DO(UPDATE, "", "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'statusDetails': {'a': '%s'}}",
	   long_value + 1);
	DETAILS("InvalidRequestException", "{'a b': 'x'}");
	DETAILS("InvalidRequestException", "{'a': 1}");
	DETAILS("InvalidRequestException", "{'a': ''}");
	DETAILS("InvalidRequestException", "{'a': 'x\\u0007'}");
	DETAILS("InvalidRequestException", "['a']");
	DETAILS("InvalidRequestException", "{'a':'1','b':'1','c':'1','d':'1','e':'1','f':'1','g':'1','h':'1','i':'1',"
					   "'j':'1','k':'1'}");
	DETAILS("", "{'a':'1','b':'1','c':'1','d':'1','e':'1','f':'1','g':'1','h':'1','i':'1','j':'1'}");
}

static void test_order(void)
{
	json_t *reply;

	one_job();
	iot_clock_freeze(NOW + 1000);
	add_job("a", "t", "");
	iot_clock_freeze(NOW + 2000);
	add_job("b", "t", "");
	reply = CALL(PENDING, "", "{'thingName': 't'}");
	EXPECT(reply, "queuedJobs.0.jobId", "'j'");
	EXPECT(reply, "queuedJobs.1.jobId", "'a'");
	EXPECT(reply, "queuedJobs.2.jobId", "'b'");
	EXPECT(reply, "queuedJobs.0.versionNumber", "1");
	EXPECT(reply, "inProgressJobs", "[]");
	json_decref(reply);
	/* In progress goes before queued, whatever is older. */
	report("t", "b", "IN_PROGRESS");
	EXPECT_CALL("execution.jobId", "'b'", DESCRIBE, "{'thingName': 't', 'jobId': '$next'}");
	EXPECT_CALL("execution.jobId", "'b'", START, "{'thingName': 't'}");
	EXPECT_CALL("inProgressJobs.0.jobId", "'b'", PENDING, "{'thingName': 't'}");
	report("t", "b", "SUCCEEDED");
	EXPECT_CALL("execution.jobId", "'j'", DESCRIBE,
		    "{'thingName': 't', 'jobId': '$next', 'includeJobDocument': true}");
	EXPECT_CALL("execution.jobDocument", "null", DESCRIBE,
		    "{'thingName': 't', 'jobId': 'a', 'includeJobDocument': false}");
}

static void test_notices(void)
{
	one_job();
	EXPECT_OUTBOX("jobs:t ");
	add_job("k", "t", "");
	add_job("l", "t", "");
	EXPECT_OUTBOX("jobs:t ");
	/* Starting the next one changes neither the list nor which is next. */
	start("t");
	report("t", "j", "IN_PROGRESS");
	EXPECT_OUTBOX("");
	report("t", "j", "SUCCEEDED");
	EXPECT_OUTBOX("jobs:t ");
	/* Another one overtakes. */
	report("t", "l", "IN_PROGRESS");
	EXPECT_OUTBOX("jobs:t ");
	DO("CancelJobExecution", "", "{'thingName': 't', 'jobId': 'k'}");
	EXPECT_OUTBOX("jobs:t ");
	DO("DeleteJobExecution", "", "{'thingName': 't', 'jobId': 'l', 'executionNumber': 1, 'force': true}");
	EXPECT_OUTBOX("jobs:t ");
	DO("DeleteJobExecution", "", "{'thingName': 't', 'jobId': 'j', 'executionNumber': 1}");
	EXPECT_OUTBOX("");
}

static void test_cancel_execution(void)
{
	one_job();
	DO("CancelJobExecution", "VersionConflictException", "{'thingName': 't', 'jobId': 'j', 'expectedVersion': 2}");
	start("t");
	DO("CancelJobExecution", "InvalidStateTransitionException", "{'thingName': 't', 'jobId': 'j'}");
	DO("CancelJobExecution", "ResourceNotFoundException", "{'thingName': 't', 'jobId': 'k'}");
	DO("CancelJobExecution", "",
	   "{'thingName': 't', 'jobId': 'j', 'force': true, 'expectedVersion': 2, 'statusDetails': {'why': 'recall'}}");
	EXPECT_EXECUTION("t", "j", "status", "'CANCELED'");
	EXPECT_EXECUTION("t", "j", "forceCanceled", "true");
	EXPECT_EXECUTION("t", "j", "statusDetails.detailsMap.why", "'recall'");
	EXPECT_JOB("j", "'COMPLETED'");
	DO("CancelJobExecution", "InvalidStateTransitionException", "{'thingName': 't', 'jobId': 'j', 'force': true}");
	DO(UPDATE, "InvalidStateTransitionException", "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED'}");
}

static void test_delete_execution(void)
{
	one_job();
	DO("DeleteJobExecution", "InvalidStateTransitionException",
	   "{'thingName': 't', 'jobId': 'j', 'executionNumber': 1}");
	DO("DeleteJobExecution", "InvalidRequestException", "{'thingName': 't', 'jobId': 'j', 'executionNumber': 0}");
	DO("DeleteJobExecution", "ResourceNotFoundException", "{'thingName': 't', 'jobId': 'j', 'executionNumber': 2}");
	DO("DeleteJobExecution", "", "{'thingName': 't', 'jobId': 'j', 'executionNumber': 1, 'force': true}");
	DO("DescribeJobExecution", "ResourceNotFoundException", "{'thingName': 't', 'jobId': 'j'}");
	EXPECT_JOB("j", "'COMPLETED'");
}

static void test_timeouts(void)
{
	add_thing("t");
	add_job("j", "t", ", 'timeoutConfig': {'inProgressTimeoutInMinutes': 10}");
	CU_ASSERT_EQUAL(tick(), -1); /* nothing runs while it is queued */
	start("t");
	CU_ASSERT_EQUAL(tick(), NOW + 10 * MINUTE);
	EXPECT_EXECUTION("t", "j", "approximateSecondsBeforeTimedOut", "600");
	DO(UPDATE, "", "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'stepTimeoutInMinutes': 3}");
	CU_ASSERT_EQUAL(tick(), NOW + 3 * MINUTE);
	/* A new step sets its deadline anew; -1 takes it away; the job's own stays. */
	iot_clock_freeze(NOW + 2 * MINUTE);
	DO(UPDATE, "", "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'stepTimeoutInMinutes': 3}");
	CU_ASSERT_EQUAL(tick(), NOW + 5 * MINUTE);
	DO(UPDATE, "", "{'thingName': 't', 'jobId': 'j', 'status': 'IN_PROGRESS', 'stepTimeoutInMinutes': -1}");
	CU_ASSERT_EQUAL(tick(), NOW + 10 * MINUTE);
	iot_clock_freeze(NOW + 10 * MINUTE - 1);
	CU_ASSERT_EQUAL(tick(), NOW + 10 * MINUTE);
	EXPECT_EXECUTION("t", "j", "status", "'IN_PROGRESS'");
	free(drain());
	iot_clock_freeze(NOW + 10 * MINUTE);
	CU_ASSERT_EQUAL(tick(), -1);
	EXPECT_EXECUTION("t", "j", "status", "'TIMED_OUT'");
	EXPECT_EXECUTION("t", "j", "approximateSecondsBeforeTimedOut", "null");
	EXPECT_JOB("j", "'COMPLETED'");
	EXPECT_OUTBOX("jobs:t ");
	DO(UPDATE, "InvalidStateTransitionException", "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED'}");
	DO(UPDATE, "InvalidRequestException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'FAILED', 'stepTimeoutInMinutes': 10081}");
}

static void test_many_timeouts(void)
{
	json_t *reply;
	char name[16];

	/* More than one batch. */
	add_group("g");
	for (int i = 0; i < 230; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		add_thing(name);
		join(name, "g");
	}
	DO("CreateJob", "",
	   "{'jobId': 'j', 'targets': ['" ARN "thinggroup/g'], 'document': '{}', "
	   "'timeoutConfig': {'inProgressTimeoutInMinutes': 1}}");
	for (int i = 0; i < 230; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		start(name);
	}
	iot_clock_freeze(NOW + MINUTE);
	CU_ASSERT_EQUAL(tick(), -1);
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.jobProcessDetails.numberOfTimedOutThings", "230");
	EXPECT(reply, "job.status", "'COMPLETED'");
	json_decref(reply);
}

UNIT_MAIN("cloud/executions", set_up, tear_down, {"happy_path", test_happy_path}, {"refusals", test_refusals},
	  {"queued_may_end", test_queued_may_end}, {"details", test_details},
	  {"progress_does_not_wait_for_the_disk", test_progress_does_not_wait_for_the_disk}, {"order", test_order},
	  {"notices", test_notices}, {"cancel_execution", test_cancel_execution},
	  {"delete_execution", test_delete_execution}, {"timeouts", test_timeouts},
	  {"many_timeouts", test_many_timeouts})
