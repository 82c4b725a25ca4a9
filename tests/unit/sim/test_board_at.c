/* The board's end of an AT conversation, byte by byte: lines, arguments, data after a prompt, faults. */
#include "sim/board/at.h"

#include "iotctl/base.h"
#include "unit.h"

static struct sim_at at;
static struct board_sim board;
static char told[512]; /* what was to be carried out, as events have it */
static struct sim_at_request last;
static char args[4][128], taken[128];
static int result;

static int note(struct board_sim *self, const struct sim_at_request *request)
{
	(void)self;
	last = *request;
	for (size_t i = 0; i < IOT_LENGTH(args); i++)
		snprintf(args[i], sizeof(args[i]), "%s", request->args[i].text);
	return result;
}

static int list(struct board_sim *self, const struct sim_at_request *request)
{
	(void)request;
	sim_at_say(self, &at, "+LIST: \"a\"");
	return SIM_AT_OK;
}

static int keep(struct board_sim *self, const struct iot_buf *data)
{
	(void)self;
	snprintf(taken, sizeof(taken), "%s", iot_buf_str(data));
	return result;
}

static int down(struct board_sim *self, const struct sim_at_request *request)
{
	int64_t len;

	if (!sim_at_number(&request->args[1], 1, 100, &len))
		return SIM_AT_ERROR;
	return sim_at_prompt(self, &at, ">", (size_t)len, keep);
}

static const struct sim_at_command commands[] = {
	{"+NOTE", SIM_AT_RUN | SIM_AT_SET | SIM_AT_READ | SIM_AT_TEST, note, false},
	{"%NOTE", SIM_AT_SET, note, true},
	{"+LIST", SIM_AT_RUN, list, false},
	{"+DOWN", SIM_AT_SET, down, false},
	{NULL, 0, NULL, false},
};
static const struct sim_at_options usual = {.commands = commands, .urc = "+URC: 1", .line_max = 200};

static const char *const fault_words[] = {SIM_AT_FAULTS, NULL};
static const struct board_sim_kind kind = {.name = "test", .faults = fault_words};

static void on_event(const char *name, const char *detail, void *data)
{
	(void)data;
	if (strcmp(name, "command") == 0)
		snprintf(told, sizeof(told), "%s", detail);
}

static void set_up(void)
{
	board = (struct board_sim){.kind = &kind, .out = IOT_BUF_INIT(4096), .event = on_event};
	sim_at_init(&at, &usual);
	result = SIM_AT_OK;
	told[0] = taken[0] = '\0';
}

static void tear_down(void)
{
	sim_at_release(&at);
	iot_buf_release(&board.out);
}

static const char *say(const char *text)
{
	iot_buf_clear(&board.out);
	for (; *text != '\0'; text++)
		sim_at_feed(&board, &at, *text);
	return iot_buf_str(&board.out);
}

static void aim(char *name, char *command)
{
	board.faults[0] = (struct board_sim_fault){.name = name, .command = command};
	board.fault_count = 1;
}

static void test_lines(void)
{
	CU_ASSERT_STRING_EQUAL(say("AT\r"), "\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(told, "AT");
	CU_ASSERT_STRING_EQUAL(say("\r\n\r\n"), "");
	CU_ASSERT_STRING_EQUAL(say("hello\r"), "");
	CU_ASSERT_STRING_EQUAL(say("\x01\xffzat+list\r\n"), "\r\n+LIST: \"a\"\r\n\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+NONE\r"), "\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+LISTS\r"), "\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+LIST=1\r"), "\r\nERROR\r\n"); /* not that form */
	CU_ASSERT_STRING_EQUAL(say("AT+LIST junk\r"), "\r\nERROR\r\n");
	result = 515;
	CU_ASSERT_STRING_EQUAL(say("AT+NOTE?\r"), "\r\n+CME ERROR: 515\r\n");
	CU_ASSERT_EQUAL(last.form, SIM_AT_READ);
	result = SIM_AT_SAID;
	CU_ASSERT_STRING_EQUAL(say("AT+NOTE=?\r"), "");
	CU_ASSERT_EQUAL(last.form, SIM_AT_TEST);
}

static void test_echo(void)
{
	CU_ASSERT_STRING_EQUAL(say("ATE1\r"), "\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT\r\n"), "AT\r\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(say("ATE0\r"), "ATE0\r\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT\r"), "\r\nOK\r\n");
}

