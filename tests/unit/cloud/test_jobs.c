/* Whole jobs: creating, showing, changing, canceling, deleting, listing; and what must be refused. */
#include "jobs_fixture.h"

#define CREATE(code, members) DO("CreateJob", code, "{'jobId': 'j', " members "}")
#define TO_T "'targets': ['" ARN "thing/t'], 'document': '{}'"

static void test_create_refusals(void)
{
	char *big = iot_alloc(33000);

	add_thing("t");
	CREATE("InvalidRequestException", "'targets': ['" ARN "thing/t']");
	CREATE("InvalidRequestException", "'targets': [], 'document': '{}'");
	CREATE("InvalidRequestException", "'targets': [7], 'document': '{}'");
	CREATE("InvalidRequestException", "'targets': ['t'], 'document': '{}'");
	CREATE("InvalidRequestException", "'targets': ['" ARN "policy/t'], 'document': '{}'");
	CREATE("InvalidRequestException", "'targets': ['arn:aws:iot:eu-west-1:1:thing/t'], 'document': '{}'");
	CREATE("ResourceNotFoundException", "'targets': ['" ARN "thing/gone'], 'document': '{}'");
	CREATE("ResourceNotFoundException", "'targets': ['" ARN "thinggroup/gone'], 'document': '{}'");
	CREATE("InvalidRequestException", "'targets': ['" ARN "thing/t'], 'document': 'no json'");
	CREATE("InvalidRequestException", "'targets': ['" ARN "thing/t'], 'document': '7'");
	CREATE("InvalidRequestException", "'targets': ['" ARN "thing/t'], 'document': ''");
	CREATE("InvalidRequestException", TO_T ", 'documentSource': 's3://bucket/key'");
	CREATE("InvalidRequestException", TO_T ", 'targetSelection': 'SOME'");
	DO("CreateJob", "InvalidRequestException", "{'jobId': 'a b', " TO_T "}");
	memset(big, ' ', 32999);
	DO("CreateJob", "InvalidRequestException", "{'jobId': 'j', 'targets': ['" ARN "thing/t'], 'document': '{%s}'}",
	   big);
	free(big);
	DO("DescribeJob", "ResourceNotFoundException", "{'jobId': 'j'}");
	CREATE("", TO_T);
	CREATE("ResourceAlreadyExistsException", TO_T);
}

static void test_config_refusals(void)
{
	static const char *const bad[] = {
		"'timeoutConfig': {'inProgressTimeoutInMinutes': 0}",
		"'timeoutConfig': {'inProgressTimeoutInMinutes': 10081}",
		"'timeoutConfig': {'minutes': 1}",
		"'presignedUrlConfig': {'expiresInSec': 59}",
		"'jobExecutionsRolloutConfig': {'maximumPerMinute': 0}",
		"'jobExecutionsRolloutConfig': {'maximumPerMinute': '5'}",
		"'jobExecutionsRolloutConfig': {'exponentialRate': {}}",
		"'jobExecutionsRolloutConfig': {'exponentialRate': {'baseRatePerMinute': 5, 'incrementFactor': 1.05, "
		"'rateIncreaseCriteria': {'numberOfNotifiedThings': 5}}}",
		"'jobExecutionsRolloutConfig': {'exponentialRate': {'baseRatePerMinute': 5, 'incrementFactor': 5.5, "
		"'rateIncreaseCriteria': {'numberOfNotifiedThings': 5}}}",
		"'jobExecutionsRolloutConfig': {'exponentialRate': {'baseRatePerMinute': 5, 'incrementFactor': 2, "
		"'rateIncreaseCriteria': {'numberOfNotifiedThings': 5, 'numberOfSucceededThings': 5}}}",
		"'abortConfig': {}",
		"'abortConfig': {'criteriaList': []}",
		"'abortConfig': {'criteriaList': [{'failureType': 'FAILED', 'action': 'CANCEL', "
		"'thresholdPercentage': 10.999, 'minNumberOfExecutedThings': 1}]}",
		"'abortConfig': {'criteriaList': [{'failureType': 'LATE', 'action': 'CANCEL', "
		"'thresholdPercentage': 10, 'minNumberOfExecutedThings': 1}]}",
		"'abortConfig': {'criteriaList': [{'failureType': 'FAILED', 'action': 'STOP', "
		"'thresholdPercentage': 10, 'minNumberOfExecutedThings': 1}]}",
		"'abortConfig': {'criteriaList': [{'failureType': 'FAILED', 'action': 'CANCEL', "
		"'thresholdPercentage': 10, 'minNumberOfExecutedThings': 0}]}",
		"'jobExecutionsRetryConfig': {'criteriaList': [{'failureType': 'REJECTED', 'numberOfRetries': 1}]}",
		"'jobExecutionsRetryConfig': {'criteriaList': [{'failureType': 'FAILED', 'numberOfRetries': 11}]}",
		"'jobExecutionsRetryConfig': {'criteriaList': [{'failureType': 'TIMED_OUT', 'numberOfRetries': 1}]}",
		"'timeoutConfig': {'inProgressTimeoutInMinutes': 5}, 'jobExecutionsRetryConfig': {'criteriaList': "
		"[{'failureType': 'FAILED', 'numberOfRetries': 6}, {'failureType': 'TIMED_OUT', 'numberOfRetries': "
		"5}]}",
		"'schedulingConfig': {'startTime': 'tomorrow'}",
		"'schedulingConfig': {'startTime': '2026-13-01T00:00'}",
		"'schedulingConfig': {'startTime': '2020-01-01T00:00'}",
		"'schedulingConfig': {'endTime': '2020-01-01T00:00'}",
		"'schedulingConfig': {'maintenanceWindows': [{'startTime': 'cron(0 0 * * ? *)', 'durationInMinutes': "
		"9}]}",
	};

	add_thing("t");
	for (size_t i = 0; i < IOT_LENGTH(bad); i++)
		DO("CreateJob", "InvalidRequestException", "{'jobId': 'j', " TO_T ", %s}", bad[i]);
	DO("DescribeJob", "ResourceNotFoundException", "{'jobId': 'j'}");
}

