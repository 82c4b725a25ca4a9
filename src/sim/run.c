/*
 * The two uses of the loop: one device, and a folder of them.
 */
#include "iotctl/sim.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/log.h"
#include "sim/loop.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
	CONNECT_WINDOW = 32,
	PROGRESS_MS = 1000,
	FDS_PER_DEVICE = 5, /* socket, libmosquitto's pair, lock, slot */
	FDS_BESIDES = 64,
	FLEET_MAX = 100000,
};

struct single {
	void (*event)(const char *name, const char *detail, void *data);
	void *data;
};

static void single_event(const char *thing, const char *name, const char *detail, void *data)
{
	const struct single *single = data;

	(void)thing;
	if (single->event != NULL)
		single->event(name, detail, single->data);
}

/* Told to end is a good end, unless something was still being waited for. */
static enum iot_status signal_status(int number, bool once, struct iot_error *err)
{
	if (number == 0 || !once)
		return IOT_OK;
	return iot_fail(err, IOT_INTERRUPTED, "interrupted by %s", number == SIGINT ? "SIGINT" : "SIGTERM");
}

static enum iot_status load_behaviour(const struct iot_sim_device_options *options, struct sim_behaviour **ret,
				      struct iot_error *err)
{
	return options->behaviour != NULL ? sim_behaviour_load(options->behaviour, ret, err) : IOT_OK;
}

enum iot_status iot_sim_device_run(const struct iot_sim_device_options *options,
				   void (*event)(const char *name, const char *detail, void *data), void *data,
				   struct iot_error *err)
{
	struct single single = {event, data};
	IOT_CLEAN(sim_behaviour_free_p) struct sim_behaviour *behaviour = NULL;
	struct sim_device_hooks hooks = {.event = single_event, .data = &single, .level = IOT_LOG_NOTICE};
	const struct sim_loop_options loop = {.exit_after_ms = options->exit_after_ms};
	struct sim_device *device = NULL;
	enum iot_status status = load_behaviour(options, &behaviour, err), ended;
	int number = 0;

	hooks.behaviour = behaviour;
	if (status == IOT_OK)
		status = sim_device_new(options, &hooks, &device, err);
	if (status != IOT_OK)
		return status;
	status = sim_loop_run(&device, 1, &loop, &number, err);
	if (status == IOT_OK && sim_device_ended(device, &ended)) {
		status = ended;
		if (sim_device_error(device)->status != IOT_OK && err != NULL)
			*err = *sim_device_error(device);
		else if (ended != IOT_OK)
			iot_fail(err, ended, "the last job of '%s' failed", sim_device_thing(device));
	} else if (status == IOT_OK) {
		status = signal_status(number, options->once, err);
		if (number == 0 && options->once)
			status = iot_fail(err, IOT_TIMEOUT, "'%s' did not run out of jobs in time",
					  sim_device_thing(device));
	}
	sim_device_free(device);
	return status;
}

/* --- fleet ------------------------------------------------------------------ */

struct fleet {
	const struct iot_sim_fleet_options *options;
	void (*event)(const char *thing, const char *name, const char *detail, void *data);
	void *data;
	struct sim_behaviour *behaviour;
	struct sim_device **devices;
	size_t count;
	size_t accepted, failed;
};

static void fleet_event(const char *thing, const char *name, const char *detail, void *data)
{
	struct fleet *fleet = data;

	if (strcmp(name, "accepted") == 0)
		fleet->accepted++;
	else if (strcmp(name, "failed") == 0 || strcmp(name, "rejected") == 0)
		fleet->failed++;
	if (fleet->event != NULL)
		fleet->event(thing, name, detail, fleet->data);
}

static void tell_progress(void *data)
{
	struct fleet *fleet = data;
	size_t connected = 0, idle = 0, ended = 0;
	char text[160];

	for (size_t i = 0; i < fleet->count; i++) {
		connected += sim_device_is_connected(fleet->devices[i]);
		idle += sim_device_is_idle(fleet->devices[i]);
		ended += sim_device_ended(fleet->devices[i], NULL);
	}
	snprintf(text, sizeof(text),
		 "%zu devices, %zu connected, %zu idle, %zu ended, %zu updates accepted, %zu failed", fleet->count,
		 connected, idle, ended, fleet->accepted, fleet->failed);
	if (fleet->event != NULL)
		fleet->event("", "fleet", text, fleet->data);
}

