/* The shadow service as devices use it, on a local cloud, without a broker. */
#include "broker/services.h"
#include "cloud/jobs_fixture.h"
#include "iotctl/log.h"

#define SHADOW "$aws/things/pump/shadow/"

static const char *fault;                                /* code that every operation fails with; NULL: none does */
static struct iot_buf published = IOT_BUF_INIT(1 << 20); /* "TOPIC PAYLOAD" */
static int published_count, published_qos;

static enum iot_status do_exchange(void *data, const char *operation, const json_t *request, const struct iot_body *in,
				   struct iot_buf *out, struct iot_error *err)
{
	(void)data;
	if (fault != NULL)
		return iot_cloud_fail(err, fault, "it went wrong in /secret/place");
	return iot_cloud_call(cloud, operation, request, in, NULL, out, err);
}

static void do_publish(void *data, const char *topic, const void *payload, size_t len, int qos)
{
	(void)data;
	iot_buf_clear(&published);
	iot_buf_addf(&published, "%s %.*s", topic, (int)len, (const char *)payload);
	published_qos = qos;
	published_count++;
}

/* What a shadow is asked needs nothing else. */
static const struct broker_port port = {.exchange = do_exchange, .publish = do_publish};

static void begin(void)
{
	set_up();
	fault = NULL;
	published_count = 0;
	add_thing("pump");
	iot_log_set_level(IOT_LOG_ERROR);
}

static void end(void)
{
	iot_buf_release(&published);
	tear_down();
}

static void ask(const char *topic, const char *payload, int qos)
{
	char *text = strdup(payload);
	const struct broker_request request = {
		.client = "pump", .thing = "pump", .topic = topic, .payload = text, .len = strlen(payload), .qos = qos};

	for (char *c = text; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c;
	iot_buf_clear(&published);
	published_count = 0;
	shadow_answer(&port, &request);
	free(text);
}

/* Ask; expected is "LAST-LEVEL PAYLOAD" of the one reply (' for ", ` for '), "" for none. */
static void ask_at(int line, const char *what, const char *payload, const char *expected)
{
	char *topic = iot_strf(SHADOW "%s", what);
	char *want = *expected != '\0' ? iot_strf(SHADOW "%s/%s", what, expected) : strdup("");

	for (char *c = want; *c != '\0'; c++)
		*c = *c == '\'' ? '"' : *c == '`' ? '\'' : *c;
	ask(topic, payload, 1);
	if (strcmp(iot_buf_str(&published), want) != 0)
		fprintf(stderr, "\nline %d: %s\nis not %s\n", line, iot_buf_str(&published), want);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&published), want);
	CU_ASSERT_EQUAL(published_count, *expected != '\0');
	free(want);
	free(topic);
}
#define ASK(what, payload, expected) ask_at(__LINE__, what, payload, expected)
#define AT "'timestamp':1795000000"

static bool count_row(const struct iot_outbox_row *row, void *data)
{
	iot_buf_addf(data, "%s\n", row->topic);
	return true;
}

static void expect_topics(int line, const char *expected)
{
	struct iot_buf topics = IOT_BUF_INIT(10000);
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_local_outbox(cloud, 100, count_row, &topics, NULL, &err), &err);
	if (strcmp(iot_buf_str(&topics), expected) != 0)
		fprintf(stderr, "\nline %d: outbox: %s\n", line, iot_buf_str(&topics));
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&topics), expected);
	iot_buf_release(&topics);
}
#define EXPECT_TOPICS(text) expect_topics(__LINE__, text)

static void test_topics(void)
{
	static const struct {
		const char *topic;
		bool is_request;
	} rows[] = {
		{SHADOW "get", true},
		{SHADOW "update", true},
		{SHADOW "delete", true},
		{SHADOW "name/config/get", true},
		{SHADOW "name/delta/update", true},
		{SHADOW "name/name/delete", true},
		{SHADOW "get/accepted", false},
		{SHADOW "update/delta", false},
		{SHADOW "name/config/get/accepted", false},
		{SHADOW "name/config", false},
		{SHADOW "name/get", false},
		{SHADOW "name//get", false},
		{SHADOW "names/config/get", false},
		{SHADOW "", false},
		{SHADOW "Get", false},
		{"$aws/things//shadow/get", false},
		{"$aws/things/pump/shadow", false},
		{"$aws/things/pump/jobs/get", false},
		{"$aws/things/pump/x/shadow/get", false},
		{"aws/things/pump/shadow/get", false},
		{"", false},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		if (shadow_is_request(rows[i].topic) != rows[i].is_request)
			fprintf(stderr, "\n%s\n", rows[i].topic);
		CU_ASSERT_EQUAL(shadow_is_request(rows[i].topic), rows[i].is_request);
	}
	/* What is no request is not answered. */
	ask(SHADOW "get/accepted", "{}", 1);
	CU_ASSERT_EQUAL(published_count, 0);
}

