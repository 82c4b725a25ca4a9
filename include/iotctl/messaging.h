/*
 * Publishing and subscribing as a person or a script does it: many messages with
 * a window of unacknowledged ones, limits checked before anything is sent, and
 * an exact account of what was acknowledged.
 */
#ifndef IOTCTL_MESSAGING_H
#define IOTCTL_MESSAGING_H

#include "iotctl/buf.h"
#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/layout.h"
#include "iotctl/mqtt.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- who and where --------------------------------------------------------------------- */

/* An operator's identity for the broker, from its profile. */
struct iot_messaging_operator {
	const char *name;
	const char *broker;                 /* HOST:PORT, or [ADDRESS]:PORT */
	const char *certificate, *key, *ca; /* PEM */
	const char *alpn;                   /* as in struct iot_mqtt_options */
};

struct iot_messaging_where {
	const char *fleet_dir;                         /* the fleet's own machine: the admin socket of its broker */
	const struct iot_messaging_operator *as_operator; /* or from elsewhere, as this operator, over TLS */
	struct iot_cloud *cloud; /* iot_publish only: over HTTPS instead (operation Publish of iot-data) */
	const char *device_dir; /* or as this device, from its folder (sim.h), over TLS; it wins */
	int window;             /* QoS 1 messages not yet acknowledged; 0: IOT_WINDOW_DEFAULT */
};

#define IOT_WINDOW_DEFAULT 64
#define IOT_WINDOW_MAX 1000

/*
 * Connect with MQTT 5: the one place that chooses how. *ret_who says as whom, for people ("'pump-1' at 'host:8883'");
 * new memory. A device that is connected itself loses its connection to this one; an operator's client ids are
 * "operator-NAME-" and eight random digits. IOT_NOT_FOUND, IOT_USAGE, IOT_DENIED for a device folder that is not good,
 * IOT_SETTINGS for an operator's profile; else as iot_mqtt_connect.
 */
IOT_CHECK enum iot_status iot_messaging_connect(const struct iot_messaging_where *where,
						const struct iot_mqtt_events *events, void *data, int timeout_ms,
						struct iot_mqtt **ret, char **ret_who, struct iot_error *err);

/* --- rules and formats ------------------------------------------------------------------- */

/* What AWS IoT refuses, before it is sent: the topic's form, the payload's size, QoS 2. IOT_USAGE naming the rule. */
IOT_CHECK enum iot_status iot_message_check(const char *topic, size_t payload_len, int qos, struct iot_error *err);
IOT_CHECK enum iot_status iot_filter_check(const char *filter, int qos, struct iot_error *err);

enum iot_payload_format { IOT_PAYLOAD_TEXT, IOT_PAYLOAD_HEX, IOT_PAYLOAD_BASE64, IOT_PAYLOAD_JSON };
/* In the order of the enum, NULL-terminated. */
extern const char *const iot_payload_format_names[];

/*
 * From what a person wrote to a payload, appended. Text: the bytes as they are. Hex and base64: white space at the end
 * is skipped. JSON: must be one value, sent as written. IOT_USAGE when it is malformed.
 */
IOT_CHECK enum iot_status iot_payload_read(enum iot_payload_format format, const char *text, size_t len,
					   struct iot_buf *out, struct iot_error *err);
/*
 * Members "format" and "payload" of a message's record. What is not UTF-8 becomes base64; asked for JSON, what is no
 * JSON becomes text.
 */
void iot_payload_show(enum iot_payload_format format, const void *payload, size_t len, json_t *record);

/* --- publish ------------------------------------------------------------------------------- */

/* {name} and {thing} in a topic become the first, {type} the second. */
struct iot_publish_device {
	char *thing, *type; /* type "" for none */
	/* Of iot_publish_role: */
	char *topic;
	int qos;
	bool retain;
};

/* One message that was not taken: by a rule (before it was sent), or by the broker. */
struct iot_publish_refusal {
	int64_t number;    /* of the message, from 1 */
	int64_t line;      /* of the input; 0 without lines */
	const char *topic; /* NULL if the line was not even a message */
	const char *reason;
};

/*
 * The devices that are meant: `names` (thing names or aliases, NULL-terminated or NULL), those of a group (NULL: none),
 * or all. Each once, in this order. Free with iot_publish_devices_free. IOT_NOT_FOUND for a name that is none, or when
 * there are none at all.
 */
