/*
 * Inside serve: one process with one loop (loop.c) that owns the registry, a
 * supervised mosquitto and the connection to it (link.c), and gives what arrives
 * to the services. serve.c prepares all that, in the background when asked.
 */
#ifndef IOTCTL_BROKER_SERVE_PRIVATE_H
#define IOTCTL_BROKER_SERVE_PRIVATE_H

#include "broker/services.h"
#include "iotctl/broker.h"
#include "iotctl/local.h"
#include "iotctl/mqtt.h"
#include "iotctl/process.h"

#include <poll.h>

#define SERVE_CLIENT_ID "iotctl-serve"
#define STAGING_CONFIG "staging.conf"
#define SERVE_LOG_MAX (1024 * 1024) /* of serve.log, when it starts */
#define MOSQUITTO_LOG_MAX (8 * 1024 * 1024)

/* --- what serve runs with (preflight.c) ------------------------------------------ */

struct serve_setup {
	struct iot_fleet_paths paths;
	char *listen, *plugin, *mosquitto;
	char *api_listen; /* NULL: there is no HTTPS API */
	char *config, *log, *own_log, *status; /* broker/: mosquitto.conf, mosquitto.log, serve.log, serve.json */
	int port, api_port;
	int psk_port, jwt_port;      /* 0: no such listener */
	char *project;               /* the audience of tokens; NULL: without a listener for them */
	int64_t token_skew;          /* seconds */
	int lock;                    /* descriptor of the held lock; -1 */
	bool is_staging;             /* the setup of the staging endpoint's mosquitto */
	struct serve_setup *staging; /* NULL: there is no staging endpoint */
	const struct iot_serve_talk *talk;
};
#define SERVE_SETUP_INIT                                                                                               \
	{                                                                                                              \
		.lock = -1                                                                                             \
	}

void serve_setup_release(struct serve_setup *setup);
/* Add the setup of a staging endpoint to one that is complete. */
void serve_setup_add_staging(struct serve_setup *setup, int port);
/* Paths, and whatever of the options needs no registry. */
void serve_setup_init(struct serve_setup *setup, const struct iot_serve_options *options);
/* Take the lock and write our pid into it. IOT_CONFLICT names the one that has it. */
IOT_CHECK enum iot_status serve_take_lock(struct serve_setup *setup, struct iot_error *err);
/* Programs, address and port. Fails as iot_serve_run() says. */
IOT_CHECK enum iot_status serve_preflight(struct serve_setup *setup, const struct iot_serve_options *options,
					  struct iot_cloud *cloud, struct iot_error *err);
/* Is the port free on that address? IOT_CONFLICT: in use, and by whom where it can be told. */
IOT_CHECK enum iot_status serve_port_check(const char *listen, int port, struct iot_error *err);
/* " (process 17, mosquitto)" of the process that listens on a TCP port, "" where it cannot be told. New memory. */
char *serve_port_owner(int port);

/* --- mosquitto.conf (config.c) ---------------------------------------------------- */

/* Write the broker's configuration, 0600. IOT_SETTINGS: a path that such a file cannot hold. */
IOT_CHECK enum iot_status serve_config_write(const struct serve_setup *setup, struct iot_error *err);
/* The same as text, for tests. */
IOT_CHECK enum iot_status serve_config_text(const struct serve_setup *setup, struct iot_buf *out,
					    struct iot_error *err);

/* --- logs (logs.c) ------------------------------------------------------------------ */

/* If the file is longer than `max`, keep it as PATH.1 and start it anew, for writers that append. */
void serve_log_rotate(const char *path, int64_t max);
/* The last line of a log behind byte `from` that speaks of an error, or the last one; "" if none. New memory. */
char *serve_log_tail(const char *path, int64_t from);
int64_t serve_log_size(const char *path);

/* --- AppArmor (apparmor.c) ------------------------------------------------------------ */

/* Is a profile in force that confines mosquitto? `root` is "" but in tests. */
bool serve_apparmor_confines(const char *root);
/* Say so in an error object, with the cure. */
enum iot_status serve_apparmor_fail(const struct serve_setup *setup, struct iot_error *err);

/* --- the broker and the connection to it (link.c) ---------------------------------------- */

struct serve_link;

struct serve_link_events {
	/* Connected, nothing subscribed yet. */
	void (*up)(void *data);
	void (*down)(void *data);
	void (*message)(const struct iot_mqtt_message *message, void *data);
	void (*subscribed)(int mid, bool granted, void *data);
	void (*published)(int mid, int reason_code, void *data);
	/* mosquitto was started, or has ended (pid 0). */
	void (*process)(pid_t pid, void *data);
};

IOT_CHECK enum iot_status serve_link_new(const struct serve_setup *setup, const struct serve_link_events *events,
					 void *data, struct serve_link **ret, struct iot_error *err);
void serve_link_free(struct serve_link *link);
void serve_link_free_p(struct serve_link **link);
/* Descriptors for poll(2): at most 2. Returns how many. */
nfds_t serve_link_poll(const struct serve_link *link, struct pollfd fds[2]);
/* When step must be called at the latest, monotonic ms. */
int64_t serve_link_due(const struct serve_link *link);
/*
 * Do what is to be done: start and restart mosquitto, connect, read, see whether it is alive. Fails only while it has
 * never been up: then with what keeps it from starting.
 */
IOT_CHECK enum iot_status serve_link_step(struct serve_link *link, const struct pollfd *fds, nfds_t count,
					  struct iot_error *err);
