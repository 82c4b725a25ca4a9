/* Shadows in the registry: what is said with each change, versions that outlive a document, limits. */
#include "jobs_fixture.h"

#define HOUR (INT64_C(60) * MINUTE)

/* An operation with a payload (' for "); "" or the code. *ret_out may be NULL; new memory. */
static const char *exchange(const char *operation, const char *names, const char *payload, char **ret_out)
{
	static struct iot_error err;
	IOT_CLEAN(iot_free_p) char *text = strdup(payload != NULL ? payload : "");
	IOT_CLEAN(iot_free_p) char *request_text = strdup(names);
	struct iot_body in = {.data = text, .len = strlen(text), .fd = -1};
	struct iot_buf out = IOT_BUF_INIT(1 << 20);
	IOT_JSON request = NULL;
	enum iot_status status;

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	for (char *c = request_text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	request = json_loads(request_text, 0, NULL);
	iot_error_clear(&err);
	status = iot_cloud_call(cloud, operation, request, payload != NULL ? &in : NULL, NULL, &out, &err);
	if (ret_out != NULL)
		*ret_out = iot_buf_detach(&out);
	iot_buf_release(&out);
	return status == IOT_OK ? "" : err.code;
}

#define PUMP "{'thingName': 'pump'}"
#define CONFIG "{'thingName': 'pump', 'shadowName': 'config'}"
#define UPDATE(names, payload) exchange("UpdateThingShadow", names, payload, NULL)

static int64_t version_of(const char *names)
{
	char *text = NULL;
	IOT_JSON value = NULL;

	CU_ASSERT_STRING_EQUAL(exchange("GetThingShadow", names, NULL, &text), "");
	value = json_loads(text, 0, NULL);
	free(text);
	return iot_json_int(value, "version", -1);
}

/* --- the outbox ----------------------------------------------------------------------------------- */

static bool take_row(const struct iot_outbox_row *row, void *data)
{
	struct iot_buf *said = data;

	CU_ASSERT_STRING_EQUAL(row->kind, "publish");
	CU_ASSERT_EQUAL(row->qos, 1);
	CU_ASSERT_FALSE(row->retain);
	iot_buf_addf(said, "%s %.*s\n", row->topic, (int)row->payload_len, (const char *)row->payload);
	return true;
}

/* What waits to be said, a line each; new memory. */
static char *said(void)
{
	struct iot_buf text = IOT_BUF_INIT(1 << 20);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_local_outbox(cloud, 100, take_row, &text, NULL, &err), &err);
	return iot_buf_detach(&text);
}

static void expect_said(int line, const char *expected)
{
	IOT_CLEAN(iot_free_p) char *got = said();
	IOT_CLEAN(iot_free_p) char *want = strdup(expected);

	for (char *c = want; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	if (strcmp(got, want) != 0)
		fprintf(stderr, "\nline %d: said:\n%snot:\n%s", line, got, want);
	CU_ASSERT_STRING_EQUAL(got, want);
}
#define EXPECT_SAID(text) expect_said(__LINE__, text)

#define AT "{'timestamp':1795000000}"
#define TOPIC "$aws/things/pump/shadow/"

static void test_said(void)
{
	add_thing("pump");
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {'desired': {'a': 1}}, 'clientToken': 't'}"), "");
	EXPECT_SAID(TOPIC "update/accepted {'state':{'desired':{'a':1}},'metadata':{'desired':{'a':" AT
			  "}},'version':1,"
			  "'timestamp':1795000000,'clientToken':'t'}\n" TOPIC
			  "update/delta {'state':{'a':1},'metadata':{'a':" AT "},'version':1,'timestamp':1795000000,"
			  "'clientToken':'t'}\n" TOPIC
			  "update/documents {'previous':{'state':{},'metadata':{},'version':0},'current':{'state':"
			  "{'desired':{'a':1}},'metadata':{'desired':{'a':" AT "}},'version':1},'timestamp':1795000000,"
			  "'clientToken':'t'}\n");
	/* Nothing is left to do: no delta. */
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {'desired': null}}"), "");
	EXPECT_SAID(
		TOPIC
		"update/accepted {'state':{'desired':null},'metadata':{},'version':2,'timestamp':1795000000}\n" TOPIC
		"update/documents {'previous':{'state':{'desired':{'a':1}},'metadata':{'desired':{'a':" AT
		"}},'version':1},'current':{'state':{},'metadata':{},'version':2},'timestamp':1795000000}\n");
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {'reported': {}}}"), "");
	EXPECT_SAID(TOPIC "name/config/update/accepted {'state':{'reported':{}},'metadata':{},'version':1,"
			  "'timestamp':1795000000}\n" TOPIC
			  "name/config/update/documents {'previous':{'state':{},'metadata':{},'version':0},'current':"
			  "{'state':{},'metadata':{},'version':1},'timestamp':1795000000}\n");
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, "{'clientToken': 'd'}", NULL), "");
	EXPECT_SAID(TOPIC "name/config/delete/accepted {'version':1,'timestamp':1795000000,'clientToken':'d'}\n");
}

