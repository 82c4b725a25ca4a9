/* What serve needs before it starts anything: programs, and a port that nobody has. */
#include "broker/serve_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/jwt.h"
#include "iotctl/text.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stddef.h>
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
	free(setup->project);
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

/* The ports that one may have or not: whose they are, where they are kept, what they are chosen with. */
static const struct optional_port {
	const char *whose, *meta, *option;
	size_t given,
		chosen; /* in struct iot_serve_options, in struct serve_setup; 0: of the staging endpoint's setup */
} optional_ports[] = {
	{"the staging endpoint", "staging_port", "--staging-port", offsetof(struct iot_serve_options, staging_port), 0},
	{"TLS-PSK", "psk_port", "--psk-port", offsetof(struct iot_serve_options, psk_port),
	 offsetof(struct serve_setup, psk_port)},
	{"the listener for tokens", "jwt_port", "--jwt-port", offsetof(struct iot_serve_options, jwt_port),
	 offsetof(struct serve_setup, jwt_port)},
	{"the HTTPS API", "api_port", "--api-port", offsetof(struct iot_serve_options, api_port),
	 offsetof(struct serve_setup, api_port)},
};

static int given_port(const struct iot_serve_options *options, const struct optional_port *port)
{
	return *(const int *)(const void *)((const char *)options + port->given);
}

static int chosen_port(const struct serve_setup *setup, const struct optional_port *port)
{
	if (port->chosen == 0)
		return setup->staging == NULL ? 0 : setup->staging->port;
	return *(const int *)(const void *)((const char *)setup + port->chosen);
}

/* What is wanted now, or was before. */
static enum iot_status choose_optional(struct serve_setup *setup, const struct optional_port *which,
				       const struct iot_serve_options *options, struct iot_cloud *cloud,
				       struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *kept = NULL;
	int64_t port = given_port(options, which);
	enum iot_status status = iot_local_meta_get(cloud, which->meta, &kept, err);

	if (status == IOT_OK && port == 0 && kept != NULL)
		status = iot_parse_int(kept, 0, 65535, &port, err);
	if (status != IOT_OK || port <= 0)
		return status;
	if (which->chosen == 0)
		serve_setup_add_staging(setup, (int)port);
	else
		*(int *)(void *)((char *)setup + which->chosen) = (int)port;
	return IOT_OK;
}

/* For whom tokens are made, and how wrong clocks may be. */
static enum iot_status choose_project(struct serve_setup *setup, const struct iot_serve_options *options,
				      struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *skew = NULL;
	enum iot_status status = IOT_OK;

	setup->token_skew = options->token_skew > 0 ? options->token_skew : options->token_skew < 0 ? 0 : IOT_JWT_SKEW;
	if (options->project != NULL)
		setup->project = iot_strdup(options->project);
	else
		status = iot_local_meta_get(cloud, "project", &setup->project, err);
	if (status == IOT_OK && setup->project == NULL)
		status = iot_local_meta_get(cloud, "name", &setup->project, err);
	if (status == IOT_OK && options->token_skew == 0)
		status = iot_local_meta_get(cloud, "token_skew", &skew, err);
	if (status == IOT_OK && skew != NULL)
		status = iot_parse_int(skew, 0, IOT_JWT_LIFETIME_MAX, &setup->token_skew, err);
	if (status == IOT_OK &&
	    (setup->project == NULL || strpbrk(setup->project, "/ \t\r\n") != NULL || setup->project[0] == '\0'))
		return iot_fail(err, IOT_SETTINGS, "'%s' cannot be a project's id",
				setup->project == NULL ? "" : setup->project);
	return status;
}

static enum iot_status choose_api_address(struct serve_setup *setup, const struct iot_serve_options *options,
					  struct iot_cloud *cloud, struct iot_error *err)
{
	IOT_CLEAN(iot_free_p) char *address = NULL;
	enum iot_status status = iot_local_meta_get(cloud, "api_listen", &address, err);

	if (status != IOT_OK)
		return status;
	if (options->api_listen != NULL)
		setup->api_listen = iot_strdup(options->api_listen);
	else
		setup->api_listen = address != NULL ? iot_take(address) : iot_strdup(setup->listen);
	return IOT_OK;
}

static enum iot_status choose_ports(struct serve_setup *setup, const struct iot_serve_options *options,
				    struct iot_cloud *cloud, struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < IOT_LENGTH(optional_ports) && status == IOT_OK; i++)
		status = choose_optional(setup, &optional_ports[i], options, cloud, err);
	if (status == IOT_OK && setup->jwt_port > 0)
		status = choose_project(setup, options, cloud, err);
	if (status == IOT_OK && setup->api_port > 0)
		status = choose_api_address(setup, options, cloud, err);
	return status;
}

static enum iot_status keep_number(struct iot_cloud *cloud, const char *key, int64_t number, struct iot_error *err)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, number);
	return iot_local_meta_set(cloud, key, text, err);
}

/* Later serves do as this one was told to, and folders of new devices name the port where they find it. */
static enum iot_status keep_ports(const struct iot_serve_options *options, struct iot_cloud *cloud,
				  struct iot_error *err)
{
	enum iot_status status = IOT_OK;

	if (options->port > 0)
		status = keep_number(cloud, "port", options->port, err);
	for (size_t i = 0; i < IOT_LENGTH(optional_ports) && status == IOT_OK; i++) {
		int port = given_port(options, &optional_ports[i]);

		if (port != 0)
			status = keep_number(cloud, optional_ports[i].meta, port > 0 ? port : 0, err);
	}
	if (status == IOT_OK && options->project != NULL)
		status = iot_local_meta_set(cloud, "project", options->project, err);
	if (status == IOT_OK && options->token_skew != 0)
		status = keep_number(cloud, "token_skew", options->token_skew > 0 ? options->token_skew : 0, err);
	if (status == IOT_OK && options->api_listen != NULL)
		status = iot_local_meta_set(cloud, "api_listen", options->api_listen, err);
	return status;
}

/* Free, and no other listener's. */
static enum iot_status check_optional(const struct serve_setup *setup, const struct optional_port *which,
				      struct iot_error *err)
{
	int port = chosen_port(setup, which);
	bool taken = port == setup->port, is_api = which->chosen == offsetof(struct serve_setup, api_port);
	struct iot_error why = IOT_ERROR_INIT;
	enum iot_status status;

	if (port == 0)
		return IOT_OK;
	for (const struct optional_port *before = optional_ports; before < which; before++)
		taken = taken || chosen_port(setup, before) == port;
	status = taken ? iot_fail(&why, IOT_CONFLICT, "%s cannot have %s port %d", which->whose,
				  port == setup->port ? "the fleet's" : "another listener's", port)
		       : serve_port_check(is_api ? setup->api_listen : setup->listen, port, &why);
	if (status == IOT_CONFLICT)
		snprintf(why.hint, sizeof(why.hint), "choose another one with %s", which->option);
	if (status != IOT_OK && err != NULL)
		*err = why;
	return status;
}

static enum iot_status check_ports(const struct serve_setup *setup, struct iot_error *err)
{
	enum iot_status status = serve_port_check(setup->listen, setup->port, err);

	for (size_t i = 0; i < IOT_LENGTH(optional_ports) && status == IOT_OK; i++)
		status = check_optional(setup, &optional_ports[i], err);
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
		status = choose_ports(setup, options, cloud, err);
	if (status != IOT_OK)
		return status;
	serve_end_stray(setup);
	status = check_ports(setup, err);
	return status == IOT_OK ? keep_ports(options, cloud, err) : status;
}
