/*
 * Files when something is wrong: missing, too large, not ours, full disk, taken
 * names. After each failure the folder is looked at: nothing half-made stays.
 */
#include "unit.h"

#include "iotctl/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char *dir;
static struct iot_error err;

static void set_up(void)
{
	dir = unit_mkdtemp();
	iot_error_clear(&err);
	umask(022);
}

static void tear_down(void)
{
	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	CU_ASSERT_FALSE(iot_fs_exists(dir));
	free(dir);
}

static int entries(const char *folder)
{
	DIR *open_dir = opendir(folder);
	int count = 0;

	if (open_dir == NULL)
		return -1;
	while (readdir(open_dir) != NULL)
		count++;
	closedir(open_dir);
	return count - 2;
}

static bool holds(const char *path, const char *text)
{
	struct iot_buf buf = IOT_BUF_INIT(1 << 20);
	bool same = iot_fs_read(path, &buf, NULL) == IOT_OK && buf.len == strlen(text) &&
		    memcmp(buf.data, text, buf.len) == 0;

	iot_buf_release(&buf);
	return same;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void test_write_and_read(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "file");
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "link");
	struct iot_buf buf = IOT_BUF_INIT(100);
	struct stat st;

	ASSERT_OK(iot_fs_write(path, 0644, "one", 3, &err), &err);
	CU_ASSERT_EQUAL(mode_of(path), 0644);
	ASSERT_OK(iot_fs_write(path, 0600, "a\0b", 3, &err), &err);
	CU_ASSERT_EQUAL(mode_of(path), 0600);
	iot_buf_adds(&buf, "before ");
	ASSERT_OK(iot_fs_read(path, &buf, &err), &err);
	CU_ASSERT_EQUAL(buf.len, 10);
	CU_ASSERT_EQUAL(memcmp(buf.data, "before a\0b", 11), 0);
	iot_buf_release(&buf);
	/* An empty file is contents too. */
	ASSERT_OK(iot_fs_write(path, 0600, NULL, 0, &err), &err);
	ASSERT_OK(iot_fs_read(path, &buf, &err), &err);
	CU_ASSERT_PTR_NOT_NULL(buf.data);
	CU_ASSERT_EQUAL(buf.len, 0);
	iot_buf_release(&buf);
	/* Through a link, the file it leads to is replaced and the link stays. */
	CU_ASSERT_EQUAL(symlink("file", link), 0);
	ASSERT_OK(iot_fs_write(link, 0600, "two", 3, &err), &err);
	CU_ASSERT_TRUE(holds(path, "two"));
	CU_ASSERT(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
	CU_ASSERT_EQUAL(entries(dir), 2);
}

