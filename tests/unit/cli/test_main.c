/* The frame: exit status, the one line, help, signals, a stdout that cannot be written. */
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

static void test_error_is_one_line(void)
{
	struct toy_result r;

	toy.fail = IOT_NOT_FOUND;
	toy_run(&r, "device", "make", "x\ny", "--output", "json");
	CU_ASSERT_EQUAL(r.status, IOT_NOT_FOUND);
	CU_ASSERT_STRING_EQUAL(r.err, "iotctl: no device 'x?y', while making it; make another\n");
	CU_ASSERT_STRING_EQUAL(r.out, "");
}

static void test_color_of_error(void)
{
	struct toy_result r;

	toy.fail = IOT_FAILURE;
	toy_run(&r, "--color", "always", "device", "make", "x");
	ASSERT_CONTAINS(r.err, "\033[1;31miotctl:\033[0m no device");
	setenv("CLICOLOR_FORCE", "1", 1);
	toy_run(&r, "device", "make", "x");
	ASSERT_CONTAINS(r.err, "\033[");
	setenv("NO_COLOR", "1", 1);
	toy_run(&r, "device", "make", "x");
	CU_ASSERT_PTR_NULL(strchr(r.err, '\033'));
}

static void test_full_disk(void)
{
	struct toy_result r;

	toy_run_to("/dev/full", NULL, &r, (const char *const[]){"device", "list", NULL});
	CU_ASSERT_EQUAL(r.status, IOT_FAILURE);
	ASSERT_CONTAINS(r.err, "cannot write the result to standard output: no space left on device");
	toy_run_to("/dev/full", NULL, &r, (const char *const[]){"--help", NULL});
	CU_ASSERT_EQUAL(r.status, IOT_FAILURE);
	ASSERT_CONTAINS(r.err, "no space left on device");
}

static void test_signal(void)
{
	struct toy_result r;

	toy.raise = true;
	toy_run(&r, "device", "make", "x");
	CU_ASSERT_EQUAL(r.status, 143);
	CU_ASSERT_STRING_EQUAL(r.err, "iotctl: interrupted\n");
	toy.raise = false;
	toy_run(&r, "device", "make", "x"); /* the next run knows nothing of it */
	CU_ASSERT_EQUAL(r.status, 0);
}

static void test_help(void)
{
	struct toy_result r, again;

	toy_run(&r, "device", "make", "--help");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(r.err, "");
	ASSERT_CONTAINS(r.out, "usage: iotctl device make [options] DEVICE [TAG...]\n");
	ASSERT_CONTAINS(r.out, "  -t, --type TYPE ");
	ASSERT_CONTAINS(r.out, "  # make a pump\n  iotctl device make pump-1 --type pump\n");
	ASSERT_CONTAINS(r.out, "  3     not found\n");
	toy_run(&again, "help", "device", "make");
	CU_ASSERT_EQUAL(again.status, 0);
	CU_ASSERT_STRING_EQUAL(again.out, r.out);
	toy_run(&again, "device", "make", "--count", "bad", "-h");
	CU_ASSERT_EQUAL(again.status, IOT_USAGE); /* a fault before it is still a fault */
	toy_run(&again, "device", "make", "-h", "--count", "bad");
	CU_ASSERT_STRING_EQUAL(again.out, r.out);
	toy_run(&r, "help");
	ASSERT_CONTAINS(r.out, "usage: iotctl COMMAND");
	toy_run(&r, "help", "devise");
	CU_ASSERT_EQUAL(r.status, IOT_USAGE);
	ASSERT_CONTAINS(r.err, "did you mean 'device'?");
}

static void test_help_json(void)
{
	struct toy_result r;
	IOT_JSON tree = NULL;
	IOT_JSON leaf = NULL;
	const json_t *make;

	toy_run(&r, "--help", "-o", "json");
	CU_ASSERT_EQUAL(r.status, 0);
	tree = json_loads(r.out, 0, NULL);
	make = json_array_get(json_object_get(json_array_get(json_object_get(tree, "commands"), 0), "commands"), 0);
	CU_ASSERT_STRING_EQUAL(iot_json_str(make, "path", ""), "iotctl device make");
	CU_ASSERT_EQUAL(json_array_size(json_object_get(make, "options")), 9);
	CU_ASSERT_STRING_EQUAL(iot_json_str(json_array_get(json_object_get(make, "options"), 3), "default", ""), "2");
	toy_run(&r, "device", "make", "--output=json", "-h");
	leaf = json_loads(r.out, 0, NULL);
	CU_ASSERT_TRUE(json_equal(leaf, make));
}

static void test_version(void)
{
	struct toy_result r;

	toy_run(&r, "--version");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(r.out, "iotctl " IOT_VERSION "\n");
	toy_run(&r, "-V", "-o", "json");
	CU_ASSERT_STRING_EQUAL(r.out, "{\"name\": \"iotctl\", \"version\": \"" IOT_VERSION "\"}\n");
}

static void test_confirm_without_terminal(void)
{
	struct toy_result r;

	toy_run(&r, "ask");
	CU_ASSERT_EQUAL(r.status, IOT_USAGE);
	CU_ASSERT_STRING_EQUAL(r.err, "iotctl: nobody to ask 'delete 3 devices?'; give --yes to say yes\n");
}

