/* What serve writes for mosquitto, and what it looks at before and after: ports, locks, logs, AppArmor. */
#include "broker/serve_private.h"
#include "iotctl/base.h"
#include "iotctl/text.h"
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir;

static void begin(void)
{
	dir = unit_mkdtemp();
}

static void end(void)
{
	struct iot_error err = IOT_ERROR_INIT;

	ASSERT_OK(iot_fs_remove_tree(dir, &err), &err);
	free(dir);
}

static void write_file(const char *name, const char *text)
{
	char *path = iot_path(dir, name), *slash = strrchr(path, '/');
	struct iot_error err = IOT_ERROR_INIT;

	*slash = '\0';
	ASSERT_OK(iot_fs_mkdirs(path, 0700, &err), &err);
	*slash = '/';
	ASSERT_OK(iot_fs_write(path, 0600, text, strlen(text), &err), &err);
	free(path);
}

/* --- mosquitto.conf ------------------------------------------------------------------ */

static void make_setup(struct serve_setup *setup, const char *fleet_dir)
{
	const struct iot_serve_options options = {.fleet_dir = fleet_dir};

	serve_setup_init(setup, &options);
	setup->listen = iot_strdup("127.0.0.1");
	setup->port = 8883;
	setup->plugin = iot_strdup("/opt/my tools/iotctl_mosquitto.so");
}

static void test_config(void)
{
	static const char *const lines[] = {"\nper_listener_settings false\n",
					    "\nallow_anonymous false\n",
					    "\npersistence true\n",
					    "\nplugin /opt/my tools/iotctl_mosquitto.so\n",
					    "\nplugin_opt_registry /data/my fleet/registry.db\n",
					    "\nlistener 8883 127.0.0.1\n",
					    "\ncertfile /data/my fleet/ca/server.pem\n",
					    "\nkeyfile /data/my fleet/ca/server.key\n",
					    "\ncapath /data/my fleet/broker/trust\n",
					    "\nrequire_certificate true\n",
					    "\ntls_version tlsv1.2\n",
					    "\nmax_keepalive 1200\n",
					    "\nsys_interval 0\n",
					    "\npersistence_location /data/my fleet/broker/\n",
					    "\nlog_dest file /data/my fleet/broker/mosquitto.log\n"};
	struct iot_buf text = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	struct serve_setup setup;
	const char *tls, *admin;

	make_setup(&setup, "/data/my fleet");
	ASSERT_OK(serve_config_text(&setup, &text, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(lines); i++) {
		if (strstr(iot_buf_str(&text), lines[i]) == NULL)
			fprintf(stderr, "\nno line '%s'\n", lines[i]);
		ASSERT_CONTAINS(iot_buf_str(&text), lines[i]);
	}
	/* mosquitto takes a blank for the end of a listener's path: it must not be there. */
	admin = strstr(iot_buf_str(&text), "\nlistener 0 /tmp/iotctl-");
	CU_ASSERT_PTR_NOT_NULL(admin);
	/* What follows a listener is about that listener. */
	tls = strstr(iot_buf_str(&text), "\nlistener 8883");
	CU_ASSERT(tls != NULL && tls > admin && strstr(tls, "require_certificate true") != NULL);
	CU_ASSERT(tls != NULL && strstr(iot_buf_str(&text), "certfile") > tls);
	CU_ASSERT(geteuid() != 0 || strstr(iot_buf_str(&text), "\nuser root\n") != NULL);
	iot_buf_release(&text);
	serve_setup_release(&setup);
}

/* The staging endpoint's own: another port, socket, log and role, nothing kept; the same certificates. */
static void test_config_staging(void)
{
	static const char *const lines[] = {
		"\npersistence false\n",   "\nplugin_opt_role staging\n", "\nlistener 8886 127.0.0.1\n",
		"/staging.sock\n",         "\nlog_dest file /data/x/broker/staging.log\n",
		"\ncapath /data/x/broker/trust\n", "\nrequire_certificate true\n"};
	struct iot_buf text = IOT_BUF_INIT(65536), fleet = IOT_BUF_INIT(65536);
	struct iot_error err = IOT_ERROR_INIT;
	struct serve_setup setup;

	make_setup(&setup, "/data/x");
	serve_setup_add_staging(&setup, 8886);
	ASSERT_OK(serve_config_text(setup.staging, &text, &err), &err);
	ASSERT_OK(serve_config_text(&setup, &fleet, &err), &err);
	for (size_t i = 0; i < IOT_LENGTH(lines); i++)
		ASSERT_CONTAINS(iot_buf_str(&text), lines[i]);
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&text), "admin.sock"));
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&text), "persistence_file"));
	CU_ASSERT_PTR_NULL(strstr(iot_buf_str(&fleet), "staging"));
	CU_ASSERT_STRING_EQUAL(setup.staging->config, "/data/x/broker/staging.conf");
	iot_buf_release(&text);
	iot_buf_release(&fleet);
	serve_setup_release(&setup);
}

