/* Jobs over time: rates, schedules, retries, thresholds, continuous jobs, and ten thousand things at once. */
#include "jobs_fixture.h"

#include <time.h>

static void things(int count, const char *group)
{
	char name[16];

	add_group(group);
	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "t%d", i);
		add_thing(name);
		join(name, group);
	}
}

#define GROUP_JOB(more)                                                                                                \
	DO("CreateJob", "", "{'jobId': 'j', 'targets': ['" ARN "thinggroup/g'], 'document': '{}'" more "}")
#define QUEUED(count) EXPECT_CALL("job.jobProcessDetails.numberOfQueuedThings", count, "DescribeJob", "{'jobId': 'j'}")

static void test_rate(void)
{
	things(7, "g");
	GROUP_JOB(", 'jobExecutionsRolloutConfig': {'maximumPerMinute': 3}");
	QUEUED("3");
	EXPECT_CALL("job.jobProcessDetails.processingTargets", "['" ARN "thinggroup/g']", "DescribeJob",
		    "{'jobId': 'j'}");
	EXPECT_OUTBOX("jobs:t0 jobs:t1 jobs:t2 ");
	/* What waits is nobody's business yet. */
	DO("DescribeJobExecution", "ResourceNotFoundException", "{'thingName': 't5', 'jobId': 'j'}");
	EXPECT_CALL("queuedJobs", "[]", "iot-jobs-data:GetPendingJobExecutions", "{'thingName': 't5'}");
	EXPECT_CALL("executionSummaries.3", "null", "ListJobExecutionsForJob", "{'jobId': 'j'}");
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		finish(name, "j", "SUCCEEDED");
	}
	EXPECT_JOB("j", "'IN_PROGRESS'");
	CU_ASSERT_EQUAL(tick(), NOW + MINUTE);
	QUEUED("0");
	/* A serve that was away for long does not make up for it at once. */
	iot_clock_freeze(NOW + 10 * MINUTE);
	CU_ASSERT_EQUAL(tick(), NOW + 11 * MINUTE);
	QUEUED("3");
	iot_clock_freeze(NOW + 11 * MINUTE);
	tick();
	QUEUED("4");
	EXPECT_CALL("job.jobProcessDetails.processingTargets", "null", "DescribeJob", "{'jobId': 'j'}");
	iot_clock_freeze(NOW + 12 * MINUTE);
	CU_ASSERT_EQUAL(tick(), -1);
}

static void test_exponential_rate(void)
{
	things(12, "g");
	GROUP_JOB(", 'jobExecutionsRolloutConfig': {'maximumPerMinute': 5, 'exponentialRate': {'baseRatePerMinute': 2, "
		  "'incrementFactor': 2, 'rateIncreaseCriteria': {'numberOfNotifiedThings': 2}}}");
	QUEUED("2");
	iot_clock_freeze(NOW + MINUTE);
	tick();
	QUEUED("6");
	iot_clock_freeze(NOW + 2 * MINUTE);
	tick(); /* 16 a minute by now, were it not for the maximum */
	QUEUED("11");
}

static void test_cancel_while_waiting(void)
{
	things(3, "g");
	GROUP_JOB(", 'jobExecutionsRolloutConfig': {'maximumPerMinute': 1}");
	DO("CancelJob", "", "{'jobId': 'j'}");
	EXPECT_CALL("job.jobProcessDetails.processingTargets", "null", "DescribeJob", "{'jobId': 'j'}");
	EXPECT_CALL("executionSummaries.1", "null", "ListJobExecutionsForJob", "{'jobId': 'j'}");
	iot_clock_freeze(NOW + 5 * MINUTE);
	CU_ASSERT_EQUAL(tick(), -1);
	QUEUED("0");
}

static void test_schedule(void)
{
	/* NOW is 2026-11-18T11:06:40Z. */
	things(2, "g");
	GROUP_JOB(", 'schedulingConfig': {'startTime': '2026-11-18T12:00', 'endTime': '2026-11-18 13:00', "
		  "'endBehavior': 'CANCEL'}");
	EXPECT_JOB("j", "'SCHEDULED'");
	EXPECT_OUTBOX("");
	CU_ASSERT_EQUAL(tick(), INT64_C(1795003200000));
	join((add_thing("late"), "late"), "g");
	iot_clock_freeze(INT64_C(1795003200000));
	CU_ASSERT_EQUAL(tick(), INT64_C(1795006800000));
	EXPECT_JOB("j", "'IN_PROGRESS'");
	QUEUED("3");
	finish("t0", "j", "SUCCEEDED");
	iot_clock_freeze(INT64_C(1795006800000));
	tick();
	EXPECT_JOB("j", "'CANCELED'");
	EXPECT_EXECUTION("t1", "j", "status", "'CANCELED'");
	EXPECT_EXECUTION("t0", "j", "status", "'SUCCEEDED'");
	CU_ASSERT_EQUAL(tick(), -1);
}

