/* The dictionary: a slot for each row of the table of keys, and one for each index of rows that have many. */
#include "sim/expresslink/dictionary.h"

#include "iotctl/base.h"
#include "iotctl/text.h"

#include <stdio.h>
#include <string.h>

enum { SLOTS_MAX = 128, PEM_VALUE_MAX = 8 * 1024 };

struct slot {
	struct dict_ref ref;
	char *name, *initial, *value; /* value NULL: the initial one */
};

struct dictionary {
	enum at_spec spec;
	struct slot slots[SLOTS_MAX];
	size_t count;
};

static int indexes_of(const char *name)
{
	return strcmp(name, "Topic") == 0 ? DICT_TOPICS : strcmp(name, "Shadow") == 0 ? DICT_SHADOWS : 0;
}

/* "1.2" -> 12 */
static int since_of(const struct iot_el_key *key)
{
	return (key->since[0] - '0') * 10 + (key->since[2] - '0');
}

static void add_slot(struct dictionary *dict, const struct iot_el_key *key, int index)
{
	struct slot *slot = &dict->slots[dict->count];

	if (dict->count == SLOTS_MAX)
		return;
	dict->count++;
	slot->ref = (struct dict_ref){key, index};
	slot->name = index > 0 ? iot_strf("%s%d", key->name, index) : iot_strdup(key->name);
	slot->initial = iot_strdup(key->initial != NULL ? key->initial : "");
}

struct dictionary *dict_new(enum at_spec spec)
{
	struct dictionary *dict = iot_alloc(sizeof(*dict));

	dict->spec = spec;
	for (const struct iot_el_key *key = iot_el_keys; key->name != NULL; key++) {
		if (since_of(key) > (int)spec)
			continue;
		if ((key->flags & IOT_EL_INDEXED) == 0)
			add_slot(dict, key, 0);
		for (int i = 1; (key->flags & IOT_EL_INDEXED) != 0 && i <= indexes_of(key->name); i++)
			add_slot(dict, key, i);
	}
	return dict;
}

static void set_text(char **text, const char *value)
{
	if (*text != NULL)
		iot_wipe(*text, strlen(*text)); /* a passphrase, perhaps */
	free(*text);
	*text = iot_strdup(value);
}

void dict_free(struct dictionary *dict)
{
	if (dict == NULL)
		return;
	for (size_t i = 0; i < dict->count; i++) {
		set_text(&dict->slots[i].value, NULL);
		free(dict->slots[i].initial);
		free(dict->slots[i].name);
	}
	free(dict);
}

static struct slot *slot_of(const struct dictionary *dict, const struct dict_ref *ref)
{
	for (size_t i = 0; i < dict->count; i++) {
		if (dict->slots[i].ref.key == ref->key && dict->slots[i].ref.index == ref->index)
			return (struct slot *)(uintptr_t)&dict->slots[i];
	}
	return NULL;
}

static struct slot *slot_named(const struct dictionary *dict, const char *name)
{
	for (size_t i = 0; i < dict->count; i++) {
		if (strcmp(dict->slots[i].name, name) == 0)
			return (struct slot *)(uintptr_t)&dict->slots[i];
	}
	return NULL;
}

void dict_set_initial(struct dictionary *dict, const char *name, const char *value)
{
	struct slot *slot = slot_named(dict, name);

	if (slot != NULL)
		set_text(&slot->initial, value);
}

enum at_error dict_find(const struct dictionary *dict, const char *name, size_t len, struct dict_ref *ret)
{
	int fault = iot_el_key_fault(name, len);

	if (fault != 0)
		return (enum at_error)fault;
	ret->key = iot_el_key_find(name, len, &ret->index);
	return ret->key != NULL && slot_of(dict, ret) != NULL ? AT_OK : AT_KEY_UNKNOWN;
}

static bool is_number_in(const char *value, int64_t min, int64_t max)
{
	int64_t number;

	return value[0] == '\0' || iot_parse_int(value, min, max, &number, NULL) == IOT_OK;
}

