/*
 * What is wrong with a layout. First every member for itself; only when all of
 * them are sound, the roles against each other: two on one topic, and loops, in
 * which a device would receive what it publishes.
 */
#include "fleet/fleet_private.h"
#include "fleet/layout_private.h"

#include "iotctl/base.h"
#include "iotctl/json.h"

#include <string.h>

struct check {
	json_t *findings;
	const char *where; /* "roles.config" */
};

static void add(const struct check *check, const char *rule, const char *hint, const char *fmt, ...) IOT_PRINTF(4, 5);
static void add(const struct check *check, const char *rule, const char *hint, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fleet_finding(check->findings, "where", check->where, rule, hint, fmt, args);
	va_end(args);
}

/* A name in a message: not endless. */
#define SHOWN "%.80s"

static bool listed(const char *const *names, const char *name)
{
	for (; *names != NULL; names++)
		if (strcmp(*names, name) == 0)
			return true;
	return false;
}

static void check_members(const struct check *check, const json_t *object, const char *const *allowed)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value)
		if (!listed(allowed, key))
			add(check, "member", NULL, "there is no member '" SHOWN "'", key);
}

/* A member that must be one of some words; NULL when it is none. */
static const char *check_choice(const struct check *check, const json_t *object, const char *key,
				const char *const *choices, const char *text)
{
	const char *value = iot_json_str(object, key, NULL);

	if (value != NULL && listed(choices, value))
		return value;
	if (json_object_get(object, key) == NULL)
		add(check, "member", NULL, "member '%s' is missing: %s", key, text);
	else
		add(check, "value", NULL, "member '%s' must be %s", key, text);
	return NULL;
}

/* The name of a payload's member: wanted in some cases, else not allowed. */
static void check_name_member(const struct check *check, const json_t *object, const char *key, bool wanted)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	if (!wanted && value != NULL)
		add(check, "member", NULL, "member '%s' means nothing here", key);
	else if (wanted && value == NULL)
		add(check, "member", NULL, "member '%s' is missing: the name of a member of the payload", key);
	else if (wanted && (text == NULL || *text == '\0' || strlen(text) > IOT_LAYOUT_NAME_MAX))
		add(check, "value", NULL, "member '%s' must be 1 to %d bytes of text", key, IOT_LAYOUT_NAME_MAX);
}

/* --- templates -------------------------------------------------------------------------- */

/* AWS's rules hold for every topic that the template can become: the shortest one tells. */
static void check_rules(const struct check *check, const char *topic, const struct layout_level *levels, size_t count)
{
	struct iot_buf sample = IOT_BUF_INIT(IOT_LAYOUT_TEXT_MAX);
	struct iot_error err = IOT_ERROR_INIT;

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			iot_buf_addc(&sample, '/');
		if (levels[i].kind == LEVEL_TEXT)
			iot_buf_add(&sample, levels[i].text, levels[i].len);
		else
			iot_buf_addc(&sample, 'x');
	}
	if (topic[0] == '$')
		add(check, "topic", NULL, "AWS IoT topic rule: topics that begin with '$' are reserved");
	else if (iot_topic_check_publish(iot_buf_str(&sample), sample.len, &err) != IOT_OK)
		add(check, "topic", NULL, "AWS IoT topic rule: %s", err.what);
	iot_buf_release(&sample);
}

struct allowed {
	bool must[LEVEL_BAD], may[LEVEL_BAD];
};

static const char *const level_names[LEVEL_BAD] = {"", "{thing}", "{type}", "{peer}", "{token}", "{subfolder}"};

