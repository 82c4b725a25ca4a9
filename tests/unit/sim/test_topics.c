/*
 * The topics that a device folder names, and how commands are read and answered
 * on them: with a token in the payload, and in the manner of MQTT 5.
 */
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "sim/exchange.h"
#include "unit.h"

/* Shorter to read: ' for ". */
static char *quoted(const char *text)
{
	char *copy = iot_strdup(text);

	for (char *at = copy; *at != '\0'; at++)
		*at = *at == '\'' ? '"' : *at;
	return copy;
}

static json_t *json(const char *text)
{
	IOT_CLEAN(iot_free_p) char *copy = quoted(text);
	json_t *value = json_loads(copy, JSON_DECODE_ANY, NULL);

	if (value == NULL) {
		fprintf(stderr, "\nno JSON: %s\n", copy);
		abort();
	}
	return value;
}

#define ROLES                                                                                                          \
	"'config':{'topic':'bus/b/configuration','qos':1,'retain':true,'acknowledge':'state','versionMember':'v'},"    \
	"'reply':{'topic':'bus/b/replies/{token}','qos':0,'retain':false},"                                            \
	"'event':{'topic':'bus/b/events/{subfolder}','qos':0,'retain':false},"                                         \
	"'state':{'topic':'bus/b/state','qos':1,'retain':true},"                                                       \
	"'peer':{'topic':'depot/{peer}/in','inbox':'bus/b/from/{peer}','qos':1,'retain':false}"
#define COMMAND "'command':{'topic':'bus/b/commands/{subfolder}','qos':1,'retain':false,"
#define BUS "{'thingName':'b','topics':{" COMMAND "'correlation':'payload','tokenMember':'id'}," ROLES "}}"
#define BUS5 "{'thingName':'b','topics':{" COMMAND "'correlation':'mqtt5'}," ROLES "}}"

static struct sim_topics topics_of(const char *text)
{
	IOT_JSON device = json(text);
	struct sim_topics topics = {0};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(sim_topics_read(device, "device.json", &topics, &err), &err);
	return topics;
}

static void test_read(void)
{
	struct sim_topics topics = topics_of(BUS);

	CU_ASSERT_STRING_EQUAL(topics.role[SIM_STATE].topic, "bus/b/state");
	CU_ASSERT_TRUE(topics.role[SIM_STATE].retain);
	CU_ASSERT_EQUAL(topics.role[SIM_EVENT].qos, 0);
	CU_ASSERT_STRING_EQUAL(topics.config_filter, "bus/b/configuration");
	CU_ASSERT_STRING_EQUAL(topics.command_filter, "bus/b/commands/#");
	CU_ASSERT_STRING_EQUAL(topics.inbox_filter, "bus/b/from/+");
	CU_ASSERT_EQUAL(topics.acknowledge, SIM_ACK_STATE);
	CU_ASSERT_STRING_EQUAL(topics.version_member, "v");
	CU_ASSERT_STRING_EQUAL(topics.token_member, "id");
	sim_topics_release(&topics);
}

/* Folders as they were before layouts, and of a device without a type. */
static void test_defaults(void)
{
	struct sim_topics topics = topics_of("{'thingName':'p','thingType':'pump'}");

	CU_ASSERT_STRING_EQUAL(topics.role[SIM_STATE].topic, "pump/p/state");
	CU_ASSERT_FALSE(topics.role[SIM_STATE].retain);
	CU_ASSERT_STRING_EQUAL(topics.command_filter, "pump/p/command");
	CU_ASSERT_PTR_NULL(topics.inbox_filter);
	CU_ASSERT_EQUAL(topics.acknowledge, SIM_ACK_SHADOW);
	CU_ASSERT_STRING_EQUAL(topics.token_member, "token");
	sim_topics_release(&topics);
	topics = topics_of("{'thingName':'p'}");
	CU_ASSERT_STRING_EQUAL(topics.role[SIM_STATE].topic, "p/state");
	sim_topics_release(&topics);
}

