/* Routes at work: who gets what, and what happens to events while a file or a command does not take them. */
#include "broker/routes.h"

#include "unit.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/clock.h"
#include "iotctl/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;
static struct routes *routes;
static char log_text[16384];

static void note_log(enum iot_log_level level, const char *line, void *data)
{
	size_t len = strlen(log_text);

	(void)level;
	(void)data;
	snprintf(log_text + len, sizeof(log_text) - len, "%s\n", line);
}

static char *path_of(const char *name)
{
	return iot_path(dir, name);
}

static void set_up(void)
{
	static char log[512];

	signal(SIGPIPE, SIG_IGN); /* as cli_main does */
	dir = unit_mkdtemp();
	snprintf(log, sizeof(log), "%s/routes.log", dir);
	log_text[0] = '\0';
	iot_log_set_sink(note_log, NULL);
	routes = routes_new(log);
}

static void tear_down(void)
{
	routes_free(routes);
	iot_log_set_sink(NULL, NULL);
	chmod(dir, 0700);
	if (iot_fs_remove_tree(dir, NULL) != IOT_OK)
		abort();
	free(dir);
}

/* Routes as JSON text with ' for ", and %s for the folder, once for each. */
static void use(const char *text)
{
	struct iot_buf out = IOT_BUF_INIT(65536);
	json_t *list;

	for (; *text != '\0'; text++) {
		if (text[0] == '%' && text[1] == 's')
			iot_buf_adds(&out, (text++, dir));
		else
			iot_buf_addc(&out, *text == '\'' ? '"' : *text);
	}
	list = json_loads(iot_buf_str(&out), 0, NULL);
	if (list == NULL)
		CU_FAIL("bad test routes");
	routes_set(routes, list);
	json_decref(list);
	iot_buf_release(&out);
}

static bool say(const char *subfolder, const char *payload)
{
	const struct route_event event = {.thing = "bus-1",
					  .subfolder = subfolder,
					  .layout = "buses",
					  .topic = "bus/events",
					  .payload = payload,
					  .len = strlen(payload)};

	return routes_take(routes, &event);
}

/* Until `count` lines are in the file, or ten seconds. Returns how many there are. */
static int await_lines(const char *name, int count)
{
	int64_t deadline = iot_deadline(10000);
	int lines = -1;

	while (lines < count && iot_left(deadline) > 0) {
		IOT_CLEAN(iot_free_p) char *path = path_of(name);
		IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(64 << 20);

		(void)routes_step(routes);
		lines = 0;
		if (iot_fs_read(path, &text, NULL) == IOT_OK)
			for (size_t i = 0; i < text.len; i++)
				lines += text.data[i] == '\n';
		if (lines < count)
			usleep(2000);
	}
	return lines;
}

static char *read_text(const char *name)
{
	IOT_CLEAN(iot_free_p) char *path = path_of(name);
	struct iot_buf text = IOT_BUF_INIT(64 << 20);

	if (iot_fs_read(path, &text, NULL) != IOT_OK)
		iot_buf_adds(&text, "(missing)");
	return iot_buf_detach(&text);
}

static void expect_text(int line, const char *name, const char *part, bool there)
{
	char *text = read_text(name);

	if ((strstr(text, part) != NULL) != there)
		fprintf(stderr, "\nline %d: %s: %s\n", line, name, text);
	CU_ASSERT_EQUAL(strstr(text, part) != NULL, there);
	free(text);
}
#define HAS(name, part) expect_text(__LINE__, name, part, true)
#define HAS_NOT(name, part) expect_text(__LINE__, name, part, false)

struct counts {
	int64_t delivered, dropped;
	char fault[256];
};

static bool add_counts(const char *name, int64_t delivered, int64_t dropped, const char *fault, void *data)
{
	struct counts *counts = data;

	(void)name;
	counts->delivered += delivered;
	counts->dropped += dropped;
	snprintf(counts->fault, sizeof(counts->fault), "%s", fault != NULL ? fault : "");
	return true;
}

/* Of all routes together, until the count comes. */
static struct counts count(void)
{
	struct counts counts = {0};
	int64_t deadline = iot_deadline(10000);

	while (counts.delivered + counts.dropped == 0 && iot_left(deadline) > 0) {
		routes_counts(routes, add_counts, &counts);
		usleep(1000);
	}
	return counts;
}

/* --- which route ------------------------------------------------------------------------------- */

#define TO(name) "'type': 'file', 'target': '%s/" name "'"