static void test_describe(void)
{
	json_t *reply;

	add_thing("t");
	reply = CALL("CreateJob", "",
		     "{'jobId': 'j', " TO_T ", 'description': 'first', "
		     "'timeoutConfig': {'inProgressTimeoutInMinutes': 5}}");
	EXPECT(reply, "jobArn", "'" ARN "job/j'");
	EXPECT(reply, "jobId", "'j'");
	EXPECT(reply, "description", "'first'");
	json_decref(reply);
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.status", "'IN_PROGRESS'");
	EXPECT(reply, "job.targetSelection", "'SNAPSHOT'");
	EXPECT(reply, "job.targets", "['" ARN "thing/t']");
	EXPECT(reply, "job.timeoutConfig.inProgressTimeoutInMinutes", "5");
	EXPECT(reply, "job.createdAt", "1795000000");
	EXPECT(reply, "job.jobProcessDetails.numberOfQueuedThings", "1");
	EXPECT(reply, "job.jobProcessDetails.numberOfSucceededThings", "0");
	EXPECT(reply, "job.jobProcessDetails.processingTargets", "null");
	json_decref(reply);
	EXPECT_CALL("document", "'{}'", "GetJobDocument", "{'jobId': 'j'}");
	DO("GetJobDocument", "ResourceNotFoundException", "{'jobId': 'k'}");
	DO("UpdateJob", "",
	   "{'jobId': 'j', 'description': 'second', 'timeoutConfig': {'inProgressTimeoutInMinutes': 9}}");
	EXPECT_CALL("job.description", "'second'", "DescribeJob", "{'jobId': 'j'}");
	EXPECT_CALL("job.timeoutConfig.inProgressTimeoutInMinutes", "9", "DescribeJob", "{'jobId': 'j'}");
	DO("UpdateJob", "InvalidRequestException",
	   "{'jobId': 'j', 'timeoutConfig': {'inProgressTimeoutInMinutes': -9}}");
	DO("UpdateJob", "ResourceNotFoundException", "{'jobId': 'k'}");
	finish("t", "j", "SUCCEEDED");
	EXPECT_CALL("job.completedAt", "1795000000", "DescribeJob", "{'jobId': 'j'}");
	DO("UpdateJob", "InvalidRequestException", "{'jobId': 'j', 'description': 'third'}");
}

