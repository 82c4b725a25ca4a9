/*
 * swdsim: options, the files that are the chip's memories, the pseudo-terminal.
 * Prints "ready" when OpenOCD may come; ends with SIGTERM.
 */
#include "swdsim.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define MORE_SIZE 4096U

struct faults faults;
const struct chip *chip = &chip_stm32f1;
uint8_t *flash, *more;
uint8_t unique_id[12] = {0x31, 0xff, 0x6b, 0x06, 0x42, 0x4e, 0x37, 0x32, 0x16, 0x51, 0x22, 0x43};

static uint8_t answers[65536];
static size_t answered;
static long sent, writes;

static void die(const char *text)
{
	fprintf(stderr, "swdsim: %s\n", text);
	exit(2);
}

uint32_t load(const uint8_t *at, int size)
{
	uint32_t value = 0;

	for (int i = 0; i < size; i++)
		value |= (uint32_t)at[i] << 8 * i;
	return value;
}

void store(uint8_t *at, int size, uint32_t value)
{
	for (int i = 0; i < size; i++)
		at[i] = (uint8_t)(value >> 8 * i);
}

static void stick(void)
{
	if (faults.has_stuck && faults.stuck_at < chip->flash_size)
		flash[faults.stuck_at] &= (uint8_t)~faults.stuck_mask;
}

void power_may_fail(void)
{
	if (faults.lose_power_after > 0 && ++writes >= faults.lose_power_after)
		_exit(3);
}

void flash_program(uint32_t offset, int size, uint32_t value)
{
	store(flash + offset, size, load(flash + offset, size) & value);
	stick();
	power_may_fail();
}

void flash_erase(uint32_t offset, size_t size)
{
	memset(flash + offset, 0xff, size);
	stick();
	power_may_fail();
}

void buspirate_send(uint8_t byte)
{
	if (faults.silent_after > 0 && sent >= faults.silent_after)
		return;
	sent++;
	if (answered < sizeof(answers))
		answers[answered++] = byte;
}

static uint8_t *map(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	off_t end = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
	uint8_t *memory;

	if (end < 0 || (end < (off_t)size && ftruncate(fd, (off_t)size) != 0))
		die("cannot make the memory's file");
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die("cannot map the memory's file");
	close(fd);
	if (end < (off_t)size)
		memset(memory + end, 0xff, size - (size_t)end);
	return memory;
}

static void fault(const char *text)
{
	unsigned long bit = 0;
	char *end;

	if (strcmp(text, "dead") == 0) {
		faults.dead = true;
	} else if (strcmp(text, "soft-otp") == 0) {
		faults.soft_otp = true;
	} else if (strncmp(text, "dpidr=", 6) == 0) {
		faults.dpidr = (uint32_t)strtoul(text + 6, NULL, 0);
	} else if (strncmp(text, "bad-parity=", 11) == 0) {
		faults.bad_parity = atoi(text + 11);
	} else if (strncmp(text, "wait=", 5) == 0) {
		faults.wait = atoi(text + 5);
	} else if (strncmp(text, "silent-after=", 13) == 0) {
		faults.silent_after = atol(text + 13);
	} else if (strncmp(text, "lose-power-after=", 17) == 0) {
		faults.lose_power_after = atol(text + 17);
	} else if (strncmp(text, "stuck=", 6) == 0) {
		faults.stuck_at = (uint32_t)strtoul(text + 6, &end, 0);
		bit = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
		faults.stuck_mask = (uint8_t)(1U << (bit & 7));
		faults.has_stuck = true;
	} else {
		die("unknown fault");
	}
}

static void set_uid(const char *hex)
{
	if (strlen(hex) != 2 * sizeof(unique_id))
		die("the unique id is 24 hex digits");
	for (size_t i = 0; i < sizeof(unique_id); i++) {
		unsigned value;

		if (sscanf(hex + 2 * i, "%2x", &value) != 1)
			die("the unique id is 24 hex digits");
		unique_id[i] = (uint8_t)value;
	}
}

static const struct chip *find_chip(const char *name)
{
	static const struct chip *const chips[] = {&chip_stm32f1, &chip_stm32f4, &chip_nrf52};

	for (size_t i = 0; i < sizeof(chips) / sizeof(*chips); i++)
		if (strcmp(chips[i]->name, name) == 0)
			return chips[i];
	die("there is no such chip");
	return NULL;
}

static const char *link_path;

/* A link that stayed would soon lead to another's pseudo-terminal: the system gives their numbers out again. */
static void on_end(int number)
{
	(void)number;
	(void)unlink(link_path);
	_exit(0);
}

static int open_terminal(const char *link)
{
	struct termios settings;
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	int slave;

	if (fd < 0 || grantpt(fd) != 0 || unlockpt(fd) != 0)
		die("cannot open a pseudo-terminal");
	/* Held open, so that it stays when OpenOCD goes. */
	slave = open(ptsname(fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcgetattr(slave, &settings) != 0)
		die("cannot open the pseudo-terminal's other side");
	cfmakeraw(&settings);
	tcsetattr(slave, TCSANOW, &settings);
	unlink(link);
	if (symlink(ptsname(fd), link) != 0)
		die("cannot link the pseudo-terminal");
	link_path = link;
	(void)signal(SIGTERM, on_end);
	(void)signal(SIGINT, on_end);
	return fd;
}

static void flush(int fd)
{
	for (size_t done = 0; done < answered;) {
		ssize_t n = write(fd, answers + done, answered - done);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			die("cannot write to the pseudo-terminal");
		done += n > 0 ? (size_t)n : 0;
	}
	answered = 0;
}

static void serve(int fd)
{
	uint8_t bytes[4096];

	for (;;) {
		ssize_t n = read(fd, bytes, sizeof(bytes));

		if (n < 0 && errno != EINTR && errno != EIO)
			die("cannot read from the pseudo-terminal");
		for (ssize_t i = 0; i < n; i++)
			buspirate_byte(bytes[i]);
		flush(fd);
	}
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"chip", required_argument, NULL, 'c'},
						{"flash", required_argument, NULL, 'f'},
						{"link", required_argument, NULL, 'l'},
						{"uid", required_argument, NULL, 'u'},
						{"locked", required_argument, NULL, 'k'},
						{"fault", required_argument, NULL, 'x'},
						{0}};
	const char *file = NULL, *link = NULL, *locked = NULL;
	char path[4096];
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			chip = find_chip(optarg);
			break;
		case 'f':
			file = optarg;
			break;
		case 'l':
			link = optarg;
			break;
		case 'u':
			set_uid(optarg);
			break;
		case 'k':
			locked = optarg;
			break;
		case 'x':
			fault(optarg);
			break;
		default:
			return 2;
		}
	}
	if (file == NULL || link == NULL)
		die("usage: swdsim --chip stm32f1|stm32f4|nrf52 --flash FILE --link PATH [--uid HEX] [--locked NAME] "
		    "[--fault "
		    "FAULT]");
	flash = map(file, chip->flash_size);
	snprintf(path, sizeof(path), "%s.options", file);
	more = map(path, MORE_SIZE);
	stick();
	chip->reset();
	core_reset();
	if (locked != NULL && !chip->lock(locked))
		die("this chip has no such lock");
	option = open_terminal(link);
	puts("ready");
	fflush(stdout);
	serve(option);
}
