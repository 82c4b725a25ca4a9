/* The program: the command tree, handed to cli. */
#include "iotctl/command.h"

#include <sys/prctl.h>
#include <sys/resource.h>

/* Keys pass through memory: no core files. Handlers that core_pattern pipes to do not heed the limit, hence both. */
static void keep_core_files_away(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* the leak checker has to look into the process */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

int main(int argc, char **argv)
{
	keep_core_files_away();
	return cli_main(&cmd_root, argc, argv, &cmd_hooks);
}
