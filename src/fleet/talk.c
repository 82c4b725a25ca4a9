/*
 * What the devices of a fleet say, by the layouts of all their types: which topics to listen to, and what a message on
 * one of them is. A type without a layout of its own uses the fleet's, so that one stands for any type.
 */
#include "fleet/fleet_private.h"
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/log.h"
#include "iotctl/text.h"

#include <string.h>

struct entry {
	char *type; /* NULL: types without a layout of their own */
	struct iot_layout *layout;
};

struct iot_talk {
	struct entry *entries; /* the one without a type last */
	size_t count;
	json_t *topics;
	char **filters[IOT_ROLE_COUNT]; /* of the roles below */
};

static const enum iot_role roles[] = {IOT_ROLE_EVENT, IOT_ROLE_STATE, IOT_ROLE_REPLY, IOT_ROLE_COMMAND,
				      IOT_ROLE_CONFIG};

void iot_talk_free(struct iot_talk *talk)
{
	if (talk == NULL)
		return;
	for (size_t i = 0; i < talk->count; i++) {
		free(talk->entries[i].type);
		iot_layout_free(talk->entries[i].layout);
	}
	for (size_t r = 0; r < IOT_ROLE_COUNT; r++) {
		for (char **at = talk->filters[r]; at != NULL && *at != NULL; at++)
			free(*at);
		free(talk->filters[r]);
	}
	free(talk->entries);
	json_decref(talk->topics);
	free(talk);
}

void iot_talk_free_p(struct iot_talk **talk)
{
	iot_talk_free(*talk);
}

/* --- filters ----------------------------------------------------------------------------------- */

/* Take the filter in, unless another one covers it; those that it covers go. Takes the text over. */
static void add_filter(struct iot_talk *talk, enum iot_role role, char *filter)
{
	char **filters = talk->filters[role];
	size_t kept = 0, count = 0;

	while (filters != NULL && filters[count] != NULL)
		if (iot_topic_covers(filters[count++], filter)) {
			free(filter);
			return;
		}
	for (size_t i = 0; i < count; i++) {
		if (iot_topic_covers(filter, filters[i]))
			free(filters[i]);
		else
			filters[kept++] = filters[i];
	}
	filters = iot_realloc(filters, (kept + 2) * sizeof(*filters));
	filters[kept] = filter;
	filters[kept + 1] = NULL;
	talk->filters[role] = filters;
}

/* Which level of the template's filter is the thing's name; -1: none. */
static int thing_level(const char *template, bool typeless)
{
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	size_t count = layout_levels(template, levels);
	int at = 0;

	for (size_t i = 0; i < count && i < LAYOUT_LEVELS_MAX; i++) {
		if (levels[i].kind == LEVEL_THING)
			return at;
		at += !(typeless && levels[i].kind == LEVEL_TYPE);
	}
	return -1;
}

/* Where two layouts do not agree who is meant, nobody is. */
static void add_topic(struct iot_talk *talk, const char *filter, int level)
{
	const json_t *old = json_object_get(talk->topics, filter);

	if (old != NULL && json_integer_value(old) != level)
		level = -1;
	iot_json_set_int(talk->topics, filter, level);
}

static void add_template(struct iot_talk *talk, const struct iot_layout *layout, enum iot_role role, const char *type,
			 bool typeless)
{
	const struct iot_layout_role *of = iot_layout_role(layout, role, type);
	const struct iot_topic_names names = {.type = typeless ? "" : type};
	struct iot_error ignored = IOT_ERROR_INIT;
	char *filter = NULL;

	if (of == NULL || of->topic == NULL || iot_layout_filter(layout, role, &names, &filter, &ignored) != IOT_OK)
		return;
	if (role == IOT_ROLE_EVENT || role == IOT_ROLE_STATE)
		add_topic(talk, filter, thing_level(of->topic, typeless));
	add_filter(talk, role, filter);
}