/* What is refused is neither kept nor said. */
static void test_refused(void)
{
	static const struct {
		const char *names, *payload, *code;
	} rows[] = {
		{PUMP, "{'state': {'desired': {'b': 1}}, 'version': 9}", "ConflictException"},
		{PUMP, "{'state': []}", "InvalidRequestException"},
		{PUMP, "", "InvalidRequestException"},
		{PUMP, NULL, "InvalidRequestException"},
		{"{'thingName': 'nobody'}", "{'state': {}}", "ResourceNotFoundException"},
		{"{'thingName': 'pump', 'shadowName': 'a b'}", "{'state': {}}", "InvalidRequestException"},
		{"{'thingName': 'pump', 'shadowName': ''}", "{'state': {}}", "InvalidRequestException"},
		{"{'thingName': 'pump', 'payload': 'x'}", "{'state': {}}", "InvalidRequestException"},
	};
	char *text = NULL, *before = NULL;

	add_thing("pump");
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {'desired': {'a': 0.1}}}"), "");
	free(said());
	CU_ASSERT_STRING_EQUAL(exchange("GetThingShadow", PUMP, NULL, &before), "");
	for (size_t i = 0; i < IOT_LENGTH(rows); i++)
		CU_ASSERT_STRING_EQUAL(UPDATE(rows[i].names, rows[i].payload), rows[i].code);
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, NULL, NULL), "ResourceNotFoundException");
	EXPECT_SAID("");
	CU_ASSERT_STRING_EQUAL(exchange("GetThingShadow", PUMP, NULL, &text), "");
	CU_ASSERT_STRING_EQUAL(text, before);
	free(text);
	free(before);
	reopen();
	CU_ASSERT_EQUAL(version_of(PUMP), 1);
}

/* A list of small numbers has metadata many times its size: one that no message could carry is refused. */
static void test_metadata_too_large(void)
{
	struct iot_buf list = IOT_BUF_INIT(100000);
	IOT_CLEAN(iot_free_p) char *whole = NULL;

	for (int i = 0; i < 4000; i++)
		iot_buf_adds(&list, i == 0 ? "1" : ",1");
	add_thing("pump");
	whole = iot_strf("{'state': {'desired': {'l': [%s]}}}", iot_buf_str(&list));
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, whole), "");
	free(said());
	/* Before and after together are too much; away from it there is always a way. */
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, whole), "RequestEntityTooLargeException");
	EXPECT_SAID("");
	CU_ASSERT_EQUAL(version_of(PUMP), 1);
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {'desired': null}}"), "");
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, whole), "");
	iot_buf_release(&list);
}

/* --- versions ------------------------------------------------------------------------------------------ */

static void test_versions_go_on(void)
{
	add_thing("pump");
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}}"), "");
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}, 'version': 1}"), "");
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, NULL, NULL), "");
	CU_ASSERT_STRING_EQUAL(exchange("GetThingShadow", CONFIG, NULL, NULL), "ResourceNotFoundException");
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, NULL, NULL), "ResourceNotFoundException");
	iot_clock_freeze(NOW + 47 * HOUR);
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}, 'version': 0}"), "");
	CU_ASSERT_EQUAL(version_of(CONFIG), 3);
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, NULL, NULL), "");
	iot_clock_freeze(NOW + 96 * HOUR);
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}}"), "");
	CU_ASSERT_EQUAL(version_of(CONFIG), 1);
}

