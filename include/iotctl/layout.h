/*
 * Topic layouts: which topics carry a device's configuration, commands, replies,
 * events and state, and what it says to other devices. A layout is a JSON file
 * (schema: man/iotctl-layout.json); some are compiled in, a fleet's own are files
 * layouts/NAME.json in its directory. Each thing type may have its own layout.
 *
 * A topic template is a topic whose levels may be placeholders, each alone in
 * its level:
 *   {thing}      name of the device
 *   {type}       its thing type; a device without one has no such level
 *   {peer}       name of another device (role peer)
 *   {token}      what tells one command's reply from another's (role reply)
 *   {subfolder}  last: any number of levels, none as well (roles command and event)
 */
#ifndef IOTCTL_LAYOUT_H
#define IOTCTL_LAYOUT_H

#include "iotctl/buf.h"
#include "iotctl/cloud.h"
#include "iotctl/error.h"
#include "iotctl/topic.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define IOT_LAYOUT_TEXT_MAX ((size_t)64 * 1024) /* of a layout file */
#define IOT_LAYOUT_NAME_MAX 64
#define IOT_LAYOUT_DEFAULT "aws"

enum iot_role {
	IOT_ROLE_CONFIG,
	IOT_ROLE_COMMAND,
	IOT_ROLE_REPLY,
	IOT_ROLE_EVENT,
	IOT_ROLE_STATE,
	IOT_ROLE_PEER, /* device to device; the only one that a layout may do without */
	IOT_ROLE_COUNT
};

enum iot_direction { IOT_TO_DEVICE, IOT_FROM_DEVICE, IOT_BOTH_WAYS };

/* How a device says that it has a version of its configuration. */
enum iot_acknowledge {
	IOT_ACK_SHADOW, /* it reports the named shadow "config" (AWS's manner) */
	IOT_ACK_STATE,  /* member version_member of its state */
	IOT_ACK_EVENT,  /* member version_member of an event */
	IOT_ACK_NONE    /* it does not */
};

/* How the reply to a command is known. */
enum iot_correlation {
	IOT_CORRELATE_MQTT5,  /* response topic and correlation data of MQTT 5 */
	IOT_CORRELATE_PAYLOAD /* member token_member of the command and of its reply */
};

/* One role as the layout says. Borrowed from the layout. */
struct iot_layout_role {
	const char *topic; /* template. Peer: of the other device; NULL if this one says nothing to others */
	const char *inbox; /* peer: template of the device's own topic, NULL if others say nothing to it */
	int qos;
	bool retain;
	enum iot_direction direction;
	enum iot_acknowledge acknowledge; /* config */
	const char *version_member;       /* config; NULL unless acknowledged in state or event */
	enum iot_correlation correlation; /* command */
	const char *token_member;         /* command; NULL unless correlated in the payload */
};

struct iot_layout;

/* "config" ... "peer"; and back: false if there is none of that name. */
const char *iot_role_name(enum iot_role role);
bool iot_role_parse(const char *name, enum iot_role *ret);
/* "to-device", "from-device", "both" */
const char *iot_direction_name(enum iot_direction direction);

/*
 * Everything that is wrong with a layout: array of {where, rule, message, hint?}; empty when it is good. Rules, whose
 * names are stable: member, value, missing-role, placeholder, topic (a limit of AWS IoT, named), qos, retain,
 * direction, loop (a device would receive what it publishes), shared-topic. `layout` need not be an object. New
 * reference.
 */
json_t *iot_layout_check(const json_t *layout);

/* Parse a layout file. IOT_USAGE with the first finding; `subject` names the text in messages. */
IOT_CHECK enum iot_status iot_layout_parse(const char *text, size_t len, const char *subject, struct iot_layout **ret,
					   struct iot_error *err);
void iot_layout_free(struct iot_layout *layout);
void iot_layout_free_p(struct iot_layout **layout); /* for IOT_CLEAN */

const char *iot_layout_name(const struct iot_layout *layout);
const char *iot_layout_description(const struct iot_layout *layout);
/* The file as JSON. Borrowed. */
const json_t *iot_layout_json(const struct iot_layout *layout);

/* The role for devices of a type (NULL: of none). NULL if the layout has none, which is so for peer only. */
const struct iot_layout_role *iot_layout_role(const struct iot_layout *layout, enum iot_role role, const char *type);

/* --- topics --------------------------------------------------------------------------- */

/* What the placeholders stand for. */
struct iot_topic_names {
	const char *thing;
	const char *type; /* NULL in a topic: none. In a filter NULL: any, "": none */
	const char *peer;
	const char *token;
	const char *subfolder; /* NULL: none in a topic, any in a filter */
};

/*
 * The topic of a role, checked against AWS IoT's rules; new memory. IOT_USAGE when a name is missing that the template
 * needs, or is none for a topic, or the topic breaks a rule; IOT_NOT_FOUND when the layout has no such role.
 */
IOT_CHECK enum iot_status iot_layout_topic(const struct iot_layout *layout, enum iot_role role,
					   const struct iot_topic_names *names, char **ret, struct iot_error *err);
/*
 * The filter to subscribe to for a role; names not given stand for any. For role peer it is the inbox. New memory.
 */
