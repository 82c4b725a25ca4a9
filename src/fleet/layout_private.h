/* Inside of topic layouts: templates as levels, and the roles of a type. */
#ifndef IOTCTL_FLEET_LAYOUT_PRIVATE_H
#define IOTCTL_FLEET_LAYOUT_PRIVATE_H

#include "iotctl/layout.h"

#define LAYOUT_LEVELS_MAX (IOT_TOPIC_SLASHES_MAX + 1)
#define LAYOUT_TYPES_MAX 64

enum level_kind { LEVEL_TEXT, LEVEL_THING, LEVEL_TYPE, LEVEL_PEER, LEVEL_TOKEN, LEVEL_SUBFOLDER, LEVEL_BAD };

struct layout_level {
	enum level_kind kind;
	const char *text; /* borrowed from the template */
	size_t len;
};

/* A template's levels. Returns how many there are, which may be more than the LAYOUT_LEVELS_MAX that are filled in. */
size_t layout_levels(const char *topic, struct layout_level levels[LAYOUT_LEVELS_MAX]);

/* The roles for one type; those of the base set where the type says nothing of its own. */
struct layout_set {
	const char *type; /* NULL: the base */
	bool has[IOT_ROLE_COUNT];
	bool own[IOT_ROLE_COUNT]; /* said by the type itself */
	struct iot_layout_role roles[IOT_ROLE_COUNT];
};

/* As the file says it: "shadow", "mqtt5" ... */
const char *layout_acknowledge_name(enum iot_acknowledge acknowledge);
const char *layout_correlation_name(enum iot_correlation correlation);

/* A role's members; absent or wrong ones become NULL and 0. */
void layout_read_role(const json_t *object, struct iot_layout_role *ret);
/* The set of the type, or the base one for NULL. */
void layout_read_set(const json_t *layout, const char *type, struct layout_set *ret);

struct iot_layout {
	json_t *json;
	struct layout_set *sets; /* the base first */
	size_t count;
};

const struct layout_set *layout_set_of(const struct iot_layout *layout, const char *type);

/* [A-Za-z0-9_-]{1,64}: it becomes a file's name. */
bool layout_name_valid(const char *name);

/* Generated from layouts/NAME.json: the texts in the order of iot_layouts_shipped. */
extern const char *const layout_shipped_texts[];

#endif
