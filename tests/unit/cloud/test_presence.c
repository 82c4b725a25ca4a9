/* What serve tells the registry: who is connected, what devices report; and the outbox that serve reads. */
#include "jobs_fixture.h"

static void presence(const char *client, bool connected, int64_t connection)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_local_presence(cloud, client, connected, connection,
				     connected ? NULL : "CLIENT_INITIATED_DISCONNECT", connected ? "192.0.2.7" : NULL,
				     connected ? "abc" : NULL, &err),
		  &err);
}

#define STATE "iotctl:GetDeviceState"
#define CONNECTED(expected) EXPECT_CALL("connection.connected", expected, STATE, "{'thingName': 't'}")

static void test_presence(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *reply;

	add_thing("t");
	CONNECTED("null");
	presence("t", true, 100);
	CONNECTED("true");
	/* A takeover: the new connection is known before the old one is told of as gone. */
	presence("t", true, 101);
	presence("t", false, 100);
	CONNECTED("true");
	presence("t", false, 101);
	reply = CALL(STATE, "", "{'thingName': 't'}");
	EXPECT(reply, "connection.connected", "false");
	EXPECT(reply, "connection.reason", "'CLIENT_INITIATED_DISCONNECT'");
	EXPECT(reply, "connection.address", "'192.0.2.7'");
	EXPECT(reply, "connection.certificateId", "'abc'");
	EXPECT(reply, "connection.since", "1795000000");
	json_decref(reply);
	/* Late news of a connection that has ended. */
	presence("t", true, 101);
	CONNECTED("false");
	presence("t", true, 102);
	ASSERT_OK(iot_local_presence_reset(cloud, &err), &err);
	CONNECTED("false");
	presence("t", true, 102); /* it lasted through the restart */
	CONNECTED("true");
	DO(STATE, "ResourceNotFoundException", "{'thingName': 'u'}");
}

static bool state(const char *text)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *json;
	bool requeued = false;
	char *copy = strdup(text);

	for (char *c = copy; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	json = json_loads(copy, 0, NULL);
	ASSERT_OK(iot_local_state(cloud, "t", json, &requeued, &err), &err);
	json_decref(json);
	free(copy);
	return requeued;
}

