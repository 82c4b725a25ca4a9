/*
 * The line recipe: a JSON object that says what becomes of each board. Members
 * are rows of a table; what is not in it is refused, since a misspelt limit or
 * lock that is silently ignored would be found in the field.
 */
#include "fleet/station_private.h"

#include "iotctl/base.h"
#include "iotctl/fs.h"
#include "iotctl/text.h"

#include <string.h>

enum { RECIPE_MAX = 64 * 1024, TEMPLATE_MAX = 4096, LIST_MAX = 64 };

#define TIMEOUT_MS 180000
#define CONNECT_MS 60000
#define HOOK_MS 10000
#define ATTEMPTS 2

enum member_type { TEXT, FILE_PATH, TEMPLATE, TEXTS, NUMBER, DURATION, SECTION };

struct member {
	const char *section, *name; /* section "": the top level */
	enum member_type type;
	size_t offset;
	int64_t min, max;
};

#define AT(field) offsetof(struct iot_station_recipe, field)
static const struct member members[] = {
	{"", "name", TEXT, AT(name), 0, 0},
	{"", "description", TEXT, 0, 0, 0},
	{"", "board", TEXT, AT(board), 0, 0},
	{"", "baud", NUMBER, AT(baud), 1200, 1000000},
	{"", "pulse", TEXT, 0, 0, 0},
	{"", "expect", SECTION, 0, 0, 0},
	{"expect", "vendor", TEXT, AT(vendor), 0, 0},
	{"expect", "model", TEXT, AT(model), 0, 0},
	{"expect", "version", TEXT, AT(version), 0, 0},
	{"", "device", SECTION, 0, 0, 0},
	{"device", "name", TEMPLATE, AT(alias), 0, 0},
	{"device", "type", TEXT, AT(type), 0, 0},
	{"device", "policies", TEXTS, AT(policies), 0, 0},
	{"device", "groups", TEXTS, AT(groups), 0, 0},
	{"device", "codesign", TEXT, AT(codesign), 0, 0},
	{"", "serial", TEXT, 0, 0, 0},
	{"", "items", SECTION, 0, 0, 0},
	{"items", "wifiSsid", TEXT, AT(wifi_ssid), 0, 0},
	{"items", "wifiPasswordFile", FILE_PATH, AT(wifi_password_file), 0, 0},
	{"items", "apn", TEXT, AT(apn), 0, 0},
	{"items", "endpoint", TEXT, AT(endpoint), 0, 0},
	{"items", "endpointPort", NUMBER, AT(endpoint_port), 1, 65535},
	{"", "lock", TEXT, 0, 0, 0},
	{"", "lockAlso", TEXTS, AT(locks), 0, 0},
	{"", "limits", SECTION, 0, 0, 0},
	{"limits", "time", DURATION, AT(timeout_ms), 1000, 3600000},
	{"limits", "connect", DURATION, AT(connect_ms), 1000, 600000},
	{"limits", "attempts", NUMBER, AT(attempts), 1, 10},
	{"", "label", SECTION, 0, 0, 0},
	{"label", "text", TEMPLATE, AT(label_text), 0, 0},
	{"label", "qr", TEMPLATE, AT(label_qr), 0, 0},
	{"label", "scale", NUMBER, AT(label_scale), 1, 64},
	{"", "hook", SECTION, 0, 0, 0},
	{"hook", "command", TEXTS, AT(hook), 0, 0},
	{"hook", "time", DURATION, AT(hook_ms), 100, 600000},
};

struct reading {
	struct iot_station_recipe *recipe;
	const char *subject, *folder;
};

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
	const char ***target = field(reading->recipe, member);
	const char **list;
	size_t count = json_array_size(value);

	if (!json_is_array(value) || count == 0 || count > LIST_MAX)
		return wrong(member, "a list of texts", err);
	list = iot_alloc_array(count + 1, sizeof(*list));
	*target = list;
	for (size_t i = 0; i < count; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (text == NULL || *text == '\0')
			return wrong(member, "a list of texts", err);
		list[i] = text; /* the document is kept as long as the recipe */
	}
	return IOT_OK;
}