static void add_role(struct iot_talk *talk, const struct entry *entry, enum iot_role role)
{
	const struct iot_layout *layout = entry->layout;
	const struct iot_layout_role *base = iot_layout_role(layout, role, NULL);

	if (entry->type != NULL) {
		add_template(talk, layout, role, entry->type, false);
		return;
	}
	add_template(talk, layout, role, NULL, false);
	if (base != NULL && base->topic != NULL && strstr(base->topic, "{type}") != NULL)
		add_template(talk, layout, role, NULL, true);
	for (size_t i = 1; i < layout->count; i++)
		if (layout->sets[i].own[role])
			add_template(talk, layout, role, layout->sets[i].type, false);
}

/* --- reading ----------------------------------------------------------------------------------- */

static void add_entry(struct iot_talk *talk, struct iot_cloud *cloud, const char *type)
{
	struct iot_error err = IOT_ERROR_INIT;
	struct entry entry = {0};

	if (iot_layout_of_type(cloud, type, &entry.layout, &err) != IOT_OK) {
		iot_log_error(IOT_LOG_WARNING, "what some devices say is not understood: ", &err);
		return;
	}
	entry.type = iot_strdup(type);
	talk->entries = iot_realloc(talk->entries, (talk->count + 1) * sizeof(*talk->entries));
	talk->entries[talk->count++] = entry;
	for (size_t i = 0; i < IOT_LENGTH(roles); i++)
		add_role(talk, &entry, roles[i]);
}

enum iot_status iot_talk_new(struct iot_cloud *cloud, struct iot_talk **ret, struct iot_error *err)
{
	IOT_JSON layouts = NULL;
	struct iot_talk *talk;
	enum iot_status status = iot_layout_list(cloud, &layouts, err);
	json_t *layout, *type;
	size_t i, k;

	if (status != IOT_OK)
		return status;
	talk = iot_alloc(sizeof(*talk));
	talk->topics = json_object();
	json_array_foreach(layouts, i, layout) {
		json_array_foreach(json_object_get(layout, "types"), k, type)
			add_entry(talk, cloud, json_string_value(type));
	}
	add_entry(talk, cloud, NULL);
	*ret = talk;
	return IOT_OK;
}

const char *const *iot_talk_filters(const struct iot_talk *talk, enum iot_role role)
{
	static const char *const none[] = {NULL};

	return talk->filters[role] != NULL ? (const char *const *)talk->filters[role] : none;
}

const json_t *iot_talk_topics(const struct iot_talk *talk)
{
	return talk->topics;
}

/* --- matching ---------------------------------------------------------------------------------- */

static bool match_entry(const struct entry *entry, const char *topic, const char *thing, struct iot_talk_match *ret)
{
	const struct iot_layout_role *config;
	const char *type;

	if (!iot_layout_match(entry->layout, topic, &ret->topic) ||
	    (ret->topic.role != IOT_ROLE_EVENT && ret->topic.role != IOT_ROLE_STATE))
		return false;
	if (entry->type != NULL && ret->topic.type[0] != '\0' && strcmp(ret->topic.type, entry->type) != 0)
		return false;
	if (thing != NULL && ret->topic.thing[0] != '\0' && strcmp(ret->topic.thing, thing) != 0)
		return false;
	if (thing != NULL && strlen(thing) < sizeof(ret->topic.thing))
		memcpy(ret->topic.thing, thing, strlen(thing) + 1);
	type = entry->type != NULL ? entry->type : ret->topic.type;
	config = iot_layout_role(entry->layout, IOT_ROLE_CONFIG, type);
	ret->layout = iot_layout_name(entry->layout);
	ret->version_member =
		config != NULL && ret->topic.role == IOT_ROLE_EVENT && config->acknowledge == IOT_ACK_EVENT
			? config->version_member
			: NULL;
	return true;
}

bool iot_talk_match(const struct iot_talk *talk, const char *topic, const char *thing, struct iot_talk_match *ret)
{
	for (size_t i = 0; i < talk->count; i++)
		if (match_entry(&talk->entries[i], topic, thing, ret))
			return true;
	return false;
}
