/* The options that every command has. */
#include "cli/internal.h"

#include <string.h>

const struct cli_param cli_global_rows[] = {
	OPT_ENUM('o', "output", "FORMAT", struct cli_globals, output, "format of the result",
		 .choices = CLI_CHOICES("table", "wide", "json", "jsonl", "csv")),
	OPT_STR(0, "query", "EXPR", struct cli_globals, query, "filter the JSON result with a jq expression"),
	OPT_STR(0, "profile", "NAME", struct cli_globals, profile, "profile of the settings files",
		.complete = COMPLETE_PROFILE),
	OPT_STR(0, "fleet", "NAME", struct cli_globals, fleet,
		"fleet to work on: a name, or a folder if it has a slash", .complete = COMPLETE_FLEET),
	OPT_ENUM(0, "cloud", "CLOUD", struct cli_globals, cloud, "cloud to work on", .choices = CLI_CHOICES("local", "aws")),
	OPT_STR(0, "region", "NAME", struct cli_globals, region, "AWS region"),
	OPT_STR(0, "endpoint-url", "URL", struct cli_globals, endpoint_url, "send AWS operations there"),
	OPT_STR(0, "aws-profile", "NAME", struct cli_globals, aws_profile, "profile of the AWS files"),
	OPT_ENUM(0, "color", "WHEN", struct cli_globals, color, "colours",
		 .choices = CLI_CHOICES("auto", "always", "never")),
	OPT_ENUM(0, "progress", "HOW", struct cli_globals, progress, "how progress is shown on stderr",
		 .choices = CLI_CHOICES("auto", "bar", "plain", "json", "none")),
	OPT_FLAG('q', "quiet", struct cli_globals, quiet, "no notices and no progress, only warnings and errors"),
	{.letter = 'v',
	 .name = "verbose",
	 .type = (enum cli_type)CLI_COUNT,
	 .offset = CLI_INT_(struct cli_globals, verbose),
	 .help = "say what is done; twice for details"},
	OPT_FLAG(0, "no-input", struct cli_globals, no_input, "never ask, fail instead"),
	OPT_FLAG('h', "help", struct cli_globals, help, "show help; with -o json, describe the command as JSON"),
	OPT_FLAG('V', "version", struct cli_globals, version, "show the version"),
	{0},
};

bool cli_global_applies(const struct cli_param *row, bool at_root)
{
	return at_root || strcmp(row->name, "version") != 0;
}