static void check_placeholders(const struct check *check, const struct layout_level *levels, size_t count,
			       const struct allowed *allowed)
{
	size_t seen[LEVEL_BAD + 1] = {0};

	for (size_t i = 0; i < count; i++) {
		enum level_kind kind = levels[i].kind;
		int shown = levels[i].len < 80 ? (int)levels[i].len : 80;

		if (kind == LEVEL_BAD) {
			seen[kind]++;
			add(check, "placeholder",
			    "a level is either plain text or one of {thing} {type} {peer} {token} {subfolder}",
			    "'%.*s' is no placeholder", shown, levels[i].text);
			continue;
		}
		if (kind != LEVEL_TEXT && !allowed->must[kind] && !allowed->may[kind])
			add(check, "placeholder", NULL, "%s has no meaning in this topic", level_names[kind]);
		if (kind == LEVEL_SUBFOLDER && i + 1 < count)
			add(check, "placeholder", NULL, "{subfolder} must be the last level");
		if (kind != LEVEL_TEXT && seen[kind]++ == 1)
			add(check, "placeholder", NULL, "%s appears twice", level_names[kind]);
	}
	for (unsigned kind = LEVEL_THING; kind < LEVEL_BAD; kind++)
		if (allowed->must[kind] && seen[kind] == 0 && seen[LEVEL_BAD] == 0)
			add(check, "placeholder",
			    kind == LEVEL_PEER
				    ? NULL
				    : "without it devices could not be told apart, and one could speak for another",
			    "%s is missing in the topic", level_names[kind]);
}

static void check_template(const struct check *check, const json_t *object, const char *key,
			   const struct allowed *allowed)
{
	const char *topic = iot_json_str(object, key, NULL);
	struct layout_level levels[LAYOUT_LEVELS_MAX];
	size_t count;

	if (topic == NULL || *topic == '\0') {
		add(check, json_object_get(object, key) == NULL ? "member" : "value", NULL,
		    "member '%s' must be a topic", key);
		return;
	}
	count = layout_levels(topic, levels);
	if (count > LAYOUT_LEVELS_MAX) {
		add(check, "topic", NULL, "AWS IoT topic rule: topic '" SHOWN "' has %zu slashes, %d at most", topic,
		    count - 1, IOT_TOPIC_SLASHES_MAX);
		return;
	}
	check_placeholders(check, levels, count, allowed);
	check_rules(check, topic, levels, count);
}

/* --- one role ---------------------------------------------------------------------------- */

static void check_peer(const struct check *check, const json_t *object, const char *direction)
{
	static const struct allowed other = {.must = {[LEVEL_PEER] = true},
					     .may = {[LEVEL_THING] = true, [LEVEL_TYPE] = true}};
	static const struct allowed own = {.must = {[LEVEL_THING] = true},
					   .may = {[LEVEL_PEER] = true, [LEVEL_TYPE] = true}};
	bool speaks = strcmp(direction, "to-device") != 0, hears = strcmp(direction, "from-device") != 0;

	if (speaks)
		check_template(check, object, "topic", &other);
	else if (json_object_get(object, "topic") != NULL)
		add(check, "member", "the device's own topic is member 'inbox'",
		    "member 'topic' means nothing with direction to-device");
	if (hears)
		check_template(check, object, "inbox", &own);
	else if (json_object_get(object, "inbox") != NULL)
		add(check, "member", NULL, "member 'inbox' means nothing with direction from-device");
}

static void check_direction(const struct check *check, enum iot_role role, const json_t *object)
{
	static const char *const choices[] = {"to-device", "from-device", "both", NULL};
	const char *wanted = role == IOT_ROLE_CONFIG || role == IOT_ROLE_COMMAND ? "to-device" : "from-device";
	const char *direction = check_choice(check, object, "direction", choices, "to-device, from-device or both");

	if (direction == NULL)
		return;
	if (role == IOT_ROLE_PEER)
		check_peer(check, object, direction);
	else if (strcmp(direction, "both") == 0)
		add(check, "loop", NULL, "with direction both a device would receive what it publishes itself");
	else if (strcmp(direction, wanted) != 0)
		add(check, "direction", NULL, "direction must be %s", wanted);
}

static void check_qos(const struct check *check, const json_t *object)
{
	const json_t *qos = json_object_get(object, "qos");

	if (json_is_integer(qos) && json_integer_value(qos) == 2)
		add(check, "qos", NULL, "AWS IoT has no QoS 2");
	else if (!json_is_integer(qos) || json_integer_value(qos) < 0 || json_integer_value(qos) > 2)
		add(check, qos == NULL ? "member" : "value", NULL, "member 'qos' must be 0 or 1");
}

