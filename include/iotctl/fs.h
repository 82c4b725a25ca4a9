/*
 * Files: read within a limit, write so that a crash leaves the old or the new
 * content, create private ones. All functions block on the disk only.
 */
#ifndef IOTCTL_FS_H
#define IOTCTL_FS_H

#include "iotctl/buf.h"
#include "iotctl/error.h"

#include <stdint.h>
#include <sys/types.h>

/* Append a whole regular file (or "-": standard input) to buf, up to buf's limit; IOT_NOT_FOUND if it is missing. */
IOT_CHECK enum iot_status iot_fs_read(const char *path, struct iot_buf *buf, struct iot_error *err);

/* Replace path by data: temporary file beside it, fsync, rename, fsync of the folder. */
IOT_CHECK enum iot_status iot_fs_write(const char *path, mode_t mode, const void *data, size_t len,
				       struct iot_error *err);

/*
 * Create path, mode 0600 whatever the umask, complete and fsynced before it has
 * its name: a crash leaves the whole file or none. IOT_CONFLICT if it exists:
 * nothing is overwritten. On any other failure nothing stays.
 */
IOT_CHECK enum iot_status iot_fs_create_private(const char *path, const void *data, size_t len, struct iot_error *err);

/* Write all of it, in as many turns as that takes. 0, or the errno of what failed; some of it may be written then. */
int iot_fs_write_all(int fd, const void *data, size_t len);

/* Make a folder and its missing parents with mode (parents 0755); fine if it exists as a folder. */
IOT_CHECK enum iot_status iot_fs_mkdirs(const char *path, mode_t mode, struct iot_error *err);

/* IOT_DENIED if group or others have any right on the file, or it is not a regular file of ours or root's. */
IOT_CHECK enum iot_status iot_fs_check_private(const char *path, struct iot_error *err);

/* Another name in the same folder, on the disk when this returns. What had that name is gone. */
IOT_CHECK enum iot_status iot_fs_rename(const char *from, const char *to, struct iot_error *err);

/* Remove a file; one that is missing is fine. */
IOT_CHECK enum iot_status iot_fs_remove(const char *path, struct iot_error *err);
/* Remove a folder with all it holds (does not follow links, stays on the file system). Missing is fine. */
IOT_CHECK enum iot_status iot_fs_remove_tree(const char *path, struct iot_error *err);

bool iot_fs_exists(const char *path);
bool iot_fs_is_dir(const char *path);
/* "a/b": new memory; an absolute `name` is returned as it is. */
char *iot_path(const char *dir, const char *name);
/* Absolute form of path without touching the disk; new memory. */
char *iot_path_absolute(const char *path);

/* XDG base folders for iotctl (new memory, no trailing slash): $XDG_x_HOME/iotctl or its default under $HOME. */
char *iot_xdg_config(void);
char *iot_xdg_data(void);
char *iot_xdg_state(void);
char *iot_xdg_runtime(void); /* $XDG_RUNTIME_DIR/iotctl, or the state folder */

/* An exclusive advisory lock (flock). *ret_fd is closed to release it. IOT_CONFLICT if another process has it. */
IOT_CHECK enum iot_status iot_fs_lock(const char *path, int *ret_fd, struct iot_error *err);

#endif