static void test_refused(void)
{
	static const struct {
		const char *without, *with, *part;
	} rows[] = {
		{"'topic':'bus/b/state'", "'topic':'bus/+/state'", "topics.state has no good topic"},
		{"'topic':'bus/b/state',", "", "topics.state has no good topic"},
		{"'qos':1,'retain':true,'acknowledge'", "'qos':2,'retain':true,'acknowledge'",
		 "topics.config has no qos"},
		{"'acknowledge':'state'", "'acknowledge':'maybe'", "topics.config has no acknowledge"},
		{",'versionMember':'v'", "", "topics.config has no versionMember"},
		{"'correlation':'payload'", "'correlation':'luck'", "topics.command has no correlation"},
		{",'tokenMember':'id'", "", "topics.command has no correlation"},
		{"'inbox':'bus/b/from/{peer}'", "'inbox':7", "topics.peer has no good inbox"},
		{"'reply':{'topic'", "'answer':{'topic'", "topics.reply is not an object"},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		const char *at = strstr(BUS, rows[i].without);
		IOT_CLEAN(iot_free_p)
		char *text = iot_strf("%.*s%s%s", (int)(at - BUS), BUS, rows[i].with, at + strlen(rows[i].without));
		IOT_JSON device = json(text);
		struct sim_topics topics = {0};
		struct iot_error err = IOT_ERROR_INIT;

		ASSERT_STATUS(sim_topics_read(device, "x/device.json", &topics, &err), IOT_USAGE, &err);
		ASSERT_CONTAINS(err.what, rows[i].part);
		ASSERT_CONTAINS(err.what, "'x/device.json'");
		sim_topics_release(&topics);
	}
}

static void assert_fill(const struct sim_topics *topics, enum sim_role role, const char *name, const char *expected)
{
	struct iot_error err = IOT_ERROR_INIT;
	char *topic = NULL;
	enum iot_status status = sim_topics_fill(topics, role, name, name, name, &topic, &err);

	if (expected == NULL) {
		CU_ASSERT_EQUAL(status, IOT_USAGE);
		CU_ASSERT_NOT_EQUAL(err.what[0], '\0');
	} else {
		ASSERT_OK(status, &err);
		CU_ASSERT_STRING_EQUAL(topic, expected);
	}
	free(topic);
}

static void test_fill(void)
{
	struct sim_topics topics = topics_of(BUS);

	assert_fill(&topics, SIM_REPLY, "t1", "bus/b/replies/t1");
	assert_fill(&topics, SIM_REPLY, NULL, NULL);
	assert_fill(&topics, SIM_REPLY, "", NULL);
	assert_fill(&topics, SIM_REPLY, "../x/state", NULL);
	assert_fill(&topics, SIM_PEER, "north", "depot/north/in");
	assert_fill(&topics, SIM_PEER, "a/b", NULL);
	assert_fill(&topics, SIM_PEER, "#", NULL);
	assert_fill(&topics, SIM_EVENT, "a/b", "bus/b/events/a/b");
	assert_fill(&topics, SIM_EVENT, NULL, "bus/b/events");
	assert_fill(&topics, SIM_EVENT, "a/+", NULL);
	sim_topics_release(&topics);
	topics = topics_of("{'thingName':'p'}");
	assert_fill(&topics, SIM_PEER, "x", NULL); /* there is no such role */
	sim_topics_release(&topics);
}

/* --- commands --------------------------------------------------------------------------- */

static struct sim_command read(const struct sim_topics *topics, const char *topic, const char *payload,
			       const char *response_topic)
{
	IOT_CLEAN(iot_free_p) char *text = quoted(payload);
	const struct iot_mqtt_message message = {.topic = topic,
						 .payload = text,
						 .payload_len = strlen(text),
						 .response_topic = response_topic,
						 .correlation = response_topic != NULL ? "\0\1x" : NULL,
						 .correlation_len = response_topic != NULL ? 3 : 0};
	struct sim_command command;

	sim_command_read(topics, &message, &command);
	return command;
}

static void assert_token(const struct sim_topics *topics, const char *payload, const char *name, const char *token)
{
	struct sim_command command = read(topics, "bus/b/commands/door/open", payload, NULL);

	CU_ASSERT_STRING_EQUAL(command.name, name);
	CU_ASSERT_EQUAL(sim_command_wants_reply(&command), token != NULL);
	CU_ASSERT_TRUE((command.token == NULL) == (token == NULL));
	if (command.token != NULL && token != NULL)
		CU_ASSERT_STRING_EQUAL(command.token, token);
	sim_command_release(&command);
}

