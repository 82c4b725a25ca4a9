/* What serve needs before it starts anything: programs, and a port that nobody has. */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLUGIN_FILE "iotctl_mosquitto.so"
#define DEFAULT_LISTEN "127.0.0.1"
#define DEFAULT_PORT 8883

/* --- the setup ------------------------------------------------------------------------ */

void serve_setup_init(struct serve_setup *setup, const struct iot_serve_options *options)
{
	*setup = (struct serve_setup)SERVE_SETUP_INIT;
	iot_fleet_paths_init(&setup->paths, options->fleet_dir);
	setup->config = iot_path(setup->paths.broker_dir, "mosquitto.conf");
	setup->log = iot_path(setup->paths.broker_dir, "mosquitto.log");
	setup->own_log = iot_path(setup->paths.broker_dir, "serve.log");
	setup->status = iot_path(setup->paths.broker_dir, "serve.json");
	setup->talk = options->talk;
}

void serve_setup_add_staging(struct serve_setup *setup, int port)
{
	const struct iot_serve_options options = {.fleet_dir = setup->paths.dir};
	struct serve_setup *staging = iot_alloc(sizeof(*staging));

	serve_setup_init(staging, &options);
	free(staging->paths.admin_socket);
	free(staging->config);
	free(staging->log);
	staging->paths.admin_socket = iot_strdup(setup->paths.staging_socket);
	staging->config = iot_path(setup->paths.broker_dir, STAGING_CONFIG);
	staging->log = iot_path(setup->paths.broker_dir, "staging.log");
	staging->listen = iot_strdup(setup->listen);
	staging->plugin = iot_strdup(setup->plugin);
	staging->mosquitto = iot_strdup(setup->mosquitto);
	staging->port = port;
	staging->is_staging = true;
	setup->staging = staging;
}

void serve_setup_release(struct serve_setup *setup)
{
	if (setup->staging != NULL)
		serve_setup_release(setup->staging);
	free(setup->staging);
	iot_fleet_paths_release(&setup->paths);
	free(setup->listen);
	free(setup->api_listen);
	free(setup->plugin);
	free(setup->mosquitto);
	free(setup->config);
	free(setup->log);
	free(setup->own_log);
	free(setup->status);
	iot_close_p(&setup->lock);
	*setup = (struct serve_setup)SERVE_SETUP_INIT;
}

/* --- programs ---------------------------------------------------------------------------- */

static enum iot_status find_mosquitto(struct serve_setup *setup, const char *wanted, struct iot_error *err)
{
	setup->mosquitto = iot_process_find(wanted != NULL ? wanted : "mosquitto");
	if (setup->mosquitto != NULL)
		return IOT_OK;
	iot_fail(err, IOT_NOT_FOUND, "program '%s' is not there", wanted != NULL ? wanted : "mosquitto");
	iot_error_hint(err, "'sudo apt-get install mosquitto' installs it");
	return IOT_NOT_FOUND;
}

/* Folder of the running program, without a slash at its end; NULL if it cannot be told. New memory. */
static char *program_folder(void)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (n <= 0)
		return NULL;
	path[n] = '\0';
	slash = strrchr(path, '/');
	if (slash == NULL)
		return NULL;
	*slash = '\0';
	return iot_strdup(path);
}

/* Installed beside the program, or in the build tree it was built in. */
static enum iot_status find_plugin(struct serve_setup *setup, const char *wanted, struct iot_error *err)
{
	static const char *const places[] = {
		"../" IOT_LIBDIR "/iotctl", "../lib/iotctl", ".", "lib", "../lib", "../../lib"};
	IOT_CLEAN(iot_free_p) char *folder = program_folder();