/* Values that are more than text. */
static bool is_sensible(const char *name, const char *value)
{
	IOT_JSON json = NULL;

	if (strcmp(name, "QoS") == 0 || strcmp(name, "EnableShadow") == 0)
		return is_number_in(value, 0, 1);
	if (strcmp(name, "DefenderPeriod") == 0 || strcmp(name, "Defender") == 0)
		return is_number_in(value, 0, 86400 * 365);
	if (strcmp(name, "KeepAlive") == 0)
		return is_number_in(value, 0, 1200);
	if (strcmp(name, "LWTConfig") == 0 && value[0] != '\0')
		return iot_json_parse(value, strlen(value), name, &json, NULL) == IOT_OK && json_is_object(json);
	return true;
}

enum at_error dict_check(const struct dictionary *dict, const struct dict_ref *ref, const char *value, size_t len)
{
	const struct slot *slot = slot_of(dict, ref);
	size_t most = (ref->key->flags & IOT_EL_PEM) != 0 ? PEM_VALUE_MAX : (size_t)ref->key->size;

	if (slot == NULL)
		return AT_KEY_UNKNOWN;
	if ((ref->key->flags & IOT_EL_WRITE) == 0)
		return AT_READ_ONLY;
	if (len > most || strlen(value) != len || !iot_utf8_valid(value, len) || !is_sensible(ref->key->name, value))
		return AT_PARAMETER;
	return AT_OK;
}

static const char *current(const struct slot *slot)
{
	if (slot == NULL)
		return "";
	return slot->value != NULL ? slot->value : slot->initial;
}

const char *dict_get(const struct dictionary *dict, const struct dict_ref *ref)
{
	return current(slot_of(dict, ref));
}

const char *dict_value(const struct dictionary *dict, const char *name)
{
	return current(slot_named(dict, name));
}

const char *dict_topic(const struct dictionary *dict, int index)
{
	char name[32];

	snprintf(name, sizeof(name), "Topic%d", index);
	return dict_value(dict, name);
}

int64_t dict_number(const struct dictionary *dict, const char *name)
{
	int64_t number = 0;

	return iot_parse_int(dict_value(dict, name), INT64_MIN, INT64_MAX, &number, NULL) == IOT_OK ? number : 0;
}

bool dict_set(struct dictionary *dict, const struct dict_ref *ref, const char *value)
{
	struct slot *slot = slot_of(dict, ref);

	if (slot == NULL || strcmp(current(slot), value) == 0)
		return false;
	set_text(&slot->value, value);
	return (ref->key->flags & IOT_EL_PERSISTENT) != 0;
}

void dict_set_value(struct dictionary *dict, const char *name, const char *value)
{
	struct slot *slot = slot_named(dict, name);

	if (slot != NULL)
		set_text(&slot->value, value);
}

static void forget(struct dictionary *dict, unsigned mask, unsigned flags)
{
	for (size_t i = 0; i < dict->count; i++) {
		if ((dict->slots[i].ref.key->flags & mask) == flags)
			set_text(&dict->slots[i].value, NULL);
	}
}

void dict_restart(struct dictionary *dict)
{
	forget(dict, IOT_EL_PERSISTENT, 0);
}

void dict_factory_reset(struct dictionary *dict)
{
	dict_restart(dict);
	forget(dict, IOT_EL_FACTORY, IOT_EL_FACTORY);
}

json_t *dict_save(const struct dictionary *dict)
{
	json_t *saved = json_object();

	for (size_t i = 0; i < dict->count; i++) {
		const struct slot *slot = &dict->slots[i];

		if (slot->value != NULL && (slot->ref.key->flags & IOT_EL_PERSISTENT) != 0)
			iot_json_set_str(saved, slot->name, slot->value);
	}
	return saved;
}

void dict_load(struct dictionary *dict, const json_t *saved)
{
	for (size_t i = 0; i < dict->count; i++) {
		struct slot *slot = &dict->slots[i];
		const char *value = iot_json_str(saved, slot->name, NULL);

		if (value != NULL && (slot->ref.key->flags & IOT_EL_PERSISTENT) != 0)
			set_text(&slot->value, value);
	}
}