static void test_schedule_stops(void)
{
	/* Without an end behaviour the rollout stops, and what is under way goes on. */
	things(3, "g");
	GROUP_JOB(", 'schedulingConfig': {'endTime': '2026-11-18T12:00'}, "
		  "'jobExecutionsRolloutConfig': {'maximumPerMinute': 1}");
	CU_ASSERT_EQUAL(tick(), NOW + MINUTE);
	iot_clock_freeze(INT64_C(1795003200000));
	tick();
	QUEUED("1");
	EXPECT_CALL("job.jobProcessDetails.processingTargets", "null", "DescribeJob", "{'jobId': 'j'}");
	EXPECT_JOB("j", "'IN_PROGRESS'");
	finish("t0", "j", "SUCCEEDED");
	EXPECT_JOB("j", "'COMPLETED'");
}

static void test_retries(void)
{
	json_t *reply;

	add_thing("t");
	add_job("j", "t",
		", 'timeoutConfig': {'inProgressTimeoutInMinutes': 5}, 'jobExecutionsRetryConfig': "
		"{'criteriaList': [{'failureType': 'FAILED', 'numberOfRetries': 1}, "
		"{'failureType': 'TIMED_OUT', 'numberOfRetries': 1}]}");
	free(drain());
	finish("t", "j", "FAILED");
	EXPECT_OUTBOX("jobs:t ");
	EXPECT_EXECUTION("t", "j", "executionNumber", "2");
	EXPECT_EXECUTION("t", "j", "status", "'QUEUED'");
	EXPECT_EXECUTION("t", "j", "versionNumber", "1");
	EXPECT_CALL("execution.status", "'FAILED'", "DescribeJobExecution",
		    "{'thingName': 't', 'jobId': 'j', 'executionNumber': 1}");
	/* A late word about the first one does not touch the second. */
	DO("iot-jobs-data:UpdateJobExecution", "InvalidStateTransitionException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED', 'executionNumber': 1}");
	start("t");
	iot_clock_freeze(NOW + 5 * MINUTE);
	tick();
	EXPECT_EXECUTION("t", "j", "executionNumber", "3");
	finish("t", "j", "FAILED"); /* the second failure: its one retry is used up */
	EXPECT_EXECUTION("t", "j", "executionNumber", "3");
	EXPECT_JOB("j", "'COMPLETED'");
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.jobProcessDetails.numberOfFailedThings", "1");
	EXPECT(reply, "job.jobProcessDetails.numberOfTimedOutThings", "0");
	json_decref(reply);
	/* Rejection is final. */
	add_job("k", "t",
		", 'jobExecutionsRetryConfig': {'criteriaList': [{'failureType': 'ALL', 'numberOfRetries': 2}]}");
	finish("t", "k", "FAILED");
	finish("t", "k", "REJECTED");
	EXPECT_EXECUTION("t", "k", "executionNumber", "2");
	EXPECT_JOB("k", "'COMPLETED'");
	/* Nor is a canceled job tried again. */
	add_job("l", "t",
		", 'jobExecutionsRetryConfig': {'criteriaList': [{'failureType': 'ALL', 'numberOfRetries': 2}]}");
	start("t");
	DO("CancelJob", "", "{'jobId': 'l'}");
	report("t", "l", "FAILED");
	EXPECT_EXECUTION("t", "l", "executionNumber", "1");
}

static void test_abort(void)
{
	json_t *reply;

	things(10, "g");
	GROUP_JOB(", 'abortConfig': {'criteriaList': [{'failureType': 'FAILED', 'action': 'CANCEL', "
		  "'thresholdPercentage': 75, 'minNumberOfExecutedThings': 4}]}");
	start("t9");
	finish("t0", "j", "FAILED");
	finish("t1", "j", "FAILED");
	finish("t2", "j", "FAILED");
	EXPECT_JOB("j", "'IN_PROGRESS'"); /* too few have ended */
	finish("t3", "j", "REJECTED");
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.status", "'CANCELED'");
	EXPECT(reply, "job.reasonCode", "'ABORT_CRITERIA_MET'");
	EXPECT(reply, "job.jobProcessDetails.numberOfCanceledThings", "5");
	EXPECT(reply, "job.jobProcessDetails.numberOfInProgressThings", "1");
	json_decref(reply);
	report("t9", "j", "SUCCEEDED"); /* what had begun may end */
	EXPECT_JOB("j", "'CANCELED'");
}

static void test_abort_below_threshold(void)
{
	things(4, "g");
	GROUP_JOB(", 'abortConfig': {'criteriaList': [{'failureType': 'ALL', 'action': 'CANCEL', "
		  "'thresholdPercentage': 60.5, 'minNumberOfExecutedThings': 1}]}");
	finish("t0", "j", "SUCCEEDED");
	finish("t1", "j", "FAILED");
	finish("t2", "j", "REJECTED"); /* two of three: 66 % */
	EXPECT_JOB("j", "'CANCELED'");
}