static void test_tokens(void)
{
	struct sim_topics topics = topics_of(BUS);
	struct sim_command command;
	char long_one[400];

	assert_token(&topics, "{'command':'where','id':'t'}", "where", "t");
	assert_token(&topics, "{'id':'t'}", "door/open", "t");
	assert_token(&topics, "{'command':7,'id':7}", "door/open", NULL);
	assert_token(&topics, "{'id':''}", "door/open", NULL);
	assert_token(&topics, "{'id':'a/b'}", "door/open", NULL);
	assert_token(&topics, "{'id':'+'}", "door/open", NULL);
	assert_token(&topics, "{'token':'t'}", "door/open", NULL);
	assert_token(&topics, "no json", "door/open", NULL);
	assert_token(&topics, "", "door/open", NULL);
	assert_token(&topics, "['id']", "door/open", NULL);
	snprintf(long_one, sizeof(long_one), "{'id':'%0129d'}", 1);
	assert_token(&topics, long_one, "door/open", NULL);
	command = read(&topics, "bus/b/commands", "{}", NULL);
	CU_ASSERT_STRING_EQUAL(command.name, "");
	sim_command_release(&command);
	/* MQTT 5's words mean nothing in this manner. */
	command = read(&topics, "bus/b/commands", "{}", "bus/b/replies/x");
	CU_ASSERT_FALSE(sim_command_wants_reply(&command));
	sim_command_release(&command);
	sim_topics_release(&topics);
}

static void test_replies(void)
{
	struct sim_topics topics = topics_of(BUS);
	struct sim_command command = read(&topics, "bus/b/commands", "{'id':'t'}", NULL);
	IOT_JSON body = json("{'ok':true,'id':'mine'}");
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_reply reply;

	ASSERT_OK(sim_reply_make(&topics, &command, body, NULL, 0, &reply, &err), &err);
	CU_ASSERT_STRING_EQUAL(reply.message.topic, "bus/b/replies/t");
	CU_ASSERT_STRING_EQUAL(reply.message.payload, "{\"ok\":true,\"id\":\"t\"}");
	CU_ASSERT_EQUAL(reply.message.qos, 0);
	CU_ASSERT_STRING_EQUAL(iot_json_str(body, "id", ""), "mine"); /* the caller's stays as it was */
	sim_reply_release(&reply);
	ASSERT_OK(sim_reply_make(&topics, &command, NULL, "\0\xff", 2, &reply, &err), &err);
	CU_ASSERT_EQUAL(reply.message.payload_len, 2);
	sim_reply_release(&reply);
	/* Where the topic has no token, bytes could be anybody's answer. */
	free(topics.role[SIM_REPLY].topic);
	topics.role[SIM_REPLY].topic = iot_strdup("bus/b/replies");
	ASSERT_STATUS(sim_reply_make(&topics, &command, NULL, "x", 1, &reply, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "no place for the token");
	sim_command_release(&command);
	command = read(&topics, "bus/b/commands", "{}", NULL);
	ASSERT_STATUS(sim_reply_make(&topics, &command, body, NULL, 0, &reply, &err), IOT_USAGE, &err);
	sim_command_release(&command);
	sim_topics_release(&topics);
}

static void test_mqtt5(void)
{
	struct sim_topics topics = topics_of(BUS5);
	struct sim_command command = read(&topics, "bus/b/commands/open", "{'id':'t'}", "bus/b/replies/77");
	IOT_JSON body = json("{'ok':true}");
	struct iot_error err = IOT_ERROR_INIT;
	struct sim_reply reply;

	CU_ASSERT_PTR_NULL(topics.token_member);
	CU_ASSERT_STRING_EQUAL(command.name, "open");
	ASSERT_OK(sim_reply_make(&topics, &command, body, NULL, 0, &reply, &err), &err);
	CU_ASSERT_STRING_EQUAL(reply.message.topic, "bus/b/replies/77");
	CU_ASSERT_STRING_EQUAL(reply.message.payload, "{\"ok\":true}");
	CU_ASSERT_EQUAL(reply.message.correlation_len, 3);
	CU_ASSERT_EQUAL(memcmp(reply.message.correlation, "\0\1x", 3), 0);
	sim_reply_release(&reply);
	sim_command_release(&command);
	command = read(&topics, "bus/b/commands/open", "{'id':'t'}", NULL);
	CU_ASSERT_FALSE(sim_command_wants_reply(&command));
	sim_command_release(&command);
	command = read(&topics, "bus/b/commands/open", "{}", "bus/#");
	CU_ASSERT_FALSE(sim_command_wants_reply(&command));
	sim_command_release(&command);
	sim_topics_release(&topics);
}

UNIT_MAIN("sim/topics", NULL, NULL, {"read", test_read}, {"defaults", test_defaults}, {"refused", test_refused},
	  {"fill", test_fill}, {"tokens", test_tokens}, {"replies", test_replies}, {"mqtt5", test_mqtt5})
