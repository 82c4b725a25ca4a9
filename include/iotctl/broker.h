/*
 * What runs beside mosquitto, and the private protocol between our plugin
 * (inside mosquitto) and serve (a client on the broker's unix socket).
 *
 * Towards the plugin: a message to IOT_CONTROL_TOPIC, which only clients of the
 * unix socket may send. Its payload is one verb byte, one byte of arguments, and
 * text fields that end with NUL:
 *   'd' QOS("0"|"1") CLIENT-ID NUL TOPIC NUL PAYLOAD...  deliver straight to that
 *       client, subscribed or not; nothing happens when it is not connected
 *   's' QOS CLIENT-ID NUL TOPIC NUL (LENGTH PAYLOAD)...  the same for a series of
 *       payloads, one at least, each after its length in 4 bytes, the highest first
 *   'k' '0' CLIENT-ID NUL                                disconnect that client
 *
 * From the plugin: what devices publish to $aws/#, to topics that end in "/state"
 * and to those in the registry's table of topics (iot_local_topics_set) reaches
 * serve with the MQTT 5 user properties in topic.h (IOT_PROPERTY_...), put there by
 * the plugin; any that a device sent itself under these names are removed, on
 * whatever topic. A last will goes to such a topic only if that names the client's
 * own thing, since nobody can add to it.
 * Events are JSON objects on IOT_EVENT_PREFIX + "connected" | "disconnected" |
 * "denied", which only clients of the unix socket may receive; one that subscribes
 * to them is told of every device that is connected already:
 *   connected     {clientId, connection, thingName?, certificateId?, address, timestamp, known?: it was there before}
 *   disconnected  {clientId, connection, thingName?, certificateId?, reason, timestamp}
 *   denied        {clientId, thingName?, certificateId?, action, resource, policy?, statement?, sid?, reason, timestamp}
 * Of the plugin in role "staging" a connected event has two members more, certificatePem (the module's birth
 * certificate, which may not be registered) and listens (true: it hears what is delivered to it), and the event is
 * repeated when the module subscribes.
 * `connection` is a number that grows with every connection over the life of
 * the registry (milliseconds at broker start, plus a counter).
 */
#ifndef IOTCTL_BROKER_H
#define IOTCTL_BROKER_H

#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"

#define IOT_CONTROL_TOPIC "$CONTROL/iotctl/v1"

/* Options of the plugin in mosquitto.conf (plugin_opt_...). */
#define IOT_PLUGIN_OPT_REGISTRY "registry"         /* path of registry.db */
#define IOT_PLUGIN_OPT_ADMIN_SOCKET "admin_socket" /* path of the unix listener whose clients are the fleet's own user */
#define IOT_PLUGIN_OPT_ROLE "role"                 /* "fleet" (if absent), or "staging" (optional) */
#define IOT_PLUGIN_OPT_SEALING_KEY "sealing_key" /* file (seal.h); absent: nobody gets in with a shared secret */
#define IOT_PLUGIN_OPT_PROJECT "project"         /* audience of tokens; absent: nobody gets in with one */
#define IOT_PLUGIN_OPT_TOKEN_SKEW "token_skew"   /* seconds by which clocks may differ (optional) */
#define IOT_PLUGIN_OPT_READY "ready"               /* file the plugin creates when it decides (optional) */

/* --- serve ----------------------------------------------------------------- */

/* What a device says by publishing on a topic. Texts are borrowed for the call. */
struct iot_serve_said {
	bool is_state;              /* else an event */
	char thing[IOT_TOPIC_MAX + 1];
	char subfolder[IOT_TOPIC_MAX + 1];
	const char *layout;
	const char *version_member; /* of an event by which configurations are acknowledged; NULL: they are not */
};

/*
 * Which topics carry what devices say is a matter of layouts, which serve knows nothing of: whoever runs it brings this
 * (fleet's iot_talk_...). load is called again when iot_local_talk_version() says so.
 */
struct iot_serve_talk {
	enum iot_status (*load)(struct iot_cloud *cloud, void **ret_talk, struct iot_error *err);
	void (*free)(void *talk); /* takes NULL */
	/* Filters of states or of events, NULL-terminated; and both as iot_local_topics_set() takes them. */
	const char *const *(*filters)(const void *talk, bool states);
	const json_t *(*topics)(const void *talk);
	/* False: `thing` says nothing by this topic. */
	bool (*match)(const void *talk, const char *topic, const char *thing, struct iot_serve_said *ret);
};

struct iot_serve_options {
	const char *fleet_dir;
	const char *listen;      /* address of the device listener; NULL: the fleet's ("127.0.0.1") */
	int port;                /* 0: the fleet's (8883); another one becomes the fleet's */
	bool detach;             /* return when it listens; the rest goes on in the background */
	const char *plugin_path; /* NULL: beside the program, or the installed one */
	const char *mosquitto;   /* program; NULL: looked up */
	/*
	 * Listeners for devices without certificates: TLS-PSK, and JWTs as passwords. As staging_port. project: the audience
	 * of tokens, kept; NULL: as it was, at first the fleet's name. token_skew: seconds by which clocks may differ; 0: as it was, < 0: none.
	 */
	int psk_port, jwt_port;
	const char *project;
	int64_t token_skew;
	int staging_port;        /* of the staging endpoint, kept for later; 0: as it was; < 0: none from now on */
	const char *api_listen;  /* address of the HTTPS API; NULL: the fleet's, or that of the device listener */
	int api_port;            /* of the HTTPS API, kept for later; 0: as it was; < 0: none from now on */
	const struct iot_serve_talk *talk; /* NULL: nothing but what is said on topics that end in "/state" */
};

/*
 * Run the local cloud until SIGTERM or SIGINT (or, with detach, return once it
 * listens). Errors: IOT_CONFLICT another serve runs, or the port is in use (by
 * whom, where it can be told); IOT_NOT_FOUND mosquitto or the plugin is missing
 * (with the package's name); IOT_SETTINGS an AppArmor profile keeps mosquitto out
 * of the fleet directory (with the cure).
 */
IOT_CHECK enum iot_status iot_serve_run(const struct iot_serve_options *options, struct iot_error *err);

/* Ask the serve of a fleet to stop and wait until all it had started is gone. IOT_NOT_FOUND: none runs. */
IOT_CHECK enum iot_status iot_serve_stop(const char *fleet_dir, int timeout_ms, struct iot_error *err);

/* What runs: JSON {running, pid, mosquittoPid, listen, port, stagingPort?, pskPort?, jwtPort?, apiListen?, apiPort?, since,
 * connected, version}. */
IOT_CHECK enum iot_status iot_serve_status(const char *fleet_dir, json_t **ret, struct iot_error *err);

#endif
