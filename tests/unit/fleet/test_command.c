/*
 * Commands before they reach a broker and answers after they have come from one:
 * what is sent to whom, whose answer a message is, and what a journal remembers.
 */
#include "iotctl/remote_command.h"

#include "fleet/command_private.h"
#include "iotctl/base.h"
#include "iotctl/json.h"
#include "iotctl/local.h"
#include "unit.h"

static char *dir;
static struct iot_cloud *cloud;
static struct iot_error err;

/* Devices of three types, and so of three layouts. */
enum { AWS, FIVE, BARE, DEVICES };
static char things[DEVICES][8] = {"pump-1", "five-1", "bare-1"};
static char types[DEVICES][8] = {"pump", "five", "bare"};
static const struct iot_publish_device devices[DEVICES] = {
	{.thing = things[AWS], .type = types[AWS]},
	{.thing = things[FIVE], .type = types[FIVE]},
	{.thing = things[BARE], .type = types[BARE]},
};

#define ROLE(name, topic, more) "\"" name "\":{\"topic\":\"" topic "\",\"qos\":1,\"retain\":false," more "}"
#define LAYOUT(name, command, reply)                                                                                   \
	"{\"name\":\"" name "\",\"description\":\"x\",\"roles\":{" ROLE(                                               \
		"config", name "/{thing}/config",                                                                      \
		"\"direction\":\"to-device\","                                                                         \
		"\"acknowledge\":\"shadow\"") "," command "," reply                                                    \
					      "," ROLE(                                                                \
						      "event", name "/{thing}/event",                                  \
						      "\"direction\":\"from-device\"") "," ROLE("state",               \
												name "/{thing}/state", \
												"\"direction\":"       \
												"\"from-device\"") "}" \
														   "}"
#define TO "\"direction\":\"to-device\","
#define FROM "\"direction\":\"from-device\""

static void add_layout(const char *name, const char *text)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s.json", dir, name);
	IOT_JSON record = NULL;
	IOT_JSON type = json_pack("{s:s}", "thingTypeName", name);

	ASSERT_OK(iot_fs_write(path, 0600, text, strlen(text), &err), &err);
	ASSERT_OK(iot_cloud_call(cloud, "CreateThingType", type, NULL, NULL, NULL, &err), &err);
	ASSERT_OK(iot_layout_add(cloud, path, false, &record, &err), &err);
	ASSERT_OK(iot_layout_use(cloud, name, name, &err), &err);
}

static void set_up(void)
{
	IOT_CLEAN(iot_free_p) char *fleet = NULL;

	dir = unit_mkdtemp();
	fleet = iot_path(dir, "fleet");
	ASSERT_OK(iot_local_create(fleet, "demo", &err), &err);
	ASSERT_OK(iot_local_open(fleet, &cloud, &err), &err);
	add_layout("five",
		   LAYOUT("five", ROLE("command", "five/{thing}/command/{subfolder}", TO "\"correlation\":\"mqtt5\""),
			  ROLE("reply", "five/{thing}/reply", FROM)));
	add_layout("bare", LAYOUT("bare",
				  ROLE("command", "bare/{thing}/command",
				       TO "\"correlation\":\"payload\",\"tokenMember\":\"to\\\"ken\""),
				  ROLE("reply", "bare/{thing}/reply", FROM)));
}

