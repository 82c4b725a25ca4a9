/* Settings: who wins, where a value came from, and files that are refused. */
#include "iotctl/base.h"
#include "iotctl/settings.h"
#include "unit.h"

#include <sys/stat.h>
#include <unistd.h>

static char *dir, *local, *user, *machine;
static struct settings_source source;
static struct settings *settings;
static struct iot_error err;

static const struct setting extra[] = {
	{.name = "station", .help = "x", .fallback = "bench"},
	{0},
};

static void write_file(const char *path, const char *text)
{
	CU_ASSERT_EQUAL(iot_fs_write(path, 0600, text, strlen(text), NULL), IOT_OK);
}

static void set_up(void)
{
	static const char *const unset[] = {"IOTCTL_FLEET",       "IOTCTL_PROFILE",      "IOTCTL_REGION",
					    "IOTCTL_CLOUD",       "IOTCTL_ENDPOINT_URL", "AWS_REGION",
					    "AWS_DEFAULT_REGION", "IOTCTL_OUTPUT"};

	for (size_t i = 0; i < IOT_LENGTH(unset); i++)
		unsetenv(unset[i]);
	dir = unit_mkdtemp();
	local = iot_path(dir, ".iotctl.conf");
	user = iot_path(dir, "user.conf");
	machine = iot_path(dir, "machine.conf");
	source = (struct settings_source){.extra = extra, .folder = dir, .user_file = user, .system_file = machine};
	settings = NULL;
	iot_error_clear(&err);
}

static void tear_down(void)
{
	settings_free(settings);
	CU_ASSERT_EQUAL(iot_fs_remove_tree(dir, NULL), IOT_OK);
	free(dir);
	free(local);
	free(user);
	free(machine);
}

static void load(void)
{
	settings_free(settings);
	settings = NULL;
	ASSERT_OK(settings_load(&source, &settings, &err), &err);
	if (settings == NULL)
		settings = settings_new_defaults(extra);
}

/* The value and the end of its origin. */
static void expect(const char *name, const char *value, const char *origin)
{
	const char *got = settings_get(settings, name);

	CU_ASSERT(value == NULL ? got == NULL : got != NULL && strcmp(got, value) == 0);
	if (strstr(settings_origin(settings, name), origin) == NULL)
		fprintf(stderr, "\n%s comes from %s, not %s\n", name, settings_origin(settings, name), origin);
	ASSERT_CONTAINS(settings_origin(settings, name), origin);
}

static void test_defaults(void)
{
	load();
	expect("fleet", NULL, "default");
	expect("cloud", "local", "default");
	expect("station", "bench", "default");
	CU_ASSERT_STRING_EQUAL(settings_profile(settings), "default");
	CU_ASSERT_EQUAL(settings_choice(settings, "output"), 0);
}

static void test_precedence(void)
{
	write_file(machine, "[default]\nfleet = machine\nregion = m\nstation = m\n");
	load();
	expect("fleet", "machine", "machine.conf:2");
	write_file(user, "# mine\n\n[default]\nfleet = user\nregion : u\n");
	load();
	expect("fleet", "user", "user.conf:4");
	expect("region", "u", "user.conf:5");
	expect("station", "m", "machine.conf:4");
	write_file(local, "[default]\nfleet = local ; here\n");
	load();
	expect("fleet", "local", ".iotctl.conf:2");
	setenv("IOTCTL_FLEET", "env", 1);
	load();
	expect("fleet", "env", "environment IOTCTL_FLEET");
	source.overrides = (const char *const[]){"fleet", "option", NULL};
	load();
	expect("fleet", "option", "option --fleet");
	setenv("IOTCTL_FLEET", "", 1); /* empty is not set */
	source.overrides = NULL;
	load();
	expect("fleet", "local", ".iotctl.conf:2");
}

static void test_other_variables(void)
{
	setenv("AWS_DEFAULT_REGION", "two", 1);
	load();
	expect("region", "two", "environment AWS_DEFAULT_REGION");
	setenv("AWS_REGION", "one", 1);
	load();
	expect("region", "one", "environment AWS_REGION");
	setenv("IOTCTL_REGION", "own", 1);
	load();
	expect("region", "own", "environment IOTCTL_REGION");
	setenv("IOTCTL_ENDPOINT_URL", "http://[::1]", 1);
	load();
	expect("endpoint-url", "http://[::1]", "environment IOTCTL_ENDPOINT_URL");
}

