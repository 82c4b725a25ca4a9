/* Man pages and completions of the toy tree: well-formed, complete, and they do complete. */
#include "toy.h"

static char *dir;

static void set_up(void)
{
	dir = unit_mkdtemp();
	toy_isolate(dir);
}

static void tear_down(void)
{
	CU_ASSERT_EQUAL(chdir("/"), 0);
	CU_ASSERT_EQUAL(iot_fs_remove_tree(dir, NULL), IOT_OK);
	free(dir);
}

static void save(const char *name, const struct iot_buf *text)
{
	CU_ASSERT_FALSE(text->over);
	CU_ASSERT_EQUAL(iot_fs_write(name, 0644, iot_buf_str(text), text->len, NULL), IOT_OK);
}

/* True if the program is there and fails. What it prints goes to this test's output. */
static bool complains(const char *program, const char *arguments)
{
	IOT_CLEAN(iot_free_p)
	char *command = iot_strf("command -v %s >/dev/null || exit 0; %s %s >&2", program, program, arguments);

	return system(command) != 0;
}

static void test_man(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf root = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_buf_release) struct iot_buf noun = IOT_BUF_INIT(1 << 20);
	IOT_CLEAN(iot_buf_release) struct iot_buf leaf = IOT_BUF_INIT(1 << 20);

	cli_man_root(&toy_root, (const struct setting[]){{.name = "a-b", .help = "extra"}, {0}}, &root);
	cli_man_noun(&toy_root, &toy_cmd_device, &noun);
	cli_man_noun(&toy_root, &toy_cmd_ask, &leaf);
	ASSERT_CONTAINS(iot_buf_str(&root), ".It Ev IOTCTL_A_B\n");
	ASSERT_CONTAINS(iot_buf_str(&root), ".It 12\n");
	ASSERT_CONTAINS(iot_buf_str(&noun), ".Nm \"iotctl device make\"\n");
	ASSERT_CONTAINS(iot_buf_str(&noun), ".It Fl t , Fl \\-type Ns = Ns Ar TYPE\n");
	ASSERT_CONTAINS(iot_buf_str(&noun), "\n\\&.A word"); /* not a macro */
	ASSERT_CONTAINS(iot_buf_str(&noun), "a \\e backslash");
	ASSERT_CONTAINS(iot_buf_str(&noun), ".It 3\n");
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&noun), ".It 5\n"));
	save("iotctl.1", &root);
	save("iotctl-device.1", &noun);
	save("iotctl-ask.1", &leaf);
	CU_ASSERT_FALSE(complains("mandoc", "-T lint -W warning iotctl.1 iotctl-device.1 iotctl-ask.1"));
}

static void test_scripts_parse(void)
{
	static const struct {
		enum cli_shell shell;
		const char *program, *arguments;
	} rows[] = {{CLI_BASH, "bash", "-n script"},
		    {CLI_BASH, "shellcheck", "script"},
		    {CLI_ZSH, "zsh", "-n script"},
		    {CLI_FISH, "fish", "-n script"}};

	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		IOT_CLEAN(iot_buf_release) struct iot_buf script = IOT_BUF_INIT(1 << 20);

		cli_completion(&toy_root, rows[i].shell, &script);
		save("script", &script);
		CU_ASSERT_FALSE(complains(rows[i].program, rows[i].arguments));
	}
}

/* What bash would offer for the words; the last one is being typed. */
static void offered(const char *words, char *out, size_t size)
{
	IOT_CLEAN(iot_free_p)
	char *command = iot_strf(
		"bash -c 'iotctl() { echo \"$3\" >&3; printf \"pump-1\\twhat\\n\"; }; . ./script; COMP_WORDS=(%s); "
		"COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _iotctl; echo \"${COMPREPLY[*]}\"' 3>/dev/null",
		words);
	FILE *pipe = popen(command, "r");
	size_t n = fread(out, 1, size - 1, pipe);

	out[n] = '\0';
	pclose(pipe);
}

static void test_bash_completes(void)
{
	static const struct {
		const char *words, *expected;
	} rows[] = {
		{"iotctl d", "device\n"},
		{"iotctl \"\"", "device ask\n"},
		{"iotctl device \"\"", "make list\n"},
		{"iotctl -o json --fleet device device m", "make\n"},
		{"iotctl device make --ty", "--type\n"},
		{"iotctl device make --paint \"\"", "red green\n"},
		{"iotctl device make --paint = g", "green\n"},
		{"iotctl device make --paint =", "red green\n"},
		{"iotctl device make pu", "pump-1\n"},
		{"iotctl device make -t pu", "pump-1\n"},
		{"iotctl device make pump-1 \"\"", "\n"},
		{"iotctl device list --output js", "json jsonl\n"},
		{"iotctl device list -o c", "csv\n"},
		{"iotctl device make -o sub", "subdir\n"},
		{"iotctl device list --no-i", "--no-input\n"},
	};
	IOT_CLEAN(iot_buf_release) struct iot_buf script = IOT_BUF_INIT(1 << 20);

	cli_completion(&toy_root, CLI_BASH, &script);
	save("script", &script);
	CU_ASSERT_EQUAL(iot_fs_mkdirs("subdir", 0755, NULL), IOT_OK);
	for (size_t i = 0; i < IOT_LENGTH(rows); i++) {
		char got[1000];

		offered(rows[i].words, got, sizeof(got));
		if (strcmp(got, rows[i].expected) != 0)
			fprintf(stderr, "\n%s: got %s", rows[i].words, got);
		CU_ASSERT_STRING_EQUAL(got, rows[i].expected);
	}
}

static void test_help_wraps(void)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf help = IOT_BUF_INIT(1 << 20);
	const struct cli_command command = {
		.name = "x",
		.summary = "X",
		.examples = CLI_EXAMPLES({"x --first 'quoted words stay together' --second value --third value "
					  "--fourth value",
					  "a long one"}),
		CLI_RUN0(toy_list),
	};

	cli_help(&toy_root, &command, "iotctl x", &help);
	ASSERT_CONTAINS(iot_buf_str(&help),
			"  iotctl x --first 'quoted words stay together' --second value --third value \\\n"
			"      --fourth value\n");
}

UNIT_MAIN("cli/generate", set_up, tear_down, {"man", test_man}, {"scripts_parse", test_scripts_parse},
	  {"bash_completes", test_bash_completes}, {"help_wraps", test_help_wraps})
