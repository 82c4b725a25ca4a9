/*
 * What the station's journal costs a board: all its commits, from the reservation to the end, on the steps that
 * provisioning has; and beside it as many plain writes of a page, each brought to the disk, as it has commits that wait
 * for the disk. bench_journal FOLDER BOARDS      prints for each board: journal ms, plain ms
 */
#include "bench.h"

#include "fleet/provision_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"

#include <fcntl.h>
#include <unistd.h>

enum { PAGE = 4096, RESERVED_AND_DONE = 2 };

static double record(struct iot_store *journal, int number)
{
	IOT_CLEAN(iot_free_p) char *name = iot_strf("board-%d", number);
	const struct journal_board board = {.fleet = "bench",
					    .kind = "expresslink",
					    .uid = name,
					    .key_id = name,
					    .thing = name,
					    .certificate_id = name,
					    .port = "/dev/ttyUSB0"};
	const struct provision_step *step = provision_steps;
	struct journal_entry entry;
	struct iot_error err = IOT_ERROR_INIT;
	double begin = bench_now_ms();

	bench_must(journal_reserve(journal, &board, false, &entry, &err), &err);
	for (; step->id.name != NULL; step++)
		bench_must(
			journal_next(journal, entry.id, step > provision_steps ? &step[-1].id : NULL, &step->id, &err),
			&err);
	bench_must(journal_done(journal, entry.id, &step[-1].id, "localhost", &err), &err);
	journal_entry_release(&entry);
	return bench_now_ms() - begin;
}

static double plain(int fd)
{
	static const char page[PAGE];
	double begin = bench_now_ms();
	int commits = RESERVED_AND_DONE;

	for (const struct provision_step *step = provision_steps; step->id.name != NULL; step++)
		commits += step->id.touches_board;
	for (; commits > 0; commits--)
		if (write(fd, page, PAGE) != PAGE || fdatasync(fd) != 0)
			abort();
	return bench_now_ms() - begin;
}

int main(int argc, char **argv)
{
	IOT_CLEAN(iot_free_p) char *path = argc == 3 ? iot_path(argv[1], "journal.db") : NULL;
	IOT_CLEAN(iot_free_p) char *beside = argc == 3 ? iot_path(argv[1], "plain") : NULL;
	struct iot_store *journal = NULL;
	struct iot_error err = IOT_ERROR_INIT;
	int fd, boards;

	if (argc != 3)
		return 2;
	boards = bench_number(argv[2]);
	bench_must(journal_open(path, &journal, &err), &err);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	for (int i = 0; fd >= 0 && i < boards; i++) {
		double ours = record(journal, i), theirs = plain(fd);

		printf("%.3f %.3f\n", ours, theirs);
	}
	iot_store_close(journal);
	return fd >= 0 && close(fd) == 0 ? 0 : 1;
}