static void test_first_that_fits(void)
{
	use("[{'name': 'd', 'default': true, " TO(
		"rest") "},"
			"{'name': 'n', 'subfolder': '', " TO(
				"none") "},"
					"{'name': 'l', 'subfolder': '#', 'layout': 'aws', " TO(
						"aws") "},"
						       "{'name': 'h', 'subfolder': 'alarm/high', " TO(
							       "high") "},"
								       "{'name': 'a', 'subfolder': 'alarm/#', " TO(
									       "alarm") "},"
											"{'name': 'o', 'subfolder': "
											"'+/x', " TO("x") "}]");
	CU_ASSERT_TRUE(say("", "one"));
	CU_ASSERT_TRUE(say("alarm/high", "two"));
	CU_ASSERT_TRUE(say("alarm/low", "three"));
	CU_ASSERT_TRUE(say("alarm", "four"));
	CU_ASSERT_TRUE(say("b/x", "five"));
	CU_ASSERT_TRUE(say("unknown", "six"));
	CU_ASSERT_EQUAL(await_lines("rest", 1), 1);
	HAS("none", "\"one\"");
	HAS("high", "\"two\"");
	HAS("alarm", "\"three\"");
	HAS("alarm", "\"four\"");
	HAS("x", "\"five\"");
	HAS("rest", "\"six\"");
	HAS("aws", "(missing)");
	HAS("rest", "\"device\":\"bus-1\",\"event\":\"unknown\",\"topic\":\"bus/events\",\"payload\":\"six\"");
	use("[{'name': 'h', 'subfolder': 'alarm/high', " TO("high") "}]");
	CU_ASSERT_FALSE(say("unknown", "seven"));
}

static void test_damaged_ones(void)
{
	use("[{'name': 'a'}, {'name': 'b', 'subfolder': '#', 'type': 'mail', 'target': 'x'},"
	    "{'name': 'c', 'subfolder': '#', 'type': 'command', 'target': [1]},"
	    "{'name': 'd', 'subfolder': '#', 'type': 'command', 'target': []},"
	    "{'name': 'e', 'subfolder': '#', 'type': 'topic'},"
	    "{'name': 'f', 'default': true, 'subfolder': '#', " TO("f") "},"
									"{'name': 'g', 'subfolder': '#', " TO(
										"g") "}]");
	ASSERT_CONTAINS(log_text, "route 'a' is damaged");
	ASSERT_CONTAINS(log_text, "route 'f' is damaged");
	CU_ASSERT_TRUE(say("x", "1"));
	CU_ASSERT_EQUAL(await_lines("g", 1), 1);
}

/* --- files ------------------------------------------------------------------------------------- */

static void test_turned_over(void)
{
	char big[30001];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	use("[{'name': 'a', 'subfolder': '#', 'maxSize': 65536, 'keep': 2, " TO("f") "}]");
	for (int i = 0; i < 9; i++)
		say("x", big);
	CU_ASSERT_EQUAL(await_lines("f", 1), 1);
	CU_ASSERT_EQUAL(await_lines("f.1", 2), 2);
	CU_ASSERT_EQUAL(await_lines("f.2", 2), 2);
	HAS("f.3", "(missing)");
	CU_ASSERT_EQUAL(count().delivered, 9);
}

static void test_taken_away(void)
{
	IOT_CLEAN(iot_free_p) char *path = path_of("f");
	IOT_CLEAN(iot_free_p) char *aside = path_of("aside");
	int64_t deadline = iot_deadline(10000);

	use("[{'name': 'a', 'subfolder': '#', " TO("f") "}]");
	say("x", "one");
	CU_ASSERT_EQUAL(await_lines("f", 1), 1);
	CU_ASSERT_EQUAL(rename(path, aside), 0);
	while (!iot_fs_exists(path) && iot_left(deadline) > 0) {
		say("x", "two");
		(void)routes_step(routes);
		usleep(20000);
	}
	HAS("f", "two");
	HAS("aside", "one");
}

