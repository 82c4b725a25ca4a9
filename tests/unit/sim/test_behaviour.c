/*
 * Behaviours: what is refused and where, and what a device that plays one says,
 * with the world around it played by this test.
 */
#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/json.h"
#include "sim/behaviour_shipped.h"
#include "sim/behaviour_value.h"
#include "sim/talk.h"
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

/* --- what is refused ------------------------------------------------------------------------ */

#define BEHAVIOUR(variables, rules) "{'description':'d','variables':{" variables "},'rules':[" rules "]}"
#define DO(on, action) BEHAVIOUR("'a':1,'b':null", "{'on':'" on "','do':[{'set':{'a':2}}," action "]}")
#define IF(condition) BEHAVIOUR("'a':1", "{'on':'start','if':[" condition "],'do':[]}")

static void expect(const char *text, enum iot_status status, const char *part)
{
	IOT_CLEAN(iot_free_p) char *copy = quoted(text);
	struct sim_behaviour *behaviour = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(sim_behaviour_parse(copy, strlen(copy), "x.json", "/nowhere", &behaviour, &err), status, &err);
	if (status != IOT_OK && strstr(err.what, part) == NULL)
		fprintf(stderr, "\n%s\nis not: %s\n", err.what, part);
	if (status != IOT_OK)
		ASSERT_CONTAINS(err.what, part);
	CU_ASSERT_TRUE(status == IOT_OK || strlen(err.what) < sizeof(err.what) - 1);
	sim_behaviour_free(behaviour);
}