IOT_CHECK enum iot_status iot_layout_filter(const struct iot_layout *layout, enum iot_role role,
					    const struct iot_topic_names *names, char **ret, struct iot_error *err);

/*
 * What a device must know of its layout, for its folder: the roles as in the layout file, without directions, their
 * topics with its names filled in; {peer}, {token} and {subfolder} are left. New reference. Fails as iot_layout_topic.
 */
IOT_CHECK enum iot_status iot_layout_device_topics(const struct iot_layout *layout, const char *thing, const char *type,
						   json_t **ret, struct iot_error *err);

/* Whose topic, and what for. Absent names are "". */
struct iot_topic_match {
	enum iot_role role;
	char thing[IOT_TOPIC_MAX + 1], type[IOT_TOPIC_MAX + 1], token[IOT_TOPIC_MAX + 1], subfolder[IOT_TOPIC_MAX + 1];
};
/*
 * What a topic is in this layout; false if nothing. Where it could be two things it is the one said first: config,
 * command, reply, state, peer (as somebody's inbox), event.
 */
bool iot_layout_match(const struct iot_layout *layout, const char *topic, struct iot_topic_match *ret);

/* --- what all devices say --------------------------------------------------------------- */

/* The layouts of all thing types of a fleet, as they are now. */
struct iot_talk;

/* Read them. One that cannot be read is left out with a word in the log. */
IOT_CHECK enum iot_status iot_talk_new(struct iot_cloud *cloud, struct iot_talk **ret, struct iot_error *err);
void iot_talk_free(struct iot_talk *talk);
void iot_talk_free_p(struct iot_talk **talk); /* for IOT_CLEAN */

/* Filters for the topics of a role (not peer), none of them inside another one; NULL-terminated. Borrowed. */
const char *const *iot_talk_filters(const struct iot_talk *talk, enum iot_role role);
/* For all of roles event and state, as iot_local_topics_set takes it: filter to the level that is the thing's name. */
const json_t *iot_talk_topics(const struct iot_talk *talk);

struct iot_talk_match {
	const char *layout;         /* its name */
	const char *version_member; /* of an event by which configurations are acknowledged; NULL: they are not */
	struct iot_topic_match topic;
};
/*
 * What is said by publishing on a topic; false: no event and no state. `thing` is who said it, if that is known (else
 * NULL): a topic that names another one is no match, and one that names nobody is taken to name it.
 */
bool iot_talk_match(const struct iot_talk *talk, const char *topic, const char *thing, struct iot_talk_match *ret);

/* --- policies ------------------------------------------------------------------------- */

struct iot_layout_policy_options {
	const char *type; /* for devices of this type; NULL: for those that the layout says nothing special of */
	bool no_services; /* without the topics of jobs, streams and shadows */
};
/*
 * Append the least-privilege AWS IoT policy of a device in this layout, as indented JSON: it connects under its own
 * name, publishes what it says, receives what is said to it. One policy serves every device, since it names them by
 * policy variables; where a template has {type}, a device without a type is allowed nothing there. Parses, and has
 * no findings of iot_policy_lint().
 */
IOT_CHECK enum iot_status iot_layout_policy(const struct iot_layout *layout,
					    const struct iot_layout_policy_options *options, struct iot_buf *out,
					    struct iot_error *err);

/* --- which layout --------------------------------------------------------------------- */

/* Names of the layouts that are compiled in, NULL-terminated. */
extern const char *const iot_layouts_shipped[];

/*
 * A layout by name: a shipped one, or the fleet's own. IOT_NOT_FOUND with what there is. `cloud` may be NULL for
 * shipped ones.
 */
IOT_CHECK enum iot_status iot_layout_load(struct iot_cloud *cloud, const char *name, struct iot_layout **ret,
					  struct iot_error *err);
/* From a file. */
IOT_CHECK enum iot_status iot_layout_load_file(const char *path, struct iot_layout **ret, struct iot_error *err);

/* All layouts: array of {name, description, origin: "shipped"|"fleet", default, types, fault?}. New reference. */
IOT_CHECK enum iot_status iot_layout_list(struct iot_cloud *cloud, json_t **ret, struct iot_error *err);

/* Put a checked copy of a file into the fleet; IOT_CONFLICT if the name is taken by another one, unless `update`. */
IOT_CHECK enum iot_status iot_layout_add(struct iot_cloud *cloud, const char *path, bool update, json_t **ret_record,
					 struct iot_error *err);
/* From now on devices of a type use a layout; type NULL: those whose type has none of its own. */
IOT_CHECK enum iot_status iot_layout_use(struct iot_cloud *cloud, const char *name, const char *type,
					 struct iot_error *err);

/* The layout of a thing type (NULL or "": of none). */
IOT_CHECK enum iot_status iot_layout_of_type(struct iot_cloud *cloud, const char *type, struct iot_layout **ret,
					     struct iot_error *err);
/* The layout of a device given by thing name or alias, its thing name and type ("" for none; new memory). */
IOT_CHECK enum iot_status iot_layout_of_device(struct iot_cloud *cloud, const char *device, struct iot_layout **ret,
					       char **ret_thing, char **ret_type, struct iot_error *err);

#endif