static enum iot_status set_number(const struct reading *reading, const struct member *member, const json_t *value,
				  struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *should = iot_strf("a number from %lld to %lld", (long long)member->min, (long long)member->max);
	int *target = field(reading->recipe, member);

	if (!json_is_integer(value) || json_integer_value(value) < member->min ||
	    json_integer_value(value) > member->max)
		return wrong(member, should, err);
	*target = (int)json_integer_value(value);
	return IOT_OK;
}

static enum iot_status set_duration(const struct reading *reading, const struct member *member, const json_t *value,
				    struct iot_error *err)
{
	IOT_CLEAN(iot_free_p)
	char *should = iot_strf("a time from %lldms to %llds, as \"30s\"", (long long)member->min,
				(long long)member->max / 1000);
	int64_t *target = field(reading->recipe, member);
	int64_t ms;

	if (!json_is_string(value) || iot_parse_duration(json_string_value(value), &ms, NULL) != IOT_OK ||
	    ms < member->min || ms > member->max)
		return wrong(member, should, err);
	*target = ms;
	return IOT_OK;
}

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

static enum iot_status set_pulse(struct iot_station_recipe *recipe, struct iot_error *err)
{
	static const char *const words[] = {"none", "dtr", "rts"};
	const char *word = iot_json_str(recipe->json, "pulse", "none");

	for (size_t i = 0; i < IOT_LENGTH(words); i++)
		if (strcmp(word, words[i]) == 0) {
			recipe->pulse = (int)i;
			return IOT_OK;
		}
	return iot_fail(err, IOT_USAGE, "'pulse' should be \"none\", \"dtr\" or \"rts\"");
}

/* The line's word for what cannot be taken back: nobody is asked at each board. */
static enum iot_status set_lock(struct iot_station_recipe *recipe, struct iot_error *err)
{
	static const char *const words[] = {
		[IOT_BOARD_LOCK_NONE] = "none",
		[IOT_BOARD_LOCK_REVERSIBLE] = "reversible",
		[IOT_BOARD_LOCK_PERMANENT] = "permanent",
	};
	const char *word = iot_json_str(recipe->json, "lock", "none");

	for (size_t i = 0; i < IOT_LENGTH(words); i++)
		if (strcmp(word, words[i]) == 0)
			recipe->lock = (int)i;
	if (strcmp(word, words[recipe->lock]) != 0)
		return iot_fail(err, IOT_USAGE, "'lock' should be \"none\", \"reversible\" or \"permanent\"");
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
	if (status == IOT_OK)
		status = set_pulse(recipe, err);
	return status == IOT_OK ? set_lock(recipe, err) : status;
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

enum iot_status iot_station_recipe_parse(const char *text, size_t len, const char *subject, const char *folder,
					 struct iot_station_recipe **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_station_recipe_free_p) struct iot_station_recipe *recipe = iot_alloc(sizeof(*recipe));
	struct reading reading = {recipe, subject, folder};
	enum iot_status status = iot_json_parse(text, len, subject, &recipe->json, err);

	recipe->timeout_ms = TIMEOUT_MS;
	recipe->connect_ms = CONNECT_MS;
	recipe->attempts = ATTEMPTS;
	recipe->hook_ms = HOOK_MS;
	recipe->label_scale = 8;
	if (status != IOT_OK)
		return status;
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

enum iot_status iot_station_recipe_load(const char *path, struct iot_station_recipe **ret, struct iot_error *err)
{
	IOT_CLEAN(iot_buf_release) struct iot_buf text = IOT_BUF_INIT(RECIPE_MAX);
	IOT_CLEAN(iot_free_p) char *folder = iot_path_absolute(path);
	char *slash = strrchr(folder, '/');
	enum iot_status status = iot_fs_read(path, &text, err);

	if (slash != NULL)
		*slash = '\0';
	return status == IOT_OK ? iot_station_recipe_parse(iot_buf_str(&text), text.len, path,
							   *folder != '\0' ? folder : "/", ret, err)
				: status;
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
