/* Events of jobs and executions: what whoever watches the fleet is told, as AWS IoT's developer guide has it. */
#include "jobs_fixture.h"

#include "iotctl/json.h"

/* Topics of the events since the last time, without what they all begin with; payloads in `payloads`. */
static json_t *payloads;

static bool take_event(const struct iot_outbox_row *row, void *data)
{
	json_t *payload = NULL;

	if (strcmp(row->kind, "event") != 0)
		return true;
	CU_ASSERT_EQUAL(strncmp(row->topic, "$aws/events/", 12), 0);
	CU_ASSERT_EQUAL(row->qos, 1);
	CU_ASSERT_FALSE(row->retain);
	iot_buf_addf(data, "%s ", row->topic + 12);
	ASSERT_OK(iot_json_parse(row->payload, row->payload_len, "event", &payload, NULL), NULL);
	json_array_append_new(payloads, payload);
	return true;
}

static void events_are(int line, const char *expected)
{
	struct iot_buf topics = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	int count = 1;

	json_decref(payloads);
	payloads = json_array();
	while (count > 0)
		ASSERT_OK(iot_local_outbox(cloud, 100, take_event, &topics, &count, &err), &err);
	if (strcmp(iot_buf_str(&topics), expected) != 0)
		fprintf(stderr, "\nline %d: %s\n", line, iot_buf_str(&topics));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&topics), expected);
	iot_buf_release(&topics);
}
#define EVENTS(expected) events_are(__LINE__, expected)

/* The payload of the event at an index is this, but for its id. */
static void payload_is_at(int line, size_t index, const char *expected)
{
	json_t *payload = json_deep_copy(json_array_get(payloads, index));
	char *text;

	CU_ASSERT_EQUAL(strlen(iot_json_str(payload, "eventId", "")), 36);
	json_object_del(payload, "eventId");
	text = iot_json_text(payload);
	for (char *c = text; *c != '\0'; c++)
		*c = *c == '"' ? '\'' : *c;
	if (strcmp(text, expected) != 0)
		fprintf(stderr, "\nline %d: %s\n", line, text);
	CU_ASSERT_STRING_EQUAL(text, expected);
	free(text);
	json_decref(payload);
}
#define PAYLOAD(index, expected) payload_is_at(__LINE__, index, expected)

static void forget(void)
{
	json_decref(payloads);
	payloads = NULL;
}

static void make_job(const char *id, const char *target, const char *more)
{
	DO("CreateJob", "", "{'jobId': '%s', 'targets': ['" ARN "%s'], 'document': '{}', 'description': 'd'%s}", id,
	   target, more);
}

static void test_success(void)
{
	add_thing("t");
	make_job("j", "thing/t", "");
	EVENTS("");
	start("t");
	EVENTS("");
	DO("iot-jobs-data:UpdateJobExecution", "",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'SUCCEEDED', 'statusDetails': {'k': 'v'}}");
	EVENTS("jobExecution/j/succeeded job/j/completed ");
	PAYLOAD(0, "{'eventType':'JOB_EXECUTION','timestamp':1795000000,'operation':'succeeded','jobId':'j',"
		   "'thingArn':'" ARN "thing/t','status':'SUCCEEDED','statusDetails':{'k':'v'}}");
	PAYLOAD(1,
		"{'eventType':'JOB','timestamp':1795000000,'operation':'completed','jobId':'j','status':'COMPLETED',"
		"'targetSelection':'SNAPSHOT','targets':['" ARN "thing/t'],'description':'d',"
		"'completedAt':1795000000000,'createdAt':1795000000000,'lastUpdatedAt':1795000000000,"
		"'jobProcessDetails':{'numberOfCanceledThings':0,'numberOfRejectedThings':0,'numberOfFailedThings':0,"
		"'numberOfRemovedThings':0,'numberOfSucceededThings':1}}");
	/* A report that changes nothing tells nothing. */
	DO("iot-jobs-data:UpdateJobExecution", "InvalidStateTransitionException",
	   "{'thingName': 't', 'jobId': 'j', 'status': 'FAILED'}");
	EVENTS("");
	forget();
}