static void test_targets_overlap(void)
{
	json_t *reply;

	/* A thing that several targets name has one execution; groups reach down their tree. */
	add_thing("t");
	add_thing("u");
	add_group("top");
	DO("CreateThingGroup", "", "{'thingGroupName': 'below', 'parentGroupName': 'top'}");
	join("t", "top");
	join("u", "below");
	CREATE("", "'targets': ['" ARN "thing/t', '" ARN "thinggroup/below', '" ARN "thinggroup/top', '" ARN
		   "thing/t'], 'document': '{}'");
	reply = CALL("ListJobExecutionsForJob", "", "{'jobId': 'j'}");
	CU_ASSERT_EQUAL(json_array_size(at(reply, "executionSummaries")), 2);
	EXPECT(reply, "executionSummaries.0.thingArn", "'" ARN "thing/t'");
	EXPECT(reply, "executionSummaries.0.jobExecutionSummary.status", "'QUEUED'");
	EXPECT(reply, "executionSummaries.0.jobExecutionSummary.executionNumber", "1");
	EXPECT(reply, "nextToken", "null");
	json_decref(reply);
	/* A group without things: nothing to do. */
	add_group("empty");
	DO("CreateJob", "", "{'jobId': 'k', 'targets': ['" ARN "thinggroup/empty'], 'document': '{}'}");
	EXPECT_JOB("k", "'COMPLETED'");
}

static void test_cancel(void)
{
	json_t *reply;

	add_thing("t");
	add_thing("u");
	CREATE("", "'targets': ['" ARN "thing/t', '" ARN "thing/u'], 'document': '{}'");
	start("t");
	free(drain());
	reply = CALL("CancelJob", "", "{'jobId': 'j', 'reasonCode': 'RECALL', 'comment': 'wrong image'}");
	EXPECT(reply, "jobId", "'j'");
	json_decref(reply);
	EXPECT_OUTBOX("jobs:u ");
	EXPECT_EXECUTION("t", "j", "status", "'IN_PROGRESS'");
	EXPECT_EXECUTION("u", "j", "status", "'CANCELED'");
	EXPECT_EXECUTION("u", "j", "versionNumber", "2");
	reply = CALL("DescribeJob", "", "{'jobId': 'j'}");
	EXPECT(reply, "job.status", "'CANCELED'");
	EXPECT(reply, "job.reasonCode", "'RECALL'");
	EXPECT(reply, "job.comment", "'wrong image'");
	EXPECT(reply, "job.forceCanceled", "false");
	json_decref(reply);
	/* What runs may end; with force it is cut off. */
	DO("CancelJob", "", "{'jobId': 'j', 'force': true}");
	EXPECT_EXECUTION("t", "j", "status", "'CANCELED'");
	EXPECT_EXECUTION("t", "j", "forceCanceled", "true");
	EXPECT_CALL("job.reasonCode", "'RECALL'", "DescribeJob", "{'jobId': 'j'}");
	DO("CancelJob", "ResourceNotFoundException", "{'jobId': 'k'}");
	add_job("k", "t", "");
	finish("t", "k", "SUCCEEDED");
	DO("CancelJob", "InvalidRequestException", "{'jobId': 'k'}");
}

static void test_delete(void)
{
	add_thing("t");
	CREATE("", TO_T);
	DO("DeleteJob", "InvalidStateTransitionException", "{'jobId': 'j'}");
	start("t");
	free(drain());
	DO("DeleteJob", "", "{'jobId': 'j', 'force': true}");
	EXPECT_OUTBOX("jobs:t ");
	DO("iot-jobs-data:UpdateJobExecution", "ResourceNotFoundException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED'}");
	CREATE("", TO_T);
	finish("t", "j", "FAILED");
	DO("DeleteJob", "", "{'jobId': 'j'}");
	DO("DeleteJob", "ResourceNotFoundException", "{'jobId': 'j'}");
	/* The things that had jobs may go, and take the executions with them. */
	CREATE("", TO_T);
	DO("DeleteThing", "", "{'thingName': 't'}");
	CU_ASSERT_EQUAL(tick(), -1);
	EXPECT_JOB("j", "'COMPLETED'");
	EXPECT_OUTBOX("");
}