static void test_continuous(void)
{
	things(1, "g");
	DO("CreateThingGroup", "", "{'thingGroupName': 'below', 'parentGroupName': 'g'}");
	add_group("elsewhere");
	GROUP_JOB(", 'targetSelection': 'CONTINUOUS'");
	finish("t0", "j", "SUCCEEDED");
	EXPECT_JOB("j", "'IN_PROGRESS'");
	free(drain());
	add_thing("new");
	join("new", "below");
	EXPECT_OUTBOX("jobs:new ");
	EXPECT_EXECUTION("new", "j", "status", "'QUEUED'");
	add_thing("stranger");
	join("stranger", "elsewhere");
	EXPECT_OUTBOX("");
	/* Once is enough for who leaves and comes back. */
	finish("new", "j", "SUCCEEDED");
	DO("RemoveThingFromThingGroup", "", "{'thingName': 'new', 'thingGroupName': 'below'}");
	join("new", "g");
	EXPECT_EXECUTION("new", "j", "status", "'SUCCEEDED'");
	/* Targets can be added, not more than the limit, not to others. */
	DO("AssociateTargetsWithJob", "",
	   "{'jobId': 'j', 'targets': ['" ARN "thinggroup/elsewhere', '" ARN "thinggroup/g']}");
	EXPECT_EXECUTION("stranger", "j", "status", "'QUEUED'");
	EXPECT_CALL("job.targets", "['" ARN "thinggroup/g','" ARN "thinggroup/elsewhere']", "DescribeJob",
		    "{'jobId': 'j'}");
	DO("AssociateTargetsWithJob", "ResourceNotFoundException", "{'jobId': 'j', 'targets': ['" ARN "thing/gone']}");
	DO("CancelJob", "", "{'jobId': 'j'}");
	DO("AssociateTargetsWithJob", "InvalidRequestException", "{'jobId': 'j', 'targets': ['" ARN "thing/t0']}");
	add_thing("last");
	join("last", "g");
	DO("DescribeJobExecution", "ResourceNotFoundException", "{'thingName': 'last', 'jobId': 'j'}");
	add_job("snap", "t0", "");
	DO("AssociateTargetsWithJob", "InvalidRequestException", "{'jobId': 'snap', 'targets': ['" ARN "thing/new']}");
}

static void test_leaving(void)
{
	things(3, "g");
	GROUP_JOB(", 'targetSelection': 'CONTINUOUS'");
	start("t1");
	DO("AssociateTargetsWithJob", "", "{'jobId': 'j', 'targets': ['" ARN "thing/t2']}");
	free(drain());
	for (int i = 0; i < 3; i++)
		DO("RemoveThingFromThingGroup", "", "{'thingName': 't%d', 'thingGroupName': 'g'}", i);
	EXPECT_EXECUTION("t0", "j", "status", "'REMOVED'");
	EXPECT_EXECUTION("t1", "j", "status", "'IN_PROGRESS'");
	EXPECT_EXECUTION("t2", "j", "status", "'QUEUED'"); /* a target by itself as well */
	EXPECT_OUTBOX("jobs:t0 ");
	join("t0", "g");
	EXPECT_EXECUTION("t0", "j", "status", "'QUEUED'");
	EXPECT_EXECUTION("t0", "j", "executionNumber", "2");
	DO("RemoveThingFromThingGroup", "", "{'thingName': 't0', 'thingGroupName': 'g'}");
	EXPECT_CALL("job.jobProcessDetails.numberOfRemovedThings", "1", "DescribeJob", "{'jobId': 'j'}");
}

/* The work of this process, whatever else the machine does meanwhile. */
static int64_t cpu_ms(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) != 0)
		abort();
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void test_ten_thousand(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_store *store = iot_local_store(cloud);
	int64_t changes = 0, began;
	json_t *reply;

	add_group("g");
	ASSERT_OK(iot_store_run(store, &changes, &err,
				"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
				" INSERT INTO things (name, uuid, created_at) SELECT 'many-' || i, hex(i), 0 FROM n",
				""),
		  &err);
	ASSERT_OK(iot_store_run(
			  store, &changes, &err,
			  "INSERT INTO group_members (group_id, thing_id) SELECT g.id, t.id FROM groups g, things t",
			  ""),
		  &err);
	CU_ASSERT_EQUAL(changes, 10000);
	began = cpu_ms();
	GROUP_JOB("");
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.jobProcessDetails.numberOfQueuedThings", "10000");
	json_decref(reply);
	DO("CancelJob", "", "{'jobId': 'j'}");
	CU_ASSERT(cpu_ms() - began < 5000); /* generous: sanitized */
	QUEUED("0");
}

UNIT_MAIN("cloud/rollout", set_up, tear_down, {"rate", test_rate}, {"exponential_rate", test_exponential_rate},
	  {"cancel_while_waiting", test_cancel_while_waiting}, {"schedule", test_schedule},
	  {"schedule_stops", test_schedule_stops}, {"retries", test_retries}, {"abort", test_abort},
	  {"abort_below_threshold", test_abort_below_threshold}, {"continuous", test_continuous},
	  {"leaving", test_leaving}, {"ten_thousand", test_ten_thousand})