static void test_arguments(void)
{
	int64_t number;

	say("AT+NOTE=1,\"a,b\",,\"\"\r");
	CU_ASSERT_EQUAL(last.count, 4);
	CU_ASSERT_STRING_EQUAL(args[1], "a,b");
	CU_ASSERT_TRUE(last.args[1].quoted);
	CU_ASSERT_STRING_EQUAL(args[2], "");
	CU_ASSERT_FALSE(last.args[2].quoted);
	say("AT+NOTE=12\r");
	CU_ASSERT_EQUAL(last.count, 1);
	CU_ASSERT_STRING_EQUAL(args[3], "");
	CU_ASSERT_STRING_EQUAL(say("AT+NOTE=\"open\r"), "\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+NOTE=\"a\"b\r"), "\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+NOTE=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17\r"), "\r\nERROR\r\n");
	CU_ASSERT_TRUE(sim_at_number(&(struct sim_at_arg){"7", 1, false}, 0, 9, &number));
	CU_ASSERT_FALSE(sim_at_number(&(struct sim_at_arg){"7", 1, true}, 0, 9, &number));
	CU_ASSERT_FALSE(sim_at_number(&(struct sim_at_arg){"", 0, false}, 0, 9, &number));
}

static void test_long_line(void)
{
	char line[400];

	memset(line, 'A', sizeof(line));
	memcpy(line, "AT+NOTE=", 8);
	line[398] = '\r';
	line[399] = '\0';
	last.count = 0;
	CU_ASSERT_STRING_EQUAL(say(line), "\r\nERROR\r\n");
	CU_ASSERT_EQUAL(last.count, 0);
	CU_ASSERT_STRING_EQUAL(say("AT\r"), "\r\nOK\r\n");
}

/* Exactly so many bytes, whatever they are; too few swallow the next command, too many are taken for one. */
static void test_data(void)
{
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",5\r"), ">");
	CU_ASSERT_STRING_EQUAL(say("a\r\nbc"), "\r\nOK\r\n");
	CU_ASSERT_STRING_EQUAL(taken, "a\r\nbc");
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",5\rab\r"), ">");
	CU_ASSERT_STRING_EQUAL(say("AT\r"), "\r\nOK\r\n"); /* of the data */
	CU_ASSERT_STRING_EQUAL(taken, "ab\rAT");
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",2\rabAT+NONE\r"), ">\r\nOK\r\n\r\nERROR\r\n");
	result = SIM_AT_ERROR;
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",1\ra"), ">\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",1000\r"), "\r\nERROR\r\n");
}

/* %CMNG takes a certificate with its newlines in quotes. */
static void test_lines_in_quotes(void)
{
	static const struct sim_at_options plain = {
		.commands = commands, .plain = true, .lines_in_quotes = true, .line_max = 200};

	sim_at_release(&at);
	sim_at_init(&at, &plain);
	CU_ASSERT_STRING_EQUAL(say("AT%NOTE=0,\"one\r\ntwo\"\r\n"), "OK\r\n");
	CU_ASSERT_STRING_EQUAL(args[1], "one\r\ntwo");
	CU_ASSERT_STRING_EQUAL(told, "%NOTE"); /* without what is secret */
	CU_ASSERT_STRING_EQUAL(say("AT+LIST\r\n"), "+LIST: \"a\"\r\nOK\r\n");
}

static void test_faults(void)
{
	static char error[] = "error", mute[] = "mute", urc[] = "urc", reset[] = "reset", list_word[] = "list",
		    half[] = "half";

	aim(error, list_word);
	CU_ASSERT_STRING_EQUAL(say("AT+LIST\r"), "\r\nERROR\r\n");
	CU_ASSERT_STRING_EQUAL(say("AT\r"), "\r\nOK\r\n");
	aim(mute, list_word);
	CU_ASSERT_STRING_EQUAL(say("AT+LIST\r"), "");
	aim(urc, list_word);
	CU_ASSERT_STRING_EQUAL(say("AT+LIST\r"), "\r\n+URC: 1\r\n\r\n+LIST: \"a\"\r\n\r\nOK\r\n");
	aim(reset, half);
	CU_ASSERT_STRING_EQUAL(say("AT+DOWN=\"x\",5\rab"), ">");
	CU_ASSERT_TRUE(board.cut_power);
	board.fault_count = 0;
}

UNIT_MAIN("sim/board_at", set_up, tear_down, {"lines", test_lines}, {"echo", test_echo}, {"arguments", test_arguments},
	  {"long_line", test_long_line}, {"data", test_data}, {"lines_in_quotes", test_lines_in_quotes},
	  {"faults", test_faults})
