/*
 * `iotctl __complete KIND PREFIX [WORD...]`: values for a shell, one per line,
 * with an explanation behind a tab. It is called while somebody types: it says
 * nothing on stderr, never fails, and ends after 200 ms.
 */
#include "cli/internal.h"
#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define LIMIT_US 200000

static void give_up(int number)
{
	(void)number;
	_exit(0);
}

static void start_limit(void)
{
	const struct sigaction action = {.sa_handler = give_up};
	const struct itimerval timer = {.it_value = {.tv_usec = LIMIT_US}};

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void emit(void *data, const char *value, const char *text)
{
	(void)data;
	/* A shell would take a line break for two values. */
	if (strpbrk(value, "\r\n\t") != NULL)
		return;
	if (text != NULL && strpbrk(text, "\r\n\t") == NULL)
		printf("%s\t%s\n", value, text);
	else
		printf("%s\n", value);
}

struct filter {
	const char *prefix;
};

static void emit_profile(void *data, const char *name)
{
	const struct filter *filter = data;

	if (iot_starts_with(name, filter->prefix))
		emit(NULL, name, NULL);
}

static void emit_settings(const struct settings *settings, const char *prefix)
{
	const struct setting *row;
	const char *value, *origin;

	for (size_t i = 0; settings_at(settings, i, &row, &value, &origin); i++) {
		if (iot_starts_with(row->name, prefix))
			emit(NULL, row->name, row->help);
	}
}

/* The value of a global option among half-typed words: "--fleet", "=", "x" as bash splits it, or as typed. */
static const char *word_value(int argc, char **argv, const char *option)
{
	size_t length = strlen(option);

	for (int i = 0; i < argc; i++) {
		if (strncmp(argv[i], option, length) != 0)
			continue;
		if (argv[i][length] == '=' && argv[i][length + 1] != '\0')
			return argv[i] + length + 1;
		if (argv[i][length] != '\0' || i + 1 >= argc)
			continue;
		if (strcmp(argv[i + 1], "=") != 0)
			return argv[i + 1];
		if (i + 2 < argc)
			return argv[i + 2];
	}
	return NULL;
}

static enum cli_complete kind_of(const char *name)
{
	for (int kind = COMPLETE_NONE; kind < COMPLETE_COUNT; kind++) {
		const char *known = cli_complete_name((enum cli_complete)kind);

		if (known != NULL && strcmp(known, name) == 0)
			return (enum cli_complete)kind;
	}
	return COMPLETE_NONE;
}

static void silence(enum iot_log_level level, const char *line, void *data)
{
	(void)level;
	(void)line;
	(void)data;
}

void cli_complete_live(const struct cli_command *root, int argc, char **argv, const struct cli_hooks *hooks)
{
	struct cli_context ctx = {.root = root, .command = root, .quiet = true, .no_input = true};
	const char *overrides[3] = {NULL};
	struct settings_source source = {.extra = hooks->settings};
	struct filter filter;
	enum cli_complete kind;

	if (argc < 2)
		return;
	start_limit();
	setvbuf(stdout, NULL, _IOLBF, 0);
	iot_log_set_sink(silence, NULL);
	kind = kind_of(argv[0]);
	filter.prefix = argv[1];
	source.profile = kind == COMPLETE_PROFILE ? NULL : word_value(argc - 2, argv + 2, "--profile");
	overrides[1] = word_value(argc - 2, argv + 2, "--fleet");
	overrides[0] = overrides[1] != NULL ? "fleet" : NULL;
	source.overrides = overrides;
	if (settings_load(&source, &ctx.settings, NULL) != IOT_OK)
		return;
	if (kind == COMPLETE_PROFILE)
		settings_profiles(ctx.settings, emit_profile, &filter);
	else if (kind == COMPLETE_SETTING)
		emit_settings(ctx.settings, filter.prefix);
	else if (kind != COMPLETE_NONE && hooks->complete != NULL)
		hooks->complete(&ctx, kind, filter.prefix, emit, NULL);
	settings_free(ctx.settings);
}
