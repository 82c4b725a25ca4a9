/* Command lines: every form that is understood, and every one that is refused. */
#include "toy.h"

static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
	toy_isolate(dir);
	memset(&toy, 0, sizeof(toy));
}

static void tear_down(void)
{
	CU_ASSERT_EQUAL(chdir("/"), 0);
	CU_ASSERT_EQUAL(iot_fs_remove_tree(dir, NULL), IOT_OK);
	free(dir);
}

static void test_defaults(void)
{
	struct toy_result r;

	toy_run(&r, "device", "make", "pump");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(toy.name, "pump");
	CU_ASSERT_STRING_EQUAL(toy.type, "(none)");
	CU_ASSERT_FALSE(toy.type_given);
	CU_ASSERT_EQUAL(toy.args.count, 2);
	CU_ASSERT_EQUAL(toy.args.timeout, 30000);
	CU_ASSERT_EQUAL(toy.args.size, 4096);
	CU_ASSERT_EQUAL(toy.args.color, TOY_GREEN);
	CU_ASSERT_TRUE(toy.args.wait);
	CU_ASSERT_FALSE(toy.args.dry_run);
	CU_ASSERT_EQUAL(toy.args.tags.count, 0);
	CU_ASSERT_PTR_NULL(toy.args.out);
}

static void test_forms(void)
{
	struct toy_result r;

	toy_run(&r, "device", "make", "--type=pump=1", "a", "--count", "3", "-l", "x", "b", "--label=y", "-lz", "-dt",
		"q", "--timeout=250ms", "--size", "16k", "--paint", "red", "--no-wait", "c");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(toy.type, "q"); /* the last one counts */
	CU_ASSERT_TRUE(toy.type_given);
	CU_ASSERT_STRING_EQUAL(toy.name, "a");
	CU_ASSERT_STRING_EQUAL(toy.tags, "b|c|");
	CU_ASSERT_STRING_EQUAL(toy.labels, "x|y|z|");
	CU_ASSERT_EQUAL(toy.args.count, 3);
	CU_ASSERT_EQUAL(toy.args.timeout, 250);
	CU_ASSERT_EQUAL(toy.args.size, 16384);
	CU_ASSERT_EQUAL(toy.args.color, TOY_RED);
	CU_ASSERT_TRUE(toy.args.dry_run);
	CU_ASSERT_FALSE(toy.args.wait);

	toy_run(&r, "device", "make", "--dry-run", "--no-dry-run", "a");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_FALSE(toy.args.dry_run);
}

static void test_end_of_options(void)
{
	struct toy_result r;

	toy_run(&r, "device", "make", "-d", "--", "--type", "-x", "--");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(toy.name, "--type");
	CU_ASSERT_STRING_EQUAL(toy.tags, "-x|--|");
	toy_run(&r, "device", "make", "-");
	CU_ASSERT_STRING_EQUAL(toy.name, "-");
	/* The option takes the next word whatever it looks like. */
	toy_run(&r, "device", "make", "--type", "--count", "a");
	CU_ASSERT_STRING_EQUAL(toy.type, "--count");
}

static void test_globals_anywhere(void)
{
	struct toy_result r;

	toy_run(&r, "--fleet=./a", "-q", "device", "-v", "make", "-vv", "x", "--fleet", "./b");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(toy.fleet, "./b");
	CU_ASSERT_TRUE(toy.quiet);
	CU_ASSERT_EQUAL(toy.verbose, 3);
	/* The command took -o knowingly; --output is still the format. */
	toy_run(&r, "device", "make", "x", "-o", "json", "--output", "jsonl");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(r.out, "{\"name\":\"x\",\"size\":20000000}\n");
}

static void test_environment(void)
{
	struct toy_result r;

	setenv("TOY_TYPE", "from-env", 1);
	toy_run(&r, "device", "make", "x");
	CU_ASSERT_STRING_EQUAL(toy.type, "from-env");
	CU_ASSERT_TRUE(toy.type_given);
	toy_run(&r, "device", "make", "x", "--type", "given");
	CU_ASSERT_STRING_EQUAL(toy.type, "given");
	setenv("TOY_TYPE", "", 1);
	toy_run(&r, "device", "make", "x");
	CU_ASSERT_STRING_EQUAL(toy.type, "(none)");
}

static void test_posixly_correct(void)
{
	struct toy_result r;

	setenv("POSIXLY_CORRECT", "1", 1);
	toy_run(&r, "device", "make", "x", "--count", "5");
	unsetenv("POSIXLY_CORRECT");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_EQUAL(toy.args.count, 5);
}

/* Nothing runs, nothing on stdout, one line that says what is wrong. */
#define REFUSED(message, ...)                                                                                          \
	do {                                                                                                           \
		struct toy_result r;                                                                                   \
		toy_run(&r, __VA_ARGS__);                                                                              \
		CU_ASSERT_EQUAL(r.status, IOT_USAGE);                                                                  \
		CU_ASSERT_STRING_EQUAL(r.out, "");                                                                     \
		ASSERT_CONTAINS(r.err, message);                                                                       \
		if (strstr(r.err, message) == NULL)                                                                    \
			fprintf(stderr, "line %d: got %s", __LINE__, r.err);                                           \
		CU_ASSERT_PTR_EQUAL(strchr(r.err, '\n') + 1, r.err + strlen(r.err));                                   \
		CU_ASSERT_EQUAL(toy.runs, 0);                                                                          \
	} while (0)