static int prepared, finished;

static enum iot_status prepare(struct cli_context *ctx, unsigned needs, struct iot_error *err)
{
	CU_ASSERT_EQUAL(needs, CLI_NEEDS_CLOUD);
	ctx->data = &prepared;
	prepared++;
	return prepared > 1 ? iot_fail(err, IOT_AGAIN, "no cloud") : IOT_OK;
}

static void finish(struct cli_context *ctx)
{
	CU_ASSERT_PTR_EQUAL(ctx->data, &prepared);
	finished++;
}

static enum iot_status with_cloud(struct cli_context *ctx, const void *args, struct iot_error *err)
{
	(void)args;
	(void)err;
	CU_ASSERT_EQUAL(finished, 0);
	return ctx->data == &prepared ? IOT_OK : IOT_FAILURE;
}

static void test_hooks(void)
{
	const struct cli_command cloud = {
		.name = "cloud", .summary = "C", .needs = CLI_NEEDS_CLOUD, CLI_RUN0(with_cloud)};
	const struct cli_command root = {.name = "iotctl", .summary = "R", .subcommands = CLI_COMMANDS(&cloud)};
	static const struct cli_hooks hooks = {.prepare = prepare, .finish = finish};
	char *argv[] = {(char *)(uintptr_t) "iotctl", (char *)(uintptr_t) "cloud", (char *)(uintptr_t) "-q", NULL};

	CU_ASSERT_EQUAL(cli_main(&root, 2, argv, &hooks), 0);
	CU_ASSERT_EQUAL(finished, 1);
	CU_ASSERT_EQUAL(cli_main(&root, 2, argv, &hooks), IOT_AGAIN);
	CU_ASSERT_EQUAL(finished, 2);
}

static void offer(struct cli_context *ctx, enum cli_complete kind, const char *prefix, cli_emit_fn *emit, void *data)
{
	CU_ASSERT_EQUAL(kind, COMPLETE_DEVICE);
	CU_ASSERT_STRING_EQUAL(prefix, "pu");
	emit(data, settings_get(ctx->settings, "fleet"), "the fleet");
	emit(data, "bad\nvalue", NULL);
	emit(data, "pump-1", NULL);
}

static void test_live_completion(void)
{
	static const struct cli_hooks hooks = {.complete = offer};
	struct toy_result r;

	toy_run_to(NULL, &hooks, &r,
		   (const char *const[]){"__complete", "device", "pu", "--fleet", "=", "./x", "device", "make", NULL});
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(r.out, "./x\tthe fleet\npump-1\n");
	toy_run(&r, "__complete", "setting", "end");
	ASSERT_CONTAINS(r.out, "endpoint-url\t");
	CU_ASSERT_EQUAL(iot_fs_write(".iotctl.conf", 0600, "nonsense", 8, NULL), IOT_OK);
	toy_run(&r, "__complete", "setting", "end");
	CU_ASSERT_EQUAL(r.status, 0);
	CU_ASSERT_STRING_EQUAL(r.out, "");
	CU_ASSERT_STRING_EQUAL(r.err, "");
	toy_run(&r, "__complete");
	CU_ASSERT_EQUAL(r.status, 0);
	alarm(0);
}

static void test_bad_settings(void)
{
	struct toy_result r;

	CU_ASSERT_EQUAL(iot_fs_write(".iotctl.conf", 0600, "[default]\nfleat = x\n", 20, NULL), IOT_OK);
	toy_run(&r, "device", "list");
	CU_ASSERT_EQUAL(r.status, IOT_SETTINGS);
	CU_ASSERT_STRING_EQUAL(r.err, "iotctl: unknown setting 'fleat' at ./.iotctl.conf:2; did you mean 'fleet'?\n");
	toy_run(&r, "device", "list", "--help"); /* help needs none */
	CU_ASSERT_EQUAL(r.status, 0);
}

static void test_output_setting(void)
{
	struct toy_result r;

	setenv("IOTCTL_OUTPUT", "jsonl", 1);
	toy_run(&r, "device", "list");
	CU_ASSERT_STRING_EQUAL(r.out, "{\"name\":\"a\"}\n{\"name\":\"b\"}\n");
	toy_run(&r, "device", "list", "-ocsv");
	CU_ASSERT_STRING_EQUAL(r.out, "name,size\r\na,\r\nb,\r\n");
}

static void test_query_fault_before_run(void)
{
	struct toy_result r;

	toy_run(&r, "device", "make", "x", "--query", ".[");
	CU_ASSERT_EQUAL(r.status, IOT_USAGE);
	ASSERT_CONTAINS(r.err, "bad query '.['");
	CU_ASSERT_EQUAL(toy.runs, 0);
}

UNIT_MAIN("cli/main", set_up, tear_down, {"error_is_one_line", test_error_is_one_line},
	  {"color_of_error", test_color_of_error}, {"full_disk", test_full_disk}, {"signal", test_signal},
	  {"help", test_help}, {"help_json", test_help_json}, {"version", test_version},
	  {"confirm_without_terminal", test_confirm_without_terminal}, {"hooks", test_hooks},
	  {"live_completion", test_live_completion}, {"bad_settings", test_bad_settings},
	  {"output_setting", test_output_setting}, {"query_fault_before_run", test_query_fault_before_run})