static void test_profiles(void)
{
	write_file(user, "[default]\nfleet = base\ncloud = local\n[profile prod]\ncloud = aws\n");
	write_file(local, "[default]\ncloud = local\nfleet = here\n");
	load();
	expect("cloud", "local", ".iotctl.conf");
	source.profile = "prod";
	load();
	expect("cloud", "aws", "user.conf:5"); /* the chosen profile is stronger than any [default] */
	expect("fleet", "here", ".iotctl.conf:3");
	expect("profile", "prod", "option --profile");
	source.profile = NULL;
	setenv("IOTCTL_PROFILE", "prod", 1);
	load();
	expect("cloud", "aws", "user.conf:5");
	unsetenv("IOTCTL_PROFILE");
	write_file(machine, "[default]\nprofile = prod\n");
	load();
	expect("cloud", "aws", "user.conf:5");
	expect("profile", "prod", "machine.conf:2");
	source.profile = "default";
	load();
	expect("cloud", "local", ".iotctl.conf");
	source.profile = "porduction";
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	source.profile = "prdo";
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "no profile 'prdo'");
	ASSERT_CONTAINS(err.hint, "'prod'");
}

static void each_name(void *data, const char *name)
{
	strcat(data, name);
	strcat(data, " ");
}

static void test_profile_names(void)
{
	char names[100] = "";

	write_file(user, "[default]\nfleet = x\n[profile a]\nfleet = x\nregion = y\n[profile b c]\nfleet = x\n");
	load();
	settings_profiles(settings, each_name, names);
	CU_ASSERT_STRING_EQUAL(names, "a b c ");
}

static void refuse(const char *text, const char *what, const char *hint)
{
	struct settings *none = NULL;

	write_file(user, text);
	ASSERT_STATUS(settings_load(&source, &none, &err), IOT_SETTINGS, &err);
	CU_ASSERT_PTR_NULL(none);
	if (strstr(err.what, what) == NULL || strstr(err.hint, hint) == NULL)
		fprintf(stderr, "\ngot %s; %s\n", err.what, err.hint);
	ASSERT_CONTAINS(err.what, what);
	ASSERT_CONTAINS(err.hint, hint);
}

static void test_malformed(void)
{
	char longest[400];

	refuse("[default]\nfleat = x\n", "unknown setting 'fleat' at ", "did you mean 'fleet'?");
	ASSERT_CONTAINS(err.what, "user.conf:2");
	refuse("[default]\nfleet\n", "malformed line at ", "[default]");
	ASSERT_CONTAINS(err.what, "user.conf:2");
	refuse("[default\nfleet = x\n", "malformed line at ", "");
	refuse("fleet = x\n", "setting 'fleet' outside a section at ", "[default]");
	refuse("[prod]\nfleet = x\n", "unknown section '[prod]'", "[profile NAME]");
	refuse("[profile ]\nfleet = x\n", "unknown section '[profile ", "");
	refuse("[default]\nfleet = x\nfleet = y\n", "setting 'fleet' given twice in [default]", "");
	refuse("[default]\nfleet = x\n  y\n", "malformed line", ""); /* no continued lines */
	refuse("[profile a]\nprofile = b\n", "a profile cannot choose a profile", "");
	refuse("[default]\ncloud = gcp\n", "bad value 'gcp' for setting 'cloud'", "local, aws");
	ASSERT_CONTAINS(err.what, "user.conf:2");
	refuse("[default]\nfleet = \xff\n", "is not UTF-8 text", "");
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "[default]\nfleet = ", 18);
	longest[sizeof(longest) - 1] = '\0';
	refuse(longest, "line longer than ", "");
	ASSERT_CONTAINS(err.what, "user.conf:2");
	refuse("[profile aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\nfleet = x\n",
	       "section name longer than ", "");
}

static void test_bad_choice_sources(void)
{
	setenv("IOTCTL_CLOUD", "moon", 1);
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "(environment IOTCTL_CLOUD)");
	source.overrides = (const char *const[]){"cloud", "sun", NULL};
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_USAGE, &err);
}