/* A path must not be able to add a line, nor become another one. */
static void test_config_paths(void)
{
	static const char *const bad[] = {"/data/a\nallow_anonymous true", "/data/trailing ", "/data/tab\t",
					  "/data/\x01"};
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < IOT_LENGTH(bad); i++) {
		struct iot_buf text = IOT_BUF_INIT(65536);
		struct serve_setup setup;

		make_setup(&setup, "/data/x");
		free(setup.plugin);
		setup.plugin = iot_strdup(bad[i]);
		ASSERT_STATUS(serve_config_text(&setup, &text, &err), IOT_SETTINGS, &err);
		serve_setup_release(&setup);
		iot_buf_release(&text);
	}
}

static void test_config_file(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct serve_setup setup;
	struct stat st;

	make_setup(&setup, dir);
	ASSERT_OK(iot_fs_mkdirs(setup.paths.broker_dir, 0700, &err), &err);
	ASSERT_OK(serve_config_write(&setup, &err), &err);
	CU_ASSERT_EQUAL(stat(setup.config, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	serve_setup_release(&setup);
}

/* --- sockets, ports, the lock -------------------------------------------------------------- */

static void test_socket_folder(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct iot_fleet_paths paths = {0}, again = {0};
	char *long_name = iot_alloc(120), *long_dir, *folder;
	struct stat st;

	memset(long_name, 'l', 110);
	long_dir = iot_path(dir, long_name);
	iot_fleet_paths_init(&paths, long_dir);
	iot_fleet_paths_init(&again, long_dir);
	CU_ASSERT(strlen(paths.admin_socket) < 108 && strlen(paths.notify_socket) < 108);
	CU_ASSERT_STRING_EQUAL(paths.admin_socket, again.admin_socket);
	folder = iot_strndup(paths.admin_socket, (size_t)(strrchr(paths.admin_socket, '/') - paths.admin_socket));
	ASSERT_OK(iot_fleet_socket_dir(&paths, &err), &err);
	ASSERT_OK(iot_fleet_socket_dir(&paths, &err), &err);
	CU_ASSERT_EQUAL(stat(folder, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0700);
	CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
	ASSERT_STATUS(iot_fleet_socket_dir(&paths, &err), IOT_DENIED, &err);
	iot_fleet_socket_dir_remove(&paths);
	CU_ASSERT_FALSE(iot_fs_exists(folder));
	/* Not through somebody's link. */
	CU_ASSERT_EQUAL(symlink(dir, folder), 0);
	ASSERT_STATUS(iot_fleet_socket_dir(&paths, &err), IOT_DENIED, &err);
	CU_ASSERT_EQUAL(unlink(folder), 0);
	free(folder);
	free(long_dir);
	free(long_name);
	iot_fleet_paths_release(&paths);
	iot_fleet_paths_release(&again);
}

static void test_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct iot_error err = IOT_ERROR_INIT;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port;
	char mine[64];

	CU_ASSERT_EQUAL(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL(listen(fd, 1), 0);
	CU_ASSERT_EQUAL(getsockname(fd, (struct sockaddr *)&address, &len), 0);
	port = ntohs(address.sin_port);
	ASSERT_STATUS(serve_port_check("127.0.0.1", port, &err), IOT_CONFLICT, &err);
	snprintf(mine, sizeof(mine), "port %d is in use (process %ld, ", port, (long)getpid());
	ASSERT_CONTAINS(err.what, mine);
	ASSERT_CONTAINS(err.hint, "--port");
	close(fd);
	ASSERT_OK(serve_port_check("127.0.0.1", port, &err), &err);
	ASSERT_STATUS(serve_port_check("192.0.2.1", port, &err), IOT_SETTINGS, &err);
	ASSERT_STATUS(serve_port_check("no such host", port, &err), IOT_SETTINGS, &err);
}

static void test_lock(void)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct serve_setup first, second;
	pid_t holder = -1;

	make_setup(&first, dir);
	make_setup(&second, dir);
	ASSERT_OK(iot_fs_mkdirs(first.paths.broker_dir, 0700, &err), &err);
	ASSERT_OK(serve_lock_holder(first.paths.lock, &holder, &err), &err);
	CU_ASSERT_EQUAL(holder, 0);
	ASSERT_OK(serve_take_lock(&first, &err), &err);
	ASSERT_OK(serve_lock_holder(first.paths.lock, &holder, &err), &err);
	CU_ASSERT_EQUAL(holder, getpid());
	ASSERT_STATUS(serve_take_lock(&second, &err), IOT_CONFLICT, &err);
	ASSERT_CONTAINS(err.what, "serve is already running for fleet");
	/* An id in it that is not the holder's is not believed. */
	CU_ASSERT_EQUAL(pwrite(first.lock, "1234567\n", 8, 0), 8);
	ASSERT_STATUS(serve_lock_holder(first.paths.lock, &holder, &err), IOT_FAILURE, &err);
	iot_close_p(&first.lock);
	ASSERT_OK(serve_lock_holder(first.paths.lock, &holder, &err), &err);
	CU_ASSERT_EQUAL(holder, 0);
	ASSERT_STATUS(iot_serve_stop(dir, 1000, &err), IOT_NOT_FOUND, &err);
	serve_setup_release(&first);
	serve_setup_release(&second);
}

/* --- logs ------------------------------------------------------------------------------------- */

static void expect_tail(const char *text, int64_t from, const char *expected)
{
	char *path = iot_path(dir, "log"), *tail;

	write_file("log", text);
	tail = serve_log_tail(path, from);
	CU_ASSERT_STRING_EQUAL(tail, expected);
	free(tail);
	free(path);
}

static void test_log_tail(void)
{
	expect_tail("", 0, "");
	expect_tail("2026-11-21T12:56:12: mosquitto starting\n2026-11-21T12:56:13: Error: Address in use\n"
		    "2026-11-21T12:56:13: going\n",
		    0, "Error: Address in use");
	expect_tail("Error: old\nmosquitto starting\nlast words", 11, "last words");
	expect_tail("a\x1b[2J\n", 0, "a?[2J");
}

static void test_log_rotation(void)
{
	char *path = iot_path(dir, "log"), *old = iot_path(dir, "log.1");
	int fd;

	write_file("log", "0123456789");
	fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
	serve_log_rotate(path, 10);
	CU_ASSERT_EQUAL(serve_log_size(path), 10);
	serve_log_rotate(path, 9);
	CU_ASSERT_EQUAL(serve_log_size(path), 0);
	CU_ASSERT_EQUAL(serve_log_size(old), 10);
	/* Whoever has it open goes on at its new end. */
	CU_ASSERT_EQUAL(write(fd, "more", 4), 4);
	CU_ASSERT_EQUAL(serve_log_size(path), 4);
	close(fd);
	free(path);
	free(old);
}

/* --- AppArmor ------------------------------------------------------------------------------------ */

static void test_apparmor(void)
{
	static const char list[] = "sys/kernel/security/apparmor/profiles";
	struct iot_error err = IOT_ERROR_INIT;
	struct serve_setup setup;

	CU_ASSERT_FALSE(serve_apparmor_confines(dir));
	write_file(list, "/usr/bin/man (enforce)\n/usr/sbin/mosquitto (complain)\n/usr/sbin/x (enforce)\n");
	CU_ASSERT_FALSE(serve_apparmor_confines(dir));
	write_file(list, "/usr/bin/man (enforce)\n/usr/sbin/mosquitto (enforce)\n");
	CU_ASSERT_TRUE(serve_apparmor_confines(dir));
	make_setup(&setup, "/home/a/fleet");
	setup.mosquitto = iot_strdup("/usr/sbin/mosquitto");
	CU_ASSERT_EQUAL(serve_apparmor_fail(&setup, &err), IOT_SETTINGS);
	ASSERT_CONTAINS(err.what, "/home/a/fleet");
	ASSERT_CONTAINS(err.hint, "aa-complain /usr/sbin/mosquitto");
	serve_setup_release(&setup);
}

static void test_apparmor_without_root(void)
{
	write_file("sys/module/apparmor/parameters/enabled", "Y\n");
	CU_ASSERT_FALSE(serve_apparmor_confines(dir));
	write_file("etc/apparmor.d/usr.sbin.mosquitto", "profile\n");
	CU_ASSERT_TRUE(serve_apparmor_confines(dir));
	write_file("sys/module/apparmor/parameters/enabled", "N\n");
	CU_ASSERT_FALSE(serve_apparmor_confines(dir));
}

UNIT_MAIN("broker/config", begin, end, {"config", test_config}, {"config_staging", test_config_staging}, {"config_paths", test_config_paths},
	  {"config_file", test_config_file}, {"socket_folder", test_socket_folder}, {"port", test_port},
	  {"lock", test_lock}, {"log_tail", test_log_tail}, {"log_rotation", test_log_rotation},
	  {"apparmor", test_apparmor}, {"apparmor_without_root", test_apparmor_without_root})
