/*
 * Messages before they reach a broker: AWS IoT's rules, formats, where the
 * messages of a call come from, and the journal of those that were acknowledged.
 */
#include "iotctl/messaging.h"

#include "fleet/messaging_private.h"
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/json.h"
#include "unit.h"

#include <fcntl.h>
#include <unistd.h>

static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
}

static void tear_down(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

/* --- rules ------------------------------------------------------------------------------ */

static void refused(const char *topic, size_t len, int qos, const char *what, const char *hint)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_STATUS(iot_message_check(topic, len, qos, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, what);
	ASSERT_CONTAINS(err.hint, hint);
}

static void test_rules(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	char topic[300];

	ASSERT_OK(iot_message_check("a/b/c/d/e/f/g/h", 131072, 1, &err), &err);
	refused("a/b/c/d/e/f/g/h/i", 1, 1, "8 slashes, 7 at most", "AWS IoT's rule for topics");
	refused("a/+", 1, 1, "wildcard '+'", "AWS IoT's rule for topics");
	refused("$SYS/x", 1, 1, "reserved", "AWS IoT's rule for topics");
	refused("", 1, 1, "empty", "AWS IoT's rule for topics");
	refused("a", 131073, 1, "131073 bytes, 131072 at most", "AWS IoT's rule for messages");
	refused("a", 1, 2, "QoS 2", "QoS 0 and 1 only");
	memset(topic, 'x', 257);
	topic[257] = '\0';
	refused(topic, 1, 1, "257 bytes", "AWS IoT's rule for topics");
	ASSERT_OK(iot_filter_check("a/+/#", 1, &err), &err);
	ASSERT_STATUS(iot_filter_check("a/#/b", 1, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "'#' last");
	ASSERT_STATUS(iot_filter_check("a/b+", 1, &err), IOT_USAGE, &err);
}

/* --- formats ----------------------------------------------------------------------------- */

static void reads(enum iot_payload_format format, const char *text, const char *bytes, size_t len)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(1000);

	ASSERT_OK(iot_payload_read(format, text, strlen(text), &out, &err), &err);
	CU_ASSERT_EQUAL(out.len, len);
	CU_ASSERT(out.len == len && memcmp(iot_buf_str(&out), bytes, len) == 0);
	iot_buf_release(&out);
}

static void does_not_read(enum iot_payload_format format, const char *text)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_buf out = IOT_BUF_INIT(1000);

	ASSERT_STATUS(iot_payload_read(format, text, strlen(text), &out, &err), IOT_USAGE, &err);
	iot_buf_release(&out);
}

static void test_formats(void)
{
	reads(IOT_PAYLOAD_TEXT, "a\n", "a\n", 2);
	reads(IOT_PAYLOAD_TEXT, "", "", 0);
	reads(IOT_PAYLOAD_HEX, "00fF\n", "\0\xff", 2);
	reads(IOT_PAYLOAD_HEX, "", "", 0);
	reads(IOT_PAYLOAD_BASE64, "AP8=\n", "\0\xff", 2);
	reads(IOT_PAYLOAD_JSON, "{\"a\": 1}", "{\"a\": 1}", 8);
	does_not_read(IOT_PAYLOAD_HEX, "0");
	does_not_read(IOT_PAYLOAD_HEX, "0g");
	does_not_read(IOT_PAYLOAD_BASE64, "AP8");
	does_not_read(IOT_PAYLOAD_JSON, "{\"a\": }");
}

static void shows(enum iot_payload_format format, const char *bytes, size_t len, const char *expected)
{
	IOT_JSON record = json_object();
	IOT_CLEAN(iot_free_p) char *text = NULL;

	iot_payload_show(format, bytes, len, record);
	text = iot_json_text(record);
	CU_ASSERT_STRING_EQUAL(text, expected);
}

