/*
 * The line recipe: a JSON object that says what becomes of each board. Members
 * are rows of a table; what is not in it is refused, since a misspelt limit or
 * lock that is silently ignored would be found in the field.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <fnmatch.h>
#include <string.h>

enum { RECIPE_MAX = 64 * 1024, TEMPLATE_MAX = 4096, LIST_MAX = 64 };

enum member_type { TEXT, FILE_PATH, TEMPLATE, TEXTS, NUMBER, DURATION, WORD, SECTION, HEADS };

struct member {
	const char *section, *name; /* section "": the top level */
	enum member_type type;
	size_t offset; /* 0: it is only looked at */
	int64_t min, max, fallback;
	const char *const *words; /* NULL-terminated, in the order of their enum */
	const char *should;       /* the same for people */
};

static const char *const pulses[] = {"none", "dtr", "rts", NULL};
/* The line's word for what cannot be taken back: nobody is asked at each board. */
static const char *const locks[] = {"none", "reversible", "permanent", NULL};

#define AT(field) offsetof(struct iot_station_recipe, field)
#define ROW(...)                                                                                                       \
	{                                                                                                              \
		.section = __VA_ARGS__                                                                                 \
	}
static const struct member members[] = {
	ROW("", "name", TEXT, AT(name)),
	ROW("", "description", TEXT),
	ROW("", "board", TEXT, AT(board)),
	ROW("", "baud", NUMBER, AT(baud), 1200, 1000000),
	ROW("", "pulse", WORD, AT(pulse), .words = pulses, .should = "\"none\", \"dtr\" or \"rts\""),
	ROW("", "expect", SECTION),
	ROW("expect", "vendor", TEXT, AT(vendor)),
	ROW("expect", "model", TEXT, AT(model)),
	ROW("expect", "version", TEXT, AT(version)),
	ROW("", "device", SECTION),
	ROW("device", "name", TEMPLATE, AT(alias)),
	ROW("device", "type", TEXT, AT(type)),
	ROW("device", "policies", TEXTS, AT(policies)),
	ROW("device", "groups", TEXTS, AT(groups)),
	ROW("device", "codesign", TEXT, AT(codesign)),
	ROW("", "serial", TEXT),
	ROW("", "items", SECTION),
	ROW("items", "wifiSsid", TEXT, AT(wifi_ssid)),
	ROW("items", "wifiPasswordFile", FILE_PATH, AT(wifi_password_file)),
	ROW("items", "apn", TEXT, AT(apn)),
	ROW("items", "endpoint", TEXT, AT(endpoint)),
	ROW("items", "endpointPort", NUMBER, AT(endpoint_port), 1, 65535),
	ROW("", "lock", WORD, AT(lock), .words = locks, .should = "\"none\", \"reversible\" or \"permanent\""),
	ROW("", "lockAlso", TEXTS, AT(locks)),
	ROW("", "limits", SECTION),
	ROW("limits", "time", DURATION, AT(timeout_ms), 1000, 3600000, 180000),
	ROW("limits", "connect", DURATION, AT(connect_ms), 1000, 600000, 60000),
	ROW("limits", "attempts", NUMBER, AT(attempts), 1, 10, 2),
	ROW("", "label", SECTION),
	ROW("label", "text", TEMPLATE, AT(label_text)),
	ROW("label", "qr", TEMPLATE, AT(label_qr)),
	ROW("label", "scale", NUMBER, AT(label_scale), 1, 64, 8),
	ROW("", "hook", SECTION),
	ROW("hook", "command", TEXTS, AT(hook)),
	ROW("hook", "time", DURATION, AT(hook_ms), 100, 600000, 10000),
	ROW("", "heads", HEADS),
};

struct reading {
	struct iot_station_recipe *recipe;
	const char *folder;
	bool inner; /* a recipe that another one names: it names none itself */
};

static enum iot_status recipe_load(const char *path, bool inner, struct iot_station_recipe **ret,
				   struct iot_error *err);

/* --- templates ----------------------------------------------------------------------------- */