static void test_foreign_local_file(void)
{
	write_file(local, "[default]\nfleet = x\n");
	CU_ASSERT_EQUAL(chmod(local, 0602), 0);
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "can be written by other users");
	ASSERT_CONTAINS(err.hint, "chmod go-w");
	CU_ASSERT_EQUAL(chmod(local, 0644), 0);
	load();
	if (geteuid() == 0) {
		CU_ASSERT_EQUAL(chown(local, 1234, 0), 0);
		ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
		ASSERT_CONTAINS(err.what, "belongs to another user");
		CU_ASSERT_EQUAL(chown(local, 0, 1234), 0);
		CU_ASSERT_EQUAL(chmod(local, 0664), 0);
		ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	}
	CU_ASSERT_EQUAL(unlink(local), 0);
	CU_ASSERT_EQUAL(mkfifo(local, 0600), 0); /* must not block */
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "not a regular file");
}

/* --- profiles with a file of their own ------------------------------------------------------- */

static char *profile_file(const char *text)
{
	char *path = iot_path(dir, "bench.profile");

	write_file(path, text);
	return path;
}

static const char bench[] = "[profile bench]\ncloud = aws\nregion = local\nsecret = s3cret\n";

static const struct setting with_secrets[] = {
	{.name = "secret", .help = "x", .hidden = true},
	{.name = "key-data", .help = "x", .hidden = true},
	{0},
};

static void test_profile_file(void)
{
	char *path = profile_file(bench);

	source.extra = with_secrets;
	source.profile = path;
	write_file(local, "[default]\nregion = wrong\n[profile bench]\nregion = wrong\nfleet = x\n");
	setenv("AWS_REGION", "eu-west-1", 1);
	load();
	CU_ASSERT_STRING_EQUAL(settings_profile(settings), "bench");
	expect("region", "local", "bench.profile:3");
	expect("fleet", "x", ".iotctl.conf:5");
	setenv("IOTCTL_REGION", "mine", 1);
	load();
	expect("region", "mine", "IOTCTL_REGION");
	source.only_profile = true;
	load();
	expect("region", "local", "bench.profile:3");
	expect("fleet", NULL, "default");
	unsetenv("IOTCTL_REGION");
	unsetenv("AWS_REGION");
	ASSERT_STATUS(settings_check(settings, "secret", "x", &err), IOT_USAGE, &err);
	CU_ASSERT_PTR_NULL(strstr(err.what, "s3cret"));
	free(path);
}

static void refused_profile(const char *text, mode_t mode, const char *what)
{
	char *path = profile_file(text);

	CU_ASSERT_EQUAL(chmod(path, mode), 0);
	source.extra = with_secrets;
	source.profile = path;
	settings_free(settings);
	settings = NULL;
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, what);
	CU_ASSERT_PTR_NULL(strstr(err.what, "s3cret"));
	free(path);
}

static void test_profile_refused(void)
{
	static const mode_t open_modes[] = {0640, 0604, 0620, 0602, 0610, 0644, 0666, 0777};

	for (size_t i = 0; i < IOT_LENGTH(open_modes); i++)
		refused_profile(bench, open_modes[i], "open to other users");
	ASSERT_CONTAINS(err.hint, "chmod 600");
	refused_profile("", 0600, "is no profile");
	refused_profile("[default]\nfleet = x\n", 0600, "is no profile");
	refused_profile("[profile a]\nfleet = x\n[profile b]\nfleet = x\n", 0600, "is no profile");
	refused_profile("[profile a]\nprofile = b\n", 0600, "a profile cannot choose a profile");
	refused_profile("[profile a]\nsekret = s3cret\n", 0600, "unknown setting 'sekret'");
	source.profile = "./none/there";
	ASSERT_STATUS(settings_load(&source, &settings, &err), IOT_SETTINGS, &err);
	ASSERT_CONTAINS(err.what, "no profile file");
}