IOT_CHECK enum iot_status iot_publish_devices(struct iot_cloud *cloud, const char *const *names, const char *group,
					      bool all, struct iot_publish_device **ret, size_t *ret_count,
					      struct iot_error *err);
/* Give each of them its topic of a role, as the layout of its type has it, with QoS and retain; subfolder NULL: none. */
IOT_CHECK enum iot_status iot_publish_role(struct iot_cloud *cloud, enum iot_role role, const char *subfolder,
					   struct iot_publish_device *devices, size_t count, struct iot_error *err);
void iot_publish_devices_free(struct iot_publish_device *devices, size_t count);

struct iot_publish_options {
	/* NULL-terminated templates. Without any, lines are JSON objects {topic, payload, format?, qos?, retain?}. */
	const char *const *topics;
	const struct iot_publish_device
		*devices; /* each topic for each of them; a topic must then have a placeholder */
	size_t device_count;
	bool by_role; /* the one topic is "", and stands for that of each device with its QoS and retain */

	const void *payload; /* the message */
	size_t payload_len;
	int lines_fd;                   /* or, if >= 0: every line of this descriptor is one; empty lines are skipped */
	enum iot_payload_format format; /* of lines; a JSON line without member "format" is of this one */

	int qos;
	bool retain;
	int64_t count;      /* repeat so often; with lines: at most so many lines; 0: once, all */
	int64_t per_minute; /* at most so many messages a minute; 0: as fast as they are acknowledged */
	int64_t timeout_ms; /* for the connection, and for any acknowledgement to come */
	const char *resume; /* journal of what was acknowledged: that is skipped, the rest is sent; NULL: none */

	bool (*interrupted)(void *data); /* asked often; may be NULL */
	int interrupt_fd;                /* becomes readable then; -1: none */
	void (*connected)(const char *who, void *data);
	void (*refused)(const struct iot_publish_refusal *refusal, void *data);
	void (*progress)(int64_t done, void *data);
	void *data;
};
/*
 * Publish. Topics and payload that break a rule: IOT_USAGE before anything is sent; a line that does: it is refused,
 * and the others are sent. Then *ret_record is set, whatever the status:
 *   {acknowledged, sent (QoS 0), refused, skipped (by the journal), rest, seconds, unacknowledged: [{number, topic}]}
 * `rest` counts what was neither sent nor refused when it ended early, as far as the input is known, and
 * `unacknowledged` names it (the first 1000). IOT_OK; IOT_PARTIAL: some were refused; IOT_USAGE: all by a rule;
 * IOT_DENIED: all by the broker, or it ended the connection; IOT_AGAIN: the broker is gone; IOT_TIMEOUT;
 * IOT_INTERRUPTED. The journal: IOT_CONFLICT if it is of other messages or in use, IOT_USAGE if it is none.
 */
IOT_CHECK enum iot_status iot_publish(const struct iot_messaging_where *where,
				      const struct iot_publish_options *options, json_t **ret_record,
				      struct iot_error *err);

/* --- subscribe ------------------------------------------------------------------------------ */

struct iot_subscribe_options {
	const char *const *filters; /* NULL-terminated */
	int qos;
	int64_t count;      /* end after so many messages; 0: never */
	int64_t timeout_ms; /* end after this; 0: never */
	int64_t connect_ms; /* for the connection and each subscription */
	bool no_retained;   /* skip messages that were retained before */
	bool unchecked;     /* filters may be the fleet's own ($iotctl/), and are not checked by AWS IoT's rules */
	enum iot_payload_format format;

	bool (*interrupted)(void *data);
	int interrupt_fd;
	void (*subscribed)(const char *who, void *data); /* all subscriptions are granted */
	bool (*refused)(const char *filter, void *data); /* one is not: true to go on without it; NULL: fail */
	/* {time, topic, qos, retain, payload, format, responseTopic?, correlationData?, userProperties?}; borrowed. */
	enum iot_status (*message)(const json_t *record, void *data, struct iot_error *err);
	void *data;
};
/*
 * Subscribe and pass on what arrives until one of the ends is reached. IOT_DENIED: a subscription was refused, or the
 * broker ended the connection; IOT_TIMEOUT: fewer than `count` messages came in time; IOT_INTERRUPTED is not a failure
 * of this one: it returns IOT_OK when nothing was counted. IOT_AGAIN: the broker is gone.
 */
IOT_CHECK enum iot_status iot_subscribe(const struct iot_messaging_where *where,
					const struct iot_subscribe_options *options, int64_t *ret_count,
					struct iot_error *err);

#endif
