/*
 * Reading the topics of a device folder and filling in what is known only when
 * something is said. A folder without them is of the default layout, without
 * retained messages, as devices were before they had layouts.
 */
#include "sim/topics.h"

#include "iotctl/base.h"
#include "iotctl/buf.h"
#include "iotctl/json.h"
#include "iotctl/topic.h"

#include <string.h>

static const char *const role_names[SIM_ROLES] = {"config", "command", "reply", "event", "state", "peer"};
static const char *const acknowledge_names[] = {"shadow", "state", "event", "none"};

/* The default layout, after TYPE/THING/. */
static const char *const default_topics[SIM_ROLES] = {"config", "command", "reply/{token}", "event/{subfolder}",
						      "state",  NULL};

const char *sim_role_name(enum sim_role role)
{
	return role_names[role];
}

/* --- templates -------------------------------------------------------------------------- */

struct names {
	const char *token, *peer, *subfolder;
};

static bool level_is(const char *level, size_t len, const char *placeholder)
{
	return strlen(placeholder) == len && memcmp(level, placeholder, len) == 0;
}

/* What stands for a level; false: a name is missing or none for a topic. *ret NULL: the level is left out. */
static bool level_text(const char *level, size_t len, const struct names *names, char **ret)
{
	bool subfolder = level_is(level, len, "{subfolder}");
	const char *name;

	*ret = NULL;
	if (!subfolder && !level_is(level, len, "{token}") && !level_is(level, len, "{peer}")) {
		*ret = iot_strndup(level, len);
		return true;
	}
	name = subfolder ? names->subfolder : level_is(level, len, "{token}") ? names->token : names->peer;
	if (subfolder && (name == NULL || *name == '\0'))
		return true;
	if (name == NULL || *name == '\0' || (!subfolder && strchr(name, '/') != NULL))
		return false;
	*ret = iot_strdup(name);
	return true;
}

/* False as above; *level is then the one that could not be filled in. */
static bool fill(const char *template, const struct names *names, struct iot_buf *out, const char **level)
{
	bool first = true;

	for (*level = template;; *level += strcspn(*level, "/") + 1) {
		size_t len = strcspn(*level, "/");
		IOT_CLEAN(iot_free_p) char *text = NULL;

		if (!level_text(*level, len, names, &text))
			return false;
		if (text != NULL && !first)
			iot_buf_addc(out, '/');
		if (text != NULL) {
			iot_buf_adds(out, text);
			first = false;
		}
		if ((*level)[len] == '\0')
			return true;
	}
}

static char *filter_of(const char *template)
{
	static const struct names any = {"+", "+", "#"};
	struct iot_buf text = IOT_BUF_INIT(2 * IOT_TOPIC_MAX);
	const char *level;

	if (template == NULL || !fill(template, &any, &text, &level))
		return NULL;
	return iot_buf_detach(&text);
}

enum iot_status sim_topics_fill(const struct sim_topics *topics, enum sim_role role, const char *token,
				const char *peer, const char *subfolder, char **ret, struct iot_error *err)
{
	const struct names names = {token, peer, subfolder};
	const char *template = topics->role[role].topic, *level;
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(4096);
	enum iot_status status;

	if (template == NULL)
		return iot_fail(err, IOT_USAGE, "the device's layout has no topic for role '%s'", role_names[role]);
	if (!fill(template, &names, &text, &level))
		return iot_fail(err, IOT_USAGE, "topic '%s' needs a name for '%.*s'", template,
				(int)strcspn(level, "/"), level);
	status = iot_topic_check_publish(iot_buf_str(&text), text.len, err);
	if (status == IOT_OK)
		*ret = iot_buf_detach(&text);
	return status;
}

/* --- the folder --------------------------------------------------------------------------- */

static void set_defaults(const json_t *device, struct sim_topics *topics)
{
	const char *thing = iot_json_str(device, "thingName", ""), *type = iot_json_str(device, "thingType", "");

	for (unsigned i = 0; i < SIM_ROLES; i++) {
		if (default_topics[i] != NULL)
			topics->role[i].topic =
				iot_strf("%s%s%s/%s", type, type[0] != '\0' ? "/" : "", thing, default_topics[i]);
		topics->role[i].qos = 1;
	}
	topics->acknowledge = SIM_ACK_SHADOW;
	topics->token_member = iot_strdup("token");
}