static void test_refused_at_the_top(void)
{
	expect("[]", IOT_USAGE, "'x.json': an object is wanted");
	expect("{", IOT_USAGE, "x.json");
	expect("{'rules':[]}", IOT_USAGE, "description: it is missing");
	expect("{'description':'d'}", IOT_USAGE, "rules: a list of 1 to 64");
	expect("{'description':'d','rules':[]}", IOT_USAGE, "rules: a list of 1 to 64");
	expect("{'description':'d','rules':[{}],'timers':{}}", IOT_USAGE, "no member 'timers'");
	expect("{'description':'d','rules':[7]}", IOT_USAGE, "rules[0]: an object");
	expect(BEHAVIOUR("'thing':1", "{'on':'start','do':[]}"), IOT_USAGE, "variables: 'thing' cannot be");
	expect(BEHAVIOUR("'a.b':1", "{'on':'start','do':[]}"), IOT_USAGE, "variables: 'a.b' cannot be");
	expect(BEHAVIOUR("'a':1", "{'on':'start','do':[]}"), IOT_OK, "");
	expect(BEHAVIOUR("'a':[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "{'on':'start','do':[]}"), IOT_USAGE, "too large");
}

static void test_refused_rules(void)
{
	expect(BEHAVIOUR("", "{'on':'noon','do':[]}"), IOT_USAGE, "rules[0].on: start, connect");
	expect(BEHAVIOUR("", "{'on':'start','do':[]},{'do':[]}"), IOT_USAGE, "rules[1].on: ");
	expect(BEHAVIOUR("", "{'on':'start'}"), IOT_USAGE, "rules[0].do: a list");
	expect(BEHAVIOUR("", "{'on':'start','do':{}}"), IOT_USAGE, "rules[0].do: a list");
	expect(BEHAVIOUR("", "{'on':'start','do':[],'then':[]}"), IOT_USAGE, "rules[0]: there is no member 'then'");
	expect(BEHAVIOUR("", "{'on':'timer','do':[]}"), IOT_USAGE, "rules[0].every: it is missing");
	expect(BEHAVIOUR("", "{'on':'timer','every':'9ms','do':[]}"), IOT_USAGE, "rules[0].every: a time");
	expect(BEHAVIOUR("", "{'on':'timer','every':1,'do':[]}"), IOT_USAGE, "rules[0].every: a time");
	expect(BEHAVIOUR("", "{'on':'start','every':'1s','do':[]}"), IOT_USAGE, "rules[0].every: this is for");
	expect(BEHAVIOUR("", "{'on':'peer','command':'x','do':[]}"), IOT_USAGE, "rules[0].command: this is for");
	expect(BEHAVIOUR("", "{'on':'command','command':7,'do':[]}"), IOT_USAGE, "rules[0].command: the name");
	expect(IF("['{a}','>',1]"), IOT_OK, "");
	expect(IF("['{a}','>']"), IOT_USAGE, "rules[0].if[0]: a condition");
	expect(IF("['{a}','==',1]"), IOT_USAGE, "rules[0].if[0]: a condition");
	expect(IF("['{a}','=',1],['{c}','=',1]"), IOT_USAGE, "rules[0].if[1]: no variable is called 'c'");
	expect(IF("'{a}','>',1"), IOT_USAGE, "rules[0].if[0]: a condition");
	expect(BEHAVIOUR("", "{'on':'start','if':{},'do':[]}"), IOT_USAGE, "rules[0].if: a list");
}

static void test_refused_actions(void)
{
	expect(DO("start", "{}"), IOT_USAGE, "rules[0].do[1]: '' is nothing");
	expect(DO("start", "{'explode':1}"), IOT_USAGE, "rules[0].do[1]: 'explode' is nothing");
	expect(DO("start", "7"), IOT_USAGE, "rules[0].do[1]: an object");
	expect(DO("start", "{'set':{'c':1}}"), IOT_USAGE, "rules[0].do[1].set: no variable is called 'c'");
	expect(DO("start", "{'set':7}"), IOT_USAGE, "rules[0].do[1].set: an object");
	expect(DO("start", "{'set':{'a':'{c.d}'}}"), IOT_USAGE, "rules[0].do[1].set: no variable is called 'c'");
	expect(DO("start", "{'set':{'a':1},'to':2}"), IOT_USAGE, "no member 'to'");
	expect(DO("start", "{'add':'a'}"), IOT_USAGE, "rules[0].do[1].by: it is missing");
	expect(DO("start", "{'add':'a','by':[]}"), IOT_USAGE, "rules[0].do[1].by: a number");
	expect(DO("start", "{'walk':'c','by':1}"), IOT_USAGE, "rules[0].do[1].walk: no variable");
	expect(DO("start", "{'walk':7,'by':1}"), IOT_USAGE, "rules[0].do[1].walk: the name");
	expect(DO("start", "{'walk':'a','by':1,'min':true}"), IOT_USAGE, "rules[0].do[1].min: a number");
	expect(DO("start", "{'publish':'evnt'}"), IOT_USAGE, "rules[0].do[1].publish: no role is called 'evnt'");
	expect(DO("start", "{'publish':'a/{thing}'}"), IOT_OK, "");
	expect(DO("start", "{'publish':'a/{thing'}"), IOT_USAGE, "rules[0].do[1].publish: '{thing' is no placeholder");
	expect(DO("start", "{'publish':'event','qos':1}"), IOT_USAGE, "rules[0].do[1].qos: this is for topics only");
	expect(DO("start", "{'publish':'a/b','qos':2}"), IOT_USAGE, "rules[0].do[1].qos: a whole number");
	expect(DO("start", "{'publish':'a/b','retain':1}"), IOT_USAGE, "rules[0].do[1].retain: true or false");
	expect(DO("start", "{'publish':'peer','json':1}"), IOT_USAGE, "rules[0].do[1].peer: it is missing");
	expect(DO("start", "{'publish':'event','peer':'x'}"), IOT_USAGE, "rules[0].do[1].peer: this is for role peer");
	expect(DO("start", "{'publish':'state','json':[1]}"), IOT_USAGE, "rules[0].do[1].json: a state is");
	expect(DO("start", "{'publish':'state','json':{},'times':2}"), IOT_USAGE, "a state is said once");
	expect(DO("start", "{'publish':'reply','json':{}}"), IOT_USAGE, "nothing to reply to");
	expect(DO("peer", "{'publish':'reply','json':{}}"), IOT_USAGE, "nothing to reply to");
	expect(DO("command", "{'publish':'reply'}"), IOT_USAGE, "rules[0].do[1]: a reply needs");
	expect(DO("command", "{'publish':'reply','json':{},'text':'x'}"), IOT_USAGE, "do[1].text: there is a 'json'");
	expect(DO("command", "{'publish':'reply','random':131073}"), IOT_USAGE, "do[1].random: a whole number");
	expect(DO("command", "{'publish':'reply','json':1,'after':'2h'}"), IOT_USAGE, "do[1].after: a time");
	expect(DO("command", "{'publish':'reply','json':1,'times':101}"), IOT_USAGE, "do[1].times: a whole number");
	expect(DO("command", "{'publish':'event','token':'x'}"), IOT_USAGE, "do[1].token: this is for role reply");
	expect(DO("timer", "{}"), IOT_USAGE, "every");
	expect(DO("start", "{'publish':'event','json':'{payload}'}"), IOT_USAGE, "do[1].json: there is no {payload}");
	expect(DO("config", "{'publish':'event','text':'{command}'}"), IOT_USAGE, "do[1].text: there is no {command}");
	expect(DO("peer", "{'publish':'event','json':'{payload.x.0}'}"), IOT_OK, "");
	expect(DO("peer", "{'publish':'event','json':'{payload..x}'}"), IOT_USAGE, "is no placeholder");
	expect(DO("peer", "{'publish':'event','json':'{payload.1.2.3.4.5.6.7.8}'}"), IOT_USAGE, "is no placeholder");
	expect(DO("start", "{'publish':'event','text':'{{{a}{{'}"), IOT_OK, "");
	expect(DO("start", "{'publish':'event','file':'missing.bin'}"), IOT_NOT_FOUND, "do[1].file: ");
	expect(DO("start", "{'publish':'event','file':'-'}"), IOT_USAGE, "do[1].file: files cannot");
}

static void test_limits(void)
{
	struct iot_buf text = IOT_BUF_INIT((size_t)1 << 20);
	struct sim_behaviour *behaviour = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	iot_buf_adds(&text, "{\"description\":\"d\",\"rules\":[");
	for (int i = 0; i <= SIM_BEHAVIOUR_RULES_MAX; i++)
		iot_buf_addf(&text, "%s{\"on\":\"start\",\"do\":[]}", i > 0 ? "," : "");
	iot_buf_adds(&text, "]}");
	ASSERT_STATUS(sim_behaviour_parse(text.data, text.len, "x", NULL, &behaviour, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "1 to 64");
	iot_buf_clear(&text);
	iot_buf_adds(&text, "{\"description\":\"d\",\"rules\":[{\"on\":\"start\",\"do\":[");
	for (int i = 0; i <= SIM_BEHAVIOUR_ACTIONS_MAX; i++)
		iot_buf_addf(&text, "%s{\"publish\":\"event\"}", i > 0 ? "," : "");
	iot_buf_adds(&text, "]}]}");
	ASSERT_STATUS(sim_behaviour_parse(text.data, text.len, "x", NULL, &behaviour, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "at most 32");
	while (text.len <= SIM_BEHAVIOUR_TEXT_MAX)
		iot_buf_adds(&text, "                                        ");
	ASSERT_STATUS(sim_behaviour_parse(text.data, text.len, "x", NULL, &behaviour, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "larger than");
	iot_buf_release(&text);
}

static void test_load(void)
{
	IOT_CLEAN(iot_free_p) char *dir = unit_mkdtemp();
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "b.json");
	IOT_CLEAN(iot_free_p) char *bytes = iot_path(dir, "picture");
	IOT_CLEAN(iot_free_p)
	char *text = quoted("{'description':'d','rules':[{'on':'start','do':[{'publish':'event','file':'picture'}]}]}");
	struct sim_behaviour *behaviour = NULL;
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; sim_behaviours_shipped[i] != NULL; i++) {
		ASSERT_OK(sim_behaviour_load(sim_behaviours_shipped[i], &behaviour, &err), &err);
		sim_behaviour_free(behaviour);
	}
	ASSERT_STATUS(sim_behaviour_load("submarine", &behaviour, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.hint, "bus, depot");
	/* A file beside the behaviour. */
	ASSERT_OK(iot_fs_write(path, 0644, text, strlen(text), &err), &err);
	ASSERT_OK(iot_fs_write(bytes, 0644, "\0\1\2", 3, &err), &err);
	ASSERT_OK(sim_behaviour_load(path, &behaviour, &err), &err);
	CU_ASSERT_EQUAL(behaviour->rules[0].actions[0].len, 3);
	CU_ASSERT_EQUAL(memcmp(behaviour->rules[0].actions[0].file, "\0\1\2", 3), 0);
	sim_behaviour_free(behaviour);
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
}

/* --- a world -------------------------------------------------------------------------------- */

enum { SENT_MAX = 300 };

static struct {
	char *topic, *payload, *correlation;
	size_t len;
	int qos;
	bool retain;
} sent[SENT_MAX];
static size_t sent_count, read_count;
static char subscribed[1000], events[20000];
static bool broken; /* nothing can be sent */
static int64_t now;
static struct sim_topics topics;
static struct sim_behaviour *behaviour;
static struct sim_talk *talk;

static char *copy_of(const void *bytes, size_t len)
{
	char *copy = iot_alloc(len + 1);

	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}

static bool port_publish(void *data, const struct iot_mqtt_message *message)
{
	(void)data;
	if (broken)
		return false;
	if (sent_count == SENT_MAX)
		abort();
	sent[sent_count].topic = iot_strdup(message->topic);
	sent[sent_count].payload = copy_of(message->payload, message->payload_len);
	sent[sent_count].len = message->payload_len;
	sent[sent_count].correlation = copy_of(message->correlation, message->correlation_len);
	sent[sent_count].qos = message->qos;
	sent[sent_count++].retain = message->retain;
	return true;
}

static bool port_subscribe(void *data, const char *filter, int qos)
{
	(void)data, (void)qos;
	snprintf(subscribed + strlen(subscribed), sizeof(subscribed) - strlen(subscribed), "%s ", filter);
	return true;
}

static void port_event(void *data, const char *name, const char *detail)
{
	(void)data;
	snprintf(events + strlen(events), sizeof(events) - strlen(events), "%s %s\n", name, detail);
}

static void forget(void)
{
	for (size_t i = 0; i < sent_count; i++) {
		free(sent[i].topic);
		free(sent[i].payload);
		free(sent[i].correlation);
	}
	sent_count = read_count = 0;
	subscribed[0] = events[0] = '\0';
}

#define TOPICS(acknowledge, correlation)                                                                               \
	"{'thingName':'b1','thingType':'bus','topics':{"                                                               \
	"'config':{'topic':'bus/b1/config','qos':1,'retain':true," acknowledge "},"                                    \
	"'command':{'topic':'bus/b1/command','qos':1,'retain':false," correlation "},"                                 \
	"'reply':{'topic':'bus/b1/reply/{token}','qos':1,'retain':false},"                                             \
	"'event':{'topic':'bus/b1/event/{subfolder}','qos':0,'retain':false},"                                         \
	"'state':{'topic':'bus/b1/state','qos':1,'retain':true},"                                                      \
	"'peer':{'topic':'depot/{peer}/in','inbox':'bus/b1/in','qos':1,'retain':false}}}"
#define BY_STATE "'acknowledge':'state','versionMember':'v'"
#define BY_TOKEN "'correlation':'payload','tokenMember':'token'"

static void make_device(const char *device_text)
{
	IOT_JSON device = json(device_text);
	struct iot_error err = IOT_ERROR_INIT;

	now = 1000000;
	ASSERT_OK(sim_topics_read(device, "device.json", &topics, &err), &err);
}

static void boot(const char *rules)
{
	IOT_CLEAN(iot_free_p) char *text = rules != NULL ? quoted(rules) : NULL;
	struct sim_talk_options options = {.thing = "b1",
					   .type = "bus",
					   .topics = &topics,
					   .port = {port_publish, port_subscribe, port_event, NULL}};
	struct iot_error err = IOT_ERROR_INIT;

	if (text != NULL)
		ASSERT_OK(sim_behaviour_parse(text, strlen(text), "x.json", NULL, &behaviour, &err), &err);
	options.behaviour = behaviour;
	talk = sim_talk_new(&options, now);
	sim_talk_subscribe(talk);
	sim_talk_state(talk, json("{'firmware':'1.0.0'}"));
	sim_talk_online(talk, now);
}

static void start(const char *rules)
{
	make_device(TOPICS(BY_STATE, BY_TOKEN));
	boot(rules);
	CU_ASSERT_STRING_EQUAL(sent[0].topic, "bus/b1/state");
	CU_ASSERT_TRUE(sent[0].retain);
	read_count = 1;
}

static void finish(void)
{
	forget();
	sim_talk_free(talk);
	talk = NULL;
	sim_behaviour_free(behaviour);
	behaviour = NULL;
	sim_topics_release(&topics);
	broken = false;
}

static void hear(const char *topic, const char *payload)
{
	IOT_CLEAN(iot_free_p) char *text = quoted(payload);
	const struct iot_mqtt_message message = {.topic = topic, .payload = text, .payload_len = strlen(text)};

	CU_ASSERT_TRUE(sim_talk_message(talk, &message, now));
}

static void command(const char *payload)
{
	hear("bus/b1/command", payload);
}

/* The next message that was sent. */
static void said(const char *topic, const char *payload)
{
	IOT_CLEAN(iot_free_p) char *text = quoted(payload);

	if (read_count == sent_count) {
		fprintf(stderr, "\nnot said: %s %s\n%s", topic, payload, events);
		CU_FAIL("nothing was said");
		return;
	}
	if (strcmp(sent[read_count].topic, topic) != 0 || strcmp(sent[read_count].payload, text) != 0)
		fprintf(stderr, "\n%s %s\nis not: %s %s\n%s", sent[read_count].topic, sent[read_count].payload, topic,
			text, events);
	CU_ASSERT_STRING_EQUAL(sent[read_count].topic, topic);
	CU_ASSERT_STRING_EQUAL(sent[read_count].payload, text);
	read_count++;
}

static void nothing_said(void)
{
	if (read_count < sent_count)
		fprintf(stderr, "\nsaid: %s %s\n", sent[read_count].topic, sent[read_count].payload);
	CU_ASSERT_EQUAL(read_count, sent_count);
	read_count = sent_count;
}

static void pass(int64_t ms)
{
	for (int64_t end = now + ms; now < end;) {
		int64_t next = sim_talk_deadline(talk);

		now = next < end ? next : end;
		sim_talk_tick(talk, now);
	}
}

/* --- without a behaviour -------------------------------------------------------------------- */

static void test_plain_device(void)
{
	start(NULL);
	CU_ASSERT_STRING_EQUAL(subscribed, "bus/b1/command bus/b1/in bus/b1/config ");
	CU_ASSERT_EQUAL(sim_talk_deadline(talk), INT64_MAX);
	command("{'token':'t','command':'x'}");
	said("bus/b1/reply/t", "{'ok':true,'token':'t'}");
	command("{'command':'x'}");
	command("\xff");
	hear("bus/b1/in", "{}");
	nothing_said();
	CU_ASSERT_FALSE(sim_talk_message(talk, &(struct iot_mqtt_message){.topic = "bus/b2/command"}, now));
	finish();
}

static void test_configuration_in_the_state(void)
{
	start(NULL);
	hear("bus/b1/config", "{'a':1,'v':3}");
	said("bus/b1/state", "{'firmware':'1.0.0','v':3}");
	ASSERT_CONTAINS(events, "configured version 3");
	forget();
	/* Said again, it is acknowledged again, but it is no news. */
	hear("bus/b1/config", "{'a':1,'v':3}");
	said("bus/b1/state", "{'firmware':'1.0.0','v':3}");
	CU_ASSERT_PTR_NULL(strstr(events, "configured"));
	hear("bus/b1/config", "");
	hear("bus/b1/config", "[]");
	hear("bus/b1/config", "{'a':2}");
	nothing_said();
	finish();
}

static void test_configuration_in_other_manners(void)
{
	make_device(TOPICS("'acknowledge':'event','versionMember':'v'", BY_TOKEN));
	boot(NULL);
	read_count = 1;
	hear("bus/b1/config", "{'v':'four'}");
	said("bus/b1/event", "{'v':'four'}");
	finish();
	make_device(TOPICS("'acknowledge':'none'", BY_TOKEN));
	boot(NULL);
	read_count = 1;
	hear("bus/b1/config", "{'v':4}");
	nothing_said();
	ASSERT_CONTAINS(events, "configured");
	finish();
}

#define SHADOW "$aws/things/b1/shadow/name/config/"

static void test_configuration_in_a_shadow(void)
{
	make_device(TOPICS("'acknowledge':'shadow'", BY_TOKEN));
	boot(NULL);
	read_count = 1;
	ASSERT_CONTAINS(subscribed, SHADOW "get/accepted " SHADOW "update/delta ");
	nothing_said();
	hear(SHADOW "update/delta", "{'state':{'a':2}}");
	said(SHADOW "get", "{}");
	hear(SHADOW "get/accepted", "{'state':{'desired':{'a':2,'configVersion':7},'reported':{'a':1,'old':1}}}");
	said(SHADOW "update", "{'state':{'reported':{'a':2,'configVersion':7,'old':null}}}");
	ASSERT_CONTAINS(events, "configured version 7");
	hear(SHADOW "get/accepted", "{'state':{'desired':{'a':2},'reported':{'a':2}}}");
	hear(SHADOW "get/accepted", "{'state':{}}");
	hear(SHADOW "get/accepted", "nothing");
	hear(SHADOW "update/accepted", "{'state':{'desired':{'a':2}}}");
	nothing_said();
	finish();
	/* One with a behaviour asks for it, since it may depend on it. */
	make_device(TOPICS("'acknowledge':'shadow'", BY_TOKEN));
	boot(BEHAVIOUR("", "{'on':'config','do':[{'publish':'event','json':'{config.a}'}]}"));
	read_count = 1;
	said(SHADOW "get", "{}");
	hear(SHADOW "get/accepted", "{'state':{'desired':{'a':[1]}}}");
	said("bus/b1/event", "[1]");
	said(SHADOW "update", "{'state':{'reported':{'a':[1]}}}");
	finish();
}

/* --- values --------------------------------------------------------------------------------- */

static void assert_value(const char *template, const char *expected)
{
	IOT_JSON variables = json("{'n':1,'x':1.5,'s':'text','l':[1,{'m':2}],'z':null}");
	IOT_JSON config = json("{'depot':'north','deep':{'er':[7,8]}}");
	const struct sim_scope scope = {.thing = "b1", .type = "bus", .config = config, .variables = variables};
	IOT_JSON value = json(template);
	IOT_JSON filled = sim_value_fill(value, &scope);
	IOT_CLEAN(iot_free_p) char *text = filled != NULL ? iot_json_text(filled) : NULL;
	IOT_CLEAN(iot_free_p) char *wanted = quoted(expected);

	CU_ASSERT_PTR_NOT_NULL(text);
	CU_ASSERT_STRING_EQUAL(text != NULL ? text : "", wanted);
}

static void test_values(void)
{
	assert_value("'{n}'", "1");
	assert_value("'{x}'", "1.5");
	assert_value("'{s}'", "'text'");
	assert_value("'{z}'", "null");
	assert_value("'{l}'", "[1,{'m':2}]");
	assert_value("'{l.1.m}'", "2");
	assert_value("'{l.9}'", "null");
	assert_value("'{l.m}'", "null");
	assert_value("'{s.m}'", "null");
	assert_value("'{config.depot}'", "'north'");
	assert_value("'{config.deep.er.1}'", "8");
	assert_value("'{config.nothing.here}'", "null");
	assert_value("'{payload.x}'", "null");
	assert_value("'{thing}/{type}'", "'b1/bus'");
	assert_value("'{n}{n}'", "'11'");
	assert_value("'at {x}, {s}{z}: {l.1}'", "'at 1.5, text: {\\'m\\':2}'");
	assert_value("'{{n} {{{n}'", "'{n} {1'");
	assert_value("{'{n}':['{n}',true,null,2.5,{'a':'{s}'}]}", "{'{n}':[1,true,null,2.5,{'a':'text'}]}");
	CU_ASSERT_TRUE(sim_variable_name_valid("Speed_1-x"));
	CU_ASSERT_FALSE(sim_variable_name_valid(""));
	CU_ASSERT_FALSE(sim_variable_name_valid("config"));
	CU_ASSERT_FALSE(sim_variable_name_valid("a b"));
}

/* A variable that is put into itself does not grow for ever. */
static void test_growth(void)
{
	start(BEHAVIOUR("'a':'0123456789','d':[]",
			"{'on':'command','do':[{'set':{'a':['{a}','{a}','{a}','{a}'],'d':['{d}']}},"
			"{'publish':'event','json':'{a}'}]}"));
	for (int i = 0; i < 100; i++)
		command("{}");
	ASSERT_CONTAINS(events, "trouble rules[0].do[0]: the new value of 'a' is no number or too large");
	ASSERT_CONTAINS(events, "the new value of 'd'");
	for (size_t i = 0; i < sent_count; i++)
		CU_ASSERT_TRUE(sent[i].len < SIM_BEHAVIOUR_VALUE_MAX);
	finish();
	start(BEHAVIOUR("'a':'0123456789'", "{'on':'command','do':[{'set':{'a':'{a}{a}'}},"
					    "{'publish':'event','text':'{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}"
					    "{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}{a}'}]}"));
	for (int i = 0; i < 20; i++)
		command("{}");
	ASSERT_CONTAINS(events, "trouble rules[0].do[1]: the message is larger than 128 KiB");
	finish();
}

/* --- rules ---------------------------------------------------------------------------------- */

static void test_reactions(void)
{
	start(BEHAVIOUR("'n':1,'started':false",
			"{'on':'start','do':[{'set':{'started':true}}]},"
			"{'on':'connect','do':[{'publish':'event','subfolder':'up','json':{'started':'{started}'}}]},"
			"{'on':'config','do':[{'publish':'event','json':['{config.depot}']}]},"
			"{'on':'peer','if':[['{payload.bus}','!=',null]],"
			"'do':[{'publish':'peer','peer':'{payload.bus}','text':'{n}'},{'add':'n','by':1}]},"
			"{'on':'peer','do':[{'publish':'state','json':{'peers':'{n}'}}]}"));
	CU_ASSERT_EQUAL(sent[1].qos, 0);
	said("bus/b1/event/up", "{'started':true}");
	hear("bus/b1/config", "{'depot':'n','v':1}");
	said("bus/b1/event", "['n']");
	said("bus/b1/state", "{'firmware':'1.0.0','v':1}");
	hear("bus/b1/in", "{'bus':'b9'}");
	said("depot/b9/in", "1");
	said("bus/b1/state", "{'firmware':'1.0.0','v':1,'peers':2}");
	/* A name that would leave the topic is told, and the rest is done. */
	hear("bus/b1/in", "{'bus':'../b9'}");
	ASSERT_CONTAINS(events, "trouble rules[3].do[0]: topic 'depot/{peer}/in' needs a name for '{peer}'");
	said("bus/b1/state", "{'firmware':'1.0.0','v':1,'peers':3}");
	hear("bus/b1/in", "not json");
	said("bus/b1/state", "{'firmware':'1.0.0','v':1,'peers':3}");
	nothing_said();
	finish();
}

static void test_conditions(void)
{
	static const struct {
		const char *condition;
		bool holds;
	} rows[] = {
		{"['{n}','=',1.0]", true},
		{"['{n}','!=',1.0]", false},
		{"['{n}','>',0]", true},
		{"['{n}','>',1]", false},
		{"['{n}','>=',1]", true},
		{"['{n}','<',2]", true},
		{"['{n}','<=',0.5]", false},
		{"['{s}','=','x']", true},
		{"['{s}','>','a']", false},
		{"['{s}','>',0]", false},
		{"['{s}','<',0]", false},
		{"['{config.limit}','<',0]", false},
		{"['{n}','>','{config.limit}']", false},
		{"['{config}','=',null]", true},
		{"['{payload.a}','=',[1]]", true},
		{"['{payload.b}','=',null]", true},
		{"['{payload.a.0}','<=',1]", true},
		{"['{n}','=','1']", false},
	};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		IOT_CLEAN(iot_free_p)
		char *rules = iot_strf(BEHAVIOUR("'n':1,'s':'x'", "{'on':'command','if':[['{n}','=',1],%s],"
								  "'do':[{'publish':'reply','json':1}]},"
								  "{'on':'command','do':[]}"),
				       rows[i].condition);

		start(rules);
		command("{'token':'t','a':[1]}");
		if ((sent_count == 2) != rows[i].holds)
			fprintf(stderr, "\n%s\n", rows[i].condition);
		CU_ASSERT_EQUAL(sent_count, rows[i].holds ? 2 : 1);
		finish();
	}
}

static void test_commands(void)
{
	start(BEHAVIOUR("",
			"{'on':'command','command':'open','if':[['{payload.code}','=',7]],"
			"'do':[{'publish':'reply','json':{'ok':true,'door':'{payload.door}'}}]},"
			"{'on':'command','command':'open','do':[{'publish':'reply','json':{'ok':false,'error':'no'}}]},"
			"{'on':'command','command':'mute','do':[]},"
			"{'on':'command','command':'picture','do':[{'publish':'reply','random':102400}]},"
			"{'on':'command','command':'text','do':[{'publish':'reply','text':'{command} of {thing}'}]}"));
	command("{'token':'1','command':'open','code':7,'door':2}");
	said("bus/b1/reply/1", "{'ok':true,'door':2,'token':'1'}");
	command("{'token':'2','command':'open'}");
	said("bus/b1/reply/2", "{'ok':false,'error':'no','token':'2'}");
	command("{'token':'3','command':'mute'}");
	command("{'command':'open'}"); /* nobody to answer: no fault of the behaviour */
	nothing_said();
	CU_ASSERT_PTR_NULL(strstr(events, "trouble"));
	command("{'token':'4','command':'other'}");
	said("bus/b1/reply/4", "{'ok':true,'token':'4'}");
	command("{'token':'5','command':'picture'}");
	CU_ASSERT_EQUAL(sent[read_count].len, 102400);
	CU_ASSERT_STRING_EQUAL(sent[read_count++].topic, "bus/b1/reply/5");
	command("{'token':'6','command':'text'}");
	said("bus/b1/reply/6", "text of b1");
	finish();
}

/* What whoever sends commands must be able to bear. */
static void test_misbehaviour(void)
{
	start(BEHAVIOUR(
		"",
		"{'on':'command','command':'late','do':[{'publish':'reply','json':{},'after':'3s'}]},"
		"{'on':'command','command':'twice','do':[{'publish':'reply','json':{},'times':2}]},"
		"{'on':'command','command':'wrong','do':[{'publish':'reply','json':{},'token':'x{payload.token}'}]},"
		"{'on':'command','command':'bad','do':[{'publish':'reply','json':{},'token':'a/b'}]},"
		"{'on':'command','command':'other','do':[{'publish':'bus/b2/reply/{payload.token}',"
		"'qos':0,'retain':true,'json':{'token':'{payload.token}'}}]}"));
	command("{'token':'1','command':'late'}");
	command("{'token':'2','command':'late'}");
	pass(2999);
	nothing_said();
	pass(1);
	said("bus/b1/reply/1", "{'token':'1'}");
	said("bus/b1/reply/2", "{'token':'2'}");
	CU_ASSERT_EQUAL(sim_talk_deadline(talk), INT64_MAX);
	command("{'token':'3','command':'twice'}");
	said("bus/b1/reply/3", "{'token':'3'}");
	said("bus/b1/reply/3", "{'token':'3'}");
	command("{'token':'4','command':'wrong'}");
	said("bus/b1/reply/x4", "{'token':'x4'}");
	command("{'token':'5','command':'bad'}");
	nothing_said();
	ASSERT_CONTAINS(events, "trouble rules[3].do[0]");
	command("{'token':'6','command':'other'}");
	CU_ASSERT_TRUE(sent[read_count].retain);
	CU_ASSERT_EQUAL(sent[read_count].qos, 0);
	said("bus/b2/reply/6", "{'token':'6'}");
	for (int i = 0; i < 70; i++)
		command("{'token':'7','command':'late'}");
	ASSERT_CONTAINS(events, "too many messages wait");
	sim_talk_offline(talk);
	broken = true;
	pass(3000);
	ASSERT_CONTAINS(events, "trouble cannot send");
	finish();
}

static void test_mqtt5_replies(void)
{
	const struct iot_mqtt_message message = {.topic = "bus/b1/command",
						 .payload = "{\"command\":\"a\"}",
						 .payload_len = 15,
						 .response_topic = "bus/b1/reply/9",
						 .correlation = "nine",
						 .correlation_len = 4};

	make_device(TOPICS(BY_STATE, "'correlation':'mqtt5'"));
	boot(BEHAVIOUR("", "{'on':'command','do':[{'publish':'reply','json':{'a':1},'after':'1s'},"
			   "{'publish':'reply','json':{'a':2},'token':'ten'}]}"));
	read_count = 1;
	CU_ASSERT_TRUE(sim_talk_message(talk, &message, now));
	CU_ASSERT_STRING_EQUAL(sent[1].correlation, "ten");
	said("bus/b1/reply/9", "{'a':2}");
	pass(1000);
	CU_ASSERT_STRING_EQUAL(sent[2].correlation, "nine");
	said("bus/b1/reply/9", "{'a':1}");
	finish();
}

static void test_timers(void)
{
	start(BEHAVIOUR("'n':0", "{'on':'timer','every':'1s','do':[{'add':'n','by':1}]},"
				 "{'on':'timer','every':'10s','if':[['{n}','>','{config.least}']],"
				 "'do':[{'publish':'event','json':'{n}'}]}"));
	pass(10000);
	nothing_said(); /* nothing is above what is not configured */
	hear("bus/b1/config", "{'least':12}");
	pass(10000);
	said("bus/b1/event", "20");
	/* They stand still while there is no connection, and nothing is made up for. */
	sim_talk_offline(talk);
	CU_ASSERT_EQUAL(sim_talk_deadline(talk), INT64_MAX);
	now += 100000;
	sim_talk_tick(talk, now);
	sim_talk_online(talk, now);
	pass(10000);
	said("bus/b1/event", "30");
	now += 60000;
	sim_talk_tick(talk, now);
	said("bus/b1/event", "31");
	sim_talk_tick(talk, now);
	nothing_said();
	finish();
}

static void test_steps(void)
{
	static const char rules[] =
		BEHAVIOUR("'i':5,'x':1.5,'s':'x'",
			  "{'on':'command','command':'add','do':[{'add':'i','by':'{payload.by}','min':0,'max':10},"
			  "{'publish':'event','json':'{i}'}]},"
			  "{'on':'command','command':'walk','do':[{'walk':'i','by':3,'min':0,'max':10},"
			  "{'walk':'x','by':0.25,'max':'{config.most}'},{'publish':'event','json':['{i}','{x}']}]},"
			  "{'on':'command','command':'wrong','do':[{'add':'s','by':1}]}");
	bool went_down = false, went_up = false;

	start(rules);
	command("{'command':'add','by':3}");
	said("bus/b1/event", "8");
	command("{'command':'add','by':3}");
	said("bus/b1/event", "10");
	command("{'command':'add','by':-30}");
	said("bus/b1/event", "0");
	command("{'command':'add','by':0.1}");
	said("bus/b1/event", "0.1");
	command("{'command':'add','by':'three'}");
	ASSERT_CONTAINS(events, "trouble rules[0].do[0]: the new value of 'i'");
	said("bus/b1/event", "0.1");
	command("{'command':'add','by':9223372036854775807}");
	said("bus/b1/event", "10");
	command("{'command':'wrong'}");
	ASSERT_CONTAINS(events, "the new value of 's'");
	finish();

	start(rules);
	hear("bus/b1/config", "{'most':2}");
	read_count = sent_count;
	for (int i = 0; i < 200; i++) {
		IOT_JSON value = NULL;
		json_int_t at;

		command("{'command':'walk'}");
		value = json_loads(sent[sent_count - 1].payload, 0, NULL);
		at = json_integer_value(json_array_get(value, 0));
		CU_ASSERT_TRUE(json_is_integer(json_array_get(value, 0)) && at >= 0 && at <= 10);
		went_down = went_down || at < 5;
		went_up = went_up || at > 5;
		CU_ASSERT_TRUE(json_number_value(json_array_get(value, 1)) <= 2);
		CU_ASSERT_TRUE(strlen(sent[sent_count - 1].payload) < 20); /* no endless digits */
	}
	CU_ASSERT_TRUE(went_down && went_up);
	finish();
}

UNIT_MAIN("sim/behaviour", NULL, NULL, {"refused-at-the-top", test_refused_at_the_top},
	  {"refused-rules", test_refused_rules}, {"refused-actions", test_refused_actions}, {"limits", test_limits},
	  {"load", test_load}, {"plain-device", test_plain_device},
	  {"configuration-in-the-state", test_configuration_in_the_state},
	  {"configuration-in-other-manners", test_configuration_in_other_manners},
	  {"configuration-in-a-shadow", test_configuration_in_a_shadow}, {"values", test_values},
	  {"growth", test_growth}, {"reactions", test_reactions}, {"conditions", test_conditions},
	  {"commands", test_commands}, {"misbehaviour", test_misbehaviour}, {"mqtt5-replies", test_mqtt5_replies},
	  {"timers", test_timers}, {"steps", test_steps})