static void add_value(const json_t *value, struct iot_buf *out)
{
	if (json_is_string(value))
		iot_buf_adds(out, json_string_value(value));
	else
		iot_buf_addf(out, "%lld", (long long)json_integer_value(value));
}

enum iot_status recipe_fill(const char *template, const json_t *values, struct iot_buf *out, struct iot_error *err)
{
	for (const char *at = template; *at != '\0'; at++) {
		const char *end = strchr(at, '}');
		IOT_CLEAN(iot_free_p) char *name = NULL;
		const json_t *value;

		if (*at != '{') {
			iot_buf_addc(out, *at);
			continue;
		}
		if (at[1] == '{') {
			iot_buf_addc(out, *at++);
			continue;
		}
		if (end == NULL)
			return iot_fail(err, IOT_USAGE, "a '{' without '}' in '%s' (a brace itself is '{{')", template);
		name = iot_strndup(at + 1, (size_t)(end - at - 1));
		value = json_object_get(values, name);
		if (!json_is_string(value) && !json_is_integer(value))
			return iot_fail(err, IOT_USAGE, "nothing is known for '{%s}' in '%s'", name, template);
		add_value(value, out);
		at = end;
	}
	return iot_buf_check(out, template, err);
}

/* Every name that a template may have; with values, to try one. */
static json_t *sample_values(void)
{
	static const char *const names[] = {"serial", "uid",     "name",    "thing",  "certificate", "vendor",
					    "model",  "version", "station", "recipe", "endpoint",    "at"};
	json_t *values = json_object();

	for (size_t i = 0; i < IOT_LENGTH(names); i++)
		iot_json_set_str(values, names[i], "x");
	iot_json_set_int(values, "unit", 1);
	iot_json_set_int(values, "head", 1);
	return values;
}

static enum iot_status check_template(const char *template, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf out = IOT_BUF_INIT(TEMPLATE_MAX);
	IOT_JSON values = sample_values();

	return recipe_fill(template, values, &out, err);
}

/* --- members --------------------------------------------------------------------------------- */

static enum iot_status wrong(const struct member *member, const char *should, struct iot_error *err)
{
	return iot_fail(err, IOT_USAGE, "'%s%s%s' should be %s", member->section, *member->section != '\0' ? "." : "",
			member->name, should);
}

static void *field(struct iot_station_recipe *recipe, const struct member *member)
{
	return (char *)recipe + member->offset;
}

static enum iot_status set_text(const struct reading *reading, const struct member *member, const json_t *value,
				struct iot_error *err)
{
	const char *text = json_string_value(value);
	char **target = field(reading->recipe, member);
	enum iot_status status = IOT_OK;

	if (text == NULL || *text == '\0' || strlen(text) > TEMPLATE_MAX)
		return wrong(member, "a text", err);
	if (member->type == TEMPLATE)
		status = check_template(text, err);
	if (status == IOT_OK && member->offset != 0)
		*target = member->type == FILE_PATH ? iot_path(reading->folder, text) : iot_strdup(text);
	return status;
}

static enum iot_status set_texts(const struct reading *reading, const struct member *member, const json_t *value,
				 struct iot_error *err)
{
	size_t count = json_array_size(value);
	const char **list = iot_alloc_array(count + 1, sizeof(*list));
	bool good = count > 0 && count <= LIST_MAX;

	*(const char ***)field(reading->recipe, member) = list;
	for (size_t i = 0; good && i < count; i++) {
		list[i] = json_string_value(json_array_get(value, i)); /* the document is kept as long as the recipe */
		good = list[i] != NULL && *list[i] != '\0';
	}
	return good ? IOT_OK : wrong(member, "a list of texts", err);
}

static enum iot_status set_number(const struct reading *reading, const struct member *member, const json_t *value,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *should = iot_strf("a number from %lld to %lld", (long long)member->min, (long long)member->max);
	int64_t number = json_is_integer(value) ? json_integer_value(value) : member->min - 1;

	if (number < member->min || number > member->max)
		return wrong(member, should, err);
	*(int *)field(reading->recipe, member) = (int)number;
	return IOT_OK;
}