static void test_lists(void)
{
	json_t *reply, *second;
	char name[8], token[512];

	add_thing("t");
	add_group("g");
	join("t", "g");
	for (int i = 0; i < 5; i++) {
		snprintf(name, sizeof(name), "j%d", i);
		add_job(name, "t", i == 3 ? ", 'targetSelection': 'CONTINUOUS'" : "");
	}
	DO("CreateJob", "", "{'jobId': 'forgroup', 'targets': ['" ARN "thinggroup/g'], 'document': '{}'}");
	reply = CALL("ListJobs", "", "{'maxResults': 4}");
	CU_ASSERT_EQUAL(json_array_size(at(reply, "jobs")), 4);
	EXPECT(reply, "jobs.0.jobId", "'forgroup'");
	EXPECT(reply, "jobs.3.jobId", "'j2'");
	snprintf(token, sizeof(token), "%s", iot_json_str(reply, "nextToken", ""));
	json_decref(reply);
	second = CALL("ListJobs", "", "{'maxResults': 4, 'nextToken': '%s'}", token);
	CU_ASSERT_EQUAL(json_array_size(at(second, "jobs")), 2);
	EXPECT(second, "jobs.1.jobId", "'j0'");
	EXPECT(second, "nextToken", "null");
	json_decref(second);
	finish("t", "j0", "SUCCEEDED");
	EXPECT_CALL("jobs.0.jobId", "'j0'", "ListJobs", "{'status': 'COMPLETED'}");
	EXPECT_CALL("jobs.0.jobId", "'j3'", "ListJobs", "{'targetSelection': 'CONTINUOUS'}");
	EXPECT_CALL("jobs.0.jobId", "'forgroup'", "ListJobs", "{'thingGroupName': 'g'}");
	EXPECT_CALL("jobs.1", "null", "ListJobs", "{'thingGroupName': 'g'}");
	DO("ListJobs", "ResourceNotFoundException", "{'thingGroupName': 'h'}");
	/* Executions of a thing, newest first, in pages and filtered. */
	reply = CALL("ListJobExecutionsForThing", "", "{'thingName': 't', 'maxResults': 5}");
	EXPECT(reply, "executionSummaries.0.jobId", "'forgroup'");
	snprintf(token, sizeof(token), "%s", iot_json_str(reply, "nextToken", ""));
	json_decref(reply);
	EXPECT_CALL("executionSummaries.0.jobId", "'j0'", "ListJobExecutionsForThing",
		    "{'thingName': 't', 'maxResults': 5, 'nextToken': '%s'}", token);
	EXPECT_CALL("executionSummaries.0.jobId", "'j0'", "ListJobExecutionsForThing",
		    "{'thingName': 't', 'status': 'SUCCEEDED'}");
	EXPECT_CALL("executionSummaries.0.jobExecutionSummary.status", "'QUEUED'", "ListJobExecutionsForThing",
		    "{'thingName': 't', 'jobId': 'j2'}");
	DO("ListJobExecutionsForThing", "ResourceNotFoundException", "{'thingName': 'gone'}");
	DO("ListJobExecutionsForJob", "ResourceNotFoundException", "{'jobId': 'gone'}");
	EXPECT_CALL("executionSummaries", "[]", "ListJobExecutionsForJob", "{'jobId': 'j0', 'status': 'QUEUED'}");
}

static void test_execution_pages(void)
{
	char name[16], token[512] = "";
	int seen = 0, pages = 0;

	add_group("g");
	for (int i = 0; i < 23; i++) {
		snprintf(name, sizeof(name), "t%02d", i);
		add_thing(name);
		join(name, "g");
	}
	DO("CreateJob", "", "{'jobId': 'j', 'targets': ['" ARN "thinggroup/g'], 'document': '{}'}");
	do {
		json_t *reply = CALL("ListJobExecutionsForJob", "", "{'jobId': 'j', 'maxResults': 10%s%s%s}",
				     token[0] != '\0' ? ", 'nextToken': '" : "", token, token[0] != '\0' ? "'" : "");

		seen += (int)json_array_size(at(reply, "executionSummaries"));
		snprintf(token, sizeof(token), "%s", iot_json_str(reply, "nextToken", ""));
		json_decref(reply);
	} while (token[0] != '\0' && ++pages < 10);
	CU_ASSERT_EQUAL(seen, 23);
	CU_ASSERT_EQUAL(pages, 2);
}

UNIT_MAIN("cloud/jobs", set_up, tear_down, {"create_refusals", test_create_refusals},
	  {"config_refusals", test_config_refusals}, {"describe", test_describe},
	  {"targets_overlap", test_targets_overlap}, {"cancel", test_cancel}, {"delete", test_delete},
	  {"lists", test_lists}, {"execution_pages", test_execution_pages})
