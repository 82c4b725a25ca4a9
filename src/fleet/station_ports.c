/*
 * The ports of a station: paths that are given, and patterns that are looked at
 * again and again, so that what is plugged in becomes a head. Polling, since it
 * works for devices, links and pseudo terminals alike.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/clock.h"
#include "iotctl/swd.h"

#include <glob.h>
#include <string.h>
#include <sys/stat.h>

static bool is_pattern(const char *port)
{
	return strpbrk(port, "*?[") != NULL;
}

/* --- what a path leads to ---------------------------------------------------------------------- */

static struct port_sign sign_of(const struct head *head)
{
	const char *port = head->port;
	struct stat link, target;

	if (strcmp(head->recipe->description->ops->name, "swd") == 0)
		port = iot_swd_probe_port(port);
	/* A probe on USB has no path here. It is there, and the board on it has to be asked for. */
	if (port == NULL)
		return (struct port_sign){.present = true};
	if (lstat(port, &link) != 0 || stat(port, &target) != 0)
		return (struct port_sign){0};
	/* A link made anew is a new device even where the kernel gave it the old one's number. */
	return (struct port_sign){.present = true,
				  .inode = S_ISLNK(link.st_mode) ? link.st_ino : target.st_ino,
				  .device = target.st_rdev,
				  .changed = S_ISLNK(link.st_mode) ? link.st_mtim : (struct timespec){0, 0}};
}

static bool same_sign(const struct port_sign *a, const struct port_sign *b)
{
	return a->present == b->present && a->inode == b->inode && a->device == b->device &&
	       a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* --- heads for them -------------------------------------------------------------------------------- */

static struct head *head_of(struct station *station, const char *port)
{
	for (size_t i = 0; i < station->head_count; i++)
		if (strcmp(station->heads[i].port, port) == 0)
			return &station->heads[i];
	return NULL;
}

/* The place of a port that was found and is gone, else a new one; NULL: too many. */
static struct head *free_place(struct station *station)
{
	for (size_t i = 0; i < station->head_count; i++)
		if (station->heads[i].found && station->heads[i].state == IOT_HEAD_EMPTY &&
		    !station->heads[i].now.present)
			return &station->heads[i];
	if (station->head_count == IOT_STATION_HEADS_MAX)
		return NULL;
	station->heads[station->head_count] =
		(struct head){.number = (int)station->head_count + 1, .worker = WORKER_INIT};
	return &station->heads[station->head_count++];
}

static void add_port(struct station *station, const char *port, bool found)
{
	struct head *head = head_of(station, port);

	if (head != NULL)
		return;
	head = free_place(station);
	if (head == NULL) {
		station_notice(station, "there are more than %d ports: '%s' is not used", IOT_STATION_HEADS_MAX, port);
		return;
	}
	free(head->port);
	head->port = iot_strdup(port);
	head->recipe = recipe_of(station->recipe, port);
	head->found = found;
	head->begun_with = (struct port_sign){0};
	head->now = sign_of(head);
	station->changed = true;
}

static void find_ports(struct station *station, const char *pattern)
{
	glob_t found = {0};

	if (glob(pattern, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			add_port(station, found.gl_pathv[i], true);
	globfree(&found);
}

enum iot_status ports_begin(struct station *station, struct iot_error *err)
{
	size_t fixed = 0;

	for (const char *const *port = station->options->ports; *port != NULL; port++) {
		if (is_pattern(*port))
			continue;
		if (++fixed > IOT_STATION_HEADS_MAX)
			return iot_fail(err, IOT_USAGE, "a station has at most %d ports", IOT_STATION_HEADS_MAX);
		add_port(station, *port, false);
	}
	return ports_look(station, err);
}

/* --- what changed -------------------------------------------------------------------------------------- */

/* When may the next board of this head begin? Only what is plugged in anew begins by itself. */
static bool begins(const struct station *station, const struct head *head)
{
	bool fresh = !same_sign(&head->now, &head->begun_with);

	return head->now.present && !head_active(head) && station_takes_boards(station) &&
	       station->options->start != IOT_START_SCAN && fresh;
}

static enum iot_status look_at(struct station *station, struct head *head, struct iot_error *err)
{
	struct port_sign now = sign_of(head);

	if (!same_sign(&now, &head->now))
		station->changed = true;
	head->now = now;
	if (head_active(head))
		return IOT_OK;
	if (!now.present && head->state != IOT_HEAD_EMPTY) {
		/* What became of the last board is shown until the next one comes. */
		if (head->state == IOT_HEAD_READY || head->state == IOT_HEAD_SCAN || head->found)
			head->state = IOT_HEAD_EMPTY;
		head->begun_with = now;
	}
	if (now.present && head->state == IOT_HEAD_EMPTY)
		head->state = IOT_HEAD_READY;
	return begins(station, head) ? head_start(station, head, err) : IOT_OK;
}

enum iot_status ports_look(struct station *station, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (const char *const *port = station->options->ports; *port != NULL; port++)
		if (is_pattern(*port))
			find_ports(station, *port);
	for (size_t i = 0; status == IOT_OK && i < station->head_count; i++)
		status = look_at(station, &station->heads[i], err);
	return status;
}