static enum iot_status set_duration(const struct reading *reading, const struct member *member, const json_t *value,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *should = iot_strf("a time from %lldms to %llds, as \"30s\"", (long long)member->min,
				(long long)member->max / 1000);
	const char *text = json_string_value(value);
	int64_t ms;

	if (text == NULL || iot_parse_duration(text, &ms, NULL) != IOT_OK || ms < member->min || ms > member->max)
		return wrong(member, should, err);
	*(int64_t *)field(reading->recipe, member) = ms;
	return IOT_OK;
}

static enum iot_status set_word(const struct reading *reading, const struct member *member, const json_t *value,
				struct iot_error *err)
{
	const char *text = json_string_value(value);

	for (int i = 0; text != NULL && member->words[i] != NULL; i++)
		if (strcmp(text, member->words[i]) == 0) {
			*(int *)field(reading->recipe, member) = i;
			return IOT_OK;
		}
	return wrong(member, member->should, err);
}

/* --- other recipes for some of the heads ------------------------------------------------------ */

/* What is the station's and not a head's is in its own recipe alone. */
static enum iot_status check_other(const struct iot_station_recipe *other, struct iot_error *err)
{
	if (other->hook == NULL && other->others == NULL)
		return IOT_OK;
	iot_fail(err, IOT_USAGE, "recipe '%s' is for some heads, and has '%s'", other->name,
		 other->hook != NULL ? "hook" : "heads");
	iot_error_hint(err, "that belongs into the recipe of the station");
	return IOT_USAGE;
}

static enum iot_status add_other(const struct reading *reading, const json_t *value, struct station_heads *heads,
				 struct iot_error *err)
{
	const char *port = iot_json_str(value, "port", ""), *file = iot_json_str(value, "recipe", "");
	IOT_CLEAN(iot_free_p) char *path = iot_path(reading->folder, file);
	enum iot_status status;

	if (*port == '\0' || *file == '\0' || json_object_size(value) != 2)
		return iot_fail(err, IOT_USAGE, "'heads' should be a list of {\"port\": PATTERN, \"recipe\": FILE}");
	heads->ports = port;
	status = recipe_load(path, true, &heads->recipe, err);
	return status == IOT_OK ? check_other(heads->recipe, err) : status;
}

static enum iot_status set_heads(const struct reading *reading, const struct member *member, const json_t *value,
				 struct iot_error *err)
{
	struct iot_station_recipe *recipe = reading->recipe;
	size_t count = json_array_size(value);
	enum iot_status status = IOT_OK;

	if (count == 0 || count > LIST_MAX)
		return wrong(member, "a list of objects", err);
	recipe->others = iot_alloc_array(count, sizeof(*recipe->others));
	for (; status == IOT_OK && !reading->inner && recipe->other_count < count; recipe->other_count++)
		status = add_other(reading, json_array_get(value, recipe->other_count),
				   &recipe->others[recipe->other_count], err);
	return status;
}

const struct iot_station_recipe *recipe_of(const struct iot_station_recipe *recipe, const char *port)
{
	for (size_t i = 0; i < recipe->other_count; i++)
		if (fnmatch(recipe->others[i].ports, port, 0) == 0)
			return recipe->others[i].recipe;
	return recipe;
}

/* --- sections ------------------------------------------------------------------------------- */

static enum iot_status read_section(const struct reading *reading, const char *section, const json_t *object,
				    struct iot_error *err);

static enum iot_status set_member(const struct reading *reading, const struct member *member, const json_t *value,
				  struct iot_error *err)
{
	switch (member->type) {
	case TEXTS:
		return set_texts(reading, member, value, err);
	case NUMBER:
		return set_number(reading, member, value, err);
	case DURATION:
		return set_duration(reading, member, value, err);
	case WORD:
		return set_word(reading, member, value, err);
	case HEADS:
		return set_heads(reading, member, value, err);
	case SECTION:
		if (!json_is_object(value))
			return wrong(member, "an object", err);
		return read_section(reading, member->name, value, err);
	default:
		return set_text(reading, member, value, err);
	}
}