static enum iot_status bad(const char *subject, const char *role, const char *what, struct iot_error *err)
{
	iot_fail(err, IOT_USAGE, "'%s': topics.%s %s", subject, role, what);
	iot_error_hint(err, "write the folder again with 'iotctl device create'");
	return IOT_USAGE;
}

static bool is_topic(const json_t *value)
{
	return json_is_string(value) &&
	       iot_topic_check_publish(json_string_value(value), json_string_length(value), NULL) == IOT_OK;
}

static enum iot_status read_role(const json_t *from, enum sim_role role, const char *subject, struct sim_topics *topics,
				 struct iot_error *err)
{
	const json_t *topic = json_object_get(from, "topic"), *inbox = json_object_get(from, "inbox");
	int64_t qos = iot_json_int(from, "qos", -1);

	if (from == NULL && role == SIM_PEER)
		return IOT_OK;
	if (!json_is_object(from))
		return bad(subject, role_names[role], "is not an object", err);
	if (qos != 0 && qos != 1)
		return bad(subject, role_names[role], "has no qos 0 or 1", err);
	if ((topic == NULL && role != SIM_PEER) || (topic != NULL && !is_topic(topic)))
		return bad(subject, role_names[role], "has no good topic", err);
	if (inbox != NULL && (!is_topic(inbox) || role != SIM_PEER))
		return bad(subject, role_names[role], "has no good inbox", err);
	topics->role[role].topic = iot_strdup(json_string_value(topic));
	topics->role[role].qos = (int)qos;
	topics->role[role].retain = iot_json_bool(from, "retain", false);
	topics->inbox_filter = inbox != NULL ? filter_of(json_string_value(inbox)) : NULL;
	return IOT_OK;
}

static enum iot_status read_extras(const json_t *from, const char *subject, struct sim_topics *topics,
				   struct iot_error *err)
{
	const json_t *config = json_object_get(from, "config"), *command = json_object_get(from, "command");
	const char *acknowledge = iot_json_str(config, "acknowledge", "");
	const char *version = iot_json_str(config, "versionMember", NULL);
	const char *correlation = iot_json_str(command, "correlation", "");
	const char *token = iot_json_str(command, "tokenMember", NULL);
	size_t i = 0;

	while (i < IOT_LENGTH(acknowledge_names) && strcmp(acknowledge_names[i], acknowledge) != 0)
		i++;
	topics->acknowledge = (enum sim_acknowledge)i;
	if (i == IOT_LENGTH(acknowledge_names))
		return bad(subject, "config", "has no acknowledge shadow, state, event or none", err);
	if ((i == SIM_ACK_STATE || i == SIM_ACK_EVENT) && version == NULL)
		return bad(subject, "config", "has no versionMember", err);
	if (strcmp(correlation, "mqtt5") != 0 && (strcmp(correlation, "payload") != 0 || token == NULL))
		return bad(subject, "command", "has no correlation mqtt5, or payload with a tokenMember", err);
	topics->version_member = iot_strdup(version);
	topics->token_member = strcmp(correlation, "mqtt5") == 0 ? NULL : iot_strdup(token);
	return IOT_OK;
}

enum iot_status sim_topics_read(const json_t *device, const char *subject, struct sim_topics *ret,
				struct iot_error *err)
{
	IOT_CLEAN(sim_topics_release) struct sim_topics topics = {0};
	const json_t *from = json_object_get(device, "topics");
	enum iot_status status = IOT_OK;

	if (from == NULL)
		set_defaults(device, &topics);
	for (unsigned i = 0; from != NULL && i < SIM_ROLES && status == IOT_OK; i++)
		status = read_role(json_object_get(from, role_names[i]), i, subject, &topics, err);
	if (from != NULL && status == IOT_OK)
		status = read_extras(from, subject, &topics, err);
	if (status != IOT_OK)
		return status;
	topics.config_filter = filter_of(topics.role[SIM_CONFIG].topic);
	topics.command_filter = filter_of(topics.role[SIM_COMMAND].topic);
	*ret = topics;
	memset(&topics, 0, sizeof(topics));
	return IOT_OK;
}

void sim_topics_release(struct sim_topics *topics)
{
	for (unsigned i = 0; i < SIM_ROLES; i++)
		free(topics->role[i].topic);
	free(topics->config_filter);
	free(topics->command_filter);
	free(topics->inbox_filter);
	free(topics->version_member);
	free(topics->token_member);
	memset(topics, 0, sizeof(*topics));
}
