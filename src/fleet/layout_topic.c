/*
 * From a layout's templates to topics and filters, and back from a topic to who
 * said what.
 */
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <string.h>

static const char *const level_words[LEVEL_BAD] = {"",      "thing name", "thing type", "name of the other device",
						   "token", "subfolder"};

static const char *name_of(const struct iot_topic_names *names, enum level_kind kind)
{
	switch (kind) {
	case LEVEL_THING:
		return names->thing;
	case LEVEL_TYPE:
		return names->type;
	case LEVEL_PEER:
		return names->peer;
	case LEVEL_TOKEN:
		return names->token;
	case LEVEL_SUBFOLDER:
		return names->subfolder;
	default:
		return NULL;
	}
}

/* A name becomes one level, a subfolder several: it must not change the shape of the topic. */
static enum iot_status check_name(enum level_kind kind, const char *name, struct iot_error *err)
{
	if (*name == '\0' || strpbrk(name, kind == LEVEL_SUBFOLDER ? "+#" : "/+#") != NULL)
		return iot_fail(err, IOT_USAGE, "%s '%.128s' cannot be part of a topic", level_words[kind], name);
	return IOT_OK;
}

struct expansion {
	const struct iot_topic_names *names;
	bool filter;
	bool leading; /* nothing was written yet */
	struct iot_buf out;
};

static void put(struct expansion *to, const char *text, size_t len)
{
	if (!to->leading)
		iot_buf_addc(&to->out, '/');
	to->leading = false;
	iot_buf_add(&to->out, text, len);
}

static enum iot_status expand_level(struct expansion *to, const struct layout_level *level, const char *topic,
				    struct iot_error *err)
{
	const char *name = name_of(to->names, level->kind);
	enum iot_status status;

	if (level->kind == LEVEL_TEXT) {
		put(to, level->text, level->len);
		return IOT_OK;
	}
	if (level->kind == LEVEL_TYPE && (name == NULL ? !to->filter : *name == '\0'))
		return IOT_OK; /* a device without a type has no such level */
	if (level->kind == LEVEL_SUBFOLDER && (name == NULL ? !to->filter : *name == '\0'))
		return IOT_OK;
	if (name == NULL && to->filter) {
		put(to, level->kind == LEVEL_SUBFOLDER ? "#" : "+", 1);
		return IOT_OK;
	}
	if (name == NULL)
		return iot_fail(err, IOT_USAGE, "topic '%s' needs a %s", topic, level_words[level->kind]);
	status = check_name(level->kind, name, err);
	if (status == IOT_OK)
		put(to, name, strlen(name));
	return status;
}

static enum iot_status expand(const char *topic, const struct iot_topic_names *names, bool filter, char **ret,
			      struct iot_error *err)
{
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	struct expansion to = {
		.names = names, .filter = filter, .leading = true, .out = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX)};
	size_t count = layout_levels(topic, levels);
	enum iot_status status = IOT_OK;

	for (size_t i = 0; i < count && status == IOT_OK; i++)
		status = expand_level(&to, &levels[i], topic, err);
	if (status == IOT_OK)
		status = filter ? iot_topic_check_filter(iot_buf_str(&to.out), to.out.len, err)
				: iot_topic_check_publish(iot_buf_str(&to.out), to.out.len, err);
	if (status == IOT_OK)
		*ret = iot_buf_detach(&to.out);
	iot_buf_release(&to.out);
	return status;
}

static enum iot_status no_role(const struct iot_layout *layout, enum iot_role role, const char *what,
			       struct iot_error *err)
{
	return iot_fail(err, IOT_NOT_FOUND, "layout '%s' has no %s for role '%s'", iot_layout_name(layout), what,
			iot_role_name(role));
}

enum iot_status iot_layout_topic(const struct iot_layout *layout, enum iot_role role,
				 const struct iot_topic_names *names, char **ret, struct iot_error *err)
{
	const struct iot_layout_role *of = iot_layout_role(layout, role, names->type);

	if (of == NULL || of->topic == NULL)
		return no_role(layout, role, "topic", err);
	return expand(of->topic, names, false, ret, err);
}

enum iot_status iot_layout_filter(const struct iot_layout *layout, enum iot_role role,
				  const struct iot_topic_names *names, char **ret, struct iot_error *err)
{
	const struct iot_layout_role *of = iot_layout_role(layout, role, names->type);
	const char *topic = of == NULL ? NULL : role == IOT_ROLE_PEER ? of->inbox : of->topic;

	if (topic == NULL)
		return no_role(layout, role, "topic", err);
	return expand(topic, names, true, ret, err);
}

