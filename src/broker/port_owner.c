/* Which process listens on a TCP port: the kernel's list of sockets, and who has that one open. */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTEN 0x0a

/* The inode of the socket in LISTEN on that port; 0 if there is none. */
static unsigned long find_socket(const char *table, int port)
{
	IOT_CLEAN(iot_fclose_p) FILE *file = fopen(table, "re");
	unsigned long found = 0;
	char line[512];

	while (file != NULL && found == 0 && fgets(line, sizeof(line), file) != NULL) {
		unsigned local_port, state;
		unsigned long inode;

		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*s %*s %lu", &local_port, &state,
			   &inode) == 3 &&
		    local_port == (unsigned)port && state == STATE_LISTEN)
			found = inode;
	}
	return found;
}

static bool has_socket(const char *pid, unsigned long inode)
{
	char path[64], wanted[64], link[64];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	snprintf(wanted, sizeof(wanted), "socket:[%lu]", inode);
	dir = opendir(path);
	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		ssize_t n = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		found = n > 0 && (size_t)n == strlen(wanted) && memcmp(link, wanted, (size_t)n) == 0;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

static char *describe(const char *pid)
{
	char path[64], name[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (file != NULL) {
		if (fgets(name, sizeof(name), file) != NULL)
			name[strcspn(name, "\n")] = '\0';
		fclose(file);
	}
	iot_text_printable(name);
	return iot_strf(" (process %s, %s)", pid, name);
}

char *serve_port_owner(int port)
{
	unsigned long inode = find_socket("/proc/net/tcp", port);
	char *found = NULL;
	struct dirent *entry;
	DIR *dir;

	if (inode == 0)
		inode = find_socket("/proc/net/tcp6", port);
	dir = inode != 0 ? opendir("/proc") : NULL;
	while (dir != NULL && found == NULL && (entry = readdir(dir)) != NULL) {
		if (isdigit((unsigned char)entry->d_name[0]) && has_socket(entry->d_name, inode))
			found = describe(entry->d_name);
	}
	if (dir != NULL)
		closedir(dir);
	return found != NULL ? found : iot_strdup("");
}