static void test_read_refuses(void)
{
	IOT_CLEAN(iot_free_p) char *missing = iot_path(dir, "missing");
	IOT_CLEAN(iot_free_p) char *below = iot_path(dir, "big/below");
	IOT_CLEAN(iot_free_p) char *big = iot_path(dir, "big");
	IOT_CLEAN(iot_free_p) char *fifo = iot_path(dir, "fifo");
	struct iot_buf buf = IOT_BUF_INIT(10);

	iot_buf_adds(&buf, "abc");
	ASSERT_STATUS(iot_fs_read(missing, &buf, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "missing': no such file or directory");
	ASSERT_STATUS(iot_fs_read(dir, &buf, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "is a folder, not a file");
	ASSERT_OK(iot_fs_write(big, 0600, "12345678", 8, &err), &err);
	ASSERT_STATUS(iot_fs_read(below, &buf, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(iot_fs_read(big, &buf, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "is larger than the 7 bytes allowed");
	/* Must be refused at once and not wait for a writer. */
	CU_ASSERT_EQUAL(mkfifo(fifo, 0600), 0);
	ASSERT_STATUS(iot_fs_read(fifo, &buf, &err), IOT_USAGE, &err);
	ASSERT_CONTAINS(err.what, "is not a regular file");
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "abc");
	CU_ASSERT_FALSE(buf.over);
	/* Exactly the limit fits. */
	buf.max = 11;
	ASSERT_OK(iot_fs_read(big, &buf, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "abc12345678");
	/* A file of the kernel says it has no bytes; the limit holds for it as well. */
	ASSERT_STATUS(iot_fs_read("/proc/self/status", &buf, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "abc12345678");
	iot_buf_release(&buf);
	buf.max = 1 << 20;
	ASSERT_OK(iot_fs_read("/proc/self/status", &buf, &err), &err);
	ASSERT_CONTAINS(iot_buf_str(&buf), "VmRSS");
	iot_buf_release(&buf);
}

static void test_standard_input(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "input");
	int saved = dup(STDIN_FILENO), fd;
	struct iot_buf buf = IOT_BUF_INIT(5);

	ASSERT_OK(iot_fs_write(path, 0600, "hello", 5, &err), &err);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CU_ASSERT(fd >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
	ASSERT_OK(iot_fs_read("-", &buf, &err), &err);
	CU_ASSERT_STRING_EQUAL(iot_buf_str(&buf), "hello");
	CU_ASSERT_EQUAL(lseek(STDIN_FILENO, 0, SEEK_SET), 0);
	iot_buf_release(&buf);
	buf.max = 4;
	ASSERT_STATUS(iot_fs_read("-", &buf, &err), IOT_USAGE, &err);
	CU_ASSERT_STRING_EQUAL(err.what, "'standard input' is larger than the 4 bytes allowed");
	CU_ASSERT_EQUAL(buf.len, 0);
	iot_buf_release(&buf);
	iot_close_p(&fd);
	dup2(saved, STDIN_FILENO);
	close(saved);
}

static void test_write_refuses(void)
{
	IOT_CLEAN(iot_free_p) char *nowhere = iot_path(dir, "no/such/file");
	IOT_CLEAN(iot_free_p) char *folder = iot_path(dir, "folder");
	IOT_CLEAN(iot_free_p) char *dangling = iot_path(dir, "dangling");
	IOT_CLEAN(iot_free_p) char *pipe = iot_path(dir, "pipe");
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "link");

	ASSERT_STATUS(iot_fs_write(nowhere, 0600, "x", 1, &err), IOT_NOT_FOUND, &err);
	ASSERT_CONTAINS(err.what, "no/such/file': no such file or directory");
	ASSERT_OK(iot_fs_mkdirs(folder, 0700, &err), &err);
	ASSERT_STATUS(iot_fs_write(folder, 0600, "x", 1, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "it is a folder");
	CU_ASSERT_EQUAL(symlink("no/where", dangling), 0);
	ASSERT_STATUS(iot_fs_write(dangling, 0600, "x", 1, &err), IOT_NOT_FOUND, &err);
	/*
	 * Renaming over a device would take it away from the whole machine. A pipe stands for it: with a real one,
	 * this test would do the damage when the code is wrong.
	 */
	CU_ASSERT(mkfifo(pipe, 0600) == 0 && symlink("pipe", link) == 0);
	ASSERT_STATUS(iot_fs_write(pipe, 0600, "x", 1, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_fs_write(link, 0600, "x", 1, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "it is not a regular file");
	CU_ASSERT_EQUAL(entries(dir), 4);
	CU_ASSERT_EQUAL(entries(folder), 0);
}

/* Run `part` in a child process, whose limits, mounts and rights are its own; true if it returned true. */
static bool in_child(bool (*part)(void))
{
	pid_t child = fork();
	int status = -1;

	if (child == 0)
		_exit(part() ? 0 : 1);
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

/* The system stops the write half way: the old contents stay, and no part of the new ones. */
static bool cut_write(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "file");
	IOT_CLEAN(iot_free_p) char *key = iot_path(dir, "key");
	struct rlimit limit = {1000, 1000};
	char data[5000] = "new";

	signal(SIGXFSZ, SIG_IGN);
	return setrlimit(RLIMIT_FSIZE, &limit) == 0 &&
	       iot_fs_write(path, 0600, data, sizeof(data), &err) == IOT_FAILURE &&
	       strstr(err.what, "file': file too large") != NULL &&
	       iot_fs_create_private(key, data, sizeof(data), &err) == IOT_FAILURE;
}

static void test_cut_write_leaves_nothing(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "file");

	ASSERT_OK(iot_fs_write(path, 0600, "old", 3, &err), &err);
	CU_ASSERT_TRUE(in_child(cut_write));
	CU_ASSERT_TRUE(holds(path, "old"));
	CU_ASSERT_EQUAL(entries(dir), 1);
}

/* A disk of 64 KiB in a name space of the child's own; false where that is not allowed. */
static bool mount_small_disk(const char *folder)
{
	if ((unshare(CLONE_NEWNS) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0) &&
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount("tmpfs", folder, "tmpfs", 0, "size=64k") == 0)
		return true;
	fprintf(stderr, "(not tried: no disk can be mounted here) ");
	return false;
}

static bool full_disk(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "file");
	IOT_CLEAN(iot_free_p) char *key = iot_path(dir, "key");
	static char data[1 << 20];

	if (!mount_small_disk(dir))
		return true;
	return iot_fs_write(path, 0600, "old", 3, &err) == IOT_OK &&
	       iot_fs_write(path, 0600, data, sizeof(data), &err) == IOT_FAILURE &&
	       strstr(err.what, "file': no space left on device") != NULL &&
	       iot_fs_create_private(key, data, sizeof(data), &err) == IOT_FAILURE &&
	       strstr(err.what, "key': no space left on device") != NULL && entries(dir) == 1 && holds(path, "old");
}

static void test_full_disk_leaves_the_old_file(void)
{
	CU_ASSERT_TRUE(in_child(full_disk));
}

/* Only ever tried where "/" is the test's own folder. */
static bool root_is_refused(void)
{
	if (chroot(dir) != 0 || chdir("/") != 0 || iot_fs_write("/kept", 0600, "x", 1, &err) != IOT_OK) {
		fprintf(stderr, "(not tried: the root cannot be changed here) ");
		return true;
	}
	return iot_fs_remove_tree("/", &err) == IOT_USAGE && iot_fs_remove_tree("//", &err) == IOT_USAGE &&
	       holds("/kept", "x");
}

static void test_remove_tree_refuses_the_root(void)
{
	CU_ASSERT_TRUE(in_child(root_is_refused));
}

static bool mounted_below(void)
{
	IOT_CLEAN(iot_free_p) char *tree = iot_path(dir, "tree");
	IOT_CLEAN(iot_free_p) char *disk = iot_path(dir, "tree/a/disk");
	IOT_CLEAN(iot_free_p) char *file = iot_path(disk, "file");

	if (!mount_small_disk(disk))
		return true;
	return iot_fs_write(file, 0600, "x", 1, &err) == IOT_OK && iot_fs_remove_tree(tree, &err) == IOT_CONFLICT &&
	       strstr(err.what, "disk': another file system is mounted there") != NULL && holds(file, "x");
}

static void test_remove_tree_stays_on_its_disk(void)
{
	IOT_CLEAN(iot_free_p) char *disk = iot_path(dir, "tree/a/disk");

	ASSERT_OK(iot_fs_mkdirs(disk, 0700, &err), &err);
	CU_ASSERT_TRUE(in_child(mounted_below));
}

static void test_create_private(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "key.pem");
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "link");
	IOT_CLEAN(iot_free_p) char *behind = iot_path(dir, "behind");

	umask(0377);
	ASSERT_OK(iot_fs_create_private(path, "secret", 6, &err), &err);
	umask(022);
	CU_ASSERT_EQUAL(mode_of(path), 0600);
	ASSERT_STATUS(iot_fs_create_private(path, "other", 5, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "key.pem' exists already");
	CU_ASSERT_TRUE(holds(path, "secret"));
	/* A link left there by somebody must not direct the key elsewhere. */
	CU_ASSERT_EQUAL(symlink("behind", link), 0);
	ASSERT_STATUS(iot_fs_create_private(link, "secret", 6, &err), IOT_CONFLICT, &err);
	CU_ASSERT_FALSE(iot_fs_exists(behind));
}

/* The system kills whoever writes beyond the limit: in the middle of the file. */
static void die_writing(const char *path)
{
	struct rlimit limit = {10, 10}, no_core = {0, 0};
	char data[100] = "secret";

	if (setrlimit(RLIMIT_CORE, &no_core) == 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0)
		(void)!iot_fs_create_private(path, data, sizeof(data), &err);
	_exit(0);
}

static void test_killed_while_creating(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "key.pem");
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		die_writing(path);
	CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
	CU_ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
	/* What has the name is a whole key: the next call makes one. */
	ASSERT_OK(iot_fs_create_private(path, "secret", 6, &err), &err);
	CU_ASSERT_TRUE(holds(path, "secret"));
	CU_ASSERT_EQUAL(mode_of(path), 0600);
}

static void test_check_private(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "key.pem");
	IOT_CLEAN(iot_free_p) char *missing = iot_path(dir, "missing");
	IOT_CLEAN(iot_free_p) char *hint = iot_strf("chmod 600 %s", path);

	ASSERT_STATUS(iot_fs_check_private(missing, &err), IOT_NOT_FOUND, &err);
	ASSERT_STATUS(iot_fs_check_private(dir, &err), IOT_DENIED, &err);
	ASSERT_OK(iot_fs_write(path, 0600, "x", 1, &err), &err);
	ASSERT_OK(iot_fs_check_private(path, &err), &err);
	CU_ASSERT_EQUAL(chmod(path, 0400), 0);
	ASSERT_OK(iot_fs_check_private(path, &err), &err);
	for (mode_t bit = 1; bit <= 040; bit <<= 1) {
		CU_ASSERT_EQUAL(chmod(path, 0600 | bit), 0);
		ASSERT_STATUS(iot_fs_check_private(path, &err), IOT_DENIED, &err);
		CU_ASSERT_STRING_EQUAL(err.hint, hint);
	}
	if (geteuid() == 0) {
		CU_ASSERT(chmod(path, 0600) == 0 && chown(path, 12345, 12345) == 0);
		ASSERT_STATUS(iot_fs_check_private(path, &err), IOT_DENIED, &err);
		ASSERT_CONTAINS(err.what, "belongs to another user");
	}
}

static void test_mkdirs(void)
{
	IOT_CLEAN(iot_free_p) char *deep = iot_path(dir, "a//b/c/");
	IOT_CLEAN(iot_free_p) char *parent = iot_path(dir, "a/b");
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "a/file");
	IOT_CLEAN(iot_free_p) char *below = iot_path(dir, "a/file/x");

	ASSERT_OK(iot_fs_mkdirs(deep, 0700, &err), &err);
	CU_ASSERT_TRUE(iot_fs_is_dir(deep));
	CU_ASSERT_EQUAL(mode_of(deep), 0700);
	CU_ASSERT_EQUAL(mode_of(parent), 0755);
	ASSERT_OK(iot_fs_mkdirs(deep, 0700, &err), &err);
	ASSERT_OK(iot_fs_mkdirs("/", 0700, &err), &err);
	ASSERT_OK(iot_fs_write(file, 0600, "x", 1, &err), &err);
	ASSERT_STATUS(iot_fs_mkdirs(file, 0700, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "a/file' exists and is not a folder");
	ASSERT_STATUS(iot_fs_mkdirs(below, 0700, &err), IOT_CONFLICT, &err);
	ASSERT_STATUS(iot_fs_mkdirs("", 0700, &err), IOT_NOT_FOUND, &err);
}

static void test_remove_tree(void)
{
	IOT_CLEAN(iot_free_p) char *outside = iot_path(dir, "outside");
	IOT_CLEAN(iot_free_p) char *kept = iot_path(dir, "outside/kept");
	IOT_CLEAN(iot_free_p) char *tree = iot_path(dir, "tree");
	IOT_CLEAN(iot_free_p) char *deep = iot_path(dir, "tree/a/b/c");
	IOT_CLEAN(iot_free_p) char *file = iot_path(dir, "tree/a/file");
	IOT_CLEAN(iot_free_p) char *link = iot_path(dir, "tree/a/link");
	IOT_CLEAN(iot_free_p) char *top_link = iot_path(dir, "top");

	ASSERT_OK(iot_fs_mkdirs(outside, 0700, &err), &err);
	ASSERT_OK(iot_fs_mkdirs(deep, 0700, &err), &err);
	ASSERT_OK(iot_fs_write(kept, 0600, "x", 1, &err), &err);
	ASSERT_OK(iot_fs_write(file, 0600, "x", 1, &err), &err);
	CU_ASSERT_EQUAL(symlink(outside, link), 0);
	CU_ASSERT_EQUAL(symlink(outside, top_link), 0);
	ASSERT_OK(iot_fs_remove_tree(tree, &err), &err);
	CU_ASSERT_FALSE(iot_fs_exists(tree));
	ASSERT_OK(iot_fs_remove_tree(top_link, &err), &err);
	CU_ASSERT_TRUE(holds(kept, "x"));
	CU_ASSERT_EQUAL(entries(dir), 1);
	ASSERT_OK(iot_fs_remove_tree(tree, &err), &err);
	ASSERT_OK(iot_fs_remove(tree, &err), &err);
	ASSERT_STATUS(iot_fs_remove(outside, &err), IOT_FAILURE, &err);
	ASSERT_OK(iot_fs_remove(kept, &err), &err);
	ASSERT_STATUS(iot_fs_remove_tree("", &err), IOT_USAGE, &err);
}

static void test_remove_tree_many_and_deep(void)
{
	IOT_CLEAN(iot_free_p) char *tree = iot_path(dir, "tree");
	struct iot_buf path = IOT_BUF_INIT(4000);

	ASSERT_OK(iot_fs_mkdirs(tree, 0700, &err), &err);
	for (int i = 0; i < 2000; i++) {
		IOT_CLEAN(iot_free_p) char *name = iot_strf("%s/file-%d", tree, i);
		int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		iot_close_p(&fd);
	}
	CU_ASSERT_EQUAL(entries(tree), 2000);
	ASSERT_OK(iot_fs_remove_tree(tree, &err), &err);
	/* Deeper than descriptors are spent on: refused with words, not followed without end. */
	iot_buf_adds(&path, tree);
	for (int i = 0; i < 70; i++)
		iot_buf_adds(&path, "/d");
	ASSERT_OK(iot_fs_mkdirs(iot_buf_str(&path), 0700, &err), &err);
	ASSERT_STATUS(iot_fs_remove_tree(tree, &err), IOT_FAILURE, &err);
	ASSERT_CONTAINS(err.what, "more than 64 folders deep");
	path.data[strlen(tree) + strlen("/d") * 20] = '\0';
	ASSERT_OK(iot_fs_remove_tree(path.data, &err), &err);
	iot_buf_release(&path);
}

/* A folder whose owner may do nothing in it, and a user who is not root. */
static bool without_rights(void)
{
	IOT_CLEAN(iot_free_p) char *locked = iot_path(dir, "locked");
	IOT_CLEAN(iot_free_p) char *file = iot_path(locked, "file");
	struct iot_buf buf = IOT_BUF_INIT(10);

	if (geteuid() == 0 && (setgid(12345) != 0 || setuid(12345) != 0))
		return true;
	return iot_fs_read(file, &buf, &err) == IOT_DENIED && strstr(err.what, "permission denied") != NULL &&
	       iot_fs_write(file, 0600, "x", 1, &err) == IOT_DENIED &&
	       iot_fs_create_private(file, "x", 1, &err) == IOT_DENIED &&
	       iot_fs_mkdirs(file, 0700, &err) == IOT_DENIED && iot_fs_remove(file, &err) == IOT_DENIED;
}

static void test_rights_are_reported(void)
{
	IOT_CLEAN(iot_free_p) char *locked = iot_path(dir, "locked");
	IOT_CLEAN(iot_free_p) char *file = iot_path(locked, "file");

	ASSERT_OK(iot_fs_mkdirs(locked, 0700, &err), &err);
	ASSERT_OK(iot_fs_write(file, 0600, "x", 1, &err), &err);
	CU_ASSERT(chmod(dir, 0755) == 0 && chmod(locked, 0) == 0);
	CU_ASSERT_TRUE(in_child(without_rights));
	CU_ASSERT_EQUAL(chmod(locked, 0700), 0);
}

static bool lock_is_taken(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "lock");
	int fd = -1;

	return iot_fs_lock(path, &fd, &err) == IOT_CONFLICT && fd == -1 &&
	       strstr(err.what, "lock' is locked by another process") != NULL;
}

static void test_lock(void)
{
	IOT_CLEAN(iot_free_p) char *path = iot_path(dir, "lock");
	IOT_CLEAN(iot_free_p) char *nowhere = iot_path(dir, "no/lock");
	int fd = -1;

	ASSERT_OK(iot_fs_lock(path, &fd, &err), &err);
	CU_ASSERT_TRUE(in_child(lock_is_taken));
	iot_close_p(&fd);
	fd = -1;
	ASSERT_OK(iot_fs_lock(path, &fd, &err), &err);
	iot_close_p(&fd);
	ASSERT_STATUS(iot_fs_lock(nowhere, &fd, &err), IOT_NOT_FOUND, &err);
}

static void check_path(char *made, const char *expected)
{
	CU_ASSERT_STRING_EQUAL(made, expected);
	free(made);
}

static void test_paths(void)
{
	IOT_CLEAN(iot_free_p) char *cwd = getcwd(NULL, 0);
	IOT_CLEAN(iot_free_p) char *here = iot_strf("%s/a/../b", cwd);

	check_path(iot_path("a", "b"), "a/b");
	check_path(iot_path("a/", "b"), "a/b");
	check_path(iot_path("a", "/b"), "/b");
	check_path(iot_path("", "b"), "b");
	check_path(iot_path(NULL, "b"), "b");
	check_path(iot_path("a", ""), "a");
	check_path(iot_path_absolute("/a//./b/"), "/a/b");
	check_path(iot_path_absolute("/"), "/");
	check_path(iot_path_absolute("."), cwd);
	check_path(iot_path_absolute("./a/../b"), here);
	check_path(iot_path_absolute("/.hidden/..x/."), "/.hidden/..x");
}

static void test_xdg(void)
{
	setenv("HOME", "/home/u/", 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_RUNTIME_DIR");
	setenv("XDG_DATA_HOME", "relative", 1);
	setenv("XDG_STATE_HOME", "/state//", 1);
	check_path(iot_xdg_config(), "/home/u/.config/iotctl");
	check_path(iot_xdg_data(), "/home/u/.local/share/iotctl");
	check_path(iot_xdg_state(), "/state/iotctl");
	check_path(iot_xdg_runtime(), "/state/iotctl");
	setenv("XDG_RUNTIME_DIR", "/run/user/1000", 1);
	check_path(iot_xdg_runtime(), "/run/user/1000/iotctl");
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_DATA_HOME");
	check_path(iot_xdg_state(), "/home/u/.local/state/iotctl");
}

UNIT_MAIN("base/fs", set_up, tear_down, {"write_and_read", test_write_and_read}, {"read_refuses", test_read_refuses},
	  {"standard_input", test_standard_input}, {"write_refuses", test_write_refuses},
	  {"cut_write_leaves_nothing", test_cut_write_leaves_nothing},
	  {"full_disk_leaves_the_old_file", test_full_disk_leaves_the_old_file},
	  {"create_private", test_create_private}, {"killed_while_creating", test_killed_while_creating},
	  {"check_private", test_check_private}, {"mkdirs", test_mkdirs}, {"remove_tree", test_remove_tree},
	  {"remove_tree_many_and_deep", test_remove_tree_many_and_deep},
	  {"remove_tree_refuses_the_root", test_remove_tree_refuses_the_root},
	  {"remove_tree_stays_on_its_disk", test_remove_tree_stays_on_its_disk},
	  {"rights_are_reported", test_rights_are_reported}, {"lock", test_lock}, {"paths", test_paths},
	  {"xdg", test_xdg})