struct iot_mqtt *serve_link_mqtt(struct serve_link *link);
bool serve_link_is_up(const struct serve_link *link);
pid_t serve_link_pid(const struct serve_link *link);
/* End mosquitto in order and wait for it. */
void serve_link_stop(struct serve_link *link);

/* --- the outbox (notify.c) ----------------------------------------------------------------- */

struct notify;

struct notify *notify_new(struct iot_cloud *cloud, const struct broker_port *port);
void notify_free(struct notify *notify);
/* Connected: everything that was on its way is said again. */
void notify_up(struct notify *notify, struct iot_mqtt *mqtt);
void notify_down(struct notify *notify);
/* There may be new rows. */
void notify_wake(struct notify *notify);
void notify_published(struct notify *notify, int mid, int reason_code);
/*
 * A thing that connects is told a configuration that it has not acknowledged; soon after the broker started also what
 * jobs it has pending: its request may have been lost.
 */
void notify_connected(struct notify *notify, const char *thing);
/* Say what is due. Returns when to come again, monotonic ms; INT64_MAX: when something happens. */
int64_t notify_run(struct notify *notify);

/* --- what devices report of themselves (reports.c) ------------------------------------------- */

struct reports;

struct reports *reports_new(struct iot_cloud *cloud);
void reports_free(struct reports *reports);
/* Nobody is connected until they are told of again: a new broker. */
void reports_reset(struct reports *reports);
/* A connection came or went: an event of the plugin, with "connected". Takes the object over. */
void reports_presence(struct reports *reports, json_t *event);
/* The state a thing reported, recorded at once when the registry takes it. */
void reports_state(struct reports *reports, const char *thing, const json_t *state);
/* An event of a thing that may acknowledge its configuration. */
void reports_event(struct reports *reports, const char *thing, const json_t *event);
/* Record what waits, unless an attempt failed just now (`last`: all the same). */
void reports_flush(struct reports *reports, bool last);

/* --- events on AWS IoT's topics (lifecycle.c) -------------------------------------------------- */

/* Say to whoever subscribed that a client came or went: an event of the plugin. */
void lifecycle_say(struct iot_mqtt *mqtt, bool connected, const json_t *event);

/* --- what devices say, by layouts (said.c) ------------------------------------------------------- */

struct said;

struct said *said_new(const struct serve_setup *setup, struct iot_cloud *cloud, struct reports *reports);
void said_free(struct said *said);
/* Layouts and routes as they are now; what cannot be read stays as it was, with a word in the log. */
void said_load(struct said *said);
/* Something in the registry changed: if it were they, read them again. */
void said_changed(struct said *said);
/* Connected: returns how many subscriptions were asked for. */
size_t said_up(struct said *said, struct iot_mqtt *mqtt);
void said_down(struct said *said);
/* A message of a device. False: it is none of these. */
bool said_take(struct said *said, const struct broker_request *request);
/* Descriptors for poll(2), SAID_FDS_MAX at most; returns how many. */
#define SAID_FDS_MAX (2 * 32)
nfds_t said_poll(const struct said *said, struct pollfd *fds);
/* Do what is to be done. Returns when to come again, monotonic ms. */
int64_t said_step(struct said *said);
/* Now and then. */
void said_housekeeping(struct said *said);
/* The end: what waits is delivered as far as that is possible in so many ms. */
void said_stop(struct said *said, int timeout_ms); /* takes NULL */

/* --- status and stop (status.c) --------------------------------------------------------------- */

struct serve_state {
	pid_t mosquitto, staging;
	int64_t since; /* wall-clock ms */
};
IOT_CHECK enum iot_status serve_status_write(const struct serve_setup *setup, const struct serve_state *state,
					     struct iot_error *err);
/* The process that holds a fleet's lock; 0: none. */
IOT_CHECK enum iot_status serve_lock_holder(const char *lock, pid_t *ret, struct iot_error *err);
/* End a mosquitto of this fleet that outlived its serve (it was stopped when serve died). */
void serve_end_stray(const struct serve_setup *setup);

/* --- the staging endpoint (staging.c) ----------------------------------------------------------- */

struct staging;

/* Its own mosquitto, and whoever is there. `changed` is called when that was started, has ended, or is up. */
IOT_CHECK enum iot_status staging_new(const struct serve_setup *setup, struct iot_cloud *cloud,
				      void (*changed)(void *data), void *data, struct staging **ret,
				      struct iot_error *err);
/* All take NULL: there is none, which is always ready and has nothing to do. */
void staging_free(struct staging *staging);
bool staging_is_ready(const struct staging *staging);
pid_t staging_pid(const struct staging *staging);
/* As serve_link_poll(), serve_link_due() and serve_link_step(). */
nfds_t staging_poll(const struct staging *staging, struct pollfd fds[2]);
int64_t staging_due(const struct staging *staging);
IOT_CHECK enum iot_status staging_step(struct staging *staging, const struct pollfd *fds, nfds_t count,
				       struct iot_error *err);
/* The module was claimed: if it is there, it is taken in. */
void staging_claimed(struct staging *staging, const char *uid);

/* --- the loop (loop.c) ------------------------------------------------------------------------- */

/*
 * Run until SIGTERM or SIGINT. `ready` is called once the broker listens. Fails when the broker cannot be started.
 */
IOT_CHECK enum iot_status serve_loop(const struct serve_setup *setup, struct iot_cloud *cloud,
				     void (*ready)(void *data), void *data, struct iot_error *err);

#endif
