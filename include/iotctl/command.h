/*
 * The command tree of the program. One file per noun in src/command/ holds that
 * noun's rows; root.c lists them.
 */
#ifndef IOTCTL_COMMAND_H
#define IOTCTL_COMMAND_H

#include "iotctl/cli.h"

extern const struct cli_command cmd_root;

/* Settings that only the commands know, and how a command gets its cloud and its completions. */
extern const struct cli_hooks cmd_hooks;

#endif