/* The role as the file has it, for one device. */
static enum iot_status device_role(const struct iot_layout *layout, enum iot_role role,
				   const struct iot_topic_names *names, json_t *topics, struct iot_error *err)
{
	const struct iot_layout_role *of = iot_layout_role(layout, role, names->type);
	const char *const templates[] = {of->topic, of->inbox};
	static const char *const members[] = {"topic", "inbox"};
	json_t *record = json_object();
	enum iot_status status = IOT_OK;

	json_object_set_new(topics, iot_role_name(role), record);
	for (size_t i = 0; i < IOT_LENGTH(templates) && status == IOT_OK; i++) {
		IOT_CLEAN(iot_free_p) char *topic = NULL;

		if (templates[i] != NULL)
			status = expand(templates[i], names, false, &topic, err);
		iot_json_set_str(record, members[i], topic);
	}
	iot_json_set_int(record, "qos", of->qos);
	iot_json_set_bool(record, "retain", of->retain);
	if (role == IOT_ROLE_CONFIG)
		iot_json_set_str(record, "acknowledge", layout_acknowledge_name(of->acknowledge));
	if (role == IOT_ROLE_COMMAND)
		iot_json_set_str(record, "correlation", layout_correlation_name(of->correlation));
	iot_json_set_str(record, "versionMember", of->version_member);
	iot_json_set_str(record, "tokenMember", of->token_member);
	return status;
}

enum iot_status iot_layout_device_topics(const struct iot_layout *layout, const char *thing, const char *type,
					 json_t **ret, struct iot_error *err)
{
	const struct iot_topic_names names = {
		.thing = thing, .type = type, .peer = "{peer}", .token = "{token}", .subfolder = "{subfolder}"};
	IOT_JSON topics = json_object();
	enum iot_status status = IOT_OK;

	for (unsigned role = 0; role < IOT_ROLE_COUNT && status == IOT_OK; role++)
		if (iot_layout_role(layout, role, type) != NULL)
			status = device_role(layout, role, &names, topics, err);
	if (status == IOT_OK)
		*ret = iot_take(topics);
	return status;
}

/* --- back ------------------------------------------------------------------------------- */

static char *slot_of(struct iot_topic_match *match, enum level_kind kind)
{
	switch (kind) {
	case LEVEL_THING:
		return match->thing;
	case LEVEL_TYPE:
		return match->type;
	case LEVEL_TOKEN:
		return match->token;
	case LEVEL_SUBFOLDER:
		return match->subfolder;
	default:
		return NULL;
	}
}

static bool match_level(const struct layout_level *level, const char *text, size_t len, const char *type,
			struct iot_topic_match *ret)
{
	char *slot = slot_of(ret, level->kind);

	if (level->kind == LEVEL_TEXT)
		return level->len == len && memcmp(level->text, text, len) == 0;
	if (len == 0 || len > IOT_TOPIC_MAX)
		return false;
	if (level->kind == LEVEL_TYPE && type != NULL && (strlen(type) != len || memcmp(type, text, len) != 0))
		return false;
	if (slot != NULL) {
		memcpy(slot, text, len);
		slot[len] = '\0';
	}
	return true;
}

/* `typeless`: the shape that the template has for a device without a type. */
static bool match_template(const char *template, const char *topic, const char *type, bool typeless,
			   struct iot_topic_match *ret)
{
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	size_t count = layout_levels(template, levels);
	const char *at = topic;
	bool more = true; /* a level is left in the topic */

	for (size_t i = 0; i < count; i++) {
		size_t len;

		if (levels[i].kind == LEVEL_TYPE && typeless)
			continue;
		if (levels[i].kind == LEVEL_SUBFOLDER)
			return !more || match_level(&levels[i], at, strlen(at), type, ret);
		len = strcspn(at, "/");
		if (!more || !match_level(&levels[i], at, len, type, ret))
			return false;
		more = at[len] == '/';
		at += len + (more ? 1 : 0);
	}
	return !more;
}

static bool match_role(const struct layout_set *set, enum iot_role role, const char *topic, struct iot_topic_match *ret)
{
	const char *template = role == IOT_ROLE_PEER ? set->roles[role].inbox : set->roles[role].topic;

	if (!set->has[role] || template == NULL)
		return false;
	for (int typeless = 0; typeless < (set->type == NULL && strstr(template, "{type}") != NULL ? 2 : 1);
	     typeless++) {
		*ret = (struct iot_topic_match){.role = role};
		if (match_template(template, topic, set->type, typeless != 0, ret)) {
			if (set->type != NULL && strlen(set->type) < sizeof(ret->type))
				memcpy(ret->type, set->type, strlen(set->type) + 1);
			return true;
		}
	}
	return false;
}

bool iot_layout_match(const struct iot_layout *layout, const char *topic, struct iot_topic_match *ret)
{
	static const enum iot_role order[] = {IOT_ROLE_CONFIG, IOT_ROLE_COMMAND, IOT_ROLE_REPLY,
					      IOT_ROLE_STATE,  IOT_ROLE_PEER,    IOT_ROLE_EVENT};

	for (size_t r = 0; r < IOT_LENGTH(order); r++) {
		for (size_t s = layout->count; s-- > 1;)
			if (layout->sets[s].own[order[r]] && match_role(&layout->sets[s], order[r], topic, ret))
				return true;
		if (match_role(&layout->sets[0], order[r], topic, ret))
			return true;
	}
	return false;
}
