/* The self-check finds every kind of mistake in the tables, and none in good ones. */
#include "toy.h"

static enum iot_status nothing(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)ctx;
	(void)args;
	(void)err;
	return IOT_OK;
}

static void test_good(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf faults = IOT_BUF_INIT(65536);

	CU_ASSERT_EQUAL(cli_self_check(&toy_root, &faults), 0);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&faults), "");
}

struct args {
	const char *text;
	struct cli_list list;
	int64_t number;
	bool flag;
	int choice;
};

/* The faults of one command under a root of its own. */
static size_t faults_of(const struct cli_command *command, struct iot_buf *faults)
{
	const struct cli_command root = {
		.name = "iotctl", .summary = "Root", .subcommands = (const struct cli_command *const[]){command, NULL}};

	return cli_self_check(&root, faults);
}

/* A good command `c`, then the statement that spoils it. */
#define FAULT(message, ...)                                                                                            \
	do {                                                                                                           \
		IOT_CLEAN(iot_buf_release) struct iot_buf faults = IOT_BUF_INIT(65536);                                \
		struct cli_command c = {.name = "x",                                                                   \
					.summary = "X",                                                                \
					.examples = CLI_EXAMPLES({"x", "do it"}),                                      \
					CLI_RUN(nothing, struct args)};                                                \
		__VA_ARGS__;                                                                                           \
		CU_ASSERT(faults_of(&c, &faults) > 0);                                                                 \
		ASSERT_CONTAINS(iot_buf_str(&faults), message);                                                        \
		if (strstr(iot_buf_str(&faults), message) == NULL)                                                     \
			fprintf(stderr, "line %d: got %s", __LINE__, iot_buf_str(&faults));                            \
	} while (0)

static void test_words(void)
{
	FAULT("iotctl x: summary is missing", c.summary = NULL);
	FAULT("iotctl x: summary ends in a full stop", c.summary = "X.");
	FAULT("iotctl x: summary begins in lower case", c.summary = "x");
	FAULT("description does not end in a full stop", c.description = "X");
	FAULT("name is not lower case words", c.name = "X y");
	FAULT("help over 80 columns",
	      c.summary = "A_word_that_cannot_be_broken_and_is_much_longer_than_what_fits_into_one_line_of_a_terminal");
}

static void test_shape(void)
{
	FAULT("needs either subcommands or a function", c.run = NULL);
	FAULT("needs either subcommands or a function", c.subcommands = CLI_COMMANDS(&toy_cmd_list));
	FAULT("has options or arguments but args_size is 0", c.args_size = 0,
	      c.args = CLI_ARGS(ARG_STR("A", struct args, text, "a", .optional = true)));
	FAULT("iotctl x list: is there twice", c.subcommands = CLI_COMMANDS(&toy_cmd_list, &toy_cmd_list));
	FAULT("has no example", c.examples = NULL);
	FAULT("a group has options", c.subcommands = CLI_COMMANDS(&toy_cmd_list),
	      c.opts = CLI_OPTS(OPT_FLAG(0, "flag", struct args, flag, "a flag")));
}

static void test_options(void)
{
	FAULT("letter '-a' of '--bb' belongs to '--aa'",
	      c.opts = CLI_OPTS(OPT_FLAG('a', "aa", struct args, flag, "a"),
				OPT_FLAG('a', "bb", struct args, flag, "b")));
	FAULT("letter '-o' of '--out' belongs to '--output'",
	      c.opts = CLI_OPTS(OPT_PATH('o', "out", "FILE", struct args, text, "a")));
	FAULT("option '--aa' is there twice",
	      c.opts = CLI_OPTS(OPT_FLAG(0, "aa", struct args, flag, "a"), OPT_FLAG(0, "aa", struct args, flag, "b")));
	FAULT("option '--query' is there twice",
	      c.opts = CLI_OPTS(OPT_STR(0, "query", "Q", struct args, text, "a", .shadows = true)));
	FAULT("option '--no-aa' is the negation of another",
	      c.opts = CLI_OPTS(OPT_FLAG(0, "aa", struct args, flag, "a"),
				OPT_FLAG(0, "no-aa", struct args, flag, "b")));
	FAULT("option name 'Aa' is not lower case words", c.opts = CLI_OPTS(OPT_FLAG(0, "Aa", struct args, flag, "a")));
	FAULT("aa ends in a full stop", c.opts = CLI_OPTS(OPT_FLAG(0, "aa", struct args, flag, "a.")));
	FAULT("aa is missing", c.opts = CLI_OPTS(OPT_FLAG(0, "aa", struct args, flag, "")));
	FAULT("'aa' has no choices", c.opts = CLI_OPTS(OPT_ENUM(0, "aa", "A", struct args, choice, "a")));
	FAULT("default of 'aa' does not parse",
	      c.opts = CLI_OPTS(OPT_INT(0, "aa", "N", struct args, number, "a", .min = 1, .max = 3, .fallback = "4")));
	FAULT("'aa' has its limits swapped",
	      c.opts = CLI_OPTS(OPT_INT(0, "aa", "N", struct args, number, "a", .min = 3, .max = 1)));
}

static void test_arguments(void)
{
	FAULT("argument B is required after an optional one",
	      c.args = CLI_ARGS(ARG_STR("A", struct args, text, "a", .optional = true),
				ARG_STR("B", struct args, text, "b")));
	FAULT("argument B follows a repeated one",
	      c.args = CLI_ARGS(ARG_LIST("A", struct args, list, "a"), ARG_STR("B", struct args, text, "b")));
	FAULT("argument name 'a' is not upper case", c.args = CLI_ARGS(ARG_STR("a", struct args, text, "a")));
}

static void test_examples(void)
{
	FAULT("example 'x --bogus' fails: unknown option '--bogus'", c.examples = CLI_EXAMPLES({"x --bogus", "do it"}));
	FAULT("example 'y' fails: unknown command", c.examples = CLI_EXAMPLES({"y", "do it"}));
	FAULT("is not a shell command", c.examples = CLI_EXAMPLES({"x 'y", "do it"}));
	FAULT("text of an example is missing", c.examples = CLI_EXAMPLES({"x", ""}));
}

UNIT_MAIN("cli/check", NULL, NULL, {"good", test_good}, {"words", test_words}, {"shape", test_shape},
	  {"options", test_options}, {"arguments", test_arguments}, {"examples", test_examples})