static void test_shown(void)
{
	shows(IOT_PAYLOAD_TEXT, "a\"b", 3, "{\"payload\":\"a\\\"b\",\"format\":\"text\"}");
	shows(IOT_PAYLOAD_TEXT, "", 0, "{\"payload\":\"\",\"format\":\"text\"}");
	shows(IOT_PAYLOAD_TEXT, "\0\xff", 2, "{\"payload\":\"AP8=\",\"format\":\"base64\"}");
	shows(IOT_PAYLOAD_HEX, "\0\xff", 2, "{\"payload\":\"00ff\",\"format\":\"hex\"}");
	shows(IOT_PAYLOAD_BASE64, "ab", 2, "{\"payload\":\"YWI=\",\"format\":\"base64\"}");
	shows(IOT_PAYLOAD_JSON, "{\"a\": [1]}", 10, "{\"payload\":{\"a\":[1]},\"format\":\"json\"}");
	shows(IOT_PAYLOAD_JSON, "{a}", 3, "{\"payload\":\"{a}\",\"format\":\"text\"}");
}

/* --- sources ------------------------------------------------------------------------------ */

static const char *const no_topics[] = {NULL};

/* A descriptor to read `text` from. */
static int text_fd(const char *text)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "lines");
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_write(path, 0600, text, strlen(text), &err), &err);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* The next message as "NUMBER TOPIC PAYLOAD QOS[r]", "refused LINE WHAT" or "end"; new memory. */
static char *next(struct source *source, const struct iot_publish_options *options)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct message message;
	enum source_result result;
	char *text = NULL;

	while ((result = source_next(source, &message, &err)) == SOURCE_WAIT)
		ASSERT_OK(source_read(source, &err), &err);
	if (result == SOURCE_END)
		text = iot_strdup("end");
	else if (result == SOURCE_REFUSED)
		text = iot_strf("refused %lld %s", (long long)message.line, err.what);
	else
		text = iot_strf("%lld %s %.*s %d%s", (long long)message.number, message.topic, (int)message.len,
				(const char *)message_payload(&message, options), message.qos,
				message.retain ? "r" : "");
	message_release(&message);
	return text;
}

static void next_is(struct source *source, const struct iot_publish_options *options, const char *expected)
{
	IOT_CLEAN(iot_free_p) char *text = next(source, options);

	if (strncmp(text, expected, strlen(expected)) != 0)
		fprintf(stderr, "\n'%s' is not '%s'\n", text, expected);
	CU_ASSERT_EQUAL(strncmp(text, expected, strlen(expected)), 0);
}

