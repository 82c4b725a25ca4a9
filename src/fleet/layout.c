/*
 * Topic layouts as objects: the JSON file, its roles for each thing type, and the
 * words for roles and directions.
 */
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <string.h>

static const char *const role_names[IOT_ROLE_COUNT] = {"config", "command", "reply", "event", "state", "peer"};
static const char *const direction_names[] = {"to-device", "from-device", "both", NULL};
static const char *const acknowledge_names[] = {"shadow", "state", "event", "none", NULL};
static const char *const correlation_names[] = {"mqtt5", "payload", NULL};

const char *iot_role_name(enum iot_role role)
{
	return role < IOT_ROLE_COUNT ? role_names[role] : "";
}

bool iot_role_parse(const char *name, enum iot_role *ret)
{
	for (unsigned i = 0; i < IOT_ROLE_COUNT; i++) {
		if (strcmp(role_names[i], name) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

const char *iot_direction_name(enum iot_direction direction)
{
	return direction_names[direction];
}

const char *layout_acknowledge_name(enum iot_acknowledge acknowledge)
{
	return acknowledge_names[acknowledge];
}

const char *layout_correlation_name(enum iot_correlation correlation)
{
	return correlation_names[correlation];
}

bool layout_name_valid(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
	size_t len = strlen(name);

	return len > 0 && len <= IOT_LAYOUT_NAME_MAX && strspn(name, allowed) == len;
}

size_t layout_levels(const char *topic, struct layout_level levels[LAYOUT_LEVELS_MAX])
{
	static const struct {
		const char *text;
		enum level_kind kind;
	} placeholders[] = {{"{thing}", LEVEL_THING},
			    {"{type}", LEVEL_TYPE},
			    {"{peer}", LEVEL_PEER},
			    {"{token}", LEVEL_TOKEN},
			    {"{subfolder}", LEVEL_SUBFOLDER}};
	size_t count = 0;

	for (const char *at = topic;; count++) {
		size_t len = strcspn(at, "/");
		enum level_kind kind = LEVEL_TEXT;

		if (memchr(at, '{', len) != NULL || memchr(at, '}', len) != NULL)
			kind = LEVEL_BAD;
		for (size_t i = 0; i < IOT_LENGTH(placeholders); i++)
			if (strlen(placeholders[i].text) == len && memcmp(placeholders[i].text, at, len) == 0)
				kind = placeholders[i].kind;
		if (count < LAYOUT_LEVELS_MAX)
			levels[count] = (struct layout_level){kind, at, len};
		if (at[len] == '\0')
			return count + 1;
		at += len + 1;
	}
}

static int index_of(const char *const *names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return 0;
}

void layout_read_role(const json_t *object, struct iot_layout_role *ret)
{
	*ret = (struct iot_layout_role){
		.topic = iot_json_str(object, "topic", NULL),
		.inbox = iot_json_str(object, "inbox", NULL),
		.qos = (int)iot_json_int(object, "qos", 0),
		.retain = iot_json_bool(object, "retain", false),
		.direction = (enum iot_direction)index_of(direction_names, iot_json_str(object, "direction", "")),
		.acknowledge =
			(enum iot_acknowledge)index_of(acknowledge_names, iot_json_str(object, "acknowledge", "none")),
		.version_member = iot_json_str(object, "versionMember", NULL),
		.correlation =
			(enum iot_correlation)index_of(correlation_names, iot_json_str(object, "correlation", "")),
		.token_member = iot_json_str(object, "tokenMember", NULL),
	};
}

void layout_read_set(const json_t *layout, const char *type, struct layout_set *ret)
{
	const json_t *base = json_object_get(layout, "roles");
	const json_t *own = type != NULL ? json_object_get(json_object_get(layout, "types"), type) : NULL;

	*ret = (struct layout_set){.type = type};
	for (unsigned i = 0; i < IOT_ROLE_COUNT; i++) {
		const json_t *role = json_object_get(own, role_names[i]);

		ret->own[i] = role != NULL;
		if (role == NULL)
			role = json_object_get(base, role_names[i]);
		ret->has[i] = role != NULL;
		if (role != NULL)
			layout_read_role(role, &ret->roles[i]);
	}
}

static enum iot_status refuse(const json_t *findings, const char *subject, struct iot_error *err)
{
	const json_t *first = json_array_get(findings, 0);
	size_t more = json_array_size(findings) - 1;
	const char *where = iot_json_str(first, "where", "");

	iot_fail(err, IOT_USAGE, "layout '%s': %s%s%s", subject, where, *where != '\0' ? ": " : "",
		 iot_json_str(first, "message", ""));
	if (more > 0)
		iot_error_hint(err, "there is more: 'iotctl layout check' shows all %zu findings", more + 1);
	else if (iot_json_str(first, "hint", NULL) != NULL)
		iot_error_hint(err, "%s", iot_json_str(first, "hint", ""));
	return IOT_USAGE;
}

enum iot_status iot_layout_parse(const char *text, size_t len, const char *subject, struct iot_layout **ret,
				 struct iot_error *err)
{
	IOT_JSON json = NULL;
	IOT_JSON findings = NULL;
	struct iot_layout *layout;
	const char *type;
	json_t *types, *value;
	enum iot_status status = iot_json_parse(text, len, subject, &json, err);

	if (status != IOT_OK)
		return status;
	findings = iot_layout_check(json);
	if (json_array_size(findings) > 0)
		return refuse(findings, subject, err);
	layout = iot_alloc(sizeof(*layout));
	types = json_object_get(json, "types");
	layout->sets = iot_alloc_array(1 + json_object_size(types), sizeof(*layout->sets));
	layout_read_set(json, NULL, &layout->sets[layout->count++]);
	json_object_foreach(types, type, value)
		layout_read_set(json, type, &layout->sets[layout->count++]);
	layout->json = iot_take(json);
	*ret = layout;
	return IOT_OK;
}

void iot_layout_free(struct iot_layout *layout)
{
	if (layout == NULL)
		return;
	free(layout->sets);
	json_decref(layout->json);
	free(layout);
}

void iot_layout_free_p(struct iot_layout **layout)
{
	iot_layout_free(*layout);
}

const char *iot_layout_name(const struct iot_layout *layout)
{
	return iot_json_str(layout->json, "name", "");
}

const char *iot_layout_description(const struct iot_layout *layout)
{
	return iot_json_str(layout->json, "description", "");
}

const json_t *iot_layout_json(const struct iot_layout *layout)
{
	return layout->json;
}

const struct layout_set *layout_set_of(const struct iot_layout *layout, const char *type)
{
	for (size_t i = 1; type != NULL && i < layout->count; i++)
		if (strcmp(layout->sets[i].type, type) == 0)
			return &layout->sets[i];
	return &layout->sets[0];
}

const struct iot_layout_role *iot_layout_role(const struct iot_layout *layout, enum iot_role role, const char *type)
{
	const struct layout_set *set = layout_set_of(layout, type);

	return role < IOT_ROLE_COUNT && set->has[role] ? &set->roles[role] : NULL;
}
