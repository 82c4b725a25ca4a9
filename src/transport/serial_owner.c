/*
 * Who else uses a serial port: processes that have it open, as far as /proc
 * shows them, and ModemManager, which opens every new modem-like port.
 */
#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/serial.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* First line of PROC/PID/comm; "" if it cannot be read. */
static void read_comm(const char *proc, const char *pid, char out[64])
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s/comm", proc, pid);
	IOT_CLEAN(iot_fclose_p) FILE *file = fopen(path, "re");

	if (file == NULL || fgets(out, 64, file) == NULL)
		*out = '\0';
	out[strcspn(out, "\n")] = '\0';
}

static bool has_open(const char *proc, const char *pid, dev_t device)
{
	IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s/fd", proc, pid);
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL) {
		struct stat st;

		found = fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == device;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

/* Call `each` for every process but this one until it returns true. */
static bool any_process(const char *proc, bool (*each)(const char *proc, const char *pid, void *data), void *data)
{
	DIR *dir = opendir(proc);
	const struct dirent *entry;
	long self = (long)getpid();
	bool found = false;

	while (dir != NULL && !found && (entry = readdir(dir)) != NULL)
		if (isdigit((unsigned char)entry->d_name[0]) && strtol(entry->d_name, NULL, 10) != self)
			found = each(proc, entry->d_name, data);
	if (dir != NULL)
		closedir(dir);
	return found;
}

struct search {
	dev_t device;
	char *user;
};

static bool is_user(const char *proc, const char *pid, void *data)
{
	struct search *search = data;
	char comm[64];

	if (!has_open(proc, pid, search->device))
		return false;
	read_comm(proc, pid, comm);
	search->user = iot_strf("%s (process %s)", *comm != '\0' ? comm : "a process", pid);
	return true;
}

char *iot_serial_user(const char *path, const char *proc)
{
	struct search search = {0, NULL};
	struct stat st;

	if (stat(path, &st) != 0 || !S_ISCHR(st.st_mode))
		return NULL;
	search.device = st.st_rdev;
	(void)any_process(proc != NULL ? proc : "/proc", is_user, &search);
	return search.user;
}

static bool is_modem_manager(const char *proc, const char *pid, void *data)
{
	char comm[64];

	(void)data;
	read_comm(proc, pid, comm);
	return strcmp(comm, "ModemManager") == 0;
}

bool iot_serial_modem_manager(const char *proc)
{
	return any_process(proc != NULL ? proc : "/proc", is_modem_manager, NULL);
}