	if (wanted != NULL) {
		IOT_CLEAN(iot_free_p) char *path = iot_path_absolute(wanted);

		if (!iot_fs_exists(path))
			return iot_fail(err, IOT_NOT_FOUND, "the broker plugin '%s' is not there", path);
		setup->plugin = iot_take(path);
		return IOT_OK;
	}
	for (size_t i = 0; folder != NULL && i < IOT_LENGTH(places); i++) {
		IOT_CLEAN(iot_free_p) char *joined = iot_strf("%s/%s/" PLUGIN_FILE, folder, places[i]);
		IOT_CLEAN(iot_free_p) char *path = iot_path_absolute(joined);

		if (iot_fs_exists(path)) {
			setup->plugin = iot_take(path);
			return IOT_OK;
		}
	}
	iot_fail(err, IOT_NOT_FOUND, "the broker plugin '" PLUGIN_FILE "' is not there");
	iot_error_hint(err, "name it with --plugin, or install iotctl completely");
	return IOT_NOT_FOUND;
}

/* --- address and port ------------------------------------------------------------------------ */

static enum iot_status try_bind(const struct addrinfo *address, const char *listen_on, int port, struct iot_error *err)
{
	IOT_CLEAN(iot_close_p) int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	IOT_CLEAN(iot_free_p) char *owner = NULL;
	int on = 1, fault;

	if (fd < 0)
		return iot_fail_errno(err, IOT_FAILURE, errno, "cannot make a socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, 1) == 0)
		return IOT_OK;
	fault = errno;
	if (fault == EADDRINUSE) {
		owner = serve_port_owner(port);
		iot_fail(err, IOT_CONFLICT, "port %d is in use%s", port, owner);
		iot_error_hint(err, "choose another one with --port");
		return IOT_CONFLICT;
	}
	iot_fail_errno(err, fault == EACCES ? IOT_DENIED : IOT_SETTINGS, fault, "cannot listen on '%s' port %d",
		       listen_on, port);
	return fault == EACCES ? IOT_DENIED : IOT_SETTINGS;
}

enum iot_status serve_port_check(const char *listen_on, int port, struct iot_error *err)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	enum iot_status status = IOT_OK;
	char service[16];
	int rc;

	snprintf(service, sizeof(service), "%d", port);
	rc = getaddrinfo(listen_on, service, &hints, &list);
	if (rc != 0)
		return iot_fail(err, IOT_SETTINGS, "cannot listen on '%s': %s", listen_on, gai_strerror(rc));
	for (const struct addrinfo *at = list; at != NULL && status == IOT_OK; at = at->ai_next)
		status = try_bind(at, listen_on, port, err);
	freeaddrinfo(list);
	return status;
}

static enum iot_status choose_address(struct serve_setup *setup, const struct iot_serve_options *options,
				      struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *listen_on = NULL, *port = NULL;
	enum iot_status status = iot_local_meta_get(cloud, "listen", &listen_on, err);
	int64_t number = options->port > 0 ? options->port : DEFAULT_PORT;

	if (status == IOT_OK)
		status = iot_local_meta_get(cloud, "port", &port, err);
	if (status == IOT_OK && options->port <= 0 && port != NULL)
		status = iot_parse_int(port, 1, 65535, &number, err);
	if (status != IOT_OK)
		return status;
	setup->port = (int)number;
	if (options->listen != NULL)
		setup->listen = iot_strdup(options->listen);
	else
		setup->listen = listen_on != NULL ? iot_take(listen_on) : iot_strdup(DEFAULT_LISTEN);
	if (strpbrk(setup->listen, " \t\r\n") != NULL || setup->listen[0] == '\0')
		return iot_fail(err, IOT_SETTINGS, "'%s' is not an address to listen on", setup->listen);
	return IOT_OK;
}

/* The staging endpoint that is wanted now, or was before. */
static enum iot_status choose_staging(struct serve_setup *setup, const struct iot_serve_options *options,
				      struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *kept = NULL;
	int64_t port = options->staging_port;
	enum iot_status status = iot_local_meta_get(cloud, "staging_port", &kept, err);

	if (status == IOT_OK && port == 0 && kept != NULL)
		status = iot_parse_int(kept, 0, 65535, &port, err);
	if (status != IOT_OK || port <= 0)
		return status;
	if (port == setup->port) {
		iot_fail(err, IOT_CONFLICT, "the staging endpoint cannot have the fleet's port %d", setup->port);
		iot_error_hint(err, "choose another one with --staging-port");
		return IOT_CONFLICT;
	}
	serve_setup_add_staging(setup, (int)port);
	return IOT_OK;
}

