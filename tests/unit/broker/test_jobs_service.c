/* The Jobs service as devices use it: what comes in is often not what the documentation says. */
#include "services_fixture.h"

#define JOBS "$aws/things/pump-1/jobs/"

static struct iot_buf out = IOT_BUF_INIT(BROKER_MESSAGE_MAX);

static void ask_bytes(const char *topic, const void *payload, size_t len)
{
	const struct broker_request request = {
		.client = "pump-1", .thing = "pump-1", .topic = topic, .payload = payload, .len = len, .qos = 1};

	jobs_answer(&port, &out, &request);
}

static void begin(void)
{
	services_set_up();
	add_thing("pump-1");
}

static void end(void)
{
	iot_buf_release(&out);
	services_tear_down();
}

/* Ask, and get the one answer as JSON; its topic must be the request's with that end. New reference. */
static json_t *ask_at(int line, const char *topic, const char *suffix, const char *payload)
{
	char *text = strdup(payload), *wanted = iot_strf("%s/%s", topic, suffix);
	json_t *reply = NULL;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	forget_sent();
	ask_bytes(topic, text, strlen(text));
	CU_ASSERT_EQUAL(sent_count, 1);
	if (sent_count == 1) {
		if (strcmp(sent[0].topic, wanted) != 0)
			fprintf(stderr, "\nline %d: %s %s gave %s %s\n", line, topic, payload, sent[0].topic,
				sent[0].payload);
		CU_ASSERT_STRING_EQUAL(sent[0].topic, wanted);
		CU_ASSERT_STRING_EQUAL(sent[0].client, "pump-1");
		reply = json_loadb(sent[0].payload, sent[0].len, 0, NULL);
		CU_ASSERT_PTR_NOT_NULL(reply);
	}
	free(text);
	free(wanted);
	return reply;
}
#define ASK(topic, suffix, payload) ask_at(__LINE__, topic, suffix, payload)
#define EXPECT_ANSWER(path, expected, topic, suffix, payload)                                                          \
	do {                                                                                                           \
		json_t *answer_ = ASK(topic, suffix, payload);                                                         \
		EXPECT(answer_, path, expected);                                                                       \
		json_decref(answer_);                                                                                  \
	} while (0)

static void test_nothing_pending(void)
{
	json_t *reply = ASK(JOBS "start-next", "accepted", "{'clientToken': 'a'}");

	EXPECT(reply, "clientToken", "'a'");
	EXPECT(reply, "timestamp", "1795000000");
	CU_ASSERT_PTR_NULL(json_object_get(reply, "execution"));
	json_decref(reply);
	reply = ASK(JOBS "$next/get", "accepted", "");
	CU_ASSERT_PTR_NULL(json_object_get(reply, "execution"));
	CU_ASSERT_PTR_NULL(json_object_get(reply, "clientToken"));
	json_decref(reply);
	reply = ASK(JOBS "get", "accepted", "{}");
	EXPECT(reply, "inProgressJobs", "[]");
	EXPECT(reply, "queuedJobs", "[]");
	json_decref(reply);
}

static void test_life_of_a_job(void)
{
	json_t *reply;

	DO("CreateJob", "",
	   "{'jobId': 'j1', 'targets': ['" ARN "thing/pump-1'], 'document': '{\\\"afr_ota\\\":{\\\"n\\\":1}}'}");
	EXPECT_ANSWER("queuedJobs.0.jobId", "'j1'", JOBS "get", "accepted", "");
	/* To describe it does not begin it; the document is a value, not a text. */
	reply = ASK(JOBS "$next/get", "accepted", "{'clientToken': '0:pump-1'}");
	EXPECT(reply, "execution.status", "'QUEUED'");
	EXPECT(reply, "execution.jobDocument.afr_ota.n", "1");
	EXPECT(reply, "execution.versionNumber", "1");
	CU_ASSERT_PTR_NULL(at(reply, "execution.statusDetails"));
	json_decref(reply);
	reply = ASK(JOBS "start-next", "accepted", "{'clientToken': ':pump-1', 'thingName': 'other', 'jobId': 'x'}");
	EXPECT(reply, "execution.status", "'IN_PROGRESS'");
	EXPECT(reply, "execution.versionNumber", "2");
	EXPECT(reply, "execution.jobId", "'j1'");
	json_decref(reply);
	/* Asked again, nothing changes: devices count on the version. */
	EXPECT_ANSWER("execution.versionNumber", "2", JOBS "start-next", "accepted", "{}");
	EXPECT_ANSWER("execution.jobDocument", "null", JOBS "j1/get", "accepted", "{'includeJobDocument': false}");
	EXPECT_ANSWER("inProgressJobs.0.versionNumber", "2", JOBS "get", "accepted", "");
	reply = ASK(JOBS "j1/update", "accepted",
		    "{'status': 'IN_PROGRESS', 'statusDetails': {'self_test': 'ready', 'updatedBy': '0x00090002'},"
		    " 'includeJobExecutionState': true, 'includeJobDocument': true}");
	EXPECT(reply, "executionState.versionNumber", "3");
	EXPECT(reply, "executionState.statusDetails.updatedBy", "'0x00090002'");
	EXPECT(reply, "jobDocument.afr_ota.n", "1");
	json_decref(reply);
	EXPECT_ANSWER("execution.statusDetails.self_test", "'ready'", JOBS "$next/get", "accepted", "");
	/* A version as text, as a device of the field sends it. */
	reply = ASK(JOBS "j1/update", "accepted",
		    "{'status': 'SUCCEEDED', 'expectedVersion': '3', 'clientToken': 't'}");
	EXPECT(reply, "clientToken", "'t'");
	CU_ASSERT_EQUAL(json_object_size(reply), 2);
	json_decref(reply);
	EXPECT_EXECUTION("pump-1", "j1", "status", "'SUCCEEDED'");
}

