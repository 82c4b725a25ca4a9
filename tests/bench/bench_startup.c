/*
 * How long a command takes from its start to its end, and how long another one
 * does: bench_startup ROUNDS RUNS YARDSTICK COMMAND [ARGUMENT...]. Both are run in turn,
 * RUNS times a round; a line per round holds both medians in milliseconds. Their
 * output goes to /dev/null.
 */
#include "bench.h"

#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static double run_ms(const posix_spawn_file_actions_t *actions, char *const argv[])
{
	double start = bench_now_ms();
	pid_t pid;
	int status, fault = posix_spawn(&pid, argv[0], actions, NULL, argv, environ);

	if (fault != 0) {
		fprintf(stderr, "cannot run '%s': %s\n", argv[0], strerror(fault));
		exit(1);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0) {
		fprintf(stderr, "'%s' failed\n", argv[0]);
		exit(1);
	}
	return bench_now_ms() - start;
}

int main(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	char *yardstick[2] = {NULL, NULL};
	double *ours, *theirs;
	int rounds, runs;

	if (argc < 5) {
		fprintf(stderr, "usage: bench_startup ROUNDS RUNS YARDSTICK COMMAND [ARGUMENT...]\n");
		return 2;
	}
	rounds = bench_number(argv[1]);
	runs = bench_number(argv[2]);
	yardstick[0] = argv[3];
	ours = calloc((size_t)runs, sizeof(*ours));
	theirs = calloc((size_t)runs, sizeof(*theirs));
	if (ours == NULL || theirs == NULL || posix_spawn_file_actions_init(&actions) != 0 ||
	    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0) != 0)
		return 1;
	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < runs; i++) {
			theirs[i] = run_ms(&actions, yardstick);
			ours[i] = run_ms(&actions, argv + 4);
		}
		printf("%.3f %.3f\n", bench_median(ours, (size_t)runs), bench_median(theirs, (size_t)runs));
	}
	posix_spawn_file_actions_destroy(&actions);
	free(ours);
	free(theirs);
	return 0;
}