static void check_retain(const struct check *check, enum iot_role role, const json_t *object)
{
	const json_t *retain = json_object_get(object, "retain");

	if (!json_is_boolean(retain))
		add(check, retain == NULL ? "member" : "value", NULL, "member 'retain' must be true or false");
	else if (json_is_true(retain) && (role == IOT_ROLE_COMMAND || role == IOT_ROLE_REPLY || role == IOT_ROLE_PEER))
		add(check, "retain", NULL, "a retained %s would be heard again at every subscription",
		    role == IOT_ROLE_PEER ? "message" : iot_role_name(role));
}

static void check_extras(const struct check *check, enum iot_role role, const json_t *object)
{
	static const char *const acknowledge[] = {"shadow", "state", "event", "none", NULL};
	static const char *const correlation[] = {"mqtt5", "payload", NULL};
	const char *word;

	if (role == IOT_ROLE_CONFIG) {
		word = check_choice(check, object, "acknowledge", acknowledge, "shadow, state, event or none");
		if (word != NULL)
			check_name_member(check, object, "versionMember",
					  strcmp(word, "state") == 0 || strcmp(word, "event") == 0);
	} else if (role == IOT_ROLE_COMMAND) {
		word = check_choice(check, object, "correlation", correlation, "mqtt5 or payload");
		if (word != NULL)
			check_name_member(check, object, "tokenMember", strcmp(word, "payload") == 0);
	}
}

static void check_role(const struct check *check, enum iot_role role, const json_t *object)
{
	static const char *const members[IOT_ROLE_COUNT][9] = {
		[IOT_ROLE_CONFIG] = {"topic", "qos", "retain", "direction", "acknowledge", "versionMember"},
		[IOT_ROLE_COMMAND] = {"topic", "qos", "retain", "direction", "correlation", "tokenMember"},
		[IOT_ROLE_REPLY] = {"topic", "qos", "retain", "direction"},
		[IOT_ROLE_EVENT] = {"topic", "qos", "retain", "direction"},
		[IOT_ROLE_STATE] = {"topic", "qos", "retain", "direction"},
		[IOT_ROLE_PEER] = {"topic", "inbox", "qos", "retain", "direction"},
	};
	static const struct allowed allowed[IOT_ROLE_PEER] = {
		[IOT_ROLE_CONFIG] = {.must = {[LEVEL_THING] = true}, .may = {[LEVEL_TYPE] = true}},
		[IOT_ROLE_COMMAND] = {.must = {[LEVEL_THING] = true},
				      .may = {[LEVEL_TYPE] = true, [LEVEL_SUBFOLDER] = true}},
		[IOT_ROLE_REPLY] = {.must = {[LEVEL_THING] = true}, .may = {[LEVEL_TYPE] = true, [LEVEL_TOKEN] = true}},
		[IOT_ROLE_EVENT] = {.may = {[LEVEL_THING] = true, [LEVEL_TYPE] = true, [LEVEL_SUBFOLDER] = true}},
		[IOT_ROLE_STATE] = {.must = {[LEVEL_THING] = true}, .may = {[LEVEL_TYPE] = true}},
	};

	if (!json_is_object(object)) {
		add(check, "value", NULL, "a role must be an object");
		return;
	}
	check_members(check, object, members[role]);
	if (role != IOT_ROLE_PEER)
		check_template(check, object, "topic", &allowed[role]);
	check_qos(check, object);
	check_retain(check, role, object);
	check_direction(check, role, object);
	check_extras(check, role, object);
}

static void check_roles(json_t *findings, const char *prefix, const json_t *roles, bool complete)
{
	const struct check whole = {findings, prefix};
	const char *key;
	json_t *value;

	if (!json_is_object(roles)) {
		add(&whole, roles == NULL ? "member" : "value", NULL, "there must be an object of roles");
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)roles, key, value) {
		IOT_CLEAN(iot_free_p) char *where = iot_strf("%s." SHOWN, prefix, key);
		const struct check check = {findings, where};
		enum iot_role role;

		if (iot_role_parse(key, &role))
			check_role(&check, role, value);
		else
			add(&whole, "member", "the roles are config, command, reply, event, state and peer",
			    "there is no role '" SHOWN "'", key);
	}
	for (unsigned i = 0; complete && i < IOT_ROLE_PEER; i++)
		if (json_object_get(roles, iot_role_name(i)) == NULL)
			add(&whole, "missing-role", NULL, "role '%s' is missing", iot_role_name(i));
}

