/*
 * Where everything is inside a fleet directory. Sockets are an exception when the
 * directory's path is long, since the address of a unix socket holds 107 bytes, or
 * has a blank in it, which mosquitto takes for the end of a listener's path. Then
 * they are in a private folder under /tmp, whose name every process of the same
 * user derives from the directory (not under $XDG_RUNTIME_DIR, which is not the
 * same for a service and a shell, and goes when the user logs out).
 */
#include "local_private.h"

#include "iotctl/digest.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define LONGEST_SOCKET "broker/staging.sock"

/* The folder of the sockets. New memory. */
static char *socket_dir(const char *dir)
{
	IOT_CLEAN(iot_free_p) char *real = NULL;
	char hex[IOT_SHA256_HEX_SIZE];

	if (strpbrk(dir, " \t") == NULL &&
	    strlen(dir) + 1 + strlen(LONGEST_SOCKET) < sizeof(((struct sockaddr_un *)NULL)->sun_path))
		return iot_path(dir, "broker");
	real = realpath(dir, NULL);
	iot_sha256_hex(real != NULL ? real : dir, strlen(real != NULL ? real : dir), hex);
	return iot_strf("/tmp/iotctl-%lu-%.16s", (unsigned long)geteuid(), hex);
}

static char *folder_of(const char *path)
{
	return iot_strndup(path, (size_t)(strrchr(path, '/') - path));
}

enum iot_status iot_fleet_socket_dir(const struct iot_fleet_paths *paths, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *dir = folder_of(paths->admin_socket);
	struct stat st;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make folder '%s'", dir);
	if (lstat(dir, &st) != 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot use folder '%s'", dir);
	/* Where everybody may make folders, somebody else may have been first. */
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 0077) != 0) {
		iot_fail(err, IOT_DENIED, "'%s' is not a private folder of this user", dir);
		iot_error_hint(err, "it must belong to this user, with mode 0700");
		return IOT_DENIED;
	}
	return IOT_OK;
}

void iot_fleet_socket_dir_remove(const struct iot_fleet_paths *paths)
{
	IOT_CLEAN(iot_free_p) char *dir = folder_of(paths->admin_socket);

	if (strcmp(dir, paths->broker_dir) != 0)
		(void)rmdir(dir);
}

void iot_fleet_paths_init(struct iot_fleet_paths *paths, const char *fleet_dir)
{
	IOT_CLEAN(iot_free_p) char *sockets = NULL;

	paths->dir = iot_path_absolute(fleet_dir);
	sockets = socket_dir(paths->dir);
	paths->registry = iot_path(paths->dir, "registry.db");
	paths->ca_dir = iot_path(paths->dir, "ca");
	paths->trust_dir = iot_path(paths->dir, "broker/trust");
	paths->codesign_dir = iot_path(paths->dir, "codesign");
	paths->images_dir = iot_path(paths->dir, "images");
	paths->broker_dir = iot_path(paths->dir, "broker");
	paths->admin_socket = iot_path(sockets, "admin.sock");
	paths->staging_socket = iot_path(sockets, "staging.sock");
	paths->notify_socket = iot_path(sockets, "notify.sock");
	paths->lock = iot_path(paths->dir, "broker/serve.lock");
}

void iot_fleet_paths_release(struct iot_fleet_paths *paths)
{
	free(paths->dir);
	free(paths->registry);
	free(paths->ca_dir);
	free(paths->trust_dir);
	free(paths->codesign_dir);
	free(paths->images_dir);
	free(paths->broker_dir);
	free(paths->admin_socket);
	free(paths->staging_socket);
	free(paths->notify_socket);
	free(paths->lock);
	*paths = (struct iot_fleet_paths){0};
}