static const struct member *find(const char *section, const char *name)
{
	for (size_t i = 0; i < IOT_LENGTH(members); i++)
		if (strcmp(members[i].section, section) == 0 && strcmp(members[i].name, name) == 0)
			return &members[i];
	return NULL;
}

static enum iot_status read_section(const struct reading *reading, const char *section, const json_t *object,
				    struct iot_error *err)
{
	enum iot_status status = IOT_OK;
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, name, value) {
		const struct member *member = find(section, name);

		if (member == NULL)
			return iot_fail(err, IOT_USAGE, "there is no member '%s%s%.60s'", section,
					*section != '\0' ? "." : "", name);
		status = set_member(reading, member, value, err);
		if (status != IOT_OK)
			break;
	}
	return status;
}

/* --- the whole ---------------------------------------------------------------------------------- */

static enum iot_status set_serial(struct iot_station_recipe *recipe, struct iot_error *err)
{
	const char *pattern = iot_json_str(recipe->json, "serial", NULL);
	IOT_CLEAN(iot_free_p) char *whole = pattern != NULL ? iot_strf("^(%s)$", pattern) : NULL;

	if (whole == NULL)
		return IOT_OK;
	if (regcomp(&recipe->serial, whole, REG_EXTENDED | REG_NOSUB) != 0)
		return iot_fail(err, IOT_USAGE, "'serial' should be a regular expression, as \"PUMP-[0-9]{4}\"");
	recipe->has_serial = true;
	return IOT_OK;
}

static enum iot_status check_lock(const struct iot_station_recipe *recipe, struct iot_error *err)
{
	if (recipe->lock != IOT_BOARD_LOCK_NONE && !(recipe->description->ops->capabilities & IOT_BOARD_LOCKS))
		return iot_fail(err, IOT_USAGE, "boards of kind '%s' cannot be locked", recipe->board);
	return iot_board_check_locks(recipe->description, (enum iot_board_lock)recipe->lock, recipe->locks, err);
}

/* A description that is a file is found from the recipe's folder, as files are. */
static enum iot_status load_board(struct iot_station_recipe *recipe, const char *folder, struct iot_error *err)
{
	char *path;

	if (strpbrk(recipe->board, "/.") != NULL) {
		path = iot_path(folder, recipe->board);
		free(recipe->board);
		recipe->board = path;
	}
	return iot_board_description_load(recipe->board, &recipe->description, err);
}

static bool names_certificate(const char *template)
{
	return template != NULL && strstr(template, "{certificate}") != NULL;
}

/* What only a board with a certificate can have. */
static enum iot_status check_certificate(const struct iot_station_recipe *recipe, struct iot_error *err)
{
	const char *member = recipe->policies != NULL                ? "device.policies"
			     : names_certificate(recipe->label_text) ? "label.text"
			     : names_certificate(recipe->label_qr)   ? "label.qr"
								     : NULL;

	if (recipe->description->key != IOT_BOARD_KEY_PSK || member == NULL)
		return IOT_OK;
	return iot_fail(err, IOT_USAGE, "'%s' needs a certificate, and a board of kind '%s' has none", member,
			recipe->description->name);
}

static enum iot_status check(struct iot_station_recipe *recipe, const char *folder, struct iot_error *err)
{
	enum iot_status status;

	if (recipe->name == NULL || recipe->board == NULL)
		return iot_fail(err, IOT_USAGE, "'%s' is missing", recipe->name == NULL ? "name" : "board");
	status = load_board(recipe, folder, err);
	if (status == IOT_OK)
		status = check_certificate(recipe, err);
	if (status != IOT_OK)
		return status;
	if (recipe->wifi_password_file != NULL && recipe->wifi_ssid == NULL)
		return iot_fail(err, IOT_USAGE, "'items.wifiPasswordFile' needs 'items.wifiSsid'");
	if (json_object_get(recipe->json, "hook") != NULL && recipe->hook == NULL)
		return iot_fail(err, IOT_USAGE, "'hook.command' is missing");
	status = set_serial(recipe, err);
	return status == IOT_OK ? check_lock(recipe, err) : status;
}