static void test_refusals(void)
{
	json_t *reply;

	add_job("j1", "pump-1", "");
	start("pump-1");
	reply = ASK(JOBS "j1/update", "rejected", "{'status': 'SUCCEEDED', 'expectedVersion': 7, 'clientToken': 'c'}");
	EXPECT(reply, "code", "'VersionMismatch'");
	EXPECT(reply, "clientToken", "'c'");
	EXPECT(reply, "timestamp", "1795000000");
	EXPECT(reply, "executionState.versionNumber", "2");
	EXPECT(reply, "executionState.status", "'IN_PROGRESS'");
	json_decref(reply);
	EXPECT_ANSWER("code", "'ResourceNotFound'", JOBS "foreign/update", "rejected", "{'status': 'SUCCEEDED'}");
	EXPECT_ANSWER("code", "'ResourceNotFound'", JOBS "foreign/get", "rejected", "");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "j1/update", "rejected", "");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "j1/update", "rejected", "{'status': 'CANCELED'}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "j1/update", "rejected", "{'status': 'DONE'}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "j1/update", "rejected",
		      "{'status': 'FAILED', 'statusDetails': {'n': 1}}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "j1/update", "rejected",
		      "{'status': 'FAILED', 'expectedVersion': 'two'}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "$next/update", "rejected", "{'status': 'FAILED'}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "bad job/get", "rejected", "");
	EXPECT_ANSWER("code", "'ResourceNotFound'", "$aws/things/nobody/jobs/get", "rejected", "");
	report("pump-1", "j1", "FAILED");
	reply = ASK(JOBS "j1/update", "rejected", "{'status': 'SUCCEEDED'}");
	EXPECT(reply, "code", "'InvalidStateTransition'");
	EXPECT(reply, "executionState.status", "'FAILED'");
	json_decref(reply);
	EXPECT_ANSWER("code", "'TerminalStateReached'", JOBS "j1/get", "rejected", "");
}

static void test_malformed(void)
{
	static const char *const broken[] = {"{",         "{'a': 1", "nul", "{'status': 'FAILED'}}", "{'a':1,'a':2}",
					     "'\\u0000'", "\xff"};
	char deep[600] = "";

	for (size_t i = 0; i < IOT_LENGTH(broken); i++)
		EXPECT_ANSWER("code", "'InvalidJson'", JOBS "start-next", "rejected", broken[i]);
	for (size_t i = 0; i < 500; i++)
		deep[i] = '[';
	EXPECT_ANSWER("code", "'InvalidJson'", JOBS "start-next", "rejected", deep);
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "start-next", "rejected", "[]");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "start-next", "rejected", "7");
	/* A NUL behind the text is not JSON. */
	forget_sent();
	ask_bytes(JOBS "get", "{}", 3);
	CU_ASSERT_EQUAL(sent_count, 1);
	CU_ASSERT_STRING_EQUAL(sent[0].topic, JOBS "get/rejected");
	CU_ASSERT_EQUAL(sent[0].qos, '1');
}