static void tear_down(void)
{
	iot_cloud_free(cloud);
	cloud = NULL;
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

static struct iot_command_options options_for(const char *payload, bool wait)
{
	return (struct iot_command_options){.devices = devices,
					    .device_count = DEVICES,
					    .payload = payload,
					    .payload_len = strlen(payload),
					    .wait = wait,
					    .timeout_ms = 1000};
}

/* "$0" in a text becomes the token of the first device, and so on; new memory. */
static char *with_tokens(const struct targets *targets, const char *text)
{
	struct iot_buf out = IOT_BUF_INIT(65536);

	for (; text != NULL && *text != '\0'; text++) {
		if (*text == '$')
			iot_buf_adds(&out, targets->all[*++text - '0'].token);
		else
			iot_buf_addc(&out, *text);
	}
	return iot_buf_detach(&out);
}

/* --- what is sent --------------------------------------------------------------------------- */

static void sends(const char *payload, bool wait, size_t device, const char *topic, const char *expected)
{
	struct iot_command_options options = options_for(payload, wait);
	struct targets targets = {0};
	struct iot_buf buf = IOT_BUF_INIT(65536);
	IOT_CLEAN(iot_free_p) char *text = NULL;
	size_t len = 0;
	const char *bytes;

	ASSERT_OK(targets_init(&targets, cloud, &options, &err), &err);
	bytes = target_payload(&targets.all[device], &options, &buf, &len);
	text = with_tokens(&targets, expected);
	CU_ASSERT_STRING_EQUAL(targets.all[device].topic, topic);
	CU_ASSERT(len == strlen(text) && memcmp(bytes, text, len) == 0);
	iot_buf_release(&buf);
	targets_release(&targets);
}

static void test_messages(void)
{
	sends("{\"a\":1.0, \"b\": 12345678901234567890}", false, AWS, "pump/pump-1/command",
	      "{\"a\":1.0, \"b\": 12345678901234567890}");
	/* The token comes first, and all else stays as it was written. */
	sends(" { \"a\": 1.00e0}\n", true, AWS, "pump/pump-1/command", " {\"token\":\"$0\", \"a\": 1.00e0}\n");
	sends("{}", true, AWS, "pump/pump-1/command", "{\"token\":\"$0\"}");
	sends("", true, AWS, "pump/pump-1/command", "{\"token\":\"$0\"}");
	sends("{ }", true, BARE, "bare/bare-1/command", "{\"to\\\"ken\":\"$2\" }");
	sends("{\"a\":1}", true, FIVE, "five/five-1/command", "{\"a\":1}");
	sends("", false, AWS, "pump/pump-1/command", "");
	sends("not json", false, AWS, "pump/pump-1/command", "not json");
}

static void refuses(struct iot_command_options options, const char *what, const char *hint)
{
	struct targets targets = {0};

	iot_error_clear(&err);
	ASSERT_STATUS(targets_init(&targets, cloud, &options, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, what);
	ASSERT_CONTAINS(err.hint, hint);
	targets_release(&targets);
}

static void test_refused(void)
{
	struct iot_command_options options = options_for("{}", true);
	IOT_CLEAN(iot_free_p) char *big = iot_alloc(131073);

	refuses(options_for("text", true), "not a JSON object", "layout 'aws' puts it there as member 'token'");
	refuses(options_for("[1]", true), "not a JSON object", "without --wait");
	refuses(options_for("{\"a\":1,\"a\":2}", true), "not a JSON object", "");
	refuses(options_for("{\"token\":null}", true), "has a member 'token' of its own", "leave it out");
	options.subfolder = "x";
	refuses(options, "layout 'aws' has no subfolders for commands", "");
	options.devices = &devices[FIVE];
	options.device_count = 1;
	options.subfolder = "a/#";
	refuses(options, "subfolder 'a/#'", "");
	options.subfolder = "";
	refuses(options, "subfolder '' is none", "");
	options.subfolder = "1/2/3/4/5/6";
	refuses(options, "8 slashes, 7 at most", "");
	/* With its token it is one byte too long. */
	memset(big, ' ', 131072);
	big[0] = '{', big[131072 - sizeof("\"token\":\"\"") - 36 + 1] = '}';
	big[131072 - sizeof("\"token\":\"\"") - 36 + 2] = '\0';
	refuses(options_for(big, true), "131073 bytes, 131072 at most", "");
}

/* --- whose answer ----------------------------------------------------------------------------- */

static struct reply judge(const struct targets *targets, const char *topic, const char *payload,
			  const char *correlation)
{
	IOT_CLEAN(iot_free_p) char *on = with_tokens(targets, topic);
	IOT_CLEAN(iot_free_p) char *says = with_tokens(targets, payload);
	IOT_CLEAN(iot_free_p) char *names = with_tokens(targets, correlation);
	const struct iot_mqtt_message message = {
		.topic = on,
		.payload = says,
		.payload_len = strlen(says),
		.correlation = correlation != NULL ? names : NULL,
		.correlation_len = correlation != NULL ? strlen(names) : 0,
	};

	return reply_judge(targets, &message);
}

#define JUDGED(topic, payload, correlation, expected_kind, expected_device)                                            \
	do {                                                                                                           \
		struct reply reply_ = judge(&targets, topic, payload, correlation);                                    \
		CU_ASSERT_EQUAL(reply_.kind, expected_kind);                                                           \
		CU_ASSERT_PTR_EQUAL(reply_.target, (expected_device) < 0 ? NULL : &targets.all[(expected_device)]);    \
	} while (0)

static void test_answers(void)
{
	struct iot_command_options options = options_for("{}", true);
	struct targets targets = {0};

	ASSERT_OK(targets_init(&targets, cloud, &options, &err), &err);
	/* It was not told yet. */
	JUDGED("pump/pump-1/reply/$0", "{}", NULL, REPLY_MISMATCH, AWS);
	for (size_t i = 0; i < DEVICES; i++) {
		targets.all[i].state = TARGET_FLYING;
		targets.all[i].sent_at = 1;
	}
	/* Its token in the topic is enough, whatever it says; another one in what it says is too much. */
	JUDGED("pump/pump-1/reply/$0", "{\"token\":\"$0\"}", NULL, REPLY_ANSWER, AWS);
	JUDGED("pump/pump-1/reply/$0", "\xff\xd8 a picture", NULL, REPLY_ANSWER, AWS);
	JUDGED("pump/pump-1/reply/$0", "", NULL, REPLY_ANSWER, AWS);
	JUDGED("pump/pump-1/reply/$0", "{}", "$1", REPLY_ANSWER, AWS);
	JUDGED("pump/pump-1/reply/$0", "{\"token\":\"x\"}", NULL, REPLY_MISMATCH, AWS);
	JUDGED("pump/pump-1/reply/$0", "{\"token\":\"\"}", NULL, REPLY_MISMATCH, AWS);
	JUDGED("pump/pump-1/reply/$0", "{\"token\":7}", NULL, REPLY_MISMATCH, AWS);
	JUDGED("pump/pump-1/reply/$0", "{\"token\":\"$2\"}", NULL, REPLY_FOREIGN, BARE);
	JUDGED("pump/pump-1/reply/other", "{\"token\":\"other\"}", NULL, REPLY_STRANGE, -1);
	JUDGED("pump/pump-1/reply/other", "{\"token\":\"$0\"}", NULL, REPLY_FOREIGN, AWS);
	/* Another device's topic. */
	JUDGED("pump/pump-2/reply/$0", "{\"token\":\"$0\"}", NULL, REPLY_FOREIGN, AWS);
	JUDGED("pump/pump-2/reply/$0", "", NULL, REPLY_FOREIGN, AWS);
	JUDGED("pump/pump-2/reply/x", "{\"token\":\"x\"}", NULL, REPLY_STRANGE, -1);
	JUDGED("nothing/of/ours", "{}", NULL, REPLY_STRANGE, -1);
	/* MQTT 5. */
	JUDGED("five/five-1/reply", "{}", "$1", REPLY_ANSWER, FIVE);
	JUDGED("five/five-1/reply", "{\"token\":\"$0\"}", "$1", REPLY_ANSWER, FIVE);
	JUDGED("five/five-1/reply", "{}", NULL, REPLY_MISMATCH, FIVE);
	JUDGED("five/five-1/reply", "{}", "", REPLY_MISMATCH, FIVE);
	JUDGED("five/five-1/reply", "{}", "$1 ", REPLY_MISMATCH, FIVE);
	JUDGED("five/five-1/reply", "{}", "$0", REPLY_FOREIGN, AWS);
	JUDGED("five/five-2/reply", "{}", "$1", REPLY_FOREIGN, FIVE);
	/* In the payload alone. */
	JUDGED("bare/bare-1/reply", "{\"to\\\"ken\":\"$2\"}", NULL, REPLY_ANSWER, BARE);
	JUDGED("bare/bare-1/reply", "{\"token\":\"$2\"}", NULL, REPLY_MISMATCH, BARE);
	JUDGED("bare/bare-1/reply", "[\"$2\"]", NULL, REPLY_MISMATCH, BARE);
	JUDGED("bare/bare-1/reply", "{\"to\\\"ken\":\"$2\"", NULL, REPLY_MISMATCH, BARE);
	JUDGED("bare/bare-1/reply", "", "$2", REPLY_MISMATCH, BARE);
	JUDGED("bare/bare-2/reply", "{\"to\\\"ken\":\"$2\"}", NULL, REPLY_FOREIGN, BARE);
	/* After the end. */
	targets.all[AWS].state = targets.all[FIVE].state = TARGET_ENDED;
	targets.all[AWS].outcome = IOT_COMMAND_ANSWERED;
	targets.all[FIVE].outcome = IOT_COMMAND_TIMED_OUT;
	JUDGED("pump/pump-1/reply/$0", "{}", NULL, REPLY_TWICE, AWS);
	JUDGED("five/five-1/reply", "{}", "$1", REPLY_LATE, FIVE);
	targets_release(&targets);
}

/* --- the journal ------------------------------------------------------------------------------- */

/* What a call knows from the journal: a letter for each device, '-' for one that is to be told. */
static const char *known(const struct iot_command_options *options, enum iot_status expected)
{
	static char out[DEVICES + 1];
	struct command_journal *journal = NULL;
	struct targets targets = {0};

	iot_error_clear(&err);
	ASSERT_OK(targets_init(&targets, cloud, options, &err), &err);
	ASSERT_STATUS(command_journal_open(options, &targets, &journal, &err), expected, &err);
	for (size_t i = 0; i < DEVICES; i++)
		out[i] =
			targets.all[i].state == TARGET_ENDED ? *iot_command_outcome_names[targets.all[i].outcome] : '-';
	ASSERT_OK(command_journal_close(journal, &err), &err);
	targets_release(&targets);
	return out;
}

static void end_one(struct command_journal *journal, struct target *target, enum iot_command_outcome outcome)
{
	target->outcome = outcome;
	command_journal_ended(journal, target);
}

static void test_journal(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "journal");
	struct iot_command_options options = options_for("{}", true), other = options_for("{ }", true);
	struct command_journal *journal = NULL;
	struct targets targets = {0};

	options.resume = other.resume = path;
	CU_ASSERT_STRING_EQUAL(known(&options, IOT_OK), "---");
	ASSERT_OK(targets_init(&targets, cloud, &options, &err), &err);
	ASSERT_OK(command_journal_open(&options, &targets, &journal, &err), &err);
	/* One answered, one was being told when the process ended, one was never told. */
	for (size_t i = 0; i < 2; i++) {
		targets.all[i].begun = true;
		command_journal_sending(journal, &targets.all[i]);
	}
	end_one(journal, &targets.all[AWS], IOT_COMMAND_ANSWERED);
	end_one(journal, &targets.all[BARE], IOT_COMMAND_NOT_CONNECTED);
	ASSERT_OK(command_journal_flush(journal, &err), &err);
	CU_ASSERT_STRING_EQUAL(known(&options, IOT_CONFLICT), "---");
	ASSERT_CONTAINS(err.what, "in use by another process");
	ASSERT_OK(command_journal_close(journal, &err), &err);
	targets_release(&targets);

	CU_ASSERT_STRING_EQUAL(known(&options, IOT_OK), "au-");
	options.retry_failed = true;
	CU_ASSERT_STRING_EQUAL(known(&options, IOT_OK), "a--");
	CU_ASSERT_STRING_EQUAL(known(&other, IOT_CONFLICT), "---");
	ASSERT_CONTAINS(err.what, "is of another command");
	other = options_for("{}", false);
	other.resume = path;
	CU_ASSERT_STRING_EQUAL(known(&other, IOT_CONFLICT), "---");
}

static void test_no_journal(void)
{
	static const char *const texts[] = {
		"precious\n",
		"{\"journal\":\"iotctl publish\",\"version\":1}\n",
		"{\"journal\":\"iotctl command send\",\"version\":1}\n{}\n",
		"{\"journal\":\"iotctl command send\",\"version\":1}\n{\"command\":\"x\"}\nprecious\n",
	};
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "file");
	struct iot_command_options options = options_for("{}", true);

	options.resume = path;
	for (size_t i = 0; i < IOT_LENGTH(texts); i++) {
		struct iot_buf kept = IOT_BUF_INIT(1000);

		ASSERT_OK(iot_fs_write(path, 0600, texts[i], strlen(texts[i]), &err), &err);
		CU_ASSERT_STRING_EQUAL(known(&options, IOT_USAGE), "---");
		ASSERT_CONTAINS(err.what, "is not a journal of 'iotctl command send'");
		ASSERT_OK(iot_fs_read(path, &kept, &err), &err);
		CU_ASSERT_STRING_EQUAL(iot_buf_str(&kept), texts[i]);
		iot_buf_release(&kept);
	}
}

UNIT_MAIN("fleet/command", set_up, tear_down, {"messages", test_messages}, {"refused", test_refused},
	  {"answers", test_answers}, {"journal", test_journal}, {"no_journal", test_no_journal})