/* A program with a slash in its name is found from the recipe's folder, as files are. */
static void place_hook(const struct reading *reading)
{
	const char **hook = reading->recipe->hook;
	json_t *list = json_object_get(json_object_get(reading->recipe->json, "hook"), "command");
	IOT_CLEAN(iot_free_p) char *path = NULL;

	if (hook == NULL || strchr(hook[0], '/') == NULL)
		return;
	path = iot_path(reading->folder, hook[0]);
	json_array_set_new(list, 0, json_string(path));
	hook[0] = json_string_value(json_array_get(list, 0));
}

static void set_fallbacks(struct iot_station_recipe *recipe)
{
	for (size_t i = 0; i < IOT_LENGTH(members); i++)
		if (members[i].type == DURATION)
			*(int64_t *)field(recipe, &members[i]) = members[i].fallback;
		else if (members[i].type == NUMBER)
			*(int *)field(recipe, &members[i]) = (int)members[i].fallback;
}

static enum iot_status recipe_parse(const char *text, size_t len, const char *subject, const char *folder, bool inner,
				    struct iot_station_recipe **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_station_recipe_free_p) struct iot_station_recipe *recipe = iot_alloc(sizeof(*recipe));
	struct reading reading = {recipe, folder, inner};
	enum iot_status status = iot_json_parse(text, len, subject, &recipe->json, err);

	if (status != IOT_OK)
		return status;
	set_fallbacks(recipe);
	if (!json_is_object(recipe->json))
		status = iot_fail(err, IOT_USAGE, "it should be a JSON object");
	if (status == IOT_OK)
		status = read_section(&reading, "", recipe->json, err);
	if (status == IOT_OK)
		status = check(recipe, folder, err);
	if (status != IOT_OK) {
		iot_error_while(err, "reading recipe '%s'", subject);
		iot_error_hint(err, "iotctl-station(7) describes recipes");
		return status;
	}
	place_hook(&reading);
	iot_sha256_hex(text, len, recipe->digest);
	*ret = iot_take(recipe);
	return IOT_OK;
}

enum iot_status iot_station_recipe_parse(const char *text, size_t len, const char *subject, const char *folder,
					 struct iot_station_recipe **ret, struct iot_error *err)
{
	return recipe_parse(text, len, subject, folder, false, ret, err);
}

static enum iot_status recipe_load(const char *path, bool inner, struct iot_station_recipe **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(RECIPE_MAX);
	IOT_CLEAN(iot_free_p) char *folder = iot_path_absolute(path);
	char *slash = strrchr(folder, '/');
	enum iot_status status = iot_fs_read(path, &text, err);

	if (slash != NULL)
		*slash = '\0';
	if (status != IOT_OK)
		return status;
	return recipe_parse(iot_buf_str(&text), text.len, path, *folder != '\0' ? folder : "/", inner, ret, err);
}

enum iot_status iot_station_recipe_load(const char *path, struct iot_station_recipe **ret, struct iot_error *err)
{
	return recipe_load(path, false, ret, err);
}

void iot_station_recipe_free(struct iot_station_recipe *recipe)
{
	if (recipe == NULL)
		return;
	for (size_t i = 0; i < IOT_LENGTH(members); i++)
		if (members[i].offset != 0 &&
		    (members[i].type == TEXT || members[i].type == FILE_PATH || members[i].type == TEMPLATE))
			free(*(char **)field(recipe, &members[i]));
	free((void *)(uintptr_t)recipe->locks);
	free((void *)(uintptr_t)recipe->policies);
	free((void *)(uintptr_t)recipe->groups);
	free((void *)(uintptr_t)recipe->hook);
	for (size_t i = 0; i < recipe->other_count; i++)
		iot_station_recipe_free(recipe->others[i].recipe);
	free(recipe->others);
	if (recipe->has_serial)
		regfree(&recipe->serial);
	iot_board_description_free(recipe->description);
	json_decref(recipe->json);
	free(recipe);
}

void iot_station_recipe_free_p(struct iot_station_recipe **recipe)
{
	iot_station_recipe_free(*recipe);
}