/* The HTTPS API that is wanted now, or was before. */
static enum iot_status choose_api(struct serve_setup *setup, const struct iot_serve_options *options,
				  struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *kept = NULL;
	IOT_CLEAN(iot_free_p) char *address = NULL;
	int64_t port = options->api_port;
	enum iot_status status = iot_local_meta_get(cloud, "api_port", &kept, err);

	if (status == IOT_OK)
		status = iot_local_meta_get(cloud, "api_listen", &address, err);
	if (status == IOT_OK && port == 0 && kept != NULL)
		status = iot_parse_int(kept, 0, 65535, &port, err);
	if (status != IOT_OK || port <= 0)
		return status;
	if (port == setup->port || (setup->staging != NULL && port == setup->staging->port)) {
		iot_fail(err, IOT_CONFLICT, "the HTTPS API cannot have the port %lld of a broker", (long long)port);
		iot_error_hint(err, "choose another one with --api-port");
		return IOT_CONFLICT;
	}
	setup->api_port = (int)port;
	if (options->api_listen != NULL)
		setup->api_listen = iot_strdup(options->api_listen);
	else
		setup->api_listen = address != NULL ? iot_take(address) : iot_strdup(setup->listen);
	return IOT_OK;
}

/* Later serves do as this one was told to, and folders of new devices name the port where they find it. */
static enum iot_status keep_ports(const struct iot_serve_options *options, struct iot_cloud *cloud,
				  struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	char text[16];

	if (options->port > 0) {
		snprintf(text, sizeof(text), "%d", options->port);
		status = iot_local_meta_set(cloud, "port", text, err);
	}
	if (status == IOT_OK && options->staging_port != 0) {
		snprintf(text, sizeof(text), "%d", options->staging_port > 0 ? options->staging_port : 0);
		status = iot_local_meta_set(cloud, "staging_port", text, err);
	}
	if (status == IOT_OK && options->api_port != 0) {
		snprintf(text, sizeof(text), "%d", options->api_port > 0 ? options->api_port : 0);
		status = iot_local_meta_set(cloud, "api_port", text, err);
	}
	if (status == IOT_OK && options->api_listen != NULL)
		status = iot_local_meta_set(cloud, "api_listen", options->api_listen, err);
	return status;
}

static enum iot_status check_port(const char *address, int port, const char *option, struct iot_error *err)
{
	struct iot_error why = IOT_ERROR_INIT;
	enum iot_status status = serve_port_check(address, port, &why);

	if (status == IOT_CONFLICT)
		snprintf(why.hint, sizeof(why.hint), "choose another one with %s", option);
	if (status != IOT_OK && err != NULL)
		*err = why;
	return status;
}

static enum iot_status check_ports(const struct serve_setup *setup, struct iot_error *err)
{
	enum iot_status status = serve_port_check(setup->listen, setup->port, err);

	if (status == IOT_OK && setup->staging != NULL)
		status = check_port(setup->listen, setup->staging->port, "--staging-port", err);
	if (status == IOT_OK && setup->api_port > 0)
		status = check_port(setup->api_listen, setup->api_port, "--api-port", err);
	return status;
}

enum iot_status serve_preflight(struct serve_setup *setup, const struct iot_serve_options *options,
				struct iot_cloud *cloud, struct iot_error *err)
{
	enum iot_status status = find_mosquitto(setup, options->mosquitto, err);

	if (status == IOT_OK)
		status = find_plugin(setup, options->plugin_path, err);
	if (status == IOT_OK)
		status = choose_address(setup, options, cloud, err);
	if (status == IOT_OK)
		status = choose_staging(setup, options, cloud, err);
	if (status == IOT_OK)
		status = choose_api(setup, options, cloud, err);
	if (status != IOT_OK)
		return status;
	serve_end_stray(setup);
	status = check_ports(setup, err);
	return status == IOT_OK ? keep_ports(options, cloud, err) : status;
}