/* An accepted change is said by the outbox, once; a get is answered here. */
static void test_life(void)
{
	ASK("get", "", "rejected {'code':404,'message':'No shadow exists with name: `pump`'," AT "}");
	ASK("update", "{'state': {'desired': {'a': 1}}, 'clientToken': 't'}", "");
	EXPECT_TOPICS(SHADOW "update/accepted\n" SHADOW "update/delta\n" SHADOW "update/documents\n");
	ASK("get", "{'clientToken': 'g'}",
	    "accepted {'state':{'desired':{'a':1},'delta':{'a':1}},'metadata':{'desired':{'a':{" AT
	    "}}},'version':1," AT ",'clientToken':'g'}");
	ASK("name/config/update", "{'state': {'reported': {'b': 0.1}}}", "");
	EXPECT_TOPICS(SHADOW "name/config/update/accepted\n" SHADOW "name/config/update/documents\n");
	ASK("name/config/get", "",
	    "accepted {'state':{'reported':{'b':0.1}},'metadata':{'reported':{'b':{" AT "}}},'version':1," AT "}");
	ASK("delete", "", "");
	EXPECT_TOPICS(SHADOW "delete/accepted\n");
	ASK("get", "{'clientToken': 'x'}",
	    "rejected {'code':404,'message':'No shadow exists with name: `pump`'," AT ",'clientToken':'x'}");
}

static void test_refusals(void)
{
	ASK("update", "{'state': {'desired': {'a': 1}}, 'version': 3, 'clientToken': 't'}",
	    "rejected {'code':409,'message':'Version conflict'," AT ",'clientToken':'t'}");
	ASK("update", "", "rejected {'code':400,'message':'Invalid JSON'," AT "}");
	ASK("update", "{'clientToken': 'late'", "rejected {'code':400,'message':'Invalid JSON'," AT "}");
	ASK("update", "{'clientToken': 'late'}",
	    "rejected {'code':400,'message':'Missing required node: state'," AT ",'clientToken':'late'}");
	ASK("update", "{'state': {'desired': []}, 'clientToken': 7}",
	    "rejected {'code':400,'message':'Invalid clientToken'," AT "}");
	ASK("update", "{'state': {'x': {}}}",
	    "rejected {'code':400,'message':'State contains an invalid node'," AT "}");
	ASK("update", "{'state': {'desired': {'a': '\xff'}}}",
	    "rejected {'code':415,'message':'Unsupported documented encoding; supported encoding is UTF-8'," AT "}");
	ASK("name/config/delete", "", "rejected {'code':404,'message':'No shadow exists with name: `config`'," AT "}");
	ASK("name/a b/get", "",
	    "rejected {'code':400,'message':'shadowName `a b` has a character that is not allowed, at position 2'," AT
	    "}");
	EXPECT_TOPICS("");
	/* Another thing's shadow, which the plugin has allowed; it is not there. */
	ask("$aws/things/other/shadow/get", "{}", 0);
	ASSERT_CONTAINS(iot_buf_str(&published),
			"$aws/things/other/shadow/get/rejected {\"code\":404,\"message\":\"Thing not found\"");
	CU_ASSERT_EQUAL(published_qos, 0);
}

static void test_too_large(void)
{
	struct iot_buf payload = IOT_BUF_INIT(300000);

	iot_buf_adds(&payload, "{'state':{'desired':{'a':'");
	for (int i = 0; i < 8200; i++)
		iot_buf_addc(&payload, 'x');
	iot_buf_adds(&payload, "'}},'clientToken':'big'}");
	ASK("update", iot_buf_str(&payload),
	    "rejected {'code':413,'message':'The payload exceeds the maximum size allowed'," AT
	    ",'clientToken':'big'}");
	iot_buf_release(&payload);
}

static char heard[1024];

static void hear(enum iot_log_level level, const char *line, void *data)
{
	(void)level, (void)data;
	snprintf(heard, sizeof(heard), "%s", line);
}

/* What goes wrong inside stays inside: it is logged. */
static void test_faults(void)
{
	iot_log_set_sink(hear, NULL);
	fault = "ServiceUnavailableException";
	ASK("get", "{'clientToken': 't'}",
	    "rejected {'code':429,'message':'Too many requests; try again later'," AT ",'clientToken':'t'}");
	fault = "InternalFailureException";
	ASK("update", "{'state': {}}", "rejected {'code':500,'message':'Internal service failure'," AT "}");
	ASSERT_CONTAINS(heard, "/secret/place");
	iot_log_set_sink(NULL, NULL);
}

UNIT_MAIN("broker/shadow_service", begin, end, {"topics", test_topics}, {"life", test_life},
	  {"refusals", test_refusals}, {"too-large", test_too_large}, {"faults", test_faults})