/* --- roles against each other ------------------------------------------------------------ */

/*
 * Can two levels be the same? Of one device: {peer} is another one by its meaning. With `other` b is the other
 * device's, so its {thing} is what {peer} says.
 */
static bool levels_meet(const struct layout_level *a, const struct layout_level *b, const char *type, bool other)
{
	const struct layout_level *pair[] = {a, b};
	struct layout_level own[2];

	for (int i = 0; i < 2; i++) {
		own[i] = *pair[i];
		if (own[i].kind == LEVEL_TYPE && type != NULL)
			own[i] = (struct layout_level){LEVEL_TEXT, type, strlen(type)};
	}
	if (own[0].kind == LEVEL_TEXT && own[1].kind == LEVEL_TEXT)
		return own[0].len == own[1].len && memcmp(own[0].text, own[1].text, own[0].len) == 0;
	if (other)
		return !(own[0].kind == LEVEL_THING && own[1].kind == LEVEL_THING);
	return !((own[0].kind == LEVEL_PEER && own[1].kind == LEVEL_THING) ||
		 (own[0].kind == LEVEL_THING && own[1].kind == LEVEL_PEER));
}

static bool templates_meet(const char *a_topic, const char *b_topic, const char *type, bool other)
{
	struct layout_level a[LAYOUT_LEVELS_MAX], b[LAYOUT_LEVELS_MAX];
	size_t a_count = layout_levels(a_topic, a), b_count = layout_levels(b_topic, b);

	for (size_t i = 0;; i++) {
		bool a_rest = i < a_count && a[i].kind == LEVEL_SUBFOLDER,
		     b_rest = i < b_count && b[i].kind == LEVEL_SUBFOLDER;

		if (a_rest || b_rest) /* stands for whatever the other one has left */
			return true;
		if (i == a_count || i == b_count)
			return a_count == b_count;
		if (!levels_meet(&a[i], &b[i], type, other))
			return false;
	}
}

/* What a device publishes, or receives, in a role; NULL if nothing. */
static const char *published(const struct layout_set *set, unsigned role)
{
	return set->has[role] && set->roles[role].direction != IOT_TO_DEVICE ? set->roles[role].topic : NULL;
}

static const char *received(const struct layout_set *set, unsigned role)
{
	if (!set->has[role] || set->roles[role].direction == IOT_FROM_DEVICE)
		return NULL;
	return role == IOT_ROLE_PEER ? set->roles[role].inbox : set->roles[role].topic;
}

static void check_pair(const struct check *check, const struct layout_set *set, unsigned a, unsigned b)
{
	const char *says = published(set, a), *hears = received(set, b);
	const char *a_hears = received(set, a), *a_says = published(set, a), *b_says = published(set, b);

	if (says != NULL && hears != NULL && templates_meet(says, hears, set->type, false))
		add(check, "loop", NULL,
		    "a device would receive as '%s' ('" SHOWN "') what it publishes as '%s' ('" SHOWN "')",
		    iot_role_name(b), hears, iot_role_name(a), says);
	if (a >= b)
		return;
	if (a_hears != NULL && hears != NULL && templates_meet(a_hears, hears, set->type, false))
		add(check, "shared-topic", NULL, "'%s' and '%s' may arrive on one topic ('" SHOWN "', '" SHOWN "')",
		    iot_role_name(a), iot_role_name(b), a_hears, hears);
	if (a_says != NULL && b_says != NULL && strcmp(a_says, b_says) == 0)
		add(check, "shared-topic", NULL, "'%s' and '%s' have one topic ('" SHOWN "')", iot_role_name(a),
		    iot_role_name(b), a_says);
}

static void check_set(json_t *findings, const json_t *layout, const char *type)
{
	IOT_CLEAN(iot_free_p) char *where = type == NULL ? iot_strdup("roles") : iot_strf("types." SHOWN, type);
	const struct check check = {findings, where};
	struct layout_set set;

	layout_read_set(layout, type, &set);
	for (unsigned a = 0; a < IOT_ROLE_COUNT; a++)
		for (unsigned b = 0; b < IOT_ROLE_COUNT; b++)
			if (type == NULL || set.own[a] || set.own[b])
				check_pair(&check, &set, a, b);
}