static int64_t count(const char *sql)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_stmt *stmt = NULL;
	bool row = false;
	int64_t result = -1;

	ASSERT_OK(iot_stmt_get(iot_local_store(cloud), sql, &stmt, &err), &err);
	ASSERT_OK(iot_stmt_step(stmt, &row, &err), &err);
	if (row)
		result = iot_stmt_int(stmt, 0);
	iot_stmt_done(stmt);
	return result;
}

/* Nothing is kept for ever, and nothing outlives the thing. */
static void test_left_behind(void)
{
	static const char rows[] = "SELECT count(*) FROM shadows";

	add_thing("pump");
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {}}"), "");
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}}"), "");
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", PUMP, NULL, NULL), "");
	CU_ASSERT_EQUAL(count(rows), 2);
	iot_clock_freeze(NOW + 49 * HOUR);
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", CONFIG, NULL, NULL), "");
	CU_ASSERT_EQUAL(count(rows), 1);
	DO("DeleteThing", "", "{'thingName': 'pump'}");
	CU_ASSERT_EQUAL(count(rows), 0);
	EXPECT_SAID(""); /* nor is it spoken of */
}

/* --- limits, files -------------------------------------------------------------------------------------- */

static void test_named_limit(void)
{
	IOT_CLEAN(iot_free_p) char *names = NULL;

	add_thing("pump");
	for (int i = 0; i < 25; i++) {
		IOT_CLEAN(iot_free_p) char *one = iot_strf("{'thingName': 'pump', 'shadowName': 's%02d'}", i);

		CU_ASSERT_STRING_EQUAL(UPDATE(one, "{'state': {}}"), "");
	}
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}}"), "InvalidRequestException");
	CU_ASSERT_STRING_EQUAL(UPDATE(PUMP, "{'state': {}}"), "");
	CU_ASSERT_STRING_EQUAL(UPDATE("{'thingName': 'pump', 'shadowName': 's03'}", "{'state': {}}"), "");
	CU_ASSERT_STRING_EQUAL(exchange("DeleteThingShadow", "{'thingName': 'pump', 'shadowName': 's03'}", NULL, NULL),
			       "");
	CU_ASSERT_STRING_EQUAL(UPDATE(CONFIG, "{'state': {}}"), "");
	EXPECT_CALL("results.0", "'config'", "ListNamedShadowsForThing", "{'thingName': 'pump', 'pageSize': 1}");
	EXPECT_CALL("results.24", "'s24'", "ListNamedShadowsForThing", "{'thingName': 'pump'}");
}

static void test_file(void)
{
	static const char good[] = "{\"state\": {\"desired\": {\"a\": 1}}}";
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "payload");
	struct iot_body in = {.fd = -1};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_JSON names = json_pack("{s:s}", "thingName", "pump");
	IOT_CLEAN(iot_free_p) char *big = iot_alloc(200000);
	FILE *file;

	add_thing("pump");
	memset(big, ' ', 199999);
	ASSERT_OK(iot_fs_write(path, 0600, good, strlen(good), &err), &err);
	file = fopen(path, "r");
	in.fd = fileno(file);
	ASSERT_OK(iot_cloud_call(cloud, "UpdateThingShadow", names, &in, NULL, NULL, &err), &err);
	fclose(file);
	ASSERT_OK(iot_fs_write(path, 0600, big, 199999, &err), &err);
	file = fopen(path, "r");
	in.fd = fileno(file);
	ASSERT_STATUS(iot_cloud_call(cloud, "UpdateThingShadow", names, &in, NULL, NULL, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.code, "RequestEntityTooLargeException");
	fclose(file);
}

UNIT_MAIN("cloud/shadows", set_up, tear_down, {"said", test_said}, {"refused", test_refused},
	  {"metadata-too-large", test_metadata_too_large}, {"versions-go-on", test_versions_go_on},
	  {"left-behind", test_left_behind}, {"named-limit", test_named_limit}, {"file", test_file})