/* Certificates and keys are one long line: inih would cut it. */
static void test_long_data(void)
{
	char value[3000], text[3100];
	char *path;

	memset(value, 'A', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	snprintf(text, sizeof(text), "[profile b]\n  key-data \t=  %s \r\nfleet = y\n", value);
	path = profile_file(text);
	source.extra = with_secrets;
	source.profile = path;
	load();
	expect("key-data", value, "bench.profile:2");
	expect("fleet", "y", "bench.profile:3");
	free(path);
	value[1000] = ' ';
	snprintf(text, sizeof(text), "[profile b]\nkey-data = %s\n", value);
	refused_profile(text, 0600, "line longer");
	value[1000] = ';';
	snprintf(text, sizeof(text), "[profile b]\nkey-data = %s\n", value);
	refused_profile(text, 0600, "line longer");
	value[1000] = '\f';
	snprintf(text, sizeof(text), "[profile b]\nkey-data = %s\n", value);
	refused_profile(text, 0600, "line longer");
	value[1000] = 'A';
	snprintf(text, sizeof(text), "[profile b]\nfleet = %s\n", value);
	refused_profile(text, 0600, "line longer");
	snprintf(text, sizeof(text), "[profile b]\nkey-data = %s\nkey-data = %s\n", "x", value);
	refused_profile(text, 0600, "given twice");
}

static void test_import(void)
{
	char *path = profile_file(bench), *name = NULL, *to = NULL;
	struct stat st;
	bool changed = false;

	source.extra = with_secrets;
	load();
	ASSERT_OK(settings_import(settings, path, false, &name, &to, &changed, &err), &err);
	CU_ASSERT_TRUE(changed);
	CU_ASSERT_STRING_EQUAL(name, "bench");
	CU_ASSERT_EQUAL(stat(to, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	free(name);
	free(to);
	ASSERT_OK(settings_import(settings, path, false, &name, &to, &changed, &err), &err);
	CU_ASSERT_FALSE(changed);
	free(name);
	free(to);
	name = to = NULL;
	write_file(path, "[profile bench]\nregion = other\n");
	ASSERT_STATUS(settings_import(settings, path, false, &name, &to, &changed, &err), IOT_CONFLICT, &err);
	ASSERT_OK(settings_import(settings, path, true, &name, &to, &changed, &err), &err);
	source.profile = "bench";
	load();
	expect("region", "other", "profiles/bench.conf:2");
	CU_ASSERT_STRING_EQUAL(settings_profile_file(settings), to);
	free(name);
	free(to);
	/* A name that would lead elsewhere. */
	write_file(path, "[profile ../x]\nregion = other\n");
	ASSERT_STATUS(settings_import(settings, path, false, &name, &to, &changed, &err), IOT_SETTINGS, &err);
	free(path);
}

static void expect_file(const char *path, const char *text)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf buf = IOT_BUF_INIT(65536);

	ASSERT_OK(iot_fs_read(path, &buf, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), text);
}

static void test_set(void)
{
	IOT_CLEAN(iot_free_p) char *deep = iot_path(dir, "new/folder/iotctl.conf");
	struct stat st;

	ASSERT_OK(settings_set(deep, "default", "fleet", "demo", &err), &err);
	expect_file(deep, "[default]\nfleet = demo\n");
	CU_ASSERT_EQUAL(stat(deep, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	ASSERT_OK(settings_set(deep, "default", "fleet", "demo2", &err), &err);
	ASSERT_OK(settings_set(deep, "profile prod", "cloud", "aws", &err), &err);
	ASSERT_OK(settings_set(deep, "default", "region", "x", &err), &err);
	expect_file(deep, "[default]\nfleet = demo2\nregion = x\n\n[profile prod]\ncloud = aws\n");
	ASSERT_OK(settings_set(deep, "default", "fleet", NULL, &err), &err);
	ASSERT_OK(settings_set(deep, "profile none", "fleet", NULL, &err), &err);
	expect_file(deep, "[default]\nregion = x\n\n[profile prod]\ncloud = aws\n");
}

static void test_set_keeps_the_rest(void)
{
	write_file(user,
		   "# head\n[profile a]\nfleet=x\n\n; note\n[default]\n# fleet = old\n  fleet  : y ; why\nregion=r");
	CU_ASSERT_EQUAL(chmod(user, 0640), 0);
	ASSERT_OK(settings_set(user, "default", "fleet", "z", &err), &err);
	expect_file(user, "# head\n[profile a]\nfleet=x\n\n; note\n[default]\n# fleet = old\nfleet = z\nregion=r");
	ASSERT_OK(settings_set(user, "default", "cloud", "aws", &err), &err);
	expect_file(user,
		    "# head\n[profile a]\nfleet=x\n\n; note\n[default]\n# fleet = old\nfleet = z\nregion=r\ncloud = "
		    "aws\n");
	load();
	expect("fleet", "z", "user.conf:8");
}

static void test_set_through_link(void)
{
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "link.conf");
	struct stat st;

	write_file(user, "[default]\n");
	CU_ASSERT_EQUAL(symlink("user.conf", link), 0);
	ASSERT_OK(settings_set(link, "default", "fleet", "z", &err), &err);
	CU_ASSERT_EQUAL(lstat(link, &st), 0);
	CU_ASSERT(S_ISLNK(st.st_mode));
	expect_file(user, "[default]\nfleet = z\n");
}

static void test_set_refuses(void)
{
	char longest[400];

	write_file(user, "[default]\nfleet = x\n");
	memset(longest, 'y', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ASSERT_STATUS(settings_set(user, "default", "fleet", "a\n[profile b]\nfleet = c", &err), IOT_USAGE, &err);
	ASSERT_STATUS(settings_set(user, "default", "fleet", " lead", &err), IOT_USAGE, &err);
	ASSERT_STATUS(settings_set(user, "default", "fleet", "a ; b", &err), IOT_USAGE, &err);
	ASSERT_STATUS(settings_set(user, "default", "fleet", longest, &err), IOT_USAGE, &err);
	ASSERT_STATUS(settings_set(user, "default", "a=b", "c", &err), IOT_USAGE, &err);
	ASSERT_STATUS(settings_set(user, "bogus", "fleet", "c", &err), IOT_USAGE, &err);
	expect_file(user, "[default]\nfleet = x\n");
	write_file(user, "nonsense\n");
	ASSERT_STATUS(settings_set(user, "default", "fleet", "c", &err), IOT_SETTINGS, &err);
	expect_file(user, "nonsense\n");
}

/* What would make the file unreadable is not written into it. */
static void test_check(void)
{
	struct settings *plain = settings_new_defaults(NULL);

	ASSERT_OK(settings_check(plain, "output", "json", &err), &err);
	ASSERT_OK(settings_check(plain, "output", NULL, &err), &err);
	ASSERT_OK(settings_check(plain, "profile", "default", &err), &err);
	ASSERT_STATUS(settings_check(plain, "outptu", "json", &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.hint, "did you mean 'output'?");
	iot_error_clear(&err);
	ASSERT_STATUS(settings_check(plain, "output", "jsno", &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.hint, "json");
	iot_error_clear(&err);
	ASSERT_STATUS(settings_check(plain, "profile", "nowhere", &err), IOT_USAGE, &err);
	settings_free(plain);
}

static void test_enumerate(void)
{
	const struct setting *row;
	const char *value, *origin;
	size_t count = 0;
	bool station = false;

	load();
	for (; settings_at(settings, count, &row, &value, &origin); count++) {
		CU_ASSERT_PTR_NOT_NULL(row->help);
		CU_ASSERT_PTR_NOT_NULL(origin);
		station = station || strcmp(row->name, "station") == 0;
	}
	CU_ASSERT(count >= 9);
	CU_ASSERT_TRUE(station);
}

UNIT_MAIN("cli/settings", set_up, tear_down, {"defaults", test_defaults}, {"precedence", test_precedence},
	  {"other_variables", test_other_variables}, {"profiles", test_profiles}, {"profile_names", test_profile_names},
	  {"malformed", test_malformed}, {"bad_choice_sources", test_bad_choice_sources},
	  {"foreign_local_file", test_foreign_local_file}, {"set", test_set},
	  {"set_keeps_the_rest", test_set_keeps_the_rest}, {"set_through_link", test_set_through_link},
	  {"set_refuses", test_set_refuses}, {"enumerate", test_enumerate}, {"check", test_check},
	  {"profile_file", test_profile_file}, {"profile_refused", test_profile_refused}, {"long_data", test_long_data},
	  {"import", test_import})