/* A device that may publish to others must not be able to speak for them. */
static void check_peer_of(json_t *findings, const struct layout_set *set, const struct layout_set *other)
{
	IOT_CLEAN(iot_free_p)
	char *where = set->type == NULL ? iot_strdup("roles.peer") : iot_strf("types." SHOWN ".peer", set->type);
	const struct check check = {findings, where};
	const char *says = published(set, IOT_ROLE_PEER);

	for (unsigned i = 0; says != NULL && i < IOT_ROLE_PEER; i++) {
		const char *theirs = (other->type == NULL || other->own[i]) ? published(other, i) : NULL;

		if (theirs != NULL && templates_meet(says, theirs, NULL, true))
			add(&check, "shared-topic", NULL,
			    "a device could say what another one says as '%s' ('" SHOWN "')", iot_role_name(i), theirs);
	}
}

static void check_peers(json_t *findings, const json_t *layout, const char *type)
{
	struct layout_set set, other;
	const char *name;
	json_t *roles;

	layout_read_set(layout, type, &set);
	if (type != NULL && !set.own[IOT_ROLE_PEER])
		return;
	layout_read_set(layout, NULL, &other);
	check_peer_of(findings, &set, &other);
	json_object_foreach(json_object_get(layout, "types"), name, roles) {
		layout_read_set(layout, name, &other);
		check_peer_of(findings, &set, &other);
	}
}

/* --- the whole ---------------------------------------------------------------------------- */

static void check_head(const struct check *check, const json_t *layout)
{
	static const char *const members[] = {"$schema", "name", "description", "roles", "types", NULL};
	const char *name = iot_json_str(layout, "name", NULL);
	const char *description = iot_json_str(layout, "description", NULL);

	check_members(check, layout, members);
	if (name == NULL || !layout_name_valid(name))
		add(check, json_object_get(layout, "name") == NULL ? "member" : "value", NULL,
		    "member 'name' must be 1 to %d of the characters A-Z a-z 0-9 _ -", IOT_LAYOUT_NAME_MAX);
	if (description == NULL || *description == '\0' || strlen(description) > 256)
		add(check, json_object_get(layout, "description") == NULL ? "member" : "value", NULL,
		    "member 'description' must be 1 to 256 bytes of text");
}

static void check_types(json_t *findings, const json_t *types)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-:";
	const struct check check = {findings, "types"};
	const char *type;
	json_t *roles;

	if (types != NULL && (!json_is_object(types) || json_object_size(types) > LAYOUT_TYPES_MAX)) {
		add(&check, "value", NULL, "member 'types' must be an object of at most %d thing types",
		    LAYOUT_TYPES_MAX);
		return;
	}
	json_object_foreach((json_t *)(uintptr_t)types, type, roles) {
		IOT_CLEAN(iot_free_p) char *where = iot_strf("types." SHOWN, type);

		if (*type == '\0' || strlen(type) > 128 || strspn(type, allowed) != strlen(type))
			add(&check, "value", NULL, "'" SHOWN "' is no thing type's name", type);
		check_roles(findings, where, roles, false);
	}
}

json_t *iot_layout_check(const json_t *layout)
{
	json_t *findings = json_array();
	const struct check check = {findings, ""};
	const json_t *types = json_object_get(layout, "types");
	const char *type;
	json_t *roles;

	if (!json_is_object(layout)) {
		add(&check, "value", NULL, "a layout must be a JSON object");
		return findings;
	}
	check_head(&check, layout);
	check_roles(findings, "roles", json_object_get(layout, "roles"), true);
	check_types(findings, types);
	if (json_array_size(findings) > 0)
		return findings;
	check_set(findings, layout, NULL);
	check_peers(findings, layout, NULL);
	json_object_foreach((json_t *)(uintptr_t)types, type, roles) {
		check_set(findings, layout, type);
		check_peers(findings, layout, type);
	}
	return findings;
}