static void test_templates(void)
{
	static const char *const topics[] = {"{type}/{name}/x", "y/{thing}", NULL};
	struct iot_publish_device devices[] = {{.thing = (char[]){"p1"}, .type = (char[]){"pump"}},
					       {.thing = (char[]){"p2"}, .type = (char[]){"pump"}}};
	struct iot_publish_options options = {.topics = topics,
					      .devices = devices,
					      .device_count = 2,
					      .payload = "hi",
					      .payload_len = 2,
					      .lines_fd = -1,
					      .qos = 1,
					      .count = 2};
	struct iot_error err = IOT_ERROR_INIT;
	IOT_CLEAN(source_free_p) struct source *source = source_new(&options);

	ASSERT_OK(source_check(&options, &err), &err);
	next_is(source, &options, "1 pump/p1/x hi 1");
	next_is(source, &options, "2 pump/p2/x hi 1");
	next_is(source, &options, "3 y/p1 hi 1");
	next_is(source, &options, "4 y/p2 hi 1");
	next_is(source, &options, "5 pump/p1/x hi 1");
	for (int i = 0; i < 3; i++)
		free(next(source, &options));
	next_is(source, &options, "end");
	devices[1].type[0] = '\0';
	ASSERT_STATUS(source_check(&options, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "device 'p2' has none");
	options.device_count = 0;
	ASSERT_STATUS(source_check(&options, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "none are named");
	options.topics = (const char *const[]){"same", NULL};
	options.device_count = 1;
	ASSERT_STATUS(source_check(&options, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "the same for every device");
}

static void test_lines(void)
{
	static const char *const topics[] = {"a", "b", NULL};
	int fd = text_fd("one\n\ntwo\r\nthree");
	const struct iot_publish_options options = {.topics = topics, .lines_fd = fd, .retain = true};
	IOT_CLEAN(source_free_p) struct source *source = source_new(&options);

	next_is(source, &options, "1 a one 0r");
	next_is(source, &options, "2 b one 0r");
	next_is(source, &options, "3 a two\r 0r");
	next_is(source, &options, "4 b two\r 0r");
	next_is(source, &options, "5 a three 0r");
	next_is(source, &options, "6 b three 0r");
	next_is(source, &options, "end");
	close(fd);
}

static void test_json_lines(void)
{
	int fd = text_fd("{\"topic\":\"a\",\"payload\":\"x\"}\n"
			 "{\"topic\":\"a\",\"payload\":{\"n\": 1},\"qos\":0,\"retain\":true}\n"
			 "{\"topic\":\"a\",\"payload\":\"YWI=\",\"format\":\"base64\",\"time\":\"now\"}\n"
			 "{\"topic\":\"a\",\"payload\":\"s\",\"format\":\"json\"}\n"
			 "{\"topic\":\"a\"}\n"
			 "{\"topic\":\"a/+\",\"payload\":\"x\"}\n"
			 "{\"topic\":\"a\",\"qos\":2}\n"
			 "{\"topic\":\"a\",\"qos\":99999999999}\n"
			 "{\"topic\":\"a\",\"payload\":\"x\",\"format\":\"hex\"}\n"
			 "{\"topic\":\"a\",\"payload\":\"x\",\"format\":\"none\"}\n"
			 "{\"topic\":\"a\",\"colour\":\"x\"}\n"
			 "{\"payload\":\"x\"}\n"
			 "[1]\n"
			 "{\"topic\":\n"
			 "{\"topic\":\"z\",\"payload\":\"last\"}");
	const struct iot_publish_options options = {.topics = no_topics, .lines_fd = fd, .qos = 1};
	IOT_CLEAN(source_free_p) struct source *source = source_new(&options);

	next_is(source, &options, "1 a x 1");
	next_is(source, &options, "2 a {\"n\":1} 0r");
	next_is(source, &options, "3 a ab 1");
	next_is(source, &options, "4 a \"s\" 1");
	next_is(source, &options, "5 a  1");
	next_is(source, &options, "refused 6 topic 'a/+' has the wildcard");
	next_is(source, &options, "refused 7 QoS 2 is not available");
	next_is(source, &options, "refused 8 QoS 3 is not available");
	next_is(source, &options, "refused 9 the payload is not hex");
	next_is(source, &options, "refused 10 format must be");
	next_is(source, &options, "refused 11 the line has an unknown member 'colour'");
	next_is(source, &options, "refused 12 the line has no topic");
	next_is(source, &options, "refused 13 the line is no JSON object");
	next_is(source, &options, "refused 14 'line' is not valid JSON");
	next_is(source, &options, "15 z last 1");
	next_is(source, &options, "end");
	close(fd);
}

static void test_long_lines(void)
{
	size_t size = 3 * 1024 * 1024;
	IOT_CLEAN(iot_free_p) char *text = iot_alloc(size + 10);
	int fd;
	struct iot_publish_options options = {.topics = (const char *const[]){"a", NULL}};
	struct source *source;

	memset(text, 'x', size);
	memcpy(text, "ok\n", 3);
	memcpy(text + size, "\nend\n", 6);
	fd = text_fd(text);
	options.lines_fd = fd;
	source = source_new(&options);
	next_is(source, &options, "1 a ok 0");
	next_is(source, &options, "refused 2 the line is longer than");
	next_is(source, &options, "3 a end 0"); /* and the line after it is whole */
	next_is(source, &options, "end");
	source_free_p(&source);
	close(fd);
}

/* --- journals ------------------------------------------------------------------------------- */

static struct message message_of(int64_t number, const char *topic)
{
	return (struct message){.number = number, .topic = (char *)(uintptr_t)topic, .len = 1, .qos = 1};
}

static bool has(const struct receipts *journal, int64_t number, const char *topic)
{
	struct iot_error err = IOT_ERROR_INIT;
	const struct message message = message_of(number, topic);
	bool found = false;

	ASSERT_OK(receipts_has(journal, &message, "x", &found, &err), &err);
	return found;
}

static void test_journal(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "journal");
	struct iot_error err = IOT_ERROR_INIT;
	struct receipts *journal = NULL, *second = NULL;
	const struct message first = message_of(1, "a"), other = message_of(3, "\xc3\xa4/\"");
	bool found;

	ASSERT_OK(receipts_open(path, &journal, &err), &err);
	CU_ASSERT_FALSE(has(journal, 1, "a"));
	ASSERT_STATUS(receipts_open(path, &second, &err), IOT_CONFLICT, &err);
	receipts_add(journal, &first, "x");
	receipts_add(journal, &other, "x");
	ASSERT_OK(receipts_close(journal, &err), &err);
	ASSERT_OK(receipts_open(path, &journal, &err), &err);
	CU_ASSERT(has(journal, 1, "a"));
	CU_ASSERT_FALSE(has(journal, 2, "a"));
	CU_ASSERT(has(journal, 3, other.topic));
	CU_ASSERT_FALSE(has(journal, 4000000, "a"));
	/* the same number, but another message: another topic, another payload */
	ASSERT_STATUS(receipts_has(journal, &first, "y", &found, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "is of other messages");
	ASSERT_OK(receipts_close(journal, &err), &err);
}

static void append(const char *path, const char *text)
{
	FILE *file = fopen(path, "ae");

	fputs(text, file);
	fclose(file);
}

static void test_journal_faults(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "journal");
	struct iot_error err = IOT_ERROR_INIT;
	struct receipts *journal = NULL;
	const struct message first = message_of(1, "a"), second = message_of(2, "b");

	ASSERT_OK(receipts_open(path, &journal, &err), &err);
	receipts_add(journal, &first, "x");
	ASSERT_OK(receipts_close(journal, &err), &err);
	/* a line that a crash cut is dropped, and the file goes on behind the last whole one */
	append(path, "{\"number\":2,\"dig");
	ASSERT_OK(receipts_open(path, &journal, &err), &err);
	CU_ASSERT_FALSE(has(journal, 2, "b"));
	receipts_add(journal, &second, "x");
	ASSERT_OK(receipts_close(journal, &err), &err);
	ASSERT_OK(receipts_open(path, &journal, &err), &err);
	CU_ASSERT(has(journal, 1, "a"));
	CU_ASSERT(has(journal, 2, "b"));
	ASSERT_OK(receipts_close(journal, &err), &err);
	/* damage elsewhere is not */
	append(path, "{\"number\":0,\"digest\":\"0000000000000001\"}\n");
	ASSERT_STATUS(receipts_open(path, &journal, &err), IOT_USAGE, &err);
	/* nor a file that is something else */
	ASSERT_OK(iot_fs_write(path, 0600, "precious\n", 9, &err), &err);
	ASSERT_STATUS(receipts_open(path, &journal, &err), IOT_USAGE, &err);
	ASSERT_OK(iot_fs_write(path, 0600, "precious", 8, &err), &err);
	ASSERT_STATUS(receipts_open(path, &journal, &err), IOT_USAGE, &err);
	CU_ASSERT(iot_fs_exists(path));
	ASSERT_STATUS(receipts_open(dir, &journal, &err), IOT_FAILURE, &err);
	ASSERT_STATUS(receipts_open("/dev/null", &journal, &err), IOT_USAGE, &err);
}

UNIT_MAIN("fleet/messaging", set_up, tear_down, {"rules", test_rules}, {"formats", test_formats}, {"shown", test_shown},
	  {"templates", test_templates}, {"lines", test_lines}, {"json_lines", test_json_lines},
	  {"long_lines", test_long_lines}, {"journal", test_journal}, {"journal_faults", test_journal_faults})
