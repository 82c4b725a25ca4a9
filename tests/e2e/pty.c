/*
 * A device on a pseudo terminal that is no ExpressLink module, for the tests:
 *   e2e_pty LINK echo|modem|silent|chatter
 * An echo gives back what it hears; a modem says OK to AT and ERROR to all else; chatter talks all the time. It lives
 * until it is killed.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { CHATTER_MS = 20 };

static void put(int fd, const char *text, size_t len)
{
	if (write(fd, text, len) < 0)
		return; /* nobody listens; nobody has to */
}

static void modem(int fd, const char *data, size_t len)
{
	static char line[256];
	static size_t used;

	for (size_t i = 0; i < len; i++) {
		if (data[i] != '\n' && data[i] != '\r') {
			used = used < sizeof(line) - 1 ? used + 1 : used;
			line[used - 1] = data[i];
			continue;
		}
		line[used] = '\0';
		if (used > 0)
			put(fd, strcmp(line, "AT") == 0 ? "\r\nOK\r\n" : "\r\nERROR\r\n",
			    strcmp(line, "AT") == 0 ? 6 : 9);
		used = 0;
	}
}

static int open_pty(const char *link)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY), slave;
	struct termios mode;
	const char *name;

	if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0)
		return -1;
	name = ptsname(master);
	slave = open(name, O_RDWR | O_NOCTTY); /* stays open: a terminal that nobody holds ends */
	if (slave < 0 || tcgetattr(slave, &mode) != 0)
		return -1;
	cfmakeraw(&mode);
	return tcsetattr(slave, TCSANOW, &mode) == 0 && symlink(name, link) == 0 ? master : -1;
}

int main(int argc, char **argv)
{
	const char *kind = argc == 3 ? argv[2] : "";
	int fd = argc == 3 ? open_pty(argv[1]) : -1;
	struct pollfd poller = {fd, POLLIN, 0};

	if (fd < 0) {
		fprintf(stderr, "usage: e2e_pty LINK echo|modem|silent|chatter\n");
		return 2;
	}
	for (;;) {
		char data[4096];
		ssize_t n = 0;

		if (poll(&poller, 1, strcmp(kind, "chatter") == 0 ? CHATTER_MS : -1) > 0)
			n = read(fd, data, sizeof(data));
		if (n < 0)
			return 1;
		if (strcmp(kind, "echo") == 0)
			put(fd, data, (size_t)n);
		else if (strcmp(kind, "modem") == 0)
			modem(fd, data, (size_t)n);
		else if (strcmp(kind, "chatter") == 0)
			put(fd, "boot: hello\r\n", 13);
	}
}