/* Whatever is in its place is left alone, and events wait until the place is free. */
static void test_no_file(void)
{
	IOT_CLEAN(iot_free_p) char *path = path_of("f");
	IOT_CLEAN(iot_free_p) char *other = path_of("other");

	if (iot_fs_write(other, 0600, "precious\n", 9, NULL) != IOT_OK || symlink(other, path) != 0)
		abort();
	use("[{'name': 'a', 'subfolder': '#', " TO("f") "}]");
	say("x", "one");
	(void)routes_step(routes);
	ASSERT_CONTAINS(log_text, "route 'a': cannot open");
	unlink(path);
	CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	for (int64_t end = iot_deadline(1200); iot_left(end) > 0; usleep(20000))
		(void)routes_step(routes); /* a FIFO without a reader must not keep us */
	unlink(path);
	CU_ASSERT_EQUAL(await_lines("f", 1), 1);
	ASSERT_CONTAINS(log_text, "route 'a' works again");
	HAS("other", "precious");
	HAS_NOT("other", "one");
}

/* As on a full disk: of a line that does not fit nothing stays, and when there is room all comes, in order, once. */
static void test_full(void)
{
	struct rlimit old, small;
	char text[64];
	int written = 0;
	struct stat st;
	IOT_CLEAN(iot_free_p) char *path = path_of("f");

	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	small = old;
	small.rlim_cur = 1000;
	use("[{'name': 'a', 'subfolder': '#', " TO("f") "}]");
	setrlimit(RLIMIT_FSIZE, &small);
	for (int i = 0; i < 20; i++) {
		snprintf(text, sizeof(text), "\"event %02d\"", i);
		say("x", text);
	}
	(void)routes_step(routes);
	setrlimit(RLIMIT_FSIZE, &old);
	ASSERT_CONTAINS(log_text, "route 'a': cannot write");
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_TRUE(st.st_size > 0 && st.st_size <= 1000);
	HAS_NOT("f", "event 19");
	CU_ASSERT_EQUAL(await_lines("f", 20), 20);
	{
		char *all = read_text("f"), *at = all;

		for (; written < 20 && at != NULL; written++) {
			snprintf(text, sizeof(text), "event %02d", written);
			at = strstr(at, text);
		}
		CU_ASSERT_PTR_NOT_NULL(at);
		free(all);
	}
	CU_ASSERT_EQUAL(count().delivered, 20);
}

static void test_bounded(void)
{
	struct counts counts;

	use("[{'name': 'a', 'subfolder': '#', 'type': 'file', 'target': '%s/missing/f'}]");
	for (int i = 0; i < ROUTE_LINES_MAX + 50; i++)
		say("x", "1");
	(void)routes_step(routes);
	ASSERT_CONTAINS(log_text, "50 events were dropped");
	counts = count();
	CU_ASSERT_EQUAL(counts.dropped, 50);
	CU_ASSERT_EQUAL(counts.delivered, 0);
	ASSERT_CONTAINS(counts.fault, "missing/f");
	/* Another route does not mind. */
	use("[{'name': 'a', 'subfolder': 'x', 'type': 'file', 'target': '%s/missing/f'},"
	    "{'name': 'b', 'default': true, " TO("b") "}]");
	say("y", "2");
	CU_ASSERT_EQUAL(await_lines("b", 1), 1);
	routes_stop(routes, 100);
	ASSERT_CONTAINS(log_text, "events that waited are dropped");
}

static void test_bounded_in_bytes(void)
{
	char *big = iot_alloc(131073);

	memset(big, 'x', 131072);
	use("[{'name': 'a', 'subfolder': '#', 'type': 'file', 'target': '%s/missing/f'}]");
	for (int i = 0; i < 40; i++)
		say("x", big);
	CU_ASSERT_TRUE(count().dropped >= 8);
	free(big);
}

/* --- commands ---------------------------------------------------------------------------------- */

static void test_fed(void)
{
	use("[{'name': 'a', 'subfolder': '#', 'type': 'command', 'target': ['/bin/sh', '-c', 'cat >%s/got; echo end "
	    ">%s/end']}]");
	for (int i = 0; i < 5; i++)
		say("x", "1");
	CU_ASSERT_EQUAL(await_lines("got", 5), 5);
	/* One and the same; it hears of the end by the end of its input. */
	HAS("end", "(missing)");
	routes_stop(routes, 5000);
	HAS("end", "end");
	CU_ASSERT_EQUAL(count().delivered, 5);
}

/* Ends after each line: what it had not taken whole comes to the next one. */
static void test_dies(void)
{
	use("[{'name': 'a', 'subfolder': '#', 'type': 'command', 'target': ['/bin/sh', '-c', 'head -n 1 >>%s/got; exit "
	    "3']}]");
	say("x", "1");
	CU_ASSERT_EQUAL(await_lines("got", 1), 1);
	for (int64_t end = iot_deadline(10000); strstr(log_text, "ended with code 3") == NULL && iot_left(end) > 0;
	     usleep(1000))
		(void)routes_step(routes);
	ASSERT_CONTAINS(log_text, "route 'a': '/bin/sh' ended with code 3");
	say("x", "2");
	CU_ASSERT_EQUAL(await_lines("got", 2), 2);
	ASSERT_CONTAINS(log_text, "route 'a' works again");
}