static void test_tokens(void)
{
	static const char *const odd[] = {"''", "':pump-1'", "'a\\\"b'", "'\xc3\xa9'", "7", "true"};
	char *request, *expected, longest[700] = "";

	for (size_t i = 0; i < IOT_LENGTH(odd); i++) {
		request = iot_strf("{'clientToken': %s}", odd[i]);
		expected = iot_strf("%s", odd[i]);
		EXPECT_ANSWER("clientToken", expected, JOBS "start-next", "accepted", request);
		EXPECT_ANSWER("clientToken", expected, JOBS "nojob/get", "rejected", request);
		free(request);
		free(expected);
	}
	EXPECT_ANSWER("clientToken", "null", JOBS "start-next", "accepted", "{'clientToken': null}");
	EXPECT_ANSWER("code", "'InvalidRequest'", JOBS "start-next", "rejected", "{'clientToken': {}}");
	memset(longest, 'x', 600);
	request = iot_strf("{'clientToken': '%s'}", longest);
	EXPECT_ANSWER("clientToken", "null", JOBS "start-next", "rejected", request);
	free(request);
}

static void test_faults_stay_inside(void)
{
	json_t *reply;

	fault = "InternalFailureException";
	reply = ASK(JOBS "start-next", "rejected", "{'clientToken': 'z'}");
	EXPECT(reply, "code", "'InternalError'");
	EXPECT(reply, "clientToken", "'z'");
	CU_ASSERT_PTR_NULL(strstr(json_string_value(json_object_get(reply, "message")), "secret"));
	json_decref(reply);
	fault = "ServiceUnavailableException";
	EXPECT_ANSWER("code", "'RequestThrottled'", JOBS "get", "rejected", "");
}

static void test_topics(void)
{
	static const struct {
		const char *topic;
		bool jobs;
	} topics[] = {
		{JOBS "get", true},
		{JOBS "start-next", true},
		{JOBS "$next/get", true},
		{JOBS "j1/update", true},
		{JOBS "update", false},
		{JOBS "get/", false},
		{JOBS "/get", false},
		{JOBS "get/accepted", false},
		{JOBS "j1/get/accepted", false},
		{JOBS "j1/start-next", false},
		{"$aws/things//jobs/get", false},
		{"$aws/things/pump-1/shadow/get", false},
		{"$aws/things/pump-1", false},
		{"$aws/things/", false},
		{"", false},
	};
	char *name = iot_alloc(200), *topic;

	for (size_t i = 0; i < IOT_LENGTH(topics); i++) {
		if (jobs_is_request(topics[i].topic) != topics[i].jobs)
			fprintf(stderr, "\n%s\n", topics[i].topic);
		CU_ASSERT_EQUAL(jobs_is_request(topics[i].topic), topics[i].jobs);
	}
	memset(name, 'n', 129);
	topic = iot_strf("$aws/things/%s/jobs/get", name);
	CU_ASSERT_FALSE(jobs_is_request(topic));
	free(topic);
	free(name);
	EXPECT_ANSWER("code", "'InvalidTopic'", JOBS "update", "rejected", "{}");
}

static void test_notice(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	json_t *list = NULL, *next = NULL;
	char *name = NULL;

	ASSERT_OK(jobs_notice(&port, "pump-1", &list, &next, &name, &err), &err);
	EXPECT(list, "jobs", "{}");
	CU_ASSERT_PTR_NULL(json_object_get(next, "execution"));
	CU_ASSERT_STRING_EQUAL(name, "");
	json_decref(list);
	json_decref(next);
	free(name);
	add_job("j1", "pump-1", "");
	add_job("j2", "pump-1", "");
	start("pump-1");
	ASSERT_OK(jobs_notice(&port, "pump-1", &list, &next, &name, &err), &err);
	EXPECT(list, "timestamp", "1795000000");
	EXPECT(list, "jobs.QUEUED.0.jobId", "'j2'");
	EXPECT(list, "jobs.IN_PROGRESS.0.jobId", "'j1'");
	EXPECT(next, "execution.jobId", "'j1'");
	EXPECT(next, "execution.jobDocument", "{}");
	CU_ASSERT_STRING_EQUAL(name, "j1 1");
	json_decref(list);
	json_decref(next);
	free(name);
	CU_ASSERT_EQUAL(jobs_notice(&port, "nobody", &list, &next, &name, &err), IOT_NOT_FOUND);
}

UNIT_MAIN("broker/jobs_service", begin, end, {"nothing_pending", test_nothing_pending},
	  {"life_of_a_job", test_life_of_a_job}, {"refusals", test_refusals}, {"malformed", test_malformed},
	  {"tokens", test_tokens}, {"faults_stay_inside", test_faults_stay_inside}, {"topics", test_topics},
	  {"notice", test_notice})