static void test_other_ends(void)
{
	add_thing("t");
	make_job("f", "thing/t", "");
	finish("t", "f", "FAILED");
	EVENTS("jobExecution/f/failed job/f/completed ");
	make_job("r", "thing/t", "");
	finish("t", "r", "REJECTED");
	EVENTS("jobExecution/r/rejected job/r/completed ");
	make_job("l", "thing/t", ", 'timeoutConfig': {'inProgressTimeoutInMinutes': 1}");
	start("t");
	iot_clock_freeze(NOW + 2 * MINUTE);
	tick();
	EVENTS("jobExecution/l/timed_out job/l/completed ");
	PAYLOAD(0, "{'eventType':'JOB_EXECUTION','timestamp':1795000120,'operation':'timed_out','jobId':'l',"
		   "'thingArn':'" ARN "thing/t','status':'TIMED_OUT','statusDetails':{}}");
	forget();
}

static void test_cancel(void)
{
	add_thing("t");
	add_thing("u");
	DO("CreateJob", "", "{'jobId': 'j', 'targets': ['" ARN "thing/t', '" ARN "thing/u'], 'document': '{}'}");
	DO("CancelJobExecution", "", "{'jobId': 'j', 'thingName': 't'}");
	EVENTS("jobExecution/j/canceled ");
	DO("CancelJob", "", "{'jobId': 'j', 'comment': 'why'}");
	EVENTS("jobExecution/j/canceled job/j/cancellation_in_progress job/j/canceled ");
	PAYLOAD(2, "{'eventType':'JOB','timestamp':1795000000,'operation':'canceled','jobId':'j','status':'CANCELED',"
		   "'targetSelection':'SNAPSHOT','targets':['" ARN "thing/t','" ARN "thing/u'],'comment':'why',"
		   "'createdAt':1795000000000,'lastUpdatedAt':1795000000000}");
	forget();
}

static void test_delete(void)
{
	add_thing("t");
	add_thing("u");
	DO("CreateJob", "", "{'jobId': 'j', 'targets': ['" ARN "thing/t', '" ARN "thing/u'], 'document': '{}'}");
	finish("t", "j", "SUCCEEDED");
	EVENTS("jobExecution/j/succeeded ");
	/* What had ended before says nothing again. */
	DO("DeleteJob", "", "{'jobId': 'j', 'force': true}");
	EVENTS("job/j/deletion_in_progress jobExecution/j/deleted job/j/deleted ");
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(payloads, 1), "thingArn", ""), ARN "thing/u");
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(payloads, 2), "status", ""), "DELETED");
	make_job("k", "thing/t", "");
	DO("DeleteJobExecution", "", "{'jobId': 'k', 'thingName': 't', 'executionNumber': 1, 'force': true}");
	EVENTS("jobExecution/k/deleted job/k/completed ");
	/* A device that goes takes its executions with it. */
	make_job("m", "thing/t", "");
	DO("DeleteThing", "", "{'thingName': 't'}");
	EVENTS("");
	forget();
}

static void test_removed(void)
{
	add_thing("t");
	DO("CreateThingGroup", "", "{'thingGroupName': 'g'}");
	DO("AddThingToThingGroup", "", "{'thingGroupName': 'g', 'thingName': 't'}");
	make_job("c", "thinggroup/g", ", 'targetSelection': 'CONTINUOUS'");
	DO("RemoveThingFromThingGroup", "", "{'thingGroupName': 'g', 'thingName': 't'}");
	EVENTS("jobExecution/c/removed ");
	forget();
}

UNIT_MAIN("cloud/job_events", set_up, tear_down, {"success", test_success}, {"other_ends", test_other_ends},
	  {"cancel", test_cancel}, {"delete", test_delete}, {"removed", test_removed})