static void test_never_reads(void)
{
	char text[1001];
	struct counts counts;
	int64_t start = iot_monotonic_ms();

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	use("[{'name': 'a', 'subfolder': 'x', 'type': 'command', 'target': ['/bin/sleep', '1000']},"
	    "{'name': 'b', 'default': true, " TO("b") "}]");
	say("x", text);
	for (int i = 0; i < 3000; i++)
		say("x", text);
	(void)routes_step(routes);
	CU_ASSERT_TRUE(iot_monotonic_ms() - start < 60000); /* the other end sleeps for much longer */
	counts = count();
	CU_ASSERT_TRUE(counts.dropped >= 1000);
	CU_ASSERT_TRUE(counts.delivered < 200); /* what the pipe holds */
	ASSERT_CONTAINS(log_text, "does not take them fast enough");
	say("y", "1");
	CU_ASSERT_EQUAL(await_lines("b", 1), 1);
	start = iot_monotonic_ms();
	routes_stop(routes, 300);
	CU_ASSERT_TRUE(iot_monotonic_ms() - start < 60000);
}

/* Closes its input and stays: it is of no use, and ended. */
static void test_closes_its_input(void)
{
	use("[{'name': 'a', 'subfolder': '#', 'type': 'command', 'target': ['/bin/sh', '-c',"
	    " 'echo started >>%s/started; exec <&-; exec sleep 1000']}]");
	say("x", "1");
	CU_ASSERT_EQUAL(await_lines("started", 1), 1);
	for (int64_t end = iot_deadline(10000); strstr(log_text, "signal 15") == NULL && iot_left(end) > 0;
	     usleep(2000)) {
		say("x", "2");
		(void)routes_step(routes);
	}
	ASSERT_CONTAINS(log_text, "was ended by signal 15");
}

static void test_not_there(void)
{
	use("[{'name': 'a', 'subfolder': '#', 'type': 'command', 'target': ['/no/such/program']}]");
	say("x", "1");
	(void)routes_step(routes);
	(void)routes_step(routes);
	ASSERT_CONTAINS(log_text, "route 'a': program '/no/such/program' is not there");
}

/* A route that stays as it is keeps its command; one that is gone has its input ended. */
static void test_set_again(void)
{
	static const char both[] = "[{'name': 'a', 'subfolder': 'x', 'type': 'command', 'target': ['/bin/sh', '-c',"
				   " 'echo begin >>%s/log; cat >>%s/log; echo end >>%s/log']},"
				   "{'name': 'b', 'default': true, " TO("b") "}]";

	use(both);
	say("x", "1");
	CU_ASSERT_EQUAL(await_lines("log", 2), 2);
	use(both);
	say("x", "2");
	CU_ASSERT_EQUAL(await_lines("log", 3), 3);
	use("[{'name': 'b', 'default': true, " TO("b") "}]");
	say("x", "3");
	CU_ASSERT_EQUAL(await_lines("b", 1), 1);
}

static void test_topic_without_broker(void)
{
	use("[{'name': 'a', 'subfolder': '#', 'type': 'topic', 'target': 'x/{thing}/{subfolder}'}]");
	say("y", "1");
	CU_ASSERT_EQUAL(count().dropped, 1);
	use("[{'name': 'a', 'subfolder': '#', 'type': 'topic', 'target': '$aws/{subfolder}'}]");
	say("y", "1");
	ASSERT_CONTAINS(log_text, "is reserved");
}

UNIT_MAIN("broker/routes", set_up, tear_down, {"first_that_fits", test_first_that_fits},
	  {"damaged_ones", test_damaged_ones}, {"turned_over", test_turned_over}, {"taken_away", test_taken_away},
	  {"no_file", test_no_file}, {"full", test_full}, {"bounded", test_bounded},
	  {"bounded_in_bytes", test_bounded_in_bytes}, {"fed", test_fed}, {"dies", test_dies},
	  {"never_reads", test_never_reads}, {"closes_its_input", test_closes_its_input}, {"not_there", test_not_there},
	  {"set_again", test_set_again}, {"topic_without_broker", test_topic_without_broker})