static void test_unknown(void)
{
	REFUSED("iotctl: unknown command 'iotctl devcie'; did you mean 'device'?", "devcie");
	REFUSED("iotctl: unknown command 'iotctl device mkae'; did you mean 'make'?", "device", "mkae", "x");
	REFUSED("unknown command 'iotctl make'; did you mean 'iotctl device make'?", "make");
	REFUSED("unknown command 'iotctl zzzzz'; see 'iotctl --help'", "zzzzz");
	REFUSED("unknown option '--tpye'; did you mean '--type'?", "device", "make", "--tpye=x", "a");
	REFUSED("unknown option '-x'; see 'iotctl device make --help'", "device", "make", "-x", "a");
	REFUSED("unknown option '-z'", "device", "make", "-dz", "a");
	REFUSED("unknown option '--version'", "device", "list", "--version");
}

static void test_no_abbreviations(void)
{
	REFUSED("unknown option '--typ'; did you mean '--type'?", "device", "make", "--typ", "pump", "a");
	REFUSED("unknown option '--typ'; did you mean '--type'?", "device", "make", "a", "--typ=pump");
	REFUSED("unknown option '--dry'; did you mean '--dry-run'?", "device", "make", "--dry", "a");
	REFUSED("unknown option '--outpu'", "--outpu", "json", "device", "list");
	REFUSED("unknown option '--o'", "device", "list", "--o=json");
}

static void test_values_refused(void)
{
	REFUSED("option '--count' needs a value", "device", "make", "a", "--count");
	REFUSED("option '-n' needs a value", "device", "make", "a", "-n");
	REFUSED("option '--dry-run' takes no value", "device", "make", "a", "--dry-run=yes");
	REFUSED("option '--no-dry-run' takes no value", "device", "make", "a", "--no-dry-run=yes");
	REFUSED("'11'", "device", "make", "a", "--count", "11");
	REFUSED("while reading option '--count'", "device", "make", "a", "--count", "0");
	REFUSED("'3x'", "device", "make", "a", "-n", "3x");
	REFUSED("while reading option '--timeout'", "device", "make", "a", "--timeout", "soon");
	REFUSED("'2M' is out of range", "device", "make", "a", "--size", "2M");
	REFUSED("'gren' is not one of red, green, while reading option '--paint'; did you mean 'green'?", "device",
		"make", "a", "--paint", "gren");
	REFUSED("an empty path, while reading option '--out'", "device", "make", "a", "--out", "");
	REFUSED("not one of table, wide, json, jsonl, csv", "device", "list", "-o", "xml");
}

static void test_arguments_refused(void)
{
	REFUSED("missing argument DEVICE; see 'iotctl device make --help'", "device", "make");
	REFUSED("unexpected argument 'x'", "device", "list", "x");
	REFUSED("unexpected argument 'x'", "ask", "x");
}

static void test_group_alone(void)
{
	struct toy_result r;

	toy_run(&r, "device");
	CU_ASSERT_EQUAL(r.status, IOT_USAGE);
	CU_ASSERT_STRING_EQUAL(r.out, "");
	ASSERT_CONTAINS(r.err, "usage: iotctl device COMMAND");
	ASSERT_CONTAINS(r.err, "make");
	toy_run(&r, "-q");
	CU_ASSERT_EQUAL(r.status, IOT_USAGE);
	ASSERT_CONTAINS(r.err, "usage: iotctl COMMAND");
}

static void test_parse_check(void)
{
	static char *good[] = {(char *)(uintptr_t) "device", (char *)(uintptr_t) "list", NULL};
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(cli_parse_check(&toy_root, 2, good, &err), &err);
	ASSERT_STATUS(cli_parse_check(&toy_root, 1, good, &err), IOT_USAGE, &err);
}

static void test_nearest(void)
{
	static const char *const words[] = {"list", "show", "delete", "device", "dev"};

	CU_ASSERT_STRING_EQUAL(cli_nearest("lsit", words, 5), "list");
	CU_ASSERT_STRING_EQUAL(cli_nearest("shw", words, 5), "show");
	CU_ASSERT_STRING_EQUAL(cli_nearest("delet", words, 5), "delete");
	CU_ASSERT_STRING_EQUAL(cli_nearest("devices", words, 5), "device");
	CU_ASSERT_PTR_NULL(cli_nearest("frobnicate", words, 5));
	CU_ASSERT_PTR_NULL(cli_nearest("", words, 5));
	CU_ASSERT_PTR_NULL(cli_nearest("x", words, 0));
}

UNIT_MAIN("cli/parse", set_up, tear_down, {"defaults", test_defaults}, {"forms", test_forms},
	  {"end_of_options", test_end_of_options}, {"globals_anywhere", test_globals_anywhere},
	  {"environment", test_environment}, {"posixly_correct", test_posixly_correct}, {"unknown", test_unknown},
	  {"no_abbreviations", test_no_abbreviations}, {"values_refused", test_values_refused},
	  {"arguments_refused", test_arguments_refused}, {"group_alone", test_group_alone},
	  {"parse_check", test_parse_check}, {"nearest", test_nearest})