static int is_device_folder(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Names of the device folders in order, up to `limit` of them; free with free_names. */
static enum iot_status list_devices(const char *dir, int limit, char ***ret, size_t *ret_count, struct iot_error *err)
{
	struct dirent **entries = NULL;
	int n = scandir(dir, &entries, is_device_folder, alphasort);
	size_t most = limit > 0 ? (size_t)limit : FLEET_MAX, count = 0;
	char **names;

	if (n < 0)
		return iot_fail_errno(err, errno == ENOENT ? IOT_NOT_FOUND : IOT_FAILURE, errno, "cannot read '%s'",
				      dir);
	names = iot_alloc_array((size_t)n + 1, sizeof(*names));
	for (int i = 0; i < n; i++) {
		IOT_CLEAN(iot_free_p) char *path = iot_strf("%s/%s", dir, entries[i]->d_name);
		IOT_CLEAN(iot_free_p) char *file = iot_path(path, "device.json");

		if (count < most && iot_fs_exists(file))
			names[count++] = iot_take(path);
		free(entries[i]);
	}
	free(entries);
	*ret = names;
	*ret_count = count;
	return IOT_OK;
}

static void free_names(char ***names)
{
	for (char **name = *names; name != NULL && *name != NULL; name++)
		free(*name);
	free(*names);
}

/* Sockets for all of them, as far as the system lets us. */
static enum iot_status make_room(size_t count, struct iot_error *err)
{
	rlim_t wanted = (rlim_t)count * FDS_PER_DEVICE + FDS_BESIDES;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
		return IOT_OK;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < wanted) {
		iot_fail(err, IOT_SETTINGS, "%zu devices need %llu open files, and the limit is %llu", count,
			 (unsigned long long)wanted, (unsigned long long)limit.rlim_max);
		iot_error_hint(err, "raise it with 'ulimit -Hn' or run fewer devices in one process");
		return IOT_SETTINGS;
	}
	limit.rlim_cur = wanted;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		return iot_fail_errno(err, IOT_SETTINGS, errno, "cannot raise the limit of open files");
	return IOT_OK;
}

static enum iot_status open_fleet(struct fleet *fleet, char **names, size_t count, struct sim_gate *gate,
				  struct iot_error *err)
{
	const struct sim_device_hooks hooks = {.event = fleet_event,
					       .data = fleet,
					       .level = IOT_LOG_INFO,
					       .gate = gate,
					       .behaviour = fleet->behaviour};

	fleet->devices = iot_alloc_array(count + 1, sizeof(void *));
	for (; fleet->count < count; fleet->count++) {
		struct iot_sim_device_options options = fleet->options->device;
		enum iot_status status;

		options.dir = names[fleet->count];
		options.image = fleet->options->image;
		options.once = fleet->options->once;
		status = sim_device_new(&options, &hooks, &fleet->devices[fleet->count], err);
		if (status != IOT_OK) {
			iot_error_while(err, "starting the device in '%s'", options.dir);
			return status;
		}
	}
	return IOT_OK;
}

static enum iot_status fleet_outcome(const struct fleet *fleet, int number, struct iot_error *err)
{
	size_t bad = 0, unfinished = 0;

	for (size_t i = 0; i < fleet->count; i++) {
		enum iot_status ended;

		if (!sim_device_ended(fleet->devices[i], &ended))
			unfinished++;
		else if (ended != IOT_OK)
			bad++;
	}
	if (bad > 0)
		return iot_fail(err, IOT_PARTIAL, "%zu of %zu devices ended with a failure", bad, fleet->count);
	if (number != 0)
		return signal_status(number, fleet->options->once, err);
	if (fleet->options->once && unfinished > 0)
		return iot_fail(err, IOT_TIMEOUT, "%zu of %zu devices did not run out of jobs in time", unfinished,
				fleet->count);
	return IOT_OK;
}

enum iot_status iot_sim_fleet_run(const struct iot_sim_fleet_options *options,
				  void (*event)(const char *thing, const char *name, const char *detail, void *data),
				  void *data, struct iot_error *err)
{
	struct fleet fleet = {.options = options, .event = event, .data = data};
	struct sim_gate gate = {options->connect_window > 0 ? options->connect_window : CONNECT_WINDOW};
	const struct sim_loop_options loop = {.exit_after_ms = options->exit_after_ms,
					      .every_ms = PROGRESS_MS,
					      .every = tell_progress,
					      .data = &fleet};
	IOT_CLEAN(free_names) char **names = NULL;
	size_t count = 0;
	int number = 0;
	enum iot_status status = list_devices(options->dir, options->count, &names, &count, err);

	if (status == IOT_OK && count == 0)
		status = iot_fail(err, IOT_NOT_FOUND, "no device folders in '%s'", options->dir);
	if (status == IOT_OK && options->count > 0 && count < (size_t)options->count)
		status = iot_fail(err, IOT_NOT_FOUND, "'%s' has only %zu of %d devices", options->dir, count,
				  options->count);
	if (status == IOT_OK)
		status = make_room(count, err);
	if (status == IOT_OK)
		status = load_behaviour(&options->device, &fleet.behaviour, err);
	if (status == IOT_OK)
		status = open_fleet(&fleet, names, count, &gate, err);
	if (status == IOT_OK)
		status = sim_loop_run(fleet.devices, fleet.count, &loop, &number, err);
	if (status == IOT_OK) {
		tell_progress(&fleet);
		status = fleet_outcome(&fleet, number, err);
	}
	for (size_t i = 0; i < fleet.count; i++)
		sim_device_free(fleet.devices[i]);
	free(fleet.devices);
	sim_behaviour_free(fleet.behaviour);
	return status;
}