static void test_state(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *big = json_object(), *reply;
	char *text = iot_alloc(9001);

	add_thing("t");
	EXPECT_CALL("firmware", "null", STATE, "{'thingName': 't'}");
	CU_ASSERT_FALSE(state("{'firmware': '1.0.0', 'boot': 'power', 'slot': 1}"));
	reply = CALL(STATE, "", "{'thingName': 't'}");
	EXPECT(reply, "firmware", "'1.0.0'");
	EXPECT(reply, "state.slot", "1");
	EXPECT(reply, "reportedAt", "1795000000");
	json_decref(reply);
	CU_ASSERT_FALSE(state("{'slot': 2}"));
	EXPECT_CALL("firmware", "'1.0.0'", STATE, "{'thingName': 't'}");
	ASSERT_STATUS(iot_local_state(cloud, "gone", big, NULL, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(iot_local_state(cloud, "t", json_null(), NULL, &err), IOT_USAGE, &err);
	memset(text, 'x', 9000);
	iot_json_set_str(big, "note", text);
	ASSERT_STATUS(iot_local_state(cloud, "t", big, NULL, &err), IOT_USAGE, &err);
	json_decref(big);
	free(text);
}

static void push(const char *id, const char *version)
{
	char image[65];

	add_image('a', 100, image);
	EXPECT_CALL("otaUpdateStatus", "'CREATE_COMPLETE'", "CreateOTAUpdate",
		    "{'otaUpdateId': '%s', 'targets': ['" ARN "thing/t'], 'roleArn': '" ROLE
		    "', 'files': [{'fileVersion': '%s', "
		    "'fileLocation': {'s3Location': {'bucket': 'demo', 'key': '%s'}}}]}",
		    id, version, image);
}

static void test_offered_again(void)
{
	add_thing("t");
	push("one", "1.9.0");
	CU_ASSERT_FALSE(state("{'firmware': '1.0.0', 'boot': 'factory'}")); /* it is pending anyhow */
	finish("t", "AFR_OTA-one", "SUCCEEDED");
	EXPECT_JOB("AFR_OTA-one", "'COMPLETED'");
	CU_ASSERT_FALSE(state("{'firmware': '1.9.0', 'boot': 'update'}"));
	CU_ASSERT_FALSE(state("{'firmware': '1.10.0'}")); /* newer than accepted: its own business */
	free(drain());
	CU_ASSERT(state("{'firmware': '1.0.0', 'boot': 'factory'}"));
	EXPECT_OUTBOX("jobs:t ");
	EXPECT_JOB("AFR_OTA-one", "'IN_PROGRESS'");
	EXPECT_CALL("job.completedAt", "null", "DescribeJob", "{'jobId': 'AFR_OTA-one'}");
	EXPECT_EXECUTION("t", "AFR_OTA-one", "executionNumber", "2");
	CU_ASSERT_FALSE(state("{'firmware': '1.0.0', 'boot': 'factory'}")); /* once */
	finish("t", "AFR_OTA-one", "SUCCEEDED");
	EXPECT_JOB("AFR_OTA-one", "'COMPLETED'");
	/* An older firmware without a word about the boot. */
	CU_ASSERT(state("{'firmware': '1.8.9'}"));
	finish("t", "AFR_OTA-one", "FAILED");
	/* It did not work this time: no loop. */
	CU_ASSERT_FALSE(state("{'firmware': '1.8.9'}"));
	CU_ASSERT_FALSE(state("{'firmware': '1.8.9', 'boot': 'factory'}"));
}

static void test_which_is_offered(void)
{
	add_thing("t");
	push("one", "1.1.0");
	finish("t", "AFR_OTA-one", "SUCCEEDED");
	iot_clock_freeze(NOW + 1000);
	push("two", "1.2.0");
	CU_ASSERT_FALSE(state("{'firmware': '1.0.0', 'boot': 'factory'}")); /* it has something to do already */
	finish("t", "AFR_OTA-two", "SUCCEEDED");
	/* The one accepted last, not every one before it. */
	CU_ASSERT(state("{'firmware': '1.0.0', 'boot': 'factory'}"));
	EXPECT_EXECUTION("t", "AFR_OTA-one", "executionNumber", "1");
	EXPECT_EXECUTION("t", "AFR_OTA-two", "executionNumber", "2");
	finish("t", "AFR_OTA-two", "SUCCEEDED");
	/* Back to an older one on purpose: that is now what it should run. */
	iot_clock_freeze(NOW + 2000);
	push("back", "1.1.0");
	finish("t", "AFR_OTA-back", "SUCCEEDED");
	CU_ASSERT_FALSE(state("{'firmware': '1.1.0'}"));
	/* A job that was canceled is not offered again; nor is one of a thing that never accepted it. */
	push("three", "1.3.0");
	finish("t", "AFR_OTA-three", "REJECTED");
	CU_ASSERT_FALSE(state("{'firmware': '1.1.0', 'boot': 'power'}"));
}

static bool keep_odd(const struct iot_outbox_row *row, void *data)
{
	int *calls = data;

	CU_ASSERT_STRING_EQUAL(row->kind, "jobs");
	return ++*calls % 2 == 0;
}

static void test_outbox_survives(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int calls = 0, count = -1;

	add_thing("a");
	add_thing("b");
	add_job("ja", "a", "");
	add_job("jb", "b", "");
	reopen();
	ASSERT_OK(iot_local_outbox(cloud, 10, keep_odd, &calls, &count, &err), &err);
	CU_ASSERT_EQUAL(calls, 2);
	CU_ASSERT_EQUAL(count, 1);
	reopen();
	EXPECT_OUTBOX("jobs:a ");
	EXPECT_OUTBOX("");
	ASSERT_STATUS(iot_local_outbox(cloud, 0, keep_odd, &calls, &count, &err), IOT_USAGE, &err);
	/* What cannot be said any more goes. */
	add_job("jc", "a", "");
	DO("DeleteThing", "", "{'thingName': 'a'}");
	EXPECT_OUTBOX("");
}

/* A change while its forerunner is being said: the row of the change must survive. */
static bool add_meanwhile(const struct iot_outbox_row *row, void *data)
{
	(void)data;
	add_job("second", row->thing, "");
	return true;
}

static bool cancel_meanwhile(const struct iot_outbox_row *row, void *data)
{
	(void)data;
	DO("CancelJobExecution", "", "{'thingName': '%s', 'jobId': 'second'}", row->thing);
	return true;
}

static void test_outbox_race(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	int count = 0;

	add_thing("t");
	add_job("first", "t", "");
	ASSERT_OK(iot_local_outbox(cloud, 10, add_meanwhile, NULL, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	ASSERT_OK(iot_local_outbox(cloud, 10, cancel_meanwhile, NULL, &count, &err), &err);
	CU_ASSERT_EQUAL(count, 1);
	EXPECT_OUTBOX("jobs:t ");
}

static void note_thing(const char *thing, void *data)
{
	iot_buf_addf(data, "%s ", thing);
}

static void test_pending_things(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf names = IOT_BUF_INIT(1000);

	add_thing("idle");
	add_thing("queued");
	add_thing("busy");
	add_thing("done");
	add_job("a", "queued", "");
	add_job("b", "busy", "");
	add_job("c", "busy", "");
	add_job("d", "done", "");
	start("busy");
	finish("done", "d", "SUCCEEDED");
	ASSERT_OK(iot_local_pending_things(cloud, note_thing, &names, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&names), "queued busy ");
	iot_buf_release(&names);
}

UNIT_MAIN("cloud/presence", set_up, tear_down, {"presence", test_presence}, {"state", test_state},
	  {"offered_again", test_offered_again}, {"which_is_offered", test_which_is_offered},
	  {"outbox_survives", test_outbox_survives}, {"outbox_race", test_outbox_race},
	  {"pending_things", test_pending_things})
